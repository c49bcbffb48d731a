//! What peers send that are broken, old, or mean: nothing panics, memory stays within its bounds, and each
//! kind is counted by its name.
//!
//! [`whatever_comes_the_bounds_hold`] is the fuzz target: it changes valid messages at random for
//! `OMNISIGHT_FUZZ_S` seconds (2 when not set; CI gives it a minute), from the seed `OMNISIGHT_FUZZ_SEED`, which
//! it prints when it fails.

use std::time::{Duration, Instant};

use omnisight::base::Time;
use omnisight::model::{Delivery, EventState, Severity, Transition};
use omnisight::swarm::consensus::{CLAIMS_MAX, UNPROVEN_MAX};
use omnisight::swarm::{Action, Counters, Engine, Input, Opened, Options, topic::Prefix};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::fixtures::{FULL, REFERENCE, decode};
use crate::msgpack::packed;
use crate::scenes::{
    START_MS, at, engine, event, event_json, handle, raw, scene, seen, status_json, track_json,
};

/// Of an engine whose tables are full: four times what a site of 256 cameras with 16 tracks each takes.
const ENGINE_BYTES_MAX: u64 = 32 << 20;

fn counted(engine: &Engine, name: &str) -> u64 {
    engine
        .counters()
        .entries()
        .find(|(n, _)| n == name)
        .map_or_else(|| panic!("no counter {name}"), |(_, n)| n)
}

fn agreed(engine: &Engine, name: &str) -> u64 {
    let entry = engine.consensus().counters().entries().find(|(n, _)| *n == name);
    entry.map_or_else(|| panic!("no counter {name}"), |(_, n)| n)
}

fn assert_bounded(engine: &Engine) {
    let options = Options::default();
    assert!(engine.peers().iter().count() <= options.peers.peers_max);
    assert!(engine.peers().tracks().count() <= options.peers.tracks_max);
    assert!(engine.peers().events().count() <= options.peers.events_max);
    assert!(engine.fusion().len() <= options.fusion.people_max);
    assert!(engine.fusion().cameras().len() <= omnisight::swarm::fusion::CAMERAS_MAX);
    assert!(engine.consensus().len() <= CLAIMS_MAX);
}

/// A message that was valid once.
fn broken(valid: &[(String, Vec<u8>)], rng: &mut Pcg64Mcg) -> Delivery {
    const NUMBERS: [&str; 8] =
        ["1e308", "-1", "0", "9007199254740993", "18446744073709551616", "null", "1e-400", "[[[[[[[["];
    let (topic, payload) = &valid[rng.random_range(0..valid.len())];
    let (mut topic, mut payload) = (topic.clone(), payload.clone());
    for _ in 0..rng.random_range(0..4) {
        if payload.is_empty() {
            break;
        }
        let place = rng.random_range(0..payload.len());
        match rng.random_range(0..6) {
            0 => payload[place] = rng.random(),
            1 => payload[place] ^= 1 << rng.random_range(0..8),
            2 => payload.truncate(place),
            3 => {
                let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
                let digits =
                    payload[place..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
                payload.splice(place..place + digits, number.bytes());
            }
            4 => {
                let (_, other) = &valid[rng.random_range(0..valid.len())];
                payload.truncate(place);
                payload.extend_from_slice(&other[rng.random_range(0..other.len())..]);
            }
            _ => {
                let end = rng.random_range(place..payload.len());
                let part = payload[place..end].to_vec();
                payload.splice(place..place, part);
            }
        }
    }
    if rng.random_bool(0.1) {
        topic.clone_from(&valid[rng.random_range(0..valid.len())].0);
    }
    let types =
        [None, Some("application/json"), Some("application/msgpack"), Some("text/plain"), Some("image/png")];
    Delivery {
        topic,
        payload: payload.into(),
        content_type: types[rng.random_range(0..types.len())].map(str::to_owned),
        retained: rng.random_bool(0.1),
        ..Delivery::default()
    }
}

/// Valid messages of many cameras, in both encodings.
fn valid_messages(rng: &mut Pcg64Mcg) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (topic, json) in FULL.into_iter().chain(REFERENCE) {
        for _ in 0..8 {
            let name = format!("c{}", rng.random_range(0..400));
            let id = rng.random_range(1..60).to_string();
            let renamed = |text: &str| text.replace("gate-2", &name).replace("CAM-B", &name);
            let (topic, json) = (renamed(topic), renamed(json));
            all.push((topic.clone(), json.clone().into_bytes()));
            if let Some(bytes) = decode(&topic, json.as_bytes()).ok().as_ref().and_then(packed) {
                all.push((topic, bytes));
            }
            for d in [track_json(&name, 1, Some(rng.random_range(1..1_000)), 50), event_json(&name, 3, 50)] {
                all.push((d.topic.replace("/1", &format!("/{id}")), d.payload.to_vec()));
                all.push((d.topic, d.payload.to_vec()));
            }
        }
    }
    all
}

