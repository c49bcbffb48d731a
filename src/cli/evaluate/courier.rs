//! Messages of an evaluation through a real broker.
//!
//! Every camera has a connection of its own, with the subscriptions of its engine. What a camera says at
//! one time of the evaluation is published together, and taken on when every other camera has got it:
//! the messages travel, the virtual time stands still. So what comes out is what the evaluation without a
//! broker gives, if link and broker change, lose and exchange nothing. A message that does not come within
//! [`WITHIN`] ends the run with an error. Topics have a prefix of their own run, so that nothing on a
//! broker that others use is disturbed; what is retained is taken back at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout_at};

use super::super::{Error, observer, runtime};
use crate::base::{Clock, SystemClock};
#[cfg(feature = "broker")]
use crate::broker::{self, Broker};
use crate::config;
use crate::link::{self, Client, Deliveries, LinkHandle};
use crate::model::{CameraId, Delivery, Envelope, MessageClass, Qos};
use crate::swarm::topic::Prefix;

/// A message is given up after this.
const WITHIN: Duration = Duration::from_secs(5);

/// What a connection says to itself once its subscriptions are in force.
const READY: &[u8] = b"{}";

/// The connections of all cameras.
pub(super) struct Courier {
    runtime: Runtime,
    mailboxes: Vec<Mailbox>,
    /// Topics of retained messages.
    retained: BTreeMap<String, usize>,
    sent: u64,
    #[cfg(feature = "broker")]
    broker: Option<Broker>,
}

struct Mailbox {
    camera: CameraId,
    link: LinkHandle,
    deliveries: Deliveries,
}

/// A topic prefix that no other run has.
pub(super) fn prefix() -> Result<Prefix, Error> {
    Prefix::parse(&format!("omnisight-evaluate/{}", observer::unique()))
        .map_err(|error| Error::BadInput(error.to_string()))
}

impl Courier {
    /// Connects the cameras, each with its subscriptions, to the broker at `url`, or to one of our own.
    pub(super) fn open(
        url: Option<&str>,
        cameras: Vec<(CameraId, Vec<(String, Qos)>)>,
        prefix: &Prefix,
    ) -> Result<Self, Error> {
        let runtime = runtime()?;
        #[cfg(feature = "broker")]
        let mut broker = None;
        let url = match url {
            Some(url) => url.to_owned(),
            #[cfg(feature = "broker")]
            None => {
                let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
                let options = broker::Options { listen, allow_anonymous: true, ..Default::default() };
                let started = runtime.block_on(broker::start(options))?;
                let url = format!("mqtt://{}", started.local_addr());
                broker = Some(started);
                url
            }
            #[cfg(not(feature = "broker"))]
            None => {
                return Err(Error::Usage(
                    "this program has no broker of its own; give --broker URL".to_owned(),
                ));
            }
        };
        let options = config::link_to(&url, (None, None)).map_err(Error::Usage)?;
        let options = link::Options { session_expiry: Duration::ZERO, ..options };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let guard = runtime.enter();
        let mut mailboxes = Vec::new();
        for (camera, mut subscriptions) in cameras {
            let ready = format!("{}/ready/{camera}", prefix.as_str());
            subscriptions.push((ready.clone(), Qos::AtLeastOnce));
            let id = format!("omnisight-evaluate-{}", observer::unique());
            let client = Client { id, subscriptions, ..Client::default() };
            let (link, deliveries) = link::spawn(&options, client, Arc::clone(&clock))
                .map_err(|error| Error::Usage(error.to_string()))?;
            // On one connection the subscriptions are asked for before anything is sent.
            link.sender().send(Envelope::new(MessageClass::Reply, ready, READY));
            mailboxes.push(Mailbox { camera, link, deliveries });
        }
        drop(guard);
        let mut courier = Self {
            runtime,
            mailboxes,
            retained: BTreeMap::new(),
            sent: 0,
            #[cfg(feature = "broker")]
            broker,
        };
        for i in 0..courier.mailboxes.len() {
            let ready = format!("{}/ready/{}", prefix.as_str(), courier.mailboxes[i].camera);
            courier.receive(i, &[(ready, Bytes::from_static(READY))])?;
        }
        Ok(courier)
    }

    /// Brings what one camera says to all others: as they got it, in the order in which it was said.
    pub(super) fn carry(&mut self, from: usize, envelopes: Vec<Envelope>) -> Result<Vec<Delivery>, Error> {
        let said: Vec<_> = envelopes.iter().map(|e| (e.topic.clone(), e.payload.clone())).collect();
        for mut envelope in envelopes {
            if envelope.retain {
                self.retained.insert(envelope.topic.clone(), from);
            }
            // Nothing replaces what waits beside it.
            self.sent += 1;
            envelope.key = Some(self.sent.to_string());
            self.mailboxes[from].link.sender().send(envelope);
        }
        let mut brought = Vec::new();
        for to in (0..self.mailboxes.len()).filter(|&to| to != from) {
            brought = self.receive(to, &said)?;
        }
        Ok(brought)
    }

    /// Waits until all of these have come to a camera. What comes besides is its own, which comes back.
    fn receive(&mut self, to: usize, said: &[(String, Bytes)]) -> Result<Vec<Delivery>, Error> {
        let Mailbox { camera, link, deliveries } = &mut self.mailboxes[to];
        self.runtime.block_on(async {
            let deadline = Instant::now() + WITHIN;
            let mut got: Vec<Option<Delivery>> = vec![None; said.len()];
            let mut missing = said.len();
            while missing > 0 {
                let Ok(Some(delivery)) = timeout_at(deadline, deliveries.recv()).await else {
                    let status = link.status();
                    let error = status.borrow().last_error.as_ref().map(ToString::to_string);
                    let why =
                        error.unwrap_or_else(|| format!("{missing} of {} messages are missing", got.len()));
                    return Err(Error::Unavailable(format!("{camera} at the broker: {why}")));
                };
                let is_this = |i: &usize| {
                    got[*i].is_none() && said[*i].0 == delivery.topic && said[*i].1 == delivery.payload
                };
                if let Some(i) = (0..said.len()).find(is_this) {
                    got[i] = Some(delivery);
                    missing -= 1;
                }
            }
            Ok(got.into_iter().flatten().collect())
        })
    }

    /// Takes back what is retained, and leaves.
    pub(super) fn close(self) {
        for (topic, from) in &self.retained {
            let nothing =
                Envelope { retain: true, ..Envelope::new(MessageClass::Presence, topic.clone(), "") };
            self.mailboxes[*from].link.sender().send(nothing);
        }
        self.runtime.block_on(async {
            for mut mailbox in self.mailboxes {
                mailbox.link.close(None, WITHIN).await;
            }
            #[cfg(feature = "broker")]
            if let Some(Err(error)) = match self.broker {
                Some(broker) => Some(broker.stop().await),
                None => None,
            } {
                tracing::warn!(%error, "the broker of the evaluation");
            }
        });
        self.runtime.shutdown_background();
    }
}
