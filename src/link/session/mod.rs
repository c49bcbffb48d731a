//! The life of one connection, as a pure state machine.
//!
//! ```text
//!             Connect                Connected               Close
//!  Waiting ------------> Connecting ----------> Connected ----------> (flush, farewell, DISCONNECT)
//!     ^                      | Disconnected         | Disconnected        |
//!     +----------------------+----------------------+                     +-> Closed
//! ```
//!
//! - Waits between two tries grow with full jitter (`base::Backoff`).
//! - Subscriptions are asked for at every connect: a session that was kept may be older than they are.
//! - Every message with an acknowledgement stays here until it came. The transport resends those in
//!   flight when the broker kept the session; when it did not, they go back to their queues and leave
//!   again from there: exactly the unacknowledged, in their old order.
//! - Acknowledgements are matched through the order of publishing: the transport reports the packet
//!   id of each message as it goes out, oldest first.
//! - At most `HANDED_MAX` messages and `in_flight_max` acknowledgements are with the transport, so that
//!   a slow connection keeps its backlog here, where newer tracks replace older ones.
//! - A connection that ended in a protocol error is followed by a clean start: resuming the session
//!   would only repeat it.
//!
//! No tokio, no I/O, no clock, no randomness of its own: `handle(input, now, rng) -> actions`. What
//! it asks for is done in order. Losses are counted in [`Counters`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::Rng;

use super::Error;
use super::outbox::{Entry, PerClass, Queues, RowId, WaitingLimits};
use super::transport::Event;
use crate::base::{Backoff, BackoffOptions, Time};
use crate::model::{Delivery, Envelope, MessageClass, Qos};

/// Messages handed to the transport that have not gone out yet.
pub(super) const HANDED_MAX: usize = 64;

/// Bytes of an MQTT 5 PUBLISH beside topic, content type and payload, at most: fixed header 5, topic
/// length 2, packet id 2, property length 1, content type's identifier and length 3.
const PUBLISH_OVERHEAD_BYTES: usize = 13;

/// What a session needs to know.
#[derive(Debug, Clone)]
pub(super) struct SessionOptions {
    /// Waits between tries.
    pub(super) backoff: BackoffOptions,
    /// The broker keeps no session between connections.
    pub(super) clean_start: bool,
    /// Acknowledgements waited for, at most.
    pub(super) in_flight_max: u16,
    /// The largest packet sent, in bytes.
    pub(super) max_packet_bytes: usize,
    /// Bounds of what waits.
    pub(super) waiting: WaitingLimits,
}

/// What a session is told.
#[derive(Debug)]
pub(super) enum Input {
    /// The transport reports.
    Transport(Event),
    /// Time has passed, or something was queued.
    Tick,
}

/// What a session asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Start a connection.
    Connect {
        /// Forget the session first.
        clean_start: bool,
    },
    /// Ask for all subscriptions.
    Subscribe,
    /// Send.
    Publish(Envelope),
    /// Say goodbye.
    Disconnect,
    /// Hand a message to its consumer.
    Deliver(Delivery, Qos),
    /// Tell the store what became of one of its rows.
    Settle(RowId, Outcome),
}

/// What became of a row of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The broker has it.
    Acknowledged,
    /// It will never be sent: refused by the broker, too large for it, or too old.
    GivenUp,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A try is under way.
    Connecting,
    /// Up.
    Connected,
    /// Between two tries.
    Waiting,
    /// Over.
    Closed,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections made.
    pub connects: u64,
    /// Connections lost, and tries that failed.
    pub disconnects: u64,
    /// Messages that went out, those sent again included.
    pub sent: u64,
    /// Messages that the broker acknowledged.
    pub acknowledged: u64,
    /// Messages that the broker answered with a refusal; they are not sent again.
    pub rejected: u64,
    /// Acknowledgements of nothing that was in flight.
    pub unsolicited: u64,
    /// Messages that went back to their queues because a broker came back without the session.
    pub requeued: u64,
    /// Messages larger than our limit or the broker's.
    pub refused_too_large: u64,
    /// Messages with a topic that can't be published to, or sent after the close began.
    pub refused: u64,
    /// Messages lost to a full queue, or to a connection that broke with them (`QoS` 0).
    pub dropped: PerClass,
    /// Messages that gave way to a newer one of their key.
    pub replaced: PerClass,
    /// Messages that waited until they were no longer worth sending.
    pub expired: PerClass,
    /// Messages that came in.
    pub received: u64,
    /// Messages that came in and found their consumer's queue full.
    pub received_dropped: u64,
    /// Messages that came in without a usable topic.
    pub malformed: u64,
    /// Subscriptions that the broker refused.
    pub subscriptions_refused: u64,
}

