//! A small site of our own: three cameras that see one plaza, and people on it.

use super::*;
use proptest::prelude::*;

const BEGIN_MS: i64 = 1_750_000_000_000;
const STEP_MS: i64 = 200;

fn camera(name: &str) -> CameraId {
    CameraId::parse(name).unwrap()
}

fn sight(track_id: u32, x: f64, y: f64, captured_ms: i64) -> Sight {
    Sight {
        track_id,
        position_m: Point::new(x, y),
        cov_m2: [0.02, 0.0, 0.02],
        class: Class::Person,
        confidence: 0.8,
        captured_ms,
        global_id: None,
    }
}

fn square(half_m: f64) -> Option<Polygon> {
    let corners = [(-half_m, -half_m), (half_m, -half_m), (half_m, half_m), (-half_m, half_m)];
    Polygon::new(corners.map(|(x, y)| Point::new(x, y)).to_vec()).ok()
}

/// A table, and the time.
struct Site {
    fusion: Fusion,
    now_ms: i64,
}

impl Site {
    fn new(cameras: &[&str]) -> Self {
        let mut fusion = Fusion::new(Options::default(), &camera(cameras[0]));
        for name in cameras {
            fusion.set_footprint(&camera(name), square(30.0).as_ref(), BEGIN_MS);
        }
        Self { fusion, now_ms: BEGIN_MS }
    }

    /// Each camera reports people by place; its track of the i-th is i + 1.
    fn see(&mut self, reports: &[(&str, &[(f64, f64)])]) -> Vec<Person> {
        self.now_ms += STEP_MS;
        for (name, people) in reports {
            for (i, &(x, y)) in people.iter().enumerate() {
                let report = sight(i as u32 + 1, x, y, self.now_ms);
                self.fusion.take(&camera(name), report, self.now_ms + 20);
            }
        }
        self.fusion.step(self.now_ms + 50);
        self.fusion.at(self.now_ms)
    }
}

#[test]
fn people_whom_several_cameras_see_are_one_each_at_once_and_keep_their_numbers() {
    let mut site = Site::new(&["a", "b", "c"]);
    let at = |i: i32| [(0.2 * f64::from(i), 0.0), (5.0, 3.0 - 0.2 * f64::from(i)), (-6.0, 4.0)];
    let first = site.see(&[("a", &at(0)), ("b", &at(0)), ("c", &at(0))]);
    assert_eq!(first.len(), 3);
    for i in 1..30 {
        let seen = site.see(&[("a", &at(i)), ("b", &at(i)), ("c", &at(i))]);
        let numbers = |people: &[Person]| people.iter().map(|p| p.global_id).collect::<Vec<_>>();
        assert_eq!(numbers(&seen), numbers(&first), "{i}");
        assert!(seen.iter().all(|p| p.global_id < 1 << 53 && p.seen_by.len() == 3));
    }
}

