//! What the swarm costs per track: into the table of the site, to bytes, and back; and what one camera's engine
//! makes of its site's messages, whatever the size of the site.
//!
//! The table: 50 cameras in a row, 500 people, each seen by three cameras at 10 Hz. Limits: 6 µs for each
//! track received, from the report to the table; 1 µs to encode, 2 µs to decode; 350 bytes as JSON,
//! and as `MessagePack` 45 % of that.
//!
//! The site: one engine with eight neighbours in a grid as `omnisight simulate` makes it, and the more cameras far
//! away the larger it is. From bytes to the table, presence and tracks apart: the time of neither may grow with the
//! number of cameras.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use omnisight::base::Time;
use omnisight::model::{Behaviors, CameraId, Class, Delivery, Envelope, Point, Polygon};
use omnisight::swarm::bounded::Reals;
use omnisight::swarm::codec;
use omnisight::swarm::fusion::{Fusion, Options, Sight};
use omnisight::swarm::message::{Position, TrackMessage, Velocity};
use omnisight::swarm::topic::{Prefix, Topic};
use omnisight::swarm::wire::{Count, Fraction, Id, Millis, Real};
use omnisight::swarm::{Action, Engine, Ground, Identity, Input};

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
            fusion.set_footprint(camera, Some(&footprint), BEGIN_MS);
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
            BatchSize::PerIteration,
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
    let mut packed = Vec::new();
    codec::encode_msgpack(&message, &mut packed).unwrap();
    assert!(packed.len() * 100 <= bytes.len() * 45, "{} bytes of {}", packed.len(), bytes.len());
    let mut group = c.benchmark_group(format!("track message of {} bytes", bytes.len()));
    let mut buffer = Vec::new();
    group.bench_function("encode", |b| b.iter(|| codec::encode(black_box(&message), &mut buffer).unwrap()));
    group.bench_function("decode", |b| b.iter(|| codec::decode(&topic, at, black_box(&bytes)).unwrap()));
    group.finish();
}

/// Between two cameras of the grid, and the side of the square that each sees, metres.
const SPACING_M: f64 = 100.0;
const SIGHT_M: f64 = 140.0;
/// Cameras around the one in the middle whose ground touches its own.
const NEAR: usize = 8;
/// Names in a presence message's counters, about as many as a camera has after a day.
const COUNTERS: [&str; 30] = [
    "a_00", "a_01", "a_02", "a_03", "a_04", "a_05", "a_06", "a_07", "a_08", "a_09", "a_10", "a_11", "a_12",
    "a_13", "a_14", "a_15", "a_16", "a_17", "a_18", "a_19", "a_20", "a_21", "a_22", "a_23", "a_24", "a_25",
    "a_26", "a_27", "a_28", "a_29",
];

/// A camera in the grid.
struct Member {
    id: CameraId,
    middle: Point,
    seq: u64,
}

impl Member {
    fn engine(&self) -> Engine {
        let half = SIGHT_M / 2.0;
        let corners = [(-half, -half), (half, -half), (half, half), (-half, half)];
        let corners = corners.map(|(x, y)| self.middle + Point::new(x, y));
        let identity = Identity {
            camera: self.id.clone(),
            boot_ms: BEGIN_MS as u64,
            version: "1.0.0".to_owned(),
            site: None,
            ground: Ground { calibrated: true, footprint: Some(Polygon::new(corners.to_vec()).unwrap()) },
        };
        Engine::new(omnisight::swarm::Options::default(), identity)
    }

    /// What it says when it connects, with counters as after a while.
    fn presence(&self) -> Delivery {
        let (mut engine, mut actions) = (self.engine(), Vec::new());
        let counters: Vec<_> = COUNTERS.iter().enumerate().map(|(i, name)| (*name, 1 << i)).collect();
        engine.handle(Input::Counters(&counters), at(0), &mut actions);
        engine.handle(Input::Connected, at(0), &mut actions);
        let said = actions.into_iter().find_map(|action| match action {
            Action::Send(Envelope { topic, payload, .. }) => {
                Some(Delivery { topic, payload, ..Delivery::default() })
            }
            _ => None,
        });
        said.unwrap()
    }

