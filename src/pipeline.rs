//! From a frame to a [`Scene`]: detect, track, place on the ground, judge, forecast.
//!
//! [`Perception`] is the left half of the picture as one call, without a thread or a clock: the frame's
//! capture time is the only time it knows, so a recording gives the same scenes at any speed.
//! [`spawn`] puts it on a thread behind a capture and hands on what it finds: the newest scene by a
//! `watch`, event transitions, ended events and ended tracks, which must not be skipped, by a bounded queue. When
//! that queue is full the thread waits, and the capture drops frames instead.
//!
//! [`health`] judges what keeps the camera from seeing. While the picture shows no objects, or none comes, nothing is tracked.
//!
//! A frame that the detector refuses is counted and named, and the next one is tried. While the capture is
//! paused the thread rests: all tracks have ended, no picture is looked at, and [`Outputs::resting`] says so.

mod health;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::base::{IdSource, Time};
use crate::behavior::{self, Analyzer, Inside};
use crate::capture::{Capture, Taken};
use crate::inference::network::{self, Verifier};
use crate::inference::{self, Detector};
use crate::model::{
    Attribute, BBox, Behaviors, CameraId, Class, Content, Detection, Forecast, Frame, GroundPlane, Mode,
    Modes, Motion, Scene, SceneTrack, Sighting, Track, Transition, Zone,
};
use crate::predict;
use crate::track::{self, Attributes, Tracker};

use self::health::{GAP, Health};

/// Where a box ends at the picture's edge, the rest of the body lies beyond it: standard deviation of the foot
/// point, in parts of the box's side.
const HIDDEN_PART: f64 = 0.3;
/// A box that ends so near the picture's edge is cut by it, pixels.
const EDGE_PX: f64 = 2.0;

/// The options of every step.
#[derive(Debug, Clone)]
pub struct Options {
    /// How objects are found.
    pub detector: inference::Options,
    /// Look closely only where objects are expected; can be switched while it runs.
    pub crop: bool,
    /// The network that looks at each track a second time; none: tracks are confirmed without.
    pub verify: Option<network::Options>,
    /// How they are followed.
    pub tracker: track::Options,
    /// What their behaviour is called.
    pub behavior: behavior::Options,
    /// How far ahead is looked.
    pub prediction: predict::Options,
    /// Named places.
    pub zones: Vec<Zone>,
    /// The map to the ground; fitted to the size of the frames as they come.
    pub ground: GroundPlane,
}

impl Options {
    /// Every step at its defaults, over this ground, without zones.
    pub fn new(ground: GroundPlane) -> Self {
        Self {
            detector: inference::Options::default(),
            crop: false,
            verify: None,
            tracker: track::Options::default(),
            behavior: behavior::Options::default(),
            prediction: predict::Options::default(),
            zones: Vec::new(),
            ground,
        }
    }
}

/// What of the [`Options`] can be changed between two frames.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// How detections are followed.
    pub tracker: track::Options,
    /// What their behaviour is called.
    pub behavior: behavior::Options,
    /// How far ahead is looked.
    pub prediction: predict::Options,
    /// Named places.
    pub zones: Vec<Zone>,
}

impl Options {
    /// The rules that are on and need metres, which this ground does not have; none on a calibrated ground.
    pub fn rules_without_metres(&self) -> Vec<&'static str> {
        if self.ground.is_calibrated() {
            return Vec::new();
        }
        let watched = self.behavior.watched;
        let rules = [
            (self.prediction.collision, "collision"),
            (watched.contains(Behaviors::LOITERING), "loitering by distance"),
            (watched.contains(Behaviors::RUNNING), "running"),
            (watched.contains(Behaviors::SUSPICIOUS_MOVEMENT), "zigzag"),
            (watched.contains(Behaviors::REPEATED_PASSES), "repeated passes"),
        ];
        rules.into_iter().filter_map(|(on, name)| on.then_some(name)).collect()
    }

    /// The most pixels of a picture that make a difference; none: all of them, for the crops of the second look.
    pub fn pixels_max(&self) -> Option<u32> {
        self.verify.is_none().then(|| self.detector.pixels_max())
    }

    /// What of them can be changed between two frames.
    pub fn tuning(&self) -> Tuning {
        let Self { tracker, behavior, prediction, zones, .. } = self.clone();
        Tuning { tracker, behavior, prediction, zones }
    }
}

/// No person, vehicle, animal or package is smaller than this on its longer side, meters.
const SIDE_MIN_M: f64 = 0.1;

