//! Secrets that a configuration names instead of holding: `password_secret = "broker"`.
//!
//! A name is looked up in two places, in this order:
//!
//! 1. systemd's credentials: the file of that name in `$CREDENTIALS_DIRECTORY` (`LoadCredential=`).
//! 2. the encrypted store of the state folder, kept by `omnisight secret set|list|remove`:
//!    `secrets.json` holds each value under its name, sealed with ChaCha20-Poly1305 (RFC 8439) and a
//!    random nonce of its own; the name is authenticated with it, so a value can't be moved to another
//!    name. `secrets.key` beside it is the key, made at the first `set`.
//!
//! - What it protects: copies of the store without its key (backups, a folder sent for support), and
//!   eyes on a screen. Whoever can read both files as the same user can read the secrets.
//! - Both files are readable by their owner alone. A key that others can read, or could, is refused
//!   with the command that mends it, never used in silence.
//! - The store is replaced whole (write beside, sync, rename), under a lock on the folder: two `set` at
//!   once both count, and a power cut leaves the old or the new one. A store that can't be understood
//!   is never written over.
//! - No message here holds a value.
//!
//! AEAD and random numbers are `ring`'s, which TLS brings along anyway: no further crate. A random nonce
//! of 96 bits is safe for this many values (collisions matter from 2^32 on).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::base::{ErrorKind, Readers, Secret, replace_file, without_mark};

/// Longest value of a secret, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Most secrets in one store.
pub const SECRETS_MAX: usize = 256;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 64;
/// A larger store is none of ours: 256 values of 1 KiB in hexadecimal need half of it.
const STORE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the key.
const KEY_BYTES: usize = 32;
/// The format of `secrets.json` that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// What a secret is called: 1 to 64 characters of `A-Z a-z 0-9 _ . -`, no dot in front (it may be the
/// name of a file).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(String);

impl SecretName {
    /// Checks a name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let fits = (1..=NAME_CHARS_MAX).contains(&name.len());
        if fits && name.chars().all(legal) && !name.starts_with('.') {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::Name)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a secret can't be had, or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name of a secret.
    #[error("a secret's name has 1 to 64 characters of A-Z a-z 0-9 _ . - and no dot in front")]
    Name,
    /// No value of a secret.
    #[error("a secret's value is one line of 1 to {VALUE_BYTES_MAX} bytes")]
    Value,
    /// It is nowhere.
    #[error(
        "there is no secret {name}: not in $CREDENTIALS_DIRECTORY, not in {}; set it with `omnisight secret set {name}`",
        .store.display()
    )]
    NotFound {
        /// Which.
        name: SecretName,
        /// The store that was looked in.
        store: PathBuf,
    },
    /// A file or folder can't be used.
    #[error("{}: {source}; `omnisight secret` must run as the user of the daemon", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others can read the key.
    #[error(
        "{0}: others may read this key (mode {mode:04o}): chmod 600 {0}, and if somebody could have read it, remove it and secrets.json and set the secrets again",
        .path.display()
    )]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// There are secrets, and no key that opens them.
    #[error("{}: the key is {fault}; without it the secrets are lost: remove secrets.json and set them again", .path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The store is not one of ours.
    #[error("{}: not a store of secrets of this version: {detail}", .path.display())]
    Store {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The value does not open.
    #[error(
        "secret {name} does not open: secrets.key is not the key it was sealed with, or the file was changed"
    )]
    Sealed {
        /// Which.
        name: SecretName,
    },
    /// No room.
    #[error("there are {SECRETS_MAX} secrets already, the most that are kept; remove one")]
    Full,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Randomness,
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name | Self::Value => ErrorKind::Usage,
            Self::KeyExposed { .. } | Self::NotFound { .. } => ErrorKind::Config,
            Self::Io { .. } | Self::Randomness => ErrorKind::Unavailable,
            Self::Key { .. } | Self::Store { .. } | Self::Sealed { .. } | Self::Full => ErrorKind::Failed,
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Where names of secrets are looked up.
#[derive(Debug, Clone)]
pub struct Places {
    /// systemd's credentials, if there are any.
    pub credentials: Option<PathBuf>,
    /// The encrypted store.
    pub store: SecretStore,
}

