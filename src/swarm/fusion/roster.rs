//! The cameras whose reports the table takes, by a small number each.
//!
//! At most [`CAMERAS_MAX`]; when it is full, the one that was silent for longest, and for at least
//! [`FORGET_MS`], makes room. So a flood of made-up cameras never pushes out one that is heard.
//!
//! Clocks are told from arrivals. A message can't arrive before it was sent, and of many some travel
//! fast: the least `arrival - capture` of a camera is its fastest way less what its clock is ahead. All
//! cameras of a site have much the same fastest way, so a camera's least, against the median of all
//! others' leasts, tells its clock. That median itself tells ours: it is the fastest way plus what we are
//! ahead of them all. Our own reports are put right by it when it is far off (then ours is the odd one out),
//! and what we publish is not: cameras that all followed each other would never come to rest.
//! Differences below [`CLOCK_DOUBT_MS`] may be the network's and are left alone.

use std::collections::BTreeSet;

use crate::model::{CameraId, Point, Polygon};

/// Cameras at most.
pub const CAMERAS_MAX: usize = 256;
/// A camera silent for less than this is not forgotten for another, milliseconds.
const FORGET_MS: i64 = 10_000;
/// Clocks that differ by less are taken as equal, milliseconds.
const CLOCK_DOUBT_MS: i64 = 30;
/// Our own clock is put right only when it is farther off than this against the median of all others,
/// milliseconds: the fastest way can't be told from a small difference.
const OWN_DOUBT_MS: i64 = 250;
/// What the fastest message takes from its frame to us, and how far that may be off, milliseconds.
const WAY_MS: (i64, i64) = (40, 40);
/// How fast the least is forgotten, milliseconds a second: as fast as bad clocks drift, and a way gets longer.
const CLOCK_DRIFT_MS_PER_S: i64 = 1;

#[derive(Debug, Clone)]
struct Member {
    name: CameraId,
    footprint: Option<Polygon>,
    /// Told by somebody else to leave it out.
    muted: bool,
    heard_ms: i64,
    /// The least arrival - capture, and when it was.
    fastest: Option<(i64, i64)>,
    /// What its clock is ahead of the site's, milliseconds.
    ahead_ms: i64,
}

/// The cameras by index. The first is our own.
#[derive(Debug, Clone)]
pub(super) struct Roster {
    members: Vec<Member>,
    /// Of each member's name: looked through before any name is compared.
    fingerprints: Vec<u32>,
    /// What our own clock is ahead of the median of the others, as far as their messages tell.
    own: Option<i64>,
}

