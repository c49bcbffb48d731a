//! The rules of `[calibration]` and `[[zone]]`: metres on the ground, pixels or parts of the picture.
//!
//! What makes a ground plane degenerate, mirrored or cut by the horizon is known to `model`, not here.

use nalgebra::Matrix3;

use super::{Checked, Faulty, Validator};
use crate::capture::{Kind, synthetic};
use crate::config::raw;
use crate::config::schema::quoted;
use crate::model::{
    Correspondence, Demands, GroundPlane, Point, Polygon, Size, Survey, Zone, survey_homography, survey_pairs,
};

/// The unit square stands for a picture of any size where only relative coordinates count.
const UNIT: Size = Size { width: 1, height: 1 };

/// What `[calibration]` says.
pub(super) enum Calibration {
    /// Nothing was measured: metres across a picture, when they are set.
    Nominal(Option<f64>),
    Measured(Box<Survey>),
}

impl Validator<'_> {
    /// The plane under this camera, for pictures of the source's size where that is known.
    pub(super) fn ground(&mut self, source: &Kind, calibration: Calibration) -> Checked<GroundPlane> {
        let size = match source {
            Kind::Synthetic(options) => Some(options.size),
            Kind::Replay(options) => Some(options.size),
            Kind::Video(options) => options.size,
            Kind::Command(_) => None,
        };
        match (calibration, source) {
            (Calibration::Measured(survey), _) => {
                let Survey { plane, notes } = *survey;
                self.notes.extend(notes.iter().map(|note| format!("calibration: {note}")));
                Ok(size.map_or(plane.clone(), |size| plane.resized(size)))
            }
            (Calibration::Nominal(Some(meters)), Kind::Synthetic(_)) => {
                let reason = "a simulated camera knows its calibration; here it has no effect";
                self.refuse("calibration.meters_per_unit", format!("{meters:?}"), reason)
            }
            (Calibration::Nominal(None), Kind::Synthetic(o)) => {
                synthetic::ground_plane(o.cameras, o.index, o.size).or_else(|e| {
                    self.refuse(
                        "capture.view",
                        o.index.to_string(),
                        format!("the simulated camera's plane {e}"),
                    )
                })
            }
            (Calibration::Nominal(meters), _) => {
                let meters = meters.unwrap_or(raw::Calibration::METERS_PER_UNIT);
                Ok(GroundPlane::nominal(meters, size.unwrap_or(UNIT)))
            }
        }
    }

    pub(super) fn calibration(&mut self, raw: &raw::Calibration) -> Checked<Calibration> {
        let (path, found) = match (&raw.points, &raw.homography) {
            (None, None) => return self.nominal(raw),
            (Some(_), Some(_)) => {
                let reason = "there is calibration.points, too; keep one of the two";
                return self.refuse("calibration.homography", "a matrix", reason);
            }
            (Some(points), None) => ("calibration.points", format!("{} point pairs", points.len())),
            (None, Some(_)) => ("calibration.homography", "a matrix".to_owned()),
        };
        if let Some(meters) = raw.meters_per_unit {
            let reason = format!("with {path} it has no effect");
            return self.refuse("calibration.meters_per_unit", format!("{meters:?}"), reason);
        }
        let allowed = format!("an integer, in pixels of the picture in which {path} was measured");
        let width = raw.image_width.map_or_else(|| self.missing("calibration.image_width", &allowed), Ok);
        let height = raw.image_height.map_or_else(|| self.missing("calibration.image_height", &allowed), Ok);
        let size = Size { width: width?, height: height? };
        let demands = Demands { allow_horizon: raw.allow_horizon, accept_doubtful: raw.accept_doubtful };
        let survey = if let Some(h) = &raw.homography {
            let matrix = Matrix3::from_fn(|row, column| h[row][column]);
            survey_homography(&matrix, size, demands)
        } else {
            let point = |p: [f64; 2]| Point::new(p[0], p[1]);
            let pair = |p: &raw::Pair| Correspondence { image_px: point(p.image), ground_m: point(p.ground) };
            let pairs: Vec<_> = raw.points.iter().flatten().map(pair).collect();
            survey_pairs(&pairs, size, demands)
        };
        match survey {
            Ok(survey) => Ok(Calibration::Measured(Box::new(survey))),
            Err(e) => self.refuse(path, found, format!("the calibration {e}")),
        }
    }

    fn nominal(&mut self, raw: &raw::Calibration) -> Checked<Calibration> {
        let set = [
            ("image_width", raw.image_width.map(|size| size.to_string())),
            ("image_height", raw.image_height.map(|size| size.to_string())),
            ("accept_doubtful", raw.accept_doubtful.then(|| "true".to_owned())),
            ("allow_horizon", raw.allow_horizon.then(|| "true".to_owned())),
        ];
        // First all of them, so that each fault is found.
        let alone = set.map(|(key, found)| match found {
            None => Ok(()),
            Some(found) => {
                let reason = "without calibration.points or calibration.homography it has no effect";
                self.refuse(&format!("calibration.{key}"), found, reason)
            }
        });
        alone.into_iter().collect::<Checked<()>>()?;
        Ok(Calibration::Nominal(raw.meters_per_unit))
    }

    pub(super) fn zones(&mut self, ground: Option<&GroundPlane>) -> Checked<Vec<Zone>> {
        let raws: Vec<Checked<raw::Zone>> = self.elements("zone");
        let mut zones = Vec::with_capacity(raws.len());
        for (i, raw) in raws.iter().enumerate() {
            let Ok(raw) = raw else { continue };
            if raws[..i].iter().flatten().any(|z| z.name == raw.name) {
                let path = format!("zone.{i}.name");
                // Noted; the border is still worth a look.
                let _: Checked<()> =
                    self.not_allowed(&path, quoted(&raw.name), "a name that no other zone has");
            }
            if let Ok(border_m) = self.zone_border(&format!("zone.{i}"), raw, ground) {
                zones.push(Zone {
                    name: raw.name.clone(),
                    kind: raw.kind,
                    classes: raw.classes.clone(),
                    dwell_s: raw.dwell_s,
                    border_m,
                });
            }
        }
        if zones.len() < raws.len() || self.faults.touch("zone") { Err(Faulty) } else { Ok(zones) }
    }

    fn zone_border(&mut self, path: &str, raw: &raw::Zone, ground: Option<&GroundPlane>) -> Checked<Polygon> {
        match (&raw.points_m, &raw.points_image) {
            (Some(points), None) => {
                let corners = points.iter().map(|p| Point::new(p[0], p[1])).collect();
                self.polygon(&format!("{path}.points_m"), corners)
            }
            (None, Some(points)) => self.projected(&format!("{path}.points_image"), points, ground),
            (Some(_), Some(_)) => {
                let reason = "there is points_m, too; keep one of the two";
                self.refuse(&format!("{path}.points_image"), "a list of points", reason)
            }
            (None, None) => {
                self.missing(&format!("{path}.points_m"), "3 or more corners in points_m or points_image")
            }
        }
    }

    /// Corners in the picture, put on the ground; left alone when the calibration has a fault.
    fn projected(
        &mut self,
        path: &str,
        points: &[raw::Relative],
        ground: Option<&GroundPlane>,
    ) -> Checked<Polygon> {
        let plane = ground.ok_or(Faulty)?.resized(UNIT);
        let mut corners = Vec::with_capacity(points.len());
        for (i, raw::Relative([u, v])) in points.iter().enumerate() {
            let Some(corner) = plane.to_ground(Point::new(*u, *v)) else {
                let reason = "this place of the picture is too near to the horizon, or above it";
                return self.refuse(&format!("{path}.{i}"), format!("[{u:?}, {v:?}]"), reason);
            };
            corners.push(corner);
        }
        self.polygon(path, corners)
    }
}
