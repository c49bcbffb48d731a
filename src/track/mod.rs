//! Follows objects from frame to frame, online and without looking at pixels.
//!
//! In the family of SORT (Bewley et al., ICIP 2016): every track predicts its box to the frame's time
//! and is paired with a detection by an exact optimal assignment. Each frame goes through these stages:
//!
//! 1. Tracks seen lately and sure detections pair by overlap, less what an unlikely place (Mahalanobis
//!    distance) and a track that is not yet confirmed cost. A pair that overlaps too little is none.
//! 2. Those tracks left over take doubtful detections (Zhang et al., `ByteTrack`, ECCV 2022).
//! 3. Tracks left over, the lost ones too, take sure detections near them, where it is likelier that the
//!    object is found again than that a new one came.
//! 4. Tracks born of doubtful detections take what is left; what is left then begins a track.
//! 5. A track whose odds add up to enough evidence (the log-odds score of Blackman & Popoli, *Design
//!    and Analysis of Modern Tracking Systems*, 1999, 6.2) is confirmed: it goes on as the lost track
//!    that it may have been, or gets an id of its own. Detections of one place and moment share their errors:
//!    they count as one, so that a higher frame rate confirms no sooner. A thing of unknown class has also to move or to
//!    last, while ghosts are known (`still`). Where second looks by a network are required (`looks`), their
//!    log-odds must add to the evidence, and a confirmed track ends when they are against it.
//!
//! ```text
//!         hits and evidence               miss          lost_s and max_age, or at the edge
//! tentative -----------------> confirmed ------> lost ----------------------------------> ended
//!     | miss                       ^              | hit, or joined by a new track
//!     v                            +--------------+
//!   ended (never a track)
//! ```
//!
//! Reported is a confirmed track that is detected, or that another has just walked in front of, as long as its detections
//! say that it is likelier there than not. Beside the
//! tracks stand the [`Sighting`]s: all that was detected, with the number of its track, confirmed or not, where it
//! was detected. A camera judges by tracks; who puts several views together confirms sooner, and on more
//! evidence, than one view can, and wants errors that are not shared from frame to frame. What is
//! lost where the picture ends has left: who comes in there later is somebody else. Sure is what the
//! detector is as sure of as of most of what tracks take (`scale`), whatever numbers it gives.
//!
//! What each ingredient gives, on the seven MOT15 sequences with `det_sort_frcnn.txt` at 7-30 frames/s,
//! one left out at a time; on the right the median over 60 draws in which every number of [`Options`]
//! is off by up to 25 %. Less than 0.5 HOTA, 1 IDF1 or 6 switches is noise. The table is made by
//! `OMNISIGHT_MOT=MOT15 cargo bench --bench tracker_accuracy -- ablation`.
//!
//! | left out | HOTA | MOTA | IDF1 | switches | draws: HOTA | MOTA | IDF1 | switches |
//! |---|---|---|---|---|---|---|---|---|
//! | nothing | 45.8 | 53.2 | 64.1 | 159 | 44.8 | 52.9 | 61.8 | 160 |
//! | `sure_odds`: all detections are sure | 42.8 | 51.5 | 58.0 | 192 | 43.7 | 51.1 | 59.3 | 210 |
//! | `doubt_share`, `clear_odds`: scores as they are | 45.8 | 53.3 | 64.1 | 158 | 44.8 | 52.9 | 62.0 | 160 |
//! | `gate`: no search by distance, no joining | 41.4 | 51.9 | 53.3 | 193 | 41.4 | 51.4 | 53.5 | 200 |
//! | `lost_s`: lost for 0.5 s only | 42.2 | 52.7 | 54.8 | 186 | 42.0 | 52.3 | 54.5 | 197 |
//! | `birth_density`: a lost track before a new one | 44.5 | 53.4 | 61.9 | 160 | 44.2 | 52.9 | 60.5 | 162 |
//! | `heading_s`: velocities of the unseen do not fade | 45.1 | 53.2 | 62.8 | 162 | 44.5 | 52.8 | 61.3 | 160 |
//! | `stray_cost`: overlap alone | 43.3 | 52.7 | 59.7 | 159 | 43.0 | 52.5 | 58.9 | 156 |
//! | `occlusion_noise` | 44.6 | 53.2 | 62.0 | 172 | 43.8 | 52.9 | 60.2 | 171 |
//! | `detected_share`: the estimated box alone | 45.8 | 52.8 | 63.9 | 146 | 44.8 | 52.6 | 61.8 | 143 |
//! | `rise_share`: as free up and down as across | 44.7 | 52.9 | 62.3 | 161 | 44.2 | 52.4 | 60.6 | 170 |
//! | `exit_s`: nobody leaves at the edge | 43.6 | 52.8 | 59.1 | 174 | 43.0 | 52.6 | 58.1 | 168 |
//! | `covered_s`: covered tracks not reported | 44.9 | 52.5 | 63.4 | 187 | 44.1 | 52.1 | 61.3 | 186 |
//! | `growth_s`: sizes do not grow | 44.8 | 52.6 | 62.0 | 176 | 44.4 | 52.5 | 61.1 | 174 |
//! | `tentative_cost` | 45.6 | 53.1 | 63.5 | 165 | 44.7 | 52.6 | 61.7 | 170 |
//!
//! The scale of the scores gives nothing to a detector whose scores are probabilities, and much to others. `ECE` is the
//! expected calibration error of the reported confidences (Guo et al., ICML 2017), all scores from 0.01 (YOLOX-x) or as
//! they are (ACF: up to 139):
//!
//! | detections | scale | HOTA | MOTA | IDF1 | ECE |
//! |---|---|---|---|---|---|
//! | Faster R-CNN, MOT15 | with or without | 45.8 | 53.2 | 64.1 | 0.064 |
//! | YOLOX-x, MOT17-02, 09 and 13, second halves | none | 52.0 | 58.1 | 64.3 | 0.159 |
//! | | raised where nearly all are low | 54.3 | 61.5 | 68.0 | 0.171 |
//! | | and multiplied where none are clear | 54.8 | 63.9 | 67.6 | 0.069 |
//! | ACF, five of MOT15 | none | 23.4 | 26.7 | 33.0 | 0.374 |
//! | | raised | 48.4 | 55.1 | 71.0 | 0.178 |
//! | | and multiplied | 48.4 | 57.7 | 69.6 | 0.061 |
//!
//! When it rose where a quarter of the scores were low, all the doubtful boxes of YOLOX-x passed for sure ones (HOTA 34.5,
//! MOTA -58.3 on 02 and 09). What is below `noise_odds` is left out. Tried
//! in the same way and left out, since the median of the
//! draws did not move by more than noise: the direction of motion as a cost, the median correction of the
//! seen applied to the unseen or their common velocity (a moving camera), overlap of heights, noise by
//! score, doubtful detections in the first stage at a cost, who stands in front by the foot points,
//! scores by how long the tracks of their like live (clutter lives too), two-point differencing for new objects that
//! jump, a stopped beside a moving hypothesis for the lost, the bottom of the picture as an exit, a shorter
//! memory for short tracks, no births on top of a track.
//!
//! What a detector of motion reports as unknown things is followed as fast as cars are (`thing_speed`), and static ghosts wait.
//! On 440 frames of a motorway at 15 frames/s (SBI `HighwayI`, the detections of `inference::motion`) the recall of cars was 0.10
//! with 0.55 false boxes a frame without these two, and is 0.14 with 0.06; of the detections themselves 0.42 with 1.06. The same
//! detections at 5, 15, 25 and 60 frames/s gave 533, 500, 594 and 635 rows, and give 422, 492, 555 and 461.
//!
//! In one place stand: what a frame expects of a track in `expected`, which pairs may be and what they are
//! worth in `gate`, the filter's arithmetic in `filter`, the pairing in `base`, and what is noted for
//! `replay --explain` in `explain`.
//!
//! Who may belong to whom is searched along x: boxes are kept from left to right (`order`), and only what is within
//! reach is looked at (`edges`). What a frame costs grows with the objects and with how many of them stand
//! side by side (`benches/tracker.rs`). The worst is that all are in one place, which
//! no picture shows but a detector gone mad may: n² pairs and their assignment, at [`OBJECTS_MAX`] half a
//! second to a second.
//!
//! Pure: detections, a time and a source of ids come in; tracks, sightings and ended ids can be read
//! until the next step. The order of the detections changes nothing. Steps are real seconds and noise
//! grows with the box and with time, so that lost frames and other frame rates change little. At most
//! [`OBJECTS_MAX`] tracks and detections; after the first frames nothing is allocated. What a track
//! *does* belongs to `behavior`, where it stands on the ground to `pipeline`.

