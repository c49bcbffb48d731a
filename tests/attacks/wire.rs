//! The wire: an observer that records all messages, and a client that publishes under any name.
//!
//! The observer keeps events, votes and alerts whole, and of tracks the newest of each and the last places. What it keeps is bounded ([`MESSAGES_MAX`], [`PLACES_MAX`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// First levels of the topics of the swarm.
pub(crate) const PREFIX: &str = "omnisight/swarm";
/// Messages of one family that an observer keeps; a longer run fails instead of losing some.
const MESSAGES_MAX: usize = 400_000;
/// Places of tracks that an observer keeps: three cameras for more than half an hour.
const PLACES_MAX: usize = 400_000;
/// Largest packet that a client takes, bytes.
const PACKET_BYTES_MAX: u32 = 1 << 20;
/// Publications that wait for a client's connection.
const QUEUE_MAX: usize = 8_192;
/// A track that moves farther than this does not stand, meters.
const STANDS_WITHIN_M: f64 = 0.6;

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) async fn sleep_s(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// A message to be published. Presence is retained, events and votes are acknowledged, tracks are not.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<(String, String)>,
}

impl Message {
    /// A message of the swarm; `path` follows the prefix.
    pub(crate) fn new(path: &str, payload: &Value) -> Self {
        Self {
            topic: format!("{PREFIX}/{path}"),
            payload: payload.to_string().into_bytes(),
            retain: path.starts_with("status/"),
            properties: Vec::new(),
        }
    }

    fn qos(&self) -> QoS {
        if self.topic.contains("/tracks/") { QoS::AtMostOnce } else { QoS::AtLeastOnce }
    }
}

/// A connection to the broker: publishes in any name, and hands what it subscribes to to a function.
pub(crate) struct Client {
    client: AsyncClient,
    task: JoinHandle<()>,
}

impl Client {
    /// Connects; returns when the subscriptions are in force.
    pub(crate) async fn connect(
        port: u16,
        id: &str,
        filters: &[&str],
        mut receive: impl FnMut(&Publish) + Send + 'static,
    ) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(Some(PACKET_BYTES_MAX));
        let (client, mut connection) = AsyncClient::new(options, QUEUE_MAX);
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).await.unwrap();
        }
        let (subscribed, mut acks) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                match connection.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => receive(&publish),
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = subscribed.send(());
                    }
                    Ok(_) => {}
                    // The receiver of its requests goes with the task: the next publication fails.
                    Err(_) => return,
                }
            }
        });
        for _ in filters {
            timeout(crate::support::DEADLINE, acks.recv()).await.expect("a SUBACK").expect("a connection");
        }
        Self { client, task }
    }

    /// A client that only publishes.
    pub(crate) async fn publisher(port: u16, id: &str) -> Self {
        Self::connect(port, id, &[], |_| {}).await
    }

    pub(crate) async fn publish(&self, message: Message) {
        let properties = (!message.properties.is_empty()).then(|| PublishProperties {
            user_properties: message.properties.clone(),
            ..PublishProperties::default()
        });
        let (qos, retain) = (message.qos(), message.retain);
        let sent = match properties {
            Some(properties) => {
                self.client
                    .publish_with_properties(message.topic, qos, retain, message.payload, properties)
                    .await
            }
            None => self.client.publish(message.topic, qos, retain, message.payload).await,
        };
        sent.expect("the client is connected");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A made-up camera's presence: calibrated, with a footprint.
pub(crate) fn presence(camera: &str, boot_ms: u64, footprint_m: &[[f64; 2]]) -> Value {
    json!({
        "camera_id": camera, "state": "online", "version": "0.1.0", "boot": boot_ms, "timestamp": now_ms(),
        "encodings": ["json", "msgpack"], "ground": "calibrated", "footprint": footprint_m,
        "clock": { "offset_ms": 0.0, "source": "none" }, "modes": [],
    })
}

/// A footprint over the whole plaza, meters.
pub(crate) const PLAZA_M: [[f64; 2]; 4] = [[-16.0, -16.0], [16.0, -16.0], [16.0, 16.0], [-16.0, 16.0]];

/// A track message of a person at this time.
pub(crate) fn track(camera: &str, id: u32, seq: u64, at_m: [f64; 2], mps: [f64; 2], at_ms: u64) -> Value {
    json!({
        "camera_id": camera, "track_id": id, "global_position": { "x": at_m[0], "y": at_m[1], "z": 0.0 },
        "velocity": { "x": mps[0], "y": mps[1] }, "class": "person", "confidence": 0.9, "timestamp": at_ms,
        "behaviors": 0, "threat_score": 0.0, "seq": seq, "cov": [0.04, 0.0, 0.04],
    })
}

/// A vote in a camera's name on the claim with this key.
pub(crate) fn vote(camera: &str, key: &str, confirm: bool) -> Message {
    let mut parts = key.split('/');
    let initiator = parts.next().unwrap();
    let event_id: u64 = parts.next_back().and_then(|id| id.parse().ok()).unwrap();
    let confidence = if confirm { 0.99 } else { 0.0 };
    let confirming: &[&str] = if confirm { &[camera] } else { &[] };
    let payload = json!({
        "event_id": event_id, "initiating_camera": initiator, "num_confirming": confirming.len(),
        "confirming_cameras": confirming, "aggregated_confidence": confidence, "timestamp": now_ms(),
        "camera_id": camera, "key": key, "verdict": if confirm { "confirm" } else { "deny" },
        "votes": { camera: confidence },
    });
    Message::new(&format!("consensus/{event_id}"), &payload)
}

/// One message as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at_ms: u64,
    pub(crate) topic: String,
    pub(crate) value: Value,
}

