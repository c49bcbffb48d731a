//! Whom a camera believes: keys, signatures, replays, and claims that can't be.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use omnisight::model::{CameraId, Delivery, EventState, Point, Severity, Transition};
use omnisight::swarm::codec::Reason;
use omnisight::swarm::peers::PeerChange;
use omnisight::swarm::trust::pins::UNPROVEN_MAX;
use omnisight::swarm::trust::signature::{PROPERTY, Signer};
use omnisight::swarm::trust::{self, Change};
use omnisight::swarm::{Action, Engine, Input, Options};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use crate::scenes::{
    START_MS, camera, engine_with, event, event_json, handle, raw, scene, seen, sent, status_json, track_json,
};

/// Two keys of a camera, and one of a stranger.
static KEYS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    [(); 3].map(|()| Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec())
});

fn signer(name: &str, key: usize, previous: Option<usize>) -> Signer {
    Signer::new(&camera(name), &KEYS[key], previous.map(|i| &KEYS[i][..])).unwrap()
}

fn believing(name: &str, trust: trust::Options) -> Engine {
    engine_with(name, START_MS, Options { trust, ..Options::default() })
}

fn signing(name: &str, signer: Signer) -> Engine {
    let mut engine = believing(name, trust::Options::default());
    engine.remember(Some(signer), BTreeMap::new());
    engine
}

/// What an engine sends, as it arrives: with what travels beside it.
fn arriving(actions: &[Action]) -> Vec<Delivery> {
    sent(actions)
        .iter()
        .map(|envelope| Delivery {
            topic: envelope.topic.clone(),
            payload: envelope.payload.clone(),
            user_properties: envelope.user_properties.clone(),
            ..Delivery::default()
        })
        .collect()
}

fn birth(engine: &mut Engine, ms: u64) -> Delivery {
    arriving(&handle(engine, Input::Connected, ms)).remove(0)
}

fn incident(engine: &mut Engine, id: u32, ms: u64) -> Delivery {
    let transition = Transition::Event(event(id, EventState::Predicted, Severity::High, ms));
    arriving(&handle(engine, Input::Transition(&transition), ms)).remove(0)
}

fn changes(actions: &[Action]) -> Vec<(CameraId, Change)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Trust { camera, change } => Some((camera.clone(), *change)),
        _ => None,
    });
    told.collect()
}

fn give(to: &mut Engine, delivery: &Delivery, ms: u64) -> Vec<Action> {
    handle(to, Input::Delivery(delivery), ms)
}

/// Why the last message was refused.
fn refused(engine: &Engine) -> Vec<Reason> {
    Reason::ALL.into_iter().filter(|reason| engine.counters().refused[*reason as usize] > 0).collect()
}

#[test]
fn the_first_key_of_a_camera_is_pinned_and_what_it_signs_is_taken() {
    let (mut a, mut b) = (signing("a", signer("a", 0, None)), believing("b", trust::Options::default()));
    let hello = birth(&mut a, 0);
    assert!(hello.user_properties[0].0 == PROPERTY && !hello.payload.is_empty());
    let told = changes(&give(&mut b, &hello, 10));
    assert!(matches!(&told[..], [(of, Change::Pinned(_))] if *of == camera("a")), "{told:?}");
    assert_eq!(changes(&give(&mut b, &hello, 20)), [], "once");
    give(&mut b, &incident(&mut a, 1, 100), 110);
    assert_eq!((b.peers().events().count(), b.trust().counters().verified), (1, 3));
    assert_eq!(refused(&b), []);
    assert_eq!(b.trust().pins().len(), 1);
}

