//! The site as one table: who is there, where, and under which number.
//!
//! Every camera keeps this table from its own tracks and those that the others report, and all come to
//! the same one without asking anybody. [`Fusion::take`] takes reports, [`Fusion::step`] works them in,
//! [`Fusion::at`] says who is where at a time.
//!
//! **What is fused.** Measurement-level fusion: the position of each report counts as a measurement of
//! one common state per person; the reported velocities are not used. Two fused *tracks* share the motion
//! model's errors, and combining them as if they were independent is overconfident; covariance
//! intersection is safe against that, but gains nothing from four views over the best of them. A camera's
//! box filter follows its detections closely (its gain is 0.8 and more), so the error of its reported
//! position is nearly that of one detection, and independent from camera to camera. What remains shared
//! is met by a floor under the pooled covariance, and what a camera claims of its errors is scaled by what
//! its residuals show ([`standing`]). So the state stays honest without throwing views away.
//!
//! **Time.** Reports carry the capture time; clocks that differ are corrected ([`roster`]). Frames of
//! different cameras within [`Options::moment`] are one moment and are worked in together ([`table`]). The
//! tables after the last moments are kept: a late report goes back to its moment, and what follows
//! is done again. The table is therefore a function of which reports came within [`Options::window`], not
//! of their order or number of copies. What comes later than that is counted, and changes nothing.
//!
//! **Pace.** What is looked for, remembered and taken as one moment for so long is meant for reports at two a
//! second and more; where the cameras report less often all of it lasts longer ([`pace`]).
//!
//! **Names.** A number is founded from the first report's camera, track and time ([`identity`]) and
//! travels with every track message; where tables differ, what most of those call somebody who see them stands,
//! and the older name of two that as many use ([`names`]).
//!
//! **Who is who.** Places decide, and what the cameras' own tracks say, as far as a tracker can be believed at
//! its frame rate ([`pairing`]). Who comes up is thought to go on as those did who came up there before
//! ([`inflow`]). What places could not tell when two passed is put right when their ways show it ([`revise`]). Who
//! walks out of one view and later into another that does not overlap with it is waited for, at most
//! [`Options::hand_over`], and found again by motion and class ([`handover`]).
//! Two that come within a body's width are one only where no camera told them apart for a while, and two
//! tracks of one camera are two people at once ([`person`]).
//!
//! Bounds: [`CAMERAS_MAX`] cameras, [`SIGHTS_MAX`] reports of one frame, `scans_max` frames in the window,
//! `people_max` people, [`WAITING_MAX`] who are waited for, [`MOMENTS_MAX`] tables to go back to; what is over is
//! counted. Nothing that is not finite gets in. Pure: no clock, no randomness; milliseconds since the epoch on our own clock, metres.
//!
//! Not here: what cameras agree on (consensus), signatures and who may speak (trust: [`Fusion::mute`] is
//! its handle), sockets.

mod handover;
mod identity;
mod inflow;
mod motion;
mod names;
mod pace;
mod pairing;
mod person;
mod revise;
mod roster;
mod standing;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::portable::exp;
use crate::model::{CameraId, Class, Point, Polygon};
use pace::Pace;
use pairing::Scratch;
use roster::Roster;
use table::Table;

pub use handover::{HandOver, WAITING_MAX};
pub use roster::CAMERAS_MAX;
pub use standing::{BIAS_MAX_M, LAG_MAX_S};

/// Reports of one camera's frame at most: twice what one may publish.
pub const SIGHTS_MAX: usize = 128;
/// Tables that can be gone back to.
pub const MOMENTS_MAX: usize = 64;
/// Tables that are kept for their memory.
const SPARE_MAX: usize = 4;
/// A report from so far ahead of our own clock is not believed, milliseconds.
const FUTURE_MAX_MS: i64 = 1_000;
/// A table is not carried on for longer than this beyond its last report, seconds.
const AHEAD_MAX_S: f64 = 2.0;
/// Beyond this a coordinate or a standard deviation is an error, metres.
const REACH_MAX_M: f64 = 1e6;

