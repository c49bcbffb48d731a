//! Passwords, and texts that may hold one, that do not show.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A text that never appears in a log, a `Debug`, an answer or the printed configuration.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What is shown in its place.
    pub const HIDDEN: &'static str = "***";

    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::HIDDEN)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 1024, "writeOnly": true })
    }
}

/// A text that may hold a URL with credentials (`rtsp://user:password@host/`); they are not shown.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Masked(String);

impl Masked {
    /// The text with its credentials.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&without_credentials(&self.0), f)
    }
}

impl serde::Serialize for Masked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_credentials(&self.0))
    }
}

/// Replaces what stands between `://` and the last `@` of the same word.
///
/// A password may hold any character, a slash too, so that rather too much is hidden than too little.
pub(super) fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (i, word) in text.split("://").enumerate() {
        if i == 0 {
            shown.push_str(word);
            continue;
        }
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        let hidden = word[..end].rfind('@').unwrap_or(0);
        shown.push_str("://");
        if hidden > 0 {
            shown.push_str(Secret::HIDDEN);
        }
        shown.push_str(&word[hidden..]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_neither_in_debug_nor_in_json() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** \"***\"");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn credentials_of_a_url_are_masked_and_nothing_else() {
        let of = without_credentials;
        assert_eq!(of("rtsp://u:p@host/a"), "rtsp://***@host/a");
        assert_eq!(of("-i rtsp://u:p/@p@host/a http://x/y"), "-i rtsp://***@host/a http://x/y");
        assert_eq!(of("a@b://c"), "a@b://c");
        assert_eq!(of("/videos/gate.mp4"), "/videos/gate.mp4");
    }
}
