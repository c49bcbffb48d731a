//! Claims joined into incidents, and what comes of them by the votes that this camera knows.
//!
//! An incident is not stored. It is the claims that are connected by
//! [`Claim::is_same`](super::claim::Claim::is_same), or that were published as one, found again whenever one of them
//! changes, so that it depends on the claims alone and not on the way by which they came.

use std::collections::{BTreeMap, BTreeSet};

use super::ballot::{Ballot, Tally, Word};
use super::claim::Claim;
use super::places::Place;
use super::{
    Action, Case, ClaimId, Consensus, DECIDE_EARLY, LAPSE, Site, SiteEvent, Standing, millis, site_ms,
};
use crate::base::Time;
use crate::model::{CameraId, EventState};

/// Claims of one incident; a flood of claims at one place makes several incidents, each of bounded cost.
const MEMBERS_MAX: usize = 64;

/// An incident as it stands.
pub(super) struct Incident {
    /// Its claims, the one that gives the key first.
    pub(super) members: Vec<ClaimId>,
    /// It is claimed to happen; else it is expected.
    pub(super) fact: bool,
    pub(super) words: Ballot,
    pub(super) tally: Tally,
    pub(super) state: EventState,
    /// When the first claim came, and since when the answers are waited for.
    pub(super) first: Time,
    pub(super) opened: Time,
}

impl Consensus {
    /// Every incident that is this camera's business as it stands, by its key.
    pub fn events(&self, site: &dyn Site, now: Time) -> Vec<SiteEvent> {
        let mut seen: BTreeSet<ClaimId> = BTreeSet::new();
        let mut events = Vec::new();
        for id in self.cases.keys() {
            if !seen.contains(id)
                && let Some(incident) = self.incident(id, site, now)
            {
                events.extend(self.standing_event(&incident).filter(|_| self.is_shown(&incident)));
                seen.extend(incident.members);
            }
        }
        events.sort_by(|a: &SiteEvent, b| a.key.cmp(&b.key));
        events
    }

