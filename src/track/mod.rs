//! Follows objects from frame to frame, online and without looking at pixels.
//!
//! In the family of SORT (Bewley et al., ICIP 2016): every track predicts its box to the frame's time
//! and is paired with a detection by an exact optimal assignment. Each frame goes through these stages:
//!
//! 1. Tracks seen lately and sure detections pair by overlap, less a cost for turning back (Cao et al.,
//!    observation-centric SORT, CVPR 2023) and for not being confirmed.
//! 2. Those tracks left over take doubtful detections (Zhang et al., `ByteTrack`, ECCV 2022).
//! 3. Tracks left over, the lost ones too, take sure detections near them, measured by their own
//!    uncertainty, and of their size.
//! 4. Tracks born of doubtful detections take what is left; what is left then begins a track.
//! 5. A track whose scores add up to enough evidence (the log-odds score of Blackman & Popoli, *Design
//!    and Analysis of Modern Tracking Systems*, 1999, 6.2) is confirmed: it goes on as the lost track
//!    that it may have been, or gets an id of its own.
//!
//! ```text
//!         hits and evidence               miss            lost_s and max_age
//! tentative -----------------> confirmed ------> lost --------------------> ended
//!     | miss                       ^              | hit, or joined by a new track
//!     v                            +--------------+
//!   ended (never reported)
//! ```
//!
//! Reported is a confirmed track that is detected, or that another has just walked in front of.
//! Unseen tracks move with the others when the camera does.
//!
//! What each ingredient gives, on the seven MOT15 sequences with `det_sort_frcnn.txt` at 7-30 frames/s:
//! `omnisight replay SEQ/det/det_sort_frcnn.txt --out OUT/SEQ.txt` for each, scored with `TrackEval`,
//! one ingredient changed at a time in [`Options`]. Differences below half a point are noise. The first
//! row is as it is; the others were measured while tentative tracks still lived through one miss, which
//! gave 44.8, 51.2, 62.3 and 167 with nothing else changed.
//!
//! | changed | HOTA | MOTA | IDF1 | switches |
//! |---|---|---|---|---|
//! | nothing | 44.8 | 51.7 | 62.1 | 160 |
//! | all detections are sure (`sure_score` 0) | 43.5 | 47.4 | 58.9 | 249 |
//! | no search by distance, no joining (`gate` 0) | 41.9 | 50.1 | 54.9 | 211 |
//! | lost for 0.5 s only (`lost_s`, `max_age_frames` 1) | 42.2 | 50.9 | 55.8 | 203 |
//! | the velocity of the unseen does not fade (`heading_s` 1000) | 43.8 | 50.9 | 60.5 | 166 |
//! | no `direction_cost` | 43.5 | 50.6 | 59.4 | 188 |
//! | no `occlusion_noise` | 43.6 | 51.7 | 59.5 | 192 |
//! | no `camera_share` | 44.0 | 50.8 | 60.8 | 177 |
//! | covered tracks not reported (`covered_s` 0) | 44.3 | 50.8 | 61.9 | 215 |
//! | sizes do not grow (`growth_s` 0.01) | 44.4 | 51.0 | 61.5 | 170 |
//! | any size (`size_gate` 9) | 44.6 | 51.1 | 61.6 | 168 |
//! | no `tentative_cost` | 44.7 | 51.1 | 62.1 | 168 |
//!
//! Pure: detections, a time and a source of ids come in; confirmed tracks and ended ids can be read
//! until the next step. The order of the detections changes nothing. Steps are real seconds and noise
//! grows with the box and with time, so that lost frames and other frame rates change little. At most
//! [`OBJECTS_MAX`] tracks and detections; after the first frames nothing is allocated. What a track
//! *does* belongs to `behavior`, where it stands on the ground to `pipeline`.

mod filter;
mod options;
#[cfg(test)]
mod tests;
mod tracklet;

pub use options::{Motion, Options};

use crate::base::{Assignment, IdSource, Pair, Time};
use crate::model::{BBox, Detection, Point, Track};
use filter::Correction;
use tracklet::Tracklet;

/// Most objects followed at once, detections used per frame included: a detector gone mad costs no
/// more than this. The surplus with the lowest scores is left out, and counted.
pub const OBJECTS_MAX: usize = 1_000;

