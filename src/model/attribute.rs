//! What is read off an object beside its place: at present the plate of a vehicle.
//!
//! Whoever reads frames (a recogniser; the simulated plaza, which knows what it drew) gives [`Reading`]s, each
//! with the place in the picture where it was read. Whose they are is found by `track::Attributes`; from there
//! on it is an [`Attribute`] of a track. Nothing here is checked: whoever takes a text bounds it.

use super::BBox;

/// Something read off an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// The number plate of a vehicle.
    Plate(Plate),
}

/// A number plate as it was read in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Plate {
    /// The characters, as they stand there.
    pub text: String,
    /// How sure the reader is of all of them together, 0..1.
    pub confidence: f64,
    /// Where it was read, pixels of the frame.
    pub bbox: BBox,
}

/// What was read in one frame, before it is known off which track.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What.
    pub attribute: Attribute,
    /// Where, pixels of the frame.
    pub bbox: BBox,
}
