//! Whether pictures come, and often enough.

use std::time::Duration;

use crate::base::Time;

/// Without a picture for longer than this, what moved in between is not known.
pub(in crate::pipeline) const GAP: Duration = Duration::from_millis(2500);
/// Pictures are counted over so long.
const WINDOW: Duration = Duration::from_secs(3);
/// Fewer in it are too few, and so many are enough again.
const FEW: usize = 3;
const ENOUGH: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The first picture of those that came without a gap.
    begun: Option<Time>,
    /// The last ones, the newest last.
    recent: [Option<Time>; ENOUGH],
    pub(super) low: bool,
    pub(super) gap: bool,
}

impl Rate {
    /// A picture came. A gap ends with the second one in time.
    pub(super) fn frame(&mut self, now: Time) {
        match self.recent[ENOUGH - 1] {
            Some(last) if now.since(last) >= GAP => *self = Self { gap: true, ..Self::default() },
            Some(_) => self.gap = false,
            None => {}
        }
        self.begun.get_or_insert(now);
        self.recent.rotate_left(1);
        self.recent[ENOUGH - 1] = Some(now);
        self.count(now);
    }

    /// None came until now.
    pub(super) fn wait(&mut self, now: Time) {
        self.gap |= self.recent[ENOUGH - 1].is_some_and(|last| now.since(last) >= GAP);
        self.count(now);
    }

    fn count(&mut self, now: Time) {
        let pictures = self.recent.iter().flatten().filter(|time| now.since(**time) < WINDOW).count();
        if self.gap || pictures >= ENOUGH {
            self.low = false;
        } else if pictures < FEW && self.begun.is_some_and(|begun| now.since(begun) >= WINDOW) {
            self.low = true;
        }
    }
}
