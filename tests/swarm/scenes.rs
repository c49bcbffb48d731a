//! Scenes, transitions and foreign messages, and how the tests hand them to an engine.

use omnisight::base::Time;
use omnisight::model::{
    BBox, Behavior, Behaviors, CameraId, Class, Delivery, Envelope, Event, EventState, EventType, Forecast,
    Motion, Point, Polygon, RuleTrace, Scene, SceneTrack, Severity, Size, Track,
};
use omnisight::swarm::peers::PeerChange;
use omnisight::swarm::{Action, Engine, Ground, Identity, Input, Options};
use serde_json::Value;

pub(crate) const START_MS: u64 = 1_700_000_000_000;

pub(crate) fn at(ms: u64) -> Time {
    Time { mono_ns: 1_000_000_000 + ms * 1_000_000, epoch_ms: START_MS + ms }
}

pub(crate) fn camera(name: &str) -> CameraId {
    CameraId::parse(name).unwrap()
}

pub(crate) fn engine_with(name: &str, boot_ms: u64, options: Options) -> Engine {
    let square = [(0.0, 0.0), (8.0, 0.0), (8.0, 6.0), (0.0, 6.0)].map(|(x, y)| Point::new(x, y));
    let ground = Ground { calibrated: true, footprint: Polygon::new(square.to_vec()).ok() };
    let identity =
        Identity { camera: camera(name), boot_ms, version: "0.1.0".to_owned(), site: None, ground };
    Engine::new(options, identity)
}

pub(crate) fn engine(name: &str) -> Engine {
    engine_with(name, START_MS, Options::default())
}

pub(crate) fn seen(id: u32, threat: f64, ground: bool) -> SceneTrack {
    let motion = Motion {
        position: Point::new(1.0 + f64::from(id), 2.5),
        velocity: Point::new(1.25, -0.5),
        cov: nalgebra::SMatrix::identity() * 0.04,
    };
    SceneTrack {
        track: Track {
            id,
            class: Class::Person,
            bbox: BBox::new(10.0, 20.0, 30.0, 60.0),
            confidence: 0.9,
            foot: motion,
            first_seen: at(0),
            last_seen: at(0),
            hits: 5,
        },
        ground: ground.then_some(motion),
        behavior: Behavior { flags: Behaviors::LOITERING, threat, ..Behavior::default() },
        forecast: Forecast::default(),
    }
}

pub(crate) fn scene(name: &str, ms: u64, mut tracks: Vec<SceneTrack>) -> Scene {
    for track in &mut tracks {
        track.track.last_seen = at(ms);
    }
    let size = Size { width: 640, height: 480 };
    let sightings = tracks.iter().filter_map(SceneTrack::sighting).collect();
    Scene { camera: camera(name), seq: ms, time: at(ms), size, detections: tracks.len(), sightings, tracks }
}

pub(crate) fn event(id: u32, state: EventState, severity: Severity, ms: u64) -> Event {
    Event {
        id,
        kind: EventType::Trespassing,
        state,
        position_m: Point::new(3.0, 4.0),
        tracks: vec![7, 8],
        probability: 0.75,
        severity,
        predicted_time: at(ms + 4_000),
        time: at(ms),
        zone: Some("yard".to_owned()),
        rule: RuleTrace {
            name: "trespassing",
            thresholds: vec![("probability", 0.5)],
            measured: vec![("entry_s", 4.0)],
        },
    }
}

pub(crate) fn handle(engine: &mut Engine, input: Input<'_>, ms: u64) -> Vec<Action> {
    let mut out = Vec::new();
    engine.handle(input, at(ms), &mut out);
    out
}

pub(crate) fn sent(actions: &[Action]) -> Vec<&Envelope> {
    actions.iter().filter_map(|a| if let Action::Send(e) = a { Some(e) } else { None }).collect()
}

pub(crate) fn changes(actions: &[Action]) -> Vec<PeerChange> {
    actions
        .iter()
        .filter_map(|a| if let Action::Peer { change, .. } = a { Some(*change) } else { None })
        .collect()
}

pub(crate) fn delivered(envelope: &Envelope) -> Delivery {
    Delivery {
        topic: envelope.topic.clone(),
        payload: envelope.payload.clone(),
        content_type: Some(envelope.content_type.as_str().to_owned()),
        ..Delivery::default()
    }
}

pub(crate) fn give(to: &mut Engine, envelopes: &[&Envelope], ms: u64) -> Vec<Action> {
    envelopes.iter().flat_map(|e| handle(to, Input::Delivery(&delivered(e)), ms)).collect()
}

pub(crate) fn raw(topic: &str, payload: &str) -> Delivery {
    let payload = payload.to_owned().into();
    Delivery { topic: format!("omnisight/swarm/{topic}"), payload, ..Delivery::default() }
}

pub(crate) fn json(envelope: &Envelope) -> Value {
    serde_json::from_slice(&envelope.payload).unwrap()
}

/// A track message as another program may write it.
pub(crate) fn track_json(name: &str, id: u32, seq: Option<u64>, ms: u64) -> Delivery {
    let seq = seq.map_or(String::new(), |s| format!(",\"seq\":{s}"));
    let payload = format!(
        r#"{{"camera_id":"{name}","track_id":{id},"global_position":{{"x":1.0,"y":2.0,"z":0.0}},"velocity":{{"x":0.0,"y":0.0}},"class":"person","confidence":0.5,"timestamp":{},"behaviors":0,"threat_score":0.0{seq}}}"#,
        START_MS + ms
    );
    raw(&format!("tracks/{name}/{id}"), &payload)
}

pub(crate) fn event_json(name: &str, id: u32, ms: u64) -> Delivery {
    let payload = format!(
        r#"{{"camera_id":"{name}","event_id":{id},"event_type":1,"position":{{"x":1.0,"y":2.0,"z":0.0}},"track_id":1,"probability":0.5,"severity":2,"predicted_time":{0},"timestamp":{0}}}"#,
        START_MS + ms
    );
    raw(&format!("events/{name}/{id}"), &payload)
}

pub(crate) fn status_json(name: &str, state: &str, boot: u64, ms: u64) -> Delivery {
    let timestamp = START_MS + ms;
    let payload = format!(
        r#"{{"camera_id":"{name}","state":"{state}","version":"1","boot":{boot},"timestamp":{timestamp}}}"#
    );
    raw(&format!("status/{name}"), &payload)
}
