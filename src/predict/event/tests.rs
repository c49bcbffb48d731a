//! Scenes played to the engine at several frame rates: what it foresees, when, and what becomes of it.
//!
//! Every scene is a function of time, so the same one runs at any rate; a decision that depends on the
//! rate fails its test. Properties over made-up scenes hold the order of states, the identity of events
//! and the bounds; nothing here looks at the wording of messages (`tests/swarm`). Seconds, metres.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use nalgebra::{SMatrix, Vector4};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::base::CountingIds;
use crate::model::{
    BBox, Behavior, Behaviors, Class, Event, EventState, EventType, Forecast, Polygon, Severity, Track,
    ZoneKind,
};

const RATES_FPS: [u64; 4] = [1, 3, 10, 30];

fn at_ms(ms: u64) -> Time {
    Time::default() + Duration::from_millis(1000 + ms)
}

fn scene_track(id: u32, position: Point, velocity: Point, sigma_m: f64, sigma_mps: f64) -> SceneTrack {
    let (p, v) = (sigma_m * sigma_m, sigma_mps * sigma_mps);
    let ground = Motion { position, velocity, cov: SMatrix::from_diagonal(&Vector4::new(p, p, v, v)) };
    SceneTrack {
        track: Track {
            id,
            class: Class::Person,
            bbox: BBox::default(),
            confidence: 0.9,
            foot: ground,
            first_seen: at_ms(0),
            last_seen: at_ms(0),
            hits: 3,
        },
        ground: Some(ground),
        behavior: Behavior::default(),
        forecast: Forecast::default(),
    }
}

/// A forbidden yard, 10 m deep and 20 m wide, from x = 20 on.
fn yard() -> Vec<Zone> {
    let corners = [(20.0, -10.0), (30.0, -10.0), (30.0, 10.0), (20.0, 10.0)];
    let corners = corners.iter().map(|&(x, y)| Point::new(x, y)).collect();
    let border_m = Polygon::new(corners).unwrap();
    vec![Zone {
        name: "yard".into(),
        kind: ZoneKind::Forbidden,
        classes: Zone::CLASSES.to_vec(),
        dwell_s: None,
        border_m,
    }]
}

/// Plays frames and gives the changes of state; a prediction that comes again must be graver each time.
fn play(
    fps: u64,
    seconds: u64,
    scene: impl FnMut(f64) -> Vec<SceneTrack>,
    end: impl Fn(f64) -> Vec<u32>,
) -> Vec<Event> {
    let mut gravest = HashMap::new();
    let mut events = play_all(fps, seconds, scene, end);
    events.retain(|e| {
        let before = gravest.insert(e.id, e.severity).filter(|_| e.state == EventState::Predicted);
        assert!(before.is_none_or(|before| before < e.severity), "{e:?}");
        before.is_none()
    });
    events
}

/// Plays frames: `scene` gives the tracks at a time in seconds, `end` the tracks that end in that frame.
fn play_all(
    fps: u64,
    seconds: u64,
    scene: impl FnMut(f64) -> Vec<SceneTrack>,
    end: impl Fn(f64) -> Vec<u32>,
) -> Vec<Event> {
    events(transitions(fps, seconds, scene, end))
}

/// The events among transitions, in order.
fn events(all: Vec<Transition>) -> Vec<Event> {
    all.into_iter()
        .filter_map(|t| if let Transition::Event(event) = t { Some(event) } else { None })
        .collect()
}

/// Id and time in seconds of every event that is over, in order.
fn overs(all: &[Transition]) -> Vec<(u32, f64)> {
    let over = |t: &Transition| match t {
        Transition::EventOver { id, time } => Some((*id, time.seconds_from(at_ms(0)))),
        _ => None,
    };
    all.iter().filter_map(over).collect()
}

/// The same as [`play_all`], with all transitions.
fn transitions(
    fps: u64,
    seconds: u64,
    mut scene: impl FnMut(f64) -> Vec<SceneTrack>,
    end: impl Fn(f64) -> Vec<u32>,
) -> Vec<Transition> {
    let mut engine = Engine::new(Options::default(), yard());
    let (mut ids, mut out) = (CountingIds::default(), Vec::new());
    for frame in 0..=seconds * fps {
        let t = frame as f64 / fps as f64;
        engine.step(&mut scene(t), &end(t), at_ms(frame * 1000 / fps), &mut ids, &mut out);
    }
    out
}

