//! What swarm and link cost the daemon: the real program with 50 people before it at 10 Hz, a real mosquitto,
//! and three neighbours that report the same people as often. So 500 track messages a second leave, and 1,500
//! come in, are decoded, judged and fused.
//!
//! `cargo bench --bench daemon` prints the processor time of the daemon's threads, by their names, as a part
//! of one core, over [`MEASURED`]. The threads of the runtime carry link and swarm (and what little else there
//! is: status, timers); capture and perception have threads of their own. Limit: 5 % of one core.
//!
//! The same load is measured without signatures and with signatures on all families, in this order, [`ROUNDS`]
//! times, and the ratio of the processor times of the whole process is printed. Limit: 1.15.

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
use omnisight::swarm::trust::signature::{PROPERTY, Signer};
use omnisight::swarm::wire::{Count, Real};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
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
/// Pairs of measurements without and with signatures.
const ROUNDS: usize = 2;
/// The camera under test.
const CAMERA: &str = "measured";

/// Seen straight from above: 1920 x 1080 pixels on 96 x 54 m, persons of 10 pixels, which no detector would find.
const CALIBRATION: &str = "[calibration]\naccept_doubtful = true\nimage_width = 1920\nimage_height = 1080\n\
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
    let mut spent_s = [0.0; 2];
    for _ in 0..ROUNDS {
        for (signs, spent_s) in [false, true].into_iter().zip(&mut spent_s) {
            *spent_s += measure(signs).await;
        }
    }
    let [without, with] = spent_s;
    println!("signatures on all families cost {:.3} times the processor time without", with / without);
}

/// Prints the cost of one load; the processor time that the daemon spent on it, seconds.
async fn measure(signs: bool) -> f64 {
    let broker = TestBroker::start(Kind::Mosquitto, Setup { persistent: false, ..Setup::default() }).await;
    let neighbours: Vec<_> =
        (1..=NEIGHBOURS).map(|number| Neighbour::new(number, broker.port(), signs)).collect();
    let mut ears = Peer::watch_tracks(broker.port(), CAMERA);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.txt");
    std::fs::write(&file, recording()).unwrap();
    let capture = format!(
        "kind = 'replay'\npace = 'realtime'\nfile = '{}'\nwidth = 1920\nheight = 1080\nfps = {FPS}.0",
        file.display()
    );
    let link = format!("[[broker_link]]\nurl = 'mqtt://127.0.0.1:{}'\n", broker.port());
    let trust = if signs { "[trust]\nsign = true\nrequire = true\n" } else { "" };
    let sections = format!("{link}{trust}[control]\nenabled = false\n{CALIBRATION}");
    let camera = Camera::with_sections(CAMERA, &capture, &sections);
    let daemon = camera.run();
    let mut seq = 0;
    echo(&mut ears.deliveries, &neighbours, &mut seq, WARM_UP).await;
    let before = times(&daemon);
    let began = Instant::now();
    let heard = echo(&mut ears.deliveries, &neighbours, &mut seq, MEASURED).await;
    let took_s = began.elapsed().as_secs_f64();
    let after = times(&daemon);
    assert!(heard > 0, "the daemon reports no tracks; it said:\n{}", daemon.log());
    let out_hz = heard as f64 / took_s;
    let kind = if signs { "signed" } else { "unsigned" };
    println!("{kind}: {out_hz:.0} track messages a second out, {:.0} in", out_hz * NEIGHBOURS as f64);
    let mut all_s = 0.0;
    for (thread, time) in &after {
        let spent_s = time.saturating_sub(before.get(thread).copied().unwrap_or_default()).as_secs_f64();
        println!("{thread:<20} {:.2} % of one core", 100.0 * spent_s / took_s);
        all_s += spent_s;
    }
    all_s
}

/// A camera that sees whom the measured one sees.
struct Neighbour {
    id: CameraId,
    sender: LinkSender,
    signer: Option<Signer>,
    _peer: Peer,
}

impl Neighbour {
    fn new(number: usize, port: u16, signs: bool) -> Self {
        let id = CameraId::parse(&format!("neighbour-{number}")).unwrap();
        let peer = Peer::spawn(&link_options(port), id.as_str(), None, &[]);
        let now_ms = SystemClock::new().now().epoch_ms;
        let signer = signs.then(|| {
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Signer::new(&id, key.as_ref(), None).unwrap()
        });
        let key =
            signer.as_ref().map_or(String::new(), |s| format!(r#","public_key":"{}""#, s.announcement()));
        let status = format!(
            r#"{{"camera_id":"{id}","state":"online","version":"1","boot":{now_ms},"timestamp":{now_ms},"ground":"calibrated","footprint":{FOOTPRINT}{key}}}"#
        );
        let mut envelopes = [presence(&format!("omnisight/swarm/status/{id}"), &status)];
        sign(signer.as_ref(), &mut envelopes);
        let [envelope] = envelopes;
        peer.send(envelope);
        Self { id, sender: peer.link.sender(), signer, _peer: peer }
    }

    /// Reports the tracks of one scene of the measured camera, a few centimeters beside them.
    fn say(&self, number: usize, scene: &[TrackMessage], first_seq: u64) {
        let beside = |v: Real| Real(v.0 + 0.03 * (number as f64 - 1.0));
        let mut envelopes: Vec<_> = scene
            .iter()
            .zip(first_seq..)
            .map(|(told, seq)| {
                let mut message =
                    TrackMessage { camera_id: self.id.clone(), seq: Some(Count(seq)), ..told.clone() };
                message.global_position.x = beside(message.global_position.x);
                message.global_position.y = beside(message.global_position.y);
                let mut buffer = Vec::new();
                codec::encode(&message, &mut buffer).unwrap();
                let topic = format!("omnisight/swarm/tracks/{}/{}", self.id, message.track_id.0);
                Envelope::new(MessageClass::Track, topic, buffer)
            })
            .collect();
        sign(self.signer.as_ref(), &mut envelopes);
        for envelope in envelopes {
            self.sender.send(envelope);
        }
    }
}

/// Signs messages together.
fn sign(signer: Option<&Signer>, envelopes: &mut [Envelope]) {
    let Some(signer) = signer else { return };
    let messages: Vec<(&str, &[u8])> = envelopes.iter().map(|e| (&*e.topic, &*e.payload)).collect();
    let values = signer.sign_all(SystemClock::new().now().epoch_ms, &messages);
    for (envelope, value) in envelopes.iter_mut().zip(values) {
        envelope.user_properties.push((PROPERTY.to_owned(), value));
    }
}

/// Lets the neighbours repeat each scene of the measured camera, for a time; the number of its track messages.
async fn echo(ears: &mut Deliveries, neighbours: &[Neighbour], seq: &mut u64, within: Duration) -> usize {
    let (mut heard, mut scene) = (0, Vec::<TrackMessage>::new());
    let until = tokio::time::Instant::now() + within;
    while let Ok(Some(delivery)) = tokio::time::timeout_at(until, ears.recv()).await {
        let Message::Track(told) = decoded(&delivery) else { continue };
        heard += 1;
        if scene.first().is_some_and(|first| first.timestamp != told.timestamp) {
            for (number, neighbour) in neighbours.iter().enumerate() {
                neighbour.say(number, &scene, *seq + 1);
            }
            *seq += scene.len() as u64;
            scene.clear();
        }
        scene.push(told);
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
