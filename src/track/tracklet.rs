//! One object, from its first detection until it is given up: its filter, its votes, its evidence.

use super::filter::{BoxFilter, Correction};
use super::options::Options;
use crate::base::Time;
use crate::model::{BBox, Class, Detection, Point, Track};

const CLASSES: [Class; 6] =
    [Class::Person, Class::Vehicle, Class::Face, Class::Package, Class::Animal, Class::Unknown];

/// No single detection is surer, or less sure, than this.
const SCORE_LIMITS: (f64, f64) = (0.005, 0.995);

/// What one detection of this score says for the object being there, in natural units.
fn evidence(score: f64, options: &Options) -> f64 {
    let log_odds = |p: f64| (p / (1.0 - p)).ln();
    let bound = |p: f64| p.clamp(SCORE_LIMITS.0, SCORE_LIMITS.1);
    log_odds(bound(score)) - log_odds(bound(options.clutter_score))
}

#[derive(Debug, Clone)]
pub(super) struct Tracklet {
    pub(super) filter: BoxFilter,
    /// Known once it is confirmed.
    pub(super) id: Option<u32>,
    class_score: [f64; CLASSES.len()],
    confidence: f64,
    pub(super) first_seen: Time,
    /// When this tracklet itself began; `first_seen` may be that of a lost track it goes on.
    pub(super) born: Time,
    pub(super) last_seen: Time,
    /// Where it was detected last.
    last_center: Point,
    pub(super) hits: u32,
    pub(super) misses: u32,
    pub(super) evidence: f64,
    /// One of its detections was sure.
    pub(super) sure: bool,
    /// It has its detection of this frame.
    pub(super) seen: bool,
    /// A new track goes on in its stead.
    pub(super) joined: bool,
    /// Overlap with the other track that covers it most, 0..1.
    pub(super) covered: f64,
    pub(super) behind: f64, pub(super) mean_p: f64, pub(super) rate: f64, pub(super) fit: f64, pub(super) nis: f64, pub(super) nmiss: u32, pub(super) dbox: BBox,
}

impl Tracklet {
    pub(super) fn new(detection: &Detection, now: Time, options: &Options) -> Self {
        let mut new = Self {
            filter: BoxFilter::new(detection.bbox, &options.motion),
            id: None,
            class_score: [0.0; CLASSES.len()],
            confidence: detection.score,
            first_seen: now,
            born: now,
            last_seen: now,
            last_center: detection.bbox.center(),
            hits: 0,
            misses: 0,
            evidence: 0.0,
            sure: false,
            seen: true,
            joined: false,
            covered: 0.0, behind: 0.0, mean_p: detection.score, rate: 1.0, fit: 1.0, nis: 0.0, nmiss: 0, dbox: detection.bbox,
        };
        new.count(detection, now, options);
        new
    }

    /// Moves to the next frame, in which it has not been seen yet.
    pub(super) fn predict(&mut self, dt_s: f64, options: &Options) {
        self.filter.predict(dt_s, self.misses == 0, &options.motion);
        self.seen = false;
    }

    pub(super) fn hit(&mut self, detection: &Detection, now: Time, options: &Options) -> Correction {
        let worse = 1.0 + options.occlusion_noise * self.covered + options.x7 * (1.0 - detection.score);
        self.fit = self.filter.bbox().iou(detection.bbox); self.nis = self.filter.distance(detection.bbox,&options.motion).0; self.rate = 0.8*self.rate+0.2; self.mean_p = 0.8*self.mean_p+0.2*detection.score;
        let correction = self.filter.update(detection.bbox, worse, &options.motion);
        self.count(detection, now, options);
        correction
    }

    fn count(&mut self, detection: &Detection, now: Time, options: &Options) {
        self.confidence = detection.score; self.dbox = detection.bbox;
        self.hits = self.hits.saturating_add(1);
        self.misses = 0;
        self.seen = true;
        self.last_seen = now;
        self.last_center = detection.bbox.center();
        self.evidence += evidence(detection.score, options);
        self.sure |= detection.score >= options.sure_score();
        // A detection of score zero still is one vote among its like.
        let weight = detection.score.max(1e-3);
        for (class, score) in CLASSES.iter().zip(&mut self.class_score) {
            if *class == detection.class {
                *score += weight;
            }
        }
    }

    /// Goes on as the confirmed track `lost`.
    pub(super) fn join(&mut self, lost: &Self) {
        self.id = lost.id;
        self.first_seen = lost.first_seen;
        self.hits = self.hits.saturating_add(lost.hits);
        for (score, more) in self.class_score.iter_mut().zip(lost.class_score) {
            *score += more;
        }
    }

    pub(super) fn confidence_raw(&self)->f64 {self.confidence}
    pub(super) fn confirmed(&self) -> bool {
        self.id.is_some()
    }

    /// Seconds since its last detection.
    pub(super) fn unseen_s(&self, now: Time) -> f64 {
        now.since(self.last_seen).as_secs_f64()
    }

    /// The class with most votes; `Unknown` only when nothing else was ever seen.
    pub(super) fn class(&self) -> Class {
        let known = CLASSES.iter().zip(self.class_score).filter(|(c, s)| **c != Class::Unknown && *s > 0.0);
        known.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(Class::Unknown, |(c, _)| *c)
    }

    /// How far `bbox` lies off the direction of motion, 0 (ahead) to 1 (behind); what hardly moves
    /// has no direction.
    pub(super) fn turn(&self, bbox: BBox) -> f64 {
        /// Slower than this (heights per second) is standing, nearer (heights) is no step.
        const SPEED_MIN: f64 = 0.2;
        const STEP: f64 = 0.1;
        let height = self.filter.bbox().height;
        let (v, step) = (self.filter.velocity(), bbox.center() - self.last_center);
        let (speed, length) = (v.norm(), step.norm());
        if speed < SPEED_MIN * height || length <= 0.0 {
            return 0.0;
        }
        let cosine = (v.x * step.x + v.y * step.y) / (speed * length);
        cosine.clamp(-1.0, 1.0).acos() / std::f64::consts::PI * (length / (STEP * height)).min(1.0)
    }

    pub(super) fn report(&self, id: u32, now: Time, w: f64) -> Track {
        let b=self.filter.bbox(); let d=self.dbox; let w = if self.misses==0 {w} else {0.0}; let m=|a:f64,b:f64| a*(1.0-w)+b*w; let bbox=BBox::new(m(b.left,d.left),m(b.top,d.top),m(b.width,d.width),m(b.height,d.height));
        Track {
            id,
            class: self.class(),
            bbox,
            confidence: self.confidence,
            foot: self.filter.foot(),
            first_seen: self.first_seen,
            last_seen: now,
            hits: self.hits,
        }
    }
}
