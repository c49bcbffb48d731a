//! The state folder: on a real disk, and on one that a test stops.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::ids::UNSAVED_FROM;
use super::*;
use crate::base::Readers;
use folder::Hold;

const NOW: Time = Time { mono_ns: 0, epoch_ms: 1_800_000_000_000 };

fn open(dir: &Path) -> Store {
    Store::open(dir, NOW).unwrap()
}

/// Waits until it is so: a few looks at the disk at most.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A disk that a test stops, and that may fail.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Held>, Condvar)>);

/// Whether it hangs, whether it fails, and what was written.
type Held = (bool, bool, Vec<u8>);

impl Gate {
    fn set(&self, hangs: bool, fails: bool) {
        let mut inner = self.0.0.lock().unwrap();
        (inner.0, inner.1) = (hangs, fails);
        self.0.1.notify_all();
    }

    fn state(&self) -> Saved {
        serde_json::from_slice(&self.0.0.lock().unwrap().2).unwrap()
    }
}

impl Disk for Gate {
    fn hold(&mut self) -> io::Result<Hold> {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |inner| inner.0).unwrap());
        Ok(Hold::Same)
    }

    fn read(&mut self, _: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn rename(&mut self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, name: &str, bytes: &[u8], _: Readers) -> io::Result<()> {
        self.hold()?;
        // A full disk fails where it is written, not before.
        if self.0.0.lock().unwrap().1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if name == "state.json" {
            self.0.0.lock().unwrap().2 = bytes.to_vec();
        }
        Ok(())
    }
}

#[test]
fn ids_are_never_given_twice_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for start in 0..3 {
        let now = Time { epoch_ms: NOW.epoch_ms + 5_000 * start, ..NOW };
        let store = Store::open(dir.path(), now).unwrap();
        let (mut tracks, mut events) = (store.track_ids(), store.event_ids());
        for _ in 0..1_500 {
            assert!(seen.insert(("track", tracks.next_id())) && seen.insert(("event", events.next_id())));
        }
        assert!(!store.is_degraded());
    }
}

#[test]
fn an_id_is_given_only_when_its_range_is_on_the_disk() {
    let disk = Gate::default();
    let store = Store::start(disk.clone(), NOW, WRITE_BOUND).unwrap();
    let mut ids = store.event_ids();
    let mut reserved = 0;
    // The disk is full when the next range is wanted, and when this one ends.
    disk.set(false, true);
    for number in 0..3_000 {
        let id = ids.next_id();
        assert!(id >= UNSAVED_FROM || id < disk.state().next_event_id, "{id} is not on the disk");
        reserved += u32::from(id < UNSAVED_FROM);
        if number == 600 {
            until("the write of the next range fails", || store.is_degraded());
        }
    }
    assert!(reserved > 0);
    disk.set(false, false);
    until("the failure ends", || !store.is_degraded());
}

#[test]
fn a_disk_that_hangs_holds_up_no_id_is_named_and_costs_the_end_no_more_than_its_bound() {
    let disk = Gate::default();
    disk.set(true, false);
    let began = Instant::now();
    let store = Store::start(disk.clone(), NOW, Duration::from_millis(50)).unwrap();
    let (mut ids, mut seen) = (store.track_ids(), BTreeSet::new());
    for _ in 0..2_000 {
        assert!(seen.insert(ids.next_id()));
    }
    assert!(began.elapsed() < WRITE_BOUND);
    until("named", || store.is_degraded());
    assert_eq!(store.save("a", b"1", Duration::from_millis(20)), Err("the disk does not answer".into()));
    disk.set(false, false);
    until("the failure ends", || !store.is_degraded());
    assert_eq!(store.save("a", b"2", WRITE_BOUND), Ok(()));
    disk.set(true, false);
    let _ = store.save("a", b"3", Duration::ZERO);
    let ends = Instant::now();
    drop((store, ids));
    assert!(ends.elapsed() < 2 * END_WITHIN);
    disk.set(false, false);
}

