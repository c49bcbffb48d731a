//! People who walk out of one camera's view and, some metres on, into another's: real engines that talk through
//! encoded messages, of which some are lost and all are late and out of order.

use std::collections::{BTreeMap, BTreeSet};

use omnisight::model::{Delivery, Point, Polygon, SceneTrack};
use omnisight::swarm::topic::{Family, Prefix};
use omnisight::swarm::{Action, Engine, Ground, Identity, Input, Options};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::scenes::{START_MS, at, camera, delivered, scene, seen};

/// Numbers of people tell the time since 2024; the other tests' is before.
const LATER_MS: u64 = 100_000_000_000;
const STEP_MS: u64 = 50;
const FRAME_MS: u64 = 200;
/// Of the track messages so many are lost, and a message travels so long.
const LOSS: f64 = 0.1;
const DELAY_MS: std::ops::Range<u64> = 20..220;
const WALK_MPS: f64 = 1.3;

/// Where somebody is so many seconds after the begin; none before they come.
type Way<'a> = &'a dyn Fn(f64) -> Option<f64>;

struct View {
    name: String,
    footprint: Polygon,
    engine: Engine,
}

struct Site {
    views: Vec<View>,
    /// By when they arrive, and a number of their own: to whom.
    under_way: BTreeMap<(u64, u64), (usize, Delivery)>,
    sent: u64,
    rng: Pcg64Mcg,
    now_ms: u64,
    last_track: u32,
    /// The track of each walker in each view, with the time of its last frame.
    tracks: BTreeMap<(usize, usize), (u32, u64)>,
    /// The numbers of each walker in each view.
    numbers: BTreeMap<(usize, usize), BTreeSet<u64>>,
}

fn engine(name: &str, footprint: &Polygon, boot_ms: u64) -> Engine {
    let ground = Ground { calibrated: true, footprint: Some(footprint.clone()) };
    let identity = Identity { camera: camera(name), boot_ms, version: "1".to_owned(), site: None, ground };
    Engine::new(Options::default(), identity)
}

