//! Cameras that bring their own broker, for themselves and for their neighbours.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use crate::support::program::{Camera, Program, SMALL_PLAZA, omnisight};
use crate::support::watch::counter;
use crate::support::{Peer, free_port, link_options, with_password};

#[test]
fn an_address_in_use_is_named_and_the_exit_code_is_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let broker = format!("[broker]\nenabled = true\nallow_anonymous = true\nlisten = '{address}'");
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &broker);
    let finished = camera.run().wait();
    assert_eq!(finished.code, Some(69), "{finished:?}");
    assert!(finished.err.contains(&address), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_with_its_own_broker_talks_to_it_and_both_stop_in_order() {
    let port = free_port();
    let own = format!(
        "[broker]\nenabled = true\nallow_anonymous = true\nlisten = '127.0.0.1:{port}'\n\
         [[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nreconnect_first_s = 0.1"
    );
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &own);
    for _ in 0..2 {
        let mut program = camera.run();
        Peer::watch_presence(port).online().await;
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
        // The port is free again.
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}

fn shipped(name: &str, port: u16, state: &Path) -> Program {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/three-cameras/{name}.toml"));
    let mut command = omnisight(&["run", "--config", file.to_str().unwrap()]);
    if name == "gate" {
        command.env("OMNISIGHT_BROKER__LISTEN", format!("127.0.0.1:{port}"));
    }
    command
        .env("OMNISIGHT_BROKER_LINK__0__URL", format!("mqtt://127.0.0.1:{port}"))
        .env("OMNISIGHT_BROKER_LINK__0__RECONNECT_FIRST_S", "0.1")
        .env("OMNISIGHT_STATE__DIR", state.join(name))
        .env("OMNISIGHT_CAPTURE__WIDTH", "240")
        .env("OMNISIGHT_CAPTURE__HEIGHT", "180");
    Program::start(&mut command)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_shipped_cameras_see_each_others_tracks_and_one_that_is_killed_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let names = ["gate", "yard", "hall"];
    let mut programs = names.map(|name| shipped(name, port, folder.path()));
    let options = with_password(link_options(port), "watch", "change me");
    let mut watch = Peer::spawn(&options, "watch", None, &["omnisight/swarm/status/+"]);
    let mut hear = BTreeSet::from(names);
    while !hear.is_empty() {
        let (status, _) = watch.presence(|status| counter(status, "swarm_received_track") > 0).await;
        hear.remove(status.camera_id.as_str());
    }
    for (name, program) in names.iter().zip(&programs) {
        for other in names.iter().filter(|other| *other != name) {
            program.says(&format!("peer={other} change=Joined")).await;
        }
    }
    programs[2].signal("KILL");
    for program in &programs[..2] {
        program.says("peer=hall change=Lost(Offline)").await;
    }
    // The one with the broker last.
    for program in programs[..2].iter_mut().rev() {
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}
