//! Who went where nobody looks, and under which number they come out again.
//!
//! Somebody known who was not seen for [`HIDDEN_AFTER_MS`] and should by now be on ground that no living camera
//! watches leaves the table's people and *waits* ([`Waiting`]): where and how they went, what they are, and since
//! when. Somebody new is compared with all who wait once they are confirmed and for [`OPEN_MS`] after they came. A pair
//! is worth the density at which this one would come out here against [`STRANGERS_PER_M2`]; to be somebody new, and
//! not to have come out yet, is worth 1. All who are open and all who wait are weighed together: how likely each pair is
//! when everybody is at most one of the others ([`certainties`]). A number is handed over above [`SURE_PART`], so
//! two who come out side by side and might each be the other get new ones: the best assignment alone would name them all,
//! and gave 18 of 100 who came in somebody else's number (walks of ETH/UCY between
//! made-up cameras; now 4). The second to come out may still put the first right, and whose time to be found is over
//! still competes while those are decided on who came at the same time.
//!
//! **Where somebody comes out.** Most walk on. How far people are from where their velocity of the last
//! 1.6 s leads was measured on four scenes (ETH, Hotel and Zara01 of ETH/UCY, WILDTRACK; those who walk faster than
//! 0.6 m/s, 2 to 8 s ahead): in proportion to the time, along the way as across it, 0.10 to 0.30 m for each second
//! at 68 %, twice that at 90 %, three to four times at 97 %: too heavy for one normal distribution, and well met by
//! [`STEADY_MPS`] and [`CHANGED_MPS`] in [`CHANGED_PART`] of the cases. (That constant velocity foretells walkers
//! no worse than anything learned: Schöller et al., RA-L 2020. What a whole population's speeds differ by,
//! 0.26 m/s about 1.34, is Weidmann 1993.) The rest *tarry*: they stop and go on later, or turn; in the same
//! scenes 0 to 2 % were behind where they began after 6 s, 0 to 7 % after 10 s ([`TARRY_PART`]). Those come out
//! on the line of their way, ahead or where they went in, at no particular time.
//!
//! **Not having been seen** says as much as having been. If the forecast has been on watched ground for longer
//! than [`UNNOTICED_S`] and nobody came, they did not walk on: that share fades by [`SEEN_PER_S`], and what is
//! left is that they tarry. So who turns in a gap keeps the number, and who left the site for good does not give
//! it to the next who comes in by the same door. And nobody walks through watched ground unseen: what of the
//! straight way from where they were lost to where somebody came up is watched for longer costs the same.
//!
//! **How long** somebody is waited for follows from the way and the speed: [`TARRY_S`] and twice the time that the
//! way takes, never longer than [`Options::hand_over`](super::Options::hand_over). ([`RUN_MPS`] bounds it from below.)
//!
//! **The same on every camera.** Who sees somebody decides, by what all hear; the others follow the number in the
//! reports (`names`), as do those who missed something: a table leaves alone who is called by a number already and
//! is not seen by its own camera. A camera that was restarted knows nobody who waits: whom it alone sees gets a new
//! number, on all cameras.
//!
//! Sizes are not on the wire; class has to fit. Bounds: [`WAITING_MAX`] wait, then the one who left first is given
//! up, and counted. Metres, seconds; pure.

use super::motion::{Cov, Estimate, det, mahalanobis2, plus, round, times};
use super::pace::Pace;
use super::person::Person;
use super::roster::Roster;
use crate::base::portable::{exp, ln};
use crate::model::{Class, Point};

