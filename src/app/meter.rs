//! What the perception of a camera costs: frames a second, time on a frame, age of a scene.
//!
//! Means over the window since [`Meter::begin`]; while that is too short to say anything, over the window
//! before. A number that nobody measured is left out.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::Time;
use crate::control::Measured;
use crate::model::Scene;
use crate::pipeline::Counters;

/// A window says nothing before this.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Meter {
    began: Time,
    frames: u64,
    busy_us: u64,
    ages: (f64, u32),
    before: Measured,
}

impl Meter {
    /// A window that begins now, on counters that stand at zero.
    pub(super) fn new(now: Time) -> Self {
        Self { began: now, frames: 0, busy_us: 0, ages: (0.0, 0), before: Measured::default() }
    }

    /// A scene has arrived here.
    pub(super) fn scene(&mut self, scene: &Scene, now: Time) {
        self.ages.0 += now.since(scene.time).as_secs_f64() * 1000.0;
        self.ages.1 += 1;
    }

    /// The means up to now.
    pub(super) fn measured(&self, now: Time, counters: &Counters) -> Measured {
        let window = now.since(self.began);
        if window < WINDOW_MIN {
            return self.before;
        }
        let frames = counters.frames.load(Ordering::Relaxed).saturating_sub(self.frames);
        let busy_us = counters.busy_us.load(Ordering::Relaxed).saturating_sub(self.busy_us);
        Measured {
            frames_hz: frames as f64 / window.as_secs_f64(),
            inference_ms: (frames > 0).then(|| busy_us as f64 / 1000.0 / frames as f64),
            e2e_ms: (self.ages.1 > 0).then(|| self.ages.0 / f64::from(self.ages.1)),
        }
    }

    /// Begins the next window.
    pub(super) fn begin(&mut self, now: Time, counters: &Counters) {
        self.before = self.measured(now, counters);
        self.frames = counters.frames.load(Ordering::Relaxed);
        self.busy_us = counters.busy_us.load(Ordering::Relaxed);
        self.began = now;
        self.ages = (0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_too_short_shows_the_one_before() {
        let at = |s: u64| Time { mono_ns: s * 1_000_000_000, epoch_ms: 0 };
        let counters = Counters::default();
        let mut meter = Meter::new(at(0));
        assert_eq!(meter.measured(at(0), &counters), Measured::default());
        counters.frames.store(100, Ordering::Relaxed);
        counters.busy_us.store(150_000, Ordering::Relaxed);
        let ten = Measured { frames_hz: 10.0, inference_ms: Some(1.5), e2e_ms: None };
        assert_eq!(meter.measured(at(10), &counters), ten);
        meter.begin(at(10), &counters);
        assert_eq!(meter.measured(at(10), &counters), ten);
        let idle = Measured { frames_hz: 0.0, inference_ms: None, e2e_ms: None };
        assert_eq!(meter.measured(at(12), &counters), idle);
    }
}