#[test]
fn a_folder_that_is_deleted_or_replaced_is_noticed_and_made_again_with_all_that_is_known() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = open(&dir);
    let mut ids = store.track_ids();
    let first = ids.next_id();
    store.save("settings.json", b"{}", WRITE_BOUND).unwrap();
    store.keep("key", b"secret");
    for replaced in [false, true] {
        fs::rename(&dir, root.path().join(format!("old-{replaced}"))).unwrap();
        if replaced {
            fs::create_dir(&dir).unwrap();
        }
        until("made again", || dir.join("settings.json").exists() && dir.join("key").exists());
        // A turn that began before the folder went fails; the next one makes it again.
        until("named, and no failure left", || store.was_lost() && !store.is_degraded());
        fs::remove_file(dir.join("state.json")).ok();
        until("made again", || dir.join("state.json").exists());
    }
    drop((store, ids));
    assert!(open(&dir).track_ids().next_id() > first);
}

#[test]
fn a_folder_that_another_part_writes_into_is_named_when_it_is_deleted_and_when_it_cant_be_used() {
    let root = tempfile::tempdir().unwrap();
    let (store, other) = (open(&root.path().join("state")), root.path().join("other"));
    store.look_after(other.clone());
    until("taken", || other.exists());
    until("a look", || !store.is_degraded());
    assert!(!store.was_lost());
    fs::remove_dir_all(&other).unwrap();
    until("lost", || store.was_lost());
    until("made again", || other.exists() && !store.is_degraded());
    fs::rename(&other, root.path().join("gone")).unwrap();
    fs::write(&other, b"").unwrap();
    until("named", || store.is_degraded());
    fs::remove_file(&other).unwrap();
    until("the failure ends", || !store.is_degraded());
}

#[test]
fn a_folder_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = Store::open(dir.path(), NOW).err().unwrap().to_string();
    assert!(error.contains("in use by another") && error.contains(dir.path().to_str().unwrap()), "{error}");
    drop(store);
    assert!(!open(dir.path()).is_degraded());
}

#[test]
fn the_boot_time_rises_even_when_the_clock_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).boot_ms();
    let second = Store::open(dir.path(), Time { epoch_ms: 5, ..NOW }).unwrap().boot_ms();
    assert!(second > first);
}

#[test]
fn a_corrupt_file_is_set_aside_and_its_ids_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state.json"), b"{\"next_tr").unwrap();
    let first = open(dir.path()).track_ids().next_id();
    assert!(first >= UNSAVED_FROM);
    assert_eq!(fs::read(dir.path().join("state.json.corrupt")).unwrap(), b"{\"next_tr");
    let store = open(dir.path());
    assert!(!store.is_degraded() && store.track_ids().next_id() > first);
}

#[test]
fn ids_that_can_be_read_but_not_reserved_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = open(dir.path()).track_ids().next_id();
    // A folder where the new file should be: the state can be read, and never written.
    fs::create_dir(dir.path().join("state.json.new")).unwrap();
    let later = |seconds: u64| Time { epoch_ms: NOW.epoch_ms + 1000 * seconds, ..NOW };
    for start in 1..4 {
        let store = Store::open(dir.path(), later(start * 60)).unwrap();
        assert!(store.is_degraded());
        let id = store.track_ids().next_id();
        assert!(id > last, "{id} after {last}");
        last = id;
    }
    fs::remove_dir(dir.path().join("state.json.new")).unwrap();
    let store = Store::open(dir.path(), later(600)).unwrap();
    assert!(!store.is_degraded() && store.track_ids().next_id() < UNSAVED_FROM);
}

#[test]
fn where_nothing_can_be_written_the_camera_goes_on_and_says_so_until_something_can() {
    let dir = tempfile::tempdir().unwrap();
    let not_a_dir = dir.path().join("file");
    fs::write(&not_a_dir, b"").unwrap();
    let store = open(&not_a_dir.join("state"));
    assert!(store.is_degraded());
    let mut ids = store.track_ids();
    assert_ne!(ids.next_id(), ids.next_id());
    fs::remove_file(&not_a_dir).unwrap();
    until("the failure ends", || !store.is_degraded());
}
