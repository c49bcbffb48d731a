//! The other cameras, what they see, and how fresh that is.
//!
//! One bounded table. A camera enters it with its first understood message and is `Online` until it
//! says goodbye (`Offline`), or is not heard for `stale_after` (`Silent`). A camera of the reference
//! system never announces itself: it is there without an announcement. A retained presence counts as
//! just heard, since the broker does not say how old it is; without another it turns silent in time.
//!
//! Tracks go when they end, when their camera goes, or `track_keep` after the last word of them.
//! Events are kept by key, the latest state only, for `event_keep`; one that is sent again is known by its
//! key, time and state among the last `RECENT_MAX` of its camera, even when the event has left the table. An open
//! event ends with the process that raised it: when its camera starts again, goes offline or turns silent, its state
//! becomes `Expired`, since no outcome follows. It stays in the table for `event_keep`. A newer message of it
//! replaces that state, because a camera that only lost its network resumes its events. An event that arrives
//! after its process ended (the broker or an outbox had queued it) is `Expired` on arrival. When a table is full, what was
//! heard longest ago goes, and is counted. A full table of cameras loses the one with the lowest [`Rank`] first: one whose
//! tracks begin to agree with ours stays while a flood of names pushes out its own; of equal ones offline before silent
//! before online.
//!
//! Ages are measured from arrival on our own monotonic clock; a peer's timestamps are compared with
//! each other, and once with our wall clock (corrected by the clock offset that is known): an event that is older than
//! `event_keep` when it arrives (a broker that kept our session hands over what it queued meanwhile) is not taken, and
//! counted. A new boot forgets the camera's tracks and numbering; ended events outlive it by key.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::counters::Counters;
use super::message::{EventMessage, GroundKind, Name, Presence, StatusMessage, TrackMessage};
use super::participants::Rank;
use super::sequence::{Sequence, Verdict};
use crate::base::Time;
use crate::model::{Behaviors, CameraId, Class, EventState, EventType, Modes, Point, Polygon, Severity};

/// A lower number with a timestamp this much newer is a restart whose announcement was lost.
const RESTART_MS: u64 = 2_000;
/// No gap counts for more, so that one false number does not drown the count.
const MISSING_MAX: u64 = 10_000;

/// Event messages of one camera that are known again when they come twice: several times what a link has
/// in flight, and more than a camera has events in the table.
const RECENT_MAX: usize = 256;

/// Bounds of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Cameras.
    pub peers_max: usize,
    /// Tracks of one camera.
    pub tracks_per_peer_max: usize,
    /// Tracks of all cameras.
    pub tracks_max: usize,
    /// Events of one camera.
    pub events_per_peer_max: usize,
    /// Events of all cameras.
    pub events_max: usize,
    /// A camera not heard for so long is silent.
    pub stale_after: Duration,
    /// A track not heard of for so long is gone.
    pub track_keep: Duration,
    /// An event not heard of for so long is forgotten.
    pub event_keep: Duration,
}

impl Default for Options {
    /// 256 cameras, 4,096 tracks and 2,048 events: about 4 MB when all are used, and 3 KB more for each
    /// camera that fills every list of its presence.
    fn default() -> Self {
        Self {
            peers_max: 256,
            tracks_per_peer_max: 128,
            tracks_max: 4096,
            events_per_peer_max: 64,
            events_max: 2048,
            stale_after: Duration::from_secs(30),
            track_keep: Duration::from_secs(3),
            event_keep: Duration::from_mins(10),
        }
    }
}

/// Whether a camera is there. The order is that of eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// It said goodbye, or the broker did for it.
    Offline,
    /// Not heard for too long.
    Silent,
    /// Heard of late.
    Online,
}

/// What changed with a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerChange {
    /// It is there, for the first time or again.
    Joined,
    /// It is there, and its process was started anew.
    Restarted,
    /// It is gone, and why.
    Lost(Lost),
}

/// Why a camera is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It said goodbye, or the broker did for it.
    Offline,
    /// It was not heard for too long.
    Silent,
    /// The table was full.
    Evicted,
}

