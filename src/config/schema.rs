//! The JSON Schema of the configuration, and what the document must be by it.
//!
//! The schema is made from the structs in `raw`; this reads only those words of JSON Schema that such
//! structs give rise to: types, ranges, lengths, constants, `required`, and `oneOf` told apart by the
//! constant of one key (`kind`). A table is closed: what the schema does not name is an unknown key.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value as Json, json};

use super::document::{Entry, Node, Value};
use super::fault::{Faults, Problem};
use super::raw;
use crate::base::without_url_secrets;

/// Most characters of a found text that a fault repeats.
const FOUND_CHARS_MAX: usize = 60;

/// The schema of the whole file.
pub fn schema() -> Json {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    // TOML has no null: a key without a value is left out.
    let settings = settings.with_transform(RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<raw::Root>().to_value()
}

fn without_null(schema: &mut schemars::Schema) {
    if schema.get("default").is_some_and(Json::is_null) {
        schema.remove("default");
    }
    // An optional choice: what it is when it is set, under the description of the key.
    if let Some(Json::Array(mut either)) = schema.remove("anyOf") {
        either.retain(|branch| branch["type"] != "null");
        for (word, value) in either.iter().filter_map(Json::as_object).flatten() {
            if schema.get(word).is_none() {
                schema.insert(word.clone(), value.clone());
            }
        }
    }
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            schema.insert("type".to_owned(), only);
        }
    }
}

/// The schema at a path of keys and element numbers.
pub(super) fn at<'s>(schema: &'s Json, path: &[&str]) -> Option<&'s Json> {
    path.iter().try_fold(schema, |at, key| {
        let branches = at["oneOf"].as_array().into_iter().flatten();
        let tables = std::iter::once(at).chain(branches);
        let number = key.parse::<usize>().ok();
        tables
            .into_iter()
            .find_map(|t| t["properties"].get(key))
            .or_else(|| at.get("items").filter(|_| number.is_some()))
    })
}

/// Checks a value against its schema and makes it JSON, without the keys that are unknown.
pub(super) fn check(node: &Node, schema: &Json, key: &str, faults: &mut Faults) -> Json {
    if *schema == ANYTHING {
        return Json::Null;
    }
    match (&node.value, schema["type"].as_str()) {
        (Value::Table(entries), Some("object")) => table(node, entries, schema, key, faults),
        (Value::Array(nodes), Some("array")) => {
            let (min, max) = (&schema["minItems"], &schema["maxItems"]);
            if !within(nodes.len() as f64, min, max) {
                not_allowed(node, schema, key, faults);
            }
            // A list that is far too long is one fault, not thousands.
            let most = max.as_u64().map_or(usize::MAX, |m| m as usize);
            let element =
                |(i, n): (usize, &Node)| check(n, &schema["items"], &join(key, &i.to_string()), faults);
            Json::Array(nodes.iter().take(most).enumerate().map(element).collect())
        }
        _ => {
            let found = scalar(&node.value, schema);
            if found.is_none() {
                not_allowed(node, schema, key, faults);
            }
            found.unwrap_or(Json::Null)
        }
    }
}

/// The value as JSON when the schema allows it.
fn scalar(value: &Value, schema: &Json) -> Option<Json> {
    let (min, max) = (&schema["minimum"], &schema["maximum"]);
    if let Some(choices) = choices(schema) {
        let Value::Text(text) = value else { return None };
        return choices.contains(&text.as_str()).then(|| json!(text));
    }
    match (value, schema["type"].as_str()?) {
        (Value::Bool(b), "boolean") => Some(json!(b)),
        (Value::Integer(i), "integer") => within(*i as f64, min, max).then(|| json!(i)),
        (Value::Integer(i), "number") => within(*i as f64, min, max).then(|| json!(*i as f64)),
        (Value::Real(r), "number") => (r.is_finite() && within(*r, min, max)).then(|| json!(r)),
        (Value::Text(s), "string") => {
            within(s.chars().count() as f64, &schema["minLength"], &schema["maxLength"]).then(|| json!(s))
        }
        _ => None,
    }
}

