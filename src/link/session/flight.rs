//! Messages that went out and wait for the broker's word, by packet id: the sender's side of `QoS` 1
//! and 2 (MQTT 5, 4.3 and 4.4).
//!
//! ```text
//! QoS 1:  Published --PUBACK--> done
//! QoS 2:  Published --PUBREC--> Released --PUBCOMP--> done
//! ```
//!
//! - A packet id is taken until its message is done; ids rise and wrap.
//! - On a session that the broker kept, [`Flights::resume`] has everything sent again, in the old order:
//!   a message with DUP, or its release. No more of them are out at once than the window allows.
//! - An answer that fits nothing changes nothing.
//! - A session that the broker kept from before this process began may hold ids of `QoS` 2 messages
//!   that were never released; a new message with such an id would be taken for a repetition and lost.
//!   So every id is released before its first use on such a session.
//!
//! Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::link::outbox::Entry;
use crate::model::Qos;

/// See the module.
#[derive(Debug)]
pub(super) struct Flights {
    by_id: BTreeMap<u16, Flight>,
    next_id: u16,
    /// Ids up to this one have not been used yet on a session that began before this process.
    strange_until: Option<u16>,
    to_resend: VecDeque<u16>,
    order: u64,
    /// How many were sent on this connection and are not done.
    out: usize,
}

#[derive(Debug)]
struct Flight {
    entry: Entry,
    qos: Qos,
    released: bool,
    order: u64,
    /// On the present connection.
    sent: bool,
}

/// A message that was given a packet id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) packet_id: u16,
    /// Release the id first.
    pub(super) strange: bool,
}

/// What is to be sent again.
#[derive(Debug)]
pub(super) enum Resend<'a> {
    Publish { packet_id: u16, qos: Qos, entry: &'a Entry },
    Release { packet_id: u16 },
}

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(super) enum Answered {
    /// The message is done.
    Done(Box<Entry>),
    /// Its release is to be sent.
    Release,
    /// Nothing that was asked.
    Nothing,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            next_id: 1,
            strange_until: None,
            to_resend: VecDeque::new(),
            order: 0,
            out: 0,
        }
    }

    /// How many are not done.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The message with this sequence number is among them.
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.by_id.values().any(|flight| flight.entry.seq == seq)
    }

    /// The largest of them, by its payload.
    pub(super) fn largest(&self) -> Option<(u16, usize)> {
        let sizes = self.by_id.iter().map(|(id, flight)| (*id, flight.entry.envelope.payload.len()));
        sizes.max_by_key(|(_, bytes)| *bytes)
    }

    /// A message with `QoS` 2 was sent on this connection and waits for its PUBREC.
    pub(super) fn waits_for_receipt(&self) -> bool {
        self.by_id.values().any(|flight| flight.qos == Qos::ExactlyOnce && flight.sent && !flight.released)
    }

    /// A message that is to be retained was sent on this connection and is not done.
    pub(super) fn has_retained(&self) -> bool {
        self.by_id.values().any(|flight| flight.entry.envelope.retain && flight.sent)
    }

    /// Goes on with no higher `QoS` than this; those that can't be followed any more are returned, in their old
    /// order.
    pub(super) fn limit_qos(&mut self, max: Qos) -> Vec<Entry> {
        if max == Qos::AtMostOnce {
            return self.forget();
        }
        for flight in self.by_id.values_mut().filter(|flight| !flight.released) {
            flight.qos = flight.qos.min(max);
        }
        Vec::new()
    }

    /// A packet id for a SUBSCRIBE or an UNSUBSCRIBE.
    pub(super) fn request_id(&mut self) -> u16 {
        self.free_id()
    }

    /// Takes a message that goes out now.
    pub(super) fn publish(&mut self, entry: Entry, qos: Qos) -> Assigned {
        let packet_id = self.free_id();
        let strange = self.strange_until.is_some() && qos == Qos::ExactlyOnce;
        if self.strange_until == Some(packet_id) {
            self.strange_until = None;
        }
        self.order += 1;
        self.out += 1;
        let flight = Flight { entry, qos, released: false, order: self.order, sent: true };
        self.by_id.insert(packet_id, flight);
        Assigned { packet_id, strange }
    }

    fn free_id(&mut self) -> u16 {
        // The window is far smaller than the ids, so one is free.
        while self.by_id.contains_key(&self.next_id) {
            self.next_id = next(self.next_id);
        }
        let id = self.next_id;
        self.next_id = next(id);
        id
    }

    /// The broker kept the session. `inherited`: from before this process began.
    pub(super) fn resume(&mut self, inherited: bool) {
        if inherited {
            self.strange_until = Some(if self.next_id == 1 { u16::MAX } else { self.next_id - 1 });
        }
        self.out = 0;
        let mut ids: Vec<_> = self.by_id.iter().map(|(id, flight)| (flight.order, *id)).collect();
        ids.sort_unstable();
        self.to_resend = ids.into_iter().map(|(_, id)| id).collect();
        for flight in self.by_id.values_mut() {
            flight.sent = false;
        }
    }

    /// The broker has no session: everything that was not done, in its old order.
    pub(super) fn forget(&mut self) -> Vec<Entry> {
        self.out = 0;
        self.strange_until = None;
        self.to_resend.clear();
        let mut flights: Vec<_> = std::mem::take(&mut self.by_id).into_values().collect();
        flights.sort_unstable_by_key(|flight| flight.order);
        flights.into_iter().map(|flight| flight.entry).collect()
    }

    /// Everything was sent again.
    pub(super) fn all_sent(&self) -> bool {
        self.to_resend.is_empty()
    }

    /// What is to be sent again next, when no more than `window` may be out.
    pub(super) fn next_resend(&mut self, window: usize) -> Option<Resend<'_>> {
        while self.out < window {
            let packet_id = self.to_resend.pop_front()?;
            let waits = self.by_id.get(&packet_id).is_some_and(|flight| !flight.sent);
            if waits {
                let flight = self.by_id.get_mut(&packet_id)?;
                flight.sent = true;
                self.out += 1;
                return Some(if flight.released {
                    Resend::Release { packet_id }
                } else {
                    Resend::Publish { packet_id, qos: flight.qos, entry: &flight.entry }
                });
            }
        }
        None
    }

    /// PUBACK.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Answered {
        match self.by_id.get(&packet_id) {
            Some(flight) if flight.qos == Qos::AtLeastOnce => self.done(packet_id),
            _ => Answered::Nothing,
        }
    }

    /// PUBREC.
    pub(super) fn received(&mut self, packet_id: u16, accepted: bool) -> Answered {
        let Some(flight) = self.by_id.get_mut(&packet_id) else { return Answered::Nothing };
        if flight.qos != Qos::ExactlyOnce {
            return Answered::Nothing;
        }
        if !accepted && !flight.released {
            return self.done(packet_id);
        }
        flight.released = true;
        self.out += usize::from(!std::mem::replace(&mut flight.sent, true));
        Answered::Release
    }

    /// PUBCOMP.
    pub(super) fn completed(&mut self, packet_id: u16) -> Answered {
        match self.by_id.get(&packet_id) {
            Some(flight) if flight.released => self.done(packet_id),
            _ => Answered::Nothing,
        }
    }

    /// The message is no longer waited for.
    pub(super) fn done(&mut self, packet_id: u16) -> Answered {
        let Some(flight) = self.by_id.remove(&packet_id) else { return Answered::Nothing };
        self.out -= usize::from(flight.sent);
        Answered::Done(Box::new(flight.entry))
    }
}

fn next(id: u16) -> u16 {
    if id == u16::MAX { 1 } else { id + 1 }
}
