//! What tests with real brokers share: a broker on a free port (mosquitto as a process, or the
//! embedded one), a link to it, and a proxy between them that swallows and cuts.
//!
//! Nothing sleeps for a guess: processes are waited for by connecting, states by watching, always
//! under [`DEADLINE`].

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]
#![allow(missing_docs, unreachable_pub, reason = "test code")]
#![cfg_attr(
    not(feature = "broker"),
    allow(clippy::unused_async, reason = "only the embedded broker is waited for")
)]

pub mod mosquitto;
pub mod program;
pub mod proxy;
pub mod watch;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use omnisight::base::{BackoffOptions, Secret, SystemClock};
use omnisight::link::{self, Credentials, Deliveries, LinkHandle, Status};
use omnisight::model::{Delivery, Envelope, MessageClass, Qos};
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use mosquitto::Mosquitto;

/// No wait for a real process or connection takes longer.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Which broker a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    #[cfg(feature = "broker")]
    Embedded,
    Mosquitto,
}

/// Every broker there is; says so when mosquitto is not installed.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    #[cfg(feature = "broker")]
    kinds.push(Kind::Embedded);
    if Mosquitto::installed() {
        kinds.push(Kind::Mosquitto);
    }
    kinds
}

/// How a broker of a test is made.
#[derive(Debug, Clone)]
pub struct Setup {
    /// This user with this password, and nobody else.
    pub user: Option<(&'static str, &'static str)>,
    /// Sessions and retained messages survive a restart.
    pub persistent: bool,
    pub max_packet_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { user: None, persistent: true, max_packet_bytes: 64 << 20 }
    }
}

enum Running {
    #[cfg(feature = "broker")]
    Embedded(omnisight::broker::Broker),
    Mosquitto(Mosquitto),
    Stopped,
}

/// A broker that can be stopped and started again on the same port.
pub struct TestBroker {
    kind: Kind,
    setup: Setup,
    folder: TempDir,
    port: u16,
    running: Running,
}

