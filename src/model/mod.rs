//! The vocabulary: what the parts say to one another.
//!
//! Plain values with their units and the rules that keep them sane. Nothing here reads a file, a
//! socket, a clock or a configuration. Image lengths are pixels of the frame (origin top left,
//! y down); ground lengths are metres on the site's plane (right-handed, z up); angles are radians.

mod attribute;
mod behavior;
mod calibration;
mod camera;
mod detection;
mod envelope;
mod event;
mod forecast;
mod frame;
mod geometry;
mod mode;
mod scene;
mod track;
mod vitals;
mod zone;

pub use attribute::{Attribute, Plate, Reading};
pub use behavior::{Behavior, Behaviors, ZoneStay};
pub use calibration::{
    CalibrationError, Correspondence, Demands, GroundPlane, Outlook, Survey, survey_homography, survey_pairs,
};
pub use camera::{CameraId, CameraIdError};
pub use detection::{Class, Detection, Look};
pub use envelope::{ContentType, Delivery, Envelope, Handling, Lane, MessageClass, Qos, SettledBy, Waiting};
pub use event::{Event, EventState, EventType, RuleTrace, Severity};
pub use forecast::{Forecast, ForecastPoint};
pub use frame::{Chroma, Content, Frame, Image, rgb};
pub use geometry::{BBox, Motion, Point, Polygon, PolygonError, Size};
pub use mode::{Mode, ModeSeverity, Modes};
pub use scene::{Scene, SceneTrack, Transition};
pub use track::{Sighting, Track};
pub use vitals::MachineVitals;
pub use zone::{Zone, ZoneKind};
