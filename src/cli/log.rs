//! Where the log goes, and how it looks.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What is logged to standard error: error, warn, info, debug or trace.
    #[arg(long = "log", global = true, value_name = "LEVEL")]
    level: Option<Level>,
    /// How the log looks.
    #[arg(long = "log-format", global = true, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Arguments {
    /// The arguments as variables that override the configuration.
    pub(super) fn as_variables(&self) -> impl Iterator<Item = (String, String)> {
        let level = self.level.map(|l| ("OMNISIGHT_LOG__LEVEL".to_owned(), l.as_str().to_owned()));
        let format = self.format.map(|f| {
            let word = if f == Format::Json { "json" } else { "text" };
            ("OMNISIGHT_LOG__FORMAT".to_owned(), word.to_owned())
        });
        level.into_iter().chain(format)
    }

    /// Starts the log of a command without a configuration.
    pub(super) fn start(&self, default_level: &'static str) {
        start(self.level.map_or(default_level, Level::as_str), self.format == Some(Format::Json));
    }
}

/// Starts the log. Parts of other people's code speak from `warn` up unless they are asked for.
pub(super) fn start(level: &str, json: bool) {
    let others = if matches!(level, "debug" | "trace") { level } else { "warn" };
    let filter = EnvFilter::new(format!("{others},omnisight={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start (tests) changes nothing.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
    };
}
