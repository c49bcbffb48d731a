//! The session machine step by step; against a broker that loses, forgets and repeats, in `model`.

mod lacking;
mod model;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::present::{ANSWER_TIMEOUT, PONG_TIMEOUT};
use super::sending::{HANDED_BYTES_MAX, HANDED_MAX};
use super::*;
use crate::link::QueueLimits;

fn at(milliseconds: u64) -> Time {
    Time { mono_ns: milliseconds * 1_000_000, epoch_ms: milliseconds }
}

fn options() -> SessionOptions {
    SessionOptions {
        broker: "b:1".to_owned(),
        backoff: BackoffOptions::default(),
        version: None,
        will: None,
        clean_start: false,
        gather: Duration::ZERO,
        connect_timeout: Duration::from_secs(10),
        keep_alive: Duration::from_mins(1),
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

fn refused(refusal: Refusal) -> Error {
    Error::Refused { broker: "b:1".to_owned(), refusal, detail: None }
}

fn wordless() -> Error {
    Error::Wordless { broker: "b:1".to_owned(), cause: crate::link::Silence::MaybeTls }
}

fn connected(session_present: bool) -> Event {
    Event::Connected(Accepted { session_present, ..Accepted::default() })
}

fn acknowledged(packet_id: u16) -> Event {
    Event::Acknowledged { packet_id, reason: 0 }
}

fn subscribe(packet_id: u16) -> Action {
    Action::Ask(packet_id, Request::Begin(vec![("t/+".to_owned(), Qos::AtMostOnce)]))
}

fn connect(version: Version, clean_start: bool) -> Action {
    let terms = Terms { version, fallback: None, retain: true, qos_max: Qos::ExactlyOnce, will: true };
    Action::Connect { terms, clean_start }
}

/// The same in 3.1.1, because the broker does not speak 5.
fn connect_old(fallback: Fallback) -> Action {
    match connect(Version::V311, false) {
        Action::Connect { terms, clean_start } => {
            Action::Connect { terms: Terms { fallback: Some(fallback), ..terms }, clean_start }
        }
        other => other,
    }
}

/// A session, its clock and its randomness. The subscription takes packet id 1 of the first connection.
struct Bench {
    session: Session,
    now: Time,
    rng: Pcg64Mcg,
}

impl Bench {
    fn new(options: SessionOptions) -> Self {
        let mut session = Session::new(options, at(0));
        session.listen("t/+".to_owned(), Qos::AtMostOnce);
        Self { session, now: at(0), rng: Pcg64Mcg::seed_from_u64(1) }
    }

    fn connected(options: SessionOptions) -> Self {
        let mut bench = Self::new(options);
        assert_eq!(bench.tick(), [connect(Version::V5, false)]);
        assert_eq!(bench.report(connected(false)), [subscribe(1)]);
        bench.report(Event::Subscribed { packet_id: 1, refused: 0 });
        bench
    }

    fn tick(&mut self) -> Vec<Action> {
        self.handle(Input::Tick)
    }

    fn report(&mut self, event: Event) -> Vec<Action> {
        self.handle(Input::Transport(event))
    }

    fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.handle(input, self.now, &mut self.rng, &mut actions);
        actions
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

    fn lose(&mut self, error: Error) {
        self.report(Event::Disconnected(error));
        assert_eq!(self.session.state(), State::Waiting);
    }

    fn counters(&self) -> Counters {
        self.session.status().counters
    }
}

fn outgoing(actions: &[Action]) -> Vec<&Outgoing> {
    let messages = actions.iter().filter_map(|action| match action {
        Action::Publish(message) => Some(message),
        _ => None,
    });
    messages.collect()
}

fn published(actions: &[Action]) -> Vec<&str> {
    outgoing(actions).iter().map(|message| message.envelope.topic.as_str()).collect()
}

#[test]
fn waits_between_tries_grow_and_never_pass_a_minute() {
    let mut bench = Bench::new(options());
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        bench.tick();
        let before = bench.now;
        bench.lose(unreachable());
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
    bench.lose(unreachable());
    assert_eq!(bench.tick(), []);
    assert_eq!(bench.wait(), [connect(Version::V5, false)]);
}

#[test]
fn a_connection_that_does_not_come_about_in_time_is_given_up_with_what_was_waited_for() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(Event::Reached(Phase::Greeting));
    assert_eq!(bench.session.timer(), Some(at(10_000)));
    assert_eq!(bench.wait()[0], Action::Abort);
    let timeout = Error::Timeout { broker: "b:1".to_owned(), phase: Phase::Greeting };
    assert_eq!(bench.session.status().last_error, Some(timeout));
}

#[test]
fn a_refusal_shows_its_reason_in_the_status() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.lose(refused(Refusal::WrongPassword));
    let status = bench.session.status();
    assert_eq!(status.last_error.as_ref().map(Error::word), Some("wrong password"));
    assert!(bench.session.timer().unwrap() >= at(30_000), "a wrong password is not hammered");
}

