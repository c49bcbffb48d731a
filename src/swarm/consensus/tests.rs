//! Cameras that hear each other's claims and votes, in any order, with a site that is made up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::ballot::Word;
use super::*;
use crate::model::{BBox, Behavior, Behaviors, Class, Forecast, Motion, Size, Track};
use crate::swarm::bounded::List;
use crate::swarm::message::Verdict;
use crate::swarm::message::{AlertState, Position};
use crate::swarm::wire::{Count, Fraction, Id, Millis, Real};

const START_MS: u64 = 1_700_000_000_000;

fn at(ms: u64) -> Time {
    Time { mono_ns: 1_000_000_000 + ms * 1_000_000, epoch_ms: START_MS + ms }
}

fn camera(name: &str) -> CameraId {
    CameraId::parse(name).unwrap()
}

fn square(from: f64, to: f64) -> Polygon {
    Polygon::new([(from, from), (to, from), (to, to), (from, to)].map(|(x, y)| Point::new(x, y)).to_vec())
        .unwrap()
}

/// A site on which every camera sees the same square.
#[derive(Debug, Clone)]
struct Plaza {
    own: CameraId,
    cameras: BTreeSet<CameraId>,
    /// Cameras that are away, and that nobody believes.
    away: BTreeSet<CameraId>,
    muted: BTreeSet<CameraId>,
    /// Cameras that are not asked, and cameras of which nothing is known.
    silent: BTreeSet<CameraId>,
    unproven: BTreeSet<CameraId>,
    /// Who is who, by camera and track.
    people: BTreeMap<(CameraId, u32), u64>,
}

impl Plaza {
    fn new(own: &str, cameras: &[&str]) -> Self {
        Self {
            own: camera(own),
            cameras: cameras.iter().map(|name| camera(name)).collect(),
            away: BTreeSet::new(),
            muted: BTreeSet::new(),
            silent: BTreeSet::new(),
            unproven: BTreeSet::new(),
            people: BTreeMap::new(),
        }
    }
}

impl Site for Plaza {
    fn own(&self) -> &CameraId {
        &self.own
    }
    fn viewers(&self, at: Point) -> Vec<(&CameraId, bool)> {
        let here = square(0.0, 20.0).contains(at);
        self.cameras.iter().filter(|_| here).map(|camera| (camera, !self.away.contains(camera))).collect()
    }
    fn is_known(&self, camera: &CameraId) -> bool {
        self.cameras.contains(camera)
    }
    fn is_present(&self, camera: &CameraId) -> bool {
        !self.away.contains(camera)
    }
    fn is_muted(&self, camera: &CameraId) -> bool {
        self.muted.contains(camera)
    }
    fn standing(&self, camera: &CameraId) -> Standing {
        match self.cameras.contains(camera) || *camera == self.own {
            true if self.unproven.contains(camera) => Standing::Unproven,
            true => Standing::Counts,
            false => Standing::Stranger,
        }
    }
    fn is_asked(&self, camera: &CameraId, _: Time) -> bool {
        !self.silent.contains(camera)
    }
    fn class_of(&self, _: &CameraId, _: u32) -> Option<Class> {
        None
    }
    fn concerns(&self, _: Point) -> bool {
        true
    }
    fn shares_ground(&self, _: &CameraId) -> bool {
        true
    }
    fn subject(&self, camera: &CameraId, track_id: u32) -> Option<u64> {
        self.people.get(&(camera.clone(), track_id)).copied()
    }
    fn ahead_ms(&self, _: &CameraId) -> i64 {
        0
    }
    fn place_of(&self, _: &CameraId, _: u32) -> Option<Point> {
        None
    }
}

/// A trespasser at (x, 5), as a camera tells it.
fn claim(name: &str, event_id: u32, state: EventState, x: f64, ms: u64) -> EventMessage {
    let camera = camera(name);
    EventMessage {
        event_id: Id(event_id),
        event_type: EventType::Trespassing,
        position: Position { x: Real(x), y: Real(5.0), z: Real(0.0) },
        track_id: Id(event_id),
        probability: Fraction(if state == EventState::Occurred { 1.0 } else { 0.75 }),
        severity: Severity::High,
        predicted_time: Millis(START_MS + ms),
        timestamp: Millis(START_MS + ms),
        key: Some(EventKey { camera: camera.clone(), boot_ms: 1, event_id }),
        state: Some(state),
        zone: None,
        tracks: List::cut([Id(event_id)]),
        rule: None,
        interventions: List::default(),
        claims: List::default(),
        camera_id: camera,
    }
}

fn vote(voter: &str, initiator: &str, event_id: u32, word: Word) -> ConsensusMessage {
    let confirms = matches!(word, Word::Confirm(_));
    ConsensusMessage {
        event_id: Id(event_id),
        initiating_camera: camera(initiator),
        num_confirming: Count(u64::from(confirms)),
        confirming_cameras: List::cut(confirms.then(|| camera(voter))),
        aggregated_confidence: Fraction(word.confidence().unwrap_or(0.0)),
        timestamp: Millis(START_MS),
        camera_id: Some(camera(voter)),
        key: None,
        verdict: match word {
            Word::Abstain => None,
            Word::Deny => Some(Verdict::Deny),
            Word::Confirm(_) => Some(Verdict::Confirm),
        },
        votes: None,
        reason: None,
        outcome: None,
        occurred: None,
    }
}

/// One camera under test.
struct Member {
    consensus: Consensus,
    plaza: Plaza,
}

impl Member {
    fn new(own: &str, cameras: &[&str]) -> Self {
        let rules = Rules { forbidden: vec![square(0.0, 20.0)], ..Rules::default() };
        let consensus = Consensus::new(Options::default(), Some(square(0.0, 20.0)), rules);
        Self { consensus, plaza: Plaza::new(own, cameras) }
    }

    fn handle(&mut self, input: Input<'_>, ms: u64) -> Vec<Action> {
        let mut out = Vec::new();
        self.consensus.handle(input, &self.plaza, at(ms), &mut out);
        out.retain(|action| !matches!(action, Action::Answered(_)));
        out
    }

    fn event(&mut self, m: &EventMessage, ms: u64) -> Vec<Action> {
        self.handle(Input::Event(m), ms)
    }

    fn vote(&mut self, m: &ConsensusMessage, ms: u64) -> Vec<Action> {
        self.handle(Input::Vote(m), ms)
    }

    fn tick(&mut self, ms: u64) -> Vec<Action> {
        self.handle(Input::Tick, ms)
    }

