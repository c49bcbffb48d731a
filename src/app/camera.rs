//! One running camera: its threads, its task, and what it reports.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::fleet::{self as fleet_task, FleetTask, Setup as FleetSetup};
use super::known_cameras::{self, KnownCameras};
use super::links::{GOODBYE_WITHIN, Links, SharedLinks, collecting, ordering, take};
use super::orders::{self, Orders, REQUESTS_MAX, Request, Setup};
use super::own_presence::OwnPresence;
use super::reload;
use super::signing::{self, Keys};
use super::surface::{Surface, Swarm, TRANSITIONS_MAX};
use super::time_sync;
use crate::base::{Clock, CorrectedClock};
use crate::capture::{self, Capture};
use crate::config::{BrokerLink, Config, TimeServer};
use crate::control::FrameQuality;
use crate::discovery::Standing;
use crate::fleet;
use crate::link::{self, OutboxOptions};
use crate::model::{CameraId, Envelope, GroundPlane, Modes, ZoneKind};
use crate::pipeline::{self, Perception, Sight};
use crate::state::{Board, Snapshot};
use crate::store::Store;
use crate::supervisor::{Progress, STILL_MAX, Supervisor};
use crate::swarm;

/// Files of the state folder that are made again with it.
const KEPT_FILES: [&str; 7] = [
    signing::KEY_FILE,
    signing::PREVIOUS_FILE,
    signing::KNOWN_FILE,
    reload::SETTINGS_FILE,
    orders::COMMANDS_FILE,
    fleet_task::WATCHLIST_FILE,
    known_cameras::FILE,
];

/// A running camera.
pub struct Camera {
    id: CameraId,
    capture: Arc<Capture>,
    board: Board,
    sights: Option<watch::Receiver<Option<Sight>>>,
    ground: GroundPlane,
    goodbye: Option<Goodbye>,
    requests: mpsc::Receiver<Request>,
    stop: CancellationToken,
    tune_perception: watch::Sender<Option<pipeline::Tuning>>,
    tune_swarm: watch::Sender<Option<swarm::Tuning>>,
    tune_fleet: watch::Sender<Option<fleet::Tuning>>,
    tune_frames: watch::Sender<Option<FrameQuality>>,
    wanted_links: watch::Sender<Vec<BrokerLink>>,
    standing: watch::Sender<Standing>,
    store: Store,
}

/// What is left to do for a surface that did not live to say goodbye itself.
struct Goodbye {
    links: SharedLinks,
    will: Envelope,
}

