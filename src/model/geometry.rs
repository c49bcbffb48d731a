//! Points, boxes, polygons, and a moving point with its uncertainty.

use nalgebra::SMatrix;

/// A point or a vector in the plane. Its unit stands in the name of the field that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// First coordinate.
    pub x: f64,
    /// Second coordinate.
    pub y: f64,
}

impl Point {
    /// A point from its coordinates.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Length of the vector.
    pub fn norm(self) -> f64 {
        // Not `hypot`, which differs from machine to machine (`base::portable`).
        (self.x * self.x + self.y * self.y).sqrt()
    }

    /// Distance to another point.
    pub fn distance(self, other: Self) -> f64 {
        (self - other).norm()
    }

    /// Distance to the nearest point of the line from `a` to `b`.
    pub fn segment_distance(self, a: Self, b: Self) -> f64 {
        let (ab, ap) = (b - a, self - a);
        let length2 = ab.x * ab.x + ab.y * ab.y;
        let t = if length2 > 0.0 { ((ap.x * ab.x + ap.y * ab.y) / length2).clamp(0.0, 1.0) } else { 0.0 };
        self.distance(a + ab * t)
    }

    /// Both coordinates are numbers.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

impl std::ops::Add for Point {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self::new(self.x + o.x, self.y + o.y)
    }
}

impl std::ops::Sub for Point {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self::new(self.x - o.x, self.y - o.y)
    }
}

impl std::ops::Mul<f64> for Point {
    type Output = Self;
    fn mul(self, k: f64) -> Self {
        Self::new(self.x * k, self.y * k)
    }
}

/// The size of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The smallest whole factor by which a picture shrinks to at most `pixels_max` pixels; a remainder of columns or rows
    /// is left out.
    pub fn factor_within(self, pixels_max: u32) -> u32 {
        let pixels = |factor: u32| u64::from(self.width / factor) * u64::from(self.height / factor);
        // One more than both sides leaves no pixel.
        let largest = self.width.max(self.height).saturating_add(1);
        (1..=largest).find(|&factor| pixels(factor) <= u64::from(pixels_max)).unwrap_or(largest)
    }
}

/// An axis-parallel box in the image, in pixels; it may reach beyond the frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BBox {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Width, not negative.
    pub width: f64,
    /// Height, not negative.
    pub height: f64,
}

impl BBox {
    /// A box from its top left corner and size.
    pub const fn new(left: f64, top: f64, width: f64, height: f64) -> Self {
        Self { left, top, width, height }
    }

    /// The right edge.
    pub fn right(self) -> f64 {
        self.left + self.width
    }

    /// The lower edge.
    pub fn bottom(self) -> f64 {
        self.top + self.height
    }

    /// The area in square pixels.
    pub fn area(self) -> f64 {
        self.width * self.height
    }

    /// The centre.
    pub fn center(self) -> Point {
        Point::new(self.left + self.width / 2.0, self.top + self.height / 2.0)
    }

    /// The middle of the lower edge: where the object stands.
    pub fn foot(self) -> Point {
        Point::new(self.left + self.width / 2.0, self.bottom())
    }

    /// The area shared with another box.
    pub fn intersection(self, o: Self) -> f64 {
        let width = self.right().min(o.right()) - self.left.max(o.left);
        let height = self.bottom().min(o.bottom()) - self.top.max(o.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union (Jaccard index), 0..1; zero when both boxes are empty.
    pub fn iou(self, o: Self) -> f64 {
        let shared = self.intersection(o);
        let union = self.area() + o.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }
}

/// Beyond this a coordinate or a speed is an error, not a measurement: a thousand kilometres, or a million pixels.
const MAGNITUDE_MAX: f64 = 1e6;

/// A point that moves, and how well that is known.
///
/// Used in the image (pixels, pixels per second) and on the ground (metres, metres per second).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Where it is.
    pub position: Point,
    /// How fast it moves, per second.
    pub velocity: Point,
    /// Covariance of (x, y, vx, vy), symmetric and positive semi-definite.
    pub cov: SMatrix<f64, 4, 4>,
}

impl Motion {
    /// The speed, per second.
    pub fn speed(&self) -> f64 {
        self.velocity.norm()
    }

    /// The position's covariance as `[sxx, sxy, syy]`.
    pub fn position_cov(&self) -> [f64; 3] {
        [self.cov[(0, 0)], self.cov[(0, 1)], self.cov[(1, 1)]]
    }