fn nobody(_: f64) -> Vec<u32> {
    Vec::new()
}

fn seconds(event: &Event) -> f64 {
    event.time.seconds_from(at_ms(0))
}

/// State and time of every event.
fn states(events: &[Event]) -> Vec<(EventState, f64)> {
    events.iter().map(|e| (e.state, seconds(e))).collect()
}

/// Along x at 1.3 m/s from x = 0, with a stop.
fn walk_x(t: f64, until_s: f64) -> (Point, Point) {
    let v = if t < until_s { 1.3 } else { 0.0 };
    (Point::new(1.3 * t.min(until_s), 0.0), Point::new(v, 0.0))
}

#[test]
fn a_walk_into_a_forbidden_zone_is_predicted_seconds_before_and_then_occurs() {
    for fps in RATES_FPS {
        let events = play(
            fps,
            20,
            |t| {
                let (p, v) = walk_x(t, 100.0);
                vec![scene_track(4, p, v, 0.1, 0.1)]
            },
            nobody,
        );
        // The border is reached after 15.4 s.
        let [predicted, occurred] = &events[..] else { panic!("{fps} frames/s: {events:#?}") };
        assert_eq!((predicted.state, occurred.state), (EventState::Predicted, EventState::Occurred));
        let lead_s = 15.4 - seconds(predicted);
        assert!((4.0..10.0).contains(&lead_s), "{lead_s} s before at {fps} frames/s");
        assert!(predicted.predicted_time.seconds_from(at_ms(15_400)).abs() < 2.0);
        assert!((15.8..=17.0).contains(&seconds(occurred)), "{fps} frames/s: {occurred:?}");
        assert_eq!((predicted.id, occurred.id), (1, 1));
        assert_eq!((&occurred.tracks, occurred.zone.as_deref()), (&vec![4], Some("yard")));
        assert!((occurred.probability - 1.0).abs() < 1e-9);
        assert_eq!(occurred.severity, Severity::High);
        assert_eq!(predicted.rule.name, "trespassing");
        assert!(predicted.rule.measured.iter().any(|(name, v)| *name == "entry_probability" && *v >= 0.6));
        assert!(predicted.severity >= Severity::Medium, "it must be published: {predicted:?}");
    }
}

#[test]
fn a_walk_that_turns_away_before_the_border_is_retracted_with_the_severity_of_its_last_prediction() {
    for fps in RATES_FPS {
        let events = play_all(
            fps,
            30,
            |t| {
                // Turns aside and back four metres before the border.
                let back = (t - 12.3).max(0.0);
                let (p, v) = if back > 0.0 {
                    (Point::new(16.0 - 1.3 * back, 0.0), Point::new(-1.3, 0.0))
                } else {
                    walk_x(t, 100.0)
                };
                vec![scene_track(4, p, v, 0.1, 0.1)]
            },
            nobody,
        );
        let [.., predicted, retracted] = &events[..] else { panic!("{fps} frames/s: {events:#?}") };
        assert_eq!((predicted.state, retracted.state), (EventState::Predicted, EventState::Retracted));
        assert_eq!((predicted.id, predicted.severity), (retracted.id, retracted.severity));
        assert!((13.0..=15.5).contains(&seconds(retracted)), "{fps} frames/s: {retracted:?}");
        assert!(retracted.probability < 0.3);
    }
}

#[test]
fn a_walk_along_the_border_is_not_trespassing() {
    for fps in RATES_FPS {
        let events = play(
            fps,
            14,
            |t| {
                let p = Point::new(18.0, -9.0 + 1.3 * t);
                vec![scene_track(4, p, Point::new(0.0, 1.3), 0.1, 0.1)]
            },
            nobody,
        );
        assert_eq!(states(&events), [], "{fps} frames/s");
    }
}

