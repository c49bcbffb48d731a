//! A part of a picture as the input of a network: cut out, scaled, converted to RGB, normalized.
//!
//! Luma is interpolated (bilinear), and averaged over up to 4 x 4 places where the picture is shrunk; chroma is taken from the
//! nearest sample. What lies outside the picture is gray.

use super::{Color, Description, Layout, Tensor};
use crate::model::{BBox, Image, rgb};

/// The gray around a picture, as YOLOX has it in training.
const OUTSIDE: f32 = 114.0;
/// Most samples along a side that are averaged into one pixel.
const SAMPLES_MAX: usize = 4;

/// Fills `tensor` with this part of the picture.
pub(super) fn cut(image: &Image, region: BBox, description: &Description, tensor: &mut Tensor) {
    let shape = description.input_shape();
    tensor.shape.clear();
    tensor.shape.extend(shape);
    tensor.data.resize(shape.iter().product(), 0.0);
    let (columns, rows) = (description.size.width as usize, description.size.height as usize);
    let (pixel, channel) = match description.layout {
        Layout::Nchw => (1, columns * rows),
        Layout::Nhwc => (3, 1),
    };
    let step = [region.width / columns as f64, region.height / rows as f64];
    let samples = ((step[0].max(step[1]) / 2.0).ceil() as usize).clamp(1, SAMPLES_MAX);
    let planes = Planes::of(image);
    for row in 0..rows {
        for column in 0..columns {
            let at =
                [region.left + (column as f64 + 0.5) * step[0], region.top + (row as f64 + 0.5) * step[1]];
            let mut color = planes.rgb(at, step, samples);
            if description.color == Color::Bgr {
                color.swap(0, 2);
            }
            let place = (row * columns + column) * pixel;
            for (index, value) in color.into_iter().enumerate() {
                let value = (value - description.mean[index]) * description.scale[index];
                tensor.data[place + index * channel] = value;
            }
        }
    }
}

struct Planes<'a> {
    luma: &'a [u8],
    width: usize,
    height: usize,
    cb: &'a [u8],
    cr: &'a [u8],
    chroma: [usize; 2],
}

impl<'a> Planes<'a> {
    fn of(image: &'a Image) -> Self {
        let (size, (cb, cr)) = (image.size(), image.chroma_planes());
        let chroma = image.chroma().plane_size(size);
        Self {
            luma: image.luma(),
            width: size.width as usize,
            height: size.height as usize,
            cb,
            cr,
            chroma: [chroma.width as usize, chroma.height as usize],
        }
    }

    /// The color (0..255) around a place; `samples` along each side of a pixel are averaged.
    fn rgb(&self, at: [f64; 2], step: [f64; 2], samples: usize) -> [f32; 3] {
        let (width, height) = (self.width as f64, self.height as f64);
        if !(0.0..width).contains(&at[0]) || !(0.0..height).contains(&at[1]) {
            return [OUTSIDE; 3];
        }
        let mut sum = 0.0;
        for i in 0..samples {
            for j in 0..samples {
                let part = |k: usize| (k as f64 + 0.5) / samples as f64 - 0.5;
                sum += self.luma_at(at[0] + part(i) * step[0], at[1] + part(j) * step[1]);
            }
        }
        let luma = f64::from(sum) / (samples * samples) as f64;
        rgb(luma, self.chroma_at(at)).map(|value| value.clamp(0.0, 255.0) as f32)
    }

    fn luma_at(&self, x: f64, y: f64) -> f32 {
        let (x, y) =
            ((x - 0.5).clamp(0.0, (self.width - 1) as f64), (y - 0.5).clamp(0.0, (self.height - 1) as f64));
        let (left, top) = (x as usize, y as usize);
        let (right, low) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (dx, dy) = ((x - left as f64) as f32, (y - top as f64) as f32);
        let value = |column: usize, row: usize| f32::from(self.luma[row * self.width + column]);
        let upper = value(left, top) + dx * (value(right, top) - value(left, top));
        let lower = value(left, low) + dx * (value(right, low) - value(left, low));
        upper + dy * (lower - upper)
    }

    /// Cb and Cr; those of gray in a picture without color.
    fn chroma_at(&self, at: [f64; 2]) -> [f64; 2] {
        let [columns, rows] = self.chroma;
        if columns == 0 || rows == 0 {
            return [128.0; 2];
        }
        let column = (at[0] * columns as f64 / self.width as f64) as usize;
        let row = (at[1] * rows as f64 / self.height as f64) as usize;
        let place = row.min(rows - 1) * columns + column.min(columns - 1);
        [f64::from(self.cb[place]), f64::from(self.cr[place])]
    }
}
