//! The task that finds the site's broker, and runs it when it is this camera's turn.
//!
//! The adapter of the pure election to multicast DNS, the embedded broker and the camera's links. What it
//! finds is the camera's [`Standing`]: whoever runs the process lets the links go there, by the same way that
//! links are changed in a configuration, so what waits in the outbox waits on and leaves to the new broker.
//!
//! It outlives the camera's goodbye, which needs the broker: [`Finding::stop`] tells the network first, so that
//! the others choose the next broker before they lose this one, and then stops the broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Camera, Error};
use crate::base::Clock;
#[cfg(feature = "broker")]
use crate::broker;
use crate::config;
#[cfg(feature = "broker")]
use crate::discovery;
use crate::discovery::{Action, Broker, Election, Heard, Input, Mdns, Standing};
use crate::link;
use crate::model::CameraId;
use crate::state::Board;

/// The election's sense of time passing.
const TICK: Duration = Duration::from_millis(250);

/// A running search.
pub(super) struct Finding {
    task: JoinHandle<()>,
    stop: CancellationToken,
    standing: watch::Receiver<Standing>,
    #[cfg(feature = "broker")]
    access: watch::Sender<Option<broker::Options>>,
}

impl Finding {
    /// Starts to look for a broker of this camera's links.
    pub(super) fn start(
        wanted: config::Discovery,
        camera: &Camera,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let now = clock.now();
        let link = camera.sought_link();
        let mdns = Mdns::start(&wanted.options, camera.boot_ms())?;
        let stop = CancellationToken::new();
        #[cfg(feature = "broker")]
        let (access, renewed) = watch::channel(wanted.host);
        let task = Task {
            camera: wanted.options.name.clone(),
            link,
            election: Election::new(wanted.options, now),
            mdns,
            host: Host {
                #[cfg(feature = "broker")]
                options: renewed,
                #[cfg(feature = "broker")]
                running: None,
            },
            board: camera.board().clone(),
            standing: camera.standing_sender(),
            clock: Arc::clone(clock),
            stop: stop.clone(),
        };
        let standing = task.standing.subscribe();
        Ok(Self {
            task: tokio::spawn(task.run()),
            stop,
            standing,
            #[cfg(feature = "broker")]
            access,
        })
    }

    /// Waits for news. Cancel safe.
    pub(super) async fn changed(&mut self) -> Result<(), Error> {
        tokio::select! {
            // The sender is the camera's too, and outlives this.
            _ = self.standing.changed() => Ok(()),
            ended = &mut self.task => Err(Error::Panicked {
                part: "discovery".to_owned(),
                message: ended.err().map_or_else(|| "it ended by itself".to_owned(), |error| error.to_string()),
            }),
        }
    }

    /// Lets a broker that runs here go by these users and rules.
    #[cfg(feature = "broker")]
    pub(super) fn set_access(&self, options: &broker::Options) {
        self.access.send_replace(Some(options.clone()));
    }

    /// Says goodbye to the network, then stops the broker, if it runs here.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A panic of it has been told.
        let _ = self.task.await;
    }
}

struct Task {
    camera: CameraId,
    /// The link whose broker is looked for.
    link: Option<String>,
    election: Election,
    mdns: Mdns,
    host: Host,
    board: Board,
    standing: watch::Sender<Standing>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl Task {
    async fn run(mut self) {
        if self.link.is_some() {
            tracing::info!(camera = %self.camera, "no broker is named: looking for one on the local network");
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                () = self.stop.cancelled() => break,
                heard = self.mdns.next() => match heard {
                    Heard::Seen(said) => Input::Seen(said),
                    Heard::Gone(name) => Input::Gone(name),
                    Heard::Unreadable(why) => {
                        tracing::debug!(camera = %self.camera, "an announcement says nothing to us: {why}");
                        continue;
                    }
                },
                () = self.host.failed(&self.camera) => Input::Broker(Broker::Failed),
                _ = tick.tick() => Input::Link(self.is_linked()),
            };
            self.take(input).await;
        }
        self.mdns.leave().await;
        self.host.stop(&self.camera).await;
    }

