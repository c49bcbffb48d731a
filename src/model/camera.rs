//! The name of a camera.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A camera's name on the wire: 1-63 characters of `A-Z a-z 0-9 _ . -`, which is safe as a topic
/// level, as an MQTT client id and in the fixed buffers of other readers.
///
/// Cheap to clone, and to tell from another. Orders as its text does.
#[derive(Clone, PartialEq, Eq)]
pub struct CameraId {
    /// Compared first: it tells nearly all apart without a look at the text.
    fingerprint: u32,
    text: Arc<str>,
}

/// Why a text is not a camera id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CameraIdError {
    /// Empty, or longer than 63 characters.
    #[error("must have 1 to 63 characters, has {0}")]
    Length(usize),
    /// A character that is not allowed.
    #[error("may only hold A-Z a-z 0-9 _ . -, has {0:?}")]
    Character(char),
    /// An ending that names one of the daemon's other connections.
    #[error("must not end in {0}, which names another connection of the daemon")]
    Reserved(&'static str),
}

impl CameraId {
    /// Longest id, in characters (all ASCII).
    pub const LENGTH_MAX: usize = 63;
    const RESERVED_ENDINGS: [&'static str; 3] = ["-control", "-shared", "-fleet"];

    /// Takes a text that holds the rule.
    pub fn parse(text: &str) -> Result<Self, CameraIdError> {
        let bad = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if let Some(c) = text.chars().find(bad) {
            return Err(CameraIdError::Character(c));
        }
        if text.is_empty() || text.len() > Self::LENGTH_MAX {
            return Err(CameraIdError::Length(text.len()));
        }
        match Self::RESERVED_ENDINGS.iter().find(|end| text.ends_with(**end)) {
            Some(end) => Err(CameraIdError::Reserved(end)),
            None => Ok(Self { fingerprint: fingerprint(text), text: text.into() }),
        }
    }

    /// A hash of the id (FNV-1a, 32 bits), the same everywhere: for tables that tell most ids apart by it.
    pub fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

impl Ord for CameraId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for CameraId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for CameraId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialEq<str> for CameraId {
    fn eq(&self, other: &str) -> bool {
        *self.text == *other
    }
}

impl AsRef<str> for CameraId {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Compares, orders and hashes as its text does.
impl Borrow<str> for CameraId {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl serde::Serialize for CameraId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for CameraId {
    /// From a string that holds the rule, without a copy of it in between.
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = CameraId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a camera id (1-63 characters of A-Z a-z 0-9 _ . -)")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CameraId, E> {
                CameraId::parse(text).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_63_safe_characters_and_no_reserved_ending() {
        assert!(CameraId::parse("AXIS_M4228_E82725203C16").is_ok());
        assert!(CameraId::parse(&"a".repeat(63)).is_ok());
        assert_eq!(CameraId::parse(&"a".repeat(64)), Err(CameraIdError::Length(64)));
        assert_eq!(CameraId::parse(""), Err(CameraIdError::Length(0)));
        for bad in ["a/b", "a+b", "a#b", "a b", "ä"] {
            assert!(matches!(CameraId::parse(bad), Err(CameraIdError::Character(_))), "{bad}");
        }
        assert_eq!(CameraId::parse("gate-control"), Err(CameraIdError::Reserved("-control")));
    }
}
