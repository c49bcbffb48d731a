//! A stop loses nothing that was acknowledged.

use std::collections::BTreeSet;
use std::path::Path;

use omnisight::broker::Options;

use crate::raw::{Client, Connect, Packet, anonymous, publish, start};

/// Kept for an hour.
const SESSION: &[u8] = &[0x11, 0, 0, 14, 16];

fn kept(folder: &Path) -> Options {
    Options { data_dir: Some(folder.to_owned()), max_queued_per_client: 100_000, ..anonymous() }
}

fn resuming(id: &str) -> Connect<'_> {
    Connect { clean: false, properties: SESSION, ..Connect::new(id) }
}

/// Publishes numbers until the broker goes, and returns those that it has acknowledged.
async fn flood(port: u16, id: &str, tell: tokio::sync::mpsc::Sender<u32>) -> BTreeSet<u32> {
    let (mut camera, _) = Client::connect(port, &Connect::new(id)).await;
    let mut acknowledged = BTreeSet::new();
    for number in 0.. {
        camera.send_or_give_up(&publish(5, &format!("flood/{id}"), &[], &u32::to_be_bytes(number))).await;
        match camera.next().await {
            Some(Packet { first: 0x40, .. }) => acknowledged.insert(number),
            _ => break,
        };
        // Nobody counts any more once the broker is being stopped.
        let _ = tell.send(number).await;
    }
    acknowledged
}

/// What a client that reads everything gets of each publisher, until nothing has come from the broker
/// after a message of its own.
async fn collect(client: &mut Client, found: &mut BTreeSet<(String, u32)>) {
    client.send(&publish(5, "flood/end", &[], &[0; 4])).await;
    loop {
        let Some(packet) = client.next().await else { panic!("the broker went away") };
        if packet.first >> 4 != 3 {
            continue;
        }
        let message = client.acknowledge(&packet).await;
        if message.topic == "flood/end" {
            return;
        }
        let number = u32::from_be_bytes(message.payload.try_into().unwrap());
        found.insert((message.topic, number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_flood_a_stop_keeps_every_acknowledged_message_for_who_is_away_slow_or_there() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(kept(folder.path())).await;
    let port = broker.local_addr().port();
    // One is away, one does not read, one reads.
    let (mut away, _) = Client::connect(port, &resuming("away")).await;
    away.subscribe("flood/+", 1, &[]).await;
    away.send(&[0xe0, 0]).await;
    assert_eq!(away.next().await, None);
    let (mut stuck, _) = Client::connect(port, &resuming("stuck")).await;
    stuck.subscribe("flood/+", 1, &[]).await;
    let (mut there, _) = Client::connect(port, &resuming("there")).await;
    there.subscribe("flood/+", 1, &[]).await;
    let reads = tokio::spawn(async move {
        let mut found = BTreeSet::new();
        while let Some(packet) = there.next().await {
            if packet.first >> 4 == 3 {
                let message = there.acknowledge(&packet).await;
                found.insert((message.topic, u32::from_be_bytes(message.payload.try_into().unwrap())));
            }
        }
        found
    });
    let (tell, mut told) = tokio::sync::mpsc::channel(64);
    let floods: Vec<_> =
        ["a", "b", "c"].map(|id| tokio::spawn(flood(port, id, tell.clone()))).into_iter().collect();
    for _ in 0..3_000 {
        told.recv().await.unwrap();
    }
    drop(told);
    broker.stop().await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for (id, flood) in ["a", "b", "c"].iter().zip(floods) {
        acknowledged.extend(flood.await.unwrap().into_iter().map(|number| (format!("flood/{id}"), number)));
    }
    assert!(acknowledged.len() >= 3_000);
    let mut before = reads.await.unwrap();
    drop(stuck);

    let broker = start(Options { listen: ([127, 0, 0, 1], port).into(), ..kept(folder.path()) }).await;
    for id in ["away", "stuck", "there"] {
        let (mut client, connack) = Client::connect(port, &resuming(id)).await;
        assert_eq!(connack.body[0], 1, "{id}: the session is there");
        let mut found = if id == "there" { std::mem::take(&mut before) } else { BTreeSet::new() };
        collect(&mut client, &mut found).await;
        let lost: Vec<_> = acknowledged.difference(&found).collect();
        assert!(
            lost.is_empty(),
            "{id}: {} of {} lost, such as {:?}",
            lost.len(),
            acknowledged.len(),
            lost.first()
        );
        client.send(&[0xe0, 0]).await;
    }
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_and_one_of_quality_2_half_way_are_there_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(kept(folder.path())).await;
    let port = broker.local_addr().port();
    let (mut watcher, _) = Client::connect(port, &resuming("watcher")).await;
    watcher.subscribe("half", 1, &[]).await;
    let (mut camera, _) = Client::connect(port, &resuming("camera")).await;
    let retained = [&[0x33, 9][..], &[0, 4], b"kept", &[0, 1, 0]].concat();
    camera.send(&retained).await;
    assert_eq!(camera.next().await.unwrap().first, 0x40);
    camera.send(&[&[0x34, 13][..], &[0, 4], b"half", &[0, 2, 0], b"once"].concat()).await;
    assert_eq!(camera.next().await.unwrap().first, 0x50);
    broker.stop().await.unwrap();

    let broker = start(Options { listen: ([127, 0, 0, 1], port).into(), ..kept(folder.path()) }).await;
    let (mut camera, _) = Client::connect(port, &resuming("camera")).await;
    camera.send(&[0x62, 2, 0, 2]).await;
    let pubcomp = camera.next().await.unwrap();
    assert_eq!((pubcomp.first, pubcomp.body.get(2).copied().unwrap_or(0)), (0x70, 0));
    let (mut watcher, _) = Client::connect(port, &resuming("watcher")).await;
    assert_eq!(watcher.message().await.payload, b"once");
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_does_not_hold_up_the_stop() {
    let broker = start(Options { client_channel_capacity: 100_000, ..anonymous() }).await;
    let port = broker.local_addr().port();
    let (mut stuck, _) = Client::connect(port, &Connect { keep_alive_s: 0, ..Connect::new("stuck") }).await;
    stuck.subscribe("t", 0, &[]).await;
    let (mut camera, _) = Client::connect(port, &Connect::new("camera")).await;
    // More than all buffers between the two can hold.
    for _ in 0..64 {
        camera.publish("t", &[], &vec![b'x'; 500_000]).await;
    }
    let stopped = tokio::time::timeout(crate::support::DEADLINE, broker.stop()).await;
    stopped.expect("the broker does not stop").unwrap();
}
