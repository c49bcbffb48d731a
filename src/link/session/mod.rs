//! The life of one connection, as a pure state machine.
//!
//! ```text
//!             Connect                Connected               Close
//!  Waiting ------------> Connecting ----------> Connected ----------> (flush, farewell, DISCONNECT)
//!     ^                      | Disconnected         | Disconnected        |
//!     +----------------------+----------------------+                     +-> Closed
//! ```
//!
//! - How long it waits between two tries depends on the reason ([`pace`]): a network that comes back is
//!   found within seconds, a wrong password is not hammered.
//! - Subscriptions are asked for at every connect, and follow what is wanted while connected ([`subscriptions`]).
//! - Every message with an acknowledgement stays here until it came ([`flight`]). When the broker kept
//!   the session, those in flight are sent again, in their old order; when it did not, they go back to
//!   their queues and leave again from there: exactly the unacknowledged.
//! - At most `in_flight_max` acknowledgements are waited for, and no more than the broker allows. At most
//!   `HANDED_MAX` messages are with the transport, so that a slow connection keeps its backlog here,
//!   where newer tracks replace older ones.
//! - After two connections that ended before their first acknowledgement the next one begins with fewer messages in
//!   flight, down to one that nothing else follows: so a path that breaks after a few packets still carries
//!   something each time. The window doubles with each acknowledgement ([`window`]).
//! - What comes in with `QoS` 2 is delivered once ([`receive`]), over connections too, as long as the
//!   broker keeps the session.
//! - A connection on which nothing is heard is given up: no CONNACK in time, no SUBACK, no answer to a ping,
//!   no acknowledgement ([`present`]).
//! - A broker that does not take a CONNECT gets another one: in 3.1.1, or with less of a will ([`approach`]). What it
//!   does not take of messages it does not get: nothing retained, no higher `QoS` than its own ([`suspects`]).
//! - A connection that ended in a protocol error is followed by a clean start: resuming the session
//!   would only repeat it.
//! - A message that the broker finds too large is given up at the first word of it; in 3.1.1, which has no
//!   word for it, after [`WORDLESS_CLOSES_MAX`] connections closed while it was in flight.
//!
//! No tokio, no I/O, no clock, no randomness of its own: `handle(input, now, rng) -> actions`. What
//! it asks for is done in order. Losses are counted in [`Counters`].

mod alias;
mod approach;
mod closing;
mod flight;
mod pace;
mod present;
mod receive;
mod sending;
mod size;
mod status;
mod subscriptions;
mod suspects;
mod window;

use std::collections::VecDeque;
use std::time::Duration;

use rand::Rng;

pub(super) use alias::Alias;
pub(super) use approach::{Terms, WillShape};
pub use status::{Counters, Fallback, RefusedMessage, State, Status, WhyRefused};
pub(super) use subscriptions::Request;

use self::alias::Aliases;
use self::approach::Approach;
use self::closing::{Closing, Stage};
use self::flight::{Answered, Flights};
use self::pace::Pace;
use self::present::Present;
use self::receive::{Print, Receiving, fingerprint};
use self::sending::{Fragile, Handed};
use self::size::packet_bytes;
use self::subscriptions::Subscriptions;
use self::suspects::{Finding, OnItsWay, Suspects};
use self::window::Window;
use super::error::Phase;
use super::limits::{Conduct, Limits};
use super::outbox::{Outcome, Queues, RowId, WaitingLimits};
use super::tls::Certificates;
use super::transport::{Accepted, Answer, Event, Outgoing, Version};
use super::{Error, Refusal};
use crate::base::{BackoffOptions, Time};
use crate::model::{Delivery, Envelope, MessageClass, Qos};

/// How long nothing is sent that needs an acknowledgement after a broker had no room for a message.
const QUOTA_PAUSE: Duration = Duration::from_secs(5);
/// How long another process with our id, once it was heard, is blamed for connections that are closed.
const RIVAL_FOR: Duration = Duration::from_mins(1);
/// The largest message in flight is given up after so many connections that the broker closed without
/// an acknowledgement in between ...
const WORDLESS_CLOSES_MAX: u32 = 10;
/// ... when it is at least so large, in bytes: no broker has a lower limit.
const SUSPICIOUS_BYTES: usize = 8 << 10;