impl TestBroker {
    pub async fn start(kind: Kind, setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Self { kind, setup, folder, port: free_port(), running: Running::Stopped };
        broker.start_again().await;
        broker
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub async fn start_again(&mut self) {
        self.running = match self.kind {
            #[cfg(feature = "broker")]
            Kind::Embedded => Running::Embedded(self.embedded().await),
            Kind::Mosquitto => Running::Mosquitto(self.mosquitto()),
        };
    }

    /// Ends it in order, as an operator would.
    pub async fn stop(&mut self) {
        match std::mem::replace(&mut self.running, Running::Stopped) {
            #[cfg(feature = "broker")]
            Running::Embedded(broker) => broker.stop().await.unwrap(),
            Running::Mosquitto(process) => process.terminate(),
            Running::Stopped => {}
        }
    }

    /// Ends it as a power cut would: nothing more is written. For mosquitto alone; the embedded broker
    /// lives in this process.
    pub fn kill(&mut self) {
        self.running = Running::Stopped;
    }

    #[cfg(feature = "broker")]
    async fn embedded(&self) -> omnisight::broker::Broker {
        let user =
            self.setup.user.iter().map(|(name, password)| ((*name).to_owned(), Secret::new(*password)));
        omnisight::broker::start(omnisight::broker::Options {
            listen: (Ipv4Addr::LOCALHOST, self.port).into(),
            users: user.collect(),
            allow_anonymous: self.setup.user.is_none(),
            max_packet_bytes: self.setup.max_packet_bytes,
            max_queued_per_client: 100_000,
            data_dir: self.setup.persistent.then(|| self.folder.path().join("data")),
            ..omnisight::broker::Options::default()
        })
        .await
        .unwrap()
    }

    fn mosquitto(&self) -> Mosquitto {
        let folder = self.folder.path();
        let bytes = self.setup.max_packet_bytes;
        let mut settings = vec![format!("message_size_limit {bytes}"), format!("max_packet_size {bytes}")];
        // Its default, 1,000, drops what a client that is away for seconds should have.
        settings.push("max_queued_messages 0".to_owned());
        if self.setup.persistent {
            settings.push("persistence true".to_owned());
            settings.push(format!("persistence_location {}/", folder.display()));
        }
        settings.push(format!("allow_anonymous {}", self.setup.user.is_none()));
        if let Some((name, password)) = self.setup.user {
            let file = folder.join("passwords");
            mosquitto::write_password(&file, name, password);
            settings.push(format!("password_file {}", file.display()));
        }
        Mosquitto::start(folder, self.port, &settings.join("\n"))
    }
}

/// Runs a test against every broker there is, at the same time.
pub async fn against_each_broker<F>(setup: Setup, test: impl Fn(TestBroker) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let mut tests = JoinSet::new();
    let local = LocalSet::new();
    for kind in kinds() {
        let broker = TestBroker::start(kind, setup.clone()).await;
        tests.spawn_local_on(test(broker), &local);
    }
    // Passes a panic on.
    local.run_until(tests.join_all()).await;
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A link of a test, with what comes in.
pub struct Peer {
    pub link: LinkHandle,
    pub deliveries: Deliveries,
}

/// Options of a link to a local port, with short waits between tries.
pub fn link_options(port: u16) -> link::Options {
    link::Options {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port,
        backoff: BackoffOptions {
            first: Duration::from_millis(20),
            max: Duration::from_millis(200),
            ..BackoffOptions::default()
        },
        ..link::Options::default()
    }
}

pub fn with_password(options: link::Options, username: &str, password: &str) -> link::Options {
    let credentials = Credentials { username: username.to_owned(), password: Some(Secret::new(password)) };
    link::Options { credentials: Some(credentials), ..options }
}

impl Peer {
    /// Starts a link; it need not find its broker.
    pub fn spawn(options: &link::Options, id: &str, will: Option<Envelope>, filters: &[&str]) -> Self {
        let filters = filters.iter().map(|filter| ((*filter).to_owned(), Qos::ExactlyOnce)).collect();
        let clock = Arc::new(SystemClock::new());
        let client = link::Client { id: id.to_owned(), will, subscriptions: filters, ..Default::default() };
        let (link, deliveries) = link::spawn(options, client, clock).unwrap();
        Self { link, deliveries }
    }

    /// Starts a link and returns when its subscriptions are in force.
    pub async fn subscribed(port: u16, id: &str, filter: &str) -> Self {
        let ready = format!("ready/{id}");
        let mut peer = Self::spawn(&link_options(port), id, None, &[filter, &ready]);
        peer.send(event(&ready, "{}"));
        peer.until(|delivery| delivery.topic == ready).await;
        peer
    }

    pub fn send(&self, envelope: Envelope) {
        self.link.sender().send(envelope);
    }

    pub async fn next(&mut self) -> Delivery {
        match timeout(DEADLINE, self.deliveries.recv()).await {
            Ok(delivery) => delivery.expect("the link ended"),
            Err(elapsed) => panic!("{elapsed}: nothing came in, {:#?}", self.link.status().borrow()),
        }
    }

    /// Takes messages until one is as wanted, and returns that.
    pub async fn until(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Delivery {
        self.find(|delivery| wanted(&delivery).then_some(delivery)).await
    }

    /// Takes messages until something is found in one; messages without it do not put off the deadline.
    pub async fn find<T>(&mut self, mut found: impl FnMut(Delivery) -> Option<T>) -> T {
        let mut seen = 0;
        let search = async {
            loop {
                if let Some(it) = found(self.next().await) {
                    return it;
                }
                seen += 1;
            }
        };
        // What is published every 30 s may have gone by unseen once.
        match timeout(2 * DEADLINE, search).await {
            Ok(it) => it,
            Err(elapsed) => panic!("{elapsed}: {seen} other messages came in"),
        }
    }

    /// Waits until the link is as wanted.
    pub async fn status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.link.status();
        match timeout(DEADLINE, status.wait_for(|status| wanted(status))).await {
            Ok(status) => status.unwrap().clone(),
            Err(elapsed) => panic!("{elapsed}: the link stayed {:#?}", self.link.status().borrow()),
        }
    }
}

/// An event with an acknowledgement.
pub fn event(topic: &str, payload: &str) -> Envelope {
    Envelope::new(MessageClass::Event, topic, payload.to_owned())
}

/// A retained presence.
pub fn presence(topic: &str, payload: &str) -> Envelope {
    Envelope::new(MessageClass::Presence, topic, payload.to_owned())
}
