//! The embedded broker: `[broker]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Secret;

/// The embedded broker. What it keeps on disk is in the folder `broker` of `state.dir`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Run it inside this camera; `omnisight broker` runs it anyway.
    pub enabled: bool,
    /// Address and port on which it listens; `0.0.0.0:1883` for other machines. Port 0, a free
    /// port, is for `omnisight broker` alone.
    pub listen: String,
    /// The same with TLS, such as `0.0.0.0:8883`; needs a certificate and its key.
    pub tls_listen: Option<String>,
    /// MQTT over WebSocket, such as `127.0.0.1:8080`, whatever the path.
    pub websocket_listen: Option<String>,
    /// MQTT over WebSocket with TLS.
    pub websocket_tls_listen: Option<String>,
    /// The certificate chain that it shows, a PEM file; read again when it changes.
    pub tls_certificate: Option<PathBuf>,
    /// The key of the certificate, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// Clients must show a certificate that one of this PEM file's authorities has signed.
    pub tls_client_ca: Option<PathBuf>,
    /// Let clients in without a name; only when it listens on loopback.
    pub allow_anonymous: bool,
    /// Who may connect.
    #[schemars(length(max = 1024))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// More of them: a file that `mosquitto_passwd` writes.
    pub password_file: Option<PathBuf>,
    /// Who may publish and subscribe to what: a file in mosquitto's `acl_file` format. Without one
    /// everybody who may connect may do everything.
    pub acl_file: Option<PathBuf>,
    /// Most clients at once; more are refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_clients: u32,
    /// Largest packet in bytes; a client that sends a larger one is disconnected.
    #[schemars(range(min = 1024, max = 268_435_455))]
    pub max_packet_bytes: u32,
    /// Most retained messages.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_retained: u32,
    /// Most messages that wait for one client.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_queued_per_client: u32,
    /// Most bytes that wait for one client.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_queued_bytes_per_client: u32,
    /// Most messages on their way to one client that is connected; QoS 0 beyond it is dropped.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub client_channel_capacity: u32,
    /// Most messages sent to a client that it has not acknowledged.
    #[schemars(range(min = 1, max = 65_535))]
    pub max_in_flight: u16,
    /// Most messages that a client may send before they are acknowledged (MQTT 5 receive maximum).
    #[schemars(range(min = 1, max = 65_535))]
    pub receive_maximum: u16,
    /// Most topic aliases that a client may use; 0 turns them off.
    #[schemars(range(min = 0, max = 65_535))]
    pub topic_alias_maximum: u16,
    /// Filters that one client may subscribe to.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_subscriptions_per_client: u32,
    /// A session whose client stays away longer than this is forgotten.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub session_expiry_max_s: u32,
    /// The keep alive of every client, whatever it asked for (MQTT 5 server keep alive); when it is not
    /// set, what the client asked for.
    #[schemars(range(min = 1, max = 65_535))]
    pub keep_alive_s: Option<u16>,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: "127.0.0.1:1883".into(),
            tls_listen: None,
            websocket_listen: None,
            websocket_tls_listen: None,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            allow_anonymous: false,
            users: Vec::new(),
            password_file: None,
            acl_file: None,
            max_clients: 128,
            max_packet_bytes: 1_048_576,
            max_retained: 10_000,
            max_queued_per_client: 1000,
            max_queued_bytes_per_client: 8_388_608,
            client_channel_capacity: 2000,
            max_in_flight: 64,
            receive_maximum: 256,
            topic_alias_maximum: 64,
            max_subscriptions_per_client: 1000,
            session_expiry_max_s: 86_400,
            keep_alive_s: None,
        }
    }
}

/// Who may connect to the embedded broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user's name, unique.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The name of a secret that is the password.
    #[schemars(length(min = 1, max = 64))]
    pub password_secret: Option<String>,
}
