//! Reading the configuration again while the daemon runs, and setting single values of it.
//!
//! All or nothing in what counts: a configuration with a fault in it changes nothing, and every fault is
//! told. Of a good one, what can be changed while running is in force when [`Reload::reload`] returns
//! (the perception takes it with its next frame); what can't is named. Links whose options did not change
//! stay up; the others are connected anew right after. The same for SIGHUP and whoever else may ask.
//!
//! Settings made while running are kept in `settings.json` in the state folder and beat file and
//! environment, at every start too. They are on disk before they are in force. Settings that no longer
//! go together with the file are left out at the start, and said so.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Camera;
use super::links::ordering;
use super::trial::{Trial, Verdict};
use crate::config::raw::Level;
use crate::config::{self, Changes, Config, Faults, Loaded};
use crate::control::{self, Outcome, Rejection, Settings};
use crate::store::WRITE_BOUND;

/// The file of the settings, in the state folder.
pub(super) const SETTINGS_FILE: &str = "settings.json";
/// Most settings that are kept.
const KEPT_MAX: usize = 256;

/// Reads file and environment again, with these settings on top.
pub type Load = Box<dyn Fn(&Settings) -> Result<Loaded, Faults> + Send>;
/// Sets the least important messages that are still written to the log.
pub type SetLevel = Box<dyn Fn(Level) + Send>;

/// The configuration in force, and how to read it again.
pub struct Reload {
    in_force: Loaded,
    load: Load,
    set_level: SetLevel,
    settings: Settings,
    file: PathBuf,
    /// Links that are new have yet to come up.
    trial: Option<Trial>,
}

/// Loads the configuration with the settings that are kept in its state folder; without them, and with
/// what is wrong with them, when they don't go together.
pub fn load_with_settings(load: &Load) -> Result<(Loaded, Settings, Option<String>), Faults> {
    let plain = load(&Settings::new())?;
    match read(&plain.config.state_dir.join(SETTINGS_FILE)) {
        Ok(settings) if settings.is_empty() => Ok((plain, settings, None)),
        Ok(settings) => match load(&settings) {
            Ok(loaded) => Ok((loaded, settings, None)),
            Err(faults) => Ok((plain, Settings::new(), Some(faults.to_string()))),
        },
        Err(error) => Ok((plain, Settings::new(), Some(error))),
    }
}

fn read(file: &Path) -> Result<Settings, String> {
    let bytes = match std::fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::new()),
        read => read.map_err(|error| format!("{}: {error}", file.display()))?,
    };
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", file.display()))
}

impl Reload {
    /// `in_force` is what the daemon was started with, these settings included.
    pub fn new(in_force: Loaded, settings: Settings, load: Load, set_level: SetLevel) -> Self {
        let file = in_force.config.state_dir.join(SETTINGS_FILE);
        Self { in_force, load, set_level, settings, file, trial: None }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.in_force.config
    }

    /// Reads the configuration again, applies what can be applied, and logs both.
    pub fn reload(&mut self, camera: &Camera) -> Result<Changes, Faults> {
        let new = (self.load)(&self.settings).inspect_err(|faults| {
            for fault in faults.list() {
                tracing::error!(camera = %camera.id(), "configuration not reloaded: {fault}");
            }
        })?;
        Ok(self.adopt(&new, camera))
    }

    /// The same, as the answer to a command.
    pub(super) fn reload_outcome(&mut self, camera: &Camera) -> Outcome {
        match self.reload(camera) {
            Ok(Changes { applied, need_restart }) => {
                let mut result = json!({ "applied": applied, "need_restart": need_restart });
                if self.trial.is_some() {
                    result["trial_s"] = json!(self.trial_lasts().as_secs());
                }
                Outcome::Done(Some(result))
            }
            Err(faults) => faulty(told(&faults), &[]),
        }
    }

