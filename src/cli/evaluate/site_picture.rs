//! The site as a drawing: footprints, the ways of the people, and who saw them.
//!
//! An SVG in metres, y up. The way of each person is a line of its own colour, thicker the more cameras
//! saw them; dots beside it, one for each camera in the colour of its footprint, say which. Drawn is at
//! most [`TRAILS_MAX`] people of [`POINTS_MAX`] points.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::model::{CameraId, Point, Polygon};
use crate::swarm::fusion::Person;

/// People that are drawn; later ones are left out.
const TRAILS_MAX: usize = 2_000;
/// Points of one way.
const POINTS_MAX: usize = 20_000;
/// Every so many points the witnesses are shown.
const WITNESSES_EVERY: usize = 4;
/// Room around the ways, metres.
const MARGIN_M: f64 = 3.0;
/// Pixels to a metre.
const SCALE: f64 = 24.0;
/// Colours of the cameras: dark enough on white, apart for most eyes (Okabe & Ito, 2008).
const COLORS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a4fa3", "#555555"];

/// Where people were, and who saw them there.
#[derive(Debug, Default)]
pub(super) struct Trails {
    people: BTreeMap<u64, Vec<(Point, Vec<CameraId>)>>,
}

impl Trails {
    /// Takes one row of the table.
    pub(super) fn observe(&mut self, table: &[Person]) {
        for p in table {
            if self.people.len() >= TRAILS_MAX && !self.people.contains_key(&p.global_id) {
                continue;
            }
            let trail = self.people.entry(p.global_id).or_default();
            if trail.len() < POINTS_MAX {
                trail.push((p.position_m, p.seen_by.iter().map(|w| w.camera.clone()).collect()));
            }
        }
    }

    /// The drawing.
    pub(super) fn draw(&self, cameras: &[(CameraId, Option<Polygon>)]) -> String {
        let points = || self.people.values().flatten().map(|(p, _)| *p);
        let least = points()
            .fold(Point::new(f64::INFINITY, f64::INFINITY), |a, p| Point::new(a.x.min(p.x), a.y.min(p.y)));
        let most = points().fold(Point::new(f64::NEG_INFINITY, f64::NEG_INFINITY), |a, p| {
            Point::new(a.x.max(p.x), a.y.max(p.y))
        });
        if least.x > most.x {
            return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\"/>".to_owned();
        }
        let (least, most) = (least - Point::new(MARGIN_M, MARGIN_M), most + Point::new(MARGIN_M, MARGIN_M));
        let size = most - least;
        let at = |p: Point| ((p.x - least.x) * SCALE, (most.y - p.y) * SCALE);
        let (width, height) = (size.x * SCALE, size.y * SCALE + 34.0);
        let mut svg = String::new();
        // Writing to a string can't fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             font-family=\"sans-serif\" font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
        );
        grid(&mut svg, least, most, at);
        for (i, (id, footprint)) in cameras.iter().enumerate() {
            let color = COLORS[i % COLORS.len()];
            if let Some(footprint) = footprint {
                let corners: Vec<String> = footprint
                    .corners()
                    .iter()
                    .map(|c| at(*c))
                    .map(|(x, y)| format!("{x:.1},{y:.1}"))
                    .collect();
                let _ = write!(
                    svg,
                    "<polygon points=\"{}\" fill=\"{color}\" fill-opacity=\"0.04\" stroke=\"{color}\" stroke-opacity=\"0.6\"/>",
                    corners.join(" ")
                );
            }
            let (x, y) = (10.0 + 90.0 * i as f64, size.y * SCALE + 22.0);
            let _ = write!(
                svg,
                "<circle cx=\"{x:.0}\" cy=\"{:.0}\" r=\"5\" fill=\"{color}\"/><text x=\"{:.0}\" y=\"{y:.0}\">{id}</text>",
                y - 4.0,
                x + 9.0
            );
        }
        for (id, trail) in &self.people {
            let hue = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 360;
            for pair in trail.windows(2) {
                let ((ax, ay), (bx, by)) = (at(pair[0].0), at(pair[1].0));
                let wide = 1.0 + 0.5 * pair[1].1.len() as f64;
                let _ = write!(
                    svg,
                    "<line x1=\"{ax:.1}\" y1=\"{ay:.1}\" x2=\"{bx:.1}\" y2=\"{by:.1}\" stroke=\"hsl({hue},70%,40%)\" \
                     stroke-width=\"{wide:.1}\" stroke-linecap=\"round\" stroke-opacity=\"0.7\"/>"
                );
            }
            for (point, witnesses) in trail.iter().step_by(WITNESSES_EVERY) {
                let (x, y) = at(*point);
                for (i, _) in cameras.iter().enumerate().filter(|(_, (c, _))| witnesses.contains(c)) {
                    let angle = i as f64 / cameras.len() as f64 * std::f64::consts::TAU;
                    let (dx, dy) = (5.0 * angle.cos(), 5.0 * angle.sin());
                    let color = COLORS[i % COLORS.len()];
                    let _ = write!(
                        svg,
                        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"1.8\" fill=\"{color}\"/>",
                        x + dx,
                        y + dy
                    );
                }
            }
        }
        svg.push_str("</svg>");
        svg
    }
}

/// A line every five metres, and what it stands for.
fn grid(svg: &mut String, least: Point, most: Point, at: impl Fn(Point) -> (f64, f64)) {
    const EVERY_M: f64 = 5.0;
    let steps = |from: f64, to: f64| {
        (0..)
            .map(move |i| (from / EVERY_M).ceil() * EVERY_M + EVERY_M * f64::from(i))
            .take_while(move |v| *v <= to)
    };
    let mut line = |a: Point, b: Point, label: f64| {
        let ((ax, ay), (bx, by)) = (at(a), at(b));
        let _ = write!(
            svg,
            "<line x1=\"{ax:.1}\" y1=\"{ay:.1}\" x2=\"{bx:.1}\" y2=\"{by:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#999\" font-size=\"10\">{label:.0} m</text>",
            ax + 2.0,
            ay - 2.0
        );
    };
    for x in steps(least.x, most.x) {
        line(Point::new(x, least.y), Point::new(x, most.y), x);
    }
    for y in steps(least.y, most.y) {
        line(Point::new(least.x, y), Point::new(most.x, y), y);
    }
}