    /// Sees somebody at each of these places, from one second before a time until after it.
    fn sees(&mut self, places: &[(u32, f64)], ms: u64) {
        for step in 0..6 {
            let scene = scene(places, ms.saturating_sub(1_000) + step * 400);
            self.handle(Input::Scene(&scene), ms);
        }
    }

    fn events(&self, ms: u64) -> Vec<SiteEvent> {
        self.consensus.events(&self.plaza, at(ms))
    }
}

fn scene(places: &[(u32, f64)], ms: u64) -> Scene {
    let seen = |&(id, x): &(u32, f64)| {
        let motion = Motion {
            position: Point::new(x, 5.0),
            velocity: Point::default(),
            cov: nalgebra::SMatrix::identity() * 0.04,
        };
        crate::model::SceneTrack {
            track: Track {
                id,
                class: Class::Person,
                bbox: BBox::default(),
                confidence: 0.9,
                foot: motion,
                first_seen: at(0),
                last_seen: at(ms),
                hits: 9,
            },
            ground: Some(motion),
            behavior: Behavior { flags: Behaviors::empty(), ..Behavior::default() },
            forecast: Forecast::default(),
        }
    };
    let tracks: Vec<_> = places.iter().map(seen).collect();
    let size = Size { width: 640, height: 480 };
    let (sightings, detections) = (Vec::new(), tracks.len());
    Scene { camera: camera("own"), seq: ms, time: at(ms), size, detections, sightings, tracks }
}

fn outcomes(actions: &[Action]) -> Vec<(String, EventState)> {
    let site = actions.iter().filter_map(|a| if let Action::Site(e) = a { Some(e) } else { None });
    site.filter(|e| e.state != EventState::Predicted).map(|e| (e.key.to_string(), e.state)).collect()
}

fn announced(actions: &[Action]) -> Vec<EventState> {
    let told = actions.iter().filter_map(|a| if let Action::Event(e) = a { e.state } else { None });
    told.collect()
}

/// Outcomes that are published on behalf of a camera that does not.
fn published(actions: &[Action]) -> Vec<(String, EventState)> {
    votes(actions).iter().filter_map(|v| Some((v.key.as_ref()?.to_string(), v.outcome?))).collect()
}

fn votes(actions: &[Action]) -> Vec<&ConsensusMessage> {
    actions.iter().filter_map(|a| if let Action::Vote(v) = a { Some(&**v) } else { None }).collect()
}

const OCCURRED: EventState = EventState::Occurred;

#[test]
fn a_camera_that_alone_can_see_the_place_decides_alone_at_once_and_says_so() {
    let mut a = Member::new("a", &["a"]);
    let actions = a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    assert_eq!(outcomes(&actions), [("a/1/1".to_owned(), EventState::Confirmed)]);
    assert_eq!(announced(&actions), [EventState::Confirmed]);
    let [aggregate] = votes(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((aggregate.num_confirming.0, &aggregate.confirming_cameras[0]), (1, &camera("a")));
    assert!(a.events(0)[0].is_alone());
    assert_eq!(a.tick(5_000), []);
}

#[test]
fn two_of_three_confirm_and_the_third_is_not_waited_for() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    assert_eq!(outcomes(&a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0)), []);
    // Others may be claiming it at this moment.
    let actions = a.vote(&vote("b", "a", 1, Word::confirm(0.9)), 200);
    assert_eq!((outcomes(&actions), announced(&actions)), (vec![], vec![]));
    let actions = a.tick(250);
    assert_eq!(outcomes(&actions), [("a/1/1".to_owned(), EventState::Confirmed)]);
    assert_eq!(announced(&actions), [EventState::Confirmed]);
    // What comes later changes nothing, and nothing is said twice.
    assert_eq!(a.vote(&vote("c", "a", 1, Word::Deny), 300), []);
    assert_eq!(a.vote(&vote("b", "a", 1, Word::confirm(0.9)), 400), []);
    assert_eq!(alerts(&a.tick(1_300)), [AlertState::Happening]);
    assert_eq!(a.tick(4_000), []);
    assert_eq!(a.consensus.counters().votes_repeated, 1);
    let event = &a.events(4_000)[0];
    assert_eq!((event.tally.asked, event.tally.confirming, event.tally.denying), (3, 2, 1));
}

#[test]
fn what_most_who_can_see_the_place_deny_is_retracted_when_the_time_is_over() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    assert_eq!(a.vote(&vote("b", "a", 1, Word::Deny), 1_000), []);
    assert_eq!(a.vote(&vote("c", "a", 1, Word::Deny), 1_000), []);
    assert_eq!(a.tick(2_000), []);
    assert_eq!(announced(&a.tick(3_000)), [EventState::Retracted]);
}

#[test]
fn what_nobody_answers_expires_and_is_confirmed_when_the_votes_come_late() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    assert_eq!(announced(&a.tick(3_000)), [EventState::Expired]);
    let late = a.vote(&vote("b", "a", 1, Word::confirm(0.9)), 60_000);
    assert_eq!(
        (outcomes(&late), announced(&late)),
        (vec![], vec![]),
        "another may have announced it meanwhile"
    );
    let actions = a.tick(61_000);
    let confirmed = vec![("a/1/1".to_owned(), EventState::Confirmed)];
    assert_eq!((outcomes(&actions), announced(&actions)), (confirmed, vec![EventState::Confirmed]));
}

#[test]
fn who_abstains_is_not_asked_and_absence_of_sight_is_no_denial() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    a.vote(&vote("b", "a", 1, Word::Abstain), 1_000);
    let actions = a.vote(&vote("c", "a", 1, Word::Abstain), 1_000);
    assert_eq!(announced(&actions), [EventState::Confirmed]);
    assert!(a.events(1_000)[0].is_alone());
}

#[test]
fn a_camera_that_is_away_is_not_asked() {
    let mut a = Member::new("a", &["a", "b"]);
    a.plaza.away.insert(camera("b"));
    assert_eq!(announced(&a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0)), [EventState::Confirmed]);
}

