//! What cameras and brokers say of themselves, and its form in TXT records (RFC 6763, section 6).
//!
//! | key | | |
//! |---|---|---|
//! | `txtvers` | `1` | of this table |
//! | `id` | camera id | left out by brokers that are no camera |
//! | `site` | text | the site's name, empty when it has none |
//! | `boot` | milliseconds since the epoch | always rising on one camera |
//! | `change` | integer | counts the changes since `boot` |
//! | `host` | `1`, `0` | it would run the broker |
//! | `broker` | `fixed`, `elected`, `none` | it runs a broker, on the port of the SRV record |
//! | `version` | text | for people |
//!
//! Unknown keys are ignored, missing ones are taken as their least: no change, no host, no broker.

use core::net::{Ipv4Addr, SocketAddr};

use crate::model::{CameraId, CameraIdError};

/// The version of the TXT record.
const TXT_VERSION: &str = "1";
/// The longest name of a site that is read, bytes; the configuration allows no longer one.
pub(super) const SITE_BYTES_MAX: usize = 250;

/// Why somebody runs a broker. In the order in which they are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrokerKind {
    /// Its configuration says so.
    Fixed,
    /// The cameras agreed on it.
    Elected,
}

impl BrokerKind {
    /// The word in the TXT record and in a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Elected => "elected",
        }
    }
}

/// A broker that somebody runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Why.
    pub kind: BrokerKind,
    /// Where it can be reached.
    pub address: SocketAddr,
}

/// What was heard of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Who: the camera's id, or the service's name for a broker that is no camera.
    pub name: CameraId,
    /// The site it belongs to; empty when it has no name.
    pub site: String,
    /// When it started, milliseconds since the epoch.
    pub boot_ms: u64,
    /// Changes since then: of two announcements with one `boot_ms` the higher counts.
    pub change: u32,
    /// It would run the broker.
    pub can_host: bool,
    /// It runs one.
    pub broker: Option<Offer>,
}

/// What this camera says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    /// Changes since the start.
    pub change: u32,
    /// It would run the broker.
    pub can_host: bool,
    /// It runs one, on this port.
    pub broker: Option<(BrokerKind, u16)>,
}

/// Why an announcement says nothing to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The name can't be that of a camera.
    #[error("{name:?} is no camera id: {source}")]
    Name {
        /// As it was read.
        name: String,
        /// Why not.
        source: CameraIdError,
    },
    /// A value is not what it should be.
    #[error("{key} is {value:?}")]
    Value {
        /// Which.
        key: &'static str,
        /// As it was read.
        value: String,
    },
    /// A broker without an address that we could use.
    #[error("{0} has no IPv4 address and port")]
    NoAddress(CameraId),
    /// A service of somebody who knows nothing of us.
    #[error("it names no site")]
    Foreign,
}

/// The TXT record of what a camera says.
pub(super) fn to_txt(name: &CameraId, site: &str, boot_ms: u64, own: &Own) -> Vec<(&'static str, String)> {
    vec![
        ("txtvers", TXT_VERSION.to_owned()),
        ("id", name.to_string()),
        ("site", site.to_owned()),
        ("boot", boot_ms.to_string()),
        ("change", own.change.to_string()),
        ("host", if own.can_host { "1" } else { "0" }.to_owned()),
        ("broker", own.broker.map_or("none", |(kind, _)| kind.as_str()).to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

/// Reads the service of a camera (`_omnisight._tcp`).
pub(super) fn camera<'a>(
    txt: impl Fn(&str) -> Option<&'a str>,
    port: u16,
    addresses: impl Iterator<Item = Ipv4Addr>,
) -> Result<Announcement, Unreadable> {
    let value = |key: &'static str| txt(key).unwrap_or_default();
    let wrong = |key: &'static str| Unreadable::Value { key, value: value(key).to_owned() };
    let integer = |key: &'static str| match value(key) {
        "" => Ok(0),
        digits => digits.parse::<u64>().map_err(|_| wrong(key)),
    };
    if value("txtvers") != TXT_VERSION {
        return Err(wrong("txtvers"));
    }
    let name = parse_name(value("id"))?;
    if value("site").len() > SITE_BYTES_MAX {
        return Err(wrong("site"));
    }
    let kind = match value("broker") {
        "" | "none" => None,
        "fixed" => Some(BrokerKind::Fixed),
        "elected" => Some(BrokerKind::Elected),
        _ => return Err(wrong("broker")),
    };
    let broker = match kind {
        Some(kind) => Some(offer(&name, kind, port, addresses)?),
        None => None,
    };
    Ok(Announcement {
        site: value("site").to_owned(),
        boot_ms: integer("boot")?,
        change: u32::try_from(integer("change")?).map_err(|_| wrong("change"))?,
        can_host: value("host") == "1",
        broker,
        name,
    })
}

/// Reads the service of a broker (`_mqtt._tcp`) that is no camera; `instance` is the service's name.
pub(super) fn broker<'a>(
    instance: &str,
    txt: impl Fn(&str) -> Option<&'a str>,
    port: u16,
    addresses: impl Iterator<Item = Ipv4Addr>,
) -> Result<Announcement, Unreadable> {
    // A camera's broker is announced with the camera.
    let Some(site) = txt("site").filter(|_| txt("id").is_none()) else { return Err(Unreadable::Foreign) };
    if site.len() > SITE_BYTES_MAX {
        return Err(Unreadable::Value { key: "site", value: site.to_owned() });
    }
    let name = parse_name(instance)?;
    let broker = Some(offer(&name, BrokerKind::Fixed, port, addresses)?);
    Ok(Announcement { site: site.to_owned(), boot_ms: 0, change: 0, can_host: false, broker, name })
}

