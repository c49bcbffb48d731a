//! Links that are cut in the middle of packets, and worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use omnisight::model::Qos;

use crate::rig::{Receiver, Sender, emit, emitted};
use crate::support::proxy::{Conditions, From, Kind as Packet, Proxy, Seen, Verdict};
use crate::support::{DEADLINE, Kind, Setup, TestBroker, kinds};

#[derive(Clone, Copy)]
struct Size {
    events: u32,
    per_second: u32,
    cuts: u32,
}

const SMALL: Size = Size { events: 1_000, per_second: 1_000, cuts: 10 };
const FULL: Size = Size { events: 10_000, per_second: 500, cuts: 100 };

/// Cuts in the middle of messages and of their acknowledgements, in turn, a step apart.
fn cutter(size: Size, cuts: Arc<AtomicU32>) -> impl FnMut(&Seen) -> Verdict + Send {
    let step = size.events / size.cuts;
    let mut packets = 0;
    move |seen| {
        let cut = cuts.load(Ordering::Relaxed);
        let wanted = if cut.is_multiple_of(2) {
            (From::Link, Packet::Publish)
        } else {
            (From::Broker, Packet::PubAck)
        };
        if cut >= size.cuts || (seen.from, seen.kind) != wanted {
            return Verdict::Pass;
        }
        packets += 1;
        if !u32::is_multiple_of(packets, step.max(1)) {
            return Verdict::Pass;
        }
        cuts.store(cut + 1, Ordering::Relaxed);
        // After the first byte, before the last, and between.
        Verdict::CutAt(match cut % 3 {
            0 => 1,
            1 => seen.bytes - 1,
            _ => seen.bytes / 2,
        })
    }
}

async fn events_survive_cuts(size: Size) {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        let cuts = Arc::new(AtomicU32::new(0));
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(broker.port(), Qos::AtLeastOnce).await;
        proxy.judge(cutter(size, Arc::clone(&cuts)));
        let sender = Sender::durable(proxy.port(), "camera", folder.path());
        let told = emit(sender.router.clone(), size.events, size.per_second, Qos::AtLeastOnce);
        emitted(&told, size.events).await;
        // Every cut makes messages go again, so that the last of them finds one.
        sender.drains().await;
        let mut extra = size.events;
        while cuts.load(Ordering::Relaxed) < size.cuts {
            for _ in 0..size.events / size.cuts {
                sender.router.send(crate::rig::numbered(extra, Qos::AtLeastOnce));
                extra += 1;
            }
            sender.drains().await;
        }
        assert!(receiver.hears(extra as usize, DEADLINE).await, "{kind:?}: lost");
        let heard = receiver.heard();
        eprintln!(
            "{kind:?}: {extra} events, {} cuts in the middle of packets: 0 lost, {} twice, {} duplicates dropped \
             by their key",
            cuts.load(Ordering::Relaxed),
            heard.twice,
            heard.duplicates
        );
        assert_eq!(heard.twice, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_comes_twice_while_the_link_is_cut_in_the_middle_of_packets() {
    events_survive_cuts(SMALL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about a minute"]
async fn full_no_event_is_lost_or_comes_twice_while_the_link_is_cut_in_the_middle_of_packets() {
    events_survive_cuts(FULL).await;
}

/// A generator of the proxy's moods, the same every time.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Every packet of the exchange of `QoS` 2, in both directions, may be cut before, in the midst or after.
fn worst(mut seed: u64, faults: Arc<AtomicU32>, faults_max: u32) -> impl FnMut(&Seen) -> Verdict + Send {
    const ONE_IN: u64 = 40;
    move |seen| {
        let exchange = [Packet::Publish, Packet::PubRec, Packet::PubRel, Packet::PubComp];
        if !exchange.contains(&seen.kind) || faults.load(Ordering::Relaxed) >= faults_max {
            return Verdict::Pass;
        }
        if !next(&mut seed).is_multiple_of(ONE_IN) {
            return Verdict::Pass;
        }
        faults.fetch_add(1, Ordering::Relaxed);
        match next(&mut seed) % 3 {
            0 => Verdict::CutAt(0),
            1 => Verdict::CutAt(seen.bytes / 2),
            _ => Verdict::CutAfter,
        }
    }
}

async fn exactly_once(kind: Kind, events: u32, per_second: u32, faults_max: u32) {
    let broker = TestBroker::start(kind, Setup::default()).await;
    let proxy = Proxy::start(broker.port()).await;
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(broker.port(), Qos::ExactlyOnce).await;
    let faults = Arc::new(AtomicU32::new(0));
    proxy.judge(worst(7, Arc::clone(&faults), faults_max));
    proxy.set(Conditions { delay: Duration::from_millis(2), ..Conditions::default() });
    let sender = Sender::durable(proxy.port(), "camera", folder.path());
    let told = emit(sender.router.clone(), events, per_second, Qos::ExactlyOnce);
    // Half-open, as when a router forgets: the broker goes on believing in the connection.
    for part in 1..=4 {
        emitted(&told, events * part / 5).await;
        proxy.cut_links_side();
    }
    emitted(&told, events).await;
    sender.drains().await;
    receiver.hears(events as usize, DEADLINE).await;
    let heard = receiver.heard();
    eprintln!(
        "{kind:?}: {events} messages of QoS 2, {} faults, 4 half-open connections: {} lost, {} more than once",
        faults.load(Ordering::Relaxed),
        events as usize - heard.numbers.len(),
        heard.twice + heard.duplicates
    );
    assert_eq!(heard.numbers.len(), events as usize, "{kind:?}: lost");
    // Here the protocol alone must do it: the receiver's keys find nothing to drop.
    assert_eq!(heard.twice + heard.duplicates, 0);
    assert!(faults.load(Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_quality_2_comes_exactly_once_through_the_worst() {
    for kind in kinds() {
        exactly_once(kind, 500, 500, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about a minute"]
async fn full_a_message_of_quality_2_comes_exactly_once_through_the_worst() {
    for kind in kinds() {
        exactly_once(kind, 10_000, 500, 200).await;
    }
}