#[test]
fn a_track_that_ends_takes_its_prediction_with_it() {
    for fps in RATES_FPS {
        let events = play(
            fps,
            20,
            |t| {
                let (p, v) = walk_x(t, 100.0);
                if t < 13.0 { vec![scene_track(4, p, v, 0.1, 0.1)] } else { vec![] }
            },
            |t| if t >= 14.0 { vec![4] } else { vec![] },
        );
        let [_, retracted] = &events[..] else { panic!("{fps} frames/s: {events:#?}") };
        assert_eq!((retracted.state, seconds(retracted)), (EventState::Retracted, 14.0));
    }
}

#[test]
fn a_track_out_of_sight_keeps_its_prediction_until_that_is_overdue() {
    for fps in RATES_FPS {
        let walk = |from: f64, to: f64| {
            move |t: f64| {
                let (p, v) = walk_x(t, 100.0);
                if (from..to).contains(&t) { vec![] } else { vec![scene_track(4, p, v, 0.1, 0.1)] }
            }
        };
        let hidden = play(fps, 20, walk(12.0, 15.0), nobody);
        let order: Vec<_> = hidden.iter().map(|e| e.state).collect();
        assert_eq!(order, [EventState::Predicted, EventState::Occurred], "{fps} frames/s");
        let gone = play(fps, 40, walk(12.0, 100.0), nobody);
        let [_, retracted] = &gone[..] else { panic!("{fps} frames/s: {gone:#?}") };
        assert_eq!(retracted.state, EventState::Retracted);
        assert!((17.0..=20.0).contains(&seconds(retracted)), "{fps} frames/s: {retracted:?}");
    }
}

#[test]
fn in_and_out_of_a_zone_is_one_event_until_it_has_cooled_down() {
    for fps in RATES_FPS {
        // Ten seconds inside, ten outside, over and over.
        let events = play(
            fps,
            100,
            |t| {
                let x = if ((t / 10.0) as u64).is_multiple_of(2) { 25.0 } else { 5.0 };
                vec![scene_track(4, Point::new(x, 0.0), Point::default(), 0.1, 0.1)]
            },
            nobody,
        );
        let occurred: Vec<_> = events.iter().filter(|e| e.state == EventState::Occurred).collect();
        assert_eq!(occurred.len(), events.len());
        assert_eq!(occurred.len(), 3, "{fps} frames/s: {:?}", states(&events));
        assert!(occurred.windows(2).all(|w| w[0].id != w[1].id));
    }
}

#[test]
fn what_was_retracted_and_happens_after_all_is_a_new_event() {
    let events = play(
        10,
        30,
        |t| {
            let (p, v) = walk_x(t, 11.0);
            // Stands four metres before the border from 11 s on, and is inside at 20 s.
            let p = if t < 20.0 { p } else { Point::new(25.0, 0.0) };
            vec![scene_track(4, p, v, 0.1, 0.1)]
        },
        nobody,
    );
    let order: Vec<_> = events.iter().map(|e| (e.state, e.id)).collect();
    assert_eq!(order, [(EventState::Predicted, 1), (EventState::Retracted, 1), (EventState::Occurred, 2)]);
}

/// Two walkers on one line, far from the yard; the second comes the other way, `aside_m` off.
fn head_on(t: f64, aside_m: f64, turn_s: f64) -> Vec<SceneTrack> {
    let off = (t - turn_s).max(0.0);
    let veer = if off > 0.0 { 1.3 } else { 0.0 };
    vec![
        scene_track(1, Point::new(1.3 * t, -99.0), Point::new(1.3, 0.0), 0.1, 0.1),
        scene_track(
            2,
            Point::new(15.6 - 1.3 * t, aside_m - 99.0 + 1.3 * off),
            Point::new(-1.3, veer),
            0.1,
            0.1,
        ),
    ]
}

#[test]
fn two_who_walk_into_one_another_are_predicted_to_collide_and_do() {
    for fps in RATES_FPS {
        // They meet after 6 s, and that ends their ways.
        let events = play(fps, 9, |t| head_on(t.min(6.0), 0.2, 100.0), nobody);
        let [predicted, occurred] = &events[..] else { panic!("{fps} frames/s: {events:#?}") };
        assert_eq!((predicted.state, occurred.state), (EventState::Predicted, EventState::Occurred));
        let lead_s = 6.0 - seconds(predicted);
        assert!((0.9..=4.0).contains(&lead_s), "{lead_s} s before at {fps} frames/s");
        assert!((6.7..=8.1).contains(&seconds(occurred)), "{fps} frames/s: {occurred:?}");
        assert_eq!((predicted.id, &occurred.tracks), (occurred.id, &vec![1, 2]));
        assert!(occurred.position_m.distance(Point::new(7.8, -98.9)) < 0.7, "{:?}", occurred.position_m);
    }
}

