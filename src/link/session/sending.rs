//! What leaves by the present connection, and in which order.

use super::flight::Resend;
use super::size::packet_bytes;
use super::{Action, Session, Stage, WhyRefused, settle};
use crate::base::Time;
use crate::link::outbox::{Entry, Outcome};
use crate::link::transport::{Answer, Outgoing};
use crate::model::{MessageClass, Qos};

/// Messages handed to the transport that have not gone out yet.
pub(super) const HANDED_MAX: usize = 64;
/// Bytes of them, after which no further one is handed over.
pub(super) const HANDED_BYTES_MAX: usize = 64 << 10;

/// A message that is with the transport and has not gone out yet.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) seq: u64,
    pub(super) class: MessageClass,
    pub(super) bytes: usize,
    /// Since when a track could have left.
    pub(super) track_since: Option<Time>,
    /// Whose loss is to be counted, or undone, when the connection breaks.
    pub(super) fragile: Fragile,
}

#[derive(Debug)]
pub(super) enum Fragile {
    /// It is in flight, and sent again from there.
    No,
    /// It is lost.
    Lost,
    /// It has a row in the store, which wants to know of it.
    Kept(Box<Entry>),
}

impl Session {
    /// The transport may be handed more.
    pub(super) fn has_room(&self) -> bool {
        self.handed.len() < HANDED_MAX && self.handed_bytes < HANDED_BYTES_MAX
    }

    pub(super) fn on_sent(&mut self, messages: usize, now: Time, actions: &mut Vec<Action>) {
        for _ in 0..messages {
            let Some(handed) = self.handed.pop_front() else { return };
            self.counters.sent += 1;
            self.handed_bytes -= handed.bytes;
            if let Some(since) = handed.track_since {
                self.queues.track_sent(since, now);
            }
            if let Fragile::Kept(entry) = handed.fragile {
                settle(entry.row, Outcome::Acknowledged, actions);
            }
        }
    }

    pub(super) fn send_waiting(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(present) = &mut self.present else { return };
        present.paused_until = present.paused_until.filter(|until| now < *until);
        let paused = present.paused_until.is_some();
        let window = self.window.size().min(usize::from(present.broker.receive_maximum));
        let max_packet_bytes = self.limits.max_packet_bytes;
        let mut expired = Vec::new();
        let flushing = self.closing.as_ref().is_none_or(|closing| closing.stage == Stage::Flushing);
        while self.has_room() {
            if !self.flights.all_sent() {
                if !self.resend(window, now, actions) {
                    break;
                }
                continue;
            }
            if !flushing {
                break;
            }
            let acknowledged = self.flights.len() < window && !paused;
            if !acknowledged && !paused && self.window.waits_for_first() {
                break;
            }
            let Some(entry) = self.queues.take(acknowledged, now, &mut expired) else { break };
            if packet_bytes(&entry.envelope) > max_packet_bytes {
                self.refuse_too_large(&entry.envelope, WhyRefused::TooLargeForBroker);
                settle(entry.row, Outcome::GivenUp, actions);
                continue;
            }
            self.hand_over(entry, now, actions);
        }
        actions.extend(expired.into_iter().map(|row| Action::Settle(row, Outcome::GivenUp)));
    }

    /// Sends one message again that was in flight on the last connection; false when there is no room.
    pub(super) fn resend(&mut self, window: usize, now: Time, actions: &mut Vec<Action>) -> bool {
        let Some(resend) = self.flights.next_resend(window) else { return self.flights.all_sent() };
        match resend {
            Resend::Release { packet_id } => actions.push(Action::Answer(Answer::Release, packet_id)),
            Resend::Publish { packet_id, qos, entry } => {
                let mut envelope = entry.envelope.clone();
                envelope.qos = qos;
                envelope.retain &= self.limits.retain;
                let (seq, class, bytes) = (entry.seq, envelope.class, packet_bytes(&envelope));
                self.handed_bytes += bytes;
                self.handed.push_back(Handed { seq, class, bytes, track_since: None, fragile: Fragile::No });
                let expiry_s = seconds_left(entry.deadline, now);
                actions.push(Action::Publish(Outgoing {
                    envelope,
                    packet_id,
                    dup: true,
                    alias: None,
                    expiry_s,
                }));
            }
        }
        true
    }

    pub(super) fn hand_over(&mut self, entry: Entry, now: Time, actions: &mut Vec<Action>) {
        let Some(present) = &mut self.present else { return };
        let qos = entry.envelope.qos.min(self.limits.qos_max);
        let kept = (qos > Qos::AtMostOnce || entry.row.is_some()).then(|| entry.clone());
        let expiry_s = seconds_left(entry.deadline, now);
        let track_since =
            (entry.envelope.class == MessageClass::Track).then_some(entry.since.max(present.began));
        let (seq, mut envelope) = (entry.seq, entry.envelope);
        envelope.qos = qos;
        envelope.retain &= self.limits.retain;
        let (class, bytes) = (envelope.class, packet_bytes(&envelope));
        // A topic that is told once would only push out one that is told often.
        let alias = (qos == Qos::AtMostOnce).then(|| present.aliases.of(&envelope.topic)).flatten();
        let mut packet_id = 0;
        let fragile = match kept {
            Some(entry) if qos > Qos::AtMostOnce => {
                if self.flights.is_empty() {
                    present.moved = now;
                }
                let assigned = self.flights.publish(entry, qos);
                packet_id = assigned.packet_id;
                if assigned.strange {
                    actions.push(Action::Answer(Answer::Release, packet_id));
                }
                Fragile::No
            }
            Some(entry) => Fragile::Kept(Box::new(entry)),
            None => Fragile::Lost,
        };
        self.handed_bytes += bytes;
        self.handed.push_back(Handed { seq, class, bytes, track_since, fragile });
        actions.push(Action::Publish(Outgoing { envelope, packet_id, dup: false, alias, expiry_s }));
    }
}

/// Whole seconds until then, rounded up; at least one, for 0 would mean that it was never worth sending.
fn seconds_left(deadline: Option<Time>, now: Time) -> Option<u32> {
    let left = deadline?.since(now).as_secs_f64().ceil();
    Some((left as u32).max(1))
}
