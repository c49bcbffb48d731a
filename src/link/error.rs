//! Why a link is not up, in words that a status can show.
//!
//! Every error but [`Error::Options`] is a state of the link and not its end: the session tries again,
//! at the pace that the reason asks for. Each names the broker and keeps the system's or the broker's own
//! message where there is one. The status holds the last of them; nothing here is logged.

use super::tls::TlsFault;
use crate::base::ErrorKind;

/// What went wrong with a link.
///
/// `broker` is its name and `host:port`; `detail` is the system's or the broker's own message.
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
    /// Nobody has said yet where the broker is.
    #[error("broker {broker}: none has been found on the network yet")]
    NotFound {
        /// The broker.
        broker: String,
    },
    /// No connection: name not found, refused, no route.
    #[error("broker {broker} is unreachable: {detail}")]
    Unreachable {
        /// The broker.
        broker: String,
        /// The system's message.
        detail: String,
    },
    /// No secure connection.
    #[error("no secure connection to broker {broker}: {fault}")]
    Tls {
        /// The broker.
        broker: String,
        /// What is wrong, and what to do.
        fault: TlsFault,
    },
    /// What answered does not speak MQTT in a WebSocket at this path.
    #[error("broker {broker} does not speak MQTT in a WebSocket there: {detail}")]
    NoWebSocket {
        /// The broker.
        broker: String,
        /// What was seen.
        detail: String,
    },
    /// It did not answer in time.
    #[error("broker {broker} did not answer in time: {}", .phase.unanswered())]
    Timeout {
        /// The broker.
        broker: String,
        /// What was waited for.
        phase: Phase,
    },
    /// It refused the connection.
    #[error("broker {broker} refused the connection: {}{}", .refusal.word(), said(.detail.as_ref()))]
    Refused {
        /// The broker.
        broker: String,
        /// Its reason.
        refusal: Refusal,
        /// Its own words.
        detail: Option<String>,
    },
    /// It ended the connection and said why.
    #[error("broker {broker} ended the connection: {}{}", .refusal.word(), said(.detail.as_ref()))]
    Ended {
        /// The broker.
        broker: String,
        /// Its reason.
        refusal: Refusal,
        /// Its own words.
        detail: Option<String>,
    },
    /// It closed the connection where its answer to the CONNECT was due.
    #[error("broker {broker} closed the connection before CONNACK: {cause}")]
    Wordless {
        /// The broker.
        broker: String,
        /// What is likely behind it.
        cause: Silence,
    },
    /// It closed the connection, which it had accepted, without a reason.
    #[error("connection to broker {broker} was lost: closed by the other side without a reason")]
    Closed {
        /// The broker.
        broker: String,
    },
    /// The connection broke.
    #[error("connection to broker {broker} was lost: {detail}")]
    Lost {
        /// The broker.
        broker: String,
        /// What was seen.
        detail: String,
    },
    /// What came was not what MQTT allows here; the session can't be trusted any more.
    #[error("broker {broker} broke the protocol: {detail}")]
    Protocol {
        /// The broker.
        broker: String,
        /// What was seen.
        detail: String,
    },
}

/// What is likely behind a connection that is closed before the CONNACK, by what was sent and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The CONNECT was of MQTT 5, and one of 3.1.1 may follow.
    MaybeOld,
    /// The connection is in the clear, and nothing is odd in the CONNECT.
    MaybeTls,
    /// The connection is secure: what is left is the CONNECT itself.
    Connect,
    /// The topic of the will has a dot, which separates levels inside some brokers.
    MaybeDot,
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MaybeOld => "it may not speak MQTT 5; MQTT 3.1.1 is tried next",
            Self::MaybeTls => {
                "if the port requires TLS, use mqtts://; otherwise the broker does not take something in the CONNECT \
                 (its MQTT version, user, or last will)"
            }
            Self::Connect => {
                "it does not take something in the CONNECT (its MQTT version, user, or last will)"
            }
            Self::MaybeDot => {
                "some brokers (NATS) do not take the dot in the topic of the last will; use a camera id and a prefix \
                 without dots. If the port requires TLS, use mqtts://"
            }
        })
    }
}

fn said(detail: Option<&String>) -> String {
    detail.map_or_else(String::new, |words| format!(" ({words})"))
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Options { .. } => ErrorKind::Config,
            Self::Protocol { .. } => ErrorKind::BadInput,
            _ => ErrorKind::Unavailable,
        }
    }

    /// A short, stable word for a status.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Options { .. } => "options",
            Self::NotFound { .. } => "not found yet",
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { fault, .. } => fault.word(),
            Self::NoWebSocket { .. } => "no websocket there",
            Self::Timeout { .. } => "timeout",
            Self::Refused { refusal, .. } | Self::Ended { refusal, .. } => refusal.word(),
            Self::Wordless { .. } => "closed without a word",
            Self::Lost { .. } | Self::Closed { .. } => "connection lost",
            Self::Protocol { .. } => "protocol error",
        }
    }

    /// The state kept for the session may disagree with the broker's: resuming it would fail the
    /// same way again, so the next connection starts clean.
    pub(super) fn spoils_session(&self) -> bool {
        match self {
            Self::Protocol { .. } => true,
            Self::Ended { refusal, .. } => *refusal == Refusal::ProtocolBroken,
            _ => false,
        }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its name is looked up and its port is tried.
    Reaching,
    /// The TLS handshake is under way, or that of a WebSocket.
    Securing,
    /// CONNECT was sent.
    Greeting,
}

