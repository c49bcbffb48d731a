//! Whether what a camera claims can be: speeds, jumps, places it can't see, and how much it says.
//!
//! A report that can't be is left out, and counts against its camera. A camera most of whose reports can't
//! be, or whose claims the others deny again and again, is muted: heard, judged, and left out of fusion and
//! votes, until it has behaved for a while. (Whose reports could be, but nobody else bears out, is muted by
//! [`fusion`](crate::swarm::fusion).) Limits leave room for honest errors: the covariance that is claimed
//! with a position counts for it, up to a bound. Rates, speeds and jumps are judged by the times inside the
//! reports: a backlog that arrives in one burst is no lie ([`rate`](super::rate)).
//!
//! At most [`CAMERAS_MAX`] cameras and [`TRACKS_MAX`] tracks of each; the one not heard for longest goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rate::Rate;
use crate::base::Time;
use crate::base::portable::exp;
use crate::model::{CameraId, Class, Point, Polygon};
use crate::swarm::message::TrackMessage;

/// Cameras and tracks that are judged.
const CAMERAS_MAX: usize = 256;
const TRACKS_MAX: usize = 128;
/// Nobody runs faster, nothing drives faster on a site, metres per second.
const PERSON_MPS_MAX: f64 = 13.0;
const OTHER_MPS_MAX: f64 = 60.0;
/// What a box may jerk between two reports, and how far outside of its footprint a camera may see, metres.
const SLACK_M: f64 = 3.0;
/// Errors that are claimed excuse at most this, metres.
const EXCUSE_MAX_M: f64 = 5.0;
/// How much one report moves the part that can't be.
const GAIN: f64 = 0.02;
/// Muted above this part, heard again below the other, and not before [`MUTED_MIN`] has passed.
const MUTE_ABOVE: f64 = 0.5;
const HEAR_BELOW: f64 = 0.1;
/// So many claims that the others denied, less those they bore out, are too many; heard again below the other
/// number. Half of them are forgotten after the time.
const DENIED_MAX: f64 = 2.5;
const DENIED_HEAR_BELOW: f64 = 1.0;
const DENIED_HALF_LIFE_S: f64 = 300.0;
/// How long a camera is muted at least.
pub const MUTED_MIN: Duration = Duration::from_secs(30);

/// Why a report can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Faster than anything is.
    Speed,
    /// Somewhere else than a moment ago.
    Jump,
    /// Where the camera says that it does not see.
    Footprint,
    /// More than a camera can have to say.
    Rate,
}

impl Fault {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Speed, Self::Jump, Self::Footprint, Self::Rate];

    /// The counter's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Jump => "jump",
            Self::Footprint => "footprint",
            Self::Rate => "rate",
        }
    }
}

#[derive(Debug, Clone)]
struct Record {
    /// Where each track was last, and when by its camera's clock.
    tracks: BTreeMap<u32, (u64, Point)>,
    heard: Time,
    /// How much it reports.
    rate: Rate,
    /// The part of its reports that can't be; the older ones fade.
    impossible: f64,
    /// Claims of it that the others denied, fading, and when that was reckoned.
    denied: (f64, Time),
    muted: Option<Time>,
}

/// How the cameras behave.
#[derive(Debug, Clone, Default)]
pub(super) struct Conduct {
    cameras: BTreeMap<CameraId, Record>,
}

impl Conduct {
    /// Judges a report: why it can't be, and whether its camera was and is muted.
    pub(super) fn judge(
        &mut self,
        m: &TrackMessage,
        footprint: Option<&Polygon>,
        now: Time,
    ) -> (Option<Fault>, [bool; 2]) {
        let record = self.record(&m.camera_id, now);
        let before = record.muted.is_some();
        let fault = record.fault(m, footprint, now);
        record.impossible += GAIN * (f64::from(u8::from(fault.is_some())) - record.impossible);
        record.weigh(now);
        (fault, [before, record.muted.is_some()])
    }

    /// The others deny what a camera claimed, or bear it out.
    pub(super) fn denied(&mut self, camera: &CameraId, denied: bool, now: Time) {
        let record = self.record(camera, now);
        record.fade(now);
        record.denied.0 = (record.denied.0 + if denied { 1.0 } else { -1.0 }).max(0.0);
        record.weigh(now);
    }

    /// Forgets all that a camera did.
    pub(super) fn forget(&mut self, camera: &CameraId) {
        self.cameras.remove(camera);
    }