impl Seen {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.value[key].as_str()
    }

    /// Key of the claim that the message is about; of the reference format, which has none, with boot 0.
    pub(crate) fn key(&self) -> Option<String> {
        if let Some(key) = self.text("key") {
            return Some(key.to_owned());
        }
        let camera = self.text("initiating_camera").or_else(|| self.text("camera_id"))?;
        Some(format!("{camera}/0/{}", self.value["event_id"].as_u64()?))
    }

    /// Keys of the claims that an outcome joins.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &str> {
        self.value["claims"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether the message is about this camera's claim with this number.
    pub(crate) fn is_about(&self, camera: &str, event_id: u64) -> bool {
        let own = self.key();
        own.as_deref().into_iter().chain(self.claims()).any(|key| is_of(key, camera, event_id))
    }
}

/// Whether a key `camera/boot/event_id` is of this camera's claim.
pub(crate) fn is_of(key: &str, camera: &str, event_id: u64) -> bool {
    key.split('/').next() == Some(camera) && key.rsplit('/').next() == Some(event_id.to_string().as_str())
}

/// The newest report of one track of an honest camera.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) at_ms: u64,
    pub(crate) at_m: [f64; 2],
    pub(crate) is_person: bool,
    /// Where it was when it last stopped, and since when it stands there.
    anchor_m: [f64; 2],
    anchor_ms: u64,
}

impl Track {
    /// How long it has stood, milliseconds.
    pub(crate) fn stood_ms(&self) -> u64 {
        self.at_ms - self.anchor_ms
    }
}

/// What an observer saw.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) events: Vec<Seen>,
    pub(crate) votes: Vec<Seen>,
    pub(crate) alerts: Vec<Seen>,
    /// The newest status of each camera that carries counters.
    pub(crate) counters: BTreeMap<String, Value>,
    /// Names of counters by which a camera reported another as muted or excluded.
    pub(crate) muted: BTreeSet<String>,
    /// The newest start of each camera of which counters were seen.
    pub(crate) boots: BTreeMap<String, u64>,
    pub(crate) footprints: BTreeMap<String, Vec<[f64; 2]>>,
    pub(crate) tracks: BTreeMap<(String, u64), Track>,
    /// Time and place of the last reports of all tracks.
    pub(crate) places: VecDeque<(u64, [f64; 2])>,
    pub(crate) track_messages: u64,
}

impl Record {
    fn take(&mut self, publish: &Publish) {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let Ok(value) = serde_json::from_slice::<Value>(&publish.payload) else { return };
        let seen = Seen { at_ms: now_ms(), topic, value };
        let family = seen.topic.strip_prefix(PREFIX).and_then(|path| path.split('/').nth(1));
        match family.unwrap_or_default() {
            "events" => keep(&mut self.events, seen),
            "consensus" => keep(&mut self.votes, seen),
            "alerts" => keep(&mut self.alerts, seen),
            "tracks" => self.track(&seen),
            "status" | "metrics" => self.status(&seen),
            _ => {}
        }
    }

    fn status(&mut self, seen: &Seen) {
        let Some(camera) = seen.text("camera_id") else { return };
        // Only real cameras count; what the clients of this harness publish has no counters.
        let Some(counters) = seen.value["counters"].as_object() else { return };
        if let Some(corners) = seen.value["footprint"].as_array() {
            let corner = |c: &Value| Some([c[0].as_f64()?, c[1].as_f64()?]);
            self.footprints.insert(camera.to_owned(), corners.iter().filter_map(corner).collect());
        }
        let muted = counters.keys().filter(|name| is_mute(name)).map(|name| format!("{camera}: {name}"));
        self.muted.extend(muted);
        self.counters.insert(camera.to_owned(), seen.value["counters"].clone());
        self.boots.extend(seen.value["boot"].as_u64().map(|boot_ms| (camera.to_owned(), boot_ms)));
    }

