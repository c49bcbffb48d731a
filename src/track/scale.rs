//! What a detector's scores are worth: their scale, learned from the detections that tracks take.
//!
//! One detector gives an object 0.99, another 0.8, a third 0.4; for each it is as sure. Scores become odds, and two
//! quantiles of the odds of what continues a track set their scale. As long as nearly none of these detections are sure,
//! all odds are raised. A detector that is sure of some means what it says, however many doubtful boxes it reports beside.
//! Where it is never quite sure, it is too modest on both sides, and its odds are multiplied, as temperature scaling does
//! (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017): 0.8 means more, 0.3 less, and 0.5 stays what it is.
//! Odds are never lowered or divided: of a detector that is sure of everything there is nothing to learn.

use super::Options;

/// No single detection is surer, or less sure, than this.
const SCORE_LIMITS: (f64, f64) = (0.005, 0.995);
/// How far one detection moves a quantile at most, natural units: where all scores are low it falls by a unit in forty
/// detections, two seconds of a walk through the picture.
const STEP: f64 = 0.1;
/// All detections of a frame move it by no more than so many: in a crowd it would waver.
const FRAME_MAX: f64 = 4.0;
/// Most that odds are raised, natural units.
const RAISE_MAX: f64 = 5.0;
/// Most that they are multiplied by.
const GAIN_MAX: f64 = 2.0;

/// A quantile of odds as they come, by stochastic approximation (Robbins & Monro 1951).
#[derive(Debug, Clone, Copy)]
struct Quantile {
    /// The part of the odds that is less, 0..1.
    below: f64,
    at: f64,
    /// Of this frame: how many odds there were, and where they want it.
    count: u32,
    sum: f64,
}

impl Quantile {
    fn new(below: f64, at: f64) -> Self {
        Self { below, at, count: 0, sum: 0.0 }
    }

    fn learn(&mut self, odds: f64) {
        self.count += 1;
        self.sum += self.below - f64::from(u8::from(odds < self.at));
    }

    /// The next frame begins; `limits` are those of the quantile.
    fn settle(&mut self, limits: (f64, f64)) {
        if self.count > 0 {
            let mean = self.sum / f64::from(self.count);
            self.at += STEP * mean * f64::from(self.count).min(FRAME_MAX);
        }
        self.at = self.at.clamp(limits.0, limits.1);
        (self.count, self.sum) = (0, 0.0);
    }
}

/// The scale of one detector's scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    sure_odds: f64,
    clear_odds: f64,
    /// Below `low` fall `doubt_share` of the detections, above `high` `clear_share`.
    low: Quantile,
    high: Quantile,
    /// In this frame: what is added to odds, and what the sum is multiplied by.
    raise: f64,
    gain: f64,
}

impl Scale {
    /// Scores are probabilities until they turn out to be something else.
    pub(super) fn new(options: &Options) -> Self {
        let mut new = Self {
            sure_odds: options.sure_odds,
            clear_odds: options.clear_odds,
            low: Quantile::new(options.doubt_share, options.sure_odds),
            high: Quantile::new(1.0 - options.clear_share, options.clear_odds),
            raise: 0.0,
            gain: 1.0,
        };
        new.settle();
        new
    }

    /// Goes by other options from now on; what the detector's scores were found to lack stays.
    pub(super) fn set_options(&mut self, options: &Options) {
        let new = Self::new(options);
        let low = self.low.at + new.sure_odds - self.sure_odds;
        let high = self.high.at + new.clear_odds - self.clear_odds;
        *self = new;
        (self.low.at, self.high.at) = (low, high);
        self.settle();
    }

    /// ln of the odds that a detection of this score is an object.
    pub(super) fn odds(&self, score: f64) -> f64 {
        (log_odds(score) + self.raise) * self.gain
    }

    /// The score of these odds, 0..1; 0 where each score has more.
    pub(super) fn score(&self, odds: f64) -> f64 {
        let score = 1.0 / (1.0 + (self.raise - odds / self.gain).exp());
        if score > SCORE_LIMITS.0 { score } else { 0.0 }
    }

    /// A detection of these odds went on a track. It counts from the next frame on.
    pub(super) fn learn(&mut self, odds: f64) {
        let odds = odds / self.gain - self.raise;
        self.low.learn(odds);
        self.high.learn(odds);
    }

    /// The next frame begins.
    pub(super) fn settle(&mut self) {
        self.low.settle((self.sure_odds - RAISE_MAX, self.sure_odds + RAISE_MAX));
        self.high.settle((log_odds(0.0), log_odds(1.0).max(self.clear_odds)));
        let short = self.sure_odds - self.low.at;
        // A step more: among scores that are all alike the quantile wavers by that.
        self.raise = if short > 0.0 { (short + STEP).min(RAISE_MAX) } else { 0.0 };
        let high = (self.high.at + self.raise).max(self.clear_odds / GAIN_MAX);
        self.gain = (self.clear_odds / high).max(1.0);
    }
}

