//! The task that serves the fleet server: the adapter of the pure [`Fleet`] to its connection, its store, the
//! desk and the machine's gauges.
//!
//! Owns the connection `{camera_id}-fleet`, whose session is kept and whose will says `offline`, and a store of
//! its own beside the camera's outbox: what is in it waits for a server that may be away for days, and must
//! not take the room of events that other cameras wait for. What the server acknowledges is forgotten there.
//! The watchlist is kept in [`WATCHLIST_FILE`] in the state folder, so that a camera that starts without a
//! network knows who is wanted; the server's updates go on from its version.
//! Orders go to the desk of `orders` and come back as replies. On stop it waits until the surface has handed
//! over the last track and the desk its last reply, sends both, and leaves with `offline`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::links::{CHANGE_WITHIN, GOODBYE_WITHIN, collecting};
use super::orders::{Ask, Desk};
use super::results;
use super::surface::TRANSITIONS_MAX;
use crate::base::{Clock, Time};
use crate::config::BrokerLink;
use crate::control::{Asker, RUNNING_MAX, Reply};
use crate::fleet::{Action, Fleet, Input, Options, Tuning, Vitals};
use crate::link::{self, Carries, Client, Deliveries, LinkHandle, Outbox, OutboxOptions, Route, Router};
use crate::model::{CameraId, Transition};
use crate::platform::vitals::Gauge;
use crate::state::{self, Board};
use crate::store::Store;

/// The sense of time passing: intervals, health.
const TICK: Duration = Duration::from_millis(250);
/// How long the surface and the desk may take for their last words.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);
/// How long a look at the machine may take; a disk may hang.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// How long the store may take for its last commit.
const LAST_COMMIT_WITHIN: Duration = Duration::from_secs(1);
/// A watchlist of 100,000 entries in one message has 10 MB.
const PACKET_BYTES_MAX: usize = 24 << 20;
/// Replies that wait for the task; a command has two.
const REPLIES_MAX: usize = 4 * RUNNING_MAX;
/// The connection's name in the store, whatever broker it goes to.
const LINK: &str = "fleet";
/// The store's folder, beside that of the outbox.
const STORE: &str = "outbox-fleet";
/// The watchlist's file in the state folder.
pub(super) const WATCHLIST_FILE: &str = "watchlist.json";
/// It is not written more often: a large one has 10 MB, and flash wears.
const WATCHLIST_EVERY: Duration = Duration::from_secs(10);

/// What the task works with.
pub(super) struct Setup {
    pub(super) camera: CameraId,
    pub(super) options: Options,
    pub(super) boot_ms: u64,
    pub(super) link: link::Options,
    pub(super) known: link::Known,
    /// The links that are wanted from now on; the one that carries its detections counts.
    pub(super) wanted_links: watch::Receiver<Vec<BrokerLink>>,
    pub(super) outbox: OutboxOptions,
    pub(super) tunings: watch::Receiver<Option<Tuning>>,
    pub(super) board: Board,
    pub(super) state_dir: PathBuf,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: CancellationToken,
}

/// The other ends of its channels.
pub(super) struct Ends {
    /// Readings and ended tracks.
    pub(super) transitions: mpsc::Sender<Transition>,
    /// For whoever judges orders.
    pub(super) desk: Desk,
}

/// See the module.
pub(super) struct FleetTask {
    setup: Setup,
    transitions: mpsc::Receiver<Transition>,
    asks: mpsc::Sender<Ask>,
    replies: mpsc::Receiver<(Asker, Reply)>,
    fleet: Fleet,
    link: LinkHandle,
    deliveries: Deliveries,
    connects: watch::Receiver<u64>,
    router: Router,
    outbox: Outbox,
    gauge: Arc<Mutex<Gauge>>,
    /// Orders that found no room at the desk.
    asks_lost: u64,
    turns: u64,
    /// The watchlist has changed since it was written.
    unwritten: bool,
    /// When it was written last.
    written: Option<Time>,
}

