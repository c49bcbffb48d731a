//! The people of the site, and one step of their life.
//!
//! [`Table::step`] takes the scans of one moment (each camera at most one) and does, in this order:
//!
//! 1. Everybody is predicted to the moment, second by second where nothing was reported for longer.
//! 2. The reports are paired with the people (`pairing`).
//! 3. What is left over is clustered across cameras; a cluster begins a person, or finds a lost one.
//! 4. Everybody takes in the pooled place, and what being seen and not being seen says of whether they
//!    are there at all (a log-odds existence, as in integrated data association: Musicki, Evans &
//!    Stankovic, IEEE TAC 1994).
//! 5. Two that are one are merged; who came up anew may be one who went where nobody looks (`handover`);
//!    names are settled with those of the other tables (`names`); who was taken for another lately is put right
//!    (`revise`); who is gone goes; how those go on who came up lately is learned (`inflow`).
//!
//! Pure: a function of the table, the scans and the cameras.

use super::handover::Hall;
use super::identity;
use super::inflow::Inflow;
use super::motion::{Estimate, Place, mahalanobis2, plus, round, times};
use super::names;
use super::pace::Pace;
use super::pairing::{Cluster, GAIT_M2, Moment, Scratch, Seen, Working};
use super::person::{EXIST_SHOWN, Person};
use super::revise::{self, Sighting};
use super::roster::Roster;
use super::standing::{self, Standing};
use super::{Options, Scan};
use crate::base::portable::{exp, ln};
use crate::model::Point;

/// A report vaguer than this says nothing (standard deviation), metres.
const VAGUE_M: f64 = 4.0;
/// A report is borne out by others that see the same within this, metres.
const BORNE_OUT_M: f64 = 1.5;
/// The velocity of who is lost falls to 1/e in this time, seconds.
const FADE_S: f64 = 2.0;
/// What agreement of one more view says for somebody being there, natural units; and of a forecast.
const AGREE: f64 = 2.0;
const AGREE_FORECAST: f64 = 1.4;
/// Error of one report beside what it claims (its footing, its camera's rounding): variance, m².
const REPORT_M2: f64 = 0.05 * 0.05;
/// Squared innovation over its covariance that is still plausible (99 % for two dimensions).
pub(super) const PLAUSIBLE: f64 = 9.2;
/// Existence, natural log-odds: at most; tentative ones go below; known ones at least; what a second takes.
const EXIST_MAX: f64 = 3.0;
const EXIST_TENTATIVE_MIN: f64 = -4.0;
const EXIST_MIN: f64 = -6.0;
const EXIST_PER_S: f64 = -0.05;
/// Who is not confirmed is looked for so long, milliseconds.
const TENTATIVE_MS: i64 = 1_500;
/// While nothing is reported time goes on in steps of this, milliseconds, and so many at most: then everybody is gone.
const COAST_MS: i64 = 1_000;
const COASTS_MAX: u32 = 64;
/// Being confirmed takes this much.
pub(super) const EXIST_CONFIRM: f64 = 1.0;
/// What a camera that saw somebody a moment ago and now does not says: ln(1 - 0.9).
const MISS: f64 = -2.3;
/// What a camera that never saw somebody it should see says while they are not confirmed.
const ABSENT: f64 = -0.7;
/// A camera that is silent for so many of its frames is overdue; what it said is fresh for so many.
const OVERDUE_FRAMES: f64 = 1.5;
const FRESH_FRAMES: f64 = 2.6;
/// A detector's score that is as likely clutter as somebody.
const CLUTTER_LN_ODDS: f64 = -0.85;
/// The same, limits of what one report says.
const SCORE_LIMITS: (f64, f64) = (-1.0, 3.0);

/// Everybody, and what is known of the cameras.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// In no order that means anything.
    pub(super) people: Vec<Person>,
    pub(super) standing: Vec<Standing>,
    /// Who went where nobody looks.
    pub(super) hall: Hall,
    /// How people come in.
    inflow: Inflow,
    /// How long times last.
    pub(super) pace: Pace,
    /// The last step.
    at_ms: i64,
    /// New ones for whom there was no room.
    pub(super) refused: u64,
}

/// What the reports of a moment say of one person being there.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    score: f64,
    reports: u32,
    /// How far the most reliable of its cameras is believed, 0..1.
    trust: f64,
    /// How far the most reliable of its tracks is.
    track_trust: f64,
}

