//! Which rows the store holds, in memory: what each is, where it is, and who has yet to send it.
//!
//! - A link sees a row when it is on the disk ([`Index::placed`]), never before. While the disk takes
//!   nothing ([`Index::set_disk_fails`]) rows are sent from memory.
//! - Each link has a cursor of its own over the same rows: what waits, in the order of leaving (class,
//!   priority, age), and what sleeps until it is sent again. A row goes when every link that carries it
//!   has sent it; where the application's own word counts, when that comes.
//! - Bounds: rows and bytes in all; rows and bytes that are not on the disk. Beyond them the least
//!   important goes (the last class, the lowest priority, the oldest), and is counted.
//! - Payloads are kept for rows that are not on the disk, and up to `RESIDENT_BYTES` beyond; the rest is
//!   read again when its turn comes ([`Taken::loads`]).
//!
//! What the disk must learn waits in a list until [`Index::fill`] takes it. Pure: no I/O, `now` is given.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::log::{Batch, Living, Place};
use super::queue::{PerClass, QueueLimits};
use super::row::Stored;
use super::{LinkId, RowId};
use crate::base::Time;
use crate::model::{Envelope, MessageClass, SettledBy, Waiting};

/// Links that may carry durable messages.
pub(in crate::link) const LINKS_MAX: usize = 16;
/// Payloads in memory of rows that are on the disk.
const RESIDENT_BYTES: usize = 2 << 20;
/// Rows read from the disk at once.
const LOADS_MAX: usize = 128;
/// What the disk must learn may be so long before it is cleared of what is gone.
const WRITES_MIN: usize = 1_024;
/// Bytes of a row in memory beside its envelope's own texts and payload: a round figure.
const ROW_BYTES: usize = 100;
/// The first wait for an application's word; each further one is twice as long.
const RESEND_FIRST: Duration = Duration::from_secs(10);
/// No such wait is longer.
const RESEND_MAX: Duration = Duration::from_mins(5);

/// The bounds of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Rows, and the bytes of their topics and payloads.
    pub stored: QueueLimits,
    /// The same of what is not on the disk: yet, or because the disk fails.
    pub in_memory: QueueLimits,
}

impl Default for OutboxLimits {
    /// A day of events at one every 0.9 s; ten minutes of a disk that fails.
    fn default() -> Self {
        Self {
            stored: QueueLimits { messages: 100_000, bytes: 64 << 20 },
            in_memory: QueueLimits { messages: 10_000, bytes: 8 << 20 },
        }
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounters {
    /// Messages on the disk: from here on they are not lost, whatever happens.
    pub committed: u64,
    /// Messages that every link has sent, or the application has acknowledged.
    pub settled: u64,
    /// Messages that a broker refused, or that were too large for it.
    pub given_up: u64,
    /// Messages for which there was no room.
    pub evicted: PerClass,
    /// Messages that gave way to a newer one of their key.
    pub replaced: u64,
    /// Messages that waited until they were no longer worth sending.
    pub expired: u64,
    /// Messages for links that are no longer configured.
    pub orphaned: u64,
    /// Messages that could not be read again.
    pub unreadable: u64,
}

/// What became of a row on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::link) enum Outcome {
    /// The broker has it.
    Acknowledged,
    /// It will never be sent: refused by the broker, too large for it, or too old.
    GivenUp,
}

/// What a link may send now.
#[derive(Debug, Default)]
pub(in crate::link) struct Taken {
    pub(in crate::link) rows: Vec<(RowId, Envelope)>,
    /// To be read from the disk first; [`Index::loaded`] brings them.
    pub(in crate::link) loads: Vec<RowId>,
}

/// The order of leaving: the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: MessageClass,
    urgency: Reverse<u8>,
    id: RowId,
}

/// The order of eviction: the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    class: Reverse<MessageClass>,
    priority: u8,
    id: RowId,
}

