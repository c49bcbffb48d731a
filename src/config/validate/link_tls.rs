//! The rules of the `tls_` keys of `[[broker_link]]`.
//!
//! The files are read here once, so that what is wrong with them is a fault of the configuration; the
//! link reads them again at every connect.

use super::{Checked, Validator};
use crate::config::raw;
use crate::config::schema::quoted;
use crate::link::{Identity, TlsOptions};

impl Validator<'_> {
    /// How the link at `path` is made secure; `secure`: its URL asks for it.
    pub(super) fn link_tls(
        &mut self,
        path: &str,
        raw: &raw::BrokerLink,
        secure: bool,
    ) -> Checked<Option<TlsOptions>> {
        let files =
            [("tls_ca", &raw.tls_ca), ("tls_certificate", &raw.tls_certificate), ("tls_key", &raw.tls_key)];
        let set = files.iter().find_map(|(key, file)| file.as_ref().map(|file| (*key, file)));
        if !secure {
            let Some((key, file)) = set else { return Ok(None) };
            let reason = "the url asks for no TLS; use mqtts:// or wss://";
            return self.refuse(&format!("{path}.{key}"), quoted(&file.display().to_string()), reason);
        }
        let identity = match (&raw.tls_certificate, &raw.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity { certificate_file: certificate.clone(), key_file: key.clone() })
            }
            (None, None) => None,
            (Some(_), None) => return self.missing(&format!("{path}.tls_key"), "the key of tls_certificate"),
            (None, Some(_)) => {
                return self.missing(&format!("{path}.tls_certificate"), "the certificate of tls_key");
            }
        };
        let options = TlsOptions {
            ca_file: raw.tls_ca.clone(),
            identity,
            server_name: raw.tls_server_name.clone(),
            min_version: raw.tls_min_version.into(),
        };
        match (options.check(), set) {
            (Ok(()), _) => Ok(Some(options)),
            (Err(fault), set) => {
                let (key, file) =
                    set.map_or(("url", raw.url.clone()), |(key, file)| (key, file.display().to_string()));
                self.refuse(&format!("{path}.{key}"), quoted(&file), fault.to_string())
            }
        }
    }
}