fn parse_name(name: &str) -> Result<CameraId, Unreadable> {
    CameraId::parse(name).map_err(|source| Unreadable::Name { name: name.to_owned(), source })
}

/// Of several addresses the smallest that is not loopback, so that all choose the same.
fn offer(
    name: &CameraId,
    kind: BrokerKind,
    port: u16,
    addresses: impl Iterator<Item = Ipv4Addr>,
) -> Result<Offer, Unreadable> {
    let best = addresses.filter(|ip| !ip.is_unspecified()).min_by_key(|ip| (ip.is_loopback(), *ip));
    match best {
        Some(ip) if port != 0 => Ok(Offer { kind, address: SocketAddr::from((ip, port)) }),
        _ => Err(Unreadable::NoAddress(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 1, last)
    }

    fn read(txt: &[(&str, String)], port: u16, addresses: &[Ipv4Addr]) -> Result<Announcement, Unreadable> {
        let value = |key: &str| txt.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        camera(value, port, addresses.iter().copied())
    }

    fn gate() -> CameraId {
        CameraId::parse("gate").unwrap()
    }

    #[test]
    fn what_a_camera_says_is_what_others_read() {
        let own = Own { change: 7, can_host: true, broker: Some((BrokerKind::Elected, 1883)) };
        let read = read(&to_txt(&gate(), "plaza", 42, &own), 1883, &[ip(9), ip(2), Ipv4Addr::LOCALHOST]);
        let address = SocketAddr::from((ip(2), 1883));
        let broker = Some(Offer { kind: BrokerKind::Elected, address });
        let expected = Announcement {
            name: gate(),
            site: "plaza".into(),
            boot_ms: 42,
            change: 7,
            can_host: true,
            broker,
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_broker_on_the_same_machine_is_found_on_loopback_when_there_is_no_other_address() {
        let own = Own { broker: Some((BrokerKind::Fixed, 1884)), ..Own::default() };
        let read = read(&to_txt(&gate(), "", 1, &own), 1884, &[Ipv4Addr::LOCALHOST]).unwrap();
        assert_eq!(read.broker.unwrap().address, SocketAddr::from((Ipv4Addr::LOCALHOST, 1884)));
    }

    #[test]
    fn a_broker_that_is_no_camera_must_name_the_site() {
        let addresses = || [ip(3)].into_iter();
        let plaza = |key: &str| (key == "site").then_some("plaza");
        let found = broker("mosquitto", plaza, 1883, addresses()).unwrap();
        assert_eq!((found.site.as_str(), found.can_host), ("plaza", false));
        assert_eq!(found.broker.unwrap().kind, BrokerKind::Fixed);
        assert_eq!(broker("mosquitto", |_| None, 1883, addresses()), Err(Unreadable::Foreign));
        let of_a_camera = |key: &str| ["site", "id"].contains(&key).then_some("x");
        assert_eq!(broker("x", of_a_camera, 1883, addresses()), Err(Unreadable::Foreign));
        assert!(matches!(broker("a broker", plaza, 1883, addresses()), Err(Unreadable::Name { .. })));
        assert!(matches!(broker("b", plaza, 0, addresses()), Err(Unreadable::NoAddress(_))));
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_txt_record_is_read_or_refused(
            values in proptest::collection::vec("\\PC{0,300}|[0-9]{0,30}|fixed|elected|1", 7), port: u16,
        ) {
            let keys = ["txtvers", "id", "site", "boot", "change", "host", "broker"];
            let txt: Vec<_> = keys.into_iter().zip(values).collect();
            if let Ok(read) = read(&txt, port, &[ip(1)]) {
                prop_assert!(read.site.len() <= SITE_BYTES_MAX);
                prop_assert!(read.broker.is_none_or(|offer| offer.address.port() != 0));
            }
        }
    }
}
