//! The cameras whose reports the table takes, by a small number each.
//!
//! At most [`CAMERAS_MAX`]; when it is full, the one that was silent for longest, and for at least
//! [`FORGET_MS`], makes room. So a flood of made-up cameras never pushes out one that is heard.
//!
//! **Clocks.** The offset of a camera is measured by request and response (`clock_sync`) where the camera takes part
//! in that, and is relative to our own clock. [`Roster::set_offset`] takes it; one below [`CLOCK_DOUBT_MS`] is no
//! offset. Our own clock is the reference, unless the caller finds that at least three cameras that count agree on
//! another ([`Roster::set_own`]).
//!
//! Without an exchange (cameras of other programs) the arrivals decide. A message can't arrive before it was sent, and of many some travel
//! fast: the least `arrival - capture` of a camera is its fastest way less what its clock is ahead. All
//! cameras of a site have much the same fastest way, so a camera's least, against the median of all
//! others' leasts, tells its clock; where the offset of some cameras is measured, their leasts and offsets give the
//! fastest way itself, and one of them is enough. That median itself tells ours: it is the fastest way plus what we are
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
    /// The same against our own clock, as measured by exchange.
    offset_ms: Option<i64>,
    /// Whether it has a say on our own clock.
    counts: bool,
}

/// The cameras by index. The first is our own.
#[derive(Debug, Clone)]
pub(super) struct Roster {
    members: Vec<Member>,
    /// Of each member's name: looked through before any name is compared.
    fingerprints: Vec<u32>,
    /// What our own clock is ahead of the median of the others, and how far that may be off.
    own: Option<(i64, i64)>,
    /// The same, as measured by exchange.
    own_measured: Option<(i64, i64)>,
}

impl Roster {
    /// Our own camera alone.
    pub(super) fn new(own: &CameraId) -> Self {
        Self {
            members: vec![member(own, 0)],
            fingerprints: vec![own.fingerprint()],
            own: None,
            own_measured: None,
        }
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
        self.own
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

    /// Sets what a camera's clock is ahead of ours, as measured by exchange.
    pub(super) fn set_offset(&mut self, camera: u16, offset_ms: Option<i64>) {
        self.members[usize::from(camera)].offset_ms = offset_ms;
    }

    /// Sets what our own clock is ahead of the cameras that count, and how far that may be off, as measured by exchange.
    pub(super) fn set_own(&mut self, own: Option<(i64, i64)>) {
        self.own_measured = own;
    }

    /// Sets whether a camera has a say on our own clock.
    pub(super) fn set_counts(&mut self, camera: u16, counts: bool) {
        self.members[usize::from(camera)].counts = counts;
    }

    pub(super) fn counts(&self, camera: u16) -> bool {
        self.members[usize::from(camera)].counts
    }

    /// Whether a report of a camera ever arrived.
    pub(super) fn has_reported(&self, camera: u16) -> bool {
        self.members[usize::from(camera)].fastest.is_some()
    }

    /// Our own clock was stepped forward by so much, milliseconds.
    pub(super) fn clock_stepped(&mut self, by_ms: i64) {
        for m in &mut self.members {
            m.heard_ms = m.heard_ms.saturating_add(by_ms);
            m.fastest = m.fastest.map(|(least, at)| (least.saturating_add(by_ms), at.saturating_add(by_ms)));
            m.offset_ms = m.offset_ms.map(|offset_ms| offset_ms.saturating_sub(by_ms));
        }
        self.own_measured =
            self.own_measured.map(|(ahead_ms, error_ms)| (ahead_ms.saturating_add(by_ms), error_ms));
    }

    /// Tells the clocks anew from what was measured and arrived so far.
    pub(super) fn tell_clocks(&mut self) {
        // Two clocks that differ do not say which of them is off.
        let median = middle(self.leasts(|m| m.counts), 3);
        let by_arrivals = || median.map(|median| (median.saturating_sub(WAY_MS.0), WAY_MS.1));
        self.own = self.own_measured.or_else(by_arrivals);
        let own_ms = self.own.map_or(0, |(own_ms, _)| own_ms);
        let own_ms = if own_ms.saturating_abs() < OWN_DOUBT_MS { 0 } else { own_ms };
        // The fastest way on our clock. Of the arrivals alone its sum with what we are ahead is known; where those that
        // do not count show that we are far off, our clock stays the reference.
        let way_ms = middle(self.ways(), 1);
        let of_all = || {
            let all_ms = middle(self.leasts(|_| true), 3)?;
            Some(if all_ms.saturating_sub(WAY_MS.0).saturating_abs() < OWN_DOUBT_MS {
                all_ms
            } else {
                WAY_MS.0
            })
        };
        let median = median.or_else(of_all);
        self.members[0].ahead_ms = own_ms;
        for m in &mut self.members[1..] {
            let by_arrivals = || {
                let (least, _) = m.fastest?;
                let by_way = || way_ms.map(|way_ms| way_ms.saturating_sub(least).saturating_add(own_ms));
                by_way().or_else(|| median.map(|median| median.saturating_sub(least)))
            };
            let by_exchange = m.offset_ms.map(|offset_ms| offset_ms.saturating_add(own_ms));
            let Some(ahead_ms) = by_exchange.or_else(by_arrivals) else { continue };
            m.ahead_ms = if ahead_ms.saturating_abs() < CLOCK_DOUBT_MS { 0 } else { ahead_ms };
        }
    }

    /// The leasts of the others.
    fn leasts(&self, of: impl Fn(&Member) -> bool) -> Vec<i64> {
        self.members[1..].iter().filter(|m| of(m)).filter_map(|m| m.fastest.map(|(least, _)| least)).collect()
    }

    /// What the fastest message took of each camera that counts and whose offset is measured.
    fn ways(&self) -> Vec<i64> {
        let counting = self.members[1..].iter().filter(|m| m.counts);
        counting.filter_map(|m| Some(m.fastest?.0.saturating_add(m.offset_ms?))).collect()
    }

    /// The cameras' names, for whoever looks at all of them.
    pub(super) fn names(&self) -> BTreeSet<&CameraId> {
        self.members.iter().map(|m| &m.name).collect()
    }
}

fn member(name: &CameraId, now_ms: i64) -> Member {
    Member {
        name: name.clone(),
        footprint: None,
        muted: false,
        heard_ms: now_ms,
        fastest: None,
        ahead_ms: 0,
        offset_ms: None,
        counts: true,
    }
}

/// The median of at least so many.
fn middle(mut values: Vec<i64>, of_at_least: usize) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied().filter(|_| values.len() >= of_at_least)
}