    fn is_linked(&self) -> bool {
        let parts = self.board.written();
        let sought = parts.swarm.links.iter().find(|(name, _)| Some(&**name) == self.link.as_deref());
        sought.is_some_and(|(_, link)| link.state == link::State::Connected)
    }

    async fn take(&mut self, input: Input) {
        let mut next = Some(input);
        let mut actions = Vec::new();
        while let Some(input) = next.take() {
            self.election.handle(input, self.clock.now(), &mut actions);
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::StartBroker => next = Some(Input::Broker(self.host.start(&self.camera).await)),
                    Action::StopBroker => {
                        tracing::info!(camera = %self.camera, "another broker serves the site: ours stops");
                        self.host.stop(&self.camera).await;
                    }
                    Action::Use(choice) => tracing::info!(
                        camera = %self.camera,
                        broker = %choice.name,
                        address = %choice.address,
                        kind = choice.kind.as_str(),
                        "the site's broker"
                    ),
                    Action::Announce(own) => self.mdns.announce(&own),
                    Action::Verify(name) => {
                        tracing::debug!(camera = %self.camera, "is {name} still there?");
                        self.mdns.verify(&name);
                    }
                }
            }
        }
        let standing = self.election.standing();
        self.standing.send_if_modified(|shown| {
            let news = *shown != standing;
            if standing.searching && !shown.searching && shown.broker.is_some() {
                tracing::warn!(camera = %self.camera, "the site's broker is gone");
            }
            *shown = standing;
            news
        });
    }
}

/// The broker that runs while it is this camera's turn.
#[cfg(feature = "broker")]
struct Host {
    options: watch::Receiver<Option<broker::Options>>,
    running: Option<broker::Broker>,
}

#[cfg(feature = "broker")]
impl Host {
    async fn start(&mut self, camera: &CameraId) -> Broker {
        let Some(options) = self.options.borrow_and_update().clone() else { return Broker::Failed };
        if options.local_link_only {
            tracing::warn!(%camera, "no [broker] users: everybody on the local network may use the site's broker");
        }
        match broker::start(options).await {
            Ok(broker) => {
                let address = broker.local_addr();
                self.running = Some(broker);
                tracing::info!(%camera, %address, "this camera runs the site's broker");
                Broker::Started(discovery::reached_at(address))
            }
            Err(error) => {
                tracing::error!(%camera, "the site's broker can't run here: {error}");
                Broker::Failed
            }
        }
    }

    /// Waits until it ends by itself; passes on who may use it meanwhile. Cancel safe.
    async fn failed(&mut self, camera: &CameraId) {
        let Some(broker) = &mut self.running else { return std::future::pending().await };
        loop {
            tokio::select! {
                error = broker.failed() => {
                    tracing::error!(%camera, "the site's broker failed: {error}");
                    break;
                }
                Ok(()) = self.options.changed() => {
                    if let Some(options) = &*self.options.borrow_and_update() {
                        broker.set_access(options);
                    }
                }
            }
        }
        self.running = None;
    }

    async fn stop(&mut self, camera: &CameraId) {
        if let Some(broker) = self.running.take()
            && let Err(error) = broker.stop().await
        {
            tracing::warn!(%camera, "the site's broker did not stop in order: {error}");
        }
    }
}

/// A build without the broker.
#[cfg(not(feature = "broker"))]
struct Host {}

#[cfg(not(feature = "broker"))]
#[expect(clippy::unused_async, reason = "the same shape as with the broker")]
impl Host {
    async fn start(&mut self, _: &CameraId) -> Broker {
        Broker::Failed
    }

    async fn failed(&mut self, _: &CameraId) {
        std::future::pending::<()>().await;
    }

    async fn stop(&mut self, _: &CameraId) {}
}