#[test]
fn a_broker_that_is_away_for_an_hour_is_tried_some_hundred_times_and_one_that_refuses_us_fewer() {
    for (error, tries) in [(unreachable(), 80..300), (refused(Refusal::NotAuthorised), 60..121)] {
        for seed in 0..200 {
            let mut bench = Bench::new(options());
            bench.rng = Pcg64Mcg::seed_from_u64(seed);
            let mut count = 0;
            while bench.now < at(3_600_000) {
                if !bench.wait().is_empty() {
                    count += 1;
                    bench.lose(error.clone());
                }
            }
            assert!(tries.contains(&count), "seed {seed}: {count} tries after {error}");
        }
    }
}

#[test]
fn two_hundred_sessions_come_back_spread_out_and_all_within_90_s() {
    // The broker was down for 20 s; all lost it at once.
    for seed in 0..20 {
        let mut slots = vec![0_usize; 900];
        for camera in 0..200 {
            let mut bench = Bench::connected(options());
            bench.rng = Pcg64Mcg::seed_from_u64(seed << 32 | camera);
            bench.lose(unreachable());
            while bench.now < at(20_000) {
                if bench.wait() == [connect(Version::V5, false)] && bench.now < at(20_000) {
                    bench.lose(unreachable());
                }
            }
            let slot = bench.now.since(at(20_000)).as_millis() as usize / 100;
            assert!(slot < slots.len(), "back after {slot} slots of 100 ms");
            slots[slot] += 1;
        }
        let fullest = slots.iter().max().unwrap();
        assert!(*fullest <= 10, "seed {seed}: {fullest} of 200 in 100 ms");
    }
}

#[test]
fn subscriptions_are_asked_for_at_every_connect_and_before_anything_is_sent() {
    let mut bench = Bench::connected(options());
    bench.lose(unreachable());
    bench.session.enqueue(event("e"), bench.now);
    bench.wait();
    let actions = bench.report(connected(true));
    assert_eq!(actions[0], subscribe(2));
    assert_eq!(published(&actions), ["e"]);
}

#[test]
fn a_subscription_that_is_not_answered_ends_the_connection() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(connected(false));
    bench.now = bench.now + ANSWER_TIMEOUT;
    assert_eq!(bench.tick()[0], Action::Abort);
    assert_eq!(bench.session.state(), State::Waiting);
}

#[test]
fn without_a_session_exactly_the_unacknowledged_are_sent_again_in_their_order() {
    let mut bench = Bench::connected(options());
    for topic in ["a", "b", "c"] {
        bench.send(event(topic));
    }
    bench.report(acknowledged(2));
    bench.lose(unreachable());
    bench.wait();
    let actions = bench.report(connected(false));
    assert_eq!(published(&actions), ["b", "c"]);
    assert!(outgoing(&actions).iter().all(|message| !message.dup));
    assert_eq!(bench.counters().requeued, 2);
}

#[test]
fn with_a_session_what_is_in_flight_is_sent_again_as_a_duplicate_with_its_packet_id() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    bench.send(event("b"));
    bench.lose(unreachable());
    bench.session.enqueue(event("c"), bench.now);
    bench.wait();
    let actions = bench.report(connected(true));
    assert_eq!(published(&actions), ["a", "b", "c"]);
    let ids: Vec<_> = outgoing(&actions).iter().map(|message| (message.packet_id, message.dup)).collect();
    assert_eq!(ids, [(2, true), (3, true), (5, false)]);
    bench.report(acknowledged(2));
    assert_eq!(bench.counters().acknowledged, 1);
}

