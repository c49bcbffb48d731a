//! TLS and WebSocket.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use omnisight::broker::{Options, TlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::raw::{Client, Connect, anonymous, start};
use crate::support::DEADLINE;

const FREE: Option<SocketAddr> = Some(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0));

/// Certificates for localhost that openssl made, each of itself alone.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Says so when openssl is not installed.
    fn new(names: &[&str]) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            let _ = writeln!(std::io::stderr(), "skipped: openssl not installed");
            return None;
        }
        let made = Self { folder: tempfile::tempdir().unwrap() };
        for name in names {
            made.make(name);
        }
        Some(made)
    }

    fn make(&self, name: &str) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(self.key(name))
            .arg("-out")
            .arg(self.certificate(name))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    fn certificate(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    fn key(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}-key.pem"))
    }

    fn files(&self, name: &str, client_ca: Option<&str>) -> TlsFiles {
        let client_ca = client_ca.map(|name| self.certificate(name));
        TlsFiles { certificate: self.certificate(name), key: self.key(name), client_ca }
    }
}

/// Shakes hands as a client that trusts `trusted` and shows `own`.
async fn shake_hands(
    address: SocketAddr,
    trusted: &Path,
    own: Option<(&Path, &Path)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    timeout(DEADLINE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_tls_hears_one_without() {
    let Some(made) = Certificates::new(&["broker"]) else { return };
    let tls = Some(made.files("broker", None));
    let broker = start(Options { tls, tls_listen: FREE, ..anonymous() }).await;
    let stream = shake_hands(broker.tls_addr().unwrap(), &made.certificate("broker"), None).await.unwrap();
    let (mut secure, _) = Client::over(stream, &Connect::new("secure")).await;
    secure.subscribe("t", 1, &[]).await;
    let (mut plain, _) = Client::connect(broker.local_addr().port(), &Connect::new("plain")).await;
    plain.publish("t", &[], b"x").await;
    assert_eq!(secure.message().await.payload, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_shakes_hands_keeps_no_other_out() {
    let Some(made) = Certificates::new(&["broker"]) else { return };
    let tls = Some(made.files("broker", None));
    let broker = start(Options { tls, tls_listen: FREE, ..anonymous() }).await;
    let address = broker.tls_addr().unwrap();
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut chatty = TcpStream::connect(address).await.unwrap();
    chatty.write_all(&[0xff; 100]).await.unwrap();
    let stream = shake_hands(address, &made.certificate("broker"), None).await.unwrap();
    Client::over(stream, &Connect::new("camera")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_for_clients_only_those_with_its_certificate_come_in() {
    let Some(made) = Certificates::new(&["broker", "camera", "stranger"]) else { return };
    let tls = Some(made.files("broker", Some("camera")));
    let broker = start(Options { tls, tls_listen: FREE, ..anonymous() }).await;
    let address = broker.tls_addr().unwrap();
    let trusted = made.certificate("broker");
    let own = |name: &str| (made.certificate(name), made.key(name));
    let (certificate, key) = own("camera");
    let stream = shake_hands(address, &trusted, Some((&certificate, &key))).await.unwrap();
    Client::over(stream, &Connect::new("camera")).await;
    let (certificate, key) = own("stranger");
    for own in [None, Some((certificate.as_path(), key.as_path()))] {
        // In TLS 1.3 a client learns of the refusal when it reads.
        let refused = match shake_hands(address, &trusted, own).await {
            Err(_) => true,
            Ok(mut stream) => {
                // The broker may be gone already.
                let _ = stream.write_all(&Connect::new("stranger").packet()).await;
                let mut byte = [0];
                !matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut byte).await, Ok(1))
            }
        };
        assert!(refused, "{own:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let Some(made) = Certificates::new(&["broker"]) else { return };
    let tls = Some(made.files("broker", None));
    let broker = start(Options { tls, tls_listen: FREE, ..anonymous() }).await;
    let address = broker.tls_addr().unwrap();
    let former = made.folder.path().join("former.pem");
    std::fs::copy(made.certificate("broker"), &former).unwrap();
    shake_hands(address, &former, None).await.unwrap();
    made.make("broker");
    let deadline = std::time::Instant::now() + DEADLINE;
    while shake_hands(address, &made.certificate("broker"), None).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the renewed certificate is never shown");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(shake_hands(address, &former, None).await.is_err());
    let renewed = made.folder.path().join("renewed.pem");
    std::fs::copy(made.certificate("broker"), &renewed).unwrap();
    std::fs::write(made.certificate("broker"), "no certificate").unwrap();
    // Longer than between two looks at the files, so that it has been seen.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    shake_hands(address, &renewed, None).await.unwrap();
}

#[tokio::test]
async fn files_that_do_not_go_together_are_named() {
    let Some(made) = Certificates::new(&["broker", "other"]) else { return };
    assert_eq!(made.files("broker", None).check(), Ok(()));
    let wrong_key = TlsFiles { key: made.key("other"), ..made.files("broker", None) };
    let fault = wrong_key.check().unwrap_err();
    assert_eq!(fault.file, made.key("other"));
    assert!(fault.detail.contains("does not go with"), "{fault:?}");
    let no_key = TlsFiles { key: made.certificate("broker"), ..made.files("broker", None) };
    assert!(no_key.check().unwrap_err().detail.contains("no private key"));
    let missing = TlsFiles { certificate: "/no/such".into(), ..made.files("broker", None) };
    assert_eq!(missing.check().unwrap_err().file, Path::new("/no/such"));
    let error = omnisight::broker::start(Options { tls_listen: FREE, ..anonymous() }).await.err().unwrap();
    assert!(error.to_string().contains("certificate"), "{error}");
}

/// A client's end of a WebSocket as a stream of bytes.
async fn web_socket<S>(stream: S) -> impl crate::raw::Stream
where
    S: crate::raw::Stream + 'static,
{
    let mut request = "ws://localhost/any/path".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    let (near, far) = tokio::io::duplex(4096);
    let (mut sink, mut source) = socket.split();
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = tokio::io::AsyncReadExt::read(&mut read, &mut buffer).await {
            // One byte a frame: packets need not fit frames (MQTT 5, 6.0.0-4).
            for byte in &buffer[..length] {
                sink.send(Message::binary(vec![*byte])).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if write.write_all(&message.into_data()).await.is_err() {
                return;
            }
        }
    });
    near
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_over_web_sockets_with_and_without_tls_hear_each_other() {
    let Some(made) = Certificates::new(&["broker"]) else { return };
    let tls = Some(made.files("broker", None));
    let options = Options { tls, websocket_listen: FREE, websocket_tls_listen: FREE, ..anonymous() };
    let broker = start(options).await;
    let stream = TcpStream::connect(broker.websocket_addr().unwrap()).await.unwrap();
    let (mut web, _) = Client::over(web_socket(stream).await, &Connect::new("web")).await;
    let address = broker.websocket_tls_addr().unwrap();
    let stream = shake_hands(address, &made.certificate("broker"), None).await.unwrap();
    let (mut secure, _) = Client::over(web_socket(stream).await, &Connect::new("secure")).await;
    web.subscribe("t/#", 1, &[]).await;
    secure.publish("t/1", &crate::raw::user_property("a", "b"), b"x").await;
    let message = web.message().await;
    assert_eq!((message.payload, message.properties), (b"x".to_vec(), crate::raw::user_property("a", "b")));
}

#[tokio::test]
async fn a_second_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let options = Options { websocket_listen: Some(address), ..anonymous() };
    let error = omnisight::broker::start(options).await.err().unwrap();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
