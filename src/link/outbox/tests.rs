//! The store beside a model, through power cuts and full disks; and on a real disk.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fake::FakeDisk;
use super::*;
use crate::base::{ManualClock, SystemClock};

const ROOMY: OutboxLimits = OutboxLimits {
    stored: QueueLimits { messages: 100_000, bytes: 64 << 20 },
    in_memory: QueueLimits { messages: 10_000, bytes: 8 << 20 },
};

fn at(milliseconds: u64) -> Time {
    Time { mono_ns: milliseconds * 1_000_000, epoch_ms: milliseconds }
}

fn event(topic: impl Into<String>, priority: u8) -> Envelope {
    Envelope { priority, ..Envelope::new(MessageClass::Event, topic, "{}") }
}

/// The store without its thread, on a disk that can be cut off.
struct Bench {
    disk: FakeDisk,
    index: Mutex<Index>,
    keeper: Keeper<FakeDisk>,
    limits: OutboxLimits,
    now: Time,
}

impl Bench {
    fn new(limits: OutboxLimits) -> Self {
        let disk = FakeDisk::default();
        let (index, keeper) = Self::opened(&disk, limits);
        Self { disk, index, keeper, limits, now: at(1) }
    }

    fn opened(disk: &FakeDisk, limits: OutboxLimits) -> (Mutex<Index>, Keeper<FakeDisk>) {
        let index = Mutex::new(Index::new(limits, vec![LinkId::of("a"), LinkId::of("b")]));
        let opened = disk.clone();
        let mut keeper = Keeper::new(move || Ok(opened.clone()));
        keeper.open(&index, at(1)).unwrap();
        (index, keeper)
    }

    fn put(&mut self, envelope: Envelope, links: u16) {
        lock(&self.index).put(envelope, links, self.now);
    }

    fn commit(&mut self) -> bool {
        let done = self.keeper.commit(&self.index, self.now, false).is_ok();
        lock(&self.index).set_disk_fails(!done);
        done
    }

    /// Takes what there is, and reads what must be read first.
    fn take(&mut self, slot: usize) -> Vec<(RowId, Envelope)> {
        let mut all = Vec::new();
        loop {
            let mut taken = Taken::default();
            lock(&self.index).take(slot, self.now, |_, _| 1_000, &mut taken);
            all.append(&mut taken.rows);
            if taken.loads.is_empty() {
                return all;
            }
            for id in taken.loads {
                let envelope = self.keeper.load(&self.index, id);
                lock(&self.index).loaded(id, envelope);
            }
        }
    }

    fn topics(&mut self, slot: usize) -> Vec<String> {
        self.take(slot).into_iter().map(|(_, envelope)| envelope.topic).collect()
    }

    fn settle(&mut self, slot: usize, id: RowId) {
        lock(&self.index).settle(slot, id, Outcome::Acknowledged, self.now);
    }

    fn cut_the_power(&mut self, survives: impl FnMut(usize) -> usize) {
        self.disk.cut_the_power(survives);
        (self.index, self.keeper) = Self::opened(&self.disk, self.limits);
    }

    fn counters(&self) -> OutboxCounters {
        lock(&self.index).counters()
    }
}

#[test]
fn a_message_is_sent_only_when_it_is_committed() {
    let mut bench = Bench::new(ROOMY);
    bench.put(event("e", 0), 0b01);
    assert_eq!(bench.topics(0), [""; 0]);
    bench.commit();
    assert_eq!(bench.counters().committed, 1);
    assert_eq!(bench.topics(0), ["e"]);
    assert_eq!(bench.topics(1), [""; 0]);
}

#[test]
fn what_was_committed_and_not_settled_is_sent_again_in_order_after_a_power_cut() {
    let mut bench = Bench::new(ROOMY);
    for number in 0..5 {
        bench.put(event(number.to_string(), 0), 0b01);
    }
    bench.put(event("grave", 3), 0b01);
    bench.commit();
    let taken = bench.take(0);
    bench.settle(0, taken[2].0);
    bench.commit();
    bench.put(event("too late", 0), 0b01);
    bench.cut_the_power(|_| 0);
    assert_eq!(bench.topics(0), ["grave", "0", "2", "3", "4"]);
}

