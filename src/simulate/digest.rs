//! A number for a state: FNV-1a (64 bits) over all that it shows of itself.
//!
//! An engine's `Debug` form is the whole of its state, field by field, reals in the shortest form that
//! reads back as the same bits. Two states with one digest are the same but for a chance of 2^-64.

use std::fmt::{self, Debug, Write};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in a state.
    pub(super) fn take(&mut self, state: &impl Debug) {
        // Nothing here fails to be written.
        let _ = write!(self, "{state:?}");
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Ok(())
    }
}
