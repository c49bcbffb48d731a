//! The keys of other cameras, and the bounds of their table.
//!
//! - *Configured* keys stay.
//! - *Proven* keys belong to cameras whose tracks or votes other cameras corroborated. No newcomer evicts them.
//! - *Unproven* keys are all others: at most [`UNPROVEN_MAX`]. The one whose camera was heard least recently makes
//!   room, and one whose camera was not heard for [`UNPROVEN_KEEP`] expires.
//!
//! A flood of made-up cameras therefore evicts its own keys: it neither keeps a newcomer out nor evicts a proven
//! key. The table holds at most [`PINS_MAX`] keys beside the configured ones. Each key keeps the last
//! [`ROOTS_MAX`] verified batches, so that one Ed25519 verification serves all messages of a batch even where the
//! messages of several batches arrive interleaved. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::signature::{PublicKey, Root};
use crate::base::Time;
use crate::model::CameraId;

/// Keys that were learned, proven or not.
pub const PINS_MAX: usize = 4_096;
/// Unproven keys among them: several times the cameras of a large site that start at once.
pub const UNPROVEN_MAX: usize = 256;
/// An unproven key expires when its camera was not heard for this long.
pub const UNPROVEN_KEEP: Duration = Duration::from_hours(24);
/// A camera whose key is younger is new: nothing but agreement with what is seen speaks for it.
const NEW_FOR: Duration = Duration::from_hours(1);
/// Verified batches that are kept per camera: about a second of its scenes.
const ROOTS_MAX: usize = 8;

/// A key of another camera, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedKey {
    /// The key.
    pub key: PublicKey,
    /// Other cameras corroborated its camera.
    pub proven: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Configured,
    Proven,
    Unproven,
}

#[derive(Debug, Clone)]
pub(super) struct Pin {
    pub(super) key: PublicKey,
    standing: Standing,
    /// When the key was pinned; none before the start of the process.
    since: Option<Time>,
    /// The last message that the key signed; none since the start of the process.
    heard: Option<Time>,
    /// When the last presence was signed, milliseconds since the epoch.
    pub(super) presence_ms: u64,
    /// When the newest presence of ours left that one of its presences echoed, nanoseconds on our monotonic clock.
    pub(super) echo_ns: u64,
    /// Batches whose signature was verified, the newest last.
    roots: VecDeque<Root>,
}

impl Pin {
    fn new(key: PublicKey, standing: Standing) -> Self {
        Self { key, standing, since: None, heard: None, presence_ms: 0, echo_ns: 0, roots: VecDeque::new() }
    }

    /// Whether the signature of this batch was verified lately.
    pub(super) fn knows(&self, root: &Root) -> bool {
        self.roots.contains(root)
    }

    /// Keeps a batch whose signature was verified.
    pub(super) fn keep(&mut self, root: Root) {
        if self.roots.len() >= ROOTS_MAX {
            self.roots.pop_front();
        }
        self.roots.push_back(root);
    }
}

/// The table.
#[derive(Debug, Clone)]
pub(super) struct Pins {
    by_name: BTreeMap<CameraId, Pin>,
    /// How many are proven, and unproven.
    proven: usize,
    unproven: usize,
    /// Keys that made room or expired.
    pub(super) evicted: u64,
}

impl Pins {
    /// A table of the configured keys.
    pub(super) fn new(configured: &BTreeMap<CameraId, PublicKey>) -> Self {
        let pin =
            |(camera, key): (&CameraId, &PublicKey)| (camera.clone(), Pin::new(*key, Standing::Configured));
        Self { by_name: configured.iter().map(pin).collect(), proven: 0, unproven: 0, evicted: 0 }
    }

    /// Takes the keys that were stored; configured ones stand.
    pub(super) fn restore(&mut self, stored: BTreeMap<CameraId, PinnedKey>) {
        for (camera, PinnedKey { key, proven }) in stored {
            let is_room = if proven { self.has_room_for_proven() } else { self.unproven < UNPROVEN_MAX };
            if is_room && !self.by_name.contains_key(&camera) {
                self.insert(
                    camera,
                    Pin::new(key, if proven { Standing::Proven } else { Standing::Unproven }),
                );
            }
        }
    }

