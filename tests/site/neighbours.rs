//! On a large site the real program listens to its neighbours alone: what a broker brings it, as a proxy
//! before that broker sees.

use std::collections::BTreeSet;
use std::time::Instant;

use omnisight::model::{Envelope, MessageClass};

use crate::stage::camera;
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{From, Kind as Packet, Proxy};
use crate::support::{DEADLINE, Kind, Peer, Setup, TestBroker, link_options, presence};

/// Cameras besides the one under test; more than a small site has.
const OTHERS: usize = 40;

/// The other cameras, which one connection speaks for.
struct Others(Peer);

impl Others {
    fn new(port: u16) -> Self {
        Self(Peer::spawn(&link_options(port), "others", None, &[]))
    }

    /// A camera says that it sees the 8 by 8 metres that begin at `x_m` (the one under test sees 0 to 12.8).
    fn introduce(&self, number: usize, x_m: f64) {
        let (left, right) = (x_m, x_m + 8.0);
        let status = format!(
            r#"{{"camera_id":"c{number}","state":"online","version":"1","boot":1,"timestamp":1750000000000,"ground":"calibrated","footprint":[[{left:?},0.0],[{right:?},0.0],[{right:?},8.0],[{left:?},8.0]]}}"#
        );
        self.0.send(presence(&format!("omnisight/swarm/status/c{number}"), &status));
    }

    /// Each says something of a track.
    fn speak(&self) {
        for number in 1..=OTHERS {
            let topic = format!("omnisight/swarm/tracks/c{number}/1");
            self.0.send(Envelope::new(MessageClass::Track, topic, "{}"));
        }
    }

    /// Lets all speak until those that are heard, in what comes by on a connection, are just these.
    async fn are_heard(&self, wanted: &[usize], proxy: &Proxy, connection: usize) {
        let wanted: BTreeSet<String> =
            wanted.iter().map(|n| format!("omnisight/swarm/tracks/c{n}/1")).collect();
        let deadline = Instant::now() + DEADLINE;
        loop {
            proxy.record(true);
            self.speak();
            // What is sent after them comes after them.
            let marker = "omnisight/swarm/events/c1/1";
            self.0.send(crate::support::event(marker, "{}"));
            let heard = loop {
                let seen = proxy.seen();
                let came = seen.iter().filter(|s| {
                    (s.from, s.kind, s.connection) == (From::Broker, Packet::Publish, connection)
                });
                let topics: Vec<String> = came.map(|s| s.topic.clone()).collect();
                if topics.iter().any(|topic| topic == marker) {
                    break topics;
                }
                assert!(Instant::now() < deadline, "nothing comes by: {seen:?}");
                tokio::task::yield_now().await;
            };
            let heard: BTreeSet<String> =
                heard.into_iter().filter(|topic| topic.contains("/tracks/")).collect();
            if heard == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{heard:?} instead of {wanted:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_large_site_a_camera_hears_its_neighbours_alone_as_they_come_and_go_and_after_a_reconnect() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let proxy = Proxy::start(broker.port()).await;
    let others = Others::new(broker.port());
    let near = [1, 2, 3];
    for number in 1..=OTHERS {
        others.introduce(number, if near.contains(&number) { 20.0 } else { 1_000.0 * number as f64 });
    }
    let camera = camera("own", 0.0, proxy.port(), "");
    let mut program = camera.run();
    proxy.counted(From::Broker, Packet::SubAck, 1).await;
    others.are_heard(&near, &proxy, 0).await;
    // One goes far away, one comes near.
    others.introduce(1, 2_500.0);
    others.introduce(9, -30.0);
    others.are_heard(&[2, 3, 9], &proxy, 0).await;
    // The broker keeps the session, and what changes meanwhile holds after the connection is back.
    let asked = proxy.count(From::Broker, Packet::SubAck);
    proxy.cut_connections();
    others.introduce(2, 2_500.0);
    proxy.counted(From::Broker, Packet::SubAck, asked + 1).await;
    others.are_heard(&[3, 9], &proxy, 1).await;
    // The next process finds a session that listens to who is no neighbour any more.
    assert_eq!(program.stop().await, Some(0));
    others.introduce(3, 2_500.0);
    let asked = proxy.count(From::Broker, Packet::SubAck);
    let _program = camera.run();
    proxy.counted(From::Broker, Packet::SubAck, asked + 1).await;
    others.are_heard(&[9], &proxy, 2).await;
}
