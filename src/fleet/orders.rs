//! The server's commands as ours, and our answers as it reads them.
//!
//! Judging and doing is the desk's (`control`): here is only who means what. An answer finds its question by a
//! [`Question`], which travels with the command as its correlation data.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::dialect::{Inward, rejected};
use super::settings;
use crate::base::parse_timestamp;
use crate::control::{Command, Rejection, Reply, ReplyState, Request, Unread, fingerprint, kind_of};

/// As much of a foreign word as is told back, bytes.
const WORD_BYTES_MAX: usize = 64;

/// What an answer must tell to find its question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    /// None when it had none that could be read.
    pub(super) original_message_id: Option<String>,
    /// The server's own word.
    pub(super) command: String,
    /// What of an update is not served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ignored: Vec<String>,
}

impl Question {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The word of an order, as far as there is one.
pub(super) fn word(says: &Map<String, Value>) -> &str {
    let word = says.get("command").and_then(Value::as_str).unwrap_or_default();
    &word[..word.floor_char_boundary(WORD_BYTES_MAX)]
}

/// An order to this camera.
pub(super) fn camera_order(inward: &Inward) -> Result<Request, Unread> {
    order(inward, |word, parameters| {
        Ok(match word {
            "restart_camera" => Command::Restart,
            "stop_camera" => Command::Pause,
            "start_camera" => Command::Resume,
            "get_status" | "test_connection" => Command::Status,
            "get_health" => Command::Health,
            "update_config" => set(without_envelope(parameters))?,
            other => return Err(Rejection::UnknownCommand { word: other.to_owned(), nearest: None }),
        })
    })
}

/// The settings of an order, with or without the envelope of an update.
fn without_envelope(parameters: &Map<String, Value>) -> &Map<String, Value> {
    parameters.get("config_data").and_then(Value::as_object).unwrap_or(parameters)
}

/// What of an update, or of an order to update, the camera understands and does not serve.
pub(super) fn ignored(inward: &Inward) -> Vec<String> {
    let says = &inward.says;
    let ordered = word(says).eq_ignore_ascii_case("update_config").then(|| says.get("parameters")).flatten();
    let ordered = ordered.and_then(Value::as_object).map(without_envelope);
    let data = ordered.or_else(|| says.get("config_data").and_then(Value::as_object));
    data.map(|data| settings::from_update(data).ignored).unwrap_or_default()
}

/// An order to the whole system; denied unless it is allowed.
pub(super) fn system_order(inward: &Inward, allowed: bool) -> Result<Request, Unread> {
    order(inward, |word, _| match word {
        "system_restart" if allowed => Ok(Command::Restart),
        "system_shutdown" if allowed => Ok(Command::Stop),
        "system_restart" | "system_shutdown" => Err(Rejection::SystemCommand),
        other => Err(Rejection::UnknownCommand { word: other.to_owned(), nearest: None }),
    })
}

/// An update of the configuration.
pub(super) fn update(inward: &Inward) -> Result<Request, Unread> {
    let reject = |rejection| rejected(Some(inward.message_id.clone()), rejection);
    let data = match inward.says.get("config_data") {
        Some(Value::Object(data)) => data,
        Some(other) => {
            return Err(reject(Rejection::WrongType { key: "config_data", found: kind_of(other) }));
        }
        None => {
            return Err(reject(Rejection::BadParameters("the key \"config_data\" is missing".to_owned())));
        }
    };
    let command = set(data).map_err(reject)?;
    Ok(request(inward, command, data, None))
}

fn set(data: &Map<String, Value>) -> Result<Command, Rejection> {
    let settings::Asked { settings, ignored } = settings::from_update(data);
    // Its bounds are those of everybody's `set`.
    match Command::parse("set", &settings.into_iter().collect())? {
        Command::Set(settings) if settings.is_empty() && ignored.is_empty() => {
            Err(Rejection::BadParameters("there is nothing in it that can be set".to_owned()))
        }
        command => Ok(command),
    }
}

fn order(
    inward: &Inward,
    meaning: impl Fn(&str, &Map<String, Value>) -> Result<Command, Rejection>,
) -> Result<Request, Unread> {
    let reject = |rejection| rejected(Some(inward.message_id.clone()), rejection);
    let wrong = |key, found: &Value| reject(Rejection::WrongType { key, found: kind_of(found) });
    let none = Map::new();
    match inward.says.get("command") {
        None => return Err(reject(Rejection::MissingCommand)),
        Some(Value::String(_)) => {}
        Some(other) => return Err(wrong("command", other)),
    }
    let parameters = match inward.says.get("parameters") {
        None => &none,
        Some(Value::Object(parameters)) => parameters,
        Some(other) => return Err(wrong("parameters", other)),
    };
    let expires_ms = match inward.says.get("expires") {
        None => None,
        Some(Value::String(text)) => Some(parse_timestamp(text).ok_or_else(|| {
            reject(Rejection::BadParameters("expires is no time (2026-11-20T20:38:02Z)".to_owned()))
        })?),
        Some(other) => return Err(wrong("expires", other)),
    };
    let command = meaning(&word(&inward.says).to_ascii_lowercase(), parameters).map_err(reject)?;
    Ok(request(inward, command, parameters, expires_ms))
}

fn request(
    inward: &Inward,
    command: Command,
    parameters: &Map<String, Value>,
    expires_ms: Option<u64>,
) -> Request {
    let fingerprint = fingerprint(&command, parameters);
    Request { id: Some(inward.message_id.clone()), command, expires_ms, fingerprint }
}

/// The server's word for how it went; none while it is being done.
pub(super) fn status(reply: &Reply) -> Option<&'static str> {
    match reply.state {
        ReplyState::Accepted | ReplyState::Running => None,
        ReplyState::Done => Some("executed"),
        ReplyState::Failed => Some("failed"),
        ReplyState::Rejected if reply.error.as_deref() == Some("unknown_command") => Some("unknown_command"),
        ReplyState::Rejected => Some("rejected"),
    }
}

