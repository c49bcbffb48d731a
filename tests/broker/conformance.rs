//! What the Paho conformance suites found wanting in the crate, held as it is now.

use std::time::Duration;

use omnisight::broker::Options;

use crate::raw::{Client, Connect, anonymous, packet, property, publish, start, text, user_property};

const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const SERVER_KEEP_ALIVE: u8 = 0x13;

async fn pair(port: u16) -> (Client, Client) {
    let (watcher, _) = Client::connect(port, &Connect::new("watcher")).await;
    let (camera, _) = Client::connect(port, &Connect::new("camera")).await;
    (watcher, camera)
}

#[tokio::test]
async fn user_properties_come_as_they_were_sent_in_their_order_and_no_others() {
    let broker = start(anonymous()).await;
    let (mut watcher, mut camera) = pair(broker.local_addr().port()).await;
    watcher.subscribe("t", 1, &[]).await;
    let sent = [user_property("a", "2"), user_property("c", "3"), user_property("a", "1")].concat();
    camera.publish("t", &sent, b"x").await;
    assert_eq!(watcher.message().await.properties, sent);
}

#[tokio::test]
async fn who_publishes_is_not_told_to_who_reads() {
    let users = vec![("gate".to_owned(), omnisight::base::Secret::new("p"))];
    let broker = start(Options { users, allow_anonymous: false, ..anonymous() }).await;
    let port = broker.local_addr().port();
    let connect = |id| Connect { user: Some(("gate", "p")), ..Connect::new(id) };
    let (mut watcher, _) = Client::connect(port, &connect("watcher")).await;
    let (mut camera, _) = Client::connect(port, &connect("camera")).await;
    watcher.subscribe("t", 1, &[]).await;
    camera.publish("t", &[], b"x").await;
    let message = watcher.message().await;
    assert_eq!((message.properties, message.payload), (vec![], b"x".to_vec()));
}

#[tokio::test]
async fn each_copy_of_a_message_carries_the_identifier_of_its_subscription() {
    let broker = start(anonymous()).await;
    let (mut watcher, mut camera) = pair(broker.local_addr().port()).await;
    watcher.subscribe("t/a", 1, &[0x0b, 2]).await;
    watcher.subscribe("t/#", 1, &[0x0b, 0x85, 0x01]).await;
    camera.publish("t/a", &[], b"x").await;
    let mut identifiers = [watcher.message().await.properties, watcher.message().await.properties];
    identifiers.sort();
    assert_eq!(identifiers, [vec![0x0b, 2], vec![0x0b, 0x85, 0x01]]);
}

