//! The numbers and words a swarm message is made of, each with its range in its type.
//!
//! The type says the limit, so that a message that was decoded holds every limit of the contract,
//! and one that breaks a limit can't be encoded either. Reals are written with a decimal point or an
//! exponent and at most three decimals, integers without; both are read from either. `null` is never
//! a value, a JSON array is never an object.
//!
//! Errors use serde's own words (`invalid type`, `invalid value`, `invalid length`, `missing field`,
//! `duplicate field`), from which `codec` names the reason. Texts, lists and maps stand in `bounded`, keys in `message`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, Unexpected, Visitor};
use serde::ser::{self, Serialize, Serializer};

use crate::base::{parse_timestamp, rfc3339};
use crate::model::{Behaviors, EventState, EventType, Severity};

/// Largest magnitude of a real: metres, metres per second, square metres, a rule's values.
pub const REAL_MAX: f64 = 1e9;
/// Latest timestamp: the end of the year 9999, in milliseconds since the epoch.
pub const MILLIS_MAX: u64 = 253_402_300_799_999;
/// Largest integer that every JSON reader keeps exactly (2^53 - 1).
pub const COUNT_MAX: u64 = (1 << 53) - 1;
/// The shortest text of the largest single-precision number, which as a double lies a little above it.
const WEIGHT_MAX: f64 = 3.402_823_5e38;
/// A probability may exceed 1 by what single precision loses; it is cut to 1.
const FRACTION_SLACK: f64 = 1e-6;

/// A track's or an event's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub u32);

/// Milliseconds since the epoch, up to [`MILLIS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

/// A time in UTC, milliseconds since the epoch up to [`MILLIS_MAX`]; RFC 3339 with `Z` on the wire. Read with `Z`,
/// with an offset, or naive (taken as UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Utc(pub u64);

/// A whole number from 0 to [`COUNT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Count(pub u64);

/// A signed whole number up to [`COUNT_MAX`]: a difference of two timestamps, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Offset(pub i64);

/// A finite real up to [`REAL_MAX`], three decimals on the wire.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Real(pub f64);

/// A probability, confidence or score, 0..1, three decimals on the wire.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Fraction(pub f64);

/// A model's parameter: finite, single precision, the shortest form that reads back as the same number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weight(pub f32);

// Integers.

struct IntegerVisitor {
    min: u64,
    max: u64,
}