/// What a link shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// Why it was last not connected.
    pub last_error: Option<Error>,
    /// What was counted.
    pub counters: Counters,
    /// Messages that wait to be sent.
    pub queued: PerClass,
    /// Messages that were sent and wait for the broker's acknowledgement.
    pub in_flight: u64,
}

/// A message that is with the transport and has not gone out yet.
#[derive(Debug)]
struct Handed {
    seq: u64,
    class: MessageClass,
    /// Kept when it waits for an acknowledgement, or the store wants to know of it.
    kept: Option<Entry>,
}

#[derive(Debug)]
struct Closing {
    farewell: Option<Envelope>,
    /// The queue is flushed until then; what is left of the time is the farewell's.
    flush_until: Time,
    deadline: Time,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Flushing,
    /// The farewell has this number.
    Farewell(u64),
    Leaving,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    options: SessionOptions,
    queues: Queues,
    state: State,
    /// While waiting: until when.
    wait_until: Time,
    backoff: Backoff,
    clean_start: bool,
    handed: VecDeque<Handed>,
    in_flight: BTreeMap<u16, Entry>,
    broker_receive_maximum: u16,
    broker_max_packet_bytes: usize,
    closing: Option<Closing>,
    last_error: Option<Error>,
    counters: Counters,
}

impl Session {
    /// A session that connects at its first tick.
    pub(super) fn new(options: SessionOptions, now: Time) -> Self {
        Self {
            queues: Queues::new(options.waiting),
            state: State::Waiting,
            wait_until: now,
            backoff: Backoff::new(options.backoff),
            clean_start: options.clean_start,
            handed: VecDeque::new(),
            in_flight: BTreeMap::new(),
            broker_receive_maximum: u16::MAX,
            broker_max_packet_bytes: usize::MAX,
            closing: None,
            last_error: None,
            counters: Counters::default(),
            options,
        }
    }

    /// Queues a message; it leaves with the next `handle`.
    pub(super) fn enqueue(&mut self, envelope: Envelope, now: Time) {
        let unusable = envelope.topic.is_empty() || envelope.topic.contains(['+', '#', '\0']);
        if unusable || envelope.topic.len() > usize::from(u16::MAX) || self.closing.is_some() {
            self.counters.refused += 1;
        } else if packet_bytes(&envelope) > self.options.max_packet_bytes {
            self.counters.refused_too_large += 1;
        } else {
            self.queues.push(envelope, None, now);
        }
    }

    /// Queues a row of the store; [`Action::Settle`] says what became of it. The store asks
    /// [`Session::room`] first.
    pub(super) fn offer(&mut self, row: RowId, envelope: Envelope, now: Time) {
        self.queues.push(envelope, Some(row), now);
    }

    /// How many rows of the store of this class and priority may be offered.
    pub(super) fn room(&self, class: MessageClass, priority: u8) -> usize {
        self.queues.room(class, priority)
    }

    /// Begins the end: what is queued is sent, then `farewell`, then a DISCONNECT; all of it within
    /// `within`, a quarter of which is reserved for the farewell. Without a connection there is one
    /// more try, at once.
    pub(super) fn begin_close(&mut self, farewell: Option<Envelope>, now: Time, within: Duration) {
        let stage = Stage::Flushing;
        self.closing = Some(Closing {
            farewell,
            flush_until: now + within.mul_f64(0.75),
            deadline: now + within,
            stage,
        });
        self.wait_until = self.wait_until.min(now);
    }

