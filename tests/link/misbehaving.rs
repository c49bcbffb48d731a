//! The link against brokers that are written here, byte by byte, to say what no broker should.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use omnisight::link::{self, Status, WhyRefused};
use omnisight::model::{Envelope, MessageClass, Qos};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{DEADLINE, Peer, event, link_options};

/// A broker whose every word is the test's.
struct Script {
    listener: TcpListener,
}

/// One connection of it.
struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Script {
    async fn listen() -> Self {
        Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap() }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection, when its CONNECT was read.
    async fn next(&self) -> Line {
        let accepted = timeout(DEADLINE, self.listener.accept()).await.expect("a connection");
        let mut line = Line { stream: accepted.unwrap().0, unread: Vec::new() };
        let connect = line.packet().await;
        assert_eq!(connect[0], 0x10, "a CONNECT comes first");
        line
    }

    /// The next connection, accepted with these properties of the CONNACK.
    async fn accept(&self, session_present: bool, properties: &[u8]) -> Line {
        let mut line = self.next().await;
        let length = properties.len() as u8;
        let mut connack = vec![0x20, 3 + length, u8::from(session_present), 0, length];
        connack.extend_from_slice(properties);
        line.say(&connack).await;
        line
    }
}

impl Line {
    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet, whole.
    async fn packet(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = self.whole() {
                let rest = self.unread.split_off(length);
                return std::mem::replace(&mut self.unread, rest);
            }
            let mut buffer = [0; 4096];
            let read = timeout(DEADLINE, self.stream.read(&mut buffer)).await.expect("a packet").unwrap();
            assert_ne!(read, 0, "the link closed the connection");
            self.unread.extend_from_slice(&buffer[..read]);
        }
    }

    fn whole(&self) -> Option<usize> {
        let mut length = 0;
        for (i, byte) in self.unread.get(1..)?.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Some(2 + i + length).filter(|whole| self.unread.len() >= *whole);
            }
        }
        None
    }

    /// The next packet of this type; others are read past.
    async fn packet_of_type(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let packet = self.packet().await;
            if packet[0] >> 4 == kind {
                return packet;
            }
        }
    }
}

async fn error_word(camera: &Peer, word: &str) -> Status {
    camera.status(|status| status.last_error.as_ref().is_some_and(|error| error.word() == word)).await
}

