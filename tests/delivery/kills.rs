//! A camera whose power goes while it sends.
//!
//! The camera is a process of its own: this test binary again, run for one ignored test that sends until
//! it is killed. It says on its standard output which event it has made, and which are accepted
//! (committed); a pipe keeps what was written before a SIGKILL.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use omnisight::base::{Clock, IdSource, SystemClock};
use omnisight::model::Qos;
use omnisight::store::Store;

use crate::rig::{Receiver, Sender, numbered};
use crate::support::{DEADLINE, Setup, TestBroker, kinds};

const PORT: &str = "DELIVERY_TEST_PORT";
const FOLDER: &str = "DELIVERY_TEST_FOLDER";
/// Set in the last run: send nothing new, and end when nothing is left.
const DRAIN: &str = "DELIVERY_TEST_DRAIN";
/// Between two events.
const EVENT_EVERY: Duration = Duration::from_millis(2);

/// Not a test of its own: the camera that is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that the tests here start and kill"]
async fn a_camera_that_sends_until_it_is_killed() {
    let (Ok(port), Ok(folder)) = (std::env::var(PORT), std::env::var(FOLDER)) else { return };
    let folder = std::path::Path::new(&folder);
    let mut sender = Sender::durable(port.parse().unwrap(), "camera", &folder.join("outbox"));
    let mut out = std::io::stdout().lock();
    if std::env::var_os(DRAIN).is_some() {
        sender.drains().await;
        writeln!(out, "drained").unwrap();
        sender.link.close(None, DEADLINE).await;
        return;
    }
    let mut ids = Store::open(folder, SystemClock::new().now()).unwrap().event_ids();
    let outbox = sender.outbox.clone().unwrap();
    // The test harness has left its own line open.
    writeln!(out).unwrap();
    let (mut made, mut accepted) = (Vec::new(), 0);
    let mut turn = tokio::time::interval(EVENT_EVERY);
    loop {
        turn.tick().await;
        let id = ids.next_id();
        // Said before it is made, so that an id that comes twice can be told.
        writeln!(out, "made {id}").unwrap();
        made.push(id);
        sender.router.send(numbered(id, Qos::AtLeastOnce));
        // Events are committed in the order in which they were made.
        let committed = outbox.status().counters.committed as usize;
        for id in &made[accepted..committed] {
            writeln!(out, "accepted {id}").unwrap();
        }
        accepted = committed;
        out.flush().unwrap();
    }
}

fn camera(port: u16, folder: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "kills::a_camera_that_sends_until_it_is_killed", "--ignored", "--nocapture"])
        .env(PORT, port.to_string())
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Reads what a camera says until it has accepted so many events, kills it, and reads the rest.
fn kill_after(mut process: Child, accepted: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut count = 0;
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    while count < accepted {
        let line = said.next().expect("the camera ended by itself").unwrap();
        count += usize::from(line.starts_with("accepted "));
        lines.push(line);
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // A line that was cut in the middle says nothing.
    lines.extend(said.map_while(Result::ok));
    lines
}

fn ids<'a>(lines: &'a [String], word: &'a str) -> impl Iterator<Item = u32> + 'a {
    lines.iter().filter_map(move |line| line.strip_prefix(word)?.trim().parse().ok())
}

async fn events_survive_kills(kills: usize, accepted_between: usize) {
    for kind in kinds() {
        let broker = TestBroker::start(kind, Setup::default()).await;
        let receiver = Receiver::start(broker.port(), Qos::AtLeastOnce).await;
        let folder = tempfile::tempdir().unwrap();
        let mut made: HashMap<u32, usize> = HashMap::new();
        let mut accepted = HashSet::new();
        for run in 0..kills {
            let process = camera(broker.port(), folder.path()).spawn().unwrap();
            // Killed at another moment of its life each time.
            let wanted = accepted_between + run * 7 % 40;
            let lines = tokio::task::spawn_blocking(move || kill_after(process, wanted)).await.unwrap();
            for id in ids(&lines, "made ") {
                assert_eq!(made.insert(id, run), None, "{kind:?}: id {id} was used in an earlier run");
            }
            accepted.extend(ids(&lines, "accepted "));
        }
        let mut last = camera(broker.port(), folder.path());
        last.env(DRAIN, "1").stdout(Stdio::null());
        let drained = tokio::task::spawn_blocking(move || last.status().unwrap()).await.unwrap();
        assert!(drained.success(), "{kind:?}: what is left does not leave");
        receiver.hears(accepted.len(), DEADLINE).await;
        let heard = receiver.heard();
        let lost: Vec<_> = accepted.iter().filter(|id| !heard.numbers.contains(id)).collect();
        eprintln!(
            "{kind:?}: {kills} kills, {} events made, {} accepted: {} lost, {} twice, {} duplicates dropped by their \
             key",
            made.len(),
            accepted.len(),
            lost.len(),
            heard.twice,
            heard.duplicates
        );
        assert!(lost.is_empty(), "{kind:?}: {lost:?}");
        assert_eq!(heard.twice, 0, "{kind:?}");
        assert!(heard.numbers.iter().all(|id| made.contains_key(id)), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_event_is_lost_and_no_id_used_twice_when_the_camera_is_killed_while_it_sends() {
    events_survive_kills(4, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "full size: about two minutes"]
async fn full_no_accepted_event_is_lost_and_no_id_used_twice_when_the_camera_is_killed_while_it_sends() {
    events_survive_kills(50, 60).await;
}
