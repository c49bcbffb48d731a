//! How far a camera can be relied on: its systematic errors, its noise, and its word.
//!
//! All of it comes from residuals: where a camera says that somebody is, against where the *others* say
//! so at the same moment. A residual that stays the same is a calibration that is a little off; one that
//! points along everybody's way is a clock that is a little off; its size against what the messages
//! claim is the scale of the camera's noise. Each is followed by a slow integrator and corrected within
//! a named limit; what lies beyond is not corrected, and shows.
//!
//! A camera whose people nobody else sees, where at least two others look, disagrees; one that mostly
//! disagrees is muted: its reports are compared with the others', but not fused, until it has agreed for
//! a while. An honest camera that is alone at a place is judged by nobody.

use nalgebra::{Matrix3, Vector3};

use super::motion::{Cov, mahalanobis2};
use crate::base::portable::{exp, ln};
use crate::model::Point;

/// Largest calibration offset that is corrected, metres.
pub const BIAS_MAX_M: f64 = 0.5;
/// Largest lag that is told, seconds.
pub const LAG_MAX_S: f64 = 1.0;
/// Smaller offsets are left alone: they differ from place to place, and may be everybody else's.
const BIAS_DOUBT_M: f64 = 0.2;
/// Limits of the factor on a camera's claimed covariances.
const NOISE_LIMITS: (f64, f64) = (0.04, 25.0);
/// Residuals that are remembered: the older ones fade.
const COMPARED_MEMORY: f64 = 400.0;
/// What is assumed before anything was compared: standard deviations of a residual, of a calibration
/// offset (metres), and of a lag (seconds).
const RESIDUAL_SIGMA_M: f64 = 0.2;
const BIAS_SIGMA_M: f64 = 0.1;
const LAG_SIGMA_S: f64 = 0.1;
const NOISE_GAIN: f64 = 0.02;
const NOISE_LN_BEGIN: f64 = 0.0;
/// A walk, and the width of a body: a tracker sees that boxes overlap, and takes one for another where people
/// step farther between two frames than they are wide.
const WALK_MPS: f64 = 1.4;
const BODY_M: f64 = 0.5;
/// Squared residual over its covariance that is still plausible.
const PLAUSIBLE: f64 = 9.0;
/// Frames whose gaps are remembered.
const FRAMES_MAX: u32 = 10;
/// What a camera says of one person within this time is one judgement, seconds: a foot that is hidden, or a
/// shadow taken for one, is so for frames on end.
const JUDGED_EVERY_S: f64 = 0.5;
/// Judgements that are remembered: the older ones fade.
const JUDGED_MEMORY: f64 = 60.0;
/// A camera is muted above this part of disagreement, and heard again below the other.
const MUTE_ABOVE: f64 = 0.6;
const HEAR_BELOW: f64 = 0.3;
/// Nobody is muted on fewer judgements.
const JUDGED_MIN: f64 = 20.0;
/// A muted camera stays so for at least this long, milliseconds.
const MUTED_MIN_MS: i64 = 30_000;

/// What is known of one camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    /// Fading normal equations of residual = offset - velocity * clock.
    normal: Matrix3<f64>,
    right: Vector3<f64>,
    /// The offset by its own residuals alone, metres.
    solved_m: Point,
    /// Where it says people are, less where the others say so, metres: that, less the site's mean.
    pub(super) bias_m: Point,
    /// How far behind the others it says people are on their ways, seconds: a clock that is ahead, or a
    /// filter that is slow. Told, and not corrected: arrivals tell clocks better (see `roster`).
    pub(super) lag_s: f64,
    /// Natural logarithm of the factor on its covariances.
    noise_ln: f64,
    /// Judgements, fading.
    agreed: f64,
    disagreed: f64,
    /// Since when it is muted.
    muted_ms: Option<i64>,
    /// Usual time between its frames, seconds; and on how many it stands, at most [`FRAMES_MAX`].
    pub(super) cadence_s: f64,
    frames: u32,
    /// Its last frame.
    pub(super) scanned_ms: i64,
    /// Residuals taken in.
    pub(super) compared: u64,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            normal: Matrix3::zeros(),
            right: Vector3::zeros(),
            solved_m: Point::default(),
            bias_m: Point::default(),
            lag_s: 0.0,
            noise_ln: NOISE_LN_BEGIN,
            agreed: 0.0,
            disagreed: 0.0,
            muted_ms: None,
            cadence_s: 0.5,
            frames: 0,
            scanned_ms: i64::MIN,
            compared: 0,
        }
    }
}