/// A track as another camera sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RemoteTrack {
    /// Where, metres.
    pub position_m: Point,
    /// How it moves, metres per second.
    pub velocity_mps: Point,
    /// Covariance of the position `[sxx, sxy, syy]`, square metres.
    pub cov_m2: Option<[f64; 3]>,
    /// What it is.
    pub class: Class,
    /// How sure its detector is, 0..1.
    pub confidence: f64,
    /// What it does.
    pub behaviors: Behaviors,
    /// How much attention it deserves, 0..1.
    pub threat: f64,
    /// Capture of its frame on the sender's clock, milliseconds since the epoch.
    pub captured_ms: u64,
    /// Its number on the site.
    pub global_id: Option<u64>,
    /// When it was last heard of.
    pub heard: Time,
}

/// An event as another camera tells it, in its latest state.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteEvent {
    /// What happens.
    pub kind: EventType,
    /// Where it stands; the reference system does not say. `Expired` also when its camera's process ended first.
    pub state: Option<EventState>,
    /// Where, metres.
    pub position_m: Point,
    /// The main track it is about, by that camera's number.
    pub track_id: u32,
    /// How likely, 0..1.
    pub probability: f64,
    /// How grave.
    pub severity: Severity,
    /// When it is expected, or happened: that camera's clock, milliseconds since the epoch.
    pub predicted_ms: u64,
    /// When it reached this state: that camera's clock, milliseconds since the epoch.
    pub captured_ms: u64,
    /// The zone it is about, as that camera calls it.
    pub zone: Option<String>,
    /// When it was last heard of.
    pub heard: Time,
}

impl RemoteEvent {
    /// Whether more is to come of it: it is neither retracted nor expired.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, Some(EventState::Retracted | EventState::Expired))
    }
}

/// Another camera.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Whether it is there.
    pub state: PeerState,
    /// When it was last heard.
    pub heard: Time,
    /// Its last presence message without its counters; none from the reference system.
    pub status: Option<Box<StatusMessage>>,
    /// The ground that it says it sees; none where it does not measure.
    pub footprint: Option<Polygon>,
    /// Its tracks by number.
    pub tracks: BTreeMap<u32, RemoteTrack>,
    /// Its events by boot (0 from the reference system) and number.
    pub events: BTreeMap<(u64, u32), RemoteEvent>,
    sequence: Sequence,
    /// Newest timestamp of its tracks.
    newest_ms: u64,
    /// The last event messages, so that one that is sent again is known even when its event has gone.
    recent: VecDeque<EventMark>,
}

/// What makes an event message the same as another: boot, number, time and state.
type EventMark = (u64, u32, u64, Option<EventState>);

impl Peer {
    fn new(now: Time) -> Self {
        Self {
            state: PeerState::Silent,
            heard: now,
            status: None,
            footprint: None,
            tracks: BTreeMap::new(),
            events: BTreeMap::new(),
            sequence: Sequence::default(),
            newest_ms: 0,
            recent: VecDeque::new(),
        }
    }

    /// Its metres are measured in the site's frame, by its own word.
    pub fn is_calibrated(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.ground == Some(GroundKind::Calibrated))
    }

    /// It is there, and no degraded mode says that its view is dead.
    pub fn looks(&self) -> bool {
        let mut modes = self.status.iter().flat_map(|s| s.modes.iter()).flat_map(|modes| modes.iter());
        // A newer camera may have modes that this one does not know.
        let is_blind = |mode: &Name| Modes::BLIND.iter().any(|blind| blind.name() == mode.as_str());
        self.state == PeerState::Online && !modes.any(is_blind)
    }

    /// Its view holds this place of the site, by its own word.
    pub fn holds(&self, at: Point) -> bool {
        self.footprint.as_ref().is_some_and(|footprint| footprint.contains(at))
    }

    fn boot_ms(&self) -> Option<u64> {
        self.status.as_ref().map(|s| s.boot.0)
    }

    /// Ends the open events that `ends` selects by boot and event. Returns how many ended.
    fn end_events(&mut self, ends: impl Fn(u64, &RemoteEvent) -> bool) -> u64 {
        let mut ended = 0;
        for ((boot_ms, _), event) in &mut self.events {
            if event.is_open() && ends(*boot_ms, event) {
                event.state = Some(EventState::Expired);
                ended += 1;
            }
        }
        ended
    }

    /// Begins the camera's tracks and numbers anew; returns the messages that the old numbers miss.
    fn forget_tracks(&mut self) -> u64 {
        let missing = self.sequence.close();
        self.tracks.clear();
        self.sequence = Sequence::default();
        self.newest_ms = 0;
        missing
    }
}

