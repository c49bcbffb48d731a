//! Paths played to the analyzer at several frame rates, with and without noise: which behaviour is seen,
//! and when.
//!
//! A path is a function of time, so a decision that depends on the frame rate fails its test. Noise is
//! seeded and of the size that the filters leave; nothing may come of it in ten minutes. The bounds of
//! the memory are tested here as well. Metres, seconds.

use std::time::Duration;

use nalgebra::{SMatrix, Vector4};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::model::{BBox, Class, Point};

const RATES_FPS: [u64; 5] = [1, 3, 10, 30, 60];

fn at(start_ms: u64, ms: u64) -> Time {
    Time::default() + Duration::from_millis(start_ms + ms)
}

fn motion(x: f64, y: f64, sigma_m: f64) -> Motion {
    let (p, v) = (sigma_m * sigma_m, sigma_m * sigma_m);
    Motion {
        position: Point::new(x, y),
        velocity: Point::default(),
        cov: SMatrix::from_diagonal(&Vector4::new(p, p, v, v)),
    }
}

fn track(id: u32) -> Track {
    Track {
        id,
        class: Class::Person,
        bbox: BBox::default(),
        confidence: 0.9,
        foot: motion(0.0, 0.0, 0.0),
        first_seen: at(1000, 0),
        last_seen: at(1000, 0),
        hits: 3,
    }
}

/// Lets a track follow a path at a frame rate; gives the behaviour in every frame with its time in seconds.
fn play(
    fps: u64,
    seconds: u64,
    sigma_m: f64,
    seed: u64,
    path: impl Fn(f64) -> (f64, f64),
) -> Vec<(f64, Behavior)> {
    let mut analyzer = Analyzer::new(Options::default());
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let noise = Normal::new(0.0, sigma_m).unwrap();
    (0..=seconds * fps)
        .map(|frame| {
            let t = frame as f64 / fps as f64;
            let (x, y) = path(t);
            let ground = motion(x + noise.sample(&mut rng), y + noise.sample(&mut rng), sigma_m.max(0.05));
            (t, analyzer.observe(&track(7), &ground, &[], at(1000, frame * 1000 / fps)))
        })
        .collect()
}

/// When a flag is first set, seconds.
fn first(flag: Behaviors, played: &[(f64, Behavior)]) -> Option<f64> {
    played.iter().find(|(_, b)| b.flags.contains(flag)).map(|(t, _)| *t)
}

/// How often a flag changes.
fn changes(flag: Behaviors, played: &[(f64, Behavior)]) -> usize {
    played.windows(2).filter(|w| w[0].1.flags.contains(flag) != w[1].1.flags.contains(flag)).count()
}

/// A walk through corner points at a speed, staying at the last.
fn along(corners: &[(f64, f64)], speed_mps: f64) -> impl Fn(f64) -> (f64, f64) {
    let corners: Vec<Point> = corners.iter().map(|&(x, y)| Point::new(x, y)).collect();
    move |t| {
        let mut left = t * speed_mps;
        for leg in corners.windows(2) {
            let length = leg[0].distance(leg[1]);
            if left < length {
                let p = leg[0] + (leg[1] - leg[0]) * (left / length);
                return (p.x, p.y);
            }
            left -= length;
        }
        corners.last().map_or((0.0, 0.0), |p| (p.x, p.y))
    }
}

#[test]
fn who_stands_for_30_s_loiters_at_every_frame_rate() {
    for fps in RATES_FPS {
        let played = play(fps, 40, 0.1, 1, |_| (3.0, 8.0));
        let when = first(Behaviors::LOITERING, &played).unwrap();
        assert!((30.0..=31.0).contains(&when), "{when} s at {fps} frames/s");
        assert_eq!(changes(Behaviors::LOITERING, &played), 1, "at {fps} frames/s");
    }
}

#[test]
fn the_walk_in_before_it_does_not_keep_a_track_from_loitering() {
    for fps in RATES_FPS {
        let played = play(fps, 120, 0.1, 2, along(&[(0.0, 0.0), (26.0, 0.0)], 1.3));
        let when = first(Behaviors::LOITERING, &played).unwrap();
        // 20 s of walking, of which the last two metres already lie within the radius.
        assert!((48.0..=51.0).contains(&when), "{when} s at {fps} frames/s");
    }
}

