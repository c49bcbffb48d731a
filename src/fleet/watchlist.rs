//! Wanted plates: who is on the list, until when, and why.
//!
//! A plate is compared as it is read by people: letters in upper case, without spaces and signs. A reading
//! also matches an entry from which it differs in one character that readers confuse ([`CONFUSABLE`], which
//! can be set otherwise); an exact match comes before a near one. Expired entries never match.
//!
//! Updates carry rising versions. `replace` takes any newer one; `add` and `remove` follow their version
//! without a gap, or else nothing is changed and the whole list must be asked for. An update is applied
//! whole or not at all. At most [`ENTRIES_MAX`] entries. Times are milliseconds since the epoch, passed in.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::base::{ErrorKind, parse_timestamp, rfc3339};

/// Most entries.
pub const ENTRIES_MAX: usize = 100_000;
/// Longest plate, characters.
pub const PLATE_CHARS_MAX: usize = 20;
/// Longest reason that is kept, bytes.
const REASON_BYTES_MAX: usize = 200;
/// Faults that are named of one update.
const FAULTS_MAX: usize = 20;

/// Groups of characters that readers of plates take for one another.
pub const CONFUSABLE: [&str; 9] = ["0ODQ", "1ILT", "2Z", "5S", "6G", "8B", "4A", "7Y", "VU"];

/// How much attention a match deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertLevel {
    /// Worth a note.
    Low,
    /// Worth a look.
    Medium,
    /// Somebody should act.
    #[default]
    High,
    /// Somebody should act now.
    Critical,
}

/// One wanted plate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Why it is wanted.
    pub reason: Box<str>,
    /// How much attention it deserves.
    pub level: AlertLevel,
    /// It is not wanted from then on, milliseconds since the epoch.
    pub expires_ms: Option<u64>,
}

/// A reading that is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'a> {
    /// The plate on the list.
    pub plate: &'a str,
    /// Its entry.
    pub entry: &'a Entry,
    /// The reading and the plate differ in this character (from 0) only; none when they are the same.
    pub confused_at: Option<usize>,
}

/// What an update does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// These are all.
    Replace,
    /// These too, in the place of those with the same plate.
    Add,
    /// These no longer.
    Remove,
}

/// An update as it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Update {
    /// Rises with every update.
    pub version: u64,
    /// What it does.
    pub mode: Mode,
    /// About which plates.
    pub entries: Vec<Sent>,
}

/// An entry as it is sent: the keys of the server's own table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sent {
    #[serde(alias = "license_plate_text")]
    plate_number: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert_level: Option<AlertLevel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry_date: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
}

/// What became of a good update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is in force.
    Changed,
    /// It, or a later one, was in force already.
    Known,
    /// One is missing before it: the whole list must be asked for.
    Gap {
        /// The version in force.
        have: u64,
    },
}

/// An update that can't be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// It is no update.
    #[error("no watchlist update: {0}")]
    Unreadable(String),
    /// Entries with faults; nothing was changed.
    #[error("{count} entries with faults, the first: {}", first.join("; "))]
    Entries {
        /// How many.
        count: usize,
        /// The first of them, each with its number.
        first: Vec<String>,
    },
    /// There would be too many.
    #[error("{0} entries, at most {ENTRIES_MAX} are kept")]
    TooMany(usize),
}

impl UpdateError {
    /// Somebody else's doing, always.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::BadInput
    }
}

impl Update {
    /// Reads an update.
    pub fn from_json(bytes: &[u8]) -> Result<Self, UpdateError> {
        serde_json::from_slice(bytes).map_err(|error| UpdateError::Unreadable(error.to_string()))
    }
}

/// The list.
#[derive(Debug)]
pub struct Watchlist {
    version: u64,
    entries: HashMap<Box<str>, Entry>,
    /// For each character those that it is confused with.
    confusable: HashMap<char, Vec<char>>,
}

