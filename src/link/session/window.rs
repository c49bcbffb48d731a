//! How many messages may be in flight, where connections end before their first acknowledgement.
//!
//! From the second such end in a row on, each divides the first flight of the next connection by eight, down to one
//! message. Each acknowledgement doubles the window of its connection; one that reaches the full window ends the
//! caution. Pure.

/// What a connection without an acknowledgement divides the next first flight by.
const CUT: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    max: usize,
    /// Of the next connection.
    first: usize,
    size: usize,
    acknowledged: bool,
    /// Connections in a row that brought nothing through.
    barren: u32,
}

impl Window {
    pub(super) fn new(max: u16) -> Self {
        let max = usize::from(max);
        Self { max, first: max, size: max, acknowledged: false, barren: 0 }
    }

    /// A connection begins.
    pub(super) fn connected(&mut self) {
        (self.size, self.acknowledged) = (self.first, false);
    }

    /// It ended; whether anything waited for an acknowledgement, or to be sent.
    pub(super) fn disconnected(&mut self, was_waiting: bool) {
        if self.acknowledged {
            self.barren = 0;
        } else if was_waiting {
            self.barren += 1;
        }
        if was_waiting && !self.acknowledged && self.barren > 1 {
            self.first = (self.first / CUT).max(1);
        }
    }

    /// An acknowledgement came.
    pub(super) fn acknowledged(&mut self) {
        self.acknowledged = true;
        self.size = (2 * self.size).min(self.max);
        if self.size == self.max {
            self.first = self.max;
        }
    }

    /// Messages that may be in flight now.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The present connection began with less than the full window.
    pub(super) fn is_narrow(&self) -> bool {
        self.first < self.max
    }

    /// Nothing else is to follow until the first acknowledgement.
    pub(super) fn waits_for_first(&self) -> bool {
        self.is_narrow() && !self.acknowledged
    }
}
