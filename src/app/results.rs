//! What commands and the fleet server are answered about the camera's state: typed functions of a [`Snapshot`].
//!
//! Field names are those of the wire. The caller turns a result into JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::rfc3339;
use crate::capture;
use crate::control::{Activity, Status};
use crate::fleet::{CameraState, Vitals};
use crate::model::{CameraId, MachineVitals, Mode, Modes, SceneTrack};
use crate::state::{Fleet, Perception, Snapshot};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The result of `status`.
#[derive(Serialize)]
pub(super) struct StatusResult {
    status: Status,
    version: &'static str,
    uptime_s: u64,
    modes: Modes,
    frames: u64,
    fps: f64,
    tracks: usize,
    peers: usize,
    shared_status_foreign: u64,
    commands: Commands,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<Fleet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<SiteBroker>,
}

/// The commands so far.
#[derive(Serialize)]
pub(super) struct Commands {
    pub(super) executed: u64,
    pub(super) rejected: u64,
    pub(super) repeated: u64,
    pub(super) rate_limited: u64,
    pub(super) too_large: u64,
    pub(super) for_another: u64,
    pub(super) responses_refused: u64,
}

/// The site's broker, where it was searched for.
#[derive(Serialize)]
struct SiteBroker {
    camera: CameraId,
    address: String,
    kind: &'static str,
    since: String,
}

impl StatusResult {
    pub(super) fn new(state: Snapshot, uptime_s: u64, foreign: u64, commands: Commands) -> Self {
        Self {
            status: state.control.activity.status(),
            version: VERSION,
            uptime_s,
            modes: state.control_modes(),
            frames: state.perception.frames,
            fps: rounded(state.capture.rate_hz),
            tracks: state.swarm.tracks,
            peers: state.swarm.peers,
            shared_status_foreign: foreign,
            commands,
            fleet: state.fleet,
            broker: state.broker.broker.map(|broker| SiteBroker {
                camera: broker.name.clone(),
                address: broker.address.to_string(),
                kind: broker.kind.as_str(),
                since: rfc3339(broker.since.epoch_ms),
            }),
        }
    }
}

/// The result of `health`.
#[derive(Serialize)]
pub(super) struct HealthResult {
    status: &'static str,
    timestamp: String,
    version: &'static str,
    uptime_s: u64,
    modes: Modes,
    checks: Checks,
}

/// What works.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the checks of the wire")]
struct Checks {
    pipeline_running: bool,
    control_plane_connected: bool,
    data_plane_connected: bool,
    recent_frames: bool,
    avg_fps: f64,
}

impl HealthResult {
    /// `control` and `data`: their connections are up; `recent`: a frame came of late.
    pub(super) fn new(
        state: &Snapshot,
        epoch_ms: u64,
        uptime_s: u64,
        control: bool,
        data: bool,
        recent: bool,
    ) -> Self {
        let (activity, modes) = (state.control.activity, state.control_modes());
        let status = match (recent || activity == Activity::Paused, modes.faults().is_empty() && data) {
            (true, true) => "healthy",
            (true, false) => "degraded",
            (false, _) => "unhealthy",
        };
        Self {
            status,
            timestamp: rfc3339(epoch_ms),
            version: VERSION,
            uptime_s,
            modes,
            checks: Checks {
                pipeline_running: activity == Activity::Running,
                control_plane_connected: control,
                data_plane_connected: data,
                recent_frames: recent,
                avg_fps: rounded(state.capture.rate_hz),
            },
        }
    }
}

/// The health for the fleet server.
pub(super) fn vitals(state: &Snapshot, machine: MachineVitals) -> Vitals {
    let camera = match state.capture.state {
        capture::State::Running => CameraState::Active,
        capture::State::Starting | capture::State::Paused | capture::State::Ended => CameraState::Inactive,
        capture::State::Restarting { .. } | capture::State::Stalled { .. } | capture::State::Panicked => {
            CameraState::Failing
        }
    };
    let modes = state.modes();
    // `camera` and the arrival of the message state these.
    let stated = Modes::of(&[Mode::BrokerDown, Mode::CaptureDown, Mode::CaptureStalled]);
    Vitals {
        machine,
        camera,
        slow_network: modes.contains(Mode::LinkSlow),
        modes: modes.faults().without(stated),
        frame_ms: state.perception.frame_ms(),
    }
}

/// The result of `stabilization_stats`.
#[derive(Serialize)]
pub(super) struct StabilizationResult {
    total_detected: u64,
    total_confirmed: u64,
    total_ignored: u64,
    total_removed: u64,
    active_tracks: usize,
    tracks_by_class: BTreeMap<&'static str, u32>,
    confirm_ratio: f64,
}

impl StabilizationResult {
    pub(super) fn new(state: &Snapshot, tracks: &[SceneTrack]) -> Self {
        let Perception { detections, detections_tracked, tracks_ended, .. } = state.perception;
        let mut tracks_by_class = BTreeMap::new();
        for seen in tracks {
            *tracks_by_class.entry(seen.track.class.as_str()).or_default() += 1;
        }
        Self {
            total_detected: detections,
            total_confirmed: detections_tracked,
            total_ignored: detections.saturating_sub(detections_tracked),
            total_removed: tracks_ended,
            active_tracks: tracks.len(),
            tracks_by_class,
            confirm_ratio: rounded(detections_tracked as f64 / detections.max(1) as f64),
        }
    }
}

/// Three decimals; 0 of what is no number.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1000.0).round() / 1000.0 } else { 0.0 }
}