#[test]
fn what_is_sent_again_keeps_to_a_window_that_became_smaller() {
    let mut bench = Bench::connected(options());
    for topic in ["a", "b", "c"] {
        bench.send(event(topic));
    }
    bench.lose(unreachable());
    bench.wait();
    let narrow = Accepted { session_present: true, receive_maximum: 1, ..Accepted::default() };
    assert_eq!(published(&bench.report(Event::Connected(narrow))), ["a"]);
    assert_eq!(published(&bench.report(acknowledged(2))), ["b"]);
}

#[test]
fn a_repeated_acknowledgement_counts_once_and_ends_nothing() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    for _ in 0..2 {
        bench.report(acknowledged(2));
    }
    let counters = bench.counters();
    assert_eq!((counters.acknowledged, counters.unsolicited), (1, 1));
    assert_eq!(bench.session.state(), State::Connected);
}

#[test]
fn every_receipt_of_a_qos_2_message_is_answered_with_a_release() {
    let mut bench = Bench::connected(options());
    bench.send(envelope(MessageClass::Weights, "w", Qos::ExactlyOnce));
    for _ in 0..2 {
        let actions = bench.report(Event::Received { packet_id: 2, reason: 0 });
        assert_eq!(actions, [Action::Answer(Answer::Release, 2)]);
    }
    bench.report(Event::Completed { packet_id: 2 });
    assert_eq!((bench.counters().acknowledged, bench.session.status().in_flight), (1, 0));
}

#[test]
fn a_released_message_is_released_again_on_a_resumed_session_and_not_sent_again() {
    let mut bench = Bench::connected(options());
    bench.send(envelope(MessageClass::Weights, "w", Qos::ExactlyOnce));
    bench.report(Event::Received { packet_id: 2, reason: 0 });
    bench.lose(unreachable());
    bench.wait();
    let actions = bench.report(connected(true));
    assert_eq!(actions, [subscribe(3), Action::Answer(Answer::Release, 2)]);
}

#[test]
fn on_a_session_from_before_the_process_began_an_id_is_released_before_its_first_use() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(connected(true));
    let actions = bench.send(envelope(MessageClass::Weights, "w", Qos::ExactlyOnce));
    assert_eq!(actions[0], Action::Answer(Answer::Release, 2));
    assert_eq!(published(&actions), ["w"]);
    // The answer to that release is not taken for the message's.
    bench.report(Event::Completed { packet_id: 2 });
    assert_eq!(bench.session.status().in_flight, 1);
}

#[test]
fn a_qos_2_message_that_comes_twice_is_delivered_once_also_over_a_lost_connection() {
    let mut bench = Bench::connected(options());
    let message =
        Event::Message { packet_id: 7, qos: Qos::ExactlyOnce, dup: false, delivery: Delivery::default() };
    let first = bench.report(message.clone());
    assert_eq!(first.len(), 2, "{first:?}");
    bench.lose(unreachable());
    bench.wait();
    bench.report(connected(true));
    assert_eq!(bench.report(message.clone()), [Action::Answer(Answer::Receive, 7)]);
    assert_eq!(bench.report(Event::Released { packet_id: 7 }), [Action::Answer(Answer::Complete, 7)]);
    assert_eq!(bench.report(message).len(), 2, "the id is free for another message");
}

#[test]
fn a_broker_that_sends_a_message_again_after_its_release_is_not_believed() {
    let mut bench = Bench::connected(options());
    let message = |dup, topic: &str| {
        let delivery = Delivery { topic: topic.to_owned(), ..Delivery::default() };
        Event::Message { packet_id: 7, qos: Qos::ExactlyOnce, dup, delivery }
    };
    assert_eq!(bench.report(message(false, "a")).len(), 2);
    bench.report(Event::Released { packet_id: 7 });
    bench.lose(unreachable());
    bench.wait();
    bench.report(connected(true));
    // mosquitto 2.0 does, when it was cut off twice after its release.
    assert_eq!(bench.report(message(true, "a")), [Action::Answer(Answer::Receive, 7)]);
    bench.report(Event::Released { packet_id: 7 });
    // Another message with that id, whose first copy was lost on its way, and a new one like the first.
    for (dup, topic) in [(true, "b"), (false, "a")] {
        assert_eq!(bench.report(message(dup, topic)).len(), 2, "{topic}");
        bench.report(Event::Released { packet_id: 7 });
    }
    assert_eq!((bench.counters().received, bench.counters().duplicates), (3, 1));
}

