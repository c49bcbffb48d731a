//! Which cameras take part in votes: evidence that a camera exists, sees this site, and answers.
//!
//! Presence proves nothing: any client of the broker can publish a footprint. A camera *counts* once its tracks agree
//! with what this camera sees. A track agrees where one of ours lies near it; so does a track at a random place, now and
//! then, and on a busy plaza often. So the evidence is a sequential probability ratio test (A. Wald, "Sequential tests
//! of statistical hypotheses", 1945): each comparison adds the logarithm of how much likelier its result is for a camera
//! that sees what we see ([`AGREE_HONEST`]) than for one that reports random places, which agree as often as our tracks
//! cover the common ground. Above [`COUNTS_ABOVE`] the camera counts, until the evidence falls below 0. A camera whose
//! tracks hardly ever lie near ours ([`NEAR_MIN`]) is *contradicted*. Results must be independent, so a track is compared again once it has
//! moved by [`INDEPENDENT_M`]. A camera that shares no view with this one is *unproven*: nothing speaks for or against
//! it. A camera whose key the configuration names counts from the start.
//!
//! A camera is *asked* for its vote, and so can hold up a quorum, if it counts, has reported tracks or answered within
//! [`ACTIVE_WITHIN`], and did not miss its last [`MISSED_MAX`] votes. One that missed them is *unresponsive* until it
//! answers again. The words of a camera that counts are used whether or not it is asked.
//!
//! Each camera keeps its own table, so two cameras may differ about a third. They still report the same outcomes,
//! because one camera publishes each outcome and the others follow it (see [`consensus`](super::consensus)).
//!
//! Pure. At most [`CAMERAS_MAX`] cameras of [`TRACKS_MAX`] tracks; one that never counted and was not heard of for
//! longest makes room.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Time;
use crate::base::portable::ln;
use crate::model::{CameraId, Point};

/// Cameras that are remembered.
pub const CAMERAS_MAX: usize = 512;
/// Tracks of one camera that are compared at once.
const TRACKS_MAX: usize = 32;
/// Part of an honest camera's tracks in the common view that lie at tracks of ours, at the least: a person
/// that something hides from us disagrees all the way.
const AGREE_HONEST: f64 = 0.6;
/// Limits of the part of random places that agree.
const CHANCE: (f64, f64) = (0.04, 0.5);
/// Logarithm of the likelihood ratio. A camera that reports random places reaches it by chance in one of e^8 = 3,000
/// tries.
const COUNTS_ABOVE: f64 = 8.0;
/// The evidence stays within this, so that a change of behaviour shows soon.
const EVIDENCE_MAX: f64 = 12.0;
/// A camera is contradicted if a smaller part of its tracks lies near ours, after so many looks at all of them; older ones
/// fade.
const NEAR_MIN: f64 = 0.3;
const COMPARED_MIN: f64 = 15.0;
const COMPARED_MEMORY: f64 = 60.0;
/// Two comparisons of one track are independent if it moved so far in between, meters.
const INDEPENDENT_M: f64 = 1.0;
/// A camera that neither reported a track nor answered for so long is not asked.
const ACTIVE_WITHIN: Duration = Duration::from_mins(10);
/// Missed votes in a row after which a camera is not asked.
const MISSED_MAX: u8 = 2;

/// What a camera's word weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its votes count in full.
    Counts,
    /// No evidence for or against it: it shares no view with this camera, or was met a moment ago.
    Unproven,
    /// It never introduced itself, is contradicted, or is too new to be accepted where signatures are required.
    Stranger,
}

/// The order in which cameras leave a full table: those that do not count first, and of these the one with the least
/// evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) counts: bool,
    /// Logarithm of the likelihood ratio, rounded towards 0.
    pub(super) evidence: i32,
}

/// A change to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its votes count from now on.
    Counts,
    /// Its votes no longer count: its tracks no longer agree with what is seen.
    Doubted,
    /// Its tracks do not agree with what is seen; they are left out.
    Contradicted,
    /// It missed its votes and is not asked.
    Unresponsive,
    /// It answers again.
    Responsive,
}

#[derive(Debug, Clone, Default)]
struct Record {
    /// Logarithm of the likelihood ratio: it sees what we see, against it reports random places.
    evidence: f64,
    /// Looks at its tracks, fading, and the sum of the parts that lay near tracks of ours.
    comparisons: f64,
    near: f64,
    /// Where each track was compared last, meters.
    compared: BTreeMap<u32, Point>,
    counts: bool,
    contradicted: bool,
    /// When it last reported a track or voted.
    active: Option<Time>,
    missed: u8,
}

/// A track that another camera reports in the common view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    /// Its number on that camera.
    pub(super) track_id: u32,
    /// Where, meters.
    pub(super) at: Point,
    /// One of our tracks lies there, within the distance that tells people apart here.
    pub(super) agrees: bool,
    /// One of our tracks lies within the error of both on the ground.
    pub(super) is_near: bool,
}

