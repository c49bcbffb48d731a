//! What the tracker does with objects that cross, hide, stop, and with detectors that fail.

use std::collections::BTreeSet;

use super::*;
use crate::base::CountingIds;
use crate::model::{BBox, Class, Look};
use proptest::prelude::*;
use std::time::Duration;

/// The picture, wide enough that nothing is near its ends unless a test wants it.
const VIEW: Size = Size { width: 10_000, height: 1_000 };

struct Run {
    tracker: Tracker,
    ids: CountingIds,
    now: Time,
    dt: Duration,
}

impl Run {
    fn at_fps(fps: f64) -> Self {
        let dt = Duration::from_secs_f64(1.0 / fps);
        Self {
            tracker: Tracker::new(Options::default()),
            ids: CountingIds::default(),
            now: Time::default(),
            dt,
        }
    }

    fn step(&mut self, detections: &[Detection]) -> Vec<u32> {
        self.now = self.now + self.dt;
        self.tracker.step(detections, VIEW, self.now, &mut self.ids);
        self.tracker.tracks().iter().map(|t| t.id).collect()
    }
}

fn person(x: f64, score: f64) -> Detection {
    Detection { bbox: BBox::new(x, 100.0, 30.0, 80.0), class: Class::Person, score }
}

#[test]
fn a_track_is_reported_from_its_third_sure_hit_on() {
    let mut run = Run::at_fps(10.0);
    assert!(run.step(&[person(0.0, 0.97)]).is_empty());
    assert!(run.step(&[person(2.0, 0.97)]).is_empty());
    assert_eq!(run.step(&[person(4.0, 0.97)]), [1]);
}

#[test]
fn doubtful_hits_confirm_later_than_sure_ones() {
    let mut run = Run::at_fps(10.0);
    let first = (1..30).find(|_| !run.step(&[person(0.0, 0.5)]).is_empty());
    assert!(first.is_some_and(|hits| (15..30).contains(&hits)), "{first:?}");
}

/// A car of unknown class that drives down the picture at 6 of its widths a second, as it is at this time.
fn car(t: f64) -> Detection {
    let class = Class::Unknown;
    Detection { bbox: BBox::new(400.0, 360.0 * t, 60.0, 40.0), class, score: 0.97 }
}

/// Light on the ground, of unknown class.
fn ghost(x: f64) -> Detection {
    Detection { bbox: BBox::new(x, 500.0, 60.0, 40.0), class: Class::Unknown, score: 0.97 }
}

#[test]
fn a_fast_car_is_confirmed_while_it_crosses_the_picture_at_any_frame_rate() {
    for fps in [15.0, 25.0, 60.0] {
        let mut run = Run::at_fps(fps);
        let seen = (0..(1.2 * fps) as u32).find(|i| !run.step(&[car(f64::from(*i) / fps)]).is_empty());
        let after_s = seen.map(|frame| f64::from(frame) / fps);
        assert!(after_s.is_some_and(|s| s < 0.4), "{fps}: {after_s:?}");
    }
}

#[test]
fn what_flashes_up_for_a_second_is_confirmed_at_no_frame_rate_unless_it_is_of_a_known_class() {
    for fps in [5.0, 15.0, 25.0, 60.0] {
        let (mut run, mut confirmed) = (Run::at_fps(fps), BTreeSet::new());
        for i in 0..=(fps as u32) {
            let t = f64::from(i) / fps;
            confirmed.extend(run.step(&[ghost(100.0 + 2.0 * (40.0 * t).sin()), person(2_000.0, 0.97)]));
        }
        assert_eq!(confirmed.into_iter().collect::<Vec<_>>(), [1], "{fps}");
    }
}

#[test]
fn a_thing_of_unknown_class_that_stays_is_confirmed_after_two_seconds_though_it_is_missed_at_times() {
    for fps in [15.0, 25.0, 60.0] {
        let mut run = Run::at_fps(fps);
        let mut step = |i: &u32| {
            let all = [ghost(100.0)];
            !run.step(if i % 10 == 9 { &[] } else { &all }).is_empty()
        };
        let after_s = (0..(4.0 * fps) as u32).find(&mut step).map(|frame| f64::from(frame) / fps);
        assert!(after_s.is_some_and(|s| (1.9..2.3).contains(&s)), "{fps}: {after_s:?}");
    }
}

