//! YUV4MPEG2: raw video as text headers and planes (yuv4mpeg(5) of mjpegtools).
//!
//! ```text
//! YUV4MPEG2 W480 H360 F10:1 Ip A1:1 C420jpeg\n  FRAME\n <luma, Cb, Cr>  FRAME\n ...
//! ```
//!
//! Reads any `Read`, in whatever pieces it delivers, and decodes into a caller's [`Image`]: a frame
//! costs no allocation once its buffer has the size. 4:2:0, 4:1:1, 4:2:2, 4:4:4 and luma only, of 8 to 16 bits,
//! odd sizes included; [`format`](mod@format) says what becomes of them. Aspect and other `X` extensions are read over.
//! Whether the rows are padded shows behind the first frame, which a stream of such a size delivers only then.
//!
//! Memory is bounded by [`SIDE_PX_MAX`] and [`LINE_BYTES_MAX`], whatever the stream claims. An error
//! names the byte where it was found; after one the stream can't be trusted and is not read on.

mod format;

use std::io::{self, BufRead, BufReader, Read};

use self::format::{Format, Layout};
use crate::base::ErrorKind;
use crate::model::{Chroma, Image, Size};

/// Longest stream or frame header, in bytes.
pub const LINE_BYTES_MAX: usize = 1024;
/// Widest and highest picture, in pixels: 8K with room, 200 MB a frame at 4:4:4.
pub const SIDE_PX_MAX: u32 = 8192;
/// Bytes of a foreign stream that an error message shows.
const SHOWN_BYTES_MAX: usize = 24;
const MAGIC: &str = "YUV4MPEG2";
/// What every frame begins with.
const FRAME: &[u8] = b"FRAME";

/// What is wrong with a stream; positions count bytes from 0.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not one byte.
    #[error("the stream is empty")]
    Empty,
    /// It is something else.
    #[error("this is not YUV4MPEG2: it starts with \"{found}\"")]
    NotY4m {
        /// The first bytes, escaped.
        found: String,
    },
    /// A header does not come to an end.
    #[error("the header at byte {at} is longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong {
        /// Where the header starts.
        at: u64,
    },
    /// The stream ends within a header.
    #[error("the stream ends within the header at byte {at}")]
    HalfHeader {
        /// Where the header starts.
        at: u64,
    },
    /// A header parameter makes no sense.
    #[error("parameter \"{parameter}\" in the header at byte {at} is not {expected}")]
    Parameter {
        /// The parameter, escaped.
        parameter: String,
        /// Where the header starts.
        at: u64,
        /// What it should be.
        expected: &'static str,
    },
    /// Width or height is missing.
    #[error("the stream header names no {0}")]
    NoSize(&'static str),
    /// A picture without pixels.
    #[error("the picture has no pixels: {width}x{height}")]
    ZeroSize {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A picture beyond [`SIDE_PX_MAX`].
    #[error("the picture is too large: {width}x{height}, at most {SIDE_PX_MAX}x{SIDE_PX_MAX}")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A sampling or bit depth that is not supported.
    #[error(
        "pixel format \"{0}\" is not supported: 420, 411, 422, 444 and mono are, and 420p10, 422p10, 444p10 and mono10 (9, 12, 14 and 16 too); for ffmpeg -pix_fmt yuv420p"
    )]
    PixelFormat(String),
    /// Something else stands where a frame should start.
    #[error("frame {index} does not start with FRAME at byte {at} but with \"{found}\"")]
    NotAFrame {
        /// Frames before it.
        index: u64,
        /// Where it should start.
        at: u64,
        /// What is there, escaped.
        found: String,
    },
    /// The stream ends within a frame.
    #[error("frame {index} is cut off: {got} of {expected} bytes, then the stream ends at byte {at}")]
    HalfFrame {
        /// Frames before it.
        index: u64,
        /// Where the stream ends.
        at: u64,
        /// Bytes that came.
        got: usize,
        /// Bytes in a frame.
        expected: usize,
    },
    /// A header and not one frame.
    #[error("the stream ends after its header, without a frame")]
    NoFrames,
    /// Reading failed.
    #[error("reading at byte {at}: {source}")]
    Read {
        /// Where.
        at: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// What a machine should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } => ErrorKind::Failed,
            _ => ErrorKind::BadInput,
        }
    }

    /// Whether the stream is right as far as it goes.
    pub fn is_early_end(&self) -> bool {
        matches!(self, Self::Empty | Self::HalfHeader { .. } | Self::HalfFrame { .. } | Self::NoFrames)
    }
}

