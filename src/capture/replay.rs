//! Recorded detections as frames: the MOTChallenge rows that a detector left behind.
//!
//! ```text
//! frame,id,left,top,width,height,score[,...]     frame counts from 1, or from 0; lengths in pixels
//! ```
//!
//! A file with a row of frame 0 counts from 0. A file whose boxes all lie within 0..1 holds fractions of the
//! picture, which become pixels of it. Both are logged. Columns are parted by commas, semicolons or tabs.
//!
//! Every row becomes a person, the only class of these data sets, or a vehicle where that is set; the id and whatever follows the
//! score are not used. Scores within 0..1 stay as they are. A file with a score outside (the ACF
//! detections of MOT15 reach 139, others are log odds, or -1 for "none") holds no probabilities: its
//! scores become parts of its greatest, what is below zero becomes zero, and where none is above zero all
//! rows count as sure. What such a score is worth the tracker learns. Frames without rows are empty
//! frames; rows may come in any order and keep their order within a frame. Spaces, CRLF, blank lines, lines
//! that begin with `#`, a byte order mark and a missing last line end are fine.
//!
//! A row that can't be used is skipped, counted, and the first few are named with their line
//! ([`Faults`]); only a file without any usable row is refused. [`FRAME_MAX`] and [`GAP_FRAMES_MAX`]
//! keep an absurd frame number from becoming billions of empty frames, [`ROWS_MAX`] bounds memory.
//! The file is read once, at the start; a frame costs a copy of its rows and no allocation.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::plates::{self, Plates};
use super::{Error, FrameSource, Next, offset_at};
use crate::base::{Clock, Time, skip_mark};
use crate::model::{BBox, CameraId, Class, Content, Detection, Frame, Size};

/// Last frame number: four days at 25 frames/s.
pub const FRAME_MAX: u32 = 10_000_000;
/// Most empty frames in a row.
pub const GAP_FRAMES_MAX: u32 = 100_000;
/// Most rows that are kept, 64 bytes each.
pub const ROWS_MAX: usize = 5_000_000;
/// Longest row, in bytes.
pub const ROW_BYTES_MAX: usize = 1024;
/// Farthest an edge may lie from the origin, in pixels.
pub const COORDINATE_PX_MAX: f64 = 1e6;
/// Faults that are named one by one.
const FAULTS_NAMED_MAX: usize = 5;
/// Columns a row must have.
const COLUMNS: usize = 7;
/// An edge of a box that is a fraction of the picture lies within this: detectors look a little beyond the border.
const FRACTION_MAX: f64 = 1.5;

/// What to replay, and what the rows don't say.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The file of rows.
    pub path: PathBuf,
    /// The size of the picture the detections were made in; not zero.
    pub size: Size,
    /// Frames a second; positive and finite.
    pub rate_hz: f64,
    /// The rows are vehicles, not persons.
    pub vehicles: bool,
    /// What a reader of plates left behind beside them.
    pub plates: Option<PathBuf>,
}

/// Why a row was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Fewer than seven columns.
    #[error("has fewer than 7 columns")]
    Short,
    /// Longer than [`ROW_BYTES_MAX`].
    #[error("is longer than 1024 bytes")]
    Long,
    /// A column that is not a number.
    #[error("column {0} is not a number")]
    NotANumber(usize),
    /// NaN or infinite.
    #[error("column {0} is not finite")]
    NotFinite(usize),
    /// Width or height is zero or negative.
    #[error("the box has no area")]
    NoArea,
    /// Beyond [`COORDINATE_PX_MAX`].
    #[error("the box lies more than 1000000 pixels away")]
    FarAway,
    /// Not a whole number within 0..=[`FRAME_MAX`].
    #[error("the frame is not a whole number from 0 to 10000000")]
    FrameNumber,
    /// More than [`GAP_FRAMES_MAX`] frames without rows lie before it.
    #[error("more than 100000 empty frames lie before the frame")]
    Gap,
    /// More than [`ROWS_MAX`] rows.
    #[error("there are more than 5000000 rows")]
    TooMany,
}