#[test]
fn where_what_stands_moves_on_later_it_is_confirmed_at_once() {
    let mut run = Run::at_fps(10.0);
    // Parked cars that drive off after a second, one after the other.
    for x in [0.0, 1_000.0, 2_000.0, 3_000.0] {
        for i in 0..20 {
            run.step(&[ghost(x + 2.0 * f64::from((i - 10).max(0)).powi(2))]);
        }
        (0..10).for_each(|_| drop(run.step(&[])));
    }
    let parked = (1..20).find(|_| run.tracker.tracks().len() < run.step(&[ghost(6_000.0)]).len());
    assert_eq!(parked, Some(3));
}

#[test]
fn a_higher_frame_rate_confirms_no_sooner() {
    let [at_30, at_60, at_240] = [30.0, 60.0, 240.0].map(|fps| {
        let mut run = Run::at_fps(fps);
        let first = (1..200).find(|_| !run.step(&[person(0.0, 0.97)]).is_empty());
        f64::from(first.unwrap_or(0) - 1) / fps
    });
    assert!((at_30 - 2.0 / 30.0).abs() < 1e-9, "{at_30}");
    assert!(at_60 >= 0.05 && at_240 >= 0.05, "{at_60} {at_240}");
}

#[test]
fn tiny_boxes_at_the_edge_end_once_the_sizes_of_tracks_are_known_and_persons_far_away_stay() {
    let mut run = Run::at_fps(10.0);
    let mut reported = Vec::new();
    for frame in 0..600 {
        // Every two seconds a person crosses, 60 to 110 pixels tall.
        let (walker, x) = (frame / 20, 40.0 * f64::from(frame % 20));
        let tall = 60.0 + f64::from(walker * 37 % 50);
        let body = BBox::new(3_000.0 + x, 500.0 + f64::from(walker % 5) * 20.0, 0.4 * tall, tall);
        let sway = f64::from(frame * 7_919 % 13) / 13.0;
        let place = |x: f64, y: f64, side: f64| BBox::new(x, y, side, side);
        let tiny =
            [place(0.0, 300.0 + sway, 4.0), place(9_996.0 - sway, 700.0, 4.0), place(5_000.0, 996.0, 4.0)];
        // Far away: small, and nowhere near the edge; and a strip of a body that the edge cuts.
        let far = BBox::new(7_000.0 + sway, 300.0, 4.0, 10.0);
        let cut = BBox::new(0.0, 600.0, 5.0 + sway, 80.0);
        let all: Vec<_> = tiny
            .into_iter()
            .chain([body, far, cut])
            .map(|bbox| Detection { bbox, ..person(0.0, 0.9) })
            .collect();
        run.step(&all);
        let sizes: Vec<f64> = run.tracker.tracks().iter().map(|t| t.bbox.height).collect();
        let count = |from: f64, to: f64| sizes.iter().filter(|s| (from..to).contains(*s)).count();
        reported.push([count(0.0, 6.0), count(8.0, 12.0), count(78.0, 82.0).min(1)]);
    }
    assert_eq!(reported[100], [3, 1, 1]);
    assert!(reported[450..].iter().all(|counts| *counts == [0, 1, 1]), "{:?}", &reported[440..460]);
}

#[test]
fn a_view_that_moves_is_followed() {
    // A pan of 0.3 heights a frame, to the right and back, over people who stand.
    let crowd =
        |pan: f64| -> Vec<Detection> { (0..6).map(|i| person(pan + 200.0 * f64::from(i), 0.97)).collect() };
    let pan = |frame: i32| 24.0 * f64::from(if frame % 40 < 20 { frame % 40 } else { 40 - frame % 40 });
    let mut run = Run::at_fps(10.0);
    let mut ids = BTreeSet::new();
    for frame in 0..120 {
        ids.extend(run.step(&crowd(pan(frame))));
    }
    assert_eq!(ids.len(), 6, "{ids:?}");
}

#[test]
fn a_tentative_track_ends_at_its_first_miss_and_uses_no_id() {
    let mut run = Run::at_fps(10.0);
    run.step(&[person(0.0, 0.97)]);
    run.step(&[person(0.0, 0.97)]);
    run.step(&[]);
    assert!(run.step(&[person(0.0, 0.97)]).is_empty());
    assert!(run.tracker.ended().is_empty());
    run.step(&[person(0.0, 0.97)]);
    assert_eq!(run.step(&[person(0.0, 0.97)]), [1]);
}