mod attributes;
mod camera_motion;
mod edges;
mod expected;
mod explain;
mod filter;
mod gate;
mod looks;
mod options;
mod order;
mod scale;
mod smallest;
mod still;
#[cfg(test)]
mod tests;
mod tracklet;

pub use attributes::Attributes;
pub use explain::{End, Entry, Note, Stage};
pub use gate::Refusal;
pub use options::{Motion, Options};

use crate::base::{Assignment, IdSource, Pair, Time};
use crate::model::{BBox, Detection, Look, Sighting, Size, Track};
use camera_motion::CameraMotion;
use edges::Edges;
use expected::Expected;
use explain::{Log, NEAR_HEIGHTS};
use filter::Pace;
use order::{Key, Sorter};
use scale::Scale;
use smallest::Smallest;
use still::Still;
use tracklet::Tracklet;

/// Most objects followed at once, detections used per frame included: a detector gone mad costs no
/// more than this. The surplus with the lowest scores is left out, and counted.
pub const OBJECTS_MAX: usize = 1_000;

/// A box that reaches farther than this is an error, not a measurement, pixels.
const PLACE_MAX_PX: f64 = 1e6;
/// From this hit on a detection is one of many of an object, and tells how the detector scores.
const CONTINUED_HITS_MIN: u32 = 2;
/// Ids from here on are of tracks that are not confirmed: they take none from the source, and are no longer
/// used once the track is confirmed.
pub const UNCONFIRMED_IDS: u32 = 1 << 31;

