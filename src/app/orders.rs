//! The task that takes orders: carries commands to the desk, does what is accepted, and tells what is so.
//!
//! Owns the connections `{camera_id}-control` and `{camera_id}-shared`, whose wills say `disconnected`. Both
//! start clean and leave no session, so that no old command comes after a restart. The desk and the plane
//! are pure; this is their adapter to links, threads and the clock. What ends the process is asked of
//! whoever runs it ([`Request`]). On stop it waits until the perception has handed over its last frame, then
//! answers what is owed and leaves with a retained `disconnected`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::links::{CHANGE_WITHIN, GOODBYE_WITHIN, ordering};
use super::meter::Meter;
use super::results::{Commands, HealthResult, StabilizationResult, StatusResult};
use super::wire::{Shared, Wire, next};
use crate::base::{Clock, Time, rfc3339};
use crate::capture::Capture;
use crate::config::BrokerLink;
use crate::control::{
    self, Action, Activity, Asker, Command, Connection, Data, Door, FrameQuality, FullFrame, Outcome,
    Outgoing, Plane, Repeats, Settings, Ticket, Topics, Truth, Unread,
};
use crate::link::{self, Carries, Client, Route, Router};
use crate::model::{CameraId, Content, Delivery, Envelope, GroundPlane, Modes, Qos, Scene};
use crate::picture;
use crate::pipeline::{self, Sight};
use crate::state::{self, Board, Snapshot};
use crate::store::{Store, WRITE_BOUND};

/// The sense of time passing: rate limits, modes, the first frame.
const TICK: Duration = Duration::from_millis(250);
/// How long the perception may take to rest, or to wake up.
const REST_WITHIN: Duration = Duration::from_secs(5);
/// How long the perception may take to hand over its last frame.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);
/// Requests that wait for whoever runs the process.
pub(super) const REQUESTS_MAX: usize = 8;
/// A frame older than this is not recent.
const RECENT: Duration = Duration::from_secs(5);
/// The file with the ids of commands, in the state folder.
pub(super) const COMMANDS_FILE: &str = "commands.json";

/// What is asked of whoever runs the process.
#[derive(Debug)]
pub enum Request {
    /// Drain and exit.
    Stop,
    /// Drain and start again.
    Restart,
    /// Read the configuration again.
    Reload(Job),
    /// Set these values.
    Set(Settings, Job),
}

/// A command that somebody else does.
#[derive(Debug)]
pub struct Job {
    ticket: Ticket,
    outcomes: mpsc::Sender<(Ticket, Outcome)>,
}

impl Job {
    /// Tells how it went; none when it can't be done here.
    pub(super) fn finish(self, outcome: Option<Outcome>) {
        let nobody = || Outcome::failed("unavailable", "this camera has no configuration file to go by");
        // There is room for as many as can be under way; a desk that is gone wants no answer.
        let _ = self.outcomes.try_send((self.ticket, outcome.unwrap_or_else(nobody)));
    }
}

/// A pause or a resume that has not taken effect yet.
struct Resting {
    ticket: Ticket,
    wanted: bool,
    since: Time,
}

/// An order for the desk.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) asker: Asker,
    pub(super) read: Result<control::Request, Unread>,
}

/// The door for those who have a connection of their own.
pub(super) struct Desk {
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) replies: mpsc::Sender<(control::Asker, control::Reply)>,
}

/// What the task works with.
pub(super) struct Setup {
    pub(super) camera: CameraId,
    pub(super) options: control::Options,
    pub(super) link: link::Options,
    pub(super) known: link::Known,
    /// The links that are wanted from now on; the one that carries answers counts.
    pub(super) wanted_links: watch::Receiver<Vec<BrokerLink>>,
    /// Where data goes; a link of its own when there is none yet.
    pub(super) router: Option<Router>,
    pub(super) scenes: watch::Receiver<Option<Arc<Scene>>>,
    pub(super) resting: watch::Receiver<bool>,
    pub(super) capture: Arc<Capture>,
    pub(super) board: Board,
    pub(super) counters: Arc<pipeline::Counters>,
    pub(super) crop: Arc<pipeline::Crop>,
    pub(super) requests: mpsc::Sender<Request>,
    /// The last frame with what was seen in it; none when no picture may leave.
    pub(super) sights: Option<watch::Receiver<Option<Sight>>>,
    pub(super) ground: GroundPlane,
    pub(super) frame_tunings: watch::Receiver<Option<FrameQuality>>,
    pub(super) fleet: Option<Desk>,
    pub(super) state_dir: PathBuf,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: CancellationToken,
}

