//! Why a calibration is refused: what is wrong with it, and what to do.

use super::survey::{Numbers, Outlook};

/// Why a calibration is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// Too few pairs.
    #[error("needs at least 4 point pairs, has {0}")]
    TooFewPairs(usize),
    /// A number is infinite or not a number.
    #[error("holds a number that is not finite")]
    NotFinite,
    /// The pairs, or the matrix, do not fix a plane.
    #[error("is degenerate: use at least 4 pairs of which no 3 lie on one line")]
    Degenerate,
    /// The horizon would run between the measured points.
    #[error(
        "turns the ground inside out: the points lie in another order in the picture than on the ground; check which place belongs to which point"
    )]
    Folded,
    /// Points that are not in the picture.
    #[error(
        "has points outside the picture of {width} x {height} pixels (pairs {pairs}, counted from 0); check image_width, image_height and these points"
    )]
    OutsidePicture {
        /// Which pairs.
        pairs: Numbers,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The picture's coordinates are rows and columns.
    #[error("has column and row exchanged: write image = [column, row], column first")]
    RowFirst,
    /// The picture's coordinates are fractions.
    #[error(
        "holds fractions of the picture instead of pixels; multiply columns by {width} and rows by {height}"
    )]
    Fractions {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The ground's coordinates are in another unit.
    #[error("is in {unit} instead of metres: {evidence}; divide the ground coordinates by {factor}")]
    Unit {
        /// The unit's name, plural.
        unit: &'static str,
        /// What must be divided by.
        factor: f64,
        /// What gave it away.
        evidence: Outlook,
    },
    /// The matrix maps from the ground to the picture.
    #[error(
        "is the wrong way round: the matrix takes metres to pixels; write its inverse, which takes pixels to metres"
    )]
    Inverse,
    /// The matrix stands column by column.
    #[error("is transposed: write the matrix row by row")]
    Transposed,
    /// Two pairs have each other's place.
    #[error("has two pairs exchanged: {a} and {b}, counted from 0; exchange their ground coordinates")]
    Exchanged {
        /// One.
        a: usize,
        /// The other.
        b: usize,
    },
    /// One pair does not fit to the others.
    #[error(
        "has one pair that does not fit to the others: pair {pair}, counted from 0, is {off_px:.0} pixels off (the others agree to {rest_px:.1}); measure it again"
    )]
    OnePairOff {
        /// Which.
        pair: usize,
        /// How far from where the others put it, pixels.
        off_px: f64,
        /// How far off the others are, root mean square, pixels.
        rest_px: f64,
    },
    /// The pairs contradict one another.
    #[error(
        "has pairs that do not fit to one another: {rms_px:.0} pixels off on average, most at pair {worst}, counted from 0; measure them again, on one level ground{more}"
    )]
    Disagree {
        /// Root mean square error, pixels.
        rms_px: f64,
        /// The pair with the largest error.
        worst: usize,
        /// What else helps.
        more: &'static str,
    },
    /// The pairs lie too near to one another.
    #[error(
        "has points too near to one another: an error of {error_px:.0} pixels changes lengths in the picture by {percent:.0} %; spread the points over the picture"
    )]
    SmallSpread {
        /// The error that is assumed of each point, pixels.
        error_px: f64,
        /// By how much a length changes.
        percent: f64,
    },
    /// No camera is there, or no person is as tall.
    #[error(
        "does not fit to a camera that sees persons: {0}; check units and points, or set accept_doubtful = true if that is right"
    )]
    Unlikely(Outlook),
    /// The plane is seen from below.
    #[error(
        "is mirrored: seen from above, ground y must point left of ground x (right-handed, z up); swap x and y of the ground coordinates, or negate one, unless image is written row first"
    )]
    Mirrored,
    /// The sky is where people should stand.
    #[error(
        "puts the horizon through the picture (row {row:.0} of {height}); check the pairs, or set allow_horizon = true if the camera really sees it"
    )]
    Horizon {
        /// Lowest row in which the horizon meets the picture's left or right border.
        row: f64,
        /// Rows in the picture.
        height: u32,
    },
}
