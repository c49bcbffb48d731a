//! Claims of others: a camera of the reference client, which sends no presence and no `state` or `key`, and a
//! made-up camera that predicts what does not happen. Presence of a person is not evidence for every claim.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

use crate::site::{DOCK_M, Site};
use crate::table::Row;
use crate::wire::{Client, Message, Record, Seen, distance, is_of, now_ms, presence, sleep_s};
use crate::{attack_time, run};

/// An outcome is on the wire within this time: 3 s, and what a busy machine adds.
const OUTCOME_WITHIN_MS: u64 = 3_500;
/// Between two claims; the outcomes of the last ones are waited for.
const CLAIM_EVERY_S: f64 = 1.0;
const DRAIN_S: f64 = 8.0;
/// A place is empty when no track is nearer, and an event stays one of an empty place when none comes nearer, meters.
const EMPTY_M: f64 = 3.5;
const STAYS_EMPTY_M: f64 = 2.2;
/// Around the time of a claim a place must be empty for this long before and after.
const AROUND_MS: u64 = 1_500;
/// A person stands when it has not moved for this long, and is alone when no other is nearer.
const STANDS_MS: u64 = 5_000;
const ALONE_M: f64 = 6.0;
/// The same place is not used again for the same kind of claim within this time and distance.
const AGAIN_AFTER_MS: u64 = 20_000;
const AGAIN_M: f64 = 5.0;
/// Claims of one name: fewer than those after which a camera that is denied is excluded.
const CLAIMS_PER_NAME: usize = 2;
/// A prediction looks this far ahead, and is judged this long after the expected time.
const AHEAD_MS: u64 = 3_000;
const JUDGED_AFTER_MS: u64 = 9_000;
/// A prediction begins every this many seconds.
const PREDICT_EVERY_S: f64 = 4.0;
const PREDICTIONS_MIN: u64 = 7;

const LOITERING: u64 = 1;
const ASSAULT: u64 = 3;
const TRESPASSING: u64 = 5;
const COLLISION: u64 = 7;
const FALL: u64 = 8;
const CROWD: u64 = 10;

/// What a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// A person that stands there and may loiter, or stands in the forbidden zone.
    Standing,
    /// A place where there is nothing.
    Empty,
    /// A person, of whom the claim does not hold or can't be judged.
    NoRule,
}

#[derive(Debug, Clone)]
struct Claim {
    about: About,
    kind: u64,
    camera: String,
    event_id: u64,
    at_m: [f64; 2],
    at_ms: u64,
}

impl Claim {
    /// As the reference client writes it.
    fn message(&self) -> Message {
        let payload = json!({
            "camera_id": self.camera, "event_id": self.event_id, "event_type": self.kind,
            "position": { "x": self.at_m[0], "y": self.at_m[1], "z": 0.0 }, "track_id": self.event_id,
            "probability": 0.81, "severity": 3, "predicted_time": self.at_ms, "timestamp": self.at_ms,
        });
        Message::new(&format!("events/{}/{}", self.camera, self.event_id), &payload)
    }

    /// When an outcome of it, or an alert about it, was first on the wire.
    fn outcome_ms(&self, record: &Record) -> Option<u64> {
        let outcomes = record.votes.iter().filter(|m| m.text("outcome").is_some());
        let settled = record.events.iter().filter(|m| m.claims().next().is_some());
        let messages = outcomes.chain(settled).chain(&record.alerts);
        messages.filter(|m| m.is_about(&self.camera, self.event_id)).map(|m| m.at_ms).min()
    }

    fn is_confirmed(&self, site: &Site) -> bool {
        let is_own = |key: &str| is_of(key, &self.camera, self.event_id);
        let is_logged = site.outcomes().iter().any(|line| line.state == "confirmed" && is_own(&line.key));
        let record = site.wire.record();
        let voted =
            |m: &Seen| m.text("outcome") == Some("confirmed") && m.key().is_some_and(|key| is_own(&key));
        is_logged || record.votes.iter().any(voted)
    }
}

#[derive(Debug)]
struct Measured {
    claim: Claim,
    outcome_after_ms: Option<u64>,
    confirmed: bool,
}

