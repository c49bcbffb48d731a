//! The task between perception and link: feeds the swarm engine, and sends what it decides.
//!
//! The engine is pure; this is its adapter to channels, a ticker and the link. It also writes
//! its part of the state board, and event transitions to the log. On stop it takes the transitions
//! that still wait, and only then says goodbye.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::known_cameras::{FILE as CAMERAS_FILE, Filter, KnownCameras};
use super::links::{GOODBYE_WITHIN, Links, take};
use super::own_presence::OwnPresence;
use super::signing::{KNOWN_FILE, Keys};
use crate::base::{Clock, CorrectedClock, Time};
use crate::config::BrokerLink;
use crate::link;
use crate::model::{
    CameraId, Delivery, Event, EventState, MessageClass, Mode, Modes, Qos, Scene, Transition,
};
use crate::state::{self, Board, NamedStatus};
use crate::store::Store;
use crate::swarm::participants::Change as Participation;
use crate::swarm::trust::Change;
use crate::swarm::{self, Action, Engine, Input};

/// How long the perception may take to hand over its last transitions.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);
/// Transitions that wait for the surface. A scene has a handful; the perception thread waits beyond.
pub(super) const TRANSITIONS_MAX: usize = 1_024;
/// The engine's sense of time passing.
const TICK: Duration = Duration::from_secs(1);

/// The camera's part in the swarm.
pub(super) struct Swarm {
    pub(super) engine: Engine,
    pub(super) links: Links,
    /// What comes back of its presence.
    pub(super) own: OwnPresence,
    /// The cameras that are known by id.
    pub(super) cameras: KnownCameras,
}

pub(super) struct Surface {
    pub(super) camera: CameraId,
    pub(super) swarm: Option<Swarm>,
    pub(super) scenes: watch::Receiver<Option<Arc<Scene>>>,
    pub(super) transitions: mpsc::Receiver<Transition>,
    /// What keeps the camera from seeing.
    pub(super) conditions: watch::Receiver<Modes>,
    pub(super) board: Board,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// The same clock, to be corrected.
    pub(super) wall_clock: Arc<CorrectedClock>,
    /// Who serves a fleet server hears of readings and ended tracks.
    pub(super) fleet: Option<mpsc::Sender<Transition>>,
    pub(super) stop: CancellationToken,
    /// What the swarm goes by from now on, the newest wins.
    pub(super) tunings: watch::Receiver<Option<swarm::Tuning>>,
    /// The links that are wanted from now on, the newest wins.
    pub(super) wanted_links: watch::Receiver<Vec<BrokerLink>>,
    /// The highest id of an event so far.
    pub(super) newest_event: u32,
    pub(super) keys: Keys,
    /// What a time server said, the newest wins.
    pub(super) clock_measured: watch::Receiver<Option<swarm::ClockMeasured>>,
    /// The time server is itself not synchronized.
    pub(super) server_unsynced: Arc<AtomicBool>,
    /// Keys of others were pinned that are not kept yet.
    pub(super) pins_changed: bool,
    /// The ground under the camera is measured.
    pub(super) calibrated: bool,
    /// The state folder could not be used at the last look.
    pub(super) was_degraded: bool,
}