#[test]
fn in_the_name_of_who_signs_nothing_is_taken_that_it_did_not_sign() {
    let (mut a, mut b) = (signing("a", signer("a", 0, None)), believing("b", trust::Options::default()));
    give(&mut b, &birth(&mut a, 0), 10);
    let good = incident(&mut a, 1, 100);
    give(&mut b, &Delivery { user_properties: Vec::new(), ..good.clone() }, 110);
    assert_eq!(refused(&b), [Reason::Unsigned]);
    let changed =
        String::from_utf8(good.payload.to_vec()).unwrap().replace("\"severity\":3", "\"severity\":4");
    give(&mut b, &Delivery { payload: changed.into(), ..good.clone() }, 110);
    assert_eq!(refused(&b), [Reason::Unsigned, Reason::BadSignature]);
    let garbled = vec![(PROPERTY.to_owned(), "1 x y".to_owned())];
    give(&mut b, &Delivery { user_properties: garbled, ..good.clone() }, 110);
    assert_eq!(b.counters().refused[Reason::BadSignature as usize], 2);
    assert_eq!(b.peers().events().count(), 0);
    give(&mut b, &good, 110);
    assert_eq!(b.peers().events().count(), 1);
    // Without `tracks` an unsigned track counts.
    give(&mut b, &track_json("a", 1, Some(1), 120), 120);
    assert_eq!(b.peers().tracks().count(), 1);
}

#[test]
fn a_foreign_key_is_refused_and_a_new_one_taken_when_the_old_one_has_signed_for_it() {
    let mut b = believing("b", trust::Options::default());
    give(&mut b, &birth(&mut signing("a", signer("a", 0, None)), 0), 10);
    let thief = birth(&mut signing("a", signer("a", 2, None)), 1_000);
    give(&mut b, &thief, 1_010);
    assert_eq!(refused(&b), [Reason::ForeignKey]);
    let mut renewed = signing("a", signer("a", 1, Some(0)));
    let told = changes(&give(&mut b, &birth(&mut renewed, 2_000), 2_010));
    assert!(matches!(told[..], [(_, Change::Rotated(_))]), "{told:?}");
    give(&mut b, &incident(&mut renewed, 1, 2_100), 2_110);
    assert_eq!(b.peers().events().count(), 1);
    // The old key is worth nothing any more.
    give(&mut b, &incident(&mut signing("a", signer("a", 0, None)), 2, 2_200), 2_210);
    assert_eq!(
        (b.peers().events().count(), refused(&b)),
        (1, vec![Reason::BadSignature, Reason::ForeignKey])
    );
}

#[test]
fn a_replay_of_yesterday_is_refused_and_so_is_a_presence_older_than_the_last() {
    let (mut a, mut b) = (signing("a", signer("a", 0, None)), believing("b", trust::Options::default()));
    let (old, new) = (birth(&mut a, 0), birth(&mut a, 5_000));
    give(&mut b, &new, 5_010);
    give(&mut b, &old, 5_020);
    assert_eq!(refused(&b), [Reason::Replayed]);
    let alarm = incident(&mut a, 1, 6_000);
    let day_ms = 86_400_000;
    give(&mut b, &alarm, day_ms);
    assert_eq!((b.counters().refused[Reason::Replayed as usize], b.peers().events().count()), (2, 0));
    // What a broker has kept may be old: nobody has heard anything newer.
    let mut later = believing("c", trust::Options::default());
    give(&mut later, &Delivery { retained: true, ..new }, day_ms);
    assert_eq!((refused(&later), later.peers().online()), (vec![], 1));
}

#[test]
fn on_another_topic_a_signature_is_worth_nothing() {
    let (mut a, mut b) = (signing("a", signer("a", 0, None)), believing("b", trust::Options::default()));
    give(&mut b, &birth(&mut a, 0), 10);
    let vote = |engine: &mut Engine| {
        let claim = incident(&mut believing("c", trust::Options::default()), 9, 100);
        give(engine, &claim, 110);
        arriving(&handle(engine, Input::Tick, 1_500))
    };
    let votes: Vec<_> = vote(&mut a).into_iter().filter(|d| d.topic.ends_with("consensus/9")).collect();
    assert_eq!(votes.len(), 1);
    let moved = String::from_utf8(votes[0].payload.to_vec()).unwrap();
    let moved = moved.replace("\"event_id\":9", "\"event_id\":8").replace("/9\"", "/8\"");
    let topic = votes[0].topic.replace("/9", "/8");
    give(&mut b, &Delivery { topic, payload: moved.into(), ..votes[0].clone() }, 1_510);
    assert_eq!(refused(&b), [Reason::BadSignature]);
    give(&mut b, &votes[0], 1_510);
    assert_eq!(refused(&b), [Reason::BadSignature]);
}

