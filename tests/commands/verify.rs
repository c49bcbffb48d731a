//! `[detector] verify`: networks and libraries that are missing or wrong, and networks that find nothing or a person.
//!
//! The networks are written here, byte by byte: one node that gives the same boxes for every picture. What needs ONNX Runtime
//! is skipped unless `ORT_DYLIB_PATH` names its library. Needs ffmpeg, as the program itself does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::program::{Finished, Program, omnisight};

const DESCRIPTION: &str = "output = \"yolox\"\nwidth = 64\nheight = 64\ncolor = \"bgr\"\nclutter_score = 0.25\ncrops = [4.0]\n\
                           [classes]\nperson = [0]\n";
/// Cells of the grids of strides 8, 16 and 32 in 64 x 64 pixels.
const CELLS: usize = 64 + 16 + 4;

/// Past the test harness, which keeps what a passing test prints.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Makes a video of a white box that walks over a gray ground, or says why not.
fn made(file: &Path) -> bool {
    let ground = "color=gray:size=160x120:rate=10:duration=8";
    let walker = "color=white:size=16x40:rate=10:duration=8";
    let walk = "[0][1]overlay=x='if(lt(t,4),-100,(t-4)*40)':y=50";
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-y", "-f", "lavfi", "-i", ground, "-f", "lavfi", "-i", walker]);
    command.args(["-filter_complex", walk, "-pix_fmt", "yuv420p"]).arg(file).stdin(Stdio::null());
    let Ok(status) = command.status() else {
        skipped("ffmpeg not installed");
        return false;
    };
    assert!(status.success(), "ffmpeg can't make {}", file.display());
    true
}

/// A field of a protobuf message that holds bytes.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend(content);
    message
}

/// One that holds a small number.
fn number(field: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80);
    vec![field << 3, value]
}

