//! Who may: which commands are done from which door.
//!
//! MQTT tells nobody's name, so the check is on where a command came in; who may publish there is the
//! broker's to decide. A rule is `WORD`, `DOOR:WORD` or either with `*`; a command is done when any rule
//! allows it.

use super::{Rejection, Word};

/// Where commands come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// The topic that all cameras read.
    Shared,
    /// The topic of this camera.
    Own,
    /// The fleet server's control topic of this camera.
    Fleet,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Own, Self::Fleet];

    /// The word in a rule and in an audit line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Own => "own",
            Self::Fleet => "fleet",
        }
    }
}

/// One rule; none is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    door: Option<Door>,
    word: Option<Word>,
}

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    rules: Vec<Rule>,
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rule; use COMMAND, DOOR:COMMAND or *, where DOOR is {doors}", doors = doors())]
pub struct RuleError(String);

fn doors() -> String {
    Door::ALL.map(Door::as_str).join(", ")
}

impl Default for Permissions {
    /// Everything from everywhere.
    fn default() -> Self {
        Self { rules: vec![Rule { door: None, word: None }] }
    }
}

impl Permissions {
    /// Takes the rules; the error has the number of the bad one.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, RuleError)> {
        let rules = rules.into_iter().enumerate().map(|(index, text)| {
            rule(text).ok_or_else(|| (index, RuleError(text.chars().take(80).collect())))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Whether a command may be done from there.
    pub fn check(&self, door: Door, word: Word) -> Result<(), Rejection> {
        let allows = |rule: &Rule| {
            rule.door.is_none_or(|allowed| allowed == door) && rule.word.is_none_or(|allowed| allowed == word)
        };
        if self.rules.iter().any(allows) { Ok(()) } else { Err(Rejection::NotPermitted { word, door }) }
    }
}

fn rule(text: &str) -> Option<Rule> {
    let (door, word) = text.split_once(':').unwrap_or(("*", text));
    let door = match door {
        "*" => None,
        named => Some(Door::ALL.into_iter().find(|door| door.as_str() == named)?),
    };
    let word = match word {
        "*" => None,
        named => Some(Word::parse(named)?),
    };
    Some(Rule { door, word })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_done_when_any_rule_allows_it_and_by_default_all_do() {
        let some = Permissions::parse(["status", "own:*", "shared:pause"]).unwrap();
        assert!(some.check(Door::Fleet, Word::Status).is_ok());
        assert!(some.check(Door::Own, Word::Stop).is_ok());
        assert!(some.check(Door::Shared, Word::Pause).is_ok());
        let refused = some.check(Door::Shared, Word::Stop).unwrap_err();
        assert_eq!(refused.to_string(), "stop is not permitted from shared; see [control] allow");
        for (door, word) in Door::ALL.into_iter().flat_map(|d| Word::ALL.map(|w| (d, w))) {
            assert!(Permissions::default().check(door, word).is_ok());
            assert!(Permissions::parse([]).unwrap().check(door, word).is_err());
        }
    }

    #[test]
    fn a_bad_rule_is_named_by_its_number() {
        for bad in ["dance", "cellar:stop", "", "own:", "own:stop:now"] {
            assert_eq!(Permissions::parse(["*", bad]).unwrap_err().0, 1, "{bad}");
        }
    }
}
