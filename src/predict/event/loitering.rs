//! Loitering: somebody stays in one place for as long as the behaviour's limit.
//!
//! How likely is it that they stay until the limit L, when they have stayed for s? Waiting times of
//! people have heavy tails: most leave at once, and the longer one has stayed the longer one will
//! stay. With the simplest of such laws (Pareto with exponent 1) the probability is s / L. It
//! happens when the behaviour says so, which looks at radius, speed and time.
//!
//! The time in a zone that limits it (`dwell_s`) counts as well, moving or not; the event then names that zone. A
//! ground that is not calibrated has no radius in metres; there only time in one zone counts.
//!
//! Only persons loiter, and in a zone with `dwell_s` the classes of the zone: parked vehicles, parcels, open doors
//! and what never moved stay too.

use super::{Candidate, Key, Proposals, View};
use crate::model::{Behaviors, Class, EventType, RuleTrace, SceneTrack};

/// From this part of the limit on somebody is a candidate.
const PART_MIN: f64 = 1.0 / 3.0;

/// The time that counts, and from when on it is loitering.
struct Stay {
    measure: &'static str,
    seconds: f64,
    limit_s: f64,
    zone: Option<usize>,
}

pub(super) fn propose(view: &View<'_>, out: &mut Proposals) {
    for (track, motion) in view.placed() {
        let Some(Stay { measure, seconds, limit_s, zone }) = stay(view, track) else { continue };
        let occurring = track.behavior.flags.contains(Behaviors::LOITERING);
        if track.behavior.stationary || !occurring && seconds < limit_s * PART_MIN {
            continue;
        }
        out.push(Candidate {
            key: Key { kind: EventType::Loitering, tracks: vec![track.track.id], zone: None },
            position_m: motion.position,
            zone,
            probability: seconds / limit_s,
            expected_in_s: limit_s - seconds,
            occurring,
            confirm_s: 0.0,
            trace: RuleTrace {
                name: "loitering",
                thresholds: vec![(measure, limit_s)],
                measured: vec![(measure, seconds), ("speed_mps", track.behavior.speed_mps)],
            },
        });
    }
}

/// Of standing still and the time in a zone, what has used up more of its limit.
fn stay(view: &View<'_>, track: &SceneTrack) -> Option<Stay> {
    let person = matches!(track.track.class, Class::Person | Class::Face);
    let still = Stay {
        measure: "still_s",
        seconds: track.behavior.still_s,
        limit_s: view.options.loitering_s,
        zone: None,
    };
    let still = Some(still).filter(|_| person && view.options.metric);
    let limited = |zone: usize| view.zones.get(zone).is_some_and(|zone| zone.dwell_s.is_some());
    let inside = track.behavior.stay.filter(|stay| person || limited(stay.zone));
    let inside = inside.map(|stay| Stay {
        measure: "zone_s",
        seconds: stay.seconds,
        limit_s: stay.limit_s,
        zone: Some(stay.zone),
    });
    let part = |stay: &Stay| stay.seconds / stay.limit_s;
    still.into_iter().chain(inside).max_by(|a, b| part(a).total_cmp(&part(b)))
}
