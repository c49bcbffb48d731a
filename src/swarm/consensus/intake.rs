//! What other cameras publish, taken into the table: claims, votes and outcomes, within the bounds of the table.

use std::collections::BTreeSet;

use super::ballot::Word;
use super::claim::{Claim, Outcomes};
use super::places::Place;
use super::{
    AHEAD_MAX_MS, CLAIMS_MAX, CLAIMS_PER_CAMERA_MAX, JOINED_MAX, KEEP, ORPHANS_MAX, UNPROVEN_AT_PLACE_MAX,
    UNPROVEN_MAX,
};
use super::{Action, Case, ClaimId, Consensus, Site, Standing, millis, site_ms};
use crate::base::Time;
use crate::model::{CameraId, EventState};
use crate::swarm::message::{ConsensusMessage, EventMessage, Verdict};

impl Consensus {
    /// Takes a camera's word on an event; the claim if it says anything new.
    pub(super) fn event(&mut self, m: &EventMessage, site: &dyn Site, now: Time) -> Option<ClaimId> {
        let ahead_ms = site.ahead_ms(&m.camera_id);
        let told_ms = m.timestamp.0.saturating_add_signed(ahead_ms.saturating_neg());
        let now_ms = site_ms(site, now);
        if told_ms.saturating_add(millis(KEEP)) < now_ms {
            self.counters.claims_stale += 1;
            return None;
        }
        if told_ms > now_ms.saturating_add(AHEAD_MAX_MS) {
            self.counters.claims_early += 1;
            return None;
        }
        let id = (m.camera_id.clone(), m.event_id.0);
        let mut claim = Claim::new(m, ahead_ms);
        let is_claim = matches!(m.state, None | Some(EventState::Predicted | EventState::Occurred));
        let orphan = self.orphans.remove(&id).unwrap_or_default();
        claim.ballots = orphan.ballots;
        let listed = listed(m, &id, site);
        if let Some(case) = self.cases.get_mut(&id) {
            case.heard = now;
            let happens_now = claim.occurred && !case.claim.occurred;
            if happens_now {
                (case.opened, case.is_reviewed) = (now, false);
            }
            if is_claim && m.timestamp >= case.message.timestamp {
                *case.message = m.clone();
            }
            let joins = listed.iter().any(|other| !case.joined.contains(other));
            let before = case.claim.latest.place();
            if !case.claim.merge(&claim) && !joins {
                return None;
            }
            case.is_ours |= self.view.covers(case.claim.latest.position_m());
            case.concerns_us |= site.concerns(case.claim.latest.position_m());
            self.places.moved(&id, before, case.claim.latest.place());
            self.join(&id, &listed);
            return Some(id);
        }
        let counts = site.standing(&m.camera_id) == Standing::Counts;
        self.make_room(&m.camera_id, counts, claim.latest.place());
        self.places.insert(id.clone(), claim.latest.place());
        let is_own = *site.own() == m.camera_id;
        let case = Case {
            concerns_us: site.concerns(claim.latest.position_m()),
            is_ours: is_own || self.view.covers(claim.latest.position_m()),
            claim,
            message: Box::new(m.clone()),
            is_own,
            counts,
            opened: now,
            heard: now,
            subjects: Vec::new(),
            published: orphan.published,
            reported: Outcomes::default(),
            is_reported_open: false,
            is_disputed: false,
            denied_since: None,
            joined: BTreeSet::new(),
            decided: None,
            is_over: false,
            alert: None,
            is_reviewed: false,
            is_new: true,
        };
        self.cases.insert(id.clone(), case);
        self.join(&id, &listed);
        self.join_back(&id);
        Some(id)
    }

