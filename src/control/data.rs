//! The data plane: scenes and measurements as the reference programs read them.
//!
//! `detections` has one message per frame with something in it, at most as many a second as are set; boxes
//! are pixels of the frame, their place the centre, as the reference has it. `metrics` is sent every
//! [`METRICS_EVERY`] and when asked for; times in it are milliseconds. Keys whose value is not known are left
//! out. `QoS` 0, not retained: the newest is enough.

use std::time::Duration;

use serde::Serialize;

use super::Topics;
use crate::base::{Time, rfc3339};
use crate::model::{BBox, ContentType, Envelope, MessageClass, Scene, Size};

/// Between two measurements.
pub const METRICS_EVERY: Duration = Duration::from_secs(10);

/// On which topics data is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataTopics {
    /// On those that all cameras share, as the reference programs expect it.
    #[default]
    Shared,
    /// On those with the camera's id in them.
    Camera,
    /// On both.
    Both,
}

/// How the data plane is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Detections are published, and measurements without being asked for.
    pub enabled: bool,
    /// Most messages a second with detections, above 0.
    pub detections_hz: f64,
    /// Where.
    pub topics: DataTopics,
    /// Pictures may leave this camera.
    pub frames: bool,
    /// Most frames with their boxes a second that are published without being asked for; 0: none.
    pub full_frames_hz: f64,
    /// Of such pictures.
    pub frame_quality: FrameQuality,
}

/// How much of a picture is kept in its JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FrameQuality {
    /// Enough to see what happens.
    Low,
    /// Enough to know somebody.
    #[default]
    Medium,
    /// Nearly all.
    High,
}

impl FrameQuality {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// JPEG's own scale, 1..=100.
    pub fn jpeg(self) -> u8 {
        match self {
            Self::Low => 50,
            Self::Medium => 75,
            Self::High => 90,
        }
    }
}

/// A picture that leaves, with what it is a picture of.
#[derive(Debug, Clone)]
pub struct FullFrame {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// The frame's number at its source.
    pub seq: u64,
    /// Its capture.
    pub time: Time,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: true,
            detections_hz: 10.0,
            topics: DataTopics::Shared,
            frames: false,
            full_frames_hz: 0.0,
            frame_quality: FrameQuality::default(),
        }
    }
}

/// What was measured of the perception.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Frames a second that became scenes.
    pub frames_hz: f64,
    /// Mean time spent on a frame, milliseconds.
    pub inference_ms: Option<f64>,
    /// From the capture of a frame to its scene, milliseconds.
    pub e2e_ms: Option<f64>,
}

/// The data plane of one camera.
#[derive(Debug, Clone)]
pub struct Data {
    topics: Topics,
    options: Options,
    last_detections: Option<Time>,
    last_frame: Option<Time>,
    message_id: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the wire")]
struct Detections<'a> {
    timestamp: String,
    detection_count: usize,
    detections: Vec<Detected>,
    frame: FrameRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    roi_metrics: Option<RoiMetrics>,
    message_id: u64,
    camera_id: &'a str,
}

#[derive(Serialize)]
struct Detected {
    class: &'static str,
    confidence: f64,
    bbox: CentredBox,
    track_id: u32,
}

#[derive(Serialize)]
struct CentredBox {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Serialize)]
struct FrameRef {
    frame_id: u64,
    source_id: u32,
    timestamp: String,
}

#[derive(Serialize)]
struct RoiMetrics {
    enabled: bool,
    crop_applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop_offset: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roi: Option<Roi>,
    performance: Performance,
}

#[derive(Serialize)]
struct Roi {
    x1: u32,
    y1: u32,
    x2: u32,
    y2: u32,
    width: u32,
    height: u32,
    area: u32,
    is_square: bool,
}

#[derive(Serialize)]
struct Performance {
    crop_ratio: f64,
    pixel_reduction: f64,
    frame_size: FrameSize,
}

#[derive(Serialize)]
struct FrameSize {
    height: u32,
    width: u32,
}