#[test]
fn what_is_detected_is_sighted_at_once_and_gets_its_own_id_when_it_is_confirmed() {
    let mut run = Run::at_fps(10.0);
    let mut sighted = Vec::new();
    for x in [0.0, 2.0, 4.0, 9.0] {
        run.step(&[person(x, 0.97)]);
        let [sighting] = run.tracker.sightings() else { panic!("{:?}", run.tracker.sightings()) };
        // Where it was detected, and not where the filter has it.
        assert_eq!(sighting.foot.position, person(x, 0.97).bbox.foot());
        sighted.push((sighting.track, run.tracker.lapsed().to_vec()));
    }
    let first = sighted[0].0;
    assert!(first > UNCONFIRMED_IDS);
    assert_eq!(sighted, [(first, vec![]), (first, vec![]), (1, vec![first]), (1, vec![])]);
    // Unseen is no sighting.
    run.step(&[]);
    assert!(run.tracker.sightings().is_empty() && run.tracker.lapsed().is_empty());
}

#[test]
fn a_sighting_that_is_not_seen_again_lapses_once() {
    let mut run = Run::at_fps(10.0);
    run.step(&[person(0.0, 0.97)]);
    let sighted = run.tracker.sightings()[0].track;
    let lapsed: Vec<_> = (0..3)
        .map(|_| {
            run.step(&[]);
            run.tracker.lapsed().to_vec()
        })
        .collect();
    assert_eq!(lapsed, [vec![sighted], vec![], vec![]]);
}

#[test]
fn a_lost_track_keeps_its_id_for_30_frames_and_then_ends() {
    let sure = [person(50.0, 0.97)];
    for (gap, id) in [(30, 1), (31, 2)] {
        let mut run = Run::at_fps(10.0);
        (0..20).for_each(|_| drop(run.step(&sure)));
        let ended: Vec<u32> = (0..gap)
            .flat_map(|_| {
                run.step(&[]);
                run.tracker.ended().to_vec()
            })
            .collect();
        assert_eq!(ended.is_empty(), id == 1, "{gap}");
        (0..2).for_each(|_| drop(run.step(&sure)));
        assert_eq!(run.step(&sure), [id], "{gap}");
    }
}

#[test]
fn a_walk_keeps_its_id_at_any_frame_rate_and_over_dropped_frames() {
    for fps in [3.0, 7.0, 15.0, 30.0, 60.0] {
        let mut run = Run::at_fps(fps);
        let mut seen = std::collections::BTreeSet::new();
        for frame in 0..(20.0 * fps) as u32 {
            let t = f64::from(frame) / fps;
            if frame > 20 && frame % 4 == 1 {
                // The frame never arrives: the next step is twice as long.
                run.now = run.now + run.dt;
                continue;
            }
            seen.extend(run.step(&[person(20.0 * t, 0.97), person(500.0 - 20.0 * t, 0.97)]));
        }
        assert!(seen.len() <= 2, "{fps}: {seen:?}");
    }
}

#[test]
fn classes_that_exclude_each_other_are_not_one_track() {
    let mut run = Run::at_fps(10.0);
    (0..5).for_each(|_| drop(run.step(&[person(0.0, 0.97)])));
    let car = Detection { class: Class::Vehicle, ..person(0.0, 0.97) };
    assert!(run.step(&[car]).is_empty());
    let unsure = Detection { class: Class::Unknown, ..person(0.0, 0.97) };
    assert_eq!(run.step(&[unsure]), [1]);
}

#[test]
fn boxes_that_are_no_boxes_are_left_out_and_counted() {
    let mut run = Run::at_fps(10.0);
    let broken = [(f64::NAN, 1.0, 1.0), (1.0, f64::INFINITY, 1.0), (1.0, -3.0, 5.0), (1.0, 0.0, 0.0)];
    let bad = broken.map(|(left, width, height)| Detection {
        bbox: BBox::new(left, 0.0, width, height),
        ..person(0.0, 0.9)
    });
    run.step(&bad);
    assert_eq!(run.tracker.detections_left_out(), 4);
}

