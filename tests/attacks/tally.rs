//! Compares what the wire shows with what the cameras log: outcomes of incidents, and alerts.
//!
//! An outcome on the wire is an event in the state `confirmed`; one in `retracted` or `expired` that names the
//! `claims` it joins; or a consensus message with an `outcome`. An event `retracted` or `expired` without `claims` may
//! be a claim that its camera withdrew before there was an outcome: it need not be logged, but if it is, then by all.
//! Where a build never names claims, as the older one, it counts as outcome.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::site::CAMERAS;
use crate::table::Row;
use crate::wire::{Record, Seen};

/// The states that end an incident or announce it.
pub(crate) const OUTCOMES: [&str; 3] = ["confirmed", "retracted", "expired"];

/// A `site event` line of a camera's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) at_ms: u64,
    pub(crate) camera: String,
    pub(crate) key: String,
    /// In lower case, as on the wire.
    pub(crate) state: String,
}

/// Reads the `site event` lines of a log.
pub(crate) fn logged(log: &str) -> Vec<Logged> {
    let line = |line: &str| {
        let (time, rest) = line.split_once(' ')?;
        if !rest.contains("site event") {
            return None;
        }
        let at = humantime::parse_rfc3339(time).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let field = |name: &str| {
            let field = rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            field.map(|value| value.trim_matches('"').to_owned())
        };
        Some(Logged {
            at_ms: u64::try_from(at.as_millis()).ok()?,
            camera: field("camera")?,
            key: field("key")?,
            state: field("state")?.to_lowercase(),
        })
    };
    log.lines().filter_map(line).collect()
}

/// A message on the wire that states what came of an incident.
#[derive(Debug)]
pub(crate) struct Outcome {
    at_ms: u64,
    key: String,
    state: String,
    /// It is no claim that its camera merely withdrew.
    is_sure: bool,
}

/// The outcomes on the wire, events before votes.
pub(crate) fn outcomes(record: &Record) -> Vec<Outcome> {
    let names_claims = record.events.iter().chain(&record.votes).any(|m| m.claims().next().is_some());
    let event = |m: &Seen| {
        let state = m.text("state").filter(|state| OUTCOMES.contains(state))?;
        let is_sure = state == "confirmed" || !names_claims || m.claims().next().is_some();
        Some(Outcome { at_ms: m.at_ms, key: m.key()?, state: state.to_owned(), is_sure })
    };
    let vote = |m: &Seen| {
        let state = m.text("outcome")?.to_owned();
        Some(Outcome { at_ms: m.at_ms, key: m.key()?, state, is_sure: true })
    };
    record.events.iter().filter_map(event).chain(record.votes.iter().filter_map(vote)).collect()
}

/// How wire and cameras agree about one state: numbers of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// With the outcome on the wire.
    pub(crate) wire: usize,
    /// Of these: logged by at least one camera, by all, by none, by some and not by others.
    pub(crate) by_one: usize,
    pub(crate) by_all: usize,
    pub(crate) by_none: usize,
    pub(crate) by_some: usize,
    /// Logged by a camera, and not on the wire.
    pub(crate) not_on_wire: usize,
    /// Logged more than once by one camera.
    pub(crate) twice: usize,
    /// The keys at fault, for the message of an assertion.
    pub(crate) faults: Vec<String>,
}

impl Agreement {
    /// Keys on which wire and cameras differ.
    pub(crate) fn differences(&self) -> usize {
        self.by_none + self.by_some + self.not_on_wire + self.twice
    }

    pub(crate) fn add_to(&self, row: Row, state: &str) -> Row {
        row.with(&format!("{state}: on the wire"), self.wire)
            .with(&format!("{state}: by one camera"), self.by_one)
            .with(&format!("{state}: by all"), self.by_all)
            .with(&format!("{state}: by none"), self.by_none)
            .with(&format!("{state}: by some"), self.by_some)
            .with(&format!("{state}: not on the wire"), self.not_on_wire)
            .with(&format!("{state}: twice by one"), self.twice)
    }
}