#[test]
fn one_incident_that_three_cameras_raise_is_one_event_that_one_of_them_announces() {
    let all = [
        claim("b", 4, OCCURRED, 5.0, 100),
        claim("a", 9, OCCURRED, 5.4, 300),
        claim("c", 2, OCCURRED, 4.8, 500),
    ];
    let confirmed = [("b/1/4".to_owned(), EventState::Confirmed)];
    let told = |own: &str, heard: &[EventMessage]| {
        let mut member = Member::new(own, &["a", "b", "c"]);
        let mut actions = Vec::new();
        for (i, message) in heard.iter().enumerate() {
            actions.extend(member.event(message, 500 + i as u64));
        }
        actions.extend(member.tick(1_500));
        assert_eq!(member.events(1_500).len(), 1);
        actions
    };
    let first = told("b", &all);
    assert_eq!((outcomes(&first), announced(&first)), (confirmed.to_vec(), vec![EventState::Confirmed]));
    let Some(Action::Event(event)) = first.iter().find(|a| matches!(a, Action::Event(_))) else { panic!() };
    for own in ["a", "c"] {
        // Alone with the claims, whatever it has heard of them, it tells its surfaces nothing yet.
        let actions = told(own, &all);
        assert_eq!((outcomes(&actions), announced(&actions)), (vec![], vec![]), "{own}");
        let announced_too: Vec<_> = all.iter().chain([&**event]).cloned().collect();
        let actions = told(own, &announced_too);
        assert_eq!((outcomes(&actions), announced(&actions)), (confirmed.to_vec(), vec![]), "{own}");
    }
}

#[test]
fn what_is_agreed_is_announced_with_the_first_frame_after_it_was_gathered() {
    let mut member = Member::new("a", &["a", "b"]);
    member.event(&claim("a", 1, EventState::Occurred, 5.0, 0), 0);
    assert!(announced(&member.vote(&vote("b", "a", 1, Word::confirm(0.9)), 100)).is_empty());
    let mut sees = |ms| announced(&member.handle(Input::Scene(&scene(&[], ms)), ms));
    assert!(sees(200).is_empty());
    assert_eq!(sees(300), [EventState::Confirmed]);
    assert!(sees(400).is_empty());
}

#[test]
fn what_no_claimant_publishes_a_viewer_publishes_on_its_behalf_and_reports_it() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("b", 1, OCCURRED, 5.0, 0), 0);
    a.event(&claim("c", 1, OCCURRED, 5.0, 0), 0);
    let actions = a.tick(3_900);
    assert_eq!((outcomes(&actions), published(&actions)), (vec![], vec![]));
    let actions = a.tick(4_000);
    let confirmed = ("b/1/1".to_owned(), EventState::Confirmed);
    assert_eq!((outcomes(&actions), published(&actions)), (vec![confirmed.clone()], vec![confirmed]));
    let quiet = a.tick(5_000);
    assert_eq!((outcomes(&quiet), published(&quiet)), (vec![], vec![]));
}

#[test]
fn when_who_should_announce_it_does_not_the_next_one_does() {
    let mut c = Member::new("c", &["a", "b", "c"]);
    c.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    let actions = c.event(&claim("c", 1, OCCURRED, 5.0, 100), 100);
    assert_eq!((outcomes(&actions), announced(&actions)), (vec![], vec![]));
    assert_eq!(announced(&c.tick(1_000)), []);
    let actions = c.tick(2_200);
    assert_eq!(announced(&actions), [EventState::Confirmed]);
    assert_eq!(outcomes(&actions), [("c/1/1".to_owned(), EventState::Confirmed)]);
    // The key is that of what was announced, on every camera.
    assert_eq!(votes(&actions)[0].key.as_ref().unwrap().to_string(), "c/1/1");
    let Some(Action::Event(event)) = actions.iter().find(|a| matches!(a, Action::Event(_))) else { panic!() };
    let mut b = Member::new("b", &["a", "b", "c"]);
    b.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    b.event(&claim("c", 1, OCCURRED, 5.0, 100), 100);
    b.event(event, 2_300);
    assert_eq!(b.events(2_300)[0].key.to_string(), "c/1/1");
    // And who is known to be away is not waited for.
    let mut c = Member::new("c", &["a", "b", "c"]);
    c.plaza.away.insert(camera("a"));
    c.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    c.event(&claim("c", 1, OCCURRED, 5.0, 100), 100);
    assert_eq!(announced(&c.tick(1_000)), [EventState::Confirmed]);
}

#[test]
fn two_people_who_do_the_same_are_two_incidents_and_one_person_under_two_tracks_is_one() {
    let mut a = Member::new("a", &["a", "b"]);
    for (track, person) in [(1, 71), (2, 72)] {
        a.plaza.people.insert((camera("a"), track), person);
        a.plaza.people.insert((camera("b"), 10 + track), person);
    }
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    a.event(&claim("a", 2, OCCURRED, 6.5, 0), 0);
    a.event(&claim("b", 12, OCCURRED, 6.4, 100), 100);
    a.event(&claim("b", 11, OCCURRED, 5.1, 100), 100);
    a.tick(1_000);
    let keys: Vec<_> =
        a.events(200).iter().map(|e| (e.key.to_string(), e.claims.len(), e.subjects.clone())).collect();
    assert_eq!(keys, [("a/1/1".to_owned(), 2, vec![71]), ("a/1/2".to_owned(), 2, vec![72])]);
    // The tracker lost one and found them again under another number.
    a.plaza.people.insert((camera("a"), 3), 71);
    let again = a.event(&claim("a", 3, OCCURRED, 5.0, 9_000), 9_000);
    assert_eq!((outcomes(&again), a.events(9_000).len()), (vec![], 2));
}

#[test]
fn what_is_far_away_long_ago_or_of_another_kind_is_another_incident() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    a.event(&claim("b", 1, OCCURRED, 9.0, 0), 0);
    a.event(&claim("b", 2, OCCURRED, 5.0, 11_000), 11_000);
    let mut fall = claim("c", 1, OCCURRED, 5.0, 0);
    fall.event_type = EventType::Fall;
    a.event(&fall, 11_000);
    assert_eq!(a.events(11_000).len(), 4);
}

