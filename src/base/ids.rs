//! Where track and event identifiers come from.

/// Gives identifiers that one camera never uses twice.
///
/// An identifier is a 32-bit integer from 1. The daemon's source survives restarts; offline runs
/// count from 1.
pub trait IdSource {
    /// The next identifier.
    fn next_id(&mut self) -> u32;
}

/// Counts from 1 in memory: for offline runs and tests.
#[derive(Debug, Clone, Default)]
pub struct CountingIds {
    last: u32,
}

impl IdSource for CountingIds {
    fn next_id(&mut self) -> u32 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.last
    }
}
