//! What the presence message says: who is there, with which ground, in which state, and what was counted.
//!
//! A will carries no more than the name, since the broker says it for a camera that can't. Everything else
//! is told anew with each message. Nothing is claimed that was not measured.

use super::bounded::{List, Map, Reals, Text};
use super::clock_sync::ClockSync;
use super::consensus::Consensus;
use super::counters::Counters;
use super::encodings::MSGPACK;
use super::fusion::{self, Fusion};
use super::message::{ClockStatus, GroundKind, HEARD_MAX, Name, OFF_MAX, Presence, StatusMessage};
use super::participants::Participants;
use super::publish::millis;
use super::trust::Trust;
use super::trust::conduct::Fault;
use super::wire::{COUNT_MAX, Count, Millis, Offset, REAL_MAX, Real};
use super::{ClockMeasured, Ground, Identity};
use crate::base::Time;
use crate::model::{CameraId, Modes, Polygon};

/// Times that are farther off are corrected before they are fused, milliseconds.
pub(super) const UNSYNCED_MS: f64 = 250.0;
/// How fast a clock that nobody corrects may go wrong: 100 parts in a million.
const DRIFT_MS_PER_S: f64 = 0.1;
/// Muted cameras that are named, and cameras that do not answer.
const NAMED_MAX: usize = 16;

/// What is told.
pub(super) struct Told<'a> {
    pub(super) identity: &'a Identity,
    pub(super) modes: Modes,
    /// What the rest of the daemon counted.
    pub(super) app_counters: &'a [(&'static str, u64)],
    pub(super) counters: &'a Counters,
    pub(super) fusion: &'a Fusion,
    pub(super) consensus: &'a Consensus,
    pub(super) trust: &'a Trust,
    pub(super) participants: &'a Participants,
    pub(super) clock: Option<ClockMeasured>,
    /// What our clock was ahead when it took the peers' time, and how far that may be off, milliseconds.
    pub(super) adopted: Option<(i64, i64)>,
    pub(super) clocks: &'a ClockSync,
    /// The presences of others that this one echoes.
    pub(super) heard: Map<CameraId, [Millis; 2], HEARD_MAX>,
    /// The cameras whose clocks differ from ours.
    pub(super) off: Option<Map<CameraId, Offset, OFF_MAX>>,
}

/// The goodbye at this time; without one the will.
pub(super) fn offline(identity: &Identity, now: Option<Time>) -> StatusMessage {
    StatusMessage {
        camera_id: identity.camera.clone(),
        state: Presence::Offline,
        version: Name::cut(&identity.version),
        boot: Millis(identity.boot_ms()),
        timestamp: now.map(millis),
        encodings: List::default(),
        ground: None,
        footprint: None,
        clock: None,
        modes: None,
        counters: None,
        public_key: None,
    }
}

/// Birth, change, and sign of life.
pub(super) fn online(told: &Told<'_>, now: Time) -> StatusMessage {
    let Ground { calibrated, footprint } = &told.identity.ground;
    let corners = |p: &Polygon| List::cut(p.corners().iter().map(|c| Reals([c.x, c.y])));
    let app = told.app_counters.iter().map(|(name, n)| (Name::cut(name), *n));
    let own = told.counters.entries().map(|(name, n)| (Name::cut(&format!("swarm_{name}")), n));
    let site = fusion_counters(told.fusion).into_iter().map(|(name, n)| (Name::cut(name), n));
    let agreed = told.consensus.counters().entries();
    let agreed = agreed.map(|(name, n)| (Name::cut(&format!("consensus_{name}")), n));
    let clocks = told.clocks.counters().entries();
    let clocks = clocks.map(|(name, n)| (Name::cut(&format!("clock_{name}")), n));
    let trusted = trust_counters(told).map(|(name, n)| (Name::cut(&name), n));
    let unresponsive = told.participants.unresponsive().take(NAMED_MAX);
    let unresponsive = unresponsive.map(|camera| (Name::cut(&format!("swarm_unresponsive_{camera}")), 1));
    let counted = app
        .chain(own)
        .chain(site)
        .chain(agreed)
        .chain(clocks)
        .chain(trusted)
        .chain(unresponsive)
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| (name, Count(n.min(COUNT_MAX))));
    StatusMessage {
        state: Presence::Online,
        encodings: List::cut([Name::cut("json"), Name::cut(MSGPACK)]),
        ground: Some(if *calibrated { GroundKind::Calibrated } else { GroundKind::Nominal }),
        footprint: footprint.as_ref().map(corners),
        clock: Some(clock(told, now)),
        modes: Some(List::cut(told.modes.iter().map(|mode| Name::cut(mode.name())))),
        counters: Some(Map::cut(counted)),
        public_key: told.trust.announcement().map(|key| Text::cut(&key)),
        ..offline(told.identity, Some(now))
    }
}

