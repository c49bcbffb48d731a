//! Second looks from end to end: a block that walks before a plain wall, and networks that find a person in it, or nothing.
//! The time of a person in zones, from detections to events.

use std::time::Duration;

use nalgebra::Matrix3;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

use super::*;
use crate::base::CountingIds;
use crate::inference::network::{Color, Description, Engine, Error, Fault, Layout, Network, Output, Tensor};
use crate::model::{Chroma, EventState, EventType, Image, Mode, Modes, Point, Polygon, Size, ZoneKind};

const SIZE: Size = Size { width: 160, height: 120 };
/// Cells of the grids of strides 8, 16 and 32 in 64 x 64 pixels.
const CELLS: usize = 64 + 16 + 4;

fn description() -> Description {
    Description {
        output: Output::Yolox,
        size: Size { width: 64, height: 64 },
        color: Color::Rgb,
        layout: Layout::Nchw,
        mean: [0.0; 3],
        scale: [1.0; 3],
        classes: [(0, Class::Person)].into(),
        clutter_score: 0.35,
        crops: vec![4.0],
    }
}

/// Finds a person of this score in the middle of whatever it sees, or fails.
struct Fake {
    score: Result<f32, Error>,
}

impl Engine for Fake {
    fn input_shape(&self) -> &[Option<usize>] {
        &[None; 4]
    }

    fn run(&mut self, _: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), Error> {
        let mut output = Tensor { shape: vec![1, CELLS, 6], data: vec![0.0; CELLS * 6] };
        let middle = [0.0, 0.0, 0.8_f32.ln(), 2.0_f32.ln(), 1.0, self.score.clone()?];
        output.data[36 * 6..37 * 6].copy_from_slice(&middle);
        *outputs = vec![output];
        Ok(())
    }
}

/// The classes of the tracks in each of 60 frames, and the perception afterwards.
fn walk(score: Option<Result<f32, Error>>) -> (Vec<Vec<Class>>, Perception) {
    let ground = GroundPlane::nominal(10.0, SIZE);
    let ids = || Box::new(CountingIds::default());
    let mut perception = Perception::new(Options::new(ground), ids(), ids()).unwrap();
    if let Some(score) = score {
        let open = move || Network::new(Box::new(Fake { score }), description());
        perception = perception.with_verifier(Verifier::with(open, 1000.0, true));
    }
    let mut frame = Frame::empty(CameraId::parse("a").unwrap());
    frame.size = SIZE;
    let mut classes = Vec::new();
    for number in 0..60_u64 {
        let mut image = Image::default();
        image.reset(SIZE, Chroma::C420);
        let [luma, cb, cr] = image.planes_mut();
        cb.fill(128);
        cr.fill(128);
        for (place, value) in luma.iter_mut().enumerate() {
            let (x, y) = (place % 160, place / 160);
            let left = (number as usize).saturating_sub(30) * 3;
            let inside = number >= 30 && (left..left + 16).contains(&x) && (40..84).contains(&y);
            *value = if inside {
                210
            } else {
                90 + ((x * 7 + y * 13) % 11) as u8 + ((x / 20 + y / 20) % 3) as u8 * 8
            };
        }
        (frame.seq, frame.content) = (number, Content::Image(image));
        frame.time = frame.time + Duration::from_millis(100);
        let scene = perception.step(&frame, &mut Vec::new()).unwrap();
        classes.push(scene.tracks.iter().map(|seen| seen.track.class).collect());
    }
    (classes, perception)
}

#[test]
fn a_thing_that_a_second_look_does_not_find_is_never_a_track() {
    let (without, _) = walk(None);
    assert!(without.iter().any(|tracks| !tracks.is_empty()), "the detector finds it");
    let (nothing, perception) = walk(Some(Ok(0.0)));
    assert!(nothing.iter().all(Vec::is_empty), "{nothing:?}");
    assert!(perception.verifier().unwrap().looks() > 0);
}

#[test]
fn a_person_that_a_second_look_finds_is_a_track_no_more_than_a_frame_later() {
    let first = |frames: &[Vec<Class>]| frames.iter().position(|tracks| !tracks.is_empty()).unwrap();
    let ((without, _), (with, _)) = (walk(None), walk(Some(Ok(0.9))));
    assert!(first(&with) <= first(&without) + 1, "{} {}", first(&with), first(&without));
    assert_eq!(with[first(&with)], [Class::Person]);
}

