//! MQTT 5 over `rumqttc`: the only file that knows that crate.
//!
//! Each connection is polled by a task of its own, which only polls and reports, so that nothing a
//! consumer does stops the keep alive; the client state survives between connections in `idle`.
//!
//! What the crate does not do by itself, and is done here:
//!
//! - It reconnects at once and for ever: it is polled for one connection, then stopped.
//! - At a reconnect it would send again what was queued but had not gone out, together with what was
//!   in flight: the former is dropped here (the session sends it again), the latter marked DUP.
//! - Its events of the old connection would come out after those of the new one: they are drained.
//! - It forgets which `QoS` 2 messages it has received when a connection ends, and then takes the
//!   PUBREL of a resumed session for an error, for ever: they are put back, and duplicates dropped.
//! - A packet id collision is never cleared without a session: a clean start begins with new state.
//! - A broker that turns the keep alive off (0) would be pinged without a pause: ours stays.
//! - Its default packet limit is 10 KiB in both directions, and what is over it breaks the
//!   connection: limits are set, and larger messages are refused before they come here.

use std::collections::BTreeSet;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Filter, LastWill, LastWillProperties, PubAckReason, PubRecReason, Publish,
    PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{
    AsyncClient, ClientError, ConnectionError, Event as ClientEvent, EventLoop, Incoming, MqttOptions,
    Request, StateError,
};
use rumqttc::{NetworkOptions, Outgoing};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{Event, Transport};
use crate::base::Secret;
use crate::link::session::HANDED_MAX;
use crate::link::{Error, Options, Refusal};
use crate::model::{Delivery, Envelope, Qos};

/// Requests that wait in the client library: all that may be handed over, a subscription, a farewell
/// and a goodbye.
const REQUESTS_MAX: usize = HANDED_MAX + 8;
/// Events that wait for the driver; the driver never blocks, so a full queue only lasts microseconds.
const EVENTS_MAX: usize = 128;
/// Messages with an acknowledgement that the broker may send before we acknowledged the first.
const RECEIVE_MAXIMUM: u16 = 64;

/// The real transport.
pub(crate) struct Mqtt {
    options: MqttOptions,
    filters: Vec<Filter>,
    broker: String,
    client: Option<AsyncClient>,
    idle: Option<Client>,
    running: Option<Running>,
}

/// The client library's state between two connections.
struct Client {
    event_loop: EventLoop,
    /// Packet ids of `QoS` 2 messages received and not yet released.
    receiving: BTreeSet<u16>,
}

struct Running {
    reports: mpsc::Receiver<Report>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Report {
    Event(Event),
    Ended(Box<Client>, Error),
}

impl Mqtt {
    pub(crate) fn new(
        options: &Options,
        client_id: &str,
        will: Option<Envelope>,
        subscriptions: &[(String, Qos)],
    ) -> Self {
        let mut mqtt = MqttOptions::new(client_id, options.bracketed_host(), options.port);
        let max_packet_bytes = u32::try_from(options.max_packet_bytes).unwrap_or(u32::MAX);
        let session_expiry_s = u32::try_from(options.session_expiry.as_secs()).unwrap_or(u32::MAX);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        mqtt.set_keep_alive(options.keep_alive)
            .set_connection_timeout(options.connect_timeout.as_secs().max(1))
            .set_max_packet_size(Some(max_packet_bytes))
            .set_session_expiry_interval(Some(session_expiry_s))
            .set_receive_maximum(Some(RECEIVE_MAXIMUM))
            .set_outgoing_inflight_upper_limit(options.in_flight_max)
            .set_network_options(network);
        if let Some(credentials) = &options.credentials {
            // The client library sends no password field for an empty one.
            let password = credentials.password.as_ref().map_or("", Secret::reveal);
            mqtt.set_credentials(&credentials.username, password);
        }
        if let Some(will) = will {
            let content_type = Some(will.content_type.as_str().to_owned());
            let properties = LastWillProperties {
                delay_interval: None,
                payload_format_indicator: None,
                message_expiry_interval: None,
                content_type,
                response_topic: None,
                correlation_data: None,
                user_properties: Vec::new(),
            };
            let payload = will.payload.to_vec();
            mqtt.set_last_will(LastWill::new(
                will.topic,
                payload,
                level(will.qos),
                will.retain,
                Some(properties),
            ));
        }
        let filters = subscriptions.iter().map(|(filter, qos)| Filter::new(filter, level(*qos))).collect();
        Self { options: mqtt, filters, broker: options.broker(), client: None, idle: None, running: None }
    }

