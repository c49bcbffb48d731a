//! The fleet contract, as a fleet server meets it: the real program, real brokers.

#![cfg(test)]
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod detections;
mod dialogue;
mod orders;
mod rig;
mod watchlist;