#[test]
fn a_flood_of_detections_is_bounded_and_counted() {
    let mut run = Run::at_fps(10.0);
    let flood: Vec<_> = (0..3 * OBJECTS_MAX).map(|i| person(100.0 * i as f64, 0.9)).collect();
    run.step(&flood);
    assert_eq!(run.tracker.tracklets.len(), OBJECTS_MAX);
    assert_eq!(run.tracker.detections_left_out(), 2 * OBJECTS_MAX as u64);
}

#[test]
fn five_thousand_boxes_a_frame_are_bounded_and_the_surest_are_followed() {
    let mut run = Run::at_fps(10.0);
    for frame in 0..20 {
        let jitter = |i: u32| f64::from((i * 7_919 + frame * 31) % 1_009);
        let junk = (0..5_000).map(|i| person(jitter(i) * 9.0, 0.3 + jitter(i) / 5_000.0));
        let all: Vec<_> = junk.chain([person(9_500.0 + f64::from(frame), 0.97)]).collect();
        run.step(&all);
        assert!(run.tracker.tracklets.len() <= OBJECTS_MAX && run.tracker.tracks().len() <= OBJECTS_MAX);
    }
    assert!(run.tracker.tracks().iter().any(|t| t.bbox.left > 9_400.0));
}

#[test]
fn scores_that_are_no_probabilities_give_probabilities_or_no_tracks() {
    // Above one, all alike, all tiny, negative: (least, greatest), and whether it is followed.
    for (from, to, followed) in
        [(20.0, 139.0, true), (1.0, 1.0, true), (0.5, 0.5, true), (1e-9, 1e-6, false), (-3.0, -0.1, false)]
    {
        let mut run = Run::at_fps(10.0);
        for frame in 0..200 {
            let score = from + (to - from) * f64::from(frame * 7 % 10) / 9.0;
            run.step(&[person(2.0 * f64::from(frame), score), person(4_000.0, score)]);
            let sane =
                |t: &Track| (0.5..=1.0).contains(&t.confidence) && t.foot.cov.iter().all(|x| x.is_finite());
            assert!(run.tracker.tracks().iter().all(sane), "{from}: {:?}", run.tracker.tracks());
        }
        let ids: Vec<u32> = run.tracker.tracks().iter().map(|t| t.id).collect();
        assert_eq!(ids, if followed { vec![1, 2] } else { vec![] }, "{from}");
    }
}

#[test]
fn two_detectors_in_turn_on_one_stream_keep_the_ids() {
    let mut run = Run::at_fps(10.0);
    let mut ids = BTreeSet::new();
    for frame in 0..300 {
        let x = 2.0 * f64::from(frame);
        // One gives scores near one, the other half of that, other boxes, and no class.
        let [sure, modest] = [(0.97, 0.0, Class::Person), (0.45, 3.0, Class::Unknown)];
        let (score, off, class) = if frame % 2 == 0 { sure } else { modest };
        let body = |x: f64| Detection {
            bbox: BBox::new(x + off, 100.0 - off, 30.0 - off, 80.0 + off),
            class,
            score,
        };
        ids.extend(run.step(&[body(x), body(3_000.0 - x)]));
    }
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(run.tracker.tracks().len(), 2);
}

#[test]
fn a_frame_rate_that_is_wrong_by_ten_keeps_the_ids_of_walkers() {
    for wrong in [0.1, 10.0] {
        let mut run = Run::at_fps(10.0 * wrong);
        let (mut ids, mut reported) = (BTreeSet::new(), 0);
        for frame in 0..200 {
            let x = 3.0 * f64::from(frame);
            let seen = run.step(&[person(x, 0.97), person(3_000.0 - x, 0.97)]);
            reported += seen.len();
            ids.extend(seen);
        }
        assert_eq!(ids.len(), 2, "{wrong}");
        assert!(reported > 350, "{wrong}: {reported}");
    }
}

#[test]
fn the_ground_position_of_a_walk_is_near_its_foot() {
    let mut run = Run::at_fps(10.0);
    for i in 0..30 {
        run.step(&[person(f64::from(i) * 2.0, 0.97)]);
    }
    let foot = run.tracker.tracks()[0].foot;
    assert!(foot.position.distance(crate::model::Point::new(58.0 + 15.0, 180.0)) < 1.0, "{foot:?}");
    assert!((foot.velocity.x - 20.0).abs() < 2.0 && foot.velocity.y.abs() < 2.0, "{foot:?}");
}

