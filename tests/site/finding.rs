//! Cameras with nothing but an id on one switch: they find each other by multicast DNS and agree on one of them
//! as their broker. The switch is the loopback interface, so that nothing leaves the machine.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use omnisight::model::Delivery;
use omnisight::swarm::message::{Message, Name, Presence, StatusMessage};
use socket2::{Domain, Socket, Type};

use crate::stage::man_who_stays;
use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Camera, Program, omnisight};
use crate::support::watch::{counter, decoded};
use crate::support::{Kind, Peer, Setup, TestBroker, free_port};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Whether what is sent to a group on the loopback interface is heard there. Where it is not, says so.
fn multicast_works() -> bool {
    let heard = || -> std::io::Result<()> {
        let listener = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
        listener.set_read_timeout(Some(Duration::from_secs(2)))?;
        let speaker = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        speaker.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
        let to = SocketAddrV4::new(GROUP, listener.local_addr()?.port());
        speaker.send_to(b"?", &SocketAddr::from(to).into())?;
        listener.recv(&mut [0; 1]).map(drop)
    };
    let heard = heard();
    if let Err(error) = &heard {
        // Past the test harness, which keeps what `eprintln!` of a passing test says.
        let _ = writeln!(std::io::stderr(), "skipped: no multicast on the loopback interface ({error})");
    }
    heard.is_ok()
}

/// A camera that knows nobody; `listen` is where it would run the broker.
struct Lone {
    id: &'static str,
    port: u16,
    camera: Camera,
    site: String,
}

impl Lone {
    fn new(id: &'static str, site: &str, host: bool) -> Self {
        let port = free_port();
        let sections = format!(
            "[discovery]\nhost = {host}\nlisten = '127.0.0.1:{port}'\ninterfaces = ['lo']\n{}",
            man_who_stays::SECTIONS
        );
        let camera = Camera::with_sections(id, &man_who_stays::capture(id, port), &sections);
        Self { id, port, camera, site: site.to_owned() }
    }

    fn run(&self) -> Program {
        Program::start(self.camera.command().env("OMNISIGHT_CAMERA__SITE", &self.site))
    }

    fn rewrite(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.camera.file()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.camera.file(), text.replace(from, to)).unwrap();
    }
}

/// Whose broker a camera uses, by its log.
fn uses(program: &Program) -> Option<String> {
    let log = program.log();
    let last =
        log.lines().rev().find(|line| line.contains("the site's broker") && line.contains("broker="))?;
    last.split("broker=").nth(1)?.split_whitespace().next().map(str::to_owned)
}

/// Waits until all use the same broker; whose.
async fn agree(programs: &[&Program]) -> String {
    for program in programs {
        let same = |_: &Program| {
            let used: Vec<_> = programs.iter().map(|program| uses(program)).collect();
            used[0].is_some() && used.iter().all(|other| *other == used[0])
        };
        program.until("all use one broker", same).await;
    }
    uses(programs[0]).unwrap()
}

/// Whoever listens at the broker of this port as soon as there is one.
fn watch(port: u16) -> Peer {
    Peer::spawn(&crate::support::link_options(port), &format!("watch-{port}"), None, &["omnisight/swarm/#"])
}

async fn online(watch: &mut Peer, camera: &str) {
    says(watch, camera, |status| status.state == Presence::Online).await;
}

