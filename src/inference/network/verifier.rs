//! The second look: a network sees an enlarged part of the picture around one track.
//!
//! [`Verifier`] has one worker thread with the network and one slot, so that a frame never waits for a network: a look is
//! given to the worker with one frame and its answer is taken with a later one. Looks cost at most the budget: a bucket
//! fills with the time of the frames, and what a look took of a processor is taken from it. A look that takes longer than [`LOOK_MAX`]
//! is abandoned. After that, and after a fault of the network, nothing is looked at for a minute, then for two, up to
//! an hour, and tracks are confirmed without.
//!
//! An answer is evidence, as natural log-odds: those of the score that the network gives a person or vehicle whose box fits the
//! track's, less those of the score at which it is as likely wrong as right. Nothing there is evidence against the track.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::cpu::Stopwatch;
use super::{Description, Error, Fault, Network, Options, Tensor, crop, load, probe};
use crate::base::Time;
use crate::model::{BBox, Class, Detection, Image, Look};

/// A look that takes longer is abandoned.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Until then a network that is being tried and loaded is waited for.
const START_MAX: Duration = Duration::from_secs(20);
/// How long nothing is looked at after a fault; twice as long after each further one.
const REST_MIN: Duration = Duration::from_mins(1);
const REST_MAX: Duration = Duration::from_hours(1);
/// The least evidence of a look: the network finds nothing there.
const ODDS_MIN: f64 = -2.0;
/// The most.
const ODDS_MAX: f64 = 4.0;
/// A box fits a track's from this overlap (`IoU`) on.
const FITS_IOU: f64 = 0.3;
/// It also fits when so much of it is inside the track's and it is nearly as tall: a body beside its shadow.
const FITS_INSIDE: f64 = 0.7;
const FITS_HEIGHT: f64 = 0.6;

/// What the worker is given.
struct Job {
    input: Tensor,
    /// The track's box, pixels of the input.
    wanted: BBox,
}

/// What the worker says.
enum Reply {
    /// The network is loaded; or why not.
    Started(Result<Description, Error>),
    /// The answer, and the input to be used again.
    Looked { look: Result<Look, Error>, input: Tensor, took: Duration },
}

/// How it stands.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Starting,
    Working,
    /// Nothing is looked at; until when, or for good.
    Resting(Error, Option<Instant>),
}

/// A look that was asked for.
struct Pending {
    key: u64,
    since: Instant,
    /// Its answer is no longer wanted.
    abandoned: bool,
}

/// See the module.
pub struct Verifier {
    jobs: SyncSender<Job>,
    replies: Receiver<Reply>,
    description: Option<Description>,
    state: State,
    began: Instant,
    rest: Duration,
    pending: Option<Pending>,
    input: Tensor,
    wait: bool,
    budget_ms: f64,
    left_ms: f64,
    filled: Option<Time>,
    looks: u64,
    spent_ms: f64,
}

impl Verifier {
    /// Tries the network, loads it and runs it, all on the worker thread.
    pub fn open(options: Options) -> Self {
        let (budget_ms, wait) = (options.budget_ms, options.wait);
        let open = move || {
            options.description.as_ref().map_err(Clone::clone)?;
            if options.probe {
                probe(&options)?;
            }
            load(&options)
        };
        Self::with(open, budget_ms, wait)
    }

    /// A verifier with a network that the caller opens.
    pub fn with(
        open: impl FnOnce() -> Result<Network, Error> + Send + 'static,
        budget_ms: f64,
        wait: bool,
    ) -> Self {
        let (jobs, jobs_in) = sync_channel(1);
        let (replies_out, replies) = sync_channel(2);
        let thread = std::thread::Builder::new().name("second-look".to_owned());
        let spawned = thread.spawn(move || work(open, &jobs_in, &replies_out));
        let state = match spawned {
            Ok(_) => State::Starting,
            Err(error) => State::Resting(Error::new(Fault::RunFailed, format!("no thread: {error}")), None),
        };
        Self {
            jobs,
            replies,
            description: None,
            state,
            began: Instant::now(),
            rest: REST_MIN,
            pending: None,
            input: Tensor::default(),
            wait,
            budget_ms,
            left_ms: budget_ms,
            filled: None,
            looks: 0,
            spent_ms: 0.0,
        }
    }

