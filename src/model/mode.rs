//! The degraded modes: which part of the camera does not work at present, while the rest continues.
//!
//! Each mode stands in one row: its name on the wire, its severity, its meaning and its remedy. `.github/docs/operations.md`
//! holds the same rows. Inside the program a mode is a [`Mode`], and [`Modes`] is the set of those in force; names appear
//! only at the edge. The order of the rows is the order on the wire. New modes are added here and nowhere else.

use std::fmt;

use serde::{Serialize, Serializer};

/// The severity of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModeSeverity {
    /// No fault: configured, ordered, or part of each start.
    Info,
    /// A limit or a risk: the camera does its task.
    Warning,
    /// A part of the camera's task is not done.
    Error,
}

impl ModeSeverity {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

struct Row {
    name: &'static str,
    severity: ModeSeverity,
    meaning: &'static str,
    remedy: &'static str,
}

/// One list makes the enum, `ALL` and the rows, so that no mode lacks one of them.
macro_rules! modes {
    ($($mode:ident, $name:literal, $severity:ident, $meaning:literal, $remedy:literal;)*) => {
        /// A degraded mode.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mode {
            $(#[doc = $meaning] $mode,)*
        }

        impl Mode {
            /// Every mode, in the order of the wire.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$mode),*];
        }

        const ROWS: [Row; Mode::ALL.len()] = [
            $(Row { name: $name, severity: ModeSeverity::$severity, meaning: $meaning, remedy: $remedy },)*
        ];
    };
}

modes! {
    CaptureDown, "capture_down", Error, "the source delivers no frames and is being restarted", "check the camera, its driver and the capture program; the log states the reason";
    CaptureStalled, "capture_stalled", Error, "the source stopped delivering and is being restarted", "check the camera and its connection";
    Paused, "paused", Info, "a command paused the camera and nothing is detected", "send the command resume";
    ClientIdTaken, "client_id_taken", Error, "another client connected with a client id of this camera, which reconnects at long intervals only", "give each camera an id of its own";
    SubscriptionsRefused, "subscriptions_refused", Error, "a broker rejects a subscription and messages of other cameras do not arrive", "allow the subscription in the broker's access list";
    LinkSlow, "link_slow", Warning, "a link is too slow for every track and each leaves less often", "check the network or publish fewer tracks";
    CertificateEnds, "certificate_ends", Warning, "a certificate of a broker or of this camera ends within 30 days", "renew the certificate that the log names";
    OldProtocol, "old_protocol", Warning, "a broker rejects MQTT 5 and is used with 3.1.1: no expiry, no reason codes, no delayed will", "update the broker";
    RetainUnavailable, "retain_unavailable", Warning, "a broker stores no retained messages and a new camera learns of another at its next message", "enable retained messages at the broker";
    QosLimited, "qos_limited", Warning, "a broker accepts only messages with a lower QoS", "enable QoS 2 at the broker";
    WillUnavailable, "will_unavailable", Warning, "a broker accepts no last will and a failed camera is offline only by its silence", "use a broker with last wills";
    WildcardsUnavailable, "wildcards_unavailable", Warning, "a broker accepts no topic filters with wildcards and messages of unknown cameras do not arrive", "use a broker with wildcard subscriptions";
    PacketsLimited, "packets_limited", Warning, "a broker accepts only packets so small that ordinary messages may not fit", "raise the broker's packet limit to 16 KiB or more";
    StateUnsaved, "state_unsaved", Error, "the state folder can't be written in time and its content may not survive a restart", "check the disk and the rights of the state folder";
    StateLost, "state_lost", Warning, "the state folder was deleted or replaced while running and has been written again", "find the program that deletes the state folder";
    OutboxInMemory, "outbox_in_memory", Error, "the outbox can't use its disk and holds fewer messages, in memory alone", "check the disk and the rights of the outbox folder";
    OutboxSlow, "outbox_slow", Warning, "the disk of the outbox is slow and durable messages leave late", "use a faster disk or reduce its load";
    OutboxFull, "outbox_full", Error, "the outbox is full and the least important messages are evicted", "restore the connection to the broker";
    CalibrationDoubted, "calibration_doubted", Warning, "persons have other sizes than the calibration predicts and its sizes are not used", "calibrate the camera again";
    VerifyUnavailable, "verify_unavailable", Warning, "the network of detector.verify can't be used and tracks are confirmed without it", "correct the fault that the log states";
    Uncalibrated, "uncalibrated", Info, "the camera has no calibration: rules in meters are off and it takes part in no votes", "add point pairs to [calibration]";
    ConfigRolledBack, "config_rolled_back", Error, "the links of a new configuration failed to connect and the previous configuration is in force", "correct the links in the file and reload";
    SigningOff, "signing_off", Error, "the signing key can't be made or read and messages leave without signatures", "check the disk and the rights of the state folder";
    RetainedWildcardsUnavailable, "retained_wildcards_unavailable", Warning, "a broker finds no retained messages by wildcard filters and known cameras are asked for by their exact topics", "use another broker or start the cameras together";
    TimeServerUnsynced, "time_server_unsynced", Warning, "the time server is not synchronized itself and its time is not used", "synchronize the time server or name another one";
    ClockUnsynced, "clock_unsynced", Warning, "the clock was never set or may be off by more than 0.25 s", "synchronize the clock or set [clock] sntp_server";
    CameraUnresponsive, "camera_unresponsive", Warning, "another camera does not answer votes and is not asked until it does", "check the camera that the log names";
    ViewChanged, "view_changed", Error, "the camera was moved or turned and tracking pauses until the new view is learned", "check calibration and zones";
    ViewBlocked, "view_blocked", Error, "the lens is covered and nothing is detected", "clean or uncover the lens";
    ViewDefocused, "view_defocused", Warning, "the picture is much less sharp than before and objects may be missed", "clean the lens and check its focus";
    PictureFrozen, "picture_frozen", Error, "the source repeats one picture and nothing is tracked", "restart the camera or check the stream";
    TooDark, "too_dark", Error, "the picture is black and nothing is tracked", "switch on a light, check iris and exposure";
    TooBright, "too_bright", Error, "most of the picture is clipped to white and nothing is tracked", "check iris, exposure and light that shines into the lens";
    SceneLearning, "scene_learning", Info, "the background is being learned and standing objects are not found", "wait a few seconds";
    FrameRateLow, "frame_rate_low", Warning, "pictures come too seldom and fast objects are missed", "raise the frame rate or check the network";
    SourceGap, "source_gap", Error, "no picture came for 2.5 s and all tracks ended", "check the camera and the network";
    BrokerDown, "broker_down", Error, "a broker is not connected and durable messages wait in the outbox", "check the broker and the network; the log states the reason";
    OwnPresenceMissing, "own_presence_missing", Error, "the presence of this camera does not come back from a broker and other cameras do not receive it", "check the broker's access list; on RabbitMQ use a camera id without dots";
    BrokerSearching, "broker_searching", Warning, "no camera of the site is known to run its broker", "wait, or name a broker in [[broker_link]]";
}

impl Mode {
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns its name on the wire.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns its severity.
    pub fn severity(self) -> ModeSeverity {
        self.row().severity
    }

