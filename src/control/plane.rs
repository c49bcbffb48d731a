//! The control plane's side of MQTT: deliveries in, envelopes out.
//!
//! Knows topics, wills, what is published again at a connect, and how often another camera or program wrote the
//! shared status, which is normal on a site with several cameras and only counted; judging commands is the desk's. Replies are a first-in-first-out class of the link; a status is retained, the
//! newest per topic.

use serde::{Deserialize, Serialize};

use super::desk::{Asker, Audit};
use super::reply::Reply;
use super::status::{self, Activity, Truth};
use super::{Door, Topics};
use crate::base::{Time, rfc3339};
use crate::model::{Delivery, Envelope, Lane, MessageClass, Qos};

/// Longer statuses of others are not read, bytes.
const FOREIGN_STATUS_BYTES_MAX: usize = 64 * 1024;

/// How the control plane is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The status is also told on the topic that all cameras share.
    pub shared_status: bool,
    /// Each command leaves a line on the audit topic.
    pub audit: bool,
    /// The prefixes of other surfaces, where no reply is sent to.
    pub prefixes_in_use: Vec<String>,
}

impl Default for Options {
    /// With the shared status, without the audit.
    fn default() -> Self {
        Self { shared_status: true, audit: false, prefixes_in_use: Vec::new() }
    }
}

/// The connection that a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// `{camera_id}-control`.
    Control,
    /// `{camera_id}-shared`.
    Shared,
}

/// A message and its connection.
pub type Outgoing = (Connection, Envelope);

/// See the module.
#[derive(Debug)]
pub struct Plane {
    topics: Topics,
    options: Options,
    truth: Truth,
    /// What was last published.
    told: Option<Truth>,
    shared_foreign: u64,
    responses_refused: u64,
}

#[derive(Deserialize)]
struct ForeignStatus {
    camera_id: Option<String>,
    client_id: Option<String>,
}

#[derive(Serialize)]
struct AuditLine<'a> {
    timestamp: String,
    camera_id: &'a str,
    door: &'static str,
    link: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    outcome: super::ReplyState,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn gone() -> Truth {
    Truth { activity: Activity::Gone, ..Truth::default() }
}

impl Plane {
    /// A plane that has told nothing yet.
    pub fn new(topics: Topics, options: Options) -> Self {
        Self { topics, options, truth: Truth::default(), told: None, shared_foreign: 0, responses_refused: 0 }
    }

    /// Its topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Whether there is a connection for the shared status.
    pub fn has_shared(&self) -> bool {
        self.options.shared_status
    }

    /// What the control connection asks for.
    pub fn subscriptions(&self) -> Vec<(String, Qos)> {
        [self.topics.shared_commands(), self.topics.own_commands()].map(|t| (t, Qos::AtLeastOnce)).into()
    }

    /// What the shared connection asks for.
    pub fn shared_subscriptions(&self) -> Vec<(String, Qos)> {
        vec![(self.topics.shared_status(), Qos::AtLeastOnce)]
    }

    /// What the broker publishes when the control connection is cut: without a time, which is not known beforehand.
    pub fn will(&self) -> Envelope {
        self.status_as(&gone(), self.topics.own_status(), None)
    }

    /// The same for the shared connection.
    pub fn shared_will(&self) -> Envelope {
        self.status_as(&gone(), self.topics.shared_status(), None)
    }

    /// The last status of a camera that leaves the control connection in order.
    pub fn farewell(&self, now: Time) -> Envelope {
        self.status_as(&gone(), self.topics.own_status(), Some(now))
    }

    /// The same for the shared connection.
    pub fn shared_farewell(&self, now: Time) -> Envelope {
        self.status_as(&gone(), self.topics.shared_status(), Some(now))
    }

    /// Who asks by this delivery; nobody when it is no command topic.
    pub fn asker(&self, delivery: &Delivery) -> Option<Asker> {
        let door = self.topics.door(&delivery.topic)?;
        Some(Asker {
            door,
            link: delivery.link.clone(),
            response_topic: delivery.response_topic.clone(),
            correlation_data: delivery.correlation_data.clone(),
        })
    }