    /// Since when a camera is muted.
    pub(super) fn muted(&self, camera: &CameraId) -> Option<Time> {
        self.cameras.get(camera)?.muted
    }

    /// The cameras that are muted.
    pub(super) fn all_muted(&self) -> impl Iterator<Item = &CameraId> {
        self.cameras.iter().filter(|(_, record)| record.muted.is_some()).map(|(camera, _)| camera)
    }

    fn record(&mut self, camera: &CameraId, now: Time) -> &mut Record {
        if self.cameras.len() >= CAMERAS_MAX && !self.cameras.contains_key(camera) {
            // Who is muted does not get away by having a thousand others speak.
            let stalest = self.cameras.iter().min_by_key(|(_, r)| (r.muted.is_some(), r.heard));
            if let Some(stalest) = stalest.map(|(camera, _)| camera.clone()) {
                self.cameras.remove(&stalest);
            }
        }
        let record = self.cameras.entry(camera.clone()).or_insert_with(|| Record {
            tracks: BTreeMap::new(),
            heard: now,
            rate: Rate::new(now),
            impossible: 0.0,
            denied: (0.0, now),
            muted: None,
        });
        record.heard = now;
        record
    }
}

impl Record {
    fn fault(&mut self, m: &TrackMessage, footprint: Option<&Polygon>, now: Time) -> Option<Fault> {
        if self.rate.exceeds(m.timestamp.0, now) {
            return Some(Fault::Rate);
        }
        let at = Point::new(m.global_position.x.0, m.global_position.y.0);
        let sigma_m = m.cov.map_or(1.0, |c| (c.0[0] + c.0[2]).max(0.0).sqrt());
        let slack_m = SLACK_M + (3.0 * sigma_m).min(EXCUSE_MAX_M);
        let mps_max = if m.class == Class::Person { PERSON_MPS_MAX } else { OTHER_MPS_MAX };
        let before = self.tracks.get(&m.track_id.0).copied();
        if m.ended {
            self.tracks.remove(&m.track_id.0);
        } else if before.is_none_or(|(then_ms, _)| then_ms <= m.timestamp.0) {
            if before.is_none() && self.tracks.len() >= TRACKS_MAX {
                let stalest = self.tracks.iter().min_by_key(|(_, (at_ms, _))| *at_ms).map(|(id, _)| *id);
                stalest.map(|id| self.tracks.remove(&id));
            }
            self.tracks.insert(m.track_id.0, (m.timestamp.0, at));
        }
        if Point::new(m.velocity.x.0, m.velocity.y.0).norm() > mps_max {
            return Some(Fault::Speed);
        }
        let jumps = before.is_some_and(|(then_ms, then)| {
            let apart_s = m.timestamp.0.abs_diff(then_ms) as f64 / 1_000.0;
            at.distance(then) > slack_m + mps_max * apart_s
        });
        if jumps {
            return Some(Fault::Jump);
        }
        let outside = footprint.is_some_and(|f| !f.contains(at) && f.border_distance(at) > slack_m);
        outside.then_some(Fault::Footprint)
    }

    fn fade(&mut self, now: Time) {
        let (denied, then) = self.denied;
        self.denied =
            (denied * exp(-std::f64::consts::LN_2 * now.since(then).as_secs_f64() / DENIED_HALF_LIFE_S), now);
    }

