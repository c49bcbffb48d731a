//! What the cameras of a site agree on: one incident, one event, one alarm.
//!
//! Every camera keeps the same table from the same messages, without a coordinator, and so comes to the same
//! answer. What goes in only ever grows: what cameras claim ([`claim`]) and how they vote ([`ballot`]) are
//! joins, in which order, repetition and partition leave no trace. What comes out is a function of that set:
//!
//! ```text
//! claims of all cameras ── joined by kind, time, subject or place ──► incidents
//!                                                                        │ who can see the place is asked
//!  predicted ─┬─ quorum confirms, pooled above alert ──► confirmed       │
//!             ├─ so many deny that no quorum is left, at the timeout ──► retracted
//!             ├─ every claim was taken back before it happened ────────► retracted
//!             └─ neither, at the timeout ──────────────────────────────► expired
//! ```
//!
//! **Who is asked.** The cameras in whose footprint the place lies, that are there and look, and those that
//! claim it. Who has something before the place, or was not looking, abstains and is not counted: absence of
//! sight is no denial. If one camera alone can see it, it decides alone at once, and the event says so
//! ([`SiteEvent::is_alone`]).
//!
//! **When.** A confirmation is final for its evidence: before the timeout it must hold even if all who have
//! not answered denied it. Denials wait for the timeout, since a camera may see a moment later what it missed. Votes that
//! come later still count: an event that expired during a partition is confirmed when it heals, and one that
//! was confirmed and turns out denied is taken back.
//!
//! **The key.** Claims that join are one event under one key: of the claims that the site was already told
//! are confirmed, else of all, the one that was founded first (then the smaller name). A function of the set
//! too; a claim that joins later was mostly founded later, so the key stays, and what was announced keeps its
//! name even if an older claim comes out of a partition.
//!
//! **Who tells it.** One camera says the outcome on the events topic, and publishes the aggregate: the first,
//! in the order of keys, of the claimants that are there. If it says nothing, the next does after
//! [`TAKEOVER`], and its claim gives the key. Two may speak while they can't hear each other; their events are
//! one for everybody who hears both. Surfaces are told a confirmation once it was announced, so that all
//! cameras tell it under one key, or when nobody did in time.
//!
//! **Cost.** What concerns this camera (it claims it, or its footprint holds the place) is looked at with every
//! message. Everything else on the site is only noted, and looked at once in a tick; claims that could join are
//! found by their place. So the cost of a message does not grow with what happens far away.
//!
//! **Own votes** come from what this camera saw there and then ([`witness`]), and from where its view is
//! blind ([`view`]). Pure: no clock, no randomness. Bounds: [`CLAIMS_MAX`], [`CLAIMS_PER_CAMERA_MAX`],
//! [`ballot::VOTERS_MAX`], [`ORPHANS_MAX`], [`KEEP`]; what is refused is counted.

pub mod ballot;
mod claim;
mod incident;
mod places;
#[cfg(test)]
mod tests;
mod view;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ballot::{Ballot, Tally, Word};
use claim::Claim;
use places::Places;
use view::View;
use witness::Witness;

use super::message::{ConsensusMessage, EventKey, EventMessage, Verdict};
use crate::base::Time;
use crate::model::{CameraId, EventState, EventType, Point, Polygon, Scene, Severity};

/// Claims that are followed at once; the one not heard of for longest makes room.
pub const CLAIMS_MAX: usize = 1_024;
/// Claims of one camera, so that one that floods pushes out its own alone.
pub const CLAIMS_PER_CAMERA_MAX: usize = 64;
/// Claims that were voted on and never told of.
pub const ORPHANS_MAX: usize = 256;
/// A claim is forgotten so long after the last word on it.
pub const KEEP: Duration = Duration::from_mins(5);
/// Votes wait so long for the event they are about.
const ORPHAN_KEEP: Duration = Duration::from_mins(1);
/// An event from so far ahead of our clock is not believed, milliseconds.
const AHEAD_MAX_MS: u64 = 60_000;
/// A camera that sees nothing says so after this time: what it sees may still be on its way.
const HOLD: Duration = Duration::from_secs(1);
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
}

