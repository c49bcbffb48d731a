//! The rules that need more than one key, or more than a range, and the step from raw values to options.
//!
//! Each section is judged on its own as far as it can be, so that one look shows every fault: a section
//! with a fault in it is left out here, and so is every rule that would need it, but its texts with a
//! form of their own (ids, addresses) are judged all the same. Files with passwords, named secrets and the
//! broker's certificates are read; nothing else is touched.

mod broker;
mod discovery;
mod embedded;
mod fleet;
mod ground;
mod link_tls;
mod notes;
mod password;
mod url;

pub(super) use broker::link_to;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::document::Node;
use super::fault::{Faults, Problem};
#[cfg(feature = "broker")]
use super::options::BrokerAlone;
use super::options::{Camera, Config, Signing, TimeServer};
use super::raw;
use super::schema::quoted;
use crate::base::StreamUrl;
use crate::capture::{self, Kind, command, replay, synthetic, video};
use crate::inference::network;
use crate::model::{Behaviors, CameraId, Point, Polygon, Size};
use crate::swarm::trust::signature::PublicKey;
use crate::{behavior, control, inference, link, pipeline, predict, swarm, track};

/// There is a fault in it, and it has been noted.
pub(super) struct Faulty;

/// What a rule leaves: a checked value, or the fault that it noted.
type Checked<T> = Result<T, Faulty>;

/// Checks what the schema can't say.
pub(super) fn validate(
    root: &Node,
    json: &Json,
    credentials: Option<&Path>,
    faults: &mut Faults,
) -> Checked<Config> {
    let mut v =
        Validator { root, json, credentials: credentials.map(Path::to_owned), faults, notes: Vec::new() };
    // First every section, so that each fault is found; then the whole.
    let camera = v.section("camera").and_then(|c| v.camera(c));
    let capture = v.section("capture").and_then(|c| v.capture(c));
    let detector = v.section::<raw::Detector>("detector").and_then(|d| Ok((v.detector(&d)?, d)));
    let tracker = v.section::<raw::Tracker>("tracker");
    let calibration = v.section("calibration").and_then(|c| v.calibration(&c));
    let ground = match (&capture, calibration) {
        (Ok(capture), Ok(calibration)) => v.ground(&capture.kind, calibration),
        _ => Err(Faulty),
    };
    let zones = v.zones(ground.as_ref().ok());
    let behavior = v.section("behavior").map(|b| behavior_options(&b));
    let loitering_s = behavior.as_ref().map_or(0.0, |b: &behavior::Options| b.loitering_s);
    let prediction = v.section("prediction").and_then(|p| v.prediction(&p, loitering_s));
    let tracks_max = tracker.as_ref().map_or(0, |t| t.tracks_max as usize);
    let consensus = v.section("consensus").map(|c| consensus_options(&c));
    let swarm = v.section("swarm").and_then(|s| v.swarm(&s, tracks_max));
    let trust = v.section("trust").and_then(|t| v.trust(&t));
    let swarm = match (swarm, consensus, &trust) {
        (Ok(swarm), Ok(consensus), Ok((trust, _))) => Ok(swarm.map(|swarm| {
            // Nobody can sign for another.
            let counted = !trust.require;
            let consensus =
                swarm::consensus::Options { count_told: counted, count_strangers: counted, ..consensus };
            swarm::Options { consensus, trust: trust.clone(), ..swarm }
        })),
        _ => Err(Faulty),
    };
    let control = v.section("control").and_then(|c| v.control(c));
    let fleet = v.section("fleet").and_then(|f| v.fleet(&f));
    let clock = v.section::<raw::Clock>("clock");
    let links = v.links();
    let wants_broker =
        swarm.as_ref().is_ok_and(Option::is_some) || control.as_ref().is_ok_and(Option::is_some);
    let state = v.section::<raw::State>("state");
    let outbox = state.as_ref().ok().map(outbox_options);
    let state_dir = state.and_then(|s| v.state_dir(s));
    let broker = v.section("broker").and_then(|b| v.broker_in_camera(&b, state_dir.as_deref().ok()));
    let found = v.discovery(camera.as_ref().ok(), links, wants_broker);
    v.texts_of_faulty_sections();
    let (links, discovery) = found?;
    #[cfg(feature = "broker")]
    let has_broker = broker.as_ref().is_ok_and(Option::is_some);
    #[cfg(not(feature = "broker"))]
    let has_broker = false;
    #[cfg(not(feature = "broker"))]
    broker?;
    let (detector, raw_detector) = detector?;
    let verify = Validator::verify(&raw_detector);
    let perception = pipeline::Options {
        detector,
        crop: raw_detector.crop,
        verify,
        tracker: tracker.map(|t| tracker_options(&t))?,
        behavior: behavior?,
        prediction: prediction?,
        zones: zones?,
        ground: ground?,
    };
    let camera = camera?;
    let mut notes = std::mem::take(&mut v.notes);
    notes.extend(notes::without_metres(&perception));
    // In the camera's own broker a dot is a character like any other.
    if !links.is_empty() && !has_broker {
        notes.extend(v.dotted(&camera.id));
    }
    Ok(Config {
        camera,
        capture: capture?,
        notes,
        perception,
        swarm: swarm?,
        signing: trust?.1,
        time_server: clock.map(|clock| {
            let every = Duration::from_secs_f64(clock.sntp_every_s);
            clock.sntp_server.map(|address| TimeServer { address, every })
        })?,
        control: control?,
        fleet: fleet?,
        links,
        discovery,
        outbox: outbox.ok_or(Faulty)?,
        #[cfg(feature = "broker")]
        broker: broker?,
        state_dir: state_dir?,
        log: v.section("log")?,
    })
}

