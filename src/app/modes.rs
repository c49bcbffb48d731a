//! The degraded modes that follow from capture, store, links and outboxes.

use super::fleet::FleetReport;
use super::links::NamedStatus;
use crate::capture;
use crate::link::{self, OutboxStatus};
use crate::model::{Mode, Modes, Qos};
use crate::store::Store;

/// The modes that follow from the state of these parts, at this time in milliseconds since the epoch.
pub(super) fn in_force(
    capture: &capture::State,
    store: &Store,
    links: &[NamedStatus],
    outbox: Option<&OutboxStatus>,
    fleet: Option<&FleetReport>,
    now_ms: u64,
) -> Modes {
    let ending = |link: &link::Status| link.certificates.is_some_and(|dates| dates.ending(now_ms).is_some());
    let any_link = |holds: &dyn Fn(&link::Status) -> bool| links.iter().any(|(_, link)| holds(link));
    // The fleet server's messages have an outbox of their own.
    let any_outbox = |holds: fn(&OutboxStatus) -> bool| {
        outbox.into_iter().chain(fleet.map(|fleet| &fleet.outbox)).any(holds)
    };
    let is_down = matches!(capture, capture::State::Restarting { .. } | capture::State::Panicked);
    let mut modes: Modes = [
        (is_down, Mode::CaptureDown),
        (matches!(capture, capture::State::Stalled { .. }), Mode::CaptureStalled),
        (*capture == capture::State::Paused, Mode::Paused),
        (fleet.is_some_and(|fleet| fleet.client_id_taken), Mode::ClientIdTaken),
        (any_link(&|link| link.subscriptions_refused > 0), Mode::SubscriptionsRefused),
        (any_link(&link::Status::is_slow), Mode::LinkSlow),
        (any_link(&ending), Mode::CertificateEnds),
        (store.is_degraded(), Mode::StateUnsaved),
        (store.was_lost() || any_outbox(|outbox| outbox.lost), Mode::StateLost),
        (any_outbox(|outbox| outbox.failure.is_some()), Mode::OutboxInMemory),
        (any_outbox(|outbox| outbox.slow), Mode::OutboxSlow),
        (any_outbox(|outbox| outbox.full), Mode::OutboxFull),
        (any_link(&|link| link.state != link::State::Connected), Mode::BrokerDown),
    ]
    .into_iter()
    .collect();
    for (_, link) in links {
        modes = modes.union(of_link(link));
    }
    modes.union(fleet.map(|fleet| limited(&fleet.limits)).unwrap_or_default())
}

/// The modes of one connection: what its broker does not offer, and whether another client has its id.
pub(super) fn of_link(link: &link::Status) -> Modes {
    let mut modes = limited(&link.limits);
    modes.add(Mode::ClientIdTaken, is_taken(link));
    modes
}

/// The modes of a broker's limits.
fn limited(limits: &link::Limits) -> Modes {
    [
        (limits.fallback.is_some(), Mode::OldProtocol),
        (!limits.retain, Mode::RetainUnavailable),
        (limits.qos_max < Qos::ExactlyOnce, Mode::QosLimited),
        (!limits.will, Mode::WillUnavailable),
        (!limits.wildcards, Mode::WildcardsUnavailable),
        (limits.is_packet_small(), Mode::PacketsLimited),
    ]
    .into_iter()
    .collect()
}

/// Whether somebody else has this connection's client id at present.
pub(super) fn is_taken(link: &link::Status) -> bool {
    let taken = matches!(link.last_error, Some(link::Error::Ended { refusal: link::Refusal::TakenOver, .. }));
    taken && link.state != link::State::Connected
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{SystemClock, Time};
    use crate::fleet::Report;
    use crate::link::{Limits, Outbox, OutboxOptions};

    #[test]
    fn faults_of_the_fleets_outbox_and_connection_are_modes_of_the_camera() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state"), Time::default()).unwrap();
        let options = OutboxOptions::new(dir.path().join("outbox"));
        let sound = Outbox::open(&options, &["fleet"], Arc::new(SystemClock::new())).status();
        let report = |outbox| FleetReport {
            turns: 1,
            connected: true,
            client_id_taken: false,
            limits: Limits::default(),
            outbox,
            waiting: 0,
            evicted: 0,
            machine: Report::default(),
        };
        let of = |fleet: &FleetReport| in_force(&capture::State::Running, &store, &[], None, Some(fleet), 0);
        let healthy = report(sound.clone());
        assert!(of(&healthy).is_empty());
        assert_eq!(of(&report(OutboxStatus { slow: true, ..sound.clone() })), Mode::OutboxSlow.into());
        assert_eq!(of(&report(OutboxStatus { full: true, ..sound.clone() })), Mode::OutboxFull.into());
        assert_eq!(of(&report(OutboxStatus { lost: true, ..sound.clone() })), Mode::StateLost.into());
        assert_eq!(
            of(&report(OutboxStatus { failure: Some(String::new()), ..sound })),
            Mode::OutboxInMemory.into()
        );
        assert_eq!(of(&FleetReport { client_id_taken: true, ..healthy.clone() }), Mode::ClientIdTaken.into());
        let mut limited = healthy;
        limited.limits.qos_max = Qos::AtLeastOnce;
        assert_eq!(of(&limited), Mode::QosLimited.into());
    }
}
