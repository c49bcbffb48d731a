//! What waits for one connection, in memory.
//!
//! One queue per message class; what a class is owed is `MessageClass::handling`. Classes leave in their
//! order; within a class the higher priority first, then the older. Where only the newest per key counts,
//! a newer message takes the place of the older one. When a queue is over its messages or its bytes, the
//! lowest priority goes first, the oldest of it first. What is no longer worth sending is dropped when its
//! turn comes. Every loss is counted.
//!
//! A message of a durable class has a row in the store, when there is one: then the store bounds and
//! replaces, and here only a window of its rows waits ([`Queues::room`]). Without a store durable classes
//! are kept here alone, like all others.
//!
//! Pure. What was taken is the taker's until it gives it back with [`Queues::restore`], to the place it
//! had. What waits here ends with the process.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::RowId;
use super::rate::TrackRate;
use crate::base::Time;
use crate::model::{Envelope, MessageClass, Qos, Waiting};

/// How many rows of the store may wait here for each class and priority: enough to keep a fast connection
/// busy while the store is asked for more.
pub(in crate::link) const ROWS_MAX: usize = 256;

/// How many classes there are.
const CLASSES: usize = MessageClass::ALL.len();

/// One number per message class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerClass([u64; CLASSES]);

impl PerClass {
    /// The number of one class.
    pub fn get(&self, class: MessageClass) -> u64 {
        self.0[class as usize]
    }

    /// The sum over the classes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each class with its number.
    pub fn iter(&self) -> impl Iterator<Item = (MessageClass, u64)> {
        MessageClass::ALL.into_iter().zip(self.0)
    }

    pub(in crate::link) fn add(&mut self, class: MessageClass, count: u64) {
        self.0[class as usize] += count;
    }

    pub(in crate::link) fn sub(&mut self, class: MessageClass, count: u64) {
        self.0[class as usize] -= count;
    }
}

/// The bounds of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages at most.
    pub messages: usize,
    /// Bytes of topics and payloads at most.
    pub bytes: usize,
}

/// The bounds of what waits for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingLimits {
    /// Each class of which all wait.
    pub all: QueueLimits,
    /// Each class of which the newest per key waits, but tracks.
    pub newest: QueueLimits,
    /// Tracks.
    pub tracks: QueueLimits,
}

impl Default for WaitingLimits {
    /// An hour of events at one every 3.6 s; a few states; five times the tracks that a camera publishes at
    /// once.
    fn default() -> Self {
        Self {
            all: QueueLimits { messages: 1_000, bytes: 4 << 20 },
            newest: QueueLimits { messages: 64, bytes: 2 << 20 },
            tracks: QueueLimits { messages: 256, bytes: 1 << 20 },
        }
    }
}

impl WaitingLimits {
    fn of(&self, class: MessageClass) -> QueueLimits {
        match class.handling().waiting {
            _ if class == MessageClass::Track => self.tracks,
            Waiting::All => self.all,
            Waiting::NewestPerKey => self.newest,
        }
    }
}

/// A message, and its place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::link) struct Entry {
    /// Rises by one with every message pushed.
    pub(in crate::link) seq: u64,
    /// The message.
    pub(in crate::link) envelope: Envelope,
    /// Its row in the store.
    pub(in crate::link) row: Option<RowId>,
    /// When it is no longer worth sending.
    pub(in crate::link) deadline: Option<Time>,
    /// Since when it could have left: it, or the one whose place it took.
    pub(in crate::link) since: Time,
}

/// See the module.
#[derive(Debug)]
pub(in crate::link) struct Queues {
    /// In the order of leaving.
    by_class: [Queue; CLASSES],
    last_seq: u64,
    rate: TrackRate,
    /// When each track last left; only while the rate is reduced.
    last_left: HashMap<String, Time>,
}

impl Queues {
    /// Empty ones.
    pub(in crate::link) fn new(limits: WaitingLimits) -> Self {
        let by_class = MessageClass::ALL.map(|class| Queue::new(class, limits.of(class)));
        Self { by_class, last_seq: 0, rate: TrackRate::default(), last_left: HashMap::new() }
    }

