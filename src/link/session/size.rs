//! How much a message takes on the wire.

use crate::model::Envelope;

/// Bytes of an MQTT 5 PUBLISH beside topic, payload and the text of its properties, at most: fixed header
/// 5, topic length 2, packet id 2, property length 4, content type 3, expiry 5, alias 3, response topic
/// 3, correlation data 3.
const PUBLISH_OVERHEAD_BYTES: usize = 30;
/// Bytes of a user property beside its name and value.
const USER_PROPERTY_OVERHEAD_BYTES: usize = 5;

/// The most bytes that a message takes on the wire.
pub(super) fn packet_bytes(envelope: &Envelope) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let user = envelope.user_properties.iter();
    PUBLISH_OVERHEAD_BYTES
        + envelope.topic.len()
        + envelope.content_type.as_str().len()
        + text(&envelope.response_topic)
        + envelope.correlation_data.as_ref().map_or(0, bytes::Bytes::len)
        + user.map(|(name, value)| USER_PROPERTY_OVERHEAD_BYTES + name.len() + value.len()).sum::<usize>()
        + envelope.payload.len()
}
