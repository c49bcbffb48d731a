//! `omnisight evaluate fusion`: one site from recorded detections, every camera a whole camera.
//!
//! Each folder of DIR with a `det.txt` and a `camera.json` is one camera. It runs its own perception and
//! its own swarm engine; they talk through the real messages, encoded and decoded. Faults stand between
//! them: a delay, lost track messages (QoS 0; what has a higher QoS arrives), clocks that are off, cameras
//! that lie. Written is the table of the first camera: row t is what it says of time t (on its clock) at
//! t + 250 ms.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::super::output::{Output, failed};
use super::super::replay::{ground_of, read_camera};
use super::super::{Error, say};
use super::courier::{self, Courier};
use super::site_picture;
use crate::base::{CountingIds, Time};
use crate::capture::replay::{Rows, parse_rows};
use crate::model::{CameraId, Content, Delivery, Envelope, Frame, MessageClass, Point, Polygon, Size};
use crate::pipeline::{self, Perception};
use crate::swarm::fusion::Person;
use crate::swarm::topic::{Family, Prefix};
use crate::swarm::{Action, Engine, Ground, Identity, Input, Options};

/// How long after a time its row is read.
const ROW_AFTER: Duration = Duration::from_millis(250);
/// How far a liar moves all its tracks, metres.
const LIE_M: f64 = 3.0;
/// Between two ticks of an engine.
const TICK: Duration = Duration::from_secs(1);
/// When the run begins: 2025-06-15T15:06:40Z, milliseconds since the epoch.
const BEGIN_MS: u64 = 1_750_000_000_000;

#[derive(Debug, clap::Args)]
pub(in super::super) struct Arguments {
    /// One folder per camera, each with `det.txt` (`MOTChallenge` rows) and `camera.json` (homography, width,
    /// height, fps).
    dir: PathBuf,
    /// Where the table goes: frame,id,x,y in metres.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long a message travels.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0ms")]
    delay: Duration,
    /// The part of the track messages that is lost, 0..1.
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = parse_part)]
    loss: f64,
    /// The other cameras' clocks are off by up to this, either way.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0ms")]
    skew: Duration,
    /// Cameras (not the first) that report everybody 3 m beside where they are.
    #[arg(long, value_name = "N", default_value_t = 0)]
    liars: usize,
    /// Another seed gives other faults.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// How the messages travel: in memory, or each of them through a broker. Time is that of the evaluation
    /// either way.
    #[arg(long, value_name = "WAY", value_enum, default_value_t = Transport::Memory)]
    transport: Transport,
    /// The broker of `--transport mqtt`; without it, one of its own for the time of the run.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Also print, row by row, why this person is where they are.
    #[arg(long, value_name = "ID")]
    explain: Option<u64>,
    /// Also draw the site: what the cameras see, the ways of the people, and who saw them.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
    Memory,
    Mqtt,
}

fn parse_part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|p: &f64| (0.0..=1.0).contains(p));
    part.ok_or_else(|| "a part is a number from 0 to 1".to_owned())
}

/// One camera of the site.
struct Camera {
    id: CameraId,
    footprint: Option<Polygon>,
    size: Size,
    rows: Rows,
    interval: Duration,
    perception: Perception,
    engine: Engine,
    /// What its clock is ahead, milliseconds.
    ahead_ms: i64,
    /// What it adds to every position, metres.
    lie_m: Point,
}

/// What happens, to which camera.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Connect(usize),
    Frame(usize, u64),
    Arrival(usize, usize),
    Tick(usize),
    Row(u64),
}

/// The run.
struct Site {
    cameras: Vec<Camera>,
    /// By time since the begin; what is planned first comes first.
    agenda: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    planned: u64,
    /// Messages by number, with how many are still to get them.
    messages: BTreeMap<usize, (Delivery, usize)>,
    sent: usize,
    rng: Pcg64Mcg,
    delay: Duration,
    loss: f64,
    tally: Tally,
    prefix: Prefix,
    courier: Option<Courier>,
}