impl Default for Watchlist {
    /// Empty, at version 0, with the usual confusions.
    fn default() -> Self {
        Self::new(&CONFUSABLE)
    }
}

impl Watchlist {
    /// An empty list with these groups of characters that are taken for one another.
    pub fn new(groups: &[&str]) -> Self {
        let mut confusable: HashMap<char, Vec<char>> = HashMap::new();
        for group in groups {
            for one in group.chars() {
                let others = group.chars().filter(|other| *other != one);
                confusable.entry(one).or_default().extend(others);
            }
        }
        Self { version: 0, entries: HashMap::new(), confusable }
    }

    /// The version in force.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many entries there are, expired ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nobody is wanted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The list as an update that replaces another, JSON: what is kept over a restart.
    pub fn to_json(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(plate, entry)| Sent {
            plate_number: plate.to_string(),
            reason: Some(entry.reason.to_string()),
            alert_level: Some(entry.level),
            expiry_date: entry.expires_ms.map(rfc3339),
            is_active: None,
        });
        let update = Update { version: self.version, mode: Mode::Replace, entries: entries.collect() };
        serde_json::to_vec(&update).unwrap_or_default()
    }

    /// Takes an update, whole or not at all.
    pub fn apply(&mut self, update: Update) -> Result<Applied, UpdateError> {
        if update.version <= self.version {
            return Ok(Applied::Known);
        }
        if update.mode != Mode::Replace && update.version != self.version + 1 {
            return Ok(Applied::Gap { have: self.version });
        }
        let entries = checked(update.entries)?;
        if update.mode != Mode::Remove {
            let kept = if update.mode == Mode::Add { self.entries.len() } else { 0 };
            let fresh = entries.iter().filter(|(plate, _)| kept == 0 || !self.entries.contains_key(&**plate));
            let count = kept + fresh.count();
            if count > ENTRIES_MAX {
                return Err(UpdateError::TooMany(count));
            }
        }
        if update.mode == Mode::Replace {
            self.entries.clear();
        }
        for (plate, entry) in entries {
            match entry.filter(|_| update.mode != Mode::Remove) {
                Some(entry) => self.entries.insert(plate, entry),
                None => self.entries.remove(&plate),
            };
        }
        self.version = update.version;
        Ok(Applied::Changed)
    }

    /// The entry with exactly this plate, which is [`normalized`], as of `now_ms`.
    pub fn exact(&self, plate: &str, now_ms: u64) -> Option<Match<'_>> {
        let (plate, entry) = self.entries.get_key_value(plate)?;
        let wanted = entry.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms);
        wanted.then_some(Match { plate, entry, confused_at: None })
    }

    /// The entry with this plate, or else the gravest of those that differ in one confusable character.
    pub fn find(&self, plate: &str, now_ms: u64) -> Option<Match<'_>> {
        self.exact(plate, now_ms).or_else(|| self.near(plate, now_ms))
    }

    fn near(&self, plate: &str, now_ms: u64) -> Option<Match<'_>> {
        let mut best: Option<Match<'_>> = None;
        let mut other = String::with_capacity(plate.len() + 4);
        for (index, (at, read)) in plate.char_indices().take(PLATE_CHARS_MAX).enumerate() {
            for &meant in self.confusable.get(&read).into_iter().flatten() {
                other.clear();
                other.push_str(&plate[..at]);
                other.push(meant);
                other.push_str(&plate[at + read.len_utf8()..]);
                let Some(found) = self.exact(&other, now_ms) else { continue };
                if best.is_none_or(|best| found.entry.level > best.entry.level) {
                    best = Some(Match { confused_at: Some(index), ..found });
                }
            }
        }
        best
    }
}

/// A plate as it is compared: letters and digits only, in upper case; none when that is nothing or too long.
pub fn normalized(plate: &str) -> Option<String> {
    let kept = plate.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase);
    // One more than allowed tells that there is more.
    let kept: String = kept.take(PLATE_CHARS_MAX + 1).collect();
    (!kept.is_empty() && kept.chars().count() <= PLATE_CHARS_MAX).then_some(kept)
}

