//! Two views along x with ground between them that nobody watches, and walkers.

use std::collections::BTreeSet;

use super::super::{Fusion, Options, Sight};
use super::{HandOver, WAITING_MAX};
use crate::model::{CameraId, Class, Point, Polygon};

const BEGIN_MS: i64 = 1_750_000_000_000;
const STEP_MS: i64 = 200;
const WALK_MPS: f64 = 1.3;

fn camera(name: &str) -> CameraId {
    CameraId::parse(name).unwrap()
}

fn view(from_m: f64, to_m: f64) -> Polygon {
    let corners = [(from_m, -5.0), (to_m, -5.0), (to_m, 5.0), (from_m, 5.0)];
    Polygon::new(corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap()
}

/// Where somebody is so many seconds after the begin; none before they come.
type Way<'a> = &'a dyn Fn(f64) -> Option<(f64, f64)>;

/// A site, and what became of those who walk through it.
struct Site {
    fusion: Fusion,
    views: Vec<(CameraId, Polygon)>,
    class: Class,
    /// Of each walker: the numbers under which each camera saw them, and what was said of their last coming.
    numbers: Vec<Vec<BTreeSet<u64>>>,
    said: Vec<Option<HandOver>>,
}

impl Site {
    /// A view of eight metres, the gap, and as much again.
    fn with_gap(gap_m: f64) -> Self {
        Self::new(&[("a", -8.0, 0.0), ("b", gap_m, gap_m + 8.0)])
    }

    fn new(views: &[(&str, f64, f64)]) -> Self {
        let views: Vec<_> = views.iter().map(|&(name, from, to)| (camera(name), view(from, to))).collect();
        let mut fusion = Fusion::new(Options::default(), &views[0].0);
        for (name, footprint) in &views {
            fusion.set_footprint(name, Some(footprint), BEGIN_MS);
        }
        Self { fusion, views, class: Class::Person, numbers: Vec::new(), said: Vec::new() }
    }

    /// Lets everybody walk for so long. A walker is a new track each time they come into a view.
    fn walk(&mut self, walkers: &[Way<'_>], seconds: f64) {
        self.numbers = vec![vec![BTreeSet::new(); self.views.len()]; walkers.len()];
        self.said = vec![None; walkers.len()];
        let mut tracks = vec![vec![(0u32, i64::MIN); self.views.len()]; walkers.len()];
        let mut last = 0u32;
        for step in 0..(seconds * 1e3) as i64 / STEP_MS {
            let now_ms = BEGIN_MS + step * STEP_MS;
            let mut seen = Vec::new();
            for (who, way) in walkers.iter().enumerate() {
                let Some((x, y)) = way(step as f64 * STEP_MS as f64 * 1e-3) else { continue };
                for (which, (name, footprint)) in self.views.iter().enumerate() {
                    if !footprint.contains(Point::new(x, y)) {
                        continue;
                    }
                    let (track, seen_step) = &mut tracks[who][which];
                    if *seen_step != step - 1 {
                        last += 1;
                        *track = last;
                    }
                    *seen_step = step;
                    seen.push((who, which, *track, Point::new(x, y)));
                    let report = Sight {
                        track_id: *track,
                        position_m: Point::new(x, y),
                        cov_m2: [0.02, 0.0, 0.02],
                        class: self.class,
                        confidence: 0.8,
                        captured_ms: now_ms,
                        global_id: None,
                    };
                    self.fusion.take(name, report, now_ms + 20);
                }
            }
            self.fusion.step(now_ms + 50);
            let table = self.fusion.at(now_ms);
            for (who, which, track, at) in seen {
                if let Some(number) = self.fusion.name_of(&self.views[which].0, track) {
                    self.numbers[who][which].insert(number);
                    let here = table.iter().find(|p| (p.position_m - at).norm() < 0.5);
                    self.said[who] = here.and_then(|p| p.hand_over).or(self.said[who]);
                }
            }
        }
    }

    /// The number of a walker on a camera, which is one.
    fn number(&self, who: usize, which: usize) -> u64 {
        let numbers = &self.numbers[who][which];
        assert_eq!(numbers.len(), 1, "walker {who} on camera {which}: {numbers:?}");
        *numbers.first().unwrap()
    }
}

/// Through both views from the left, beginning after a while, beside the middle.
fn along(after_s: f64, speed_mps: f64, y: f64) -> impl Fn(f64) -> Option<(f64, f64)> {
    move |t| (t >= after_s).then_some((-7.5 + speed_mps * (t - after_s), y))
}

#[test]
fn who_walks_through_a_gap_comes_out_under_the_number_with_which_they_went_in() {
    for gap_m in [2.0, 5.0, 10.0, 15.0] {
        let mut site = Site::with_gap(gap_m);
        site.walk(&[&along(0.0, WALK_MPS, 0.3)], 21.0);
        assert_eq!(site.number(0, 0), site.number(0, 1), "{gap_m} m: {:?}", site.said);
    }
}

#[test]
fn two_who_pass_one_another_in_a_gap_keep_their_numbers() {
    for gap_m in [5.0, 10.0, 15.0] {
        let mut site = Site::with_gap(gap_m);
        let back = move |t: f64| Some((gap_m + 7.5 - WALK_MPS * t, -0.6));
        site.walk(&[&along(0.0, WALK_MPS, 0.6), &back], 21.0);
        assert_eq!(site.number(0, 0), site.number(0, 1), "{gap_m} m: {:?}", site.said);
        assert_eq!(site.number(1, 0), site.number(1, 1), "{gap_m} m: {:?}", site.said);
        assert_ne!(site.number(0, 0), site.number(1, 0));
    }
}

#[test]
fn two_who_walk_behind_one_another_are_not_mixed_up() {
    let mut site = Site::with_gap(8.0);
    site.walk(&[&along(0.0, WALK_MPS, 0.0), &along(3.0, WALK_MPS, 0.2)], 22.0);
    assert_eq!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
    assert_eq!(site.number(1, 0), site.number(1, 1), "{:?}", site.said);
}

#[test]
fn who_turns_in_a_gap_comes_back_under_their_number_once_they_would_have_come_out_on_the_other_side() {
    let mut site = Site::with_gap(5.0);
    // Four metres in, a rest until they should have been through the other view, and back.
    let way = |t: f64| {
        let x = -7.5 + WALK_MPS * t;
        let turned_s = 11.5 / WALK_MPS;
        Some((if x < 4.0 { x } else { 4.0 - WALK_MPS * (t - turned_s - 6.0).max(0.0) }, 0.0))
    };
    site.walk(&[&way], 22.0);
    assert_eq!(site.numbers[0][0].len(), 1, "{:?} {:?}", site.numbers, site.said);
    assert!(site.said[0].is_some_and(|h| h.is_made));
}

#[test]
fn who_comes_out_before_it_can_be_is_somebody_else_and_the_other_keeps_the_number() {
    let mut site = Site::with_gap(10.0);
    // Comes up where a side way leads into the gap, when the other has just gone in.
    let stranger = |t: f64| (t >= 7.5).then_some((9.0 + 1.6 * (t - 7.5), 0.0));
    site.walk(&[&along(0.0, 1.1, 0.0), &stranger], 21.0);
    assert_eq!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
    assert_ne!(site.number(0, 0), site.number(1, 1), "{:?}", site.said);
    // Nobody runs that fast: they were not even weighed.
    assert_eq!(site.said[1], None);
}

#[test]
fn who_left_the_site_does_not_give_the_number_to_the_next_who_comes_in_there() {
    let mut site = Site::with_gap(10.0);
    let leaves = |t: f64| Some((-2.0 - WALK_MPS * t, 0.0));
    for after_s in [7.0, 10.0, 14.0, 20.0] {
        let comes = move |t: f64| (t >= after_s).then_some((-8.5 + WALK_MPS * (t - after_s), 0.3));
        site.walk(&[&leaves, &comes], after_s + 3.0);
        assert_ne!(site.number(0, 0), site.number(1, 0), "{after_s} s: {:?}", site.said);
        site = Site::with_gap(10.0);
    }
}

#[test]
fn nobody_comes_through_ground_that_a_camera_watches_without_being_seen() {
    let mut site = Site::new(&[("a", -8.0, 0.0), ("b", 12.0, 20.0), ("between", 2.0, 10.0)]);
    let hidden = |t: f64| {
        let x = -7.5 + WALK_MPS * t;
        (!(1.5..10.5).contains(&x)).then_some((x, 0.0))
    };
    site.walk(&[&hidden], 19.0);
    assert_ne!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
    // The same way where nobody watches it.
    let mut site = Site::new(&[("a", -8.0, 0.0), ("b", 12.0, 20.0)]);
    site.walk(&[&hidden], 19.0);
    assert_eq!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
}

#[test]
fn what_a_camera_that_is_gone_watched_is_watched_by_nobody() {
    let mut site = Site::new(&[("a", -8.0, 0.0), ("b", 12.0, 20.0), ("between", 2.0, 10.0)]);
    site.fusion.unset_footprint(&camera("between"));
    site.views.pop();
    site.walk(&[&along(0.0, WALK_MPS, 0.0)], 19.0);
    assert_eq!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
}

#[test]
fn nobody_gets_the_number_of_one_who_came_out_just_before() {
    let mut site = Site::with_gap(8.0);
    // Out of a side way in the gap, a second behind: open for longer than who came first.
    let stranger = |t: f64| (t >= 12.2).then_some((8.5 + WALK_MPS * (t - 12.2), 0.5));
    site.walk(&[&along(0.0, WALK_MPS, 0.0), &stranger], 22.0);
    assert_eq!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
    assert_ne!(site.number(0, 0), site.number(1, 1), "{:?}", site.said);
}

#[test]
fn nobody_is_waited_for_longer_than_the_limit() {
    let mut site = Site::with_gap(5.0);
    // Forty seconds in the gap.
    let way = |t: f64| {
        let x = -7.5 + WALK_MPS * t;
        Some((if x < 2.5 { x } else { 2.5 + WALK_MPS * (t - 48.0).max(0.0) }, 0.0))
    };
    let other = |_: f64| Some((-4.0, 4.0));
    site.walk(&[&way, &other], 30.0);
    assert_eq!(site.fusion.waiting(), 1);
    let mut site = Site::with_gap(5.0);
    site.walk(&[&way, &other], 54.0);
    assert_ne!(site.number(0, 0), site.number(0, 1), "{:?}", site.said);
    assert_eq!(site.fusion.waiting(), 0);
}

#[test]
fn those_who_wait_are_bounded_and_who_had_to_go_is_counted() {
    let mut site = Site::new(&[("a", -8.0, 0.0)]);
    let mut last = 0;
    // Rows of a hundred walk out one after another.
    for row in 0..4_i64 {
        for step in 0..20_i64 {
            let now_ms = BEGIN_MS + (row * 32 + step) * STEP_MS;
            for i in 0..100 {
                let report = Sight {
                    track_id: last + i + 1,
                    position_m: Point::new(-4.0 + 0.3 * step as f64, 3.0 * f64::from(i)),
                    cov_m2: [0.02, 0.0, 0.02],
                    class: Class::Person,
                    confidence: 0.9,
                    captured_ms: now_ms,
                    global_id: None,
                };
                site.fusion.take(&camera("a"), report, now_ms + 20);
            }
            site.fusion.step(now_ms + 50);
            assert!(site.fusion.waiting() <= WAITING_MAX);
        }
        last += 100;
    }
    assert!(site.fusion.counters().crowded_out > 0, "{:?}", site.fusion.counters());
}
