//! The connection to a broker: moves envelopes, and knows nothing of their meaning.
//!
//! ```text
//! LinkSender::send -> outbox -> session (pure) -> transport -> broker
//!                                    |
//! Deliveries::recv <- bounded queue <+-> Status (watch), connects (watch)
//! ```
//!
//! - Sending never blocks and never waits; what can't leave now stays in the bounded outbox.
//! - A message with an acknowledgement is sent again until it was acknowledged; the receiver may see
//!   it twice. What waits is in memory alone, and lost when the process ends.
//! - A broker that is absent, refuses, or comes later is tried again with jittered backoff, for ever.
//! - A slow consumer never stops the keep alive: when its queue is full, the newest message is
//!   dropped and counted. A quarter of the queue is reserved for messages with an acknowledgement.
//! - At every connect [`LinkHandle::connects`] changes, and surfaces publish their birth again.
//! - The driver ends only when the link is closed. Should it panic, [`LinkHandle::ended`] says so.
//! - Dropping the handle cuts the connection, so that the broker publishes the will; [`LinkHandle::close`]
//!   flushes, says goodbye and leaves in order.
//!
//! Lengths are bytes. The session and the outbox are pure; `driver` and `transport` hold the I/O.

mod deliveries;
mod driver;
mod error;
mod limits;
mod outbox;
mod router;
mod session;
mod tls;
mod transport;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SysRng;
use rand_pcg::Pcg64Mcg;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

pub use deliveries::{Deliveries, DeliveryLimits};
pub use error::{Error, Phase, Refusal, Silence};
pub use limits::{Known, Limits};
pub use outbox::{
    DiskCounters, Outbox, OutboxCounters, OutboxLimits, OutboxOptions, OutboxStatus, PerClass, QueueLimits,
    Rows, WaitingLimits,
};
pub use router::{Carries, Route, Router};
pub use session::{Counters, Fallback, RefusedMessage, State, Status, WhyRefused};
pub use tls::{Certificates, EXPIRY_WARNING, Identity, TlsFault, TlsOptions, TlsVersion};
pub use transport::Version;

use crate::base::{BackoffOptions, Clock, Secret};
use crate::model::{Envelope, Qos};
use session::{Session, SessionOptions, WillShape};

/// A shorter keep alive would be mostly pings.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// The field has 16 bits.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(u16::MAX as u64);

/// How a link is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the broker is called in messages.
    pub name: String,
    /// Name or address of the broker; an IPv6 address without brackets. Empty: nobody has found it yet, and
    /// every try fails without asking the network. Who finds it makes the link anew.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Who we are to it; without, anonymous.
    pub credentials: Option<Credentials>,
    /// TLS, when it is wanted.
    pub tls: Option<TlsOptions>,
    /// The path, when the connection is to be a WebSocket.
    pub websocket: Option<String>,
    /// The version of MQTT to speak; without, 5, and 3.1.1 with a broker that refuses it.
    pub version: Option<Version>,
    /// How long the broker waits for us to come back before it publishes the will (MQTT 5).
    pub will_delay: Duration,
    /// On a connection whose broker remembers nothing of us, messages with an acknowledgement wait this long: the
    /// broker has just begun, others are about to subscribe, and what came before them would reach nobody. Zero
    /// where the broker is there for good.
    pub gather: Duration,
    /// Silence after which the connection is probed; 5 s to 18 h. An answer may take as long, and 20 s at most.
    pub keep_alive: Duration,
    /// How long the broker keeps the session (subscriptions and what was queued for us) while we are
    /// away. Zero: not at all, every connection starts clean.
    pub session_expiry: Duration,
    /// How long name lookup, connection and the broker's answer may take together.
    pub connect_timeout: Duration,
    /// The largest packet in either direction, in bytes. The broker drops larger ones for us; larger
    /// ones of ours are refused and counted.
    pub max_packet_bytes: usize,
    /// Acknowledgements waited for, at most; the broker's own limit, when it is lower.
    pub in_flight_max: u16,
    /// Waits between tries.
    pub backoff: BackoffOptions,
    /// Bounds of what waits to be sent.
    pub waiting: WaitingLimits,
    /// Bounds of what waits for its consumer.
    pub deliveries: DeliveryLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            host: "localhost".to_owned(),
            port: 1883,
            credentials: None,
            tls: None,
            websocket: None,
            version: None,
            will_delay: Duration::ZERO,
            gather: Duration::ZERO,
            keep_alive: Duration::from_mins(1),
            session_expiry: Duration::from_hours(1),
            connect_timeout: Duration::from_secs(10),
            max_packet_bytes: 1 << 20,
            in_flight_max: 64,
            backoff: BackoffOptions::default(),
            waiting: WaitingLimits::default(),
            deliveries: DeliveryLimits::default(),
        }
    }
}