#[test]
fn two_who_pass_each_other_within_reach_or_whose_ids_are_exchanged_there_do_not_collide() {
    for fps in RATES_FPS {
        for exchanged in [false, true] {
            let pass = |t: f64| {
                let mut tracks = head_on(t, 0.2, 100.0);
                if exchanged && t > 6.0 {
                    (tracks[0].track.id, tracks[1].track.id) = (2, 1);
                    tracks.reverse();
                }
                tracks
            };
            let events = play(fps, 12, pass, nobody);
            assert!(events.iter().all(|e| e.state != EventState::Occurred), "{fps} frames/s: {events:#?}");
        }
    }
}

#[test]
fn no_collision_is_predicted_where_places_are_known_too_roughly_to_tell_it_from_a_pass() {
    for fps in RATES_FPS {
        let rough = |t: f64| {
            let mut tracks = head_on(t, 0.0, 100.0);
            for ground in tracks.iter_mut().filter_map(|track| track.ground.as_mut()) {
                ground.cov = SMatrix::from_diagonal(&Vector4::new(0.05, 0.05, 0.01, 0.01));
            }
            tracks
        };
        assert_eq!(states(&play(fps, 12, rough, nobody)), [], "{fps} frames/s");
    }
}

#[test]
fn a_second_box_on_one_person_collides_with_nothing() {
    for fps in RATES_FPS {
        // It appears two metres before the first and stays on it.
        let fragment = |t: f64| {
            let mut tracks = vec![head_on(t, 0.0, 100.0).swap_remove(0)];
            if t >= 5.0 {
                let ahead_m = (2.0 - 2.0 * (t - 5.0)).max(0.2);
                tracks.push(scene_track(3, Point::new(1.3 * t + ahead_m, -99.0), Point::default(), 0.1, 0.1));
            }
            tracks
        };
        let events = play(fps, 12, fragment, nobody);
        assert_eq!(states(&events), [], "{fps} frames/s");
    }
}

#[test]
fn two_who_step_aside_in_time_are_retracted() {
    for fps in RATES_FPS {
        let events = play(fps, 12, |t| head_on(t, 0.0, 5.2), nobody);
        let [predicted, retracted] = &events[..] else { panic!("{fps} frames/s: {events:#?}") };
        assert_eq!((predicted.state, retracted.state), (EventState::Predicted, EventState::Retracted));
    }
}

/// The events of two who collide, and of one who walks into the yard, under these options.
fn told(options: Options, mut change: impl FnMut(&mut SceneTrack)) -> Vec<EventType> {
    let mut engine = Engine::new(options, yard());
    let (mut ids, mut out) = (CountingIds::default(), Vec::new());
    for frame in 0..=100 {
        let t = f64::from(frame) * 0.1;
        let mut tracks = head_on(t.min(6.0), 0.2, 100.0);
        let (at, walk) = (Point::new(10.0 + 1.3 * t, 0.0), Point::new(1.3, 0.0));
        tracks.push(scene_track(3, at, walk, 0.1, 0.1));
        tracks.iter_mut().for_each(&mut change);
        engine.step(&mut tracks, &[], at_ms(frame as u64 * 100), &mut ids, &mut out);
    }
    let occurred = events(out).into_iter().filter(|e| e.state == EventState::Occurred);
    occurred.map(|e| e.kind).collect()
}

#[test]
fn without_calibration_nothing_collides_and_zones_still_work() {
    let both = [EventType::Collision, EventType::Trespassing];
    assert_eq!(told(Options::default(), |_| {}), both);
    assert_eq!(told(Options { metric: false, ..Options::default() }, |_| {}), both[1..]);
}

