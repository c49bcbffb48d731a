//! Who of the reports of one moment is whom.
//!
//! Every scan is paired with the people by an exact optimal assignment: one camera's two tracks are never
//! one person. First reports of different cameras that lie together are clustered, and the clusters paired
//! with the people; at one moment cameras differ less than anybody moves between two. Then, camera by
//! camera, each report against where its person is expected *and what all other cameras say at this
//! moment*, so that the cameras decide together.
//!
//! What a pair is worth is a log-likelihood ratio in natural units: that the two are one, against that one
//! of them is a stray. Candidates are looked up along x, within [`REACH_M`].

use std::ops::Range;

use super::motion::{Cov, Place, Pool, det, mahalanobis2, plus, round};
use super::pace::Pace;
use super::person::Person;
use super::{Scan, Sight};
use crate::base::portable::{exp, ln};
use crate::base::{Assignment, Pair};
use crate::model::{Class, Point};

/// Farther apart than this a report and a person are not compared, metres.
const REACH_M: f64 = 3.0;
/// New people and false reports per square metre: of one camera, and that several cameras agree on.
const STRAY_PER_M2: f64 = 0.005;
const STRAY_CLUSTER_PER_M2: f64 = 0.0005;
/// How far the foot points that all cameras see lie from a body's even way: steps, sway. No number of cameras
/// averages that away: variance, m².
pub(super) const GAIT_M2: f64 = 0.15 * 0.15;
/// One move in twenty is nothing like the last; standard deviation of such a one, metres.
const SURPRISE_PART: f64 = 0.05;
const SURPRISE_M: f64 = 0.8;

/// A report at the moment of the step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) scan: usize,
    pub(super) sight: &'a Sight,
    /// Corrected for what is known of the camera.
    pub(super) place: Place,
    /// The report is this much later than the moment of the step, seconds.
    pub(super) dt_s: f64,
    pub(super) muted: bool,
    /// How far its camera's tracks are believed to stay with whom they are, 0..1.
    pub(super) track_trust: f64,
}

impl Seen<'_> {
    /// Where somebody with this velocity was at the moment of the step.
    pub(super) fn at_step(&self, velocity_mps: Point) -> Place {
        Place { at: self.place.at - velocity_mps * self.dt_s, cov: self.place.cov }
    }
}

/// What one step works with about one person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Working {
    pub(super) prior: Place,
    pub(super) velocity: Point,
    pub(super) pool: Pool,
    /// Reports in the pool.
    pub(super) reports: u32,
}

impl Working {
    /// Nothing was reported yet of somebody who is expected here.
    pub(super) fn of(person: &Person) -> Self {
        let expected = person.estimate.place(0.0);
        Self {
            prior: Place { cov: plus(expected.cov, round(GAIT_M2)), ..expected },
            velocity: person.estimate.velocity(),
            pool: Pool::default(),
            reports: 0,
        }
    }

    /// What is known without one report.
    fn without(&self, own: Option<&Place>) -> Place {
        let others = self.reports - u32::from(own.is_some());
        if others == 0 {
            return self.prior;
        }
        let mut pool = self.pool;
        if let Some(own) = own {
            pool.add(own, -1.0);
        }
        pool.add(&self.prior, 1.0);
        pool.place().unwrap_or(self.prior)
    }

    fn add(&mut self, seen: &Seen<'_>) {
        self.pool.add(&seen.at_step(self.velocity), 1.0);
        self.reports += 1;
    }

    fn take_away(&mut self, seen: &Seen<'_>) {
        self.pool.add(&seen.at_step(self.velocity), -1.0);
        self.reports -= 1;
    }
}

/// Places from left to right.
#[derive(Debug, Clone, Default)]
struct ByX(Vec<(f64, usize)>);

impl ByX {
    fn fill(&mut self, places: impl Iterator<Item = f64>) {
        self.0.clear();
        self.0.extend(places.enumerate().map(|(i, x)| (x, i)));
        self.0.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }

    /// Those within reach of this one along x.
    fn near(&self, x: f64) -> impl Iterator<Item = usize> {
        let from = self.0.partition_point(|(at, _)| *at < x - REACH_M);
        self.0[from..].iter().take_while(move |(at, _)| *at <= x + REACH_M).map(|(_, i)| *i)
    }
}

/// Buffers of a step.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    assignment: Assignment,
    pairs: Vec<Pair>,
    people: ByX,
    clusters: ByX,
    /// The row of each column in the last assignment.
    after: Vec<Option<usize>>,
    pub(super) numbers: Vec<f64>,
}

impl Scratch {
    /// The best assignment among the pairs, which are used up: the row of each column is in `after`.
    fn solve(&mut self, columns: usize) {
        self.pairs.sort_unstable_by_key(|p| (p.row, p.column));
        self.assignment.solve(&self.pairs, columns);
        self.pairs.clear();
        self.after.clear();
        self.after.resize(columns, None);
        for &(row, column) in self.assignment.chosen() {
            self.after[column] = Some(row);
        }
    }
}