#[test]
fn a_row_goes_when_every_link_that_carries_it_has_settled_it() {
    let mut bench = Bench::new(ROOMY);
    bench.put(event("e", 0), 0b11);
    bench.commit();
    let first = bench.take(0);
    bench.settle(0, first[0].0);
    bench.commit();
    bench.cut_the_power(|_| 0);
    assert_eq!(bench.topics(0), [""; 0]);
    let second = bench.take(1);
    bench.settle(1, second[0].0);
    assert_eq!((bench.counters().settled, lock(&bench.index).queued().total()), (1, 0));
}

#[test]
fn rows_of_a_link_that_is_no_longer_configured_are_given_up_and_counted() {
    let mut bench = Bench::new(ROOMY);
    bench.put(event("e", 0), 0b10);
    bench.put(event("both", 0), 0b11);
    bench.commit();
    let index = Mutex::new(Index::new(ROOMY, vec![LinkId::of("a")]));
    let disk = bench.disk.clone();
    Keeper::new(move || Ok(disk.clone())).open(&index, at(1)).unwrap();
    let index = index.into_inner().unwrap();
    assert_eq!((index.counters().orphaned, index.queued().total()), (1, 1));
}

#[test]
fn a_link_that_is_dismissed_while_running_leaves_its_rows_to_the_others_and_its_place_to_another() {
    let mut bench = Bench::new(ROOMY);
    bench.put(event("b alone", 0), 0b10);
    bench.put(event("both", 0), 0b11);
    bench.commit();
    {
        let mut index = lock(&bench.index);
        index.give_up_link(1);
        assert_eq!((index.counters().orphaned, index.queued().total()), (1, 1));
        index.set_link(1, LinkId::of("c"));
    }
    assert_eq!(bench.topics(1), [""; 0]);
    bench.put(event("c", 0), 0b10);
    bench.commit();
    assert_eq!((bench.topics(0), bench.topics(1)), (vec!["both".to_owned()], vec!["c".to_owned()]));
    // With a and b again: nothing is left for b, and c is not known.
    bench.cut_the_power(|_| 0);
    assert_eq!((bench.topics(0), bench.topics(1)), (vec!["both".to_owned()], vec![]));
    assert_eq!(bench.counters().orphaned, 1);
}

#[test]
fn beyond_the_bounds_the_lowest_and_oldest_goes_and_is_counted_and_named_until_there_is_room() {
    let stored = QueueLimits { messages: 10, bytes: 64 << 10 };
    let mut bench = Bench::new(OutboxLimits { stored, ..ROOMY });
    for number in 0..10 {
        bench.put(event(number.to_string(), u8::from(number == 0)), 0b01);
    }
    assert!(!lock(&bench.index).is_full());
    bench.put(event("new", 0), 0b01);
    bench.put(Envelope::new(MessageClass::Vote, "a vote gives way to an event", "{}"), 0b01);
    assert!(lock(&bench.index).is_full());
    assert_eq!(bench.counters().evicted.get(MessageClass::Event), 1);
    assert_eq!(bench.counters().evicted.get(MessageClass::Vote), 1);
    bench.commit();
    let taken = bench.take(0);
    assert_eq!(taken.iter().map(|(_, e)| e.topic.as_str()).collect::<String>(), "023456789new");
    for (id, _) in &taken {
        bench.settle(0, *id);
    }
    assert!(!lock(&bench.index).is_full());
}

#[test]
fn on_a_full_disk_messages_are_sent_from_memory_within_its_bounds_and_written_when_there_is_room() {
    let in_memory = QueueLimits { messages: 3, bytes: 64 << 10 };
    let mut bench = Bench::new(OutboxLimits { in_memory, ..ROOMY });
    bench.disk.fill(true);
    for number in 0..4 {
        bench.put(event(number.to_string(), 0), 0b01);
    }
    assert!(!bench.commit());
    assert_eq!(bench.counters().evicted.total(), 1);
    assert_eq!(bench.topics(0), ["1", "2", "3"]);
    bench.disk.fill(false);
    assert!(bench.commit());
    assert_eq!(bench.counters().committed, 3);
    bench.cut_the_power(|_| 0);
    assert_eq!(bench.topics(0), ["1", "2", "3"]);
}

