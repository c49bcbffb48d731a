//! The outcome of an incident: which camera publishes it, and how every camera reports it to its surfaces.
//!
//! A camera reports outcomes that are on the wire, each (key, state) once, and nothing else. See the parent's header.

use std::collections::BTreeSet;
use std::time::Duration;

use super::alerts;
use super::ballot::{Tally, Word};
use super::claim::Claim;
use super::incident::Incident;
use super::{Action, ClaimId, Consensus, GATHER, SETTLE, Site, Standing, TAKEOVER};
use crate::base::Time;
use crate::model::{CameraId, EventState};
use crate::swarm::bounded::{List, Map};
use crate::swarm::message::{ConsensusMessage, EventKey, EventMessage, Name, Rule, Verdict};
use crate::swarm::publish::millis;
use crate::swarm::wire::{Count, Fraction, Id, Real};

/// The states that end the votes on an incident, in the order in which they are reported when several arrive at once.
const DECIDED: [EventState; 3] = [EventState::Expired, EventState::Confirmed, EventState::Retracted];

impl Consensus {
    /// Reports every outcome of the incident's claims that is on the wire and was not reported before; and, once, that
    /// an incident began.
    pub(super) fn report(&mut self, incident: &Incident, site: &dyn Site, now: Time, out: &mut Vec<Action>) {
        let is_denied = incident.tally.denying > 0 && incident.tally.is_denied(self.options.quorum);
        for id in &incident.members {
            if let Some(case) = self.cases.get_mut(id) {
                case.denied_since = is_denied.then(|| case.denied_since.unwrap_or(now));
            }
        }
        if !self.is_shown(incident) {
            return;
        }
        for id in &incident.members {
            for state in DECIDED {
                let Some(case) = self.cases.get(id) else { continue };
                if !case.has(state) || case.reported.has(state) {
                    continue;
                }
                if state == EventState::Confirmed && !self.accepts(incident, id, site, now) {
                    if let Some(case) = self.cases.get_mut(id)
                        && !std::mem::replace(&mut case.is_disputed, true)
                    {
                        self.counters.outcomes_disputed += 1;
                    }
                    continue;
                }
                if let Some(case) = self.cases.get_mut(id) {
                    case.reported.set(state);
                }
                match state {
                    EventState::Confirmed => self.counters.confirmed += 1,
                    EventState::Retracted => self.counters.retracted += 1,
                    EventState::Expired => self.counters.expired += 1,
                    EventState::Predicted | EventState::Occurred => {}
                }
                let event = self.site_event(incident, id, state);
                out.extend(event.map(|event| Action::Site(Box::new(event))));
            }
        }
        let cases = || incident.members.iter().filter_map(|id| self.cases.get(id));
        let is_known = cases().any(|case| case.is_reported_open || case.is_decided());
        for id in &incident.members {
            if let Some(case) = self.cases.get_mut(id) {
                case.is_reported_open = true;
            }
        }
        if !is_known && incident.state == EventState::Predicted {
            let event =
                incident.members.first().and_then(|key| self.site_event(incident, key, incident.state));
            out.extend(event.map(|event| Action::Site(Box::new(event))));
        }
    }

    /// Whether this camera accepts that a claim was published as confirmed.
    ///
    /// Its own votes decide where they have been clear for [`SETTLE`], so that the publisher knew them: those on the
    /// incident, and those on the claim by itself. The publisher may have joined other claims; and a fact that is denied
    /// says nothing of the forecast that was confirmed. Else the publisher must be a camera that counts; or one that no
    /// camera can contradict: it is alone with its ground, or no camera that counts sees the place.
    fn accepts(&self, incident: &Incident, id: &ClaimId, site: &dyn Site, now: Time) -> bool {
        let Some(case) = self.cases.get(id) else { return false };
        if id.0 == *site.own() || incident.state == EventState::Confirmed {
            return true;
        }
        let was_denied = case.denied_since.is_some_and(|since| now.since(since) >= SETTLE);
        if was_denied && self.tally_alone(id, case, site, now).is_denied(self.options.quorum) {
            return false;
        }
        if case.published.confirmed {
            return true;
        }
        match site.standing(&id.0) {
            Standing::Counts => true,
            Standing::Stranger => false,
            Standing::Unproven if !site.shares_ground(&id.0) => true,
            Standing::Unproven => {
                let viewers = site.viewers(case.claim.latest.position_m());
                !viewers.iter().any(|(camera, looks)| {
                    *looks && **camera != id.0 && site.standing(camera) == Standing::Counts
                })
            }
        }
    }

