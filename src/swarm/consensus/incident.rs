//! Claims joined into incidents: who is asked, what comes of it, and who says so.
//!
//! An incident is not stored. It is the claims that are connected by
//! [`Claim::is_same`](super::claim::Claim::is_same), found again whenever one of them changes, so that it
//! depends on the claims alone and not on the way by which they came.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ballot::{Ballot, Tally, Word};
use super::places::Place;
use super::witness::Question;
use super::{
    Action, Case, ClaimId, Consensus, GATHER, HOLD, RISE_MIN, SETTLE, Site, SiteEvent, TAKEOVER, VOTE_LATE,
};
use crate::base::Time;
use crate::model::{CameraId, EventState};
use crate::swarm::bounded::{List, Map};
use crate::swarm::message::{ConsensusMessage, EventKey, EventMessage, Name, Rule, Verdict};
use crate::swarm::publish::millis;
use crate::swarm::wire::{Count, Fraction, Id, Real};

/// An incident as it stands.
struct Incident {
    /// Its claims, the one that gives the key first.
    members: Vec<ClaimId>,
    words: Ballot,
    tally: Tally,
    state: EventState,
}

impl Consensus {
    /// Every incident that is this camera's business as it stands, by its key.
    pub fn events(&self, site: &dyn Site, now: Time) -> Vec<SiteEvent> {
        let mut seen: Vec<ClaimId> = Vec::new();
        let mut events = Vec::new();
        for id in self.cases.keys() {
            if !seen.contains(id)
                && let Some(incident) = self.incident(id, site, now)
            {
                events.extend(self.site_event(&incident).filter(|_| self.is_shown(&incident)));
                seen.extend(incident.members);
            }
        }
        events.sort_by(|a: &SiteEvent, b| a.key.cmp(&b.key));
        events
    }

    /// Looks at the incident of a claim: votes, decides, and says what is new. Its claims.
    pub(super) fn settle(
        &mut self,
        id: &ClaimId,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) -> Vec<ClaimId> {
        if let Some(case) = self.cases.get_mut(id) {
            case.is_new = false;
        }
        self.name_subjects(id, site);
        let Some(mut incident) = self.incident(id, site, now) else { return Vec::new() };
        if let Some(vote) = self.own_vote(&incident, site, now) {
            self.counters.votes_cast += 1;
            out.push(Action::Vote(Box::new(vote)));
            match self.incident(id, site, now) {
                Some(after) => incident = after,
                None => return Vec::new(),
            }
        }
        if self.announce(&incident, site, now, out)
            && let Some(after) = self.incident(id, site, now)
        {
            // The announcement may have changed which claim gives the key.
            incident = after;
        }
        if self.is_shown(&incident) {
            self.say(&incident, now, out);
        }
        incident.members
    }

    /// Whether surfaces hear of it: it happens where it is this camera's business, or they have heard of it.
    fn is_shown(&self, incident: &Incident) -> bool {
        let mut cases = incident.members.iter().filter_map(|id| self.cases.get(id));
        let key = incident.members.first().and_then(|id| self.cases.get(id));
        key.is_some_and(|case| case.concerns_us) || cases.any(|case| case.said.is_some())
    }

    fn name_subjects(&mut self, id: &ClaimId, site: &dyn Site) {
        let Some(case) = self.cases.get_mut(id) else { return };
        let tracks = case.claim.latest.tracks.iter();
        let mut named: Vec<u64> = tracks.filter_map(|track| site.subject(&id.0, *track)).collect();
        // Who has left the table keeps the last number.
        if !named.is_empty() {
            named.sort_unstable();
            named.dedup();
            case.subjects = named;
        }
    }

    /// The incident that a claim belongs to; none if nothing its camera says counts.
    fn incident(&self, id: &ClaimId, site: &dyn Site, now: Time) -> Option<Incident> {
        let members = self.members(id, site);
        let (key, _) = members.first().and_then(|key| self.cases.get_key_value(key))?;
        let mut words = Ballot::default();
        for member in &members {
            if let Some(case) = self.cases.get(member) {
                words.merge(&case.claim.ballot);
                words.cast(&member.0, case.claim.vote());
            }
        }
        let tally = self.tally(key, &members, &words, site);
        let timed_out = members.iter().filter_map(|m| self.cases.get(m)).map(|case| case.opened).max();
        let timed_out = timed_out.is_some_and(|opened| now.since(opened) >= self.options.timeout);
        let state = self.judge(&members, &tally, timed_out);
        Some(Incident { members, words, tally, state })
    }

