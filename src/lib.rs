//! OmniSight: a camera daemon that sees, follows, foresees, and agrees with its neighbours.
//!
//! The data flows one way:
//!
//! ```text
//! capture -> inference -> track -> behavior -> predict -> Scene -> swarm -> router -> link -> broker
//! (thread)  (one perception thread: pipeline)            (watch)  (surface)          (connection)
//! ```
//!
//! A frame becomes detections, detections become tracks, tracks get a place on the ground, a
//! behaviour and a forecast: one immutable [`model::Scene`]. Surfaces translate scenes into
//! envelopes and deliveries into what others saw; they never touch a socket. The link moves
//! envelopes and knows nothing of their meaning.
//!
//! # Who may know whom
//!
//! `tests/imports.rs` reads the `use crate::` lines and holds this list.
//!
//! - [`base`] knows nothing of ours; [`model`] knows `base`.
//! - `track`, `behavior`, `predict`, `swarm`, `control`, `fleet`, the session logic of `link` and the election of
//!   `discovery` are pure:
//!   no tokio, no I/O, no ambient time or randomness. `handle(input, now) -> actions`.
//! - `capture`, `inference`, `link`, `broker`, `discovery` know `model` and `base`, never each other.
//! - [`picture`] draws a scene for people; it knows `model` and `base`, and only `app` and `cli` know it.
//! - [`simulate`] runs many swarm engines in virtual time; it knows `base`, `model` and `swarm`.
//! - `config` knows the options of each part; no part knows `config`.
//! - [`state`] is the state board: it knows the status types of the parts, and only `app` knows it.
//! - `app` knows all; only `cli` knows `app`.

pub mod app;
pub mod base;
pub mod behavior;
#[cfg(feature = "broker")]
pub mod broker;
pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod discovery;
pub mod fleet;
pub mod inference;
pub mod link;
pub mod model;
pub mod picture;
pub mod pipeline;
pub mod platform;
pub mod predict;
pub mod secrets;
pub mod simulate;
pub mod state;
pub mod store;
pub mod supervisor;
pub mod swarm;
pub mod track;
