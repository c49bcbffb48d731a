//! YUV4MPEG2: raw video as text headers and planes (yuv4mpeg(5) of mjpegtools).
//!
//! ```text
//! YUV4MPEG2 W480 H360 F10:1 Ip A1:1 C420jpeg\n  FRAME\n <luma, Cb, Cr>  FRAME\n ...
//! ```
//!
//! Reads any `Read`, in whatever pieces it delivers, and decodes into a caller's [`Image`]: a frame
//! costs no allocation once its buffer has the size. 8-bit 4:2:0, 4:2:2, 4:4:4 and luma only, odd
//! sizes included; interlacing, aspect and `X` extensions are read over.
//!
//! Memory is bounded by [`SIDE_PX_MAX`] and [`LINE_BYTES_MAX`], whatever the stream claims. An error
//! names the byte where it was found; after one the stream can't be trusted and is not read on.

use std::io::{self, BufRead, BufReader, Read};

use crate::base::ErrorKind;
use crate::model::{Chroma, Image, Size};

/// Longest stream or frame header, in bytes.
pub const LINE_BYTES_MAX: usize = 1024;
/// Widest and highest picture, in pixels: 8K with room, 200 MB a frame at 4:4:4.
pub const SIDE_PX_MAX: u32 = 8192;
/// Bytes of a foreign stream that an error message shows.
const SHOWN_BYTES_MAX: usize = 24;
const MAGIC: &str = "YUV4MPEG2";

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
        "pixel format \"{0}\" is not supported: 8-bit 420, 420jpeg, 420mpeg2, 420paldv, 422, 444 and mono are"
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
    header: Option<Header>,
    frames: u64,
}

impl<R: Read> Reader<R> {
    /// Reads nothing yet.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::new(input),
            line: Vec::with_capacity(LINE_BYTES_MAX + 1),
            at: 0,
            header: None,
            frames: 0,
        }
    }

    /// The stream header; the first call reads it.
    pub fn header(&mut self) -> Result<Header, Error> {
        if let Some(header) = self.header {
            return Ok(header);
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
        let header = parse_header(&self.line[magic.len()..])?;
        self.header = Some(header);
        Ok(header)
    }

    /// Fills `image` with the next picture; false at the end of a whole stream.
    pub fn read_frame(&mut self, image: &mut Image) -> Result<bool, Error> {
        let header = self.header()?;
        let start = self.at;
        let whole = self.read_line()?;
        if self.line.is_empty() && !whole {
            return if self.frames == 0 { Err(Error::NoFrames) } else { Ok(false) };
        }
        let is_frame = self.line.strip_prefix(b"FRAME").is_some_and(|rest| matches!(rest, [] | [b' ', ..]));
        let may_be_cut = !whole && b"FRAME".starts_with(&self.line);
        if !is_frame && !may_be_cut {
            return Err(Error::NotAFrame { index: self.frames, at: start, found: shown(&self.line) });
        }
        self.require_whole(whole, start)?;

        image.reset(header.size, header.chroma);
        let expected = image.bytes().len();
        let got = self.read_fully(image.bytes_mut())?;
        if got < expected {
            return Err(Error::HalfFrame { index: self.frames, at: self.at, got, expected });
        }
        self.frames += 1;
        Ok(true)
    }

    /// Puts the next line, without its end, into `self.line`; false when it has no end.
    fn read_line(&mut self) -> Result<bool, Error> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.line);
        self.at += self.line.len() as u64;
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
fn parse_header(parameters: &[u8]) -> Result<Header, Error> {
    let (mut width, mut height, mut rate_hz, mut chroma) = (None, None, None, Chroma::C420);
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
            "C" => chroma = parse_chroma(value).ok_or_else(|| Error::PixelFormat(shown(value.as_bytes())))?,
            // Neither changes where a sample stands.
            "I" | "A" | "X" => {}
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
    Ok(Header { size: Size { width, height }, chroma, rate_hz: rate_hz.filter(|&hz| hz > 0.0) })
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

fn parse_chroma(text: &str) -> Option<Chroma> {
    match text {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Some(Chroma::C420),
        "422" => Some(Chroma::C422),
        "444" => Some(Chroma::C444),
        "mono" => Some(Chroma::Mono),
        _ => None,
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
            (" Cmono", Chroma::Mono),
        ] {
            let h = header(&format!("YUV4MPEG2 W2 H2 F0:0{c}\n"));
            assert_eq!((h.chroma, h.rate_hz), (chroma, None), "{c}");
        }
    }

    #[test]
    fn odd_sizes_have_chroma_planes_that_are_rounded_up() {
        for (c, bytes) in [("420", 15 + 2 * 6), ("422", 15 + 2 * 9), ("444", 45), ("mono", 15)] {
            let data = stream(&format!("YUV4MPEG2 W5 H3 F25:1 C{c}"), bytes, 2);
            let (frames, end) = read_all(&data[..]);
            end.unwrap();
            let expected: Vec<Vec<u8>> = (0..2).map(|n| (0..bytes).map(|i| sample(n, i)).collect()).collect();
            assert_eq!(frames, expected, "{c}");
        }
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
        for name in ["420p10", "411", "444alpha", "mono16", "422p12"] {
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