/// `people` who walk to and fro in a dense crowd, some missed, some seen double, some wholly false.
fn crowd(people: u32, frame: u32) -> Vec<Detection> {
    // Small even numbers that look like noise (Knuth's multiplicative hash).
    let chance = |i: u32, salt: u32| (i * 7919 + frame * 104_729 + salt).wrapping_mul(2_654_435_761) >> 22;
    (0..people)
        .flat_map(|i| {
            let step = f64::from(frame.min(120 - frame)) * f64::from(i % 7) / 3.0;
            let (x, y) = (f64::from(i * 37 % 1900) + step, f64::from(i * 53 % 1000));
            let seen = Detection { bbox: BBox::new(x, y, 24.0, 60.0), ..person(0.0, 0.97) };
            let noise = Detection { bbox: BBox::new(y, x / 2.0, 24.0, 60.0), ..person(0.0, 0.6) };
            [(chance(i, 1) > 50).then_some(seen), (chance(i, 2) < 50).then_some(noise)]
        })
        .flatten()
        .collect()
}

#[test]
fn nothing_is_allocated_once_the_tables_have_grown() {
    for people in [40, 950] {
        let frames: Vec<_> = (0..120).map(|frame| crowd(people, frame)).collect();
        let mut run = Run::at_fps(10.0);
        let mut play = || {
            for (i, frame) in frames.iter().enumerate() {
                run.now = run.now + run.dt;
                // Everybody leaves for a moment and comes back.
                let detections: &[_] = if i % 50 == 30 { &[] } else { frame };
                run.tracker.step(detections, VIEW, run.now, &mut run.ids);
            }
        };
        (0..3).for_each(|_| play());
        let info = allocation_counter::measure(play);
        assert_eq!(info.count_total, 0, "{people}");
        assert!(run.tracker.tracks().len() > people as usize / 2, "{}", run.tracker.tracks().len());
    }
}

#[test]
fn a_thousand_in_one_place_are_paired_and_bounded() {
    let mut run = Run::at_fps(10.0);
    let heap = |frame: u32| -> Vec<_> {
        let jitter = |i: u32| f64::from((i * 7919 + frame * 31) % 13);
        (0..1_000).map(|i| person(jitter(i), 0.97)).collect()
    };
    let seen: Vec<_> = (0..5).map(|frame| run.step(&heap(frame)).len()).collect();
    assert_eq!(seen, [0, 0, 1_000, 1_000, 1_000]);
}

#[test]
fn two_people_who_cross_keep_their_ids() {
    let mut run = Run::at_fps(15.0);
    let walker = |x: f64, y: f64| Detection { bbox: BBox::new(x, y, 30.0, 80.0), ..person(0.0, 0.97) };
    let mut last = Vec::new();
    for i in 0..120 {
        let x = f64::from(i) * 3.0;
        last = run.step(&[walker(x, 100.0), walker(360.0 - x, 110.0)]);
    }
    assert_eq!(last, [1, 2]);
    let velocities = [run.tracker.tracks()[0], run.tracker.tracks()[1]].map(|t| t.foot.velocity.x);
    assert!(velocities[0] * velocities[1] < 0.0, "{velocities:?}");
    assert!(run.tracker.tracks()[0].bbox.left > run.tracker.tracks()[1].bbox.left);
}

#[test]
fn a_walker_hidden_for_two_seconds_keeps_its_id_at_any_frame_rate() {
    for fps in [3.0, 7.0, 15.0, 30.0, 60.0] {
        let mut run = Run::at_fps(fps);
        let mut ids = std::collections::BTreeSet::new();
        for frame in 0..(10.0 * fps) as u32 {
            let t = f64::from(frame) / fps;
            let hidden = (5.0..7.0).contains(&t);
            // Others in the picture, so that it is wider than the walk.
            let mut seen = vec![person(600.0, 0.97)];
            if !hidden {
                seen.push(person(50.0 + 30.0 * t, 0.97));
            }
            ids.extend(run.step(&seen));
        }
        assert_eq!(ids.len(), 2, "{fps}");
    }
}

