//! Why there are no frames.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::{replay, synthetic, y4m};
use crate::base::ErrorKind;

/// Why there are no frames. The messages name the file or program and, where there is one, the
/// position; of a URL they hold scheme, host and port.
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
    /// The URL names no host that can be looked up.
    #[error("{url}: {reason}")]
    Url {
        /// What of it may be shown.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder without pictures.
    #[error("{}: the folder holds no pictures ({endings}): name a folder that does, or a video file", folder.display())]
    NoPictures {
        /// The folder.
        folder: PathBuf,
        /// The endings of pictures that are read.
        endings: String,
    },
    /// Pictures have no times of their own.
    #[error(
        "{}: the pictures of a folder have no frame rate: set capture.fps, or for replay --fps or frameRate in a seqinfo.ini",
        folder.display()
    )]
    PicturesWithoutRate {
        /// The folder.
        folder: PathBuf,
    },
    /// The camera does not accept the login.
    #[error(
        "{what}: the camera rejects the user name or password, or forbids this stream: correct them in the configuration or with `omnisight secret set`{last_words}"
    )]
    LoginRejected {
        /// What was read.
        what: String,
        /// `: ` and the last lines that the program wrote to its standard error.
        last_words: String,
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
    /// Whether trying again soon would only add to the failed logins that a camera counts.
    pub fn is_login_rejected(&self) -> bool {
        matches!(self, Self::LoginRejected { .. })
    }

    /// What a machine should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. }
            | Self::Start { .. }
            | Self::FfmpegMissing { .. }
            | Self::LoginRejected { .. } => ErrorKind::Unavailable,
            Self::EmptyFile { .. }
            | Self::NoRate { .. }
            | Self::NoDetections { .. }
            | Self::NoPictures { .. }
            | Self::PicturesWithoutRate { .. } => ErrorKind::BadInput,
            Self::NoProgram | Self::Url { .. } => ErrorKind::Config,
            Self::Ended { .. } => ErrorKind::Failed,
            Self::Stream { source, .. } => source.kind(),
            Self::Synthetic(source) => source.kind(),
            Self::ReaderGone { .. } => ErrorKind::Bug,
        }
    }
}
