//! Several simulated cameras over one plaza, and a broker for them, in one process.
//!
//! Every camera is a whole instance of the daemon, started from a configuration file of its own: its own threads,
//! state folder, connections, control plane and fleet contract. They know of each other by MQTT alone. The plaza is a
//! function of its seed and the time, so all see the same people without a message between them. Files and state
//! live in a temporary folder that goes with the demo.
//!
//! A camera that gets `stop` stays away and the others go on; one that gets `restart` starts again.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tempfile::TempDir;

use super::daemon::{self, StopSignals};
use super::reload::{Load, Reload, load_with_settings};
use super::{Camera, Error, Request};
use crate::base::Clock;
use crate::broker::{self, Broker};
use crate::capture::synthetic;
use crate::config;
use crate::link;
use crate::model::{Polygon, Zone, ZoneKind};
use crate::state::Snapshot;
use crate::supervisor::{End, Supervisor};

/// What is shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// Cameras around the plaza, at least one.
    pub cameras: u32,
    /// The broker's port on loopback; 0 takes a free one.
    pub port: u16,
    /// Another seed is another crowd.
    pub seed: u64,
    /// Keep the last frames, for a picture.
    pub keep_sights: bool,
}

/// A running demo.
pub struct Demo {
    cameras: Vec<Camera>,
    /// What belongs to each of the cameras.
    crews: Vec<Crew>,
    keep_sights: bool,
    clock: Arc<dyn Clock>,
    broker: Option<Broker>,
    address: SocketAddr,
    signals: StopSignals,
    started: Instant,
    /// Messages sent and received at the last line, and when that was.
    last: (u64, Instant),
    zones: Vec<Zone>,
    _state: TempDir,
}

/// What one camera runs by.
struct Crew {
    reload: Reload,
    parts: Supervisor,
    is_stopped: bool,
}

/// Why [`Demo::wait`] came back.
#[derive(Debug)]
pub enum Wake {
    /// The time is over.
    Elapsed,
    /// Somebody asked us to stop.
    Signal,
    /// A part failed.
    Failed(Error),
}

/// What a running demo waits for; a camera by its index.
enum Happened {
    Wake(Wake),
    Request(Request, usize),
    Ended(String, End, usize),
}

impl Demo {
    /// Starts the broker and the cameras on the present tokio runtime.
    pub async fn start(options: &Options, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let signals = StopSignals::new()?;
        let state = TempDir::with_prefix("omnisight-demo-")?;
        let listen = SocketAddr::from(([127, 0, 0, 1], options.port));
        let defaults = broker::Options::default();
        // For the data, commands, the shared status and the fleet server.
        let max_clients = defaults.max_clients + 4 * options.cameras as usize;
        let broker =
            broker::start(broker::Options { listen, allow_anonymous: true, max_clients, ..defaults }).await?;
        let address = broker.local_addr();
        let (mut cameras, mut crews) = (Vec::new(), Vec::new());
        for index in 0..options.cameras {
            let simulated = synthetic::Options {
                seed: options.seed,
                cameras: options.cameras,
                index,
                ..synthetic::Options::default()
            };
            let name = format!("plaza-{}", index + 1);
            let file = write_config(&simulated, &name, address, state.path())?;
            let reload = reload_of(file)?;
            let mut parts = Supervisor::default();
            cameras.push(Camera::start(reload.config().clone(), clock, &mut parts, options.keep_sights)?);
            crews.push(Crew { reload, parts, is_stopped: false });
        }
        let now = Instant::now();
        Ok(Self {
            cameras,
            crews,
            keep_sights: options.keep_sights,
            clock: Arc::clone(clock),
            broker: Some(broker),
            address,
            signals,
            started: now,
            last: (0, now),
            zones: dock().into_iter().collect(),
            _state: state,
        })
    }