impl Roster {
    /// Our own camera alone.
    pub(super) fn new(own: &CameraId) -> Self {
        Self { members: vec![member(own, 0)], fingerprints: vec![own.fingerprint()], own: None }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn name(&self, camera: u16) -> &CameraId {
        &self.members[usize::from(camera)].name
    }

    pub(super) fn is_own(camera: u16) -> bool {
        camera == 0
    }

    pub(super) fn is_muted(&self, camera: u16) -> bool {
        self.members[usize::from(camera)].muted
    }

    pub(super) fn ahead_ms(&self, camera: u16) -> i64 {
        self.members[usize::from(camera)].ahead_ms
    }

    /// What is taken off our own times, milliseconds.
    pub(super) fn own_ahead_ms(&self) -> i64 {
        self.ahead_ms(0)
    }

    /// What our own clock is ahead of the others', and how far that may be off; none without three others.
    pub(super) fn own_clock(&self) -> Option<(i64, i64)> {
        self.own.map(|ahead_ms| (ahead_ms, WAY_MS.1))
    }

    pub(super) fn covers(&self, camera: u16, at: Point) -> bool {
        self.members[usize::from(camera)].footprint.as_ref().is_some_and(|f| f.contains(at))
    }

    /// Whether anybody looks there.
    pub(super) fn is_covered(&self, at: Point) -> bool {
        self.members.iter().any(|m| !m.muted && m.footprint.as_ref().is_some_and(|f| f.contains(at)))
    }

    /// A camera that is known.
    pub(super) fn find(&self, name: &CameraId) -> Option<u16> {
        let wanted = name.fingerprint();
        let mut alike = self.fingerprints.iter().enumerate().filter(|(_, of_member)| **of_member == wanted);
        alike.find(|(i, _)| self.members[*i].name == *name).and_then(|(i, _)| u16::try_from(i).ok())
    }

    /// A camera, heard just now; with the number of another that was forgotten for it. None when there
    /// is no room.
    pub(super) fn hear(&mut self, name: &CameraId, now_ms: i64) -> Option<(u16, bool)> {
        if let Some(i) = self.find(name) {
            return Some((self.heard(i, now_ms), false));
        }
        if self.members.len() < CAMERAS_MAX {
            self.members.push(member(name, now_ms));
            self.fingerprints.push(name.fingerprint());
            return u16::try_from(self.members.len() - 1).ok().map(|i| (i, false));
        }
        let (i, stalest) =
            self.members.iter_mut().enumerate().skip(1).min_by_key(|(i, m)| (m.heard_ms, *i))?;
        if now_ms - stalest.heard_ms < FORGET_MS {
            return None;
        }
        *stalest = member(name, now_ms);
        self.fingerprints[i] = name.fingerprint();
        u16::try_from(i).ok().map(|i| (i, true))
    }

    /// Notes that a camera was heard just now.
    pub(super) fn heard(&mut self, camera: u16, now_ms: i64) -> u16 {
        let heard = &mut self.members[usize::from(camera)].heard_ms;
        *heard = now_ms.max(*heard);
        camera
    }

    /// Forgets all of a camera but its name and number.
    pub(super) fn forget(&mut self, camera: u16) {
        let known = &mut self.members[usize::from(camera)];
        *known = member(&known.name, known.heard_ms);
    }

    pub(super) fn set_footprint(&mut self, camera: u16, footprint: Option<&Polygon>) {
        let known = &mut self.members[usize::from(camera)].footprint;
        if known.as_ref() != footprint {
            *known = footprint.cloned();
        }
    }

    pub(super) fn set_muted(&mut self, camera: u16, muted: bool) {
        self.members[usize::from(camera)].muted = muted;
    }

    /// Notes when a report arrived.
    pub(super) fn arrived(&mut self, camera: u16, captured_ms: i64, now_ms: i64) {
        let took_ms = now_ms - captured_ms;
        let fastest = &mut self.members[usize::from(camera)].fastest;
        let risen = fastest.map(|(least, at)| least + (now_ms - at) / 1_000 * CLOCK_DRIFT_MS_PER_S);
        if risen.is_none_or(|risen| took_ms <= risen) {
            *fastest = Some((took_ms, now_ms));
        }
    }

    /// Tells the clocks anew from what arrived so far.
    pub(super) fn tell_clocks(&mut self) {
        let mut leasts: Vec<i64> = self.members[1..].iter().filter_map(|m| m.fastest.map(|f| f.0)).collect();
        leasts.sort_unstable();
        // Two clocks that differ do not say which of them is off.
        let Some(&median) = leasts.get(leasts.len() / 2).filter(|_| leasts.len() >= 3) else { return };
        let own_ms = median - WAY_MS.0;
        self.members[0].ahead_ms = if own_ms.abs() < OWN_DOUBT_MS { 0 } else { own_ms };
        self.own = Some(own_ms);
        for m in &mut self.members[1..] {
            let ahead_ms = m.fastest.map_or(0, |(least, _)| median - least);
            m.ahead_ms = if ahead_ms.abs() < CLOCK_DOUBT_MS { 0 } else { ahead_ms };
        }
    }

    /// The cameras' names, for whoever looks at all of them.
    pub(super) fn names(&self) -> BTreeSet<&CameraId> {
        self.members.iter().map(|m| &m.name).collect()
    }
}

fn member(name: &CameraId, now_ms: i64) -> Member {
    Member { name: name.clone(), footprint: None, muted: false, heard_ms: now_ms, fastest: None, ahead_ms: 0 }
}
