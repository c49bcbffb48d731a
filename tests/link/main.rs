//! The link against real brokers (the embedded one, and mosquitto where it is installed), against the
//! fault proxy, and against brokers that are written to misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "../support/mod.rs"]
mod support;

mod brokers;
mod faults;
mod limited;
mod misbehaving;
mod tls;
mod versions;
