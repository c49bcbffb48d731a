//! Whose tracks a camera listens to, on small and on large sites.

use omnisight::model::{Delivery, MessageClass};
use omnisight::swarm::{Action, Engine, Input};

use crate::fixtures::FULL;
use crate::scenes::{START_MS, at, camera, engine, event_json, handle, raw, track_json};

/// Presence of a camera that sees the square metres from `x` to `x + 8` (our own sees 0 to 8).
fn presence(name: &str, x: f64, state: &str, ms: u64) -> Delivery {
    let payload = format!(
        r#"{{"camera_id":"{name}","state":"{state}","version":"1","boot":1,"timestamp":{},"ground":"calibrated","footprint":[[{:?},0.0],[{:?},0.0],[{:?},6.0],[{:?},6.0]]}}"#,
        START_MS + ms,
        x,
        x + 8.0,
        x + 8.0,
        x
    );
    raw(&format!("status/{name}"), &payload)
}

/// A site of cameras 40 m apart, and what hearing of all of them makes us listen to.
fn street(cameras: u32) -> (Engine, Vec<String>) {
    let mut engine = engine("own");
    for i in 1..=cameras {
        let delivery = presence(&format!("c{i:03}"), f64::from(i) * 40.0, "online", 0);
        handle(&mut engine, Input::Delivery(&delivery), 0);
    }
    let changes = subscriptions(&handle(&mut engine, Input::Tick, 1_000));
    (engine, changes)
}

fn subscriptions(actions: &[Action]) -> Vec<String> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Subscribe { filter, .. } => Some(format!("+{filter}")),
        Action::Unsubscribe { filter, .. } => Some(format!("-{filter}")),
        _ => None,
    });
    told.collect()
}

fn track_filters(engine: &Engine) -> Vec<String> {
    let all = engine.subscriptions().into_iter();
    all.filter(|(class, ..)| *class == MessageClass::Track).map(|(_, filter, _)| filter).collect()
}

#[test]
fn up_to_32_others_everybody_is_listened_to() {
    let (engine, changes) = street(32);
    assert_eq!(changes, [""; 0]);
    assert_eq!(track_filters(&engine), ["omnisight/swarm/tracks/+/+"]);
    assert_eq!(engine.neighbours(), None);
}

#[test]
fn on_a_larger_site_those_within_50_m_are_and_what_begins_comes_before_what_ends() {
    let (engine, changes) = street(33);
    // 8 to 40 are 32 m; to 80 are 72 m.
    assert_eq!(changes, ["+omnisight/swarm/tracks/c001/+", "-omnisight/swarm/tracks/+/+"]);
    assert_eq!(track_filters(&engine), ["omnisight/swarm/tracks/c001/+"]);
    assert_eq!(engine.subscriptions().len(), 6, "the other families stay");
}

#[test]
fn a_neighbour_that_comes_moves_or_is_new_is_noticed() {
    let (mut engine, _) = street(33);
    handle(&mut engine, Input::Delivery(&presence("new", -20.0, "online", 2_000)), 2_000);
    let changes = subscriptions(&handle(&mut engine, Input::Tick, 2_100));
    assert_eq!(changes, ["+omnisight/swarm/tracks/new/+"]);
    handle(&mut engine, Input::Delivery(&presence("c001", 4_000.0, "online", 3_000)), 3_000);
    let changes = subscriptions(&handle(&mut engine, Input::Tick, 3_100));
    assert_eq!(changes, ["-omnisight/swarm/tracks/c001/+"]);
}

#[test]
fn cameras_far_away_are_not_kept_and_their_events_are_theirs() {
    let (mut engine, _) = street(33);
    let known = engine.peers().iter().count();
    handle(&mut engine, Input::Delivery(&presence("far", 900.0, "online", 2_000)), 2_000);
    handle(&mut engine, Input::Delivery(&event_at("far", 903.0)), 2_000);
    assert_eq!((engine.counters().far_presence, engine.counters().far_events), (1, 1));
    assert_eq!((engine.peers().iter().count(), engine.peers().get(&camera("far")).is_none()), (known, true));
    handle(&mut engine, Input::Delivery(&event_json("c001", 1, 2_000)), 2_000);
    assert_eq!((engine.counters().far_events, engine.consensus().len()), (1, 1), "near ones are ours too");
}

/// An event of a camera's at this distance along the street.
fn event_at(name: &str, x: f64) -> Delivery {
    let mut event = event_json(name, 1, 2_000);
    let text = String::from_utf8(event.payload.to_vec()).unwrap();
    event.payload = text.replace("\"x\":1.0", &format!("\"x\":{x:?}")).into();
    event
}