#[derive(Debug)]
struct Row {
    class: MessageClass,
    priority: u8,
    /// A bit for each link that has yet to send it.
    links: u16,
    /// A bit for each link that was given it and has not settled it yet.
    held: u16,
    tries: u8,
    loading: bool,
    /// The links know of it.
    shown: bool,
    bytes: u32,
    put_ms: u64,
    deadline: Option<Time>,
    place: Option<Place>,
    envelope: Option<Box<Envelope>>,
    /// Kept where a key matters.
    key: Option<Box<str>>,
}

impl Row {
    fn rank(&self, id: RowId) -> Rank {
        Rank { class: self.class, urgency: Reverse(self.priority), id }
    }

    fn worth(&self, id: RowId) -> Worth {
        Worth { class: Reverse(self.class), priority: self.priority, id }
    }
}

#[derive(Debug, Default)]
struct Cursor {
    waiting: BTreeSet<Rank>,
    asleep: BTreeSet<(Time, RowId)>,
}

/// What the disk must learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Put(RowId),
    Done(RowId, LinkId),
    Gone(RowId),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    limits: OutboxLimits,
    links: Vec<LinkId>,
    cursors: Vec<Cursor>,
    rows: BTreeMap<RowId, Row>,
    by_worth: BTreeSet<Worth>,
    /// Those that are not on the disk.
    unplaced: BTreeSet<Worth>,
    keys: HashMap<(MessageClass, Box<str>), RowId>,
    writes: Vec<Write>,
    /// What of it is being written, or was and failed.
    filled: Vec<Write>,
    released: Vec<Place>,
    last_id: u64,
    bytes: usize,
    unplaced_bytes: usize,
    resident_bytes: usize,
    disk_fails: bool,
    full: bool,
    queued: PerClass,
    counters: OutboxCounters,
}

impl Index {
    /// An empty one for these links, [`LINKS_MAX`] at most.
    pub(super) fn new(limits: OutboxLimits, links: Vec<LinkId>) -> Self {
        Self {
            limits,
            cursors: links.iter().map(|_| Cursor::default()).collect(),
            links,
            rows: BTreeMap::new(),
            by_worth: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            keys: HashMap::new(),
            writes: Vec::new(),
            filled: Vec::new(),
            released: Vec::new(),
            last_id: 0,
            bytes: 0,
            unplaced_bytes: 0,
            resident_bytes: 0,
            disk_fails: false,
            full: false,
            queued: PerClass::default(),
            counters: OutboxCounters::default(),
        }
    }

    /// Rows get ids above this from now on.
    pub(super) fn start_ids_at(&mut self, id: u64) {
        self.last_id = self.last_id.max(id);
    }

    /// Takes in what an opening of the disk found. Rows of links that are gone are given up; those that are known
    /// stay as they are.
    pub(super) fn recover(&mut self, rows: BTreeMap<RowId, Living>, now: Time) {
        for (id, living) in rows {
            if self.rows.contains_key(&id) {
                self.released.push(living.place);
                continue;
            }
            self.last_id = self.last_id.max(id.0);
            let links = self.mask(&living.links);
            let row = Row {
                class: living.class,
                priority: living.priority,
                links,
                held: 0,
                tries: 0,
                loading: false,
                shown: false,
                bytes: living.place.bytes,
                put_ms: living.put_ms,
                deadline: living.expiry.map(|expiry| {
                    // A clock that went back counts as no time at all, and so does one that was never set then.
                    let put = Time { epoch_ms: living.put_ms, ..now };
                    let put_ms = if now.is_set() && !put.is_set() { now.epoch_ms } else { living.put_ms };
                    let age = Duration::from_millis(now.epoch_ms.saturating_sub(put_ms));
                    now + expiry.saturating_sub(age)
                }),
                place: Some(living.place),
                envelope: None,
                key: living.key,
            };
            self.insert(id, row);
            if links == 0 {
                self.counters.orphaned += 1;
                self.remove(id);
            } else {
                self.show(id);
            }
        }
        self.evict();
    }