#[test]
fn where_signatures_are_required_strangers_are_not_believed_and_known_keys_are() {
    let key = omnisight::swarm::trust::signature::Announcement::parse(&signer("a", 0, None).announcement());
    let strict = trust::Options {
        require: true,
        pin_first: false,
        tracks: true,
        keys: BTreeMap::from([(camera("a"), key.unwrap().key)]),
    };
    let mut b = believing("b", strict.clone());
    give(&mut b, &birth(&mut believing("x", trust::Options::default()), 0), 10);
    give(&mut b, &birth(&mut signing("y", signer("y", 1, None)), 0), 10);
    assert_eq!((refused(&b), b.peers().iter().count()), (vec![Reason::Unsigned, Reason::ForeignKey], 0));
    let mut a = believing("a", strict);
    a.remember(Some(signer("a", 0, None)), BTreeMap::new());
    give(&mut b, &birth(&mut a, 0), 10);
    for delivery in arriving(&handle(&mut a, Input::Scene(&scene("a", 100, vec![seen(1, 0.0, true)])), 100)) {
        give(&mut b, &delivery, 110);
        assert_eq!(b.peers().tracks().count(), 1);
        give(&mut b, &Delivery { user_properties: Vec::new(), ..delivery }, 120);
        assert_eq!(b.counters().refused[Reason::Unsigned as usize], 2);
    }
}

#[test]
fn a_camera_that_reports_what_can_not_be_is_muted_and_shown_and_comes_back() {
    let mut b = believing("b", trust::Options::default());
    give(&mut b, &birth(&mut believing("a", trust::Options::default()), 0), 0);
    let mut told = Vec::new();
    let mut say = |b: &mut Engine, x: f64, seq: u64, ms: u64| {
        let text = String::from_utf8(track_json("a", 1, Some(seq), ms).payload.to_vec()).unwrap();
        let payload = text.replace("\"x\":1.0", &format!("\"x\":{x:?}"));
        let delivery = Delivery { payload: payload.into(), ..track_json("a", 1, Some(seq), ms) };
        told.extend(changes(&give(b, &delivery, ms)).into_iter().map(|(_, change)| change));
    };
    for n in 0..60 {
        // There, and a moment later a hundred metres away.
        say(&mut b, if n % 2 == 0 { 1.0 } else { 101.0 }, n + 1, n * 100);
    }
    let status = handle(&mut b, Input::Connected, 6_100);
    let status = String::from_utf8(sent(&status)[0].payload.to_vec()).unwrap();
    assert!(status.contains("\"trust_muted_a\":1"), "{status}");
    assert!(b.trust().is_muted(&camera("a")) && b.trust().counters().impossible.iter().sum::<u64>() > 30);
    for n in 60..600 {
        say(&mut b, 1.0, n + 1, n * 100);
    }
    assert_eq!(told, [Change::Muted, Change::Heard]);
    assert!(!b.trust().is_muted(&camera("a")));
}

/// Options of a camera that signs and verifies all families.
fn all_families() -> trust::Options {
    trust::Options { tracks: true, ..trust::Options::default() }
}

fn signing_all(name: &str, signer: Signer) -> Engine {
    let mut engine = believing(name, all_families());
    engine.remember(Some(signer), BTreeMap::new());
    engine
}