/// What the stream header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// The size of every picture.
    pub size: Size,
    /// The sampling of every picture.
    pub chroma: Chroma,
    /// Frames a second; a stream may leave it open (`F0:0`, or no `F`).
    pub rate_hz: Option<f64>,
}

/// Reads pictures from a byte stream.
#[derive(Debug)]
pub struct Reader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    at: u64,
    stream: Option<Stream>,
    frames: u64,
    /// A frame whose bytes are not those of an [`Image`].
    raw: Vec<u8>,
    /// `FRAME` of the next frame is read already.
    has_begun: bool,
}

/// What is known of the stream.
#[derive(Debug, Clone, Copy)]
struct Stream {
    format: Format,
    rate_hz: Option<f64>,
    /// Unknown until the bytes behind the first frame show it.
    layout: Option<Layout>,
}

impl<R: Read> Reader<R> {
    /// Reads nothing yet.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::new(input),
            line: Vec::with_capacity(LINE_BYTES_MAX + 1),
            at: 0,
            stream: None,
            frames: 0,
            raw: Vec::new(),
            has_begun: false,
        }
    }

    /// The stream header; the first call reads it.
    pub fn header(&mut self) -> Result<Header, Error> {
        let Stream { format: Format { size, chroma, .. }, rate_hz, .. } = self.stream()?;
        Ok(Header { size, chroma, rate_hz })
    }

    fn stream(&mut self) -> Result<Stream, Error> {
        if let Some(stream) = self.stream {
            return Ok(stream);
        }
        let whole = self.read_line()?;
        if self.line.is_empty() && !whole {
            return Err(Error::Empty);
        }
        let magic = MAGIC.as_bytes();
        let starts_alike = self.line.iter().zip(magic).all(|(a, b)| a == b);
        let goes_on = self.line.get(magic.len()).is_none_or(|&b| b == b' ');
        if !starts_alike || !goes_on || (whole && self.line.len() < magic.len()) {
            return Err(Error::NotY4m { found: shown(&self.line) });
        }
        self.require_whole(whole, 0)?;
        let stream = parse_header(&self.line[magic.len()..])?;
        self.stream = Some(stream);
        Ok(stream)
    }

    /// Fills `image` with the next picture; false at the end of a whole stream.
    pub fn read_frame(&mut self, image: &mut Image) -> Result<bool, Error> {
        let Stream { format, layout, .. } = self.stream()?;
        let start = self.at - if self.has_begun { FRAME.len() as u64 } else { 0 };
        let whole = self.read_line()?;
        if self.line.is_empty() && !whole {
            return if self.frames == 0 { Err(Error::NoFrames) } else { Ok(false) };
        }
        let is_frame = self.line.strip_prefix(FRAME).is_some_and(|rest| matches!(rest, [] | [b' ', ..]));
        let may_be_cut = !whole && FRAME.starts_with(&self.line);
        if !is_frame && !may_be_cut {
            return Err(Error::NotAFrame { index: self.frames, at: start, found: shown(&self.line) });
        }
        self.require_whole(whole, start)?;

        image.reset(format.size, format.chroma);
        match layout {
            Some(layout) if format.is_image(layout) => self.fill(image.bytes_mut())?,
            _ => {
                // Taken out while it is filled.
                let mut raw = std::mem::take(&mut self.raw);
                let layout = match layout {
                    Some(layout) => self.read_raw(layout, &mut raw).map(|()| layout),
                    None => self.read_first(format, &mut raw),
                };
                self.raw = raw;
                format.unpack(layout?, &self.raw, image);
            }
        }
        format.normalize(image);
        self.frames += 1;
        Ok(true)
    }

    fn read_raw(&mut self, layout: Layout, raw: &mut Vec<u8>) -> Result<(), Error> {
        raw.resize(layout.len(), 0);
        self.fill(raw)
    }

    /// Reads the first frame, and finds by what follows it whether its rows are padded.
    fn read_first(&mut self, format: Format, raw: &mut Vec<u8>) -> Result<Layout, Error> {
        let packed = format.packed();
        self.read_raw(packed, raw)?;
        let mut found = packed;
        if let Some(padded) = format.padded() {
            let at = self.at;
            let mut ahead = [0; FRAME.len()];
            let got = self.read_fully(&mut ahead)?;
            self.has_begun = got == FRAME.len() && ahead == FRAME;
            if got > 0 && !self.has_begun {
                let not_a_frame = Error::NotAFrame { index: 1, at, found: shown(&ahead[..got]) };
                let begin = raw.len();
                raw.resize(padded.len().max(begin + got), 0);
                raw[begin..begin + got].copy_from_slice(&ahead[..got]);
                let more = self.read_fully(&mut raw[begin + got..])?;
                let is_whole = begin + got + more == padded.len();
                let next = if is_whole { self.read_fully(&mut ahead)? } else { 0 };
                self.has_begun = next == FRAME.len() && ahead == FRAME;
                if !is_whole || (next > 0 && !self.has_begun) {
                    return Err(not_a_frame);
                }
                found = padded;
            }
        }
        if let Some(stream) = &mut self.stream {
            stream.layout = Some(found);
        }
        Ok(found)
    }

    /// Fills the target with bytes of the frame.
    fn fill(&mut self, target: &mut [u8]) -> Result<(), Error> {
        let expected = target.len();
        let got = self.read_fully(target)?;
        if got < expected {
            return Err(Error::HalfFrame { index: self.frames, at: self.at, got, expected });
        }
        Ok(())
    }

    /// Puts the next line, without its end, into `self.line`; false when it has no end.
    fn read_line(&mut self) -> Result<bool, Error> {
        self.line.clear();
        if std::mem::take(&mut self.has_begun) {
            self.line.extend_from_slice(FRAME);
        }
        let begun = self.line.len();
        let limit = (LINE_BYTES_MAX + 1 - begun) as u64;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.line);
        self.at += (self.line.len() - begun) as u64;
        read.map_err(|source| Error::Read { at: self.at, source })?;
        let whole = self.line.last() == Some(&b'\n');
        if whole {
            self.line.pop();
        }
        Ok(whole)
    }

    /// Why the line that started at `start` has no end, when it has none.
    fn require_whole(&self, whole: bool, start: u64) -> Result<(), Error> {
        if whole {
            Ok(())
        } else if self.line.len() > LINE_BYTES_MAX {
            Err(Error::LineTooLong { at: start })
        } else {
            Err(Error::HalfHeader { at: start })
        }
    }

    /// How many bytes of `target` could be filled before the stream ended.
    fn read_fully(&mut self, target: &mut [u8]) -> Result<usize, Error> {
        let mut got = 0;
        while got < target.len() {
            match self.input.read(&mut target[got..]) {
                Ok(0) => break,
                Ok(n) => {
                    got += n;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Read { at: self.at, source }),
            }
        }
        Ok(got)
    }
}

