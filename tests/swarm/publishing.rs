//! What leaves a camera, when, and in which words.

use omnisight::model::{EventState, MessageClass, Mode, Modes, Qos, Scene, Severity, Sighting, Transition};
use omnisight::swarm::topic::Family;
use omnisight::swarm::{Action, Engine, Input};
use omnisight::track::UNCONFIRMED_IDS;
use serde_json::Value;

use crate::scenes::{START_MS, at, engine, event, give, handle, json, scene, seen, sent};

#[test]
fn a_track_leaves_with_its_place_time_and_covariance() {
    let mut a = engine("a");
    let actions = handle(&mut a, Input::Scene(&scene("a", 500, vec![seen(7, 0.3, true)])), 530);
    let [envelope] = sent(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(envelope.topic, "omnisight/swarm/tracks/a/7");
    assert_eq!(
        (envelope.class, envelope.qos, envelope.retain),
        (MessageClass::Track, Qos::AtMostOnce, false)
    );
    let expected = r#"{"camera_id":"a","track_id":7,"global_position":{"x":8.0,"y":2.5,"z":0.0},"velocity":{"x":1.25,"y":-0.5},"class":"person","confidence":0.9,"timestamp":1700000000500,"behaviors":1,"threat_score":0.3,"seq":1,"cov":[0.04,0.0,0.04]}"#;
    assert_eq!(std::str::from_utf8(&envelope.payload).unwrap(), expected);
    assert!(envelope.payload.len() <= 350);
}

#[test]
fn a_track_never_leaves_more_often_than_its_rate_at_any_frame_rate() {
    for (fps, expected) in
        [(5u64, 50..=50), (7, 70..=70), (10, 100..=100), (15, 75..=101), (25, 80..=101), (30, 99..=101)]
    {
        let mut a = engine("a");
        let mut times = Vec::new();
        for frame in 0..10 * fps {
            // Whole nanoseconds of a rate that does not divide them.
            let mut now = scene("a", 0, vec![seen(1, 0.0, true)]);
            now.time.mono_ns += frame * 1_000_000_000 / fps;
            let actions = handle(&mut a, Input::Scene(&now), 0);
            times.extend(sent(&actions).iter().map(|_| now.time.mono_ns));
        }
        assert!(expected.contains(&times.len()), "{fps}: {}", times.len());
        assert!(times.windows(2).all(|w| w[1] - w[0] >= 90_000_000), "{fps}");
        assert!(times.windows(11).all(|w| w[10] - w[0] >= 990_000_000), "{fps}");
    }
}

#[test]
fn of_too_many_tracks_the_most_threatening_leave() {
    let mut a = engine("a");
    let mut tracks: Vec<_> = (1..=60).map(|id| seen(id, f64::from(id) / 100.0, true)).collect();
    tracks.push(seen(61, 1.0, false));
    let actions = handle(&mut a, Input::Scene(&scene("a", 0, tracks)), 0);
    let ids: Vec<_> = sent(&actions).iter().map(|e| json(e)["track_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (11..=60).collect::<Vec<_>>());
    assert_eq!((a.counters().over_limit, a.counters().no_ground), (10, 1));
}

#[test]
fn the_end_of_a_track_leaves_as_of_its_last_sight_and_only_if_the_track_ever_did() {
    let mut a = engine("a");
    handle(&mut a, Input::Scene(&scene("a", 0, vec![seen(1, 0.0, true)])), 0);
    let ended = |id| {
        let mut last = seen(id, 0.0, true);
        last.track.last_seen = at(10);
        Transition::TrackEnded { last: Box::new(last), time: at(40) }
    };
    let actions = handle(&mut a, Input::Transition(&ended(1)), 40);
    let last = json(sent(&actions)[0]);
    assert_eq!(
        (last["ended"].clone(), last["timestamp"].clone()),
        (Value::Bool(true), (START_MS + 10).into())
    );
    assert!(handle(&mut a, Input::Transition(&ended(1)), 80).is_empty());
    assert!(handle(&mut a, Input::Transition(&ended(2)), 80).is_empty());
}

/// Somebody whom the camera has seen once, at (4, 2.5).
fn unconfirmed(ms: u64) -> (Scene, Sighting) {
    let first = seen(3, 0.0, true).sighting().unwrap();
    let sighting = Sighting { track: UNCONFIRMED_IDS + 1, ..first };
    (Scene { sightings: vec![sighting], ..scene("a", ms, Vec::new()) }, sighting)
}

#[test]
fn what_is_not_confirmed_leaves_only_where_another_camera_looks_too() {
    let mut a = engine("a");
    let leaves = |ms: u64, a: &mut Engine| {
        let actions = handle(a, Input::Scene(&unconfirmed(ms).0), ms);
        sent(&actions).iter().map(|e| json(e)["track_id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert!(leaves(0, &mut a).is_empty());
    // Another camera over the same ground.
    let birth = handle(&mut engine("b"), Input::Connected, 100);
    give(&mut a, &sent(&birth), 100);
    assert_eq!(leaves(200, &mut a), [u64::from(UNCONFIRMED_IDS) + 1]);
    // It goes.
    let farewell = engine("b").farewell(at(300)).unwrap();
    give(&mut a, &[&farewell], 300);
    assert!(leaves(400, &mut a).is_empty());
}

#[test]
fn a_detector_gone_mad_is_no_flood() {
    let mut a = engine("a");
    let birth = handle(&mut engine("b"), Input::Connected, 100);
    give(&mut a, &sent(&birth), 100);
    let mut told = 0;
    // Forty boxes in each of 25 frames a second, and none of them seen twice.
    for frame in 0..250_u32 {
        let ms = 200 + 40 * u64::from(frame);
        let (now, one) = unconfirmed(ms);
        let box_ = |i: u32| Sighting { track: UNCONFIRMED_IDS + 1 + 40 * frame + i, ..one };
        let crowd = Scene { sightings: (0..40).map(box_).collect(), ..now };
        told += sent(&handle(&mut a, Input::Scene(&crowd), ms)).len();
    }
    assert!((500..=560).contains(&told), "{told}");
    assert_eq!(a.counters().over_limit, 10_000 - told as u64);
}

#[test]
fn the_end_of_what_was_never_confirmed_leaves_if_it_ever_did() {
    let mut a = engine("a");
    let ended = |last| Transition::SightingEnded { last, time: at(200) };
    let (now, last) = unconfirmed(200);
    assert!(handle(&mut a, Input::Transition(&ended(last)), 250).is_empty());
    let birth = handle(&mut engine("b"), Input::Connected, 100);
    give(&mut a, &sent(&birth), 100);
    handle(&mut a, Input::Scene(&now), 200);
    let actions = handle(&mut a, Input::Transition(&ended(last)), 300);
    let word = json(sent(&actions)[0]);
    assert_eq!(
        (&word["ended"], &word["timestamp"], &word["track_id"]),
        (&Value::Bool(true), &(START_MS + 200).into(), &(UNCONFIRMED_IDS + 1).into())
    );
    assert!(handle(&mut a, Input::Transition(&ended(last)), 400).is_empty());
}

#[test]
fn an_event_leaves_from_medium_up_and_then_in_all_its_states() {
    let mut a = engine("a");
    let mut tell = |id, state, severity, ms| {
        let transition = Transition::Event(event(id, state, severity, ms));
        let actions = handle(&mut a, Input::Transition(&transition), ms);
        sent(&actions).first().map(|e| ((*e).clone(), json(e)))
    };
    assert!(tell(1, EventState::Predicted, Severity::Low, 0).is_none());
    let (envelope, message) = tell(2, EventState::Predicted, Severity::High, 0).unwrap();
    assert_eq!(envelope.topic, "omnisight/swarm/events/a/2");
    assert_eq!(
        (envelope.class, envelope.qos, envelope.retain),
        (MessageClass::Event, Qos::AtLeastOnce, false)
    );
    assert_eq!(message["key"], format!("a/{START_MS}/2"));
    assert_eq!((&message["event_type"], &message["severity"]), (&5.into(), &3.into()));
    assert_eq!((&message["track_id"], &message["tracks"]), (&7.into(), &serde_json::json!([7, 8])));
    assert_eq!(message["rule"]["measured"]["entry_s"], 4.0);
    let (_, message) = tell(2, EventState::Retracted, Severity::Low, 500).unwrap();
    assert_eq!(message["state"], "retracted");
    assert!(tell(1, EventState::Occurred, Severity::Medium, 600).is_some());
}

#[test]
fn numbers_that_are_not_finite_and_events_without_a_track_stay_here_and_are_counted() {
    let mut a = engine("a");
    let mut broken = seen(1, 0.0, true);
    broken.ground.as_mut().unwrap().velocity.x = f64::NAN;
    let actions = handle(&mut a, Input::Scene(&scene("a", 0, vec![broken, seen(2, 0.0, true)])), 0);
    assert!(matches!(actions[0], Action::Unsendable(_)));
    let envelopes = sent(&actions);
    assert_eq!((envelopes.len(), json(envelopes[0])["seq"].as_u64()), (1, Some(1)));
    let mut nobody = event(3, EventState::Occurred, Severity::High, 0);
    nobody.tracks.clear();
    assert!(sent(&handle(&mut a, Input::Transition(&Transition::Event(nobody)), 0)).is_empty());
    assert_eq!(a.counters().unsendable, 2);
}

#[test]
fn presence_leaves_at_birth_at_a_change_and_every_ten_seconds() {
    let mut a = engine("a");
    let birth = handle(&mut a, Input::Connected, 0);
    let [envelope] = sent(&birth)[..] else { panic!() };
    assert_eq!(envelope.topic, "omnisight/swarm/status/a");
    assert_eq!(
        (envelope.class, envelope.qos, envelope.retain),
        (MessageClass::Presence, Qos::AtLeastOnce, true)
    );
    let expected = r#"{"camera_id":"a","state":"online","version":"0.1.0","boot":1700000000000,"timestamp":1700000000000,"encodings":["json","msgpack"],"ground":"calibrated","footprint":[[0.0,0.0],[8.0,0.0],[8.0,6.0],[0.0,6.0]],"clock":{"offset_ms":0.0,"source":"none"},"modes":[],"counters":{}}"#;
    assert_eq!(std::str::from_utf8(&envelope.payload).unwrap(), expected);
    assert!(handle(&mut a, Input::Modes(Modes::default()), 100).is_empty());
    let changed = handle(&mut a, Input::Modes(Mode::LinkSlow.into()), 200);
    assert_eq!(json(sent(&changed)[0])["modes"], serde_json::json!(["link_slow"]));
    assert!(handle(&mut a, Input::Modes(Mode::LinkSlow.into()), 300).is_empty());
    assert!(handle(&mut a, Input::Tick, 10_199).is_empty());
    handle(&mut a, Input::Counters(&[("frames", 120), ("dropped", 0)]), 10_200);
    let again = handle(&mut a, Input::Tick, 10_200);
    let counters = &json(sent(&again)[0])["counters"];
    assert_eq!(counters, &serde_json::json!({"frames": 120, "swarm_sent_status": 2}));
}

#[test]
fn the_will_and_the_farewell_say_offline_and_stay_with_the_broker() {
    let mut a = engine("a");
    // When a will is published is not known beforehand.
    for (envelope, time) in
        [(a.will(at(5)).unwrap(), ""), (a.farewell(at(5)).unwrap(), r#","timestamp":1700000000005"#)]
    {
        assert_eq!((envelope.qos, envelope.retain), (Qos::AtLeastOnce, true));
        let expected =
            format!(r#"{{"camera_id":"a","state":"offline","version":"0.1.0","boot":1700000000000{time}}}"#);
        assert_eq!(std::str::from_utf8(&envelope.payload).unwrap(), expected);
    }
    assert_eq!(a.counters().sent[Family::Status as usize], 1);
}

#[test]
fn whom_the_others_know_leaves_under_their_number_with_the_first_message() {
    let (mut a, mut b) = (engine("a"), engine("b"));
    let mut told = Vec::new();
    for ms in (0..2_000).step_by(100) {
        let actions = handle(&mut a, Input::Scene(&scene("a", ms, vec![seen(1, 0.0, true)])), ms);
        told = sent(&actions).into_iter().cloned().collect();
        give(&mut b, &sent(&actions), ms + 20);
    }
    let mut same = seen(1, 0.0, true);
    same.track.id = 7;
    let first = handle(&mut b, Input::Scene(&scene("b", 2_010, vec![same])), 2_010);
    let number = json(&told[0])["global_id"].as_u64();
    assert!(number.is_some());
    assert_eq!(json(sent(&first)[0])["global_id"].as_u64(), number);
}
