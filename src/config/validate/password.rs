//! Where a password comes from: the text itself, a file, or a secret that is only named; and the secrets that
//! stand by name in a stream's URL: `rtsp://me:{secret:gate}@192.168.1.20/stream1`.
//!
//! It is read here (at most [`PASSWORD_FILE_BYTES_MAX`]), so that a missing one is a fault of the
//! configuration and not a failed login in the middle of the night.

use std::io::Read;
use std::path::Path;

use super::{Checked, Validator};
use crate::base::{Secret, encode_url_component, without_mark};
use crate::config::raw;
use crate::config::schema::quoted;
use crate::secrets::{Places, SecretName, SecretStore};

/// A password file's first line is the password; a larger file is none.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;

/// What a secret's name follows in a stream's URL.
const SECRET_BEGIN: &str = "{secret:";

/// The keys that a password may stand in, of which one may be set.
pub(super) struct PasswordKeys<'a> {
    /// `password`
    pub(super) text: Option<&'a Secret>,
    /// `password_file`
    pub(super) file: Option<&'a Path>,
    /// `password_secret`
    pub(super) secret: Option<&'a str>,
}

impl PasswordKeys<'_> {
    /// None of them is set.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_none() && self.file.is_none() && self.secret.is_none()
    }
}

impl Validator<'_> {
    /// The password of the table at `path`, if there is one.
    pub(super) fn password(&mut self, path: &str, keys: &PasswordKeys<'_>) -> Checked<Option<Secret>> {
        match keys {
            PasswordKeys { text, file: None, secret: None } => Ok(text.cloned()),
            PasswordKeys { text: None, file: Some(file), secret: None } => {
                let found = quoted(&file.display().to_string());
                read_password(file)
                    .map(Some)
                    .or_else(|reason| self.refuse(&format!("{path}.password_file"), found, reason))
            }
            PasswordKeys { text: None, file: None, secret: Some(name) } => {
                self.named_secret(&format!("{path}.password_secret"), name).map(Some)
            }
            PasswordKeys { file: Some(file), .. } => {
                let found = quoted(&file.display().to_string());
                let reason = "the password stands in another key, too (password, password_secret); keep one";
                self.refuse(&format!("{path}.password_file"), found, reason)
            }
            PasswordKeys { secret, .. } => {
                let reason = "there is password, too; keep one of the two";
                self.refuse(&format!("{path}.password_secret"), quoted(secret.unwrap_or_default()), reason)
            }
        }
    }

    /// A stream's URL with the secrets that it names in their places, percent-encoded.
    pub(super) fn with_secrets(&mut self, key: &str, text: &str) -> Checked<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(SECRET_BEGIN) {
            let Some((name, after)) = after.split_once('}') else {
                let reason = "a secret by name is {secret:NAME}; the closing brace is missing";
                return self.refuse(key, quoted(text), reason);
            };
            filled += before;
            filled += &encode_url_component(self.named_secret(key, name)?.reveal());
            rest = after;
        }
        Ok(filled + rest)
    }

    fn named_secret(&mut self, key: &str, name: &str) -> Checked<Secret> {
        // Without a good state folder there is no store to look in, and that fault is noted.
        let state: raw::State = self.section("state")?;
        let places =
            Places { credentials: self.credentials.clone(), store: SecretStore::in_folder(&state.dir) };
        let found = SecretName::parse(name).and_then(|name| places.find(&name));
        found.or_else(|error| self.refuse(key, quoted(name), error.to_string()))
    }
}

pub(super) fn read_password(file: &Path) -> Result<Secret, String> {
    let unreadable = |e: std::io::Error| format!("the file can't be read: {e}");
    let mut bytes = Vec::new();
    let limit = PASSWORD_FILE_BYTES_MAX + 1;
    let read = std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut bytes));
    if read.map_err(unreadable)? as u64 >= limit {
        return Err(format!("the file is larger than {PASSWORD_FILE_BYTES_MAX} bytes"));
    }
    let text = str::from_utf8(without_mark(&bytes).map_err(unreadable)?);
    let text = text.map_err(|_| "the file is not UTF-8 text: save it as UTF-8")?;
    match text.lines().next().unwrap_or_default() {
        "" => Err("the first line of the file is empty".to_owned()),
        line => Ok(Secret::new(line.to_owned())),
    }
}
