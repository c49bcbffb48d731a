//! What the cameras of a site agree on: one incident, one outcome, one alert.
//!
//! Every camera keeps a table of what all cameras claim ([`claim`]) and how they vote ([`ballot`]). Claims and ballots
//! only grow (they are joins), so order, repetition and partition leave no trace:
//!
//! ```text
//! claims of all cameras ── joined by kind, time, subject or place ──► incidents
//!                                                                        │ cameras that see the place are asked
//!  predicted ─┬─ quorum confirms, pooled above the alert level ► confirmed
//!             ├─ so many deny that no quorum is left, at the timeout ──► retracted
//!             ├─ every claim was withdrawn, or its time passed ────────► retracted
//!             └─ neither, at the timeout ──────────────────────────────► expired
//! ```
//!
//! **The wire is the outcome.** Two cameras may judge an incident differently for a moment: they join claims by their own
//! fused tables, and votes arrive in their own order. So no camera reports its own judgment. One camera publishes the
//! outcome; every camera reports it to its surfaces when it arrives, once, under the key that it carries:
//!
//! > Every outcome on the wire (key, state) is reported once by every camera that receives it, and no camera reports an
//! > outcome that is not on the wire.
//!
//! A camera rejects a confirmation only if the votes that it has had for [`SETTLE`] show that it is denied, or if the
//! publisher is a stranger at a place that cameras which count can see ([`Consensus::accepts`]). The publisher lists the
//! claims that it joined, and these stay joined on every camera: an incident that was published never parts again, and
//! is not published twice.
//!
//! **Forecast and fact.** Votes on whether it will happen and on whether it happens are kept apart: a camera that saw the
//! subject coming has not seen the deed. A forecast whose time passes without the fact is retracted ([`LAPSE`]).
//!
//! **Asked.** The cameras in whose footprint the place lies, that are there, look, and take part
//! ([`participants`](super::participants)); and the claimants. A camera that abstains is not counted. If one camera alone
//! can judge it, that camera decides alone ([`SiteEvent::is_alone`]). The words of other clients weigh a little
//! ([`Standing::Stranger`]), and never where signatures are required.
//!
//! **Deadlines.** A confirmation before the timeout must hold even if all cameras that have not answered denied it.
//! Denials wait for the timeout. Late votes still count: an event that expired during a partition is confirmed when it
//! heals, and one that was confirmed and turns out denied is retracted.
//!
//! **The key** is that of the claim that was announced, else of the one that was founded first (then the smaller name).
//!
//! **The publisher** is the first, in the order of keys, of the claimants that are there; then the viewers by name, which
//! publish on behalf of a claimant that does not (a client that knows no votes, a camera that was killed). Each waits
//! [`TAKEOVER`] for the one before. The same camera publishes the alert of the incident (`alerts`).
//!
//! **Cost.** What concerns this camera (it claims it, or its footprint holds the place) is evaluated with every message,
//! everything else once in a tick; claims that could join are found by place. So the cost of a message does not grow
//! with what happens far away.
//!
//! Pure: no clock, no randomness. Bounds: [`CLAIMS_MAX`], [`CLAIMS_PER_CAMERA_MAX`], [`UNPROVEN_MAX`],
//! [`ballot::VOTERS_MAX`], [`ORPHANS_MAX`], [`KEEP`]; what is refused is counted.

mod alerts;
mod announce;
pub mod ballot;
mod claim;
mod incident;
mod intake;
mod places;
#[cfg(test)]
mod tests;
mod view;
mod voting;
mod witness;

pub use witness::Rules;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ballot::{Ballot, Tally};
use claim::{Claim, Outcomes};
use places::Places;
use view::View;
use witness::Witness;

use super::alert::Incident as Alert;
use super::message::{AlertMessage, ConsensusMessage, EventKey, EventMessage};
use super::participants::Standing;
use crate::base::Time;
use crate::model::{CameraId, Class, EventState, EventType, Point, Polygon, Scene, Severity};

