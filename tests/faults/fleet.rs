//! The fleet's own store: a camera that reads plates, and a server that acknowledges each detection.
//!
//! Ten vehicles drive by at once, every two seconds. A detection counts as lost when its vehicle was gone three seconds
//! before the SIGTERM and the server never heard of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use omnisight::model::{Envelope, MessageClass};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{Peer, Setup, TestBroker, kinds};
use crate::{Fault, Image, repair, rig, trial};

/// Between two groups of vehicles, and their number.
const GROUP_EVERY: Duration = Duration::from_secs(2);
const GROUP: usize = 10;
/// How long the camera may take to tell a vehicle after it is gone.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// The plates of each start of the camera, which its message ids begin with; and each id's plate.
#[derive(Default)]
struct Told {
    plates: BTreeMap<String, BTreeSet<String>>,
    ids: BTreeMap<String, String>,
    ids_twice: usize,
}

struct Server {
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(port: u16) -> Self {
        let peer = Peer::subscribed(port, "server", "lprserver/cameras/+/detection").await;
        let told = Arc::new(Mutex::new(Told::default()));
        let hears = Arc::clone(&told);
        let task = tokio::spawn(async move {
            let Peer { link, mut deliveries } = peer;
            while let Some(delivery) = deliveries.recv().await {
                let message = rig::read(&delivery);
                let (Some(id), Some(plate)) = (
                    message["message_id"].as_str(),
                    message["detection_data"]["plates"][0]["plate_number"].as_str(),
                ) else {
                    continue;
                };
                let ack = json!({
                    "message_id": format!("ack-{id}"), "original_message_id": id, "status": "processed",
                    "camera_id": "gate",
                });
                let topic = "lprserver/cameras/gate/detection/ack";
                link.sender().send(Envelope::new(MessageClass::Reply, topic, ack.to_string()));
                let mut told = hears.lock().unwrap();
                let before = told.ids.insert(id.to_owned(), plate.to_owned());
                told.ids_twice += usize::from(before.is_some_and(|before| before != plate));
                told.plates.entry(id[..13].to_owned()).or_default().insert(plate.to_owned());
            }
        });
        Self { told, task }
    }

    /// How many detections it heard of.
    fn count(&self) -> usize {
        self.told.lock().unwrap().ids.len()
    }

    async fn hears(&self, count: usize) {
        let began = Instant::now();
        while self.count() < count {
            assert!(began.elapsed() < crate::support::DEADLINE, "{} of {count} detections", self.count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn scenario(name: &str, fault: Fault) {
    let broker = TestBroker::start(*kinds().last().unwrap(), Setup::default()).await;
    let server = Server::start(broker.port()).await;
    let camera = rig::street_of_groups(broker.port(), "realtime", 600, 20);
    let (image, folder) = (camera.path().join("disk.img"), camera.path().join("state/outbox-fleet"));
    let Some(mut disk) = Image::mount(&image, &folder) else {
        eprintln!("skipped: only root can mount an image");
        return;
    };
    let mut watch = Peer::watch_presence(broker.port());
    let mut program = camera.run();
    server.hears(GROUP).await;
    let first_group = Instant::now();
    let trial = trial(&mut program, &mut disk, fault, &mut watch, || server.count()).await;
    let ran = trial.signaled.duration_since(first_group);
    drop(disk);

    repair(&image, fault);
    let disk = Image::mount(&image, &folder).unwrap();
    let before = server.count();
    let mut again = camera.run();
    server.hears(before + GROUP).await;
    again.stop().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(disk);
    let groups = 1 + (ran.saturating_sub(TOLD_WITHIN).as_secs_f64() / GROUP_EVERY.as_secs_f64()) as usize;
    let told = server.told.lock().unwrap();
    let first = told.plates.values().next().unwrap();
    let driven: BTreeSet<_> = (0..groups * GROUP).map(|vehicle| format!("AB{vehicle:04}")).collect();
    let lost = driven.difference(first).count();
    trial.report(name, fault, told.ids.len(), lost, told.ids_twice);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_fleets_store_on_a_frozen_disk() {
    scenario("fleet, frozen", Fault::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_fleets_store_on_a_full_disk() {
    scenario("fleet, full", Fault::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_fleets_store_in_a_deleted_folder() {
    scenario("fleet, deleted", Fault::Deleted).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_fleets_store_on_a_read_only_disk() {
    scenario("fleet, read-only", Fault::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_fleets_store_on_a_slow_disk() {
    scenario("fleet, slow", Fault::Slow).await;
}
