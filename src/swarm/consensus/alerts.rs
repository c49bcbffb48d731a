//! Alerts: one confirmed incident for people, one message for each change of it, from one camera.
//!
//! ```text
//!  forecast ──► happening ──► over
//!      └────────────┴───────► retracted
//! ```
//!
//! The camera that publishes the confirmation opens the alert and publishes its changes. The others record what they
//! receive; when that camera is gone, the next one in the order of publishers continues. `happening` needs votes on the
//! fact: an incident that was only forecast never has it. What happens is over when the rules of this camera that raised
//! it end; of an incident that other cameras claim, when nothing was heard of it for [`FOREIGN_OVER`].

use std::time::Duration;

use super::incident::Incident;
use super::{Action, ClaimId, Consensus, Site, Standing, TAKEOVER, announce, site_ms};
use crate::base::Time;
use crate::model::{CameraId, Class, EventState, Severity};
use crate::swarm::alert;
use crate::swarm::message::{AlertMessage, AlertState};

/// An incident that only other cameras claim is over when nothing was heard of it for so long: as long as a rule keeps an
/// event of tracks that it does not see.
const FOREIGN_OVER: Duration = Duration::from_mins(1);

/// What several cameras can see is announced by two of them at the same moment now and then. An alert waits so long for
/// the announcement of another camera, so that one of them opens it.
const OPEN_AFTER: Duration = Duration::from_secs(1);

/// The alert of an incident, as it was last published.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// None until it is published.
    state: Option<AlertState>,
    severity: Severity,
    first_ms: u64,
    publisher: CameraId,
    /// When it was opened.
    opened: Time,
    /// Since when a change waits for a publisher that is gone.
    due: Option<Time>,
}

impl Record {
    /// Whether it may still change.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, Some(AlertState::Over | AlertState::Retracted))
    }
}

impl Consensus {
    /// Opens the alert of an incident whose confirmation this camera has just published.
    pub(super) fn open_alert(&mut self, id: &ClaimId, incident: &Incident, site: &dyn Site, now: Time) {
        if self.alert_of(incident).is_some() {
            return;
        }
        let founded_ms = incident.members.iter().filter_map(|member| {
            let founded_ms = self.cases.get(member)?.claim.founded_ms;
            Some(founded_ms.saturating_add_signed(site.ahead_ms(&member.0).saturating_neg()))
        });
        let first_ms = founded_ms.min().unwrap_or_else(|| site_ms(site, now));
        if let Some(case) = self.cases.get_mut(id) {
            case.alert = Some(Record {
                state: None,
                severity: Severity::None,
                first_ms,
                publisher: site.own().clone(),
                opened: now,
                due: None,
            });
        }
    }

