//! Opens the stream that a connection runs over: TCP, TLS when asked for, WebSocket when asked for.
//!
//! Every address of the name is tried in its turn, each with its share of the time. What goes wrong is
//! named by [`Error`]; nothing is tried twice.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::{Sink, Stream as _};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::link::error::Phase;
use crate::link::tls::{self, Certificates, TlsFault, TlsOptions};
use crate::link::{Error, Options};

/// Bytes that the kernel may hold and has not sent: what waits longer waits in the outbox, where newer
/// tracks replace older ones.
const UNSENT_BYTES_MAX: u32 = 16 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;
/// A frame of a WebSocket is at most as large as this many of our largest packets.
const PACKETS_PER_FRAME_MAX: usize = 4;

/// Resolves a name and a port.
pub(super) type Resolve = Arc<
    dyn Fn(String, u16) -> futures_util::future::BoxFuture<'static, io::Result<Vec<SocketAddr>>>
        + Send
        + Sync,
>;

/// Where to, and how.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    broker: String,
    timeout: Duration,
    tls: Option<TlsOptions>,
    /// The path of a WebSocket.
    websocket: Option<String>,
    max_packet_bytes: usize,
    resolve: Resolve,
}

impl Target {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            host: options.host.clone(),
            port: options.port,
            broker: options.broker(),
            timeout: options.connect_timeout,
            tls: options.tls.clone(),
            websocket: options.websocket.clone(),
            max_packet_bytes: options.max_packet_bytes,
            resolve: Arc::new(|host, port| {
                Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn resolving(self, resolve: Resolve) -> Self {
        Self { resolve, ..self }
    }

    /// Opens the stream; `reached` is called as it gets on.
    pub(super) async fn open(
        &self,
        mut reached: impl FnMut(Phase),
    ) -> Result<(Wire, Option<Certificates>), Error> {
        let stream = self.tcp().await?;
        reached(Phase::Securing);
        let mut certificates = None;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(Prompt(stream)),
            Some(options) => {
                let secure = tls::connect(options, &self.host, Prompt(stream)).await;
                let (stream, dates) = secure.map_err(|fault| self.insecure(fault))?;
                certificates = Some(dates);
                Box::new(stream)
            }
        };
        let wire = match &self.websocket {
            None => Wire::Stream(stream),
            Some(path) => Wire::WebSocket(Box::new(self.upgrade(path, stream).await?)),
        };
        reached(Phase::Greeting);
        Ok((wire, certificates))
    }

    fn insecure(&self, fault: TlsFault) -> Error {
        Error::Tls { broker: self.broker.clone(), fault }
    }

    async fn tcp(&self) -> Result<TcpStream, Error> {
        let unreachable = |detail: String| Error::Unreachable { broker: self.broker.clone(), detail };
        let addresses = (self.resolve)(self.host.clone(), self.port).await;
        let addresses = addresses.map_err(|error| unreachable(format!("name not found: {error}")))?;
        let share = self.timeout / (addresses.len().max(1) as u32);
        let mut last = unreachable("the name has no address".to_owned());
        for address in addresses {
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    tune(&stream);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = unreachable(format!("{address}: {error}")),
                Err(_) => last = unreachable(format!("{address}: no answer")),
            }
        }
        Err(last)
    }

    async fn upgrade(
        &self,
        path: &str,
        stream: Box<dyn Stream>,
    ) -> Result<WebSocketStream<Box<dyn Stream>>, Error> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let failed = |error: WsError| self.not_upgraded(&error);
        let mut request =
            format!("{scheme}://{host}:{}{path}", self.port).into_client_request().map_err(failed)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        let largest = self.max_packet_bytes.saturating_mul(PACKETS_PER_FRAME_MAX);
        let config = WebSocketConfig::default().max_message_size(Some(largest)).max_frame_size(Some(largest));
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        upgrade.await.map(|(stream, _)| stream).map_err(failed)
    }

    fn not_upgraded(&self, error: &WsError) -> Error {
        Error::NoWebSocket { broker: self.broker.clone(), detail: error.to_string() }
    }
}

/// Neither is worth failing for: a connection without them works, only later.
fn tune(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
    }
}

/// A connection that acknowledges what it reads at once (`TCP_QUICKACK`, RFC 1122 allows up to half a second).
///
/// A broker that leaves Nagle's algorithm on, as mosquitto does unless `set_tcp_nodelay` is set, holds a
/// small packet back while an earlier one is not acknowledged: what follows a PUBACK would wait 40 ms.
/// Linux forgets the wish as soon as it sends, so it is said again after each read.
struct Prompt(TcpStream);

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(context, buffer));
        #[cfg(target_os = "linux")]
        if let Err(error) = SockRef::from(&self.0).set_tcp_quickack(true) {
            tracing::trace!(%error, "TCP_QUICKACK could not be set");
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a connection runs over.
pub(super) enum Wire {
    Stream(Box<dyn Stream>),
    WebSocket(Box<WebSocketStream<Box<dyn Stream>>>),
}

impl Wire {
    /// Adds what came to `buffer`; how many bytes, 0 at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Stream(stream) => {
                buffer.reserve(READ_BYTES.saturating_sub(buffer.capacity() - buffer.len()).max(1));
                let mut piece = [0; READ_BYTES];
                let mut read = ReadBuf::new(&mut piece);
                ready!(Pin::new(stream).poll_read(cx, &mut read))?;
                buffer.extend_from_slice(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            }
            Self::WebSocket(socket) => loop {
                match ready!(Pin::new(&mut **socket).poll_next(cx)) {
                    Some(Ok(Message::Binary(bytes))) if !bytes.is_empty() => {
                        buffer.extend_from_slice(&bytes);
                        return Poll::Ready(Ok(bytes.len()));
                    }
                    Some(Ok(Message::Text(_))) => {
                        let words = "a text message on a WebSocket for MQTT";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
                    }
                    Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(0)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(into_io(error))),
                }
            },
        }
    }

    /// Writes what is in `buffer`, all of it or a part.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => {
                let written = ready!(Pin::new(stream).poll_write(cx, buffer))?;
                buffer.advance(written);
                if written == 0 {
                    Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
                } else {
                    Poll::Ready(Ok(()))
                }
            }
            Self::WebSocket(socket) => {
                ready!(Pin::new(&mut **socket).poll_ready(cx)).map_err(into_io)?;
                let message = Message::Binary(buffer.split().freeze());
                Poll::Ready(Pin::new(&mut **socket).start_send(message).map_err(into_io))
            }
        }
    }

    /// Passes on what layers above TCP still hold.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
            Self::WebSocket(socket) => Pin::new(&mut **socket).poll_flush(cx).map_err(into_io),
        }
    }

    /// Ends it in order.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::WebSocket(socket) => Pin::new(&mut **socket).poll_close(cx).map_err(into_io),
        }
    }
}

fn into_io(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        error => io::Error::other(error),
    }
}
