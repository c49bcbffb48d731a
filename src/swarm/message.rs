//! The six families of the swarm, key by key, in the order in which they are written.
//!
//! The keys of the reference format come first and are always present; what follows them is ours and
//! may be missing. Lengths are metres on the site's ground plane, speeds metres per second, times
//! milliseconds since the epoch (of the capture of the frame), corrected by the known clock offset.
//! Limits of the values are part of their types (`wire`); rules that join two keys are checked by
//! `codec`. What a message means to us does not belong here.

use std::fmt;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

use super::bounded::{List, Map, Object, Reals, Text};
use super::wire::{self, Count, Fraction, Id, Millis, Offset, Real, Utc, Weight};
use crate::model::{Behaviors, CameraId, Class, EventState, EventType, Point, Severity};

/// Tracks that one event may name.
pub const EVENT_TRACKS_MAX: usize = 32;
/// Claims that one event message may name as joined into its incident: 16 cameras that watch one place.
pub const EVENT_CLAIMS_MAX: usize = 16;
/// Bytes of the sentence of an alert.
pub const ALERT_TEXT_MAX: usize = 512;
/// Interventions that one event may propose (reference: 20 per timeline, 5 shown).
pub const INTERVENTIONS_MAX: usize = 20;
/// Thresholds or measured values that explain one event.
pub const RULE_VALUES_MAX: usize = 32;
/// Parameters in one weights message; 240 kB in memory. As many as fit one packet, see
/// [`WEIGHTS_BYTES_MAX`](super::codec::WEIGHTS_BYTES_MAX). The reference allows 1,000,000; as JSON those
/// are 14 MB, too much for a camera.
pub const WEIGHTS_MAX: usize = 60_000;
/// Cameras in a consensus message's list; the reference reader overruns its array beyond it.
pub const CONFIRMING_MAX: usize = 10;
/// Cameras whose votes one consensus message may carry.
pub const VOTES_MAX: usize = 256;
/// Corners of a footprint.
pub const FOOTPRINT_MAX: usize = 64;
/// Degraded modes in force at once.
pub const MODES_MAX: usize = 16;
/// Counters in one status message.
pub const COUNTERS_MAX: usize = 256;
/// Cameras whose last presence one status message echoes: as many as a small site has.
pub const HEARD_MAX: usize = 32;
/// Cameras with another clock that one status message names.
pub const OFF_MAX: usize = 16;

/// A short text: a version, a mode, a counter's or a zone's name.
pub type Name = Text<128>;

/// A message of any family.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// One track.
    Track(TrackMessage),
    /// One event in one of its states.
    Event(Box<EventMessage>),
    /// A learned model.
    Weights(Box<WeightsMessage>),
    /// A vote, or the initiator's aggregate.
    Consensus(Box<ConsensusMessage>),
    /// Presence.
    Status(Box<StatusMessage>),
    /// One incident of the site, for people.
    Alert(Box<AlertMessage>),
}

/// A place, metres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// First ground coordinate.
    pub x: Real,
    /// Second ground coordinate.
    pub y: Real,
    /// Height above the ground.
    pub z: Real,
}

impl Position {
    /// The place on the ground.
    pub fn point(&self) -> Point {
        Point::new(self.x.0, self.y.0)
    }
}

/// A velocity on the ground, metres per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Velocity {
    /// Along x.
    pub x: Real,
    /// Along y.
    pub y: Real,
}

/// One track as one camera sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackMessage {
    /// Who sees it.
    pub camera_id: CameraId,
    /// Its number on that camera.
    pub track_id: Id,
    /// Where it stands.
    #[serde(deserialize_with = "wire::object")]
    pub global_position: Position,
    /// How it moves.
    #[serde(deserialize_with = "wire::object")]
    pub velocity: Velocity,
    /// What it is; words we don't know are read as unknown.
    #[serde(deserialize_with = "wire::word")]
    pub class: Class,
    /// How sure the detector is.
    pub confidence: Fraction,
    /// Capture of the frame.
    pub timestamp: Millis,
    /// What it does.
    #[serde(with = "wire::behaviors")]
    pub behaviors: Behaviors,
    /// How much attention it deserves.
    pub threat_score: Fraction,
    /// Counts the camera's track messages since its start, from 1.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub seq: Option<Count>,
    /// Covariance of the position `[sxx, sxy, syy]`, square metres.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub cov: Option<Reals<3>>,
    /// Its number on the site, once cameras agreed on one.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub global_id: Option<Count>,
    /// The track's last message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// An event's name on the site: `camera_id/boot/event_id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey {
    /// Who raised it.
    pub camera: CameraId,
    /// That camera's start, milliseconds since the epoch.
    pub boot_ms: u64,
    /// Its number on that camera.
    pub event_id: u32,
}