impl Places {
    /// The secret of this name.
    pub fn find(&self, name: &SecretName) -> Result<Secret, Error> {
        if let Some(folder) = &self.credentials {
            let path = folder.join(name.as_str());
            match read_at_most(&path, VALUE_BYTES_MAX as u64 + 2) {
                Ok(bytes) => return value(&bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(&path)(error)),
            }
        }
        let stored = self.store.get(name)?;
        stored.ok_or_else(|| Error::NotFound { name: name.clone(), store: self.store.path() })
    }
}

/// A value as it comes from a file or from standard input: one line, its end left out.
pub fn value(bytes: &[u8]) -> Result<Secret, Error> {
    let text = without_mark(bytes).map_err(|_| Error::Value)?;
    let text = std::str::from_utf8(text).map_err(|_| Error::Value)?;
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() || line.len() > VALUE_BYTES_MAX || line.contains(['\n', '\r', '\0']) {
        return Err(Error::Value);
    }
    Ok(Secret::new(line))
}

/// The encrypted store of one state folder. Opens nothing until it is asked.
#[derive(Debug, Clone)]
pub struct SecretStore {
    folder: PathBuf,
}

/// `secrets.json`.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: u32,
    /// Nonce, sealed value and tag, in hexadecimal.
    secrets: BTreeMap<String, String>,
}

impl SecretStore {
    /// The store in a state folder.
    pub fn in_folder(state_dir: &Path) -> Self {
        Self { folder: state_dir.to_owned() }
    }

    /// The file with the sealed values.
    pub fn path(&self) -> PathBuf {
        self.folder.join("secrets.json")
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("secrets.key")
    }

    /// The names of all secrets, in order.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.read()?.secrets.into_keys().collect())
    }

    /// The secret of this name, if it is there.
    pub fn get(&self, name: &SecretName) -> Result<Option<Secret>, Error> {
        match self.read()?.secrets.get(name.as_str()) {
            Some(sealed) => open(&self.key()?, name, sealed).map(Some),
            None => Ok(None),
        }
    }

    /// Keeps a secret, in the place of one of the same name.
    pub fn set(&self, name: &SecretName, secret: &Secret) -> Result<(), Error> {
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        let _lock = self.lock()?;
        let mut all = self.read()?;
        if all.secrets.len() >= SECRETS_MAX && !all.secrets.contains_key(name.as_str()) {
            return Err(Error::Full);
        }
        let key =
            if all.secrets.is_empty() && !self.key_path().exists() { self.make_key()? } else { self.key()? };
        all.secrets.insert(name.as_str().to_owned(), seal(&key, name, secret)?);
        self.write(&all)
    }

    /// Forgets a secret; whether there was one.
    pub fn remove(&self, name: &SecretName) -> Result<bool, Error> {
        if !self.path().exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let mut all = self.read()?;
        let found = all.secrets.remove(name.as_str()).is_some();
        if found {
            self.write(&all)?;
        }
        Ok(found)
    }

    /// Holds off every other writer until it is dropped.
    fn lock(&self) -> Result<File, Error> {
        let locked = File::open(&self.folder).and_then(|folder| folder.lock().map(|()| folder));
        locked.map_err(Error::io(&self.folder))
    }

    fn read(&self) -> Result<Sealed, Error> {
        let path = self.path();
        let bytes = match read_at_most(&path, STORE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Sealed { format: FORMAT, secrets: BTreeMap::new() });
            }
            Err(error) => return Err(Error::io(&path)(error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(Sealed { format: FORMAT, secrets }) => Ok(Sealed { format: FORMAT, secrets }),
            Ok(Sealed { format, .. }) => Err(Error::Store { path, detail: format!("format {format}") }),
            Err(error) => Err(Error::Store { path, detail: error.to_string() }),
        }
    }

    fn write(&self, all: &Sealed) -> Result<(), Error> {
        let path = self.path();
        let bytes = serde_json::to_vec(all).map_err(|error| Error::io(&path)(error.into()))?;
        replace_file(&path, &bytes, Readers::OwnerOnly).map_err(Error::io(&path))?;
        self.hand_over(&path)
    }

    fn make_key(&self) -> Result<LessSafeKey, Error> {
        let mut bytes = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Randomness)?;
        let path = self.key_path();
        replace_file(&path, &bytes, Readers::OwnerOnly).map_err(Error::io(&path))?;
        self.hand_over(&path)?;
        key_of(&path, &bytes)
    }

    /// What root writes belongs to whom the folder belongs to: the user of the daemon.
    fn hand_over(&self, path: &Path) -> Result<(), Error> {
        let owned = fs::metadata(&self.folder).and_then(|folder| {
            let file = fs::metadata(path)?;
            if file.uid() == 0 && folder.uid() != 0 {
                std::os::unix::fs::chown(path, Some(folder.uid()), Some(folder.gid()))?;
            }
            Ok(())
        });
        owned.map_err(Error::io(path))
    }

    fn key(&self) -> Result<LessSafeKey, Error> {
        let path = self.key_path();
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Key { path, fault: "missing" });
            }
            Err(error) => return Err(Error::io(&path)(error)),
        };
        if mode & 0o077 != 0 {
            return Err(Error::KeyExposed { path, mode });
        }
        let bytes = read_at_most(&path, KEY_BYTES as u64 + 1).map_err(Error::io(&path))?;
        key_of(&path, &bytes)
    }
}