/// The same of a broker that runs alone: `[broker]`, `[state]` and `[log]`.
#[cfg(feature = "broker")]
pub(super) fn validate_broker(
    root: &Node,
    json: &Json,
    credentials: Option<&Path>,
    faults: &mut Faults,
) -> Checked<BrokerAlone> {
    let mut v =
        Validator { root, json, credentials: credentials.map(Path::to_owned), faults, notes: Vec::new() };
    let state_dir = v.section("state").and_then(|s| v.state_dir(s));
    let broker = v.section("broker").and_then(|b: raw::Broker| {
        let asked_for = raw::Broker { enabled: true, ..b };
        v.broker(&asked_for, state_dir.as_deref().ok())
    });
    let log = v.section("log");
    Ok(BrokerAlone { options: broker?.ok_or(Faulty)?, log: log? })
}

fn tracker_options(raw: &raw::Tracker) -> track::Options {
    track::Options {
        iou_min: raw.iou_min,
        max_age_frames: raw.max_age_frames,
        lost_s: raw.lost_s,
        min_hits: raw.min_hits,
        evidence_min: raw.evidence_min,
        ..track::Options::default()
    }
}

fn consensus_options(raw: &raw::Consensus) -> swarm::consensus::Options {
    swarm::consensus::Options {
        quorum: raw.quorum,
        alert_above: raw.alert_above,
        timeout: Duration::from_secs_f64(raw.timeout_s),
        ..swarm::consensus::Options::default()
    }
}

fn outbox_options(raw: &raw::State) -> link::OutboxOptions {
    let stored = link::QueueLimits {
        messages: raw.outbox_messages as usize,
        bytes: (raw.outbox_mb as usize).saturating_mul(1 << 20),
    };
    link::OutboxOptions {
        commit_delay: Duration::from_millis(u64::from(raw.commit_delay_ms)),
        limits: link::OutboxLimits { stored, ..link::OutboxLimits::default() },
        ..link::OutboxOptions::new(raw.dir.join("outbox"))
    }
}

fn behavior_options(raw: &raw::Behavior) -> behavior::Options {
    let mut watched = Behaviors::empty();
    watched.set(Behaviors::LOITERING, raw.loitering);
    watched.set(Behaviors::RUNNING, raw.running);
    watched.set(Behaviors::SUSPICIOUS_MOVEMENT, raw.zigzag);
    watched.set(Behaviors::REPEATED_PASSES, raw.repeated_passes);
    behavior::Options {
        watched,
        loitering_s: raw.loitering_s,
        loitering_radius_m: raw.loitering_radius_m,
        loitering_speed_mps: raw.loitering_speed_mps,
        running_mps: raw.running_mps,
        running_s: raw.running_s,
        zigzag_turns: raw.zigzag_turns as usize,
        zigzag_turn_deg: raw.zigzag_angle_deg,
        zigzag_window_s: raw.zigzag_window_s,
        passes: raw.passes as usize,
        passes_window_s: raw.passes_window_s,
        ..behavior::Options::default()
    }
}

