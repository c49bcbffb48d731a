//! Which pairs may be, and what they are worth: all of the arithmetic that decides about a pair.
//!
//! A gate looks at one track and one detection, or at a lost and a new track, and gives what the pair is
//! worth beside staying alone, or a refusal. It is asked of every pair that is near, so the cheap
//! questions come first. All are asked after the boxes have been predicted and before any track of the
//! stage is updated.

use std::fmt;

use super::Options;
use super::expected::Expected;
use super::filter::Fit;
use super::tracklet::Tracklet;
use crate::model::{BBox, Class, Detection};

/// Why a track and a detection, or two tracks, can't be the same object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal {
    /// They are of classes that exclude each other: this is the track's.
    Class(Class),
    /// They overlap by no more than `iou_min`.
    Overlap {
        /// `IoU`, 0..1, after what their distance and a track that is not confirmed cost.
        overlap: f64,
        /// `iou_min`.
        min: f64,
    },
    /// They are not nearer than `gate`.
    Distance {
        /// Squared Mahalanobis distance.
        distance: f64,
        /// `gate`.
        max: f64,
    },
    /// A new object is likelier.
    New {
        /// Of finding the track here, for each cube of place and height, in heights.
        density: f64,
        /// `birth_density`.
        min: f64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => write!(f, "the track is a {class}"),
            Self::Overlap { overlap, min } => write!(f, "overlap {overlap:.2}, {min:.2} is too little"),
            Self::Distance { distance, max } => write!(f, "distance {distance:.1}, {max:.1} is too far"),
            Self::New { density, min } => {
                write!(f, "likelier new: density {density:.3}, of new ones it is {min:.3}")
            }
        }
    }
}

/// How much more a track and a detection overlap than they must: `IoU`, less
/// what their distance and a doubtful track cost.
pub(super) fn overlap(expected: &Expected, detection: &Detection, options: &Options) -> Result<f64, Refusal> {
    let iou = expected.bbox.iou(detection.bbox);
    if iou <= options.iou_min {
        return Err(Refusal::Overlap { overlap: iou, min: options.iou_min });
    }
    if !expected.compatible(detection) {
        return Err(Refusal::Class(expected.class));
    }
    let doubt = if expected.confirmed { 0.0 } else { options.tentative_cost };
    let stray = expected.distance(detection.bbox);
    let net = iou - options.stray_cost * stray - doubt;
    if net > options.iou_min {
        Ok(net - options.iou_min)
    } else {
        Err(Refusal::Overlap { overlap: net, min: options.iou_min })
    }
}

/// The part of a box that every other meets that overlaps it by more than `iou_min`: to share that part of
/// the area, it must share that part of each side.
pub(super) fn core(b: BBox, options: &Options) -> BBox {
    // The last bits are rounding.
    let inset = options.iou_min * (1.0 - 1e-9);
    let (x, y) = (inset * b.width, inset * b.height);
    BBox::new(b.left + x, b.top + y, b.width - 2.0 * x, b.height - 2.0 * y)
}

/// How much likelier it is, as a logarithm, that a detection is this track than that it is new.
pub(super) fn found(expected: &Expected, detection: &Detection, options: &Options) -> Result<f64, Refusal> {
    if !expected.compatible(detection) {
        return Err(Refusal::Class(expected.class));
    }
    likelier_than_new(expected.fit(detection.bbox), options)
}

/// How much likelier it is, as a logarithm, that a new track is this lost one than that it is new.
pub(super) fn join(lost: &Tracklet, new: &Tracklet, options: &Options) -> Result<f64, Refusal> {
    if !lost.class.compatible(new.class) {
        return Err(Refusal::Class(lost.class));
    }
    likelier_than_new(lost.filter.fit_of(&new.filter), options)
}

/// How far away along one axis, where the variance is this, a detection or a new track may be, pixels.
pub(super) fn reach(variance: f64, options: &Options) -> f64 {
    // The distance is never less than that along one axis. The last bits are rounding.
    (options.gate * variance).sqrt() * (1.0 + 1e-9)
}

fn likelier_than_new(fit: Fit, options: &Options) -> Result<f64, Refusal> {
    if fit.distance >= options.gate || fit.distance.is_nan() {
        return Err(Refusal::Distance { distance: fit.distance, max: options.gate });
    }
    let log_density = fit.log_density();
    let worth = log_density - options.birth_density.ln();
    if worth > 0.0 {
        Ok(worth)
    } else {
        Err(Refusal::New { density: log_density.exp(), min: options.birth_density })
    }
}