#[test]
fn without_a_network_that_works_tracks_are_confirmed_as_before() {
    let fault = Error::new(Fault::RunFailed, "model failed to run");
    let ((without, _), (with, perception)) = (walk(None), walk(Some(Err(fault.clone()))));
    let count = |frames: &[Vec<Class>]| frames.iter().filter(|tracks| !tracks.is_empty()).count();
    assert!(count(&with) + 1 >= count(&without), "{} {}", count(&with), count(&without));
    assert_eq!(perception.verifier().unwrap().error(), Some(&fault));
}

#[test]
fn a_hole_in_a_recording_ends_its_tracks() {
    let size = Size { width: 640, height: 480 };
    let ids = || Box::new(CountingIds::default());
    let options = Options::new(GroundPlane::nominal(10.0, size));
    let mut perception = Perception::new(options, ids(), ids()).unwrap();
    let mut frame = Frame::empty(CameraId::parse("cam").unwrap());
    let mut transitions = Vec::new();
    let mut seen = |ms: u64| {
        let bbox = BBox::new(300.0, 200.0, 40.0, 100.0);
        let standing = Detection { class: Class::Person, score: 0.95, bbox };
        frame.content = crate::model::Content::Detections(vec![standing]);
        (frame.size, frame.time) = (size, Time { mono_ns: ms * 1_000_000, epoch_ms: ms });
        frame.seq += 1;
        perception.step(&frame, &mut transitions).unwrap().tracks.len()
    };
    for ms in (0..=3000).step_by(100) {
        seen(ms);
    }
    assert_eq!(seen(3100), 1);
    assert_eq!(seen(63_100), 0, "the track outlives a hole of a minute");
    let ended = |t: &Transition| matches!(t, Transition::TrackEnded { .. });
    assert_eq!(transitions.iter().filter(|t| ended(t)).count(), 1);
}

const VIEW: Size = Size { width: 640, height: 480 };

/// A strip of the ground between two x, in meters.
fn strip(name: &str, x_m: (f64, f64), dwell_s: Option<f64>, class: Class) -> Zone {
    let corners = [(x_m.0, 0.0), (x_m.1, 0.0), (x_m.1, 10.0), (x_m.0, 10.0)];
    let corners = corners.iter().map(|&(x, y)| Point::new(x, y)).collect();
    let border_m = Polygon::new(corners).unwrap();
    Zone { name: name.into(), kind: ZoneKind::Area, classes: vec![class], dwell_s, border_m }
}

/// Ten by ten meters of ground, calibrated.
fn metric() -> GroundPlane {
    let h = Matrix3::new(10.0 / 640.0, 0.0, 0.0, 0.0, -10.0 / 480.0, 10.0, 0.0, 0.0, 1.0);
    GroundPlane::from_homography(h, VIEW, false).unwrap()
}

/// Time in seconds and zone of each loitering that occurs while a person walks along x for 90 s.
fn loiterings(ground: GroundPlane, zones: Vec<Zone>, x_m: impl Fn(f64) -> f64) -> Vec<(f64, Option<String>)> {
    let ids = || Box::new(CountingIds::default());
    let options = Options { zones, ..Options::new(ground) };
    let mut perception = Perception::new(options, ids(), ids()).unwrap();
    let mut frame = Frame::empty(CameraId::parse("cam").unwrap());
    let mut transitions = Vec::new();
    for ms in (0..=90_000).step_by(100) {
        let x_px = 64.0 * x_m(ms as f64 / 1000.0);
        let bbox = BBox::new(x_px - 20.0, 200.0, 40.0, 100.0);
        let person = Detection { class: Class::Person, score: 0.95, bbox };
        frame.content = Content::Detections(if x_px < 640.0 { vec![person] } else { Vec::new() });
        (frame.size, frame.time) = (VIEW, Time { mono_ns: ms * 1_000_000, epoch_ms: ms });
        frame.seq += 1;
        perception.step(&frame, &mut transitions).unwrap();
    }
    let occurred = transitions.into_iter().filter_map(|transition| match transition {
        Transition::Event(event)
            if event.kind == EventType::Loitering && event.state == EventState::Occurred =>
        {
            Some((event.time.mono_ns as f64 / 1e9, event.zone))
        }
        _ => None,
    });
    occurred.collect()
}

