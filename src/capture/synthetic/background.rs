//! The empty plaza as one camera sees it, traced once when the camera starts.
//!
//! Every pixel is the mean of four rays; each meets the ground or a solid of the stage, takes its
//! colour there, and is in shadow where something stands between it and the sun. The depth beside
//! the picture tells what stands in front of a moving thing. Takes a fraction of a second.

use nalgebra::Vector3;

use super::raster::Color;
use super::stage::{self, Material, Shape, Solid};
use super::view::View;
use super::world::mix;
use crate::model::{Chroma, Image, Point};

/// The empty plaza.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) image: Image,
    /// Distance of what stands there along the line of sight; infinite for the ground.
    pub(super) depth_m: Vec<f32>,
}

/// Traces the stage.
pub(super) fn trace(view: &View) -> Background {
    let (w, h) = (view.size.width as usize, view.size.height as usize);
    let mut colors = vec![[0.0f32; 3]; w * h];
    let mut depth_m = vec![f32::INFINITY; w * h];
    for (i, (color, depth)) in colors.iter_mut().zip(&mut depth_m).enumerate() {
        let (u, v) = ((i % w) as f64, (i / w) as f64);
        for (n, (du, dv)) in [(0.25, 0.3), (0.75, 0.2), (0.2, 0.75), (0.7, 0.8)].into_iter().enumerate() {
            let (sample, at_m) = look(view, u + du, v + dv, n);
            *depth = depth.min(at_m);
            for (sum, part) in color.iter_mut().zip(sample) {
                *sum += part * 0.25;
            }
        }
        let off = ((u / w as f64 - 0.5).powi(2) + (v / h as f64 - 0.5).powi(2)) as f32;
        *color = color.map(|c| c * (1.04 - 0.28 * off));
    }
    Background { image: to_image(view, &colors), depth_m }
}

fn to_image(view: &View, colors: &[[f32; 3]]) -> Image {
    let mut image = Image::default();
    image.reset(view.size, Chroma::C420);
    let w = view.size.width as usize;
    let chroma = Chroma::C420.plane_size(view.size);
    let [luma, cb, cr] = image.planes_mut();
    for (y, &rgb) in luma.iter_mut().zip(colors) {
        *y = Color::rgb(rgb).y as u8;
    }
    let chroma_width = chroma.width as usize;
    for (i, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
        let (x, y) = (i % chroma_width * 2, i / chroma_width * 2);
        let color = Color::rgb(colors[y * w + x]);
        (*cb, *cr) = (color.cb as u8, color.cr as u8);
    }
    image
}

/// A ray, with what is asked of it for every solid worked out once.
struct Ray {
    from: Vector3<f64>,
    along: Vector3<f64>,
    inverse: Vector3<f64>,
}

impl Ray {
    fn new(from: Vector3<f64>, along: Vector3<f64>) -> Self {
        Self { from, along, inverse: along.map(|d| 1.0 / d) }
    }

