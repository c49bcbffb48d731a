//! How the camera is: numbers that were measured, and what follows from them.
//!
//! A number that can't be had is left out. Limits are those of the server itself: more than [`BUSY_PERCENT`]
//! of anything is a warning, a disk beyond [`DISK_FULL_PERCENT`] an error.

use serde_json::{Map, Value, json};

use crate::base::rfc3339;
use crate::model::{MachineVitals, Mode, Modes};

/// More of processor, memory or disk deserves a warning.
pub const BUSY_PERCENT: f64 = 80.0;
/// More of the disk is an error.
pub const DISK_FULL_PERCENT: f64 = 90.0;
/// Hotter deserves a warning, degrees Celsius: most chips slow down at 85 to 95.
pub const HOT_C: f64 = 85.0;

/// What the source of frames does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CameraState {
    /// It gives frames.
    Active,
    /// It rests: it was told to, or has not begun.
    #[default]
    Inactive,
    /// It should give frames and does not.
    Failing,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vitals {
    /// Of the machine.
    pub machine: MachineVitals,
    /// The source of frames.
    pub camera: CameraState,
    /// The connection is too slow for what there is to say.
    pub slow_network: bool,
    /// The degraded modes in force.
    pub modes: Modes,
    /// Mean time spent on a frame, milliseconds.
    pub frame_ms: Option<f64>,
}

/// How bad it is; the words are those of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    #[default]
    Healthy,
    Warning,
    Error,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alert {
    /// The same as long as it is the same thing.
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) message: String,
}

impl Vitals {
    /// What is not as it should be.
    pub(super) fn alerts(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut add = |name, level, message| alerts.push(Alert { name, level, message });
        if self.camera == CameraState::Failing {
            add("camera", Level::Error, "the source gives no frames".to_owned());
        }
        for (name, value) in [
            ("cpu", self.machine.cpu_percent),
            ("memory", self.machine.memory_percent),
            ("disk", self.machine.disk_percent),
        ] {
            let Some(value) = value.filter(|value| *value > BUSY_PERCENT) else { continue };
            let full = name == "disk" && value > DISK_FULL_PERCENT;
            let level = if full { Level::Error } else { Level::Warning };
            add(name, level, format!("{name} usage {value:.1} %, limit {BUSY_PERCENT:.0} %"));
        }
        if let Some(hot) = self.machine.temperature_c.filter(|hot| *hot > HOT_C) {
            add("temperature", Level::Warning, format!("{hot:.1} degrees Celsius, limit {HOT_C:.0}"));
        }
        for mode in self.modes.iter().map(Mode::name) {
            add(mode, Level::Warning, format!("degraded: {mode}"));
        }
        alerts
    }

    /// The object `health_details`.
    pub(super) fn details(&self, last_detection_ms: Option<u64>) -> Value {
        let real =
            |value: Option<f64>| value.filter(|v| v.is_finite()).map(|v| json!((v * 10.0).round() / 10.0));
        let camera = match self.camera {
            CameraState::Active => "active",
            CameraState::Inactive => "inactive",
            CameraState::Failing => "error",
        };
        let pairs = [
            ("cpu_usage", real(self.machine.cpu_percent)),
            ("memory_usage", real(self.machine.memory_percent)),
            ("disk_usage", real(self.machine.disk_percent)),
            ("temperature", real(self.machine.temperature_c)),
            ("uptime_seconds", self.machine.uptime_s.map(|s| json!(s))),
            ("last_detection", last_detection_ms.map(|ms| json!(rfc3339(ms)))),
            ("camera_status", Some(json!(camera))),
            ("network_status", Some(json!(if self.slow_network { "poor" } else { "connected" }))),
        ];
        Value::Object(pairs.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect::<Map<_, _>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out_and_reals_stay_reals() {
        let machine = MachineVitals {
            cpu_percent: Some(45.0),
            disk_percent: Some(f64::NAN),
            ..MachineVitals::default()
        };
        let vitals = Vitals { machine, ..Vitals::default() };
        let text = vitals.details(None).to_string();
        assert_eq!(text, r#"{"camera_status":"inactive","cpu_usage":45.0,"network_status":"connected"}"#);
        assert!(vitals.alerts().is_empty());
    }

    #[test]
    fn each_thing_that_is_wrong_is_an_alert_and_the_worst_counts() {
        let vitals = Vitals {
            machine: MachineVitals {
                memory_percent: Some(81.0),
                disk_percent: Some(90.5),
                temperature_c: Some(90.0),
                ..MachineVitals::default()
            },
            camera: CameraState::Failing,
            modes: Mode::OutboxFull.into(),
            ..Vitals::default()
        };
        let names: Vec<_> = vitals.alerts().iter().map(|alert| (alert.name, alert.level)).collect();
        let (warning, error) = (Level::Warning, Level::Error);
        assert_eq!(
            names,
            [
                ("camera", error),
                ("memory", warning),
                ("disk", error),
                ("temperature", warning),
                ("outbox_full", warning)
            ]
        );
        assert_eq!(vitals.alerts()[4].message, "degraded: outbox_full");
    }
}