    fn weigh(&mut self, now: Time) {
        let is_bad = self.impossible > MUTE_ABOVE || self.denied.0 > DENIED_MAX;
        let is_good = self.impossible < HEAR_BELOW && self.denied.0 < DENIED_HEAR_BELOW;
        match self.muted {
            None if is_bad => self.muted = Some(now),
            Some(since) if is_good && now.since(since) >= MUTED_MIN => self.muted = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Behaviors;
    use crate::swarm::bounded::Reals;
    use crate::swarm::message::{Position, Velocity};
    use crate::swarm::wire::{Fraction, Id, Millis, Real};

    fn at(ms: u64) -> Time {
        Time { mono_ns: 1_000_000_000 + ms * 1_000_000, epoch_ms: 1_700_000_000_000 + ms }
    }

    fn report(track: u32, x: f64, speed_mps: f64, ms: u64) -> TrackMessage {
        TrackMessage {
            camera_id: CameraId::parse("a").unwrap(),
            track_id: Id(track),
            global_position: Position { x: Real(x), y: Real(5.0), z: Real(0.0) },
            velocity: Velocity { x: Real(speed_mps), y: Real(0.0) },
            class: Class::Person,
            confidence: Fraction(0.9),
            timestamp: Millis(1_700_000_000_000 + ms),
            behaviors: Behaviors::empty(),
            threat_score: Fraction(0.0),
            seq: None,
            cov: Some(Reals([0.04, 0.0, 0.04])),
            global_id: None,
            ended: false,
        }
    }

    fn footprint() -> Polygon {
        let square = [(0.0, 0.0), (20.0, 0.0), (20.0, 10.0), (0.0, 10.0)].map(|(x, y)| Point::new(x, y));
        Polygon::new(square.to_vec()).unwrap()
    }

    #[test]
    fn what_can_not_be_is_told_by_its_name() {
        let mut conduct = Conduct::default();
        let mut judge = |m: &TrackMessage, ms| conduct.judge(m, Some(&footprint()), at(ms)).0;
        assert_eq!(judge(&report(1, 5.0, 1.0, 0), 0), None);
        assert_eq!(judge(&report(1, 5.2, 1.0, 100), 100), None);
        assert_eq!(judge(&report(1, 14.0, 1.0, 200), 200), Some(Fault::Jump));
        assert_eq!(judge(&report(2, 5.0, 14.0, 300), 300), Some(Fault::Speed));
        assert_eq!(judge(&report(3, 30.0, 1.0, 400), 400), Some(Fault::Footprint));
        let flood = (0..2_000).filter_map(|n| judge(&report(4, 5.0, 0.0, 5_000), 5_000 + n / 3));
        assert_eq!(flood.collect::<Vec<_>>(), [Fault::Rate; 1_000]);
    }

    /// When a camera is muted, milliseconds: it reports for 20 s; `times` give capture and arrival of each report.
    fn muted_ms(times: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
        let (mut conduct, camera) = (Conduct::default(), CameraId::parse("a").unwrap());
        let mut muted = times.filter_map(|(captured_ms, arrived_ms)| {
            conduct.judge(&report(1 + captured_ms as u32 % 50, 5.0, 1.0, captured_ms), None, at(arrived_ms));
            conduct.muted(&camera).map(|_| arrived_ms)
        });
        muted.next()
    }

    #[test]
    fn the_backlog_after_a_second_and_a_half_of_silence_does_not_mute_and_a_flood_does_within_two_seconds() {
        let backlog = (0..10_000).map(|n| n * 2).map(|ms| (ms, if ms < 5_000 { ms } else { ms.max(6_500) }));
        assert_eq!(muted_ms(backlog), None);
        let flood = (0..60_000).map(|n| (n / 3, n / 3));
        assert!(muted_ms(flood).is_some_and(|ms| ms < 2_000));
        let spread = (0..60_000).map(|n| (n * 7_919 % 60_000, n / 3));
        assert!(muted_ms(spread).is_some_and(|ms| ms < 10_000), "times that are spread over a minute");
    }

    #[test]
    fn who_says_what_can_not_be_is_muted_and_heard_again_after_a_time_of_good_behaviour() {
        let (mut conduct, camera) = (Conduct::default(), CameraId::parse("a").unwrap());
        let say = |speed_mps, from_ms: u64, count: u64, conduct: &mut Conduct| {
            for n in 0..count {
                let ms = from_ms + n * 100;
                conduct.judge(&report(1, 5.0, speed_mps, ms), None, at(ms));
            }
        };
        say(50.0, 0, 30, &mut conduct);
        assert_eq!(conduct.muted(&camera), None, "a slip is no lie");
        say(50.0, 3_000, 20, &mut conduct);
        assert!(conduct.muted(&camera).is_some());
        say(1.0, 5_000, 200, &mut conduct);
        assert!(conduct.muted(&camera).is_some(), "not for so short a time");
        say(1.0, 25_000, 150, &mut conduct);
        assert_eq!(conduct.muted(&camera), None);
    }

    #[test]
    fn three_claims_that_all_others_deny_mute_a_camera_and_those_they_bear_out_count_for_it() {
        let (mut conduct, camera) = (Conduct::default(), CameraId::parse("a").unwrap());
        for (denied, ms) in [(true, 0), (true, 1_000), (false, 2_000), (true, 3_000)] {
            conduct.denied(&camera, denied, at(ms));
        }
        assert_eq!(conduct.muted(&camera), None);
        conduct.denied(&camera, true, at(4_000));
        assert!(conduct.muted(&camera).is_some());
    }
}
