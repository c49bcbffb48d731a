//! `omnisight run` as its users meet it: the real program, real brokers, real signals.

#![cfg(test)]
#![cfg(unix)]

#[path = "../support/mod.rs"]
mod support;

mod capture;
mod hostile;
mod life;
#[cfg(feature = "broker")]
mod own_broker;
mod presence;
mod reload;
mod service;
