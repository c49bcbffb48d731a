//! Each rule's event from the scene to the message: predicted and then occurred, predicted and then
//! retracted, through the prediction's and the swarm's engines with their defaults.

use omnisight::base::CountingIds;
use omnisight::model::{Behavior, Behaviors, MessageClass, Point, Polygon, SceneTrack, Zone, ZoneKind};
use omnisight::predict;
use omnisight::swarm::Input;
use serde_json::Value;

use crate::scenes::{START_MS, at, engine, handle, json, seen, sent};

const FPS: u64 = 10;
const LOITERING: u64 = 1;
const TRESPASSING: u64 = 5;
const COLLISION: u64 = 7;

/// The keys that the contract asks of every event, and ours.
const KEYS: [&str; 14] = [
    "camera_id",
    "event_id",
    "event_type",
    "position",
    "track_id",
    "probability",
    "severity",
    "predicted_time",
    "timestamp",
    "key",
    "state",
    "tracks",
    "rule",
    "zone",
];

/// A forbidden yard from x = 20 on, and all around it a place that is only called so.
fn zones() -> Vec<Zone> {
    let zone = |name: &str, kind, (x0, y0): (f64, f64), (x1, y1): (f64, f64)| {
        let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)].map(|(x, y)| Point::new(x, y));
        let border_m = Polygon::new(corners.to_vec()).unwrap();
        Zone { name: name.to_owned(), kind, classes: Zone::CLASSES.to_vec(), dwell_s: None, border_m }
    };
    vec![
        zone("yard", ZoneKind::Forbidden, (20.0, -10.0), (30.0, 10.0)),
        zone("street", ZoneKind::Area, (-50.0, -50.0), (50.0, 50.0)),
    ]
}

fn person(id: u32, position: (f64, f64)) -> SceneTrack {
    let mut track = seen(id, 0.0, true);
    track.behavior = Behavior::default();
    if let Some(ground) = &mut track.ground {
        ground.position = Point::new(position.0, position.1);
        ground.velocity = Point::default();
        ground.cov = nalgebra::SMatrix::identity() * 0.01;
    }
    track
}

/// Plays a scene for some seconds; the event messages that leave, all of one kind and with every key. What the
/// site makes of them (confirmed, expired) is another matter.
fn messages(kind: u64, seconds: u64, scene: impl Fn(f64) -> Vec<SceneTrack>) -> Vec<Value> {
    let mut predictor = predict::Engine::new(predict::Options::default(), zones());
    let mut camera = engine("a");
    let (mut ids, mut transitions, mut messages) = (CountingIds::default(), Vec::new(), Vec::new());
    for frame in 0..=seconds * FPS {
        let ms = frame * 1_000 / FPS;
        predictor.step(&mut scene(ms as f64 / 1_000.0), &[], at(ms), &mut ids, &mut transitions);
        for transition in transitions.drain(..) {
            let actions = handle(&mut camera, Input::Transition(&transition), ms);
            let events = sent(&actions).into_iter().filter(|e| e.class == MessageClass::Event);
            for message in
                events.map(json).filter(|m| !["confirmed", "expired"].contains(&m["state"].as_str().unwrap()))
            {
                let id = &message["event_id"];
                assert!(id.as_u64() > Some(0), "{message}");
                assert_eq!(message["event_type"], kind, "{message}");
                let missing = KEYS.iter().find(|key| message.get(**key).is_none());
                assert_eq!(missing, None, "{message}");
                assert_eq!(message["timestamp"], START_MS + ms);
                messages.push(message);
            }
        }
    }
    messages
}

/// The states in their order without repetition; all must be of one event, and published.
fn told(messages: &[Value]) -> Vec<&str> {
    assert!(messages.iter().all(|m| m["key"] == messages[0]["key"]), "{messages:#?}");
    assert!(messages.iter().all(|m| m["severity"].as_u64() >= Some(2)), "{messages:#?}");
    let mut states: Vec<_> = messages.iter().map(|m| m["state"].as_str().unwrap()).collect();
    states.dedup();
    states
}

/// Every prediction that left did so before what it predicts: at least so many seconds.
fn assert_ahead(messages: &[Value], seconds: f64) {
    let first = &messages[0];
    let ahead_ms = first["predicted_time"].as_u64().unwrap() - first["timestamp"].as_u64().unwrap();
    assert!(ahead_ms as f64 >= seconds * 1_000.0, "{ahead_ms} ms: {first}");
}

fn stays(until_s: f64) -> impl Fn(f64) -> Vec<SceneTrack> {
    move |t| {
        let mut track = person(7, (2.0, 2.0));
        track.behavior.still_s = if t < until_s { t } else { 0.0 };
        track.behavior.flags.set(Behaviors::LOITERING, track.behavior.still_s >= 30.0);
        vec![track]
    }
}

#[test]
fn loitering_is_told_before_it_happens_and_when_it_does() {
    let messages = messages(LOITERING, 35, stays(100.0));
    assert_eq!(told(&messages), ["predicted", "occurred"]);
    assert_ahead(&messages, 5.0);
    assert!(messages[0]["probability"].as_f64() > Some(0.8));
    assert_eq!(messages[1]["timestamp"], START_MS + 30_000);
}

#[test]
fn loitering_that_was_told_and_does_not_come_is_retracted() {
    let messages = messages(LOITERING, 35, stays(27.0));
    assert_eq!(told(&messages), ["predicted", "retracted"]);
}

#[test]
fn who_leaves_before_loitering_is_likely_is_not_told_at_all() {
    assert_eq!(messages(LOITERING, 35, stays(23.0)), [] as [Value; 0]);
}

/// Towards the yard at 1.3 m/s, and back from a time on.
fn walks(turn_s: f64) -> impl Fn(f64) -> Vec<SceneTrack> {
    move |t| vec![person(7, (1.3 * t.min(turn_s) - 1.3 * (t - turn_s).max(0.0), 0.0))]
}

#[test]
fn trespassing_is_told_before_it_happens_and_when_it_does() {
    let messages = messages(TRESPASSING, 20, walks(100.0));
    assert_eq!(told(&messages), ["predicted", "occurred"]);
    assert_ahead(&messages, 3.0);
    assert_eq!(messages[0]["zone"], "yard");
}

#[test]
fn trespassing_that_was_told_and_does_not_come_is_retracted() {
    assert_eq!(told(&messages(TRESPASSING, 30, walks(12.3))), ["predicted", "retracted"]);
}

/// Two who walk towards one another and meet after six seconds, which ends their ways; one steps aside from a time on.
fn meet(aside_s: f64) -> impl Fn(f64) -> Vec<SceneTrack> {
    move |t| {
        let t = if aside_s > t { t.min(6.0) } else { t };
        let off = (t - aside_s).max(0.0);
        vec![person(1, (1.3 * t, -30.0)), person(2, (15.6 - 1.3 * t, 1.3 * off - 30.0))]
    }
}

#[test]
fn a_collision_is_told_before_it_happens_and_when_it_does() {
    let messages = messages(COLLISION, 9, meet(100.0));
    assert_eq!(told(&messages), ["predicted", "occurred"]);
    assert_ahead(&messages, 1.0);
    assert_eq!(messages[0]["tracks"], serde_json::json!([1, 2]));
}

#[test]
fn a_collision_that_was_told_and_does_not_come_is_retracted() {
    assert_eq!(told(&messages(COLLISION, 12, meet(5.2))), ["predicted", "retracted"]);
}
