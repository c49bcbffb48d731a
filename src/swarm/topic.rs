//! The swarm's topics: built, and taken apart.
//!
//! `{prefix}/tracks/{camera}/{track}`, `{prefix}/events/{camera}/{event}`,
//! `{prefix}/models/{camera}/weights`, `{prefix}/consensus/{event}`, `{prefix}/status/{camera}`,
//! `{prefix}/alerts/{camera}/{event}`. Each family has one QoS and one retain flag, on the wire and in the
//! subscription. A topic that is not exactly of this form is none of the six.

use super::message::digits;
use crate::base::ErrorKind;
use crate::model::{CameraId, MessageClass, Qos};

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// One track.
    Track,
    /// One event.
    Event,
    /// A learned model.
    Weights,
    /// A vote or an aggregate.
    Consensus,
    /// Presence.
    Status,
    /// An incident of the site, for people.
    Alert,
}

impl Family {
    /// All six, in the order of the contract.
    pub const ALL: [Self; 6] =
        [Self::Track, Self::Event, Self::Weights, Self::Consensus, Self::Status, Self::Alert];

    /// The family's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Event => "event",
            Self::Weights => "weights",
            Self::Consensus => "consensus",
            Self::Status => "status",
            Self::Alert => "alert",
        }
    }

    /// How its messages are treated on their way.
    pub fn class(self) -> MessageClass {
        match self {
            Self::Track => MessageClass::Track,
            Self::Event => MessageClass::Event,
            Self::Weights => MessageClass::Weights,
            Self::Consensus => MessageClass::Vote,
            Self::Status => MessageClass::Presence,
            Self::Alert => MessageClass::Alert,
        }
    }

    /// The service that its messages ask for.
    pub fn qos(self) -> Qos {
        self.class().handling().qos
    }

    /// Whether the broker keeps the last one: presence alone.
    pub fn retained(self) -> bool {
        self.class().handling().retain
    }

    /// Everything of this family, below the prefix.
    fn filter(self) -> &'static str {
        match self {
            Self::Track => "tracks/+/+",
            Self::Event => "events/+/+",
            Self::Weights => "models/+/weights",
            Self::Consensus => "consensus/+",
            Self::Status => "status/+",
            Self::Alert => "alerts/+/+",
        }
    }
}

/// A topic below the prefix. The camera level is any text; `codec` checks it against the payload. It is the
/// sender's id, except in an alert, where it is that of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// A camera's track.
    Track {
        /// Who sees it.
        camera: &'a str,
        /// Its number there.
        track_id: u32,
    },
    /// A camera's event.
    Event {
        /// Who raised it.
        camera: &'a str,
        /// Its number there.
        event_id: u32,
    },
    /// A camera's model.
    Weights {
        /// Who learned it.
        camera: &'a str,
    },
    /// What all think of an event; its initiator stands in the payload.
    Consensus {
        /// Its number on the initiating camera.
        event_id: u32,
    },
    /// A camera's presence.
    Status {
        /// Who.
        camera: &'a str,
    },
    /// An incident, by the claim that provides its key; the payload names the publisher.
    Alert {
        /// Camera of the claim.
        camera: &'a str,
        /// Number of the claim on that camera.
        event_id: u32,
    },
}

impl<'a> Topic<'a> {
    /// The family that is published there.
    pub fn family(self) -> Family {
        match self {
            Self::Track { .. } => Family::Track,
            Self::Event { .. } => Family::Event,
            Self::Weights { .. } => Family::Weights,
            Self::Consensus { .. } => Family::Consensus,
            Self::Status { .. } => Family::Status,
            Self::Alert { .. } => Family::Alert,
        }
    }

    /// The camera level, where there is one.
    pub fn camera(self) -> Option<&'a str> {
        match self {
            Self::Track { camera, .. }
            | Self::Event { camera, .. }
            | Self::Weights { camera }
            | Self::Status { camera }
            | Self::Alert { camera, .. } => Some(camera),
            Self::Consensus { .. } => None,
        }
    }

    /// The sender, where the topic names it.
    pub fn sender(self) -> Option<&'a str> {
        match self {
            Self::Alert { .. } => None,
            topic => topic.camera(),
        }
    }
}

