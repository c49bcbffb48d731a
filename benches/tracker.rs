//! How long the tracker takes for a frame, and how that compares.
//!
//! ```sh
//! cargo bench --bench tracker                       # ours alone
//! cargo bench --bench tracker --features peers      # beside the crates similari (SORT) and trackforge (SORT, ByteTrack)
//! OMNISIGHT_MOT=MOT15 cargo bench --bench tracker   # whole sequences too: MOT15/*/det/det_sort_frcnn.txt
//! ```
//!
//! A crowd walks through a full HD picture, 25 frames a second. In every frame 5 % of the people are
//! missed and 5 % as many detections are false. All trackers get the same boxes in turns, so that a
//! busy machine slows all; what is printed is the median of the rounds, and how many times as long the
//! faster of the others takes. The boxes of the others are converted before the clock runs. similari may have one shard or
//! one per core: the faster of the two counts. It is asked for its ended tracks after every frame, which keeps it fast. Its
//! bindings need a Python 3.7 to 3.11 to be built, so the others stand behind a feature of their own. trackforge takes a
//! frame's boxes by value, so copying them is in its time: 24 bytes a box.
//!
//! In one picture more people also stand more densely: at 1,000 they cover 70 % of it, and who may be whom
//! has to be asked of 23 times as many pairs as at 100. So the growth is printed for a crowd of one density
//! too, whose picture grows with it.
//!
//! "Whole sequences" is the time in [`Tracker::step`] alone; reading the files is left out.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use omnisight::base::{CountingIds, Time};
use omnisight::model::{BBox, Class, Detection, Size};
use omnisight::track::{Options, Tracker};

/// The picture.
const VIEW: Size = Size { width: 1920, height: 1080 };
const SIZES: [usize; 4] = [10, 100, 500, 1_000];
const RATE_HZ: f64 = 25.0;
/// Frames of the crowd; they are played forth and back, so that nobody jumps.
const FRAMES: usize = 120;
/// Frames seen before the clock runs, should they not take longer than this.
const WARM_UP: usize = 60;
const WARM_UP_MAX: Duration = Duration::from_secs(3);
const ROUNDS: usize = 9;
/// How long one round of one tracker lasts at least.
const ROUND: Duration = Duration::from_millis(50);

/// Even numbers that look like noise and are the same in every run (xorshift; Marsaglia 2003).
struct Noise(u64);

impl Noise {
    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

/// People of 60 pixels who walk through a picture and turn at its edges.
fn crowd(people: usize, view: Size) -> Vec<Vec<Detection>> {
    const HEIGHT: f64 = 60.0;
    let (width, height) = (f64::from(view.width), f64::from(view.height));
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    // Place and speed (heights per second) of each.
    let mut walkers: Vec<_> = (0..people)
        .map(|_| {
            let place = [noise.between(0.0, width), noise.between(0.0, height)];
            let speed = [noise.between(-1.2, 1.2), noise.between(-0.4, 0.4)];
            (place, speed)
        })
        .collect();
    let detection = |place: [f64; 2], score: f64, noise: &mut Noise| {
        let off = |noise: &mut Noise| HEIGHT * noise.between(-0.03, 0.03);
        let (width, height) = (0.4 * HEIGHT + off(noise), HEIGHT + off(noise));
        let bbox = BBox::new(place[0] + off(noise), place[1] + off(noise), width, height);
        Detection { bbox, class: Class::Person, score }
    };
    let mut frame = || {
        let mut seen = Vec::with_capacity(people + people / 10);
        for (place, speed) in &mut walkers {
            for (axis, limit) in [width, height].into_iter().enumerate() {
                place[axis] += speed[axis] * HEIGHT / RATE_HZ;
                if !(0.0..=limit).contains(&place[axis]) {
                    speed[axis] = -speed[axis];
                }
            }
            if noise.unit() >= 0.05 {
                let score = noise.between(0.85, 1.0);
                seen.push(detection(*place, score, &mut noise));
            }
        }
        for _ in 0..people {
            if noise.unit() < 0.05 {
                let place = [noise.between(0.0, width), noise.between(0.0, height)];
                let score = noise.between(0.3, 1.0);
                seen.push(detection(place, score, &mut noise));
            }
        }
        seen
    };
    (0..FRAMES).map(|_| frame()).collect()
}

/// Something that follows objects; a frame at a time of the crowd.
trait Contender {
    fn step(&mut self, frame: usize);
}

struct Ours<'a> {
    frames: &'a [Vec<Detection>],
    view: Size,
    tracker: Tracker,
    ids: CountingIds,
    now: Time,
}

impl<'a> Ours<'a> {
    fn new(frames: &'a [Vec<Detection>], view: Size) -> Self {
        let tracker = Tracker::new(Options::default());
        Self { frames, view, tracker, ids: CountingIds::default(), now: Time::default() }
    }
}

impl Contender for Ours<'_> {
    fn step(&mut self, frame: usize) {
        self.now = self.now + Duration::from_secs_f64(1.0 / RATE_HZ);
        self.tracker.step(&self.frames[frame], self.view, self.now, &mut self.ids);
        black_box(self.tracker.tracks());
    }
}