    /// Where the broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cameras.
    pub fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// The named places on the plaza.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Waits for the time to pass, a signal, or a failure, and executes the commands of the cameras meanwhile.
    pub async fn wait(&mut self, time: Duration) -> Wake {
        let end = tokio::time::sleep(time);
        tokio::pin!(end);
        loop {
            match self.next(&mut end).await {
                Happened::Wake(wake) => return wake,
                Happened::Ended(part, end, index) => return Wake::Failed(self.failure(part, end, index)),
                Happened::Request(request, index) => {
                    if let Err(error) = self.obey(request, index).await {
                        return Wake::Failed(error);
                    }
                    if self.crews.iter().all(|crew| crew.is_stopped) {
                        return Wake::Signal;
                    }
                }
            }
        }
    }

    async fn next(&mut self, end: impl Future<Output = ()>) -> Happened {
        let requests = self.cameras.iter_mut().map(|camera| Box::pin(camera.request()));
        let ends = self.crews.iter_mut().map(|crew| Box::pin(crew.parts.next_end()));
        tokio::select! {
            () = end => Happened::Wake(Wake::Elapsed),
            () = self.signals.next() => Happened::Wake(Wake::Signal),
            error = daemon::broker_failure(&mut self.broker) => Happened::Wake(Wake::Failed(error)),
            (request, index, _) = select_all(requests) => Happened::Request(request, index),
            ((part, end), index, _) = select_all(ends) => Happened::Ended(part, end, index),
        }
    }

    fn failure(&self, part: String, end: End, index: usize) -> Error {
        let judged =
            self.cameras.get(index).map_or(Ok(()), |camera| daemon::judge(part.clone(), end, camera));
        judged.err().unwrap_or(Error::Ended { part })
    }

    /// Executes a command for the camera of this index.
    async fn obey(&mut self, request: Request, index: usize) -> Result<(), Error> {
        let (Some(camera), Some(crew)) = (self.cameras.get_mut(index), self.crews.get_mut(index)) else {
            return Ok(());
        };
        match request {
            Request::Reload(job) => {
                job.finish(Some(crew.reload.reload_outcome(camera)));
                camera.relink(crew.reload.config());
            }
            Request::Set(settings, job) => job.finish(Some(crew.reload.set(settings, camera))),
            Request::Stop | Request::Restart => {
                let parts = std::mem::take(&mut crew.parts);
                daemon::stop(std::slice::from_mut(camera), vec![parts], None, None).await?;
                // The next start of the camera takes the folder.
                camera.store().close();
                crew.is_stopped = matches!(request, Request::Stop);
                if !crew.is_stopped {
                    let config = crew.reload.config().clone();
                    *camera = Camera::start(config, &self.clock, &mut crew.parts, self.keep_sights)?;
                }
            }
        }
        Ok(())
    }

    fn reports(&self) -> Vec<Snapshot> {
        self.cameras.iter().map(Camera::snapshot).collect()
    }

    /// How it goes: frames per second of each camera, tracks, peers, events, messages per second.
    pub fn line(&mut self) -> String {
        let reports = self.reports();
        let messages = sum(&reports, |r| link_counters(r).sent + link_counters(r).received);
        let now = Instant::now();
        let elapsed_s = now.duration_since(self.last.1).as_secs_f64();
        let rate = (messages - self.last.0) as f64 / elapsed_s.max(1e-3);
        self.last = (messages, now);
        format!(
            "{:>4.0} s  {} frames/s  tracks {}  peers {}  events {} predicted {} occurred  {rate:.0} messages/s",
            now.duration_since(self.started).as_secs_f64(),
            join(&reports, |r| format!("{:.1}", r.capture.rate_hz)),
            join(&reports, |r| r.swarm.tracks.to_string()),
            join(&reports, |r| r.swarm.peers.to_string()),
            sum(&reports, |r| r.swarm.predicted),
            sum(&reports, |r| r.swarm.occurred),
        )
    }