/// Who waits at most.
pub const WAITING_MAX: usize = 256;
/// Who is not seen for so long and should be where nobody looks waits, milliseconds: until then they are paired
/// with reports as everybody is.
const HIDDEN_AFTER_MS: i64 = 1_000;
/// For so long after they came somebody new can be found to be one who waits, milliseconds.
const OPEN_MS: i64 = 3_000;
/// Beside the time that the way takes, twice, somebody is waited for so long, seconds.
const TARRY_S: f64 = 15.0;
/// People of whom nothing is known and who may come up at a place, per square metre: one in twenty seconds over ten
/// metres of border at a walk.
const STRANGERS_PER_M2: f64 = 0.004;
/// How a forecast spreads, metres for each second (standard deviation): of who goes on much as before, of who
/// changes pace or direction, and how many do.
const STEADY_MPS: f64 = 0.14;
const CHANGED_MPS: f64 = 0.4;
const CHANGED_PART: f64 = 0.25;
/// What of the doubt about the last velocity (as a variance) counts beside that, which was measured with velocities that
/// were not exact either. With all of it names are kept 5 in 100 less often, and given wrongly 1 in 100 less often.
const VELOCITY_DOUBT_PART: f64 = 0.4;
/// How much a velocity changes meanwhile, metres per second (standard deviation); what it may say for and against.
const VELOCITY_MPS: f64 = 0.35;
const VELOCITY_LIMITS: (f64, f64) = (-4.0, 2.0);
/// Those who stop or turn; how far beside their line they come out, metres and for each metre of the way.
const TARRY_PART: f64 = 0.03;
const BESIDE_M: f64 = 0.5;
const BESIDE_PER_M: f64 = 0.25;
/// Farther along the line than so many times the way that they can have gone nobody comes out.
const HASTE: f64 = 1.5;
/// On watched ground somebody can be for so long without a confirmed track, seconds: the borders of a view, where
/// boxes are cut, at both ends of the way. Then the odds of not being seen fall by this each second, natural units.
const UNNOTICED_S: f64 = 2.0;
const SEEN_PER_S: f64 = 2.0;
/// Nobody is taken to walk slower than this, metres per second.
const SLOW_MPS: f64 = 0.5;
/// And nobody runs faster than this.
pub(super) const RUN_MPS: f64 = 4.0;
/// Below these odds a pair is as good as none, natural units.
const ODDS_LN_MIN: f64 = -4.0;
/// Whether a way is watched is asked at so many places at most, and no closer than this, metres and seconds.
const PROBES_MAX: usize = 48;
const PROBE_M: f64 = 0.5;
const PROBE_S: f64 = 0.25;
/// Somebody is found when it is likelier than this that they are this one, and none of the others who came or wait;
/// and is so until it is less likely than the other.
const SURE_PART: f64 = 0.65;
const HELD_PART: f64 = 0.4;
/// Rounds of telling one another.
const ROUNDS: usize = 12;

/// Why somebody new was taken for one who waited, or was not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandOver {
    /// The likeliest of those who waited.
    pub global_id: u64,
    /// Whether they are the same.
    pub is_made: bool,
    /// For how long that one had not been seen, seconds.
    pub unseen_s: f64,
    /// How far from where they were seen last somebody came up, metres.
    pub way_m: f64,
    /// How far from where they would be had they walked on, metres.
    pub off_m: f64,
    /// What of the straight way is watched, seconds; 0 where the odds were too low for asking.
    pub watched_s: f64,
    /// ln of the odds for their being one, against a stranger.
    pub odds_ln: f64,
    /// How likely it is that they are one, the others who came and wait considered, 0..1.
    pub part: f64,
}

/// Somebody who is where nobody looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Waiting {
    id: u64,
    class: Class,
    /// Last seen, and what was thought of them then.
    left_ms: i64,
    left: Estimate,
}

/// Those who wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Hall {
    waiting: Vec<Waiting>,
    /// Given up for want of room; and how many were found again.
    pub(super) crowded_out: u64,
    pub(super) handed_over: u64,
}

impl Hall {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes over everything of another, and keeps what memory it has.
    pub(super) fn become_copy_of(&mut self, other: &Self) {
        self.waiting.clone_from(&other.waiting);
        (self.crowded_out, self.handed_over) = (other.crowded_out, other.handed_over);
    }