#[cfg(feature = "peers")]
mod peer {
    use std::hint::black_box;

    use omnisight::model::Detection;
    use similari::trackers::sort::PositionalMetricType::IoU;
    use similari::trackers::sort::simple_api::Sort;
    use similari::trackers::spatio_temporal_constraints::SpatioTemporalConstraints;
    use similari::trackers::tracker_api::TrackerAPI;
    use similari::utils::bbox::{BoundingBox, Universal2DBox};

    /// The values of its own benchmark: a track that is not seen is kept for one frame, where ours
    /// keeps it for seconds.
    const HISTORY: usize = 10;
    const IDLE_FRAMES: usize = 1;
    const IOU_MIN: f32 = 0.3;
    const CONFIDENCE_MIN: f32 = 0.05;

    pub(super) struct Similari {
        frames: Vec<Vec<(Universal2DBox, Option<i64>)>>,
        sort: Sort,
    }

    impl Similari {
        pub(super) fn new(frames: &[Vec<Detection>], shards: usize) -> Self {
            let convert = |d: &Detection| {
                let b = [d.bbox.left, d.bbox.top, d.bbox.width, d.bbox.height, d.score].map(|x| x as f32);
                (BoundingBox::new_with_confidence(b[0], b[1], b[2], b[3], b[4]).into(), None)
            };
            Self {
                frames: frames.iter().map(|f| f.iter().map(convert).collect()).collect(),
                sort: Sort::new(
                    shards,
                    HISTORY,
                    IDLE_FRAMES,
                    IoU(IOU_MIN),
                    CONFIDENCE_MIN,
                    Some(SpatioTemporalConstraints::default().constraints(&[(1, 1.0)])),
                ),
            }
        }
    }

    /// A box (left, top, width, height), its score and its class.
    type Found = ([f32; 4], f32, i64);

    pub(super) struct Trackforge<T> {
        frames: Vec<Vec<Found>>,
        tracker: T,
    }

    impl<T> Trackforge<T> {
        pub(super) fn new(frames: &[Vec<Detection>], tracker: T) -> Self {
            let convert = |d: &Detection| {
                let b = [d.bbox.left, d.bbox.top, d.bbox.width, d.bbox.height].map(|x| x as f32);
                (b, d.score as f32, 0)
            };
            let frames = frames.iter().map(|f| f.iter().map(convert).collect()).collect();
            Self { frames, tracker }
        }
    }

    impl super::Contender for Trackforge<trackforge::trackers::sort::Sort> {
        fn step(&mut self, frame: usize) {
            black_box(self.tracker.update(self.frames[frame].clone()));
        }
    }

    impl super::Contender for Trackforge<trackforge::trackers::byte_track::ByteTrack> {
        fn step(&mut self, frame: usize) {
            black_box(self.tracker.update(self.frames[frame].clone()));
        }
    }

    impl super::Contender for Similari {
        fn step(&mut self, frame: usize) {
            black_box(self.sort.predict(&self.frames[frame]));
            // Ended tracks pile up until they are asked for, and make it several times as slow.
            black_box(self.sort.wasted());
        }
    }
}

/// The names of the other trackers, and the trackers.
#[cfg(feature = "peers")]
fn peers(frames: &[Vec<Detection>]) -> Vec<(&'static str, Box<dyn Contender>)> {
    use peer::{Similari, Trackforge};
    use trackforge::trackers::byte_track::{ByteTrack, ByteTrackParams};
    use trackforge::trackers::sort::Sort;

    let cores = std::thread::available_parallelism().unwrap().get();
    vec![
        ("similari, 1 shard", Box::new(Similari::new(frames, 1))),
        ("similari, all cores", Box::new(Similari::new(frames, cores))),
        ("trackforge SORT", Box::new(Trackforge::new(frames, Sort::default()))),
        (
            "trackforge ByteTrack",
            Box::new(Trackforge::new(frames, ByteTrack::from_params(ByteTrackParams::default()))),
        ),
    ]
}

#[cfg(not(feature = "peers"))]
fn peers(_: &[Vec<Detection>]) -> Vec<(&'static str, Box<dyn Contender>)> {
    Vec::new()
}

/// Plays the crowd forth and back, and keeps the time per frame of each round.
struct Lane<'a> {
    contender: Box<dyn Contender + 'a>,
    shown: usize,
    /// Frames between two looks at the clock, which costs a part of the smallest crowd's frame.
    batch: usize,
    rounds_us: Vec<f64>,
}

impl<'a> Lane<'a> {
    fn new(contender: Box<dyn Contender + 'a>) -> Self {
        let mut lane = Self { contender, shown: 0, batch: 1, rounds_us: Vec::new() };
        let started = Instant::now();
        while lane.shown < WARM_UP && started.elapsed() < WARM_UP_MAX {
            lane.step();
        }
        let frames = ROUND.as_secs_f64() / 10.0 * lane.shown as f64 / started.elapsed().as_secs_f64();
        lane.batch = (frames as usize).max(1);
        lane
    }

