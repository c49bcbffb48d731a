//! The homography of point pairs, by the normalised direct linear transform.
//!
//! It is normalised on both sides (Hartley, "In Defense of the Eight-Point Algorithm", 1997), and its result is told from
//! the middle of the measured places: neither the precision nor the judgement depends on the site's origin.

use nalgebra::{Matrix3, SMatrix, SVector, Vector3};

use super::{Correspondence, DET_MIN, homogeneous};
use crate::model::Point;

/// The matrix that takes pixels to metres from the second value, which is the mean of the places on the ground. With more
/// than four pairs the algebraic error is least. None where the pairs do not fix a plane.
pub(super) fn homography(pairs: &[Correspondence]) -> Option<(Matrix3<f64>, Point)> {
    let origin_m = mean(pairs.iter().map(|p| p.ground_m));
    let from = normalisation(pairs.iter().map(|p| p.image_px))?;
    let to = normalisation(pairs.iter().map(|p| p.ground_m - origin_m))?;
    let mut normal = SMatrix::<f64, 9, 9>::zeros();
    for p in pairs {
        let a = from * homogeneous(p.image_px);
        let b = to * homogeneous(p.ground_m - origin_m);
        for row in dlt_rows(a, b) {
            normal += row * row.transpose();
        }
    }
    let eigen = normal.symmetric_eigen();
    let mut order: [usize; 9] = std::array::from_fn(|i| i);
    order.sort_by(|&i, &j| eigen.eigenvalues[i].total_cmp(&eigen.eigenvalues[j]));
    // A second solution as good as the first: the pairs do not fix the plane.
    if eigen.eigenvalues[order[1]] <= 1e-9 * eigen.eigenvalues[order[8]] {
        return None;
    }
    let h = eigen.eigenvectors.column(order[0]);
    let h = Matrix3::from_row_iterator(h.iter().copied());
    if h.determinant().abs() < DET_MIN {
        return None;
    }
    Some((to.try_inverse()? * h * from, origin_m))
}

fn mean(points: impl ExactSizeIterator<Item = Point>) -> Point {
    let n = points.len() as f64;
    points.fold(Point::default(), |sum, p| sum + p * (1.0 / n))
}

/// Moves the centroid to the origin and the mean distance to sqrt 2; none when all points are one.
fn normalisation(points: impl ExactSizeIterator<Item = Point> + Clone) -> Option<Matrix3<f64>> {
    let n = points.len() as f64;
    let mean = mean(points.clone());
    let spread = points.map(|p| p.distance(mean)).sum::<f64>() / n;
    let s = std::f64::consts::SQRT_2 / spread;
    (s.is_finite()).then(|| Matrix3::new(s, 0.0, -s * mean.x, 0.0, s, -s * mean.y, 0.0, 0.0, 1.0))
}

/// The two independent rows of b x (H a) = 0.
fn dlt_rows(a: Vector3<f64>, b: Vector3<f64>) -> [SVector<f64, 9>; 2] {
    let (p, q) = (a * b.z, a);
    let z = Vector3::zeros();
    let join =
        |r: [Vector3<f64>; 3]| SVector::<f64, 9>::from_iterator(r.iter().flat_map(|v| v.iter().copied()));
    [join([z, -p, q * b.y]), join([p, z, -q * b.x])]
}