/// How the table is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// People at most.
    pub people_max: usize,
    /// Frames in the window at most.
    pub scans_max: usize,
    /// Reports that are so much older than the newest still find their place.
    pub window: Duration,
    /// Frames of different cameras that lie within this time are worked in together; a camera's next frame
    /// begins the next moment.
    pub moment: Duration,
    /// Spectral density of the acceleration, m²/s³. Walks in WILDTRACK and in three of ETH/UCY are likeliest at 0.01
    /// to 0.04, each of the four by itself; from 0.03 to 0.06 who is whom comes out the same.
    pub acceleration_m2_s3: f64,
    /// Standard deviation of a velocity of which nothing is known, metres per second.
    pub speed_sigma_mps: f64,
    /// How long somebody is looked for who is not seen where somebody looks: under cover.
    pub lost_after: Duration,
    /// How long somebody is waited for at most who went where nobody looks: between views that do not overlap.
    pub hand_over: Duration,
    /// Rounds in which the cameras decide anew, knowing what the others decided.
    pub rounds: usize,
}

impl Default for Options {
    /// A thousand people are about 1 MB for each table that is kept.
    fn default() -> Self {
        Self {
            people_max: 1_000,
            scans_max: 4_096,
            window: Duration::from_secs(1),
            moment: Duration::from_millis(200),
            acceleration_m2_s3: 0.04,
            speed_sigma_mps: 1.0,
            lost_after: Duration::from_secs(3),
            hand_over: Duration::from_secs(30),
            rounds: 2,
        }
    }
}

/// One track as a camera reports it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// Its number on that camera.
    pub track_id: u32,
    /// Where, metres.
    pub position_m: Point,
    /// Covariance of the position `[sxx, sxy, syy]`, square metres.
    pub cov_m2: [f64; 3],
    /// What it is.
    pub class: Class,
    /// How sure its detector is, 0..1.
    pub confidence: f64,
    /// Capture on the sender's clock, milliseconds since the epoch.
    pub captured_ms: i64,
    /// Its sender's number for the person.
    pub global_id: Option<u64>,
}

impl Sight {
    /// Whether it can be reckoned with: finite, no farther than a thousand kilometres, no variance negative.
    fn is_usable(&self) -> bool {
        let [xx, xy, yy] = self.cov_m2;
        // Written so that a NaN fails.
        [self.position_m.x, self.position_m.y].iter().all(|v| v.abs() <= REACH_MAX_M)
            && [xx, yy].iter().all(|v| (0.0..=REACH_MAX_M).contains(v))
            && xy.abs() <= REACH_MAX_M
            && (0.0..=1.0).contains(&self.confidence)
    }
}

/// One frame of one camera.
#[derive(Debug, Clone)]
struct Scan {
    camera: u16,
    /// Capture, on our clock.
    at_ms: i64,
    /// By track number.
    sights: Vec<Sight>,
}

/// Somebody on the site.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Number on the site, below 2^53.
    pub global_id: u64,
    /// Where, metres.
    pub position_m: Point,
    /// How they move, metres per second.
    pub velocity_mps: Point,
    /// Covariance of the position `[sxx, sxy, syy]`, square metres.
    pub cov_m2: [f64; 3],
    /// What.
    pub class: Class,
    /// Probability of being there, 0..1.
    pub existence: f64,
    /// Last report, milliseconds since the epoch on our clock.
    pub seen_ms: i64,
    /// Who saw them then.
    pub seen_by: Vec<Witness>,
    /// Whether, when they came up, they were found to be one who had gone where nobody looks, and why.
    pub hand_over: Option<HandOver>,
}

/// A camera's last word on a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Witness {
    /// Which camera.
    pub camera: CameraId,
    /// Its track.
    pub track_id: u32,
    /// How far from the forecast it saw them, metres.
    pub off_m: f64,
    /// The same, as squared Mahalanobis distance.
    pub off2: f64,
}

