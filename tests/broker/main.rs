//! The embedded broker: limits, conformance, listeners, access, and a stop that loses nothing.

#![cfg(feature = "broker")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(missing_docs, unreachable_pub, reason = "test code")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod conformance;
mod limits;
mod listeners;
mod raw;
mod stop;