/// The stages that go by overlap, each with its own pairs.
const BY_OVERLAP: [Stage; 3] = [Stage::Sure, Stage::Doubtful, Stage::Tentative];

/// A track that a second look should be at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Due {
    /// Of its birth.
    pub number: u64,
    /// Pixels.
    pub bbox: BBox,
    /// How often it was looked at before.
    pub looks: u32,
}

/// Follows the objects of one camera.
#[derive(Debug)]
pub struct Tracker {
    options: Options,
    tracklets: Vec<Tracklet>,
    born: u64,
    /// The last that was given to a track not yet confirmed; begins where no run before is likely to have ended.
    unconfirmed_id: u32,
    last: Option<Time>,
    assignment: Assignment,
    scale: Scale,
    still: Still,
    smallest: Smallest,
    camera_motion: CameraMotion,
    /// Left edges or ids that are brought in order, and whose they are.
    order: Vec<Key>,
    sorter: Sorter,
    /// The detections of this frame by their left edge, their odds, and the track that has taken each.
    used: Vec<Detection>,
    used_edges: Edges,
    odds: Vec<f64>,
    /// By which track; from the births on by one of them, unless there are too many.
    taken: Vec<Option<usize>>,
    /// What is expected of the tracks, by the left edge of their boxes.
    expected: Vec<Expected>,
    expected_edges: Edges,
    /// The pairs of each stage by overlap; a row is a place in `expected`, a column one in `used`.
    overlaps: [Vec<Pair>; BY_OVERLAP.len()],
    /// Pairs of another kind, and the columns among which they are searched.
    pairs: Vec<Pair>,
    columns: Vec<usize>,
    tracks: Vec<Track>,
    ended: Vec<u32>,
    sightings: Vec<Sighting>,
    lapsed: Vec<u32>,
    detections_left_out: u64,
    /// No track is confirmed without a second look.
    looks_required: bool,
    log: Option<Log>,
}