impl Visitor<'_> for IntegerVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {} to {}", self.min, self.max)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<u64, E> {
        if (self.min..=self.max).contains(&v) {
            Ok(v)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(v), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<u64, E> {
        match u64::try_from(v) {
            Ok(v) => self.visit_u64(v),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(v), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<u64, E> {
        if v.fract() != 0.0 {
            Err(E::invalid_type(Unexpected::Float(v), &self))
        } else if (0.0..=COUNT_MAX as f64).contains(&v) {
            self.visit_u64(v as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(v), &self))
        }
    }
}

/// Reads an integer between the two limits.
pub(super) fn integer<'de, D: Deserializer<'de>>(d: D, min: u64, max: u64) -> Result<u64, D::Error> {
    d.deserialize_u64(IntegerVisitor { min, max })
}

/// Writes an integer between the two limits; refuses any other.
fn put_integer<S: Serializer>(s: S, v: u64, min: u64, max: u64) -> Result<S::Ok, S::Error> {
    if (min..=max).contains(&v) {
        s.serialize_u64(v)
    } else {
        Err(ser::Error::custom(format_args!("{v} is not an integer from {min} to {max}")))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        integer(d, 1, u64::from(u32::MAX)).map(|v| Self(v as u32))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        put_integer(s, u64::from(self.0), 1, u64::from(u32::MAX))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        integer(d, 0, MILLIS_MAX).map(Self)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        put_integer(s, self.0, 0, MILLIS_MAX)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        integer(d, 0, COUNT_MAX).map(Self)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        put_integer(s, self.0, 0, COUNT_MAX)
    }
}

impl Offset {
    /// The number, cut to the range.
    pub fn cut(v: i64) -> Self {
        Self(v.clamp(-(COUNT_MAX as i64), COUNT_MAX as i64))
    }
}

struct OffsetVisitor;

impl Visitor<'_> for OffsetVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from -{COUNT_MAX} to {COUNT_MAX}")
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<i64, E> {
        match i64::try_from(v) {
            Ok(v) => self.visit_i64(v),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(v), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<i64, E> {
        if v.unsigned_abs() <= COUNT_MAX {
            Ok(v)
        } else {
            Err(E::invalid_value(Unexpected::Signed(v), &self))
        }
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<i64, E> {
        if v.fract() != 0.0 {
            Err(E::invalid_type(Unexpected::Float(v), &self))
        } else if v.abs() <= COUNT_MAX as f64 {
            Ok(v as i64)
        } else {
            Err(E::invalid_value(Unexpected::Float(v), &self))
        }
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_i64(OffsetVisitor).map(Self)
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.unsigned_abs() <= COUNT_MAX {
            s.serialize_i64(self.0)
        } else {
            Err(ser::Error::custom(format_args!(
                "{} is not an integer from -{COUNT_MAX} to {COUNT_MAX}",
                self.0
            )))
        }
    }
}

// Reals.

struct RealVisitor {
    min: f64,
    max: f64,
}

impl Visitor<'_> for RealVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {:?} to {:?}", self.min, self.max)
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<f64, E> {
        if (self.min..=self.max).contains(&v) {
            Ok(v)
        } else {
            Err(E::invalid_value(Unexpected::Float(v), &self))
        }
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<f64, E> {
        self.visit_f64(v as f64)
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<f64, E> {
        self.visit_f64(v as f64)
    }
}

/// As a real leaves: three decimals, and no negative zero.
pub(super) fn rounded(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0 + 0.0
}

fn put_real<S: Serializer>(s: S, v: f64, min: f64, max: f64) -> Result<S::Ok, S::Error> {
    // Not a number is in no range.
    if (min..=max).contains(&v) {
        if s.is_human_readable() { s.serialize_f64(rounded(v)) } else { s.serialize_f32(rounded(v) as f32) }
    } else {
        Err(ser::Error::custom(format_args!("{v} is not a number from {min} to {max}")))
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let binary = !d.is_human_readable();
        let v = d.deserialize_f64(RealVisitor { min: -REAL_MAX, max: REAL_MAX })?;
        Ok(Self(if binary { rounded(v) } else { v }))
    }
}

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        put_real(s, self.0, -REAL_MAX, REAL_MAX)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let binary = !d.is_human_readable();
        let v = d.deserialize_f64(RealVisitor { min: 0.0, max: 1.0 + FRACTION_SLACK })?.min(1.0);
        Ok(Self(if binary { rounded(v) } else { v }))
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        put_real(s, self.0, 0.0, 1.0 + FRACTION_SLACK)
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_f64(RealVisitor { min: -WEIGHT_MAX, max: WEIGHT_MAX }).map(|v| Self(v as f32))
    }
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            s.serialize_f32(self.0)
        } else {
            Err(ser::Error::custom("a weight is not finite"))
        }
    }
}

// Text.

struct StrVisitor<'a, T> {
    expects: &'a str,
    read: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for StrVisitor<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expects)
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<T, E> {
        (self.read)(v).ok_or_else(|| E::invalid_value(Unexpected::Str(v), &self))
    }
}

/// Reads a text that `read` understands.
pub(super) fn text<'de, D, T>(d: D, expects: &str, read: fn(&str) -> Option<T>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    d.deserialize_str(StrVisitor { expects, read })
}

impl<'de> Deserialize<'de> for Utc {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        text(d, "a time in RFC 3339", |v| parse_timestamp(v).filter(|ms| *ms <= MILLIS_MAX).map(Self))
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0 <= MILLIS_MAX {
            s.serialize_str(&rfc3339(self.0))
        } else {
            Err(ser::Error::custom(format_args!("{} ms is after the year 9999", self.0)))
        }
    }
}

