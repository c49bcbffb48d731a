//! What is wrong with a configuration, said so that it can be mended.
//!
//! A fault names the place (file, line and column, or the environment variable), the key, what was found
//! there and what is allowed. A secret is never part of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::base::ErrorKind;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file; line and column (in bytes) count from 1.
    Line {
        /// The file.
        file: Arc<Path>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A file as a whole.
    File(Arc<Path>),
    /// In the environment variable of this name.
    Variable(Arc<str>),
    /// Among the settings that were made while running.
    Runtime,
    /// Nowhere: there is no configuration file.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => write!(f, "{name}"),
            Self::Runtime => f.write_str("runtime setting"),
            Self::Nowhere => f.write_str("(no configuration file)"),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file can't be read, or what is in it is no TOML.
    #[error("{0}")]
    Unreadable(String),
    /// There is no such key here.
    #[error("unknown key{}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// The most similar key that exists here.
        nearest: Option<String>,
    },
    /// The key exists, but not for this kind.
    #[error("this key belongs to kind = {belongs_to}, found kind = {found}")]
    OtherKind {
        /// The kinds that have the key.
        belongs_to: String,
        /// The kind that is set.
        found: String,
    },
    /// A key that has no default is not set.
    #[error("missing; allowed: {allowed}")]
    Missing {
        /// What it can be set to.
        allowed: String,
    },
    /// The value is not one of those that are allowed.
    #[error("found {found}, allowed: {allowed}")]
    NotAllowed {
        /// The value, or what kind of value it is.
        found: String,
        /// What it can be set to.
        allowed: String,
    },
    /// The value could be right, but something else stands against it.
    #[error("found {found}: {reason}")]
    Refused {
        /// The value, or what kind of value it is.
        found: String,
        /// What stands against it, and what to do.
        reason: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean {key}?"))
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The path of the key, such as `broker_link.0.url`; empty when it is about the whole file.
    pub key: String,
    /// What.
    pub problem: Problem,
}

impl fmt::Display for Fault {
    /// One line: `config/omnisight.toml:12:1: tracker.iou_mim: unknown key; did you mean iou_min?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.problem)
    }
}

/// All faults of a configuration, at least one, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    list: Vec<Fault>,
    /// How many are not in the list.
    more: usize,
}

impl Faults {
    /// Most faults that are kept, and the others counted; whoever has more knows enough.
    pub const FAULTS_MAX: usize = 200;

    /// The faults.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// Wrong configuration, always.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }

    pub(super) fn push(&mut self, place: Place, key: impl Into<String>, problem: Problem) {
        if self.list.len() < Self::FAULTS_MAX {
            self.list.push(Fault { place, key: key.into(), problem });
        } else {
            self.more += 1;
        }
    }

    /// Whether the value at this path, or one inside it, can't be used. An unknown key harms only itself.
    pub(super) fn touch(&self, path: &str) -> bool {
        let inside = |key: &str| key.strip_prefix(path).is_some_and(|r| r.is_empty() || r.starts_with('.'));
        let harms = |p: &Problem| !matches!(p, Problem::UnknownKey { .. } | Problem::OtherKind { .. });
        self.list.iter().any(|f| harms(&f.problem) && inside(&f.key))
    }

    pub(super) fn sorted(mut self) -> Self {
        let line = |f: &Fault| match &f.place {
            Place::Line { line, column, .. } => (*line, *column),
            Place::File(_) | Place::Nowhere => (0, 0),
            Place::Variable(_) | Place::Runtime => (usize::MAX, 0),
        };
        self.list.sort_by_key(line);
        self
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.list.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more faults", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