    /// Returns what it means, one sentence without its period.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Returns what to do, one sentence without its period.
    pub fn remedy(self) -> &'static str {
        self.row().remedy
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A set of modes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes(u64);

const _: () = assert!(Mode::ALL.len() <= u64::BITS as usize, "a set has a bit for each mode");

impl Modes {
    /// While one of these holds, nothing is tracked.
    pub const UNTRACKED: Self =
        Self::of(&[Mode::ViewBlocked, Mode::PictureFrozen, Mode::TooDark, Mode::TooBright, Mode::SourceGap]);
    /// While one of these holds, the silence of the camera contradicts no event of another: it may miss objects.
    pub const BLIND: Self = Self::of(&[
        Mode::CaptureDown,
        Mode::CaptureStalled,
        Mode::Paused,
        Mode::ViewChanged,
        Mode::ViewDefocused,
        Mode::SceneLearning,
        Mode::FrameRateLow,
    ])
    .union(Self::UNTRACKED);
    /// Modes that a reader of a broker does not get: a message with them would not have arrived.
    pub const UNCONNECTED: Self = Self::of(&[Mode::BrokerDown, Mode::BrokerSearching]);
    /// Modes that are reported on the camera itself, not to other cameras.
    pub const LOCAL: Self = Self::UNCONNECTED.union(Self::of(&[Mode::OwnPresenceMissing]));

