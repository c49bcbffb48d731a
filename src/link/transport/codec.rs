//! Bytes to events and actions to bytes, in MQTT 5 and 3.1.1, by `rumqttc`'s codecs: the only file that
//! knows that crate.
//!
//! What its codecs do not do, and is done here: a packet is framed first, so that one that is larger than
//! our limit is read past and not into memory; a CONNACK of 3.1.1 is understood while 5 is spoken, which is
//! how an old broker says that it does not speak it; an empty DISCONNECT of 5 is one. A payload that is
//! small against the buffer it came in is copied, so that it does not keep the buffer. Reasons that it does not know are no errors.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use rumqttc::v5::mqttbytes::{QoS as QoS5, v5::Packet as Packet5};
use rumqttc::{mqttbytes::QoS as QoS4, mqttbytes::v4::Packet as Packet4};

use super::{Accepted, Answer, Event, Outgoing, Version};
use crate::link::session::{Request, Terms};
use crate::link::{Error, Options, Refusal};
use crate::model::{Delivery, Envelope, Qos};

/// Messages with an acknowledgement that the broker may send before we acknowledged the first.
const RECEIVE_MAXIMUM: u16 = 64;
/// Payloads up to this many bytes are copied out of the buffer that they came in.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// Who we are to the broker, and what we want of it.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) client_id: String,
    pub(super) will: Option<Envelope>,
    pub(super) will_delay_s: u32,
    pub(super) credentials: Option<crate::link::Credentials>,
    pub(super) keep_alive_s: u16,
    pub(super) session_expiry_s: u32,
    pub(super) max_packet_bytes: usize,
}

impl Greeting {
    pub(super) fn new(options: &Options, client_id: &str, will: Option<Envelope>) -> Self {
        let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        Self {
            client_id: client_id.to_owned(),
            will,
            will_delay_s: seconds(options.will_delay),
            credentials: options.credentials.clone(),
            keep_alive_s: u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX),
            session_expiry_s: seconds(options.session_expiry),
            max_packet_bytes: options.max_packet_bytes,
        }
    }

    /// CONNECT.
    pub(super) fn encode(&self, terms: Terms, clean_start: bool, out: &mut BytesMut) {
        let will = self.will.as_ref().filter(|_| terms.will).map(|will| Envelope {
            retain: will.retain && terms.retain,
            qos: will.qos.min(terms.qos_max),
            ..will.clone()
        });
        let password = |secret: &Option<crate::base::Secret>| {
            secret.as_ref().map_or_else(String::new, |secret| secret.reveal().to_owned())
        };
        match terms.version {
            Version::V5 => {
                let properties = v5::ConnectProperties {
                    session_expiry_interval: Some(self.session_expiry_s),
                    receive_maximum: Some(RECEIVE_MAXIMUM),
                    max_packet_size: u32::try_from(self.max_packet_bytes).ok(),
                    ..v5::ConnectProperties::new()
                };
                let connect = v5::Connect {
                    keep_alive: self.keep_alive_s,
                    client_id: self.client_id.clone(),
                    clean_start,
                    properties: Some(properties),
                };
                let login = self.credentials.as_ref().map(|credentials| v5::Login {
                    username: credentials.username.clone(),
                    password: password(&credentials.password),
                });
                let will = will.as_ref().map(|will| self.will_5(will));
                written(connect.write(&will, &login, out));
            }
            Version::V311 => {
                let mut connect = v4::Connect::new(self.client_id.clone());
                connect.keep_alive = self.keep_alive_s;
                connect.clean_session = clean_start;
                connect.login = self.credentials.as_ref().map(|credentials| v4::Login {
                    username: credentials.username.clone(),
                    password: password(&credentials.password),
                });
                connect.last_will = will.map(|will| v4::LastWill {
                    topic: will.topic,
                    message: will.payload,
                    qos: level_4(will.qos),
                    retain: will.retain,
                });
                written(connect.write(out));
            }
        }
    }

    fn will_5(&self, will: &Envelope) -> v5::LastWill {
        v5::LastWill {
            topic: Bytes::copy_from_slice(will.topic.as_bytes()),
            message: will.payload.clone(),
            qos: level_5(will.qos),
            retain: will.retain,
            properties: Some(v5::LastWillProperties {
                delay_interval: (self.will_delay_s > 0).then_some(self.will_delay_s),
                payload_format_indicator: None,
                message_expiry_interval: None,
                content_type: Some(will.content_type.as_str().to_owned()),
                response_topic: None,
                correlation_data: None,
                user_properties: will.user_properties.clone(),
            }),
        }
    }
}