#[derive(Serialize)]
struct Metrics<'a> {
    timestamp: String,
    throughput_fps: f64,
    latency_reports: [LatencyReport; 1],
    sources_count: u32,
    camera_id: &'a str,
}

#[derive(Serialize)]
struct LatencyReport {
    source_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e2e_latency_ms: Option<f64>,
}

/// Three decimals; none of what is no number.
fn rounded(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1000.0).round() / 1000.0)
}

impl Data {
    /// A data plane that has sent nothing yet.
    pub fn new(topics: Topics, options: Options) -> Self {
        Self { topics, options, last_detections: None, last_frame: None, message_id: 0 }
    }

    /// What a frame's scene is to the data plane: nothing when there is nothing in it, or too soon.
    ///
    /// `crop` is the region of interest that was in force, none when that is switched off.
    pub fn detections(&mut self, scene: &Scene, crop: Option<Crop>, now: Time) -> Vec<Envelope> {
        let interval_s = 1.0 / self.options.detections_hz;
        // A tenth of a frame early is in time: frames are not evenly spaced.
        let early = self
            .last_detections
            .is_some_and(|last| scene.time.seconds_from(last) < 0.9 * interval_s && scene.time >= last);
        if !self.options.enabled || scene.tracks.is_empty() || early {
            return Vec::new();
        }
        self.last_detections = Some(scene.time);
        self.message_id += 1;
        let detections: Vec<Detected> =
            scene.tracks.iter().filter_map(|seen| detected(&seen.track)).collect();
        let message = Detections {
            timestamp: rfc3339(now.epoch_ms),
            detection_count: detections.len(),
            detections,
            frame: FrameRef { frame_id: scene.seq, source_id: 0, timestamp: rfc3339(scene.time.epoch_ms) },
            roi_metrics: crop.map(|crop| crop.metrics(scene.size)),
            message_id: self.message_id,
            camera_id: self.topics.camera().as_str(),
        };
        self.envelopes("detections", &message)
    }

    /// Whether a frame of this time is to be published without being asked for.
    pub fn wants_frame(&mut self, time: Time) -> bool {
        let Options { frames, full_frames_hz, .. } = self.options;
        let due = full_frames_hz > 0.0
            && self
                .last_frame
                .is_none_or(|last| time < last || time.seconds_from(last) >= 0.9 / full_frames_hz);
        if frames && due {
            self.last_frame = Some(time);
        }
        frames && due
    }

    /// Whether pictures may leave this camera.
    pub fn allows_frames(&self) -> bool {
        self.options.frames
    }

    /// Of the pictures that leave from now on.
    pub fn set_frame_quality(&mut self, quality: FrameQuality) {
        self.options.frame_quality = quality;
    }

    /// Of the pictures that leave.
    pub fn frame_quality(&self) -> FrameQuality {
        self.options.frame_quality
    }

    /// A picture: the payload is the JPEG alone, what it shows stands in the user properties.
    pub fn full_frame(&self, frame: FullFrame) -> Vec<Envelope> {
        let user_properties = vec![
            ("camera_id".to_owned(), self.topics.camera().to_string()),
            ("frame_id".to_owned(), frame.seq.to_string()),
            ("timestamp".to_owned(), rfc3339(frame.time.epoch_ms)),
        ];
        let payload = bytes::Bytes::from(frame.jpeg);
        let envelope = |topic: String| Envelope {
            content_type: ContentType::Jpeg,
            user_properties: user_properties.clone(),
            ..Envelope::new(MessageClass::Telemetry, topic, payload.clone())
        };
        self.topics_of("full_frames").into_iter().map(envelope).collect()
    }

    /// Whether measurements are published without being asked for.
    pub fn is_enabled(&self) -> bool {
        self.options.enabled
    }

    /// The measurements as messages.
    pub fn metrics(&self, measured: Measured, now: Time) -> Vec<Envelope> {
        self.envelopes("metrics", &self.metrics_message(measured, now))
    }

    /// The measurements as the answer to a command.
    pub fn metrics_result(&self, measured: Measured, now: Time) -> Option<serde_json::Value> {
        serde_json::to_value(self.metrics_message(measured, now)).ok()
    }