#[test]
fn what_would_be_a_few_centimeters_tall_is_no_object_on_a_calibrated_ground() {
    for (ground, tracks) in [(metric(), 1), (GroundPlane::nominal(10.0, VIEW), 2)] {
        let ids = || Box::new(CountingIds::default());
        let mut perception = Perception::new(Options::new(ground), ids(), ids()).unwrap();
        let mut frame = Frame::empty(CameraId::parse("cam").unwrap());
        let boxes = [BBox::new(0.0, 300.0, 4.0, 4.0), BBox::new(320.0, 200.0, 40.0, 100.0)];
        let object = |bbox| Detection { class: Class::Person, score: 0.95, bbox };
        frame.content = Content::Detections(boxes.map(object).to_vec());
        frame.size = VIEW;
        let mut seen = 0;
        for ms in (0..=2_000).step_by(100) {
            frame.time = Time { mono_ns: ms * 1_000_000, epoch_ms: ms };
            frame.seq += 1;
            seen = perception.step(&frame, &mut Vec::new()).unwrap().tracks.len();
        }
        assert_eq!(seen, tracks);
    }
}

/// To and fro between x = 2 and x = 8 m, every 16 s.
fn pacing(t: f64) -> f64 {
    5.0 + 3.0 * (0.4 * t).sin()
}

/// Asserts one loitering after a minute, in this zone.
fn assert_after_a_minute(found: &[(f64, Option<String>)], zone: &str) {
    let [(time_s, name)] = found else { panic!("{found:?}") };
    assert!((60.0..=62.0).contains(time_s), "{time_s}");
    assert_eq!(name.as_deref(), Some(zone));
}

#[test]
fn pacing_in_a_zone_with_dwell_s_is_loitering_and_the_event_names_the_zone() {
    let site = strip("site", (0.0, 10.0), None, Class::Person);
    let gate = strip("gate", (1.0, 9.0), Some(60.0), Class::Person);
    assert_after_a_minute(&loiterings(metric(), vec![site, gate], pacing), "gate");
}

#[test]
fn crossing_a_zone_with_dwell_s_in_20_s_is_no_loitering() {
    let gate = strip("gate", (1.0, 9.0), Some(60.0), Class::Person);
    assert_eq!(loiterings(metric(), vec![gate], |t| 1.0 + 0.4 * t), []);
}

#[test]
fn pacing_in_a_zone_without_dwell_s_or_for_other_classes_is_no_loitering() {
    let gate = strip("gate", (1.0, 9.0), None, Class::Person);
    assert_eq!(loiterings(metric(), vec![gate], pacing), []);
    let gate = strip("gate", (1.0, 9.0), Some(60.0), Class::Vehicle);
    assert_eq!(loiterings(metric(), vec![gate], pacing), []);
}

#[test]
fn a_step_out_of_a_second_does_not_reset_the_dwell_time_and_five_seconds_do() {
    // Beyond 7.9 m for 1.3 s in each turn, beyond 6.5 m for 5.2 s.
    let gate = strip("gate", (1.0, 7.9), Some(60.0), Class::Person);
    assert_after_a_minute(&loiterings(metric(), vec![gate], pacing), "gate");
    let gate = strip("gate", (1.0, 6.5), Some(60.0), Class::Person);
    assert_eq!(loiterings(metric(), vec![gate], pacing), []);
}

#[test]
fn dwell_s_works_without_calibration_in_the_place_of_loitering_s() {
    let gate = strip("gate", (1.0, 9.0), Some(60.0), Class::Person);
    assert_after_a_minute(&loiterings(GroundPlane::nominal(10.0, VIEW), vec![gate], pacing), "gate");
}