    /// Forgets all that wait; what was counted stays.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether somebody of the table should wait here; if so they do.
    pub(super) fn takes(&mut self, person: &Person, roster: &Roster, pace: Pace, now_ms: i64) -> bool {
        if !person.confirmed || now_ms - person.seen_ms <= pace.stretched_ms(HIDDEN_AFTER_MS) {
            return false;
        }
        let Some((left_ms, left)) = person.trail.last() else { return false };
        if roster.is_covered(person.estimate.place(0.0).at) {
            return false;
        }
        let (id, class) = (person.id, person.class());
        // Who was found and is gone again goes from where they were seen last.
        self.waiting.retain(|w| w.id != id);
        self.waiting.push(Waiting { id, class, left_ms, left });
        if self.waiting.len() > WAITING_MAX
            && let Some(first) =
                (0..self.waiting.len()).min_by_key(|&i| (self.waiting[i].left_ms, self.waiting[i].id))
        {
            self.waiting.swap_remove(first);
            self.crowded_out += 1;
        }
        true
    }

    /// Gives up who is waited for too long or is back by the others' word.
    pub(super) fn sweep(&mut self, people: &[Person], keep_ms: i64, now_ms: i64) {
        self.waiting.retain(|w| {
            let is_back = |p: &Person| p.id == w.id && !(is_open(p, now_ms) && is_found(p, w.id));
            now_ms - w.left_ms <= keep_ms && !people.iter().any(is_back)
        });
    }