impl Camera {
    /// Starts a camera on the present tokio runtime; its parts are registered with `parts` as
    /// `perception`, `surface`, `orders` and `fleet`, with the camera's id behind them. The capture restarts its source by
    /// itself, and ends the perception when it can't.
    ///
    /// `keep_sights` keeps the last frame for [`Camera::sight`].
    #[expect(clippy::too_many_lines, reason = "it puts the parts together, one after the other")]
    pub fn start(
        config: Config,
        clock: &Arc<dyn Clock>,
        parts: &mut Supervisor,
        keep_sights: bool,
    ) -> Result<Self, Error> {
        let id = config.camera.id;
        let stop = CancellationToken::new();
        let wall_clock = Arc::new(CorrectedClock::new(Arc::clone(clock)));
        let (clock_measured, server_unsynced) =
            right_time(&id, config.time_server, &wall_clock, parts, &stop);
        let clock: &Arc<dyn Clock> = &(Arc::clone(&wall_clock) as Arc<dyn Clock>);
        let now = clock.now();
        let store = Store::open(&config.state_dir, now)?;
        store.look_after(config.outbox.dir.clone());
        let ground = config.perception.ground.clone();
        let seen = swarm::Ground { calibrated: ground.is_calibrated(), footprint: ground.footprint() };
        let (track_ids, event_ids) = (store.track_ids(), store.event_ids());
        let crop = Arc::new(pipeline::Crop::new(config.perception.crop));
        let rules = rules(&config.perception);
        let pixels_max = config.perception.pixels_max();
        for note in &config.notes {
            tracing::warn!(camera = %id, "{note}");
        }
        let perception = Perception::new(config.perception, Box::new(track_ids), Box::new(event_ids))
            .map_err(|source| Error::Detector { camera: id.to_string(), source })?;
        let known = link::Known::default();
        // A disk that hangs must not hang the start.
        let keys = if store.busy_for().is_zero() {
            Keys::open(&config.state_dir, &id, config.signing, now)
        } else {
            Keys::unread(&config.state_dir, &id, config.signing)
        };
        for name in KEPT_FILES {
            if store.busy_for().is_zero()
                && let Ok(bytes) = std::fs::read(config.state_dir.join(name))
            {
                store.keep(name, &bytes);
            }
        }
        let (swarm, goodbye) = match config.swarm {
            Some(swarm) if !config.links.is_empty() => {
                let swarm = swarm::Options { rules, ..swarm };
                let engine = swarm_engine(swarm, &id, config.camera.site, seen, &store, &keys);
                let (mut swarm, goodbye) =
                    join_swarm(engine, &config.links, &config.outbox, &id, &known, clock)?;
                if store.busy_for().is_zero() {
                    swarm.cameras.read(&config.state_dir);
                }
                (Some(swarm), Some(goodbye))
            }
            _ => (None, None),
        };
        let (scenes_out, scenes) = watch::channel(None);
        let (transitions_out, transitions) = mpsc::channel(TRANSITIONS_MAX);
        let (resting_out, resting) = watch::channel(false);
        let (conditions_out, conditions) = watch::channel(Modes::default());
        let frames_leave = config.control.as_ref().is_some_and(|control| control.data.frames);
        let (sights_out, sights) = (keep_sights || frames_leave).then(|| watch::channel(None)).unzip();
        let seed = now.epoch_ms ^ u64::from(std::process::id());
        let mut source = config.capture;
        source.kind.limit_pixels(pixels_max.filter(|_| sights.is_none()));
        let capture = Arc::new(capture::spawn(source, id.clone(), Arc::clone(clock), seed)?);
        let counters = Arc::new(pipeline::Counters::default());
        let outputs = pipeline::Outputs {
            scenes: scenes_out,
            transitions: transitions_out,
            sights: sights_out,
            resting: resting_out,
            conditions: conditions_out,
            crop: Arc::clone(&crop),
            counters: Arc::clone(&counters),
        };
        let (tune_perception, perception_tunings) = watch::channel(None);
        let (tune_swarm, swarm_tunings) = watch::channel(None);
        let wanted_links = watch::Sender::new(config.links);
        let standing = watch::Sender::new(Standing::default());
        let thread = pipeline::spawn(Arc::clone(&capture), &id, perception, perception_tunings, outputs)?;
        parts.watch_thread(format!("perception {id}"), thread);
        let board = Board::new(
            id.clone(),
            Arc::clone(&capture),
            Arc::clone(&counters),
            conditions.clone(),
            standing.subscribe(),
        );
        let (requests_out, requests) = mpsc::channel(REQUESTS_MAX);
        let ordering = ordering(&wanted_links.borrow());
        let collecting = collecting(&wanted_links.borrow());
        let (tune_fleet, fleet_tunings) = watch::channel(None);
        let (tune_frames, frame_tunings) = watch::channel(None);
        if config.fleet.is_some() && collecting.is_none() {
            tracing::warn!(camera = %id, "[fleet] is on, and no [[broker_link]] carries fleet_detections: nobody is served");
        }
        let (mut fleet_transitions, mut desk) = (None, None);
        if let (Some(options), Some(link)) = (config.fleet, collecting) {
            let setup = FleetSetup {
                camera: id.clone(),
                options,
                boot_ms: store.boot_ms(),
                link,
                known: known.clone(),
                wanted_links: wanted_links.subscribe(),
                outbox: config.outbox.clone(),
                tunings: fleet_tunings,
                board: board.clone(),
                state_dir: config.state_dir.clone(),
                store: store.clone(),
                clock: Arc::clone(clock),
                stop: stop.clone(),
            };
            let (task, ends) = FleetTask::start(setup)?;
            parts.spawn(format!("fleet {id}"), task.run());
            (fleet_transitions, desk) = (Some(ends.transitions), Some(ends.desk));
        }
        if let (Some(options), Some(link)) = (config.control, ordering) {
            let orders = Orders::start(Setup {
                camera: id.clone(),
                options,
                link,
                known: known.clone(),
                wanted_links: wanted_links.subscribe(),
                router: swarm.as_ref().map(|swarm| swarm.links.router.clone()),
                scenes: scenes.clone(),
                resting,
                capture: Arc::clone(&capture),
                board: board.clone(),
                counters,
                crop,
                requests: requests_out,
                sights: sights.clone(),
                ground: ground.clone(),
                frame_tunings,
                fleet: desk,
                state_dir: config.state_dir,
                store: store.clone(),
                clock: Arc::clone(clock),
                stop: stop.clone(),
            })?;
            parts.spawn(format!("orders {id}"), orders.run());
        }
        let task = Surface {
            camera: id.clone(),
            swarm,
            scenes,
            transitions,
            board: board.clone(),
            conditions,
            store: store.clone(),
            clock: Arc::clone(clock),
            wall_clock,
            fleet: fleet_transitions,
            stop: stop.clone(),
            tunings: swarm_tunings,
            wanted_links: wanted_links.subscribe(),
            newest_event: 0,
            keys,
            clock_measured,
            server_unsynced,
            pins_changed: false,
            calibrated: ground.is_calibrated(),
            was_degraded: false,
        };
        parts.spawn(format!("surface {id}"), task.run());
        Ok(Self {
            id,
            capture,
            board,
            sights,
            ground,
            goodbye,
            requests,
            stop,
            tune_perception,
            tune_swarm,
            tune_fleet,
            tune_frames,
            wanted_links,
            standing,
            store,
        })
    }

