//! Commands that were seen: each id is done once.
//!
//! For [`KEPT`] after it came, an id and its content are remembered together with the last reply; the same
//! again is answered the same, another content with the same id is not done. At most [`IDS_MAX`] are kept,
//! the oldest give way and are counted. What changes something is kept over a restart as well
//! ([`Repeats::to_json`]); a command during which the process ended is then answered as done, when ending was
//! what it asked for, or else as failed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reply::{Reply, ReplyState};
use super::{Outcome, Request, Word};
use crate::base::Time;

/// How long an id is remembered.
pub const KEPT: Duration = Duration::from_mins(10);
/// Most ids that are remembered.
pub const IDS_MAX: usize = 1_000;
/// Larger results are not kept with a reply, bytes.
const RESULT_BYTES_MAX: usize = 2 * 1024;

/// What is known of an id.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// Nothing.
    New,
    /// It had this content, and this was the last reply.
    Before(Box<Reply>),
    /// It had another content.
    Otherwise,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Time,
    word: Word,
    fingerprint: u64,
    reply: Reply,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    id: String,
    at_ms: u64,
    word: String,
    fingerprint: u64,
    state: ReplyState,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

/// The memory.
#[derive(Debug, Default)]
pub struct Repeats {
    entries: BTreeMap<String, Entry>,
    /// By age, the oldest first. Each id once.
    order: VecDeque<String>,
    evicted: u64,
}

impl Repeats {
    /// Reads what [`Repeats::to_json`] wrote, as of now. Nothing is remembered of what can't be read.
    pub fn from_json(bytes: &[u8], now: Time) -> Self {
        let mut saved: Vec<Saved> = serde_json::from_slice(bytes).unwrap_or_default();
        saved.sort_by_key(|entry| entry.at_ms);
        let mut repeats = Self::default();
        for entry in saved.into_iter().rev().take(IDS_MAX).rev() {
            // A clock that was set back meanwhile must not keep an id for longer than usual.
            let age = Duration::from_millis(now.epoch_ms.saturating_sub(entry.at_ms));
            let Some(word) = Word::parse(&entry.word).filter(|_| age < KEPT) else { continue };
            let age_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
            let at = Time { mono_ns: now.mono_ns.saturating_sub(age_ns), epoch_ms: entry.at_ms };
            let id = Some(entry.id.clone());
            let reply = if entry.state.is_last() {
                Reply {
                    result: entry.result,
                    error: entry.error,
                    detail: entry.detail,
                    state: entry.state,
                    ..Reply::last(id, word.as_str(), Outcome::OK)
                }
            } else if word.ends_the_process() {
                Reply::last(id, word.as_str(), Outcome::OK)
            } else {
                let detail = "the process ended while it was being done";
                Reply::last(id, word.as_str(), Outcome::failed("interrupted", detail))
            };
            repeats.insert(entry.id, Entry { at, word, fingerprint: entry.fingerprint, reply });
        }
        repeats
    }

    /// What is worth keeping over a restart: the commands that change something.
    pub fn to_json(&self) -> Vec<u8> {
        let entries = self.order.iter().filter_map(|id| Some((id, self.entries.get(id)?)));
        let saved: Vec<Saved> = entries
            .filter(|(_, entry)| !entry.word.only_asks())
            .map(|(id, entry)| Saved {
                id: id.clone(),
                at_ms: entry.at.epoch_ms,
                word: entry.word.as_str().to_owned(),
                fingerprint: entry.fingerprint,
                state: entry.reply.state,
                result: entry.reply.result.clone(),
                error: entry.reply.error.clone(),
                detail: entry.reply.detail.clone(),
            })
            .collect();
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// What is known of a request's id.
    pub(super) fn seen(&mut self, request: &Request, now: Time) -> Seen {
        self.forget_old(now);
        match request.id.as_ref().and_then(|id| self.entries.get(id)) {
            None => Seen::New,
            Some(entry) if entry.fingerprint == request.fingerprint => {
                Seen::Before(Box::new(entry.reply.clone()))
            }
            Some(_) => Seen::Otherwise,
        }
    }

    /// Remembers a request that is going to be done.
    pub(super) fn begin(&mut self, request: &Request, now: Time) {
        let Some(id) = request.id.clone() else { return };
        let word = request.command.word();
        let reply = Reply::running(Some(id.clone()), word.as_str(), ReplyState::Accepted, 0);
        self.insert(id, Entry { at: now, word, fingerprint: request.fingerprint, reply });
    }

    /// Remembers the latest reply about a request.
    pub(super) fn note(&mut self, reply: &Reply) {
        let Some(entry) = reply.id.as_ref().and_then(|id| self.entries.get_mut(id)) else { return };
        entry.reply = reply.clone();
        let is_large = |result: &Value| result.to_string().len() > RESULT_BYTES_MAX;
        if entry.reply.result.as_ref().is_some_and(is_large) {
            entry.reply.result = None;
        }
    }

    /// Ids that gave way before their time.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, id: String, entry: Entry) {
        if self.entries.insert(id.clone(), entry).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > IDS_MAX {
            let oldest = self.order.pop_front().and_then(|id| self.entries.remove(&id));
            self.evicted += u64::from(oldest.is_some());
        }
    }

