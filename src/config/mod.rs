//! From a TOML file and the environment to checked options.
//!
//! ```text
//! file ─► document ─► schema check ─► raw structs ─► validate ─► Config
//! env  ─►   (places)   (types, ranges, unknown keys)  (rules between keys)
//! ```
//!
//! Every key, its type, range, default and meaning stand in [`raw`], once. Loading changes nothing: it
//! opens the file, password files, stored secrets and certificates, creates no folder, starts nothing. It finds all faults at once
//! ([`Faults`]), each with file and line or variable, key, what was found and what is allowed; there is
//! no configuration with a fault in it. An environment variable `OMNISIGHT_SECTION__KEY` beats the file.
//! Relative paths are relative to the working directory.
//!
//! How a part uses its options does not belong here, and no part knows this module.
//! Units stand in the names: `_s`, `_m`, `_mps`; picture sizes are pixels.

mod changes;
mod document;
mod fault;
mod masked;
mod network;
mod options;
pub mod raw;
mod schema;
mod validate;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use changes::{Changes, Origin};
pub use fault::{Fault, Faults, Place, Problem};
pub use masked::Masked;
pub use network::describe;
#[cfg(feature = "broker")]
pub use options::BrokerAlone;
pub use options::{BrokerLink, Camera, Config, Discovery, Signing, TimeServer};
pub use schema::schema;

use crate::base::without_mark;
use crate::control::Settings;
use crate::link;
use changes::Clear;
use document::{Meaning, Node, Value};

/// Where the file is looked for, in this order, when none is named.
pub const SEARCHED: [&str; 2] = ["config/omnisight.toml", "/etc/omnisight/omnisight.toml"];
/// A larger file is not read: a thousand zones need a tenth of it.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// What a variable that sets a key begins with.
const VARIABLE_PREFIX: &str = "OMNISIGHT_";
/// More parts than the deepest key has; a variable with more names none.
const VARIABLE_PARTS_MAX: usize = 8;

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked options.
    pub config: Config,
    raw: raw::Root,
    clear: Clear,
    origins: BTreeMap<String, Origin>,
}

/// Whether a key's value can be set while running.
pub fn is_live(key: &str) -> bool {
    changes::is_live(key)
}

/// The file that was named, or the first of [`SEARCHED`] that exists; `None` when there is none.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    let searched = || SEARCHED.iter().map(PathBuf::from).find(|p| p.exists());
    named.map(Path::to_path_buf).or_else(searched)
}

/// Reads the file, if any, and the environment on top of it.
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Faults> {
    load_with(path, env, &Settings::new())
}

/// Reads the file, if any, the environment on top of it, and on top of both the settings that were made
/// while running.
pub fn load_with(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    settings: &Settings,
) -> Result<Loaded, Faults> {
    let (schema, mut faults) = (schema(), Faults::default());
    let env: Vec<_> = env.collect();
    let credentials = credentials(&env);
    let Some(mut root) = document(path, env.into_iter(), &schema, &mut faults) else {
        return Err(faults.sorted());
    };
    for (key, value) in settings {
        document::set(&mut root, key, value, &mut faults);
    }
    let json = schema::check(&root, &schema, "", &mut faults);
    let config = validate::validate(&root, &json, credentials.as_deref(), &mut faults);
    let raw = serde_json::from_value::<raw::Root>(json.clone());
    match (config, raw) {
        (Ok(config), Ok(raw)) if faults.list().is_empty() => {
            // What has no JSON form is no number, and such were refused.
            let effective = serde_json::to_value(&raw).unwrap_or_default();
            let origins = changes::origins(&root, &effective);
            let clear = Clear::new(effective, &json);
            Ok(Loaded { config, raw, clear, origins })
        }
        _ => Err(faults.sorted()),
    }
}