    /// Evaluates the incident of a claim: votes, publishes, and reports what is new. Returns its claims.
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
        self.review(&incident, site, now, out);
        if self.announce(&incident, site, now, out)
            && let Some(after) = self.incident(id, site, now)
        {
            // The announcement may have changed which claim gives the key.
            incident = after;
        }
        self.report(&incident, site, now, out);
        self.publish_alert(&incident, site, now, out);
        for id in &incident.members {
            if let Some(case) = self.cases.get_mut(id) {
                case.is_new = false;
            }
        }
        incident.members
    }

    /// Whether surfaces hear of it: it happens where it is this camera's business, or they have heard of it.
    pub(super) fn is_shown(&self, incident: &Incident) -> bool {
        let mut cases = incident.members.iter().filter_map(|id| self.cases.get(id));
        let key = incident.members.first().and_then(|id| self.cases.get(id));
        key.is_some_and(|case| case.concerns_us)
            || cases.any(|case| case.is_reported_open || case.reported != super::Outcomes::default())
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
    pub(super) fn incident(&self, id: &ClaimId, site: &dyn Site, now: Time) -> Option<Incident> {
        let members = self.members(id, site);
        let (key, _) = members.first().and_then(|key| self.cases.get_key_value(key))?;
        // The claim of a stranger neither turns a forecast of others into a fact nor keeps it open.
        let is_led = members.iter().any(|m| site.standing(&m.0) != Standing::Stranger);
        let leads = || {
            let leading = members.iter().filter(|m| !is_led || site.standing(&m.0) != Standing::Stranger);
            leading.filter_map(|m| Some((&m.0, self.cases.get(m)?)))
        };
        let fact = leads().any(|(_, case)| case.claim.occurred);
        let mut words = Ballot::default();
        for (member, case) in members.iter().filter_map(|member| Some((member, self.cases.get(member)?))) {
            add_words(&mut words, member, case, fact);
        }
        let tally = self.tally(key, &members, &words, site, now);
        let first = leads().map(|(_, case)| case.opened).min()?;
        let opened = leads().map(|(_, case)| case.opened).max()?;
        let timed_out = now.since(opened) >= self.options.timeout.saturating_sub(DECIDE_EARLY);
        let claims: Vec<&Claim> = leads().map(|(_, case)| &case.claim).collect();
        let expected_ms = claims.iter().map(|claim| claim.expected_ms()).max()?;
        let lapsed = !fact && site_ms(site, now) > expected_ms.saturating_add(millis(LAPSE));
        let state = if lapsed || claims.iter().all(|claim| claim.is_retracted()) {
            EventState::Retracted
        } else {
            self.judge(&tally, timed_out)
        };
        Some(Incident { members, fact, words, tally, state, first, opened })
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
        let mut known: BTreeSet<&ClaimId> = found.iter().copied().collect();
        let mut next = 0;
        while let Some(&at) = found.get(next)
            && found.len() < MEMBERS_MAX
        {
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
                    let joins = found.len() < MEMBERS_MAX
                        && other.claim.is_same(&case.claim, [&other.subjects, &case.subjects], one_camera)
                        && (one_camera || (at_shares && site.shares_ground(&other_id.0)));
                    if joins && known.insert(other_id) {
                        found.push(other_id);
                    }
                    !joins
                });
            }
            for other in case.joined.iter().filter(|other| counts(&other.0)) {
                if let Some((other, _)) = self.cases.get_key_value(other)
                    && known.insert(other)
                {
                    found.push(other);
                }
            }
        }
        let mut members: Vec<ClaimId> = found.into_iter().cloned().collect();
        members.sort_by_cached_key(|id| self.rank(id, site));
        members
    }

    /// What decides which claim gives the key, and whose camera publishes: the least.
    pub(super) fn rank(&self, id: &ClaimId, site: &dyn Site) -> (bool, bool, bool, u64, ClaimId) {
        let case = self.cases.get(id);
        let announced = case.is_some_and(|case| case.has(EventState::Confirmed));
        let stranger = site.standing(&id.0) == Standing::Stranger;
        let withdrawn = case.is_some_and(|case| case.claim.is_retracted());
        (stranger, withdrawn, !announced, case.map_or(u64::MAX, |case| case.claim.founded_ms), id.clone())
    }

    /// How the cameras answered on a claim by itself, as a forecast unless it is claimed to happen.
    pub(super) fn tally_alone(&self, id: &ClaimId, case: &Case, site: &dyn Site, now: Time) -> Tally {
        let mut words = Ballot::default();
        add_words(&mut words, id, case, case.claim.occurred);
        self.tally(id, std::slice::from_ref(id), &words, site, now)
    }

    /// Asks the cameras that can see it.
    fn tally(&self, key: &ClaimId, members: &[ClaimId], words: &Ballot, site: &dyn Site, now: Time) -> Tally {
        let mut tally = Tally::default();
        let word = |camera: &CameraId| words.word(camera, self.options.count_told);
        let mut known: BTreeSet<&CameraId> = members.iter().map(|(camera, _)| camera).collect();
        for camera in &known {
            self.count(camera, word(camera), site, &mut tally);
        }
        if let Some(case) = self.cases.get(key).filter(|_| site.shares_ground(&key.0)) {
            for (camera, looks) in site.viewers(case.claim.latest.position_m()) {
                let word = word(camera);
                if site.is_muted(camera) || !known.insert(camera) {
                    continue;
                }
                if word.is_some() || (looks && site.is_asked(camera, now)) {
                    self.count(camera, word, site, &mut tally);
                }
            }
        }
        for (camera, word) in words.strangers() {
            if !site.is_muted(camera) && known.insert(camera) {
                self.count(camera, Some(word), site, &mut tally);
            }
        }
        tally
    }

    fn count(&self, camera: &CameraId, word: Option<Word>, site: &dyn Site, tally: &mut Tally) {
        if site.standing(camera) == Standing::Counts {
            tally.count(word);
        } else if self.options.count_strangers {
            tally.count_uncounted(word);
        }
    }

    fn judge(&self, tally: &Tally, timed_out: bool) -> EventState {
        let probability = if timed_out { tally.probability() } else { tally.probability_at_worst() };
        let confirmed = tally.confirming >= tally.needed(self.options.quorum);
        if confirmed && probability > self.options.alert_above {
            EventState::Confirmed
        } else if !timed_out {
            EventState::Predicted
        } else if tally.is_denied(self.options.quorum) {
            EventState::Retracted
        } else {
            EventState::Expired
        }
    }

    /// The incident under the key and in the state in which it is on the wire, else as this camera judges it.
    fn standing_event(&self, incident: &Incident) -> Option<SiteEvent> {
        let decided = [EventState::Retracted, EventState::Confirmed, EventState::Expired];
        let key = incident.members.first()?;
        let published = self.cases.get(key).and_then(|case| decided.into_iter().find(|s| case.has(*s)));
        let state = match (published, incident.state) {
            // Late votes may still decide it.
            (Some(EventState::Expired) | None, state) => state,
            (Some(published), _) => published,
        };
        self.site_event(incident, key, state)
    }

    /// The report of one key of an incident to the surfaces.
    pub(super) fn site_event(
        &self,
        incident: &Incident,
        key: &ClaimId,
        state: EventState,
    ) -> Option<SiteEvent> {
        let cases = || incident.members.iter().filter_map(|id| Some((id, self.cases.get(id)?)));
        let case = self.cases.get(key)?;
        let words = incident.words.words(self.options.count_told);
        let confirming = words.filter(|(_, word)| matches!(word, Word::Confirm(_)));
        let mut subjects: Vec<u64> = cases().flat_map(|(_, case)| case.subjects.iter().copied()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        Some(SiteEvent {
            key: case.claim.key(&key.0, key.1),
            kind: case.claim.latest.kind,
            state,
            occurred: incident.fact,
            position_m: case.claim.latest.position_m(),
            expected_ms: case.claim.latest.expected_ms,
            severity: cases().map(|(_, case)| case.claim.latest.severity).max()?,
            probability: incident.tally.probability(),
            tally: incident.tally,
            confirming: confirming.map(|(camera, _)| camera.clone()).collect(),
            claims: cases().map(|((camera, id), case)| case.claim.key(camera, *id)).collect(),
            subjects,
        })
    }
}

/// Adds the votes on a claim, that of its camera included.
fn add_words(words: &mut Ballot, id: &ClaimId, case: &Case, fact: bool) {
    words.merge(case.claim.ballot(fact));
    if let Some(word) = case.claim.vote(fact) {
        words.cast(&id.0, word);
    }
}
