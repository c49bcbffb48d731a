//! A detection is the server's when the server says so, and not before.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use crate::rig::{Ear, Server, gate, stays, street};
use crate::support::{DEADLINE, Setup, TestBroker, against_each_broker};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_detections_while_the_server_is_away_are_all_acknowledged_when_it_comes_each_once() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = street(broker.port(), "fast", 1_000);
        let mut before = camera.run();
        // The recording ends, and with it the camera; its detections are in its store.
        assert_eq!(before.exit().await, Some(0), "{}", before.log());
        let mut server = Server::at(broker.port()).await;
        let mut health = Ear::on(broker.port(), "lprserver/cameras/gate/health").await;
        stays(&camera);
        let _after = camera.run();
        server.collect(1_000).await;
        health.hears("it lives", |health| health["health_status"] != "offline").await;
        let plates: BTreeSet<String> = server
            .detections
            .values()
            .map(|told| told["detection_data"]["plates"][0]["plate_number"].as_str().unwrap().to_owned())
            .collect();
        let wanted: BTreeSet<String> = (0..1_000).map(|i| format!("AB{i:04}")).collect();
        assert_eq!(plates, wanted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detection_that_nobody_acknowledges_is_sent_again_under_its_own_id_and_an_acknowledged_one_never() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = street(broker.port(), "fast", 2);
        let mut before = camera.run();
        assert_eq!(before.exit().await, Some(0), "{}", before.log());
        stays(&camera);
        let mut ear = Ear::on(broker.port(), "lprserver/cameras/gate/detection").await;
        let server = Ear::on(broker.port(), "nothing").await;
        let _after = camera.run();
        let first = ear.hears("the first", |_| true).await.0["message_id"].clone();
        let second = ear.hears("the second", |said| said["message_id"] != first).await.0["message_id"].clone();
        let ack = serde_json::json!({"message_id": "a", "original_message_id": first, "camera_id": "gate", "status": "processed"});
        server.0.send(crate::support::event("lprserver/cameras/gate/detection/ack", &ack.to_string()));
        // Ten seconds later.
        let (again, _) = ear.hears("again", |_| true).await;
        assert_eq!(again["message_id"], second);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulators_with_other_ids_on_the_same_broker_disturb_nothing() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = street(broker.port(), "fast", 3);
        let mut server = Server::at(broker.port()).await;
        let simulator = r#"{"device_id": "CAM001", "data": {"detection_data": {"vehicles_count": 1}}, "timestamp": "2026-11-20T20:47:11.983243"}"#;
        server.say("lprserver/cameras/CAM001/detection", simulator);
        server.say("lprserver/cameras/gate/detection/ack", r#"{"original_message_id": null, "camera_id": null}"#);
        let mut program = camera.run();
        assert_eq!(program.exit().await, Some(0), "{}", program.log());
        stays(&camera);
        let _again = camera.run();
        server.collect(3).await;
        assert!(server.detections.values().all(|told| told["camera_id"] == "gate"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_with_real_numbers_and_a_killed_camera_is_offline() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::on(broker.port(), "lprserver/cameras/gate/health").await;
        let camera = gate(broker.port(), "");
        let program = camera.run();
        ear.hears("health", |health| health["health_status"] != "offline").await;
        // How busy the processor is takes two looks, and the camera may not listen yet: asked until told.
        let told = async {
            loop {
                ear.0.send(crate::support::event("lprserver/cameras/gate/health/request", "{}"));
                let told = ear.hears("all of it", |health| health["health_details"]["cpu_usage"].is_f64());
                if let Ok((health, _)) = timeout(Duration::from_secs(1), told).await {
                    break health;
                }
            }
        };
        let health = timeout(DEADLINE, told).await.unwrap();
        let details = &health["health_details"];
        let uptime: f64 =
            std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((details["uptime_seconds"].as_f64().unwrap() - uptime).abs() < 60.0, "{health}");
        for key in ["cpu_usage", "memory_usage", "disk_usage"] {
            assert!((0.0..=100.0).contains(&details[key].as_f64().unwrap()), "{key}: {health}");
        }
        assert_eq!(details["network_status"], "connected");
        program.signal("KILL");
        ear.hears("offline", |health| health["health_status"] == "offline").await;
    })
    .await;
}