#[test]
fn who_leaves_at_the_edge_is_not_who_comes_in_there() {
    let mut run = Run::at_fps(10.0);
    let edge = f64::from(VIEW.width);
    let walk = |run: &mut Run, from: f64, to: f64| {
        let mut ids = std::collections::BTreeSet::new();
        for i in 0..=20 {
            ids.extend(run.step(&[person(from + (to - from) * f64::from(i) / 20.0, 0.97)]));
        }
        ids
    };
    let out = walk(&mut run, edge - 110.0, edge - 30.0);
    (0..8).for_each(|_| drop(run.step(&[])));
    let back = walk(&mut run, edge - 30.0, edge - 110.0);
    assert_eq!((out.into_iter().collect(), back.into_iter().collect()), (vec![1], vec![2]));
}

#[test]
fn who_comes_in_at_the_edge_keeps_one_id_while_the_box_is_still_cut() {
    for fps in [3.0, 10.0, 30.0] {
        let mut run = Run::at_fps(fps);
        let mut ids = std::collections::BTreeSet::new();
        for frame in 0..(6.0 * fps) as u32 {
            // The body comes in from the left; the picture shows what is right of zero.
            let right = 8.0 + 40.0 * f64::from(frame) / fps;
            let left = (right - 30.0).max(0.0);
            let cut = Detection { bbox: BBox::new(left, 100.0, right - left, 80.0), ..person(0.0, 0.97) };
            ids.extend(run.step(&[cut]));
        }
        assert_eq!(ids.len(), 1, "{fps}");
    }
}

#[test]
fn low_scores_are_followed_as_well_once_their_scale_is_known() {
    let mut run = Run::at_fps(10.0);
    (0..100).for_each(|i| drop(run.step(&[person(f64::from(i) * 3.0, 0.4)])));
    assert_eq!(run.tracker.tracks().len(), 1);
    // The next to come needs no longer than one who is seen clearly.
    let second = |x: f64| [person(300.0 + x, 0.4), person(2_000.0 + x, 0.4)];
    let after = (1..30).find(|i| run.step(&second(f64::from(*i) * 3.0)).len() == 2);
    assert!(after.is_some_and(|frames| frames <= 5), "{after:?}");
}

#[test]
fn the_confidence_rises_with_the_scores_and_is_a_probability() {
    let confidence = |score: f64| {
        let mut run = Run::at_fps(10.0);
        (0..60).for_each(|_| drop(run.step(&[person(100.0, score)])));
        run.tracker.tracks()[0].confidence
    };
    let all = [0.6, 0.9, 0.97, 1.0].map(confidence);
    assert!(all.is_sorted() && all.iter().all(|c| (0.5..1.0).contains(c)), "{all:?}");
}

#[test]
fn a_track_is_not_reported_while_it_is_likelier_not_there_and_keeps_its_id() {
    let mut run = Run::at_fps(10.0);
    for _ in 0..30 {
        run.step(&[person(100.0, 0.97)]);
    }
    let reported = (0..30).take_while(|_| run.step(&[person(100.0, 0.3)]) == [1]).count();
    assert!((3..20).contains(&reported), "{reported}");
    assert_eq!(run.tracker.ended(), [] as [u32; 0]);
    let hidden = (0..30).take_while(|_| run.step(&[person(100.0, 0.97)]).is_empty()).count();
    assert!(hidden < 10, "{hidden}");
    assert_eq!(run.step(&[person(100.0, 0.97)]), [1]);
}

#[test]
fn who_stops_and_goes_on_keeps_its_id() {
    let mut run = Run::at_fps(10.0);
    let mut ids = std::collections::BTreeSet::new();
    let (mut x, mut frame) = (50.0, 0);
    while frame < 200 {
        x += if (frame / 30) % 2 == 0 { 4.0 } else { 0.0 };
        frame += 1;
        ids.extend(run.step(&[person(x, 0.97)]));
    }
    assert_eq!(ids.len(), 1);
}

