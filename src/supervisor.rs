//! Named tasks, and what their end means.
//!
//! Every long-running part is registered under a name, whether it is a future or a thread. A part
//! that ends is reported once by [`Supervisor::next_end`]: whoever runs the daemon knows which ends
//! are in order and which are failures. A panic is never in order: it is caught here, logged with the
//! part's name, and reported as [`End::Panicked`], so that the process can say goodbye and leave with
//! the exit code of a bug.
//!
//! Does not decide what to restart: sources and links restart themselves, with jittered backoff;
//! whatever ends here can't be repaired by trying again.

use std::collections::BTreeMap;
use std::future::Future;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

/// How a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It returned.
    Returned,
    /// It panicked, with this message.
    Panicked(String),
}

/// A part that stands still for longer hangs.
pub const STILL_MAX: Duration = Duration::from_secs(5);

/// Whether the parts of a process move on, each by a number that rises with its turns.
#[derive(Debug, Default)]
pub struct Progress {
    seen: BTreeMap<&'static str, (u64, Instant)>,
}

impl Progress {
    /// Takes the numbers as they are now; the parts that have stood still for longer than [`STILL_MAX`].
    pub fn still(&mut self, turns: &[(&'static str, u64)], now: Instant) -> Vec<&'static str> {
        let mut still = Vec::new();
        for &(part, turns) in turns {
            let (seen, since) = self.seen.entry(part).or_insert((turns, now));
            if *seen != turns {
                (*seen, *since) = (turns, now);
            } else if now.duration_since(*since) > STILL_MAX {
                still.push(part);
            }
        }
        still
    }
}

/// The parts that run.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<(String, End)>,
}

impl Supervisor {
    /// Runs a future as the part `name`.
    pub fn spawn(&mut self, name: impl Into<String>, future: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        self.tasks.spawn(async move {
            let end = end_of(tokio::spawn(future).await);
            (name, end)
        });
    }

    /// Watches a thread as the part `name`.
    pub fn watch_thread(&mut self, name: impl Into<String>, thread: JoinHandle<()>) {
        let name = name.into();
        self.tasks.spawn(async move {
            let (sender, receiver) = oneshot::channel();
            // Joining blocks; a thread that waits for a thread is cheaper than a special case.
            let waiter = std::thread::Builder::new().name("join".to_owned()).spawn(move || {
                let joined = thread.join().map_err(|payload| message(payload.as_ref()));
                let _ = sender.send(joined);
            });
            let end = match (waiter, receiver.await) {
                (Ok(_), Ok(Ok(()))) => End::Returned,
                (Ok(_), Ok(Err(message))) => End::Panicked(message),
                (Err(error), _) => End::Panicked(format!("no thread to wait for it: {error}")),
                (Ok(_), Err(_)) => End::Panicked("its watcher vanished".to_owned()),
            };
            (name, end)
        });
    }

    /// Waits for the next part to end; never returns when there is none.
    pub async fn next_end(&mut self) -> (String, End) {
        match self.tasks.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => ("supervisor".to_owned(), end_of(Err(error))),
            None => std::future::pending().await,
        }
    }

    /// Waits until every part has ended; the first panic among them, if there was one.
    pub async fn join_all(mut self) -> Option<(String, String)> {
        let mut panicked = None;
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok((name, End::Panicked(message))) = ended {
                panicked.get_or_insert((name, message));
            }
        }
        panicked
    }
}

fn end_of(joined: Result<(), JoinError>) -> End {
    match joined {
        Ok(()) => End::Returned,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => End::Panicked(message(payload.as_ref())),
            Err(_cancelled) => End::Returned,
        },
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_or_a_thread_is_reported_with_its_name() {
        let mut parts = Supervisor::default();
        parts.spawn("task", async { panic!("one") });
        assert_eq!(parts.next_end().await, ("task".to_owned(), End::Panicked("one".to_owned())));
        let thread = std::thread::spawn(|| panic!("{}", "two"));
        parts.watch_thread("thread", thread);
        assert_eq!(parts.next_end().await, ("thread".to_owned(), End::Panicked("two".to_owned())));
    }

    #[test]
    fn a_part_that_stands_still_is_named_until_it_moves_on() {
        let (mut progress, began) = (Progress::default(), Instant::now());
        let later = |seconds| began + Duration::from_secs(seconds);
        assert!(progress.still(&[("a", 1), ("b", 1)], later(0)).is_empty());
        assert!(progress.still(&[("a", 2), ("b", 1)], later(5)).is_empty());
        assert_eq!(progress.still(&[("a", 3), ("b", 1)], later(6)), ["b"]);
        assert!(progress.still(&[("a", 4), ("b", 2)], later(7)).is_empty());
    }

    #[tokio::test]
    async fn a_part_that_returns_is_reported_once() {
        let mut parts = Supervisor::default();
        parts.spawn("task", async {});
        parts.watch_thread("thread", std::thread::spawn(|| {}));
        let mut names = [parts.next_end().await, parts.next_end().await].map(|(name, end)| {
            assert_eq!(end, End::Returned);
            name
        });
        names.sort();
        assert_eq!(names, ["task", "thread"]);
        assert_eq!(parts.join_all().await, None);
    }
}
