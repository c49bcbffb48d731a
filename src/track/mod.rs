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
//!    that it may have been, or gets an id of its own.
//!
//! ```text
//!         hits and evidence               miss          lost_s and max_age, or at the edge
//! tentative -----------------> confirmed ------> lost ----------------------------------> ended
//!     | miss                       ^              | hit, or joined by a new track
//!     v                            +--------------+
//!   ended (never reported)
//! ```
//!
//! Reported is a confirmed track that is detected, or that another has just walked in front of. What is
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
//! | nothing | 45.4 | 52.8 | 63.4 | 138 | 44.8 | 52.2 | 61.9 | 145 |
//! | `sure_odds`: all detections are sure | 42.8 | 50.3 | 57.5 | 204 | 43.2 | 50.0 | 58.7 | 209 |
//! | `doubt_share`: scores as they are | 45.4 | 52.8 | 63.4 | 136 | 44.8 | 52.3 | 61.9 | 142 |
//! | `gate`: no search by distance, no joining | 41.3 | 51.3 | 53.3 | 186 | 41.4 | 51.1 | 53.4 | 183 |
//! | `lost_s`: lost for 0.5 s only | 42.0 | 52.4 | 54.4 | 178 | 41.9 | 52.0 | 54.3 | 179 |
//! | `birth_density`: a lost track before a new one | 44.3 | 52.8 | 61.4 | 142 | 44.1 | 52.2 | 60.7 | 147 |
//! | `heading_s`: velocities of the unseen do not fade | 44.1 | 52.6 | 60.4 | 142 | 44.3 | 52.1 | 61.2 | 150 |
//! | `stray_cost`: overlap alone | 41.9 | 51.5 | 57.0 | 137 | 42.6 | 51.6 | 58.5 | 139 |
//! | `occlusion_noise` | 44.3 | 53.1 | 61.3 | 154 | 44.0 | 52.7 | 60.3 | 154 |
//! | `rise_share`: as free up and down as across | 44.7 | 52.2 | 62.3 | 145 | 44.0 | 51.8 | 60.8 | 152 |
//! | `exit_s`: nobody leaves at the edge | 44.0 | 52.3 | 60.4 | 140 | 43.1 | 51.8 | 58.6 | 148 |
//! | `covered_s`: covered tracks not reported | 44.7 | 51.9 | 62.8 | 158 | 44.0 | 51.7 | 61.4 | 167 |
//! | `growth_s`: sizes do not grow | 44.1 | 51.8 | 61.2 | 149 | 44.2 | 51.4 | 60.8 | 162 |
//! | `tentative_cost` | 45.1 | 52.4 | 62.9 | 151 | 44.7 | 51.9 | 61.8 | 153 |
//!
//! The scale of the scores gives nothing to a detector whose scores are probabilities, and all to others:
//! with the ACF detections of five of the sequences (`--det det_trackeval_pedes.txt`, scores up to 139)
//! IDF1 is 68.7 with it and 39.4 without. Tried in the same way and left out, since the median of the
//! draws did not move by more than noise: the direction of motion as a cost, the median correction of the
//! seen applied to the unseen or their common velocity (a moving camera), overlap of heights, noise by
//! score, doubtful detections in the first stage at a cost, who stands in front by the foot points,
//! a stopped beside a moving hypothesis for the lost, the bottom of the picture as an exit, a shorter
//! memory for short tracks, no births on top of a track, reports drawn toward the detection.
//!
//! In one place stand: which pairs may be and what they are worth in `gate`, the filter's arithmetic in
//! `filter`, the pairing in `base`, and what is noted for `replay --explain` in `explain`.
//!
//! Who may belong to whom is searched along x: tracks and detections are kept from left to right (`order`),
//! and only what is within reach is looked at (`edges`). What a frame costs grows with the objects and with
//! how many of them stand side by side (`benches/tracker.rs`). The worst is that all are in one place, which
//! no picture shows but a detector gone mad may: n² pairs and their assignment, at [`OBJECTS_MAX`] half a
//! second to a second.
//!
//! Pure: detections, a time and a source of ids come in; confirmed tracks and ended ids can be read
//! until the next step. The order of the detections changes nothing. Steps are real seconds and noise
//! grows with the box and with time, so that lost frames and other frame rates change little. At most
//! [`OBJECTS_MAX`] tracks and detections; after the first frames nothing is allocated. What a track
//! *does* belongs to `behavior`, where it stands on the ground to `pipeline`.

mod attributes;
mod edges;
mod explain;
mod filter;
mod gate;
mod options;
mod order;
mod scale;
#[cfg(test)]
mod tests;
mod tracklet;