#[test]
fn a_rule_that_is_off_raises_no_event_and_its_limits_are_options() {
    let options = Options::default();
    assert_eq!(told(Options { collision: false, ..options }, |_| {}), [EventType::Trespassing]);
    assert_eq!(told(Options { trespassing: false, ..options }, |_| {}), [EventType::Collision]);
    assert_eq!(told(Options { collision_mps: 9.0, ..options }, |_| {}), [EventType::Trespassing]);
}

#[test]
fn what_never_moved_or_is_none_of_a_zones_classes_does_not_trespass() {
    let options = Options::default();
    let collision = [EventType::Collision];
    assert_eq!(told(options, |track| track.behavior.stationary = true), collision);
    assert_eq!(told(options, |track| track.track.class = Class::Unknown), collision);
    assert_eq!(told(options, |track| track.track.class = Class::Animal), collision);
}

#[test]
fn people_who_walk_side_by_side_pass_at_a_distance_or_stand_and_talk_do_not_collide() {
    for fps in RATES_FPS {
        let pair = |a: (Point, Point), b: (Point, Point)| {
            vec![scene_track(1, a.0, a.1, 0.1, 0.2), scene_track(2, b.0, b.1, 0.1, 0.2)]
        };
        let side_by_side = play(
            fps,
            12,
            |t| {
                let sway = 0.1 * (2.0 * t).sin();
                let v = Point::new(1.3, 0.2 * (2.0 * t).cos());
                pair(
                    (Point::new(1.3 * t, sway - 99.0), v),
                    (Point::new(1.3 * t, 0.4 - 99.0 - sway), Point::new(1.3, -v.y)),
                )
            },
            nobody,
        );
        assert_eq!(states(&side_by_side), [], "{fps} frames/s");
        let passing = play(fps, 12, |t| head_on(t, 2.5, 100.0), nobody);
        assert_eq!(states(&passing), [], "{fps} frames/s");
        let talking = play(
            fps,
            12,
            |_| {
                pair(
                    (Point::new(5.0, 0.0), Point::new(0.2, 0.1)),
                    (Point::new(5.4, 0.0), Point::new(-0.2, 0.0)),
                )
            },
            nobody,
        );
        assert_eq!(states(&talking), [], "{fps} frames/s");
    }
}

#[test]
fn who_stays_is_predicted_to_loiter_after_six_tenths_of_the_limit_and_loiters_at_the_limit() {
    for fps in RATES_FPS {
        let stay = |class: Class| {
            move |t: f64| {
                let mut track = scene_track(9, Point::new(2.0, 2.0), Point::default(), 0.1, 0.1);
                track.track.class = class;
                track.behavior.still_s = t;
                track.behavior.flags.set(Behaviors::LOITERING, t >= 30.0);
                vec![track]
            }
        };
        let events = play(fps, 40, stay(Class::Person), nobody);
        let [(EventState::Predicted, first), (EventState::Occurred, second)] = states(&events)[..] else {
            panic!("{fps} frames/s: {events:#?}")
        };
        assert!((18.3..=19.4).contains(&first) && (29.99..=30.4).contains(&second), "{first} {second}");
        assert!((events[0].predicted_time.seconds_from(at_ms(30_000))).abs() < 0.01);
        assert_eq!(events[1].severity, Severity::Medium);
        assert_eq!(states(&play(fps, 40, stay(Class::Vehicle), nobody)), [], "a parked car");
    }
}

#[test]
fn a_prediction_comes_again_once_when_it_becomes_graver_and_never_gets_less_grave() {
    for fps in RATES_FPS {
        // Predicted at 18 s, of medium severity above 24 s, gone at 27 s.
        let stay = |t: f64| {
            let mut track = scene_track(9, Point::new(2.0, 2.0), Point::default(), 0.1, 0.1);
            // Up and down around the border between the classes.
            let wobble_s = if t > 22.0 { 2.0 * (t * 3.0).sin() } else { 0.0 };
            track.behavior.still_s = if t < 27.0 { t + wobble_s } else { 0.0 };
            vec![track]
        };
        let events = play_all(fps, 40, stay, nobody);
        let states: Vec<_> = events.iter().map(|e| (e.id, e.state, e.severity)).collect();
        let expected = [
            (1, EventState::Predicted, Severity::Low),
            (1, EventState::Predicted, Severity::Medium),
            (1, EventState::Retracted, Severity::Medium),
        ];
        assert_eq!(states, expected, "{fps} frames/s");
        assert!(events[1].probability > 0.8 && events[1].time > events[0].time);
        let left_s = events[1].predicted_time.seconds_from(events[1].time);
        assert!((left_s - 30.0 * (1.0 - events[1].probability)).abs() < 0.01, "{:?}", events[1]);
    }
}

