//! The store's files: a log in segments, written at its end alone.
//!
//! A segment is a header and records; a record is its length, a CRC-32, its kind, a row's id and a body.
//! `Put` brings a row, `Done` takes one link off it, `Gone` takes the row away. A batch is one write and
//! one sync, and ends with a `Seal`, which says how long it is. Room for a whole segment is taken from the
//! disk when it is begun, and reads as zeros: a sync then has no new size to write down, and waits for
//! nobody else's. Segments are deleted from the oldest on, and only when nothing in them is wanted, so a `Done`
//! or `Gone` always outlives the `Put` that it speaks of. When dead bytes outweigh living ones, the oldest
//! segment's living rows are moved to the end ([`Log::clean`]).
//!
//! - *Torn*, by a power cut: what can't be read behind the last seal of the last segment. It was never
//!   accepted; it is dropped, and counted.
//! - *Damaged*: what can't be read anywhere else. The rest is kept, in a new segment, and the file is set
//!   aside under its name with `.corrupt-<ms>` added.
//! - A segment of a newer format: all are set aside with `.newer-<ms>` added, and nothing of them is read.
//! - What can't be written leaves the files as they were.
//!
//! Why not a database: measured with 400-byte rows on ext4, `redb` 3.1 wrote 20.5 kB for each event that
//! is committed alone and 1.6 kB in commits of 25, this log 4.5 kB (one page) and 0.6 kB. Flash wears out.
//!
//! No I/O of its own: [`Disk`] does it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::index::key_of;
use super::row::{self, Stored};
use super::{LinkId, RowId};
use crate::model::{Envelope, MessageClass};

/// A segment that is longer is not written to any more.
pub(super) const SEGMENT_BYTES: u32 = 1 << 20;
/// Dead bytes that are always borne.
const DEAD_BYTES_MIN: u64 = 4 * SEGMENT_BYTES as u64;
/// What a segment begins with: a name, and the version of the format.
const HEADER: [u8; 8] = *b"OMNIOBX\x01";
/// Length and CRC.
const PREFIX_BYTES: usize = 8;
/// Kind and id.
const RECORD_BYTES_MIN: usize = 9;

/// Where segments are kept.
pub(super) trait Disk: Send {
    /// Their numbers, rising.
    fn list(&mut self) -> io::Result<Vec<u32>>;
    /// All of one.
    fn read(&mut self, segment: u32) -> io::Result<Vec<u8>>;
    /// A part of one.
    fn read_at(&mut self, segment: u32, offset: u32, length: u32) -> io::Result<Vec<u8>>;
    /// A new one, which is written to from now on; its name survives the next sync. So many bytes of it are
    /// taken from the disk and read as zeros, where the file system can do that.
    fn create(&mut self, segment: u32, bytes: u32) -> io::Result<()>;
    /// Writes into the one that was created last.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> io::Result<()>;
    /// What was written survives a power cut from here on.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the end off.
    fn truncate(&mut self, segment: u32, length: u32) -> io::Result<()>;
    /// Deletes one.
    fn delete(&mut self, segment: u32) -> io::Result<()>;
    /// Whether the files that were written are still where they are looked for at the next start.
    fn is_in_place(&mut self) -> io::Result<bool>;
    /// Gives one another name, with this word in it; returns the name.
    fn set_aside(&mut self, segment: u32, why: &str) -> io::Result<String>;
}

/// Where a row's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The opening of the log that the segment belongs to.
    opening: u32,
    pub(super) segment: u32,
    offset: u32,
    pub(super) bytes: u32,
}

