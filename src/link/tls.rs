//! TLS for links: rustls with ring, and clear words for what goes wrong with certificates.
//!
//! - All files are read anew at every connect, so a renewed certificate is used from the next connection
//!   on. A connection that is up is left up: TLS asks for a certificate only at its start.
//! - Without a CA file the system's CA certificates count: they are kept up to date by whoever keeps the
//!   system, and a list built into a camera that is never updated would end one day. A system that has
//!   none is named as such; most cameras have none, and most sites have a CA of their own.
//! - How long the broker's and our own certificate last is told with every connection
//!   ([`Certificates`]); [`EXPIRY_WARNING`] before the end it is time to say so.
//! - A fault says what is wrong and what to do about it ([`TlsFault`]); none of them shows a key.
//!
//! Nothing here turns verification off, and there is no option for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, InconsistentKeys, RootCertStore, version};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;

use crate::base::without_mark;

/// How long before the end of a certificate it is time to say so.
pub const EXPIRY_WARNING: Duration = Duration::from_hours(30 * 24);
/// A file of certificates or a key is not larger than this, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// How a secure connection is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// PEM file of the CA certificates to trust; without, the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its private key, when the broker wants to know us by them.
    pub identity: Option<Identity>,
    /// The name that the broker's certificate must have; without, the host.
    pub server_name: Option<String>,
    /// The oldest version of TLS to speak.
    pub min_version: TlsVersion,
}

impl TlsOptions {
    /// Whether the files that are named can be used.
    ///
    /// # Errors
    /// What is wrong with the first that can't.
    pub fn check(&self) -> Result<(), TlsFault> {
        if self.ca_file.is_some() || self.identity.is_some() {
            client_config(self)?;
        }
        Ok(())
    }
}

/// Files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the certificate, and of those between it and its CA.
    pub certificate_file: PathBuf,
    /// PEM file of its private key, not encrypted.
    pub key_file: PathBuf,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V12,
    /// TLS 1.3.
    V13,
}

/// When the certificates of a connection end, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Certificates {
    /// The broker's.
    pub broker_until_ms: Option<u64>,
    /// Our own.
    pub own_until_ms: Option<u64>,
}

impl Certificates {
    /// Whose certificate ends within [`EXPIRY_WARNING`], or has ended, and when.
    pub fn ending(&self, now_ms: u64) -> Option<(&'static str, u64)> {
        let warning_ms = EXPIRY_WARNING.as_millis() as u64;
        let ends = |until: &u64| *until <= now_ms.saturating_add(warning_ms);
        let broker = self.broker_until_ms.filter(ends).map(|until| ("the broker's", until));
        let own = self.own_until_ms.filter(ends).map(|until| ("this camera's own", until));
        broker.into_iter().chain(own).min_by_key(|(_, until)| *until)
    }
}

/// Why there is no secure connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// A file can't be read.
    #[error("{file} can't be read: {detail}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's message.
        detail: String,
    },
    /// A file is not what it should be.
    #[error(
        "{file} holds no {wanted} in PEM format (it begins with -----BEGIN; a DER file is converted with openssl)"
    )]
    NotPem {
        /// The file.
        file: String,
        /// A certificate, or a private key.
        wanted: &'static str,
    },
    /// The key file is encrypted.
    #[error(
        "the key in {file} is encrypted; a camera that starts alone has nobody to ask: store it without a passphrase, mode 0600"
    )]
    EncryptedKey {
        /// The file.
        file: String,
    },
    /// The CA file holds no CA.
    #[error(
        "{file} holds no CA certificate, but that of a server or client; what is wanted is the certificate that signed it"
    )]
    NotCa {
        /// The file.
        file: String,
    },
    /// The system has no CA certificates.
    #[error("this system has no CA certificates; name the broker's with tls_ca")]
    NoSystemCa,
    /// Certificate and key do not belong together.
    #[error("the key in {key} does not fit the certificate in {certificate}")]
    KeyMismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// Our own files are no use for another reason.
    #[error("certificate or key of this camera can't be used: {detail}")]
    Identity {
        /// The library's message.
        detail: String,
    },
    /// The server name is none.
    #[error("{name:?} is no name that a certificate could have; set tls_server_name")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The broker's certificate is for another name.
    #[error(
        "the broker's certificate is not for {wanted}, but for {has}; use that name in the url, or set tls_server_name"
    )]
    WrongName {
        /// What was asked for.
        wanted: String,
        /// What the certificate says.
        has: String,
    },
    /// Nobody we trust signed it.
    #[error("nobody that this camera trusts has signed the broker's certificate; name its CA with tls_ca")]
    UnknownCa,
    /// A CA of a name that we trust signed it, with another key.
    #[error(
        "the broker's certificate is signed by a CA with the name of one that this camera trusts, but with another key; was the CA made anew? Name the present one with tls_ca"
    )]
    OtherCa,
    /// A CA's own certificate is used as a server's.
    #[error(
        "the broker shows the certificate of a CA as its own; it needs one for a server, signed by that CA"
    )]
    CaAsServer,
    /// It has ended.
    #[error("the broker's certificate ended on {until}{}", clock(.now))]
    Expired {
        /// When, or a word for it.
        until: String,
        /// Our clock.
        now: String,
    },
    /// It has not begun.
    #[error("the broker's certificate is valid from {from} on{}; is the clock of this camera right?", clock(.now))]
    NotYetValid {
        /// When, or a word for it.
        from: String,
        /// Our clock.
        now: String,
    },
    /// The broker wants to know us by a certificate.
    #[error("the broker wants a client certificate; name one with tls_certificate and tls_key")]
    ClientCertificateRequired,
    /// The broker does not take ours.
    #[error("the broker does not accept this camera's certificate: {detail}")]
    ClientCertificateRefused {
        /// Its alert.
        detail: String,
    },
    /// What answered does not speak TLS.
    #[error("the broker's port does not speak TLS; use mqtt:// or its port for TLS (8883 as a rule)")]
    PlaintextPort,
    /// It closed in the midst of the handshake.
    #[error(
        "the broker closed the connection during the TLS handshake; most often the port does not speak TLS"
    )]
    HandshakeClosed,
    /// What answered speaks TLS, and we did not.
    #[error("the broker's port speaks TLS; use mqtts://")]
    SecurePort,
    /// No version in common.
    #[error(
        "the broker's TLS is too old, or ours: no version in common (tls_min_version is {min}, the newest is 1.3)"
    )]
    Version {
        /// The oldest that we speak.
        min: &'static str,
    },
    /// Anything else.
    #[error("{detail}")]
    Other {
        /// The library's message.
        detail: String,
    },
}