/// What is known of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraStanding {
    /// Which.
    pub camera: CameraId,
    /// Where it says people are, less where the others say so; corrected up to [`BIAS_MAX_M`], metres.
    pub bias_m: Point,
    /// What its clock is ahead of the site's by its arrivals; corrected, seconds.
    pub clock_s: f64,
    /// What its positions are behind the others' along everybody's way, as a time; not corrected, seconds.
    pub lag_s: f64,
    /// The factor on the covariances it claims.
    pub noise: f64,
    /// The part of its reports that the others bear out, 0..1.
    pub agreement: f64,
    /// Since when it is left out.
    pub muted_ms: Option<i64>,
    /// How many of its reports could be compared.
    pub compared: u64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Reports taken.
    pub taken: u64,
    /// Too old to be put in their place.
    pub late: u64,
    /// From too far in the future.
    pub early: u64,
    /// Said before.
    pub repeated: u64,
    /// No numbers to reckon with.
    pub unusable: u64,
    /// From more cameras, or more of one frame, or more frames, than are taken.
    pub over_limit: u64,
    /// Moments done again for a late report.
    pub redone: u64,
    /// People who came out of ground that nobody watches under the number with which they went in.
    pub handed_over: u64,
    /// People who were not waited for any longer because too many were.
    pub crowded_out: u64,
}

/// The fused table of the site.
#[derive(Debug, Clone)]
pub struct Fusion {
    options: Options,
    roster: Roster,
    /// Reports since the last step, by their capture on their camera's clock.
    inbox: BTreeMap<(i64, u16), Vec<Sight>>,
    /// Frames not yet final, by time and camera, and where in time each was put.
    scans: BTreeMap<(i64, u16), Scan>,
    placed: BTreeMap<(u16, i64), i64>,
    /// The table after all that is final.
    base: Table,
    /// Until when all is final.
    final_ms: i64,
    /// When each moment that is not final ends, and the table after it.
    moments: VecDeque<(i64, Table)>,
    /// Tables that were undone or became older than the window.
    spare: Vec<Table>,
    newest_ms: i64,
    counters: Counters,
    scratch: Scratch,
}

impl Fusion {
    /// A table of nobody, kept by the camera `own`.
    pub fn new(options: Options, own: &CameraId) -> Self {
        Self {
            options,
            roster: Roster::new(own),
            inbox: BTreeMap::new(),
            scans: BTreeMap::new(),
            placed: BTreeMap::new(),
            base: Table::default(),
            final_ms: i64::MIN,
            moments: VecDeque::new(),
            spare: Vec::new(),
            newest_ms: i64::MIN,
            counters: Counters::default(),
            scratch: Scratch::default(),
        }
    }

    /// Which ground a camera sees: what absence of its sight means depends on it.
    pub fn set_footprint(&mut self, camera: &CameraId, footprint: Option<&Polygon>, now_ms: i64) {
        if let Some(index) = self.hear(camera, now_ms) {
            self.roster.set_footprint(index, footprint);
        }
    }

    /// A camera that is gone watches nothing.
    pub fn unset_footprint(&mut self, camera: &CameraId) {
        if let Some(index) = self.roster.find(camera) {
            self.roster.set_footprint(index, None);
        }
    }

    /// Leaves a camera out, or takes it in again, for reasons of somebody else's.
    pub fn mute(&mut self, camera: &CameraId, muted: bool) {
        if let Some(index) = self.roster.find(camera) {
            self.roster.set_muted(index, muted);
        }
    }