/// What is written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    puts: Vec<(RowId, u32, u32)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn put(&mut self, id: RowId, stored: &Stored) {
        let start = self.begin(Kind::Put, id);
        row::encode(&stored.envelope, &stored.links, stored.put_ms, &mut self.bytes);
        self.end(start);
        self.puts.push((id, start as u32, (self.bytes.len() - start) as u32));
    }

    pub(super) fn done(&mut self, id: RowId, link: LinkId) {
        let start = self.begin(Kind::Done, id);
        self.bytes.extend(link.0.to_le_bytes());
        self.end(start);
    }

    pub(super) fn gone(&mut self, id: RowId) {
        let start = self.begin(Kind::Gone, id);
        self.end(start);
    }

    /// Its last record: with this length before it, it is whole.
    fn seal(&mut self) {
        let start = self.begin(Kind::Seal, RowId(self.bytes.len() as u64));
        self.end(start);
    }

    fn begin(&mut self, kind: Kind, id: RowId) -> usize {
        let start = self.bytes.len();
        self.bytes.extend([0; PREFIX_BYTES]);
        self.bytes.push(kind as u8);
        self.bytes.extend(id.0.to_le_bytes());
        start
    }

    fn end(&mut self, start: usize) {
        let record = &self.bytes[start + PREFIX_BYTES..];
        let (length, crc) = (record.len() as u32, crc32fast::hash(record));
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[start + 4..start + PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put = 1,
    Done = 2,
    Gone = 3,
    Seal = 4,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Put, Self::Done, Self::Gone, Self::Seal];
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    bytes: u64,
    living: u64,
}

/// What becomes of a file whose rows were moved to another.
#[derive(Debug, Clone, Copy)]
enum Repair {
    SetAside,
    Delete,
}

/// A row that an opening found; the rest of it is read when its turn comes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Living {
    pub(super) place: Place,
    pub(super) links: Vec<LinkId>,
    pub(super) put_ms: u64,
    pub(super) class: MessageClass,
    pub(super) priority: u8,
    pub(super) expiry: Option<Duration>,
    /// See [`key_of`].
    pub(super) key: Option<Box<str>>,
}

/// What an opening found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The rows.
    pub(super) rows: BTreeMap<RowId, Living>,
    /// Bytes of a batch that the power cut off.
    pub(super) torn_bytes: u64,
    /// Bytes that could not be read, in files that were set aside.
    pub(super) damaged_bytes: u64,
    /// The new names of files that were set aside.
    pub(super) set_aside: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log<D> {
    disk: D,
    /// A log that is opened anew elsewhere has another number: places of one mean nothing in another.
    opening: u32,
    segments: BTreeMap<u32, Segment>,
    /// The one that is written to.
    head: Option<u32>,
}

impl<D: Disk> Log<D> {
    /// Reads what is there and repairs what needs it. An error leaves all rows where they are.
    pub(super) fn open(mut disk: D, opening: u32) -> io::Result<(Self, Found)> {
        let numbers = disk.list()?;
        let mut log = Self { disk, opening, segments: BTreeMap::new(), head: None };
        let mut found = Found::default();
        let mut repairs = Vec::new();
        for &number in &numbers {
            let bytes = log.disk.read(number)?;
            if bytes.starts_with(&HEADER[..7]) && bytes.get(7).is_some_and(|version| *version > HEADER[7]) {
                for &number in &numbers {
                    found.set_aside.push(log.disk.set_aside(number, "newer")?);
                }
                return Ok((
                    Self { disk: log.disk, opening, segments: BTreeMap::new(), head: None },
                    Found { set_aside: found.set_aside, ..Found::default() },
                ));
            }
            let scan = scan(&bytes);
            for (offset, record) in scan.records {
                let bytes = (record.len() + PREFIX_BYTES) as u32;
                let place = Place { opening, segment: number, offset, bytes };
                replay(place, record, &mut found.rows);
            }
            let (torn, damaged) = if Some(&number) == numbers.last() {
                (scan.torn_bytes, scan.damaged_bytes)
            } else {
                (0, scan.torn_bytes + scan.damaged_bytes)
            };
            found.torn_bytes += torn as u64;
            found.damaged_bytes += damaged as u64;
            if damaged > 0 {
                repairs.push((number, Repair::SetAside));
            } else if scan.has_gaps {
                repairs.push((number, Repair::Delete));
            } else if scan.readable_bytes < bytes.len() {
                log.disk.truncate(number, scan.readable_bytes as u32)?;
            }
            log.segments.insert(number, Segment { bytes: scan.readable_bytes as u64, living: 0 });
        }
        for row in found.rows.values() {
            log.note_living(row.place);
        }
        log.replace(&repairs, &mut found)?;
        log.delete_dead();
        Ok((log, found))
    }

