//! A yard that nobody may enter, a man who does, and three cameras over it.
//!
//! The cameras replay recorded boxes in real time, so that the test says what happens: the same man on the
//! same way, seen by all three within a few centimetres. He walks up and down outside first, so that the
//! cameras find that they see the same.

use std::collections::BTreeSet;
use std::fmt::Write;

use omnisight::model::EventState;
use omnisight::swarm::message::{EventMessage, Message, Name};

use crate::support::program::{Camera, Program};
use crate::support::watch::decoded;
use crate::support::{Peer, link_options};

/// Frames per second of the recordings, and how long they are.
const FPS: usize = 10;
const SECONDS: usize = 60;
/// For so long he walks up and down outside: until everybody has met, on a busy machine too.
const WAITS_S: f64 = 20.0;
const WALKS_MPS: f64 = 1.4;

/// The ground as the cameras see it: straight from above, 640 x 480 pixels on 12.8 x 9.6 m.
const CALIBRATION: &str = "[calibration]\nimage_width = 640\nimage_height = 480\n\
    homography = [[0.02, 0.0, 0.0], [0.0, -0.02, 9.6], [0.0, 0.0, 1.0]]\n\
    [[zone]]\nname = 'yard'\nkind = 'forbidden'\n\
    points_m = [[7.0, 1.0], [12.0, 1.0], [12.0, 8.0], [7.0, 8.0]]\n";

/// The man's boxes as one camera sees them; `shift_px`: how its detections differ from the others'.
fn recording(shift_px: f64) -> String {
    let mut rows = String::new();
    for frame in 0..SECONDS * FPS {
        let t = frame as f64 / FPS as f64;
        // Between y = 2.75 and 6.25 m along the yard, beginning and ending at 4.5 m.
        let lap_m = (WALKS_MPS * t.min(WAITS_S) + 1.75) % 7.0;
        let y_m = 2.75 + lap_m.min(7.0 - lap_m);
        // From x = 3 m to the yard at x = 7 m, and up and down in there: nobody loiters.
        let walked_m = 0.7 * (t - WAITS_S).max(0.0);
        let inside_m = (walked_m - 5.0).max(0.0) % 6.0;
        let x_m = 3.0 + walked_m.min(5.0) + inside_m.min(6.0 - inside_m);
        let (foot_x, foot_y) = (x_m / 0.02 + shift_px, (9.6 - y_m) / 0.02);
        let (width, height) = (30.0, 80.0);
        let (left, top) = (foot_x - width / 2.0, foot_y - height);
        writeln!(rows, "{},-1,{left:.1},{top:.1},{width},{height},0.99,-1,-1,-1", frame + 1).unwrap();
    }
    rows
}

/// A camera over the yard that talks to the broker at `port`.
pub(crate) fn camera(id: &str, shift_px: f64, port: u16, sections: &str) -> Camera {
    let file = std::env::temp_dir().join(format!("omnisight-site-{}-{id}-{port}.txt", std::process::id()));
    std::fs::write(&file, recording(shift_px)).unwrap();
    let capture = format!(
        "kind = 'replay'\npace = 'realtime'\nfile = '{}'\nwidth = 640\nheight = 480\nfps = {FPS}.0",
        file.display()
    );
    let link = format!(
        "[[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\nreconnect_first_s = 0.1\nreconnect_max_s = 0.2\n"
    );
    Camera::with_sections(id, &capture, &format!("{link}[control]\nenabled = false\n{CALIBRATION}{sections}"))
}

/// A man who walks up and down in the yard for as long as a test takes. Nobody forbids it: that is up to the test.
#[cfg(feature = "broker")]
pub(crate) mod man_who_stays {
    use std::fmt::Write;

    use super::FPS;

    const SECONDS: usize = 600;

    /// The ground, and the yard, which is a place like any other.
    pub(crate) const SECTIONS: &str = "[calibration]\nimage_width = 640\nimage_height = 480\n\
        homography = [[0.02, 0.0, 0.0], [0.0, -0.02, 9.6], [0.0, 0.0, 1.0]]\n\
        [[zone]]\nname = 'yard'\nkind = 'area'\n\
        points_m = [[1.0, 1.0], [12.0, 1.0], [12.0, 8.0], [1.0, 8.0]]\n";

