//! Cameras that find each other on a switch without DNS, and agree on one of them as their broker.
//!
//! ```text
//! mDNS (mdns) -> Announcement -> Election (pure) -> start or stop the broker, use that one, announce
//!                                    ^ whether the link to the broker in use is up
//! ```
//!
//! [`Election`] decides, and knows nothing of sockets; [`Announcement`] is what it hears, with its form in
//! TXT records; [`Mdns`] is the only place that knows the crate `mdns-sd`. Whoever puts them together starts
//! brokers and links.
//!
//! What is on the wire: every camera announces `_omnisight._tcp.local.`, whoever runs a broker also
//! `_mqtt._tcp.local.`, so that other programs find it. A broker that is no camera's is believed to be the
//! site's when its `_mqtt._tcp` service has a TXT record `site=` with the site's name; our own broker, run alone,
//! announces itself so ([`Signpost`]).
//!
//! Whoever is on the switch is believed: mDNS has no signatures. A site that can't trust its switch names its
//! broker, with TLS, and needs none of this.
//!
//! - Bounded: [`PEERS_MAX`] others are known; others are counted. (The crate's own cache is bounded by the
//!   records' time to live alone.)
//! - IPv4 only.

mod announcement;
mod election;
mod mdns;

pub use announcement::{Announcement, BrokerKind, Offer, Own, Unreadable};
pub use election::{Action, Broker, Choice, Counters, Election, Input, Options, PEERS_MAX, Standing};
pub use mdns::{Error, Heard, Mdns, Signpost};

use core::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What must not be lost waits for so long at a broker that has just begun: until the others have come too. They
/// hear of it at once and need a second to leave the former one.
pub const GATHER: Duration = Duration::from_secs(3);

/// The longest keep alive of the link to a broker that was found: with the time for an answer, the loss of its
/// power is noticed after twice as long.
pub const KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);

/// Where a camera reaches a broker of its own that listens here.
pub fn reached_at(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())) } else { listen }
}

#[cfg(test)]
mod tests;
