//! The three ways in which the server's programs wrap what they say, read as one.
//!
//! | dialect | who | who it is for | what it says |
//! |---|---|---|---|
//! | document | the server | `camera_id` | the keys beside it |
//! | simulator | the edge simulator | `device_id` | the object in `data`; no `message_id` |
//! | unified | its communication service | `edge_device_id` | the object in `payload` |
//!
//! A message without an id gets one made of its bytes, so that the same message, brought twice, is one. A
//! message for another camera is told so, whatever topic it came by. Unknown keys are ignored.

use serde_json::{Map, Value};

use super::ids;
use crate::control::{COMMAND_BYTES_MAX, ID_BYTES_MAX, Rejection, Unread, kind_of};

/// Bytes of the parser's own words that are told back.
const DETAIL_BYTES_MAX: usize = 160;

/// A message as it is meant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Inward {
    pub(super) message_id: String,
    /// It came with an id.
    pub(super) named: bool,
    pub(super) says: Map<String, Value>,
}

/// Reads a message for this camera; a fault keeps the message's id.
pub(super) fn read(payload: &[u8], camera: &str) -> Result<Inward, Unread> {
    if payload.len() > COMMAND_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let object: Map<String, Value> = serde_json::from_slice(payload).map_err(|error| {
        let text = error.to_string();
        let detail = text[..text.floor_char_boundary(DETAIL_BYTES_MAX)].to_owned();
        rejected(None, Rejection::Malformed(detail))
    })?;
    let message_id = match object.get("message_id") {
        None => None,
        Some(Value::String(id)) if (1..=ID_BYTES_MAX).contains(&id.len()) => Some(id.clone()),
        Some(Value::String(id)) => {
            let length = id.len();
            let detail = format!("a message_id of {length} bytes, 1 to {ID_BYTES_MAX} are allowed");
            return Err(rejected(None, Rejection::BadParameters(detail)));
        }
        Some(other) => return Err(wrong(None, "message_id", other)),
    };
    let (whose, inner) = match (object.get("payload"), object.get("data")) {
        (Some(Value::Object(inner)), _) if object.contains_key("edge_device_id") => {
            ("edge_device_id", Some(inner))
        }
        (_, Some(Value::Object(inner))) if object.contains_key("device_id") => ("device_id", Some(inner)),
        _ => ("camera_id", None),
    };
    match object.get(whose) {
        None => {}
        Some(Value::String(named)) if named == camera => {}
        Some(Value::String(_)) => return Err(Unread::ForAnother),
        Some(other) => return Err(wrong(message_id, whose, other)),
    }
    let says = inner.cloned().unwrap_or(object);
    let named = message_id.is_some();
    Ok(Inward { message_id: message_id.unwrap_or_else(|| ids::of_bytes(payload)), named, says })
}

pub(super) fn rejected(id: Option<String>, rejection: Rejection) -> Unread {
    Unread::Rejected { id, word: None, rejection }
}

fn wrong(id: Option<String>, key: &'static str, found: &Value) -> Unread {
    rejected(id, Rejection::WrongType { key, found: kind_of(found) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<Inward, Unread> {
        read(value.to_string().as_bytes(), "CAM001")
    }

    #[test]
    fn the_three_dialects_say_the_same() {
        let says = json!({"config_type": "detection_settings", "config_data": {"confidence_threshold": 0.8}});
        let mut document = says.clone();
        document["message_id"] = json!("m");
        document["camera_id"] = json!("CAM001");
        let simulator =
            json!({"device_id": "CAM001", "data": says, "timestamp": "2026-11-20T20:47:09.982727"});
        let unified = json!({"message_id": "m", "protocol": "mqtt", "edge_device_id": "CAM001",
            "data_type": "config", "payload": says, "metadata": {"compression": false}});
        for message in [&document, &simulator, &unified] {
            let read = parse(message).unwrap();
            assert_eq!(read.says["config_data"], says["config_data"], "{message}");
            assert_eq!(read.named, message.get("message_id").is_some());
        }
        assert_eq!(parse(&simulator), parse(&simulator));
    }

    #[test]
    fn what_is_for_another_camera_is_told_from_what_is_broken() {
        for key in ["camera_id", "edge_device_id"] {
            assert_eq!(parse(&json!({key: "CAM002", "payload": {}})), Err(Unread::ForAnother));
        }
        assert_eq!(parse(&json!({"device_id": "CAM002", "data": {}})), Err(Unread::ForAnother));
        for broken in
            [json!([1]), json!({"message_id": null}), json!({"message_id": ""}), json!({"camera_id": 7})]
        {
            assert!(matches!(parse(&broken), Err(Unread::Rejected { .. })), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&payload, "CAM001");
        }
    }
}
