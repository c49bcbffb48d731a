//! Clock offsets between this camera and every other one, measured through the broker.
//!
//! The exchange is that of SNTP (RFC 5905, section 8). It needs no messages of its own: a presence carries, as
//! `clock.heard`, the cameras whose presence arrived since the last one, each with that presence's timestamp and
//! the time of its arrival. So a presence is the request to all others, and the next presence of each is the
//! response:
//!
//! ```text
//!  this camera   T1 ──── presence ────┐                 ┌──► T4      offset = ((T2 - T1) + (T3 - T4)) / 2
//!                                     ▼                 │            delay  = (T4 - T1) - (T3 - T2)
//!  the other                          T2 ──(waits)──► T3 presence {heard: {this camera: [T1, T2]}}
//! ```
//!
//! **Bounds of the error.** The true offset lies within half the delay of the measured one, however asymmetric the
//! two ways are. Of the last [`SAMPLES_MAX`] samples the one with the least error counts; the error of a sample grows
//! by [`DRIFT_US_PER_S`] with its age. A sample that contradicts the one that counts, by more than both errors, shows a
//! step of the other clock: the older samples go.
//!
//! **Steps of a clock spoil no measurement.** T1, T2 and T4 are kept on the monotonic clock; the offset is that
//! between the other's epoch and our monotonic clock, and is turned into one of the epochs where it is read. T2 is
//! written in the epoch of the presence that carries it. So there is nothing to invalidate after a step of our own.
//!
//! **Hostile input.** An echo must name a presence that this camera sent lately ([`SENT_MAX`]); T3 may not lie before
//! T2, nor the delay below zero or above [`DELAY_MAX_US`]; else it is refused and counted. A replayed echo has a longer
//! delay, and so never displaces a better sample. A camera with a false clock shifts the offset of its own messages
//! alone: whether ours is off is decided by the cameras that *count* ([`ClockSync::verdict`]), which the caller names.
//!
//! **Speed.** A presence leaves early when a camera was heard whose first exchange waits for our echo: at most one a
//! second and [`EARLY_BURST`] at once, one more with each [`EARLY_REFILL`]. Two cameras that meet know their offset
//! within three seconds.
//!
//! Does not belong here: which cameras count (`engine`), what the offset corrects (`fusion`, `consensus`, `peers`), time
//! servers (`app`). Pure. Bounds: [`PEERS_MAX`] cameras, of which the one not heard for longest makes room.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::bounded::Map;
use super::message::{HEARD_MAX, OFF_MAX, StatusMessage};
use super::presence::UNSYNCED_MS;
use super::wire::{MILLIS_MAX, Millis, Offset};
use crate::base::Time;
use crate::model::CameraId;

/// Own presences that an echo may name: as many as leave in a minute at most, and in two minutes usually.
pub(super) const SENT_MAX: usize = 16;
/// Samples of one camera.
pub(super) const SAMPLES_MAX: usize = 8;
/// Cameras whose clocks are compared: as many as the fused table takes.
pub(super) const PEERS_MAX: usize = 256;
/// A longer delay says too little, microseconds.
const DELAY_MAX_US: i64 = 4_000_000;
/// Timestamps are whole milliseconds, each cut: what a delay may be below zero for it, microseconds.
const RESOLUTION_US: i64 = 2_000;
/// How fast two clocks drift apart, microseconds per second: 100 parts in a million, as for [`presence`](super::presence).
const DRIFT_US_PER_S: i64 = 100;
/// A presence that arrived so long ago is not echoed any more: it has left the sender's memory.
const ECHO_WITHIN: Duration = Duration::from_mins(1);
/// Early presences at once, the time after which one more may leave, and the least time between two.
const EARLY_BURST: u32 = 8;
const EARLY_REFILL: Duration = Duration::from_secs(10);
const EARLY_EVERY: Duration = Duration::from_millis(900);
/// A change of an offset by more than this is reported, milliseconds.
const REPORTED_MS: i64 = UNSYNCED_MS as i64;
/// Between two reports about one camera.
const REPORT_EVERY: Duration = Duration::from_mins(1);
/// Reports about all cameras in that time.
const REPORTS_MAX: u32 = 16;
/// Our own clock is off only by the agreement of at least so many others: of two that differ, neither is known to
/// be right.
const JURY_MIN: usize = 3;
/// A clock that shows a later time is not plausible: 2100-01-01T00:00:00Z, milliseconds.
const PLAUSIBLE_MAX_MS: u64 = 4_102_444_800_000;
/// An offset with a larger error sets no clock, milliseconds.
const ADOPT_ERROR_MAX_MS: i64 = 1_000;
/// A camera without a time waits so long for a camera that counts before it takes the time of one that does not.
const ADOPT_ALONE: Duration = Duration::from_secs(10);