/// What an engine sends of a scene with so many tracks.
fn tracks(engine: &mut Engine, name: &str, count: u32, ms: u64) -> Vec<Delivery> {
    let all = (1..=count).map(|id| seen(id, 0.0, true)).collect();
    arriving(&handle(engine, Input::Scene(&scene(name, ms, all)), ms))
}

/// A track message with this position, metres.
fn track_at(name: &str, x: f64, seq: u64, ms: u64) -> Delivery {
    let delivery = track_json(name, 1, Some(seq), ms);
    let text = String::from_utf8(delivery.payload.to_vec()).unwrap();
    Delivery { payload: text.replace("\"x\":1.0", &format!("\"x\":{x:?}")).into(), ..delivery }
}

fn signed(delivery: Delivery, signer: &Signer, ms: u64) -> Delivery {
    let value = signer.sign(&delivery.topic, START_MS + ms, &delivery.payload);
    Delivery { user_properties: vec![(PROPERTY.to_owned(), value)], ..delivery }
}

/// The signed presence of a camera that introduces its key.
fn introduction(name: &str, signer: &Signer, ms: u64) -> Delivery {
    let delivery = status_json(name, "online", START_MS, ms);
    let text = String::from_utf8(delivery.payload.to_vec()).unwrap();
    let text = text.replace('}', &format!(",\"public_key\":\"{}\"}}", signer.announcement()));
    signed(Delivery { payload: text.into(), ..delivery }, signer, ms)
}

/// Hands over 500 messages a second of 50 tracks, captured from one time to another; they arrive as `arrival` has it.
fn report(
    to: &mut Engine,
    name: &str,
    per_s: u64,
    captured_ms: std::ops::Range<u64>,
    arrival: impl Fn(u64) -> u64,
) {
    let count = (captured_ms.end - captured_ms.start) * per_s / 1_000;
    for n in 0..count {
        let ms = captured_ms.start + n * 1_000 / per_s;
        give(
            to,
            &track_json(name, 1 + (n % 50) as u32, Some(captured_ms.start * per_s + n + 1), ms),
            arrival(ms),
        );
    }
}

#[test]
fn the_backlog_after_a_stall_of_the_network_does_not_mute_an_honest_camera() {
    let mut b = believing("b", trust::Options::default());
    give(&mut b, &birth(&mut believing("a", trust::Options::default()), 0), 0);
    report(&mut b, "a", 500, 0..10_000, |ms| if ms < 3_000 { ms } else { ms.max(4_500) });
    assert_eq!(b.trust().counters().impossible.iter().sum::<u64>(), 0);
    assert!(!b.trust().is_muted(&camera("a")) && !b.fusion().is_muted(&camera("a")));
    assert_eq!((b.counters().missing, b.counters().duplicates), (0, 0));
}

#[test]
fn a_camera_that_floods_is_muted_within_two_seconds() {
    let mut b = believing("b", trust::Options::default());
    give(&mut b, &birth(&mut believing("a", trust::Options::default()), 0), 0);
    report(&mut b, "a", 3_000, 0..2_000, |ms| ms);
    assert!(b.trust().is_muted(&camera("a")));
}

#[test]
fn the_tracks_of_a_scene_are_signed_together_and_one_verification_serves_them_all() {
    let (mut a, mut b) = (signing_all("a", signer("a", 0, None)), believing("b", all_families()));
    give(&mut b, &birth(&mut a, 0), 10);
    let scenes = [100, 200].map(|ms| tracks(&mut a, "a", 5, ms));
    assert!(scenes.iter().flatten().all(|track| track.user_properties[0].1.starts_with("2 ")));
    // The messages of both scenes arrive interleaved.
    for i in 0..5 {
        for scene in &scenes {
            give(&mut b, &scene[i], 210);
        }
    }
    let counters = b.trust().counters();
    assert_eq!((counters.verified, counters.batches, b.peers().tracks().count()), (11, 2, 5));
    let moved = Delivery { user_properties: scenes[1][1].user_properties.clone(), ..scenes[1][0].clone() };
    give(&mut b, &moved, 220);
    let mut changed = scenes[1][0].clone();
    let text = String::from_utf8(changed.payload.to_vec()).unwrap();
    changed.payload = text.replace("\"confidence\":0.9", "\"confidence\":0.8").into();
    give(&mut b, &changed, 220);
    assert_eq!(b.counters().refused[Reason::BadSignature as usize], 2);
    // A track on its own is signed as before.
    let single = tracks(&mut a, "a", 1, 300).remove(0);
    assert!(single.user_properties[0].1.starts_with("1 "));
    give(&mut b, &single, 310);
    assert_eq!((b.trust().counters().verified, b.trust().counters().batches), (12, 2));
}