fn clock(now: &str) -> String {
    if now.is_empty() { String::new() } else { format!("; this camera's clock says {now}") }
}

impl TlsFault {
    /// A short, stable word for a status.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "tls file unreadable",
            Self::NotPem { .. } => "tls file not pem",
            Self::EncryptedKey { .. } => "tls key encrypted",
            Self::NotCa { .. } => "tls ca file holds no ca",
            Self::NoSystemCa => "tls no system ca",
            Self::KeyMismatch { .. } => "tls key does not fit",
            Self::Identity { .. } => "tls own certificate unusable",
            Self::ServerName { .. } => "tls server name",
            Self::WrongName { .. } => "tls wrong name",
            Self::UnknownCa | Self::OtherCa => "tls unknown ca",
            Self::CaAsServer => "tls ca used as server",
            Self::Expired { .. } => "tls certificate expired",
            Self::NotYetValid { .. } => "tls certificate not yet valid",
            Self::ClientCertificateRequired => "tls client certificate required",
            Self::ClientCertificateRefused { .. } => "tls client certificate refused",
            Self::PlaintextPort => "tls port is plaintext",
            Self::HandshakeClosed => "tls handshake closed",
            Self::SecurePort => "port wants tls",
            Self::Version { .. } => "tls version",
            Self::Other { .. } => "tls",
        }
    }

    /// It may be over in a moment, without anybody doing anything: a broker that restarts, a clock that
    /// is set.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::NotYetValid { .. } | Self::HandshakeClosed | Self::Other { .. })
    }
}

/// Makes a stream secure.
pub(super) async fn connect<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    options: &TlsOptions,
    host: &str,
    stream: S,
) -> Result<(TlsStream<S>, Certificates), TlsFault> {
    let name = options.server_name.as_deref().unwrap_or(host);
    let server =
        ServerName::try_from(name.to_owned()).map_err(|_| TlsFault::ServerName { name: name.to_owned() })?;
    let read = options.clone();
    // Reading and checking a system's store takes a camera some 10 ms.
    let made = tokio::task::spawn_blocking(move || client_config(&read)).await;
    let (config, own_until_ms) = made.map_err(|error| TlsFault::Other { detail: error.to_string() })??;
    let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
    let stream = stream.map_err(|error| handshake_fault(&error, options))?;
    let (_, session) = stream.get_ref();
    let broker = session.peer_certificates().and_then(<[_]>::first);
    let broker_until_ms = broker.and_then(until_ms);
    Ok((stream, Certificates { broker_until_ms, own_until_ms }))
}