    /// Stops everything in order; what was done, one line a camera and one for all.
    pub async fn stop(mut self) -> (Vec<String>, Result<(), Error>) {
        let parts = self.crews.iter_mut().map(|crew| std::mem::take(&mut crew.parts)).collect();
        let stopped = daemon::stop(&mut self.cameras, parts, None, self.broker.take());
        let stopped = tokio::select! {
            stopped = stopped => stopped,
            () = self.signals.next() => Err(Error::Forced),
        };
        let reports = self.reports();
        let mut lines: Vec<String> = reports.iter().map(summary).collect();
        lines.push(format!(
            "all: {} frames, {} messages sent, {} received, {} events occurred in {:.1} s",
            sum(&reports, |r| r.perception.frames),
            sum(&reports, |r| link_counters(r).sent),
            sum(&reports, |r| link_counters(r).received),
            sum(&reports, |r| r.swarm.occurred),
            self.started.elapsed().as_secs_f64(),
        ));
        (lines, stopped)
    }
}

/// The place on the plaza where nobody may be.
fn dock() -> Option<Zone> {
    let border_m = Polygon::new(synthetic::DOCK_M.to_vec()).ok()?;
    Some(Zone {
        name: "dock".to_owned(),
        kind: ZoneKind::Forbidden,
        classes: Zone::CLASSES.to_vec(),
        dwell_s: None,
        border_m,
    })
}

/// Writes the configuration of a simulated camera into the folder; its path.
pub(super) fn write_config(
    simulated: &synthetic::Options,
    name: &str,
    broker: SocketAddr,
    folder: &Path,
) -> Result<PathBuf, Error> {
    let synthetic::Options { seed, cameras, index, size, fps, .. } = simulated;
    // The fleet server takes letters, digits and underscores.
    let fleet_name = name.replace('-', "_");
    let state = folder.join(name).display().to_string();
    let corners: Vec<[f64; 2]> = synthetic::DOCK_M.iter().map(|corner| [corner.x, corner.y]).collect();
    let mut text = format!("camera = {{ id = {name:?}, site = \"plaza\" }}\n");
    // Formatting into a text never fails.
    let _ = write!(
        text,
        "capture = {{ kind = \"synthetic\", seed = {seed}, cameras = {cameras}, view = {index}, \
         width = {}, height = {}, fps = {fps:?}, plates = true }}\n\
         state = {{ dir = {state:?} }}\n\
         discovery = {{ enabled = false }}\n\
         control = {{ frames = true }}\n\
         fleet = {{ enabled = true, camera_id = {fleet_name:?} }}\n\
         broker_link = [{{ url = \"mqtt://{broker}\" }}]\n\
         zone = [{{ name = \"dock\", kind = \"forbidden\", points_m = {corners:?} }}]\n",
        size.width, size.height,
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text)?;
    Ok(file)
}

/// The configuration of a file, the environment left out, and how to read it again.
pub(super) fn reload_of(file: PathBuf) -> Result<Reload, Error> {
    let load: Load = Box::new(move |settings| config::load_with(Some(&file), std::iter::empty(), settings));
    let (loaded, settings, _) = load_with_settings(&load)?;
    // The log is that of the whole demo.
    Ok(Reload::new(loaded, settings, load, Box::new(|_| {})))
}

fn link_counters(report: &Snapshot) -> link::Counters {
    report.swarm.links.first().map(|(_, link)| link.counters).unwrap_or_default()
}

fn sum(reports: &[Snapshot], of: impl Fn(&Snapshot) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

fn join(reports: &[Snapshot], of: impl Fn(&Snapshot) -> String) -> String {
    reports.iter().map(of).collect::<Vec<_>>().join("/")
}

fn summary(report: &Snapshot) -> String {
    let link = link_counters(report);
    let swarm = &report.swarm;
    format!(
        "{}: {} frames ({} dropped, {} refused), {:.2} ms a frame; {} messages sent ({} dropped), {} received \
         ({} dropped, {} refused); events {} predicted, {} occurred, {} retracted",
        report.camera,
        report.perception.frames,
        report.capture.dropped,
        report.perception.refused,
        report.perception.frame_ms().unwrap_or_default(),
        link.sent,
        link.dropped.total(),
        link.received,
        link.received_dropped,
        swarm.refused,
        swarm.predicted,
        swarm.occurred,
        swarm.retracted,
    )
}