    pub(super) fn get(&self, camera: &CameraId) -> Option<&Pin> {
        self.by_name.get(camera)
    }

    /// Whether the configuration names the key of a camera.
    pub(super) fn is_configured(&self, camera: &CameraId) -> bool {
        self.get(camera).is_some_and(|pin| pin.standing == Standing::Configured)
    }

    /// Whether the key of a camera was pinned less than [`NEW_FOR`] ago.
    pub(super) fn is_new(&self, camera: &CameraId, now: Time) -> bool {
        self.get(camera).and_then(|pin| pin.since).is_some_and(|since| now.since(since) < NEW_FOR)
    }

    pub(super) fn get_mut(&mut self, camera: &CameraId) -> Option<&mut Pin> {
        self.by_name.get_mut(camera)
    }

    /// The learned and configured keys, as they are stored.
    pub(super) fn stored(&self) -> BTreeMap<CameraId, PinnedKey> {
        let stored = |pin: &Pin| PinnedKey { key: pin.key, proven: pin.standing != Standing::Unproven };
        self.by_name.iter().map(|(camera, pin)| (camera.clone(), stored(pin))).collect()
    }

    /// Pins the first key of a camera, unproven; or another key, with the standing of the one before.
    pub(super) fn pin(&mut self, camera: &CameraId, key: PublicKey, now: Time) {
        if let Some(pin) = self.by_name.get_mut(camera) {
            pin.key = key;
            pin.roots.clear();
            return;
        }
        while self.unproven >= UNPROVEN_MAX {
            let unproven = self.by_name.iter().filter(|(_, pin)| pin.standing == Standing::Unproven);
            let Some((stalest, _)) = unproven.min_by_key(|(_, pin)| pin.heard) else { break };
            let stalest = stalest.clone();
            self.evict(&stalest);
        }
        self.insert(
            camera.clone(),
            Pin { since: Some(now), heard: Some(now), ..Pin::new(key, Standing::Unproven) },
        );
    }

    /// Notes a message that was signed with a camera's key.
    pub(super) fn heard(&mut self, camera: &CameraId, now: Time) {
        if let Some(pin) = self.by_name.get_mut(camera) {
            pin.heard = Some(now);
        }
    }

    /// Marks a camera's key as proven; the key if it was not. Where no more keys can be proven, a key whose camera
    /// was not heard since the start makes room, else the key stays unproven.
    pub(super) fn prove(&mut self, camera: &CameraId) -> Option<PublicKey> {
        self.by_name.get(camera).filter(|pin| pin.standing == Standing::Unproven)?;
        if !self.has_room_for_proven() {
            let mut unheard = self
                .by_name
                .iter()
                .filter(|(_, pin)| pin.standing == Standing::Proven && pin.heard.is_none());
            let unheard = unheard.next().map(|(camera, _)| camera.clone())?;
            self.evict(&unheard);
        }
        let pin = self.by_name.get_mut(camera)?;
        pin.standing = Standing::Proven;
        self.unproven -= 1;
        self.proven += 1;
        Some(pin.key)
    }

    /// Lets unproven keys expire. A stored key counts as heard at the first call.
    pub(super) fn sweep(&mut self, now: Time) {
        let expired = self.by_name.iter_mut().filter(|(_, pin)| pin.standing == Standing::Unproven);
        let expired = expired.filter_map(|(camera, pin)| {
            let heard = *pin.heard.get_or_insert(now);
            (now.since(heard) >= UNPROVEN_KEEP).then(|| camera.clone())
        });
        for camera in expired.collect::<Vec<_>>() {
            self.evict(&camera);
        }
    }

    fn has_room_for_proven(&self) -> bool {
        self.proven < PINS_MAX - UNPROVEN_MAX
    }