    /// The client library's queue holds all that the session may hand over, so a request does not fail
    /// while there is a connection; when there is none any more, the session sends again.
    fn check(&self, outcome: Result<(), ClientError>) {
        if let Err(error) = outcome {
            tracing::debug!(broker = self.broker, %error, "a request came too late for its connection");
        }
    }
}

impl Transport for Mqtt {
    fn connect(&mut self, clean_start: bool) {
        let client = match self.idle.take() {
            Some(client) if !clean_start => client,
            _ => {
                let (client, event_loop) = AsyncClient::new(self.options.clone(), REQUESTS_MAX);
                self.client = Some(client);
                Client { event_loop, receiving: BTreeSet::new() }
            }
        };
        let (reporter, reports) = mpsc::channel(EVENTS_MAX);
        let task = tokio::spawn(run(client, clean_start, self.broker.clone(), reporter)).abort_handle();
        self.running = Some(Running { reports, task });
    }

    fn subscribe(&mut self) {
        if let Some(client) = &self.client
            && !self.filters.is_empty()
        {
            self.check(client.try_subscribe_many(self.filters.clone()));
        }
    }

    fn publish(&mut self, Envelope { topic, payload, content_type, qos, retain, .. }: Envelope) {
        let properties = PublishProperties {
            content_type: Some(content_type.as_str().to_owned()),
            ..PublishProperties::default()
        };
        if let Some(client) = &self.client {
            self.check(client.try_publish_with_properties(topic, level(qos), retain, payload, properties));
        }
    }

    fn disconnect(&mut self) {
        if let Some(client) = &self.client {
            self.check(client.try_disconnect());
        }
    }

    async fn event(&mut self) -> Event {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        match running.reports.recv().await {
            Some(Report::Event(event)) => event,
            Some(Report::Ended(client, error)) => {
                self.running = None;
                self.idle = Some(*client);
                Event::Disconnected(error)
            }
            // The task panicked inside the client library, and its state is gone with it.
            None => {
                self.running = None;
                Event::Disconnected(Error::Internal { broker: self.broker.clone() })
            }
        }
    }
}

/// One connection, from its start to its end.
async fn run(mut client: Client, clean_start: bool, broker: String, reporter: mpsc::Sender<Report>) {
    let mut resent = client.prepare_resume();
    let options = &mut client.event_loop.options;
    options.set_clean_start(clean_start);
    let keep_alive = options.keep_alive();
    loop {
        match client.event_loop.poll().await {
            Ok(event) => {
                let options = &mut client.event_loop.options;
                if options.keep_alive().is_zero() {
                    options.set_keep_alive(keep_alive);
                }
                let report = client.report(event, &mut resent);
                if let Some(event) = report
                    && reporter.send(Report::Event(event)).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                while let Some(event) = client.event_loop.state.events.pop_front() {
                    if let Some(event) = client.report(event, &mut resent)
                        && reporter.send(Report::Event(event)).await.is_err()
                    {
                        return;
                    }
                }
                let error = named(error, broker);
                // A closed channel means that nobody wants to know any more.
                let _ = reporter.send(Report::Ended(Box::new(client), error)).await;
                return;
            }
        }
    }
}

impl Client {
    /// Leaves in the client library only what a resumed session needs, and returns the packet ids of
    /// the messages that it will send again by itself.
    fn prepare_resume(&mut self) -> BTreeSet<u16> {
        let event_loop = &mut self.event_loop;
        event_loop.clean();
        event_loop.state.collision = None;
        event_loop.pending.retain(|request| match request {
            Request::Publish(publish) => publish.pkid != 0,
            Request::PubRel(_) => true,
            _ => false,
        });
        let mut resent = BTreeSet::new();
        for request in &mut event_loop.pending {
            if let Request::Publish(publish) = request {
                publish.dup = true;
                resent.insert(publish.pkid);
            }
        }
        for &packet_id in &self.receiving {
            let received = Publish { qos: QoS::ExactlyOnce, pkid: packet_id, ..Publish::default() };
            // Only marks the id as received; its answer is not sent.
            let _ = event_loop.state.handle_incoming_packet(Incoming::Publish(received));
        }
        event_loop.state.events.clear();
        resent
    }