/// What stands before every topic of one site's swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a text is no topic prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Empty, or too long.
    #[error("must have 1 to {max} bytes, has {0}", max = Prefix::LENGTH_MAX)]
    Length(usize),
    /// A character that means something else in a topic.
    #[error("must not hold {0:?}")]
    Character(char),
    /// An empty level: two slashes in a row, or one at an end.
    #[error("must not begin or end with '/' nor hold an empty level")]
    EmptyLevel,
    /// The broker's own.
    #[error("must not begin with '$', which belongs to the broker")]
    Reserved,
}

impl PrefixError {
    /// Always the configuration's fault.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("omnisight/swarm".to_owned())
    }
}

impl Prefix {
    /// Longest prefix, in bytes.
    pub const LENGTH_MAX: usize = 200;

    /// Takes one or more topic levels without wildcards.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        if text.is_empty() || text.len() > Self::LENGTH_MAX {
            return Err(PrefixError::Length(text.len()));
        }
        if let Some(c) = text.chars().find(|c| matches!(c, '+' | '#') || c.is_control()) {
            return Err(PrefixError::Character(c));
        }
        if text.split('/').any(str::is_empty) {
            return Err(PrefixError::EmptyLevel);
        }
        if text.starts_with('$') {
            return Err(PrefixError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a track is published.
    pub fn track(&self, camera: &CameraId, track_id: u32) -> String {
        format!("{}/tracks/{camera}/{track_id}", self.0)
    }

    /// Where an event is published.
    pub fn event(&self, camera: &CameraId, event_id: u32) -> String {
        format!("{}/events/{camera}/{event_id}", self.0)
    }

    /// Where what cameras think of an event is published.
    pub fn consensus(&self, event_id: u32) -> String {
        format!("{}/consensus/{event_id}", self.0)
    }

    /// Where presence is published.
    pub fn status(&self, camera: &CameraId) -> String {
        format!("{}/status/{camera}", self.0)
    }

    /// Returns the topic of the alerts on an incident, by the claim that provides its key.
    pub fn alert(&self, camera: &CameraId, event_id: u32) -> String {
        format!("{}/alerts/{camera}/{event_id}", self.0)
    }

    /// The filter of all tracks.
    pub fn tracks_of_all(&self) -> String {
        format!("{}/{}", self.0, Family::Track.filter())
    }

    /// The filter of one camera's tracks.
    pub fn tracks_of(&self, camera: &CameraId) -> String {
        format!("{}/tracks/{camera}/+", self.0)
    }

    /// What a member of the swarm subscribes to.
    pub fn subscriptions(&self) -> [(MessageClass, String, Qos); Family::ALL.len()] {
        Family::ALL.map(|family| (family.class(), format!("{}/{}", self.0, family.filter()), family.qos()))
    }

    /// Takes a topic apart; none if it is not one of ours.
    pub fn parse_topic<'a>(&self, topic: &'a str) -> Option<Topic<'a>> {
        let mut levels = topic.strip_prefix(self.as_str())?.strip_prefix('/')?.split('/');
        let (head, second, third) = (levels.next()?, levels.next()?, levels.next());
        if levels.next().is_some() || second.is_empty() {
            return None;
        }
        match (head, third) {
            ("tracks", Some(id)) => Some(Topic::Track { camera: second, track_id: number(id)? }),
            ("events", Some(id)) => Some(Topic::Event { camera: second, event_id: number(id)? }),
            ("models", Some("weights")) => Some(Topic::Weights { camera: second }),
            ("consensus", None) => Some(Topic::Consensus { event_id: number(second)? }),
            ("status", None) => Some(Topic::Status { camera: second }),
            ("alerts", Some(id)) => Some(Topic::Alert { camera: second, event_id: number(id)? }),
            _ => None,
        }
    }
}