    /// What it meets first: distance in ray lengths, normal, material.
    fn first(&self) -> Option<(f64, Vector3<f64>, Material)> {
        let hits = stage::SOLIDS.iter().filter_map(|s| self.meet(s).map(|(t, n)| (t, n, s.material)));
        hits.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn is_free(&self) -> bool {
        stage::SOLIDS.iter().all(|s| self.meet(s).is_none())
    }

    fn meet(&self, solid: &Solid) -> Option<(f64, Vector3<f64>)> {
        match solid.shape {
            Shape::Box(low, high) => {
                let (mut enter, mut leave, mut axis) = (f64::NEG_INFINITY, f64::INFINITY, 0);
                for i in 0..3 {
                    let a = (low[i] - self.from[i]) * self.inverse[i];
                    let b = (high[i] - self.from[i]) * self.inverse[i];
                    if a.min(b) > enter {
                        (enter, axis) = (a.min(b), i);
                    }
                    leave = leave.min(a.max(b));
                }
                if enter <= 1e-6 || enter > leave {
                    return None;
                }
                let mut normal = Vector3::zeros();
                normal[axis] = -self.along[axis].signum();
                Some((enter, normal))
            }
            Shape::Ellipsoid(middle, axes) => {
                let scale = |v: Vector3<f64>| v.component_div(&stage::vector(axes));
                let (o, d) = (scale(self.from - stage::vector(middle)), scale(self.along));
                let (a, b, c) = (d.dot(&d), o.dot(&d), o.dot(&o) - 1.0);
                let root = b * b - a * c;
                let t = (-b - root.max(0.0).sqrt()) / a;
                (root > 0.0 && t > 1e-6).then(|| (t, scale(o + d * t).normalize()))
            }
        }
    }
}

fn look(view: &View, u: f64, v: f64, sample: usize) -> ([f32; 3], f32) {
    let ray = view.ray(u, v);
    let ground_t = -view.position.z / ray.z;
    let found = Ray::new(view.position, ray).first().filter(|found| found.0 < ground_t);
    let (t, normal, material) = match found {
        Some((t, normal, material)) => (t, normal, Some(material)),
        None => (ground_t, Vector3::z(), None),
    };
    let p = view.position + ray * t;
    // The four rays see the sun at four places of its disc: shadows get a soft edge.
    let soft = [-0.03, 0.03, 0.01, -0.01][sample];
    let sun = Vector3::new(-stage::SHADOW[0] + soft, -stage::SHADOW[1] - soft, 1.0);
    let lit = normal.dot(&sun) > 0.0 && Ray::new(p + normal * 0.003, sun).is_free();
    let direct = if lit { 0.38 * normal.dot(&sun) / sun.norm() } else { 0.0 };
    // The sky lights what faces up more than what faces sideways.
    let ambient = 0.56 + 0.08 * normal.z;
    let light = (ambient + direct) as f32;
    let color = match material {
        Some(material) => solid_color(material, p, normal),
        None => ground_color(Point::new(p.x, p.y), t),
    };
    (color.map(|c| c * light), if material.is_some() { t as f32 } else { f32::INFINITY })
}

/// A number of 0..1 that belongs to a cell of a grid.
fn hash(i: i64, j: i64, salt: u64) -> f32 {
    (mix(i as u64 ^ mix(j as u64 ^ mix(salt))) >> 40) as f32 / (1u32 << 24) as f32
}

/// Smooth noise of -0.5..0.5 with features of `size_m`.
fn mottle(p: Point, size_m: f64, salt: u64) -> f32 {
    let (x, y) = (p.x / size_m, p.y / size_m);
    let (i, j) = (x.floor(), y.floor());
    let smooth = |t: f64| (t * t * (3.0 - 2.0 * t)) as f32;
    let (fx, fy) = (smooth(x - i), smooth(y - j));
    let at = |di: i64, dj: i64| hash(i as i64 + di, j as i64 + dj, salt);
    let low = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
    let high = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
    low + (high - low) * fy - 0.5
}

fn gray(rgb: [f32; 3], by: f32) -> [f32; 3] {
    rgb.map(|c| c * by)
}

fn ground_color(p: Point, distance_m: f64) -> [f32; 3] {
    let off_street = (p.y - stage::STREET_Y_M).abs() - stage::STREET_HALF_M;
    let grain = 1.0 + 0.05 * mottle(p, 1.7, 1) + 0.07 * mottle(p, 0.13, 2) + 0.05 * mottle(p, 0.45, 6);
    if off_street < 0.0 {
        let dash = (p.y - stage::STREET_Y_M).abs() < 0.06 && p.x.rem_euclid(3.0) < 1.5;
        let asphalt = if dash { [196.0, 195.0, 190.0] } else { [112.0, 113.0, 117.0] };
        return gray(asphalt, grain + 0.05 * mottle(p, 0.6, 3));
    }
    if off_street < 0.18 {
        return gray([188.0, 186.0, 181.0], grain);
    }
    let [a, _, c, _] = stage::DOCK_M;
    let inside = (p.x - a.x).min(c.x - p.x).min(p.y - a.y).min(c.y - p.y);
    let hatch = inside > 0.0 && (inside < 0.12 || (p.x + p.y).rem_euclid(0.9) < 0.16);
    let worn = 0.75 + 0.4 * mottle(p, 0.35, 4);
    let base = paving(p, distance_m);
    let paint = [198.0, 172.0, 96.0];
    let mixed: [f32; 3] =
        std::array::from_fn(|i| if hatch { base[i] + (paint[i] - base[i]) * worn } else { base[i] });
    gray(mixed, grain)
}

/// Slabs of 1.2 by 0.6 m, every second row shifted by half a slab.
fn paving(p: Point, distance_m: f64) -> [f32; 3] {
    let row = (p.y / 0.6).floor();
    let x = p.x + if row.rem_euclid(2.0) < 1.0 { 0.6 } else { 0.0 };
    let column = (x / 1.2).floor();
    let joint = (x - column * 1.2).min(p.y - row * 0.6);
    let tone = 1.0 + 0.09 * (hash(column as i64, row as i64, 5) - 0.5);
    // Far joints are finer than a pixel and would only flicker.
    let deep = (0.2 * (1.0 - (distance_m - 8.0) / 16.0)).clamp(0.04, 0.2) as f32;
    let tone = if joint < 0.03 { tone * (1.0 - deep) } else { tone };
    gray([184.0, 177.0, 166.0], tone)
}

fn solid_color(material: Material, p: Vector3<f64>, normal: Vector3<f64>) -> [f32; 3] {
    // On an upright face: along it, and up.
    let face = Point::new(if normal.x.abs() > 0.5 { p.y } else { p.x }, p.z);
    match material {
        Material::Wall => wall(p, face),
        Material::Concrete => gray([172.0, 171.0, 166.0], 1.0 + 0.08 * mottle(face, 0.2, 7)),
        Material::Leaves => {
            let leaf = mottle(Point::new(p.x + p.z, p.y - p.z), 0.09, 8) + mottle(face, 0.25, 9);
            gray([88.0, 118.0, 72.0], 1.0 + 0.55 * leaf)
        }
        Material::Kiosk => {
            let window = (0.95..1.75).contains(&p.z) && face.x.rem_euclid(1.1) > 0.15;
            if window { [84.0, 98.0, 104.0] } else { [124.0, 146.0, 138.0] }
        }
        Material::Roof => gray([150.0, 146.0, 140.0], 1.0 + 0.06 * mottle(Point::new(p.x, p.y), 0.3, 10)),
        Material::Wood => {
            gray([146.0, 112.0, 80.0], if (p.y * 9.0).rem_euclid(1.0) < 0.2 { 0.7 } else { 1.0 })
        }
        Material::Post => [86.0, 90.0, 94.0],
    }
}

fn wall(p: Vector3<f64>, face: Point) -> [f32; 3] {
    let door = stage::GATES_M.iter().any(|g| (g.x - p.x).hypot(g.y - p.y) < 1.45) && p.z < 2.3;
    if door {
        return gray([74.0, 70.0, 68.0], 0.8 + 0.12 * p.z as f32);
    }
    if p.z < 0.45 {
        return gray([140.0, 134.0, 127.0], 1.0 + 0.08 * mottle(face, 0.3, 11));
    }
    let window = (1.2..2.6).contains(&p.z) && face.x.rem_euclid(2.4) < 1.2;
    if window {
        let frame = face.x.rem_euclid(2.4) < 0.1 || face.x.rem_euclid(2.4) > 1.1 || p.z < 1.28;
        return if frame { [206.0, 203.0, 196.0] } else { [96.0, 110.0, 120.0] };
    }
    let course = if (p.z / 0.22).rem_euclid(1.0) < 0.14 { 0.94 } else { 1.0 };
    gray([188.0, 164.0, 142.0], course * (1.0 + 0.06 * mottle(face, 0.5, 12)))
}
