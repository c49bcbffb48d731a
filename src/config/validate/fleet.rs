//! The rules of `[fleet]`.

use std::time::Duration;

use super::{Checked, Validator, raw};
use crate::config::schema::quoted;
use crate::control::FrameQuality;
use crate::fleet::{self, Tuning};

/// What the server takes for a name.
const NAME: &str = "letters, digits and _";

impl Validator<'_> {
    pub(super) fn fleet(&mut self, raw: &raw::Fleet) -> Checked<Option<fleet::Options>> {
        let prefix = self.prefix("fleet.prefix", &raw.prefix);
        let recording = self.fleet_recording();
        let camera = self.fleet_name("fleet.camera_id", raw.camera_id.as_deref());
        let checkpoint = self.fleet_name("fleet.checkpoint_id", raw.checkpoint_id.as_deref());
        let wired = self.fleet_is_wired(raw.enabled);
        prefix?;
        recording?;
        wired?;
        let (camera, checkpoint) = (camera?, checkpoint?);
        if !raw.enabled {
            return Ok(None);
        }
        let camera_id = match camera {
            Some(name) => name,
            None => self.fleet_name_by_default()?,
        };
        Ok(Some(fleet::Options {
            prefix: raw.prefix.clone(),
            checkpoint_id: checkpoint.unwrap_or_else(|| camera_id.clone()),
            camera_id,
            system_commands: raw.system_commands,
            confusable: raw.confusable.clone(),
            analytics_every: Duration::from_secs(u64::from(raw.analytics_every_s)),
            tuning: self.fleet_tuning(raw),
        }))
    }

    /// Asked also where another fault hides the section: the server wants to hear of all of them.
    pub(super) fn fleet_recording(&mut self) -> Checked<()> {
        let key = "fleet.enable_recording";
        if self.json_at(key).as_bool() == Some(true) && !self.faults.touch(key) {
            return self.refuse(key, "true", "no video is kept");
        }
        Ok(())
    }

    /// Its orders need a desk.
    fn fleet_is_wired(&mut self, enabled: bool) -> Checked<()> {
        if enabled && self.json_at("control.enabled").as_bool() == Some(false) {
            let reason =
                "its orders are judged by [control], which is switched off; set control.enabled = true";
            return self.refuse("fleet.enabled", "true", reason);
        }
        Ok(())
    }

    /// The camera's own id, where the server takes it.
    fn fleet_name_by_default(&mut self) -> Checked<String> {
        let id = self.json_at("camera.id").as_str().unwrap_or_default().to_owned();
        // A missing id has a fault of its own.
        if !id.is_empty() && !fleet::is_name(&id) {
            let reason = format!("camera.id is {}, and the server takes {NAME}; set this key", quoted(&id));
            return self.refuse("fleet.camera_id", "nothing", reason);
        }
        Ok(id)
    }

    fn fleet_name(&mut self, key: &str, name: Option<&str>) -> Checked<Option<String>> {
        match name {
            Some(name) if !fleet::is_name(name) => self.not_allowed(key, quoted(name), NAME),
            name => Ok(name.map(str::to_owned)),
        }
    }

    fn fleet_tuning(&self, raw: &raw::Fleet) -> Tuning {
        let quality = self.json_at("control.frame_quality");
        Tuning {
            detection_interval: Duration::from_millis(u64::from(raw.detection_interval_ms)),
            confidence_min: raw.confidence_min,
            vehicles_max: raw.vehicles_max as usize,
            // What is wrong with it is said where it stands.
            image_quality: serde_json::from_value(quality.clone()).unwrap_or(FrameQuality::default()),
            alerts: raw.alerts,
            alerts_by_mqtt: raw.notification_channels.contains(&raw::Channel::Mqtt),
            alert_confidence_min: raw.alert_confidence_min,
            near_matches: raw.near_matches,
        }
    }
}