/// What is kept of presence: nobody here asks for its counters, and hundreds of cameras' would be most of the table.
fn without_counters(m: &StatusMessage) -> StatusMessage {
    StatusMessage {
        camera_id: m.camera_id.clone(),
        state: m.state,
        version: m.version.clone(),
        boot: m.boot,
        timestamp: m.timestamp,
        encodings: m.encodings.clone(),
        ground: m.ground,
        footprint: m.footprint.clone(),
        clock: m.clock.clone(),
        modes: m.modes.clone(),
        counters: None,
        public_key: m.public_key.clone(),
    }
}

/// Whether presence says nothing new, but for times and counters: as it does every ten seconds.
fn is_the_same(known: &StatusMessage, m: &StatusMessage) -> bool {
    (known.state, known.boot, known.ground) == (m.state, m.boot, m.ground)
        && known.version == m.version
        && known.encodings == m.encodings
        && known.footprint == m.footprint
        && known.modes == m.modes
        && known.public_key == m.public_key
}

/// The ground that a camera says it sees; none where it does not measure.
pub(super) fn footprint_of(m: &StatusMessage) -> Option<Polygon> {
    let corners = m.footprint.as_ref().filter(|_| m.ground == Some(GroundKind::Calibrated))?;
    Polygon::new(corners.iter().map(|c| Point::new(c.0[0], c.0[1])).collect()).ok()
}

/// A change, and whose.
pub(super) type Changes = Vec<(CameraId, PeerChange)>;

/// When a message came, and where its effects beyond the table are noted.
pub(super) struct Arrival<'a> {
    pub(super) now: Time,
    pub(super) counters: &'a mut Counters,
    pub(super) changes: &'a mut Changes,
    /// How firmly a camera is established: a flood of names evicts its own first.
    pub(super) rank: &'a dyn Fn(&CameraId) -> Rank,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Peers {
    options: Options,
    by_name: BTreeMap<CameraId, Peer>,
    names: Names,
}

/// Tells of most names that they are not in the table, without a search: on a large site nearly all are not.
#[derive(Debug, Clone, Default)]
struct Names([u64; 16]);

impl Names {
    fn of<'a>(names: impl Iterator<Item = &'a CameraId>) -> Self {
        let mut all = Self::default();
        names.for_each(|name| all.insert(name));
        all
    }

    fn bit(name: &CameraId) -> (usize, u64) {
        let bit = (name.fingerprint() >> 22) as usize;
        (bit / 64, 1 << (bit % 64))
    }

    fn insert(&mut self, name: &CameraId) {
        let (word, bit) = Self::bit(name);
        self.0[word] |= bit;
    }

    fn may_hold(&self, name: &CameraId) -> bool {
        let (word, bit) = Self::bit(name);
        self.0[word] & bit != 0
    }
}

impl Peers {
    pub(super) fn new(options: Options) -> Self {
        Self { options, by_name: BTreeMap::new(), names: Names::default() }
    }

