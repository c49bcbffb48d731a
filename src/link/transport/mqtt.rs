//! One MQTT connection after another, over what `dial` opens.
//!
//! Calls encode into a buffer; while events are awaited, the buffer is written and what came is decoded.
//! So a batch of messages is one system call, nothing runs but in the driver's task, and an idle
//! connection costs two small buffers.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::codec::{self, Decoder, Greeting};
use super::dial::{Target, Wire};
use super::{Answer, Event, Outgoing, Transport, Version};
use crate::link::error::{Phase, Silence};
use crate::link::session::{Request, Terms};
use crate::link::tls::{self, Certificates, TlsFault};
use crate::link::{Client, Error, Options};
use crate::model::Envelope;

/// Events told at once, after which the driver has its turn.
const EVENTS_MAX: usize = 256;
/// An idle connection keeps no larger buffer than this, in bytes.
const IDLE_BUFFER_BYTES: usize = 16 << 10;

/// The real transport.
pub(crate) struct Mqtt {
    target: Target,
    greeting: Arc<Greeting>,
    /// None: 5, or 3.1.1 where the broker does not speak 5.
    version: Option<Version>,
    broker: String,
    link: Arc<str>,
    retain_as_published: bool,
    connection: Connection,
}

enum Connection {
    None,
    Opening { phases: mpsc::UnboundedReceiver<Phase>, opening: BoxFuture<'static, Result<Open, Error>> },
    Open(Box<Open>),
}

/// A connection that may be greeted already, or not.
#[expect(clippy::struct_excessive_bools, reason = "what has happened on it, each in its own time")]
struct Open {
    wire: Wire,
    certificates: Option<Certificates>,
    secure: bool,
    version: Version,
    decoder: Decoder,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// Messages in `outgoing` that were not reported as sent.
    messages: usize,
    /// The wire holds bytes that it has not passed on.
    unflushed: bool,
    /// The broker accepted the connection.
    accepted: bool,
    /// We said goodbye.
    leaving: bool,
    /// Writing failed; what the broker said before it closed may still be read.
    broken: Option<std::io::Error>,
    broker: String,
    /// What its silence as the answer to the CONNECT means in the clear.
    silence: Silence,
}

impl Mqtt {
    pub(crate) fn new(options: &Options, client: &Client) -> Self {
        Self {
            target: Target::new(options),
            greeting: Arc::new(Greeting::new(options, &client.id, client.will.clone())),
            version: options.version,
            broker: options.broker(),
            link: options.name.as_str().into(),
            retain_as_published: client.retain_as_published,
            connection: Connection::None,
        }
    }

    /// What a broker means that closes the connection at a CONNECT on these terms.
    fn silence(&self, terms: Terms) -> Silence {
        let has_dot = |will: &Envelope| terms.will && will.topic.contains('.');
        match &self.greeting.will {
            _ if self.version.is_none() && terms.version == Version::V5 => Silence::MaybeOld,
            Some(will) if has_dot(will) => Silence::MaybeDot,
            _ => Silence::MaybeTls,
        }
    }

    fn open(&mut self) -> Option<&mut Open> {
        match &mut self.connection {
            Connection::Open(open) => Some(open),
            _ => None,
        }
    }
}

impl Transport for Mqtt {
    fn connect(&mut self, terms: Terms, clean_start: bool) {
        let version = terms.version;
        let target = self.target.clone();
        let mut outgoing = BytesMut::new();
        self.greeting.encode(terms, clean_start, &mut outgoing);
        let decoder = Decoder::new(version, self.greeting.max_packet_bytes, &self.broker, &self.link);
        let broker = self.broker.clone();
        let silence = self.silence(terms);
        let (report, phases) = mpsc::unbounded_channel();
        let opening = async move {
            // Nobody listens any more only when the connection is given up.
            let reached = |phase| {
                let _ = report.send(phase);
            };
            let (wire, certificates) = target.open(reached).await?;
            Ok(Open {
                wire,
                secure: certificates.is_some(),
                certificates,
                version,
                decoder,
                incoming: BytesMut::new(),
                outgoing,
                messages: 0,
                unflushed: false,
                accepted: false,
                leaving: false,
                broken: None,
                broker,
                silence,
            })
        };
        self.connection = Connection::Opening { phases, opening: Box::pin(opening) };
    }

