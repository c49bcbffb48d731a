//! The synthetic camera against what it promises: the same options and times give the same frames, the
//! picture shows what the world holds, and the rate and the numbers of the frames are right.
//!
//! Time is a manual clock or the source's own; nothing here waits.

use super::*;
use crate::base::ManualClock;
use crate::model::{Class, Point};

const START: Time = Time { mono_ns: 1_000_000_000, epoch_ms: 1_790_000_000_000 };

fn source(options: Options, start: Time, frames: u64) -> Source {
    Source::offline(CameraId::parse("cam").unwrap(), options, start, frames).unwrap()
}

fn next(source: &mut Source) -> Frame {
    let mut frame = Frame::empty(CameraId::parse("x").unwrap());
    assert_eq!(source.next_frame(&mut frame, Duration::ZERO).unwrap(), Next::Frame);
    frame
}

fn bytes(frame: &Frame) -> &[u8] {
    match &frame.content {
        Content::Image(image) => image.bytes(),
        Content::Detections(_) => panic!("no pixels"),
    }
}

#[test]
fn two_sources_that_start_at_different_times_give_the_same_bytes_for_the_same_moment() {
    let small = Options { size: Size { width: 161, height: 121 }, index: 2, ..Options::default() };
    let mut early = source(small.clone(), START, 20);
    let mut late = source(small, START + Duration::from_millis(1200), 20);
    let skipped: Vec<_> = (0..12).map(|_| next(&mut early)).collect();
    let (a, b) = (next(&mut early), next(&mut late));
    assert_eq!(a.time, b.time);
    assert_eq!(bytes(&a), bytes(&b));
    assert_ne!(bytes(&a), bytes(&skipped[11]));
}

#[test]
fn the_origin_moves_the_plaza_in_time() {
    let small = Options { size: Size { width: 160, height: 120 }, ..Options::default() };
    let mut a = source(small.clone(), START, 1);
    let later = Time { epoch_ms: START.epoch_ms + 5_000, ..START };
    let mut b = source(Options { origin_epoch_ms: 5_000, ..small }, later, 1);
    assert_eq!(bytes(&next(&mut a)), bytes(&next(&mut b)));
}

#[test]
fn another_seed_is_another_crowd() {
    let of = |seed| source(Options { seed, ..Options::default() }, START, 0).truth(START.epoch_ms);
    assert_ne!(of(1), of(2));
    assert!(of(1).len() >= 5, "{}", of(1).len());
}

#[test]
fn an_offline_source_ends_and_a_live_one_is_pending_then_skips_what_nobody_asked_for() {
    let small = Options { size: Size { width: 64, height: 48 }, ..Options::default() };
    let mut frame = Frame::empty(CameraId::parse("x").unwrap());
    let mut offline = source(small.clone(), START, 1);
    next(&mut offline);
    assert_eq!(offline.next_frame(&mut frame, Duration::ZERO).unwrap(), Next::End);
    assert!(!offline.is_live());

    let clock = Arc::new(ManualClock::new(START));
    let camera = CameraId::parse("cam").unwrap();
    let mut live = Source::live(camera, small, clock.clone()).unwrap();
    assert!(live.is_live());
    assert_eq!(next(&mut live).seq, 0);
    assert_eq!(live.next_frame(&mut frame, Duration::ZERO).unwrap(), Next::Pending);
    clock.advance(Duration::from_millis(100));
    assert_eq!(next(&mut live).seq, 1);
    clock.advance(Duration::from_millis(350));
    let late = next(&mut live);
    assert_eq!((late.seq, late.time), (4, START + Duration::from_millis(400)));
}

#[test]
fn options_that_make_no_picture_are_refused() {
    let refused = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        options.check().unwrap_err()
    };
    assert_eq!(refused(|o| o.cameras = 0), Error::Cameras(0));
    assert_eq!(refused(|o| o.index = 3), Error::Index { index: 3, cameras: 3 });
    assert!(matches!(refused(|o| o.size.width = 0), Error::Size(_)));
    assert!(matches!(refused(|o| o.size.height = 9000), Error::Size(_)));
    assert!(matches!(refused(|o| o.fps = f64::NAN), Error::Fps(_)));
    assert_eq!(refused(|o| o.fps = 0.0), Error::Fps(0.0));
}