#[test]
fn who_sees_somebody_there_confirms_who_looks_and_sees_nobody_denies_after_a_moment() {
    let mut b = Member::new("b", &["a", "b"]);
    b.sees(&[(3, 5.5)], 1_000);
    let actions = b.event(&claim("a", 1, OCCURRED, 5.0, 1_000), 1_050);
    let [vote] = votes(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(
        (vote.verdict, vote.num_confirming.0, &vote.confirming_cameras[0]),
        (Some(Verdict::Confirm), 1, &camera("b"))
    );
    assert!((vote.aggregated_confidence.0 - 0.9).abs() < 1e-9);

    let mut b = Member::new("b", &["a", "b"]);
    b.sees(&[(3, 15.0)], 1_000);
    assert_eq!(votes(&b.event(&claim("a", 1, OCCURRED, 5.0, 1_000), 1_050)).len(), 0);
    let actions = b.tick(2_050);
    let [vote] = votes(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(
        (vote.verdict, vote.num_confirming.0, vote.confirming_cameras.len()),
        (Some(Verdict::Deny), 0, 0)
    );
    assert!(vote.votes.as_ref().unwrap()[&camera("b")].0 < 1e-9);
}

#[test]
fn who_was_not_looking_or_has_something_before_the_place_abstains() {
    let mut b = Member::new("b", &["a", "b"]);
    b.event(&claim("a", 1, OCCURRED, 5.0, 1_000), 1_050);
    let actions = b.tick(2_050);
    let [vote] = votes(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((vote.verdict, vote.num_confirming.0, vote.votes.as_ref().unwrap().len()), (None, 0, 0));

    let mut b = Member::new("b", &["a", "b"]);
    for _ in 0..20 {
        b.consensus.compare(Point::new(5.0, 5.0), false);
    }
    b.sees(&[], 1_000);
    b.event(&claim("a", 1, OCCURRED, 5.0, 1_000), 1_050);
    assert_eq!(votes(&b.tick(2_050))[0].verdict, None);
}

#[test]
fn who_is_asked_late_answers_for_the_time_of_the_event() {
    let mut b = Member::new("b", &["a", "b"]);
    b.sees(&[(3, 5.5)], 1_000);
    b.sees(&[], 60_000);
    let actions = b.event(&claim("a", 1, OCCURRED, 5.0, 1_000), 60_500);
    assert_eq!(votes(&actions)[0].verdict, Some(Verdict::Confirm));
}

#[test]
fn what_was_expected_and_taken_back_by_all_is_retracted_whatever_was_voted() {
    let mut a = Member::new("a", &["a", "b"]);
    a.event(&claim("b", 1, EventState::Predicted, 5.0, 0), 0);
    a.event(&claim("b", 1, EventState::Retracted, 5.0, 900), 900);
    assert_eq!(a.events(900)[0].state, EventState::Retracted);
}

#[test]
fn a_muted_camera_raises_nothing_and_its_votes_do_not_count() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.plaza.muted.insert(camera("c"));
    assert_eq!(a.event(&claim("c", 1, OCCURRED, 5.0, 0), 0), []);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    a.vote(&vote("c", "a", 1, Word::confirm(0.9)), 100);
    let event = &a.events(100)[0];
    assert_eq!((event.tally.asked, event.tally.confirming, event.claims.len()), (2, 1, 1));
}

#[test]
fn votes_of_strangers_and_on_what_never_was_are_counted_and_bounded() {
    let mut a = Member::new("a", &["a", "b"]);
    for n in 0..1_000 {
        a.vote(&vote("x", &format!("x{n}"), 1, Word::confirm(0.9)), 0);
        a.vote(&vote("b", &format!("x{n}"), 1, Word::confirm(0.9)), 0);
    }
    let counters = a.consensus.counters();
    assert_eq!((counters.votes_unknown, counters.votes_over_limit), (1_000, 1_000 - ORPHANS_MAX as u64));
    a.tick(120_000);
    assert_eq!(a.consensus.counters().votes_orphaned, ORPHANS_MAX as u64);
    assert!(a.consensus.is_empty());
}

#[test]
fn a_flood_of_events_stays_within_its_bound_and_pushes_out_its_own_alone() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("b", 1, OCCURRED, 5.0, 0), 0);
    for n in 0..500 {
        a.event(&claim("c", 1 + n, OCCURRED, 5.0, 0), 1);
    }
    let keys: BTreeSet<_> = a.events(1).iter().flat_map(|e| e.claims.clone()).map(|key| key.camera).collect();
    assert_eq!((a.consensus.len(), keys.len()), (CLAIMS_PER_CAMERA_MAX + 1, 2));
    assert_eq!(a.consensus.counters().claims_evicted, 500 - CLAIMS_PER_CAMERA_MAX as u64);
}

#[test]
fn a_flood_of_events_of_cameras_that_do_not_count_evicts_no_claim_of_one_that_does() {
    let mut a = Member::new("a", &["a", "b"]);
    a.event(&claim("b", 1, OCCURRED, 5.0, 0), 0);
    for n in 0..3_000 {
        let far = f64::from(n % 100) * 30.0;
        a.event(&claim(&format!("x{n}"), 1, OCCURRED, if n < 500 { 5.0 } else { far }, 1), 1);
        assert!(n >= 500 || a.consensus.len() <= 1 + UNPROVEN_AT_PLACE_MAX);
    }
    assert!(a.consensus.knows(&camera("b"), 1) && a.consensus.len() <= 1 + UNPROVEN_MAX);
}

#[test]
fn events_of_yesterday_of_1970_and_of_tomorrow_are_refused_and_counted() {
    let mut a = Member::new("a", &["a", "b"]);
    for ms in [0, START_MS - 86_400_000, START_MS + 86_400_000] {
        let mut m = claim("b", 1, OCCURRED, 5.0, 0);
        m.timestamp = Millis(ms);
        assert_eq!(a.event(&m, 0), []);
    }
    let counters = a.consensus.counters();
    assert_eq!((counters.claims_stale, counters.claims_early, a.consensus.len()), (2, 1, 0));
}

#[test]
fn a_vote_that_comes_before_its_event_counts_once_the_event_is_known() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    assert_eq!(a.vote(&vote("b", "c", 1, Word::confirm(0.9)), 0), []);
    a.event(&claim("c", 1, OCCURRED, 5.0, 0), 100);
    assert_eq!(a.events(100)[0].state, EventState::Confirmed);
}

#[test]
fn an_aggregate_tells_who_missed_the_votes_unless_only_signed_words_count() {
    let mut aggregate = vote("a", "a", 1, Word::confirm(0.9));
    let listed = [("a", 1.0), ("b", 0.9), ("c", 0.0), ("x", 0.9)];
    aggregate.votes = Some(crate::swarm::bounded::Map::cut(listed.map(|(c, p)| (camera(c), Fraction(p)))));
    for (count_told, confirming) in [(true, 2), (false, 1)] {
        let mut d = Member::new("d", &["a", "b", "c", "d"]);
        d.consensus.set_options(Options { count_told, ..Options::default() });
        d.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
        d.vote(&aggregate, 100);
        let event = &d.events(100)[0];
        assert_eq!((event.tally.confirming, event.tally.asked), (confirming, 4), "{count_told}");
    }
}