    /// The claims connected with one, in the order in which they give the key.
    fn members(&self, id: &ClaimId, site: &dyn Site) -> Vec<ClaimId> {
        let counts = |camera: &CameraId| !site.is_muted(camera);
        let Some((first, _)) = self.cases.get_key_value(id).filter(|((camera, _), _)| counts(camera)) else {
            return Vec::new();
        };
        // Of each place, the claims that have joined none yet: each is asked no more once it has.
        let mut left: BTreeMap<Place, Vec<(&ClaimId, &Case)>> = BTreeMap::new();
        let mut found: Vec<&ClaimId> = vec![first];
        let mut next = 0;
        while let Some(&at) = found.get(next) {
            next += 1;
            let Some(case) = self.cases.get(at) else { continue };
            let at_shares = site.shares_ground(&at.0);
            for (place, claims) in self.places.around(case.claim.latest.place()) {
                let others = left.entry(*place).or_insert_with(|| {
                    let others = claims.iter().filter(|other| *other != first && counts(&other.0));
                    others.filter_map(|other| self.cases.get_key_value(other)).collect()
                });
                others.retain(|(other_id, other)| {
                    let one_camera = other_id.0 == at.0;
                    let joins =
                        other.claim.is_same(&case.claim, [&other.subjects, &case.subjects], one_camera)
                            && (one_camera || (at_shares && site.shares_ground(&other_id.0)));
                    if joins {
                        found.push(other_id);
                    }
                    !joins
                });
            }
        }
        let mut members: Vec<ClaimId> = found.into_iter().cloned().collect();
        members.sort_by_cached_key(|id| self.rank(id));
        members
    }

    /// What decides which claim gives the key, and whose camera speaks: the least.
    fn rank(&self, id: &ClaimId) -> (bool, u64, ClaimId) {
        let claim = self.cases.get(id).map(|case| &case.claim);
        let announced = claim.is_some_and(|c| c.told.confirmed);
        (!announced, claim.map_or(u64::MAX, |c| c.founded_ms), id.clone())
    }

    /// Asks the cameras that can see it.
    fn tally(&self, key: &ClaimId, members: &[ClaimId], words: &Ballot, site: &dyn Site) -> Tally {
        let mut tally = Tally::default();
        let word = |camera: &CameraId| {
            words.words(self.options.count_told).find(|(of, _)| *of == camera).map(|(_, word)| word)
        };
        let claimants: BTreeSet<_> = members.iter().map(|(camera, _)| camera).collect();
        for camera in &claimants {
            tally.count(word(camera));
        }
        let Some(case) = self.cases.get(key).filter(|_| site.shares_ground(&key.0)) else { return tally };
        for (camera, looks) in site.viewers(case.claim.latest.position_m()) {
            let word = word(camera);
            if !claimants.contains(camera) && !site.is_muted(camera) && (looks || word.is_some()) {
                tally.count(word);
            }
        }
        tally
    }

    fn judge(&self, members: &[ClaimId], tally: &Tally, timed_out: bool) -> EventState {
        let mut claims = members.iter().filter_map(|id| self.cases.get(id)).map(|case| &case.claim);
        if claims.all(super::claim::Claim::is_retracted) {
            return EventState::Retracted;
        }
        let needed = tally.needed(self.options.quorum);
        let probability = if timed_out { tally.probability() } else { tally.probability_at_worst() };
        if tally.confirming >= needed && probability > self.options.alert_above {
            EventState::Confirmed
        } else if !timed_out {
            EventState::Predicted
        } else if tally.denying > tally.asked.saturating_sub(needed) {
            EventState::Retracted
        } else {
            EventState::Expired
        }
    }

    /// This camera's vote on an incident of others, when it is asked and has something new to say; noted.
    fn own_vote(&mut self, incident: &Incident, site: &dyn Site, now: Time) -> Option<ConsensusMessage> {
        let own = site.own();
        let key = incident.members.first().filter(|key| key.0 != *own && site.shares_ground(&key.0))?;
        let case = self.cases.get(key)?;
        let claim = &case.claim;
        let opened = incident.members.iter().filter_map(|m| self.cases.get(m)).map(|c| c.opened).max()?;
        let waited = now.since(opened);
        let before = claim.ballot.own_word(own);
        if waited > self.options.timeout + VOTE_LATE || claim.is_retracted() {
            return None;
        }
        // Who raises it too has said what there is to say.
        let own_claims = incident.members.iter().filter(|m| m.0 == *own).filter_map(|m| self.cases.get(m));
        let word = if let Some(peak) = own_claims.map(|case| case.claim.peak).max() {
            peak
        } else {
            let place_m = claim.latest.position_m();
            if !site.viewers(place_m).iter().any(|(camera, looks)| *camera == own && *looks) {
                return None;
            }
            let asked = Question {
                kind: claim.latest.kind,
                place_m,
                // On our own clock, as our memory is.
                at_ms: claim
                    .latest
                    .expected_ms
                    .saturating_add_signed(site.ahead_ms(own) - site.ahead_ms(&key.0)),
                occurred: claim.occurred,
                subjects: &case.subjects,
                subject_m: claim.latest.tracks.first().and_then(|track| site.place_of(&key.0, *track)),
            };
            self.witness.word(&asked, &self.view, now.epoch_ms, |track| site.subject(own, track))
        };
        let says_more = match (before, word) {
            (Some(Word::Confirm(before)), Word::Confirm(word)) => word >= before.saturating_add(RISE_MIN),
            (before, word) => before.is_none_or(|before| word > before),
        };
        if !says_more || (!matches!(word, Word::Confirm(_)) && waited < HOLD) {
            return None;
        }
        let message = vote(own, claim.key(&key.0, key.1), word, now);
        let key = key.clone();
        self.cases.get_mut(&key)?.claim.ballot.cast(own, word);
        Some(message)
    }