    /// A consumer's queue was full.
    pub(super) fn count_undelivered(&mut self) {
        self.counters.received_dropped += 1;
    }

    /// When a `Tick` is due at the latest.
    pub(super) fn timer(&self) -> Option<Time> {
        let waiting = (self.state == State::Waiting).then_some(self.wait_until);
        let closing = self.closing.as_ref().map(|closing| match closing.stage {
            Stage::Flushing if self.state == State::Connected => closing.flush_until,
            _ => closing.deadline,
        });
        waiting.into_iter().chain(closing).min()
    }

    /// Where it is.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// What a link shows of itself now.
    pub(super) fn status(&self) -> Status {
        let mut counters = self.counters;
        for class in MessageClass::ALL {
            counters.dropped.add(class, self.queues.evicted().get(class));
        }
        counters.replaced = self.queues.replaced();
        counters.expired = self.queues.expired();
        Status {
            state: self.state,
            last_error: self.last_error.clone(),
            counters,
            queued: self.queues.queued(),
            in_flight: self.in_flight.len() as u64,
        }
    }

    /// One step.
    pub(super) fn handle(&mut self, input: Input, now: Time, rng: &mut impl Rng) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state == State::Closed {
            return actions;
        }
        if let Input::Transport(event) = input {
            self.on_event(event, now, rng, &mut actions);
        }
        if self.closing.as_ref().is_some_and(|closing| now >= closing.deadline) {
            self.state = State::Closed;
        }
        match self.state {
            State::Waiting if now >= self.wait_until => {
                self.state = State::Connecting;
                actions.push(Action::Connect { clean_start: self.clean_start });
            }
            State::Connected => {
                self.send_waiting(now, &mut actions);
                self.advance_close(now, &mut actions);
            }
            _ => {}
        }
        actions
    }

    fn on_event(&mut self, event: Event, now: Time, rng: &mut impl Rng, actions: &mut Vec<Action>) {
        match event {
            Event::Connected { session_present, receive_maximum, max_packet_bytes } => {
                self.broker_receive_maximum = receive_maximum;
                self.broker_max_packet_bytes = max_packet_bytes;
                self.on_connected(session_present, now);
                actions.push(Action::Subscribe);
            }
            Event::Disconnected(error) => self.on_disconnected(error, now, rng),
            Event::Subscribed { refused } => self.counters.subscriptions_refused += refused,
            Event::Published { packet_id } => self.on_published(packet_id, actions),
            Event::Acknowledged { packet_id, accepted } => {
                self.on_acknowledged(packet_id, accepted, actions);
            }
            Event::Received { delivery, qos } => {
                self.counters.received += 1;
                actions.push(Action::Deliver(delivery, qos));
            }
            Event::Malformed => self.counters.malformed += 1,
        }
    }

    fn on_connected(&mut self, session_present: bool, now: Time) {
        self.state = State::Connected;
        self.counters.connects += 1;
        self.backoff.succeeded(now);
        // After a clean start nothing is resumed, whatever the broker says.
        if !session_present || self.clean_start {
            self.counters.requeued += self.in_flight.len() as u64;
            for entry in std::mem::take(&mut self.in_flight).into_values() {
                self.queues.restore(entry);
            }
        }
        self.clean_start = self.options.clean_start;
    }

    fn on_disconnected(&mut self, error: Error, now: Time, rng: &mut impl Rng) {
        self.counters.disconnects += 1;
        self.clean_start |= error.spoils_session();
        for Handed { class, kept, .. } in self.handed.drain(..) {
            match kept {
                Some(entry) => self.queues.restore(entry),
                None => self.counters.dropped.add(class, 1),
            }
        }
        let tried_last = self.closing.is_some();
        let leaving = self.closing.as_ref().is_some_and(|closing| closing.stage == Stage::Leaving);
        if !leaving {
            self.last_error = Some(error);
        }
        self.wait_until = now + self.backoff.failed(now, rng);
        self.state = if tried_last { State::Closed } else { State::Waiting };
    }

    fn on_published(&mut self, packet_id: u16, actions: &mut Vec<Action>) {
        let Some(Handed { kept, .. }) = self.handed.pop_front() else {
            self.counters.unsolicited += 1;
            return;
        };
        self.counters.sent += 1;
        match kept {
            Some(entry) if entry.envelope.qos > Qos::AtMostOnce => {
                self.in_flight.insert(packet_id, entry);
            }
            Some(entry) => settle(entry.row, Outcome::Acknowledged, actions),
            None => {}
        }
    }

    fn on_acknowledged(&mut self, packet_id: u16, accepted: bool, actions: &mut Vec<Action>) {
        let Some(entry) = self.in_flight.remove(&packet_id) else {
            self.counters.unsolicited += 1;
            return;
        };
        if accepted {
            self.counters.acknowledged += 1;
            settle(entry.row, Outcome::Acknowledged, actions);
        } else {
            self.counters.rejected += 1;
            settle(entry.row, Outcome::GivenUp, actions);
        }
    }

    fn send_waiting(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.closing.as_ref().is_some_and(|closing| closing.stage != Stage::Flushing) {
            return;
        }
        let window = usize::from(self.options.in_flight_max.min(self.broker_receive_maximum));
        let waits =
            |handed: &&Handed| handed.kept.as_ref().is_some_and(|entry| entry.envelope.qos > Qos::AtMostOnce);
        let mut unacknowledged = self.in_flight.len() + self.handed.iter().filter(waits).count();
        let mut expired = Vec::new();
        while self.handed.len() < HANDED_MAX {
            let Some(entry) = self.queues.take(unacknowledged < window, now, &mut expired) else { break };
            if packet_bytes(&entry.envelope) > self.broker_max_packet_bytes {
                self.counters.refused_too_large += 1;
                settle(entry.row, Outcome::GivenUp, actions);
                continue;
            }
            unacknowledged += usize::from(entry.envelope.qos > Qos::AtMostOnce);
            self.hand_over(entry, actions);
        }
        actions.extend(expired.into_iter().map(|row| Action::Settle(row, Outcome::GivenUp)));
    }

    fn hand_over(&mut self, entry: Entry, actions: &mut Vec<Action>) {
        let (seq, class) = (entry.seq, entry.envelope.class);
        let keep = entry.envelope.qos > Qos::AtMostOnce || entry.row.is_some();
        let kept = keep.then(|| entry.clone());
        actions.push(Action::Publish(entry.envelope));
        self.handed.push_back(Handed { seq, class, kept });
    }

    fn advance_close(&mut self, now: Time, actions: &mut Vec<Action>) {
        let idle = self.queues.is_empty() && self.handed.is_empty() && self.in_flight.is_empty();
        let Some(closing) = &mut self.closing else { return };
        if closing.stage == Stage::Flushing && (idle || now >= closing.flush_until) {
            let seq = self.queues.next_seq();
            closing.stage = Stage::Farewell(seq);
            if let Some(envelope) = closing.farewell.take() {
                self.hand_over(Entry { seq, envelope, row: None, deadline: None }, actions);
            }
        }
        let Some(closing) = &mut self.closing else { return };
        let Stage::Farewell(farewell) = closing.stage else { return };
        let pending = self.handed.iter().any(|handed| handed.seq == farewell)
            || self.in_flight.values().any(|entry| entry.seq == farewell);
        if !pending {
            closing.stage = Stage::Leaving;
            actions.push(Action::Disconnect);
        }
    }
}

fn settle(row: Option<RowId>, outcome: Outcome, actions: &mut Vec<Action>) {
    actions.extend(row.map(|row| Action::Settle(row, outcome)));
}

/// The most bytes that a message takes on the wire.
fn packet_bytes(envelope: &Envelope) -> usize {
    PUBLISH_OVERHEAD_BYTES
        + envelope.topic.len()
        + envelope.content_type.as_str().len()
        + envelope.payload.len()
}

#[cfg(test)]
mod tests;
