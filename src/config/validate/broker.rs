//! The rules of `[[broker_link]]` and `[broker]`: addresses, users and their passwords.
//!
//! A password file is read here (at most [`PASSWORD_FILE_BYTES_MAX`]), so that a missing one is a fault
//! of the configuration and not a failed login in the middle of the night.

use std::io::Read;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::{Checked, Faulty, Validator};
use crate::base::{BackoffOptions, Secret};
use crate::config::options::BrokerLink;
use crate::config::raw;
use crate::config::schema::quoted;
use crate::link::{self, Credentials};

/// A password file's first line is the password; a larger file is none.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;
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
        let file = raw.password_file.as_deref();
        if raw.username.is_none() && (raw.password.is_some() || file.is_some()) {
            return self.missing(&format!("{path}.username"), "a text; a password goes with a name");
        }
        let password = self.password(path, raw.password, file);
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

    /// The broker of a running camera, which must be where its clients were told.
    pub(super) fn broker_in_camera(
        &mut self,
        raw: &raw::Broker,
        state_dir: Option<&Path>,
    ) -> Checked<BrokerOptions> {
        if raw.enabled && raw.listen.parse::<SocketAddr>().is_ok_and(|listen| listen.port() == 0) {
            let reason =
                "nobody can be told a port that is free by chance; only `omnisight broker` takes one";
            return self.refuse("broker.listen", quoted(&raw.listen), reason);
        }
        self.broker(raw, state_dir)
    }

    pub(super) fn broker(&mut self, raw: &raw::Broker, state_dir: Option<&Path>) -> Checked<BrokerOptions> {
        let users = self.users(&raw.users);
        let listen = self.listen(&raw.listen)?;
        if !raw.enabled {
            return users.map(|_| BrokerOptions::default());
        }
        if !cfg!(feature = "broker") {
            let reason = "this build has no embedded broker (cargo feature broker)";
            return self.refuse("broker.enabled", "true", reason);
        }
        if raw.allow_anonymous && !listen.ip().is_loopback() {
            let reason = format!("other machines can reach broker.listen ({listen}); name users instead");
            return self.refuse("broker.allow_anonymous", "true", reason);
        }
        if !raw.allow_anonymous && raw.users.is_empty() {
            let allowed = "at least one user, or broker.allow_anonymous = true on loopback";
            return self.missing("broker.users", allowed);
        }
        embedded(raw, listen, users?, state_dir)
    }

    /// Host and port of a broker's URL; `path` is its key.
    pub(super) fn url(&mut self, path: &str, url: &str) -> Checked<(String, u16)> {
        parse_url(url).or_else(|reason| self.refuse(path, quoted(url), reason))
    }

    pub(super) fn listen(&mut self, listen: &str) -> Checked<SocketAddr> {
        let allowed = "an IP address and a port, such as 127.0.0.1:1883 or [::]:1883";
        listen.parse().or_else(|_| self.not_allowed("broker.listen", quoted(listen), allowed))
    }

    fn users(&mut self, raws: &[raw::User]) -> Checked<Vec<(String, Secret)>> {
        let user = |(i, raw): (usize, &raw::User)| {
            let path = format!("broker.users.{i}");
            let password = self.password(&path, raw.password.clone(), raw.password_file.as_deref());
            if raws[..i].iter().any(|u| u.name == raw.name) {
                let allowed = "a name that no other user has";
                return self.not_allowed(&format!("{path}.name"), quoted(&raw.name), allowed);
            }
            match password? {
                None => self.missing(&format!("{path}.password"), "a text, or a file in password_file"),
                Some(password) => Ok((raw.name.clone(), password)),
            }
        };
        // First all of them, so that each fault is found.
        let users: Vec<_> = raws.iter().enumerate().map(user).collect();
        users.into_iter().collect()
    }

    /// The password from one of its two keys, if it is in one.
    fn password(&mut self, path: &str, text: Option<Secret>, file: Option<&Path>) -> Checked<Option<Secret>> {
        let Some(file) = file else { return Ok(text) };
        let key = format!("{path}.password_file");
        let found = quoted(&file.display().to_string());
        if text.is_some() {
            return self.refuse(&key, found, "there is password, too; keep one of the two");
        }
        match read_password(file) {
            Ok(secret) => Ok(Some(secret)),
            Err(reason) => self.refuse(&key, found, reason),
        }
    }
}

/// The broker's options; nothing in a build without it.
#[cfg(feature = "broker")]
type BrokerOptions = Option<crate::broker::Options>;
#[cfg(not(feature = "broker"))]
type BrokerOptions = ();

#[cfg(feature = "broker")]
fn embedded(
    raw: &raw::Broker,
    listen: SocketAddr,
    users: Vec<(String, Secret)>,
    state_dir: Option<&Path>,
) -> Checked<BrokerOptions> {
    let defaults = crate::broker::Options::default();
    Ok(Some(crate::broker::Options {
        listen,
        users,
        allow_anonymous: raw.allow_anonymous,
        max_clients: raw.max_clients as usize,
        max_packet_bytes: raw.max_packet_bytes as usize,
        max_retained: raw.max_retained as usize,
        max_queued_per_client: raw.max_queued_per_client as usize,
        data_dir: Some(state_dir.ok_or(Faulty)?.join("broker")),
        ..defaults
    }))
}

#[cfg(not(feature = "broker"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as with the broker")]
fn embedded(
    _: &raw::Broker,
    _: SocketAddr,
    _: Vec<(String, Secret)>,
    _: Option<&Path>,
) -> Checked<BrokerOptions> {
    Ok(())
}

fn read_password(file: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let limit = PASSWORD_FILE_BYTES_MAX + 1;
    let read = std::fs::File::open(file).and_then(|f| f.take(limit).read_to_string(&mut text));
    let bytes = read.map_err(|e| format!("the file can't be read: {e}"))?;
    if bytes as u64 >= limit {
        return Err(format!("the file is larger than {PASSWORD_FILE_BYTES_MAX} bytes"));
    }
    match text.lines().next().unwrap_or_default() {
        "" => Err("the first line of the file is empty".to_owned()),
        line => Ok(Secret::new(line.to_owned())),
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
