//! What came of a run.
//!
//! Tables are compared by what they were told, not by where they say that somebody is: an entry is of the
//! person whose track its newest report is. The tables and tracks of liars count for nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::camera::{Called, Camera, index_of};
use crate::model::EventState;
use crate::swarm::consensus::SiteEvent;
use crate::swarm::message::EventKey;

/// How far the tables agreed at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// When, microseconds since the begin.
    pub at_us: u64,
    /// People who are in two tables or more.
    pub people: usize,
    /// Those whom all of these call the same.
    pub agreed: usize,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Once a second.
    pub agreement: Vec<Agreement>,
    /// When the partition ended, microseconds; none without one.
    pub healed_us: Option<u64>,
    /// Numbers that the tables gave to one person over the run, on average.
    pub ids_per_person: f64,
    /// What came of the incidents.
    pub incidents: Incidents,
    /// Messages sent, and their bytes.
    pub messages: u64,
    /// See `messages`.
    pub bytes: u64,
    /// Bytes of one track message, on average.
    pub track_bytes: f64,
    /// Copies that the broker gave out: of tracks, and of all else.
    pub track_copies: u64,
    /// See `track_copies`.
    pub other_copies: u64,
    /// Copies lost, and copies given out twice.
    pub lost: u64,
    /// See `lost`.
    pub repeated: u64,
    /// Cameras that a camera listens to, on average.
    pub neighbours: f64,
    /// People in a table at the end, on average.
    pub table: f64,
    /// What the engines counted, all together, by name.
    pub counters: BTreeMap<String, u64>,
    /// Stands for the final state of every engine.
    pub digest: u64,
}

/// What came of the incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incidents {
    /// On the site.
    pub all: usize,
    /// Of which a camera told.
    pub noticed: usize,
    /// That cameras confirmed.
    pub confirmed: usize,
    /// Events that single cameras raised about them.
    pub raised: usize,
    /// Site events about them: by how many names any table knows them, some while after each.
    pub site_events: usize,
    /// Those that all tables which know of them call by one name and in one state.
    pub agreed: usize,
    /// Alarms: names under which any camera ever called them confirmed.
    pub alarms: usize,
    /// Incidents that liars made up, and those of them that an honest camera called confirmed.
    pub made_up: usize,
    /// See `made_up`.
    pub believed: usize,
}

/// Counts while the run goes on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) agreement: Vec<Agreement>,
    ids: BTreeMap<usize, BTreeSet<u64>>,
    incidents: Incidents,
}

impl Tally {
    /// Compares the tables: what each camera calls whom.
    pub(super) fn compare(&mut self, at_us: u64, cameras: &[Camera], calls: &[Vec<Called>]) {
        // Person, name, table.
        let mut names: Vec<(usize, u64, usize)> = Vec::new();
        for (camera, calls) in cameras.iter().zip(calls).filter(|(camera, _)| !camera.is_liar()) {
            names.extend(calls.iter().filter_map(|call| {
                let honest = cameras.get(call.camera).filter(|c| !c.is_liar())?;
                Some((honest.whose(call.track_id)?, call.global_id, camera.index))
            }));
        }
        names.sort_unstable();
        let mut agreement = Agreement { at_us, people: 0, agreed: 0 };
        for of_person in names.chunk_by(|a, b| a.0 == b.0) {
            let (person, name, table) = of_person[0];
            if of_person.iter().any(|other| other.2 != table) {
                agreement.people += 1;
                agreement.agreed += usize::from(of_person.iter().all(|other| other.1 == name));
            }
            self.ids.entry(person).or_default().extend(of_person.iter().map(|(_, name, _)| *name));
        }
        self.agreement.push(agreement);
    }

    /// Counts by which names, and in which states, the tables know an incident.
    pub(super) fn look_at(&mut self, incident: usize, cameras: &[Camera], tables: &[Vec<SiteEvent>]) {
        let honest = cameras.iter().zip(tables).filter(|(camera, _)| !camera.is_liar());
        let of_it =
            |event: &&SiteEvent| event.claims.iter().any(|key| raised(cameras, key) == Some(incident));
        let known: BTreeSet<(&EventKey, &'static str)> = honest
            .flat_map(|(_, events)| events.iter().filter(of_it))
            .map(|event| (&event.key, word(event.state)))
            .collect();
        self.incidents.agreed += usize::from(known.len() == 1);
        self.incidents.site_events += known.iter().map(|(key, _)| *key).collect::<BTreeSet<_>>().len();
    }

    /// What came of all of them.
    pub(super) fn incidents(&self, all: usize, cameras: &[Camera]) -> Incidents {
        let of_all = || cameras.iter().flat_map(|camera| camera.raised.iter().skip(1));
        let honest = cameras.iter().filter(|camera| !camera.is_liar());
        let confirmed = honest.flat_map(|c| &c.told).filter(|event| event.state == EventState::Confirmed);
        let mut alarms: BTreeMap<usize, BTreeSet<&EventKey>> = BTreeMap::new();
        let mut believed = BTreeSet::new();
        for event in confirmed {
            let deeds: BTreeSet<usize> = event.claims.iter().filter_map(|key| raised(cameras, key)).collect();
            if deeds.is_empty() {
                believed.insert(&event.key);
            }
            for deed in deeds {
                alarms.entry(deed).or_default().insert(&event.key);
            }
        }
        Incidents {
            all,
            noticed: of_all().flatten().collect::<BTreeSet<_>>().len(),
            confirmed: alarms.len(),
            raised: of_all().flatten().count(),
            alarms: alarms.values().map(BTreeSet::len).sum(),
            made_up: of_all().filter(|deed| deed.is_none()).count(),
            believed: believed.len(),
            ..self.incidents
        }
    }

    pub(super) fn ids_per_person(&self) -> f64 {
        let ids: usize = self.ids.values().map(BTreeSet::len).sum();
        ids as f64 / self.ids.len().max(1) as f64
    }
}

/// Which incident a camera's event is about.
fn raised(cameras: &[Camera], key: &EventKey) -> Option<usize> {
    let camera = cameras.get(index_of(key.camera.as_str())?)?;
    camera.raised.get(key.event_id as usize).copied().flatten()
}

fn word(state: EventState) -> &'static str {
    match state {
        EventState::Predicted => "predicted",
        EventState::Occurred => "occurred",
        EventState::Confirmed => "confirmed",
        EventState::Retracted => "retracted",
        EventState::Expired => "expired",
    }
}

impl Summary {
    /// The part of the people on whom the tables agreed, over the whole run, 0..1.
    pub fn agreed(&self) -> f64 {
        let (people, agreed) =
            self.agreement.iter().fold((0, 0), |(p, a), sample| (p + sample.people, a + sample.agreed));
        agreed as f64 / people.max(1) as f64
    }

    /// How long after the partition the tables came to agree on everybody, seconds; none if they never did,
    /// or there was none.
    pub fn agreed_after_s(&self) -> Option<f64> {
        let healed_us = self.healed_us?;
        let after = self.agreement.iter().filter(|a| a.at_us >= healed_us);
        let first = after.into_iter().find(|a| a.agreed == a.people)?;
        Some((first.at_us - healed_us) as f64 * 1e-6)
    }
}