    fn step(&mut self) {
        let there = self.shown % (2 * FRAMES);
        self.contender.step(there.min(2 * FRAMES - 1 - there));
        self.shown += 1;
    }

    fn round(&mut self) {
        let started = Instant::now();
        let mut frames = 0;
        while started.elapsed() < ROUND {
            (0..self.batch).for_each(|_| self.step());
            frames += self.batch;
        }
        self.rounds_us.push(started.elapsed().as_secs_f64() * 1e6 / frames as f64);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn crowds(rounds: usize) {
    println!("crowd: median time per frame over {rounds} rounds");
    let mut ours_us = Vec::new();
    for people in SIZES {
        let frames = crowd(people, VIEW);
        let peers = peers(&frames);
        let mut lanes = vec![Lane::new(Box::new(Ours::new(&frames, VIEW)))];
        let mut names = vec!["ours"];
        for (name, peer) in peers {
            names.push(name);
            lanes.push(Lane::new(peer));
        }
        for _ in 0..rounds {
            lanes.iter_mut().for_each(Lane::round);
        }
        let medians_us: Vec<f64> = lanes.iter_mut().map(|lane| median(&mut lane.rounds_us)).collect();
        println!("{people} objects");
        for (name, us) in names.iter().zip(&medians_us) {
            println!("  {name:22} {us:>10.2} us {:>6.1} of ours", us / medians_us[0]);
        }
        ours_us.push(medians_us[0]);
    }
    println!("growth from 100 to 1000 objects: {:.1} in one picture", ours_us[3] / ours_us[1]);
    println!("growth from 100 to 1000 objects: {:.1} at one density", growth_at_one_density(rounds));
}

/// How many times as long a frame of 1,000 takes as one of 100 who stand as densely.
fn growth_at_one_density(rounds: usize) -> f64 {
    let crowds = [(100.0, 100), (1_000.0, 1_000)].map(|(people, count): (f64, usize)| {
        let side = |pixels: u32| (f64::from(pixels) * (people / 1_000.0).sqrt()) as u32;
        let view = Size { width: side(VIEW.width), height: side(VIEW.height) };
        (crowd(count, view), view)
    });
    let mut lanes = crowds.each_ref().map(|(frames, view)| Lane::new(Box::new(Ours::new(frames, *view))));
    for _ in 0..rounds {
        lanes.iter_mut().for_each(Lane::round);
    }
    let [hundred, thousand] = lanes.each_mut().map(|lane| median(&mut lane.rounds_us));
    thousand / hundred
}

/// The detections of a MOTChallenge sequence frame by frame, and its rate.
fn sequence(folder: &Path) -> Option<(Vec<Vec<Detection>>, f64)> {
    let info = fs::read_to_string(folder.join("seqinfo.ini")).ok()?;
    let value = |key: &str| info.lines().find_map(|l| l.strip_prefix(key)?.trim().parse::<f64>().ok());
    let (length, rate_hz) = (value("seqLength=")? as usize, value("frameRate=")?);
    let mut frames = vec![Vec::new(); length];
    for row in fs::read_to_string(folder.join("det/det_sort_frcnn.txt")).ok()?.lines() {
        let v: Vec<f64> = row.split(',').map(|x| x.trim().parse().unwrap()).collect();
        let bbox = BBox::new(v[2], v[3], v[4], v[5]);
        frames.get_mut(v[0] as usize - 1)?.push(Detection { bbox, class: Class::Person, score: v[6] });
    }
    Some((frames, rate_hz))
}

fn sequences(root: &Path, rounds: usize) {
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    println!("\nwhole sequences: median over {rounds} rounds");
    println!("{:20} {:>8} {:>12}", "sequence", "frames", "frames/s");
    let (mut all, mut all_s) = (0, 0.0);
    for folder in folders {
        let Some((frames, rate_hz)) = sequence(&folder) else { continue };
        let mut times_s: Vec<f64> = (0..rounds)
            .map(|_| {
                let (mut tracker, mut ids) = (Tracker::new(Options::default()), CountingIds::default());
                let mut now = Time::default();
                let started = Instant::now();
                for detections in &frames {
                    now = now + Duration::from_secs_f64(1.0 / rate_hz);
                    tracker.step(detections, VIEW, now, &mut ids);
                    black_box(tracker.tracks());
                }
                started.elapsed().as_secs_f64()
            })
            .collect();
        let time_s = median(&mut times_s);
        let name = folder.file_name().unwrap().to_string_lossy();
        println!("{name:20} {:>8} {:>12.0}", frames.len(), frames.len() as f64 / time_s);
        all += frames.len();
        all_s += time_s;
    }
    println!("{:20} {all:>8} {:>12.0}", "all", f64::from(u32::try_from(all).unwrap()) / all_s);
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|a| a == "--bench") { ROUNDS } else { 1 };
    crowds(rounds);
    if let Some(root) = std::env::var_os("OMNISIGHT_MOT") {
        sequences(Path::new(&root), rounds);
    }
}
