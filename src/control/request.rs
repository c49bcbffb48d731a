//! A command as it came in, read liberally and safely.
//!
//! `{"command": WORD}` with, optionally, `id`, `parameters`, `expires` (RFC 3339) and `camera_id`. Unknown
//! keys are ignored. What can't be read is rejected with the first reason, and with the id if there was one,
//! so that the sender finds its answer; what is too large or for another camera has no answer at all.
//! Reading needs no clock and remembers nothing.

use serde_json::{Map, Value};

use super::command::{cut, kind_of};
use super::{Command, Rejection};
use crate::base::{fnv1a, parse_timestamp};
use crate::model::{CameraId, Delivery};

/// A larger command is counted and not read, bytes.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;
/// Longest id, bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Bytes of the parser's own words that are told back.
const DETAIL_BYTES_MAX: usize = 160;

/// A command that can be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The sender's name for it.
    pub id: Option<String>,
    /// What is to be done.
    pub command: Command,
    /// It is not worth doing after that, milliseconds since the epoch.
    pub expires_ms: Option<u64>,
    /// Tells one content from another: of two requests with one id only equal ones are a repetition.
    pub fingerprint: u64,
}

/// A message that is no command that can be judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Unread {
    /// It gets an answer.
    Rejected {
        /// The sender's name for it, if that could be read.
        id: Option<String>,
        /// The word, if that could be read.
        word: Option<String>,
        /// Why.
        rejection: Rejection,
    },
    /// More bytes than are read. No answer.
    TooLarge,
    /// For another camera. No answer.
    ForAnother,
}

impl Request {
    /// Reads a message that reached `camera` on a command topic.
    pub fn read(delivery: &Delivery, camera: &CameraId) -> Result<Self, Unread> {
        if delivery.retained {
            return Err(Unread::Rejected { id: None, word: None, rejection: Rejection::Retained });
        }
        Self::parse(&delivery.payload, camera)
    }

    /// Reads a payload that reached `camera`.
    pub fn parse(payload: &[u8], camera: &CameraId) -> Result<Self, Unread> {
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(Unread::TooLarge);
        }
        let object: Map<String, Value> = serde_json::from_slice(payload).map_err(|error| {
            let text = error.to_string();
            let detail = text[..text.floor_char_boundary(DETAIL_BYTES_MAX)].to_owned();
            Unread::Rejected { id: None, word: None, rejection: Rejection::Malformed(detail) }
        })?;
        let id = id(&object);
        let word = object.get("command").and_then(Value::as_str).map(|word| cut(word).to_owned());
        match object.get("camera_id") {
            Some(Value::String(named)) if named != camera.as_str() => return Err(Unread::ForAnother),
            _ => {}
        }
        Self::take(&object, id.clone().ok().flatten())
            .and_then(|request| id.clone().map(|_| request))
            .map_err(|rejection| Unread::Rejected { id: id.ok().flatten(), word, rejection })
    }

    fn take(object: &Map<String, Value>, id: Option<String>) -> Result<Self, Rejection> {
        let wrong = |key, found| Err(Rejection::WrongType { key, found: kind_of(found) });
        match object.get("camera_id") {
            None | Some(Value::String(_)) => {}
            Some(other) => return wrong("camera_id", other),
        }
        let word = match object.get("command") {
            None => return Err(Rejection::MissingCommand),
            Some(Value::String(word)) => word,
            Some(other) => return wrong("command", other),
        };
        let none = Map::new();
        let parameters = match object.get("parameters") {
            None => &none,
            Some(Value::Object(parameters)) => parameters,
            Some(other) => return wrong("parameters", other),
        };
        let expires_ms = match object.get("expires") {
            None => None,
            Some(Value::String(text)) => Some(parse_timestamp(text).ok_or_else(|| {
                Rejection::BadParameters("expires is no RFC 3339 time (2026-11-20T20:38:02Z)".to_owned())
            })?),
            Some(other) => return wrong("expires", other),
        };
        let command = Command::parse(word, parameters)?;
        let fingerprint = fingerprint(&command, parameters);
        Ok(Self { id, command, expires_ms, fingerprint })
    }
}

