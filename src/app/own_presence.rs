//! What comes back of a camera's own presence: whether it does, and whether another process uses its id.
//!
//! Every camera subscribes to the presence of all, its own among them. So each of its messages comes back from every
//! broker that passes them on as they are. One that does not come back does not reach the others either: the broker
//! splits the topic at a dot (`RabbitMQ`), or its access list drops it. A presence of this camera's id that this
//! process did not publish, said after it began, is of a second daemon with the same id. The start times do not tell
//! them apart: two that a script starts begin within the same millisecond.
//!
//! Pure but for the clock's readings that it is given. Remembers one time per link and [`PUBLISHED_MAX`] of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::base::Time;
use crate::link;
use crate::model::{Delivery, Envelope};
use crate::state::NamedStatus;

/// How long a presence may take to come back, once a link is up and has delivered what it had.
const BACK_WITHIN: Duration = Duration::from_secs(3);
/// How long a second daemon counts as there after it was heard.
const RIVAL_FOR: Duration = Duration::from_secs(30);
/// So many of the own presences are remembered by their time.
const PUBLISHED_MAX: usize = 16;

/// See the module.
pub(super) struct OwnPresence {
    topic: String,
    boot_ms: u64,
    links: BTreeMap<Arc<str>, Echo>,
    rival: Option<Time>,
    /// The times in the presences that this process published, the latest last.
    published: VecDeque<u64>,
    /// When the links were looked at last.
    looked: Option<Time>,
}

/// What came back by a link.
#[derive(Default)]
struct Echo {
    /// The connection that is looked at, by its number.
    connects: u64,
    /// Since when it has been up with nothing on its way.
    idle_since: Option<Time>,
    /// When a presence came back on it.
    heard: Option<Time>,
    told: bool,
}

/// What is read of a presence.
#[derive(Deserialize)]
struct Said {
    state: String,
    boot: u64,
    #[serde(default)]
    timestamp: u64,
}

impl OwnPresence {
    /// Of the camera that publishes its presence here, and whose process began then.
    pub(super) fn new(topic: String, boot_ms: u64) -> Self {
        Self { topic, boot_ms, links: BTreeMap::new(), rival: None, published: VecDeque::new(), looked: None }
    }

    /// Where the presence is published.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Notes a presence of this process before it leaves.
    pub(super) fn publishes(&mut self, envelope: &Envelope) {
        let Ok(said) = serde_json::from_slice::<Said>(&envelope.payload) else { return };
        if self.published.back() == Some(&said.timestamp) {
            return;
        }
        if self.published.len() == PUBLISHED_MAX {
            self.published.pop_front();
        }
        self.published.push_back(said.timestamp);
    }

    /// Takes a message that came in; true: another process with this id has published it.
    pub(super) fn heard(&mut self, delivery: &Delivery, now: Time) -> bool {
        if delivery.topic != self.topic {
            return false;
        }
        let Ok(said) = serde_json::from_slice::<Said>(&delivery.payload) else { return false };
        if said.boot == self.boot_ms && !self.is_foreign(&said) {
            self.links.entry(Arc::clone(&delivery.link)).or_default().heard = Some(now);
            return false;
        }
        // What the broker kept of an earlier run was said before this one.
        let is_rival = said.state == "online" && said.timestamp > self.boot_ms;
        if is_rival {
            self.rival = Some(now);
        }
        is_rival
    }

    /// It bears the start time of this process, which did not publish it. What the broker kept from before the oldest
    /// one remembered may be ours, and so is a will, which has no time.
    fn is_foreign(&self, said: &Said) -> bool {
        let oldest = self.published.front();
        oldest.is_some_and(|oldest| said.timestamp >= *oldest) && !self.published.contains(&said.timestamp)
    }

    /// Another process with this id was heard a moment ago.
    pub(super) fn has_rival(&self, now: Time) -> bool {
        self.rival.is_some_and(|heard| now.since(heard) < RIVAL_FOR)
    }