impl Tracker {
    /// A tracker that has seen nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            tracklets: Vec::new(),
            born: 0,
            unconfirmed_id: 0,
            last: None,
            assignment: Assignment::default(),
            order: Vec::new(),
            sorter: Sorter::default(),
            used: Vec::new(),
            used_edges: Edges::default(),
            scale: Scale::new(&options),
            still: Still::default(),
            smallest: Smallest::default(),
            camera_motion: CameraMotion::default(),
            odds: Vec::new(),
            taken: Vec::new(),
            expected: Vec::new(),
            expected_edges: Edges::default(),
            overlaps: Default::default(),
            pairs: Vec::new(),
            columns: Vec::new(),
            tracks: Vec::new(),
            ended: Vec::new(),
            sightings: Vec::new(),
            lapsed: Vec::new(),
            detections_left_out: 0,
            looks_required: false,
            log: None,
        }
    }

    /// Goes by other options from the next frame on; the tracks that live stay.
    pub fn set_options(&mut self, options: Options) {
        self.scale.set_options(&options);
        self.options = options;
    }

    /// Whether tracks are confirmed only after second looks, and end by them.
    pub fn require_looks(&mut self, required: bool) {
        self.looks_required = required;
    }

    /// The track that should be looked at next, of those that were detected in the last frame. First those that were never
    /// looked at, which are the only ones unless `again`, then those that are not confirmed.
    pub fn next_look(&mut self, now: Time, again: bool) -> Option<Due> {
        let options = &self.options;
        let due = self.tracklets.iter_mut().filter(|t| t.is_worth_a_look(now, again, options));
        let first = due.min_by_key(|t| (t.looks.asked.is_some(), t.confirmed, t.looks.asked, t.number))?;
        let bbox = first.filter.bbox();
        let looks = first.looks.ask(now, bbox);
        Some(Due { number: first.number, bbox, looks })
    }

    /// Takes what a second look at the track of this number has found; it counts from the next frame on.
    pub fn look(&mut self, number: u64, look: &Look) {
        let Some(tracklet) = self.tracklets.iter_mut().find(|t| t.number == number) else { return };
        tracklet.look(look);
        if let Some(log) = &mut self.log {
            log.looks.push((number, Note::Looked { look: *look, odds: tracklet.looks.odds }));
        }
    }

    /// From now on notes why the track of this id, and those that may become it, go as they go.
    pub fn explain(&mut self, id: u32) {
        self.log = Some(Log { wanted: id, entries: Vec::new(), looks: Vec::new() });
    }

    /// What was noted in the last frame, in the order in which it happened.
    pub fn explanation(&self) -> &[Entry] {
        self.log.as_ref().map_or(&[], |log| &log.entries)
    }

    /// Takes the detections of the frame captured at `now`, a picture of the size `view`. Boxes that are
    /// not finite or have no area are left out.
    pub fn step(&mut self, detections: &[Detection], view: Size, now: Time, ids: &mut dyn IdSource) {
        self.scale.settle();
        self.select(detections, view);
        let dt_s = self.last.map_or(0.0, |last| now.since(last).as_secs_f64());
        if self.last.replace(now).is_none() {
            self.unconfirmed_id = now.epoch_ms as u32;
        }
        let [seen, unseen] = [true, false].map(|seen| Pace::new(dt_s, seen, &self.options.motion));
        for tracklet in &mut self.tracklets {
            tracklet.predict(&seen, &unseen, &self.options);
        }
        if let Some(by) = self.camera_motion.moved(&self.tracklets, &self.used, &self.odds, dt_s) {
            self.tracklets.iter_mut().for_each(|tracklet| tracklet.shift(by));
        }
        self.expect(now);
        self.cover();
        if self.log.is_some() {
            self.note_expected();
        }
        self.associate(now);
        self.lapsed.clear();
        self.begin(now);
        self.confirm(view, ids);
        self.cover_unseen();
        self.sight();
        self.report(view, now);
    }

    /// The confirmed tracks that were detected in the last frame, or that another covers, by id.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The confirmed tracks that were given up in the last frame.
    pub fn ended(&self) -> &[u32] {
        &self.ended
    }

    /// What was detected in the last frame, by track.
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// The ids under which tracks were sighted that are confirmed now, or have ended before. In no order.
    pub fn lapsed(&self) -> &[u32] {
        &self.lapsed
    }

    /// Detections that were not used because they were no boxes, or too many.
    pub fn detections_left_out(&self) -> u64 {
        self.detections_left_out
    }

    fn select(&mut self, detections: &[Detection], view: Size) {
        let sane = |d: &Detection| {
            let b = d.bbox;
            let near = [b.left, b.top, b.width, b.height].iter().all(|x| x.abs() <= PLACE_MAX_PX);
            near && d.score.is_finite() && b.width > 0.0 && b.height > 0.0
        };
        let all = detections.iter().enumerate();
        self.order.clear();
        self.order.extend(all.filter(|(_, d)| sane(d)).map(|(i, d)| (d.bbox.left, i)));
        let boxes = self.order.len();
        let least = self.scale.score(self.options.noise_odds);
        let smallest = &self.smallest;
        self.order.retain(|&(_, i)| {
            let Detection { bbox, score, .. } = detections[i];
            score >= least && !smallest.is_too_small(bbox, view)
        });
        let noise = boxes - self.order.len();
        // One order, whatever the detector's: by score where some must go, then by place.
        if self.order.len() > OBJECTS_MAX {
            self.order.select_nth_unstable_by(OBJECTS_MAX, |a, b| {
                let (a, b) = (&detections[a.1], &detections[b.1]);
                b.score.total_cmp(&a.score).then_with(|| by_place(a, b))
            });
            self.order.truncate(OBJECTS_MAX);
        }
        self.sorter.sort(&mut self.order, |a, b| by_place(&detections[a], &detections[b]));
        self.used.clear();
        self.used.extend(self.order.iter().map(|&(_, i)| detections[i]));
        self.used_edges.fill(self.used.iter().map(|d| d.bbox));
        self.detections_left_out += (detections.len() - noise - self.used.len()) as u64;
        self.odds.clear();
        self.odds.extend(self.used.iter().map(|d| self.scale.odds(d.score)));
        self.taken.clear();
        self.taken.resize(self.used.len(), None);
    }

    /// Puts what is expected of the tracks in order.
    fn expect(&mut self, now: Time) {
        let (tracklets, motion) = (&self.tracklets, &self.options.motion);
        self.order.clear();
        self.order.extend(tracklets.iter().enumerate().map(|(i, t)| (t.filter.bbox().left, i)));
        self.sorter.sort(&mut self.order, |a, b| a.cmp(&b));
        self.expected.clear();
        self.expected.extend(self.order.iter().map(|&(_, i)| Expected::of(&tracklets[i], i, now, motion)));
        self.expected_edges.fill(self.expected.iter().map(|e| e.bbox));
    }

    /// Measures how much each confirmed track is covered by another.
    fn cover(&mut self) {
        for row in 0..self.expected.len() {
            let Expected { bbox, confirmed: true, mut covered, .. } = self.expected[row] else { continue };
            for &other in self.expected_edges.meeting(bbox, row + 1) {
                let other = &mut self.expected[other];
                if other.confirmed {
                    let iou = bbox.iou(other.bbox);
                    other.covered = other.covered.max(iou);
                    covered = covered.max(iou);
                }
            }
            self.expected[row].covered = covered;
        }
    }

    /// The same for what is unseen, by what is seen and where it is seen; only where it may be reported.
    fn cover_unseen(&mut self) {
        let mut first = 0;
        for expected in self.expected.iter().filter(|e| e.confirmed && !e.seen) {
            let mut covered = 0.0_f64;
            if expected.unseen_s <= self.options.covered_s {
                first = self.used_edges.first_reaching(expected.bbox.left, first);
                for &column in self.used_edges.meeting(expected.bbox, first) {
                    if self.taken[column].is_some_and(|by| self.tracklets[by].confirmed) {
                        covered = covered.max(expected.bbox.iou(self.used[column].bbox));
                    }
                }
            }
            self.tracklets[expected.tracklet].covered = covered;
        }
    }

    /// Pairs tracks with detections, stage by stage, and updates or misses each track.
    fn associate(&mut self, now: Time) {
        self.search_overlaps();
        self.pair_by_overlap(0, now);
        self.pair_by_overlap(1, now);
        self.pair_by_distance(now);
        self.pair_by_overlap(2, now);
        for expected in self.expected.iter().filter(|e| !e.seen) {
            let tracklet = &mut self.tracklets[expected.tracklet];
            tracklet.misses = tracklet.misses.saturating_add(1);
            if let Some(log) = &mut self.log {
                log.note(tracklet, Note::Missed(tracklet.misses));
            }
        }
    }

    /// Finds the pairs of all the stages by overlap at once: boxes only change when they are taken.
    fn search_overlaps(&mut self) {
        self.overlaps.iter_mut().for_each(Vec::clear);
        let mut first = 0;
        for (row, expected) in self.expected.iter().enumerate() {
            let core = gate::core(expected.bbox, &self.options);
            first = self.used_edges.first_reaching(core.left, first);
            for &column in self.used_edges.meeting(core, first) {
                if let Ok(worth) = gate::overlap(expected, &self.used[column], &self.options)
                    && let Some(stage) = expected.stage(self.odds[column], &self.options)
                {
                    self.overlaps[stage].push(Pair { row, column, worth });
                }
            }
        }
    }

    fn pair_by_overlap(&mut self, stage: usize, now: Time) {
        let mut pairs = std::mem::take(&mut self.overlaps[stage]);
        if stage > 0 {
            pairs.retain(|p| self.taken[p.column].is_none() && !self.expected[p.row].seen);
        }
        if self.log.is_some() {
            self.note_overlaps(stage);
        }
        self.assignment.solve(&pairs, self.used.len());
        self.overlaps[stage] = pairs;
        self.take(BY_OVERLAP[stage], now);
    }

    /// Looks for lost tracks, and for those whose object jumped, among the sure detections left.
    fn pair_by_distance(&mut self, now: Time) {
        let (used, taken) = (&self.used, &self.taken);
        let sure = |&c: &usize| taken[c].is_none() && self.odds[c] >= self.options.sure_odds;
        self.columns.clear();
        self.columns.extend((0..used.len()).filter(sure));
        if self.columns.is_empty() {
            return;
        }
        self.pairs.clear();
        for (row, expected) in self.expected.iter().enumerate().filter(|(_, e)| e.may_be_far()) {
            let (at, variance) = (expected.bbox.center(), expected.variance_of_center());
            let reach = variance.map(|v| gate::reach(v, &self.options));
            let leftmost = at.x - reach[0] - self.used_edges.widest() / 2.0;
            let first = self.columns.partition_point(|&c| used[c].bbox.left < leftmost);
            let near = self.columns[first..].iter().take_while(|c| used[**c].bbox.left <= at.x + reach[0]);
            for &column in near.filter(|c| (used[**c].bbox.center().y - at.y).abs() <= reach[1]) {
                if let Ok(worth) = gate::found(expected, &used[column], &self.options) {
                    self.pairs.push(Pair { row, column, worth });
                }
            }
        }
        if self.log.is_some() {
            self.note_distances();
        }
        self.assignment.solve(&self.pairs, self.used.len());
        self.take(Stage::Distance, now);
    }

    /// Gives each track that was chosen its detection.
    fn take(&mut self, stage: Stage, now: Time) {
        for &(row, column) in self.assignment.chosen() {
            let expected = &mut self.expected[row];
            let tracklet = &mut self.tracklets[expected.tracklet];
            let detection = self.used[column];
            if tracklet.hits >= CONTINUED_HITS_MIN {
                self.scale.learn(self.odds[column]);
            }
            tracklet.hit(&detection, self.odds[column], expected.covered, now, &self.options);
            expected.seen = true;
            self.taken[column] = Some(expected.tracklet);
            if let Some(log) = &mut self.log {
                log.note(tracklet, Note::Hit { stage, detection, bbox: tracklet.filter.bbox() });
            }
        }
    }

    /// Every detection that no track took begins one.
    fn begin(&mut self, now: Time) {
        let all = self.used.iter().zip(&self.odds).zip(&mut self.taken);
        for ((detection, &odds), taken) in all.filter(|(_, taken)| taken.is_none()) {
            if self.tracklets.len() >= OBJECTS_MAX {
                self.detections_left_out += 1;
                continue;
            }
            self.born += 1;
            self.unconfirmed_id = self.unconfirmed_id.wrapping_add(1) | UNCONFIRMED_IDS;
            let tracklet = Tracklet::new(self.born, self.unconfirmed_id, detection, odds, now, &self.options);
            *taken = Some(self.tracklets.len());
            if let Some(log) = &mut self.log {
                log.note(&tracklet, Note::Born(*detection));
            }
            self.tracklets.push(tracklet);
        }
    }

    /// Confirms the tracks that have enough evidence: as a lost track, or with an id of their own.
    fn confirm(&mut self, view: Size, ids: &mut dyn IdSource) {
        self.columns.clear();
        let (options, required) = (&self.options, self.looks_required);
        let must_wait = self.still.must_wait();
        for (index, tracklet) in self.tracklets.iter_mut().enumerate() {
            if tracklet.stood && tracklet.has_moved() {
                tracklet.stood = false;
                self.still.moved();
            }
            if tracklet.ready(required, options) {
                let is_shown = tracklet.is_shown(options);
                tracklet.stood |= !is_shown;
                if is_shown || !must_wait {
                    self.columns.push(index);
                }
            }
        }
        if self.columns.is_empty() {
            return;
        }
        self.join_lost();
        self.columns.sort_unstable();
        for &index in &self.columns {
            let tracklet = &mut self.tracklets[index];
            if tracklet.confirmed {
                continue;
            }
            self.smallest.learn(tracklet.filter.bbox(), view);
            self.lapsed.push(tracklet.id);
            tracklet.id = ids.next_id();
            if let Some(log) = &mut self.log {
                log.note(tracklet, Note::Confirmed(tracklet.id));
            }
            tracklet.confirmed = true;
        }
    }

    /// Lets new tracks go on as the lost ones that they may have been.
    fn join_lost(&mut self) {
        let (tracklets, options) = (&self.tracklets, &self.options);
        let x = |i: usize| tracklets[i].filter.center().x;
        self.columns.sort_unstable_by(|a, b| x(*a).total_cmp(&x(*b)).then(a.cmp(b)));
        self.pairs.clear();
        for (row, lost) in tracklets.iter().enumerate() {
            if !lost.confirmed || lost.misses == 0 {
                continue;
            }
            let (from, reach) = (x(row), gate::reach(lost.filter.variance_x(&options.motion), options));
            let first = self.columns.partition_point(|&c| x(c) < from - reach);
            for (column, &new) in self.columns.iter().enumerate().skip(first) {
                let new = &tracklets[new];
                if new.filter.center().x > from + reach {
                    break;
                }
                if lost.last_seen.mono_ns < new.born.mono_ns
                    && let Ok(worth) = gate::join(lost, new, options)
                {
                    self.pairs.push(Pair { row, column, worth });
                }
            }
        }
        self.assignment.solve(&self.pairs, self.columns.len());
        for &(lost, column) in self.assignment.chosen() {
            let Ok([lost, new]) = self.tracklets.get_disjoint_mut([lost, self.columns[column]]) else {
                continue;
            };
            if let Some(log) = &mut self.log {
                log.note(lost, Note::Ended(End::Joined));
                log.note(new, Note::Joined(lost.id));
            }
            self.lapsed.push(new.id);
            new.join(lost);
            lost.joined = true;
        }
    }

    /// Tells of every detection whose it is.
    fn sight(&mut self) {
        self.sightings.clear();
        let all = self.used.iter().zip(&self.taken);
        let tracklets = &self.tracklets;
        let motion = &self.options.motion;
        // What a second look has not found is nothing to other cameras either.
        let required = self.looks_required;
        self.sightings.extend(all.filter_map(|(d, taken)| {
            let tracklet = &tracklets[(*taken)?];
            let is_nothing = required && !tracklet.confirmed && tracklet.looks.odds < 0.0;
            (!is_nothing).then(|| tracklet.sighting(d, motion))
        }));
        self.sightings.sort_unstable_by_key(|sighting| sighting.track);
    }

    /// Reports and ends.
    fn report(&mut self, view: Size, now: Time) {
        self.order.clear();
        self.tracks.clear();
        self.ended.clear();
        let Options { max_age_frames, lost_s, exit_s, covered_s, covered_iou, .. } = self.options;
        let (shown, ended, lapsed, log) = (&mut self.order, &mut self.ended, &mut self.lapsed, &mut self.log);
        let (options, still) = (&self.options, &mut self.still);
        let mut end = |tracklet: &Tracklet, end| {
            if tracklet.stood && !tracklet.is_shown(options) {
                still.vanished();
            }
            if let Some(log) = log {
                log.note(tracklet, Note::Ended(end));
            }
            false
        };
        let (mut kept, looks_required) = (0, self.looks_required);
        self.tracklets.retain(|tracklet| {
            if tracklet.joined {
                return false;
            }
            let (unseen_s, id) = (tracklet.unseen_s(now), tracklet.id);
            if !tracklet.confirmed {
                if tracklet.has_failed(now, options) {
                    lapsed.push(id);
                    return end(tracklet, End::Unconfirmed);
                }
                kept += 1;
                return true;
            }
            if looks_required && tracklet.looks.are_against() {
                ended.push(id);
                return end(tracklet, End::Refuted);
            }
            if unseen_s > exit_s && tracklet.misses > 0 && tracklet.is_at_edge(view) {
                ended.push(id);
                return end(tracklet, End::Left);
            }
            if tracklet.misses > max_age_frames && unseen_s > lost_s {
                ended.push(id);
                return end(tracklet, End::Lost);
            }
            let is_covered = unseen_s <= covered_s && tracklet.covered > covered_iou;
            if tracklet.is_likely() && (tracklet.misses == 0 || is_covered) {
                shown.push((f64::from(id), kept));
            }
            kept += 1;
            true
        });
        self.sorter.sort(&mut self.order, |a, b| a.cmp(&b));
        let Options { detected_share, detected_share_moving, .. } = self.options;
        let share = if self.camera_motion.moves() { detected_share_moving } else { detected_share };
        self.tracks.extend(self.order.iter().map(|&(_, index)| self.tracklets[index].report(share, now)));
    }
}