#[test]
fn two_tracks_of_one_camera_are_never_one_person() {
    let mut site = Site::new(&["a", "b", "c"]);
    let pair = [(0.0, 0.0), (0.4, 0.0)];
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen = site.see(&[("a", &pair), ("b", &pair), ("c", &pair)]);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn whom_one_camera_alone_reports_is_believed_later_than_whom_two_do() {
    let first_shown = |reports: &[(&str, &[(f64, f64)])]| {
        let mut site = Site::new(&["a", "b", "c"]);
        (1..20).find(|_| !site.see(reports).is_empty())
    };
    let place = [(1.0, 1.0)];
    assert_eq!(first_shown(&[("a", &place), ("b", &place)]), Some(1));
    let alone = first_shown(&[("a", &place)]);
    assert!(alone.is_some_and(|n| n > 1), "{alone:?}");
}

#[test]
fn a_table_that_missed_the_founding_report_comes_to_the_same_number() {
    let (mut one, mut other) = (Site::new(&["a", "b"]), Site::new(&["b", "a"]));
    let place = [(1.0, 1.0)];
    one.see(&[("a", &place), ("b", &place)]);
    other.see(&[]);
    let mut numbers = Vec::new();
    for _ in 0..10 {
        let mut names = Vec::new();
        // Each table hears the other's name for the person with the other's report.
        for (mine, own) in [(&mut one, "a"), (&mut other, "b")] {
            names.push((own, mine.fusion.name_of(&camera(own), 1)));
            mine.now_ms += STEP_MS;
        }
        let now_ms = one.now_ms;
        for site in [&mut one, &mut other] {
            for (name, global_id) in &names {
                let report = Sight { global_id: *global_id, ..sight(1, 1.0, 1.0, now_ms) };
                site.fusion.take(&camera(name), report, now_ms);
            }
            site.fusion.step(now_ms);
        }
        numbers = [&one, &other].iter().flat_map(|s| s.fusion.at(now_ms)).map(|p| p.global_id).collect();
    }
    assert_eq!(numbers.len(), 2);
    assert_eq!(numbers[0], numbers[1]);
}

#[test]
fn a_number_outlives_the_camera_that_made_it_and_a_short_absence() {
    let mut site = Site::new(&["a", "b", "c"]);
    let at = |i: i32| [(0.24 * f64::from(i), 0.0)];
    let mut number = 0;
    for i in 0..10 {
        number = site.see(&[("a", &at(i)), ("b", &at(i))])[0].global_id;
    }
    // Out of everybody's sight for a second, then in the view of another camera alone.
    for _ in 10..15 {
        site.see(&[("c", &[(20.0, 20.0)])]);
    }
    let mut seen = Vec::new();
    for i in 15..25 {
        seen = site.see(&[("c", &[(20.0, 20.0), at(i)[0]])]);
    }
    assert!(seen.iter().any(|p| p.global_id == number && p.position_m.x < 10.0), "{seen:?}");
}

#[test]
fn two_who_come_close_stay_two_while_a_camera_tells_them_apart_and_become_one_where_none_does() {
    let run = |told_apart: bool| {
        let mut site = Site::new(&["a", "b"]);
        let (one, other) = ((0.0, 0.0), (0.3, 0.0));
        let mut seen = Vec::new();
        for i in 0..30 {
            // They begin apart, each seen by a camera of its own.
            let apart = 3.0 - 0.2 * f64::from(i.min(15));
            let far = (other.0 + apart, other.1);
            seen = if told_apart {
                site.see(&[("a", &[one, far]), ("b", &[one, far])])
            } else {
                site.see(&[("a", &[one]), ("b", &[far])])
            };
        }
        seen.len()
    };
    assert_eq!((run(true), run(false)), (2, 1));
}

#[test]
fn who_is_out_of_sight_does_not_give_their_number_to_somebody_whose_place_they_walk_through() {
    let mut site = Site::new(&["a", "b"]);
    let stands = (1.8, 0.0);
    // One walks towards another, who came later and stands there, and is not seen again.
    for i in 0..15 {
        let walks = (-3.0 + 0.24 * f64::from(i), 0.0);
        let both = [walks, stands];
        let here = if i < 5 { &both[..1] } else { &both[..] };
        site.see(&[("a", here), ("b", here)]);
    }
    let at_place = |seen: &[Person]| {
        seen.iter()
            .filter(|p| (p.position_m.x - stands.0).abs() < 0.1)
            .map(|p| p.global_id)
            .collect::<Vec<_>>()
    };
    let reports: Vec<_> =
        ["a", "b"].into_iter().map(|name| (name, sight(2, stands.0, stands.1, 0))).collect();
    let before = at_place(&site.fusion.at(site.now_ms));
    assert_eq!(before.len(), 1);
    for _ in 15..30 {
        site.now_ms += STEP_MS;
        for (name, report) in &reports {
            let report = Sight { captured_ms: site.now_ms, ..*report };
            site.fusion.take(&camera(name), report, site.now_ms + 20);
        }
        site.fusion.step(site.now_ms + 50);
        let seen = site.fusion.at(site.now_ms);
        assert!(at_place(&seen).contains(&before[0]), "{before:?} {seen:?}");
    }
}

#[test]
fn who_passed_for_another_when_two_met_gets_the_number_back_when_their_ways_show_it() {
    let mut site = Site::new(&["a", "b"]);
    // Two walk towards each other, and past; where they meet every camera takes one for the other.
    let at = |i: i32| {
        let x = -3.0 + 0.24 * f64::from(i);
        [(x, 0.15), (-x, -0.15)]
    };
    let mut first = BTreeMap::new();
    let mut seen = Vec::new();
    for i in 0..26 {
        let [one, other] = at(i);
        let ways = if i == 13 { [other, one] } else { [one, other] };
        seen = site.see(&[("a", &ways), ("b", &ways)]);
        if i == 8 {
            first = seen.iter().map(|p| (p.position_m.y > 0.0, p.global_id)).collect();
        }
    }
    let last: BTreeMap<_, _> = seen.iter().map(|p| (p.position_m.y > 0.0, p.global_id)).collect();
    assert_eq!((first.len(), &last), (2, &first));
}

#[test]
fn who_is_gone_for_too_long_comes_back_as_somebody_new() {
    let mut site = Site::new(&["a", "b"]);
    let mut number = 0;
    for _ in 0..10 {
        number = site.see(&[("a", &[(0.0, 0.0)]), ("b", &[(0.0, 0.0)])])[0].global_id;
    }
    let elsewhere = [(9.0, 9.0)];
    for _ in 0..25 {
        let seen = site.see(&[("a", &elsewhere), ("b", &elsewhere)]);
        assert!(seen.iter().all(|p| p.global_id != number), "{seen:?}");
    }
    let seen = site.see(&[("a", &[(9.0, 9.0), (0.0, 0.0)]), ("b", &[(9.0, 9.0), (0.0, 0.0)])]);
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|p| p.global_id != number));
}

