//! TLS against a real mosquitto, with certificates that are made here: that it works, and that each of the
//! classic mistakes is named.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use omnisight::link::{Error, Identity, Options, State, Status, TlsOptions, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::watch::modes;
use crate::support::{Peer, event, free_port, link_options};

/// A CA of the test, and a folder for what it signs.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// How long a certificate lasts, in days from now.
const USUAL: (i64, i64) = (-1, 365);

impl Authority {
    fn new() -> Self {
        Self::named("the test's own CA")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { folder: tempfile::tempdir().unwrap(), issuer };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.file(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Writes `NAME.pem` and `NAME.key` for these names, valid in these days from now.
    fn sign(&self, name: &str, names: &[&str], (from, until): (i64, i64)) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = days_from_now(from);
        params.not_after = days_from_now(until);
        let key = KeyPair::generate().unwrap();
        let key_file = self.write(&format!("{name}.key"), &key.serialize_pem());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate_file: self.write(&format!("{name}.pem"), &certificate.pem()), key_file }
    }

    /// A mosquitto with this certificate and further settings.
    fn broker(&self, server: &Identity, settings: &str) -> (Mosquitto, u16) {
        let port = free_port();
        let certificate = server.certificate_file.display();
        let (key, ca) = (server.key_file.display(), self.file("ca.pem").display().to_string());
        let settings =
            format!("allow_anonymous true\ncafile {ca}\ncertfile {certificate}\nkeyfile {key}\n{settings}");
        (Mosquitto::start(self.folder.path(), port, &settings), port)
    }

    fn trust(&self) -> TlsOptions {
        TlsOptions { ca_file: Some(self.file("ca.pem")), ..TlsOptions::default() }
    }
}

fn days_from_now(days: i64) -> OffsetDateTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    rcgen::date_time_ymd(1970, 1, 1) + now + time::Duration::days(days)
}

fn secure(port: u16, tls: TlsOptions) -> Options {
    Options { tls: Some(tls), ..link_options(port) }
}

async fn connects(options: &Options) -> Status {
    let camera = Peer::spawn(options, "camera", None, &[]);
    camera.send(event("t", "{}"));
    camera.status(|status| status.counters.acknowledged == 1).await
}

