//! The rules of `[broker]`: addresses, users, and the files that go with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::password::PasswordKeys;
use super::{Checked, Faulty, Validator};
use crate::base::Secret;
use crate::config::raw;
use crate::config::schema::quoted;

/// The keys that hold an address.
pub(super) const ADDRESSES: [&str; 4] =
    ["broker.listen", "broker.tls_listen", "broker.websocket_listen", "broker.websocket_tls_listen"];

/// The broker's options; nothing in a build without it.
#[cfg(feature = "broker")]
pub(super) type BrokerOptions = Option<crate::broker::Options>;
#[cfg(not(feature = "broker"))]
pub(super) type BrokerOptions = ();

impl Validator<'_> {
    /// The broker of a running camera, which must be where its clients were told.
    pub(super) fn broker_in_camera(
        &mut self,
        raw: &raw::Broker,
        state_dir: Option<&Path>,
    ) -> Checked<BrokerOptions> {
        for (key, address) in ADDRESSES.iter().zip(addresses(raw)) {
            let Some(address) = address else { continue };
            if raw.enabled && address.parse::<SocketAddr>().is_ok_and(|listen| listen.port() == 0) {
                let reason =
                    "nobody can be told a port that is free by chance; only `omnisight broker` takes one";
                return self.refuse(key, quoted(address), reason);
            }
        }
        self.broker(raw, state_dir)
    }

    pub(super) fn broker(&mut self, raw: &raw::Broker, state_dir: Option<&Path>) -> Checked<BrokerOptions> {
        let users = self.users(&raw.users);
        let mut listens = Vec::new();
        for (key, address) in ADDRESSES.iter().zip(addresses(raw)) {
            listens.push(address.map(|address| self.address(key, address)).transpose());
        }
        if !raw.enabled {
            for listen in listens {
                listen?;
            }
            return users.map(|_| BrokerOptions::default());
        }
        if !cfg!(feature = "broker") {
            let reason = "this build has no embedded broker (cargo feature broker)";
            return self.refuse("broker.enabled", "true", reason);
        }
        for (key, listen) in ADDRESSES.iter().zip(&listens) {
            if let Ok(Some(listen)) = listen
                && raw.allow_anonymous
                && !listen.ip().is_loopback()
            {
                let reason = format!("other machines can reach {key} ({listen}); name users instead");
                return self.refuse("broker.allow_anonymous", "true", reason);
            }
        }
        if !raw.allow_anonymous && raw.users.is_empty() && raw.password_file.is_none() {
            let allowed =
                "at least one user, or broker.password_file, or broker.allow_anonymous = true on loopback";
            return self.missing("broker.users", allowed);
        }
        self.certificate_keys(raw)?;
        let listens: Vec<Option<SocketAddr>> = listens.into_iter().collect::<Checked<_>>()?;
        let data_dir = state_dir.ok_or(Faulty)?.join("broker");
        self.embedded(raw, &listens, users?, Some(data_dir))
    }

    /// The broker that runs while the cameras agree on this one: what `[broker]` says, at this address alone. It
    /// keeps nothing on the disk: what an earlier term left would be told as if it were so.
    pub(super) fn elected(&mut self, raw: &raw::Broker, listen: SocketAddr) -> Checked<BrokerOptions> {
        let plain = raw::Broker {
            allow_anonymous: raw.users.is_empty() && raw.password_file.is_none(),
            tls_certificate: None,
            tls_key: None,
            ..raw.clone()
        };
        let users = self.users(&plain.users)?;
        self.embedded(&plain, &[Some(listen), None, None, None], users, None)
    }

    pub(super) fn address(&mut self, key: &str, address: &str) -> Checked<SocketAddr> {
        let allowed = "an IP address and a port, such as 127.0.0.1:1883 or [::]:1883";
        address.parse().or_else(|_| self.not_allowed(key, quoted(address), allowed))
    }

    /// Certificate and key go together, and with an address that shows them.
    fn certificate_keys(&mut self, raw: &raw::Broker) -> Checked<()> {
        let wanted = raw.tls_listen.is_some() || raw.websocket_tls_listen.is_some();
        let why = "the path of a PEM file; an address with TLS needs certificate and key";
        match (&raw.tls_certificate, &raw.tls_key) {
            (None, _) if wanted => self.missing("broker.tls_certificate", why),
            (_, None) if wanted => self.missing("broker.tls_key", why),
            (Some(file), _) | (None, Some(file)) if !wanted => {
                let key = if raw.tls_certificate.is_some() { "tls_certificate" } else { "tls_key" };
                let reason = "nothing listens with TLS: set broker.tls_listen or broker.websocket_tls_listen";
                self.refuse(&format!("broker.{key}"), quoted(&file.display().to_string()), reason)
            }
            _ => Ok(()),
        }
    }

    fn users(&mut self, raws: &[raw::User]) -> Checked<Vec<(String, Secret)>> {
        let user = |(i, raw): (usize, &raw::User)| {
            let path = format!("broker.users.{i}");
            let keys = PasswordKeys {
                text: raw.password.as_ref(),
                file: raw.password_file.as_deref(),
                secret: raw.password_secret.as_deref(),
            };
            let password = self.password(&path, &keys);
            if raws[..i].iter().any(|u| u.name == raw.name) {
                let allowed = "a name that no other user has";
                return self.not_allowed(&format!("{path}.name"), quoted(&raw.name), allowed);
            }
            match password? {
                None => self.missing(
                    &format!("{path}.password"),
                    "a text, a file in password_file, or a secret's name in password_secret",
                ),
                Some(password) => Ok((raw.name.clone(), password)),
            }
        };
        // First all of them, so that each fault is found.
        let users: Vec<_> = raws.iter().enumerate().map(user).collect();
        users.into_iter().collect()
    }
}

