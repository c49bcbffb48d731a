//! The listeners, the sessions behind them, and their orderly end.
//!
//! The crate's `ClientHandler`, router and file storage do MQTT. Its own server loop is not used,
//! because it would lose what we promise: it shakes TLS hands one at a time (one silent client keeps
//! every other out), goes on without a listener that it could not bind, does not wait for WebSocket
//! clients at a stop, and writes its queues to disk before the last sessions have given theirs back.
//!
//! Order of the stop: listeners closed; every client told (DISCONNECT 0x8B); [`CLIENTS_WITHIN`] later
//! the streams of those that do not read are cut; sessions hand what is on its way back to their
//! queues; queues, sessions and retained messages are on disk when [`Server::stop`] returns.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, FileBackend, MemoryBackend, QueueLimits, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::websocket_server::WebSocketStreamWrapper;
use mqtt5::broker::{AuthProvider, ResourceLimits, ResourceMonitor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::takeover::Seats;
use super::tls::Acceptor;
use super::{Error, Options};

/// Expired sessions and messages are removed this often.
const CLEANUP_EVERY: Duration = Duration::from_mins(10);
/// Sockets beyond `max_clients` whose clients have not said who they are.
const HANDSHAKES_MAX: usize = 64;
/// Longest WebSocket handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Clients may take this long to take the goodbye; then their streams are cut.
const CLIENTS_WITHIN: Duration = Duration::from_secs(2);
/// Sessions whose streams were cut may take this long to end.
const SESSIONS_WITHIN: Duration = Duration::from_secs(3);
/// The crate gives up waiting for its own writes after this long, without saying so.
const FLUSH_GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
/// So often is the flush asked for, at most.
const FLUSHES_MAX: usize = 12;
/// Room in a WebSocket message beyond the largest packet.
const WEBSOCKET_SLACK_BYTES: usize = 1 << 10;

/// How a listener's clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Plain,
    Tls,
    WebSocket,
    WebSocketTls,
}

impl Wire {
    fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::WebSocketTls)
    }
}

/// What every session shares.
struct Shared {
    config: Arc<BrokerConfig>,
    access: Arc<dyn AuthProvider>,
    acceptor: Option<Acceptor>,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    /// Tells sessions to end.
    goodbye: broadcast::Sender<()>,
    /// Cuts their streams.
    cut: CancellationToken,
    seats: Arc<Seats>,
    clients: TaskTracker,
    sockets_max: usize,
}

/// Running listeners.
pub(super) struct Server {
    shared: Arc<Shared>,
    /// The listeners' tasks and the housekeeping; none ends by itself.
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens what was kept, and serves the listeners.
    pub(super) async fn start(
        options: &Options,
        config: BrokerConfig,
        access: Arc<dyn AuthProvider>,
        acceptor: Option<Acceptor>,
        listeners: Vec<(Wire, TcpListener)>,
    ) -> Result<Self, Error> {
        let limits = QueueLimits {
            max_messages: options.max_queued_per_client,
            max_bytes: options.max_queued_bytes_per_client,
        };
        let storage = Arc::new(open(options.data_dir.as_ref(), limits).await?);
        let router = MessageRouter::with_storage(Arc::clone(&storage))
            .with_fallback_queue_limits(limits)
            .with_retained_limits(config.max_retained_messages, config.max_retained_message_size);
        let expiry_s = u32::try_from(options.session_expiry_max.as_secs()).unwrap_or(u32::MAX);
        let kept = async {
            storage.cleanup_expired().await?;
            router.recover_sessions(expiry_s).await?;
            router.initialize().await
        };
        kept.await.map_err(|error| data_dir(options.data_dir.as_ref(), &error))?;
        let shared = Arc::new(Shared {
            config: Arc::new(config),
            access,
            acceptor,
            router: Arc::new(router),
            storage,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(ResourceLimits {
                max_connections: options.max_clients,
                // Cameras of a site share an address; the one limit on clients is the limit.
                max_connections_per_ip: options.max_clients,
                max_message_rate_per_client: 0,
                max_bandwidth_per_client: 0,
                max_connection_rate: u32::MAX,
                rate_limit_window: Duration::from_secs(1),
            })),
            goodbye: broadcast::channel(1).0,
            cut: CancellationToken::new(),
            seats: Arc::default(),
            clients: TaskTracker::new(),
            sockets_max: options.max_clients + HANDSHAKES_MAX,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_house(Arc::clone(&shared)));
        for (wire, listener) in listeners {
            tasks.spawn(accept(wire, listener, Arc::clone(&shared)));
        }
        Ok(Self { shared, tasks })
    }

    /// Waits until a part of it ends, which none does in order.
    pub(super) async fn failed(&mut self) -> String {
        match self.tasks.join_next().await.map(|ended| ended.map_err(JoinError::into)) {
            Some(Err::<(), Box<dyn std::error::Error + Send + Sync>>(error)) => error.to_string(),
            _ => "it ended by itself".to_owned(),
        }
    }

