//! Alerts on the wire: the publisher of an alert is not the camera of its topic.

use omnisight::base::Time;
use omnisight::model::Delivery;
use omnisight::swarm::codec::Reason;
use omnisight::swarm::topic::Family;
use omnisight::swarm::{Engine, Input, Options};

use crate::fixtures::{ALERT, FULL};
use crate::scenes::{START_MS, at, engine, engine_with, handle};

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
    let mut out = Vec::new();
    let now: Time = at(0);
    own.handle(Input::Delivery(&alert("a")), now, &mut out);
    assert_eq!(received(&own), (0, 0));
    assert_eq!(own.counters().refused[Reason::Unsigned as usize], 1);
}
