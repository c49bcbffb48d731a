//! What the camera's side of the contract promises, without a broker.

use std::collections::BTreeSet;
use std::time::Duration;

use nalgebra::SMatrix;
use serde_json::{Value, json};

use super::*;
use crate::base::Time;
use crate::control::{Command, Rejection, Reply, Unread};
use crate::model::{
    Attribute, BBox, Behavior, Class, Delivery, Envelope, Forecast, MachineVitals, MessageClass, Motion,
    Plate, Point, Qos, SceneTrack, Track, Transition,
};

const EPOCH_MS: u64 = 1_795_207_082_000;

fn at(ms: u64) -> Time {
    Time { mono_ns: ms * 1_000_000, epoch_ms: EPOCH_MS + ms }
}

fn fleet(tuning: Tuning) -> Fleet {
    Fleet::new(Options { tuning, checkpoint_id: "CP001".to_owned(), ..Options::new("CAM001") }, EPOCH_MS, 5)
}

fn handle(fleet: &mut Fleet, input: Input<'_>, ms: u64) -> Vec<Action> {
    let mut out = Vec::new();
    fleet.handle(input, at(ms), &mut out);
    out
}

fn deliver(fleet: &mut Fleet, topic: &str, payload: &str, ms: u64) -> Vec<Action> {
    let delivery = Delivery {
        topic: format!("lprserver/{topic}"),
        payload: payload.to_owned().into(),
        ..Delivery::default()
    };
    handle(fleet, Input::Delivery(&delivery), ms)
}

/// What is sent on topics that end so.
fn sent(actions: &[Action], topic: &str) -> Vec<(Envelope, Value)> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Send(envelope) if envelope.topic.ends_with(topic) => Some(envelope.clone()),
        _ => None,
    });
    sent.map(|envelope| (envelope.clone(), serde_json::from_slice(&envelope.payload).unwrap())).collect()
}

fn plate(text: &str, confidence: f64) -> Plate {
    Plate { text: text.to_owned(), confidence, bbox: BBox::new(150.0, 120.0, 30.0, 20.0) }
}

fn read(track: u32, text: &str, confidence: f64) -> Transition {
    Transition::Attribute { track, attribute: Attribute::Plate(plate(text, confidence)), time: at(0) }
}

fn ended(id: u32, class: Class) -> Transition {
    let foot = Motion { position: Point::default(), velocity: Point::default(), cov: SMatrix::zeros() };
    let track = Track {
        id,
        class,
        bbox: BBox::new(100.0, 100.0, 100.4, 99.6),
        confidence: 0.96,
        foot,
        first_seen: at(0),
        last_seen: at(500),
        hits: 7,
    };
    let last =
        SceneTrack { track, ground: None, behavior: Behavior::default(), forecast: Forecast::default() };
    Transition::TrackEnded { last: Box::new(last), time: at(600) }
}

fn pass(fleet: &mut Fleet, track: u32, text: &str, ms: u64) -> Vec<Action> {
    let mut out = handle(fleet, Input::Transition(&read(track, text, 0.9)), ms);
    out.extend(handle(fleet, Input::Transition(&ended(track, Class::Vehicle)), ms));
    out
}

#[test]
fn a_vehicle_is_told_once_at_its_end_with_the_keys_of_the_document() {
    let mut fleet = fleet(Tuning::default());
    let out = pass(&mut fleet, 7, "AB 1234", 1_000);
    let [(envelope, told)] = &sent(&out, "cameras/CAM001/detection")[..] else { panic!("{out:?}") };
    assert_eq!((envelope.class, envelope.qos), (MessageClass::FleetDetection, Qos::AtLeastOnce));
    assert_eq!(envelope.key.as_deref(), told["message_id"].as_str());
    assert_eq!((&told["camera_id"], &told["checkpoint_id"]), (&json!("CAM001"), &json!("CP001")));
    let data = &told["detection_data"];
    assert_eq!((data["vehicles_count"].as_u64(), data["plates_count"].as_u64()), (Some(1), Some(1)));
    assert_eq!(data["vehicles"][0]["bbox"], json!([100, 100, 200, 200]));
    assert_eq!(data["plates"][0]["vehicle_id"], data["vehicles"][0]["vehicle_index"]);
    assert_eq!(data["plates"][0]["plate_number"], "AB 1234");
    assert!(data.get("processing_time_ms").is_none(), "nobody measured it");
}

