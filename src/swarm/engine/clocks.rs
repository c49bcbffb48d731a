//! The engine's clocks: steps of our own, offsets of the others, and events that wait for a time.
//!
//! A camera whose clock was never set ([`Time::is_set`]) publishes no events, because they would bear a false time. It
//! holds at most [`HELD_MAX`]; beyond that the least severe goes, of equal ones the oldest, and is counted. When the
//! clock is set (by a time server, the system or the peers) they are restamped from the monotonic clock and leave in
//! their order, before newer ones.

use super::{Action, Engine, epoch_ms};
use crate::base::Time;
use crate::model::{CameraId, Event};
use crate::swarm::consensus;
use crate::swarm::message::StatusMessage;
use crate::swarm::peers::{Peer, PeerState};
use crate::swarm::presence;
use crate::swarm::publish::event_message;

/// Events that wait for a time.
pub(super) const HELD_MAX: usize = 256;
/// A change of the wall clock against the monotonic one by this is a step; below it the clock is being slewed,
/// milliseconds.
const STEP_MS: i64 = 50;
/// After a larger step the fused table begins anew: reports of before and after are not of one time, milliseconds.
const TABLE_STEP_MS: i64 = 1_000;

impl Engine {
    /// Whether our clock was never set, or is, or may be, more than [`presence::UNSYNCED_MS`] off: by the time server,
    /// else by the majority of the cameras that count. Of two clocks that differ both may be wrong.
    pub fn is_unsynced(&self, now: Time) -> bool {
        let error_ms = presence::clock_error_ms(self.clock, &self.fusion, self.adopted, now);
        !now.is_set()
            || error_ms.is_some_and(|error_ms| error_ms > presence::UNSYNCED_MS)
            || self.is_outvoted()
    }

    fn is_outvoted(&self) -> bool {
        let verdict = self.clock_verdict;
        // A time server shows which of two clocks is off; of more, the majority may know better.
        let is_settled = verdict.counting == 1 && self.clock.is_some();
        2 * verdict.differing > verdict.counting && !is_settled
    }

    /// Events that wait until our clock is set.
    pub fn held_events(&self) -> usize {
        self.held.len()
    }

    /// What the clocks of the others differ from ours by.
    pub fn clocks(&self) -> &crate::swarm::clock_sync::ClockSync {
        &self.clocks
    }

    /// Notices a step of our own clock; called with every input.
    pub(super) fn note_time(&mut self, now: Time, out: &mut Vec<Action>) {
        let base_ms = now.base_ms();
        let step_ms = self.base_ms.replace(base_ms).map_or(0, |before| base_ms.saturating_sub(before));
        if step_ms.saturating_abs() >= STEP_MS {
            if step_ms.saturating_abs() > TABLE_STEP_MS {
                self.fusion.clock_stepped(step_ms);
            }
            self.clocks.stepped();
            self.tell_clocks(now);
            // The others learn of it at once.
            if self.last_status.is_some() && self.clocks.may_leave_early(now) {
                self.send_status(now, out);
            }
        }
        if !now.is_set() {
            self.unset_since.get_or_insert(now);
        } else if self.unset_since.take().is_some() {
            for event in std::mem::take(&mut self.held) {
                self.own_event(event, now, out);
            }
        }
    }

    /// Takes a presence that was published just now as what it says of the clocks.
    pub(super) fn exchange(&mut self, m: &StatusMessage, now: Time) {
        self.clocks.take(m, &self.identity.camera, now);
        if let Some(offset) = self.clocks.offset(&m.camera_id, now) {
            self.fusion.note(&m.camera_id, epoch_ms(now));
            self.fusion.set_offset(&m.camera_id, Some(offset.offset_ms));
            self.fusion.tell_clocks();
        }
    }

    /// Hands what is known of the clocks to what corrects times. A camera has a say on which clock is right if it is
    /// there and known, a report of it arrived, and it is not muted. A camera that only sends presence has none.
    fn tell_clocks(&mut self, now: Time) {
        let Self { fusion, peers, participants, trust, clocks, .. } = self;
        fusion.set_clocks(|camera, is_usable| {
            let is_known = |peer: &Peer| peer.state == PeerState::Online && peer.status.is_some();
            let counts = is_usable
                && peers.get(camera).is_some_and(is_known)
                && !participants.is_contradicted(camera)
                && !trust.is_muted(camera);
            (counts, clocks.offset(camera, now).map(|offset| offset.offset_ms))
        });
        self.clock_verdict = clocks.verdict(&|camera| fusion.counts(camera), now);
        fusion.set_own_clock(self.clock_verdict.own);
        fusion.tell_clocks();
    }

    /// Once a second.
    pub(super) fn tick_clocks(&mut self, now: Time, out: &mut Vec<Action>) {
        self.tell_clocks(now);
        for (camera, offset) in self.clocks.reports(now) {
            let (offset_ms, error_ms) = (offset.offset_ms, offset.error_ms);
            out.push(Action::Clock { camera, offset_ms, error_ms });
        }
        if let Some(since) = self.unset_since
            && let Some((ahead_ms, error_ms)) =
                self.clocks.adoptable(&|camera| self.fusion.counts(camera), now.since(since), now)
        {
            self.adopted = Some((ahead_ms, error_ms));
            out.push(Action::AdoptTime { ahead_ms, error_ms });
        }
        let is_due = self.last_status.is_none_or(|last| now.since(last) >= self.options.status_interval);
        let hears = |camera: &CameraId| self.neighbours.hears(camera.as_str());
        let is_early = !is_due && self.clocks.leaves_early(hears, now);
        if is_due || is_early {
            self.send_status(now, out);
        }
    }

    /// Publishes an event of our own, or holds it until there is a time.
    pub(super) fn own_event(&mut self, mut event: Event, now: Time, out: &mut Vec<Action>) {
        if !now.is_set() {
            self.hold(event);
            return;
        }
        if !event.time.is_set() {
            event.predicted_time = event.predicted_time.restamped(now);
            event.time = event.time.restamped(now);
        }
        if self.publisher.admit(&event) {
            let message = event_message(&self.identity.camera, self.identity.boot_ms(), &event);
            let topic = self.options.prefix.event(&self.identity.camera, event.id);
            if self.send(&message, topic, event.severity.number(), now, out) {
                self.consult(consensus::Input::Event(&message), now, out);
            }
        }
    }

    fn hold(&mut self, event: Event) {
        self.counters.events_held += 1;
        self.held.push(event);
        if self.held.len() > HELD_MAX
            && let Some(least) = (0..self.held.len()).min_by_key(|&i| (self.held[i].severity, i))
        {
            self.held.remove(least);
            self.counters.held_evicted += 1;
        }
    }
}
