//! The plaza itself: what stands on it and where one may walk.
//!
//! A square of 28 by 28 m with its middle at (0, 0), walled in, with doors in three walls, a street
//! along its south side, a kiosk, planters, benches and lamp posts, and a marked loading dock that
//! nobody may enter. Everything is a box or an ellipsoid, which is all that a ray needs to know.
//!
//! Metres, right-handed, z up. Colours are not here but in `background`.

use nalgebra::Vector3;

use crate::model::Point;

/// The forbidden zone: the marked loading dock, metres.
pub const DOCK_M: [Point; 4] =
    [Point::new(0.8, 0.6), Point::new(4.0, 0.6), Point::new(4.0, 3.8), Point::new(0.8, 3.8)];

/// Lowest and highest corner of the part of the plaza on which most things happen, metres.
pub const EXTENT_M: [Point; 2] = [Point::new(-10.5, -7.0), Point::new(10.5, 8.75)];

/// Doors, two to a wall (west, east, north); people come from just behind them.
pub(super) const GATES_M: [Point; 6] = [
    Point::new(-15.0, -0.6),
    Point::new(-15.0, 6.6),
    Point::new(15.0, -0.8),
    Point::new(15.0, 7.4),
    Point::new(-6.5, 15.0),
    Point::new(3.2, 15.0),
];
/// On a clear way between the first and the third door.
pub(super) const CLEAR_M: Point = Point::new(-0.5, -1.2);
/// Places where somebody stays: the first three for those who pace.
pub(super) const SPOTS_M: [Point; 6] = [
    Point::new(-2.6, 1.2),
    Point::new(0.2, 5.6),
    Point::new(-1.6, 8.4),
    Point::new(-5.4, 1.6),
    Point::new(-7.2, 6.8),
    Point::new(4.6, -1.6),
];
/// Middle of the street, which runs along the x axis.
pub(super) const STREET_Y_M: f64 = -5.0;
/// Half of the street's width.
pub(super) const STREET_HALF_M: f64 = 1.7;
/// A vehicle's roof.
pub(super) const VEHICLE_HEIGHT_M: f64 = 1.5;

/// The way a shadow's tip lies from the foot of a thing one metre high.
pub(super) const SHADOW: [f64; 2] = [0.38, 0.30];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Material {
    Wall,
    Concrete,
    Leaves,
    Kiosk,
    Roof,
    Wood,
    Post,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Lowest and highest corner.
    Box([f64; 3], [f64; 3]),
    /// Middle and half axes.
    Ellipsoid([f64; 3], [f64; 3]),
}

pub(super) struct Solid {
    pub(super) shape: Shape,
    pub(super) material: Material,
}

const fn solid(material: Material, low: [f64; 3], high: [f64; 3]) -> Solid {
    Solid { shape: Shape::Box(low, high), material }
}

const fn bush(middle: [f64; 3], axes: [f64; 3]) -> Solid {
    Solid { shape: Shape::Ellipsoid(middle, axes), material: Material::Leaves }
}

const fn post(x: f64, y: f64) -> Solid {
    solid(Material::Post, [x - 0.07, y - 0.07, 0.0], [x + 0.07, y + 0.07, 4.2])
}