/// Half a minute of a textured scene with noise, in which a block walks for the last 5 s; the perception, the last frame,
/// and the tracks in it.
fn walker() -> (Perception, Frame, usize) {
    let ids = || Box::new(CountingIds::default());
    let mut perception =
        Perception::new(Options::new(GroundPlane::nominal(10.0, SIZE)), ids(), ids()).unwrap();
    let mut frame = Frame::empty(CameraId::parse("a").unwrap());
    frame.size = SIZE;
    let (mut rng, mut tracks) = (Pcg32::seed_from_u64(1), 0);
    for number in 0..150_usize {
        let mut image = Image::default();
        image.reset(SIZE, Chroma::Mono);
        for (place, value) in image.planes_mut()[0].iter_mut().enumerate() {
            let (x, y) = (place % 160, place / 160);
            let left = number.saturating_sub(100) * 2;
            let inside = number >= 100 && (left..left + 16).contains(&x) && (40..84).contains(&y);
            let level = if inside { 210 } else { 90 + ((x / 20 + y / 20) % 3) as u8 * 20 };
            *value = level + (rng.next_u32() % 5) as u8;
        }
        (frame.seq, frame.content) = (number as u64, Content::Image(image));
        frame.time = frame.time + Duration::from_millis(100);
        tracks = perception.step(&frame, &mut Vec::new()).unwrap().tracks.len();
    }
    (perception, frame, tracks)
}

fn ended(transitions: &[Transition]) -> usize {
    transitions.iter().filter(|t| matches!(t, Transition::TrackEnded { .. })).count()
}

#[test]
fn while_the_picture_is_frozen_nothing_is_tracked() {
    let (mut perception, mut frame, tracks) = walker();
    assert_eq!((tracks, perception.conditions()), (1, Modes::default()));
    let mut transitions = Vec::new();
    for number in 0..600 {
        frame.seq += 1;
        frame.time = frame.time + Duration::from_millis(100);
        let scene = perception.step(&frame, &mut transitions).unwrap();
        assert!(number < 25 || scene.tracks.is_empty(), "a track {number} frames after the last picture");
    }
    assert_eq!(perception.conditions(), Mode::PictureFrozen.into());
    assert_eq!(ended(&transitions), 1);
    assert!(!transitions.iter().any(|t| matches!(t, Transition::Event(_))), "{transitions:?}");
}

#[test]
fn a_source_that_gives_nothing_ends_its_tracks_while_it_gives_nothing() {
    let (mut perception, mut frame, tracks) = walker();
    assert_eq!(tracks, 1);
    let mut transitions = Vec::new();
    perception.wait(Duration::from_millis(2250), &mut transitions);
    assert_eq!((ended(&transitions), perception.conditions()), (0, Modes::default()));
    perception.wait(Duration::from_millis(2500), &mut transitions);
    assert_eq!((ended(&transitions), perception.conditions()), (1, Mode::SourceGap.into()));
    perception.wait(Duration::from_secs(20), &mut transitions);
    for _ in 0..2 {
        frame.time = frame.time + Duration::from_secs(10);
        perception.step(&frame, &mut transitions).unwrap();
        assert_eq!(perception.conditions(), Mode::SourceGap.into());
    }
    frame.time = frame.time + Duration::from_millis(100);
    perception.step(&frame, &mut transitions).unwrap();
    assert_eq!((ended(&transitions), perception.conditions()), (1, Modes::default()));
}

#[test]
fn a_pause_is_not_a_gap() {
    let (mut perception, mut frame, _) = walker();
    let mut transitions = Vec::new();
    perception.pause(&mut transitions);
    assert_eq!((ended(&transitions), perception.conditions()), (1, Modes::default()));
    frame.time = frame.time + Duration::from_secs(10);
    perception.step(&frame, &mut transitions).unwrap();
    assert_eq!(perception.conditions(), Modes::default());
}

#[test]
fn a_camera_learns_its_scene_in_the_first_three_seconds() {
    let ids = || Box::new(CountingIds::default());
    let mut perception =
        Perception::new(Options::new(GroundPlane::nominal(10.0, SIZE)), ids(), ids()).unwrap();
    let mut frame = Frame::empty(CameraId::parse("a").unwrap());
    frame.size = SIZE;
    let mut image = Image::default();
    image.reset(SIZE, Chroma::Mono);
    frame.content = Content::Image(image);
    let mut learning = 0;
    for _ in 0..100 {
        perception.step(&frame, &mut Vec::new()).unwrap();
        learning += u32::from(perception.conditions().contains(Mode::SceneLearning));
        frame.time = frame.time + Duration::from_millis(100);
    }
    assert!((30..=31).contains(&learning), "{learning}");
}