/// The parameters of the stream header, which starts at byte 0.
fn parse_header(parameters: &[u8]) -> Result<Stream, Error> {
    let (mut width, mut height, mut rate_hz) = (None, None, None);
    let (mut chroma, mut bits, mut has_alpha) = (Chroma::C420, 8, false);
    let (mut is_full_range, mut is_bottom_first) = (false, false);
    for token in parameters.split(|&b| b == b' ').filter(|t| !t.is_empty()) {
        let refuse = |expected| Error::Parameter { parameter: shown(token), at: 0, expected };
        let Ok(text) = str::from_utf8(token) else {
            return Err(refuse("text"));
        };
        let (tag, value) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        match tag {
            "W" => width = Some(parse_number(value).ok_or_else(|| refuse("a number of pixels"))?),
            "H" => height = Some(parse_number(value).ok_or_else(|| refuse("a number of pixels"))?),
            "F" => rate_hz = Some(parse_rate(value).ok_or_else(|| refuse("a rate such as 30000:1001"))?),
            "C" => {
                let sampling = Format::parse_sampling(value);
                (chroma, bits, has_alpha) =
                    sampling.ok_or_else(|| Error::PixelFormat(shown(value.as_bytes())))?;
            }
            "I" => is_bottom_first = value == "b",
            "X" => is_full_range |= value == "COLORRANGE=FULL",
            // The shape of a pixel changes no sample.
            "A" => {}
            _ => return Err(refuse("one of W, H, F, I, A, C, X")),
        }
    }
    let width = width.ok_or(Error::NoSize("width"))?;
    let height = height.ok_or(Error::NoSize("height"))?;
    if width == 0 || height == 0 {
        return Err(Error::ZeroSize { width, height });
    }
    if width > SIDE_PX_MAX || height > SIDE_PX_MAX {
        return Err(Error::TooLarge { width, height });
    }
    let size = Size { width, height };
    let format = Format { size, chroma, bits, has_alpha, is_full_range, is_bottom_first };
    let layout = format.padded().is_none().then(|| format.packed());
    Ok(Stream { format, rate_hz: rate_hz.filter(|&hz| hz > 0.0), layout })
}