    /// Takes a message for these links (indices of the list given to [`Index::new`], as bits).
    pub(super) fn put(&mut self, envelope: Envelope, links: u16, now: Time) {
        self.last_id += 1;
        let id = RowId(self.last_id);
        let key = key_of(&envelope);
        if envelope.class.handling().waiting == Waiting::NewestPerKey
            && let Some(key) = &key
            && let Some(&older) = self.keys.get(&(envelope.class, Box::clone(key)))
        {
            self.counters.replaced += 1;
            self.remove(older);
        }
        let row = Row {
            class: envelope.class,
            priority: envelope.priority,
            links,
            held: 0,
            tries: 0,
            loading: false,
            shown: false,
            bytes: (ROW_BYTES + envelope.topic.len() + envelope.payload.len()) as u32,
            put_ms: now.epoch_ms,
            deadline: envelope.expiry.map(|expiry| now + expiry),
            place: None,
            envelope: Some(Box::new(envelope)),
            key,
        };
        self.insert(id, row);
        self.writes.push(Write::Put(id));
        // While the disk fails messages come and go without it.
        if self.writes.len() > 2 * self.rows.len() + WRITES_MIN {
            let rows = &self.rows;
            self.writes.retain(|write| !matches!(write, Write::Put(id) if !rows.contains_key(id)));
        }
        if self.disk_fails {
            self.show(id);
        }
        self.evict();
    }

    /// Fills a batch with what the disk must learn, until [`Index::placed`] once more with what came since. The
    /// places that are no longer wanted are added to `released`.
    pub(super) fn fill(&mut self, batch: &mut Batch, released: &mut Vec<Place>) {
        released.append(&mut self.released);
        self.filled.append(&mut self.writes);
        self.filled.retain(|write| !matches!(write, Write::Put(id) if !self.rows.contains_key(id)));
        for write in &self.filled {
            match *write {
                Write::Put(id) => {
                    if let Some(row) = self.rows.get(&id)
                        && let Some(envelope) = &row.envelope
                    {
                        let links = self.link_ids(row.links);
                        let envelope = Envelope::clone(envelope);
                        batch.put(id, &Stored { links, put_ms: row.put_ms, envelope });
                    }
                }
                Write::Done(id, link) => batch.done(id, link),
                Write::Gone(id) => batch.gone(id),
            }
        }
    }

    /// What was filled in is on the disk.
    pub(super) fn written(&mut self) {
        self.filled.clear();
    }

    /// Rows are at these places now.
    pub(super) fn placed(&mut self, places: &[(RowId, Place)]) {
        for &(id, place) in places {
            let Some(row) = self.rows.get_mut(&id) else {
                // It went while it was written; that must be written too.
                self.counters.committed += 1;
                self.released.push(place);
                self.writes.push(Write::Gone(id));
                continue;
            };
            row.place = Some(place);
            self.counters.committed += 1;
            let (worth, bytes) = (row.worth(id), row.bytes as usize);
            if self.resident_bytes + bytes > RESIDENT_BYTES {
                row.envelope = None;
            } else {
                self.resident_bytes += bytes;
            }
            self.unplaced.remove(&worth);
            self.unplaced_bytes -= bytes;
            self.show(id);
        }
    }

    /// The disk takes nothing, or takes again. While it does not, rows are sent from memory.
    pub(super) fn set_disk_fails(&mut self, fails: bool) {
        self.disk_fails = fails;
        if fails {
            let unplaced: Vec<_> = self.unplaced.iter().map(|worth| worth.id).collect();
            for id in unplaced {
                self.show(id);
            }
        }
    }