#[test]
fn a_message_that_the_broker_rejects_is_counted_named_and_not_sent_again() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    bench.report(Event::Acknowledged { packet_id: 2, reason: 0x87 });
    bench.lose(unreachable());
    bench.wait();
    assert_eq!(published(&bench.report(connected(false))), [""; 0]);
    let status = bench.session.status();
    assert_eq!(status.counters.rejected, 1);
    let refused = RefusedMessage { topic: "a".to_owned(), bytes: 2, why: WhyRefused::Answered(0x87) };
    assert_eq!(status.last_refused, Some(refused));
}

#[test]
fn a_broker_without_room_gets_the_message_again_after_a_pause() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    assert_eq!(bench.report(Event::Acknowledged { packet_id: 2, reason: 0x97 }), []);
    assert_eq!(bench.session.timer(), Some(bench.now + QUOTA_PAUSE));
    assert_eq!(published(&bench.wait()), ["a"]);
    assert_eq!(bench.counters().over_quota, 1);
}

#[test]
fn events_wait_until_others_have_gathered_at_a_broker_that_has_just_begun_and_tracks_do_not() {
    let gather = Duration::from_secs(3);
    let mut bench = Bench::new(SessionOptions { gather, ..options() });
    bench.tick();
    bench.report(connected(false));
    assert_eq!(published(&bench.send(event("a"))), [""; 0]);
    assert_eq!(published(&bench.send(track("t"))), ["t"]);
    assert_eq!(bench.session.timer(), Some(bench.now + gather));
    assert_eq!(published(&bench.wait()), ["a"]);
    // A broker that knows us has not just begun.
    bench.report(Event::Disconnected(unreachable()));
    bench.wait();
    bench.report(connected(true));
    assert_eq!(published(&bench.send(event("b"))), ["b"]);
}

#[test]
fn a_full_window_holds_events_back_and_lets_tracks_pass() {
    let mut bench = Bench::connected(options());
    for topic in ["1", "2", "3", "4"] {
        assert_eq!(published(&bench.send(event(topic))), [topic]);
    }
    assert_eq!(bench.send(event("5")), []);
    assert_eq!(published(&bench.send(track("t"))), ["t"]);
    assert_eq!(published(&bench.report(acknowledged(2))), ["5"]);
}

#[test]
fn a_receive_maximum_of_1_or_even_0_lets_one_message_out_at_a_time() {
    for receive_maximum in [0, 1] {
        let mut bench = Bench::new(options());
        bench.tick();
        bench.report(Event::Connected(Accepted { receive_maximum, ..Accepted::default() }));
        assert_eq!(published(&bench.send(event("1"))), ["1"]);
        assert_eq!(bench.send(event("2")), []);
    }
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
    assert_eq!(published(&bench.report(Event::Sent { messages: 1 })), ["late"]);
    assert_eq!(bench.counters().replaced.get(MessageClass::Track), 4);
}

#[test]
fn large_messages_are_handed_over_a_few_at_a_time() {
    let mut bench = Bench::connected(SessionOptions { max_packet_bytes: 1 << 20, ..options() });
    for number in 0..4 {
        let large =
            Envelope { payload: vec![b'x'; HANDED_BYTES_MAX / 2].into(), ..track(&number.to_string()) };
        bench.session.enqueue(large, bench.now);
    }
    assert_eq!(published(&bench.tick()), ["0", "1"]);
    assert_eq!(published(&bench.report(Event::Sent { messages: 2 })), ["2", "3"]);
}

#[test]
fn what_is_larger_than_our_limit_or_the_brokers_is_refused_once_counted_and_named() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.report(Event::Connected(Accepted { max_packet_bytes: 100, ..Accepted::default() }));
    let sized = |length| Envelope { payload: Bytes::from(vec![b'x'; length]), ..event("e") };
    for (length, why) in [(1_000, WhyRefused::TooLargeForUs), (100, WhyRefused::TooLargeForBroker)] {
        assert_eq!(bench.send(sized(length)), []);
        let refused = RefusedMessage { topic: "e".to_owned(), bytes: length, why };
        assert_eq!(bench.session.status().last_refused, Some(refused));
    }
    assert_eq!(bench.counters().refused_too_large, 2);
    assert_eq!(bench.send(sized(10)).len(), 1);
}

