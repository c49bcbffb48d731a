//! Brokers that offer less, and say so or not.

use super::*;
use crate::link::limits::Limits;

const WILL: WillShape = WillShape { retain: true, acknowledged: true, dotted: false };

fn with_will(version: Option<Version>) -> Bench {
    Bench::new(SessionOptions { version, will: Some(WILL), ..options() })
}

fn closed() -> Error {
    Error::Closed { broker: "b:1".to_owned() }
}

fn timeout() -> Error {
    Error::Timeout { broker: "b:1".to_owned(), phase: Phase::Greeting }
}

/// The terms of the next CONNECT, once its wait is over.
fn next_terms(bench: &mut Bench) -> Terms {
    match &bench.wait()[..] {
        [Action::Connect { terms, .. }] => *terms,
        other => panic!("{other:?}"),
    }
}

fn retained(topic: &str) -> Envelope {
    Envelope { retain: true, ..event(topic) }
}

#[test]
fn a_broker_that_refuses_retained_messages_is_asked_without_at_once_and_gets_none() {
    let mut bench = with_will(None);
    bench.tick();
    bench.lose(refused(Refusal::RetainUnavailable));
    assert!(bench.session.timer().unwrap().since(bench.now) <= Duration::from_secs(1));
    let terms = next_terms(&mut bench);
    assert_eq!((terms.version, terms.retain, terms.will), (Version::V5, false, true));
    bench.report(Event::Connected(Accepted { retain: false, ..Accepted::default() }));
    let actions = bench.send(retained("status"));
    assert!(!outgoing(&actions)[0].envelope.retain);
    assert!(!bench.session.status().limits.retain);
}

#[test]
fn a_broker_whose_highest_qos_is_below_that_of_the_will_is_asked_with_a_lower_one() {
    let mut bench = with_will(None);
    bench.tick();
    bench.lose(refused(Refusal::QosUnavailable));
    assert_eq!(next_terms(&mut bench).qos_max, Qos::AtMostOnce);
    bench.report(Event::Connected(Accepted { qos_max: Qos::AtMostOnce, ..Accepted::default() }));
    assert_eq!(bench.session.status().limits.qos_max, Qos::AtMostOnce);
}

#[test]
fn a_broker_of_3_1_1_that_closes_at_a_retained_will_is_asked_without_one_and_named() {
    let mut bench = with_will(Some(Version::V311));
    for _ in 0..2 {
        assert!(next_terms(&mut bench).retain);
        bench.lose(wordless());
    }
    assert!(!next_terms(&mut bench).retain);
    bench.report(connected(false));
    assert!(!bench.session.status().limits.retain);
    // What it may do by now is found out after one silent CONNECT.
    bench.lose(closed());
    assert!(next_terms(&mut bench).retain);
    bench.lose(wordless());
    assert!(!next_terms(&mut bench).retain);
}

#[test]
fn messages_keep_their_qos_until_a_will_without_one_was_accepted_twice() {
    let mut bench = with_will(Some(Version::V311));
    for qos_max in [Qos::AtLeastOnce, Qos::AtMostOnce] {
        loop {
            let terms = next_terms(&mut bench);
            if terms.retain && terms.qos_max == Qos::AtMostOnce {
                break;
            }
            bench.lose(wordless());
        }
        bench.report(connected(false));
        let actions = bench.send(event("e"));
        assert_eq!(outgoing(&actions)[0].envelope.qos, qos_max);
        bench.lose(closed());
    }
}

#[test]
fn a_broker_that_closes_whatever_it_is_asked_is_not_hammered_with_guesses() {
    let mut bench = with_will(None);
    let began = bench.now;
    for _ in 0..40 {
        bench.wait();
        bench.lose(wordless());
    }
    // Guesses that all come within a second of one another would take less than a minute.
    assert!(bench.now.since(began) > Duration::from_mins(5), "{:?}", bench.now.since(began));
}