#[test]
fn noise_on_someone_who_stands_beside_a_zone_for_ten_minutes_is_nothing() {
    for fps in RATES_FPS {
        for (sigma_m, sigma_mps) in [(0.1, 0.1), (0.3, 0.2), (0.5, 0.5)] {
            let mut rng = Pcg64Mcg::seed_from_u64(21);
            let (noise, wobble) = (Normal::new(0.0, sigma_m).unwrap(), Normal::new(0.0, sigma_mps).unwrap());
            let events = play(
                fps,
                600,
                |t| {
                    let p = Point::new(18.5 + noise.sample(&mut rng), noise.sample(&mut rng));
                    let v = Point::new(wobble.sample(&mut rng), wobble.sample(&mut rng));
                    let mut track = scene_track(3, p, v, sigma_m, sigma_mps);
                    // What the behaviour says; loitering itself is not the question.
                    track.behavior.still_s = t.min(5.0);
                    vec![track]
                },
                nobody,
            );
            assert_eq!(states(&events), [], "{fps} frames/s, {sigma_m} m, {sigma_mps} m/s");
        }
    }
}

/// A crowd that walks towards the yard, far enough apart not to collide; it starts ten metres before the border.
fn crowd(size: u32, t: f64) -> Vec<SceneTrack> {
    let walker = |id: u32| {
        let p = Point::new(10.0 + 1.3 * t, f64::from(id % 100) * 0.1 - 5.0);
        scene_track(id, p, Point::new(1.3, 0.0), 0.1, 0.1)
    };
    (1..=size).map(walker).collect()
}

#[test]
fn a_thousand_tracks_stay_within_the_bounds_and_what_is_refused_is_counted() {
    let mut engine = Engine::new(Options::default(), yard());
    let (mut ids, mut out) = (CountingIds::default(), Vec::new());
    for frame in 0..15 {
        let mut tracks = crowd(1100, frame as f64 * 0.3);
        engine.step(&mut tracks, &[], at_ms(frame * 300), &mut ids, &mut out);
        assert!(engine.entries.len() <= KEYS_MAX && engine.filters.len() <= FILTERS_MAX);
    }
    let out = events(out);
    assert!(out.len() <= KEYS_MAX && !out.is_empty());
    let counters = engine.counters();
    assert!(counters.keys_refused > 0 && counters.tracks_refused == 15 * 100, "{counters:?}");
}

#[test]
fn what_happens_finds_room_where_all_is_only_predicted() {
    let mut engine = Engine::new(Options::default(), yard());
    let (mut ids, mut out) = (CountingIds::default(), Vec::new());
    for frame in 0..15 {
        let mut tracks = crowd(600, frame as f64 * 0.3);
        let p = Point::new(25.0, 0.0);
        tracks.extend((frame > 11).then(|| scene_track(999, p, Point::default(), 0.1, 0.1)));
        engine.step(&mut tracks, &[], at_ms(frame * 300), &mut ids, &mut out);
    }
    let out = events(out);
    let count = |state| out.iter().filter(|e| e.state == state).count();
    assert_eq!(count(EventState::Predicted), KEYS_MAX);
    assert_eq!((count(EventState::Retracted), count(EventState::Occurred)), (1, 1));
    assert_eq!(engine.counters().keys_evicted, 1);
}

#[test]
fn the_velocity_of_the_box_is_not_needed_to_foresee_a_walk() {
    let events =
        play(10, 20, |t| vec![scene_track(4, walk_x(t, 100.0).0, Point::default(), 0.3, 2.0)], nobody);
    let order: Vec<_> = events.iter().map(|e| e.state).collect();
    assert_eq!(order, [EventState::Predicted, EventState::Occurred]);
}