/// What was sent.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    lost: u64,
    track_messages: u64,
    track_bytes: u64,
    track_bytes_max: usize,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut site = Site::open(arguments)?;
    let mut out = Output::create(&arguments.out)?;
    out.line(format_args!("frame,id,x,y"))?;
    let mut trails = site_picture::Trails::default();
    let (mut rows, mut people) = (0u64, BTreeSet::new());
    while let Some((number, table)) = site.next_row()? {
        for p in &table {
            out.line(format_args!("{number},{},{:.3},{:.3}", p.global_id, p.position_m.x, p.position_m.y))?;
            people.insert(p.global_id);
            rows += 1;
        }
        if let Some(id) = arguments.explain {
            explain(number, id, &table)?;
        }
        if arguments.svg.is_some() {
            trails.observe(&table);
        }
    }
    out.finish()?;
    if let Some(courier) = site.courier.take() {
        courier.close();
    }
    if let Some(path) = &arguments.svg {
        let cameras: Vec<_> = site.cameras.iter().map(|c| (c.id.clone(), c.footprint.clone())).collect();
        let mut svg = Output::create(path)?;
        svg.line(format_args!("{}", trails.draw(&cameras)))?;
        svg.finish()?;
    }
    site.summary(rows, people.len())
}

impl Site {
    fn open(arguments: &Arguments) -> Result<Self, Error> {
        let dir = &arguments.dir;
        let listed = fs::read_dir(dir).map_err(|source| failed(dir, source))?;
        let mut folders: Vec<PathBuf> =
            listed.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.join("det.txt").is_file()).collect();
        folders.sort();
        if folders.is_empty() {
            return Err(Error::Usage(format!("{}: holds no folder with a det.txt", dir.display())));
        }
        let mut rng = Pcg64Mcg::seed_from_u64(arguments.seed);
        let prefix = match arguments.transport {
            Transport::Memory => Prefix::default(),
            Transport::Mqtt => courier::prefix()?,
        };
        let mut cameras = Vec::new();
        for folder in &folders {
            let skew_ms = arguments.skew.as_millis() as f64;
            let ahead_ms = if cameras.is_empty() { 0.0 } else { skew_ms * rng.random_range(-1.0..=1.0) };
            cameras.push(Camera::open(folder, &prefix, ahead_ms.round() as i64)?);
        }
        // The frames of one recording have one numbering.
        if cameras.iter().any(|camera| camera.rows.counts_from_0()) {
            for camera in &mut cameras {
                camera.rows.count_from_0();
            }
        }
        for _ in 0..arguments.liars.min(cameras.len() - 1) {
            let honest: Vec<usize> =
                (1..cameras.len()).filter(|&i| cameras[i].lie_m == Point::default()).collect();
            let angle = rng.random_range(0.0..std::f64::consts::TAU);
            cameras[honest[rng.random_range(0..honest.len())]].lie_m =
                Point::new(LIE_M * angle.cos(), LIE_M * angle.sin());
        }
        let mut site = Self {
            cameras,
            agenda: BinaryHeap::new(),
            planned: 0,
            messages: BTreeMap::new(),
            sent: 0,
            rng,
            delay: arguments.delay,
            loss: arguments.loss,
            tally: Tally::default(),
            prefix,
            courier: None,
        };
        if arguments.transport == Transport::Mqtt {
            let parts = site.cameras.iter().map(|c| {
                let filters = c.engine.subscriptions().into_iter().map(|(_, filter, qos)| (filter, qos));
                (c.id.clone(), filters.collect())
            });
            site.courier = Some(Courier::open(arguments.broker.as_deref(), parts.collect(), &site.prefix)?);
        }
        for i in 0..site.cameras.len() {
            site.plan(Duration::ZERO, Happening::Connect(i));
            site.plan(TICK, Happening::Tick(i));
            site.plan(site.frame_at(i, 1), Happening::Frame(i, 1));
        }
        site.plan(site.frame_at(0, 1) + ROW_AFTER, Happening::Row(1));
        Ok(site)
    }

    /// When a camera captures a frame, from 1; the first a second after the begin.
    fn frame_at(&self, camera: usize, number: u64) -> Duration {
        TICK + self.cameras[camera].interval * u32::try_from(number - 1).unwrap_or(u32::MAX)
    }

    fn plan(&mut self, at: Duration, what: Happening) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, what)));
    }

    /// Goes on to the next row; none at the end.
    fn next_row(&mut self) -> Result<Option<(u64, Vec<Person>)>, Error> {
        let frames = self.cameras.iter().map(|c| c.rows.frame_count() as u64).max().unwrap_or(0);
        while let Some(Reverse((at, _, what))) = self.agenda.pop() {
            match what {
                Happening::Connect(i) => self.feed(i, at, &Input::Connected)?,
                Happening::Tick(i) => {
                    self.feed(i, at, &Input::Tick)?;
                    self.plan(at + TICK, Happening::Tick(i));
                }
                Happening::Frame(i, number) => {
                    self.frame(i, at, number)?;
                    if number < frames {
                        self.plan(self.frame_at(i, number + 1), Happening::Frame(i, number + 1));
                    }
                }
                Happening::Arrival(i, message) => self.arrive(i, at, message)?,
                Happening::Row(number) if number > frames => return Ok(None),
                Happening::Row(number) => {
                    self.feed(0, at, &Input::Tick)?;
                    self.plan(self.frame_at(0, number + 1) + ROW_AFTER, Happening::Row(number + 1));
                    let of_ms = self.cameras[0].time(self.frame_at(0, number)).epoch_ms;
                    let table = self.cameras[0].engine.fusion().at(i64::try_from(of_ms).unwrap_or(i64::MAX));
                    return Ok(Some((number, table)));
                }
            }
        }
        Ok(None)
    }

    fn frame(&mut self, i: usize, at: Duration, number: u64) -> Result<(), Error> {
        let camera = &mut self.cameras[i];
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let frame = Frame {
            camera: camera.id.clone(),
            seq: number - 1,
            time: camera.time(at),
            size: camera.size,
            content: Content::Detections(camera.rows.of_frame(index).to_vec()),
            readings: Vec::new(),
        };
        let mut transitions = Vec::new();
        let lie_m = camera.lie_m;
        let mut scene = camera.perception.step(&frame, &mut transitions)?;
        for foot in scene.sightings.iter_mut().map(|sighting| &mut sighting.foot) {
            foot.position = foot.position + lie_m;
        }
        self.feed(i, at, &Input::Scene(&scene))?;
        transitions.iter().try_for_each(|transition| self.feed(i, at, &Input::Transition(transition)))
    }

    fn arrive(&mut self, i: usize, at: Duration, message: usize) -> Result<(), Error> {
        let Some((delivery, left)) = self.messages.get_mut(&message) else { return Ok(()) };
        let delivery = delivery.clone();
        *left -= 1;
        if *left == 0 {
            self.messages.remove(&message);
        }
        self.feed(i, at, &Input::Delivery(&delivery))
    }

    fn feed(&mut self, i: usize, at: Duration, input: &Input<'_>) -> Result<(), Error> {
        let mut actions = Vec::new();
        let now = self.cameras[i].time(at);
        self.cameras[i].engine.handle(*input, now, &mut actions);
        let sent = actions.into_iter().filter_map(|action| match action {
            Action::Send(envelope) => Some(envelope),
            _ => None,
        });
        let envelopes: Vec<Envelope> = sent.inspect(|envelope| self.tally.count(envelope)).collect();
        let deliveries = match &mut self.courier {
            Some(courier) if !envelopes.is_empty() => courier.carry(i, envelopes)?,
            _ => envelopes.into_iter().map(delivered).collect(),
        };
        for delivery in deliveries {
            self.send(i, at, delivery);
        }
        Ok(())
    }

    fn send(&mut self, from: usize, at: Duration, delivery: Delivery) {
        let is_track = self.prefix.parse_topic(&delivery.topic).is_some_and(|t| t.family() == Family::Track);
        self.sent += 1;
        let mut receivers = 0;
        for to in (0..self.cameras.len()).filter(|&to| to != from) {
            if is_track && self.rng.random_bool(self.loss) {
                self.tally.lost += 1;
                continue;
            }
            receivers += 1;
            self.plan(at + self.delay, Happening::Arrival(to, self.sent));
        }
        if receivers > 0 {
            self.messages.insert(self.sent, (delivery, receivers));
        }
    }

    fn summary(&self, rows: u64, people: usize) -> Result<(), Error> {
        let t = &self.tally;
        say(&format!("{rows} rows, {people} people"))?;
        say(&format!(
            "{} messages, {} bytes; {} track messages of {} bytes each, at most {}; {} lost on the way",
            t.messages,
            t.bytes,
            t.track_messages,
            t.track_bytes / t.track_messages.max(1),
            t.track_bytes_max,
            t.lost
        ))?;
        say(&format!("{:?}", self.cameras[0].engine.fusion().counters()))?;
        say("camera        offset_m       clock_s  lag_s   noise  agreement  muted")?;
        for c in self.cameras[0].engine.fusion().cameras() {
            let begin_ms = i64::try_from(BEGIN_MS).unwrap_or(i64::MAX);
            let muted = c
                .muted_ms
                .map_or("-".to_owned(), |ms| format!("since {:.1} s", (ms - begin_ms) as f64 * 1e-3 - 1.0));
            say(&format!(
                "{:<12} {:>6.2} {:>6.2}  {:>7.3}  {:>6.3}  {:>5.2}  {:>9.2}  {muted}",
                c.camera.as_str(),
                c.bias_m.x,
                c.bias_m.y,
                c.clock_s,
                c.lag_s,
                c.noise,
                c.agreement
            ))?;
        }
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, envelope: &Envelope) {
        let bytes = envelope.payload.len();
        self.messages += 1;
        self.bytes += bytes as u64;
        if envelope.class == MessageClass::Track {
            self.track_messages += 1;
            self.track_bytes += bytes as u64;
            self.track_bytes_max = self.track_bytes_max.max(bytes);
        }
    }
}