#[test]
fn a_newer_set_of_weights_replaces_the_older() {
    let mut bench = Bench::new(ROOMY);
    for payload in ["1", "2"] {
        bench.put(Envelope::new(MessageClass::Weights, "models/a/weights", payload), 0b01);
        bench.commit();
    }
    bench.cut_the_power(|_| 0);
    bench.put(Envelope::new(MessageClass::Weights, "models/a/weights", "3"), 0b01);
    bench.commit();
    let taken = bench.take(0);
    assert_eq!((taken.len(), &taken[0].1.payload[..]), (1, b"3".as_slice()));
    assert_eq!(bench.counters().replaced, 1);
}

#[test]
fn an_applications_word_is_waited_for_and_the_message_sent_again_until_it_comes() {
    let mut bench = Bench::new(ROOMY);
    let key = Some("m-1".to_owned());
    bench.put(Envelope { key, ..Envelope::new(MessageClass::FleetDetection, "d", "{}") }, 0b01);
    bench.commit();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let taken = bench.take(0);
        assert_eq!(taken.len(), 1);
        bench.settle(0, taken[0].0);
        assert_eq!(bench.take(0), []);
        let wake = lock(&bench.index).next_wake(0).unwrap();
        waits.push(wake.since(bench.now).as_secs());
        bench.now = wake;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
    let acknowledged = [(); 2].map(|()| lock(&bench.index).acknowledge("m-1"));
    assert_eq!(acknowledged, [true, false]);
    bench.commit();
    bench.cut_the_power(|_| 0);
    assert_eq!(bench.topics(0), [""; 0]);
}

#[test]
fn a_vote_expires_by_its_age_over_a_restart_and_a_clock_that_went_back_does_not_matter() {
    for (restart_ms, left) in [(1 + 9 * 60_000, 1), (1 + 11 * 60_000, 0), (0, 1)] {
        let mut bench = Bench::new(ROOMY);
        bench.put(Envelope::new(MessageClass::Vote, "v", "{}"), 0b01);
        bench.commit();
        let index = Mutex::new(Index::new(ROOMY, vec![LinkId::of("a")]));
        let disk = bench.disk.clone();
        let now = Time { mono_ns: 5, epoch_ms: restart_ms };
        Keeper::new(move || Ok(disk.clone())).open(&index, now).unwrap();
        let mut taken = Taken::default();
        lock(&index).take(0, now, |_, _| 9, &mut taken);
        assert_eq!(taken.loads.len(), left, "{restart_ms}");
        assert_eq!(lock(&index).counters().expired, 1 - left as u64);
    }
}

#[test]
fn a_link_that_starts_anew_is_given_again_what_it_did_not_settle() {
    let mut bench = Bench::new(ROOMY);
    for topic in ["a", "b"] {
        bench.put(event(topic, 0), 0b01);
    }
    bench.commit();
    let taken = bench.take(0);
    bench.settle(0, taken[0].0);
    assert_eq!(bench.topics(0), [""; 0]);
    lock(&bench.index).reset(0);
    assert_eq!(bench.topics(0), ["b"]);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u16),
    Commit,
    Take(usize),
    Settle(usize, usize),
    Restart(usize),
    CutThePower(u64),
    Fill(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4_u8, 1..4_u16).prop_map(|(priority, links)| Step::Put(priority, links)),
        3 => Just(Step::Commit),
        3 => (0..2_usize).prop_map(Step::Take),
        4 => (0..2_usize, any::<usize>()).prop_map(|(slot, which)| Step::Settle(slot, which)),
        1 => (0..2_usize).prop_map(Step::Restart),
        1 => any::<u64>().prop_map(Step::CutThePower),
        1 => any::<bool>().prop_map(Step::Fill),
    ];
    prop::collection::vec(step, 0..150)
}

/// What must be true of every message.
#[derive(Default)]
struct Model {
    /// Links that have yet to settle it, and whether it was committed.
    rows: BTreeMap<String, (u16, bool)>,
    /// With a link, and not settled.
    held: [Vec<(RowId, String)>; 2],
    disk_failed: bool,
}

impl Model {
    fn take(&mut self, slot: usize, taken: Vec<(RowId, Envelope)>) -> Result<(), TestCaseError> {
        let mut seen = BTreeSet::new();
        for (id, envelope) in taken {
            let known = self.rows.get(&envelope.topic);
            prop_assert!(seen.insert(id));
            // A settled row may come again after a power cut, but only one that was ever put.
            prop_assert!(known.is_some(), "{} was never put", envelope.topic);
            let committed = known.is_some_and(|(_, committed)| *committed);
            prop_assert!(committed || self.disk_failed, "{} was not committed", envelope.topic);
            self.held[slot].push((id, envelope.topic));
        }
        Ok(())
    }

