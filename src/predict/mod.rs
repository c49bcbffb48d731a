//! What will happen: where each track goes, and which events that leads to.
//!
//! `filter` estimates how each track moves; [`trajectory`] forecasts positions with their uncertainty; [`event`] lets one rule per file judge
//! the scene and its forecasts, and leads what they say through one life cycle. [`Engine`] does both,
//! once per frame.
//!
//! Invariants: the same frames give the same forecasts, events and ids; decisions depend on time,
//! not on the frame rate. Every probability is one of a stated model, between 0 and 1.
//!
//! Not here: how a track behaves (`behavior`, whose answer comes with the scene), several futures
//! and what could be done about them, the influence of the time of day and of earlier incidents on
//! the severity, and who is told.
//!
//! Failure: a track without a usable place on the ground has no forecast and takes part in no rule.
//! Tables are bounded by the named limits in [`event`], and what they refuse is counted. Units:
//! metres, seconds. Pure: `now` and the source of ids are passed in.

pub mod event;
mod filter;
pub mod trajectory;

pub use event::{Counters, Engine};

/// The limits of forecasts and rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How far positions are forecast, seconds.
    pub horizon_s: f64,
    /// Time between two forecast positions, seconds.
    pub step_s: f64,
    /// Spectral density of the white-noise acceleration, m²/s³. See [`trajectory`].
    pub acceleration_density_m2_s3: f64,
    /// How far ahead trespassing and collisions are foreseen, seconds. Beyond ten a straight line
    /// says little about a person.
    pub event_horizon_s: f64,
    /// An event is predicted from this probability on. At 0.6 a predicted trespass or collision is of
    /// medium severity, from which events are published.
    pub predict_at: f64,
    /// A predicted event is retracted when its probability stays below this.
    pub retract_below: f64,
    /// The same event of the same tracks does not come again within this time, seconds.
    pub cooldown_s: f64,
    /// The ground is calibrated. Without calibration collisions are off, and loitering is staying in one zone.
    pub metric: bool,
    /// Trespassing is looked for.
    pub trespassing: bool,
    /// Collisions are looked for.
    pub collision: bool,
    /// Loitering is staying for this long, seconds: the limit of the behaviour.
    pub loitering_s: f64,
    /// Nearer than this two tracks collide, metres from middle to middle.
    pub collision_m: f64,
    /// Slower than this two tracks meet, but do not collide, metres per second towards one another.
    pub collision_mps: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            horizon_s: 30.0,
            step_s: 1.0,
            acceleration_density_m2_s3: 0.02,
            event_horizon_s: 10.0,
            predict_at: 0.6,
            retract_below: 0.3,
            cooldown_s: 30.0,
            metric: true,
            trespassing: true,
            collision: true,
            loitering_s: 30.0,
            collision_m: 0.5,
            collision_mps: 1.0,
        }
    }
}