impl Site {
    /// Cameras that see eight metres each of a way, from these on.
    fn new(from_m: &[f64], seed: u64) -> Self {
        let views = from_m.iter().enumerate().map(|(i, from)| {
            let corners = [(0.0, -5.0), (8.0, -5.0), (8.0, 5.0), (0.0, 5.0)];
            let footprint = Polygon::new(corners.map(|(x, y)| Point::new(from + x, y)).to_vec()).unwrap();
            let name = format!("view-{i}");
            View { engine: engine(&name, &footprint, START_MS + LATER_MS), name, footprint }
        });
        let mut site = Self {
            views: views.collect(),
            under_way: BTreeMap::new(),
            sent: 0,
            rng: Pcg64Mcg::seed_from_u64(seed),
            now_ms: 0,
            last_track: 0,
            tracks: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        (0..site.views.len()).for_each(|i| site.feed(i, &Input::Connected));
        site
    }

    /// The camera's process begins anew, and hears what is retained.
    fn restart(&mut self, i: usize) {
        let View { name, footprint, engine } = &mut self.views[i];
        *engine = self::engine(name, footprint, START_MS + LATER_MS + self.now_ms);
        (0..self.views.len()).for_each(|i| self.feed(i, &Input::Connected));
    }

    fn feed(&mut self, i: usize, input: &Input<'_>) {
        let mut out = Vec::new();
        self.views[i].engine.handle(*input, at(LATER_MS + self.now_ms), &mut out);
        for envelope in out.iter().filter_map(|a| if let Action::Send(e) = a { Some(e) } else { None }) {
            let topic = Prefix::default();
            let is_track = topic.parse_topic(&envelope.topic).is_some_and(|t| t.family() == Family::Track);
            for to in (0..self.views.len()).filter(|&to| to != i) {
                if is_track && self.rng.random_bool(LOSS) {
                    continue;
                }
                self.sent += 1;
                let due_ms = self.now_ms + self.rng.random_range(DELAY_MS);
                self.under_way.insert((due_ms, self.sent), (to, delivered(envelope)));
            }
        }
    }

    /// Lets everybody walk until this time.
    fn walk(&mut self, walkers: &[Way<'_>], until_s: f64) {
        while (self.now_ms as f64) < until_s * 1e3 {
            self.now_ms += STEP_MS;
            while let Some(((due_ms, n), (to, delivery))) = self.under_way.pop_first() {
                if due_ms > self.now_ms {
                    self.under_way.insert((due_ms, n), (to, delivery));
                    break;
                }
                self.feed(to, &Input::Delivery(&delivery));
            }
            for i in 0..self.views.len() {
                // Frames of different cameras are not of the same instant.
                if (self.now_ms + i as u64 * STEP_MS).is_multiple_of(FRAME_MS) {
                    self.frame(i, walkers);
                }
                if self.now_ms.is_multiple_of(1_000) {
                    self.feed(i, &Input::Tick);
                }
            }
        }
    }

    fn frame(&mut self, i: usize, walkers: &[Way<'_>]) {
        let mut tracks: Vec<(usize, SceneTrack)> = Vec::new();
        for (who, way) in walkers.iter().enumerate() {
            let Some(x) = way(self.now_ms as f64 * 1e-3) else { continue };
            let noise = |rng: &mut Pcg64Mcg| rng.random_range(-0.1..0.1);
            let place = Point::new(x + noise(&mut self.rng), who as f64 * 0.9 + noise(&mut self.rng));
            if !self.views[i].footprint.contains(place) {
                continue;
            }
            let known = self.tracks.get(&(who, i)).filter(|(_, last)| self.now_ms - last < 1_000);
            let id = known.map_or(self.last_track + 1, |(id, _)| *id);
            self.last_track = self.last_track.max(id);
            self.tracks.insert((who, i), (id, self.now_ms));
            let mut track = seen(id, 0.0, true);
            if let Some(ground) = &mut track.ground {
                ground.position = place;
            }
            tracks.push((who, track));
        }
        let whose: Vec<_> = tracks.iter().map(|(who, t)| (*who, t.track.id)).collect();
        let View { name, .. } = &self.views[i];
        let scene = scene(name, LATER_MS + self.now_ms, tracks.into_iter().map(|(_, t)| t).collect());
        self.feed(i, &Input::Scene(&scene));
        for (who, id) in whose {
            let View { name, engine, .. } = &self.views[i];
            if let Some(number) = engine.fusion().name_of(&camera(name), id) {
                self.numbers.entry((who, i)).or_default().insert(number);
            }
        }
    }

    /// The number of a walker in a view, under which all tables have them now, if they are there now.
    fn number(&self, who: usize, i: usize) -> u64 {
        let numbers = &self.numbers[&(who, i)];
        assert_eq!(numbers.len(), 1, "walker {who} in view {i}: {numbers:?}");
        *numbers.first().unwrap()
    }

    /// The numbers of who is there, which are the same in all tables.
    fn agreed(&self) -> BTreeSet<u64> {
        let of = |view: &View| {
            let table = view.engine.fusion().at((START_MS + LATER_MS + self.now_ms) as i64 - 300);
            table.iter().map(|p| p.global_id).collect::<BTreeSet<_>>()
        };
        let first = of(&self.views[0]);
        for view in &self.views[1..] {
            assert_eq!(of(view), first, "{}", view.name);
        }
        first
    }
}

fn along(after_s: f64, speed_mps: f64) -> impl Fn(f64) -> Option<f64> {
    move |t| (t >= after_s).then_some(0.5 + speed_mps * (t - after_s))
}

#[test]
fn who_walks_through_a_gap_keeps_the_number_on_every_camera() {
    for gap_m in [2.0, 5.0, 10.0, 15.0] {
        for seed in 1..4 {
            let mut site = Site::new(&[0.0, 8.0 + gap_m], seed);
            site.walk(&[&along(0.0, WALK_MPS)], (13.0 + gap_m) / WALK_MPS);
            assert_eq!(site.number(0, 0), site.number(0, 1), "{gap_m} m");
            assert_eq!(site.agreed(), BTreeSet::from([site.number(0, 0)]), "{gap_m} m");
        }
    }
}

#[test]
fn two_who_pass_one_another_in_a_gap_keep_their_numbers_on_every_camera() {
    for gap_m in [5.0, 10.0, 15.0] {
        for seed in 1..4 {
            let mut site = Site::new(&[0.0, 8.0 + gap_m], seed);
            let back = |t: f64| Some(15.5 + gap_m - WALK_MPS * t);
            site.walk(&[&along(0.0, WALK_MPS), &back], (13.0 + gap_m) / WALK_MPS);
            for who in 0..2 {
                assert_eq!(site.number(who, 0), site.number(who, 1), "{gap_m} m, walker {who}");
            }
            let both = BTreeSet::from([site.number(0, 0), site.number(1, 0)]);
            assert_eq!((site.agreed(), both.len()), (both, 2), "{gap_m} m");
        }
    }
}

#[test]
fn who_turns_in_a_gap_comes_back_under_the_same_number() {
    let mut site = Site::new(&[0.0, 13.0], 1);
    let way = |t: f64| {
        let (x, turned_s) = (0.5 + WALK_MPS * t, 11.5 / WALK_MPS);
        Some(if x < 12.0 { x } else { 12.0 - WALK_MPS * (t - turned_s - 6.0).max(0.0) })
    };
    site.walk(&[&way], 21.0);
    assert_eq!(site.agreed(), BTreeSet::from([site.number(0, 0)]));
}

#[test]
fn a_stranger_who_comes_out_first_does_not_get_the_number() {
    for seed in 1..4 {
        let mut site = Site::new(&[0.0, 18.0], seed);
        let stranger = |t: f64| (t >= 7.5).then_some(17.0 + 1.7 * (t - 7.5));
        site.walk(&[&along(0.0, 1.1), &stranger], 20.0);
        assert_eq!(site.number(0, 0), site.number(0, 1));
        assert_ne!(site.number(0, 0), site.number(1, 1));
        assert_eq!(site.agreed(), BTreeSet::from([site.number(0, 0)]));
    }
}

#[test]
fn a_camera_that_was_restarted_meanwhile_takes_the_number_from_the_others() {
    // The third sees somebody else meanwhile.
    let mut site = Site::new(&[0.0, 18.0, 40.0], 1);
    let other = |_: f64| Some(44.0);
    let walkers: [Way<'_>; 2] = [&along(0.0, WALK_MPS), &other];
    site.walk(&walkers, 9.0);
    site.restart(2);
    site.walk(&walkers, 17.0);
    assert_eq!(site.number(0, 0), site.number(0, 1));
    // Whom the restarted one alone sees it calls by a new number, the later one.
    let other = *site.numbers[&(1, 2)].last().unwrap();
    assert_eq!(site.agreed(), BTreeSet::from([site.number(0, 0), other]));
}

#[test]
fn where_the_camera_that_sees_somebody_was_restarted_all_call_them_by_its_new_number() {
    let mut site = Site::new(&[0.0, 18.0], 1);
    site.walk(&[&along(0.0, WALK_MPS)], 9.0);
    site.restart(1);
    site.walk(&[&along(0.0, WALK_MPS)], 17.0);
    assert_ne!(site.number(0, 0), site.number(0, 1));
    assert_eq!(site.agreed(), BTreeSet::from([site.number(0, 1)]));
}
