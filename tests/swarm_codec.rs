//! The swarm's messages as bytes: what leaves holds the contract to the letter, what comes is read
//! liberally and never believed.

use omnisight::model::{Behaviors, CameraId, Class, EventState, EventType, Severity};
use omnisight::swarm::bounded::{List, Map, Object, Reals, Text};
use omnisight::swarm::codec::{self, DecodeError, Encode, Reason};
use omnisight::swarm::message::{
    ClockStatus, ConsensusMessage, EventKey, EventMessage, GroundKind, Intervention, Message, ModelName,
    Name, Position, Presence, Rule, StatusMessage, TrackMessage, Velocity, Verdict, WeightsMessage,
};
use omnisight::swarm::topic::Prefix;
use omnisight::swarm::wire::{COUNT_MAX, Count, Fraction, Id, MILLIS_MAX, Millis, Real, Weight};
use proptest::prelude::*;
use serde_json::Value;

const TRACK: &str = "omnisight/swarm/tracks/gate-2/41";
const EVENT: &str = "omnisight/swarm/events/gate-2/9";
const WEIGHTS: &str = "omnisight/swarm/models/gate-2/weights";
const CONSENSUS: &str = "omnisight/swarm/consensus/9";
const STATUS: &str = "omnisight/swarm/status/gate-2";

/// One message of each family with every key of the contract.
const FULL: [(&str, &str); 5] = [
    (
        TRACK,
        r#"{"camera_id":"gate-2","track_id":41,"global_position":{"x":-3.25,"y":12.5,"z":0.0},"velocity":{"x":1.0,"y":-0.5},"class":"person","confidence":0.875,"timestamp":1700000000123,"behaviors":9,"threat_score":0.25,"seq":7,"cov":[0.04,0.001,0.09],"global_id":4294967300,"ended":true}"#,
    ),
    (
        EVENT,
        r#"{"camera_id":"gate-2","event_id":9,"event_type":5,"position":{"x":1.5,"y":2.0,"z":0.0},"track_id":41,"probability":0.75,"severity":3,"predicted_time":1700000004000,"timestamp":1700000000123,"key":"gate-2/1699999990000/9","state":"predicted","zone":"yard","tracks":[41,42],"rule":{"name":"trespassing","thresholds":{"probability":0.5},"measured":{"entry_s":4.0}},"interventions":[{"type":2,"at":1700000001000,"effectiveness":0.5}]}"#,
    ),
    (
        WEIGHTS,
        r#"{"camera_id":"gate-2","version":3,"num_weights":3,"timestamp":1700000000123,"weights":[0.1,-1.0,3e-10],"num_samples":120,"model":{"name":"gait","shape":[1,3]},"base_version":2}"#,
    ),
    (
        CONSENSUS,
        r#"{"event_id":9,"initiating_camera":"gate-2","num_confirming":2,"confirming_cameras":["a","b"],"aggregated_confidence":0.9,"timestamp":1700000000123,"camera_id":"a","key":"gate-2/1699999990000/9","verdict":"confirm","votes":{"a":0.9,"c":0.0}}"#,
    ),
    (
        STATUS,
        r#"{"camera_id":"gate-2","state":"online","version":"0.1.0","boot":1699999990000,"timestamp":1700000000123,"encodings":["json"],"ground":"calibrated","footprint":[[0.0,0.0],[8.0,0.0],[8.0,6.5]],"clock":{"offset_ms":0.0,"error_ms":12.5,"source":"ntp"},"modes":["no_frames"],"counters":{"frames":120},"public_key":"c2lnbmVk"}"#,
    ),
];

