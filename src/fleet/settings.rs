//! The server's names for our settings, in both directions.
//!
//! An update becomes settings of the one command `set`, which judges all of them together and names every
//! fault; nothing is judged here. What has no counterpart keeps its name under `fleet.`, where the judge finds
//! no such key and says so; a name with a point in it (`tracker.iou_min`) is a setting of ours already.
//! Keys that the camera understands and cannot serve (a recording, a notification channel other than MQTT) are no
//! faults: the rest is applied without them, and each is named ([`Asked::ignored`]).

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
/// The keys of a recording: whether there is one, and its length.
const RECORDING: [&str; 2] = ["enable_recording", "recording_duration"];
/// The key of the ways for alerts, and the one way there is.
const CHANNELS: &str = "alert_settings.notification_channels";
const CHANNEL: &str = "mqtt";
/// Most keys and channels that are named as ignored.
const IGNORED_MAX: usize = 16;
/// As much of a foreign channel as is named, bytes.
const CHANNEL_BYTES_MAX: usize = 64;

/// What an update asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Asked {
    /// Settings to be judged and applied as a whole.
    pub(super) settings: Settings,
    /// What cannot be served, a sentence for each, in the server's names.
    pub(super) ignored: Vec<String>,
}

/// Reads an update.
pub(super) fn from_update(config_data: &Map<String, Value>) -> Asked {
    let Asked { mut settings, mut ignored } = Asked::default();
    let mut take = |name: &str, value: &Value| {
        let value = match (name, value) {
            (CHANNELS, Value::Array(channels)) => &served(channels, &mut ignored),
            // False is what is so.
            (name, value) if name == RECORDING[1] || (name == RECORDING[0] && *value == json!(true)) => {
                return ignored.push(format!("{name}: this camera keeps no video"));
            }
            (_, value) => value,
        };
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
            _ => take(name, value),
        }
    }
    ignored.truncate(IGNORED_MAX);
    Asked { settings, ignored }
}

/// The channels without those that the camera does not have; what is no channel stays, to be judged.
fn served(channels: &[Value], ignored: &mut Vec<String>) -> Value {
    let mut served: Vec<Value> = Vec::new();
    for channel in channels {
        let value = match channel.as_str() {
            Some(name) if name.eq_ignore_ascii_case(CHANNEL) => json!(CHANNEL),
            Some(name) => {
                let name = &name[..name.floor_char_boundary(CHANNEL_BYTES_MAX)];
                ignored.push(format!("{CHANNELS}: {name:?}: this camera alerts by {CHANNEL:?} alone"));
                continue;
            }
            None => channel.clone(),
        };
        if !served.contains(&value) {
            served.push(value);
        }
    }
    Value::Array(served)
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
            "notification_channels": if tuning.alerts_by_mqtt { vec![CHANNEL] } else { vec![] },
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
        let Asked { settings, ignored } = from_update(update.as_object().unwrap());
        assert_eq!(ignored, ["recording_duration: this camera keeps no video"]);
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
    fn channels_and_recordings_that_cannot_be_served_are_left_out_and_named() {
        // As the reference server sends it.
        let update = json!({"confidence_threshold": 0.8, "enable_recording": true, "recording_duration": 30,
            "alert_settings": {"notification_channels": ["websocket", "rest_api", "mqtt"]}});
        let Asked { settings, ignored } = from_update(update.as_object().unwrap());
        assert_eq!(settings["fleet.notification_channels"], json!(["mqtt"]));
        assert_eq!((settings.len(), ignored.len()), (2, 4), "{settings:?} {ignored:?}");
        for name in ["enable_recording", "recording_duration", "\"websocket\"", "\"rest_api\""] {
            assert!(ignored.iter().any(|sentence| sentence.contains(name)), "{name}: {ignored:?}");
        }
        let only = json!({"alert_settings": {"notification_channels": ["email", 3]}});
        let settings = from_update(only.as_object().unwrap()).settings;
        assert_eq!(settings["fleet.notification_channels"], json!([3]), "what is no channel is a fault");
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
        let Asked { settings, ignored } = from_update(config.as_object().unwrap());
        assert_eq!((settings.len(), ignored.len()), (NAMES.len(), 0));
        assert!(NAMES.iter().all(|(_, ours)| settings.contains_key(*ours)));
    }
}
