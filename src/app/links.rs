//! A camera's links to its brokers, and the store behind them, as one.
//!
//! Every broker of the configuration has a connection of its own; what it carries, the router knows. The
//! swarm is listened to on the links that carry it, and what comes in is merged, fairly, with the link's
//! name on it. The goodbye leaves on every link that carries presence; then the store commits a last time.
//! Links may be changed while the camera runs ([`Links::change`]).

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::Clock;
use crate::config::{self, BrokerLink};
use crate::link::{
    self, Client, Deliveries, LinkHandle, LinkSender, Outbox, OutboxOptions, OutboxStatus, Route, Router,
    Status,
};
use crate::model::{CameraId, Delivery, Envelope, MessageClass, Qos};
use crate::state::NamedStatus;
use crate::swarm::Engine;

/// How long the store may take for its last commit.
const LAST_COMMIT_WITHIN: Duration = Duration::from_secs(1);
/// How long links that are changed may take to leave.
pub(super) const CHANGE_WITHIN: Duration = Duration::from_secs(1);

/// How long a camera may take to say goodbye.
pub(super) const GOODBYE_WITHIN: Duration = Duration::from_secs(3);

/// The link by which a fleet server is served: the first that carries its detections.
pub(super) fn collecting(links: &[BrokerLink]) -> Option<link::Options> {
    let collects = |link: &&BrokerLink| link.carries.classes.contains(&MessageClass::FleetDetection);
    links.iter().find(collects).map(|link| link.options.clone())
}

/// The link by which commands come: the first that carries their answers.
pub(super) fn ordering(links: &[BrokerLink]) -> Option<link::Options> {
    let answers = |link: &&BrokerLink| link.carries.classes.contains(&MessageClass::Reply);
    links.iter().find(answers).map(|link| link.options.clone())
}

/// See the module.
pub(super) struct Links {
    pub(super) router: Router,
    /// Changes when a link has connected.
    pub(super) connects: watch::Receiver<u64>,
    pub(super) open: SharedLinks,
    each: Vec<Link>,
    connected: watch::Sender<u64>,
    /// Which link is asked first for its next delivery.
    turn: usize,
    outbox: Outbox,
    /// What the camera's connections have found out about brokers.
    pub(super) known: link::Known,
    camera: CameraId,
    clock: Arc<dyn Clock>,
}

/// One of them, without what closes it.
struct Link {
    name: Arc<str>,
    made_with: config::BrokerLink,
    status: watch::Receiver<Status>,
    deliveries: Deliveries,
    sender: LinkSender,
}

/// What must be closed.
#[derive(Default)]
struct Handles(Vec<(Arc<str>, LinkHandle, bool)>);

/// The links that are open, and the store.
pub(super) struct Open {
    handles: Handles,
    outbox: Outbox,
}

/// Links that whoever closes them takes out.
pub(super) type SharedLinks = Arc<Mutex<Option<Open>>>;

impl Links {
    /// Starts the links; each connects as soon as it can.
    pub(super) fn start(
        wanted: &[config::BrokerLink],
        outbox: &OutboxOptions,
        camera: &CameraId,
        engine: &Engine,
        will: &Envelope,
        known: &link::Known,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, link::Error> {
        let names: Vec<_> = wanted.iter().map(|link| link.options.name.as_str()).collect();
        let outbox = Outbox::open(outbox, &names, Arc::clone(clock));
        let (connected, connects) = watch::channel(0);
        let open = Open { handles: Handles::default(), outbox: outbox.clone() };
        let mut links = Self {
            router: Router::new(Vec::new(), Some(outbox.clone())),
            connects,
            open: Arc::new(Mutex::new(Some(open))),
            each: Vec::new(),
            connected,
            turn: 0,
            outbox,
            known: known.clone(),
            camera: camera.clone(),
            clock: Arc::clone(clock),
        };
        for link in wanted {
            links.add(link, engine, will)?;
        }
        links.route();
        Ok(links)
    }

    fn add(
        &mut self,
        wanted: &config::BrokerLink,
        engine: &Engine,
        will: &Envelope,
    ) -> Result<(), link::Error> {
        let config::BrokerLink { options, carries } = wanted;
        let says_presence = carries.classes.contains(&MessageClass::Presence);
        let subscriptions = engine.subscriptions().into_iter();
        let client = Client {
            id: self.camera.to_string(),
            will: says_presence.then(|| will.clone()),
            subscriptions: subscriptions
                .filter(|(class, ..)| carries.classes.contains(class))
                .map(|(_, filter, qos)| (filter, qos))
                .collect(),
            rows: self.outbox.rows(&options.name),
            known: self.known.clone(),
            retain_as_published: false,
        };
        let (handle, deliveries) = link::spawn(options, client, Arc::clone(&self.clock))?;
        let name: Arc<str> = options.name.as_str().into();
        tokio::spawn(pass_on(handle.connects(), self.connected.clone()));
        self.each.push(Link {
            name: Arc::clone(&name),
            made_with: wanted.clone(),
            status: handle.status(),
            deliveries,
            sender: handle.sender(),
        });
        // Without it the camera is already on its way out, and the link ends with its handle.
        if let Some(open) = &mut *self.open.lock().unwrap_or_else(PoisonError::into_inner) {
            open.handles.0.push((name, handle, says_presence));
        }
        Ok(())
    }

    fn route(&self) {
        let route = |link: &Link| Route {
            name: link.made_with.options.name.clone(),
            carries: link.made_with.carries.clone(),
            data: link.sender.clone(),
            control: None,
        };
        self.router.replace(self.each.iter().map(route).collect());
    }

    /// Goes by these links from now on. What is the same in every option stays up; what is not leaves with
    /// `will` as its goodbye, within [`CHANGE_WITHIN`], and is connected anew. What waits on the disk waits
    /// on for a link that keeps its name.
    pub(super) async fn change(&mut self, wanted: &[config::BrokerLink], engine: &Engine, will: &Envelope) {
        let stays = |link: &Link| wanted.contains(&link.made_with);
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.each).into_iter().partition(stays);
        self.each = stay;
        self.turn = 0;
        // Nothing is put into the queues of a link that goes.
        self.route();
        let goes = |name: &Arc<str>| go.iter().any(|link| link.name == *name);
        let mut closing = Handles::default();
        if let Some(open) = &mut *self.open.lock().unwrap_or_else(PoisonError::into_inner) {
            closing.0.extend(open.handles.0.extract_if(.., |(name, ..)| goes(name)));
        }
        closing.close(Some(will.clone()), CHANGE_WITHIN).await;
        for gone in &go {
            if !wanted.iter().any(|link| link.options.name == *gone.name) {
                self.outbox.dismiss(&gone.name);
                tracing::info!(camera = %self.camera, link = &*gone.name, "a link is no longer wanted");
            }
        }
        for new in wanted {
            let name = &new.options.name;
            if self.each.iter().any(|link| *link.name == **name) {
                continue;
            }
            tracing::info!(camera = %self.camera, link = name, "a link is new, or made anew");
            if !self.outbox.admit(name) {
                tracing::error!(camera = %self.camera, link = name, "too many links: its messages are in memory alone");
            }
            if let Err(error) = self.add(new, engine, will) {
                tracing::error!(camera = %self.camera, "{error}");
            }
        }
        self.route();
    }

