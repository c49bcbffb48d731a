//! The files in `config/`: they load, and the annotated one tells the truth.

use serde_json::Value as Json;

use super::*;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[cfg(feature = "broker")]
#[test]
fn every_example_loads() {
    let mut pending = vec![example("")];
    let mut names = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Descriptions of networks are no configurations.
            if path.ends_with("models") {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            // A broker's own files lie beside them.
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let loaded = load(Some(&path), env(&[])).unwrap_or_else(|e| panic!("{e}"));
            names.push(loaded.config.camera.id.to_string());
        }
    }
    names.sort();
    assert_eq!(names, ["arm-1", "camera-1", "camera-1", "gate", "gate", "hall", "yard"]);
}

#[cfg(feature = "broker")]
#[test]
fn of_the_three_cameras_one_is_the_broker_and_all_may_talk_to_it() {
    let load = |name: &str| load(Some(&example(name)), env(&[])).unwrap().config;
    let cameras = ["gate", "yard", "hall"].map(|n| load(&format!("three-cameras/{n}.toml")));
    let brokers: Vec<_> = cameras.iter().filter_map(|c| c.broker.as_ref()).collect();
    assert_eq!(brokers.len(), 1);
    for camera in &cameras {
        let link = &camera.links[0].options;
        assert_eq!(link.port, brokers[0].listen.port());
        let user = link.credentials.as_ref().unwrap();
        let known = (user.username.clone(), user.password.clone().unwrap());
        assert!(brokers[0].users.contains(&known), "{link:?}");
    }
    let views = cameras.map(|c| match c.capture.kind {
        crate::capture::Kind::Synthetic(o) => (o.seed, o.cameras, o.index),
        other => panic!("{other:?}"),
    });
    assert_eq!(views, [(7, 3, 0), (7, 3, 1), (7, 3, 2)]);
}

#[cfg(feature = "broker")]
#[test]
fn the_dock_of_every_simulated_camera_is_where_the_plaza_has_it() {
    for name in
        ["omnisight.toml", "three-cameras/gate.toml", "three-cameras/yard.toml", "three-cameras/hall.toml"]
    {
        let zones = load(Some(&example(name)), env(&[])).unwrap().config.perception.zones;
        let dock = zones.iter().find(|zone| zone.name == "dock").unwrap();
        assert_eq!(dock.border_m.corners(), crate::capture::synthetic::DOCK_M, "{name}");
    }
}

/// The lines of one section of the annotated file, its header included, whether or not it is commented out.
fn section_lines(text: &str, section: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start_matches('#');
        if bare.starts_with('[') {
            inside = bare == format!("[{section}]") || bare == format!("[[{section}]]");
        }
        if inside {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Whether a line sets `key` to `value`, commented out as a default or not.
fn states(line: &str, key: &str, value: &Json) -> bool {
    let Some(table) = line.trim_start_matches('#').parse::<toml::Table>().ok() else { return false };
    let same = |found: &toml::Value| match (found.as_float(), value.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-12,
        _ => serde_json::to_value(found).ok().as_ref() == Some(value),
    };
    !line.starts_with("# ") && table.get(key).is_some_and(same)
}

#[test]
fn the_annotated_file_names_every_key_and_its_true_default() {
    let text = std::fs::read_to_string(example("omnisight.toml")).unwrap();
    let schema = schema();
    let mut defaults = 0;
    for (section, s) in schema["properties"].as_object().unwrap() {
        let lines = section_lines(&text, section);
        assert!(!lines.is_empty(), "[{section}] is missing");
        let s = s.get("items").unwrap_or(s);
        let branches = s["oneOf"].as_array().into_iter().flatten();
        let tables = std::iter::once(s).chain(branches);
        for (key, value) in tables.flat_map(|t| t["properties"].as_object().unwrap()) {
            let sets = |l: &String| l.trim_start_matches('#').starts_with(&format!("{key} = "));
            assert!(lines.iter().any(sets), "{section}.{key} is not in the annotated file");
            if let Some(default) = value.get("default") {
                assert!(
                    lines.iter().any(|l| states(l, key, default)),
                    "{section}.{key} = {default} is not told"
                );
                defaults += 1;
            }
            let inner = value["items"]["properties"].as_object().into_iter().flatten();
            for (name, _) in inner {
                assert!(
                    lines.iter().any(|l| l.contains(name.as_str())),
                    "{section}.{key}: {name} is not told"
                );
            }
        }
    }
    assert!(defaults > 40, "the schema has lost its defaults: {defaults}");
}

#[test]
fn the_annotated_file_sets_no_key_that_does_not_exist() {
    let text = std::fs::read_to_string(example("omnisight.toml")).unwrap();
    let schema = schema();
    let mut section = String::new();
    for line in text.lines().map(|l| l.strip_prefix('#').unwrap_or(l)) {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        }
        let Some((key, _)) = line.split_once(" = ").filter(|(k, _)| !k.contains(' ')) else { continue };
        let path: Vec<&str> = match section.as_str() {
            "zone" | "broker_link" => vec![&section, "0", key],
            _ => vec![&section, key],
        };
        assert!(schema::at(&schema, &path).is_some(), "{section}.{key} does not exist");
    }
}

#[test]
fn every_key_of_the_schema_is_described_and_closed() {
    fn walk(schema: &Json, path: &str, keys: &mut usize) {
        let closed = schema["additionalProperties"] == false || schema["unevaluatedProperties"] == false;
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            let told = value.get("description").is_some() || value.get("const").is_some();
            assert!(told, "{path} has no description");
            assert!(
                value.get("type").is_some_and(Json::is_string) || value.get("oneOf").is_some(),
                "{path}: {value}"
            );
            assert!(closed || path.starts_with(".capture."), "{path} is in an open table");
            walk(value, &path, keys);
            *keys += 1;
        }
        for branch in schema["oneOf"].as_array().into_iter().flatten() {
            walk(branch, path, keys);
        }
        if let Some(items) = schema.get("items") {
            walk(items, path, keys);
        }
    }
    let mut keys = 0;
    walk(&schema(), "", &mut keys);
    assert!(keys > 80, "{keys}");
}
