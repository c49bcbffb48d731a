//! How fast messages leave, how long they take, and what waiting costs: against a real mosquitto on this
//! machine, in one run with bare `rumqttc` and `mosquitto_pub -l`.
//!
//! `cargo bench --bench delivery` runs every part; `-- PART ...` some of them: `disk`, `throughput`,
//! `latency`, `lanes`, `memory`, `idle`, `reconnect`, `wear`. Everything shares the machine with the broker
//! and its subscribers, so absolute figures are those of the whole chain; compare within one run.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]
#![expect(clippy::print_stdout, reason = "its report")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use omnisight::base::SystemClock;
use omnisight::link::{
    self, Carries, Client, Deliveries, LinkHandle, Outbox, OutboxOptions, QueueLimits, Route, Router, State,
    WaitingLimits,
};
use omnisight::model::{Envelope, Lane, MessageClass, Qos};
use support::mosquitto::Mosquitto;
use support::{free_port, link_options};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The size of every message.
const MESSAGE_BYTES: usize = 300;

/// A part of the report.
type Part = (&'static str, fn());

const PARTS: [Part; 8] = [
    ("disk", disk),
    ("throughput", throughput),
    ("latency", latency),
    ("lanes", lanes),
    ("memory", || in_child("queue-100000")),
    ("idle", || in_child("idle-links")),
    ("reconnect", reconnect),
    ("wear", wear),
];

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match wanted.first().map(String::as_str) {
        Some("queue-100000") => return queue_100_000(),
        Some("idle-links") => return idle_links(),
        Some("wear-at") => return wear_at(&wanted),
        _ => {}
    }
    if !Mosquitto::installed() {
        return;
    }
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap();
            let load = load.split(' ').next().unwrap();
            println!("== {name} (load average {load})");
            part();
        }
    }
}

/// Memory and written bytes are a process's own.
fn in_child(part: &str) {
    let done = Command::new(std::env::current_exe().unwrap()).args(part.split(' ')).status().unwrap();
    assert!(done.success(), "{part}");
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(future)
}

struct Broker {
    port: u16,
    folder: TempDir,
    process: Option<Mosquitto>,
}

impl Broker {
    fn start() -> Self {
        let mut broker = Self { port: free_port(), folder: tempfile::tempdir().unwrap(), process: None };
        broker.start_again();
        broker
    }

    fn start_again(&mut self) {
        let settings =
            "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\nset_tcp_nodelay true";
        self.process = Some(Mosquitto::start(self.folder.path(), self.port, settings));
    }
}

/// A link whose queues hold all that a part may put in.
fn options(port: u16) -> link::Options {
    let all = QueueLimits { messages: 1_000_000, bytes: 1 << 30 };
    let waiting = WaitingLimits { all, ..WaitingLimits::default() };
    link::Options { waiting, in_flight_max: 256, ..link_options(port) }
}

async fn connect(options: &link::Options, client: Client) -> (LinkHandle, Deliveries) {
    let (link, deliveries) = link::spawn(options, client, Arc::new(SystemClock::new())).unwrap();
    link.status().wait_for(|status| status.state == State::Connected).await.unwrap();
    (link, deliveries)
}

fn client(id: &str) -> Client {
    Client { id: id.to_owned(), ..Client::default() }
}

fn message(class: MessageClass, qos: Qos, topic: &str) -> Envelope {
    Envelope { qos, ..Envelope::new(class, topic, vec![b'x'; MESSAGE_BYTES]) }
}

/// A store, and the one link that it serves.
async fn stored(port: u16, folder: &TempDir, commit_delay: Duration) -> (Outbox, LinkHandle, Router) {
    let outbox = OutboxOptions { commit_delay, ..OutboxOptions::new(folder.path().join("outbox")) };
    let outbox = Outbox::open(&outbox, &["main"], Arc::new(SystemClock::new()));
    let client = Client { rows: outbox.rows("main"), ..client("stored") };
    let (link, _) = connect(&options(port), client).await;
    let route =
        Route { name: "main".to_owned(), carries: Carries::default(), data: link.sender(), control: None };
    let router = Router::new(vec![route], Some(outbox.clone()));
    (outbox, link, router)
}

