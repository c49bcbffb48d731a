//! What the tracks of other cameras are worth, by comparison with our own.
//!
//! Where both see the ground, a track of another camera is evidence about that camera: it lies at one of our tracks, or
//! it does not. Of the same comparison this camera learns where its own view is blind.

use std::time::Duration;

use super::{Action, Engine, epoch_ms};
use crate::base::Time;
use crate::model::{CameraId, Point, Polygon};
use crate::swarm::participants::{self, Compared};
use crate::swarm::peers::{Peer, PeerState};

/// Tracks that were heard of within this time are compared with those of our newest scene, if that is as new.
const COMPARED_WITHIN: Duration = Duration::from_millis(700);
const COMPARED_WITHIN_MS: u64 = 700;
/// Two cameras' tracks of one person lie at most so far apart, meters: the error of both on the ground.
const SAME_M: f64 = 2.0;
/// Points of a grid over our footprint, in each direction.
const GRID: u32 = 12;

impl Engine {
    /// Learns where our view is blind.
    pub(super) fn compare_views(&mut self, now: Time) {
        if !self.looks() {
            return;
        }
        let participants = &self.participants;
        let counts = |camera: &CameraId| participants.counts(camera);
        for (at, seen) in self.fusion.seen_by_others(epoch_ms(now), counts) {
            self.consensus.compare(at, seen);
        }
    }

    /// Compares the tracks that other cameras report in our view with our own: what a camera is worth as a voter.
    pub(super) fn compare_cameras(&mut self, now: Time, out: &mut Vec<Action>) {
        let (seen_ms, places) = self.consensus.own_places();
        let places: Vec<Point> = places.collect();
        let agrees = |at: Point| places.iter().any(|place| place.distance(at) <= SAME_M);
        let looks = self.looks() && now.epoch_ms.saturating_sub(seen_ms) <= COMPARED_WITHIN_MS;
        let ground: Vec<(Point, bool)> = self.grid.iter().map(|at| (*at, agrees(*at))).collect();
        let mut changes = Vec::new();
        for (camera, peer) in self.peers.iter().filter(|(_, peer)| peer.looks()) {
            let fresh = peer.tracks.iter().filter(|(_, track)| now.since(track.heard) <= COMPARED_WITHIN);
            if fresh.clone().next().is_none() {
                continue;
            }
            let common = fresh
                .filter(|(_, track)| looks && peer.is_calibrated() && self.consensus.sees(track.position_m));
            let tracks = common.map(|(track_id, track)| Compared {
                track_id: *track_id,
                at: track.position_m,
                agrees: agrees(track.position_m),
            });
            let change = self.participants.compare(camera, tracks, chance(&ground, peer), now);
            changes.extend(change.map(|change| (camera.clone(), change)));
        }
        for (camera, change) in changes {
            self.note_participant(camera, change, now, out);
        }
    }

    /// Whether a track that a camera reports is evidence of a person. Where this camera sees the ground itself, the track
    /// of a camera that does not count is evidence about that camera alone.
    pub(super) fn believes(&self, camera: &CameraId, at: Point) -> bool {
        let sees = self.looks() && self.consensus.sees(at);
        self.counts_as_voter(camera) || !(sees || self.participants.is_contradicted(camera))
    }

    /// Whether the votes of a camera count.
    pub(super) fn counts_as_voter(&self, camera: &CameraId) -> bool {
        self.trust.is_named(camera) || self.participants.counts(camera)
    }

    /// Tells the table which ground another camera watches: that it does not see a person there is evidence too.
    pub(super) fn watch(&mut self, camera: &CameraId, now: Time) {
        let peer = self.peers.get(camera).filter(|peer| peer.state == PeerState::Online);
        let Some(peer) = peer.filter(|peer| peer.footprint.is_some()) else {
            // Who is not there watches nothing.
            return self.fusion.unset_footprint(camera);
        };
        let is_proven = self.counts_as_voter(camera) || !self.grid.iter().any(|at| peer.holds(*at));
        // Neither does a dead view.
        let watched = peer.footprint.as_ref().filter(|_| is_proven && peer.looks());
        self.fusion.set_footprint(camera, watched, epoch_ms(now));
    }

    pub(super) fn note_participant(
        &mut self,
        camera: CameraId,
        change: participants::Change,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        use participants::Change;
        if change == Change::Counts {
            self.prove(&camera, out);
        }
        if matches!(change, Change::Counts | Change::Doubted | Change::Contradicted) {
            self.watch(&camera, now);
        }
        out.push(Action::Participant { camera, change });
    }
}

/// The part of the ground in our view and that of another camera at which a track would agree, 0..1. `ground`: places in
/// our view, and whether a track there would.
fn chance(ground: &[(Point, bool)], peer: &Peer) -> f64 {
    let common = || ground.iter().filter(|(at, _)| peer.holds(*at));
    let agreeing = common().filter(|(_, agrees)| *agrees).count();
    agreeing as f64 / common().count().max(1) as f64
}

/// Places all over a footprint.
pub(super) fn grid(footprint: &Polygon) -> Vec<Point> {
    let (least, most) = footprint.bounds();
    let step =
        |n: u32, least: f64, most: f64| least + (f64::from(n) + 0.5) / f64::from(GRID) * (most - least);
    let rows = (0..GRID).flat_map(|y| (0..GRID).map(move |x| (x, y)));
    let places = rows.map(|(x, y)| Point::new(step(x, least.x, most.x), step(y, least.y, most.y)));
    places.filter(|at| footprint.contains(*at)).collect()
}
