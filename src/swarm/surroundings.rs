//! What consensus must know of the site, out of what the engine knows of the cameras and the people.

use super::consensus::Site;
use super::fusion::Fusion;
use super::neighbours::Neighbours;
use super::participants::{Participants, Standing};
use super::peers::{PeerState, Peers};
use super::trust::Trust;
use super::{Ground, Identity};
use crate::base::Time;
use crate::model::{CameraId, Class, Point};

/// See the module.
pub(super) struct Surroundings<'a> {
    pub(super) identity: &'a Identity,
    pub(super) peers: &'a Peers,
    pub(super) fusion: &'a Fusion,
    pub(super) trust: &'a Trust,
    pub(super) neighbours: &'a Neighbours,
    pub(super) participants: &'a Participants,
    pub(super) now: Time,
    /// No degraded mode says that our own view is dead.
    pub(super) looks: bool,
}

impl Site for Surroundings<'_> {
    fn own(&self) -> &CameraId {
        &self.identity.camera
    }

    fn viewers(&self, at: Point) -> Vec<(&CameraId, bool)> {
        let Ground { calibrated, footprint } = &self.identity.ground;
        let own =
            footprint.iter().filter(|f| *calibrated && f.contains(at)).map(|_| (self.own(), self.looks));
        let peers = self.peers.iter().filter(|(_, p)| p.holds(at));
        own.chain(peers.map(|(camera, p)| (camera, p.looks()))).collect()
    }

    fn is_known(&self, camera: &CameraId) -> bool {
        camera == self.own() || self.peers.get(camera).is_some_and(|p| p.status.is_some())
    }

    fn is_present(&self, camera: &CameraId) -> bool {
        camera == self.own() || self.peers.get(camera).is_some_and(|p| p.state == PeerState::Online)
    }

    fn is_muted(&self, camera: &CameraId) -> bool {
        self.fusion.is_muted(camera) || self.trust.is_muted(camera)
    }

    fn standing(&self, camera: &CameraId) -> Standing {
        if camera == self.own() {
            return Standing::Counts;
        }
        let is_known = self.is_known(camera);
        let counts = self.trust.is_named(camera) || self.participants.counts(camera);
        if !is_known || (self.participants.is_contradicted(camera) && !counts) {
            Standing::Stranger
        } else if counts {
            Standing::Counts
        } else if self.trust.is_new(camera, self.now) {
            Standing::Stranger
        } else {
            Standing::Unproven
        }
    }

    fn is_asked(&self, camera: &CameraId, now: Time) -> bool {
        camera == self.own() || self.participants.is_asked(camera, now)
    }

    fn concerns(&self, at: Point) -> bool {
        self.neighbours.concerns(at)
    }

    fn shares_ground(&self, camera: &CameraId) -> bool {
        if camera == self.own() {
            return self.identity.ground.calibrated;
        }
        // Who assumes a ground of its own shares no metres; of the reference system nobody says so.
        self.identity.ground.calibrated
            && self.peers.get(camera).is_none_or(|p| p.status.is_none() || p.is_calibrated())
    }

    fn subject(&self, camera: &CameraId, track_id: u32) -> Option<u64> {
        self.fusion.name_of(camera, track_id)
    }

    fn ahead_ms(&self, camera: &CameraId) -> i64 {
        self.fusion.ahead_ms(camera)
    }

    fn place_of(&self, camera: &CameraId, track_id: u32) -> Option<Point> {
        self.peers.get(camera)?.tracks.get(&track_id).map(|track| track.position_m)
    }

    fn class_of(&self, camera: &CameraId, track_id: u32) -> Option<Class> {
        self.peers.get(camera)?.tracks.get(&track_id).map(|track| track.class)
    }
}
