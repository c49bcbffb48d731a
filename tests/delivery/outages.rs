//! Brokers that are stopped, killed, and come back.

use std::collections::{HashMap, HashSet};

use omnisight::model::Qos;

use crate::rig::{Receiver, Sender, emit, emitted, number};
use crate::support::proxy::{self, Proxy};
use crate::support::{DEADLINE, Kind, Setup, TestBroker, kinds};

/// How much of it.
#[derive(Clone, Copy)]
struct Size {
    events: u32,
    per_second: u32,
    outages: u32,
}

const SMALL: Size = Size { events: 1_000, per_second: 500, outages: 3 };
const FULL: Size = Size { events: 10_000, per_second: 500, outages: 20 };

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// In order.
    Stopped,
    /// SIGKILL.
    Killed,
}

/// Events at a steady rate while the broker goes and comes back; none lost, none twice. What the broker
/// acknowledged and then lost with its death is its own loss, and counted apart.
async fn events_survive(kind: Kind, end: End, size: Size) {
    let mut broker = TestBroker::start(kind, Setup::default()).await;
    let proxy = Proxy::start(broker.port()).await;
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(broker.port(), Qos::AtLeastOnce).await;
    let sender = Sender::durable(proxy.port(), "camera", folder.path());
    let told = emit(sender.router.clone(), size.events, size.per_second, Qos::AtLeastOnce);
    for outage in 1..=size.outages {
        emitted(&told, size.events * outage / (size.outages + 1)).await;
        match end {
            End::Stopped => broker.stop().await,
            End::Killed => broker.kill(),
        }
        broker.start_again().await;
    }
    emitted(&told, size.events).await;
    sender.drains().await;
    receiver.hears(size.events as usize, DEADLINE).await;
    let heard = receiver.heard();
    let missing: HashSet<u32> = (0..size.events).filter(|number| !heard.numbers.contains(number)).collect();
    let acknowledged = acknowledged(&proxy);
    let (brokers, ours): (Vec<u32>, Vec<u32>) =
        missing.iter().partition(|number| acknowledged.contains(number));
    let status = sender.link.status().borrow().clone();
    eprintln!(
        "{kind:?}: {} events, {} outages: {} lost by us, {} lost by the broker after its acknowledgement, \
         {} twice, {} duplicates dropped by their key, {} connections",
        size.events,
        size.outages,
        ours.len(),
        brokers.len(),
        heard.twice,
        heard.duplicates,
        status.counters.connects,
    );
    assert!(ours.is_empty(), "lost: {ours:?}\n{status:#?}");
    assert_eq!(heard.twice, 0);
    if end == End::Stopped {
        assert!(brokers.is_empty(), "acknowledged and lost at a stop in order: {brokers:?}");
    }
    assert!(status.counters.connects > u64::from(size.outages), "{status:#?}");
}

/// The numbers that the broker has acknowledged, whether or not the word of it came through.
fn acknowledged(proxy: &Proxy) -> HashSet<u32> {
    let mut in_flight = HashMap::new();
    let mut acknowledged = HashSet::new();
    for seen in proxy.seen() {
        let key = (seen.connection, seen.packet_id);
        match (seen.from, seen.kind) {
            (proxy::From::Link, proxy::Kind::Publish) if seen.qos > 0 => {
                in_flight.insert(key, number(&seen.payload));
            }
            (proxy::From::Broker, proxy::Kind::PubAck) => {
                acknowledged.extend(in_flight.get(&key));
            }
            _ => {}
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_comes_twice_while_the_broker_is_stopped_and_started() {
    for kind in kinds() {
        events_survive(kind, End::Stopped, SMALL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about a minute"]
async fn full_no_event_is_lost_or_comes_twice_while_the_broker_is_stopped_and_started() {
    for kind in kinds() {
        events_survive(kind, End::Stopped, FULL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_that_the_broker_had_not_acknowledged_when_it_was_killed() {
    if kinds().contains(&Kind::Mosquitto) {
        events_survive(Kind::Mosquitto, End::Killed, SMALL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about half a minute"]
async fn full_no_event_is_lost_that_the_broker_had_not_acknowledged_when_it_was_killed() {
    if kinds().contains(&Kind::Mosquitto) {
        events_survive(Kind::Mosquitto, End::Killed, FULL).await;
    }
}
