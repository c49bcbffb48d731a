//! What is known of a site from what its cameras say. No I/O; `now` is given.
//!
//! A track is forgotten [`TRACK_FOR`] after it was last heard of, or when it ends. Bounds: [`CAMERAS_MAX`]
//! cameras, [`TRACKS_MAX`] tracks, the last [`ALERTS_MAX`] alerts, [`EVENTS_MAX`] events and [`VOTES_MAX`] votes;
//! what can't be read is counted. Control characters in texts from the network are shown as blanks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use crate::base::{Time, rfc3339};
use crate::model::{Delivery, Severity};
use crate::swarm::codec;
use crate::swarm::message::{
    AlertMessage, AlertState, ConsensusMessage, EventKey, EventMessage, Message, Name, Presence,
    StatusMessage, TrackMessage, Verdict,
};
use crate::swarm::topic::Prefix;

const TRACK_FOR: Duration = Duration::from_secs(3);
const CAMERAS_MAX: usize = 1_024;
const TRACKS_MAX: usize = 4_096;
const ALERTS_MAX: usize = 100;
const EVENTS_MAX: usize = 200;
const VOTES_MAX: usize = 100;
/// Longer texts of others are not shown.
const TEXT_CHARS_MAX: usize = 40;

/// One camera.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Camera {
    pub(super) online: bool,
    pub(super) version: String,
    pub(super) ground: &'static str,
    pub(super) modes: Vec<String>,
    /// What its control plane says of it.
    pub(super) status: Option<String>,
    pub(super) fps: Option<f64>,
    pub(super) inference_ms: Option<f64>,
    /// Messages that it could not keep or deliver.
    pub(super) lost: u64,
    pub(super) heard: Option<Time>,
}

/// One track of one camera.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    pub(super) class: &'static str,
    pub(super) global_id: Option<u64>,
    pub(super) place_m: [f64; 2],
    pub(super) speed_mps: f64,
    pub(super) threat: f64,
    pub(super) heard: Time,
}

/// One event, as it was last told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) camera: String,
    pub(super) id: u32,
    pub(super) at_ms: u64,
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
    pub(super) severity: u8,
    pub(super) probability: f64,
    pub(super) zone: String,
}

/// One incident, by its newest alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alert {
    pub(super) key: EventKey,
    pub(super) updated_ms: u64,
    pub(super) state: AlertState,
    pub(super) severity: Severity,
    pub(super) text: String,
}

/// A vote, or what the votes came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vote {
    pub(super) at_ms: u64,
    pub(super) about: String,
    pub(super) by: String,
    pub(super) says: String,
    pub(super) confidence: f64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Board {
    swarm: Prefix,
    control: String,
    pub(super) cameras: BTreeMap<String, Camera>,
    pub(super) tracks: BTreeMap<(String, u32), Track>,
    /// The newest first, one for each incident.
    pub(super) alerts: VecDeque<Alert>,
    /// The newest first.
    pub(super) events: VecDeque<Event>,
    pub(super) votes: VecDeque<Vote>,
    pub(super) unreadable: u64,
}

impl Board {
    pub(super) fn new(swarm: Prefix, control: &str) -> Self {
        Self {
            swarm,
            control: control.to_owned(),
            cameras: BTreeMap::new(),
            tracks: BTreeMap::new(),
            alerts: VecDeque::new(),
            events: VecDeque::new(),
            votes: VecDeque::new(),
            unreadable: 0,
        }
    }

    /// Forgets what was not heard of for too long.
    pub(super) fn tick(&mut self, now: Time) {
        self.tracks.retain(|_, track| now.since(track.heard) < TRACK_FOR);
    }

    /// Tracks of one camera.
    pub(super) fn tracks_of(&self, camera: &str) -> usize {
        self.tracks.keys().filter(|(of, _)| of == camera).count()
    }

    /// Takes a message; what changed by it is added to `lines`.
    pub(super) fn hear(&mut self, delivery: &Delivery, now: Time, lines: &mut Vec<String>) {
        if let Some(rest) = delivery.topic.strip_prefix(&format!("{}/", self.control)) {
            let rest = rest.to_owned();
            return self.control(&rest, &delivery.payload, now, lines);
        }
        let Some(at) = self.swarm.parse_topic(&delivery.topic) else { return };
        match codec::decode(&delivery.topic, at, &delivery.payload) {
            Ok(Message::Status(status)) => self.status(&status, now, lines),
            Ok(Message::Track(track)) => self.track(&track, now, lines),
            Ok(Message::Event(event)) => self.event(&event, lines),
            Ok(Message::Consensus(vote)) => self.vote(&vote, lines),
            Ok(Message::Alert(alert)) => self.alert(&alert, lines),
            Ok(Message::Weights(weights)) => {
                let (camera, version) = (weights.camera_id, weights.version.0);
                lines.push(format!("{} weights {camera} version {version}", rfc3339(weights.timestamp.0)));
            }
            Err(_) => self.unreadable += 1,
        }
    }

