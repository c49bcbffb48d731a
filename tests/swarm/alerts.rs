//! Alerts on the wire: the publisher of an alert is not the camera of its topic.

use omnisight::model::{Class, Delivery, EventState, EventType, Point, Severity, Transition};
use omnisight::swarm::alert::{self, Incident};
use omnisight::swarm::bounded::Map;
use omnisight::swarm::codec::Reason;
use omnisight::swarm::message::{AlertState, EventKey, Name, Rule};
use omnisight::swarm::topic::{Family, Prefix};
use omnisight::swarm::wire::Real;
use omnisight::swarm::{Engine, Input, Options};

use crate::fixtures::{ALERT, FULL, encoded};
use crate::scenes::{START_MS, at, camera, engine, engine_with, event, handle, sent};

fn alert(publisher: &str) -> Delivery {
    let by = format!("\"published_by\":\"{publisher}\"");
    let payload = FULL[5].1.replace("\"published_by\":\"a\"", &by).into();
    Delivery { topic: ALERT.to_owned(), payload, ..Delivery::default() }
}

fn received(engine: &Engine) -> (u64, u64) {
    (engine.counters().received[Family::Alert as usize], engine.counters().own)
}

#[test]
fn an_alert_of_ours_that_comes_back_is_dropped_whatever_camera_its_key_names() {
    let mut own = engine("a");
    handle(&mut own, Input::Delivery(&alert("a")), 0);
    assert_eq!(received(&own), (0, 1));
}

#[test]
fn an_alert_of_another_camera_on_our_own_claim_is_read() {
    let mut own = engine("gate-2");
    handle(&mut own, Input::Delivery(&alert("a")), 0);
    assert_eq!(received(&own), (1, 0));
    assert!(own.peers().iter().any(|(camera, _)| camera.as_str() == "a"), "its publisher is present");
}

#[test]
fn an_unsigned_alert_does_not_count_where_signatures_are_required() {
    let mut options = Options::default();
    options.trust.require = true;
    let mut own = engine_with("own", START_MS, options);
    handle(&mut own, Input::Delivery(&alert("a")), 0);
    assert_eq!(received(&own), (0, 0));
    assert_eq!(own.counters().refused[Reason::Unsigned as usize], 1);
}

#[test]
fn the_alert_in_the_readme_is_one_that_leaves() {
    let rule = Rule {
        name: Name::cut("trespassing"),
        thresholds: Map::cut([(Name::cut("quorum"), Real(2.0 / 3.0))]),
        measured: Map::cut([
            (Name::cut("cameras_asked"), Real(3.0)),
            (Name::cut("cameras_confirming"), Real(2.0)),
        ]),
    };
    let incident = Incident {
        key: EventKey::parse("plaza-2/1795176000000/1001").unwrap(),
        site: Some("plaza".to_owned()),
        kind: EventType::Trespassing,
        state: AlertState::Happening,
        severity: Severity::High,
        probability: 0.968,
        expected_ms: 1_795_176_185_400,
        first_ms: 1_795_176_178_200,
        updated_ms: 1_795_176_185_600,
        position_m: Point::new(12.25, -3.5),
        zone: Some("dock".to_owned()),
        class: Class::Person,
        global_id: Some(481_640_327_134_267),
        asked: 3,
        confirming: 2,
        rule: Some(rule),
    };
    let message = alert::message(&incident, &camera("plaza-2"));
    let topic = Prefix::default().alert(&message.key.camera, message.key.event_id);
    let line = format!("{topic} {}", encoded(&message));
    assert!(include_str!("../../README.md").lines().any(|known| known == line), "{line}");
}

#[test]
fn the_end_of_an_event_is_not_published_by_itself() {
    let mut own = engine("a");
    let occurred = Transition::Event(event(1, EventState::Occurred, Severity::High, 0));
    assert!(!sent(&handle(&mut own, Input::Transition(&occurred), 0)).is_empty());
    let before = own.counters().sent[Family::Event as usize];
    let over = Transition::EventOver { id: 1, time: at(5_000) };
    handle(&mut own, Input::Transition(&over), 5_000);
    handle(&mut own, Input::Transition(&Transition::EventOver { id: 9, time: at(5_000) }), 5_000);
    assert_eq!(own.counters().sent[Family::Event as usize], before);
}
