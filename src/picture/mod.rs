//! Draws what the program saw: each camera's frame with boxes, trails and forecasts, and beside the
//! frames the ground they share, with the tracks of all cameras, their footprints and the zones.
//!
//! A picture is made from a handful of frames at the end of a run, not in the pipeline: it may take
//! a moment and allocate. Each camera has a colour, the same for its boxes and for its dots on the
//! map, so that one sees how far the cameras agree. Pixels become red, green and blue by Rec. 601,
//! video range. Nothing here decides anything; it only shows a [`Scene`].
//!
//! Tracks without a place on the ground are shown in their frame only.

mod camera;
mod canvas;
mod frame;
mod ground;
mod map;

use std::collections::{BTreeMap, VecDeque};

use canvas::{Rgb888, rectangle, text_width};
use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::mono_font::iso_8859_1::{
    FONT_7X13, FONT_7X13_BOLD, FONT_9X18, FONT_9X18_BOLD, FONT_10X20,
};
use embedded_graphics::primitives::Rectangle;

pub use canvas::RgbImage;
pub use frame::frame_jpeg;
pub use ground::ground_grid;

use crate::base::Time;
use crate::model::{Behaviors, GroundPlane, Image, Point, Scene, SceneTrack, Zone};

/// One camera's part of the picture.
#[derive(Debug, Clone, Copy)]
pub struct CameraPanel<'a> {
    /// The pixels of the frame.
    pub image: &'a Image,
    /// What was found in it.
    pub scene: &'a Scene,
    /// The map between the frame and the ground.
    pub plane: &'a GroundPlane,
    /// Where its tracks were.
    pub trails: &'a Trails,
}

/// The ground that the cameras share.
#[derive(Debug, Clone, Copy)]
pub struct GroundMap<'a> {
    /// Lowest and highest x and y that must be on the map, metres.
    pub extent_m: [Point; 2],
    /// Zones to be marked.
    pub zones: &'a [Zone],
    /// A line about the whole, shown in the header.
    pub caption: &'a str,
}

/// Where the tracks of one camera were in the last [`TRAIL_S`] seconds, on the ground.
#[derive(Debug, Clone, Default)]
pub struct Trails {
    points: BTreeMap<u32, VecDeque<(Time, Point)>>,
}

/// A trail goes back this far.
pub const TRAIL_S: f64 = 5.0;
/// Most points in one trail; the oldest go first.
const TRAIL_POINTS_MAX: usize = 300;
/// A forecast is drawn this far ahead; farther ones would cover the map.
const FORECAST_S: f64 = 2.0;

impl Trails {
    /// Adds the places of a scene's tracks and forgets what is too old.
    pub fn observe(&mut self, scene: &Scene) {
        for track in &scene.tracks {
            if let Some(ground) = &track.ground {
                let trail = self.points.entry(track.track.id).or_default();
                trail.push_back((scene.time, ground.position));
                if trail.len() > TRAIL_POINTS_MAX {
                    trail.pop_front();
                }
            }
        }
        self.points.retain(|_, trail| {
            while trail.front().is_some_and(|(at, _)| scene.time.seconds_from(*at) > TRAIL_S) {
                trail.pop_front();
            }
            !trail.is_empty()
        });
    }

    /// A track's places, the oldest first, metres.
    fn of(&self, id: u32) -> Vec<Point> {
        self.points.get(&id).into_iter().flatten().map(|&(_, p)| p).collect()
    }
}

