//! Values that must not be seen.

use std::fmt;

/// A password or a token: it never shows in a log, a `Debug` or a `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the clear text.
    pub fn new(clear_text: impl Into<String>) -> Self {
        Self(clear_text.into())
    }

    /// The clear text, for the one place that must send or compare it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