    /// Tells this camera's surfaces what is new.
    fn say(&mut self, incident: &Incident, now: Time, out: &mut Vec<Action>) {
        let said = |state| {
            let mut members = incident.members.iter().filter_map(|id| self.cases.get(id));
            members.any(|case| case.said == Some(state))
        };
        let decided = [EventState::Confirmed, EventState::Retracted, EventState::Expired];
        let before = decided.into_iter().find(|state| said(*state));
        let is_news = match incident.state {
            EventState::Predicted => before.is_none() && !said(EventState::Predicted),
            // That nobody decides any more takes nothing back.
            EventState::Expired => before.is_none(),
            EventState::Confirmed => !said(EventState::Confirmed) && self.is_public(incident, now),
            state => !said(state),
        };
        let now_said = if is_news { incident.state } else { before.unwrap_or(EventState::Predicted) };
        for id in &incident.members {
            if let Some(case) = self.cases.get_mut(id) {
                case.said = Some(now_said);
                case.is_new = false;
            }
        }
        if !is_news {
            return;
        }
        match incident.state {
            EventState::Confirmed => self.counters.confirmed += 1,
            EventState::Retracted => self.counters.retracted += 1,
            EventState::Expired => self.counters.expired += 1,
            EventState::Predicted | EventState::Occurred => {}
        }
        out.extend(self.site_event(incident).map(|event| Action::Site(Box::new(event))));
    }

    /// Whether a confirmation may be told to the surfaces: it was announced, so that all cameras tell it under
    /// one key, or who should have announced it is gone.
    fn is_public(&self, incident: &Incident, now: Time) -> bool {
        let cases = || incident.members.iter().filter_map(|id| self.cases.get(id));
        let patience = self.options.timeout + 2 * TAKEOVER;
        cases().any(|case| case.claim.told.confirmed)
            || cases().map(|case| case.opened).max().is_some_and(|opened| now.since(opened) >= patience)
    }

    /// Says what came of it on behalf of the site, when it is this camera's turn and nobody has; whether it did.
    fn announce(&mut self, incident: &Incident, site: &dyn Site, now: Time, out: &mut Vec<Action>) -> bool {
        let mine = incident.members.iter().find(|id| id.0 == *site.own()).cloned();
        let Some(mine) = mine else { return false };
        let claims = || incident.members.iter().filter_map(|id| self.cases.get(id));
        let state = incident.state;
        let is_told = state == EventState::Predicted
            || claims().any(|case| case.claim.told.has(state))
            || (state == EventState::Expired && claims().any(|case| case.claim.told.confirmed));
        let is_late = incident.tally.asked > 1
            && claims().any(|case| case.claim.told.expired || case.claim.told.retracted);
        let speakers = claimants(&incident.members).into_iter().filter(|camera| site.is_present(camera));
        let turn = speakers.take_while(|camera| *camera != site.own()).count() as u32;
        let Some(case) = self.cases.get_mut(&mine) else { return false };
        if is_told {
            case.decided = None;
            return false;
        }
        let since = match case.decided {
            Some((decided, since)) if decided == state => since,
            _ => now,
        };
        case.decided = Some((state, since));
        let wait = TAKEOVER * turn + if is_late { SETTLE } else { Duration::ZERO };
        // Who saw it at the same moment claims it too.
        let gathers = incident.tally.asked > 1 && now.since(case.opened) < GATHER;
        if gathers || now.since(since) < wait {
            return false;
        }
        let Some(event) = case.own.as_deref().map(|own| outcome(own, incident, &self.options, now)) else {
            return false;
        };
        case.decided = None;
        case.claim.merge(&super::claim::Claim::new(&event, site.ahead_ms(site.own())));
        out.push(Action::Event(Box::new(event)));
        // The announcement may have changed which claim gives the key.
        let mut members = incident.members.clone();
        members.sort_by_cached_key(|id| self.rank(id));
        let key = members.first().and_then(|id| Some((id, self.cases.get(id)?)));
        let key = key.map(|((camera, event_id), case)| case.claim.key(camera, *event_id));
        out.extend(key.map(|key| Action::Vote(Box::new(self.aggregate(site.own(), key, incident, now)))));
        true
    }

