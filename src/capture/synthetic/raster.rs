//! Fills shapes into a picture: rounded limbs, flat faces and soft shadows.
//!
//! Every shape is a coverage of 0..1 per pixel, so edges are smooth. A pixel is left alone where
//! the background's depth says that something nearer stands there. Pixels of the luma plane from
//! the top left corner; shapes may reach beyond the picture. Nothing allocates.

use crate::model::{Image, Size};

/// A colour as Y'CbCr of Rec. 601 in video range.
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

    /// Distance to the spine, radius there, and the offset from it to the right.
    fn at(&self, u: f32, v: f32) -> (f32, f32, f32) {
        let (pu, pv) = (u - self.a.u, v - self.a.v);
        let along = ((pu * self.axis.0 + pv * self.axis.1) * self.inverse).clamp(0.0, 1.0);
        let (du, dv) = (pu - self.axis.0 * along, pv - self.axis.1 * along);
        ((du * du + dv * dv).sqrt(), self.a.r + self.grow * along, du)
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
            let (distance, r, right) = limb.at(u, v);
            let coverage = (r - distance + 0.5).clamp(0.0, 1.0);
            let side = right / r.max(0.5);
            (coverage, 1.0 - 0.14 * (distance / r.max(0.5)).min(1.0) + 0.16 * side * sun)
        });
    }

    /// A convex flat face; corners in either direction.
    pub(super) fn face(&mut self, corners: &[(f32, f32)], depth_m: f32, color: Color) {
        let mut lines = [(0.0f32, 0.0f32, 0.0f32); CORNERS_MAX];
        let n = corners.len().min(CORNERS_MAX);
        let mut area = 0.0;
        for i in 0..n {
            let (a, b) = (corners[i], corners[(i + 1) % n]);
            area += a.0 * b.1 - b.0 * a.1;
        }
        for i in 0..n {
            let (a, b) = (corners[i], corners[(i + 1) % n]);
            let (nu, nv) = ((a.1 - b.1) * area.signum(), (b.0 - a.0) * area.signum());
            let length = nu.hypot(nv).max(1e-6);
            lines[i] = (nu / length, nv / length, -(nu * a.0 + nv * a.1) / length);
        }
        let fold =
            |pick: fn(f32, f32) -> f32, of: fn(&(f32, f32)) -> f32| corners.iter().map(of).reduce(pick);
        let (Some(left), Some(right), Some(top), Some(bottom)) = (
            fold(f32::min, |c| c.0),
            fold(f32::max, |c| c.0),
            fold(f32::min, |c| c.1),
            fold(f32::max, |c| c.1),
        ) else {
            return;
        };
        let bounds = Bounds { left: left - 1.0, top: top - 1.0, right: right + 1.0, bottom: bottom + 1.0 };
        self.paint(bounds, depth_m, color, |u, v| {
            let inside = lines[..n].iter().map(|l| l.0 * u + l.1 * v + l.2).fold(f32::INFINITY, f32::min);
            ((inside + 0.5).clamp(0.0, 1.0), 1.0)
        });
    }

    /// Darkens the ground under a limb-shaped shadow by up to `strength`, fading over `soft_px`.
    pub(super) fn shadow(&mut self, discs: [Disc; 2], strength: f32, soft_px: f32) {
        let limb = Limb::new(discs);
        let bounds = Bounds::around(discs, soft_px);
        let (columns, rows) = self.pixels(bounds, 1);
        for y in rows {
            for x in columns.clone() {
                let i = y * self.size.width as usize + x;
                let (distance, r, _) = limb.at(x as f32 + 0.5, y as f32 + 0.5);
                let coverage = ((r + soft_px - distance) / (2.0 * soft_px)).clamp(0.0, 1.0);
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
        for y in rows {
            for x in columns.clone() {
                let (coverage, gain) = shape(x as f32 + 0.5, y as f32 + 0.5);
                let i = y * width + x;
                if coverage > 0.0 && depth_m < self.depth_m[i] {
                    blend(&mut self.planes[0][i], 16.0 + (color.y - 16.0) * gain, coverage);
                }
            }
        }
        let chroma_width = width.div_ceil(2);
        let (columns, rows) = self.pixels(bounds, 2);
        for y in rows {
            for x in columns.clone() {
                let (coverage, _) = shape(x as f32 * 2.0 + 1.0, y as f32 * 2.0 + 1.0);
                if coverage > 0.0 && depth_m < self.depth_m[y * 2 * width + x * 2] {
                    let i = y * chroma_width + x;
                    blend(&mut self.planes[1][i], color.cb, coverage);
                    blend(&mut self.planes[2][i], color.cr, coverage);
                }
            }
        }
    }
}