    fn camera(&mut self, id: &str) -> Option<&mut Camera> {
        if !self.cameras.contains_key(id) && self.cameras.len() >= CAMERAS_MAX {
            return None;
        }
        Some(self.cameras.entry(id.to_owned()).or_default())
    }

    fn status(&mut self, status: &StatusMessage, now: Time, lines: &mut Vec<String>) {
        let online = status.state == Presence::Online;
        let id = status.camera_id.to_string();
        if !online {
            self.tracks.retain(|(of, _), _| *of != id);
        }
        let Some(camera) = self.camera(&id) else { return };
        let modes: Vec<String> =
            status.modes.iter().flat_map(|modes| modes.iter()).map(|mode| plain(mode.as_str())).collect();
        let news = camera.heard.is_none() || camera.online != online || camera.modes != modes;
        let counted = |wanted: &str| {
            let counters = status.counters.iter().flat_map(|counters| counters.iter());
            counters.filter(|(name, _)| name.as_str() == wanted).map(|(_, count)| count.0).sum::<u64>()
        };
        camera.lost = ["link_dropped", "outbox_evicted", "frames_dropped"].map(counted).iter().sum();
        camera.ground = match status.ground {
            Some(crate::swarm::message::GroundKind::Calibrated) => "calibrated",
            Some(crate::swarm::message::GroundKind::Nominal) => "nominal",
            None => "",
        };
        camera.version = plain(status.version.as_str());
        (camera.online, camera.modes, camera.heard) = (online, modes, Some(now));
        if news {
            let word = if online { "online" } else { "offline" };
            let modes = camera.modes.join(",");
            let modes = if modes.is_empty() { String::new() } else { format!(" modes {modes}") };
            lines.push(format!("{} camera {id} {word}{modes}", rfc3339(now.epoch_ms)));
        }
    }

    fn track(&mut self, track: &TrackMessage, now: Time, lines: &mut Vec<String>) {
        let key = (track.camera_id.to_string(), track.track_id.0);
        let at = rfc3339(track.timestamp.0);
        let (camera, id) = &key;
        if track.ended {
            if self.tracks.remove(&key).is_some() {
                lines.push(format!("{at} track {camera}/{id} ended"));
            }
            return;
        }
        let place_m = [track.global_position.x.0, track.global_position.y.0];
        if !self.tracks.contains_key(&key) {
            if self.tracks.len() >= TRACKS_MAX {
                return;
            }
            let [x, y] = place_m;
            lines.push(format!("{at} track {camera}/{id} {} at {x:.1} {y:.1} m", track.class.as_str()));
        }
        let shown = Track {
            class: track.class.as_str(),
            global_id: track.global_id.map(|id| id.0),
            place_m,
            speed_mps: track.velocity.x.0.hypot(track.velocity.y.0),
            threat: track.threat_score.0,
            heard: now,
        };
        self.tracks.insert(key, shown);
    }

    fn event(&mut self, event: &EventMessage, lines: &mut Vec<String>) {
        let state = match event.state {
            None => "",
            Some(crate::model::EventState::Predicted) => "predicted",
            Some(crate::model::EventState::Occurred) => "occurred",
            Some(crate::model::EventState::Confirmed) => "confirmed",
            Some(crate::model::EventState::Retracted) => "retracted",
            Some(crate::model::EventState::Expired) => "expired",
        };
        let shown = Event {
            camera: event.camera_id.to_string(),
            id: event.event_id.0,
            at_ms: event.timestamp.0,
            kind: event.event_type.as_str(),
            state,
            severity: event.severity.number(),
            probability: event.probability.0,
            zone: plain(event.zone.as_ref().map(Name::as_str).unwrap_or_default()),
        };
        let Event { camera, id, kind, zone, probability, .. } = &shown;
        let place = if zone.is_empty() { String::new() } else { format!(" in {zone}") };
        let word = severity(shown.severity);
        lines.push(format!(
            "{} event {camera}/{id} {kind} {state} {word} {probability:.2}{place}",
            rfc3339(shown.at_ms)
        ));
        self.events.retain(|known| (&known.camera, known.id) != (camera, *id));
        self.events.push_front(shown);
        self.events.truncate(EVENTS_MAX);
    }

