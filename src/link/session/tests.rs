//! The session machine against a broker that lives in the test: it loses, forgets, repeats.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::link::{QueueLimits, Refusal};

fn at(milliseconds: u64) -> Time {
    Time { mono_ns: milliseconds * 1_000_000, epoch_ms: milliseconds }
}

fn options() -> SessionOptions {
    SessionOptions {
        backoff: BackoffOptions::default(),
        clean_start: false,
        in_flight_max: 4,
        max_packet_bytes: 1_000,
        waiting: WaitingLimits::default(),
    }
}

fn envelope(class: MessageClass, topic: &str, qos: Qos) -> Envelope {
    Envelope { qos, retain: false, expiry: None, ..Envelope::new(class, topic, "{}") }
}

fn event(topic: &str) -> Envelope {
    envelope(MessageClass::Event, topic, Qos::AtLeastOnce)
}

fn track(topic: &str) -> Envelope {
    envelope(MessageClass::Track, topic, Qos::AtMostOnce)
}

fn unreachable() -> Error {
    Error::Unreachable { broker: "b:1".to_owned(), detail: "refused".to_owned() }
}

fn connected(session_present: bool) -> Event {
    Event::Connected { session_present, receive_maximum: u16::MAX, max_packet_bytes: usize::MAX }
}

/// A session, its clock and its randomness.
struct Bench {
    session: Session,
    now: Time,
    rng: Pcg64Mcg,
}

impl Bench {
    fn new(options: SessionOptions) -> Self {
        Self { session: Session::new(options, at(0)), now: at(0), rng: Pcg64Mcg::seed_from_u64(1) }
    }

    fn connected(options: SessionOptions) -> Self {
        let mut bench = Self::new(options);
        assert_eq!(bench.tick(), [Action::Connect { clean_start: false }]);
        assert_eq!(bench.report(connected(false)), [Action::Subscribe]);
        bench
    }

    fn tick(&mut self) -> Vec<Action> {
        self.session.handle(Input::Tick, self.now, &mut self.rng)
    }

    fn report(&mut self, event: Event) -> Vec<Action> {
        self.session.handle(Input::Transport(event), self.now, &mut self.rng)
    }

    fn send(&mut self, envelope: Envelope) -> Vec<Action> {
        self.session.enqueue(envelope, self.now);
        self.tick()
    }

    /// Passes the wait that is due.
    fn wait(&mut self) -> Vec<Action> {
        self.now = self.session.timer().unwrap();
        self.tick()
    }

    fn counters(&self) -> Counters {
        self.session.status().counters
    }
}

fn published(actions: &[Action]) -> Vec<&str> {
    actions.iter().filter_map(topic_of).collect()
}

fn topic_of(action: &Action) -> Option<&str> {
    match action {
        Action::Publish(envelope) => Some(&envelope.topic),
        _ => None,
    }
}

#[test]
fn waits_between_tries_grow_and_never_pass_a_minute() {
    let mut bench = Bench::new(options());
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        bench.tick();
        let before = bench.now;
        bench.report(Event::Disconnected(unreachable()));
        assert_eq!(bench.session.state(), State::Waiting);
        bench.now = bench.session.timer().unwrap();
        longest = longest.max(bench.now.since(before));
    }
    assert!(longest > Duration::from_secs(30) && longest <= Duration::from_mins(1), "{longest:?}");
    assert_eq!(bench.session.status().last_error, Some(unreachable()));
    assert_eq!(bench.counters().disconnects, 50);
}

#[test]
fn nothing_is_asked_for_before_the_wait_is_over() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.tick(), []);
    assert_eq!(bench.wait(), [Action::Connect { clean_start: false }]);
}

#[test]
fn a_refusal_shows_its_reason_in_the_status() {
    let mut bench = Bench::new(options());
    bench.tick();
    let refused = Error::Refused { broker: "b:1".to_owned(), refusal: Refusal::WrongPassword };
    bench.report(Event::Disconnected(refused));
    let status = bench.session.status();
    assert_eq!(status.last_error.as_ref().map(Error::word), Some("wrong password"));
    assert_eq!(status.state, State::Waiting);
}