#[test]
fn people_and_what_is_not_sure_are_not_told() {
    let mut fleet = fleet(Tuning { confidence_min: 0.97, ..Tuning::default() });
    assert!(handle(&mut fleet, Input::Transition(&ended(1, Class::Person)), 0).is_empty());
    assert!(handle(&mut fleet, Input::Transition(&ended(2, Class::Vehicle)), 0).is_empty());
    assert_eq!(fleet.report().counters.unsure, 1);
}

#[test]
fn with_an_interval_vehicles_share_a_message_and_none_is_lost_at_the_end() {
    let interval = Duration::from_secs(10);
    let mut fleet = fleet(Tuning { detection_interval: interval, vehicles_max: 2, ..Tuning::default() });
    let mut out = Vec::new();
    for id in 1..=6 {
        out.extend(pass(&mut fleet, id, &format!("AB{id}"), u64::from(id) * 100));
    }
    assert_eq!(sent(&out, "detection").len(), 1);
    let second = handle(&mut fleet, Input::Tick, 11_000);
    assert_eq!(sent(&second, "detection")[0].1["detection_data"]["vehicles_count"], 2);
    let rest = handle(&mut fleet, Input::Leaving, 12_000);
    let counts: Vec<_> =
        sent(&rest, "detection").iter().map(|(_, m)| m["detection_data"]["vehicles_count"].clone()).collect();
    assert_eq!(counts, [json!(2), json!(1)]);
}

#[test]
fn only_the_servers_word_for_this_camera_acknowledges() {
    let mut fleet = fleet(Tuning::default());
    let mut ack = |payload: &str| deliver(&mut fleet, "cameras/CAM001/detection/ack", payload, 0);
    let good = r#"{"message_id":"a","original_message_id":"d-1","status":"processed","camera_id":"CAM001"}"#;
    assert_eq!(ack(good), [Action::Acknowledged("d-1".to_owned())]);
    // As the reference server answers the simulators.
    let null = r#"{"message_id":"a","original_message_id":null,"status":"processed","camera_id":null}"#;
    for bad in [null, "{}", "x", r#"{"original_message_id":"d-1","camera_id":"CAM002"}"#] {
        assert!(matches!(ack(bad)[..], [Action::Refused(_)]), "{bad}");
    }
    assert!(deliver(&mut fleet, "cameras/None/detection/ack", good, 0).is_empty());
}

#[test]
fn an_order_in_either_dialect_is_asked_of_the_desk_and_answered_once() {
    let mut fleet = fleet(Tuning::default());
    let document = r#"{"message_id":"m1","timestamp":"2024-01-15T10:30:00Z","camera_id":"CAM001","command":"stop_camera","parameters":{},"priority":"high"}"#;
    let unified = r#"{"message_id":"m2","protocol":"mqtt","edge_device_id":"CAM001","data_type":"control","payload":{"command":"get_status","parameters":{}},"metadata":{}}"#;
    for (payload, id, command, word) in
        [(document, "m1", Command::Pause, "stop_camera"), (unified, "m2", Command::Status, "get_status")]
    {
        let out = deliver(&mut fleet, "cameras/CAM001/control", payload, 0);
        let [Action::Ask(asker, Ok(request))] = &out[..] else { panic!("{out:?}") };
        assert_eq!((&request.command, request.id.as_deref()), (&command, Some(id)));
        let accepted = Reply::running(Some(id.to_owned()), "x", crate::control::ReplyState::Accepted, 0);
        assert!(handle(&mut fleet, Input::Reply(asker, &accepted), 10).is_empty());
        let done = Reply::last(Some(id.to_owned()), "x", crate::control::Outcome::OK);
        let out = handle(&mut fleet, Input::Reply(asker, &done), 20);
        let [(envelope, told)] = &sent(&out, "control/response")[..] else { panic!("{out:?}") };
        assert_eq!((envelope.qos, envelope.retain), (Qos::ExactlyOnce, false));
        assert_eq!(told["original_message_id"], id);
        assert_eq!((&told["command"], &told["status"]), (&json!(word), &json!("executed")));
        assert_eq!(told["result"]["success"], true);
    }
}

