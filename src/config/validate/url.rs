//! The URL of a broker: `mqtt://host`, `mqtts://host:port`, `ws://host/path`, `wss://host:port/path`.

use std::net::Ipv6Addr;

use crate::base::ascii_host;

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Name or address; an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// TLS is wanted.
    pub(super) secure: bool,
    /// The path of a WebSocket, when it is one.
    pub(super) websocket: Option<String>,
}

const FORM: &str = "a broker is mqtt://host, mqtts://host, ws://host/path or wss://host/path, with :port or without, or discover";
/// The path that brokers use as a rule.
const WEBSOCKET_PATH: &str = "/mqtt";

impl Address {
    /// That of a broker which is to be found.
    pub(super) fn to_be_found() -> Self {
        Self { host: String::new(), port: 1883, secure: false, websocket: None }
    }

    /// What it says, or what is wrong with it.
    ///
    /// The scheme may be in upper case; an international host name becomes its ASCII form.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
        let (secure, is_websocket, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => (false, false, 1883),
            "mqtts" => (true, false, 8883),
            "ws" => (false, true, 80),
            "wss" => (true, true, 443),
            _ => return Err(FORM),
        };
        if rest.contains('@') {
            return Err("name and password belong in username and password, not in the URL");
        }
        let (rest, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let path = if path.len() > 1 { path } else { WEBSOCKET_PATH };
        if !is_websocket && path != WEBSOCKET_PATH {
            return Err("only ws:// and wss:// have a path");
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a path has letters, digits and signs of ASCII only");
        }
        let (host, port) = host_and_port(rest)?;
        let port = match port {
            None => usual_port,
            Some(digits) => {
                let number = digits.parse().ok().filter(|p| *p > 0);
                number.ok_or("the port is an integer from 1 to 65535")?
            }
        };
        let websocket = is_websocket.then(|| path.to_owned());
        let host = ascii_host(host).map_err(|_| "the host's name is none: correct it")?.into_owned();
        Ok(Self { host, port, secure, websocket })
    }
}

fn host_and_port(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(v6) = text.strip_prefix('[') {
        let (host, after) = v6.split_once(']').ok_or(FORM)?;
        host.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
        let port = (!after.is_empty()).then(|| after.strip_prefix(':').ok_or(FORM)).transpose()?;
        return Ok((host, port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(legal) {
        return Err(FORM);
    }
    Ok((host, port))
}
