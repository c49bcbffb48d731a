//! Forged messages on a site whose cameras sign and require signatures: unsigned, signed with a key of the attacker,
//! and copies of honest messages that are replayed. None counts for or against a camera that signs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Publish;
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::site::{CAMERAS, Site};
use crate::soak::DRAIN;
use crate::strangers::{Outcome, SETTLE_S, listener, signed, signer, timeout_at};
use crate::wire::{Client, Message, PLAZA_M, PREFIX, Seen, is_of, now_ms, presence, sleep_s, track, vote};
use crate::{attack_time, run};

/// The configuration of all cameras.
const TRUST: &str = "[trust]\nsign = true\nrequire = true";
/// The attacker's own name.
const MALLORY: &str = "a-mallory";
/// Numbers of the forged events: none that an honest camera uses in a short run.
const FORGED_FROM: u64 = 3_900_000_000;
/// A boot that is later than any real one.
const BOOT_LATEST_MS: u64 = 9_999_999_999_999;
/// A copy is sent again this long after the original, and so many are kept.
const REPLAY_AFTER_MS: u64 = 4_000;
const COPIES_MAX: usize = 4_096;
/// Signatures that the replayer remembers, so that it does not copy its copies.
const SIGNATURES_MAX: usize = 200_000;
/// Copies that are sent again per second.
const REPLAYS_PER_S: usize = 50;
/// Impossible tracks in each honest name: more than the camera itself publishes.
const TRACKS: u32 = 20;
/// Places of the impossible tracks, meters: 50 m jumps.
const JUMP_M: [[f64; 2]; 2] = [[-25.0, 0.0], [25.0, 0.0]];

struct Campaign {
    baseline: Outcome,
    attacked: Outcome,
    /// Forged events that were logged, published or alerted as confirmed.
    confirmed: Vec<String>,
    /// Log lines by which a camera gave up an honest one, in the time of the attack.
    lost: Vec<String>,
    /// Honest cameras that each camera counts at the end.
    peers: Vec<u64>,
    sent: u64,
}

static CAMPAIGN: OnceLock<Option<Campaign>> = OnceLock::new();

fn campaign() -> Option<&'static Campaign> {
    let measured = || run(measure()).inspect(Campaign::print);
    CAMPAIGN.get_or_init(measured).as_ref()
}

async fn measure() -> Campaign {
    let (baseline, site) = tokio::join!(Site::start("signed", TRUST), Site::start("forged", TRUST));
    let until = Instant::now() + Duration::from_secs_f64(SETTLE_S) + attack_time() + DRAIN;
    let measured = async {
        sleep_s(SETTLE_S).await;
        let from = now_ms();
        tokio::time::sleep(attack_time()).await;
        let between = [from, now_ms()];
        tokio::time::sleep(DRAIN).await;
        between
    };
    let lost = |site: &Site| {
        let honest = |line: &String| CAMERAS.iter().any(|camera| line.contains(&format!("peer={camera} ")));
        let lines = site.log_lines(&[" peer "]).into_iter().chain(site.log_lines(&[" trust "]));
        let gone =
            |line: &String| ["Lost", "Restarted", "Muted", "Excluded"].iter().any(|w| line.contains(w));
        lines.filter(honest).filter(gone).collect::<Vec<_>>()
    };
    let before = lost(&site).len();
    let (between, votes, lies, replays) =
        tokio::join!(measured, forge_votes(site.port, until), lie(&site, until), replay(site.port, until));
    let campaign = Campaign {
        baseline: Outcome::of(&baseline, between),
        attacked: Outcome::of(&site, between),
        confirmed: confirmed(&site),
        lost: lost(&site).split_off(before),
        peers: peers(&site),
        sent: votes + lies + replays,
    };
    tokio::join!(baseline.stop(), site.stop());
    campaign
}

/// Forged keys that a camera logged as confirmed, or of which an alert was published.
fn confirmed(site: &Site) -> Vec<String> {
    let logged = site.outcomes().into_iter().filter(|t| t.state == "confirmed").map(|t| t.key);
    let record = site.wire.record();
    let alerts = record.alerts.iter().filter_map(Seen::key);
    let outcomes =
        record.votes.iter().filter(|m| m.text("outcome") == Some("confirmed")).filter_map(Seen::key);
    let mut keys: Vec<String> = logged.chain(alerts).chain(outcomes).filter(|key| is_forged(key)).collect();
    keys.sort();
    keys.dedup();
    keys
}