/// The same families as the reference system writes them: single precision, its own keys alone.
const REFERENCE: [(&str, &str); 4] = [
    (
        "omnisight/swarm/tracks/CAM-B/5",
        r#"{"camera_id":"CAM-B","track_id":5,"global_position":{"x":-7.4000000953674316,"y":1.2999999523162842,"z":0.0},"velocity":{"x":0.30000001192092896,"y":0.0},"class":"vehicle","confidence":0.6000000238418579,"timestamp":1736204567890,"behaviors":3,"threat_score":1.0}"#,
    ),
    (
        "omnisight/swarm/events/CAM-B/12",
        r#"{"camera_id":"CAM-B","event_id":12,"event_type":7,"position":{"x":4.0999999046325684,"y":0.5,"z":0.0},"track_id":5,"probability":0.69999998807907104,"severity":2,"predicted_time":1736204569890,"timestamp":1736204567890}"#,
    ),
    (
        "omnisight/swarm/models/CAM-B/weights",
        r#"{"camera_id":"CAM-B","version":1,"num_weights":4,"timestamp":1736204567890,"weights":[0.0,-0.25,0.10000000149011612,2.0]}"#,
    ),
    (
        "omnisight/swarm/consensus/12",
        r#"{"event_id":12,"initiating_camera":"CAM-B","num_confirming":1,"confirming_cameras":["CAM-C"],"aggregated_confidence":0.69999998807907104,"timestamp":1736204567890}"#,
    ),
];

fn decode(topic: &str, payload: &[u8]) -> Result<Message, DecodeError> {
    let at = Prefix::default().parse_topic(topic).expect("a topic of the swarm");
    codec::decode(topic, at, payload)
}

fn refused(topic: &str, payload: &str) -> Reason {
    decode(topic, payload.as_bytes()).expect_err(payload).reason_code()
}

fn encoded<M: Encode>(message: &M) -> String {
    let mut buffer = Vec::new();
    codec::encode(message, &mut buffer).expect("holds the contract");
    String::from_utf8(buffer).unwrap()
}

fn encoded_again(message: &Message) -> String {
    match message {
        Message::Track(m) => encoded(m),
        Message::Event(m) => encoded(&**m),
        Message::Weights(m) => encoded(&**m),
        Message::Consensus(m) => encoded(&**m),
        Message::Status(m) => encoded(&**m),
    }
}

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
            Message::Status(_) => panic!("the reference system has no presence"),
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
                STATUS => key != "state" && extra.contains(&key.as_str()),
                _ => extra.contains(&key.as_str()),
            };
            let mut message = full.clone();
            message.as_object_mut().unwrap().remove(key);
            let result = decode(topic, message.to_string().as_bytes()).map_err(|e| e.reason_code());
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
        (4, "\"online\"", "\"asleep\""),
        (4, "\"calibrated\"", "\"measured\""),
    ] {
        let (topic, json) = FULL[n];
        assert!(json.contains(from), "{from}");
        assert_eq!(refused(topic, &json.replacen(from, to, 1)), Reason::OutOfRange, "{to}");
    }
    let long = FULL[1].1.replace("yard", &"y".repeat(129));
    assert_eq!(refused(EVENT, &long), Reason::OutOfRange);
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
        assert_eq!(decode(topic, &cut).unwrap_err().reason_code(), Reason::NotUtf8);
        assert_eq!(decode(topic, &cut[..=umlaut]).unwrap_err().reason_code(), Reason::NotUtf8);
    }
}

#[test]
fn ten_megabytes_are_refused_before_they_are_parsed() {
    for (topic, _) in FULL {
        // Not JSON at all: any look into it would give another reason.
        assert_eq!(decode(topic, &vec![b'x'; 10 << 20]).unwrap_err().reason_code(), Reason::TooLarge);
    }
    let weights = "0.1,".repeat(250_001);
    let many = FULL[2].1.replace("0.1,", &weights).replace(":3,\"time", ":250003,\"time");
    assert_eq!(refused(WEIGHTS, &many), Reason::OutOfRange);
}

#[test]
fn ten_thousand_levels_of_nesting_are_refused_or_skipped() {
    for (topic, json) in FULL {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let (open, close) = (open.repeat(10_000), close.repeat(10_000));
            let deep = format!("{open}1{close}");
            let alone = decode(topic, deep.as_bytes()).unwrap_err().reason_code();
            assert!(matches!(alone, Reason::WrongType | Reason::MissingKey), "{alone:?}");
            assert_eq!(refused(topic, &json.replacen(":", &format!(":{deep},\"b\":"), 1)), Reason::WrongType);
            let unknown = json.replacen('{', &format!("{{\"new\":{deep},"), 1);
            assert!(decode(topic, unknown.as_bytes()).is_ok());
        }
    }
}

