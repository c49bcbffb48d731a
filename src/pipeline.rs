//! From a frame to a [`Scene`]: detect, track, place on the ground, judge, forecast.
//!
//! [`Perception`] is the left half of the picture as one call, without a thread or a clock: the frame's
//! capture time is the only time it knows, so a recording gives the same scenes at any speed.
//! [`spawn`] puts it on a thread behind a capture and hands on what it finds: the newest scene by a
//! `watch`, event transitions and ended tracks, which must not be skipped, by a bounded queue. When
//! that queue is full the thread waits, and the capture drops frames instead.
//!
//! A frame that the detector refuses is counted and named, and the next one is tried.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::base::{IdSource, Time};
use crate::behavior::{self, Analyzer};
use crate::capture::{Capture, Taken};
use crate::inference::{self, Detector};
use crate::model::{
    CameraId, Detection, Event, Forecast, Frame, GroundPlane, Scene, SceneTrack, Transition, Zone,
};
use crate::predict;
use crate::track::{self, Tracker};

/// The options of every step.
#[derive(Debug, Clone)]
pub struct Options {
    /// How objects are found.
    pub detector: inference::Options,
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
            tracker: track::Options::default(),
            behavior: behavior::Options::default(),
            prediction: predict::Options::default(),
            zones: Vec::new(),
            ground,
        }
    }
}

/// One camera's perception.
pub struct Perception {
    ground: GroundPlane,
    detector: Box<dyn Detector>,
    tracker: Tracker,
    analyzer: Analyzer,
    predictor: predict::Engine,
    track_ids: Box<dyn IdSource + Send>,
    event_ids: Box<dyn IdSource + Send>,
    detections: Vec<Detection>,
    events: Vec<Event>,
    /// Each living track as it was last seen, without its forecast; bounded by `track::OBJECTS_MAX`.
    last_seen: BTreeMap<u32, SceneTrack>,
    last_frame: Option<Time>,
}

impl Perception {
    /// A perception that has seen nothing yet.
    pub fn new(
        options: Options,
        track_ids: Box<dyn IdSource + Send>,
        event_ids: Box<dyn IdSource + Send>,
    ) -> Result<Self, inference::Error> {
        Ok(Self {
            detector: inference::open(&options.detector, &options.ground)?,
            ground: options.ground,
            tracker: Tracker::new(options.tracker),
            analyzer: Analyzer::new(options.behavior),
            predictor: predict::Engine::new(options.prediction, options.zones),
            track_ids,
            event_ids,
            detections: Vec::new(),
            events: Vec::new(),
            last_seen: BTreeMap::new(),
            last_frame: None,
        })
    }

    /// Takes the next frame. What must not be skipped is added to `transitions`.
    pub fn step(
        &mut self,
        frame: &Frame,
        transitions: &mut Vec<Transition>,
    ) -> Result<Scene, inference::Error> {
        let now = frame.time;
        self.last_frame = Some(now);
        if frame.size != self.ground.size() {
            self.ground = self.ground.resized(frame.size);
        }
        self.detector.detect(frame, &mut self.detections)?;
        self.tracker.step(&self.detections, frame.size, now, self.track_ids.as_mut());
        let mut tracks: Vec<SceneTrack> = self.tracker.tracks().iter().map(|t| self.place(t)).collect();
        for seen in &mut tracks {
            if let Some(ground) = &seen.ground {
                seen.behavior = self.analyzer.observe(&seen.track, ground, now);
            }
        }
        let ended = self.tracker.ended();
        self.predictor.step(&mut tracks, ended, now, self.event_ids.as_mut(), &mut self.events);
        for seen in &tracks {
            let kept = SceneTrack { forecast: Forecast::default(), ..*seen };
            self.last_seen.insert(seen.track.id, kept);
        }
        transitions.extend(self.events.drain(..).map(Transition::Event));
        for id in ended {
            self.analyzer.forget(*id);
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
            detections: self.detections.len(),
        })
    }

    /// From now on notes why the track of this id goes as it goes.
    pub fn explain(&mut self, track: u32) {
        self.tracker.explain(track);
    }

    /// What was noted of it in the last frame, and of the tracks that have no id yet.
    pub fn explanation(&self) -> &[track::Entry] {
        self.tracker.explanation()
    }

    fn place(&self, track: &crate::model::Track) -> SceneTrack {
        SceneTrack {
            track: *track,
            ground: self.ground.motion_to_ground(&track.foot),
            behavior: crate::model::Behavior::default(),
            forecast: Forecast::default(),
        }
    }

    /// No frame comes any more: the tracks that live end with the last one.
    fn finish(&mut self, transitions: &mut Vec<Transition>) {
        let Some(time) = self.last_frame else { return };
        let last_seen = std::mem::take(&mut self.last_seen).into_values();
        transitions.extend(last_seen.map(|last| Transition::TrackEnded { last: Box::new(last), time }));
    }

    /// Tells what the bounds of its steps have cost so far.
    fn count(&self, counters: &Counters) {
        let predict::Counters { tracks_refused, candidates_refused, keys_refused, keys_evicted } =
            self.predictor.counters();
        let events_not_followed = tracks_refused + candidates_refused + keys_refused + keys_evicted;
        counters.detections_left_out.store(self.tracker.detections_left_out(), Ordering::Relaxed);
        counters.histories_evicted.store(self.analyzer.evicted(), Ordering::Relaxed);
        counters.events_not_followed.store(events_not_followed, Ordering::Relaxed);
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
    /// What was done.
    pub counters: Arc<Counters>,
}

/// How long one wait for a frame lasts at most, so that the thread sees that nobody listens any more.
const PATIENCE: Duration = Duration::from_millis(250);

/// Runs the perception on a thread of its own until the capture ends or nobody listens.
pub fn spawn(
    capture: Arc<Capture>,
    camera: &CameraId,
    mut perception: Perception,
    outputs: Outputs,
) -> io::Result<JoinHandle<()>> {
    let mut frame = Frame::empty(camera.clone());
    let camera = camera.clone();
    std::thread::Builder::new().name(format!("perception-{camera}")).spawn(move || {
        let mut transitions = Vec::new();
        let counters = Arc::clone(&outputs.counters);
        let mut refusing = false;
        loop {
            counters.turns.fetch_add(1, Ordering::Relaxed);
            match capture.next(&mut frame, PATIENCE) {
                Taken::Frame => {}
                Taken::Pending if outputs.transitions.is_closed() => return,
                Taken::Pending => continue,
                Taken::Ended => break,
            }
            let started = Instant::now();
            let outcome = perception.step(&frame, &mut transitions);
            let busy_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            counters.busy_us.fetch_add(busy_us, Ordering::Relaxed);
            perception.count(&counters);
            match outcome {
                Ok(scene) => {
                    refusing = false;
                    counters.frames.fetch_add(1, Ordering::Relaxed);
                    let scene = Arc::new(scene);
                    if let Some(sights) = &outputs.sights {
                        sights.send_replace(Some(Arc::new((frame.clone(), Arc::clone(&scene)))));
                    }
                    outputs.scenes.send_replace(Some(scene));
                }
                Err(error) => {
                    // The first of a row of bad frames is worth a line, the rest a number.
                    counters.refused.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut refusing, true) {
                        tracing::warn!(%camera, seq = frame.seq, %error, "frame refused");
                    }
                }
            }
            for transition in transitions.drain(..) {
                if outputs.transitions.blocking_send(transition).is_err() {
                    return;
                }
            }
        }
        perception.finish(&mut transitions);
        for transition in transitions {
            if outputs.transitions.blocking_send(transition).is_err() {
                return;
            }
        }
    })
}
