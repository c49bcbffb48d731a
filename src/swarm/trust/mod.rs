//! Whom to believe: who said it ([`signature`]), when, and whether it can be ([`conduct`]).
//!
//! Without keys a swarm believes whoever the broker lets publish on a camera's topics. With them:
//!
//! - A camera that signs introduces its key in its presence. The first key that is seen stays (it is
//!   *pinned*), unless the configuration names the right one; another one is only taken when the key before
//!   it has signed for it. From then on nothing that is not signed with it is taken in that camera's name.
//! - Tracks are the bulk of the traffic and are signed only on demand ([`Options::tracks`]); events, votes,
//!   weights and presence always are.
//! - A signature names its time. Tracks older than [`TRACK_AGE_MAX`], everything else older than
//!   [`AGE_MAX`], and presence older than the last one are a replay. Within that time a copy changes nothing:
//!   events and votes are joined as sets, tracks are numbered. A retained presence may be old.
//!
//! Whether signed or not, what a camera reports is checked against what can be, and who says too much that
//! can't be, or claims what all others deny, is muted for a while.
//!
//! Pure. At most [`PINS_MAX`] keys; when there are so many, a new camera is not introduced, so that nobody
//! pushes out a key that is known. Not here: making and storing keys (`app`).

pub mod conduct;
pub mod signature;

use std::collections::BTreeMap;
use std::time::Duration;

use conduct::{Conduct, Fault};
use signature::{Announcement, PROPERTY, PublicKey, Signature, Signer};

use super::codec::Reason;
use super::message::{Message, Presence, TrackMessage};
use super::open::sender;
use super::topic::Family;
use crate::base::Time;
use crate::model::{CameraId, Delivery, Polygon};

/// Keys that are remembered.
pub const PINS_MAX: usize = 4_096;
/// How old a signed track may be.
pub const TRACK_AGE_MAX: Duration = Duration::from_secs(10);
/// How old anything else that is signed may be: as long as others keep an event.
pub const AGE_MAX: Duration = Duration::from_mins(10);
/// How far a signer's clock may be ahead of ours.
pub const AHEAD_MAX: Duration = Duration::from_mins(1);

/// Whom to believe.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Sign tracks too, and believe only signed ones of who signs.
    pub tracks: bool,
    /// Believe nobody who does not sign.
    pub require: bool,
    /// Believe the first key that a camera introduces.
    pub pin_first: bool,
    /// The cameras whose keys are known.
    pub keys: BTreeMap<CameraId, PublicKey>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tracks: false, require: false, pin_first: true, keys: BTreeMap::new() }
    }
}

/// Why a message is refused, and what is wrong with it.
type Refusal = (Reason, &'static str);
/// The key that a message must be signed with, if one is known, and what changes if it is.
type Known = (Option<PublicKey>, Option<Change>);

/// What changed; for the log, and to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A camera introduced its first key.
    Pinned(PublicKey),
    /// A camera has another key, for which the one before has signed.
    Rotated(PublicKey),
    /// Nothing it says counts for a while.
    Muted,
    /// What it says counts again.
    Heard,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages whose signature was right.
    pub verified: u64,
    /// Signed messages of cameras whose key is not known yet.
    pub unverified: u64,
    /// Reports that can't be, by fault.
    pub impossible: [u64; Fault::ALL.len()],
}

/// What a camera's report is taken for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    /// It may be used.
    pub(super) can_be: bool,
    /// Nothing that its camera says counts.
    pub(super) is_muted: bool,
    /// Whether that is so from this report on, or no longer.
    pub(super) change: Option<Change>,
}

/// What is known of the clocks when a message is checked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clocks {
    /// What the sender's clock is ahead of ours, milliseconds; 0 where it is not known.
    pub(super) ahead_ms: i64,
    /// When the presence of ours left that the message echoes, on our monotonic clock, nanoseconds. Such a message is
    /// fresh whatever its clock shows.
    pub(super) echo_ns: Option<u64>,
}