/// What another clock is ahead of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Milliseconds; negative where the other clock is behind.
    pub offset_ms: i64,
    /// How far that may be off, milliseconds, 1 and more.
    pub error_ms: i64,
}

impl ClockOffset {
    /// Whether the two clocks certainly differ by more than [`UNSYNCED_MS`].
    pub fn differs(self) -> bool {
        self.offset_ms.saturating_abs().saturating_sub(self.error_ms) > REPORTED_MS
    }
}

/// What the cameras that count show of our own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ClockVerdict {
    /// Cameras that count and whose offset is known.
    pub(super) counting: usize,
    /// Those of them whose clock differs from ours.
    pub(super) differing: usize,
    /// What our clock is ahead of theirs, and how far that may be off, milliseconds; none with fewer than
    /// [`JURY_MIN`], or where they agree on nothing.
    pub(super) own: Option<(i64, i64)>,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockCounters {
    /// Exchanges that were completed.
    pub exchanges: u64,
    /// Echoes of presences that this camera did not send, or with impossible times.
    pub echoes_refused: u64,
    /// Echoes that took too long to say anything.
    pub echoes_slow: u64,
    /// Steps of other clocks.
    pub peer_steps: u64,
    /// Presences that left early to complete an exchange.
    pub early_presences: u64,
}

impl ClockCounters {
    /// Name and value of each.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("exchanges", self.exchanges),
            ("echoes_refused", self.echoes_refused),
            ("echoes_slow", self.echoes_slow),
            ("peer_steps", self.peer_steps),
            ("early_presences", self.early_presences),
        ]
        .into_iter()
    }
}

/// One exchange.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The other's epoch less our monotonic clock, microseconds.
    base_us: i64,
    /// Half the delay, microseconds.
    error_us: i64,
    at: Time,
}

impl Sample {
    fn error_us(&self, now: Time) -> i64 {
        let age_s = i64::try_from(now.since(self.at).as_secs()).unwrap_or(i64::MAX);
        self.error_us.saturating_add(age_s.saturating_mul(DRIFT_US_PER_S))
    }
}

#[derive(Debug, Clone)]
struct PeerClock {
    boot_ms: u64,
    /// Its last presence: its timestamp there, and when it arrived.
    heard_ms: u64,
    heard: Time,
    /// The timestamp of the last presence that was echoed; none since its start.
    echoed_ms: Option<u64>,
    /// Newest last.
    samples: VecDeque<Sample>,
    /// The offset that was reported last, milliseconds, and when.
    reported: Option<(i64, Time)>,
}

impl PeerClock {
    fn best(&self, now: Time) -> Option<&Sample> {
        self.samples.iter().min_by_key(|sample| sample.error_us(now))
    }

    fn offset(&self, now: Time) -> Option<ClockOffset> {
        let best = self.best(now)?;
        // Rounded to the nearest millisecond: what is below that is no offset.
        let offset_us = best.base_us.saturating_sub(epoch_us(now).saturating_sub(mono_us(now)));
        let offset_ms = offset_us.saturating_add(500).div_euclid(1_000);
        Some(ClockOffset { offset_ms, error_ms: best.error_us(now) / 1_000 + 1 })
    }

    /// Its first exchange waits for our echo.
    fn waits(&self, now: Time) -> bool {
        self.echoed_ms.is_none() && now.since(self.heard) < ECHO_WITHIN
    }
}

/// The clocks of the other cameras.
#[derive(Debug, Clone, Default)]
pub struct ClockSync {
    /// When our own presences left, newest last.
    sent: VecDeque<Time>,
    peers: BTreeMap<CameraId, PeerClock>,
    /// Early presences that were spent, and when the last one came back.
    early: (u32, Time),
    /// Reports in the minute that began then.
    reports: (u32, Time),
    counters: ClockCounters,
}