/// ln of the odds that a score stands for, 0..1.
pub(super) fn log_odds(score: f64) -> f64 {
    let p = score.clamp(SCORE_LIMITS.0, SCORE_LIMITS.1);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(scores: &[f64]) -> Scale {
        let mut scale = Scale::new(&Options::default());
        for score in scores.iter().cycle().take(1_000) {
            scale.learn(scale.odds(*score));
            scale.settle();
        }
        scale
    }

    #[test]
    fn low_scores_become_sure_once_tracks_have_taken_enough_of_them() {
        let scale = after(&[0.3, 0.35, 0.4, 0.45]);
        assert!(scale.odds(0.45) > Options::default().sure_odds, "{scale:?}");
        assert!(scale.odds(0.1) < Options::default().sure_odds, "{scale:?}");
    }

    #[test]
    fn the_score_of_some_odds_has_these_odds() {
        let scale = after(&[0.3, 0.35, 0.4, 0.45]);
        for odds in [-1.4, 0.0, 2.0] {
            assert!((scale.odds(scale.score(odds)) - odds).abs() < 1e-9, "{scale:?}");
        }
        assert!(scale.score(-40.0) <= 0.0);
    }

    #[test]
    fn a_network_that_reports_every_doubtful_box_beside_sure_ones_means_more_than_it_says_for_and_against() {
        let scale = after(&[0.02, 0.1, 0.3, 0.9, 0.92]);
        assert!(scale.odds(0.5).abs() < 1e-9, "{scale:?}");
        for (score, more) in [(0.02, -1.0), (0.3, -1.0), (0.9, 1.0), (0.92, 1.0)] {
            let times = scale.odds(score) / log_odds(score);
            assert!(
                (1.3..=GAIN_MAX).contains(&times) && scale.odds(score) * more > 0.0,
                "{score}: {scale:?}"
            );
        }
    }

    #[test]
    fn of_a_detector_that_is_too_modest_the_true_odds_are_found_again() {
        // One in five is clear; the detector gives each thing the odds' 1.6th part.
        let true_odds = [-1.0, 1.0, 2.5, 3.5, 4.3];
        let modest = true_odds.map(|odds| 1.0 / (1.0 + f64::exp(-odds / 1.6)));
        let scale = after(&modest);
        for (score, odds) in modest.into_iter().zip(true_odds) {
            assert!(
                (scale.odds(score) - odds).abs() < 0.12 * odds.abs(),
                "{score}: {} for {odds}",
                scale.odds(score)
            );
        }
    }

    #[test]
    fn scores_that_are_probabilities_stay_what_they_are() {
        let scale = after(&[0.6, 0.95, 0.97, 0.99, 0.995]);
        for score in [0.3, 0.9] {
            assert!((scale.odds(score) - log_odds(score)).abs() < 0.2, "{scale:?}");
        }
    }

    #[test]
    fn a_frame_with_a_crowd_moves_the_scale_by_no_more_than_a_few_detections_and_in_any_order() {
        let crowd = |scores: &mut dyn Iterator<Item = f64>| {
            let mut scale = Scale::new(&Options::default());
            scores.for_each(|score| scale.learn(scale.odds(score)));
            scale.settle();
            (scale.low.at, scale.high.at)
        };
        let (low, high) = crowd(&mut (0..1_000).map(|i| f64::from(i) / 1_000.0));
        assert_eq!((low, high), crowd(&mut (0..1_000).rev().map(|i| f64::from(i) / 1_000.0)));
        let most = STEP * FRAME_MAX;
        let options = Options::default();
        assert!((low - options.sure_odds).abs() <= most && (high - options.clear_odds).abs() <= most);
    }

    #[test]
    fn what_was_learned_stays_when_sure_means_something_else() {
        let mut scale = after(&[0.3, 0.35, 0.4, 0.45]);
        let raised = scale.odds(0.4);
        scale.set_options(&Options { sure_odds: 1.0, ..Options::default() });
        assert!((scale.odds(0.4) - raised).abs() < 1e-9, "{scale:?}");
        scale.settle();
        assert!((scale.odds(0.4) - raised).abs() < 1e-9, "{scale:?}");
    }

    #[test]
    fn odds_are_finite_and_raised_by_no_more_than_the_limits() {
        let scale = after(&[0.0]);
        let most = (log_odds(0.0) + RAISE_MAX) * GAIN_MAX;
        assert!(scale.odds(0.0) <= most && scale.odds(1.0).is_finite(), "{scale:?}");
    }
}