impl Standing {
    /// The clock that all times here are on was stepped forward by so much, milliseconds.
    pub(super) fn clock_stepped(&mut self, by_ms: i64) {
        if self.has_reported() {
            self.scanned_ms = self.scanned_ms.saturating_add(by_ms);
        }
        self.muted_ms = self.muted_ms.map(|since_ms| since_ms.saturating_add(by_ms));
    }

    /// Whether it ever reported; of who has not nothing is known.
    pub(super) fn has_reported(&self) -> bool {
        self.scanned_ms != i64::MIN
    }

    /// What is taken off its positions: what its offset has beyond what may be chance, metres.
    pub(super) fn correction_m(&self) -> Point {
        let length = self.bias_m.norm();
        if length > BIAS_DOUBT_M { self.bias_m * (1.0 - BIAS_DOUBT_M / length) } else { Point::default() }
    }

    /// The factor on its claimed covariances.
    pub(super) fn noise(&self) -> f64 {
        exp(self.noise_ln)
    }

    /// How far its tracks are believed to stay with whom they are, 0..1: at ten frames a second nearly always, at
    /// two hardly where people pass one another.
    pub(super) fn track_trust(&self) -> f64 {
        let step = WALK_MPS * self.cadence_s / BODY_M;
        exp(-step * step)
    }

    /// Whether it is left out.
    pub(super) fn is_muted(&self) -> bool {
        self.muted_ms.is_some()
    }

    /// Since when.
    pub(super) fn muted_ms(&self) -> Option<i64> {
        self.muted_ms
    }

    /// How much of what it says the others bear out, 0..1; a half while nothing was compared.
    pub(super) fn agreement(&self) -> f64 {
        (self.agreed + 1.0) / (self.agreed + self.disagreed + 2.0)
    }

    /// How many residuals its offsets stand on, at most the memory's length.
    fn trust(&self) -> f64 {
        (self.compared as f64).min(COMPARED_MEMORY)
    }

    /// Notes a frame.
    pub(super) fn scan(&mut self, at_ms: i64) {
        let gap_s = at_ms.saturating_sub(self.scanned_ms) as f64 * 1e-3;
        if (0.01..=2.0).contains(&gap_s) {
            self.frames = (self.frames + 1).min(FRAMES_MAX);
            self.cadence_s += (gap_s - self.cadence_s) / f64::from(self.frames);
        }
        self.scanned_ms = self.scanned_ms.max(at_ms);
    }

    /// Takes in where it sees somebody less where the others do, with the covariance of that, and how
    /// that person moves.
    pub(super) fn compare(&mut self, residual_m: Point, cov: Cov, velocity_mps: Point) {
        self.compared += 1;
        let d2 = mahalanobis2(residual_m, cov);
        let (least, most) = NOISE_LIMITS;
        self.noise_ln =
            (self.noise_ln + NOISE_GAIN * (0.5 * d2 - 1.0).clamp(-1.0, 3.0)).clamp(ln(least), ln(most));
        // The residual as it was before anything was corrected; what is far off is somebody else.
        let raw = residual_m + self.correction_m();
        let weight = 1.0 / (1.0 + d2 / PLAUSIBLE);
        let keep = 1.0 - 1.0 / COMPARED_MEMORY;
        self.normal *= keep;
        self.right *= keep;
        for (row, y) in [
            (Vector3::new(1.0, 0.0, -velocity_mps.x), raw.x),
            (Vector3::new(0.0, 1.0, -velocity_mps.y), raw.y),
        ] {
            self.normal += row * row.transpose() * weight;
            self.right += row * (weight * y);
        }
        let ridge = |sigma: f64| (RESIDUAL_SIGMA_M / sigma) * (RESIDUAL_SIGMA_M / sigma);
        let prior = Vector3::new(ridge(BIAS_SIGMA_M), ridge(BIAS_SIGMA_M), ridge(LAG_SIGMA_S));
        if let Some(solved) =
            (self.normal + Matrix3::from_diagonal(&prior)).try_inverse().map(|inverse| inverse * self.right)
        {
            self.solved_m = limited(Point::new(solved[0], solved[1]), BIAS_MAX_M);
            self.lag_s = solved[2].clamp(-LAG_MAX_S, LAG_MAX_S);
        }
    }

