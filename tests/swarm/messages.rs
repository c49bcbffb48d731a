//! What comes is read liberally and never believed; what leaves holds the contract.

use omnisight::model::{Behaviors, CameraId, Class, EventState, EventType, Severity};
use omnisight::swarm::bounded::{List, Reals};
use omnisight::swarm::codec::{self, Reason, WEIGHTS_BYTES_MAX};
use omnisight::swarm::message::{
    ALERT_TEXT_MAX, EVENT_CLAIMS_MAX, Message, Position, TrackMessage, Velocity, WEIGHTS_MAX,
};
use omnisight::swarm::wire::{Count, Fraction, Id, MILLIS_MAX, Millis, Real, Utc, Weight};
use serde_json::Value;

use crate::fixtures::{
    ALERT, CONSENSUS, EVENT, FULL, REFERENCE, STATUS, TRACK, WEIGHTS, decode, encoded, encoded_again, refused,
};

#[test]
fn every_key_is_read_and_written_back_in_the_order_of_the_contract() {
    for (topic, json) in FULL {
        assert_eq!(encoded_again(&decode(topic, json.as_bytes()).unwrap()), json);
    }
}

#[test]
fn messages_as_the_reference_system_writes_them_are_read() {
    for (topic, json) in REFERENCE {
        let message = decode(topic, json.as_bytes()).unwrap();
        match message {
            Message::Track(m) => {
                assert_eq!((m.camera_id.as_str(), m.track_id, m.class), ("CAM-B", Id(5), Class::Vehicle));
                assert!((m.global_position.x.0 + 7.4).abs() < 1e-6 && (m.velocity.x.0 - 0.3).abs() < 1e-6);
                assert_eq!(m.behaviors, Behaviors::LOITERING | Behaviors::RUNNING);
                assert_eq!((m.timestamp, m.seq, m.ended), (Millis(1_736_204_567_890), None, false));
            }
            Message::Event(m) => {
                assert_eq!((m.event_type, m.severity), (EventType::Collision, Severity::Medium));
                assert_eq!((m.state, m.key), (None, None));
            }
            Message::Weights(m) => {
                assert_eq!(m.weights.iter().map(|w| w.0).collect::<Vec<_>>(), [0.0, -0.25, 0.1, 2.0]);
            }
            Message::Consensus(m) => assert_eq!(m.confirming_cameras[0].as_str(), "CAM-C"),
            Message::Status(_) | Message::Alert(_) => panic!("the reference system has neither"),
        }
    }
}

#[test]
fn a_real_may_come_as_an_integer_and_an_integer_as_a_whole_real() {
    let loose =
        FULL[0].1.replace("41,", "41.0,").replace("12.5", "12").replace("1700000000123", "1.700000000123e12");
    assert_eq!(
        decode(TRACK, loose.as_bytes()).unwrap(),
        decode(TRACK, FULL[0].1.replace("12.5", "12.0").as_bytes()).unwrap()
    );
    assert_eq!(refused(TRACK, &FULL[0].1.replace("\"track_id\":41", "\"track_id\":41.5")), Reason::WrongType);
}

#[test]
fn unknown_keys_and_unknown_classes_do_not_refuse_a_message() {
    let odd =
        FULL[0].1.replace("\"person\"", "\"tricycle\"").replacen('{', "{\"new\":[null,{\"a\":[1]}],", 1);
    let Ok(Message::Track(m)) = decode(TRACK, odd.as_bytes()) else { panic!() };
    assert_eq!(m.class, Class::Unknown);
}