/// What the client library needs, and when our own certificate ends.
fn client_config(options: &TlsOptions) -> Result<(ClientConfig, Option<u64>), TlsFault> {
    let versions: &[_] = match options.min_version {
        TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V13 => &[&version::TLS13],
    };
    let other = |error: rustls::Error| TlsFault::Other { detail: error.to_string() };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(other)?
        .with_root_certificates(roots(options.ca_file.as_deref())?);
    let Some(identity) = &options.identity else { return Ok((builder.with_no_client_auth(), None)) };
    let chain = certificates(&identity.certificate_file)?;
    let own_until_ms = chain.first().and_then(until_ms);
    let key = private_key(&identity.key_file)?;
    let config = builder.with_client_auth_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsFault::KeyMismatch {
            certificate: shown(&identity.certificate_file),
            key: shown(&identity.key_file),
        },
        error => TlsFault::Identity { detail: error.to_string() },
    })?;
    Ok((config, own_until_ms))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(TlsFault::NoSystemCa) } else { Ok(roots) };
    };
    let certificates = certificates(file)?;
    if !certificates.iter().any(may_sign) {
        return Err(TlsFault::NotCa { file: shown(file) });
    }
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(TlsFault::NotPem { file: shown(file), wanted: "certificate" }) } else { Ok(roots) }
}

/// A CA's certificate, or one that is signed by itself: pinning it is a way to trust a single broker.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let body = certificate.tbs_certificate();
    let constraints = body.get_extension::<BasicConstraints>().ok().flatten();
    constraints.is_some_and(|(_, constraints)| constraints.ca)
        || body.issuer().to_der().ok() == body.subject().to_der().ok()
}

fn until_ms(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let until = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    u64::try_from(until.as_millis()).ok()
}

fn read(file: &Path) -> Result<Vec<u8>, TlsFault> {
    let unreadable = |detail: String| TlsFault::Unreadable { file: shown(file), detail };
    let length = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(format!("{length} bytes are too many")));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    without_mark(&bytes).map(<[u8]>::to_vec).map_err(|error| unreadable(error.to_string()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let not_pem = || TlsFault::NotPem { file: shown(file), wanted: "certificate" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.map_err(|_| not_pem())?;
    if found.is_empty() { Err(not_pem()) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let text = read(file)?;
    let has = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    if has(b"ENCRYPTED") {
        return Err(TlsFault::EncryptedKey { file: shown(file) });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound | pem::Error::IllegalSectionStart { .. } | pem::Error::Base64Decode(_) => {
            TlsFault::NotPem { file: shown(file), wanted: "private key" }
        }
        error => TlsFault::Identity { detail: error.to_string() },
    })
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

/// The fault in an error of a stream that was made secure, if it is one of TLS.
pub(super) fn fault_in(error: &std::io::Error) -> Option<TlsFault> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(fault(error, "1.2"))
}

fn handshake_fault(error: &std::io::Error, options: &TlsOptions) -> TlsFault {
    let min = match options.min_version {
        TlsVersion::V12 => "1.2",
        TlsVersion::V13 => "1.3",
    };
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        // TLS 1.2 has no alert of its own for it.
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure))
            if options.identity.is_none() =>
        {
            TlsFault::ClientCertificateRequired
        }
        Some(error) => fault(error, min),
        None => match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe => TlsFault::HandshakeClosed,
            _ => TlsFault::Other { detail: error.to_string() },
        },
    }
}

fn fault(error: &rustls::Error, min: &'static str) -> TlsFault {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_fault(error),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => TlsFault::ClientCertificateRequired,
            AlertDescription::ProtocolVersion => TlsFault::Version { min },
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => {
                TlsFault::ClientCertificateRefused { detail: format!("{alert:?}") }
            }
            alert => TlsFault::Other { detail: format!("the broker broke off: {alert:?}") },
        },
        rustls::Error::PeerIncompatible(_) => TlsFault::Version { min },
        rustls::Error::InvalidMessage(_) => TlsFault::PlaintextPort,
        error => TlsFault::Other { detail: error.to_string() },
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => TlsFault::WrongName {
            wanted: expected.to_str().into_owned(),
            has: if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") },
        },
        CertificateError::NotValidForName => {
            TlsFault::WrongName { wanted: "its host".to_owned(), has: "another name".to_owned() }
        }
        CertificateError::UnknownIssuer => TlsFault::UnknownCa,
        CertificateError::BadSignature => TlsFault::OtherCa,
        CertificateError::ExpiredContext { time, not_after } => {
            TlsFault::Expired { until: date(*not_after), now: date(*time) }
        }
        CertificateError::Expired => {
            TlsFault::Expired { until: "a day that has passed".to_owned(), now: String::new() }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            TlsFault::NotYetValid { from: date(*not_before), now: date(*time) }
        }
        CertificateError::NotValidYet => {
            TlsFault::NotYetValid { from: "a later day".to_owned(), now: String::new() }
        }
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => TlsFault::CaAsServer,
        error => TlsFault::Other { detail: format!("the broker's certificate is refused: {error}") },
    }
}

fn date(time: UnixTime) -> String {
    let since = Duration::from_secs(time.as_secs());
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}
