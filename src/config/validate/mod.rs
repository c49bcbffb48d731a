//! The rules that need more than one key, or more than a range, and the step from raw values to options.
//!
//! Each section is judged on its own as far as it can be, so that one look shows every fault: a section
//! with a fault in it is left out here, and so is every rule that would need it. Files named in
//! `password_file` are read; nothing else is touched.

mod broker;
mod ground;

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::document::Node;
use super::fault::{Faults, Problem};
use super::options::{Camera, Capture, Config, Detector, Prediction, Source};
use super::raw;
use super::schema::quoted;
use crate::model::{CameraId, Point, Polygon, Size};

/// Most points of one forecast.
const FORECAST_STEPS_MAX: f64 = 300.0;

/// There is a fault in it, and it has been noted.
pub(super) struct Faulty;

/// What a rule leaves: a checked value, or the fault that it noted.
type Checked<T> = Result<T, Faulty>;

/// Checks what the schema can't say.
pub(super) fn validate(root: &Node, json: &Json, faults: &mut Faults) -> Checked<Config> {
    let mut v = Validator { root, json, faults };
    // First every section, so that each fault is found; then the whole.
    let camera = v.section("camera").and_then(|c| v.camera(c));
    let capture = v.section("capture").and_then(|c| v.capture(c));
    let detector = v.section("detector").and_then(|d| v.detector(&d));
    let calibration = v.section("calibration").and_then(|c| v.calibration(&c));
    let zones = v.zones(calibration.as_ref().ok());
    let prediction = v.section("prediction").and_then(|p| v.prediction(&p));
    let swarm = v.section("swarm").and_then(|s| v.swarm(s));
    let broker_link = v.broker_link();
    let broker = v.section("broker").and_then(|b| v.broker(&b));
    let state_dir = v.section("state").and_then(|s| v.state_dir(s));
    Ok(Config {
        camera: camera?,
        capture: capture?,
        detector: detector?,
        tracker: v.section("tracker")?,
        calibration: calibration?,
        zones: zones?,
        behavior: v.section("behavior")?,
        prediction: prediction?,
        swarm: swarm?,
        broker_link: broker_link?,
        broker: broker?,
        state_dir: state_dir?,
        log: v.section("log")?,
    })
}

struct Validator<'a> {
    root: &'a Node,
    json: &'a Json,
    faults: &'a mut Faults,
}