    fn forget_old(&mut self, now: Time) {
        while let Some(id) = self.order.front() {
            if self.entries.get(id).is_some_and(|entry| now.since(entry.at) < KEPT) {
                break;
            }
            self.entries.remove(id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CameraId;

    fn at(s: u64) -> Time {
        Time { mono_ns: s * 1_000_000_000, epoch_ms: 1_000_000_000_000 + s * 1_000 }
    }

    fn request(id: &str, word: &str) -> Request {
        let text = format!("{{\"id\":{id:?},\"command\":{word:?}}}");
        Request::parse(text.as_bytes(), &CameraId::parse("gate").unwrap()).unwrap()
    }

    #[test]
    fn an_id_is_known_for_ten_minutes_with_its_last_reply() {
        let mut repeats = Repeats::default();
        let pause = request("1", "pause");
        assert_eq!(repeats.seen(&pause, at(0)), Seen::New);
        repeats.begin(&pause, at(0));
        let reply = Reply::last(pause.id.clone(), "pause", Outcome::OK);
        repeats.note(&reply);
        assert_eq!(repeats.seen(&pause, at(599)), Seen::Before(Box::new(reply)));
        assert_eq!(repeats.seen(&request("1", "resume"), at(599)), Seen::Otherwise);
        assert_eq!(repeats.seen(&pause, at(600)), Seen::New);
        assert!(repeats.is_empty());
    }

    #[test]
    fn the_oldest_of_more_than_a_thousand_ids_gives_way_and_is_counted() {
        let mut repeats = Repeats::default();
        for i in 0..=IDS_MAX {
            repeats.begin(&request(&i.to_string(), "pause"), at(1));
        }
        assert_eq!((repeats.len(), repeats.evicted()), (IDS_MAX, 1));
        assert_eq!(repeats.seen(&request("0", "pause"), at(1)), Seen::New);
    }

    #[test]
    fn what_was_done_is_known_after_a_restart_and_questions_are_not() {
        let mut repeats = Repeats::default();
        for (id, word) in [("1", "restart"), ("2", "set"), ("3", "status"), ("4", "pause")] {
            repeats.begin(&request(id, word), at(10));
        }
        repeats.note(&Reply::last(Some("4".into()), "pause", Outcome::OK));
        // Another process: its monotonic clock starts anew.
        let now = Time { mono_ns: 1_000_000_000, ..at(20) };
        let mut later = Repeats::from_json(&repeats.to_json(), now);
        let mut state = |id, word| match later.seen(&request(id, word), now) {
            Seen::Before(reply) => Some(reply.state),
            _ => None,
        };
        assert_eq!(state("1", "restart"), Some(ReplyState::Done));
        assert_eq!(state("2", "set"), Some(ReplyState::Failed));
        assert_eq!(state("3", "status"), None);
        assert_eq!(state("4", "pause"), Some(ReplyState::Done));
        assert!(Repeats::from_json(&repeats.to_json(), at(700)).is_empty());
        assert!(Repeats::from_json(b"{broken", now).is_empty());
    }
}