    fn track(&mut self, seen: &Seen) {
        self.track_messages += 1;
        let (Some(camera), Some(id)) = (seen.text("camera_id"), seen.value["track_id"].as_u64()) else {
            return;
        };
        if !crate::site::CAMERAS.contains(&camera) {
            return;
        }
        let place = &seen.value["global_position"];
        let (Some(x), Some(y)) = (place["x"].as_f64(), place["y"].as_f64()) else { return };
        if self.places.len() >= PLACES_MAX {
            self.places.pop_front();
        }
        self.places.push_back((seen.at_ms, [x, y]));
        let name = (camera.to_owned(), id);
        if seen.value["ended"].as_bool() == Some(true) {
            self.tracks.remove(&name);
            return;
        }
        let (at_ms, at_m) = (seen.at_ms, [x, y]);
        let is_person = seen.text("class") == Some("person");
        let track = self.tracks.entry(name).or_insert_with(|| Track {
            at_ms,
            at_m,
            is_person,
            anchor_m: at_m,
            anchor_ms: at_ms,
        });
        if distance(track.anchor_m, at_m) > STANDS_WITHIN_M {
            (track.anchor_m, track.anchor_ms) = (at_m, at_ms);
        }
        (track.at_ms, track.at_m, track.is_person) = (at_ms, at_m, is_person);
        let stale_ms = at_ms.saturating_sub(30_000);
        self.tracks.retain(|_, track| track.at_ms >= stale_ms);
    }

    /// Persons that an honest camera reported within the last half second.
    pub(crate) fn persons(&self) -> impl Iterator<Item = &Track> {
        let since = now_ms().saturating_sub(500);
        self.tracks.values().filter(move |track| track.at_ms >= since && track.is_person)
    }

    /// How near to a place an honest camera saw anything between these times, meters; infinite without any.
    pub(crate) fn nearest_m(&self, at_m: [f64; 2], [from, to]: [u64; 2]) -> f64 {
        let during =
            self.places.iter().rev().skip_while(|(at, _)| *at > to).take_while(|(at, _)| *at >= from);
        during.map(|(_, place_m)| distance(*place_m, at_m)).fold(f64::INFINITY, f64::min)
    }

    /// How many honest cameras have a place in their footprint.
    pub(crate) fn viewers(&self, at_m: [f64; 2]) -> usize {
        let honest =
            self.footprints.iter().filter(|(camera, _)| crate::site::CAMERAS.contains(&camera.as_str()));
        honest.filter(|(_, corners)| contains(corners, at_m)).count()
    }
}

fn keep(messages: &mut Vec<Seen>, seen: Seen) {
    assert!(messages.len() < MESSAGES_MAX, "more than {MESSAGES_MAX} messages of one family");
    messages.push(seen);
}

fn is_mute(counter: &str) -> bool {
    counter.starts_with("trust_muted_") || counter.starts_with("trust_excluded_")
}

pub(crate) fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Whether a polygon contains a point (even-odd rule).
fn contains(corners: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let next = corners.iter().cycle().skip(1);
    let crossed = corners
        .iter()
        .zip(next)
        .filter(|([ax, ay], [bx, by])| (*ay > y) != (*by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax);
    crossed.count() % 2 == 1
}

/// An observer of everything on the swarm's topics.
pub(crate) struct Wire {
    record: Arc<Mutex<Record>>,
    client: Client,
}

impl Wire {
    pub(crate) async fn observe(port: u16) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        let taken = Arc::clone(&record);
        let filter = format!("{PREFIX}/#");
        let client =
            Client::connect(port, "observer", &[&filter], move |p| taken.lock().unwrap().take(p)).await;
        Self { record, client }
    }

    /// The record so far; fails when the observer lost its connection and the record has a gap.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        assert!(!self.client.task.is_finished(), "the observer lost its connection");
        self.record.lock().unwrap()
    }

    /// Whether a camera publishes tracks and its status counts this many other cameras; a status without such a
    /// counter counts as ready.
    pub(crate) fn knows_others(&self, camera: &str, others: u64) -> bool {
        let record = self.record();
        let sees = record.tracks.keys().any(|(name, _)| name == camera);
        let knows =
            record.counters.get(camera).is_some_and(|c| c["peers"].as_u64().unwrap_or(others) >= others);
        sees && knows
    }
}