fn key_of(path: &Path, bytes: &[u8]) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, bytes).map(LessSafeKey::new);
    key.map_err(|_| Error::Key { path: path.to_owned(), fault: "not 32 bytes long" })
}

fn seal(key: &LessSafeKey, name: &SecretName, secret: &Secret) -> Result<String, Error> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| Error::Randomness)?;
    let mut text = secret.reveal().as_bytes().to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_str()), &mut text)
        .map_err(|_| Error::Value)?;
    Ok(hexadecimal(&nonce) + &hexadecimal(&text))
}

fn open(key: &LessSafeKey, name: &SecretName, sealed: &str) -> Result<Secret, Error> {
    let opened = bytes_of(sealed).and_then(|bytes| {
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut text = text.to_vec();
        let clear = key.open_in_place(nonce, Aad::from(name.as_str()), &mut text).ok()?;
        Some(Secret::new(std::str::from_utf8(clear).ok()?))
    });
    opened.ok_or_else(|| Error::Sealed { name: name.clone() })
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hexadecimal.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> SecretName {
        SecretName::parse(name).unwrap()
    }

    fn store() -> (tempfile::TempDir, SecretStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SecretStore::in_folder(&folder.path().join("state"));
        (folder, store)
    }

    #[test]
    fn a_secret_comes_back_and_its_value_is_in_no_file() {
        let (_folder, store) = store();
        store.set(&name("broker"), &Secret::new("hunter2-hunter2")).unwrap();
        store.set(&name("cloud"), &Secret::new("other")).unwrap();
        assert_eq!(store.get(&name("broker")).unwrap().unwrap().reveal(), "hunter2-hunter2");
        assert_eq!(store.names().unwrap(), ["broker", "cloud"]);
        for entry in fs::read_dir(&store.folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_removed_secret_is_gone_and_the_others_stay() {
        let (_folder, store) = store();
        assert!(!store.remove(&name("a")).unwrap());
        store.set(&name("a"), &Secret::new("1")).unwrap();
        store.set(&name("b"), &Secret::new("2")).unwrap();
        assert!(store.remove(&name("a")).unwrap());
        assert!(!store.remove(&name("a")).unwrap());
        assert_eq!(store.get(&name("a")).unwrap(), None);
        assert_eq!(store.get(&name("b")).unwrap().unwrap().reveal(), "2");
    }

    #[test]
    fn the_same_value_is_sealed_differently_each_time() {
        let (_folder, store) = store();
        store.set(&name("a"), &Secret::new("same")).unwrap();
        let first = fs::read(store.path()).unwrap();
        store.set(&name("a"), &Secret::new("same")).unwrap();
        assert_ne!(fs::read(store.path()).unwrap(), first);
    }

    #[test]
    fn a_value_moved_to_another_name_does_not_open() {
        let (_folder, store) = store();
        store.set(&name("a"), &Secret::new("1")).unwrap();
        let mut all = store.read().unwrap();
        let sealed = all.secrets["a"].clone();
        all.secrets.insert("b".to_owned(), sealed);
        store.write(&all).unwrap();
        assert!(matches!(store.get(&name("b")), Err(Error::Sealed { .. })));
        assert!(store.get(&name("a")).is_ok());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let (_folder, store) = store();
        store.set(&name("a"), &Secret::new("1")).unwrap();
        fs::set_permissions(store.key_path(), fs::Permissions::from_mode(0o640)).unwrap();
        let error = store.get(&name("a")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("mode 0640"), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(store.set(&name("b"), &Secret::new("2")).is_err());
    }

    #[test]
    fn a_lost_a_short_and_a_wrong_key_are_named() {
        let (_folder, store) = store();
        store.set(&name("a"), &Secret::new("1")).unwrap();
        fs::remove_file(store.key_path()).unwrap();
        assert!(matches!(store.get(&name("a")), Err(Error::Key { fault: "missing", .. })));
        assert!(matches!(store.set(&name("b"), &Secret::new("2")), Err(Error::Key { .. })));
        replace_file(&store.key_path(), b"short", Readers::OwnerOnly).unwrap();
        assert!(matches!(store.get(&name("a")), Err(Error::Key { fault: "not 32 bytes long", .. })));
        replace_file(&store.key_path(), &[7; KEY_BYTES], Readers::OwnerOnly).unwrap();
        assert!(matches!(store.get(&name("a")), Err(Error::Sealed { .. })));
    }

    #[test]
    fn a_store_that_is_none_is_named_and_not_written_over() {
        let (_folder, store) = store();
        store.set(&name("a"), &Secret::new("1")).unwrap();
        for text in
            ["", "{", "[]", "{\"format\":2,\"secrets\":{}}", "{\"format\":1,\"secrets\":{},\"more\":1}"]
        {
            fs::write(store.path(), text).unwrap();
            assert!(matches!(store.get(&name("a")), Err(Error::Store { .. })), "{text}");
            assert!(store.set(&name("b"), &Secret::new("2")).is_err(), "{text}");
            assert_eq!(fs::read_to_string(store.path()).unwrap(), text);
        }
    }

    #[test]
    fn writers_at_the_same_time_all_count() {
        let (_folder, store) = store();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    store.set(&name(&format!("n{number}")), &Secret::new(number.to_string())).unwrap();
                });
            }
        });
        for number in 0..8 {
            let secret = store.get(&name(&format!("n{number}"))).unwrap().unwrap();
            assert_eq!(secret.reveal(), number.to_string());
        }
    }

    #[test]
    fn a_credential_of_systemd_comes_before_the_store() {
        let (folder, store) = store();
        store.set(&name("a"), &Secret::new("stored")).unwrap();
        store.set(&name("b"), &Secret::new("stored")).unwrap();
        fs::write(folder.path().join("a"), "given\n").unwrap();
        let places = Places { credentials: Some(folder.path().to_owned()), store };
        assert_eq!(places.find(&name("a")).unwrap().reveal(), "given");
        assert_eq!(places.find(&name("b")).unwrap().reveal(), "stored");
        let error = places.find(&name("c")).unwrap_err();
        assert!(error.to_string().contains("omnisight secret set c"), "{error}");
    }

    #[test]
    fn a_value_is_one_line_that_is_not_empty() {
        assert_eq!(value(b"a b\r\n").unwrap().reveal(), "a b");
        assert_eq!(value("\u{feff}a\n".as_bytes()).unwrap().reveal(), "a");
        assert_eq!(value("grün".as_bytes()).unwrap().reveal(), "grün");
        for wrong in [&b""[..], b"\n", b"a\nb", b"a\n\n", b"\xff", b"a\0", &[b'a'; VALUE_BYTES_MAX + 1]] {
            assert!(value(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_can_be_a_files_name_and_nothing_else() {
        for right in ["broker", "a.b-c_D1"] {
            assert_eq!(name(right).as_str(), right);
        }
        for wrong in ["", ".", "..", ".a", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(SecretName::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_opens_again_and_nothing_else_does(text in ".{1,64}", at in 0..200_usize) {
            let key = key_of(Path::new("k"), &[3; KEY_BYTES]).unwrap();
            let sealed = seal(&key, &name("n"), &Secret::new(text.clone())).unwrap();
            let opened = open(&key, &name("n"), &sealed).unwrap();
            prop_assert_eq!(opened.reveal(), text);
            let mut changed = sealed.into_bytes();
            let at = at % changed.len();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            prop_assert!(open(&key, &name("n"), std::str::from_utf8(&changed).unwrap()).is_err());
        }
    }
}
