//! Access lists in mosquitto's `acl_file` format: who may publish and subscribe to what.
//!
//! ```text
//! # everybody, users without a name included
//! topic read site/news/#
//! pattern readwrite cameras/%u/#     # %u: the user's name, %c: the client id
//!
//! user watch
//! topic read omnisight/#
//! topic deny omnisight/secret/#
//! ```
//!
//! Lines are `topic` or `pattern`, then `read`, `write`, `readwrite` (also when the word is left out)
//! or `deny`, then a topic filter; `user NAME` says whose the `topic` lines below are. Before the first
//! `user` they are those of clients without a name; `pattern` lines are everybody's. What no line
//! allows is denied; a `deny` beats every other line.
//!
//! One difference to mosquitto, on purpose: it lets everybody subscribe to everything and drops at
//! delivery; here a subscription is refused (0x87; 0x80 in MQTT 3.1.1) unless the lines allow every
//! topic that it could bring. So `#` needs a line `topic read #`, and no `deny` it overlaps.
//!
//! Pure, but for [`Acl::read`].

use std::path::Path;

use super::passwords::text;

/// The lines of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acl {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    whose: Whose,
    access: Access,
    filter: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// Clients without a name.
    Nameless,
    /// The user of this name.
    User(String),
    /// Everybody; the filter has places for names.
    Everybody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// The user's name, if it gave one.
    pub user: Option<&'a str>,
    /// Its client id.
    pub id: &'a str,
}

impl Acl {
    /// Reads a file. The error says what is wrong with it, and in which line.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&text(path)?)
    }

    /// Understands the text of a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut rules, mut whose) = (Vec::new(), Whose::Nameless);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |what: &str| format!("line {}: {what}", number + 1);
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            match word {
                "user" if rest.is_empty() => return Err(fault("user without a name")),
                "user" => whose = Whose::User(rest.to_owned()),
                "topic" | "pattern" => {
                    let (access, filter) = access(rest);
                    if !is_filter(filter) {
                        return Err(fault("no topic filter"));
                    }
                    let whose = if word == "topic" { whose.clone() } else { Whose::Everybody };
                    rules.push(Rule { whose, access, filter: filter.to_owned() });
                }
                _ => return Err(fault("a line begins with user, topic, pattern or #")),
            }
        }
        Ok(Self { rules })
    }

    /// Whether a client may publish to a topic.
    pub fn may_publish(&self, client: Client<'_>, topic: &str) -> bool {
        let denied = self.filters(client, Access::Deny).any(|filter| covers(&filter, topic));
        !denied && self.filters(client, Access::Write).any(|filter| covers(&filter, topic))
    }

    /// Whether a client may subscribe to a filter: every topic that it could bring must be allowed.
    pub fn may_subscribe(&self, client: Client<'_>, filter: &str) -> bool {
        // $share/GROUP/FILTER shares a subscription out; what it brings is the filter's.
        let filter = match filter.strip_prefix("$share/") {
            Some(shared) => shared.split_once('/').map_or("", |(_, filter)| filter),
            None => filter,
        };
        let denied = self.filters(client, Access::Deny).any(|rule| overlap(&rule, filter));
        !denied && self.filters(client, Access::Read).any(|rule| covers(&rule, filter))
    }

    /// The filters that give (or, for `Deny`, take) this access to this client.
    fn filters<'a>(&'a self, client: Client<'a>, wanted: Access) -> impl Iterator<Item = String> + 'a {
        let gives =
            move |access: Access| access == wanted || (access == Access::ReadWrite && wanted != Access::Deny);
        self.rules.iter().filter(move |rule| gives(rule.access)).filter_map(move |rule| match &rule.whose {
            Whose::Nameless => client.user.is_none().then(|| rule.filter.clone()),
            Whose::User(name) => (client.user == Some(name.as_str())).then(|| rule.filter.clone()),
            Whose::Everybody => fill_in(&rule.filter, client),
        })
    }
}

fn access(rest: &str) -> (Access, &str) {
    let (word, filter) = rest.split_once(char::is_whitespace).unwrap_or(("", rest));
    match word {
        "read" => (Access::Read, filter.trim()),
        "write" => (Access::Write, filter.trim()),
        "readwrite" => (Access::ReadWrite, filter.trim()),
        "deny" => (Access::Deny, filter.trim()),
        // A topic may hold blanks.
        _ => (Access::ReadWrite, rest),
    }
}

/// A pattern for this client; none when a name would change its meaning.
fn fill_in(pattern: &str, client: Client<'_>) -> Option<String> {
    let mut filled = pattern.to_owned();
    for (place, name) in [("%u", client.user), ("%c", Some(client.id))] {
        if pattern.contains(place) {
            let name = name.filter(|name| !name.is_empty() && !name.contains(['+', '#', '/', '%']))?;
            filled = filled.replace(place, name);
        }
    }
    Some(filled)
}

/// Whether this is a topic filter (MQTT 5, 4.7.1).
fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let good = |(i, level): (usize, &&str)| {
        let last = i + 1 == levels.len();
        !level.contains(['+', '#', '\0']) || *level == "+" || (*level == "#" && last)
    };
    !filter.is_empty() && levels.iter().enumerate().all(good)
}