    /// The recording as the camera `id` replays it in real time; `mark` tells it from those of other tests.
    pub(crate) fn capture(id: &str, mark: u16) -> String {
        let mut rows = String::new();
        for frame in 0..SECONDS * FPS {
            let walked_m = 0.7 * frame as f64 / FPS as f64 % 12.0;
            let (foot_x, foot_y) = ((3.0 + walked_m.min(12.0 - walked_m)) / 0.02, (9.6 - 4.5) / 0.02);
            let (left, top) = (foot_x - 15.0, foot_y - 80.0);
            writeln!(rows, "{},-1,{left:.1},{top:.1},30,80,0.99,-1,-1,-1", frame + 1).unwrap();
        }
        let file =
            std::env::temp_dir().join(format!("omnisight-stays-{}-{id}-{mark}.txt", std::process::id()));
        std::fs::write(&file, rows).unwrap();
        format!(
            "kind = 'replay'\npace = 'realtime'\nfile = '{}'\nwidth = 640\nheight = 480\nfps = {FPS}.0",
            file.display()
        )
    }
}

/// The keys of the incidents that a camera told as confirmed, by its log.
pub(crate) fn confirmed(program: &Program) -> BTreeSet<String> {
    let log = program.log();
    let told = log.lines().filter(|line| line.contains("site event") && line.contains("Confirmed"));
    told.filter_map(|line| line.split("key=").nth(1)?.split_whitespace().next().map(str::to_owned)).collect()
}

/// Waits until a camera has told a confirmed incident; its key.
pub(crate) async fn confirms(program: &Program) -> String {
    program.until("a confirmed incident", |program| !confirmed(program).is_empty()).await;
    let keys = confirmed(program);
    assert_eq!(keys.len(), 1, "one incident is one event: {keys:?}\n{}", program.log());
    keys.into_iter().next().unwrap()
}

/// Somebody who hears every event and vote on the site.
pub(crate) struct Observer(Peer);

impl Observer {
    pub(crate) fn new(port: u16) -> Self {
        let filters =
            ["omnisight/swarm/events/+/+", "omnisight/swarm/consensus/+", "omnisight/swarm/status/+"];
        Self(Peer::spawn(&link_options(port), "observer", None, &filters))
    }

    /// Waits for the next event that somebody tells is confirmed.
    pub(crate) async fn alarm(&mut self) -> EventMessage {
        self.0
            .find(|delivery| match decoded(&delivery) {
                Message::Event(event) if event.state == Some(EventState::Confirmed) => Some(*event),
                _ => None,
            })
            .await
    }

    /// Waits until these cameras have introduced themselves.
    pub(crate) async fn meets(&mut self, cameras: &[&str]) {
        let mut missing: BTreeSet<&str> = cameras.iter().copied().collect();
        self.0
            .find(|delivery| {
                if let Message::Status(status) = decoded(&delivery) {
                    missing.remove(status.camera_id.as_str());
                }
                missing.is_empty().then_some(())
            })
            .await;
    }

    /// Every alarm so far and until a message that is sent now has come through.
    pub(crate) async fn alarms_until_now(&mut self) -> Vec<EventMessage> {
        let marker = "omnisight/swarm/events/observer/1";
        self.0.send(crate::support::event(marker, "{}"));
        let mut alarms = Vec::new();
        self.0
            .find(|delivery| {
                if delivery.topic == marker {
                    return Some(());
                }
                if let Message::Event(event) = decoded(&delivery)
                    && event.state == Some(EventState::Confirmed)
                {
                    alarms.push(*event);
                }
                None
            })
            .await;
        alarms
    }
}

/// A value that explains an event.
pub(crate) fn measured(event: &EventMessage, name: &str) -> Option<f64> {
    event.rule.as_ref()?.measured.get(&Name::cut(name)).map(|value| value.0)
}