#[test]
fn subscriptions_are_asked_for_at_every_connect_and_before_anything_is_sent() {
    let mut bench = Bench::connected(options());
    bench.report(Event::Disconnected(unreachable()));
    bench.session.enqueue(event("e"), bench.now);
    bench.wait();
    let actions = bench.report(connected(true));
    assert_eq!(actions, [Action::Subscribe, Action::Publish(event("e"))]);
}

#[test]
fn without_a_session_exactly_the_unacknowledged_are_sent_again_in_their_order() {
    let mut bench = Bench::connected(options());
    for topic in ["a", "b", "c"] {
        bench.send(event(topic));
    }
    for packet_id in [1, 2] {
        bench.report(Event::Published { packet_id });
    }
    bench.report(Event::Acknowledged { packet_id: 1, accepted: true });
    bench.report(Event::Disconnected(unreachable()));
    bench.wait();
    let actions = bench.report(connected(false));
    assert_eq!(published(&actions), ["b", "c"]);
    assert_eq!(bench.counters().requeued, 1);
}

#[test]
fn with_a_session_what_is_in_flight_is_left_to_the_transport() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    bench.report(Event::Published { packet_id: 1 });
    bench.send(event("b"));
    bench.report(Event::Disconnected(unreachable()));
    bench.wait();
    let actions = bench.report(connected(true));
    assert_eq!(published(&actions), ["b"]);
    bench.report(Event::Acknowledged { packet_id: 1, accepted: true });
    assert_eq!(bench.counters().acknowledged, 1);
}

#[test]
fn a_repeated_acknowledgement_counts_once() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    bench.report(Event::Published { packet_id: 1 });
    for _ in 0..2 {
        bench.report(Event::Acknowledged { packet_id: 1, accepted: true });
    }
    let counters = bench.counters();
    assert_eq!((counters.acknowledged, counters.unsolicited), (1, 1));
}

#[test]
fn a_message_that_the_broker_rejects_is_counted_and_not_sent_again() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    bench.report(Event::Published { packet_id: 1 });
    bench.report(Event::Acknowledged { packet_id: 1, accepted: false });
    bench.report(Event::Disconnected(unreachable()));
    bench.wait();
    assert_eq!(published(&bench.report(connected(false))), [""; 0]);
    assert_eq!(bench.counters().rejected, 1);
}

#[test]
fn a_full_window_holds_events_back_and_lets_tracks_pass() {
    let mut bench = Bench::connected(options());
    for topic in ["1", "2", "3", "4"] {
        assert_eq!(published(&bench.send(event(topic))), [topic]);
    }
    assert_eq!(bench.send(event("5")), []);
    assert_eq!(published(&bench.send(track("t"))), ["t"]);
    bench.report(Event::Published { packet_id: 1 });
    let actions = bench.report(Event::Acknowledged { packet_id: 1, accepted: true });
    assert_eq!(published(&actions), ["5"]);
}

#[test]
fn the_brokers_receive_maximum_narrows_the_window() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(Event::Connected {
        session_present: false,
        receive_maximum: 1,
        max_packet_bytes: usize::MAX,
    });
    bench.send(event("1"));
    assert_eq!(bench.send(event("2")), []);
}

#[test]
fn a_slow_transport_keeps_the_backlog_in_the_outbox_where_newer_tracks_replace_older() {
    let mut bench = Bench::connected(options());
    for number in 0..HANDED_MAX {
        assert_eq!(bench.send(track(&number.to_string())).len(), 1);
    }
    for _ in 0..5 {
        assert_eq!(bench.send(track("late")), []);
    }
    assert_eq!(published(&bench.report(Event::Published { packet_id: 0 })), ["late"]);
    assert_eq!(bench.counters().replaced.get(MessageClass::Track), 4);
}

