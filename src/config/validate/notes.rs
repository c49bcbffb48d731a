//! What is allowed and may not work as meant: one sentence each, for `check` and the log.

use super::Validator;
use crate::config::raw;
use crate::model::CameraId;
use crate::pipeline;

/// That a camera without a calibration has no metres, and which of its rules are off for that.
pub(super) fn without_metres(perception: &pipeline::Options) -> Option<String> {
    let off = perception.rules_without_metres();
    let rules = if off.is_empty() { String::new() } else { format!(" (off: {})", off.join(", ")) };
    (!perception.ground.is_calibrated()).then(|| {
        format!(
            "calibration: the camera is not calibrated, so it has no metres: the rules in metres are off{rules}; \
             zones in the picture work, and a person loiters by staying in one zone; set calibration.points"
        )
    })
}

impl Validator<'_> {
    /// The parts of topics that some brokers read as several.
    pub(super) fn dotted(&mut self, id: &CameraId) -> Vec<String> {
        let swarm = self.section::<raw::Swarm>("swarm").map(|s| s.prefix);
        let control = self.section::<raw::Control>("control").map(|s| s.prefix);
        let fleet = self.section::<raw::Fleet>("fleet").map(|s| s.prefix);
        let named = [
            ("camera.id", Ok(id.to_string())),
            ("swarm.prefix", swarm),
            ("control.prefix", control),
            ("fleet.prefix", fleet),
        ];
        let dotted = named.into_iter().filter_map(|(key, part)| Some((key, part.ok()?)));
        let dotted = dotted.filter(|(_, part)| part.contains('.'));
        let note = |(key, part)| {
            format!(
                "{key} = {part:?} has a dot: RabbitMQ takes a dot in a topic for a level separator, so the messages \
                 do not arrive, and NATS closes the connection; use - or _ there"
            )
        };
        dotted.map(note).collect()
    }
}
