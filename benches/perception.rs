//! How long a frame takes: a plaza with people who walk across it, rendered here, 480x360 unless the name says otherwise.
//!
//! For comparison: `OpenCV`'s MOG2 with blobs takes 4.4 ms for such a frame on one core. The goal, from
//! the frame to the Scene, is 2.5 ms. "a corner" has everybody in a quarter of the picture, without
//! and with the adaptive region of interest ("cropped"; the mean over frames of which one a second is looked at whole).
//! Goal: half the time at the sizes that cameras send, with four people. What is done for each person is the same either
//! way, so the more people, and the smaller the picture, the less it saves; and the whole frame of a second learns for
//! those that were not looked at, too.
//! As on a camera, where capture writes a frame right before it is looked at, each frame is copied to one place
//! first; that is not timed.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use omnisight::base::{CountingIds, Time};
use omnisight::inference::{self, Detector};
use omnisight::model::{CameraId, Chroma, Content, Detection, Frame, GroundPlane, Image, Size};
use omnisight::pipeline::{Options, Perception};

const SIZE: Size = Size { width: 480, height: 360 };
/// What cameras send, too. People are as large a part of the picture's height as in the small one.
const LARGER: [Size; 3] =
    [Size { width: 640, height: 360 }, Size { width: 1280, height: 720 }, Size { width: 1920, height: 1080 }];
const FRAME_MS: u64 = 100;
/// Frames of the sequence; it is played forth and back, so that nobody jumps.
const FRAMES: usize = 120;
/// Frames seen before the clock runs: the background and the size of people are known then.
const WARM_UP: usize = 4 * FRAMES;

/// Small even numbers that look like noise and are the same in every run (xorshift; Marsaglia 2003).
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// One picture of the plaza with `people` on it, all of them in one corner if wanted.
fn draw(index: usize, people: usize, corner: bool, size: Size, noise: &mut Noise) -> Image {
    let mut image = Image::default();
    image.reset(size, Chroma::C420);
    let (width, height) = (size.width as usize, size.height as usize);
    let times = height / SIZE.height as usize;
    let [luma, cb, cr] = image.planes_mut();
    for (i, to) in luma.iter_mut().enumerate() {
        let (x, y) = (i % width / times, i / width / times);
        *to = (100 + (x / 31 + y / 23) % 5 * 9 + (x * 7 + y * 13) % 11 + noise.next() as usize % 7) as u8;
    }
    cb.fill(124);
    cr.fill(130);
    for person in 0..people {
        // The farther down the picture, the nearer and the larger.
        let foot = if corner { 100 + 70 * person / people } else { 130 + 200 * person / people };
        let width_used = width / times;
        let width_used = if corner { width_used / 2 - 30 } else { width_used };
        let (tall, wide) = (20 + foot / 5, 8 + foot / 13);
        let pace = 1 + person % 3;
        let left = (person * 97 + pace * index) % (width_used - wide);
        let [foot, tall, wide, left] = [foot, tall, wide, left].map(|v| v * times);
        for y in foot - tall..foot.min(height) {
            let part = (y + tall - foot) * 100 / tall;
            let inset = if part < 18 {
                wide / 3
            } else if part < 60 {
                0
            } else {
                wide / 5
            };
            luma[y * width + left + inset..y * width + left + wide - inset].fill(30 + 9 * person as u8);
            let chroma = y / 2 * (width / 2);
            let half = |x: usize| chroma + x / 2;
            cb[half(left + inset)..half(left + wide - inset)].fill(140);
        }
    }
    image
}

/// Frames one after the other, without end.
struct Plaza {
    pictures: Vec<Image>,
    frame: Frame,
}

impl Plaza {
    fn new(people: usize, corner: bool, size: Size) -> Self {
        let mut noise = Noise(0x9E37_79B9);
        let pictures: Vec<_> =
            (0..FRAMES).map(|index| draw(index, people, corner, size, &mut noise)).collect();
        let frame = Frame {
            size,
            content: Content::Image(pictures[0].clone()),
            ..Frame::empty(CameraId::parse("bench").unwrap())
        };
        Self { pictures, frame }
    }

