//! `omnisight probe-network`, hidden: what the second look runs in a child process before it loads a library itself.

use std::path::PathBuf;

use super::{Error, say};
use crate::config;
use crate::inference::network;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The model, with its description beside it.
    model: PathBuf,
    /// ONNX Runtime's library.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

/// Prints the seconds of a run, or what is wrong, as JSON.
pub(super) fn run(arguments: Arguments) -> Result<(), Error> {
    let options = network::Options {
        description: config::describe(&arguments.model),
        model: arguments.model,
        library: arguments.library,
        budget_ms: 0.0,
        probe: false,
        wait: false,
    };
    let tried = network::try_out(&options).map(|took| took.as_secs_f64());
    let line = serde_json::to_string(&tried).map_err(std::io::Error::other)?;
    say(&line)
}