impl Record {
    fn compare(&mut self, tracks: impl Iterator<Item = Compared>, chance: f64) {
        // Of tracks that ended nothing is remembered.
        let before = std::mem::take(&mut self.compared);
        let (mut reported, mut near) = (0.0, 0.0);
        for track in tracks.take(TRACKS_MAX) {
            reported += 1.0;
            near += f64::from(u8::from(track.is_near));
            let same = before.get(&track.track_id).filter(|place| place.distance(track.at) < INDEPENDENT_M);
            self.compared.insert(track.track_id, *same.unwrap_or(&track.at));
            if same.is_none() {
                let agrees = AGREE_HONEST / chance;
                let ratio = if track.agrees { agrees } else { (1.0 - AGREE_HONEST) / (1.0 - chance) };
                self.evidence = (self.evidence + ln(ratio)).clamp(-EVIDENCE_MAX, EVIDENCE_MAX);
            }
        }
        if reported > 0.0 {
            let keep = 1.0 - 1.0 / COMPARED_MEMORY;
            self.comparisons = self.comparisons * keep + 1.0;
            self.near = self.near * keep + near / reported;
        }
    }

    fn conclude(&mut self) -> Option<Change> {
        if !self.counts && self.evidence > COUNTS_ABOVE {
            (self.counts, self.contradicted) = (true, false);
            return Some(Change::Counts);
        }
        let is_far = self.comparisons >= COMPARED_MIN && self.near < NEAR_MIN * self.comparisons;
        if !self.contradicted && is_far {
            (self.counts, self.contradicted) = (false, true);
            return Some(Change::Contradicted);
        }
        if self.counts && self.evidence < 0.0 {
            self.counts = false;
            return Some(Change::Doubted);
        }
        None
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Participants {
    by_name: BTreeMap<CameraId, Record>,
}

impl Participants {
    /// Records that a camera reports tracks, and compares those that it reports in the common view with ours.
    /// `chance`: the part of the common ground at which a track would agree, 0..1.
    pub(super) fn compare(
        &mut self,
        camera: &CameraId,
        tracks: impl Iterator<Item = Compared>,
        chance: f64,
        now: Time,
    ) -> Option<Change> {
        let record = self.record(camera)?;
        record.active = Some(now);
        let (least, most) = CHANCE;
        record.compare(tracks, chance.clamp(least, most));
        record.conclude()
    }

    /// Records that a camera voted.
    pub(super) fn answered(&mut self, camera: &CameraId, now: Time) -> Option<Change> {
        let record = self.record(camera)?;
        record.active = Some(now);
        let was_unresponsive = record.counts && record.missed >= MISSED_MAX;
        record.missed = 0;
        was_unresponsive.then_some(Change::Responsive)
    }

    /// Records that a camera that was asked did not vote in time.
    pub(super) fn missed(&mut self, camera: &CameraId) -> Option<Change> {
        let record = self.by_name.get_mut(camera)?;
        record.missed = record.missed.saturating_add(1);
        (record.counts && record.missed == MISSED_MAX).then_some(Change::Unresponsive)
    }

    /// Forgets a camera: what was learned in its name was not its own.
    pub(super) fn forget(&mut self, camera: &CameraId) {
        self.by_name.remove(camera);
    }

    /// Whether a camera's tracks agree with what is seen here.
    pub fn counts(&self, camera: &CameraId) -> bool {
        self.by_name.get(camera).is_some_and(|record| record.counts)
    }

    /// How firmly a camera's word is established; a camera that was never compared has the default.
    pub(super) fn rank(&self, camera: &CameraId) -> Rank {
        self.by_name.get(camera).map_or(Rank::default(), |record| Rank {
            counts: record.counts,
            evidence: record.evidence as i32,
        })
    }

    /// Whether a camera's tracks hardly ever agree with what is seen here.
    pub fn is_contradicted(&self, camera: &CameraId) -> bool {
        self.by_name.get(camera).is_some_and(|record| record.contradicted)
    }

    /// Whether the vote of a camera that counts is waited for.
    pub(super) fn is_asked(&self, camera: &CameraId, now: Time) -> bool {
        self.by_name.get(camera).is_some_and(|record| {
            record.missed < MISSED_MAX && record.active.is_some_and(|at| now.since(at) < ACTIVE_WITHIN)
        })
    }

    /// Cameras that count and miss their votes.
    pub fn unresponsive(&self) -> impl Iterator<Item = &CameraId> {
        let silent = self.by_name.iter().filter(|(_, record)| record.counts && record.missed >= MISSED_MAX);
        silent.map(|(camera, _)| camera)
    }

    /// The record of a camera, with room made for it; none while only cameras that count are remembered.
    fn record(&mut self, camera: &CameraId) -> Option<&mut Record> {
        if self.by_name.len() >= CAMERAS_MAX && !self.by_name.contains_key(camera) {
            let strangers = self.by_name.iter().filter(|(_, record)| !record.counts);
            let stalest =
                strangers.min_by_key(|(_, record)| record.active).map(|(camera, _)| camera.clone())?;
            self.by_name.remove(&stalest);
        }
        Some(self.by_name.entry(camera.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(name: &str) -> CameraId {
        CameraId::parse(name).unwrap()
    }

    fn at(s: u64) -> Time {
        Time { mono_ns: (s + 1) * 1_000_000_000, epoch_ms: 1_700_000_000_000 + s * 1_000 }
    }

    /// One comparison a second, each of another track; `chance` 0.25.
    fn compare(all: &mut Participants, camera: &CameraId, agrees: &[bool], from_s: u64) -> Vec<Change> {
        let changes = agrees.iter().enumerate().filter_map(|(n, agrees)| {
            let s = from_s + n as u64;
            let track =
                Compared { track_id: s as u32, at: Point::default(), agrees: *agrees, is_near: *agrees };
            all.compare(camera, std::iter::once(track), 0.25, at(s))
        });
        changes.collect()
    }

    #[test]
    fn a_camera_counts_once_its_tracks_agree_with_ours_and_not_by_presence_or_votes() {
        let (mut all, gate) = (Participants::default(), camera("gate"));
        for s in 0..60 {
            all.answered(&gate, at(s));
        }
        assert!(!all.counts(&gate));
        let nine_of_ten: Vec<bool> = (0..20).map(|n| n % 10 != 4).collect();
        assert_eq!(compare(&mut all, &gate, &nine_of_ten, 60), [Change::Counts]);
        assert!(all.counts(&gate) && all.is_asked(&gate, at(80)));
        assert!(!all.is_asked(&gate, at(80 + 601)), "it has been silent for ten minutes");
    }

    #[test]
    fn a_track_that_stands_at_one_place_is_one_comparison_however_often_it_is_reported() {
        let (mut all, statue) = (Participants::default(), camera("statue"));
        for s in 0..600 {
            let track = Compared { track_id: 1, at: Point::default(), agrees: true, is_near: true };
            assert_eq!(all.compare(&statue, std::iter::once(track), 0.25, at(s)), None);
        }
    }

    #[test]
    fn tracks_that_agree_no_more_often_than_by_chance_contradict_a_camera() {
        let (mut all, liar) = (Participants::default(), camera("liar"));
        let one_of_four: Vec<bool> = (0..60).map(|s| s % 4 == 3).collect();
        assert_eq!(compare(&mut all, &liar, &one_of_four, 0), [Change::Contradicted]);
        assert!(all.is_contradicted(&liar) && !all.counts(&liar));
    }

    /// Three hundred cameras report a person at a random place, every twenty seconds at another one, for ten minutes;
    /// where our people stand a quarter of all places agree.
    #[test]
    fn of_three_hundred_cameras_that_report_random_places_none_counts() {
        let mut rng = <rand_pcg::Pcg64Mcg as rand::SeedableRng>::seed_from_u64(1);
        let mut all = Participants::default();
        for n in 0..300 {
            let name = camera(&format!("a-{n}"));
            for stay in 0..30 {
                let track_id = stay + 1;
                let agrees = rand::RngExt::random_bool(&mut rng, 0.25);
                for s in 0..20 {
                    let track = Compared { track_id, at: Point::default(), agrees, is_near: agrees };
                    let change =
                        all.compare(&name, std::iter::once(track), 0.25, at(u64::from(stay * 20 + s)));
                    assert!(matches!(change, None | Some(Change::Contradicted)), "{name} {stay}");
                }
            }
        }
    }

    #[test]
    fn a_camera_whose_tracks_no_longer_agree_counts_no_more_and_one_that_sees_whom_we_miss_does() {
        let (mut all, moved) = (Participants::default(), camera("moved"));
        assert_eq!(compare(&mut all, &moved, &[true; 20], 0), [Change::Counts]);
        assert_eq!(compare(&mut all, &moved, &[false; 12], 20), []);
        assert_eq!(compare(&mut all, &moved, &[false; 12], 32), [Change::Doubted]);
        assert_eq!(compare(&mut all, &moved, &[false; 20], 44), [Change::Contradicted]);
    }

    #[test]
    fn a_camera_that_misses_two_votes_is_not_asked_until_it_answers() {
        let (mut all, gate) = (Participants::default(), camera("gate"));
        compare(&mut all, &gate, &[true; 12], 0);
        assert_eq!((all.missed(&gate), all.missed(&gate)), (None, Some(Change::Unresponsive)));
        assert!(!all.is_asked(&gate, at(13)) && all.unresponsive().eq([&gate]));
        assert_eq!(all.answered(&gate, at(14)), Some(Change::Responsive));
        assert!(all.is_asked(&gate, at(14)) && all.unresponsive().next().is_none());
    }

    #[test]
    fn a_flood_of_names_never_displaces_a_camera_that_counts() {
        let (mut all, gate) = (Participants::default(), camera("gate"));
        compare(&mut all, &gate, &[true; 12], 0);
        for n in 0..2_000 {
            all.answered(&camera(&format!("a-{n}")), at(10 + n));
        }
        assert!(all.counts(&gate) && all.by_name.len() <= CAMERAS_MAX);
    }
}
