//! The camera's health, as its pictures and their times show it: the [`Mode`]s of this table.
//!
//! | condition | begins | ends |
//! |---|---|---|
//! | `view_changed`, `view_blocked` | as the detector's [`View`] says | likewise |
//! | `view_defocused` | `focus`: the view is the ordinary one, most of it without its detail | half of it has its detail |
//! | `picture_frozen` | `stillness`: hardly a cell changes in 1 s, and many did | 2.2 s of change |
//! | `too_dark`, `too_bright` | `exposure`: nearly black, or mostly clipped | with hysteresis |
//! | `scene_learning` | the detector begins a background | as the detector says |
//! | `frame_rate_low` | `rate`: fewer than 3 pictures in 3 s | 4 pictures in 3 s |
//! | `source_gap` | `rate`: no picture for 2.5 s | the second picture in time |
//!
//! A sparse look at a picture ([`Samples`]) is taken five times a second at most. Conditions that depend on the content of a
//! look hold for [`HOLD`] before they begin or end. One fault has one name: a blurred view is not also a covered or a changed
//! one, a covered lens is not also dark or frozen, and a scene whose light goes out is dark, not covered.
//!
//! Nothing here knows a clock or a thread. A frame without pixels has a rate only.

mod exposure;
mod focus;
mod rate;
mod samples;
mod stillness;

use std::time::Duration;

use self::exposure::Exposure;
use self::focus::Focus;
use self::rate::Rate;
use self::samples::Samples;
use self::stillness::Stillness;
use crate::base::Time;
use crate::inference::View;
use crate::model::{CameraId, Content, Frame, Mode, Modes, Size};

pub(super) use self::rate::GAP;

/// Looks are at least so far apart.
const LOOK_EVERY: Duration = Duration::from_millis(190);
/// A condition of the content begins and ends after it was so for so long.
const HOLD: Duration = Duration::from_millis(1200);

/// A condition that begins and ends only after [`HOLD`].
#[derive(Debug, Default)]
struct Held {
    on: bool,
    since: Option<Time>,
}

impl Held {
    fn update(&mut self, is: bool, now: Time) {
        if is == self.on {
            self.since = None;
        } else if now.since(*self.since.get_or_insert(now)) >= HOLD {
            *self = Self { on: is, since: None };
        }
    }
}

/// What is known of a camera's health.
#[derive(Debug)]
pub(super) struct Health {
    samples: Samples,
    stillness: Stillness,
    exposure: Exposure,
    focus: Focus,
    rate: Rate,
    dark: Held,
    bright: Held,
    defocused: Held,
    /// The last look, and the size of its picture.
    looked: Option<(Time, Size)>,
    view: View,
    is_learning: bool,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            samples: Samples::new(),
            stillness: Stillness::default(),
            exposure: Exposure::default(),
            focus: Focus::new(),
            rate: Rate::default(),
            dark: Held::default(),
            bright: Held::default(),
            defocused: Held::default(),
            looked: None,
            view: View::Steady,
            is_learning: false,
        }
    }

    /// A frame came.
    pub(super) fn frame(&mut self, frame: &Frame) {
        let now = frame.time;
        self.rate.frame(now);
        let Content::Image(image) = &frame.content else { return };
        let size = image.size();
        if size.width == 0 || size.height == 0 {
            return;
        }
        let last = self.looked.filter(|(_, last)| *last == size).map(|(time, _)| time);
        if last.is_some_and(|last| now.since(last) < LOOK_EVERY) {
            return;
        }
        if last.is_none() {
            self.focus.restart();
        }
        self.looked = Some((now, size));
        self.samples.take(image);
        self.look(last.map_or(Duration::ZERO, |last| now.since(last)), now);
    }

    fn look(&mut self, since_last: Duration, now: Time) {
        self.exposure.look(&self.samples);
        let is_seen = self.view != View::Blocked && !self.exposure.dark && !self.exposure.bright;
        if is_seen && since_last < GAP {
            self.stillness.look(&self.samples, now);
        } else {
            self.stillness.resume(now);
        }
        let dt_s = since_last.min(GAP).as_secs_f32();
        self.focus.look(&self.samples, dt_s, is_seen && !self.stillness.is_frozen());
        let is_covered = self.trusted_view() == View::Blocked;
        self.dark.update(self.exposure.dark && !is_covered, now);
        self.bright.update(self.exposure.bright, now);
        self.defocused.update(self.focus.defocused && !self.exposure.dark && !self.exposure.bright, now);
    }

    /// What the detector made of the frame.
    pub(super) fn judge(&mut self, view: View, is_learning: bool) {
        (self.view, self.is_learning) = (view, is_learning);
        if self.trusted_view() == View::Changed {
            self.focus.restart();
        }
    }

    /// The detector's view, unless something else explains that it misses the edges of its background.
    fn trusted_view(&self) -> View {
        let is_blurred = self.defocused.on || self.focus.blurred;
        let is_unlit = self.exposure.dark && self.focus.is_same_view();
        if is_blurred || is_unlit || self.exposure.bright { View::Steady } else { self.view }
    }

    /// No frame came until now.
    pub(super) fn wait(&mut self, now: Time) {
        self.rate.wait(now);
    }

    /// No frame is wanted for a while.
    pub(super) fn pause(&mut self) {
        (self.rate, self.is_learning) = (Rate::default(), false);
    }

    /// What holds at present.
    pub(super) fn conditions(&self) -> Modes {
        let view = self.trusted_view();
        [
            (view == View::Blocked, Mode::ViewBlocked),
            (view == View::Changed, Mode::ViewChanged),
            (self.defocused.on, Mode::ViewDefocused),
            (self.stillness.is_frozen(), Mode::PictureFrozen),
            (self.dark.on, Mode::TooDark),
            (self.bright.on, Mode::TooBright),
            (self.is_learning, Mode::SceneLearning),
            (self.rate.low, Mode::FrameRateLow),
            (self.rate.gap, Mode::SourceGap),
        ]
        .into_iter()
        .collect()
    }
}

/// What is so when a condition is over.
fn over(condition: Mode) -> &'static str {
    match condition {
        Mode::ViewChanged => "new view is learned, tracking continues",
        Mode::ViewBlocked => "lens is free again, detection continues",
        Mode::ViewDefocused => "picture is as sharp as before",
        Mode::PictureFrozen => "pictures change again, tracking continues",
        Mode::TooDark => "picture is light enough again, tracking continues",
        Mode::TooBright => "picture is no longer clipped, tracking continues",
        Mode::SceneLearning => "background is learned",
        Mode::FrameRateLow => "pictures come often enough again",
        _ => "pictures come again, tracking continues",
    }
}

/// Logs what began and what is over.
pub(super) fn log_changes(before: Modes, after: Modes, camera: &CameraId) {
    for condition in after.without(before).iter() {
        let (mode, begins, remedy) = (condition.name(), condition.meaning(), condition.remedy());
        // A background is learned at every start.
        if condition == Mode::SceneLearning {
            tracing::info!(%camera, mode, "{begins}");
        } else {
            tracing::warn!(%camera, mode, "{begins}; {remedy}");
        }
    }
    for condition in before.without(after).iter() {
        tracing::info!(%camera, mode = condition.name(), "{}", over(condition));
    }
}

#[cfg(test)]
mod tests;