    /// The number that marks a message as newer than all before.
    pub(in crate::link) fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// A new message waits; with its row, when it has one.
    pub(in crate::link) fn push(&mut self, envelope: Envelope, row: Option<RowId>, now: Time) {
        let deadline = envelope.expiry.map(|expiry| now + expiry);
        let seq = self.next_seq();
        self.restore(Entry { seq, envelope, row, deadline, since: now });
    }

    /// What was taken and did not arrive waits again, where it was; a newer one of its key, where only
    /// the newest counts, has its place.
    pub(in crate::link) fn restore(&mut self, entry: Entry) {
        self.by_class[entry.envelope.class as usize].insert(entry);
    }

    /// The next to leave, with what is left of its time. With `acknowledged` false only a message of
    /// `QoS` 0 may, because no more acknowledgements can be waited for. The rows of what has expired are
    /// added to `expired`.
    pub(in crate::link) fn take(
        &mut self,
        acknowledged: bool,
        now: Time,
        expired: &mut Vec<RowId>,
    ) -> Option<Entry> {
        self.rate.tick(now);
        for (class, queue) in MessageClass::ALL.into_iter().zip(&mut self.by_class) {
            let taken = match self.rate.interval() {
                Some(interval) if class == MessageClass::Track => {
                    let last_left = &mut self.last_left;
                    queue.take_paced(interval, last_left, now)
                }
                _ => queue.take(acknowledged, now, expired),
            };
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// A track that was taken is on its way; `since` is its entry's.
    pub(in crate::link) fn track_sent(&mut self, since: Time, now: Time) {
        self.rate.note(now.since(since), now);
    }

    /// How often each track may leave now, per second.
    pub(in crate::link) fn track_rate_hz(&self) -> u32 {
        self.rate.hz()
    }

    /// When a track that waits for its turn at a reduced rate may leave.
    pub(in crate::link) fn next_turn(&self) -> Option<Time> {
        let interval = self.rate.interval()?;
        let waiting = self.by_class[MessageClass::Track as usize].waiting.values();
        waiting.map(|entry| turn(entry, interval, &self.last_left)).min()
    }

    /// How many more rows of this class and priority may wait here.
    pub(in crate::link) fn room(&self, class: MessageClass, priority: u8) -> usize {
        ROWS_MAX.saturating_sub(self.by_class[class as usize].of_priority(priority))
    }

    /// Nothing waits.
    pub(in crate::link) fn is_empty(&self) -> bool {
        self.by_class.iter().all(|queue| queue.waiting.is_empty())
    }

    /// How many wait.
    pub(in crate::link) fn queued(&self) -> PerClass {
        PerClass(self.by_class.each_ref().map(|queue| queue.waiting.len() as u64))
    }

    /// How many were evicted since the start.
    pub(in crate::link) fn evicted(&self) -> PerClass {
        PerClass(self.by_class.each_ref().map(|queue| queue.evicted))
    }

    /// How many gave way to a newer one of their key since the start.
    pub(in crate::link) fn replaced(&self) -> PerClass {
        PerClass(self.by_class.each_ref().map(|queue| queue.replaced))
    }

    /// How many waited until they were no longer worth sending, since the start.
    pub(in crate::link) fn expired(&self) -> PerClass {
        PerClass(self.by_class.each_ref().map(|queue| queue.expired))
    }
}

/// Where a message stands: the smallest leaves first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    urgency: Reverse<u8>,
    seq: u64,
}

#[derive(Debug)]
struct Queue {
    limits: QueueLimits,
    newest_per_key: bool,
    waiting: BTreeMap<Rank, Entry>,
    /// Where a key's message stands, when only the newest counts.
    places: HashMap<String, Rank>,
    bytes: usize,
    evicted: u64,
    replaced: u64,
    expired: u64,
}

impl Queue {
    fn new(class: MessageClass, limits: QueueLimits) -> Self {
        Self {
            limits,
            newest_per_key: class.handling().waiting == Waiting::NewestPerKey,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            bytes: 0,
            evicted: 0,
            replaced: 0,
            expired: 0,
        }
    }

