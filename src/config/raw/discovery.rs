//! How cameras find each other: `[discovery]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How cameras of a site without a broker find each other, by multicast DNS, and agree on one that runs it.
/// What that broker goes by beside its address (users, access list, limits) is in `[broker]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    /// Announce this camera on the local network and listen to the others. When it is not set: where no
    /// broker is named, or one is to be found (`url = "discover"`).
    pub enabled: Option<bool>,
    /// Run the site's broker when the cameras agree on this one.
    pub host: bool,
    /// Where it listens then: an IPv4 address and a port. Without users and password file anyone on the local
    /// network may connect, and nobody from beyond it.
    pub listen: String,
    /// The network interfaces that are used, by name; empty: all.
    #[schemars(length(max = 16))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self { enabled: None, host: true, listen: "0.0.0.0:1883".into(), interfaces: Vec::new() }
    }
}
