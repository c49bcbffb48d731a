//! What a camera makes of the others' messages.

use std::time::Duration;

use omnisight::model::{Delivery, EventState, EventType, Point, Severity, Transition};
use omnisight::swarm::codec::Reason;
use omnisight::swarm::peers::{Lost, PeerChange, PeerState};
use omnisight::swarm::topic::Family;
use omnisight::swarm::{Action, Engine, Input, Options};
use proptest::prelude::*;

use crate::scenes::{
    START_MS, at, camera, changes, engine, engine_with, event, event_json, give, handle, raw, scene, seen,
    sent, status_json, track_json,
};

#[test]
fn what_one_camera_sends_another_knows() {
    let (mut a, mut b) = (engine("a"), engine("b"));
    let birth = handle(&mut a, Input::Connected, 0);
    assert_eq!(changes(&give(&mut b, &sent(&birth), 10)), [PeerChange::Joined]);
    let peer = b.peers().get(&camera("a")).unwrap();
    assert!(peer.is_calibrated() && peer.state == PeerState::Online);
    assert_eq!(peer.status.as_ref().unwrap().footprint.as_ref().unwrap().len(), 4);

    for ms in [100, 200, 300] {
        let actions =
            handle(&mut a, Input::Scene(&scene("a", ms, vec![seen(7, 0.5, true), seen(8, 0.0, true)])), ms);
        assert!(give(&mut b, &sent(&actions), ms).is_empty());
    }
    let tracks: Vec<_> = b.peers().tracks().collect();
    assert_eq!(tracks.iter().map(|(c, id, _)| (c.as_str(), *id)).collect::<Vec<_>>(), [("a", 7), ("a", 8)]);
    let track = tracks[0].2;
    assert_eq!((track.position_m, track.velocity_mps), (Point::new(8.0, 2.5), Point::new(1.25, -0.5)));
    assert_eq!((track.captured_ms, track.heard), (START_MS + 300, at(300)));
    assert_eq!(track.cov_m2, Some([0.04, 0.0, 0.04]));

    let transition = Transition::Event(event(2, EventState::Predicted, Severity::High, 350));
    let actions = handle(&mut a, Input::Transition(&transition), 350);
    give(&mut b, &sent(&actions), 360);
    give(&mut b, &sent(&actions), 370);
    let (_, id, remote) = b.peers().events().next().unwrap();
    // It is the only camera that it knows of, and has decided alone.
    assert_eq!((id, remote.kind, remote.state), (2, EventType::Trespassing, Some(EventState::Confirmed)));
    assert_eq!((remote.zone.as_deref(), remote.predicted_ms), (Some("yard"), START_MS + 4_350));
    assert_eq!((b.peers().events().count(), b.counters().duplicates), (1, 2));

    let ended = Transition::TrackEnded { last: Box::new(seen(7, 0.5, true)), time: at(400) };
    give(&mut b, &sent(&handle(&mut a, Input::Transition(&ended), 400)), 400);
    assert_eq!(b.peers().tracks().map(|(_, id, _)| id).collect::<Vec<_>>(), [8]);

    let goodbye = a.farewell(at(500)).unwrap();
    assert_eq!(changes(&give(&mut b, &[&goodbye], 500)), [PeerChange::Lost(Lost::Offline)]);
    assert_eq!((b.peers().online(), b.peers().tracks().count()), (0, 0));
    assert!(b.peers().get(&camera("a")).unwrap().is_calibrated(), "what it said before stays known");
    // Its two alerts: that it happens, and that it is over.
    assert_eq!(b.counters().received, [7, 4, 0, 2, 2, 2]);
    assert_eq!(b.counters().refused.iter().sum::<u64>(), 0);
}

#[test]
fn a_cameras_own_messages_are_dropped_when_they_come_back() {
    let mut a = engine("a");
    let mut all = handle(&mut a, Input::Connected, 0);
    all.extend(handle(&mut a, Input::Scene(&scene("a", 0, vec![seen(1, 0.0, true)])), 0));
    assert!(give(&mut a, &sent(&all), 10).is_empty());
    let vote = r#"{"event_id":9,"initiating_camera":"b","num_confirming":1,"confirming_cameras":["a"],"aggregated_confidence":0.9,"timestamp":1,"camera_id":"a"}"#;
    assert!(handle(&mut a, Input::Delivery(&raw("consensus/9", vote)), 10).is_empty());
    assert_eq!((a.counters().own, a.peers().iter().count()), (3, 0));
    assert_eq!(a.counters().received, [0; 6]);
}