/// Compares wire and cameras for one state. Only keys count whose first mention, wherever it is, lies between the two
/// times: the last messages of a run may still be in transit.
pub(crate) fn agreement(
    record: &Record,
    lines: &[Logged],
    state: &str,
    [from, until]: [u64; 2],
) -> Agreement {
    let mut first = BTreeMap::<&str, u64>::new();
    let wire: Vec<Outcome> = outcomes(record).into_iter().filter(|outcome| outcome.state == state).collect();
    let on_wire: BTreeSet<&str> = wire.iter().map(|outcome| outcome.key.as_str()).collect();
    let sure: BTreeSet<&str> =
        wire.iter().filter(|o| o.is_sure).map(|outcome| outcome.key.as_str()).collect();
    let mut by = BTreeMap::<&str, Vec<&str>>::new();
    for line in lines.iter().filter(|line| line.state == state) {
        by.entry(&line.key).or_default().push(&line.camera);
    }
    let mentions = wire.iter().map(|outcome| (outcome.at_ms, outcome.key.as_str()));
    let logged = lines.iter().filter(|t| t.state == state).map(|t| (t.at_ms, t.key.as_str()));
    for (at_ms, key) in mentions.chain(logged) {
        let first = first.entry(key).or_insert(at_ms);
        *first = at_ms.min(*first);
    }
    let mut found = Agreement::default();
    for (key, at_ms) in first.into_iter().filter(|(_, at_ms)| (from..until).contains(at_ms)) {
        let by_cameras = by.get(key).map(Vec::as_slice).unwrap_or_default();
        let cameras: BTreeSet<&str> = by_cameras.iter().copied().collect();
        if cameras.is_empty() && !sure.contains(key) {
            continue;
        }
        let mut fault = |count: fn(&mut Agreement) -> &mut usize| {
            *count(&mut found) += 1;
            found.faults.push(format!("{key} {state} at {at_ms}: logged by {by_cameras:?}"));
        };
        if !on_wire.contains(key) {
            fault(|a| &mut a.not_on_wire);
        } else if cameras.is_empty() {
            fault(|a| &mut a.by_none);
        } else if cameras.len() < CAMERAS.len() {
            fault(|a| &mut a.by_some);
        }
        if by_cameras.len() > cameras.len() {
            fault(|a| &mut a.twice);
        }
        if on_wire.contains(key) {
            found.wire += 1;
            found.by_one += usize::from(!cameras.is_empty());
            found.by_all += usize::from(cameras.len() == CAMERAS.len());
        }
    }
    found
}

/// The keys of honest cameras that a camera logged as confirmed between two times: the alarms.
pub(crate) fn alarms(lines: &[Logged], [from, until]: [u64; 2]) -> BTreeSet<String> {
    let confirmed = lines.iter().filter(|t| t.state == "confirmed" && (from..until).contains(&t.at_ms));
    confirmed.filter(|t| is_honest(&t.key)).map(|t| t.key.clone()).collect()
}

/// Keys of other cameras that were logged or published as confirmed.
pub(crate) fn foreign_alarms(record: &Record, lines: &[Logged]) -> BTreeSet<String> {
    let logged = lines.iter().filter(|t| t.state == "confirmed").map(|t| t.key.clone());
    let voted = record.votes.iter().filter(|m| m.text("outcome") == Some("confirmed")).filter_map(Seen::key);
    let alerted = record.alerts.iter().filter(|m| m.text("state") != Some("retracted")).filter_map(Seen::key);
    logged.chain(voted).chain(alerted).filter(|key| !is_honest(key)).collect()
}

pub(crate) fn is_honest(key: &str) -> bool {
    key.split('/').next().is_some_and(|camera| CAMERAS.contains(&camera))
}

/// What is wrong with the alerts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alerts {
    pub(crate) messages: usize,
    /// Alert keys.
    pub(crate) keys: usize,
    /// Confirmed incidents: claims that outcomes connect.
    pub(crate) incidents: usize,
    /// Of these, without an alert.
    pub(crate) without_alert: usize,
    /// Incidents with more than one alert key, or more than one publisher.
    pub(crate) two_keys: usize,
    pub(crate) two_speakers: usize,
    /// Alerts whose states do not follow each other as they may.
    pub(crate) out_of_order: usize,
    /// Alerts `happening` without a claim that it occurred.
    pub(crate) only_forecast: usize,
    pub(crate) faults: Vec<String>,
}

impl Alerts {
    pub(crate) fn add_to(&self, row: Row) -> Row {
        row.with("alerts: messages", self.messages)
            .with("alerts: keys", self.keys)
            .with("alerts: confirmed incidents", self.incidents)
            .with("alerts: incidents without one", self.without_alert)
            .with("alerts: incidents with two keys", self.two_keys)
            .with("alerts: incidents with two speakers", self.two_speakers)
            .with("alerts: out of order", self.out_of_order)
            .with("alerts: happening, only forecast", self.only_forecast)
    }
}