#[test]
fn an_error_names_topic_key_and_position() {
    let error = decode(TRACK, FULL[0].1.replace("12.5", "\"12.5\"").as_bytes()).unwrap_err();
    assert_eq!((error.reason(), error.key()), ("wrong_type", "global_position.y"));
    let text = error.to_string();
    for part in [TRACK, "global_position.y", "wrong_type", "column"] {
        assert!(text.contains(part), "{text}");
    }
    let error = decode(WEIGHTS, FULL[2].1.replace("-1.0", "null").as_bytes()).unwrap_err();
    assert_eq!(error.key(), "weights[1]");
    let error = decode(STATUS, FULL[4].1.replace("120", "-1").as_bytes()).unwrap_err();
    assert_eq!((error.reason(), error.key()), ("out_of_range", "counters.frames"));
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
}

// What leaves, token by token.

/// Each number token of a JSON text with the keys above it.
fn numbers(json: &str) -> Vec<(Vec<String>, String)> {
    let bytes = json.as_bytes();
    let (mut found, mut keys, mut key, mut i) = (Vec::new(), Vec::new(), String::new(), 0);
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                let start = i + 1;
                i = start;
                while bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                if bytes.get(i + 1) == Some(&b':') {
                    json[start..i].clone_into(&mut key);
                }
            }
            b'{' => keys.push(std::mem::take(&mut key)),
            b'}' => key = keys.pop().unwrap(),
            b'-' | b'0'..=b'9' => {
                let start = i;
                while matches!(bytes[i], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    i += 1;
                }
                let path = keys.iter().cloned().chain([key.clone()]).filter(|k| !k.is_empty()).collect();
                found.push((path, json[start..i].to_owned()));
                i -= 1;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

fn is_real(path: &[String]) -> bool {
    const REAL: [&str; 13] = [
        "x",
        "y",
        "z",
        "confidence",
        "threat_score",
        "cov",
        "probability",
        "effectiveness",
        "weights",
        "aggregated_confidence",
        "footprint",
        "offset_ms",
        "error_ms",
    ];
    let inside = path.first().map(String::as_str);
    match (inside, path.get(1).map(String::as_str)) {
        (Some("votes"), _) | (Some("rule"), Some("thresholds" | "measured")) => true,
        (Some("counters"), _) => false,
        _ => path.last().is_some_and(|key| REAL.contains(&key.as_str())),
    }
}

fn holds_the_number_rule(json: &str) -> Result<usize, TestCaseError> {
    let found = numbers(json);
    for (path, token) in &found {
        prop_assert_eq!(token.contains(['.', 'e', 'E']), is_real(path), "{:?} {} in {}", path, token, json);
        let decimals = token.split_once('.').map_or(0, |(_, d)| d.len());
        prop_assert!(decimals <= 3 || path[0] == "weights" || token.contains('e'), "{:?} {}", path, token);
    }
    Ok(found.len())
}

#[test]
fn the_token_walker_finds_every_number() {
    let count = |v: &Value| {
        fn count(v: &Value) -> usize {
            match v {
                Value::Number(_) => 1,
                Value::Array(a) => a.iter().map(count).sum(),
                Value::Object(o) => o.values().map(count).sum(),
                _ => 0,
            }
        }
        count(v)
    };
    for (_, json) in FULL {
        assert_eq!(holds_the_number_rule(json).unwrap(), count(&serde_json::from_str(json).unwrap()));
    }
    assert!(holds_the_number_rule(r#"{"track_id":1.0}"#).is_err());
    assert!(holds_the_number_rule(r#"{"position":{"x":1}}"#).is_err());
}

fn camera() -> impl Strategy<Value = CameraId> {
    "[A-Za-z0-9_.-]{0,60}[A-Z0-9]".prop_map(|s| CameraId::parse(&s).unwrap())
}

fn real() -> impl Strategy<Value = Real> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(-0.0004),
        -100.0..100.0f64,
        -1e9..=1e9f64,
        (-1000i32..1000).prop_map(f64::from)
    ]
    .prop_map(Real)
}

fn fraction() -> impl Strategy<Value = Fraction> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0f64].prop_map(Fraction)
}

fn name() -> impl Strategy<Value = Name> {
    // Quotes, controls and other scripts included.
    any::<String>().prop_map(|s| Name::cut(&s))
}

fn millis() -> impl Strategy<Value = Millis> {
    (0..=MILLIS_MAX).prop_map(Millis)
}

fn count() -> impl Strategy<Value = Count> {
    (0..=COUNT_MAX).prop_map(Count)
}

fn id() -> impl Strategy<Value = Id> {
    (1..=u32::MAX).prop_map(Id)
}

fn maybe<T: std::fmt::Debug + Clone + 'static>(
    s: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(s)
}