    /// Which camera it is.
    pub fn id(&self) -> &CameraId {
        &self.id
    }

    /// Returns it as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.board.snapshot()
    }

    /// The parts that hang: those that stand still, and those that wait for a disk or a source for too long.
    pub fn still(&self, progress: &mut Progress, now: Instant) -> Vec<&'static str> {
        let state = self.board.snapshot();
        let Snapshot { swarm, fleet, .. } = &state;
        let mut turns = vec![("perception", state.perception.turns), ("surface", swarm.turns)];
        // Each rises several times a second, so the slowest of them does.
        turns.extend(swarm.links.iter().map(|(_, link)| link.turns).min().map(|turns| ("link", turns)));
        turns.extend(fleet.as_ref().map(|fleet| ("fleet", fleet.turns)));
        let mut still = progress.still(&turns, now);
        let outboxes = swarm.outbox.iter().chain(fleet.iter().map(|fleet| &fleet.outbox));
        let stored = outboxes.map(|outbox| outbox.busy_for).fold(self.store.busy_for(), Duration::max);
        let waits = [("capture", self.capture.busy_for()), ("store", stored)];
        still.extend(waits.iter().filter(|(_, wait)| *wait > STILL_MAX).map(|(part, _)| *part));
        still
    }

    /// The map between its frames and the ground.
    pub fn ground(&self) -> &GroundPlane {
        &self.ground
    }

    /// Every frame with what was seen in it, the newest wins; none when they are not kept.
    pub fn sights(&self) -> Option<watch::Receiver<Option<Sight>>> {
        self.sights.clone()
    }

    /// The last frame, if they are kept and there was one.
    pub fn sight(&self) -> Option<Sight> {
        self.sights.as_ref().and_then(|sights| sights.borrow().clone())
    }

    /// What is asked of whoever runs the process, by command. Waits for ever when nobody can ask.
    pub async fn request(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    /// Closes the links of a camera whose surface is gone without having done so: the broker publishes
    /// nothing by itself when a client leaves in order, so the will is sent as the goodbye.
    pub async fn say_goodbye_if_owed(&mut self) {
        let Some(Goodbye { links, will }) = self.goodbye.take() else { return };
        if let Some(open) = take(&links) {
            open.close(Some(will), GOODBYE_WITHIN).await;
        }
    }

    /// Goes by what of this configuration can be changed while running: tracker, behaviour, prediction,
    /// zones, what the swarm publishes and keeps. From the next frame on.
    pub fn tune(&self, config: &Config) {
        self.tune_perception.send_replace(Some(config.perception.tuning()));
        let rules = rules(&config.perception);
        self.tune_swarm
            .send_replace(config.swarm.as_ref().map(|swarm| swarm::Tuning { rules, ..swarm.tuning() }));
        self.tune_fleet.send_replace(config.fleet.as_ref().map(|fleet| fleet.tuning));
        self.tune_frames.send_replace(config.control.as_ref().map(|control| control.data.frame_quality));
    }

    /// Goes by the links of this configuration: those that are other than before are connected anew. One whose
    /// broker is to be found goes where it was found.
    pub fn relink(&self, config: &Config) {
        let found = self.standing.borrow().broker.as_ref().map(|broker| broker.address);
        let mut wanted = config.links.clone();
        if let Some(address) = found {
            for link in wanted.iter_mut().filter(|link| link.options.host.is_empty()) {
                link.options.host = address.ip().to_string();
                link.options.port = address.port();
            }
        }
        self.wanted_links.send_if_modified(|links| {
            let changed = *links != wanted;
            *links = wanted;
            changed
        });
    }

    /// The name of the link whose broker is to be found, and is not found yet.
    pub(super) fn sought_link(&self) -> Option<String> {
        let links = self.wanted_links.borrow();
        links.iter().find(|link| link.options.host.is_empty()).map(|link| link.options.name.clone())
    }

    /// Where it is said what was found.
    pub(super) fn standing_sender(&self) -> watch::Sender<Standing> {
        self.standing.clone()
    }

    /// Its state board.
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// When it started, milliseconds since the epoch; always rising on one camera.
    pub(super) fn boot_ms(&self) -> u64 {
        self.store.boot_ms()
    }

    /// Where its state is kept.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether a configuration had to be taken back because its links did not come up, and nobody has sent
    /// another one since.
    pub fn set_rolled_back(&self, rolled_back: bool) {
        self.board.write(|parts| parts.rolled_back = rolled_back);
    }

    /// Begins the stop: no more frames; the surface says goodbye when the last one is through. The
    /// supervisor sees the parts end.
    pub fn stop(&self) {
        self.capture.stop();
        self.stop.cancel();
    }
}