/// Whether a rule's filter allows every topic that `asked`, a topic or a filter, stands for.
fn covers(rule: &str, asked: &str) -> bool {
    if hides_from_wildcards(rule, asked) {
        return false;
    }
    let (mut rule, mut asked) = (rule.split('/'), asked.split('/'));
    loop {
        match (rule.next(), asked.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether there is a topic that both filters stand for.
fn overlap(a: &str, b: &str) -> bool {
    if hides_from_wildcards(a, b) || hides_from_wildcards(b, a) {
        return false;
    }
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            // `a/#` stands for `a` as well.
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            _ => return false,
        }
    }
}

/// A wildcard in front does not stand for topics of the server ($SYS; MQTT 5, 4.7.2).
fn hides_from_wildcards(filter: &str, topic: &str) -> bool {
    filter.starts_with(['+', '#']) && topic.starts_with('$')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "
        # clients without a name
        topic read news/#
        pattern readwrite cameras/%u/#
        pattern write by-id/%c

        user watch
        topic read omnisight/+/tracks/#
        topic deny omnisight/secret/#
        user admin
        topic #
        topic deny locked
    ";

    fn user(name: &str) -> Client<'_> {
        Client { user: Some(name), id: "id-1" }
    }

    const NAMELESS: Client<'static> = Client { user: None, id: "id-1" };

    #[test]
    fn each_user_may_what_the_lines_below_its_name_say() {
        let acl = Acl::parse(FILE).unwrap();
        assert!(acl.may_subscribe(user("watch"), "omnisight/gate/tracks/1"));
        // "secret" could be among them.
        assert!(!acl.may_subscribe(user("watch"), "omnisight/+/tracks/#"));
        assert!(!acl.may_publish(user("watch"), "omnisight/gate/tracks/1"));
        assert!(!acl.may_subscribe(user("watch"), "news/today"));
        assert!(acl.may_subscribe(NAMELESS, "news/today") && !acl.may_publish(NAMELESS, "news/today"));
        assert!(acl.may_publish(user("admin"), "any/thing") && !acl.may_publish(user("admin"), "locked"));
    }

    #[test]
    fn a_subscription_needs_every_topic_that_it_could_bring() {
        let acl = Acl::parse("user a\ntopic read t/+\n").unwrap();
        for (filter, wanted) in
            [("t/1", true), ("t/+", true), ("t/#", false), ("t", false), ("#", false), ("+/1", false)]
        {
            assert_eq!(acl.may_subscribe(user("a"), filter), wanted, "{filter}");
            assert_eq!(acl.may_subscribe(user("a"), &format!("$share/group/{filter}")), wanted, "{filter}");
        }
    }

    #[test]
    fn what_is_denied_is_denied_to_a_wider_filter_too() {
        let acl = Acl::parse("user a\ntopic read t/#\ntopic deny t/secret/#\n").unwrap();
        for (filter, wanted) in
            [("t/open", true), ("t/secret", false), ("t/secret/1", false), ("t/+", false), ("t/#", false)]
        {
            assert_eq!(acl.may_subscribe(user("a"), filter), wanted, "{filter}");
        }
    }

    #[test]
    fn a_pattern_names_the_client_and_no_name_can_widen_it() {
        let acl = Acl::parse(FILE).unwrap();
        assert!(acl.may_publish(user("gate"), "cameras/gate/1"));
        assert!(!acl.may_publish(user("gate"), "cameras/yard/1"));
        assert!(acl.may_publish(NAMELESS, "by-id/id-1") && !acl.may_publish(NAMELESS, "by-id/id-2"));
        for name in ["+", "#", "a/b", "", "%c"] {
            assert!(!acl.may_publish(user(name), "cameras/gate/1"), "{name}");
            assert!(!acl.may_subscribe(user(name), &format!("cameras/{name}/#")), "{name}");
        }
    }

    #[test]
    fn topics_of_the_server_are_not_meant_by_a_wildcard() {
        let acl = Acl::parse("user a\ntopic read #\n").unwrap();
        assert!(acl.may_subscribe(user("a"), "#") && !acl.may_subscribe(user("a"), "$SYS/#"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, wanted) in [
            ("user", "line 1: user without"),
            ("# x\nuser a\ntopic", "line 3: no topic filter"),
            ("topic read a/#/b", "line 1: no topic filter"),
            ("topic write a+", "line 1: no topic filter"),
            ("allow a", "line 1: a line begins"),
        ] {
            let reason = Acl::parse(text).unwrap_err();
            assert!(reason.contains(wanted), "{text}: {reason}");
        }
        // A topic may be called like an access.
        assert!(Acl::parse("topic read").unwrap().may_publish(NAMELESS, "read"));
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("+".to_owned())]
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..4), any::<bool>()).prop_map(|(mut levels, all_below)| {
            if all_below {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
    }

    /// Every topic of up to five levels of a, b and c: what the filters above can tell apart.
    fn topics() -> Vec<String> {
        let mut all: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        for _ in 1..5 {
            let longer = all.iter().flat_map(|topic| ["a", "b", "c"].map(|level| format!("{topic}/{level}")));
            all.extend(longer.collect::<Vec<_>>());
            all.sort();
            all.dedup();
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn covering_and_overlapping_are_what_the_topics_say(rule in filter(), asked in filter()) {
            let topics = topics();
            let brought: Vec<_> = topics.iter().filter(|topic| covers(&asked, topic)).collect();
            // `+/#` is a long word for `#`; not to see that is on the safe side.
            if covers(&rule, &asked) || asked != "#" {
                prop_assert_eq!(covers(&rule, &asked), brought.iter().all(|topic| covers(&rule, topic)));
            }
            prop_assert_eq!(overlap(&rule, &asked), brought.iter().any(|topic| covers(&rule, topic)));
        }
    }
}