/// Everything that stands on the plaza.
pub(super) const SOLIDS: [Solid; 22] = [
    // Walls, with gaps where the street passes.
    solid(Material::Wall, [-14.6, 14.0, 0.0], [14.6, 14.6, 8.0]),
    solid(Material::Wall, [-14.6, -2.8, 0.0], [-14.0, 14.0, 8.0]),
    solid(Material::Wall, [-14.6, -14.0, 0.0], [-14.0, -7.2, 8.0]),
    solid(Material::Wall, [14.0, -2.8, 0.0], [14.6, 14.0, 8.0]),
    solid(Material::Wall, [14.0, -14.0, 0.0], [14.6, -7.2, 8.0]),
    solid(Material::Wall, [-14.6, -14.6, 0.0], [14.6, -14.0, 8.0]),
    // The kiosk beside the dock.
    solid(Material::Kiosk, [5.8, 2.2, 0.0], [8.0, 4.6, 2.3]),
    solid(Material::Roof, [5.5, 1.9, 2.3], [8.3, 4.9, 2.5]),
    // Planters with their bushes.
    solid(Material::Concrete, [-4.5, 3.3, 0.0], [-2.9, 4.9, 0.5]),
    bush([-3.7, 4.1, 0.75], [0.75, 0.72, 0.55]),
    solid(Material::Concrete, [-10.1, 8.6, 0.0], [-8.3, 10.4, 0.5]),
    bush([-9.2, 9.5, 0.8], [0.85, 0.85, 0.65]),
    solid(Material::Concrete, [9.2, 9.4, 0.0], [10.8, 11.0, 0.5]),
    bush([10.0, 10.2, 0.8], [0.75, 0.75, 0.6]),
    // Benches.
    solid(Material::Wood, [-8.6, 2.9, 0.0], [-8.1, 4.9, 0.45]),
    solid(Material::Wood, [-5.9, -9.4, 0.0], [-3.9, -8.9, 0.45]),
    solid(Material::Wood, [4.9, -9.4, 0.0], [6.9, -8.9, 0.45]),
    // Lamp posts.
    post(-10.8, -2.5),
    post(0.4, 3.9),
    post(10.8, -2.5),
    // The planter beyond the street.
    solid(Material::Concrete, [-0.9, -9.9, 0.0], [0.9, -8.5, 0.5]),
    bush([0.0, -9.2, 0.75], [0.8, 0.6, 0.5]),
];

/// What walkers keep away from: (x, y, radius), the dock at the end.
const KEEP_OUT: [[f64; 3]; 9] = [
    [6.9, 3.4, 1.9],
    [-3.7, 4.1, 1.15],
    [-9.2, 9.5, 1.3],
    [10.0, 10.2, 1.15],
    [-8.35, 3.9, 1.05],
    [-10.8, -2.5, 0.1],
    [0.4, 3.9, 0.1],
    [10.8, -2.5, 0.1],
    [2.4, 2.2, 2.3],
];

/// Whether the straight way from `a` to `b` stays clear of the dock and of all that stands there.
pub(super) fn is_clear(a: Point, b: Point) -> bool {
    /// Half a person's width, and some politeness.
    const MARGIN_M: f64 = 0.35;
    KEEP_OUT.iter().all(|&[x, y, r]| {
        let (ab, ap) = (b - a, Point::new(x, y) - a);
        let along = (ap.x * ab.x + ap.y * ab.y) / (ab.x * ab.x + ab.y * ab.y).max(1e-9);
        Point::new(x, y).distance(a + ab * along.clamp(0.0, 1.0)) > r + MARGIN_M
    })
}

/// Whether nothing but walls stands at `p`.
#[cfg(test)]
pub(super) fn is_free(p: Point) -> bool {
    SOLIDS.iter().filter(|s| s.material != Material::Wall).all(|s| match s.shape {
        Shape::Box(low, high) => p.x < low[0] || p.x > high[0] || p.y < low[1] || p.y > high[1],
        Shape::Ellipsoid(..) => true,
    })
}

/// Whether something other than a wall may stand between a camera and a person at `p`.
#[cfg(test)]
pub(super) fn hides(camera: Point, p: Point) -> bool {
    KEEP_OUT[..8].iter().any(|&[x, y, r]| {
        let (ab, ap) = (p - camera, Point::new(x, y) - camera);
        let along = (ap.x * ab.x + ap.y * ab.y) / (ab.x * ab.x + ab.y * ab.y);
        Point::new(x, y).distance(camera + ab * along.clamp(0.0, 1.0)) < r + 0.8
    })
}

/// A vector from its coordinates.
pub(super) fn vector(v: [f64; 3]) -> Vector3<f64> {
    Vector3::new(v[0], v[1], v[2])
}
