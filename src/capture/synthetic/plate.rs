//! The plates of the plaza's vehicles: the truth, as a reader without faults would read it.
//!
//! A plate is on the end of the vehicle that faces the camera. It is not painted: at the pictures' sizes
//! nobody could read it. It is told when it lies in the picture and is [`WIDTH_PX_MIN`] wide; what may stand
//! in front of it is not looked at. For trying out what is built on readers, and for tests.

use nalgebra::Vector3;

use super::view::View;
use super::world::{Actor, mix};
use crate::model::{Attribute, BBox, Class, Plate, Reading};

/// Width and height of a plate.
const SIZE_M: [f64; 2] = [0.52, 0.11];
/// From the middle of a vehicle to its ends.
const END_M: f64 = 1.95;
/// Above the ground.
const UP_M: f64 = 0.5;
/// A narrower plate is read by nobody, pixels.
const WIDTH_PX_MIN: f64 = 8.0;

/// What stands on a vehicle's plate: two letters and four digits.
pub(super) fn text(actor: &Actor) -> String {
    const LETTERS: &[u8; 24] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    let seed = mix(actor.look);
    let letter = |shift: u32| char::from(LETTERS[(seed >> shift) as usize % LETTERS.len()]);
    format!("{}{}{:04}", letter(0), letter(8), (seed >> 16) % 10_000)
}

/// Replaces what is in `out` by the plates that are in the picture.
pub(super) fn read(view: &View, actors: &[Actor], out: &mut Vec<Reading>) {
    out.clear();
    let (width, height) = (f64::from(view.size.width), f64::from(view.size.height));
    for actor in actors.iter().filter(|actor| actor.class == Class::Vehicle) {
        let (sin, cos) = actor.heading_rad.sin_cos();
        let (p, camera) = (actor.position_m, view.position);
        let faces_us = cos * (camera.x - p.x) + sin * (camera.y - p.y) > 0.0;
        let end_m = if faces_us { END_M } else { -END_M };
        let Some(seen) = view.project(Vector3::new(p.x + cos * end_m, p.y + sin * end_m, UP_M)) else {
            continue;
        };
        let [w, h] = SIZE_M.map(|length_m| length_m * f64::from(seen.px_per_m));
        let bbox = BBox::new(f64::from(seen.u) - w / 2.0, f64::from(seen.v) - h / 2.0, w, h);
        let inside = bbox.left >= 0.0 && bbox.top >= 0.0 && bbox.right() <= width && bbox.bottom() <= height;
        if inside && w >= WIDTH_PX_MIN {
            let attribute = Attribute::Plate(Plate { text: text(actor), confidence: 1.0, bbox });
            out.push(Reading { attribute, bbox });
        }
    }
}