fn is_forged(key: &str) -> bool {
    key.rsplit('/').next().and_then(|id| id.parse().ok()).is_some_and(|id: u64| id >= FORGED_FROM)
        || key.starts_with(MALLORY)
}

fn peers(site: &Site) -> Vec<u64> {
    let record = site.wire.record();
    let others = CAMERAS.len() as u64 - 1;
    CAMERAS.iter().map(|camera| record.counters[*camera]["peers"].as_u64().unwrap_or(others)).collect()
}

/// Denies each honest event in the names of all cameras, unsigned and signed with a foreign key.
async fn forge_votes(port: u16, until: Instant) -> u64 {
    let (client, mut claims) = listener(port, "forged-votes").await;
    let (_, key) = signer(MALLORY);
    let mut sent = 0;
    loop {
        let mut claim = None;
        if !timeout_at(until, async { claim = claims.recv().await }).await {
            return sent;
        }
        let claim = claim.expect("the client runs");
        for camera in CAMERAS.into_iter().chain([MALLORY]) {
            for forged in [vote(camera, &claim, false), signed(vote(camera, &claim, false), &key)] {
                client.publish(forged).await;
                sent += 1;
            }
        }
    }
}

/// Once a second: forged events with votes for them, presence from the future, a goodbye, and the attacker's own
/// presence; ten times a second: impossible tracks in honest names.
async fn lie(site: &Site, until: Instant) -> u64 {
    let client = Client::publisher(site.port, "liar").await;
    let (_, key) = signer(MALLORY);
    let boots = honest_boots(site);
    let mut sent = 0;
    let mut every = interval(Duration::from_millis(100));
    for tick in 0_u64.. {
        if !timeout_at(until, every.tick()).await {
            break;
        }
        let mut lies = Vec::new();
        for camera in CAMERAS {
            let at_m = JUMP_M[(tick % 2) as usize];
            for id in 1..=TRACKS {
                let report = track(camera, id, tick + 1, at_m, [0.0, 0.0], now_ms());
                lies.push(Message::new(&format!("tracks/{camera}/{id}"), &report));
            }
        }
        if tick % 10 == 0 {
            let person = site.wire.record().persons().next().map(|track| track.at_m);
            for (n, camera) in CAMERAS.into_iter().chain([MALLORY]).enumerate() {
                let boot_ms = boots.get(n).copied().unwrap_or(1_700_000_000_000);
                let number = FORGED_FROM + tick * 10 + n as u64;
                // Alternately where a person is and where none is; `occurred` and `confirmed`.
                let at_m = person.filter(|_| tick % 20 == 0).unwrap_or([-9.5, -6.0]);
                let state = if tick % 40 < 20 { "occurred" } else { "confirmed" };
                lies.push(event(camera, boot_ms, number, at_m, state));
                let claim = format!("{camera}/{boot_ms}/{number}");
                lies.extend(CAMERAS.map(|voter| vote(voter, &claim, true)));
                lies.extend(both_presences(camera));
            }
        }
        for message in lies {
            // Most tracks are forged unsigned only: a signature costs as much as its check.
            if !message.topic.contains("/tracks/") || tick % 10 == 0 {
                client.publish(signed(message.clone(), &key)).await;
                sent += 1;
            }
            client.publish(message).await;
            sent += 1;
        }
    }
    // The forged presence does not stay on the broker.
    for camera in CAMERAS.into_iter().chain([MALLORY]) {
        let mut empty = Message::new(&format!("status/{camera}"), &Value::Null);
        empty.payload.clear();
        client.publish(empty).await;
    }
    sent
}

/// The boots of the honest cameras, as their presence states them.
fn honest_boots(site: &Site) -> Vec<u64> {
    let record = site.wire.record();
    let boots = CAMERAS.iter().map(|camera| record.boots.get(*camera).copied().unwrap_or_default());
    boots.collect()
}