/// What a session needs to know.
#[derive(Debug, Clone)]
pub(super) struct SessionOptions {
    /// What the broker is called in messages.
    pub(super) broker: String,
    /// Waits between tries.
    pub(super) backoff: BackoffOptions,
    /// The version to speak; none: 5, and 3.1.1 with a broker that refuses it.
    pub(super) version: Option<Version>,
    /// What matters of the will; none: there is no will.
    pub(super) will: Option<WillShape>,
    /// The broker keeps no session between connections.
    pub(super) clean_start: bool,
    /// Nothing with an acknowledgement is sent for so long after a broker without our session was found.
    pub(super) gather: Duration,
    /// How long everything may take from the look-up of the name to the CONNACK.
    pub(super) connect_timeout: Duration,
    /// Silence after which a ping is sent.
    pub(super) keep_alive: Duration,
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
        /// In which version, and with how much of a will.
        terms: Terms,
        /// Forget the session first.
        clean_start: bool,
    },
    /// Ask for topics, or for no more of them, with this packet id.
    Ask(u16, Request),
    /// Send.
    Publish(Outgoing),
    /// Acknowledge.
    Answer(Answer, u16),
    /// Ask for a sign of life.
    Ping,
    /// Say goodbye.
    Disconnect,
    /// Drop the connection as it is.
    Abort,
    /// Hand a message to its consumer.
    Deliver(Delivery, Qos),
    /// Tell the store what became of one of its rows.
    Settle(RowId, Outcome),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    options: SessionOptions,
    queues: Queues,
    state: State,
    /// While waiting: until when. While connecting: how long at most.
    deadline: Time,
    phase: Phase,
    pace: Pace,
    approach: Approach,
    /// Of the present connection, or of the next.
    terms: Terms,
    limits: Limits,
    suspects: Suspects,
    /// When another process with our id was heard last.
    rival: Option<Time>,
    /// Connections in a row that the broker closed while something large was in flight.
    wordless_closes: u32,
    clean_start: bool,
    /// A connection came about since the process began.
    has_connected: bool,
    handed: VecDeque<Handed>,
    handed_bytes: usize,
    flights: Flights,
    window: Window,
    receiving: Receiving,
    subscriptions: Subscriptions,
    present: Option<Present>,
    closing: Option<Closing>,
    last_error: Option<Error>,
    last_refused: Option<RefusedMessage>,
    certificates: Option<Certificates>,
    counters: Counters,
}

impl Session {
    /// A session that connects at its first tick.
    pub(super) fn new(options: SessionOptions, now: Time) -> Self {
        let approach = Approach::new(options.version, options.will);
        Self {
            queues: Queues::new(options.waiting),
            state: State::Waiting,
            deadline: now,
            phase: Phase::Reaching,
            pace: Pace::new(options.backoff),
            terms: approach.terms(),
            approach,
            limits: Limits::default(),
            suspects: Suspects::default(),
            rival: None,
            wordless_closes: 0,
            clean_start: options.clean_start,
            has_connected: false,
            handed: VecDeque::new(),
            handed_bytes: 0,
            flights: Flights::new(),
            window: Window::new(options.in_flight_max),
            receiving: Receiving::default(),
            subscriptions: Subscriptions::default(),
            present: None,
            closing: None,
            last_error: None,
            last_refused: None,
            certificates: None,
            counters: Counters::default(),
            options,
        }
    }

    /// Queues a message; it leaves with the next `handle`.
    pub(super) fn enqueue(&mut self, envelope: Envelope, now: Time) {
        if self.closing.is_some() {
            self.counters.refused += 1;
        } else if self.accepts(&envelope) {
            self.queues.push(envelope, None, now);
        }
    }

    /// Wants what is published on the topics that a filter matches; asked for with the next `handle`.
    pub(super) fn listen(&mut self, filter: String, qos: Qos) {
        self.subscriptions.listen(filter, qos);
    }

    /// Wants it no longer.
    pub(super) fn ignore(&mut self, filter: String) {
        self.subscriptions.ignore(filter);
    }

    /// Whether a message can be sent at all; counts what can't.
    fn accepts(&mut self, envelope: &Envelope) -> bool {
        let unusable = envelope.topic.is_empty() || envelope.topic.contains(['+', '#', '\0']);
        if unusable || envelope.topic.len() > usize::from(u16::MAX) {
            self.counters.refused += 1;
            return false;
        }
        if packet_bytes(envelope) > self.options.max_packet_bytes {
            self.refuse_too_large(envelope, WhyRefused::TooLargeForUs);
            return false;
        }
        true
    }

