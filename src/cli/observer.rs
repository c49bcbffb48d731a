//! A connection of a person's tool: `send` and `watch`.
//!
//! Anonymous in its client id, so that two of them never disturb one another; leaves no session behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::watch;

use super::Error;
use crate::base::SystemClock;
use crate::config;
use crate::control::PREFIX;
use crate::link::{self, Client, Deliveries, LinkHandle};
use crate::model::{Delivery, Envelope, Qos};

/// How long the goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct ObserverArguments {
    /// Where the broker is.
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    pub(super) broker: String,
    /// Who you are to the broker, when it wants to know.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// A file whose first line is your password.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// The version of MQTT: auto (5, and 3.1.1 with a broker that does not speak it), 5 or 3.1.1.
    #[arg(long, value_name = "VERSION", default_value = "auto", value_parser = ["auto", "5", "3.1.1"])]
    protocol: String,
    /// The first levels of the control topics.
    #[arg(long, value_name = "TOPIC", default_value = PREFIX)]
    pub(super) prefix: String,
}

/// The connection.
pub(super) struct Observer {
    link: LinkHandle,
    status: watch::Receiver<link::Status>,
    deliveries: Deliveries,
    broker: String,
}

impl Observer {
    /// Begins to connect.
    pub(super) fn start(
        arguments: &ObserverArguments,
        verb: &str,
        subscriptions: &[(String, Qos)],
    ) -> Result<Self, Error> {
        let credentials = (arguments.username.as_deref(), arguments.password_file.as_deref());
        let options = config::link_to(&arguments.broker, credentials).map_err(Error::Usage)?;
        let version = match arguments.protocol.as_str() {
            "5" => Some(link::Version::V5),
            "3.1.1" => Some(link::Version::V311),
            _ => None,
        };
        let options = link::Options { session_expiry: Duration::ZERO, version, ..options };
        let id = format!("omnisight-{verb}-{}", unique());
        let client = Client { id, subscriptions: subscriptions.to_vec(), ..Client::default() };
        let (link, deliveries) = link::spawn(&options, client, Arc::new(SystemClock::new()))
            .map_err(|error| Error::Usage(error.to_string()))?;
        Ok(Self { status: link.status(), link, deliveries, broker: arguments.broker.clone() })
    }

    /// Queues a message; it leaves when there is a connection.
    pub(super) fn send(&self, envelope: Envelope) {
        self.link.sender().send(envelope);
    }

    /// The next message; none when the connection is closed.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// How the connection is, in a few words.
    pub(super) fn link_line(&self) -> String {
        let status = self.status.borrow();
        match (&status.state, &status.last_error) {
            (link::State::Connected, _) => "broker connected".to_owned(),
            (_, Some(error)) => error.to_string(),
            (_, None) => format!("connecting to {}", self.broker),
        }
    }

    /// What is wrong when nothing came.
    pub(super) fn nobody(&self) -> Error {
        let status = self.status.borrow();
        let why = match &status.last_error {
            Some(error) if status.counters.connects == 0 => error.to_string(),
            _ => format!("no camera answered on {}", self.broker),
        };
        Error::Unavailable(why)
    }

    /// Leaves in order.
    pub(super) async fn close(mut self) {
        self.link.close(None, GOODBYE_WITHIN).await;
    }
}

/// A text that nobody else has: 64 random bits; the time where the system has none.
pub(super) fn unique() -> String {
    let random = SysRng.try_next_u64().unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_nanos() as u64)
    });
    format!("{random:016x}")
}