#[test]
fn who_walks_slowly_or_paces_within_the_radius_does_not_loiter() {
    for fps in RATES_FPS {
        let slow = play(fps, 120, 0.1, 3, |t| (0.3 * t, 0.0));
        assert_eq!(first(Behaviors::LOITERING, &slow), None, "a slow walk at {fps} frames/s");
        // Once round a circle of 1.2 m in nine seconds is 0.84 m/s.
        let pacing = play(fps, 120, 0.05, 3, |t| (1.2 * (0.7 * t).sin(), 1.2 * (0.7 * t).cos()));
        assert_eq!(first(Behaviors::LOITERING, &pacing), None, "pacing at {fps} frames/s");
    }
}

#[test]
fn a_slip_of_the_detector_does_not_end_loitering_but_walking_away_does() {
    for fps in [3, 10, 30] {
        let slip = play(fps, 60, 0.1, 4, |t| if (40.0..40.6).contains(&t) { (5.0, 0.0) } else { (0.0, 0.0) });
        assert_eq!(changes(Behaviors::LOITERING, &slip), 1, "at {fps} frames/s");
        let away = play(fps, 60, 0.1, 4, |t| ((t - 40.0).max(0.0) * 1.3, 0.0));
        assert_eq!(changes(Behaviors::LOITERING, &away), 2, "at {fps} frames/s");
        assert!(away[away.len() - 1].1.still_s < 1e-9);
    }
}

#[test]
fn stillness_is_counted_beyond_the_length_of_the_history() {
    let played = play(10, 300, 0.1, 5, |_| (0.0, 0.0));
    let last = played[played.len() - 1].1;
    assert!(last.still_s > 298.0 && last.dwell_s > 299.0, "{last:?}");
}

#[test]
fn who_runs_is_seen_to_run_soon_after_a_second_and_no_longer_after_stopping() {
    for fps in RATES_FPS {
        // Five seconds of walking, five of running, then nothing more.
        let path = along(&[(0.0, 0.0), (1.0, 0.0)], 1.0);
        let played = play(fps, 30, 0.1, 6, |t| (path(t).0 + (t - 5.0).clamp(0.0, 5.0) * 4.0, 0.0));
        let when = first(Behaviors::RUNNING, &played).unwrap();
        let latest = if fps == 1 { 8.0 } else { 7.0 };
        assert!((5.8..=latest).contains(&when), "{when} s at {fps} frames/s");
        let stopped = played.iter().rfind(|(_, b)| b.flags.contains(Behaviors::RUNNING)).unwrap().0;
        assert!((9.8..=12.0).contains(&stopped), "until {stopped} s at {fps} frames/s");
        assert_eq!(changes(Behaviors::RUNNING, &played), 2, "at {fps} frames/s");
    }
}

#[test]
fn a_fast_walk_and_a_box_that_jumps_are_no_running() {
    for fps in RATES_FPS {
        let walk = play(fps, 60, 0.1, 7, |t| (2.4 * t, 0.0));
        assert_eq!(first(Behaviors::RUNNING, &walk), None, "a walk at {fps} frames/s");
        let jump = play(fps, 60, 0.1, 7, |t| ((t / 10.0).floor() * 8.0, 0.0));
        assert_eq!(first(Behaviors::RUNNING, &jump), None, "jumps at {fps} frames/s");
        // As a filter hands a jump of four metres on: over half a second.
        let slide = play(fps, 60, 0.1, 7, |t| (((t % 10.0) * 8.0).min(4.0) + 4.0 * (t / 10.0).floor(), 0.0));
        assert_eq!(first(Behaviors::RUNNING, &slide), None, "slides at {fps} frames/s");
    }
}

#[test]
fn far_away_running_takes_longer_to_be_sure_of() {
    for fps in [3, 10, 30] {
        let played = play(fps, 20, 0.8, 8, |t| (0.0, 5.0 * t));
        let when = first(Behaviors::RUNNING, &played).unwrap();
        assert!((0.9..=5.0).contains(&when), "{when} s at {fps} frames/s");
    }
}

