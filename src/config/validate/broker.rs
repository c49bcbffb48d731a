//! The rules of `[[broker_link]]`: addresses and passwords.

use std::path::Path;
use std::time::Duration;

use super::password::{PasswordKeys, read_password};
use super::url::Address;
use super::{Checked, Faulty, Validator};
use crate::base::BackoffOptions;
use crate::config::options::BrokerLink;
use crate::config::raw;
use crate::config::schema::quoted;
use crate::discovery;
use crate::link::{self, Credentials};

impl Validator<'_> {
    pub(super) fn links(&mut self) -> Checked<Vec<BrokerLink>> {
        let raws: Vec<Checked<raw::BrokerLink>> = self.elements("broker_link");
        let mut links: Vec<BrokerLink> = Vec::with_capacity(raws.len());
        for (i, raw) in raws.into_iter().enumerate() {
            let path = format!("broker_link.{i}");
            let Ok(link) = raw.and_then(|raw| self.broker_link(&path, raw)) else { continue };
            let link::Options { name, host, port, .. } = &link.options;
            if links.iter().any(|other| other.options.name == *name) {
                let allowed = "a name that no other link has";
                let _: Checked<()> = self.not_allowed(&format!("{path}.name"), quoted(name), allowed);
            }
            if links.iter().any(|other| (&other.options.host, other.options.port) == (host, *port)) {
                // They would have one client id, and push each other out without end.
                let reason = "another link goes to the same broker; let one carry all";
                let found = quoted(&format!("{host}:{port}"));
                let _: Checked<()> = self.refuse(&format!("{path}.url"), found, reason);
            }
            links.push(link);
        }
        if self.faults.touch("broker_link") { Err(Faulty) } else { Ok(links) }
    }

    pub(super) fn broker_link(&mut self, path: &str, raw: raw::BrokerLink) -> Checked<BrokerLink> {
        let classes = raw.carries.iter().map(|carried| carried.class()).collect();
        let carries = link::Carries { classes, topics: raw.topics.clone() };
        for (i, topic) in raw.topics.iter().enumerate() {
            if !is_topic_filter(topic) {
                let allowed = "an MQTT topic filter: # stands at its end alone, + and # fill a whole level";
                return self.not_allowed(&format!("{path}.topics.{i}"), quoted(topic), allowed);
            }
        }
        Ok(BrokerLink { options: self.link(path, raw)?, carries })
    }

    fn link(&mut self, path: &str, raw: raw::BrokerLink) -> Checked<link::Options> {
        let address = match raw.url.as_str() {
            raw::BrokerLink::DISCOVER => Ok(Address::to_be_found()),
            url => self.url(&format!("{path}.url"), url),
        };
        let keys = PasswordKeys {
            text: raw.password.as_ref(),
            file: raw.password_file.as_deref(),
            secret: raw.password_secret.as_deref(),
        };
        if raw.username.is_none() && !keys.is_empty() {
            return self.missing(&format!("{path}.username"), "a text; a password goes with a name");
        }
        let password = self.password(path, &keys);
        let (first, max) = (raw.reconnect_first_s, raw.reconnect_max_s);
        if first > max {
            let allowed = format!("a number from reconnect_first_s ({first:?}) up");
            return self.not_allowed(&format!("{path}.reconnect_max_s"), format!("{max:?}"), allowed);
        }
        let address = address?;
        let gather = if address.host.is_empty() { discovery::GATHER } else { Duration::ZERO };
        let tls = self.link_tls(path, &raw, address.secure);
        let (password, tls) = (password?, tls?);
        let backoff = BackoffOptions {
            first: Duration::from_secs_f64(first),
            max: Duration::from_secs_f64(max),
            ..BackoffOptions::default()
        };
        let credentials = raw.username.map(|username| Credentials { username, password });
        // A broker that was found may lose its power at any time, and somebody else must notice.
        let keep_alive_max = if address.host.is_empty() { discovery::KEEP_ALIVE_MAX } else { Duration::MAX };
        let keep_alive = Duration::from_secs(u64::from(raw.keep_alive_s)).min(keep_alive_max);
        Ok(link::Options {
            name: raw.name,
            host: address.host,
            port: address.port,
            tls,
            websocket: address.websocket,
            version: raw.protocol.version(),
            will_delay: Duration::from_secs(u64::from(raw.will_delay_s)),
            gather,
            credentials,
            keep_alive,
            backoff,
            ..link::Options::default()
        })
    }

    /// What a broker's URL says; `path` is its key.
    pub(super) fn url(&mut self, path: &str, url: &str) -> Checked<Address> {
        Address::parse(url).or_else(|reason| self.refuse(path, quoted(url), reason))
    }
}

/// A link for a person's tool.
pub(in crate::config) fn link_to(
    url: &str,
    (username, password_file): (Option<&str>, Option<&Path>),
) -> Result<link::Options, String> {
    let Address { host, port, secure, websocket } =
        Address::parse(url).map_err(|reason| format!("{}: {reason}", quoted(url)))?;
    let password = password_file.map(read_password).transpose()?;
    let credentials = username.map(|name| Credentials { username: name.to_owned(), password });
    let tls = secure.then(link::TlsOptions::default);
    Ok(link::Options { host, port, credentials, tls, websocket, ..link::Options::default() })
}

fn is_topic_filter(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let legal = |(i, level): (usize, &&str)| {
        let last = i + 1 == levels.len();
        !level.contains(['+', '#', '\0']) || *level == "+" || (*level == "#" && last)
    };
    !filter.is_empty() && u16::try_from(filter.len()).is_ok() && levels.iter().enumerate().all(legal)
}
