//! Follows objects from frame to frame: SORT (Bewley et al., "Simple Online and Realtime Tracking",
//! ICIP 2016).
//!
//! Every track predicts its box to the frame's time with a constant-velocity Kalman filter; tracks
//! and detections are paired by the assignment with the greatest total `IoU`; pairs below a minimal
//! `IoU` or of classes that exclude each other do not count. Departures from the paper, each for a
//! reason: time steps are real seconds and noise grows with the size of the box and with the time that
//! passed, so that lost frames and other frame rates change nothing; a tentative track ends at its
//! first miss, and is confirmed by hits in a row whose scores add up to enough evidence (the
//! log-odds track score of Blackman & Popoli, *Design and Analysis of Modern Tracking Systems*,
//! 1999, 6.2), so that clutter of low scores needs longer than a sure object; a confirmed track is
//! reported in every frame in which it is matched.
//!
//! ```text
//!         hits and evidence               miss            max_age misses
//! tentative -----------------> confirmed ------> lost --------------------> ended
//!     | miss                       ^              | hit
//!     v                            +--------------+
//!   ended (never reported)
//! ```
//!
//! Pure: detections, a time and a source of ids come in; confirmed tracks and ended ids can be read
//! until the next step. After the first frames nothing is allocated. What a track *does* belongs to
//! `behavior`, where it stands on the ground to `pipeline`.

mod assignment;
mod kalman;

use crate::base::{IdSource, Time};
use crate::model::{Class, Detection, Track};
use assignment::Assignment;
use kalman::BoxFilter;

/// How tracks begin, go on and end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Least overlap (`IoU`, 0..1) of a track's prediction and a detection to be the same object.
    pub iou_min: f64,
    /// Frames without a detection after which a confirmed track ends.
    pub max_age_frames: u32,
    /// Frames in a row with a detection before a track is confirmed.
    pub min_hits: u32,
    /// Evidence before a track is confirmed: the sum over its hits of ln(score odds / clutter odds),
    /// natural units. At 8.5 three hits of score 0.88 are enough, or ten of score 0.5.
    pub evidence_min: f64,
}

/// The score at which a detection is as likely clutter as an object.
const CLUTTER_SCORE: f64 = 0.3;
/// No single detection is surer, or less sure, than this.
const SCORE_LIMITS: (f64, f64) = (0.02, 0.98);

/// What one detection of this score says for the object being there, in natural units.
fn evidence(score: f64) -> f64 {
    let log_odds = |p: f64| (p / (1.0 - p)).ln();
    log_odds(score.clamp(SCORE_LIMITS.0, SCORE_LIMITS.1)) - log_odds(CLUTTER_SCORE)
}

impl Default for Options {
    fn default() -> Self {
        Self { iou_min: 0.3, max_age_frames: 30, min_hits: 3, evidence_min: 8.5 }
    }
}

/// Most objects followed at once, detections used per frame included: a detector gone mad costs no
/// more than this. The surplus with the lowest scores is left out, and counted.
pub const OBJECTS_MAX: usize = 1_000;

/// One object, from its first detection until it is given up.
#[derive(Debug, Clone)]
struct Tracklet {
    filter: BoxFilter,
    /// Known once it is confirmed.
    id: Option<u32>,
    class_score: [f64; CLASSES.len()],
    confidence: f64,
    first_seen: Time,
    hits: u32,
    misses: u32,
    evidence: f64,
}

const CLASSES: [Class; 6] =
    [Class::Person, Class::Vehicle, Class::Face, Class::Package, Class::Animal, Class::Unknown];

impl Tracklet {
    fn new(detection: &Detection, now: Time) -> Self {
        let mut new = Self {
            filter: BoxFilter::new(detection.bbox),
            id: None,
            class_score: [0.0; CLASSES.len()],
            confidence: detection.score,
            first_seen: now,
            hits: 0,
            misses: 0,
            evidence: 0.0,
        };
        new.count(detection);
        new
    }

    fn hit(&mut self, detection: &Detection) {
        self.filter.update(detection.bbox);
        self.count(detection);
    }

    fn count(&mut self, detection: &Detection) {
        self.confidence = detection.score;
        self.hits = self.hits.saturating_add(1);
        self.misses = 0;
        self.evidence += evidence(detection.score);
        // A detection of score zero still is one vote among its like.
        let weight = detection.score.max(1e-3);
        for (class, score) in CLASSES.iter().zip(&mut self.class_score) {
            if *class == detection.class {
                *score += weight;
            }
        }
    }

    /// The class with most votes; `Unknown` only when nothing else was ever seen.
    fn class(&self) -> Class {
        let known = CLASSES.iter().zip(self.class_score).filter(|(c, s)| **c != Class::Unknown && *s > 0.0);
        known.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Class::Unknown, |(c, _)| *c)
    }

    fn report(&self, id: u32, now: Time) -> Track {
        Track {
            id,
            class: self.class(),
            bbox: self.filter.bbox(),
            confidence: self.confidence,
            foot: self.filter.foot(),
            first_seen: self.first_seen,
            last_seen: now,
            hits: self.hits,
        }
    }
}

