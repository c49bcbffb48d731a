//! What stands between a client's stream and the session that serves it.
//!
//! Three things that the crate has no option for:
//!
//! - What a client says after its CONNECT is held back until its former connection has ended ([`super::takeover`]).
//! - A stream can be cut from outside. A client that has stopped reading would hold up the stop of the
//!   broker for as long as its keep alive; once its stream is cut, its session ends as one whose network
//!   broke, and what was on its way to it is queued and kept.
//! - The crate adds the publisher's client id and user name to each message as user properties
//!   (`x-mqtt-client-id`, `x-mqtt-sender`). A broker must pass user properties on as they are
//!   [MQTT-3.3.2-17], and who may read a topic need not know who logs in how: they are taken out again.
//!   (A publisher's own properties of these two names are lost in the crate; that remains.)
//!
//! Relies on the crate writing each packet with one call, which is checked by the packet's own length:
//! what does not fit is passed on as it is.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::takeover::{Gate, Seats};

/// User properties that the crate adds.
const ADDED: [&[u8]; 2] = [b"x-mqtt-client-id", b"x-mqtt-sender"];
/// Bytes read at once while the CONNECT comes in.
const CONNECT_READ_BYTES: usize = 1_024;

/// See the module.
pub(super) struct Connection<S> {
    stream: S,
    address: SocketAddr,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_cut: bool,
    gate: Gate,
    /// Of a packet that is passed on as it is, bytes not yet taken over.
    passing: usize,
    /// A packet that was changed, not yet written.
    pending: BytesMut,
}

