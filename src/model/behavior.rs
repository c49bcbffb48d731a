//! What a track does.
//!
//! The flags are the bits of the wire; a combination that has no name there cannot be made. What is not
//! judged (no place on the ground, too young) is `NORMAL` with zeros, not an error. The rules and their
//! limits are the part `behavior`'s. Seconds, metres per second.

/// A set of behaviours, as bits of the wire format. No bit set is `NORMAL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Behaviors(u32);

bitflags::bitflags! {
    impl Behaviors: u32 {
        /// Stays in one place.
        const LOITERING = 1;
        /// Moves faster than one walks.
        const RUNNING = 2;
        /// Hides something.
        const CONCEALING = 4;
        /// Keeps changing direction.
        const SUSPICIOUS_MOVEMENT = 8;
        /// Comes back again and again.
        const REPEATED_PASSES = 16;
        /// Watches for a long time.
        const EXTENDED_OBSERVATION = 32;
    }
}

/// The time that a track has spent in one zone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZoneStay {
    /// Index of the zone.
    pub zone: usize,
    /// Time in it so far, seconds.
    pub seconds: f64,
    /// Time in it that is loitering, seconds.
    pub limit_s: f64,
}

/// How a track behaves as of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Behavior {
    /// What it does at present.
    pub flags: Behaviors,
    /// How much attention it deserves, 0..1.
    pub threat: f64,
    /// Seconds between its first and this sight.
    pub dwell_s: f64,
    /// Mean speed over the last seconds, noise taken off, metres per second.
    pub speed_mps: f64,
    /// Seconds for which it has stayed within the loitering radius and speed, 0 when it does not.
    pub still_s: f64,
    /// The zone in which time is limited and has been used up most; none outside such zones.
    pub stay: Option<ZoneStay>,
    /// It has never left the place where it appeared, as an opened door or a thing put down.
    pub stationary: bool,
}