/// A subscriber in a process of its own that ends when it has got so many.
fn subscriber(port: u16, qos: &str, count: usize) -> Child {
    let child = Command::new("mosquitto_sub")
        .args(["-p", &port.to_string(), "-t", "bench", "-q", qos, "-C", &count.to_string(), "-W", "120"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    child
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn percentile(sorted: &[Duration], of_hundred: f64) -> f64 {
    let at = ((sorted.len() - 1) as f64 * of_hundred / 100.0).round() as usize;
    sorted[at].as_secs_f64() * 1e3
}

fn disk() {
    report("write 400 bytes and fdatasync", &disk_times(200, Duration::ZERO));
}

/// How long the disk takes to keep what was written, a number of times with a pause between. Written into
/// room that was taken before, as the outbox does.
fn disk_times(count: usize, pause: Duration) -> Vec<Duration> {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("file")).unwrap();
    let room = (count * 400) as u64;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, room).unwrap();
    file.sync_all().unwrap();
    let mut times = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        file.write_all_at(&[1; 400], (number * 400) as u64).unwrap();
        file.sync_data().unwrap();
        times.push(began.elapsed());
        std::thread::sleep(pause);
    }
    times.sort();
    times
}

/// How late a thread wakes that sleeps a millisecond: what the machine itself does to every latency.
fn wake_times(count: usize) -> Vec<Duration> {
    const NAP: Duration = Duration::from_millis(1);
    let nap = |_| {
        let began = Instant::now();
        std::thread::sleep(NAP);
        began.elapsed().saturating_sub(NAP)
    };
    let mut times: Vec<_> = (0..count).map(nap).collect();
    times.sort();
    times
}

const FLOOD: usize = 100_000;
const ROUNDS: usize = 5;

/// One flood, as it went.
#[derive(Clone, Copy)]
struct Flood {
    per_second: f64,
    /// Processor time that the sender took, in microseconds for each message: what is its own even when
    /// the broker is what limits the rate.
    sender_cpu_us: f64,
}

fn throughput() {
    let broker = Broker::start();
    let port = broker.port;
    println!(
        "QoS 0, {FLOOD} messages of {MESSAGE_BYTES} bytes, all delivered, per second (CPU of the sender):"
    );
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let round = [
            flood(port, "0", FLOOD, || run(flood_ours(port))),
            flood(port, "0", FLOOD, || run(flood_rumqttc(port))),
            flood(port, "0", FLOOD, || flood_tool(port)),
        ];
        println!("  {}", in_words(round));
        rounds.push(round);
    }
    let of = |which: usize| Flood {
        per_second: median(rounds.iter().map(|round| round[which].per_second).collect()),
        sender_cpu_us: median(rounds.iter().map(|round| round[which].sender_cpu_us).collect()),
    };
    println!("  medians: {}", in_words([0, 1, 2].map(of)));
    // The machine's load changes from round to round, and far less within one.
    let share = |peer: usize| {
        let shares = rounds.iter().map(|round| round[0].per_second / round[peer].per_second * 100.0);
        median(shares.collect())
    };
    println!(
        "  ours is {:.0} % of rumqttc, {:.0} % of mosquitto_pub: medians of the rounds",
        share(1),
        share(2)
    );
    println!("QoS 1, durable, 40000 messages, per second (CPU of the sender):");
    let mut rates = Vec::new();
    for _ in 0..3 {
        let Flood { per_second, sender_cpu_us } =
            flood(port, "1", 40_000, || run(flood_durable(port, 40_000)));
        println!("  {per_second:.0} ({sender_cpu_us:.1} us)");
        rates.push(per_second);
    }
    println!("  median: {:.0}", median(rates));
}

fn in_words(floods: [Flood; 3]) -> String {
    let words = ["ours", "rumqttc", "mosquitto_pub -l"].iter().zip(floods);
    let words =
        words.map(|(who, flood)| format!("{who} {:.0} ({:.1} us)", flood.per_second, flood.sender_cpu_us));
    words.collect::<Vec<_>>().join(", ")
}