/// Waits for a failure, and checks its word and what its sentence says.
async fn fails(options: &Options, word: &str, says: &str) {
    let camera = Peer::spawn(options, "camera", None, &[]);
    // The first error may be about what is tried first: MQTT 5.
    let says_it = |error: &Error| error.to_string().contains(says);
    let failed =
        |status: &Status| status.state == State::Waiting && status.last_error.as_ref().is_some_and(says_it);
    let error = camera.status(failed).await.last_error.unwrap();
    assert_eq!(error.word(), word, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_certificate_of_a_known_ca_is_spoken_to_in_either_version() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let server = ca.sign("server", &["127.0.0.1"], USUAL);
    let (_broker, port) = ca.broker(&server, "");
    for min_version in [TlsVersion::V12, TlsVersion::V13] {
        let status = connects(&secure(port, TlsOptions { min_version, ..ca.trust() })).await;
        let until_ms = status.certificates.unwrap().broker_until_ms.unwrap();
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let days = (until_ms - now_ms) as f64 / 86_400_000.0;
        assert!((364.0..366.0).contains(&days), "{days}");
        assert_eq!(status.certificates.unwrap().ending(now_ms), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_host_can_be_set() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let (_broker, port) = ca.broker(&ca.sign("server", &["broker.example"], USUAL), "");
    let server_name = Some("broker.example".to_owned());
    connects(&secure(port, TlsOptions { server_name, ..ca.trust() })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_within_30_days_is_told() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let (_broker, port) = ca.broker(&ca.sign("server", &["127.0.0.1"], USUAL), "require_certificate true");
    let identity = Some(ca.sign("camera", &["camera"], (-1, 29)));
    let status = connects(&secure(port, TlsOptions { identity, ..ca.trust() })).await;
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let (whose, until_ms) = status.certificates.unwrap().ending(now_ms).unwrap();
    assert_eq!((whose, (until_ms - now_ms) / 86_400_000), ("this camera's own", 28));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_within_30_days_is_a_mode_of_the_cameras_status() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let server = ca.sign("server", &["127.0.0.1"], (-1, 20));
    let (_broker, port) = ca.broker(&server, "");
    let authority = ca.file("ca.pem");
    let link =
        format!("[[broker_link]]\nurl = 'mqtts://127.0.0.1:{port}'\ntls_ca = '{}'", authority.display());
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &link);
    let mut watch = Peer::spawn(&secure(port, ca.trust()), "watch", None, &["omnisight/swarm/status/+"]);
    let mut program = camera.run();
    watch.presence(|status| modes(status).contains(&"certificate_ends")).await;
    assert_eq!(program.stop().await, Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_client_certificate_is_used_from_the_next_connection_on() {
    if !Mosquitto::installed() {
        return;
    }
    let (ca, other) = (Authority::new(), Authority::new());
    let (_broker, port) = ca.broker(&ca.sign("server", &["127.0.0.1"], USUAL), "require_certificate true");
    let identity = other.sign("camera", &["camera"], USUAL);
    let camera = Peer::spawn(
        &secure(port, TlsOptions { identity: Some(identity.clone()), ..ca.trust() }),
        "camera",
        None,
        &[],
    );
    let status = camera.status(|status| status.state == State::Waiting && status.last_error.is_some()).await;
    assert_eq!(status.last_error.unwrap().word(), "tls client certificate refused");
    let renewed = ca.sign("camera", &["camera"], USUAL);
    std::fs::copy(renewed.key_file, identity.key_file).unwrap();
    std::fs::copy(renewed.certificate_file, identity.certificate_file).unwrap();
    camera.status(|status| status.state == State::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_with_the_brokers_certificate_are_named() {
    if !Mosquitto::installed() {
        return;
    }
    let (ca, anew, other) = (Authority::new(), Authority::new(), Authority::named("another CA"));
    for (names, days, trust, word, says) in [
        (["other.example"], USUAL, &ca, "tls wrong name", "other.example"),
        (["127.0.0.1"], USUAL, &other, "tls unknown ca", "tls_ca"),
        (["127.0.0.1"], USUAL, &anew, "tls unknown ca", "was the CA made anew?"),
        (["127.0.0.1"], (-30, -1), &ca, "tls certificate expired", "this camera's clock says 20"),
        (["127.0.0.1"], (2, 30), &ca, "tls certificate not yet valid", "is the clock of this camera right?"),
    ] {
        let (_broker, port) = ca.broker(&ca.sign("server", &names, days), "");
        fails(&secure(port, trust.trust()), word, says).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_used_as_a_server_is_named() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let certificate_file = ca.write("self.pem", &certificate.pem());
    let server = Identity {
        certificate_file: certificate_file.clone(),
        key_file: ca.write("self.key", &key.serialize_pem()),
    };
    let (_broker, port) = ca.broker(&server, "");
    let trust = TlsOptions { ca_file: Some(certificate_file), ..TlsOptions::default() };
    fails(&secure(port, trust), "tls ca used as server", "needs one for a server").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_wants_a_client_certificate_is_named_in_both_versions_and_satisfied_by_one() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let server = ca.sign("server", &["127.0.0.1"], USUAL);
    let (_broker, port) = ca.broker(&server, "require_certificate true");
    fails(&secure(port, ca.trust()), "tls client certificate required", "tls_certificate").await;
    let identity = Some(ca.sign("camera", &["camera"], USUAL));
    connects(&secure(port, TlsOptions { identity, ..ca.trust() })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_our_own_files_are_named_before_anything_is_sent() {
    let ca = Authority::new();
    let (mine, other) = (ca.sign("mine", &["camera"], USUAL), ca.sign("other", &["camera"], USUAL));
    let identity = |certificate: &Path, key: &Path| TlsOptions {
        identity: Some(Identity { certificate_file: certificate.into(), key_file: key.into() }),
        ..ca.trust()
    };
    let trust = |file: PathBuf| TlsOptions { ca_file: Some(file), ..TlsOptions::default() };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = ca.write("encrypted.key", encrypted);
    for (options, word) in [
        (identity(&mine.certificate_file, &other.key_file), "tls key does not fit"),
        (identity(&mine.certificate_file, &encrypted), "tls key encrypted"),
        (identity(&mine.certificate_file, &mine.certificate_file), "tls file not pem"),
        (identity(&mine.key_file, &mine.key_file), "tls file not pem"),
        (trust(ca.write("empty.pem", "")), "tls file not pem"),
        (trust(ca.write("der.pem", "0\u{3}\u{2}\u{1}")), "tls file not pem"),
        (trust(mine.certificate_file.clone()), "tls ca file holds no ca"),
        (trust(ca.file("no-such.pem")), "tls file unreadable"),
    ] {
        let fault = options.check().unwrap_err();
        assert_eq!(fault.word(), word, "{fault}");
        assert!(!fault.to_string().contains("PRIVATE KEY-----\n"), "a key is shown: {fault}");
    }
    assert_eq!(identity(&mine.certificate_file, &mine.key_file).check(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_kind_of_port_is_named_from_both_sides() {
    if !Mosquitto::installed() {
        return;
    }
    let ca = Authority::new();
    let port = free_port();
    let plain = Mosquitto::start(ca.folder.path(), port, "allow_anonymous true");
    fails(&secure(port, ca.trust()), "tls handshake closed", "does not speak TLS").await;
    drop(plain);
    let (_broker, port) = ca.broker(&ca.sign("server", &["127.0.0.1"], USUAL), "");
    fails(&link_options(port), "closed without a word", "mqtts://").await;
}

/// A process that is ended when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_too_old_a_tls_is_named() {
    let ca = Authority::new();
    let server = ca.sign("server", &["127.0.0.1"], USUAL);
    let port = free_port();
    let process = Command::new("openssl")
        .args(["s_server", "-quiet", "-tls1_2", "-accept", &port.to_string(), "-cert"])
        .arg(&server.certificate_file)
        .arg("-key")
        .arg(&server.key_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(process) = process else {
        eprintln!("skipped: openssl not installed");
        return;
    };
    let _server = Server(process);
    let camera = Peer::spawn(
        &secure(port, TlsOptions { min_version: TlsVersion::V13, ..ca.trust() }),
        "camera",
        None,
        &[],
    );
    let refused =
        |status: &Status| status.last_error.as_ref().is_some_and(|error| error.word() == "tls version");
    let error = camera.status(refused).await.last_error.unwrap();
    assert!(error.to_string().contains("tls_min_version is 1.3"), "{error}");
}

#[cfg(feature = "broker")]
#[tokio::test(flavor = "multi_thread")]
async fn mqtt_in_a_websocket_works_with_tls_and_without() {
    use omnisight::broker;

    let ca = Authority::new();
    let server = ca.sign("server", &["127.0.0.1"], USUAL);
    let free = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let tls =
        broker::TlsFiles { certificate: server.certificate_file, key: server.key_file, client_ca: None };
    let broker = broker::start(broker::Options {
        listen: free,
        websocket_listen: Some(free),
        websocket_tls_listen: Some(free),
        tls: Some(tls),
        allow_anonymous: true,
        ..broker::Options::default()
    })
    .await
    .unwrap();
    let websocket = Some("/mqtt".to_owned());
    let port = broker.websocket_addr().unwrap().port();
    connects(&Options { websocket: websocket.clone(), ..link_options(port) }).await;
    let port = broker.websocket_tls_addr().unwrap().port();
    connects(&Options { websocket: websocket.clone(), ..secure(port, ca.trust()) }).await;
    // The right broker, the wrong port.
    let port = broker.local_addr().port();
    fails(&Options { websocket, ..link_options(port) }, "no websocket there", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plaintext_connect_that_is_answered_with_a_tls_alert_is_named() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // A fatal alert: protocol version.
        tokio::io::AsyncWriteExt::write_all(&mut stream, &[0x15, 3, 1, 0, 2, 2, 70]).await.unwrap();
        stream
    });
    fails(&link_options(port), "port wants tls", "use mqtts://").await;
    drop(answers);
}
