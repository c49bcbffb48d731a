//! What is retained is what is so.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::ear::{Ear, OWN, SHARED_STATUS, STATUS, gate, read};
use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::proxy::Proxy;
use crate::support::watch::modes;
use crate::support::{Kind, Peer, Setup, TestBroker, against_each_broker, link_options};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_camera_is_disconnected_by_its_will_on_both_topics() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::to(broker.port(), &[SHARED_STATUS]).await;
        let camera = gate(broker.port(), "");
        let program = camera.run();
        ear.status("running").await;
        program.signal("KILL");
        ear.status("disconnected").await;
        ear.hears(SHARED_STATUS, |value| value["status"] == "disconnected").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_network_is_gone_is_disconnected_within_one_and_a_half_keep_alives_and_five_seconds() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let proxy = Proxy::start(broker.port()).await;
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(proxy.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        let gone = Instant::now();
        proxy.swallow(|_, _| true);
        ear.status("disconnected").await;
        // The promise itself: the keep alive of these tests is 5 s.
        assert!(gone.elapsed() < Duration::from_millis(12_500), "{:?}", gone.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_comes_back_to_its_broker_tells_again_what_is_so() {
    against_each_broker(Setup { persistent: false, ..Setup::default() }, async |mut broker: TestBroker| {
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        let mut ear = Ear::at(broker.port()).await;
        ear.status("running").await;
        assert_eq!(ear.ask("{\"command\":\"pause\"}").await["state"], "done");
        broker.stop().await;
        broker.start_again().await;
        // It remembers nothing: what is there was published after the reconnect.
        let mut later = Peer::spawn(&link_options(broker.port()), "later", None, &[STATUS, SHARED_STATUS]);
        let mut unheard = BTreeSet::from([STATUS, SHARED_STATUS]);
        while !unheard.is_empty() {
            let delivery = later.next().await;
            if read(&delivery)["status"] == "paused" {
                unheard.remove(delivery.topic.as_str());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_client_id_another_takes_says_so_and_does_not_fight() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let mut ear = Ear::at(broker.port()).await;
    // As configured by default: a contested id is tried again after 30 s at the earliest.
    let link = format!("[[broker_link]]\nurl = 'mqtt://127.0.0.1:{}'", broker.port());
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &link);
    let _program = camera.run();
    ear.status("running").await;
    let other = Peer::spawn(&link_options(broker.port()), "gate", None, &["nothing"]);
    ear.hears(STATUS, |value| value["state"]["modes"][0] == "client_id_taken").await;
    // It was let have it: this connection was never ended again.
    assert_eq!(other.status(|status| status.counters.connects > 0).await.counters.connects, 1);
    // Orders are still taken, on a connection of their own.
    assert_eq!(ear.ask("{\"command\":\"status\"}").await["state"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_on_the_shared_status_is_a_mode_and_never_touches_our_own() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut presence = Peer::watch_presence(broker.port());
        let mut ear = Ear::to(broker.port(), &[SHARED_STATUS]).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        ear.hears(SHARED_STATUS, |value| value["status"] == "running").await;
        // As the reference pipeline writes it.
        let theirs = r#"{"status": "paused", "timestamp": "2026-11-20T20:37:56.020098", "client_id": "inference_control"}"#;
        ear.say(SHARED_STATUS, theirs);
        let status = presence.presence(|status| modes(status).contains(&"shared_status")).await.0;
        assert_eq!(status.camera_id.as_str(), "gate");
        let own = ear.hears(STATUS, |value| value["state"]["modes"][0] == "shared_status").await;
        assert_eq!(own["status"], "running");
        // Asked for, we write there again, and it is ours.
        ear.say(OWN, "{\"command\":\"status\"}");
        presence.presence(|status| modes(status).is_empty()).await;
    })
    .await;
}
