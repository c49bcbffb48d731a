//! `omnisight run` as its users meet it: the real program, real brokers, real signals.

#![cfg(test)]
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod capture;
mod life;
mod presence;
mod service;
mod swarm;