fn within(value: f64, min: &Json, max: &Json) -> bool {
    min.as_f64().is_none_or(|m| value >= m) && max.as_f64().is_none_or(|m| value <= m)
}

/// The texts of an enumeration.
fn choices(schema: &Json) -> Option<Vec<&str>> {
    if let Some(only) = schema["const"].as_str() {
        return Some(vec![only]);
    }
    schema["oneOf"].as_array()?.iter().map(|c| c["const"].as_str()).collect()
}

fn table(
    node: &Node,
    entries: &BTreeMap<String, Entry>,
    schema: &Json,
    key: &str,
    faults: &mut Faults,
) -> Json {
    let mut shape = Shape::of(schema, entries);
    if let Some((tag, kinds)) = &shape.undecided {
        let allowed = one_of(kinds);
        let path = join(key, tag);
        match entries.get(*tag) {
            Some(e) => {
                let found = found(&e.node, &ANYTHING);
                faults.push(e.node.place.clone(), path, Problem::NotAllowed { found, allowed });
            }
            None => faults.push(node.place.clone(), path, Problem::Missing { allowed }),
        }
    }
    shape.required.retain(|name| !entries.contains_key(*name));
    for name in &shape.required {
        let wanted = shape.properties.iter().find(|(k, _)| k == name).map_or(&Json::Null, |(_, s)| s);
        let path = join(key, name);
        // A missing section is walked as an empty one, so that the fault names the key that it needs.
        if wanted["type"] == "object" {
            check(&Node::empty(node.place.clone()), wanted, &path, faults);
        } else {
            faults.push(node.place.clone(), path, Problem::Missing { allowed: allowed(wanted) });
        }
    }
    let mut known = Map::new();
    for (name, entry) in entries {
        let path = join(key, name);
        match shape.properties.iter().find(|(k, _)| k == name) {
            Some((_, schema)) => {
                known.insert(name.clone(), check(&entry.node, schema, &path, faults));
            }
            None => faults.push(entry.key.clone(), path, shape.stranger(name)),
        }
    }
    Json::Object(known)
}

/// Which keys a table may have, given the kind it says it is.
struct Shape<'s> {
    properties: Vec<(&'s str, &'s Json)>,
    required: Vec<&'s str>,
    /// The kind's key and the kinds there are, when the table names none of them.
    undecided: Option<(&'s str, Vec<&'s str>)>,
    /// The kind it is, and the keys of the other kinds.
    kind: &'s str,
    others: Vec<(&'s str, &'s str)>,
}

impl<'s> Shape<'s> {
    fn of(schema: &'s Json, entries: &BTreeMap<String, Entry>) -> Self {
        let mut shape = Self {
            properties: properties(schema),
            required: required(schema),
            undecided: None,
            kind: "",
            others: vec![],
        };
        let branches: Vec<&Json> = schema["oneOf"].as_array().into_iter().flatten().collect();
        let tag =
            branches.first().and_then(|b| properties(b).into_iter().find(|(_, s)| s.get("const").is_some()));
        let Some((tag, _)) = tag else { return shape };
        let kind_of = |b: &'s Json| b["properties"][tag]["const"].as_str().unwrap_or_default();
        let wanted = entries.get(tag).and_then(|e| match &e.node.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        });
        if let Some(branch) = branches.iter().find(|b| Some(kind_of(b)) == wanted) {
            shape.kind = kind_of(branch);
            shape.properties.extend(properties(branch));
            shape.required.extend(required(branch));
        } else {
            shape.undecided = Some((tag, branches.iter().map(|b| kind_of(b)).collect()));
            // Without a kind, a key of any kind is no stranger; its value can't be judged.
            shape.properties.extend(branches.iter().flat_map(|b| properties(b)).map(|(k, _)| (k, &ANYTHING)));
        }
        let others = branches.iter().flat_map(|b| properties(b).into_iter().map(|(k, _)| (k, kind_of(b))));
        shape.others = others.collect();
        shape
    }

    /// What is wrong with a key that is not one of the properties.
    fn stranger(&self, name: &str) -> Problem {
        let kinds: Vec<&str> =
            self.others.iter().filter(|(k, _)| *k == name).map(|(_, kind)| *kind).collect();
        if !kinds.is_empty() {
            return Problem::OtherKind { belongs_to: one_of(&kinds), found: format!("{:?}", self.kind) };
        }
        Problem::UnknownKey { nearest: nearest(name, self.properties.iter().map(|(k, _)| *k)) }
    }
}

