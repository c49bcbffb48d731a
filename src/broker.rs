//! The embedded MQTT broker, for a site that has none.
//!
//! The only file that knows the `mqtt5` crate, so that it can be replaced. Every limit comes from
//! [`Options`], none from the crate's defaults. Sessions, their queues and retained messages are
//! files under `data_dir`, written some seconds after the fact and at [`Broker::stop`]; without a
//! `data_dir` they are in memory.
//!
//! - Without users, or with `allow_anonymous`, anyone may connect: only on a loopback address.
//! - Passwords are compared in memory, in constant time, and written nowhere. There is no lockout
//!   after wrong ones: cameras share addresses and user names, and one with a stale password would
//!   shut its neighbours out.
//! - `$SYS` topics are off: retained on disk, they would wear the flash every few seconds.
//!
//! What does not belong here: TLS, WebSocket, access lists. Lengths are bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::config::{AuthConfig, BrokerConfig, RateLimitConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{AuthProvider, AuthResult, BrokerShutdownHandle, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::task::JoinHandle;

use crate::base::{ErrorKind, Secret};

/// A session whose client stays away longer than this is forgotten.
const SESSION_EXPIRY_MAX: Duration = Duration::from_hours(24);
/// Expired sessions and messages are removed this often.
const CLEANUP_INTERVAL: Duration = Duration::from_mins(10);
/// Filters that one client may subscribe to. A camera in a large site names its neighbours one by one.
const SUBSCRIPTIONS_PER_CLIENT_MAX: usize = 1_000;
/// The smallest packet limit that the crate accepts.
const PACKET_BYTES_MIN: usize = 1_024;

/// How the broker is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may connect, with which password.
    pub users: Vec<(String, Secret)>,
    /// Anyone may connect. Only on a loopback address.
    pub allow_anonymous: bool,
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
    /// Where sessions and retained messages are kept.
    pub data_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            users: Vec::new(),
            allow_anonymous: false,
            max_clients: 128,
            max_packet_bytes: 1 << 20,
            max_retained: 10_000,
            max_queued_per_client: 1_000,
            max_queued_bytes_per_client: 8 << 20,
            client_channel_capacity: 2_000,
            data_dir: None,
        }
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
        /// The system's reason.
        source: std::io::Error,
    },
    /// It did not start, or ended by itself.
    #[error("broker on {listen} failed: {detail}")]
    Failed {
        /// The address.
        listen: SocketAddr,
        /// The crate's message.
        detail: String,
    },
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AnonymousBeyondLoopback { .. } | Self::NobodyMayConnect | Self::Limit { .. } => {
                ErrorKind::Config
            }
            Self::Listen { .. } | Self::DataDir { .. } => ErrorKind::Unavailable,
            Self::Failed { .. } => ErrorKind::Failed,
        }
    }
}

/// A running broker. Dropping it ends it without a flush; [`Broker::stop`] ends it in order.
pub struct Broker {
    local_addr: SocketAddr,
    shutdown: BrokerShutdownHandle,
    task: JoinHandle<mqtt5::Result<()>>,
}

/// Starts a broker on the present tokio runtime; when this returns it accepts connections.
pub async fn start(options: Options) -> Result<Broker, Error> {
    check(&options)?;
    let listen = options.listen;
    if let Some(data_dir) = &options.data_dir {
        std::fs::create_dir_all(data_dir)
            .map_err(|source| Error::DataDir { data_dir: data_dir.clone(), source })?;
    }
    let failed = |detail: String| Error::Failed { listen, detail };
    let broker = match MqttBroker::with_config(configuration(&options)).await {
        Ok(broker) => broker,
        // The crate's error is a text; the system says it again, as a value.
        Err(error) => {
            return Err(match std::net::TcpListener::bind(listen) {
                Err(source) => Error::Listen { listen, source },
                Ok(_) => failed(error.to_string()),
            });
        }
    };
    let users = Users { users: options.users, allow_anonymous: options.allow_anonymous };
    let mut broker = broker.with_auth_provider(Arc::new(users));
    let local_addr = broker.local_addr().ok_or_else(|| failed("it has no address".to_owned()))?;
    let shutdown = broker.shutdown_handle();
    let mut ready = broker.ready_receiver();
    let mut task = tokio::spawn(async move { broker.run().await });
    tokio::select! {
        accepted = ready.wait_for(|ready| *ready) => {
            if accepted.is_err() {
                return Err(ended(listen, (&mut task).await));
            }
        }
        outcome = &mut task => return Err(ended(listen, outcome)),
    }
    tracing::info!(%local_addr, "broker listens");
    Ok(Broker { local_addr, shutdown, task })
}

