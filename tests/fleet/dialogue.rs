//! Dialogues with the reference programs, word for word as they write: `tests/fixtures/fleet`.
//!
//! A line is `{"say": TOPIC, "payload": {...}}` (with `"retain": true` where it is), or `{"hear": TOPIC,
//! "payload": {...}}`: the next message on that topic whose keys have these values, whatever else it says.

use std::collections::BTreeMap;

use omnisight::model::{Envelope, MessageClass};
use serde_json::Value;

use crate::rig::{Ear, gate, stays, street};
use crate::support::{Setup, TestBroker, against_each_broker};

const TOPICS: [&str; 8] = [
    "inference/control/status",
    "inference/gate/control/replies",
    "inference/data/metrics",
    "lprserver/cameras/gate/health",
    "lprserver/cameras/gate/config",
    "lprserver/cameras/gate/control/response",
    "lprserver/cameras/gate/detection",
    "lprserver/blacklist/request",
];

/// Whether `said` has all that `wanted` has.
fn holds(wanted: &Value, said: &Value) -> bool {
    match wanted {
        Value::Object(keys) => {
            keys.iter().all(|(key, wanted)| said.get(key).is_some_and(|said| holds(wanted, said)))
        }
        other => other == said,
    }
}

async fn play(broker: &TestBroker, script: &str) {
    let mut ears = BTreeMap::new();
    for topic in TOPICS {
        ears.insert(topic, Ear::on(broker.port(), topic).await);
    }
    let mouth = Ear::on(broker.port(), "nothing").await;
    let camera = if script.contains("\"street\"") {
        street(broker.port(), "fast", 1)
    } else {
        gate(broker.port(), "")
    };
    let mut program = camera.run();
    if script.contains("\"street\"") {
        assert_eq!(program.exit().await, Some(0), "{}", program.log());
        stays(&camera);
        program = camera.run();
    }
    for line in script.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(topic) = line["say"].as_str() {
            let envelope = Envelope::new(MessageClass::Reply, topic, line["payload"].to_string());
            mouth.0.send(Envelope { retain: line["retain"] == true, ..envelope });
        } else if let Some(topic) = line["hear"].as_str() {
            let ear = ears.get_mut(topic).unwrap_or_else(|| panic!("nobody listens to {topic}"));
            ear.hears(&line.to_string(), |said| holds(&line["payload"], said)).await;
        }
    }
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_control_program_and_its_monitors_say_and_hear() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        play(&broker, include_str!("../fixtures/fleet/control_cli.jsonl")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plate_server_says_and_hears_in_its_three_dialects() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        play(&broker, include_str!("../fixtures/fleet/plate_server.jsonl")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_detection_comes_to_the_plate_server_and_is_acknowledged() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        play(&broker, include_str!("../fixtures/fleet/detection.jsonl")).await;
    })
    .await;
}
