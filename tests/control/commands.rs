//! What commands do.

use omnisight::model::{Envelope, MessageClass};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::ear::{Ear, OWN, SHARED, SHARED_STATUS, STATUS, gate, read};
use crate::support::watch::decoded;
use crate::support::{DEADLINE, Peer, Setup, TestBroker, against_each_broker, kinds};

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_programs_commands_act_and_stop_ends_it_with_a_retained_disconnected() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        ear.status("running").await;
        ear.say(SHARED, "{\"command\": \"pause\"}");
        ear.status("paused").await;
        assert_eq!(ear.reply().await["state"], "done");
        ear.say(SHARED, "{\"command\": \"status\"}");
        ear.status("paused").await;
        assert_eq!(ear.reply().await["result"]["status"], "paused");
        ear.say(SHARED, "{\"command\": \"resume\"}");
        ear.status("running").await;
        assert_eq!(ear.reply().await["state"], "done");
        ear.say(SHARED, "{\"command\": \"stop\"}");
        assert_eq!(ear.reply().await["state"], "done");
        ear.status("disconnected").await;
        assert_eq!(program.exit().await, Some(0), "{}", program.log());
        for topic in [STATUS, SHARED_STATUS] {
            let mut later =
                Peer::spawn(&crate::support::link_options(broker.port()), "later", None, &[topic]);
            let delivery = later.next().await;
            assert!(delivery.retained);
            assert_eq!(read(&delivery)["status"], "disconnected", "{topic}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_camera_ends_its_tracks_and_looks_at_nothing_until_it_is_resumed() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut tracks = Peer::subscribed(broker.port(), "tracks", "omnisight/swarm/tracks/gate/+").await;
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "rate_per_s = 1000");
        let _program = camera.run();
        ear.status("running").await;
        let seen = tracks.track().await.track_id;
        assert_eq!(ear.ask("{\"command\":\"pause\"}").await["state"], "done");
        assert_eq!(ear.status("paused").await["state"]["modes"], json!(["paused"]));
        tracks
            .until(|delivery| {
                matches!(decoded(delivery), omnisight::swarm::message::Message::Track(track)
                    if track.ended && track.track_id >= seen)
            })
            .await;
        let frames = |reply: &Value| reply["result"]["frames"].as_u64().unwrap();
        let before = frames(&ear.ask("{\"command\":\"status\"}").await);
        let mut health = Value::Null;
        let healthy = async {
            while health["result"]["status"] != "healthy" {
                health = ear.ask("{\"command\":\"health\"}").await;
            }
        };
        assert!(timeout(DEADLINE, healthy).await.is_ok(), "{health}");
        // Nothing is a hard thing to wait for: ten frames' time.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(frames(&ear.ask("{\"command\":\"status\"}").await), before);
        assert_eq!(ear.ask("{\"command\":\"resume\"}").await["state"], "done");
        let modes = ear.status("running").await["state"]["modes"].take();
        assert!(modes.is_null() || modes == json!(["scene_learning"]), "{modes}");
        let again = |reply: &Value| frames(reply) > before;
        while !again(&ear.ask("{\"command\":\"status\"}").await) {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_answered_once_done_once_and_the_same_process_comes_back() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut presence = Peer::watch_presence(broker.port());
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        ear.status("running").await;
        let boot = presence.online().await.boot.0;
        let restart = "{\"command\":\"restart\",\"id\":\"r1\"}";
        assert_eq!(ear.ask(restart).await["state"], "done");
        ear.status("disconnected").await;
        ear.status("running").await;
        let again = presence.presence(|status| status.boot.0 > boot).await.0.boot.0;
        assert_eq!(ear.ask(restart).await["state"], "done", "the repetition is answered");
        assert_eq!(ear.ask("{\"command\":\"status\"}").await["result"]["status"], "running");
        let last = presence.presence(|status| status.boot.0 >= again).await.0.boot.0;
        assert_eq!(last, again, "and not done again");
        assert!(program.is_running());
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_comes_while_the_program_restarts_is_obeyed() {
    let broker = TestBroker::start(kinds()[0], Setup::default()).await;
    let mut ear = Ear::at(broker.port()).await;
    for delay_ms in [3, 10, 20, 30, 40] {
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        ear.status("running").await;
        ear.say(OWN, "{\"command\":\"restart\"}");
        tokio::time::sleep(std::time::Duration::from_millis(delay_ms)).await;
        program.signal("TERM");
        let ends = timeout(std::time::Duration::from_secs(10), program.exit()).await;
        // None: the new program had not taken the signal over yet, and ends by it.
        assert!(matches!(ends, Ok(Some(0) | None)), "{delay_ms} ms: {ends:?}\n{}", program.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_health_and_track_confirmation_are_told_as_numbers() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let (detections, metrics) = ("inference/gate/data/detections", "inference/data/metrics");
        let mut ear = Ear::to(broker.port(), &[detections, metrics]).await;
        let camera = gate(broker.port(), "data_topics = 'both'");
        let _program = camera.run();
        ear.hears(detections, |value| value["detections"][0]["bbox"]["x"].is_f64()).await;
        ear.say(OWN, "{\"command\":\"metrics\"}");
        let report = ear.hears(metrics, |_| true).await;
        assert!(report["latency_reports"][0]["inference_latency_ms"].as_f64().is_some(), "{report}");
        assert_eq!(ear.reply().await["result"]["sources_count"], 1);
        let health = ear.ask("{\"command\":\"health\"}").await;
        assert_eq!(health["result"]["checks"]["control_plane_connected"], true, "{health}");
        let stats = ear.ask("{\"command\":\"stabilization_stats\"}").await["result"].clone();
        let number = |key: &str| stats[key].as_u64().unwrap();
        assert!(number("total_detected") > 0);
        assert_eq!(number("total_detected"), number("total_confirmed") + number("total_ignored"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_region_of_interest_is_switched_and_told_with_the_detections() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let detections = "inference/data/detections";
        let mut ear = Ear::to(broker.port(), &[detections]).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.hears(detections, |value| value["roi_metrics"].is_null()).await;
        assert_eq!(ear.ask("{\"command\":\"toggle_crop\"}").await["result"]["enabled"], true);
        ear.hears(STATUS, |value| value["state"]["crop"] == true).await;
        ear.hears(detections, |value| value["roi_metrics"]["enabled"] == true).await;
        let off = "{\"command\":\"toggle_crop\",\"parameters\":{\"enabled\":false}}";
        assert_eq!(ear.ask(off).await["result"]["enabled"], false);
        ear.hears(detections, |value| value["roi_metrics"].is_null()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_command_that_waits_on_the_topic_is_not_done_after_a_start() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let old = Envelope::new(MessageClass::Reply, OWN, "{\"command\":\"stop\"}");
        ear.send(Envelope { retain: true, ..old });
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        assert_eq!(ear.reply().await["error"], "retained");
        ear.status("running").await;
        assert_eq!(ear.ask("{\"command\":\"status\"}").await["result"]["status"], "running");
        assert!(program.is_running());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_command_that_comes_in_while_the_camera_runs_is_not_done_either() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let mut program = camera.run();
        ear.status("running").await;
        let stop = Envelope::new(MessageClass::Reply, OWN, "{\"command\":\"stop\"}");
        ear.send(Envelope { retain: true, ..stop });
        assert_eq!(ear.reply().await["error"], "retained", "{:?}", broker.kind());
        assert!(program.is_running());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_judged_as_a_whole_kept_over_a_restart_and_taken_back() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        let set = |parameters: &str| format!("{{\"command\":\"set\",\"parameters\":{parameters}}}");
        let bad = set(r#"{"tracker.iou_min":7,"behavior.running_mps":"fast","behavior.passes":4}"#);
        let bad = ear.ask(&bad).await;
        assert_eq!((&bad["state"], &bad["error"]), (&"failed".into(), &"faults".into()));
        assert_eq!(bad["result"]["faults"].as_array().unwrap().len(), 2, "{bad}");
        let fixed = ear.ask(&set(r#"{"camera.id":"x"}"#)).await;
        assert_eq!(fixed["error"], "bad_parameters");
        let done = ear.ask(&set(r#"{"tracker.iou_min":0.25}"#)).await;
        assert_eq!(done["result"]["applied"], serde_json::json!(["tracker.iou_min"]));
        let ours = serde_json::json!({"value": 0.25, "origin": "runtime"});
        let origin = |reply: &Value, key: &str| reply["result"]["settings"][key].clone();
        assert_eq!(origin(&done, "tracker.iou_min"), ours);
        assert_eq!(origin(&done, "behavior.passes")["origin"], "default", "nothing of the bad ones");
        assert_eq!(ear.ask("{\"command\":\"restart\"}").await["state"], "done");
        ear.status("disconnected").await;
        ear.status("running").await;
        assert_eq!(origin(&ear.ask(&set("{}")).await, "tracker.iou_min"), ours);
        let back = ear.ask(&set(r#"{"tracker.iou_min":null}"#)).await;
        assert_eq!(origin(&back, "tracker.iou_min")["origin"], "default");
        let reload = ear.ask("{\"command\":\"reload\"}").await;
        assert_eq!(reload["result"]["need_restart"], serde_json::json!([]), "{reload}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_a_broken_file_changes_nothing_and_names_every_fault() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        let text = std::fs::read_to_string(camera.file()).unwrap();
        let ten = (0..10).fold(String::new(), |lines, i| lines + &format!("no_such_{i} = 1\n"));
        std::fs::write(camera.file(), format!("{text}\n[tracker]\n{ten}")).unwrap();
        let reply = ear.ask("{\"command\":\"reload\"}").await;
        assert_eq!(reply["error"], "faults");
        assert_eq!(reply["result"]["faults"].as_array().unwrap().len(), 10, "{reply}");
        assert_eq!(ear.ask("{\"command\":\"status\"}").await["result"]["status"], "running");
    })
    .await;
}
