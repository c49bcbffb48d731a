//! Which cameras take part in votes: evidence that a camera exists, sees this site, and answers.
//!
//! Presence proves nothing: any client of the broker can publish a footprint. A camera *counts* once its tracks agree
//! with what this camera sees ([`Participants::compare`]): of the tracks that it reports in the common view, at least
//! [`AGREE_MIN`] lie at tracks of ours, in at least [`COMPARED_MIN`] comparisons. A camera whose tracks hardly ever
//! agree is *contradicted*. A camera that shares no view with this one is *unproven*: nothing speaks for or against it.
//! A camera whose key the configuration names counts from the start.
//!
//! A camera is *asked* for its vote, and so can hold up a quorum, if it counts, has reported tracks or answered within
//! [`ACTIVE_WITHIN`], and did not miss its last [`MISSED_MAX`] votes. One that missed them is *unresponsive* until it
//! answers again. The words of a camera that counts are used whether or not it is asked.
//!
//! Each camera keeps its own table, so two cameras may differ about a third. They still report the same outcomes,
//! because one camera publishes each outcome and the others follow it (see [`consensus`](super::consensus)).
//!
//! Pure. At most [`CAMERAS_MAX`] cameras; one that never counted and was not heard of for longest makes room.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Time;
use crate::model::CameraId;

/// Cameras that are remembered.
pub const CAMERAS_MAX: usize = 512;
/// Comparisons before a camera counts, and before it is contradicted.
const COMPARED_MIN: f64 = 2.5;
const CONTRADICTED_MIN: f64 = 15.0;
/// Part of its tracks in the common view that must agree for a camera to count, and to go on counting after
/// [`KEEP_MIN`] comparisons; below the last it is contradicted. On a busy plaza tracks at random places agree in one of
/// four comparisons, those of an honest camera in nine of ten.
const AGREE_MIN: f64 = 0.7;
const AGREE_KEEP: f64 = 0.4;
const KEEP_MIN: f64 = 5.0;
const AGREE_CONTRADICTED: f64 = 0.3;
/// Comparisons that are remembered: older ones fade.
const MEMORY: f64 = 60.0;
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

/// A change to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its votes count from now on.
    Counts,
    /// Its tracks do not agree with what is seen; they are left out.
    Contradicted,
    /// It missed its votes and is not asked.
    Unresponsive,
    /// It answers again.
    Responsive,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Comparisons, fading, and how many agreed.
    compared: f64,
    agreed: f64,
    counts: bool,
    contradicted: bool,
    /// When it last reported a track or voted.
    active: Option<Time>,
    missed: u8,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Participants {
    by_name: BTreeMap<CameraId, Record>,
}

impl Participants {
    /// Records that a camera reports tracks. `agreeing` of `reported` tracks in the common view lie at tracks of this
    /// camera; both are 0 where there is no common view.
    pub(super) fn compare(
        &mut self,
        camera: &CameraId,
        reported: usize,
        agreeing: usize,
        now: Time,
    ) -> Option<Change> {
        let record = self.record(camera)?;
        record.active = Some(now);
        if reported == 0 {
            return None;
        }
        let keep = 1.0 - 1.0 / MEMORY;
        record.compared = record.compared * keep + 1.0;
        record.agreed = record.agreed * keep + agreeing.min(reported) as f64 / reported as f64;
        let part = record.agreed / record.compared;
        if !record.counts && record.compared >= COMPARED_MIN && part >= AGREE_MIN {
            (record.counts, record.contradicted) = (true, false);
            return Some(Change::Counts);
        }
        if record.counts && record.compared >= KEEP_MIN && part < AGREE_KEEP {
            record.counts = false;
        }
        if !record.contradicted && record.compared >= CONTRADICTED_MIN && part < AGREE_CONTRADICTED {
            (record.counts, record.contradicted) = (false, true);
            return Some(Change::Contradicted);
        }
        None
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

    #[test]
    fn a_camera_counts_once_its_tracks_agree_with_ours_and_not_by_presence_or_votes() {
        let (mut all, gate) = (Participants::default(), camera("gate"));
        for s in 0..60 {
            all.answered(&gate, at(s));
        }
        assert!(!all.counts(&gate));
        assert_eq!(all.compare(&gate, 2, 2, at(60)), None);
        assert_eq!(all.compare(&gate, 2, 1, at(61)), None);
        assert_eq!(all.compare(&gate, 2, 2, at(62)), Some(Change::Counts));
        assert!(all.counts(&gate) && all.is_asked(&gate, at(62)));
        assert!(!all.is_asked(&gate, at(62 + 601)), "it has been silent for ten minutes");
    }

    #[test]
    fn tracks_that_hardly_ever_agree_contradict_a_camera() {
        let (mut all, liar) = (Participants::default(), camera("liar"));
        let changes: Vec<_> =
            (0..60).filter_map(|s| all.compare(&liar, 1, usize::from(s % 20 == 19), at(s))).collect();
        assert_eq!(changes, [Change::Contradicted]);
        assert!(all.is_contradicted(&liar) && !all.counts(&liar));
    }

    #[test]
    fn a_camera_whose_tracks_agreed_by_chance_does_not_count_for_long() {
        let (mut all, lucky) = (Participants::default(), camera("lucky"));
        (0..3).for_each(|s| _ = all.compare(&lucky, 1, 1, at(s)));
        assert!(all.counts(&lucky));
        (3..20).for_each(|s| _ = all.compare(&lucky, 1, usize::from(s % 4 == 0), at(s)));
        assert!(!all.counts(&lucky) && !all.is_contradicted(&lucky));
    }

    #[test]
    fn a_camera_that_misses_two_votes_is_not_asked_until_it_answers() {
        let (mut all, gate) = (Participants::default(), camera("gate"));
        (0..4).for_each(|s| _ = all.compare(&gate, 1, 1, at(s)));
        assert_eq!((all.missed(&gate), all.missed(&gate)), (None, Some(Change::Unresponsive)));
        assert!(!all.is_asked(&gate, at(5)) && all.unresponsive().eq([&gate]));
        assert_eq!(all.answered(&gate, at(6)), Some(Change::Responsive));
        assert!(all.is_asked(&gate, at(6)) && all.unresponsive().next().is_none());
    }

    #[test]
    fn a_flood_of_names_never_displaces_a_camera_that_counts() {
        let (mut all, gate) = (Participants::default(), camera("gate"));
        (0..4).for_each(|s| _ = all.compare(&gate, 1, 1, at(s)));
        for n in 0..2_000 {
            all.answered(&camera(&format!("a-{n}")), at(10 + n));
        }
        assert!(all.counts(&gate) && all.by_name.len() <= CAMERAS_MAX);
    }
}