    /// Publishes the outcome on behalf of the site, when it is this camera's turn and no camera has; whether it did.
    pub(super) fn announce(
        &mut self,
        incident: &Incident,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) -> bool {
        let state = incident.state;
        let Some(key) = incident.members.first().cloned() else { return false };
        let mine = self.standing(incident).find(|id| id.0 == *site.own()).cloned();
        let at = mine.clone().unwrap_or_else(|| key.clone());
        let cases = || incident.members.iter().filter_map(|id| self.cases.get(id));
        let open = || cases().filter(|case| !case.claim.is_retracted());
        let is_published = state == EventState::Predicted
            || cases().all(|case| case.claim.is_retracted())
            || open().any(|case| case.has(state))
            || (state == EventState::Expired && cases().any(|case| case.has(EventState::Confirmed)));
        let is_late = incident.tally.asked > 1
            && cases().any(|case| case.has(EventState::Expired) || case.has(EventState::Retracted));
        let turn = self.turn(incident, site);
        if is_published {
            if let Some(case) = self.cases.get_mut(&at) {
                case.decided = None;
            }
            self.answer(incident, turn, site, now, out);
            return false;
        }
        let wait = if is_late { SETTLE } else { Duration::ZERO };
        // Cameras that saw it at the same moment claim it too.
        let gathers = self.is_shared(incident, site) && now.since(incident.first) < GATHER;
        if !self.is_due(&at, state, turn, wait, now) || gathers {
            return false;
        }
        match mine {
            Some(mine) => self.announce_own(&mine, incident, site, now, out),
            None => self.announce_for(&key, state, incident, site, now, out),
        }
        let others: Vec<ClaimId> = self.listed(incident).filter(|id| **id != at).cloned().collect();
        self.join(&at, &others);
        if state == EventState::Confirmed {
            self.open_alert(&at, incident, site, now);
        }
        true
    }

    /// Whether several cameras look at the place, those that do not count yet included: two of them may claim it at the
    /// same moment.
    pub(super) fn is_shared(&self, incident: &Incident, site: &dyn Site) -> bool {
        let key = incident.members.first().filter(|key| site.shares_ground(&key.0));
        let case = key.and_then(|key| self.cases.get(key));
        case.is_some_and(|case| {
            let viewers = site.viewers(case.claim.latest.position_m());
            viewers.iter().filter(|(_, looks)| *looks).nth(1).is_some()
        })
    }

    /// Whether it is this camera's turn to publish a state of a claim: since that state was reached, every publisher before
    /// it had its time.
    fn is_due(
        &mut self,
        id: &ClaimId,
        state: EventState,
        turn: Option<u32>,
        wait: Duration,
        now: Time,
    ) -> bool {
        let Some(case) = self.cases.get_mut(id) else { return false };
        let Some(turn) = turn else {
            case.decided = None;
            return false;
        };
        let since = match case.decided {
            Some((decided, since)) if decided == state => since,
            _ => now,
        };
        case.decided = Some((state, since));
        now.since(since) >= TAKEOVER * turn + wait
    }