    /// Whether tracks need its answers: it works, or is about to.
    pub fn is_in_force(&self) -> bool {
        match self.state {
            State::Starting => self.began.elapsed() < START_MAX,
            State::Working => true,
            State::Resting(..) => false,
        }
    }

    /// Why nothing is looked at.
    pub fn error(&self) -> Option<&Error> {
        match &self.state {
            State::Resting(error, _) => Some(error),
            State::Starting | State::Working => None,
        }
    }

    /// Looks so far.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// The time of a processor that they took, milliseconds.
    pub fn spent_ms(&self) -> f64 {
        self.spent_ms
    }

    fn spend(&mut self, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        self.left_ms -= ms;
        self.spent_ms += ms;
    }

    /// A frame has come: the budget fills, for at most one second.
    pub fn frame(&mut self, now: Time) {
        let passed = self.filled.replace(now).map_or(Duration::ZERO, |before| now.since(before));
        self.left_ms = (self.left_ms + self.budget_ms * passed.as_secs_f64()).min(self.budget_ms);
    }

    /// Whether a look can begin.
    pub fn is_free(&self) -> bool {
        self.state == State::Working && self.pending.is_none() && self.left_ms > 0.0
    }

    /// Whether a look can begin at a track that was looked at before: half of the budget is for new ones.
    pub fn has_spare(&self) -> bool {
        self.left_ms > self.budget_ms / 2.0
    }

    /// Begins a look at a box, pixels of the picture: the how-manieth of this track from 0, which changes the part of the
    /// picture that is seen. The answer comes under this key.
    pub fn look(&mut self, image: &Image, key: u64, bbox: BBox, number: u32) {
        let Some(description) = &self.description else { return };
        let stopwatch = Stopwatch::start();
        let zoom = number as usize % description.crops.len().max(1);
        let region = region(bbox, description, description.crops.get(zoom).copied().unwrap_or(1.0));
        let mut input = std::mem::take(&mut self.input);
        crop::cut(image, region, description, &mut input);
        let (width, height) = (f64::from(description.size.width), f64::from(description.size.height));
        let (x, y) = (width / region.width, height / region.height);
        let wanted = BBox::new(
            (bbox.left - region.left) * x,
            (bbox.top - region.top) * y,
            bbox.width * x,
            bbox.height * y,
        );
        self.spend(stopwatch.used());
        self.looks += 1;
        match self.jobs.try_send(Job { input, wanted }) {
            Ok(()) => self.pending = Some(Pending { key, since: Instant::now(), abandoned: false }),
            Err(_) => self.rest(Error::new(Fault::RunFailed, "the thread of the network has ended"), None),
        }
    }

    /// The next answer, if one has come.
    pub fn answer(&mut self) -> Option<(u64, Look)> {
        loop {
            match self.reply() {
                Some(Reply::Started(Ok(description))) => {
                    self.description = Some(description);
                    self.state = State::Working;
                }
                Some(Reply::Started(Err(error))) => self.rest(error, None),
                Some(Reply::Looked { look, input, took }) => {
                    self.input = input;
                    self.spend(took);
                    let Some(Pending { key, abandoned, .. }) = self.pending.take() else { continue };
                    match look {
                        Ok(_) if abandoned => {}
                        Ok(look) => {
                            self.rest = REST_MIN;
                            return Some((key, look));
                        }
                        Err(error) => self.rest(error, Some(self.rest)),
                    }
                }
                None => {
                    self.give_up();
                    return None;
                }
            }
        }
    }

    /// What the worker says next. Waits for it where every answer is waited for.
    fn reply(&self) -> Option<Reply> {
        let within = match (&self.state, &self.pending) {
            (State::Starting, _) => START_MAX.saturating_sub(self.began.elapsed()),
            (State::Working, Some(pending)) => LOOK_MAX.saturating_sub(pending.since.elapsed()),
            _ => Duration::ZERO,
        };
        if self.wait && !within.is_zero() {
            return self.replies.recv_timeout(within).ok();
        }
        self.replies.try_recv().ok()
    }

