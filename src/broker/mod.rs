//! The embedded MQTT broker, for a site that has none.
//!
//! ```text
//! listeners (plain, TLS, WebSocket, both) -> connection -> mqtt5's session, router, storage
//!    server                tls, takeover                     access: passwords, acl
//! ```
//!
//! This folder alone knows the `mqtt5` crate, so that it can be replaced. Every limit comes from
//! [`Options`], none from the crate's defaults. Sessions, their queues and retained messages are files
//! under `data_dir`, written a quarter of a second after the fact and completely at [`Broker::stop`]
//! (`server` has its order); without a `data_dir` they are in memory. So a stop loses nothing that was
//! acknowledged; a power cut or SIGKILL may lose the last quarter of a second.
//!
//! - Without users, or with `allow_anonymous`, anyone may connect: only on loopback addresses, or where
//!   `local_link_only` lets nobody in from beyond the switch.
//! - Passwords are written nowhere and compared in constant time, or are hashes (`passwords`).
//! - `$SYS` topics are off: retained on disk, they would wear the flash every few seconds.
//!
//! Where it differs from MQTT 5 (`tests/broker` holds what is said here):
//!
//! - User properties are passed on as they came, but for two names that the crate keeps to itself
//!   (`connection`).
//! - Overlapping subscriptions of one client bring one copy of a message each, each with its own
//!   subscription identifier: allowed (3.3.4), if not what mosquitto does.
//! - It takes topic aliases up to `topic_alias_maximum`, and uses none itself: allowed (3.3.2.3.4).
//! - A packet beyond `max_packet_bytes` and an alias beyond the maximum end the connection without the
//!   DISCONNECT that would say why (4.13 says SHOULD).
//! - A message too large for a subscriber's maximum packet size is dropped for it, as it must be; it
//!   counts with the properties that `connection` takes out, some 60 bytes more than are sent.
//!
//! What does not belong here: bridges to other brokers. Lengths are bytes.

mod access;
mod acl;
mod connection;
mod passwords;
mod server;
mod takeover;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::config::BrokerConfig;
use tokio::net::TcpListener;

pub use acl::Acl;
pub use passwords::Passwords;
pub use tls::{TlsFault, TlsFiles};

use crate::base::{ErrorKind, Secret};
use access::Access;
use server::{Server, Wire};
use tls::Acceptor;

/// The smallest packet limit that the crate accepts.
const PACKET_BYTES_MIN: usize = 1_024;

/// How the broker is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The same with TLS.
    pub tls_listen: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket_listen: Option<SocketAddr>,
    /// MQTT over WebSocket with TLS.
    pub websocket_tls_listen: Option<SocketAddr>,
    /// The certificate for the two with TLS.
    pub tls: Option<TlsFiles>,
    /// Who may connect, with which password.
    pub users: Vec<(String, Secret)>,
    /// More of them, from a password file.
    pub passwords: Passwords,
    /// Who may do what; without, everybody everything.
    pub acl: Option<Acl>,
    /// Anyone may connect. Only on loopback addresses, or with `local_link_only`.
    pub allow_anonymous: bool,
    /// What it sends dies at the first router (IPv4 time to live 1), so no connection from beyond the local
    /// network comes about, whatever its sender claims to be.
    pub local_link_only: bool,
    /// Connections at most.
    pub max_clients: usize,
    /// The largest packet, in bytes.
    pub max_packet_bytes: usize,
    /// Retained messages at most.
    pub max_retained: usize,
    /// Messages kept for one client that is away.
    pub max_queued_per_client: usize,
    /// Bytes kept for one client that is away.
    pub max_queued_bytes_per_client: usize,
    /// Messages on their way to one client that is connected; `QoS` 0 beyond it is dropped. Memory is
    /// only taken for what waits: with 2,000 and with 10,000 the broker and three cameras have 13 MB
    /// resident, and 50,000 messages as fast as they go reach three subscribers without a loss; so the
    /// lower one, which bounds what a client that stopped reading can hold.
    pub client_channel_capacity: usize,
    /// Messages sent to one client that it has not acknowledged.
    pub max_in_flight: u16,
    /// Messages that a client may send before they are acknowledged.
    pub receive_maximum: u16,
    /// Topic aliases that a client may use. Each holds a topic of up to 64 KiB.
    pub topic_alias_maximum: u16,
    /// Filters that one client may subscribe to. A camera in a large site names its neighbours one by
    /// one.
    pub max_subscriptions_per_client: usize,
    /// A session whose client stays away longer than this is forgotten.
    pub session_expiry_max: Duration,
    /// The keep alive of every client, whatever it asked for; without, what it asked for.
    pub keep_alive: Option<Duration>,
    /// Where sessions and retained messages are kept.
    pub data_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            tls_listen: None,
            websocket_listen: None,
            websocket_tls_listen: None,
            tls: None,
            users: Vec::new(),
            passwords: Passwords::default(),
            acl: None,
            allow_anonymous: false,
            local_link_only: false,
            max_clients: 128,
            max_packet_bytes: 1 << 20,
            max_retained: 10_000,
            max_queued_per_client: 1_000,
            max_queued_bytes_per_client: 8 << 20,
            client_channel_capacity: 2_000,
            max_in_flight: 64,
            receive_maximum: 256,
            topic_alias_maximum: 64,
            max_subscriptions_per_client: 1_000,
            session_expiry_max: Duration::from_hours(24),
            keep_alive: None,
            data_dir: None,
        }
    }
}

