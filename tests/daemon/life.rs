//! Restarts, forced stops, and what is lost or kept over them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::program::{Camera, Program, SMALL_PLAZA};
use crate::support::proxy::Proxy;
use crate::support::watch::modes;
use crate::support::{Peer, Setup, TestBroker, against_each_broker, free_port, kinds};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_forces_a_camera_whose_goodbye_hangs() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let proxy = Proxy::start(broker.port()).await;
        let camera = Camera::new("gate", SMALL_PLAZA, proxy.port());
        let mut program = camera.run();
        Peer::watch_presence(broker.port()).online().await;
        proxy.swallow(|_, _| true);
        program.signal("TERM");
        // Sent to the process and to its group at once, it is one signal.
        program.signal("INT");
        program.says("stopping").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(program.is_running(), "{}", program.log());
        program.signal("TERM");
        assert_eq!(program.exit().await, Some(1), "{}", program.log());
        assert!(program.log().contains("forced to stop by a second signal"), "{}", program.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_that_hangs_does_not_hold_the_stop_up_for_ever() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let proxy = Proxy::start(broker.port()).await;
        let camera = Camera::new("gate", SMALL_PLAZA, proxy.port());
        let mut program = camera.run();
        Peer::watch_presence(broker.port()).online().await;
        proxy.swallow(|_, _| true);
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
        assert!(program.log().contains("not delivered before the stop"), "{}", program.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_without_its_broker_stops_in_order() {
    let camera = Camera::new("gate", SMALL_PLAZA, free_port());
    let mut program = camera.run();
    program.says("trying again").await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}

async fn track_ids(program: &mut Program, watch: &mut Peer, signal: &str) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    while ids.len() < 3 {
        ids.insert(watch.track().await.track_id.0);
    }
    program.signal(signal);
    program.exit().await;
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_never_repeat_and_boots_rise_over_restarts_in_order_and_by_force() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let mut presence = Peer::watch_presence(broker.port());
        let (mut seen, mut boot) = (BTreeSet::new(), 0);
        for signal in ["KILL", "TERM", "KILL"] {
            // A watch of its own for each run: what waited in the last one's is not this one's.
            let mut watch = Peer::subscribed(broker.port(), "watch", "omnisight/swarm/tracks/gate/+").await;
            let mut program = camera.run();
            let status = presence.presence(|status| status.boot.0 != boot).await.0;
            assert!(status.boot.0 > boot, "{status:?}");
            boot = status.boot.0;
            let ids = track_ids(&mut program, &mut watch, signal).await;
            assert!(seen.is_disjoint(&ids), "{seen:?} and again {ids:?}");
            seen.extend(ids);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_whose_state_cannot_be_saved_says_so_and_works() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        // Not even root can make a folder inside a file.
        let dir = camera.file().join("state");
        let mut tracks = Peer::watch_tracks(broker.port(), "gate");
        let mut program = Program::start(camera.command().env("OMNISIGHT_STATE__DIR", &dir));
        let mut watch = Peer::watch_presence(broker.port());
        // Neither the ids nor what waits can be kept there.
        watch.presence(|status| modes(status) == ["state_unsaved", "outbox_in_memory"]).await;
        tracks.track().await;
        assert!(program.log().contains(dir.to_str().unwrap()), "{}", program.log());
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_state_folder_ends_with_a_named_error_and_the_first_goes_on() {
    let broker = TestBroker::start(kinds()[0], Setup::default()).await;
    let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
    let mut watch = Peer::watch_presence(broker.port());
    let mut first = camera.run();
    let boot = watch.online().await.boot.0;
    let second = Program::finish(&mut camera.command());
    assert_eq!(second.code, Some(69), "{second:?}");
    assert!(second.err.contains("in use by another omnisight"), "{second:?}");
    assert_eq!(first.stop().await, Some(0), "{}", first.log());
    // The folder is free again.
    let mut third = camera.run();
    watch.presence(|status| status.boot.0 > boot).await;
    assert_eq!(third.stop().await, Some(0), "{}", third.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_of_rubbish_is_set_aside_and_ids_begin_far_from_the_old_ones() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let state = camera.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("state.json"), "{\"next_track_id\": 7").unwrap();
        let mut tracks = Peer::watch_tracks(broker.port(), "gate");
        let _program = camera.run();
        assert!(tracks.track().await.track_id.0 > 1_000_000);
        assert_eq!(std::fs::read(state.join("state.json.corrupt")).unwrap(), b"{\"next_track_id\": 7");
    })
    .await;
}
