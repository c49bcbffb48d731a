//! What cameras say of one event: a set of words that only grows.
//!
//! A camera has one [`Word`] per ballot, and words are ordered: who says more is heard, so of `deny` and a
//! later `confirm` of the same camera the confirmation counts, in whatever order they come: to have seen is
//! evidence, and not to have seen is only its absence. Joining two ballots takes the greater word of each
//! camera. That is commutative, associative and idempotent (a join-semilattice), so every order, repetition
//! and partition of the same messages ends in the same ballot.
//!
//! Words come first-hand, or as told by another camera (the `votes` of an aggregate). Told words help who
//! missed the vote itself; they never outdo what the camera said itself, and need not be counted at all.
//!
//! Words of cameras that do not count ([`Standing`](super::Standing)) are kept apart, at most [`STRANGERS_MAX`], so
//! that a flood of names never displaces the word of a camera that counts. Together they weigh no more than one
//! doubtful confirmation, and they deny nothing.
//!
//! At most [`VOTERS_MAX`] cameras; beyond, those whose ids come first stay, which is again a function of the
//! set alone. Confidences are whole thousandths, as they stand on the wire, so that who sends and who reads
//! reckon with the same number.

use std::collections::BTreeMap;

use crate::base::portable::{exp, ln};
use crate::model::CameraId;

/// Cameras on one ballot. A place that more cameras see is decided by these.
pub const VOTERS_MAX: usize = 32;
/// Cameras on one ballot that do not count.
pub const STRANGERS_MAX: usize = 16;
/// The weight of all confirmations of cameras that do not count together: one doubtful view.
const STRANGERS_CONFIRM: f64 = 0.6;
/// How likely an event is that a camera denies which sees the place: it may be hidden, or missed.
const DENIED: f64 = 0.2;
/// What a confirmation counts at least and at most, whatever it says of itself: no less than a denial, and
/// nobody is certain.
const CONFIRMED: (f64, f64) = (DENIED, 0.95);

/// What a camera says. The order is that of how much it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// It can't tell: something stands before the place, or it was not looking. Asks to be left out.
    Abstain,
    /// It should see it, and does not.
    Deny,
    /// It sees it too, so sure, in thousandths.
    Confirm(u16),
}

impl Word {
    /// A confirmation with this confidence, 0..1; of 0 is none, and becomes the least there is.
    pub fn confirm(confidence: f64) -> Self {
        Self::Confirm((confidence.clamp(0.0, 1.0) * 1_000.0).round().max(1.0) as u16)
    }

    /// As it stands among the `votes` of a message: denials as 0, none for who abstains.
    pub fn confidence(self) -> Option<f64> {
        match self {
            Self::Abstain => None,
            Self::Deny => Some(0.0),
            Self::Confirm(thousandths) => Some(f64::from(thousandths) / 1_000.0),
        }
    }

    /// What it adds to the log-odds of the event; nothing for who abstains.
    pub(super) fn log_odds(self) -> f64 {
        let (least, most) = CONFIRMED;
        let p = match self {
            Self::Abstain => return 0.0,
            Self::Deny => DENIED,
            Self::Confirm(thousandths) => (f64::from(thousandths) / 1_000.0).clamp(least, most),
        };
        ln(p / (1.0 - p))
    }
}

/// The words of all cameras on one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ballot {
    firsthand: BTreeMap<CameraId, Word>,
    told: BTreeMap<CameraId, Word>,
    strangers: BTreeMap<CameraId, Word>,
}

impl Ballot {
    /// A camera's own word; whether it says anything new.
    pub fn cast(&mut self, camera: &CameraId, word: Word) -> bool {
        join(&mut self.firsthand, camera, word, VOTERS_MAX)
    }

    /// Records the word of a camera that does not count; returns whether it adds anything.
    pub fn cast_uncounted(&mut self, camera: &CameraId, word: Word) -> bool {
        join(&mut self.strangers, camera, word, STRANGERS_MAX)
    }

    /// A camera's word as another tells it; whether it says anything new.
    pub fn tell(&mut self, camera: &CameraId, word: Word) -> bool {
        join(&mut self.told, camera, word, VOTERS_MAX)
    }