    /// Takes a message on the shared status topic; counts it when another camera or program wrote it.
    pub fn heard_shared(&mut self, delivery: &Delivery) {
        if delivery.topic != self.topics.shared_status() || delivery.payload.len() > FOREIGN_STATUS_BYTES_MAX
        {
            return;
        }
        // An emptied topic belongs to nobody; a text that can't be read is not ours.
        let is_foreign = match serde_json::from_slice::<ForeignStatus>(&delivery.payload) {
            Ok(ForeignStatus { camera_id: Some(camera), .. }) => camera != self.topics.camera().as_str(),
            Ok(ForeignStatus { client_id: Some(client), .. }) => client != self.topics.client_id(),
            _ => !delivery.payload.is_empty(),
        };
        self.shared_foreign += u64::from(is_foreign);
    }

    /// Returns how many messages of other cameras and programs the shared status topic brought.
    pub fn shared_foreign(&self) -> u64 {
        self.shared_foreign
    }

    /// What is so from now on; publishes it when it is news. A change of the modes alone is not published on the
    /// shared topic: it would replace the status of another camera there for no new activity.
    pub fn set_truth(&mut self, truth: Truth, now: Time, out: &mut Vec<Outgoing>) {
        self.truth = truth;
        match &self.told {
            Some(told) if *told == self.truth => {}
            Some(told) if told.activity == self.truth.activity => self.tell_own(now, out),
            _ => self.tell(now, out),
        }
    }

    /// What is so.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Publishes what is so, news or not: after a connect, and when somebody asks.
    pub fn tell(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        self.tell_own(now, out);
        if self.options.shared_status {
            self.tell_shared(now, out);
        }
    }

    fn tell_own(&mut self, now: Time, out: &mut Vec<Outgoing>) {
        self.told = Some(self.truth.clone());
        out.push((Connection::Control, self.status_as(&self.truth, self.topics.own_status(), Some(now))));
    }

    /// The same on the shared topic alone.
    pub fn tell_shared(&self, now: Time, out: &mut Vec<Outgoing>) {
        out.push((Connection::Shared, self.status_as(&self.truth, self.topics.shared_status(), Some(now))));
    }

    fn status_as(&self, truth: &Truth, topic: String, now: Option<Time>) -> Envelope {
        let payload = status::to_json(truth, &self.topics, now.map(|now| now.epoch_ms));
        Envelope { lane: Lane::Control, ..Envelope::new(MessageClass::Presence, topic, payload) }
    }

    /// A reply: on the replies topic, and where the asker wants it.
    pub fn reply(&mut self, asker: &Asker, reply: &Reply, now: Time, out: &mut Vec<Outgoing>) {
        let payload = bytes::Bytes::from(reply.to_json(self.topics.camera(), now.epoch_ms));
        let envelope = Envelope::new(MessageClass::Reply, self.topics.replies(), payload.clone());
        out.push((Connection::Control, envelope));
        let Some(topic) = &asker.response_topic else { return };
        if *topic == self.topics.replies() && asker.correlation_data.is_none() {
            return;
        }
        if *topic != self.topics.replies() && !self.topics.may_respond(topic, &self.options.prefixes_in_use) {
            self.responses_refused += 1;
            return;
        }
        let correlation_data = asker.correlation_data.clone();
        let envelope = Envelope::new(MessageClass::Reply, topic.as_str(), payload);
        out.push((Connection::Control, Envelope { correlation_data, ..envelope }));
    }

    /// Response topics that no reply was sent to.
    pub fn responses_refused(&self) -> u64 {
        self.responses_refused
    }

    /// A line for the audit, when it is turned on.
    pub fn audit(&self, audit: &Audit, now: Time, out: &mut Vec<Outgoing>) {
        if !self.options.audit {
            return;
        }
        let Audit { asker: Asker { door, link, response_topic, .. }, reply } = audit;
        let line = AuditLine {
            timestamp: rfc3339(now.epoch_ms),
            camera_id: self.topics.camera().as_str(),
            door: Door::as_str(*door),
            link,
            response_topic: response_topic.as_deref(),
            id: reply.id.as_deref(),
            command: reply.command.as_deref(),
            outcome: reply.state,
            error: reply.error.as_deref(),
        };
        // Strings always have a JSON form.
        let payload = serde_json::to_vec(&line).unwrap_or_default();
        out.push((Connection::Control, Envelope::new(MessageClass::Reply, self.topics.audit(), payload)));
    }
}