#[test]
fn a_liar_is_muted_within_ten_seconds_and_heard_again_after_a_time_of_good_behaviour() {
    let mut site = Site::new(&["a", "b", "c", "d"]);
    let at = |i: i32| [(0.05 * f64::from(i % 100), 0.0), (-4.0, 3.0), (6.0, -5.0), (9.0, 9.0)];
    let standing = |site: &Site| site.fusion.cameras().into_iter().find(|c| c.camera == camera("d")).unwrap();
    for i in 0..50 {
        let lie = at(i).map(|(x, y)| (x + 1.8, y + 2.4));
        let seen = site.see(&[("a", &at(i)), ("b", &at(i)), ("c", &at(i)), ("d", &lie)]);
        assert_eq!(seen.len(), 4, "{i}");
    }
    assert!(standing(&site).muted_ms.is_some_and(|ms| ms <= BEGIN_MS + 10_000), "{:?}", standing(&site));
    for i in 50..250 {
        site.see(&[("a", &at(i)), ("b", &at(i)), ("c", &at(i)), ("d", &at(i))]);
    }
    assert_eq!(standing(&site).muted_ms, None);
}

#[test]
fn a_calibration_that_is_a_little_off_is_found_and_told() {
    let mut site = Site::new(&["a", "b", "c", "d"]);
    let at = |i: i32| [(0.05 * f64::from(i), 0.0), (-4.0, 3.0 - 0.05 * f64::from(i))];
    for i in 0..200 {
        let off = at(i).map(|(x, y)| (x + 0.4, y));
        site.see(&[("a", &at(i)), ("b", &at(i)), ("c", &at(i)), ("d", &off)]);
    }
    let cameras = site.fusion.cameras();
    let bias = |name: &str| cameras.iter().find(|c| c.camera == camera(name)).unwrap().bias_m;
    assert!((bias("d").x - bias("a").x - 0.4).abs() < 0.15, "{cameras:?}");
}

#[test]
fn a_clock_that_is_ahead_shows_in_its_arrivals_and_is_put_right() {
    let mut fusion = Fusion::new(Options::default(), &camera("a"));
    for i in 0..50 {
        let now_ms = BEGIN_MS + i * STEP_MS;
        for (name, ahead_ms) in [("a", 0), ("b", 0), ("c", 0), ("d", 180), ("e", 0)] {
            fusion.take(&camera(name), sight(1, 0.24 * i as f64, 0.0, now_ms + ahead_ms), now_ms + 30);
        }
        fusion.step(now_ms + 50);
    }
    let d = fusion.cameras().into_iter().find(|c| c.camera == camera("d")).unwrap();
    assert!((d.clock_s - 0.18).abs() < 0.01, "{d:?}");
    assert_eq!(fusion.at(BEGIN_MS + 49 * STEP_MS).len(), 1);
}