pub use attributes::Attributes;
pub use explain::{End, Entry, Note, Stage};
pub use gate::Refusal;
pub use options::{Motion, Options};

use crate::base::{Assignment, IdSource, Pair, Time};
use crate::model::{BBox, Detection, Size, Track};
use edges::Edges;
use explain::{Log, NEAR_HEIGHTS};
use filter::Pace;
use order::{Key, Sorter};
use scale::Scale;
use tracklet::Tracklet;

/// Most objects followed at once, detections used per frame included: a detector gone mad costs no
/// more than this. The surplus with the lowest scores is left out, and counted.
pub const OBJECTS_MAX: usize = 1_000;

/// A box that reaches farther than this is an error, not a measurement, pixels.
const PLACE_MAX_PX: f64 = 1e6;
/// From this hit on a detection is one of many of an object, and tells how the detector scores.
const CONTINUED_HITS_MIN: u32 = 2;

/// The stages that go by overlap, each with its own pairs.
const BY_OVERLAP: [Stage; 3] = [Stage::Sure, Stage::Doubtful, Stage::Tentative];

/// Follows the objects of one camera.
#[derive(Debug)]
pub struct Tracker {
    options: Options,
    tracklets: Vec<Tracklet>,
    born: u64,
    last: Option<Time>,
    assignment: Assignment,
    scale: Scale,
    /// Left edges or ids that are brought in order, and whose they are.
    order: Vec<Key>,
    sorter: Sorter,
    /// The detections of this frame by their left edge, their odds, and which of them a track has taken.
    used: Vec<Detection>,
    used_edges: Edges,
    odds: Vec<f64>,
    taken: Vec<bool>,
    /// The tracks' boxes by their left edge.
    placed: Vec<Placed>,
    placed_edges: Edges,
    /// The pairs of each stage by overlap; a row is a place in `placed`, a column one in `used`.
    overlaps: [Vec<Pair>; BY_OVERLAP.len()],
    /// Pairs of another kind, and the columns among which they are searched.
    pairs: Vec<Pair>,
    columns: Vec<usize>,
    tracks: Vec<Track>,
    ended: Vec<u32>,
    detections_left_out: u64,
    log: Option<Log>,
}

/// Where a track is in the frame.
#[derive(Debug, Clone, Copy)]
struct Placed {
    bbox: BBox,
    tracklet: usize,
    confirmed: bool,
    covered: f64,
}

