//! A picture with the ground plane drawn over it: a grid in metres, the edge of the footprint, and people of usual height
//! here and there. Where the calibration is right, the lines lie on the ground and the people fit to what is seen.

use super::canvas::{RgbImage, rectangle, text_width};
use super::{ALARM, CAMERAS, INK, PAGE, SMALL, camera};
use crate::model::{GroundPlane, Image, Point};

/// The spacings of the lines, metres: the least with which no more than [`NEAR_MAX`] stand side by side at the near edge.
const STEPS_M: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
const COARSEST_M: f64 = 200.0;
const NEAR_MAX: f64 = 12.0;
/// Where the ground is so far away that the lines would be closer than this, only every fifth is drawn, pixels.
const APART_PX: f64 = 8.0;
/// Most lines one way.
const LINES_MAX: f64 = 60.0;
/// Points on a line.
const POINTS: usize = 200;
/// How tall the people are that are drawn, metres.
const PERSON_M: f64 = 1.75;
/// Where they stand, as parts of the picture's width and height.
const PEOPLE: [(f64, f64); 5] = [(0.25, 0.9), (0.75, 0.9), (0.5, 0.7), (0.25, 0.5), (0.75, 0.5)];

/// Draws the grid over the picture. The plane may have been calibrated at another size of the same picture.
pub fn ground_grid(image: &Image, plane: &GroundPlane) -> RgbImage {
    let size = image.size();
    let plane = plane.resized(size);
    let mut out = RgbImage::new(size.width, size.height, PAGE);
    camera::draw_frame(&mut out, image, rectangle(0, 0, size.width, size.height));
    let Some(footprint) = plane.footprint() else { return out };
    let (corners, (low, high)) = (footprint.corners(), footprint.bounds());
    let (x_m, y_m) = ((low.x, high.x), (low.y, high.y));
    // The far edge may lie at the horizon: the near half decides how fine the grid is.
    let near = Point::new(f64::from(size.width) / 2.0, f64::from(size.height) * 0.75);
    let wide_m = plane.px_per_metre(near).map_or(x_m.1 - x_m.0, |scale| f64::from(size.width) / scale);
    let step_m = STEPS_M.into_iter().find(|step_m| wide_m / step_m <= NEAR_MAX).unwrap_or(COARSEST_M);
    let middle = plane.to_ground(near).unwrap_or(corners[0]);
    for (along_x, (from, to), (across_from, across_to), middle) in
        [(true, y_m, x_m, middle.y), (false, x_m, y_m, middle.x)]
    {
        // The lines next to the near half, however far the ground goes on.
        let reach_m = LINES_MAX / 2.0 * step_m;
        let (first, last) = (from.max(middle - reach_m), to.min(middle + reach_m));
        let mut at = (first / step_m).ceil() * step_m;
        while at <= last {
            let point = |across: f64| if along_x { Point::new(across, at) } else { Point::new(at, across) };
            line(&mut out, &plane, [point(across_from), point(across_to)], at, along_x, step_m);
            at += step_m;
        }
    }
    for pair in corners.iter().zip(corners.iter().cycle().skip(1)) {
        draw_on_ground(&mut out, &plane, [*pair.0, *pair.1], 0.0, |out, run| {
            out.line(run, 3.0, CAMERAS[0], 0.9);
        });
    }
    for (u, v) in PEOPLE {
        let foot = Point::new(u * f64::from(size.width), v * f64::from(size.height));
        if let Some(head) = plane.upright_px(foot, PERSON_M) {
            out.line(&[foot, head], 5.0, PAGE, 0.5);
            out.line(&[foot, head], 2.5, ALARM, 1.0);
        }
    }
    caption(&mut out, step_m);
    out
}

/// One line of the grid, with the metre that it stands for where it enters the picture.
fn line(out: &mut RgbImage, plane: &GroundPlane, ends: [Point; 2], at_m: f64, along_x: bool, step_m: f64) {
    let is_fifth = (at_m / step_m).round().rem_euclid(5.0) == 0.0;
    let (width_px, opacity) = if is_fifth { (1.8, 0.9) } else { (1.0, 0.55) };
    let apart_m = if is_fifth { step_m * 5.0 } else { step_m };
    draw_on_ground(out, plane, ends, APART_PX / apart_m, |out, run| {
        out.line(run, width_px + 1.5, PAGE, 0.3);
        out.line(run, width_px, INK, opacity);
        if !is_fifth {
            return;
        }
        let size = (f64::from(out.width()), f64::from(out.height()));
        let within = |p: &&Point| p.x > 2.0 && p.y > 16.0 && p.x < size.0 - 50.0 && p.y < size.1 - 32.0;
        if let Some(place) = run.iter().find(within) {
            let text = format!("{}={at_m}", if along_x { "y" } else { "x" });
            label(out, place.x as i32 + 2, place.y as i32 - 14, &text);
        }
    });
}

/// Draws what is seen of a straight line on the ground, in runs of points that lie in or near the picture, and where a
/// metre is at least `px_per_metre` wide.
fn draw_on_ground(
    out: &mut RgbImage,
    plane: &GroundPlane,
    [from, to]: [Point; 2],
    px_per_metre: f64,
    mut draw: impl FnMut(&mut RgbImage, &[Point]),
) {
    let (width, height) = (f64::from(out.width()), f64::from(out.height()));
    let mut run: Vec<Point> = Vec::new();
    for n in 0..=POINTS {
        let on_ground = from + (to - from) * (n as f64 / POINTS as f64);
        let is_near =
            |p: &Point| (-width..2.0 * width).contains(&p.x) && (-height..2.0 * height).contains(&p.y);
        let is_apart = |p: &Point| plane.px_per_metre(*p).is_some_and(|px| px >= px_per_metre);
        let seen = plane.to_image(on_ground).filter(|p| is_near(p) && is_apart(p));
        if let Some(p) = seen {
            run.push(p);
        }
        if (seen.is_none() || n == POINTS) && !run.is_empty() {
            draw(out, &run);
            run.clear();
        }
    }
}

fn caption(out: &mut RgbImage, step_m: f64) {
    let text = format!("a line every {step_m} m; red: {PERSON_M} m upright; coloured edge: the footprint");
    let bottom = out.height() as i32 - 16;
    label(out, 2, bottom, &text);
}

fn label(out: &mut RgbImage, x: i32, y: i32, text: &str) {
    out.rectangle(rectangle(x - 1, y, text_width(text, SMALL) + 3, 14), PAGE, 0.72);
    out.text(text, x, y, SMALL, INK);
}