    /// Listens to a filter of a class on every link that carries it.
    pub(super) fn listen(&self, class: MessageClass, filter: &str, qos: Qos) {
        for link in self.each.iter().filter(|link| link.made_with.carries.classes.contains(&class)) {
            link.sender.listen(filter.to_owned(), qos);
        }
    }

    /// Listens to a filter no longer.
    pub(super) fn ignore(&self, class: MessageClass, filter: &str) {
        for link in self.each.iter().filter(|link| link.made_with.carries.classes.contains(&class)) {
            link.sender.ignore(filter.to_owned());
        }
    }

    /// What the links show of themselves.
    pub(super) fn statuses(&self) -> Vec<NamedStatus> {
        let status = |link: &Link| (Arc::clone(&link.name), link.status.borrow().clone());
        self.each.iter().map(status).collect()
    }

    /// Whether a message of this class on this topic leaves by this link.
    pub(super) fn carries(&self, link: &str, class: MessageClass, topic: &str) -> bool {
        self.each.iter().any(|each| *each.name == *link && each.made_with.carries.takes(class, topic))
    }

    /// Whether a link that carries presence is up. While none is, none is sent: a connection begins with it.
    pub(super) fn is_present(&self) -> bool {
        let presence = |link: &&Link| link.made_with.carries.classes.contains(&MessageClass::Presence);
        self.each.iter().filter(presence).any(|link| link.status.borrow().state == link::State::Connected)
    }

    /// What the store shows of itself.
    pub(super) fn outbox(&self) -> OutboxStatus {
        self.outbox.status()
    }

    /// The next message from any link; `None` when one of them has ended. Cancel safe.
    pub(super) async fn next_delivery(&mut self) -> Option<Delivery> {
        poll_fn(|context| self.poll_delivery(context)).await
    }

    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let count = self.each.len();
        for step in 0..count {
            let turn = (self.turn + step) % count;
            if let Poll::Ready(delivery) = self.each[turn].deliveries.poll_recv(context) {
                self.turn = turn + 1;
                return Poll::Ready(delivery);
            }
        }
        Poll::Pending
    }
}

/// Takes the links out, to close them.
pub(super) fn take(links: &SharedLinks) -> Option<Open> {
    links.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Open {
    /// Flushes, says goodbye, leaves; the links' last statuses, and the store's.
    pub(super) async fn close(
        self,
        farewell: Option<Envelope>,
        within: Duration,
    ) -> (Vec<NamedStatus>, OutboxStatus) {
        let statuses = self.handles.close(farewell, within).await;
        let outbox = self.outbox.clone();
        // A disk that hangs holds up nothing but its own thread.
        let _ = tokio::task::spawn_blocking(move || outbox.close(LAST_COMMIT_WITHIN)).await;
        (statuses, self.outbox.status())
    }
}

impl Handles {
    async fn close(self, farewell: Option<Envelope>, within: Duration) -> Vec<NamedStatus> {
        let mut closing = JoinSet::new();
        for (name, mut handle, says_presence) in self.0 {
            let farewell = farewell.clone().filter(|_| says_presence);
            closing.spawn(async move {
                if let Ok(Some(message)) = timeout(Duration::ZERO, handle.ended()).await {
                    tracing::error!(link = &*name, "the link panicked: {message}");
                }
                (name, handle.close(farewell, within).await)
            });
        }
        closing.join_all().await
    }
}

/// Counts a link's connections into the sum of all; ends with the link.
async fn pass_on(mut connects: watch::Receiver<u64>, sum: watch::Sender<u64>) {
    while connects.changed().await.is_ok() {
        sum.send_modify(|sum| *sum += 1);
    }
}
