//! Fills shapes into a picture: rounded limbs, flat faces and soft shadows.
//!
//! Every shape is a coverage of 0..1 per pixel, so edges are smooth. A pixel is left alone where
//! the background's depth says that something nearer stands there. Pixels of the luma plane from
//! the top left corner; shapes may reach beyond the picture. Nothing allocates.

use crate::model::{Image, Size};

/// A colour as Y'`CbCr` of Rec. 601 in video range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Color {
    pub(super) y: f32,
    pub(super) cb: f32,
    pub(super) cr: f32,
}

impl Color {
    /// From red, green and blue of 0..=255.
    pub(super) fn rgb([r, g, b]: [f32; 3]) -> Self {
        let to = |base: f32, kr: f32, kg: f32, kb: f32| {
            (base + (kr * r + kg * g + kb * b) / 255.0).round().clamp(16.0, 240.0)
        };
        Self {
            y: to(16.0, 65.481, 128.553, 24.966),
            cb: to(128.0, -37.797, -74.203, 112.0),
            cr: to(128.0, 112.0, -93.786, -18.214),
        }
    }

    /// The same colour in more or less light.
    pub(super) fn lit(self, gain: f32) -> Self {
        let tint = |c: f32| 128.0 + (c - 128.0) * gain.min(1.1);
        Self { y: 16.0 + (self.y - 16.0) * gain, cb: tint(self.cb), cr: tint(self.cr) }
    }
}

/// A disc in the picture: one end of a limb.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disc {
    pub(super) u: f32,
    pub(super) v: f32,
    pub(super) r: f32,
}

/// Most corners of a flat face.
pub(super) const CORNERS_MAX: usize = 10;