/// The same for a broker that runs alone: only `[broker]`, `[state]` and `[log]` are used and needed, and
/// `broker.enabled` need not be set. What else stands there must still have its form.
#[cfg(feature = "broker")]
pub fn load_broker(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<BrokerAlone, Faults> {
    let (mut schema, mut faults) = (schema(), Faults::default());
    // A broker alone is no camera.
    schema["required"].take();
    let env: Vec<_> = env.collect();
    let credentials = credentials(&env);
    let Some(root) = document(Some(path), env.into_iter(), &schema, &mut faults) else {
        return Err(faults.sorted());
    };
    let json = schema::check(&root, &schema, "", &mut faults);
    match validate::validate_broker(&root, &json, credentials.as_deref(), &mut faults) {
        Ok(broker) if faults.list().is_empty() => Ok(broker),
        _ => Err(faults.sorted()),
    }
}

/// The state folder alone, for whoever must work before the rest of the configuration is good: it may
/// name secrets that are only about to be set.
pub fn load_state_dir(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<PathBuf, Faults> {
    let (schema, mut faults) = (schema(), Faults::default());
    let wanted = |name: &String| name == "STATE_DIRECTORY" || name == "OMNISIGHT_STATE__DIR";
    let env = env.filter(|(name, _)| wanted(name));
    let Some(root) = document(path, env, &schema, &mut faults) else { return Err(faults.sorted()) };
    match &root.nearest("state.dir").value {
        Value::Text(dir) if !dir.is_empty() => Ok(dir.into()),
        _ => Ok(raw::State::default().dir),
    }
}

/// systemd's folder of credentials, if this process has one.
fn credentials(env: &[(String, String)]) -> Option<PathBuf> {
    let folder = env.iter().find(|(name, folder)| name == "CREDENTIALS_DIRECTORY" && !folder.is_empty());
    folder.map(|(_, folder)| folder.into())
}

/// The file with the environment on top of it; nothing when the file can't be read.
fn document(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    schema: &serde_json::Value,
    faults: &mut Faults,
) -> Option<Node> {
    let mut root = Node::empty(Place::Nowhere);
    if let Some(path) = path {
        let file: Arc<Path> = path.into();
        match read(path) {
            Ok(text) => root = document::parse(&file, &text, faults),
            Err(reason) => faults.push(Place::File(file), "", Problem::Unreadable(reason)),
        }
    }
    if faults.list().is_empty() {
        overlay(&mut root, env, schema, faults);
        return Some(root);
    }
    environment_alone(env, schema, faults);
    None
}

/// Those faults of the environment that stand whatever the file says.
fn environment_alone(
    env: impl Iterator<Item = (String, String)>,
    schema: &serde_json::Value,
    faults: &mut Faults,
) {
    // Whether there is a second element to set is the file's to say.
    let later_element = |name: &str| name.split("__").any(|part| part.parse::<usize>().is_ok_and(|n| n > 0));
    let (mut root, mut found) = (Node::empty(Place::Nowhere), Faults::default());
    overlay(&mut root, env.filter(|(name, _)| !later_element(name)), schema, &mut found);
    schema::check(&root, schema, "", &mut found);
    for fault in found.list() {
        let missing = matches!(fault.problem, Problem::Missing { .. });
        if matches!(fault.place, Place::Variable(_)) && !missing {
            faults.push(fault.place.clone(), fault.key.clone(), fault.problem.clone());
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let open = std::fs::File::open(path).and_then(|f| f.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    open.map_err(|e| format!("can't be read: {e}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = without_mark(&bytes).map_err(|e| e.to_string())?.to_vec();
    String::from_utf8(text).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].split(|b| *b == b'\n').count();
        format!("is not UTF-8 text (line {line})")
    })
}

fn overlay(
    root: &mut Node,
    env: impl Iterator<Item = (String, String)>,
    schema: &serde_json::Value,
    faults: &mut Faults,
) {
    let mut variables: Vec<(String, Vec<String>, String)> = Vec::new();
    for (name, text) in env {
        if name == "STATE_DIRECTORY" {
            state_directory(root, &text);
        }
        let Some(path) = name.strip_prefix(VARIABLE_PREFIX).map(str::to_lowercase) else { continue };
        if !path.contains("__") {
            single_underscores(&name, &path, schema, faults);
            continue;
        }
        let path = path.split("__").map(str::to_owned).collect();
        variables.push((name, path, text));
    }
    // Elements in the order of their numbers, whatever the order of the environment.
    let order = |part: &String| (part.parse::<usize>().unwrap_or(0), part.clone());
    variables.sort_by_cached_key(|(_, path, _)| path.iter().map(order).collect::<Vec<_>>());
    for (name, path, text) in &variables {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if path.len() > VARIABLE_PARTS_MAX {
            let place = Place::Variable(name.as_str().into());
            faults.push(place, path[..VARIABLE_PARTS_MAX].join("."), Problem::UnknownKey { nearest: None });
            continue;
        }
        let wanted = schema::at(schema, &path);
        let is_text = wanted
            .is_none_or(|s| s["type"] == "string" || s.get("oneOf").is_some() || s.get("const").is_some());
        let meaning = if is_text { Meaning::Text } else { Meaning::Toml };
        document::overlay(root, name, &path, text, &meaning, faults);
    }
}

/// A link to the broker at `url`, for a user and the file with their password; the error says what is
/// wrong.
pub fn link_to(url: &str, credentials: (Option<&str>, Option<&Path>)) -> Result<link::Options, String> {
    validate::link_to(url, credentials)
}

/// The folder that systemd gives a service, as `STATE_DIRECTORY` says it: the first of a list.
pub fn first_state_directory(text: &str) -> Option<&str> {
    text.split(':').next().filter(|first| !first.is_empty())
}

/// The folder that systemd gives a service, unless the file names another one.
fn state_directory(root: &mut Node, text: &str) {
    let named = matches!(root.nearest("state.dir").value, Value::Text(_));
    if let Some(first) = first_state_directory(text)
        && !named
    {
        let mut unused = Faults::default();
        document::overlay(root, "STATE_DIRECTORY", &["state", "dir"], first, &Meaning::Text, &mut unused);
    }
}

/// A variable that begins like a section but has no `__` was meant for us and would be without effect.
fn single_underscores(name: &str, path: &str, schema: &serde_json::Value, faults: &mut Faults) {
    let sections = schema["properties"].as_object().into_iter().flatten().map(|(k, _)| k);
    let section = sections
        .filter(|s| path.strip_prefix(s.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('_')))
        .max_by_key(|s| s.len());
    let Some(section) = section else { return };
    let key = path[section.len()..].trim_start_matches('_').to_uppercase();
    let key = match key.split_once('_') {
        _ if key.is_empty() => "KEY".to_owned(),
        Some((index, rest)) if index.parse::<usize>().is_ok() => format!("{index}__{rest}"),
        _ => key,
    };
    let nearest = Some(format!("{VARIABLE_PREFIX}{}__{key}", section.to_uppercase()));
    faults.push(Place::Variable(name.into()), path, Problem::UnknownKey { nearest });
}

/// The whole configuration as TOML, defaults filled in, secrets hidden.
///
/// The error is one of ours: every value of these structs has a TOML form.
pub fn effective(loaded: &Loaded) -> Result<String, toml::ser::Error> {
    toml::to_string(&loaded.raw)
}

#[cfg(test)]
mod tests;
