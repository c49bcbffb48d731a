//! A site of any size in virtual time: real swarm engines, made-up people, a bad network.
//!
//! ```text
//! World (who walks where, who does what) -> Camera (what it sees of it, its swarm::Engine) -> Network (who gets it when)
//! ```
//!
//! **What is real** is all that the swarm does: each camera's [`Engine`](crate::swarm::Engine) gets scenes,
//! transitions, deliveries and ticks on a clock of its own, its envelopes are the real bytes, and its
//! subscriptions decide what the broker gives it. **What is made up** stands before it: people on straight
//! ways, a detector with noise, misses and ghosts, a tracker that never mixes two people up.
//!
//! **Time.** A message takes at least `delay.0` (one millisecond where that is nothing). So within a step
//! of that length no camera can hear of what another does in it: all cameras live through a step apart,
//! on as many threads as there are, and then each takes what is for it of what all sent. What happens to a
//! message on its way depends on its number and its receiver alone, so the outcome does not depend on the threads.
//!
//! **Visits.** Tracks and presence make a camera say nothing before its next scene or tick (`tests/swarm/neighbours.rs`
//! holds the engine to that). So they wait for it, and a camera lives only through the steps in which it may speak, and up
//! to each look at the tables: its engine takes the same inputs in the same order at the same times, and its memory is
//! fetched three times a second, and not in every step.
//!
//! **The same everywhere.** The same options give the same [`Summary::digest`] on every machine. What is relied
//! on: IEEE 754 (`+ - * /` and `sqrt` exact to the last bit, nothing fused or reordered, which Rust
//! promises), `base::portable` for all other functions (held by `tests/imports.rs`), a generator whose numbers do not
//! depend on the machine (PCG), and ordered maps. No function of the C library takes part.
//!
//! **Opened once.** A message is decoded once and handed to all who get it, because decoding depends on
//! nothing but its bytes ([`swarm::Opened`](crate::swarm::Opened)); `decode_each` decodes it for every receiver, and a
//! test shows that the digest is the same. What each engine does with it is never shared.
//!
//! Lengths are metres, times microseconds since the begin of the run.

mod camera;
mod digest;
mod network;
mod run;
mod tally;
#[cfg(test)]
mod tests;
mod world;

use std::time::Duration;

use crate::base::ErrorKind;
use crate::swarm::{Encoding, NeighbourOptions};

pub use run::run;
pub use tally::{Agreement, Summary};

/// Cameras at most: a name has so many digits.
pub const CAMERAS_MAX: usize = 10_000;
/// People at most.
pub const PEOPLE_MAX: usize = 1_000_000;
/// The longest run.
pub const DURATION_MAX: Duration = Duration::from_hours(24);

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Cameras; the site grows with them.
    pub cameras: usize,
    /// How long.
    pub duration: Duration,
    /// People on the site.
    pub people: usize,
    /// Frames a second of each camera, and so messages a second about each track.
    pub rate_hz: f64,
    /// What the network does.
    pub faults: Faults,
    /// The cameras' clocks are off by up to this, either way.
    pub skew: Duration,
    /// Cameras that report everybody 3 m beside where they are, and incidents that never were.
    pub liars: usize,
    /// Another seed gives another run.
    pub seed: u64,
    /// Whose tracks a camera listens to.
    pub neighbours: NeighbourOptions,
    /// How messages leave.
    pub encoding: Encoding,
    /// Every receiver decodes every message by itself.
    pub decode_each: bool,
    /// Threads to use; they do not change the outcome.
    pub threads: usize,
}

/// What the network does to messages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// The part of the track messages that is lost, 0..1; what has a higher `QoS` is sent again.
    pub loss: f64,
    /// The part of all messages that comes twice, 0..1.
    pub duplicate: f64,
    /// A message travels at least and at most so long.
    pub delay: (Duration, Duration),
    /// For so long, from two fifths of the run on, the two halves of the site do not hear of one another.
    pub partition: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cameras: 10,
            duration: Duration::from_mins(2),
            people: 20,
            rate_hz: 10.0,
            faults: Faults {
                loss: 0.0,
                duplicate: 0.0,
                delay: (Duration::from_millis(20), Duration::from_millis(200)),
                partition: Duration::ZERO,
            },
            skew: Duration::ZERO,
            liars: 0,
            seed: 1,
            neighbours: NeighbourOptions::default(),
            encoding: Encoding::Json,
            decode_each: false,
            threads: 1,
        }
    }
}

/// What can't be simulated, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// Always the caller's.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let part = |p: f64| (0.0..=1.0).contains(&p);
        let fault = if !(1..=CAMERAS_MAX).contains(&self.cameras) {
            format!("cameras: from 1 to {CAMERAS_MAX}")
        } else if self.people > PEOPLE_MAX {
            format!("people: at most {PEOPLE_MAX}")
        } else if self.duration.is_zero() || self.duration > DURATION_MAX {
            "minutes: more than none, and at most a day".to_owned()
        } else if !(0.1..=100.0).contains(&self.rate_hz) {
            "rate: from 0.1 to 100 frames a second".to_owned()
        } else if !part(self.faults.loss) || !part(self.faults.duplicate) {
            "loss and duplicate: parts from 0 to 1".to_owned()
        } else if self.faults.delay.0 > self.faults.delay.1 || self.faults.delay.1 > Duration::from_mins(1) {
            "delay: from the shorter to the longer, at most a minute".to_owned()
        } else if self.skew > Duration::from_mins(1) {
            "skew: at most a minute".to_owned()
        } else if !self.faults.partition.is_zero() && self.faults.partition > self.duration / 2 {
            "partition: at most half the run, so that something is seen of what comes after it".to_owned()
        } else if self.liars > self.cameras {
            "liars: no more than there are cameras".to_owned()
        } else {
            return Ok(());
        };
        Err(Error(fault))
    }
}