/// The id: a text, or an integer taken as one.
fn id(object: &Map<String, Value>) -> Result<Option<String>, Rejection> {
    match object.get("id") {
        None => Ok(None),
        Some(Value::String(id)) if (1..=ID_BYTES_MAX).contains(&id.len()) => Ok(Some(id.clone())),
        Some(Value::String(id)) => {
            let length = id.len();
            let detail = format!("an id of {length} bytes, 1 to {ID_BYTES_MAX} are allowed");
            Err(Rejection::BadParameters(detail))
        }
        Some(Value::Number(id)) if !id.is_f64() => Ok(Some(id.to_string())),
        Some(other) => Err(Rejection::WrongType { key: "id", found: kind_of(other) }),
    }
}

/// Over word and parameters, whose keys are in order: the same on every machine and version.
pub fn fingerprint(command: &Command, parameters: &Map<String, Value>) -> u64 {
    let parameters = Value::Object(parameters.clone()).to_string();
    fnv1a(command.word().as_str().bytes().chain([0]).chain(parameters.bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn camera() -> CameraId {
        CameraId::parse("gate").unwrap()
    }

    fn read(text: &str) -> Result<Request, Unread> {
        Request::parse(text.as_bytes(), &camera())
    }

    fn code(text: &str) -> (Option<String>, &'static str) {
        match read(text).unwrap_err() {
            Unread::Rejected { id, rejection, .. } => (id, rejection.code()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_reference_control_program_sends_is_read() {
        for word in ["pause", "resume", "stop", "status", "toggle_crop"] {
            let request = read(&format!("{{\"command\": \"{word}\"}}")).unwrap();
            assert_eq!(request.command.word().as_str(), word);
            assert_eq!(request.id, None);
        }
    }

    #[test]
    fn each_fault_of_a_command_has_a_name_and_keeps_the_id() {
        let id = Some("7".to_owned());
        assert_eq!(code("pause").1, "malformed");
        assert_eq!(code("[1]").1, "malformed");
        assert_eq!(code("{\"command\":\"pause\"} x").1, "malformed");
        assert_eq!(code(""), (None, "malformed"));
        assert_eq!(code("{\"id\":\"7\"}"), (id.clone(), "missing_command"));
        assert_eq!(code("{\"id\":7,\"command\":5}"), (id.clone(), "wrong_type"));
        assert_eq!(code("{\"id\":\"7\",\"command\":null}"), (id.clone(), "wrong_type"));
        assert_eq!(code("{\"id\":\"7\",\"command\":\"dance\"}"), (id.clone(), "unknown_command"));
        assert_eq!(code("{\"id\":\"7\",\"command\":\"set\",\"parameters\":[]}"), (id.clone(), "wrong_type"));
        assert_eq!(code("{\"id\":\"7\",\"command\":\"pause\",\"expires\":\"soon\"}"), (id, "bad_parameters"));
        assert_eq!(code("{\"id\":7.5,\"command\":\"pause\"}"), (None, "wrong_type"));
        assert_eq!(code("{\"command\":\"pause\",\"camera_id\":4}"), (None, "wrong_type"));
    }

    #[test]
    fn what_is_too_large_or_for_another_camera_has_no_answer() {
        let megabyte =
            format!("{{\"command\":\"set\",\"parameters\":{{\"a\":\"{}\"}}}}", "x".repeat(1 << 20));
        assert_eq!(read(&megabyte), Err(Unread::TooLarge));
        assert_eq!(read("{\"command\":\"stop\",\"camera_id\":\"yard\"}"), Err(Unread::ForAnother));
        assert!(read("{\"command\":\"stop\",\"camera_id\":\"gate\"}").is_ok());
    }

    #[test]
    fn the_order_of_keys_is_no_other_content_and_another_value_is() {
        let print = |text: &str| read(text).unwrap().fingerprint;
        let one = print(r#"{"command":"set","parameters":{"a":1,"b":2}}"#);
        assert_eq!(one, print(r#"{"parameters":{"b":2,"a":1},"command":"SET","id":"9"}"#));
        assert_ne!(one, print(r#"{"command":"set","parameters":{"a":1,"b":3}}"#));
        assert_ne!(print(r#"{"command":"pause"}"#), print(r#"{"command":"resume"}"#));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&payload, &camera());
        }

        #[test]
        fn deep_nesting_is_refused_and_not_followed(depth in 1_usize..2_000) {
            let text = format!("{{\"command\":\"set\",\"parameters\":{{\"a\":{}{}}}}}", "[".repeat(depth), "]".repeat(depth));
            prop_assert_eq!(read(&text).is_ok(), depth < 126);
        }
    }
}