    /// Sets these values, `null` takes one back; all of them or none. Without any, what is set is told.
    pub(super) fn set(&mut self, change: Settings, camera: &Camera) -> Outcome {
        if change.is_empty() {
            return Outcome::Done(Some(json!({ "settings": self.shown() })));
        }
        let dead: Vec<String> = change.keys().filter(|key| !config::is_live(key)).cloned().collect();
        if dead.len() == change.len() {
            let detail =
                format!("can't be set while running: {}; change the file and restart", dead.join(", "));
            return Outcome::Rejected(Rejection::BadParameters(detail));
        }
        let mut settings = self.settings.clone();
        for (key, value) in change {
            if value.is_null() {
                settings.remove(&key);
            } else {
                settings.insert(key, value);
            }
        }
        if settings.len() > KEPT_MAX {
            let detail = format!("at most {KEPT_MAX} settings are kept; take some back with null");
            return Outcome::Rejected(Rejection::BadParameters(detail));
        }
        let new = match (self.load)(&settings) {
            Ok(new) if dead.is_empty() => new,
            Ok(_) => return faulty(Vec::new(), &dead),
            Err(faults) => return faulty(told(&faults), &dead),
        };
        let written = serde_json::to_vec(&settings).map_err(std::io::Error::from);
        let store = camera.store();
        let written = written
            .map_err(|error| error.to_string())
            .and_then(|bytes| store.save(SETTINGS_FILE, &bytes, WRITE_BOUND));
        if let Err(error) = written {
            // What is not in force must not be written later either.
            let former = serde_json::to_vec(&self.settings).unwrap_or_else(|_| b"{}".to_vec());
            let _ = store.save(SETTINGS_FILE, &former, Duration::ZERO);
            return Outcome::failed("unsaved", format!("{}: {error}", self.file.display()));
        }
        self.settings = settings;
        let changes = self.adopt(&new, camera);
        Outcome::Done(Some(json!({ "applied": changes.applied, "settings": self.shown() })))
    }

    fn adopt(&mut self, new: &Loaded, camera: &Camera) -> Changes {
        let before = self.in_force.clone();
        let changes = self.in_force.adopt(new);
        if before.config.links != self.in_force.config.links {
            let now = Instant::now();
            match &mut self.trial {
                Some(trial) => trial.prolong(now),
                None => self.trial = Some(Trial::begin(before, self.trial_lasts(), now)),
            }
        }
        camera.set_rolled_back(false);
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
        changes
    }

    fn trial_lasts(&self) -> Duration {
        self.in_force.config.control.as_ref().map_or(control::TRIAL, |control| control.trial)
    }

    /// Sees whether links that are new have come up; goes back to what was in force before when they have
    /// not in time.
    pub(super) fn judge_trial(&mut self, camera: &Camera) {
        let Some(trial) = &self.trial else { return };
        let links = &self.in_force.config.links;
        let by = ordering(links).or_else(|| links.first().map(|link| link.options.clone()));
        let by = by.map(|link| link.name).unwrap_or_default();
        let verdict = trial.judge(&by, &camera.snapshot().swarm.links, Instant::now());
        if verdict == Verdict::Open {
            return;
        }
        let trial = self.trial.take();
        if verdict == Verdict::Passed {
            tracing::info!(camera = %camera.id(), link = by, "the new links are up");
        } else if let Some(trial) = trial {
            tracing::error!(
                camera = %camera.id(),
                link = by,
                "the new links did not come up: what was in force before is again (the file still says otherwise)"
            );
            self.in_force = trial.into_before();
            (self.set_level)(self.in_force.config.log.level);
            camera.tune(&self.in_force.config);
            camera.relink(&self.in_force.config);
            camera.set_rolled_back(true);
        }
    }

    /// Every value that can be set, and where it comes from.
    fn shown(&self) -> Value {
        let shown = self
            .in_force
            .settings()
            .map(|(key, value, origin)| (key.to_owned(), json!({ "value": value, "origin": origin })));
        Value::Object(shown.collect())
    }
}

fn told(faults: &Faults) -> Vec<String> {
    faults.list().iter().map(ToString::to_string).collect()
}

/// Every fault at once: those that were found, and the keys that can't be set while running.
fn faulty(mut list: Vec<String>, dead: &[String]) -> Outcome {
    for key in dead {
        // One that does not exist has a fault already.
        if !list.iter().any(|fault| fault.contains(key.as_str())) {
            list.push(format!("{key}: can't be set while running; change the file and restart"));
        }
    }
    let detail = match list.len() {
        1 => "1 fault; nothing was changed".to_owned(),
        many => format!("{many} faults; nothing was changed"),
    };
    Outcome::Failed { error: "faults", detail, result: Some(json!({ "faults": list })) }
}