#[test]
fn five_sharp_turns_are_suspicious_and_a_walk_round_a_block_is_not() {
    let zigzag: Vec<_> = (0..12).map(|i| (2.0 * f64::from(i), 2.0 * f64::from(i % 2))).collect();
    for fps in RATES_FPS {
        let played = play(fps, 24, 0.1, 9, along(&zigzag, 1.4));
        let when = first(Behaviors::SUSPICIOUS_MOVEMENT, &played).unwrap();
        // The fifth turn is at 10.1 s.
        assert!((10.1..=13.5).contains(&when), "{when} s at {fps} frames/s");
        let block = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0), (0.0, 0.0), (9.0, 0.0), (9.0, 9.0)];
        let round = play(fps, 40, 0.1, 9, along(&block, 1.4));
        assert_eq!(first(Behaviors::SUSPICIOUS_MOVEMENT, &round), None, "a block at {fps} frames/s");
    }
}

#[test]
fn there_and_back_and_there_again_are_three_passes_and_two_are_not() {
    for fps in RATES_FPS {
        let twice = play(fps, 60, 0.1, 10, along(&[(0.0, 0.0), (0.0, 12.0), (0.0, 0.0)], 1.3));
        assert_eq!(first(Behaviors::REPEATED_PASSES, &twice), None, "at {fps} frames/s");
        let corners = [(0.0, 0.0), (0.0, 12.0), (0.0, 0.0), (0.0, 12.0)];
        let thrice = play(fps, 60, 0.1, 10, along(&corners, 1.3));
        let when = first(Behaviors::REPEATED_PASSES, &thrice).unwrap();
        // The third leg begins at 18.5 s and is a pass three metres later.
        assert!((20.5..=23.0).contains(&when), "{when} s at {fps} frames/s");
    }
}

#[test]
fn noise_on_someone_who_stands_for_ten_minutes_is_neither_running_nor_zigzag_nor_passes() {
    let never = Behaviors::RUNNING | Behaviors::SUSPICIOUS_MOVEMENT | Behaviors::REPEATED_PASSES;
    for (seed, sigma_m) in [(11, 0.1), (12, 0.3), (13, 1.0), (14, 3.0)] {
        for fps in RATES_FPS {
            let played = play(fps, 600, sigma_m, seed, |_| (0.0, 0.0));
            let wrong = played.iter().find(|(_, b)| b.flags.intersects(never));
            assert_eq!(wrong, None, "noise of {sigma_m} m at {fps} frames/s");
        }
    }
}

#[test]
fn the_threat_score_adds_up_and_ends_at_one() {
    let score = |flags, dwell_s| threat::score(flags, dwell_s, &Weights::default());
    assert!((score(Behaviors::LOITERING, 30.0) - 0.4).abs() < 1e-9);
    assert!((score(Behaviors::RUNNING | Behaviors::SUSPICIOUS_MOVEMENT, 0.0) - 0.9).abs() < 1e-9);
    assert!((score(Behaviors::all(), 3600.0) - 1.0).abs() < 1e-9);
}

#[test]
fn too_many_tracks_stay_within_the_bound_and_the_longest_unseen_goes_first() {
    let mut analyzer = Analyzer::new(Options::default());
    for id in 1..=1200 {
        analyzer.observe(&track(id), &motion(0.0, 0.0, 0.1), &[], at(1000, u64::from(id)));
        analyzer.observe(&track(1), &motion(0.0, 0.0, 0.1), &[], at(1000, u64::from(id)));
    }
    assert_eq!((analyzer.len(), analyzer.evicted()), (TRACKS_MAX, 1200 - TRACKS_MAX as u64));
    assert!(analyzer.tracks.contains_key(&1), "it was seen all the time");
    analyzer.forget(1);
    assert_eq!(analyzer.len(), TRACKS_MAX - 1);
}

