//! This camera's signing key and the keys of the others, as they lie in the state folder.
//!
//! `signing-key` is made at the first start that wants it (PKCS#8, readable by its owner alone), and replaced
//! by a new one at a start when it is older than the configuration allows; the one before stays beside it as
//! `signing-key.previous`, so that it can sign for its successor. `known-keys.json` holds the keys that were
//! pinned, one a camera, with ` unproven` behind the key of a camera that no other camera has corroborated: whoever has replaced a camera's disk or key takes its line out. A key that can't be
//! made or read, or that others could read, leaves the camera without signatures, which is a named mode and
//! not an end.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use crate::base::{Readers, Time, replace_file};
use crate::config::Signing;
use crate::model::CameraId;
use crate::swarm::trust::pins::PinnedKey;
use crate::swarm::trust::signature::{KeyError, PublicKey, Signer};

pub(super) const KEY_FILE: &str = "signing-key";
pub(super) const PREVIOUS_FILE: &str = "signing-key.previous";
pub(super) const KNOWN_FILE: &str = "known-keys.json";
/// Stands behind a key that is not proven. A file of an earlier version has none: its keys are proven.
const UNPROVEN: &str = " unproven";
/// A larger file is none of ours: thousands of keys of 51 bytes and as many ids of 63.
const KNOWN_BYTES_MAX: u64 = 1 << 20;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}; remove it, and a new one is made")]
    Key { path: PathBuf, source: KeyError },
    #[error("{0}: others may read this key: chmod 600 it, or remove it if somebody could have")]
    Readable(PathBuf),
    #[error("the system has no random numbers")]
    Random,
}

/// The keys, and where they are kept.
#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
    camera: CameraId,
    signing: Signing,
    /// This camera's own; none when it does not sign.
    pub(super) signer: Option<Signer>,
    /// It should sign, and can't.
    pub(super) failed: bool,
}

impl Keys {
    /// Reads this camera's key, or makes it; what is wrong is logged.
    pub(super) fn open(folder: &Path, camera: &CameraId, signing: Signing, now: Time) -> Self {
        let mut keys = Self::unread(folder, camera, signing);
        keys.read_again(now);
        keys
    }

    /// Keys of a folder that can't be read now.
    pub(super) fn unread(folder: &Path, camera: &CameraId, signing: Signing) -> Self {
        let (folder, camera) = (folder.to_owned(), camera.clone());
        Self { folder, camera, signing, signer: None, failed: signing.enabled }
    }

    /// Reads this camera's key, or makes it, where it failed before; whether there is one now.
    pub(super) fn read_again(&mut self, now: Time) -> bool {
        if !self.failed {
            return false;
        }
        let camera = &self.camera;
        self.signer = own_key(&self.folder, camera, self.signing, now)
            .inspect_err(|error| tracing::error!(%camera, "messages are not signed: {error}"))
            .ok();
        self.failed = self.signer.is_none();
        !self.failed
    }

    /// The keys of other cameras that were pinned before. A file that can't be read counts as none and is
    /// logged; it is not replaced until another key is pinned.
    pub(super) fn known(&self) -> BTreeMap<CameraId, PinnedKey> {
        let path = self.folder.join(KNOWN_FILE);
        let read = fs::metadata(&path).and_then(|file| {
            if file.len() > KNOWN_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "is too large"));
            }
            fs::read(&path)
        });
        let lines: BTreeMap<String, String> = match read {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!("{}: {error}: keys are pinned anew", path.display());
                BTreeMap::new()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::error!("{}: {error}: keys are pinned anew", path.display());
                }
                BTreeMap::new()
            }
        };
        let read = |(camera, line): (String, String)| {
            let (text, proven) = line.strip_suffix(UNPROVEN).map_or((&*line, true), |text| (text, false));
            Some((CameraId::parse(&camera).ok()?, PinnedKey { key: PublicKey::parse(text)?, proven }))
        };
        lines.into_iter().filter_map(read).collect()
    }

    /// The content of [`KNOWN_FILE`] for these keys.
    pub(super) fn known_file(known: &BTreeMap<CameraId, PinnedKey>) -> Vec<u8> {
        let line = |pin: &PinnedKey| format!("{}{}", pin.key, if pin.proven { "" } else { UNPROVEN });
        let lines: BTreeMap<&str, String> =
            known.iter().map(|(camera, pin)| (camera.as_str(), line(pin))).collect();
        serde_json::to_vec_pretty(&lines).unwrap_or_default()
    }
}

fn own_key(folder: &Path, camera: &CameraId, signing: Signing, now: Time) -> Result<Signer, Error> {
    let (path, previous_path) = (folder.join(KEY_FILE), folder.join(PREVIOUS_FILE));
    let key = match read(&path)? {
        Some(key) if !is_older(&path, signing, now) => key,
        Some(old) => {
            write(&previous_path, &old)?;
            tracing::info!(%camera, "the signing key is replaced; the one before signs for it");
            make(&path)?
        }
        None => make(&path)?,
    };
    let previous = read(&previous_path)?;
    Signer::new(camera, &key, previous.as_deref()).map_err(|source| Error::Key { path, source })
}