impl Surface {
    /// Runs until it is told to stop; a perception that ended does not end it, so that the camera
    /// stays present until somebody decides.
    pub(super) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connects = self.swarm.as_ref().map(|s| s.links.connects.clone());
        let mut actions = Vec::new();
        let mut perceiving = true;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = changed(&mut connects) => {
                    if let Some(swarm) = &mut self.swarm {
                        swarm.cameras.connected(self.clock.now());
                    }
                    self.feed(Input::Connected, &mut actions);
                }
                transition = self.transitions.recv(), if perceiving => match transition {
                    Some(transition) => self.transition(&transition, &mut actions).await,
                    None => perceiving = false,
                },
                fresh = self.scenes.changed(), if perceiving => {
                    let scene = fresh.ok().and_then(|()| self.scenes.borrow_and_update().clone());
                    match scene {
                        Some(scene) => self.scene(&scene, &mut actions),
                        // Nobody looks at present.
                        None => self.board.write(|parts| parts.swarm.tracks = 0),
                    }
                }
                // Whoever tunes is gone only when the camera is.
                Ok(()) = self.tunings.changed() => self.tune(),
                Ok(()) = self.wanted_links.changed() => self.change_links().await,
                Ok(()) = self.conditions.changed() => self.tick(&mut actions),
                _ = tick.tick() => self.tick(&mut actions),
                // Last, so that a flood from others holds up nothing of ours.
                delivery = next_delivery(&mut self.swarm) => match delivery {
                    Some(delivery) => {
                        self.look_for_rival(&delivery);
                        self.look_for_retained(&delivery);
                        self.feed(Input::Delivery(&delivery), &mut actions);
                    }
                    // The link's task is gone, which it never is before it is closed.
                    None => return tracing::error!(camera = %self.camera, "the link has ended by itself"),
                },
            }
        }
        // The perception thread lets go of its sender when it has handed over its last transition.
        let drained = timeout(DRAIN_WITHIN, async {
            while let Some(transition) = self.transitions.recv().await {
                self.transition(&transition, &mut actions).await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!(camera = %self.camera, "the perception does not end; going without it");
        }
        // Nothing more comes for the fleet server.
        self.fleet = None;
        self.tick(&mut actions);
        self.say_goodbye().await;
    }

    fn tune(&mut self) {
        let tuning = self.tunings.borrow_and_update().clone();
        if let (Some(swarm), Some(tuning)) = (&mut self.swarm, tuning) {
            swarm.engine.tune(tuning);
        }
    }

    async fn change_links(&mut self) {
        let wanted = self.wanted_links.borrow_and_update().clone();
        let Some(Swarm { engine, links, .. }) = &mut self.swarm else { return };
        match engine.will(self.clock.now()) {
            Ok(will) => links.change(&wanted, engine, &will).await,
            Err(error) => tracing::error!(camera = %self.camera, "links not changed: presence: {error}"),
        }
    }

    fn feed(&mut self, input: Input<'_>, actions: &mut Vec<Action>) {
        let Some(swarm) = &mut self.swarm else { return };
        swarm.engine.handle(input, self.clock.now(), actions);
        for action in actions.drain(..) {
            match action {
                Action::Send(envelope) if envelope.class == MessageClass::Presence => {
                    // Else it would leave beside the one with which the next connection begins.
                    if swarm.links.is_present() {
                        swarm.own.publishes(&envelope);
                        swarm.links.router.send(envelope);
                    }
                }
                Action::Send(envelope) => swarm.links.router.send(envelope),
                Action::Subscribe { class, filter, qos } => swarm.links.listen(class, &filter, qos),
                Action::Unsubscribe { class, filter } => swarm.links.ignore(class, &filter),
                Action::Peer { camera, change } => {
                    if swarm.engine.peers().is_full() {
                        // A flood of names comes and goes all the time.
                        tracing::debug!(camera = %self.camera, peer = %camera, ?change, "peer");
                    } else {
                        tracing::info!(camera = %self.camera, peer = %camera, ?change, "peer");
                    }
                }
                Action::Site(event) => {
                    log_site_event(&self.camera, &event);
                    if event.state == EventState::Confirmed {
                        self.board.write(|parts| parts.swarm.confirmed += 1);
                    }
                }
                Action::Participant { camera, change } => log_participant(&self.camera, &camera, change),
                Action::Trust { camera, change } => {
                    tracing::warn!(camera = %self.camera, peer = %camera, ?change, "trust");
                    let is_kept =
                        matches!(change, Change::Pinned(_) | Change::Rotated(_) | Change::Proven(_));
                    self.pins_changed |= is_kept;
                }
                Action::Clock { camera, offset_ms, error_ms } => {
                    tracing::warn!(
                        camera = %self.camera, peer = %camera, offset_ms, error_ms,
                        "peer clock offset changed, times of this peer are corrected by it"
                    );
                }
                Action::AdoptTime { ahead_ms, error_ms } => {
                    self.wall_clock.adopt_ahead_ms(ahead_ms);
                    tracing::warn!(
                        camera = %self.camera, ahead_ms, error_ms,
                        "clock was not set, adopted the time of the peers"
                    );
                }
                Action::Refused(error) => {
                    tracing::debug!(camera = %self.camera, %error, "message refused");
                }
                Action::Unsendable(error) => {
                    tracing::warn!(camera = %self.camera, %error, "message not sent");
                }
            }
        }
    }

    /// Notices a second daemon with this camera's id.
    fn look_for_rival(&mut self, delivery: &Delivery) {
        let (now, Some(swarm)) = (self.clock.now(), &mut self.swarm) else { return };
        let known = swarm.own.has_rival(now);
        if !swarm.own.heard(delivery, now) {
            return;
        }
        swarm.links.known.note_rival(now);
        if !known {
            tracing::warn!(
                camera = %self.camera, link = &*delivery.link,
                "another process with this camera's id is online, give each camera an id of its own"
            );
        }
    }

    /// Notices a broker that finds no retained messages by wildcard filters.
    fn look_for_retained(&mut self, delivery: &Delivery) {
        if self.swarm.as_mut().is_some_and(|swarm| swarm.cameras.heard(delivery)) {
            tracing::warn!(
                camera = %self.camera, link = &*delivery.link,
                "broker finds no retained messages by wildcard filters, known cameras are asked for by their exact topics"
            );
        }
    }

    /// Asks for the presence of known cameras that were not heard, and keeps the ids of new ones.
    fn ask_for_unheard(&mut self, now: Time) {
        let Some(Swarm { engine, links, cameras, .. }) = &mut self.swarm else { return };
        let heard = engine.peers().iter().map(|(id, peer)| (id, peer.heard));
        for filter in cameras.look(heard, now) {
            match filter {
                Filter::Begin(topic) => links.listen(MessageClass::Presence, &topic, Qos::AtLeastOnce),
                Filter::End(topic) => links.ignore(MessageClass::Presence, &topic),
            }
        }
        if let Some(ids) = cameras.changed_file(now) {
            // Without waiting it has no error: the store tries until the disk has it.
            let _ = self.store.save(CAMERAS_FILE, &ids, Duration::ZERO);
        }
    }

    /// The modes that follow from what comes back of the own presence: those for all cameras, those reported here only.
    fn own_presence_modes(&mut self, links: &[NamedStatus], now: Time) -> (bool, bool) {
        let Some(Swarm { links: all, own, .. }) = &mut self.swarm else { return (false, false) };
        let topic = own.topic().to_owned();
        let carrying = links.iter().filter(|(name, _)| all.carries(name, MessageClass::Presence, &topic));
        let missing = own.missing(carrying, now);
        for (link, _) in missing.iter().filter(|(_, news)| *news) {
            let remedy = if topic.contains('.') {
                "it takes the dot in the topic for a level separator (RabbitMQ); use a camera id and a prefix without dots"
            } else {
                "check the broker's access list"
            };
            tracing::warn!(
                camera = %self.camera, link = &**link, topic,
                "own presence does not come back from the broker, others do not get it: {remedy}"
            );
        }
        (own.has_rival(now), !missing.is_empty())
    }

    fn scene(&mut self, scene: &Scene, actions: &mut Vec<Action>) {
        self.feed(Input::Scene(scene), actions);
        self.board.write(|parts| parts.swarm.tracks = scene.tracks.len());
    }

    async fn transition(&mut self, transition: &Transition, actions: &mut Vec<Action>) {
        self.feed(Input::Transition(transition), actions);
        if let (Some(fleet), Transition::Attribute { .. } | Transition::TrackEnded { .. }) =
            (&self.fleet, transition)
        {
            // When that task is behind this waits, and the perception after it. Gone, it needs nothing.
            let _ = fleet.send(transition.clone()).await;
        }
        if let Transition::Event(event) = transition {
            log_event(&self.camera, event);
            let begins = event.id > self.newest_event;
            self.newest_event = self.newest_event.max(event.id);
            self.board.write(|parts| match event.state {
                // Told again when it gets graver; an event keeps its id, and ids rise.
                EventState::Predicted => parts.swarm.predicted += u64::from(begins),
                EventState::Occurred => parts.swarm.occurred += 1,
                EventState::Retracted => parts.swarm.retracted += 1,
                EventState::Confirmed | EventState::Expired => {}
            });
        }
    }

    fn tick(&mut self, actions: &mut Vec<Action>) {
        self.keep_pins();
        self.mend_keys();
        let now = self.clock.now();
        self.ask_for_unheard(now);
        self.conditions.mark_unchanged();
        self.show(now);
        let snapshot = self.board.snapshot();
        if let Some(measured) = *self.clock_measured.borrow_and_update()
            && let Some(swarm) = &mut self.swarm
        {
            swarm.engine.set_clock(measured);
        }
        self.feed(Input::Counters(&snapshot.counters()), actions);
        self.feed(Input::Modes(snapshot.modes().without(Modes::LOCAL)), actions);
        self.feed(Input::Tick, actions);
    }

    /// Writes this task's part of the board.
    fn show(&mut self, now: Time) {
        let links = self.swarm.as_ref().map(|s| s.links.statuses()).unwrap_or_default();
        let (has_rival, own_missing) = self.own_presence_modes(&links, now);
        let ends =
            |link: &link::Status| link.certificates.is_some_and(|dates| dates.ending(now.epoch_ms).is_some());
        let swarm = self.swarm.as_ref();
        let engine = swarm.map(|s| &s.engine);
        let modes = [
            (has_rival, Mode::ClientIdTaken),
            (own_missing, Mode::OwnPresenceMissing),
            (links.iter().any(|(_, link)| ends(link)), Mode::CertificateEnds),
            (self.store.is_degraded(), Mode::StateUnsaved),
            (self.store.was_lost(), Mode::StateLost),
            (!self.calibrated, Mode::Uncalibrated),
            (self.keys.failed, Mode::SigningOff),
            (swarm.is_some_and(|s| s.cameras.is_lacking()), Mode::RetainedWildcardsUnavailable),
            (self.server_unsynced.load(Ordering::Relaxed), Mode::TimeServerUnsynced),
            (engine.is_some_and(|e| e.is_unsynced(now)), Mode::ClockUnsynced),
            (
                engine.is_some_and(|e| e.participants().unresponsive().next().is_some()),
                Mode::CameraUnresponsive,
            ),
        ];
        let outbox = swarm.map(|s| s.links.outbox());
        self.board.write(|parts| {
            let old = std::mem::take(&mut parts.swarm);
            parts.swarm = state::Swarm {
                turns: old.turns + 1,
                peers: engine.map_or(0, |e| e.peers().online()),
                remote_tracks: engine.map_or(0, |e| e.peers().tracks().count()),
                refused: engine.map_or(0, |e| e.counters().refused.iter().sum()),
                modes: modes.into_iter().collect(),
                links,
                unrouted: swarm.map_or(0, |s| s.links.router.unrouted()),
                outbox,
                ..old
            };
        });
    }

    /// Signs from the time on at which the state folder can be used again.
    fn mend_keys(&mut self) {
        let was_degraded = std::mem::replace(&mut self.was_degraded, self.store.is_degraded());
        if was_degraded
            && !self.was_degraded
            && self.keys.read_again(self.clock.now())
            && let Some(swarm) = &mut self.swarm
        {
            let pins = swarm.engine.trust().pins();
            swarm.engine.remember(self.keys.signer.clone(), pins);
        }
    }

    /// Keeps the keys that were pinned since the last time, without waiting for the disk.
    fn keep_pins(&mut self) {
        if let Some(swarm) = self.swarm.as_ref().filter(|_| self.pins_changed) {
            let known = Keys::known_file(&swarm.engine.trust().pins());
            // Without waiting it has no error: the store tries until the disk has it.
            let _ = self.store.save(KNOWN_FILE, &known, Duration::ZERO);
            self.pins_changed = false;
        }
    }

    async fn say_goodbye(mut self) {
        // What still arrives has somewhere to go until the link is closed.
        let Some(Swarm { mut engine, links, .. }) = self.swarm.take() else { return };
        let Some(open) = take(&links.open) else { return };
        if engine.held_events() > 0 {
            tracing::warn!(
                camera = %self.camera, events = engine.held_events(),
                "clock was never set, dropped the events that waited for it"
            );
        }
        let farewell = engine.farewell(self.clock.now()).ok();
        let (statuses, outbox) = open.close(farewell, GOODBYE_WITHIN).await;
        drop(links);
        let kept = outbox.queued.total();
        let waiting = |link: &link::Status| link.queued.total() + link.in_flight;
        let left: u64 = statuses.iter().map(|(_, link)| waiting(link)).sum();
        if left > 0 || kept > 0 {
            tracing::warn!(camera = %self.camera, left, kept, "messages not delivered before the stop; kept are sent at the next start");
        }
        self.board.write(|parts| (parts.swarm.links, parts.swarm.outbox) = (statuses, Some(outbox)));
    }
}

