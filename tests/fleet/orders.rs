//! Orders and updates of a fleet server act, and are answered.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Ear, gate};
use crate::support::{Setup, TestBroker, against_each_broker, event, presence};

const CONTROL: &str = "lprserver/cameras/gate/control";
const RESPONSE: &str = "lprserver/cameras/gate/control/response";
const CONFIG: &str = "lprserver/cameras/gate/config";
const UPDATE: &str = "lprserver/cameras/gate/config/update";

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_applied_as_a_whole_told_as_what_is_in_force_and_survives_a_restart() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut config = Ear::on(broker.port(), CONFIG).await;
        let mut response = Ear::on(broker.port(), RESPONSE).await;
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        config.hears("the defaults", |said| said["config_data"]["confidence_threshold"] == 0.5).await;
        let update = json!({"message_id": "u1", "camera_id": "gate", "config_type": "detection_settings",
            "config_data": {"confidence_threshold": 0.8, "detection_interval": 1000, "max_vehicles_per_frame": 5,
                "image_quality": "high", "enable_recording": false,
                "alert_settings": {"enable_alerts": true, "alert_confidence_threshold": 0.9, "notification_channels": ["mqtt"]}}});
        config.0.send(event(UPDATE, &update.to_string()));
        let (answer, _) = response.hears("an answer", |said| said["original_message_id"] == "u1").await;
        assert_eq!(answer["status"], "executed", "{answer}");
        let (now, _) = config.hears("what is in force", |said| said["config_data"]["confidence_threshold"] == 0.8).await;
        assert_eq!(now["config_data"], update["config_data"]);
        assert_eq!(program.stop().await, Some(0));
        let _again = camera.run();
        let (after, _) = config.hears("after the restart", |said| said["message_id"] != now["message_id"]).await;
        assert_eq!(after["config_data"], update["config_data"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_with_ten_faults_changes_nothing_and_every_fault_is_named() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut config = Ear::on(broker.port(), CONFIG).await;
        let mut response = Ear::on(broker.port(), RESPONSE).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        let (before, _) = config.hears("the defaults", |said| said["config_data"].is_object()).await;
        let update = json!({"message_id": "u2", "camera_id": "gate", "config_data": {
            "confidence_threshold": 1.5, "detection_interval": -1, "max_vehicles_per_frame": 0,
            "image_quality": "superb", "enable_recording": "yes", "colour": "red", "tracker.iou_min": "wide",
            "camera.id": "yard",
            "alert_settings": {"enable_alerts": "yes", "alert_confidence_threshold": -1, "notification_channels": [3]}}});
        config.0.send(event(UPDATE, &update.to_string()));
        let (answer, _) = response.hears("an answer", |said| said["original_message_id"] == "u2").await;
        assert_eq!((&answer["status"], &answer["result"]["success"]), (&json!("failed"), &json!(false)), "{answer}");
        let faults: Vec<&str> =
            answer["result"]["faults"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        for name in [
            "confidence_threshold", "detection_interval", "max_vehicles_per_frame", "image_quality",
            "enable_recording", "colour", "tracker.iou_min", "camera.id", "alert_settings.enable_alerts",
            "alert_settings.alert_confidence_threshold", "alert_settings.notification_channels",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(name)), "{name} is not named in {faults:#?}");
        }
        let (after, _) = config.hears("what is in force", |said| said["message_id"] != before["message_id"]).await;
        assert_eq!(after["config_data"], before["config_data"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_the_server_retains_is_an_update_and_is_replaced_by_what_is_in_force() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut config = Ear::on(broker.port(), CONFIG).await;
        // As the unified service leaves it, before the camera is there.
        let theirs = json!({"message_id": "7caee8b8-3e6e-4895-9b0c-1271d96817d5", "protocol": "mqtt", "edge_device_id": "gate",
            "data_type": "config", "payload": {"config_type": "detection_settings", "config_data": {"confidence_threshold": 0.7}},
            "metadata": {"protocol_version": "1.0"}});
        config.0.send(presence(CONFIG, &theirs.to_string()));
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        let (now, _) = config.hears("ours", |said| said["config_data"]["confidence_threshold"] == 0.7).await;
        assert_eq!(now["camera_id"], "gate");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_pause_resume_and_restart_the_camera_and_each_is_done_once() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut response = Ear::on(broker.port(), RESPONSE).await;
        let mut status = Ear::on(broker.port(), "inference/gate/control/status").await;
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        status.hears("running", |said| said["status"] == "running").await;
        let say = |ear: &Ear, id: &str, command: &str| {
            let order = json!({"message_id": id, "timestamp": "2024-01-15T10:30:00Z", "camera_id": "gate",
                "command": command, "parameters": {}, "priority": "high"});
            ear.0.send(event(CONTROL, &order.to_string()));
        };
        for (id, command, word) in [("m1", "stop_camera", "paused"), ("m2", "start_camera", "running")] {
            say(&response, id, command);
            let (answer, _) = response.hears("an answer", |said| said["original_message_id"] == id).await;
            assert_eq!((&answer["command"], &answer["status"]), (&json!(command), &json!("executed")));
            status.hears(word, |said| said["status"] == word).await;
        }
        // The same message again is answered again and not done again.
        say(&response, "m1", "stop_camera");
        response.hears("the same answer", |said| said["original_message_id"] == "m1").await;
        // Who serves the fleet has a connection of its own, which may come up later.
        for question in 0.. {
            let id = format!("m3-{question}");
            say(&response, &id, "get_status");
            let (answer, _) = response.hears("an answer", |said| said["original_message_id"] == id).await;
            assert_eq!(answer["result"]["status"], "running");
            if answer["result"]["fleet"]["connected"] == true {
                break;
            }
            assert!(question < 300, "{answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        say(&response, "m4", "restart_camera");
        response.hears("an answer", |said| said["original_message_id"] == "m4").await;
        status.hears("gone", |said| said["status"] == "disconnected").await;
        status.hears("back", |said| said["status"] == "running").await;
        assert!(program.is_running());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_or_not_allowed_is_answered_by_its_name() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut response = Ear::on(broker.port(), RESPONSE).await;
        let mut health = Ear::on(broker.port(), "lprserver/cameras/gate/health").await;
        let camera = gate(broker.port(), "[control]\nallow = ['own:*', 'fleet:status']");
        let _program = camera.run();
        health.hears("it lives", |said| said["health_status"] != "offline").await;
        for (topic, payload, status) in [
            (CONTROL, r#"{"message_id":"b1","command":"dance"}"#, "unknown_command"),
            (CONTROL, r#"{"message_id":"b2","command":5}"#, "rejected"),
            (CONTROL, r#"{"message_id":"b3","command":"stop_camera"}"#, "rejected"),
            (CONTROL, r#"{"message_id":"b4","command":"calibrate"}"#, "failed"),
            (CONTROL, r#"{"message_id":"b5","command":"test_connection"}"#, "executed"),
            ("lprserver/system/control", r#"{"message_id":"b6","command":"system_shutdown"}"#, "rejected"),
            (UPDATE, r#"{"message_id":"b7","config_data":7}"#, "rejected"),
        ] {
            response.0.send(event(topic, payload));
            let id = payload[15..17].to_owned();
            let (answer, _) = response.hears(payload, |said| said["original_message_id"] == id).await;
            assert_eq!(answer["status"], status, "{payload}: {answer}");
        }
    })
    .await;
}
