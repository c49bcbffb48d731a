//! Clocks that are off: told, and put right before anything is fused.

use std::collections::BTreeMap;

use omnisight::base::Time;
use omnisight::model::{Delivery, Envelope, Event, EventState, Point, SceneTrack, Severity, Transition};
use omnisight::swarm::codec::Reason;
use omnisight::swarm::trust::{self, signature::Signer};
use omnisight::swarm::{Action, ClockMeasured, Engine, Input, Options};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use crate::scenes::{
    START_MS, at, camera, delivered, engine, engine_with, event, handle, json, raw, scene, seen, sent,
};

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

/// The place of a man on a circle around (3, 3): 1.5 m/s, 1.2 m from its centre.
fn way(true_ms: u64) -> Point {
    let (sin, cos) = (true_ms as f64 * 1.25e-3).sin_cos();
    Point::new(3.0 + 1.2 * cos, 3.0 + 1.2 * sin)
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

// Cameras that talk to each other, each by its own clock.

/// From one camera to another, milliseconds.
const LINK_MS: u64 = 20;
/// One step of the site.
const STEP_MS: u64 = 20;

struct Cam {
    engine: Engine,
    name: &'static str,
    ahead_ms: i64,
    /// What it was told to do, each with the true time.
    done: Vec<(u64, Action)>,
    /// Whether its clock may be corrected by the peers' time.
    adopts: bool,
}

impl Cam {
    fn new(name: &'static str, ahead_ms: i64) -> Self {
        Self::with(name, ahead_ms, trust::Options::default(), None)
    }

    fn with(name: &'static str, ahead_ms: i64, trust: trust::Options, signer: Option<Signer>) -> Self {
        let options = Options { trust, ..Options::default() };
        let boot_ms = START_MS.saturating_add_signed(ahead_ms);
        let mut engine = engine_with(name, boot_ms, options);
        engine.remember(signer, BTreeMap::new());
        Self { engine, name, ahead_ms, done: Vec::new(), adopts: true }
    }

    fn time(&self, true_ms: u64) -> Time {
        let epoch_ms = (START_MS + true_ms).saturating_add_signed(self.ahead_ms);
        Time { mono_ns: 1_000_000_000 * u64::from(self.name.as_bytes()[0]) + true_ms * 1_000_000, epoch_ms }
    }

    fn does(&mut self, input: Input<'_>, true_ms: u64) {
        let mut out = Vec::new();
        self.engine.handle(input, self.time(true_ms), &mut out);
        for action in &out {
            if let Action::AdoptTime { ahead_ms, .. } = action
                && self.adopts
            {
                self.ahead_ms -= ahead_ms;
            }
        }
        self.done.extend(out.into_iter().map(|action| (true_ms, action)));
    }

    /// It sees the man, who walks in a circle.
    fn looks(&mut self, true_ms: u64) {
        let time = self.time(true_ms);
        let mut sight = own_sight();
        if let Some(ground) = &mut sight.ground {
            ground.position = way(true_ms);
        }
        let mut seen = scene(self.name, true_ms, vec![sight]);
        seen.time = time;
        seen.tracks.iter_mut().for_each(|track| track.track.last_seen = time);
        self.does(Input::Scene(&seen), true_ms);
    }

    /// It sees him do something.
    fn raises(&mut self, id: u32, true_ms: u64) {
        let time = self.time(true_ms);
        let happens = Event {
            position_m: way(true_ms),
            tracks: vec![1],
            probability: 0.9,
            time,
            predicted_time: time,
            ..event(id, EventState::Occurred, Severity::High, 0)
        };
        self.does(Input::Transition(&Transition::Event(happens)), true_ms);
    }

    fn sent_between(&self, from_ms: u64, until_ms: u64) -> impl Iterator<Item = (u64, &Envelope)> {
        let within = self.done.iter().filter(move |(at_ms, _)| (from_ms..until_ms).contains(at_ms));
        within
            .filter_map(|(at_ms, action)| if let Action::Send(e) = action { Some((*at_ms, e)) } else { None })
    }

    fn presences(&self) -> impl Iterator<Item = (u64, serde_json::Value)> {
        let sent = self.sent_between(0, u64::MAX).filter(|(_, e)| e.topic.contains("/status/"));
        sent.map(|(at_ms, e)| (at_ms, json(e)))
    }

    fn own_events(&self) -> Vec<(u64, serde_json::Value)> {
        let topic = format!("/events/{}/", self.name);
        let sent = self.sent_between(0, u64::MAX).filter(|(_, e)| e.topic.contains(&topic));
        let events = sent.map(|(at_ms, e)| (at_ms, json(e)));
        events.filter(|(_, event)| event["state"] == "occurred").collect()
    }

    /// When it told its surfaces of a confirmed incident.
    fn confirmed(&self) -> Vec<(u64, String)> {
        let told = self.done.iter().filter_map(|(at_ms, action)| match action {
            Action::Site(event) if event.state == EventState::Confirmed => {
                Some((*at_ms, event.key.to_string()))
            }
            _ => None,
        });
        told.collect()
    }

    fn reported(&self) -> Vec<(String, i64)> {
        let told = self.done.iter().filter_map(|(_, action)| match action {
            Action::Clock { camera, offset_ms, .. } => Some((camera.to_string(), *offset_ms)),
            _ => None,
        });
        told.collect()
    }

    fn ahead_of_us(&self, name: &str) -> i64 {
        self.engine.fusion().ahead_ms(&camera(name))
    }

    fn is_unsynced(&self, true_ms: u64) -> bool {
        self.engine.is_unsynced(self.time(true_ms))
    }
}

/// Lets the cameras live from one true time to another; `meanwhile` may do more in each step.
fn live(cams: &mut [Cam], from_ms: u64, until_ms: u64, mut meanwhile: impl FnMut(u64, &mut [Cam])) {
    for now_ms in (from_ms..until_ms).step_by(STEP_MS as usize) {
        for to in 0..cams.len() {
            let arriving: Vec<_> = cams
                .iter()
                .enumerate()
                .filter(|(of, _)| *of != to)
                .flat_map(|(_, cam)| {
                    cam.sent_between(now_ms.saturating_sub(LINK_MS), now_ms.saturating_sub(LINK_MS) + STEP_MS)
                })
                .map(|(_, e)| Delivery { user_properties: e.user_properties.clone(), ..delivered(e) })
                .collect();
            for delivery in arriving.iter().filter(|_| now_ms >= LINK_MS) {
                cams[to].does(Input::Delivery(delivery), now_ms);
            }
        }
        for (n, cam) in cams.iter_mut().enumerate() {
            let phase_ms = now_ms + 340 * n as u64;
            if now_ms == 0 {
                cam.does(Input::Connected, now_ms);
            }
            if phase_ms.is_multiple_of(100) {
                cam.looks(now_ms);
            }
            if phase_ms.is_multiple_of(1_000) {
                cam.does(Input::Tick, now_ms);
            }
        }
        meanwhile(now_ms, cams);
    }
}

#[test]
fn two_cameras_five_minutes_apart_agree_on_an_event_and_both_name_the_other_clock_and_how_far_it_is_off() {
    for ahead_ms in [-300_000, 300_000, -7_200_000, 86_400_000] {
        let mut cams = [Cam::new("a", 0), Cam::new("b", ahead_ms)];
        live(&mut cams, 0, 3_500, |_, _| {});
        assert_eq!((cams[0].ahead_of_us("b"), cams[1].ahead_of_us("a")), (ahead_ms, -ahead_ms), "within 3 s");
        live(&mut cams, 3_500, 12_000, |now_ms, cams| {
            if now_ms == 6_000 {
                cams[0].raises(1, now_ms);
            }
            if now_ms == 8_000 {
                cams[1].raises(1, now_ms);
            }
        });
        let told = [cams[0].confirmed(), cams[1].confirmed()];
        assert!(told.iter().all(|told| told.len() == 1 && told[0].0 < 9_000), "{ahead_ms}: {told:?}");
        assert_eq!(told[0][0].1, told[1][0].1);
        for (cam, other, offset_ms) in [(&cams[0], "b", ahead_ms), (&cams[1], "a", -ahead_ms)] {
            assert!(cam.is_unsynced(12_000));
            assert_eq!(cam.reported(), [(other.to_owned(), offset_ms)]);
            let (_, last) = cam.presences().last().unwrap();
            assert_eq!(last["clock"]["off"], serde_json::json!({other: offset_ms}));
        }
    }
}

#[test]
fn two_cameras_with_right_clocks_know_it_and_speak_early_no_more_than_once_each() {
    let mut cams = [Cam::new("a", 0), Cam::new("b", 3)];
    live(&mut cams, 0, 9_000, |_, _| {});
    for (cam, other) in [(&cams[0], "b"), (&cams[1], "a")] {
        assert!(!cam.is_unsynced(9_000) && cam.reported().is_empty());
        let offset = cam.engine.clocks().offset(&camera(other), cam.time(9_000)).unwrap();
        assert!(offset.offset_ms.abs() <= 4 && offset.error_ms <= 50, "{offset:?}");
        assert!(cam.presences().count() <= 3, "{}", cam.presences().count());
        assert!(cam.presences().all(|(_, presence)| presence["clock"].get("off").is_none()));
    }
}

#[test]
fn a_camera_in_1970_holds_its_events_takes_the_time_of_its_peer_and_publishes_them_restamped_in_their_order()
{
    let since_1970_ms = START_MS.cast_signed() - 20_000;
    let mut cams = [Cam::new("a", 0), Cam::new("b", -since_1970_ms)];
    let mut was_unsynced = false;
    live(&mut cams, 0, 15_000, |now_ms, cams| {
        was_unsynced |= now_ms == 500 && cams[1].is_unsynced(now_ms);
        match now_ms {
            200 => cams[1].raises(1, now_ms),
            400 => cams[1].raises(2, now_ms),
            600 => cams[1].raises(3, now_ms),
            10_000 => cams[1].raises(4, now_ms),
            _ => {}
        }
    });
    let b = &cams[1];
    assert!(was_unsynced && !b.is_unsynced(15_000));
    assert!(b.ahead_ms.abs() <= 25, "{}", b.ahead_ms);
    let events = b.own_events();
    let ids: Vec<_> = events.iter().map(|(_, event)| event["event_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    for ((sent_ms, event), raised_ms) in events.iter().zip([200, 400, 600, 10_000]) {
        let off_ms = event["timestamp"].as_u64().unwrap().abs_diff(START_MS + raised_ms);
        assert!(off_ms <= 30, "{event}");
        assert!(event["predicted_time"].as_u64().unwrap().abs_diff(START_MS + raised_ms) <= 30, "{event}");
        assert!(*sent_ms < 5_000 || raised_ms == 10_000, "{sent_ms}");
        let key = event["key"].as_str().unwrap();
        assert!(key.starts_with("b/20000/"), "the key keeps the boot of the presence: {key}");
    }
    assert!(b.presences().all(|(_, presence)| presence["boot"] == 20_000));
    assert_eq!((b.engine.held_events(), b.engine.counters().events_held), (0, 3));
    assert_eq!(cams[0].ahead_of_us("b"), 0, "the other has noticed");
    let keys = cams.each_ref().map(|cam| cam.confirmed().into_iter().map(|(_, key)| key).collect::<Vec<_>>());
    assert!(!keys[0].is_empty() && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn of_more_events_than_are_held_the_least_severe_and_oldest_go_and_the_rest_keep_its_order() {
    let mut cam = Cam::new("b", -(START_MS.cast_signed() - 20_000));
    for id in 1..=300_u32 {
        let severity = if id % 2 == 0 { Severity::High } else { Severity::Medium };
        let time = cam.time(u64::from(id));
        let happens = Event { time, predicted_time: time, ..event(id, EventState::Occurred, severity, 0) };
        cam.does(Input::Transition(&Transition::Event(happens)), u64::from(id));
    }
    assert_eq!((cam.engine.held_events(), cam.engine.counters().held_evicted), (256, 44));
    assert!(cam.own_events().is_empty());
    // The system sets its clock.
    cam.ahead_ms = 0;
    cam.does(Input::Tick, 1_000);
    let ids: Vec<_> = cam.own_events().iter().map(|(_, event)| event["event_id"].as_u64().unwrap()).collect();
    assert!(ids.len() == 256 && ids.is_sorted());
    assert!(ids[..44].iter().all(|id| id % 2 == 0) && ids.contains(&89) && !ids.contains(&87), "{ids:?}");
}

#[test]
fn five_made_up_clocks_set_no_mode_on_honest_cameras_and_change_no_alarm() {
    let mut cams = [Cam::new("a", 0), Cam::new("b", 0)];
    live(&mut cams, 0, 30_000, |now_ms, cams| {
        if now_ms == 20_000 {
            cams[0].raises(1, now_ms);
        }
        if now_ms % 1_000 == 500 {
            // Each echoes what it heard of both, as if five minutes later.
            let heard: Vec<_> = cams
                .iter()
                .filter_map(|cam| {
                    cam.presences().last().map(|(_, m)| {
                        format!("\"{}\":[{},{}]", cam.name, m["timestamp"], START_MS + now_ms + 299_990)
                    })
                })
                .collect();
            for n in 1..=5 {
                let at_ms = START_MS + now_ms + 300_000;
                let payload = format!(
                    r#"{{"camera_id":"x{n}","state":"online","version":"1","boot":1,"timestamp":{at_ms},"ground":"calibrated","footprint":[[0.0,0.0],[8.0,0.0],[8.0,6.0],[0.0,6.0]],"modes":["paused"],"clock":{{"offset_ms":0.0,"error_ms":1.0,"source":"sntp","heard":{{{}}}}}}}"#,
                    heard.join(",")
                );
                let delivery = raw(&format!("status/x{n}"), &payload);
                for cam in cams.iter_mut() {
                    cam.does(Input::Delivery(&delivery), now_ms);
                }
            }
        }
        assert!(cams.iter().all(|cam| !cam.is_unsynced(now_ms)), "{now_ms}");
    });
    for (cam, other) in [(&cams[0], "b"), (&cams[1], "a")] {
        assert_eq!(cam.ahead_of_us(other), 0);
        assert_eq!(cam.ahead_of_us(cam.name), 0, "our own reports stay as they are");
        assert!(cam.ahead_of_us("x1") > 290_000, "they are known for what they are");
        assert_eq!(cam.confirmed().len(), 1);
        assert!(cam.presences().count() <= 14, "{}", cam.presences().count());
    }
}

#[test]
fn a_camera_that_signs_is_taken_whatever_its_clock_shows_once_it_has_answered_a_presence_of_ours() {
    let keys =
        ["a", "b"].map(|_| Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec());
    let signer = |n: usize| Signer::new(&camera(["a", "b"][n]), &keys[n], None).unwrap();
    let strict = || trust::Options { require: true, ..trust::Options::default() };
    for ahead_ms in [300_000, -300_000, 86_400_000, -86_400_000, 20_000 - START_MS.cast_signed()] {
        let mut cams = [
            Cam::with("a", 0, strict(), Some(signer(0))),
            Cam::with("b", ahead_ms, strict(), Some(signer(1))),
        ];
        cams[1].adopts = false;
        live(&mut cams, 0, 8_000, |now_ms, cams| {
            if now_ms == 6_000 {
                cams[0].raises(1, now_ms);
            }
        });
        assert_eq!((cams[0].ahead_of_us("b"), cams[1].ahead_of_us("a")), (ahead_ms, -ahead_ms));
        assert_eq!(cams[1].engine.peers().events().count(), 1, "{ahead_ms}");
        // What was recorded then is a replay later.
        let old: Vec<_> = cams[1]
            .sent_between(0, 8_000)
            .filter(|(_, e)| e.topic.contains("/status/"))
            .map(|(_, e)| Delivery { user_properties: e.user_properties.clone(), ..delivered(e) })
            .collect();
        let before = cams[0].engine.counters().refused[Reason::Replayed as usize];
        cams[0].does(Input::Delivery(&old[0]), 700_000);
        assert_eq!(cams[0].engine.counters().refused[Reason::Replayed as usize], before + 1);
    }
}

#[test]
fn when_a_clock_is_set_back_while_running_the_table_goes_on_at_once_and_the_others_follow() {
    let mut cams = [Cam::new("a", 0), Cam::new("b", 300_000)];
    live(&mut cams, 0, 8_000, |_, _| {});
    cams[1].ahead_ms = 0;
    live(&mut cams, 8_000, 11_000, |_, _| {});
    assert_eq!((cams[0].ahead_of_us("b"), cams[1].ahead_of_us("a")), (0, 0));
    let taken = |cams: &[Cam; 2]| [0, 1].map(|n| cams[n].engine.fusion().counters().taken);
    let before = taken(&cams);
    live(&mut cams, 11_000, 14_000, |_, _| {});
    for (cam, (before, after)) in cams.iter().zip(before.into_iter().zip(taken(&cams))) {
        // Ten reports a second of each camera.
        assert!((58..=62).contains(&(after - before)), "{}: {before} {after}", cam.name);
        let people = cam.engine.fusion().at((START_MS + 14_000) as i64);
        assert_eq!(people.len(), 1, "{}: {people:#?}", cam.name);
        assert!(!cam.is_unsynced(14_000));
    }
}
