//! Which of a camera's numbered messages are new, late, repeated or missing.
//!
//! A window of the last [`WINDOW`] numbers, as a bit set (the anti-replay window of RFC 4303, 3.4.3): 128 bytes
//! per camera, whatever it sends. A sender publishes its most important tracks first and a broker delivers a
//! backlog in one burst, so numbers arrive far out of order without any loss. A number is therefore missing only
//! when it leaves the window unseen, and each is counted once. [`Sequence::close`] counts what the window still
//! holds when the camera's stream ends.
//!
//! A gap that the sender itself made (a newer message of the same track replaced one that still waited in its
//! queue) has the same form as a loss and is counted as one: the message names no predecessor.
//!
//! Pure arithmetic; what to do with the verdict is the caller's.

/// Numbers that may arrive out of order: two seconds of a camera that publishes 50 tracks at 10 Hz.
pub(super) const WINDOW: u64 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// What a number says about its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The newest so far; with it `missing` older numbers have left the window unseen.
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
    /// The least number that may be missing, and the newest seen; none before the first message.
    span: Option<(u64, u64)>,
    /// Bit `number % WINDOW`: that number was seen, of the `WINDOW` numbers up to the newest.
    seen: [u64; WORDS],
}

impl Sequence {
    /// Takes the next message's number.
    pub(super) fn take(&mut self, number: u64) -> Verdict {
        let Some((first, newest)) = self.span else {
            self.span = Some((number, number));
            self.see(number);
            return Verdict::New { missing: 0 };
        };
        if number > newest {
            let missing = self.advance(first, newest, number);
            self.span = Some((first, number));
            self.see(number);
            return Verdict::New { missing };
        }
        // Beyond the window late and repeated are the same: it was counted as missing, or seen.
        if newest - number >= WINDOW {
            return Verdict::Late;
        }
        if self.is_seen(number) {
            return Verdict::Duplicate;
        }
        self.see(number);
        Verdict::Late
    }

    /// Ends the stream: the number of messages that the window still misses. Each is counted once.
    pub(super) fn close(&mut self) -> u64 {
        let Some((first, newest)) = self.span else { return 0 };
        let oldest = first.max(newest.saturating_sub(WINDOW - 1));
        let missing = (oldest..=newest).filter(|number| !self.is_seen(*number)).count();
        self.seen = [u64::MAX; WORDS];
        missing as u64
    }

    /// Moves the window on to a newer number; how many numbers left it, or were jumped over, unseen.
    fn advance(&mut self, first: u64, newest: u64, number: u64) -> u64 {
        let ahead = number - newest;
        let mut missing = 0;
        for entering in newest + 1..=newest + ahead.min(WINDOW) {
            let leaving = entering.checked_sub(WINDOW);
            missing += u64::from(leaving.is_some_and(|leaving| leaving >= first && !self.is_seen(leaving)));
            self.seen[word(entering)] &= !bit(entering);
        }
        missing + ahead.saturating_sub(WINDOW)
    }

    fn see(&mut self, number: u64) {
        self.seen[word(number)] |= bit(number);
    }

    fn is_seen(&self, number: u64) -> bool {
        self.seen[word(number)] & bit(number) != 0
    }
}

fn word(number: u64) -> usize {
    (number % WINDOW / 64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What is missing in a stream of these numbers, its end included, and what of it is counted before the end.
    fn missing(numbers: impl IntoIterator<Item = u64>) -> (u64, u64) {
        let mut s = Sequence::default();
        let verdicts = numbers.into_iter().map(|number| s.take(number));
        let counted: Vec<_> = verdicts.collect();
        let before =
            counted.iter().map(|v| if let Verdict::New { missing } = v { *missing } else { 0 }).sum();
        (before + s.close(), before)
    }

    #[test]
    fn gaps_late_and_repeated_numbers_are_told_apart() {
        let mut s = Sequence::default();
        assert_eq!(s.take(5), Verdict::New { missing: 0 });
        assert_eq!(s.take(5), Verdict::Duplicate);
        assert_eq!(s.take(8), Verdict::New { missing: 0 }, "6 and 7 may still come");
        assert_eq!((s.take(6), s.take(6)), (Verdict::Late, Verdict::Duplicate));
        assert_eq!(s.take(5 + WINDOW), Verdict::New { missing: 0 });
        assert_eq!(s.take(7 + WINDOW), Verdict::New { missing: 1 }, "7 has left the window unseen");
        assert_eq!(s.take(7), Verdict::Late, "too late to be told from a repetition");
        assert_eq!(s.take(u64::MAX), Verdict::New { missing: u64::MAX - 1_034 });
        assert_eq!(s.take(0), Verdict::Late);
    }

    #[test]
    fn numbers_that_arrive_in_any_order_within_the_window_miss_nothing() {
        // Blocks of a whole window, each backwards; and each frame of 50 tracks in another order.
        let backwards =
            (0..8_u64).flat_map(|block| (1..=WINDOW / 2).rev().map(move |n| block * WINDOW / 2 + n));
        assert_eq!(missing(backwards), (0, 0));
        let shuffled = (0..400_u64).flat_map(|frame| (0..50).map(move |n| frame * 50 + n * 7 % 50 + 1));
        assert_eq!(missing(shuffled), (0, 0));
    }

    #[test]
    fn a_true_gap_is_counted_once_when_it_leaves_the_window_or_when_the_stream_ends() {
        let with_gaps = |until: u64| (1..=until).filter(|n| n % 100 != 0);
        assert_eq!(missing(with_gaps(10 * WINDOW)).0, 10 * WINDOW / 100);
        assert_eq!(missing(with_gaps(999)), (9, 0), "none has left the window yet");
        let mut s = Sequence::default();
        with_gaps(999).for_each(|n| {
            s.take(n);
        });
        assert_eq!((s.close(), s.close()), (9, 0));
        assert!((1_000..5_000).all(|n| s.take(n) == Verdict::New { missing: 0 }), "not once more");
    }

    proptest! {
        #[test]
        fn each_number_is_new_or_late_at_most_once_within_the_window(
            numbers in proptest::collection::vec(0..WINDOW, 1..200)
        ) {
            let mut s = Sequence::default();
            let mut seen = BTreeSet::new();
            for n in numbers {
                prop_assert_eq!(s.take(n) == Verdict::Duplicate, !seen.insert(n));
            }
        }

        #[test]
        fn all_that_never_came_after_the_first_is_counted_exactly_once(
            steps in proptest::collection::vec(1_u64..400, 1..400), first in 0_u64..2_000,
        ) {
            let numbers: Vec<u64> = steps
                .iter()
                .scan(first, |at, step| { *at += step; Some(*at) })
                .collect();
            let span = numbers[numbers.len() - 1] - numbers[0] + 1;
            prop_assert_eq!(missing(numbers.iter().copied()).0, span - numbers.len() as u64);
        }
    }
}