/// A trespasser inside the yard until `until_s`, outside afterwards, and never predicted.
fn inside_until(until_s: f64) -> impl Fn(f64) -> Vec<SceneTrack> {
    move |t| {
        let x = if t < until_s { 25.0 } else { 5.0 };
        vec![scene_track(4, Point::new(x, 0.0), Point::default(), 0.1, 0.1)]
    }
}

#[test]
fn an_event_that_occurred_is_over_once_when_it_has_not_happened_for_two_seconds() {
    for fps in RATES_FPS {
        let all = transitions(fps, 30, inside_until(10.0), nobody);
        let [(1, over_s)] = overs(&all)[..] else { panic!("{fps} frames/s: {all:#?}") };
        assert!((12.0..=14.0).contains(&over_s), "{fps} frames/s: over after {over_s} s");
        assert_eq!(events(all).len(), 1, "and that is all of it");
    }
}

#[test]
fn an_event_that_occurred_is_over_with_its_track() {
    for fps in RATES_FPS {
        let scene = |t: f64| if t < 8.0 { inside_until(10.0)(t) } else { vec![] };
        let all = transitions(fps, 30, scene, |t| if (8.0..9.0).contains(&t) { vec![4] } else { vec![] });
        assert_eq!(overs(&all), [(1, 8.0)], "{fps} frames/s");
    }
}

#[test]
fn an_event_whose_tracks_are_out_of_sight_is_over_after_a_minute() {
    for fps in RATES_FPS {
        let scene = |t: f64| if t < 8.0 { inside_until(10.0)(t) } else { vec![] };
        let all = transitions(fps, 90, scene, nobody);
        let [(1, over_s)] = overs(&all)[..] else { panic!("{fps} frames/s: {all:#?}") };
        assert!((67.0..=69.0).contains(&over_s), "{fps} frames/s: over after {over_s} s");
    }
}

#[test]
fn with_the_last_frame_what_happens_is_over_and_what_is_predicted_stays_undecided() {
    let mut engine = Engine::new(Options::default(), yard());
    let (mut ids, mut out) = (CountingIds::default(), Vec::new());
    for frame in 0..45_u32 {
        let t = f64::from(frame) / 3.0;
        let mut tracks = inside_until(100.0)(t);
        let (p, v) = walk_x(t, 100.0);
        tracks.push(scene_track(5, Point::new(p.x, 5.0), v, 0.1, 0.1));
        engine.step(&mut tracks, &[], at_ms(u64::from(frame) * 1000 / 3), &mut ids, &mut out);
    }
    let states: Vec<_> = events(std::mem::take(&mut out)).iter().map(|e| (e.id, e.state)).collect();
    assert!(states.contains(&(1, EventState::Occurred)) && states.contains(&(2, EventState::Predicted)));
    engine.close(at_ms(15_000), &mut out);
    assert_eq!(out, [Transition::EventOver { id: 1, time: at_ms(15_000) }]);
    engine.close(at_ms(15_000), &mut out);
    assert_eq!(out.len(), 1, "and only once");
}

#[derive(Debug, Clone)]
struct Step {
    ms: u64,
    tracks: Vec<(u32, f64, f64, f64, f64, f64)>,
    end: Option<u32>,
}

fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let track = (1u32..6, -5.0..35.0f64, -3.0..3.0f64, -3.0..3.0f64, -3.0..3.0f64, 0.0..40.0f64);
    let step = (1u64..1500, prop::collection::vec(track, 0..5), prop::option::weighted(0.05, 1u32..6))
        .prop_map(|(ms, tracks, end)| Step { ms, tracks, end });
    prop::collection::vec(step, 1..150)
}

