//! Files that are there whole, or as they were before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Who may read a file that [`replace_file`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// As the process's `umask` says.
    AsUsual,
    /// The owner alone (mode 0600).
    OwnerOnly,
}

/// Puts `bytes` in the place of a file: after a power cut the old or the new content is there, never
/// a part. The new file is written beside it as `NAME.new`, and on disk when this returns.
pub fn replace_file(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let beside = beside(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if readers == Readers::OwnerOnly {
        // What a crash left there may be open to others; the mode counts only for a new file.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        options.create_new(true).mode(0o600);
    }
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace_file(&path, b"one", Readers::AsUsual).unwrap();
        replace_file(&path, b"two", Readers::AsUsual).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_private_file_is_private_even_over_the_remains_of_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(beside(&path), b"half").unwrap();
        fs::set_permissions(beside(&path), fs::Permissions::from_mode(0o666)).unwrap();
        replace_file(&path, b"key", Readers::OwnerOnly).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