impl Default for Options {
    fn default() -> Self {
        Self { quorum: 2.0 / 3.0, alert_above: 0.7, timeout: Duration::from_secs(3), count_told: true }
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
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A camera, perhaps this one, told of an event.
    Event(&'a EventMessage),
    /// Another camera voted, or told how others did.
    Vote(&'a ConsensusMessage),
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
    /// An incident reached a state in which this camera had not told it before: for surfaces and the log. An
    /// alarm belongs to `Confirmed`, and comes once for each incident.
    Site(Box<SiteEvent>),
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
    /// How likely by all answers, 0..1.
    pub probability: f64,
    /// How the cameras that can see it answered.
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
#[derive(Debug, Clone)]
struct Case {
    claim: Claim,
    /// When the answers began to be waited for, and when it was last heard of.
    opened: Time,
    heard: Time,
    /// Who it is about, as far as known, in order.
    subjects: Vec<u64>,
    /// What this camera last told its surfaces of the incident.
    said: Option<EventState>,
    /// What the incident's outcome is that this camera may have to announce, and since when.
    decided: Option<(EventState, Time)>,
    /// The last message of it, if it is this camera's.
    own: Option<Box<EventMessage>>,
    /// This camera claims it or is asked.
    is_ours: bool,
    /// When it was told of, it was where it is this camera's business: what becomes that later, because half of a site
    /// is gone, is known too badly.
    concerns_us: bool,
    /// Something came that was not looked at yet.
    is_new: bool,
}

/// Votes on a claim that is not known yet.
#[derive(Debug, Clone)]
struct Orphan {
    ballot: Ballot,
    heard: Time,
}

/// The table of what is claimed on the site.
#[derive(Debug, Clone)]
pub struct Consensus {
    options: Options,
    cases: BTreeMap<ClaimId, Case>,
    places: Places,
    orphans: BTreeMap<ClaimId, Orphan>,
    witness: Witness,
    view: View,
    counters: Counters,
}

impl Consensus {
    /// A table of nothing; `footprint` is what this camera sees of the site's ground.
    pub fn new(options: Options, footprint: Option<Polygon>) -> Self {
        Self {
            options,
            cases: BTreeMap::new(),
            places: Places::default(),
            orphans: BTreeMap::new(),
            witness: Witness::default(),
            view: View::new(footprint),
            counters: Counters::default(),
        }
    }

    /// Goes by other limits from now on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
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
                if let Some(id) = self.vote(m, site, now) {
                    self.settle_if_ours(&id, site, now, out);
                }
            }
            Input::Scene(scene) => {
                self.witness.note(scene);
                // What is seen now may be the answer to what was asked; and an alarm that is due does not wait
                // for the next tick.
                let within = self.options.timeout + VOTE_LATE;
                self.settle_all(site, now, out, |case| {
                    let may_answer = case.own.is_none() && now.since(case.opened) <= within;
                    case.is_ours && (may_answer || case.decided.is_some())
                });
            }
            Input::Tick => {
                self.forget(now);
                // Long enough for everybody's turn to speak, and for who is gone to be known as such.
                let within = self.options.timeout + 8 * TAKEOVER;
                self.settle_all(site, now, out, |case| {
                    let is_open = matches!(case.said, None | Some(EventState::Predicted));
                    let may_speak = case.own.is_some() && now.since(case.opened) <= within;
                    case.is_new || is_open || may_speak || case.decided.is_some()
                });
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

    /// Takes a camera's word on an event; the claim if it says anything new.
    fn event(&mut self, m: &EventMessage, site: &dyn Site, now: Time) -> Option<ClaimId> {
        let keep_ms = u64::try_from(KEEP.as_millis()).unwrap_or(u64::MAX);
        let ahead_ms = site.ahead_ms(&m.camera_id);
        let told_ms = m.timestamp.0.saturating_add_signed(ahead_ms.saturating_neg());
        let now_ms = now.epoch_ms.saturating_add_signed(site.ahead_ms(site.own()).saturating_neg());
        if told_ms.saturating_add(keep_ms) < now_ms {
            self.counters.claims_stale += 1;
            return None;
        }
        if told_ms > now_ms.saturating_add(AHEAD_MAX_MS) {
            self.counters.claims_early += 1;
            return None;
        }
        let id = (m.camera_id.clone(), m.event_id.0);
        let mut claim = Claim::new(m, ahead_ms);
        if let Some(orphan) = self.orphans.remove(&id) {
            claim.ballot = orphan.ballot;
        }
        let own = (*site.own() == m.camera_id).then(|| Box::new(m.clone()));
        if let Some(case) = self.cases.get_mut(&id) {
            case.heard = now;
            let happens_now = claim.occurred && !case.claim.occurred;
            if happens_now {
                case.opened = now;
            }
            case.own = own.or(case.own.take());
            let before = case.claim.latest.place();
            if !case.claim.merge(&claim) {
                return None;
            }
            case.is_ours |= self.view.covers(case.claim.latest.position_m());
            case.concerns_us |= site.concerns(case.claim.latest.position_m());
            self.places.moved(&id, before, case.claim.latest.place());
            return Some(id);
        }
        self.make_room(&m.camera_id);
        self.places.insert(id.clone(), claim.latest.place());
        let is_ours = own.is_some() || self.view.covers(claim.latest.position_m());
        let case = Case {
            concerns_us: site.concerns(claim.latest.position_m()),
            claim,
            opened: now,
            heard: now,
            subjects: Vec::new(),
            said: None,
            decided: None,
            own,
            is_ours,
            is_new: true,
        };
        self.cases.insert(id.clone(), case);
        Some(id)
    }

    fn make_room(&mut self, camera: &CameraId) {
        let stalest = |cases: &mut dyn Iterator<Item = (&ClaimId, &Case)>| {
            cases.min_by_key(|(_, case)| case.heard).map(|(id, _)| id.clone())
        };
        let of_camera = || self.cases.iter().filter(|((c, _), _)| c == camera);
        let gone = if of_camera().count() >= CLAIMS_PER_CAMERA_MAX {
            stalest(&mut of_camera())
        } else if self.cases.len() >= CLAIMS_MAX {
            stalest(&mut self.cases.iter())
        } else {
            None
        };
        if let Some((gone, case)) = gone.and_then(|gone| self.cases.remove_entry(&gone)) {
            self.places.remove(&gone, case.claim.latest.place());
            self.counters.claims_evicted += 1;
        }
    }

    /// Takes a vote or an aggregate; the claim if it says anything new of one that is known.
    fn vote(&mut self, m: &ConsensusMessage, site: &dyn Site, now: Time) -> Option<ClaimId> {
        let id = (m.initiating_camera.clone(), m.event_id.0);
        if m.camera_id.as_ref().is_some_and(|sender| !site.is_known(sender)) {
            self.counters.votes_unknown += 1;
            return None;
        }
        let known = self.cases.contains_key(&id);
        if !known && !self.orphans.contains_key(&id) && self.orphans.len() >= ORPHANS_MAX {
            self.counters.votes_over_limit += 1;
            return None;
        }
        let Self { cases, orphans, counters, .. } = self;
        let ballot = match cases.get_mut(&id) {
            Some(case) => {
                case.heard = now;
                &mut case.claim.ballot
            }
            None => {
                &mut orphans
                    .entry(id.clone())
                    .or_insert_with(|| Orphan { ballot: Ballot::default(), heard: now })
                    .ballot
            }
        };
        let mut new = false;
        if let Some((sender, word)) = own_word(m) {
            new |= ballot.cast(sender, word);
        }
        for (camera, word) in told_words(m) {
            if camera == site.own() {
                // What we said we know best.
                let denied = ballot.own_word(camera) == Some(Word::Deny);
                counters.votes_misquoted += u64::from(denied && word > Word::Deny);
            } else if site.is_known(camera) {
                new |= ballot.tell(camera, word);
            } else {
                counters.votes_unknown += 1;
            }
        }
        *(if new { &mut counters.votes_taken } else { &mut counters.votes_repeated }) += 1;
        (new && known).then_some(id)
    }

    /// Lets go of what is too old.
    fn forget(&mut self, now: Time) {
        let places = &mut self.places;
        self.cases.retain(|id, case| {
            let stays = now.since(case.heard) < KEEP;
            if !stays {
                places.remove(id, case.claim.latest.place());
            }
            stays
        });
        let counters = &mut self.counters;
        self.orphans.retain(|_, orphan| {
            let stays = now.since(orphan.heard) < ORPHAN_KEEP;
            if !stays {
                counters.votes_orphaned += orphan.ballot.len() as u64;
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

    /// Forgets the claims and votes of a camera: they were not signed, and its key is known now.
    pub fn forget_camera(&mut self, camera: &CameraId) {
        let Self { cases, places, orphans, .. } = self;
        cases.retain(|id, case| {
            let stays = id.0 != *camera;
            if !stays {
                places.remove(id, case.claim.latest.place());
            }
            case.is_new |= case.claim.ballot.forget(camera);
            stays
        });
        orphans.retain(|id, orphan| {
            orphan.ballot.forget(camera);
            id.0 != *camera
        });
    }
}

/// What the sender of a vote says itself; nothing if that is not told, or stands in its event already.
fn own_word(m: &ConsensusMessage) -> Option<(&CameraId, Word)> {
    let sender = m.camera_id.as_ref().filter(|sender| **sender != m.initiating_camera)?;
    let listed = m.votes.as_ref().and_then(|votes| votes.get(sender)).map(|confidence| confidence.0);
    let word = match m.verdict {
        Some(Verdict::Deny) => Word::Deny,
        Some(Verdict::Confirm) => Word::confirm(listed.unwrap_or(m.aggregated_confidence.0)),
        None if m.confirming_cameras.contains(sender) => {
            Word::confirm(listed.unwrap_or(m.aggregated_confidence.0))
        }
        // Who votes and says nothing abstains.
        None => Word::Abstain,
    };
    Some((sender, word))
}

/// What a message tells of others' votes.
fn told_words(m: &ConsensusMessage) -> impl Iterator<Item = (&CameraId, Word)> {
    let listed = m.votes.iter().flat_map(|votes| votes.iter()).map(|(camera, confidence)| {
        (camera, if confidence.0 > 0.0 { Word::confirm(confidence.0) } else { Word::Deny })
    });
    // The reference system lists names alone.
    let unlisted = m.confirming_cameras.iter().filter(|_| m.votes.is_none());
    let unlisted = unlisted.map(|camera| (camera, Word::confirm(m.aggregated_confidence.0)));
    listed.chain(unlisted).filter(|(camera, _)| {
        // Senders speak for themselves, and initiators in their events.
        Some(*camera) != m.camera_id.as_ref() && **camera != m.initiating_camera
    })
}