impl ClockSync {
    /// What was counted.
    pub fn counters(&self) -> ClockCounters {
        self.counters
    }

    /// What another camera's clock is ahead of ours; none before the first exchange.
    pub fn offset(&self, camera: &CameraId, now: Time) -> Option<ClockOffset> {
        self.peers.get(camera)?.offset(now)
    }

    /// The cameras of which an offset is known.
    pub fn offsets(&self, now: Time) -> impl Iterator<Item = (&CameraId, ClockOffset)> {
        self.peers.iter().filter_map(move |(camera, peer)| Some((camera, peer.offset(now)?)))
    }

    /// When the presence of ours left that this one of another camera echoes, on our monotonic clock, nanoseconds.
    /// Only a camera that received it lately can name it, so such a presence is no replay.
    pub(super) fn echo_ns(&self, m: &StatusMessage, own: &CameraId) -> Option<u64> {
        self.sent_at(echo(m, own)?.0).map(|time| time.mono_ns)
    }

    /// The own presence with this timestamp; none as well where two of them bear it that are not of one moment.
    fn sent_at(&self, epoch_ms: u64) -> Option<Time> {
        let mut alike = self.sent.iter().filter(|time| time.epoch_ms.min(MILLIS_MAX) == epoch_ms);
        let first = *alike.next()?;
        let is_one = alike.all(|other| other.since(first) <= Duration::from_micros(RESOLUTION_US as u64));
        is_one.then_some(first)
    }

    /// Takes a presence that a camera published just now (none that the broker kept).
    pub(super) fn take(&mut self, m: &StatusMessage, own: &CameraId, now: Time) {
        let Some(Millis(sent_ms)) = m.timestamp else { return };
        self.note_heard(&m.camera_id, m.boot.0, sent_ms, now);
        let Some((t1, t2)) = echo(m, own) else { return };
        let Some(left) = self.sent_at(t1) else {
            self.counters.echoes_refused += 1;
            return;
        };
        let (t2_us, t3_us) = (us(t2), us(sent_ms));
        let (t1_us, t4_us) = (mono_us(left), mono_us(now));
        let delay_us = (t4_us - t1_us).saturating_sub(t3_us.saturating_sub(t2_us));
        if t3_us < t2_us || delay_us < -RESOLUTION_US {
            self.counters.echoes_refused += 1;
            return;
        }
        if delay_us > DELAY_MAX_US {
            self.counters.echoes_slow += 1;
            return;
        }
        let base_us = i64::midpoint(t2_us - t1_us, t3_us - t4_us);
        let error_us = delay_us.max(0) / 2 + RESOLUTION_US / 2;
        self.counters.exchanges += 1;
        let Some(peer) = self.peers.get_mut(&m.camera_id) else { return };
        let fresh = Sample { base_us, error_us, at: now };
        if let Some(best) = peer.best(now)
            && best.base_us.abs_diff(base_us) > best.error_us(now).saturating_add(error_us).unsigned_abs()
        {
            self.counters.peer_steps += 1;
            peer.samples.clear();
        }
        if peer.samples.len() >= SAMPLES_MAX {
            peer.samples.pop_front();
        }
        peer.samples.push_back(fresh);
    }

    /// Notes a presence that is to be echoed, and nothing else of it: of a camera whose messages are refused because
    /// the clocks differ too much the offset must be measured first. One that was taken lately stays.
    pub(super) fn note_refused(&mut self, m: &StatusMessage, now: Time) {
        let Some(Millis(sent_ms)) = m.timestamp else { return };
        let is_known =
            self.peers.get(&m.camera_id).is_some_and(|peer| now.since(peer.heard) < ECHO_WITHIN / 2);
        if !is_known {
            self.note_heard(&m.camera_id, m.boot.0, sent_ms, now);
        }
    }