/// Claims that are followed at once; 3 MB. One that is decided and was not heard of for longest makes room, else one
/// that is open.
pub const CLAIMS_MAX: usize = 2_048;
/// Claims of one camera, so that a flood evicts claims of its own camera alone: a busy plaza raises 70 in the time that
/// claims are kept.
pub const CLAIMS_PER_CAMERA_MAX: usize = 256;
/// Claims of cameras that do not count, in all and at one place, so that a flood of them evicts no claim of a camera that
/// counts, and costs no more than a busy place: each is compared with each.
pub const UNPROVEN_MAX: usize = 256;
const UNPROVEN_AT_PLACE_MAX: usize = 64;
/// Claims that were voted on and never told of.
pub const ORPHANS_MAX: usize = 256;
/// A claim is forgotten so long after the last word on it.
pub const KEEP: Duration = Duration::from_mins(5);
/// A claim with an open alert is kept so long.
const ALERT_KEEP: Duration = Duration::from_hours(1);
/// Claims that are joined with one for good.
const JOINED_MAX: usize = 64;
/// Votes wait so long for the event they are about.
const ORPHAN_KEEP: Duration = Duration::from_mins(1);
/// An event from so far ahead of our clock is not believed, milliseconds.
const AHEAD_MAX_MS: u64 = 60_000;
/// A camera that sees nothing says so after this time: what it sees may still be on its way.
const HOLD: Duration = Duration::from_secs(1);
/// A forecast has not come true when its time passed so long ago and no camera claims the fact.
pub const LAPSE: Duration = Duration::from_secs(3);
/// The publisher decides so long before the timeout, so that the outcome is out in time.
const DECIDE_EARLY: Duration = Duration::from_millis(200);
/// A camera looks for an answer for so long after the timeout.
const VOTE_LATE: Duration = Duration::from_secs(2);
/// A confirmation that rose by less is not told again, thousandths.
const RISE_MIN: u16 = 200;
/// Who speaks next waits this long for who should have spoken.
pub const TAKEOVER: Duration = Duration::from_secs(2);
/// What several can see is announced no sooner than this after it was claimed: who saw it at the same moment
/// claims it too, and only one is to speak.
const GATHER: Duration = Duration::from_millis(250);
/// What is decided anew by late votes waits this long: an announcement may be on its way with them.
const SETTLE: Duration = Duration::from_secs(1);

/// Claims that are farther apart than this are never joined directly, metres.
pub const JOINED_WITHIN_M: f64 = claim::SUBJECT_WITHIN_M;

/// How cameras agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Part of the cameras that can see the place which must confirm, 0..1.
    pub quorum: f64,
    /// How likely it must be by all answers together, 0..1.
    pub alert_above: f64,
    /// How long answers are waited for.
    pub timeout: Duration,
    /// Whether votes count that were only told by another camera than the voter. Off where messages are
    /// signed: nobody can sign for another.
    pub count_told: bool,
    /// Whether the words of cameras that do not count weigh a little. Off where signatures are required.
    pub count_strangers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quorum: 2.0 / 3.0,
            alert_above: 0.7,
            timeout: Duration::from_secs(3),
            count_told: true,
            count_strangers: true,
        }
    }
}