/// See the module.
pub(super) struct Orders {
    setup: Setup,
    desk: control::Desk,
    plane: Plane,
    topics: Topics,
    data: Data,
    meter: Meter,
    control: Wire,
    shared: Option<Wire>,
    data_link: Option<Wire>,
    router: Router,
    pending: Vec<Resting>,
    /// What others have done.
    jobs: mpsc::Sender<(Ticket, Outcome)>,
    outcomes: mpsc::Receiver<(Ticket, Outcome)>,
    started: Time,
    last_frame: Option<Time>,
    next_metrics: Time,
    leaving: bool,
    unsaved: bool,
    /// A picture is being drawn.
    drawing: Arc<AtomicBool>,
}

impl Orders {
    /// Starts the connections.
    pub(super) fn start(setup: Setup) -> Result<Self, link::Error> {
        let now = setup.clock.now();
        let topics = Topics::new(setup.options.prefix.as_str(), setup.camera.clone());
        let plane = Plane::new(topics.clone(), setup.options.plane.clone());
        let (control, shared) = connect(&setup, &plane, &topics)?;
        let data_link = match &setup.router {
            Some(_) => None,
            None => Some(spawn(&setup, setup.camera.to_string(), None, Vec::new())?),
        };
        let own = |wire: &Wire| {
            let name = setup.link.name.clone();
            let data = wire.link.sender();
            Router::new(vec![Route { name, carries: Carries::default(), data, control: None }], None)
        };
        let router = setup.router.clone().or_else(|| data_link.as_ref().map(own));
        let (jobs, outcomes) = mpsc::channel(control::RUNNING_MAX);
        let file = setup.state_dir.join(COMMANDS_FILE);
        // A disk that hangs must not hang the start.
        let kept = setup.store.busy_for().is_zero().then(|| std::fs::read(file).ok()).flatten();
        let repeats = kept.map(|bytes| Repeats::from_json(&bytes, now)).unwrap_or_default();
        Ok(Self {
            desk: control::Desk::new(setup.options.desk.clone(), repeats),
            data: Data::new(topics.clone(), setup.options.data),
            topics,
            plane,
            meter: Meter::new(now),
            router: router.unwrap_or_else(|| own(&control)),
            control,
            shared,
            data_link,
            pending: Vec::new(),
            jobs,
            outcomes,
            started: now,
            last_frame: None,
            next_metrics: now + control::METRICS_EVERY,
            leaving: false,
            unsaved: false,
            drawing: Arc::default(),
            setup,
        })
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut perceiving = true;
        loop {
            let shared = &mut self.shared;
            tokio::select! {
                biased;
                () = self.setup.stop.cancelled() => break,
                delivery = self.control.deliveries.recv() => match delivery {
                    Some(delivery) => self.hear(&delivery).await,
                    None => return self.gone(),
                },
                Ok(()) = self.control.connects.changed() => self.tell(Connection::Control),
                Some(event) = next(shared) => match event {
                    Shared::Heard(delivery) => self.plane.heard_shared(&delivery),
                    Shared::Connected => self.tell(Connection::Shared),
                },
                Some(ask) = next_ask(&mut self.setup.fleet) => self.take(ask).await,
                Some((ticket, outcome)) = self.outcomes.recv() => {
                    let mut actions = Vec::new();
                    self.desk.finish(ticket, outcome, &mut actions);
                    self.act(actions).await;
                }
                Ok(()) = self.setup.resting.changed() => self.rested().await,
                // Behind the outcomes: a reload is answered where it was asked for.
                Ok(()) = self.setup.wanted_links.changed() => self.change_link().await,
                fresh = self.setup.scenes.changed(), if perceiving => match fresh {
                    Ok(()) => self.scene(),
                    Err(_) => perceiving = false,
                },
                _ = tick.tick() => self.tick().await,
            }
        }
        self.leave().await;
    }