/// Who connects, and for what.
#[derive(Clone, Default)]
pub struct Client {
    /// The client id, unique at the broker.
    pub id: String,
    /// What the broker publishes when the connection is cut.
    pub will: Option<Envelope>,
    /// Topic filters that are asked for from the first connect on; more, or fewer, later by
    /// [`LinkSender::listen`] and [`LinkSender::ignore`].
    pub subscriptions: Vec<(String, Qos)>,
    /// What it sends from the store; without, durable messages are kept in memory like all others.
    pub rows: Option<Rows>,
    /// What this and other connections have found out about brokers.
    pub known: Known,
    /// Messages keep the retain flag with which they were published (MQTT 5, 3.8.3.1), so that a retained one is
    /// known as such though it came in as it was published. Otherwise the flag marks what the broker had stored.
    pub retain_as_published: bool,
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password, when the broker wants one.
    pub password: Option<Secret>,
}

impl Options {
    /// The host as it stands before a port.
    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Name and `host:port`, as they stand in messages.
    fn broker(&self) -> String {
        if self.host.is_empty() {
            return self.name.clone();
        }
        format!("{} ({}:{})", self.name, self.bracketed_host(), self.port)
    }

    fn check(&self) -> Result<(), Error> {
        let fault = if !(KEEP_ALIVE_MIN..=KEEP_ALIVE_MAX).contains(&self.keep_alive) {
            "the keep alive must be 5 s to 65535 s"
        } else if self.in_flight_max == 0 {
            "at least one message must be allowed in flight"
        } else {
            return Ok(());
        };
        Err(Error::Options { broker: self.broker(), detail: fault.to_owned() })
    }
}

/// Starts a link on the present tokio runtime; it connects as soon as it can, and goes on trying.
///
/// # Errors
/// [`Error::Options`] alone: a broker that is not there is no error, but a status.
pub fn spawn(
    options: &Options,
    client: Client,
    clock: Arc<dyn Clock>,
) -> Result<(LinkHandle, Deliveries), Error> {
    options.check()?;
    let transport = transport::Mqtt::new(options, &client);
    // A camera may have several connections to one broker: what is logged of them, at any level, names them.
    let span = tracing::error_span!("link", client = client.id);
    Ok(span.in_scope(|| spawn_with(transport, options, client, clock)))
}

fn spawn_with(
    transport: impl transport::Transport + 'static,
    options: &Options,
    client: Client,
    clock: Arc<dyn Clock>,
) -> (LinkHandle, Deliveries) {
    let Client { will, subscriptions, rows, known, .. } = client;
    let will = will.map(|will| WillShape {
        retain: will.retain,
        acknowledged: will.qos > Qos::AtMostOnce,
        dotted: will.topic.contains('.'),
    });
    let session_options = SessionOptions {
        broker: options.broker(),
        backoff: options.backoff,
        version: options.version,
        will,
        clean_start: options.session_expiry.is_zero(),
        gather: options.gather,
        connect_timeout: options.connect_timeout,
        keep_alive: options.keep_alive,
        in_flight_max: options.in_flight_max,
        max_packet_bytes: options.max_packet_bytes,
        waiting: options.waiting,
    };
    let now = clock.now();
    let mut session = Session::new(session_options, now);
    for (filter, qos) in subscriptions {
        session.listen(filter, qos);
    }
    let (status_sender, status) = watch::channel(session.status());
    let (connects_sender, connects) = watch::channel(0);
    let (consumer, deliveries) = deliveries::channel(options.deliveries);
    let wake = Arc::new(Notify::new());
    if let Some(rows) = &rows {
        rows.attach(Arc::clone(&wake));
    }
    let shared = Arc::new(Shared { clock: Arc::clone(&clock), session: Mutex::new(session), wake });
    let sender = LinkSender { shared };
    // The waits must differ between cameras; where the system has no randomness, its clock does.
    let rng = Pcg64Mcg::try_from_rng(&mut SysRng)
        .unwrap_or_else(|_| Pcg64Mcg::seed_from_u64(now.epoch_ms ^ now.mono_ns));
    let driver = driver::Driver {
        broker: options.broker(),
        name: options.name.as_str().into(),
        sender: sender.clone(),
        transport,
        rows,
        known,
        place: format!("{}:{}", options.bracketed_host(), options.port),
        seen: 0,
        consumer,
        status: status_sender,
        connects: connects_sender,
        clock: Arc::clone(&clock),
        rng,
        turns: 0,
    };
    let task = tokio::spawn(driver.run().in_current_span());
    (LinkHandle { sender, status, connects, clock, task: Some(task) }, deliveries)
}

