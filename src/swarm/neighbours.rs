//! Whose tracks this camera listens to.
//!
//! On a small site everybody's. A site of more than [`Options::small_site_max`] cameras is a large one: there
//! a camera listens to the tracks of those alone whose ground lies within [`Options::near_m`] of its own, as
//! `status/+` tells it; it does not keep the presence of those far away beyond the first few, and leaves what
//! happens farther away than that to those who are there, whose word it could not judge: it does not know who can see
//! the place. (What is claimed a little farther away it takes in, since that may be the same incident.) So what a camera does and keeps depends on how many are near, whatever the size of the site. A site is small again when
//! fewer than three quarters of the limit are there: a site of just that size does not go back and forth.
//!
//! A camera that says no measured ground shares no metres with anybody, and is nobody's neighbour.
//!
//! What comes of cameras that are not listened to is dropped unread, and a subscription that still brings it
//! [`CALM_TICKS`] after the last change is ended again: a broker that kept our session from before this process
//! began may hold filters that it alone knows of.
//!
//! Pure; what comes out are topic filters that begin and end to be wanted. Metres.

use std::collections::BTreeSet;

use super::bounded::Reals;
use super::consensus;
use super::message::StatusMessage;
use super::peers::{Peers, footprint_of};
use super::topic::Prefix;
use crate::model::{CameraId, Point, Polygon};

/// What comes so many ticks after the last change was not on its way any more.
const CALM_TICKS: u32 = 3;
/// Cameras whose subscriptions are ended again in one tick.
const STRAYS_MAX: usize = 16;

/// Who is near.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Cameras beside our own up to which a site is small.
    pub small_site_max: usize,
    /// Between the ground that two neighbours see, at most, metres.
    pub near_m: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { small_site_max: 32, near_m: 50.0 }
    }
}

/// What is to change at the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Begin(String),
    End(String),
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Neighbours {
    options: Options,
    own: Option<Polygon>,
    /// On a large site: those whose tracks are listened to.
    near: Option<BTreeSet<CameraId>>,
    /// Something was heard that may change who is near.
    stale: bool,
    /// Cameras that were heard since the last tick and are not listened to.
    strays: BTreeSet<CameraId>,
    /// Ticks since the last change.
    calm_ticks: u32,
}

impl Neighbours {
    pub(super) fn new(options: Options, own: Option<Polygon>) -> Self {
        Self { options, own, near: None, stale: false, strays: BTreeSet::new(), calm_ticks: 0 }
    }

    /// Whether presence is worth keeping: on a large site that of a newcomer far away is not.
    pub(super) fn cares(&mut self, m: &StatusMessage, peers: &Peers) -> bool {
        let known = peers.get(&m.camera_id);
        // On a large site all introduce themselves at once, before anybody has decided that it is one.
        let large = || self.near.is_some() || peers.online() > self.options.small_site_max;
        if known.is_none() && large() && !self.is_near(m) {
            return false;
        }
        self.stale |= known
            .and_then(|peer| peer.status.as_deref())
            .is_none_or(|was| was.ground != m.ground || was.footprint != m.footprint);
        true
    }

    /// Whether what happens at a place is a camera's business: on a large site what happens far away is not.
    pub(super) fn concerns(&self, place: Point) -> bool {
        self.is_within(place, self.options.near_m)
    }

    /// Whether what is claimed at a place may be one incident with what is claimed where it is our business: who took in
    /// only a part of what is claimed would come to another outcome than the rest of the site.
    pub(super) fn may_concern(&self, place: Point) -> bool {
        self.is_within(place, self.options.near_m + consensus::JOINED_WITHIN_M)
    }

    fn is_within(&self, place: Point, within_m: f64) -> bool {
        let near = |own: &Polygon| own.contains(place) || own.border_distance(place) <= within_m;
        self.near.is_none() || self.own.as_ref().is_some_and(near)
    }

    /// Whether a camera is listened to.
    pub(super) fn hears(&self, camera: &str) -> bool {
        self.near.as_ref().is_none_or(|near| near.contains(camera))
    }

    /// A camera that is not listened to was heard.
    pub(super) fn note_stray(&mut self, camera: &str) {
        if self.calm_ticks >= CALM_TICKS
            && self.strays.len() < STRAYS_MAX
            && let Ok(camera) = CameraId::parse(camera)
        {
            self.strays.insert(camera);
        }
    }

    /// Decides anew who is near, once in a tick; what is to change at the broker is added to `out`.
    pub(super) fn update(&mut self, peers: &Peers, prefix: &Prefix, out: &mut Vec<Change>) {
        let before = out.len();
        self.decide(peers, prefix, out);
        self.calm_ticks = if out.len() > before { 0 } else { self.calm_ticks.saturating_add(1) };
        let strays = std::mem::take(&mut self.strays);
        let strays = strays.iter().filter(|camera| !self.hears(camera.as_str()));
        out.extend(strays.map(|camera| Change::End(prefix.tracks_of(camera))));
    }

    fn decide(&mut self, peers: &Peers, prefix: &Prefix, out: &mut Vec<Change>) {
        let there = peers.online();
        let large = match self.near {
            None => there > self.options.small_site_max,
            Some(_) => there >= self.options.small_site_max * 3 / 4,
        };
        if large == self.near.is_some() && !(large && std::mem::take(&mut self.stale)) {
            return;
        }
        let near = large.then(|| {
            let grounds = peers.iter().filter_map(|(camera, peer)| Some((camera, peer.footprint.as_ref()?)));
            grounds.filter(|(_, ground)| self.is_close(ground)).map(|(camera, _)| camera.clone()).collect()
        });
        let wanted = filters(near.as_ref(), prefix);
        let had = filters(self.near.as_ref(), prefix);
        // What begins comes first, so that nothing is missed in between.
        out.extend(wanted.difference(&had).cloned().map(Change::Begin));
        out.extend(had.difference(&wanted).cloned().map(Change::End));
        self.near = near;
    }

    /// Whose tracks are listened to: the filters below the prefix.
    pub(super) fn filters(&self, prefix: &Prefix) -> BTreeSet<String> {
        filters(self.near.as_ref(), prefix)
    }

    /// Cameras that are listened to; none on a small site, where all are.
    pub(super) fn near(&self) -> Option<&BTreeSet<CameraId>> {
        self.near.as_ref()
    }

    fn is_near(&self, m: &StatusMessage) -> bool {
        let (Some(own), Some(corners)) = (&self.own, &m.footprint) else { return false };
        let (least, most) = own.bounds();
        let near_m = self.options.near_m;
        // Beyond one side of our box, all of them.
        let all = |beyond: &dyn Fn(f64, f64) -> bool| corners.iter().all(|Reals([x, y])| beyond(*x, *y));
        let is_far = all(&|x, _| x < least.x - near_m)
            || all(&|x, _| x > most.x + near_m)
            || all(&|_, y| y < least.y - near_m)
            || all(&|_, y| y > most.y + near_m);
        // That tells of most that they are far away.
        !is_far && footprint_of(m).is_some_and(|ground| self.is_close(&ground))
    }

    fn is_close(&self, ground: &Polygon) -> bool {
        self.own.as_ref().is_some_and(|own| own.distance(ground) <= self.options.near_m)
    }
}

fn filters(near: Option<&BTreeSet<CameraId>>, prefix: &Prefix) -> BTreeSet<String> {
    match near {
        None => BTreeSet::from([prefix.tracks_of_all()]),
        Some(near) => near.iter().map(|camera| prefix.tracks_of(camera)).collect(),
    }
}
