//! `omnisight demo`: what it prints while it runs.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::picture::Recorder;
use super::{Error, log, runtime, say};
use crate::app::demo::{Demo, Options, Wake};
use crate::base::{Clock, SystemClock};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Cameras around the plaza.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=32))]
    cameras: u32,
    /// Stop after this long (30s, 2m); without it, at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    run_for: Option<Duration>,
    /// The broker's port; without it, a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Another seed is another crowd.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// At the end, draw what the cameras saw, and the map, into this PNG file.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, log: &log::Arguments) -> Result<(), Error> {
    // The status line is the output; the log speaks up when something is wrong.
    log.start("warn");
    let options = Options {
        cameras: arguments.cameras,
        port: arguments.port,
        seed: arguments.seed,
        keep_sights: arguments.picture.is_some(),
    };
    let runtime = runtime()?;
    let done = runtime.block_on(show(&options, arguments));
    runtime.shutdown_background();
    done
}

async fn show(options: &Options, arguments: &Arguments) -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut demo = Demo::start(options, &clock).await?;
    let shown = watch(&mut demo, options.cameras, arguments).await;
    // Whatever happened, the cameras say goodbye and tell what they did.
    let (summary, stopped) = demo.stop().await;
    for line in summary {
        say(&line)?;
    }
    shown?;
    Ok(stopped?)
}

/// Shows how it goes until the time is over or somebody asks us to stop.
async fn watch(demo: &mut Demo, cameras: u32, arguments: &Arguments) -> Result<(), Error> {
    let address = demo.address();
    say(&format!("{cameras} cameras over one plaza; broker on {address}. Watch with:"))?;
    let watch_with = |filter: &str| {
        let (ip, port) = (address.ip(), address.port());
        say(&format!("  mosquitto_sub -h {ip} -p {port} -V mqttv5 -t '{filter}' -v"))
    };
    watch_with("omnisight/swarm/#")?;
    say("or, for alerts only, with:")?;
    watch_with("omnisight/swarm/alerts/#")?;
    say("Commands, and what a fleet server gets (its cameras are plaza_1, ...):")?;
    say(&format!("  omnisight send status --camera plaza-1 --broker mqtt://{address}"))?;
    watch_with("lprserver/#")?;
    let recorder = Recorder::start(demo);
    let mut screen = StatusLine::new();
    // A time beyond all clocks is no end at all.
    let end = arguments.run_for.and_then(|time| Instant::now().checked_add(time));
    loop {
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        match demo.wait(left.min(Duration::from_secs(1))).await {
            Wake::Signal => break,
            Wake::Failed(error) => return Err(error.into()),
            Wake::Elapsed if left.is_zero() => break,
            Wake::Elapsed => screen.show(&demo.line())?,
        }
    }
    screen.end()?;
    match &arguments.picture {
        Some(file) => recorder.draw(demo, file),
        None => Ok(()),
    }
}

/// One line that stays in place on a terminal; one line each time elsewhere.
struct StatusLine {
    in_place: bool,
}

impl StatusLine {
    fn new() -> Self {
        Self { in_place: io::stdout().is_terminal() }
    }

    fn show(&mut self, line: &str) -> Result<(), Error> {
        let mut out = io::stdout();
        if self.in_place {
            // Back to the first column, and clear what the last line leaves over.
            write!(out, "\r{line}\x1b[K")?;
        } else {
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.in_place {
            writeln!(io::stdout())?;
        }
        Ok(())
    }
}