/// A PUBLISH of MQTT 5 without properties, of `length` bytes after its fixed header.
fn publish_header(length: usize, topic: &str) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut rest = length;
    loop {
        let more = rest > 0x7f;
        packet.push((rest & 0x7f) as u8 | if more { 0x80 } else { 0 });
        rest >>= 7;
        if !more {
            break;
        }
    }
    packet.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.push(0);
    packet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_says_nothing_is_named() {
    let script = Script::listen().await;
    let options =
        link::Options { connect_timeout: Duration::from_millis(300), ..link_options(script.port()) };
    let camera = Peer::spawn(&options, "camera", None, &[]);
    let _silent = script.next().await;
    let status = error_word(&camera, "timeout").await;
    assert!(status.last_error.unwrap().to_string().contains("no CONNACK came"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_named_before_and_after_the_greeting() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    for rubbish in [&[0xff; 64][..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0x30; 64], &[0; 64]] {
        let mut line = script.next().await;
        line.say(rubbish).await;
        error_word(&camera, "protocol error").await;
    }
    let mut line = script.accept(false, &[]).await;
    line.say(&[0xf0, 0xff, 0xff, 0xff, 0xff, 0xff]).await;
    camera.status(|status| status.counters.disconnects == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_closes_after_connect_is_named_and_not_hammered() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    for _ in 0..3 {
        drop(script.next().await);
    }
    let status = error_word(&camera, "closed without a word").await;
    assert!(status.counters.disconnects <= 4, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_own_words_for_a_refusal_are_shown_and_another_server_is_not_followed() {
    let script = Script::listen().await;
    let elsewhere = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.next().await;
    let reference = format!("127.0.0.1:{}", elsewhere.port());
    let words = "moved";
    let mut properties = vec![0x1f, 0, words.len() as u8];
    properties.extend_from_slice(words.as_bytes());
    properties.extend_from_slice(&[0x1c, 0, reference.len() as u8]);
    properties.extend_from_slice(reference.as_bytes());
    let length = properties.len() as u8;
    let mut connack = vec![0x20, 3 + length, 0, 0x9d, length];
    connack.extend_from_slice(&properties);
    line.say(&connack).await;
    let status = error_word(&camera, "use another server").await;
    let shown = status.last_error.unwrap().to_string();
    assert!(shown.contains("moved") && shown.contains(&reference), "{shown}");
    // The next try comes here again.
    script.next().await;
    assert!(timeout(Duration::ZERO, elsewhere.listener.accept()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_our_limit_is_read_past_acknowledged_and_counted() {
    let script = Script::listen().await;
    let mut camera = Peer::spawn(&link_options(script.port()), "camera", None, &["t/#"]);
    let mut line = script.accept(false, &[]).await;
    line.packet_of_type(8).await;
    // With QoS 1, packet id 7, and 5 MB that follow.
    let body = 5_000_000;
    let mut large = publish_header(2 + 1 + 2 + 1 + body, "t");
    large[0] = 0x32;
    large.pop();
    large.extend_from_slice(&[0, 7, 0]);
    line.say(&large).await;
    line.say(&vec![b'x'; body]).await;
    assert_eq!(line.packet_of_type(4).await, [0x40, 2, 0, 7]);
    line.say(&publish_header(2 + 1 + 1, "t")).await;
    assert_eq!(camera.next().await.topic, "t");
    let status = camera.status(|status| status.counters.received_too_large == 1).await;
    let refused = status.last_refused.unwrap();
    assert_eq!((refused.topic.as_str(), refused.why), ("t", WhyRefused::TooLargeToReceive));
    assert_eq!(status.counters.connects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_of_256_mb_takes_no_memory_and_one_that_is_no_message_ends_the_connection() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[]).await;
    line.say(&publish_header(268_435_455, "t")).await;
    line.say(&vec![b'x'; 1 << 20]).await;
    camera.status(|status| status.counters.received_too_large == 1).await;
    drop(line);
    let mut line = script.accept(false, &[]).await;
    // A SUBACK of that length.
    line.say(&[0x90, 0xff, 0xff, 0xff, 0x7f, 0, 1]).await;
    error_word(&camera, "protocol error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_what_was_never_sent_are_counted_and_end_nothing() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[]).await;
    // PUBACK, PUBREC, PUBCOMP and SUBACK.
    for answer in [&[0x40, 2, 0, 77][..], &[0x50, 2, 0, 77], &[0x70, 2, 0, 77], &[0x90, 4, 0, 77, 0, 0]] {
        line.say(answer).await;
    }
    // A broker that waits for a release gets it.
    assert_eq!(line.packet().await, [0x62, 2, 0, 77]);
    camera.send(event("t", "{}"));
    let status = camera.status(|status| status.counters.sent == 1 && status.counters.unsolicited == 4).await;
    assert_eq!((status.counters.connects, status.in_flight), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_receipt_twice_is_released_twice_and_the_message_is_done_once() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[]).await;
    camera.send(Envelope { qos: Qos::ExactlyOnce, ..event("t", "{}") });
    let publish = line.packet_of_type(3).await;
    let id = &publish[5..7];
    for _ in 0..2 {
        line.say(&[0x50, 2, id[0], id[1]]).await;
        assert_eq!(line.packet().await, [0x62, 2, id[0], id[1]]);
    }
    for _ in 0..2 {
        line.say(&[0x70, 2, id[0], id[1]]).await;
    }
    let status = camera.status(|status| status.counters.unsolicited == 1).await;
    assert_eq!((status.counters.acknowledged, status.counters.connects), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_broker_claims_and_forgot_gets_everything_again() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(true, &[]).await;
    camera.send(event("t", "{}"));
    let first = line.packet_of_type(3).await;
    drop(line);
    let mut line = script.accept(true, &[]).await;
    let again = line.packet_of_type(3).await;
    assert_eq!((again[0], &again[1..]), (first[0] | 8, &first[1..]), "the same, marked as a duplicate");
    drop(line);
    // Now it denies a session that it had.
    let mut line = script.accept(false, &[]).await;
    let anew = line.packet_of_type(3).await;
    assert_eq!(anew[0], first[0]);
    line.say(&[0x40, 2, anew[5], anew[6]]).await;
    camera.status(|status| status.counters.acknowledged == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_receive_maximum_of_1_a_message_waits_for_the_acknowledgement_of_the_one_before() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[0x21, 0, 1]).await;
    for number in 0..10 {
        camera.send(event(&number.to_string(), "{}"));
    }
    for number in 0..10_u8 {
        let publish = line.packet_of_type(3).await;
        assert_eq!(publish[4], b'0' + number);
        assert!(line.unread.is_empty(), "more than one message");
        line.say(&[0x40, 2, publish[5], publish[6]]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_packet_size_of_100_is_kept() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[0x27, 0, 0, 0, 100]).await;
    camera.send(event("large", &"x".repeat(100)));
    camera.send(event("s", "{}"));
    let publish = line.packet_of_type(3).await;
    assert_eq!(publish[4], b's');
    let status = camera.status(|status| status.counters.refused_too_large == 1).await;
    let refused = status.last_refused.unwrap();
    assert_eq!((refused.topic.as_str(), refused.why), ("large", WhyRefused::TooLargeForBroker));
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_aliases_are_used_as_far_as_the_broker_takes_them() {
    // With a maximum of 0 every message has its topic; with 1 the second has an alias alone.
    for (alias_max, topic_bytes) in [(0, 5), (1, 0)] {
        let script = Script::listen().await;
        let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
        let mut line = script.accept(false, &[0x22, 0, alias_max]).await;
        for expected in [5, topic_bytes] {
            camera.send(Envelope::new(MessageClass::Track, "a/b/c", "{}"));
            let publish = line.packet_of_type(3).await;
            assert_eq!(publish[3], expected, "maximum {alias_max}: {publish:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keep_alive_of_1_s_is_kept() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[0x13, 0, 1]).await;
    for _ in 0..2 {
        assert_eq!(line.packet().await, [0xc0, 0]);
        line.say(&[0xd0, 0]).await;
    }
    camera.status(|status| status.counters.pings >= 2 && status.last_error.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_another_one_took_over_is_named_and_not_fought_for() {
    let script = Script::listen().await;
    let camera = Peer::spawn(&link_options(script.port()), "camera", None, &[]);
    let mut line = script.accept(false, &[]).await;
    line.say(&[0xe0, 1, 0x8e]).await;
    error_word(&camera, "client id in use elsewhere").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_an_ipv6_address_alone_is_reached() {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let Ok(listener) = TcpListener::bind(address).await else {
        eprintln!("skipped: no IPv6 here");
        return;
    };
    let script = Script { listener };
    let options = link::Options { host: "::1".to_owned(), ..link_options(script.port()) };
    let camera = Peer::spawn(&options, "camera", None, &[]);
    script.accept(false, &[]).await;
    camera.status(|status| status.counters.connects == 1).await;
}
