//! Where a track is in the picture: whether it ever left the place where it appeared, and for how long it has been
//! in one zone.
//!
//! Both need no metres. A thing that is put down, a door that opens or a lamp that goes on appears where it stays;
//! persons and vehicles come from somewhere. A box that only grows or shrinks stays in its place: what counts is the
//! overlap in parts of the smaller box.

use crate::base::Time;
use crate::model::BBox;

/// A track has left its place when the smaller of its first and its present box lies in the other with less than this
/// part of its area.
const OVERLAP_MAX: f64 = 0.5;
/// For at least this long, seconds: longer than a slip of the detector.
const AWAY_S: f64 = 0.3;
/// Outside a zone for no longer than this is no departure, seconds.
const STRAY_S: f64 = 1.0;

/// Whether a track ever left the place where it appeared.
#[derive(Debug)]
pub(super) struct Origin {
    /// Its first box, pixels.
    first: BBox,
    away_since: Option<Time>,
    left: bool,
}

impl Origin {
    pub(super) fn new(bbox: BBox) -> Self {
        // A box without area has no place in the picture that could be left.
        let left = bbox.area() <= 0.0;
        Self { first: bbox, away_since: None, left }
    }

    /// Takes in where the track is now; returns whether it is where it has always been.
    pub(super) fn is_kept(&mut self, bbox: BBox, now: Time) -> bool {
        if !self.left {
            let smaller = self.first.area().min(bbox.area());
            let away = self.first.intersection(bbox) < OVERLAP_MAX * smaller;
            self.away_since = away.then(|| self.away_since.unwrap_or(now));
            self.left = self.away_since.is_some_and(|since| now.since(since).as_secs_f64() >= AWAY_S);
        }
        !self.left
    }
}

/// For how long a track has been in one zone.
#[derive(Debug, Default)]
pub(super) struct Stay {
    /// Which zone, and since when.
    inside: Option<(usize, Time)>,
    strayed: Option<Time>,
}

impl Stay {
    /// Takes in the zone in which the track is now; returns for how long, seconds, 0 outside.
    pub(super) fn seconds(&mut self, zone: Option<usize>, now: Time) -> f64 {
        match (self.inside, zone) {
            (Some((stays, _)), Some(here)) if stays == here => self.strayed = None,
            (Some(_), _) => {
                let since = *self.strayed.get_or_insert(now);
                if now.since(since).as_secs_f64() > STRAY_S {
                    *self = Self { inside: zone.map(|zone| (zone, now)), strayed: None };
                }
            }
            (None, _) => self.inside = zone.map(|zone| (zone, now)),
        }
        self.inside.map_or(0.0, |(_, since)| now.since(since).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(s: f64) -> Time {
        Time::default() + Duration::from_secs_f64(s)
    }

    fn stays(boxes: impl Fn(f64) -> BBox) -> bool {
        let mut origin = Origin::new(boxes(0.0));
        (0..=100).map(|i| f64::from(i) * 0.1).map(|t| origin.is_kept(boxes(t), at(t))).last().unwrap()
    }

    #[test]
    fn a_door_that_opens_and_a_thing_that_is_put_down_stay_and_a_walker_does_not() {
        assert!(stays(|t| BBox::new(200.0, 50.0, (20.0 * t).clamp(4.0, 60.0), 150.0)), "a door");
        assert!(stays(|t| BBox::new(200.0 + (7.0 * t).sin(), 50.0, 20.0, 30.0)), "a bin in noise");
        assert!(!stays(|t| BBox::new(200.0 + 8.0 * t, 50.0, 30.0, 80.0)), "a walker across");
        let towards = |t: f64| BBox::new(200.0 - t, 50.0 + 8.0 * t, 30.0 + 2.0 * t, 80.0 + 4.0 * t);
        assert!(!stays(towards), "a walker towards the camera");
        assert!(!stays(|_| BBox::default()), "without a box nothing is known");
    }

    #[test]
    fn a_slip_of_the_detector_is_no_movement() {
        let slip = |t: f64| if (t - 5.0).abs() < 0.05 { 300.0 } else { 200.0 };
        assert!(stays(|t| BBox::new(slip(t), 50.0, 20.0, 30.0)));
    }

    #[test]
    fn a_stay_in_a_zone_outlasts_a_second_outside_it_and_ends_after_more() {
        let mut stay = Stay::default();
        let seen = [
            (None, 0.0, 0.0),
            (Some(1), 1.0, 0.0),
            (None, 9.0, 8.0),
            (Some(1), 10.0, 9.0),
            (Some(0), 11.0, 10.0),
            (Some(0), 12.5, 0.0),
            (Some(0), 13.5, 1.0),
        ];
        for (zone, at_s, stayed_s) in seen {
            assert!((stay.seconds(zone, at(at_s)) - stayed_s).abs() < 1e-9, "{at_s}");
        }
    }
}
