//! The threat score: how much attention a track deserves.
//!
//! A sum of what it does at present and of how long it has been here, at most 1 (contract §7).

use crate::model::Behaviors;

/// What each behaviour adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// While it loiters.
    pub loitering: f64,
    /// While it runs.
    pub running: f64,
    /// While it moves without a destination (zigzag).
    pub unusual: f64,
    /// For each minute since it was first seen.
    pub per_minute: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { loitering: 0.3, running: 0.4, unusual: 0.5, per_minute: 0.2 }
    }
}

/// The score, 0..1.
pub(super) fn score(flags: Behaviors, dwell_s: f64, weights: &Weights) -> f64 {
    let parts = [
        (Behaviors::LOITERING, weights.loitering),
        (Behaviors::RUNNING, weights.running),
        (Behaviors::SUSPICIOUS_MOVEMENT, weights.unusual),
    ];
    let doing: f64 = parts.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, weight)| weight).sum();
    (doing + weights.per_minute * dwell_s / 60.0).clamp(0.0, 1.0)
}
