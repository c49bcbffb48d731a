//! What the daemon can be told to do, whoever says it.
//!
//! [`Command`] is the only way to tell the daemon to do something: the control plane, the fleet topics and
//! every surface to come make one of these, so that one permission check and one reply path serve all.
//! Reading a word and its parameters is liberal (any case, unknown parameters are ignored) and safe
//! (everything that is kept has a bound). Nothing here does anything.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Rejection;

/// Most settings in one `set`.
pub const SETTINGS_MAX: usize = 64;
/// Longest path of a setting, bytes.
pub const SETTING_KEY_BYTES_MAX: usize = 128;
/// Words of a command are shorter; of a longer one only the beginning is told back, bytes.
pub(super) const WORD_BYTES_MAX: usize = 64;

/// A command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Stop capture and inference, keep the links.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Drain, say goodbye, end the process with code 0.
    Stop,
    /// The same, and start again.
    Restart,
    /// Tell the state, and publish it again.
    Status,
    /// Publish the measurements now.
    Metrics,
    /// Tell what works and what does not.
    Health,
    /// Switch the adaptive region of interest.
    ToggleCrop,
    /// Tell how detections became tracks.
    StabilizationStats,
    /// A picture of now.
    Snapshot,
    /// Read the configuration again.
    Reload,
    /// Change settings while running.
    Set,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Pause,
        Self::Resume,
        Self::Stop,
        Self::Restart,
        Self::Status,
        Self::Metrics,
        Self::Health,
        Self::ToggleCrop,
        Self::StabilizationStats,
        Self::Snapshot,
        Self::Reload,
        Self::Set,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Status => "status",
            Self::Metrics => "metrics",
            Self::Health => "health",
            Self::ToggleCrop => "toggle_crop",
            Self::StabilizationStats => "stabilization_stats",
            Self::Snapshot => "snapshot",
            Self::Reload => "reload",
            Self::Set => "set",
        }
    }

    /// The command of that name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// It changes nothing: to do it again does no harm.
    pub fn only_asks(self) -> bool {
        matches!(self, Self::Status | Self::Metrics | Self::Health | Self::StabilizationStats)
    }

    /// It takes so long that whoever asked is told first that it was accepted.
    pub fn is_long(self) -> bool {
        matches!(self, Self::Stop | Self::Restart | Self::Reload | Self::Set)
    }

    /// The process ends by it.
    pub fn ends_the_process(self) -> bool {
        matches!(self, Self::Stop | Self::Restart)
    }
}

/// Settings by their path (`tracker.iou_min`); `null` takes one back.
pub type Settings = BTreeMap<String, Value>;

/// A command with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// See [`Word::Pause`].
    Pause,
    /// See [`Word::Resume`].
    Resume,
    /// See [`Word::Stop`].
    Stop,
    /// See [`Word::Restart`].
    Restart,
    /// See [`Word::Status`].
    Status,
    /// See [`Word::Metrics`].
    Metrics,
    /// See [`Word::Health`].
    Health,
    /// See [`Word::ToggleCrop`].
    ToggleCrop {
        /// On or off; the other way round than it is when not given.
        enabled: Option<bool>,
    },
    /// See [`Word::StabilizationStats`].
    StabilizationStats,
    /// See [`Word::Snapshot`].
    Snapshot,
    /// See [`Word::Reload`].
    Reload,
    /// See [`Word::Set`]; without settings it changes nothing and shows what is set.
    Set(Settings),
}

impl Command {
    /// Its name.
    pub fn word(&self) -> Word {
        match self {
            Self::Pause => Word::Pause,
            Self::Resume => Word::Resume,
            Self::Stop => Word::Stop,
            Self::Restart => Word::Restart,
            Self::Status => Word::Status,
            Self::Metrics => Word::Metrics,
            Self::Health => Word::Health,
            Self::ToggleCrop { .. } => Word::ToggleCrop,
            Self::StabilizationStats => Word::StabilizationStats,
            Self::Snapshot => Word::Snapshot,
            Self::Reload => Word::Reload,
            Self::Set(_) => Word::Set,
        }
    }

