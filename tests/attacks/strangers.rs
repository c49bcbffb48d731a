//! Strangers on the broker of three honest cameras: silent ones, silent ones that sign, and 300 that deny everything. The alarms
//! stay within 10 % of those of a baseline that runs beside them.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use omnisight::model::CameraId;
use omnisight::swarm::trust::signature::{PROPERTY, Signer};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};

use crate::site::Site;
use crate::soak::{DRAIN, Soak};
use crate::table::Row;
use crate::wire::{Client, Message, PLAZA_M, PREFIX, now_ms, presence, sleep_s, track, vote};
use crate::{attack_time, run, tally};

/// Alarms may differ from the baseline by this part ...
const WITHIN: f64 = 0.1;
/// ... and in a short run by this number: two honest sites had 19 and 16 alarms in 60 s, 30 and 33 in 120 s, 36 and 33 in
/// 150 s (`two_honest_sites_have_the_same_alarms`), since the frames of their cameras fall at different times.
const NOISE: f64 = 4.0;
/// The strangers are there for this long before anything is measured.
pub(crate) const SETTLE_S: f64 = 6.0;
/// A camera repeats its presence.
const PRESENCE_EVERY_S: u64 = 10;
const TALKERS: usize = 300;
/// New names of the one sender, per second and in all.
const NAMES_PER_S: usize = 10;
const NAMES_MAX: usize = 3_000;
/// Events that wait for the votes of the talkers.
const QUEUE_MAX: usize = 1_024;

/// The four sites over one stretch of time.
pub(crate) struct Campaign {
    pub(crate) baseline: Outcome,
    silent: Outcome,
    signed: Outcome,
    talkers: Outcome,
}

/// What became of a site.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Keys of the honest cameras that a camera logged as confirmed.
    pub(crate) alarms: BTreeSet<String>,
    /// Keys of strangers that were confirmed in a log, an outcome or an alert.
    pub(crate) foreign: BTreeSet<String>,
    pub(crate) muted: BTreeSet<String>,
    pub(crate) soak: Soak,
}

impl Outcome {
    pub(crate) fn of(site: &Site, between: [u64; 2]) -> Self {
        let logged = site.outcomes();
        let soak = Soak::of(site, between);
        let record = site.wire.record();
        Self {
            alarms: tally::alarms(&logged, between),
            foreign: tally::foreign_alarms(&record, &logged),
            muted: record.muted.clone(),
            soak,
        }
    }

    /// How many alarms there are beside a baseline.
    pub(crate) fn row(&self, scenario: &str, baseline: &Self) -> Row {
        let differences: usize = self.soak.agreements.iter().map(|(_, a)| a.differences()).sum();
        Row::new(scenario)
            .with("seconds", self.soak.seconds)
            .with("alarms of the baseline", baseline.alarms.len())
            .with("alarms", self.alarms.len())
            .with("foreign alarms", self.foreign.len())
            .with("honest cameras muted", self.honest_muted().count())
            .with("outcomes that differ", differences)
    }

    /// The honest cameras that were muted by others.
    pub(crate) fn honest_muted(&self) -> impl Iterator<Item = &String> {
        self.muted
            .iter()
            .filter(|name| crate::site::CAMERAS.iter().any(|camera| name.ends_with(&format!("_{camera}"))))
    }

    /// Fails when the alarms are not those of the baseline, within the limits.
    pub(crate) fn assert_alarms_of(&self, baseline: &Self) {
        let (base, alarms) = (baseline.alarms.len() as f64, self.alarms.len() as f64);
        assert!(base > 0.0, "the baseline has no alarm");
        let within = (WITHIN * base).max(NOISE);
        assert!((alarms - base).abs() <= within, "{alarms} alarms, {base} without strangers");
        assert_eq!(self.honest_muted().next(), None, "an honest camera was muted");
    }
}

static CAMPAIGN: OnceLock<Option<Campaign>> = OnceLock::new();

/// All four sites at the same time; measured once for all tests. None without mosquitto.
pub(crate) fn campaign() -> Option<&'static Campaign> {
    CAMPAIGN.get_or_init(|| run(measure())).as_ref()
}