    /// Looks at the links that carry presence; the names of those by which it does not come back, each with whether
    /// that is news.
    pub(super) fn missing<'a>(
        &mut self,
        links: impl Iterator<Item = &'a NamedStatus>,
        now: Time,
    ) -> Vec<(Arc<str>, bool)> {
        let mut missing = Vec::new();
        for (name, status) in links {
            let echo = self.links.entry(Arc::clone(name)).or_default();
            if echo.connects != status.counters.connects {
                // What came back since the last look came back on the new connection.
                let heard = echo.heard.filter(|heard| self.looked.is_none_or(|looked| *heard >= looked));
                *echo = Echo { connects: status.counters.connects, idle_since: None, heard, told: echo.told };
            }
            let up = status.state == link::State::Connected && !status.is_slow();
            let idle = up && status.in_flight == 0 && status.queued.total() == 0;
            if echo.heard.is_some() || !up {
                echo.told &= echo.heard.is_none();
                echo.idle_since = None;
                continue;
            }
            if idle {
                echo.idle_since.get_or_insert(now);
            }
            if echo.idle_since.is_some_and(|since| now.since(since) >= BACK_WITHIN) {
                missing.push((Arc::clone(name), !std::mem::replace(&mut echo.told, true)));
            }
        }
        self.looked = Some(now);
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Status;
    use crate::model::MessageClass;

    const TOPIC: &str = "omnisight/swarm/status/gate.1";

    fn at(s: u64) -> Time {
        Time { mono_ns: s * 1_000_000_000, epoch_ms: s * 1_000 }
    }

    fn said(state: &str, boot_s: u64, at_s: u64) -> Delivery {
        let payload =
            format!("{{\"state\":\"{state}\",\"boot\":{},\"timestamp\":{}}}", boot_s * 1_000, at_s * 1_000);
        Delivery {
            topic: TOPIC.to_owned(),
            payload: payload.into(),
            link: "main".into(),
            ..Delivery::default()
        }
    }

    fn connected(connects: u64) -> NamedStatus {
        ("main".into(), Status::connected(connects))
    }

    #[test]
    fn a_presence_that_does_not_come_back_is_missing_after_three_seconds_and_told_once() {
        let mut own = OwnPresence::new(TOPIC.to_owned(), 1_000);
        let look = |own: &mut OwnPresence, s| {
            own.missing([connected(1)].iter(), at(s)).into_iter().map(|(_, news)| news).collect::<Vec<_>>()
        };
        assert_eq!((look(&mut own, 1), look(&mut own, 3)), (vec![], vec![]));
        assert_eq!((look(&mut own, 4), look(&mut own, 5)), (vec![true], vec![false]));
        assert!(!own.heard(&said("online", 1, 5), at(5)));
        assert!(look(&mut own, 6).is_empty());
    }

    #[test]
    fn what_came_back_before_the_first_look_at_its_connection_counts() {
        let mut own = OwnPresence::new(TOPIC.to_owned(), 1_000);
        for connects in [1, 2] {
            let at_s = 10 * connects;
            own.heard(&said("online", 1, at_s), at(at_s));
            assert!(own.missing([connected(connects)].iter(), at(at_s)).is_empty());
            assert!(own.missing([connected(connects)].iter(), at(at_s + 5)).is_empty());
        }
    }

    #[test]
    fn each_connection_must_bring_it_back_anew() {
        let mut own = OwnPresence::new(TOPIC.to_owned(), 1_000);
        own.missing([connected(1)].iter(), at(1));
        own.heard(&said("online", 1, 1), at(1));
        assert!(own.missing([connected(1)].iter(), at(9)).is_empty());
        assert!(own.missing([connected(2)].iter(), at(10)).is_empty());
        assert_eq!(own.missing([connected(2)].iter(), at(13)).len(), 1);
    }

    #[test]
    fn another_process_with_this_id_is_one_that_is_online_since_this_one_began() {
        let mut own = OwnPresence::new(TOPIC.to_owned(), 1_000_000);
        // The broker kept this of the last run, or publishes its will late.
        assert!(!own.heard(&said("online", 900, 990), at(1_000)));
        assert!(!own.heard(&said("offline", 900, 1_001), at(1_001)));
        assert!(own.heard(&said("online", 950, 1_002), at(1_002)));
        assert!(own.has_rival(at(1_031)) && !own.has_rival(at(1_033)));
    }

    #[test]
    fn another_process_that_began_in_the_same_millisecond_is_known_by_what_this_one_did_not_publish() {
        let mut own = OwnPresence::new(TOPIC.to_owned(), 1_000_000);
        for s in 0..20 {
            own.publishes(&Envelope::new(
                MessageClass::Presence,
                TOPIC,
                said("online", 1_000, 1_000 + 10 * s).payload,
            ));
        }
        // The broker kept a presence of ours from before an outage; what left last comes back late.
        assert!(!own.heard(&said("online", 1_000, 1_020), at(1_191)));
        assert!(!own.heard(&said("online", 1_000, 1_190), at(1_191)));
        assert!(!own.heard(&said("offline", 1_000, 0), at(1_191)));
        assert!(own.heard(&said("online", 1_000, 1_187), at(1_191)));
    }
}
