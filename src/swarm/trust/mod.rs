//! Whom to believe: who said it ([`signature`]), when, and whether it can be ([`conduct`]).
//!
//! Without keys a swarm believes whoever the broker lets publish on a camera's topics. With them:
//!
//! - A camera that signs introduces its key in its presence. The first key that is seen stays (it is
//!   *pinned*), unless the configuration names the right one; another one is only taken when the key before
//!   it has signed for it. From then on nothing that is not signed with it is taken in that camera's name.
//! - Events, votes, weights and presence are signed one by one, the tracks of a scene together ([`batch`]), so
//!   that all families can be signed and verified. Without [`Options::tracks`] tracks are neither signed nor
//!   verified: then an unsigned track counts in the name of a camera that signs.
//! - A signature names its time. Tracks older than [`TRACK_AGE_MAX`], everything else older than
//!   [`AGE_MAX`], and presence older than the last one are a replay. Within that time a copy changes nothing:
//!   events and votes are joined as sets, tracks are numbered. A retained presence may be old.
//!
//! Whether signed or not, what a camera reports is checked against what can be, and who says too much that
//! can't be, or claims what all others deny, is muted for a while.
//!
//! An unsigned message or one of a foreign key in the name of a camera that signs is refused before any other part
//! takes it in. What was learned in that name before its key was pinned is forgotten by the engine
//! ([`Change::Pinned`]).
//!
//! Pure. The table of keys is bounded, and a flood of newcomers evicts only its own ([`pins`]). Not here: making and
//! storing keys (`app`).

mod batch;
pub mod conduct;
pub mod pins;
mod rate;
pub mod signature;

use std::collections::BTreeMap;
use std::time::Duration;

use conduct::{Conduct, Fault};
use pins::{PinnedKey, Pins};
use signature::{Announcement, PROPERTY, PublicKey, Signature, Signer};

use super::codec::Reason;
use super::message::{Message, Presence, TrackMessage};
use super::open::sender;
use super::topic::Family;
use crate::base::Time;
use crate::model::{CameraId, Delivery, Envelope, Polygon};

/// How old a signed track may be.
pub const TRACK_AGE_MAX: Duration = Duration::from_secs(10);
/// How old anything else that is signed may be: as long as others keep an event.
pub const AGE_MAX: Duration = Duration::from_mins(10);
/// How far a signer's clock may be ahead of ours.
pub const AHEAD_MAX: Duration = Duration::from_mins(1);

/// Whom to believe.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Sign tracks too, and accept only signed tracks of cameras that sign. `require` implies it.
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
    /// Other cameras corroborated the camera of this key.
    Proven(PublicKey),
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
    /// Signatures of batches that were verified; the other messages of a batch need none.
    pub batches: u64,
    /// Keys of other cameras that made room for newer ones, or expired.
    pub evicted_pins: u64,
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
    pins: Pins,
    signer: Option<Signer>,
    conduct: Conduct,
    counters: Counters,
}

impl Trust {
    pub(super) fn new(options: Options) -> Self {
        Self {
            pins: Pins::new(&options.keys),
            options,
            signer: None,
            conduct: Conduct::default(),
            counters: Counters::default(),
        }
    }

    /// Signs from now on, and accepts the keys that were stored before; those of the options stand.
    pub(super) fn remember(&mut self, signer: Option<Signer>, pins: BTreeMap<CameraId, PinnedKey>) {
        self.signer = signer;
        self.pins = Pins::new(&self.options.keys);
        self.pins.restore(pins);
    }

    /// The keys of other cameras, as they are to be stored.
    pub fn pins(&self) -> BTreeMap<CameraId, PinnedKey> {
        self.pins.stored()
    }

    /// Whether a camera's key is known: nothing that it did not sign counts in its name.
    pub fn is_pinned(&self, camera: &CameraId) -> bool {
        self.pins.get(camera).is_some()
    }

    /// Marks the key of a camera as proven, since other cameras corroborated its tracks or votes; what changes.
    pub(super) fn prove(&mut self, camera: &CameraId) -> Option<Change> {
        self.pins.prove(camera).map(Change::Proven)
    }

    /// Lets keys expire; wanted about once a second.
    pub(super) fn sweep(&mut self, now: Time) {
        self.pins.sweep(now);
    }