/// Whether a box could be an object by the meters that it spans where it stands. Without a calibration, and above the horizon,
/// any could.
fn is_large_enough(bbox: BBox, ground: &GroundPlane) -> bool {
    if !ground.is_calibrated() {
        return true;
    }
    let px_per_m = ground.px_per_metre(bbox.foot());
    px_per_m.is_none_or(|px_per_m| bbox.width.max(bbox.height) >= SIDE_MIN_M * px_per_m)
}

/// The foot point of a box on the ground it stands on, with the doubt that the picture's edge adds to it.
fn foot_in_view(b: BBox, mut foot: Motion, ground: &GroundPlane) -> Motion {
    let view = ground.size();
    foot.position = ground.foot_px(b);
    let (right, bottom) = (b.left + b.width, b.top + b.height);
    if bottom >= f64::from(view.height) - EDGE_PX {
        foot.cov[(1, 1)] += (HIDDEN_PART * b.height).powi(2);
    }
    if b.left <= EDGE_PX || right >= f64::from(view.width) - EDGE_PX {
        foot.cov[(0, 0)] += (HIDDEN_PART * b.width).powi(2);
    }
    foot
}

/// One camera's perception.
pub struct Perception {
    ground: GroundPlane,
    detector: Box<dyn Detector>,
    health: Health,
    /// What held after the last frame.
    conditions: Modes,
    crop: bool,
    /// Where the tracks of the last frame are by now.
    expected: Vec<BBox>,
    verifier: Option<Verifier>,
    tracker_options: track::Options,
    tracker: Tracker,
    analyzer: Analyzer,
    /// The zones that a track is in; a buffer.
    inside: Vec<Inside>,
    predictor: predict::Engine,
    track_ids: Box<dyn IdSource + Send>,
    event_ids: Box<dyn IdSource + Send>,
    detections: Vec<Detection>,
    attributes: Attributes,
    read: Vec<(u32, Attribute)>,
    /// What is not confirmed, as it was told last and when; bounded by `track::OBJECTS_MAX`.
    unconfirmed: BTreeMap<u32, (Sighting, Time)>,
    /// Each living track as it was last seen, without its forecast; bounded by `track::OBJECTS_MAX`.
    last_seen: BTreeMap<u32, SceneTrack>,
    last_frame: Option<Time>,
    /// What trackers before the present one left out.
    left_out_before: u64,
}

impl Perception {
    /// A perception that has seen nothing yet.
    pub fn new(
        options: Options,
        track_ids: Box<dyn IdSource + Send>,
        event_ids: Box<dyn IdSource + Send>,
    ) -> Result<Self, inference::Error> {
        let metric = options.ground.is_calibrated();
        Ok(Self {
            detector: inference::open(&options.detector, &options.ground)?,
            health: Health::new(),
            conditions: Modes::default(),
            crop: options.crop,
            expected: Vec::new(),
            verifier: options.verify.map(Verifier::open),
            ground: options.ground,
            tracker: Tracker::new(options.tracker),
            tracker_options: options.tracker,
            analyzer: Analyzer::new(behavior::Options { metric, ..options.behavior }),
            inside: Vec::new(),
            predictor: predict::Engine::new(predict::Options { metric, ..options.prediction }, options.zones),
            track_ids,
            event_ids,
            detections: Vec::new(),
            attributes: Attributes::default(),
            read: Vec::new(),
            unconfirmed: BTreeMap::new(),
            last_seen: BTreeMap::new(),
            last_frame: None,
            left_out_before: 0,
        })
    }

    /// Looks at tracks a second time with this.
    #[cfg(test)]
    fn with_verifier(mut self, verifier: Verifier) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// What looks at tracks a second time.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// Goes by other limits from the next frame on. What is followed, remembered and predicted stays.
    pub fn tune(&mut self, tuning: Tuning) {
        self.tracker.set_options(tuning.tracker);
        let metric = self.ground.is_calibrated();
        self.analyzer.set_options(behavior::Options { metric, ..tuning.behavior });
        if self.predictor.zones() != tuning.zones {
            self.analyzer.restart_stays();
        }
        self.predictor.set_options(predict::Options { metric, ..tuning.prediction }, tuning.zones);
    }

