//! Segments in memory, with what a power cut does to them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::log::Disk;

/// Room that a new file has, in bytes: enough for a test to see that it reads as zeros.
const ROOM_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct FakeDisk {
    inner: Arc<Mutex<Fake>>,
}

#[derive(Debug, Default)]
struct Fake {
    files: BTreeMap<u32, FakeFile>,
    head: u32,
    set_aside: HashMap<String, Vec<u8>>,
    /// Nothing can be written.
    full: bool,
    /// Nothing is answered until it ends.
    hangs: bool,
}

#[derive(Debug, Default)]
struct FakeFile {
    bytes: Vec<u8>,
    /// How many of them were written.
    written: usize,
    /// How many of those are safe.
    safe: usize,
}

impl FakeFile {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[offset..end].copy_from_slice(bytes);
        self.written = self.written.max(end);
    }
}

impl Fake {
    fn writable(&self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn head(&mut self) -> &mut FakeFile {
        self.files.get_mut(&self.head).unwrap()
    }
}

impl FakeDisk {
    fn lock(&self) -> MutexGuard<'_, Fake> {
        self.inner.lock().unwrap()
    }

    /// Of what was not synced a part survives, perhaps damaged.
    pub(super) fn cut_the_power(&self, mut survives: impl FnMut(usize) -> usize) {
        let mut fake = self.lock();
        for file in fake.files.values_mut() {
            let kept = survives(file.written - file.safe);
            file.bytes[file.safe + kept..file.written].fill(0);
            if kept > 3 && survives(2) == 0 {
                file.bytes[file.safe + kept / 2] ^= 0x55;
            }
            (file.written, file.safe) = (file.safe + kept, file.safe + kept);
        }
        fake.full = false;
    }

    pub(super) fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// A write that is begun ends only when it hangs no longer.
    pub(super) fn hang(&self, hangs: bool) {
        self.lock().hangs = hangs;
    }

    pub(super) fn files(&self) -> usize {
        self.lock().files.len()
    }

    pub(super) fn bytes(&self, segment: u32) -> Vec<u8> {
        self.lock().files[&segment].bytes.clone()
    }

    pub(super) fn written(&self, segment: u32) -> usize {
        self.lock().files[&segment].written
    }

    /// Writes past everybody, into a file that need not be there.
    pub(super) fn overwrite(&self, segment: u32, offset: usize, bytes: &[u8]) {
        self.lock().files.entry(segment).or_default().write(offset, bytes);
    }

    pub(super) fn flip(&self, segment: u32, offset: usize) {
        self.lock().files.get_mut(&segment).unwrap().bytes[offset] ^= 1;
    }

    pub(super) fn aside(&self, name: &str) -> Vec<u8> {
        self.lock().set_aside[name].clone()
    }
}

impl Disk for FakeDisk {
    fn list(&mut self) -> io::Result<Vec<u32>> {
        Ok(self.lock().files.keys().copied().collect())
    }

    fn read(&mut self, segment: u32) -> io::Result<Vec<u8>> {
        Ok(self.bytes(segment))
    }

    fn read_at(&mut self, segment: u32, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        Ok(self.lock().files[&segment].bytes[offset as usize..(offset + length) as usize].to_vec())
    }

    fn create(&mut self, segment: u32, bytes: u32) -> io::Result<()> {
        let mut fake = self.lock();
        fake.writable()?;
        fake.head = segment;
        let room = vec![0; ROOM_BYTES.min(bytes as usize)];
        fake.files.insert(segment, FakeFile { bytes: room, ..FakeFile::default() });
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let mut fake = self.lock();
        let writable = fake.writable();
        // Of what does not fit, a half is there.
        let fits = if writable.is_ok() { bytes.len() } else { bytes.len() / 2 };
        fake.head().write(offset as usize, &bytes[..fits]);
        writable
    }

    fn sync(&mut self) -> io::Result<()> {
        while self.lock().hangs {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let mut fake = self.lock();
        fake.writable()?;
        let head = fake.head();
        head.safe = head.written;
        Ok(())
    }

    fn is_in_place(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn truncate(&mut self, segment: u32, length: u32) -> io::Result<()> {
        let mut fake = self.lock();
        let file = fake.files.get_mut(&segment).unwrap();
        let length = length as usize;
        file.bytes.truncate(length);
        (file.written, file.safe) = (file.written.min(length), file.safe.min(length));
        Ok(())
    }

    fn delete(&mut self, segment: u32) -> io::Result<()> {
        self.lock().files.remove(&segment).unwrap();
        Ok(())
    }

    fn set_aside(&mut self, segment: u32, why: &str) -> io::Result<String> {
        let mut fake = self.lock();
        let file = fake.files.remove(&segment).unwrap();
        let name = format!("{segment}.{why}");
        fake.set_aside.insert(name.clone(), file.bytes);
        Ok(name)
    }
}