#[test]
fn nothing_unsigned_counts_for_or_against_a_camera_that_signs() {
    let (mut a, mut b) = (signing_all("a", signer("a", 0, None)), believing("b", all_families()));
    give(&mut b, &birth(&mut a, 0), 10);
    let before = (b.counters().received, b.peers().get(&camera("a")).unwrap().heard);
    let thief = signer("a", 2, None);
    for n in 0..200_u64 {
        let ms = 100 + n * 10;
        let impossible = track_at("a", if n % 2 == 0 { 1.0 } else { 101.0 }, n + 1, ms);
        let foreign = signed(impossible.clone(), &thief, ms);
        for delivery in [
            impossible,
            foreign,
            event_json("a", n as u32 + 1, ms),
            status_json("a", "offline", START_MS, ms),
        ] {
            assert_eq!(changes(&give(&mut b, &delivery, ms)), []);
        }
    }
    assert_eq!((b.counters().received, b.peers().get(&camera("a")).unwrap().heard), before);
    assert!(!b.trust().is_muted(&camera("a")) && b.trust().counters().impossible == [0; 4]);
    assert_eq!((b.peers().tracks().count(), b.peers().events().count(), b.fusion().len()), (0, 0, 0));
    assert_eq!(refused(&b), [Reason::Unsigned, Reason::BadSignature]);
    for track in tracks(&mut a, "a", 3, 2_200) {
        give(&mut b, &track, 2_210);
    }
    assert_eq!(b.peers().tracks().count(), 3);
}

#[test]
fn where_signatures_are_required_a_newcomer_does_not_join_by_its_tracks_votes_or_events() {
    let strict = trust::Options { require: true, ..trust::Options::default() };
    let mut b = believing("b", strict.clone());
    let stranger = signer("x", 2, None);
    let vote = r#"{"event_id":9,"initiating_camera":"x","num_confirming":1,"confirming_cameras":["x"],"aggregated_confidence":0.9,"timestamp":1,"camera_id":"x"}"#;
    for n in 0..20_u64 {
        let ms = n * 100;
        let said = [track_json("x", 1, Some(n + 1), ms), event_json("x", 1, ms), raw("consensus/9", vote)];
        for delivery in said.into_iter().chain([status_json("x", "online", START_MS, ms)]) {
            give(&mut b, &delivery, ms);
            if !delivery.topic.contains("status") {
                give(&mut b, &signed(delivery, &stranger, ms), ms);
            }
        }
    }
    assert_eq!((b.peers().iter().count(), b.fusion().len(), b.consensus().len()), (0, 0, 0));
    assert_eq!(
        (b.counters().received.iter().sum::<u64>(), refused(&b)),
        (0, vec![Reason::Unsigned, Reason::ForeignKey])
    );
    // A camera that requires signatures signs its tracks too.
    let mut a = believing("a", strict);
    a.remember(Some(signer("a", 0, None)), BTreeMap::new());
    give(&mut b, &birth(&mut a, 2_000), 2_010);
    for track in tracks(&mut a, "a", 2, 2_100) {
        give(&mut b, &track, 2_110);
    }
    assert_eq!(b.peers().tracks().count(), 2);
}

