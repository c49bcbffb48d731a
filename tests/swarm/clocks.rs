//! Clocks that are off: told, and put right before anything is fused.

use omnisight::model::{Point, SceneTrack};
use omnisight::swarm::{ClockMeasured, Engine, Input};

use crate::scenes::{START_MS, at, engine, handle, json, raw, scene, seen, sent};

const PEERS: [&str; 3] = ["p", "q", "r"];
/// From a frame to its arrival, milliseconds.
const WAY_MS: u64 = 40;

/// The man at (3, 3) as a peer reports him, by its own clock.
fn report(name: &str, seq: u64, captured_ms: u64) -> omnisight::model::Delivery {
    let timestamp = START_MS + captured_ms;
    let payload = format!(
        r#"{{"camera_id":"{name}","track_id":1,"global_position":{{"x":3.0,"y":3.0,"z":0.0}},"velocity":{{"x":0.0,"y":0.0}},"class":"person","confidence":0.9,"timestamp":{timestamp},"behaviors":0,"threat_score":0.0,"seq":{seq},"cov":[0.02,0.0,0.02]}}"#
    );
    raw(&format!("tracks/{name}/1"), &payload)
}

fn introduction(name: &str, ms: u64) -> omnisight::model::Delivery {
    let timestamp = START_MS + ms;
    let payload = format!(
        r#"{{"camera_id":"{name}","state":"online","version":"1","boot":1,"timestamp":{timestamp},"ground":"calibrated","footprint":[[0.0,0.0],[8.0,0.0],[8.0,6.0],[0.0,6.0]]}}"#
    );
    raw(&format!("status/{name}"), &payload)
}

fn own_sight() -> SceneTrack {
    let mut track = seen(1, 0.0, true);
    if let Some(ground) = &mut track.ground {
        ground.position = Point::new(3.0, 3.0);
        ground.velocity = Point::default();
    }
    track
}

/// Twelve seconds of one man whom all see; `own_ms` says what our clock shows at a time of the site's.
fn run(own_ms: impl Fn(u64) -> u64) -> (Engine, u64) {
    let mut own = engine("own");
    for name in PEERS {
        handle(&mut own, Input::Delivery(&introduction(name, 0)), own_ms(0));
    }
    let mut now_ms = 0;
    for step in 1..120 {
        let site_ms = 10_000 + step * 100;
        for name in PEERS {
            let delivery = report(name, step, site_ms - WAY_MS);
            handle(&mut own, Input::Delivery(&delivery), own_ms(site_ms));
        }
        now_ms = own_ms(site_ms);
        handle(&mut own, Input::Scene(&scene("own", now_ms - WAY_MS, vec![own_sight()])), now_ms);
        if step % 10 == 0 {
            handle(&mut own, Input::Tick, now_ms);
        }
    }
    // Our last report is worked in with the next step.
    handle(&mut own, Input::Tick, now_ms);
    (own, now_ms)
}

fn clock(engine: &mut Engine, ms: u64) -> serde_json::Value {
    json(sent(&handle(engine, Input::Connected, ms))[0])["clock"].clone()
}

#[test]
fn a_clock_that_agrees_with_the_others_is_known_to_be_right_by_their_messages() {
    let (mut own, now_ms) = run(|site_ms| site_ms);
    let told = clock(&mut own, now_ms);
    assert_eq!((&told["source"], &told["offset_ms"]), (&"peers".into(), &0.0.into()));
    assert!(told["error_ms"].as_f64().unwrap() <= 100.0, "{told}");
    assert!(!own.is_unsynced(at(now_ms)));
}

#[test]
fn when_our_own_clock_is_far_off_it_is_told_and_our_reports_are_put_right_before_they_are_fused() {
    for (name, own_ms) in [
        ("ahead", (|site_ms| site_ms + 2_000) as fn(u64) -> u64),
        ("behind", |site_ms| site_ms.saturating_sub(3_000)),
    ] {
        let (mut own, now_ms) = run(own_ms);
        assert!(own.is_unsynced(at(now_ms)), "{name}");
        let people = own.fusion().at((START_MS + now_ms) as i64);
        let [man] = &people[..] else { panic!("{name}: {people:#?}") };
        assert_eq!(man.seen_by.len(), 4, "{name}: {man:#?}");
        let told = clock(&mut own, now_ms);
        assert!(told["error_ms"].as_f64().unwrap() > 1_900.0, "{name}: {told}");
    }
}

#[test]
fn a_time_servers_word_stands_before_the_others_and_ages() {
    let (mut own, now_ms) = run(|site_ms| site_ms);
    own.set_clock(ClockMeasured { offset_ms: -120.0, error_ms: 8.0, at: at(now_ms) });
    let told = clock(&mut own, now_ms);
    assert_eq!(told, serde_json::json!({"offset_ms": -120.0, "error_ms": 8.0, "source": "sntp"}));
    assert!(!own.is_unsynced(at(now_ms + 60_000)));
    assert!(own.is_unsynced(at(now_ms + 3_600_000)), "nobody has asked for an hour");
}