/// What can come over the wire about two incidents that three cameras raise and vote on.
fn messages() -> Vec<Result<EventMessage, ConsensusMessage>> {
    let mut all = Vec::new();
    for (name, id, x, ms) in [("a", 1, 5.0, 0), ("b", 7, 5.5, 200), ("c", 3, 4.5, 400), ("b", 8, 15.0, 300)] {
        all.push(Ok(claim(name, id, EventState::Predicted, x, ms)));
        all.push(Ok(claim(name, id, OCCURRED, x + 0.2, ms + 900)));
    }
    all.push(Ok(claim("c", 4, EventState::Predicted, 12.0, 100)));
    all.push(Ok(claim("c", 4, EventState::Retracted, 12.0, 1_500)));
    all.push(Ok(claim("b", 7, EventState::Confirmed, 5.5, 1_300)));
    for (voter, initiator, id, word) in [
        ("b", "a", 1, Word::confirm(0.9)),
        ("c", "a", 1, Word::Deny),
        ("c", "a", 1, Word::confirm(0.6)),
        ("a", "b", 7, Word::confirm(0.95)),
        ("a", "b", 8, Word::Deny),
        ("c", "b", 8, Word::Deny),
        ("a", "c", 4, Word::Abstain),
    ] {
        all.push(Err(vote(voter, initiator, id, word)));
    }
    all
}

proptest! {
    /// Any order, any repetition, and a partition in which one side hears nothing for a while.
    #[test]
    fn whatever_the_order_the_copies_and_the_partitions_all_cameras_come_to_the_same_answer(
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        rest in Just((0..messages().len()).collect::<Vec<_>>()).prop_shuffle(),
        late_from in 0_usize..18,
    ) {
        let all = messages();
        let reference = {
            let mut d = Member::new("d", &["a", "b", "c"]);
            for m in &all {
                match m { Ok(e) => d.event(e, 2_000), Err(v) => d.vote(v, 2_000) };
            }
            d.tick(60_000);
            d.events(60_000)
        };
        let keys: Vec<_> = reference.iter().map(|e| (e.key.to_string(), e.state)).collect();
        prop_assert_eq!(keys, [
            ("b/1/7".to_owned(), EventState::Confirmed),
            ("b/1/8".to_owned(), EventState::Retracted),
            ("c/1/4".to_owned(), EventState::Retracted),
        ]);
        let mut d = Member::new("d", &["a", "b", "c"]);
        let some = order.iter().map(|i| i.index(all.len()));
        for (n, i) in some.chain(rest).enumerate() {
            let ms = if n < late_from { 2_000 } else { 40_000 };
            match &all[i] { Ok(e) => d.event(e, ms), Err(v) => d.vote(v, ms) };
            if n % 7 == 0 {
                d.tick(ms);
            }
        }
        d.tick(60_000);
        prop_assert_eq!(d.events(60_000), reference);
    }
}

#[test]
fn the_timeout_is_that_of_the_options() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.consensus.set_options(Options { timeout: Duration::from_secs(1), ..Options::default() });
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    assert_eq!(announced(&a.tick(1_000)), [EventState::Expired]);
}

/// Three cameras on a network with delays, whose fused tables call the same persons by changing numbers.
struct Trio {
    members: [Member; 3],
    /// What is on its way: when it arrives, to which camera.
    mail: Vec<(u64, usize, Wire)>,
    /// Outcomes on the wire, and those that each camera reported.
    wire: BTreeSet<(String, EventState)>,
    told: [Vec<(String, EventState)>; 3],
    alerts: Vec<(String, AlertState, CameraId)>,
}

#[derive(Clone)]
enum Wire {
    Event(EventMessage),
    Vote(ConsensusMessage),
    Alert(AlertMessage),
}

impl Trio {
    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn new() -> Self {
        let members = Self::NAMES.map(|name| Member::new(name, &Self::NAMES));
        Self {
            members,
            mail: Vec::new(),
            wire: BTreeSet::new(),
            told: Default::default(),
            alerts: Vec::new(),
        }
    }

    /// Gives an input to a camera and puts what it publishes on its way.
    fn input(&mut self, to: usize, input: Input<'_>, ms: u64, delay_ms: u64) {
        let actions = self.members[to].handle(input, ms);
        self.told[to].extend(outcomes(&actions));
        for action in actions {
            let sent = match action {
                Action::Event(m) => Wire::Event(*m),
                Action::Vote(m) => Wire::Vote(*m),
                Action::Alert(incident) => {
                    let m = crate::swarm::alert::message(&incident, &self.members[to].plaza.own);
                    self.alerts.push((m.key.to_string(), m.state, m.published_by.clone()));
                    Wire::Alert(m)
                }
                Action::Site(_) | Action::Answered(_) | Action::Missed(_) => continue,
            };
            self.send(to, &sent, ms, delay_ms);
        }
    }

    fn send(&mut self, from: usize, sent: &Wire, ms: u64, delay_ms: u64) {
        match sent {
            Wire::Event(m) => {
                let state = m.state.filter(|s| !matches!(s, EventState::Predicted | EventState::Occurred));
                self.wire.extend(state.map(|state| (m.key.as_ref().unwrap().to_string(), state)));
            }
            Wire::Vote(m) => {
                self.wire.extend(m.outcome.map(|state| (m.key.as_ref().unwrap().to_string(), state)));
            }
            Wire::Alert(_) => {}
        }
        for to in (0..3).filter(|to| *to != from) {
            self.mail.push((ms + delay_ms * (1 + to as u64), to, sent.clone()));
        }
    }

    /// A camera raises an event, as its own engine would.
    fn raise(&mut self, by: usize, m: &EventMessage, ms: u64, delay_ms: u64) {
        self.send(by, &Wire::Event(m.clone()), ms, delay_ms);
        self.input(by, Input::Event(m), ms, delay_ms);
    }

    /// Delivers what has arrived by now.
    fn deliver(&mut self, ms: u64, delay_ms: u64) {
        self.mail.sort_by_key(|(at, ..)| *at);
        while self.mail.first().is_some_and(|(at, ..)| *at <= ms) {
            let (_, to, sent) = self.mail.remove(0);
            match &sent {
                Wire::Event(m) => self.input(to, Input::Event(m), ms, delay_ms),
                Wire::Vote(m) => self.input(to, Input::Vote(m), ms, delay_ms),
                Wire::Alert(m) => self.input(to, Input::Alert(m), ms, delay_ms),
            }
        }
    }