    fn metrics_message(&self, measured: Measured, now: Time) -> Metrics<'_> {
        let ms = |value: Option<f64>| value.and_then(rounded);
        Metrics {
            timestamp: rfc3339(now.epoch_ms),
            throughput_fps: rounded(measured.frames_hz).unwrap_or_default(),
            latency_reports: [LatencyReport {
                source_id: 0,
                inference_latency_ms: ms(measured.inference_ms),
                e2e_latency_ms: ms(measured.e2e_ms),
            }],
            sources_count: 1,
            camera_id: self.topics.camera().as_str(),
        }
    }

    fn envelopes(&self, name: &str, message: &impl Serialize) -> Vec<Envelope> {
        // Finite numbers and strings always have a JSON form.
        let payload = bytes::Bytes::from(serde_json::to_vec(message).unwrap_or_default());
        let envelope = |topic| Envelope::new(MessageClass::Telemetry, topic, payload.clone());
        self.topics_of(name).into_iter().map(envelope).collect()
    }

    fn topics_of(&self, name: &str) -> Vec<String> {
        let shared = (self.options.topics != DataTopics::Camera).then(|| self.topics.shared_data(name));
        let own = (self.options.topics != DataTopics::Shared).then(|| self.topics.own_data(name));
        shared.into_iter().chain(own).collect()
    }
}

fn detected(track: &crate::model::Track) -> Option<Detected> {
    let center = track.bbox.center();
    Some(Detected {
        class: track.class.as_str(),
        confidence: rounded(track.confidence)?,
        bbox: CentredBox {
            x: rounded(center.x)?,
            y: rounded(center.y)?,
            width: rounded(track.bbox.width)?,
            height: rounded(track.bbox.height)?,
        },
        track_id: track.id,
    })
}

/// The region of interest that was in force for a frame, pixels; none when the whole frame was looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop(pub Option<BBox>);

