//! An RGB picture and what can be drawn into it: smooth lines, filled polygons, text.
//!
//! Text and its metrics come from `embedded-graphics`, through [`DrawTarget`]; lines and polygons are
//! smoothed here, which `embedded-graphics` does not do. Everything is clipped to the present clip
//! rectangle. Pixels, origin top left, y down; opacity 0..1.

use std::convert::Infallible;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};

use crate::model::Point;

pub(super) use embedded_graphics::pixelcolor::Rgb888;

/// An 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    data: Vec<u8>,
    clip: Rectangle,
}

impl RgbImage {
    /// A picture of one colour.
    pub(super) fn new(width: u32, height: u32, color: Rgb888) -> Self {
        let pixels = width as usize * height as usize;
        let data = [color.r(), color.g(), color.b()].repeat(pixels);
        Self { width, height, data, clip: rectangle(0, 0, width, height) }
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Red, green and blue of each pixel, row by row.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// Writes the picture as a PNG file.
    ///
    /// # Errors
    /// When the file can't be made or written.
    pub fn write_png(&self, path: &Path) -> std::io::Result<()> {
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.data)?;
        Ok(writer.finish()?)
    }

    /// The picture as a JPEG; `quality` is JPEG's own, 1..=100.
    ///
    /// # Errors
    /// When a side is 0, or longer than the format has room for (65,535).
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, String> {
        let side = |pixels: u32| {
            u16::try_from(pixels).map_err(|_| format!("{pixels} pixels are too many for a JPEG"))
        };
        let mut jpeg = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, quality);
        let encoded =
            encoder.encode(&self.data, side(self.width)?, side(self.height)?, jpeg_encoder::ColorType::Rgb);
        encoded.map_err(|error| error.to_string())?;
        Ok(jpeg)
    }

    /// From now on nothing is drawn outside of `clip`.
    pub(super) fn set_clip(&mut self, clip: Rectangle) {
        self.clip = clip.intersection(&rectangle(0, 0, self.width, self.height));
    }

    /// From now on everything may be drawn to.
    pub(super) fn unclip(&mut self) {
        self.clip = rectangle(0, 0, self.width, self.height);
    }

    /// Blends one pixel, which must lie within the clip rectangle.
    fn blend(&mut self, x: i32, y: i32, color: Rgb888, opacity: f64) {
        let i = (y as usize * self.width as usize + x as usize) * 3;
        for (under, over) in self.data[i..i + 3].iter_mut().zip([color.r(), color.g(), color.b()]) {
            let mixed = f64::from(*under) + (f64::from(over) - f64::from(*under)) * opacity;
            *under = mixed.round() as u8;
        }
    }

    /// Rows and columns of the clip rectangle that lie within the bounds of `points`, `margin` wider.
    fn span(&self, points: &[Point], margin: f64) -> [std::ops::Range<i32>; 2] {
        let range = |values: &mut dyn Iterator<Item = f64>, from: i32, length: u32| {
            let (low, high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
            let to = from + length as i32;
            // A cast from a float saturates; an empty range draws nothing.
            ((low - margin).floor() as i32).clamp(from, to)..((high + margin).ceil() as i32).clamp(from, to)
        };
        let (corner, size) = (self.clip.top_left, self.clip.size);
        [
            range(&mut points.iter().map(|p| p.y), corner.y, size.height),
            range(&mut points.iter().map(|p| p.x), corner.x, size.width),
        ]
    }

    /// A smooth line through all points; a single point makes a disc.
    pub(super) fn line(&mut self, points: &[Point], width_px: f64, color: Rgb888, opacity: f64) {
        if points.iter().any(|p| !p.is_finite()) {
            return;
        }
        let single = [[points[0], points[0]]];
        let pairs: Vec<[Point; 2]> = points.windows(2).map(|w| [w[0], w[1]]).collect();
        let pairs = if pairs.is_empty() { &single[..] } else { &pairs[..] };
        let reach = width_px / 2.0;
        let [rows, columns] = self.span(points, reach + 1.0);
        let mut coverage = vec![0.0f64; columns.len()];
        for y in rows {
            coverage.fill(0.0);
            for pair in pairs {
                let [near, across] = self.span(pair, reach + 1.0);
                if !near.contains(&y) {
                    continue;
                }
                for x in across {
                    let p = Point::new(f64::from(x) + 0.5, f64::from(y) + 0.5);
                    let here = (reach + 0.5 - distance(p, pair[0], pair[1])).clamp(0.0, 1.0);
                    let best = &mut coverage[(x - columns.start) as usize];
                    *best = best.max(here);
                }
            }
            for (x, &part) in columns.clone().zip(&coverage) {
                if part > 0.0 {
                    self.blend(x, y, color, part * opacity);
                }
            }
        }
    }

    /// A smooth closed outline.
    pub(super) fn outline(&mut self, corners: &[Point], width_px: f64, color: Rgb888, opacity: f64) {
        let closed: Vec<Point> = corners.iter().chain(corners.first()).copied().collect();
        self.line(&closed, width_px, color, opacity);
    }

    /// A smooth dashed line.
    pub(super) fn dashes(&mut self, points: &[Point], width_px: f64, color: Rgb888, opacity: f64) {
        /// A dash and a gap, pixels.
        const DASH_PX: f64 = 5.0;
        let mut done_px = 0.0;
        for pair in points.windows(2) {
            let length_px = pair[0].distance(pair[1]).min(4000.0);
            let mut at_px = 0.0;
            while at_px < length_px {
                let into_px = (done_px + at_px).rem_euclid(2.0 * DASH_PX);
                let step_px = if into_px < DASH_PX { DASH_PX - into_px } else { 2.0 * DASH_PX - into_px };
                let step_px = step_px.max(0.1).min(length_px - at_px);
                let on = |px: f64| pair[0] + (pair[1] - pair[0]) * (px / length_px);
                if into_px < DASH_PX {
                    self.line(&[on(at_px), on(at_px + step_px)], width_px, color, opacity);
                }
                at_px += step_px.max(1e-3);
            }
            done_px += length_px;
        }
    }

    /// A smooth filled polygon (even-odd rule).
    pub(super) fn fill(&mut self, corners: &[Point], color: Rgb888, opacity: f64) {
        /// Scan lines to a pixel row.
        const LINES: u32 = 4;
        if corners.iter().any(|p| !p.is_finite()) {
            return;
        }
        let [rows, columns] = self.span(corners, 1.0);
        let mut coverage = vec![0.0f64; columns.len()];
        let mut crossings: Vec<f64> = Vec::new();
        for y in rows {
            coverage.fill(0.0);
            for line in 0..LINES {
                let v = f64::from(y) + (f64::from(line) + 0.5) / f64::from(LINES);
                crossings.clear();
                for (i, a) in corners.iter().enumerate() {
                    let b = corners[(i + 1) % corners.len()];
                    if (a.y > v) != (b.y > v) {
                        crossings.push(a.x + (b.x - a.x) * (v - a.y) / (b.y - a.y));
                    }
                }
                crossings.sort_unstable_by(f64::total_cmp);
                for pair in crossings.chunks_exact(2) {
                    for (x, part) in columns.clone().zip(&mut coverage) {
                        let x = f64::from(x);
                        *part += (pair[1].min(x + 1.0) - pair[0].max(x)).max(0.0) / f64::from(LINES);
                    }
                }
            }
            for (x, &part) in columns.clone().zip(&coverage) {
                if part > 0.0 {
                    self.blend(x, y, color, part.min(1.0) * opacity);
                }
            }
        }
    }

    /// A filled upright rectangle.
    pub(super) fn rectangle(&mut self, area: Rectangle, color: Rgb888, opacity: f64) {
        let area = area.intersection(&self.clip);
        for p in area.points() {
            self.blend(p.x, p.y, color, opacity);
        }
    }

    /// One line of text, its top left corner at (x, y).
    pub(super) fn text(&mut self, text: &str, x: i32, y: i32, font: &MonoFont<'_>, color: Rgb888) {
        let style = MonoTextStyle::new(font, color);
        let text =
            Text::with_baseline(text, embedded_graphics::prelude::Point::new(x, y), style, Baseline::Top);
        // Drawing to this target can't fail.
        let Ok(_) = text.draw(self);
    }

    /// Sets one pixel, which must lie within the picture.
    pub(super) fn set(&mut self, x: u32, y: u32, rgb: [u8; 3]) {
        let i = (y as usize * self.width as usize + x as usize) * 3;
        self.data[i..i + 3].copy_from_slice(&rgb);
    }
}