proptest! {
    #[test]
    fn every_event_keeps_the_order_of_states_its_id_and_the_cool_down(script in scripts()) {
        let options = Options::default();
        let mut engine = Engine::new(options, yard());
        let (mut ids, mut out, mut ms) = (CountingIds::default(), Vec::new(), 0);
        let mut occurring = HashSet::new();
        // By key: the last event; by key and state: when it was entered last.
        let mut last: HashMap<(EventType, Vec<u32>, Option<String>), Event> = HashMap::new();
        for step in script {
            ms += step.ms;
            let mut tracks: Vec<_> = step.tracks.iter().map(|&(id, x, y, vx, vy, still_s)| {
                let mut t = scene_track(id, Point::new(x, y), Point::new(vx, vy), 0.1, 0.2);
                t.behavior.still_s = still_s;
                t.behavior.flags.set(Behaviors::LOITERING, still_s >= 30.0);
                t
            }).collect();
            tracks.sort_by_key(|t| t.track.id);
            tracks.dedup_by_key(|t| t.track.id);
            // Ids are not reused: a track that ended is forgotten here as well.
            let ended: Vec<u32> = step.end.into_iter().collect();
            tracks.retain(|t| !ended.contains(&t.track.id));
            out.clear();
            engine.step(&mut tracks, &ended, at_ms(ms), &mut ids, &mut out);
            for (id, _) in overs(&out) {
                prop_assert!(occurring.remove(&id), "{id} was over, and did not happen");
            }
            for event in events(std::mem::take(&mut out)) {
                prop_assert!((0.0..=1.0).contains(&event.probability) && event.position_m.is_finite());
                prop_assert!(event.severity >= Severity::Low);
                let zone = event.zone.clone().filter(|_| event.kind == EventType::Trespassing);
                let key = (event.kind, event.tracks.clone(), zone);
                let before = last.get(&key);
                let same = before.filter(|b| b.id == event.id);
                let since_s = before.map_or(f64::INFINITY, |b| event.time.seconds_from(b.time));
                match event.state {
                    EventState::Predicted => {
                        let graver = same.is_some_and(|b| b.state == EventState::Predicted && b.severity < event.severity);
                        let anew = before.is_none_or(|b| b.state != EventState::Predicted && b.id < event.id);
                        prop_assert!(graver || (anew && since_s >= options.cooldown_s));
                    }
                    EventState::Occurred => {
                        let legal = before.is_none_or(|b| match b.state {
                            EventState::Predicted => b.id == event.id,
                            EventState::Retracted => b.id < event.id,
                            _ => b.id < event.id && since_s >= options.cooldown_s,
                        });
                        prop_assert!(legal, "{before:?} {event:?}");
                    }
                    _ => prop_assert!(same.is_some_and(|b| b.state == EventState::Predicted)),
                }
                if event.state == EventState::Occurred {
                    prop_assert!(occurring.insert(event.id));
                }
                last.insert(key, event);
            }
            last.retain(|key, _| !key.1.iter().any(|id| ended.contains(id)));
        }
        // With their last track every event ends, each once.
        out.clear();
        engine.step(&mut [], &[1, 2, 3, 4, 5], at_ms(ms + 1), &mut ids, &mut out);
        let over: HashSet<u32> = overs(&out).into_iter().map(|(id, _)| id).collect();
        prop_assert_eq!(over.len(), overs(&out).len());
        prop_assert_eq!(over, occurring);
    }

    #[test]
    fn whatever_the_numbers_of_a_scene_every_event_is_finite(
        numbers in prop::collection::vec(prop::array::uniform8(any::<f64>()), 1..5),
        mild in prop::collection::vec(prop::array::uniform8(-50.0..50.0f64), 1..5),
        frames in 1u64..40,
    ) {
        let mut engine = Engine::new(Options::default(), yard());
        let (mut ids, mut out) = (CountingIds::default(), Vec::new());
        for frame in 0..frames {
            let mut tracks: Vec<_> = (1..).zip(numbers.iter().chain(&mild)).map(|(id, n)| {
                let mut t = scene_track(id, Point::new(n[0], n[1]), Point::new(n[2], n[3]), n[4], n[5]);
                if let Some(ground) = t.ground.as_mut() {
                    ground.cov[(0, 1)] = n[6];
                    ground.cov[(0, 2)] = n[7];
                }
                t
            }).collect();
            engine.step(&mut tracks, &[], at_ms(frame * 200), &mut ids, &mut out);
            for p in tracks.iter().flat_map(|t| &t.forecast.points) {
                prop_assert!(p.position_m.is_finite() && p.cov_m2.iter().all(|c| c.is_finite()));
            }
        }
        for e in &events(out) {
            prop_assert!((0.0..=1.0).contains(&e.probability) && e.position_m.is_finite());
            prop_assert!(e.rule.measured.iter().all(|(_, v)| v.is_finite()), "{e:?}");
        }
    }
}