/// Raises claims of all kinds in turn for the time of an attack, where there is occasion for them.
async fn raise(site: &Site) -> Vec<Claim> {
    let client = Client::publisher(site.port, "reference").await;
    let kinds = [
        (About::Standing, LOITERING),
        (About::NoRule, ASSAULT),
        (About::Empty, LOITERING),
        (About::Standing, TRESPASSING),
        (About::NoRule, FALL),
        (About::Empty, TRESPASSING),
        (About::Standing, LOITERING),
        (About::NoRule, TRESPASSING),
        (About::NoRule, CROWD),
    ];
    let mut claims: Vec<Claim> = Vec::new();
    let rounds = (attack_time().as_secs_f64() / CLAIM_EVERY_S) as usize;
    for round in 0..rounds {
        // The first kind, in turn, for which there is a place.
        let occasion = (0..kinds.len())
            .map(|n| kinds[(round + n) % kinds.len()])
            .find_map(|(about, kind)| Some((about, kind, place(&site.wire.record(), about, kind, &claims)?)));
        if let Some((about, kind, at_m)) = occasion {
            let of_kind = claims.iter().filter(|claim| claim.about == about).count();
            let camera = match about {
                About::Standing => "ref-standing".to_owned(),
                About::Empty => format!("ref-empty-{}", of_kind / CLAIMS_PER_NAME),
                About::NoRule => format!("ref-norule-{}", of_kind / CLAIMS_PER_NAME),
            };
            let event_id = claims.len() as u64 + 1;
            let claim = Claim { about, kind, camera, event_id, at_m, at_ms: now_ms() };
            client.publish(claim.message()).await;
            claims.push(claim);
        }
        sleep_s(CLAIM_EVERY_S).await;
    }
    sleep_s(DRAIN_S).await;
    claims
}

/// A place for a claim that was not used for one of its kind of late.
fn place(record: &Record, about: About, kind: u64, claims: &[Claim]) -> Option<[f64; 2]> {
    let now = now_ms();
    let is_fresh = |at_m: &[f64; 2]| {
        let used = |c: &Claim| {
            c.kind == kind
                && now.saturating_sub(c.at_ms) < AGAIN_AFTER_MS
                && distance(c.at_m, *at_m) < AGAIN_M
        };
        !claims.iter().any(used)
    };
    let standing = || record.persons().filter(|track| track.stood_ms() >= STANDS_MS).map(|track| track.at_m);
    match (about, kind) {
        (About::Standing, TRESPASSING) => {
            record.persons().map(|track| track.at_m).filter(|at_m| in_dock(*at_m) > 0.3).find(is_fresh)
        }
        (About::Empty, TRESPASSING) => {
            let middle = [0, 1].map(|axis| f64::midpoint(DOCK_M[0][axis], DOCK_M[1][axis]));
            Some(middle).filter(|at_m| is_fresh(at_m) && is_empty(record, *at_m))
        }
        (About::Empty, _) => empty_place(record).filter(is_fresh),
        (About::NoRule, TRESPASSING) => standing().filter(|at_m| in_dock(*at_m) < -3.0).find(is_fresh),
        (About::NoRule, CROWD) => standing().filter(|at_m| is_alone(record, *at_m)).find(is_fresh),
        (About::Standing | About::NoRule, _) => standing().find(is_fresh),
    }
}

/// How far inside of the forbidden zone a place lies, meters; negative outside.
fn in_dock([x, y]: [f64; 2]) -> f64 {
    let [[x0, y0], [x1, y1]] = DOCK_M;
    let inside = (x - x0).min(x1 - x).min(y - y0).min(y1 - y);
    let apart = (x0 - x).max(x - x1).max(0.0).hypot((y0 - y).max(y - y1).max(0.0));
    if apart > 0.0 { -apart } else { inside }
}

/// Whether the persons around a place are one: several cameras report the same within 1.5 m.
fn is_alone(record: &Record, at_m: [f64; 2]) -> bool {
    let apart = record.persons().map(|track| distance(track.at_m, at_m));
    !apart.into_iter().any(|apart_m| (1.5..ALONE_M).contains(&apart_m))
}