fn list<T: std::fmt::Debug, const MAX: usize>(
    s: impl Strategy<Value = T>,
) -> impl Strategy<Value = List<T, MAX>> {
    proptest::collection::vec(s, 0..12).prop_map(List::cut)
}

fn position() -> impl Strategy<Value = Position> {
    (real(), real(), real()).prop_map(|(x, y, z)| Position { x, y, z })
}

fn class() -> impl Strategy<Value = Class> {
    proptest::sample::select(vec![
        Class::Person,
        Class::Vehicle,
        Class::Face,
        Class::Package,
        Class::Animal,
        Class::Unknown,
    ])
}

fn track() -> impl Strategy<Value = TrackMessage> {
    let head = (camera(), id(), position(), (real(), real()), class(), fraction(), millis());
    let tail = (
        0u32..64,
        fraction(),
        maybe(count()),
        maybe((real(), real(), real()).prop_map(|(a, b, c)| Reals([a.0, b.0, c.0]))),
        maybe(count()),
        any::<bool>(),
    );
    (head, tail).prop_map(
        |(
            (camera_id, track_id, global_position, (x, y), class, confidence, timestamp),
            (bits, threat_score, seq, cov, global_id, ended),
        )| TrackMessage {
            camera_id,
            track_id,
            global_position,
            velocity: Velocity { x, y },
            class,
            confidence,
            timestamp,
            behaviors: Behaviors::from_bits_truncate(bits),
            threat_score,
            seq,
            cov,
            global_id,
            ended,
        },
    )
}

