//! One client id, one connection after the other.
//!
//! A client that comes back while the broker still believes in its former connection takes its session
//! over. The crate reads the new connection on before the former one has handed the session to it: a
//! PUBREL that comes in between finds no message to release, is answered with 0x92, and a message of `QoS` 2
//! is lost. So nothing beyond the CONNECT is read of a client until every former connection of its id has
//! ended:
//!
//! ```text
//! Connect (read up to its last byte) -> Answer (CONNACK) -> Held (former ones end) -> Open
//! ```
//!
//! - Only a client that was let in, by a CONNACK without a refusal, has a claim on its id: nobody else ends
//!   a connection.
//! - The crate tells the former connection to go (DISCONNECT 0x8E). One that does not within [`GOES_WITHIN`],
//!   because its client is dead and its stream is full, is cut. After [`ENDS_WITHIN`] more the new one goes on
//!   all the same, and it is logged.
//! - A CONNECT longer than [`CONNECT_BYTES_MAX`], or one whose id the broker chooses, is not waited for: such
//!   a client has nothing to take over, or must not fill the memory to prove it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection::{text, variable_integer};

/// A former connection may take so long to go by itself.
const GOES_WITHIN: Duration = Duration::from_secs(1);
/// And so long once its stream is cut.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// The longest CONNECT whose client id is looked for.
const CONNECT_BYTES_MAX: usize = 128 << 10;
/// A CONNECT names its protocol version within so many bytes.
const VERSION_WITHIN_BYTES: usize = 16;
/// Times that a reader is told to wait once the former connections have ended. The crate asks what is
/// ready in any order, and by the second turn at the latest it has seen that the session is its own.
const TURNS: u8 = 2;

/// A connection of a client that was let in.
#[derive(Clone, Debug)]
struct Seat {
    /// Ends its stream.
    cut: CancellationToken,
    /// It has ended, and handed on what it held.
    ended: CancellationToken,
}

/// The living connections of every client id, oldest first.
#[derive(Debug, Default)]
pub(super) struct Seats {
    by_client: Mutex<HashMap<Box<[u8]>, Vec<Seat>>>,
}

/// A connection's place among those of its client id, until it is dropped.
#[derive(Debug)]
struct Claim {
    seats: Arc<Seats>,
    client: Box<[u8]>,
    seat: Seat,
}

impl Seats {
    /// Takes a place; the former ones.
    fn claim(self: &Arc<Self>, client: Box<[u8]>, cut: CancellationToken) -> (Claim, Vec<Seat>) {
        let seat = Seat { cut, ended: CancellationToken::new() };
        let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let present = by_client.entry(client.clone()).or_default();
        let former = present.clone();
        present.push(seat.clone());
        drop(by_client);
        (Claim { seats: Arc::clone(self), client, seat }, former)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.seat.ended.cancel();
        let mut by_client = self.seats.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = by_client.get_mut(&self.client) {
            present.retain(|seat| !seat.ended.is_cancelled());
            if present.is_empty() {
                by_client.remove(&self.client);
            }
        }
    }
}

/// Waits until former connections have ended; cuts those that don't go.
async fn succeed(former: Vec<Seat>) {
    let ended = async || {
        for seat in &former {
            seat.ended.cancelled().await;
        }
    };
    if timeout(GOES_WITHIN, ended()).await.is_ok() {
        return;
    }
    for seat in &former {
        seat.cut.cancel();
    }
    if timeout(ENDS_WITHIN, ended()).await.is_err() {
        tracing::warn!("broker: a connection that was taken over does not end");
    }
}

enum Stage {
    /// What came of the CONNECT so far.
    Connect(Vec<u8>),
    /// It came; from this client.
    Answer(Box<[u8]>),
    /// Accepted; former connections are about to end.
    Held(Pin<Box<dyn Future<Output = ()> + Send + Sync>>),
    /// They have; so many turns more.
    Settling(u8),
    Open,
}

/// What stands before one connection. See the module.
pub(super) struct Gate {
    stage: Stage,
    seats: Arc<Seats>,
    /// Cuts the connection's own stream.
    cut: CancellationToken,
    claim: Option<Claim>,
    is_v5: bool,
}

impl Gate {
    pub(super) fn new(seats: Arc<Seats>, cut: CancellationToken) -> Self {
        Self { stage: Stage::Connect(Vec::new()), seats, cut, claim: None, is_v5: false }
    }