impl Camera {
    fn open(folder: &Path, prefix: &Prefix, ahead_ms: i64) -> Result<Self, Error> {
        let bad = |what: String| Error::BadInput(format!("{}: {what}", folder.display()));
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let id = CameraId::parse(name).map_err(|error| bad(format!("as a camera's name it {error}")))?;
        let file = folder.join("camera.json");
        let about = read_camera(&file)?;
        let ground = ground_of(&about, Some(&file))?;
        let rate_hz = about.fps.ok_or_else(|| bad("camera.json gives no fps".to_owned()))?;
        let path = folder.join("det.txt");
        let det = File::open(&path).map_err(|source| failed(&path, source))?;
        let (mut rows, faults) = parse_rows(BufReader::new(det)).map_err(|source| failed(&path, source))?;
        if faults.count > 0 {
            tracing::warn!(path = %path.display(), "rows of detections{faults}");
        }
        let (size, footprint) = (ground.size(), ground.footprint());
        if rows.scale_fractions(size) {
            tracing::warn!(path = %path.display(), "boxes are fractions, read as of the picture in camera.json");
        }
        let ids = || Box::new(CountingIds::default());
        let identity = Identity {
            camera: id.clone(),
            boot_ms: BEGIN_MS,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: None,
            ground: Ground { calibrated: true, footprint: footprint.clone() },
        };
        Ok(Self {
            id,
            footprint,
            size,
            rows,
            interval: Duration::from_secs_f64(1.0 / rate_hz),
            perception: Perception::new(pipeline::Options::new(ground), ids(), ids())?,
            engine: Engine::new(Options { prefix: prefix.clone(), ..Options::default() }, identity),
            ahead_ms,
            lie_m: Point::default(),
        })
    }

