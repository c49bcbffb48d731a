//! Where a track is in the picture: whether it ever left the place where it appeared, and for how long it has been
//! in each zone.
//!
//! Both need no metres. A thing that is put down, a door that opens or a lamp that goes on appears where it stays;
//! persons and vehicles come from somewhere. A box that only grows or shrinks stays in its place: what counts is the
//! overlap in parts of the smaller box.

use super::Options;
use crate::base::Time;
use crate::model::{BBox, ZoneStay};

/// A track has left its place when the smaller of its first and its present box lies in the other with less than this
/// part of its area.
const OVERLAP_MAX: f64 = 0.5;
/// For at least this long, seconds: longer than a slip of the detector.
const AWAY_S: f64 = 0.3;
/// Outside a zone for no longer than this is no departure, seconds: boxes jitter at its border.
const STRAY_S: f64 = 3.0;

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

/// A zone that a track is in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inside {
    /// Index of the zone.
    pub zone: usize,
    /// Its own limit of time, seconds.
    pub dwell_s: Option<f64>,
}

/// A stay in one zone that goes on.
#[derive(Debug)]
struct Visit {
    inside: Inside,
    since: Time,
    outside_since: Option<Time>,
}

/// For how long a track has been in each zone; at most one visit per zone.
#[derive(Debug, Default)]
pub(super) struct Stays {
    visits: Vec<Visit>,
}

impl Stays {
    /// Takes in the zones in which the track is now.
    pub(super) fn take(&mut self, zones: &[Inside], now: Time) {
        self.visits.retain_mut(|visit| {
            let here = zones.iter().any(|inside| inside.zone == visit.inside.zone);
            visit.outside_since = (!here).then(|| visit.outside_since.unwrap_or(now));
            visit.outside_since.is_none_or(|since| now.since(since).as_secs_f64() <= STRAY_S)
        });
        for &inside in zones {
            if self.visits.iter().all(|visit| visit.inside.zone != inside.zone) {
                self.visits.push(Visit { inside, since: now, outside_since: None });
            }
        }
    }

    /// Returns the stay that has used up most of its limit. Without calibration each zone has a limit.
    pub(super) fn longest(&self, options: &Options, now: Time) -> Option<ZoneStay> {
        let stay = |visit: &Visit| {
            let limit_s = visit.inside.dwell_s.or((!options.metric).then_some(options.loitering_s))?;
            let seconds = now.since(visit.since).as_secs_f64();
            Some(ZoneStay { zone: visit.inside.zone, seconds, limit_s })
        };
        let part = |stay: &ZoneStay| stay.seconds / stay.limit_s;
        self.visits.iter().filter_map(stay).max_by(|a, b| part(a).total_cmp(&part(b)))
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
    fn a_stay_in_a_zone_outlasts_seconds_outside_it_and_ends_after_more() {
        type Look<'a> = (&'a [Inside], f64, Option<(usize, f64)>);
        let options = Options { metric: false, ..Options::default() };
        let mut stays = Stays::default();
        let (yard, gate) = (Inside { zone: 1, dwell_s: Some(10.0) }, Inside { zone: 0, dwell_s: None });
        let seen: [Look<'_>; 8] = [
            (&[], 0.0, None),
            (&[yard], 1.0, Some((1, 0.0))),
            (&[], 9.0, Some((1, 8.0))),
            (&[yard], 12.0, Some((1, 11.0))),
            (&[gate], 13.0, Some((1, 12.0))),
            (&[gate], 16.5, Some((0, 3.5))),
            (&[gate, yard], 18.5, Some((0, 5.5))),
            (&[gate, yard], 24.5, Some((1, 6.0))),
        ];
        for (zones, at_s, stay) in seen {
            stays.take(zones, at(at_s));
            let found = stays.longest(&options, at(at_s)).map(|s| (s.zone, s.seconds));
            assert_eq!(found, stay, "{at_s}");
        }
        let metric = stays.longest(&Options::default(), at(24.5)).map(|s| (s.zone, s.limit_s));
        assert_eq!(metric, Some((1, 10.0)), "only the zone's own limit counts");
    }
}
