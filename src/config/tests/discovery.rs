//! Who looks for a broker, who would run it, and who may use it then.

use super::*;

fn config(more: &str) -> Config {
    load_text(&with(more), &[]).unwrap_or_else(|faults| panic!("{faults}")).config
}

const LINK: &str = "[[broker_link]]\nurl = 'mqtt://h'\n";

#[test]
fn a_broker_that_is_named_wins_and_nobody_is_looked_for() {
    let named = config(LINK);
    assert!(named.discovery.is_none());
    assert_eq!(named.links[0].options.host, "h");
}

#[test]
fn a_camera_with_a_broker_announces_itself_when_it_is_asked_to_and_would_not_run_the_sites() {
    let discovery = config(&format!("{LINK}[discovery]\nenabled = true\n")).discovery.unwrap().options;
    assert_eq!((discovery.seeks, discovery.can_host), (false, false));
}

#[test]
fn who_shares_nothing_or_is_told_not_to_looks_for_nobody() {
    for quiet in ["[discovery]\nenabled = false\n", "[swarm]\nenabled = false\n[control]\nenabled = false\n"]
    {
        let config = config(quiet);
        assert!(config.discovery.is_none() && config.links.is_empty(), "{quiet}");
    }
}

#[test]
fn the_broker_that_is_to_be_found_may_have_a_user_and_every_other_key_of_a_link() {
    let text = "[camera]\nid = 'a'\nsite = 'plaza'\n[capture]\nkind = 'synthetic'\n[[broker_link]]\n\
                url = 'discover'\nusername = 'u'\npassword = 'p'\ncarries = ['events']\n";
    let config = load_text(text, &[]).unwrap().config;
    let link = &config.links[0];
    assert_eq!((link.options.host.as_str(), link.carries.classes.len()), ("", 1));
    assert_eq!(link.options.credentials.as_ref().unwrap().username, "u");
    assert_eq!(config.discovery.unwrap().options.site, "plaza");
}

#[test]
fn what_cannot_be_is_named_by_its_key() {
    let discover = "[[broker_link]]\nurl = 'discover'\n";
    let faults = [
        (format!("{discover}[discovery]\nenabled = false\n"), "discovery.enabled"),
        ("[discovery]\nlisten = '[::]:1883'\n".to_owned(), "discovery.listen"),
        ("[discovery]\nlisten = 'eth0'\n".to_owned(), "discovery.listen"),
        (format!("{discover}tls_ca = '/nowhere'\n"), "broker_link.0.tls_ca"),
        (format!("{discover}{discover}name = 'b'\n"), "broker_link.1.url"),
    ];
    for (more, key) in faults {
        let faults = load_text(&with(&more), &[]).unwrap_err();
        assert!(faults.list().iter().any(|fault| fault.key == key), "{key}: {faults}");
    }
}

#[cfg(feature = "broker")]
#[test]
fn the_elected_broker_lets_in_everybody_on_the_switch_or_the_users_that_are_named_and_keeps_nothing() {
    let host = |more: &str| config(more).discovery.unwrap().host.unwrap();
    let open = host("");
    assert_eq!(open.listen, ([0, 0, 0, 0], 1883).into());
    assert!(open.allow_anonymous && open.local_link_only && open.data_dir.is_none());
    let closed = host("[broker]\nusers = [{ name = 'u', password = 'p' }]\nmax_clients = 9\n");
    assert!(!closed.allow_anonymous && !closed.local_link_only);
    assert_eq!((closed.users.len(), closed.max_clients), (1, 9));
    assert!(config("[discovery]\nhost = false\n").discovery.unwrap().host.is_none());
}

#[cfg(feature = "broker")]
#[test]
fn a_broker_that_others_can_reach_is_announced_and_one_on_loopback_is_its_owners() {
    let users = "users = [{ name = 'u', password = 'p' }]\n";
    let open = config(&format!("[broker]\nenabled = true\nlisten = '0.0.0.0:1884'\n{users}"));
    let discovery = open.discovery.unwrap();
    assert_eq!(discovery.options.fixed, Some(([127, 0, 0, 1], 1884).into()));
    assert!(!discovery.options.can_host && discovery.host.is_none());
    assert_eq!(open.links[0].options.host, "");
    let own = config(&format!("[broker]\nenabled = true\n{users}"));
    assert!(own.discovery.is_none() && own.links.is_empty());
}