#[test]
fn what_comes_after_the_window_changes_nothing_and_is_counted() {
    let mut site = Site::new(&["a", "b"]);
    for i in 0..50 {
        site.see(&[("a", &[(0.1 * f64::from(i), 0.0)]), ("b", &[(0.1 * f64::from(i), 0.0)])]);
    }
    let before = site.fusion.at(site.now_ms);
    site.fusion.take(&camera("b"), sight(9, 0.0, 5.0, site.now_ms - 5_000), site.now_ms);
    site.fusion.take(&camera("b"), sight(9, 0.0, 5.0, site.now_ms + 60_000), site.now_ms);
    site.fusion.step(site.now_ms + 50);
    assert_eq!(site.fusion.at(site.now_ms), before);
    assert_eq!((site.fusion.counters().late, site.fusion.counters().early), (1, 1));
}

#[test]
fn a_flood_of_cameras_tracks_and_people_stays_within_its_bounds_and_pushes_nobody_out() {
    let options = Options { people_max: 100, ..Options::default() };
    let mut fusion = Fusion::new(options, &camera("a"));
    for step in 0..5 {
        let now_ms = BEGIN_MS + step * STEP_MS;
        for name in ["a", "b"] {
            fusion.take(&camera(name), sight(1, 0.0, 0.0, now_ms), now_ms);
        }
        for i in 0..2_000u32 {
            let place = f64::from(i);
            fusion.take(&camera(&format!("made-up-{step}-{i}")), sight(1, place, 9.0, now_ms), now_ms);
            fusion.take(&camera("b"), sight(2 + i, place, 5.0, now_ms), now_ms);
        }
        fusion.step(now_ms);
        assert!(fusion.len() <= 100 && fusion.cameras().len() <= CAMERAS_MAX);
    }
    let last_ms = BEGIN_MS + 4 * STEP_MS;
    assert!(fusion.at(last_ms).iter().any(|p| p.position_m.norm() < 0.1));
    assert!(fusion.counters().over_limit > 10_000, "{:?}", fusion.counters());
}

/// Frames of three cameras and four people, five a second; at the last one somebody comes up where one did before.
fn reports(frames: std::ops::Range<i32>) -> Vec<(&'static str, Sight)> {
    let mut all = Vec::new();
    for i in frames {
        let t = f64::from(i);
        for (name, phase_ms) in [("a", 0), ("b", 30), ("c", 70)] {
            for (track, (x, y)) in
                [(t * 0.2, 0.0), (3.0, t * 0.2), (0.9, 0.1 * t), (-4.0, -4.0)].into_iter().enumerate()
            {
                let at_ms = BEGIN_MS + i64::from(i) * STEP_MS + phase_ms;
                all.push((name, sight(track as u32 + 1, x, y, at_ms)));
            }
            if i == 3 {
                all.push((name, sight(5, -1.0, -1.5, BEGIN_MS + i64::from(i) * STEP_MS + phase_ms)));
            }
        }
    }
    all
}