/// Checks the alerts of incidents whose first outcome or alert lies between two times.
pub(crate) fn alerts(record: &Record, [from, until]: [u64; 2]) -> Alerts {
    let mut incidents = Incidents::default();
    let (mut confirmed, mut retracted) = (BTreeSet::new(), BTreeSet::new());
    let mut first = BTreeMap::<String, u64>::new();
    for m in record.events.iter().chain(&record.votes).chain(&record.alerts) {
        let Some(key) = m.key() else { continue };
        m.claims().for_each(|claim| incidents.join(&key, claim));
    }
    for Outcome { at_ms, key, state, .. } in outcomes(record) {
        let root = incidents.root(&key);
        first.entry(root.clone()).and_modify(|at| *at = at_ms.min(*at)).or_insert(at_ms);
        match state.as_str() {
            "confirmed" => _ = confirmed.insert(root),
            "retracted" => _ = retracted.insert(root),
            _ => {}
        }
    }
    let mut spoken = BTreeMap::<String, Vec<&Seen>>::new();
    for m in &record.alerts {
        let Some(key) = m.key() else { continue };
        let root = incidents.root(&key);
        first.entry(root.clone()).and_modify(|at| *at = m.at_ms.min(*at)).or_insert(m.at_ms);
        spoken.entry(root).or_default().push(m);
    }
    let occurred: BTreeSet<String> = record
        .events
        .iter()
        .filter(|m| m.text("state").is_none_or(|state| state == "occurred"))
        .filter_map(Seen::key)
        .map(|key| incidents.root(&key))
        .collect();
    let mut found = Alerts::default();
    for root in first.iter().filter(|(_, at)| (from..until).contains(*at)).map(|(root, _)| root) {
        let messages = spoken.get(root).map(Vec::as_slice).unwrap_or_default();
        found.incidents += usize::from(confirmed.contains(root));
        found.messages += messages.len();
        let mut fault = |count: fn(&mut Alerts) -> &mut usize, what: &str| {
            *count(&mut found) += 1;
            found.faults.push(format!("incident {root}: {what}"));
        };
        if messages.is_empty() {
            // What is withdrawn within a second raises no alert.
            if confirmed.contains(root) && !retracted.contains(root) {
                fault(|a| &mut a.without_alert, "confirmed, and no alert");
            }
            continue;
        }
        let keys: BTreeSet<String> = messages.iter().filter_map(|m| m.key()).collect();
        let speakers: BTreeSet<&str> = messages.iter().filter_map(|m| m.text("published_by")).collect();
        if keys.len() > 1 {
            fault(|a| &mut a.two_keys, &format!("alerts {keys:?}"));
        }
        if speakers.len() > 1 {
            fault(|a| &mut a.two_speakers, &format!("published by {speakers:?}"));
        }
        for key in &keys {
            let states = messages.iter().filter(|m| m.key().as_ref() == Some(key));
            let states: Vec<&str> = states.filter_map(|m| m.text("state")).collect();
            if !is_legal(&states) {
                fault(|a| &mut a.out_of_order, &format!("{key}: {states:?}"));
            }
            if states.contains(&"happening") && !occurred.contains(root) {
                fault(|a| &mut a.only_forecast, &format!("{key}: {states:?}, and no claim occurred"));
            }
        }
        found.keys += keys.len();
    }
    found
}

/// Whether the states of an alert follow each other: forecast, happening, then over or retracted. The first two may be
/// left out and repeated with other figures; nothing follows the last two.
pub(crate) fn is_legal(states: &[&str]) -> bool {
    let first = states.first().is_some_and(|state| ["forecast", "happening"].contains(state));
    let follows = |pair: &[&str]| {
        matches!(
            pair,
            ["forecast", "forecast" | "happening" | "retracted"]
                | ["happening", "happening" | "over" | "retracted"]
        )
    };
    first && states.windows(2).all(follows)
}

/// Claims that outcomes connect, as a forest.
#[derive(Debug, Default)]
struct Incidents {
    parent: BTreeMap<String, String>,
}

impl Incidents {
    fn root(&self, key: &str) -> String {
        let mut key = key;
        while let Some(parent) = self.parent.get(key) {
            key = parent;
        }
        key.to_owned()
    }

    fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parent.insert(a.clone().max(b.clone()), a.min(b));
        }
    }
}

#[test]
fn a_site_event_line_is_read_with_its_time_key_and_state() {
    let log = "2026-11-30T08:29:27.630427Z  INFO site event camera=cam0 key=cam2/1796027363441/1 \
               event=\"trespassing\" state=Confirmed severity=High\n2026-11-30T08:29:28.1Z  INFO event camera=cam0\n";
    let lines = logged(log);
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].camera.as_str(), lines[0].key.as_str()), ("cam0", "cam2/1796027363441/1"));
    assert_eq!((lines[0].state.as_str(), lines[0].at_ms % 60_000), ("confirmed", 27_630));
}

