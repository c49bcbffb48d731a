//! Where the log goes, and how it looks.

use std::io::{self, IsTerminal};

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::config::raw::{Format, Level};

#[derive(Debug, Clone, Args)]
pub(super) struct Arguments {
    /// What is logged to standard error: error, warn, info, debug or trace.
    #[arg(long = "log", global = true, value_name = "LEVEL")]
    level: Option<Level>,
    /// How the log looks.
    #[arg(long = "log-format", global = true, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Arguments {
    /// The arguments as variables that override the configuration.
    pub(super) fn as_variables(&self) -> impl Iterator<Item = (String, String)> {
        let level = self.level.map(|l| ("OMNISIGHT_LOG__LEVEL".to_owned(), l.as_str().to_owned()));
        let format = self.format.map(|f| ("OMNISIGHT_LOG__FORMAT".to_owned(), f.as_str().to_owned()));
        level.into_iter().chain(format)
    }

    /// Starts the log of a command without a configuration.
    pub(super) fn start(&self, default_level: &'static str) {
        drop(start(self.level.map_or(default_level, Level::as_str), self.format == Some(Format::Json)));
    }
}

/// Sets the least important level that is still written.
pub(super) type SetLevel = Box<dyn Fn(&str) + Send>;

/// Starts the log, whose level can be set later.
pub(super) fn start(level: &str, json: bool) -> SetLevel {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(io::stderr);
    // A second start (tests) changes nothing; a level can't be set once the log is gone.
    if json {
        let builder = builder.json().flatten_event(true).with_span_list(false).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        Box::new(move |level| drop(handle.reload(filter(level))))
    } else {
        let builder =
            builder.with_ansi(io::stderr().is_terminal()).with_target(false).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = builder.try_init();
        Box::new(move |level| drop(handle.reload(filter(level))))
    }
}

/// Parts of other people's code speak from `warn` up unless they are asked for.
fn filter(level: &str) -> EnvFilter {
    let others = if matches!(level, "debug" | "trace") { level } else { "warn" };
    EnvFilter::new(format!("{others},omnisight={level}"))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_level_and_format_of_the_command_line_is_one_of_the_configuration() {
        for &level in Level::value_variants() {
            for &format in Format::value_variants() {
                let arguments = Arguments { level: Some(level), format: Some(format) };
                let camera = [("CAMERA__ID", "a"), ("CAPTURE__KIND", "synthetic")];
                let camera = camera.map(|(key, value)| (format!("OMNISIGHT_{key}"), value.to_owned()));
                let env = camera.into_iter().chain(arguments.as_variables());
                let log = crate::config::load(None, env).unwrap().config.log;
                assert_eq!((log.level, log.format), (level, format));
                assert_eq!(level.to_possible_value().unwrap().get_name(), level.as_str());
                assert_eq!(format.to_possible_value().unwrap().get_name(), format.as_str());
            }
        }
    }
}