    fn insert(&mut self, mut entry: Entry) {
        let mut rank = Rank { urgency: Reverse(entry.envelope.priority), seq: entry.seq };
        let stored = entry.row.is_some();
        if self.newest_per_key && !stored {
            let key = entry.envelope.replacement_key();
            if let Some(&place) = self.places.get(key) {
                self.replaced += 1;
                if place.seq > entry.seq {
                    return;
                }
                // The newer one inherits the turn: a key that changes often must not starve.
                rank.seq = place.seq;
                if let Some(older) = self.remove(place) {
                    entry.since = older.since;
                }
            }
            self.places.insert(entry.envelope.replacement_key().to_owned(), rank);
        }
        self.bytes += bytes(&entry.envelope);
        self.waiting.insert(rank, Entry { seq: rank.seq, ..entry });
        while !stored && (self.waiting.len() > self.limits.messages || self.bytes > self.limits.bytes) {
            let Some(rank) = self.least_important() else { break };
            self.remove(rank);
            self.evicted += 1;
        }
    }

    fn take(&mut self, acknowledged: bool, now: Time, expired: &mut Vec<RowId>) -> Option<Entry> {
        loop {
            let (&rank, entry) = self.waiting.first_key_value()?;
            if entry.envelope.qos > Qos::AtMostOnce && !acknowledged {
                return None;
            }
            let mut entry = self.remove(rank)?;
            if let Some(deadline) = entry.deadline {
                if now >= deadline {
                    self.expired += 1;
                    expired.extend(entry.row);
                    continue;
                }
                entry.envelope.expiry = Some(deadline.since(now));
            }
            return Some(entry);
        }
    }

    /// The next track whose last message is at least `interval` ago.
    fn take_paced(
        &mut self,
        interval: Duration,
        last_left: &mut HashMap<String, Time>,
        now: Time,
    ) -> Option<Entry> {
        loop {
            let due = |(_, entry): &(&Rank, &Entry)| turn(entry, interval, last_left) <= now;
            let rank = *self.waiting.iter().find(due)?.0;
            let mut entry = self.remove(rank)?;
            if entry.deadline.is_some_and(|deadline| now >= deadline) {
                self.expired += 1;
                continue;
            }
            entry.since = turn(&entry, interval, last_left);
            if last_left.len() >= self.limits.messages {
                last_left.retain(|_, left| now.since(*left) < interval);
            }
            last_left.insert(entry.envelope.replacement_key().to_owned(), now);
            return Some(entry);
        }
    }

    fn of_priority(&self, priority: u8) -> usize {
        let rank = |seq| Rank { urgency: Reverse(priority), seq };
        // A range is counted by walking it; the window is small.
        self.waiting.range(rank(0)..=rank(u64::MAX)).count()
    }

    /// The oldest of the lowest priority.
    fn least_important(&self) -> Option<Rank> {
        let (last, _) = self.waiting.last_key_value()?;
        let from = Rank { urgency: last.urgency, seq: 0 };
        self.waiting.range(from..).next().map(|(rank, _)| *rank)
    }