/// Waits for such a status of a camera.
async fn says(watch: &mut Peer, camera: &str, wanted: impl Fn(&StatusMessage) -> bool) {
    let such = |delivery: &Delivery| match decoded(delivery) {
        Message::Status(status) => status.camera_id.as_str() == camera && wanted(&status),
        _ => false,
    };
    watch.until(such).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_cameras_elect_a_broker_and_when_it_is_killed_the_next_one_gets_what_was_said_meanwhile() {
    if !multicast_works() {
        return;
    }
    let site = format!("test {} {}", std::process::id(), free_port());
    let [a, b, c] = [("a", true), ("b", true), ("c", false)].map(|(id, host)| Lone::new(id, &site, host));
    let mut watches = [watch(a.port), watch(b.port)];
    let [mut program_a, mut program_b, mut program_c] = [&a, &b, &c].map(Lone::run);
    let first = agree(&[&program_a, &program_b, &program_c]).await;
    // On a busy machine the second may have been up before the first was heard of.
    let (killed, survivor) = if first == a.id { (0, 1) } else { (1, 0) };
    for camera in ["a", "b", "c"] {
        online(&mut watches[killed], camera).await;
    }
    // The first broker is gone without a word, and c sees something before anybody can know of another.
    let lone = [&a, &b];
    let [victim, other] =
        if killed == 0 { [&mut program_a, &mut program_b] } else { [&mut program_b, &mut program_a] };
    victim.signal("KILL");
    victim.exit().await;
    c.rewrite("kind = 'area'", "kind = 'forbidden'");
    program_c.signal("HUP");
    program_c.says("in force now: zone").await;
    let told =
        watches[survivor].until(|delivery| delivery.topic.starts_with("omnisight/swarm/events/c/")).await;
    let Message::Event(event) = decoded(&told) else { panic!("{told:?}") };
    assert_eq!((event.camera_id.as_str(), event.zone.as_ref().map(Name::as_str)), ("c", Some("yard")));
    assert_eq!(agree(&[other, &program_c]).await, lone[survivor].id);
    says(&mut watches[survivor], "c", |status| counter(status, "discovery_changes") == 2).await;
    let url = format!("mqtt://127.0.0.1:{}", lone[survivor].port);
    let asked = Program::finish(&mut send_status(&url));
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.out.contains("elected") && asked.out.contains(lone[survivor].id), "{asked:?}");
    // Who comes back is one of them, and takes over when the other one is stopped in order.
    let mut back = lone[killed].run();
    assert_eq!(agree(&[other, &back, &program_c]).await, lone[survivor].id);
    online(&mut watches[survivor], lone[killed].id).await;
    assert_eq!(other.stop().await, Some(0), "{}", other.log());
    back.says("this camera runs the site's broker").await;
    assert_eq!(agree(&[&back, &program_c]).await, lone[killed].id);
    online(&mut watches[killed], "c").await;
    for program in [&mut program_c, &mut back] {
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_hangs_is_replaced_and_of_two_brokers_that_hear_each_other_again_one_stays() {
    if !multicast_works() {
        return;
    }
    let site = format!("test {} {}", std::process::id(), free_port());
    let cameras = ["a", "b"].map(|id| Lone::new(id, &site, true));
    let [mut a, mut b] = cameras.each_ref().map(Lone::run);
    let first = agree(&[&a, &b]).await;
    let (hanging, other) = if first == "a" { (&a, &b) } else { (&b, &a) };
    other.says("connected broker=").await;
    // As without power: nothing is answered, and no connection breaks.
    hanging.signal("STOP");
    other.says("this camera runs the site's broker").await;
    hanging.signal("CONT");
    b.says("another broker serves the site: ours stops").await;
    assert_eq!(agree(&[&a, &b]).await, "a");
    for program in [&mut a, &mut b] {
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}

fn send_status(url: &str) -> Command {
    omnisight(&["send", "status", "--camera", "c", "--broker", url])
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_of_two_sites_on_one_switch_have_two_brokers() {
    if !multicast_works() {
        return;
    }
    let sites = ["plaza", "harbour"].map(|site| format!("{site} {} {}", std::process::id(), free_port()));
    let cameras = sites.each_ref().map(|site| Lone::new("gate", site, true));
    let mut programs = cameras.each_ref().map(Lone::run);
    for (camera, program) in cameras.iter().zip(&programs) {
        program.says("this camera runs the site's broker").await;
        let mut watch = watch(camera.port);
        says(&mut watch, "gate", |status| counter(status, "discovery_other_sites") > 0).await;
    }
    for program in &mut programs {
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_announces_itself_is_preferred_and_when_it_stops_a_camera_takes_its_place() {
    if !multicast_works() {
        return;
    }
    let site = format!("test {} {}", std::process::id(), free_port());
    let lone = Lone::new("gate", &site, true);
    let mut camera = lone.run();
    assert_eq!(agree(&[&camera]).await, "gate");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut broker = Program::start(&mut omnisight(&["broker", "--listen", &listen, "--announce", &site]));
    let announced = |program: &Program| uses(program).is_some_and(|name| name.ends_with(&format!("-{port}")));
    camera.until("uses the broker that runs alone", announced).await;
    online(&mut watch(port), "gate").await;
    assert_eq!(broker.stop().await, Some(0), "{}", broker.log());
    camera.until("runs the site's broker again", |program| uses(program).as_deref() == Some("gate")).await;
    online(&mut watch(lone.port), "gate").await;
    assert_eq!(camera.stop().await, Some(0), "{}", camera.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_not_announced_at_an_address_that_no_camera_could_use() {
    let mut command = omnisight(&["broker", "--listen", "[::1]:0", "--announce", "plaza"]);
    let refused = Program::finish(&mut command);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.err.contains("cameras are told of an IPv4 address, and ::1 is none"), "{refused:?}");
}

/// Announces a broker that knows nothing of us, as avahi would.
fn announce_mosquitto(site: &str, port: u16) -> ServiceDaemon {
    let announcer = ServiceDaemon::new().unwrap();
    announcer.disable_interface(IfKind::All).unwrap();
    announcer.enable_interface("lo").unwrap();
    let txt = [("site", site)];
    let name = format!("mosquitto-{port}");
    let host = format!("{name}.local.");
    let service = ServiceInfo::new("_mqtt._tcp.local.", &name, &host, "127.0.0.1", port, &txt[..]).unwrap();
    announcer.register(service).unwrap();
    announcer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mosquitto_that_is_announced_for_the_site_takes_over_from_the_elected_camera() {
    if !multicast_works() || !Mosquitto::installed() {
        return;
    }
    let site = format!("test {} {}", std::process::id(), free_port());
    let cameras = ["a", "b"].map(|id| Lone::new(id, &site, true));
    let mut programs = cameras.each_ref().map(Lone::run);
    agree(&[&programs[0], &programs[1]]).await;
    let broker = TestBroker::start(Kind::Mosquitto, Setup::default()).await;
    let announcer = announce_mosquitto(&site, broker.port());
    let name = format!("mosquitto-{}", broker.port());
    for program in &programs {
        program.says(&format!("broker={name}")).await;
    }
    let mut watch = watch(broker.port());
    for camera in ["a", "b"] {
        online(&mut watch, camera).await;
    }
    for program in &mut programs {
        assert_eq!(program.stop().await, Some(0), "{}", program.log());
    }
    drop(announcer.shutdown());
}