#[test]
fn a_default_track_stays_within_350_bytes_at_the_worst_realistic_values() {
    let mut track = TrackMessage {
        camera_id: CameraId::parse("AXIS_X9999_ABCDEF012345").unwrap(),
        track_id: Id(u32::MAX),
        global_position: Position { x: Real(-1234.567), y: Real(-1234.567), z: Real(0.0) },
        velocity: Velocity { x: Real(-99.999), y: Real(-99.999) },
        class: Class::Unknown,
        confidence: Fraction(0.123),
        timestamp: Millis(9_999_999_999_999),
        behaviors: Behaviors::all(),
        threat_score: Fraction(0.123),
        seq: Some(Count(99_999_999_999)),
        cov: Some(Reals([99.999, -99.999, 99.999])),
        global_id: None,
        ended: true,
    };
    let bytes = encoded(&track).len();
    assert!(bytes <= 350, "{bytes} bytes");
    track.global_id = Some(Count(u64::from(u32::MAX) << 4));
    track.ended = false;
    let bytes = encoded(&track).len();
    assert!(bytes <= 350, "{bytes} bytes with a global id");
}

/// Each place in a value, as a JSON pointer.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| {
            let at = format!("{at}/{k}");
            out.push(at.clone());
            places(v, &at, out);
        }),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| {
            let at = format!("{at}/{i}");
            out.push(at.clone());
            places(v, &at, out);
        }),
        _ => {}
    }
}

#[test]
fn null_or_a_wrong_type_at_any_place_refuses_the_message() {
    let wrong = ["null", "true", "\"text\"", "[]", "[[1.0]]", "{}", "{\"x\":1.0,\"y\":1.0,\"z\":1.0}", "5"];
    let type_of = std::mem::discriminant::<Value>;
    for (topic, json) in FULL {
        let full: Value = serde_json::from_str(json).unwrap();
        let mut all = vec![String::new()];
        places(&full, "", &mut all);
        for place in all {
            for text in wrong {
                let bad: Value = serde_json::from_str(text).unwrap();
                let mut message = full.clone();
                let slot = message.pointer_mut(&place).unwrap();
                if type_of(slot) == type_of(&bad) {
                    continue;
                }
                *slot = bad;
                assert_eq!(refused(topic, &message.to_string()), Reason::WrongType, "{topic} {place} {text}");
            }
        }
    }
}

#[test]
fn a_missing_reference_key_refuses_the_message_and_a_missing_extra_does_not() {
    let extra = [
        "seq",
        "cov",
        "global_id",
        "ended",
        "key",
        "state",
        "zone",
        "tracks",
        "rule",
        "interventions",
        "num_samples",
        "model",
        "base_version",
        "verdict",
        "votes",
        "reason",
        "outcome",
        "occurred",
        "claims",
        "site",
        "expected",
        "encodings",
        "ground",
        "footprint",
        "clock",
        "modes",
        "counters",
        "public_key",
    ];
    for (topic, json) in FULL {
        let full: Value = serde_json::from_str(json).unwrap();
        for key in full.as_object().unwrap().keys() {
            let optional = match topic {
                CONSENSUS => key == "camera_id" || extra.contains(&key.as_str()),
                // A will has none.
                STATUS if key == "timestamp" => true,
                STATUS | ALERT => !["state", "key"].contains(&key.as_str()) && extra.contains(&key.as_str()),
                _ => extra.contains(&key.as_str()),
            };
            let mut message = full.clone();
            message.as_object_mut().unwrap().remove(key);
            let result = decode(topic, message.to_string().as_bytes()).map_err(|e| e.reason());
            assert_eq!(result.err(), (!optional).then_some(Reason::MissingKey), "{topic} {key}");
        }
    }
}

