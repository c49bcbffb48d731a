//! Multicast DNS: tells the switch of this camera, and hears of the others.
//!
//! The crate runs one thread of its own and hands over what it heard by bounded channels. A channel that was
//! too full is closed by it; then it is asked again for all that it knows. Nothing here waits for the network.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::collections::HashMap;
use std::time::Duration;

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::announcement::{self, Announcement, Own, SITE_BYTES_MAX, Unreadable};
use super::election::{Options, PEERS_MAX, VERIFY_WITHIN};
use crate::base::{ErrorKind, fnv1a};
use crate::model::CameraId;

/// The service of every camera.
const CAMERAS: &str = "_omnisight._tcp.local.";
/// The service of every broker (the name that is registered for MQTT).
const BROKERS: &str = "_mqtt._tcp.local.";
/// The longest readable part of an instance's name: with what makes it unique a label has 63 bytes at most.
const LABEL_CHARACTERS_MAX: usize = 40;
/// Most services whose owners are remembered: more than there can be peers.
const SERVICES_MAX: usize = 2 * PEERS_MAX;
/// Before the crate is asked again after it closed a channel.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long the goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Why there is no multicast DNS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no thread or no socket for it.
    #[error("discovery: multicast DNS can't be used: {0}")]
    Unavailable(mdns_sd::Error),
    /// No camera could use what is announced.
    #[error("discovery: cameras are told of an IPv4 address, and {0} is none")]
    NotIpv4(Ipv6Addr),
    /// No camera can have that name of a site in its configuration.
    #[error("discovery: the name of a site has at most {SITE_BYTES_MAX} bytes, not {0}")]
    SiteTooLong(usize),
}

impl Error {
    /// What machines act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::NotIpv4(_) | Self::SiteTooLong(_) => ErrorKind::Usage,
        }
    }
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// Somebody said this.
    Seen(Announcement),
    /// Somebody is gone.
    Gone(CameraId),
    /// Something that says nothing to us: on a busy switch this is usual.
    Unreadable(Unreadable),
}

/// See the module. Dropping it ends its thread without a goodbye.
pub struct Mdns {
    daemon: ServiceDaemon,
    name: CameraId,
    site: String,
    boot_ms: u64,
    cameras: Receiver<ServiceEvent>,
    brokers: Receiver<ServiceEvent>,
    /// Whose service it is, of those of the site; at most [`SERVICES_MAX`].
    services: HashMap<String, CameraId>,
    /// The broker is announced too.
    serving: bool,
}

impl Mdns {
    /// Opens the sockets and begins to listen. Interfaces that come later are used when they come.
    pub fn start(options: &Options, boot_ms: u64) -> Result<Self, Error> {
        let start = || {
            let daemon = ServiceDaemon::new()?;
            if !options.interfaces.is_empty() {
                daemon.disable_interface(IfKind::All)?;
                let named = options.interfaces.iter().map(IfKind::from).collect::<Vec<_>>();
                daemon.enable_interface(named)?;
            }
            daemon.disable_interface(IfKind::IPv6)?;
            let (cameras, brokers) = (daemon.browse(CAMERAS)?, daemon.browse(BROKERS)?);
            Ok((daemon, cameras, brokers))
        };
        let (daemon, cameras, brokers) = start().map_err(Error::Unavailable)?;
        Ok(Self {
            daemon,
            name: options.name.clone(),
            site: options.site.clone(),
            boot_ms,
            cameras,
            brokers,
            services: HashMap::new(),
            serving: false,
        })
    }

    /// Tells the others. What can't be told now is told with the next announcement.
    pub fn announce(&mut self, own: &Own) {
        let port = own.broker.map(|(_, port)| port);
        let told = self.register(CAMERAS, own, port.unwrap_or(0)).and_then(|()| match port {
            Some(port) => {
                self.serving = true;
                self.register(BROKERS, own, port)
            }
            None if self.serving => {
                self.serving = false;
                let service = format!("{}.{BROKERS}", self.label());
                self.daemon.unregister(&service).map(drop)
            }
            None => Ok(()),
        });
        if let Err(error) = told {
            tracing::warn!(camera = %self.name, "not announced on the network: {error}");
        }
    }

    fn register(&self, service: &str, own: &Own, port: u16) -> mdns_sd::Result<()> {
        let label = self.label();
        let txt = announcement::to_txt(&self.name, &self.site, self.boot_ms, own);
        let host = format!("omnisight-{:016x}.local.", self.mark());
        let info = ServiceInfo::new(service, &label, &host, "", port, txt.as_slice())?;
        let mut info = info.enable_addr_auto();
        // The names are unique as they are, and what changes must be known at once.
        info.set_requires_probe(false);
        self.daemon.register(info)
    }

    /// Tells this camera from those of the same id on other sites of the switch.
    fn mark(&self) -> u64 {
        fnv1a(self.site.bytes().chain([0]).chain(self.name.as_str().bytes()))
    }