impl OriginDimensions for RgbImage {
    fn size(&self) -> embedded_graphics::prelude::Size {
        embedded_graphics::prelude::Size::new(self.width, self.height)
    }
}

impl DrawTarget for RgbImage {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            if self.clip.contains(at) {
                self.set(at.x as u32, at.y as u32, [color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

/// A rectangle from its top left corner and size.
pub(super) fn rectangle(x: i32, y: i32, width: u32, height: u32) -> Rectangle {
    Rectangle::new(
        embedded_graphics::prelude::Point::new(x, y),
        embedded_graphics::prelude::Size::new(width, height),
    )
}

/// How wide `text` is, pixels.
pub(super) fn text_width(text: &str, font: &MonoFont<'_>) -> u32 {
    let advance = font.character_size.width + font.character_spacing;
    (text.chars().count() as u32 * advance).saturating_sub(font.character_spacing)
}

fn distance(p: Point, a: Point, b: Point) -> f64 {
    let (ab, ap) = (b - a, p - a);
    let along = (ap.x * ab.x + ap.y * ab.y) / (ab.x * ab.x + ab.y * ab.y).max(1e-9);
    p.distance(a + ab * along.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Rgb888 = Rgb888::new(0, 0, 0);
    const WHITE: Rgb888 = Rgb888::new(255, 255, 255);

    fn sum(image: &RgbImage) -> f64 {
        image.bytes().iter().map(|&b| f64::from(b)).sum::<f64>() / (3.0 * 255.0)
    }

    #[test]
    fn a_filled_polygon_covers_its_area() {
        let mut image = RgbImage::new(40, 40, BLACK);
        let diamond = [(20.0, 5.0), (35.0, 20.0), (20.0, 35.0), (5.0, 20.0)].map(|(x, y)| Point::new(x, y));
        image.fill(&diamond, WHITE, 1.0);
        assert!((sum(&image) - 450.0).abs() < 4.0, "{}", sum(&image));
    }

    #[test]
    fn a_line_covers_its_length_by_its_width_and_blends_once_at_its_corners() {
        let mut image = RgbImage::new(60, 60, BLACK);
        let path = [(10.0, 10.0), (50.0, 10.0), (50.0, 50.0)].map(|(x, y)| Point::new(x, y));
        image.line(&path, 2.0, WHITE, 0.5);
        assert!((sum(&image) - 0.5 * 2.0 * 80.0).abs() < 5.0, "{}", sum(&image));
        assert!(image.bytes().iter().all(|&b| b <= 128));
    }

    #[test]
    fn nothing_is_drawn_outside_of_the_clip_rectangle_or_for_points_that_are_not_finite() {
        let mut image = RgbImage::new(20, 20, BLACK);
        image.set_clip(rectangle(5, 5, 4, 4));
        let all = [(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)].map(|(x, y)| Point::new(x, y));
        image.fill(&all, WHITE, 1.0);
        assert!((sum(&image) - 16.0).abs() < 1e-9);
        image.line(&[Point::new(f64::NAN, 0.0), Point::new(9.0, 9.0)], 3.0, WHITE, 1.0);
        assert!((sum(&image) - 16.0).abs() < 1e-9);
    }
}
