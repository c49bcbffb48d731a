//! The rules of `[discovery]`: when it is on, who takes part, and what broker is run when it is this camera's turn.

use std::net::SocketAddr;

use super::{Checked, Faulty, Validator};
use crate::config::options::{BrokerLink, Camera, Discovery};
use crate::config::raw;
use crate::config::schema::quoted;
use crate::discovery;

impl Validator<'_> {
    /// The links, with that which is to be found where none is named, and how it is found. `wants_broker`:
    /// there is somebody who would use it. After `[broker]`, whose faults are noted.
    pub(super) fn discovery(
        &mut self,
        camera: Option<&Camera>,
        links: Checked<Vec<BrokerLink>>,
        wants_broker: bool,
    ) -> Checked<(Vec<BrokerLink>, Option<Discovery>)> {
        let raw = self.section::<raw::Discovery>("discovery")?;
        let listen = self.elected_listen(&raw.listen)?;
        let broker = self.section::<raw::Broker>("broker")?;
        let mut links = links?;
        let mut sought = links.iter().any(|link| link.options.host.is_empty());
        if sought && raw.enabled == Some(false) {
            let allowed = "true, or not set, because a broker link is to be discovered";
            return self.not_allowed("discovery.enabled", "false", allowed);
        }
        let fixed = reached_by_others(&broker);
        // A broker that only this camera can reach is there for a purpose of its own.
        let alone = broker.enabled && fixed.is_none();
        if links.is_empty() && wants_broker && !alone && raw.enabled != Some(false) {
            links.push(self.broker_link("broker_link", raw::BrokerLink::discovered())?);
            sought = true;
        }
        if !raw.enabled.unwrap_or(sought) {
            return Ok((links, None));
        }
        let can_host = sought && raw.host && !broker.enabled && cfg!(feature = "broker");
        let camera = camera.ok_or(Faulty)?;
        let options = discovery::Options {
            name: camera.id.clone(),
            site: camera.site.clone().unwrap_or_default(),
            seeks: sought,
            can_host,
            fixed: fixed.map(discovery::reached_at),
            interfaces: raw.interfaces,
        };
        let host = can_host.then(|| self.elected(&broker, listen)).transpose()?;
        #[cfg(feature = "broker")]
        let discovery = Discovery { options, host: host.flatten() };
        #[cfg(not(feature = "broker"))]
        let ((), discovery) = (host.unwrap_or_default(), Discovery { options });
        Ok((links, Some(discovery)))
    }

    fn elected_listen(&mut self, listen: &str) -> Checked<SocketAddr> {
        match listen.parse::<SocketAddr>() {
            Ok(address) if address.is_ipv4() => Ok(address),
            _ => {
                let allowed = "an IPv4 address and a port, such as 0.0.0.0:1883; port 0 takes a free one";
                self.not_allowed("discovery.listen", quoted(listen), allowed)
            }
        }
    }
}

/// Where the broker of the configuration listens, if there is one and other machines can reach it.
fn reached_by_others(broker: &raw::Broker) -> Option<SocketAddr> {
    let listen = broker.listen.parse::<SocketAddr>().ok()?;
    (broker.enabled && listen.is_ipv4() && !listen.ip().is_loopback()).then_some(listen)
}
