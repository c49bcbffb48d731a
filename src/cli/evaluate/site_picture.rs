//! The site as a drawing: footprints, the ways of the people, and who saw them.
//!
//! An SVG of the ground that people walked on, y up. The way of each person is a line of a colour of its
//! own that begins with a ring; dots around it, one for each camera in the colour of its footprint and
//! always on the same side, say who saw them there. Drawn are at most [`TRAILS_MAX`] people of [`POINTS_MAX`] points.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::model::{CameraId, Point, Polygon};
use crate::swarm::fusion::Person;

/// People that are drawn; later ones are left out.
const TRAILS_MAX: usize = 2_000;
/// Points of one way.
const POINTS_MAX: usize = 20_000;
/// The witnesses are shown after so much of a way, metres.
const WITNESSES_EVERY_M: f64 = 1.0;
/// Between two lines of the grid, metres.
const GRID_M: f64 = 5.0;
/// Height of what stands below the map, pixels.
const LEGEND_PX: f64 = 30.0;
/// Room around the ways, metres.
const MARGIN_M: f64 = 2.0;
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
        let Some(map) = Map::around(self.people.values().flatten().map(|(p, _)| *p)) else {
            return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\"/>".to_owned();
        };
        let (width, height) = (map.width_px(), map.height_px());
        let mut svg = String::new();
        // Writing to a string can't fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{:.0}\" font-family=\"sans-serif\" \
             font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><clipPath id=\"map\">\
             <rect width=\"{width:.0}\" height=\"{height:.0}\"/></clipPath><g clip-path=\"url(#map)\">",
            height + LEGEND_PX
        );
        map.grid(&mut svg);
        for (i, footprint) in cameras.iter().enumerate().filter_map(|(i, (_, f))| Some((i, f.as_ref()?))) {
            let color = COLORS[i % COLORS.len()];
            let corners = map.points(footprint.corners().iter().copied());
            let _ = write!(
                svg,
                "<polygon points=\"{corners}\" fill=\"{color}\" fill-opacity=\"0.05\" stroke=\"{color}\" \
                 stroke-opacity=\"0.7\" stroke-dasharray=\"6 4\"/>"
            );
        }
        for (id, trail) in &self.people {
            way(&mut svg, &map, *id, trail, cameras);
        }
        let _ = write!(
            svg,
            "</g><rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"none\" stroke=\"#bbb\"/>"
        );
        legend(&mut svg, height, cameras);
        svg.push_str("</svg>");
        svg
    }
}

/// A part of the ground, and where it is in the picture.
struct Map {
    least: Point,
    most: Point,
}

impl Map {
    /// All these places with a margin; none of no place.
    fn around(places: impl Iterator<Item = Point>) -> Option<Self> {
        let all = places.fold(None, |all: Option<(Point, Point)>, p| {
            let (a, b) = all.unwrap_or((p, p));
            Some((Point::new(a.x.min(p.x), a.y.min(p.y)), Point::new(b.x.max(p.x), b.y.max(p.y))))
        });
        let margin = Point::new(MARGIN_M, MARGIN_M);
        all.map(|(least, most)| Self { least: least - margin, most: most + margin })
    }

    fn width_px(&self) -> f64 {
        (self.most.x - self.least.x) * SCALE
    }

    fn height_px(&self) -> f64 {
        (self.most.y - self.least.y) * SCALE
    }

    fn at(&self, p: Point) -> (f64, f64) {
        ((p.x - self.least.x) * SCALE, (self.most.y - p.y) * SCALE)
    }

    /// A list of places as SVG wants it.
    fn points(&self, places: impl Iterator<Item = Point>) -> String {
        let mut text = String::new();
        for (x, y) in places.map(|p| self.at(p)) {
            let _ = write!(text, "{x:.1},{y:.1} ");
        }
        text
    }

    /// A line every five metres, and what it stands for.
    fn grid(&self, svg: &mut String) {
        let steps = |from: f64, to: f64| {
            let first = (from / GRID_M).ceil() * GRID_M;
            (0..).map(move |i| first + GRID_M * f64::from(i)).take_while(move |v| *v <= to)
        };
        let mut line = |a: Point, b: Point, label: f64| {
            let ((ax, ay), (bx, by)) = (self.at(a), self.at(b));
            let _ = write!(
                svg,
                "<line x1=\"{ax:.1}\" y1=\"{ay:.1}\" x2=\"{bx:.1}\" y2=\"{by:.1}\" stroke=\"#e4e4e4\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#999\" font-size=\"10\">{label:.0} m</text>",
                ax + 3.0,
                ay - 3.0
            );
        };
        for x in steps(self.least.x, self.most.x) {
            line(Point::new(x, self.least.y), Point::new(x, self.most.y), x);
        }
        for y in steps(self.least.y, self.most.y) {
            line(Point::new(self.least.x, y), Point::new(self.most.x, y), y);
        }
    }
}

/// One person's way, with a ring where it begins, and now and then who saw them.
fn way(
    svg: &mut String,
    map: &Map,
    id: u64,
    trail: &[(Point, Vec<CameraId>)],
    cameras: &[(CameraId, Option<Polygon>)],
) {
    let hue = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 360;
    let Some((x, y)) = trail.first().map(|(p, _)| map.at(*p)) else { return };
    let points = map.points(trail.iter().map(|(p, _)| *p));
    let _ = write!(
        svg,
        "<g stroke=\"hsl({hue},65%,38%)\" fill=\"none\" stroke-width=\"2\"><title>{id}</title>\
         <polyline points=\"{points}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\
         <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#fff\"/></g>"
    );
    let mut shown: Option<Point> = None;
    for (point, witnesses) in trail {
        if shown.is_some_and(|before| (*point - before).norm() < WITNESSES_EVERY_M) {
            continue;
        }
        shown = Some(*point);
        let (x, y) = map.at(*point);
        for (i, _) in cameras.iter().enumerate().filter(|(_, (c, _))| witnesses.contains(c)) {
            let angle = i as f64 / cameras.len() as f64 * std::f64::consts::TAU;
            let color = COLORS[i % COLORS.len()];
            let (x, y) = (x + 6.0 * angle.cos(), y + 6.0 * angle.sin());
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{color}\"/>");
        }
    }
}

/// Which colour is which camera, below the map.
fn legend(svg: &mut String, top: f64, cameras: &[(CameraId, Option<Polygon>)]) {
    let y = top + LEGEND_PX / 2.0;
    let mut x = 10.0;
    for (i, (id, _)) in cameras.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let _ = write!(
            svg,
            "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"5\" fill=\"{color}\"/><text x=\"{:.0}\" y=\"{:.0}\">{id}</text>",
            x + 9.0,
            y + 4.0
        );
        x += 30.0 + 7.5 * id.as_str().len() as f64;
    }
}
