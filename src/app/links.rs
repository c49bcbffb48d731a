//! A camera's links to its brokers, and the store behind them, as one.
//!
//! Every broker of the configuration has a connection of its own; what it carries, the router knows. The
//! swarm is listened to on the links that carry it, and what comes in is merged, fairly, with the link's
//! name on it. The goodbye leaves on every link that carries presence; then the store commits a last time.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::base::Clock;
use crate::config;
use crate::link::{
    self, Client, Deliveries, LinkHandle, Outbox, OutboxOptions, OutboxStatus, Route, Router, Status,
};
use crate::model::{CameraId, Delivery, Envelope, MessageClass};
use crate::swarm::Engine;

/// How long the store may take for its last commit.
const LAST_COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// A link's name and what it shows of itself.
pub type NamedStatus = (Arc<str>, Status);

/// See the module.
pub(super) struct Links {
    pub(super) router: Router,
    /// Changes when a link has connected.
    pub(super) connects: watch::Receiver<u64>,
    pub(super) open: SharedLinks,
    statuses: Vec<(Arc<str>, watch::Receiver<Status>)>,
    deliveries: Vec<Deliveries>,
    /// Which link is asked first for its next delivery.
    turn: usize,
    outbox: Outbox,
}

/// What must be closed.
pub(super) struct Open {
    handles: Vec<(Arc<str>, LinkHandle, bool)>,
    outbox: Outbox,
}

/// Links that whoever closes them takes out.
pub(super) type SharedLinks = Arc<Mutex<Option<Open>>>;

impl Links {
    /// Starts the links; each connects as soon as it can.
    pub(super) fn start(
        links: &[config::BrokerLink],
        outbox: &OutboxOptions,
        camera: &CameraId,
        engine: &Engine,
        will: &Envelope,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, link::Error> {
        let names: Vec<_> = links.iter().map(|link| link.options.name.as_str()).collect();
        let outbox = Outbox::open(outbox, &names, Arc::clone(clock));
        let (connected, connects) = watch::channel(0);
        let (mut statuses, mut deliveries, mut handles, mut routes) = (vec![], vec![], vec![], vec![]);
        for config::BrokerLink { options, carries } in links {
            let says_presence = carries.classes.contains(&MessageClass::Presence);
            let subscriptions = engine.subscriptions().into_iter();
            let client = Client {
                id: camera.to_string(),
                will: says_presence.then(|| will.clone()),
                subscriptions: subscriptions
                    .filter(|(class, ..)| carries.classes.contains(class))
                    .map(|(_, filter, qos)| (filter, qos))
                    .collect(),
                rows: outbox.rows(&options.name),
            };
            let (handle, incoming) = link::spawn(options, client, Arc::clone(clock))?;
            let name: Arc<str> = options.name.as_str().into();
            statuses.push((Arc::clone(&name), handle.status()));
            deliveries.push(incoming);
            routes.push(Route {
                name: options.name.clone(),
                carries: carries.clone(),
                data: handle.sender(),
                control: None,
            });
            tokio::spawn(pass_on(handle.connects(), connected.clone()));
            handles.push((name, handle, says_presence));
        }
        let router = Router::new(routes, Some(outbox.clone()));
        let open = Arc::new(Mutex::new(Some(Open { handles, outbox: outbox.clone() })));
        Ok(Self { router, connects, open, statuses, deliveries, turn: 0, outbox })
    }

    /// What the links show of themselves.
    pub(super) fn statuses(&self) -> Vec<NamedStatus> {
        self.statuses.iter().map(|(name, status)| (Arc::clone(name), status.borrow().clone())).collect()
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
        let count = self.deliveries.len();
        for step in 0..count {
            let turn = (self.turn + step) % count;
            if let Poll::Ready(delivery) = self.deliveries[turn].poll_recv(context) {
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
        let mut closing = JoinSet::new();
        for (name, mut handle, says_presence) in self.handles {
            let farewell = farewell.clone().filter(|_| says_presence);
            closing.spawn(async move {
                if let Ok(Some(message)) = timeout(Duration::ZERO, handle.ended()).await {
                    tracing::error!(link = &*name, "the link panicked: {message}");
                }
                (name, handle.close(farewell, within).await)
            });
        }
        let statuses = closing.join_all().await;
        let outbox = self.outbox.clone();
        // A disk that hangs holds up nothing but its own thread.
        let _ = tokio::task::spawn_blocking(move || outbox.close(LAST_COMMIT_WITHIN)).await;
        (statuses, self.outbox.status())
    }
}

/// Counts a link's connections into the sum of all; ends with the link.
async fn pass_on(mut connects: watch::Receiver<u64>, sum: watch::Sender<u64>) {
    while connects.changed().await.is_ok() {
        sum.send_modify(|sum| *sum += 1);
    }
}
