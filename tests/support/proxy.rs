//! A proxy between a link and its broker that swallows what it is told to, and cuts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Who sent some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Link,
    Broker,
}

type Filter = Box<dyn Fn(From, &[u8]) -> bool + Send>;

#[derive(Default)]
struct Shared {
    swallow: Mutex<Option<Filter>>,
    connections: Mutex<JoinSet<()>>,
}

/// Accepts on a port of its own; each connection goes on to the broker.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub async fn start(broker_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, broker_port, Arc::clone(&shared)));
        Self { port, shared, _accepting: accepting }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, reads for which this is true go nowhere.
    pub fn swallow(&self, filter: impl Fn(From, &[u8]) -> bool + Send + 'static) {
        *self.shared.swallow.lock().unwrap() = Some(Box::new(filter));
    }

    /// Cuts all connections; new ones pass everything.
    pub fn cut(&self) {
        *self.shared.swallow.lock().unwrap() = None;
        self.shared.connections.lock().unwrap().abort_all();
    }
}

async fn accept(listener: TcpListener, broker_port: u16, shared: Arc<Shared>) {
    while let Ok((link, _)) = listener.accept().await {
        let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, broker_port));
        let Ok(broker) = TcpStream::connect(broker).await else { continue };
        let (link_read, link_write) = link.into_split();
        let (broker_read, broker_write) = broker.into_split();
        let outgoing = pass(From::Link, link_read, broker_write, Arc::clone(&shared));
        let incoming = pass(From::Broker, broker_read, link_write, Arc::clone(&shared));
        let both = async move {
            tokio::select! {
                () = outgoing => {}
                () = incoming => {}
            }
        };
        shared.connections.lock().unwrap().spawn(both);
    }
}

async fn pass(from: From, mut source: OwnedReadHalf, mut sink: OwnedWriteHalf, shared: Arc<Shared>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = source.read(&mut buffer).await {
        let swallowed =
            shared.swallow.lock().unwrap().as_ref().is_some_and(|filter| filter(from, &buffer[..length]));
        if !swallowed && sink.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
