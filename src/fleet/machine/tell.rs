//! What the camera tells by itself: detections, health, alerts, and what its checkpoint saw.

use serde_json::{Map, Value, json};

use super::{Action, Fleet, HEALTH_EVERY, Sum, Vehicle, durable, envelope, rounded};
use crate::base::{Time, rfc3339};
use crate::fleet::Tuning;
use crate::fleet::health::{Alert, CameraState, Level, Vitals};
use crate::model::{BBox, Envelope, MessageClass, Qos};

impl Fleet {
    /// Sends the vehicles that wait, when it is time for them (or `at_once`).
    pub(super) fn send_gathered(&mut self, at_once: bool, now: Time, out: &mut Vec<Action>) {
        let Tuning { detection_interval, vehicles_max, .. } = self.options.tuning;
        let due = self.last_detection.is_none_or(|last| now.since(last) >= detection_interval);
        let mut may = due || at_once;
        while may && !self.gathered.is_empty() {
            let count = self.gathered.len().min(vehicles_max.max(1));
            let vehicles: Vec<Vehicle> = self.gathered.drain(..count).collect();
            self.last_detection = Some(now);
            self.counters.detections += 1;
            let message = self.detection(&vehicles, now);
            out.push(Action::Send(durable(MessageClass::FleetDetection, self.topics.detection(), message)));
            may = at_once || detection_interval.is_zero();
        }
    }

    fn detection(&mut self, vehicles: &[Vehicle], now: Time) -> Map<String, Value> {
        let (mut told, mut plates, mut best) = (Vec::new(), Vec::new(), 0.0_f64);
        for (index, Vehicle { last, plate }) in vehicles.iter().enumerate() {
            best = best.max(plate.as_ref().map_or(last.confidence, |plate| plate.confidence));
            told.push(json!({
                "vehicle_index": index,
                "bbox": corners(&last.bbox),
                "confidence": rounded(last.confidence),
                "vehicle_class": last.class.as_str(),
                "track_id": last.id,
                "first_seen": rfc3339(last.first_seen.epoch_ms),
                "last_seen": rfc3339(last.last_seen.epoch_ms),
            }));
            if let Some(plate) = plate {
                plates.push(json!({
                    "plate_index": plates.len(),
                    "vehicle_id": index,
                    "plate_number": plate.text,
                    "bbox": corners(&plate.bbox),
                    "confidence": rounded(plate.confidence),
                }));
            }
        }
        let mut data = Map::new();
        data.insert("vehicles_count".to_owned(), json!(told.len()));
        data.insert("plates_count".to_owned(), json!(plates.len()));
        data.insert("confidence_score".to_owned(), json!(rounded(best)));
        data.insert("detection_type".to_owned(), json!("lpr"));
        if let Some(ms) = self.frame_ms {
            data.insert("processing_time_ms".to_owned(), json!(ms.round() as u64));
        }
        data.insert("vehicles".to_owned(), json!(told));
        data.insert("plates".to_owned(), json!(plates));
        let mut message = self.head(now);
        message.insert("checkpoint_id".to_owned(), json!(self.options.checkpoint_id));
        message.insert("detection_data".to_owned(), Value::Object(data));
        message
    }

