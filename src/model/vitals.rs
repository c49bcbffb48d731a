//! How the machine that the camera runs on is.

/// What was measured of it; none what can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MachineVitals {
    /// Of all processors since the last look, 0..=100.
    pub cpu_percent: Option<f64>,
    /// Of the memory that is not available, 0..=100.
    pub memory_percent: Option<f64>,
    /// Of the disk with the camera's state that users may fill, 0..=100.
    pub disk_percent: Option<f64>,
    /// The hottest place that is measured, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Since the machine was started, seconds.
    pub uptime_s: Option<u64>,
}