/// A picture that is being painted, with what stands in it.
pub(super) struct Raster<'a> {
    size: Size,
    planes: [&'a mut [u8]; 3],
    depth_m: &'a [f32],
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Bounds {
    fn around(discs: [Disc; 2], margin: f32) -> Self {
        let [a, b] = discs;
        Self {
            left: (a.u - a.r).min(b.u - b.r) - margin,
            top: (a.v - a.r).min(b.v - b.r) - margin,
            right: (a.u + a.r).max(b.u + b.r) + margin,
            bottom: (a.v + a.r).max(b.v + b.r) + margin,
        }
    }
}

/// The shape spanned by two discs, prepared to be asked pixel by pixel.
struct Limb {
    a: Disc,
    axis: (f32, f32),
    inverse: f32,
    grow: f32,
}

impl Limb {
    fn new([a, b]: [Disc; 2]) -> Self {
        let axis = (b.u - a.u, b.v - a.v);
        let inverse = 1.0 / (axis.0 * axis.0 + axis.1 * axis.1).max(1e-6);
        Self { a, axis, inverse, grow: b.r - a.r }
    }

    /// Squared distance to the spine, radius there, and the offset from it to the right.
    fn at(&self, u: f32, v: f32) -> (f32, f32, f32) {
        let (pu, pv) = (u - self.a.u, v - self.a.v);
        let along = ((pu * self.axis.0 + pv * self.axis.1) * self.inverse).clamp(0.0, 1.0);
        let (du, dv) = (pu - self.axis.0 * along, pv - self.axis.1 * along);
        (du * du + dv * dv, self.a.r + self.grow * along, du)
    }
}

/// A convex polygon, prepared to be asked pixel by pixel.
struct Face {
    /// Per edge a unit normal that points inward, and the edge's offset along it.
    edges: [(f32, f32, f32); CORNERS_MAX],
    count: usize,
    bounds: Bounds,
}

impl Face {
    /// From at most [`CORNERS_MAX`] corners in either direction.
    fn new(corners: &[(f32, f32)], margin: f32) -> Self {
        let count = corners.len().min(CORNERS_MAX);
        let sides = || (0..count).map(|i| (corners[i], corners[(i + 1) % count]));
        let area: f32 = sides().map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
        let mut edges = [(0.0, 0.0, 0.0); CORNERS_MAX];
        for (edge, (a, b)) in edges.iter_mut().zip(sides()) {
            let (nu, nv) = ((a.1 - b.1) * area.signum(), (b.0 - a.0) * area.signum());
            let length = nu.hypot(nv).max(1e-6);
            *edge = (nu / length, nv / length, -(nu * a.0 + nv * a.1) / length);
        }
        let low = |of: fn(&(f32, f32)) -> f32| corners.iter().map(of).fold(f32::INFINITY, f32::min) - margin;
        let high =
            |of: fn(&(f32, f32)) -> f32| corners.iter().map(of).fold(f32::NEG_INFINITY, f32::max) + margin;
        let bounds =
            Bounds { left: low(|c| c.0), top: low(|c| c.1), right: high(|c| c.0), bottom: high(|c| c.1) };
        Self { edges, count, bounds }
    }

    /// How far inside a pixel lies, negative outside.
    fn depth(&self, u: f32, v: f32) -> f32 {
        let edges = self.edges[..self.count].iter();
        edges.map(|&(nu, nv, offset)| nu * u + nv * v + offset).fold(f32::INFINITY, f32::min)
    }
}

impl<'a> Raster<'a> {
    /// Paints into a 4:2:0 `image`, hidden by the nearer part of `depth_m` (one value a pixel).
    pub(super) fn new(image: &'a mut Image, depth_m: &'a [f32]) -> Self {
        Self { size: image.size(), planes: image.planes_mut(), depth_m }
    }

    /// A rounded limb from one disc to another, lit from the side to which `sun` points (-1 left,
    /// 1 right).
    pub(super) fn limb(&mut self, discs: [Disc; 2], depth_m: f32, color: Color, sun: f32) {
        let limb = Limb::new(discs);
        self.paint(Bounds::around(discs, 1.0), depth_m, color, |u, v| {
            let (square, r, right) = limb.at(u, v);
            if square >= (r + 0.5) * (r + 0.5) {
                return (0.0, 0.0);
            }
            let distance = square.sqrt();
            let coverage = (r - distance + 0.5).clamp(0.0, 1.0);
            let side = right / r.max(0.5);
            (coverage, 1.0 - 0.14 * (distance / r.max(0.5)).min(1.0) + 0.16 * side * sun)
        });
    }

    /// A convex flat face; corners in either direction.
    pub(super) fn face(&mut self, corners: &[(f32, f32)], depth_m: f32, color: Color) {
        let face = Face::new(corners, 1.0);
        self.paint(face.bounds, depth_m, color, |u, v| ((face.depth(u, v) + 0.5).clamp(0.0, 1.0), 1.0));
    }

    /// Darkens the ground under a limb-shaped shadow by up to `strength`, fading over `soft_px`.
    pub(super) fn limb_shadow(&mut self, discs: [Disc; 2], strength: f32, soft_px: f32) {
        let limb = Limb::new(discs);
        self.darken(Bounds::around(discs, soft_px), strength, |u, v| {
            let (square, r, _) = limb.at(u, v);
            (r + soft_px - square.sqrt()) / (2.0 * soft_px)
        });
    }

    /// The same under a shadow with the shape of a convex polygon.
    pub(super) fn face_shadow(&mut self, corners: &[(f32, f32)], strength: f32, soft_px: f32) {
        let face = Face::new(corners, soft_px);
        self.darken(face.bounds, strength, |u, v| (face.depth(u, v) + soft_px) / (2.0 * soft_px));
    }

    fn darken(&mut self, bounds: Bounds, strength: f32, coverage: impl Fn(f32, f32) -> f32) {
        let (columns, rows) = self.pixels(bounds, 1);
        for y in rows {
            for x in columns.clone() {
                let i = y * self.size.width as usize + x;
                let coverage = coverage(x as f32 + 0.5, y as f32 + 0.5).clamp(0.0, 1.0);
                if coverage > 0.0 && self.depth_m[i] == f32::INFINITY {
                    let luma = f32::from(self.planes[0][i]) - 16.0;
                    self.planes[0][i] = (16.5 + luma * (1.0 - strength * coverage)) as u8;
                }
            }
        }
    }

    /// Columns and rows of a plane that is `step` times smaller than luma.
    fn pixels(&self, bounds: Bounds, step: u32) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let clip = |low: f32, high: f32, size: u32| {
            let size = size.div_ceil(step) as f32;
            let step = step as f32;
            let low = (low / step).floor().clamp(0.0, size);
            low as usize..(high / step).ceil().clamp(low, size) as usize
        };
        (clip(bounds.left, bounds.right, self.size.width), clip(bounds.top, bounds.bottom, self.size.height))
    }

    /// Blends `color` in wherever `shape` says (coverage, gain of the luma) and nothing is in front.
    fn paint(&mut self, bounds: Bounds, depth_m: f32, color: Color, shape: impl Fn(f32, f32) -> (f32, f32)) {
        let width = self.size.width as usize;
        let blend = |under: &mut u8, over: f32, by: f32| {
            let under_f = f32::from(*under);
            *under = (under_f + (over - under_f) * by + 0.5) as u8;
        };
        let (columns, rows) = self.pixels(bounds, 1);
        let (chroma_columns, chroma_rows) = self.pixels(bounds, 2);
        for y in rows {
            let row = y * width + columns.start..y * width + columns.end;
            let v = y as f32 + 0.5;
            let pixels = self.planes[0][row.clone()].iter_mut().zip(&self.depth_m[row]);
            for (x, (luma, &behind_m)) in columns.clone().zip(pixels) {
                let (coverage, gain) = shape(x as f32 + 0.5, v);
                if coverage > 0.0 && depth_m < behind_m {
                    blend(luma, 16.0 + (color.y - 16.0) * gain, coverage);
                }
            }
        }
        let [_, cb, cr] = &mut self.planes;
        let chroma_width = width.div_ceil(2);
        for y in chroma_rows {
            let row = y * chroma_width + chroma_columns.start..y * chroma_width + chroma_columns.end;
            let v = y as f32 * 2.0 + 1.0;
            for (x, (cb, cr)) in chroma_columns.clone().zip(cb[row.clone()].iter_mut().zip(&mut cr[row])) {
                let (coverage, _) = shape(x as f32 * 2.0 + 1.0, v);
                if coverage > 0.0 && depth_m < self.depth_m[y * 2 * width + x * 2] {
                    blend(cb, color.cb, coverage);
                    blend(cr, color.cr, coverage);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Chroma;

    const SIZE: Size = Size { width: 41, height: 31 };

    /// A grey picture, in whose right half something stands five metres away.
    fn painted(paint: impl Fn(&mut Raster<'_>)) -> Image {
        let mut image = Image::default();
        image.reset(SIZE, Chroma::C420);
        image.bytes_mut().fill(128);
        let depth_m: Vec<f32> =
            (0..41 * 31).map(|i| if i % 41 >= 20 { 5.0 } else { f32::INFINITY }).collect();
        paint(&mut Raster::new(&mut image, &depth_m));
        image
    }

    const WHITE: [f32; 3] = [255.0, 255.0, 255.0];

    #[test]
    fn what_stands_in_front_hides_what_is_painted_behind_it() {
        let bar = [Disc { u: 5.0, v: 15.0, r: 4.0 }, Disc { u: 36.0, v: 15.0, r: 4.0 }];
        let luma = |depth_m: f32| {
            let image = painted(|raster| raster.limb(bar, depth_m, Color::rgb(WHITE), 0.0));
            [10, 30].map(|x| image.luma()[15 * 41 + x])
        };
        assert_eq!(luma(4.0).map(|y| y > 200), [true, true]);
        assert_eq!(luma(6.0).map(|y| y > 200), [true, false]);
    }

    #[test]
    fn a_face_covers_its_area_in_either_direction_and_may_reach_out_of_the_picture() {
        let covered = |corners: &[(f32, f32)]| {
            let image = painted(|raster| raster.face(corners, 1.0, Color::rgb(WHITE)));
            image.luma().iter().filter(|&&y| y > 200).count()
        };
        let mut corners = [(5.0, 5.0), (15.0, 5.0), (15.0, 25.0), (5.0, 25.0)];
        assert_eq!(covered(&corners), 200);
        corners.reverse();
        assert_eq!(covered(&corners), 200);
        assert_eq!(covered(&[(-90.0, -90.0), (900.0, -90.0), (900.0, 900.0), (-90.0, 900.0)]), 41 * 31);
        assert_eq!(covered(&[(-90.0, -90.0), (-50.0, -90.0), (-50.0, -50.0)]), 0);
    }

    #[test]
    fn a_shadow_darkens_the_ground_but_not_what_stands_on_it() {
        let spot = [Disc { u: 20.0, v: 15.0, r: 12.0 }; 2];
        let image = painted(|raster| raster.limb_shadow(spot, 0.25, 2.0));
        assert_eq!([12, 30].map(|x| image.luma()[15 * 41 + x]), [100, 128]);
    }
}