/// Follows the objects of one camera.
#[derive(Debug)]
pub struct Tracker {
    options: Options,
    tracklets: Vec<Tracklet>,
    last: Option<Time>,
    assignment: Assignment,
    used: Vec<Detection>,
    taken: Vec<bool>,
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
            tracklet.filter.predict(dt_s);
        }
        self.associate();
        self.begin(now);
        self.age(ids);
        self.tracks.sort_unstable_by_key(|t| t.id);
    }

    /// The confirmed tracks that were detected in the last frame, by id.
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
            let finite =
                b.left.is_finite() && b.top.is_finite() && b.area().is_finite() && d.score.is_finite();
            finite && b.width > 0.0 && b.height > 0.0
        };
        self.used.clear();
        self.used.extend(detections.iter().filter(sane));
        if self.used.len() > OBJECTS_MAX {
            self.used.sort_by(|a, b| b.score.total_cmp(&a.score));
            self.used.truncate(OBJECTS_MAX);
        }
        self.detections_left_out += (detections.len() - self.used.len()) as u64;
    }

    /// Pairs tracks with detections, and updates or misses each track.
    fn associate(&mut self) {
        let (tracklets, used) = (&self.tracklets, &self.used);
        let iou_min = self.options.iou_min;
        self.assignment.solve(tracklets.len(), used.len(), |t, d| {
            let (tracklet, detection): (&Tracklet, &Detection) = (&tracklets[t], &used[d]);
            let iou = tracklet.filter.bbox().iou(detection.bbox);
            let same = iou >= iou_min && tracklet.class().compatible(detection.class);
            if same { iou } else { 0.0 }
        });
        self.taken.clear();
        self.taken.resize(self.used.len(), false);
        for (tracklet, paired) in self.tracklets.iter_mut().zip(self.assignment.columns()) {
            if let Some(d) = *paired {
                self.taken[d] = true;
                tracklet.hit(&self.used[d]);
            } else {
                tracklet.misses = tracklet.misses.saturating_add(1);
            }
        }
    }

    /// Confirms, reports and ends.
    fn age(&mut self, ids: &mut dyn IdSource) {
        self.tracks.clear();
        self.ended.clear();
        let Options { max_age_frames, min_hits, evidence_min, .. } = self.options;
        let now = self.last.unwrap_or_default();
        let (tracks, ended) = (&mut self.tracks, &mut self.ended);
        self.tracklets.retain_mut(|tracklet| {
            if tracklet.misses > 0 {
                let gone = tracklet.id.is_none() || tracklet.misses > max_age_frames;
                if gone {
                    ended.extend(tracklet.id);
                }
                return !gone;
            }
            if tracklet.id.is_some() || (tracklet.hits >= min_hits && tracklet.evidence >= evidence_min) {
                let id = *tracklet.id.get_or_insert_with(|| ids.next_id());
                tracks.push(tracklet.report(id, now));
            }
            true
        });
    }

    /// Every detection that no track took begins one.
    fn begin(&mut self, now: Time) {
        let free = self.used.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(d, _)| d);
        for detection in free {
            if self.tracklets.len() < OBJECTS_MAX {
                self.tracklets.push(Tracklet::new(detection, now));
            } else {
                self.detections_left_out += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::CountingIds;
    use crate::model::BBox;
    use std::time::Duration;

    struct Run {
        tracker: Tracker,
        ids: CountingIds,
        now: Time,
        dt: Duration,
    }

    impl Run {
        fn at_fps(fps: f64) -> Self {
            let dt = Duration::from_secs_f64(1.0 / fps);
            Self {
                tracker: Tracker::new(Options::default()),
                ids: CountingIds::default(),
                now: Time::default(),
                dt,
            }
        }

        fn step(&mut self, detections: &[Detection]) -> Vec<u32> {
            self.now = self.now + self.dt;
            self.tracker.step(detections, self.now, &mut self.ids);
            self.tracker.tracks().iter().map(|t| t.id).collect()
        }
    }

    fn person(x: f64, score: f64) -> Detection {
        Detection { bbox: BBox::new(x, 100.0, 30.0, 80.0), class: Class::Person, score }
    }

    #[test]
    fn a_track_is_reported_from_its_third_sure_hit_on() {
        let mut run = Run::at_fps(10.0);
        assert!(run.step(&[person(0.0, 0.95)]).is_empty());
        assert!(run.step(&[person(2.0, 0.95)]).is_empty());
        assert_eq!(run.step(&[person(4.0, 0.95)]), [1]);
    }

    #[test]
    fn doubtful_hits_confirm_later_than_sure_ones() {
        let mut run = Run::at_fps(10.0);
        let first = (1..30).find(|_| !run.step(&[person(0.0, 0.5)]).is_empty());
        assert_eq!(first, Some(11));
    }

    #[test]
    fn a_tentative_track_ends_at_its_first_miss_and_uses_no_id() {
        let mut run = Run::at_fps(10.0);
        run.step(&[person(0.0, 0.95)]);
        run.step(&[person(0.0, 0.95)]);
        run.step(&[]);
        assert!(run.step(&[person(0.0, 0.95)]).is_empty());
        assert!(run.tracker.ended().is_empty());
        run.step(&[person(0.0, 0.95)]);
        assert_eq!(run.step(&[person(0.0, 0.95)]), [1]);
    }

    #[test]
    fn a_lost_track_keeps_its_id_for_30_frames_and_then_ends() {
        let sure = [person(50.0, 0.95)];
        for (gap, id) in [(30, 1), (31, 2)] {
            let mut run = Run::at_fps(10.0);
            (0..20).for_each(|_| drop(run.step(&sure)));
            let ended: Vec<u32> = (0..gap)
                .flat_map(|_| {
                    run.step(&[]);
                    run.tracker.ended().to_vec()
                })
                .collect();
            assert_eq!(ended.is_empty(), id == 1, "{gap}");
            (0..2).for_each(|_| drop(run.step(&sure)));
            assert_eq!(run.step(&sure), [id], "{gap}");
        }
    }

    #[test]
    fn a_walk_keeps_its_id_at_any_frame_rate_and_over_dropped_frames() {
        for fps in [3.0, 7.0, 15.0, 30.0, 60.0] {
            let mut run = Run::at_fps(fps);
            let mut seen = std::collections::BTreeSet::new();
            for frame in 0..(20.0 * fps) as u32 {
                let t = f64::from(frame) / fps;
                if frame > 20 && frame % 4 == 1 {
                    // The frame never arrives: the next step is twice as long.
                    run.now = run.now + run.dt;
                    continue;
                }
                seen.extend(run.step(&[person(20.0 * t, 0.95), person(500.0 - 20.0 * t, 0.95)]));
            }
            assert!(seen.len() <= 2, "{fps}: {seen:?}");
        }
    }

    #[test]
    fn classes_that_exclude_each_other_are_not_one_track() {
        let mut run = Run::at_fps(10.0);
        (0..5).for_each(|_| drop(run.step(&[person(0.0, 0.95)])));
        let car = Detection { class: Class::Vehicle, ..person(0.0, 0.95) };
        assert!(run.step(&[car]).is_empty());
        let unsure = Detection { class: Class::Unknown, ..person(0.0, 0.95) };
        assert_eq!(run.step(&[unsure]), [1]);
    }

    #[test]
    fn boxes_that_are_no_boxes_are_left_out_and_counted() {
        let mut run = Run::at_fps(10.0);
        let broken = [(f64::NAN, 1.0, 1.0), (1.0, f64::INFINITY, 1.0), (1.0, -3.0, 5.0), (1.0, 0.0, 0.0)];
        let bad = broken.map(|(left, width, height)| Detection {
            bbox: BBox::new(left, 0.0, width, height),
            ..person(0.0, 0.9)
        });
        run.step(&bad);
        assert_eq!(run.tracker.detections_left_out(), 4);
    }

    #[test]
    fn a_flood_of_detections_is_bounded_and_counted() {
        let mut run = Run::at_fps(10.0);
        let flood: Vec<_> = (0..3 * OBJECTS_MAX).map(|i| person(100.0 * i as f64, 0.9)).collect();
        run.step(&flood);
        assert_eq!(run.tracker.tracklets.len(), OBJECTS_MAX);
        assert_eq!(run.tracker.detections_left_out(), 2 * OBJECTS_MAX as u64);
    }

    #[test]
    fn the_ground_position_of_a_walk_is_near_its_foot() {
        let mut run = Run::at_fps(10.0);
        for i in 0..30 {
            run.step(&[person(f64::from(i) * 2.0, 0.95)]);
        }
        let foot = run.tracker.tracks()[0].foot;
        assert!(foot.position.distance(crate::model::Point::new(58.0 + 15.0, 180.0)) < 1.0, "{foot:?}");
        assert!((foot.velocity.x - 20.0).abs() < 2.0 && foot.velocity.y.abs() < 2.0, "{foot:?}");
    }

    #[test]
    fn nothing_is_allocated_after_the_first_frames() {
        let mut run = Run::at_fps(10.0);
        let crowd = |f: i32| -> Vec<_> { (0..40).map(|i| person(f64::from(i * 60 + f), 0.95)).collect() };
        let frames: Vec<_> = (0..300).map(crowd).collect();
        let step = |run: &mut Run, d: &[Detection]| {
            run.now = run.now + run.dt;
            run.tracker.step(d, run.now, &mut run.ids);
        };
        frames[..20].iter().for_each(|d| step(&mut run, d));
        // Leaving and coming back included.
        let info = allocation_counter::measure(|| {
            frames[20..]
                .iter()
                .enumerate()
                .for_each(|(i, d)| step(&mut run, if i % 9 == 4 { &[] } else { d }));
        });
        assert_eq!(run.tracker.tracks().len(), 40);
        assert_eq!(info.count_total, 0);
    }
}