/// What consensus must know of the site.
pub trait Site {
    /// This camera.
    fn own(&self) -> &CameraId;
    /// The cameras in whose footprint a place lies, ourselves included; whether each is there and looks.
    fn viewers(&self, at: Point) -> Vec<(&CameraId, bool)>;
    /// Whether a camera has introduced itself.
    fn is_known(&self, camera: &CameraId) -> bool;
    /// Whether it is there at present.
    fn is_present(&self, camera: &CameraId) -> bool;
    /// Whether nothing it says counts.
    fn is_muted(&self, camera: &CameraId) -> bool;
    /// What its word weighs; this camera's counts.
    fn standing(&self, camera: &CameraId) -> Standing;
    /// Whether the vote of a camera that counts is waited for.
    fn is_asked(&self, camera: &CameraId, now: Time) -> bool;
    /// Whether what happens at a place is this camera's business. What is not is followed only as far as it may be
    /// one with what is, and nobody is told of it.
    fn concerns(&self, at: Point) -> bool;
    /// Whether its metres are the site's.
    fn shares_ground(&self, camera: &CameraId) -> bool;
    /// The number on the site of who has this number on a camera.
    fn subject(&self, camera: &CameraId, track_id: u32) -> Option<u64>;
    /// What a camera's clock is ahead of the site's, milliseconds.
    fn ahead_ms(&self, camera: &CameraId) -> i64;
    /// Where a camera's track was seen last, metres.
    fn place_of(&self, camera: &CameraId, track_id: u32) -> Option<Point>;
    /// The class of another camera's track.
    fn class_of(&self, camera: &CameraId, track_id: u32) -> Option<Class>;
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A camera, perhaps this one, told of an event.
    Event(&'a EventMessage),
    /// Another camera voted, or told how others did.
    Vote(&'a ConsensusMessage),
    /// Another camera published an alert.
    Alert(&'a AlertMessage),
    /// What this camera claimed under this number and saw happen is over.
    Over {
        /// Its number on this camera.
        event_id: u32,
    },
    /// This camera understood a frame.
    Scene(&'a Scene),
    /// Time passed; wanted about once a second.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish a vote, or an aggregate.
    Vote(Box<ConsensusMessage>),
    /// Publish what came of an event of this camera's.
    Event(Box<EventMessage>),
    /// An outcome is on the wire, or an incident began: for surfaces and the log. Once for each key and state.
    Site(Box<SiteEvent>),
    /// Publish a change of an incident for people.
    Alert(Box<Alert>),
    /// A camera voted.
    Answered(CameraId),
    /// A camera that was asked did not vote in time.
    Missed(CameraId),
}

/// One incident, whoever claims it.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteEvent {
    /// Its name, the same on every camera.
    pub key: EventKey,
    /// What happens.
    pub kind: EventType,
    /// `Predicted` while it is open (whether it is expected or seen), then `Confirmed`, `Retracted` or `Expired`.
    pub state: EventState,
    /// It is seen to happen, by at least one camera.
    pub occurred: bool,
    /// Where, metres.
    pub position_m: Point,
    /// When it happens, milliseconds since the epoch on its camera's clock.
    pub expected_ms: u64,
    /// How grave, at most.
    pub severity: Severity,
    /// How likely by all answers that this camera knows, 0..1.
    pub probability: f64,
    /// How the cameras that can see it answered, as far as this camera knows.
    pub tally: Tally,
    /// Who confirms, by name.
    pub confirming: Vec<CameraId>,
    /// The claims that are joined in it, in the order in which one of them gives the key.
    pub claims: Vec<EventKey>,
    /// The people it is about, by their numbers on the site.
    pub subjects: Vec<u64>,
}

impl SiteEvent {
    /// One camera alone can see it, and decided alone.
    pub fn is_alone(&self) -> bool {
        self.tally.asked <= 1
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Votes of ours that left.
    pub votes_cast: u64,
    /// Words of others that said something new.
    pub votes_taken: u64,
    /// Votes that said nothing new.
    pub votes_repeated: u64,
    /// Votes of cameras that never introduced themselves.
    pub votes_unknown: u64,
    /// Confirmations that are told as ours where we deny.
    pub votes_misquoted: u64,
    /// Votes on events that never were.
    pub votes_orphaned: u64,
    /// Votes on events not known yet, for which there was no room.
    pub votes_over_limit: u64,
    /// Events from too long ago.
    pub claims_stale: u64,
    /// Events from too far ahead.
    pub claims_early: u64,
    /// Claims pushed out of the full table.
    pub claims_evicted: u64,
    /// Confirmations on the wire that this camera rejects, by its own votes or because of their publisher.
    pub outcomes_disputed: u64,
    /// Incidents that were confirmed.
    pub confirmed: u64,
    /// Incidents that were retracted.
    pub retracted: u64,
    /// Incidents on which nobody decided in time.
    pub expired: u64,
}

impl Counters {
    /// Name and value of each.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("votes_cast", self.votes_cast),
            ("votes_taken", self.votes_taken),
            ("votes_repeated", self.votes_repeated),
            ("votes_unknown", self.votes_unknown),
            ("votes_misquoted", self.votes_misquoted),
            ("votes_orphaned", self.votes_orphaned),
            ("votes_over_limit", self.votes_over_limit),
            ("claims_stale", self.claims_stale),
            ("claims_early", self.claims_early),
            ("claims_evicted", self.claims_evicted),
            ("outcomes_disputed", self.outcomes_disputed),
            ("incidents_confirmed", self.confirmed),
            ("incidents_retracted", self.retracted),
            ("incidents_expired", self.expired),
        ]
        .into_iter()
    }
}

/// A claim's camera and its number there.
type ClaimId = (CameraId, u32);

/// A claim, and what this camera alone notes about it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, noted once")]
#[derive(Debug, Clone)]
struct Case {
    claim: Claim,
    /// The last message of it that is no outcome.
    message: Box<EventMessage>,
    /// It is this camera's.
    is_own: bool,
    /// Its camera counted when it was first claimed.
    counts: bool,
    /// When the answers began to be waited for, and when it was last heard of.
    opened: Time,
    heard: Time,
    /// Who it is about, as far as known, in order.
    subjects: Vec<u64>,
    /// Outcomes that another camera published on behalf of its camera.
    published: Outcomes,
    /// Outcomes that this camera has reported to its surfaces; and whether it reported that the incident began.
    reported: Outcomes,
    is_reported_open: bool,
    is_disputed: bool,
    /// Since when this camera's votes have denied its incident.
    denied_since: Option<Time>,
    /// Claims that were published as one incident with it.
    joined: BTreeSet<ClaimId>,
    /// What the incident's outcome is that this camera may have to announce, and since when.
    decided: Option<(EventState, Time)>,
    /// What this camera saw happen is over.
    is_over: bool,
    /// The alert that carries its key.
    alert: Option<alerts::Record>,
    /// The cameras that did not vote on it in time were noted.
    is_reviewed: bool,
    /// This camera claims it or is asked.
    is_ours: bool,
    /// When it was told of, it was where it is this camera's business: what becomes that later, because half of a site
    /// is gone, is known too badly.
    concerns_us: bool,
    /// Something came that was not looked at yet.
    is_new: bool,
}

impl Case {
    /// Whether time alone may change something about it: its votes, its turn to publish, its forecast, its alert.
    /// `now_ms` is the site's time.
    fn is_open(&self, options: &Options, now: Time, now_ms: u64) -> bool {
        // Long enough for the turn of every publisher, and for the absence of one to show.
        let within = options.timeout + 8 * TAKEOVER;
        let lapsed_ms = self.claim.expected_ms().saturating_add(millis(LAPSE + 2 * TAKEOVER));
        self.is_new
            || now.since(self.opened) <= within
            || self.decided.is_some()
            || self.alert.as_ref().is_some_and(alerts::Record::is_open)
            || (!self.claim.occurred && !self.claim.is_retracted() && now_ms < lapsed_ms)
    }

    /// Whether an outcome of it is on the wire.
    fn has(&self, state: EventState) -> bool {
        self.claim.told.has(state) || self.published.has(state)
    }

    /// Whether any outcome of it is on the wire.
    fn is_decided(&self) -> bool {
        [EventState::Confirmed, EventState::Retracted, EventState::Expired].into_iter().any(|s| self.has(s))
    }
}

/// Votes on a claim that is not known yet.
#[derive(Debug, Clone, Default)]
struct Orphan {
    ballots: [Ballot; 2],
    published: Outcomes,
    heard: Time,
}

/// The table of what is claimed on the site.
#[derive(Debug, Clone)]
pub struct Consensus {
    options: Options,
    cases: BTreeMap<ClaimId, Case>,
    places: Places,
    orphans: BTreeMap<ClaimId, Orphan>,
    rules: Rules,
    witness: Witness,
    view: View,
    counters: Counters,
}

impl Consensus {
    /// A table of nothing; `footprint` is what this camera sees of the site's ground, `rules` what it can judge there.
    pub fn new(options: Options, footprint: Option<Polygon>, rules: Rules) -> Self {
        Self {
            options,
            cases: BTreeMap::new(),
            places: Places::default(),
            orphans: BTreeMap::new(),
            rules,
            witness: Witness::default(),
            view: View::new(footprint),
            counters: Counters::default(),
        }
    }

    /// Goes by other limits from now on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Judges by other rules from now on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes one input; what is to be done is added to `out`.
    pub fn handle(&mut self, input: Input<'_>, site: &dyn Site, now: Time, out: &mut Vec<Action>) {
        match input {
            Input::Event(m) => {
                if let Some(id) = self.event(m, site, now) {
                    self.settle_if_ours(&id, site, now, out);
                }
            }
            Input::Vote(m) => {
                if let Some(id) = self.vote(m, site, now, out) {
                    self.settle_if_ours(&id, site, now, out);
                }
            }
            Input::Alert(m) => self.alert(m, site, now),
            Input::Over { event_id } => {
                let id = (site.own().clone(), event_id);
                if let Some(case) = self.cases.get_mut(&id) {
                    case.is_over = true;
                    self.settle(&id, site, now, out);
                }
            }
            Input::Scene(scene) => {
                self.witness.note(scene);
                // What is seen now may be the answer to what was asked; and an alarm that is due does not wait
                // for the next tick.
                let within = self.options.timeout + VOTE_LATE;
                self.settle_all(site, now, out, |case| {
                    case.is_ours && (now.since(case.opened) <= within || case.decided.is_some())
                });
            }
            Input::Tick => {
                self.forget(now);
                let (now_ms, options) = (site_ms(site, now), self.options);
                self.settle_all(site, now, out, |case| case.is_open(&options, now, now_ms));
            }
        }
    }

    /// Others see somebody at this place; `seen`: this camera does too. So it learns where it is blind.
    pub fn compare(&mut self, at: Point, seen: bool) {
        self.view.compare(at, seen);
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether this event of a camera's is followed.
    pub fn knows(&self, camera: &CameraId, event_id: u32) -> bool {
        self.cases.contains_key(&(camera.clone(), event_id))
    }

    /// Claims that are followed.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether nothing is claimed.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Forgets the claims and words of a camera: what came in its name was not its own.
    pub(super) fn forget_camera(&mut self, camera: &CameraId) {
        let places = &mut self.places;
        self.cases.retain(|id, case| {
            let stays = id.0 != *camera;
            if !stays {
                places.remove(id, case.claim.latest.place());
            }
            for ballot in &mut case.claim.ballots {
                case.is_new |= ballot.forget(camera);
            }
            stays
        });
        self.orphans.retain(|id, orphan| {
            orphan.ballots.iter_mut().for_each(|ballot| _ = ballot.forget(camera));
            id.0 != *camera
        });
    }

    /// The places of this camera's tracks in its newest remembered scene, and when that was, milliseconds since the
    /// epoch on its clock.
    pub(super) fn own_places(&self) -> (u64, impl Iterator<Item = Point> + '_) {
        self.witness.newest()
    }

    /// Whether a place is one that this camera is known to see.
    pub(super) fn sees(&self, at: Point) -> bool {
        self.view.sees(at)
    }

    /// Lets go of what is too old.
    fn forget(&mut self, now: Time) {
        let places = &mut self.places;
        self.cases.retain(|id, case| {
            let keep =
                if case.alert.as_ref().is_some_and(alerts::Record::is_open) { ALERT_KEEP } else { KEEP };
            let stays = now.since(case.heard) < keep;
            if !stays {
                places.remove(id, case.claim.latest.place());
            }
            stays
        });
        let counters = &mut self.counters;
        self.orphans.retain(|_, orphan| {
            let stays = now.since(orphan.heard) < ORPHAN_KEEP;
            if !stays {
                counters.votes_orphaned += orphan.ballots.iter().map(Ballot::len).max().unwrap_or(0) as u64;
            }
            stays
        });
    }

    /// Looks at what concerns this camera at once; the rest waits for the tick.
    fn settle_if_ours(&mut self, id: &ClaimId, site: &dyn Site, now: Time, out: &mut Vec<Action>) {
        let Some(case) = self.cases.get_mut(id) else { return };
        case.is_new = true;
        if case.is_ours {
            self.settle(id, site, now, out);
        }
    }

    /// Looks at the incident of every claim that is chosen, each once.
    fn settle_all(
        &mut self,
        site: &dyn Site,
        now: Time,
        out: &mut Vec<Action>,
        chosen: impl Fn(&Case) -> bool,
    ) {
        let chosen = self.cases.iter().filter(|(_, case)| chosen(case));
        let mut left: BTreeSet<ClaimId> = chosen.map(|(id, _)| id.clone()).collect();
        while let Some(id) = left.pop_first() {
            for member in self.settle(&id, site, now, out) {
                left.remove(&member);
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The site's time, milliseconds since the epoch.
fn site_ms(site: &dyn Site, now: Time) -> u64 {
    now.epoch_ms.saturating_add_signed(site.ahead_ms(site.own()).saturating_neg())
}