    /// Abandons what takes too long, and begins again after a rest.
    fn give_up(&mut self) {
        let slow = |what: &str, within: Duration| {
            let reason = format!("{what} took more than {} s; use a smaller model", within.as_secs());
            Error::new(Fault::TooSlow, reason)
        };
        match &self.state {
            State::Starting if self.began.elapsed() >= START_MAX => {
                self.rest(slow("loading the network", START_MAX), None);
            }
            State::Working => {
                if let Some(pending) = &mut self.pending
                    && pending.since.elapsed() >= LOOK_MAX
                {
                    pending.abandoned = true;
                    self.rest(slow("a look", LOOK_MAX), Some(self.rest));
                }
            }
            State::Resting(_, Some(until)) if *until <= Instant::now() && self.pending.is_none() => {
                self.state = State::Working;
            }
            State::Starting | State::Resting(..) => {}
        }
    }

    fn rest(&mut self, error: Error, length: Option<Duration>) {
        self.state = State::Resting(error, length.map(|length| Instant::now() + length));
        self.rest = (self.rest * 2).min(REST_MAX);
    }
}

/// The worker; it ends when the verifier is dropped.
fn work(open: impl FnOnce() -> Result<Network, Error>, jobs: &Receiver<Job>, replies: &SyncSender<Reply>) {
    let (mut network, started) = match open() {
        Ok(network) => {
            let description = network.description().clone();
            (Some(network), Ok(description))
        }
        Err(error) => (None, Err(error)),
    };
    if replies.send(Reply::Started(started)).is_err() {
        return;
    }
    let Some(network) = &mut network else { return };
    let mut found = Vec::new();
    while let Ok(Job { input, wanted }) = jobs.recv() {
        let stopwatch = Stopwatch::start();
        let look = network.detect(&input, &mut found);
        let look = look.map(|()| judge(&found, wanted, network.description().clutter_score));
        if replies.send(Reply::Looked { look, input, took: stopwatch.used() }).is_err() {
            return;
        }
    }
}

/// The part of the picture that a look at this box sees, of the same shape as the input.
fn region(bbox: BBox, description: &Description, crop: f64) -> BBox {
    let side = crop * bbox.width.max(bbox.height).max(1.0);
    let (wide, tall) = (f64::from(description.size.width), f64::from(description.size.height));
    let (width, height) = (side * wide / wide.min(tall), side * tall / wide.min(tall));
    let center = bbox.center();
    BBox::new(center.x - width / 2.0, center.y - height / 2.0, width, height)
}

/// Whether a box of the network is of the object in the track's box.
fn fits(found: BBox, wanted: BBox) -> bool {
    let width = (found.right().min(wanted.right()) - found.left.max(wanted.left)).max(0.0);
    let height = (found.bottom().min(wanted.bottom()) - found.top.max(wanted.top)).max(0.0);
    let inside = width * height >= FITS_INSIDE * found.width * found.height;
    found.iou(wanted) >= FITS_IOU || inside && found.height >= FITS_HEIGHT * wanted.height
}

/// What boxes say of the track in this box.
pub(super) fn judge(found: &[Detection], wanted: BBox, clutter_score: f64) -> Look {
    let fitting = found.iter().filter(|d| fits(d.bbox, wanted));
    match fitting.max_by(|a, b| a.score.total_cmp(&b.score)) {
        Some(best) => {
            let odds = |p: f64| {
                let p = p.clamp(1e-6, 1.0 - 1e-6);
                (p / (1.0 - p)).ln()
            };
            let odds = (odds(best.score) - odds(clutter_score)).clamp(ODDS_MIN, ODDS_MAX);
            Look { class: best.class, score: best.score, odds }
        }
        None => Look { class: Class::Unknown, score: 0.0, odds: ODDS_MIN },
    }
}
