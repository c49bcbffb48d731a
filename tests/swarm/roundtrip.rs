//! Any message that holds the contract: its bytes, token by token, and back.

use omnisight::model::{Behaviors, CameraId, Class, EventState, EventType, Severity};
use omnisight::swarm::bounded::{List, Map, Object, Reals, Text};
use omnisight::swarm::codec::Encode;
use omnisight::swarm::message::{
    AlertMessage, AlertState, ClockStatus, ConsensusMessage, EventKey, EventMessage, GroundKind,
    Intervention, Message, ModelName, Name, Position, Presence, Rule, StatusMessage, TrackMessage, Velocity,
    Verdict, WeightsMessage,
};
use omnisight::swarm::wire::{COUNT_MAX, Count, Fraction, Id, MILLIS_MAX, Millis, Offset, Real, Utc, Weight};
use proptest::prelude::*;
use serde_json::Value;

use crate::fixtures::{FULL, decode, encoded, encoded_again};
use crate::msgpack::{packed, unpacked};

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

fn key() -> impl Strategy<Value = EventKey> {
    (camera(), 0..=MILLIS_MAX, 1..=u32::MAX).prop_map(|(camera, boot_ms, event_id)| EventKey {
        camera,
        boot_ms,
        event_id,
    })
}

fn severity() -> impl Strategy<Value = Severity> {
    proptest::sample::select(vec![
        Severity::None,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ])
}

fn rule() -> impl Strategy<Value = Rule> {
    let values = || proptest::collection::btree_map(name(), real(), 0..4).prop_map(Map::cut);
    (name(), values(), values()).prop_map(|(name, thresholds, measured)| Rule { name, thresholds, measured })
}

fn event() -> impl Strategy<Value = EventMessage> {
    let states = vec![
        EventState::Predicted,
        EventState::Occurred,
        EventState::Confirmed,
        EventState::Retracted,
        EventState::Expired,
    ];
    let step = (0..8u64, millis(), fraction())
        .prop_map(|(kind, at, effectiveness)| Object(Intervention { kind: Count(kind), at, effectiveness }));
    let head =
        (camera(), id(), proptest::sample::select(EventType::ALL.to_vec()), position(), id(), fraction());
    let middle = (severity(), millis(), millis(), maybe(0..=MILLIS_MAX));
    let tail = (
        maybe(proptest::sample::select(states)),
        maybe(name()),
        list(id()),
        maybe(rule()),
        list(step),
        list(key()),
    );
    (head, middle, tail).prop_map(
        |(
            (camera_id, event_id, event_type, position, track_id, probability),
            (severity, predicted_time, timestamp, boot),
            (state, zone, tracks, rule, interventions, claims),
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
            claims,
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
    let outcomes = vec![EventState::Confirmed, EventState::Retracted, EventState::Expired];
    let outcome = proptest::sample::select(outcomes);
    let tail = (
        maybe(camera()),
        maybe(0..=MILLIS_MAX),
        maybe(verdict),
        maybe(votes),
        maybe(name()),
        maybe(outcome),
        maybe(any::<bool>()),
    );
    (id(), camera(), list(camera()), fraction(), millis(), tail).prop_map(
        |(event_id, initiating_camera, confirming_cameras, aggregated_confidence, timestamp, tail)| {
            let (camera_id, boot, verdict, votes, reason, outcome, occurred) = tail;
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
                reason,
                outcome,
                occurred,
            }
        },
    )
}

fn alert() -> impl Strategy<Value = AlertMessage> {
    let utc = || (0..=MILLIS_MAX).prop_map(Utc);
    let kind = proptest::sample::select(EventType::ALL.to_vec());
    let state = proptest::sample::select(AlertState::ALL.to_vec());
    let head = (key(), maybe(name()), kind, severity(), state, fraction());
    let middle = (maybe(utc()), utc(), utc(), position(), maybe(name()), class(), maybe(count()));
    let tail = (count(), count(), maybe(rule()), any::<String>().prop_map(|text| Text::cut(&text)), camera());
    (head, middle, tail).prop_map(
        |(
            (key, site, kind, severity, state, probability),
            (expected, first, updated, position, zone, class, global_id),
            (cameras_asked, cameras_confirming, rule, text, published_by),
        )| AlertMessage {
            key,
            site,
            kind,
            event_type: kind,
            severity,
            severity_word: severity,
            state,
            probability,
            expected,
            first,
            updated,
            position,
            zone,
            class,
            global_id,
            cameras_asked,
            cameras_confirming,
            rule,
            text,
            published_by,
        },
    )
}

fn status() -> impl Strategy<Value = StatusMessage> {
    let corner = (real(), real()).prop_map(|(x, y)| Reals([x.0, y.0]));
    let heard = proptest::collection::btree_map(camera(), [millis(), millis()], 0..4).prop_map(Map::cut);
    let offset = any::<i64>().prop_map(Offset::cut);
    let off = proptest::collection::btree_map(camera(), offset, 0..4).prop_map(Map::cut);
    let clock = (real(), maybe(real()), name(), maybe(heard), maybe(off)).prop_map(
        |(offset_ms, error_ms, source, heard, off)| ClockStatus { offset_ms, error_ms, source, heard, off },
    );
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
            timestamp: Some(timestamp),
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
    // The other encoding says the same, but for what single precision can't tell apart.
    if let Some(bytes) = packed(&back) {
        let packed_back = unpacked(&topic, &bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(packed(&packed_back), Some(bytes));
    }
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
    fn an_alert_goes_round(m in alert()) {
        goes_round(&m, &format!("alerts/{}/{}", m.key.camera, m.key.event_id))?;
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (topic, _) in FULL {
            prop_assert!(decode(topic, &bytes).is_err());
            prop_assert!(unpacked(topic, &bytes).is_err());
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