// For `#[serde(deserialize_with)]`.

/// An enum's word, from a JSON string alone (derived enums would take an object too).
pub(super) fn word<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct WordVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for WordVisitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word")
        }
        fn visit_str<E: de::Error>(self, v: &str) -> Result<T, E> {
            T::deserialize(v.into_deserializer())
        }
    }
    d.deserialize_str(WordVisitor(PhantomData))
}

/// A struct, from a JSON object alone (derived structs would take an array too); in binary it is an array.
pub(super) fn object<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ObjectOnly<D>(D);
    impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
        type Error = D::Error;
        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_map(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }
    if d.is_human_readable() { T::deserialize(ObjectOnly(d)) } else { T::deserialize(d) }
}

/// A value that may be missing, but not `null`; in binary, where every key has its place, nil is a missing one.
pub(super) fn some<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    if !d.is_human_readable() {
        return Option::deserialize(d);
    }
    T::deserialize(d).map(Some)
}

/// A word that may be missing, but not `null`.
pub(super) fn some_word<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    if !d.is_human_readable() {
        return Option::deserialize(d);
    }
    word(d).map(Some)
}

/// An object that may be missing, but not `null`.
pub(super) fn some_object<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    if !d.is_human_readable() {
        return Option::deserialize(d);
    }
    object(d).map(Some)
}

/// [`Behaviors`] as their bits; bits without a name are dropped.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) mod behaviors {
    use super::{Behaviors, Deserializer, Serializer, integer};

    pub(in super::super) fn serialize<S: Serializer>(v: &Behaviors, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(v.bits())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Behaviors, D::Error> {
        integer(d, 0, u64::from(u32::MAX)).map(|bits| Behaviors::from_bits_truncate(bits as u32))
    }
}

/// [`EventType`] as its number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) mod event_type {
    use super::{Deserializer, EventType, Serializer, de, integer};

    pub(in super::super) fn serialize<S: Serializer>(v: &EventType, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(v.number())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<EventType, D::Error> {
        EventType::from_number(integer(d, 1, EventType::ALL.len() as u64)?)
            .ok_or_else(|| de::Error::custom("invalid value: no such event type"))
    }
}

/// [`EventType`] as its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) mod event_name {
    use super::{Deserializer, EventType, Serializer, text};

    pub(in super::super) fn serialize<S: Serializer>(v: &EventType, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(v.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<EventType, D::Error> {
        text(d, "the name of an event type", |v| EventType::ALL.into_iter().find(|t| t.as_str() == v))
    }
}

fn is_outcome(state: EventState) -> bool {
    matches!(state, EventState::Confirmed | EventState::Retracted | EventState::Expired)
}

/// Reads an outcome that may be missing: `confirmed`, `retracted` or `expired`.
pub(super) fn outcome<'de, D: Deserializer<'de>>(d: D) -> Result<Option<EventState>, D::Error> {
    let state = some_word(d)?;
    match state {
        Some(state) if !is_outcome(state) => Err(de::Error::custom("invalid value: not an outcome")),
        state => Ok(state),
    }
}

/// Writes an outcome; rejects a state that is none.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
pub(super) fn put_outcome<S: Serializer>(v: &Option<EventState>, s: S) -> Result<S::Ok, S::Error> {
    match v {
        Some(state) if !is_outcome(*state) => Err(ser::Error::custom("the state is not an outcome")),
        state => state.serialize(s),
    }
}

/// The same as a value, for `MessagePack`.
pub(super) struct Outcome(pub(super) Option<EventState>);

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        put_outcome(&self.0, s)
    }
}

/// [`Severity`] as its number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) mod severity {
    use super::{Deserializer, Serializer, Severity, de, integer};

    pub(in super::super) fn serialize<S: Serializer>(v: &Severity, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(v.number())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Severity, D::Error> {
        Severity::from_number(integer(d, 0, u64::from(Severity::Critical.number()))?)
            .ok_or_else(|| de::Error::custom("invalid value: no such severity"))
    }
}