    /// What this link may send now, its next first; `room` says how many of a class and priority.
    pub(super) fn take(
        &mut self,
        slot: usize,
        now: Time,
        mut room: impl FnMut(MessageClass, u8) -> usize,
        taken: &mut Taken,
    ) {
        self.wake(slot, now);
        let mut expired = Vec::new();
        let Self { cursors, rows, resident_bytes, disk_fails, .. } = self;
        let Some(cursor) = cursors.get_mut(slot) else { return };
        let mut group = cursor.waiting.first().copied();
        while let Some(first) = group {
            let last = Rank { id: RowId(u64::MAX), ..first };
            let mut left = room(first.class, first.urgency.0);
            let mut given = Vec::new();
            let mut reads_ahead = false;
            for rank in cursor.waiting.range(first..=last) {
                if left == 0 || taken.loads.len() >= LOADS_MAX {
                    break;
                }
                let Some(row) = rows.get_mut(&rank.id) else { continue };
                left -= 1;
                if row.deadline.is_some_and(|deadline| now >= deadline) {
                    expired.push(rank.id);
                    continue;
                }
                match &row.envelope {
                    None => {
                        // Those behind it must not overtake it; they are read along with it. A disk that fails
                        // may not bring it at all.
                        reads_ahead = !*disk_fails;
                        if !row.loading {
                            row.loading = true;
                            taken.loads.push(rank.id);
                        }
                    }
                    Some(_) if reads_ahead => {}
                    Some(_) => {
                        if let Some(envelope) = give(row, resident_bytes, now) {
                            taken.rows.push((rank.id, envelope));
                        }
                        row.held |= 1 << slot;
                        given.push(*rank);
                    }
                }
            }
            for rank in &given {
                cursor.waiting.remove(rank);
            }
            let after = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            group = cursor.waiting.range(after).next().copied();
        }
        for id in expired {
            self.counters.expired += 1;
            self.remove(id);
        }
    }

