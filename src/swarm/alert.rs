//! Alerts: one incident of the site in the words of operators.
//!
//! [`message`] turns what is known of an [`Incident`] into an [`AlertMessage`]. It decides nothing: which incident
//! gets an alert, in which state, and which camera publishes it is the task of [`consensus`](super::consensus).
//! Every value that the contract bounds is cut to its bound, so that a long zone name or a time after the year
//! 9999 never keeps an alert from leaving. A number that is not finite makes the message unsendable, as in every
//! other family.
//!
//! Pure: no clock. Meters on the site's ground plane, milliseconds since the epoch, probabilities 0..1.

use super::bounded::Text;
use super::message::{AlertMessage, AlertState, EventKey, Name, Position, Rule};
use super::wire::{COUNT_MAX, Count, Fraction, MILLIS_MAX, Real, Utc};
use crate::base::rfc3339;
use crate::model::{CameraId, Class, EventType, Point, Severity};

/// What is known of one incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Key, the same in all alerts on the incident.
    pub key: EventKey,
    /// Name of the site, when one is configured.
    pub site: Option<String>,
    /// Kind.
    pub kind: EventType,
    /// State.
    pub state: AlertState,
    /// Severity.
    pub severity: Severity,
    /// Probability by all votes, 0..1.
    pub probability: f64,
    /// Expected time of a forecast, else the time at which it began to happen.
    pub expected_ms: u64,
    /// Time of the first claim.
    pub first_ms: u64,
    /// Time of the present change; taken as `first_ms` when it is before that.
    pub updated_ms: u64,
    /// Place.
    pub position_m: Point,
    /// Zone.
    pub zone: Option<String>,
    /// Class of the main track.
    pub class: Class,
    /// Number of the person or vehicle on the site.
    pub global_id: Option<u64>,
    /// Number of cameras that were asked.
    pub asked: usize,
    /// Number of cameras that confirm.
    pub confirming: usize,
    /// Rule of the claim that provides the key.
    pub rule: Option<Rule>,
}

/// Returns the alert on an incident as `published_by` publishes it.
pub fn message(incident: &Incident, published_by: &CameraId) -> AlertMessage {
    let utc = |ms: u64| Utc(ms.min(MILLIS_MAX));
    let count = |n: usize| Count(u64::try_from(n).unwrap_or(u64::MAX).min(COUNT_MAX));
    let expected = utc(incident.expected_ms);
    AlertMessage {
        key: incident.key.clone(),
        site: incident.site.as_deref().map(Name::cut),
        kind: incident.kind,
        event_type: incident.kind,
        severity: incident.severity,
        severity_word: incident.severity,
        state: incident.state,
        probability: Fraction(incident.probability),
        expected: (incident.state == AlertState::Forecast).then_some(expected),
        first: utc(incident.first_ms),
        updated: utc(incident.updated_ms.max(incident.first_ms)),
        position: Position { x: Real(incident.position_m.x), y: Real(incident.position_m.y), z: Real(0.0) },
        zone: incident.zone.as_deref().map(Name::cut),
        class: incident.class,
        global_id: incident.global_id.filter(|id| *id <= COUNT_MAX).map(Count),
        cameras_asked: count(incident.asked),
        cameras_confirming: count(incident.confirming),
        rule: incident.rule.clone(),
        text: Text::cut(&sentence(incident)),
        published_by: published_by.clone(),
    }
}

/// Returns the sentence: what, where, its state with a time, and how many cameras confirm.
fn sentence(incident: &Incident) -> String {
    let updated_ms = incident.updated_ms.max(incident.first_ms);
    let since = time_of_day(incident.expected_ms, updated_ms);
    let now = time_of_day(updated_ms, updated_ms);
    let state = match incident.state {
        AlertState::Forecast => {
            let percent = (incident.probability.clamp(0.0, 1.0) * 100.0).round();
            format!("expected at {since} with a probability of {percent:.0} %")
        }
        AlertState::Happening => format!("happening since {since}"),
        AlertState::Over => format!("over since {now}, began at {since}"),
        AlertState::Retracted => format!("retracted at {now}"),
    };
    let what = title(incident.kind);
    format!("{what} {}: {state}, {}.", place(incident), votes(incident))
}

/// Returns the kind as the beginning of a sentence.
fn title(kind: EventType) -> &'static str {
    match kind {
        EventType::Loitering => "Loitering",
        EventType::Theft => "Theft",
        EventType::Assault => "Assault",
        EventType::Vandalism => "Vandalism",
        EventType::Trespassing => "Trespassing",
        EventType::SuspiciousBehavior => "Suspicious behavior",
        EventType::Collision => "Collision",
        EventType::Fall => "Fall",
        EventType::AbandonedObject => "Abandoned object",
        EventType::CrowdFormation => "Crowd formation",
    }
}

fn place(incident: &Incident) -> String {
    match &incident.zone {
        // The name may come from another camera.
        Some(zone) => {
            let zone: String = zone.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            format!("in zone {}", Name::cut(&zone).as_str())
        }
        None => format!("at x {:.1} m, y {:.1} m", incident.position_m.x, incident.position_m.y),
    }
}

fn votes(incident: &Incident) -> String {
    let Incident { asked, confirming, .. } = *incident;
    if asked <= 1 {
        return "only one camera watches the place".to_owned();
    }
    let verb = match incident.state {
        AlertState::Over => "confirmed",
        _ if confirming == 1 => "confirms",
        _ => "confirm",
    };
    format!("{confirming} of {asked} cameras {verb}")
}

