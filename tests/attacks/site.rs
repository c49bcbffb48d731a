//! A site: a mosquitto and three cameras over the simulated plaza, each a real process with its log in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::mosquitto::Mosquitto;
use crate::support::{free_port, program};
use crate::tally::{self, Logged};
use crate::wire::{Wire, now_ms};

/// The honest cameras, by the number of their view.
pub(crate) const CAMERAS: [&str; 3] = ["cam0", "cam1", "cam2"];
/// The forbidden zone of the plaza: lowest and highest corner, meters.
pub(crate) const DOCK_M: [[f64; 2]; 2] = [[0.8, 0.6], [4.0, 3.8]];
/// A site starts, and a camera stops, within this time.
const READY_WITHIN: Duration = Duration::from_mins(3);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Picture of the cameras of a build for tests, which draws the plaza about fifty times as slowly as a release.
const SMALL_PICTURE: &str = "width = 240\nheight = 180\n";
/// Between two looks at a process or a record.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running site. Its processes are killed when it is dropped.
pub(crate) struct Site {
    pub(crate) wire: Wire,
    pub(crate) port: u16,
    cameras: Vec<Process>,
    _broker: Mosquitto,
    folder: Folder,
}

struct Process {
    child: Child,
    log: PathBuf,
}

/// A folder that is removed at the end, unless `OMNISIGHT_ATTACKS_KEEP` names one that stays.
enum Folder {
    Kept(PathBuf),
    Removed(TempDir),
}

impl Folder {
    fn new(name: &str) -> Self {
        match std::env::var_os("OMNISIGHT_ATTACKS_KEEP") {
            Some(keep) => {
                let path = Path::new(&keep).join(format!("{name}-{}", now_ms()));
                std::fs::create_dir_all(&path).unwrap();
                Self::Kept(path)
            }
            None => Self::Removed(tempfile::tempdir().unwrap()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Removed(folder) => folder.path(),
        }
    }
}

impl Site {
    /// Starts broker, observer and cameras; `sections` are added to the configuration of each camera. Returns when
    /// the cameras know each other and publish tracks.
    pub(crate) async fn start(name: &str, sections: &str) -> Self {
        let folder = Folder::new(name);
        let port = free_port();
        // Its defaults otherwise, as installed.
        let broker = Mosquitto::start(folder.path(), port, "allow_anonymous true");
        let wire = Wire::observe(port).await;
        let cameras = CAMERAS.iter().enumerate();
        let cameras =
            cameras.map(|(view, id)| Process::start(folder.path(), id, view, port, sections)).collect();
        let mut site = Self { wire, port, cameras, _broker: broker, folder };
        site.ready().await;
        site
    }

    async fn ready(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        while !CAMERAS.iter().all(|camera| self.wire.knows_others(camera, CAMERAS.len() as u64 - 1)) {
            for process in &mut self.cameras {
                let ended = process.child.try_wait().unwrap();
                assert!(ended.is_none(), "a camera ended at its start: {ended:?}\n{}", process.text());
            }
            assert!(
                Instant::now() < deadline,
                "the cameras do not know each other: {}",
                self.cameras.iter().map(Process::text).collect::<String>()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The outcomes that the cameras have logged so far.
    pub(crate) fn outcomes(&self) -> Vec<Logged> {
        self.cameras.iter().flat_map(|process| tally::logged(&process.text())).collect()
    }

    /// Log lines of all cameras that contain each of these texts.
    pub(crate) fn log_lines(&self, texts: &[&str]) -> Vec<String> {
        let logs: Vec<String> = self.cameras.iter().map(Process::text).collect();
        let lines = logs.iter().flat_map(|log| log.lines());
        lines.filter(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned).collect()
    }

    /// Stops the cameras in order and checks that none ended before.
    pub(crate) async fn stop(mut self) {
        for process in &mut self.cameras {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "a camera ended by itself: {ended:?}\n{}", process.text());
            let id = process.child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for process in &mut self.cameras {
            while process.child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "a camera does not stop\n{}", process.text());
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        if let Folder::Kept(path) = &self.folder {
            eprintln!("kept {}", path.display());
        }
    }
}

impl Process {
    fn start(folder: &Path, id: &str, view: usize, port: u16, sections: &str) -> Self {
        let [[x0, y0], [x1, y1]] = DOCK_M;
        let picture = if std::env::var_os("OMNISIGHT_BIN").is_some() { "" } else { SMALL_PICTURE };
        let text = format!(
            "[camera]\nid = '{id}'\n[capture]\nkind = 'synthetic'\nview = {view}\n{picture}[state]\ndir = '{}'\n\
             [discovery]\nenabled = false\n{sections}\n[[zone]]\nname = 'dock'\nkind = 'forbidden'\n\
             points_m = [[{x0:?}, {y0:?}], [{x1:?}, {y0:?}], [{x1:?}, {y1:?}], [{x0:?}, {y1:?}]]\n\
             [[broker_link]]\nurl = 'mqtt://127.0.0.1:{port}'\n",
            folder.join(format!("state-{id}")).display()
        );
        let config = folder.join(format!("{id}.toml"));
        std::fs::write(&config, text).unwrap();
        let log = folder.join(format!("{id}.log"));
        let output = File::create(&log).unwrap();
        let child = program::omnisight(&["run", "--config", config.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
