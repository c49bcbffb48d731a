//! What second looks at a track have found, and when it is looked at again.
//!
//! A second look is by another detector than the one that the tracks come from ([`crate::model::Look`]). Its log-odds add to those of
//! the detections. Detections of one detector share its errors from frame to frame, so while second looks are required their
//! evidence counts up to what confirms a track and no further, and a look must tip the scale.

use crate::base::Time;
use crate::model::{BBox, Class, Look};

/// What looks must add to sufficient evidence before a track is confirmed, natural log-odds.
pub(super) const MARGIN: f64 = 1.0;
/// Looks are not more than this in favor of a track, natural log-odds.
const ODDS_MAX: f64 = 4.0;
/// Nor more than this against one that is not confirmed: a person that comes into the picture is half a person at first, and a
/// car far away is a few pixels.
const ODDS_MIN_TENTATIVE: f64 = -1.0;
/// Nor more than this against a confirmed one.
const ODDS_MIN: f64 = -4.0;
/// A confirmed track ends here: two looks that find nothing, or four after it was found.
const REFUTED: f64 = -3.0;
/// Seconds until the next look at a track that is not confirmed; while looks find nothing it doubles up to the second.
const NEXT_S: f64 = 0.2;
const NOTHING_MAX_S: f64 = 4.0;
/// A track whose box overlaps (`IoU`) less than this with the one that was looked at is another picture, and need not wait
/// for longer than [`NEXT_S`].
const SAME_PLACE_IOU: f64 = 0.5;
/// Seconds until the next look at a confirmed track, after one that found nothing and after one that found it.
const DOUBTFUL_S: f64 = 2.0;
const FOUND_S: f64 = 10.0;

/// Of one track.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looks {
    /// The sum of the evidence.
    pub(super) odds: f64,
    /// What was found last.
    pub(super) class: Option<Class>,
    /// When it was looked at last; the answer may not have come.
    pub(super) asked: Option<Time>,
    /// Where that was, pixels.
    place: BBox,
    wait_s: f64,
    count: u32,
}

impl Looks {
    pub(super) fn is_due(&self, now: Time, bbox: BBox, confirmed: bool) -> bool {
        let moved = !confirmed && self.place.iou(bbox) < SAME_PLACE_IOU;
        let wait_s = if moved { NEXT_S } else { self.wait_s };
        self.asked.is_none_or(|asked| now.since(asked).as_secs_f64() >= wait_s)
    }

    /// Notes that it is looked at now, here: how often it was before.
    pub(super) fn ask(&mut self, now: Time, bbox: BBox) -> u32 {
        (self.asked, self.place) = (Some(now), bbox);
        self.wait_s = self.wait_s.max(NEXT_S);
        self.count = self.count.wrapping_add(1);
        self.count.wrapping_sub(1)
    }

    pub(super) fn take(&mut self, look: &Look, confirmed: bool) {
        let least = if confirmed { ODDS_MIN } else { ODDS_MIN_TENTATIVE };
        self.odds = (self.odds + look.odds).clamp(least, ODDS_MAX);
        if look.odds > 0.0 {
            self.class = Some(look.class);
        }
        self.wait_s = match (look.odds > 0.0, confirmed) {
            (true, true) => FOUND_S,
            (false, true) => DOUBTFUL_S,
            (true, false) => NEXT_S,
            (false, false) => (2.0 * self.wait_s).clamp(NEXT_S, NOTHING_MAX_S),
        };
    }

    /// A confirmed track with these looks is nothing.
    pub(super) fn are_against(&self) -> bool {
        self.odds <= REFUTED
    }
}