#[test]
fn in_a_crowd_of_hundreds_each_track_keeps_its_history() {
    let mut analyzer = Analyzer::new(Options::default());
    let mut loiter = 0;
    for frame in 0..=155 {
        let all = (1..=400)
            .map(|id| analyzer.observe(&track(id), &motion(0.0, 0.0, 0.1), &[], at(1000, frame * 200)));
        loiter = all.filter(|b| b.flags.contains(Behaviors::LOITERING)).count();
    }
    assert_eq!((loiter, analyzer.evicted()), (400, 0));
}

#[test]
fn the_history_does_not_grow_with_frame_rate_or_life() {
    let mut history = History::default();
    for ms in (0..300_000).step_by(16) {
        history.take(&motion(0.0, 0.0, 0.1), at(1000, ms));
    }
    let span = history.newest_time().since(history.oldest_time());
    assert!(history.backwards().count() <= 327 && span >= Duration::from_mins(1), "{span:?}");
    assert!(history.bytes() <= 8_000, "{} bytes", history.bytes());
}

/// The behaviour of a walker across the picture after `seconds`, at 10 frames/s, `mps` fast and always in zone 0.
fn walked(options: Options, mps: f64, seconds: u64) -> Behavior {
    let mut analyzer = Analyzer::new(options);
    let mut last = Behavior::default();
    for frame in 0..=seconds * 10 {
        let ground = motion(0.1 * mps * frame as f64, 0.0, 0.05);
        last =
            analyzer.observe(&track(1), &ground, &[Inside { zone: 0, dwell_s: None }], at(1000, frame * 100));
    }
    last
}

#[test]
fn without_calibration_there_are_no_metres_to_run_through_and_loitering_is_staying_in_a_zone() {
    assert_eq!(walked(Options::default(), 4.0, 40).flags, Behaviors::RUNNING);
    let options = Options { metric: false, ..Options::default() };
    assert_eq!(walked(options, 4.0, 29).flags, Behaviors::empty());
    let staying = walked(options, 4.0, 40);
    assert_eq!(staying.flags, Behaviors::LOITERING);
    let stay = ZoneStay { zone: 0, seconds: 40.0, limit_s: 30.0 };
    assert_eq!(staying.stay, Some(stay));
}

#[test]
fn a_rule_that_is_off_sets_no_flag() {
    let off = |flag| Options { watched: Options::default().watched - flag, ..Options::default() };
    assert_eq!(walked(off(Behaviors::RUNNING), 4.0, 10).flags, Behaviors::empty());
    assert_eq!(walked(Options::default(), 0.0, 40).flags, Behaviors::LOITERING);
    assert_eq!(walked(off(Behaviors::LOITERING), 0.0, 40).flags, Behaviors::empty());
}

#[test]
fn what_appeared_where_it_stands_does_not_loiter_and_who_walked_there_does() {
    let stays = |walk_px: f64| {
        let mut analyzer = Analyzer::new(Options::default());
        let mut last = Behavior::default();
        for frame in 0..=500_u32 {
            let left = 100.0 + walk_px * f64::from(frame.min(20)) / 20.0;
            let track = Track { bbox: BBox::new(left, 50.0, 20.0, 60.0), ..track(1) };
            let now = at(1000, u64::from(frame) * 100);
            last = analyzer.observe(&track, &motion(0.02 * left, 0.0, 0.05), &[], now);
        }
        (last.stationary, last.flags)
    };
    assert_eq!(stays(0.0), (true, Behaviors::empty()));
    assert_eq!(stays(40.0), (false, Behaviors::LOITERING));
}

proptest! {
    #[test]
    fn whatever_the_numbers_the_answer_is_finite_and_the_score_between_0_and_1(
        steps in prop::collection::vec((0u64..3000, any::<f64>(), -1e7..1e7f64, any::<f64>()), 1..60),
    ) {
        let mut analyzer = Analyzer::new(Options::default());
        let mut ms = 0;
        for (dt, x, y, variance) in steps {
            ms += dt;
            let mut ground = motion(x, y, 1.0);
            ground.cov[(0, 0)] = variance;
            let b = analyzer.observe(&track(1), &ground, &[], at(1000, ms));
            prop_assert!((0.0..=1.0).contains(&b.threat));
            prop_assert!(b.speed_mps.is_finite() && b.still_s.is_finite() && b.dwell_s.is_finite());
        }
    }
}