#[test]
fn a_broker_that_never_answers_a_connect_of_5_is_asked_in_3_1_1() {
    let mut bench = Bench::new(options());
    for _ in 0..2 {
        assert_eq!(bench.wait(), [connect(Version::V5, false)]);
        bench.report(Event::Reached(Phase::Greeting));
        bench.lose(timeout());
    }
    assert_eq!(bench.wait(), [connect_old(Fallback::Wordless)]);
}

#[test]
fn a_broker_that_closes_at_qos_2_gets_the_same_message_with_qos_1() {
    let mut bench = Bench::connected(options());
    bench.send(Envelope { qos: Qos::ExactlyOnce, ..event("weights") });
    let mut actions = Vec::new();
    for _ in 0..3 {
        bench.lose(closed());
        // Each shows more, so none waits long.
        assert!(bench.session.timer().unwrap().since(bench.now) <= Duration::from_secs(1));
        bench.wait();
        actions = bench.report(connected(false));
    }
    let [sent] = outgoing(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((sent.envelope.topic.as_str(), sent.envelope.qos), ("weights", Qos::AtLeastOnce));
    let answer = acknowledged(sent.packet_id);
    bench.report(answer);
    assert_eq!(bench.session.status().limits.qos_max, Qos::AtLeastOnce);
    assert_eq!((bench.counters().acknowledged, bench.session.status().in_flight), (1, 0));
}

#[test]
fn a_broker_that_answered_qos_2_once_is_not_suspected_of_it() {
    let mut bench = Bench::connected(options());
    bench.send(Envelope { qos: Qos::ExactlyOnce, ..event("a") });
    bench.report(Event::Received { packet_id: 2, reason: 0 });
    bench.report(Event::Completed { packet_id: 2 });
    bench.send(Envelope { qos: Qos::ExactlyOnce, ..event("b") });
    for _ in 0..5 {
        bench.lose(closed());
        bench.wait();
        bench.report(connected(true));
    }
    assert_eq!(bench.session.status().limits.qos_max, Qos::ExactlyOnce);
}

#[test]
fn what_another_connection_found_out_holds_for_the_next_connect_at_once() {
    let mut bench = with_will(None);
    bench.tick();
    bench.lose(refused(Refusal::ServerBusy));
    let limits = Limits { fallback: Some(Fallback::Refused), retain: false, ..Limits::default() };
    bench.session.learn(Some(limits), None, bench.now);
    assert!(bench.session.timer().unwrap().since(bench.now) <= Duration::from_secs(1));
    let terms = next_terms(&mut bench);
    assert_eq!((terms.version, terms.retain), (Version::V311, false));
}

#[test]
fn a_rival_that_was_heard_explains_a_close_without_a_reason() {
    let mut bench = Bench::connected(options());
    bench.session.learn(None, Some(bench.now), bench.now);
    bench.lose(closed());
    assert_eq!(bench.session.status().last_error.unwrap().word(), "client id in use elsewhere");
    assert!(bench.session.timer().unwrap().since(bench.now) >= Duration::from_secs(30));
}

#[test]
fn filters_are_asked_for_in_packets_that_the_broker_takes_and_wildcards_only_where_it_does() {
    let mut bench = Bench::new(options());
    for name in ["aaaa", "bbbb", "c/#"] {
        bench.session.listen(name.repeat(5), Qos::AtMostOnce);
    }
    bench.tick();
    let accepted = Accepted { max_packet_bytes: 40, wildcards: false, ..Accepted::default() };
    let asked = bench.report(Event::Connected(accepted));
    let begin = |name: &str| Request::Begin(vec![(name.repeat(5), Qos::AtMostOnce)]);
    assert_eq!(asked, [Action::Ask(1, begin("aaaa"))]);
    let asked = bench.report(Event::Subscribed { packet_id: 1, refused: 0 });
    assert_eq!(asked, [Action::Ask(2, begin("bbbb"))]);
    assert_eq!(bench.report(Event::Subscribed { packet_id: 2, refused: 0 }), []);
}