impl Validator<'_> {
    /// The raw form of a section or of an array's element, when there is no fault in it.
    fn section<T: DeserializeOwned>(&mut self, path: &str) -> Checked<T> {
        if self.faults.touch(path) {
            return Err(Faulty);
        }
        let json = path.split('.').fold(self.json, |at, key| match key.parse::<usize>() {
            Ok(index) => &at[index],
            Err(_) => &at[key],
        });
        let json = if json.is_null() { Json::Object(serde_json::Map::new()) } else { json.clone() };
        serde_json::from_value(json).or_else(|_| {
            self.refuse(path, "a value", "it holds the schema, but can't be read (an error of ours)")
        })
    }

    fn elements<T: DeserializeOwned>(&mut self, name: &str) -> Vec<Checked<T>> {
        let n = self.json[name].as_array().map_or(0, Vec::len);
        (0..n).map(|i| self.section(&format!("{name}.{i}"))).collect()
    }

    fn fault<T>(&mut self, path: &str, problem: Problem) -> Checked<T> {
        self.faults.push(self.root.nearest(path).place.clone(), path, problem);
        Err(Faulty)
    }

    fn refuse<T>(&mut self, path: &str, found: impl Into<String>, reason: impl Into<String>) -> Checked<T> {
        self.fault(path, Problem::Refused { found: found.into(), reason: reason.into() })
    }

    fn not_allowed<T>(
        &mut self,
        path: &str,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Checked<T> {
        self.fault(path, Problem::NotAllowed { found: found.into(), allowed: allowed.into() })
    }

    fn missing<T>(&mut self, path: &str, allowed: &str) -> Checked<T> {
        self.fault(path, Problem::Missing { allowed: allowed.to_owned() })
    }

    fn camera(&mut self, raw: raw::Camera) -> Checked<Camera> {
        match CameraId::parse(&raw.id) {
            Ok(id) => Ok(Camera { id, name: raw.name.unwrap_or(raw.id), site: raw.site }),
            Err(e) => self.refuse("camera.id", quoted(&raw.id), format!("a camera id {e}")),
        }
    }

    fn capture(&mut self, raw: raw::Capture) -> Checked<Capture> {
        let source = match raw.source {
            raw::Source::Synthetic(s) => {
                if s.view >= s.cameras {
                    let allowed = format!("an integer below capture.cameras ({})", s.cameras);
                    return self.not_allowed("capture.view", s.view.to_string(), allowed);
                }
                let size = Size { width: s.width, height: s.height };
                Source::Synthetic { seed: s.seed, cameras: s.cameras, view: s.view, size, fps: s.fps }
            }
            raw::Source::Command(c) => {
                if c.command.first().is_none_or(|program| program.reveal().is_empty()) {
                    return self.not_allowed("capture.command.0", "\"\"", "the name of a program");
                }
                Source::Command { argv: c.command, live: c.live }
            }
            raw::Source::Video(video) => {
                let together = "an integer; width and height go together";
                let scale = match (video.width, video.height) {
                    (Some(width), Some(height)) => Some(Size { width, height }),
                    (None, None) => None,
                    (Some(_), None) => return self.missing("capture.height", together),
                    (None, Some(_)) => return self.missing("capture.width", together),
                };
                Source::Video { input: video.input, scale, pace: video.pace }
            }
            raw::Source::Replay(r) => {
                let size = Size { width: r.width, height: r.height };
                Source::Replay { file: r.file, size, fps: r.fps }
            }
        };
        Ok(Capture { stall_after: Duration::from_secs_f64(raw.stall_after_s), source })
    }

    fn detector(&mut self, raw: &raw::Detector) -> Checked<Detector> {
        let roi = self.masks("detector.roi", &raw.roi);
        let ignore = self.masks("detector.ignore", &raw.ignore);
        Ok(Detector { kind: raw.kind, roi: roi?, ignore: ignore? })
    }

    fn masks(&mut self, path: &str, masks: &[Vec<raw::Relative>]) -> Checked<Vec<Polygon>> {
        let point = |p: &raw::Relative| Point::new(p.0[0], p.0[1]);
        let polygon = |(i, m): (usize, &Vec<raw::Relative>)| {
            self.polygon(&format!("{path}.{i}"), m.iter().map(point).collect())
        };
        // First all of them, so that each fault is found.
        let polygons: Vec<_> = masks.iter().enumerate().map(polygon).collect();
        polygons.into_iter().collect()
    }

    fn polygon(&mut self, path: &str, corners: Vec<Point>) -> Checked<Polygon> {
        let found = format!("{} points", corners.len());
        Polygon::new(corners).or_else(|e| self.refuse(path, found, e.to_string()))
    }

    fn prediction(&mut self, raw: &raw::Prediction) -> Checked<Prediction> {
        let steps = raw.horizon_s / raw.step_s;
        if !(1.0..=FORECAST_STEPS_MAX).contains(&steps) {
            let horizon = raw.horizon_s;
            let allowed =
                format!("1 to {FORECAST_STEPS_MAX:.0} steps within prediction.horizon_s ({horizon:?})");
            return self.not_allowed("prediction.step_s", format!("{:?}", raw.step_s), allowed);
        }
        let (horizon, step) = (Duration::from_secs_f64(raw.horizon_s), Duration::from_secs_f64(raw.step_s));
        Ok(Prediction { horizon, step })
    }

    fn swarm(&mut self, raw: raw::Swarm) -> Checked<Option<raw::Swarm>> {
        let prefix = &raw.prefix;
        let bad =
            |level: &str| level.is_empty() || level.contains(['+', '#']) || level.contains(char::is_control);
        if prefix.starts_with('$') || prefix.split('/').any(bad) {
            let allowed = "topic levels joined by /, none empty, without + # and control characters, not starting with $";
            return self.not_allowed("swarm.prefix", quoted(prefix), allowed);
        }
        Ok(raw.enabled.then_some(raw))
    }

    fn state_dir(&mut self, raw: raw::State) -> Checked<PathBuf> {
        if raw.dir.as_os_str().is_empty() {
            return self.not_allowed("state.dir", "\"\"", "the path of a folder");
        }
        Ok(raw.dir)
    }
}
