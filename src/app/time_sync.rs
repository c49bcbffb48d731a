//! How far the camera's clock is off, by a time server (SNTP, RFC 5905), when one is configured.
//!
//! The answer goes two ways: into the clock that everything in the camera reads ([`CorrectedClock`]), so that
//! frames and messages carry corrected times from then on, and to the swarm, which tells it in the status.
//! Intervals and timeouts are measured on the monotonic clock and never notice. The system's clock is left
//! alone: it is not ours. A server that does not answer is asked again, later and later; meanwhile the last
//! answer stands, and its error grows with its age.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rsntp::{Config, KissCode, ProtocolError, SntpClient, SynchronizationError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::{Clock, CorrectedClock};
use crate::config::TimeServer;
use crate::model::CameraId;
use crate::swarm::ClockMeasured;

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Between the first attempts with a server that does not answer; it doubles up to the usual interval.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// What a server's own clock and the way to it may be off beyond half the round trip, milliseconds.
const DOUBT_MS: f64 = 5.0;

/// Asks the server until it is told to stop.
pub(super) async fn run(
    camera: CameraId,
    server: TimeServer,
    clock: Arc<CorrectedClock>,
    measured: watch::Sender<Option<ClockMeasured>>,
    unsynced: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut wait = RETRY_FIRST;
    loop {
        let address = server.address.clone();
        // Looking up a name blocks, and so does the client.
        let asked = tokio::task::spawn_blocking(move || ask(&address)).await;
        let asked = asked.unwrap_or_else(|panic| Err(Fault::Other(panic.to_string())));
        unsynced.store(asked == Err(Fault::Unsynchronized), Ordering::Relaxed);
        match asked {
            Ok((offset_ms, error_ms)) => {
                tracing::debug!(%camera, offset_ms, error_ms, "time server");
                // What the server is ahead of us we are behind.
                clock.set_ahead_ms(-(offset_ms.round() as i64));
                measured.send_replace(Some(ClockMeasured { offset_ms, error_ms, at: clock.now() }));
                wait = server.every;
            }
            Err(error) => {
                tracing::warn!(%camera, server = server.address, "time server: {error}");
                wait = if wait == server.every { RETRY_FIRST } else { (wait * 2).min(server.every) };
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Why there is no time.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Fault {
    /// The server says so (RFC 5905, 7.3): leap indicator 3, stratum 0 without a kiss code (chrony), or stratum 16.
    #[error("the server is itself not synchronized, its time is not used; give it a source of time")]
    Unsynchronized,
    /// Anything else, in the library's words.
    #[error("{0}")]
    Other(String),
}

impl Fault {
    fn of(error: &SynchronizationError) -> Self {
        use KissCode::{AssociationNotYetSynchronized, StepChange, Unknown};
        match error {
            SynchronizationError::ProtocolError(
                ProtocolError::ServerNotSynchronized
                | ProtocolError::KissODeath(Unknown | AssociationNotYetSynchronized | StepChange),
            ) => Self::Unsynchronized,
            other => Self::Other(other.to_string()),
        }
    }
}

/// What the server is ahead of the system's clock, and how far that may be off, both in milliseconds.
fn ask(address: &str) -> Result<(f64, f64), Fault> {
    let client = SntpClient::with_config(Config::default().timeout(ANSWER_WITHIN));
    let answer = client.synchronize(address).map_err(|error| Fault::of(&error))?;
    let millis = |duration: rsntp::SntpDuration| duration.as_secs_f64() * 1_000.0;
    Ok((millis(answer.clock_offset()), millis(answer.round_trip_delay()).abs() / 2.0 + DOUBT_MS))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::base::SystemClock;

    /// 1900-01-01 to 1970-01-01, seconds.
    const ERA_S: u64 = 2_208_988_800;
    /// No leap second, version 4, server; and the same with the leap indicator of a server without time.
    const SYNCED: u8 = 0b0010_0100;
    const UNSYNCED: u8 = 0b1110_0100;

    /// A server that is five seconds ahead, and answers once with this first byte and stratum.
    fn server(first: u8, stratum: u8) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut packet = [0; 48];
            let (_, client) = socket.recv_from(&mut packet).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(5);
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            let stamp = ((now.as_secs() + ERA_S) << 32 | fraction).to_be_bytes();
            let mut answer = [0_u8; 48];
            // The client's transmit time comes back as the origin.
            (answer[0], answer[1]) = (first, stratum);
            answer[24..32].copy_from_slice(&packet[40..48]);
            answer[16..24].copy_from_slice(&stamp);
            answer[32..40].copy_from_slice(&stamp);
            answer[40..48].copy_from_slice(&stamp);
            socket.send_to(&answer, client).unwrap();
        });
        address
    }

    #[tokio::test]
    async fn times_are_right_once_a_server_has_said_how_far_the_clock_is_off() {
        let system: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let clock = Arc::new(CorrectedClock::new(Arc::clone(&system)));
        let (sender, mut receiver) = watch::channel(None);
        let stop = CancellationToken::new();
        let asked = TimeServer { address: server(SYNCED, 2), every: Duration::from_mins(10) };
        let camera = CameraId::parse("gate").unwrap();
        let task = tokio::spawn(run(camera, asked, Arc::clone(&clock), sender, Arc::default(), stop.clone()));
        let measured = receiver.wait_for(Option::is_some).await.unwrap().unwrap();
        assert!((measured.offset_ms - 5_000.0).abs() < 1_000.0, "{measured:?}");
        assert!((DOUBT_MS..1_000.0).contains(&measured.error_ms), "{measured:?}");
        let ahead_ms = clock.now().epoch_ms.abs_diff(system.now().epoch_ms);
        assert!(ahead_ms.abs_diff(5_000) < 1_000, "{ahead_ms}");
        stop.cancel();
        task.await.unwrap();
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_that_says_so() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert!(matches!(ask(&nobody), Err(Fault::Other(why)) if !why.is_empty()));
    }

    #[test]
    fn a_server_that_is_itself_not_synchronized_is_named() {
        // chrony on an isolated network, ntpd before its first answer, a server that lost its own.
        for (first, stratum) in [(UNSYNCED, 0), (UNSYNCED, 16), (UNSYNCED, 3), (SYNCED, 16)] {
            assert_eq!(ask(&server(first, stratum)), Err(Fault::Unsynchronized), "{first:#b}, {stratum}");
        }
    }
}