    fn tick(&mut self, ms: u64, delay_ms: u64) {
        (0..3).for_each(|to| self.input(to, Input::Tick, ms, delay_ms));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The invariant of the module's header. Claims join and part, because each camera calls the persons by numbers of
    /// its own that change at any moment.
    #[test]
    fn every_outcome_on_the_wire_is_reported_once_by_every_camera_and_nothing_else_is(
        claims in prop::collection::vec((0_usize..3, 0_u64..40, 20_u32..60, any::<bool>(), 0_u64..3), 1..24),
        renames in prop::collection::vec((0_u64..60, 0_usize..3, 0_usize..3, 0_u32..24, 70_u64..74), 0..60),
        delay_ms in 10_u64..400,
    ) {
        let mut site = Trio::new();
        for ms in (0..120_000).step_by(250) {
            site.deliver(ms, delay_ms);
            for (n, (by, at, x, predicted, person)) in claims.iter().enumerate() {
                let (id, x) = (n as u32 + 1, f64::from(*x) / 10.0);
                if at * 1_000 == ms {
                    for member in &mut site.members {
                        member.plaza.people.insert((camera(Trio::NAMES[*by]), id), 70 + person);
                    }
                    let state = if *predicted { EventState::Predicted } else { OCCURRED };
                    let mut m = claim(Trio::NAMES[*by], id, state, x, ms);
                    m.predicted_time = Millis(START_MS + ms + if *predicted { 2_000 } else { 0 });
                    site.raise(*by, &m, ms, delay_ms);
                    for step in 0..6 {
                        let scene = scene(&[(id, x)], ms.saturating_sub(1_000) + step * 400);
                        site.input(*by, Input::Scene(&scene), ms, delay_ms);
                    }
                }
                if *predicted && (at + 2) * 1_000 == ms && person != &2 {
                    site.raise(*by, &claim(Trio::NAMES[*by], id, OCCURRED, x, ms), ms, delay_ms);
                }
            }
            for (at, on, of, track, person) in &renames {
                if at * 1_000 == ms {
                    site.members[*on].plaza.people.insert((camera(Trio::NAMES[*of]), *track), *person);
                }
            }
            if ms % 1_000 == 0 {
                site.tick(ms, delay_ms);
            }
        }
        let mut left_out = 0;
        for (name, told) in Trio::NAMES.iter().zip(&site.told) {
            let once: BTreeSet<_> = told.iter().cloned().collect();
            prop_assert_eq!(once.len(), told.len(), "{} reports an outcome twice: {:?}", name, told);
            prop_assert!(once.is_subset(&site.wire), "{} reports what is not on the wire: {:?}", name, once);
            let rejected: Vec<_> = site.wire.difference(&once).collect();
            prop_assert!(rejected.iter().all(|(_, state)| *state == EventState::Confirmed), "{} {:?}", name, rejected);
            let member = site.members.iter().find(|member| member.plaza.own.as_str() == *name).unwrap();
            prop_assert!(rejected.len() as u64 <= member.consensus.counters().outcomes_disputed, "{} {:?}", name, rejected);
            left_out += rejected.len();
        }
        // A camera that joins the claims in another way may deny for a while what the publisher confirms.
        prop_assert!(left_out <= 1, "{left_out} outcomes were rejected");
        // An alert has one publisher, and its states are in order. Cameras take over from each other after 2 s: what is
        // longer on its way than half of that, they may both publish.
        for key in site.alerts.iter().map(|(key, ..)| key).collect::<BTreeSet<_>>() {
            let of_key: Vec<_> = site.alerts.iter().filter(|(k, ..)| k == key).collect();
            let late = delay_ms * 3 > 900;
            prop_assert!(late || of_key.iter().all(|(.., by)| *by == of_key[0].2), "{:?}", of_key);
            prop_assert!(late || of_key.windows(2).all(|w| w[0].1 <= w[1].1), "{:?}", of_key);
        }
    }
}

fn alerts(actions: &[Action]) -> Vec<AlertState> {
    actions
        .iter()
        .filter_map(|a| if let Action::Alert(alert) = a { Some(alert.state) } else { None })
        .collect()
}

fn denials(actions: &[Action]) -> usize {
    votes(actions).iter().filter(|v| v.verdict == Some(Verdict::Deny) && v.outcome.is_none()).count()
}

#[test]
fn an_alert_goes_from_forecast_to_happening_to_over_and_one_that_was_only_forecast_never_happens() {
    let mut a = Member::new("a", &["a"]);
    let mut expected = claim("a", 1, EventState::Predicted, 5.0, 0);
    expected.predicted_time = Millis(START_MS + 4_000);
    assert_eq!(alerts(&a.event(&expected, 0)), [AlertState::Forecast]);
    assert_eq!(alerts(&a.event(&claim("a", 1, OCCURRED, 5.0, 4_000), 4_000)), [AlertState::Happening]);
    assert_eq!(alerts(&a.tick(60_000)), []);
    assert_eq!(alerts(&a.handle(Input::Over { event_id: 1 }, 61_000)), [AlertState::Over]);
    assert_eq!(alerts(&a.tick(62_000)), []);

    let mut a = Member::new("a", &["a"]);
    assert_eq!(alerts(&a.event(&expected, 0)), [AlertState::Forecast]);
    let lapsed = a.tick(7_100);
    assert_eq!(
        (alerts(&lapsed), announced(&lapsed)),
        (vec![AlertState::Retracted], vec![EventState::Retracted])
    );
    assert_eq!(alerts(&a.tick(8_000)), []);
}

#[test]
fn what_happens_after_a_forecast_of_it_was_withdrawn_is_an_alert_of_its_own() {
    let mut a = Member::new("a", &["a"]);
    for id in [1, 2] {
        a.plaza.people.insert((camera("a"), id), 70);
    }
    let mut expected = claim("a", 1, EventState::Predicted, 5.0, 0);
    expected.predicted_time = Millis(START_MS + 4_000);
    assert_eq!(alerts(&a.event(&expected, 0)), [AlertState::Forecast]);
    assert_eq!(alerts(&a.tick(7_100)), [AlertState::Retracted]);
    let happens = a.event(&claim("a", 2, OCCURRED, 5.0, 9_000), 9_000);
    let alert = happens.iter().find_map(|a| if let Action::Alert(alert) = a { Some(alert) } else { None });
    let alert = alert.expect("an alert");
    assert_eq!((alert.key.event_id, alert.state), (2, AlertState::Happening));
    let event = happens.iter().find_map(|a| if let Action::Event(event) = a { Some(event) } else { None });
    let listed: Vec<u32> = event.expect("an outcome").claims.iter().map(|key| key.event_id).collect();
    assert_eq!(listed, [2], "what was withdrawn has an outcome of its own");
}

#[test]
fn an_alert_whose_claim_was_withdrawn_goes_on_while_another_claim_of_the_incident_stands() {
    let mut a = Member::new("a", &["a"]);
    for id in [1, 2] {
        a.plaza.people.insert((camera("a"), id), 70);
    }
    for id in [1, 2] {
        let mut expected = claim("a", id, EventState::Predicted, 5.0, 0);
        expected.predicted_time = Millis(START_MS + 4_000);
        let first = if id == 1 { vec![AlertState::Forecast] } else { vec![] };
        assert_eq!(alerts(&a.event(&expected, u64::from(id) * 100)), first);
    }
    let withdrawn = a.event(&claim("a", 1, EventState::Retracted, 5.0, 1_000), 1_000);
    assert_eq!(alerts(&withdrawn), []);
    let event = withdrawn.iter().find_map(|a| if let Action::Event(event) = a { Some(event) } else { None });
    let listed: BTreeSet<u32> = event.expect("an outcome").claims.iter().map(|key| key.event_id).collect();
    assert_eq!(listed, [1, 2].into());
    let happens = a.event(&claim("a", 2, OCCURRED, 5.0, 2_000), 2_000);
    let alert = happens.iter().find_map(|a| if let Action::Alert(alert) = a { Some(alert) } else { None });
    let alert = alert.expect("a change of the alert");
    assert_eq!((alert.key.event_id, alert.state), (1, AlertState::Happening));
}

#[test]
fn a_killed_publisher_leaves_its_alert_to_the_next_camera() {
    let mut b = Member::new("b", &["a", "b"]);
    b.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    b.event(&claim("b", 1, OCCURRED, 5.0, 0), 0);
    let mut a = Member::new("a", &["a", "b"]);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    let mut actions = a.event(&claim("b", 1, OCCURRED, 5.0, 0), 300);
    assert_eq!(alerts(&actions), [], "another camera may be announcing it");
    actions.extend(a.tick(1_400));
    let Some(Action::Alert(opened)) = actions.iter().find(|x| matches!(x, Action::Alert(_))) else {
        panic!()
    };
    let Some(Action::Event(confirmed)) = actions.iter().find(|x| matches!(x, Action::Event(_))) else {
        panic!()
    };
    b.event(confirmed, 400);
    b.handle(Input::Alert(&crate::swarm::alert::message(opened, &camera("a"))), 400);
    b.handle(Input::Over { event_id: 1 }, 9_000);
    assert_eq!(alerts(&b.tick(20_000)), [], "the publisher is there");
    b.plaza.away.insert(camera("a"));
    b.tick(21_000);
    assert_eq!(alerts(&b.tick(30_000)), [AlertState::Over]);
}

#[test]
fn presence_at_the_place_is_no_evidence_for_what_no_rule_of_this_camera_judges() {
    for kind in [EventType::Assault, EventType::Fall, EventType::CrowdFormation, EventType::Theft] {
        let mut b = Member::new("b", &["a", "b"]);
        b.sees(&[(3, 5.2), (4, 5.5), (5, 4.8)], 1_000);
        let mut m = claim("a", 1, OCCURRED, 5.0, 1_000);
        m.event_type = kind;
        b.event(&m, 1_050);
        let actions = b.tick(2_050);
        let [vote] = votes(&actions)[..] else { panic!("{actions:?}") };
        assert_eq!((vote.verdict, vote.reason.as_ref().unwrap().as_str()), (None, "no_rule"), "{kind:?}");
    }
}

#[test]
fn trespassing_is_confirmed_inside_a_forbidden_zone_of_this_camera_and_nowhere_else() {
    let verdict = |zone: Polygon, x: f64| {
        let mut b = Member::new("b", &["a", "b"]);
        b.consensus.set_rules(Rules { forbidden: vec![zone], ..Rules::default() });
        b.sees(&[(3, x)], 1_000);
        b.event(&claim("a", 1, OCCURRED, x, 1_000), 1_050);
        let mut actions = b.tick(1_060);
        actions.extend(b.tick(2_050));
        let actions = b.events(2_050);
        actions[0].tally.confirming
    };
    assert_eq!(verdict(square(0.0, 6.0), 5.0), 2);
    assert_eq!(verdict(square(0.0, 6.0), 9.0), 1, "three meters outside");
}

#[test]
fn a_forecast_whose_time_has_passed_with_nobody_there_is_denied_and_never_confirmed() {
    let mut b = Member::new("b", &["a", "b"]);
    b.plaza.unproven.insert(camera("a"));
    let mut m = claim("a", 1, EventState::Predicted, 5.0, 0);
    m.predicted_time = Millis(START_MS + 4_000);
    b.event(&m, 0);
    let mut all = Vec::new();
    for ms in (0..12_000).step_by(500) {
        all.extend(b.handle(Input::Scene(&scene(&[(9, 15.0)], ms)), ms));
        if ms % 1_000 == 0 {
            all.extend(b.tick(ms));
        }
    }
    assert_eq!(denials(&all), 1);
    assert!(!outcomes(&all).iter().any(|(_, state)| *state == EventState::Confirmed), "{:?}", outcomes(&all));
}

#[test]
fn who_saw_the_subject_coming_has_not_seen_the_deed() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    let mut m = claim("a", 1, EventState::Predicted, 5.0, 0);
    m.predicted_time = Millis(START_MS + 2_000);
    a.event(&m, 0);
    let forecast =
        |voter| ConsensusMessage { occurred: Some(false), ..vote(voter, "a", 1, Word::confirm(0.9)) };
    let fact = |voter, word| ConsensusMessage { occurred: Some(true), ..vote(voter, "a", 1, word) };
    a.vote(&forecast("b"), 300);
    assert_eq!(a.events(400)[0].state, EventState::Confirmed);
    a.event(&claim("a", 1, OCCURRED, 5.0, 2_000), 2_000);
    a.vote(&fact("b", Word::Deny), 3_000);
    a.vote(&fact("c", Word::Deny), 3_000);
    let actions = a.tick(5_000);
    assert_eq!(
        (announced(&actions), alerts(&actions)),
        (vec![EventState::Retracted], vec![AlertState::Retracted])
    );
}