    /// The velocity's covariance as `[sxx, sxy, syy]`.
    pub fn velocity_cov(&self) -> [f64; 3] {
        [self.cov[(2, 2)], self.cov[(2, 3)], self.cov[(3, 3)]]
    }

    /// Whether it can be reckoned with: every number is finite, no coordinate or speed is beyond
    /// 1e6 and no covariance beyond its square, and no variance is negative.
    pub fn is_usable(&self) -> bool {
        let state = [self.position.x, self.position.y, self.velocity.x, self.velocity.y];
        // Written so that a NaN fails.
        state.iter().all(|v| v.abs() <= MAGNITUDE_MAX)
            && self.cov.iter().all(|c| c.abs() <= MAGNITUDE_MAX * MAGNITUDE_MAX)
            && self.cov.diagonal().iter().all(|&c| c >= 0.0)
    }
}

/// A simple polygon with at least three corners and an area.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    corners: Vec<Point>,
    /// The box around it: the least and the greatest coordinates.
    bounds: (Point, Point),
}

/// Why points make no polygon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolygonError {
    /// Fewer than three points.
    #[error("a polygon needs at least 3 points, has {0}")]
    TooFewPoints(usize),
    /// A coordinate is not a finite number.
    #[error("point {0} is not a finite number")]
    NotFinite(usize),
    /// The points lie on a line.
    #[error("the points enclose no area")]
    NoArea,
    /// Two edges cross.
    #[error("edges {0} and {1} cross")]
    Crosses(usize, usize),
}

impl Polygon {
    /// Takes corners in either direction; the last is joined to the first.
    pub fn new(corners: Vec<Point>) -> Result<Self, PolygonError> {
        if corners.len() < 3 {
            return Err(PolygonError::TooFewPoints(corners.len()));
        }
        if let Some(i) = corners.iter().position(|p| !p.is_finite()) {
            return Err(PolygonError::NotFinite(i));
        }
        let ends = [f64::INFINITY, f64::NEG_INFINITY].map(|end| Point::new(end, end));
        let bounds = corners.iter().fold((ends[0], ends[1]), |(least, most), p| {
            (Point::new(least.x.min(p.x), least.y.min(p.y)), Point::new(most.x.max(p.x), most.y.max(p.y)))
        });
        let polygon = Self { corners, bounds };
        if let Some((i, j)) = polygon.crossing_edges() {
            return Err(PolygonError::Crosses(i, j));
        }
        if polygon.area() <= 1e-9 {
            return Err(PolygonError::NoArea);
        }
        Ok(polygon)
    }

    /// The corners in the order they were given.
    pub fn corners(&self) -> &[Point] {
        &self.corners
    }

    /// The corners of the box around it: the least and the greatest coordinates.
    pub fn bounds(&self) -> (Point, Point) {
        self.bounds
    }

    fn edges(&self) -> impl Iterator<Item = (Point, Point)> + '_ {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().copied().zip(next.copied())
    }

    /// The enclosed area.
    pub fn area(&self) -> f64 {
        self.edges().map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f64>().abs() / 2.0
    }

    /// Whether the point lies inside (even-odd rule; the border belongs to one side).
    pub fn contains(&self, p: Point) -> bool {
        let (least, most) = self.bounds;
        // Most places that are asked about are far outside.
        let in_box = (least.x..=most.x).contains(&p.x) && (least.y..=most.y).contains(&p.y);
        in_box
            && self.edges().fold(false, |inside, (a, b)| {
                let crosses =
                    (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x;
                inside != crosses
            })
    }

    /// Whether the way from `a` straight to `b` leads through the inside.
    pub fn meets(&self, a: Point, b: Point) -> bool {
        self.contains(a) || self.contains(b) || self.edges().any(|edge| segments_cross(edge, (a, b)))
    }

    /// Distance from the point to the border.
    pub fn border_distance(&self, p: Point) -> f64 {
        self.edges().map(|(a, b)| p.segment_distance(a, b)).fold(f64::INFINITY, f64::min)
    }

    /// Distance to another polygon, 0 when they share ground.
    pub fn distance(&self, other: &Self) -> f64 {
        let touches = |a: &Self, b: &Self| a.edges().any(|(p, q)| b.meets(p, q));
        if touches(self, other) || touches(other, self) {
            return 0.0;
        }
        // Of two that do not meet, the nearest points are a corner of one and the border of the other.
        let from = |a: &Self, b: &Self| {
            a.corners.iter().map(|p| b.border_distance(*p)).fold(f64::INFINITY, f64::min)
        };
        from(self, other).min(from(other, self))
    }

    fn crossing_edges(&self) -> Option<(usize, usize)> {
        let edges: Vec<_> = self.edges().collect();
        let n = edges.len();
        for i in 0..n {
            // A neighbour shares a corner, which is not a crossing.
            for j in i + 2..n {
                if (i, j) != (0, n - 1) && segments_cross(edges[i], edges[j]) {
                    return Some((i, j));
                }
            }
        }
        None
    }
}