/// An id as it stands in a topic: from 1, digits alone.
fn number(level: &str) -> Option<u32> {
    digits(level).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_comes_apart_as_it_was_put_together() {
        let prefix = Prefix::parse("site 7/swarm").unwrap();
        let camera = CameraId::parse("gate.1").unwrap();
        let of = |t: &str| prefix.parse_topic(t).map(|t| (t.family(), t.camera().map(str::to_owned)));
        assert_eq!(of(&prefix.track(&camera, 7)), Some((Family::Track, Some("gate.1".into()))));
        assert_eq!(of(&prefix.event(&camera, u32::MAX)), Some((Family::Event, Some("gate.1".into()))));
        assert_eq!(of(&prefix.status(&camera)), Some((Family::Status, Some("gate.1".into()))));
        let alert = prefix.alert(&camera, 7);
        assert_eq!(of(&alert), Some((Family::Alert, Some("gate.1".into()))));
        assert_eq!(prefix.parse_topic(&alert).unwrap().sender(), None);
        let consensus = prefix.consensus(77);
        assert_eq!(prefix.parse_topic(&consensus), Some(Topic::Consensus { event_id: 77 }));
        assert_eq!(of("site 7/swarm/models/a/weights"), Some((Family::Weights, Some("a".into()))));
    }

    #[test]
    fn a_topic_of_any_other_form_is_none_of_ours() {
        let prefix = Prefix::default();
        for below in [
            "",
            "tracks",
            "tracks/a",
            "tracks/a/",
            "tracks/a/0",
            "tracks/a/01",
            "tracks/a/+1",
            "tracks/a/-1",
            "tracks/a/4294967296",
            "tracks/a/1/2",
            "tracks//1",
            "events/a/x",
            "models/a/bias",
            "models/a",
            "consensus/a",
            "consensus/1/2",
            "status/",
            "status/a/b",
            "alerts/a",
            "alerts/a/0",
            "alerts/a/1/2",
            "Tracks/a/1",
            "heartbeat/a",
        ] {
            assert_eq!(prefix.parse_topic(&format!("omnisight/swarm/{below}")), None, "{below}");
        }
        for topic in ["omnisight/swarmtracks/a/1", "omnisight/tracks/a/1", "x/omnisight/swarm/tracks/a/1", ""]
        {
            assert_eq!(prefix.parse_topic(topic), None, "{topic}");
        }
    }

    #[test]
    fn the_subscriptions_are_those_of_the_contract() {
        let all = Prefix::default().subscriptions();
        let seen: Vec<_> = all.iter().map(|(_, t, q)| (t.as_str(), *q)).collect();
        assert_eq!(
            seen,
            [
                ("omnisight/swarm/tracks/+/+", Qos::AtMostOnce),
                ("omnisight/swarm/events/+/+", Qos::AtLeastOnce),
                ("omnisight/swarm/models/+/weights", Qos::ExactlyOnce),
                ("omnisight/swarm/consensus/+", Qos::AtLeastOnce),
                ("omnisight/swarm/status/+", Qos::AtLeastOnce),
                ("omnisight/swarm/alerts/+/+", Qos::AtLeastOnce),
            ]
        );
    }

    #[test]
    fn a_prefix_with_a_wildcard_an_empty_level_or_a_dollar_is_refused() {
        assert_eq!(Prefix::parse(""), Err(PrefixError::Length(0)));
        assert_eq!(Prefix::parse(&"a".repeat(201)), Err(PrefixError::Length(201)));
        assert_eq!(Prefix::parse("a/+/b"), Err(PrefixError::Character('+')));
        assert_eq!(Prefix::parse("a/#"), Err(PrefixError::Character('#')));
        assert_eq!(Prefix::parse("a\0"), Err(PrefixError::Character('\0')));
        for slashes in ["/a", "a/", "a//b", "/"] {
            assert_eq!(Prefix::parse(slashes), Err(PrefixError::EmptyLevel), "{slashes}");
        }
        assert_eq!(Prefix::parse("$SYS/a"), Err(PrefixError::Reserved));
        assert_eq!(Prefix::parse("a/b").unwrap().as_str(), "a/b");
    }
}
