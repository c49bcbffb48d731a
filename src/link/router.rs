//! Which links a message takes.
//!
//! Surfaces see [`Router::send`] alone, so which link carries what is known in this one place. A durable
//! message goes to the store, once, with a mark for every link that carries it; any other to each link's
//! own queues. A link that is down holds up no other. On a link with two connections a message takes that
//! of its lane; on one without a control connection both lanes share the one there is. Routes can be
//! replaced while messages are sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{LinkSender, Outbox};
use crate::model::{Envelope, Lane, MessageClass};

/// What a link carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carries {
    /// The classes.
    pub classes: Vec<MessageClass>,
    /// MQTT topic filters, one of which must match; none: every topic.
    pub topics: Vec<String>,
}

impl Default for Carries {
    /// Everything.
    fn default() -> Self {
        Self { classes: MessageClass::ALL.to_vec(), topics: Vec::new() }
    }
}

impl Carries {
    /// Whether a message of this class on this topic takes the link.
    pub fn takes(&self, class: MessageClass, topic: &str) -> bool {
        self.classes.contains(&class)
            && (self.topics.is_empty() || self.topics.iter().any(|filter| matches(filter, topic)))
    }
}

/// Whether a topic filter matches a topic (MQTT 5, 4.7).
fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// A broker's connections.
#[derive(Clone)]
pub struct Route {
    /// The link's name, as the store knows it.
    pub name: String,
    /// What it carries.
    pub carries: Carries,
    /// The connection for data, and for control when that has none of its own.
    pub data: LinkSender,
    /// The connection for control, with its name in the store.
    pub control: Option<(String, LinkSender)>,
}

impl Route {
    /// The connection of a lane, with its name in the store.
    fn lane(&self, lane: Lane) -> (&str, &LinkSender) {
        match (&self.control, lane) {
            (Some((name, control)), Lane::Control) => (name, control),
            _ => (&self.name, &self.data),
        }
    }
}

/// Where surfaces put their messages; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Router {
    routes: Arc<RwLock<Arc<[Route]>>>,
    outbox: Option<Outbox>,
    unrouted: Arc<AtomicU64>,
}

impl Router {
    /// A router over these links. Without a store durable messages are kept in the links' own queues.
    pub fn new(routes: Vec<Route>, outbox: Option<Outbox>) -> Self {
        Self { routes: Arc::new(RwLock::new(routes.into())), outbox, unrouted: Arc::default() }
    }

    /// From now on these are the routes, for all its clones.
    pub fn replace(&self, routes: Vec<Route>) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes.into();
    }

    /// Sends a message on every link that carries it. Never blocks.
    pub fn send(&self, envelope: Envelope) {
        let takes = |route: &&Route| route.carries.takes(envelope.class, &envelope.topic);
        let routes = Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner));
        let mut routes = routes.iter().filter(takes).peekable();
        if routes.peek().is_none() {
            self.unrouted.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if envelope.class.handling().durable
            && let Some(outbox) = &self.outbox
        {
            let mut links = 0;
            for (name, sender) in routes.map(|route| route.lane(envelope.lane)) {
                match outbox.position(name) {
                    Some(position) => links |= 1 << position,
                    None => sender.send(envelope.clone()),
                }
            }
            if links != 0 {
                outbox.put(envelope, links);
            }
            return;
        }
        while let Some(route) = routes.next() {
            let (_, sender) = route.lane(envelope.lane);
            if routes.peek().is_none() {
                sender.send(envelope);
                return;
            }
            sender.send(envelope.clone());
        }
    }

    /// Messages that no link carries.
    pub fn unrouted(&self) -> u64 {
        self.unrouted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;
    use crate::link::{Client, LinkHandle, Options, spawn};

    /// Nobody listens on port 1, so what is sent stays queued and can be seen.
    fn link(id: &str) -> LinkHandle {
        let options = Options { host: "127.0.0.1".to_owned(), port: 1, ..Options::default() };
        let client = Client { id: id.to_owned(), ..Client::default() };
        spawn(&options, client, Arc::new(SystemClock::new())).unwrap().0
    }

    fn route(link: &LinkHandle, carries: Carries) -> Route {
        Route { name: "a".to_owned(), carries, data: link.sender(), control: None }
    }

    async fn queued(link: &LinkHandle, class: MessageClass) -> u64 {
        let mut status = link.status();
        status.wait_for(|status| status.queued.total() > 0).await.unwrap().queued.get(class)
    }

    #[tokio::test]
    async fn a_message_takes_every_link_that_carries_its_class_and_no_other() {
        let links = ["a", "b"].map(link);
        let events = Carries { classes: vec![MessageClass::Event], ..Carries::default() };
        let routes = vec![route(&links[0], Carries::default()), route(&links[1], events)];
        let router = Router::new(routes, None);
        router.send(Envelope::new(MessageClass::Presence, "t", "{}"));
        router.send(Envelope::new(MessageClass::Event, "t", "{}"));
        assert_eq!(queued(&links[0], MessageClass::Presence).await, 1);
        assert_eq!(queued(&links[1], MessageClass::Event).await, 1);
        assert_eq!(queued(&links[1], MessageClass::Presence).await, 0);
        assert_eq!(router.unrouted(), 0);
    }

    #[tokio::test]
    async fn a_lane_of_its_own_takes_what_belongs_to_it() {
        let (data, control) = (link("c"), link("c-control"));
        let mut route = route(&data, Carries::default());
        route.control = Some(("a-control".to_owned(), control.sender()));
        let router = Router::new(vec![route], None);
        router.send(Envelope::new(MessageClass::Reply, "t", "{}"));
        router.send(Envelope::new(MessageClass::Track, "t", "{}"));
        assert_eq!(queued(&control, MessageClass::Reply).await, 1);
        assert_eq!(queued(&data, MessageClass::Track).await, 1);
    }

    #[tokio::test]
    async fn routes_that_are_replaced_hold_for_every_clone() {
        let links = ["a", "b"].map(link);
        let router = Router::new(vec![route(&links[0], Carries::default())], None);
        let clone = router.clone();
        router.replace(vec![route(&links[1], Carries::default())]);
        clone.send(Envelope::new(MessageClass::Presence, "t", "{}"));
        assert_eq!(queued(&links[1], MessageClass::Presence).await, 1);
        assert_eq!(links[0].status().borrow().queued.total(), 0);
    }

    #[tokio::test]
    async fn what_no_link_carries_is_counted() {
        let link = link("a");
        let topics = vec!["site/+/events/#".to_owned()];
        let router = Router::new(vec![route(&link, Carries { topics, ..Carries::default() })], None);
        router.send(Envelope::new(MessageClass::Event, "site/1/events", "{}"));
        router.send(Envelope::new(MessageClass::Event, "site/1/events/x/y", "{}"));
        router.send(Envelope::new(MessageClass::Event, "site/1/tracks", "{}"));
        assert_eq!((queued(&link, MessageClass::Event).await, router.unrouted()), (2, 1));
    }
}