/// From the start of the sender to the last message at the subscriber.
fn flood(port: u16, qos: &str, count: usize, send: impl FnOnce()) -> Flood {
    let mut subscriber = subscriber(port, qos, count);
    let (began, cpu) = (Instant::now(), cpu_ms());
    send();
    let cpu = cpu_ms() - cpu;
    assert!(subscriber.wait().unwrap().success(), "not all were delivered");
    Flood {
        per_second: count as f64 / began.elapsed().as_secs_f64(),
        sender_cpu_us: cpu as f64 * 1e3 / count as f64,
    }
}

/// Processor time of this process and of the children that it has waited for: `/proc/self/stat`, whose unit
/// is 10 ms.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in brackets, may hold anything; the state is what follows it.
    let after_name = stat.rsplit_once(')').unwrap().1.split_whitespace();
    after_name.skip(11).take(4).map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
}

async fn flood_ours(port: u16) {
    let (mut link, _deliveries) = connect(&options(port), client("ours")).await;
    let sender = link.sender();
    for _ in 0..FLOOD {
        sender.send(message(MessageClass::Event, Qos::AtMostOnce, "bench"));
    }
    link.close(None, Duration::from_mins(1)).await;
}

async fn flood_rumqttc(port: u16) {
    use rumqttc::v5::{AsyncClient, MqttOptions, mqttbytes::QoS};
    let mut options = MqttOptions::new("bare", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_mins(1));
    let (client, mut events) = AsyncClient::new(options, 1_000);
    let polling = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    for _ in 0..FLOOD {
        client.publish("bench", QoS::AtMostOnce, false, vec![b'x'; MESSAGE_BYTES]).await.unwrap();
    }
    client.disconnect().await.unwrap();
    polling.await.unwrap();
}

fn flood_tool(port: u16) {
    let mut child = Command::new("mosquitto_pub")
        .args(["-p", &port.to_string(), "-t", "bench", "-q", "0", "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let line = [vec![b'x'; MESSAGE_BYTES], vec![b'\n']].concat();
    let mut input = std::io::BufWriter::with_capacity(1 << 16, child.stdin.take().unwrap());
    for _ in 0..FLOOD {
        input.write_all(&line).unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

async fn flood_durable(port: u16, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _link, router) = stored(port, &folder, Duration::from_millis(50)).await;
    for sent in 0..count {
        router.send(message(MessageClass::Event, Qos::AtLeastOnce, "bench"));
        // What is not on the disk yet is bounded; a camera never comes near it.
        while sent % 1_000 == 999 && outbox.status().queued.total() > 5_000 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    while outbox.status().counters.settled < count as u64 {
        let evicted = outbox.status().counters.evicted.total();
        assert_eq!(evicted, 0);
        sleep(Duration::from_millis(1)).await;
    }
}

/// Messages at a steady rate, each with when it left; how long each took to arrive.
async fn measure(
    incoming: &mut Deliveries,
    count: usize,
    per_second: u32,
    mut send: impl FnMut(Vec<u8>) + Send + 'static,
) -> Vec<Duration> {
    let epoch = Instant::now();
    let sending = tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs(1) / per_second);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..count {
            tick.tick().await;
            let mut payload = vec![b'x'; MESSAGE_BYTES];
            payload[..8].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_le_bytes());
            send(payload);
        }
    });
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let delivery = tokio::time::timeout(Duration::from_secs(30), incoming.recv()).await.unwrap().unwrap();
        let left = u64::from_le_bytes(delivery.payload[..8].try_into().unwrap());
        times.push(epoch.elapsed().saturating_sub(Duration::from_nanos(left)));
    }
    sending.await.unwrap();
    times.sort();
    times
}

fn report(what: &str, times: &[Duration]) {
    let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|of| percentile(times, of));
    println!("  {what}: p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms");
}

async fn listener(port: u16, id: &str, topic: &str, qos: Qos) -> (LinkHandle, Deliveries) {
    let subscriptions = vec![(topic.to_owned(), qos)];
    let deliveries = link::DeliveryLimits { messages: 100_000, bytes: 1 << 28 };
    let options = link::Options { deliveries, ..options(port) };
    let heard = connect(&options, Client { subscriptions, ..client(id) }).await;
    sleep(Duration::from_millis(200)).await;
    heard
}