/// The rows that were skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// How many.
    pub count: u64,
    /// The first few: line (from 1) and reason.
    pub first: Vec<(u64, FaultKind)>,
}

impl Faults {
    fn add(&mut self, line: u64, kind: FaultKind) {
        self.count += 1;
        if self.first.len() < FAULTS_NAMED_MAX {
            self.first.push((line, kind));
        }
    }
}

impl fmt::Display for Faults {
    /// Empty without faults, otherwise `; rows skipped: 7 (line 3: ..., line 9: ..., ...)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return Ok(());
        }
        write!(f, "; rows skipped: {} (", self.count)?;
        for (i, (line, kind)) in self.first.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}line {line}: {kind}")?;
        }
        f.write_str(if self.count > self.first.len() as u64 { ", ...)" } else { ")" })
    }
}

/// Detections by frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    detections: Vec<Detection>,
    /// Per frame, from the first number on: which of the detections are its own.
    frames: Vec<Range<usize>>,
    /// The first frame's number is 0, not 1.
    count_from_0: bool,
}

impl Rows {
    /// Frames up to the last one with a detection.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Whether the first frame's number is 0, not 1.
    pub fn counts_from_0(&self) -> bool {
        self.count_from_0
    }

    /// Takes the numbers as counted from 0, as those of another file of the recording are.
    pub fn count_from_0(&mut self) {
        if !self.count_from_0 {
            self.frames.insert(0, 0..0);
            self.count_from_0 = true;
        }
    }

    /// Makes pixels of boxes that are fractions of a picture of this size; whether they were.
    pub fn scale_fractions(&mut self, size: Size) -> bool {
        let is_fraction = |d: &Detection| {
            let b = &d.bbox;
            [b.left, b.top, b.right(), b.bottom()].iter().all(|edge| edge.abs() <= FRACTION_MAX)
        };
        let are_fractions = !self.detections.is_empty() && self.detections.iter().all(is_fraction);
        if are_fractions {
            let (w, h) = (f64::from(size.width), f64::from(size.height));
            for Detection { bbox: b, .. } in &mut self.detections {
                *b = BBox::new(b.left * w, b.top * h, b.width * w, b.height * h);
            }
        }
        are_fractions
    }

    /// The detections of a frame, counted from 0; empty beyond the last.
    pub fn of_frame(&self, index: usize) -> &[Detection] {
        self.frames.get(index).map_or(&[], |range| &self.detections[range.clone()])
    }
}

/// Reads all rows; fails only when reading itself fails.
pub fn parse_rows(mut input: impl BufRead) -> io::Result<(Rows, Faults)> {
    let (mut rows, mut faults) = (Vec::new(), Faults::default());
    let (mut bytes, mut line) = (Vec::with_capacity(ROW_BYTES_MAX + 1), 0);
    skip_mark(&mut input)?;
    loop {
        bytes.clear();
        let read = input.by_ref().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        line += 1;
        if read > ROW_BYTES_MAX && bytes.last() != Some(&b'\n') {
            input.skip_until(b'\n')?;
            faults.add(line, FaultKind::Long);
        } else if matches!(bytes.trim_ascii(), [] | [b'#', ..]) {
            // A blank line and a comment say nothing wrong.
        } else if rows.len() == ROWS_MAX {
            faults.add(line, FaultKind::TooMany);
        } else {
            match parse_row(&bytes) {
                Ok((frame, detection)) => rows.push((frame, line, detection)),
                Err(kind) => faults.add(line, kind),
            }
        }
    }
    // Parts of the greatest, where the scores are no probabilities.
    let greatest = rows.iter().map(|(_, _, d): &(u32, u64, Detection)| d.score).fold(0.0, f64::max);
    if greatest > 1.0 || rows.iter().any(|(_, _, d)| d.score < 0.0) {
        for (.., detection) in &mut rows {
            detection.score = if greatest > 0.0 { detection.score.max(0.0) / greatest } else { 1.0 };
        }
    }
    rows.sort_by_key(|&(frame, ..)| frame);
    Ok((group(&rows, &mut faults), faults))
}