    fn alert(&mut self, alert: &AlertMessage, lines: &mut Vec<String>) {
        let is_old = |known: &Alert| known.key == alert.key && known.updated_ms > alert.updated.0;
        if self.alerts.iter().any(is_old) {
            return;
        }
        let shown = Alert {
            key: alert.key.clone(),
            updated_ms: alert.updated.0,
            state: alert.state,
            severity: alert.severity,
            text: plain(alert.text.as_str()),
        };
        let Alert { key, state, severity, text, .. } = &shown;
        lines.push(format!(
            "{} alert {}/{} {} {} {text}",
            rfc3339(shown.updated_ms),
            key.camera,
            key.event_id,
            state.as_str(),
            severity.as_str()
        ));
        self.alerts.retain(|known| known.key != *key);
        self.alerts.push_front(shown);
        self.alerts.truncate(ALERTS_MAX);
    }

    fn vote(&mut self, vote: &ConsensusMessage, lines: &mut Vec<String>) {
        let by = vote.camera_id.as_ref().unwrap_or(&vote.initiating_camera).to_string();
        let says = match (&vote.verdict, &vote.votes) {
            (Some(Verdict::Confirm), _) => "confirms".to_owned(),
            (Some(Verdict::Deny), _) => "denies".to_owned(),
            (None, _) => format!("{} confirm", vote.num_confirming.0),
        };
        let shown = Vote {
            at_ms: vote.timestamp.0,
            about: format!("{}/{}", vote.initiating_camera, vote.event_id.0),
            by,
            says,
            confidence: vote.aggregated_confidence.0,
        };
        let Vote { about, by, says, confidence, .. } = &shown;
        lines.push(format!("{} vote {about} {by} {says} {confidence:.2}", rfc3339(shown.at_ms)));
        self.votes.push_front(shown);
        self.votes.truncate(VOTES_MAX);
    }

    /// Status and metrics of the control and data plane.
    fn control(&mut self, rest: &str, payload: &[u8], now: Time, lines: &mut Vec<String>) {
        let Ok(says) = serde_json::from_slice::<Value>(payload) else {
            // An emptied topic says nothing.
            self.unreadable += u64::from(!payload.is_empty());
            return;
        };
        let text = |key: &str| {
            let text = says.get(key).and_then(Value::as_str)?;
            Some(plain(text).chars().take(TEXT_CHARS_MAX).collect::<String>())
        };
        let Some(id) = text("camera_id").filter(|id| crate::model::CameraId::parse(id).is_ok()) else {
            return;
        };
        let status = rest.ends_with("/control/status").then(|| text("status")).flatten();
        let number = |value: Option<&Value>| value.and_then(Value::as_f64);
        let latency = number(says.pointer("/latency_reports/0/inference_latency_ms"));
        let fps = number(says.get("throughput_fps"));
        let Some(camera) = self.camera(&id) else { return };
        if rest.ends_with("data/metrics") {
            (camera.fps, camera.inference_ms) = (fps, latency);
        }
        if status.is_some() && camera.status != status {
            let word = status.as_deref().unwrap_or_default();
            lines.push(format!("{} camera {id} is {word}", rfc3339(now.epoch_ms)));
            camera.status = status;
        }
    }
}

