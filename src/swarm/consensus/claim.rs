//! One camera's word that something happens: what it claims, and what all say of it.
//!
//! A camera tells an event in several messages: predicted, predicted again as it gets graver, occurred,
//! confirmed. A [`Claim`] is their join: the latest of them ([`Told`], in a total order), the span of time
//! that they speak of, the most that was ever claimed, and flags that are only ever raised. So it is a
//! function of which messages came, and not of their order or number of copies.
//!
//! Two claims are of one incident if they are of one kind, at one time, and about one subject or at one
//! place ([`Claim::is_same`]). All numbers are whole (milliseconds, millimetres, thousandths), as on the wire.

use super::ballot::{Ballot, Word};
use super::places::Place;
use crate::model::{CameraId, EventState, EventType, Point, Severity};
use crate::swarm::message::{EventKey, EventMessage};

/// Claims about one person are of one incident within this time and distance: cameras that took notice later
/// say so later, when the person has walked on (at 1.6 m/s for a quarter of a minute), and somebody who goes on
/// doing it is no new incident.
const SUBJECT_WITHIN_MS: u64 = 30_000;
pub(super) const SUBJECT_WITHIN_M: f64 = 25.0;
/// Claims at one place are of one incident within this time and distance, as long as nobody knows better.
const PLACE_WITHIN_MS: u64 = 10_000;
const PLACE_WITHIN_M: f64 = 3.0;
/// Two people with different numbers may still be one, named twice, when they are no farther apart.
const APART_M: f64 = 1.0;
/// Tracks of one claim whose people are looked up.
const SUBJECTS_MAX: usize = 8;

/// An event as its camera told it last. The order decides which of two words is the later one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    at_ms: u64,
    pub(super) kind: EventType,
    x_mm: i64,
    y_mm: i64,
    pub(super) severity: Severity,
    pub(super) expected_ms: u64,
    pub(super) tracks: Vec<u32>,
    /// It names a zone; only its camera knows the zone's rules.
    pub(super) in_zone: bool,
}

/// Everything that one camera told of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) boot_ms: u64,
    pub(super) latest: Told,
    /// When it was first told of, on its camera's clock.
    pub(super) founded_ms: u64,
    /// When it happens, at the earliest and at the latest that was told, on the site's clock. (When it was
    /// founded gives the key, and so stays as it was told: what clocks are off by is everybody's own guess.)
    span_ms: (u64, u64),
    /// The most that its camera was ever sure of it, as its vote.
    pub(super) peak: Word,
    pub(super) occurred: bool,
    /// What its camera has told the site that came of it.
    pub(super) told: Outcomes,
    /// The votes on whether it will happen, and those on whether it happens. A vote on the forecast is no evidence
    /// of the fact.
    pub(super) ballots: [Ballot; 2],
}

/// Outcomes that were told; raised, and never lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outcomes {
    pub(super) confirmed: bool,
    pub(super) retracted: bool,
    pub(super) expired: bool,
}

impl Outcomes {
    /// Raises the flag of a decided state.
    pub(super) fn set(&mut self, state: EventState) {
        match state {
            EventState::Confirmed => self.confirmed = true,
            EventState::Retracted => self.retracted = true,
            EventState::Expired => self.expired = true,
            EventState::Predicted | EventState::Occurred => {}
        }
    }

    pub(super) fn has(self, state: EventState) -> bool {
        match state {
            EventState::Confirmed => self.confirmed,
            EventState::Retracted => self.retracted,
            EventState::Expired => self.expired,
            EventState::Predicted | EventState::Occurred => false,
        }
    }

    fn merge(&mut self, other: Self) {
        self.confirmed |= other.confirmed;
        self.retracted |= other.retracted;
        self.expired |= other.expired;
    }
}

impl Told {
    fn new(m: &EventMessage) -> Self {
        let mm = |metres: f64| (metres * 1_000.0).round() as i64;
        let tracks = m.tracks.iter().map(|id| id.0).chain([m.track_id.0]);
        let mut tracks: Vec<u32> = tracks.take(SUBJECTS_MAX).collect();
        tracks.sort_unstable();
        tracks.dedup();
        Self {
            at_ms: m.timestamp.0,
            kind: m.event_type,
            x_mm: mm(m.position.x.0),
            y_mm: mm(m.position.y.0),
            severity: m.severity,
            expected_ms: m.predicted_time.0,
            tracks,
            in_zone: m.zone.is_some(),
        }
    }

    /// Where claims lie that may be of the same incident: here, or next to it.
    pub(super) fn place(&self) -> Place {
        let at = self.position_m();
        let cell = |v: f64| (v / SUBJECT_WITHIN_M).floor() as i32;
        (self.kind, cell(at.x), cell(at.y))
    }

    pub(super) fn position_m(&self) -> Point {
        Point::new(self.x_mm as f64 / 1_000.0, self.y_mm as f64 / 1_000.0)
    }
}

