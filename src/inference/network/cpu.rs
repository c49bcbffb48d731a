//! The processor time of a thread. Budgets count it: on a busy machine a thread also waits for its turn.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A stopwatch of the present thread.
pub(super) struct Stopwatch(Duration);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(used())
    }

    /// What the thread has used since the start.
    pub(super) fn used(&self) -> Duration {
        used().saturating_sub(self.0)
    }
}

/// Used by the present thread so far.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
