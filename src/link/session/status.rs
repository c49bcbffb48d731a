//! What a link shows of itself.

use super::WORDLESS_CLOSES_MAX;
use crate::link::Error;
use crate::link::limits::Limits;
use crate::link::outbox::{PerClass, TRACK_RATE_MAX_HZ};
use crate::link::tls::Certificates;
use crate::link::transport::Version;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A try is under way.
    Connecting,
    /// Up.
    Connected,
    /// Between two tries.
    Waiting,
    /// Over.
    Closed,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections made.
    pub connects: u64,
    /// Connections lost, and tries that failed.
    pub disconnects: u64,
    /// Messages that went out, those sent again included.
    pub sent: u64,
    /// Messages that the broker acknowledged.
    pub acknowledged: u64,
    /// Messages that the broker answered with a refusal; they are not sent again.
    pub rejected: u64,
    /// Messages that the broker had no room for; they are sent again after a pause.
    pub over_quota: u64,
    /// Acknowledgements of nothing that was in flight.
    pub unsolicited: u64,
    /// Messages that went back to their queues because a broker came back without the session.
    pub requeued: u64,
    /// Messages larger than our limit or the broker's.
    pub refused_too_large: u64,
    /// Messages with a topic that can't be published to, or sent after the close began.
    pub refused: u64,
    /// Messages lost to a full queue, or to a connection that broke with them (`QoS` 0).
    pub dropped: PerClass,
    /// Messages that gave way to a newer one of their key.
    pub replaced: PerClass,
    /// Messages that waited until they were no longer worth sending.
    pub expired: PerClass,
    /// Messages that came in.
    pub received: u64,
    /// Messages that came in and found their consumer's queue full.
    pub received_dropped: u64,
    /// Messages with `QoS` 2 that came in again; they were delivered once.
    pub duplicates: u64,
    /// Messages that came in larger than our limit; their payload was not kept.
    pub received_too_large: u64,
    /// Messages that came in without a usable topic.
    pub malformed: u64,
    /// Pings that were sent.
    pub pings: u64,
    /// Subscriptions that the broker refused.
    pub subscriptions_refused: u64,
}

/// What a link shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// Why it was last not connected.
    pub last_error: Option<Error>,
    /// The version spoken now, or at the next try.
    pub version: Version,
    /// What the broker offers less than MQTT 5 allows.
    pub limits: Limits,
    /// When the certificates of the last secure connection end.
    pub certificates: Option<Certificates>,
    /// The last message that was refused for good.
    pub last_refused: Option<RefusedMessage>,
    /// What was counted.
    pub counters: Counters,
    /// How often each track may leave now, per second: less on a slow link.
    pub track_rate_hz: u32,
    /// Subscriptions that the broker refuses on the present connection.
    pub subscriptions_refused: u64,
    /// Turns of the link's task: a number that stands still is a link that hangs.
    pub turns: u64,
    /// Messages that wait to be sent.
    pub queued: PerClass,
    /// Messages that were sent and wait for the broker's acknowledgement.
    pub in_flight: u64,
}

impl Status {
    /// Of a link that is up for the `connects`th time, with nothing on its way; for tests.
    #[cfg(test)]
    pub(crate) fn connected(connects: u64) -> Self {
        Self {
            state: State::Connected,
            last_error: None,
            version: Version::V5,
            limits: Limits::default(),
            certificates: None,
            last_refused: None,
            counters: Counters { connects, ..Counters::default() },
            track_rate_hz: TRACK_RATE_MAX_HZ,
            subscriptions_refused: 0,
            turns: 0,
            queued: PerClass::default(),
            in_flight: 0,
        }
    }

    /// Tracks leave less often than they are published.
    pub fn is_slow(&self) -> bool {
        self.track_rate_hz < TRACK_RATE_MAX_HZ
    }
}

/// Why MQTT 3.1.1 is spoken though nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The broker said that it does not speak 5; remembered as long as the link runs.
    Refused,
    /// It closed without a word; 5 is tried again at the next connection.
    Wordless,
}

/// A message that will not arrive, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedMessage {
    /// Where it was to go, or came from.
    pub topic: String,
    /// Its payload, or the packet where only that is known.
    pub bytes: usize,
    /// Why.
    pub why: WhyRefused,
}

/// Why a message will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRefused {
    /// It is larger than our own limit.
    TooLargeForUs,
    /// It is larger than the broker takes.
    TooLargeForBroker,
    /// The broker closed the connection again and again while it was in flight.
    TooLargeItSeems,
    /// It came in and is larger than our limit.
    TooLargeToReceive,
    /// The broker answered it with this reason (MQTT 5, 3.4.2.1).
    Answered(u8),
}

impl std::fmt::Display for WhyRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLargeForUs => f.write_str("larger than this camera's own limit"),
            Self::TooLargeForBroker => f.write_str("larger than the broker takes"),
            Self::TooLargeItSeems => {
                write!(f, "the broker closed {WORDLESS_CLOSES_MAX} connections while it was in flight")
            }
            Self::TooLargeToReceive => f.write_str("came in, and is larger than this camera takes"),
            Self::Answered(0x87) => f.write_str("the broker says: not authorised for this topic"),
            Self::Answered(0x90) => f.write_str("the broker says: topic name invalid"),
            Self::Answered(0x99) => f.write_str("the broker says: payload format invalid"),
            Self::Answered(reason) => write!(f, "the broker says: reason 0x{reason:02x}"),
        }
    }
}
