//! The daemon: one camera, its embedded broker if it has one, the search for the site's broker where none is
//! named, the service manager, and signals.
//!
//! SIGHUP reads the configuration again (`reload`). It runs until SIGTERM or SIGINT, until a command asks
//! for its end, until a recording that is its source has ended, or until a part
//! fails that can't be restarted. Then it drains under [`STOP_WITHIN`]; a second signal forces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::finding::Finding;
use super::reload::Reload;
use super::{Camera, Error, Request};
use crate::base::Clock;
#[cfg(feature = "broker")]
use crate::broker::{self, Broker};
use crate::capture;
use crate::config;
#[cfg(feature = "broker")]
use crate::discovery::Signpost;
use crate::platform;
use crate::supervisor::{End, Progress, Supervisor};

/// The whole stop takes no longer than this; what runs then is left to the end of the process.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often links that are on trial are looked at.
const TRIAL_LOOK_EVERY: Duration = Duration::from_millis(500);
/// Signals closer together are one: `timeout` of the coreutils sends one to the process and one to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(200);
/// How often the service manager hears how it goes.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The signals that ask a process to end.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// When the last one that counts came.
    last: Option<Instant>,
    /// One of them came.
    asked: Arc<AtomicBool>,
    /// They end the process at once.
    released: Arc<AtomicBool>,
}

impl StopSignals {
    /// Takes the signals over: from here on they no longer end the process by themselves.
    pub fn new() -> Result<Self, Error> {
        let (asked, released) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        for number in [SIGTERM, SIGINT] {
            // In this order: a signal that finds them not released yet has been noted.
            flag::register(number, Arc::clone(&asked))?;
            flag::register_conditional_default(number, Arc::clone(&released))?;
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            last: None,
            asked,
            released,
        })
    }

    /// Gives the signals back: from here on they end the process by themselves, as they do in the program that takes
    /// its place. Whether one of them came before, which nobody would answer there.
    pub fn release(&self) -> bool {
        self.released.store(true, Ordering::SeqCst);
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            if self.last.is_none_or(|last| last.elapsed() >= ONE_SIGNAL) {
                self.last = Some(Instant::now());
                return;
            }
        }
    }
}

/// What is wanted after the daemon has stopped in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The process ends.
    Exit,
    /// It starts again.
    Restart,
}

/// Runs one camera until it is told to stop, or can't go on.
pub async fn run(reload: Reload, clock: Arc<dyn Clock>) -> Result<After, Error> {
    let signals = StopSignals::new()?;
    let config = reload.config().clone();
    let config::Camera { id, name, site } = config.camera.clone();
    #[cfg(feature = "broker")]
    let kept_by_broker = config.broker.as_ref().and_then(|options| options.data_dir.clone());
    #[cfg(feature = "broker")]
    let broker = match config.broker.clone() {
        Some(options) => Some(broker::start(options).await?),
        None => None,
    };
    if config.links.is_empty() {
        tracing::warn!(camera = %id, "no [[broker_link]]: nothing is shared");
    }
    let mut parts = Supervisor::default();
    let discovery = config.discovery.clone();
    let camera = Camera::start(config, &clock, &mut parts, false)?;
    #[cfg(feature = "broker")]
    if let Some(dir) = kept_by_broker {
        camera.store().look_after(dir);
    }
    let finding = discovery.map(|wanted| Finding::start(wanted, &camera, &clock)).transpose()?;
    tracing::info!(camera = %id, name, site, version = env!("CARGO_PKG_VERSION"), "running");
    supervise(
        camera,
        parts,
        finding,
        #[cfg(feature = "broker")]
        broker,
        signals,
        Some(reload),
    )
    .await
}

