//! Why there are no frames.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::{replay, synthetic, y4m};
use crate::base::ErrorKind;

/// Why there are no frames. The messages name the file or program and, where there is one, the
/// position; they never hold a URL's user name, password or query.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be opened or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file without a byte.
    #[error("{} is empty", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A program can't be started.
    #[error("can't start `{program}`: {source}")]
    Start {
        /// The program's name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The argument list is empty.
    #[error("the capture command is empty")]
    NoProgram,
    /// `ffmpeg` is not on the path.
    #[error("ffmpeg is not installed, and reading {input} needs it: install the package `ffmpeg`")]
    FfmpegMissing {
        /// What should have been read.
        input: String,
    },
    /// A program ended, and should not have.
    #[error("{what}: `{program}` ended with {status}{last_words}")]
    Ended {
        /// The program's name.
        program: String,
        /// What it was reading, or that it is a capture program.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// `: ` and the last lines it wrote to its standard error, or nothing.
        last_words: String,
    },
    /// A program's output is not the stream it should be.
    #[error("{what}: the output of `{program}` is broken: {source}{last_words}")]
    Stream {
        /// The program's name.
        program: String,
        /// What it was reading, or that it is a capture program.
        what: String,
        /// What is wrong with it.
        source: y4m::Error,
        /// `: ` and the last lines it wrote to its standard error, or nothing.
        last_words: String,
    },
    /// An offline stream without a frame rate has no frame times.
    #[error("{what}: the stream from `{program}` names no frame rate: set one")]
    NoRate {
        /// The program's name.
        program: String,
        /// What it was reading, or that it is a capture program.
        what: String,
    },
    /// Not one detection could be read.
    #[error("{}: no usable detection{faults}", path.display())]
    NoDetections {
        /// The file.
        path: PathBuf,
        /// What was wrong with its rows.
        faults: replay::Faults,
    },
    /// There is no such simulated camera.
    #[error("synthetic source: {0}")]
    Synthetic(#[from] synthetic::Error),
    /// A thread of ours is gone.
    #[error("the thread that reads from `{program}` is gone")]
    ReaderGone {
        /// The program's name.
        program: String,
    },
}

impl Error {
    /// What a machine should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. } | Self::Start { .. } | Self::FfmpegMissing { .. } => ErrorKind::Unavailable,
            Self::EmptyFile { .. } | Self::NoRate { .. } | Self::NoDetections { .. } => ErrorKind::BadInput,
            Self::NoProgram => ErrorKind::Config,
            Self::Ended { .. } => ErrorKind::Failed,
            Self::Stream { source, .. } => source.kind(),
            Self::Synthetic(source) => source.kind(),
            Self::ReaderGone { .. } => ErrorKind::Bug,
        }
    }
}
