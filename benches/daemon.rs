//! What swarm and link cost the daemon: the real program with 50 people before it at 10 Hz, a real mosquitto,
//! and three neighbours that report the same people as often. So 500 track messages a second leave, and 1,500
//! come in, are decoded, judged and fused.
//!
//! `cargo bench --bench daemon` prints the processor time of the daemon's threads, by their names, as a part
//! of one core, over [`MEASURED`]. The threads of the runtime carry link and swarm (and what little else there
//! is: status, timers); capture and perception have threads of their own. Limit: 5 % of one core.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]
#![expect(clippy::print_stdout, reason = "its report")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use omnisight::base::{Clock, SystemClock};
use omnisight::link::{Deliveries, LinkSender};
use omnisight::model::{CameraId, Envelope, MessageClass};
use omnisight::swarm::codec;
use omnisight::swarm::message::{Message, TrackMessage};
use omnisight::swarm::wire::{Count, Real};
use support::mosquitto::Mosquitto;
use support::program::{Camera, Program};
use support::watch::decoded;
use support::{Kind, Peer, Setup, TestBroker, link_options, presence};

const PEOPLE: usize = 50;
const FPS: usize = 10;
const NEIGHBOURS: usize = 3;
/// Until all tracks are there and every table knows them.
const WARM_UP: Duration = Duration::from_secs(8);
const MEASURED: Duration = Duration::from_secs(30);
/// The camera under test.
const CAMERA: &str = "measured";

/// Seen straight from above: 1920 x 1080 pixels on 96 x 54 m.
const CALIBRATION: &str = "[calibration]\nimage_width = 1920\nimage_height = 1080\n\
    homography = [[0.05, 0.0, 0.0], [0.0, -0.05, 54.0], [0.0, 0.0, 1.0]]\n";
const FOOTPRINT: &str = "[[0.0,0.0],[96.0,0.0],[96.0,54.0],[0.0,54.0]]";

/// Everybody walks a circle of their own, at a walk's pace.
fn recording() -> String {
    let mut rows = String::new();
    for frame in 0..(WARM_UP + 2 * MEASURED).as_secs() as usize * FPS {
        let t = frame as f64 / FPS as f64;
        for person in 0..PEOPLE {
            let (column, row) = ((person % 10) as f64, (person / 10) as f64);
            let turn = 0.8 * t + person as f64;
            let (x, y) = (96.0 + 190.0 * column + 30.0 * turn.cos(), 150.0 + 200.0 * row + 30.0 * turn.sin());
            let (left, top) = (x - 15.0, y - 80.0);
            writeln!(rows, "{},-1,{left:.1},{top:.1},30,80,0.95,-1,-1,-1", frame + 1).unwrap();
        }
    }
    rows
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if !Mosquitto::installed() {
        return;
    }
    let broker = TestBroker::start(Kind::Mosquitto, Setup { persistent: false, ..Setup::default() }).await;
    let neighbours: Vec<_> = (1..=NEIGHBOURS).map(|number| Neighbour::new(number, broker.port())).collect();
    let mut ears = Peer::watch_tracks(broker.port(), CAMERA);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.txt");
    std::fs::write(&file, recording()).unwrap();
    let capture = format!(
        "kind = 'replay'\npace = 'realtime'\nfile = '{}'\nwidth = 1920\nheight = 1080\nfps = {FPS}.0",
        file.display()
    );
    let link = format!("[[broker_link]]\nurl = 'mqtt://127.0.0.1:{}'\n", broker.port());
    let sections = format!("{link}[control]\nenabled = false\n{CALIBRATION}");
    let camera = Camera::with_sections(CAMERA, &capture, &sections);
    let daemon = camera.run();
    let mut seq = 0;
    echo(&mut ears.deliveries, &neighbours, &mut seq, WARM_UP).await;
    let before = times(&daemon);
    let began = Instant::now();
    let heard = echo(&mut ears.deliveries, &neighbours, &mut seq, MEASURED).await;
    let took_s = began.elapsed().as_secs_f64();
    let after = times(&daemon);
    let out_hz = heard as f64 / took_s;
    println!("{out_hz:.0} track messages a second out, {:.0} in", out_hz * NEIGHBOURS as f64);
    for (thread, time) in &after {
        let spent_s = time.saturating_sub(before.get(thread).copied().unwrap_or_default()).as_secs_f64();
        println!("{thread:<20} {:.2} % of one core", 100.0 * spent_s / took_s);
    }
}

/// A camera that sees whom the measured one sees.
struct Neighbour {
    id: CameraId,
    sender: LinkSender,
    _peer: Peer,
}

impl Neighbour {
    fn new(number: usize, port: u16) -> Self {
        let id = CameraId::parse(&format!("neighbour-{number}")).unwrap();
        let peer = Peer::spawn(&link_options(port), id.as_str(), None, &[]);
        let now_ms = SystemClock::new().now().epoch_ms;
        let status = format!(
            r#"{{"camera_id":"{id}","state":"online","version":"1","boot":{now_ms},"timestamp":{now_ms},"ground":"calibrated","footprint":{FOOTPRINT}}}"#
        );
        peer.send(presence(&format!("omnisight/swarm/status/{id}"), &status));
        Self { id, sender: peer.link.sender(), _peer: peer }
    }

    /// Says of a track what the measured camera said, a few centimetres beside it.
    fn say(&self, number: usize, told: &TrackMessage, seq: u64, buffer: &mut Vec<u8>) {
        let beside = |v: Real| Real(v.0 + 0.03 * (number as f64 - 1.0));
        let mut message = TrackMessage { camera_id: self.id.clone(), seq: Some(Count(seq)), ..told.clone() };
        message.global_position.x = beside(message.global_position.x);
        message.global_position.y = beside(message.global_position.y);
        codec::encode(&message, buffer).unwrap();
        let topic = format!("omnisight/swarm/tracks/{}/{}", self.id, message.track_id.0);
        self.sender.send(Envelope::new(MessageClass::Track, topic, buffer.clone()));
    }
}

/// Lets the neighbours repeat what the measured camera says, for a time; how much that was.
async fn echo(ears: &mut Deliveries, neighbours: &[Neighbour], seq: &mut u64, within: Duration) -> usize {
    let (mut heard, mut buffer) = (0, Vec::new());
    let until = tokio::time::Instant::now() + within;
    while let Ok(Some(delivery)) = tokio::time::timeout_at(until, ears.recv()).await {
        let Message::Track(told) = decoded(&delivery) else { continue };
        heard += 1;
        *seq += 1;
        for (number, neighbour) in neighbours.iter().enumerate() {
            neighbour.say(number, &told, *seq, &mut buffer);
        }
    }
    heard
}

/// The processor time of the daemon's threads so far, by name; those of one name together.
fn times(daemon: &Program) -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap() {
        let task = task.unwrap().path();
        // A thread may end while it is looked at.
        let (Ok(name), Ok(ran)) =
            (std::fs::read_to_string(task.join("comm")), std::fs::read_to_string(task.join("schedstat")))
        else {
            continue;
        };
        let ran_ns: u64 = ran.split(' ').next().unwrap().parse().unwrap();
        *times.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(ran_ns);
    }
    times
}
