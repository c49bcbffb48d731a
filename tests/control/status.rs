//! What is retained is what is so.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::ear::{Ear, SHARED_STATUS, STATUS, gate, read};
use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::proxy::Proxy;
use crate::support::{DEADLINE, Peer, Setup, TestBroker, against_each_broker, kinds, link_options};

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

/// Stands between a camera and its broker, and tells the connection of the client id `gate` that another one
/// has it now, as brokers do (MQTT 5, 3.14: reason 0x8E); how often that one has connected.
async fn usurped(upstream: u16, taken: Arc<Notify>) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (taken, counted) = (Arc::clone(&taken), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await.unwrap();
                let mut connect = vec![0; 4_096];
                let length = client.read(&mut connect).await.unwrap_or(0);
                broker.write_all(&connect[..length]).await.unwrap();
                let is_gate = connect[..length].windows(6).any(|bytes| bytes == b"\0\x04gate");
                counted.fetch_add(u32::from(is_gate), Ordering::Relaxed);
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut broker) => {}
                    () = taken.notified(), if is_gate => {
                        let _ = client.write_all(&[0xe0, 2, 0x8e, 0]).await;
                        let _ = client.shutdown().await;
                    }
                }
            });
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_client_id_another_takes_says_so_and_does_not_fight() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let taken = Arc::new(Notify::new());
        let (port, connects) = usurped(broker.port(), Arc::clone(&taken)).await;
        let mut ear = Ear::at(broker.port()).await;
        // Waits as they are by default: a contested client id is tried again after 30 s at the earliest.
        let link = format!("[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'");
        let camera = Camera::with_sections("gate", SMALL_PLAZA, &link);
        let _program = camera.run();
        ear.status("running").await;
        taken.notify_one();
        ear.hears(STATUS, |value| value["state"]["modes"][0] == "client_id_taken").await;
        // Orders are still taken, on a connection of their own.
        assert_eq!(ear.ask("{\"command\":\"status\"}").await["state"], "done");
        assert_eq!(connects.load(Ordering::Relaxed), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writer_on_the_shared_status_is_counted_sets_no_mode_and_never_touches_our_own() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::to(broker.port(), &[SHARED_STATUS]).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        ear.hears(SHARED_STATUS, |value| value["status"] == "running").await;
        // As the reference pipeline writes it.
        let theirs = r#"{"status": "paused", "timestamp": "2026-11-20T20:37:56.020098", "client_id": "inference_control"}"#;
        ear.say(SHARED_STATUS, theirs);
        // The two topics come over two connections: asked until the other has brought it.
        let asked_from = Instant::now();
        let reply = loop {
            let reply = ear.ask("{\"command\":\"status\"}").await;
            // The data connection may still be on its way up, and the background be learned.
            let is_up = reply["result"]["modes"] == json!([]);
            if reply["result"]["shared_status_foreign"] == 1 && is_up {
                break reply;
            }
            assert!(asked_from.elapsed() < DEADLINE, "never said: {reply}");
            // Below the limit of commands a second.
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!((&reply["result"]["status"], &reply["result"]["modes"]), (&json!("running"), &json!([])));
        let health = ear.ask("{\"command\":\"health\"}").await;
        assert_eq!(health["result"]["modes"], json!([]), "a site of several cameras is not degraded by itself");
        // Asked for the status, we write there again, and it is ours.
        ear.hears(SHARED_STATUS, |value| value["camera_id"] == "gate").await;
    })
    .await;
}

/// The value with the kind of each number and time in its place.
fn shape(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(if number.is_f64() { "real" } else { "integer" }),
        Value::String(text) if text.ends_with('Z') => json!("time"),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), shape(value))).collect())
        }
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_results_of_status_and_health_have_these_keys_and_types() {
    let broker = TestBroker::start(kinds()[0], Setup::default()).await;
    let mut ear = Ear::at(broker.port()).await;
    let camera = gate(broker.port(), "rate_per_s = 1000");
    let _program = camera.run();
    ear.status("running").await;
    assert_eq!(ear.ask("{\"command\":\"pause\"}").await["state"], "done");
    let mut health = Value::Null;
    let healthy = async {
        while health["status"] != "healthy" {
            health = ear.ask("{\"command\":\"health\"}").await["result"].take();
        }
    };
    assert!(timeout(DEADLINE, healthy).await.is_ok(), "{health}");
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "status": "healthy", "timestamp": "time", "version": version, "uptime_s": "integer", "modes": ["paused"],
        "checks": {
            "pipeline_running": false, "control_plane_connected": true, "data_plane_connected": true,
            "recent_frames": health["checks"]["recent_frames"], "avg_fps": "real",
        },
    });
    assert_eq!(shape(&health), expected);
    let status = ear.ask("{\"command\":\"status\"}").await["result"].take();
    let expected = json!({
        "status": "paused", "version": version, "uptime_s": "integer", "modes": ["paused"], "frames": "integer",
        "fps": "real", "tracks": "integer", "peers": "integer", "shared_status_foreign": "integer",
        "commands": {
            "executed": "integer", "rejected": "integer", "repeated": "integer", "rate_limited": "integer",
            "too_large": "integer", "for_another": "integer", "responses_refused": "integer",
        },
    });
    assert_eq!(shape(&status), expected);
}
