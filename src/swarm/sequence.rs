//! Which of a camera's numbered messages are new, late, repeated or missing.
//!
//! A window of the last 64 numbers, as a bit set (the anti-replay window of RFC 4303, 3.4.3): one
//! word per camera, whatever it sends. Pure arithmetic; what to do with the verdict is the caller's.

/// What a number says about its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The newest so far; `missing` numbers before it have not come.
    New {
        /// How many.
        missing: u64,
    },
    /// Not seen before, but a newer one has been.
    Late,
    /// Seen before.
    Duplicate,
}

/// The numbers of one camera since its start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sequence {
    newest: Option<u64>,
    /// Bit n: `newest - n` was seen.
    seen: u64,
}

impl Sequence {
    /// Takes the next message's number.
    pub(super) fn take(&mut self, number: u64) -> Verdict {
        let Some(newest) = self.newest else {
            *self = Self { newest: Some(number), seen: 1 };
            return Verdict::New { missing: 0 };
        };
        if number > newest {
            let ahead = number - newest;
            let shifted = u32::try_from(ahead).ok().and_then(|by| self.seen.checked_shl(by)).unwrap_or(0);
            *self = Self { newest: Some(number), seen: shifted | 1 };
            return Verdict::New { missing: ahead - 1 };
        }
        let back = newest - number;
        // Too old to remember: late or repeated, no matter which, it is not used.
        let bit = u32::try_from(back).ok().and_then(|by| 1u64.checked_shl(by)).unwrap_or(0);
        if self.seen & bit != 0 {
            return Verdict::Duplicate;
        }
        self.seen |= bit;
        Verdict::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_late_and_repeated_numbers_are_told_apart() {
        let mut s = Sequence::default();
        assert_eq!(s.take(5), Verdict::New { missing: 0 });
        assert_eq!(s.take(5), Verdict::Duplicate);
        assert_eq!(s.take(8), Verdict::New { missing: 2 });
        assert_eq!((s.take(6), s.take(6), s.take(7)), (Verdict::Late, Verdict::Duplicate, Verdict::Late));
        assert_eq!(s.take(u64::MAX), Verdict::New { missing: u64::MAX - 9 });
        assert_eq!(s.take(0), Verdict::Late);
    }

    proptest! {
        #[test]
        fn each_number_is_new_or_late_at_most_once_within_the_window(
            numbers in proptest::collection::vec(0u64..64, 1..200)
        ) {
            let mut s = Sequence::default();
            let mut seen = std::collections::BTreeSet::new();
            for n in numbers {
                prop_assert_eq!(s.take(n) == Verdict::Duplicate, !seen.insert(n));
            }
        }
    }
}