    fn aggregate(&self, own: &CameraId, key: EventKey, incident: &Incident, now: Time) -> ConsensusMessage {
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
            verdict: match incident.state {
                EventState::Confirmed => Some(Verdict::Confirm),
                EventState::Retracted => Some(Verdict::Deny),
                EventState::Predicted | EventState::Occurred | EventState::Expired => None,
            },
            votes: Some(Map::cut(votes)),
            reason: None,
            outcome: None,
        }
    }

    fn site_event(&self, incident: &Incident) -> Option<SiteEvent> {
        let cases = || incident.members.iter().filter_map(|id| Some((id, self.cases.get(id)?)));
        let ((camera, event_id), first) = cases().next()?;
        let words = incident.words.words(self.options.count_told);
        let confirming = words.filter(|(_, word)| matches!(word, Word::Confirm(_)));
        let mut subjects: Vec<u64> = cases().flat_map(|(_, case)| case.subjects.iter().copied()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        Some(SiteEvent {
            key: first.claim.key(camera, *event_id),
            kind: first.claim.latest.kind,
            state: incident.state,
            occurred: cases().any(|(_, case)| case.claim.occurred),
            position_m: first.claim.latest.position_m(),
            expected_ms: first.claim.latest.expected_ms,
            severity: cases().map(|(_, case)| case.claim.latest.severity).max()?,
            probability: incident.tally.probability(),
            tally: incident.tally,
            confirming: confirming.map(|(camera, _)| camera.clone()).collect(),
            claims: cases().map(|((camera, id), case)| case.claim.key(camera, *id)).collect(),
            subjects,
        })
    }
}

/// The cameras that claim it, each once, in the order of their first claims.
fn claimants(members: &[ClaimId]) -> Vec<&CameraId> {
    let mut known = BTreeSet::new();
    members.iter().map(|(camera, _)| camera).filter(|camera| known.insert(*camera)).collect()
}

/// A camera's vote as it leaves.
fn vote(own: &CameraId, key: EventKey, word: Word, now: Time) -> ConsensusMessage {
    let confirms = matches!(word, Word::Confirm(_));
    let confidence = word.confidence();
    ConsensusMessage {
        event_id: Id(key.event_id),
        initiating_camera: key.camera.clone(),
        num_confirming: Count(u64::from(confirms)),
        confirming_cameras: List::cut(confirms.then(|| own.clone())),
        aggregated_confidence: Fraction(confidence.unwrap_or(0.0)),
        timestamp: millis(now),
        camera_id: Some(own.clone()),
        key: Some(key),
        verdict: match word {
            Word::Abstain => None,
            Word::Deny => Some(Verdict::Deny),
            Word::Confirm(_) => Some(Verdict::Confirm),
        },
        votes: Some(Map::cut(confidence.map(|confidence| (own.clone(), Fraction(confidence))))),
        reason: None,
        outcome: None,
    }
}

/// An event of ours with what came of it, and why.
fn outcome(own: &EventMessage, incident: &Incident, options: &super::Options, now: Time) -> EventMessage {
    let Tally { asked, confirming, denying, .. } = incident.tally;
    let probability = incident.tally.probability();
    let rule = own.rule.as_ref();
    let mut measured = rule.map(|rule| (*rule.measured).clone()).unwrap_or_default();
    let mut thresholds = rule.map(|rule| (*rule.thresholds).clone()).unwrap_or_default();
    for (name, value) in [
        ("cameras_asked", asked as f64),
        ("cameras_confirming", confirming as f64),
        ("cameras_denying", denying as f64),
        ("pooled_probability", probability),
    ] {
        measured.insert(Name::cut(name), Real(value));
    }
    for (name, value) in [("quorum", options.quorum), ("alert_above", options.alert_above)] {
        thresholds.insert(Name::cut(name), Real(value));
    }
    EventMessage {
        state: Some(incident.state),
        probability: Fraction(probability),
        timestamp: millis(now).max(own.timestamp),
        rule: Some(Rule {
            name: rule.map_or_else(|| Name::cut("consensus"), |rule| rule.name.clone()),
            thresholds: Map::cut(thresholds),
            measured: Map::cut(measured),
        }),
        ..own.clone()
    }
}
