//! Loitering: somebody stays in one place for as long as the behaviour's limit.
//!
//! How likely is it that they stay until the limit L, when they have stayed for s? Waiting times of
//! people have heavy tails: most leave at once, and the longer one has stayed the longer one will
//! stay. With the simplest of such laws (Pareto with exponent 1) the probability is s / L. It
//! happens when the behaviour says so, which looks at radius, speed and time.
//!
//! A ground that is not calibrated has no radius in metres; there it is the time in one zone that counts.
//!
//! Only persons loiter: parked vehicles, parcels, open doors and what never moved stay too.

use super::{Candidate, Key, Proposals, View};
use crate::model::{Behaviors, Class, EventType, RuleTrace};

/// From this part of the limit on somebody is a candidate.
const PART_MIN: f64 = 1.0 / 3.0;

pub(super) fn propose(view: &View<'_>, out: &mut Proposals) {
    let limit_s = view.options.loitering_s;
    for (track, motion) in view.placed() {
        let behavior = &track.behavior;
        if behavior.stationary || !matches!(track.track.class, Class::Person | Class::Face) {
            continue;
        }
        let (measure, stay_s) =
            if view.options.metric { ("still_s", behavior.still_s) } else { ("zone_s", behavior.zone_s) };
        let occurring = behavior.flags.contains(Behaviors::LOITERING);
        if !occurring && stay_s < limit_s * PART_MIN {
            continue;
        }
        out.push(Candidate {
            key: Key { kind: EventType::Loitering, tracks: vec![track.track.id], zone: None },
            position_m: motion.position,
            probability: stay_s / limit_s,
            expected_in_s: limit_s - stay_s,
            occurring,
            confirm_s: 0.0,
            trace: RuleTrace {
                name: "loitering",
                thresholds: vec![(measure, limit_s)],
                measured: vec![(measure, stay_s), ("speed_mps", behavior.speed_mps)],
            },
        });
    }
}
