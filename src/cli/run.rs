//! `omnisight run` and `omnisight broker`.

#[cfg(feature = "broker")]
use std::net::SocketAddr;
use std::sync::Arc;

use super::{ConfigArguments, Error, load, log, runtime};
use crate::app::daemon;
use crate::base::SystemClock;

pub(super) fn run(arguments: &ConfigArguments, log: &log::Arguments) -> Result<(), Error> {
    let loaded = load(arguments, log)?;
    let config = loaded.config;
    log::start(config.log.level.as_str(), config.log.is_json());
    let runtime = runtime()?;
    let done = runtime.block_on(daemon::run(config, Arc::new(SystemClock::new())));
    // What was left behind by the deadline must not hold the process.
    runtime.shutdown_background();
    Ok(done?)
}

#[cfg(feature = "broker")]
#[derive(Debug, clap::Args)]
pub(super) struct BrokerArguments {
    /// Where it listens; port 0 takes a free one. Without it, as `[broker] listen` says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A configuration whose `[broker]` and `[state]` are used; without it, anonymous on loopback.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

#[cfg(feature = "broker")]
pub(super) fn broker(arguments: &BrokerArguments, log: &log::Arguments) -> Result<(), Error> {
    let mut options = if let Some(path) = &arguments.config {
        let named = ConfigArguments { config: Some(path.clone()) };
        let config = load(&named, log)?.config;
        log::start(config.log.level.as_str(), config.log.is_json());
        let off = || Error::Usage(format!("{}: [broker] enabled is not true", path.display()));
        config.broker.ok_or_else(off)?
    } else {
        log.start("info");
        crate::broker::Options { allow_anonymous: true, ..Default::default() }
    };
    if let Some(listen) = arguments.listen {
        options.listen = listen;
    }
    let runtime = runtime()?;
    let done = runtime.block_on(daemon::run_broker(options));
    runtime.shutdown_background();
    Ok(done?)
}
