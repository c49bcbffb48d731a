//! The command line: parse, choose a verb, exit codes.
//!
//! Exit codes: 0 ok, 1 failed while running, 64 usage, 69 something outside is not available, 70 a bug
//! of ours, 78 the configuration is wrong. What was asked for goes to standard output; the log and
//! errors go to standard error. A reader of our output that goes away (`| head`) is no error.

mod check;
#[cfg(feature = "broker")]
mod demo;
mod evaluate;
mod explain;
mod log;
mod observer;
mod output;
#[cfg(feature = "broker")]
mod picture;
mod probe;
mod replay;
mod run;
mod secret;
mod send;
mod simulate;
mod watch;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app;
use crate::base::ErrorKind;
#[cfg(feature = "broker")]
use crate::broker;
use crate::config::{self, Faults, Loaded};
use crate::{capture, inference, secrets};

/// Cameras that see together: detect, track, forecast, and share one picture over MQTT 5.
#[derive(Debug, Parser)]
#[command(name = "omnisight", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    log: log::Arguments,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one camera.
    Run(ConfigArguments),
    /// Run several simulated cameras and a broker in one process; needs nothing else.
    #[cfg(feature = "broker")]
    Demo(demo::Arguments),
    /// Check a configuration: every fault, or the effective values with secrets hidden.
    Check(check::Arguments),
    /// Give a command to one camera or to all, and tell how it went.
    Send(send::Arguments),
    /// Show cameras, tracks, events and votes of a site, until `q`.
    Watch(watch::Arguments),
    /// Track a video or a file of detections as fast as it goes, and write MOTChallenge rows.
    Replay(replay::Arguments),
    /// Run recorded data through a part of the whole, for scoring.
    Evaluate {
        #[command(subcommand)]
        of: evaluate::Evaluation,
    },
    /// Run many cameras in virtual time, with faults between them, and tell what came of it.
    Simulate(simulate::Arguments),
    /// Run the embedded broker alone.
    #[cfg(feature = "broker")]
    Broker(run::BrokerArguments),
    /// Keep secrets that the configuration names (`password_secret = "NAME"`), encrypted.
    Secret(secret::Arguments),
    /// Try a network and its library; what `detector.verify` does first, in a child process.
    #[command(name = "probe-network", hide = true)]
    Probe(probe::Arguments),
    /// Print a schema.
    Schema {
        #[command(subcommand)]
        of: check::Schema,
    },
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// The configuration; without it `config/omnisight.toml`, then `/etc/omnisight/omnisight.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Config(#[from] Faults),
    #[error(transparent)]
    App(#[from] app::Error),
    #[error(transparent)]
    Capture(#[from] capture::Error),
    #[error(transparent)]
    Detector(#[from] inference::Error),
    #[cfg(feature = "broker")]
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error(transparent)]
    Simulate(#[from] crate::simulate::Error),
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    #[error("{what}: {source}")]
    File { what: String, source: io::Error },
    #[error("{0}")]
    BadInput(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("not done: {0}")]
    NotDone(String),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage(_) => ErrorKind::Usage,
            Self::Config(_) => ErrorKind::Config,
            Self::App(error) => error.kind(),
            Self::Capture(error) => error.kind(),
            Self::Detector(error) => error.kind(),
            #[cfg(feature = "broker")]
            Self::Broker(error) => error.kind(),
            Self::Simulate(error) => error.kind(),
            Self::Secret(error) => error.kind(),
            Self::File { .. } | Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::BadInput(_) => ErrorKind::BadInput,
            Self::NotDone(_) | Self::Output(_) => ErrorKind::Failed,
        }
    }
}

/// Parses the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; the rest is a usage error.
            let code = if error.use_stderr() { ErrorKind::Usage.exit_code() } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = catch_unwind(AssertUnwindSafe(|| act(cli)));
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Error::Output(error))) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let _ = writeln!(io::stderr(), "omnisight: {error}");
            ExitCode::from(error.kind().exit_code())
        }
        // The panic has told its place and message already.
        Err(_) => ExitCode::from(ErrorKind::Bug.exit_code()),
    }
}

fn act(cli: Cli) -> Result<(), Error> {
    match cli.verb {
        Verb::Run(arguments) => run::run(&arguments, &cli.log),
        #[cfg(feature = "broker")]
        Verb::Demo(arguments) => demo::run(&arguments, &cli.log),
        Verb::Check(arguments) => check::check(&arguments, &cli.log),
        Verb::Send(arguments) => send::run(&arguments, &cli.log),
        Verb::Watch(arguments) => watch::run(&arguments, &cli.log),
        Verb::Replay(arguments) => replay::run(&arguments, &cli.log),
        Verb::Evaluate { of } => evaluate::run(&of, &cli.log),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        #[cfg(feature = "broker")]
        Verb::Broker(arguments) => run::broker(&arguments, &cli.log),
        Verb::Secret(arguments) => secret::run(&arguments),
        Verb::Probe(arguments) => probe::run(arguments),
        Verb::Schema { of } => check::schema(&of),
    }
}

/// Loads the configuration; the command line's log settings beat file and environment.
fn load(arguments: &ConfigArguments, log: &log::Arguments) -> Result<Loaded, Error> {
    let path = find(arguments);
    Ok(config::load(path.as_deref(), variables().chain(log.as_variables()))?)
}

/// The configuration's file; says so when there is none.
fn find(arguments: &ConfigArguments) -> Option<PathBuf> {
    let path = config::find(arguments.config.as_deref());
    if path.is_none() {
        let _ = writeln!(
            io::stderr(),
            "omnisight: no configuration file: looked for {}",
            config::SEARCHED.join(", ")
        );
    }
    path
}

/// The environment. What is no Unicode gets a replacement character: a value of ours is then refused
/// with its name, and everybody else's is nothing to us.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
}

/// Writes a line to standard output.
fn say(line: &str) -> Result<(), Error> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// A runtime for the daemon: the work is in the threads beside it, so two workers are plenty.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Error::App(app::Error::System(error)))
}
