//! The solid heart of a vehicle in a group of blobs.
//!
//! Whatever people do, one sees between their heads and their legs: no group of them fills a rectangle
//! [`CORE`] wide and high, in heights of a person at that place. A car, a van or a bus does. So such a
//! rectangle is a vehicle, and people before and beside it are told from it; it is grown to where the
//! vehicle ends.

use super::blobs::Rect;
use super::scale::Person;

/// Width and height in heights of a person.
const CORE: (f32, f32) = (1.0, 0.65);
/// The part of it that is set: windows that show the ground's colour are not.
const CORE_SET: f32 = 0.95;
/// It grows over rows and columns of which this part is set.
const EDGE_SET: f32 = 0.4;
/// Places are tried in steps of this part of a person's height.
const STEP: f32 = 0.125;

/// The first solid rectangle from below, grown; `set` counts the set pixels of a rectangle and `person`
/// knows the size of people whose feet are in a row.
pub(super) fn find(
    width: usize,
    height: usize,
    set: impl Fn(Rect) -> f32,
    person: impl Fn(usize) -> Option<Person>,
) -> Option<Rect> {
    let mut bottom = height;
    while let Some(person) = person(bottom) {
        let (w, h) = ((CORE.0 * person.height) as usize, (CORE.1 * person.height) as usize);
        if h == 0 || bottom < h {
            return None;
        }
        let step = ((STEP * person.height) as usize).max(1);
        for left in (0..(width + 1).saturating_sub(w)).step_by(step) {
            let core = Rect { left, top: bottom - h, right: left + w, bottom };
            if set(core) >= CORE_SET * (w * h) as f32 {
                return Some(grown(core, width, height, set));
            }
        }
        bottom = bottom.checked_sub(step)?;
    }
    None
}

fn grown(mut rect: Rect, width: usize, height: usize, set: impl Fn(Rect) -> f32) -> Rect {
    loop {
        let before = rect;
        let (w, h) = (EDGE_SET * rect.width() as f32, EDGE_SET * rect.height() as f32);
        if rect.left > 0 && set(Rect { left: rect.left - 1, right: rect.left, ..rect }) >= h {
            rect.left -= 1;
        }
        if rect.right < width && set(Rect { left: rect.right, right: rect.right + 1, ..rect }) >= h {
            rect.right += 1;
        }
        if rect.top > 0 && set(Rect { top: rect.top - 1, bottom: rect.top, ..rect }) >= w {
            rect.top -= 1;
        }
        if rect.bottom < height && set(Rect { top: rect.bottom, bottom: rect.bottom + 1, ..rect }) >= w {
            rect.bottom += 1;
        }
        if rect == before {
            return rect;
        }
    }
}