impl Phase {
    fn unanswered(self) -> &'static str {
        match self {
            Self::Reaching => "no connection came about",
            Self::Securing => "the connection was accepted, but the TLS or WebSocket handshake did not end",
            Self::Greeting => "the connection was accepted, but no CONNACK came",
        }
    }
}

/// A broker's reason to refuse or to end a connection (MQTT 5, 3.2.2.2 and 3.14.2.1; MQTT 3.1.1, 3.2.2.3).
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
    /// 0x8B.
    ShuttingDown,
    /// 0x98.
    Administrative,
    /// 0x97.
    QuotaExceeded,
    /// 0x96, 0x9F, 0xA0.
    ConnectionRate,
    /// 0x9C, 0x9D. A Server Reference is shown and not followed: a camera's password goes where its
    /// owner sent it and nowhere else.
    UseAnotherServer,
    /// 0x85.
    ClientId,
    /// 0x8C.
    AuthenticationMethod,
    /// 0x84: it does not speak this version of MQTT.
    ProtocolVersion,
    /// 0x8E: another connection uses this client id.
    TakenOver,
    /// 0x8D: it heard nothing of us for too long.
    KeepAlive,
    /// 0x95.
    PacketTooLarge,
    /// 0x93: more in flight than it allowed.
    WindowExceeded,
    /// 0x9A: it stores no retained messages.
    RetainUnavailable,
    /// 0x9B: it does not take this `QoS`.
    QosUnavailable,
    /// 0xA2: it takes no topic filters with wildcards.
    WildcardsUnavailable,
    /// 0x81, 0x82, 0x90, 0x94: it found our packets wrong.
    ProtocolBroken,
    /// Any other, with its number.
    Other(u8),
}

impl Refusal {
    /// From a reason code of MQTT 5, or a return code of 3.1.1 (1 to 5).
    pub(super) fn from_code(code: u8) -> Self {
        match code {
            0x01 | 0x84 => Self::ProtocolVersion,
            0x02 | 0x85 => Self::ClientId,
            0x03 | 0x88 => Self::ServerUnavailable,
            0x04 | 0x86 => Self::WrongPassword,
            0x05 | 0x87 => Self::NotAuthorised,
            0x81 | 0x82 | 0x90 | 0x94 => Self::ProtocolBroken,
            0x89 => Self::ServerBusy,
            0x8a => Self::Banned,
            0x8b => Self::ShuttingDown,
            0x8c => Self::AuthenticationMethod,
            0x8d => Self::KeepAlive,
            0x8e => Self::TakenOver,
            0x93 => Self::WindowExceeded,
            0x95 => Self::PacketTooLarge,
            0x96 | 0x9f | 0xa0 => Self::ConnectionRate,
            0x97 => Self::QuotaExceeded,
            0x98 => Self::Administrative,
            0x9a => Self::RetainUnavailable,
            0x9b => Self::QosUnavailable,
            0xa2 => Self::WildcardsUnavailable,
            0x9c | 0x9d => Self::UseAnotherServer,
            other => Self::Other(other),
        }
    }

    /// A short, stable word for a status.
    pub fn word(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong password",
            Self::NotAuthorised => "not authorised",
            Self::Banned => "banned",
            Self::ServerUnavailable => "server unavailable",
            Self::ServerBusy => "server busy",
            Self::ShuttingDown => "server shutting down",
            Self::Administrative => "ended by an administrator",
            Self::QuotaExceeded => "quota exceeded",
            Self::ConnectionRate => "connection rate exceeded",
            Self::UseAnotherServer => "use another server",
            Self::ClientId => "client id refused",
            Self::AuthenticationMethod => "authentication method refused",
            Self::ProtocolVersion => "protocol version refused",
            Self::TakenOver => "client id in use elsewhere",
            Self::KeepAlive => "keep alive timeout",
            Self::PacketTooLarge => "packet too large",
            Self::WindowExceeded => "receive maximum exceeded",
            Self::RetainUnavailable => "retained messages unavailable",
            Self::QosUnavailable => "qos unavailable",
            Self::WildcardsUnavailable => "wildcards unavailable",
            Self::ProtocolBroken => "broker found our packets wrong",
            Self::Other(_) => "refused",
        }
    }
}
