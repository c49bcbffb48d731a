//! A TOML document that knows where each of its values was written.
//!
//! Made of a file's text and, on top of it, environment variables: `OMNISIGHT_SECTION__KEY`, an array's
//! element by its number (`OMNISIGHT_BROKER_LINK__0__URL`; the number after the last one adds an element).
//! Pure: text and variables come in, nothing is opened. Nothing here knows which keys exist; the schema
//! is asked only whether a variable's text is meant as a text.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::fault::{Faults, Place, Problem};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    /// A date, or a number that no 64 bits can hold: no key wants one.
    Other(String),
    Array(Vec<Node>),
    Table(BTreeMap<String, Entry>),
}

/// A key's place and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Place,
    pub(super) node: Node,
}

impl Node {
    /// A table without keys.
    pub(super) fn empty(place: Place) -> Self {
        Self { place, value: Value::Table(BTreeMap::new()) }
    }

    /// The node at the end of a dotted path, or the last one on the way that exists.
    pub(super) fn nearest(&self, path: &str) -> &Self {
        path.split('.').try_fold(self, |at, key| at.child(key).ok_or(at)).unwrap_or_else(|last| last)
    }

    /// Where the value of a key was written; none when it stands nowhere.
    pub(super) fn written(&self, path: &str) -> Option<&Place> {
        path.split('.').try_fold(self, Self::child).map(|node| &node.place)
    }

    fn child(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries.get(key).map(|e| &e.node),
            Value::Array(nodes) => nodes.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// Puts a value in `path`, making the tables on the way, unless something else stands in the way.
    fn put(&mut self, path: &[&str], new: Self) -> Result<(), Problem> {
        let Some((key, rest)) = path.split_first() else {
            *self = new;
            return Ok(());
        };
        if let Value::Array(nodes) = &mut self.value {
            let Some(index) = key.parse::<usize>().ok().filter(|i| *i <= nodes.len()) else {
                let allowed = format!("the number of an element: 0 to {} (a new one)", nodes.len());
                return Err(Problem::NotAllowed { found: (*key).to_owned(), allowed });
            };
            if index == nodes.len() {
                nodes.push(Self::empty(new.place.clone()));
            }
            return nodes[index].put(rest, new);
        }
        let Value::Table(entries) = &mut self.value else {
            return Err(Problem::UnknownKey { nearest: None });
        };
        let place = new.place.clone();
        let entry = entries.entry((*key).to_owned()).or_insert_with(|| {
            let indexed = rest.first().is_some_and(|k| *k == "0");
            let value = if indexed { Value::Array(Vec::new()) } else { Value::Table(BTreeMap::new()) };
            Entry { key: place.clone(), node: Self { place: place.clone(), value } }
        });
        entry.key = if rest.is_empty() { place } else { entry.key.clone() };
        entry.node.put(rest, new)
    }
}

/// Byte offsets to lines and columns of one file. Columns count bytes: counting characters would make a
/// file that is one long line take seconds.
struct Lines {
    file: Arc<Path>,
    /// The offset of each line's first byte.
    starts: Vec<usize>,
}

impl Lines {
    fn new(file: Arc<Path>, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { file, starts: std::iter::once(0).chain(ends).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|s| *s <= offset).max(1);
        let column = offset.saturating_sub(self.starts[line - 1]) + 1;
        Place::Line { file: Arc::clone(&self.file), line, column }
    }

    fn table(&self, table: &DeTable<'_>, place: Place) -> Node {
        let entry = |(k, v): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
            let key: &std::borrow::Cow<'_, str> = k.get_ref();
            let at = self.place(k.span().start);
            let mut node = self.node(v);
            if matches!(node.value, Value::Table(_)) {
                node.place = at.clone();
            }
            (key.clone().into_owned(), Entry { key: at, node })
        };
        Node { place, value: Value::Table(table.iter().map(entry).collect()) }
    }

    fn node(&self, value: &toml::Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span().start);
        let value = match value.get_ref() {
            DeValue::Table(table) => return self.table(table, place),
            DeValue::Array(nodes) => Value::Array(nodes.iter().map(|n| self.node(n)).collect()),
            scalar => self::scalar(scalar),
        };
        Node { place, value }
    }
}

fn scalar(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(s) => Value::Text(s.clone().into_owned()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
            .map_or_else(|_| Value::Other(i.to_string()), Value::Integer),
        DeValue::Float(r) => r.as_str().parse().map_or_else(|_| Value::Other(r.to_string()), Value::Real),
        other => Value::Other(match other {
            DeValue::Datetime(d) => d.to_string(),
            _ => String::new(),
        }),
    }
}

/// Reads a file's text. Everything that is no TOML is a fault; what could be read is returned all the same.
pub(super) fn parse(file: &Arc<Path>, text: &str, faults: &mut Faults) -> Node {
    let lines = Lines::new(Arc::clone(file), text);
    match DeTable::parse(text) {
        Ok(table) => lines.table(table.get_ref(), lines.place(0)),
        Err(e) => {
            let place = lines.place(e.span().map_or(0, |s| s.start));
            faults.push(place, "", Problem::Unreadable(format!("not TOML: {}", e.message())));
            Node::empty(Place::File(Arc::clone(file)))
        }
    }
}

/// How an environment variable is meant.
pub(super) enum Meaning {
    /// As it is.
    Text,
    /// As a TOML value.
    Toml,
}

/// Puts a variable on top of the document; `path` is `section`, `key` and so on in lower case.
pub(super) fn overlay(
    root: &mut Node,
    name: &str,
    path: &[&str],
    text: &str,
    meaning: &Meaning,
    faults: &mut Faults,
) {
    let place = Place::Variable(name.into());
    let node = match meaning {
        Meaning::Text => Node { place: place.clone(), value: Value::Text(text.to_owned()) },
        Meaning::Toml => DeValue::parse(text).map_or_else(
            |_| Node { place: place.clone(), value: Value::Text(text.to_owned()) },
            |v| moved(&Lines::new(Path::new("").into(), text).node(&v), &place),
        ),
    };
    if let Err(problem) = root.put(path, node) {
        faults.push(place, path.join("."), problem);
    }
}

/// Puts a runtime setting on top of the document; `path` is dotted.
pub(super) fn set(root: &mut Node, path: &str, value: &serde_json::Value, faults: &mut Faults) {
    let parts: Vec<&str> = path.split('.').collect();
    if let Err(problem) = root.put(&parts, runtime(value)) {
        faults.push(Place::Runtime, path, problem);
    }
}

fn runtime(value: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(real)) => Value::Real(real),
            (None, None) => Value::Other(number.to_string()),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(values) => Value::Array(values.iter().map(runtime).collect()),
        Json::Object(_) | Json::Null => Value::Other(value.to_string()),
    };
    Node { place: Place::Runtime, value }
}

/// The same value, written in one place.
fn moved(node: &Node, place: &Place) -> Node {
    let value = match &node.value {
        Value::Array(nodes) => Value::Array(nodes.iter().map(|n| moved(n, place)).collect()),
        Value::Table(entries) => {
            let entry = |(k, e): (&String, &Entry)| {
                (k.clone(), Entry { key: place.clone(), node: moved(&e.node, place) })
            };
            Value::Table(entries.iter().map(entry).collect())
        }
        scalar => scalar.clone(),
    };
    Node { place: place.clone(), value }
}
