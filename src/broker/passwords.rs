//! Password files as `mosquitto_passwd` writes them: one `name:hash` a line.
//!
//! Understood are mosquitto 2's `$7$iterations$salt$hash` (PBKDF2 with HMAC-SHA-512) and mosquitto 1's
//! `$6$salt$hash` (SHA-512 of password and salt); salt and hash are base64. Empty lines and lines that
//! begin with `#` count for nothing. A line that is anything else, a clear password above all, is a
//! fault of the whole file, named with its line and without what stands there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU32;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, pbkdf2};

use crate::base::without_mark;

/// A larger file is not read: a thousand users need a fifth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// More rounds would let one login occupy a camera for seconds (mosquitto's default is 101).
const ITERATIONS_MAX: u32 = 1_000_000;

/// The users of a file, with what their passwords hash to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passwords {
    users: HashMap<String, Hash>,
}

#[derive(Clone, PartialEq, Eq)]
enum Hash {
    Pbkdf2 { iterations: NonZeroU32, salt: Vec<u8>, hash: Vec<u8> },
    Sha512 { salt: Vec<u8>, hash: Vec<u8> },
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Passwords {
    /// Reads a file. The error says what is wrong with it, and in which line.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&text(path)?)
    }

    /// Understands the text of a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or(format!("line {number} is no name:hash"))?;
            let hash = Hash::parse(hash).ok_or(format!(
                "line {number} (user {name}) has no hash that mosquitto_passwd makes ($7$ or $6$)"
            ))?;
            if name.is_empty() || users.insert(name.to_owned(), hash).is_some() {
                return Err(format!("line {number}: the name is empty, or not the first of its kind"));
            }
        }
        Ok(Self { users })
    }

    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether this is the password of this user. May take milliseconds: it hashes.
    pub fn admit(&self, name: &str, password: &[u8]) -> bool {
        self.users.get(name).is_some_and(|hash| hash.is_of(password))
    }

    /// Whether there is such a user.
    pub fn knows(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }
}

impl Hash {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('$').collect();
        let bytes = |part: &str| STANDARD.decode(part).ok().filter(|bytes| !bytes.is_empty());
        match parts.as_slice() {
            ["", "7", iterations, salt, hash] => {
                let iterations =
                    iterations.parse().ok().filter(|n: &NonZeroU32| n.get() <= ITERATIONS_MAX)?;
                Some(Self::Pbkdf2 { iterations, salt: bytes(salt)?, hash: bytes(hash)? })
            }
            ["", "6", salt, hash] => Some(Self::Sha512 { salt: bytes(salt)?, hash: bytes(hash)? }),
            _ => None,
        }
    }

    fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Pbkdf2 { iterations, salt, hash } => {
                pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, *iterations, salt, password, hash).is_ok()
            }
            Self::Sha512 { salt, hash } => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(salt);
                same(hash, context.finish().as_ref())
            }
        }
    }
}

/// Takes the same time wherever the two differ, so that a password can't be guessed letter by letter.
pub(super) fn same(expected: &[u8], given: &[u8]) -> bool {
    let difference = expected.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0 && expected.len() == given.len()
}

/// A file of the broker as text.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("the file can't be read: {error}");
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    if read.map_err(unreadable)? as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = str::from_utf8(without_mark(&bytes).map_err(unreadable)?);
    text.map(str::to_owned).map_err(|_| "the file is not UTF-8 text: save it as UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that was cut off.
    const CUT_OFF: &str = "camera:$7$101$y+rF7Emp9HAQKiOs$";

    #[test]
    fn passwords_are_the_same_only_when_every_byte_is() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b"secret1"));
        assert!(!same(b"secret", b""));
    }

    #[test]
    fn what_is_no_hash_is_refused_with_its_line_and_not_shown() {
        for (text, wanted) in [
            ("a:hunter2", "line 1 (user a)"),
            ("# fine\n\nhunter2", "line 3 is no"),
            ("a:$7$0$AAAA$AAAA", "line 1"),
            ("a:$7$2000000$AAAA$AAAA", "line 1"),
            ("a:$7$101$!$AAAA", "line 1"),
            ("a:$6$AAAA$AAAA\na:$6$AAAA$AAAA", "line 2"),
            (":$6$AAAA$AAAA", "line 1"),
            (CUT_OFF, "line 1 (user camera)"),
        ] {
            let reason = Passwords::parse(text).unwrap_err();
            assert!(reason.contains(wanted), "{text}: {reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn an_old_hash_admits_the_right_password_alone() {
        let salt = STANDARD.encode(b"salt");
        let hash = STANDARD.encode(digest::digest(&digest::SHA512, b"secretsalt"));
        let passwords = Passwords::parse(&format!("# users\n\ncamera:$6${salt}${hash}\n")).unwrap();
        assert!(passwords.admit("camera", b"secret"));
        assert!(!passwords.admit("camera", b"secre"));
        assert!(!passwords.admit("other", b"secret"));
        assert!(passwords.knows("camera") && !passwords.knows("other"));
    }

    #[test]
    fn a_new_hash_admits_the_right_password_alone() {
        let mut hash = [0; 64];
        let rounds = NonZeroU32::new(101).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, b"salt", b"secret", &mut hash);
        let line = format!("camera:$7$101${}${}", STANDARD.encode(b"salt"), STANDARD.encode(hash));
        let passwords = Passwords::parse(&line).unwrap();
        assert!(passwords.admit("camera", b"secret"));
        assert!(!passwords.admit("camera", b"Secret"));
        assert_eq!(format!("{passwords:?}"), "Passwords { users: {\"camera\": ***} }");
    }
}
