//! Boxes from the tensors of a network, one function for each kind of network.
//!
//! Boxes are in pixels of the network's input. Several may be of one object; what is less sure than [`SCORE_MIN`] is left
//! out, and so are classes that the description does not name.

use super::{Description, Error, Fault, Output, Tensor};
use crate::model::{BBox, Class, Detection};

/// Less sure boxes say nothing, 0..1.
const SCORE_MIN: f32 = 0.02;
/// The strides of the grids of YOLOX, pixels of the input.
const YOLOX_STRIDES: [usize; 3] = [8, 16, 32];
/// e to this is larger than any input: the logarithm of a side is not taken to be more.
const LN_SIDE_MAX: f32 = 10.0;
/// Columns before the scores of the classes: the box and its objectness.
const BOX_COLUMNS: usize = 5;

/// Adds the boxes in `outputs` to `found`.
pub(super) fn read(
    outputs: &[Tensor],
    description: &Description,
    found: &mut Vec<Detection>,
) -> Result<(), Error> {
    let [output] = outputs else {
        return Err(other_shape(description, &format!("{} outputs", outputs.len())));
    };
    match description.output {
        Output::Yolox => yolox(output, description, found),
        Output::FastestDet => fastestdet(output, description, found),
    }
}

fn other_shape(description: &Description, found: &str) -> Error {
    let reason = format!(
        "model gives {found}, which is no output of kind {:?} for {} x {} pixels; correct output, width or height in the \
         description",
        description.output, description.size.width, description.size.height
    );
    Error::new(Fault::OtherShape, reason)
}

/// The most likely class that is known here, and its score.
fn best_class(score: impl Fn(usize) -> f32, description: &Description) -> Option<(Class, f32)> {
    let scores = description.classes.iter().map(|(&index, &class)| (class, score(index)));
    scores.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The highest index of a class must be one of the network's.
fn has_classes(count: usize, description: &Description) -> bool {
    description.classes.last_key_value().is_some_and(|(&index, _)| index < count)
}

fn around(center: [f32; 2], side: [f32; 2]) -> BBox {
    let ([x, y], [width, height]) = (center.map(f64::from), side.map(f64::from));
    BBox::new(x - width / 2.0, y - height / 2.0, width, height)
}

/// Shape [1, cells, 5 + classes]; the cells of each grid row by row, the finest grid first.
fn yolox(output: &Tensor, description: &Description, found: &mut Vec<Detection>) -> Result<(), Error> {
    let (width, height) = (description.size.width as usize, description.size.height as usize);
    let cells: usize = YOLOX_STRIDES.iter().map(|stride| (width / stride) * (height / stride)).sum();
    let columns = match output.shape[..] {
        [1, rows, columns] if rows == cells && columns > BOX_COLUMNS => columns,
        _ => return Err(other_shape(description, &format!("{:?}", output.shape))),
    };
    if !has_classes(columns - BOX_COLUMNS, description) {
        return Err(other_shape(description, &format!("{} classes", columns - BOX_COLUMNS)));
    }
    let mut rows = output.data.chunks_exact(columns);
    for stride in YOLOX_STRIDES {
        for cell in 0..(width / stride) * (height / stride) {
            let Some(row) = rows.next() else { return Ok(()) };
            let objectness = row[4];
            if objectness < SCORE_MIN {
                continue;
            }
            let Some((class, score)) = best_class(|index| row[BOX_COLUMNS + index], description) else {
                continue;
            };
            let score = score * objectness;
            if score < SCORE_MIN {
                continue;
            }
            let (column, line) = (cell % (width / stride), cell / (width / stride));
            let stride = stride as f32;
            let center = [(row[0] + column as f32) * stride, (row[1] + line as f32) * stride];
            let side = [row[2], row[3]].map(|ln| ln.min(LN_SIDE_MAX).exp() * stride);
            found.push(Detection { bbox: around(center, side), class, score: f64::from(score.min(1.0)) });
        }
    }
    Ok(())
}

/// Shape [1, 5 + classes, rows, columns]; the score is objectness^0.6 · class^0.4.
fn fastestdet(output: &Tensor, description: &Description, found: &mut Vec<Detection>) -> Result<(), Error> {
    let (channels, rows, columns) = match output.shape[..] {
        [1, channels, rows, columns] if channels > BOX_COLUMNS && rows > 0 && columns > 0 => {
            (channels, rows, columns)
        }
        _ => return Err(other_shape(description, &format!("{:?}", output.shape))),
    };
    if !has_classes(channels - BOX_COLUMNS, description) {
        return Err(other_shape(description, &format!("{} classes", channels - BOX_COLUMNS)));
    }
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let (width, height) = (description.size.width as f32, description.size.height as f32);
    for cell in 0..rows * columns {
        let value = |channel: usize| output.data[channel * rows * columns + cell];
        let Some((class, score)) = best_class(|index| value(BOX_COLUMNS + index), description) else {
            continue;
        };
        let score = value(0).max(0.0).powf(0.6) * score.max(0.0).powf(0.4);
        if score < SCORE_MIN {
            continue;
        }
        let (column, line) = ((cell % columns) as f32, (cell / columns) as f32);
        let center = [
            (value(1).tanh() + column) * width / columns as f32,
            (value(2).tanh() + line) * height / rows as f32,
        ];
        let side = [sigmoid(value(3)) * width, sigmoid(value(4)) * height];
        found.push(Detection { bbox: around(center, side), class, score: f64::from(score.min(1.0)) });
    }
    Ok(())
}
