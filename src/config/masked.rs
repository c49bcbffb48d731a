//! Texts that may hold a password, shown without it.

use std::fmt;

use schemars::JsonSchema;

use crate::base::without_url_secrets;

/// A text that may hold a URL with secrets (`rtsp://user:password@host/?token=...`); they are not shown.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Masked(String);

impl Masked {
    /// The text with its secrets.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&without_url_secrets(&self.0), f)
    }
}

impl serde::Serialize for Masked {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_url_secrets(&self.0))
    }
}