    /// Takes the next frame. What must not be skipped is added to `transitions`.
    pub fn step(
        &mut self,
        frame: &Frame,
        transitions: &mut Vec<Transition>,
    ) -> Result<Scene, inference::Error> {
        let now = frame.time;
        if self.last_frame.is_some_and(|last| now.since(last) > GAP) {
            self.rest(transitions);
        }
        let dt_s = self.last_frame.map_or(0.0, |last| now.since(last).as_secs_f64());
        self.last_frame = Some(now);
        if frame.size != self.ground.size() {
            self.ground = self.ground.resized(frame.size);
        }
        self.detect(frame, dt_s, transitions)?;
        let pictured = matches!(frame.content, Content::Image(_));
        let in_force = self.verifier.as_ref().is_some_and(Verifier::is_in_force);
        self.tracker.require_looks(pictured && in_force);
        self.tracker.step(&self.detections, frame.size, now, self.track_ids.as_mut());
        self.look_again(frame);
        self.attributes.take(&frame.readings, self.tracker.tracks(), &mut self.read);
        let mut tracks: Vec<SceneTrack> = self.tracker.tracks().iter().map(|t| self.place(t)).collect();
        for seen in &mut tracks {
            if let Some(ground) = &seen.ground {
                let zones = self.predictor.zones().iter().enumerate().filter(|(_, zone)| {
                    zone.applies_to(seen.track.class) && zone.border_m.contains(ground.position)
                });
                self.inside.clear();
                self.inside
                    .extend(zones.map(|(zone, Zone { dwell_s, .. })| Inside { zone, dwell_s: *dwell_s }));
                seen.behavior = self.analyzer.observe(&seen.track, ground, &self.inside, now);
            }
        }
        let lapsed = self.tracker.lapsed().iter().filter_map(|id| self.unconfirmed.remove(id));
        transitions.extend(lapsed.map(|(last, time)| Transition::SightingEnded { last, time }));
        let placed = self.tracker.sightings().iter().filter_map(|s| self.place_sighting(s));
        let sightings: Vec<Sighting> = placed.collect();
        let unconfirmed = sightings.iter().filter(|s| s.track >= track::UNCONFIRMED_IDS);
        self.unconfirmed.extend(unconfirmed.map(|s| (s.track, (*s, now))));
        let ended = self.tracker.ended();
        self.predictor.step(&mut tracks, ended, now, self.event_ids.as_mut(), transitions);
        for seen in &tracks {
            let kept = SceneTrack { forecast: Forecast::default(), ..*seen };
            self.last_seen.insert(seen.track.id, kept);
        }
        let read = self.read.drain(..);
        transitions.extend(read.map(|(track, attribute)| Transition::Attribute {
            track,
            attribute,
            time: now,
        }));
        for id in ended {
            self.analyzer.forget(*id);
            transitions.extend(last_word(&mut self.attributes, *id, now));
            if let Some(last) = self.last_seen.remove(id) {
                transitions.push(Transition::TrackEnded { last: Box::new(last), time: now });
            }
        }
        Ok(Scene {
            camera: frame.camera.clone(),
            seq: frame.seq,
            time: now,
            size: frame.size,
            tracks,
            sightings,
            detections: self.detections.len(),
        })
    }

    /// Finds what is in a frame, unless its picture shows no objects: then all tracks end.
    fn detect(
        &mut self,
        frame: &Frame,
        dt_s: f64,
        transitions: &mut Vec<Transition>,
    ) -> Result<(), inference::Error> {
        self.health.frame(frame);
        if !self.health.conditions().contains(Mode::PictureFrozen) {
            self.expect(dt_s);
            self.detector.detect(frame, &mut self.detections)?;
            self.detections.retain(|d| d.class == Class::Face || is_large_enough(d.bbox, &self.ground));
            self.health.judge(self.detector.view(), self.detector.is_learning());
        }
        self.note_conditions(transitions);
        if self.conditions.intersects(Modes::UNTRACKED) {
            self.detections.clear();
        }
        Ok(())
    }

    /// No frame came for this long: after a while all tracks end.
    fn wait(&mut self, quiet: Duration, transitions: &mut Vec<Transition>) {
        if let Some(last) = self.last_frame {
            self.health.wait(last + quiet);
            self.note_conditions(transitions);
        }
    }

    /// No frame is wanted for a while.
    fn pause(&mut self, transitions: &mut Vec<Transition>) {
        self.health.pause();
        self.note_conditions(transitions);
        self.rest(transitions);
    }