/// What the tracker notes for whoever asks why; see [`explain`].
impl Tracker {
    fn note_expected(&mut self) {
        let Some(log) = &mut self.log else { return };
        log.entries.clear();
        for (number, note) in log.looks.drain(..) {
            let of = self.tracklets.iter().find(|t| t.number == number);
            if let Some(tracklet) = of.filter(|t| !t.confirmed || t.id == log.wanted) {
                log.entries.push(Entry { tracklet: tracklet.number, note });
            }
        }
        for &Expected { bbox, tracklet, unseen_s, covered, .. } in &self.expected {
            log.note(&self.tracklets[tracklet], Note::Expected { bbox, unseen_s, covered });
        }
    }

    fn note_overlaps(&mut self, stage: usize) {
        let Some(mut log) = self.log.take() else { return };
        let options = &self.options;
        self.note_candidates(&mut log, BY_OVERLAP[stage], |e, d| {
            let stands = e.stage(self.scale.odds(d.score), options) == Some(stage);
            stands.then(|| gate::overlap(e, d, options))
        });
        self.log = Some(log);
    }

    fn note_distances(&mut self) {
        let Some(mut log) = self.log.take() else { return };
        let options = &self.options;
        self.note_candidates(&mut log, Stage::Distance, |e, d| {
            (e.may_be_far() && self.scale.odds(d.score) >= options.sure_odds)
                .then(|| gate::found(e, d, options))
        });
        self.log = Some(log);
    }

