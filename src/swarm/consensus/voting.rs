//! This camera's votes on the incidents of others, and which cameras miss theirs.

use std::collections::BTreeSet;

use super::ballot::Word;
use super::incident::Incident;
use super::witness::{Question, Reason};
use super::{Action, Consensus, HOLD, LAPSE, RISE_MIN, Site, Standing, VOTE_LATE, millis, site_ms};
use crate::base::Time;
use crate::model::CameraId;
use crate::swarm::bounded::{List, Map};
use crate::swarm::message::{ConsensusMessage, EventKey, Name, Verdict};
use crate::swarm::publish;
use crate::swarm::wire::{Count, Fraction, Id};

impl Consensus {
    /// This camera's vote on an incident of others, when it is asked and has something new to say; recorded.
    pub(super) fn own_vote(
        &mut self,
        incident: &Incident,
        site: &dyn Site,
        now: Time,
    ) -> Option<ConsensusMessage> {
        let own = site.own();
        let key = incident.members.first().filter(|key| key.0 != *own && site.shares_ground(&key.0))?;
        let claim = &self.cases.get(key)?.claim;
        let waited = now.since(incident.opened);
        // A forecast is looked at twice: when it is claimed, and when its time has come.
        let due_ms = claim.expected_ms();
        let now_ms = site_ms(site, now);
        let is_due = !incident.fact
            && now_ms > due_ms.saturating_add(millis(HOLD))
            && now_ms <= due_ms.saturating_add(millis(LAPSE));
        if claim.is_retracted() || (waited > self.options.timeout + VOTE_LATE && !is_due) {
            return None;
        }
        let before = claim.ballot(incident.fact).own_word(own);
        let (word, reason) = self.finding(incident, site, now)?;
        let says_more = match (before, word) {
            (Some(Word::Confirm(before)), Word::Confirm(word)) => word >= before.saturating_add(RISE_MIN),
            (before, word) => before.is_none_or(|before| word > before),
        };
        if !says_more || (!matches!(word, Word::Confirm(_)) && waited < HOLD) {
            return None;
        }
        let message = vote(own, claim.key(&key.0, key.1), (word, reason), incident.fact, now);
        let key = key.clone();
        self.cases.get_mut(&key)?.claim.ballot_mut(incident.fact).cast(own, word);
        Some(message)
    }

    /// What this camera finds; none if it is not asked.
    fn finding(&self, incident: &Incident, site: &dyn Site, now: Time) -> Option<(Word, Option<Reason>)> {
        let own = site.own();
        // A claimant has voted with its claim.
        let own_claims = incident.members.iter().filter(|m| m.0 == *own).filter_map(|m| self.cases.get(m));
        if let Some(word) = own_claims.filter_map(|case| case.claim.vote(incident.fact)).max() {
            return Some((word, None));
        }
        let key = incident.members.first()?;
        let case = self.cases.get(key)?;
        let place_m = case.claim.latest.position_m();
        if !site.viewers(place_m).iter().any(|(camera, looks)| *camera == own && *looks) {
            return None;
        }
        let asked = Question {
            kind: case.claim.latest.kind,
            place_m,
            // On this camera's clock, as its memory is.
            at_ms: case
                .claim
                .latest
                .expected_ms
                .saturating_add_signed(site.ahead_ms(own) - site.ahead_ms(&key.0)),
            occurred: incident.fact,
            in_zone: case.claim.latest.in_zone,
            subjects: &case.subjects,
            subject_m: case.claim.latest.tracks.first().and_then(|track| site.place_of(&key.0, *track)),
        };
        let name = |track| site.subject(own, track);
        Some(self.witness.word(&asked, &self.rules, &self.view, now.epoch_ms, name))
    }

    /// Notes, once, the cameras that were asked about an incident and did not vote in time.
    pub(super) fn review(&mut self, incident: &Incident, site: &dyn Site, now: Time, out: &mut Vec<Action>) {
        let Some(key) = incident.members.first() else { return };
        let Some(case) = self.cases.get(key).filter(|case| case.is_ours && !case.is_reviewed) else { return };
        if now.since(incident.opened) < self.options.timeout + 2 * VOTE_LATE {
            return;
        }
        if !case.claim.is_retracted() && site.shares_ground(&key.0) {
            let claimants: BTreeSet<&CameraId> = incident.members.iter().map(|m| &m.0).collect();
            for (camera, looks) in site.viewers(case.claim.latest.position_m()) {
                let is_silent = incident.words.word(camera, true).is_none()
                    && !claimants.contains(camera)
                    && camera != site.own();
                if is_silent
                    && looks
                    && site.standing(camera) == Standing::Counts
                    && site.is_asked(camera, now)
                {
                    out.push(Action::Missed(camera.clone()));
                }
            }
        }
        for id in &incident.members {
            if let Some(case) = self.cases.get_mut(id) {
                case.is_reviewed = true;
            }
        }
    }
}

/// A camera's vote as it leaves.
fn vote(
    own: &CameraId,
    key: EventKey,
    (word, reason): (Word, Option<Reason>),
    fact: bool,
    now: Time,
) -> ConsensusMessage {
    let confirms = matches!(word, Word::Confirm(_));
    let confidence = word.confidence();
    ConsensusMessage {
        event_id: Id(key.event_id),
        initiating_camera: key.camera.clone(),
        num_confirming: Count(u64::from(confirms)),
        confirming_cameras: List::cut(confirms.then(|| own.clone())),
        aggregated_confidence: Fraction(confidence.unwrap_or(0.0)),
        timestamp: publish::millis(now),
        camera_id: Some(own.clone()),
        key: Some(key),
        verdict: match word {
            Word::Abstain => None,
            Word::Deny => Some(Verdict::Deny),
            Word::Confirm(_) => Some(Verdict::Confirm),
        },
        votes: Some(Map::cut(confidence.map(|confidence| (own.clone(), Fraction(confidence))))),
        reason: reason.map(|reason| Name::cut(reason.as_str())),
        outcome: None,
        occurred: Some(fact),
    }
}