/// A box that reaches farther than this is an error, not a measurement, pixels.
const PLACE_MAX_PX: f64 = 1e6;
/// What any pair is worth beside how well it fits: more pairs come before better ones.
const PAIR_WORTH: f64 = 100.0;
/// Fewer tracks than this say nothing of the camera.
const CAMERA_TRACKS_MIN: usize = 3;
/// A track with fewer hits is still finding its speed, and says nothing of the camera.
const CAMERA_HITS_MIN: u32 = 5;

/// Follows the objects of one camera.
#[derive(Debug)]
pub struct Tracker {
    options: Options,
    tracklets: Vec<Tracklet>,
    last: Option<Time>,
    assignment: Assignment,
    /// The detections of this frame by their left edge, and which of them a track has taken.
    used: Vec<Detection>,
    taken: Vec<bool>,
    /// Boxes by their left edge, each with its tracklet.
    boxes: Vec<(BBox, usize)>,
    corrections: Vec<Correction>,
    /// The left and right ends of all that was ever detected.
    view: (f64, f64),
    tracks: Vec<Track>,
    ended: Vec<u32>,
    detections_left_out: u64,
}

impl Tracker {
    /// A tracker that has seen nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            tracklets: Vec::new(),
            last: None,
            assignment: Assignment::default(),
            used: Vec::new(),
            taken: Vec::new(),
            boxes: Vec::new(),
            corrections: Vec::new(),
            view: (f64::INFINITY, f64::NEG_INFINITY),
            tracks: Vec::new(),
            ended: Vec::new(),
            detections_left_out: 0,
        }
    }

    /// Takes the detections of the frame captured at `now`. Boxes that are not finite or have no
    /// area are left out.
    pub fn step(&mut self, detections: &[Detection], now: Time, ids: &mut dyn IdSource) {
        self.select(detections);
        let dt_s = self.last.map_or(0.0, |last| now.since(last).as_secs_f64());
        self.last = Some(now);
        for tracklet in &mut self.tracklets {
            tracklet.predict(dt_s, &self.options);
        }
        self.cover(Tracklet::confirmed);
        self.associate(now);
        self.begin(now);
        self.confirm(ids);
        self.cover(|t| t.confirmed() && t.misses == 0);
        self.report(now);
    }

    /// The confirmed tracks that were detected in the last frame, or that another covers, by id.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The confirmed tracks that were given up in the last frame.
    pub fn ended(&self) -> &[u32] {
        &self.ended
    }

    /// Detections that were not used because they were no boxes, or too many.
    pub fn detections_left_out(&self) -> u64 {
        self.detections_left_out
    }

    fn select(&mut self, detections: &[Detection]) {
        let sane = |d: &&Detection| {
            let b = d.bbox;
            let near = [b.left, b.top, b.width, b.height].iter().all(|x| x.abs() <= PLACE_MAX_PX);
            near && d.score.is_finite() && b.width > 0.0 && b.height > 0.0
        };
        self.used.clear();
        self.used.extend(detections.iter().filter(sane));
        // One order, whatever the detector's: by score where some must go, then by place.
        if self.used.len() > OBJECTS_MAX {
            self.used.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(by_place(a, b)));
            self.used.truncate(OBJECTS_MAX);
        }
        self.used.sort_unstable_by(by_place);
        for d in &self.used {
            self.view = (self.view.0.min(d.bbox.left), self.view.1.max(d.bbox.right()));
        }
        self.detections_left_out += (detections.len() - self.used.len()) as u64;
        self.taken.clear();
        self.taken.resize(self.used.len(), false);
    }

    /// Measures how much each track is covered by the others for which `counts` holds.
    fn cover(&mut self, counts: impl Fn(&Tracklet) -> bool) {
        self.boxes.clear();
        for (i, tracklet) in self.tracklets.iter_mut().enumerate() {
            tracklet.covered = 0.0;
            if tracklet.confirmed() {
                self.boxes.push((tracklet.filter.bbox(), i));
            }
        }
        self.boxes.sort_unstable_by(|a, b| a.0.left.total_cmp(&b.0.left).then(a.1.cmp(&b.1)));
        for (k, &(a, i)) in self.boxes.iter().enumerate() {
            for &(b, j) in self.boxes[k + 1..].iter().take_while(|(b, _)| b.left < a.right()) {
                let iou = a.iou(b);
                for (one, other) in [(i, j), (j, i)] {
                    if iou > self.tracklets[one].covered && counts(&self.tracklets[other]) {
                        self.tracklets[one].covered = iou;
                    }
                }
            }
        }
    }

    /// Pairs tracks with detections, stage by stage, and updates or misses each track.
    fn associate(&mut self, now: Time) {
        self.corrections.clear();
        let Options { overlap_s, sure_score, .. } = self.options;
        let followed = |t: &Tracklet| t.sure && t.unseen_s(now) <= overlap_s;
        self.pair_by_overlap(now, followed, |d| d.score >= sure_score);
        self.pair_by_overlap(now, followed, |d| d.score < sure_score);
        self.pair_by_distance(now);
        self.pair_by_overlap(now, |t| !t.sure, |_| true);
        let camera = self.camera_motion();
        for tracklet in self.tracklets.iter_mut().filter(|t| !t.seen) {
            tracklet.misses = tracklet.misses.saturating_add(1);
            if let Some(motion) = camera {
                tracklet.filter.shift(motion);
            }
        }
    }

    fn pair_by_overlap(
        &mut self,
        now: Time,
        takes_part: impl Fn(&Tracklet) -> bool,
        fits: impl Fn(&Detection) -> bool,
    ) {
        let Options { iou_min, direction_cost, tentative_cost, .. } = self.options;
        let widest = self.used.iter().map(|d| d.bbox.width).fold(0.0, f64::max);
        for (row, tracklet) in self.tracklets.iter().enumerate() {
            if tracklet.seen || !takes_part(tracklet) {
                continue;
            }
            let (expected, class) = (tracklet.filter.bbox(), tracklet.class());
            let first = self.used.partition_point(|d| d.bbox.left < expected.left - widest);
            for (column, d) in self.used.iter().enumerate().skip(first) {
                if d.bbox.left > expected.right() {
                    break;
                }
                if self.taken[column] || !fits(d) || !class.compatible(d.class) {
                    continue;
                }
                let iou = expected.iou(d.bbox);
                if iou >= iou_min && iou > 0.0 {
                    let doubt = if tracklet.confirmed() { 0.0 } else { tentative_cost };
                    let cost = direction_cost * tracklet.turn(d.bbox) + doubt;
                    self.assignment.pairs.push(Pair { row, column, benefit: PAIR_WORTH + iou - cost });
                }
            }
        }
        self.take(now);
    }

    /// Looks for lost tracks, and for those whose object jumped, among the sure detections left.
    fn pair_by_distance(&mut self, now: Time) {
        let Options { gate, size_gate, sure_score, motion, .. } = self.options;
        for (row, tracklet) in self.tracklets.iter().enumerate() {
            if tracklet.seen || !(tracklet.confirmed() || tracklet.sure && tracklet.misses == 0) {
                continue;
            }
            let (class, height) = (tracklet.class(), tracklet.filter.bbox().height);
            for (column, d) in self.used.iter().enumerate() {
                if self.taken[column] || d.score < sure_score || !class.compatible(d.class) {
                    continue;
                }
                let (distance, spread) = tracklet.filter.distance(d.bbox, &motion);
                if distance < gate && (d.bbox.height / height).ln().abs() < size_gate {
                    let benefit = PAIR_WORTH - 0.5 * (distance + spread);
                    self.assignment.pairs.push(Pair { row, column, benefit });
                }
            }
        }
        self.take(now);
    }

    /// Solves the assignment and gives each chosen track its detection.
    fn take(&mut self, now: Time) {
        for &(row, column) in self.assignment.solve(self.tracklets.len(), self.used.len()) {
            let tracklet = &mut self.tracklets[row];
            let steady = tracklet.misses == 0 && tracklet.hits >= CAMERA_HITS_MIN;
            let correction = tracklet.hit(&self.used[column], now, &self.options);
            self.taken[column] = true;
            if steady {
                self.corrections.push(correction);
            }
        }
    }

    /// Its share of the median correction of the tracks seen: what they have in common is the camera.
    fn camera_motion(&mut self) -> Option<Correction> {
        if self.corrections.len() < CAMERA_TRACKS_MIN {
            return None;
        }
        let share = self.options.camera_share;
        let corrections = &mut self.corrections;
        let middle = corrections.len() / 2;
        let mut median = |of: fn(&Correction) -> f64| {
            let (_, m, _) = corrections.select_nth_unstable_by(middle, |a, b| of(a).total_cmp(&of(b)));
            share * of(m)
        };
        Some(Correction {
            place: Point::new(median(|c| c.place.x), median(|c| c.place.y)),
            velocity: Point::new(median(|c| c.velocity.x), median(|c| c.velocity.y)),
        })
    }

    /// Every detection that no track took begins one.
    fn begin(&mut self, now: Time) {
        let free = self.used.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(d, _)| d);
        for detection in free {
            if self.tracklets.len() < OBJECTS_MAX {
                self.tracklets.push(Tracklet::new(detection, now, &self.options));
            } else {
                self.detections_left_out += 1;
            }
        }
    }

    /// Confirms the tracks that have enough evidence: as a lost track, or with an id of their own.
    fn confirm(&mut self, ids: &mut dyn IdSource) {
        let Options { min_hits, evidence_min, gate, size_gate, motion, .. } = self.options;
        let ready = |t: &Tracklet| {
            // What was never seen clearly has to last for twice as long.
            let enough = if t.sure { evidence_min } else { 2.0 * evidence_min };
            !t.confirmed() && t.misses == 0 && t.hits >= min_hits && t.evidence >= enough
        };
        for (row, new) in self.tracklets.iter().enumerate().filter(|(_, t)| ready(t)) {
            let height = new.filter.bbox().height;
            for (column, lost) in self.tracklets.iter().enumerate() {
                let apart = lost.confirmed() && lost.misses > 0 && lost.last_seen.mono_ns < new.born.mono_ns;
                if !apart || !lost.class().compatible(new.class()) {
                    continue;
                }
                let (distance, spread) = lost.filter.distance_to(&new.filter, &motion);
                if distance < gate && (height / lost.filter.bbox().height).ln().abs() < size_gate {
                    let benefit = PAIR_WORTH - 0.5 * (distance + spread);
                    self.assignment.pairs.push(Pair { row, column, benefit });
                }
            }
        }
        let all = self.tracklets.len();
        for &(new, lost) in self.assignment.solve(all, all) {
            if let Ok([new, lost]) = self.tracklets.get_disjoint_mut([new, lost]) {
                new.join(lost);
                lost.joined = true;
            }
        }
        self.tracklets.retain(|t| !t.joined);
        for tracklet in self.tracklets.iter_mut().filter(|t| ready(t)) {
            tracklet.id = Some(ids.next_id());
        }
    }

    /// Reports and ends.
    fn report(&mut self, now: Time) {
        self.tracks.clear();
        self.ended.clear();
        let Options { max_age_frames, lost_s, covered_s, covered_iou, .. } = self.options;
        let (tracks, ended, view) = (&mut self.tracks, &mut self.ended, self.view);
        self.tracklets.retain_mut(|tracklet| {
            let unseen_s = tracklet.unseen_s(now);
            let Some(id) = tracklet.id else { return tracklet.misses == 0 };
            let x = tracklet.filter.bbox().center().x;
            let left = tracklet.misses > 0 && (x < view.0 || x > view.1);
            if left || tracklet.misses > max_age_frames && unseen_s > lost_s {
                ended.push(id);
                return false;
            }
            let covered = unseen_s <= covered_s && tracklet.covered > covered_iou;
            if tracklet.misses == 0 || covered {
                tracks.push(tracklet.report(id, now));
            }
            true
        });
        self.tracks.sort_unstable_by_key(|t| t.id);
    }
}

/// From left to right; where two are alike to the last bit, their order does not matter.
fn by_place(a: &Detection, b: &Detection) -> std::cmp::Ordering {
    let key = |d: &Detection| [d.bbox.left, d.bbox.top, d.bbox.width, d.bbox.height, d.score];
    let (a_key, b_key) = (key(a), key(b));
    let order = a_key.iter().zip(&b_key).map(|(x, y)| x.total_cmp(y));
    order
        .fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        .then((a.class as u8).cmp(&(b.class as u8)))
}
