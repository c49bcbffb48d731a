//! How far the camera's clock is off, by a time server (SNTP, RFC 5905), when one is configured.
//!
//! The answer goes two ways: into the clock that everything in the camera reads ([`CorrectedClock`]), so that
//! frames and messages carry corrected times from then on, and to the swarm, which tells it in the status.
//! Intervals and timeouts are measured on the monotonic clock and never notice. The system's clock is left
//! alone: it is not ours. A server that does not answer is asked again, later and later; meanwhile the last
//! answer stands, and its error grows with its age.

use std::sync::Arc;
use std::time::Duration;

use rsntp::{Config, SntpClient};
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
    stop: CancellationToken,
) {
    let mut wait = RETRY_FIRST;
    loop {
        let address = server.address.clone();
        // Looking up a name blocks, and so does the client.
        let asked = tokio::task::spawn_blocking(move || ask(&address)).await;
        match asked.map_err(|panic| panic.to_string()).and_then(|answer| answer) {
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

/// What the server is ahead of the system's clock, and how far that may be off, both in milliseconds.
fn ask(address: &str) -> Result<(f64, f64), String> {
    let client = SntpClient::with_config(Config::default().timeout(ANSWER_WITHIN));
    let answer = client.synchronize(address).map_err(|error| error.to_string())?;
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

    /// A server that is five seconds ahead, and answers once.
    fn server() -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut packet = [0; 48];
            let (_, client) = socket.recv_from(&mut packet).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(5);
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            let stamp = ((now.as_secs() + ERA_S) << 32 | fraction).to_be_bytes();
            let mut answer = [0_u8; 48];
            // Version 4, server; stratum 2; the client's transmit time comes back as the origin.
            (answer[0], answer[1]) = (0b0010_0100, 2);
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
        let asked = TimeServer { address: server(), every: Duration::from_secs(600) };
        let camera = CameraId::parse("gate").unwrap();
        let task = tokio::spawn(run(camera, asked, Arc::clone(&clock), sender, stop.clone()));
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
        assert!(!ask(&nobody).unwrap_err().is_empty());
    }
}
