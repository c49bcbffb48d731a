//! The people of the site, and one step of their life.
//!
//! [`Table::step`] takes the scans of one moment (each camera at most one) and does, in this order:
//!
//! 1. Everybody is predicted to the moment.
//! 2. Every scan is paired with the people by an exact optimal assignment: one camera's two tracks are
//!    never one person. First against the prediction, then, camera by camera, against the prediction
//!    *and what all other cameras say at this moment*, so that the cameras decide together.
//! 3. What is left over is clustered across cameras; a cluster begins a person, or finds a lost one.
//! 4. Everybody takes in the pooled place, and what being seen and not being seen says of whether they
//!    are there at all (a log-odds existence, as in integrated data association: Musicki, Evans &
//!    Stankovic, IEEE TAC 1994).
//! 5. Two that are one are merged; names are settled with those of the other tables; who is gone goes.
//!
//! Pure: a function of the table, the scans and the cameras.

use super::identity;
use super::motion::{Cov, Estimate, Place, Pool, det, mahalanobis2, plus, round, times};
use super::roster::Roster;
use super::standing::{self, Standing};
use super::{Options, Scan, Sight, millis};
use crate::base::portable::{exp, ln};
use crate::base::{Assignment, Pair};
use crate::model::{Class, Point};

/// Farther apart than this a report and a person are not compared, metres.
const REACH_M: f64 = 3.0;
/// A report vaguer than this says nothing (standard deviation), metres.
const VAGUE_M: f64 = 4.0;
/// New people and false reports per square metre and scan: what a pair has to beat.
const STRAY_PER_M2: f64 = 0.005;
/// One move in twenty is nothing like the last; standard deviation of such a one, metres.
const SURPRISE_PART: f64 = 0.05;
const SURPRISE_M: f64 = 0.8;
/// What a track that was this person's before is worth, natural units, per time seen and at most.
const BOUND_WORTH: f64 = 0.7;
const BOUND_WORTH_MAX: f64 = 2.5;
const STRAY_CLUSTER: f64 = 0.0005;
/// A report is borne out by others that see the same within this, metres.
const BORNE_OUT_M: f64 = 1.5;
/// Who is lost, natural units, and for every second of it; their velocity falls to 1/e in this time, seconds.
const LOST_DOUBT: f64 = -3.5;
const LOST_DOUBT_PER_S: f64 = -0.5;
const FADE_S: f64 = 2.0;
const SWITCH: f64 = -0.5;
const AGREE: f64 = 2.0;
const UNCONFIRMED: f64 = -1.5;
/// A binding not renewed for so long is forgotten, milliseconds.
const BINDING_MS: i64 = 3_000;
/// No track has this number.
const NO_TRACK: u32 = 0;
/// Tracks that one person is bound to at most.
const BINDINGS_MAX: usize = 24;
/// What no number of cameras averages away: variance, m².
const SHARED_M2: f64 = 0.03 * 0.03;
/// Error of one report beside what it claims (its footing, its camera's rounding): variance, m².
const REPORT_M2: f64 = 0.05 * 0.05;
/// Squared innovation over its covariance that is still plausible (99 % for two dimensions).
const PLAUSIBLE: f64 = 9.2;
/// Existence, natural log-odds: of a first report; at most; shown above; tentative ones go below; known ones below.
const EXIST_BEGIN: f64 = -3.0;
const EXIST_MAX: f64 = 3.0;
const EXIST_SHOWN: f64 = 0.0;
const EXIST_TENTATIVE_MIN: f64 = -4.0;
const EXIST_MIN: f64 = -6.0;
/// Who is not confirmed is looked for so long, milliseconds.
const TENTATIVE_MS: i64 = 1_500;
/// Being confirmed takes this much.
const EXIST_CONFIRM: f64 = 1.0;
/// What a camera that saw somebody a moment ago and now does not says: ln(1 - 0.9).
const MISS: f64 = -2.3;
/// What a camera that never saw somebody it should see says while they are not confirmed.
const ABSENT: f64 = -0.7;
/// A detector's score that is as likely clutter as somebody.
const CLUTTER_LN_ODDS: f64 = -0.85;
/// The same, limits of what one report says.
const SCORE_LIMITS: (f64, f64) = (-1.0, 3.0);
/// Nearer than this two that no camera tells apart are one, metres; told apart within this time, milliseconds.
const MERGE_M: f64 = 0.5;
const APART_MS: i64 = 1_200;
/// Tables whose names count were heard within this time, milliseconds.
const CLAIM_MS: i64 = 2_500;