/// Encoding into memory fails for packets over 256 MB alone, and ours have a limit far below.
fn written<E: std::fmt::Display>(outcome: Result<usize, E>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a packet could not be encoded");
    }
}

/// SUBSCRIBE or UNSUBSCRIBE.
pub(super) fn encode_request(
    version: Version,
    packet_id: u16,
    request: Request,
    retain_as_published: bool,
    out: &mut BytesMut,
) {
    match (version, request) {
        (Version::V5, Request::Begin(filters)) => {
            let filters = filters.into_iter().map(|(filter, qos)| v5::Filter {
                preserve_retain: retain_as_published,
                ..v5::Filter::new(filter, level_5(qos))
            });
            let mut subscribe = v5::Subscribe::new_many(filters, None);
            subscribe.pkid = packet_id;
            written(subscribe.write(out));
        }
        (Version::V5, Request::End(filters)) => {
            written(v5::Unsubscribe { pkid: packet_id, filters, properties: None }.write(out));
        }
        (Version::V311, Request::Begin(filters)) => {
            let filters =
                filters.into_iter().map(|(filter, qos)| v4::SubscribeFilter::new(filter, level_4(qos)));
            let mut subscribe = v4::Subscribe::new_many(filters);
            subscribe.pkid = packet_id;
            written(subscribe.write(out));
        }
        (Version::V311, Request::End(topics)) => {
            written(v4::Unsubscribe { pkid: packet_id, topics }.write(out));
        }
    }
}

