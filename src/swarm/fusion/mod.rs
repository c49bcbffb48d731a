//! The site as one table.
//!
//! (header to be written)

mod identity;
mod motion;
mod standing;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::{CameraId, Class, Point, Polygon};
use table::{Scratch, Table};

/// Cameras whose reports are taken.
pub const CAMERAS_MAX: usize = 256;
/// Reports of one camera's frame that are taken.
pub const SIGHTS_MAX: usize = 128;
/// Moments that can be gone back to.
const MOMENTS_MAX: usize = 32;

/// How the table is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Most people at once.
    pub people_max: usize,
    /// Reports up to so much older than the newest are put in their place.
    pub window: Duration,
    /// Frames of different cameras that lie within this time are taken together.
    pub moment: Duration,
    /// Spectral density of the acceleration, m²/s³.
    pub acceleration_m2_s3: f64,
    /// Standard deviation of a velocity of which nothing is known, metres per second.
    pub speed_sigma_mps: f64,
    /// How long somebody unseen is looked for, milliseconds.
    pub lost_ms: i64,
    /// Rounds of joint assignment.
    pub rounds: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            people_max: 1_000,
            window: Duration::from_secs(1),
            moment: Duration::from_millis(100),
            acceleration_m2_s3: 0.3,
            speed_sigma_mps: 1.0,
            lost_ms: 4_000,
            rounds: 3,
        }
    }
}

/// One track as a camera reports it: what a track message says.
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
    /// Its sender's name for the person.
    pub global_id: Option<u64>,
}

/// One frame of one camera.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    camera: u16,
    /// Capture, on our clock.
    at_ms: i64,
    /// By track number.
    sights: Vec<Sight>,
}

/// Somebody on the site.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Number on the site.
    pub global_id: u64,
    /// Where, metres.
    pub position_m: Point,
    /// How they move, metres per second.
    pub velocity_mps: Point,
    /// Covariance of the position, square metres.
    pub cov_m2: [f64; 3],
    /// What.
    pub class: Class,
    /// Probability of being there, 0..1.
    pub existence: f64,
    /// Who saw them last, by camera name and track, with how far off that was.
    pub seen_by: Vec<(CameraId, u32, f64, f64)>,
}

#[derive(Debug, Clone)]
struct Member {
    name: CameraId,
    footprint: Option<Polygon>,
    muted: bool,
    own: bool,
}

/// The cameras by index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    members: Vec<Member>,
}

impl Roster {
    fn len(&self) -> usize {
        self.members.len()
    }
    fn name(&self, camera: u16) -> &CameraId {
        &self.members[usize::from(camera)].name
    }
    fn is_own(&self, camera: u16) -> bool {
        self.members[usize::from(camera)].own
    }
    fn is_muted(&self, camera: u16) -> bool {
        self.members[usize::from(camera)].muted
    }
    fn covers(&self, camera: u16, at: Point) -> bool {
        self.members[usize::from(camera)].footprint.as_ref().is_some_and(|f| f.contains(at))
    }
    fn index(&mut self, name: &CameraId, own: bool) -> Option<u16> {
        let known = self.members.iter().position(|m| m.name == *name);
        let index = known.or_else(|| {
            (self.members.len() < CAMERAS_MAX).then(|| {
                self.members.push(Member { name: name.clone(), footprint: None, muted: false, own });
                self.members.len() - 1
            })
        })?;
        u16::try_from(index).ok()
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Too old to be put in their place.
    pub late: u64,
    /// Said before.
    pub repeated: u64,
    /// From more cameras, or more of one frame, than are taken.
    pub over_limit: u64,
}

/// The fused table of the site.
#[derive(Debug, Clone)]
pub struct Fusion {
    options: Options,
    roster: Roster,
    /// Frames not yet final, by time and camera.
    scans: BTreeMap<(i64, u16), Scan>,
    /// The table after all that is final.
    base: Table,
    /// Until when all is final, on our clock.
    final_ms: i64,
    /// The table after each moment that is not final, and when it began.
    moments: VecDeque<(i64, Table)>,
    /// The earliest report that the moments do not know of.
    dirty_ms: Option<i64>,
    newest_ms: i64,
    counters: Counters,
    scratch: Scratch,
}

impl Fusion {
    /// A table of nobody, kept by the camera `own`.
    pub fn new(options: Options, own: &CameraId) -> Self {
        let mut roster = Roster::default();
        roster.index(own, true);
        Self {
            options,
            roster,
            scans: BTreeMap::new(),
            base: Table::default(),
            final_ms: i64::MIN,
            moments: VecDeque::new(),
            dirty_ms: None,
            newest_ms: i64::MIN,
            counters: Counters::default(),
            scratch: Scratch::default(),
        }
    }

    /// Which ground a camera sees.
    pub fn footprint(&mut self, camera: &CameraId, footprint: Option<Polygon>) {
        if let Some(i) = self.roster.index(camera, false) {
            self.roster.members[usize::from(i)].footprint = footprint;
        }
    }

