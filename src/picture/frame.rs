//! One frame at its own size, with the boxes of its tracks, as a JPEG: what leaves a camera that lets pictures
//! leave.

use super::canvas::{RgbImage, rectangle};
use super::{CAMERAS, CameraPanel, PAGE, Trails, camera};
use crate::model::{GroundPlane, Image, Scene};

/// Draws and packs; `quality` is JPEG's own, 1..=100.
///
/// # Errors
/// When the picture has a side of 0, or of more than 65,535 pixels.
pub fn frame_jpeg(image: &Image, scene: &Scene, plane: &GroundPlane, quality: u8) -> Result<Vec<u8>, String> {
    let size = scene.size;
    let mut out = RgbImage::new(size.width, size.height, PAGE);
    let panel = CameraPanel { image, scene, plane, trails: &Trails::default() };
    camera::draw_alone(&mut out, &panel, CAMERAS[0], rectangle(0, 0, size.width, size.height));
    out.to_jpeg(quality)
}