/// Whether a message says that it happens. The reference system names no states: what lies ahead is predicted.
fn has_occurred(m: &EventMessage) -> bool {
    match m.state {
        Some(EventState::Occurred) => true,
        Some(_) => false,
        None => m.predicted_time.0 <= m.timestamp.0,
    }
}

impl Claim {
    /// What one message says. `ahead_ms` is what its camera's clock is ahead of the site's.
    pub(super) fn new(m: &EventMessage, ahead_ms: i64) -> Self {
        let happens_ms = m.predicted_time.0.saturating_add_signed(ahead_ms.saturating_neg());
        let latest = Told::new(m);
        let says = |state| m.state == Some(state);
        let is_outcome =
            says(EventState::Confirmed) || says(EventState::Retracted) || says(EventState::Expired);
        Self {
            boot_ms: m.key.as_ref().map_or(0, |key| key.boot_ms),
            founded_ms: latest.at_ms,
            span_ms: (happens_ms, happens_ms),
            // What came of it is no vote of its camera's.
            peak: if is_outcome { Word::Abstain } else { Word::confirm(m.probability.0) },
            occurred: has_occurred(m),
            told: Outcomes {
                confirmed: says(EventState::Confirmed),
                retracted: says(EventState::Retracted),
                expired: says(EventState::Expired),
            },
            latest,
            ballots: Default::default(),
        }
    }

    /// Takes in all that is known elsewhere of the same claim; whether it says anything new.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.boot_ms = self.boot_ms.max(other.boot_ms);
        if other.latest > self.latest {
            self.latest.clone_from(&other.latest);
        }
        self.founded_ms = self.founded_ms.min(other.founded_ms);
        self.span_ms = (self.span_ms.0.min(other.span_ms.0), self.span_ms.1.max(other.span_ms.1));
        self.peak = self.peak.max(other.peak);
        self.occurred |= other.occurred;
        self.told.merge(other.told);
        for (mine, theirs) in self.ballots.iter_mut().zip(&other.ballots) {
            mine.merge(theirs);
        }
        *self != before
    }

    /// What was expected was taken back before it happened. What happened stays: that others deny it shows
    /// in their votes.
    pub(super) fn is_retracted(&self) -> bool {
        self.told.retracted && !self.occurred
    }

    /// Its camera's vote on the forecast (`fact`: on the fact); none while it only expects what is asked to happen.
    pub(super) fn vote(&self, fact: bool) -> Option<Word> {
        match (self.is_retracted(), fact && !self.occurred) {
            (true, _) => Some(Word::Abstain),
            (false, true) => None,
            (false, false) => Some(self.peak),
        }
    }

    /// The votes on the forecast, or on the fact.
    pub(super) fn ballot(&self, fact: bool) -> &Ballot {
        &self.ballots[usize::from(fact)]
    }

    /// See [`ballot`](Self::ballot).
    pub(super) fn ballot_mut(&mut self, fact: bool) -> &mut Ballot {
        &mut self.ballots[usize::from(fact)]
    }

    /// When it is expected, or happened, at the latest that was published, on the site's clock.
    pub(super) fn expected_ms(&self) -> u64 {
        self.span_ms.1
    }

    /// Whether two claims are near enough to be of one incident at all, whatever is known of their subjects: the
    /// limit on what another camera may join.
    pub(super) fn may_join(&self, other: &Self) -> bool {
        self.latest.kind == other.latest.kind
            && self.gap_ms(other) <= SUBJECT_WITHIN_MS
            && self.latest.position_m().distance(other.latest.position_m()) <= SUBJECT_WITHIN_M
    }

    fn gap_ms(&self, other: &Self) -> u64 {
        self.span_ms.0.max(other.span_ms.0).saturating_sub(self.span_ms.1.min(other.span_ms.1))
    }

    pub(super) fn key(&self, camera: &CameraId, event_id: u32) -> EventKey {
        EventKey { camera: camera.clone(), boot_ms: self.boot_ms, event_id }
    }

    /// Whether another camera's claim (`one_camera`: another one of the same camera) is of the same
    /// incident. `subjects` are the people that each is about, as far as they are known, in order.
    pub(super) fn is_same(&self, other: &Self, subjects: [&[u64]; 2], one_camera: bool) -> bool {
        if self.latest.kind != other.latest.kind {
            return false;
        }
        let gap_ms = self.gap_ms(other);
        let apart_m = self.latest.position_m().distance(other.latest.position_m());
        let [mine, theirs] = subjects;
        let near = |within_m| apart_m <= within_m && gap_ms <= PLACE_WITHIN_MS;
        if mine.iter().any(|id| theirs.contains(id)) {
            return apart_m <= SUBJECT_WITHIN_M && gap_ms <= SUBJECT_WITHIN_MS;
        }
        // Two tracks of one camera are two people, unless the site knows better.
        !one_camera && near(if mine.is_empty() || theirs.is_empty() { PLACE_WITHIN_M } else { APART_M })
    }
}