#[tokio::test]
async fn a_clients_topic_aliases_are_taken_up_to_the_maximum_and_forgotten_with_its_connection() {
    let broker = start(Options { topic_alias_maximum: 2, ..anonymous() }).await;
    let port = broker.local_addr().port();
    let (mut watcher, _) = Client::connect(port, &Connect::new("watcher")).await;
    watcher.subscribe("long/topic", 1, &[]).await;
    let (mut camera, connack) = Client::connect(port, &Connect::new("camera")).await;
    assert_eq!(property(&connack, TOPIC_ALIAS_MAXIMUM), Some(2));
    camera.publish("long/topic", &[0x23, 0, 2], b"one").await;
    camera.publish("", &[0x23, 0, 2], b"two").await;
    for payload in [b"one", b"two"] {
        let message = watcher.message().await;
        assert_eq!((message.topic.as_str(), message.payload.as_slice()), ("long/topic", &payload[..]));
    }
    // An alias of the last connection, one of 0, and one beyond the maximum.
    for alias in [2, 0, 3] {
        let (mut camera, _) = Client::connect(port, &Connect::new("camera")).await;
        let topic = if alias == 2 { "" } else { "long/topic" };
        camera.send(&publish(5, topic, &[0x23, 0, alias], b"no")).await;
        assert_eq!(camera.next().await, None, "alias {alias}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_maximum_packet_size_of_a_subscriber_is_kept_from_it_alone() {
    let broker = start(anonymous()).await;
    let port = broker.local_addr().port();
    let small = Connect { properties: &[MAXIMUM_PACKET_SIZE, 0, 0, 0, 200], ..Connect::new("small") };
    let (mut small, _) = Client::connect(port, &small).await;
    let (mut large, mut camera) = pair(port).await;
    for watcher in [&mut small, &mut large] {
        watcher.subscribe("t", 1, &[]).await;
    }
    for payload in [&[b'x'; 300][..], b"small"] {
        camera.publish("t", &[], payload).await;
    }
    assert_eq!(small.message().await.payload, b"small");
    assert_eq!(large.message().await.payload.len(), 300);
    assert_eq!(large.message().await.payload, b"small");
}

#[tokio::test]
async fn a_packet_beyond_the_brokers_maximum_ends_the_connection_that_sent_it() {
    let broker = start(Options { max_packet_bytes: 2_000, receive_maximum: 7, ..anonymous() }).await;
    let (mut camera, connack) = Client::connect(broker.local_addr().port(), &Connect::new("camera")).await;
    assert_eq!(property(&connack, MAXIMUM_PACKET_SIZE), Some(2_000));
    assert_eq!(property(&connack, RECEIVE_MAXIMUM), Some(7));
    camera.send(&publish(5, "t", &[], &[b'x'; 2_001])).await;
    assert_eq!(camera.next().await, None);
}

#[tokio::test]
async fn the_servers_keep_alive_is_told_and_holds() {
    let keep_alive = Some(Duration::from_secs(1));
    let broker = start(Options { keep_alive, ..anonymous() }).await;
    let connect = Connect { keep_alive_s: 120, ..Connect::new("camera") };
    let (mut camera, connack) = Client::connect(broker.local_addr().port(), &connect).await;
    assert_eq!(property(&connack, SERVER_KEEP_ALIVE), Some(1));
    // Silent for one and a half times as long: the broker lets go of it.
    assert_eq!(camera.next().await, None);
    let broker = start(anonymous()).await;
    let (_, connack) = Client::connect(broker.local_addr().port(), &connect).await;
    assert_eq!(property(&connack, SERVER_KEEP_ALIVE), None);
}

#[tokio::test]
async fn a_refused_subscription_has_the_failure_code_of_the_protocols_version() {
    let acl = Some(omnisight::broker::Acl::parse("topic read open/#").unwrap());
    let broker = start(Options { acl, ..anonymous() }).await;
    for (version, refused) in [(4, 0x80), (5, 0x87)] {
        let connect = Connect { version, ..Connect::new("camera") };
        let (mut camera, _) = Client::connect(broker.local_addr().port(), &connect).await;
        assert_eq!(camera.subscribe("open/a", 1, &[]).await, 1, "version {version}");
        assert_eq!(camera.subscribe("closed/a", 1, &[]).await, refused, "version {version}");
        assert_eq!(camera.subscribe("#", 1, &[]).await, refused, "version {version}");
    }
}

#[tokio::test]
async fn a_client_of_mqtt_3_1_1_hears_one_of_mqtt_5_and_the_other_way_round() {
    let broker = start(anonymous()).await;
    let port = broker.local_addr().port();
    let (mut old, connack) = Client::connect(port, &Connect { version: 4, ..Connect::new("old") }).await;
    assert_eq!(connack.body, [0, 0]);
    let (mut new, _) = Client::connect(port, &Connect::new("new")).await;
    old.subscribe("t/#", 1, &[]).await;
    new.subscribe("t/#", 1, &[]).await;
    new.publish("t/new", &user_property("a", "b"), b"from new").await;
    assert_eq!(new.message().await.payload, b"from new");
    assert_eq!(old.message().await.payload, b"from new");
    old.send(&publish(4, "t/old", &[], b"from old")).await;
    for _ in 0..2 {
        // The acknowledgement and the copy for itself, in whichever order.
        let next = old.next().await.unwrap();
        assert!(next.first == 0x40 || next.first == 0x32, "{next:?}");
    }
    assert_eq!(new.message().await.payload, b"from old");
}

#[tokio::test]
async fn a_message_of_quality_2_that_is_sent_again_is_delivered_once() {
    let broker = start(anonymous()).await;
    let (mut watcher, mut camera) = pair(broker.local_addr().port()).await;
    watcher.subscribe("t", 1, &[]).await;
    let body = [text("t"), vec![0, 9, 0], b"once".to_vec()].concat();
    for first in [0x34, 0x3c] {
        camera.send(&packet(first, &body)).await;
        assert_eq!(camera.next().await.unwrap().first, 0x50);
    }
    camera.send(&packet(0x62, &[0, 9])).await;
    assert_eq!(camera.next().await.unwrap().first, 0x70);
    camera.publish("t", &[], b"then").await;
    assert_eq!(watcher.message().await.payload, b"once");
    assert_eq!(watcher.message().await.payload, b"then");
}

/// A client of `QoS` 2 whose former connection the broker still believes in releases its message with the
/// first words of the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_quality_2_is_not_lost_when_its_client_comes_back_before_it_was_missed() {
    const PUBLISH_QOS_2: u8 = 0x34;
    const PUBREC: u8 = 0x50;
    const PUBCOMP: u8 = 0x70;
    let broker = start(anonymous()).await;
    let port = broker.local_addr().port();
    let (mut watcher, _) = Client::connect(port, &Connect::new("watcher")).await;
    watcher.subscribe("t", 1, &[]).await;
    // A session that is kept for a minute.
    let connect = Connect { clean: false, properties: &[0x11, 0, 0, 0, 60], ..Connect::new("camera") };
    let mut former = Vec::new();
    for round in 0..30_u8 {
        let (mut camera, _) = Client::connect(port, &connect).await;
        camera.send(&packet(PUBLISH_QOS_2, &[text("t"), vec![0, 7, 0, round]].concat())).await;
        assert_eq!(camera.next().await.map(|packet| packet.first), Some(PUBREC));
        former.push(camera);
        let release = [0x62, 2, 0, 7];
        let mut again = Client::greet(port, &[connect.packet(), release.to_vec()].concat()).await;
        let completed = again.next().await.unwrap();
        assert_eq!((completed.first, completed.body.get(2).unwrap_or(&0)), (PUBCOMP, &0), "round {round}");
        assert_eq!(watcher.message().await.payload, [round]);
        former.push(again);
    }
}