#[test]
fn values_outside_their_range_are_refused() {
    for (n, from, to) in [
        (0, "\"track_id\":41", "\"track_id\":0"),
        (0, "\"track_id\":41", "\"track_id\":4294967296"),
        (0, "\"track_id\":41", "\"track_id\":-1"),
        (0, "1700000000123", "-5"),
        (0, "1700000000123", "253402300800000"),
        (0, "1700000000123", "99999999999999999999"),
        (0, "0.875", "1.01"),
        (0, "0.875", "-0.1"),
        (0, "-3.25", "1e10"),
        (0, "-3.25", "1e999"),
        (0, "[0.04,0.001,0.09]", "[0.04,0.001]"),
        (0, "[0.04,0.001,0.09]", "[0.04,0.001,0.09,0.1]"),
        (0, "4294967300", "9007199254740992"),
        (0, "\"gate-2\"", "\"gate/2\""),
        (1, "\"event_type\":5", "\"event_type\":0"),
        (1, "\"event_type\":5", "\"event_type\":11"),
        (1, "\"severity\":3", "\"severity\":5"),
        (1, "\"predicted\"", "\"guessed\""),
        (1, "gate-2/1699999990000/9", "gate-2/9"),
        (2, "3e-10", "1e39"),
        (3, "\"confirm\"", "\"perhaps\""),
        (3, "\"outcome\":\"confirmed\"", "\"outcome\":\"predicted\""),
        (3, "\"outcome\":\"confirmed\"", "\"outcome\":\"over\""),
        (1, "a/1699999980000/4", "a/4"),
        (4, "\"online\"", "\"asleep\""),
        (4, "\"calibrated\"", "\"measured\""),
        (5, "\"trespassing\"", "\"mischief\""),
        (5, "\"trespassing\"", "\"loitering\""),
        (5, "\"event_type\":5", "\"event_type\":6"),
        (5, "\"high\"", "\"low\""),
        (5, "\"forecast\"", "\"confirmed\""),
        (5, "2023-11-14T22:13:24.000Z", "tomorrow"),
        (5, "gate-2/1699999990000/9", "gate-2"),
        (5, "\"published_by\":\"a\"", "\"published_by\":\"\""),
    ] {
        let (topic, json) = FULL[n];
        assert!(json.contains(from), "{from}");
        assert_eq!(refused(topic, &json.replacen(from, to, 1)), Reason::OutOfRange, "{to}");
    }
    let long = FULL[1].1.replace("yard", &"y".repeat(129));
    assert_eq!(refused(EVENT, &long), Reason::OutOfRange);
    let claims = vec!["\"a/1699999980000/4\""; EVENT_CLAIMS_MAX + 1].join(",");
    let many = FULL[1].1.replace("\"a/1699999980000/4\"", &claims);
    assert_eq!(refused(EVENT, &many), Reason::OutOfRange);
    let long = FULL[5].1.replace("Trespassing expected.", &"t".repeat(ALERT_TEXT_MAX + 1));
    assert_eq!(refused(ALERT, &long), Reason::OutOfRange);
    let names = (0..11).map(|i| format!("\"c{i}\"")).collect::<Vec<_>>().join(",");
    let many =
        FULL[3].1.replace("[\"a\",\"b\"]", &format!("[{names}]")).replace("firming\":2", "firming\":11");
    assert_eq!(refused(CONSENSUS, &many), Reason::OutOfRange);
    let twice = FULL[3].1.replace("\"c\":0.0", "\"a\":0.0");
    assert_eq!(refused(CONSENSUS, &twice), Reason::DuplicateKey);
    assert_eq!(refused(TRACK, &FULL[0].1.replacen('{', "{\"seq\":1,", 1)), Reason::DuplicateKey);
}

#[test]
fn a_count_that_lies_is_refused() {
    for said in ["0", "2", "4", "9007199254740991"] {
        let lie = FULL[2].1.replace("\"num_weights\":3", &format!("\"num_weights\":{said}"));
        assert_eq!(refused(WEIGHTS, &lie), Reason::CountMismatch);
    }
    for said in ["0", "1", "3", "10"] {
        let lie = FULL[3].1.replace("\"num_confirming\":2", &format!("\"num_confirming\":{said}"));
        assert_eq!(refused(CONSENSUS, &lie), Reason::CountMismatch);
    }
}

