//! One key's way through its states. See the picture in the parent's header.

use std::time::Duration;

use super::{Candidate, Options};
use crate::base::{IdSource, Time};
use crate::model::{Event, EventState, EventType, Point, RuleTrace, Severity, Transition, Zone};

/// So long it must be likely before it is predicted, seconds: longer than a slip of the tracker.
const PREDICT_AFTER_S: f64 = 0.3;
/// So long it must be unlikely before it is retracted, seconds.
const RETRACT_AFTER_S: f64 = 1.0;
/// So long it must not happen before it is over, seconds.
const OVER_AFTER_S: f64 = 2.0;
/// A prediction whose tracks are out of sight is overdue this long after its time, seconds.
const OVERDUE_AFTER_S: f64 = 2.0;
/// What happens to tracks out of sight is over after this time, seconds: by then every tracker has
/// given them up.
const UNSEEN_MAX_S: f64 = 60.0;
/// Nothing is expected later than this, seconds.
const EXPECTED_MAX_S: f64 = 86_400.0;

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: EventType,
    /// The main one first, if they differ in that; else in order. At least one.
    pub(super) tracks: Vec<u32>,
    /// Index of the zone, if the rule is about one.
    pub(super) zone: Option<usize>,
}

/// A frame's time and what does not change between frames.
pub(super) struct Moment<'a> {
    pub(super) now: Time,
    pub(super) options: &'a Options,
    pub(super) zones: &'a [Zone],
}

impl Moment<'_> {
    fn seconds_since(&self, then: Time) -> f64 {
        self.now.since(then).as_secs_f64()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Nothing said yet.
    Open,
    Predicted,
    Occurred,
    /// Over since then; `occurred` or retracted.
    Cooling {
        since: Time,
        occurred: bool,
    },
}

/// The state of one key.
#[derive(Debug)]
pub(super) struct Entry {
    /// A rule proposed it in this frame.
    pub(super) proposed: bool,
    stage: Stage,
    id: u32,
    severity: Severity,
    probability: f64,
    position_m: Point,
    zone: Option<usize>,
    trace: RuleTrace,
    expected: Time,
    /// Since when it is likely, happens, is neither; none while it is not so.
    likely_since: Option<Time>,
    occurring_since: Option<Time>,
    quiet_since: Option<Time>,
    /// When its tracks were last seen, all of them.
    seen: Time,
}

impl Entry {
    pub(super) fn new(now: Time) -> Self {
        Self {
            proposed: false,
            stage: Stage::Open,
            id: 0,
            severity: Severity::None,
            probability: 0.0,
            position_m: Point::default(),
            zone: None,
            trace: RuleTrace::default(),
            expected: now,
            likely_since: None,
            occurring_since: None,
            quiet_since: None,
            seen: now,
        }
    }

    /// Takes in what a rule says; gives the transition if the state changes, or if what is predicted became
    /// graver.
    pub(super) fn propose(
        &mut self,
        candidate: Candidate,
        moment: &Moment<'_>,
        ids: &mut dyn IdSource,
    ) -> Option<Transition> {
        let now = moment.now;
        let (key, occurring) = (&candidate.key, candidate.occurring);
        self.proposed = true;
        self.seen = now;
        self.warm_up(moment);
        self.probability = if occurring { 1.0 } else { candidate.probability.clamp(0.0, 1.0) };
        self.position_m = candidate.position_m;
        self.zone = candidate.zone;
        self.trace = candidate.trace;
        let ahead_s = if occurring { 0.0 } else { candidate.expected_in_s.clamp(0.0, EXPECTED_MAX_S) };
        self.expected = now + Duration::try_from_secs_f64(ahead_s).unwrap_or_default();
        let likely = self.probability >= moment.options.predict_at;
        hold(&mut self.likely_since, likely, now);
        hold(&mut self.occurring_since, occurring, now);
        let quiet = match self.stage {
            Stage::Occurred => !occurring,
            _ => self.probability < moment.options.retract_below,
        };
        hold(&mut self.quiet_since, quiet, now);

        let lasted = |since: Option<Time>, seconds| since.is_some_and(|s| moment.seconds_since(s) >= seconds);
        let may_occur = !matches!(self.stage, Stage::Occurred | Stage::Cooling { occurred: true, .. });
        if may_occur && lasted(self.occurring_since, candidate.confirm_s) {
            if self.stage != Stage::Predicted {
                self.id = ids.next_id();
            }
            return Some(self.enter(Stage::Occurred, EventState::Occurred, key, moment));
        }
        if self.stage == Stage::Open && !occurring && lasted(self.likely_since, PREDICT_AFTER_S) {
            self.id = ids.next_id();
            return Some(self.enter(Stage::Predicted, EventState::Predicted, key, moment));
        }
        if self.stage == Stage::Predicted && !occurring && self.score_severity(key) > self.severity {
            return Some(self.enter(Stage::Predicted, EventState::Predicted, key, moment));
        }
        self.settle(key, moment)
    }