/// One camera's track that is this person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Binding {
    pub(super) camera: u16,
    pub(super) track_id: u32,
    /// Last report.
    pub(super) seen_ms: i64,
    /// Last report, or its absence.
    asked_ms: i64,
    /// Reports so far.
    hits: u16,
    /// The name that its camera gives this person, 0 for none.
    claim: u64,
    /// Of the last report: metres from where the person then was, and the squared Mahalanobis distance.
    pub(super) off_m: f32,
    pub(super) off2: f32,
}

/// One person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) estimate: Estimate,
    pub(super) at_ms: i64,
    pub(super) seen_ms: i64,
    pub(super) founded_ms: i64,
    /// Log-odds of being there.
    pub(super) exists: f64,
    pub(super) confirmed: bool,
    class_votes: [f32; CLASSES.len()],
    pub(super) bindings: Vec<Binding>,
}

const CLASSES: [Class; 6] =
    [Class::Person, Class::Vehicle, Class::Face, Class::Package, Class::Animal, Class::Unknown];

impl Person {
    /// What it is, by the most votes.
    pub(super) fn class(&self) -> Class {
        let known = CLASSES.iter().zip(self.class_votes).filter(|(c, v)| **c != Class::Unknown && *v > 0.0);
        known.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Class::Unknown, |(c, _)| *c)
    }

    /// Whether the table shows it.
    pub(super) fn is_shown(&self) -> bool {
        self.confirmed && self.exists > EXIST_SHOWN
    }

    fn vote(&mut self, class: Class, weight: f64) {
        if let Some(votes) =
            CLASSES.iter().position(|c| *c == class).and_then(|i| self.class_votes.get_mut(i))
        {
            *votes = 0.98 * *votes + weight.max(1e-3) as f32;
        }
    }

    /// What being new, or lost, takes from every report of theirs, natural units.
    fn doubt(&self, now_ms: i64) -> f64 {
        if !self.confirmed {
            UNCONFIRMED
        } else if self.exists <= EXIST_SHOWN {
            LOST_DOUBT + LOST_DOUBT_PER_S * (now_ms - self.seen_ms) as f64 * 1e-3
        } else {
            0.0
        }
    }

    /// What the past says for this track being this person, natural units.
    fn affinity(&self, camera: u16, track_id: u32, now_ms: i64) -> f64 {
        let own = self.bindings.iter().filter(|b| b.camera == camera && now_ms - b.seen_ms <= BINDING_MS);
        let mut worth: f64 = 0.0;
        for b in own {
            if b.track_id == track_id {
                return (BOUND_WORTH * f64::from(b.hits)).min(BOUND_WORTH_MAX);
            }
            worth = SWITCH;
        }
        worth
    }

    fn bind(&mut self, seen: &Seen<'_>, camera: u16, now_ms: i64, off_m: f64, off2: f64) {
        let track_id = seen.sight.track_id;
        // A camera's track is one at a time: the one before it has been lost.
        self.bindings.retain(|b| now_ms - b.seen_ms <= BINDING_MS);
        let claim = seen.sight.global_id.unwrap_or(0);
        let (off_m, off2) = (off_m as f32, off2 as f32);
        if let Some(b) = self.bindings.iter_mut().find(|b| b.camera == camera && b.track_id == track_id) {
            *b = Binding {
                seen_ms: now_ms,
                asked_ms: now_ms,
                hits: b.hits.saturating_add(1),
                claim,
                off_m,
                off2,
                ..*b
            };
        } else {
            if self.bindings.len() >= BINDINGS_MAX
                && let Some(oldest) = (0..self.bindings.len()).min_by_key(|&i| self.bindings[i].seen_ms)
            {
                self.bindings.swap_remove(oldest);
            }
            self.bindings.push(Binding {
                camera,
                track_id,
                seen_ms: now_ms,
                asked_ms: now_ms,
                hits: 1,
                claim,
                off_m,
                off2,
            });
        }
    }

    /// What the other cameras' tables call this person, one word for each camera.
    fn claims(&self, now_ms: i64) -> Vec<u64> {
        let newest =
            |b: &&Binding| self.bindings.iter().all(|o| o.camera != b.camera || o.seen_ms <= b.seen_ms);
        let fresh = self
            .bindings
            .iter()
            .filter(|b| b.claim != 0 && !Roster::is_own(b.camera) && now_ms - b.seen_ms <= CLAIM_MS);
        let mut claims: Vec<u64> = fresh.filter(newest).map(|b| b.claim).collect();
        claims.sort_unstable();
        claims
    }

    /// The track is somebody else's now. That its camera saw this person stays known.
    fn unbind(&mut self, camera: u16, track_id: u32) {
        for b in self.bindings.iter_mut().filter(|b| b.camera == camera && b.track_id == track_id) {
            (b.track_id, b.claim) = (NO_TRACK, 0);
        }
    }
}