    fn note_heard(&mut self, camera: &CameraId, boot_ms: u64, sent_ms: u64, now: Time) {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(camera) {
            let stalest =
                self.peers.iter().min_by_key(|(_, peer)| peer.heard).map(|(camera, _)| camera.clone());
            stalest.and_then(|stalest| self.peers.remove(&stalest));
        }
        let peer = self.peers.entry(camera.clone()).or_insert_with(|| PeerClock {
            boot_ms,
            heard_ms: sent_ms,
            heard: now,
            echoed_ms: None,
            samples: VecDeque::new(),
            reported: None,
        });
        if peer.boot_ms != boot_ms {
            // The new process knows nothing of what was echoed to the old one.
            (peer.boot_ms, peer.echoed_ms) = (boot_ms, None);
        }
        // Of two of one millisecond, or two copies, the first is the one that took less time.
        if peer.heard_ms != sent_ms || now.since(peer.heard) >= ECHO_WITHIN {
            (peer.heard_ms, peer.heard) = (sent_ms, now);
        }
    }

    /// What a presence that leaves now echoes: at most [`HEARD_MAX`] cameras, those first whose first exchange waits
    /// for it, then those heard last.
    pub(super) fn echoes(
        &self,
        wanted: impl Fn(&CameraId) -> bool,
        now: Time,
    ) -> Map<CameraId, [Millis; 2], HEARD_MAX> {
        let fresh = self.peers.iter().filter(|(camera, peer)| {
            peer.echoed_ms != Some(peer.heard_ms) && now.since(peer.heard) < ECHO_WITHIN && wanted(camera)
        });
        let mut fresh: Vec<_> = fresh.collect();
        fresh.sort_by_key(|(_, peer)| (peer.echoed_ms.is_some(), std::cmp::Reverse(peer.heard)));
        Map::cut(fresh.into_iter().take(HEARD_MAX).map(|(camera, peer)| {
            let ago_ms = u64::try_from(now.since(peer.heard).as_millis()).unwrap_or(u64::MAX);
            let arrived_ms = now.epoch_ms.saturating_sub(ago_ms).min(MILLIS_MAX);
            (camera.clone(), [Millis(peer.heard_ms.min(MILLIS_MAX)), Millis(arrived_ms)])
        }))
    }

    /// Notes that our presence left now with these echoes.
    pub(super) fn sent(&mut self, echoes: &Map<CameraId, [Millis; 2], HEARD_MAX>, now: Time) {
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        for (camera, [heard, _]) in echoes.iter() {
            if let Some(peer) = self.peers.get_mut(camera) {
                peer.echoed_ms = Some(heard.0);
            }
        }
    }

    /// Echoes once more what was echoed before: our clock was stepped, and the next presence shows by how much.
    pub(super) fn stepped(&mut self) {
        for peer in self.peers.values_mut() {
            // No timestamp is so late.
            peer.echoed_ms = peer.echoed_ms.map(|_| u64::MAX);
        }
    }

    /// Whether a presence is to leave now although the usual one is not due; counts it as one that does.
    pub(super) fn leaves_early(&mut self, wanted: impl Fn(&CameraId) -> bool, now: Time) -> bool {
        let waits = self.peers.iter().any(|(camera, peer)| peer.waits(now) && wanted(camera));
        // Before the first presence there is no connection.
        let is_free = self.sent.back().is_some_and(|last| now.since(*last) >= EARLY_EVERY);
        waits && is_free && self.may_leave_early(now)
    }

    /// Takes one of the few presences that may leave early, if one is left.
    pub(super) fn may_leave_early(&mut self, now: Time) -> bool {
        let (spent, since) = self.early;
        let back = (now.since(since).as_millis() / EARLY_REFILL.as_millis()).min(u128::from(spent)) as u32;
        let spent = spent - back;
        let since = if spent == 0 { now } else { since + EARLY_REFILL * back };
        if spent >= EARLY_BURST {
            self.early = (spent, since);
            return false;
        }
        self.early = (spent + 1, since);
        self.counters.early_presences += 1;
        true
    }

    /// What the cameras that count show of our own clock.
    pub(super) fn verdict(&self, counts: &dyn Fn(&CameraId) -> bool, now: Time) -> ClockVerdict {
        let mut offsets: Vec<ClockOffset> =
            self.offsets(now).filter(|(camera, _)| counts(camera)).map(|(_, offset)| offset).collect();
        let differing = offsets.iter().filter(|offset| offset.differs()).count();
        offsets.sort_unstable_by_key(|offset| (offset.offset_ms, offset.error_ms));
        let middle = offsets.get(offsets.len() / 2).filter(|_| offsets.len() >= JURY_MIN);
        let own = middle.and_then(|middle| {
            let agrees =
                |o: &&ClockOffset| o.offset_ms.abs_diff(middle.offset_ms) <= REPORTED_MS.unsigned_abs();
            let agreeing = offsets.iter().filter(agrees).count();
            (2 * agreeing > offsets.len()).then_some((middle.offset_ms.saturating_neg(), middle.error_ms))
        });
        ClockVerdict { counting: offsets.len(), differing, own }
    }

