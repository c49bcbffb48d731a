//! What is expected of a track in a frame, before it takes a detection: all that the stages ask of it.
//!
//! A copy, since boxes are gone through from left to right, and the tracks lie in the order of their births:
//! in a crowd most of the time would go into fetching them, a piece here and a piece there.

use super::filter::Fit;
use super::options::{Motion, Options};
use super::tracklet::Tracklet;
use crate::base::Time;
use crate::model::{BBox, Class, Detection};

#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Whose it is.
    pub(super) tracklet: usize,
    /// Where, pixels.
    pub(super) bbox: BBox,
    /// Of the centre along x and y, and of the height, square pixels.
    variance: [f64; 3],
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
    pub(super) fn of(tracklet: &Tracklet, index: usize, now: Time) -> Self {
        Self {
            tracklet: index,
            bbox: tracklet.filter.bbox(),
            variance: tracklet.filter.variance(),
            class: tracklet.class,
            confirmed: tracklet.confirmed(),
            sure: tracklet.sure,
            missed: tracklet.misses > 0,
            unseen_s: tracklet.unseen_s(now),
            covered: 0.0,
            seen: false,
        }
    }

    /// How well a detected box fits, by its centre and height.
    pub(super) fn fit(&self, bbox: BBox, m: &Motion) -> Fit {
        let ([x, y, tall], h) = (self.variance, self.bbox.height);
        let (at, expected) = (bbox.center(), self.bbox.center());
        let (place, height) = ((m.place_noise * h).powi(2), (m.height_noise * h).powi(2));
        let mut fit = Fit::NONE;
        fit.add(at.x - expected.x, x + place, h);
        fit.add(at.y - expected.y, y + place, h);
        fit.add(bbox.height - h, tall + height, h);
        fit
    }

    /// The variance with which a detected centre is expected along x and y, square pixels.
    pub(super) fn variance_of_center(&self, m: &Motion) -> [f64; 2] {
        let place = (m.place_noise * self.bbox.height).powi(2);
        [self.variance[0] + place, self.variance[1] + place]
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