/// A report at the moment of the step.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    scan: usize,
    sight: &'a Sight,
    /// Corrected for what is known of the camera.
    place: Place,
    /// The report is this much later than the moment of the step, seconds.
    dt_s: f64,
    muted: bool,
}

impl Seen<'_> {
    /// Where somebody with this velocity was at the moment of the step.
    fn at_step(&self, velocity_mps: Point) -> Place {
        Place { at: self.place.at - velocity_mps * self.dt_s, cov: self.place.cov }
    }
}

/// What one step works with about one person.
#[derive(Debug, Clone, Copy)]
struct Working {
    prior: Place,
    velocity: Point,
    pool: Pool,
    /// Reports in the pool.
    reports: u32,
}

impl Working {
    /// What is known without one report.
    fn without(&self, own: Option<&Place>) -> Place {
        let mut pool = self.pool;
        if let Some(own) = own {
            pool.add(own, -1.0);
        }
        let others = self.reports - u32::from(own.is_some());
        if others == 0 {
            return self.prior;
        }
        pool.add(&self.prior, 1.0);
        pool.place().unwrap_or(self.prior)
    }
}

/// Everybody, and what is known of the cameras.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// In no order that means anything.
    pub(super) people: Vec<Person>,
    pub(super) standing: Vec<Standing>,
    /// New ones for whom there was no room.
    pub(super) refused: u64,
}

/// Buffers of a step.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    assignment: Assignment,
    pairs: Vec<Pair>,
    by_x: Vec<(f64, usize)>,
}

impl Scratch {
    /// The best assignment among the pairs, which are used up.
    fn solve(&mut self, columns: usize) -> &[(usize, usize)] {
        self.pairs.sort_unstable_by_key(|p| (p.row, p.column));
        self.assignment.solve(&self.pairs, columns);
        self.pairs.clear();
        self.assignment.chosen()
    }
}

impl Table {
    /// Takes the scans of one moment, in the order of their cameras' names.
    pub(super) fn step(
        &mut self,
        now_ms: i64,
        scans: &[&Scan],
        roster: &Roster,
        options: &Options,
        scratch: &mut Scratch,
    ) {
        self.standing.resize(roster.len(), Standing::default());
        for person in &mut self.people {
            let dt_s = (now_ms - person.at_ms) as f64 * 1e-3;
            person.estimate.predict(dt_s, options.acceleration_m2_s3);
            if person.exists <= EXIST_SHOWN && dt_s > 0.0 {
                person.estimate.fade(exp(-dt_s / FADE_S));
            }
            person.exists = person.exists.min(EXIST_MAX) - if dt_s > 0.0 { 0.05 * dt_s } else { 0.0 };
            person.at_ms = now_ms.max(person.at_ms);
        }
        for scan in scans {
            self.standing[usize::from(scan.camera)].scan(scan.at_ms);
        }
        let seen = self.prepare(now_ms, scans, roster);
        let mut working: Vec<Working> = self.people.iter().map(working).collect();
        let mut of: Vec<Option<usize>> = vec![None; seen.len()];
        scratch.by_x.clear();
        scratch.by_x.extend(working.iter().enumerate().map(|(i, w)| (w.prior.at.x, i)));
        sort_by_x(&mut scratch.by_x);
        self.pair_clusters(now_ms, scans, &seen, &mut working, &mut of, scratch);
        for _ in 0..options.rounds {
            self.pair(now_ms, scans, &seen, &mut working, &mut of, scratch);
        }
        self.begin(now_ms, scans, &seen, &mut working, &mut of, roster, options, scratch);
        self.learn(now_ms, scans, &seen, &working, &of, roster);
        standing::centre(&mut self.standing);
        self.update(now_ms, scans, &seen, &working, &of, roster);
        self.merge(now_ms);
        self.settle_names(now_ms);
        self.people.retain(|p| {
            let unseen_ms = now_ms - p.seen_ms;
            if p.confirmed {
                unseen_ms <= millis(options.lost_after)
            } else {
                unseen_ms <= TENTATIVE_MS && p.exists > EXIST_TENTATIVE_MIN
            }
        });
    }

