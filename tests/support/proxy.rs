//! A proxy between links and a broker that does to connections what the field does to them.
//!
//! ```text
//! link <-> reader -> packets -> judge -> delay, throttle -> writer <-> broker     (and the same back)
//!                       |
//!                       +-> Seen: every MQTT packet that came by, with what became of it
//! ```
//!
//! - A *judge* sees every packet and says what becomes of it ([`Verdict`]): passed, dropped, or the
//!   connection cut before it, in its midst, or after it.
//! - [`Conditions`] hold for all connections, present and new: delay, bytes per second, silence (bytes
//!   are read and go nowhere, which is what a half-open connection looks like), new connections
//!   refused or accepted and forgotten.
//! - Connections can be cut on both sides, or on the link's side alone, so that the broker goes on
//!   believing in them; and new ones can be held back, so that a later one reaches the broker first.
//! - What is not MQTT (TLS, WebSocket) passes as it comes, and is not seen.
//!
//! Counts are over the proxy's life, and over all its connections.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Bytes that the kernel keeps for the proxy on each socket, so that a throttled link feels it soon.
const SOCKET_BYTES: u32 = 8 << 10;
/// Pieces of at most 1 KiB that wait in each direction for a delay or a throttle.
const PIECES_MAX: usize = 16;
const PIECE_BYTES: usize = 1024;

/// Who sent some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum From {
    Link,
    Broker,
}

/// The control packets of MQTT, by the number in their first byte (MQTT 5, 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Connect = 1,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

const KINDS: [Kind; 15] = [
    Kind::Connect,
    Kind::ConnAck,
    Kind::Publish,
    Kind::PubAck,
    Kind::PubRec,
    Kind::PubRel,
    Kind::PubComp,
    Kind::Subscribe,
    Kind::SubAck,
    Kind::Unsubscribe,
    Kind::UnsubAck,
    Kind::PingReq,
    Kind::PingResp,
    Kind::Disconnect,
    Kind::Auth,
];

/// A packet that came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The connection, numbered from 0 as they were accepted.
    pub connection: usize,
    pub from: From,
    pub kind: Kind,
    /// Of a PUBLISH with an acknowledgement, and of all acknowledgements; else 0.
    pub packet_id: u16,
    /// Of a PUBLISH.
    pub qos: u8,
    /// Of a PUBLISH: it was sent before.
    pub dup: bool,
    /// Of a PUBLISH; empty when an alias stands for it.
    pub topic: String,
    /// Of a PUBLISH.
    pub payload: Bytes,
    /// Of an acknowledgement in MQTT 5, of a CONNACK and a DISCONNECT: what it says; else 0.
    pub reason: u8,
    /// All of it, with its header.
    pub bytes: usize,
    /// What became of it. (Set by the judge; silence swallows it afterwards.)
    pub verdict: Verdict,
}

impl Seen {
    /// It went on, whole.
    pub fn passed(&self) -> bool {
        matches!(self.verdict, Verdict::Pass | Verdict::CutAfter)
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// It goes nowhere; the connection lives on.
    Drop,
    /// The connection is cut when so many bytes of it have gone on (0: none).
    CutAt(usize),
    /// It goes on, then the connection is cut.
    CutAfter,
    /// It goes nowhere, nor what follows it this way; so much later the connection is cut. What a network
    /// does to what the sender believes to have sent.
    CutLater(Duration),
}

/// What holds for all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// How much later everything arrives, in each direction.
    pub delay: Duration,
    /// How fast it goes, in each direction; none: as fast as it can.
    pub bytes_per_second: Option<u32>,
    /// Bytes of the link go nowhere.
    pub deaf: bool,
    /// Bytes of the broker go nowhere.
    pub mute: bool,
    pub arrivals: Arrivals,
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrivals {
    #[default]
    GoOn,
    /// Accepted and closed at once.
    Close,
    /// Accepted, and nothing more happens.
    Forget,
}

type Judge = Box<dyn FnMut(&Seen) -> Verdict + Send>;
type RawFilter = Box<dyn Fn(From, &[u8]) -> bool + Send>;

struct Shared {
    broker: SocketAddr,
    conditions: watch::Sender<Conditions>,
    judge: Mutex<Option<Judge>>,
    swallow: Mutex<Option<RawFilter>>,
    seen: Mutex<Vec<Seen>>,
    recording: AtomicBool,
    counts: watch::Sender<BTreeMap<(From, Kind), usize>>,
    accepted: AtomicUsize,
    /// So many of the next connections wait for the next release.
    to_hold: AtomicUsize,
    releases: watch::Sender<usize>,
    connections: Mutex<Vec<Connection>>,
    tasks: Mutex<JoinSet<()>>,
}

/// What is needed to end one.
struct Connection {
    whole: AbortHandle,
    /// Told to leave the broker's side open and close the link's.
    detach: watch::Sender<bool>,
}

/// Accepts on a port of its own; each connection goes on to the broker.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    #[allow(clippy::unused_async, reason = "listening needs the runtime")]
    pub async fn start(broker_port: u16) -> Self {
        Self::before((Ipv4Addr::LOCALHOST, broker_port).into())
    }