    /// Publishes the outcome of a claim of a client that knows no votes, whose incident was published under another key:
    /// the client knows its own key alone.
    fn answer(
        &mut self,
        incident: &Incident,
        turn: Option<u32>,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let published = incident.members.iter().filter_map(|id| self.cases.get(id));
        let Some(state) =
            DECIDED.into_iter().rev().find(|state| published.clone().any(|case| case.has(*state)))
        else {
            return;
        };
        let waits = |id: &&ClaimId| {
            let case = self.cases.get(*id);
            site.standing(&id.0) == Standing::Stranger
                && case.is_some_and(|case| !case.is_decided() && !case.claim.is_retracted())
        };
        let Some(id) = incident.members.iter().find(waits).cloned() else { return };
        if self.is_due(&id, state, turn, Duration::ZERO, now) {
            self.announce_for(&id, state, incident, site, now, out);
        }
    }

    /// The claims that an outcome lists: what was withdrawn before has its own outcome and its own alert, unless that alert
    /// goes on as the one of this incident.
    fn listed<'a>(&'a self, incident: &'a Incident) -> impl Iterator<Item = &'a ClaimId> {
        let goes_on = |id: &ClaimId| {
            let alert = self.cases.get(id).and_then(|case| case.alert.as_ref());
            alert.is_some_and(alerts::Record::is_open)
        };
        incident.members.iter().filter(move |id| self.stands(incident, id) || goes_on(id))
    }

    /// The claims whose cameras may publish the outcome.
    fn standing<'a>(&'a self, incident: &'a Incident) -> impl Iterator<Item = &'a ClaimId> {
        incident.members.iter().filter(move |id| self.stands(incident, id))
    }

    /// Whether a claim was not withdrawn; all count where the outcome is that the incident is.
    fn stands(&self, incident: &Incident, id: &ClaimId) -> bool {
        incident.state == EventState::Retracted
            || self.cases.get(id).is_some_and(|case| !case.claim.is_retracted())
    }

    fn announce_own(
        &mut self,
        mine: &ClaimId,
        incident: &Incident,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let claims = self.listed(incident);
        let claims = claims.filter_map(|id| Some(self.cases.get(id)?.claim.key(&id.0, id.1)));
        let claims: Vec<EventKey> = claims.collect();
        let Some(case) = self.cases.get_mut(mine) else { return };
        case.decided = None;
        let event = outcome(&case.message, incident, claims, &self.options, now);
        case.claim.merge(&Claim::new(&event, site.ahead_ms(site.own())));
        out.push(Action::Event(Box::new(event)));
        // The announcement may have changed which claim gives the key.
        let mut members = incident.members.clone();
        members.sort_by_cached_key(|id| self.rank(id, site));
        let key = members.first().and_then(|id| Some((id, self.cases.get(id)?)));
        let key = key.map(|((camera, event_id), case)| case.claim.key(camera, *event_id));
        let aggregate = key.map(|key| self.aggregate(site.own(), key, incident, incident.state, now));
        out.extend(aggregate.map(|aggregate| Action::Vote(Box::new(aggregate))));
    }

    /// Publishes the outcome of an event whose camera does not.
    fn announce_for(
        &mut self,
        key: &ClaimId,
        state: EventState,
        incident: &Incident,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let Some(case) = self.cases.get_mut(key) else { return };
        case.published.set(state);
        case.decided = None;
        let name = case.claim.key(&key.0, key.1);
        let aggregate = self.aggregate(site.own(), name, incident, state, now);
        out.push(Action::Vote(Box::new(ConsensusMessage { outcome: Some(state), ..aggregate })));
    }