    fn note_conditions(&mut self, transitions: &mut Vec<Transition>) {
        let before = std::mem::replace(&mut self.conditions, self.health.conditions());
        let is_tracked = |conditions: Modes| !conditions.intersects(Modes::UNTRACKED);
        if is_tracked(before) && !is_tracked(self.conditions) {
            self.rest(transitions);
        }
    }

    /// What keeps the camera from seeing, as of the last frame.
    pub fn conditions(&self) -> Modes {
        self.conditions
    }

    /// Takes the answers of second looks, and begins further ones as far as the budget goes.
    fn look_again(&mut self, frame: &Frame) {
        let (Some(verifier), Content::Image(image)) = (&mut self.verifier, &frame.content) else { return };
        verifier.frame(frame.time);
        loop {
            while let Some((number, look)) = verifier.answer() {
                self.tracker.look(number, &look);
            }
            if !verifier.is_free() {
                return;
            }
            let again = verifier.has_spare();
            let Some(track::Due { number, bbox, looks }) = self.tracker.next_look(frame.time, again) else {
                return;
            };
            verifier.look(image, number, bbox, looks);
        }
    }

    /// Tells the detector where objects will be `dt_s` after the last frame.
    fn expect(&mut self, dt_s: f64) {
        if !self.crop {
            self.detector.expect(None);
            return;
        }
        self.expected.clear();
        self.expected.extend(self.tracker.tracks().iter().map(|track| {
            let by = track.foot.velocity * dt_s;
            BBox { left: track.bbox.left + by.x, top: track.bbox.top + by.y, ..track.bbox }
        }));
        self.detector.expect(Some(&self.expected));
    }

    /// From now on notes why the track of this id goes as it goes.
    pub fn explain(&mut self, track: u32) {
        self.tracker.explain(track);
    }

    /// What was noted of it in the last frame, and of the tracks that have no id yet.
    pub fn explanation(&self) -> &[track::Entry] {
        self.tracker.explanation()
    }

    fn place(&self, track: &Track) -> SceneTrack {
        SceneTrack {
            track: *track,
            ground: self.on_ground(track.bbox, track.foot),
            behavior: crate::model::Behavior::default(),
            forecast: Forecast::default(),
        }
    }

    fn place_sighting(&self, sighting: &Sighting) -> Option<Sighting> {
        let foot = self.on_ground(sighting.bbox, sighting.foot)?;
        Some(Sighting { foot, ..*sighting })
    }

    fn on_ground(&self, bbox: BBox, foot: Motion) -> Option<Motion> {
        self.ground.motion_to_ground(&foot_in_view(bbox, foot, &self.ground))
    }

    /// No frame comes for a while: the tracks that live end with the last frame, and what was predicted of
    /// them will not come. The background is kept.
    fn rest(&mut self, transitions: &mut Vec<Transition>) {
        let Some(now) = self.last_frame else { return };
        let ended: Vec<u32> = self.last_seen.keys().copied().collect();
        self.predictor.step(&mut [], &ended, now, self.event_ids.as_mut(), transitions);
        for id in ended {
            self.analyzer.forget(id);
        }
        self.finish(transitions);
        self.left_out_before += self.tracker.detections_left_out();
        self.tracker = Tracker::new(self.tracker_options);
    }

    /// Ends the tracks that live and the events that occurred, because no frame follows the last one.
    fn finish(&mut self, transitions: &mut Vec<Transition>) {
        let Some(time) = self.last_frame else { return };
        self.predictor.close(time, transitions);
        let unconfirmed = std::mem::take(&mut self.unconfirmed).into_values();
        transitions.extend(unconfirmed.map(|(last, time)| Transition::SightingEnded { last, time }));
        for (id, last) in std::mem::take(&mut self.last_seen) {
            transitions.extend(last_word(&mut self.attributes, id, time));
            transitions.push(Transition::TrackEnded { last: Box::new(last), time });
        }
    }

    /// Tells what the bounds of its steps have cost so far.
    fn count(&self, counters: &Counters) {
        let predict::Counters { tracks_refused, candidates_refused, keys_refused, keys_evicted } =
            self.predictor.counters();
        let events_not_followed = tracks_refused + candidates_refused + keys_refused + keys_evicted;
        let left_out = self.left_out_before + self.tracker.detections_left_out();
        counters.detections_left_out.store(left_out, Ordering::Relaxed);
        counters.histories_evicted.store(self.analyzer.evicted(), Ordering::Relaxed);
        counters.events_not_followed.store(events_not_followed, Ordering::Relaxed);
    }
}

