//! Every number in the tracker's options, by name.

use omnisight::track::Options;

/// One number, how to read and how to change it.
pub struct Parameter {
    pub name: &'static str,
    pub get: fn(&Options) -> f64,
    pub set: fn(&mut Options, f64),
}

macro_rules! parameters {
    ($($($field:ident).+),* $(,)?) => {
        &[$(Parameter {
            name: stringify!($($field).+),
            get: |o| f64::from(o.$($field).+),
            set: |o, value| o.$($field).+ = value,
        }),*, Parameter {
            name: "max_age_frames",
            get: |o| f64::from(o.max_age_frames),
            set: |o, value| o.max_age_frames = value.round() as u32,
        }, Parameter {
            name: "min_hits",
            get: |o| f64::from(o.min_hits),
            set: |o, value| o.min_hits = value.round() as u32,
        }]
    };
}

/// All that the tracker assumes.
pub const PARAMETERS: &[Parameter] = parameters![
    iou_min,
    evidence_min,
    error_s,
    error_reach,
    still_s,
    still_reach,
    tentative_s,
    lost_s,
    sure_odds,
    doubt_share,
    clear_odds,
    clear_share,
    overlap_s,
    gate,
    birth_density,
    exit_s,
    stray_cost,
    tentative_cost,
    occlusion_noise,
    covered_s,
    detected_share,
    detected_share_moving,
    covered_iou,
    clutter_odds,
    noise_odds,
    motion.place_noise,
    motion.height_noise,
    motion.width_noise,
    motion.speed_start,
    motion.thing_speed,
    motion.speed_drift,
    motion.place_drift,
    motion.rise_share,
    motion.size_share,
    motion.heading_s,
    motion.growth_s,
];

/// Sets `name=value`, or `name*factor`.
pub fn change(options: &mut Options, text: &str) -> Result<(), String> {
    let (name, value, is_factor) = match (text.split_once('='), text.split_once('*')) {
        (Some((name, value)), _) => (name, value, false),
        (None, Some((name, value))) => (name, value, true),
        _ => return Err(format!("{text}: a change is name=value or name*factor")),
    };
    let parameter = PARAMETERS.iter().find(|p| p.name == name);
    let parameter = parameter.ok_or_else(|| format!("{name}: no such parameter"))?;
    let value: f64 = value.parse().map_err(|_| format!("{value}: not a number"))?;
    let value = if is_factor { value * (parameter.get)(options) } else { value };
    (parameter.set)(options, value);
    Ok(())
}
