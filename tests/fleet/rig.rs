//! A camera `gate` that serves a fleet server, and a server that behaves as the reference program does.

use std::collections::BTreeMap;
use std::fmt::Write;

use omnisight::model::{Delivery, Envelope, MessageClass};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::program::{Camera, SMALL_PLAZA};
use crate::support::{DEADLINE, Peer};

/// A camera over the small plaza.
pub(crate) fn gate(port: u16, fleet: &str) -> Camera {
    Camera::with_sections("gate", SMALL_PLAZA, &sections(port, fleet))
}

pub(crate) fn sections(port: u16, fleet: &str) -> String {
    format!(
        "[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nkeep_alive_s = 5\nreconnect_first_s = 0.1\n\
         reconnect_max_s = 0.2\n[fleet]\nenabled = true\n{fleet}"
    )
}

/// A recording in which `vehicles` drive by, each with a plate of its own (`AB0000`, ...), ten at a time, every six
/// seconds. The camera ends when it is over.
pub(crate) fn street(port: u16, pace: &str, vehicles: u32) -> Camera {
    street_of_groups(port, pace, vehicles, 60)
}

/// The same with so many frames, of which there are ten a second, from one group of ten to the next.
pub(crate) fn street_of_groups(port: u16, pace: &str, vehicles: u32, frames: u32) -> Camera {
    let camera = gate(port, "");
    let (mut rows, mut plates) = (String::new(), String::new());
    for vehicle in 0..vehicles {
        let (batch, lane) = (vehicle / 10, vehicle % 10);
        for step in 0..12 {
            let (frame, left, top) = (1 + batch * frames + step, 20 + step * 12, 10 + lane * 60);
            writeln!(rows, "{frame},-1,{left},{top},90,40,0.95").unwrap();
            writeln!(plates, "{frame},{},{},30,8,0.9,AB{vehicle:04}", left + 30, top + 20).unwrap();
        }
    }
    // The last ones need time to be given up.
    writeln!(rows, "{},-1,600,640,4,4,0.01", vehicles / 10 * frames + 120).unwrap();
    let (det, read) = (camera.path().join("det.txt"), camera.path().join("plates.txt"));
    std::fs::write(&det, rows).unwrap();
    std::fs::write(&read, plates).unwrap();
    let text = std::fs::read_to_string(camera.file()).unwrap();
    let capture = format!(
        "kind = 'replay'\npace = '{pace}'\nfile = '{}'\nwidth = 640\nheight = 660\nfps = 10.0\nvehicles = true\n\
         plates = '{}'",
        det.display(),
        read.display()
    );
    std::fs::write(camera.file(), text.replace(SMALL_PLAZA, &capture)).unwrap();
    camera
}

/// From now on the camera looks at the small plaza, which does not end, and tells nothing of it.
pub(crate) fn stays(camera: &Camera) {
    let text = std::fs::read_to_string(camera.file()).unwrap();
    let (head, rest) = text.split_once("[capture]\n").unwrap();
    let (_, tail) = rest.split_once("[state]").unwrap();
    let tail = tail.replace("[fleet]\n", "[fleet]\nconfidence_min = 1.0\n");
    std::fs::write(camera.file(), format!("{head}[capture]\n{SMALL_PLAZA}\n[state]{tail}")).unwrap();
}

/// What a message says.
pub(crate) fn read(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.payload).unwrap_or_default()
}

/// The reference server: hears detections of all cameras and acknowledges each, duplicates included, before
/// anything else; answers orders itself, which must not disturb; keeps what it heard by `message_id`.
pub(crate) struct Server {
    peer: Peer,
    pub(crate) detections: BTreeMap<String, Value>,
    pub(crate) heard: u64,
}

impl Server {
    pub(crate) async fn at(port: u16) -> Self {
        let peer = Peer::subscribed(port, "lprserver_v3", "lprserver/cameras/+/detection").await;
        Self { peer, detections: BTreeMap::new(), heard: 0 }
    }

    /// Takes detections until there are `count` different ones.
    pub(crate) async fn collect(&mut self, count: usize) {
        let collecting = async {
            while self.detections.len() < count {
                self.take().await;
            }
        };
        let done = timeout(DEADLINE, collecting).await;
        assert!(done.is_ok(), "{} of {count} detections in time", self.detections.len());
    }

    async fn take(&mut self) {
        let delivery = self.peer.next().await;
        if !delivery.topic.ends_with("/detection") {
            return;
        }
        self.heard += 1;
        let message = read(&delivery);
        let (camera, id) = (message["camera_id"].clone(), message["message_id"].clone());
        let name = camera.as_str().unwrap_or("None");
        let ack = json!({
            "message_id": format!("ack-{}", self.heard),
            "timestamp": "2026-11-20T20:53:00.967141+00:00",
            "original_message_id": id,
            "status": "processed",
            "camera_id": camera,
        });
        self.say(&format!("lprserver/cameras/{name}/detection/ack"), &ack.to_string());
        if let Some(id) = id.as_str() {
            self.detections.insert(id.to_owned(), message);
        }
    }

    pub(crate) fn say(&self, topic: &str, payload: &str) {
        self.peer.send(Envelope::new(MessageClass::Reply, topic, payload.to_owned()));
    }
}

/// Somebody who hears one topic.
pub(crate) struct Ear(pub(crate) Peer);

impl Ear {
    pub(crate) async fn on(port: u16, topic: &str) -> Self {
        Self(Peer::subscribed(port, &format!("ear-{}", topic.replace(['/', '+', '#'], "-")), topic).await)
    }

    /// The next message for which `wanted` holds.
    pub(crate) async fn hears(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> (Value, Delivery) {
        let hearing = async {
            loop {
                let delivery = self.0.next().await;
                let says = read(&delivery);
                if !delivery.topic.starts_with("ready/") && wanted(&says) {
                    return (says, delivery);
                }
            }
        };
        timeout(DEADLINE, hearing).await.unwrap_or_else(|_| panic!("never heard: {what}"))
    }
}