    fn remove(&mut self, rank: Rank) -> Option<Entry> {
        let entry = self.waiting.remove(&rank)?;
        self.bytes -= bytes(&entry.envelope);
        if self.newest_per_key && entry.row.is_none() {
            self.places.remove(entry.envelope.replacement_key());
        }
        Some(entry)
    }
}

/// When a track may leave at the earliest.
fn turn(entry: &Entry, interval: Duration, last_left: &HashMap<String, Time>) -> Time {
    let left = last_left.get(entry.envelope.replacement_key());
    left.map_or(entry.since, |left| entry.since.max(*left + interval))
}

fn bytes(envelope: &Envelope) -> usize {
    envelope.topic.len() + envelope.payload.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const NOW: Time = Time { mono_ns: 1_000_000_000, epoch_ms: 1_000 };

    fn envelope(class: MessageClass, topic: &str, priority: u8) -> Envelope {
        Envelope { priority, ..Envelope::new(class, topic, "{}") }
    }

    fn queues(messages: usize) -> Queues {
        let limits = QueueLimits { messages, bytes: 1_000 };
        Queues::new(WaitingLimits { all: limits, newest: limits, tracks: limits })
    }

    const KEPT: [MessageClass; 3] = [MessageClass::Event, MessageClass::Presence, MessageClass::Track];

    fn take(queues: &mut Queues) -> Option<Entry> {
        queues.take(true, NOW, &mut Vec::new())
    }

    fn topics(queues: &mut Queues) -> Vec<String> {
        std::iter::from_fn(|| take(queues)).map(|entry| entry.envelope.topic).collect()
    }

    #[test]
    fn events_leave_before_presence_and_presence_before_tracks() {
        let mut queues = queues(10);
        queues.push(envelope(MessageClass::Track, "t", 9), None, NOW);
        queues.push(envelope(MessageClass::Presence, "p", 0), None, NOW);
        queues.push(envelope(MessageClass::Event, "low", 1), None, NOW);
        queues.push(envelope(MessageClass::Event, "high", 3), None, NOW);
        queues.push(envelope(MessageClass::Event, "high too", 3), None, NOW);
        assert_eq!(topics(&mut queues), ["high", "high too", "low", "p", "t"]);
    }

    #[test]
    fn overflow_evicts_the_lowest_priority_and_the_oldest_of_it_and_counts() {
        let mut queues = queues(3);
        for (topic, priority) in [("a", 2), ("b", 1), ("c", 1), ("d", 3), ("e", 2)] {
            queues.push(envelope(MessageClass::Event, topic, priority), None, NOW);
        }
        assert_eq!(queues.evicted().get(MessageClass::Event), 2);
        queues.push(envelope(MessageClass::Event, "lower than all", 0), None, NOW);
        assert_eq!(queues.evicted().get(MessageClass::Event), 3);
        assert_eq!(topics(&mut queues), ["d", "a", "e"]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut queues = queues(10);
        for topic in ["a", "b", "c"] {
            let mut event = envelope(MessageClass::Event, topic, 0);
            event.payload = Bytes::from(vec![b'x'; 400]);
            queues.push(event, None, NOW);
        }
        let mut huge = envelope(MessageClass::Track, "huge", 0);
        huge.payload = Bytes::from(vec![b'x'; 1_001]);
        queues.push(huge, None, NOW);
        assert_eq!(queues.evicted().get(MessageClass::Event), 1);
        assert_eq!(queues.evicted().get(MessageClass::Track), 1);
        assert_eq!(topics(&mut queues), ["b", "c"]);
    }

    #[test]
    fn the_newest_track_replaces_the_older_and_keeps_its_turn() {
        let mut queues = queues(10);
        queues.push(envelope(MessageClass::Track, "1", 0), None, NOW);
        queues.push(envelope(MessageClass::Track, "2", 0), None, NOW);
        let newest =
            Envelope { payload: Bytes::from_static(b"new"), ..envelope(MessageClass::Track, "1", 0) };
        queues.push(newest.clone(), None, NOW);
        assert_eq!(take(&mut queues).map(|entry| entry.envelope), Some(newest));
        assert_eq!(queues.replaced().get(MessageClass::Track), 1);
        assert_eq!(topics(&mut queues), ["2"]);
    }

    #[test]
    fn what_is_given_back_does_not_push_out_a_newer_one_on_its_topic() {
        let mut queues = queues(10);
        queues.push(envelope(MessageClass::Presence, "status", 0), None, NOW);
        let older = take(&mut queues).unwrap();
        let newest = Envelope { payload: Bytes::from_static(b"new"), ..older.envelope.clone() };
        queues.push(newest.clone(), None, NOW);
        queues.restore(older);
        assert_eq!(take(&mut queues).map(|entry| entry.envelope), Some(newest));
        assert!(queues.is_empty());
    }

    #[test]
    fn a_closed_window_lets_only_unacknowledged_messages_out() {
        let mut queues = queues(10);
        queues.push(envelope(MessageClass::Event, "e", 0), None, NOW);
        queues.push(envelope(MessageClass::Track, "t", 0), None, NOW);
        assert_eq!(
            queues.take(false, NOW, &mut Vec::new()).map(|entry| entry.envelope.topic),
            Some("t".to_owned())
        );
        assert_eq!(queues.take(false, NOW, &mut Vec::new()), None);
    }

    #[test]
    fn what_waited_too_long_is_dropped_and_counted_and_the_rest_knows_what_is_left_of_its_time() {
        let mut queues = queues(10);
        queues.push(envelope(MessageClass::Track, "1", 0), None, NOW);
        queues.push(envelope(MessageClass::Track, "2", 0), None, NOW + Duration::from_secs(2));
        let entry = queues.take(true, NOW + Duration::from_secs(4), &mut Vec::new()).unwrap();
        assert_eq!(
            (entry.envelope.topic.as_str(), entry.envelope.expiry),
            ("2", Some(Duration::from_secs(1)))
        );
        assert_eq!(queues.expired().get(MessageClass::Track), 1);
    }

    #[test]
    fn on_a_slow_link_each_track_leaves_less_often_and_as_it_is_then() {
        let mut queues = queues(10);
        let at = |ms| NOW + Duration::from_millis(ms);
        queues.track_sent(NOW, at(1_000));
        assert_eq!(queues.track_rate_hz(), 5);
        let mut left = Vec::new();
        for tick in 10..=20 {
            let now = at(tick * 100);
            for topic in ["1", "2"] {
                queues.push(envelope(MessageClass::Track, topic, 0), None, now);
            }
            queues.push(envelope(MessageClass::Event, "e", 0), None, now);
            while let Some(entry) = queues.take(true, now, &mut Vec::new()) {
                left.push((tick, entry.envelope.topic));
            }
        }
        let of =
            |topic: &str| left.iter().filter(|(_, t)| t == topic).map(|(tick, _)| *tick).collect::<Vec<_>>();
        assert_eq!((of("1"), of("2")), (vec![10, 12, 14, 16, 18, 20], vec![10, 12, 14, 16, 18, 20]));
        assert_eq!(of("e").len(), 11);
        queues.push(envelope(MessageClass::Track, "1", 0), None, at(2_000));
        assert_eq!(queues.next_turn(), Some(at(2_200)));
    }

    #[test]
    fn rows_of_the_store_are_neither_evicted_nor_replaced_here_and_their_expiry_is_told() {
        let mut queues = queues(2);
        let vote = |topic: &str| envelope(MessageClass::Vote, topic, 3);
        for row in 1..=3 {
            queues.push(vote("same"), Some(RowId(row)), NOW);
        }
        assert_eq!((queues.queued().total(), queues.evicted().total()), (3, 0));
        assert_eq!(queues.room(MessageClass::Vote, 3), ROWS_MAX - 3);
        assert_eq!(queues.room(MessageClass::Vote, 4), ROWS_MAX);
        let mut expired = Vec::new();
        assert_eq!(queues.take(true, NOW + Duration::from_hours(1), &mut expired), None);
        assert_eq!(expired, [RowId(1), RowId(2), RowId(3)]);
    }

    proptest! {
        #[test]
        fn every_message_is_waiting_taken_replaced_or_counted(
            steps in prop::collection::vec((0..3_usize, 0..6_u8, 0..4_u8, any::<bool>()), 0..200),
        ) {
            let mut queues = queues(5);
            let (mut pushed, mut taken, mut held) = (0, 0, Vec::new());
            for (class, topic, priority, takes) in steps {
                if takes {
                    if let Some(entry) = take(&mut queues) {
                        if topic % 2 == 0 { taken += 1 } else { held.push(entry) }
                    } else if let Some(entry) = held.pop() {
                        queues.restore(entry);
                    }
                } else {
                    queues.push(envelope(KEPT[class], &topic.to_string(), priority), None, NOW);
                    pushed += 1;
                }
                let queued = queues.queued();
                prop_assert!(queued.iter().all(|(_, count)| count <= 5));
                let accounted = queued.total() + queues.evicted().total() + queues.replaced().total();
                prop_assert_eq!(accounted + taken + held.len() as u64, pushed);
            }
        }

        #[test]
        fn events_leave_by_priority_and_then_by_age(priorities in prop::collection::vec(0..4_u8, 0..30)) {
            let mut queues = queues(100);
            for priority in &priorities {
                queues.push(envelope(MessageClass::Event, "e", *priority), None, NOW);
            }
            let left: Vec<_> = std::iter::from_fn(|| take(&mut queues))
                .map(|entry| (Reverse(entry.envelope.priority), entry.seq))
                .collect();
            prop_assert_eq!(left.len(), priorities.len());
            prop_assert!(left.is_sorted());
        }
    }
}