proptest! {
    #[test]
    fn the_order_of_reports_and_repetitions_change_nothing_within_the_window(
        order in Just((0..51usize).collect::<Vec<_>>()).prop_shuffle(),
        again in proptest::collection::vec(0..51usize, 0..20),
        cuts in proptest::collection::vec(0..71usize, 0..6),
    ) {
        let all = reports(0..4);
        let now_ms = BEGIN_MS + 900;
        let run = |order: &[usize], cuts: &[usize]| {
            let mut fusion = Fusion::new(Options::default(), &camera("a"));
            // Known from the start, as by their presence.
            for name in ["a", "b", "c"] {
                fusion.set_footprint(&camera(name), square(30.0).as_ref(), BEGIN_MS);
            }
            // How these go on who came up a second ago is learned in what is mixed up below.
            for (name, report) in reports(-5..0) {
                fusion.take(&camera(name), report, report.captured_ms + 20);
                fusion.step(report.captured_ms + 20);
            }
            for (n, &i) in order.iter().enumerate() {
                fusion.take(&camera(all[i].0), all[i].1, all[i].1.captured_ms + 20);
                if cuts.contains(&n) {
                    fusion.step(now_ms);
                }
            }
            fusion.step(now_ms);
            fusion.at(now_ms)
        };
        let plain = run(&(0..51).collect::<Vec<_>>(), &[]);
        prop_assert_eq!(plain.len(), 5);
        let new = plain.iter().find(|p| p.position_m.y < -1.0 && p.position_m.y > -2.0);
        prop_assert!(new.is_some_and(|p| p.velocity_mps.x > 0.05), "as who came up there: {:?}", new);
        let mixed: Vec<usize> = order.iter().chain(&again).copied().collect();
        prop_assert_eq!(run(&mixed, &cuts), plain);
    }

    #[test]
    fn whatever_peers_say_every_number_that_leaves_is_one_and_names_stay_below_2_to_the_53(
        said in proptest::collection::vec(
            (0..4u8, 0..6u32,
             prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(1e300), -1e6..1e6f64, -3.0..3.0f64],
             prop_oneof![Just(f64::NAN), Just(-1.0), Just(0.0), Just(1e12), 0.0..1.0f64],
             prop_oneof![Just(f64::NAN), Just(2.0), 0.0..1.0f64],
             -4_000..4_000i64, proptest::option::of(0..1u64 << 53)),
            0..120),
    ) {
        let mut fusion = Fusion::new(Options::default(), &camera("a"));
        for (n, (who, track_id, x, variance, confidence, off_ms, global_id)) in said.into_iter().enumerate() {
            let now_ms = BEGIN_MS + n as i64 * 20;
            let report = Sight {
                cov_m2: [variance, 0.7 * variance, variance],
                confidence,
                captured_ms: now_ms + off_ms,
                global_id,
                ..sight(track_id, x, -x, 0)
            };
            fusion.take(&camera(["a", "b", "c", "d"][usize::from(who)]), report, now_ms);
            if n % 3 == 0 {
                fusion.step(now_ms);
            }
            for p in fusion.at(now_ms) {
                let numbers = [p.position_m.x, p.position_m.y, p.velocity_mps.x, p.velocity_mps.y, p.cov_m2[0], p.cov_m2[1], p.cov_m2[2], p.existence];
                prop_assert!(numbers.iter().all(|v| v.is_finite()), "{p:?}");
                prop_assert!(p.global_id < 1 << 53 && p.cov_m2[0] > 0.0 && p.cov_m2[2] > 0.0, "{p:?}");
            }
        }
        prop_assert!(fusion.cameras().iter().all(|c| c.bias_m.is_finite() && c.noise.is_finite()));
    }
}

#[test]
fn who_comes_in_right_behind_another_is_not_taken_for_them_once_it_is_known_how_people_come_in() {
    // Two frames a second, and cameras whose tracks say nothing: at every frame each is another.
    let mut track_id = 0;
    let mut see = |site: &mut Site, places: &[f64]| {
        site.now_ms += 500;
        for name in ["a", "b", "c"] {
            for &x in places {
                track_id += 1;
                let report = Sight { cov_m2: [0.005, 0.0, 0.005], ..sight(track_id, x, 0.0, site.now_ms) };
                site.fusion.take(&camera(name), report, site.now_ms + 20);
            }
        }
        site.fusion.step(site.now_ms + 50);
        let at = |x: f64| move |p: &Person| (p.position_m.x - x).abs() < 0.3;
        let seen = site.fusion.at(site.now_ms);
        places.iter().map(|&x| seen.iter().find(|p| at(x)(p)).map(|p| p.global_id)).collect::<Vec<_>>()
    };
    let walk = |first: i32, frame: i32| 0.7 * f64::from(frame - first);
    let mut first_keeps_number = |those_before: usize| {
        let mut site = Site::new(&["a", "b", "c"]);
        for _ in 0..those_before {
            (0..6).for_each(|frame| _ = see(&mut site, &[walk(0, frame)]));
            // Until they are gone; somebody far away is seen.
            (0..10).for_each(|_| _ = see(&mut site, &[40.0]));
        }
        let alone = see(&mut site, &[walk(0, 0)]);
        let mut both = Vec::new();
        for frame in 1..5 {
            both = see(&mut site, &[walk(0, frame), walk(1, frame)]);
            assert!(alone[0].is_some() && both.iter().all(Option::is_some), "{alone:?} {both:?}");
        }
        both[0] == alone[0]
    };
    assert!(!first_keeps_number(0), "by places alone it can't be told");
    assert!(first_keeps_number(5));
    // And who goes out where many came in is still one person.
    let mut site = Site::new(&["a", "b", "c"]);
    for _ in 0..50 {
        (0..6).for_each(|frame| _ = see(&mut site, &[walk(0, frame)]));
        (0..10).for_each(|_| _ = see(&mut site, &[40.0]));
    }
    let number = see(&mut site, &[0.0]);
    assert!(number[0].is_some());
    (1..6).for_each(|frame| assert_eq!(see(&mut site, &[walk(frame, 0)]), number, "{frame}"));
}
