//! What the swarm costs per track: into the table of the site, to bytes, and back.
//!
//! The site: 50 cameras in a row, 500 people, each seen by three cameras at 10 Hz. Limits: 6 µs for each
//! track received, from the report to the table; 1 µs to encode, 2 µs to decode; 350 bytes as JSON.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use omnisight::model::{Behaviors, CameraId, Class, Point, Polygon};
use omnisight::swarm::bounded::Reals;
use omnisight::swarm::codec;
use omnisight::swarm::fusion::{Fusion, Options, Sight};
use omnisight::swarm::message::{Position, TrackMessage, Velocity};
use omnisight::swarm::topic::Topic;
use omnisight::swarm::wire::{Count, Fraction, Id, Millis, Real};

const CAMERAS: usize = 50;
const PEOPLE: usize = 500;
const VIEWS: usize = 3;
const FRAME_MS: i64 = 100;
const BEGIN_MS: i64 = 1_750_000_000_000;

/// Small even numbers that look like noise and are the same in every run (xorshift; Marsaglia 2003).
struct Noise(u32);

impl Noise {
    /// Within 0..1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX)
    }
}

struct Site {
    cameras: Vec<CameraId>,
    fusion: Fusion,
    noise: Noise,
    frame: i64,
}

impl Site {
    fn new() -> Self {
        let cameras: Vec<_> =
            (0..CAMERAS).map(|i| CameraId::parse(&format!("camera-on-the-north-{i:03}")).unwrap()).collect();
        let mut fusion = Fusion::new(Options::default(), &cameras[0]);
        for (i, camera) in cameras.iter().enumerate() {
            let x = 10.0 * i as f64;
            let corners = [(x - 20.0, 0.0), (x + 20.0, 0.0), (x + 20.0, 30.0), (x - 20.0, 30.0)];
            let footprint = Polygon::new(corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap();
            fusion.set_footprint(camera, Some(footprint), BEGIN_MS);
        }
        Self { cameras, fusion, noise: Noise(0x9E37_79B9), frame: 0 }
    }

    /// What all cameras report of the next frame.
    fn reports(&mut self) -> Vec<(usize, Sight)> {
        self.frame += 1;
        let t = self.frame as f64 * FRAME_MS as f64 * 1e-3;
        let mut all = Vec::with_capacity(PEOPLE * VIEWS);
        for person in 0..PEOPLE {
            let way = person as f64;
            let x = 10.0 * (person % CAMERAS) as f64 + 4.0 * (0.3 * t + way).sin();
            let y = 3.0 * (person / CAMERAS) as f64 + 1.0 * (0.2 * t + 2.0 * way).cos();
            for view in 0..VIEWS {
                let camera =
                    (person % CAMERAS + view).saturating_sub(1).min(CAMERAS - 1 - (VIEWS - 1 - view));
                let off = Point::new(0.1 * (self.noise.next() - 0.5), 0.1 * (self.noise.next() - 0.5));
                let report = Sight {
                    track_id: person as u32 + 1,
                    position_m: Point::new(x, y) + off,
                    cov_m2: [0.02, 0.005, 0.04],
                    class: Class::Person,
                    confidence: 0.8,
                    captured_ms: BEGIN_MS + self.frame * FRAME_MS + camera as i64,
                    global_id: None,
                };
                all.push((camera, report));
            }
        }
        all
    }

    fn take(&mut self, reports: &[(usize, Sight)]) {
        let now_ms = BEGIN_MS + self.frame * FRAME_MS + 60;
        for (camera, report) in reports {
            self.fusion.take(&self.cameras[*camera], *report, now_ms);
        }
        self.fusion.step(now_ms);
    }
}

fn table(c: &mut Criterion) {
    let mut site = Site::new();
    for _ in 0..30 {
        let reports = site.reports();
        site.take(&reports);
    }
    let shown = site.fusion.at(BEGIN_MS + site.frame * FRAME_MS).len();
    assert!((PEOPLE * 9 / 10..=PEOPLE * 11 / 10).contains(&shown), "{shown} people in the table");
    let mut group = c.benchmark_group("fused table");
    group.throughput(Throughput::Elements((PEOPLE * VIEWS) as u64));
    group.sample_size(20);
    group.bench_function("1500 tracks of 50 cameras, 500 people", |b| {
        b.iter_batched_ref(
            || (),
            |()| {
                let reports = site.reports();
                site.take(black_box(&reports));
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn message() -> TrackMessage {
    TrackMessage {
        camera_id: CameraId::parse("AXIS_M4228_E82725203C16").unwrap(),
        track_id: Id(1_234_567),
        global_position: Position { x: Real(-12.345), y: Real(123.456), z: Real(0.0) },
        velocity: Velocity { x: Real(-1.234), y: Real(0.567) },
        class: Class::Person,
        confidence: Fraction(0.876),
        timestamp: Millis(1_750_000_000_123),
        behaviors: Behaviors::LOITERING | Behaviors::RUNNING,
        threat_score: Fraction(0.345),
        seq: Some(Count(123_456_789)),
        cov: Some(Reals([0.123, -0.045, 0.678])),
        global_id: Some(Count((1 << 53) - 1)),
        ended: false,
    }
}

fn codec(c: &mut Criterion) {
    let message = message();
    let mut bytes = Vec::new();
    codec::encode(&message, &mut bytes).unwrap();
    let topic = format!("omnisight/swarm/tracks/{}/{}", message.camera_id, message.track_id.0);
    let at = Topic::Track { camera: message.camera_id.as_str(), track_id: message.track_id.0 };
    assert!(bytes.len() <= 350, "{} bytes", bytes.len());
    let mut group = c.benchmark_group(format!("track message of {} bytes", bytes.len()));
    let mut buffer = Vec::new();
    group.bench_function("encode", |b| b.iter(|| codec::encode(black_box(&message), &mut buffer).unwrap()));
    group.bench_function("decode", |b| b.iter(|| codec::decode(&topic, at, black_box(&bytes)).unwrap()));
    group.finish();
}

criterion_group!(benches, table, codec);
criterion_main!(benches);
