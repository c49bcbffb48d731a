//! Taking orders, as other programs meet it: the real program, real brokers.

#![cfg(test)]
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod ear;
mod frames;
mod hostile;
mod send;
mod status;
mod trial;
