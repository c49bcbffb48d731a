//! How the bytes of a frame become an [`Image`]: 8 bits a sample, video range, rows without padding.
//!
//! - A sample of more than 8 bits is little-endian in two bytes; its highest 8 bits stay.
//! - `XCOLORRANGE=FULL` (ffmpeg writes it for gray and for JPEG) is brought to video range, 16 to 235. An unmarked
//!   stream is video range: ffmpeg's `extractplanes` writes such gray.
//! - `GStreamer` 1.22's `y4menc` writes each plane with the row length and the number of rows that its buffers have,
//!   and the header does not say so ([`Format::padded`]).

use crate::model::{Chroma, Image, Size};

/// The shape of every frame of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) size: Size,
    pub(super) chroma: Chroma,
    /// Bits of a sample, 8 to 16.
    pub(super) bits: u32,
    /// A fourth plane of the size of luma, which is read over.
    pub(super) has_alpha: bool,
    /// Samples reach from 0 to the greatest.
    pub(super) is_full_range: bool,
    /// `Ib`: `GStreamer`'s buffers then have an even number of chroma rows.
    pub(super) is_bottom_first: bool,
}

/// Bytes of a row and rows of the luma plane, and of each chroma plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    luma: (usize, usize),
    chroma: (usize, usize),
    alpha: usize,
}

impl Layout {
    /// Bytes of a frame.
    pub(super) fn len(self) -> usize {
        self.luma.0 * self.luma.1 + 2 * self.chroma.0 * self.chroma.1 + self.alpha
    }
}

impl Format {
    /// Sampling, bits and alpha of the parameter `C`; `None` for one that is not supported.
    pub(super) fn parse_sampling(text: &str) -> Option<(Chroma, u32, bool)> {
        Some(match text {
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => (Chroma::C420, 8, false),
            "411" => (Chroma::C411, 8, false),
            "422" => (Chroma::C422, 8, false),
            "444" => (Chroma::C444, 8, false),
            "444alpha" => (Chroma::C444, 8, true),
            "mono" => (Chroma::Mono, 8, false),
            _ => {
                let (chroma, bits) = match text.strip_prefix("mono") {
                    Some(bits) => (Chroma::Mono, bits),
                    None => match text.split_once('p')? {
                        ("420", bits) => (Chroma::C420, bits),
                        ("422", bits) => (Chroma::C422, bits),
                        ("444", bits) => (Chroma::C444, bits),
                        _ => return None,
                    },
                };
                let bits = ["9", "10", "12", "14", "16"].contains(&bits).then(|| bits.parse().ok())??;
                (chroma, bits, false)
            }
        })
    }

    fn sample_bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// Rows without padding.
    pub(super) fn packed(&self) -> Layout {
        let bytes = self.sample_bytes();
        let plane = |size: Size| (size.width as usize * bytes, size.height as usize);
        let luma = plane(self.size);
        let alpha = if self.has_alpha { luma.0 * luma.1 } else { 0 };
        Layout { luma, chroma: plane(self.chroma.plane_size(self.size)), alpha }
    }

    /// As `GStreamer` 1.22 lays out its buffers (`fill_planes` of its video-info.c), where that differs.
    pub(super) fn padded(&self) -> Option<Layout> {
        if self.bits > 8 || self.has_alpha {
            return None;
        }
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let row = width.next_multiple_of(4);
        let (luma, chroma) = match self.chroma {
            Chroma::C420 => {
                let rows = height.next_multiple_of(2);
                let chroma_rows = (rows / 2).next_multiple_of(if self.is_bottom_first { 2 } else { 1 });
                ((row, rows), (width.div_ceil(2).next_multiple_of(4), chroma_rows))
            }
            Chroma::C422 => ((row, height), (width.next_multiple_of(8) / 2, height)),
            Chroma::C411 => ((row, height), (width.next_multiple_of(16) / 4, height)),
            Chroma::C444 => ((row, height), (row, height)),
            Chroma::Mono => return None,
        };
        let layout = Layout { luma, chroma, alpha: 0 };
        (layout != self.packed()).then_some(layout)
    }

    /// Whether a frame of this layout is the bytes of an [`Image`].
    pub(super) fn is_image(&self, layout: Layout) -> bool {
        self.bits == 8 && !self.has_alpha && layout == self.packed()
    }

    /// Puts a frame of this layout into an image of the format's shape.
    pub(super) fn unpack(&self, layout: Layout, frame: &[u8], image: &mut Image) {
        let shift = self.bits.saturating_sub(8);
        let chroma_size = self.chroma.plane_size(self.size);
        let mut from = frame;
        for (i, plane) in image.planes_mut().into_iter().enumerate() {
            let ((stride, rows), size) =
                if i == 0 { (layout.luma, self.size) } else { (layout.chroma, chroma_size) };
            let (bytes, rest) = from.split_at(stride * rows);
            from = rest;
            if stride == 0 {
                continue;
            }
            let width = size.width as usize;
            for (to, row) in plane.chunks_exact_mut(width).zip(bytes.chunks_exact(stride)) {
                if shift == 0 {
                    to.copy_from_slice(&row[..width]);
                } else {
                    for (to, sample) in to.iter_mut().zip(row.chunks_exact(2)) {
                        let value = u16::from_le_bytes([sample[0], sample[1]]) >> shift;
                        // Bits beyond the format's own are none of it.
                        *to = value.min(255) as u8;
                    }
                }
            }
        }
    }

    /// Brings the samples to video range.
    pub(super) fn normalize(&self, image: &mut Image) {
        if !self.is_full_range {
            return;
        }
        let [luma, chroma @ ..] = image.planes_mut();
        for y in luma {
            *y = ((u32::from(*y) * 219 + 127) / 255 + 16) as u8;
        }
        for plane in chroma {
            // 128 stays 128, 0 becomes 16, 255 becomes 240.
            for c in plane {
                *c = ((u32::from(*c) * 224 + 3968 + 127) / 255) as u8;
            }
        }
    }
}