    /// The usable reports, corrected, camera by camera.
    fn prepare<'a>(&self, now_ms: i64, scans: &[&'a Scan], roster: &Roster) -> Vec<Seen<'a>> {
        let mut all = Vec::with_capacity(scans.iter().map(|s| s.sights.len()).sum());
        for (i, scan) in scans.iter().enumerate() {
            let standing = &self.standing[usize::from(scan.camera)];
            let dt_s = (scan.at_ms - now_ms) as f64 * 1e-3;
            for sight in &scan.sights {
                let [xx, xy, yy] = sight.cov_m2;
                // Rounding, or a fault, may have made it no covariance.
                let xy = xy.clamp(-0.99 * (xx * yy).sqrt(), 0.99 * (xx * yy).sqrt());
                let cov = plus(times([xx, xy, yy], standing.noise()), round(REPORT_M2));
                if cov[0] + cov[2] < 2.0 * VAGUE_M * VAGUE_M {
                    let place = Place { at: sight.position_m - standing.correction_m(), cov };
                    let muted = standing.is_muted() || roster.is_muted(scan.camera);
                    all.push(Seen { scan: i, sight, place, dt_s, muted });
                }
            }
        }
        all
    }

    /// Pairs the people with what all cameras see together: at one moment they differ less than anybody
    /// moves between two.
    fn pair_clusters(
        &self,
        now_ms: i64,
        scans: &[&Scan],
        seen: &[Seen<'_>],
        working: &mut [Working],
        of: &mut [Option<usize>],
        scratch: &mut Scratch,
    ) {
        let (pools, member) = clusters(scans, seen, |i| !seen[i].muted, scratch);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); pools.len()];
        for (i, cluster) in member.iter().enumerate() {
            if let Some(cluster) = cluster {
                members[*cluster].push(i);
            }
        }
        for (column, pool) in pools.iter().enumerate() {
            let Some(place) = pool.place() else { continue };
            let from = scratch.by_x.partition_point(|(x, _)| *x < place.at.x - REACH_M);
            for &(_, row) in scratch.by_x[from..].iter().take_while(|(x, _)| *x <= place.at.x + REACH_M) {
                let (w, person) = (&working[row], &self.people[row]);
                let off = place.at - w.prior.at;
                if off.y.abs() > REACH_M {
                    continue;
                }
                let affinity =
                    |&i: &usize| person.affinity(scans[seen[i].scan].camera, seen[i].sight.track_id, now_ms);
                let past: f64 =
                    members[column].iter().map(affinity).sum::<f64>() / members[column].len() as f64;
                let benefit =
                    worth(off, plus(w.prior.cov, place.cov), STRAY_CLUSTER) + past + person.doubt(now_ms);
                if benefit > 0.0 {
                    scratch.pairs.push(Pair { row, column, worth: benefit });
                }
            }
        }
        for &(row, column) in scratch.solve(pools.len()) {
            for &i in &members[column] {
                of[i] = Some(row);
                let w = &mut working[row];
                w.pool.add(&seen[i].at_step(w.velocity), 1.0);
                w.reports += 1;
            }
        }
    }

    /// Pairs scan by scan. A muted camera's reports are paired, but nobody hears of it.
    fn pair(
        &self,
        now_ms: i64,
        scans: &[&Scan],
        seen: &[Seen<'_>],
        working: &mut [Working],
        of: &mut [Option<usize>],
        scratch: &mut Scratch,
    ) {
        let mut first = 0;
        for (scan_index, scan) in scans.iter().enumerate() {
            let count = seen[first..].iter().take_while(|s| s.scan == scan_index).count();
            let own = first..first + count;
            first += count;
            for (column, s) in seen[own.clone()].iter().enumerate() {
                let from = scratch.by_x.partition_point(|(x, _)| *x < s.place.at.x - REACH_M);
                for &(x, row) in &scratch.by_x[from..] {
                    if x > s.place.at.x + REACH_M {
                        break;
                    }
                    let (w, person) = (&working[row], &self.people[row]);
                    if (w.prior.at.y - s.place.at.y).abs() > REACH_M
                        || !person.class().compatible(s.sight.class)
                    {
                        continue;
                    }
                    let at = s.at_step(w.velocity);
                    let known = w.without((of[own.start + column] == Some(row) && !s.muted).then_some(&at));
                    let worth = worth(at.at - known.at, plus(known.cov, at.cov), STRAY_PER_M2)
                        + person.affinity(scan.camera, s.sight.track_id, now_ms)
                        + person.doubt(now_ms);
                    if worth > 0.0 {
                        scratch.pairs.push(Pair { row, column, worth });
                    }
                }
            }
            let before: Vec<Option<usize>> = of[own.clone()].to_vec();
            of[own.clone()].fill(None);
            for &(row, column) in scratch.solve(count) {
                of[own.start + column] = Some(row);
            }
            for (column, s) in seen[own.clone()].iter().enumerate().filter(|(_, s)| !s.muted) {
                let after = of[own.start + column];
                if before[column] == after {
                    continue;
                }
                for (row, sign) in [(before[column], -1.0), (after, 1.0)] {
                    if let Some(w) = row.and_then(|row| working.get_mut(row)) {
                        w.pool.add(&s.at_step(w.velocity), sign);
                        w.reports = if sign > 0.0 { w.reports + 1 } else { w.reports - 1 };
                    }
                }
            }
        }
    }

    /// Clusters what is left over; a cluster is somebody new, or somebody lost.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a step; a struct of all would be made for this call alone"
    )]
    fn begin(
        &mut self,
        now_ms: i64,
        scans: &[&Scan],
        seen: &[Seen<'_>],
        working: &mut Vec<Working>,
        of: &mut [Option<usize>],
        roster: &Roster,
        options: &Options,
        scratch: &mut Scratch,
    ) {
        let known = working.len();
        let room = options.people_max.saturating_sub(known);
        let (mut pools, member) = clusters(scans, seen, |i| of[i].is_none() && !seen[i].muted, scratch);
        self.refused += pools.len().saturating_sub(room) as u64;
        pools.truncate(room);
        for pool in &pools {
            let place = pool.place().unwrap_or(Place { at: Point::default(), cov: round(1.0) });
            working.push(Working { prior: place, velocity: Point::default(), pool: *pool, reports: 0 });
        }
        for (i, cluster) in member.into_iter().enumerate() {
            if let Some(cluster) = cluster.filter(|c| *c < room) {
                of[i] = Some(known + cluster);
                working[known + cluster].reports += 1;
            }
        }
        for (row, new) in working.iter().enumerate().skip(known) {
            let reports = (0..seen.len()).filter(|&i| of[i] == Some(row)).map(|i| &seen[i]);
            let name = |s: &Seen<'_>| {
                let camera = roster.name(scans[s.scan].camera);
                identity::founded(camera, s.sight.track_id, s.sight.captured_ms)
            };
            // The least of all names that its reports would give: who misses one of them makes a larger
            // name, or the same, and takes over ours.
            let id = reports.map(name).min().unwrap_or_default();
            self.people.push(Person {
                id,
                estimate: Estimate::begin(&new.prior, options.speed_sigma_mps),
                at_ms: now_ms,
                seen_ms: now_ms,
                founded_ms: now_ms,
                exists: EXIST_BEGIN,
                confirmed: false,
                class_votes: [0.0; CLASSES.len()],
                bindings: Vec::new(),
            });
        }
    }

    /// Learns of the cameras from where they differ.
    fn learn(
        &mut self,
        now_ms: i64,
        scans: &[&Scan],
        seen: &[Seen<'_>],
        working: &[Working],
        of: &[Option<usize>],
        roster: &Roster,
    ) {
        for (i, s) in seen.iter().enumerate() {
            let camera = scans[s.scan].camera;
            let row = of[i];
            let w = row.map(|row| &working[row]);
            let others = w.map_or(0, |w| w.reports - u32::from(!s.muted));
            let standing = &mut self.standing[usize::from(camera)];
            if let (Some(w), true) = (w, others > 0) {
                let at = s.at_step(w.velocity);
                let mut pool = w.pool;
                if !s.muted {
                    pool.add(&at, -1.0);
                }
                if let Some(place) = pool.place() {
                    let off = at.at - place.at;
                    let cov = plus(at.cov, place.cov);
                    if !s.muted {
                        standing.compare(off, cov, w.velocity);
                    }
                    standing.judge(off.norm() < BORNE_OUT_M && mahalanobis2(off, cov) < PLAUSIBLE, now_ms);
                }
                continue;
            }
            // Somebody that nobody else sees, where two others look.
            let muted =
                |o: &Scan| self.standing[usize::from(o.camera)].is_muted() || roster.is_muted(o.camera);
            let looks = |o: &&&Scan| o.camera != camera && !muted(o) && roster.covers(o.camera, s.place.at);
            if scans.iter().filter(looks).nth(1).is_some() {
                self.standing[usize::from(camera)].judge(false, now_ms);
            }
        }
    }

    /// Everybody takes in what was seen of them, and what was not.
    fn update(
        &mut self,
        now_ms: i64,
        scans: &[&Scan],
        seen: &[Seen<'_>],
        working: &[Working],
        of: &[Option<usize>],
        roster: &Roster,
    ) {
        let mut evidence = vec![(0.0, 0u32, 0.0); self.people.len()];
        let mut bound: Vec<(u16, u32, usize)> = Vec::new();
        for (row, person) in self.people.iter().enumerate() {
            bound.extend(person.bindings.iter().map(|b| (b.camera, b.track_id, row)));
        }
        bound.sort_unstable();
        for (i, s) in seen.iter().enumerate() {
            let Some(row) = of[i].filter(|_| !s.muted) else { continue };
            let camera = scans[s.scan].camera;
            let w = &working[row];
            let at = s.at_step(w.velocity);
            let off = at.at - w.prior.at;
            let off2 = mahalanobis2(off, plus(w.prior.cov, at.cov));
            let track = (camera, s.sight.track_id);
            let from = bound.partition_point(|b| (b.0, b.1) < track);
            for &(.., other) in
                bound[from..].iter().take_while(|b| (b.0, b.1) == track).filter(|b| b.2 != row)
            {
                self.people[other].unbind(camera, s.sight.track_id);
            }
            let person = &mut self.people[row];
            person.bind(s, camera, now_ms, off.norm(), off2);
            person.vote(s.sight.class, s.sight.confidence);
            // Of a camera that the others do not bear out little is believed.
            let trust = (2.0 * self.standing[usize::from(camera)].agreement()).min(1.0);
            evidence[row].0 += trust * score(s.sight.confidence);
            evidence[row].2 = f64::max(evidence[row].2, trust);
            evidence[row].1 += 1;
        }
        for (row, person) in self.people.iter_mut().enumerate() {
            let w = &working[row];
            let (score, hits, trust) = evidence[row];
            if hits > 0
                && let Some(measured) = w.pool.place()
            {
                let fresh = person.founded_ms == now_ms;
                let measured = Place { cov: plus(measured.cov, round(SHARED_M2)), ..measured };
                if !fresh {
                    person.estimate.update(&measured, PLAUSIBLE);
                }
                person.seen_ms = now_ms;
                // Agreement of independent views, or with the forecast, is worth what chance would not give.
                let agreeing = f64::from(hits - 1) + if fresh { 0.0 } else { 0.7 };
                person.exists += score + AGREE * agreeing * trust;
            }
            let here = person.estimate.place(0.0).at;
            let standing = &self.standing;
            let mut missed = 0.0;
            // A camera misses somebody once, whatever it called them before.
            let newest = |b: &Binding, all: &[Binding]| {
                all.iter().all(|o| o.camera != b.camera || o.seen_ms <= b.seen_ms)
            };
            let asked: Vec<bool> =
                person.bindings.iter().map(|b| b.seen_ms != now_ms && newest(b, &person.bindings)).collect();
            for (b, _) in person.bindings.iter_mut().zip(asked).filter(|(_, asked)| *asked) {
                let scanned = scans.iter().any(|s| s.camera == b.camera);
                let cadence_ms = standing[usize::from(b.camera)].cadence_s * 1e3;
                let overdue = (now_ms - b.asked_ms) as f64 > 1.5 * cadence_ms;
                let lately = (now_ms - b.seen_ms) as f64 <= 2.6 * cadence_ms;
                if (scanned || overdue) && b.asked_ms < now_ms {
                    b.asked_ms = now_ms;
                    if lately {
                        missed += MISS;
                    }
                }
            }
            person.exists += missed;
            if !person.confirmed {
                let absent = scans.iter().filter(|s| {
                    !person.bindings.iter().any(|b| b.camera == s.camera) && roster.covers(s.camera, here)
                });
                person.exists += ABSENT * absent.count() as f64;
                person.confirmed = person.exists >= EXIST_CONFIRM;
            }
            person.exists = person.exists.clamp(EXIST_MIN, EXIST_MAX);
        }
    }

    /// Two that are one: near one another, and no camera sees both. The older name stays.
    fn merge(&mut self, now_ms: i64) {
        let mut i = 0;
        while i < self.people.len() {
            let mut j = i + 1;
            while j < self.people.len() {
                if same(&self.people[i], &self.people[j], now_ms) {
                    let other = self.people.swap_remove(j);
                    absorb(&mut self.people[i], other, now_ms);
                } else {
                    j += 1;
                }
            }
            i += 1;
        }
    }

    /// Comes to the same names as the other tables. Each camera's last report of somebody carries its own
    /// table's name for them. A name that nobody here bears is taken over when it is the older one; two
    /// who are called each other's names by most are called so here.
    fn settle_names(&mut self, now_ms: i64) {
        let mut bearer: Vec<(u64, usize)> = self.people.iter().enumerate().map(|(i, p)| (p.id, i)).collect();
        bearer.sort_unstable();
        let find = |bearer: &[(u64, usize)], id| {
            bearer.binary_search_by_key(&id, |b| b.0).ok().map(|at| bearer[at].1)
        };
        for row in 0..self.people.len() {
            let claims = self.people[row].claims(now_ms);
            let id = self.people[row].id;
            let own = claims.iter().filter(|c| **c == id).count() + 1;
            for &claim in claims.iter().filter(|c| **c != id) {
                let others = claims.iter().filter(|c| **c == claim).count();
                match find(&bearer, claim) {
                    None if claim < id && identity::founding_ms(claim) <= now_ms + CLAIM_MS => {
                        self.people[row].id = claim;
                        bearer = self.people.iter().enumerate().map(|(i, p)| (p.id, i)).collect();
                        bearer.sort_unstable();
                        break;
                    }
                    Some(other) if others > own => {
                        let theirs = self.people[other].claims(now_ms);
                        let kept = theirs.iter().filter(|c| **c == claim).count() + 1;
                        if theirs.iter().filter(|c| **c == id).count() > kept {
                            self.people[row].id = claim;
                            self.people[other].id = id;
                            bearer = self.people.iter().enumerate().map(|(i, p)| (p.id, i)).collect();
                            bearer.sort_unstable();
                            break;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The name of the person that a camera's track was last.
    pub(super) fn name_of(&self, camera: u16, track_id: u32) -> Option<u64> {
        let bound = self.people.iter().filter(|p| p.confirmed).flat_map(|p| {
            p.bindings
                .iter()
                .filter(|b| b.camera == camera && b.track_id == track_id)
                .map(move |b| (b.seen_ms, p.id))
        });
        bound.max().map(|(_, id)| id)
    }

    /// Forgets all that is known of a camera.
    pub(super) fn forget(&mut self, camera: u16) {
        if let Some(standing) = self.standing.get_mut(usize::from(camera)) {
            *standing = Standing::default();
        }
        for person in &mut self.people {
            person.bindings.retain(|b| b.camera != camera);
        }
    }
}

/// Puts reports of different cameras together that lie together: each cluster's pool, and each report's
/// cluster. The camera that is surest at the moment makes the seeds.
fn clusters(
    scans: &[&Scan],
    seen: &[Seen<'_>],
    takes_part: impl Fn(usize) -> bool,
    scratch: &mut Scratch,
) -> (Vec<Pool>, Vec<Option<usize>>) {
    let vague = |i: usize| -> f64 {
        let own = seen.iter().filter(|s| s.scan == i).map(|s| s.place.cov[0] + s.place.cov[2]);
        let (sum, n) = own.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
        sum / f64::max(n, 1.0)
    };
    let mut order: Vec<(f64, usize)> = (0..scans.len()).map(|i| (vague(i), i)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut pools: Vec<(Pool, Class, Place)> = Vec::new();
    let mut by_x: Vec<(f64, usize)> = Vec::new();
    let mut of_scan: Vec<Vec<usize>> = vec![Vec::new(); scans.len()];
    for i in (0..seen.len()).filter(|&i| takes_part(i)) {
        of_scan[seen[i].scan].push(i);
    }
    let mut member: Vec<Option<usize>> = vec![None; seen.len()];
    for round in 0..2 {
        for &(_, scan) in &order {
            let own = &of_scan[scan];
            by_x.clear();
            by_x.extend(pools.iter().enumerate().map(|(row, (.., place))| (place.at.x, row)));
            sort_by_x(&mut by_x);
            for (column, &i) in own.iter().enumerate() {
                let x = seen[i].place.at.x;
                let from = by_x.partition_point(|(at, _)| *at < x - REACH_M);
                for &(_, row) in by_x[from..].iter().take_while(|(at, _)| *at <= x + REACH_M) {
                    let (pool, class, mut place) = pools[row];
                    if member[i] == Some(row) {
                        let mut others = pool;
                        others.add(&seen[i].place, -1.0);
                        let Some(without) = others.place() else { continue };
                        place = without;
                    }
                    let off = seen[i].place.at - place.at;
                    if off.norm() < REACH_M && class.compatible(seen[i].sight.class) {
                        let benefit = worth(off, plus(place.cov, seen[i].place.cov), STRAY_PER_M2);
                        if benefit > 0.0 {
                            scratch.pairs.push(Pair { row, column, worth: benefit });
                        }
                    }
                }
            }
            let mut after: Vec<Option<usize>> = vec![None; own.len()];
            for &(row, column) in scratch.solve(own.len()) {
                after[column] = Some(row);
            }
            for (&i, after) in own.iter().zip(after) {
                if round > 0 && (after == member[i] || after.is_none()) {
                    continue;
                }
                if let Some(before) = member[i] {
                    pools[before].0.add(&seen[i].place, -1.0);
                }
                let row = after.unwrap_or_else(|| {
                    pools.push((Pool::default(), seen[i].sight.class, seen[i].place));
                    pools.len() - 1
                });
                pools[row].0.add(&seen[i].place, 1.0);
                for row in [member[i], Some(row)].into_iter().flatten() {
                    let (pool, _, place) = &mut pools[row];
                    // An empty one lies nowhere.
                    *place = pool.place().unwrap_or(Place { at: Point::new(f64::INFINITY, 0.0), ..*place });
                }
                member[i] = Some(row);
            }
        }
    }
    // Clusters that lost all their reports in the second round are left out.
    let mut count = vec![0usize; pools.len()];
    for &row in member.iter().flatten() {
        count[row] += 1;
    }
    let mut number = vec![0usize; pools.len()];
    let mut kept = Vec::new();
    for (row, (pool, ..)) in pools.into_iter().enumerate() {
        number[row] = kept.len();
        if count[row] > 0 {
            kept.push(pool);
        }
    }
    (kept, member.into_iter().map(|m| m.map(|row| number[row])).collect())
}

/// Whether two people are one: nearer to one another than people stand, and no camera lately told them apart.
fn same(a: &Person, b: &Person, now_ms: i64) -> bool {
    let off = a.estimate.place(0.0).at - b.estimate.place(0.0).at;
    if off.x.abs() > MERGE_M || off.norm() > MERGE_M {
        return false;
    }
    let lately = |p: &Person| {
        p.bindings
            .iter()
            .filter(move |b| now_ms - b.seen_ms <= APART_MS)
            .map(|b| b.camera)
            .collect::<Vec<_>>()
    };
    let (of_a, of_b) = (lately(a), lately(b));
    !of_a.iter().any(|c| of_b.contains(c))
}

/// The older takes over what is known of the other.
fn absorb(kept: &mut Person, other: Person, now_ms: i64) {
    let fresher =
        (other.confirmed, other.seen_ms, other.exists) > (kept.confirmed, kept.seen_ms, kept.exists);
    if fresher {
        kept.estimate = other.estimate;
    }
    if other.confirmed && (!kept.confirmed || other.id < kept.id) {
        kept.id = other.id;
    }
    kept.confirmed |= other.confirmed;
    kept.exists = kept.exists.max(other.exists);
    kept.seen_ms = kept.seen_ms.max(other.seen_ms);
    kept.founded_ms = kept.founded_ms.min(other.founded_ms);
    for (votes, more) in kept.class_votes.iter_mut().zip(other.class_votes) {
        *votes += more;
    }
    kept.bindings.extend(other.bindings.into_iter().filter(|b| now_ms - b.seen_ms <= BINDING_MS));
    kept.bindings.truncate(BINDINGS_MAX);
}

fn sort_by_x(places: &mut [(f64, usize)]) {
    places.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
}

fn working(person: &Person) -> Working {
    Working {
        prior: person.estimate.place(0.0),
        velocity: person.estimate.velocity(),
        pool: Pool::default(),
        reports: 0,
    }
}

/// ln of how much likelier it is that the two are one than that one of them is a stray. Heavy tails: most
/// moves are as forecast, some are not at all.
fn worth(off: Point, cov: Cov, stray_per_m2: f64) -> f64 {
    let density = |cov: Cov| exp(-0.5 * mahalanobis2(off, cov)) / (std::f64::consts::TAU * det(cov).sqrt());
    let wide = plus(cov, round(SURPRISE_M * SURPRISE_M));
    let p = (1.0 - SURPRISE_PART) * density(cov) + SURPRISE_PART * density(wide);
    ln(p.max(1e-12) / stray_per_m2)
}

/// What a detector's score says for somebody being there, natural units.
fn score(confidence: f64) -> f64 {
    let p = confidence.clamp(0.01, 0.99);
    (ln(p / (1.0 - p)) - CLUTTER_LN_ODDS).clamp(SCORE_LIMITS.0, SCORE_LIMITS.1)
}