    pub(super) fn vitals(&mut self, vitals: &Vitals, now: Time, out: &mut Vec<Action>) {
        self.frame_ms = vitals.frame_ms.filter(|ms| ms.is_finite());
        self.next_health = Some(now + HEALTH_EVERY);
        let alerts = vitals.alerts();
        self.level = alerts.iter().map(|alert| alert.level).max().unwrap_or_default();
        self.camera = vitals.camera;
        let at = rfc3339(now.epoch_ms);
        let told = alerts.iter().map(|Alert { level, message, .. }| {
            json!({ "level": level.as_str(), "message": message, "timestamp": at })
        });
        let mut message = self.head(now);
        message.insert("health_status".to_owned(), json!(self.level.as_str()));
        message.insert("health_details".to_owned(), vitals.details(self.last_detection.map(|t| t.epoch_ms)));
        message.insert("alerts".to_owned(), Value::Array(told.collect()));
        out.push(Action::Send(self.health_envelope(message)));
        self.tell_checkpoint(now, out);
        for Alert { name, level, message } in &alerts {
            if self.raised.insert(name) {
                self.alert(name, *level, "raised", message, now, out);
            }
        }
        let over: Vec<&'static str> = self
            .raised
            .iter()
            .copied()
            .filter(|name| alerts.iter().all(|alert| alert.name != *name))
            .collect();
        for name in over {
            self.raised.remove(name);
            self.alert(
                name,
                Level::Healthy,
                "cleared",
                &format!("{name} is as it should be again"),
                now,
                out,
            );
        }
    }

    pub(super) fn alert(
        &mut self,
        name: &str,
        level: Level,
        state: &str,
        text: &str,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        let Tuning { alerts, alerts_by_mqtt, .. } = self.options.tuning;
        if !(alerts && alerts_by_mqtt) {
            return;
        }
        let mut message = self.head(now);
        message.insert("alert_type".to_owned(), json!(name));
        message.insert("level".to_owned(), json!(level.as_str()));
        message.insert("state".to_owned(), json!(state));
        message.insert("message".to_owned(), json!(text));
        out.push(Action::Send(durable(MessageClass::Alert, self.topics.alerts(), message)));
    }

    /// Not retained: no will of ours could take it back.
    fn tell_checkpoint(&mut self, now: Time, out: &mut Vec<Action>) {
        let status = match self.camera {
            CameraState::Active => "active",
            CameraState::Inactive => "inactive",
            CameraState::Failing => "error",
        };
        let mut message = self.head(now);
        message.insert("checkpoint_id".to_owned(), json!(self.options.checkpoint_id));
        message.insert("status".to_owned(), json!(status));
        message.insert("health_status".to_owned(), json!(self.level.as_str()));
        let envelope = envelope(MessageClass::Presence, self.topics.checkpoint("status"), message);
        out.push(Action::Send(Envelope { retain: false, ..envelope }));
    }

    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.next_health.is_none_or(|due| now >= due) {
            // Asked for now, told when it was measured.
            self.next_health = Some(now + HEALTH_EVERY);
            out.push(Action::Measure);
        }
        self.send_gathered(false, now, out);
        let since = *self.sum.since.get_or_insert(now);
        let period = now.since(since);
        if period < self.options.analytics_every {
            return;
        }
        let Sum { vehicles, plates, wanted, confidence, .. } =
            std::mem::replace(&mut self.sum, Sum { since: Some(now), ..Sum::default() });
        let mut message = self.head(now);
        for (key, value) in [
            ("checkpoint_id", json!(self.options.checkpoint_id)),
            ("period_seconds", json!(period.as_secs())),
            ("vehicles_count", json!(vehicles)),
            ("plates_count", json!(plates)),
            ("blacklist_matches", json!(wanted)),
        ] {
            message.insert(key.to_owned(), value);
        }
        if vehicles > 0 {
            message.insert("average_confidence".to_owned(), json!(rounded(confidence / vehicles as f64)));
        }
        out.push(Action::Send(envelope(
            MessageClass::Telemetry,
            self.topics.checkpoint("analytics"),
            message,
        )));
    }

    pub(super) fn health_envelope(&self, message: Map<String, Value>) -> Envelope {
        let envelope = envelope(MessageClass::Presence, self.topics.health(), message);
        Envelope { qos: Qos::AtMostOnce, ..envelope }
    }
}

/// Left, top, right, bottom in whole pixels; what is no number is 0.
fn corners(bbox: &BBox) -> [i64; 4] {
    [bbox.left, bbox.top, bbox.right(), bbox.bottom()].map(|edge| edge.round() as i64)
}
