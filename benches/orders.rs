//! How fast a camera answers, and how soon others know that it is gone: the real program and a real mosquitto
//! on this machine.
//!
//! `cargo bench --bench orders` runs every part; `-- PART ...` some of them: `reply` (the command `status` ten
//! times a second, alone and while [`FLOOD_PER_S`] data messages a second go through the same broker to a
//! subscriber), `gone` (from SIGKILL, and from a network that swallows everything, to `disconnected`). Broker,
//! flood, subscriber and camera share the machine, so the figures are those of the whole chain.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]
#![expect(clippy::print_stdout, reason = "its report")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use omnisight::model::{Envelope, MessageClass};
use support::mosquitto::Mosquitto;
use support::program::{Camera, Program, SMALL_PLAZA};
use support::proxy::Proxy;
use support::{Kind, Peer, Setup, TestBroker};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Data messages a second.
const FLOOD_PER_S: u64 = 50_000;
/// Questions in each part.
const QUESTIONS: u32 = 300;
/// Of the camera's connections, seconds.
const KEEP_ALIVE_S: u64 = 5;

fn main() {
    if !Mosquitto::installed() {
        return;
    }
    let wanted: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, part) in [("reply", true), ("gone", false)] {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("## {name}; load {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
            if part { runtime.block_on(reply()) } else { runtime.block_on(gone()) }
        }
    }
}

/// A camera and somebody who has heard that it runs.
async fn start(camera_port: u16, port: u16) -> (Camera, Program, Peer) {
    let sections = format!(
        "[[broker_link]]\nurl = 'mqtt://127.0.0.1:{camera_port}'\nkeep_alive_s = {KEEP_ALIVE_S}\n[control]\nrate_per_s = 1000"
    );
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &sections);
    let mut status = Peer::subscribed(port, "status", "inference/gate/control/status").await;
    let program = camera.run();
    says(&mut status, "running").await;
    (camera, program, status)
}

async fn says(status: &mut Peer, word: &str) {
    let wanted = format!("\"status\":\"{word}\"");
    status.until(|delivery| String::from_utf8_lossy(&delivery.payload).contains(&wanted)).await;
}

async fn reply() {
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let (_camera, _program, _status) = start(broker.port(), broker.port()).await;
    let mut asker = Peer::subscribed(broker.port(), "asker", "inference/gate/control/replies").await;
    ask(&mut asker, "alone").await;
    let flood = Flood::start(broker.port());
    let began = Instant::now();
    ask(&mut asker, "in the flood").await;
    let (sent, heard) = flood.stop();
    let s = began.elapsed().as_secs_f64();
    println!("flood: {:.0} messages/s sent, {:.0} heard", sent as f64 / s, heard as f64 / s);
}

async fn ask(asker: &mut Peer, part: &str) {
    let mut tick = interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took_ms = Vec::new();
    for number in 0..QUESTIONS {
        tick.tick().await;
        let id = format!("{part}-{number}");
        let payload = format!("{{\"command\":\"status\",\"id\":\"{id}\"}}");
        let began = Instant::now();
        asker.send(Envelope::new(MessageClass::Reply, "inference/gate/control/commands", payload));
        let wanted = format!("\"id\":\"{id}\"");
        asker.until(|delivery| String::from_utf8_lossy(&delivery.payload).contains(&wanted)).await;
        took_ms.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    took_ms.sort_by(f64::total_cmp);
    let at = |share: f64| took_ms[((took_ms.len() - 1) as f64 * share).round() as usize];
    println!(
        "status, {part}: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms (limit p99 20 ms)",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

async fn gone() {
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let (_camera, program, mut status) = start(broker.port(), broker.port()).await;
    let began = Instant::now();
    program.signal("KILL");
    says(&mut status, "disconnected").await;
    println!("killed: disconnected after {:.2} s", began.elapsed().as_secs_f64());
    let proxy = Proxy::start(broker.port()).await;
    let (_camera, _program, mut status) = start(proxy.port(), broker.port()).await;
    let began = Instant::now();
    proxy.swallow(|_, _| true);
    let limit = 1.5 * KEEP_ALIVE_S as f64 + 5.0;
    timeout(Duration::from_mins(1), says(&mut status, "disconnected")).await.unwrap();
    println!("network gone: disconnected after {:.2} s (limit {limit:.1} s)", began.elapsed().as_secs_f64());
}

/// `QoS` 0 messages of 300 bytes through the broker to one subscriber, by threads with bare sockets.
struct Flood {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

const TOPIC: &str = "inference/data/flood";
const MESSAGE_BYTES: usize = 300;

impl Flood {
    fn start(port: u16) -> Self {
        let (over, sent, heard) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut flood = Self { over, sent, heard, threads: Vec::new() };
        let mut subscriber = connected(port, "flood-ear");
        let filter = TOPIC.as_bytes();
        let mut subscribe = vec![0x82, (filter.len() + 5) as u8, 0, 1, 0, filter.len() as u8];
        subscribe.extend(filter);
        subscribe.push(0);
        subscriber.write_all(&subscribe).unwrap();
        let (over, heard) = (Arc::clone(&flood.over), Arc::clone(&flood.heard));
        flood.threads.push(std::thread::spawn(move || {
            subscriber.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
            while !over.load(Ordering::Relaxed) {
                bytes += subscriber.read(&mut buffer).unwrap_or(0) as u64;
                heard.store(bytes / packet().len() as u64, Ordering::Relaxed);
            }
        }));
        let mut publisher = connected(port, "flood");
        let (over, sent) = (Arc::clone(&flood.over), Arc::clone(&flood.sent));
        flood.threads.push(std::thread::spawn(move || {
            let batch = FLOOD_PER_S / 200;
            let bytes = packet().repeat(usize::try_from(batch).unwrap());
            let began = Instant::now();
            while !over.load(Ordering::Relaxed) {
                publisher.write_all(&bytes).unwrap();
                let sent = sent.fetch_add(batch, Ordering::Relaxed) + batch;
                let due = Duration::from_secs_f64(sent as f64 / FLOOD_PER_S as f64);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }));
        flood
    }

    fn stop(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        (self.sent.load(Ordering::Relaxed), self.heard.load(Ordering::Relaxed))
    }
}

/// An MQTT 3.1.1 PUBLISH at `QoS` 0.
fn packet() -> Vec<u8> {
    let rest = 2 + TOPIC.len() + MESSAGE_BYTES;
    let mut packet = vec![0x30, (rest % 128) as u8 | 0x80, (rest / 128) as u8, 0, TOPIC.len() as u8];
    packet.extend(TOPIC.as_bytes());
    packet.resize(packet.len() + MESSAGE_BYTES, b'x');
    packet
}

fn connected(port: u16, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut connect = vec![0x10, (12 + id.len()) as u8, 0, 4];
    connect.extend(b"MQTT\x04\x02\x00\x00\x00");
    connect.push(id.len() as u8);
    connect.extend(id.as_bytes());
    stream.write_all(&connect).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    stream
}