fn latency() {
    let broker = Broker::start();
    println!("publish to receive at 500/s, 2500 messages each:");
    run(async {
        let (_ears, mut heard) = listener(broker.port, "ears", "bench/#", Qos::ExactlyOnce).await;
        let (link, _) = connect(&options(broker.port), client("mouth")).await;
        for (what, qos) in [("QoS 0", Qos::AtMostOnce), ("QoS 2, not durable", Qos::ExactlyOnce)] {
            let sender = link.sender();
            let times = measure(&mut heard, 2_500, 500, move |payload| {
                sender.send(Envelope { qos, ..Envelope::new(MessageClass::Reply, "bench/a", payload) });
            });
            report(what, &times.await);
        }
        for delay_ms in [50, 0] {
            let folder = tempfile::tempdir().unwrap();
            let (_outbox, _link, router) =
                stored(broker.port, &folder, Duration::from_millis(delay_ms)).await;
            // No commit is faster than the disk is meanwhile.
            let disk = tokio::task::spawn_blocking(|| disk_times(200, Duration::from_millis(20)));
            let times = measure(&mut heard, 2_500, 500, move |payload| {
                router.send(Envelope::new(MessageClass::Event, "bench/a", payload));
            });
            report(&format!("QoS 1, durable, commit_delay_ms = {delay_ms}"), &times.await);
            report("  the disk's own write and fdatasync beside it", &disk.await.unwrap());
        }
    });
}

/// A flood on the data lane, and something small on the control lane.
fn lanes() {
    let broker = Broker::start();
    let mut subscriber = Command::new("mosquitto_sub")
        .args(["-p", &broker.port.to_string(), "-t", "bench", "-q", "0"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    run(async {
        let (_ears, mut heard) = listener(broker.port, "ears", "control/#", Qos::AtLeastOnce).await;
        let (data, _) = connect(&options(broker.port), client("c")).await;
        let (control, _) = connect(&options(broker.port), client("c-control")).await;
        let route = Route {
            name: "main".to_owned(),
            carries: Carries::default(),
            data: data.sender(),
            control: Some(("main-control".to_owned(), control.sender())),
        };
        let router = Router::new(vec![route], None);
        let flood = router.clone();
        let flooding = tokio::spawn(async move {
            let mut tick = interval(Duration::from_millis(2));
            loop {
                tick.tick().await;
                // A tenth more than is asked for, because the count that is shown lags behind.
                for _ in 0..110 {
                    flood.send(message(MessageClass::Event, Qos::AtMostOnce, "bench"));
                }
            }
        });
        let before = (Instant::now(), data.status().borrow().counters.sent);
        let machine = tokio::task::spawn_blocking(|| wake_times(5_000));
        let times = measure(&mut heard, 1_000, 100, move |payload| {
            router.send(Envelope {
                lane: Lane::Control,
                ..Envelope::new(MessageClass::Reply, "control/a", payload)
            });
        })
        .await;
        let sent = data.status().borrow().counters.sent - before.1;
        let rate = sent as f64 / before.0.elapsed().as_secs_f64();
        flooding.abort();
        report(&format!("QoS 1 on the control lane while {rate:.0}/s leave on the data lane"), &times);
        report("  how late a sleeping thread wakes meanwhile", &machine.await.unwrap());
    });
    subscriber.kill().unwrap();
    subscriber.wait().unwrap();
}

/// `VmRSS` or `VmHWM`, kilobytes.
fn memory_kb(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn queue_100_000() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let before = memory_kb("VmRSS");
        let outbox = OutboxOptions::new(folder.path().join("outbox"));
        let outbox = Outbox::open(&outbox, &["main"], Arc::new(SystemClock::new()));
        let client = Client { rows: outbox.rows("main"), ..client("stored") };
        // Nobody listens on port 1.
        let (link, _deliveries) =
            link::spawn(&link_options(1), client, Arc::new(SystemClock::new())).unwrap();
        let route = Route {
            name: "main".to_owned(),
            carries: Carries::default(),
            data: link.sender(),
            control: None,
        };
        let router = Router::new(vec![route], Some(outbox.clone()));
        for sent in 0..100_000_u64 {
            router.send(message(
                MessageClass::Event,
                Qos::AtLeastOnce,
                "omnisight/swarm/events/camera-1/12345",
            ));
            while sent % 1_000 == 999 && outbox.status().counters.committed + 2_000 < sent {
                sleep(Duration::from_millis(5)).await;
            }
        }
        while outbox.status().counters.committed < 100_000 {
            sleep(Duration::from_millis(5)).await;
        }
        let queued = outbox.status().queued.total();
        let (now, peak, disk) = (memory_kb("VmRSS"), memory_kb("VmHWM"), outbox.status().disk.bytes);
        println!(
            "{queued} events of {MESSAGE_BYTES} bytes queued: {:.1} MB resident (peak {:.1} MB; {:.1} MB before), {:.1} MB on the disk",
            now as f64 / 1e3,
            peak as f64 / 1e3,
            before as f64 / 1e3,
            disk as f64 / 1e6
        );
    });
}

