//! What machines act on when something fails.

/// The kind of a failure. Every module's error enum has a `kind()` that maps to one of these; the
/// message beside it is for the person who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line makes no sense.
    Usage,
    /// The configuration is wrong.
    Config,
    /// Something outside is not there: a file, a program, an address, a broker.
    Unavailable,
    /// Input that can't be understood.
    BadInput,
    /// It failed while running.
    Failed,
    /// An error of ours.
    Bug,
}

impl ErrorKind {
    /// The process exit code (after BSD `sysexits.h` where it has one).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::BadInput => 1,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Bug => 70,
            Self::Config => 78,
        }
    }
}
