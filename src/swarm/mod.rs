//! The swarm: what this camera tells the others, and what it knows of them.
//!
//! Six families of messages (tracks, events, weights, consensus, status, alerts), each with its topics, QoS
//! and keys. [`message`] is their vocabulary, [`wire`] and [`bounded`] the
//! values they are made of, [`codec`] turns them into bytes and back, [`topic`] names the places, `neighbours`
//! decides whose tracks are listened to, [`peers`] is the bounded table of the other cameras, [`fusion`] the
//! one of the people on the site, `clock_sync` measures the offsets of their clocks, [`consensus`] the one of what
//! happens there, `participants` the cameras that vote on it, [`alert`] puts an incident into the words of operators,
//! [`trust`] says whom to believe,
//! and [`Engine`] puts them
//! together.
//!
//! Pure: no tokio, no I/O, no ambient time or randomness. `handle(input, now) -> actions`, so that
//! many cameras can run in one test, the same way every time.
//!
//! Nothing a peer sends panics, blocks, or grows memory past a named bound: what can't be understood
//! is refused with a counted reason. What we send, we can read: encoding refuses what decoding would.
//! Lengths are metres, speeds metres per second, times milliseconds since the epoch on the wire and
//! [`Time`](crate::base::Time) inside.
//!
//! Not here: sockets, reconnecting, queues of waiting messages (`link`), and what tracks and events
//! mean (`track`, `behavior`, `predict`).

pub mod alert;
pub mod bounded;
mod clock_sync;
pub mod codec;
pub mod consensus;
mod counters;
mod encodings;
mod engine;
pub mod fusion;
pub mod message;
pub mod msgpack;
mod neighbours;
mod open;
pub mod participants;
pub mod peers;
mod presence;
mod publish;
mod sequence;
mod surroundings;
pub mod topic;
pub mod trust;
pub mod wire;

pub use clock_sync::{ClockCounters, ClockOffset, ClockSync};
pub use counters::Counters;
pub use encodings::Encoding;
pub use engine::{Action, ClockMeasured, Engine, Ground, Identity, Input, Options, Tuning};
pub use neighbours::Options as NeighbourOptions;
pub use open::Opened;
pub use publish::Options as PublishOptions;
