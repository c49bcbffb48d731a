//! The real program with so much before its camera that it raises a hundred events a second.
//!
//! The camera's source is a recording made here: people who walk to and fro across forty forbidden zones.
//! What the camera decides stands in its log before it is put into the store, in that order.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use omnisight::swarm::message::Message;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::program::{Camera, Program};
use crate::support::watch::decoded;
use crate::support::{DEADLINE, Peer, event};

const WIDTH_PX: usize = 1_000;
const PEOPLE: usize = 12;
const FRAMES_PER_SECOND: usize = 50;
/// Longer than any test here runs.
const SECONDS: usize = 120;
const ZONES: usize = 40;

/// What was decided about an event: its number on the camera, and the state that it reached.
pub type Decision = (u32, String);

/// Such a camera; `sections` has its links and more.
pub fn camera(id: &str, sections: &str) -> Camera {
    let mut zones = String::new();
    for zone in 0..ZONES {
        let (left, right) = (zone as f64 / ZONES as f64, (zone + 1) as f64 / ZONES as f64);
        write!(
            zones,
            "\n[[zone]]\nname = 'z{zone}'\nkind = 'forbidden'\npoints_image = [[{left}, 0.0], [{right}, 0.0], \
             [{right}, 1.0], [{left}, 1.0]]"
        )
        .unwrap();
    }
    let recording = tempfile::NamedTempFile::new().unwrap();
    let capture = format!(
        "kind = 'replay'\nfile = '{}'\nwidth = {WIDTH_PX}\nheight = 600\nfps = {FRAMES_PER_SECOND}\npace = 'realtime'",
        recording.path().display()
    );
    let camera = Camera::with_sections(id, &capture, &format!("{sections}{zones}"));
    // It goes with the camera's own folder.
    let file = camera.path().join("detections.txt");
    std::fs::write(&file, rows()).unwrap();
    let text = std::fs::read_to_string(camera.file()).unwrap();
    let text = text.replace(&recording.path().display().to_string(), &file.display().to_string());
    std::fs::write(camera.file(), text).unwrap();
    camera
}

/// Rows of a `MOTChallenge` file.
fn rows() -> String {
    const STEP_PX: usize = 3;
    let walk = WIDTH_PX - 60;
    let mut rows = String::new();
    for frame in 0..FRAMES_PER_SECOND * SECONDS {
        for person in 0..PEOPLE {
            let way = (person * 80 + STEP_PX * frame) % (2 * walk);
            let x = way.min(2 * walk - way);
            writeln!(rows, "{},-1,{x},{},30,40,0.9,-1,-1,-1", frame + 1, 20 + person * 46).unwrap();
        }
    }
    rows
}

/// Every event is shared, and the log is for programs.
pub const ALL_EVENTS: &str = "\n[swarm]\npublish_severity = 'none'";

/// A link of this name to this port, with quick tries, and what else is said of it.
pub fn link(name: &str, port: u16, further: &str) -> String {
    format!(
        "\n[[broker_link]]\nname = '{name}'\nurl = 'mqtt://127.0.0.1:{port}'\nreconnect_first_s = 0.1\n\
         reconnect_max_s = 0.3\n{further}"
    )
}

/// The command that runs it.
pub fn command(camera: &Camera) -> Command {
    let mut command = camera.command();
    command.args(["--log-format", "json"]);
    command
}

/// What it has decided so far, in order; what it repeats counts once.
pub fn decisions(program: &Program) -> Vec<Decision> {
    let mut known = HashSet::new();
    let log = program.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let events = lines.filter(|line| line["message"] == "event");
    let decided = events.map(|line| {
        let id = line["id"].as_u64().unwrap() as u32;
        (id, line["state"].as_str().unwrap().to_lowercase())
    });
    decided.filter(|decision| known.insert(decision.clone())).collect()
}

/// Waits until it has decided so much.
pub async fn decides(program: &Program, count: usize) {
    program.until("so many events", |program| decisions(program).len() >= count).await;
}

/// What comes to a broker, heard from the first subscription on.
pub struct Listener {
    peer_link: omnisight::link::LinkSender,
    heard: Arc<Mutex<Heard>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
    name: String,
}

/// What came.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub decisions: HashSet<Decision>,
    /// Of messages that are no events.
    pub other_topics: HashSet<String>,
    markers: usize,
}

impl Listener {
    /// Hears everything under `omnisight`.
    pub async fn start(port: u16, name: &str) -> Self {
        let marker = format!("marker/{name}");
        let options = omnisight::link::Options {
            deliveries: omnisight::link::DeliveryLimits { messages: 100_000, bytes: 256 << 20 },
            ..crate::support::link_options(port)
        };
        let Peer { link, mut deliveries } = Peer::spawn(&options, name, None, &["omnisight/#", "marker/+"]);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (counted, count) = watch::channel(0);
        let takes = Arc::clone(&heard);
        let sender = link.sender();
        let task = tokio::spawn(async move {
            // The link lives as long as somebody listens.
            let _link = link;
            while let Some(delivery) = deliveries.recv().await {
                let mut heard = takes.lock().unwrap();
                if delivery.topic == marker {
                    heard.markers += 1;
                } else if delivery.topic.contains("/events/") {
                    let Message::Event(event) = decoded(&delivery) else { panic!("{}", delivery.topic) };
                    let state = format!("{:?}", event.state.unwrap()).to_lowercase();
                    heard.decisions.insert((event.event_id.0, state));
                } else {
                    heard.other_topics.insert(delivery.topic);
                }
                let total = heard.decisions.len() + heard.markers;
                drop(heard);
                counted.send_replace(total);
            }
        });
        let listener = Self { peer_link: sender, heard, count, task, name: name.to_owned() };
        listener.catches_up().await;
        listener
    }

    /// Returns when all has come that the broker had acknowledged before.
    pub async fn catches_up(&self) {
        let wanted = self.heard().markers + 1;
        self.peer_link.send(event(&format!("marker/{}", self.name), "{}"));
        self.until("its own marker", |heard| heard.markers >= wanted).await;
    }

    /// Waits until what came is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Heard) -> bool) {
        let mut count = self.count.clone();
        let come = count.wait_for(|_| wanted(&self.heard.lock().unwrap()));
        assert!(timeout(DEADLINE, come).await.is_ok(), "never heard by {}: {what}", self.name);
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