struct Shared {
    clock: Arc<dyn Clock>,
    session: Mutex<Session>,
    wake: Arc<Notify>,
}

/// Where surfaces put their messages, and say what they listen to; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct LinkSender {
    shared: Arc<Shared>,
}

impl LinkSender {
    /// Queues a message. Never blocks; what the bounds evict for it is counted.
    pub fn send(&self, envelope: Envelope) {
        let now = self.shared.clock.now();
        self.session().enqueue(envelope, now);
        self.shared.wake.notify_one();
    }

    /// Wants what is published on the topics that a filter matches, from now on and at every connect.
    pub fn listen(&self, filter: String, qos: Qos) {
        self.session().listen(filter, qos);
        self.shared.wake.notify_one();
    }

    /// Wants it no longer. What is on its way still comes.
    pub fn ignore(&self, filter: String) {
        self.session().ignore(filter);
        self.shared.wake.notify_one();
    }

    /// Held for microseconds only: no holder does I/O.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.shared.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running link.
pub struct LinkHandle {
    sender: LinkSender,
    status: watch::Receiver<Status>,
    connects: watch::Receiver<u64>,
    clock: Arc<dyn Clock>,
    /// None once its end was told.
    task: Option<JoinHandle<()>>,
}

impl LinkHandle {
    /// Where messages are put.
    pub fn sender(&self) -> LinkSender {
        self.sender.clone()
    }

    /// The status: fresh at every change of state, and a few times a second otherwise.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// How often the link has connected: changes when it is time to publish a birth.
    pub fn connects(&self) -> watch::Receiver<u64> {
        self.connects.clone()
    }

    /// Resolves when the link ends by itself, which it never does in order: with the panic's message,
    /// if it was one. From then on nothing is sent or delivered any more; start another link. Told
    /// once: a later call waits for ever. Cancel safe.
    pub async fn ended(&mut self) -> Option<String> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let end = task.await;
        self.task = None;
        end.err().map(|error| error.to_string())
    }

    /// Sends what is queued, then `farewell`, then disconnects so that no will is published; all
    /// within `within`. Returns the last status: `queued` and `in_flight` say what was not delivered.
    /// From then on the link is over.
    pub async fn close(&mut self, farewell: Option<Envelope>, within: Duration) -> Status {
        let now = self.clock.now();
        self.sender.session().begin_close(farewell, now, within);
        self.sender.shared.wake.notify_one();
        // The driver keeps the deadline itself; a panic of it leaves the messages as they are.
        if let Some(task) = &mut self.task {
            let _ = task.await;
        }
        self.task = None;
        self.sender.session().status()
    }
}

impl Drop for LinkHandle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_gets_its_brackets() {
        let options = Options { host: "::1".to_owned(), ..Options::default() };
        assert_eq!(options.broker(), "main ([::1]:1883)");
    }

    #[tokio::test]
    async fn a_link_whose_broker_is_not_found_yet_says_so_and_keeps_what_is_sent() {
        let options = Options { host: String::new(), ..Options::default() };
        let clock = Arc::new(crate::base::SystemClock::new());
        let (link, _deliveries) =
            spawn(&options, Client { id: "a".to_owned(), ..Client::default() }, clock).unwrap();
        link.sender().send(Envelope::new(crate::model::MessageClass::Event, "t", "{}"));
        let mut status = link.status();
        let status = status.wait_for(|status| status.last_error.is_some()).await.unwrap().clone();
        assert_eq!(status.last_error, Some(Error::NotFound { broker: "main".to_owned() }));
        assert_eq!((status.state, status.queued.total()), (State::Waiting, 1));
    }

    #[test]
    fn options_that_cannot_work_are_named() {
        let faults = [
            Options { keep_alive: Duration::from_secs(4), ..Options::default() },
            Options { in_flight_max: 0, ..Options::default() },
        ];
        for options in faults {
            assert!(matches!(options.check(), Err(Error::Options { .. })), "{options:?}");
        }
        assert_eq!(Options::default().check(), Ok(()));
    }
}