    /// Takes in whether the others bear out one of its reports; what is said in every frame counts for as long
    /// as it is said, not for as often.
    pub(super) fn judge(&mut self, borne_out: bool, now_ms: i64) {
        let weight = (self.cadence_s / JUDGED_EVERY_S).min(1.0);
        let keep = 1.0 - weight / JUDGED_MEMORY;
        self.agreed *= keep;
        self.disagreed *= keep;
        *(if borne_out { &mut self.agreed } else { &mut self.disagreed }) += weight;
        let disagreement = 1.0 - self.agreement();
        match self.muted_ms {
            None if self.agreed + self.disagreed >= JUDGED_MIN && disagreement > MUTE_ABOVE => {
                self.muted_ms = Some(now_ms);
                // What it is off by is no measure of its noise.
                self.noise_ln = NOISE_LN_BEGIN;
            }
            Some(since) if disagreement < HEAR_BELOW && now_ms - since >= MUTED_MIN_MS => {
                self.muted_ms = None;
            }
            _ => {}
        }
    }
}

/// Residuals say only how cameras differ: an error that all share is nobody's. So the offsets of the site's
/// cameras have the mean zero. A camera that was never compared has none: the mean of the others is not its.
pub(super) fn centre(all: &mut [Standing]) {
    let known = |s: &&mut Standing| s.compared > 0 && !s.is_muted();
    let weight: f64 = all.iter_mut().filter(known).map(|s| s.trust()).sum();
    if weight <= 0.0 {
        return;
    }
    let mean =
        all.iter_mut().filter(known).fold(Point::default(), |sum, s| sum + s.solved_m * (s.trust() / weight));
    for s in all.iter_mut().filter(|s| s.compared > 0) {
        s.bias_m = s.solved_m - mean;
    }
}

fn limited(v: Point, most: f64) -> Point {
    let length = v.norm();
    if length > most { v * (most / length) } else { v }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_was_never_compared_gets_no_offset_however_often_the_others_are_centred() {
        let mut all = [Standing::default(); 3];
        for s in &mut all[..2] {
            s.compare(Point::new(0.4, 0.0), [0.01, 0.0, 0.01], Point::default());
        }
        all[1].compare(Point::new(-0.1, 0.2), [0.01, 0.0, 0.01], Point::default());
        for _ in 0..1_000 {
            centre(&mut all);
        }
        assert_eq!(all[2].bias_m, Point::default());
        let sum = all[0].bias_m * all[0].trust() + all[1].bias_m * all[1].trust();
        assert!(sum.norm() < 1e-9 && all[0].bias_m.norm() < BIAS_MAX_M, "{all:?}");
    }

    /// A camera of ten frames a second that sees three people; when it is muted, in seconds.
    fn muted_after_s(is_borne_out: impl Fn(f64) -> bool) -> Option<f64> {
        let mut camera = Standing::default();
        for frame in 0..300_i64 {
            let now_ms = 100 * frame;
            camera.scan(now_ms);
            for _ in 0..3 {
                camera.judge(is_borne_out(now_ms as f64 * 1e-3), now_ms);
            }
        }
        camera.muted_ms().map(|ms| ms as f64 * 1e-3)
    }

    #[test]
    fn feet_that_are_hidden_for_a_second_do_not_mute_a_camera_of_many_frames_and_lies_do_within_ten() {
        assert_eq!(muted_after_s(|at_s| at_s > 1.0), None);
        assert_eq!(muted_after_s(|at_s| at_s % 4.0 > 1.0), None);
        assert!(muted_after_s(|_| false).is_some_and(|s| s < 10.0));
    }
}