impl Crop {
    fn metrics(self, size: Size) -> RoiMetrics {
        let whole = f64::from(size.width) * f64::from(size.height);
        let roi = self.0.map(|region| {
            let (x1, y1) = (region.left.max(0.0) as u32, region.top.max(0.0) as u32);
            let (x2, y2) = (region.right().max(0.0) as u32, region.bottom().max(0.0) as u32);
            let (width, height) = (x2.saturating_sub(x1), y2.saturating_sub(y1));
            Roi { x1, y1, x2, y2, width, height, area: width * height, is_square: width == height }
        });
        let ratio = roi.as_ref().map_or(1.0, |roi| f64::from(roi.area) / whole.max(1.0));
        RoiMetrics {
            enabled: true,
            crop_applied: roi.is_some(),
            crop_offset: roi.as_ref().map(|roi| [roi.x1, roi.y1]),
            roi,
            performance: Performance {
                crop_ratio: rounded(ratio).unwrap_or(1.0),
                pixel_reduction: rounded(1.0 - ratio).unwrap_or_default(),
                frame_size: FrameSize { height: size.height, width: size.width },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Behavior, CameraId, Class, Forecast, Motion, Point, SceneTrack, Track};

    fn at(ms: u64) -> Time {
        Time { mono_ns: ms * 1_000_000, epoch_ms: 1_795_207_082_000 + ms }
    }

    fn scene(ms: u64, boxes: &[BBox]) -> Scene {
        let foot = Motion {
            position: Point::new(0.0, 0.0),
            velocity: Point::new(0.0, 0.0),
            cov: nalgebra::SMatrix::identity(),
        };
        let track = |(i, bbox): (usize, &BBox)| SceneTrack {
            track: Track {
                id: i as u32 + 1,
                class: Class::Person,
                bbox: *bbox,
                confidence: 0.913_74,
                foot,
                first_seen: at(ms),
                last_seen: at(ms),
                hits: 3,
            },
            ground: None,
            behavior: Behavior::default(),
            forecast: Forecast::default(),
        };
        Scene {
            camera: CameraId::parse("gate").unwrap(),
            seq: 7,
            time: at(ms),
            size: Size { width: 640, height: 480 },
            tracks: boxes.iter().enumerate().map(track).collect(),
            sightings: Vec::new(),
            detections: boxes.len(),
        }
    }

    fn data(topics: DataTopics, detections_hz: f64) -> Data {
        let camera = CameraId::parse("gate").unwrap();
        let options = Options { detections_hz, topics, ..Options::default() };
        Data::new(Topics::new("inference", camera), options)
    }

    fn text(envelope: &Envelope) -> &str {
        std::str::from_utf8(&envelope.payload).unwrap()
    }

    const PERSON: BBox = BBox::new(100.0, 40.0, 88.0, 201.0);

    #[test]
    fn detections_have_the_references_keys_with_the_centre_of_the_box() {
        let sent = data(DataTopics::Shared, 10.0).detections(&scene(651, &[PERSON]), None, at(700));
        assert_eq!(sent[0].topic, "inference/data/detections");
        assert_eq!(
            text(&sent[0]),
            r#"{"timestamp":"2026-11-20T20:38:02.700Z","detection_count":1,"detections":[{"class":"person","confidence":0.914,"bbox":{"x":144.0,"y":140.5,"width":88.0,"height":201.0},"track_id":1}],"frame":{"frame_id":7,"source_id":0,"timestamp":"2026-11-20T20:38:02.651Z"},"message_id":1,"camera_id":"gate"}"#
        );
    }

    #[test]
    fn a_crop_is_told_as_the_reference_tells_it() {
        let crop = Some(Crop(Some(BBox::new(160.0, 80.0, 320.0, 320.0))));
        let sent = data(DataTopics::Shared, 10.0).detections(&scene(0, &[PERSON]), crop, at(0));
        let wanted = r#""roi_metrics":{"enabled":true,"crop_applied":true,"crop_offset":[160,80],"roi":{"x1":160,"y1":80,"x2":480,"y2":400,"width":320,"height":320,"area":102400,"is_square":true},"performance":{"crop_ratio":0.333,"pixel_reduction":0.667,"frame_size":{"height":480,"width":640}}}"#;
        assert!(text(&sent[0]).contains(wanted), "{}", text(&sent[0]));
        let whole = data(DataTopics::Shared, 10.0).detections(&scene(0, &[PERSON]), Some(Crop(None)), at(0));
        assert!(text(&whole[0]).contains(r#""crop_applied":false,"performance":{"crop_ratio":1.0,"#));
    }

    #[test]
    fn nothing_is_sent_of_an_empty_frame_nor_more_often_than_set() {
        let mut data = data(DataTopics::Shared, 5.0);
        assert!(data.detections(&scene(0, &[]), None, at(0)).is_empty());
        let sent = (0..20).filter(|i| !data.detections(&scene(i * 50, &[PERSON]), None, at(0)).is_empty());
        assert_eq!(sent.count(), 5);
    }

    #[test]
    fn a_box_that_is_no_number_never_leaves() {
        let broken = BBox::new(f64::NAN, 0.0, 1.0, 1.0);
        let sent = data(DataTopics::Shared, 10.0).detections(&scene(0, &[broken, PERSON]), None, at(0));
        assert!(text(&sent[0]).contains("\"detection_count\":1") && !text(&sent[0]).contains("null"));
    }

    #[test]
    fn metrics_are_milliseconds_and_what_is_not_known_is_left_out() {
        let measured = Measured { frames_hz: 9.98, inference_ms: Some(1.5), e2e_ms: None };
        let sent = data(DataTopics::Both, 10.0).metrics(measured, at(0));
        assert_eq!(
            sent.iter().map(|e| e.topic.as_str()).collect::<Vec<_>>(),
            ["inference/data/metrics", "inference/gate/data/metrics"]
        );
        assert_eq!(
            text(&sent[0]),
            r#"{"timestamp":"2026-11-20T20:38:02.000Z","throughput_fps":9.98,"latency_reports":[{"source_id":0,"inference_latency_ms":1.5}],"sources_count":1,"camera_id":"gate"}"#
        );
    }
}