    fn next(&mut self) -> &Frame {
        let there = self.frame.seq as usize % (2 * FRAMES);
        let picture = &self.pictures[there.min(2 * FRAMES - 1 - there)];
        let Content::Image(image) = &mut self.frame.content else { unreachable!() };
        let [luma, cb, cr] = image.planes_mut();
        luma.copy_from_slice(picture.luma());
        cb.copy_from_slice(picture.chroma_planes().0);
        cr.copy_from_slice(picture.chroma_planes().1);
        self.frame.seq += 1;
        let ms = self.frame.seq * FRAME_MS;
        self.frame.time = Time { mono_ns: ms * 1_000_000, epoch_ms: ms };
        &self.frame
    }
}

/// Times what is done with each frame.
fn each(b: &mut Bencher<'_>, plaza: &mut Plaza, mut work: impl FnMut(&Frame)) {
    b.iter_custom(|frames| {
        let timed = |_| {
            let frame = plaza.next();
            let began = Instant::now();
            work(frame);
            began.elapsed()
        };
        (0..frames).map(timed).sum()
    });
}

fn detector(size: Size) -> Box<dyn Detector> {
    let ground = GroundPlane::nominal(10.0, size);
    inference::open(&inference::Options::default(), &ground).unwrap()
}

fn detection(c: &mut Criterion) {
    let mut group = c.benchmark_group("detection");
    for (name, people) in [("nobody", 0), ("eight people", 8)] {
        let mut plaza = Plaza::new(people, false, SIZE);
        let mut detector = detector(SIZE);
        let mut found: Vec<Detection> = Vec::new();
        for _ in 0..WARM_UP {
            detector.detect(plaza.next(), &mut found).unwrap();
        }
        assert!(found.len() >= people / 2, "{name}: found {}", found.len());
        group.bench_function(name, |b| {
            each(b, &mut plaza, |frame| {
                detector.detect(frame, &mut found).unwrap();
                black_box(&found);
            });
        });
    }
    group.finish();
}

/// Everybody in a quarter of the picture, with and without the adaptive region of interest.
fn corner(c: &mut Criterion) {
    let mut group = c.benchmark_group("a corner");
    let cases = [1, 2, 4, 8].map(|people| (people, SIZE)).into_iter().chain(LARGER.map(|size| (4, size)));
    let cases = cases.flat_map(|(people, size)| [(people, size, false), (people, size, true)]);
    for (people, size, cropped) in cases {
        let mut plaza = Plaza::new(people, true, size);
        let mut detector = detector(size);
        let mut found: Vec<Detection> = Vec::new();
        let mut expected = Vec::new();
        let (seen, parts) = (Cell::new(0), Cell::new(0));
        let mut see = |frame: &Frame| {
            if cropped {
                expected.clear();
                expected.extend(found.iter().map(|detection| detection.bbox));
                detector.expect(Some(&expected));
            }
            detector.detect(frame, &mut found).unwrap();
            black_box(&found);
            seen.set(seen.get() + found.len());
            parts.set(parts.get() + usize::from(detector.looked_at().is_some()));
        };
        for _ in 0..WARM_UP {
            see(plaza.next());
        }
        assert!(seen.get() >= WARM_UP * people / 2, "{people} people, {size:?}: found {seen:?}");
        assert_eq!(parts.get() > WARM_UP / 2, cropped, "{people} people, {size:?}: in part {parts:?}");
        let Size { width, height } = size;
        let name =
            format!("{people} people, {width}x{height}, {}", if cropped { "cropped" } else { "whole" });
        group.bench_function(name, |b| each(b, &mut plaza, &mut see));
    }
    group.finish();
}

/// Everything between a frame and what the surfaces get: detect, track, place, judge, forecast.
fn scene(c: &mut Criterion) {
    let options = Options::new(GroundPlane::nominal(10.0, SIZE));
    let ids = || Box::new(CountingIds::default());
    let mut group = c.benchmark_group("frame to scene");
    for (name, people) in [("nobody", 0), ("eight people", 8)] {
        let mut plaza = Plaza::new(people, false, SIZE);
        let mut perception = Perception::new(options.clone(), ids(), ids()).unwrap();
        let mut transitions = Vec::new();
        let mut tracks = 0;
        for _ in 0..WARM_UP {
            tracks = perception.step(plaza.next(), &mut transitions).unwrap().tracks.len();
        }
        assert!(tracks >= people / 2, "{name}: {tracks} tracks");
        group.bench_function(name, |b| {
            each(b, &mut plaza, |frame| {
                transitions.clear();
                black_box(perception.step(frame, &mut transitions).unwrap());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, detection, corner, scene);
criterion_main!(benches);