    /// Forgets how a camera behaved so far.
    pub(super) fn forget(&mut self, camera: &CameraId) {
        self.conduct.forget(camera);
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        Counters { evicted_pins: self.pins.evicted, ..self.counters }
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

    /// Signs the tracks of a scene together, if tracks are signed.
    pub(super) fn sign_tracks<'a>(&self, tracks: impl Iterator<Item = &'a mut Envelope>, now: Time) {
        let Some(signer) = self.signer.as_ref().filter(|_| self.is_signed(Family::Track)) else { return };
        let mut tracks: Vec<_> = tracks.collect();
        let messages: Vec<(&str, &[u8])> =
            tracks.iter().map(|track| (&*track.topic, &*track.payload)).collect();
        let values = signer.sign_all(now.epoch_ms, &messages);
        for (track, value) in tracks.iter_mut().zip(values) {
            track.user_properties.push((PROPERTY.to_owned(), value));
        }
    }

    fn is_signed(&self, family: Family) -> bool {
        family != Family::Track || self.options.tracks || self.options.require
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
        self.check_signature(camera, key, &signature, delivery)?;
        self.check_time(camera, message, family, &signature, delivery.retained, clocks, now)?;
        self.counters.verified += 1;
        if change.is_some() {
            self.pins.pin(camera, key, now);
        }
        self.pins.heard(camera, now);
        if is_news(message)
            && let Some(pin) = self.pins.get_mut(camera)
        {
            pin.presence_ms = signature.at_ms;
            pin.echo_ns = clocks.echo_ns.unwrap_or(0).max(pin.echo_ns);
        }
        Ok(change.map(|change| (camera.clone(), change)))
    }

    /// Whether a message was signed with a key. The signature of a batch is verified once.
    fn check_signature(
        &mut self,
        camera: &CameraId,
        key: PublicKey,
        signature: &Signature,
        delivery: &Delivery,
    ) -> Result<(), Refusal> {
        const WRONG: Refusal = (Reason::BadSignature, "is of another key or message");
        let Some(root) = signature.root(&delivery.topic, &delivery.payload) else {
            let is_right = key.verifies(signature, &delivery.topic, &delivery.payload);
            return if is_right { Ok(()) } else { Err(WRONG) };
        };
        let pin = self.pins.get_mut(camera).filter(|pin| pin.key == key);
        if pin.as_ref().is_some_and(|pin| pin.knows(&root)) {
            return Ok(());
        }
        if !key.verifies_root(signature, &root) {
            return Err(WRONG);
        }
        self.counters.batches += 1;
        if let Some(pin) = pin {
            pin.keep(root);
        }
        Ok(())
    }

    /// The key that a message must be signed with, and what changes if it is.
    fn key(&self, camera: &CameraId, message: &Message, signed: bool) -> Result<Known, Refusal> {
        let pinned = self.pins.get(camera).map(|pin| pin.key);
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
            None if self.options.pin_first => Ok((Some(told.key), Some(Change::Pinned(told.key)))),
            None => Ok((None, None)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it decides")]
    fn check_time(
        &self,
        camera: &CameraId,
        message: &Message,
        family: Family,
        signature: &Signature,
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
        // A clock that was set back signs earlier than before; a newer echo shows that it is no replay.
        let is_older = |pin: &pins::Pin| {
            signature.at_ms < pin.presence_ms && clocks.echo_ns.is_none_or(|echo_ns| echo_ns <= pin.echo_ns)
        };
        if is_news(message) && self.pins.get(camera).is_some_and(is_older) {
            return Err((Reason::Replayed, "is older than the last"));
        }
        Ok(())
    }

    /// Whether the configuration names a camera's key.
    pub(super) fn is_named(&self, camera: &CameraId) -> bool {
        self.pins.is_configured(camera)
    }

    /// Whether signatures are required and a camera's key was pinned a short while ago: any client can introduce
    /// itself with a key of its own.
    pub(super) fn is_new(&self, camera: &CameraId, now: Time) -> bool {
        self.options.require && self.pins.is_new(camera, now)
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

/// Whether it is a presence that has to be newer than the last. A will is not: it is signed when the camera connects,
/// and is judged by its boot.
fn is_news(message: &Message) -> bool {
    matches!(message, Message::Status(status) if status.state == Presence::Online)
}

fn is_goodbye(message: &Message) -> bool {
    matches!(message, Message::Status(status) if status.state == Presence::Offline)
}
