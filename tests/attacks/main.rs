//! Attacks on a site, and its soak: three real cameras over the simulated plaza, a real mosquitto, and clients that
//! lie, flood or stay silent.
//!
//! Each scenario runs the binary as a black box and measures what the wire, the alerts and the logs of the cameras
//! show. It prints one row of a table and asserts the limits of the requirement. The binary is `OMNISIGHT_BIN` when
//! set, else the one that cargo built: so the same harness measures two builds.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `OMNISIGHT_BIN` | binary under test; with it the picture has its default size | of this build, with a small picture |
//! | `OMNISIGHT_ATTACK_SECONDS` | measured time of each attack | 40 |
//! | `OMNISIGHT_SOAK_MINUTES` | length of the soak on a site of its own | the baseline of the attacks |
//! | `OMNISIGHT_ATTACKS_TABLE` | file to which each row is appended, as a line of JSON | none |
//! | `OMNISIGHT_ATTACKS_KEEP` | folder that keeps configurations and logs | none: removed |
//!
//! ```text
//! OMNISIGHT_BIN=target/release/omnisight OMNISIGHT_ATTACK_SECONDS=300 OMNISIGHT_SOAK_MINUTES=30 \
//!     cargo test --test attacks -- --ignored --test-threads 1
//! ```
//!
//! The scenarios are ignored by default: they compare numbers of alarms over minutes, and a busy machine decides such a
//! comparison. `cargo test` runs the tests of the harness alone.
//!
//! Invariants: traffic goes to the loopback address only; every loop has a bound in count or time; the harness reads
//! JSON and log lines, not the structs of the library, so that it measures older builds too. Comparisons use a baseline
//! that runs beside the attacked site: the plaza is a function of seed and wall clock, so both see the same people.

#![cfg(test)]
#![cfg(unix)]
#![allow(clippy::print_stderr, reason = "test code")]

#[path = "../support/mod.rs"]
mod support;

mod burst;
mod claims;
mod forged;
mod site;
mod soak;
mod strangers;
mod table;
mod tally;
mod wire;

use std::future::Future;
use std::time::Duration;

use support::mosquitto::Mosquitto;

/// Measured time of each attack.
fn attack_time() -> Duration {
    Duration::from_secs(number("OMNISIGHT_ATTACK_SECONDS").unwrap_or(40))
}

/// Length of a soak on a site of its own; none: the baseline of the attacks serves.
fn soak_time() -> Option<Duration> {
    number("OMNISIGHT_SOAK_MINUTES").map(|minutes| Duration::from_secs(60 * minutes))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number, not {text:?}")))
}

/// Runs a scenario on a runtime of its own; none where mosquitto is not installed.
fn run<T>(scenario: impl Future<Output = T>) -> Option<T> {
    if !Mosquitto::installed() {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    Some(runtime.block_on(scenario))
}