#[test]
fn weights_and_votes_of_others_are_checked_and_counted() {
    let mut a = engine("a");
    let weights = r#"{"camera_id":"b","version":1,"num_weights":2,"timestamp":1,"weights":[0.5,-0.5]}"#;
    let vote = r#"{"event_id":9,"initiating_camera":"a","num_confirming":0,"confirming_cameras":[],"aggregated_confidence":0.0,"timestamp":1}"#;
    handle(&mut a, Input::Delivery(&raw("models/b/weights", weights)), 0);
    handle(&mut a, Input::Delivery(&raw("consensus/9", vote)), 0);
    assert_eq!(a.counters().received, [0, 0, 1, 1, 0, 0]);
    assert_eq!(a.peers().online(), 1);
}

#[test]
fn of_a_flood_of_refused_messages_one_in_a_minute_is_named_for_each_reason_and_all_are_counted() {
    let mut a = engine("a");
    let mut named = |payload: &str, ms: u64| handle(&mut a, Input::Delivery(&raw("tracks/b/1", payload)), ms);
    let floods = (0..120).map(|second| named("{", second * 1_000).len() + named("{}", second * 1_000).len());
    assert_eq!(floods.sum::<usize>(), 4);
    assert!(matches!(named("{", 120_000)[..], [Action::Refused(_)]));
    assert_eq!(a.counters().refused[Reason::NotJson as usize], 121);
    assert_eq!(a.counters().refused[Reason::MissingKey as usize], 120);
}

#[test]
fn an_event_that_is_older_than_events_are_kept_is_not_news_and_counted() {
    let mut a = engine("a");
    let keep_ms = 600_000;
    handle(&mut a, Input::Delivery(&event_json("b", 1, 0)), keep_ms + 1);
    assert_eq!((a.peers().events().count(), a.peers().online()), (0, 0), "nor a sign of life");
    handle(&mut a, Input::Delivery(&event_json("b", 2, 1)), keep_ms + 1);
    assert_eq!((a.peers().events().count(), a.peers().online()), (1, 1));
    assert_eq!(a.counters().stale_events, 1);
}

