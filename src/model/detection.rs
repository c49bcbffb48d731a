//! What a detector found in one frame.
//!
//! A detection has no past and no identity: that is the tracker's to find. Nothing is promised of its
//! numbers; whoever takes it leaves out boxes that are none. Pixels of the frame; scores 0..1.

use std::fmt;

use super::BBox;

/// What kind of thing it is; the words are those of the wire.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A human.
    Person,
    /// Anything that drives.
    Vehicle,
    /// A face.
    Face,
    /// A parcel or a bag.
    Package,
    /// An animal.
    Animal,
    /// Not known: may turn out to be any of the others.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Class {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Vehicle => "vehicle",
            Self::Face => "face",
            Self::Package => "package",
            Self::Animal => "animal",
            Self::Unknown => "unknown",
        }
    }

    /// Whether one object may be called both: equal, or one of them not known.
    pub fn compatible(self, other: Self) -> bool {
        self == other || self == Self::Unknown || other == Self::Unknown
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a second look at the box of a track has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// What; unknown: nothing.
    pub class: Class,
    /// How sure the network is, 0..1.
    pub score: f64,
    /// The evidence for an object there, natural log-odds; negative against it.
    pub odds: f64,
}

/// One object in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where, in pixels of the frame.
    pub bbox: BBox,
    /// What.
    pub class: Class,
    /// How sure the detector is, 0..1.
    pub score: f64,
}
