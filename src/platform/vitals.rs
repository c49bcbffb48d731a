//! How the machine is: processor, memory, disk, heat, and how long it runs (Linux's procfs and sysfs).
//!
//! What can't be had is none: another system, a container without a thermal zone, a first look at the
//! processor. Looking takes well under a millisecond, but asks a file system how full it is, which may hang:
//! not for an async task.

use std::fs;
use std::path::Path;

use procfs::{Current, CurrentSI};

use crate::model::MachineVitals;

/// Looks, and remembers what the processor had done at the last look.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Busy and all ticks.
    processor: Option<(u64, u64)>,
}

impl Gauge {
    /// Looks at the machine, and at the disk with this folder.
    pub fn look(&mut self, folder: &Path) -> MachineVitals {
        let now = processor();
        let cpu_percent = self.processor.zip(now).and_then(|((busy, all), (busy_now, all_now))| {
            let (busy, all) = (busy_now.checked_sub(busy)?, all_now.checked_sub(all)?);
            (all > 0).then(|| 100.0 * busy as f64 / all as f64)
        });
        self.processor = now;
        MachineVitals {
            cpu_percent,
            memory_percent: memory(),
            disk_percent: disk(folder),
            temperature_c: temperature(Path::new("/sys/class/thermal")),
            uptime_s: procfs::Uptime::current().ok().map(|uptime| uptime.uptime as u64),
        }
    }
}

fn processor() -> Option<(u64, u64)> {
    let total = procfs::KernelStats::current().ok()?.total;
    let idle = total.idle + total.iowait.unwrap_or(0);
    let busy = total.user
        + total.nice
        + total.system
        + total.irq.unwrap_or(0)
        + total.softirq.unwrap_or(0)
        + total.steal.unwrap_or(0);
    Some((busy, busy + idle))
}

fn memory() -> Option<f64> {
    let memory = procfs::Meminfo::current().ok()?;
    let available = memory.mem_available?;
    (memory.mem_total > 0).then(|| 100.0 * (1.0 - available as f64 / memory.mem_total as f64))
}

fn disk(folder: &Path) -> Option<f64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    // As `df` counts: what is kept for the system is neither used nor free.
    let used = found.f_blocks.checked_sub(found.f_bfree)?;
    let all = used + found.f_bavail;
    (all > 0).then(|| 100.0 * used as f64 / all as f64)
}

/// Zones tell thousandths of a degree; some tell nonsense when nothing is connected.
fn temperature(zones: &Path) -> Option<f64> {
    let zones = fs::read_dir(zones).ok()?.flatten();
    let degrees = zones.filter_map(|zone| {
        let text = fs::read_to_string(zone.path().join("temp")).ok()?;
        let celsius = text.trim().parse::<f64>().ok()? / 1000.0;
        (-40.0..=150.0).contains(&celsius).then_some(celsius)
    });
    degrees.max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_this_machine() {
        let mut gauge = Gauge::default();
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(gauge.look(folder.path()).cpu_percent, None);
        let found = gauge.look(folder.path());
        let uptime: f64 =
            fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((found.uptime_s.unwrap() as f64 - uptime).abs() < 5.0);
        for percent in
            [found.memory_percent, found.disk_percent].into_iter().flatten().chain(found.cpu_percent)
        {
            assert!((0.0..=100.0).contains(&percent), "{found:?}");
        }
        assert!(found.memory_percent.is_some() && found.disk_percent.is_some());
    }

    #[test]
    fn the_hottest_zone_counts_and_nonsense_does_not() {
        let zones = tempfile::tempdir().unwrap();
        assert_eq!(temperature(zones.path()), None);
        for (name, text) in
            [("thermal_zone0", "41500\n"), ("thermal_zone1", "52000"), ("thermal_zone2", "-274000")]
        {
            fs::create_dir(zones.path().join(name)).unwrap();
            fs::write(zones.path().join(name).join("temp"), text).unwrap();
        }
        fs::create_dir(zones.path().join("cooling_device0")).unwrap();
        assert_eq!(temperature(zones.path()), Some(52.0));
    }
}
