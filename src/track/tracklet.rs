//! One object, from its first detection until it is given up: its filter, its votes, its evidence.

use super::filter::{BoxFilter, Pace};
use super::looks::{self, Looks};
use super::options::{Motion as Model, Options};
use crate::base::Time;
use crate::model::{BBox, Class, Detection, Look, Point, Sighting, Size, Track};

/// In the order of their declaration: a class is its own index.
const CLASSES: [Class; 6] =
    [Class::Person, Class::Vehicle, Class::Face, Class::Package, Class::Animal, Class::Unknown];

/// What the latest detection counts in the mean of the odds.
const LATEST_SHARE: f64 = 0.2;
/// What a unit of the mean odds counts for in those of the confidence; `calibration` of
/// `benches/accuracy` measures it.
const ODDS_SHARE: f64 = 0.65;

#[expect(clippy::struct_excessive_bools, reason = "four facts, each asked for by itself")]
#[derive(Debug, Clone)]
pub(super) struct Tracklet {
    /// Of its birth: no two have the same.
    pub(super) number: u64,
    pub(super) filter: BoxFilter,
    /// From [`super::UNCONFIRMED_IDS`] on until it is confirmed; then its own, or that of the lost track it goes on as.
    pub(super) id: u32,
    pub(super) confirmed: bool,
    /// The class with most votes; `Unknown` only when nothing else was ever seen.
    pub(super) class: Class,
    class_score: [f64; CLASSES.len()],
    /// Of its detections, the last few counting most.
    mean_odds: f64,
    first_seen: Time,
    /// When this tracklet itself began; `first_seen` may be that of a lost track it goes on.
    pub(super) born: Time,
    /// Where its first detection would be if it had stood still, pixels.
    origin: Point,
    pub(super) last_seen: Time,
    /// Its last detection, pixels.
    detected: BBox,
    pub(super) hits: u32,
    pub(super) misses: u32,
    pub(super) evidence: f64,
    /// One of its detections was sure.
    pub(super) sure: bool,
    /// It had enough evidence when it was of unknown class and had neither moved nor lasted, and has not moved since.
    pub(super) stood: bool,
    /// A new track goes on in its stead.
    pub(super) joined: bool,
    /// While it is unseen: overlap with the seen track that covers it most, 0..1.
    pub(super) covered: f64,
    /// What second looks have found.
    pub(super) looks: Looks,
}

impl Tracklet {
    pub(super) fn new(
        number: u64,
        id: u32,
        detection: &Detection,
        odds: f64,
        now: Time,
        options: &Options,
    ) -> Self {
        let mut new = Self {
            number,
            filter: BoxFilter::new(detection.bbox, detection.class, &options.motion),
            id,
            confirmed: false,
            class: detection.class,
            class_score: [0.0; CLASSES.len()],
            mean_odds: odds,
            first_seen: now,
            born: now,
            origin: detection.bbox.center(),
            last_seen: now,
            detected: detection.bbox,
            hits: 0,
            misses: 0,
            evidence: 0.0,
            sure: false,
            stood: false,
            joined: false,
            covered: 0.0,
            looks: Looks::default(),
        };
        new.count(detection, odds, now, options);
        new
    }

    /// Moves to the next frame.
    pub(super) fn predict(&mut self, seen: &Pace, unseen: &Pace, options: &Options) {
        self.filter.predict(if self.misses == 0 { seen } else { unseen }, &options.motion);
    }

    /// Moves with the view, pixels.
    pub(super) fn shift(&mut self, by: Point) {
        self.filter.shift(by);
        self.origin = self.origin + by;
    }

    /// Takes its detection of this frame, in which another track covers this much of it.
    pub(super) fn hit(
        &mut self,
        detection: &Detection,
        odds: f64,
        covered: f64,
        now: Time,
        options: &Options,
    ) {
        let worse = 1.0 + options.occlusion_noise * covered;
        self.filter.update(detection.bbox, worse, &options.motion);
        self.count(detection, odds, now, options);
    }

    fn count(&mut self, detection: &Detection, odds: f64, now: Time, options: &Options) {
        self.mean_odds += LATEST_SHARE * (odds - self.mean_odds);
        self.hits = self.hits.saturating_add(1);
        self.misses = 0;
        self.last_seen = now;
        self.detected = detection.bbox;
        self.evidence += odds - options.clutter_odds;
        self.sure |= odds >= options.sure_odds;
        // A detection of score zero still is one vote among its like.
        self.class_score[detection.class as usize] += detection.score.max(1e-3);
        if detection.class != self.class {
            self.class = self.voted();
        }
    }

    /// Goes on as the confirmed track `lost`.
    pub(super) fn join(&mut self, lost: &Self) {
        (self.id, self.confirmed) = (lost.id, true);
        self.first_seen = lost.first_seen;
        self.hits = self.hits.saturating_add(lost.hits);
        for (score, more) in self.class_score.iter_mut().zip(lost.class_score) {
            *score += more;
        }
        self.class = self.voted();
    }