fn is_empty(record: &Record, at_m: [f64; 2]) -> bool {
    let now = now_ms();
    record.viewers(at_m) >= 2 && record.nearest_m(at_m, [now - AROUND_MS, now]) > EMPTY_M
}

/// The emptiest of some places on the plaza that at least two cameras see, if nothing is there.
fn empty_place(record: &Record) -> Option<[f64; 2]> {
    let now = now_ms();
    let mut rng = Pcg64Mcg::seed_from_u64(now);
    let places = (0..60).map(|_| [rng.random_range(-10.0..10.0), rng.random_range(-6.0..9.0)]);
    let seen = places.filter(|at_m| record.viewers(*at_m) >= 2);
    let apart = seen.map(|at_m| (record.nearest_m(at_m, [now - AROUND_MS, now]), at_m));
    apart.filter(|(apart_m, _)| *apart_m > EMPTY_M).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at_m)| at_m)
}

/// What became of the claims; without those at empty places that something came to.
fn measured(site: &Site, claims: Vec<Claim>) -> Vec<Measured> {
    let stays = |claim: &Claim| {
        let around = [claim.at_ms - AROUND_MS, claim.at_ms + AROUND_MS];
        claim.about != About::Empty || site.wire.record().nearest_m(claim.at_m, around) > STAYS_EMPTY_M
    };
    let measured = claims.into_iter().filter(stays).map(|claim| {
        let outcome_ms = claim.outcome_ms(&site.wire.record());
        Measured {
            outcome_after_ms: outcome_ms.map(|at_ms| at_ms.saturating_sub(claim.at_ms)),
            confirmed: claim.is_confirmed(site),
            claim,
        }
    });
    measured.collect()
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn a_claim_of_the_reference_client_gets_an_outcome_in_time_and_is_confirmed_only_by_a_rule() {
    run(async {
        let site = Site::start("reference", "").await;
        let claims = raise(&site).await;
        let measured = measured(&site, claims);
        let of = |about: About| measured.iter().filter(move |m| m.claim.about == about);
        let confirmed = |about: About| of(about).filter(|m| m.confirmed).count();
        let without: Vec<&Measured> = measured.iter().filter(|m| m.outcome_after_ms.is_none()).collect();
        let mut delays: Vec<u64> = measured.iter().filter_map(|m| m.outcome_after_ms).collect();
        delays.sort_unstable();
        let part = |part: f64| delays.get((delays.len() as f64 * part) as usize).or(delays.last()).copied();
        let late = delays.iter().filter(|ms| **ms > OUTCOME_WITHIN_MS).count();
        Row::new("reference client")
            .with("claims", measured.len())
            .with("no outcome", without.len())
            .with("outcome after 3.5 s", late)
            .with("median ms", part(0.5))
            .with("95 % ms", part(0.95))
            .with("slowest ms", delays.last().copied())
            .with("standing: claims", of(About::Standing).count())
            .with("standing: confirmed", confirmed(About::Standing))
            .with("empty: claims", of(About::Empty).count())
            .with("empty: confirmed", confirmed(About::Empty))
            .with("no rule: claims", of(About::NoRule).count())
            .with("no rule: confirmed", confirmed(About::NoRule))
            .print();
        site.stop().await;
        let false_alarms: Vec<&Measured> =
            measured.iter().filter(|m| m.claim.about != About::Standing && m.confirmed).collect();
        assert!(false_alarms.is_empty(), "confirmed without evidence: {false_alarms:#?}");
        assert!(!delays.is_empty() && without.is_empty(), "no outcome: {without:#?}");
        assert_eq!(late, 0, "outcomes later than {OUTCOME_WITHIN_MS} ms: {delays:?}");
    });
}

/// What became of one prediction. Its camera sees only the place around it, so that the cameras of the other
/// predictions, which do not vote, have no part in it.
#[derive(Debug)]
#[allow(dead_code, reason = "the messages of assertions show them")]
struct Prediction {
    key: String,
    kind: u64,
    confirmed: bool,
    /// When it was denied or ended, after the expected time, milliseconds.
    denied_after_ms: Option<i64>,
}

async fn predict(site: &Site, n: u64, kind: u64, at_m: [f64; 2]) -> Option<Prediction> {
    let camera = format!("a-seer-{n}");
    let client = Client::publisher(site.port, &camera).await;
    let (boot_ms, at_ms) = (now_ms(), now_ms());
    let [x, y] = at_m;
    let around_m = [[x - 2.0, y - 2.0], [x + 2.0, y - 2.0], [x + 2.0, y + 2.0], [x - 2.0, y + 2.0]];
    client.publish(Message::new(&format!("status/{camera}"), &presence(&camera, boot_ms, &around_m))).await;
    sleep_s(0.5).await;
    let (key, expected_ms) = (format!("{camera}/{boot_ms}/1"), at_ms + 500 + AHEAD_MS);
    let payload = json!({
        "camera_id": camera, "event_id": 1, "event_type": kind, "position": { "x": at_m[0], "y": at_m[1], "z": 0.0 },
        "track_id": 1, "probability": 0.9, "severity": 3, "predicted_time": expected_ms, "timestamp": now_ms(),
        "key": key, "state": "predicted", "tracks": [1],
    });
    client.publish(Message::new(&format!("events/{camera}/1"), &payload)).await;
    tokio::time::sleep(Duration::from_millis(AHEAD_MS + JUDGED_AFTER_MS)).await;
    let mut gone = presence(&camera, boot_ms, &around_m);
    gone["state"] = json!("offline");
    client.publish(Message::new(&format!("status/{camera}"), &gone)).await;
    // The client goes with this function, and its queue with it.
    sleep_s(0.3).await;

    let record = site.wire.record();
    if record.nearest_m(at_m, [expected_ms - AROUND_MS, expected_ms + 2 * AROUND_MS]) <= STAYS_EMPTY_M {
        return None;
    }
    let ends = |state: Option<&str>| matches!(state, Some("retracted" | "expired"));
    let is_denial = |m: &&Seen| m.text("verdict") == Some("deny") || ends(m.text("outcome"));
    let votes = record.votes.iter().filter(|m| m.is_about(&camera, 1)).filter(is_denial).map(|m| m.at_ms);
    let lines = site.outcomes().into_iter().filter(|line| line.key == key);
    let (confirmed, rest): (Vec<_>, Vec<_>) = lines.partition(|t| t.state == "confirmed");
    let logged = rest.iter().filter(|t| ends(Some(&t.state))).map(|t| t.at_ms);
    let denied_ms = votes.chain(logged).filter(|at_ms| *at_ms >= expected_ms).min();
    let published =
        record.votes.iter().any(|m| m.key().as_ref() == Some(&key) && m.text("outcome") == Some("confirmed"));
    let denied_after_ms = denied_ms.map(|at_ms| at_ms.cast_signed() - expected_ms.cast_signed());
    Some(Prediction { key, kind, confirmed: published || !confirmed.is_empty(), denied_after_ms })
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn a_prediction_at_a_place_that_stays_empty_is_denied_and_never_confirmed() {
    run(async {
        let site = Site::start("predictions", "").await;
        let tries = PREDICTIONS_MIN.max((attack_time().as_secs_f64() / PREDICT_EVERY_S) as u64);
        let predictions = (0..tries).map(async |n| {
            sleep_s(n as f64 * PREDICT_EVERY_S).await;
            let kind = [LOITERING, TRESPASSING, COLLISION][(n % 3) as usize];
            let at_m = empty_place(&site.wire.record())?;
            predict(&site, n, kind, at_m).await
        });
        let all = futures_util::future::join_all(predictions).await;
        let counted: Vec<&Prediction> = all.iter().flatten().collect();
        let confirmed = counted.iter().filter(|p| p.confirmed).count();
        let denied = counted.iter().filter(|p| p.denied_after_ms.is_some()).count();
        let slowest = counted.iter().filter_map(|p| p.denied_after_ms).max();
        Row::new("predictions at empty places")
            .with("tries", tries)
            .with("place stayed empty", counted.len())
            .with("confirmed", confirmed)
            .with("denied", denied)
            .with("slowest denial ms", slowest.map_or(Value::Null, Value::from))
            .print();
        site.stop().await;
        assert!(!counted.is_empty(), "every place was entered");
        assert!(counted.iter().all(|p| !p.confirmed && p.denied_after_ms.is_some()), "{counted:#?}");
    });
}
