//! The thread that has the state folder, and the only one that waits for its disk.
//!
//! A turn looks at the folder, writes `state.json` where ids are wanted, and then each document that is newer than
//! what the disk has. A turn that fails is repeated every [`LOOK_EVERY`], with a write; a turn that works ends the
//! failure. A folder that was deleted or replaced is made again with all that is known of it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder::{Disk, Folder, Hold, LOOKED_AFTER_FILE};
use super::ids;
use super::{Saved, Shared, State};
use crate::base::Readers;

/// The folder is looked at this often. With the bound of a look, and the second until the next presence, a disk that
/// hangs is named within 5 s.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1_000 });
const STATE_FILE: &str = "state.json";

/// See the module.
pub(super) struct Writer<D> {
    pub(super) disk: D,
    pub(super) shared: Arc<Shared>,
    /// Where ids begin when those that were used are not known.
    pub(super) unknown_start: u32,
    /// Folders of others.
    pub(super) others: Vec<Folder>,
    /// What the disk has; none: it was not read yet.
    pub(super) saved: Option<Saved>,
}

impl<D: Disk> Writer<D> {
    pub(super) fn run(mut self) {
        let mut last_turn = None;
        while self.shared.next_turn(last_turn) {
            last_turn = Some(Instant::now());
            let done = self.turn();
            self.shared.end_turn(done);
        }
        // The folder is free for others before the end is reported.
        let Self { disk, shared, .. } = self;
        drop(disk);
        shared.with(|state| state.ended = true);
        shared.turned.notify_all();
    }

    fn turn(&mut self) -> io::Result<()> {
        let hold = self.disk.hold()?;
        if hold == Hold::Again {
            tracing::error!("the state folder was deleted or replaced while running, it is made again");
            self.shared.with(State::note_lost);
        }
        let mut next = match self.saved {
            Some(saved) => saved,
            None => self.read()?,
        };
        let (ranges, boot_ms, failed, documents) = self.shared.with(|state| {
            next.boot_ms = next.boot_ms.saturating_add(1).max(state.boot_ms);
            if self.saved.is_some() {
                next.boot_ms = state.boot_ms;
            }
            let ranges = [(&state.tracks, &mut next.next_track_id), (&state.events, &mut next.next_event_id)]
                .map(|(pool, counter)| {
                    pool.wants().then(|| {
                        let (range, after) = ids::range(*counter);
                        *counter = after;
                        range
                    })
                });
            (ranges, next.boot_ms, state.failure.is_some(), state.unwritten())
        });
        if hold != Hold::Same || failed || self.saved != Some(next) {
            self.disk.write(STATE_FILE, serde_json::to_string(&next)?.as_bytes(), Readers::AsUsual)?;
            self.saved = Some(next);
            self.shared.with(|state| {
                let [tracks, events] = ranges;
                if let Some(range) = tracks {
                    state.tracks.add(range);
                }
                if let Some(range) = events {
                    state.events.add(range);
                }
                state.boot_ms = boot_ms;
            });
        }
        for (name, version, bytes) in documents {
            self.disk.write(name, &bytes, Readers::OwnerOnly)?;
            self.shared.with(|state| state.note_written(name, version));
        }
        self.look_at_others()
    }

    fn look_at_others(&mut self) -> io::Result<()> {
        let more = self.shared.with(|state| std::mem::take(&mut state.others));
        self.others.extend(more.iter().map(|dir| Folder::new(dir, LOOKED_AFTER_FILE)));
        for other in &mut self.others {
            if other.hold()? == Hold::Again {
                tracing::error!("{} was deleted or replaced while running", other.path().display());
                self.shared.with(|state| state.lost = Some(Instant::now()));
            }
        }
        Ok(())
    }

    /// The saved state. One that can't be understood is set aside; ids then begin where none was used.
    fn read(&mut self) -> io::Result<Saved> {
        let fresh = |first| Saved { next_track_id: first, next_event_id: first, boot_ms: 0 };
        let Some(text) = self.disk.read(STATE_FILE)? else { return Ok(fresh(1)) };
        let fault = match serde_json::from_slice(&text) {
            Ok(Saved { next_track_id: 0, .. } | Saved { next_event_id: 0, .. }) => "an id of 0".to_owned(),
            Ok(saved) => return Ok(saved),
            Err(error) => error.to_string(),
        };
        let aside = format!("{STATE_FILE}.corrupt");
        self.disk.rename(STATE_FILE, &aside)?;
        tracing::error!("{STATE_FILE} is damaged, set aside as {aside}: {fault}");
        Ok(fresh(self.unknown_start))
    }
}