#[test]
fn a_refused_message_changes_nothing_but_its_counter() {
    let mut a = engine("a");
    let mut refuse = |delivery: Delivery, reason: Reason| {
        let actions = handle(&mut a, Input::Delivery(&delivery), 0);
        let [Action::Refused(error)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(error.reason(), reason);
        assert_eq!((a.counters().refused[reason as usize], a.peers().iter().count()), (1, 0), "{reason:?}");
    };
    let good = track_json("b", 1, Some(1), 0);
    refuse(raw("tracks/b", "{}"), Reason::BadTopic);
    refuse(Delivery { retained: true, ..good.clone() }, Reason::Retained);
    let other = Some("application/cbor".to_owned());
    refuse(Delivery { content_type: other, ..good.clone() }, Reason::UnsupportedEncoding);
    let packed = Some("application/msgpack".to_owned());
    refuse(Delivery { content_type: packed, ..good.clone() }, Reason::NotMsgPack);
    refuse(Delivery { payload: vec![b' '; 10 << 20].into(), ..good.clone() }, Reason::TooLarge);
    refuse(Delivery { payload: vec![b'"', 0xFF, b'"'].into(), ..good.clone() }, Reason::NotUtf8);
    refuse(raw("tracks/b/1", "{"), Reason::NotJson);
    refuse(raw("tracks/b/1", r#"{"camera_id":null}"#), Reason::WrongType);
    refuse(raw("tracks/b/1", "{}"), Reason::MissingKey);
    refuse(raw("tracks/b/1", r#"{"track_id":1,"track_id":1}"#), Reason::DuplicateKey);
    refuse(raw("tracks/b/1", r#"{"track_id":0}"#), Reason::OutOfRange);
    let lie = r#"{"camera_id":"b","version":1,"num_weights":9,"timestamp":1,"weights":[0.5]}"#;
    refuse(raw("models/b/weights", lie), Reason::CountMismatch);
    let stolen = Delivery { topic: "omnisight/swarm/tracks/c/1".to_owned(), ..good };
    refuse(stolen, Reason::IdentityMismatch);
    let without_keys = Reason::Unsigned as usize;
    assert_eq!((&a.counters().refused[..without_keys], a.counters().received), (&[1; 13][..], [0; 6]));
}

#[test]
fn a_gap_a_late_and_a_repeated_track_message_are_counted_and_only_news_is_used() {
    let mut a = engine("a");
    for (seq, ms) in [(1, 0), (2, 100), (5, 400), (4, 300), (5, 400), (4, 300)] {
        handle(&mut a, Input::Delivery(&track_json("b", 1, Some(seq), ms)), 500);
    }
    let counters = a.counters();
    assert_eq!((counters.missing, counters.reordered, counters.duplicates), (0, 1, 2));
    assert_eq!(a.peers().tracks().next().unwrap().2.captured_ms, START_MS + 400);
    // 3 may still come, until its camera is gone.
    handle(&mut a, Input::Delivery(&status_json("b", "offline", 1, 600)), 600);
    assert_eq!(a.counters().missing, 1);
    // The reference system does not number its messages: its timestamps decide.
    for ms in [100, 50, 100] {
        handle(&mut a, Input::Delivery(&track_json("c", 1, None, ms)), 500);
    }
    assert_eq!(a.counters().reordered, 2);
}

#[test]
fn a_restarted_camera_is_believed_and_its_earlier_start_is_not() {
    let mut a = engine("a");
    let mut tell = |delivery: Delivery, ms| changes(&handle(&mut a, Input::Delivery(&delivery), ms));
    assert_eq!(tell(status_json("b", "online", 1_000, 0), 0), [PeerChange::Joined]);
    for seq in 1..=50 {
        tell(track_json("b", 7, Some(seq), seq), 10);
    }
    assert_eq!(tell(status_json("b", "online", 2_000, 600), 600), [PeerChange::Restarted]);
    tell(track_json("b", 8, Some(1), 650), 650);
    // A will of the process before.
    assert!(tell(status_json("b", "offline", 1_000, 0), 700).is_empty());
    // A restart whose announcement got lost.
    tell(track_json("b", 9, Some(1), 9_000), 750);
    let tracks: Vec<_> = a.peers().tracks().map(|(_, id, _)| id).collect();
    assert_eq!((tracks, a.peers().online()), (vec![9], 1));
    assert_eq!((a.counters().old_boots, a.counters().reordered, a.counters().duplicates), (1, 0, 0));
}

#[test]
fn what_is_not_heard_of_goes_tracks_first_then_the_camera() {
    let mut a = engine("a");
    handle(&mut a, Input::Delivery(&status_json("b", "online", 1, 0)), 0);
    handle(&mut a, Input::Delivery(&track_json("b", 1, Some(1), 0)), 0);
    handle(&mut a, Input::Delivery(&track_json("b", 2, Some(2), 2_000)), 2_000);
    handle(&mut a, Input::Delivery(&event_json("b", 1, 0)), 2_000);
    handle(&mut a, Input::Tick, 3_000);
    assert_eq!(a.peers().tracks().map(|(_, id, _)| id).collect::<Vec<_>>(), [2]);
    assert!(changes(&handle(&mut a, Input::Tick, 31_999)).is_empty());
    assert_eq!(changes(&handle(&mut a, Input::Tick, 32_000)), [PeerChange::Lost(Lost::Silent)]);
    assert!(changes(&handle(&mut a, Input::Tick, 33_000)).is_empty());
    assert_eq!((a.peers().online(), a.peers().events().count()), (0, 1));
    let back = handle(&mut a, Input::Delivery(&track_json("b", 2, Some(3), 34_000)), 34_000);
    assert_eq!(changes(&back), [PeerChange::Joined]);
    handle(&mut a, Input::Tick, 602_000);
    assert_eq!(a.peers().events().count(), 0);
}

#[test]
fn after_its_goodbye_only_a_hello_brings_a_camera_back() {
    let mut a = engine("a");
    handle(&mut a, Input::Delivery(&status_json("b", "online", 1, 0)), 0);
    let gone = handle(&mut a, Input::Delivery(&status_json("b", "offline", 1, 0)), 100);
    assert_eq!(changes(&gone), [PeerChange::Lost(Lost::Offline)]);
    // Overtaken on its way: not a sign of life.
    assert!(handle(&mut a, Input::Delivery(&track_json("b", 1, Some(1), 90)), 110).is_empty());
    assert_eq!(a.peers().get(&camera("b")).unwrap().state, PeerState::Offline);
    let back = handle(&mut a, Input::Delivery(&status_json("b", "online", 1, 200)), 200);
    assert_eq!(changes(&back), [PeerChange::Joined]);
}

#[test]
fn an_events_states_replace_each_other_and_an_older_one_does_not() {
    let (mut a, mut b) = (engine("a"), engine("b"));
    let mut tell = |state, ms| {
        let transition = Transition::Event(event(2, state, Severity::High, ms));
        sent(&handle(&mut a, Input::Transition(&transition), ms))[0].clone()
    };
    let (first, second) = (tell(EventState::Predicted, 0), tell(EventState::Occurred, 400));
    give(&mut b, &[&first, &second, &first, &second], 500);
    let (.., known) = b.peers().events().next().unwrap();
    assert_eq!((known.state, b.peers().events().count()), (Some(EventState::Occurred), 1));
    assert_eq!((b.counters().reordered, b.counters().duplicates), (1, 1));
}

/// A state of an event of `b`, raised by the process that started at `boot`.
fn keyed(boot: u64, id: u32, state: &str, ms: u64) -> Delivery {
    let plain = event_json("b", id, ms);
    let text = String::from_utf8(plain.payload.to_vec()).unwrap();
    let body = text.strip_suffix('}').unwrap();
    let payload = format!(r#"{body},"key":"b/{boot}/{id}","state":"{state}"}}"#).into();
    Delivery { payload, ..plain }
}

/// The events of `b` by number, with the state in which they are known.
fn known(engine: &Engine) -> Vec<(u32, EventState)> {
    engine.peers().events().map(|(_, id, event)| (id, event.state.unwrap())).collect()
}

#[test]
fn the_open_events_of_a_killed_process_end_when_its_camera_starts_again() {
    use EventState::{Confirmed, Expired, Occurred, Predicted, Retracted};
    let mut a = engine("a");
    handle(&mut a, Input::Delivery(&status_json("b", "online", 1_000, 0)), 0);
    let open = [(1, "predicted"), (2, "occurred"), (3, "confirmed"), (4, "retracted")];
    for (id, state) in open {
        handle(&mut a, Input::Delivery(&keyed(1_000, id, state, 100)), 100);
    }
    assert_eq!(known(&a), [(1, Predicted), (2, Occurred), (3, Confirmed), (4, Retracted)]);
    handle(&mut a, Input::Delivery(&status_json("b", "online", 2_000, 5_000)), 5_000);
    assert_eq!(known(&a), [(1, Expired), (2, Expired), (3, Expired), (4, Retracted)]);
    assert_eq!(a.counters().orphaned_events, 3);

    // A copy that the broker sends again changes nothing, and what the killed process left in an outbox is over.
    handle(&mut a, Input::Delivery(&keyed(1_000, 2, "occurred", 100)), 5_100);
    assert_eq!((known(&a)[1], a.counters().duplicates), ((2, Expired), 1));
    handle(&mut a, Input::Delivery(&keyed(1_000, 5, "occurred", 200)), 5_100);
    // What the new process raises is open.
    handle(&mut a, Input::Delivery(&keyed(2_000, 6, "occurred", 5_200)), 5_200);
    assert_eq!(known(&a)[4..], [(5, Expired), (6, Occurred)]);
    handle(&mut a, Input::Delivery(&status_json("b", "online", 2_000, 9_000)), 9_000);
    handle(&mut a, Input::Tick, 9_000);
    assert_eq!(known(&a)[5], (6, Occurred));
}

#[test]
fn the_open_events_of_a_camera_that_said_goodbye_or_turned_silent_end() {
    use EventState::{Expired, Occurred};
    let mut gone = engine("a");
    handle(&mut gone, Input::Delivery(&status_json("b", "online", 1_000, 0)), 0);
    handle(&mut gone, Input::Delivery(&keyed(1_000, 1, "occurred", 100)), 100);
    handle(&mut gone, Input::Delivery(&status_json("b", "offline", 1_000, 0)), 200);
    assert_eq!(known(&gone), [(1, Expired)]);
    // One that comes after the goodbye may announce the camera's return, but not for longer than silence is.
    handle(&mut gone, Input::Delivery(&keyed(1_000, 2, "occurred", 150)), 300);
    handle(&mut gone, Input::Tick, 30_299);
    assert_eq!(known(&gone)[1], (2, Occurred));
    handle(&mut gone, Input::Tick, 30_300);
    assert_eq!(known(&gone)[1], (2, Expired));

    let mut silent = engine("a");
    // Another program's camera has neither presence nor states.
    handle(&mut silent, Input::Delivery(&event_json("b", 1, 0)), 0);
    handle(&mut silent, Input::Tick, 29_999);
    assert!(silent.peers().events().all(|(.., event)| event.is_open()));
    handle(&mut silent, Input::Tick, 30_000);
    assert_eq!(known(&silent), [(1, Expired)]);
}

#[test]
fn a_camera_that_only_lost_its_network_resumes_its_events() {
    let mut a = engine("a");
    handle(&mut a, Input::Delivery(&status_json("b", "online", 1_000, 0)), 0);
    handle(&mut a, Input::Delivery(&keyed(1_000, 1, "predicted", 100)), 100);
    handle(&mut a, Input::Delivery(&status_json("b", "offline", 1_000, 0)), 200);
    handle(&mut a, Input::Delivery(&status_json("b", "online", 1_000, 300)), 300);
    handle(&mut a, Input::Delivery(&keyed(1_000, 1, "occurred", 400)), 400);
    assert_eq!(known(&a), [(1, EventState::Occurred)]);
}

#[test]
fn ten_thousand_invented_cameras_fill_the_table_and_no_more() {
    let mut a = engine("a");
    for n in 0..10_000u32 {
        let name = format!("fake-{n}");
        let ms = u64::from(n);
        handle(&mut a, Input::Delivery(&status_json(&name, "online", 1, ms)), ms);
        handle(&mut a, Input::Delivery(&track_json(&name, 1, Some(1), ms)), ms);
        handle(&mut a, Input::Delivery(&event_json(&name, 1, ms)), ms);
    }
    let peers = a.peers();
    assert_eq!((peers.iter().count(), peers.tracks().count(), peers.events().count()), (256, 256, 256));
    assert!(peers.get(&camera("fake-9999")).is_some() && peers.get(&camera("fake-0")).is_none());
    let counters = a.counters();
    assert_eq!(
        (counters.evicted_peers, counters.evicted_tracks, counters.evicted_events),
        (9744, 9744, 9744)
    );
}

#[test]
fn one_camera_with_too_many_tracks_loses_its_own_stalest() {
    let mut a = engine("a");
    handle(&mut a, Input::Delivery(&track_json("honest", 1, Some(1), 0)), 0);
    for n in 1..=1_000u32 {
        handle(&mut a, Input::Delivery(&track_json("b", n, Some(u64::from(n)), u64::from(n))), u64::from(n));
        handle(&mut a, Input::Delivery(&event_json("b", n, u64::from(n))), u64::from(n));
    }
    let of = |name: &str| a.peers().get(&camera(name)).unwrap();
    assert_eq!((of("b").tracks.len(), of("b").events.len(), of("honest").tracks.len()), (128, 64, 1));
    assert!(of("b").tracks.contains_key(&1_000) && !of("b").tracks.contains_key(&872));
    assert_eq!((a.counters().evicted_tracks, a.counters().evicted_events), (872, 936));
}

#[test]
fn all_cameras_together_hold_no_more_tracks_and_events_than_the_total() {
    let mut options = Options::default();
    options.peers.tracks_max = 100;
    options.peers.events_max = 50;
    let mut a = engine_with("a", START_MS, options);
    for n in 0..300u32 {
        let (name, ms) = (format!("c{}", n % 30), u64::from(n));
        handle(&mut a, Input::Delivery(&track_json(&name, n + 1, Some(ms), ms)), ms);
        handle(&mut a, Input::Delivery(&event_json(&name, n + 1, ms)), ms);
    }
    assert_eq!((a.peers().tracks().count(), a.peers().events().count()), (100, 50));
    assert!(a.peers().tracks().all(|(_, id, _)| id > 200));
    assert_eq!((a.counters().evicted_tracks, a.counters().evicted_events), (200, 250));
}

#[test]
fn an_offline_camera_makes_room_before_a_silent_one_and_that_before_one_that_is_there() {
    let mut options = Options::default();
    options.peers.peers_max = 3;
    options.peers.stale_after = Duration::from_millis(500);
    let mut a = engine_with("a", START_MS, options);
    handle(&mut a, Input::Delivery(&status_json("silent", "online", 1, 0)), 0);
    handle(&mut a, Input::Tick, 600);
    handle(&mut a, Input::Delivery(&status_json("there", "online", 1, 0)), 650);
    handle(&mut a, Input::Delivery(&status_json("gone", "offline", 1, 0)), 700);
    let names = |a: &Engine| a.peers().iter().map(|(c, _)| c.to_string()).collect::<Vec<_>>();
    handle(&mut a, Input::Delivery(&status_json("x", "online", 1, 0)), 800);
    assert_eq!(names(&a), ["silent", "there", "x"]);
    handle(&mut a, Input::Delivery(&status_json("y", "online", 1, 0)), 800);
    assert_eq!(names(&a), ["there", "x", "y"]);
    let pushed = handle(&mut a, Input::Delivery(&status_json("z", "online", 1, 0)), 800);
    assert_eq!(names(&a), ["x", "y", "z"]);
    assert_eq!(changes(&pushed), [PeerChange::Lost(Lost::Evicted), PeerChange::Joined]);
}

#[test]
fn a_false_number_does_not_drown_the_count_of_missing_messages() {
    let mut a = engine("a");
    for (seq, ms) in [(1, 0), (9_007_199_254_740_991, 10), (1, 5_000), (9_007_199_254_740_991, 5_010)] {
        handle(&mut a, Input::Delivery(&track_json("b", 1, Some(seq), ms)), ms);
    }
    // Each jump at most 10,000, and what the window missed at the restart.
    assert_eq!(a.counters().missing, 20_000 + 1_023);
    assert_eq!(sent(&handle(&mut a, Input::Connected, 6_000)).len(), 1);
}

#[test]
fn an_event_that_is_sent_again_is_dropped_even_when_it_has_left_the_table() {
    let mut a = engine("a");
    let messages: Vec<_> = (1..=100).map(|id| event_json("b", id, 1_000 + u64::from(id))).collect();
    for message in messages.iter().chain(&messages) {
        handle(&mut a, Input::Delivery(message), 2_000);
    }
    assert_eq!((a.peers().events().count(), a.counters().evicted_events), (64, 36));
    assert_eq!(a.counters().duplicates, 100);
}

proptest! {
    #[test]
    fn lost_repeated_and_reordered_messages_leave_the_newest_that_came(
        order in proptest::collection::vec(0usize..20, 1..60)
    ) {
        let (mut a, mut b) = (engine("a"), engine("b"));
        let all: Vec<_> = (0..20u64)
            .flat_map(|n| handle(&mut a, Input::Scene(&scene("a", n * 100, vec![seen(1, 0.0, true)])), n * 100))
            .collect();
        let all = sent(&all);
        for &n in &order {
            give(&mut b, &[all[n]], 2_000);
        }
        let newest = order.iter().max().map(|n| START_MS + *n as u64 * 100);
        prop_assert_eq!(b.peers().tracks().next().map(|(.., t)| t.captured_ms), newest);
        let distinct = order.iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(b.counters().duplicates as usize, order.len() - distinct);
        let records = order.iter().scan(None, |top, n| {
            let new = top.is_none_or(|t| n > t);
            if new { *top = Some(n); }
            Some(usize::from(new))
        });
        prop_assert_eq!(b.counters().reordered as usize, distinct - records.sum::<usize>());
        prop_assert_eq!(b.counters().received[Family::Track as usize] as usize, order.len());
    }

    #[test]
    fn any_delivery_is_counted_once_and_none_panics(
        below in "(tracks|events|models|consensus|status|x)?/?[ab+#]?/?(1|weights|é)?",
        payload in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "\\{(\"camera_id\":\"b\",?)?(\"state\":\"online\",?)?(\"version\":\"\",?)?(\"boot\":[0-9]{1,3},?)?(\"timestamp\":1)?\\}"
                .prop_map(String::into_bytes),
        ],
        retained: bool,
    ) {
        let mut a = engine("a");
        let topic = format!("omnisight/swarm/{below}");
        let delivery = Delivery { topic, payload: payload.into(), retained, ..Delivery::default() };
        handle(&mut a, Input::Delivery(&delivery), 0);
        let c = a.counters();
        prop_assert_eq!(c.refused.iter().sum::<u64>() + c.received.iter().sum::<u64>() + c.own, 1);
    }
}

#[test]
fn a_message_that_other_tracks_alone_overtook_counts_for_its_own() {
    let mut a = engine("a");
    // Track 3 is not known when its late message comes: it may have ended.
    for (id, seq, ms) in [(1, 1, 0), (2, 2, 0), (2, 5, 100), (1, 3, 100), (3, 4, 100)] {
        handle(&mut a, Input::Delivery(&track_json("b", id, Some(seq), ms)), 200);
    }
    let told: Vec<_> = a.peers().tracks().map(|(_, id, track)| (id, track.captured_ms - START_MS)).collect();
    assert_eq!((told, a.counters().reordered), (vec![(1, 100), (2, 100)], 2));
}