/// Why an event is raised, in the words and numbers of its rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule's name.
    pub name: Name,
    /// Limits by name (with unit).
    #[serde(default)]
    pub thresholds: Map<Name, Real, RULE_VALUES_MAX>,
    /// What was compared with them.
    #[serde(default)]
    pub measured: Map<Name, Real, RULE_VALUES_MAX>,
}

/// Something that could be done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// Its kind, by the contract's number, 0..=7.
    #[serde(rename = "type")]
    pub kind: Count,
    /// When.
    pub at: Millis,
    /// How likely it is to help.
    pub effectiveness: Fraction,
}

/// One event in one of its states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventMessage {
    /// Who raised it.
    pub camera_id: CameraId,
    /// Its number on that camera.
    pub event_id: Id,
    /// What happens.
    #[serde(with = "wire::event_type")]
    pub event_type: EventType,
    /// Where.
    #[serde(deserialize_with = "wire::object")]
    pub position: Position,
    /// The main track it is about.
    pub track_id: Id,
    /// How likely.
    pub probability: Fraction,
    /// How grave.
    #[serde(with = "wire::severity")]
    pub severity: Severity,
    /// When it is expected, or when it happened.
    pub predicted_time: Millis,
    /// Capture of the frame in which it reached this state.
    pub timestamp: Millis,
    /// Its name on the site.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub key: Option<EventKey>,
    /// Where it stands.
    #[serde(default, deserialize_with = "wire::some_word", skip_serializing_if = "Option::is_none")]
    pub state: Option<EventState>,
    /// The zone it is about.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// All tracks it is about.
    #[serde(default, skip_serializing_if = "no_values")]
    pub tracks: List<Id, EVENT_TRACKS_MAX>,
    /// Why.
    #[serde(default, deserialize_with = "wire::some_object", skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// What could be done.
    #[serde(default, skip_serializing_if = "no_values")]
    pub interventions: List<Object<Intervention>, INTERVENTIONS_MAX>,
    /// In an outcome: the keys of the claims that the publisher joined into one incident.
    #[serde(default, skip_serializing_if = "no_values")]
    pub claims: List<EventKey, EVENT_CLAIMS_MAX>,
}

/// Which model the weights belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelName {
    /// Its name.
    pub name: Name,
    /// Its shape.
    #[serde(default)]
    pub shape: List<Count, 16>,
}

/// A learned model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsMessage {
    /// Who learned it.
    pub camera_id: CameraId,
    /// Its version.
    pub version: Count,
    /// How many weights follow.
    pub num_weights: Count,
    /// When it was learned.
    pub timestamp: Millis,
    /// The parameters.
    pub weights: List<Weight, WEIGHTS_MAX>,
    /// From how many samples.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub num_samples: Option<Count>,
    /// Which model.
    #[serde(default, deserialize_with = "wire::some_object", skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// The version it started from.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub base_version: Option<Count>,
}

/// What a camera thinks of another's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It sees it too.
    Confirm,
    /// It should see it, and does not.
    Deny,
}

/// A vote, or the initiator's aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsensusMessage {
    /// The event's number on the initiating camera.
    pub event_id: Id,
    /// Who raised the event.
    pub initiating_camera: CameraId,
    /// How many confirm.
    pub num_confirming: Count,
    /// Who confirms.
    pub confirming_cameras: List<CameraId, CONFIRMING_MAX>,
    /// How sure they are together.
    pub aggregated_confidence: Fraction,
    /// When it was cast.
    pub timestamp: Millis,
    /// The sender.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub camera_id: Option<CameraId>,
    /// The event's name on the site.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub key: Option<EventKey>,
    /// The sender's own verdict.
    #[serde(default, deserialize_with = "wire::some_word", skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// All votes, denials as 0.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub votes: Option<Map<CameraId, Fraction, VOTES_MAX>>,
    /// The reason of an abstention.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
    /// The outcome of all votes, `Confirmed`, `Retracted` or `Expired` only: a camera publishes it on behalf of
    /// an event whose own camera publishes no outcome.
    #[serde(
        default,
        serialize_with = "wire::put_outcome",
        deserialize_with = "wire::outcome",
        skip_serializing_if = "Option::is_none"
    )]
    pub outcome: Option<EventState>,
    /// Whether the vote is on the fact (true) or on the forecast (false); a message without it speaks of both.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub occurred: Option<bool>,
}

/// State of an incident in an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The incident is predicted. It is not observed.
    Forecast,
    /// At least one camera observes it.
    Happening,
    /// It was observed and has ended.
    Over,
    /// The cameras deny it, or the prediction is withdrawn.
    Retracted,
}

impl AlertState {
    /// All states, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Forecast, Self::Happening, Self::Over, Self::Retracted];

    /// The state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forecast => "forecast",
            Self::Happening => "happening",
            Self::Over => "over",
            Self::Retracted => "retracted",
        }
    }
}

