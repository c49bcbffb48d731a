//! The map: the cameras' footprints, the zones, and the tracks of all cameras on the shared ground.

use embedded_graphics::primitives::Rectangle;

use super::canvas::{Rgb888, RgbImage, text_width};
use super::{
    ALARM, CameraPanel, FAINT, FORECAST_S, GroundMap, INK, Labels, PAGE, PANEL, SMALL, SMALL_BOLD, WARM,
    color_of, remark, title_bar,
};
use crate::model::{ForecastPoint, Point, SceneTrack, Size, ZoneKind};

/// From one grid line to the next.
const GRID_M: f64 = 5.0;
/// Most grid lines each way; a larger site gets none.
const GRID_LINES_MAX: f64 = 100.0;

pub(super) fn draw(
    out: &mut RgbImage,
    cameras: &[CameraPanel<'_>],
    map: &GroundMap<'_>,
    title: Rectangle,
    area: Rectangle,
) {
    title_bar(out, title, "ground", INK, "grid 5 m   line: last 5 s   dashes: next 2 s, 1 sigma");
    out.set_clip(area);
    out.rectangle(area, PANEL, 1.0);
    let sheet = Sheet::fit(map.extent_m, area);
    grid(out, &sheet);
    for (i, camera) in cameras.iter().enumerate() {
        if let Some(footprint) = camera.plane.footprint() {
            let border = sheet.all(footprint.corners());
            out.fill(&border, color_of(i), 0.055);
            out.outline(&border, 1.2, color_of(i), 0.30);
        }
    }
    let mut labels = Labels::default();
    zones(out, &sheet, map, &mut labels);
    for (i, camera) in cameras.iter().enumerate() {
        for track in &camera.scene.tracks {
            forecast(out, &sheet, track, color_of(i));
        }
    }
    for (i, camera) in cameras.iter().enumerate() {
        for track in &camera.scene.tracks {
            let trail = sheet.all(&camera.trails.of(track.track.id));
            if trail.len() > 1 {
                out.line(&trail, 1.8, color_of(i), 0.7);
            }
        }
    }
    dots(out, &sheet, cameras, &mut labels);
    names(out, &sheet, cameras, &mut labels);
    out.unclip();
}

/// The map's scale: metres to pixels, x to the right and y up.
struct Sheet {
    area: Rectangle,
    middle_m: Point,
    middle_px: Point,
    px_per_m: f64,
}

impl Sheet {
    fn fit([low, high]: [Point; 2], area: Rectangle) -> Self {
        let (w, h) = (f64::from(area.size.width), f64::from(area.size.height));
        let span = high - low;
        let middle_px =
            Point::new(f64::from(area.top_left.x) + w / 2.0, f64::from(area.top_left.y) + h / 2.0);
        let px_per_m = (w / span.x.max(1.0)).min(h / span.y.max(1.0));
        Self { area, middle_m: (low + high) * 0.5, middle_px, px_per_m }
    }

    fn place(&self, p: Point) -> Point {
        let d = (p - self.middle_m) * self.px_per_m;
        Point::new(self.middle_px.x + d.x, self.middle_px.y - d.y)
    }

    fn all(&self, points: &[Point]) -> Vec<Point> {
        points.iter().map(|&p| self.place(p)).collect()
    }
}

fn grid(out: &mut RgbImage, sheet: &Sheet) {
    let half = Point::new(f64::from(sheet.area.size.width), f64::from(sheet.area.size.height))
        * (0.5 / sheet.px_per_m);
    let (low, high) = (sheet.middle_m - half, sheet.middle_m + half);
    if (high.x - low.x) / GRID_M > GRID_LINES_MAX {
        return;
    }
    let lines = |low: f64, high: f64| (low / GRID_M).ceil() as i32..=(high / GRID_M).floor() as i32;
    let bottom = f64::from(sheet.area.top_left.y) + f64::from(sheet.area.size.height);
    for n in lines(low.x, high.x) {
        let x = f64::from(n) * GRID_M;
        let line = sheet.all(&[Point::new(x, low.y), Point::new(x, high.y)]);
        out.line(&line, 1.0, FAINT, if n == 0 { 0.32 } else { 0.13 });
        let text = format!("{x}");
        let half_px = f64::from(text_width(&text, SMALL)) / 2.0;
        out.text(&text, (line[0].x - half_px) as i32, bottom as i32 - 17, SMALL, FAINT);
    }
    for n in lines(low.y, high.y) {
        let y = f64::from(n) * GRID_M;
        let line = sheet.all(&[Point::new(low.x, y), Point::new(high.x, y)]);
        out.line(&line, 1.0, FAINT, if n == 0 { 0.32 } else { 0.13 });
        let at = sheet.area.top_left.x + 6;
        out.text(&format!("{y}"), at, line[0].y as i32 - 7, SMALL, FAINT);
    }
}

fn zones(out: &mut RgbImage, sheet: &Sheet, map: &GroundMap<'_>, labels: &mut Labels) {
    for zone in map.zones {
        let color = match zone.kind {
            ZoneKind::Forbidden => ALARM,
            ZoneKind::Area => WARM,
        };
        let border = sheet.all(zone.border_m.corners());
        out.fill(&border, color, 0.13);
        out.outline(&border, 1.4, color, 0.8);
        let left = border.iter().map(|p| p.x).fold(f64::INFINITY, f64::min);
        let top = border.iter().map(|p| p.y).fold(f64::INFINITY, f64::min);
        labels.put(out, sheet.area, &[(left, top - 16.0)], &zone.name, (SMALL_BOLD, color, None));
    }
}

fn forecast(out: &mut RgbImage, sheet: &Sheet, track: &SceneTrack, color: Rgb888) {
    let Some(ground) = &track.ground else { return };
    let ahead: Vec<&ForecastPoint> =
        track.forecast.points.iter().take_while(|p| p.ahead_s <= FORECAST_S).collect();
    for (i, point) in ahead.iter().enumerate() {
        let border = sheet.all(&ellipse(point));
        // Only the last is filled: many tracks make many ellipses.
        if i + 1 == ahead.len() {
            out.fill(&border, color, 0.04);
        }
        out.outline(&border, 1.0, color, 0.22);
    }
    let path: Vec<Point> =
        std::iter::once(ground.position).chain(ahead.iter().map(|p| p.position_m)).collect();
    out.dashes(&sheet.all(&path), 1.4, color, 0.85);
}

/// One standard deviation around the expected place: the covariance's square root on the unit circle.
fn ellipse(point: &ForecastPoint) -> Vec<Point> {
    const CORNERS: u32 = 40;
    let [sxx, sxy, syy] = point.cov_m2;
    // Cholesky's factor of a 2x2 matrix.
    let a = sxx.max(0.0).sqrt();
    let b = if a > 0.0 { sxy / a } else { 0.0 };
    let c = (syy - b * b).max(0.0).sqrt();
    let corner = |i: u32| {
        let (sin, cos) = (f64::from(i) * std::f64::consts::TAU / f64::from(CORNERS)).sin_cos();
        point.position_m + Point::new(a * cos, b * cos + c * sin)
    };
    (0..CORNERS).map(corner).collect()
}

fn dots(out: &mut RgbImage, sheet: &Sheet, cameras: &[CameraPanel<'_>], labels: &mut Labels) {
    let placed: Vec<(usize, &SceneTrack, Point)> = cameras
        .iter()
        .enumerate()
        .flat_map(|(i, c)| c.scene.tracks.iter().map(move |t| (i, t)))
        .filter_map(|(i, t)| t.ground.as_ref().map(|g| (i, t, sheet.place(g.position))))
        .collect();
    for &(i, track, at) in &placed {
        if let Some((_, alarm)) = remark(track) {
            out.line(&[at], 20.0, alarm, 0.35);
        }
        // Smaller for each further camera: dots of one person become rings of one target.
        let wide_px = (12.0 - 2.5 * i as f64).max(4.5);
        out.line(&[at], wide_px + 2.0, PAGE, 0.9);
        out.line(&[at], wide_px, color_of(i), 1.0);
    }
    for &(i, track, at) in &placed {
        let (x, y) = (at.x, at.y);
        let wide = f64::from(text_width(&track.track.id.to_string(), SMALL)) + 6.0;
        let places =
            [(x + 5.0, y - 16.0), (x - 5.0 - wide, y - 16.0), (x + 5.0, y + 3.0), (x - 5.0 - wide, y + 3.0)];
        // Each camera prefers another side, so that the names of one person stand around it.
        let first = i % places.len();
        let order: Vec<_> = places[first..].iter().chain(&places[..first]).copied().collect();
        labels.put(out, sheet.area, &order, &track.track.id.to_string(), (SMALL, color_of(i), None));
    }
}

/// The camera's name where its picture begins on the ground.
fn names(out: &mut RgbImage, sheet: &Sheet, cameras: &[CameraPanel<'_>], labels: &mut Labels) {
    for (i, camera) in cameras.iter().enumerate() {
        let Size { width, height } = camera.plane.size();
        let Some(near) = camera
            .plane
            .to_ground(Point::new(f64::from(width) / 2.0, f64::from(height)))
            .map(|p| sheet.place(p))
        else {
            continue;
        };
        let name = camera.scene.camera.as_str();
        let half = f64::from(text_width(name, SMALL_BOLD)) / 2.0 + 3.0;
        let places = [-8.0, 10.0, -26.0].map(|dy| (near.x - half, near.y + dy));
        labels.put(out, sheet.area, &places, name, (SMALL_BOLD, color_of(i), Some((PANEL, 0.85))));
    }
}
