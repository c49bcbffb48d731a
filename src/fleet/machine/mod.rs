//! The camera's side of the contract as one state machine: what comes in. What goes out is made in `tell`.

mod tell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::dialect::{self, rejected};
use super::health::{CameraState, Level, Vitals};
use super::ids::Ids;
use super::orders::{self, Question};
use super::topics::{Inlet, Topics};
use super::watchlist::{Applied, Match, Update, UpdateError, Watchlist, normalized};
use super::{Options, Tuning, settings};
use crate::base::{Time, rfc3339};
use crate::control::{Asker, Door, Rejection, Reply, Request, Unread};
use crate::model::{Attribute, Class, Delivery, Envelope, MessageClass, Plate, Qos, Track, Transition};

/// Between two health messages.
pub const HEALTH_EVERY: Duration = Duration::from_secs(30);
/// Requests for health and for the watchlist are not followed more often.
const REQUESTS_EVERY: Duration = Duration::from_secs(1);
/// Vehicles that wait for the next message; with more it leaves before its time.
const GATHERED_MAX: usize = 256;
/// Tracks whose plate is known; beyond, the oldest is forgotten.
const PLATES_MAX: usize = 1_024;

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The connection has come up.
    Connected,
    /// A message came in.
    Delivery(&'a Delivery),
    /// Something was read off a track, or it ended.
    Transition(&'a Transition),
    /// The desk has answered what was asked of it by [`Action::Ask`].
    Reply(&'a Asker, &'a Reply),
    /// What [`Action::Measure`] has found.
    Vitals(&'a Vitals),
    /// Other settings are in force.
    Tuning(Tuning),
    /// Time has passed.
    Tick,
    /// The camera leaves: what waits is sent now.
    Leaving,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send it; what is durable by its class goes to the outbox.
    Send(Envelope),
    /// The server has the message of this key.
    Acknowledged(String),
    /// Ask the desk.
    Ask(Asker, Result<Request, Unread>),
    /// Look how the camera is, and tell by [`Input::Vitals`].
    Measure,
    /// Keep what [`Fleet::watchlist`] says over a restart.
    KeepWatchlist,
    /// A message could not be used, for this reason.
    Refused(String),
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Detection messages.
    pub detections: u64,
    /// Acknowledgements of the server.
    pub acknowledgements: u64,
    /// Orders and updates that were handed to the desk.
    pub orders: u64,
    /// Notifications of wanted plates.
    pub notifications: u64,
    /// Messages that could not be used.
    pub refused: u64,
    /// Messages for other cameras.
    pub for_another: u64,
    /// Vehicles that were not sure enough.
    pub unsure: u64,
    /// Requests that came too soon after one another.
    pub requests_ignored: u64,
}

/// What is shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Report {
    /// The version of the watchlist in force.
    pub watchlist_version: u64,
    /// Its entries.
    pub watchlist_entries: usize,
    /// What was counted.
    pub counters: Counters,
}

#[derive(Debug)]
struct Vehicle {
    last: Track,
    plate: Option<Plate>,
}

/// What was seen since the last sum.
#[derive(Debug, Default)]
struct Sum {
    since: Option<Time>,
    vehicles: u64,
    plates: u64,
    wanted: u64,
    confidence: f64,
}

/// The camera's side of the contract.
#[derive(Debug)]
pub struct Fleet {
    options: Options,
    topics: Topics,
    ids: Ids,
    watchlist: Watchlist,
    gathered: VecDeque<Vehicle>,
    last_detection: Option<Time>,
    /// The plates of living tracks.
    plates: BTreeMap<u32, Plate>,
    /// For which wanted plate a track was told.
    notified: BTreeMap<u32, String>,
    sum: Sum,
    frame_ms: Option<f64>,
    level: Level,
    camera: CameraState,
    raised: BTreeSet<&'static str>,
    next_health: Option<Time>,
    health_asked: Option<Time>,
    watchlist_asked: Option<Time>,
    /// What is in force was reported since the last update came in.
    config_told: bool,
    counters: Counters,
}

impl Fleet {
    /// A camera that has told nothing yet. `boot_ms` rises with every start of the process where it can, and `random` is
    /// another number at each.
    pub fn new(options: Options, boot_ms: u64, random: u64) -> Self {
        let groups: Vec<&str> = options.confusable.iter().map(String::as_str).collect();
        Self {
            topics: Topics::new(&options.prefix, &options.camera_id, &options.checkpoint_id),
            ids: Ids::new(&options.camera_id, boot_ms, random),
            watchlist: Watchlist::new(&groups),
            gathered: VecDeque::new(),
            last_detection: None,
            plates: BTreeMap::new(),
            notified: BTreeMap::new(),
            sum: Sum::default(),
            frame_ms: None,
            level: Level::default(),
            camera: CameraState::default(),
            raised: BTreeSet::new(),
            next_health: None,
            health_asked: None,
            watchlist_asked: None,
            config_told: false,
            counters: Counters::default(),
            options,
        }
    }

    /// The watchlist, to be kept.
    pub fn watchlist(&self) -> Vec<u8> {
        self.watchlist.to_json()
    }

    /// Puts in force what was kept; until the server says otherwise.
    pub fn restore_watchlist(&mut self, kept: &[u8]) -> Result<(), UpdateError> {
        Update::from_json(kept).and_then(|update| self.watchlist.apply(update)).map(|_| ())
    }

    /// What the connection asks for.
    pub fn subscriptions(&self) -> Vec<(String, Qos)> {
        self.topics.subscriptions()
    }

    /// What the broker publishes when the connection is cut, and the camera says when it leaves.
    pub fn will(&mut self, now: Time) -> Envelope {
        let mut message = self.head(now);
        message.insert("health_status".to_owned(), json!("offline"));
        message.insert("health_details".to_owned(), json!({ "network_status": "disconnected" }));
        message.insert("alerts".to_owned(), json!([]));
        self.health_envelope(message)
    }

    /// What is shown of it.
    pub fn report(&self) -> Report {
        Report {
            watchlist_version: self.watchlist.version(),
            watchlist_entries: self.watchlist.len(),
            counters: self.counters,
        }
    }

    /// Takes one input; what is to be done is added to `out`.
    pub fn handle(&mut self, input: Input<'_>, now: Time, out: &mut Vec<Action>) {
        match input {
            Input::Connected => {
                self.tell_config(now, out);
                out.push(Action::Measure);
                if self.watchlist.version() == 0 {
                    self.ask_for_watchlist(now, out);
                }
            }
            Input::Delivery(delivery) => self.delivery(delivery, now, out),
            Input::Transition(transition) => self.transition(transition, now, out),
            Input::Reply(asker, reply) => self.reply(asker, reply, now, out),
            Input::Vitals(vitals) => self.vitals(vitals, now, out),
            Input::Tuning(tuning) => {
                if self.options.tuning != tuning {
                    self.options.tuning = tuning;
                    self.tell_config(now, out);
                }
            }
            Input::Tick => self.tick(now, out),
            Input::Leaving => self.send_gathered(true, now, out),
        }
    }

    /// Tells what is in force again, whether or not somebody changed what is retained.
    fn tell_config(&mut self, now: Time, out: &mut Vec<Action>) {
        self.config_told = true;
        let says = settings::to_config(&self.options.tuning);
        let mut message = self.head(now);
        message.insert("message_id".to_owned(), json!(self.ids.next_of_config(&says)));
        message.insert("config_type".to_owned(), json!("detection_settings"));
        message.insert("config_data".to_owned(), says);
        let envelope = envelope(MessageClass::Presence, self.topics.config(), message);
        out.push(Action::Send(Envelope { qos: Qos::ExactlyOnce, ..envelope }));
    }

    fn delivery(&mut self, delivery: &Delivery, now: Time, out: &mut Vec<Action>) {
        match self.topics.inlet(&delivery.topic) {
            None => {}
            Some(Inlet::Ack) => self.acknowledged(&delivery.payload, out),
            Some(Inlet::HealthRequest) => {
                let soon = self.health_asked.is_some_and(|last| now.since(last) < REQUESTS_EVERY);
                if soon {
                    self.counters.requests_ignored += 1;
                } else {
                    self.health_asked = Some(now);
                    out.push(Action::Measure);
                }
            }
            Some(Inlet::ConfigRequest) => self.tell_config(now, out),
            Some(Inlet::Config) => {
                // An emptied topic asks for what is in force.
                if delivery.payload.is_empty() {
                    self.tell_config(now, out);
                } else if !self.is_own_config(&delivery.payload) {
                    self.order(delivery, "update_config", out, orders::update);
                }
            }
            Some(Inlet::ConfigUpdate) => self.order(delivery, "update_config", out, |inward| {
                if delivery.retained { Err(retained(inward)) } else { orders::update(inward) }
            }),
            Some(Inlet::Control) => self.control(delivery, now, out),
            Some(Inlet::SystemControl) => {
                let allowed = self.options.system_commands;
                self.order(delivery, "", out, |inward| {
                    if delivery.retained {
                        Err(retained(inward))
                    } else {
                        orders::system_order(inward, allowed)
                    }
                });
            }
            // An emptied topic says nothing about who is wanted.
            Some(Inlet::Watchlist) if delivery.payload.is_empty() => {}
            Some(Inlet::Watchlist) => self.update_watchlist(&delivery.payload, now, out),
        }
    }

    fn is_own_config(&self, payload: &[u8]) -> bool {
        let Ok(Value::Object(message)) = serde_json::from_slice(payload) else { return false };
        let id = message.get("message_id").and_then(Value::as_str);
        let says = message.get("config_data");
        id.zip(says).is_some_and(|(id, says)| self.ids.is_own_config(id, says))
    }

    fn control(&mut self, delivery: &Delivery, now: Time, out: &mut Vec<Action>) {
        let is_calibration =
            |inward: &dialect::Inward| orders::word(&inward.says).eq_ignore_ascii_case("calibrate");
        match dialect::read(&delivery.payload, &self.options.camera_id) {
            // Nothing to be judged: it can't be done from here.
            Ok(inward) if is_calibration(&inward) && !delivery.retained => {
                let question = Question {
                    original_message_id: inward.named.then_some(inward.message_id),
                    command: "calibrate".to_owned(),
                    ignored: Vec::new(),
                };
                let why = "a camera is calibrated by [calibration] in its configuration file";
                let result = json!({ "success": false, "message": why, "timestamp": rfc3339(now.epoch_ms) });
                self.respond(&question, "failed", result, now, out);
            }
            _ => self.order(delivery, "", out, |inward| {
                if delivery.retained { Err(retained(inward)) } else { orders::camera_order(inward) }
            }),
        }
    }

    /// Hands an order to the desk, whatever it is. `word` is what it is called in the answer when it has no
    /// word of its own.
    fn order(
        &mut self,
        delivery: &Delivery,
        word: &str,
        out: &mut Vec<Action>,
        meaning: impl FnOnce(&dialect::Inward) -> Result<Request, Unread>,
    ) {
        let inward = dialect::read(&delivery.payload, &self.options.camera_id);
        let question = match &inward {
            Ok(inward) => Question {
                original_message_id: inward.named.then(|| inward.message_id.clone()),
                command: if word.is_empty() { orders::word(&inward.says) } else { word }.to_owned(),
                ignored: orders::ignored(inward),
            },
            Err(Unread::Rejected { id, .. }) => {
                self.counters.refused += 1;
                Question { original_message_id: id.clone(), command: word.to_owned(), ignored: Vec::new() }
            }
            Err(Unread::TooLarge) => {
                self.counters.refused += 1;
                return;
            }
            Err(Unread::ForAnother) => {
                self.counters.for_another += 1;
                return;
            }
        };
        self.counters.orders += 1;
        self.config_told &= question.command != "update_config";
        let asker = Asker {
            door: Door::Fleet,
            link: delivery.link.clone(),
            response_topic: None,
            correlation_data: Some(question.to_bytes().into()),
        };
        out.push(Action::Ask(asker, inward.and_then(|inward| meaning(&inward))));
    }

    fn reply(&mut self, asker: &Asker, reply: &Reply, now: Time, out: &mut Vec<Action>) {
        let Some(status) = orders::status(reply) else { return };
        let question = asker.correlation_data.as_deref().and_then(Question::from_bytes);
        let Some(question) = question else { return };
        let result = orders::result(&question, reply, &rfc3339(now.epoch_ms));
        self.respond(&question, status, result, now, out);
        match question.command.as_str() {
            // What an update changed was reported when it came into force.
            "update_config" if !self.config_told => self.tell_config(now, out),
            "get_health" => out.push(Action::Measure),
            _ => {}
        }
    }

    fn respond(
        &mut self,
        question: &Question,
        status: &str,
        result: Value,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let mut message = self.head(now);
        if let Some(id) = &question.original_message_id {
            message.insert("original_message_id".to_owned(), json!(id));
        }
        if !question.command.is_empty() {
            message.insert("command".to_owned(), json!(question.command));
        }
        message.insert("status".to_owned(), json!(status));
        message.insert("result".to_owned(), result);
        let envelope = envelope(MessageClass::Reply, self.topics.response(), message);
        out.push(Action::Send(Envelope { qos: Qos::ExactlyOnce, ..envelope }));
    }

    fn acknowledged(&mut self, payload: &[u8], out: &mut Vec<Action>) {
        let read = dialect::read(payload, &self.options.camera_id);
        let Ok(ack) = read else {
            self.counters.refused += u64::from(read != Err(Unread::ForAnother));
            self.counters.for_another += u64::from(read == Err(Unread::ForAnother));
            return out
                .push(Action::Refused("an acknowledgement that is none, or for another camera".to_owned()));
        };
        if let Some(Value::String(id)) = ack.says.get("original_message_id") {
            self.counters.acknowledgements += 1;
            out.push(Action::Acknowledged(id.clone()));
        } else {
            self.counters.refused += 1;
            out.push(Action::Refused("an acknowledgement without original_message_id".to_owned()));
        }
    }

    fn update_watchlist(&mut self, payload: &[u8], now: Time, out: &mut Vec<Action>) {
        let applied = Update::from_json(payload).and_then(|update| self.watchlist.apply(update));
        match applied {
            Ok(Applied::Known) => {}
            Ok(Applied::Gap { .. }) => self.ask_for_watchlist(now, out),
            Ok(Applied::Changed) => {
                out.push(Action::KeepWatchlist);
                let living: Vec<(u32, Plate)> =
                    self.plates.iter().map(|(id, plate)| (*id, plate.clone())).collect();
                for (track, plate) in living {
                    self.look_up(track, &plate, now, now, out);
                }
            }
            Err(error) => {
                self.counters.refused += 1;
                let text = format!("watchlist update refused: {error}");
                self.alert("watchlist", Level::Warning, "raised", &text, now, out);
                out.push(Action::Refused(text));
            }
        }
    }

    fn ask_for_watchlist(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.watchlist_asked.is_some_and(|last| now.since(last) < REQUESTS_EVERY) {
            return;
        }
        self.watchlist_asked = Some(now);
        let mut message = self.head(now);
        message.insert("have_version".to_owned(), json!(self.watchlist.version()));
        out.push(Action::Send(envelope(MessageClass::Reply, self.topics.watchlist_request(), message)));
    }

    fn transition(&mut self, transition: &Transition, now: Time, out: &mut Vec<Action>) {
        match transition {
            // What is not confirmed is nobody's vehicle yet.
            Transition::Event(_) | Transition::EventOver { .. } | Transition::SightingEnded { .. } => {}
            Transition::Attribute { track, attribute: Attribute::Plate(plate), time } => {
                self.plates.insert(*track, plate.clone());
                if self.plates.len() > PLATES_MAX {
                    self.plates.pop_first();
                }
                self.look_up(*track, plate, *time, now, out);
            }
            Transition::TrackEnded { last, .. } => {
                let track = last.track;
                self.notified.remove(&track.id);
                let plate = self.plates.remove(&track.id);
                if track.class != Class::Vehicle && plate.is_none() {
                    return;
                }
                let sure = plate.as_ref().map_or(track.confidence, |plate| plate.confidence);
                if sure.is_nan() || sure < self.options.tuning.confidence_min {
                    self.counters.unsure += 1;
                    return;
                }
                self.sum.vehicles += 1;
                self.sum.plates += u64::from(plate.is_some());
                self.sum.confidence += sure;
                self.gathered.push_back(Vehicle { last: track, plate });
                self.send_gathered(self.gathered.len() >= GATHERED_MAX, now, out);
            }
        }
    }

    /// Tells when a plate is wanted: once for a track and the plate on the list.
    fn look_up(&mut self, track: u32, plate: &Plate, seen: Time, now: Time, out: &mut Vec<Action>) {
        let tuning = self.options.tuning;
        let Some(read) = normalized(&plate.text) else { return };
        let found = if tuning.near_matches {
            self.watchlist.find(&read, now.epoch_ms)
        } else {
            self.watchlist.exact(&read, now.epoch_ms)
        };
        let Some(Match { plate: listed, entry, confused_at }) = found else { return };
        let sure = plate.confidence >= tuning.alert_confidence_min;
        if !sure || self.notified.get(&track).is_some_and(|told| told == listed) {
            return;
        }
        let listed = listed.to_owned();
        let mut message = Map::new();
        for (key, value) in [
            ("type", json!("blacklist_match")),
            ("plate_number", json!(read)),
            ("listed_plate_number", json!(listed)),
            ("match", json!(if confused_at.is_some() { "near" } else { "exact" })),
            ("confidence", json!(rounded(plate.confidence))),
            ("blacklist_reason", json!(entry.reason)),
            ("alert_level", json!(entry.level)),
            ("watchlist_version", json!(self.watchlist.version())),
            ("edge_device_id", json!(self.options.camera_id)),
            ("checkpoint_id", json!(self.options.checkpoint_id)),
            ("track_id", json!(track)),
            ("seen", json!(rfc3339(seen.epoch_ms))),
        ] {
            message.insert(key.to_owned(), value);
        }
        if let Some(index) = confused_at {
            message.insert("confused_character".to_owned(), json!(index));
        }
        if let Some(expires_ms) = entry.expires_ms {
            message.insert("expiry_date".to_owned(), json!(rfc3339(expires_ms)));
        }
        self.notified.insert(track, listed);
        if self.notified.len() > PLATES_MAX {
            self.notified.pop_first();
        }
        self.sum.wanted += 1;
        if !(tuning.alerts && tuning.alerts_by_mqtt) {
            return;
        }
        self.counters.notifications += 1;
        message.extend(self.head(now));
        out.push(Action::Send(durable(MessageClass::Alert, self.topics.watchlist_notifications(), message)));
    }

    /// What every message begins with.
    fn head(&mut self, now: Time) -> Map<String, Value> {
        let mut head = Map::new();
        head.insert("message_id".to_owned(), json!(self.ids.next()));
        head.insert("timestamp".to_owned(), json!(rfc3339(now.epoch_ms)));
        head.insert("camera_id".to_owned(), json!(self.options.camera_id));
        head
    }
}

fn retained(inward: &dialect::Inward) -> Unread {
    rejected(Some(inward.message_id.clone()), Rejection::Retained)
}

fn envelope(class: MessageClass, topic: String, message: Map<String, Value>) -> Envelope {
    Envelope::new(class, topic, Value::Object(message).to_string())
}

/// A message that is kept until it is acknowledged, under its own id.
fn durable(class: MessageClass, topic: String, message: Map<String, Value>) -> Envelope {
    let key = message.get("message_id").and_then(Value::as_str).map(str::to_owned);
    Envelope { key, ..envelope(class, topic, message) }
}

/// Three decimals; 0 of what is no number.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1000.0).round() / 1000.0 } else { 0.0 }
}