    /// Records the alert that another camera published.
    pub(super) fn alert(&mut self, m: &AlertMessage, site: &dyn Site, now: Time) {
        let id = (m.key.camera.clone(), m.key.event_id);
        if m.published_by == *site.own() || site.standing(&m.published_by) == Standing::Stranger {
            return;
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.heard = now;
        // A message that was overtaken reopens nothing.
        if case.alert.as_ref().is_some_and(|known| !known.is_open()) {
            return;
        }
        let first_ms = case.alert.as_ref().map_or(case.claim.founded_ms, |known| known.first_ms);
        case.alert = Some(Record {
            state: Some(m.state),
            severity: m.severity,
            first_ms,
            publisher: m.published_by.clone(),
            opened: now,
            due: None,
        });
    }

    /// Publishes what changed about the incident's alert, when that is for this camera to do.
    pub(super) fn publish_alert(
        &mut self,
        incident: &Incident,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let Some(id) = self.alert_of(incident) else { return };
        let Some(record) = self.cases.get(&id).and_then(|case| case.alert.clone()).filter(Record::is_open)
        else {
            return;
        };
        if record.state.is_none() && self.is_shared(incident, site) {
            // Another camera announced it too, and its claim gives the key: it opens the alert.
            let first = incident.members.first().filter(|first| first.0 != *site.own());
            let is_announced =
                first.and_then(|id| self.cases.get(id)).is_some_and(|case| case.claim.told.confirmed);
            if is_announced && first.is_some_and(|id| site.is_present(&id.0) && !site.is_muted(&id.0)) {
                if let Some(case) = self.cases.get_mut(&id) {
                    case.alert = None;
                }
                return;
            }
            if now.since(record.opened) < OPEN_AFTER {
                return;
            }
        }
        let state = self.next_state(&record, incident, now);
        // No alert has left yet.
        if record.state.is_none() && state == AlertState::Retracted {
            if let Some(case) = self.cases.get_mut(&id) {
                case.alert = None;
            }
            return;
        }
        let severities =
            incident.members.iter().filter_map(|id| Some(self.cases.get(id)?.claim.latest.severity));
        let severity = severities.max().unwrap_or(record.severity).max(record.severity);
        if Some(state) == record.state && severity == record.severity {
            return;
        }
        let is_there = |camera: &CameraId| site.is_present(camera) && !site.is_muted(camera);
        let turn = self.turn(incident, site);
        let track = self.cases.get(&id).map(|case| case.message.track_id.0).unwrap_or_default();
        let is_own = id.0 == *site.own();
        let class = if is_own { self.witness.class_of(track) } else { site.class_of(&id.0, track) };
        let Some(case) = self.cases.get_mut(&id) else { return };
        let Some(known) = &mut case.alert else { return };
        if record.publisher != *site.own() {
            if is_there(&record.publisher) {
                known.due = None;
                return;
            }
            let due = *known.due.get_or_insert(now);
            let Some(turn) = turn else { return };
            if now.since(due) < TAKEOVER * (turn + 1) {
                return;
            }
        }
        *known = Record {
            state: Some(state),
            severity,
            publisher: site.own().clone(),
            due: None,
            ..record.clone()
        };
        let tally = &incident.tally;
        let alert = alert::Incident {
            key: case.claim.key(&id.0, id.1),
            // The engine knows it.
            site: None,
            kind: case.claim.latest.kind,
            state,
            severity,
            probability: tally.probability(),
            expected_ms: case.claim.latest.expected_ms,
            first_ms: record.first_ms,
            updated_ms: site_ms(site, now),
            position_m: case.claim.latest.position_m(),
            zone: case.message.zone.as_ref().map(|zone| zone.as_str().to_owned()),
            class: class.unwrap_or(Class::Unknown),
            global_id: case.subjects.first().copied(),
            asked: tally.asked,
            confirming: tally.confirming,
            rule: Some(announce::rule(&case.message, tally, &self.options)),
        };
        out.push(Action::Alert(Box::new(alert)));
    }

    /// The claim of an incident whose key its alert carries. The alert of a forecast that was withdrawn is not that of
    /// what happens later.
    fn alert_of(&self, incident: &Incident) -> Option<ClaimId> {
        let cases = incident.members.iter().filter_map(|id| Some((id, self.cases.get(id)?)));
        let alerts = cases.filter_map(|(id, case)| {
            let is_past = |record: &&Record| !record.is_open() && case.claim.is_retracted();
            Some((case.alert.as_ref().filter(|record| !is_past(record))?, id))
        });
        alerts.min_by_key(|(record, id)| (record.first_ms, *id)).map(|(_, id)| id.clone())
    }

    fn next_state(&self, record: &Record, incident: &Incident, now: Time) -> AlertState {
        let is_fact = incident.fact && incident.state == EventState::Confirmed;
        match record.state {
            _ if incident.state == EventState::Retracted => AlertState::Retracted,
            None | Some(AlertState::Forecast) if is_fact => AlertState::Happening,
            Some(AlertState::Happening) if self.is_over(incident, now) => AlertState::Over,
            Some(AlertState::Forecast) if incident.fact && self.is_over(incident, now) => {
                AlertState::Retracted
            }
            state => state.unwrap_or(AlertState::Forecast),
        }
    }

    /// Whether what happens has ended.
    fn is_over(&self, incident: &Incident, now: Time) -> bool {
        let cases = || incident.members.iter().filter_map(|id| self.cases.get(id));
        let own = || cases().filter(|case| case.is_own && case.claim.occurred);
        if own().next().is_some() {
            return own().all(|case| case.is_over);
        }
        cases().map(|case| case.heard).max().is_some_and(|heard| now.since(heard) >= FOREIGN_OVER)
    }
}
