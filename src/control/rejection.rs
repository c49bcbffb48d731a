//! Why a command is not done: a word for programs, a sentence for people.

use super::{Door, Word};
use crate::base::{ErrorKind, rfc3339};

/// Why a command was rejected before anything was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is the broker's copy of an old message.
    #[error("a retained command is never done; publish it without the retain flag")]
    Retained,
    /// It is no JSON object.
    #[error("not a JSON object: {0}")]
    Malformed(String),
    /// It says no command.
    #[error("the key \"command\" is missing")]
    MissingCommand,
    /// A key holds a value of the wrong type.
    #[error("the key {key:?} holds {found}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What it holds.
        found: &'static str,
    },
    /// There is no such command.
    #[error("no such command: {word:?}{}", nearest.map(suggestion).unwrap_or_default())]
    UnknownCommand {
        /// What was asked for.
        word: String,
        /// What may have been meant.
        nearest: Option<Word>,
    },
    /// The parameters can't be meant.
    #[error("{0}")]
    BadParameters(String),
    /// It was worth doing until a time that has passed.
    #[error("expired at {}, and here it is {}", rfc3339(*expires_ms), rfc3339(*now_ms))]
    Expired {
        /// Until when, milliseconds since the epoch.
        expires_ms: u64,
        /// The camera's clock, milliseconds since the epoch.
        now_ms: u64,
    },
    /// The id belongs to another command of the last minutes.
    #[error("another command had this id within the last 10 minutes; take a new one")]
    IdReused,
    /// Not from there.
    #[error("{} is not permitted from {}; see [control] allow", word.as_str(), door.as_str())]
    NotPermitted {
        /// What.
        word: Word,
        /// From where.
        door: Door,
    },
    /// It is for the whole system, of which this camera is no master.
    #[error("commands for the whole system are not taken; see [fleet] system_commands")]
    SystemCommand,
    /// Pictures don't leave this camera.
    #[error("pictures do not leave this camera; see [control] frames")]
    FramesNotAllowed,
    /// Too many in too short a time.
    #[error("{count} commands more than {per_s} a second were not done")]
    RateLimited {
        /// How many since the last time this was told.
        count: u64,
        /// The limit.
        per_s: u32,
    },
    /// Too many are being done.
    #[error("{0} commands are being done already; try again")]
    Busy(usize),
    /// The process is on its way out.
    #[error("the camera is stopping")]
    Stopping,
}

fn suggestion(word: Word) -> String {
    format!("; did you mean {}?", word.as_str())
}

impl Rejection {
    /// The word on the wire; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::Malformed(_) => "malformed",
            Self::MissingCommand => "missing_command",
            Self::WrongType { .. } => "wrong_type",
            Self::UnknownCommand { .. } => "unknown_command",
            Self::BadParameters(_) => "bad_parameters",
            Self::Expired { .. } => "expired",
            Self::IdReused => "id_reused",
            Self::NotPermitted { .. } | Self::SystemCommand => "not_permitted",
            Self::FramesNotAllowed => "frames_not_allowed",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy(_) => "busy",
            Self::Stopping => "stopping",
        }
    }

    /// Somebody else's doing, always.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy(_) | Self::Stopping => ErrorKind::Unavailable,
            _ => ErrorKind::BadInput,
        }
    }
}
