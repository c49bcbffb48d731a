//! Whether things of unknown class that stand still are real: learned from how those before them went on.
//!
//! A detector of motion reports what it does not know when light falls on a wall, when a car uncovers a place that the
//! background model never saw, or when leaves stir. Such a ghost stands where it appeared and vanishes. A thing of unknown
//! class has therefore to move, or to last, before it is confirmed. Where those that stood still at first mostly moved on, the
//! detector has few ghosts, and nothing has to wait. A class is evidence by itself: persons and vehicles never wait.

/// Ghosts that are assumed to have been seen at the start.
const VANISHED_AT_FIRST: f64 = 3.0;
/// Nothing has to wait once more than one has moved on for so many that vanished.
const VANISHED_FOR_MOVED: f64 = 2.0;
/// Of more than so many the oldest count less: scenes change.
const MEMORY: f64 = 100.0;

/// How those went on that stood still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Still {
    moved: f64,
    vanished: f64,
}

impl Default for Still {
    fn default() -> Self {
        Self { moved: 0.0, vanished: VANISHED_AT_FIRST }
    }
}

impl Still {
    /// Things have to move or to last before they are confirmed.
    pub(super) fn must_wait(&self) -> bool {
        VANISHED_FOR_MOVED * self.moved <= self.vanished
    }

    /// One that stood still moved on.
    pub(super) fn moved(&mut self) {
        self.moved += 1.0;
        self.fade();
    }

    /// One that stood still vanished where it was.
    pub(super) fn vanished(&mut self) {
        self.vanished += 1.0;
        self.fade();
    }

    fn fade(&mut self) {
        if self.moved + self.vanished > MEMORY {
            self.moved /= 2.0;
            self.vanished /= 2.0;
        }
    }
}