/// Rows in the order of their frames, put together by frame.
fn group(rows: &[(u32, u64, Detection)], faults: &mut Faults) -> Rows {
    let count_from_0 = rows.first().is_some_and(|(frame, ..)| *frame == 0);
    let mut grouped = Rows { count_from_0, ..Rows::default() };
    for &(frame, line, detection) in rows {
        let frame = frame + u32::from(count_from_0);
        if frame as usize > grouped.frames.len() + 1 + GAP_FRAMES_MAX as usize {
            faults.add(line, FaultKind::Gap);
            continue;
        }
        let end = grouped.detections.len();
        grouped.frames.resize(frame as usize, end..end);
        grouped.detections.push(detection);
        if let Some(range) = grouped.frames.last_mut() {
            range.end = end + 1;
        }
    }
    grouped
}

fn parse_row(bytes: &[u8]) -> Result<(u32, Detection), FaultKind> {
    let mut numbers = [0.0; COLUMNS];
    let separator = [b',', b';'].into_iter().find(|sign| bytes.contains(sign)).unwrap_or(b'\t');
    let mut columns = bytes.split(|&b| b == separator);
    for (i, number) in numbers.iter_mut().enumerate() {
        let column = columns.next().ok_or(FaultKind::Short)?.trim_ascii();
        let parsed = str::from_utf8(column).ok().and_then(|text| text.parse::<f64>().ok());
        *number = parsed.ok_or(FaultKind::NotANumber(i + 1))?;
        if !number.is_finite() {
            return Err(FaultKind::NotFinite(i + 1));
        }
    }
    let [frame, _, left, top, width, height, score] = numbers;
    if frame.fract() != 0.0 || !(0.0..=f64::from(FRAME_MAX)).contains(&frame) {
        return Err(FaultKind::FrameNumber);
    }
    if width <= 0.0 || height <= 0.0 {
        return Err(FaultKind::NoArea);
    }
    let bbox = BBox::new(left, top, width, height);
    if [left, top, bbox.right(), bbox.bottom()].iter().any(|edge| edge.abs() > COORDINATE_PX_MAX) {
        return Err(FaultKind::FarAway);
    }
    Ok((frame as u32, Detection { bbox, class: Class::Person, score }))
}

/// A file of rows as a source of frames.
#[derive(Debug)]
pub struct Source {
    camera: CameraId,
    size: Size,
    rate_hz: f64,
    start: Time,
    rows: Rows,
    plates: Plates,
    faults: Faults,
    next: usize,
}

impl Source {
    /// Reads the whole file; the frames' time starts now. Rows that were skipped are logged.
    pub fn open(options: &Options, camera: &CameraId, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let path = &options.path;
        let refuse = |source| Error::File { path: path.clone(), source };
        let file = File::open(path).map_err(refuse)?;
        let (mut rows, faults) = parse_rows(BufReader::new(file)).map_err(refuse)?;
        if options.vehicles {
            rows.detections.iter_mut().for_each(|detection| detection.class = Class::Vehicle);
        }
        if rows.frame_count() == 0 {
            let path = path.clone();
            let is_empty = std::fs::metadata(&path).is_ok_and(|about| about.len() == 0);
            return Err(if is_empty {
                Error::EmptyFile { path }
            } else {
                Error::NoDetections { path, faults }
            });
        }
        if faults.count > 0 {
            tracing::warn!(%camera, path = %path.display(), skipped = faults.count, "rows of detections{faults}");
        }
        if rows.scale_fractions(options.size) {
            let Size { width, height } = options.size;
            tracing::warn!(%camera, path = %path.display(), "boxes are fractions, read as of a picture of {width}x{height} pixels");
        }
        let plates = options.plates.as_deref().map(plates::open).transpose()?.unwrap_or_default();
        if plates.contains_key(&0) {
            rows.count_from_0();
        }
        if rows.counts_from_0() {
            tracing::warn!(%camera, path = %path.display(), "frames count from 0, frame 0 becomes the first");
        }
        Ok(Self {
            camera: camera.clone(),
            size: options.size,
            rate_hz: options.rate_hz,
            start: clock.now(),
            plates,
            rows,
            faults,
            next: 0,
        })
    }