/// A `ValueInfoProto` of 32-bit floats; 0 is an axis of any length.
fn value(name: &str, shape: &[u8]) -> Vec<u8> {
    let dimension = |&n: &u8| bytes(1, &if n == 0 { bytes(2, b"n") } else { number(1, n) });
    let shape: Vec<u8> = shape.iter().flat_map(dimension).collect();
    let tensor = [number(1, 1), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// A `ModelProto` whose output is `boxes` whatever the input.
fn model(input: &[u8], boxes: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = boxes.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = [1, CELLS as u8, 6];
    let dimensions: Vec<u8> = shape.iter().flat_map(|&n| number(1, n)).collect();
    let constant = [dimensions, number(2, 1), bytes(8, b"boxes"), bytes(9, &raw)].concat();
    let node = [bytes(1, b"boxes"), bytes(2, b"output"), bytes(4, b"Identity")].concat();
    let graph = [
        bytes(1, &node),
        bytes(2, b"graph"),
        bytes(5, &constant),
        bytes(11, &value("images", input)),
        bytes(12, &value("output", &shape)),
    ];
    [number(1, 8), bytes(7, &graph.concat()), bytes(8, &number(2, 13))].concat()
}

/// A box in the middle of the picture with this score.
fn boxes(score: f32) -> Vec<f32> {
    let mut boxes = vec![0.0; CELLS * 6];
    boxes[36 * 6..37 * 6].copy_from_slice(&[0.0, 0.0, 0.8_f32.ln(), 2.0_f32.ln(), 1.0, score]);
    boxes
}

/// A folder with a video, a model and its description.
fn folder(model: &[u8]) -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    if !made(&folder.path().join("walk.mp4")) {
        return None;
    }
    std::fs::write(folder.path().join("net.onnx"), model).unwrap();
    std::fs::write(folder.path().join("net.toml"), DESCRIPTION).unwrap();
    Some(folder)
}

/// Replays the video, with these keys of `[detector]`.
fn replay(folder: &Path, detector: &str) -> Finished {
    let config = format!(
        "[camera]\nid = \"a\"\n[capture]\nkind = \"video\"\ninput = \"walk.mp4\"\n[detector]\n{detector}\n"
    );
    std::fs::write(folder.join("camera.toml"), config).unwrap();
    let arguments = ["replay", "walk.mp4", "--config", "camera.toml", "--out", "out.txt"];
    Program::finish(omnisight(&arguments).current_dir(folder))
}

fn rows(finished: &Finished) -> u32 {
    let rows = finished.out.split(", ").nth(1).and_then(|part| part.split(' ').next()?.parse().ok());
    rows.unwrap_or_else(|| panic!("{finished:?}"))
}

const VERIFY: &str = "verify = \"net.onnx\"";

/// The path of ONNX Runtime, if there is one.
fn library() -> Option<String> {
    let path = std::env::var("ORT_DYLIB_PATH").ok().filter(|path| !path.is_empty());
    if path.is_none() {
        skipped("ORT_DYLIB_PATH names no ONNX Runtime");
    }
    path
}

#[test]
fn without_a_library_a_model_or_its_description_tracks_are_as_before_and_the_reason_is_given_once() {
    let Some(folder) = folder(&model(&[1, 3, 64, 64], &boxes(0.0))) else { return };
    let without = rows(&replay(folder.path(), ""));
    assert!(without > 10, "{without}");
    std::fs::write(folder.path().join("junk.so"), "no library").unwrap();
    std::fs::write(folder.path().join("alone.onnx"), "no model").unwrap();
    std::fs::write(folder.path().join("wrong.toml"), "outptu = 1").unwrap();
    for (keys, reason) in [
        ("verify = \"net.onnx\"\nonnxruntime = \"/no/such/libonnxruntime.so\"", "/no/such/libonnxruntime.so"),
        ("verify = \"net.onnx\"\nonnxruntime = \"junk.so\"", "junk.so"),
        ("verify = \"alone.onnx\"", "alone.toml"),
        ("verify = \"wrong.onnx\"", "outptu"),
    ] {
        let finished = replay(folder.path(), keys);
        assert_eq!((finished.code, rows(&finished)), (Some(0), without), "{keys}: {finished:?}");
        let told = finished.err.lines().filter(|line| line.contains("second look unavailable")).count();
        assert!(told == 1 && finished.err.contains(reason), "{keys}: {finished:?}");
    }
}

#[test]
fn a_network_that_finds_nothing_confirms_nothing_and_one_that_finds_a_person_does() {
    if library().is_none() {
        return;
    }
    let Some(folder) = folder(&model(&[1, 3, 64, 64], &boxes(0.0))) else { return };
    let without = rows(&replay(folder.path(), ""));
    let nothing = replay(folder.path(), VERIFY);
    assert_eq!((nothing.code, rows(&nothing)), (Some(0), 0), "{nothing:?}");
    // Fixed and dynamic axes.
    for input in [[1, 3, 64, 64], [0, 3, 0, 0]] {
        std::fs::write(folder.path().join("net.onnx"), model(&input, &boxes(0.9))).unwrap();
        let person = replay(folder.path(), VERIFY);
        assert!(rows(&person) + 2 >= without, "{without}: {person:?}");
    }
}

#[test]
fn models_that_are_truncated_of_another_shape_or_give_nan_are_named_and_tracks_are_as_before() {
    if library().is_none() {
        return;
    }
    let good = model(&[1, 3, 64, 64], &boxes(0.0));
    let Some(folder) = folder(&good) else { return };
    let without = rows(&replay(folder.path(), ""));
    let other = [
        &good[..good.len() / 2],
        &[],
        &model(&[1, 3, 32, 32], &boxes(0.0)),
        &model(&[1, 3, 64, 64], &boxes(f32::NAN)),
    ];
    let reasons = ["is no usable model", "is no usable model", "takes [1, 3, 32, 32]", "no numbers"];
    for (bytes, reason) in other.into_iter().zip(reasons) {
        std::fs::write(folder.path().join("net.onnx"), bytes).unwrap();
        let finished = replay(folder.path(), VERIFY);
        assert_eq!((finished.code, rows(&finished)), (Some(0), without), "{reason}: {finished:?}");
        assert!(finished.err.contains(reason), "{reason}: {finished:?}");
    }
}