static ANYTHING: Json = Json::Bool(true);

fn properties(schema: &Json) -> Vec<(&str, &Json)> {
    schema["properties"].as_object().into_iter().flatten().map(|(k, s)| (k.as_str(), s)).collect()
}

fn required(schema: &Json) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

/// The most similar of the known words, if one is similar at all.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    /// A Jaro-Winkler similarity below this is no likeness.
    const SIMILAR_MIN: f64 = 0.7;
    known
        .map(|k| (strsim::jaro_winkler(word, k), k))
        .filter(|(similar, _)| *similar >= SIMILAR_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k.to_owned())
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn not_allowed(node: &Node, schema: &Json, key: &str, faults: &mut Faults) {
    let problem = Problem::NotAllowed { found: found(node, schema), allowed: allowed(schema) };
    faults.push(node.place.clone(), key, problem);
}

/// What stands there, on one line, cut when it is long, and not at all when it is, or may hold, a secret.
pub(super) fn found(node: &Node, schema: &Json) -> String {
    // Whoever writes a text where a table belongs may have written a password.
    let open = schema["type"] != "object" && schema["items"]["type"] != "object";
    match &node.value {
        Value::Array(nodes) => format!("a list of {}", nodes.len()),
        Value::Table(_) => "a table".to_owned(),
        _ if schema["writeOnly"] == true => "a value that is not shown".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => format!("{r:?}"),
        Value::Other(text) => text.chars().take(FOUND_CHARS_MAX).collect(),
        Value::Text(text) if open => quoted(text),
        Value::Text(_) => "a text".to_owned(),
    }
}

/// A text in quotes on one line, cut when it is long, without the secrets of a URL.
pub(super) fn quoted(text: &str) -> String {
    let text = &without_url_secrets(text);
    let cut: String = text.chars().take(FOUND_CHARS_MAX).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}

/// What a schema allows, in words.
fn allowed(schema: &Json) -> String {
    if let Some(choices) = choices(schema) {
        return one_of(&choices);
    }
    let number = |name: &str| schema[name].as_f64().or(schema[name].as_u64().map(|u| u as f64));
    let real = |n: f64| format!("{n:?}");
    let whole = |n: f64| format!("{n:.0}");
    match schema["type"].as_str().unwrap_or_default() {
        "boolean" => "true or false".to_owned(),
        "integer" => format!("an integer{}", range(number("minimum"), number("maximum"), whole)),
        "number" => format!("a number{}", range(number("minimum"), number("maximum"), real)),
        "string" => match range(number("minLength"), number("maxLength"), whole) {
            lengths if lengths.is_empty() => "a text".to_owned(),
            lengths => format!("a text with{} characters", lengths.replacen(" from", "", 1)),
        },
        "array" => {
            let lengths = range(number("minItems"), number("maxItems"), whole).replacen(" from", "", 1);
            let element = allowed(&schema["items"]);
            match lengths.as_str() {
                "" => format!("a list, each element {element}"),
                lengths => format!("a list of{lengths} elements, each {element}"),
            }
        }
        _ => {
            let names: Vec<&str> = properties(schema).into_iter().map(|(k, _)| k).collect();
            format!("a table with {}", names.join(", "))
        }
    }
}

fn range(min: Option<f64>, max: Option<f64>, show: impl Fn(f64) -> String) -> String {
    match (min, max) {
        (Some(a), Some(b)) if a.total_cmp(&b).is_eq() => format!(" from {}", show(a)),
        (Some(a), Some(b)) => format!(" from {} to {}", show(a), show(b)),
        (Some(a), None) => format!(" from {} up", show(a)),
        (None, Some(b)) => format!(" up to {}", show(b)),
        (None, None) => String::new(),
    }
}

fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|c| format!("{c:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}
