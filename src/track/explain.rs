//! Why a track goes the way it goes: what each step saw, refused and chose.
//!
//! A [`super::Tracker`] that was asked to explain notes this beside its work, with the very functions
//! that decide; one that was not pays for a branch per stage. The notes of a step can be read until the
//! next. A tentative track may still become the one that is asked for, so all of them are noted too, under the
//! number of their birth; [`Entry::tracklet`] is what belongs together.

use std::fmt;

use super::gate::Refusal;
use crate::model::{BBox, Class, Detection, Look};

/// A detection farther from a track than this is not told of, heights of the track's box.
pub(super) const NEAR_HEIGHTS: f64 = 2.0;

/// Where in a step tracks and detections are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Tracks seen lately with sure detections, by overlap.
    Sure,
    /// Tracks seen lately with doubtful detections, by overlap.
    Doubtful,
    /// Tracks left over, the lost ones too, with sure detections, by distance and size.
    Distance,
    /// Tracks without a sure detection with whatever is left, by overlap.
    Tentative,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sure => "sure",
            Self::Doubtful => "doubtful",
            Self::Distance => "distance",
            Self::Tentative => "tentative",
        })
    }
}

/// Why a track ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was never confirmed, and missed.
    Unconfirmed,
    /// It left the picture unseen.
    Left,
    /// It was lost for too long.
    Lost,
    /// A new track goes on under its id.
    Joined,
    /// Second looks found nothing there.
    Refuted,
}

/// One thing that happened to a track in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note {
    /// It began with this detection.
    Born(Detection),
    /// Where it is expected, for how many seconds it has not been seen, and how much another track
    /// covers it (0..1).
    Expected {
        /// Pixels.
        bbox: BBox,
        /// Since its last detection.
        unseen_s: f64,
        /// `IoU` with the track that covers it most.
        covered: f64,
    },
    /// A detection near it that was free in this stage: how it fits, or why it was refused.
    Candidate {
        /// Where.
        stage: Stage,
        /// What.
        detection: Detection,
        /// What it is worth beside staying alone, which the stage's pairs make the most of; or why it can't
        /// be. Overlap (`IoU`) above what is needed, or by distance: how much likelier than a new object,
        /// as a logarithm.
        verdict: Result<f64, Refusal>,
    },
    /// It took this detection; where it is now.
    Hit {
        /// In which stage.
        stage: Stage,
        /// What it took.
        detection: Detection,
        /// Its box after that, pixels.
        bbox: BBox,
    },
    /// It took nothing; frames in a row.
    Missed(u32),
    /// It got an id of its own.
    Confirmed(u32),
    /// It goes on as the lost track of this id.
    Joined(u32),
    /// A second look at it found this; the evidence of all looks, natural log-odds.
    Looked {
        /// What was found.
        look: Look,
        /// Their sum, within bounds.
        odds: f64,
    },
    /// It ended.
    Ended(End),
}

/// A note and whose it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The number of the track's birth; an id can go from one to another.
    pub tracklet: u64,
    /// What happened.
    pub note: Note,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |b: &BBox| format!("[{:.0} {:.0} {:.0}x{:.0}]", b.left, b.top, b.width, b.height);
        let seen = |d: &Detection| format!("{} {} {:.2}", place(&d.bbox), d.class, d.score);
        match self {
            Self::Born(d) => write!(f, "born of {}", seen(d)),
            Self::Expected { bbox, unseen_s, covered } => {
                write!(f, "expected at {}, last seen {unseen_s:.2} s ago, covered {covered:.2}", place(bbox))
            }
            Self::Candidate { stage, detection, verdict } => {
                write!(f, "  {stage}: {} ", seen(detection))?;
                match verdict {
                    Ok(worth) if *stage == Stage::Distance => {
                        write!(f, "fits, {:.1} times as likely as a new object", worth.exp())
                    }
                    Ok(worth) => write!(f, "fits, overlap {worth:.2} above the least"),
                    Err(refusal) => write!(f, "refused: {refusal}"),
                }
            }
            Self::Hit { stage, detection, bbox } => {
                write!(f, "{stage}: takes {}, now at {}", seen(detection), place(bbox))
            }
            Self::Missed(frames) => write!(f, "takes nothing, {frames} in a row"),
            Self::Confirmed(id) => write!(f, "confirmed as {id}"),
            Self::Joined(id) => write!(f, "goes on as the lost {id}"),
            Self::Looked { look: Look { class: Class::Unknown, odds, .. }, odds: sum } => {
                write!(f, "second look: nothing there, evidence {odds:+.1}, of all looks {sum:+.1}")
            }
            Self::Looked { look: Look { class, score, odds }, odds: sum } => {
                write!(f, "second look: {class} {score:.2}, evidence {odds:+.1}, of all looks {sum:+.1}")
            }
            Self::Ended(end) => f.write_str(match end {
                End::Unconfirmed => "ends: missed before it was confirmed",
                End::Left => "ends: left the picture",
                End::Lost => "ends: lost for too long",
                End::Joined => "ends: a new track goes on under its id",
                End::Refuted => "ends: second looks found nothing there",
            }),
        }
    }
}

/// What a step notes, for the track of one id and for all that may become it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) wanted: u32,
    pub(super) entries: Vec<Entry>,
    /// What second looks have found since the last step, by the number of the track's birth.
    pub(super) looks: Vec<(u64, Note)>,
}

impl Log {
    pub(super) fn note(&mut self, tracklet: &super::Tracklet, note: Note) {
        if !tracklet.confirmed || tracklet.id == self.wanted {
            self.entries.push(Entry { tracklet: tracklet.number, note });
        }
    }
}