#[test]
fn a_frame_after_the_first_allocates_nothing() {
    let mut source = source(Options::default(), START, 200);
    let mut frame = next(&mut source);
    for _ in 0..20 {
        source.next_frame(&mut frame, Duration::ZERO).unwrap();
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..30 {
            source.next_frame(&mut frame, Duration::ZERO).unwrap();
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// More than a shadow or noise changes a pixel's luma.
const CLEAR: u8 = 60;

/// Where the picture of `frame` differs clearly from the empty plaza within `window` of (u, v).
fn changed(source: &Source, frame: &Frame, around: Point, window_px: [f64; 2]) -> Vec<Point> {
    let width = source.options.size.width as usize;
    let empty = source.renderer.empty_luma();
    let mut found = Vec::new();
    for (i, (&now, &was)) in bytes(frame).iter().zip(empty).enumerate() {
        let p = Point::new((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
        let near = (p.x - around.x).abs() < window_px[0] && (p.y - around.y).abs() < window_px[1];
        if near && now.abs_diff(was) > CLEAR {
            found.push(p);
        }
    }
    found
}

#[test]
fn a_person_is_drawn_where_the_ground_plane_says_that_the_truth_stands() {
    let mut checked = 0;
    for index in 0..3 {
        let options = Options { index, ..Options::default() };
        let plane = ground_plane(3, index, options.size).unwrap();
        let view = View::new(3, index, options.size);
        let mut source = source(Options { fps: 0.25, ..options }, START, 90);
        for _ in 0..90 {
            let frame = next(&mut source);
            let truth = source.truth(frame.time.epoch_ms);
            for person in truth.iter().filter(|a| a.class == Class::Person) {
                let at = person.position_m;
                let Some(foot) = plane.to_image(at).filter(|_| at.norm() < 8.0) else { continue };
                let inside = (30.0..450.0).contains(&foot.x) && (110.0..345.0).contains(&foot.y);
                let alone = truth.iter().filter(|o| o.id != person.id).all(|o| {
                    let wide_px = if o.class == Class::Vehicle { 250.0 } else { 70.0 };
                    plane.to_image(o.position_m).is_none_or(|p| (p.x - foot.x).abs() > wide_px)
                });
                if !inside || !alone || stage::hides(camera_position_m(3, index), at) {
                    continue;
                }
                let px_per_m = plane.px_per_metre(foot).unwrap();
                let found = changed(&source, &frame, foot, [0.4 * px_per_m, 110.0]);
                let low = found.iter().map(|p| p.y).fold(0.0, f64::max);
                let high = found.iter().map(|p| p.y).fold(999.0, f64::min);
                // Who walks has a foot before and a foot behind the place where the body is.
                let step_px =
                    0.12 * px_per_m + if person.velocity_mps.norm() > 0.2 { 0.3 * px_per_m } else { 0.0 };
                assert!((low - foot.y).abs() < step_px, "foot at {low}, not {}: {person:?}", foot.y);
                let top = view.project(nalgebra::Vector3::new(at.x, at.y, person.height_m)).unwrap();
                let tall_px = foot.y - f64::from(top.v);
                assert!(high > f64::from(top.v) - step_px, "head at {high}, not {}: {person:?}", top.v);
                // Hair, faces and some coats are as light as the ground; legs never are.
                assert!(low - high > 0.45 * tall_px, "{} of {tall_px} px: {person:?}", low - high);
                checked += 1;
            }
        }
    }
    assert!(checked >= 20, "only {checked} people stood alone");
}

#[test]
fn three_cameras_share_a_piece_of_ground_on_which_people_are() {
    let size = Options::default().size;
    let footprints: Vec<_> = (0..3).map(|i| ground_plane(3, i, size).unwrap().footprint().unwrap()).collect();
    let seen_by_all = |p: Point| footprints.iter().all(|f| f.contains(p));
    let cells = (-40..40).flat_map(|x| (-40..40).map(move |y| (f64::from(x) / 4.0, f64::from(y) / 4.0)));
    let shared_m2 = cells.filter(|&(x, y)| seen_by_all(Point::new(x, y))).count() as f64 / 16.0;
    assert!(shared_m2 > 60.0, "{shared_m2} square metres");
    assert!(DOCK_M.iter().all(|&corner| seen_by_all(corner)));
    let source = source(Options::default(), START, 0);
    let busy = (0..60u64)
        .filter(|s| source.truth(START.epoch_ms + s * 1000).iter().any(|a| seen_by_all(a.position_m)));
    assert_eq!(busy.count(), 60);
}

#[test]
fn the_light_drifts_over_a_minute_but_hardly_from_frame_to_frame() {
    let options = Options { size: Size { width: 64, height: 48 }, fps: 10.0, ..Options::default() };
    let mut source = source(options, START, 900);
    let empty: Vec<f64> = (0..900)
        .map(|_| {
            next(&mut source);
            let luma = source.renderer.empty_luma();
            luma.iter().map(|&y| f64::from(y)).sum::<f64>() / luma.len() as f64
        })
        .collect();
    let step = empty.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
    let (low, high) = empty.iter().fold((255.0f64, 0.0f64), |(lo, hi), &y| (lo.min(y), hi.max(y)));
    assert!(step <= 1.0, "{step} grey levels in a tenth of a second");
    assert!(high - low > 3.0, "{low} to {high}");
}