/// One incident of the site, for people: one message per change, published by one camera. Always JSON. The
/// topic is that of the key: camera and number of the claim that provides it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertMessage {
    /// Key of the incident, the same in all its messages.
    pub key: EventKey,
    /// Site of the publisher, when one is configured.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub site: Option<Name>,
    /// Kind, by name. Equal to `event_type`.
    #[serde(rename = "type", with = "wire::event_name")]
    pub kind: EventType,
    /// Kind, by the contract's number.
    #[serde(with = "wire::event_type")]
    pub event_type: EventType,
    /// Severity, by the contract's number.
    #[serde(with = "wire::severity")]
    pub severity: Severity,
    /// Severity, by name. Equal to `severity`.
    #[serde(deserialize_with = "wire::word")]
    pub severity_word: Severity,
    /// State of the incident.
    #[serde(deserialize_with = "wire::word")]
    pub state: AlertState,
    /// Probability by all votes.
    pub probability: Fraction,
    /// Expected time of a forecast.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub expected: Option<Utc>,
    /// Time of the first claim.
    pub first: Utc,
    /// Time of this change.
    pub updated: Utc,
    /// Place.
    #[serde(deserialize_with = "wire::object")]
    pub position: Position,
    /// Zone.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Class of the main track; an unknown name is read as `Unknown`.
    #[serde(deserialize_with = "wire::word")]
    pub class: Class,
    /// Number of the person or vehicle on the site, when one is known.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub global_id: Option<Count>,
    /// Number of cameras that were asked.
    pub cameras_asked: Count,
    /// Number of cameras that confirm.
    pub cameras_confirming: Count,
    /// Rule, as in the event.
    #[serde(default, deserialize_with = "wire::some_object", skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// One English sentence.
    pub text: Text<ALERT_TEXT_MAX>,
    /// Camera that publishes the message; its key verifies the signature. It may differ from the key's camera.
    pub published_by: CameraId,
}

/// Whether a camera is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is.
    Online,
    /// It said goodbye, or the broker did so for it.
    Offline,
}

/// Where a camera's metres come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroundKind {
    /// Measured: the site's common frame.
    Calibrated,
    /// Assumed from `meters_per_unit`: a frame of its own.
    Nominal,
}

/// What a camera knows of its clock's error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// What its timestamps have been corrected by, milliseconds.
    pub offset_ms: Real,
    /// How far they may still be off, milliseconds; missing when it was not measured.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub error_ms: Option<Real>,
    /// Who measured it; `none` when nobody did.
    pub source: Name,
    /// The last presence of other cameras: its timestamp there, and the time of its arrival here. The exchange by
    /// which clock offsets are measured (`clock_sync`).
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub heard: Option<Map<CameraId, [Millis; 2], HEARD_MAX>>,
    /// The cameras whose clocks are known to differ by more than 250 ms: what each is ahead, milliseconds.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub off: Option<Map<CameraId, Offset, OFF_MAX>>,
}

/// Presence. A will carries only the keys before `timestamp`, a goodbye those up to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusMessage {
    /// Who.
    pub camera_id: CameraId,
    /// There or not.
    #[serde(deserialize_with = "wire::word")]
    pub state: Presence,
    /// The program's version.
    pub version: Name,
    /// Start of the process; rises with every start.
    pub boot: Millis,
    /// When it was said; missing in a will, which the broker publishes at a time that is not known beforehand.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Millis>,
    /// Encodings it reads.
    #[serde(default, skip_serializing_if = "no_values")]
    pub encodings: List<Name, 8>,
    /// Where its metres come from.
    #[serde(default, deserialize_with = "wire::some_word", skip_serializing_if = "Option::is_none")]
    pub ground: Option<GroundKind>,
    /// Corners of the ground it sees, metres.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub footprint: Option<List<Reals<2>, FOOTPRINT_MAX>>,
    /// How well its clock is known.
    #[serde(default, deserialize_with = "wire::some_object", skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
    /// The degraded modes in force; missing in a will.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub modes: Option<List<Name, MODES_MAX>>,
    /// What it counted since its start.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub counters: Option<Map<Name, Count, COUNTERS_MAX>>,
    /// The key its messages are signed with.
    #[serde(default, deserialize_with = "wire::some", skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Text<256>>,
}

fn no_values<T, const MAX: usize>(list: &List<T, MAX>) -> bool {
    list.is_empty()
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.camera, self.boot_ms, self.event_id)
    }
}

impl EventKey {
    /// Reads `camera_id/boot/event_id`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let camera = CameraId::parse(parts.next()?).ok()?;
        let boot_ms = digits(parts.next()?)?;
        let event_id = u32::try_from(digits(parts.next()?)?).ok()?;
        (parts.next().is_none() && boot_ms <= wire::MILLIS_MAX && event_id > 0).then_some(Self {
            camera,
            boot_ms,
            event_id,
        })
    }
}

/// A number as we write it: digits alone, no leading zero.
pub(super) fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl Serialize for EventKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        wire::text(d, "a key camera_id/boot/event_id", Self::parse)
    }
}