    /// A row was read from the disk; none: it is damaged.
    pub(super) fn loaded(&mut self, id: RowId, envelope: Option<Envelope>) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.loading = false;
        match envelope {
            Some(envelope) if row.envelope.is_none() => {
                row.envelope = Some(Box::new(envelope));
                self.resident_bytes += row.bytes as usize;
            }
            Some(_) => {}
            None => {
                self.counters.unreadable += 1;
                self.remove(id);
            }
        }
    }

    /// What became of a row on one link.
    pub(super) fn settle(&mut self, slot: usize, id: RowId, outcome: Outcome, now: Time) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        let by_application = row.class.handling().settled_by == SettledBy::Application;
        if by_application && outcome == Outcome::Acknowledged {
            let wait = (RESEND_FIRST * (1 << row.tries.min(10))).min(RESEND_MAX);
            row.tries = row.tries.saturating_add(1);
            row.held &= !(1 << slot);
            self.cursors[slot].asleep.insert((now + wait, id));
            return;
        }
        row.links &= !(1 << slot);
        let (placed, left) = (row.place.is_some(), row.links);
        if left == 0 {
            match outcome {
                Outcome::Acknowledged => self.counters.settled += 1,
                Outcome::GivenUp => self.counters.given_up += 1,
            }
            self.remove(id);
        } else if placed {
            self.writes.push(Write::Done(id, self.links[slot]));
        }
    }

    /// An application has the message with this key; whether there was one.
    pub(super) fn acknowledge(&mut self, key: &str) -> bool {
        let by_application = |class: &MessageClass| class.handling().settled_by == SettledBy::Application;
        let mut classes = MessageClass::ALL.into_iter().filter(by_application);
        let found = classes.find_map(|class| self.keys.get(&(class, key.into())).copied());
        if let Some(id) = found {
            self.counters.settled += 1;
            self.remove(id);
        }
        found.is_some()
    }

    /// A link starts anew: what it was given and did not settle waits again.
    pub(super) fn reset(&mut self, slot: usize) {
        let Some(cursor) = self.cursors.get_mut(slot) else { return };
        cursor.asleep.clear();
        self.rows.values_mut().for_each(|row| row.held &= !(1 << slot));
        let carried = self.rows.iter().filter(|(_, row)| row.shown && row.links >> slot & 1 == 1);
        cursor.waiting = carried.map(|(id, row)| row.rank(*id)).collect();
    }

    /// The link at this position is this one from now on; nothing waits for it yet.
    pub(super) fn set_link(&mut self, slot: usize, link: LinkId) {
        while self.links.len() <= slot {
            self.links.push(link);
            self.cursors.push(Cursor::default());
        }
        self.links[slot] = link;
    }

    /// The link at this position is gone: what only it had yet to send goes.
    pub(super) fn give_up_link(&mut self, slot: usize) {
        let Some(cursor) = self.cursors.get_mut(slot) else { return };
        *cursor = Cursor::default();
        let carried = self.rows.iter_mut().filter(|(_, row)| row.links >> slot & 1 == 1);
        let mut orphans = Vec::new();
        for (&id, row) in carried {
            row.links &= !(1 << slot);
            match (row.links, row.place) {
                (0, _) => orphans.push(id),
                (_, Some(_)) => self.writes.push(Write::Done(id, self.links[slot])),
                (_, None) => {}
            }
        }
        // No link has an empty name: what a later opening finds for the one that is gone, nobody waits for.
        self.links[slot] = LinkId::of("");
        self.counters.orphaned += orphans.len() as u64;
        for id in orphans {
            self.remove(id);
        }
    }

    /// When a sleeping row of this link wakes.
    pub(super) fn next_wake(&self, slot: usize) -> Option<Time> {
        self.cursors.get(slot)?.asleep.first().map(|(time, _)| *time)
    }

    /// Where a row is now.
    pub(super) fn place_of(&self, id: RowId) -> Option<Place> {
        self.rows.get(&id)?.place
    }

    /// Whether a link has something that it was not given yet.
    pub(super) fn is_waiting(&self, slot: usize) -> bool {
        self.cursors.get(slot).is_some_and(|cursor| !cursor.waiting.is_empty())
    }

    /// Whether there is something for a link that it was not given yet, on the disk or on its way there.
    pub(super) fn has_more(&self, slot: usize) -> bool {
        let for_it = |row: &Row| !row.shown && row.links >> slot & 1 == 1;
        self.is_waiting(slot)
            || self.unplaced.iter().any(|worth| self.rows.get(&worth.id).is_some_and(for_it))
    }

    /// Rows that were on the disk before are at these places now.
    pub(super) fn moved(&mut self, places: &[(RowId, Place)]) {
        for &(id, place) in places {
            if let Some(row) = self.rows.get_mut(&id) {
                self.released.extend(row.place.replace(place));
            } else {
                self.released.push(place);
                self.writes.push(Write::Gone(id));
            }
        }
    }

    /// Every row that is on the disk, where it is, and the links that have yet to send it.
    pub(super) fn placed_rows(&self) -> Vec<(RowId, Place, Vec<LinkId>)> {
        let placed = self.rows.iter().filter_map(|(id, row)| Some((*id, row.place?, row.links)));
        placed.map(|(id, place, links)| (id, place, self.link_ids(links))).collect()
    }

    /// A row's message, when it is in memory.
    pub(super) fn resident(&self, id: RowId) -> Option<(u64, Envelope)> {
        let row = self.rows.get(&id)?;
        Some((row.put_ms, Envelope::clone(row.envelope.as_ref()?)))
    }

    /// The links that have yet to send a row, if it is at this place.
    pub(super) fn links_at(&self, id: RowId, place: Place) -> Option<Vec<LinkId>> {
        self.rows.get(&id).filter(|row| row.place == Some(place)).map(|row| self.link_ids(row.links))
    }

    /// There was no room for a message, and there is still little.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Rows of each class.
    pub(super) fn queued(&self) -> PerClass {
        self.queued
    }

    /// Bytes of all rows.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was counted.
    pub(super) fn counters(&self) -> OutboxCounters {
        self.counters
    }

    fn wake(&mut self, slot: usize, now: Time) {
        let Some(cursor) = self.cursors.get_mut(slot) else { return };
        while let Some(&(time, id)) = cursor.asleep.first().filter(|(time, _)| *time <= now) {
            cursor.asleep.remove(&(time, id));
            cursor.waiting.extend(self.rows.get(&id).map(|row| row.rank(id)));
        }
    }

    fn insert(&mut self, id: RowId, row: Row) {
        self.bytes += row.bytes as usize;
        self.queued.add(row.class, 1);
        self.by_worth.insert(row.worth(id));
        if row.place.is_none() {
            self.unplaced.insert(row.worth(id));
            self.unplaced_bytes += row.bytes as usize;
        }
        if let Some(key) = &row.key {
            self.keys.insert((row.class, Box::clone(key)), id);
        }
        self.rows.insert(id, row);
    }

    fn show(&mut self, id: RowId) {
        let Some(row) = self.rows.get_mut(&id).filter(|row| !row.shown) else { return };
        row.shown = true;
        let (rank, links) = (row.rank(id), row.links);
        for (slot, cursor) in self.cursors.iter_mut().enumerate() {
            if links >> slot & 1 == 1 {
                cursor.waiting.insert(rank);
            }
        }
    }

    fn remove(&mut self, id: RowId) {
        let Some(row) = self.rows.remove(&id) else { return };
        let (worth, rank, bytes) = (row.worth(id), row.rank(id), row.bytes as usize);
        self.bytes -= bytes;
        self.queued.sub(row.class, 1);
        self.by_worth.remove(&worth);
        for cursor in &mut self.cursors {
            cursor.waiting.remove(&rank);
        }
        if let Some(key) = row.key {
            let key = (row.class, key);
            if self.keys.get(&key) == Some(&id) {
                self.keys.remove(&key);
            }
        }
        if let Some(place) = row.place {
            self.resident_bytes -= row.envelope.map_or(0, |_| bytes);
            self.released.push(place);
            self.writes.push(Write::Gone(id));
        } else {
            self.unplaced.remove(&worth);
            self.unplaced_bytes -= bytes;
        }
        let OutboxLimits { stored, in_memory } = self.limits;
        let roomy = |held: usize, limit: usize| held <= limit - limit / 10;
        self.full &= !(roomy(self.rows.len(), stored.messages)
            && roomy(self.bytes, stored.bytes)
            && roomy(self.unplaced.len(), in_memory.messages)
            && roomy(self.unplaced_bytes, in_memory.bytes));
    }

    fn evict(&mut self) {
        let OutboxLimits { stored, in_memory } = self.limits;
        loop {
            let unplaced = self.unplaced.len() > in_memory.messages || self.unplaced_bytes > in_memory.bytes;
            let all = self.rows.len() > stored.messages || self.bytes > stored.bytes;
            // What every link has in hand is bounded there, and leaves: to evict it here would lose nothing.
            let is_needed =
                |worth: &&Worth| self.rows.get(&worth.id).is_some_and(|row| row.links & !row.held != 0);
            let least = match (unplaced, all) {
                (true, _) => self.unplaced.iter().find(is_needed),
                (_, true) => self.by_worth.iter().find(is_needed),
                _ => return,
            };
            let Some(&Worth { class, id, .. }) = least else { return };
            self.counters.evicted.add(class.0, 1);
            self.remove(id);
            self.full = true;
        }
    }

    fn mask(&self, links: &[LinkId]) -> u16 {
        let known = self.links.iter().enumerate().filter(|(_, link)| links.contains(link));
        known.fold(0, |mask, (slot, _)| mask | 1 << slot)
    }

    fn link_ids(&self, mask: u16) -> Vec<LinkId> {
        let carries = |slot: &usize| mask >> slot & 1 == 1;
        (0..self.links.len()).filter(carries).map(|slot| self.links[slot]).collect()
    }
}

/// The message, with what is left of its time. Moved out when it can be read again and nobody else needs
/// it.
fn give(row: &mut Row, resident_bytes: &mut usize, now: Time) -> Option<Envelope> {
    let mut envelope = if row.place.is_some() && row.links.is_power_of_two() {
        *resident_bytes -= row.bytes as usize;
        *row.envelope.take()?
    } else {
        Envelope::clone(row.envelope.as_ref()?)
    };
    if let Some(deadline) = row.deadline {
        envelope.expiry = Some(deadline.since(now));
    }
    Some(envelope)
}

/// The key by which a message is replaced or acknowledged, where one matters.
pub(super) fn key_of(envelope: &Envelope) -> Option<Box<str>> {
    let handling = envelope.class.handling();
    match handling.waiting {
        Waiting::NewestPerKey => Some(envelope.replacement_key().into()),
        Waiting::All if handling.settled_by == SettledBy::Application => {
            envelope.key.as_deref().map(Into::into)
        }
        Waiting::All => None,
    }
}