    /// Other limits; who is beyond a lower one leaves when the next one comes.
    pub(super) fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// All cameras ever heard and not pushed out, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&CameraId, &Peer)> {
        self.by_name.iter()
    }

    /// One camera.
    pub fn get(&self, camera: &CameraId) -> Option<&Peer> {
        if self.names.may_hold(camera) { self.by_name.get(camera) } else { None }
    }

    /// How many cameras are there now.
    pub fn online(&self) -> usize {
        self.by_name.values().filter(|p| p.state == PeerState::Online).count()
    }

    /// Whether a new camera enters only in the place of another one.
    pub fn is_full(&self) -> bool {
        self.by_name.len() >= self.options.peers_max.max(1)
    }

    /// All tracks of others, by camera and number.
    pub fn tracks(&self) -> impl Iterator<Item = (&CameraId, u32, &RemoteTrack)> {
        self.by_name.iter().flat_map(|(camera, peer)| peer.tracks.iter().map(move |(id, t)| (camera, *id, t)))
    }

    /// All events of others, by camera, boot and number.
    pub fn events(&self) -> impl Iterator<Item = (&CameraId, u32, &RemoteEvent)> {
        self.by_name
            .iter()
            .flat_map(|(camera, peer)| peer.events.iter().map(move |((_, id), e)| (camera, *id, e)))
    }

    /// Takes a presence message.
    pub(super) fn status(&mut self, m: &StatusMessage, on: &mut Arrival<'_>) {
        let camera = m.camera_id.clone();
        let known = self.by_name.get(&camera).map(|p| (p.state, p.boot_ms()));
        if let Some((PeerState::Online, Some(boot_ms))) = known
            && m.boot.0 < boot_ms
        {
            on.counters.old_boots += 1;
            return;
        }
        let peer = self.heard(&camera, on);
        let restarted = peer.boot_ms().is_some_and(|boot_ms| boot_ms != m.boot.0);
        let was = peer.state;
        let (mut ended, mut missing) = (0, 0);
        if restarted {
            missing += peer.forget_tracks();
            ended += peer.end_events(|boot_ms, _| boot_ms != m.boot.0);
        }
        let change = match m.state {
            Presence::Offline => {
                peer.state = PeerState::Offline;
                peer.tracks.clear();
                ended += peer.end_events(|_, _| true);
                missing += peer.sequence.close();
                (was == PeerState::Online).then_some(PeerChange::Lost(Lost::Offline))
            }
            Presence::Online => {
                peer.state = PeerState::Online;
                match (restarted, was) {
                    (true, _) => Some(PeerChange::Restarted),
                    (false, PeerState::Online) => None,
                    (false, _) => Some(PeerChange::Joined),
                }
            }
        };
        // A will carries little more than the name: what was said before stays.
        match (m.state, &mut peer.status) {
            (Presence::Offline, Some(status)) if !restarted => status.state = Presence::Offline,
            (Presence::Online, Some(known)) if is_the_same(known, m) => {
                (known.timestamp, known.clock) = (m.timestamp, m.clock.clone());
            }
            (_, status) => {
                peer.footprint = footprint_of(m);
                *status = Some(Box::new(without_counters(m)));
            }
        }
        on.counters.orphaned_events += ended;
        on.counters.missing += missing;
        on.changes.extend(change.map(|change| (camera, change)));
    }

    /// Takes a track message.
    pub(super) fn track(&mut self, m: &TrackMessage, on: &mut Arrival<'_>) {
        let peer = self.revived(&m.camera_id, on);
        if let Some(seq) = m.seq {
            match peer.sequence.take(seq.0) {
                Verdict::New { missing } => on.counters.missing += missing.min(MISSING_MAX),
                _ if m.timestamp.0 > peer.newest_ms.saturating_add(RESTART_MS) => {
                    on.counters.missing += peer.forget_tracks();
                    peer.sequence.take(seq.0);
                }
                Verdict::Late => {
                    on.counters.reordered += 1;
                    // What overtook it was mostly of another track. Of one that is not known the end may have.
                    if peer.tracks.get(&m.track_id.0).is_none_or(|known| m.timestamp.0 <= known.captured_ms) {
                        return;
                    }
                }
                Verdict::Duplicate => {
                    on.counters.duplicates += 1;
                    return;
                }
            }
        } else if peer.tracks.get(&m.track_id.0).is_some_and(|known| m.timestamp.0 < known.captured_ms) {
            on.counters.reordered += 1;
            return;
        }
        peer.newest_ms = peer.newest_ms.max(m.timestamp.0);
        if m.ended {
            peer.tracks.remove(&m.track_id.0);
            return;
        }
        let track = remote_track(m, on.now);
        if let Some(known) = peer.tracks.get_mut(&m.track_id.0) {
            *known = track;
            return;
        }
        let limits = (self.options.tracks_per_peer_max, self.options.tracks_max);
        on.counters.evicted_tracks +=
            put(&mut self.by_name, |p| &mut p.tracks, &m.camera_id, m.track_id.0, track, limits);
    }

    /// Takes an event message of a camera whose clock is ahead of ours by so much, milliseconds.
    pub(super) fn event(&mut self, m: &EventMessage, ahead_ms: i64, on: &mut Arrival<'_>) {
        let keep_ms = u64::try_from(self.options.event_keep.as_millis()).unwrap_or(u64::MAX);
        let told_ms = m.timestamp.0.saturating_add_signed(ahead_ms.saturating_neg());
        if told_ms < on.now.epoch_ms.saturating_sub(keep_ms) {
            on.counters.stale_events += 1;
            return;
        }
        let peer = self.revived(&m.camera_id, on);
        let key = (m.key.as_ref().map_or(0, |k| k.boot_ms), m.event_id.0);
        if let Some(known) = peer.events.get_mut(&key) {
            if m.timestamp.0 < known.captured_ms {
                on.counters.reordered += 1;
                return;
            }
            if m.timestamp.0 == known.captured_ms && m.state == known.state {
                on.counters.duplicates += 1;
                known.heard = on.now;
                return;
            }
        }
        let mark = (key.0, key.1, m.timestamp.0, m.state);
        if peer.recent.contains(&mark) {
            on.counters.duplicates += 1;
            return;
        }
        if peer.recent.len() >= RECENT_MAX {
            peer.recent.pop_front();
        }
        peer.recent.push_back(mark);
        let mut event = remote_event(m, on.now);
        let boot_ms = m.key.as_ref().map(|key| key.boot_ms);
        let is_of_before = boot_ms.zip(peer.boot_ms()).is_some_and(|(raised, running)| raised < running);
        if is_of_before && event.is_open() {
            event.state = Some(EventState::Expired);
            on.counters.orphaned_events += 1;
        }
        let limits = (self.options.events_per_peer_max, self.options.events_max);
        on.counters.evicted_events +=
            put(&mut self.by_name, |p| &mut p.events, &m.camera_id, key, event, limits);
    }

    /// Notes that a camera was heard with a message that is not kept here.
    pub(super) fn sign_of_life(&mut self, camera: &CameraId, on: &mut Arrival<'_>) {
        self.revived(camera, on);
    }

    /// Lets go of what has become too old.
    pub(super) fn sweep(&mut self, on: &mut Arrival<'_>) {
        let Options { stale_after, track_keep, event_keep, .. } = self.options;
        let now = on.now;
        for (camera, peer) in &mut self.by_name {
            peer.tracks.retain(|_, t| now.since(t.heard) < track_keep);
            peer.events.retain(|_, e| now.since(e.heard) < event_keep);
            if peer.state == PeerState::Online && now.since(peer.heard) >= stale_after {
                peer.state = PeerState::Silent;
                peer.tracks.clear();
                on.counters.missing += peer.sequence.close();
                on.changes.push((camera.clone(), PeerChange::Lost(Lost::Silent)));
            }
            if peer.state != PeerState::Online {
                // All of a camera that just turned silent, and those that arrived after a goodbye.
                on.counters.orphaned_events += peer.end_events(|_, e| now.since(e.heard) >= stale_after);
            }
        }
    }

    /// Removes a camera and all that it sent, as if it had never been heard.
    pub(super) fn forget(&mut self, camera: &CameraId) {
        if self.by_name.remove(camera).is_some() {
            self.names = Names::of(self.by_name.keys());
        }
    }

    /// The camera, heard just now, with room made for it if it is new.
    fn heard(&mut self, camera: &CameraId, on: &mut Arrival<'_>) -> &mut Peer {
        if self.is_full() && !self.by_name.contains_key(camera) {
            let stalest = self
                .by_name
                .iter()
                .min_by_key(|(c, p)| ((on.rank)(c), p.state, p.heard))
                .map(|(c, _)| c.clone());
            if let Some((gone, mut peer)) = stalest.and_then(|c| self.by_name.remove_entry(&c)) {
                self.names = Names::of(self.by_name.keys());
                on.counters.evicted_peers += 1;
                on.counters.missing += peer.sequence.close();
                on.counters.evicted_tracks += peer.tracks.len() as u64;
                on.counters.evicted_events += peer.events.len() as u64;
                if peer.state == PeerState::Online {
                    on.changes.push((gone, PeerChange::Lost(Lost::Evicted)));
                }
            }
        }
        self.names.insert(camera);
        let peer = self.by_name.entry(camera.clone()).or_insert_with(|| Peer::new(on.now));
        peer.heard = on.now;
        peer
    }

    /// The same, for any message but presence: who said goodbye only comes back with a hello.
    fn revived(&mut self, camera: &CameraId, on: &mut Arrival<'_>) -> &mut Peer {
        let peer = self.heard(camera, on);
        if peer.state == PeerState::Silent {
            peer.state = PeerState::Online;
            on.changes.push((camera.clone(), PeerChange::Joined));
        }
        peer
    }
}