impl FleetTask {
    /// Starts the connection and the store.
    pub(super) fn start(setup: Setup) -> Result<(Self, Ends), link::Error> {
        let now = setup.clock.now();
        let random = SysRng.try_next_u64().unwrap_or(now.mono_ns);
        let mut fleet = Fleet::new(setup.options.clone(), setup.boot_ms, random);
        // A disk that hangs must not hang the start.
        if setup.store.busy_for().is_zero() {
            restore_watchlist(&setup, &mut fleet);
        }
        let dir = setup.outbox.dir.with_file_name(STORE);
        setup.store.look_after(dir.clone());
        let outbox = OutboxOptions { dir, ..setup.outbox.clone() };
        let outbox = Outbox::open(&outbox, &[LINK], Arc::clone(&setup.clock));
        let (link, deliveries) = connect(&setup, &mut fleet, &outbox, now)?;
        let (transitions_out, transitions) = mpsc::channel(TRANSITIONS_MAX);
        let (asks, asks_in) = mpsc::channel(RUNNING_MAX);
        let (replies_out, replies) = mpsc::channel(REPLIES_MAX);
        let ends = Ends { transitions: transitions_out, desk: Desk { asks: asks_in, replies: replies_out } };
        let task = Self {
            transitions,
            asks,
            replies,
            connects: link.connects(),
            router: router(&link, &outbox),
            fleet,
            link,
            deliveries,
            outbox,
            gauge: Arc::default(),
            asks_lost: 0,
            turns: 0,
            unwritten: false,
            written: None,
            setup,
        };
        Ok((task, ends))
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        // The first look at the processor has nothing to compare with.
        self.look().await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut perceiving, mut answering) = (true, true);
        loop {
            tokio::select! {
                biased;
                () = self.setup.stop.cancelled() => break,
                // Before the reply to the order that changed them.
                Ok(()) = self.setup.tunings.changed() => {
                    let tuning = *self.setup.tunings.borrow_and_update();
                    if let Some(tuning) = tuning {
                        self.feed(Input::Tuning(tuning)).await;
                    }
                }
                reply = self.replies.recv(), if answering => match reply {
                    Some((asker, reply)) => self.feed(Input::Reply(&asker, &reply)).await,
                    None => answering = false,
                },
                transition = self.transitions.recv(), if perceiving => match transition {
                    Some(transition) => self.feed(Input::Transition(&transition)).await,
                    None => perceiving = false,
                },
                Ok(()) = self.setup.wanted_links.changed() => self.change_link().await,
                Ok(()) = self.connects.changed() => self.feed(Input::Connected).await,
                _ = tick.tick() => {
                    self.feed(Input::Tick).await;
                    let now = self.now();
                    if self.written.is_none_or(|written| now.since(written) >= WATCHLIST_EVERY) {
                        self.write_watchlist();
                    }
                    self.show();
                }
                // Last, so that a flood from outside holds up nothing of ours.
                delivery = self.deliveries.recv() => match delivery {
                    Some(delivery) => self.feed(Input::Delivery(&delivery)).await,
                    None => return tracing::error!(camera = %self.setup.camera, "the fleet link has ended by itself"),
                },
            }
        }
        self.leave().await;
    }

    /// Leaves the broker at which the server is, when that is to be another, or to be reached otherwise.
    async fn change_link(&mut self) {
        let wanted = collecting(&self.setup.wanted_links.borrow_and_update());
        let Some(wanted) = wanted.filter(|wanted| *wanted != self.setup.link) else { return };
        let now = self.now();
        let farewell = self.fleet.will(now);
        self.link.close(Some(farewell), CHANGE_WITHIN).await;
        self.setup.link = wanted;
        match connect(&self.setup, &mut self.fleet, &self.outbox, now) {
            Ok((link, deliveries)) => {
                self.connects = link.connects();
                self.router = router(&link, &self.outbox);
                (self.link, self.deliveries) = (link, deliveries);
            }
            Err(error) => tracing::error!(camera = %self.setup.camera, "{error}"),
        }
    }

    fn now(&self) -> Time {
        self.setup.clock.now()
    }

    async fn feed(&mut self, input: Input<'_>) {
        let (now, mut actions) = (self.now(), Vec::new());
        self.fleet.handle(input, now, &mut actions);
        let mut measure = false;
        for action in actions {
            measure |= action == Action::Measure;
            self.act(action);
        }
        if measure {
            let vitals = self.look().await;
            let mut actions = Vec::new();
            self.fleet.handle(Input::Vitals(&vitals), self.now(), &mut actions);
            for action in actions {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(envelope) => self.router.send(envelope),
            Action::Acknowledged(key) => {
                self.outbox.acknowledge(&key);
            }
            Action::Ask(asker, read) => {
                if self.asks.try_send(Ask { asker, read }).is_err() {
                    self.asks_lost += 1;
                    tracing::warn!(camera = %self.setup.camera, lost = self.asks_lost, "no room for an order");
                }
            }
            Action::Measure => {}
            Action::KeepWatchlist => self.unwritten = true,
            Action::Refused(why) => tracing::debug!(camera = %self.setup.camera, why, "message refused"),
        }
    }

    /// Has the watchlist written if it has changed.
    fn write_watchlist(&mut self) {
        if !self.unwritten {
            return;
        }
        self.written = Some(self.now());
        self.unwritten = false;
        // Without waiting it has no error: the store tries until the disk has it.
        let _ = self.setup.store.save(WATCHLIST_FILE, &self.fleet.watchlist(), Duration::ZERO);
    }

    /// How the camera and the machine are.
    async fn look(&self) -> Vitals {
        let (gauge, folder) = (Arc::clone(&self.gauge), self.setup.state_dir.clone());
        let looking = tokio::task::spawn_blocking(move || {
            gauge.lock().unwrap_or_else(PoisonError::into_inner).look(&folder)
        });
        let machine = timeout(LOOK_WITHIN, looking).await.ok().and_then(Result::ok).unwrap_or_default();
        results::vitals(&self.setup.board.snapshot(), machine)
    }

    fn show(&mut self) {
        self.turns += 1;
        let stored = self.outbox.status();
        let status = self.link.status();
        let status = status.borrow();
        let part = state::Fleet {
            turns: self.turns,
            connected: status.state == link::State::Connected,
            client_id_taken: state::is_taken(&status),
            limits: status.limits,
            waiting: stored.queued.total(),
            evicted: stored.counters.evicted.total(),
            outbox: stored,
            dialogue: self.fleet.report(),
        };
        self.setup.board.write(|parts| parts.fleet = Some(part));
    }

    async fn leave(mut self) {
        let drained = timeout(DRAIN_WITHIN, async {
            while let Some(transition) = self.transitions.recv().await {
                self.feed(Input::Transition(&transition)).await;
            }
            while let Some((asker, reply)) = self.replies.recv().await {
                self.feed(Input::Reply(&asker, &reply)).await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!(camera = %self.setup.camera, "the last tracks or replies are missing; going without");
        }
        self.feed(Input::Leaving).await;
        self.write_watchlist();
        let farewell = self.fleet.will(self.now());
        let status = self.link.close(Some(farewell), GOODBYE_WITHIN).await;
        drop(self.router);
        let (outbox, left) = (self.outbox.clone(), status.queued.total() + status.in_flight);
        // A disk that hangs holds up nothing but its own thread.
        let _ = tokio::task::spawn_blocking(move || outbox.close(LAST_COMMIT_WITHIN)).await;
        let kept = self.outbox.status().queued.total();
        if left > 0 || kept > 0 {
            tracing::info!(camera = %self.setup.camera, left, kept, "not acknowledged by the fleet server before the stop; kept are sent at the next start");
        }
    }
}

/// Puts the watchlist of the last run in force. One that can't be read is left out: the server has it.
fn restore_watchlist(setup: &Setup, fleet: &mut Fleet) {
    let path = setup.state_dir.join(WATCHLIST_FILE);
    let why = match std::fs::read(&path) {
        Ok(kept) => fleet.restore_watchlist(&kept).err().map(|error| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why {
        tracing::warn!(camera = %setup.camera, "{}: {why}; asking the server for the watchlist", path.display());
    }
}

/// The connection to the broker at which the server is.
fn connect(
    setup: &Setup,
    fleet: &mut Fleet,
    outbox: &Outbox,
    now: Time,
) -> Result<(LinkHandle, Deliveries), link::Error> {
    let options = link::Options {
        will_delay: Duration::ZERO,
        max_packet_bytes: PACKET_BYTES_MAX,
        deliveries: link::DeliveryLimits { bytes: 2 * PACKET_BYTES_MAX, ..setup.link.deliveries },
        ..setup.link.clone()
    };
    let client = Client {
        id: format!("{}-fleet", setup.camera),
        will: Some(fleet.will(now)),
        subscriptions: fleet.subscriptions(),
        rows: outbox.rows(LINK),
        known: setup.known.clone(),
        retain_as_published: true,
    };
    link::spawn(&options, client, Arc::clone(&setup.clock))
}

fn router(link: &LinkHandle, outbox: &Outbox) -> Router {
    let route =
        Route { name: LINK.to_owned(), carries: Carries::default(), data: link.sender(), control: None };
    Router::new(vec![route], Some(outbox.clone()))
}