impl Broker {
    /// Where it listens, with the port it really has.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until it ends by itself, which is always a failure.
    pub async fn failed(&mut self) -> Error {
        ended(self.local_addr, (&mut self.task).await)
    }

    /// Ends connections, writes what is still in memory, and returns when the port is free again.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.shutdown.shutdown();
        match (&mut self.task).await {
            Ok(Ok(())) => Ok(()),
            outcome => Err(ended(self.local_addr, outcome)),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ended(listen: SocketAddr, outcome: Result<mqtt5::Result<()>, tokio::task::JoinError>) -> Error {
    let detail = match outcome {
        Ok(Ok(())) => "it ended by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Error::Failed { listen, detail }
}

fn check(options: &Options) -> Result<(), Error> {
    let listen = options.listen;
    if options.allow_anonymous && !listen.ip().is_loopback() {
        return Err(Error::AnonymousBeyondLoopback { listen });
    }
    if !options.allow_anonymous && options.users.is_empty() {
        return Err(Error::NobodyMayConnect);
    }
    let limits = [
        ("max_clients", options.max_clients, 1),
        ("max_packet_bytes", options.max_packet_bytes, PACKET_BYTES_MIN),
        ("max_retained", options.max_retained, 1),
        ("max_queued_per_client", options.max_queued_per_client, 1),
        ("max_queued_bytes_per_client", options.max_queued_bytes_per_client, 1),
        ("client_channel_capacity", options.client_channel_capacity, 1),
    ];
    match limits.into_iter().find(|(_, value, least)| value < least) {
        Some((name, value, least)) => Err(Error::Limit { name, value, least }),
        None => Ok(()),
    }
}

fn configuration(options: &Options) -> BrokerConfig {
    let storage = StorageConfig {
        backend: if options.data_dir.is_some() { StorageBackend::File } else { StorageBackend::Memory },
        base_dir: options.data_dir.clone().unwrap_or_default(),
        cleanup_interval: CLEANUP_INTERVAL,
        enable_persistence: true,
        max_queued_messages_per_client: options.max_queued_per_client,
        max_queued_bytes_per_client: options.max_queued_bytes_per_client,
    };
    // Replaced by `Users` before the first connection; the crate wants one that it can make.
    let auth = AuthConfig {
        allow_anonymous: true,
        rate_limit: RateLimitConfig { enabled: false, ..RateLimitConfig::default() },
        ..AuthConfig::default()
    };
    BrokerConfig {
        bind_addresses: vec![options.listen],
        max_clients: options.max_clients,
        session_expiry_interval: SESSION_EXPIRY_MAX,
        max_packet_size: options.max_packet_bytes,
        max_subscriptions_per_client: SUBSCRIPTIONS_PER_CLIENT_MAX,
        max_retained_messages: options.max_retained,
        max_retained_message_size: options.max_packet_bytes,
        client_channel_capacity: options.client_channel_capacity,
        auth_config: auth,
        storage_config: storage,
        sys_topics_enabled: false,
        ..BrokerConfig::default()
    }
}

/// Who may connect.
struct Users {
    users: Vec<(String, Secret)>,
    allow_anonymous: bool,
}

impl Users {
    fn admit(&self, connect: &ConnectPacket) -> AuthResult {
        let Some(username) = &connect.username else {
            return if self.allow_anonymous {
                AuthResult::success()
            } else {
                AuthResult::fail_with_reason(ReasonCode::NotAuthorized, "anonymous clients are not allowed")
            };
        };
        let password = connect.password.as_deref().unwrap_or_default();
        let known = |(name, secret): &(String, Secret)| {
            name == username && same(secret.reveal().as_bytes(), password)
        };
        if self.users.iter().any(known) {
            AuthResult::success_with_user(username.clone())
        } else {
            AuthResult::fail(ReasonCode::BadUsernameOrPassword)
        }
    }
}

/// Takes the same time wherever the two differ, so that a password can't be guessed letter by letter.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let difference = expected.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0 && expected.len() == given.len()
}

impl AuthProvider for Users {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = mqtt5::Result<AuthResult>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(self.admit(connect))))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        _topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        _topic_filter: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
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

    #[test]
    fn passwords_are_the_same_only_when_every_byte_is() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT"));
        assert!(!same(b"secret", b"secret1"));
        assert!(!same(b"secret", b""));
    }

    #[tokio::test]
    async fn anonymous_clients_are_refused_beyond_loopback() {
        let error = start(anonymous(SocketAddr::from(([0, 0, 0, 0], 0)))).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("0.0.0.0:0"), "{error}");
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
