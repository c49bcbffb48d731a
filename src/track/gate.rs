//! Which pairs may be, and what they cost: all of the arithmetic that decides about a pair.
//!
//! A gate looks at one track and one detection and gives a measure or a refusal. It is cheap, for it
//! is asked of every pair that is near. A cost may be dearer: it is asked only of pairs that others
//! contest. Both are asked after the boxes have been predicted and before any track of the stage is
//! updated.

use std::fmt;

use super::Options;
use super::tracklet::Tracklet;
use crate::model::{BBox, Class, Detection};

/// Why a track and a detection, or two tracks, can't be the same object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal {
    /// They are of classes that exclude each other: this is the track's.
    Class(Class),
    /// They overlap by less than `iou_min` (`IoU`, 0..1).
    Overlap(f64),
    /// Their squared Mahalanobis distance is not below `gate`.
    Distance(f64),
    /// Their heights differ by this factor, more than `size_gate` allows.
    Size(f64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => write!(f, "the track is a {class}"),
            Self::Overlap(iou) => write!(f, "overlap {iou:.2}"),
            Self::Distance(distance) => write!(f, "distance {distance:.1}"),
            Self::Size(factor) => write!(f, "{factor:.2} times as high"),
        }
    }
}

/// Overlap (`IoU`) of a track, expected at `expected`, and a detection.
pub(super) fn overlap(
    tracklet: &Tracklet,
    expected: BBox,
    detection: &Detection,
    options: &Options,
) -> Result<f64, Refusal> {
    if !tracklet.class.compatible(detection.class) {
        return Err(Refusal::Class(tracklet.class));
    }
    let iou = expected.iou(detection.bbox);
    if iou >= options.iou_min && iou > 0.0 { Ok(iou) } else { Err(Refusal::Overlap(iou)) }
}

/// What the stages by overlap minimise.
pub(super) fn overlap_cost(tracklet: &Tracklet, detection: &Detection, iou: f64, options: &Options) -> f64 {
    let doubt = if tracklet.confirmed() { 0.0 } else { options.tentative_cost };
    options.direction_cost * tracklet.turn(detection.bbox) + doubt - iou
}

/// Squared Mahalanobis distance of a track and a detection.
pub(super) fn distance(
    tracklet: &Tracklet,
    detection: &Detection,
    options: &Options,
) -> Result<f64, Refusal> {
    if !tracklet.class.compatible(detection.class) {
        return Err(Refusal::Class(tracklet.class));
    }
    let distance = tracklet.filter.distance(detection.bbox, &options.motion);
    near(distance, detection.bbox.height / tracklet.filter.bbox().height, options)
}

/// What the stage by distance minimises.
pub(super) fn distance_cost(tracklet: &Tracklet, distance: f64, options: &Options) -> f64 {
    0.5 * (distance + tracklet.filter.spread(&options.motion))
}

/// Squared Mahalanobis distance of a lost track and a new one that may be it.
pub(super) fn join(lost: &Tracklet, new: &Tracklet, options: &Options) -> Result<f64, Refusal> {
    if !lost.class.compatible(new.class) {
        return Err(Refusal::Class(lost.class));
    }
    let distance = lost.filter.distance_to(&new.filter, &options.motion);
    near(distance, new.filter.bbox().height / lost.filter.bbox().height, options)
}

/// How far from a track's centre, along x, a detection or a new track may be at most, pixels.
pub(super) fn reach(tracklet: &Tracklet, options: &Options) -> f64 {
    // The distance is never less than that along x. The last bits are rounding.
    (options.gate * tracklet.filter.variance_x(&options.motion)).sqrt() * (1.0 + 1e-9)
}

fn near(distance: f64, height_ratio: f64, options: &Options) -> Result<f64, Refusal> {
    if distance >= options.gate || distance.is_nan() {
        Err(Refusal::Distance(distance))
    } else if height_ratio.ln().abs() < options.size_gate {
        Ok(distance)
    } else {
        Err(Refusal::Size(height_ratio))
    }
}