/// What is known of a track that ends, if anything was read off it.
fn last_word(attributes: &mut Attributes, track: u32, time: Time) -> Option<Transition> {
    attributes.end(track).map(|attribute| Transition::Attribute { track, attribute, time })
}

/// The adaptive region of interest of a running perception.
#[derive(Debug, Default)]
pub struct Crop {
    on: AtomicBool,
    region: Mutex<Option<BBox>>,
}

impl Crop {
    /// Switched on or off from the start.
    pub fn new(on: bool) -> Self {
        Self { on: AtomicBool::new(on), region: Mutex::new(None) }
    }

    /// Switches it from the next frame on.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The part of the last frame that was looked at, pixels; none: all of it.
    pub fn region(&self) -> Option<BBox> {
        *self.region.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, region: Option<BBox>) {
        *self.region.lock().unwrap_or_else(PoisonError::into_inner) = region;
    }
}

/// What the perception thread did so far; readable from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames that became scenes.
    pub frames: AtomicU64,
    /// Frames that the detector refused.
    pub refused: AtomicU64,
    /// Time spent on frames, microseconds.
    pub busy_us: AtomicU64,
    /// Detections that the tracker left out: no boxes, or too many.
    pub detections_left_out: AtomicU64,
    /// Tracks whose history was forgotten for another's.
    pub histories_evicted: AtomicU64,
    /// Possible events, and tracks, that were not looked at because there were too many.
    pub events_not_followed: AtomicU64,
    /// Detections in all frames.
    pub detections: AtomicU64,
    /// Those of them that belonged to a confirmed track, counted by the tracks that were seen.
    pub detections_tracked: AtomicU64,
    /// Confirmed tracks that ended.
    pub tracks_ended: AtomicU64,
    /// What is seen disagrees with the calibration about how tall persons are.
    pub calibration_doubted: AtomicBool,
    /// Tracks are not looked at a second time, although they should be.
    pub verify_unavailable: AtomicBool,
    /// Turns of the loop, with or without a frame: stands still only when the thread hangs.
    pub turns: AtomicU64,
}

/// A frame and what was seen in it.
pub type Sight = Arc<(Frame, Arc<Scene>)>;

/// Where the thread's findings go.
pub struct Outputs {
    /// The newest scene.
    pub scenes: watch::Sender<Option<Arc<Scene>>>,
    /// What must not be skipped.
    pub transitions: mpsc::Sender<Transition>,
    /// The last frame beside its scene, for whoever draws pictures; none when nobody does.
    pub sights: Option<watch::Sender<Option<Sight>>>,
    /// Whether the thread rests because the capture is paused.
    pub resting: watch::Sender<bool>,
    /// What keeps the camera from seeing.
    pub conditions: watch::Sender<Modes>,
    /// Whether it looks closely only where objects are expected, and where that was.
    pub crop: Arc<Crop>,
    /// What was done.
    pub counters: Arc<Counters>,
}

/// How long one wait for a frame lasts at most, so that the thread sees that nobody listens any more.
const PATIENCE: Duration = Duration::from_millis(250);