    /// Leaves the broker that commands came from, when it is to be another, or to be reached otherwise.
    async fn change_link(&mut self) {
        let wanted = ordering(&self.setup.wanted_links.borrow_and_update());
        let Some(wanted) = wanted.filter(|wanted| *wanted != self.setup.link) else { return };
        tracing::info!(camera = %self.setup.camera, "commands come by another connection from now on");
        self.say_goodbye(CHANGE_WITHIN).await;
        self.setup.link = wanted;
        match connect(&self.setup, &self.plane, &self.topics) {
            Ok((control, shared)) => (self.control, self.shared) = (control, shared),
            Err(error) => tracing::error!(camera = %self.setup.camera, "{error}"),
        }
    }

    /// Closes the connections that commands come by; the status of the one that answers.
    async fn say_goodbye(&mut self, within: Duration) -> link::Status {
        let now = self.now();
        let (own, common) = (self.plane.farewell(now), self.plane.shared_farewell(now));
        let shared = async {
            if let Some(wire) = &mut self.shared {
                wire.link.close(Some(common), within).await;
            }
        };
        tokio::join!(self.control.link.close(Some(own), within), shared).0
    }

    fn gone(&self) {
        tracing::error!(camera = %self.setup.camera, "the control link has ended by itself");
    }

    fn now(&self) -> Time {
        self.setup.clock.now()
    }

    /// Publishes what is so after a connect.
    fn tell(&mut self, connection: Connection) {
        let mut out = Vec::new();
        let now = self.now();
        match connection {
            Connection::Control => self.plane.tell(now, &mut out),
            Connection::Shared => self.plane.tell_shared(now, &mut out),
        }
        // The other connection has its own connects.
        out.retain(|(via, _)| *via == connection);
        match (connection, &mut self.shared) {
            (Connection::Control, _) => self.control.begin(),
            (Connection::Shared, Some(shared)) => shared.begin(),
            (Connection::Shared, None) => {}
        }
        self.send(out);
    }

    fn send(&self, out: Vec<Outgoing>) {
        for (connection, envelope) in out {
            match (connection, &self.shared) {
                (Connection::Control, _) => self.control.link.sender().send(envelope),
                (Connection::Shared, Some(shared)) => shared.link.sender().send(envelope),
                (Connection::Shared, None) => {}
            }
        }
    }

    /// An order that came in elsewhere.
    async fn take(&mut self, Ask { asker, read }: Ask) {
        let (now, mut actions) = (self.now(), Vec::new());
        if self.desk.admit(&asker, now, &mut actions) {
            self.desk.submit(read, asker, now, &mut actions);
        }
        self.act(actions).await;
    }

    async fn hear(&mut self, delivery: &Delivery) {
        let Some(asker) = self.plane.asker(delivery) else { return };
        let (now, mut actions) = (self.now(), Vec::new());
        if self.desk.admit(&asker, now, &mut actions) {
            let request = control::Request::read(delivery, &self.setup.camera);
            self.desk.submit(request, asker, now, &mut actions);
        }
        self.act(actions).await;
    }