/// Returns a time as `12:03:05 UTC`, with its date in front when that is not the date of `today_ms`.
fn time_of_day(ms: u64, today_ms: u64) -> String {
    let [text, today] = [ms, today_ms].map(|ms| rfc3339(ms.min(MILLIS_MAX)));
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    let time = time.split('.').next().unwrap_or_default();
    if today.starts_with(date) { format!("{time} UTC") } else { format!("{date} {time} UTC") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::bounded::Map;
    use crate::swarm::codec;
    use crate::swarm::topic::Prefix;

    /// 2026-11-20 12:03:05 UTC.
    const NOON_MS: u64 = 1_795_176_185_000;

    fn camera(name: &str) -> CameraId {
        CameraId::parse(name).unwrap()
    }

    fn incident(state: AlertState) -> Incident {
        let entry = [(Name::cut("dwell_s"), Real(2.0))];
        Incident {
            key: EventKey { camera: camera("gate"), boot_ms: 1_795_170_000_000, event_id: 4 },
            site: Some("harbor".to_owned()),
            kind: EventType::Trespassing,
            state,
            severity: Severity::High,
            probability: 0.9,
            expected_ms: NOON_MS,
            first_ms: NOON_MS - 7_000,
            updated_ms: NOON_MS + 65_000,
            position_m: Point::new(12.0, -3.25),
            zone: Some("dock".to_owned()),
            class: Class::Person,
            global_id: Some(77),
            asked: 3,
            confirming: 2,
            rule: Some(Rule {
                name: Name::cut("trespassing"),
                thresholds: Map::default(),
                measured: Map::cut(entry),
            }),
        }
    }

    fn text(incident: &Incident) -> String {
        message(incident, &camera("yard")).text.as_str().to_owned()
    }

    fn json(incident: &Incident) -> String {
        let mut buffer = Vec::new();
        codec::encode(&message(incident, &camera("yard")), &mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn the_sentence_names_kind_place_state_time_and_votes() {
        assert_eq!(
            text(&incident(AlertState::Forecast)),
            "Trespassing in zone dock: expected at 12:03:05 UTC with a probability of 90 %, 2 of 3 cameras confirm."
        );
        assert_eq!(
            text(&incident(AlertState::Happening)),
            "Trespassing in zone dock: happening since 12:03:05 UTC, 2 of 3 cameras confirm."
        );
        assert_eq!(
            text(&incident(AlertState::Over)),
            "Trespassing in zone dock: over since 12:04:10 UTC, began at 12:03:05 UTC, 2 of 3 cameras confirmed."
        );
        let one = Incident { confirming: 1, zone: None, ..incident(AlertState::Retracted) };
        assert_eq!(
            text(&one),
            "Trespassing at x 12.0 m, y -3.2 m: retracted at 12:04:10 UTC, 1 of 3 cameras confirms."
        );
    }

    #[test]
    fn one_camera_alone_is_named_as_such() {
        let alone = Incident { asked: 1, confirming: 1, ..incident(AlertState::Happening) };
        assert!(text(&alone).ends_with("UTC, only one camera watches the place."), "{}", text(&alone));
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let long = Incident { updated_ms: NOON_MS + 86_400_000, ..incident(AlertState::Over) };
        assert_eq!(
            text(&long),
            "Trespassing in zone dock: over since 12:03:05 UTC, began at 2026-11-20 12:03:05 UTC, 2 of 3 cameras confirmed."
        );
    }

    #[test]
    fn an_alert_has_exactly_the_keys_of_the_contract_and_reals_have_a_decimal_point() {
        assert_eq!(
            json(&incident(AlertState::Forecast)),
            concat!(
                r#"{"key":"gate/1795170000000/4","site":"harbor","type":"trespassing","event_type":5,"severity":3,"#,
                r#""severity_word":"high","state":"forecast","probability":0.9,"expected":"2026-11-20T12:03:05.000Z","#,
                r#""first":"2026-11-20T12:02:58.000Z","updated":"2026-11-20T12:04:10.000Z","#,
                r#""position":{"x":12.0,"y":-3.25,"z":0.0},"zone":"dock","class":"person","global_id":77,"#,
                r#""cameras_asked":3,"cameras_confirming":2,"#,
                r#""rule":{"name":"trespassing","thresholds":{},"measured":{"dwell_s":2.0}},"#,
                r#""text":"Trespassing in zone dock: expected at 12:03:05 UTC with a probability of 90 %, 2 of 3 cameras confirm.","#,
                r#""published_by":"yard"}"#
            )
        );
    }

    #[test]
    fn what_is_not_known_is_absent_and_only_a_forecast_is_expected() {
        let bare = Incident {
            site: None,
            zone: None,
            global_id: None,
            rule: None,
            class: Class::Unknown,
            ..incident(AlertState::Happening)
        };
        let json = json(&bare);
        for key in ["site", "zone", "global_id", "rule", "expected"] {
            assert!(!json.contains(&format!("\"{key}\":")), "{key} in {json}");
        }
        assert!(json.contains("\"class\":\"unknown\""));
    }

    #[test]
    fn names_and_times_beyond_the_bounds_still_make_a_message_that_can_be_read() {
        let wild = Incident {
            zone: Some("\u{7}ö".repeat(500)),
            site: Some("s".repeat(500)),
            expected_ms: u64::MAX,
            first_ms: u64::MAX,
            global_id: Some(u64::MAX),
            asked: usize::MAX,
            confirming: usize::MAX,
            ..incident(AlertState::Forecast)
        };
        let topic = "omnisight/swarm/alerts/gate/4";
        let at = Prefix::default().parse_topic(topic).unwrap();
        assert!(codec::decode(topic, at, json(&wild).as_bytes()).is_ok());
        assert!(!text(&wild).chars().any(char::is_control));
    }
}