#[test]
fn what_is_larger_than_our_limit_or_the_brokers_is_refused_and_counted() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(Event::Connected { session_present: false, receive_maximum: 9, max_packet_bytes: 100 });
    let sized = |length| Envelope { payload: Bytes::from(vec![b'x'; length]), ..event("e") };
    assert_eq!(bench.send(sized(1_000)), []);
    assert_eq!(bench.send(sized(100)), []);
    assert_eq!(bench.counters().refused_too_large, 2);
    assert_eq!(bench.send(sized(10)).len(), 1);
}

#[test]
fn topics_that_cannot_be_published_to_are_refused_and_counted() {
    let mut bench = Bench::connected(options());
    for topic in ["", "a/+/b", "#"] {
        assert_eq!(bench.send(event(topic)), []);
    }
    assert_eq!(bench.counters().refused, 3);
}

#[test]
fn tracks_that_were_with_a_broken_connection_are_counted_as_dropped() {
    let mut bench = Bench::connected(options());
    bench.send(track("t"));
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.counters().dropped.get(MessageClass::Track), 1);
}

#[test]
fn a_protocol_error_is_followed_by_one_clean_start() {
    let mut bench = Bench::connected(options());
    bench.send(event("e"));
    bench.report(Event::Published { packet_id: 1 });
    bench.report(Event::Disconnected(Error::Protocol { broker: "b:1".to_owned(), detail: "?".to_owned() }));
    assert_eq!(bench.wait(), [Action::Connect { clean_start: true }]);
    // The broker lies: after a clean start there is no session to resume.
    assert_eq!(published(&bench.report(connected(true))), ["e"]);
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.wait(), [Action::Connect { clean_start: false }]);
}

#[test]
fn closing_flushes_then_says_farewell_and_leaves_after_its_acknowledgement() {
    let mut bench = Bench::connected(options());
    bench.send(event("e"));
    let farewell = envelope(MessageClass::Presence, "status", Qos::AtLeastOnce);
    bench.session.begin_close(Some(farewell), bench.now, Duration::from_secs(4));
    assert_eq!(bench.tick(), []);
    bench.report(Event::Published { packet_id: 1 });
    let actions = bench.report(Event::Acknowledged { packet_id: 1, accepted: true });
    assert_eq!(published(&actions), ["status"]);
    assert_eq!(bench.report(Event::Published { packet_id: 2 }), []);
    assert_eq!(bench.report(Event::Acknowledged { packet_id: 2, accepted: true }), [Action::Disconnect]);
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.session.state(), State::Closed);
    assert_eq!(bench.session.status().last_error, None);
}

#[test]
fn a_queue_that_cannot_be_flushed_in_time_leaves_time_for_the_farewell() {
    let mut bench = Bench::connected(options());
    bench.send(event("never acknowledged"));
    let farewell = envelope(MessageClass::Presence, "status", Qos::AtLeastOnce);
    bench.session.begin_close(Some(farewell), bench.now, Duration::from_secs(4));
    bench.tick();
    assert_eq!(bench.session.timer(), Some(at(3_000)));
    assert_eq!(published(&bench.wait()), ["status"]);
    assert_eq!(bench.session.timer(), Some(at(4_000)));
    bench.wait();
    assert_eq!(bench.session.state(), State::Closed);
}

#[test]
fn closing_without_a_connection_tries_once_more_and_then_ends() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(Event::Disconnected(unreachable()));
    bench.session.begin_close(None, bench.now, Duration::from_secs(4));
    assert_eq!(bench.tick(), [Action::Connect { clean_start: false }]);
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.session.state(), State::Closed);
}

/// What the other side of the session does: sends in order, loses connections, forgets sessions,
/// repeats acknowledgements, refuses connections.
#[derive(Default)]
struct World {
    up: bool,
    connecting: bool,
    handed: VecDeque<Envelope>,
    in_flight: BTreeMap<u16, Envelope>,
    last_id: u16,
    arrived: BTreeMap<String, u32>,
}

