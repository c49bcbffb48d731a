//! What the tracker does with objects that cross, hide, stop, and with detectors that fail.

use super::*;
use crate::base::CountingIds;
use crate::model::Class;
use std::time::Duration;

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
        self.tracker.step(detections, self.now, &mut self.ids);
        self.tracker.tracks().iter().map(|t| t.id).collect()
    }
}

fn person(x: f64, score: f64) -> Detection {
    Detection { bbox: BBox::new(x, 100.0, 30.0, 80.0), class: Class::Person, score }
}

#[test]
fn a_track_is_reported_from_its_third_sure_hit_on() {
    let mut run = Run::at_fps(10.0);
    assert!(run.step(&[person(0.0, 0.95)]).is_empty());
    assert!(run.step(&[person(2.0, 0.95)]).is_empty());
    assert_eq!(run.step(&[person(4.0, 0.95)]), [1]);
}

#[test]
fn doubtful_hits_confirm_later_than_sure_ones() {
    let mut run = Run::at_fps(10.0);
    let first = (1..30).find(|_| !run.step(&[person(0.0, 0.5)]).is_empty());
    assert_eq!(first, Some(21));
}

#[test]
fn a_tentative_track_ends_at_its_second_miss_and_uses_no_id() {
    let mut run = Run::at_fps(10.0);
    run.step(&[person(0.0, 0.95)]);
    run.step(&[person(0.0, 0.95)]);
    run.step(&[]);
    run.step(&[]);
    assert!(run.step(&[person(0.0, 0.95)]).is_empty());
    assert!(run.tracker.ended().is_empty());
    run.step(&[person(0.0, 0.95)]);
    assert_eq!(run.step(&[person(0.0, 0.95)]), [1]);
}

#[test]
fn a_lost_track_keeps_its_id_for_30_frames_and_then_ends() {
    let sure = [person(50.0, 0.95)];
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
            seen.extend(run.step(&[person(20.0 * t, 0.95), person(500.0 - 20.0 * t, 0.95)]));
        }
        assert!(seen.len() <= 2, "{fps}: {seen:?}");
    }
}

#[test]
fn classes_that_exclude_each_other_are_not_one_track() {
    let mut run = Run::at_fps(10.0);
    (0..5).for_each(|_| drop(run.step(&[person(0.0, 0.95)])));
    let car = Detection { class: Class::Vehicle, ..person(0.0, 0.95) };
    assert!(run.step(&[car]).is_empty());
    let unsure = Detection { class: Class::Unknown, ..person(0.0, 0.95) };
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
fn the_ground_position_of_a_walk_is_near_its_foot() {
    let mut run = Run::at_fps(10.0);
    for i in 0..30 {
        run.step(&[person(f64::from(i) * 2.0, 0.95)]);
    }
    let foot = run.tracker.tracks()[0].foot;
    assert!(foot.position.distance(crate::model::Point::new(58.0 + 15.0, 180.0)) < 1.0, "{foot:?}");
    assert!((foot.velocity.x - 20.0).abs() < 2.0 && foot.velocity.y.abs() < 2.0, "{foot:?}");
}

#[test]
fn nothing_is_allocated_after_the_first_frames() {
    let mut run = Run::at_fps(10.0);
    let crowd = |f: i32| -> Vec<_> { (0..40).map(|i| person(f64::from(i * 60 + f), 0.95)).collect() };
    let frames: Vec<_> = (0..300).map(crowd).collect();
    let step = |run: &mut Run, d: &[Detection]| {
        run.now = run.now + run.dt;
        run.tracker.step(d, run.now, &mut run.ids);
    };
    frames[..20].iter().for_each(|d| step(&mut run, d));
    // Leaving and coming back included.
    let info = allocation_counter::measure(|| {
        frames[20..].iter().enumerate().for_each(|(i, d)| step(&mut run, if i % 9 == 4 { &[] } else { d }));
    });
    assert_eq!(run.tracker.tracks().len(), 40);
    assert_eq!(info.count_total, 0);
}