fn parse_number(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Zero for a rate that is left open (`0:0`); `None` if it is not a rate.
fn parse_rate(text: &str) -> Option<f64> {
    let (num, den) = text.split_once(':')?;
    match (parse_number(num)?, parse_number(den)?) {
        (0, _) => Some(0.0),
        (_, 0) => None,
        (num, den) => Some(f64::from(num) / f64::from(den)),
    }
}

/// The first bytes of something, fit for a message.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let dots = if cut.len() < bytes.len() { "..." } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sample at `i` of frame `n`: any wrong plane, offset or frame shows.
    pub(in crate::capture) fn sample(n: usize, i: usize) -> u8 {
        (n * 31 + i * 7) as u8
    }

    /// A whole stream of `frames` pictures.
    pub(in crate::capture) fn stream(header: &str, bytes_per_frame: usize, frames: usize) -> Vec<u8> {
        let mut bytes = format!("{header}\n").into_bytes();
        for n in 0..frames {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend((0..bytes_per_frame).map(|i| sample(n, i)));
        }
        bytes
    }

    /// Delivers its bytes in pieces of the given lengths, and an interruption before each.
    struct Pieces<'a> {
        bytes: &'a [u8],
        lengths: std::iter::Cycle<std::vec::IntoIter<usize>>,
        interrupted: bool,
    }

    impl<'a> Pieces<'a> {
        fn of(bytes: &'a [u8], lengths: Vec<usize>) -> Self {
            Self { bytes, lengths: lengths.into_iter().cycle(), interrupted: false }
        }
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let n = self.lengths.next().unwrap().min(self.bytes.len()).min(buf.len());
            buf[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes = &self.bytes[n..];
            Ok(n)
        }
    }

    fn read_all(input: impl Read) -> (Vec<Vec<u8>>, Result<(), Error>) {
        let (mut reader, mut image, mut frames) = (Reader::new(input), Image::default(), Vec::new());
        loop {
            match reader.read_frame(&mut image) {
                Ok(true) => frames.push(image.bytes().to_vec()),
                Ok(false) => return (frames, Ok(())),
                Err(e) => return (frames, Err(e)),
            }
        }
    }

    fn error_of(bytes: &[u8]) -> Error {
        read_all(bytes).1.unwrap_err()
    }

    #[test]
    fn a_header_gives_size_sampling_and_rate() {
        let header = |text: &str| Reader::new(text.as_bytes()).header().unwrap();
        let h = header("YUV4MPEG2 W480 H361 F30000:1001 Ip A128:117 C422 XYSCSS=422 XCOLORRANGE=FULL\n");
        assert_eq!((h.size.width, h.size.height, h.chroma), (480, 361, Chroma::C422));
        assert!((h.rate_hz.unwrap() - 29.97).abs() < 0.001);
        for (c, chroma) in [
            ("", Chroma::C420),
            (" C420", Chroma::C420),
            (" C420jpeg", Chroma::C420),
            (" C420mpeg2", Chroma::C420),
            (" C420paldv", Chroma::C420),
            (" C444", Chroma::C444),
            (" C411", Chroma::C411),
            (" C420p10", Chroma::C420),
            (" Cmono", Chroma::Mono),
        ] {
            let h = header(&format!("YUV4MPEG2 W2 H2 F0:0{c}\n"));
            assert_eq!((h.chroma, h.rate_hz), (chroma, None), "{c}");
        }
    }

    #[test]
    fn odd_sizes_have_chroma_planes_that_are_rounded_up() {
        for (c, bytes) in
            [("420", 15 + 2 * 6), ("411", 15 + 2 * 6), ("422", 15 + 2 * 9), ("444", 45), ("mono", 15)]
        {
            let data = stream(&format!("YUV4MPEG2 W5 H3 F25:1 C{c}"), bytes, 2);
            let (frames, end) = read_all(&data[..]);
            end.unwrap();
            let expected: Vec<Vec<u8>> = (0..2).map(|n| (0..bytes).map(|i| sample(n, i)).collect()).collect();
            assert_eq!(frames, expected, "{c}");
        }
    }

    #[test]
    fn rows_that_gstreamer_pads_are_read_without_their_padding() {
        // Bytes of a frame as y4menc of GStreamer 1.22.0 writes it.
        for (c, width, height, i, bytes) in [
            ("420", 322, 242, "p", 118_096),
            ("420", 854, 480, "p", 616_320),
            ("420", 321, 241, "p", 118_096),
            ("420", 322, 242, "b", 118_424),
            ("420", 320, 242, "b", 116_480),
            ("420", 321, 243, "b", 119_072),
            ("422", 322, 242, "p", 157_784),
            ("422", 321, 241, "p", 157_132),
            ("422", 321, 243, "b", 158_436),
            ("411", 322, 242, "p", 119_064),
            ("411", 854, 480, "p", 618_240),
            ("411", 321, 243, "b", 119_556),
            ("444", 322, 242, "p", 235_224),
            ("444", 321, 241, "b", 234_252),
        ] {
            let header = format!("YUV4MPEG2 C{c} W{width} H{height} I{i} F10:1 A1:1");
            let row = usize::next_multiple_of(width, 4);
            for frames in [1, 3] {
                let data = stream(&header, bytes, frames);
                let (pictures, end) = read_all(Pieces::of(&data, vec![4096, 1, 70_000]));
                end.unwrap();
                assert_eq!(pictures.len(), frames, "{header}");
                for (n, picture) in pictures.iter().enumerate() {
                    let at = |x: usize, y: usize| sample(n, y * row + x);
                    assert_eq!(picture[width * (height - 1)], at(0, height - 1), "{header}");
                    assert_eq!(picture[width * height - 1], at(width - 1, height - 1), "{header}");
                }
            }
        }
    }

    #[test]
    fn chroma_rows_begin_where_gstreamer_puts_them() {
        // 6x2 with rows of 8: chroma 3x1 in rows of 4.
        let (frames, end) = read_all(&stream("YUV4MPEG2 C420 W6 H2 Ip F1:1", 16 + 2 * 4, 2)[..]);
        end.unwrap();
        let wanted: Vec<u8> =
            [0..6, 8..14, 16..19, 20..23].into_iter().flatten().map(|i| sample(1, i)).collect();
        assert_eq!(frames[1], wanted);
    }

    #[test]
    fn samples_of_more_bits_keep_their_highest_eight() {
        for (c, bits, planes) in
            [("420p10", 10, 24), ("mono16", 16, 16), ("444p12", 12, 48), ("422p9", 9, 32)]
        {
            let mut data = format!("YUV4MPEG2 W4 H4 F1:1 C{c}\n").into_bytes();
            for n in 0..2 {
                data.extend_from_slice(b"FRAME\n");
                for i in 0..planes {
                    let value = u16::from(sample(n, i)) << (bits - 8) | 1;
                    data.extend_from_slice(&value.to_le_bytes());
                }
            }
            let (frames, end) = read_all(&data[..]);
            end.unwrap();
            let wanted: Vec<u8> = (0..planes).map(|i| sample(1, i)).collect();
            assert_eq!(frames[1], wanted, "{c}");
        }
    }

    #[test]
    fn alpha_is_read_over_and_full_range_becomes_video_range() {
        let (frames, end) = read_all(&stream("YUV4MPEG2 W4 H4 F1:1 C444alpha", 64, 2)[..]);
        end.unwrap();
        assert_eq!(frames[1], (0..48).map(|i| sample(1, i)).collect::<Vec<_>>());
        let gray = b"YUV4MPEG2 W3 H1 F10:1 Ip A1:1 Cmono XCOLORRANGE=FULL\nFRAME\n\x00\x80\xff";
        assert_eq!(read_all(&gray[..]).0, [[16, 126, 235]]);
        let color = b"YUV4MPEG2 W1 H1 C444 XCOLORRANGE=FULL\nFRAME\n\xff\x80\x00FRAME\n\x00\xff\x80";
        assert_eq!(read_all(&color[..]).0, [[235, 128, 16], [16, 240, 128]]);
        let video = b"YUV4MPEG2 W3 H1 Cmono XCOLORRANGE=LIMITED\nFRAME\n\x00\x80\xff";
        assert_eq!(read_all(&video[..]).0, [[0, 128, 255]]);
    }

    #[test]
    fn frame_headers_may_have_parameters() {
        let data = b"YUV4MPEG2 W1 H1 Cmono\nFRAME Ip XQUALITY=1\naFRAME\nb";
        assert_eq!(read_all(&data[..]).0, [b"a", b"b"]);
    }

    #[test]
    fn each_broken_stream_has_its_own_error() {
        let small = "YUV4MPEG2 W4 H4 F25:1 Cmono";
        assert!(matches!(error_of(b""), Error::Empty));
        assert!(matches!(error_of(&[0x89, b'P', b'N', b'G', b'\r', b'\n']), Error::NotY4m { .. }));
        assert!(matches!(error_of(b"YUV4MPEG3 W4 H4\n"), Error::NotY4m { .. }));
        assert!(matches!(error_of(b"YUV4MPEG2 W4 H"), Error::HalfHeader { at: 0 }));
        assert!(matches!(error_of(b"YUV4MPEG2 H4\n"), Error::NoSize("width")));
        assert!(matches!(error_of(b"YUV4MPEG2 W4\n"), Error::NoSize("height")));
        assert!(matches!(error_of(b"YUV4MPEG2 W0 H4\n"), Error::ZeroSize { width: 0, height: 4 }));
        assert!(matches!(error_of(b"YUV4MPEG2 W8193 H4\n"), Error::TooLarge { .. }));
        assert!(matches!(error_of(b"YUV4MPEG2 W-4 H4\n"), Error::Parameter { .. }));
        assert!(matches!(error_of(b"YUV4MPEG2 W99999999999 H4\n"), Error::Parameter { .. }));
        assert!(matches!(error_of(b"YUV4MPEG2 W4 H4 F25\n"), Error::Parameter { .. }));
        assert!(matches!(error_of(b"YUV4MPEG2 W4 H4 F25:0\n"), Error::Parameter { .. }));
        assert!(matches!(error_of(b"YUV4MPEG2 W4 H4 \xff\n"), Error::Parameter { .. }));
        assert!(matches!(error_of(format!("{small}\n").as_bytes()), Error::NoFrames));
        assert!(matches!(error_of(format!("{small}\nFRA").as_bytes()), Error::HalfHeader { at: 28 }));
        assert!(matches!(error_of(format!("{small}\nFRAMES\n").as_bytes()), Error::NotAFrame { at: 28, .. }));
        let mut long = small.as_bytes().to_vec();
        long.resize(5000, b' ');
        assert!(matches!(error_of(&long), Error::LineTooLong { at: 0 }));

        let whole = stream(small, 16, 3);
        let cut = error_of(&whole[..whole.len() - 9]);
        assert!(matches!(cut, Error::HalfFrame { index: 2, got: 7, expected: 16, .. }), "{cut}");
        assert_eq!(cut.to_string(), "frame 2 is cut off: 7 of 16 bytes, then the stream ends at byte 85");
    }

    #[test]
    fn a_pixel_format_that_is_not_supported_is_refused_by_its_name() {
        for name in ["420p8", "410", "p10", "mono8", "440p10", "rgb"] {
            let e = error_of(format!("YUV4MPEG2 W4 H4 C{name}\n").as_bytes());
            assert!(matches!(&e, Error::PixelFormat(n) if n == name), "{e}");
        }
    }

    #[test]
    fn a_frame_allocates_nothing_once_the_buffer_has_its_size() {
        let data = stream("YUV4MPEG2 W64 H48 F25:1 C420jpeg", 64 * 48 * 3 / 2, 20);
        let (mut reader, mut image) = (Reader::new(&data[..]), Image::default());
        reader.read_frame(&mut image).unwrap();
        let info = allocation_counter::measure(|| while reader.read_frame(&mut image).unwrap() {});
        assert_eq!(info.count_total, 0);
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_give_the_same_frames(
            lengths in prop::collection::vec(1_usize..40, 1..8), w in 1_usize..9, h in 1_usize..9, frames in 1_usize..4,
        ) {
            let header = format!("YUV4MPEG2 W{w} H{h} F25:1 C420");
            let data = stream(&header, w * h + 2 * w.div_ceil(2) * h.div_ceil(2), frames);
            let pieces = Pieces { bytes: &data, lengths: lengths.into_iter().cycle(), interrupted: false };
            let (by_piece, end) = read_all(pieces);
            prop_assert!(end.is_ok());
            prop_assert_eq!(by_piece.len(), frames);
            prop_assert_eq!(by_piece, read_all(&data[..]).0);
        }

        #[test]
        fn rubbish_neither_panics_nor_grows_without_bound(
            rubbish in prop::collection::vec(any::<u8>(), 0..3000), keep in 0_usize..80,
        ) {
            // A true beginning gets the rubbish past the first checks.
            let mut data = stream("YUV4MPEG2 W6 H4 F25:1 C420", 36, 2);
            data.truncate(keep);
            data.extend(rubbish);
            let mut most = 0;
            let info = allocation_counter::measure(|| {
                let (mut reader, mut image) = (Reader::new(&data[..]), Image::default());
                while reader.read_frame(&mut image).is_ok_and(|more| more) {}
                most = image.bytes().len();
            });
            prop_assert!(info.bytes_max <= most as u64 + 16 * 1024, "{} bytes", info.bytes_max);
        }

        #[test]
        fn every_cut_of_a_stream_is_an_error_or_ends_between_frames(cut in 0_usize..113) {
            let data = stream("YUV4MPEG2 W4 H4 F25:1 Cmono C420", 24, 3);
            let (frames, end) = read_all(&data[..cut]);
            let between = cut > 33 && (cut - 33) % 30 == 0;
            prop_assert_eq!(end.is_ok(), between && frames.len() == (cut - 33) / 30);
        }
    }
}