/// The entries by their plates; none for one that is not active. The last of a plate counts.
fn checked(sent: Vec<Sent>) -> Result<HashMap<Box<str>, Option<Entry>>, UpdateError> {
    let (mut entries, mut count, mut first) = (HashMap::with_capacity(sent.len()), 0, Vec::new());
    for (index, sent) in sent.into_iter().enumerate() {
        match entry(sent) {
            Ok((plate, entry)) => {
                entries.insert(plate, entry);
            }
            Err(fault) => {
                count += 1;
                if first.len() < FAULTS_MAX {
                    first.push(format!("entry {index}: {fault}"));
                }
            }
        }
    }
    if count > 0 { Err(UpdateError::Entries { count, first }) } else { Ok(entries) }
}

fn entry(sent: Sent) -> Result<(Box<str>, Option<Entry>), String> {
    let shown: String = sent.plate_number.chars().take(2 * PLATE_CHARS_MAX).collect();
    let plate = normalized(&sent.plate_number)
        .ok_or_else(|| format!("{shown:?} is no plate of 1 to {PLATE_CHARS_MAX} letters and digits"))?;
    let expires_ms = match &sent.expiry_date {
        None => None,
        Some(text) => {
            Some(parse_timestamp(text).ok_or_else(|| format!("the expiry of {shown:?} is no time"))?)
        }
    };
    let reason = sent.reason.unwrap_or_default();
    let reason = reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].into();
    let entry = Entry { reason, level: sent.alert_level.unwrap_or_default(), expires_ms };
    Ok((plate.into(), sent.is_active.unwrap_or(true).then_some(entry)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_207_082_000;

    fn update(version: u64, mode: &str, entries: &str) -> Update {
        let text = format!(
            "{{\"message_id\":\"m\",\"version\":{version},\"mode\":{mode:?},\"entries\":[{entries}]}}"
        );
        Update::from_json(text.as_bytes()).unwrap()
    }

    fn list(entries: &str) -> Watchlist {
        let mut list = Watchlist::default();
        assert_eq!(list.apply(update(1, "replace", entries)), Ok(Applied::Changed));
        list
    }

    #[test]
    fn a_plate_is_found_however_it_is_written_and_says_why_it_is_wanted() {
        let list = list(r#"{"plate_number":"abc-1234","reason":"stolen"},{"license_plate_text":"กข 99"}"#);
        let found = list.find(&normalized("ABC 1234").unwrap(), NOW).unwrap();
        assert_eq!((found.plate, &*found.entry.reason, found.confused_at), ("ABC1234", "stolen", None));
        assert_eq!(found.entry.level, AlertLevel::High);
        assert!(list.find("กข99", NOW).is_some());
        assert_eq!(list.find("ABC1235", NOW), None);
    }

    #[test]
    fn one_confusable_character_is_a_near_match_and_two_are_none() {
        let list = list(
            r#"{"plate_number":"B0X8","alert_level":"low"},{"plate_number":"BOXB","alert_level":"critical"}"#,
        );
        assert_eq!(list.find("B0X8", NOW).unwrap().confused_at, None);
        let near = list.find("8OXB", NOW).unwrap();
        assert_eq!((near.plate, near.confused_at), ("BOXB", Some(0)));
        let gravest = list.find("BOX8", NOW).unwrap();
        assert_eq!((gravest.plate, gravest.confused_at), ("BOXB", Some(3)));
        assert_eq!(list.find("8DXB", NOW), None);
        assert_eq!(Watchlist::new(&[]).find("B0X8", NOW), None);
    }

    #[test]
    fn an_entry_that_has_expired_or_is_not_active_matches_nothing() {
        let list = list(
            r#"{"plate_number":"OLD1","expiry_date":"2026-11-20T20:38:02Z"},
               {"plate_number":"NEW1","expiry_date":"2026-11-20T20:38:03"},
               {"plate_number":"OFF1","is_active":false}"#,
        );
        assert_eq!((list.exact("OLD1", NOW), list.exact("OFF1", NOW)), (None, None));
        assert!(list.exact("NEW1", NOW).is_some());
    }

    #[test]
    fn updates_follow_one_another_and_a_gap_changes_nothing() {
        let mut list = list(r#"{"plate_number":"A1"}"#);
        let add = || update(2, "add", r#"{"plate_number":"B1"}"#);
        assert_eq!(list.apply(update(4, "add", "")), Ok(Applied::Gap { have: 1 }));
        assert_eq!(list.apply(add()), Ok(Applied::Changed));
        assert_eq!(list.apply(add()), Ok(Applied::Known));
        assert_eq!(list.apply(update(3, "remove", r#"{"plate_number":"a 1"}"#)), Ok(Applied::Changed));
        assert_eq!((list.exact("A1", NOW), list.len(), list.version()), (None, 1, 3));
        assert_eq!(list.apply(update(9, "replace", "")), Ok(Applied::Changed));
        assert!(list.is_empty());
    }

    #[test]
    fn what_is_kept_over_a_restart_is_the_same_list() {
        let list = list(
            r#"{"plate_number":"กข 99","reason":"\"stolen\"","alert_level":"low"},
               {"plate_number":"B1","expiry_date":"2026-11-20T20:38:03.250Z"},
               {"plate_number":"C1","is_active":false}"#,
        );
        let mut again = Watchlist::default();
        let kept = Update::from_json(&list.to_json()).unwrap();
        assert_eq!(again.apply(kept), Ok(Applied::Changed));
        assert_eq!((&again.entries, again.version), (&list.entries, 1));
    }

    #[test]
    fn an_update_with_faults_names_them_and_changes_nothing() {
        let mut list = list(r#"{"plate_number":"A1"}"#);
        let bad = update(
            2,
            "add",
            r#"{"plate_number":"B1"},{"plate_number":"--"},{"plate_number":"C1","expiry_date":"soon"}"#,
        );
        let error = list.apply(bad).unwrap_err();
        assert!(matches!(&error, UpdateError::Entries { count: 2, first } if first.len() == 2), "{error}");
        assert!(error.to_string().contains("entry 1: \"--\" is no plate"), "{error}");
        assert_eq!((list.len(), list.version()), (1, 1));
        for text in ["", "{}", "[]", r#"{"version":1,"mode":"add","entries":{}}"#, r#"{"version":-1}"#] {
            assert!(matches!(Update::from_json(text.as_bytes()), Err(UpdateError::Unreadable(_))), "{text}");
        }
    }

    #[test]
    fn more_entries_than_are_kept_are_refused() {
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|i| format!("{{\"plate_number\":\"P{i}\"}}")).collect();
        let mut list = Watchlist::default();
        let error = list.apply(update(1, "replace", &many.join(","))).unwrap_err();
        assert_eq!(error, UpdateError::TooMany(ENTRIES_MAX + 1));
        assert!(list.is_empty());
    }

    proptest! {
        #[test]
        fn a_reading_never_matches_what_differs_in_more_than_one_place(
            wanted in "[A-Z0-9]{1,8}", read in "[A-Z0-9]{1,8}",
        ) {
            let list = list(&format!("{{\"plate_number\":{wanted:?}}}"));
            let differing = wanted.chars().zip(read.chars()).filter(|(a, b)| a != b).count();
            let same_length = wanted.len() == read.len();
            if let Some(found) = list.find(&read, NOW) {
                prop_assert!(same_length && differing <= 1);
                prop_assert_eq!(found.confused_at.is_some(), differing == 1);
            } else {
                prop_assert!(wanted != read);
            }
        }
    }
}