impl Options {
    /// The addresses that are asked for, each with how clients speak there.
    fn addresses(&self) -> Vec<(Wire, SocketAddr)> {
        let further = [
            (Wire::Tls, self.tls_listen),
            (Wire::WebSocket, self.websocket_listen),
            (Wire::WebSocketTls, self.websocket_tls_listen),
        ];
        let further = further.into_iter().filter_map(|(wire, address)| address.map(|a| (wire, a)));
        std::iter::once((Wire::Plain, self.listen)).chain(further).collect()
    }
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anyone could connect from anywhere.
    #[error(
        "broker: anonymous clients are allowed on a loopback address only, not on {listen}; name users, or listen on 127.0.0.1"
    )]
    AnonymousBeyondLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// Nobody could connect.
    #[error("broker: no users and anonymous clients not allowed: nobody could connect")]
    NobodyMayConnect,
    /// TLS without a certificate.
    #[error("broker: to listen with TLS it needs a certificate and its key")]
    NoCertificate,
    /// A file of the certificate can't be used.
    #[error("broker: {}: {}", .0.file.display(), .0.detail)]
    Tls(TlsFault),
    /// A limit that can't work.
    #[error("broker: {name} is {value}, it must be at least {least}")]
    Limit {
        /// Which.
        name: &'static str,
        /// The value found.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// The address can't be had.
    #[error("broker: cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The data folder can't be used.
    #[error("broker: cannot use the data folder {}: {source}", .data_dir.display())]
    DataDir {
        /// The folder.
        data_dir: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It did not start, or ended by itself.
    #[error("broker on {listen} failed: {detail}")]
    Failed {
        /// The address.
        listen: SocketAddr,
        /// What is known.
        detail: String,
    },
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AnonymousBeyondLoopback { .. }
            | Self::NobodyMayConnect
            | Self::NoCertificate
            | Self::Tls(_)
            | Self::Limit { .. } => ErrorKind::Config,
            Self::Listen { .. } | Self::DataDir { .. } => ErrorKind::Unavailable,
            Self::Failed { .. } => ErrorKind::Failed,
        }
    }
}

/// A running broker. Dropping it ends it without a flush; [`Broker::stop`] ends it in order.
pub struct Broker {
    addresses: Vec<(Wire, SocketAddr)>,
    access: Arc<Access>,
    server: Server,
}

/// Starts a broker on the present tokio runtime; when this returns it accepts connections.
pub async fn start(options: Options) -> Result<Broker, Error> {
    check(&options)?;
    if let Some(data_dir) = &options.data_dir {
        std::fs::create_dir_all(data_dir)
            .map_err(|source| Error::DataDir { data_dir: data_dir.clone(), source })?;
    }
    let acceptor = options.tls.clone().map(Acceptor::new).transpose().map_err(Error::Tls)?;
    let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
    for (wire, listen) in options.addresses() {
        let failed = |source| Error::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        if options.local_link_only {
            // Connections inherit it.
            listener.set_ttl(1).map_err(failed)?;
        }
        addresses.push((wire, listener.local_addr().map_err(failed)?));
        listeners.push((wire, listener));
    }
    let access = Arc::new(Access::new(&options));
    let config = configuration(&options);
    let server = Server::start(&options, config, Arc::clone(&access) as _, acceptor, listeners).await?;
    for (wire, address) in &addresses {
        tracing::info!(%address, ?wire, "broker listens");
    }
    Ok(Broker { addresses, access, server })
}

impl Broker {
    /// Where it listens, with the port it really has.
    pub fn local_addr(&self) -> SocketAddr {
        self.address(Wire::Plain).unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Where it listens with TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.address(Wire::Tls)
    }

