//! Reading the configuration again while the daemon runs.
//!
//! All or nothing in what counts: a configuration with a fault in it changes nothing, and every fault is
//! told. Of a good one, what can be changed while running is in force when [`Reload::reload`] returns
//! (the perception takes it with its next frame); what can't is named. Links stay up. The same for
//! SIGHUP and whoever else may ask.

use super::Camera;
use crate::config::raw::Level;
use crate::config::{Changes, Config, Faults, Loaded};

/// Reads file and environment again.
pub type Load = Box<dyn Fn() -> Result<Loaded, Faults> + Send>;
/// Sets the least important messages that are still written to the log.
pub type SetLevel = Box<dyn Fn(Level) + Send>;

/// The configuration in force, and how to read it again.
pub struct Reload {
    in_force: Loaded,
    load: Load,
    set_level: SetLevel,
}

impl Reload {
    /// `in_force` is what the daemon was started with.
    pub fn new(in_force: Loaded, load: Load, set_level: SetLevel) -> Self {
        Self { in_force, load, set_level }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.in_force.config
    }

    /// Reads the configuration again, applies what can be applied, and logs both.
    pub fn reload(&mut self, camera: &Camera) -> Result<Changes, Faults> {
        let new = (self.load)().inspect_err(|faults| {
            for fault in faults.list() {
                tracing::error!(camera = %camera.id(), "configuration not reloaded: {fault}");
            }
        })?;
        let changes = self.in_force.adopt(&new);
        (self.set_level)(self.in_force.config.log.level);
        camera.tune(&self.in_force.config);
        let camera = camera.id();
        if changes.is_empty() {
            tracing::info!(%camera, "configuration reloaded: nothing has changed");
        }
        if !changes.applied.is_empty() {
            tracing::info!(%camera, "configuration reloaded: in force now: {}", changes.applied.join(", "));
        }
        if !changes.need_restart.is_empty() {
            tracing::warn!(%camera, "configuration reloaded: needs a restart: {}", changes.need_restart.join(", "));
        }
        Ok(changes)
    }
}
