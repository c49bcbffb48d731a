//! The TOML file beside a model: what the network takes and gives.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::inference::network::{Color, Description, Error, Fault, INPUT_SIDE_MAX, Layout, Output};
use crate::model::{Class, Size};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    output: RawOutput,
    width: u32,
    height: u32,
    color: RawColor,
    #[serde(default)]
    layout: RawLayout,
    #[serde(default)]
    mean: [f32; 3],
    #[serde(default = "ones")]
    scale: [f32; 3],
    classes: Classes,
    clutter_score: f64,
    crops: Vec<f64>,
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOutput {
    Yolox,
    FastestDet,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawColor {
    Rgb,
    Bgr,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLayout {
    #[default]
    Nchw,
    Nhwc,
}

/// The indices of the network's classes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Classes {
    person: Vec<usize>,
    vehicle: Vec<usize>,
    animal: Vec<usize>,
    package: Vec<usize>,
    face: Vec<usize>,
}

/// Reads the description beside a model: `MODEL.toml` beside `MODEL.onnx`.
pub fn describe(model: &Path) -> Result<Description, Error> {
    let path = model.with_extension("toml");
    let bad = |what: String| Error::new(Fault::BadDescription, format!("{}: {what}", path.display()));
    let text = super::read(&path).map_err(|reason| {
        let what = "copy the model's description from config/models to it";
        bad(format!("{reason}; {what}"))
    })?;
    parse(&text).map_err(bad)
}

fn parse(text: &str) -> Result<Description, String> {
    let raw: Model = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let sides = 1..=INPUT_SIDE_MAX;
    if !sides.contains(&raw.width) || !sides.contains(&raw.height) {
        return Err(format!("width and height must be 1 to {INPUT_SIDE_MAX}"));
    }
    if !raw.mean.iter().chain(&raw.scale).all(|value| value.is_finite()) {
        return Err("mean and scale must be finite numbers".to_owned());
    }
    if !(0.001..=0.999).contains(&raw.clutter_score) {
        return Err("clutter_score must be 0.001 to 0.999".to_owned());
    }
    if raw.crops.is_empty() || !raw.crops.iter().all(|crop| (1.0..=20.0).contains(crop)) {
        return Err("crops must be one or more numbers from 1 to 20".to_owned());
    }
    let named = [
        (Class::Person, raw.classes.person),
        (Class::Vehicle, raw.classes.vehicle),
        (Class::Animal, raw.classes.animal),
        (Class::Package, raw.classes.package),
        (Class::Face, raw.classes.face),
    ];
    let mut classes = BTreeMap::new();
    for (class, indices) in named {
        for index in indices {
            if classes.insert(index, class).is_some() {
                return Err(format!("classes: {index} is there twice"));
            }
        }
    }
    if classes.is_empty() {
        return Err(
            "classes: at least one of person, vehicle, animal, package, face needs an index".to_owned()
        );
    }
    Ok(Description {
        output: match raw.output {
            RawOutput::Yolox => Output::Yolox,
            RawOutput::FastestDet => Output::FastestDet,
        },
        size: Size { width: raw.width, height: raw.height },
        color: match raw.color {
            RawColor::Rgb => Color::Rgb,
            RawColor::Bgr => Color::Bgr,
        },
        layout: match raw.layout {
            RawLayout::Nchw => Layout::Nchw,
            RawLayout::Nhwc => Layout::Nhwc,
        },
        mean: raw.mean,
        scale: raw.scale,
        classes,
        clutter_score: raw.clutter_score,
        crops: raw.crops,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config/models").join(name)
    }

    #[test]
    fn the_descriptions_that_come_along_are_read() {
        for (name, output, side) in
            [("yolox_nano.onnx", Output::Yolox, 416), ("fastestdet.onnx", Output::FastestDet, 352)]
        {
            let description = describe(&model(name)).unwrap();
            assert_eq!((description.output, description.size), (output, Size { width: side, height: side }));
            assert_eq!(description.classes[&0], Class::Person);
            assert_eq!(description.classes[&2], Class::Vehicle);
        }
    }

    #[test]
    fn what_is_wrong_in_a_description_is_named_with_its_file() {
        let good = std::fs::read_to_string(model("fastestdet.toml")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (from, to, named) in [
            ("output", "outptu", "unknown field `outptu`"),
            ("\"fastestdet\"", "\"yolo26\"", "unknown variant `yolo26`"),
            ("width = 352", "width = 0", "width and height must be 1 to 4096"),
            ("[2.5, 4.0]", "[]", "crops must be one or more"),
            ("clutter_score = 0.7", "clutter_score = 1.0", "clutter_score must be"),
            ("person = [0]", "person = [2]", "classes: 2 is there twice"),
            ("person = [0]", "people = [0]", "unknown field `people`"),
            ("0.00392157, 0.00392157", "inf, 1.0", "must be finite"),
            ("color = \"bgr\"\n", "", "missing field `color`"),
        ] {
            assert!(good.contains(from), "{from}");
            std::fs::write(folder.path().join("net.toml"), good.replacen(from, to, 1)).unwrap();
            let error = describe(&folder.path().join("net.onnx")).unwrap_err();
            assert_eq!(error.fault, Fault::BadDescription);
            assert!(error.reason.contains("net.toml") && error.reason.contains(named), "{error}");
        }
        let missing = describe(&folder.path().join("other.onnx")).unwrap_err();
        assert!(
            missing.reason.contains("other.toml") && missing.reason.contains("config/models"),
            "{missing}"
        );
    }
}