/// The addresses as they are written, in the order of [`ADDRESSES`].
fn addresses(raw: &raw::Broker) -> [Option<&str>; 4] {
    [
        Some(&raw.listen),
        raw.tls_listen.as_ref(),
        raw.websocket_listen.as_ref(),
        raw.websocket_tls_listen.as_ref(),
    ]
    .map(|address| address.map(String::as_str))
}

#[cfg(feature = "broker")]
impl Validator<'_> {
    fn embedded(
        &mut self,
        raw: &raw::Broker,
        listens: &[Option<SocketAddr>],
        users: Vec<(String, Secret)>,
        data_dir: Option<PathBuf>,
    ) -> Checked<BrokerOptions> {
        use std::time::Duration;

        use crate::broker::{Acl, Options, Passwords};

        let passwords = self.file("broker.password_file", raw.password_file.as_deref(), Passwords::read);
        let acl = self.file("broker.acl_file", raw.acl_file.as_deref(), Acl::read);
        let tls = self.tls_files(raw);
        let &[Some(listen), tls_listen, websocket_listen, websocket_tls_listen] = listens else {
            return Err(Faulty);
        };
        Ok(Some(Options {
            listen,
            tls_listen,
            websocket_listen,
            websocket_tls_listen,
            tls: tls?,
            users,
            passwords: passwords?.unwrap_or_default(),
            acl: acl?,
            allow_anonymous: raw.allow_anonymous,
            local_link_only: raw.allow_anonymous && !listen.ip().is_loopback(),
            max_clients: raw.max_clients as usize,
            max_packet_bytes: raw.max_packet_bytes as usize,
            max_retained: raw.max_retained as usize,
            max_queued_per_client: raw.max_queued_per_client as usize,
            max_queued_bytes_per_client: raw.max_queued_bytes_per_client as usize,
            client_channel_capacity: raw.client_channel_capacity as usize,
            max_in_flight: raw.max_in_flight,
            receive_maximum: raw.receive_maximum,
            topic_alias_maximum: raw.topic_alias_maximum,
            max_subscriptions_per_client: raw.max_subscriptions_per_client as usize,
            session_expiry_max: Duration::from_secs(raw.session_expiry_max_s.into()),
            keep_alive: raw.keep_alive_s.map(|seconds| Duration::from_secs(seconds.into())),
            data_dir,
        }))
    }

    /// What is in a file, if one is named.
    fn file<T>(
        &mut self,
        key: &str,
        file: Option<&Path>,
        read: impl Fn(&Path) -> Result<T, String>,
    ) -> Checked<Option<T>> {
        let Some(file) = file else { return Ok(None) };
        let found = quoted(&file.display().to_string());
        read(file).map(Some).or_else(|reason| self.refuse(key, found, reason))
    }

    fn tls_files(&mut self, raw: &raw::Broker) -> Checked<Option<crate::broker::TlsFiles>> {
        let (Some(certificate), Some(key)) = (&raw.tls_certificate, &raw.tls_key) else { return Ok(None) };
        let files = crate::broker::TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: raw.tls_client_ca.clone(),
        };
        let Err(fault) = files.check() else { return Ok(Some(files)) };
        let path = if fault.file == *certificate {
            "broker.tls_certificate"
        } else if fault.file == *key {
            "broker.tls_key"
        } else {
            "broker.tls_client_ca"
        };
        self.refuse(path, quoted(&fault.file.display().to_string()), fault.detail)
    }
}

#[cfg(not(feature = "broker"))]
impl Validator<'_> {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the same shape as with the broker")]
    fn embedded(
        &mut self,
        _: &raw::Broker,
        _: &[Option<SocketAddr>],
        _: Vec<(String, Secret)>,
        _: Option<PathBuf>,
    ) -> Checked<BrokerOptions> {
        Ok(())
    }
}
