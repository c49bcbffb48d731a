//! The swarm as its users see it: bytes in, bytes out, and cameras that talk through their engines.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod alerts;
mod clocks;
mod fixtures;
mod foreseen;
mod gaps;
mod hostile;
mod messages;
mod msgpack;
mod neighbours;
mod peers;
mod publishing;
mod roundtrip;
mod scenes;
mod trusting;