proptest! {
    #[test]
    fn the_order_of_detections_changes_nothing(
        frames in proptest::collection::vec(
            proptest::collection::vec((0.0..400.0f64, 0.0..200.0f64, 20.0..60.0f64, 0.3..1.0f64), 0..12), 1..40),
    ) {
        let (mut one, mut other) = (Run::at_fps(10.0), Run::at_fps(10.0));
        for frame in frames {
            let mut seen: Vec<Detection> = frame
                .iter()
                .map(|&(x, y, w, score)| Detection { bbox: BBox::new(x, y, w, 2.0 * w), ..person(0.0, score) })
                .collect();
            one.step(&seen);
            seen.reverse();
            other.step(&seen);
            prop_assert_eq!(one.tracker.tracks(), other.tracker.tracks());
        }
    }

    #[test]
    fn the_same_walks_at_another_pace_of_time_keep_their_ids(
        starts in proptest::collection::vec((0.0..400.0f64, -40.0..40.0f64), 1..6), fps in 5.0..30.0f64,
    ) {
        // A walk of 8 s, far from the others, seen at this rate and at twice the rate.
        let ids = [fps, 2.0 * fps].map(|fps| {
            let (mut run, mut last) = (Run::at_fps(fps), Vec::new());
            for frame in 0..(8.0 * fps) as u32 {
                let t = f64::from(frame) / fps;
                let walk = |(i, (x, v)): (usize, &(f64, f64))| person(1_000.0 * (1.0 + i as f64) + x + v * t, 0.97);
                last = run.step(&starts.iter().enumerate().map(walk).collect::<Vec<_>>());
            }
            last
        });
        // Reported by id: the same ones, whatever the order in which they were confirmed.
        prop_assert_eq!(&ids[0], &ids[1]);
        prop_assert_eq!(ids[0].len(), starts.len());
    }

    #[test]
    fn nothing_that_comes_in_makes_a_number_that_is_none(
        frames in proptest::collection::vec(
            proptest::collection::vec(
                (prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(1e300), Just(1e-300), -1e6..1e6f64, 0.0..9.0f64],
                 prop_oneof![Just(f64::NAN), Just(1e-300), Just(1e6), Just(-1.0), 1.0..50.0f64],
                 prop_oneof![Just(f64::NAN), Just(0.0), Just(1.0), 0.9..1.0f64]), 0..8), 1..30),
        dt_s in prop_oneof![Just(0.0), Just(1e9), 0.01..1.0f64],
    ) {
        let mut run = Run::at_fps(10.0);
        run.dt = Duration::from_secs_f64(dt_s);
        for frame in frames {
            let seen: Vec<Detection> = frame
                .iter()
                .map(|&(x, w, score)| Detection { bbox: BBox::new(x, x, w, w), ..person(0.0, score) })
                .collect();
            run.step(&seen);
            for t in run.tracker.tracks() {
                let b = t.bbox;
                prop_assert!([b.left, b.top, b.width, b.height].iter().all(|x| x.is_finite()), "{t:?}");
                prop_assert!(b.width > 0.0 && b.height > 0.0 && t.foot.cov.iter().all(|x| x.is_finite()), "{t:?}");
                prop_assert!((0.0..=1.0).contains(&t.confidence), "{t:?}");
            }
        }
    }
}

/// What a second look finds.
fn seen(class: Class, odds: f64) -> Look {
    Look { class, score: 0.5, odds }
}

fn nothing() -> Look {
    seen(Class::Unknown, -2.0)
}

#[test]
fn where_looks_are_required_detections_alone_confirm_nothing() {
    let mut run = Run::at_fps(10.0);
    run.tracker.require_looks(true);
    for _ in 0..600 {
        assert!(run.step(&[person(0.0, 0.99)]).is_empty());
    }
    let Due { number, bbox, .. } = run.tracker.next_look(run.now, true).unwrap();
    assert!(bbox.iou(person(0.0, 0.99).bbox) > 0.9);
    run.tracker.look(number, &seen(Class::Person, 2.3));
    assert_eq!(run.step(&[person(0.0, 0.99)]), [1]);
}

#[test]
fn a_thing_in_which_looks_find_nothing_is_never_confirmed_and_shown_to_no_other_camera() {
    let mut run = Run::at_fps(10.0);
    run.tracker.require_looks(true);
    let mut looks = 0;
    for frame in 0..600 {
        assert!(run.step(&[person(0.0, 0.99)]).is_empty());
        assert!(frame < 3 || run.tracker.sightings().is_empty(), "{frame}");
        if let Some(Due { number, .. }) = run.tracker.next_look(run.now, true) {
            run.tracker.look(number, &nothing());
            looks += 1;
        }
    }
    // Every four seconds in the end.
    assert!((16..24).contains(&looks), "{looks}");
    // It was half a person, and is a whole one now.
    let mut confirmed_after = 0;
    while run.step(&[person(0.0, 0.99)]).is_empty() {
        confirmed_after += 1;
        if let Some(Due { number, .. }) = run.tracker.next_look(run.now, true) {
            run.tracker.look(number, &seen(Class::Person, 2.3));
        }
    }
    assert!(confirmed_after <= 42, "{confirmed_after}");
}

