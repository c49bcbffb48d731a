//! What a reader of plates left behind beside the detections of a recording:
//!
//! ```text
//! frame,left,top,width,height,confidence,text     lengths in pixels, confidence 0..1
//! ```
//!
//! Frames count as those of the detections do, from 1 or from 0. The text may hold commas; columns may be
//! parted by tabs instead. A file with a row that can't be used is refused with its line: such files are
//! made by programs, and a plate that is left out silently is worse than none. At most [`ROWS_MAX`] rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::Error;
use crate::base::skip_mark;
use crate::model::{Attribute, BBox, Plate, Reading};

/// Most rows, about 200 bytes each.
const ROWS_MAX: usize = 500_000;
/// Longest row, bytes.
const ROW_BYTES_MAX: u64 = 1_024;
/// Columns before the text.
const NUMBERS: usize = 6;

/// The readings by the number of the frame.
pub(super) type Plates = BTreeMap<u32, Vec<Reading>>;

/// Reads the whole file.
pub(super) fn open(path: &Path) -> Result<Plates, Error> {
    let refuse = |source| Error::File { path: path.to_owned(), source };
    parse(BufReader::new(File::open(path).map_err(refuse)?)).map_err(refuse)
}

fn parse(mut input: impl BufRead) -> io::Result<Plates> {
    let (mut plates, mut line) = (Plates::new(), String::new());
    skip_mark(&mut input)?;
    for number in 1.. {
        line.clear();
        if input.by_ref().take(ROW_BYTES_MAX).read_line(&mut line)? == 0 {
            break;
        }
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {why}"));
        if number > ROWS_MAX {
            return Err(bad("more than 500000 rows"));
        }
        if line.trim().is_empty() {
            continue;
        }
        let (frame, reading) =
            row(line.trim_end()).ok_or_else(|| bad("not frame,left,top,width,height,confidence,text"))?;
        plates.entry(frame).or_default().push(reading);
    }
    Ok(plates)
}

fn row(line: &str) -> Option<(u32, Reading)> {
    let comma = line.find(',').unwrap_or(line.len());
    let separator = if line[..comma].contains('\t') { '\t' } else { ',' };
    let mut columns = line.splitn(NUMBERS + 1, separator);
    let frame = columns.next()?.trim().parse().ok()?;
    let mut numbers = [0.0_f64; NUMBERS - 1];
    for number in &mut numbers {
        *number = columns.next()?.trim().parse().ok().filter(|number: &f64| number.is_finite())?;
    }
    let [left, top, width, height, confidence] = numbers;
    let text = columns.next().map(str::trim).filter(|text| !text.is_empty())?.to_owned();
    if !(0.0..=1.0).contains(&confidence) {
        return None;
    }
    let bbox = BBox::new(left, top, width, height);
    Some((frame, Reading { attribute: Attribute::Plate(Plate { text, confidence, bbox }), bbox }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_readings_of_their_frames() {
        let plates =
            parse("3,10,20,30,8,0.9,AB 1234\n\n3,50,20,30,8,1,กข 99\n7,1,1,1,1,0,X,Y\n".as_bytes()).unwrap();
        let texts: Vec<_> = plates
            .iter()
            .flat_map(|(frame, readings)| readings.iter().map(move |r| (*frame, &r.attribute)))
            .map(|(frame, Attribute::Plate(plate))| (frame, plate.text.as_str()))
            .collect();
        assert_eq!(texts, [(3, "AB 1234"), (3, "กข 99"), (7, "X,Y")]);
    }

    #[test]
    fn a_mark_tabs_and_a_frame_0_are_read() {
        let plates = parse("\u{feff}0\t10\t20\t30\t8\t0.9\tAB, 1\n".as_bytes()).unwrap();
        let Attribute::Plate(plate) = &plates[&0][0].attribute;
        assert_eq!(plate.text, "AB, 1");
    }

    #[test]
    fn a_row_that_cannot_be_used_refuses_the_file_with_its_line() {
        for bad in ["-1,1,1,1,1,1,A", "1,1,1,1,1,2,A", "1,1,1,1,1,1,", "1,1,1", "1,1,nan,1,1,1,A"] {
            let error = parse(format!("1,1,1,1,1,1,A\n{bad}\n").as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("line 2: not frame,"), "{bad}: {error}");
        }
    }
}