    /// The rows that can still be read go into a new segment; only then the files go.
    fn replace(&mut self, repairs: &[(u32, Repair)], found: &mut Found) -> io::Result<()> {
        if repairs.is_empty() {
            return Ok(());
        }
        let replaced = |place: Place| repairs.iter().any(|(number, _)| *number == place.segment);
        let mut batch = Batch::default();
        for (&id, row) in found.rows.iter().filter(|(_, row)| replaced(row.place)) {
            if let Some(stored) = self.read(id, row.place)? {
                batch.put(id, &Stored { links: row.links.clone(), ..stored });
            }
        }
        if !batch.is_empty() {
            for (id, place) in self.append(batch)? {
                if let Some(row) = found.rows.get_mut(&id) {
                    row.place = place;
                }
            }
        }
        for &(number, repair) in repairs {
            match repair {
                Repair::SetAside => found.set_aside.push(self.disk.set_aside(number, "corrupt")?),
                Repair::Delete => self.disk.delete(number)?,
            }
            self.segments.remove(&number);
        }
        Ok(())
    }

    /// Writes a batch; the places of its rows. It survives a power cut from here on.
    pub(super) fn append(&mut self, mut batch: Batch) -> io::Result<Vec<(RowId, Place)>> {
        batch.seal();
        let full = |segment: &Segment| segment.bytes > u64::from(SEGMENT_BYTES);
        if self.head.is_none_or(|head| self.segments.get(&head).is_none_or(full)) {
            self.begin_segment()?;
        }
        let head = self.head.unwrap_or_default();
        let before = self.segments.get(&head).map_or(0, |segment| segment.bytes) as u32;
        if let Err(error) = self.disk.write(before, &batch.bytes).and_then(|()| self.disk.sync()) {
            // What was half written must not come back as a row. Where even that fails it may, and is
            // sent twice; another segment is begun then.
            if self.disk.truncate(head, before).is_err() {
                self.head = None;
            }
            return Err(error);
        }
        if let Some(segment) = self.segments.get_mut(&head) {
            segment.bytes += batch.bytes.len() as u64;
        }
        let place = |offset: u32, bytes: u32| Place {
            opening: self.opening,
            segment: head,
            offset: before + offset,
            bytes,
        };
        let places: Vec<_> = batch.puts.iter().map(|&(id, at, bytes)| (id, place(at, bytes))).collect();
        for (_, place) in &places {
            self.note_living(*place);
        }
        Ok(places)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.head = None;
        let number = self.segments.last_key_value().map_or(1, |(last, _)| last + 1);
        self.disk.create(number, SEGMENT_BYTES)?;
        if let Err(error) = self.disk.write(0, &HEADER) {
            // Else each try on a full disk would leave a file.
            let _ = self.disk.delete(number);
            return Err(error);
        }
        self.segments.insert(number, Segment { bytes: HEADER.len() as u64, living: 0 });
        self.head = Some(number);
        Ok(())
    }