/// Watches over a running camera and its parts until there is a reason to stop, and stops them. Without
/// `reload` SIGHUP changes nothing.
async fn supervise(
    mut camera: Camera,
    mut parts: Supervisor,
    mut finding: Option<Finding>,
    #[cfg(feature = "broker")] mut broker: Option<Broker>,
    mut signals: StopSignals,
    mut reload: Option<Reload>,
) -> Result<After, Error> {
    let mut hangup = signal(SignalKind::hangup())?;
    platform::ready();
    let mut trial = ticker(TRIAL_LOOK_EVERY);
    let mut status = ticker(STATUS_EVERY);
    let mut watchdog = platform::watchdog_interval().map(ticker);
    let mut progress = Progress::default();
    let outcome = loop {
        tokio::select! {
            () = signals.next() => break Ok(After::Exit),
            request = camera.request() => match request {
                Request::Stop => break Ok(After::Exit),
                Request::Restart => break Ok(After::Restart),
                Request::Reload(job) => {
                    let outcome = reload.as_mut().map(|reload| reload.reload_outcome(&camera));
                    #[cfg(feature = "broker")]
                    renew_access(broker.as_ref(), finding.as_ref(), reload.as_ref());
                    job.finish(outcome);
                    relink(&camera, reload.as_ref());
                }
                Request::Set(settings, job) => {
                    let outcome = reload.as_mut().map(|reload| reload.set(settings, &camera));
                    job.finish(outcome);
                }
            },
            (name, end) = parts.next_end() => break judge(name, end, &camera).map(|()| After::Exit),
            Some(()) = hangup.recv() => {
                platform::reloading();
                // Told to the log; whoever sent the signal waits for no answer.
                let _ = reload.as_mut().map(|reload| reload.reload(&camera));
                #[cfg(feature = "broker")]
                renew_access(broker.as_ref(), finding.as_ref(), reload.as_ref());
                relink(&camera, reload.as_ref());
                platform::ready();
            }
            found = finding_changed(&mut finding) => match found {
                Ok(()) => relink(&camera, reload.as_ref()),
                Err(error) => break Err(error),
            },
            error = broker_failure(#[cfg(feature = "broker")] &mut broker) => break Err(error),
            _ = trial.tick() => {
                if let Some(reload) = &mut reload {
                    reload.judge_trial(&camera);
                }
            }
            _ = status.tick() => platform::status(&camera.snapshot().status_line()),
            () = tick(&mut watchdog) => {
                // A part that hangs must not be kept alive by a runtime that does not.
                let still = camera.still(&mut progress, Instant::now());
                if still.is_empty() {
                    platform::watchdog();
                } else {
                    tracing::error!(camera = %camera.id(), parts = still.join(", "), "parts hang, the watchdog is not fed");
                }
            }
        }
    };
    tracing::info!(camera = %camera.id(), "stopping");
    platform::stopping();
    let mut cameras = [camera];
    let mut stopped = Box::pin(stop(
        &mut cameras,
        vec![parts],
        finding,
        #[cfg(feature = "broker")]
        broker,
    ));
    let forced = async {
        if matches!(outcome, Ok(After::Restart)) {
            signals.next().await;
            tracing::info!("asked to stop: no restart");
        }
        signals.next().await;
    };
    let stopped = tokio::select! {
        stopped = &mut stopped => stopped,
        () = forced => Err(Error::Forced),
    };
    match outcome.and_then(|after| stopped.map(|()| after)) {
        Ok(After::Restart) if signals.release() => Ok(After::Exit),
        after => after,
    }
}

/// Lets the camera's links be those of the configuration in force; after the answer to whoever asked for
/// that, which leaves by the links as they were.
fn relink(camera: &Camera, reload: Option<&Reload>) {
    if let Some(reload) = reload {
        camera.relink(reload.config());
    }
}

/// Lets the embedded broker go by the users and rules of the configuration in force.
#[cfg(feature = "broker")]
fn renew_access(broker: Option<&Broker>, finding: Option<&Finding>, reload: Option<&Reload>) {
    let Some(config) = reload.map(Reload::config) else { return };
    if let (Some(broker), Some(options)) = (broker, &config.broker) {
        broker.set_access(options);
    }
    let host = config.discovery.as_ref().and_then(|discovery| discovery.host.as_ref());
    if let (Some(finding), Some(options)) = (finding, host) {
        finding.set_access(options);
    }
}

/// Stops cameras, waits for their parts and goodbyes, then leaves the network and stops the broker: all under
/// the deadline.
pub(super) async fn stop(
    cameras: &mut [Camera],
    parts: Vec<Supervisor>,
    finding: Option<Finding>,
    #[cfg(feature = "broker")] broker: Option<Broker>,
) -> Result<(), Error> {
    let in_order = async {
        for camera in cameras.iter() {
            camera.stop();
        }
        let mut panicked = None;
        for parts in parts {
            panicked = panicked.or(parts.join_all().await);
        }
        for camera in cameras.iter_mut() {
            camera.say_goodbye_if_owed().await;
        }
        if let Some(finding) = finding {
            finding.stop().await;
        }
        let ended = panicked.map_or(Ok(()), |(part, message)| Err(Error::Panicked { part, message }));
        #[cfg(feature = "broker")]
        if let Some(broker) = broker {
            return ended.and(broker.stop().await.map_err(Error::Broker));
        }
        ended
    };
    tokio::select! {
        stopped = in_order => stopped,
        () = sleep(STOP_WITHIN) => Err(Error::LeftBehind { seconds: STOP_WITHIN.as_secs() }),
    }
}

/// Whether the end of a part is in order.
pub(super) fn judge(part: String, end: End, camera: &Camera) -> Result<(), Error> {
    match end {
        End::Panicked(message) => Err(Error::Panicked { part, message }),
        End::Returned => match camera.snapshot().capture.state {
            capture::State::Ended if part.starts_with("perception") => {
                tracing::info!("the source has ended");
                Ok(())
            }
            capture::State::Panicked => Err(Error::Panicked {
                part: format!("capture {}", camera.id()),
                message: "see the message above".to_owned(),
            }),
            _ => Err(Error::Ended { part }),
        },
    }
}

/// Waits for news of the site's broker; there is no search any more after an error.
async fn finding_changed(finding: &mut Option<Finding>) -> Result<(), Error> {
    let changed = match finding {
        Some(finding) => finding.changed().await,
        None => std::future::pending().await,
    };
    if changed.is_err() {
        *finding = None;
    }
    changed
}

/// Waits until the broker ends by itself; there is none to stop afterwards.
#[cfg(feature = "broker")]
pub(super) async fn broker_failure(broker: &mut Option<Broker>) -> Error {
    let error = match broker {
        Some(broker) => broker.failed().await,
        None => std::future::pending().await,
    };
    *broker = None;
    Error::Broker(error)
}

#[cfg(not(feature = "broker"))]
async fn broker_failure() -> Error {
    std::future::pending().await
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

async fn tick(ticker: &mut Option<tokio::time::Interval>) {
    match ticker {
        Some(ticker) => {
            ticker.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Runs the embedded broker alone until it is told to stop, or fails; on the local network it is announced as that of
/// `site`, if there is one. At SIGHUP `again` reads users, passwords and access list anew; where that fails, the former
/// stay.
#[cfg(feature = "broker")]
pub async fn run_broker(
    options: broker::Options,
    site: Option<&str>,
    again: impl Fn() -> Result<broker::Options, config::Faults>,
) -> Result<(), Error> {
    let mut signals = StopSignals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut broker = broker::start(options).await?;
    let signpost = site.map(|site| Signpost::put_up(site, broker.local_addr())).transpose()?;
    platform::ready();
    platform::status(&format!("listening on {}", broker.local_addr()));
    loop {
        tokio::select! {
            () = signals.next() => break,
            error = broker.failed() => return Err(error.into()),
            Some(()) = hangup.recv() => {
                platform::reloading();
                match again() {
                    Ok(options) => {
                        broker.set_access(&options);
                        tracing::info!("users, passwords and access list reloaded; the rest needs a restart");
                    }
                    Err(faults) => tracing::error!("configuration not reloaded: {faults}"),
                }
                platform::ready();
            }
        }
    }
    platform::stopping();
    // First, so that cameras look for another one before they lose this.
    if let Some(signpost) = signpost {
        signpost.take_down().await;
    }
    tokio::select! {
        stopped = broker.stop() => Ok(stopped?),
        () = signals.next() => Err(Error::Forced),
    }
}

#[cfg(test)]
#[cfg(feature = "broker")]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::app::demo;
    use crate::base::SystemClock;
    use crate::capture::synthetic;
    use crate::link::{self, Deliveries};
    use crate::model::{Qos, Size};

    /// Waits for a presence message that says `state`.
    async fn hears(heard: &mut Deliveries, state: &str) {
        let wanted = format!("\"state\":\"{state}\"");
        let heard = async {
            loop {
                let delivery = heard.recv().await.unwrap();
                if String::from_utf8_lossy(&delivery.payload).contains(&wanted) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(30), heard).await.unwrap_or_else(|_| panic!("nobody said {wanted}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_in_a_part_ends_in_a_goodbye_and_the_exit_code_of_a_bug() {
        let listen = ([127, 0, 0, 1], 0).into();
        let options = broker::Options { listen, allow_anonymous: true, ..Default::default() };
        let broker = broker::start(options).await.unwrap();
        let address = broker.local_addr();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let link =
            link::Options { host: address.ip().to_string(), port: address.port(), ..Default::default() };
        let subscriptions = vec![("omnisight/swarm/status/+".to_owned(), Qos::AtLeastOnce)];
        let watcher = link::Client { id: "watcher".to_owned(), subscriptions, ..Default::default() };
        let (_watcher, mut heard) = link::spawn(&link, watcher, Arc::clone(&clock)).unwrap();
        let state = tempfile::tempdir().unwrap();
        let simulated =
            synthetic::Options { size: Size { width: 96, height: 72 }, ..synthetic::Options::default() };
        let file = demo::write_config(&simulated, "a", address, state.path()).unwrap();
        let config = demo::reload_of(file).unwrap().config().clone();
        let mut parts = Supervisor::default();
        let camera = Camera::start(config, &clock, &mut parts, false).unwrap();
        hears(&mut heard, "online").await;
        parts.spawn("a part", async { panic!("told to") });
        let error =
            supervise(camera, parts, None, None, StopSignals::new().unwrap(), None).await.unwrap_err();
        assert_eq!(error.to_string(), "a part panicked: told to");
        assert_eq!(error.kind().exit_code(), 70);
        hears(&mut heard, "offline").await;
        broker.stop().await.unwrap();
    }
}
