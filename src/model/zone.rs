//! Named places on the ground.
//!
//! A zone is what the configuration says of the site and never changes while the camera runs. Its name
//! stands in events and messages; its border is a valid polygon by its type. What a kind leads to is
//! decided by the rules in `predict`.

use super::{Class, Polygon};

/// What a zone is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ZoneKind {
    /// A place with a name, shown with the events that happen in it.
    #[default]
    Area,
    /// Nobody may be here: entering it is trespassing.
    Forbidden,
}

/// A named polygon on the ground.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Its name, unique on one camera.
    pub name: String,
    /// What it is for.
    pub kind: ZoneKind,
    /// Which classes of tracks its rules apply to.
    pub classes: Vec<Class>,
    /// Tracks that spend this many seconds in it loiter, however they move; none: time in it is no loitering (but
    /// on a ground that is not calibrated the limit of the behavior applies).
    pub dwell_s: Option<f64>,
    /// Its border, metres.
    pub border_m: Polygon,
}

impl Zone {
    /// The classes of a zone that names none.
    pub const CLASSES: [Class; 2] = [Class::Person, Class::Vehicle];

    /// Whether its rules apply to tracks of this class.
    pub fn applies_to(&self, class: Class) -> bool {
        self.classes.contains(&class)
    }
}