    /// Stands before a broker at any address. Needs the runtime.
    pub fn before(broker: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BYTES).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            broker,
            conditions: watch::Sender::default(),
            judge: Mutex::default(),
            swallow: Mutex::default(),
            seen: Mutex::default(),
            recording: AtomicBool::new(true),
            counts: watch::Sender::default(),
            accepted: AtomicUsize::new(0),
            to_hold: AtomicUsize::new(0),
            releases: watch::Sender::default(),
            connections: Mutex::default(),
            tasks: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, _accepting: accepting }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, pieces of bytes as they were read for which this is true go nowhere.
    pub fn swallow(&self, filter: impl Fn(From, &[u8]) -> bool + Send + 'static) {
        *self.shared.swallow.lock().unwrap() = Some(Box::new(filter));
    }

    /// From now on, this says what becomes of each packet.
    pub fn judge(&self, judge: impl FnMut(&Seen) -> Verdict + Send + 'static) {
        *self.shared.judge.lock().unwrap() = Some(Box::new(judge));
    }

    /// From now on, every packet passes.
    pub fn pass_all(&self) {
        *self.shared.judge.lock().unwrap() = None;
        *self.shared.swallow.lock().unwrap() = None;
    }

    /// Cuts the connection when `at` bytes of the link's `nth` PUBLISH from now on (the first is 1)
    /// have gone on; then everything passes again.
    pub fn cut_in_publish(&self, nth: usize, at: usize) {
        let mut left = nth;
        self.judge(move |seen| {
            if seen.from != From::Link || seen.kind != Kind::Publish || left == 0 {
                return Verdict::Pass;
            }
            left -= 1;
            if left == 0 { Verdict::CutAt(at) } else { Verdict::Pass }
        });
    }

    /// What holds from now on, for present connections too.
    pub fn set(&self, conditions: Conditions) {
        self.shared.conditions.send_replace(conditions);
    }

    /// Cuts all connections on both sides; new ones pass everything.
    pub fn cut(&self) {
        self.pass_all();
        self.cut_connections();
    }

    /// Cuts all connections on both sides, and changes nothing else.
    pub fn cut_connections(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.whole.abort();
        }
    }

    /// Cuts all connections on the link's side; the broker goes on believing in them.
    pub fn cut_links_side(&self) {
        for connection in self.shared.connections.lock().unwrap().iter() {
            connection.detach.send_replace(true);
        }
    }

    /// The next `count` connections wait before the broker, so that later ones reach it first.
    pub fn hold_next(&self, count: usize) {
        self.shared.to_hold.store(count, Ordering::Relaxed);
    }

    /// Connections that were held go on.
    pub fn release(&self) {
        self.shared.releases.send_modify(|releases| *releases += 1);
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Every packet so far, in the order in which they came by.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Forgets what was seen, and sees no more when told so: a flood would fill the memory.
    pub fn record(&self, on: bool) {
        self.shared.recording.store(on, Ordering::Relaxed);
        self.shared.seen.lock().unwrap().clear();
    }

    /// How many packets of a kind passed whole.
    pub fn count(&self, from: From, kind: Kind) -> usize {
        self.shared.counts.borrow().get(&(from, kind)).copied().unwrap_or(0)
    }

    /// Waits until so many packets of a kind have passed whole.
    pub async fn counted(&self, from: From, kind: Kind, at_least: usize) {
        let mut counts = self.shared.counts.subscribe();
        let enough = counts.wait_for(|counts| counts.get(&(from, kind)).copied().unwrap_or(0) >= at_least);
        tokio::time::timeout(super::DEADLINE, enough).await.expect("enough packets").unwrap();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((link, _)) = listener.accept().await {
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let conditions = *shared.conditions.borrow();
        if conditions.arrivals == Arrivals::Close {
            continue;
        }
        let (detach, detached) = watch::channel(false);
        let to_hold = shared.to_hold.load(Ordering::Relaxed);
        shared.to_hold.store(to_hold.saturating_sub(1), Ordering::Relaxed);
        let held = (to_hold > 0).then(|| shared.releases.subscribe());
        let connection = connect(link, number, held, detached, Arc::clone(&shared));
        let mut tasks = shared.tasks.lock().unwrap();
        while tasks.try_join_next().is_some() {}
        let whole = tasks.spawn(connection);
        let mut connections = shared.connections.lock().unwrap();
        connections.retain(|connection| !connection.whole.is_finished());
        connections.push(Connection { whole, detach });
    }
}

async fn connect(
    link: TcpStream,
    number: usize,
    held: Option<watch::Receiver<usize>>,
    mut detached: watch::Receiver<bool>,
    shared: Arc<Shared>,
) {
    if let Some(mut releases) = held
        && releases.changed().await.is_err()
    {
        return;
    }
    if shared.conditions.borrow().arrivals == Arrivals::Forget {
        std::future::pending::<()>().await;
    }
    let Ok(broker) = TcpStream::connect(shared.broker).await else { return };
    for stream in [&link, &broker] {
        stream.set_nodelay(true).unwrap();
    }
    let (link_read, link_write) = link.into_split();
    let (broker_read, broker_write) = broker.into_split();
    let version = Arc::new(AtomicU8::new(0));
    let way = |from| Way { number, from, version: Arc::clone(&version), shared: Arc::clone(&shared) };
    let (mut broker_read, mut broker_write) = (broker_read, broker_write);
    let is_detached = tokio::select! {
        () = way(From::Link).pass(link_read, &mut broker_write) => false,
        () = way(From::Broker).pass(&mut broker_read, link_write) => false,
        _ = detached.wait_for(|detached| *detached) => true,
    };
    // The link's halves are closed by now. What the broker still says is read and forgotten.
    let mut nothing = [0; PIECE_BYTES];
    while is_detached && matches!(broker_read.read(&mut nothing).await, Ok(1..)) {}
}

/// One direction of one connection.
struct Way {
    number: usize,
    from: From,
    version: Arc<AtomicU8>,
    shared: Arc<Shared>,
}

impl Way {
    /// Ends when the connection is to end.
    async fn pass(self, source: impl AsyncReadExt + Unpin, sink: impl AsyncWriteExt + Unpin) {
        let (pieces, queue) = mpsc::channel(PIECES_MAX);
        let conditions = self.shared.conditions.subscribe();
        tokio::select! {
            () = self.read(source, pieces) => {}
            () = deliver(queue, conditions, sink) => {}
        }
    }

    async fn read(self, mut source: impl AsyncReadExt + Unpin, pieces: mpsc::Sender<Piece>) {
        let mut buffer = BytesMut::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut is_mqtt = true;
        while let Ok(length @ 1..) = source.read(&mut piece).await {
            let swallowed = self
                .shared
                .swallow
                .lock()
                .unwrap()
                .as_ref()
                .is_some_and(|filter| filter(self.from, &piece[..length]));
            if swallowed {
                continue;
            }
            buffer.extend_from_slice(&piece[..length]);
            let mut passed = BytesMut::new();
            let mut cut = None;
            while is_mqtt && !buffer.is_empty() && cut.is_none() {
                match packet(&mut buffer) {
                    Framed::Packet(bytes) => cut = self.judged(&bytes, &mut passed),
                    Framed::Incomplete => break,
                    Framed::Foreign => is_mqtt = false,
                }
            }
            if !is_mqtt {
                passed.unsplit(buffer.split());
            }
            if !self.forward(passed.freeze(), &pieces).await {
                return;
            }
            if let Some(later) = cut {
                // A sleep of no time lasts until the next millisecond.
                if !later.is_zero() {
                    tokio::time::sleep(later).await;
                }
                // What was passed is written first.
                let (written, wait) = tokio::sync::oneshot::channel();
                let _ = pieces.send(Piece::Cut(written)).await;
                let _ = wait.await;
                return;
            }
        }
        // The other side closed: what is on its way arrives.
        let (written, wait) = tokio::sync::oneshot::channel();
        let _ = pieces.send(Piece::Cut(written)).await;
        let _ = wait.await;
    }

    async fn forward(&self, mut bytes: Bytes, pieces: &mpsc::Sender<Piece>) -> bool {
        let conditions = *self.shared.conditions.borrow();
        let silent = if self.from == From::Link { conditions.deaf } else { conditions.mute };
        if silent {
            return true;
        }
        let due = Instant::now() + conditions.delay;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            if pieces.send(Piece::Bytes(piece, due)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Adds to `passed` what goes on of a packet; when the connection is to be cut for it, how much later.
    fn judged(&self, bytes: &Bytes, passed: &mut BytesMut) -> Option<Duration> {
        let Some(mut seen) = self.parse(bytes) else {
            passed.extend_from_slice(bytes);
            return None;
        };
        if let Some(judge) = self.shared.judge.lock().unwrap().as_mut() {
            seen.verdict = judge(&seen);
        }
        let verdict = seen.verdict;
        let goes_on = match verdict {
            Verdict::Pass | Verdict::CutAfter => bytes.len(),
            Verdict::Drop | Verdict::CutLater(_) => 0,
            Verdict::CutAt(at) => at.min(bytes.len()),
        };
        passed.extend_from_slice(&bytes[..goes_on]);
        if seen.passed() {
            self.shared.counts.send_modify(|counts| *counts.entry((self.from, seen.kind)).or_default() += 1);
        }
        if self.shared.recording.load(Ordering::Relaxed) {
            self.shared.seen.lock().unwrap().push(seen);
        }
        match verdict {
            Verdict::Pass | Verdict::Drop => None,
            Verdict::CutAt(_) | Verdict::CutAfter => Some(Duration::ZERO),
            Verdict::CutLater(later) => Some(later),
        }
    }

    fn parse(&self, packet: &Bytes) -> Option<Seen> {
        let kind = kind(packet[0])?;
        let mut body = packet.clone();
        body.advance(header_bytes(packet)?);
        let mut seen = Seen {
            connection: self.number,
            from: self.from,
            kind,
            packet_id: 0,
            qos: packet[0] >> 1 & 3,
            dup: packet[0] & 8 != 0,
            topic: String::new(),
            payload: Bytes::new(),
            reason: 0,
            bytes: packet.len(),
            verdict: Verdict::Pass,
        };
        match kind {
            Kind::Connect => self.version.store(*body.get(6)?, Ordering::Relaxed),
            Kind::Publish => {
                let length = usize::from(body.try_get_u16().ok()?);
                if length > body.len() {
                    return None;
                }
                seen.topic = String::from_utf8_lossy(&body.split_to(length)).into_owned();
                if seen.qos > 0 {
                    seen.packet_id = body.try_get_u16().ok()?;
                }
                if self.version.load(Ordering::Relaxed) == 5 {
                    let (bytes, length) = variable_length(&body)?;
                    if bytes + length > body.len() {
                        return None;
                    }
                    body.advance(bytes + length);
                }
                seen.payload = body;
            }
            Kind::ConnAck => seen.reason = *body.get(1)?,
            Kind::Disconnect => seen.reason = body.first().copied().unwrap_or(0),
            Kind::PingReq | Kind::PingResp | Kind::Auth => {}
            _ => {
                seen.packet_id = body.try_get_u16().ok()?;
                let acknowledges = !matches!(kind, Kind::Subscribe | Kind::Unsubscribe | Kind::SubAck);
                seen.reason = body.first().copied().filter(|_| acknowledges).unwrap_or(0);
            }
        }
        Some(seen)
    }
}

enum Piece {
    Bytes(Bytes, Instant),
    /// Everything before is written: the connection may end.
    Cut(tokio::sync::oneshot::Sender<()>),
}

async fn deliver(
    mut queue: mpsc::Receiver<Piece>,
    mut conditions: watch::Receiver<Conditions>,
    mut sink: impl AsyncWriteExt + Unpin,
) {
    while let Some(piece) = queue.recv().await {
        let (bytes, due) = match piece {
            Piece::Bytes(bytes, due) => (bytes, due),
            Piece::Cut(written) => {
                let _ = written.send(());
                continue;
            }
        };
        // A sleep that is over already would last until the next millisecond.
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        let rate = conditions.borrow_and_update().bytes_per_second;
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate))).await;
        }
        if sink.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

enum Framed {
    Packet(Bytes),
    Incomplete,
    Foreign,
}

/// Takes the next whole packet.
fn packet(buffer: &mut BytesMut) -> Framed {
    if kind(buffer[0]).is_none() || is_foreign(buffer) {
        return Framed::Foreign;
    }
    let Some((bytes, length)) = variable_length(&buffer[1..]) else {
        return if buffer.len() > 4 { Framed::Foreign } else { Framed::Incomplete };
    };
    if buffer.len() < 1 + bytes + length {
        return Framed::Incomplete;
    }
    Framed::Packet(buffer.split_to(1 + bytes + length).freeze())
}

/// A TLS handshake record, or HTTP: neither is a packet that MQTT would begin with.
fn is_foreign(buffer: &[u8]) -> bool {
    buffer[0] == 0x16 || buffer.starts_with(b"GET ") || buffer.starts_with(b"HTTP")
}

fn kind(first: u8) -> Option<Kind> {
    KINDS.into_iter().find(|kind| *kind as u8 == first >> 4)
}

fn header_bytes(packet: &[u8]) -> Option<usize> {
    variable_length(&packet[1..]).map(|(bytes, _)| 1 + bytes)
}

/// A variable byte integer: how many bytes it takes, and what it says (MQTT 5, 1.5.5).
fn variable_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((i + 1, value));
        }
    }
    None
}
