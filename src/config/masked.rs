//! Texts that may hold a password, shown without it.

use std::fmt;

use schemars::JsonSchema;

use crate::base::Secret;

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
    fn credentials_of_a_url_are_masked_and_nothing_else() {
        let of = without_credentials;
        assert_eq!(of("rtsp://u:p@host/a"), "rtsp://***@host/a");
        assert_eq!(of("-i rtsp://u:p/@p@host/a http://x/y"), "-i rtsp://***@host/a http://x/y");
        assert_eq!(of("a@b://c"), "a@b://c");
        assert_eq!(of("/videos/gate.mp4"), "/videos/gate.mp4");
    }
}