    /// Returns the set of these.
    pub const fn of(modes: &[Mode]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < modes.len() {
            bits |= 1 << modes[at] as u64;
            at += 1;
        }
        Self(bits)
    }

    /// Returns the modes of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the modes that are not in the other set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Adds a mode, if it holds.
    pub fn add(&mut self, mode: Mode, holds: bool) {
        self.0 |= u64::from(holds) << mode as u64;
    }

    /// Returns whether this mode is in the set.
    pub const fn contains(self, mode: Mode) -> bool {
        self.0 & (1 << mode as u64) != 0
    }

    /// Returns whether the sets have a mode in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the modes that are faults.
    #[must_use]
    pub fn faults(self) -> Self {
        self.iter().filter(|mode| mode.severity() > ModeSeverity::Info).collect()
    }

    /// Iterates over the modes, in the order of the wire.
    pub fn iter(self) -> impl Iterator<Item = Mode> {
        Mode::ALL.into_iter().filter(move |mode| self.contains(*mode))
    }
}

impl From<Mode> for Modes {
    fn from(mode: Mode) -> Self {
        Self::of(&[mode])
    }
}

impl FromIterator<Mode> for Modes {
    fn from_iter<I: IntoIterator<Item = Mode>>(modes: I) -> Self {
        modes.into_iter().fold(Self::default(), |all, mode| all.union(mode.into()))
    }
}

/// The modes whose condition holds.
impl FromIterator<(bool, Mode)> for Modes {
    fn from_iter<I: IntoIterator<Item = (bool, Mode)>>(modes: I) -> Self {
        modes.into_iter().filter_map(|(holds, mode)| holds.then_some(mode)).collect()
    }
}

impl fmt::Debug for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Mode::name)).finish()
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Mode::name).collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for Modes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_documents_has_the_same_words_for_each_mode() {
        let page = include_str!("../../.github/docs/operations.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = Mode::ALL
            .into_iter()
            .map(|mode| {
                let (severity, name) = (mode.severity().as_str(), mode.name());
                format!("| `{name}` | {severity} | {} | {} |", mode.meaning(), mode.remedy())
            })
            .collect();
        assert_eq!(rows, expected, "the rows of .github/docs/operations.md:\n{}", expected.join("\n"));
    }

    #[test]
    fn a_name_is_the_variant_in_snake_case() {
        for mode in Mode::ALL {
            let snake = format!("{mode:?}").chars().fold(String::new(), |mut name, c| {
                if c.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.extend(c.to_lowercase());
                name
            });
            assert_eq!(snake, mode.name());
        }
    }

    #[test]
    fn a_set_holds_each_mode_once_and_is_a_list_of_names_on_the_wire() {
        let all: Modes = Mode::ALL.into_iter().chain(Mode::ALL).collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), Mode::ALL);
        let two = Modes::of(&[Mode::BrokerDown, Mode::LinkSlow]);
        assert_eq!(serde_json::to_string(&two).unwrap(), r#"["link_slow","broker_down"]"#);
        assert_eq!(two.to_string(), "link_slow, broker_down");
        assert_eq!(two.without(Modes::LOCAL), Mode::LinkSlow.into());
        assert!(Modes::of(&[Mode::Paused, Mode::Uncalibrated, Mode::SceneLearning]).faults().is_empty());
        assert_eq!(all.faults().iter().count(), Mode::ALL.len() - 3);
    }
}
