//! `omnisight demo --picture`: keeps the trails while the demo runs, and draws at its end.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::app::demo::Demo;
use crate::model::{Content, Point};
use crate::picture::{CameraPanel, GroundMap, Trails, render};

/// The part of the plaza that is always on the map, metres.
const EXTENT_M: [Point; 2] = [Point::new(-15.0, -12.0), Point::new(15.0, 12.0)];

/// Follows what the cameras of a demo see.
pub(super) struct Recorder {
    trails: Vec<Arc<Mutex<Trails>>>,
}

impl Recorder {
    /// Begins to follow, on the present tokio runtime.
    pub(super) fn start(demo: &Demo) -> Self {
        let trails = demo.cameras().iter().map(|camera| {
            let trails = Arc::new(Mutex::new(Trails::default()));
            if let Some(mut sights) = camera.sights() {
                let trails = Arc::clone(&trails);
                tokio::spawn(async move {
                    while sights.changed().await.is_ok() {
                        if let Some(sight) = sights.borrow_and_update().as_deref() {
                            trails.lock().unwrap_or_else(PoisonError::into_inner).observe(&sight.1);
                        }
                    }
                });
            }
            trails
        });
        Self { trails: trails.collect() }
    }

    /// Draws the last frame of each camera and the map.
    pub(super) fn draw(&self, demo: &Demo, file: &Path) -> Result<(), Error> {
        let sights: Vec<_> = demo.cameras().iter().map(crate::app::Camera::sight).collect();
        let trails: Vec<Trails> =
            self.trails.iter().map(|t| t.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect();
        let mut panels = Vec::new();
        for ((camera, sight), trails) in demo.cameras().iter().zip(&sights).zip(&trails) {
            let Some((frame, scene)) = sight.as_deref() else { continue };
            if let Content::Image(image) = &frame.content {
                panels.push(CameraPanel { image, scene, plane: camera.ground(), trails });
            }
        }
        let caption = format!("{} cameras over one plaza, seen by omnisight demo", panels.len());
        let map = GroundMap { extent_m: EXTENT_M, zones: demo.zones(), caption: &caption };
        let what = file.display().to_string();
        render(&panels, &map).write_png(file).map_err(|source| Error::File { what, source })
    }
}