    fn report(&mut self, event: ClientEvent, resent: &mut BTreeSet<u16>) -> Option<Event> {
        match event {
            ClientEvent::Incoming(Incoming::ConnAck(answer)) => {
                if !answer.session_present {
                    self.receiving.clear();
                    self.event_loop.state.clean();
                    resent.clear();
                }
                Some(connected(&answer))
            }
            ClientEvent::Incoming(Incoming::Publish(publish)) => {
                if publish.qos == QoS::ExactlyOnce && !self.receiving.insert(publish.pkid) {
                    return None;
                }
                Some(received(publish))
            }
            ClientEvent::Incoming(Incoming::PubAck(answer)) => {
                let accepted =
                    matches!(answer.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers);
                Some(Event::Acknowledged { packet_id: answer.pkid, accepted })
            }
            ClientEvent::Incoming(Incoming::PubRec(answer)) => {
                let accepted =
                    matches!(answer.reason, PubRecReason::Success | PubRecReason::NoMatchingSubscribers);
                (!accepted).then_some(Event::Acknowledged { packet_id: answer.pkid, accepted })
            }
            ClientEvent::Incoming(Incoming::PubComp(answer)) => {
                Some(Event::Acknowledged { packet_id: answer.pkid, accepted: true })
            }
            ClientEvent::Incoming(Incoming::SubAck(answer)) => {
                let granted = |code: &&SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                let refused = answer.return_codes.len() - answer.return_codes.iter().filter(granted).count();
                Some(Event::Subscribed { refused: refused as u64 })
            }
            ClientEvent::Outgoing(Outgoing::Publish(packet_id)) => {
                (packet_id == 0 || !resent.remove(&packet_id)).then_some(Event::Published { packet_id })
            }
            ClientEvent::Outgoing(Outgoing::PubComp(packet_id)) => {
                self.receiving.remove(&packet_id);
                None
            }
            _ => None,
        }
    }
}

fn connected(answer: &ConnAck) -> Event {
    let properties = answer.properties.as_ref();
    Event::Connected {
        session_present: answer.session_present,
        receive_maximum: properties.and_then(|properties| properties.receive_max).unwrap_or(u16::MAX),
        max_packet_bytes: properties
            .and_then(|properties| properties.max_packet_size)
            .map_or(usize::MAX, |bytes| bytes as usize),
    }
}

fn received(publish: Publish) -> Event {
    let qos = match publish.qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    };
    match String::from_utf8(publish.topic.into()) {
        Ok(topic) if !topic.is_empty() => Event::Received {
            delivery: Delivery {
                topic,
                payload: publish.payload,
                content_type: publish.properties.and_then(|properties| properties.content_type),
                retained: publish.retain,
                ..Delivery::default()
            },
            qos,
        },
        _ => Event::Malformed,
    }
}

