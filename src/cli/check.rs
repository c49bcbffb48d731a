//! `omnisight check` and `omnisight schema`.
//!
//! What is not wrong but worth a look goes to standard error, so that standard output stays TOML.

use std::io::{self, Write as _};

use clap::Subcommand;

use super::{ConfigArguments, Error, load, log, say};
use crate::config;

#[derive(Debug, Subcommand)]
pub(super) enum Schema {
    /// The JSON Schema of the configuration.
    Config,
}

pub(super) fn check(arguments: &ConfigArguments, log: &log::Arguments) -> Result<(), Error> {
    let loaded = load(arguments, log)?;
    let effective = config::effective(&loaded).map_err(|error| {
        let what = "the effective configuration has no TOML form (an error of ours)".to_owned();
        Error::File { what, source: io::Error::other(error) }
    })?;
    for note in &loaded.config.notes {
        let _ = writeln!(io::stderr(), "omnisight: warning: {note}");
    }
    let ground = &loaded.config.perception.ground;
    let outlook = if ground.is_calibrated() { ground.outlook() } else { None };
    let outlook = outlook.map_or_else(String::new, |outlook| format!("# calibration: {outlook}\n"));
    say(&format!("{outlook}{}", effective.trim_end()))
}

pub(super) fn schema(of: &Schema) -> Result<(), Error> {
    match of {
        Schema::Config => say(&format!("{:#}", config::schema())),
    }
}