/// The object `result` of an answer.
pub(super) fn result(question: &Question, reply: &Reply, timestamp: &str) -> Value {
    let done = reply.state == ReplyState::Done;
    let message = match &reply.detail {
        Some(detail) => settings::in_their_names(detail),
        None => format!("{} {}", question.command, if done { "done" } else { "not done" }),
    };
    let mut result = match &reply.result {
        Some(Value::Object(found)) => found.clone(),
        _ => Map::new(),
    };
    // All that could be set is not what was asked.
    result.remove("settings");
    for name in ["faults", "applied"] {
        if let Some(Value::Array(faults)) = result.get_mut(name) {
            for fault in faults {
                *fault = json!(settings::in_their_names(fault.as_str().unwrap_or_default()));
            }
        }
    }
    if !question.ignored.is_empty() {
        result.insert("ignored".to_owned(), json!(question.ignored));
    }
    result.insert("success".to_owned(), json!(done));
    result.insert("message".to_owned(), json!(message));
    result.insert("timestamp".to_owned(), json!(timestamp));
    if let Some(error) = &reply.error {
        result.insert("error".to_owned(), json!(error));
    }
    Value::Object(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inward(says: &Value) -> Inward {
        Inward { message_id: "m".to_owned(), named: true, says: says.as_object().unwrap().clone() }
    }

    fn ordered(command: &str) -> Result<Command, Unread> {
        camera_order(&inward(&json!({"command": command, "parameters": {}, "priority": "high"})))
            .map(|r| r.command)
    }

    #[test]
    fn the_servers_words_are_our_commands() {
        assert_eq!(ordered("stop_camera"), Ok(Command::Pause));
        assert_eq!(ordered("START_CAMERA"), Ok(Command::Resume));
        assert_eq!(ordered("restart_camera"), Ok(Command::Restart));
        assert_eq!(ordered("get_status"), Ok(Command::Status));
        let unknown = ordered("dance").unwrap_err();
        assert!(matches!(unknown, Unread::Rejected { rejection: Rejection::UnknownCommand { .. }, .. }));
    }

    #[test]
    fn an_update_in_an_order_and_one_by_itself_are_the_same_settings() {
        let data = json!({"confidence_threshold": 0.7});
        let order = json!({"command": "update_config", "parameters": data});
        let nested = json!({"command": "update_config", "parameters": {"config_data": data}});
        let by_itself = update(&inward(&json!({"config_data": data}))).unwrap().command;
        for says in [order, nested] {
            assert_eq!(camera_order(&inward(&says)).unwrap().command, by_itself);
        }
        for bad in [json!({}), json!({"config_data": 3}), json!({"config_data": {}})] {
            assert!(update(&inward(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn orders_to_the_whole_system_are_denied_unless_they_are_allowed() {
        let restart = inward(&json!({"command": "system_restart"}));
        assert!(matches!(
            system_order(&restart, false),
            Err(Unread::Rejected { rejection: Rejection::SystemCommand, .. })
        ));
        assert_eq!(system_order(&restart, true).unwrap().command, Command::Restart);
        assert!(system_order(&inward(&json!({"command": "backup_data"})), true).is_err());
    }

    #[test]
    fn an_answer_names_every_fault_in_the_servers_words() {
        let ignored = vec!["recording_duration: this camera keeps no video".to_owned()];
        let question = Question { original_message_id: None, command: "update_config".to_owned(), ignored };
        let reply = Reply {
            id: None,
            command: None,
            state: ReplyState::Failed,
            progress: 0,
            result: Some(
                json!({"faults": ["runtime setting: fleet.vehicles_max: found 0, allowed: an integer"]}),
            ),
            error: Some("faults".to_owned()),
            detail: Some("1 fault; nothing was changed".to_owned()),
        };
        let result = result(&question, &reply, "t");
        assert_eq!(result["faults"][0], "max_vehicles_per_frame: found 0, allowed: an integer");
        assert_eq!((result["success"].as_bool(), status(&reply)), (Some(false), Some("failed")));
        assert_eq!(result["ignored"][0], "recording_duration: this camera keeps no video");
    }
}