    /// No rule proposed it in this frame; `in_sight`: though its tracks were all there.
    pub(super) fn pass_over(&mut self, key: &Key, in_sight: bool, moment: &Moment<'_>) -> Option<Transition> {
        self.warm_up(moment);
        if in_sight {
            self.seen = moment.now;
            self.likely_since = None;
            self.occurring_since = None;
            hold(&mut self.quiet_since, true, moment.now);
            self.probability = 0.0;
            return self.settle(key, moment);
        }
        match self.stage {
            Stage::Predicted
                if self.expected < moment.now && moment.seconds_since(self.expected) > OVERDUE_AFTER_S =>
            {
                Some(self.retract(key, moment))
            }
            Stage::Occurred if moment.seconds_since(self.seen) > UNSEEN_MAX_S => Some(self.over(moment)),
            _ => None,
        }
    }

    /// Ends the entry because one of its tracks ended or another entry takes its place.
    pub(super) fn end(&mut self, key: &Key, moment: &Moment<'_>) -> Option<Transition> {
        match self.stage {
            Stage::Predicted => Some(self.retract(key, moment)),
            Stage::Occurred => Some(self.over(moment)),
            Stage::Open | Stage::Cooling { .. } => None,
        }
    }

    /// Ends the entry because no frame follows. A prediction stays undecided.
    pub(super) fn close(&mut self, moment: &Moment<'_>) -> Option<Transition> {
        (self.stage == Stage::Occurred).then(|| self.over(moment))
    }

    /// Whether it can be forgotten: nothing was said, and there is nothing to say.
    pub(super) fn is_over(&self, moment: &Moment<'_>) -> bool {
        match self.stage {
            Stage::Open => {
                let idle = self.likely_since.is_none() && self.occurring_since.is_none();
                idle || moment.seconds_since(self.seen) > RETRACT_AFTER_S
            }
            Stage::Cooling { since, .. } => {
                !self.proposed && moment.seconds_since(since) >= moment.options.cooldown_s
            }
            Stage::Predicted | Stage::Occurred => false,
        }
    }

    /// Since when it cools down, if it does.
    pub(super) fn cooling_since(&self) -> Option<Time> {
        match self.stage {
            Stage::Cooling { since, .. } => Some(since),
            _ => None,
        }
    }

    /// How likely it is, if it has not occurred yet.
    pub(super) fn open_probability(&self) -> Option<f64> {
        matches!(self.stage, Stage::Open | Stage::Predicted).then_some(self.probability)
    }

    fn warm_up(&mut self, moment: &Moment<'_>) {
        if let Stage::Cooling { since, .. } = self.stage
            && moment.seconds_since(since) >= moment.options.cooldown_s
        {
            self.stage = Stage::Open;
        }
    }

    /// Ends what has been quiet for long enough.
    fn settle(&mut self, key: &Key, moment: &Moment<'_>) -> Option<Transition> {
        let quiet_s = self.quiet_since.map_or(0.0, |since| moment.seconds_since(since));
        match self.stage {
            Stage::Predicted if quiet_s >= RETRACT_AFTER_S => Some(self.retract(key, moment)),
            Stage::Occurred if quiet_s >= OVER_AFTER_S => Some(self.over(moment)),
            _ => None,
        }
    }

    /// How grave it is at its present probability.
    fn score_severity(&self, key: &Key) -> Severity {
        Severity::from_score(key.kind.base_severity() * self.probability)
    }

    fn over(&mut self, moment: &Moment<'_>) -> Transition {
        self.stage = Stage::Cooling { since: moment.now, occurred: true };
        Transition::EventOver { id: self.id, time: moment.now }
    }

    fn retract(&mut self, key: &Key, moment: &Moment<'_>) -> Transition {
        let cooling = Stage::Cooling { since: moment.now, occurred: false };
        self.enter(cooling, EventState::Retracted, key, moment)
    }

    fn enter(&mut self, stage: Stage, state: EventState, key: &Key, moment: &Moment<'_>) -> Transition {
        self.stage = stage;
        self.quiet_since = None;
        if state != EventState::Retracted {
            self.severity = self.score_severity(key);
        }
        let zone = match key.zone.or(self.zone) {
            Some(index) => moment.zones.get(index),
            None => moment.zones.iter().find(|z| z.border_m.contains(self.position_m)),
        };
        Transition::Event(Event {
            id: self.id,
            kind: key.kind,
            state,
            position_m: self.position_m,
            tracks: key.tracks.clone(),
            probability: self.probability,
            severity: self.severity,
            predicted_time: self.expected,
            time: moment.now,
            zone: zone.map(|z| z.name.clone()),
            rule: self.trace.clone(),
        })
    }
}

/// Starts or stops a stopwatch.
fn hold(since: &mut Option<Time>, running: bool, now: Time) {
    *since = if running { since.or(Some(now)) } else { None };
}