/// What a camera can judge of the events of others: the rules that raise its own.
fn rules(perception: &pipeline::Options) -> swarm::consensus::Rules {
    let forbidden = perception.zones.iter().filter(|zone| zone.kind == ZoneKind::Forbidden);
    swarm::consensus::Rules {
        forbidden: forbidden.map(|zone| zone.border_m.clone()).collect(),
        collision_m: perception.prediction.collision_m,
        loitering_s: perception.behavior.loitering_s,
        loitering_mps: perception.behavior.loitering_speed_mps,
    }
}

fn swarm_engine(
    options: swarm::Options,
    id: &CameraId,
    site: Option<String>,
    ground: swarm::Ground,
    store: &Store,
    keys: &Keys,
) -> swarm::Engine {
    let identity = swarm::Identity {
        camera: id.clone(),
        boot_ms: store.boot_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site,
        ground,
    };
    let mut engine = swarm::Engine::new(options, identity);
    engine.remember(keys.signer.clone(), keys.known());
    engine
}

/// Corrects the camera's clock by a time server, if there is one; what that measures.
fn right_time(
    id: &CameraId,
    server: Option<TimeServer>,
    clock: &Arc<CorrectedClock>,
    parts: &mut Supervisor,
    stop: &CancellationToken,
) -> (watch::Receiver<Option<swarm::ClockMeasured>>, Arc<AtomicBool>) {
    let (measured_out, measured) = watch::channel(None);
    let unsynced = Arc::new(AtomicBool::new(false));
    if let Some(server) = server {
        let (clock, unsynced) = (Arc::clone(clock), Arc::clone(&unsynced));
        let task = time_sync::run(id.clone(), server, clock, measured_out, unsynced, stop.clone());
        parts.spawn(format!("time {id}"), task);
    }
    (measured, unsynced)
}

fn join_swarm(
    engine: swarm::Engine,
    links: &[BrokerLink],
    outbox: &OutboxOptions,
    id: &CameraId,
    known: &link::Known,
    clock: &Arc<dyn Clock>,
) -> Result<(Swarm, Goodbye), Error> {
    let will = engine.will(clock.now())?;
    let links = Links::start(links, outbox, id, &engine, &will, known, clock)?;
    let own = OwnPresence::new(will.topic.clone(), engine.boot_ms());
    let cameras = KnownCameras::new(id.clone(), &will.topic);
    let goodbye = Goodbye { links: Arc::clone(&links.open), will };
    Ok((Swarm { engine, links, own, cameras }, goodbye))
}