    /// Takes a report that arrived now.
    pub fn take(&mut self, camera: &CameraId, sight: Sight, now_ms: i64) {
        if !sight.is_usable() {
            self.counters.unusable += 1;
            return;
        }
        // On the site's clock; a camera that was never heard is taken by its word.
        let site_ms = now_ms.saturating_sub(self.roster.own_ahead_ms());
        let known = self.roster.find(camera);
        if let Some(index) = known {
            self.roster.arrived(index, sight.captured_ms, now_ms);
        }
        let ahead_ms = known.map_or(0, |index| self.roster.ahead_ms(index));
        if sight.captured_ms.saturating_sub(ahead_ms) > site_ms.saturating_add(FUTURE_MAX_MS) {
            self.counters.early += 1;
            return;
        }
        // Even a clock that is far behind is put right by no more than this.
        if sight.captured_ms.saturating_sub(ahead_ms).saturating_add(2 * FUTURE_MAX_MS) <= self.final_ms {
            self.counters.late += 1;
            return;
        }
        let frames = self.inbox.len() + self.scans.len();
        let heard = match known {
            Some(index) => Some(self.roster.heard(index, now_ms)),
            None => self.hear(camera, now_ms),
        };
        let Some(index) = heard.filter(|_| frames < self.options.scans_max) else {
            self.counters.over_limit += 1;
            return;
        };
        if known.is_none() {
            self.roster.arrived(index, sight.captured_ms, now_ms);
        }
        let sights = self.inbox.entry((sight.captured_ms, index)).or_default();
        self.counters.count(insert(sights, sight));
    }

    fn hear(&mut self, camera: &CameraId, now_ms: i64) -> Option<u16> {
        let (index, anew) = self.roster.hear(camera, now_ms)?;
        if anew {
            // The number was another's: nothing of that one may be taken for this one's.
            self.clear(index);
        }
        Some(index)
    }

    /// Forgets what another camera reported and how it was judged. A person that it alone reported stays until the
    /// usual time without a report is over.
    pub fn forget(&mut self, camera: &CameraId) {
        if let Some(index) = self.roster.find(camera).filter(|index| !Roster::is_own(*index)) {
            self.roster.forget(index);
            self.clear(index);
        }
    }

    fn clear(&mut self, index: u16) {
        self.inbox.retain(|(_, camera), _| *camera != index);
        self.scans.retain(|(_, camera), _| *camera != index);
        self.placed.retain(|(camera, _), _| *camera != index);
        self.base.forget(index);
        self.moments.iter_mut().for_each(|(_, table)| table.forget(index));
    }

    /// Works in what was taken. What is older than the window becomes final; our own clock has a say in
    /// that, so that nobody who is ahead of us makes what the others say too old.
    pub fn step(&mut self, now_ms: i64) {
        self.roster.tell_clocks();
        if self.inbox.is_empty() {
            return;
        }
        let Some(dirty_ms) = self.place() else { return };
        self.go_back(dirty_ms);
        let mut from = self.moments.back().map_or(self.final_ms.saturating_add(1), |(end_ms, _)| *end_ms);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut table = self.spare.pop().unwrap_or_default();
        while let Some((end_ms, at_ms, scans)) = self.moment(from, self.table().pace) {
            table.become_copy_of(self.table());
            table.step(at_ms, &scans, &self.roster, &self.options, &mut scratch);
            let spare = self.spare.pop().unwrap_or_default();
            self.moments.push_back((end_ms, std::mem::replace(&mut table, spare)));
            from = end_ms;
        }
        self.keep(table);
        self.scratch = scratch;
        self.finalise(now_ms.saturating_sub(self.roster.own_ahead_ms()));
    }