    /// See the module. The error says what may not have been kept.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        self.tasks.shutdown().await;
        let Shared { goodbye, cut, clients, storage, .. } = &*self.shared;
        clients.close();
        // Nobody listens when there are no clients.
        let _ = goodbye.send(());
        if timeout(CLIENTS_WITHIN, clients.wait()).await.is_err() {
            cut.cancel();
            if timeout(SESSIONS_WITHIN, clients.wait()).await.is_err() {
                tracing::warn!("broker: {} sessions do not end; left behind", clients.len());
            }
        }
        for _ in 0..FLUSHES_MAX {
            let started = Instant::now();
            storage.shutdown().await.map_err(|error| error.to_string())?;
            if started.elapsed() < FLUSH_GIVEN_UP_AFTER {
                return Ok(());
            }
        }
        Err("the disk does not take what is queued".to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.shared.goodbye.send(());
        self.shared.cut.cancel();
    }
}

async fn open(folder: Option<&PathBuf>, limits: QueueLimits) -> Result<DynamicStorage, Error> {
    match folder {
        None => Ok(DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits))),
        Some(path) => match FileBackend::with_queue_limits(path, limits).await {
            Ok(files) => Ok(DynamicStorage::File(files)),
            Err(error) => Err(data_dir(folder, &error)),
        },
    }
}

fn data_dir(folder: Option<&PathBuf>, error: &mqtt5::MqttError) -> Error {
    let source = std::io::Error::other(error.to_string());
    Error::DataDir { data_dir: folder.cloned().unwrap_or_default(), source }
}

async fn keep_house(shared: Arc<Shared>) {
    let mut turn = interval(CLEANUP_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if let Err(error) = shared.storage.cleanup_expired().await {
            tracing::warn!(%error, "broker: what has expired can't be removed");
        }
        shared.router.sweep_sessions().await;
        shared.monitor.cleanup_expired_windows().await;
    }
}

async fn accept(wire: Wire, listener: TcpListener, shared: Arc<Shared>) {
    /// The system has no socket to give at the moment.
    const REST: Duration = Duration::from_millis(100);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let full = shared.clients.len() >= shared.sockets_max
                    || !shared.monitor.can_accept_connection(address.ip()).await;
                if full {
                    tracing::warn!(%address, "broker: full, a client is turned away");
                    continue;
                }
                shared.clients.spawn(serve(wire, stream, address, Arc::clone(&shared)));
            }
            Err(error) => {
                tracing::warn!(%error, "broker: a connection can't be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(wire: Wire, stream: TcpStream, address: SocketAddr, shared: Arc<Shared>) {
    // A small packet must not wait for the next one; a stream that is gone says so when it is read.
    let _ = stream.set_nodelay(true);
    let goodbye = shared.goodbye.subscribe();
    let served = match (&shared.acceptor, wire.has_tls()) {
        (Some(acceptor), true) => match acceptor.accept(stream).await {
            Ok(stream) => speak(wire, stream, address, &shared, goodbye).await,
            Err(error) => Err(format!("TLS handshake: {error}")),
        },
        _ => speak(wire, stream, address, &shared, goodbye).await,
    };
    if let Err(error) = served {
        tracing::debug!(%address, %error, "broker: connection ended");
    }
}

async fn speak<S>(
    wire: Wire,
    stream: S,
    address: SocketAddr,
    shared: &Arc<Shared>,
    goodbye: broadcast::Receiver<()>,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let (cut, seats) = (&shared.cut, Arc::clone(&shared.seats));
    let transport = if matches!(wire, Wire::WebSocket | Wire::WebSocketTls) {
        let stream = websocket(stream, shared.config.max_packet_size).await?;
        BrokerTransport::WebSocket(Box::new(Connection::new(stream, address, cut, seats)))
    } else {
        BrokerTransport::WebSocket(Box::new(Connection::new(stream, address, cut, seats)))
    };
    let session = ClientHandler::new(
        transport,
        address,
        Arc::clone(&shared.config),
        Arc::clone(&shared.router),
        Arc::clone(&shared.access),
        Some(Arc::clone(&shared.storage)),
        Arc::clone(&shared.stats),
        Arc::clone(&shared.monitor),
        goodbye,
    );
    session.run().await.map_err(|error| error.to_string())
}

/// MQTT over WebSocket (MQTT 5, 6): binary frames, the subprotocol `mqtt`; whatever the path.
async fn websocket<S>(stream: S, max_packet_bytes: usize) -> Result<WebSocketStreamWrapper<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let largest = Some(max_packet_bytes + WEBSOCKET_SLACK_BYTES);
    let config = WebSocketConfig::default().max_message_size(largest).max_frame_size(largest);
    #[expect(clippy::result_large_err, reason = "the crate's own type")]
    let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let asked = request.headers().get("Sec-WebSocket-Protocol").and_then(|value| value.to_str().ok());
        if asked.is_some_and(|asked| asked.split(',').any(|protocol| protocol.trim() == "mqtt")) {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        }
        Ok(response)
    };
    match timeout(HANDSHAKE_WITHIN, accept_hdr_async_with_config(stream, answer, Some(config))).await {
        Ok(Ok(stream)) => Ok(WebSocketStreamWrapper::new(stream)),
        Ok(Err(error)) => Err(format!("WebSocket handshake: {error}")),
        Err(_) => Err(format!("WebSocket handshake: nothing for {} s", HANDSHAKE_WITHIN.as_secs())),
    }
}
