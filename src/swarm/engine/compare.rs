//! What the tracks of other cameras are worth, by comparison with our own.
//!
//! Where both see the ground, a track of another camera is evidence about that camera: it lies at one of our tracks, or
//! it does not. Of the same comparison this camera learns where its own view is blind.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, Engine, epoch_ms};
use crate::base::Time;
use crate::model::{CameraId, Point, Polygon};
use crate::swarm::participants::{self, Compared};
use crate::swarm::peers::PeerState;

/// Tracks that were heard of within this time are compared with those of our newest scene, if that is as new.
const COMPARED_WITHIN: Duration = Duration::from_millis(700);
const COMPARED_WITHIN_MS: u64 = 700;
/// Two cameras' tracks of one person lie at most so far apart, meters: the error of both on the ground. The second is for
/// a crowd, in which a track at any place lies near a person.
const SAME_M: [f64; 2] = [2.0, 1.0];
/// It is a crowd if a larger part of the common ground lies near our tracks.
const CROWD: f64 = 0.35;
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
        let off_m = |at: Point| places.iter().map(|place| place.distance(at)).fold(f64::INFINITY, f64::min);
        let looks = self.looks() && now.epoch_ms.saturating_sub(seen_ms) <= COMPARED_WITHIN_MS;
        let near = SAME_M
            .map(|within_m| if looks { self.common_ground.cells(|at| off_m(at) <= within_m) } else { NONE });
        let mut changes = Vec::new();
        for (camera, peer) in self.peers.iter().filter(|(_, peer)| peer.looks()) {
            let fresh = peer.tracks.iter().filter(|(_, track)| now.since(track.heard) <= COMPARED_WITHIN);
            if fresh.clone().next().is_none() {
                continue;
            }
            let common = fresh
                .filter(|(_, track)| looks && peer.is_calibrated() && self.consensus.sees(track.position_m));
            let chances = near.map(|near| self.common_ground.part(camera, &near));
            let of = usize::from(chances[0] > CROWD);
            let tracks = common.map(|(track_id, track)| {
                let (at, off_m) = (track.position_m, off_m(track.position_m));
                Compared { track_id: *track_id, at, agrees: off_m <= SAME_M[of], is_near: off_m <= SAME_M[0] }
            });
            let change = self.participants.compare(camera, tracks, chances[of], now);
            changes.extend(change.map(|change| (camera.clone(), change)));
        }
        for (camera, change) in changes {
            self.note_participant(camera, change, out);
        }
    }

    /// Tells the table which ground another camera watches.
    pub(super) fn watch(&mut self, camera: &CameraId, now: Time) {
        // A view that is dead watches nothing; who is not there, neither.
        let present = self.peers.get(camera).filter(|peer| peer.state == PeerState::Online);
        if let Some((peer, footprint)) = present.and_then(|peer| Some((peer, peer.footprint.as_ref()?))) {
            self.fusion.set_footprint(camera, Some(footprint).filter(|_| peer.looks()), epoch_ms(now));
            self.common_ground.share(camera, footprint);
        } else {
            self.fusion.unset_footprint(camera);
            self.common_ground.unshare(camera);
        }
    }

    pub(super) fn note_participant(
        &mut self,
        camera: CameraId,
        change: participants::Change,
        out: &mut Vec<Action>,
    ) {
        use participants::Change;
        match change {
            // Tracks at places where nothing is would only pull others along.
            Change::Contradicted => self.fusion.mute(&camera, true),
            Change::Counts => {
                self.prove(&camera, out);
                if !self.trust.is_muted(&camera) {
                    self.fusion.mute(&camera, false);
                }
            }
            Change::Doubted | Change::Unresponsive | Change::Responsive => {}
        }
        out.push(Action::Participant { camera, change });
    }
}

/// A set of cells of our ground, one bit each.
type Cells = [u64; (GRID * GRID).div_ceil(64) as usize];
const NONE: Cells = [0; (GRID * GRID).div_ceil(64) as usize];

/// The ground in our view as cells of a grid, and which of them each other camera has in view too.
#[derive(Debug, Clone, Default)]
pub(super) struct CommonGround {
    /// The middles of the cells, metres; none where our ground is not calibrated.
    middles: Vec<Point>,
    common: BTreeMap<CameraId, Cells>,
}

impl CommonGround {
    pub(super) fn new(footprint: Option<&Polygon>) -> Self {
        Self { middles: footprint.map(grid).unwrap_or_default(), common: BTreeMap::new() }
    }

    /// The cells with a property, by the place of their middle.
    fn cells(&self, has: impl Fn(Point) -> bool) -> Cells {
        let mut cells = NONE;
        for (i, _) in self.middles.iter().enumerate().filter(|(_, at)| has(**at)) {
            cells[i / 64] |= 1 << (i % 64);
        }
        cells
    }

    /// Takes the footprint of another camera.
    fn share(&mut self, camera: &CameraId, footprint: &Polygon) {
        let cells = self.cells(|at| footprint.contains(at));
        *self.common.entry(camera.clone()).or_default() = cells;
    }

    pub(super) fn unshare(&mut self, camera: &CameraId) {
        self.common.remove(camera);
    }

    /// The part of the ground that we share with a camera that these cells cover, 0..1.
    fn part(&self, camera: &CameraId, of: &Cells) -> f64 {
        let Some(common) = self.common.get(camera) else { return 0.0 };
        let size: u32 = common.iter().map(|cells| cells.count_ones()).sum();
        let covered: u32 = common.iter().zip(of).map(|(common, of)| (common & of).count_ones()).sum();
        f64::from(covered) / f64::from(size.max(1))
    }
}

/// Places all over a footprint.
fn grid(footprint: &Polygon) -> Vec<Point> {
    let (least, most) = footprint.bounds();
    let step =
        |n: u32, least: f64, most: f64| least + (f64::from(n) + 0.5) / f64::from(GRID) * (most - least);
    let rows = (0..GRID).flat_map(|y| (0..GRID).map(move |x| (x, y)));
    let places = rows.map(|(x, y)| Point::new(step(x, least.x, most.x), step(y, least.y, most.y)));
    places.filter(|at| footprint.contains(*at)).collect()
}