    /// The client speaks MQTT 5; false until that is known.
    pub(super) fn is_v5(&self) -> bool {
        self.is_v5
    }

    /// Ready when more may be read.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Held(ended) = &mut self.stage
            && ended.as_mut().poll(cx).is_ready()
        {
            self.stage = Stage::Settling(TURNS);
        }
        match &mut self.stage {
            Stage::Connect(_) | Stage::Answer(_) | Stage::Open => Poll::Ready(()),
            Stage::Held(_) => Poll::Pending,
            Stage::Settling(turns) => {
                *turns -= 1;
                if *turns == 0 {
                    self.stage = Stage::Open;
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Bytes that may be read at once, so that nothing beyond the CONNECT is; none: any number.
    pub(super) fn limit(&self) -> Option<usize> {
        let Stage::Connect(bytes) = &self.stage else { return None };
        Some(match whole(bytes) {
            // Type and length have two bytes at least.
            None => 2_usize.saturating_sub(bytes.len()).max(1),
            Some(whole) => whole - bytes.len(),
        })
    }

    /// These bytes were read.
    pub(super) fn read(&mut self, read: &[u8]) {
        let Stage::Connect(bytes) = &mut self.stage else { return };
        bytes.extend_from_slice(read);
        let Some(whole) = whole(bytes) else {
            const LONGEST_HEADER_BYTES: usize = 5;
            if bytes.len() >= LONGEST_HEADER_BYTES {
                self.stage = Stage::Open;
            }
            return;
        };
        let wanted = if whole > CONNECT_BYTES_MAX { VERSION_WITHIN_BYTES } else { whole };
        if bytes.len() < wanted {
            return;
        }
        let greeting = greeting(bytes);
        self.is_v5 = greeting.as_ref().is_some_and(|greeting| greeting.version == 5);
        let client = greeting.and_then(|greeting| greeting.client).filter(|client| !client.is_empty());
        self.stage = client.map_or(Stage::Open, |client| Stage::Answer(client.into()));
    }

    /// This packet is about to be written to the client.
    pub(super) fn writes(&mut self, packet: &[u8]) {
        const CONNACK: u8 = 0x20;
        let Stage::Answer(client) = &mut self.stage else { return };
        if packet.first() != Some(&CONNACK) {
            return;
        }
        let reason = variable_integer(&packet[1..]).and_then(|(_, bytes)| packet.get(1 + bytes + 1));
        if reason != Some(&0) {
            self.stage = Stage::Open;
            return;
        }
        let (claim, former) = self.seats.claim(std::mem::take(client), self.cut.clone());
        self.claim = Some(claim);
        self.stage = if former.is_empty() { Stage::Open } else { Stage::Held(Box::pin(succeed(former))) };
    }
}

/// How long the packet is that begins so, its header included.
fn whole(packet: &[u8]) -> Option<usize> {
    let (length, bytes) = variable_integer(packet.get(1..)?)?;
    Some(1 + bytes + length)
}

/// What a CONNECT says of its sender.
struct Greeting<'a> {
    version: u8,
    /// None where the packet ends before it, or is none.
    client: Option<&'a [u8]>,
}

/// Reads a CONNECT as far as it is there (MQTT 5, 3.1; 3.1.1 has no properties).
fn greeting(packet: &[u8]) -> Option<Greeting<'_>> {
    const CONNECT: u8 = 0x10;
    /// Version, flags, keep alive.
    const FIXED_BYTES: usize = 4;
    if packet.first() != Some(&CONNECT) {
        return None;
    }
    let (_, length_bytes) = variable_integer(&packet[1..])?;
    let body = &packet[1 + length_bytes..];
    let name_bytes = 2 + text(body)?.len();
    let version = *body.get(name_bytes)?;
    let client = || {
        let mut rest = body.get(name_bytes + FIXED_BYTES..)?;
        if version == 5 {
            let (properties_bytes, length_bytes) = variable_integer(rest)?;
            rest = rest.get(length_bytes + properties_bytes..)?;
        }
        text(rest)
    };
    Some(Greeting { version, client: client() })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;

    use super::*;

    fn connect(version: u8, id: &str) -> Vec<u8> {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', version, 2, 0, 60];
        if version == 5 {
            body.extend([5, 0x11, 0, 0, 0, 9]);
        }
        body.extend((id.len() as u16).to_be_bytes());
        body.extend(id.as_bytes());
        let length = body.len() as u8;
        [vec![0x10, length], body].concat()
    }

    const ACCEPTED: [u8; 5] = [0x20, 3, 0, 0, 0];

    /// Reads a CONNECT in the pieces that the gate allows; how many there were.
    fn greet(gate: &mut Gate, packet: &[u8]) -> usize {
        let (mut rest, mut pieces) = (packet, 0);
        while let Some(limit) = gate.limit() {
            let (piece, after) = rest.split_at(limit.min(rest.len()));
            gate.read(piece);
            (rest, pieces) = (after, pieces + 1);
        }
        assert!(rest.is_empty(), "{} bytes were not asked for", rest.len());
        pieces
    }

    fn gate(seats: &Arc<Seats>) -> Gate {
        Gate::new(Arc::clone(seats), CancellationToken::new())
    }

    async fn opens(gate: &mut Gate) {
        poll_fn(|cx| gate.poll_open(cx)).await;
    }

    fn is_open(gate: &mut Gate) -> bool {
        gate.poll_open(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn nothing_beyond_the_connect_is_asked_for_and_its_version_is_learned() {
        for (version, is_v5) in [(5, true), (4, false)] {
            let mut gate = gate(&Arc::default());
            assert_eq!(greet(&mut gate, &connect(version, "camera")), 2);
            assert_eq!(gate.is_v5(), is_v5);
            assert!(matches!(&gate.stage, Stage::Answer(client) if **client == *b"camera"));
        }
    }

    #[tokio::test]
    async fn a_client_that_comes_back_waits_until_all_its_former_connections_have_ended() {
        let seats = Arc::default();
        let mut gates = [gate(&seats), gate(&seats), gate(&seats)];
        for gate in &mut gates {
            greet(gate, &connect(5, "camera"));
            gate.writes(&ACCEPTED);
        }
        let [mut first, second, mut third] = gates;
        assert!(is_open(&mut first));
        assert!(!is_open(&mut third));
        drop(second);
        assert!(!is_open(&mut third), "the first of them is still there");
        drop(first);
        opens(&mut third).await;
        drop(third);
        assert!(seats.by_client.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_former_connection_that_does_not_go_is_cut() {
        let seats = Arc::default();
        let (mut former, mut next) = (gate(&seats), gate(&seats));
        for gate in [&mut former, &mut next] {
            greet(gate, &connect(4, "camera"));
            gate.writes(&[0x20, 2, 0, 0]);
        }
        let cut = former.cut.clone();
        let ends = async move {
            cut.cancelled().await;
            drop(former);
        };
        tokio::join!(opens(&mut next), ends);
    }

    #[test]
    fn who_is_refused_or_somebody_else_takes_nothing_over() {
        let seats = Arc::default();
        let (mut former, mut refused, mut other) = (gate(&seats), gate(&seats), gate(&seats));
        greet(&mut former, &connect(5, "camera"));
        former.writes(&ACCEPTED);
        greet(&mut refused, &connect(5, "camera"));
        refused.writes(&[0x20, 3, 0, 0x86, 0]);
        greet(&mut other, &connect(5, "other"));
        other.writes(&ACCEPTED);
        assert!(is_open(&mut refused) && is_open(&mut other) && is_open(&mut former));
        drop(refused);
        assert!(!former.cut.is_cancelled() && seats.by_client.lock().unwrap().len() == 2);
    }

    #[test]
    fn a_connect_that_is_too_long_is_let_through_without_being_kept_once_its_version_is_known() {
        let mut gate = gate(&Arc::default());
        for piece in [&[0x10, 0xff][..], &[0xff], &[0x7f], &[0, 4, b'M', b'Q', b'T', b'T', 5, 2]] {
            gate.read(piece);
            assert!(!matches!(gate.stage, Stage::Open));
        }
        gate.read(&[0; 8]);
        assert!(matches!(gate.stage, Stage::Open) && gate.is_v5());
    }

    proptest! {
        #[test]
        fn rubbish_opens_the_gate_or_asks_for_more(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut gate = gate(&Arc::default());
            let mut rest = &bytes[..];
            while let Some(limit) = gate.limit() {
                if rest.len() < limit { break }
                let (piece, after) = rest.split_at(limit);
                gate.read(piece);
                rest = after;
            }
            gate.writes(&bytes);
        }
    }
}
