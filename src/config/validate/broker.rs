//! The rules of `[[broker_link]]`: addresses and passwords.

use std::time::Duration;

use super::password::PasswordKeys;
use super::url::Address;
use super::{Checked, Faulty, Validator};
use crate::base::BackoffOptions;
use crate::config::raw;
use crate::config::schema::quoted;
use crate::link::{self, Credentials};

impl Validator<'_> {
    pub(super) fn link_to_broker(&mut self) -> Checked<Option<link::Options>> {
        let raws: Vec<Checked<raw::BrokerLink>> = self.elements("broker_link");
        let mut links = Vec::with_capacity(raws.len());
        for (i, raw) in raws.into_iter().enumerate() {
            let path = format!("broker_link.{i}");
            if i == 1 {
                // Noted; the rest of it is still worth a look.
                let _: Checked<()> =
                    self.refuse(&path, "a second broker link", "this version talks to one broker");
            }
            links.extend(raw.and_then(|raw| self.link(&path, raw)).ok());
        }
        if self.faults.touch("broker_link") { Err(Faulty) } else { Ok(links.pop()) }
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
        let address = address?;
        let tls = self.link_tls(path, &raw, address.secure);
        let (password, tls) = (password?, tls?);
        let backoff = BackoffOptions {
            first: Duration::from_secs_f64(first),
            max: Duration::from_secs_f64(max),
            ..BackoffOptions::default()
        };
        let credentials = raw.username.map(|username| Credentials { username, password });
        let keep_alive = Duration::from_secs(u64::from(raw.keep_alive_s));
        Ok(link::Options {
            name: raw.name,
            host: address.host,
            port: address.port,
            tls,
            websocket: address.websocket,
            version: raw.protocol.version(),
            will_delay: Duration::from_secs(u64::from(raw.will_delay_s)),
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
