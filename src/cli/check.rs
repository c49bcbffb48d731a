//! `omnisight check` and `omnisight schema`.

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
    say(config::effective(&loaded).trim_end())
}

pub(super) fn schema(of: &Schema) -> Result<(), Error> {
    match of {
        Schema::Config => say(&format!("{:#}", config::schema())),
    }
}