    /// Takes a report.
    pub fn take(&mut self, camera: &CameraId, sight: Sight) {
        let Some(index) = self.roster.index(camera, false) else {
            self.counters.over_limit += 1;
            return;
        };
        let clock_s = self.base.standing.get(usize::from(index)).map_or(0.0, |s| s.clock_s);
        let at_ms = sight.captured_ms - (clock_s * 1e3).round() as i64;
        if at_ms <= self.final_ms {
            self.counters.late += 1;
            return;
        }
        let scan = self.scans.entry((at_ms, index)).or_insert_with(|| Scan { camera: index, at_ms, sights: Vec::new() });
        match scan.sights.binary_search_by_key(&sight.track_id, |s| s.track_id) {
            Ok(_) => self.counters.repeated += 1,
            Err(_) if scan.sights.len() >= SIGHTS_MAX => self.counters.over_limit += 1,
            Err(place) => {
                scan.sights.insert(place, sight);
                self.dirty_ms = Some(self.dirty_ms.map_or(at_ms, |d| d.min(at_ms)));
                self.newest_ms = self.newest_ms.max(at_ms);
            }
        }
    }

    /// Brings the table up to the newest report.
    pub fn step(&mut self) {
        let Some(dirty_ms) = self.dirty_ms.take() else { return };
        let span_ms = self.options.moment.as_millis() as i64;
        // The moment that the earliest new report may belong to, and all after it, are done again.
        while self.moments.back().is_some_and(|(begin, _)| *begin > dirty_ms - span_ms) {
            self.moments.pop_back();
        }
        let (mut from, mut table) = match self.moments.back() {
            Some((begin, table)) => (begin + span_ms, table.clone()),
            None => (i64::MIN, self.base.clone()),
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        // Frames of a moment that stays are all in it.
        loop {
            let group = self.group(from, span_ms);
            let Some(first) = group.first() else { break };
            let begin = first.at_ms;
            let mut scans: Vec<&Scan> = group;
            scans.sort_by(|a, b| self.roster.name(a.camera).cmp(self.roster.name(b.camera)));
            let mid = scans.iter().map(|s| s.at_ms - begin).sum::<i64>() / scans.len() as i64;
            table.step(begin + mid, &scans, &self.roster, &self.options, &mut scratch);
            self.moments.push_back((begin, table.clone()));
            from = begin + span_ms;
        }
        self.scratch = scratch;
        self.finalise(span_ms);
    }

    /// The scans from `from` on that are taken together.
    fn group(&self, from: i64, span_ms: i64) -> Vec<&Scan> {
        let mut group: Vec<&Scan> = Vec::new();
        for (&(at_ms, _), scan) in self.scans.range((from, 0)..) {
            let begin = group.first().map_or(at_ms, |s| s.at_ms);
            if at_ms >= begin + span_ms {
                break;
            }
            group.push(scan);
        }
        group
    }

    fn finalise(&mut self, span_ms: i64) {
        let keep_from = self.newest_ms - self.options.window.as_millis() as i64;
        while let Some((begin, _)) = self.moments.front() {
            if begin + span_ms > keep_from && self.moments.len() <= MOMENTS_MAX {
                break;
            }
            if let Some((begin, table)) = self.moments.pop_front() {
                self.base = table;
                self.final_ms = begin + span_ms - 1;
            }
        }
        let final_ms = self.final_ms;
        self.scans.retain(|(at, _), _| *at > final_ms);
    }

    fn table(&self) -> &Table {
        self.moments.back().map_or(&self.base, |(_, table)| table)
    }

    /// Everybody who is there, as of this time (milliseconds since the epoch on our clock).
    pub fn at(&self, at_ms: i64) -> Vec<Person> {
        let people = self.table().people.iter().filter(|p| p.is_shown());
        people
            .map(|p| {
                let dt_s = ((at_ms - p.at_ms) as f64 * 1e-3).clamp(-2.0, 2.0);
                let mut moved = p.estimate;
                moved.predict(dt_s, self.options.acceleration_m2_s3);
                let place = if dt_s > 0.0 { moved.place(0.0) } else { p.estimate.place(dt_s) };
                let seen = p.bindings.iter().filter(|b| b.seen_ms == p.seen_ms);
                Person {
                    global_id: p.id,
                    position_m: place.at,
                    velocity_mps: p.estimate.velocity(),
                    cov_m2: place.cov,
                    class: p.class(),
                    existence: 1.0 / (1.0 + (-p.exists).exp()),
                    seen_by: seen
                        .map(|b| (self.roster.name(b.camera).clone(), b.track_id, f64::from(b.off_m), f64::from(b.off2)))
                        .collect(),
                }
            })
            .collect()
    }

    /// Bias, clock, noise, agreement, muted of each camera.
    pub fn cameras(&self) -> Vec<(CameraId, Point, f64, f64, f64, bool)> {
        let t = self.table();
        self.roster.members.iter().zip(&t.standing).map(|(m, s)| (m.name.clone(), s.bias_m, s.clock_s, s.noise(), s.agreement(), s.is_muted())).collect()
    }
}
impl Fusion {
    #[allow(missing_docs)]
    pub fn debug_near(&self, x: f64, y: f64, r: f64) {
        for p in &self.table().people {
            let at = p.estimate.place(0.0);
            if at.at.distance(Point::new(x, y)) < r {
                let b: Vec<String> = p.bindings.iter().map(|b| format!("{}/{}@{} off {:.2} m2 {:.1}", self.roster.name(b.camera), b.track_id, (b.seen_ms - p.at_ms), b.off_m, b.off2)).collect();
                println!("   {} at {:.2},{:.2} v {:.2},{:.2} sd {:.2} exists {:.1} conf {} | {}", p.id % 1_000_000, at.at.x, at.at.y, p.estimate.velocity().x, p.estimate.velocity().y, at.cov[0].sqrt(), p.exists, p.confirmed, b.join("; "));
            }
        }
    }
}
