//! What a command is answered, as a value and on the wire.
//!
//! One reply or more per command: `accepted` for those that take long, `running` with a progress, and one
//! of `done`, `failed`, `rejected` as the last. Keys without a value are absent.

use serde::Serialize;
use serde_json::Value;

use super::Rejection;
use crate::base::rfc3339;
use crate::model::CameraId;

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyState {
    /// It will be done.
    Accepted,
    /// It is being done.
    Running,
    /// It was done.
    Done,
    /// It was tried, and did not work.
    Failed,
    /// It was not tried.
    Rejected,
}

impl ReplyState {
    /// No further reply comes.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Rejected)
    }
}

/// One reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The sender's name for the command.
    pub id: Option<String>,
    /// The word of the command, as far as it could be read.
    pub command: Option<String>,
    /// How far it is.
    pub state: ReplyState,
    /// Per cent, 0..=100.
    pub progress: u8,
    /// What was asked for.
    pub result: Option<Value>,
    /// A word for programs: why not.
    pub error: Option<String>,
    /// A sentence for people: why not.
    pub detail: Option<String>,
}

/// How the doing of a command ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done, with what was asked for.
    Done(Option<Value>),
    /// Not done.
    Failed {
        /// A word for programs.
        error: &'static str,
        /// A sentence for people.
        detail: String,
        /// What there is to know beside it.
        result: Option<Value>,
    },
    /// Not tried after all.
    Rejected(Rejection),
}

impl Outcome {
    /// Done, and there is nothing to tell.
    pub const OK: Self = Self::Done(None);

    /// Failed, with nothing to know beside it.
    pub fn failed(error: &'static str, detail: impl Into<String>) -> Self {
        Self::Failed { error, detail: detail.into(), result: None }
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    state: ReplyState,
    progress: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    timestamp: String,
    camera_id: &'a str,
}

impl Reply {
    /// A rejection of what had this id and word.
    pub fn rejected(id: Option<String>, command: Option<String>, rejection: &Rejection) -> Self {
        let result = match rejection {
            Rejection::RateLimited { count, .. } => Some(serde_json::json!({ "count": count })),
            _ => None,
        };
        Self {
            id,
            command,
            state: ReplyState::Rejected,
            progress: 0,
            result,
            error: Some(rejection.code().to_owned()),
            detail: Some(rejection.to_string()),
        }
    }

    /// A reply about a command that is being done.
    pub fn running(id: Option<String>, command: &str, state: ReplyState, progress: u8) -> Self {
        let command = Some(command.to_owned());
        Self { id, command, state, progress: progress.min(100), result: None, error: None, detail: None }
    }

    /// The last reply about a command.
    pub fn last(id: Option<String>, command: &str, outcome: Outcome) -> Self {
        let word = Some(command.to_owned());
        match outcome {
            Outcome::Done(result) => {
                let state = ReplyState::Done;
                Self { id, command: word, state, progress: 100, result, error: None, detail: None }
            }
            Outcome::Failed { error, detail, result } => Self {
                id,
                command: word,
                state: ReplyState::Failed,
                progress: 0,
                result,
                error: Some(error.to_owned()),
                detail: Some(detail),
            },
            Outcome::Rejected(rejection) => Self::rejected(id, word, &rejection),
        }
    }

    /// Compact JSON, as of `epoch_ms`.
    pub fn to_json(&self, camera: &CameraId, epoch_ms: u64) -> Vec<u8> {
        let wire = Wire {
            id: self.id.as_deref(),
            command: self.command.as_deref(),
            state: self.state,
            progress: self.progress,
            result: self.result.as_ref(),
            error: self.error.as_deref(),
            detail: self.detail.as_deref(),
            timestamp: rfc3339(epoch_ms),
            camera_id: camera.as_str(),
        };
        // Strings, small integers and JSON values always have a JSON form.
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_without_a_value_are_absent_and_the_rest_stands_in_the_contracts_order() {
        let gate = CameraId::parse("gate").unwrap();
        let done = Reply::last(Some("7".into()), "pause", Outcome::OK);
        assert_eq!(
            String::from_utf8(done.to_json(&gate, 0)).unwrap(),
            r#"{"id":"7","command":"pause","state":"done","progress":100,"timestamp":"1970-01-01T00:00:00.000Z","camera_id":"gate"}"#
        );
        let many = Reply::rejected(None, None, &Rejection::RateLimited { count: 941, per_s: 20 });
        assert_eq!(
            String::from_utf8(many.to_json(&gate, 0)).unwrap(),
            r#"{"state":"rejected","progress":0,"result":{"count":941},"error":"rate_limited","detail":"941 commands more than 20 a second were not done","timestamp":"1970-01-01T00:00:00.000Z","camera_id":"gate"}"#
        );
    }
}