    /// The name of this camera's services.
    fn label(&self) -> String {
        // All ASCII; a dot would have to be escaped.
        let id = self.name.as_str().replace('.', "-");
        let id: String = id.chars().take(LABEL_CHARACTERS_MAX).collect();
        format!("{id}-{:016x}", self.mark())
    }

    /// The next thing that was heard. Cancel safe.
    pub async fn next(&mut self) -> Heard {
        loop {
            let event = tokio::select! {
                event = self.cameras.recv_async() => event,
                event = self.brokers.recv_async() => event,
            };
            let Ok(event) = event else {
                tokio::time::sleep(AGAIN_AFTER).await;
                self.ask_again();
                continue;
            };
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    if let Some(heard) = self.resolved(&service) {
                        return heard;
                    }
                }
                ServiceEvent::ServiceRemoved(_, service) => {
                    if let Some(name) = self.services.remove(&service) {
                        return Heard::Gone(name);
                    }
                }
                _ => {}
            }
        }
    }

    fn resolved(&mut self, service: &ResolvedService) -> Option<Heard> {
        let txt = |key: &str| service.txt_properties.get_property_val_str(key);
        let addresses = service.get_addresses_v4().into_iter();
        let (service_name, port) = (service.get_fullname(), service.get_port());
        let read = if service.ty_domain == CAMERAS {
            announcement::camera(txt, port, addresses)
        } else {
            let instance = service_name.strip_suffix(BROKERS).unwrap_or(service_name);
            announcement::broker(instance.trim_end_matches('.'), txt, port, addresses)
        };
        match read {
            Ok(said) if said.name == self.name && said.site == self.site && said.boot_ms == self.boot_ms => {
                None
            }
            Ok(said) => {
                // Strangers and those beyond the limit are only counted.
                let known = self.services.contains_key(service_name);
                if said.site == self.site && (known || self.services.len() < SERVICES_MAX) {
                    self.services.insert(service_name.to_owned(), said.name.clone());
                }
                Some(Heard::Seen(said))
            }
            Err(unreadable) => Some(Heard::Unreadable(unreadable)),
        }
    }

    /// Asks whether somebody is still there; who does not answer is [`Heard::Gone`].
    pub fn verify(&self, name: &CameraId) {
        for (service, _) in self.services.iter().filter(|(_, of)| *of == name) {
            if let Err(error) = self.daemon.verify(service.clone(), VERIFY_WITHIN) {
                tracing::warn!(camera = %self.name, "not asked whether {name} is there: {error}");
            }
        }
    }

    fn ask_again(&mut self) {
        let browse = |service| self.daemon.browse(service);
        match browse(CAMERAS).and_then(|cameras| Ok((cameras, browse(BROKERS)?))) {
            Ok((cameras, brokers)) => (self.cameras, self.brokers) = (cameras, brokers),
            Err(error) => tracing::error!(camera = %self.name, "multicast DNS does not listen: {error}"),
        }
    }

    /// Says goodbye and ends.
    pub async fn leave(self) {
        goodbye(&self.daemon).await;
    }
}

/// Tells the switch of a broker that is no camera's. Dropping it ends its thread without a goodbye.
pub struct Signpost {
    daemon: ServiceDaemon,
}

impl Signpost {
    /// Announces the broker of a site that listens here: with the addresses of all interfaces if it listens on all.
    pub fn put_up(site: &str, listen: SocketAddr) -> Result<Self, Error> {
        let at = match listen.ip() {
            IpAddr::V4(ip) => (!ip.is_unspecified()).then_some(ip),
            IpAddr::V6(ip) if ip.is_unspecified() => None,
            IpAddr::V6(ip) => return Err(Error::NotIpv4(ip)),
        };
        if site.len() > SITE_BYTES_MAX {
            return Err(Error::SiteTooLong(site.len()));
        }
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let machine = machine.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
        let machine: String = machine.take(LABEL_CHARACTERS_MAX).collect();
        let label = format!("broker-{machine}-{}", listen.port());
        let host = format!("{label}.local.");
        let start = || {
            let daemon = ServiceDaemon::new()?;
            if at.is_some_and(|ip| ip.is_loopback()) {
                daemon.disable_interface(IfKind::All)?;
                daemon.enable_interface(IfKind::LoopbackV4)?;
            }
            daemon.disable_interface(IfKind::IPv6)?;
            let addresses = at.map(|ip| ip.to_string()).unwrap_or_default();
            let txt = [("site", site)];
            let service = ServiceInfo::new(BROKERS, &label, &host, &*addresses, listen.port(), &txt[..])?;
            let service = if at.is_none() { service.enable_addr_auto() } else { service };
            daemon.register(service)?;
            Ok(daemon)
        };
        start().map(|daemon| Self { daemon }).map_err(Error::Unavailable)
    }

    /// Says goodbye and ends.
    pub async fn take_down(self) {
        goodbye(&self.daemon).await;
    }
}

async fn goodbye(daemon: &ServiceDaemon) {
    if let Ok(done) = daemon.shutdown() {
        let _ = tokio::time::timeout(GOODBYE_WITHIN, done.recv_async()).await;
    }
}
