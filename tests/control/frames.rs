//! Pictures leave the camera where that is turned on, and nowhere else.

use crate::ear::{Ear, gate, read};
use crate::support::{Peer, Setup, TestBroker, against_each_broker};

const FRAMES: &str = "inference/data/full_frames";

#[tokio::test(flavor = "multi_thread")]
async fn without_being_allowed_to_no_picture_leaves() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "");
        let _program = camera.run();
        ear.status("running").await;
        let reply = ear.ask("{\"command\":\"snapshot\"}").await;
        assert_eq!((&reply["state"], &reply["error"]), (&"rejected".into(), &"frames_not_allowed".into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_a_jpeg_of_the_frames_size_on_the_topic_that_the_reply_names() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut frames = Peer::subscribed(broker.port(), "frames", FRAMES).await;
        let mut ear = Ear::at(broker.port()).await;
        let camera = gate(broker.port(), "frames = true");
        let _program = camera.run();
        ear.status("running").await;
        let reply = ear.ask("{\"command\":\"snapshot\"}").await;
        assert_eq!(
            (&reply["state"], &reply["result"]["topics"][0]),
            (&"done".into(), &FRAMES.into()),
            "{reply}"
        );
        let picture = frames.until(|delivery| delivery.topic == FRAMES).await;
        assert_eq!(picture.content_type.as_deref(), Some("image/jpeg"));
        assert_eq!(picture.payload.len() as u64, reply["result"]["bytes"].as_u64().unwrap());
        assert_eq!(size(&picture.payload), Some((240, 180)));
        assert!(picture.user_properties.contains(&("camera_id".to_owned(), "gate".to_owned())));
        // A camera that rests has nothing to show.
        ear.ask("{\"command\":\"pause\"}").await;
        assert_eq!(ear.ask("{\"command\":\"snapshot\"}").await["error"], "no_frame");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_frames_come_by_themselves_at_the_rate_that_is_set() {
    against_each_broker(Setup::default(), async |broker: TestBroker| {
        let mut frames = Peer::subscribed(broker.port(), "frames", FRAMES).await;
        let camera = gate(broker.port(), "frames = true\nfull_frames_hz = 5.0");
        let _program = camera.run();
        let mut numbers = Vec::new();
        while numbers.len() < 4 {
            let picture = frames.until(|delivery| delivery.topic == FRAMES).await;
            assert!(read(&picture).is_null() && size(&picture.payload).is_some());
            let number = picture.user_properties.iter().find(|(name, _)| name == "frame_id");
            numbers.push(number.unwrap().1.parse::<u64>().unwrap());
        }
        // Ten frames a second are taken: at most every second one leaves.
        assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] >= 2), "{numbers:?}");
    })
    .await;
}

/// Width and height as the start of frame says them (ITU-T T.81, B.2.2).
fn size(jpeg: &[u8]) -> Option<(u16, u16)> {
    let mut at = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, rest @ ..] = at else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if (0xc0..=0xc2).contains(marker) {
            let [_, h1, h2, w1, w2, ..] = rest else { return None };
            return Some((u16::from_be_bytes([*w1, *w2]), u16::from_be_bytes([*h1, *h2])));
        }
        at = at.get(2 + length..)?;
    }
}