#[test]
fn a_broker_that_ends_the_connection_over_a_large_message_does_not_get_it_again() {
    let mut bench = Bench::connected(options());
    bench.send(event("small"));
    bench.send(Envelope { payload: vec![b'x'; 500].into(), ..event("large") });
    bench.lose(Error::Ended { broker: "b:1".to_owned(), refusal: Refusal::PacketTooLarge, detail: None });
    bench.wait();
    assert_eq!(published(&bench.report(connected(true))), ["small"]);
    assert_eq!(bench.counters().refused_too_large, 1);
}

#[test]
fn in_3_1_1_a_large_message_is_given_up_when_the_broker_closes_again_and_again() {
    let version = Some(Version::V311);
    let mut bench = Bench::new(SessionOptions { version, max_packet_bytes: 1 << 20, ..options() });
    bench.session.enqueue(Envelope { payload: vec![b'x'; 100_000].into(), ..event("large") }, bench.now);
    bench.session.enqueue(event("small"), bench.now);
    let lost = || Error::Closed { broker: "b:1".to_owned() };
    for _ in 0..WORDLESS_CLOSES_MAX {
        bench.wait();
        assert_eq!(published(&bench.report(connected(true)))[0], "large");
        bench.lose(lost());
    }
    bench.wait();
    assert_eq!(published(&bench.report(connected(true))), ["small"]);
    let why = bench.session.status().last_refused.map(|refused| refused.why);
    assert_eq!(why, Some(WhyRefused::TooLargeItSeems));
}

#[test]
fn a_message_too_large_to_take_in_is_acknowledged_counted_and_named() {
    let mut bench = Bench::connected(options());
    let large =
        Event::TooLarge { packet_id: 9, qos: Qos::AtLeastOnce, topic: "t".to_owned(), bytes: 5_000_000 };
    assert_eq!(bench.report(large), [Action::Answer(Answer::Acknowledge, 9)]);
    assert_eq!(bench.counters().received_too_large, 1);
    let why = bench.session.status().last_refused.map(|refused| refused.why);
    assert_eq!(why, Some(WhyRefused::TooLargeToReceive));
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
    bench.lose(unreachable());
    assert_eq!(bench.counters().dropped.get(MessageClass::Track), 1);
}

#[test]
fn a_perishable_message_carries_what_is_left_of_its_time() {
    let mut bench = Bench::new(options());
    let perishable = Envelope { expiry: Some(Duration::from_mins(1)), ..event("v") };
    bench.session.enqueue(perishable, bench.now);
    bench.now = bench.now + Duration::from_millis(20_500);
    bench.tick();
    let actions = bench.report(connected(false));
    assert_eq!(outgoing(&actions)[0].expiry_s, Some(40));
}

#[test]
fn what_the_broker_cannot_do_is_not_asked_of_it() {
    let mut bench = Bench::new(options());
    bench.tick();
    let poor = Accepted { qos_max: Qos::AtLeastOnce, retain: false, ..Accepted::default() };
    bench.report(Event::Connected(poor));
    let wanted = Envelope { retain: true, ..envelope(MessageClass::Weights, "w", Qos::ExactlyOnce) };
    let actions = bench.send(wanted);
    let sent = &outgoing(&actions)[0].envelope;
    assert_eq!((sent.qos, sent.retain), (Qos::AtLeastOnce, false));
    bench.report(acknowledged(2));
    assert_eq!(bench.counters().acknowledged, 1);
}

#[test]
fn a_repeated_topic_goes_out_as_an_alias_and_every_connection_tells_it_anew() {
    let mut bench = Bench::connected(options());
    bench.lose(unreachable());
    bench.wait();
    for _ in 0..2 {
        bench.report(Event::Connected(Accepted { topic_alias_max: 10, ..Accepted::default() }));
        for known in [false, true] {
            let actions = bench.send(track("t"));
            assert_eq!(outgoing(&actions)[0].alias, Some(Alias { number: 1, known }));
        }
        bench.lose(unreachable());
        bench.wait();
    }
}

#[test]
fn a_ping_is_sent_after_silence_on_either_side_and_an_answer_keeps_the_connection() {
    let mut bench = Bench::connected(options());
    for _ in 0..3 {
        assert_eq!(bench.wait(), [Action::Ping]);
        bench.now = bench.now + Duration::from_secs(5);
        bench.report(Event::Heard);
    }
    assert_eq!(bench.session.state(), State::Connected);
    // Sending alone is no sign that anybody listens.
    for _ in 0..70 {
        bench.now = bench.now + Duration::from_secs(1);
        bench.send(track("t"));
        bench.report(Event::Sent { messages: 1 });
    }
    assert_eq!(bench.counters().pings, 4);
}

