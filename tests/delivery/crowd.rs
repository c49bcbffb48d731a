//! Many sessions that lose their broker at once, and how they come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use omnisight::base::{BackoffOptions, SystemClock};
use omnisight::link::{self, Client, LinkHandle, State};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{Kind, Setup, TestBroker, kinds, link_options};

/// A slot of the full test.
const SLOT: Duration = Duration::from_millis(100);
/// Of all reconnects, at most so many in a slot.
const SLOT_SHARE_MAX: f64 = 0.05;
/// All are back within.
const BACK_WITHIN: Duration = Duration::from_secs(90);

/// Milliseconds from the broker's return to each session's reconnect.
async fn reconnects(sessions: usize, down: Duration, backoff: BackoffOptions) -> Vec<u64> {
    let mut broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let options = link::Options { backoff, ..link_options(broker.port()) };
    let mut links: Vec<LinkHandle> = Vec::new();
    for session in 0..sessions {
        let client = Client { id: format!("camera-{session}"), ..Client::default() };
        let (link, _) = link::spawn(&options, client, Arc::new(SystemClock::new())).unwrap();
        links.push(link);
    }
    for link in &links {
        let mut status = link.status();
        timeout(BACK_WITHIN, status.wait_for(|status| status.state == State::Connected))
            .await
            .unwrap()
            .unwrap();
    }
    broker.stop().await;
    tokio::time::sleep(down).await;
    let connected: Vec<u64> = links.iter().map(|link| link.status().borrow().counters.connects).collect();
    let back = Instant::now();
    broker.start_again().await;
    let mut waits = JoinSet::new();
    for (link, before) in links.iter().zip(connected) {
        let mut status = link.status();
        waits.spawn(async move {
            let again = status.wait_for(|s| s.state == State::Connected && s.counters.connects > before);
            timeout(BACK_WITHIN, again).await.expect("it does not come back").unwrap();
            back.elapsed().as_millis() as u64
        });
    }
    let mut times = waits.join_all().await;
    times.sort_unstable();
    times
}

fn largest_slot(times: &[u64]) -> usize {
    let slot = SLOT.as_millis() as u64;
    let in_slot = |start: u64| times.iter().filter(|time| (start..start + slot).contains(*time)).count();
    times.iter().map(|time| in_slot(*time)).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_comes_back_after_its_broker_was_down() {
    if !kinds().contains(&Kind::Mosquitto) {
        return;
    }
    let backoff = link_options(0).backoff;
    let times = reconnects(40, Duration::from_millis(500), backoff).await;
    assert_eq!(times.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about two minutes"]
async fn full_two_hundred_sessions_come_back_spread_out_after_twenty_seconds() {
    if !kinds().contains(&Kind::Mosquitto) {
        return;
    }
    let sessions = 200;
    let times = reconnects(sessions, Duration::from_secs(20), BackoffOptions::default()).await;
    let largest = largest_slot(&times);
    let share = largest as f64 / sessions as f64;
    eprintln!(
        "{sessions} sessions, broker down for 20 s: largest slot of 100 ms {largest} ({:.1} %), first back after \
         {} ms, half after {} ms, last after {} ms",
        share * 100.0,
        times[0],
        times[sessions / 2],
        times[sessions - 1]
    );
    assert!(share <= SLOT_SHARE_MAX, "{largest} of {sessions} in 100 ms");
    assert!(times[sessions - 1] <= BACK_WITHIN.as_millis() as u64);
}
