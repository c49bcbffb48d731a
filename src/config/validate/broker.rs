//! The rules of `[[broker_link]]`: addresses and passwords.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::password::PasswordKeys;
use super::{Checked, Faulty, Validator};
use crate::base::BackoffOptions;
use crate::config::options::BrokerLink;
use crate::config::raw;
use crate::config::schema::quoted;
use crate::link::{self, Credentials};

/// The port of `mqtt://` when the URL names none.
const MQTT_PORT: u16 = 1883;

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

    fn broker_link(&mut self, path: &str, raw: raw::BrokerLink) -> Checked<BrokerLink> {
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
        let address = self.url(&format!("{path}.url"), &raw.url);
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
        let (host, port) = address?;
        let password = password?;
        let backoff = BackoffOptions {
            first: Duration::from_secs_f64(first),
            max: Duration::from_secs_f64(max),
            ..BackoffOptions::default()
        };
        let credentials = raw.username.map(|username| Credentials { username, password });
        let keep_alive = Duration::from_secs(u64::from(raw.keep_alive_s));
        Ok(link::Options {
            name: raw.name,
            host,
            port,
            credentials,
            keep_alive,
            backoff,
            ..link::Options::default()
        })
    }

    /// Host and port of a broker's URL; `path` is its key.
    pub(super) fn url(&mut self, path: &str, url: &str) -> Checked<(String, u16)> {
        parse_url(url).or_else(|reason| self.refuse(path, quoted(url), reason))
    }
}

fn is_topic_filter(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let legal = |(i, level): (usize, &&str)| {
        let last = i + 1 == levels.len();
        !level.contains(['+', '#', '\0']) || *level == "+" || (*level == "#" && last)
    };
    !filter.is_empty() && filter.len() <= usize::from(u16::MAX) && levels.iter().enumerate().all(legal)
}

/// Host and port of `mqtt://host:port`, or what is wrong with it.
fn parse_url(url: &str) -> Result<(String, u16), &'static str> {
    const FORM: &str = "a broker is mqtt://host or mqtt://host:port";
    let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
    match scheme {
        "mqtt" => {}
        "mqtts" | "ws" | "wss" => return Err("this version speaks mqtt:// only"),
        _ => return Err(FORM),
    }
    if rest.contains('@') {
        return Err("name and password belong in username and password, not in the URL");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = if let Some(v6) = rest.strip_prefix('[') {
        let (host, after) = v6.split_once(']').ok_or(FORM)?;
        host.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
        (host, (!after.is_empty()).then(|| after.strip_prefix(':').ok_or(FORM)).transpose()?)
    } else {
        let (host, port) = rest.split_once(':').map_or((rest, None), |(h, p)| (h, Some(p)));
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || !host.chars().all(legal) {
            return Err(FORM);
        }
        (host, port)
    };
    let port = match port {
        None => MQTT_PORT,
        Some(digits) => {
            let number = digits.parse().ok().filter(|p| *p > 0);
            number.ok_or("the port is an integer from 1 to 65535")?
        }
    };
    Ok((host.to_owned(), port))
}