/// Whether a key has been in use for longer than it may be. Its age is that of its file.
fn is_older(path: &Path, signing: Signing, now: Time) -> bool {
    let made = fs::metadata(path).and_then(|file| file.modified()).ok();
    let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
    let age_ms = made.map(|made| u128::from(now.epoch_ms).saturating_sub(made.as_millis()));
    signing.rotate_after.zip(age_ms).is_some_and(|(after, age_ms)| age_ms >= after.as_millis())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
        Ok(file) if file.permissions().mode() & 0o077 != 0 => return Err(Error::Readable(path.to_owned())),
        Ok(_) => {}
    }
    fs::read(path).map(Some).map_err(io)
}

fn make(path: &Path) -> Result<Vec<u8>, Error> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Error::Random)?;
    write(path, key.as_ref())?;
    Ok(key.as_ref().to_vec())
}

fn write(path: &Path, key: &[u8]) -> Result<(), Error> {
    replace_file(path, key, Readers::OwnerOnly).map_err(|source| Error::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::swarm::trust::signature::Announcement;

    const NOW: Time = Time { mono_ns: 1, epoch_ms: 4_000_000_000_000 };

    fn camera() -> CameraId {
        CameraId::parse("gate").unwrap()
    }

    fn announced(keys: &Keys) -> Announcement {
        Announcement::parse(&keys.signer.as_ref().unwrap().announcement()).unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let signing = Signing { enabled: true, rotate_after: None };
        let first = Keys::open(folder.path(), &camera(), signing, NOW);
        let mode = fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Keys::open(folder.path(), &camera(), signing, NOW);
        assert_eq!(announced(&first), announced(&again));
        let off = Keys::open(folder.path(), &camera(), Signing { enabled: false, rotate_after: None }, NOW);
        assert!(off.signer.is_none() && !off.failed);
    }

    #[test]
    fn a_key_that_could_not_be_made_is_made_when_the_disk_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let signing = Signing { enabled: true, rotate_after: None };
        let state = folder.path().join("state");
        fs::write(&state, b"no folder").unwrap();
        let mut keys = Keys::open(&state, &camera(), signing, NOW);
        assert!(keys.failed && !keys.read_again(NOW));
        fs::remove_file(&state).unwrap();
        fs::create_dir(&state).unwrap();
        assert!(keys.read_again(NOW) && !keys.failed && keys.signer.is_some());
    }

    #[test]
    fn a_key_that_is_too_old_is_replaced_and_signs_for_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path(), &camera(), Signing { enabled: true, rotate_after: None }, NOW);
        let signing = Signing { enabled: true, rotate_after: Some(Duration::from_secs(1)) };
        let second = Keys::open(folder.path(), &camera(), signing, NOW);
        assert_ne!(announced(&first).key, announced(&second).key);
        assert!(announced(&second).is_handed_over_by(&camera(), announced(&first).key));
        let other = CameraId::parse("yard").unwrap();
        assert!(!announced(&second).is_handed_over_by(&other, announced(&first).key));
    }

    #[test]
    fn a_key_that_others_can_read_and_one_that_is_broken_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let signing = Signing { enabled: true, rotate_after: None };
        Keys::open(folder.path(), &camera(), signing, NOW);
        let path = folder.path().join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Keys::open(folder.path(), &camera(), signing, NOW).failed);
        replace_file(&path, b"no key", Readers::OwnerOnly).unwrap();
        assert!(Keys::open(folder.path(), &camera(), signing, NOW).failed);
    }

    #[test]
    fn pinned_keys_are_known_at_the_next_start_and_a_broken_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let signing = Signing { enabled: true, rotate_after: None };
        let keys = Keys::open(folder.path(), &camera(), signing, NOW);
        assert!(keys.known().is_empty());
        let pinned = |proven| PinnedKey { key: announced(&keys).key, proven };
        let known =
            BTreeMap::from([(camera(), pinned(true)), (CameraId::parse("yard").unwrap(), pinned(false))]);
        fs::write(folder.path().join(KNOWN_FILE), Keys::known_file(&known)).unwrap();
        assert_eq!(keys.known(), known);
        // An earlier version wrote the keys alone.
        let line = format!(r#"{{"gate":"{}"}}"#, announced(&keys).key);
        fs::write(folder.path().join(KNOWN_FILE), line).unwrap();
        assert_eq!(keys.known(), BTreeMap::from([(camera(), pinned(true))]));
        fs::write(folder.path().join(KNOWN_FILE), b"{").unwrap();
        assert!(keys.known().is_empty());
    }
}