async fn changed(connects: &mut Option<watch::Receiver<u64>>) {
    let changed = match connects {
        Some(connects) => connects.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

async fn next_delivery(swarm: &mut Option<Swarm>) -> Option<Delivery> {
    match swarm {
        Some(swarm) => swarm.links.next_delivery().await,
        None => std::future::pending().await,
    }
}

fn log_event(camera: &CameraId, event: &Event) {
    tracing::info!(
        %camera,
        id = event.id,
        event = event.kind.as_str(),
        state = ?event.state,
        severity = ?event.severity,
        probability = event.probability,
        zone = event.zone.as_deref(),
        tracks = ?event.tracks,
        "event"
    );
}

/// A camera whose votes count, or do not.
fn log_participant(camera: &CameraId, peer: &CameraId, change: Participation) {
    match change {
        Participation::Counts => {
            tracing::info!(%camera, %peer, "tracks of a camera agree with ours, its votes count");
        }
        Participation::Doubted => {
            tracing::warn!(%camera, %peer, "tracks of a camera no longer agree with ours, its votes do not count");
        }
        Participation::Contradicted => {
            tracing::warn!(%camera, %peer, "tracks of a camera do not agree with ours, they are left out");
        }
        Participation::Unresponsive => {
            tracing::warn!(%camera, %peer, "a camera missed two votes in a row, its vote is not waited for");
        }
        Participation::Responsive => tracing::info!(%camera, %peer, "a camera votes again"),
    }
}

/// What the cameras of the site agree on: one line for each state of an incident, on every camera.
fn log_site_event(camera: &CameraId, event: &swarm::consensus::SiteEvent) {
    tracing::info!(
        %camera,
        key = %event.key,
        event = event.kind.as_str(),
        state = ?event.state,
        severity = ?event.severity,
        occurred = event.occurred,
        probability = event.probability,
        asked = event.tally.asked,
        confirming = event.tally.confirming,
        denying = event.tally.denying,
        alone = event.is_alone(),
        "site event"
    );
}