/// What is known of the other cameras' keys and conduct.
#[derive(Debug, Clone)]
pub struct Trust {
    options: Options,
    pins: BTreeMap<CameraId, PublicKey>,
    /// When each camera's last presence was signed, milliseconds since the epoch on its clock, and when the presence of
    /// ours left that it echoed, nanoseconds.
    present: BTreeMap<CameraId, (u64, u64)>,
    signer: Option<Signer>,
    conduct: Conduct,
    counters: Counters,
}

impl Trust {
    pub(super) fn new(options: Options) -> Self {
        Self {
            pins: options.keys.clone(),
            options,
            present: BTreeMap::new(),
            signer: None,
            conduct: Conduct::default(),
            counters: Counters::default(),
        }
    }

    /// Signs from now on, and believes the keys that were pinned before; those of the options stand.
    pub(super) fn remember(&mut self, signer: Option<Signer>, pins: BTreeMap<CameraId, PublicKey>) {
        self.signer = signer;
        self.pins = pins.into_iter().take(PINS_MAX).collect();
        self.pins.extend(self.options.keys.clone());
    }

    /// The keys that are believed.
    pub fn pins(&self) -> &BTreeMap<CameraId, PublicKey> {
        &self.pins
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether nothing that a camera says counts, by its conduct.
    pub fn is_muted(&self, camera: &CameraId) -> bool {
        self.conduct.muted(camera).is_some()
    }

    /// The cameras that are muted by their conduct.
    pub fn muted(&self) -> impl Iterator<Item = &CameraId> {
        self.conduct.all_muted()
    }

    /// Our key as presence tells it.
    pub(super) fn announcement(&self) -> Option<String> {
        self.signer.as_ref().map(Signer::announcement)
    }

    /// The user property of a message of ours; none when it is not signed.
    pub(super) fn sign(
        &self,
        family: Family,
        topic: &str,
        payload: &[u8],
        now: Time,
    ) -> Option<(String, String)> {
        let signer = self.signer.as_ref().filter(|_| self.is_signed(family))?;
        Some((PROPERTY.to_owned(), signer.sign(topic, now.epoch_ms, payload)))
    }

    fn is_signed(&self, family: Family) -> bool {
        family != Family::Track || self.options.tracks
    }

    /// Whether a message comes from who it says, and is not an old one.
    pub(super) fn verify(
        &mut self,
        message: &Message,
        family: Family,
        delivery: &Delivery,
        clocks: Clocks,
        now: Time,
    ) -> Result<Option<(CameraId, Change)>, Refusal> {
        let Some(camera) = sender(message) else {
            return if self.options.require { Err((Reason::Unsigned, "names no sender")) } else { Ok(None) };
        };
        let property = delivery.user_properties.iter().find(|(name, _)| name == PROPERTY);
        let signature = match property {
            None => None,
            Some((_, text)) => Some(Signature::parse(text).ok_or((Reason::BadSignature, "can't be read"))?),
        };
        let (key, change) = self.key(camera, message, signature.is_some())?;
        let Some(signature) = signature else {
            let wanted = self.is_signed(family) && (key.is_some() || self.options.require);
            return if wanted { Err((Reason::Unsigned, "this camera signs")) } else { Ok(None) };
        };
        let Some(key) = key else {
            if self.options.require {
                return Err((Reason::ForeignKey, "nobody knows the key"));
            }
            self.counters.unverified += 1;
            return Ok(None);
        };
        if !key.verifies(&signature, &delivery.topic, &delivery.payload) {
            return Err((Reason::BadSignature, "is of another key or message"));
        }
        self.check_time(camera, message, family, signature, delivery.retained, clocks, now)?;
        self.counters.verified += 1;
        if change.is_some() {
            self.pins.insert(camera.clone(), key);
        }
        Ok(change.map(|change| (camera.clone(), change)))
    }

    /// The key that a message must be signed with, and what changes if it is.
    fn key(&self, camera: &CameraId, message: &Message, signed: bool) -> Result<Known, Refusal> {
        let pinned = self.pins.get(camera).copied();
        let Message::Status(status) = message else { return Ok((pinned, None)) };
        let Some(text) = status.public_key.as_ref().filter(|_| signed) else { return Ok((pinned, None)) };
        let told =
            Announcement::parse(text.as_str()).ok_or((Reason::BadSignature, "the key can't be read"))?;
        match pinned {
            Some(pinned) if pinned == told.key => Ok((Some(pinned), None)),
            Some(pinned) if told.is_handed_over_by(camera, pinned) => {
                Ok((Some(told.key), Some(Change::Rotated(told.key))))
            }
            Some(_) => Err((Reason::ForeignKey, "another key than before, which has not signed for it")),
            None if self.options.pin_first && self.pins.len() < PINS_MAX => {
                Ok((Some(told.key), Some(Change::Pinned(told.key))))
            }
            None => Ok((None, None)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it decides")]
    fn check_time(
        &mut self,
        camera: &CameraId,
        message: &Message,
        family: Family,
        signature: Signature,
        retained: bool,
        clocks: Clocks,
        now: Time,
    ) -> Result<(), Refusal> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let age_max = if family == Family::Track { TRACK_AGE_MAX } else { AGE_MAX };
        // On our clock.
        let signed_ms = signature.at_ms.saturating_add_signed(clocks.ahead_ms.saturating_neg());
        let is_fresh = clocks.echo_ns.is_some();
        if !is_fresh && signed_ms > now.epoch_ms.saturating_add(millis(AHEAD_MAX)) {
            return Err((Reason::Replayed, "is signed in the future: one of the two clocks is off"));
        }
        let may_be_old = retained || is_fresh || is_goodbye(message);
        if !may_be_old && signed_ms.saturating_add(millis(age_max)) < now.epoch_ms {
            return Err((Reason::Replayed, "is signed long ago: a replay, or one of the two clocks is off"));
        }
        // A will is signed when the camera connects: it is older than what it ends, and is judged by its boot.
        if family == Family::Status && !is_goodbye(message) {
            let (last_ms, last_echo_ns) = self.present.get(camera).copied().unwrap_or_default();
            let echo_ns = clocks.echo_ns.unwrap_or(last_echo_ns);
            // A clock that was put back signs earlier than before; a newer echo shows that it is no replay.
            if signature.at_ms < last_ms && echo_ns <= last_echo_ns {
                return Err((Reason::Replayed, "is older than the last"));
            }
            if self.present.len() >= PINS_MAX && !self.present.contains_key(camera) {
                self.present.pop_first();
            }
            self.present.insert(camera.clone(), (signature.at_ms, echo_ns.max(last_echo_ns)));
        }
        Ok(())
    }

    /// Judges a camera's report.
    pub(super) fn judge(&mut self, m: &TrackMessage, footprint: Option<&Polygon>, now: Time) -> Judgement {
        let (fault, [before, is_muted]) = self.conduct.judge(m, footprint, now);
        if let Some(fault) = fault {
            self.counters.impossible[fault as usize] += 1;
        }
        Judgement { can_be: fault.is_none(), is_muted, change: changed(before, is_muted) }
    }

    /// The others deny what a camera claimed, or bear it out; what changes.
    pub(super) fn denied(&mut self, camera: &CameraId, denied: bool, now: Time) -> Option<Change> {
        let before = self.is_muted(camera);
        self.conduct.denied(camera, denied, now);
        changed(before, self.is_muted(camera))
    }
}

fn changed(before: bool, after: bool) -> Option<Change> {
    match (before, after) {
        (false, true) => Some(Change::Muted),
        (true, false) => Some(Change::Heard),
        _ => None,
    }
}

fn is_goodbye(message: &Message) -> bool {
    matches!(message, Message::Status(status) if status.state == Presence::Offline)
}