    /// It has not been confirmed yet, and there is enough evidence now, with that of second looks where they
    /// are required. What was never seen clearly has to last for twice as long.
    pub(super) fn ready(&self, looks_required: bool, options: &Options) -> bool {
        if self.confirmed || self.misses > 0 || self.hits < options.min_hits {
            return false;
        }
        let enough = if self.sure { options.evidence_min } else { 2.0 * options.evidence_min };
        let mut evidence = self.evidence * (self.independent(options) / f64::from(self.hits.max(1))).min(1.0);
        if looks_required {
            evidence = evidence.min(enough) + self.looks.odds - looks::MARGIN;
        }
        evidence >= enough
    }

    /// How many of its detections do not share an error, at most: each of a place and a moment of its own.
    fn independent(&self, options: &Options) -> f64 {
        1.0 + self.age_s() / options.error_s + self.moved() / options.error_reach
    }

    /// It is of a known class, or has moved or lasted as a ghost does not.
    pub(super) fn is_shown(&self, options: &Options) -> bool {
        self.class != Class::Unknown
            || self.age_s() / options.still_s + self.moved() / options.still_reach >= 1.0
    }

    /// It has moved on, farther than a box does that is merged with another or cut into parts.
    pub(super) fn has_moved(&self) -> bool {
        self.moved() >= 1.0
    }

    /// How far it is from where it began, in longer sides of its box.
    fn moved(&self) -> f64 {
        let bbox = self.filter.bbox();
        bbox.center().distance(self.origin) / bbox.width.max(bbox.height)
    }

    /// From its first detection to its last, seconds.
    fn age_s(&self) -> f64 {
        self.last_seen.since(self.born).as_secs_f64()
    }

    /// It is not confirmed, and was not seen again in time: in the next frame, or, of unknown class, in `tentative_s`.
    pub(super) fn has_failed(&self, now: Time, options: &Options) -> bool {
        self.misses > 0 && (self.class != Class::Unknown || self.unseen_s(now) > options.tentative_s)
    }

    /// Whether a second look at it now is worth something: it is confirmed, or will soon have been seen often enough.
    pub(super) fn is_worth_a_look(&self, now: Time, again: bool, options: &Options) -> bool {
        let soon = self.confirmed || self.hits.saturating_add(1) >= options.min_hits;
        let due = self.looks.is_due(now, self.filter.bbox(), self.confirmed);
        soon && self.misses == 0 && due && (again || self.looks.asked.is_none())
    }

    /// Takes what a second look has found.
    pub(super) fn look(&mut self, look: &Look) {
        self.looks.take(look, self.confirmed);
    }

    /// What it is called: as a second look has found it, or as most of its detections.
    fn shown_class(&self) -> Class {
        self.looks.class.unwrap_or(self.class)
    }

    /// Seconds since its last detection.
    pub(super) fn unseen_s(&self, now: Time) -> f64 {
        now.since(self.last_seen).as_secs_f64()
    }

    fn voted(&self) -> Class {
        let known = CLASSES.iter().zip(self.class_score).filter(|(c, s)| **c != Class::Unknown && *s > 0.0);
        known.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Class::Unknown, |(c, _)| *c)
    }

    /// Whether it may be leaving the picture: its box reaches the left or right end of it.
    pub(super) fn is_at_edge(&self, view: Size) -> bool {
        /// Nearer than this, in widths, is at the edge.
        const EDGE: f64 = 0.1;
        let b = self.filter.bbox();
        b.left < EDGE * b.width || b.right() > f64::from(view.width) - EDGE * b.width
    }

    /// The probability that there is an object where the track is reported, 0..1: a logistic of the mean
    /// odds. They count for less than they say, as a detector that errs does so in many frames.
    fn confidence(&self) -> f64 {
        1.0 / (1.0 + (-ODDS_SHARE * self.mean_odds).exp())
    }

    /// Whether it is likelier that there is an object where it is than that there is none.
    pub(super) fn is_likely(&self) -> bool {
        self.mean_odds >= 0.0
    }

    /// What is told of the detection that it has taken.
    pub(super) fn sighting(&self, detection: &Detection, m: &Model) -> Sighting {
        let Detection { bbox, .. } = *detection;
        Sighting {
            track: self.id,
            class: self.shown_class(),
            confidence: self.confidence(),
            bbox,
            foot: self.filter.detected_foot(bbox, m),
        }
    }

    /// Returns its report once it is confirmed. Where it is seen, its box lies between the estimate and the detection, of which
    /// this share counts.
    pub(super) fn report(&self, detected_share: f64, now: Time) -> Track {
        let share = if self.misses == 0 { detected_share } else { 0.0 };
        let (estimated, detected) = (self.filter.bbox(), self.detected);
        let between = |of: fn(&BBox) -> f64| of(&estimated) + share * (of(&detected) - of(&estimated));
        let bbox =
            BBox::new(between(|b| b.left), between(|b| b.top), between(|b| b.width), between(|b| b.height));
        Track {
            id: self.id,
            class: self.shown_class(),
            bbox,
            confidence: self.confidence(),
            foot: self.filter.foot(),
            first_seen: self.first_seen,
            last_seen: now,
            hits: self.hits,
        }
    }
}
