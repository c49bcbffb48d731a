//! The names of the degraded modes: what does not work at present, while the rest goes on.

use super::fleet::FleetReport;
use super::links::NamedStatus;
use crate::capture;
use crate::link::{self, OutboxStatus};
use crate::model::Qos;
use crate::store::Store;

/// No frames come from the source, which is being restarted.
pub(super) const CAPTURE_DOWN: &str = "capture_down";
/// The source stopped delivering and is being restarted.
pub(super) const CAPTURE_STALLED: &str = "capture_stalled";
/// No connection to the broker: what others would hear waits, the newest of each track.
/// Only told on the camera itself: a message that says so would not arrive.
pub(super) const BROKER_DOWN: &str = "broker_down";
/// Nobody on the local network is known who runs the site's broker, and this camera waits for its turn. Told
/// like [`BROKER_DOWN`].
pub(super) const BROKER_SEARCHING: &str = "broker_searching";
/// The broker refuses a subscription: some of the others are not heard.
pub(super) const SUBSCRIPTIONS_REFUSED: &str = "subscriptions_refused";
/// Somebody else connected with a client id of this camera, which is tried again at long intervals only: two
/// that fight for it would keep both away.
pub(super) const CLIENT_ID_TAKEN: &str = "client_id_taken";
/// This camera's presence does not come back from a broker: the broker splits its topic at a dot (`RabbitMQ`) or drops it
/// (rights), so the others do not get it. Reported on the camera itself only.
pub(super) const OWN_PRESENCE_MISSING: &str = "own_presence_missing";
/// A configuration was taken back because its links did not come up; the next one ends the mode.
pub(super) const CONFIG_ROLLED_BACK: &str = "config_rolled_back";
/// The state folder can't be written, or takes too long: what is kept there may not survive a restart.
pub(super) const STATE_UNSAVED: &str = "state_unsaved";
/// The state folder was deleted or replaced while running, and made again; in force for 8 s.
pub(super) const STATE_LOST: &str = "state_lost";
/// A link is too slow for every track: each leaves less often.
pub(super) const LINK_SLOW: &str = "link_slow";
/// The outbox can't use its disk: what waits for a broker is in memory alone, and less of it.
pub(super) const OUTBOX_IN_MEMORY: &str = "outbox_in_memory";
/// The outbox's disk takes long, time after time: what must not be lost leaves late. In force for 5 s after the last time.
pub(super) const OUTBOX_SLOW: &str = "outbox_slow";
/// The outbox is full: the least important messages give way to newer ones.
pub(super) const OUTBOX_FULL: &str = "outbox_full";

/// A certificate ends within 30 days: the broker's, or the camera's own. The log says which.
pub(super) const CERTIFICATE_ENDS: &str = "certificate_ends";
/// A broker is spoken to in MQTT 3.1.1, because it refuses 5: no expiry, no reasons, no delayed will.
pub(super) const OLD_PROTOCOL: &str = "old_protocol";

/// A broker stores no retained messages: a camera that connects later learns of another at its next message.
pub(super) const RETAIN_UNAVAILABLE: &str = "retain_unavailable";
/// A broker takes messages with a lower `QoS` only, as it says or as it closes connections at QoS 2.
pub(super) const QOS_LIMITED: &str = "qos_limited";
/// A broker takes no last will: a camera that fails is offline only by its silence.
pub(super) const WILL_UNAVAILABLE: &str = "will_unavailable";
/// A broker takes no topic filters with wildcards: messages of cameras that are not known by id do not arrive.
pub(super) const WILDCARDS_UNAVAILABLE: &str = "wildcards_unavailable";
/// A broker finds no retained messages by filters with wildcards: the presence of known cameras is asked for by its
/// exact topic, a camera that is not known and offline stays unknown.
pub(super) const RETAINED_WILDCARDS_UNAVAILABLE: &str = "retained_wildcards_unavailable";
/// A broker takes so small packets only that ordinary messages may not fit; the log names those that are given up.
pub(super) const PACKETS_LIMITED: &str = "packets_limited";

/// Messages should be signed, and are not: the key can't be made or read.
pub(super) const SIGNING_OFF: &str = "signing_off";
/// The camera was told to rest, and sees nothing.
pub(super) const PAUSED: &str = "paused";

/// The clock was never set, or is or may be more than a quarter of a second off, by the time server or by the majority of
/// the cameras that count: times are corrected before they are used. The log and `clock.off` in the presence name the
/// cameras that differ, and by how much.
pub(super) const CLOCK_UNSYNCED: &str = "clock_unsynced";

/// The time server says that it is itself not synchronized: its time is not used.
pub(super) const TIME_SERVER_UNSYNCED: &str = "time_server_unsynced";

/// Another camera does not answer votes: it is not asked until it does. The log and the counters
/// `swarm_unresponsive_CAMERA` name it.
pub(super) const CAMERA_UNRESPONSIVE: &str = "camera_unresponsive";

