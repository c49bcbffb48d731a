//! What is expected of a track in a frame, before it takes a detection: all that the stages ask of it.
//!
//! A copy, since boxes are gone through from left to right, and the tracks lie in the order of their births:
//! in a crowd most of the time would go into fetching them, a piece here and a piece there.

use super::filter::Fit;
use super::options::{Motion, Options};
use super::tracklet::Tracklet;
use crate::base::Time;
use crate::model::{BBox, Class, Detection};

#[expect(clippy::struct_excessive_bools, reason = "four facts, each asked for by itself")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Whose it is.
    pub(super) tracklet: usize,
    /// Where, pixels.
    pub(super) bbox: BBox,
    /// With which a detection's centre along x and y, and its height, are expected: square pixels, and one by
    /// that.
    variance: [f64; 3],
    precision: [f64; 3],
    pub(super) class: Class,
    pub(super) confirmed: bool,
    /// One of its detections was sure.
    sure: bool,
    /// It had no detection in the last frame.
    missed: bool,
    /// Since its last detection.
    pub(super) unseen_s: f64,
    /// Overlap with the other confirmed track that covers it most, 0..1.
    pub(super) covered: f64,
    /// It has its detection of this frame.
    pub(super) seen: bool,
}

impl Expected {
    /// Of the track at the place `index`, which has been moved to `now`.
    pub(super) fn of(tracklet: &Tracklet, index: usize, now: Time, m: &Motion) -> Self {
        let bbox = tracklet.filter.bbox();
        let [place, tall] = [m.place_noise, m.height_noise].map(|noise| (noise * bbox.height).powi(2));
        let [x, y, height] = tracklet.filter.variance();
        let variance = [x + place, y + place, height + tall];
        Self {
            tracklet: index,
            bbox,
            variance,
            precision: variance.map(|v| 1.0 / v),
            class: tracklet.class,
            confirmed: tracklet.confirmed,
            sure: tracklet.sure,
            missed: tracklet.misses > 0,
            unseen_s: tracklet.unseen_s(now),
            covered: 0.0,
            seen: false,
        }
    }

    /// The squared Mahalanobis distance of a detected box, by its centre and height.
    pub(super) fn distance(&self, bbox: BBox) -> f64 {
        let (at, expected) = (bbox.center(), self.bbox.center());
        let off = [at.x - expected.x, at.y - expected.y, bbox.height - self.bbox.height];
        off.iter().zip(self.precision).map(|(off, precision)| off * off * precision).sum()
    }

    /// How well a detected box fits.
    pub(super) fn fit(&self, bbox: BBox) -> Fit {
        Fit::new(self.distance(bbox), self.variance, self.bbox.height)
    }

    /// The variance with which a detected centre is expected along x and y, square pixels.
    pub(super) fn variance_of_center(&self) -> [f64; 2] {
        [self.variance[0], self.variance[1]]
    }

    /// The stage by overlap in which it may meet a detection of these odds, as an index.
    pub(super) fn stage(&self, odds: f64, options: &Options) -> Option<usize> {
        if !self.sure {
            return Some(2);
        }
        let followed = self.unseen_s <= options.overlap_s;
        followed.then_some(usize::from(odds < options.sure_odds))
    }

    /// Whether it is looked for by distance: a lost one, or a new one that jumped.
    pub(super) fn may_be_far(&self) -> bool {
        !self.seen && (self.confirmed || self.sure && !self.missed)
    }

    /// Whether a detection can be of its class.
    pub(super) fn compatible(&self, detection: &Detection) -> bool {
        self.class.compatible(detection.class)
    }
}
