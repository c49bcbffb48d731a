//! The server's names for our settings, in both directions.
//!
//! An update becomes settings of the one command `set`, which judges all of them together and names every
//! fault; nothing is judged here. What has no counterpart keeps its name under `fleet.`, where the judge finds
//! no such key and says so; a name with a point in it (`tracker.iou_min`) is a setting of ours already.
//! `recording_duration` alone means nothing, as there are no recordings, and is left out.

use serde_json::{Map, Value, json};

use super::Tuning;
use crate::control::Settings;

/// The server's names and ours.
const NAMES: [(&str, &str); 8] = [
    ("detection_interval", "fleet.detection_interval_ms"),
    ("confidence_threshold", "fleet.confidence_min"),
    ("max_vehicles_per_frame", "fleet.vehicles_max"),
    ("image_quality", "control.frame_quality"),
    ("enable_recording", "fleet.enable_recording"),
    ("alert_settings.enable_alerts", "fleet.alerts"),
    ("alert_settings.alert_confidence_threshold", "fleet.alert_confidence_min"),
    ("alert_settings.notification_channels", "fleet.notification_channels"),
];
/// The object within an update.
const NESTED: &str = "alert_settings";
/// A key that says nothing by itself.
const MEANINGLESS: &str = "recording_duration";

/// What an update asks for.
pub(super) fn from_update(config_data: &Map<String, Value>) -> Settings {
    let mut settings = Settings::new();
    let mut take = |name: &str, value: &Value| {
        let known = NAMES.iter().find(|(theirs, _)| *theirs == name);
        let key = match known {
            Some((_, ours)) => (*ours).to_owned(),
            None if name.contains('.') && !name.starts_with(NESTED) => name.to_owned(),
            None => format!("fleet.{name}"),
        };
        settings.insert(key, value.clone());
    };
    for (name, value) in config_data {
        match value {
            Value::Object(nested) if name == NESTED => {
                for (inner, value) in nested {
                    take(&format!("{NESTED}.{inner}"), value);
                }
            }
            _ if name == MEANINGLESS => {}
            _ => take(name, value),
        }
    }
    settings
}

/// A sentence about our settings in the server's names.
pub(super) fn in_their_names(text: &str) -> String {
    let named = NAMES.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(ours, theirs));
    // What has no counterpart was asked for under its own name.
    named.replace("runtime setting: ", "").replace("fleet.", "")
}

/// What is in force, as the server calls it.
pub(super) fn to_config(tuning: &Tuning) -> Value {
    json!({
        "detection_interval": tuning.detection_interval.as_millis() as u64,
        "confidence_threshold": tuning.confidence_min,
        "max_vehicles_per_frame": tuning.vehicles_max,
        "image_quality": tuning.image_quality.as_str(),
        "enable_recording": false,
        "alert_settings": {
            "enable_alerts": tuning.alerts,
            "alert_confidence_threshold": tuning.alert_confidence_min,
            "notification_channels": if tuning.alerts_by_mqtt { vec!["mqtt"] } else { vec![] },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_an_update_becomes_a_setting_under_our_name_for_it() {
        let update = json!({"detection_interval": 1000, "recording_duration": 30, "colour": "red",
            "tracker.iou_min": 0.2, "alert_settings": {"enable_alerts": true, "loudness": 11}});
        let settings = from_update(update.as_object().unwrap());
        let keys: Vec<&str> = settings.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "fleet.alert_settings.loudness",
                "fleet.alerts",
                "fleet.colour",
                "fleet.detection_interval_ms",
                "tracker.iou_min"
            ]
        );
    }

    #[test]
    fn a_fault_is_told_in_the_servers_own_words() {
        let fault = "runtime setting: fleet.alert_confidence_min: found 1.5, allowed: a number from 0 to 1";
        assert_eq!(
            in_their_names(fault),
            "alert_settings.alert_confidence_threshold: found 1.5, allowed: a number from 0 to 1"
        );
    }

    #[test]
    fn what_is_in_force_can_be_sent_back_as_an_update() {
        let config = to_config(&Tuning::default());
        let settings = from_update(config.as_object().unwrap());
        assert_eq!(settings.len(), NAMES.len());
        assert!(NAMES.iter().all(|(_, ours)| settings.contains_key(*ours)));
    }
}
