//! The soak: three cameras, no fault, no stranger. Wire, alerts and logs agree about every outcome.

use std::sync::OnceLock;
use std::time::Duration;

use crate::site::Site;
use crate::table::Row;
use crate::tally::{self, Agreement, Alerts, OUTCOMES};
use crate::wire::now_ms;
use crate::{run, soak_time, strangers};

/// The cameras may learn of an outcome this much later than the observer; the end of a run does not count.
pub(crate) const DRAIN: Duration = Duration::from_secs(8);

/// What a run shows.
#[derive(Debug, Clone)]
pub(crate) struct Soak {
    pub(crate) seconds: u64,
    pub(crate) agreements: Vec<(&'static str, Agreement)>,
    pub(crate) alerts: Alerts,
}

impl Soak {
    /// Judges a site's record and logs between two times.
    pub(crate) fn of(site: &Site, between: [u64; 2]) -> Self {
        let (record, logged) = (site.wire.record(), site.outcomes());
        let agreements = OUTCOMES.map(|state| (state, tally::agreement(&record, &logged, state, between)));
        Self {
            seconds: (between[1] - between[0]) / 1_000,
            agreements: agreements.to_vec(),
            alerts: tally::alerts(&record, between),
        }
    }

    pub(crate) fn print(&self, scenario: &str) {
        let mut row = Row::new(scenario).with("seconds", self.seconds);
        for (state, agreement) in &self.agreements {
            row = agreement.add_to(row, state);
        }
        self.alerts.add_to(row).print();
    }
}

static SOAK: OnceLock<Option<Soak>> = OnceLock::new();

/// The soak of this run of the tests; none without mosquitto.
fn soak() -> Option<&'static Soak> {
    let soak = || match soak_time() {
        Some(time) => run(alone(time)),
        None => strangers::campaign().map(|campaign| campaign.baseline.soak.clone()),
    };
    let make = || soak().inspect(|soak| soak.print("soak"));
    SOAK.get_or_init(make).as_ref()
}

async fn alone(time: Duration) -> Soak {
    let site = Site::start("soak", "").await;
    let from = now_ms();
    tokio::time::sleep(time).await;
    let until = now_ms();
    tokio::time::sleep(DRAIN).await;
    let soak = Soak::of(&site, [from, until]);
    site.stop().await;
    soak
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn every_outcome_on_the_wire_is_logged_once_by_every_camera_and_every_logged_one_is_on_the_wire() {
    let Some(soak) = soak() else { return };
    assert!(soak.agreements[0].1.wire > 0, "no outcome at all");
    let differences: usize = soak.agreements.iter().map(|(_, agreement)| agreement.differences()).sum();
    let faults: Vec<&String> = soak.agreements.iter().flat_map(|(_, agreement)| &agreement.faults).collect();
    assert_eq!(differences, 0, "{faults:#?}");
}

#[test]
#[ignore = "minutes of real cameras, see main.rs"]
fn each_confirmed_incident_has_one_alert_from_one_camera_whose_states_are_in_order() {
    let Some(soak) = soak() else { return };
    assert!(soak.alerts.keys > 0, "no alert at all");
    assert_eq!(soak.alerts.faults, Vec::<String>::new());
}
