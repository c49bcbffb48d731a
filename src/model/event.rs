//! Something that happens, or will.
//!
//! One [`Event`] value is one state of an event at one time; the same id and key connect its states. It
//! explains itself: the rule, its limits and what was measured go with it. Numbers and words of kinds,
//! states and severities are those of the wire and never change. When an event comes and goes is
//! decided by `predict`, and who is told by `swarm`. Metres; probabilities 0..1.

use super::Point;
use crate::base::Time;

/// What happens; the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventType {
    /// Somebody stays in one place.
    Loitering = 1,
    /// Something is taken.
    Theft = 2,
    /// Somebody attacks somebody.
    Assault = 3,
    /// Something is damaged.
    Vandalism = 4,
    /// Somebody is where nobody may be.
    Trespassing = 5,
    /// Somebody behaves unlike others.
    SuspiciousBehavior = 6,
    /// Two tracks meet in one place.
    Collision = 7,
    /// Somebody falls.
    Fall = 8,
    /// Something was left behind.
    AbandonedObject = 9,
    /// Many come together.
    CrowdFormation = 10,
}

impl EventType {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Loitering,
        Self::Theft,
        Self::Assault,
        Self::Vandalism,
        Self::Trespassing,
        Self::SuspiciousBehavior,
        Self::Collision,
        Self::Fall,
        Self::AbandonedObject,
        Self::CrowdFormation,
    ];

    /// The number on the wire, 1..=10.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|t| u64::from(t.number()) == number)
    }

    /// A word for logs and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loitering => "loitering",
            Self::Theft => "theft",
            Self::Assault => "assault",
            Self::Vandalism => "vandalism",
            Self::Trespassing => "trespassing",
            Self::SuspiciousBehavior => "suspicious_behavior",
            Self::Collision => "collision",
            Self::Fall => "fall",
            Self::AbandonedObject => "abandoned_object",
            Self::CrowdFormation => "crowd_formation",
        }
    }

    /// How grave it is if it is certain, 0..1.
    pub fn base_severity(self) -> f64 {
        match self {
            Self::Assault | Self::Theft => 0.9,
            Self::Trespassing | Self::Collision | Self::Fall => 0.75,
            _ => 0.5,
        }
    }
}

/// How grave an event is; the numbers are those of the wire.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Severity {
    /// Not rated.
    None = 0,
    /// Worth a note.
    Low = 1,
    /// Worth a look.
    Medium = 2,
    /// Somebody should act.
    High = 3,
    /// Somebody should act now.
    Critical = 4,
}

impl Severity {
    /// From a score of 0..1: above 0.8 critical, above 0.6 high, above 0.4 medium, else low.
    pub fn from_score(score: f64) -> Self {
        match score {
            s if s > 0.8 => Self::Critical,
            s if s > 0.6 => Self::High,
            s if s > 0.4 => Self::Medium,
            _ => Self::Low,
        }
    }

    /// The number on the wire, 0..=4.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::None, Self::Low, Self::Medium, Self::High, Self::Critical]
            .into_iter()
            .find(|s| u64::from(s.number()) == number)
    }
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// It is expected.
    Predicted,
    /// It is seen to happen.
    Occurred,
    /// Other cameras agree.
    Confirmed,
    /// It was expected, and will not come.
    Retracted,
    /// Nobody decided in time.
    Expired,
}

/// Why a rule fired: its name, its thresholds and what was measured, in the same units.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleTrace {
    /// The rule.
    pub name: &'static str,
    /// Name (with unit) and value of each limit.
    pub thresholds: Vec<(&'static str, f64)>,
    /// Name (with unit) and value of what was compared with them.
    pub measured: Vec<(&'static str, f64)>,
}

/// One event in one of its states. An event keeps its id and key through all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Never used twice by one camera.
    pub id: u32,
    /// What happens.
    pub kind: EventType,
    /// Where it stands.
    pub state: EventState,
    /// Where on the ground, metres.
    pub position_m: Point,
    /// The tracks it is about, the main one first; at least one.
    pub tracks: Vec<u32>,
    /// How likely, 0..1; 1 when it occurred.
    pub probability: f64,
    /// How grave.
    pub severity: Severity,
    /// When it is expected, or when it happened.
    pub predicted_time: Time,
    /// Capture of the frame in which it reached this state.
    pub time: Time,
    /// The zone it is about.
    pub zone: Option<String>,
    /// Why.
    pub rule: RuleTrace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_the_wire_go_both_ways() {
        for kind in EventType::ALL {
            assert_eq!(EventType::from_number(u64::from(kind.number())), Some(kind));
        }
        assert_eq!((EventType::from_number(0), EventType::from_number(11)), (None, None));
        assert_eq!(Severity::from_number(4), Some(Severity::Critical));
        assert_eq!(Severity::from_number(5), None);
    }

    #[test]
    fn severity_steps_lie_above_their_limits() {
        let of = Severity::from_score;
        assert_eq!(
            [of(0.4), of(0.41), of(0.61), of(0.81)],
            [Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
        );
    }
}
