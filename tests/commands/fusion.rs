//! `omnisight evaluate fusion` on a site that the test makes itself: four cameras around a plaza of 14 m, six
//! people who walk, whose boxes are what the cameras would see, at five frames a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nalgebra::{Matrix3, Vector3};
use tempfile::TempDir;

use crate::support::free_port;
use crate::support::mosquitto::Mosquitto;
use crate::support::program::{Finished, Program, omnisight};

const FRAMES: u32 = 100;
const FPS: f64 = 5.0;
const SIZE_PX: (f64, f64) = (1280.0, 720.0);
const FOCUS_PX: f64 = 800.0;
const PERSON_M: (f64, f64) = (0.5, 1.75);

/// Where somebody walks: on an ellipse about a place, with a phase.
const PEOPLE: [(f64, f64, f64, f64, f64); 6] = [
    (0.0, 0.0, 4.0, 2.0, 0.0),
    (0.0, 0.0, 4.0, 2.0, 3.1),
    (-3.0, 3.0, 1.5, 2.0, 1.0),
    (3.0, -3.0, 2.0, 1.5, 2.0),
    (3.0, 3.0, 1.2, 1.2, 4.0),
    (-3.0, -3.0, 1.6, 1.2, 5.0),
];

fn place(person: usize, frame: u32) -> (f64, f64) {
    let (x, y, rx, ry, phase) = PEOPLE[person];
    let angle = phase + 0.35 * f64::from(frame) / FPS;
    (x + rx * angle.cos(), y + ry * angle.sin())
}

/// A camera 4.5 m above a corner of the plaza, looking at its middle.
struct Camera {
    rotation: Matrix3<f64>,
    position: Vector3<f64>,
}

impl Camera {
    fn at(angle: f64) -> Self {
        let position = Vector3::new(10.0 * angle.cos(), 10.0 * angle.sin(), 4.5);
        let forward = (Vector3::new(0.0, 0.0, 0.5) - position).normalize();
        let right = forward.cross(&Vector3::z()).normalize();
        let down = forward.cross(&right);
        let rows = [right.transpose(), down.transpose(), forward.transpose()];
        Self { rotation: Matrix3::from_rows(&rows), position }
    }

    fn lens() -> Matrix3<f64> {
        Matrix3::new(FOCUS_PX, 0.0, SIZE_PX.0 / 2.0, 0.0, FOCUS_PX, SIZE_PX.1 / 2.0, 0.0, 0.0, 1.0)
    }

    fn pixel(&self, x: f64, y: f64, z: f64) -> (f64, f64) {
        let p = Self::lens() * self.rotation * (Vector3::new(x, y, z) - self.position);
        (p.x / p.z, p.y / p.z)
    }

    /// From pixels to metres on the ground.
    fn homography(&self) -> Matrix3<f64> {
        let shift = -self.rotation * self.position;
        let columns = [self.rotation.column(0).into_owned(), self.rotation.column(1).into_owned(), shift];
        (Self::lens() * Matrix3::from_columns(&columns)).try_inverse().unwrap()
    }

    /// The box of somebody: left, top, width, height; none outside the picture.
    fn sees(&self, (x, y): (f64, f64)) -> Option<[f64; 4]> {
        let (u, foot) = self.pixel(x, y, 0.0);
        let (over, head) = self.pixel(x, y, PERSON_M.1);
        // Upright people lean in the picture, away from the place below the camera.
        let girth = (foot - head) * PERSON_M.0 / PERSON_M.1;
        let (left, wide) = (u.min(over) - girth / 2.0, (u - over).abs() + girth);
        let inside = left >= 0.0 && left + wide <= SIZE_PX.0 && head >= 0.0 && foot <= SIZE_PX.1;
        inside.then_some([left, head, wide, foot - head])
    }

    fn write(&self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        let h = self.homography();
        let row = |r: usize| format!("[{:e},{:e},{:e}]", h[(r, 0)], h[(r, 1)], h[(r, 2)]);
        let about = format!(
            r#"{{"homography":[{},{},{}],"width":1280,"height":720,"fps":{FPS}}}"#,
            row(0),
            row(1),
            row(2)
        );
        fs::write(folder.join("camera.json"), about).unwrap();
        let mut rows = String::new();
        for frame in 1..=FRAMES {
            for person in 0..PEOPLE.len() {
                if let Some([left, top, wide, high]) = self.sees(place(person, frame)) {
                    writeln!(rows, "{frame},-1,{left:.1},{top:.1},{wide:.1},{high:.1},0.9,-1,-1,-1").unwrap();
                }
            }
        }
        fs::write(folder.join("det.txt"), rows).unwrap();
    }
}

struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..4 {
            let angle = std::f64::consts::FRAC_PI_4 + f64::from(i) * std::f64::consts::FRAC_PI_2;
            Camera::at(angle).write(&folder.path().join(format!("cam{i}")));
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn evaluate(&self, out: &str, more: &[&str]) -> Finished {
        let (dir, out) = (self.path(""), self.path(out));
        let arguments = [&["evaluate", "fusion", &dir, "--out", &out], more].concat();
        Program::finish(&mut omnisight(&arguments))
    }

    /// The rows of a result: frame, id, place.
    fn rows(&self, out: &str) -> Vec<(u32, u64, (f64, f64))> {
        let text = fs::read_to_string(self.path(out)).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("frame,id,x,y"));
        lines
            .map(|line| {
                let v: Vec<&str> = line.split(',').collect();
                let number = |i: usize| v[i].parse::<f64>().unwrap();
                (v[0].parse().unwrap(), v[1].parse().unwrap(), (number(2), number(3)))
            })
            .collect()
    }

    /// How many rows lie within half a metre of a person, and the ids that each person had, in order.
    fn judge(&self, out: &str) -> (usize, BTreeMap<usize, Vec<u64>>) {
        let mut near = 0;
        let mut ids: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (frame, id, (x, y)) in self.rows(out) {
            let off = |p: usize| (place(p, frame).0 - x).hypot(place(p, frame).1 - y);
            let best = (0..PEOPLE.len()).min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap();
            if off(best) < 0.5 {
                near += 1;
                let had = ids.entry(best).or_default();
                if had.last() != Some(&id) {
                    had.push(id);
                }
            }
        }
        (near, ids)
    }
}