impl World {
    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Connect { .. } => self.connecting = true,
                Action::Publish(envelope) => {
                    assert!(self.up, "published without a connection");
                    self.handed.push_back(envelope);
                }
                Action::Subscribe | Action::Disconnect | Action::Deliver(..) | Action::Settle(..) => {}
            }
        }
        assert!(self.handed.len() <= HANDED_MAX);
    }

    fn next(&mut self, rng: &mut Pcg64Mcg, faults: bool) -> Option<Event> {
        if self.connecting {
            self.connecting = false;
            if faults && rng.random_bool(0.3) {
                return Some(Event::Disconnected(unreachable()));
            }
            self.up = true;
            let session_present = rng.random_bool(0.5);
            if !session_present {
                self.in_flight.clear();
            }
            return Some(connected(session_present));
        }
        if !self.up {
            return None;
        }
        if faults && rng.random_bool(0.05) {
            self.up = false;
            self.handed.clear();
            return Some(Event::Disconnected(unreachable()));
        }
        if let Some(envelope) = self.handed.pop_front() {
            *self.arrived.entry(envelope.topic.clone()).or_default() +=
                u32::from(!faults || rng.random_bool(0.9));
            self.last_id = self.last_id % 1_000 + 1;
            self.in_flight.insert(self.last_id, envelope);
            return Some(Event::Published { packet_id: self.last_id });
        }
        if faults && rng.random_bool(0.1) {
            return Some(Event::Acknowledged { packet_id: 2_000, accepted: true });
        }
        let (packet_id, envelope) = self.in_flight.pop_first()?;
        // An acknowledgement means that it did arrive, even if an earlier copy was lost.
        self.arrived.insert(envelope.topic, 1);
        Some(Event::Acknowledged { packet_id, accepted: true })
    }
}

proptest! {
    #[test]
    fn no_event_is_lost_whatever_the_connection_does(seed: u64, count in 1..60_usize) {
        let mut bench = Bench::new(options());
        bench.rng = Pcg64Mcg::seed_from_u64(seed);
        let mut world_rng = Pcg64Mcg::seed_from_u64(!seed);
        let mut world = World::default();
        for step in 0..5_000 {
            let faults = step < 2_000;
            if step < count {
                bench.session.enqueue(event(&step.to_string()), bench.now);
            }
            let actions = if let Some(report) = world.next(&mut world_rng, faults) {
                bench.report(report)
            } else {
                bench.now = bench.session.timer().map_or(bench.now, |due| due.max(bench.now));
                bench.tick()
            };
            world.act(actions);
        }
        let status = bench.session.status();
        prop_assert_eq!(world.arrived.len(), count);
        prop_assert!(world.arrived.values().all(|copies| *copies > 0));
        prop_assert_eq!(status.queued.total() + status.in_flight, 0);
        prop_assert_eq!(status.counters.acknowledged, count as u64);
    }

    #[test]
    fn overflow_while_disconnected_evicts_the_lowest_priority_and_counts(priorities in prop::collection::vec(0..4_u8, 0..40)) {
        let limits = QueueLimits { messages: 10, bytes: 10_000 };
        let waiting = WaitingLimits { all: limits, ..WaitingLimits::default() };
        let mut bench = Bench::new(SessionOptions { in_flight_max: 64, waiting, ..options() });
        for (number, priority) in priorities.iter().enumerate() {
            bench.session.enqueue(Envelope { priority: *priority, ..event(&number.to_string()) }, bench.now);
        }
        let mut expected: Vec<_> = priorities.iter().enumerate().map(|(number, priority)| (*priority, number)).collect();
        expected.sort_by_key(|(priority, number)| (std::cmp::Reverse(*priority), std::cmp::Reverse(*number)));
        expected.truncate(10);
        expected.sort_by_key(|(priority, number)| (std::cmp::Reverse(*priority), *number));
        let expected: Vec<_> = expected.iter().map(|(_, number)| number.to_string()).collect();
        bench.tick();
        let actions = bench.report(connected(false));
        prop_assert_eq!(published(&actions), expected);
        prop_assert_eq!(bench.counters().dropped.total(), priorities.len().saturating_sub(10) as u64);
    }
}
