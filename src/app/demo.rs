//! Several simulated cameras over one plaza, and a broker for them, in one process.
//!
//! Every camera is a whole instance of the daemon: its own threads, state folder and connection. They
//! know of each other by MQTT alone. The plaza is a function of its seed and the time, so all see the
//! same people without a word between them. State lives in a temporary folder that goes with the demo.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::daemon::{self, StopSignals};
use super::{Camera, Error, Report};
use crate::base::Clock;
use crate::broker::{self, Broker};
use crate::capture::{self, synthetic};
use crate::config::{self, Config};
use crate::model::{CameraId, Polygon, Zone, ZoneKind};
use crate::supervisor::Supervisor;
use crate::{link, pipeline, swarm};

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
    broker: Option<Broker>,
    address: SocketAddr,
    parts: Supervisor,
    signals: StopSignals,
    started: Instant,
    /// Messages sent and received at the last line, and when that was.
    last: (u64, Instant),
    zones: Vec<Zone>,
    _state: TempDir,
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

impl Demo {
    /// Starts the broker and the cameras on the present tokio runtime.
    pub async fn start(options: &Options, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let signals = StopSignals::new()?;
        let state = TempDir::with_prefix("omnisight-demo-")?;
        let listen = SocketAddr::from(([127, 0, 0, 1], options.port));
        let broker =
            broker::start(broker::Options { listen, allow_anonymous: true, ..Default::default() }).await?;
        let address = broker.local_addr();
        let zones: Vec<Zone> = dock().into_iter().collect();
        let mut parts = Supervisor::default();
        let mut cameras = Vec::new();
        for index in 0..options.cameras {
            let Ok(id) = CameraId::parse(&format!("plaza-{}", index + 1)) else { continue };
            let simulated = synthetic::Options {
                seed: options.seed,
                cameras: options.cameras,
                index,
                ..synthetic::Options::default()
            };
            let config = camera_config(simulated, id, address, zones.clone(), &state)?;
            cameras.push(Camera::start(config, clock, &mut parts, options.keep_sights)?);
        }
        let now = Instant::now();
        Ok(Self {
            cameras,
            broker: Some(broker),
            address,
            parts,
            signals,
            started: now,
            last: (0, now),
            zones,
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

    /// Waits for the time to pass, a signal, or a failure.
    pub async fn wait(&mut self, time: Duration) -> Wake {
        tokio::select! {
            () = tokio::time::sleep(time) => Wake::Elapsed,
            () = self.signals.next() => Wake::Signal,
            error = daemon::broker_failure(&mut self.broker) => Wake::Failed(error),
            (part, end) = self.parts.next_end() => {
                let camera = self.cameras.iter().find(|c| part.ends_with(c.id().as_str()));
                let judged = camera.map_or(Ok(()), |c| daemon::judge(part.clone(), end, c));
                Wake::Failed(judged.err().unwrap_or(Error::Ended { part }))
            }
        }
    }

    fn reports(&self) -> Vec<Report> {
        self.cameras.iter().map(Camera::report).collect()
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
            join(&reports, |r| r.surface.tracks.to_string()),
            join(&reports, |r| r.surface.peers.to_string()),
            sum(&reports, |r| r.surface.predicted),
            sum(&reports, |r| r.surface.occurred),
        )
    }

    /// Stops everything in order; what was done, one line a camera and one for all.
    pub async fn stop(mut self) -> (Vec<String>, Result<(), Error>) {
        let parts = std::mem::take(&mut self.parts);
        let stopped = daemon::stop(&mut self.cameras, parts, None, self.broker.take());
        let stopped = tokio::select! {
            stopped = stopped => stopped,
            () = self.signals.next() => Err(Error::Forced),
        };
        let reports = self.reports();
        let mut lines: Vec<String> = reports.iter().map(summary).collect();
        lines.push(format!(
            "all: {} frames, {} messages sent, {} received, {} events occurred in {:.1} s",
            sum(&reports, |r| r.frames),
            sum(&reports, |r| link_counters(r).sent),
            sum(&reports, |r| link_counters(r).received),
            sum(&reports, |r| r.surface.occurred),
            self.started.elapsed().as_secs_f64(),
        ));
        (lines, stopped)
    }
}

/// The place on the plaza where nobody may be.
fn dock() -> Option<Zone> {
    let border_m = Polygon::new(synthetic::DOCK_M.to_vec()).ok()?;
    Some(Zone { name: "dock".to_owned(), kind: ZoneKind::Forbidden, border_m })
}

pub(super) fn camera_config(
    simulated: synthetic::Options,
    id: CameraId,
    broker: SocketAddr,
    zones: Vec<Zone>,
    state: &TempDir,
) -> Result<Config, Error> {
    let ground = synthetic::ground_plane(simulated.cameras, simulated.index, simulated.size)?;
    let state_dir = state.path().join(id.as_str());
    Ok(Config {
        state_dir: state_dir.clone(),
        camera: config::Camera { name: id.to_string(), id, site: Some("plaza".to_owned()) },
        capture: capture::Options::new(capture::Kind::Synthetic(simulated)),
        perception: pipeline::Options { zones, ..pipeline::Options::new(ground) },
        swarm: Some(swarm::Options::default()),
        signing: config::Signing::default(),
        time_server: None,
        // One broker, many cameras: nobody to give orders to.
        control: None,
        fleet: None,
        links: vec![config::BrokerLink {
            options: link::Options {
                host: broker.ip().to_string(),
                port: broker.port(),
                ..Default::default()
            },
            carries: link::Carries::default(),
        }],
        discovery: None,
        outbox: link::OutboxOptions::new(state_dir.join("outbox")),
        broker: None,
        log: config::raw::Log::default(),
    })
}

fn link_counters(report: &Report) -> link::Counters {
    report.surface.links.first().map(|(_, link)| link.counters).unwrap_or_default()
}

fn sum(reports: &[Report], of: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

fn join(reports: &[Report], of: impl Fn(&Report) -> String) -> String {
    reports.iter().map(of).collect::<Vec<_>>().join("/")
}

fn summary(report: &Report) -> String {
    let link = link_counters(report);
    let surface = &report.surface;
    format!(
        "{}: {} frames ({} dropped, {} refused), {:.2} ms a frame; {} messages sent ({} dropped), {} received \
         ({} dropped, {} refused); events {} predicted, {} occurred, {} retracted",
        report.camera,
        report.frames,
        report.capture.dropped,
        report.frames_refused,
        report.frame_ms,
        link.sent,
        link.dropped.total(),
        link.received,
        link.received_dropped,
        surface.refused,
        surface.predicted,
        surface.occurred,
        surface.retracted,
    )
}
