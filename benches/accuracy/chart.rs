//! The two charts of the README as one PNG: identities beside other trackers, confidence beside truth.

use std::convert::Infallible;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use embedded_graphics::mono_font::iso_8859_1::{FONT_6X13, FONT_7X13_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Line, PrimitiveStyle, Rectangle};
use embedded_graphics::text::Text;

use crate::score::Score;

const SIZE: Size = Size::new(900, 330);
const PAPER: Rgb888 = Rgb888::new(255, 255, 255);
const INK: Rgb888 = Rgb888::new(40, 44, 52);
const PALE: Rgb888 = Rgb888::new(205, 210, 218);
const OURS: Rgb888 = Rgb888::new(20, 110, 180);
/// IDF1 of others on `det_sort_frcnn.txt` of the seven MOT15 sequences, each measured with its own code.
const OTHERS: [(&str, f64); 4] =
    [("SORT", 49.4), ("OC-SORT", 52.4), ("SORT (another package)", 52.6), ("ByteTrack", 53.9)];
/// The same with every detection given to whom it belongs.
const PERFECT: f64 = 80.4;

struct Sheet(Vec<u8>);

impl OriginDimensions for Sheet {
    fn size(&self) -> Size {
        SIZE
    }
}

impl DrawTarget for Sheet {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            if Rectangle::new(Point::zero(), SIZE).contains(at) {
                let place = 3 * (at.y as usize * SIZE.width as usize + at.x as usize);
                self.0[place..place + 3].copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

impl Sheet {
    fn text(&mut self, x: i32, y: i32, text: &str, font: &MonoFont<'_>, color: Rgb888) {
        let _ = Text::new(text, Point::new(x, y), MonoTextStyle::new(font, color)).draw(self);
    }

    fn bar(&mut self, x: i32, y: i32, (width, height): (i32, i32), color: Rgb888) {
        let size = Size::new(width.max(0) as u32, height.max(0) as u32);
        let _ =
            Rectangle::new(Point::new(x, y), size).into_styled(PrimitiveStyle::with_fill(color)).draw(self);
    }

    fn line(&mut self, from: (i32, i32), to: (i32, i32), color: Rgb888) {
        let line = Line::new(Point::new(from.0, from.1), Point::new(to.0, to.1));
        let _ = line.into_styled(PrimitiveStyle::with_stroke(color, 1)).draw(self);
    }
}

/// Writes the charts; `median_idf1` is that of the draws.
pub fn write(path: &Path, defaults: &Score, median_idf1: f64) -> std::io::Result<()> {
    let mut sheet = Sheet(vec![255; 3 * (SIZE.width * SIZE.height) as usize]);
    sheet.bar(0, 0, (SIZE.width as i32, SIZE.height as i32), PAPER);
    identities(&mut sheet, defaults.idf1(), median_idf1);
    reliability(&mut sheet, defaults);
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), SIZE.width, SIZE.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&sheet.0)?;
    Ok(())
}

fn identities(sheet: &mut Sheet, defaults: f64, median: f64) {
    const LEFT: i32 = 200;
    const PER_POINT: f64 = 3.0;
    sheet.text(20, 28, "IDF1 on the same detections, seven MOT15 sequences", &FONT_7X13_BOLD, INK);
    let mut rows: Vec<_> = OTHERS.iter().map(|&(name, value)| (name, value, PALE)).collect();
    rows.push(("ours, numbers off by 25 %", median, OURS));
    rows.push(("ours", defaults, OURS));
    rows.push(("perfect association", PERFECT, PALE));
    for (i, (name, value, color)) in rows.into_iter().enumerate() {
        let y = 50 + 36 * i as i32;
        sheet.text(20, y + 16, name, &FONT_6X13, INK);
        let width = (PER_POINT * value) as i32;
        sheet.bar(LEFT, y, (width, 24), color);
        sheet.text(LEFT + width + 6, y + 16, &format!("{value:.1}"), &FONT_6X13, INK);
    }
}

fn reliability(sheet: &mut Sheet, score: &Score) {
    const LEFT: i32 = 600;
    const BOTTOM: i32 = 290;
    const SIDE: i32 = 230;
    let title = format!("True reports by confidence, ECE {:.3}", score.calibration_error());
    sheet.text(LEFT - 40, 28, &title, &FONT_7X13_BOLD, INK);
    let x = |p: f64| LEFT + (p * f64::from(SIDE)) as i32;
    let y = |p: f64| BOTTOM - (p * f64::from(SIDE)) as i32;
    for tenth in [0, 2, 4, 6, 8, 10] {
        let p = f64::from(tenth) / 10.0;
        sheet.line((x(0.0), y(p)), (x(1.0), y(p)), PALE);
        sheet.text(LEFT - 30, y(p) + 4, &format!("{p:.1}"), &FONT_6X13, INK);
        sheet.text(x(p) - 9, BOTTOM + 18, &format!("{p:.1}"), &FONT_6X13, INK);
    }
    for [reports, hits, sum] in score.bins {
        // A bin of a few reports says nothing.
        if reports >= 50.0 {
            let (mean, share) = (sum / reports, hits / reports);
            sheet.bar(x(mean) - 8, y(share), (16, BOTTOM - y(share)), OURS);
            sheet.text(x(mean) - 14, y(share) - 4, &format!("{reports:.0}"), &FONT_6X13, INK);
        }
    }
    sheet.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), INK);
}
