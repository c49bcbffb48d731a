//! A file that a command writes line by line, named by its errors.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Error;

/// The open file. Only [`Output::finish`] says whether all of it is written.
pub(super) struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| failed(path, source))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), Error> {
        writeln!(self.file, "{line}").map_err(|source| failed(&self.path, source))
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| failed(&self.path, source))
    }
}

/// What went wrong with a file, and which it was.
pub(super) fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { what: path.display().to_string(), source }
}