    /// Joins claims for good.
    pub(super) fn join(&mut self, id: &ClaimId, others: &[ClaimId]) {
        for other in others {
            let may_join = match (self.cases.get(id), self.cases.get(other)) {
                (Some(a), _) if a.joined.len() >= JOINED_MAX => false,
                (Some(a), Some(b)) => a.claim.may_join(&b.claim),
                // It is on its way; judged when it comes.
                (Some(_), None) => true,
                (None, _) => false,
            };
            if !may_join {
                continue;
            }
            if let Some(case) = self.cases.get_mut(id) {
                case.joined.insert(other.clone());
            }
            if let Some(case) = self.cases.get_mut(other) {
                case.joined.insert(id.clone());
            }
        }
    }

    /// Joins a new claim to those that were published as one incident with it before it came.
    fn join_back(&mut self, id: &ClaimId) {
        let Some(new) = self.cases.get(id) else { return };
        let named = self.cases.iter().filter(|(other, case)| *other != id && case.joined.contains(id));
        let (fit, unfit): (Vec<_>, Vec<_>) = named
            .map(|(other, case)| (other.clone(), case.claim.may_join(&new.claim)))
            .partition(|(_, may)| *may);
        for (other, _) in unfit {
            if let Some(case) = self.cases.get_mut(&other) {
                case.joined.remove(id);
            }
        }
        if let Some(case) = self.cases.get_mut(id) {
            case.joined.extend(fit.into_iter().map(|(other, _)| other));
        }
    }

    /// Makes room for a claim; of those that could go, one that is decided and was not heard of for longest.
    fn make_room(&mut self, camera: &CameraId, counts: bool, place: Place) {
        let unproven = || self.cases.iter().filter(|(_, case)| !case.counts);
        let at_place = || self.places.at(place).filter_map(|id| self.cases.get_key_value(id));
        let at_place = || at_place().filter(|(_, case)| !case.counts);
        let of_camera = || self.cases.range((camera.clone(), 0)..=(camera.clone(), u32::MAX));
        let gone = if of_camera().count() >= CLAIMS_PER_CAMERA_MAX {
            stalest(of_camera())
        } else if !counts && at_place().count() >= UNPROVEN_AT_PLACE_MAX {
            stalest(at_place())
        } else if !counts && unproven().count() >= UNPROVEN_MAX {
            stalest(unproven())
        } else if self.cases.len() >= CLAIMS_MAX {
            stalest(unproven()).or_else(|| stalest(self.cases.iter()))
        } else {
            None
        };
        if let Some((gone, case)) = gone.and_then(|gone| self.cases.remove_entry(&gone)) {
            self.places.remove(&gone, case.claim.latest.place());
            self.counters.claims_evicted += 1;
        }
    }

