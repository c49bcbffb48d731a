//! Why a link is not up, in words that a status can show.
//!
//! Every error but [`Error::Options`] is a state of the link and not its end: the session tries again.
//! Each names the broker and keeps the transport's own message where there is one. The status holds the
//! last of them; nothing here is logged.

use crate::base::ErrorKind;

/// What went wrong with a link.
///
/// `broker` is `host:port`; `detail` is the transport's own message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The options can't work.
    #[error("broker link {broker}: {detail}")]
    Options {
        /// The broker.
        broker: String,
        /// Which option, and what is allowed.
        detail: String,
    },
    /// No connection: name not found, refused, no route.
    #[error("broker {broker} is unreachable: {detail}")]
    Unreachable {
        /// The broker.
        broker: String,
        /// The system's message.
        detail: String,
    },
    /// It was reached, and did not answer in time.
    #[error("broker {broker} did not answer in time")]
    Timeout {
        /// The broker.
        broker: String,
    },
    /// It refused the connection.
    #[error("broker {broker} refused the connection: {}", .refusal.word())]
    Refused {
        /// The broker.
        broker: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// It ended the connection and said why.
    #[error("broker {broker} ended the connection: {detail}")]
    Ended {
        /// The broker.
        broker: String,
        /// Its reason code and string.
        detail: String,
    },
    /// The connection broke.
    #[error("connection to broker {broker} was lost: {detail}")]
    Lost {
        /// The broker.
        broker: String,
        /// What was seen.
        detail: String,
    },
    /// What came was not what MQTT 5 allows here; the session can't be trusted any more.
    #[error("broker {broker} broke the protocol: {detail}")]
    Protocol {
        /// The broker.
        broker: String,
        /// What was seen.
        detail: String,
    },
    /// The client library failed.
    #[error("the connection to broker {broker} failed inside the client library")]
    Internal {
        /// The broker.
        broker: String,
    },
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Options { .. } => ErrorKind::Config,
            Self::Internal { .. } => ErrorKind::Bug,
            Self::Protocol { .. } => ErrorKind::BadInput,
            _ => ErrorKind::Unavailable,
        }
    }

    /// A short, stable word for a status.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Options { .. } => "options",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Refused { refusal, .. } => refusal.word(),
            Self::Ended { .. } => "ended by the broker",
            Self::Lost { .. } => "connection lost",
            Self::Protocol { .. } => "protocol error",
            Self::Internal { .. } => "internal error",
        }
    }

    /// The state kept for the session may disagree with the broker's: resuming it would fail the
    /// same way again, so the next connection starts clean.
    pub(super) fn spoils_session(&self) -> bool {
        matches!(self, Self::Protocol { .. } | Self::Internal { .. })
    }
}

/// A broker's reason to refuse a connection (MQTT 5, 3.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 0x86.
    WrongPassword,
    /// 0x87; mosquitto also says this for a wrong password.
    NotAuthorised,
    /// 0x8A.
    Banned,
    /// 0x88.
    ServerUnavailable,
    /// 0x89.
    ServerBusy,
    /// 0x97.
    QuotaExceeded,
    /// 0x9F.
    ConnectionRate,
    /// 0x9C, 0x9D.
    UseAnotherServer,
    /// 0x85.
    ClientId,
    /// 0x84: it does not speak MQTT 5.
    ProtocolVersion,
    /// Any other; the broker's number is not kept by the transport.
    Other,
}

impl Refusal {
    /// A short, stable word for a status.
    pub fn word(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong password",
            Self::NotAuthorised => "not authorised",
            Self::Banned => "banned",
            Self::ServerUnavailable => "server unavailable",
            Self::ServerBusy => "server busy",
            Self::QuotaExceeded => "quota exceeded",
            Self::ConnectionRate => "connection rate exceeded",
            Self::UseAnotherServer => "use another server",
            Self::ClientId => "client id refused",
            Self::ProtocolVersion => "protocol version refused",
            Self::Other => "refused",
        }
    }
}