/// Runs the perception on a thread of its own until the capture ends or nobody listens; the newest
/// tuning counts from the next frame on.
pub fn spawn(
    capture: Arc<Capture>,
    camera: &CameraId,
    mut perception: Perception,
    mut tunings: watch::Receiver<Option<Tuning>>,
    outputs: Outputs,
) -> io::Result<JoinHandle<()>> {
    let mut frame = Frame::empty(camera.clone());
    let camera = camera.clone();
    std::thread::Builder::new().name(format!("perception-{camera}")).spawn(move || {
        let mut transitions = Vec::new();
        let mut refusing = false;
        let mut arrived = Instant::now();
        loop {
            outputs.counters.turns.fetch_add(1, Ordering::Relaxed);
            if capture.is_paused() {
                if !*outputs.resting.borrow() {
                    perception.pause(&mut transitions);
                    outputs.show_conditions(perception.conditions(), &camera);
                    if !outputs.hand_over(&mut transitions) {
                        return;
                    }
                    outputs.scenes.send_replace(None);
                    outputs.resting.send_replace(true);
                }
                capture.wait_unpaused(PATIENCE);
                if outputs.transitions.is_closed() {
                    return;
                }
                continue;
            }
            outputs.resting.send_if_modified(std::mem::take);
            match capture.next(&mut frame, PATIENCE) {
                Taken::Frame => arrived = Instant::now(),
                Taken::Pending if outputs.transitions.is_closed() => return,
                Taken::Pending => {
                    // The decoder of a recording that is not played at its own rate may take its time.
                    if capture.is_paced() {
                        perception.wait(arrived.elapsed(), &mut transitions);
                    }
                    if outputs.show_conditions(perception.conditions(), &camera) {
                        outputs.scenes.send_replace(None);
                    }
                    if !outputs.hand_over(&mut transitions) {
                        return;
                    }
                    continue;
                }
                Taken::Ended => break,
            }
            // Nobody who could tune any more is no reason to stop.
            if tunings.has_changed().unwrap_or(false)
                && let Some(tuning) = tunings.borrow_and_update().clone()
            {
                perception.tune(tuning);
            }
            perception.crop = outputs.crop.is_on();
            let started = Instant::now();
            let outcome = perception.step(&frame, &mut transitions);
            let busy_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            outputs.counters.busy_us.fetch_add(busy_us, Ordering::Relaxed);
            perception.count(&outputs.counters);
            note_disagreement(perception.detector.disagreement(), &camera, &outputs.counters);
            outputs.show_conditions(perception.conditions(), &camera);
            note_verifier(perception.verifier.as_ref(), &camera, &outputs.counters);
            outputs.crop.note(perception.detector.looked_at());
            match outcome {
                Ok(scene) => {
                    refusing = false;
                    outputs.show(scene, &frame);
                }
                Err(error) => {
                    // The first of a row of bad frames is worth a line, the rest a number.
                    outputs.counters.refused.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut refusing, true) {
                        tracing::warn!(%camera, seq = frame.seq, %error, "frame refused");
                    }
                }
            }
            if !outputs.hand_over(&mut transitions) {
                return;
            }
        }
        perception.finish(&mut transitions);
        outputs.hand_over(&mut transitions);
    })
}

/// Sets or clears that the calibration is doubted; a change is logged.
fn note_disagreement(disagreement: Option<f64>, camera: &CameraId, counters: &Counters) {
    let was = counters.calibration_doubted.swap(disagreement.is_some(), Ordering::Relaxed);
    match disagreement {
        Some(times) if !was => tracing::warn!(
            %camera,
            "persons are seen {times:.1} times as tall as the calibration says, using the sizes that are seen; check \
             the calibration's points and units (feet: 3.3)"
        ),
        None if was => tracing::info!(%camera, "persons are seen as tall as the calibration says again"),
        _ => {}
    }
}

/// Sets or clears that tracks are not looked at a second time; a change is logged.
fn note_verifier(verifier: Option<&Verifier>, camera: &CameraId, counters: &Counters) {
    let error = verifier.and_then(Verifier::error);
    let was = counters.verify_unavailable.swap(error.is_some(), Ordering::Relaxed);
    match error {
        Some(error) if !was => {
            tracing::warn!(%camera, fault = ?error.fault, %error, "second look unavailable, tracks are confirmed without");
        }
        None if was => tracing::info!(%camera, "second look is tried again, tracks are confirmed by it"),
        _ => {}
    }
}

impl Outputs {
    /// Hands on and logs what began and what is over; whether anything did.
    fn show_conditions(&self, conditions: Modes, camera: &CameraId) -> bool {
        let before = *self.conditions.borrow();
        health::log_changes(before, conditions, camera);
        self.conditions.send_if_modified(|shown| std::mem::replace(shown, conditions) != conditions)
    }

    fn show(&self, scene: Scene, frame: &Frame) {
        let counters = &self.counters;
        counters.frames.fetch_add(1, Ordering::Relaxed);
        counters.detections.fetch_add(scene.detections as u64, Ordering::Relaxed);
        let tracked = scene.tracks.len().min(scene.detections) as u64;
        counters.detections_tracked.fetch_add(tracked, Ordering::Relaxed);
        let scene = Arc::new(scene);
        if let Some(sights) = &self.sights {
            sights.send_replace(Some(Arc::new((frame.clone(), Arc::clone(&scene)))));
        }
        self.scenes.send_replace(Some(scene));
    }

    /// Waits while the queue is full; false when nobody listens any more.
    fn hand_over(&self, transitions: &mut Vec<Transition>) -> bool {
        for transition in transitions.drain(..) {
            let ended = matches!(transition, Transition::TrackEnded { .. });
            self.counters.tracks_ended.fetch_add(u64::from(ended), Ordering::Relaxed);
            if self.transitions.blocking_send(transition).is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
