//! The link through the fault proxy: what the field does to connections.

use std::collections::BTreeMap;
use std::time::Duration;

use omnisight::model::{Envelope, Qos};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::support::proxy::{From, Kind, Proxy, Seen, Verdict};
use crate::support::{Peer, Setup, TestBroker, against_each_broker, event, kinds, link_options};

/// Cuts before, in and after packets, and swallows some before a cut: all that a network can do to what
/// one side believes to have sent. After `faults` of them everything passes.
fn worst(seed: u64, faults: usize) -> impl FnMut(&Seen) -> Verdict + Send {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut left = faults;
    move |seen| {
        let greeting = matches!(seen.kind, Kind::Connect | Kind::ConnAck);
        if left == 0 || greeting || rng.random_bool(0.8) {
            return Verdict::Pass;
        }
        left -= 1;
        match rng.random_range(0..4) {
            0 => Verdict::CutAfter,
            1 => Verdict::CutAt(0),
            2 => Verdict::CutAt(rng.random_range(0..seen.bytes)),
            _ => Verdict::CutLater(Duration::from_millis(rng.random_range(0..20))),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qos_2_through_the_worst_that_a_network_does_arrives_exactly_once() {
    const FAULTS: usize = 25;
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let kind = broker.kind();
        let (outward, inward) = (Proxy::start(broker.port()).await, Proxy::start(broker.port()).await);
        let mut receiver = Peer::subscribed(inward.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&link_options(outward.port()), "sender", None, &[]);
        sender.status(|status| status.counters.connects == 1).await;
        // A broker that never answered one with QoS 2 might be one that closes connections because of it.
        sender.send(Envelope { qos: Qos::ExactlyOnce, ..event("t/first", "{}") });
        receiver.until(|delivery| delivery.topic == "t/first").await;
        sender.status(|status| status.counters.acknowledged == 1).await;
        outward.judge(worst(1, FAULTS));
        inward.judge(worst(2, FAULTS));
        for number in 0..200 {
            sender.send(Envelope { qos: Qos::ExactlyOnce, ..event(&format!("t/{number}"), "{}") });
        }
        let mut arrived = BTreeMap::<String, usize>::new();
        while arrived.len() < 200 {
            *arrived.entry(receiver.next().await.topic).or_default() += 1;
        }
        sender.status(|status| status.counters.acknowledged == 201).await;
        // What came a second time would come before this.
        outward.pass_all();
        inward.pass_all();
        sender.send(Envelope { qos: Qos::ExactlyOnce, ..event("t/end", "{}") });
        loop {
            let topic = receiver.next().await.topic;
            if topic == "t/end" {
                break;
            }
            *arrived.entry(topic).or_default() += 1;
        }
        let twice: Vec<_> = arrived.iter().filter(|(_, copies)| **copies != 1).collect();
        assert!(twice.is_empty(), "{kind:?}: {twice:?}");
        assert!(outward.accepted() > 10 && inward.accepted() > 10, "{kind:?}: hardly a fault");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_byte_of_a_message_loses_nothing() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        let mut receiver = Peer::subscribed(broker.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&link_options(proxy.port()), "sender", None, &[]);
        sender.status(|status| status.counters.connects == 1).await;
        for (cuts, at) in (0..40).step_by(3).enumerate() {
            let topic = format!("t/{at}");
            proxy.cut_in_publish(1, at);
            sender.send(event(&topic, "{}"));
            receiver.until(|delivery| delivery.topic == topic).await;
            // The broker may have had the whole message before the cut, and pass it on before we are back.
            let back = 2 + cuts as u64;
            sender.status(|status| status.counters.connects == back && status.in_flight == 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_comes_back_while_the_broker_believes_in_its_old_connection_goes_on() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        let mut camera = Peer::subscribed(proxy.port(), "camera", "t/#").await;
        for number in 0..3 {
            proxy.cut_links_side();
            camera.send(event(&format!("t/{number}"), "{}"));
            camera.until(|delivery| delivery.topic == format!("t/{number}")).await;
        }
        assert_eq!(proxy.count(From::Link, Kind::Connect), 4, "{kind:?}");
    }
}