    /// The time on this camera's clock.
    fn time(&self, at: Duration) -> Time {
        let begin = Time { mono_ns: 1_000_000_000, epoch_ms: BEGIN_MS.saturating_add_signed(self.ahead_ms) };
        begin + at
    }
}

/// A message as a broker would bring it.
fn delivered(envelope: Envelope) -> Delivery {
    Delivery {
        topic: envelope.topic,
        payload: envelope.payload,
        content_type: Some("application/json".to_owned()),
        ..Delivery::default()
    }
}

/// Says why somebody is where they are.
fn explain(number: u64, id: u64, table: &[Person]) -> Result<(), Error> {
    let Some(p) = table.iter().find(|p| p.global_id == id) else { return Ok(()) };
    let seen: Vec<String> = p
        .seen_by
        .iter()
        .map(|w| format!("{}/{} {:.2} m off (d2 {:.1})", w.camera, w.track_id, w.off_m, w.off2))
        .collect();
    say(&format!(
        "{number}: at {:.2},{:.2} m, {:.2},{:.2} m/s, sigma {:.2} m, there with {:.3}; seen {} ms after the begin by {}",
        p.position_m.x,
        p.position_m.y,
        p.velocity_mps.x,
        p.velocity_mps.y,
        p.cov_m2[0].max(p.cov_m2[2]).sqrt(),
        p.existence,
        p.seen_ms - i64::try_from(BEGIN_MS).unwrap_or(i64::MAX),
        seen.join(", ")
    ))?;
    let Some(h) = p.hand_over else { return Ok(()) };
    say(&format!(
        "    {} {}, who was not seen for {:.1} s: {:.1} m from there, {:.1} m from the forecast, {:.1} s of the way watched, ln odds {:.1}, likely with {:.2}",
        if h.is_made { "came back as" } else { "not taken for" },
        h.global_id,
        h.unseen_s,
        h.way_m,
        h.off_m,
        h.watched_s,
        h.odds_ln,
        h.part
    ))
}