#[test]
fn a_confirmed_track_ends_when_looks_go_on_finding_nothing() {
    let mut run = Run::at_fps(10.0);
    run.tracker.require_looks(true);
    let look = |run: &mut Run, look: &Look| {
        if let Some(Due { number, .. }) = run.tracker.next_look(run.now, true) {
            run.tracker.look(number, look);
        }
    };
    for _ in 0..20 {
        run.step(&[person(0.0, 0.99)]);
        look(&mut run, &seen(Class::Person, 4.0));
    }
    assert_eq!(run.step(&[person(0.0, 0.99)]), [1]);
    let ended = (0..300).find(|_| {
        run.step(&[person(0.0, 0.99)]);
        look(&mut run, &nothing());
        run.tracker.ended() == [1]
    });
    // The next look is due after ten seconds, then every two, and one does not end it.
    assert!(ended.is_some_and(|frames| (120..200).contains(&frames)), "{ended:?}");
    // What is left of it is not confirmed again.
    for _ in 0..100 {
        assert!(run.step(&[person(0.0, 0.99)]).is_empty());
        look(&mut run, &nothing());
    }
}

#[test]
fn a_track_is_called_what_looks_find_and_still_takes_its_detections() {
    let mut run = Run::at_fps(10.0);
    run.tracker.require_looks(true);
    for _ in 0..30 {
        run.step(&[person(0.0, 0.99)]);
        if let Some(Due { number, .. }) = run.tracker.next_look(run.now, true) {
            run.tracker.look(number, &seen(Class::Vehicle, 3.0));
        }
    }
    let [track] = run.tracker.tracks() else { panic!("{:?}", run.tracker.tracks()) };
    assert_eq!((track.id, track.class), (1, Class::Vehicle));
    assert!(track.hits > 25);
}

#[test]
fn what_moves_is_looked_at_again_sooner_than_what_stands() {
    let looks = |step: f64| {
        let mut run = Run::at_fps(10.0);
        run.tracker.require_looks(true);
        let looked = |frame: &i32| {
            run.step(&[person(f64::from(*frame) * step, 0.99)]);
            let due = run.tracker.next_look(run.now, true);
            due.is_some_and(|due| {
                run.tracker.look(due.number, &nothing());
                true
            })
        };
        (0..100).filter(looked).count()
    };
    assert!(looks(8.0) > 2 * looks(0.0), "{} {}", looks(8.0), looks(0.0));
}

#[test]
fn new_tracks_are_looked_at_before_old_ones_and_each_in_its_turn() {
    let mut run = Run::at_fps(10.0);
    let all = [person(0.0, 0.99), person(100.0, 0.99)];
    (0..5).for_each(|_| drop(run.step(&all)));
    let first = run.tracker.next_look(run.now, true).unwrap();
    let second = run.tracker.next_look(run.now, true).unwrap();
    assert_ne!(first.number, second.number);
    assert_eq!(run.tracker.next_look(run.now, true), None);
    for _ in 0..4 {
        run.step(&[all[0], all[1], person(200.0, 0.99)]);
    }
    let new = run.tracker.next_look(run.now, true).unwrap();
    assert!((new.bbox.left - 200.0).abs() < 5.0, "{new:?}");
    // Only new ones are asked for.
    assert_eq!(run.tracker.next_look(run.now, false), None);
    let again = run.tracker.next_look(run.now, true).unwrap();
    assert_eq!((again.number, again.looks), (first.number, 1));
}

#[test]
fn the_reported_box_lies_between_the_estimate_and_the_detection() {
    let mut run = Run::at_fps(10.0);
    (0..60).for_each(|_| drop(run.step(&[person(100.0, 0.97)])));
    run.step(&[person(106.0, 0.97)]);
    let estimated = run.tracker.tracklets[0].filter.bbox().left;
    let reported = run.tracker.tracks()[0].bbox.left;
    assert!(estimated < 105.0 && (reported - (estimated + 0.3 * (106.0 - estimated))).abs() < 1e-9);
}