fn level(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn named(error: ConnectionError, broker: String) -> Error {
    match error {
        ConnectionError::Io(error) => Error::Unreachable { broker, detail: error.to_string() },
        ConnectionError::Timeout(_) => Error::Timeout { broker },
        ConnectionError::ConnectionRefused(code) => Error::Refused { broker, refusal: refusal(code) },
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let detail = match reason_string {
                Some(words) => format!("{reason_code:?}: {words}"),
                None => format!("{reason_code:?}"),
            };
            Error::Ended { broker, detail }
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            Error::Lost { broker, detail: "closed by the other side".to_owned() }
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            Error::Lost { broker, detail: "no answer to a ping".to_owned() }
        }
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(rumqttc::v5::mqttbytes::Error::Io(error)),
        ) => Error::Lost { broker, detail: error.to_string() },
        error => Error::Protocol { broker, detail: error.to_string() },
    }
}

fn refusal(code: ConnectReturnCode) -> Refusal {
    match code {
        ConnectReturnCode::BadUserNamePassword => Refusal::WrongPassword,
        ConnectReturnCode::NotAuthorized => Refusal::NotAuthorised,
        ConnectReturnCode::Banned => Refusal::Banned,
        ConnectReturnCode::ServerUnavailable | ConnectReturnCode::ServiceUnavailable => {
            Refusal::ServerUnavailable
        }
        ConnectReturnCode::ServerBusy => Refusal::ServerBusy,
        ConnectReturnCode::QuotaExceeded => Refusal::QuotaExceeded,
        ConnectReturnCode::ConnectionRateExceeded => Refusal::ConnectionRate,
        ConnectReturnCode::UseAnotherServer | ConnectReturnCode::ServerMoved => Refusal::UseAnotherServer,
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => Refusal::ClientId,
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
            Refusal::ProtocolVersion
        }
        _ => Refusal::Other,
    }
}

/// A keep alive shorter than this is refused by the client library with a panic.
pub(crate) const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// The field has 16 bits.
pub(crate) const KEEP_ALIVE_MAX: Duration = Duration::from_secs(u16::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let (_, event_loop) = AsyncClient::new(MqttOptions::new("c", "localhost", 1), 8);
        Client { event_loop, receiving: BTreeSet::new() }
    }

    fn publish(qos: QoS, pkid: u16) -> Publish {
        Publish { qos, pkid, topic: "t".into(), ..Publish::default() }
    }

    #[test]
    fn only_what_has_a_packet_id_is_left_for_a_resumed_session_and_is_marked_as_a_duplicate() {
        let mut client = client();
        let state = &mut client.event_loop.state;
        state.handle_outgoing_packet(Request::Publish(publish(QoS::AtLeastOnce, 0))).unwrap();
        client.event_loop.pending.push_back(Request::Publish(publish(QoS::AtLeastOnce, 0)));
        client.event_loop.pending.push_back(Request::Disconnect);
        assert_eq!(client.prepare_resume(), BTreeSet::from([1]));
        let duplicate = Publish { dup: true, ..publish(QoS::AtLeastOnce, 1) };
        assert_eq!(client.event_loop.pending, [Request::Publish(duplicate)]);
        assert!(client.event_loop.state.events.is_empty());
    }

    #[test]
    fn a_release_in_a_resumed_session_is_not_taken_for_an_error_and_its_message_comes_once() {
        let mut client = client();
        let mut resent = BTreeSet::new();
        let message = ClientEvent::Incoming(Incoming::Publish(publish(QoS::ExactlyOnce, 7)));
        assert!(matches!(client.report(message.clone(), &mut resent), Some(Event::Received { .. })));
        client.prepare_resume();
        assert_eq!(client.report(message, &mut resent), None);
        let release = Incoming::PubRel(rumqttc::v5::mqttbytes::v5::PubRel::new(7, None));
        assert!(client.event_loop.state.handle_incoming_packet(release).is_ok());
    }
}