fn idle_links() {
    const LINKS: usize = 400;
    let broker = Broker::start();
    run(async {
        let mut links = Vec::new();
        links.push(connect(&options(broker.port), client("first")).await);
        let before = memory_kb("VmRSS");
        for number in 0..LINKS {
            links.push(connect(&options(broker.port), client(&format!("idle-{number}"))).await);
        }
        sleep(Duration::from_secs(2)).await;
        let each = (memory_kb("VmRSS") - before) as f64 / LINKS as f64;
        println!("{LINKS} further idle connections: {each:.1} kB resident each");
    });
}

fn reconnect() {
    const SESSIONS: usize = 200;
    let mut broker = Broker::start();
    run(async {
        let usual = link::Options { backoff: link::Options::default().backoff, ..options(broker.port) };
        let mut links = Vec::new();
        for number in 0..SESSIONS {
            links.push(connect(&usual, client(&format!("session-{number}"))).await);
        }
        broker.process = None;
        sleep(Duration::from_secs(20)).await;
        let back = Instant::now();
        broker.start_again();
        let mut waiting = tokio::task::JoinSet::new();
        for (link, deliveries) in links {
            waiting.spawn(async move {
                link.connects().wait_for(|connects| *connects >= 2).await.unwrap();
                (back.elapsed(), link, deliveries)
            });
        }
        let times: Vec<_> = waiting.join_all().await.into_iter().map(|(time, ..)| time).collect();
        let mut slots = std::collections::BTreeMap::<u128, usize>::new();
        for time in &times {
            *slots.entry(time.as_millis() / 100).or_default() += 1;
        }
        let fullest = *slots.values().max().unwrap() as f64 / SESSIONS as f64 * 100.0;
        let last = times.iter().max().unwrap().as_secs_f64();
        println!(
            "{SESSIONS} sessions after 20 s without a broker: the fullest 100 ms hold {fullest:.1} %, all back after {last:.1} s"
        );
    });
}

fn wear() {
    for (per_second, seconds) in [(1, 30), (500, 10)] {
        for delay_ms in [50, 0] {
            in_child(&format!("wear-at {per_second} {seconds} {delay_ms}"));
        }
    }
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

fn wear_at(words: &[String]) {
    let number = |at: usize| words[at].parse::<u32>().unwrap();
    let (per_second, seconds, delay_ms) = (number(1), number(2), number(3));
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let delay = Duration::from_millis(u64::from(delay_ms));
        let (outbox, _link, router) = stored(broker.port, &folder, delay).await;
        let (before, commits) = (written_bytes(), outbox.status().disk.commits);
        let mut tick = interval(Duration::from_secs(1) / per_second);
        for _ in 0..per_second * seconds {
            tick.tick().await;
            router.send(message(MessageClass::Event, Qos::AtLeastOnce, "bench"));
        }
        let count = u64::from(per_second * seconds);
        while outbox.status().counters.settled < count {
            sleep(Duration::from_millis(10)).await;
        }
        outbox.close(Duration::from_secs(5));
        let written = written_bytes() - before;
        let commits = outbox.status().disk.commits - commits;
        println!(
            "{per_second}/s for {seconds} s, commit_delay_ms = {delay_ms}: {} bytes written for each event of {MESSAGE_BYTES} bytes, {commits} commits",
            written / count
        );
    });
}