#[test]
fn another_identity_than_the_topics_is_refused() {
    let p = "omnisight/swarm/";
    for (topic, json) in [
        (format!("{p}tracks/gate-3/41"), FULL[0].1),
        (format!("{p}tracks/gate-2/42"), FULL[0].1),
        (format!("{p}events/gate-3/9"), FULL[1].1),
        (format!("{p}events/gate-2/8"), FULL[1].1),
        (format!("{p}models/gate-3/weights"), FULL[2].1),
        (format!("{p}consensus/8"), FULL[3].1),
        (format!("{p}status/gate-3"), FULL[4].1),
        (format!("{p}alerts/gate-3/9"), FULL[5].1),
        (format!("{p}alerts/gate-2/8"), FULL[5].1),
        // The topic is that of the key, not of the publisher.
        (format!("{p}alerts/a/9"), FULL[5].1),
    ] {
        assert_eq!(refused(&topic, json), Reason::IdentityMismatch, "{topic}");
    }
    for (n, topic) in [(1, EVENT), (3, CONSENSUS)] {
        let other_camera = FULL[n].1.replace("\"gate-2/1699999990000/9\"", "\"gate-3/1699999990000/9\"");
        let other_event = FULL[n].1.replace("\"gate-2/1699999990000/9\"", "\"gate-2/1699999990000/8\"");
        assert_eq!(refused(topic, &other_camera), Reason::IdentityMismatch);
        assert_eq!(refused(topic, &other_event), Reason::IdentityMismatch);
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    for (topic, json) in FULL {
        for bad in ["", " ", "{", "x", "{\"camera_id\"", &json[..json.len() - 1], &format!("{json}{json}")] {
            assert_eq!(refused(topic, bad), Reason::NotJson, "{bad}");
        }
        assert_eq!(refused(topic, "{}"), Reason::MissingKey);
        for bad in ["[]", "[1,2,3]", "1", "\"text\"", "null", "true"] {
            assert_eq!(refused(topic, bad), Reason::WrongType, "{bad}");
        }
        let mut cut = json.replace("gate-2", "gäte").into_bytes();
        let umlaut = cut.iter().position(|b| *b == 0xC3).unwrap();
        cut.remove(umlaut + 1);
        assert_eq!(decode(topic, &cut).unwrap_err().reason(), Reason::NotUtf8);
        assert_eq!(decode(topic, &cut[..=umlaut]).unwrap_err().reason(), Reason::NotUtf8);
    }
}

#[test]
fn ten_megabytes_are_refused_before_they_are_parsed() {
    for (topic, _) in FULL {
        // Not JSON at all: any look into it would give another reason.
        assert_eq!(decode(topic, &vec![b'x'; 10 << 20]).unwrap_err().reason(), Reason::TooLarge);
    }
    let weights = "0.1,".repeat(WEIGHTS_MAX + 1);
    let many =
        FULL[2].1.replace("0.1,", &weights).replace(":3,\"time", &format!(":{},\"time", WEIGHTS_MAX + 3));
    assert_eq!(refused(WEIGHTS, &many), Reason::OutOfRange);
}

#[test]
fn the_longest_weights_fit_the_packets_that_link_and_broker_take_by_default() {
    let Message::Weights(mut m) = decode(WEIGHTS, FULL[2].1.as_bytes()).unwrap() else { panic!() };
    m.weights = List::cut(std::iter::repeat_n(Weight(-1.234_567_9e-12), WEIGHTS_MAX));
    m.num_weights = Count(WEIGHTS_MAX as u64);
    let text = encoded(&*m);
    assert!(text.len() > 14 * WEIGHTS_MAX && text.len() <= WEIGHTS_BYTES_MAX, "{}", text.len());
    assert_eq!(decode(WEIGHTS, text.as_bytes()).unwrap(), Message::Weights(m));
    // The topic, its level of 63 characters and the properties.
    let packet = WEIGHTS_BYTES_MAX + 1024;
    assert!(packet <= omnisight::link::Options::default().max_packet_bytes);
    #[cfg(feature = "broker")]
    assert!(packet <= omnisight::broker::Options::default().max_packet_bytes);
}

#[test]
fn ten_thousand_levels_of_nesting_are_refused_or_skipped() {
    for (topic, json) in FULL {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let (open, close) = (open.repeat(10_000), close.repeat(10_000));
            let deep = format!("{open}1{close}");
            let alone = decode(topic, deep.as_bytes()).unwrap_err().reason();
            assert!(matches!(alone, Reason::WrongType | Reason::MissingKey), "{alone:?}");
            assert_eq!(refused(topic, &json.replacen(':', &format!(":{deep},\"b\":"), 1)), Reason::WrongType);
            let unknown = json.replacen('{', &format!("{{\"new\":{deep},"), 1);
            assert!(decode(topic, unknown.as_bytes()).is_ok());
        }
    }
}