    fn settle(&mut self, slot: usize, topic: &str) {
        if let Some((links, _)) = self.rows.get_mut(topic) {
            *links &= !(1 << slot);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_committed_is_lost_and_nothing_uncommitted_is_sent_whatever_happens(steps in steps()) {
        let mut bench = Bench::new(ROOMY);
        let mut model = Model::default();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(priority, links) => {
                    bench.put(event(number.to_string(), priority), links);
                    model.rows.insert(number.to_string(), (links, false));
                }
                Step::Commit => {
                    model.disk_failed = !bench.commit();
                    if !model.disk_failed {
                        model.rows.values_mut().for_each(|(_, committed)| *committed = true);
                    }
                }
                Step::Take(slot) => {
                    let taken = bench.take(slot);
                    model.take(slot, taken)?;
                }
                Step::Settle(slot, which) => {
                    if !model.held[slot].is_empty() {
                        let which = which % model.held[slot].len();
                        let (id, topic) = model.held[slot].swap_remove(which);
                        bench.settle(slot, id);
                        model.settle(slot, &topic);
                    }
                }
                Step::Restart(slot) => {
                    model.held[slot].clear();
                    lock(&bench.index).reset(slot);
                }
                Step::CutThePower(seed) => {
                    let mut seed = seed;
                    bench.cut_the_power(|bytes| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        if bytes == 0 { 0 } else { (seed >> 33) as usize % (bytes + 1) }
                    });
                    model.held = Default::default();
                    model.disk_failed = false;
                    // What was not committed may be there all the same, when all of it reached the disk.
                    let there: BTreeSet<_> = [0, 1].into_iter().flat_map(|slot| bench.topics(slot)).collect();
                    for slot in [0, 1] {
                        lock(&bench.index).reset(slot);
                    }
                    for (topic, (links, committed)) in &mut model.rows {
                        prop_assert!(!*committed || *links == 0 || there.contains(topic), "{topic} is lost");
                        *committed |= there.contains(topic);
                    }
                    model.rows.retain(|_, (_, committed)| *committed);
                }
                Step::Fill(full) => bench.disk.fill(full),
            }
        }
        bench.disk.fill(false);
        prop_assert!(bench.commit());
        for slot in [0, 1] {
            for (id, topic) in std::mem::take(&mut model.held[slot]) {
                bench.settle(slot, id);
                model.settle(slot, &topic);
            }
            for (id, envelope) in bench.take(slot) {
                bench.settle(slot, id);
                model.settle(slot, &envelope.topic);
            }
        }
        for (topic, (links, committed)) in &model.rows {
            prop_assert!(*links == 0 || !*committed, "{topic} was not sent everywhere");
        }
        prop_assert_eq!(lock(&bench.index).queued().total(), 0);
        bench.commit();
        bench.cut_the_power(|_| 0);
        prop_assert_eq!(lock(&bench.index).queued().total(), 0);
    }

    #[test]
    fn every_message_is_queued_settled_evicted_or_replaced_and_the_bounds_hold(
        puts in prop::collection::vec((0..3_usize, 0..4_u8, any::<bool>(), any::<bool>()), 0..120),
    ) {
        let limits = QueueLimits { messages: 20, bytes: 4_000 };
        let mut bench = Bench::new(OutboxLimits { stored: limits, in_memory: limits });
        let classes = [MessageClass::Event, MessageClass::Alert, MessageClass::Weights];
        let count = puts.len() as u64;
        for (class, priority, commits, settles) in puts {
            bench.put(Envelope { priority, ..Envelope::new(classes[class], "t", vec![b'x'; 40]) }, 0b01);
            if commits {
                bench.commit();
            }
            for (id, _) in if settles { bench.take(0) } else { Vec::new() } {
                bench.settle(0, id);
            }
            let queued = lock(&bench.index).queued().total();
            let bytes = lock(&bench.index).bytes();
            prop_assert!(queued <= 20 && bytes <= 4_000);
        }
        let counters = bench.counters();
        let gone = counters.settled + counters.evicted.total() + counters.replaced;
        let queued = lock(&bench.index).queued().total();
        prop_assert_eq!(queued + gone, count);
    }
}