#[test]
fn a_ping_without_an_answer_ends_the_connection() {
    let mut bench = Bench::connected(options());
    assert_eq!(bench.wait(), [Action::Ping]);
    let pinged = bench.now;
    assert_eq!(bench.wait()[0], Action::Abort);
    assert_eq!(bench.now.since(pinged), PONG_TIMEOUT);
    assert_eq!(bench.session.status().last_error.as_ref().map(Error::word), Some("connection lost"));
}

#[test]
fn a_ping_that_is_still_on_its_way_out_is_given_more_time() {
    let mut bench = Bench::connected(options());
    assert_eq!(bench.wait(), [Action::Ping]);
    for _ in 0..10 {
        bench.now = bench.now + PONG_TIMEOUT / 2;
        assert_eq!(bench.report(Event::Sent { messages: 0 }), []);
    }
    assert_eq!(bench.session.state(), State::Connected);
}

#[test]
fn the_brokers_keep_alive_counts_and_a_broker_that_watches_nothing_is_pinged_at_ours() {
    for (keep_alive_s, due_s) in [(Some(1), 1), (Some(0), 60), (None, 60)] {
        let mut bench = Bench::new(options());
        bench.tick();
        bench.session.ignore("t/+".to_owned());
        bench.report(Event::Connected(Accepted { keep_alive_s, ..Accepted::default() }));
        assert_eq!(bench.session.timer(), Some(bench.now + Duration::from_secs(due_s)));
    }
}

#[test]
fn messages_that_are_never_acknowledged_end_the_connection_and_are_sent_again() {
    let mut bench = Bench::connected(options());
    bench.send(event("a"));
    bench.now = bench.now + ANSWER_TIMEOUT;
    assert_eq!(bench.tick()[0], Action::Abort);
    bench.wait();
    assert_eq!(published(&bench.report(connected(true))), ["a"]);
}

#[test]
fn a_wall_clock_that_jumps_a_year_either_way_changes_nothing() {
    const YEAR_MS: u64 = 365 * 86_400_000;
    let mut bench = Bench::connected(options());
    bench.now.epoch_ms += 2 * YEAR_MS;
    for _ in 0..2 {
        bench.now.epoch_ms -= YEAR_MS;
        let before = bench.now;
        assert_eq!(bench.tick(), []);
        assert_eq!(bench.session.timer().unwrap().since(before), Duration::from_mins(1));
    }
    bench.now.epoch_ms += YEAR_MS;
    bench.lose(unreachable());
    assert!(bench.session.timer().unwrap().since(bench.now) <= Duration::from_secs(1));
}

#[test]
fn a_broker_that_refuses_5_is_spoken_to_in_3_1_1_at_once_and_from_then_on() {
    let mut bench = Bench::new(options());
    bench.tick();
    bench.lose(refused(Refusal::ProtocolVersion));
    assert!(bench.session.timer().unwrap() <= at(1_000));
    for _ in 0..3 {
        assert_eq!(bench.wait(), [connect_old(Fallback::Refused)]);
        bench.report(connected(false));
        let status = bench.session.status();
        assert_eq!((status.version, status.limits.fallback), (Version::V311, Some(Fallback::Refused)));
        bench.lose(unreachable());
    }
}

#[test]
fn a_broker_that_closes_without_a_word_is_tried_in_3_1_1_for_one_connection() {
    let mut bench = Bench::new(options());
    for _ in 0..3 {
        assert_eq!(bench.wait(), [connect(Version::V5, false)]);
        bench.lose(wordless());
    }
    assert_eq!(bench.wait(), [connect_old(Fallback::Wordless)]);
    bench.report(connected(false));
    bench.lose(unreachable());
    assert_eq!(bench.wait(), [connect(Version::V5, false)]);
    bench.lose(wordless());
    assert_eq!(bench.wait(), [connect_old(Fallback::Wordless)]);
}