    /// Queues a row of the store; [`Action::Settle`] says what became of it. The store asks
    /// [`Session::room`] first. False: it can't be sent at all.
    pub(super) fn offer(&mut self, row: RowId, envelope: Envelope, now: Time) -> bool {
        let accepted = self.accepts(&envelope);
        if accepted {
            self.queues.push(envelope, Some(row), now);
        }
        accepted
    }

    /// How many rows of the store of this class and priority may be offered.
    pub(super) fn room(&self, class: MessageClass, priority: u8) -> usize {
        self.queues.room(class, priority)
    }

    /// A consumer's queue was full.
    pub(super) fn count_undelivered(&mut self) {
        self.counters.received_dropped += 1;
    }

    /// When a `Tick` is due at the latest.
    pub(super) fn timer(&self) -> Option<Time> {
        let life = match (self.state, &self.present) {
            (State::Connected, Some(present)) => {
                let turn = self.queues.next_turn().filter(|_| self.takes_more());
                let life = present.timer(&self.flights, self.subscriptions.asked_since());
                Some(turn.map_or(life, |turn| life.min(turn)))
            }
            (State::Closed, _) => None,
            _ => Some(self.deadline),
        };
        let closing = self.closing.as_ref().map(|closing| match closing.stage {
            Stage::Flushing if self.state == State::Connected => closing.flush_until,
            _ => closing.deadline,
        });
        life.into_iter().chain(closing).min()
    }

