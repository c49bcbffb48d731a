//! What a camera says of itself and of what it sees, and what the broker says when it is gone.

use std::collections::{BTreeMap, BTreeSet};

use omnisight::swarm::message::{GroundKind, Name, Presence, StatusMessage};

use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::watch::modes;
use crate::support::{Peer, Setup, TestBroker, against_each_broker};

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_publishes_a_retained_presence_that_a_later_subscriber_gets() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let _program = camera.run();
        let first = Peer::watch_presence(broker.port()).online().await;
        let mut later = Peer::spawn(
            &crate::support::link_options(broker.port()),
            "later",
            None,
            &["omnisight/swarm/status/gate"],
        );
        // What is published at that moment may come before it.
        let (status, delivery) = loop {
            let heard = later.presence(|_| true).await;
            if heard.1.retained {
                break heard;
            }
        };
        assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
        assert_eq!(status.camera_id.as_str(), "gate");
        assert_eq!(status.state, Presence::Online);
        assert_eq!(status.version.as_str(), env!("CARGO_PKG_VERSION"));
        assert_eq!(status.boot, first.boot);
        // Later than the day this was written.
        assert!(status.boot.0 > 1_767_225_600_000, "{status:?}");
        assert!(status.timestamp >= Some(status.boot));
        assert_eq!(status.ground, Some(GroundKind::Calibrated));
        assert!(status.footprint.as_ref().is_some_and(|corners| corners.len() >= 3), "{status:?}");
        assert_eq!(status.encodings.iter().map(Name::as_str).collect::<Vec<_>>(), ["json", "msgpack"]);
        assert!(modes(&status).is_empty(), "{status:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tracks_decode_and_lie_in_the_plaza_at_no_more_than_10_hz_each() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", &format!("{SMALL_PLAZA}\nfps = 25"), broker.port());
        let mut watch = Peer::watch_tracks(broker.port(), "gate");
        let _program = camera.run();
        let mut times: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut sequence = BTreeSet::new();
        for _ in 0..150 {
            let track = watch.track().await;
            let place = track.global_position;
            assert!(place.x.0.abs() < 20.0 && place.y.0.abs() < 20.0, "{track:?}");
            assert!(track.velocity.x.0.hypot(track.velocity.y.0) < 20.0, "{track:?}");
            assert!(track.cov.is_some() && (0.0..=1.0).contains(&track.confidence.0), "{track:?}");
            assert!(sequence.insert(track.seq.map(|seq| seq.0)), "{track:?}");
            if !track.ended {
                times.entry(track.track_id.0).or_default().push(track.timestamp.0);
            }
        }
        for (id, times) in times {
            let span_ms = times[times.len() - 1] - times[0];
            assert!(times.len() as u64 <= span_ms / 100 + 1, "{:?} track {id}: {times:?}", broker.kind());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_and_on_ctrl_c_a_camera_says_goodbye_and_exits_with_0() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        for signal in ["TERM", "INT"] {
            let camera = Camera::new(signal, SMALL_PLAZA, broker.port());
            let mut program = camera.run();
            let mut watch = Peer::watch_presence(broker.port());
            let online = watch.presence(|s| s.camera_id.as_str() == signal).await.0;
            assert_eq!(online.state, Presence::Online);
            program.signal(signal);
            assert_eq!(program.exit().await, Some(0), "{}", program.log());
            // The other camera's goodbye is retained, and may be heard here too.
            let gone = |s: &StatusMessage| s.camera_id.as_str() == signal && s.state == Presence::Offline;
            let offline = watch.presence(gone).await.0;
            assert_eq!(offline.boot, online.boot);
            let mut later = Peer::spawn(
                &crate::support::link_options(broker.port()),
                "later",
                None,
                &[&format!("omnisight/swarm/status/{signal}")],
            );
            let (status, delivery) = later.presence(|_| true).await;
            assert_eq!((status.state, delivery.retained), (Presence::Offline, true), "{:?}", broker.kind());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_camera_is_killed_the_broker_says_that_it_is_offline() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let mut program = camera.run();
        let mut watch = Peer::watch_presence(broker.port());
        let online = watch.online().await;
        program.signal("KILL");
        assert_eq!(program.exit().await, None);
        assert_eq!(watch.offline().await.boot, online.boot, "{:?}", broker.kind());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_later_is_found_and_gets_the_birth() {
    against_each_broker(Setup::default(), async |mut broker: TestBroker| {
        broker.stop().await;
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let mut program = camera.run();
        program.says("trying again").await;
        broker.start_again().await;
        Peer::watch_presence(broker.port()).online().await;
        assert!(program.log().contains(&format!("127.0.0.1:{}", broker.port())), "{}", program.log());
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_without_its_memory_gets_the_presence_again() {
    let forgetful = Setup { persistent: false, ..Setup::default() };
    against_each_broker(forgetful, async |mut broker: TestBroker| {
        let camera = Camera::new("gate", SMALL_PLAZA, broker.port());
        let program = camera.run();
        let before = Peer::watch_presence(broker.port()).online().await;
        broker.stop().await;
        program.says("trying again").await;
        broker.start_again().await;
        let mut watch = Peer::watch_presence(broker.port());
        let after = watch.presence(|s| s.timestamp > before.timestamp).await.0;
        assert_eq!((after.state, after.boot), (Presence::Online, before.boot), "{:?}", broker.kind());
        let mut tracks = Peer::watch_tracks(broker.port(), "gate");
        tracks.track().await;
    })
    .await;
}