    /// Finds who of those that came lately is who of those that wait, and gives them their numbers.
    pub(super) fn settle(&mut self, people: &mut [Person], roster: &Roster, pace: Pace, now_ms: i64) {
        if self.waiting.is_empty() {
            return;
        }
        // Who is decided on no more still is somebody whom those may be who wait, as long as others are decided on
        // who came at the same time.
        let mut came: Vec<usize> = (0..people.len())
            .filter(|&i| came_within(&people[i], 2 * OPEN_MS, now_ms))
            .filter(|&i| is_ours_to_name(&people[i], pace, now_ms))
            .collect();
        if !came.iter().any(|&i| is_open(&people[i], now_ms)) {
            return;
        }
        // In an order that is everybody's.
        came.sort_unstable_by_key(|&i| people[i].born_as);
        self.waiting.sort_unstable_by_key(|w| w.id);
        // Who bears the number of one who waits and came before that, keeps it.
        let is_free =
            |w: &Waiting| !people.iter().enumerate().any(|(i, p)| p.id == w.id && !came.contains(&i));
        let free: Vec<bool> = self.waiting.iter().map(is_free).collect();
        let compare = |i: usize| {
            let rows = self.waiting.iter().zip(&free);
            rows.map(|(w, free)| if *free { w.compare(&people[i], roster, pace, now_ms) } else { None })
                .collect()
        };
        let cases: Vec<Vec<Option<HandOver>>> = came.iter().map(|&i| compare(i)).collect();
        let certain = certainties(&cases);
        // The surest first; who was found already is so until it has become unlikely.
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        for (column, of_one) in certain.iter().enumerate() {
            for (row, &p) in of_one.iter().enumerate() {
                let held = is_found(&people[came[column]], self.waiting[row].id);
                if p > if held { HELD_PART } else { SURE_PART } {
                    pairs.push((p, column, row));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut found, mut taken) = (vec![None; came.len()], vec![false; self.waiting.len()]);
        for (_, column, row) in pairs {
            if found[column].is_none() && !taken[row] {
                (found[column], taken[row]) = (Some(row), true);
            }
        }
        for (column, &i) in came.iter().enumerate() {
            let case = |row: usize| cases[column][row].map(|c| HandOver { part: certain[column][row], ..c });
            let person = &mut people[i];
            // Who bears the number of one who is not waited for any longer can't be found to be otherwise.
            let is_final = person.id != person.born_as && !self.waiting.iter().any(|w| w.id == person.id);
            if is_final || !is_open(person, now_ms) {
                continue;
            }
            let all = (0..self.waiting.len()).filter_map(case);
            let likeliest = all.max_by(|a, b| a.odds_ln.total_cmp(&b.odds_ln));
            let made = found[column].and_then(case).map(|c| HandOver { is_made: true, ..c });
            let id = made.map_or(person.born_as, |c| c.global_id);
            person.hand_over = made.or(likeliest);
            if id != person.id {
                self.handed_over += u64::from(made.is_some());
                (person.id, person.renamed_ms) = (id, now_ms + 1);
            }
        }
    }
}

/// How likely each pair is, 0..1, of those who came with those who wait, when everybody is at most one of the others:
/// belief propagation on the assignment (Williams & Lau, IEEE TAES 2014), which converges.
fn certainties(cases: &[Vec<Option<HandOver>>]) -> Vec<Vec<f64>> {
    let odds: Vec<Vec<f64>> = cases
        .iter()
        .map(|of_one| of_one.iter().map(|c| c.map_or(0.0, |c| exp(c.odds_ln))).collect())
        .collect();
    let waiting = odds.first().map_or(0, Vec::len);
    let mut said: Vec<Vec<f64>> = odds.iter().map(|row| vec![1.0; row.len()]).collect();
    for _ in 0..ROUNDS {
        // What each of those who came tells those who wait, and these answer.
        for (said, odds) in said.iter_mut().zip(&odds) {
            let sum: f64 = 1.0 + said.iter().zip(odds).map(|(s, o)| s * o).sum::<f64>();
            for (s, o) in said.iter_mut().zip(odds) {
                *s = o / (sum - *s * o).max(1.0);
            }
        }
        for row in 0..waiting {
            let sum: f64 = 1.0 + said.iter().map(|s| s[row]).sum::<f64>();
            for s in &mut said {
                s[row] = 1.0 / (sum - s[row]).max(1.0);
            }
        }
    }
    for (said, odds) in said.iter_mut().zip(&odds) {
        let sum: f64 = 1.0 + said.iter().zip(odds).map(|(s, o)| s * o).sum::<f64>();
        said.iter_mut().zip(odds).for_each(|(s, o)| *s *= o / sum);
    }
    said
}

impl Waiting {
    /// What there is for and against somebody new being this one; none where it can't be.
    fn compare(&self, person: &Person, roster: &Roster, pace: Pace, now_ms: i64) -> Option<HandOver> {
        let unseen_s = seconds(person.founded_ms - self.left_ms);
        if unseen_s <= 0.0 || !self.class.compatible(person.class()) {
            return None;
        }
        let from = self.left.place(0.0).at;
        let way = person.born_m - from;
        let speed_mps = self.left.velocity().norm().max(SLOW_MPS);
        let is_late = unseen_s > pace.stretched_s(TARRY_S) + 2.0 * way.norm() / speed_mps;
        if is_late || way.norm() > RUN_MPS * unseen_s + BESIDE_M {
            return None;
        }
        let here = person.estimate.place(0.0);
        let off = here.at - self.left.place(seconds(now_ms - self.left_ms)).at;
        let unnoticed_s = pace.stretched_s(UNNOTICED_S);
        let overlooked = |time_s: f64| -SEEN_PER_S * (time_s - unnoticed_s).max(0.0);
        let (walked_on, tarried) = (self.walked_on(off, person, now_ms), self.tarried(way, unseen_s));
        let odds_ln = |density: f64| ln(density.max(1e-12)) - ln(STRANGERS_PER_M2);
        let (mut watched_s, mut odds_ln_now) = (0.0, odds_ln(walked_on.max(tarried)));
        // What is unlikely anyway is not worth asking about all the way.
        if odds_ln_now > ODDS_LN_MIN {
            let walks_on = (1.0 - TARRY_PART) * exp(overlooked(self.due_s(unseen_s, roster)));
            let tarries = TARRY_PART / (TARRY_PART + walks_on);
            watched_s = watched_m(from, person.born_m, roster) / speed_mps;
            odds_ln_now = odds_ln((1.0 - tarries) * walked_on + tarries * tarried) + overlooked(watched_s);
        }
        let (global_id, way_m, off_m) = (self.id, way.norm(), off.norm());
        let odds_ln = odds_ln_now;
        Some(HandOver { global_id, is_made: false, unseen_s, way_m, off_m, watched_s, odds_ln, part: 0.0 })
    }

    /// For how long the forecast was on watched ground in this time since they were seen last, seconds.
    fn due_s(&self, unseen_s: f64, roster: &Roster) -> f64 {
        unseen_s * watched_part(unseen_s / PROBE_S, roster, |part| self.left.place(unseen_s * part).at)
    }

    /// Density, per square metre, of who walked on being this far from the forecast, and going as this one does.
    fn walked_on(&self, off: Point, person: &Person, now_ms: i64) -> f64 {
        let time_s = seconds(now_ms - self.left_ms);
        let known = plus(self.left.place(0.0).cov, person.estimate.place(0.0).cov);
        let known = plus(known, times(self.left.velocity_cov(), VELOCITY_DOUBT_PART * time_s * time_s));
        let spread = |mps: f64| normal(off, plus(known, round((mps * time_s) * (mps * time_s))));
        let place = (1.0 - CHANGED_PART) * spread(STEADY_MPS) + CHANGED_PART * spread(CHANGED_MPS);
        let (now, before) = (person.estimate.velocity(), self.left.velocity());
        let doubt = plus(person.estimate.velocity_cov(), self.left.velocity_cov());
        let as_before = normal(now - before, plus(doubt, round(VELOCITY_MPS * VELOCITY_MPS)));
        // Of a stranger's velocity as much is known as of anybody's.
        let as_any = normal(now, plus(person.estimate.velocity_cov(), round(1.0)));
        let (least, most) = VELOCITY_LIMITS;
        let velocity_ln = ln(as_before.max(1e-12)) - ln(as_any.max(1e-12));
        place * exp(velocity_ln.clamp(least, most))
    }

    /// Density, per square metre, of who stopped or turned coming out this far from where they went in.
    fn tarried(&self, way: Point, unseen_s: f64) -> f64 {
        let velocity = self.left.velocity();
        let speed_mps = velocity.norm();
        if speed_mps < SLOW_MPS {
            return 0.0;
        }
        let along_m = (way.x * velocity.x + way.y * velocity.y) / speed_mps;
        let beside_m = (way.x * velocity.y - way.y * velocity.x) / speed_mps;
        if along_m.abs() > HASTE * speed_mps * unseen_s {
            return 0.0;
        }
        let sigma_m = BESIDE_M + BESIDE_PER_M * along_m.abs();
        let z = beside_m / sigma_m;
        let beside = exp(-0.5 * z * z) / (std::f64::consts::TAU.sqrt() * sigma_m);
        // Ahead or back, at any time while they are waited for.
        0.5 * beside / (2.0 * TARRY_S * speed_mps)
    }
}

/// Whether somebody came lately enough to be one who waits, and is not anybody else by now.
fn is_open(person: &Person, now_ms: i64) -> bool {
    came_within(person, OPEN_MS, now_ms)
}

fn came_within(person: &Person, time_ms: i64, now_ms: i64) -> bool {
    person.confirmed
        && now_ms - person.founded_ms <= time_ms
        && (person.id == person.born_as || is_found(person, person.id))
}

/// Whether they were found to be this one.
fn is_found(person: &Person, id: u64) -> bool {
    person.id == id && person.hand_over.is_some_and(|h| h.is_made && h.global_id == id)
}

/// Whether this table has a say: its camera sees them, or nobody calls them by a number yet.
fn is_ours_to_name(person: &Person, pace: Pace, now_ms: i64) -> bool {
    person.is_ours(pace, now_ms) || person.claims(pace, now_ms).next().is_none()
}

/// How much of the straight way is watched, metres.
fn watched_m(from: Point, to: Point, roster: &Roster) -> f64 {
    let way = to - from;
    way.norm() * watched_part(way.norm() / PROBE_M, roster, |part| from + way * part)
}

/// What of the places from part 0 to part 1 of something is watched, 0..1, by so many probes.
fn watched_part(probes: f64, roster: &Roster, at: impl Fn(f64) -> Point) -> f64 {
    let probes = (probes.ceil() as usize).clamp(1, PROBES_MAX);
    let watched = (0..probes).filter(|&i| roster.is_covered(at((i as f64 + 0.5) / probes as f64))).count();
    watched as f64 / probes as f64
}

/// The normal density in two dimensions.
fn normal(off: Point, cov: Cov) -> f64 {
    exp(-0.5 * mahalanobis2(off, cov)) / (std::f64::consts::TAU * det(cov).sqrt())
}

fn seconds(ms: i64) -> f64 {
    ms as f64 * 1e-3
}

#[cfg(test)]
mod tests;