    /// What it says of whom it sees of two people a cell who walk in small circles.
    fn tracks(&mut self, ms: u64, prefix: &Prefix, noise: &mut Noise, out: &mut Vec<(u64, Delivery)>) {
        let (t, mut buffer) = (ms as f64 * 1e-3, Vec::new());
        for person in 0..2 * (NEAR as u32 + 1) {
            let (cell, way) = (f64::from(person / 2), f64::from(person));
            let middle = Point::new(cell % 3.0 - 1.0, (cell / 3.0).floor() - 1.0) * SPACING_M;
            let round = Point::new((0.1 * t + way).cos(), (0.1 * t + way).sin());
            let off = Point::new(noise.next() - 0.5, noise.next() - 0.5) * 0.3;
            let place = middle + round * (10.0 + 2.0 * way) + off;
            let seen = place - self.middle;
            if seen.x.abs() > SIGHT_M / 2.0 || seen.y.abs() > SIGHT_M / 2.0 {
                continue;
            }
            self.seq += 1;
            let message = TrackMessage {
                camera_id: self.id.clone(),
                track_id: Id(person + 1),
                global_position: Position { x: Real(place.x), y: Real(place.y), z: Real(0.0) },
                velocity: Velocity { x: Real(-round.y), y: Real(round.x) },
                timestamp: Millis(BEGIN_MS as u64 + ms),
                seq: Some(Count(self.seq)),
                cov: Some(Reals([0.04, 0.0, 0.04])),
                global_id: None,
                ..message()
            };
            codec::encode(&message, &mut buffer).unwrap();
            let topic = prefix.track(&self.id, message.track_id.0);
            out.push((ms, Delivery { topic, payload: buffer.clone().into(), ..Delivery::default() }));
        }
    }
}

fn at(ms: u64) -> Time {
    Time { mono_ns: 1_000_000_000 + ms * 1_000_000, epoch_ms: BEGIN_MS as u64 + ms }
}

/// The cameras of a site, the one in the middle first, then those around it, ring by ring.
fn members(cameras: usize) -> Vec<Member> {
    let rings = ((cameras as f64).sqrt() / 2.0).ceil() as i32;
    let mut cells: Vec<_> = (-rings..=rings).flat_map(|x| (-rings..=rings).map(move |y| (x, y))).collect();
    cells.sort_by_key(|(x, y)| x.abs().max(y.abs()));
    let members = cells.into_iter().take(cameras).enumerate().map(|(i, (x, y))| Member {
        id: CameraId::parse(&format!("camera-on-the-north-{i:03}")).unwrap(),
        middle: Point::new(f64::from(x), f64::from(y)) * SPACING_M,
        seq: 0,
    });
    members.collect()
}

/// One camera's engine on sites of several sizes.
fn site(c: &mut Criterion) {
    let (prefix, mut actions) = (Prefix::default(), Vec::new());
    for cameras in [NEAR + 2, 100, 1_000] {
        let mut members = members(cameras);
        let mut engine = members[0].engine();
        let presence: Vec<_> = members[1..].iter().map(Member::presence).collect();
        let (mut second, mut noise) = (0, Noise(0x9E37_79B9));
        let mut group = c.benchmark_group(format!("one of {cameras} cameras"));
        // Everybody is heard every ten seconds. Those far away alone are timed.
        let far = &presence[NEAR..];
        let mut hear = |engine: &mut Engine, all: &[Delivery], second: u64| {
            for delivery in all {
                engine.handle(Input::Delivery(delivery), at(second * 1_000), &mut actions);
            }
            actions.clear();
        };
        hear(&mut engine, &presence, 0);
        engine.handle(Input::Tick, at(10), &mut Vec::new());
        let heard = engine.neighbours().map_or(cameras - 1, std::collections::BTreeSet::len);
        assert_eq!(heard, if cameras > 33 { NEAR } else { cameras - 1 });
        group.throughput(Throughput::Elements(far.len() as u64));
        group.bench_function("presence of a camera far away", |b| b.iter(|| hear(&mut engine, far, 0)));
        let mut next = || {
            second += 1;
            let mut told = Vec::new();
            for (i, member) in members[1..=NEAR].iter_mut().enumerate() {
                member.tracks(second * 1_000 + 100 * i as u64, &prefix, &mut noise, &mut told);
            }
            (second, told)
        };
        let tracks = next().1.len();
        group.throughput(Throughput::Elements(tracks as u64));
        group.bench_function("track of a neighbour", |b| {
            b.iter_custom(|seconds| {
                let mut spent = Duration::ZERO;
                for _ in 0..seconds {
                    let (second, told) = next();
                    if second % 10 == 0 {
                        hear(&mut engine, &presence, second);
                    }
                    let begin = Instant::now();
                    for (ms, delivery) in &told {
                        engine.handle(Input::Delivery(delivery), at(ms + 50), &mut Vec::new());
                    }
                    engine.handle(Input::Tick, at(second * 1_000 + 950), &mut Vec::new());
                    spent += begin.elapsed();
                }
                spent
            });
        });
        let people = engine.fusion().len();
        assert!((15..=30).contains(&people), "{people} people in the table");
        group.finish();
    }
}

criterion_group!(benches, table, codec, site);
criterion_main!(benches);