    /// Every free track with every free detection near it, as far as `judge` has a say.
    fn note_candidates(
        &self,
        log: &mut Log,
        stage: Stage,
        judge: impl Fn(&Expected, &Detection) -> Option<Result<f64, Refusal>>,
    ) {
        for expected in self.expected.iter().filter(|e| !e.seen) {
            let bbox = expected.bbox;
            for (detection, _) in self.used.iter().zip(&self.taken).filter(|(_, taken)| taken.is_none()) {
                let away = detection.bbox.center().distance(bbox.center());
                let Some(verdict) = judge(expected, detection) else { continue };
                if verdict.is_ok() || away <= NEAR_HEIGHTS * bbox.height {
                    let note = Note::Candidate { stage, detection: *detection, verdict };
                    log.note(&self.tracklets[expected.tracklet], note);
                }
            }
        }
    }
}

/// From left to right; where two are alike to the last bit, their order does not matter.
fn by_place(a: &Detection, b: &Detection) -> std::cmp::Ordering {
    let key = |d: &Detection| [d.bbox.top, d.bbox.width, d.bbox.height, d.score];
    a.bbox.left.total_cmp(&b.bbox.left).then_with(|| {
        let order = key(a).into_iter().zip(key(b)).map(|(x, y)| x.total_cmp(&y));
        let order = order.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
        order.then((a.class as u8).cmp(&(b.class as u8)))
    })
}
