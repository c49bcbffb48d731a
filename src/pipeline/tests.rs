//! Second looks from end to end: a block that walks before a plain wall, and networks that find a person in it, or nothing.

use std::time::Duration;

use super::*;
use crate::base::CountingIds;
use crate::inference::network::{Color, Description, Engine, Error, Fault, Layout, Network, Output, Tensor};
use crate::model::{Chroma, Class, Image, Size};

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
