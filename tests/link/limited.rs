//! Brokers that offer less: a real mosquitto with features turned off. What is there is used, what is missing is named.

use std::process::Command;
use std::time::{Duration, Instant};

use omnisight::link::{Limits, Options, Version};
use omnisight::model::{Envelope, Qos};
use tempfile::TempDir;

use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::proxy::{From, Kind, Proxy, Verdict};
use crate::support::watch::modes;
use crate::support::{Peer, event, free_port, link_options, presence};

/// A mosquitto with one more line in its configuration; none where it is not installed.
fn broker(setting: &str) -> Option<(Mosquitto, TempDir, u16)> {
    Mosquitto::installed().then(|| {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let broker = Mosquitto::start(folder.path(), port, &format!("allow_anonymous true\n{setting}"));
        (broker, folder, port)
    })
}

fn camera(port: u16, version: Option<Version>) -> Peer {
    let options = Options { version, ..link_options(port) };
    Peer::spawn(&options, "camera", Some(presence("t/status", "offline")), &["t/#"])
}

async fn limits(camera: &Peer) -> Limits {
    camera.status(|status| status.counters.connects > 0).await.limits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_retained_messages_is_used_and_named_in_either_version() {
    let Some((_broker, _folder, port)) = broker("retain_available false") else { return };
    for version in [None, Some(Version::V311)] {
        let mut camera = camera(port, version);
        assert!(!limits(&camera).await.retain, "{version:?}");
        camera.send(presence("t/status", "online"));
        assert_eq!(camera.next().await.payload, "online", "{version:?}");
        camera.link.close(None, crate::support::DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_closes_at_qos_2_gets_qos_1_and_the_highest_qos_is_named() {
    let Some((_broker, _folder, port)) = broker("max_qos 1") else { return };
    for version in [None, Some(Version::V311)] {
        let mut camera = camera(port, version);
        camera.send(Envelope { qos: Qos::ExactlyOnce, ..event("t/weights", "{}") });
        camera.until(|delivery| delivery.topic == "t/weights").await;
        let status = camera.status(|status| status.in_flight == 0).await;
        assert_eq!(status.limits.qos_max, Qos::AtLeastOnce, "{version:?}");
        camera.link.close(None, crate::support::DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_qos_0_gets_everything_with_it() {
    let Some((_broker, _folder, port)) = broker("max_qos 0") else { return };
    for version in [None, Some(Version::V311)] {
        let mut camera = camera(port, version);
        camera.send(event("t/event", "{}"));
        camera.until(|delivery| delivery.topic == "t/event").await;
        assert_eq!(limits(&camera).await.qos_max, Qos::AtMostOnce, "{version:?}");
        camera.link.close(None, crate::support::DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_packet_limit_is_named_and_what_fits_arrives() {
    let Some((_broker, _folder, port)) = broker("max_packet_size 500") else { return };
    let mut camera = camera(port, None);
    camera.send(event("t/large", &"x".repeat(600)));
    camera.send(event("t/small", "{}"));
    camera.until(|delivery| delivery.topic == "t/small").await;
    let status = camera.link.status().borrow().clone();
    assert!(status.limits.is_packet_small());
    assert_eq!(status.counters.refused_too_large, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lacks_is_a_mode_of_the_cameras_status() {
    let Some((_broker, _folder, port)) = broker("retain_available false\nmax_qos 1") else { return };
    let mut watch = Peer::watch_presence(port);
    let gate = Camera::new("gate", SMALL_PLAZA, port);
    let mut program = gate.run();
    let wanted = ["retain_unavailable", "qos_limited"];
    watch.presence(|status| wanted.iter().all(|mode| modes(status).contains(mode))).await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_with_one_id_say_so_and_do_not_fight_for_it() {
    let Some((_broker, _folder, port)) = broker("") else { return };
    let mut watch = Peer::watch_presence(port);
    let cameras = [0; 2].map(|_| Camera::new("gate", SMALL_PLAZA, port));
    let mut programs = cameras.each_ref().map(Camera::run);
    watch.presence(|status| modes(status).contains(&"client_id_taken")).await;
    // By the presence of the other one, or by connections that are closed as soon as they began.
    let ways = ["another process with this camera's id is online", "client id in use elsewhere"];
    let said = |program: &Program| ways.iter().any(|way| program.log().contains(way));
    let log = programs.each_ref().map(Program::log).join("\n");
    assert!(programs.iter().any(said), "{log}");
    for program in &mut programs {
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_camera_that_is_offline_is_learned_of_where_wildcards_find_no_retained_messages() {
    let Some((_broker, _folder, port)) = broker("") else { return };
    let proxy = Proxy::start(port).await;
    let (gate, door) =
        (Camera::new("gate", SMALL_PLAZA, proxy.port()), Camera::new("door", SMALL_PLAZA, port));
    let known = gate.path().join("state/known-cameras.json");
    let (mut first, mut away) = (gate.run(), door.run());
    let is_known = |_: &Program| std::fs::read_to_string(&known).is_ok_and(|ids| ids.contains("\"door\""));
    first.until("the id of the other camera is kept", is_known).await;
    assert_eq!((first.stop().await, away.stop().await), (Some(0), Some(0)));
    // As RabbitMQ does: what is retained comes for an exact filter alone, which follows later than the wildcards.
    let (mut began, mut is_exact) = (None, false);
    proxy.judge(move |seen| {
        let began = began.get_or_insert_with(Instant::now);
        is_exact |= seen.kind == Kind::Subscribe && began.elapsed() > Duration::from_secs(3);
        let is_withheld =
            seen.from == From::Broker && seen.topic == "omnisight/swarm/status/door" && !is_exact;
        if is_withheld { Verdict::Drop } else { Verdict::Pass }
    });
    let mut watch = Peer::watch_presence(port);
    let mut again = gate.run();
    watch.presence(|status| modes(status).contains(&"retained_wildcards_unavailable")).await;
    assert_eq!(again.stop().await, Some(0), "{}", again.log());
}

#[test]
fn a_dot_in_the_camera_id_is_warned_of() {
    let gate = Camera::new("gate.1", SMALL_PLAZA, 1);
    let mut check: Command =
        crate::support::program::omnisight(&["check", "--config", gate.file().to_str().unwrap()]);
    let done = Program::finish(&mut check);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("camera.id = \"gate.1\" has a dot"), "{}", done.err);
}