    /// Where it listens for WebSocket.
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.address(Wire::WebSocket)
    }

    /// Where it listens for WebSocket with TLS.
    pub fn websocket_tls_addr(&self) -> Option<SocketAddr> {
        self.address(Wire::WebSocketTls)
    }

    /// Goes by the users, passwords and access list of these options from now on, for the next CONNECT,
    /// SUBSCRIBE and PUBLISH. Who is connected stays; the other options count for nothing here.
    pub fn set_access(&self, options: &Options) {
        self.access.replace(options);
    }

    fn address(&self, wanted: Wire) -> Option<SocketAddr> {
        self.addresses.iter().find(|(wire, _)| *wire == wanted).map(|(_, address)| *address)
    }

    /// Waits until it ends by itself, which is always a failure.
    pub async fn failed(&mut self) -> Error {
        let detail = self.server.failed().await;
        Error::Failed { listen: self.local_addr(), detail }
    }

    /// Ends connections, writes what is still in memory, and returns when the ports are free again.
    pub async fn stop(self) -> Result<(), Error> {
        let listen = self.local_addr();
        self.server.stop().await.map_err(|detail| Error::Failed { listen, detail })
    }
}

fn check(options: &Options) -> Result<(), Error> {
    let beyond = options.addresses().into_iter().find(|(_, address)| !address.ip().is_loopback());
    if let Some((_, listen)) = beyond
        && options.allow_anonymous
        && !options.local_link_only
    {
        return Err(Error::AnonymousBeyondLoopback { listen });
    }
    if !options.allow_anonymous && options.users.is_empty() && options.passwords.is_empty() {
        return Err(Error::NobodyMayConnect);
    }
    if options.tls.is_none() && (options.tls_listen.is_some() || options.websocket_tls_listen.is_some()) {
        return Err(Error::NoCertificate);
    }
    let limits = [
        ("max_clients", options.max_clients, 1),
        ("max_packet_bytes", options.max_packet_bytes, PACKET_BYTES_MIN),
        ("max_retained", options.max_retained, 1),
        ("max_queued_per_client", options.max_queued_per_client, 1),
        ("max_queued_bytes_per_client", options.max_queued_bytes_per_client, 1),
        ("client_channel_capacity", options.client_channel_capacity, 1),
        ("max_in_flight", usize::from(options.max_in_flight), 1),
        ("receive_maximum", usize::from(options.receive_maximum), 1),
        ("max_subscriptions_per_client", options.max_subscriptions_per_client, 1),
    ];
    match limits.into_iter().find(|(_, value, least)| value < least) {
        Some((name, value, least)) => Err(Error::Limit { name, value, least }),
        None => Ok(()),
    }
}

/// What the crate's sessions go by. Its listeners, storage and passwords are not used.
fn configuration(options: &Options) -> BrokerConfig {
    BrokerConfig {
        max_clients: options.max_clients,
        session_expiry_interval: options.session_expiry_max,
        max_packet_size: options.max_packet_bytes,
        topic_alias_maximum: options.topic_alias_maximum,
        max_subscriptions_per_client: options.max_subscriptions_per_client,
        max_retained_messages: options.max_retained,
        max_retained_message_size: options.max_packet_bytes,
        client_channel_capacity: options.client_channel_capacity,
        max_outbound_inflight: options.max_in_flight,
        server_receive_maximum: Some(options.receive_maximum),
        server_keep_alive: options.keep_alive,
        sys_topics_enabled: false,
        ..BrokerConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free_port() -> Options {
        anonymous(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn anonymous(listen: SocketAddr) -> Options {
        Options { listen, allow_anonymous: true, ..Options::default() }
    }

    #[tokio::test]
    async fn anonymous_clients_are_refused_beyond_loopback() {
        let error = start(anonymous(SocketAddr::from(([0, 0, 0, 0], 0)))).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("0.0.0.0:0"), "{error}");
    }

    #[tokio::test]
    async fn anonymous_clients_may_be_let_in_on_every_address_where_answers_die_at_the_first_router() {
        let everywhere = anonymous(SocketAddr::from(([0, 0, 0, 0], 0)));
        let broker = start(Options { local_link_only: true, ..everywhere }).await.unwrap();
        let port = broker.local_addr().port();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
        broker.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_broker_that_nobody_could_connect_to_is_refused() {
        let error = start(Options::default()).await.err().unwrap();
        assert!(matches!(error, Error::NobodyMayConnect), "{error}");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let broker = start(free_port()).await.unwrap();
        let error = start(anonymous(broker.local_addr())).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&broker.local_addr().to_string()), "{error}");
        broker.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stopped_broker_frees_its_port() {
        let broker = start(free_port()).await.unwrap();
        let listen = broker.local_addr();
        broker.stop().await.unwrap();
        let again = start(anonymous(listen)).await.unwrap();
        assert_eq!(again.local_addr(), listen);
    }

    #[tokio::test]
    async fn a_data_folder_that_is_a_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = Options { data_dir: Some(file.path().join("data")), ..free_port() };
        let error = start(options).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(matches!(error, Error::DataDir { .. }), "{error}");
    }
}