    async fn act(&mut self, actions: Vec<Action>) {
        let mut actions = std::collections::VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            let mut out = Vec::new();
            match action {
                Action::Reply(asker, reply) if asker.door == Door::Fleet => {
                    if let Some(fleet) = &self.setup.fleet
                        && fleet.replies.try_send((asker, reply)).is_err()
                    {
                        tracing::warn!(camera = %self.setup.camera, "an answer to the fleet server is lost");
                    }
                }
                Action::Reply(asker, reply) => self.plane.reply(&asker, &reply, self.now(), &mut out),
                Action::Audit(audit) => {
                    let control::Audit { asker, reply } = &audit;
                    tracing::info!(
                        camera = %self.setup.camera,
                        door = asker.door.as_str(),
                        command = reply.command.as_deref(),
                        id = reply.id.as_deref(),
                        outcome = ?reply.state,
                        error = reply.error.as_deref(),
                        "command"
                    );
                    self.plane.audit(&audit, self.now(), &mut out);
                }
                Action::Save => self.save().await,
                Action::Execute(ticket, command) => {
                    if let Some(outcome) = self.execute(ticket, &command) {
                        let mut after = Vec::new();
                        self.desk.finish(ticket, outcome, &mut after);
                        actions.extend(after);
                    }
                }
            }
            self.send(out);
        }
    }

    /// Writes the ids of commands before anything is done, so that none is done twice. A disk that does not take
    /// them in time holds up no command.
    async fn save(&mut self) {
        let (store, bytes) = (self.setup.store.clone(), self.desk.repeats().to_json());
        let within = if store.is_degraded() { Duration::ZERO } else { WRITE_BOUND };
        let written = tokio::task::spawn_blocking(move || store.save(COMMANDS_FILE, &bytes, within)).await;
        let failed = written.map_err(|error| error.to_string()).and_then(|written| written).err();
        if let (Some(error), false) = (&failed, self.unsaved) {
            let camera = &self.setup.camera;
            tracing::warn!(%camera, "ids of commands are not kept over a restart: {error}");
        }
        self.unsaved = failed.is_some();
    }

    /// Does a command; the outcome, unless that comes later.
    fn execute(&mut self, ticket: Ticket, command: &Command) -> Option<Outcome> {
        let now = self.now();
        match command {
            Command::Pause => self.rest(ticket, true),
            Command::Resume => self.rest(ticket, false),
            Command::Stop => self.leave_by(Request::Stop),
            Command::Restart => self.leave_by(Request::Restart),
            Command::Reload => self.ask(Request::Reload(self.job(ticket))),
            Command::Set(settings) => self.ask(Request::Set(settings.clone(), self.job(ticket))),
            Command::Status => {
                let mut out = Vec::new();
                self.plane.tell(now, &mut out);
                self.send(out);
                Some(done(self.status_result()))
            }
            Command::Metrics => {
                let measured = self.meter.measured(now, &self.setup.counters);
                for envelope in self.data.metrics(measured, now) {
                    self.router.send(envelope);
                }
                Some(Outcome::Done(self.data.metrics_result(measured, now)))
            }
            Command::Health => Some(done(self.health_result(now))),
            Command::StabilizationStats => {
                let scene = self.setup.scenes.borrow().clone();
                let tracks = scene.as_ref().map_or(&[][..], |scene| &scene.tracks);
                Some(done(StabilizationResult::new(&self.setup.board.snapshot(), tracks)))
            }
            Command::ToggleCrop { enabled } => {
                let crop = &self.setup.crop;
                crop.switch(enabled.unwrap_or(!crop.is_on()));
                self.show();
                Some(Outcome::Done(Some(json!({ "enabled": self.setup.crop.is_on() }))))
            }
            Command::Snapshot => self.snapshot(ticket),
        }
    }

    /// A picture of now, drawn and packed beside the task.
    fn snapshot(&mut self, ticket: Ticket) -> Option<Outcome> {
        let sight = match &self.setup.sights {
            Some(sights) if self.data.allows_frames() => sights.borrow().clone(),
            _ => return Some(Outcome::Rejected(control::Rejection::FramesNotAllowed)),
        };
        let Some(sight) = sight.filter(|_| !*self.setup.resting.borrow()) else {
            return Some(Outcome::failed("no_frame", "there is no frame at present"));
        };
        self.picture(sight, Some(self.job(ticket)));
        None
    }

    /// Publishes a frame with its boxes; whoever asked for it hears what came of it.
    fn picture(&self, sight: Sight, job: Option<Job>) {
        let (data, router) = (self.data.clone(), self.router.clone());
        let (ground, drawing) = (self.setup.ground.clone(), Arc::clone(&self.drawing));
        tokio::task::spawn_blocking(move || {
            let (frame, scene) = &*sight;
            let drawn = match &frame.content {
                Content::Image(image) => {
                    picture::frame_jpeg(image, scene, &ground, data.frame_quality().jpeg())
                }
                Content::Detections(_) => Err("this source has no pixels".to_owned()),
            };
            let outcome = match drawn {
                Ok(jpeg) => {
                    let size = frame.size;
                    let mut shown = json!({
                        "bytes": jpeg.len(),
                        "width": size.width,
                        "height": size.height,
                        "frame_id": frame.seq,
                        "timestamp": rfc3339(frame.time.epoch_ms),
                    });
                    let envelopes = data.full_frame(FullFrame { jpeg, seq: frame.seq, time: frame.time });
                    let topics: Vec<String> =
                        envelopes.iter().map(|envelope| envelope.topic.clone()).collect();
                    for envelope in envelopes {
                        router.send(envelope);
                    }
                    shown["topics"] = json!(topics);
                    Outcome::Done(Some(shown))
                }
                Err(error) => Outcome::failed("no_picture", error),
            };
            match job {
                Some(job) => job.finish(Some(outcome)),
                // Only those that nobody asked for go one at a time.
                None => drawing.store(false, Ordering::Release),
            }
        });
    }

    fn rest(&mut self, ticket: Ticket, wanted: bool) -> Option<Outcome> {
        let now = self.now();
        if wanted {
            self.setup.capture.pause();
        } else {
            self.setup.capture.resume();
        }
        // Whoever wanted the contrary a moment ago has been overruled; see `rested`.
        self.pending.push(Resting { ticket, wanted, since: now });
        if *self.setup.resting.borrow() == wanted && self.pending.len() == 1 {
            self.pending.clear();
            return Some(Outcome::OK);
        }
        None
    }

    /// Finishes what has taken effect, was overruled, or takes too long.
    async fn rested(&mut self) {
        self.show();
        let (now, resting) = (self.now(), *self.setup.resting.borrow_and_update());
        let last_wanted = self.pending.last().map(|pending| pending.wanted);
        let mut actions = Vec::new();
        self.pending.retain(|pending| {
            let outcome = if pending.wanted == resting {
                Outcome::OK
            } else if Some(pending.wanted) != last_wanted {
                Outcome::failed("overruled", "a later command asked for the contrary")
            } else if now.since(pending.since) > REST_WITHIN {
                Outcome::failed("timeout", "the perception does not answer")
            } else {
                return true;
            };
            self.desk.finish(pending.ticket, outcome, &mut actions);
            false
        });
        self.act(actions).await;
    }

    fn job(&self, ticket: Ticket) -> Job {
        Job { ticket, outcomes: self.jobs.clone() }
    }

    /// Asks whoever runs the process; the outcome, when nobody can be asked.
    fn ask(&self, request: Request) -> Option<Outcome> {
        let unanswered = self.setup.requests.try_send(request).err()?;
        Some(match unanswered {
            mpsc::error::TrySendError::Full(_) => Outcome::Rejected(control::Rejection::Busy(REQUESTS_MAX)),
            mpsc::error::TrySendError::Closed(_) => {
                Outcome::failed("unavailable", "nobody runs this camera who could do that")
            }
        })
    }

    fn leave_by(&mut self, request: Request) -> Option<Outcome> {
        let refused = self.ask(request);
        if refused.is_none() {
            self.leaving = true;
            self.show();
        }
        refused
    }

    fn scene(&mut self) {
        let now = self.now();
        let scene = self.setup.scenes.borrow_and_update().clone();
        let Some(scene) = scene else { return };
        let first = self.last_frame.replace(now).is_none();
        self.meter.scene(&scene, now);
        let crop = &self.setup.crop;
        let crop = crop.is_on().then(|| control::Crop(crop.region()));
        for envelope in self.data.detections(&scene, crop, now) {
            self.router.send(envelope);
        }
        // One picture at a time: a machine that is too slow for them leaves some out.
        if self.data.wants_frame(scene.time)
            && let Some(sight) = self.setup.sights.as_ref().and_then(|sights| sights.borrow().clone())
            && !self.drawing.swap(true, Ordering::AcqRel)
        {
            self.picture(sight, None);
        }
        if first {
            self.show();
        }
    }

    async fn tick(&mut self) {
        let now = self.now();
        if let Some(quality) = *self.setup.frame_tunings.borrow() {
            self.data.set_frame_quality(quality);
        }
        if now >= self.next_metrics {
            self.next_metrics = now + control::METRICS_EVERY;
            let measured = self.meter.measured(now, &self.setup.counters);
            self.meter.begin(now, &self.setup.counters);
            if self.data.is_enabled() {
                for envelope in self.data.metrics(measured, now) {
                    self.router.send(envelope);
                }
            }
        }
        let own = [Some(&self.control), self.shared.as_ref(), self.data_link.as_ref()];
        let each = own.into_iter().flatten().map(|wire| state::link_modes(&wire.status.borrow()));
        let modes = each.fold(Modes::default(), Modes::union);
        self.setup.board.write(|parts| parts.control.modes = modes);
        let mut actions = Vec::new();
        self.desk.tick(now, &mut actions);
        self.act(actions).await;
        self.rested().await;
    }

    fn activity(&self) -> Activity {
        if self.leaving {
            Activity::Stopping
        } else if *self.setup.resting.borrow() {
            Activity::Paused
        } else if self.last_frame.is_some() {
            Activity::Running
        } else {
            Activity::Starting
        }
    }

    /// Returns the camera as it is now, with the activity of this moment.
    fn state(&self) -> Snapshot {
        self.setup.board.write(|parts| parts.control.activity = self.activity());
        self.setup.board.snapshot()
    }

    /// Publishes what is so, when it is news.
    fn show(&mut self) {
        let state = self.state();
        let modes = state.control_modes().without(Modes::UNCONNECTED);
        let truth = Truth { activity: state.control.activity, modes, crop: self.setup.crop.is_on() };
        let (now, mut out) = (self.now(), Vec::new());
        self.plane.set_truth(truth, now, &mut out);
        // A connection that has not begun yet begins with what is so then.
        out.retain(|(via, _)| match via {
            Connection::Control => self.control.has_begun(),
            Connection::Shared => self.shared.as_ref().is_some_and(Wire::has_begun),
        });
        self.send(out);
    }

    async fn leave(mut self) {
        self.leaving = true;
        self.show();
        // The perception thread lets go of its sender when it has handed over its last frame.
        let drained = timeout(DRAIN_WITHIN, async { while self.setup.scenes.changed().await.is_ok() {} });
        if drained.await.is_err() {
            tracing::warn!(camera = %self.setup.camera, "the perception does not end; going without it");
        }
        let mut actions = Vec::new();
        self.desk.finish_all(&mut actions);
        self.act(actions).await;
        // The fleet server's task waits for the last of them.
        self.setup.fleet = None;
        if let Some(wire) = &mut self.data_link {
            wire.link.close(None, GOODBYE_WITHIN).await;
        }
        let status = self.say_goodbye(GOODBYE_WITHIN).await;
        let left = status.queued.total() + status.in_flight;
        if left > 0 {
            tracing::warn!(camera = %self.setup.camera, left, "replies not delivered before the stop");
        }
    }

    fn status_result(&self) -> StatusResult {
        let counted = self.desk.counters();
        let commands = Commands {
            executed: counted.executed,
            rejected: counted.rejected,
            repeated: counted.repeated,
            rate_limited: counted.rate_limited,
            too_large: counted.too_large,
            for_another: counted.for_another,
            responses_refused: self.plane.responses_refused(),
        };
        let uptime_s = self.now().since(self.started).as_secs();
        StatusResult::new(self.state(), uptime_s, self.plane.shared_foreign(), commands)
    }

    fn health_result(&self, now: Time) -> HealthResult {
        let state = self.state();
        let data = self.data_link.as_ref().map_or_else(|| state.is_linked(), Wire::is_connected);
        let recent = self.last_frame.is_some_and(|last| now.since(last) <= RECENT);
        let uptime_s = now.since(self.started).as_secs();
        HealthResult::new(&state, now.epoch_ms, uptime_s, self.control.is_connected(), data, recent)
    }
}