/// The camera has no calibration, so its positions in metres are made up: the rules in metres are off, and it takes
/// part in no votes. A choice, not a fault.
pub(super) const UNCALIBRATED: &str = "uncalibrated";

/// Persons are seen in other sizes than the calibration says: its sizes are not used. The log says by how much.
pub(super) const CALIBRATION_DOUBTED: &str = "calibration_doubted";

/// The background is being learned, at each start and after a change of the view. The other conditions that keep a camera
/// from seeing are those of [`Conditions`](crate::model::Conditions).
pub(super) const SCENE_LEARNING: &str = "scene_learning";

/// The network for the second look at tracks (`detector.verify`) can't be used: tracks are confirmed without. The log states
/// why.
pub(super) const VERIFY_UNAVAILABLE: &str = "verify_unavailable";

/// The modes that are no fault: what the camera was set up or ordered to do, and what it does at each start.
pub(super) const CHOSEN: [&str; 3] = [PAUSED, UNCALIBRATED, SCENE_LEARNING];

/// The modes in force at this time, milliseconds since the epoch.
pub(super) fn in_force(
    capture: &capture::State,
    store: &Store,
    links: &[NamedStatus],
    outbox: Option<&OutboxStatus>,
    fleet: Option<&FleetReport>,
    now_ms: u64,
) -> Vec<&'static str> {
    let mut modes = Vec::new();
    match capture {
        capture::State::Restarting { .. } | capture::State::Panicked => modes.push(CAPTURE_DOWN),
        capture::State::Stalled { .. } => modes.push(CAPTURE_STALLED),
        // The others need not ask it what it sees.
        capture::State::Paused => modes.push(PAUSED),
        capture::State::Starting | capture::State::Running | capture::State::Ended => {}
    }
    if links.iter().any(|(_, link)| is_taken(link)) {
        modes.push(CLIENT_ID_TAKEN);
    }
    if links.iter().any(|(_, link)| link.subscriptions_refused > 0) {
        modes.push(SUBSCRIPTIONS_REFUSED);
    }
    if links.iter().any(|(_, link)| link.is_slow()) {
        modes.push(LINK_SLOW);
    }
    if links.iter().any(|(_, link)| link.certificates.is_some_and(|dates| dates.ending(now_ms).is_some())) {
        modes.push(CERTIFICATE_ENDS);
    }
    for (_, link) in links {
        add(limited(&link.limits), &mut modes);
    }
    if let Some(fleet) = fleet {
        add(fleet.client_id_taken.then_some(CLIENT_ID_TAKEN), &mut modes);
        add(limited(&fleet.limits), &mut modes);
    }
    if store.is_degraded() {
        modes.push(STATE_UNSAVED);
    }
    // The fleet server's messages have an outbox of their own.
    let outboxes = || outbox.into_iter().chain(fleet.map(|fleet| &fleet.outbox));
    if store.was_lost() || outboxes().any(|outbox| outbox.lost) {
        modes.push(STATE_LOST);
    }
    if outboxes().any(|outbox| outbox.failure.is_some()) {
        modes.push(OUTBOX_IN_MEMORY);
    }
    if outboxes().any(|outbox| outbox.slow) {
        modes.push(OUTBOX_SLOW);
    }
    if outboxes().any(|outbox| outbox.full) {
        modes.push(OUTBOX_FULL);
    }
    modes
}

/// What a broker does not offer.
pub(super) fn limited(limits: &link::Limits) -> impl Iterator<Item = &'static str> {
    let modes = [
        (limits.fallback.is_some(), OLD_PROTOCOL),
        (!limits.retain, RETAIN_UNAVAILABLE),
        (limits.qos_max < Qos::ExactlyOnce, QOS_LIMITED),
        (!limits.will, WILL_UNAVAILABLE),
        (!limits.wildcards, WILDCARDS_UNAVAILABLE),
        (limits.is_packet_small(), PACKETS_LIMITED),
    ];
    modes.into_iter().filter_map(|(holds, mode)| holds.then_some(mode))
}

/// Adds those that are not there yet.
pub(super) fn add(more: impl IntoIterator<Item = &'static str>, modes: &mut Vec<&'static str>) {
    for mode in more {
        if !modes.contains(&mode) {
            modes.push(mode);
        }
    }
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
        assert_eq!(of(&report(OutboxStatus { slow: true, ..sound.clone() })), [OUTBOX_SLOW]);
        assert_eq!(of(&report(OutboxStatus { full: true, ..sound.clone() })), [OUTBOX_FULL]);
        assert_eq!(of(&report(OutboxStatus { lost: true, ..sound.clone() })), [STATE_LOST]);
        assert_eq!(of(&report(OutboxStatus { failure: Some(String::new()), ..sound })), [OUTBOX_IN_MEMORY]);
        assert_eq!(of(&FleetReport { client_id_taken: true, ..healthy.clone() }), [CLIENT_ID_TAKEN]);
        let mut limited = healthy;
        limited.limits.qos_max = Qos::AtLeastOnce;
        assert_eq!(of(&limited), [QOS_LIMITED]);
    }
}
