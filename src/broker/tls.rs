//! The broker's certificate, and the handshake with it.
//!
//! TLS 1.2 and 1.3, rustls with ring. The files are looked at again before a handshake, at most every
//! [`LOOK_EVERY`]: a certificate that was renewed is used without a restart; one that can't be used is
//! named in the log, and the former stays. A handshake that takes longer than [`HANDSHAKE_WITHIN`] is
//! given up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::base::without_mark;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// The PEM files of a broker with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and what leads from it to an authority that clients know.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of which one must have signed a client's certificate; without, none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFault {
    /// Which.
    pub file: PathBuf,
    /// What.
    pub detail: String,
}

impl TlsFiles {
    /// Reads them, and sees whether they go together.
    pub fn check(&self) -> Result<(), TlsFault> {
        self.load().map(drop)
    }

    fn load(&self) -> Result<ServerConfig, TlsFault> {
        let chain = certificates(&self.certificate)?;
        let fault = |file: &Path, detail: String| TlsFault { file: file.to_owned(), detail };
        let key = read(&self.key)
            .and_then(|text| PrivateKeyDer::from_pem_slice(&text).map_err(|error| error.to_string()))
            .map_err(|error| fault(&self.key, format!("no private key: {error}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&self.certificate, error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(file)? {
                    roots.add(root).map_err(|error| fault(file, error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| fault(file, error.to_string()))?)
            }
        };
        builder.with_single_cert(chain, key).map_err(|error| {
            let file = self.certificate.display();
            fault(&self.key, format!("does not go with {file}: {error}"))
        })
    }

    /// When each was last changed; none where that can't be known.
    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let changed = |file: &PathBuf| std::fs::metadata(file).and_then(|m| m.modified()).ok();
        files.into_iter().flatten().map(changed).collect()
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let chain: Result<Vec<_>, String> = read(file).and_then(|text| {
        let chain: Result<_, _> = CertificateDer::pem_slice_iter(&text).collect();
        chain.map_err(|error| error.to_string())
    });
    let detail = match chain {
        Ok(chain) if !chain.is_empty() => return Ok(chain),
        Ok(_) => "no certificate in it".to_owned(),
        Err(error) => format!("no certificate: {error}"),
    };
    Err(TlsFault { file: file.to_owned(), detail })
}

/// A PEM file without a byte order mark.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let read = std::fs::read(file).and_then(|bytes| without_mark(&bytes).map(<[u8]>::to_vec));
    read.map_err(|error| error.to_string())
}

/// Shakes hands with clients.
pub(super) struct Acceptor {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    changed_at: Vec<Option<SystemTime>>,
    looked_at: Instant,
}

impl Acceptor {
    pub(super) fn new(files: TlsFiles) -> Result<Self, TlsFault> {
        let changed_at = files.changed_at();
        let acceptor = TlsAcceptor::from(Arc::new(files.load()?));
        let current = Mutex::new(Current { acceptor, changed_at, looked_at: Instant::now() });
        Ok(Self { files, current })
    }

    /// Shakes hands; the error says why not.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let handshake = self.current().accept(stream);
        match timeout(HANDSHAKE_WITHIN, handshake).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err(format!("nothing for {} s", HANDSHAKE_WITHIN.as_secs())),
        }
    }

    fn current(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked_at.elapsed() >= LOOK_EVERY {
            current.looked_at = Instant::now();
            let changed_at = self.files.changed_at();
            if changed_at != current.changed_at {
                current.changed_at = changed_at;
                match self.files.load() {
                    Ok(config) => {
                        current.acceptor = TlsAcceptor::from(Arc::new(config));
                        tracing::info!(certificate = %self.files.certificate.display(), "broker: certificate read again");
                    }
                    Err(TlsFault { file, detail }) => {
                        let file = file.display();
                        tracing::warn!("broker: {file}: {detail}; the former certificate stays in use");
                    }
                }
            }
        }
        current.acceptor.clone()
    }
}