fn event(camera: &str, boot_ms: u64, number: u64, at_m: [f64; 2], state: &str) -> Message {
    let at_ms = now_ms();
    let payload = json!({
        "camera_id": camera, "event_id": number, "event_type": 5, "position": { "x": at_m[0], "y": at_m[1], "z": 0.0 },
        "track_id": 1, "probability": 1.0, "severity": 4, "predicted_time": at_ms, "timestamp": at_ms,
        "key": format!("{camera}/{boot_ms}/{number}"), "state": state, "zone": "dock", "tracks": [1],
    });
    Message::new(&format!("events/{camera}/{number}"), &payload)
}

/// An honest camera from the future, retained and not, and its goodbye.
fn both_presences(camera: &str) -> [Message; 3] {
    let topic = format!("status/{camera}");
    let online = Message::new(&topic, &presence(camera, BOOT_LATEST_MS, &PLAZA_M));
    let now = Message { retain: false, ..online.clone() };
    let offline = json!({
        "camera_id": camera, "state": "offline", "version": "0.1.0", "boot": BOOT_LATEST_MS, "timestamp": now_ms(),
    });
    [online, now, Message::new(&topic, &offline)]
}

/// Sends honest messages again, with their signatures, some seconds later.
async fn replay(port: u16, until: Instant) -> u64 {
    let copies = Arc::new(Mutex::new(VecDeque::<(u64, Message)>::new()));
    let kept = Arc::clone(&copies);
    let mut signatures = BTreeSet::new();
    let keep = move |publish: &Publish| {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let properties = publish.properties.as_ref().map(|p| p.user_properties.clone()).unwrap_or_default();
        let mut kept = kept.lock().unwrap();
        // An unsigned message is forged, or a track; one with a known signature is a copy already.
        let is_new = properties.first().is_some_and(|(_, value)| signatures.insert(value.clone()));
        if !is_new || kept.len() >= COPIES_MAX || signatures.len() >= SIGNATURES_MAX {
            return;
        }
        let retain = topic.contains("/status/");
        kept.push_back((now_ms(), Message { topic, payload: publish.payload.to_vec(), retain, properties }));
    };
    let filters =
        ["events/+/+", "consensus/+", "status/+", "tracks/+/+"].map(|path| format!("{PREFIX}/{path}"));
    let client = Client::connect(port, "replayer", &filters.each_ref().map(String::as_str), keep).await;
    let mut sent = 0;
    let mut every = interval(Duration::from_secs(1));
    while timeout_at(until, every.tick()).await {
        let due = now_ms() - REPLAY_AFTER_MS;
        let old: Vec<Message> = {
            let mut copies = copies.lock().unwrap();
            let count = copies.iter().take(REPLAYS_PER_S).take_while(|(at_ms, _)| *at_ms <= due).count();
            copies.drain(..count).map(|(_, message)| message).collect()
        };
        for message in old {
            client.publish(message).await;
            sent += 1;
        }
    }
    sent
}

impl Campaign {
    fn print(&self) {
        self.attacked
            .row("forged, require", &self.baseline)
            .with("forged messages", self.sent)
            .with("forged events confirmed", self.confirmed.len())
            .with("honest cameras taken out", self.lost.len())
            .with("peers at the end", json!(self.peers))
            .print();
    }
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn no_forged_event_is_an_alarm() {
    let Some(campaign) = campaign() else { return };
    assert_eq!(campaign.confirmed, Vec::<String>::new());
    assert!(campaign.attacked.foreign.is_empty(), "{:?}", campaign.attacked.foreign);
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn forged_votes_do_not_change_the_alarms() {
    let Some(campaign) = campaign() else { return };
    campaign.attacked.assert_alarms_of(&campaign.baseline);
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn no_forged_message_takes_an_honest_camera_out() {
    let Some(campaign) = campaign() else { return };
    assert_eq!(campaign.lost, Vec::<String>::new());
    assert_eq!(campaign.peers, [2, 2, 2]);
}

#[test]
fn a_forged_key_is_known_by_its_number_or_its_name() {
    assert!(
        is_forged(&format!("cam0/1/{FORGED_FROM}")) && is_forged("a-mallory/1/1") && !is_forged("cam0/1/12")
    );
    assert!(is_of("cam0/1/12", "cam0", 12) && !is_of("cam0/1/112", "cam0", 12));
}