async fn measure() -> Campaign {
    let [baseline, silent, signed, talkers] = tokio::join!(
        Site::start("baseline", ""),
        Site::start("silent", ""),
        Site::start("signed-silent", "[trust]\nsign = true"),
        Site::start("talkers", ""),
    )
    .into();
    let time = Duration::from_secs_f64(SETTLE_S) + attack_time() + DRAIN;
    let until = Instant::now() + time;
    let measured = async {
        sleep_s(SETTLE_S).await;
        let from = now_ms();
        tokio::time::sleep(attack_time()).await;
        let between = [from, now_ms()];
        tokio::time::sleep(DRAIN).await;
        between
    };
    let (between, ..) = tokio::join!(
        measured,
        be_silent(silent.port, until),
        be_silent_and_sign(signed.port, until),
        talk(talkers.port, until),
        use_many_names(talkers.port, until),
    );
    let campaign = Campaign {
        baseline: Outcome::of(&baseline, between),
        silent: Outcome::of(&silent, between),
        signed: Outcome::of(&signed, between),
        talkers: Outcome::of(&talkers, between),
    };
    tokio::join!(baseline.stop(), silent.stop(), signed.stop(), talkers.stop());
    campaign
}

/// Two cameras that send nothing but presence.
async fn be_silent(port: u16, until: Instant) {
    let (client, boot_ms) = (Client::publisher(port, "silent").await, now_ms());
    let mut every = interval(Duration::from_secs(PRESENCE_EVERY_S));
    while timeout_at(until, every.tick()).await {
        for camera in ["a-silent-0", "a-silent-1"] {
            let status = presence(camera, boot_ms, &PLAZA_M);
            client.publish(Message::new(&format!("status/{camera}"), &status)).await;
        }
    }
}

/// Six that introduce a key of their own, sign their presence, and send nothing else.
async fn be_silent_and_sign(port: u16, until: Instant) {
    let (client, boot_ms) = (Client::publisher(port, "signed-silent").await, now_ms());
    let signers: Vec<(String, Signer)> = (0..6).map(|n| signer(&format!("a-signed-{n}"))).collect();
    let mut every = interval(Duration::from_secs(PRESENCE_EVERY_S));
    while timeout_at(until, every.tick()).await {
        for (camera, signer) in &signers {
            let mut status = presence(camera, boot_ms, &PLAZA_M);
            status["public_key"] = json!(signer.announcement());
            client.publish(signed(Message::new(&format!("status/{camera}"), &status), signer)).await;
        }
    }
}

/// A camera's name with a new key.
pub(crate) fn signer(camera: &str) -> (String, Signer) {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    (camera.to_owned(), Signer::new(&CameraId::parse(camera).unwrap(), key.as_ref(), None).unwrap())
}

/// The message with a signature of now.
pub(crate) fn signed(mut message: Message, signer: &Signer) -> Message {
    let value = signer.sign(&message.topic, now_ms(), &message.payload);
    message.properties = vec![(PROPERTY.to_owned(), value)];
    message
}

/// Cameras whose names sort before the honest ones: presence, tracks at made-up places, and a denial of every event.
async fn talk(port: u16, until: Instant) {
    let (client, mut claims) = listener(port, "talkers").await;
    let boot_ms = now_ms();
    let names: Vec<String> = (0..TALKERS).map(|n| format!("a-{n:03}")).collect();
    let mut rng = Pcg64Mcg::seed_from_u64(300);
    let mut places: Vec<[f64; 2]> = names.iter().map(|_| anywhere(&mut rng)).collect();
    let mut every = interval(Duration::from_secs(1));
    for round in 0.. {
        if !timeout_at(until, every.tick()).await {
            return;
        }
        for (n, camera) in names.iter().enumerate() {
            if round == 0 || (round + n as u64).is_multiple_of(PRESENCE_EVERY_S) {
                let status = presence(camera, boot_ms, &PLAZA_M);
                client.publish(Message::new(&format!("status/{camera}"), &status)).await;
            }
            // A person that stands somewhere; every 20 s another one.
            let person = round / 20;
            if round % 20 == 0 {
                places[n] = anywhere(&mut rng);
            }
            let report = track(camera, person as u32 + 1, round + 1, places[n], [0.0, 0.0], now_ms());
            client.publish(Message::new(&format!("tracks/{camera}/{}", person + 1), &report)).await;
        }
        while let Ok(key) = claims.try_recv() {
            for camera in &names {
                client.publish(vote(camera, &key, false)).await;
            }
        }
    }
}

