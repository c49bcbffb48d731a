//! What the presence message says: who is there, with which ground, in which state, and what was counted.
//!
//! A will carries no more than the name, since the broker says it for a camera that can't. Everything else
//! is told anew with each message. Nothing is claimed that was not measured.

use super::bounded::{List, Map, Reals};
use super::consensus::Consensus;
use super::counters::Counters;
use super::encodings::MSGPACK;
use super::fusion::{self, Fusion};
use super::message::{ClockStatus, GroundKind, Name, Presence, StatusMessage};
use super::publish::millis;
use super::wire::{COUNT_MAX, Count, Millis, Real};
use super::{Ground, Identity};
use crate::base::Time;
use crate::model::Polygon;

/// What is told.
pub(super) struct Told<'a> {
    pub(super) identity: &'a Identity,
    pub(super) modes: &'a [String],
    /// What the rest of the daemon counted.
    pub(super) app_counters: &'a [(&'static str, u64)],
    pub(super) counters: &'a Counters,
    pub(super) fusion: &'a Fusion,
    pub(super) consensus: &'a Consensus,
}

/// The goodbye, which is also the will.
pub(super) fn offline(identity: &Identity, now: Time) -> StatusMessage {
    StatusMessage {
        camera_id: identity.camera.clone(),
        state: Presence::Offline,
        version: Name::cut(&identity.version),
        boot: Millis(identity.boot_ms()),
        timestamp: millis(now),
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
    let counted = app
        .chain(own)
        .chain(site)
        .chain(agreed)
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| (name, Count(n.min(COUNT_MAX))));
    StatusMessage {
        state: Presence::Online,
        encodings: List::cut([Name::cut("json"), Name::cut(MSGPACK)]),
        ground: Some(if *calibrated { GroundKind::Calibrated } else { GroundKind::Nominal }),
        footprint: footprint.as_ref().map(corners),
        // Timestamps leave as the system has them. Nobody measures how far off it is, so no
        // error is claimed.
        clock: Some(ClockStatus { offset_ms: Real(0.0), error_ms: None, source: Name::cut("none") }),
        modes: Some(List::cut(told.modes.iter().map(|m| Name::cut(m)))),
        counters: Some(Map::cut(counted)),
        ..offline(told.identity, now)
    }
}

/// What is told of the table of the site.
fn fusion_counters(fusion: &Fusion) -> [(&'static str, u64); 9] {
    let fusion::Counters { taken, late, early, repeated, unusable, over_limit, redone } = fusion.counters();
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
        ("fusion_muted_cameras", muted),
    ]
}