    /// Keeps a table that is not needed any more for its memory.
    fn keep(&mut self, table: Table) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(table);
        }
    }

    /// Undoes the moments that a report at this time changes: the one that it belongs to, and all after it.
    fn go_back(&mut self, dirty_ms: i64) {
        while self.moments.back().is_some_and(|(end_ms, _)| *end_ms > dirty_ms) {
            let before = self.moments.len().checked_sub(2).and_then(|i| self.moments.get(i));
            let (from, pace) = before
                .map_or((self.final_ms.saturating_add(1), self.base.pace), |(end_ms, table)| {
                    (*end_ms, table.pace)
                });
            // Where a camera's next frame has come, the moment ends sooner, and may have been all in it.
            let end = self.moment(from, pace).filter(|(.., scans)| scans.iter().all(|s| s.at_ms < dirty_ms));
            let end_ms = end.map(|(end_ms, ..)| end_ms);
            if let (Some(end_ms), Some(last)) = (end_ms, self.moments.back_mut()) {
                last.0 = end_ms;
                return;
            }
            if let Some((_, undone)) = self.moments.pop_back() {
                self.keep(undone);
            }
            self.counters.redone += 1;
        }
    }

    /// Gives the new reports their places in time; the earliest place that changed.
    fn place(&mut self) -> Option<i64> {
        let mut dirty_ms: Option<i64> = None;
        for ((captured_ms, camera), sights) in std::mem::take(&mut self.inbox) {
            let corrected_ms = captured_ms - self.roster.ahead_ms(camera);
            let at_ms = *self.placed.entry((camera, captured_ms)).or_insert(corrected_ms);
            if at_ms <= self.final_ms {
                self.placed.remove(&(camera, captured_ms));
                self.counters.late += sights.len() as u64;
                continue;
            }
            let scan = self.scans.entry((at_ms, camera)).or_insert_with(|| Scan {
                camera,
                at_ms,
                sights: Vec::new(),
            });
            for sight in sights {
                let inserted = insert(&mut scan.sights, sight);
                self.counters.count(inserted);
                if inserted == Inserted::New {
                    // It was counted when it came; only what is new in its frame changes anything.
                    self.counters.taken -= 1;
                    dirty_ms = Some(dirty_ms.map_or(at_ms, |d| d.min(at_ms)));
                }
            }
            self.newest_ms = self.newest_ms.max(at_ms);
        }
        dirty_ms
    }

    /// The next moment from `from` on: its end, its time, and its frames by the cameras' names. `pace` is that of
    /// the table before it.
    fn moment(&self, from: i64, pace: Pace) -> Option<(i64, i64, Vec<&Scan>)> {
        let mut later = self.scans.range((from, 0)..).map(|(_, scan)| scan);
        let first = later.next()?;
        let mut end_ms = first.at_ms.saturating_add(pace.ms(self.options.moment).max(1));
        let mut scans = vec![first];
        for scan in later.take_while(|s| s.at_ms < end_ms) {
            if scan.at_ms > first.at_ms && scans.iter().any(|s| s.camera == scan.camera) {
                end_ms = scan.at_ms;
                break;
            }
            scans.push(scan);
        }
        scans.retain(|s| s.at_ms < end_ms);
        scans.sort_unstable_by(|a, b| self.roster.name(a.camera).cmp(self.roster.name(b.camera)));
        let sum: i64 = scans.iter().map(|s| s.at_ms - first.at_ms).sum();
        Some((end_ms, first.at_ms + sum / scans.len() as i64, scans))
    }

    /// Lets go of what is older than the window.
    fn finalise(&mut self, now_ms: i64) {
        let keep_from = self.newest_ms.min(now_ms).saturating_sub(millis(self.options.window));
        while self.moments.front().is_some_and(|(end_ms, _)| *end_ms <= keep_from)
            || self.moments.len() > MOMENTS_MAX
        {
            let Some((end_ms, table)) = self.moments.pop_front() else { break };
            let before = std::mem::replace(&mut self.base, table);
            self.keep(before);
            self.final_ms = end_ms - 1;
        }
        let final_ms = self.final_ms;
        self.scans.retain(|(at_ms, _), _| *at_ms > final_ms);
        self.placed.retain(|_, at_ms| *at_ms > final_ms);
    }

    fn table(&self) -> &Table {
        self.moments.back().map_or(&self.base, |(_, table)| table)
    }

    /// Everybody who is there at this time (milliseconds since the epoch on our clock), by number.
    pub fn at(&self, at_ms: i64) -> Vec<Person> {
        let at_ms = at_ms.saturating_sub(self.roster.own_ahead_ms());
        let lost_ms = self.table().pace.ms(self.options.lost_after);
        let mut people: Vec<Person> = self
            .table()
            .people
            .iter()
            .filter(|p| p.is_shown() && at_ms.saturating_sub(p.seen_ms) <= lost_ms)
            .map(|p| self.person(p, at_ms))
            .collect();
        people.sort_unstable_by_key(|p| p.global_id);
        people
    }

    fn person(&self, p: &person::Person, at_ms: i64) -> Person {
        let dt_s = (at_ms.saturating_sub(p.at_ms) as f64 * 1e-3).clamp(-AHEAD_MAX_S, AHEAD_MAX_S);
        let mut moved = p.estimate;
        moved.predict(dt_s, self.options.acceleration_m2_s3);
        let place = if dt_s > 0.0 { moved.place(0.0) } else { p.estimate.place(dt_s) };
        let mut seen_by: Vec<Witness> = p
            .bindings
            .iter()
            .filter(|b| b.seen_ms == p.seen_ms)
            .map(|b| Witness {
                camera: self.roster.name(b.camera).clone(),
                track_id: b.track_id,
                off_m: f64::from(b.off_m),
                off2: f64::from(b.off2),
            })
            .collect();
        seen_by.sort_unstable_by(|a, b| (&a.camera, a.track_id).cmp(&(&b.camera, b.track_id)));
        Person {
            global_id: p.id,
            position_m: place.at,
            velocity_mps: p.estimate.velocity(),
            cov_m2: place.cov,
            class: p.class(),
            existence: 1.0 / (1.0 + exp(-p.exists)),
            seen_ms: p.seen_ms,
            seen_by,
            hand_over: p.hand_over,
        }
    }

    /// The number on the site of a camera's track, once the table knows whose it is.
    pub fn name_of(&self, camera: &CameraId, track_id: u32) -> Option<u64> {
        let camera = self.roster.find(camera)?;
        self.table().name_of(camera, track_id)
    }

    /// Whether a camera is left out, for what the others bear out or by somebody else's word.
    pub fn is_muted(&self, camera: &CameraId) -> bool {
        self.roster.find(camera).is_some_and(|index| self.is_left_out(index))
    }

    fn is_left_out(&self, index: u16) -> bool {
        self.roster.is_muted(index)
            || self.table().standing.get(usize::from(index)).is_some_and(standing::Standing::is_muted)
    }

    /// What a camera's clock is ahead of the site's, milliseconds: what its times are corrected by here.
    pub fn ahead_ms(&self, camera: &CameraId) -> i64 {
        self.roster.find(camera).map_or(0, |index| self.roster.ahead_ms(index))
    }

    /// What our own clock is ahead of the others', and how far that may be off, milliseconds, by what their
    /// messages show; none with fewer than three of them.
    pub fn own_clock(&self) -> Option<(i64, i64)> {
        self.roster.own_clock()
    }

    /// Notes that a camera is there, so that its clock has a place.
    pub fn note(&mut self, camera: &CameraId, now_ms: i64) {
        self.hear(camera, now_ms);
    }

    /// Takes what a camera's clock is ahead of ours, milliseconds, as measured by request and response; it stands before
    /// what arrivals show.
    pub fn set_offset(&mut self, camera: &CameraId, offset_ms: Option<i64>) {
        if let Some(index) = self.roster.find(camera) {
            self.roster.set_offset(index, offset_ms);
        }
    }

    /// Takes what our own clock is ahead of the cameras that count, and how far that may be off, milliseconds, as
    /// measured by request and response; none while fewer than three were measured.
    pub fn set_own_clock(&mut self, own: Option<(i64, i64)>) {
        self.roster.set_own(own);
    }

    /// Takes anew what is known of the cameras' clocks. `of` is called with each other camera, and whether a usable
    /// report of it ever arrived and it is not left out. (Its times may be off: it has a say on whose clock is.) It
    /// returns whether that camera has a say on our own clock, and what [`Self::set_offset`] takes.
    pub fn set_clocks(&mut self, of: impl Fn(&CameraId, bool) -> (bool, Option<i64>)) {
        for index in (1..self.roster.len()).filter_map(|index| u16::try_from(index).ok()) {
            let is_usable = self.roster.has_reported(index) && !self.is_left_out(index);
            let (counts, offset_ms) = of(self.roster.name(index), is_usable);
            self.roster.set_counts(index, counts);
            self.roster.set_offset(index, offset_ms);
        }
    }

    /// Whether another camera had a say on our own clock when [`Self::set_clocks`] was called last.
    pub fn counts(&self, camera: &CameraId) -> bool {
        self.roster.find(camera).is_some_and(|index| !Roster::is_own(index) && self.roster.counts(index))
    }

    /// Applies what was measured of the clocks, without a step.
    pub fn tell_clocks(&mut self) {
        self.roster.tell_clocks();
    }

    /// Our own clock was stepped forward by so much, milliseconds (negative: back). The table begins anew, without
    /// anybody: all times in it are on the old clock. What is known of the cameras stays.
    pub fn clock_stepped(&mut self, by_ms: i64) {
        self.roster.clock_stepped(by_ms);
        let mut table = self.table().clone();
        table.clock_stepped(by_ms);
        self.base = table;
        self.moments.clear();
        self.inbox.clear();
        self.scans.clear();
        self.placed.clear();
        (self.final_ms, self.newest_ms) = (i64::MIN, i64::MIN);
    }

    /// The persons that other cameras which count see at this time (milliseconds since the epoch on our clock): where,
    /// and whether our own camera sees them too.
    pub fn seen_by_others<'a>(
        &'a self,
        at_ms: i64,
        counts: impl Fn(&CameraId) -> bool + 'a,
    ) -> impl Iterator<Item = (Point, bool)> + 'a {
        let moment_ms = self.table().pace.ms(self.options.moment).max(1);
        let fresh = move |b: &person::Binding, p: &person::Person| p.seen_ms - b.seen_ms < moment_ms;
        let at_ms = at_ms.saturating_sub(self.roster.own_ahead_ms());
        let people = self.table().people.iter();
        people.filter(move |p| p.is_shown() && at_ms - p.seen_ms < 2 * FUTURE_MAX_MS).filter_map(move |p| {
            let own = p.bindings.iter().any(|b| Roster::is_own(b.camera) && fresh(b, p));
            let others = p
                .bindings
                .iter()
                .any(|b| !Roster::is_own(b.camera) && fresh(b, p) && counts(self.roster.name(b.camera)));
            others.then(|| (p.estimate.place(0.0).at, own))
        })
    }

    /// What is known of each camera, by its name.
    pub fn cameras(&self) -> Vec<CameraStanding> {
        let table = self.table();
        let known = |name: &CameraId| {
            let index = self.roster.find(name)?;
            let s = table.standing.get(usize::from(index))?;
            Some(CameraStanding {
                camera: name.clone(),
                bias_m: s.bias_m,
                clock_s: self.roster.ahead_ms(index) as f64 * 1e-3,
                lag_s: s.lag_s,
                noise: s.noise(),
                agreement: s.agreement(),
                muted_ms: s.muted_ms(),
                compared: s.compared,
            })
        };
        self.roster.names().into_iter().filter_map(known).collect()
    }

    /// People in the table, those looked for included.
    pub fn len(&self) -> usize {
        self.table().people.len()
    }

    /// People who went where nobody looks and are waited for.
    pub fn waiting(&self) -> usize {
        self.table().hall.len()
    }

    /// Whether nobody is in the table.
    pub fn is_empty(&self) -> bool {
        self.table().people.is_empty()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        let table = self.table();
        Counters {
            over_limit: self.counters.over_limit + table.refused,
            handed_over: table.hall.handed_over,
            crowded_out: table.hall.crowded_out,
            ..self.counters
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inserted {
    New,
    Repeated,
    OverLimit,
}

impl Counters {
    fn count(&mut self, inserted: Inserted) {
        match inserted {
            Inserted::New => self.taken += 1,
            Inserted::Repeated => self.repeated += 1,
            Inserted::OverLimit => self.over_limit += 1,
        }
    }
}

/// Puts a report among those of its frame.
fn insert(sights: &mut Vec<Sight>, sight: Sight) -> Inserted {
    match sights.binary_search_by_key(&sight.track_id, |s| s.track_id) {
        Ok(_) => Inserted::Repeated,
        Err(_) if sights.len() >= SIGHTS_MAX => Inserted::OverLimit,
        Err(place) => {
            sights.insert(place, sight);
            Inserted::New
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