    /// What becomes due in the queues would be sent at once.
    fn takes_more(&self) -> bool {
        let flushing = self.closing.as_ref().is_none_or(|closing| closing.stage == Stage::Flushing);
        flushing && self.has_room() && self.flights.all_sent()
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
            version: self.terms.version,
            limits: self.limits,
            certificates: self.certificates,
            last_refused: self.last_refused.clone(),
            counters,
            track_rate_hz: self.queues.track_rate_hz(),
            subscriptions_refused: self.subscriptions.refused(),
            turns: 0,
            queued: self.queues.queued(),
            in_flight: self.flights.len() as u64,
        }
    }

    /// One step; what it asks for is added to `actions`.
    pub(super) fn handle(&mut self, input: Input, now: Time, rng: &mut impl Rng, actions: &mut Vec<Action>) {
        if self.state == State::Closed {
            return;
        }
        if let Input::Transport(event) = input {
            self.on_event(event, now, rng, actions);
        }
        if self.closing.as_ref().is_some_and(|closing| now >= closing.deadline) {
            self.state = State::Closed;
        }
        if let Some(error) = self.overdue(now) {
            actions.push(Action::Abort);
            self.on_disconnected(error, now, rng, actions);
        }
        match self.state {
            State::Waiting if now >= self.deadline => {
                self.state = State::Connecting;
                self.phase = Phase::Reaching;
                self.deadline = now + self.options.connect_timeout;
                self.terms = self.approach.terms();
                actions.push(Action::Connect { terms: self.terms, clean_start: self.clean_start });
            }
            State::Connected => {
                self.ask_for_topics(now, actions);
                self.ping_when_due(now, actions);
                self.send_waiting(now, actions);
                self.advance_close(now, actions);
            }
            _ => {}
        }
    }

    fn on_event(&mut self, event: Event, now: Time, rng: &mut impl Rng, actions: &mut Vec<Action>) {
        if let Some(present) = &mut self.present {
            present.note(&event, now);
        }
        match event {
            Event::Reached(phase) => self.phase = phase,
            Event::Connected(accepted) => self.on_connected(accepted, now),
            Event::Disconnected(error) => self.on_disconnected(error, now, rng, actions),
            Event::Subscribed { packet_id, refused } => self.on_asked(packet_id, refused),
            Event::Unsubscribed { packet_id } => self.on_asked(packet_id, 0),
            Event::Sent { messages } => self.on_sent(messages, now, actions),
            Event::Acknowledged { packet_id, reason } => {
                let answered = self.flights.acknowledged(packet_id);
                self.on_answered(answered, reason, now, actions);
            }
            Event::Received { packet_id, reason } => {
                let answered = self.flights.received(packet_id, reason < 0x80);
                // A broker that waits for the release of something unknown here gets it, and is done.
                let release = !matches!(answered, Answered::Done(_)) && reason < 0x80;
                if release {
                    actions.push(Action::Answer(Answer::Release, packet_id));
                }
                self.on_answered(answered, reason, now, actions);
            }
            Event::Completed { packet_id } => {
                let answered = self.flights.completed(packet_id);
                self.on_answered(answered, 0, now, actions);
            }
            Event::Released { packet_id } => {
                self.receiving.release(packet_id);
                actions.push(Action::Answer(Answer::Complete, packet_id));
            }
            Event::Message { packet_id, qos, dup, delivery } => {
                let print = if qos == Qos::ExactlyOnce { fingerprint(&delivery) } else { 0 };
                if self.take_in(packet_id, qos, Print { print, dup }, actions) {
                    self.counters.received += 1;
                    actions.push(Action::Deliver(delivery, qos));
                }
            }
            Event::TooLarge { packet_id, qos, topic, bytes } => {
                if self.take_in(packet_id, qos, Print::NONE, actions) {
                    self.counters.received_too_large += 1;
                    let why = WhyRefused::TooLargeToReceive;
                    self.last_refused = Some(RefusedMessage { topic, bytes, why });
                }
            }
            Event::Malformed { packet_id, qos } => {
                self.counters.malformed += u64::from(self.take_in(packet_id, qos, Print::NONE, actions));
            }
            Event::Heard => {}
        }
    }

    /// Acknowledges what came in; false when it came before.
    fn take_in(&mut self, packet_id: u16, qos: Qos, print: Print, actions: &mut Vec<Action>) -> bool {
        match qos {
            Qos::AtMostOnce => true,
            Qos::AtLeastOnce => {
                actions.push(Action::Answer(Answer::Acknowledge, packet_id));
                true
            }
            Qos::ExactlyOnce => {
                actions.push(Action::Answer(Answer::Receive, packet_id));
                let new = self.receiving.take_in(packet_id, print);
                self.counters.duplicates += u64::from(!new);
                new
            }
        }
    }

    fn on_connected(&mut self, mut broker: Accepted, now: Time) {
        self.state = State::Connected;
        self.counters.connects += 1;
        self.pace.succeeded(now);
        self.note_limits(&broker);
        // After a clean start nothing is resumed, whatever the broker says.
        let resumed = broker.session_present && !self.clean_start;
        self.subscriptions.connected(resumed, self.limits.wildcards);
        if resumed {
            self.flights.resume(!self.has_connected);
        } else {
            self.receiving = Receiving::default();
            self.counters.requeued += self.flights.len() as u64;
            for entry in self.flights.forget() {
                self.queues.restore(entry);
            }
        }
        self.has_connected = true;
        self.clean_start = self.options.clean_start;
        self.window.connected();
        // 0 is against the rules (MQTT 5, 3.2.2.3.3), and would send nothing for ever.
        broker.receive_maximum = broker.receive_maximum.max(1);
        let keep_alive = broker.keep_alive_s.filter(|seconds| *seconds > 0);
        let keep_alive = keep_alive.map(|seconds| Duration::from_secs(u64::from(seconds)));
        if broker.certificates.is_some() {
            self.certificates = broker.certificates;
        }
        self.present = Some(Present {
            keep_alive: keep_alive.unwrap_or(self.options.keep_alive),
            aliases: Aliases::new(broker.topic_alias_max),
            began: now,
            last_in: now,
            last_out: now,
            pinged: None,
            moved: now,
            // A path that breaks soon has no time for others to gather.
            paused_until: (!resumed && !self.options.gather.is_zero() && !self.window.is_narrow())
                .then(|| now + self.options.gather),
            broker,
        });
    }

    /// What the broker that has just accepted us offers.
    fn note_limits(&mut self, broker: &Accepted) {
        self.approach.succeeded();
        let Terms { version, fallback, will, .. } = self.terms;
        let known = Limits { fallback, will, ..self.limits };
        let qos_max = self.approach.qos_max();
        let told = match version {
            Version::V5 => {
                self.approach.told(broker.retain, broker.qos_max);
                Limits {
                    retain: broker.retain && self.terms.retain,
                    qos_max: broker.qos_max.min(qos_max),
                    wildcards: broker.wildcards,
                    max_packet_bytes: broker.max_packet_bytes,
                    ..known
                }
            }
            // It has no words for any of it: what was known stands, but for what it has just proved.
            Version::V311 => Limits {
                retain: self.approach.proves_retain() || known.retain && self.terms.retain,
                qos_max: if self.approach.proves_qos() {
                    Qos::ExactlyOnce
                } else {
                    known.qos_max.min(qos_max)
                },
                ..known
            },
        };
        self.limits = told.observed(self.limits.conduct);
        self.obey_qos_max();
    }

    /// What is in flight goes on with no higher `QoS` than the broker takes.
    fn obey_qos_max(&mut self) {
        for entry in self.flights.limit_qos(self.limits.qos_max) {
            self.queues.restore(entry);
        }
    }

    /// What is known of the broker.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// What other connections have found out about the broker, and when another process with our id was heard.
    pub(super) fn learn(&mut self, limits: Option<Limits>, rival: Option<Time>, now: Time) {
        self.rival = rival;
        let Some(limits) = limits.filter(|limits| *limits != self.limits) else { return };
        self.approach.learn(&limits);
        if self.state == State::Waiting && self.approach.terms() != self.terms {
            self.deadline = self.deadline.min(now + self.options.backoff.first);
        }
        let fallback = if self.options.version.is_some() { None } else { limits.fallback };
        // What the broker has announced on this connection, while there is one, holds for it.
        self.limits = match self.present {
            Some(_) => self.limits.observed(limits.conduct),
            None => Limits { fallback, ..limits }.observed(self.limits.conduct),
        };
    }

    fn ask_for_topics(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(request) = self.subscriptions.next(self.limits.max_packet_bytes) else { return };
        let packet_id = self.flights.request_id();
        self.subscriptions.ask(&request, packet_id, now);
        actions.push(Action::Ask(packet_id, request));
    }

    fn on_asked(&mut self, packet_id: u16, refused: u64) {
        if self.subscriptions.answered(packet_id, refused) {
            self.counters.subscriptions_refused += refused;
        } else {
            self.counters.unsolicited += 1;
        }
    }

    fn on_disconnected(&mut self, error: Error, now: Time, rng: &mut impl Rng, actions: &mut Vec<Action>) {
        let present = self.present.take();
        let was_connected = present.is_some();
        let (error, pursued) = match present {
            Some(_) => self.explained(error, now),
            None => (error, false),
        };
        self.counters.disconnects += 1;
        self.clean_start |= error.spoils_session();
        self.handed_bytes = 0;
        for Handed { class, fragile, .. } in self.handed.drain(..) {
            match fragile {
                Fragile::No => {}
                Fragile::Lost => self.counters.dropped.add(class, 1),
                Fragile::Kept(entry) => self.queues.restore(*entry),
            }
        }
        if was_connected {
            self.window.disconnected(!self.flights.is_empty() || !self.queues.is_empty());
            self.suspect_large(&error, actions);
        }
        let wait = self.pace.failed(&error, now, rng);
        let soon = if was_connected {
            self.approach.ended();
            pursued
        } else {
            self.approach.failed(&error, self.terms)
        };
        let wait = if soon { wait.min(self.options.backoff.first) } else { wait };
        let tried_last = self.closing.is_some();
        let leaving = self.closing.as_ref().is_some_and(|closing| closing.stage == Stage::Leaving);
        if !leaving {
            self.last_error = Some(error);
        }
        self.deadline = now + wait;
        self.state = if tried_last { State::Closed } else { State::Waiting };
    }

    /// The reason of the end of a connection; and whether the next is to come soon, since it will show more.
    fn explained(&mut self, error: Error, now: Time) -> (Error, bool) {
        let all = Conduct::default();
        let conduct = match &error {
            Error::Ended { refusal: Refusal::RetainUnavailable, .. } => {
                Some(Conduct { retain: false, ..all })
            }
            Error::Ended { refusal: Refusal::WildcardsUnavailable, .. } => {
                Some(Conduct { wildcards: false, ..all })
            }
            Error::Ended { refusal: Refusal::QosUnavailable, .. } => {
                let lower = self.limits.qos_max == Qos::ExactlyOnce;
                let qos_max = if lower { Qos::AtLeastOnce } else { Qos::AtMostOnce };
                Some(Conduct { qos_max, ..all })
            }
            _ => None,
        };
        let closed = matches!(error, Error::Closed { .. });
        let broker = || self.options.broker.clone();
        let taken = |detail: &str| {
            let (refusal, detail) = (Refusal::TakenOver, Some(detail.to_owned()));
            (Error::Ended { broker: broker(), refusal, detail }, false)
        };
        if closed && self.rival.is_some_and(|heard| now.since(heard) < RIVAL_FOR) {
            return taken("another process with this camera's id is online");
        }
        let on_its_way = OnItsWay {
            qos_2: self.flights.waits_for_receipt(),
            retained: self.limits.retain && self.flights.has_retained(),
        };
        let finding = match conduct {
            Some(conduct) => Finding::Conduct(conduct),
            None if closed => self.suspects.closed(on_its_way),
            None => Finding::Nothing,
        };
        if let Finding::Conduct(conduct) = finding {
            self.limits = self.limits.observed(conduct);
            self.obey_qos_max();
        }
        (error, finding != Finding::Nothing)
    }

    /// Gives up the message that is to blame when a broker ends connections because of one.
    fn suspect_large(&mut self, error: &Error, actions: &mut Vec<Action>) {
        let told = matches!(error, Error::Ended { refusal: Refusal::PacketTooLarge, .. });
        let Some((packet_id, bytes)) = self.flights.largest() else { return };
        if !told {
            // MQTT 5 has words for it.
            let mute = self.terms.version == Version::V311
                && matches!(error, Error::Lost { .. } | Error::Closed { .. });
            let closed = mute && bytes >= SUSPICIOUS_BYTES;
            self.wordless_closes = if closed { self.wordless_closes + 1 } else { 0 };
            if self.wordless_closes < WORDLESS_CLOSES_MAX {
                return;
            }
        }
        self.wordless_closes = 0;
        if let Answered::Done(entry) = self.flights.done(packet_id) {
            let why = if told { WhyRefused::TooLargeForBroker } else { WhyRefused::TooLargeItSeems };
            self.refuse_too_large(&entry.envelope, why);
            settle(entry.row, Outcome::GivenUp, actions);
        }
    }

    fn refuse_too_large(&mut self, envelope: &Envelope, why: WhyRefused) {
        self.counters.refused_too_large += 1;
        self.name_refused(envelope, why);
    }

    fn name_refused(&mut self, envelope: &Envelope, why: WhyRefused) {
        let (topic, bytes) = (envelope.topic.clone(), envelope.payload.len());
        self.last_refused = Some(RefusedMessage { topic, bytes, why });
    }

    fn on_answered(&mut self, answered: Answered, reason: u8, now: Time, actions: &mut Vec<Action>) {
        if answered == Answered::Nothing {
            self.counters.unsolicited += 1;
            return;
        }
        self.wordless_closes = 0;
        self.window.acknowledged();
        if let Some(present) = &mut self.present {
            present.moved = now;
        }
        let Answered::Done(entry) = answered else { return self.suspects.qos_2_works() };
        match reason {
            0..0x80 => {
                if entry.envelope.retain && self.limits.retain {
                    self.suspects.retained_works();
                }
                self.counters.acknowledged += 1;
                settle(entry.row, Outcome::Acknowledged, actions);
            }
            // It has no room now; the message is not to blame.
            0x97 => {
                self.counters.over_quota += 1;
                if let Some(present) = &mut self.present {
                    present.paused_until = Some(now + QUOTA_PAUSE);
                }
                self.queues.restore(*entry);
            }
            0x95 => {
                self.refuse_too_large(&entry.envelope, WhyRefused::TooLargeForBroker);
                settle(entry.row, Outcome::GivenUp, actions);
            }
            _ => {
                self.counters.rejected += 1;
                self.name_refused(&entry.envelope, WhyRefused::Answered(reason));
                settle(entry.row, Outcome::GivenUp, actions);
            }
        }
    }

    /// What was waited for too long.
    fn overdue(&self, now: Time) -> Option<Error> {
        let broker = || self.options.broker.clone();
        match (self.state, &self.present) {
            (State::Connecting, _) if now >= self.deadline => {
                Some(Error::Timeout { broker: broker(), phase: self.phase })
            }
            (State::Connected, Some(present)) => {
                let asked = self.subscriptions.asked_since();
                let detail = present.overdue(&self.flights, asked, now)?;
                Some(Error::Lost { broker: broker(), detail: detail.to_owned() })
            }
            _ => None,
        }
    }

    fn ping_when_due(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(present) = &mut self.present else { return };
        if present.pinged.is_some_and(|pinged| present.last_in > pinged) {
            present.pinged = None;
        }
        if present.pinged.is_none() && now >= present.ping_due() {
            present.pinged = Some(now);
            present.last_out = now;
            self.counters.pings += 1;
            actions.push(Action::Ping);
        }
    }
}

fn settle(row: Option<RowId>, outcome: Outcome, actions: &mut Vec<Action>) {
    actions.extend(row.map(|row| Action::Settle(row, outcome)));
}

#[cfg(test)]
mod tests;