    /// Removes every word of a camera; returns whether there was any.
    pub(super) fn forget(&mut self, camera: &CameraId) -> bool {
        let before = self.len();
        for words in [&mut self.firsthand, &mut self.told, &mut self.strangers] {
            words.remove(camera);
        }
        self.len() < before
    }

    /// Takes in all of another ballot on the same event.
    pub fn merge(&mut self, other: &Self) {
        for (camera, word) in &other.firsthand {
            join(&mut self.firsthand, camera, *word, VOTERS_MAX);
        }
        for (camera, word) in &other.told {
            join(&mut self.told, camera, *word, VOTERS_MAX);
        }
        for (camera, word) in &other.strangers {
            join(&mut self.strangers, camera, *word, STRANGERS_MAX);
        }
    }

    /// What a camera said itself.
    pub fn own_word(&self, camera: &CameraId) -> Option<Word> {
        self.firsthand.get(camera).copied()
    }

    /// A camera's word: its own, also while it did not count yet, else, if they are counted, as another camera reports it.
    pub fn word(&self, camera: &CameraId, count_told: bool) -> Option<Word> {
        let own = self.firsthand.get(camera).max(self.strangers.get(camera));
        own.or_else(|| self.told.get(camera).filter(|_| count_told)).copied()
    }

    /// The words of cameras that did not count when they voted.
    pub fn strangers(&self) -> impl Iterator<Item = (&CameraId, Word)> {
        self.strangers.iter().map(|(camera, word)| (camera, *word))
    }

    /// Everybody's word: their own, else, if they are counted, as another camera reports it.
    pub fn words(&self, count_told: bool) -> impl Iterator<Item = (&CameraId, Word)> {
        let told =
            self.told.iter().filter(move |(camera, _)| count_told && !self.firsthand.contains_key(*camera));
        self.firsthand.iter().chain(told).map(|(camera, word)| (camera, *word))
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.firsthand.len() + self.told.len() + self.strangers.len()
    }

    /// Whether nobody said anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn join(words: &mut BTreeMap<CameraId, Word>, camera: &CameraId, word: Word, max: usize) -> bool {
    if let Some(known) = words.get_mut(camera) {
        let says_more = word > *known;
        *known = word.max(*known);
        return says_more;
    }
    let last = words.last_key_value().map(|(last, _)| last.clone());
    if words.len() >= max {
        match last {
            Some(last) if *camera < last => words.remove(&last),
            _ => return false,
        };
    }
    words.insert(camera.clone(), word);
    true
}

/// How the cameras that were asked answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// Cameras that can see the place, who abstain left out.
    pub asked: usize,
    /// How many of them confirm.
    pub confirming: usize,
    /// How many deny.
    pub denying: usize,
    /// Cameras that do not count and confirm; they weigh as one doubtful view.
    pub uncounted: usize,
    /// Sum of the log-odds of those who answered.
    log_odds: f64,
}

impl Tally {
    /// Takes one camera that was asked, with its answer if there is one.
    pub(super) fn count(&mut self, word: Option<Word>) {
        match word {
            Some(Word::Abstain) => return,
            Some(Word::Deny) => self.denying += 1,
            Some(Word::Confirm(_)) => self.confirming += 1,
            None => {}
        }
        self.asked += 1;
        self.log_odds += word.map_or(0.0, Word::log_odds);
    }

    /// Takes the answer of a camera that does not count: a confirmation helps a little, a denial is ignored.
    pub(super) fn count_uncounted(&mut self, word: Option<Word>) {
        if !matches!(word, Some(Word::Confirm(_))) {
            return;
        }
        if self.uncounted == 0 {
            self.log_odds += ln(STRANGERS_CONFIRM / (1.0 - STRANGERS_CONFIRM));
        }
        self.uncounted += 1;
    }

    /// Whether so many deny that no quorum is left.
    pub fn is_denied(&self, quorum: f64) -> bool {
        self.denying > self.asked.saturating_sub(self.needed(quorum))
    }

    /// Cameras that have not answered.
    pub fn outstanding(&self) -> usize {
        self.asked - self.confirming - self.denying
    }

    /// How likely the event is by the answers: independent views, pooled by their log-odds (even odds
    /// before anybody speaks), 0..1.
    pub fn probability(&self) -> f64 {
        logistic(self.log_odds)
    }

    /// The same if all denied who have not answered: later answers can't make it less.
    pub fn probability_at_worst(&self) -> f64 {
        logistic(self.log_odds + self.outstanding() as f64 * Word::Deny.log_odds())
    }