    /// Takes a word and the parameters that came with it.
    pub fn parse(word: &str, parameters: &Map<String, Value>) -> Result<Self, Rejection> {
        let known = Word::parse(word).ok_or_else(|| unknown(word))?;
        Ok(match known {
            Word::Pause => Self::Pause,
            Word::Resume => Self::Resume,
            Word::Stop => Self::Stop,
            Word::Restart => Self::Restart,
            Word::Status => Self::Status,
            Word::Metrics => Self::Metrics,
            Word::Health => Self::Health,
            Word::ToggleCrop => Self::ToggleCrop { enabled: switch(parameters)? },
            Word::StabilizationStats => Self::StabilizationStats,
            Word::Snapshot => Self::Snapshot,
            Word::Reload => Self::Reload,
            Word::Set => Self::Set(settings(parameters)?),
        })
    }
}

fn unknown(word: &str) -> Rejection {
    let shown = cut(word);
    let distance = |known: &Word| strsim::osa_distance(known.as_str(), &shown.to_ascii_lowercase());
    let nearest = Word::ALL.into_iter().min_by_key(distance).filter(|known| distance(known) <= 2);
    Rejection::UnknownCommand { word: shown.to_owned(), nearest }
}

/// As much of a foreign word as is told back.
pub(super) fn cut(word: &str) -> &str {
    &word[..word.floor_char_boundary(WORD_BYTES_MAX)]
}

fn switch(parameters: &Map<String, Value>) -> Result<Option<bool>, Rejection> {
    match parameters.get("enabled") {
        None => Ok(None),
        Some(Value::Bool(enabled)) => Ok(Some(*enabled)),
        Some(other) => Err(Rejection::WrongType { key: "parameters.enabled", found: kind_of(other) }),
    }
}

fn settings(parameters: &Map<String, Value>) -> Result<Settings, Rejection> {
    if parameters.len() > SETTINGS_MAX {
        let found = parameters.len();
        return Err(Rejection::BadParameters(format!("{found} settings, at most {SETTINGS_MAX} at once")));
    }
    if let Some(key) = parameters.keys().find(|key| key.is_empty() || key.len() > SETTING_KEY_BYTES_MAX) {
        let length = key.len();
        let limit = SETTING_KEY_BYTES_MAX;
        return Err(Rejection::BadParameters(format!("a key of {length} bytes, 1 to {limit} are allowed")));
    }
    Ok(parameters.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// What kind of JSON value it is, for the sender.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(word: &str, parameters: &Value) -> Result<Command, Rejection> {
        Command::parse(word, parameters.as_object().unwrap())
    }

    #[test]
    fn every_word_is_read_in_any_case_and_is_its_commands_name() {
        for word in Word::ALL {
            let command = parse(&word.as_str().to_uppercase(), &json!({})).unwrap();
            assert_eq!(command.word(), word);
        }
    }

    #[test]
    fn a_word_that_is_nearly_one_of_ours_is_told_so() {
        let unknown = |word: &str| parse(word, &json!({})).unwrap_err().to_string();
        assert!(unknown("puase").ends_with("did you mean pause?"), "{}", unknown("puase"));
        assert!(!unknown("make_coffee").contains("did you mean"));
        assert!(unknown(&"x".repeat(100_000)).len() < 400);
    }

    #[test]
    fn parameters_of_the_wrong_type_are_refused_and_unknown_ones_ignored() {
        assert!(parse("toggle_crop", &json!({"enabled": "yes"})).is_err());
        let on = Command::ToggleCrop { enabled: Some(true) };
        assert_eq!(parse("toggle_crop", &json!({"enabled": true, "colour": 1})), Ok(on));
        assert_eq!(parse("pause", &json!({"for": 10})), Ok(Command::Pause));
    }

    #[test]
    fn settings_are_bounded_in_number_and_length_of_their_keys() {
        let many: Map<_, _> = (0..=SETTINGS_MAX).map(|i| (format!("a.{i}"), json!(1))).collect();
        assert!(Command::parse("set", &many).is_err());
        assert!(parse("set", &json!({"": 1})).is_err());
        assert!(parse("set", &json!({"tracker.iou_min": 0.2})).is_ok());
    }
}