/// The reports of one moment, and whose they are by now.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) now_ms: i64,
    /// Each camera's at most one, in the order of the cameras' names.
    pub(super) scans: &'a [&'a Scan],
    /// The usable reports, camera by camera.
    pub(super) seen: Vec<Seen<'a>>,
    /// Of each person.
    pub(super) working: Vec<Working>,
    /// The person of each report.
    pub(super) of: Vec<Option<usize>>,
}

impl<'a> Moment<'a> {
    pub(super) fn new(now_ms: i64, scans: &'a [&'a Scan], seen: Vec<Seen<'a>>, people: &[Person]) -> Self {
        let of = vec![None; seen.len()];
        Self { now_ms, scans, seen, working: people.iter().map(Working::of).collect(), of }
    }

    /// The camera that made a report.
    pub(super) fn camera(&self, seen: &Seen<'_>) -> u16 {
        self.scans[seen.scan].camera
    }

    /// Pairs everybody with the reports, in so many rounds camera by camera.
    pub(super) fn pair(&mut self, people: &[Person], rounds: usize, pace: Pace, scratch: &mut Scratch) {
        scratch.people.fill(self.working.iter().map(|w| w.prior.at.x));
        self.pair_clusters(people, pace, scratch);
        for _ in 0..rounds {
            let mut first = 0;
            for scan in 0..self.scans.len() {
                let end = first + self.seen[first..].iter().take_while(|s| s.scan == scan).count();
                self.pair_scan(people, first..end, pace, scratch);
                first = end;
            }
        }
    }

    /// Pairs the people with what all cameras see together.
    fn pair_clusters(&mut self, people: &[Person], pace: Pace, scratch: &mut Scratch) {
        let (clusters, member) = self.clusters(|i| !self.seen[i].muted, scratch);
        // Each cluster's reports, cluster by cluster: none is empty.
        let mut members: Vec<(usize, usize)> =
            member.iter().enumerate().filter_map(|(i, cluster)| Some(((*cluster)?, i))).collect();
        members.sort_unstable();
        for of_one in members.chunk_by(|a, b| a.0 == b.0) {
            let (column, first) = of_one[0];
            let place = clusters[column].place;
            let class = self.seen[first].sight.class;
            let alone = self.reachable(people, place.at, class, &scratch.people).nth(1).is_none();
            for row in self.reachable(people, place.at, class, &scratch.people) {
                let (w, person) = (&self.working[row], &people[row]);
                let off = place.at - w.prior.at;
                let past = of_one.iter().map(|&(_, i)| self.affinity(person, i, alone, pace));
                let past = past.sum::<f64>() / of_one.len() as f64;
                let worth = ln_density(off, plus(w.prior.cov, place.cov)) - ln(STRAY_CLUSTER_PER_M2)
                    + past
                    + person.doubt(pace);
                if worth > 0.0 {
                    scratch.pairs.push(Pair { row, column, worth });
                }
            }
        }
        scratch.solve(clusters.len());
        for &(column, i) in &members {
            if let Some(row) = scratch.after[column] {
                self.of[i] = Some(row);
                self.working[row].add(&self.seen[i]);
            }
        }
    }

    /// Pairs the reports of one scan anew. A muted camera's are paired, but nobody hears of it.
    fn pair_scan(&mut self, people: &[Person], own: Range<usize>, pace: Pace, scratch: &mut Scratch) {
        for (column, i) in own.clone().enumerate() {
            let s = &self.seen[i];
            let alone = self.reachable(people, s.place.at, s.sight.class, &scratch.people).nth(1).is_none();
            for row in self.reachable(people, s.place.at, s.sight.class, &scratch.people) {
                let (w, person) = (&self.working[row], &people[row]);
                let at = s.at_step(w.velocity);
                let known = w.without((self.of[i] == Some(row) && !s.muted).then_some(&at));
                let worth = ln_density(at.at - known.at, plus(known.cov, at.cov)) - ln(STRAY_PER_M2)
                    + self.affinity(person, i, alone, pace)
                    + person.doubt(pace);
                if worth > 0.0 {
                    scratch.pairs.push(Pair { row, column, worth });
                }
            }
        }
        scratch.solve(own.len());
        for (i, &after) in own.zip(&scratch.after) {
            let before = std::mem::replace(&mut self.of[i], after);
            let s = &self.seen[i];
            if s.muted || before == after {
                continue;
            }
            if let Some(row) = before {
                self.working[row].take_away(s);
            }
            if let Some(row) = after {
                self.working[row].add(s);
            }
        }
    }

    /// The people of a fitting class who may be who is reported at a place.
    fn reachable(
        &self,
        people: &[Person],
        at: Point,
        class: Class,
        by_x: &ByX,
    ) -> impl Iterator<Item = usize> {
        by_x.near(at.x).filter(move |&row| {
            (self.working[row].prior.at.y - at.y).abs() <= REACH_M && people[row].class().compatible(class)
        })
    }

    /// What the past says for a report being of this person. A tracker mistakes one for another where there is
    /// another: who is `alone` within reach is believed to be who they were, however slow it is.
    fn affinity(&self, person: &Person, i: usize, alone: bool, pace: Pace) -> f64 {
        let s = &self.seen[i];
        let trust = if alone { 1.0 } else { s.track_trust };
        trust * person.affinity(self.camera(s), s.sight.track_id, pace, self.now_ms)
    }

    /// Puts reports of different cameras together that lie together, and says which cluster each is in. The camera that
    /// is surest at the moment makes the seeds.
    pub(super) fn clusters(
        &self,
        takes_part: impl Fn(usize) -> bool,
        scratch: &mut Scratch,
    ) -> (Vec<Cluster>, Vec<Option<usize>>) {
        let mut of_scans: Vec<(f64, Range<usize>)> = Vec::with_capacity(self.scans.len());
        let mut begin = 0;
        for of_one in self.seen.chunk_by(|a, b| a.scan == b.scan) {
            let own = begin..begin + of_one.len();
            begin = own.end;
            let covs = own.clone().filter(|&i| takes_part(i)).map(|i| self.seen[i].place.cov);
            let (sum, count) = covs.fold((0.0, 0), |(sum, n), c| (sum + c[0] + c[2], n + 1));
            if count > 0 {
                of_scans.push((sum / f64::from(count), own));
            }
        }
        of_scans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut clusters: Vec<Cluster> = Vec::with_capacity(self.seen.len());
        let mut member: Vec<Option<usize>> = vec![None; self.seen.len()];
        for round in 0..2 {
            for (_, own) in &of_scans {
                scratch.clusters.fill(clusters.iter().map(|c| c.place.at.x));
                for i in own.clone().filter(|&i| takes_part(i)) {
                    self.near_clusters(i, i - own.start, &clusters, member[i], scratch);
                }
                scratch.solve(own.len());
                for i in own.clone().filter(|&i| takes_part(i)) {
                    let after = scratch.after[i - own.start];
                    if round > 0 && (after == member[i] || after.is_none()) {
                        continue;
                    }
                    let s = &self.seen[i];
                    if let Some(before) = member[i] {
                        clusters[before].add(&s.place, -1);
                    }
                    let row = after.unwrap_or(clusters.len());
                    if row == clusters.len() {
                        clusters.push(Cluster::at(s.place, s.sight.class));
                    }
                    clusters[row].add(&s.place, 1);
                    member[i] = Some(row);
                }
            }
        }
        without_empty(&mut clusters, &mut member);
        (clusters, member)
    }

    /// The clusters that a report may belong to, as pairs.
    fn near_clusters(
        &self,
        i: usize,
        column: usize,
        clusters: &[Cluster],
        member: Option<usize>,
        scratch: &mut Scratch,
    ) {
        let s = &self.seen[i];
        for row in scratch.clusters.near(s.place.at.x) {
            let Cluster { pool, class, mut place, .. } = clusters[row];
            if member == Some(row) {
                let mut others = pool;
                others.add(&s.place, -1.0);
                let Some(without) = others.place() else { continue };
                place = without;
            }
            let off = s.place.at - place.at;
            if off.y.abs() < REACH_M && class.compatible(s.sight.class) {
                let worth = ln_density(off, plus(place.cov, s.place.cov)) - ln(STRAY_PER_M2);
                if worth > 0.0 {
                    scratch.pairs.push(Pair { row, column, worth });
                }
            }
        }
    }
}

