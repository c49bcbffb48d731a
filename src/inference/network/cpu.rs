//! The time of a processor that a thread uses. Budgets count it: on a busy machine a thread also waits for its turn.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

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

/// Used by the present thread so far (Linux: the first number of its `schedstat`); elsewhere the time that passes.
fn used() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let passed = BEGAN.elapsed();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ns = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    ns.map_or(passed, Duration::from_nanos)
}
