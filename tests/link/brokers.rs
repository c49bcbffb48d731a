//! The link against real brokers: the embedded one, and mosquitto where it is installed.

use std::collections::BTreeMap;

use crate::support::proxy::{From, Proxy};
use crate::support::{
    DEADLINE, Kind, Peer, Setup, TestBroker, event, kinds, link_options, presence, with_password,
};
use bytes::Bytes;
use omnisight::link::{self, State};
use omnisight::model::{Envelope, Qos};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_every_qos_arrives_as_it_was_sent() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let mut receiver = Peer::subscribed(broker.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&link_options(broker.port()), "sender", None, &[]);
        sender.status(|status| status.state == State::Connected).await;
        for (topic, qos) in [("t/0", Qos::AtMostOnce), ("t/1", Qos::AtLeastOnce), ("t/2", Qos::ExactlyOnce)] {
            sender.send(Envelope { qos, ..event(topic, r#"{"x":1.0}"#) });
            let delivery = receiver.next().await;
            assert_eq!(delivery.topic, topic, "{kind:?}");
            assert_eq!(delivery.payload, r#"{"x":1.0}"#, "{kind:?}");
            assert_eq!(delivery.content_type.as_deref(), Some("application/json"), "{kind:?}");
            assert!(!delivery.retained, "{kind:?}");
        }
        let status = sender.status(|status| status.counters.acknowledged == 2).await;
        assert_eq!((status.counters.sent, status.in_flight, status.queued.total()), (3, 0, 0), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_presence_reaches_a_later_subscriber_also_after_a_restart_of_the_broker() {
    for kind in kinds() {
        let mut broker = TestBroker::start(kind, Setup::default()).await;
        let camera = Peer::spawn(&link_options(broker.port()), "camera", None, &[]);
        camera.send(presence("status/camera", "online"));
        camera.status(|status| status.counters.acknowledged == 1).await;
        let mut early = Peer::spawn(&link_options(broker.port()), "early", None, &["status/+"]);
        let delivery = early.next().await;
        assert_eq!((delivery.payload, delivery.retained), (Bytes::from("online"), true), "{kind:?}");
        broker.stop().await;
        broker.start_again().await;
        let mut late = Peer::spawn(&link_options(broker.port()), "late", None, &["status/+"]);
        let delivery = late.next().await;
        assert_eq!((delivery.payload, delivery.retained), (Bytes::from("online"), true), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_survive_a_restart_of_the_broker_in_their_midst() {
    for kind in kinds() {
        let mut broker = TestBroker::start(kind, Setup::default()).await;
        let mut receiver = Peer::subscribed(broker.port(), "receiver", "events/#").await;
        let sender = Peer::spawn(&link_options(broker.port()), "sender", None, &[]);
        for number in 0..100 {
            sender.send(event(&format!("events/{number}"), "{}"));
        }
        sender.status(|status| status.counters.acknowledged >= 10).await;
        broker.stop().await;
        for number in 100..200 {
            sender.send(event(&format!("events/{number}"), "{}"));
        }
        broker.start_again().await;
        let mut arrived = BTreeMap::new();
        while arrived.len() < 200 {
            *arrived.entry(receiver.next().await.topic).or_insert(0) += 1;
        }
        let status = sender.status(|status| status.queued.total() + status.in_flight == 0).await;
        assert_eq!((status.counters.connects, status.counters.dropped.total()), (2, 0), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_forgot_the_session_gets_again_what_it_had_not_acknowledged() {
    for kind in kinds() {
        let mut broker = TestBroker::start(kind, Setup { persistent: false, ..Setup::default() }).await;
        let proxy = Proxy::start(broker.port()).await;
        let mut camera = Peer::subscribed(proxy.port(), "camera", "events/#").await;
        proxy.swallow(|from, _| from == From::Link);
        for number in 0..10 {
            camera.send(event(&format!("events/{number}"), "{}"));
        }
        camera.status(|status| status.in_flight == 10).await;
        broker.stop().await;
        broker.start_again().await;
        proxy.cut();
        for number in 0..10 {
            assert_eq!(camera.next().await.topic, format!("events/{number}"), "{kind:?}");
        }
        let status = camera.status(|status| status.in_flight == 0).await;
        assert_eq!((status.counters.requeued, status.counters.connects), (10, 2), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_resends_what_is_in_flight_and_qos_2_arrives_once() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        let mut receiver = Peer::subscribed(broker.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&link_options(proxy.port()), "sender", None, &[]);
        sender.status(|status| status.state == State::Connected).await;
        // The broker gets the messages, but its answers are lost.
        proxy.swallow(|from, _| from == From::Broker);
        for number in 0..10 {
            sender.send(event(&format!("t/1/{number}"), "{}"));
            sender.send(Envelope { qos: Qos::ExactlyOnce, ..event(&format!("t/2/{number}"), "{}") });
        }
        sender.status(|status| status.in_flight == 20).await;
        proxy.cut();
        let status = sender.status(|status| status.counters.acknowledged == 20).await;
        assert_eq!(
            (status.counters.requeued, status.in_flight, status.counters.connects),
            (0, 0, 2),
            "{kind:?}"
        );
        sender.send(event("t/end", "{}"));
        let mut arrived = BTreeMap::new();
        loop {
            let topic = receiver.next().await.topic;
            if topic == "t/end" {
                break;
            }
            *arrived.entry(topic).or_insert(0) += 1;
        }
        assert_eq!(arrived.len(), 20, "{kind:?}");
        let twice = arrived.iter().find(|(topic, copies)| topic.starts_with("t/2/") && **copies != 1);
        assert_eq!(twice, None, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qos_2_message_whose_release_was_lost_arrives_once_and_does_not_loop_the_connection() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        let mut receiver = Peer::subscribed(proxy.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&link_options(broker.port()), "sender", None, &[]);
        // A PUBREL begins with 0x62.
        let (told, mut swallowed) = tokio::sync::mpsc::unbounded_channel();
        proxy.swallow(move |from, bytes| {
            let release = from == From::Broker && bytes[0] == 0x62;
            if release {
                told.send(()).unwrap();
            }
            release
        });
        sender.send(Envelope { qos: Qos::ExactlyOnce, ..event("t/once", "{}") });
        assert_eq!(receiver.next().await.topic, "t/once", "{kind:?}");
        tokio::time::timeout(DEADLINE, swallowed.recv()).await.expect("the release was swallowed");
        proxy.cut();
        receiver.status(|status| status.counters.connects == 2).await;
        for number in 0..3 {
            sender.send(Envelope { qos: Qos::ExactlyOnce, ..event(&format!("t/{number}"), "{}") });
            assert_eq!(receiver.next().await.topic, format!("t/{number}"), "{kind:?}");
        }
        assert_eq!(receiver.link.status().borrow().counters.connects, 2, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_later_is_found() {
    for kind in kinds() {
        let mut broker = TestBroker::start(kind, Setup::default()).await;
        broker.stop().await;
        let camera = Peer::spawn(&link_options(broker.port()), "camera", None, &[]);
        let status =
            camera.status(|status| status.state == State::Waiting && status.last_error.is_some()).await;
        let error = status.last_error.unwrap();
        assert_eq!(error.word(), "unreachable", "{kind:?}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{}", broker.port())), "{error}");
        camera.send(event("waits", "{}"));
        broker.start_again().await;
        camera.status(|status| status.counters.acknowledged == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_a_right_one_connects() {
    for kind in kinds() {
        let setup = Setup { user: Some(("camera", "secret")), ..Setup::default() };
        let broker = TestBroker::start(kind, setup).await;
        // mosquitto says for a wrong password what it says for a client without rights.
        let word = if kind == Kind::Mosquitto { "not authorised" } else { "wrong password" };
        let wrong = with_password(link_options(broker.port()), "camera", "guess");
        let wrong = Peer::spawn(&wrong, "wrong", None, &[]);
        let status =
            wrong.status(|status| status.state == State::Waiting && status.last_error.is_some()).await;
        assert_eq!(status.last_error.unwrap().word(), word, "{kind:?}");
        let anonymous = Peer::spawn(&link_options(broker.port()), "anonymous", None, &[]);
        let status = anonymous.status(|status| status.last_error.is_some()).await;
        assert_eq!(status.last_error.unwrap().word(), "not authorised", "{kind:?}");
        let right = with_password(link_options(broker.port()), "camera", "secret");
        let right = Peer::spawn(&right, "right", None, &[]);
        right.status(|status| status.state == State::Connected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_will_is_published_when_the_connection_is_cut() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let mut watcher = Peer::subscribed(broker.port(), "watcher", "status/#").await;
        let will = presence("status/camera", "offline");
        let camera = Peer::spawn(&link_options(broker.port()), "camera", Some(will), &[]);
        camera.send(presence("status/camera", "online"));
        assert_eq!(watcher.next().await.payload, "online", "{kind:?}");
        drop(camera);
        let delivery = watcher.next().await;
        assert_eq!(delivery.payload, "offline", "{kind:?}");
        assert_eq!(delivery.content_type.as_deref(), Some("application/json"), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_flushes_says_farewell_and_leaves_no_will() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let mut watcher = Peer::subscribed(broker.port(), "watcher", "t/#").await;
        let will = presence("t/status", "cut off");
        let mut camera = Peer::spawn(&link_options(broker.port()), "camera", Some(will), &[]);
        for number in 0..150 {
            camera.send(event(&format!("t/{number}"), "{}"));
        }
        let status = camera.link.close(Some(presence("t/status", "offline")), DEADLINE).await;
        assert_eq!((status.state, status.counters.acknowledged), (State::Closed, 151), "{kind:?}");
        for number in 0..150 {
            assert_eq!(watcher.next().await.topic, format!("t/{number}"), "{kind:?}");
        }
        assert_eq!(watcher.next().await.payload, "offline", "{kind:?}");
        // What the broker would publish for a connection that was cut comes before this.
        watcher.send(event("t/end", "{}"));
        assert_eq!(watcher.next().await.topic, "t/end", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_message_of_10_mb_does_not_reach_us_and_does_not_loop_the_connection() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let mut camera = Peer::subscribed(broker.port(), "camera", "t/#").await;
        let options = link::Options { max_packet_bytes: 32 << 20, ..link_options(broker.port()) };
        let all = link::QueueLimits { messages: 10, bytes: 64 << 20 };
        let waiting = link::WaitingLimits { all, ..link::WaitingLimits::default() };
        let peer = Peer::spawn(&link::Options { waiting, ..options }, "peer", None, &[]);
        for retain in [false, true] {
            let payload = Bytes::from(vec![b' '; 10 << 20]);
            peer.send(Envelope { payload, retain, ..event("t/huge", "") });
        }
        peer.send(event("t/small", "{}"));
        peer.status(|status| status.counters.acknowledged == 3).await;
        assert_eq!(camera.next().await.topic, "t/small", "{kind:?}");
        assert_eq!(camera.link.status().borrow().counters.connects, 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_the_broker_is_refused_before_it_is_sent() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup { max_packet_bytes: 2_000, ..Setup::default() }).await;
        let camera = Peer::spawn(&link_options(broker.port()), "camera", None, &[]);
        camera.send(event("t", &"x".repeat(2_000)));
        camera.send(event("t", &"x".repeat(1_900)));
        let status = camera.status(|status| status.counters.acknowledged == 1).await;
        let counters = status.counters;
        assert_eq!((counters.refused_too_large, counters.connects), (1, 1), "{kind:?}");
    }
}