#[test]
fn cameras_that_are_not_asked_hold_up_nothing_and_count_again_when_they_answer() {
    let mut a = Member::new("a", &["a", "b", "c", "x", "y"]);
    a.plaza.silent = [camera("x"), camera("y")].into();
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    a.vote(&vote("b", "a", 1, Word::confirm(0.9)), 100);
    assert_eq!(announced(&a.tick(1_000)), [EventState::Confirmed]);
    assert_eq!(a.events(1_000)[0].tally.asked, 3);
    a.vote(&vote("x", "a", 1, Word::Deny), 1_100);
    assert_eq!((a.events(1_200)[0].tally.asked, a.events(1_200)[0].tally.denying), (4, 1));
}

#[test]
fn a_camera_that_was_asked_and_did_not_vote_is_noted_once_for_each_incident() {
    let mut a = Member::new("a", &["a", "b", "c"]);
    a.event(&claim("a", 1, OCCURRED, 5.0, 0), 0);
    a.vote(&vote("b", "a", 1, Word::Abstain), 1_000);
    let missed: Vec<_> = (1..20)
        .flat_map(|s| a.tick(s * 1_000))
        .filter_map(|action| if let Action::Missed(camera) = action { Some(camera) } else { None })
        .collect();
    assert_eq!(missed, [camera("c")]);
}