/// Reports of different cameras that lie together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster {
    pub(super) pool: Pool,
    pub(super) class: Class,
    /// What its reports say together; an empty one lies nowhere.
    pub(super) place: Place,
    reports: i32,
}

impl Cluster {
    /// Nothing yet, for what lies here.
    fn at(place: Place, class: Class) -> Self {
        Self { pool: Pool::default(), class, place, reports: 0 }
    }

    /// Adds a report; `sign` -1 takes it away again.
    fn add(&mut self, place: &Place, sign: i32) {
        self.pool.add(place, f64::from(sign));
        self.reports += sign;
        let nowhere = Place { at: Point::new(f64::INFINITY, 0.0), ..self.place };
        self.place = self.pool.place().unwrap_or(nowhere);
    }
}

/// Leaves out clusters that lost all their reports in the second round.
fn without_empty(clusters: &mut Vec<Cluster>, member: &mut [Option<usize>]) {
    if clusters.iter().all(|c| c.reports > 0) {
        return;
    }
    let mut kept = 0;
    let number: Vec<usize> = clusters
        .iter()
        .map(|c| {
            let number = kept;
            kept += usize::from(c.reports > 0);
            number
        })
        .collect();
    clusters.retain(|c| c.reports > 0);
    member.iter_mut().flatten().for_each(|row| *row = number[*row]);
}

/// ln of the density, per square metre, of being off by this where the covariance is this. Heavy tails: most
/// moves are as forecast, some are not at all.
pub(super) fn ln_density(off: Point, cov: Cov) -> f64 {
    let density = |cov: Cov| exp(-0.5 * mahalanobis2(off, cov)) / (std::f64::consts::TAU * det(cov).sqrt());
    let wide = plus(cov, round(SURPRISE_M * SURPRISE_M));
    let p = (1.0 - SURPRISE_PART) * density(cov) + SURPRISE_PART * density(wide);
    ln(p.max(1e-12))
}
