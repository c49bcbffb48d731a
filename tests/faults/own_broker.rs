//! The folder of the embedded broker: a small camera that runs the broker it connects to.
//!
//! Messages are not counted here. The fault is to be named, and the daemon must neither crash nor hang. A broker that
//! waits for its disk delivers nothing, so the modes are read at a second broker. A slow disk is not tried: the broker
//! writes behind its deliveries, so it holds up nothing.

use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::{Peer, Setup, TestBroker, free_port, kinds};
use crate::{Fault, Image, trial};

async fn scenario(name: &str, fault: Fault) {
    let second = TestBroker::start(*kinds().last().unwrap(), Setup::default()).await;
    let port = free_port();
    let own = format!(
        "[broker]\nenabled = true\nlisten = '127.0.0.1:{port}'\nallow_anonymous = true\n\
         [[broker_link]]\nname = 'own'\nurl = 'mqtt://127.0.0.1:{port}'\nreconnect_first_s = 0.1\n\
         reconnect_max_s = 0.3\n\
         [[broker_link]]\nname = 'second'\nurl = 'mqtt://127.0.0.1:{}'\nreconnect_first_s = 0.1\n\
         reconnect_max_s = 0.3",
        second.port()
    );
    let camera = Camera::with_sections("gate", SMALL_PLAZA, &own);
    let (image, folder) = (camera.path().join("disk.img"), camera.path().join("state/broker"));
    let Some(mut disk) = Image::mount(&image, &folder) else {
        eprintln!("skipped: only root can mount an image");
        return;
    };
    let mut program = camera.run();
    let mut watch = Peer::watch_presence(second.port());
    watch.online().await;
    let trial = trial(&mut program, &mut disk, fault, &mut watch, || 0).await;
    trial.report(name, fault, 0, 0, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_brokers_folder_deleted() {
    scenario("own broker, deleted", Fault::Deleted).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_brokers_folder_on_a_read_only_disk() {
    scenario("own broker, read-only", Fault::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_brokers_folder_on_a_frozen_disk() {
    scenario("own broker, frozen", Fault::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute as root"]
async fn the_brokers_folder_on_a_full_disk() {
    scenario("own broker, full", Fault::Full).await;
}