#[test]
fn a_confirmation_that_crossed_a_denial_on_its_way_is_reported_and_one_after_it_is_not() {
    for (denied_at, reported) in [(3_000, vec![EventState::Confirmed]), (1_500, vec![])] {
        let mut a = Member::new("a", &["a", "b"]);
        a.event(&claim("b", 1, OCCURRED, 5.0, 0), 0);
        a.sees(&[(3, 15.0)], 0);
        assert_eq!(denials(&a.tick(denied_at)), 1);
        let confirmed = a.event(&claim("b", 1, EventState::Confirmed, 5.0, 2_900), 3_100);
        assert_eq!(outcomes(&confirmed).into_iter().map(|(_, state)| state).collect::<Vec<_>>(), reported);
    }
}

#[test]
fn a_crowd_of_unproven_cameras_neither_denies_nor_outvotes_nor_displaces_a_camera_that_counts() {
    let names: Vec<String> = (0..300).map(|n| format!("a-{n:03}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.extend(["x", "y", "z"]);
    let mut x = Member::new("x", &all);
    x.plaza.unproven = names.iter().map(|name| camera(name)).collect();
    x.event(&claim("x", 1, OCCURRED, 5.0, 0), 0);
    for name in &names {
        x.vote(&vote(name, "x", 1, Word::Deny), 100);
    }
    x.vote(&vote("y", "x", 1, Word::confirm(0.9)), 200);
    assert_eq!(announced(&x.tick(1_000)), [EventState::Confirmed]);
    // And what they claim, all of them confirm, and call confirmed is no alarm where this camera looks.
    let mut x = Member::new("x", &all);
    x.plaza.unproven = names.iter().map(|name| camera(name)).collect();
    x.sees(&[(3, 15.0)], 0);
    let mut actions = x.event(&claim(&names[0], 1, OCCURRED, 5.0, 0), 0);
    for name in &names[1..] {
        actions.extend(x.vote(&vote(name, &names[0], 1, Word::confirm(1.0)), 100));
    }
    actions.extend(x.event(&claim(&names[0], 1, EventState::Confirmed, 5.0, 200), 200));
    for s in 1..30 {
        actions.extend(x.tick(s * 1_000));
    }
    assert!(
        !outcomes(&actions).iter().any(|(_, state)| *state == EventState::Confirmed),
        "{:?}",
        outcomes(&actions)
    );
    assert_eq!(x.consensus.counters().outcomes_disputed, 1);
}

#[test]
fn the_event_of_a_client_that_knows_no_votes_gets_an_outcome_in_time() {
    for (sees, state) in [(5.2, EventState::Confirmed), (15.0, EventState::Retracted)] {
        let mut b = Member::new("b", &["b", "c"]);
        b.sees(&[(3, sees)], 0);
        let mut m = claim("reference", 1, OCCURRED, 5.0, 0);
        (m.key, m.state, m.tracks) = (None, None, List::default());
        let mut actions = b.event(&m, 0);
        let word = if state == EventState::Confirmed { Word::confirm(0.9) } else { Word::Deny };
        actions.extend(b.vote(&vote("c", "reference", 1, word), 1_100));
        for ms in (1_200..3_000).step_by(100) {
            actions.extend(b.handle(Input::Scene(&scene(&[(3, sees)], ms)), ms));
        }
        assert_eq!(published(&actions), [("reference/0/1".to_owned(), state)]);
        assert_eq!(outcomes(&actions), [("reference/0/1".to_owned(), state)]);
    }
}

#[test]
fn the_event_of_a_client_that_knows_no_votes_gets_the_outcome_of_the_incident_that_it_joins() {
    let mut b = Member::new("b", &["b", "c"]);
    b.sees(&[(3, 5.0)], 0);
    let mut actions = b.event(&claim("b", 1, OCCURRED, 5.0, 0), 0);
    actions.extend(b.vote(&vote("c", "b", 1, Word::confirm(0.9)), 300));
    actions.extend(b.tick(1_000));
    assert_eq!(announced(&actions), [EventState::Confirmed]);
    let mut m = claim("reference", 1, OCCURRED, 5.1, 2_000);
    (m.key, m.state, m.tracks) = (None, None, List::default());
    let mut answers = b.event(&m, 2_000);
    answers.extend((2_100..4_900).step_by(400).flat_map(|ms| b.tick(ms)));
    assert_eq!(published(&answers), [("reference/0/1".to_owned(), EventState::Confirmed)]);
    let alerts = actions.iter().chain(&answers).filter(|a| matches!(a, Action::Alert(_)));
    assert_eq!(alerts.count(), 1, "one incident, one alert");
}

fn alert_states(actions: &[Action]) -> Vec<AlertState> {
    actions.iter().filter_map(|a| if let Action::Alert(a) = a { Some(a.state) } else { None }).collect()
}

#[test]
fn a_forecast_that_is_withdrawn_before_its_alert_leaves_alerts_nobody() {
    let mut a = Member::new("a", &["a", "b"]);
    let mut actions = a.event(&claim("a", 1, EventState::Predicted, 5.0, 0), 0);
    actions.extend(a.vote(&vote("b", "a", 1, Word::confirm(0.9)), 300));
    actions.extend(a.tick(400));
    assert_eq!(announced(&actions), [EventState::Confirmed]);
    actions.extend(a.event(&claim("a", 1, EventState::Retracted, 5.0, 600), 600));
    actions.extend((1_000..6_000).step_by(500).flat_map(|ms| a.tick(ms)));
    assert_eq!(alert_states(&actions), []);
}

#[test]
fn a_busy_camera_keeps_the_claims_that_are_still_open() {
    let mut a = Member::new("a", &["a", "b"]);
    a.event(&claim("a", 1_000, EventState::Predicted, 2.0, 0), 0);
    a.plaza.silent.insert(camera("b"));
    for n in 0..CLAIMS_PER_CAMERA_MAX as u32 {
        let ms = 200 * u64::from(n);
        a.event(&claim("a", 1 + n, OCCURRED, f64::from(n % 5) * 4.0, ms), ms);
        a.tick(ms + 100);
    }
    assert_eq!(a.consensus.counters().claims_evicted, 1);
    assert!(a.consensus.knows(&camera("a"), CLAIMS_PER_CAMERA_MAX as u32));
}