    /// The cameras whose clocks differ from ours, and by how much: those that count first.
    pub(super) fn off(
        &self,
        counts: &dyn Fn(&CameraId) -> bool,
        now: Time,
    ) -> Option<Map<CameraId, Offset, OFF_MAX>> {
        let differing = || self.offsets(now).filter(|(_, offset)| offset.differs());
        let (first, then): (Vec<_>, Vec<_>) = differing().partition(|(camera, _)| counts(camera));
        let chosen = first.into_iter().chain(then).take(OFF_MAX);
        let off = Map::cut(chosen.map(|(camera, offset)| (camera.clone(), Offset::cut(offset.offset_ms))));
        (!off.is_empty()).then_some(off)
    }

    /// The cameras whose offset changed by more than [`REPORTED_MS`] since it was reported last. Each at most once a
    /// minute, and at most [`REPORTS_MAX`] of all: what is left over comes later.
    pub(super) fn reports(&mut self, now: Time) -> Vec<(CameraId, ClockOffset)> {
        if now.since(self.reports.1) >= REPORT_EVERY {
            self.reports = (0, now);
        }
        let mut due = Vec::new();
        for (camera, peer) in &mut self.peers {
            let Some(offset) = peer.offset(now) else { continue };
            let (reported_ms, is_early) =
                peer.reported.map_or((0, false), |(offset_ms, at)| (offset_ms, now.since(at) < REPORT_EVERY));
            let changed_ms = offset.offset_ms.saturating_sub(reported_ms).saturating_abs();
            if changed_ms.saturating_sub(offset.error_ms) > REPORTED_MS
                && !is_early
                && self.reports.0 < REPORTS_MAX
            {
                self.reports.0 += 1;
                peer.reported = Some((offset.offset_ms, now));
                due.push((camera.clone(), offset));
            }
        }
        due
    }

    /// What our own clock, which was not set for so long, is ahead of the others' (so a negative number), and how far
    /// that may be off, milliseconds: the median of the plausible clocks of the cameras that count; of all, once none
    /// that counts was there for [`ADOPT_ALONE`].
    pub(super) fn adoptable(
        &self,
        counts: &dyn Fn(&CameraId) -> bool,
        unset_for: Duration,
        now: Time,
    ) -> Option<(i64, i64)> {
        let of = |all: bool| {
            let plausible = self.offsets(now).filter(|(camera, offset)| {
                let shows_ms = now.epoch_ms.saturating_add_signed(offset.offset_ms);
                let shows = Time { epoch_ms: shows_ms, ..now };
                shows.is_set()
                    && shows_ms <= PLAUSIBLE_MAX_MS
                    && offset.error_ms <= ADOPT_ERROR_MAX_MS
                    && (all || counts(camera))
            });
            let mut offsets: Vec<(i64, i64)> =
                plausible.map(|(_, offset)| (offset.offset_ms, offset.error_ms)).collect();
            offsets.sort_unstable();
            offsets
                .get(offsets.len() / 2)
                .map(|(offset_ms, error_ms)| (offset_ms.saturating_neg(), *error_ms))
        };
        of(false).or_else(|| if unset_for >= ADOPT_ALONE { of(true) } else { None })
    }
}

/// What a presence echoes of ours: its timestamp, and when it arrived there.
fn echo(m: &StatusMessage, own: &CameraId) -> Option<(u64, u64)> {
    let [sent, arrived] = m.clock.as_ref()?.heard.as_ref()?.get(own)?;
    Some((sent.0, arrived.0))
}

fn us(ms: u64) -> i64 {
    i64::try_from(ms.min(MILLIS_MAX) * 1_000).unwrap_or(i64::MAX)
}

fn epoch_us(time: Time) -> i64 {
    us(time.epoch_ms)
}

fn mono_us(time: Time) -> i64 {
    i64::try_from(time.mono_ns / 1_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