#[test]
fn a_broker_that_spoke_5_is_never_asked_in_3_1_1_because_of_its_silence() {
    let mut bench = Bench::connected(options());
    bench.lose(unreachable());
    for _ in 0..10 {
        assert_eq!(bench.wait(), [connect(Version::V5, false)]);
        bench.lose(wordless());
    }
}

#[test]
fn a_version_that_was_asked_for_is_the_only_one_tried() {
    for version in [Version::V5, Version::V311] {
        let mut bench = Bench::new(SessionOptions { version: Some(version), ..options() });
        for _ in 0..3 {
            assert_eq!(bench.wait(), [connect(version, false)]);
            bench.lose(refused(Refusal::ProtocolVersion));
        }
    }
}

#[test]
fn a_protocol_error_is_followed_by_one_clean_start() {
    let mut bench = Bench::connected(options());
    bench.send(event("e"));
    bench.lose(Error::Protocol { broker: "b:1".to_owned(), detail: "?".to_owned() });
    assert_eq!(bench.wait(), [connect(Version::V5, true)]);
    // The broker lies: after a clean start there is no session to resume.
    let actions = bench.report(connected(true));
    assert_eq!(published(&actions), ["e"]);
    assert!(!outgoing(&actions)[0].dup);
    bench.lose(unreachable());
    assert_eq!(bench.wait(), [connect(Version::V5, false)]);
}

#[test]
fn closing_flushes_then_says_farewell_and_leaves_after_its_acknowledgement() {
    let mut bench = Bench::connected(options());
    bench.send(event("e"));
    bench.report(Event::Sent { messages: 1 });
    let farewell = envelope(MessageClass::Presence, "status", Qos::AtLeastOnce);
    bench.session.begin_close(Some(farewell), bench.now, Duration::from_secs(4));
    assert_eq!(bench.tick(), []);
    assert_eq!(published(&bench.report(acknowledged(2))), ["status"]);
    assert_eq!(bench.report(Event::Sent { messages: 1 }), []);
    assert_eq!(bench.report(acknowledged(3)), [Action::Disconnect]);
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.session.state(), State::Closed);
    assert_eq!(bench.session.status().last_error, None);
}

#[test]
fn a_close_waits_for_what_the_store_still_has_for_the_link_but_not_for_ever() {
    for in_time in [true, false] {
        let mut bench = Bench::connected(options());
        bench.session.begin_close(None, bench.now, Duration::from_secs(4));
        bench.session.set_store_has_more(true);
        assert_eq!(bench.tick(), []);
        if in_time {
            bench.session.set_store_has_more(false);
            assert_eq!(bench.tick(), [Action::Disconnect]);
        } else {
            assert_eq!(bench.session.timer(), Some(at(3_000)));
            assert_eq!(bench.wait(), [Action::Disconnect]);
        }
    }
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
    bench.lose(unreachable());
    bench.session.begin_close(None, bench.now, Duration::from_secs(4));
    assert_eq!(bench.tick(), [connect(Version::V5, false)]);
    bench.report(Event::Disconnected(unreachable()));
    assert_eq!(bench.session.state(), State::Closed);
}

proptest! {
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

#[test]
fn where_every_connection_dies_before_its_first_acknowledgement_a_smaller_flight_gets_through() {
    const SURVIVES: usize = 3;
    for resumed in [false, true] {
        let mut bench = Bench::connected(SessionOptions {
            in_flight_max: 64,
            gather: Duration::from_secs(3),
            ..options()
        });
        for number in 0..20 {
            bench.session.enqueue(event(&number.to_string()), bench.now);
        }
        let mut actions = bench.tick();
        let mut delivered = std::collections::BTreeSet::new();
        for connection in 0..40 {
            bench.session.enqueue(track(&format!("t/{connection}")), bench.now);
            actions.extend(bench.tick());
            let sent = outgoing(&actions).into_iter().cloned().collect::<Vec<_>>();
            // The path breaks under more than a few packets, and before the broker's answer to any of them.
            if sent.len() <= SURVIVES {
                for message in sent.iter().filter(|message| message.packet_id > 0) {
                    bench.report(acknowledged(message.packet_id));
                    delivered.insert(message.envelope.topic.clone());
                }
            }
            bench.lose(Error::Lost { broker: "b:1".to_owned(), detail: "reset".to_owned() });
            bench.wait();
            actions = bench.report(connected(resumed));
        }
        assert_eq!(delivered.len(), 20, "{resumed}: {delivered:?}");
    }
}
