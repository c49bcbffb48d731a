//! A client that says byte by byte what a test wants to be said.

use std::net::{Ipv4Addr, SocketAddr};

use omnisight::broker::{self, Broker, Options};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::DEADLINE;

pub fn anonymous() -> Options {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options { listen, allow_anonymous: true, ..Options::default() }
}

pub async fn start(options: Options) -> Broker {
    broker::start(options).await.unwrap()
}

/// A packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub first: u8,
    pub body: Vec<u8>,
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct Client {
    stream: Box<dyn Stream>,
    pub version: u8,
}

/// What a CONNECT says.
pub struct Connect<'a> {
    pub id: &'a str,
    pub version: u8,
    pub clean: bool,
    pub keep_alive_s: u16,
    pub user: Option<(&'a str, &'a str)>,
    pub properties: &'a [u8],
}

impl<'a> Connect<'a> {
    pub fn new(id: &'a str) -> Self {
        Self { id, version: 5, clean: true, keep_alive_s: 60, user: None, properties: &[] }
    }

    pub fn packet(&self) -> Vec<u8> {
        let flags = if self.clean { 2 } else { 0 } | if self.user.is_some() { 0xc0 } else { 0 };
        let mut body = text("MQTT");
        body.extend([self.version, flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        if self.version == 5 {
            body.extend(sized(self.properties));
        }
        body.extend(text(self.id));
        for part in self.user.iter().flat_map(|(name, password)| [name, password]) {
            body.extend(text(part));
        }
        packet(0x10, &body)
    }
}

impl Client {
    /// Connects to a port, and returns what the broker answers.
    pub async fn connect(port: u16, connect: &Connect<'_>) -> (Self, Packet) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        Self::over(stream, connect).await
    }

    /// Connects in MQTT 5 with these first words, a CONNECT and more, and reads past the CONNACK.
    pub async fn greet(port: u16, words: &[u8]) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let mut client = Self { stream: Box::new(stream), version: 5 };
        client.send(words).await;
        assert_eq!(client.next().await.map(|packet| packet.first), Some(0x20));
        client
    }

    pub async fn over(stream: impl Stream + 'static, connect: &Connect<'_>) -> (Self, Packet) {
        let mut client = Self { stream: Box::new(stream), version: connect.version };
        client.send(&connect.packet()).await;
        let answer = client.next().await.expect("an answer to CONNECT");
        (client, answer)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The same to a broker that may be gone.
    pub async fn send_or_give_up(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next packet; none when the broker has ended the connection.
    pub async fn next(&mut self) -> Option<Packet> {
        timeout(DEADLINE, self.read()).await.expect("the broker says nothing")
    }

    async fn read(&mut self) -> Option<Packet> {
        let first = self.stream.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Packet { first, body })
    }

    /// Subscribes with one filter and returns the reason code.
    pub async fn subscribe(&mut self, filter: &str, qos: u8, properties: &[u8]) -> u8 {
        let mut body = vec![0, 1];
        if self.version == 5 {
            body.extend(sized(properties));
        }
        body.extend(text(filter));
        body.push(qos);
        self.send(&packet(0x82, &body)).await;
        let answer = self.next().await.unwrap();
        assert_eq!(answer.first, 0x90, "{answer:?}");
        *answer.body.last().unwrap()
    }

    /// Publishes with `QoS` 1 and returns the reason code.
    pub async fn publish(&mut self, topic: &str, properties: &[u8], payload: &[u8]) -> u8 {
        self.send(&publish(self.version, topic, properties, payload)).await;
        let answer = self.next().await.unwrap();
        assert_eq!(answer.first, 0x40, "{answer:?}");
        answer.body.get(2).copied().unwrap_or(0)
    }

    /// The next message, acknowledged.
    pub async fn message(&mut self) -> Message {
        let packet = self.next().await.expect("a message");
        assert_eq!(packet.first >> 4, 3, "{packet:?}");
        self.acknowledge(&packet).await
    }

    /// A message, acknowledged if it wants to be.
    pub async fn acknowledge(&mut self, packet: &Packet) -> Message {
        let message = Message::of(packet, self.version);
        if packet.first & 6 == 2 {
            self.send_or_give_up(&[0x40, 2, message.packet_id[0], message.packet_id[1]]).await;
        }
        message
    }
}

/// A PUBLISH as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub packet_id: [u8; 2],
    pub properties: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Message {
    fn of(packet: &Packet, version: u8) -> Self {
        let body = &packet.body;
        let topic_bytes = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + topic_bytes].to_vec()).unwrap();
        let mut rest = &body[2 + topic_bytes..];
        let mut packet_id = [0, 0];
        if packet.first & 6 != 0 {
            packet_id = [rest[0], rest[1]];
            rest = &rest[2..];
        }
        let (mut properties, mut payload) = (Vec::new(), rest.to_vec());
        if version == 5 {
            // No test sends more than 127 bytes of them.
            let length = usize::from(rest[0]);
            properties = rest[1..=length].to_vec();
            payload = rest[1 + length..].to_vec();
        }
        Self { topic, packet_id, properties, payload }
    }
}

pub fn publish(version: u8, topic: &str, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    body.extend([0, 9]);
    if version == 5 {
        body.extend(sized(properties));
    }
    body.extend(payload);
    packet(0x32, &body)
}

pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        packet.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub fn user_property(name: &str, value: &str) -> Vec<u8> {
    [vec![0x26], text(name), text(value)].concat()
}

fn sized(properties: &[u8]) -> Vec<u8> {
    [&[properties.len() as u8], properties].concat()
}

/// The value of a property of a CONNACK (those with numbers).
pub fn property(connack: &Packet, wanted: u8) -> Option<u32> {
    let mut rest = &connack.body[3..];
    while let Some(&id) = rest.first() {
        let bytes = match id {
            0x11 | 0x27 => 4,
            0x13 | 0x21 | 0x22 => 2,
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            other => panic!("property {other:#x} in {connack:?}"),
        };
        if id == wanted {
            return Some(rest[1..=bytes].iter().fold(0, |value, byte| value << 8 | u32::from(*byte)));
        }
        rest = &rest[1 + bytes..];
    }
    None
}