/// What has an age.
trait Heard {
    fn heard(&self) -> Time;
}

impl Heard for RemoteTrack {
    fn heard(&self) -> Time {
        self.heard
    }
}

impl Heard for RemoteEvent {
    fn heard(&self) -> Time {
        self.heard
    }
}

/// Stores a value of a camera within the limits (of one camera, of all); says how many had to go.
fn put<K: Ord + Copy, V: Heard>(
    peers: &mut BTreeMap<CameraId, Peer>,
    table: fn(&mut Peer) -> &mut BTreeMap<K, V>,
    camera: &CameraId,
    key: K,
    value: V,
    (per_peer, total): (usize, usize),
) -> u64 {
    let Some(own) = peers.get_mut(camera).map(table) else { return 0 };
    let known = own.contains_key(&key);
    let mut evicted = 0;
    if !known && own.len() >= per_peer.max(1) {
        if let Some(stalest) = own.iter().min_by_key(|(_, v)| v.heard()).map(|(k, _)| *k) {
            own.remove(&stalest);
            evicted += 1;
        }
    } else if !known && peers.values_mut().map(|p| table(p).len()).sum::<usize>() >= total.max(1) {
        let entries = peers.values_mut().enumerate();
        let all = entries.flat_map(|(i, p)| table(p).iter().map(move |(k, v)| (v.heard(), i, *k)));
        if let Some((_, i, stalest)) = all.min_by_key(|(heard, ..)| *heard)
            && let Some(peer) = peers.values_mut().nth(i)
        {
            table(peer).remove(&stalest);
            evicted += 1;
        }
    }
    if let Some(own) = peers.get_mut(camera).map(table) {
        own.insert(key, value);
    }
    evicted
}

fn remote_track(m: &TrackMessage, now: Time) -> RemoteTrack {
    RemoteTrack {
        position_m: Point::new(m.global_position.x.0, m.global_position.y.0),
        velocity_mps: Point::new(m.velocity.x.0, m.velocity.y.0),
        cov_m2: m.cov.map(|c| c.0),
        class: m.class,
        confidence: m.confidence.0,
        behaviors: m.behaviors,
        threat: m.threat_score.0,
        captured_ms: m.timestamp.0,
        global_id: m.global_id.map(|g| g.0),
        heard: now,
    }
}

fn remote_event(m: &EventMessage, now: Time) -> RemoteEvent {
    RemoteEvent {
        kind: m.event_type,
        state: m.state,
        position_m: Point::new(m.position.x.0, m.position.y.0),
        track_id: m.track_id.0,
        probability: m.probability.0,
        severity: m.severity,
        predicted_ms: m.predicted_time.0,
        captured_ms: m.timestamp.0,
        zone: m.zone.as_ref().map(|z| z.as_str().to_owned()),
        heard: now,
    }
}