    /// Takes a vote, an aggregate, or an outcome that a camera publishes on behalf of another; the claim if it adds
    /// anything to one that is known.
    pub(super) fn vote(
        &mut self,
        m: &ConsensusMessage,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) -> Option<ClaimId> {
        let id = (m.initiating_camera.clone(), m.event_id.0);
        let standing = |camera: &CameraId| site.standing(camera);
        let counts = |camera: &CameraId| standing(camera) == Standing::Counts;
        let sender = m.camera_id.as_ref();
        if !self.options.count_strangers && !sender.is_some_and(|s| standing(s) != Standing::Stranger) {
            self.counters.votes_unknown += 1;
            return None;
        }
        let known = self.cases.contains_key(&id);
        // Only cameras that count make room for votes on events that are still on their way.
        if !known && !sender.is_some_and(counts) {
            self.counters.votes_unknown += 1;
            return None;
        }
        if !known && !self.orphans.contains_key(&id) && self.orphans.len() >= ORPHANS_MAX {
            self.counters.votes_over_limit += 1;
            return None;
        }
        let Self { cases, orphans, counters, options, .. } = self;
        let (ballots, published) = if let Some(case) = cases.get_mut(&id) {
            case.heard = now;
            (&mut case.claim.ballots, &mut case.published)
        } else {
            let orphan = orphans.entry(id.clone()).or_default();
            orphan.heard = now;
            (&mut orphan.ballots, &mut orphan.published)
        };
        let mut new = false;
        if let Some(state) = m.outcome.filter(|_| sender.is_some_and(|s| counts(s) && !site.is_muted(s))) {
            new |= !published.has(state);
            published.set(state);
        }
        // A client that knows no phases speaks of both.
        let phases = match m.occurred {
            Some(fact) => usize::from(fact)..=usize::from(fact),
            None => 0..=1,
        };
        if let Some((sender, word)) = own_word(m).filter(|_| m.outcome.is_none()) {
            if counts(sender) {
                out.push(Action::Answered(sender.clone()));
            } else {
                counters.votes_unknown += 1;
            }
            for ballot in &mut ballots[phases.clone()] {
                new |= if counts(sender) {
                    ballot.cast(sender, word)
                } else {
                    ballot.cast_uncounted(sender, word)
                };
            }
        }
        // The words of others that a stranger reports prove nothing; the reference system names no sender at all.
        let reports = sender.is_none_or(counts);
        for (camera, word) in told_words(m).filter(|_| reports) {
            if camera == site.own() {
                // What we said we know best.
                let denied = ballots[*phases.start()].own_word(camera) == Some(Word::Deny);
                counters.votes_misquoted += u64::from(denied && word > Word::Deny);
            } else if sender.is_some() && counts(camera) {
                for ballot in &mut ballots[phases.clone()] {
                    new |= ballot.tell(camera, word);
                }
            } else {
                counters.votes_unknown += 1;
                if options.count_strangers && sender.is_none() {
                    for ballot in &mut ballots[phases.clone()] {
                        new |= ballot.cast_uncounted(camera, word);
                    }
                }
            }
        }
        *(if new { &mut counters.votes_taken } else { &mut counters.votes_repeated }) += 1;
        (new && known).then_some(id)
    }
}

fn stalest<'a>(cases: impl Iterator<Item = (&'a ClaimId, &'a Case)>) -> Option<ClaimId> {
    cases.min_by_key(|(_, case)| (!case.is_decided(), case.heard)).map(|(id, _)| id.clone())
}

/// The claims that an outcome names as one incident with this one, if its publisher may.
fn listed(m: &EventMessage, id: &ClaimId, site: &dyn Site) -> Vec<ClaimId> {
    if site.standing(&m.camera_id) == Standing::Stranger {
        return Vec::new();
    }
    let named = m.claims.iter();
    named.map(|key| (key.camera.clone(), key.event_id)).filter(|other| other != id).collect()
}

/// What the sender of a vote says itself; nothing if that is not told, or stands in its event already.
fn own_word(m: &ConsensusMessage) -> Option<(&CameraId, Word)> {
    let sender = m.camera_id.as_ref().filter(|sender| **sender != m.initiating_camera)?;
    let listed = m.votes.as_ref().and_then(|votes| votes.get(sender)).map(|confidence| confidence.0);
    let word = match m.verdict {
        Some(Verdict::Deny) => Word::Deny,
        Some(Verdict::Confirm) => Word::confirm(listed.unwrap_or(m.aggregated_confidence.0)),
        None if m.confirming_cameras.contains(sender) => {
            Word::confirm(listed.unwrap_or(m.aggregated_confidence.0))
        }
        // Who votes and says nothing abstains.
        None => Word::Abstain,
    };
    Some((sender, word))
}

/// What a message tells of others' votes.
fn told_words(m: &ConsensusMessage) -> impl Iterator<Item = (&CameraId, Word)> {
    let listed = m.votes.iter().flat_map(|votes| votes.iter()).map(|(camera, confidence)| {
        (camera, if confidence.0 > 0.0 { Word::confirm(confidence.0) } else { Word::Deny })
    });
    // The reference system lists names alone.
    let unlisted = m.confirming_cameras.iter().filter(|_| m.votes.is_none());
    let unlisted = unlisted.map(|camera| (camera, Word::confirm(m.aggregated_confidence.0)));
    listed.chain(unlisted).filter(|(camera, _)| {
        // Senders speak for themselves, and initiators in their events.
        Some(*camera) != m.camera_id.as_ref() && **camera != m.initiating_camera
    })
}
