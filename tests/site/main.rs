//! Three real cameras and a real broker: what happens on the site is one event, on every camera, whoever
//! is cut off or killed.

#![cfg(test)]
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod agreement;
#[cfg(feature = "broker")]
mod finding;
mod neighbours;
mod stage;
