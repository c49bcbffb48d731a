//! What a detector's scores are worth: their scale, learned from the detections that tracks take.
//!
//! One detector gives an object 0.99, another 0.4; for both it is as sure. Scores become odds, and as long
//! as nearly none of the detections that continue a track are sure, all odds are raised. A detector that is sure of some
//! means what it says, however many doubtful boxes it reports beside. Nothing is ever lowered: of a detector that is sure
//! of everything there is nothing to learn.

use super::Options;

/// No single detection is surer, or less sure, than this.
const SCORE_LIMITS: (f64, f64) = (0.005, 0.995);
/// How far one detection moves the scale at most, natural units: where all scores are low it rises by a unit in forty
/// detections, two seconds of a walk through the picture.
const STEP: f64 = 0.1;
/// Most that odds are raised, natural units.
const RAISE_MAX: f64 = 5.0;

/// The scale of one detector's scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    sure_odds: f64,
    doubt_share: f64,
    /// The odds below which `doubt_share` of the detections fall.
    low: f64,
    /// Where this frame moves `low`.
    next: f64,
}

impl Scale {
    /// Scores are probabilities until they turn out to be something else.
    pub(super) fn new(options: &Options) -> Self {
        let low = options.sure_odds;
        Self { sure_odds: low, doubt_share: options.doubt_share, low, next: low }
    }

    /// Goes by other options from now on; what the detector's scores were found to lack stays.
    pub(super) fn set_options(&mut self, options: &Options) {
        let moved = options.sure_odds - self.sure_odds;
        *self = Self {
            sure_odds: options.sure_odds,
            doubt_share: options.doubt_share,
            low: self.low + moved,
            next: self.next + moved,
        };
    }

    /// ln of the odds that a detection of this score is an object.
    pub(super) fn odds(&self, score: f64) -> f64 {
        log_odds(score) + self.raise()
    }

    /// The score of these odds, 0..1; 0 where each score has more.
    pub(super) fn score(&self, odds: f64) -> f64 {
        let score = 1.0 / (1.0 + (self.raise() - odds).exp());
        if score > SCORE_LIMITS.0 { score } else { 0.0 }
    }

    fn raise(&self) -> f64 {
        let short = self.sure_odds - self.low;
        // A step more: among scores that are all alike the quantile wavers by that.
        if short > 0.0 { (short + STEP).min(RAISE_MAX) } else { 0.0 }
    }

    /// A detection of this score went on a track (stochastic approximation of a quantile; Robbins &
    /// Monro 1951). It counts from the next frame on.
    pub(super) fn learn(&mut self, score: f64) {
        let is_low = log_odds(score) < self.low;
        self.next += STEP * (self.doubt_share - f64::from(u8::from(is_low)));
    }

    /// The next frame begins.
    pub(super) fn settle(&mut self) {
        self.next = self.next.clamp(self.sure_odds - RAISE_MAX, self.sure_odds + RAISE_MAX);
        self.low = self.next;
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
            scale.learn(*score);
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
    fn a_network_that_reports_every_doubtful_box_beside_sure_ones_means_what_it_says() {
        let scale = after(&[0.02, 0.1, 0.3, 0.95, 0.96]);
        for score in [0.02, 0.1, 0.3, 0.95] {
            assert!((scale.odds(score) - log_odds(score)).abs() < 0.2, "{score}: {scale:?}");
        }
    }

    #[test]
    fn scores_that_are_probabilities_stay_what_they_are() {
        let scale = after(&[0.6, 0.95, 0.97, 0.98, 0.99]);
        assert!((scale.odds(0.9) - log_odds(0.9)).abs() < 0.2, "{scale:?}");
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
    fn odds_are_finite_and_raised_by_no_more_than_the_limit() {
        let scale = after(&[0.0]);
        assert!(scale.odds(0.0) <= log_odds(0.0) + RAISE_MAX && scale.odds(1.0).is_finite(), "{scale:?}");
    }
}
