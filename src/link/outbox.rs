//! What waits to be sent, in memory.
//!
//! One bounded queue per message class. Tracks and presence keep the newest per topic; events keep
//! all. Events leave before presence, presence before tracks; within a class the higher priority
//! first, then the older. When a queue is over its messages or its bytes, the lowest priority goes
//! first, the oldest of it first, and is counted: nothing is lost silently.
//!
//! Pure. What was taken is the taker's until it gives it back with [`Outbox::restore`], to the place
//! it had. What waits here ends with the process.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::model::{Envelope, MessageClass, Qos};

/// Classes in the order in which they leave.
pub(super) const CLASSES: [MessageClass; 3] =
    [MessageClass::Event, MessageClass::Presence, MessageClass::Track];

/// One number per message class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerClass([u64; CLASSES.len()]);

impl PerClass {
    /// The number of one class.
    pub fn get(&self, class: MessageClass) -> u64 {
        self.0[index(class)]
    }

    /// The sum over the classes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn add(&mut self, class: MessageClass, count: u64) {
        self.0[index(class)] += count;
    }
}

fn index(class: MessageClass) -> usize {
    match class {
        MessageClass::Event => 0,
        MessageClass::Presence => 1,
        MessageClass::Track => 2,
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

/// The bounds of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Waiting events.
    pub events: QueueLimits,
    /// Waiting presence, the newest per topic.
    pub presence: QueueLimits,
    /// Waiting tracks, the newest per topic.
    pub tracks: QueueLimits,
}

impl Default for OutboxLimits {
    /// An hour of events at one every 3.6 s; five times the tracks that a camera publishes at once.
    fn default() -> Self {
        Self {
            events: QueueLimits { messages: 1_000, bytes: 4 << 20 },
            presence: QueueLimits { messages: 16, bytes: 1 << 20 },
            tracks: QueueLimits { messages: 256, bytes: 1 << 20 },
        }
    }
}

/// A message that was taken out, with the place it had.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Rises by one with every message pushed.
    pub(super) seq: u64,
    /// The message.
    pub(super) envelope: Envelope,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox {
    queues: [Queue; CLASSES.len()],
    last_seq: u64,
}

impl Outbox {
    /// An empty one.
    pub(super) fn new(limits: OutboxLimits) -> Self {
        let queues = CLASSES.map(|class| match class {
            MessageClass::Event => Queue::new(limits.events, false),
            MessageClass::Presence => Queue::new(limits.presence, true),
            MessageClass::Track => Queue::new(limits.tracks, true),
        });
        Self { queues, last_seq: 0 }
    }

    /// The number that marks a message as newer than all before.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// A new message waits.
    pub(super) fn push(&mut self, envelope: Envelope) {
        let seq = self.next_seq();
        self.queues[index(envelope.class)].insert(Entry { seq, envelope });
    }

    /// What was taken and did not arrive waits again, where it was; a newer one on its topic, where
    /// only the newest counts, has its place.
    pub(super) fn restore(&mut self, entry: Entry) {
        self.queues[index(entry.envelope.class)].insert(entry);
    }

    /// The next to leave. With `acknowledged` false only a message of `QoS` 0 may, because no more
    /// acknowledgements can be waited for.
    pub(super) fn take(&mut self, acknowledged: bool) -> Option<Entry> {
        self.queues.iter_mut().find_map(|queue| queue.take(acknowledged))
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// How many wait.
    pub(super) fn queued(&self) -> PerClass {
        PerClass(self.queues.each_ref().map(|queue| queue.waiting.len() as u64))
    }

    /// How many were evicted since the start.
    pub(super) fn evicted(&self) -> PerClass {
        PerClass(self.queues.each_ref().map(|queue| queue.evicted))
    }

    /// How many gave way to a newer one on their topic since the start.
    pub(super) fn replaced(&self) -> PerClass {
        PerClass(self.queues.each_ref().map(|queue| queue.replaced))
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
    newest_per_topic: bool,
    waiting: BTreeMap<Rank, Envelope>,
    /// Where a topic's message stands, when only the newest counts.
    places: HashMap<String, Rank>,
    bytes: usize,
    evicted: u64,
    replaced: u64,
}

impl Queue {
    fn new(limits: QueueLimits, newest_per_topic: bool) -> Self {
        Self {
            limits,
            newest_per_topic,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            bytes: 0,
            evicted: 0,
            replaced: 0,
        }
    }

    fn insert(&mut self, Entry { seq, envelope }: Entry) {
        let mut rank = Rank { urgency: Reverse(envelope.priority), seq };
        if let Some(&place) = self.places.get(&envelope.topic) {
            self.replaced += 1;
            if place.seq > seq {
                return;
            }
            // The newer one inherits the turn: a topic that changes often must not starve.
            rank.seq = place.seq;
            self.remove(place);
        }
        self.bytes += bytes(&envelope);
        if self.newest_per_topic {
            self.places.insert(envelope.topic.clone(), rank);
        }
        self.waiting.insert(rank, envelope);
        while self.waiting.len() > self.limits.messages || self.bytes > self.limits.bytes {
            let Some(rank) = self.least_important() else { break };
            self.remove(rank);
            self.evicted += 1;
        }
    }

    fn take(&mut self, acknowledged: bool) -> Option<Entry> {
        let (&rank, envelope) = self.waiting.first_key_value()?;
        if envelope.qos > Qos::AtMostOnce && !acknowledged {
            return None;
        }
        self.remove(rank).map(|envelope| Entry { seq: rank.seq, envelope })
    }

    /// The oldest of the lowest priority.
    fn least_important(&self) -> Option<Rank> {
        let (last, _) = self.waiting.last_key_value()?;
        let from = Rank { urgency: last.urgency, seq: 0 };
        self.waiting.range(from..).next().map(|(rank, _)| *rank)
    }

    fn remove(&mut self, rank: Rank) -> Option<Envelope> {
        let envelope = self.waiting.remove(&rank)?;
        self.bytes -= bytes(&envelope);
        if self.newest_per_topic {
            self.places.remove(&envelope.topic);
        }
        Some(envelope)
    }
}

fn bytes(envelope: &Envelope) -> usize {
    envelope.topic.len() + envelope.payload.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::model::ContentType;

    fn envelope(class: MessageClass, topic: &str, priority: u8) -> Envelope {
        Envelope {
            topic: topic.to_owned(),
            payload: Bytes::from_static(b"{}"),
            content_type: ContentType::Json,
            class,
            qos: if class == MessageClass::Track { Qos::AtMostOnce } else { Qos::AtLeastOnce },
            retain: false,
            priority,
        }
    }

    fn outbox(messages: usize) -> Outbox {
        let limits = QueueLimits { messages, bytes: 1_000 };
        Outbox::new(OutboxLimits { events: limits, presence: limits, tracks: limits })
    }

    fn topics(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.take(true)).map(|entry| entry.envelope.topic).collect()
    }

    #[test]
    fn events_leave_before_presence_and_presence_before_tracks() {
        let mut outbox = outbox(10);
        outbox.push(envelope(MessageClass::Track, "t", 9));
        outbox.push(envelope(MessageClass::Presence, "p", 0));
        outbox.push(envelope(MessageClass::Event, "low", 1));
        outbox.push(envelope(MessageClass::Event, "high", 3));
        outbox.push(envelope(MessageClass::Event, "high too", 3));
        assert_eq!(topics(&mut outbox), ["high", "high too", "low", "p", "t"]);
    }

    #[test]
    fn overflow_evicts_the_lowest_priority_and_the_oldest_of_it_and_counts() {
        let mut outbox = outbox(3);
        for (topic, priority) in [("a", 2), ("b", 1), ("c", 1), ("d", 3), ("e", 2)] {
            outbox.push(envelope(MessageClass::Event, topic, priority));
        }
        assert_eq!(outbox.evicted().get(MessageClass::Event), 2);
        outbox.push(envelope(MessageClass::Event, "lower than all", 0));
        assert_eq!(outbox.evicted().get(MessageClass::Event), 3);
        assert_eq!(topics(&mut outbox), ["d", "a", "e"]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut outbox = outbox(10);
        for topic in ["a", "b", "c"] {
            let mut event = envelope(MessageClass::Event, topic, 0);
            event.payload = Bytes::from(vec![b'x'; 400]);
            outbox.push(event);
        }
        let mut huge = envelope(MessageClass::Track, "huge", 0);
        huge.payload = Bytes::from(vec![b'x'; 1_001]);
        outbox.push(huge);
        assert_eq!(outbox.evicted().get(MessageClass::Event), 1);
        assert_eq!(outbox.evicted().get(MessageClass::Track), 1);
        assert_eq!(topics(&mut outbox), ["b", "c"]);
    }

    #[test]
    fn the_newest_track_replaces_the_older_and_keeps_its_turn() {
        let mut outbox = outbox(10);
        outbox.push(envelope(MessageClass::Track, "1", 0));
        outbox.push(envelope(MessageClass::Track, "2", 0));
        let newest =
            Envelope { payload: Bytes::from_static(b"new"), ..envelope(MessageClass::Track, "1", 0) };
        outbox.push(newest.clone());
        assert_eq!(outbox.take(true).map(|entry| entry.envelope), Some(newest));
        assert_eq!(outbox.replaced().get(MessageClass::Track), 1);
        assert_eq!(topics(&mut outbox), ["2"]);
    }

    #[test]
    fn what_is_given_back_does_not_push_out_a_newer_one_on_its_topic() {
        let mut outbox = outbox(10);
        outbox.push(envelope(MessageClass::Presence, "status", 0));
        let older = outbox.take(true).unwrap();
        let newest = Envelope { payload: Bytes::from_static(b"new"), ..older.envelope.clone() };
        outbox.push(newest.clone());
        outbox.restore(older);
        assert_eq!(outbox.take(true).map(|entry| entry.envelope), Some(newest));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_closed_window_lets_only_unacknowledged_messages_out() {
        let mut outbox = outbox(10);
        outbox.push(envelope(MessageClass::Event, "e", 0));
        outbox.push(envelope(MessageClass::Track, "t", 0));
        assert_eq!(outbox.take(false).map(|entry| entry.envelope.topic), Some("t".to_owned()));
        assert_eq!(outbox.take(false), None);
    }

    proptest! {
        #[test]
        fn every_message_is_waiting_taken_replaced_or_counted(
            steps in prop::collection::vec((0..3_usize, 0..6_u8, 0..4_u8, any::<bool>()), 0..200),
        ) {
            let mut outbox = outbox(5);
            let (mut pushed, mut taken, mut held) = (0, 0, Vec::new());
            for (class, topic, priority, take) in steps {
                if take {
                    if let Some(entry) = outbox.take(true) {
                        if topic % 2 == 0 { taken += 1 } else { held.push(entry) }
                    } else if let Some(entry) = held.pop() {
                        outbox.restore(entry);
                    }
                } else {
                    outbox.push(envelope(CLASSES[class], &topic.to_string(), priority));
                    pushed += 1;
                }
                let queued = outbox.queued();
                prop_assert!(CLASSES.iter().all(|class| queued.get(*class) <= 5));
                let accounted = queued.total() + outbox.evicted().total() + outbox.replaced().total();
                prop_assert_eq!(accounted + taken + held.len() as u64, pushed);
            }
        }

        #[test]
        fn events_leave_by_priority_and_then_by_age(priorities in prop::collection::vec(0..4_u8, 0..30)) {
            let mut outbox = outbox(100);
            for priority in &priorities {
                outbox.push(envelope(MessageClass::Event, "e", *priority));
            }
            let left: Vec<_> = std::iter::from_fn(|| outbox.take(true))
                .map(|entry| (Reverse(entry.envelope.priority), entry.seq))
                .collect();
            prop_assert_eq!(left.len(), priorities.len());
            prop_assert!(left.is_sorted());
        }
    }
}