    fn ask(&mut self, packet_id: u16, request: Request) {
        let retain_as_published = self.retain_as_published;
        if let Some(open) = self.open() {
            let out = &mut open.outgoing;
            codec::encode_request(open.version, packet_id, request, retain_as_published, out);
        }
    }

    fn publish(&mut self, message: Outgoing) {
        if let Some(open) = self.open() {
            codec::encode_publish(open.version, message, &mut open.outgoing);
            open.messages += 1;
        }
    }

    fn answer(&mut self, answer: Answer, packet_id: u16) {
        if let Some(open) = self.open() {
            codec::encode_answer(answer, packet_id, &mut open.outgoing);
        }
    }

    fn ping(&mut self) {
        if let Some(open) = self.open() {
            codec::encode_ping(&mut open.outgoing);
        }
    }

    fn disconnect(&mut self) {
        if let Some(open) = self.open() {
            codec::encode_disconnect(&mut open.outgoing);
            open.leaving = true;
        }
    }

    fn abort(&mut self) {
        self.connection = Connection::None;
    }

    async fn events(&mut self, events: &mut Vec<Event>) {
        match &mut self.connection {
            Connection::None => std::future::pending().await,
            Connection::Opening { phases, opening } => {
                tokio::select! {
                    biased;
                    Some(phase) = phases.recv() => events.push(Event::Reached(phase)),
                    outcome = opening => match outcome {
                        Ok(open) => {
                            self.connection = Connection::Open(Box::new(open));
                            events.push(Event::Reached(Phase::Greeting));
                        }
                        Err(error) => {
                            self.connection = Connection::None;
                            events.push(Event::Disconnected(error));
                        }
                    },
                }
            }
            Connection::Open(open) => {
                poll_fn(|cx| open.poll(cx, events)).await;
                if matches!(events.last(), Some(Event::Disconnected(_))) {
                    self.connection = Connection::None;
                }
            }
        }
    }
}

impl Open {
    /// Ready when there are events.
    fn poll(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Poll<()> {
        self.write(cx, events);
        self.read(cx, events);
        if events.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn write(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        if self.broken.is_some() {
            return;
        }
        let mut progress = false;
        while !self.outgoing.is_empty() {
            match self.wire.poll_write(cx, &mut self.outgoing) {
                Poll::Ready(Ok(())) => progress = true,
                Poll::Ready(Err(error)) => return self.broken = Some(error),
                Poll::Pending => {
                    if progress {
                        events.push(Event::Sent { messages: 0 });
                    }
                    return;
                }
            }
        }
        self.unflushed |= progress;
        if self.unflushed {
            match self.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return self.broken = Some(error),
                Poll::Pending => return,
            }
            if self.outgoing.capacity() > IDLE_BUFFER_BYTES {
                self.outgoing = BytesMut::new();
            }
        }
        if self.messages > 0 {
            events.push(Event::Sent { messages: std::mem::take(&mut self.messages) });
        }
        if self.leaving && self.wire.poll_close(cx).is_ready() {
            let detail = "closed by us".to_owned();
            events.push(Event::Disconnected(Error::Lost { broker: self.broker.clone(), detail }));
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        if matches!(events.last(), Some(Event::Disconnected(_))) {
            return;
        }
        if let Err(error) = self.decode(events) {
            return events.push(Event::Disconnected(error));
        }
        while events.len() < EVENTS_MAX {
            match self.wire.poll_read(cx, &mut self.incoming) {
                Poll::Pending => return self.rest(events),
                Poll::Ready(Ok(0)) => return events.push(Event::Disconnected(self.closed())),
                Poll::Ready(Err(error)) => return events.push(Event::Disconnected(self.lost(&error))),
                Poll::Ready(Ok(_)) => {}
            }
            let told = events.len();
            if let Err(error) = self.decode(events) {
                return events.push(Event::Disconnected(error));
            }
            if events.len() == told && events.last() != Some(&Event::Heard) {
                events.push(Event::Heard);
            }
        }
    }

    /// Nothing more came for now.
    fn rest(&mut self, events: &mut Vec<Event>) {
        if self.incoming.is_empty() && self.incoming.capacity() > IDLE_BUFFER_BYTES {
            self.incoming = BytesMut::new();
        }
        if let Some(error) = self.broken.take() {
            events.push(Event::Disconnected(self.lost(&error)));
        }
    }

    fn decode(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        if !self.accepted {
            self.recognise()?;
        }
        while events.len() < EVENTS_MAX {
            let Some(mut event) = self.decoder.next(&mut self.incoming)? else { return Ok(()) };
            match &mut event {
                Event::Connected(accepted) if !self.accepted => {
                    self.accepted = true;
                    accepted.certificates = self.certificates;
                }
                Event::Connected(_) => return Err(self.broken("a second CONNACK")),
                _ if !self.accepted => return Err(self.broken("a packet before the CONNACK")),
                _ => {}
            }
            events.push(event);
        }
        Ok(())
    }

    /// Names what answers a CONNECT and is no MQTT broker.
    fn recognise(&self) -> Result<(), Error> {
        let bytes = &self.incoming[..];
        let is_alert = bytes.starts_with(&[0x15, 3]);
        if is_alert && !self.secure {
            return Err(Error::Tls { broker: self.broker.clone(), fault: TlsFault::SecurePort });
        }
        match bytes.first() {
            None => Ok(()),
            Some(b'H') if !b"HTTP/".starts_with(&bytes[..bytes.len().min(5)]) => Ok(()),
            Some(b'H') if bytes.len() < 5 => Ok(()),
            Some(b'H') => Err(self.broken("this is a web server and no MQTT broker")),
            Some(first) if first >> 4 == 2 || first >> 4 == 14 => Ok(()),
            Some(_) if is_alert => Ok(()),
            Some(_) => Err(self.broken("its first words are no MQTT")),
        }
    }

    fn broken(&self, detail: &str) -> Error {
        Error::Protocol { broker: self.broker.clone(), detail: detail.to_owned() }
    }

    fn closed(&self) -> Error {
        if self.accepted { Error::Closed { broker: self.broker.clone() } } else { self.wordless() }
    }

    fn wordless(&self) -> Error {
        let cause = match self.silence {
            Silence::MaybeTls if self.secure => Silence::Connect,
            silence => silence,
        };
        Error::Wordless { broker: self.broker.clone(), cause }
    }

    fn lost(&self, error: &std::io::Error) -> Error {
        let broker = self.broker.clone();
        if let Some(fault) = tls::fault_in(error) {
            return Error::Tls { broker, fault };
        }
        let reset = matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::UnexpectedEof
        );
        // A broker that closes a connection of which it has not read everything resets it.
        if reset {
            return self.closed();
        }
        Error::Lost { broker, detail: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;

    use super::*;

    fn terms() -> Terms {
        Terms {
            version: Version::V5,
            fallback: None,
            retain: true,
            qos_max: crate::model::Qos::ExactlyOnce,
            will: true,
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_is_named_and_the_next_try_asks_for_it_again() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let options = Options { host: "broker.example".to_owned(), ..Options::default() };
        let mut mqtt = Mqtt::new(&options, &Client { id: "c".to_owned(), ..Client::default() });
        let asked = AtomicUsize::new(0);
        mqtt.target = mqtt.target.clone().resolving(Arc::new(move |_, _| {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                if first { Err(std::io::Error::other("no such name")) } else { Ok(vec![address]) }
            })
        }));
        let mut events = Vec::new();
        mqtt.connect(terms(), false);
        mqtt.events(&mut events).await;
        let Some(Event::Disconnected(Error::Unreachable { detail, .. })) = events.pop() else {
            panic!("{events:?}")
        };
        assert_eq!(detail, "name not found: no such name");
        mqtt.connect(terms(), false);
        while events.last() != Some(&Event::Reached(Phase::Greeting)) {
            mqtt.events(&mut events).await;
        }
    }
}