    fn note_living(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.living += u64::from(place.bytes);
        }
    }

    /// A row is no longer wanted where it is.
    pub(super) fn release(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment)
            && place.opening == self.opening
        {
            segment.living = segment.living.saturating_sub(u64::from(place.bytes));
        }
    }

    /// Deletes the oldest segments in which nothing is wanted; what can't be deleted stays for the next
    /// time.
    pub(super) fn delete_dead(&mut self) {
        while let Some((&oldest, segment)) = self.segments.first_key_value() {
            if segment.living > 0 || Some(oldest) == self.head || self.disk.delete(oldest).is_err() {
                return;
            }
            self.segments.remove(&oldest);
        }
    }

    /// The rows that must move before the oldest segment can be deleted, when it is time for that; `rows`
    /// says whether a row still lives at a place, and who has yet to send it.
    pub(super) fn clean(
        &mut self,
        rows: impl Fn(RowId, Place) -> Option<Vec<LinkId>>,
    ) -> io::Result<Option<Batch>> {
        let total: u64 = self.segments.values().map(|segment| segment.bytes).sum();
        let living: u64 = self.segments.values().map(|segment| segment.living).sum();
        let Some((&oldest, _)) = self.segments.first_key_value() else { return Ok(None) };
        if total <= 2 * living + DEAD_BYTES_MIN || Some(oldest) == self.head {
            return Ok(None);
        }
        let bytes = self.disk.read(oldest)?;
        let mut batch = Batch::default();
        for (offset, record) in scan(&bytes).records {
            let bytes = (record.len() + PREFIX_BYTES) as u32;
            let place = Place { opening: self.opening, segment: oldest, offset, bytes };
            let Some((Kind::Put, id, body)) = parse(record) else { continue };
            if let (Some(links), Some(stored)) = (rows(id, place), row::decode(body)) {
                batch.put(id, &Stored { links, ..stored });
            }
        }
        Ok(Some(batch))
    }

    /// Reads a row; none when it is damaged.
    pub(super) fn read(&mut self, id: RowId, place: Place) -> io::Result<Option<Stored>> {
        let bytes = self.disk.read_at(place.segment, place.offset, place.bytes)?;
        let stored = record_at(&bytes, 0).and_then(parse).and_then(|(kind, found, body)| {
            (kind == Kind::Put && found == id).then(|| row::decode(body)).flatten()
        });
        Ok(stored)
    }

    /// Whether its files are still where the next start looks for them.
    pub(super) fn is_in_place(&mut self) -> io::Result<bool> {
        self.disk.is_in_place()
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }
}

struct Scan<'a> {
    /// Whole records, each with its offset.
    records: Vec<(u32, &'a [u8])>,
    /// Where the last whole record ends.
    readable_bytes: usize,
    /// Bytes that belong to no record, before the last seal.
    damaged_bytes: usize,
    /// The same behind it; the zeros that nothing was written to do not count.
    torn_bytes: usize,
    /// There is something that can't be read before something that can.
    has_gaps: bool,
}

/// Finds every whole record, damage between them notwithstanding.
fn scan(bytes: &[u8]) -> Scan<'_> {
    let mut at = if bytes.starts_with(&HEADER) { HEADER.len() } else { 0 };
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut scan =
        Scan { records: Vec::new(), readable_bytes: at, damaged_bytes: 0, torn_bytes: 0, has_gaps: false };
    while at < used {
        let Some(record) = record_at(bytes, at) else {
            at += 1;
            continue;
        };
        scan.torn_bytes += at - scan.readable_bytes;
        scan.has_gaps |= at > scan.readable_bytes;
        scan.records.push((at as u32, record));
        if record[0] == Kind::Seal as u8 {
            scan.damaged_bytes += std::mem::take(&mut scan.torn_bytes);
        }
        at += PREFIX_BYTES + record.len();
        scan.readable_bytes = at;
    }
    scan.torn_bytes += used.saturating_sub(scan.readable_bytes);
    scan
}

/// The record that begins here, without its prefix.
fn record_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (prefix, rest) = bytes.get(at..)?.split_at_checked(PREFIX_BYTES)?;
    let length = u32::from_le_bytes(prefix[..4].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(prefix[4..].try_into().ok()?);
    let record = rest.get(..length).filter(|record| record.len() >= RECORD_BYTES_MIN)?;
    (crc32fast::hash(record) == crc).then_some(record)
}

fn parse(record: &[u8]) -> Option<(Kind, RowId, &[u8])> {
    let (&kind, rest) = record.split_first()?;
    let (id, body) = rest.split_first_chunk()?;
    let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind)?;
    Some((kind, RowId(u64::from_le_bytes(*id)), body))
}