impl Table {
    /// The clock that all times here are on was stepped forward by so much, milliseconds. Nobody of before is found
    /// by their time again; what is known of the cameras stays.
    pub(super) fn clock_stepped(&mut self, by_ms: i64) {
        self.people.clear();
        self.hall.clear();
        self.standing.iter_mut().for_each(|standing| standing.clock_stepped(by_ms));
        self.at_ms = self.at_ms.saturating_add(by_ms);
    }

    /// Takes over everything of another, and keeps what memory it has.
    pub(super) fn become_copy_of(&mut self, other: &Self) {
        self.people.truncate(other.people.len());
        let known = self.people.len();
        for (person, other) in self.people.iter_mut().zip(&other.people) {
            person.become_copy_of(other);
        }
        self.people.extend_from_slice(&other.people[known..]);
        self.standing.truncate(other.standing.len());
        let known = self.standing.len();
        for (standing, other) in self.standing.iter_mut().zip(&other.standing) {
            // Most cameras of a large site never report here.
            if standing.has_reported() || other.has_reported() {
                *standing = *other;
            }
        }
        self.standing.extend_from_slice(&other.standing[known..]);
        self.hall.become_copy_of(&other.hall);
        self.inflow.clone_from(&other.inflow);
        (self.pace, self.refused, self.at_ms) = (other.pace, other.refused, other.at_ms);
    }

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
        self.coast(now_ms, roster, options);
        self.predict(now_ms, roster, options);
        for scan in scans {
            self.standing[usize::from(scan.camera)].scan(scan.at_ms);
        }
        let pace = Pace::of(&self.standing, now_ms, &mut scratch.numbers);
        self.pace = pace;
        let mut moment = Moment::new(now_ms, scans, self.prepare(now_ms, scans, roster), &self.people);
        moment.pair(&self.people, options.rounds, pace, scratch);
        self.begin(&mut moment, roster, options, scratch);
        self.learn(&moment, roster);
        standing::centre(&mut self.standing);
        self.bind(&moment);
        self.update(&moment, roster);
        self.merge(now_ms);
        self.hall.settle(&mut self.people, roster, pace, now_ms);
        names::settle(&mut self.people, pace, now_ms);
        revise::revise(&mut self.people, pace, now_ms, options);
        self.leave(now_ms, roster, options);
        self.inflow.learn(&mut self.people, &self.standing, pace, now_ms);
        self.at_ms = now_ms;
    }

    /// Goes on to this time while nobody is seen at all: cameras that see nobody report nothing.
    fn coast(&mut self, until_ms: i64, roster: &Roster, options: &Options) {
        let every_ms = self.pace.stretched_ms(COAST_MS);
        for _ in 0..COASTS_MAX {
            let next_ms = self.at_ms.saturating_add(every_ms);
            if next_ms >= until_ms || (self.people.is_empty() && self.hall.len() == 0) {
                return;
            }
            self.predict(next_ms, roster, options);
            self.leave(next_ms, roster, options);
            self.at_ms = next_ms;
        }
    }

    /// Who was looked for long enough goes, and who is where nobody looks waits.
    fn leave(&mut self, now_ms: i64, roster: &Roster, options: &Options) {
        let Self { people, hall, pace, .. } = self;
        hall.sweep(people, pace.ms(options.hand_over), now_ms);
        people.retain(|p| {
            if p.confirmed {
                p.overlooked_s <= pace.stretched_s(options.lost_after.as_secs_f64())
                    && !hall.takes(p, roster, *pace, now_ms)
            } else {
                now_ms - p.seen_ms <= pace.stretched_ms(TENTATIVE_MS) && p.exists > EXIST_TENTATIVE_MIN
            }
        });
    }

    fn predict(&mut self, now_ms: i64, roster: &Roster, options: &Options) {
        for person in &mut self.people {
            let dt_s = ((now_ms - person.at_ms) as f64 * 1e-3).max(0.0);
            person.estimate.predict(dt_s, options.acceleration_m2_s3);
            let was_seen = person.seen_ms >= person.at_ms;
            // Who is where nobody looks goes on as they went: into the next view, perhaps.
            if was_seen || roster.is_covered(person.estimate.place(0.0).at) {
                person.overlooked_s += dt_s;
                if person.exists <= EXIST_SHOWN {
                    person.estimate.fade(exp(-dt_s / FADE_S));
                }
            }
            person.exists = person.exists.min(EXIST_MAX) + EXIST_PER_S * dt_s;
            person.at_ms = now_ms.max(person.at_ms);
        }
    }

    /// The usable reports, corrected, camera by camera.
    fn prepare<'a>(&self, now_ms: i64, scans: &[&'a Scan], roster: &Roster) -> Vec<Seen<'a>> {
        let mut all = Vec::with_capacity(scans.iter().map(|s| s.sights.len()).sum());
        for (i, scan) in scans.iter().enumerate() {
            let standing = &self.standing[usize::from(scan.camera)];
            let muted = standing.is_muted() || roster.is_muted(scan.camera);
            let dt_s = (scan.at_ms - now_ms) as f64 * 1e-3;
            let track_trust = standing.track_trust();
            for sight in &scan.sights {
                let [xx, xy, yy] = sight.cov_m2;
                // Rounding, or a fault, may have made it no covariance.
                let xy = xy.clamp(-0.99 * (xx * yy).sqrt(), 0.99 * (xx * yy).sqrt());
                let cov = plus(times([xx, xy, yy], standing.noise()), round(REPORT_M2));
                if cov[0] + cov[2] < 2.0 * VAGUE_M * VAGUE_M {
                    let place = Place { at: sight.position_m - standing.correction_m(), cov };
                    all.push(Seen { scan: i, sight, place, dt_s, muted, track_trust });
                }
            }
        }
        all
    }

    /// Clusters what is left over; a cluster is somebody new.
    fn begin(&mut self, moment: &mut Moment<'_>, roster: &Roster, options: &Options, scratch: &mut Scratch) {
        let known = moment.working.len();
        let room = options.people_max.saturating_sub(known);
        let is_left = |i: usize| moment.of[i].is_none() && !moment.seen[i].muted;
        let (mut clusters, member) = moment.clusters(is_left, scratch);
        self.refused += clusters.len().saturating_sub(room) as u64;
        clusters.truncate(room);
        for Cluster { place, pool, .. } in &clusters {
            moment.working.push(Working {
                prior: *place,
                velocity: Point::default(),
                pool: *pool,
                reports: 0,
            });
        }
        // The least of all names that its reports would give: who misses one of them makes a larger name, or
        // the same, and takes over ours.
        let mut names = vec![u64::MAX; clusters.len()];
        for (i, cluster) in member.into_iter().enumerate() {
            let Some(cluster) = cluster.filter(|c| *c < room) else { continue };
            moment.of[i] = Some(known + cluster);
            moment.working[known + cluster].reports += 1;
            let s = &moment.seen[i];
            let camera = roster.name(moment.camera(s));
            let name = identity::founded(camera, s.sight.track_id, s.sight.captured_ms);
            names[cluster] = names[cluster].min(name);
        }
        for ((new, cluster), name) in moment.working[known..].iter().zip(&clusters).zip(names) {
            let velocity = self.inflow.velocity(cluster.class, new.prior.at, options.speed_sigma_mps);
            let estimate = Estimate::begin_going(&new.prior, &velocity);
            self.people.push(Person::founded(name, estimate, moment.now_ms));
        }
    }

    /// Learns of the cameras from where they differ.
    fn learn(&mut self, moment: &Moment<'_>, roster: &Roster) {
        let now_ms = moment.now_ms;
        for (i, s) in moment.seen.iter().enumerate() {
            let camera = moment.camera(s);
            let w = moment.of[i].map(|row| &moment.working[row]);
            let others = w.map_or(0, |w| w.reports - u32::from(!s.muted));
            if let (Some(w), true) = (w, others > 0) {
                let standing = &mut self.standing[usize::from(camera)];
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
            if moment.scans.iter().filter(looks).nth(1).is_some() {
                self.standing[usize::from(camera)].judge(false, now_ms);
            }
        }
    }

    /// Each report's track is its person's, and nobody else's.
    fn bind(&mut self, moment: &Moment<'_>) {
        let count = self.people.iter().map(|p| p.bindings.len()).sum();
        let mut bound: Vec<(u16, u32, usize)> = Vec::with_capacity(count);
        for (row, person) in self.people.iter().enumerate() {
            bound.extend(person.bindings.iter().map(|b| (b.camera, b.track_id, row)));
        }
        bound.sort_unstable();
        for (i, s) in moment.seen.iter().enumerate() {
            let Some(row) = moment.of[i].filter(|_| !s.muted) else { continue };
            let track = (moment.camera(s), s.sight.track_id);
            let from = bound.partition_point(|b| (b.0, b.1) < track);
            let owners = bound[from..].iter().take_while(|b| (b.0, b.1) == track);
            for &(.., other) in owners.filter(|b| b.2 != row) {
                self.people[other].unbind(track.0, track.1);
            }
            self.people[row].bind(s, track.0, moment.now_ms, self.pace, &moment.working[row]);
        }
    }

    /// Everybody takes in what was seen of them, and what was not.
    fn update(&mut self, moment: &Moment<'_>, roster: &Roster) {
        let now_ms = moment.now_ms;
        let mut evidence = vec![Evidence::default(); self.people.len()];
        for (i, s) in moment.seen.iter().enumerate() {
            let Some(row) = moment.of[i].filter(|_| !s.muted) else { continue };
            // Of a camera that the others do not bear out little is believed.
            let trust = (2.0 * self.standing[usize::from(moment.camera(s))].agreement()).min(1.0);
            let e = &mut evidence[row];
            e.score += trust * score(s.sight.confidence);
            e.trust = e.trust.max(trust);
            e.track_trust = e.track_trust.max(s.track_trust);
            e.reports += 1;
        }
        let mut scanned = vec![false; self.standing.len()];
        for scan in moment.scans {
            scanned[usize::from(scan.camera)] = true;
        }
        for (row, person) in self.people.iter_mut().enumerate() {
            let e = evidence[row];
            if e.reports > 0
                && let Some(pooled) = moment.working[row].pool.place()
            {
                let fresh = person.founded_ms == now_ms;
                let measured = Place { cov: plus(pooled.cov, round(GAIT_M2)), ..pooled };
                if !fresh {
                    person.estimate.update(&measured, PLAUSIBLE);
                }
                (person.seen_ms, person.overlooked_s) = (now_ms, 0.0);
                // Agreement of independent views, or with the forecast, is worth what chance would not give.
                let agreeing = AGREE * f64::from(e.reports - 1) + if fresh { 0.0 } else { AGREE_FORECAST };
                person.exists += e.score + agreeing * e.trust;
                let tracks = person.bindings.iter().filter(|b| b.seen_ms == now_ms);
                let sighting = Sighting::new(now_ms, measured, person.estimate, e.track_trust, tracks);
                person.trail.push(sighting);
            }
            person.exists += missed(person, now_ms, &scanned, &self.standing);
            if !person.confirmed {
                let here = person.estimate.place(0.0).at;
                let knows = |camera| person.bindings.iter().any(|b| b.camera == camera);
                let absent = |s: &&&Scan| !knows(s.camera) && roster.covers(s.camera, here);
                person.exists += ABSENT * moment.scans.iter().filter(absent).count() as f64;
                person.confirmed = person.exists >= EXIST_CONFIRM;
            }
            person.exists = person.exists.clamp(EXIST_MIN, EXIST_MAX);
        }
    }

    /// Two that are one are merged; the older name stays.
    fn merge(&mut self, now_ms: i64) {
        let mut i = 0;
        while i < self.people.len() {
            let mut j = i + 1;
            while j < self.people.len() {
                if self.people[i].is_same(&self.people[j], self.pace, now_ms) {
                    let other = self.people.swap_remove(j);
                    self.people[i].absorb(other, self.pace, now_ms);
                } else {
                    j += 1;
                }
            }
            i += 1;
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
            person.trail.forget(camera);
        }
    }
}

/// What it says for somebody being there that cameras that saw them a moment ago now do not, or are
/// silent; each is asked once, whatever it called them before.
fn missed(person: &mut Person, now_ms: i64, scanned: &[bool], standing: &[Standing]) -> f64 {
    let mut missed = 0.0;
    for i in 0..person.bindings.len() {
        let b = person.bindings[i];
        if b.seen_ms == now_ms || b.asked_ms >= now_ms || !person.is_newest(&b) {
            continue;
        }
        let camera = usize::from(b.camera);
        let cadence_ms = standing[camera].cadence_s * 1e3;
        let is_overdue = (now_ms - b.asked_ms) as f64 > OVERDUE_FRAMES * cadence_ms;
        if scanned[camera] || is_overdue {
            person.bindings[i].asked_ms = now_ms;
            if (now_ms - b.seen_ms) as f64 <= FRESH_FRAMES * cadence_ms {
                missed += MISS;
            }
        }
    }
    missed
}

/// What a detector's score says for somebody being there, natural units.
fn score(confidence: f64) -> f64 {
    let p = confidence.clamp(0.01, 0.99);
    (ln(p / (1.0 - p)) - CLUTTER_LN_ODDS).clamp(SCORE_LIMITS.0, SCORE_LIMITS.1)
}