#[test]
fn alerts_far_away_are_not_followed() {
    let (mut engine, _) = street(33);
    let alert = |x: f64| {
        let (topic, json) = FULL[5];
        let payload = json.replace("\"x\":1.5", &format!("\"x\":{x:?}")).into();
        Delivery { topic: topic.to_owned(), payload, ..Delivery::default() }
    };
    handle(&mut engine, Input::Delivery(&alert(903.0)), 2_000);
    assert_eq!(engine.counters().far_events, 1);
    handle(&mut engine, Input::Delivery(&alert(3.0)), 2_000);
    assert_eq!(engine.counters().far_events, 1, "a near one is");
}

#[test]
fn an_incident_on_the_border_of_what_concerns_us_is_known_whole_and_what_lies_beyond_is_not_told() {
    // Our business ends at 58 m.
    let whole = [("c001", 57.0), ("c002", 59.0)];
    let beyond = [("c002", 59.0), ("c003", 70.0)];
    for (claims, told) in [(whole, 1), (beyond, 0)] {
        let (mut engine, _) = street(33);
        let mut actions = Vec::new();
        for (name, x) in claims {
            actions.extend(handle(&mut engine, Input::Delivery(&event_at(name, x)), 2_000));
        }
        actions.extend(handle(&mut engine, Input::Tick, 2_100));
        let events = engine.site_events(at(2_200));
        let joined: Vec<_> = events.iter().map(|event| event.claims.len()).collect();
        assert_eq!((engine.consensus().len(), joined), (2, vec![2; told]), "{claims:?}");
        let said = actions.iter().filter(|action| matches!(action, Action::Site(_))).count();
        assert_eq!(said, told, "{claims:?}");
    }
    let (mut engine, _) = street(33);
    handle(&mut engine, Input::Delivery(&event_at("c003", 84.0)), 2_000);
    assert_eq!((engine.consensus().len(), engine.counters().far_events), (0, 1));
}

#[test]
fn a_site_is_small_again_only_when_a_quarter_has_gone() {
    let (mut engine, _) = street(33);
    for i in 1..=9 {
        let delivery = presence(&format!("c{i:03}"), f64::from(i) * 40.0, "offline", 2_000);
        handle(&mut engine, Input::Delivery(&delivery), 2_000);
    }
    assert_eq!(subscriptions(&handle(&mut engine, Input::Tick, 2_100)), [""; 0], "24 are left");
    handle(&mut engine, Input::Delivery(&presence("c010", 400.0, "offline", 3_000)), 3_000);
    let changes = subscriptions(&handle(&mut engine, Input::Tick, 3_100));
    assert_eq!(changes, ["+omnisight/swarm/tracks/+/+", "-omnisight/swarm/tracks/c001/+"]);
}

#[test]
fn on_a_large_site_a_track_of_who_is_no_neighbour_is_not_read() {
    let (mut engine, _) = street(33);
    handle(&mut engine, Input::Delivery(&raw("tracks/c020/1", "{no track at all")), 1_100);
    let counters = engine.counters();
    assert_eq!((counters.far_tracks, counters.refused.iter().sum::<u64>()), (1, 0));
    handle(&mut engine, Input::Delivery(&raw("tracks/c001/1", "{no track at all")), 1_100);
    assert_eq!(engine.counters().refused.iter().sum::<u64>(), 1, "a neighbour's is");
}

/// A simulation lets what a camera is told wait until the camera speaks.
#[test]
fn tracks_and_presence_alone_make_a_camera_neither_speak_nor_listen_to_others_before_its_next_scene_or_tick()
{
    let (mut engine, _) = street(33);
    for ms in (1_100..40_000).step_by(37) {
        let name = format!("c{:03}", ms % 35 + 1);
        let state = if ms % 4 == 0 { "offline" } else { "online" };
        let told = match ms % 3 {
            0 => presence(&name, (ms % 7) as f64 * 40.0, state, ms),
            _ => track_json(&name, 1, Some(ms), ms),
        };
        let actions = handle(&mut engine, Input::Delivery(&told), ms);
        let speaks = |action: &Action| !matches!(action, Action::Peer { .. } | Action::Trust { .. });
        assert!(!actions.iter().any(speaks), "{actions:?}");
    }
    let changes = subscriptions(&handle(&mut engine, Input::Tick, 40_000));
    assert!(!changes.is_empty(), "they were heard");
}

#[test]
fn a_subscription_that_nobody_here_asked_for_is_ended_once_nothing_is_on_its_way_any_more() {
    let (mut engine, _) = street(33);
    let stray = raw("tracks/c020/1", "{}");
    let mut changes = Vec::new();
    for tick in 1..10_u64 {
        handle(&mut engine, Input::Delivery(&stray), tick * 1_000);
        let told = subscriptions(&handle(&mut engine, Input::Tick, tick * 1_000 + 500));
        changes.extend(told.into_iter().map(|change| (tick, change)));
    }
    assert!(changes.iter().all(|(tick, change)| *tick > 2 && change == "-omnisight/swarm/tracks/c020/+"));
    assert!(!changes.is_empty());
}