#[test]
fn an_error_names_topic_key_and_position() {
    let error = decode(TRACK, FULL[0].1.replace("12.5", "\"12.5\"").as_bytes()).unwrap_err();
    assert_eq!((error.reason(), error.key()), (Reason::WrongType, "global_position.y"));
    let text = error.to_string();
    for part in [TRACK, "global_position.y", "wrong_type", "column"] {
        assert!(text.contains(part), "{text}");
    }
    let error = decode(WEIGHTS, FULL[2].1.replace("-1.0", "null").as_bytes()).unwrap_err();
    assert_eq!(error.key(), "weights[1]");
    let error = decode(STATUS, FULL[4].1.replace("120", "-1").as_bytes()).unwrap_err();
    assert_eq!((error.reason(), error.key()), (Reason::OutOfRange, "counters.frames"));
    let long = format!("\"{}\"", "ü".repeat(5_000));
    let error = decode(TRACK, FULL[0].1.replace("41,", &format!("{long},")).as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 1_000);
}

#[test]
fn what_breaks_the_contract_is_not_encoded() {
    let Ok(Message::Track(good)) = decode(TRACK, FULL[0].1.as_bytes()) else { panic!() };
    let mut buffer = Vec::new();
    for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        let place = Position { x: Real(v), ..good.global_position };
        assert!(
            codec::encode(&TrackMessage { global_position: place, ..good.clone() }, &mut buffer).is_err()
        );
        let cov = Some(Reals([0.0, v, 0.0]));
        assert!(codec::encode(&TrackMessage { cov, ..good.clone() }, &mut buffer).is_err());
        assert!(
            codec::encode(&TrackMessage { threat_score: Fraction(v), ..good.clone() }, &mut buffer).is_err()
        );
    }
    assert!(
        codec::encode(&TrackMessage { confidence: Fraction(-0.1), ..good.clone() }, &mut buffer).is_err()
    );
    assert!(codec::encode(&TrackMessage { track_id: Id(0), ..good.clone() }, &mut buffer).is_err());
    let Ok(Message::Weights(mut m)) = decode(WEIGHTS, FULL[2].1.as_bytes()) else { panic!() };
    m.weights = List::cut([Weight(f32::NAN)]);
    let error = codec::encode(&*m, &mut buffer).unwrap_err();
    assert!(error.to_string().contains("weights"), "{error}");
    let Ok(Message::Consensus(mut m)) = decode(CONSENSUS, FULL[3].1.as_bytes()) else { panic!() };
    m.outcome = Some(EventState::Predicted);
    assert!(codec::encode(&*m, &mut buffer).is_err() && codec::encode_msgpack(&*m, &mut buffer).is_err());
    let Ok(Message::Alert(mut m)) = decode(ALERT, FULL[5].1.as_bytes()) else { panic!() };
    m.updated = Utc(MILLIS_MAX + 1);
    assert!(codec::encode(&*m, &mut buffer).is_err());
}
