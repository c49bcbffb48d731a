//! What keeps a camera from seeing, as its pictures and their times show it.

/// The conditions that hold at present. Each has a name, which is its degraded mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Conditions(u16);

bitflags::bitflags! {
    impl Conditions: u16 {
        /// The camera was moved or turned: the new view is being learned, and nothing is tracked before. Its calibration
        /// and its zones may no longer fit.
        const VIEW_CHANGED = 1;
        /// Something covers the lens: nothing is seen until it is free again.
        const VIEW_BLOCKED = 2;
        /// The picture is much less sharp than this view ordinarily is.
        const VIEW_DEFOCUSED = 4;
        /// The source repeats one picture; a clock in it may go on.
        const PICTURE_FROZEN = 8;
        /// The picture is black, but for noise.
        const TOO_DARK = 16;
        /// Most of the picture is clipped to white.
        const TOO_BRIGHT = 32;
        /// The background is being learned: what stands in the scene is not found before.
        const SCENE_LEARNING = 64;
        /// Pictures come too seldom to follow what moves.
        const FRAME_RATE_LOW = 128;
        /// No picture comes.
        const SOURCE_GAP = 256;
    }
}

const NAMES: [(Conditions, &str); 9] = [
    (Conditions::VIEW_CHANGED, "view_changed"),
    (Conditions::VIEW_BLOCKED, "view_blocked"),
    (Conditions::VIEW_DEFOCUSED, "view_defocused"),
    (Conditions::PICTURE_FROZEN, "picture_frozen"),
    (Conditions::TOO_DARK, "too_dark"),
    (Conditions::TOO_BRIGHT, "too_bright"),
    (Conditions::SCENE_LEARNING, "scene_learning"),
    (Conditions::FRAME_RATE_LOW, "frame_rate_low"),
    (Conditions::SOURCE_GAP, "source_gap"),
];

impl Conditions {
    /// While one of these holds, nothing is tracked.
    pub const UNTRACKED: Self = Self::VIEW_BLOCKED
        .union(Self::PICTURE_FROZEN)
        .union(Self::TOO_DARK)
        .union(Self::TOO_BRIGHT)
        .union(Self::SOURCE_GAP);

    /// The names of those that hold.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter_map(move |(condition, name)| self.contains(condition).then_some(name))
    }

    /// The condition of this name; none where there is no such condition.
    pub fn from_mode(name: &str) -> Option<Self> {
        NAMES.into_iter().find_map(|(condition, known)| (known == name).then_some(condition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_has_a_name_of_its_own() {
        let names: Vec<_> = Conditions::all().names().collect();
        assert_eq!(names.len(), Conditions::all().bits().count_ones() as usize);
        for (name, condition) in names.iter().zip(Conditions::all().iter()) {
            assert_eq!(Conditions::from_mode(name), Some(condition));
        }
        assert_eq!(Conditions::from_mode("paused"), None);
    }
}
