//! Text, lists and maps of a swarm message, each with its bound in its type.
//!
//! Reading stops at the bound and refuses the message; our own text and lists are cut to it when
//! they are made, so that a long zone name never keeps an event from leaving.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::wire::{Real, object, text};

/// Exactly `N` reals in an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reals<const N: usize>(pub [f64; N]);

/// Text of at most `MAX` bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text<const MAX: usize>(String);

/// At most `MAX` values in an array.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T, const MAX: usize>(Vec<T>);

/// At most `MAX` entries in an object, each key once.
#[derive(Debug, Clone, PartialEq)]
pub struct Map<K: Ord, V, const MAX: usize>(BTreeMap<K, V>);

impl<const MAX: usize> Text<MAX> {
    /// Takes as much of the text as fits, whole characters.
    pub fn cut(text: &str) -> Self {
        Self(text[..text.floor_char_boundary(MAX)].to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Takes the first `MAX` values.
    pub fn cut(values: impl IntoIterator<Item = T>) -> Self {
        Self(values.into_iter().take(MAX).collect())
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> std::ops::Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<K: Ord, V, const MAX: usize> Map<K, V, MAX> {
    /// Takes the first `MAX` entries; of equal keys the last.
    pub fn cut(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(entries.into_iter().take(MAX).collect())
    }
}

impl<K: Ord, V, const MAX: usize> Default for Map<K, V, MAX> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V, const MAX: usize> std::ops::Deref for Map<K, V, MAX> {
    type Target = BTreeMap<K, V>;
    fn deref(&self) -> &BTreeMap<K, V> {
        &self.0
    }
}

struct SeqVisitor<T> {
    min: usize,
    max: usize,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for SeqVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {} to {} values", self.min, self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while values.len() < self.max {
            match seq.next_element()? {
                Some(value) => values.push(value),
                None if values.len() < self.min => {
                    return Err(de::Error::invalid_length(values.len(), &self));
                }
                None => return Ok(values),
            }
        }
        match seq.next_element::<de::IgnoredAny>()? {
            Some(_) => Err(de::Error::invalid_length(self.max + 1, &self)),
            None => Ok(values),
        }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_seq(SeqVisitor { min: 0, max: MAX, of: PhantomData }).map(Self)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Reals<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let values: Vec<Real> = d.deserialize_seq(SeqVisitor { min: N, max: N, of: PhantomData })?;
        // The visitor gave exactly N values.
        Ok(Self(std::array::from_fn(|i| values[i].0)))
    }
}

impl<const N: usize> Serialize for Reals<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.map(Real))
    }
}

struct MapVisitor<K, V>(usize, PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for MapVisitor<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {} keys", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            if entries.len() == self.0 {
                return Err(de::Error::invalid_length(self.0 + 1, &self));
            }
            if entries.insert(key, value).is_some() {
                return Err(de::Error::duplicate_field("in this object"));
            }
        }
        Ok(entries)
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, const MAX: usize> Deserialize<'de>
    for Map<K, V, MAX>
{
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(MapVisitor(MAX, PhantomData)).map(Self)
    }
}

impl<K: Serialize + Ord, V: Serialize, const MAX: usize> Serialize for Map<K, V, MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text(d, &format!("a text of at most {MAX} bytes"), |v| (v.len() <= MAX).then(|| Self(v.to_owned())))
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// A struct in a list, from a JSON object alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        object(d).map(Self)
    }
}

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}
