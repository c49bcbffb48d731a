//! Delivery through everything that the field does to it: brokers that stop and are killed, links that
//! are cut in the middle of packets, cameras whose power goes, crowds that come back at once.
//!
//! Each test exists in two sizes. The small one runs with `cargo test`, in seconds; the full one by hand:
//!
//! ```sh
//! cargo test --release --test delivery -- --ignored full_ --nocapture --test-threads 1
//! ```
//!
//! The full ones print what they counted. "Lost" and "twice" are what a receiver sees that drops
//! duplicates by the messages' stable keys in a window of [`rig::WINDOW`].

#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "test code")]
#![allow(missing_docs, unreachable_pub, reason = "test code")]

#[path = "../support/mod.rs"]
mod support;

mod busy;
mod crowd;
mod disk;
mod kills;
mod links;
mod outages;
mod program_kills;
mod rig;
mod several;
mod slow;