/// PUBLISH.
pub(super) fn encode_publish(version: Version, message: Outgoing, out: &mut BytesMut) {
    let Outgoing { envelope, packet_id, dup, alias, expiry_s } = message;
    match version {
        Version::V5 => {
            let topic = if alias.is_some_and(|alias| alias.known) { String::new() } else { envelope.topic };
            let publish = v5::Publish {
                dup,
                qos: level_5(envelope.qos),
                retain: envelope.retain,
                topic: topic.into(),
                pkid: packet_id,
                payload: envelope.payload,
                properties: Some(v5::PublishProperties {
                    message_expiry_interval: expiry_s,
                    topic_alias: alias.map(|alias| alias.number),
                    response_topic: envelope.response_topic,
                    correlation_data: envelope.correlation_data,
                    user_properties: envelope.user_properties,
                    content_type: Some(envelope.content_type.as_str().to_owned()),
                    ..v5::PublishProperties::default()
                }),
            };
            written(publish.write(out));
        }
        Version::V311 => {
            let mut publish =
                v4::Publish::from_bytes(envelope.topic, level_4(envelope.qos), envelope.payload);
            publish.dup = dup;
            publish.retain = envelope.retain;
            publish.pkid = packet_id;
            written(publish.write(out));
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP without a reason: the same in both versions.
pub(super) fn encode_answer(answer: Answer, packet_id: u16, out: &mut BytesMut) {
    let first = match answer {
        Answer::Acknowledge => 0x40,
        Answer::Receive => 0x50,
        Answer::Release => 0x62,
        Answer::Complete => 0x70,
    };
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

/// PINGREQ: the same in both versions.
pub(super) fn encode_ping(out: &mut BytesMut) {
    out.extend_from_slice(&[0xc0, 0]);
}

/// DISCONNECT without a reason: the same in both versions.
pub(super) fn encode_disconnect(out: &mut BytesMut) {
    out.extend_from_slice(&[0xe0, 0]);
}

/// Finds packets in the bytes of a connection.
#[derive(Debug)]
pub(super) struct Decoder {
    version: Version,
    max_packet_bytes: usize,
    /// Bytes of an oversized packet that are still to be read past.
    skip: usize,
    broker: String,
    link: Arc<str>,
}

/// Where a packet begins and ends.
struct Frame {
    first: u8,
    header_bytes: usize,
    body_bytes: usize,
}

impl Frame {
    fn bytes(&self) -> usize {
        self.header_bytes + self.body_bytes
    }

    fn is_publish(&self) -> bool {
        self.first >> 4 == 3
    }

    fn qos(&self) -> Qos {
        match self.first >> 1 & 3 {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        }
    }
}

impl Decoder {
    pub(super) fn new(version: Version, max_packet_bytes: usize, broker: &str, link: &Arc<str>) -> Self {
        Self { version, max_packet_bytes, skip: 0, broker: broker.to_owned(), link: Arc::clone(link) }
    }

    /// Takes the next packet out of `bytes`; `None` when it is not there yet.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Event>, Error> {
        loop {
            let skipped = self.skip.min(bytes.len());
            bytes.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 {
                return Ok(None);
            }
            let Some(frame) = self.frame(bytes)? else { return Ok(None) };
            if frame.bytes() > self.max_packet_bytes {
                return self.too_large(&frame, bytes);
            }
            if bytes.len() < frame.bytes() {
                bytes.reserve(frame.bytes() - bytes.len());
                return Ok(None);
            }
            let packet = bytes.split_to(frame.bytes());
            if let Some(event) = self.decode(&frame, packet)? {
                return Ok(Some(event));
            }
        }
    }

    fn broken(&self, detail: impl std::fmt::Display) -> Error {
        Error::Protocol { broker: self.broker.clone(), detail: detail.to_string() }
    }

    fn frame(&self, bytes: &[u8]) -> Result<Option<Frame>, Error> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first >> 4 == 0 {
            return Err(self.broken("a packet of no known type"));
        }
        let mut body_bytes = 0;
        for (i, byte) in bytes[1..].iter().take(4).enumerate() {
            body_bytes |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(Some(Frame { first, header_bytes: 2 + i, body_bytes }));
            }
        }
        if bytes.len() > 4 { Err(self.broken("a packet length of more than four bytes")) } else { Ok(None) }
    }

    /// A message that is too large is told by its topic and id; of anything else nothing is so large.
    fn too_large(&mut self, frame: &Frame, bytes: &mut BytesMut) -> Result<Option<Event>, Error> {
        if !frame.is_publish() {
            let (length, max) = (frame.bytes(), self.max_packet_bytes);
            return Err(
                self.broken(format_args!("a packet of {length} bytes, more than {max}, and no message"))
            );
        }
        let Some(mut body) = bytes.get(frame.header_bytes..).filter(|body| body.len() >= 2) else {
            return Ok(None);
        };
        let topic_bytes = usize::from(body.get_u16());
        let id_bytes = if frame.qos() == Qos::AtMostOnce { 0 } else { 2 };
        if body.len() < topic_bytes + id_bytes {
            return Ok(None);
        }
        let topic = String::from_utf8_lossy(&body[..topic_bytes]).into_owned();
        body.advance(topic_bytes);
        let packet_id = if id_bytes > 0 { body.get_u16() } else { 0 };
        self.skip = frame.bytes();
        let skipped = self.skip.min(bytes.len());
        bytes.advance(skipped);
        self.skip -= skipped;
        Ok(Some(Event::TooLarge { packet_id, qos: frame.qos(), topic, bytes: frame.bytes() }))
    }

    fn decode(&self, frame: &Frame, mut packet: BytesMut) -> Result<Option<Event>, Error> {
        match frame.first >> 4 {
            2 => return self.connack(frame, packet).map(Some),
            4..=7 => return self.acknowledgement(frame.first, &packet[frame.header_bytes..]).map(Some),
            14 => return Err(self.ended(&packet[frame.header_bytes..], packet.clone())),
            _ => {}
        }
        match self.version {
            Version::V5 => {
                let packet = Packet5::read(&mut packet, None).map_err(|error| self.broken(error))?;
                self.event_5(packet)
            }
            Version::V311 => {
                let packet = Packet4::read(&mut packet, usize::MAX).map_err(|error| self.broken(error))?;
                self.event_4(packet)
            }
        }
    }

    fn connack(&self, frame: &Frame, mut packet: BytesMut) -> Result<Event, Error> {
        let body = &packet[frame.header_bytes..];
        let &[flags, code, ..] = body else { return Err(self.broken("a CONNACK that is too short")) };
        let has_properties = self.version == Version::V5 && body.len() > 2;
        let mut accepted = Accepted { session_present: flags & 1 == 1, ..Accepted::default() };
        let mut words = None;
        if has_properties {
            // The codec knows no unknown reasons; what counts is read above.
            packet[frame.header_bytes + 1] = 0;
            let properties = match Packet5::read(&mut packet, None).map_err(|error| self.broken(error))? {
                Packet5::ConnAck(connack) => connack.properties,
                _ => None,
            };
            if let Some(properties) = properties {
                words = words_of(properties.reason_string, properties.server_reference);
                accepted.receive_maximum = properties.receive_max.unwrap_or(u16::MAX);
                accepted.max_packet_bytes =
                    properties.max_packet_size.map_or(usize::MAX, |bytes| bytes as usize);
                accepted.topic_alias_max = properties.topic_alias_max.unwrap_or(0);
                accepted.keep_alive_s = properties.server_keep_alive;
                accepted.qos_max = match properties.max_qos {
                    Some(0) => Qos::AtMostOnce,
                    Some(1) => Qos::AtLeastOnce,
                    _ => Qos::ExactlyOnce,
                };
                accepted.retain = properties.retain_available != Some(0);
                accepted.wildcards = properties.wildcard_subscription_available != Some(0);
            }
        }
        if code == 0 {
            return Ok(Event::Connected(accepted));
        }
        let broker = self.broker.clone();
        Err(Error::Refused { broker, refusal: Refusal::from_code(code), detail: words })
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP: a packet id and, in 5, perhaps a reason. The codec would take a
    /// reason that it does not know for an error.
    fn acknowledgement(&self, first: u8, body: &[u8]) -> Result<Event, Error> {
        let &[high, low, ref rest @ ..] = body else {
            return Err(self.broken("an acknowledgement that is too short"));
        };
        let packet_id = u16::from_be_bytes([high, low]);
        let reason = rest.first().copied().unwrap_or(0);
        match first >> 4 {
            _ if packet_id == 0 => Err(self.broken("an acknowledgement with packet id 0")),
            4 => Ok(Event::Acknowledged { packet_id, reason }),
            5 => Ok(Event::Received { packet_id, reason }),
            6 => Ok(Event::Released { packet_id }),
            _ => Ok(Event::Completed { packet_id }),
        }
    }

    fn ended(&self, body: &[u8], mut packet: BytesMut) -> Error {
        let code = body.first().copied().unwrap_or(0);
        let broker = self.broker.clone();
        if code == 0 {
            return Error::Lost { broker, detail: "the broker said goodbye".to_owned() };
        }
        let words = match Packet5::read(&mut packet, None) {
            Ok(Packet5::Disconnect(disconnect)) => disconnect
                .properties
                .and_then(|properties| words_of(properties.reason_string, properties.server_reference)),
            _ => None,
        };
        Error::Ended { broker, refusal: Refusal::from_code(code), detail: words }
    }

    fn event_5(&self, packet: Packet5) -> Result<Option<Event>, Error> {
        let event = match packet {
            Packet5::Publish(publish) => self.message_5(publish),
            Packet5::SubAck(ack) => {
                let granted =
                    |code: &&v5::SubscribeReasonCode| matches!(code, v5::SubscribeReasonCode::Success(_));
                let refused = ack.return_codes.len() - ack.return_codes.iter().filter(granted).count();
                Event::Subscribed { packet_id: ack.pkid, refused: refused as u64 }
            }
            Packet5::PingResp(_) => Event::Heard,
            Packet5::UnsubAck(ack) => Event::Unsubscribed { packet_id: ack.pkid },
            other => return Err(self.unexpected(&other)),
        };
        Ok(Some(event))
    }

    fn event_4(&self, packet: Packet4) -> Result<Option<Event>, Error> {
        let event = match packet {
            Packet4::Publish(publish) => {
                let qos = match publish.qos {
                    QoS4::AtMostOnce => Qos::AtMostOnce,
                    QoS4::AtLeastOnce => Qos::AtLeastOnce,
                    QoS4::ExactlyOnce => Qos::ExactlyOnce,
                };
                let delivery = Delivery {
                    topic: publish.topic,
                    payload: publish.payload,
                    retained: publish.retain,
                    ..Delivery::default()
                };
                self.message(publish.pkid, qos, publish.dup, delivery)
            }
            Packet4::SubAck(ack) => {
                let refused =
                    |code: &&v4::SubscribeReasonCode| matches!(code, v4::SubscribeReasonCode::Failure);
                let refused = ack.return_codes.iter().filter(refused).count() as u64;
                Event::Subscribed { packet_id: ack.pkid, refused }
            }
            Packet4::PingResp => Event::Heard,
            Packet4::UnsubAck(ack) => Event::Unsubscribed { packet_id: ack.pkid },
            other => return Err(self.unexpected(&other)),
        };
        Ok(Some(event))
    }

    fn unexpected(&self, packet: &impl std::fmt::Debug) -> Error {
        let mut packet = format!("{packet:?}");
        packet.truncate(packet.find(['(', ' ', '{']).unwrap_or(packet.len()));
        self.broken(format_args!("a packet that only a client sends: {packet}"))
    }

    fn message_5(&self, publish: v5::Publish) -> Event {
        let qos = match publish.qos {
            QoS5::AtMostOnce => Qos::AtMostOnce,
            QoS5::AtLeastOnce => Qos::AtLeastOnce,
            QoS5::ExactlyOnce => Qos::ExactlyOnce,
        };
        let properties = publish.properties.unwrap_or_default();
        let delivery = Delivery {
            // What is not UTF-8 has no topic.
            topic: std::str::from_utf8(&publish.topic).unwrap_or_default().to_owned(),
            payload: publish.payload,
            content_type: properties.content_type,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data.map(|data| Bytes::copy_from_slice(&data)),
            user_properties: properties.user_properties,
            retained: publish.retain,
            ..Delivery::default()
        };
        self.message(publish.pkid, qos, publish.dup, delivery)
    }

    fn message(&self, packet_id: u16, qos: Qos, dup: bool, mut delivery: Delivery) -> Event {
        if delivery.topic.is_empty() {
            return Event::Malformed { packet_id, qos };
        }
        if delivery.payload.len() <= COPIED_BYTES_MAX {
            delivery.payload = Bytes::copy_from_slice(&delivery.payload);
        }
        delivery.link = Arc::clone(&self.link);
        Event::Message { packet_id, qos, dup, delivery }
    }
}

fn words_of(reason: Option<String>, server: Option<String>) -> Option<String> {
    let server = server.map(|server| format!("it names {server}"));
    match (reason, server) {
        (Some(reason), Some(server)) => Some(format!("{reason}; {server}")),
        (reason, server) => reason.or(server),
    }
}

fn level_5(qos: Qos) -> QoS5 {
    match qos {
        Qos::AtMostOnce => QoS5::AtMostOnce,
        Qos::AtLeastOnce => QoS5::AtLeastOnce,
        Qos::ExactlyOnce => QoS5::ExactlyOnce,
    }
}

fn level_4(qos: Qos) -> QoS4 {
    match qos {
        Qos::AtMostOnce => QoS4::AtMostOnce,
        Qos::AtLeastOnce => QoS4::AtLeastOnce,
        Qos::ExactlyOnce => QoS4::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::MessageClass;

    fn decoder(version: Version) -> Decoder {
        Decoder::new(version, 1_000, "b:1", &"main".into())
    }

    fn all(decoder: &mut Decoder, bytes: &mut BytesMut) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        while let Some(event) = decoder.next(bytes)? {
            events.push(event);
        }
        Ok(events)
    }

    fn outgoing(qos: Qos, payload: Vec<u8>, user: Vec<(String, String)>) -> Outgoing {
        let envelope = Envelope {
            qos,
            payload: payload.into(),
            response_topic: Some("r".to_owned()),
            correlation_data: Some(Bytes::from_static(b"\0c")),
            user_properties: user,
            ..Envelope::new(MessageClass::Event, "a/b", "")
        };
        let packet_id = if qos == Qos::AtMostOnce { 0 } else { 7 };
        Outgoing { envelope, packet_id, dup: false, alias: None, expiry_s: Some(9) }
    }

    #[test]
    fn a_refusal_keeps_the_brokers_number_and_words() {
        let mut bytes = BytesMut::from(&[0x20, 8, 0, 0x8a, 5, 0x1f, 0, 2, b'n', b'o'][..]);
        let error = decoder(Version::V5).next(&mut bytes).unwrap_err();
        let (broker, detail) = ("b:1".to_owned(), Some("no".to_owned()));
        assert_eq!(error, Error::Refused { broker, refusal: Refusal::Banned, detail });
    }

    #[test]
    fn a_connack_of_3_1_1_is_understood_while_5_is_spoken() {
        let mut bytes = BytesMut::from(&[0x20, 2, 0, 1][..]);
        let error = decoder(Version::V5).next(&mut bytes).unwrap_err();
        assert!(matches!(error, Error::Refused { refusal: Refusal::ProtocolVersion, .. }));
    }

    #[test]
    fn a_disconnect_says_why_with_or_without_properties() {
        for bytes in [&[0xe0, 1, 0x8e][..], &[0xe0, 2, 0x8e, 0], &[0xe0, 7, 0x8e, 5, 0x1f, 0, 2, b'n', b'o']]
        {
            let error = decoder(Version::V5).next(&mut bytes.into()).unwrap_err();
            assert!(matches!(error, Error::Ended { refusal: Refusal::TakenOver, .. }), "{error}");
        }
        let error = decoder(Version::V5).next(&mut BytesMut::from(&[0xe0, 0][..])).unwrap_err();
        assert!(matches!(error, Error::Lost { .. }));
    }

    #[test]
    fn an_unknown_reason_of_an_acknowledgement_is_kept() {
        let mut bytes = BytesMut::from(&[0x40, 3, 0, 7, 0x95][..]);
        let event = decoder(Version::V5).next(&mut bytes).unwrap();
        assert_eq!(event, Some(Event::Acknowledged { packet_id: 7, reason: 0x95 }));
    }

    #[test]
    fn an_alias_stands_for_the_topic() {
        let mut bytes = BytesMut::new();
        let alias = |known| Some(crate::link::session::Alias { number: 3, known });
        for known in [false, true] {
            let message = Outgoing { alias: alias(known), ..outgoing(Qos::AtMostOnce, vec![], vec![]) };
            encode_publish(Version::V5, message, &mut bytes);
        }
        let packets: Vec<_> = std::iter::from_fn(|| Packet5::read(&mut bytes, None).ok()).collect();
        let told: Vec<_> = packets
            .iter()
            .map(|packet| match packet {
                Packet5::Publish(publish) => {
                    (publish.topic.clone(), publish.properties.as_ref().unwrap().topic_alias)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [(Bytes::from("a/b"), Some(3)), (Bytes::new(), Some(3))]);
    }

    #[test]
    fn a_small_payload_does_not_keep_the_buffer_it_came_in() {
        let mut bytes = BytesMut::with_capacity(1 << 16);
        encode_publish(Version::V5, outgoing(Qos::AtMostOnce, vec![1; 100], vec![]), &mut bytes);
        let range = bytes.as_ptr_range();
        let Some(Event::Message { delivery, .. }) = decoder(Version::V5).next(&mut bytes).unwrap() else {
            panic!("a message")
        };
        assert!(!range.contains(&delivery.payload.as_ptr()));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_understood_in_any_pieces(
            payload in prop::collection::vec(any::<u8>(), 0..400), level in 0..3_u8,
            user in prop::collection::vec(("[a-z]{1,4}", "[a-z]{0,4}"), 0..3), pieces in 1..50_usize, new: bool,
        ) {
            let version = if new { Version::V5 } else { Version::V311 };
            let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(level)];
            let mut bytes = BytesMut::new();
            let message = outgoing(qos, payload.clone(), user.clone());
            encode_publish(version, message.clone(), &mut bytes);
            encode_answer(Answer::Acknowledge, 9, &mut bytes);
            let (mut decoder, mut read, mut events) = (decoder(version), BytesMut::new(), Vec::new());
            for piece in bytes.chunks(pieces) {
                read.extend_from_slice(piece);
                events.extend(all(&mut decoder, &mut read).unwrap());
            }
            let [Event::Message { packet_id, qos: got, delivery, .. }, Event::Acknowledged { packet_id: 9, reason: 0 }] =
                &events[..] else { panic!("{events:?}") };
            prop_assert_eq!((*packet_id, *got), (message.packet_id, qos));
            prop_assert_eq!(&delivery.payload, &payload);
            if new {
                prop_assert_eq!(&delivery.user_properties, &user);
                prop_assert_eq!(delivery.correlation_data.as_deref(), Some(&b"\0c"[..]));
            }
        }

        #[test]
        fn an_oversized_message_is_told_once_and_what_follows_is_understood(
            length in 1_000..5_000_usize, pieces in 1..700_usize,
        ) {
            let mut bytes = BytesMut::new();
            encode_publish(Version::V5, outgoing(Qos::AtLeastOnce, vec![0; length], vec![]), &mut bytes);
            encode_publish(Version::V5, outgoing(Qos::AtLeastOnce, vec![0; 3], vec![]), &mut bytes);
            let (mut decoder, mut read, mut events) = (decoder(Version::V5), BytesMut::new(), Vec::new());
            for piece in bytes.chunks(pieces) {
                read.extend_from_slice(piece);
                events.extend(all(&mut decoder, &mut read).unwrap());
                prop_assert!(read.len() <= 1_000 + pieces);
            }
            prop_assert_eq!(events.len(), 2);
            let told = matches!(&events[0], Event::TooLarge { packet_id: 7, topic, .. } if topic == "a/b");
            prop_assert!(told, "{:?}", events[0]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), new: bool) {
            let version = if new { Version::V5 } else { Version::V311 };
            let _ = all(&mut decoder(version), &mut bytes[..].into());
        }

        #[test]
        fn no_damaged_packet_makes_it_panic(
            first in 0x10..=0xff_u8, body in prop::collection::vec(0..50_u8, 0..120), new: bool,
        ) {
            let version = if new { Version::V5 } else { Version::V311 };
            let mut packet = BytesMut::from(&[first, body.len() as u8][..]);
            packet.extend_from_slice(&body);
            let _ = all(&mut decoder(version), &mut packet);
        }
    }
}