#[test]
fn everybody_keeps_one_number_and_stands_where_they_are() {
    let site = Site::new();
    let done = site.evaluate("out.csv", &[]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let (near, ids) = site.judge("out.csv");
    let all = FRAMES as usize * PEOPLE.len();
    let rows = site.rows("out.csv").len();
    assert!(near * 100 >= all * 98 && rows - near <= all / 100, "{near} of {rows} rows near, {all} wanted");
    assert!(ids.len() == PEOPLE.len() && ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    let numbers: BTreeSet<u64> = ids.values().flatten().copied().collect();
    assert_eq!(numbers.len(), PEOPLE.len());
}

#[test]
fn faults_between_the_cameras_cost_little_and_the_same_seed_gives_the_same_rows() {
    let site = Site::new();
    let faults = ["--delay", "100ms", "--loss", "0.05", "--skew", "200ms", "--seed", "7"];
    for out in ["one.csv", "two.csv"] {
        let done = site.evaluate(out, &faults);
        assert_eq!(done.code, Some(0), "{}", done.err);
    }
    assert_eq!(site.rows("one.csv"), site.rows("two.csv"));
    let (near, ids) = site.judge("one.csv");
    let all = FRAMES as usize * PEOPLE.len();
    assert!(near * 100 >= all * 95, "{near} of {all}");
    assert!(ids.values().map(Vec::len).sum::<usize>() <= PEOPLE.len() + 2, "{ids:?}");
}

#[test]
fn a_liar_is_named_with_the_time_at_which_it_was_muted() {
    let site = Site::new();
    let done = site.evaluate("out.csv", &["--liars", "1"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let muted: Vec<&str> = done.out.lines().filter(|line| line.contains("since")).collect();
    assert_eq!(muted.len(), 1, "{}", done.out);
    let since: f64 = muted[0].split_whitespace().rev().nth(1).unwrap().parse().unwrap();
    assert!(since <= 10.0, "{}", muted[0]);
    let (near, _) = site.judge("out.csv");
    assert!(near * 100 >= FRAMES as usize * PEOPLE.len() * 95, "{near}");
}

#[test]
fn messages_that_travel_through_a_broker_give_the_same_rows() {
    let site = Site::new();
    let faults = ["--loss", "0.05", "--skew", "100ms"];
    assert_eq!(site.evaluate("memory.csv", &faults).code, Some(0));
    let wanted = site.rows("memory.csv");
    let through = |out: &str, more: &[&str]| {
        let arguments = [&faults[..], &["--transport", "mqtt"], more].concat();
        let done = site.evaluate(out, &arguments);
        assert_eq!(done.code, Some(0), "{}", done.err);
        assert!(site.rows(out) == wanted, "{out}");
    };
    if cfg!(feature = "broker") {
        through("own.csv", &[]);
    }
    if !Mosquitto::installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mosquitto = Mosquitto::start(folder.path(), port, "allow_anonymous true\n");
    through("mosquitto.csv", &["--broker", &format!("mqtt://127.0.0.1:{port}")]);
    mosquitto.terminate();
}

#[test]
fn without_a_broker_the_transport_fails_by_name() {
    let site = Site::new();
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    let done = site.evaluate("out.csv", &["--transport", "mqtt", "--broker", &broker]);
    assert_eq!(done.code, Some(69), "{}", done.err);
    assert!(done.err.contains("cam0 at the broker"), "{}", done.err);
}

#[test]
fn explain_says_row_by_row_who_saw_somebody_and_the_picture_shows_cameras_and_ways() {
    let site = Site::new();
    site.evaluate("first.csv", &[]);
    let id = site.rows("first.csv")[0].1.to_string();
    let svg = site.path("site.svg");
    let done = site.evaluate("out.csv", &["--explain", &id, "--svg", &svg]);
    let told = done.out.lines().filter(|line| line.contains("seen") && line.contains("cam0/")).count();
    assert!(told > 50, "{}", done.out);
    let picture = fs::read_to_string(svg).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    assert!((0..4).all(|i| picture.contains(&format!(">cam{i}</text>"))));
    assert_eq!(picture.matches("<polyline").count(), PEOPLE.len());
}

#[test]
fn a_folder_without_cameras_and_one_with_a_broken_camera_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let done = Program::finish(&mut omnisight(&["evaluate", "fusion", path, "--out", "/dev/null"]));
    assert_eq!(done.code, Some(64), "{}", done.err);
    assert!(done.err.contains("holds no folder with a det.txt"), "{}", done.err);
    let site = Site::new();
    fs::write(site.path("cam2/camera.json"), "{}").unwrap();
    let done = site.evaluate("out.csv", &[]);
    assert!(done.code != Some(0) && done.err.contains("cam2/camera.json"), "{}", done.err);
}

#[test]
#[ignore = "writes .github/site.svg, the picture in the README"]
fn the_picture_of_the_readme_is_made_of_this_site() {
    let site = Site::new();
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/.github/site.svg");
    let done = site.evaluate("out.csv", &["--svg", picture]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(fs::metadata(picture).unwrap().len() < 100_000);
}
