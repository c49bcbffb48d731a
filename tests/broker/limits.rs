//! The embedded broker's own limits and manners; that it does what mosquitto does is in `tests/link.rs`.

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::{Kind, Peer, Setup, TestBroker, event, link_options};
use omnisight::broker;
use omnisight::link::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_broker_turns_the_next_client_away_and_takes_it_when_there_is_room() {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options =
        broker::Options { listen, allow_anonymous: true, max_clients: 1, ..broker::Options::default() };
    let broker = broker::start(options).await.unwrap();
    let port = broker.local_addr().port();
    let first = Peer::spawn(&link_options(port), "first", None, &[]);
    first.status(|status| status.state == State::Connected).await;
    let second = Peer::spawn(&link_options(port), "second", None, &[]);
    let status = second.status(|status| status.last_error.is_some()).await;
    assert_eq!(status.counters.connects, 0);
    drop(first);
    second.status(|status| status.state == State::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_on_one_connection_of_the_broker_does_not_disturb_another() {
    let broker = TestBroker::start(Kind::Embedded, Setup::default()).await;
    let mut camera = Peer::subscribed(broker.port(), "camera", "t/#").await;
    let mut stranger = TcpStream::connect((Ipv4Addr::LOCALHOST, broker.port())).await.unwrap();
    stranger.write_all(&[0xff; 4096]).await.unwrap();
    // The broker ends it; what it says before is of no interest.
    let _ = stranger.read_to_end(&mut Vec::new()).await;
    camera.send(event("t", "{}"));
    assert_eq!(camera.next().await.topic, "t");
    assert_eq!(camera.link.status().borrow().counters.connects, 1);
}