fn options(dir: &std::path::Path) -> OutboxOptions {
    OutboxOptions { commit_delay: Duration::ZERO, ..OutboxOptions::new(dir.join("outbox")) }
}

fn open(dir: &std::path::Path) -> Outbox {
    Outbox::open(&options(dir), &["a"], Arc::new(SystemClock::new()))
}

/// Waits until a link is told that there is something, and takes it.
async fn next(rows: &Rows, wake: &Notify) -> Vec<(RowId, Envelope)> {
    loop {
        let taken = rows.take(at(0), |_, _| 100);
        if !taken.is_empty() {
            return taken;
        }
        let woken = tokio::time::timeout(Duration::from_secs(10), wake.notified()).await;
        assert!(woken.is_ok(), "no message wakes the link");
    }
}

#[tokio::test]
async fn on_a_real_disk_messages_survive_a_restart_and_one_process_has_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path());
    outbox.put(event("e", 0), 1);
    let rows = outbox.rows("a").unwrap();
    let wake = Arc::new(Notify::new());
    rows.attach(Arc::clone(&wake));
    assert_eq!(next(&rows, &wake).await[0].1, event("e", 0));
    assert!(open(dir.path()).status().failure.unwrap().contains("another process"));
    outbox.close(Duration::from_mins(1));
    drop((outbox, rows));
    let outbox = open(dir.path());
    let rows = outbox.rows("a").unwrap();
    rows.attach(Arc::clone(&wake));
    let taken = next(&rows, &wake).await;
    assert_eq!(taken[0].1, event("e", 0));
    rows.settle(taken[0].0, Outcome::Acknowledged, at(0));
    outbox.close(Duration::from_mins(1));
    drop((outbox, rows));
    assert_eq!(open(dir.path()).status().queued.total(), 0);
}

#[tokio::test]
async fn where_no_folder_can_be_made_messages_are_sent_from_memory_and_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("outbox"), b"").unwrap();
    let clock = Arc::new(ManualClock::new(at(0)));
    let outbox = Outbox::open(&options(dir.path()), &["a"], clock);
    outbox.put(event("e", 0), 1);
    let rows = outbox.rows("a").unwrap();
    let wake = Arc::new(Notify::new());
    rows.attach(Arc::clone(&wake));
    assert_eq!(next(&rows, &wake).await.len(), 1);
    let status = outbox.status();
    assert!(status.failure.is_some());
    assert_eq!(status.counters.committed, 0);
}

