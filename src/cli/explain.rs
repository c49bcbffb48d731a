//! `replay --explain ID`: the life of one track, frame by frame, from the tracker's notes.
//!
//! A track gets its own id only when it is confirmed. So the lines of every one that has none yet are kept
//! until it is confirmed (as this one: written; as another: dropped) or ends. A lost track's id can go
//! to a new one; both are told of, each under the number of its birth.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::track::{Entry, Note};

/// What is kept of a track that has no id yet, bytes: a doubtful one can wait for very long.
const WAITING_MAX: usize = 64 * 1024;

/// Above the first line.
const HEADING: &str = "frame, #number of the birth (an id may go from one to another), what happened\n";

/// Picks out what concerns one track.
#[derive(Debug)]
pub(super) struct Story {
    id: u32,
    /// The birth numbers of the tracks that have the id, in the order in which they got it.
    told: Vec<u64>,
    /// What happened to those that may still get it.
    waiting: BTreeMap<u64, String>,
}

impl Story {
    pub(super) fn of(id: u32) -> Self {
        Self { id, told: Vec::new(), waiting: BTreeMap::new() }
    }

    /// Takes the notes of a frame and gives what there is to tell now: lines, or nothing.
    pub(super) fn tell(&mut self, frame: u64, entries: &[Entry]) -> String {
        let mut told = String::new();
        for Entry { tracklet, note } in entries {
            let known = self.told.contains(tracklet);
            let lines = if known { &mut told } else { self.waiting.entry(*tracklet).or_default() };
            if !known && lines.len() > WAITING_MAX {
                lines.clear();
                lines.push_str("earlier frames are left out\n");
            }
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{frame} #{tracklet} {note}");
            match note {
                Note::Confirmed(id) | Note::Joined(id) if !known => {
                    let lines = self.waiting.remove(tracklet);
                    if *id == self.id {
                        if !self.found() {
                            told += HEADING;
                        }
                        self.told.push(*tracklet);
                        told += &lines.unwrap_or_default();
                    }
                }
                Note::Ended(_) => drop(self.waiting.remove(tracklet)),
                _ => {}
            }
        }
        told
    }

    /// Whether a track had the id.
    pub(super) fn found(&self) -> bool {
        !self.told.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CountingIds, Time};
    use crate::model::{BBox, Class, Detection, Size};
    use crate::track::{Options, Tracker};
    use std::time::Duration;

    fn person(x: f64, score: f64) -> Detection {
        Detection { bbox: BBox::new(x, 100.0, 30.0, 80.0), class: Class::Person, score }
    }

    /// Wide enough that nothing is at its ends.
    const VIEW: Size = Size { width: 10_000, height: 1_000 };

    /// What is told of track 1, if these are the frames, ten a second.
    fn story(frames: &[Vec<Detection>]) -> (String, bool) {
        let (mut tracker, mut ids) = (Tracker::new(Options::default()), CountingIds::default());
        let (mut story, mut now, mut told) = (Story::of(1), Time::default(), String::new());
        tracker.explain(1);
        for (frame, detections) in (1..).zip(frames) {
            now = now + Duration::from_millis(100);
            tracker.step(detections, VIEW, now, &mut ids);
            told += &story.tell(frame, tracker.explanation());
        }
        (told, story.found())
    }

    fn assert_told_in_order(told: &str, parts: &[&str]) {
        let mut rest = told;
        for part in parts {
            let Some(at) = rest.find(part) else { panic!("{part:?} is not in:\n{rest}\nof:\n{told}") };
            rest = &rest[at + part.len()..];
        }
    }

    #[test]
    fn a_track_is_told_of_from_its_birth_though_it_is_named_later() {
        let frames: Vec<_> = (0..5).map(|i| vec![person(f64::from(i), 0.97)]).collect();
        let (told, found) = story(&frames);
        assert!(found);
        assert_told_in_order(
            &told,
            &[
                HEADING,
                "1 #1 born of [0 100 30x80] person 0.97\n",
                "2 #1 expected at [0 100 30x80], last seen 0.10 s ago, covered 0.00\n",
                "2 #1   sure: [1 100 30x80] person 0.97 fits, overlap 0.",
                "2 #1 sure: takes [1 100 30x80] person 0.97, now at ",
                "3 #1 confirmed as 1\n",
                "4 #1 expected at ",
            ],
        );
    }

    #[test]
    fn what_is_refused_missed_and_ended_is_told_with_the_reason() {
        let mut frames = vec![vec![person(100.0, 0.97)]; 5];
        // Beside it, too far away to overlap, and right there but another kind of thing.
        let car = Detection { class: Class::Vehicle, ..person(100.0, 0.97) };
        frames.push(vec![person(125.0, 0.5), car]);
        frames.extend(vec![vec![]; 40]);
        let (told, _) = story(&frames);
        assert_told_in_order(
            &told,
            &[
                "6 #1   sure: [100 100 30x80] vehicle 0.97 refused: the track is a person\n",
                "6 #1   doubtful: [125 100 30x80] person 0.50 refused: overlap 0.0",
                " 0.21 is too little\n",
                "6 #1 takes nothing, 1 in a row\n",
                "#1 ends: lost for too long\n",
            ],
        );
    }

    #[test]
    fn a_new_track_that_goes_on_as_a_lost_one_is_told_of_too() {
        let mut frames = vec![vec![person(100.0, 0.97)]; 10];
        frames.extend(vec![vec![]; 10]);
        // Doubtful at first, it finds the lost track only when it is confirmed.
        frames.extend(vec![vec![person(112.0, 0.85)]; 40]);
        let (told, _) = story(&frames);
        assert_told_in_order(
            &told,
            &["#1 ends: a new track goes on under its id\n", "21 #2 born of ", "#2 goes on as the lost 1\n"],
        );
    }

    #[test]
    fn of_an_id_that_no_track_has_nothing_is_told() {
        assert_eq!(story(&[vec![person(0.0, 0.97)], vec![]]), (String::new(), false));
    }
}