/// One sender that introduces new cameras all the time; each denies what was claimed last.
async fn use_many_names(port: u16, until: Instant) {
    let (client, mut claims) = listener(port, "many-names").await;
    let (mut last, mut rng) = (None, Pcg64Mcg::seed_from_u64(1));
    let mut every = interval(Duration::from_secs(1));
    for first in (0..NAMES_MAX).step_by(NAMES_PER_S) {
        if !timeout_at(until, every.tick()).await {
            return;
        }
        while let Ok(key) = claims.try_recv() {
            last = Some(key);
        }
        for camera in (first..first + NAMES_PER_S).map(|n| format!("a-name-{n:04}")) {
            let status = presence(&camera, now_ms(), &PLAZA_M);
            client.publish(Message::new(&format!("status/{camera}"), &status)).await;
            let report = track(&camera, 1, 1, anywhere(&mut rng), [0.0, 0.0], now_ms());
            client.publish(Message::new(&format!("tracks/{camera}/1"), &report)).await;
            if let Some(key) = &last {
                client.publish(vote(&camera, key, false)).await;
            }
        }
    }
}

/// A client, and the key of each claim of an honest camera once.
pub(crate) async fn listener(port: u16, id: &str) -> (Client, mpsc::Receiver<String>) {
    let (found, claims) = mpsc::channel(QUEUE_MAX);
    let mut known = BTreeSet::new();
    let client = Client::connect(port, id, &[&format!("{PREFIX}/events/+/+")], move |publish| {
        let value: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
        let key = value["key"].as_str().filter(|key| tally::is_honest(key));
        if let Some(key) = key
            && known.insert(key.to_owned())
        {
            // A full queue loses votes of attackers, which are many.
            let _ = found.try_send(key.to_owned());
        }
    })
    .await;
    (client, claims)
}

fn anywhere(rng: &mut Pcg64Mcg) -> [f64; 2] {
    [rng.random_range(-10.0..10.0), rng.random_range(-6.0..8.0)]
}

/// Waits, and returns whether that ended in time.
pub(crate) async fn timeout_at<F: Future>(until: Instant, wait: F) -> bool {
    timeout(until.saturating_duration_since(Instant::now()), wait).await.is_ok()
}

#[test]
#[ignore = "measures the noise of the comparisons: how far two honest sites differ"]
fn two_honest_sites_have_the_same_alarms() {
    run(async {
        let (one, other) = tokio::join!(Site::start("honest", ""), Site::start("honest-too", ""));
        sleep_s(SETTLE_S).await;
        let from = now_ms();
        tokio::time::sleep(attack_time()).await;
        let between = [from, now_ms()];
        tokio::time::sleep(DRAIN).await;
        let (base, outcome) = (Outcome::of(&one, between), Outcome::of(&other, between));
        outcome.row("two honest sites", &base).print();
        tokio::join!(one.stop(), other.stop());
        outcome.assert_alarms_of(&base);
    });
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn two_cameras_that_only_send_presence_do_not_change_the_alarms() {
    let Some(Campaign { baseline, silent, .. }) = campaign() else { return };
    silent.row("two silent", baseline).print();
    silent.assert_alarms_of(baseline);
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn six_cameras_that_sign_and_only_send_presence_do_not_change_the_alarms() {
    let Some(Campaign { baseline, signed, .. }) = campaign() else { return };
    signed.row("six signed, silent", baseline).print();
    signed.assert_alarms_of(baseline);
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn three_hundred_cameras_that_deny_everything_do_not_change_the_alarms() {
    let Some(Campaign { baseline, talkers, .. }) = campaign() else { return };
    talkers.row("300 talkers", baseline).print();
    talkers.assert_alarms_of(baseline);
    assert_eq!(talkers.foreign, BTreeSet::new(), "false alarms");
}
