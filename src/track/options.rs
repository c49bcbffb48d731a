//! What the tracker can be told, and what it assumes of objects and detectors.
//!
//! Every value is physical: seconds, heights of the object's own box, probabilities, natural
//! log-odds. Nothing is in frames, save the two keys that a user knows from other trackers, and
//! nothing in pixels, so one set of defaults serves every frame rate and picture size.

/// How tracks begin, go on and end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Least overlap (`IoU`, 0..1) of a track's prediction and a detection to be the same object, less
    /// what their distance and a doubtful track cost.
    pub iou_min: f64,
    /// Frames without a detection that a confirmed track survives at least.
    pub max_age_frames: u32,
    /// Hits before a track is confirmed.
    pub min_hits: u32,
    /// Evidence before a track is confirmed: the sum over its hits of odds less `clutter_odds`, natural
    /// units. At 12 three hits of score 0.96 are enough, or four of 0.9. A track without a sure detection
    /// needs twice as much: thirty of score 0.5.
    pub evidence_min: f64,
    /// An error of the detector lasts for so long, seconds, or until it is `error_reach` longer sides of the box from where it
    /// began: within that, detections count as one.
    pub error_s: f64,
    /// See `error_s`.
    pub error_reach: f64,
    /// A thing of unknown class may be a ghost until it has lasted for so long, seconds, or has moved by `still_reach` longer
    /// sides of its box. While ghosts are known, it is not confirmed before.
    pub still_s: f64,
    /// See `still_s`.
    pub still_reach: f64,
    /// Seconds without a detection that a track of unknown class survives before it is confirmed.
    pub tentative_s: f64,
    /// Seconds without a detection that a confirmed track survives at least.
    pub lost_s: f64,
    /// From these odds on (ln, on the detector's learned scale) a detection is sure: it is paired first,
    /// and may find a lost track. 2 is a score of 0.88.
    pub sure_odds: f64,
    /// The part of the tracks' detections that may fall short of `sure_odds` (0..1): where more do, the
    /// detector's scores are low, and its scale is moved. Of a network that reports everything down to a score of 0.01
    /// most are doubtful, and rightly so.
    pub doubt_share: f64,
    /// A detector whose scores are probabilities gives `clear_share` of the tracks' detections these odds at least (ln; 4 is
    /// a score of 0.98). One that does not is too modest: it means more than it says, for and against.
    pub clear_odds: f64,
    /// See `clear_odds`; 0..1.
    pub clear_share: f64,
    /// A track unseen for no longer than this is looked for by overlap; then by distance and size.
    pub overlap_s: f64,
    /// Greatest squared Mahalanobis distance at which a detection may be a lost track; four standard
    /// deviations.
    pub gate: f64,
    /// New objects that are expected in each frame, for each cube of place and height, in heights: what a
    /// lost track explains worse than this is a new object.
    pub birth_density: f64,
    /// A track that was lost at the edge of the view is given up after this, seconds.
    pub exit_s: f64,
    /// What each unit of squared Mahalanobis distance costs, as overlap (0..1).
    pub stray_cost: f64,
    /// What a track that is not yet confirmed costs against one that is, as overlap (0..1).
    pub tentative_cost: f64,
    /// How much worse a measurement becomes under full overlap: noise × (1 + this · overlap).
    pub occlusion_noise: f64,
    /// A track unseen for no longer than this is reported while another track covers it.
    pub covered_s: f64,
    /// What the detection counts in the reported box, 0..1; the estimate counts the rest.
    pub detected_share: f64,
    /// The same while the view moves: an estimate lags behind a camera that sways.
    pub detected_share_moving: f64,
    /// Overlap (`IoU`, 0..1) from which a track is covered by another.
    pub covered_iou: f64,
    /// The odds (ln) at which a detection is as likely clutter as an object; -0.8 is a score of 0.31.
    pub clutter_odds: f64,
    /// Detections of lower odds (ln) are noise and left out; -1.4 is a score of 0.2.
    pub noise_odds: f64,
    /// What the filter assumes of motion and measurement.
    pub motion: Motion,
}

/// Noise of a box and its motion, standard deviations in parts of the box's height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Of a detected centre.
    pub place_noise: f64,
    /// Of a detected height.
    pub height_noise: f64,
    /// Of a detected width: people swing arms and legs.
    pub width_noise: f64,
    /// Of a new object's speed, heights per second. A person walks at about 0.8 and sprints at 4.
    pub speed_start: f64,
    /// The same of what is no person, in any direction, longer sides of its box per second: a car on a motorway drives at 7.
    pub thing_speed: f64,
    /// How far speed wanders in one second, heights per second.
    pub speed_drift: f64,
    /// How far place wanders beside its velocity in one second: a detector's errors last for longer
    /// than a frame, and a body sways.
    pub place_drift: f64,
    /// Speed and drift up and down the picture as a part of those across it: who walks away from a camera
    /// hardly moves in its picture. Over gaps of 1-3 s the annotated people of nine MOT15 and MOT17
    /// sequences stray 0.1-0.4 times as far up or down as sideways.
    pub rise_share: f64,
    /// Speed and drift of width and height as a part of those of the place.
    pub size_share: f64,
    /// Seconds after which the velocity of an unseen object has fallen to 1/e.
    pub heading_s: f64,
    /// Seconds after which a growth has fallen to 1/e: nothing grows for long.
    pub growth_s: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            iou_min: 0.21,
            max_age_frames: 30,
            min_hits: 3,
            evidence_min: 12.0,
            error_s: 0.03,
            error_reach: 0.1,
            still_s: 2.0,
            still_reach: 0.2,
            tentative_s: 0.1,
            lost_s: 3.0,
            sure_odds: 2.0,
            doubt_share: 0.75,
            clear_odds: 4.0,
            clear_share: 0.2,
            overlap_s: 0.45,
            gate: 16.0,
            birth_density: 0.15,
            exit_s: 0.1,
            stray_cost: 0.015,
            tentative_cost: 0.25,
            occlusion_noise: 1.8,
            covered_s: 0.4,
            detected_share: 0.3,
            detected_share_moving: 0.7,
            covered_iou: 0.25,
            clutter_odds: -0.8,
            noise_odds: -1.4,
            motion: Motion::default(),
        }
    }
}

impl Default for Motion {
    fn default() -> Self {
        Self {
            place_noise: 0.07,
            height_noise: 0.085,
            width_noise: 0.07,
            speed_start: 2.0,
            thing_speed: 8.0,
            speed_drift: 0.32,
            place_drift: 0.15,
            rise_share: 0.25,
            size_share: 0.55,
            heading_s: 2.5,
            growth_s: 0.7,
        }
    }
}