impl Tracker {
    /// A tracker that has seen nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            tracklets: Vec::new(),
            born: 0,
            last: None,
            assignment: Assignment::default(),
            order: Vec::new(),
            sorter: Sorter::default(),
            used: Vec::new(),
            used_edges: Edges::default(),
            scale: Scale::new(&options),
            odds: Vec::new(),
            taken: Vec::new(),
            placed: Vec::new(),
            placed_edges: Edges::default(),
            overlaps: Default::default(),
            pairs: Vec::new(),
            columns: Vec::new(),
            tracks: Vec::new(),
            ended: Vec::new(),
            detections_left_out: 0,
            log: None,
        }
    }

    /// Goes by other options from the next frame on; the tracks that live stay.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// From now on notes why the track of this id, and those that may become it, go as they go.
    pub fn explain(&mut self, id: u32) {
        self.log = Some(Log { wanted: id, entries: Vec::new() });
    }

    /// What was noted in the last frame, in the order in which it happened.
    pub fn explanation(&self) -> &[Entry] {
        self.log.as_ref().map_or(&[], |log| &log.entries)
    }

    /// Takes the detections of the frame captured at `now`, a picture of the size `view`. Boxes that are
    /// not finite or have no area are left out.
    pub fn step(&mut self, detections: &[Detection], view: Size, now: Time, ids: &mut dyn IdSource) {
        self.select(detections);
        let dt_s = self.last.map_or(0.0, |last| now.since(last).as_secs_f64());
        self.last = Some(now);
        let [seen, unseen] = [true, false].map(|seen| Pace::new(dt_s, seen, &self.options.motion));
        for tracklet in &mut self.tracklets {
            tracklet.predict(&seen, &unseen, &self.options);
        }
        self.place();
        self.cover();
        if self.log.is_some() {
            self.note_expected(now);
        }
        self.associate(now);
        self.begin(now);
        self.confirm(ids);
        self.cover_unseen(now);
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

    /// Detections that were not used because they were no boxes, or too many.
    pub fn detections_left_out(&self) -> u64 {
        self.detections_left_out
    }

    fn select(&mut self, detections: &[Detection]) {
        let sane = |d: &Detection| {
            let b = d.bbox;
            let near = [b.left, b.top, b.width, b.height].iter().all(|x| x.abs() <= PLACE_MAX_PX);
            near && d.score.is_finite() && b.width > 0.0 && b.height > 0.0
        };
        let all = detections.iter().enumerate();
        self.order.clear();
        self.order.extend(all.filter(|(_, d)| sane(d)).map(|(i, d)| (d.bbox.left, i)));
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
        self.detections_left_out += (detections.len() - self.used.len()) as u64;
        self.scale.settle();
        self.odds.clear();
        self.odds.extend(self.used.iter().map(|d| self.scale.odds(d.score)));
        self.taken.clear();
        self.taken.resize(self.used.len(), false);
    }

    /// Puts the tracks' boxes in order.
    fn place(&mut self) {
        let tracklets = &self.tracklets;
        self.order.clear();
        self.order.extend(tracklets.iter().enumerate().map(|(i, t)| (t.filter.bbox().left, i)));
        self.sorter.sort(&mut self.order, |a, b| a.cmp(&b));
        self.placed.clear();
        self.placed.extend(self.order.iter().map(|&(_, tracklet)| {
            let t = &tracklets[tracklet];
            Placed { bbox: t.filter.bbox(), tracklet, confirmed: t.confirmed(), covered: 0.0 }
        }));
        self.placed_edges.fill(self.placed.iter().map(|p| p.bbox));
    }

    /// Measures how much each confirmed track is covered by another.
    fn cover(&mut self) {
        for row in 0..self.placed.len() {
            let a = self.placed[row];
            if !a.confirmed {
                continue;
            }
            for &other in self.placed_edges.meeting(a.bbox, row + 1) {
                let b = &mut self.placed[other];
                if b.confirmed {
                    let iou = a.bbox.iou(b.bbox);
                    b.covered = b.covered.max(iou);
                    self.placed[row].covered = self.placed[row].covered.max(iou);
                }
            }
        }
        for placed in &self.placed {
            self.tracklets[placed.tracklet].covered = placed.covered;
        }
    }

    /// The same after the update, for what is unseen, by what is seen; only where it may be reported.
    fn cover_unseen(&mut self, now: Time) {
        let covered_s = self.options.covered_s;
        let asked = |t: &Tracklet| t.confirmed() && !t.joined && t.misses > 0 && t.unseen_s(now) <= covered_s;
        self.order.clear();
        let all = self.tracklets.iter().enumerate().filter(|(_, t)| asked(t));
        self.order.extend(all.map(|(i, t)| (t.filter.bbox().left, i)));
        if self.order.is_empty() {
            return;
        }
        self.sorter.sort(&mut self.order, |a, b| a.cmp(&b));
        self.placed_edges.fill(self.order.iter().map(|&(_, i)| self.tracklets[i].filter.bbox()));
        for &(_, unseen) in &self.order {
            self.tracklets[unseen].covered = 0.0;
        }
        for seen in 0..self.tracklets.len() {
            let tracklet = &self.tracklets[seen];
            if !tracklet.confirmed() || tracklet.misses > 0 {
                continue;
            }
            let bbox = tracklet.filter.bbox();
            let first = self.placed_edges.first_reaching(bbox.left);
            for &index in self.placed_edges.meeting(bbox, first) {
                let unseen = &mut self.tracklets[self.order[index].1];
                unseen.cover(unseen.filter.bbox().iou(bbox));
            }
        }
    }

    /// Pairs tracks with detections, stage by stage, and updates or misses each track.
    fn associate(&mut self, now: Time) {
        self.search_overlaps(now);
        self.pair_by_overlap(0, now);
        self.pair_by_overlap(1, now);
        self.pair_by_distance(now);
        self.pair_by_overlap(2, now);
        for tracklet in self.tracklets.iter_mut().filter(|t| !t.seen) {
            tracklet.misses = tracklet.misses.saturating_add(1);
            if let Some(log) = &mut self.log {
                log.note(tracklet, Note::Missed(tracklet.misses));
            }
        }
    }

    /// Finds the pairs of all the stages by overlap at once: boxes only change when they are taken.
    fn search_overlaps(&mut self, now: Time) {
        self.overlaps.iter_mut().for_each(Vec::clear);
        for (row, placed) in self.placed.iter().enumerate() {
            let (expected, tracklet) = (placed.bbox, &self.tracklets[placed.tracklet]);
            let core = gate::core(expected, &self.options);
            let first = self.used_edges.first_reaching(core.left);
            for &column in self.used_edges.meeting(core, first) {
                let d = &self.used[column];
                if let Ok(worth) = gate::overlap(tracklet, expected, d, &self.options)
                    && let Some(stage) = stage_of(tracklet, self.odds[column], now, &self.options)
                {
                    self.overlaps[stage].push(Pair { row, column, worth });
                }
            }
        }
    }

    fn pair_by_overlap(&mut self, stage: usize, now: Time) {
        let mut pairs = std::mem::take(&mut self.overlaps[stage]);
        if stage > 0 {
            pairs.retain(|p| !self.taken[p.column] && !self.tracklets[self.placed[p.row].tracklet].seen);
        }
        if self.log.is_some() {
            self.note_overlaps(stage, now);
        }
        self.assignment.solve(&pairs, self.used.len());
        self.overlaps[stage] = pairs;
        self.take(BY_OVERLAP[stage], now);
    }

    /// Looks for lost tracks, and for those whose object jumped, among the sure detections left.
    fn pair_by_distance(&mut self, now: Time) {
        let (used, taken) = (&self.used, &self.taken);
        let sure = |&c: &usize| !taken[c] && self.odds[c] >= self.options.sure_odds;
        self.columns.clear();
        self.columns.extend((0..used.len()).filter(sure));
        if self.columns.is_empty() {
            return;
        }
        self.pairs.clear();
        for (row, placed) in self.placed.iter().enumerate() {
            let tracklet = &self.tracklets[placed.tracklet];
            if !may_be_far(tracklet) {
                continue;
            }
            let (x, reach) = (tracklet.filter.center().x, gate::reach(tracklet, &self.options));
            let leftmost = x - reach - self.used_edges.widest() / 2.0;
            let first = self.columns.partition_point(|&c| used[c].bbox.left < leftmost);
            let near = self.columns[first..].iter().take_while(|c| used[**c].bbox.left <= x + reach);
            for &column in near {
                if let Ok(worth) = gate::found(tracklet, &used[column], &self.options) {
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
            let tracklet = &mut self.tracklets[self.placed[row].tracklet];
            let detection = self.used[column];
            if tracklet.hits >= CONTINUED_HITS_MIN {
                self.scale.learn(detection.score);
            }
            tracklet.hit(&detection, self.odds[column], now, &self.options);
            self.taken[column] = true;
            if let Some(log) = &mut self.log {
                log.note(tracklet, Note::Hit { stage, detection, bbox: tracklet.filter.bbox() });
            }
        }
    }

    /// Every detection that no track took begins one.
    fn begin(&mut self, now: Time) {
        let all = self.used.iter().zip(&self.odds).zip(&self.taken);
        for ((detection, &odds), _) in all.filter(|(_, taken)| !**taken) {
            if self.tracklets.len() >= OBJECTS_MAX {
                self.detections_left_out += 1;
                continue;
            }
            self.born += 1;
            let tracklet = Tracklet::new(self.born, detection, odds, now, &self.options);
            if let Some(log) = &mut self.log {
                log.note(&tracklet, Note::Born(*detection));
            }
            self.tracklets.push(tracklet);
        }
    }

    /// Confirms the tracks that have enough evidence: as a lost track, or with an id of their own.
    fn confirm(&mut self, ids: &mut dyn IdSource) {
        self.columns.clear();
        let all = self.tracklets.iter().enumerate();
        self.columns.extend(all.filter(|(_, t)| t.ready(&self.options)).map(|(i, _)| i));
        if self.columns.is_empty() {
            return;
        }
        self.join_lost();
        let options = &self.options;
        for tracklet in self.tracklets.iter_mut().filter(|t| t.ready(options)) {
            let id = ids.next_id();
            if let Some(log) = &mut self.log {
                log.note(tracklet, Note::Confirmed(id));
            }
            tracklet.id = Some(id);
        }
    }

    /// Lets new tracks go on as the lost ones that they may have been.
    fn join_lost(&mut self) {
        let (tracklets, options) = (&self.tracklets, &self.options);
        let x = |i: usize| tracklets[i].filter.center().x;
        self.columns.sort_unstable_by(|a, b| x(*a).total_cmp(&x(*b)).then(a.cmp(b)));
        self.pairs.clear();
        for (row, lost) in tracklets.iter().enumerate() {
            if !lost.confirmed() || lost.misses == 0 {
                continue;
            }
            let (from, reach) = (x(row), gate::reach(lost, options));
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
            if let (Some(log), Some(id)) = (&mut self.log, lost.id) {
                log.note(lost, Note::Ended(End::Joined));
                log.note(new, Note::Joined(id));
            }
            new.join(lost);
            lost.joined = true;
        }
    }

    /// Reports and ends.
    fn report(&mut self, view: Size, now: Time) {
        self.order.clear();
        self.tracks.clear();
        self.ended.clear();
        let Options { max_age_frames, lost_s, exit_s, covered_s, covered_iou, .. } = self.options;
        let (shown, ended, log) = (&mut self.order, &mut self.ended, &mut self.log);
        let mut end = |tracklet: &Tracklet, end| {
            if let Some(log) = log {
                log.note(tracklet, Note::Ended(end));
            }
            false
        };
        let mut kept = 0;
        self.tracklets.retain(|tracklet| {
            if tracklet.joined {
                return false;
            }
            let unseen_s = tracklet.unseen_s(now);
            let Some(id) = tracklet.id else {
                let stays = tracklet.misses == 0 || end(tracklet, End::Unconfirmed);
                kept += usize::from(stays);
                return stays;
            };
            if unseen_s > exit_s && tracklet.misses > 0 && tracklet.is_at_edge(view) {
                ended.push(id);
                return end(tracklet, End::Left);
            }
            if tracklet.misses > max_age_frames && unseen_s > lost_s {
                ended.push(id);
                return end(tracklet, End::Lost);
            }
            if tracklet.misses == 0 || unseen_s <= covered_s && tracklet.covered > covered_iou {
                shown.push((f64::from(id), kept));
            }
            kept += 1;
            true
        });
        self.sorter.sort(&mut self.order, |a, b| a.cmp(&b));
        self.tracks.extend(self.order.iter().filter_map(|&(_, index)| self.tracklets[index].report(now)));
    }
}

/// What the tracker notes for whoever asks why; see [`explain`].
impl Tracker {
    fn note_expected(&mut self, now: Time) {
        let Some(log) = &mut self.log else { return };
        log.entries.clear();
        for tracklet in &self.tracklets {
            let (bbox, unseen_s) = (tracklet.filter.bbox(), tracklet.unseen_s(now));
            log.note(tracklet, Note::Expected { bbox, unseen_s, covered: tracklet.covered });
        }
    }

    fn note_overlaps(&mut self, stage: usize, now: Time) {
        let Some(mut log) = self.log.take() else { return };
        let options = &self.options;
        self.note_candidates(&mut log, BY_OVERLAP[stage], |t, d| {
            let expected = t.filter.bbox();
            let stands = stage_of(t, self.scale.odds(d.score), now, options) == Some(stage);
            stands.then(|| gate::overlap(t, expected, d, options))
        });
        self.log = Some(log);
    }

    fn note_distances(&mut self) {
        let Some(mut log) = self.log.take() else { return };
        let options = &self.options;
        self.note_candidates(&mut log, Stage::Distance, |t, d| {
            (may_be_far(t) && self.scale.odds(d.score) >= options.sure_odds)
                .then(|| gate::found(t, d, options))
        });
        self.log = Some(log);
    }

    /// Every free track with every free detection near it, as far as `judge` has a say.
    fn note_candidates(
        &self,
        log: &mut Log,
        stage: Stage,
        judge: impl Fn(&Tracklet, &Detection) -> Option<Result<f64, Refusal>>,
    ) {
        for tracklet in self.tracklets.iter().filter(|t| !t.seen) {
            let bbox = tracklet.filter.bbox();
            for (detection, _) in self.used.iter().zip(&self.taken).filter(|(_, taken)| !**taken) {
                let away = detection.bbox.center().distance(bbox.center());
                let Some(verdict) = judge(tracklet, detection) else { continue };
                if verdict.is_ok() || away <= NEAR_HEIGHTS * bbox.height {
                    log.note(tracklet, Note::Candidate { stage, detection: *detection, verdict });
                }
            }
        }
    }
}

/// The stage by overlap in which a track and a detection may meet, as an index.
fn stage_of(tracklet: &Tracklet, odds: f64, now: Time, options: &Options) -> Option<usize> {
    if !tracklet.sure {
        return Some(2);
    }
    let followed = tracklet.unseen_s(now) <= options.overlap_s;
    followed.then_some(usize::from(odds < options.sure_odds))
}

/// Whether a track is looked for by distance: a lost one, or a new one that jumped.
fn may_be_far(tracklet: &Tracklet) -> bool {
    !tracklet.seen && (tracklet.confirmed() || tracklet.sure && tracklet.misses == 0)
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