    /// How many cameras publish before this one: claimants in the order of their first claims, then viewers by name.
    /// None if it is neither.
    pub(super) fn turn(&self, incident: &Incident, site: &dyn Site) -> Option<u32> {
        let mut known = BTreeSet::new();
        let publishes = |camera: &CameraId| {
            camera == site.own()
                || (site.is_known(camera) && site.is_present(camera) && !site.is_muted(camera))
        };
        let mut publishers: Vec<&CameraId> = self
            .standing(incident)
            .map(|(camera, _)| camera)
            .filter(|camera| known.insert(*camera) && publishes(camera))
            .collect();
        let place_m = incident.members.first().and_then(|key| self.cases.get(key));
        let place_m = place_m.map(|case| case.claim.latest.position_m());
        let key_shares = incident.members.first().is_some_and(|key| site.shares_ground(&key.0));
        if let Some(place_m) = place_m.filter(|_| key_shares) {
            let mut viewers: Vec<&CameraId> = site
                .viewers(place_m)
                .into_iter()
                .filter(|(camera, looks)| *looks && site.standing(camera) == Standing::Counts)
                .map(|(camera, _)| camera)
                .filter(|camera| !known.contains(camera) && publishes(camera))
                .collect();
            viewers.sort_unstable();
            publishers.extend(viewers);
        }
        publishers.iter().position(|camera| *camera == site.own()).and_then(|turn| u32::try_from(turn).ok())
    }

    fn aggregate(
        &self,
        own: &CameraId,
        key: EventKey,
        incident: &Incident,
        state: EventState,
        now: Time,
    ) -> ConsensusMessage {
        let words = || incident.words.words(self.options.count_told);
        let confirming = words().filter(|(_, word)| matches!(word, Word::Confirm(_)));
        let confirming: List<_, _> = List::cut(confirming.map(|(camera, _)| camera.clone()));
        let votes = words().filter_map(|(camera, word)| Some((camera.clone(), Fraction(word.confidence()?))));
        ConsensusMessage {
            event_id: Id(key.event_id),
            initiating_camera: key.camera.clone(),
            num_confirming: Count(confirming.len() as u64),
            confirming_cameras: confirming,
            aggregated_confidence: Fraction(incident.tally.probability()),
            timestamp: millis(now),
            camera_id: Some(own.clone()),
            key: Some(key),
            verdict: match state {
                EventState::Confirmed => Some(Verdict::Confirm),
                EventState::Retracted => Some(Verdict::Deny),
                EventState::Predicted | EventState::Occurred | EventState::Expired => None,
            },
            votes: Some(Map::cut(votes)),
            reason: None,
            outcome: None,
            occurred: Some(incident.fact),
        }
    }
}

/// An event of this camera with its outcome, and why.
fn outcome(
    own: &EventMessage,
    incident: &Incident,
    claims: Vec<EventKey>,
    options: &super::Options,
    now: Time,
) -> EventMessage {
    EventMessage {
        state: Some(incident.state),
        probability: Fraction(incident.tally.probability()),
        timestamp: millis(now).max(own.timestamp),
        rule: Some(rule(own, &incident.tally, options)),
        claims: List::cut(claims),
        ..own.clone()
    }
}

/// The rule of an event with how the cameras answered.
pub(super) fn rule(own: &EventMessage, tally: &Tally, options: &super::Options) -> Rule {
    let rule = own.rule.as_ref();
    let mut measured = rule.map(|rule| (*rule.measured).clone()).unwrap_or_default();
    let mut thresholds = rule.map(|rule| (*rule.thresholds).clone()).unwrap_or_default();
    for (name, value) in [
        ("cameras_asked", tally.asked as f64),
        ("cameras_confirming", tally.confirming as f64),
        ("cameras_denying", tally.denying as f64),
        ("pooled_probability", tally.probability()),
    ] {
        measured.insert(Name::cut(name), Real(value));
    }
    for (name, value) in [("quorum", options.quorum), ("alert_above", options.alert_above)] {
        thresholds.insert(Name::cut(name), Real(value));
    }
    Rule {
        name: rule.map_or_else(|| Name::cut("consensus"), |rule| rule.name.clone()),
        thresholds: Map::cut(thresholds),
        measured: Map::cut(measured),
    }
}
