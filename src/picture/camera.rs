//! One camera's tile: the frame, and on it the boxes, trails and forecasts of its tracks.

use embedded_graphics::primitives::Rectangle;

use super::canvas::{Rgb888, RgbImage};
use super::{CameraPanel, FORECAST_S, INK, Labels, PAGE, SMALL, SMALL_BOLD, remark, title_bar};
use crate::model::{Chroma, Image, Point, Size, rgb};

pub(super) fn draw(
    out: &mut RgbImage,
    panel: &CameraPanel<'_>,
    color: Rgb888,
    title: Rectangle,
    area: Rectangle,
) {
    let count = panel.scene.tracks.len();
    let of = if count == 1 { "track" } else { "tracks" };
    title_bar(out, title, panel.scene.camera.as_str(), color, &format!("{count} {of}"));
    out.set_clip(area);
    out.rectangle(area, super::PANEL, 1.0);
    let frame = fit(panel.scene.size, area);
    copy(out, panel.image, &frame);
    ways(out, panel, color, &frame);
    boxes(out, panel, color, area, &frame);
    out.unclip();
}

/// The boxes of the tracks, and what they are called.
fn boxes(out: &mut RgbImage, panel: &CameraPanel<'_>, color: Rgb888, area: Rectangle, frame: &Placed) {
    let mut labels = Labels::default();
    for track in &panel.scene.tracks {
        let b = track.track.bbox;
        let corners = [(b.left, b.top), (b.right(), b.top), (b.right(), b.bottom()), (b.left, b.bottom())];
        let corners = corners.map(|(x, y)| frame.place(Point::new(x, y)));
        let remark = remark(track);
        let ink = remark.map_or(color, |(_, alarm)| alarm);
        out.outline(&corners, 3.0, PAGE, 0.35);
        out.outline(&corners, 1.6, ink, 1.0);
        let text = match remark {
            Some((word, _)) => format!("{} {word}", track.track.id),
            None => format!("{} {}", track.track.id, track.track.class),
        };
        let (left, top, bottom) = (corners[0].x - 1.0, corners[0].y, corners[2].y);
        let places =
            [(left, top - 17.0), (left, bottom + 2.0), (left, top - 33.0), (corners[1].x + 2.0, top)];
        let style = match remark {
            Some(_) => (SMALL_BOLD, PAGE, Some((ink, 0.95))),
            None => (SMALL, INK, Some((PAGE, 0.72))),
        };
        labels.put(out, area, &places, &text, style);
    }
}

/// The frame as it is, with the boxes of its tracks, and nothing around it.
pub(super) fn draw_alone(out: &mut RgbImage, panel: &CameraPanel<'_>, color: Rgb888, area: Rectangle) {
    let frame = fit(panel.scene.size, area);
    copy(out, panel.image, &frame);
    boxes(out, panel, color, area, &frame);
}

/// The frame alone.
pub(super) fn draw_frame(out: &mut RgbImage, image: &Image, area: Rectangle) {
    copy(out, image, &fit(image.size(), area));
}

/// Where the tracks came from and where they go, on the ground as the camera sees it.
fn ways(out: &mut RgbImage, panel: &CameraPanel<'_>, color: Rgb888, frame: &Placed) {
    let size = panel.scene.size;
    let plane = panel.plane.resized(size);
    let seen = |p: Point| plane.to_image(p).map(|q| frame.place(q));
    for track in &panel.scene.tracks {
        let trail: Vec<Point> = panel.trails.of(track.track.id).into_iter().filter_map(seen).collect();
        if trail.len() > 1 {
            let (old, new) = (&trail[..=trail.len() / 2], &trail[trail.len() / 2..]);
            out.line(old, 2.2, color, 0.45);
            out.line(new, 2.2, color, 0.9);
        }
        let ahead = track.forecast.points.iter().take_while(|p| p.ahead_s <= FORECAST_S);
        let path: Vec<Point> = track
            .ground
            .iter()
            .map(|g| g.position)
            .chain(ahead.map(|p| p.position_m))
            .filter_map(seen)
            .collect();
        out.dashes(&path, 1.6, INK, 0.65);
    }
}

/// Where the frame lies in the tile.
struct Placed {
    left: f64,
    top: f64,
    scale: f64,
    /// Of the frame.
    size: Size,
}

impl Placed {
    fn place(&self, p: Point) -> Point {
        Point::new(self.left + p.x * self.scale, self.top + p.y * self.scale)
    }
}

/// As large as it fits, in the middle.
fn fit(size: Size, area: Rectangle) -> Placed {
    let (w, h) = (f64::from(size.width.max(1)), f64::from(size.height.max(1)));
    let (aw, ah) = (f64::from(area.size.width), f64::from(area.size.height));
    let scale = (aw / w).min(ah / h);
    Placed {
        left: f64::from(area.top_left.x) + (aw - w * scale) / 2.0,
        top: f64::from(area.top_left.y) + (ah - h * scale) / 2.0,
        scale,
        size,
    }
}

/// The image, of the frame's size or smaller.
fn copy(out: &mut RgbImage, image: &Image, frame: &Placed) {
    let size = image.size();
    let (cb, cr) = image.chroma_planes();
    let chroma = image.chroma().plane_size(size);
    let (width, height) =
        (f64::from(frame.size.width) * frame.scale, f64::from(frame.size.height) * frame.scale);
    let (right, bottom) = ((frame.left + width).round() as u32, (frame.top + height).round() as u32);
    for y in frame.top.round() as u32..bottom.min(out.height()) {
        for x in frame.left.round() as u32..right.min(out.width()) {
            let u = (f64::from(x) + 0.5 - frame.left) / width;
            let v = (f64::from(y) + 0.5 - frame.top) / height;
            let luma = sample(image.luma(), size, u, v);
            let colors = if image.chroma() == Chroma::Mono {
                [128.0, 128.0]
            } else {
                [sample(cb, chroma, u, v), sample(cr, chroma, u, v)]
            };
            out.set(x, y, to_rgb(luma, colors));
        }
    }
}

/// The value at (u, v), each 0..1 over the plane, between the four samples around it.
fn sample(plane: &[u8], size: Size, u: f64, v: f64) -> f64 {
    let axis = |at: f64, n: u32| {
        let at = (at * f64::from(n) - 0.5).clamp(0.0, f64::from(n - 1));
        let low = at.floor() as usize;
        (low, (low + 1).min(n as usize - 1), at - at.floor())
    };
    let (x0, x1, fx) = axis(u, size.width);
    let (y0, y1, fy) = axis(v, size.height);
    let at = |x: usize, y: usize| f64::from(plane[y * size.width as usize + x]);
    let low = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * fx;
    let high = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * fx;
    low + (high - low) * fy
}

/// The color of a sample in whole levels.
pub(super) fn to_rgb(luma: f64, chroma: [f64; 2]) -> [u8; 3] {
    rgb(luma, chroma).map(|level| level.round() as u8)
}