fn seen(at_ms: u64, value: serde_json::Value) -> Seen {
    Seen { at_ms, topic: String::new(), value }
}

fn lines(key: &str, cameras: &[&str]) -> Vec<Logged> {
    let line = |camera: &&str| Logged {
        at_ms: 20,
        camera: (*camera).to_owned(),
        key: key.to_owned(),
        state: "confirmed".to_owned(),
    };
    cameras.iter().map(line).collect()
}

#[test]
fn an_outcome_that_a_camera_does_not_log_or_logs_twice_or_that_is_not_on_the_wire_is_a_difference() {
    let keys = ["cam0/1/1", "cam0/1/2", "cam0/1/3", "cam0/1/4"];
    let confirmed = keys.map(|key| seen(10, json!({ "key": key, "state": "confirmed" })));
    let late = seen(95, json!({ "key": "cam0/1/9", "state": "confirmed" }));
    let record = Record { events: confirmed.into_iter().chain([late]).collect(), ..Record::default() };
    let logged = [
        lines(keys[0], &CAMERAS),
        lines(keys[1], &["cam0", "cam1"]),
        lines(keys[2], &["cam0", "cam1", "cam2", "cam1"]),
        lines("cam1/1/8", &CAMERAS),
    ];
    let found = agreement(&record, &logged.concat(), "confirmed", [0, 90]);
    assert_eq!((found.wire, found.by_one, found.by_all), (4, 3, 2));
    assert_eq!((found.by_none, found.by_some, found.twice, found.not_on_wire), (1, 1, 1, 1));
    assert_eq!((found.differences(), found.faults.len()), (4, 4));
}

#[test]
fn a_claim_that_its_camera_withdraws_need_not_be_logged_where_outcomes_name_their_claims() {
    let outcome = json!({ "key": "cam0/1/1", "state": "confirmed", "claims": ["cam0/1/1"] });
    let withdrawn = json!({ "key": "cam0/1/2", "state": "retracted" });
    let record = Record { events: vec![seen(10, outcome), seen(10, withdrawn)], ..Record::default() };
    assert_eq!(agreement(&record, &[], "retracted", [0, 90]).differences(), 0);
    assert_eq!(agreement(&record, &[], "confirmed", [0, 90]).by_none, 1);
}

#[test]
fn the_alerts_of_claims_that_an_outcome_connects_are_of_one_incident() {
    let outcome = json!({ "key": "cam0/1/1", "state": "confirmed", "claims": ["cam0/1/1", "cam1/1/1"] });
    let alert = |key: &str, state: &str, by: &str| {
        seen(12, json!({ "key": key, "state": state, "published_by": by }))
    };
    let first = alert("cam0/1/1", "happening", "cam0");
    let occurred = seen(9, json!({ "key": "cam1/1/1", "state": "occurred" }));
    let with =
        |alerts: Vec<Seen>, events: Vec<Seen>| alerts_of(&Record { events, alerts, ..Record::default() });
    let alerts_and = |more: Option<Seen>| [first.clone()].into_iter().chain(more).collect::<Vec<_>>();
    let both = || vec![occurred.clone(), seen(10, outcome.clone())];
    assert_eq!(with(alerts_and(None), both()).faults, Vec::<String>::new());
    assert_eq!(with(alerts_and(Some(alert("cam1/1/1", "happening", "cam0"))), both()).two_keys, 1);
    assert_eq!(with(alerts_and(Some(alert("cam0/1/1", "over", "cam1"))), both()).two_speakers, 1);
    assert_eq!(with(alerts_and(Some(alert("cam0/1/1", "forecast", "cam0"))), both()).out_of_order, 1);
    assert_eq!(with(alerts_and(None), vec![seen(10, outcome.clone())]).only_forecast, 1);
    assert_eq!(with(vec![], both()).without_alert, 1);
}

fn alerts_of(record: &Record) -> Alerts {
    alerts(record, [0, 90])
}

#[test]
fn the_states_of_an_alert_rise_to_an_end() {
    for legal in
        [&["forecast", "happening", "over"][..], &["happening", "retracted"], &["forecast", "retracted"]]
    {
        assert!(is_legal(legal), "{legal:?}");
    }
    for illegal in
        [&["forecast", "over"][..], &["happening", "forecast"], &["over"], &["retracted", "happening"]]
    {
        assert!(!is_legal(illegal), "{illegal:?}");
    }
}
