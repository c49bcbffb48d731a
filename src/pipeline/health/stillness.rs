//! Whether the source repeats one picture.
//!
//! The noise of a sensor changes nearly all cells of a picture within a second; a third at the least in the recordings that
//! were measured. Of a repeated picture no cell changes, but for those of a clock that is drawn into it and those that an
//! encoder refines. So the picture is frozen when few cells change, and much fewer than at any time in the last minutes. A
//! source without noise, as a drawn scene, changes little at all times: nothing is concluded from it.

use super::samples::{PER_CELL, Samples};
use crate::base::Time;

/// Changes are counted over so long, seconds.
const WINDOW_S: f64 = 1.0;
/// At most this part of the cells of a frozen picture changes.
const CHANGED_MAX: f32 = 0.06;
/// And at most this part of what changes at least while it is not frozen.
const USUAL_PART: f32 = 0.25;
/// A source in which less than this part changes at times has no noise.
const USUAL_MIN: f32 = 0.1;
/// What changes at least is the smallest part of so many windows.
const WINDOWS: usize = 120;
/// It is known after so many windows: between two key frames an encoder may send nothing for a second or more.
const WINDOWS_MIN: usize = 6;
/// So many looks show the same: one repeated picture is none of a slow source that hangs.
const LOOKS_MIN: u32 = 3;
/// A picture that is not frozen changes in this part of its cells, or half of what is usual, for so long, seconds.
const MOVING_MIN: f32 = 0.12;
const MOVING_S: f64 = 2.2;

#[derive(Debug, Default)]
pub(super) struct Stillness {
    /// The samples of the last look.
    last: Vec<[u8; PER_CELL]>,
    /// When each cell changed.
    changed: Vec<Time>,
    /// Looks since more than a few cells changed from one to the next.
    still: u32,
    /// When the window began.
    begun: Option<Time>,
    /// The part that changed in the last window, which counts once the next one is not frozen either.
    part: Option<f32>,
    /// The parts that changed in the last windows that count; a ring.
    parts: Vec<f32>,
    next: usize,
    /// The smallest of them.
    usual: f32,
    moving_since: Option<Time>,
    frozen: bool,
}

impl Stillness {
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Takes the next look.
    pub(super) fn look(&mut self, samples: &Samples, now: Time) {
        let Some(begun) = self.begun else {
            self.last.extend(samples.cells.iter().map(|cell| cell.luma));
            self.changed = vec![now; samples.cells.len()];
            self.parts.reserve_exact(WINDOWS);
            self.begun = Some(now);
            return;
        };
        for ((last, changed), cell) in self.last.iter_mut().zip(&mut self.changed).zip(&samples.cells) {
            if *last != cell.luma {
                (*last, *changed) = (cell.luma, now);
            }
        }
        let within = |limit_s| {
            let recent = self.changed.iter().filter(|changed| now.seconds_from(**changed) < limit_s).count();
            recent as f32 / self.changed.len() as f32
        };
        let (part, just_now) = (within(WINDOW_S), within(f64::EPSILON));
        if self.frozen {
            let moving_since = *self.moving_since.get_or_insert(now);
            if part < MOVING_MIN.min(self.usual / 2.0) {
                self.moving_since = None;
            } else if now.seconds_from(moving_since) >= MOVING_S {
                self.resume(now);
            }
            return;
        }
        let few = CHANGED_MAX.min(USUAL_PART * self.usual);
        self.still = if just_now <= few { self.still + 1 } else { 0 };
        let is_noisy = self.parts.len() >= WINDOWS_MIN && self.usual >= USUAL_MIN;
        if is_noisy && part <= few && self.still >= LOOKS_MIN {
            self.frozen = true;
            self.moving_since = None;
        } else if now.seconds_from(begun) >= WINDOW_S {
            if let Some(part) = self.part.replace(part) {
                self.note(part);
            }
            self.begun = Some(now);
        }
    }

    fn note(&mut self, part: f32) {
        if self.parts.len() < WINDOWS {
            self.parts.push(part);
        } else {
            self.parts[self.next] = part;
            self.next = (self.next + 1) % WINDOWS;
        }
        self.usual = self.parts.iter().copied().fold(1.0, f32::min);
    }

    /// Counts anew from now on: what was between is not known.
    pub(super) fn resume(&mut self, now: Time) {
        (self.frozen, self.part, self.still) = (false, None, 0);
        self.changed.fill(now);
        self.begun = self.begun.and(Some(now));
    }
}