    /// The rows that were skipped.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How many frames there are, empty ones included.
    pub fn frame_count(&self) -> usize {
        self.rows.frame_count()
    }
}

impl FrameSource for Source {
    fn next_frame(&mut self, frame: &mut Frame, _patience: Duration) -> Result<Next, Error> {
        if self.next == self.rows.frame_count() {
            return Ok(Next::End);
        }
        if frame.camera != self.camera {
            frame.camera = self.camera.clone();
        }
        frame.seq = self.next as u64;
        frame.time = self.start + offset_at(frame.seq, self.rate_hz);
        frame.size = self.size;
        let detections = self.rows.of_frame(self.next);
        if let Content::Detections(buffer) = &mut frame.content {
            buffer.clear();
            buffer.extend_from_slice(detections);
        } else {
            frame.content = Content::Detections(detections.to_vec());
        }
        self.next += 1;
        frame.readings.clear();
        let number = self.next - usize::from(self.rows.counts_from_0());
        let read = u32::try_from(number).ok().and_then(|frame| self.plates.get(&frame));
        frame.readings.extend(read.into_iter().flatten().cloned());
        Ok(Next::Frame)
    }

    fn is_live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ManualClock, SystemClock};
    use proptest::prelude::*;

    fn parse(text: &str) -> (Rows, Faults) {
        parse_rows(text.as_bytes()).unwrap()
    }

    fn open(text: &str) -> Result<Source, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("det.txt");
        std::fs::write(&path, text).unwrap();
        let size = Size { width: 640, height: 480 };
        let options = Options { path, size, rate_hz: 10.0, vehicles: false, plates: None };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Time { mono_ns: 5, epoch_ms: 7 }));
        Source::open(&options, &CameraId::parse("cam").unwrap(), &clock)
    }

    #[test]
    fn rows_become_persons_in_their_frames_and_frames_without_rows_are_empty() {
        let (rows, faults) = parse("1,-1,10,20,30.5,40,0.9,-1,-1,-1\n3,-1,-5,0,1,2,0.25\n3,7,6,0,1,2,1\n");
        assert_eq!(faults, Faults::default());
        assert_eq!(rows.frame_count(), 3);
        assert_eq!((rows.of_frame(0).len(), rows.of_frame(1).len(), rows.of_frame(2).len()), (1, 0, 2));
        let bbox = BBox::new(10.0, 20.0, 30.5, 40.0);
        assert_eq!(rows.of_frame(0)[0], Detection { bbox, class: Class::Person, score: 0.9 });
        assert!((rows.of_frame(2)[0].bbox.left + 5.0).abs() < 1e-12);
        assert!(rows.of_frame(3).is_empty());
    }

    #[test]
    fn spaces_crlf_blank_lines_and_a_missing_last_line_end_are_fine() {
        let (rows, faults) = parse("1, -1, 10, 20, 30, 40, 0.9\r\n\r\n  \n 2 ,-1,1,1,1,1,1");
        assert_eq!((rows.frame_count(), faults.count), (2, 0));
    }

    #[test]
    fn frames_counted_from_0_begin_with_the_first_frame() {
        let (mut rows, faults) = parse("1,-1,1,0,1,1,1\n0,-1,7,0,1,1,1\n");
        assert_eq!((rows.frame_count(), faults.count, rows.of_frame(0)[0].bbox.left), (2, 0, 7.0));
        rows.count_from_0();
        assert_eq!(rows.frame_count(), 2);
        let (mut other, _) = parse("1,-1,1,0,1,1,1\n");
        other.count_from_0();
        assert_eq!((other.of_frame(0).len(), other.of_frame(1).len()), (0, 1));
    }

    #[test]
    fn boxes_that_are_fractions_become_pixels() {
        let mut source = open("1,-1,0.25,0.5,0.125,0.25,0.9\n2,-1,0.95,0.5,0.1,0.25,0.9\n").unwrap();
        let mut frame = Frame::empty(CameraId::parse("cam").unwrap());
        source.next_frame(&mut frame, Duration::ZERO).unwrap();
        let Content::Detections(found) = &frame.content else { panic!("no detections") };
        assert_eq!(found[0].bbox, BBox::new(160.0, 240.0, 80.0, 120.0));
        let (mut pixels, _) = parse("1,-1,0.5,0.5,0.5,0.5,1\n2,-1,10,10,20,40,1\n");
        assert!(!pixels.scale_fractions(Size { width: 640, height: 480 }));
    }

    #[test]
    fn a_mark_comments_tabs_and_semicolons_are_read() {
        let (rows, faults) =
            parse("\u{feff}1\t-1\t10\t20\t30\t40\t0.9\n# a comment\n2;-1;1;1;1;1;1\n3,\t-1,1,1,1,1,1\n");
        assert_eq!((rows.frame_count(), faults.count, rows.of_frame(0)[0].bbox.left), (3, 0, 10.0));
        let utf16 = parse_rows(&b"\xff\xfe1\0,\0"[..]).unwrap_err();
        assert!(utf16.to_string().contains("save it as UTF-8"), "{utf16}");
    }

    #[test]
    fn rows_out_of_order_are_sorted_and_keep_their_order_within_a_frame() {
        let (rows, faults) = parse("2,-1,3,0,1,1,1\n1,-1,1,0,1,1,1\n2,-1,4,0,1,1,1\n1,-1,2,0,1,1,1\n");
        let lefts = |i| rows.of_frame(i).iter().map(|d| d.bbox.left).collect::<Vec<_>>();
        assert_eq!((lefts(0), lefts(1), faults.count), (vec![1.0, 2.0], vec![3.0, 4.0], 0));
    }

    #[test]
    fn scores_that_are_no_probabilities_become_parts_of_the_greatest() {
        let scores = |text: &str| -> Vec<f64> {
            let (rows, faults) = parse(text);
            assert_eq!(faults.count, 0);
            rows.of_frame(0).iter().map(|d| d.score).collect()
        };
        assert_eq!(scores("1,-1,1,1,1,1,1.0\n1,-1,1,1,1,1,0\n1,-1,1,1,1,1,0.5\n"), [1.0, 0.0, 0.5]);
        assert_eq!(scores("1,-1,1,1,1,1,50\n1,-1,1,1,1,1,0.5\n1,-1,1,1,1,1,-3\n"), [1.0, 0.01, 0.0]);
        assert_eq!(scores("1,-1,1,1,1,1,-1\n1,-1,1,1,1,1,-1\n"), [1.0, 1.0]);
    }

    #[test]
    fn each_row_that_cannot_be_used_has_its_own_reason_and_the_others_stay() {
        let long = format!("1,-1,1,1,1,1,1,{}", "x".repeat(2000));
        for (row, kind) in [
            ("1,-1,1,1,1,1", FaultKind::Short),
            (long.as_str(), FaultKind::Long),
            ("1,-1,one,1,1,1,1", FaultKind::NotANumber(3)),
            ("1,-1,1,1,1,1,", FaultKind::NotANumber(7)),
            ("1,-1,1,nan,1,1,1", FaultKind::NotFinite(4)),
            ("1,-1,1,1,inf,1,1", FaultKind::NotFinite(5)),
            ("1,-1,1,1,1,1e999,1", FaultKind::NotFinite(6)),
            ("1,-1,1,1,-2,1,1", FaultKind::NoArea),
            ("1,-1,1,1,1,0,1", FaultKind::NoArea),
            ("1,-1,1e300,1,1,1,1", FaultKind::FarAway),
            ("-1,-1,1,1,1,1,1", FaultKind::FrameNumber),
            ("1.5,-1,1,1,1,1,1", FaultKind::FrameNumber),
            ("4000000000,-1,1,1,1,1,1", FaultKind::FrameNumber),
            ("100004,-1,1,1,1,1,1", FaultKind::Gap),
        ] {
            let (rows, faults) = parse(&format!("1,-1,1,1,1,1,1\n{row}\n2,-1,1,1,1,1,1\n"));
            assert_eq!(faults, Faults { count: 1, first: vec![(2, kind)] }, "{row}");
            assert_eq!(rows.frame_count(), 2, "{row}");
        }
    }

    #[test]
    fn the_first_faults_are_named_and_all_are_counted() {
        let (_, faults) = parse(&"rubbish\n".repeat(9));
        assert_eq!((faults.count, faults.first.len()), (9, FAULTS_NAMED_MAX));
        assert!(
            faults.to_string().starts_with("; rows skipped: 9 (line 1: column 1 is not a number, line 2")
        );
        assert!(faults.to_string().ends_with(", ...)"));
    }

    #[test]
    fn a_file_is_refused_when_it_is_missing_empty_or_has_no_usable_row() {
        let options = |path: &str| Options {
            path: path.into(),
            size: Size::default(),
            rate_hz: 1.0,
            vehicles: false,
            plates: None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let camera = CameraId::parse("cam").unwrap();
        let missing = Source::open(&options("/no/such/det.txt"), &camera, &clock).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/det.txt: No such file"), "{missing}");
        assert!(matches!(open("").unwrap_err(), Error::EmptyFile { .. }));
        let unusable = open("a,b\n\n").unwrap_err();
        assert!(unusable.to_string().contains("no usable detection; rows skipped: 1 (line 1:"), "{unusable}");
    }

    #[test]
    fn frames_have_the_times_of_their_rate_and_allocate_nothing() {
        let text = (1..=50).map(|frame| format!("{frame},-1,1,1,5,5,1\n")).collect::<Vec<_>>().concat();
        let mut source = open(&format!("{text}x\n")).unwrap();
        assert_eq!((source.is_live(), source.faults().count), (false, 1));
        let mut frame = Frame::empty(CameraId::parse("cam").unwrap());
        assert_eq!(source.next_frame(&mut frame, Duration::ZERO).unwrap(), Next::Frame);
        assert_eq!((frame.seq, frame.time.mono_ns, frame.size.width), (0, 5, 640));
        let info = allocation_counter::measure(|| {
            while source.next_frame(&mut frame, Duration::ZERO).unwrap() == Next::Frame {}
        });
        assert_eq!(info.count_total, 0);
        assert_eq!((frame.seq, frame.time.mono_ns), (49, 5 + 4_900_000_000));
    }

    proptest! {
        #[test]
        fn rubbish_neither_panics_nor_grows_beyond_what_was_read(
            bytes in prop::collection::vec(prop_oneof![Just(b','), Just(b'\n'), b'0'..=b'9', any::<u8>()], 0..2000)
        ) {
            let (rows, faults) = parse_rows(&bytes[..]).unwrap();
            let lines = bytes.split(|&b| b == b'\n').count() as u64;
            prop_assert!(rows.detections.len() as u64 + faults.count <= lines);
            prop_assert!(rows.frame_count() <= rows.detections.len() * (GAP_FRAMES_MAX as usize + 1));
        }

        #[test]
        fn every_row_that_was_written_is_found_again(
            rows in prop::collection::vec((1_u32..500, -100.0..900.0, 1.0..80.0, 0.0..=1.0), 1..60)
        ) {
            let text =
                rows.iter().map(|(f, left, width, score)| format!("{f},-1,{left},7,{width},9,{score}\n")).collect::<Vec<_>>().concat();
            let (parsed, faults) = parse(&text);
            prop_assert_eq!(faults.count, 0);
            for (i, frame) in (1..=500).enumerate() {
                let expected: Vec<_> = rows.iter().filter(|row| row.0 == frame).map(|&(_, left, width, score)| {
                    Detection { bbox: BBox::new(left, 7.0, width, 9.0), class: Class::Person, score }
                }).collect();
                prop_assert_eq!(parsed.of_frame(i), &expected[..]);
            }
        }
    }
}