/// What is told of our clock. What was not measured is not claimed.
fn clock(told: &Told<'_>, now: Time) -> ClockStatus {
    let source = match (told.clock, told.fusion.own_clock().or(told.adopted)) {
        (Some(_), _) => "sntp",
        (None, Some(_)) => "peers",
        (None, None) => "none",
    };
    // A clock that was never set is off by more than a real of the contract holds.
    let real = |v: f64| Real(v.clamp(-REAL_MAX, REAL_MAX));
    let adopted_ms = || told.adopted.filter(|_| now.is_set()).map(|(ahead_ms, _)| -(ahead_ms as f64));
    let offset_ms = told.clock.map(|measured| measured.offset_ms).or_else(adopted_ms);
    ClockStatus {
        offset_ms: real(offset_ms.unwrap_or(0.0)),
        error_ms: clock_error_ms(told.clock, told.fusion, told.adopted, now).map(real),
        source: Name::cut(source),
        heard: Some(told.heard.clone()).filter(|heard| !heard.is_empty()),
        off: told.off.clone(),
    }
}

/// How far our times may be off, milliseconds: by the time server, whose answer ages, else by at least three other
/// cameras, else by the peers whose time was taken; none where it was not measured.
pub(super) fn clock_error_ms(
    clock: Option<ClockMeasured>,
    fusion: &Fusion,
    adopted: Option<(i64, i64)>,
    now: Time,
) -> Option<f64> {
    let by_server = clock.map(|m| m.error_ms + DRIFT_MS_PER_S * now.since(m.at).as_secs_f64());
    let by_peers = || fusion.own_clock().map(|(ahead_ms, error_ms)| (ahead_ms.abs() + error_ms) as f64);
    by_server.or_else(by_peers).or_else(|| adopted.map(|(_, error_ms)| error_ms as f64))
}

/// What is told of whom we believe; who is muted stands there by name.
fn trust_counters(told: &Told<'_>) -> impl Iterator<Item = (String, u64)> {
    let counters = told.trust.counters();
    let impossible = Fault::ALL.into_iter().zip(counters.impossible);
    let muted = told.trust.muted().take(NAMED_MAX).map(|camera| (format!("trust_muted_{camera}"), 1));
    let counted = [
        ("trust_verified", counters.verified),
        ("trust_unverified", counters.unverified),
        ("trust_batches", counters.batches),
        ("trust_pins_evicted", counters.evicted_pins),
    ];
    counted
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n))
        .chain(impossible.map(|(fault, n)| (format!("trust_impossible_{}", fault.as_str()), n)))
        .chain(muted)
}

/// What is told of the table of the site.
fn fusion_counters(fusion: &Fusion) -> [(&'static str, u64); 12] {
    let fusion::Counters {
        taken,
        late,
        early,
        repeated,
        unusable,
        over_limit,
        redone,
        handed_over,
        crowded_out,
    } = fusion.counters();
    let muted = fusion.cameras().iter().filter(|c| c.muted_ms.is_some()).count() as u64;
    [
        ("fusion_people", fusion.len() as u64),
        ("fusion_taken", taken),
        ("fusion_late", late),
        ("fusion_early", early),
        ("fusion_repeated", repeated),
        ("fusion_unusable", unusable),
        ("fusion_over_limit", over_limit),
        ("fusion_redone", redone),
        ("fusion_waiting", fusion.waiting() as u64),
        ("fusion_handed_over", handed_over),
        ("fusion_crowded_out", crowded_out),
        ("fusion_muted_cameras", muted),
    ]
}
