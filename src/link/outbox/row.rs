//! An envelope as bytes, for the store.
//!
//! Fields in a fixed order, little endian, texts and lists with their length before them; the payload is
//! the rest. The numbers of classes and content types are part of the format. Pure.

use std::time::Duration;

use bytes::Bytes;

use super::LinkId;
use crate::model::{ContentType, Envelope, Lane, MessageClass, Qos};

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    /// Who has yet to send it.
    pub(super) links: Vec<LinkId>,
    /// When it was put, milliseconds since the epoch.
    pub(super) put_ms: u64,
    /// The message.
    pub(super) envelope: Envelope,
}

/// A number that stands for no text at all.
const NONE: u32 = u32::MAX;

/// Adds a row's bytes to `out`.
pub(super) fn encode(envelope: &Envelope, links: &[LinkId], put_ms: u64, out: &mut Vec<u8>) {
    let flags = qos_number(envelope.qos)
        | u8::from(envelope.retain) << 2
        | u8::from(envelope.lane == Lane::Control) << 3;
    out.extend([
        class_number(envelope.class),
        content_number(envelope.content_type),
        flags,
        envelope.priority,
    ]);
    out.extend(put_ms.to_le_bytes());
    let expiry_ms = envelope.expiry.map_or(0, |expiry| expiry.as_millis().clamp(1, u128::from(u64::MAX)));
    out.extend((expiry_ms as u64).to_le_bytes());
    out.extend((links.len() as u32).to_le_bytes());
    for link in links {
        out.extend(link.0.to_le_bytes());
    }
    text(Some(envelope.topic.as_bytes()), out);
    text(envelope.key.as_deref().map(str::as_bytes), out);
    text(envelope.response_topic.as_deref().map(str::as_bytes), out);
    text(envelope.correlation_data.as_deref(), out);
    out.extend((envelope.user_properties.len() as u32).to_le_bytes());
    for (name, value) in &envelope.user_properties {
        text(Some(name.as_bytes()), out);
        text(Some(value.as_bytes()), out);
    }
    out.extend_from_slice(&envelope.payload);
}

fn text(text: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend(text.map_or(NONE, |text| text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.unwrap_or_default());
}

/// What was read is no row.
struct NotARow;

/// Reads a row; none when it is not one.
pub(super) fn decode(bytes: &[u8]) -> Option<Stored> {
    read(Rest(bytes)).ok()
}

fn read(mut rest: Rest<'_>) -> Result<Stored, NotARow> {
    let [class, content, flags, priority] = rest.take()?;
    let put_ms = u64::from_le_bytes(rest.take()?);
    let expiry_ms = u64::from_le_bytes(rest.take()?);
    let links = rest.list(|rest| rest.u32().map(LinkId))?;
    let topic = rest.string()?.ok_or(NotARow)?;
    let key = rest.string()?;
    let response_topic = rest.string()?;
    let correlation_data = rest.text()?.map(Bytes::copy_from_slice);
    let user_properties =
        rest.list(|rest| Ok((rest.string()?.ok_or(NotARow)?, rest.string()?.ok_or(NotARow)?)))?;
    let known_content = |kind: &ContentType| content_number(*kind) == content;
    let known_class = |kind: &MessageClass| class_number(*kind) == class;
    let known_qos = |qos: &Qos| qos_number(*qos) == flags & 3;
    let envelope = Envelope {
        topic,
        payload: Bytes::copy_from_slice(rest.0),
        content_type: ContentType::ALL.into_iter().find(known_content).ok_or(NotARow)?,
        response_topic,
        correlation_data,
        user_properties,
        class: MessageClass::ALL.into_iter().find(known_class).ok_or(NotARow)?,
        lane: if flags >> 3 & 1 == 1 { Lane::Control } else { Lane::Data },
        priority,
        qos: Qos::ALL.into_iter().find(known_qos).ok_or(NotARow)?,
        retain: flags >> 2 & 1 == 1,
        expiry: (expiry_ms > 0).then(|| Duration::from_millis(expiry_ms)),
        key,
    };
    Ok(Stored { links, put_ms, envelope })
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotARow> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NotARow)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, NotARow> {
        self.take().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<Option<&'a [u8]>, NotARow> {
        let length = self.u32()?;
        if length == NONE {
            return Ok(None);
        }
        let (text, rest) = self.0.split_at_checked(length as usize).ok_or(NotARow)?;
        self.0 = rest;
        Ok(Some(text))
    }

    fn string(&mut self) -> Result<Option<String>, NotARow> {
        let text = self.text()?.map(std::str::from_utf8).transpose().map_err(|_| NotARow)?;
        Ok(text.map(ToOwned::to_owned))
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, NotARow>) -> Result<Vec<T>, NotARow> {
        let count = self.u32()? as usize;
        // An item takes four bytes at least, so a wrong count allocates nothing.
        if count > self.0.len() / 4 {
            return Err(NotARow);
        }
        (0..count).map(|_| item(self)).collect()
    }
}

fn class_number(class: MessageClass) -> u8 {
    match class {
        MessageClass::Alert => 1,
        MessageClass::Event => 2,
        MessageClass::FleetDetection => 3,
        MessageClass::Vote => 4,
        MessageClass::Reply => 5,
        MessageClass::Presence => 6,
        MessageClass::Weights => 7,
        MessageClass::Track => 8,
        MessageClass::Telemetry => 9,
    }
}

fn content_number(content_type: ContentType) -> u8 {
    match content_type {
        ContentType::Json => 1,
        ContentType::MsgPack => 2,
        ContentType::Jpeg => 3,
    }
}

fn qos_number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(
            class in prop::sample::select(MessageClass::ALL.to_vec()),
            content_type in prop::sample::select(ContentType::ALL.to_vec()),
            (topic, key, response_topic) in (".{0,20}", prop::option::of(".{0,9}"), prop::option::of(".{0,9}")),
            payload in prop::collection::vec(any::<u8>(), 0..50),
            correlation in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
            user_properties in prop::collection::vec((".{0,5}", ".{0,5}"), 0..3),
            links in prop::collection::vec(any::<u32>(), 0..4),
            (priority, retain, put_ms, expiry_ms) in (any::<u8>(), any::<bool>(), any::<u64>(), prop::option::of(1..u64::MAX)),
        ) {
            let envelope = Envelope {
                content_type,
                response_topic,
                correlation_data: correlation.map(Bytes::from),
                user_properties,
                priority,
                retain,
                key,
                expiry: expiry_ms.map(Duration::from_millis),
                ..Envelope::new(class, topic, payload)
            };
            let links: Vec<_> = links.into_iter().map(LinkId).collect();
            let mut bytes = Vec::new();
            encode(&envelope, &links, put_ms, &mut bytes);
            prop_assert_eq!(decode(&bytes), Some(Stored { links, put_ms, envelope }));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
        }
    }
}
