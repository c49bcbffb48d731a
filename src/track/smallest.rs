//! The smallest plausible size at the picture's edge, learned from the tracks.
//!
//! What comes in at the edge is cut by it on one side only: a body of which a strip is seen is still as high or as wide as a
//! body. A box there that is far smaller than nearly all tracks on both sides is an artefact of the detector, and such boxes
//! live as long as the artefact. Away from the edge no box is too small: distant persons are small.

use crate::model::{BBox, Size};

/// A quarter of an octave per bin, from half a pixel to 32,768.
const BINS: usize = 64;
const BINS_PER_OCTAVE: f64 = 4.0;
/// Fewer tracks show no least size.
const TRACKS_MIN: u32 = 20;
/// Of more than so many the oldest count less.
const MEMORY: u32 = 400;
/// So many of the tracks are smaller than the least size: those may be artefacts themselves.
const SMALLER: f64 = 0.1;
/// A box is too small below this part of the least size.
const PART: f64 = 0.2;
/// Nearer to the edge than this is at it, longer sides of the box.
const EDGE: f64 = 1.0;

/// The longer sides of the tracks' boxes.
#[derive(Debug, Clone)]
pub(super) struct Smallest {
    bins: [u32; BINS],
    tracks: u32,
    /// Boxes at the edge with both sides below this are left out, pixels; 0 until it is known.
    limit_px: f64,
}

impl Default for Smallest {
    fn default() -> Self {
        Self { bins: [0; BINS], tracks: 0, limit_px: 0.0 }
    }
}

impl Smallest {
    /// A track of this box was confirmed.
    pub(super) fn learn(&mut self, bbox: BBox, view: Size) {
        if is_at_edge(bbox, view) {
            return;
        }
        if self.tracks >= MEMORY {
            self.bins.iter_mut().for_each(|count| *count /= 2);
            self.tracks = self.bins.iter().sum();
        }
        let bin = ((longer(bbox).log2() + 1.0) * BINS_PER_OCTAVE).clamp(0.0, (BINS - 1) as f64);
        self.bins[bin as usize] += 1;
        self.tracks += 1;
        if self.tracks < TRACKS_MIN {
            return;
        }
        let (most, mut below) = (SMALLER * f64::from(self.tracks), 0.0);
        let least = self.bins.iter().position(|count| {
            below += f64::from(*count);
            below > most
        });
        let size = |bin: usize| (bin as f64 / BINS_PER_OCTAVE - 1.0).exp2();
        self.limit_px = PART * least.map_or(0.0, size);
    }

    /// Whether nothing real looks like this.
    pub(super) fn is_too_small(&self, bbox: BBox, view: Size) -> bool {
        longer(bbox) < self.limit_px && is_at_edge(bbox, view)
    }
}

fn longer(bbox: BBox) -> f64 {
    bbox.width.max(bbox.height)
}

fn is_at_edge(bbox: BBox, view: Size) -> bool {
    let near = EDGE * longer(bbox);
    bbox.left < near
        || bbox.top < near
        || bbox.right() > f64::from(view.width) - near
        || bbox.bottom() > f64::from(view.height) - near
}