#[test]
fn what_is_no_order_is_rejected_by_the_desk_and_what_is_for_another_is_counted() {
    let mut fleet = fleet(Tuning::default());
    let mut order = |payload: &str| deliver(&mut fleet, "cameras/CAM001/control", payload, 0);
    for (payload, code) in [
        ("pause", "malformed"),
        (r#"{"message_id":"m"}"#, "missing_command"),
        (r#"{"message_id":"m","command":5}"#, "wrong_type"),
        (r#"{"message_id":"m","command":"dance"}"#, "unknown_command"),
        (r#"{"message_id":"m","command":"stop_camera","parameters":[]}"#, "wrong_type"),
    ] {
        let out = order(payload);
        let [Action::Ask(_, Err(Unread::Rejected { rejection, .. }))] = &out[..] else { panic!("{out:?}") };
        assert_eq!(rejection.code(), code, "{payload}");
    }
    assert!(order(r#"{"command":"stop_camera","camera_id":"CAM002"}"#).is_empty());
    assert!(order(&format!(r#"{{"command":"stop_camera","x":"{}"}}"#, "x".repeat(300_000))).is_empty());
    assert_eq!((fleet.report().counters.for_another, fleet.report().counters.refused), (1, 2));
}

#[test]
fn a_retained_order_is_rejected_and_a_retained_configuration_is_an_update() {
    let mut fleet = fleet(Tuning::default());
    let retained = |topic: &str, payload: &str| Delivery {
        topic: format!("lprserver/cameras/CAM001/{topic}"),
        payload: payload.to_owned().into(),
        retained: true,
        ..Delivery::default()
    };
    let order = retained("control", r#"{"message_id":"m","command":"restart_camera"}"#);
    let out = handle(&mut fleet, Input::Delivery(&order), 0);
    assert!(
        matches!(&out[..], [Action::Ask(_, Err(Unread::Rejected { rejection: Rejection::Retained, .. }))]),
        "{out:?}"
    );
    let config = retained(
        "config",
        r#"{"message_id":"m","camera_id":"CAM001","config_type":"detection_settings","config_data":{"confidence_threshold":0.8}}"#,
    );
    let out = handle(&mut fleet, Input::Delivery(&config), 0);
    let [Action::Ask(_, Ok(request))] = &out[..] else { panic!("{out:?}") };
    let Command::Set(settings) = &request.command else { panic!("{request:?}") };
    assert_eq!(settings["fleet.confidence_min"], 0.8);
}

#[test]
fn ones_own_configuration_coming_back_is_no_update_and_anything_else_is() {
    let mut fleet = fleet(Tuning::default());
    let out = handle(&mut fleet, Input::Connected, 0);
    let (envelope, own) = sent(&out, "CAM001/config").remove(0);
    assert_eq!((envelope.qos, envelope.retain), (Qos::ExactlyOnce, true));
    assert_eq!(own["config_data"]["enable_recording"], false);
    assert!(deliver(&mut fleet, "cameras/CAM001/config", &own.to_string(), 1).is_empty());
    let mut edited = own;
    edited["config_data"]["confidence_threshold"] = json!(0.9);
    let out = deliver(&mut fleet, "cameras/CAM001/config", &edited.to_string(), 1);
    assert!(matches!(&out[..], [Action::Ask(_, Ok(_))]), "{out:?}");
}

#[test]
fn an_update_that_comes_into_force_is_told_once() {
    let mut fleet = fleet(Tuning::default());
    handle(&mut fleet, Input::Connected, 0);
    let payload = r#"{"message_id":"u1","camera_id":"CAM001","config_data":{"confidence_threshold":0.7}}"#;
    let out = deliver(&mut fleet, "cameras/CAM001/config/update", payload, 1);
    let [Action::Ask(asker, Ok(_))] = &out[..] else { panic!("{out:?}") };
    let tuning = Tuning { confidence_min: 0.7, ..Tuning::default() };
    let told = handle(&mut fleet, Input::Tuning(tuning), 2);
    assert_eq!(sent(&told, "CAM001/config").len(), 1);
    let reply = Reply::last(Some("u1".to_owned()), "set", crate::control::Outcome::OK);
    assert!(sent(&handle(&mut fleet, Input::Reply(asker, &reply), 3), "CAM001/config").is_empty());
}

#[test]
fn after_an_update_was_judged_what_is_in_force_is_told_again() {
    let mut fleet = fleet(Tuning::default());
    let payload = r#"{"message_id":"u1","camera_id":"CAM001","config_data":{"confidence_threshold":7,"max_vehicles_per_frame":0}}"#;
    let out = deliver(&mut fleet, "cameras/CAM001/config/update", payload, 0);
    let [Action::Ask(asker, Ok(_))] = &out[..] else { panic!("{out:?}") };
    let faults = json!({"faults": ["runtime setting: fleet.confidence_min: found 7, allowed: a number", "runtime setting: fleet.vehicles_max: found 0, allowed: an integer"]});
    let outcome = crate::control::Outcome::Failed {
        error: "faults",
        detail: "2 faults; nothing was changed".to_owned(),
        result: Some(faults),
    };
    let reply = Reply::last(Some("u1".to_owned()), "set", outcome);
    let out = handle(&mut fleet, Input::Reply(asker, &reply), 5);
    let told = &sent(&out, "control/response")[0].1;
    assert_eq!((&told["status"], &told["original_message_id"]), (&json!("failed"), &json!("u1")));
    assert_eq!(told["result"]["faults"][0], "confidence_threshold: found 7, allowed: a number");
    assert_eq!(told["result"]["faults"].as_array().unwrap().len(), 2);
    assert_eq!(sent(&out, "CAM001/config")[0].1["config_data"]["confidence_threshold"], 0.5);
}

#[test]
fn what_an_update_asks_for_and_the_camera_lacks_is_named_in_the_reply_and_the_rest_applied() {
    let mut fleet = fleet(Tuning::default());
    for (n, data) in [
        r#"{"confidence_threshold":0.8,"enable_recording":true,"alert_settings":{"notification_channels":["email","mqtt"]}}"#,
        r#"{"enable_recording":true,"alert_settings":{"notification_channels":["email"]}}"#,
        r#"{"enable_recording":true}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let payload = format!(r#"{{"message_id":"u{n}","camera_id":"CAM001","config_data":{data}}}"#);
        let out = deliver(&mut fleet, "cameras/CAM001/config/update", &payload, 0);
        let [Action::Ask(asker, Ok(request))] = &out[..] else { panic!("{out:?}") };
        let Command::Set(settings) = &request.command else { panic!("{request:?}") };
        assert!(!settings.contains_key("fleet.enable_recording"), "{settings:?}");
        let done = crate::control::Outcome::OK;
        let reply = Reply::last(Some(format!("u{n}")), "set", done);
        let out = handle(&mut fleet, Input::Reply(asker, &reply), 5);
        let told = &sent(&out, "control/response")[0].1;
        assert_eq!(told["status"], "executed");
        let ignored = told["result"]["ignored"].to_string();
        assert!(ignored.contains("enable_recording") && ignored.contains("email") == (n < 2), "{told}");
    }
}

#[test]
fn health_leaves_every_thirty_seconds_and_when_asked_for_with_what_is_known() {
    let mut fleet = fleet(Tuning::default());
    let measures = |out: &[Action]| out.contains(&Action::Measure);
    assert!(measures(&handle(&mut fleet, Input::Connected, 0)));
    let vitals = Vitals {
        machine: MachineVitals { cpu_percent: Some(12.34), ..MachineVitals::default() },
        camera: CameraState::Active,
        ..Vitals::default()
    };
    let out = handle(&mut fleet, Input::Vitals(&vitals), 0);
    let (envelope, told) = sent(&out, "CAM001/health").remove(0);
    assert_eq!((envelope.qos, envelope.retain), (Qos::AtMostOnce, true));
    assert_eq!((&told["health_status"], &told["alerts"]), (&json!("healthy"), &json!([])));
    assert_eq!(told["health_details"]["cpu_usage"], 12.3);
    assert!(told["health_details"].get("temperature").is_none());
    assert!(!measures(&handle(&mut fleet, Input::Tick, 29_000)));
    assert!(measures(&handle(&mut fleet, Input::Tick, 30_000)));
    let mut asked = |ms| measures(&deliver(&mut fleet, "cameras/CAM001/health/request", "{}", ms));
    assert_eq!([asked(31_000), asked(31_500), asked(32_100)], [true, false, true]);
    let will: Value = serde_json::from_slice(&fleet.will(at(0)).payload).unwrap();
    assert_eq!(will["health_status"], "offline");
}

#[test]
fn what_goes_wrong_is_an_alert_when_it_begins_and_when_it_is_over() {
    let mut fleet = fleet(Tuning::default());
    let alerts = |fleet: &mut Fleet, disk: f64, ms| {
        let vitals = Vitals {
            machine: MachineVitals { disk_percent: Some(disk), ..MachineVitals::default() },
            camera: CameraState::Active,
            ..Vitals::default()
        };
        let out = handle(fleet, Input::Vitals(&vitals), ms);
        sent(&out, "system/alerts").into_iter().map(|(_, told)| told["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(alerts(&mut fleet, 95.0, 0), [json!("raised")]);
    assert!(alerts(&mut fleet, 96.0, 1).is_empty());
    assert_eq!(alerts(&mut fleet, 40.0, 2), [json!("cleared")]);
}

fn list(fleet: &mut Fleet, version: u64, mode: &str, entries: &str, ms: u64) -> Vec<Action> {
    let payload =
        format!(r#"{{"message_id":"w","version":{version},"mode":"{mode}","entries":[{entries}]}}"#);
    deliver(fleet, "blacklist/updates", &payload, ms)
}

#[test]
fn a_wanted_plate_is_told_once_for_a_track_and_says_why() {
    let mut fleet = fleet(Tuning::default());
    list(
        &mut fleet,
        1,
        "replace",
        r#"{"plate_number":"AB-1234","reason":"stolen","alert_level":"critical"}"#,
        0,
    );
    let out = handle(&mut fleet, Input::Transition(&read(7, "ab 1234", 0.9)), 10);
    let (envelope, told) = sent(&out, "blacklist/notifications").remove(0);
    assert_eq!((envelope.class, envelope.qos), (MessageClass::Alert, Qos::AtLeastOnce));
    assert_eq!((&told["type"], &told["blacklist_reason"]), (&json!("blacklist_match"), &json!("stolen")));
    assert_eq!(
        (&told["alert_level"], &told["match"], &told["track_id"]),
        (&json!("critical"), &json!("exact"), &json!(7))
    );
    assert!(handle(&mut fleet, Input::Transition(&read(7, "AB1234", 0.95)), 20).is_empty());
    let near = handle(&mut fleet, Input::Transition(&read(8, "A81234", 0.9)), 30);
    let told = &sent(&near, "blacklist/notifications")[0].1;
    assert_eq!(
        (&told["match"], &told["listed_plate_number"], &told["confused_character"]),
        (&json!("near"), &json!("AB1234"), &json!(1))
    );
}

#[test]
fn no_notification_for_an_unsure_reading_a_near_one_when_they_are_off_or_alerts_that_are_off() {
    let entry = r#"{"plate_number":"AB1234","reason":"stolen"}"#;
    let told = |tuning: Tuning, text: &str, confidence: f64| {
        let mut fleet = fleet(tuning);
        list(&mut fleet, 1, "replace", entry, 0);
        let out = handle(&mut fleet, Input::Transition(&read(7, text, confidence)), 10);
        !sent(&out, "blacklist/notifications").is_empty()
    };
    assert!(told(Tuning::default(), "A81234", 0.9));
    assert!(!told(Tuning { near_matches: false, ..Tuning::default() }, "A81234", 0.9));
    assert!(!told(Tuning { alert_confidence_min: 0.95, ..Tuning::default() }, "AB1234", 0.9));
    assert!(!told(Tuning { alerts: false, ..Tuning::default() }, "AB1234", 0.9));
}

#[test]
fn a_list_that_comes_later_finds_the_vehicles_that_are_there_and_expired_entries_find_none() {
    let mut fleet = fleet(Tuning::default());
    handle(&mut fleet, Input::Transition(&read(7, "AB1234", 0.9)), 0);
    handle(&mut fleet, Input::Transition(&read(8, "CD5678", 0.9)), 0);
    let entries =
        r#"{"plate_number":"AB1234"},{"plate_number":"CD5678","expiry_date":"2020-01-01T00:00:00"}"#;
    let out = list(&mut fleet, 1, "replace", entries, 10);
    let tracks: Vec<_> =
        sent(&out, "notifications").iter().map(|(_, told)| told["track_id"].clone()).collect();
    assert_eq!(tracks, [json!(7)]);
}

#[test]
fn a_gap_between_updates_asks_for_the_whole_list_and_a_bad_update_is_an_alert() {
    let mut fleet = fleet(Tuning::default());
    list(&mut fleet, 1, "replace", r#"{"plate_number":"A1"}"#, 0);
    let out = list(&mut fleet, 3, "add", r#"{"plate_number":"B1"}"#, 2_000);
    assert_eq!(sent(&out, "blacklist/request")[0].1["have_version"], 1);
    let out = list(&mut fleet, 2, "add", r#"{"plate_number":"--"}"#, 4_000);
    assert_eq!(sent(&out, "system/alerts")[0].1["alert_type"], "watchlist");
    assert_eq!(fleet.report().watchlist_entries, 1);
}

#[test]
fn what_was_seen_is_summed_up_for_the_checkpoint() {
    let mut fleet = fleet(Tuning::default());
    handle(&mut fleet, Input::Tick, 0);
    for id in 1..=4 {
        pass(&mut fleet, id, "AB1234", 1_000);
    }
    handle(&mut fleet, Input::Transition(&ended(9, Class::Vehicle)), 1_000);
    let out = handle(&mut fleet, Input::Tick, 300_000);
    let (envelope, told) = sent(&out, "checkpoints/CP001/analytics").remove(0);
    assert_eq!((envelope.qos, envelope.retain), (Qos::AtMostOnce, false));
    let numbers = ["vehicles_count", "plates_count", "period_seconds"].map(|key| told[key].as_u64().unwrap());
    assert_eq!(numbers, [5, 4, 300]);
    assert!(sent(&handle(&mut fleet, Input::Tick, 301_000), "analytics").is_empty());
}

#[test]
fn every_message_has_an_id_of_its_own_and_no_null() {
    let mut fleet = fleet(Tuning::default());
    let mut out = handle(&mut fleet, Input::Connected, 0);
    out.extend(handle(&mut fleet, Input::Vitals(&Vitals::default()), 0));
    for id in 1..50 {
        out.extend(pass(&mut fleet, id, "AB1234", u64::from(id)));
    }
    let all = sent(&out, "");
    let ids: BTreeSet<_> =
        all.iter().map(|(_, told)| told["message_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), all.len());
    assert!(all.iter().all(|(envelope, _)| !String::from_utf8_lossy(&envelope.payload).contains("null")));
}
