//! `omnisight run` and `omnisight broker`.

#[cfg(feature = "broker")]
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::sync::Arc;

use super::{ConfigArguments, Error, find, log, runtime};
use crate::app::daemon::{self, After};
use crate::app::reload::{Load, Reload, load_with_settings};
use crate::base::SystemClock;
#[cfg(feature = "broker")]
use crate::broker;
use crate::config;

pub(super) fn run(arguments: &ConfigArguments, log: &log::Arguments) -> Result<(), Error> {
    let (path, log) = (find(arguments), log.clone());
    let load: Load = Box::new(move |settings| {
        config::load_with(path.as_deref(), super::variables().chain(log.as_variables()), settings)
    });
    let (loaded, settings, fault) = load_with_settings(&load)?;
    let set_level = log::start(loaded.config.log.level.as_str(), loaded.config.log.is_json());
    if let Some(fault) = fault {
        tracing::warn!("settings made while running are left out: {fault}");
    }
    let set_level = Box::new(move |level: config::raw::Level| set_level(level.as_str()));
    let reload = Reload::new(loaded, settings, load, set_level);
    let runtime = runtime()?;
    let done = runtime.block_on(daemon::run(reload, Arc::new(SystemClock::new())));
    // What was left behind by the deadline must not hold the process.
    runtime.shutdown_background();
    match done? {
        After::Exit => Ok(()),
        After::Restart => Err(restart()),
    }
}

/// Becomes the same program anew, with the same arguments and environment; returns only if that fails. Signals
/// were given back before, so that none is lost in between.
fn restart() -> Error {
    // Where the program was replaced meanwhile, as by an update, the new one is in its place.
    let path = std::env::current_exe().map(|path| {
        let name = path.to_string_lossy().into_owned();
        name.strip_suffix(" (deleted)").map_or(path, std::path::PathBuf::from)
    });
    let source = match path {
        Ok(path) => std::process::Command::new(path).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    Error::File { what: "can't start again".to_owned(), source }
}

#[cfg(feature = "broker")]
#[derive(Debug, clap::Args)]
pub(super) struct BrokerArguments {
    /// Where it listens; port 0 takes a free one. Without it, as `[broker] listen` says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A configuration whose `[broker]`, `[state]` and `[log]` are used. Without it anonymous on loopback,
    /// and what it keeps is in `$STATE_DIRECTORY` when that is set, otherwise in memory.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Announces it on the local network as the broker of this site, by multicast DNS: cameras that have the same
    /// name in `[camera] site` find it where their `[[broker_link]]` says `url = "discover"`.
    #[arg(long, value_name = "SITE")]
    announce: Option<String>,
}

#[cfg(feature = "broker")]
pub(super) fn broker(arguments: &BrokerArguments, log: &log::Arguments) -> Result<(), Error> {
    let mut options = if let Some(path) = &arguments.config {
        let broker = config::load_broker(path, super::variables().chain(log.as_variables()))?;
        drop(log::start(broker.log.level.as_str(), broker.log.is_json()));
        broker.options
    } else {
        log.start("info");
        unconfigured(std::env::var("STATE_DIRECTORY").ok().as_deref())
    };
    if let Some(listen) = arguments.listen {
        options.listen = listen;
    }
    let former = options.clone();
    if let Some(folder) = &options.data_dir {
        tracing::info!("sessions and retained messages are kept in {}", folder.display());
    } else {
        tracing::info!(
            "sessions and retained messages are kept in memory only: no --config, no $STATE_DIRECTORY"
        );
    }
    let runtime = runtime()?;
    let again = || match &arguments.config {
        Some(path) => Ok(config::load_broker(path, super::variables().chain(log.as_variables()))?.options),
        None => Ok(former.clone()),
    };
    let done = runtime.block_on(daemon::run_broker(options, arguments.announce.as_deref(), again));
    runtime.shutdown_background();
    Ok(done?)
}

/// The broker without a configuration.
#[cfg(feature = "broker")]
fn unconfigured(state_directory: Option<&str>) -> broker::Options {
    let folder = state_directory.and_then(config::first_state_directory);
    let data_dir = folder.map(|folder| std::path::Path::new(folder).join("broker"));
    broker::Options { allow_anonymous: true, data_dir, ..broker::Options::default() }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::*;

    #[test]
    fn a_broker_without_a_configuration_keeps_its_state_where_systemd_says_or_in_memory() {
        let folder = |text| unconfigured(text).data_dir;
        assert_eq!(folder(Some("/s:/t")), Some("/s/broker".into()));
        assert_eq!(folder(Some("")), None);
        assert_eq!(folder(None), None);
    }
}