#[test]
fn whatever_comes_the_bounds_hold() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let budget = Duration::from_secs(number("OMNISIGHT_FUZZ_S").unwrap_or(2));
    let seed = number("OMNISIGHT_FUZZ_SEED").unwrap_or(1);
    println!("OMNISIGHT_FUZZ_SEED={seed}");
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let valid = valid_messages(&mut rng);
    let mut engine = engine("own");
    let (begin, mut now, mut out, mut rounds) = (Instant::now(), at(0), Vec::new(), 0u64);
    while begin.elapsed() < budget {
        for _ in 0..200 {
            let step_ms = rng.random_range(0..40);
            now = now + Duration::from_millis(step_ms);
            let delivery = broken(&valid, &mut rng);
            engine.handle(Input::Delivery(&delivery), now, &mut out);
        }
        let ms = now.epoch_ms - START_MS;
        let tracks = (0..3).map(|id| seen(id + 1, 0.5, rng.random_bool(0.9))).collect();
        engine.handle(Input::Scene(&scene("own", ms, tracks)), now, &mut out);
        let own = event(u32::try_from(rounds % 100 + 1).unwrap(), EventState::Occurred, Severity::High, ms);
        engine.handle(Input::Transition(&Transition::Event(own)), now, &mut out);
        engine.handle(Input::Tick, now, &mut out);
        assert_what_leaves_can_be_read(&out);
        out.clear();
        assert_bounded(&engine);
        rounds += 1;
    }
    assert!(rounds > 0 && engine.counters().received.iter().all(|n| *n > 0), "{:?}", engine.counters());
    println!("{} messages, {} refused", rounds * 200, engine.counters().refused.iter().sum::<u64>());
}

fn assert_what_leaves_can_be_read(actions: &[Action]) {
    for action in actions {
        let Action::Send(envelope) = action else { continue };
        let delivery = Delivery {
            topic: envelope.topic.clone(),
            payload: envelope.payload.clone(),
            content_type: Some(envelope.content_type.as_str().to_owned()),
            ..Delivery::default()
        };
        if let Err(error) = Opened::read(&delivery, &Prefix::default()) {
            panic!("{error}: {:?}", String::from_utf8_lossy(&envelope.payload));
        }
    }
}

#[test]
fn a_hundred_thousand_unknown_cameras_stay_within_the_bound() {
    let mut engine = engine("own");
    handle(&mut engine, Input::Delivery(&status_json("friend", "online", 1, 0)), 0);
    let taken = allocation_counter::measure(|| {
        for i in 0..100_000 {
            let name = format!("stranger-{i}");
            let ms = i / 10;
            handle(&mut engine, Input::Delivery(&status_json(&name, "online", 1, ms)), ms);
            handle(&mut engine, Input::Delivery(&track_json(&name, 1, Some(1), ms)), ms);
            if i % 40 == 0 {
                handle(&mut engine, Input::Delivery(&event_json(&name, 1, ms)), ms);
            }
            if i % 1_000 == 0 {
                handle(&mut engine, Input::Tick, ms);
            }
        }
    });
    assert_bounded(&engine);
    assert!(u64::try_from(taken.bytes_current).unwrap() < ENGINE_BYTES_MAX, "{} bytes", taken.bytes_current);
    // So many make it a large site, on which tracks of strangers are not even read.
    assert!(counted(&engine, "far_tracks") > 90_000);
    assert!(agreed(&engine, "claims_evicted") >= 2_500 - UNPROVEN_MAX as u64);
}