impl<S> Connection<S> {
    /// `cut` ends all connections; `seats` are those that they have.
    pub(super) fn new(stream: S, address: SocketAddr, cut: &CancellationToken, seats: Arc<Seats>) -> Self {
        let cut = cut.child_token();
        Self {
            stream,
            address,
            cut: Box::pin(cut.clone().cancelled_owned()),
            is_cut: false,
            gate: Gate::new(seats, cut),
            passing: 0,
            pending: BytesMut::new(),
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(cx).is_ready();
        if self.is_cut {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the broker has cut it"))
        } else {
            Ok(())
        }
    }
}

impl<S: AsyncWrite + Unpin> Connection<S> {
    fn write_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        ready!(self.gate.poll_open(cx));
        let Some(limit) = self.gate.limit() else {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        };
        let mut piece = [0; CONNECT_READ_BYTES];
        let mut read = ReadBuf::new(&mut piece[..limit.min(buf.remaining()).min(CONNECT_READ_BYTES)]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.gate.read(read.filled());
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        ready!(self.write_pending(cx))?;
        if self.passing == 0 {
            self.gate.writes(buf);
        }
        if self.passing == 0
            && self.gate.is_v5()
            && let Some(changed) = without_added(buf)
        {
            self.pending = changed;
            // What does not leave now leaves with the flush.
            if let Poll::Ready(Err(error)) = self.write_pending(cx) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(buf.len()));
        }
        let whole = if self.passing == 0 { buf.len() } else { self.passing };
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.passing = whole.saturating_sub(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        ready!(self.write_pending(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> WebSocketTransport for Connection<S> {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A PUBLISH of MQTT 5 without the properties that the crate added; none when it is something else,
/// or has none.
fn without_added(packet: &[u8]) -> Option<BytesMut> {
    const PUBLISH: u8 = 3;
    let first = *packet.first()?;
    let (length, length_bytes) = variable_integer(packet.get(1..)?)?;
    let body = packet.get(1 + length_bytes..)?;
    if first >> 4 != PUBLISH || body.len() != length {
        return None;
    }
    let topic_bytes = 2 + usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let has_packet_id = first & 0b0110 != 0;
    let before = topic_bytes + if has_packet_id { 2 } else { 0 };
    let (properties_bytes, properties_length_bytes) = variable_integer(body.get(before..)?)?;
    let start = before + properties_length_bytes;
    let properties = body.get(start..start + properties_bytes)?;
    let payload = &body[start + properties_bytes..];
    let kept = kept_properties(properties)?;
    let mut changed = BytesMut::with_capacity(packet.len());
    let mut kept_length = BytesMut::new();
    put_variable_integer(&mut kept_length, kept.len());
    changed.extend_from_slice(&[first]);
    put_variable_integer(&mut changed, before + kept_length.len() + kept.len() + payload.len());
    for part in [&body[..before], &kept_length, &kept, payload] {
        changed.extend_from_slice(part);
    }
    Some(changed)
}

/// The properties but those that the crate added; none when there are none of them.
fn kept_properties(properties: &[u8]) -> Option<BytesMut> {
    let mut kept = BytesMut::with_capacity(properties.len());
    let mut rest = properties;
    while !rest.is_empty() {
        let length = property_bytes(rest)?;
        let property = rest.get(..length)?;
        let is_added = property[0] == USER_PROPERTY && ADDED.contains(&text(&property[1..])?);
        if !is_added {
            kept.extend_from_slice(property);
        }
        rest = &rest[length..];
    }
    (kept.len() < properties.len()).then_some(kept)
}

const USER_PROPERTY: u8 = 0x26;

/// How long the property at the front is, its identifier included (MQTT 5, 2.2.2.2; those of a PUBLISH).
fn property_bytes(properties: &[u8]) -> Option<usize> {
    let value = &properties[1..];
    let text_bytes = |at: usize| Some(2 + text(value.get(at..)?)?.len());
    Some(
        1 + match properties[0] {
            // Payload format indicator.
            0x01 => 1,
            // Message expiry interval.
            0x02 => 4,
            // Content type, response topic, correlation data.
            0x03 | 0x08 | 0x09 => text_bytes(0)?,
            // Subscription identifier.
            0x0b => variable_integer(value)?.1,
            // Topic alias.
            0x23 => 2,
            USER_PROPERTY => {
                let name = text_bytes(0)?;
                name + text_bytes(name)?
            }
            _ => return None,
        },
    )
}

/// The text, or the bytes, at the front, without its length.
pub(super) fn text(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    bytes.get(2..2 + length)
}

/// The integer at the front and the bytes it takes (MQTT 5, 1.5.5).
pub(super) fn variable_integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

fn put_variable_integer(to: &mut BytesMut, mut value: usize) {
    loop {
        let more = if value > 0x7f { 0x80 } else { 0 };
        to.extend_from_slice(&[(value & 0x7f) as u8 | more]);
        value >>= 7;
        if value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn put_text(to: &mut Vec<u8>, text: &[u8]) {
        to.extend((text.len() as u16).to_be_bytes());
        to.extend(text);
    }

    fn publish(properties: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        put_text(&mut body, b"a/b");
        body.extend([0, 7]);
        let mut length = BytesMut::new();
        put_variable_integer(&mut length, properties.len());
        body.extend(&length);
        body.extend(properties);
        body.extend(payload);
        let mut packet = BytesMut::from(&[0x32_u8][..]);
        put_variable_integer(&mut packet, body.len());
        packet.extend(&body);
        packet.to_vec()
    }

    fn user_property(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut property = vec![USER_PROPERTY];
        put_text(&mut property, name);
        put_text(&mut property, value);
        property
    }

    const CONNECT_V5: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0];

    #[test]
    fn what_the_crate_added_is_taken_out_and_all_else_stays() {
        let own = [&[0x01, 1][..], &user_property(b"trace", b"1"), &[0x0b, 0x85, 0x01]].concat();
        let added =
            [&own[..], &user_property(b"x-mqtt-sender", b"u"), &user_property(b"x-mqtt-client-id", b"c")];
        let changed = without_added(&publish(&added.concat(), b"payload")).unwrap();
        assert_eq!(changed.to_vec(), publish(&own, b"payload"));
        assert_eq!(without_added(&publish(&own, b"payload")), None);
    }

    #[tokio::test]
    async fn packets_come_out_in_order_through_a_stream_that_takes_little_at_once() {
        let (client, stream) = tokio::io::duplex(8);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut connection = Connection::new(stream, address, &CancellationToken::new(), Arc::default());
        let (mut client_read, mut client_write) = tokio::io::split(client);
        let sends = async {
            client_write.write_all(&CONNECT_V5).await.unwrap();
        };
        let mut connect = [0; 15];
        let ((), read) = tokio::join!(sends, connection.read_exact(&mut connect));
        read.unwrap();
        let added = user_property(b"x-mqtt-client-id", b"camera");
        let pingresp = vec![0xd0, 0];
        let sent =
            [publish(&added, b"one"), pingresp.clone(), publish(&[], b"two"), publish(&added, b"three")];
        let wanted = [publish(&[], b"one"), pingresp, publish(&[], b"two"), publish(&[], b"three")].concat();
        let writes = async {
            for packet in &sent {
                connection.write_all(packet).await.unwrap();
                connection.flush().await.unwrap();
            }
        };
        let mut got = vec![0; wanted.len()];
        let ((), read) = tokio::join!(writes, client_read.read_exact(&mut got));
        read.unwrap();
        assert_eq!(got, wanted);
    }

    #[tokio::test]
    async fn a_writer_that_is_stuck_is_freed_by_the_cut() {
        let (_client, stream) = tokio::io::duplex(8);
        let cut = CancellationToken::new();
        let mut connection =
            Connection::new(stream, SocketAddr::from(([127, 0, 0, 1], 1)), &cut, Arc::default());
        let stuck = async move { connection.write_all(&[0; 64]).await };
        let (written, ()) = tokio::join!(stuck, async { cut.cancel() });
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    proptest! {
        #[test]
        fn rubbish_is_passed_on_as_it_is(packet in prop::collection::vec(any::<u8>(), 0..64)) {
            // Whatever comes out is what went in, or shorter; nothing panics.
            if let Some(changed) = without_added(&packet) {
                prop_assert!(changed.len() < packet.len());
            }
        }
    }
}
