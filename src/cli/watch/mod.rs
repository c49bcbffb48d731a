//! `omnisight watch`: what all cameras of a site say, in one view: cameras and their health, tracks, events,
//! votes.
//!
//! On a terminal a screen that is drawn anew a few times a second (`view`), until `q`, Esc or Ctrl-C; elsewhere
//! a line for each thing that changes (`board` says which). It only listens: nothing is sent, and nothing
//! disturbs the cameras. What is shown is what was said on the broker; a camera that is silent says nothing
//! by it but its retained presence.

mod board;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::observer::{Observer, ObserverArguments};
use super::{Error, log, runtime, say};
use crate::base::{Clock, SystemClock};
use crate::model::Qos;
use crate::swarm::topic::Prefix;
use board::Board;

/// Between two pictures.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How long one wait for a key lasts, so that the thread sees that it is no longer needed.
const KEY_WITHIN: Duration = Duration::from_millis(200);
/// Keys that wait to be read.
const KEYS_MAX: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Stop after this long (30s, 2m); without it, at `q` or Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    run_for: Option<Duration>,
    /// Write lines even on a terminal.
    #[arg(long)]
    plain: bool,
    /// The first levels of the swarm's topics.
    #[arg(long, value_name = "TOPIC", default_value = "omnisight/swarm")]
    swarm_prefix: String,
    #[command(flatten)]
    observer: ObserverArguments,
}

pub(super) fn run(arguments: &Arguments, log: &log::Arguments) -> Result<(), Error> {
    // On a screen a line of the log would be dirt.
    log.start("error");
    let swarm = Prefix::parse(&arguments.swarm_prefix)
        .map_err(|error| Error::Usage(format!("--swarm-prefix: {error}")))?;
    let runtime = runtime()?;
    let done = runtime.block_on(watch(arguments, swarm));
    runtime.shutdown_background();
    done
}

async fn watch(arguments: &Arguments, swarm: Prefix) -> Result<(), Error> {
    let control = &arguments.observer.prefix;
    let mut subscriptions: Vec<(String, Qos)> =
        swarm.subscriptions().map(|(_, filter, _)| (filter, Qos::AtMostOnce)).into();
    for name in ["+/control/status", "+/data/metrics", "data/metrics"] {
        subscriptions.push((format!("{control}/{name}"), Qos::AtMostOnce));
    }
    let mut observer = Observer::start(&arguments.observer, "watch", &subscriptions)?;
    let board = Board::new(swarm, control);
    let until = arguments.run_for;
    let done = if io::stdout().is_terminal() && !arguments.plain {
        let terminal = ratatui::try_init()?;
        let shown = on_screen(terminal, board, &mut observer, until).await;
        ratatui::try_restore()?;
        shown
    } else {
        in_lines(board, &mut observer, until).await
    };
    observer.close().await;
    done
}

/// Waits for the end that was asked for.
async fn end(after: Option<Duration>) {
    match after {
        Some(after) => sleep(after).await,
        None => {
            // Where the signal can't be had, its default ends the process.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn on_screen(
    mut terminal: ratatui::DefaultTerminal,
    mut board: Board,
    observer: &mut Observer,
    until: Option<Duration>,
) -> Result<(), Error> {
    let clock = SystemClock::new();
    let mut keys = keys();
    let mut tick = interval(DRAW_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let over = end(until);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            // On a screen Ctrl-C is a key.
            key = keys.recv() => if key.is_none_or(|key| leaves(&key)) { return Ok(()) },
            _ = tick.tick() => {
                board.tick(clock.now());
                let link = observer.link_line();
                terminal.draw(|frame| view::draw(frame, &board, &link, clock.now()))?;
            }
            delivery = observer.next() => match delivery {
                Some(delivery) => board.hear(&delivery, clock.now(), &mut Vec::new()),
                None => return Err(observer.nobody()),
            },
        }
    }
}

async fn in_lines(mut board: Board, observer: &mut Observer, until: Option<Duration>) -> Result<(), Error> {
    let clock = SystemClock::new();
    let mut lines = Vec::new();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut link = String::new();
    let over = end(until);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            _ = tick.tick() => {
                board.tick(clock.now());
                let now = observer.link_line();
                if now != link {
                    say(&now)?;
                    link = now;
                }
            }
            delivery = observer.next() => match delivery {
                Some(delivery) => {
                    board.hear(&delivery, clock.now(), &mut lines);
                    for line in lines.drain(..) {
                        say(&line)?;
                    }
                }
                None => return Err(observer.nobody()),
            },
        }
    }
}

fn leaves(key: &Event) -> bool {
    let Event::Key(key) = key else { return false };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// Keys, read by a thread of its own: reading them blocks.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEY_WITHIN) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(key) => {
                        if sender.blocking_send(key).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                // The terminal is gone; so is whoever looked at it.
                Err(_) => return,
            }
        }
    });
    receiver
}
