//! Whom a camera believes: keys, signatures, replays, and claims that can't be.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use omnisight::model::{CameraId, Delivery, EventState, Severity, Transition};
use omnisight::swarm::codec::Reason;
use omnisight::swarm::trust::signature::{PROPERTY, Signer};
use omnisight::swarm::trust::{self, Change};
use omnisight::swarm::{Action, Engine, Input, Options};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use crate::scenes::{START_MS, camera, engine_with, event, handle, scene, seen, sent, track_json};

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
    // Tracks are not signed unless it is asked for.
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