#[test]
fn what_was_learned_unsigned_in_a_cameras_name_is_forgotten_when_its_key_is_pinned() {
    let (mut a, mut b) = (signing_all("a", signer("a", 0, None)), believing("b", all_families()));
    // An attacker speaks first: a boot of the future, impossible tracks, and an event.
    let future = Options { trust: all_families(), ..Options::default() };
    give(&mut b, &birth(&mut engine_with("a", START_MS + 9_999, future), 0), 0);
    for n in 0..60 {
        give(&mut b, &track_at("a", if n % 2 == 0 { 1.0 } else { 101.0 }, n + 1_000, n * 10), n * 10);
    }
    give(&mut b, &event_json("a", 7, 600), 600);
    assert!(b.trust().is_muted(&camera("a")) && b.fusion().is_muted(&camera("a")));
    assert_eq!((b.consensus().len(), b.peers().events().count()), (1, 1));
    let hello = birth(&mut a, 700);
    assert!(matches!(changes(&give(&mut b, &hello, 710))[..], [(_, Change::Pinned(_))]));
    let peer = b.peers().get(&camera("a")).unwrap();
    assert_eq!((peer.status.as_ref().unwrap().boot.0, b.peers().online()), (START_MS, 1));
    assert!(!b.trust().is_muted(&camera("a")) && !b.fusion().is_muted(&camera("a")));
    assert_eq!((b.consensus().len(), b.peers().events().count(), b.peers().tracks().count()), (0, 0, 0));
    assert_eq!(b.counters().old_boots, 0);
    for track in tracks(&mut a, "a", 2, 800) {
        give(&mut b, &track, 810);
    }
    assert_eq!((b.peers().tracks().count(), b.counters().duplicates), (2, 0));
    assert_eq!(b.trust().counters().impossible.iter().sum::<u64>() as usize, 59, "none of them signed");
}

#[test]
fn thousands_of_newcomers_neither_keep_an_honest_one_out_nor_evict_a_proven_key() {
    let mut b = believing("b", trust::Options { require: true, ..trust::Options::default() });
    let known = signer("known", 1, None);
    give(&mut b, &introduction("known", &known, 0), 0);
    let mut out = Vec::new();
    b.prove(&camera("known"), &mut out);
    b.prove(&camera("known"), &mut out);
    assert!(matches!(changes(&out)[..], [(_, Change::Proven(_))]), "once");
    for n in 0..4_150 {
        let name = format!("made-up-{n}");
        give(&mut b, &introduction(&name, &signer(&name, 2, None), 1_000 + n), 1_000 + n);
    }
    let mut a = signing_all("a", signer("a", 0, None));
    give(&mut b, &birth(&mut a, 6_000), 6_000);
    give(&mut b, &incident(&mut a, 1, 6_100), 6_110);
    assert_eq!(b.peers().events().count(), 1);
    let pins = b.trust().pins();
    assert_eq!(pins.len(), UNPROVEN_MAX + 1);
    assert!(pins[&camera("known")].proven && !pins[&camera("a")].proven);
    assert_eq!(b.trust().counters().evicted_pins, 4_151 - UNPROVEN_MAX as u64);
    // At the next start all of them are known.
    let mut again = believing("b", trust::Options { require: true, ..trust::Options::default() });
    again.remember(None, pins.clone());
    assert_eq!(again.trust().pins(), pins);
}