fn event() -> impl Strategy<Value = EventMessage> {
    let states = vec![
        EventState::Predicted,
        EventState::Occurred,
        EventState::Confirmed,
        EventState::Retracted,
        EventState::Expired,
    ];
    let severities =
        vec![Severity::None, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let values = || proptest::collection::btree_map(name(), real(), 0..4).prop_map(Map::cut);
    let rule = (name(), values(), values()).prop_map(|(name, thresholds, measured)| Rule {
        name,
        thresholds,
        measured,
    });
    let step = (0..8u64, millis(), fraction())
        .prop_map(|(kind, at, effectiveness)| Object(Intervention { kind: Count(kind), at, effectiveness }));
    let head =
        (camera(), id(), proptest::sample::select(EventType::ALL.to_vec()), position(), id(), fraction());
    let middle = (proptest::sample::select(severities), millis(), millis(), maybe(0..=MILLIS_MAX));
    let tail = (maybe(proptest::sample::select(states)), maybe(name()), list(id()), maybe(rule), list(step));
    (head, middle, tail).prop_map(
        |(
            (camera_id, event_id, event_type, position, track_id, probability),
            (severity, predicted_time, timestamp, boot),
            (state, zone, tracks, rule, interventions),
        )| EventMessage {
            key: boot.map(|boot_ms| EventKey { camera: camera_id.clone(), boot_ms, event_id: event_id.0 }),
            camera_id,
            event_id,
            event_type,
            position,
            track_id,
            probability,
            severity,
            predicted_time,
            timestamp,
            state,
            zone,
            tracks,
            rule,
            interventions,
        },
    )
}

fn weights() -> impl Strategy<Value = WeightsMessage> {
    let weight = prop_oneof![
        Just(0.0),
        Just(1.0),
        Just(f32::MIN_POSITIVE),
        Just(f32::MAX),
        -1.0..1.0f32,
        any::<f32>().prop_filter("finite", |w| w.is_finite())
    ]
    .prop_map(Weight);
    let model = (name(), list(count())).prop_map(|(name, shape)| ModelName { name, shape });
    (camera(), count(), millis(), list(weight), maybe(count()), maybe(model), maybe(count())).prop_map(
        |(camera_id, version, timestamp, weights, num_samples, model, base_version)| WeightsMessage {
            camera_id,
            version,
            num_weights: Count(weights.len() as u64),
            timestamp,
            weights,
            num_samples,
            model,
            base_version,
        },
    )
}

fn consensus() -> impl Strategy<Value = ConsensusMessage> {
    let votes = proptest::collection::btree_map(camera(), fraction(), 0..6).prop_map(Map::cut);
    let verdict = proptest::sample::select(vec![Verdict::Confirm, Verdict::Deny]);
    let tail = (maybe(camera()), maybe(0..=MILLIS_MAX), maybe(verdict), maybe(votes));
    (id(), camera(), list(camera()), fraction(), millis(), tail).prop_map(
        |(event_id, initiating_camera, confirming_cameras, aggregated_confidence, timestamp, tail)| {
            let (camera_id, boot, verdict, votes) = tail;
            let camera = initiating_camera.clone();
            ConsensusMessage {
                event_id,
                initiating_camera,
                num_confirming: Count(confirming_cameras.len() as u64),
                confirming_cameras,
                aggregated_confidence,
                timestamp,
                camera_id,
                key: boot.map(|boot_ms| EventKey { camera, boot_ms, event_id: event_id.0 }),
                verdict,
                votes,
            }
        },
    )
}

fn status() -> impl Strategy<Value = StatusMessage> {
    let corner = (real(), real()).prop_map(|(x, y)| Reals([x.0, y.0]));
    let clock = (real(), maybe(real()), name()).prop_map(|(offset_ms, error_ms, source)| ClockStatus {
        offset_ms,
        error_ms,
        source,
    });
    let counters = proptest::collection::btree_map(name(), count(), 0..6).prop_map(Map::cut);
    let kinds = vec![GroundKind::Calibrated, GroundKind::Nominal];
    let head = (camera(), any::<bool>(), name(), millis(), millis(), list(name()));
    let tail = (
        maybe(proptest::sample::select(kinds)),
        maybe(list(corner)),
        maybe(clock),
        maybe(list(name())),
        maybe(counters),
        maybe(any::<String>().prop_map(|s| Text::cut(&s))),
    );
    (head, tail).prop_map(
        |(
            (camera_id, online, version, boot, timestamp, encodings),
            (ground, footprint, clock, modes, counters, public_key),
        )| StatusMessage {
            camera_id,
            state: if online { Presence::Online } else { Presence::Offline },
            version,
            boot,
            timestamp,
            encodings,
            ground,
            footprint,
            clock,
            modes,
            counters,
            public_key,
        },
    )
}

/// Encodes, holds the number rule, decodes, and encodes to the same bytes again.
fn goes_round<M: Encode>(message: &M, below: &str) -> Result<Message, TestCaseError> {
    let json = encoded(message);
    holds_the_number_rule(&json)?;
    let topic = format!("omnisight/swarm/{below}");
    let back = decode(&topic, json.as_bytes()).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(encoded_again(&back), json);
    Ok(back)
}

proptest! {
    #[test]
    fn a_track_goes_round_within_half_a_millimetre(m in track()) {
        let back = goes_round(&m, &format!("tracks/{}/{}", m.camera_id, m.track_id.0))?;
        let Message::Track(back) = back else { panic!() };
        prop_assert!((back.global_position.x.0 - m.global_position.x.0).abs() <= 0.000_501);
        prop_assert!((back.confidence.0 - m.confidence.0).abs() <= 0.000_501);
        prop_assert_eq!((back.behaviors, back.seq, back.timestamp), (m.behaviors, m.seq, m.timestamp));
    }

    #[test]
    fn an_event_goes_round(m in event()) {
        goes_round(&m, &format!("events/{}/{}", m.camera_id, m.event_id.0))?;
    }

    #[test]
    fn weights_go_round_to_the_bit(m in weights()) {
        let back = goes_round(&m, &format!("models/{}/weights", m.camera_id))?;
        prop_assert_eq!(back, Message::Weights(Box::new(m)));
    }

    #[test]
    fn a_vote_goes_round(m in consensus()) {
        goes_round(&m, &format!("consensus/{}", m.event_id.0))?;
    }

    #[test]
    fn presence_goes_round(m in status()) {
        goes_round(&m, &format!("status/{}", m.camera_id))?;
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (topic, _) in FULL {
            prop_assert!(decode(topic, &bytes).is_err());
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_never_panics(n in 0..FULL.len(), at in any::<proptest::sample::Index>(), byte: u8) {
        let (topic, json) = FULL[n];
        let mut bytes = json.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // Either is fine: a digit may become another one.
        let _ = decode(topic, &bytes);
        let _ = decode(topic, &bytes[..at]);
    }
}