#[test]
fn a_link_that_closes_knows_what_is_still_on_its_way_to_the_disk_for_it_and_for_no_other() {
    let mut bench = Bench::new(ROOMY);
    let more = |bench: &Bench| [0, 1].map(|slot| lock(&bench.index).has_more(slot));
    bench.put(event("e", 0), 0b01);
    assert_eq!(more(&bench), [true, false]);
    bench.commit();
    assert_eq!(more(&bench), [true, false]);
    bench.take(0);
    assert_eq!(more(&bench), [false, false]);
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn while_the_disk_hangs_messages_leave_from_memory_and_it_is_named_until_it_answers() {
    let disk = FakeDisk::default();
    let opened = disk.clone();
    let clock = Arc::new(SystemClock::new());
    let (dir, bound) = (std::path::Path::new(""), Duration::from_millis(100));
    let outbox = Outbox::open_on(move || Ok(opened.clone()), &options(dir), &["a"], clock, bound);
    let rows = outbox.rows("a").unwrap();
    let wake = Arc::new(Notify::new());
    rows.attach(Arc::clone(&wake));
    disk.hang(true);
    for number in 0..3 {
        outbox.put(event(number.to_string(), 0), 1);
        let taken = next(&rows, &wake).await;
        assert_eq!(taken[0].1.topic, number.to_string());
        rows.settle(taken[0].0, Outcome::Acknowledged, at(0));
    }
    let status = outbox.status();
    assert_eq!(status.failure.as_deref(), Some("the disk does not answer"));
    assert!(status.busy_for > bound && status.counters.committed == 0, "{status:?}");
    disk.hang(false);
    until("it answers", || outbox.status().failure.is_none()).await;
    outbox.put(event("after", 0), 1);
    assert_eq!(next(&rows, &wake).await[0].1.topic, "after");
    until("committed", || outbox.status().counters.evicted.total() == 0).await;
    // A disk that hangs again does not hold up the end.
    disk.hang(true);
    outbox.put(event("last", 0), 1);
    let began = Instant::now();
    outbox.close(Duration::from_millis(50));
    assert!(began.elapsed() < Duration::from_secs(1));
    disk.hang(false);
}

#[tokio::test]
async fn a_disk_that_takes_long_time_after_time_is_slow_and_one_that_does_once_is_not() {
    let disk = FakeDisk::default();
    let opened = disk.clone();
    let (clock, dir) = (Arc::new(SystemClock::new()), std::path::Path::new(""));
    let outbox = Outbox::open_on(move || Ok(opened.clone()), &options(dir), &["a"], clock, WRITE_BOUND);
    for is_slow in [false, true] {
        let committed = outbox.status().counters.committed;
        disk.hang(true);
        outbox.put(event("e", 0), 1);
        until("a long turn", || outbox.status().busy_for > LONG_TURN).await;
        disk.hang(false);
        until("committed", || outbox.status().counters.committed > committed).await;
        until("its end", || outbox.status().busy_for.is_zero()).await;
        assert_eq!((outbox.status().slow, outbox.status().failure), (is_slow, None));
    }
}

#[tokio::test]
async fn after_a_long_turn_a_quiet_outbox_finds_out_by_itself_whether_the_disk_is_slow() {
    let disk = FakeDisk::default();
    let opened = disk.clone();
    let (clock, dir) = (Arc::new(SystemClock::new()), std::path::Path::new(""));
    let outbox = Outbox::open_on(move || Ok(opened.clone()), &options(dir), &["a"], clock, WRITE_BOUND);
    // It hangs before there is something to write, and nothing is written after that.
    disk.hang(true);
    outbox.put(event("e", 0), 1);
    for _ in 0..2 {
        disk.hang(true);
        until("a long turn", || outbox.status().busy_for > LONG_TURN).await;
        disk.hang(false);
        until("its end", || outbox.status().busy_for < LONG_TURN).await;
    }
    assert!(outbox.status().slow);
}

#[tokio::test]
async fn a_folder_that_is_deleted_or_replaced_is_noticed_and_what_it_held_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = open(dir.path());
    let big = || Envelope { payload: vec![b'x'; 100_000].into(), ..event("big", 0) };
    // More than is kept in memory beside the disk.
    for _ in 0..40 {
        outbox.put(big(), 1);
    }
    for replaced in [false, true] {
        let committed = || outbox.status().counters.committed;
        until("committed", || committed() >= 40).await;
        let folder = dir.path().join("outbox");
        std::fs::remove_dir_all(&folder).unwrap();
        if replaced {
            std::fs::create_dir(&folder).unwrap();
        }
        let lost = 1 + u64::from(replaced);
        until("noticed", || outbox.status().disk.lost == lost && outbox.status().lost).await;
        until("written again", || outbox.status().failure.is_none()).await;
        outbox.put(event("after", 0), 1);
        until("committed", || committed() == 40 + lost).await;
    }
    outbox.close(Duration::from_mins(1));
    drop(outbox);
    let outbox = open(dir.path());
    // A slow machine reads longer than the opening waits.
    until("read", || outbox.status().queued.total() == 42).await;
    assert_eq!(outbox.status().counters.unreadable, 0);
}

#[test]
fn what_every_link_has_in_hand_is_not_evicted_and_only_a_loss_counts_as_one() {
    let in_memory = QueueLimits { messages: 10, bytes: 64 << 10 };
    let mut bench = Bench::new(OutboxLimits { in_memory, ..ROOMY });
    bench.disk.fill(true);
    let mut delivered = Vec::new();
    for number in 0..14 {
        bench.put(event(number.to_string(), 0), 0b01);
        bench.commit();
        // The link takes eight and has no room for more.
        if number == 7 {
            delivered.extend(bench.take(0));
        }
    }
    assert_eq!((delivered.len(), bench.counters().evicted.total()), (8, 4));
    delivered.extend(bench.take(0));
    assert_eq!(delivered.len(), 10);
    for (id, _) in delivered {
        bench.settle(0, id);
    }
    assert_eq!((bench.counters().settled, bench.counters().evicted.total()), (10, 4));
}
