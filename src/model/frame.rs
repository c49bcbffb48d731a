//! One frame of one camera.

use super::{CameraId, Detection, Reading, Size};
use crate::base::Time;

/// How the chroma planes are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chroma {
    /// No chroma: luma only.
    #[default]
    Mono,
    /// Half as many chroma columns and rows, rounded up.
    C420,
    /// A quarter as many chroma columns, rounded up.
    C411,
    /// Half as many chroma columns, rounded up.
    C422,
    /// As many chroma samples as luma samples.
    C444,
}

impl Chroma {
    /// The size of each of the two chroma planes.
    pub fn plane_size(self, luma: Size) -> Size {
        let Size { width, height } = luma;
        match self {
            Self::Mono => Size { width: 0, height: 0 },
            Self::C420 => Size { width: width.div_ceil(2), height: height.div_ceil(2) },
            Self::C411 => Size { width: width.div_ceil(4), height },
            Self::C422 => Size { width: width.div_ceil(2), height },
            Self::C444 => luma,
        }
    }
}

/// The color of a sample: R'G'B', 0..255 and a little beyond, not rounded. ITU-R BT.601, video range.
pub fn rgb(luma: f64, [cb, cr]: [f64; 2]) -> [f64; 3] {
    let y = 1.164_384 * (luma - 16.0);
    let (b, r) = (cb - 128.0, cr - 128.0);
    [y + 1.596_027 * r, y - 0.391_762 * b - 0.812_968 * r, y + 2.017_232 * b]
}

/// A planar 8-bit Y'`CbCr` picture: the luma plane, then Cb, then Cr, rows without padding.
///
/// The buffer is reused from frame to frame; [`Image::reset`] only allocates when a picture grows.
#[derive(Debug, Clone, Default)]
pub struct Image {
    size: Size,
    chroma: Chroma,
    data: Vec<u8>,
}

impl Image {
    /// Makes the picture of the given shape; the samples' values are whatever was there before.
    pub fn reset(&mut self, size: Size, chroma: Chroma) {
        self.size = size;
        self.chroma = chroma;
        self.data.resize(Self::byte_len(size, chroma), 0);
    }

    /// Bytes in a picture of this shape.
    pub fn byte_len(size: Size, chroma: Chroma) -> usize {
        let samples = |s: Size| s.width as usize * s.height as usize;
        samples(size) + 2 * samples(chroma.plane_size(size))
    }

    /// Columns and rows of the luma plane.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How chroma is sampled.
    pub fn chroma(&self) -> Chroma {
        self.chroma
    }

    fn luma_len(&self) -> usize {
        self.size.width as usize * self.size.height as usize
    }

    /// The luma samples, row by row.
    pub fn luma(&self) -> &[u8] {
        &self.data[..self.luma_len()]
    }

    /// The Cb and Cr samples, each row by row in [`Chroma::plane_size`]; empty for a mono picture.
    pub fn chroma_planes(&self) -> (&[u8], &[u8]) {
        let chroma = &self.data[self.luma_len()..];
        chroma.split_at(chroma.len() / 2)
    }

    /// All three planes, to be written.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let luma_len = self.luma_len();
        let (luma, chroma) = self.data.split_at_mut(luma_len);
        let (cb, cr) = chroma.split_at_mut(chroma.len() / 2);
        [luma, cb, cr]
    }

    /// All samples in the order of the planes.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// All samples in the order of the planes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }
}

/// What a source delivers: pixels, or what somebody else already detected in them.
#[derive(Debug, Clone)]
pub enum Content {
    /// A picture for a detector, of [`Frame::size`] or smaller: the same view at fewer pixels.
    Image(Image),
    /// The detections of a frame whose pixels we never see, in pixels of [`Frame::size`].
    Detections(Vec<Detection>),
}

/// One frame, as it comes from a source.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The camera it belongs to.
    pub camera: CameraId,
    /// Counts the source's frames from 0, dropped ones included.
    pub seq: u64,
    /// When it was captured: the device's own time; the arrival of a live stream that carries none;
    /// of a file, its start plus index by rate.
    pub time: Time,
    /// The picture's size, whether or not all its pixels are here: boxes are in pixels of this.
    pub size: Size,
    /// Pixels or detections.
    pub content: Content,
    /// What a source that knows has read in it; none from a source of pixels alone.
    pub readings: Vec<Reading>,
}

impl Frame {
    /// An empty frame, to be filled by a source.
    pub fn empty(camera: CameraId) -> Self {
        Self {
            camera,
            seq: 0,
            time: Time::default(),
            size: Size::default(),
            content: Content::Image(Image::default()),
            readings: Vec::new(),
        }
    }
}
