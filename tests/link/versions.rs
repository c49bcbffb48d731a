//! MQTT 5 and what it can say beside a payload; 3.1.1 where it must be.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use omnisight::link::{self, Fallback, Options, Version};
use omnisight::model::{Envelope, Qos};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::proxy::{From, Proxy};
use crate::support::watch::modes;
use crate::support::{Peer, Setup, TestBroker, event, kinds, link_options, presence};

fn v311(port: u16) -> Options {
    Options { version: Some(Version::V311), ..link_options(port) }
}

#[tokio::test(flavor = "multi_thread")]
async fn response_topic_correlation_data_and_user_properties_arrive_with_the_message() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let mut receiver = Peer::subscribed(broker.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&link_options(broker.port()), "sender", None, &[]);
        sender.send(Envelope {
            response_topic: Some("answers/7".to_owned()),
            correlation_data: Some(Bytes::from_static(&[0, 1, 255])),
            user_properties: vec![("trace".to_owned(), "a-b".to_owned())],
            expiry: Some(Duration::from_mins(1)),
            ..event("t/q", "{}")
        });
        let delivery = receiver.next().await;
        assert_eq!(delivery.response_topic.as_deref(), Some("answers/7"), "{kind:?}");
        assert_eq!(delivery.correlation_data.as_deref(), Some(&[0, 1, 255][..]), "{kind:?}");
        assert_eq!(delivery.user_properties, [("trace".to_owned(), "a-b".to_owned())], "{kind:?}");
        assert_eq!(&*delivery.link, "main", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_3_1_1_a_message_of_every_qos_arrives_and_a_will_is_published() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let mut receiver = Peer::spawn(&v311(broker.port()), "receiver", None, &["t/#"]);
        receiver.send(event("t/ready", "{}"));
        receiver.until(|delivery| delivery.topic == "t/ready").await;
        let will = presence("t/status", "offline");
        let sender = Peer::spawn(&v311(broker.port()), "sender", Some(will), &[]);
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            sender.send(Envelope { qos, ..event("t/x", &format!("{qos:?}")) });
            assert_eq!(receiver.next().await.payload, format!("{qos:?}"), "{kind:?}");
        }
        let status = sender.status(|status| status.counters.acknowledged == 2).await;
        assert_eq!((status.version, status.limits.fallback), (Version::V311, None), "{kind:?}");
        drop(sender);
        assert_eq!(receiver.next().await.payload, "offline", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_3_1_1_a_resumed_session_sends_again_and_qos_2_arrives_once() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let proxy = Proxy::start(broker.port()).await;
        let mut receiver = Peer::subscribed(broker.port(), "receiver", "t/#").await;
        let sender = Peer::spawn(&v311(proxy.port()), "sender", None, &[]);
        sender.status(|status| status.counters.connects == 1).await;
        proxy.swallow(|from, _| from == From::Broker);
        for number in 0..10 {
            sender.send(Envelope { qos: Qos::ExactlyOnce, ..event(&format!("t/{number}"), "{}") });
        }
        sender.status(|status| status.in_flight == 10).await;
        proxy.cut();
        sender.status(|status| status.counters.acknowledged == 10).await;
        sender.send(event("t/end", "{}"));
        let mut count = 0;
        while receiver.next().await.topic != "t/end" {
            count += 1;
        }
        assert_eq!(count, 10, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_5_in_the_manner_of_its_time_is_spoken_to_in_3_1_1() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let camera = Peer::spawn(&link_options(listener.local_addr().unwrap().port()), "camera", None, &[]);
    for (version, answer) in [(5, [0x20, 2, 0, 1]), (4, [0x20, 2, 0, 0])] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut connect = [0; 9];
        stream.read_exact(&mut connect).await.unwrap();
        assert_eq!(connect[8], version);
        stream.write_all(&answer).await.unwrap();
        if version == 4 {
            camera.status(|status| status.counters.connects == 1).await;
        }
    }
    let status = camera.link.status().borrow().clone();
    assert_eq!((status.version, status.limits.fallback), (Version::V311, Some(Fallback::Refused)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_closes_at_5_is_not_suspected_of_tls_before_3_1_1_was_tried() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let camera = Peer::spawn(&link_options(listener.local_addr().unwrap().port()), "camera", None, &[]);
    let mut version = 5;
    while version == 5 {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut connect = [0; 9];
        stream.read_exact(&mut connect).await.unwrap();
        drop(stream);
        version = connect[8];
        let hint = if version == 5 { "MQTT 3.1.1 is tried next" } else { "mqtts://" };
        let is_hint = |error: &link::Error| error.to_string().contains(hint);
        let status = camera.status(|status| status.last_error.as_ref().is_some_and(is_hint)).await;
        let error = status.last_error.unwrap().to_string();
        assert_eq!(error.contains("TLS"), version == 4, "{error}");
    }
}

/// Stands before a broker and refuses MQTT 5 as a broker of 3.1.1 does; returns its port.
async fn old_broker(broker_port: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut link, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Type, length (of one byte, or of two), "MQTT", version.
                let mut greeting = [0; 10];
                if link.read_exact(&mut greeting).await.is_err() {
                    return;
                }
                let name = greeting.windows(4).position(|word| word == b"MQTT").unwrap();
                if greeting[name + 4] == 5 {
                    let _ = link.write_all(&[0x20, 2, 0, 1]).await;
                    return;
                }
                let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, broker_port)).await.unwrap();
                broker.write_all(&greeting).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut link, &mut broker).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_3_1_1_is_a_mode_of_the_cameras_status() {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let camera = Camera::new("gate", SMALL_PLAZA, old_broker(broker.port()).await);
        let mut watch = Peer::watch_presence(broker.port());
        let mut program = camera.run();
        watch.presence(|status| modes(status).contains(&"old_protocol")).await;
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}