#[test]
fn a_vote_of_a_camera_that_signs_counts_only_when_it_signed_it_itself() {
    let mut b = believing("b", all_families());
    let (a, c) = (signer("a", 0, None), signer("c", 1, None));
    give(&mut b, &introduction("a", &a, 0), 0);
    give(&mut b, &introduction("c", &c, 0), 0);
    give(&mut b, &signed(event_json("a", 9, 100), &a, 100), 100);
    let told = r#"{"event_id":9,"initiating_camera":"a","num_confirming":1,"confirming_cameras":["c"],"aggregated_confidence":0.9,"timestamp":1}"#;
    give(&mut b, &raw("consensus/9", told), 200);
    assert_eq!(b.consensus().counters().votes_taken, 0);
    let own =
        told.replace("\"timestamp\":1}", "\"timestamp\":1,\"camera_id\":\"c\",\"verdict\":\"confirm\"}");
    give(&mut b, &raw("consensus/9", &own), 300);
    assert_eq!((b.consensus().counters().votes_taken, refused(&b)), (0, vec![Reason::Unsigned]));
    give(&mut b, &signed(raw("consensus/9", &own), &c, 400), 400);
    assert_eq!(b.consensus().counters().votes_taken, 1);
}

/// Three hundred cameras that report random places start together with an honest one and send all their messages at once,
/// every second: more than the table of cameras holds.
#[test]
fn a_flood_of_names_that_starts_with_an_honest_camera_does_not_keep_it_from_counting() {
    let mut engine = believing("m", trust::Options::default());
    let mut rng = Pcg64Mcg::seed_from_u64(300);
    let mut evicted = Vec::new();
    // To and fro at 1.1 m/s: each second is a comparison of its own.
    let walker = |s: u64| Point::new(1.0 + 1.1 * (s % 10).min(10 - s % 10) as f64, 3.0);
    for s in 0..25 {
        let ms = 1_000 * s;
        let mut track = seen(1, 0.0, true);
        track.ground.as_mut().unwrap().position = walker(s);
        handle(&mut engine, Input::Scene(&scene("m", ms, vec![track])), ms);
        let mut actions = Vec::new();
        actions.extend(give(&mut engine, &calibrated("z", ms), ms));
        actions.extend(give(&mut engine, &person_at("z", 2 * s, walker(s), ms), ms));
        for n in 0..300 {
            let name = format!("a-{n:03}");
            let place = Point::new(rng.random_range(0.0..8.0), rng.random_range(0.0..6.0));
            actions.extend(give(&mut engine, &calibrated(&name, ms), ms + 1));
            actions.extend(give(&mut engine, &person_at(&name, s, place, ms), ms + 2));
        }
        actions.extend(give(&mut engine, &person_at("z", 2 * s + 1, walker(s), ms + 100), ms + 100));
        actions.extend(handle(&mut engine, Input::Tick, ms + 500));
        let is_z = |action: &&Action| matches!(action, Action::Peer { camera, change: PeerChange::Lost(_) } if camera.as_str() == "z");
        evicted.extend(actions.iter().filter(is_z).map(|_| s));
    }
    assert!(engine.participants().counts(&camera("z")));
    assert!(evicted.iter().all(|&s| s < 2), "nothing was compared before: {evicted:?}");
    assert!((0..300).all(|n| !engine.participants().counts(&camera(&format!("a-{n:03}")))));
}

/// Presence of a camera that sees the same ground.
fn calibrated(name: &str, ms: u64) -> Delivery {
    let payload = format!(
        r#"{{"camera_id":"{name}","state":"online","version":"1","boot":{START_MS},"timestamp":{},"encodings":["json"],"ground":"calibrated","footprint":[[0,0],[8,0],[8,6],[0,6]]}}"#,
        START_MS + ms
    );
    raw(&format!("status/{name}"), &payload)
}

fn person_at(name: &str, seq: u64, at: Point, ms: u64) -> Delivery {
    let payload = format!(
        r#"{{"camera_id":"{name}","track_id":1,"global_position":{{"x":{:.2},"y":{:.2},"z":0.0}},"velocity":{{"x":0.0,"y":0.0}},"class":"person","confidence":0.9,"timestamp":{},"behaviors":0,"threat_score":0.0,"seq":{seq}}}"#,
        at.x,
        at.y,
        START_MS + ms
    );
    raw(&format!("tracks/{name}/1"), &payload)
}