struct Validator<'a> {
    root: &'a Node,
    json: &'a Json,
    /// systemd's folder of credentials, if there is one.
    credentials: Option<PathBuf>,
    faults: &'a mut Faults,
    /// What is not wrong, but worth a look.
    notes: Vec<String>,
}

impl Validator<'_> {
    /// The raw form of a section or of an array's element, when there is no fault in it.
    fn section<T: DeserializeOwned>(&mut self, path: &str) -> Checked<T> {
        if self.faults.touch(path) {
            return Err(Faulty);
        }
        let json = self.json_at(path);
        let json = if json.is_null() { Json::Object(serde_json::Map::new()) } else { json.clone() };
        serde_json::from_value(json).or_else(|_| {
            self.refuse(path, "a value", "it holds the schema, but can't be read (an error of ours)")
        })
    }

    fn json_at(&self, path: &str) -> &Json {
        path.split('.').fold(self.json, |at, key| match key.parse::<usize>() {
            Ok(index) => &at[index],
            Err(_) => &at[key],
        })
    }

    /// A fault in a section must not hide what is wrong with the text in its next line.
    fn texts_of_faulty_sections(&mut self) {
        self.text("camera.id", |v, _, id| v.camera_id(id).map(drop));
        self.text("swarm.prefix", |v, path, prefix| v.prefix(path, prefix).map(drop));
        self.text("control.prefix", |v, path, prefix| v.prefix(path, prefix).map(drop));
        self.text("fleet.prefix", |v, path, prefix| v.prefix(path, prefix).map(drop));
        // The fault, if there is one, is noted.
        let _: Checked<()> = self.fleet_recording();
        for key in embedded::ADDRESSES {
            self.text(key, |v, key, address| v.address(key, address).map(drop));
        }
        for i in 0..self.json["broker_link"].as_array().map_or(0, Vec::len) {
            self.text(&format!("broker_link.{i}.url"), |v, path, url| match url {
                raw::BrokerLink::DISCOVER => Ok(()),
                url => v.url(path, url).map(drop),
            });
        }
    }

    /// Judges a text that is set and has no fault yet; one that was judged before passes again.
    fn text(&mut self, path: &str, judge: impl Fn(&mut Self, &str, &str) -> Checked<()>) {
        let text = self.json_at(path).as_str().map(str::to_owned);
        if let Some(text) = text
            && !self.faults.touch(path)
        {
            // The fault, if there is one, is noted.
            let _: Checked<()> = judge(self, path, &text);
        }
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
        let id = self.camera_id(&raw.id)?;
        Ok(Camera { id, name: raw.name.unwrap_or(raw.id), site: raw.site })
    }

    fn camera_id(&mut self, id: &str) -> Checked<CameraId> {
        CameraId::parse(id).or_else(|e| self.refuse("camera.id", quoted(id), format!("a camera id {e}")))
    }

    fn capture(&mut self, raw: raw::Capture) -> Checked<capture::Options> {
        let spaced = match &raw.source {
            raw::Source::Command(command) => command.fps,
            raw::Source::Video(video) => video.fps,
            raw::Source::Synthetic(_) | raw::Source::Replay(_) => None,
        };
        let kind = self.source(raw.source)?;
        if kind.is_live() {
            if let Some(pace) = raw.pace {
                let reason = "this source is live and has a pace of its own; here it has no effect";
                return self.refuse("capture.pace", quoted(pace.as_str()), reason);
            }
            if let Some(fps) = spaced {
                let reason = "this source is live, its frames are stamped on arrival; here it has no effect";
                return self.refuse("capture.fps", format!("{fps:?}"), reason);
            }
        }
        let pace = match raw.pace.unwrap_or_default() {
            raw::Pace::Realtime => capture::Pace::Realtime,
            raw::Pace::Fast => capture::Pace::Fast,
        };
        let stall_after = Duration::from_secs_f64(raw.stall_after_s);
        Ok(capture::Options { pace, stall_after, ..capture::Options::new(kind) })
    }

    fn source(&mut self, raw: raw::Source) -> Checked<Kind> {
        Ok(match raw {
            raw::Source::Synthetic(s) => {
                if s.view >= s.cameras {
                    let allowed = format!("an integer below capture.cameras ({})", s.cameras);
                    return self.not_allowed("capture.view", s.view.to_string(), allowed);
                }
                Kind::Synthetic(synthetic::Options {
                    seed: s.seed,
                    cameras: s.cameras,
                    index: s.view,
                    size: Size { width: s.width, height: s.height },
                    fps: s.fps,
                    plates: s.plates,
                    ..synthetic::Options::default()
                })
            }
            raw::Source::Command(c) => {
                if c.command.first().is_none_or(|program| program.reveal().is_empty()) {
                    return self.not_allowed("capture.command.0", "\"\"", "the name of a program");
                }
                let argv = c.command.iter().map(|word| word.reveal().to_owned()).collect();
                let timing =
                    if c.live { command::Timing::Live } else { command::Timing::Offline { rate_hz: c.fps } };
                Kind::Command(command::Options { argv, timing })
            }
            raw::Source::Video(video) => {
                let together = "an integer; width and height go together";
                let size = match (video.width, video.height) {
                    (Some(width), Some(height)) => Some(Size { width, height }),
                    (None, None) => None,
                    (Some(_), None) => return self.missing("capture.height", together),
                    (None, Some(_)) => return self.missing("capture.width", together),
                };
                let key = "capture.input";
                let input = self.with_secrets(key, video.input.reveal())?;
                if let Some(Err(reason)) = StreamUrl::parse(&input).map(|url| url.encoded()) {
                    return self.refuse(key, quoted(video.input.reveal()), reason);
                }
                Kind::Video(video::Options { size, rate_hz: video.fps, ..video::Options::new(input) })
            }
            raw::Source::Replay(r) => {
                let size = Size { width: r.width, height: r.height };
                let (vehicles, plates) = (r.vehicles, r.plates);
                Kind::Replay(replay::Options { path: r.file, size, rate_hz: r.fps, vehicles, plates })
            }
        })
    }

    fn detector(&mut self, raw: &raw::Detector) -> Checked<inference::Options> {
        let regions = self.masks("detector.roi", &raw.roi);
        let ignore = self.masks("detector.ignore", &raw.ignore);
        let raw::DetectorKind::Motion = raw.kind;
        Ok(inference::Options::Motion(inference::motion::Options {
            regions: regions?,
            ignore: ignore?,
            hold: Duration::from_secs_f64(raw.hold_s),
        }))
    }

    /// The network for the second look. What is wrong with its files is no fault of the configuration: the camera works
    /// without it, and names the fault when it runs.
    fn verify(raw: &raw::Detector) -> Option<network::Options> {
        let model = raw.verify.clone()?;
        Some(network::Options {
            description: super::network::describe(&model),
            model,
            library: raw.onnxruntime.clone(),
            budget_ms: f64::from(raw.verify_budget_ms),
            probe: true,
            wait: false,
        })
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

    fn prediction(&mut self, raw: &raw::Prediction, loitering_s: f64) -> Checked<predict::Options> {
        let steps = raw.horizon_s / raw.step_s;
        let most = predict::trajectory::STEPS_MAX as f64;
        if !(1.0..=most).contains(&steps) {
            let horizon = raw.horizon_s;
            let allowed = format!("1 to {most:.0} steps within prediction.horizon_s ({horizon:?})");
            return self.not_allowed("prediction.step_s", format!("{:?}", raw.step_s), allowed);
        }
        if raw.step_s > raw.event_horizon_s {
            let event_horizon = raw.event_horizon_s;
            let allowed = format!("a number up to prediction.event_horizon_s ({event_horizon:?})");
            return self.not_allowed("prediction.step_s", format!("{:?}", raw.step_s), allowed);
        }
        if raw.retract_below >= raw.predict_at {
            let allowed = format!("a number below prediction.predict_at ({:?})", raw.predict_at);
            return self.not_allowed("prediction.retract_below", format!("{:?}", raw.retract_below), allowed);
        }
        Ok(predict::Options {
            horizon_s: raw.horizon_s,
            step_s: raw.step_s,
            event_horizon_s: raw.event_horizon_s,
            predict_at: raw.predict_at,
            retract_below: raw.retract_below,
            cooldown_s: raw.cooldown_s,
            loitering_s,
            trespassing: raw.trespassing,
            collision: raw.collision,
            collision_m: raw.collision_m,
            collision_mps: raw.collision_mps,
            ..predict::Options::default()
        })
    }

    fn swarm(&mut self, raw: &raw::Swarm, tracks_max: usize) -> Checked<Option<swarm::Options>> {
        let prefix = self.prefix("swarm.prefix", &raw.prefix)?;
        let options = swarm::Options {
            prefix,
            publish: swarm::PublishOptions {
                track_interval: Duration::from_secs_f64(1.0 / raw.track_rate_hz),
                tracks_max,
                event_severity_min: raw.publish_severity,
            },
            peers: swarm::peers::Options {
                peers_max: raw.peers_max as usize,
                stale_after: Duration::from_secs_f64(raw.stale_after_s),
                ..swarm::peers::Options::default()
            },
            neighbours: swarm::NeighbourOptions { near_m: raw.near_m, ..swarm::NeighbourOptions::default() },
            encoding: match raw.encoding {
                raw::Encoding::Json => swarm::Encoding::Json,
                raw::Encoding::Msgpack => swarm::Encoding::MsgPack,
                raw::Encoding::MsgpackAlways => swarm::Encoding::MsgPackAlways,
            },
            ..swarm::Options::default()
        };
        Ok(raw.enabled.then_some(options))
    }

    fn trust(&mut self, raw: &raw::Trust) -> Checked<(swarm::trust::Options, Signing)> {
        let keys: Vec<_> = raw.keys.iter().enumerate().map(|(i, known)| self.trusted_key(i, known)).collect();
        if raw.require && raw.sign_tracks == Some(false) {
            let reason =
                "trust.require = true accepts only signed tracks; remove sign_tracks or set it to true";
            return self.refuse("trust.sign_tracks", "false", reason);
        }
        let options = swarm::trust::Options {
            tracks: raw.sign_tracks.unwrap_or(raw.sign || raw.require),
            require: raw.require,
            pin_first: raw.pin_first,
            keys: keys.into_iter().collect::<Checked<_>>()?,
        };
        let day = Duration::from_hours(24);
        let rotate_after = (raw.rotate_days > 0).then(|| day * raw.rotate_days);
        Ok((options, Signing { enabled: raw.sign, rotate_after }))
    }

    fn trusted_key(&mut self, i: usize, raw: &raw::TrustedKey) -> Checked<(CameraId, PublicKey)> {
        let camera = CameraId::parse(&raw.camera).or_else(|error| {
            self.refuse(&format!("trust.keys.{i}.camera"), quoted(&raw.camera), error.to_string())
        });
        let key = PublicKey::parse(&raw.key);
        let key = key.map_or_else(
            || {
                self.not_allowed(
                    &format!("trust.keys.{i}.key"),
                    quoted(&raw.key),
                    "ed25519: and 43 characters of base64",
                )
            },
            Ok,
        );
        Ok((camera?, key?))
    }

    fn prefix(&mut self, path: &str, prefix: &str) -> Checked<swarm::topic::Prefix> {
        swarm::topic::Prefix::parse(prefix).or_else(|e| self.refuse(path, quoted(prefix), e.to_string()))
    }

    fn control(&mut self, raw: raw::Control) -> Checked<Option<control::Options>> {
        let prefix = self.prefix("control.prefix", &raw.prefix);
        let allow = control::Permissions::parse(raw.allow.iter().map(String::as_str));
        let allow = allow.or_else(|(index, error)| {
            self.refuse(&format!("control.allow.{index}"), quoted(&raw.allow[index]), error.to_string())
        });
        prefix?;
        // Whoever may only give orders must not make the camera speak where others are believed.
        let others =
            ["swarm.prefix", "fleet.prefix"].map(|key| self.json_at(key).as_str().map(str::to_owned));
        if raw.full_frames_hz > 0.0 && !raw.frames {
            let allowed = "0, or control.frames = true: pictures leave only where that is set";
            return self.not_allowed("control.full_frames_hz", format!("{:?}", raw.full_frames_hz), allowed);
        }
        Ok(raw.enabled.then_some(control::Options {
            prefix: raw.prefix,
            desk: control::DeskOptions { allow: allow?, rate_per_s: raw.rate_per_s },
            plane: control::PlaneOptions {
                shared_status: raw.shared_status,
                audit: raw.audit,
                prefixes_in_use: others.into_iter().flatten().collect(),
            },
            data: control::DataOptions {
                enabled: raw.data,
                detections_hz: raw.detections_hz,
                topics: raw.data_topics,
                frames: raw.frames,
                full_frames_hz: raw.full_frames_hz,
                frame_quality: raw.frame_quality,
            },
            trial: Duration::from_secs(u64::from(raw.trial_s)),
        }))
    }

    fn state_dir(&mut self, raw: raw::State) -> Checked<PathBuf> {
        if raw.dir.as_os_str().is_empty() {
            return self.not_allowed("state.dir", "\"\"", "the path of a folder");
        }
        Ok(raw.dir)
    }
}