/// The next order that came in elsewhere; waits for ever when there is no such place.
async fn next_ask(desk: &mut Option<Desk>) -> Option<Ask> {
    match desk {
        Some(desk) => desk.asks.recv().await,
        None => std::future::pending().await,
    }
}

/// A connection to the broker that commands come from.
fn spawn(
    setup: &Setup,
    id: String,
    will: Option<Envelope>,
    subscriptions: Vec<(String, Qos)>,
) -> Result<Wire, link::Error> {
    // A session that is kept would bring commands that nobody waits for any more.
    let clean = link::Options {
        will_delay: Duration::ZERO,
        session_expiry: Duration::ZERO,
        // Who has asked for an answer is there.
        gather: Duration::ZERO,
        ..setup.link.clone()
    };
    let known = setup.known.clone();
    let client = Client { id, will, subscriptions, rows: None, known, retain_as_published: true };
    link::spawn(&clean, client, Arc::clone(&setup.clock)).map(Wire::new)
}

/// The two that commands come by: the camera's own, and the one that all cameras share, if it is wanted.
fn connect(setup: &Setup, plane: &Plane, topics: &Topics) -> Result<(Wire, Option<Wire>), link::Error> {
    let control = spawn(setup, topics.client_id(), Some(plane.will()), plane.subscriptions())?;
    let shared =
        || spawn(setup, topics.shared_client_id(), Some(plane.shared_will()), plane.shared_subscriptions());
    Ok((control, plane.has_shared().then(shared).transpose()?))
}

/// The outcome with this result. Numbers, strings and booleans always have a JSON form.
fn done(result: impl serde::Serialize) -> Outcome {
    Outcome::Done(serde_json::to_value(result).ok())
}