#[test]
fn votes_on_events_that_never_were_are_bounded_and_counted() {
    let mut engine = engine("own");
    handle(&mut engine, Input::Delivery(&status_json("b", "online", 1, 0)), 0);
    for id in 1..=2_000 {
        let payload = format!(
            r#"{{"event_id":{id},"initiating_camera":"ghost","num_confirming":1,"confirming_cameras":["b"],"aggregated_confidence":0.9,"timestamp":{START_MS},"camera_id":"b","verdict":"confirm"}}"#
        );
        handle(&mut engine, Input::Delivery(&raw(&format!("consensus/{id}"), &payload)), 10);
    }
    // Only the votes of a camera that counts wait for their event, and they are bounded by ORPHANS_MAX.
    assert_eq!(agreed(&engine, "votes_unknown"), 2_000);
    handle(&mut engine, Input::Tick, 120_000);
    assert_eq!((agreed(&engine, "votes_orphaned"), agreed(&engine, "votes_over_limit")), (0, 0));
    assert!(engine.consensus().is_empty());
}

#[test]
fn yesterday_and_1970_change_nothing_and_are_counted() {
    let day_ms = 86_400_000;
    for then_ms in [START_MS - day_ms, 0] {
        let mut engine = engine("own");
        for ms in (2_000..9_000).step_by(500) {
            handle(&mut engine, Input::Scene(&scene("own", ms, vec![seen(1, 0.0, true)])), ms);
        }
        let people = engine.fusion().len();
        for mut old in [track_json("b", 1, Some(1), 0), event_json("b", 1, 0)] {
            let text = String::from_utf8(old.payload.to_vec()).unwrap();
            old.payload = text.replace(&START_MS.to_string(), &then_ms.to_string()).into();
            handle(&mut engine, Input::Delivery(&old), 9_000);
        }
        handle(&mut engine, Input::Tick, 9_000);
        assert_eq!(engine.fusion().counters().late, 1);
        assert_eq!((counted(&engine, "stale_events"), agreed(&engine, "claims_stale")), (1, 1));
        assert_eq!((engine.fusion().len(), engine.consensus().len()), (people, 0));
    }
}

#[test]
fn weights_that_lie_about_their_number_are_refused_by_name() {
    let mut engine = engine("own");
    for said in [0, 2, 4, 60_000] {
        let payload = format!(
            r#"{{"camera_id":"b","version":1,"num_weights":{said},"timestamp":{START_MS},"weights":[0.0,1.0,2.0]}}"#
        );
        handle(&mut engine, Input::Delivery(&raw("models/b/weights", &payload)), 0);
    }
    assert_eq!(counted(&engine, "refused_count_mismatch"), 4);
    assert_eq!(engine.counters().received, Counters::default().received);
}

#[test]
fn two_cameras_under_one_name_are_told_apart_by_their_boot() {
    let mut engine = engine("own");
    for round in 0..10 {
        handle(&mut engine, Input::Delivery(&status_json("b", "online", 2_000, round)), round);
        handle(&mut engine, Input::Delivery(&status_json("b", "online", 1_000, round)), round);
    }
    assert_eq!(counted(&engine, "old_boots"), 10);
    assert_eq!(engine.peers().iter().count(), 1);
}

#[test]
fn impossible_speeds_make_nobody_fly() {
    let mut engine = engine("own");
    for i in 0..200_u64 {
        let ms = 1_000 + i * 100;
        handle(&mut engine, Input::Scene(&scene("own", ms, vec![seen(1, 0.0, true)])), ms);
        let track = track_json("b", 1, Some(i + 1), ms);
        let text = String::from_utf8(track.payload.to_vec()).unwrap();
        // A kilometre to and fro, ten times a second.
        let x = if i % 2 == 0 { "-500.0" } else { "500.0" };
        let payload = text.replace("\"x\":1.0", &format!("\"x\":{x}")).into();
        handle(&mut engine, Input::Delivery(&Delivery { payload, ..track }), ms);
    }
    let now: Time = at(21_000);
    let people = engine.fusion().at(i64::try_from(now.epoch_ms).unwrap());
    assert!(people.iter().all(|p| p.velocity_mps.norm() < 12.0), "{people:?}");
}
