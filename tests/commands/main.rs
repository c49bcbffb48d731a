//! The other commands of the real program: what they print, what they write, and their exit codes.

#![cfg(test)]
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod configuration;
#[cfg(feature = "broker")]
mod demo;
mod fusion;
mod output;
mod replay;
mod secret;
mod verify;
mod video;
mod watch;