fn replay(place: Place, record: &[u8], rows: &mut BTreeMap<RowId, Living>) {
    match parse(record) {
        Some((Kind::Put, id, body)) => {
            if let Some(Stored { links, put_ms, envelope }) = row::decode(body) {
                let key = key_of(&envelope);
                let Envelope { class, priority, expiry, .. } = envelope;
                rows.insert(id, Living { place, links, put_ms, class, priority, expiry, key });
            }
        }
        Some((Kind::Done, id, body)) => {
            let link = body.try_into().map(u32::from_le_bytes).map(LinkId);
            if let (Some(row), Ok(link)) = (rows.get_mut(&id), link) {
                row.links.retain(|other| *other != link);
                if row.links.is_empty() {
                    rows.remove(&id);
                }
            }
        }
        Some((Kind::Gone, id, _)) => {
            rows.remove(&id);
        }
        Some((Kind::Seal, ..)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeDisk;
    use super::*;

    const LINK: LinkId = LinkId(7);

    fn stored(topic: &str) -> Stored {
        let payload = vec![b'x'; 300];
        Stored { links: vec![LINK], put_ms: 1, envelope: Envelope::new(MessageClass::Event, topic, payload) }
    }

    fn batch(ids: std::ops::RangeInclusive<u64>) -> Batch {
        let mut batch = Batch::default();
        ids.for_each(|id| batch.put(RowId(id), &stored(&id.to_string())));
        batch
    }

    fn ids(found: &Found) -> Vec<u64> {
        found.rows.keys().map(|id| id.0).collect()
    }

    #[test]
    fn what_was_appended_is_found_again_and_what_was_taken_away_is_not() {
        let disk = FakeDisk::default();
        let (mut log, found) = Log::open(disk.clone(), 0).unwrap();
        assert!(found.rows.is_empty());
        log.append(batch(1..=4)).unwrap();
        let mut second = Batch::default();
        second.gone(RowId(2));
        second.done(RowId(3), LINK);
        second.done(RowId(4), LinkId(8));
        log.append(second).unwrap();
        let (mut log, found) = Log::open(disk, 0).unwrap();
        assert_eq!(ids(&found), [1, 4]);
        let place = found.rows[&RowId(4)].place;
        assert_eq!(log.read(RowId(4), place).unwrap(), Some(stored("4")));
    }

    #[test]
    fn a_batch_that_the_power_cut_off_is_cut_off_and_what_comes_after_is_kept() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        log.append(batch(1..=2)).unwrap();
        let tail = batch(3..=3).bytes;
        disk.overwrite(1, disk.written(1), &tail[..tail.len() - 1]);
        let (mut log, found) = Log::open(disk.clone(), 0).unwrap();
        assert_eq!((ids(&found), found.torn_bytes), (vec![1, 2], tail.len() as u64 - 1));
        assert_eq!((found.damaged_bytes, found.set_aside.len()), (0, 0));
        log.append(batch(4..=4)).unwrap();
        let (_, found) = Log::open(disk, 0).unwrap();
        assert_eq!((ids(&found), found.torn_bytes, found.set_aside.len()), (vec![1, 2, 4], 0, 0));
    }

    #[test]
    fn a_batch_of_which_the_power_cut_let_only_the_end_through_is_torn_and_no_damage() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        log.append(batch(1..=2)).unwrap();
        let tail = batch(3..=4).bytes;
        let lost = 100;
        disk.overwrite(1, disk.written(1) + lost, &tail[lost..]);
        for torn in [tail.len() as u64 / 2 - lost as u64, 0] {
            let (_, found) = Log::open(disk.clone(), 0).unwrap();
            // What was never accepted may be sent all the same.
            assert_eq!((ids(&found), found.set_aside.len()), (vec![1, 2, 4], 0));
            assert_eq!(found.torn_bytes > 0, torn > 0, "{}", found.torn_bytes);
            assert_eq!(found.damaged_bytes, 0);
        }
    }

    #[test]
    fn damage_at_the_very_end_of_what_was_accepted_is_damage() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        let places = log.append(batch(1..=2)).unwrap();
        disk.flip(1, places[1].1.offset as usize + 50);
        let (_, found) = Log::open(disk, 0).unwrap();
        assert_eq!((ids(&found), found.torn_bytes), (vec![1], 0));
        assert_eq!((found.damaged_bytes > 0, found.set_aside.len()), (true, 1));
    }

    #[test]
    fn damage_in_the_middle_costs_the_damaged_row_alone_and_the_file_is_set_aside() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        let places = log.append(batch(1..=3)).unwrap();
        let damaged = places[1].1.offset as usize + 50;
        disk.flip(1, damaged);
        let (_, found) = Log::open(disk.clone(), 0).unwrap();
        assert_eq!((ids(&found), found.set_aside), (vec![1, 3], vec!["1.corrupt".to_owned()]));
        let (_, found) = Log::open(disk, 0).unwrap();
        assert_eq!((ids(&found), found.damaged_bytes), (vec![1, 3], 0));
    }

    #[test]
    fn a_damaged_store_on_a_full_disk_is_left_as_it_is() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        log.append(batch(1..=3)).unwrap();
        disk.flip(1, 60);
        disk.fill(true);
        let before = disk.bytes(1);
        assert!(Log::open(disk.clone(), 0).is_err());
        assert_eq!(disk.bytes(1), before);
    }

    #[test]
    fn a_store_of_a_newer_format_is_set_aside_whole() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        log.append(batch(1..=1)).unwrap();
        disk.overwrite(1, 7, &[HEADER[7] + 1]);
        let (mut log, found) = Log::open(disk.clone(), 0).unwrap();
        assert_eq!((found.rows.len(), found.set_aside), (0, vec!["1.newer".to_owned()]));
        log.append(batch(1..=1)).unwrap();
        assert_eq!(ids(&Log::open(disk, 0).unwrap().1), [1]);
    }

    #[test]
    fn a_full_disk_leaves_neither_files_nor_halves() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        disk.fill(true);
        assert!((0..3).all(|_| log.append(batch(1..=1)).is_err()));
        assert_eq!(disk.files(), 0);
        disk.fill(false);
        log.append(batch(1..=1)).unwrap();
        disk.fill(true);
        assert!((0..3).all(|_| log.append(batch(2..=2)).is_err()));
        disk.fill(false);
        log.append(batch(3..=3)).unwrap();
        let (_, found) = Log::open(disk.clone(), 0).unwrap();
        assert_eq!((ids(&found), found.torn_bytes, found.damaged_bytes), (vec![1, 3], 0, 0));
        assert_eq!(disk.files(), 1);
    }

    #[test]
    fn rubbish_is_set_aside() {
        let disk = FakeDisk::default();
        let rubbish = (0..5_000_u32).map(|n| (n * 7) as u8).collect::<Vec<_>>();
        disk.overwrite(1, 0, &rubbish);
        disk.overwrite(2, 0, &HEADER);
        let (_, found) = Log::open(disk.clone(), 0).unwrap();
        assert_eq!(found.set_aside, ["1.corrupt"]);
        assert_eq!(disk.aside("1.corrupt"), rubbish);
    }

    #[test]
    fn dead_segments_go_and_one_old_row_does_not_hold_them_all() {
        let disk = FakeDisk::default();
        let (mut log, _) = Log::open(disk.clone(), 0).unwrap();
        let old = log.append(batch(1..=1)).unwrap()[0];
        let mut place = old.1;
        for round in 0..40 {
            let from = 2 + round * 1_000;
            for (_, dead) in log.append(batch(from..=from + 999)).unwrap() {
                log.release(dead);
            }
            let living = |id: RowId, at: Place| (id == old.0 && at == place).then(|| vec![LINK]);
            if let Some(moved) = log.clean(living).unwrap() {
                log.release(place);
                place = log.append(moved).unwrap()[0].1;
            }
            log.delete_dead();
        }
        assert!(log.bytes() < 7 * u64::from(SEGMENT_BYTES), "{}", log.bytes());
        assert_eq!(log.read(old.0, place).unwrap(), Some(stored("1")));
    }
}