/// Returns a text from the network without control characters, which a terminal interprets.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The word for a severity.
pub(super) fn severity(number: u8) -> &'static str {
    match number {
        1 => "low",
        2 => "medium",
        3 => "high",
        4 => "critical",
        _ => "none",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const TRACK: &str = r#"{"camera_id":"gate","track_id":7,"global_position":{"x":1.5,"y":-2.0,"z":0.0},"velocity":{"x":0.6,"y":0.8},"class":"person","confidence":0.9,"timestamp":1795207082651,"behaviors":0,"threat_score":0.3}"#;
    const STATUS: &str = r#"{"camera_id":"gate","state":"online","version":"0.1.0","boot":1,"timestamp":1795207082651,"encodings":["json"],"modes":["link_slow"],"counters":{"link_dropped":3}}"#;
    const EVENT: &str = r#"{"camera_id":"gate","event_id":4,"event_type":1,"position":{"x":1.0,"y":1.0,"z":0.0},"track_id":7,"probability":0.81,"severity":3,"predicted_time":1795207092651,"timestamp":1795207082651,"state":"predicted","zone":"dock"}"#;
    const ALERT: &str = r#"{"key":"gate/1/4","type":"loitering","event_type":1,"severity":3,"severity_word":"high","state":"happening","probability":0.9,"first":"2026-11-20T20:38:02.651Z","updated":"2026-11-20T20:38:05.000Z","position":{"x":1.0,"y":1.0,"z":0.0},"zone":"dock","class":"person","cameras_asked":3,"cameras_confirming":2,"text":"Loitering in zone dock:\u001b[2J 2 of 3 cameras confirm.","published_by":"yard"}"#;
    const VOTE: &str = r#"{"event_id":4,"initiating_camera":"gate","num_confirming":1,"confirming_cameras":["yard"],"aggregated_confidence":0.75,"timestamp":1795207082651,"camera_id":"yard","verdict":"confirm"}"#;

    pub(in crate::cli::watch) fn at(s: u64) -> Time {
        Time { mono_ns: s * 1_000_000_000, epoch_ms: 1_795_207_082_000 + s * 1_000 }
    }

    pub(in crate::cli::watch) fn heard() -> (Board, Vec<String>) {
        let mut board = Board::new(Prefix::default(), "inference");
        let mut lines = Vec::new();
        for (topic, payload) in [
            ("omnisight/swarm/status/gate", STATUS),
            ("omnisight/swarm/tracks/gate/7", TRACK),
            ("omnisight/swarm/events/gate/4", EVENT),
            ("omnisight/swarm/consensus/4", VOTE),
            ("omnisight/swarm/alerts/gate/4", ALERT),
            ("inference/gate/control/status", r#"{"status":"running","camera_id":"gate"}"#),
            (
                "inference/data/metrics",
                r#"{"throughput_fps":9.98,"latency_reports":[{"inference_latency_ms":1.5}],"camera_id":"gate"}"#,
            ),
        ] {
            let delivery =
                Delivery { topic: topic.to_owned(), payload: payload.into(), ..Delivery::default() };
            board.hear(&delivery, at(0), &mut lines);
        }
        (board, lines)
    }

    #[test]
    fn every_message_is_a_line_and_stands_on_the_board() {
        let (board, lines) = heard();
        assert_eq!(board.unreadable, 0);
        let ends = [
            "camera gate online modes link_slow",
            "track gate/7 person at 1.5 -2.0 m",
            "event gate/4 loitering predicted high 0.81 in dock",
            "vote gate/4 yard confirms 0.75",
            "alert gate/4 happening high Loitering in zone dock: [2J 2 of 3 cameras confirm.",
            "camera gate is running",
        ];
        assert_eq!(lines.len(), ends.len(), "{lines:?}");
        for (line, end) in lines.iter().zip(ends) {
            assert!(line.ends_with(end), "{line}");
        }
        let camera = &board.cameras["gate"];
        assert_eq!((camera.fps, camera.inference_ms, camera.lost), (Some(9.98), Some(1.5), 3));
    }

    #[test]
    fn the_newest_alert_of_each_incident_is_shown_and_an_older_one_does_not_replace_it() {
        let (mut board, mut lines) = heard();
        let states = |board: &Board| board.alerts.iter().map(|a| a.state).collect::<Vec<_>>();
        let mut hear = |board: &mut Board, payload: &str| {
            let topic = "omnisight/swarm/alerts/gate/4".to_owned();
            let delivery = Delivery { topic, payload: payload.to_owned().into(), ..Delivery::default() };
            board.hear(&delivery, at(1), &mut lines);
        };
        hear(&mut board, &ALERT.replace("20:38:05", "20:38:04").replace("happening", "forecast"));
        assert_eq!(states(&board), [AlertState::Happening]);
        hear(&mut board, &ALERT.replace("20:38:05", "20:38:09").replace("happening", "over"));
        assert_eq!(states(&board), [AlertState::Over]);
    }

    #[test]
    fn what_was_said_before_is_no_line_and_silent_tracks_go() {
        let (mut board, mut lines) = heard();
        lines.clear();
        for (topic, payload) in
            [("omnisight/swarm/status/gate", STATUS), ("omnisight/swarm/tracks/gate/7", TRACK)]
        {
            let delivery =
                Delivery { topic: topic.to_owned(), payload: payload.into(), ..Delivery::default() };
            board.hear(&delivery, at(1), &mut lines);
        }
        assert!(lines.is_empty(), "{lines:?}");
        board.tick(at(3));
        assert_eq!(board.tracks_of("gate"), 1);
        board.tick(at(4));
        assert_eq!(board.tracks_of("gate"), 0);
    }

    #[test]
    fn nothing_that_anybody_says_makes_it_grow_without_bound_or_fail() {
        let mut board = Board::new(Prefix::default(), "inference");
        for i in 0..3_000 {
            let payload = format!(r#"{{"status":"running","camera_id":"c{i}"}}"#);
            let topic = format!("inference/c{i}/control/status");
            let delivery = Delivery { topic, payload: payload.into(), ..Delivery::default() };
            board.hear(&delivery, at(0), &mut Vec::new());
        }
        assert_eq!(board.cameras.len(), CAMERAS_MAX);
        for (topic, payload) in
            [("omnisight/swarm/tracks/a/1", "x"), ("inference/a/control/status", "{"), ("else", "")]
        {
            let delivery =
                Delivery { topic: topic.to_owned(), payload: payload.into(), ..Delivery::default() };
            board.hear(&delivery, at(0), &mut Vec::new());
        }
        assert_eq!(board.unreadable, 2);
    }
}