const fn rgb(hex: u32) -> Rgb888 {
    Rgb888::new((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const PAGE: Rgb888 = rgb(0x14_18_1e);
const PANEL: Rgb888 = rgb(0x1c_22_2a);
const INK: Rgb888 = rgb(0xe6_ea_ee);
const FAINT: Rgb888 = rgb(0x8a_96_a3);
const WARM: Rgb888 = rgb(0xf2_b1_5c);
const ALARM: Rgb888 = rgb(0xf0_7f_6d);
/// Cameras' colours; with more than eight they repeat.
const CAMERAS: [Rgb888; 8] = [
    rgb(0x6c_d4_c0),
    rgb(0x8f_b4_f5),
    rgb(0xe3_c2_6f),
    rgb(0xd8_9c_d8),
    rgb(0x9c_d6_7d),
    rgb(0xee_a5_8c),
    rgb(0x7f_c8_e8),
    rgb(0xc3_bc_ae),
];

const GAP_PX: u32 = 14;
const HEADER_PX: u32 = 44;
const TITLE_PX: u32 = 30;
/// All tiles have this width; frames are scaled to it.
const TILE_WIDTH_PX: u32 = 640;
/// Tallest tile, whatever the shape of the frames.
const TILE_HEIGHT_MAX_PX: u32 = 960;

/// Draws all cameras and the map, in rows of tiles of one size.
pub fn render(cameras: &[CameraPanel<'_>], map: &GroundMap<'_>) -> RgbImage {
    let tiles = cameras.len() as u32 + 1;
    let columns = (1..=tiles).find(|n| n * n >= tiles).unwrap_or(1);
    let rows = tiles.div_ceil(columns);
    let tall = |c: &CameraPanel<'_>| {
        let size = c.scene.size;
        TILE_WIDTH_PX * size.height / size.width.max(1)
    };
    let height =
        cameras.iter().map(tall).max().unwrap_or(TILE_WIDTH_PX * 3 / 4).clamp(240, TILE_HEIGHT_MAX_PX);
    let width_px = columns * (TILE_WIDTH_PX + GAP_PX) + GAP_PX;
    let height_px = HEADER_PX + rows * (TITLE_PX + height + GAP_PX);
    let mut out = RgbImage::new(width_px, height_px, PAGE);
    header(&mut out, map.caption);
    for i in 0..tiles {
        let x = (GAP_PX + i % columns * (TILE_WIDTH_PX + GAP_PX)) as i32;
        let y = (HEADER_PX + i / columns * (TITLE_PX + height + GAP_PX)) as i32;
        let title = rectangle(x, y, TILE_WIDTH_PX, TITLE_PX);
        let area = rectangle(x, y + TITLE_PX as i32, TILE_WIDTH_PX, height);
        match cameras.get(i as usize) {
            Some(panel) => camera::draw(&mut out, panel, color_of(i as usize), title, area),
            None => map::draw(&mut out, cameras, map, title, area),
        }
    }
    out
}

fn color_of(camera: usize) -> Rgb888 {
    CAMERAS[camera % CAMERAS.len()]
}

fn header(out: &mut RgbImage, caption: &str) {
    out.text("OmniSight", GAP_PX as i32 + 2, 13, &FONT_10X20, INK);
    let x = out.width() as i32 - GAP_PX as i32 - 2 - text_width(caption, &FONT_9X18) as i32;
    out.text(caption, x, 15, &FONT_9X18, FAINT);
}

/// The title bar of a tile: a name on its left, a remark on its right.
fn title_bar(out: &mut RgbImage, bar: Rectangle, name: &str, color: Rgb888, remark: &str) {
    out.rectangle(bar, PANEL, 1.0);
    let (x, y) = (bar.top_left.x, bar.top_left.y);
    out.rectangle(rectangle(x, y, 4, bar.size.height), color, 1.0);
    out.text(name, x + 14, y + 6, &FONT_9X18_BOLD, color);
    let right = x + bar.size.width as i32 - 12 - text_width(remark, &FONT_7X13) as i32;
    out.text(remark, right, y + 9, &FONT_7X13, FAINT);
}

/// What is remarkable about a track, and its colour; nothing when it behaves like everybody.
fn remark(track: &SceneTrack) -> Option<(&'static str, Rgb888)> {
    let flags = track.behavior.flags;
    let words = [
        (Behaviors::CONCEALING, "concealing", ALARM),
        (Behaviors::RUNNING, "running", ALARM),
        (Behaviors::SUSPICIOUS_MOVEMENT, "zigzag", ALARM),
        (Behaviors::LOITERING, "loitering", WARM),
        (Behaviors::REPEATED_PASSES, "returning", WARM),
        (Behaviors::EXTENDED_OBSERVATION, "watching", WARM),
    ];
    words.into_iter().find(|(flag, ..)| flags.contains(*flag)).map(|(_, word, color)| (word, color))
}

/// Places for labels that do not cover one another.
#[derive(Default)]
struct Labels {
    taken: Vec<Rectangle>,
}

impl Labels {
    /// Writes `text` at the first of `places` (top left corners) that is free and within `area`;
    /// nothing when all are taken, for text over text can't be read.
    fn put(
        &mut self,
        out: &mut RgbImage,
        area: Rectangle,
        places: &[(f64, f64)],
        text: &str,
        (font, ink, paper): (&MonoFont<'_>, Rgb888, Option<(Rgb888, f64)>),
    ) -> Option<Rectangle> {
        let (width, height) = (text_width(text, font) + 6, font.character_size.height + 2);
        let free = places
            .iter()
            .map(|&(x, y)| rectangle(x.round() as i32, y.round() as i32, width, height))
            .find(|r| {
                r.intersection(&area) == *r && self.taken.iter().all(|t| t.intersection(r).is_zero_sized())
            })?;
        if let Some((color, opacity)) = paper {
            out.rectangle(free, color, opacity);
        }
        out.text(text, free.top_left.x + 3, free.top_left.y + 1, font, ink);
        self.taken.push(free);
        Some(free)
    }
}

/// Small text, and the same in bold.
const SMALL: &MonoFont<'_> = &FONT_7X13;
const SMALL_BOLD: &MonoFont<'_> = &FONT_7X13_BOLD;

#[cfg(test)]
mod tests;