    /// Confirmations needed for a quorum of this part of those asked.
    pub fn needed(&self, quorum: f64) -> usize {
        // 2/3 of three cameras are two, however the fraction was rounded.
        ((quorum * self.asked as f64 - 1e-9).ceil().max(1.0)) as usize
    }
}

fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + exp(-log_odds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = Word> {
        prop_oneof![Just(Word::Abstain), Just(Word::Deny), (1_u16..=1_000).prop_map(Word::Confirm)]
    }

    /// More cameras than fit, so that the bound is part of what is tested.
    fn ballot() -> impl Strategy<Value = Ballot> {
        prop::collection::vec((0_u8..48, word(), any::<bool>()), 0..120).prop_map(|votes| {
            let mut ballot = Ballot::default();
            for (n, word, firsthand) in votes {
                let camera = CameraId::parse(&format!("c{n:02}")).unwrap();
                if firsthand {
                    ballot.cast(&camera, word)
                } else {
                    ballot.tell(&camera, word)
                };
            }
            ballot
        })
    }

    fn merged(a: &Ballot, b: &Ballot) -> Ballot {
        let mut all = a.clone();
        all.merge(b);
        all
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in ballot(), b in ballot(), c in ballot()) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
            prop_assert!(merged(&a, &b).firsthand.len() <= VOTERS_MAX);
        }

        #[test]
        fn what_may_come_later_never_makes_it_less_likely_than_at_worst(
            answered in prop::collection::vec(word(), 0..8), later in prop::collection::vec(word(), 0..8),
        ) {
            let (mut now, mut then) = (Tally::default(), Tally::default());
            for word in &answered {
                now.count(Some(*word));
            }
            for _ in &later {
                now.count(None);
            }
            for word in answered.iter().chain(&later) {
                then.count(Some(*word));
            }
            prop_assert!(then.probability() >= now.probability_at_worst() - 1e-12);
        }
    }

    #[test]
    fn who_first_denies_and_then_sees_it_confirms_and_not_the_other_way_round() {
        let (camera, mut ballot) = (CameraId::parse("a").unwrap(), Ballot::default());
        assert!(ballot.cast(&camera, Word::Deny));
        assert!(ballot.cast(&camera, Word::confirm(0.8)));
        assert!(!ballot.cast(&camera, Word::Deny));
        assert_eq!(ballot.own_word(&camera), Some(Word::Confirm(800)));
    }

    #[test]
    fn a_camera_is_not_outvoted_by_what_others_say_that_it_said() {
        let (camera, mut ballot) = (CameraId::parse("a").unwrap(), Ballot::default());
        ballot.tell(&camera, Word::confirm(0.9));
        ballot.cast(&camera, Word::Deny);
        assert_eq!(ballot.words(true).collect::<Vec<_>>(), [(&camera, Word::Deny)]);
        let mut told_alone = Ballot::default();
        told_alone.tell(&camera, Word::confirm(0.9));
        assert_eq!((told_alone.words(true).count(), told_alone.words(false).count()), (1, 0));
    }

    #[test]
    fn a_quorum_of_two_thirds_is_two_of_three_and_three_of_four() {
        let needed = |asked| Tally { asked, ..Tally::default() }.needed(2.0 / 3.0);
        assert_eq!([1, 2, 3, 4, 6, 7].map(needed), [1, 2, 2, 3, 4, 5]);
    }

    #[test]
    fn two_who_are_fairly_sure_are_surer_together_and_a_denial_takes_some_of_it_back() {
        let pooled = |words: &[Word]| {
            let mut tally = Tally::default();
            for word in words {
                tally.count(Some(*word));
            }
            tally.probability()
        };
        let (one, two) = (pooled(&[Word::confirm(0.8)]), pooled(&[Word::confirm(0.8), Word::confirm(0.8)]));
        assert!((one - 0.8).abs() < 1e-9 && two > 0.94, "{one} {two}");
        let denied = pooled(&[Word::confirm(0.8), Word::confirm(0.8), Word::Deny]);
        assert!((0.75..0.85).contains(&denied), "{denied}");
        assert!((pooled(&[Word::confirm(0.8), Word::Abstain]) - 0.8).abs() < 1e-9);
    }
}