    fn insert(&mut self, camera: CameraId, pin: Pin) {
        match pin.standing {
            Standing::Configured => {}
            Standing::Proven => self.proven += 1,
            Standing::Unproven => self.unproven += 1,
        }
        self.by_name.insert(camera, pin);
    }

    fn evict(&mut self, camera: &CameraId) {
        match self.by_name.remove(camera).map(|pin| pin.standing) {
            Some(Standing::Proven) => self.proven -= 1,
            Some(Standing::Unproven) => self.unproven -= 1,
            Some(Standing::Configured) | None => return,
        }
        self.evicted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time { mono_ns: 1 + s * 1_000_000_000, epoch_ms: s * 1_000 }
    }

    fn camera(name: &str) -> CameraId {
        CameraId::parse(name).unwrap()
    }

    fn key(n: usize) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        PublicKey::parse(&format!("ed25519:{}", {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
        }))
        .unwrap()
    }

    fn flood(pins: &mut Pins, from: usize, count: usize, now: Time) {
        for n in from..from + count {
            pins.pin(&camera(&format!("flood-{n}")), key(n), now);
        }
    }

    #[test]
    fn a_flood_of_newcomers_evicts_its_own_keys_and_neither_proven_nor_configured_ones() {
        let mut pins = Pins::new(&BTreeMap::from([(camera("configured"), key(1))]));
        pins.pin(&camera("proven"), key(2), at(0));
        assert_eq!((pins.prove(&camera("proven")), pins.prove(&camera("proven"))), (Some(key(2)), None));
        flood(&mut pins, 10, 5_000, at(1));
        pins.pin(&camera("newcomer"), key(3), at(2));
        flood(&mut pins, 5_010, 200, at(3));
        pins.heard(&camera("newcomer"), at(4));
        flood(&mut pins, 5_210, 200, at(5));
        let stored = pins.stored();
        assert_eq!(stored.len(), UNPROVEN_MAX + 2);
        assert_eq!(pins.evicted, 5_401 - UNPROVEN_MAX as u64);
        for (name, proven) in [("configured", true), ("proven", true), ("newcomer", false)] {
            assert_eq!(stored.get(&camera(name)).map(|pin| pin.proven), Some(proven), "{name}");
        }
    }

    #[test]
    fn an_unproven_key_expires_a_day_after_its_camera_was_heard_and_a_proven_one_stays() {
        let mut pins = Pins::new(&BTreeMap::new());
        let stored = |proven| PinnedKey { key: key(1), proven };
        pins.restore(BTreeMap::from([(camera("a"), stored(false)), (camera("b"), stored(true))]));
        pins.sweep(at(10));
        pins.pin(&camera("c"), key(2), at(3_600));
        pins.sweep(at(86_400 + 10));
        assert_eq!(pins.stored().into_keys().collect::<Vec<_>>(), [camera("b"), camera("c")]);
        pins.sweep(at(10 * 86_400));
        assert_eq!(pins.stored().into_keys().collect::<Vec<_>>(), [camera("b")]);
    }

    #[test]
    fn a_full_table_of_stored_keys_leaves_room_for_newcomers_and_for_their_proof() {
        let mut pins = Pins::new(&BTreeMap::new());
        let stored =
            (0..10_000).map(|n| (camera(&format!("old-{n}")), PinnedKey { key: key(n), proven: true }));
        pins.restore(stored.collect());
        assert_eq!(pins.stored().len(), PINS_MAX - UNPROVEN_MAX);
        pins.pin(&camera("newcomer"), key(1), at(1));
        assert_eq!(pins.prove(&camera("newcomer")), Some(key(1)));
        assert_eq!(pins.stored().len(), PINS_MAX - UNPROVEN_MAX);
        for old in pins.stored().into_keys() {
            pins.heard(&old, at(2));
        }
        pins.pin(&camera("next"), key(2), at(3));
        assert_eq!(pins.prove(&camera("next")), None, "none that was heard makes room");
    }
}