fn segments_cross((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let side = |p: Point, q: Point, r: Point| (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxes() -> impl Strategy<Value = BBox> {
        (-50.0..50.0, -50.0..50.0, 0.0..40.0, 0.0..40.0)
            .prop_map(|(left, top, width, height)| BBox::new(left, top, width, height))
    }

    proptest! {
        #[test]
        fn iou_is_symmetric_and_between_0_and_1(a in boxes(), b in boxes()) {
            prop_assert!((a.iou(b) - b.iou(a)).abs() < 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&a.iou(b)));
        }
    }

    #[test]
    fn iou_of_equal_half_and_touching_boxes() {
        let a = BBox::new(0.0, 0.0, 10.0, 10.0);
        assert!((a.iou(a) - 1.0).abs() < 1e-12);
        assert!((a.iou(BBox::new(5.0, 0.0, 10.0, 10.0)) - 1.0 / 3.0).abs() < 1e-12);
        assert!(a.iou(BBox::new(10.0, 0.0, 10.0, 10.0)).abs() < 1e-12);
    }

    #[test]
    fn a_polygon_that_is_a_line_a_bow_tie_or_not_finite_is_refused() {
        let p = |pts: &[(f64, f64)]| Polygon::new(pts.iter().map(|&(x, y)| Point::new(x, y)).collect());
        assert_eq!(p(&[(0.0, 0.0), (1.0, 1.0)]), Err(PolygonError::TooFewPoints(2)));
        assert_eq!(p(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]), Err(PolygonError::NoArea));
        assert_eq!(p(&[(0.0, 0.0), (1.0, f64::NAN), (2.0, 2.0)]), Err(PolygonError::NotFinite(1)));
        assert!(matches!(
            p(&[(0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]),
            Err(PolygonError::Crosses(..))
        ));
    }

    #[test]
    fn the_distance_of_polygons_is_that_of_their_nearest_points() {
        let square = |x: f64, y: f64, side: f64| {
            let corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)];
            Polygon::new(corners.iter().map(|&(x, y)| Point::new(x, y)).collect()).unwrap()
        };
        let a = square(0.0, 0.0, 10.0);
        assert!((a.distance(&square(13.0, 14.0, 2.0)) - 5.0).abs() < 1e-12, "corner to corner");
        assert!((square(2.0, 30.0, 3.0).distance(&a) - 20.0).abs() < 1e-12, "corner to edge");
        assert!(a.distance(&square(5.0, 5.0, 10.0)).abs() < 1e-12, "overlapping");
        assert!(a.distance(&square(4.0, 4.0, 1.0)).abs() < 1e-12, "one in the other");
        assert!(square(4.0, 4.0, 1.0).distance(&a).abs() < 1e-12);
    }

    #[test]
    fn contains_and_border_distance_agree_on_a_concave_polygon() {
        let l = [(0.0, 0.0), (4.0, 0.0), (4.0, 1.0), (1.0, 1.0), (1.0, 4.0), (0.0, 4.0)];
        let l = Polygon::new(l.iter().map(|&(x, y)| Point::new(x, y)).collect()).unwrap();
        assert!((l.area() - 7.0).abs() < 1e-12);
        assert!(l.contains(Point::new(0.5, 3.0)) && l.contains(Point::new(3.0, 0.5)));
        assert!(!l.contains(Point::new(2.0, 2.0)) && !l.contains(Point::new(-0.1, 1.0)));
        assert!((l.border_distance(Point::new(2.0, 2.0)) - 1.0).abs() < 1e-12);
        assert!(l.meets(Point::new(-1.0, 3.0), Point::new(2.0, 3.0)), "through one arm");
        assert!(!l.meets(Point::new(2.0, 3.0), Point::new(3.0, 2.0)), "past the inner corner");
    }
}
