//! `omnisight simulate`: a site of any size in virtual time, with faults; see [`crate::simulate`].
//!
//! Prints what came of it as a table, `name value` on each line, and a digest of every engine's final
//! state: the same options give the same digest on every machine. Times and memory are this machine's.

use std::time::{Duration, Instant};

use super::{Error, say};
use crate::simulate::{self, Faults, Options, Summary};
use crate::swarm::{Encoding, NeighbourOptions};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Cameras, 100 m apart in a square grid; each sees 140 by 140 m.
    #[arg(long, value_name = "N", default_value_t = 100)]
    cameras: usize,
    /// How long, minutes.
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    minutes: f64,
    /// People; one in twenty does something alarming.
    #[arg(long, value_name = "P", default_value_t = 200)]
    people: usize,
    /// Frames a second of each camera.
    #[arg(long, value_name = "HZ", default_value_t = 10.0)]
    rate: f64,
    /// The part of the track messages that is lost, 0..1; what has a higher QoS is sent again.
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    loss: f64,
    /// The part of all messages that comes twice, 0..1.
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    duplicate: f64,
    /// How long a message travels: TIME or FROM..TO.
    #[arg(long, value_name = "TIME", default_value = "20..200ms", value_parser = parse_delay)]
    delay: (Duration, Duration),
    /// The cameras' clocks are off by up to this, either way.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0ms")]
    skew: Duration,
    /// For so long, from two fifths of the run on, the two halves of the site do not hear of one another.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
    partition: Duration,
    /// Cameras that report everybody 3 m beside where they are, and incidents that never were.
    #[arg(long, value_name = "L", default_value_t = 0)]
    liars: usize,
    /// Another seed gives another run.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// On a site of more than 32 cameras, whose tracks a camera listens to: its ground's distance in metres.
    #[arg(long, value_name = "METRES", default_value_t = NeighbourOptions::default().near_m)]
    near: f64,
    /// Messages leave as MessagePack while everybody reads it, as everybody here does.
    #[arg(long)]
    msgpack: bool,
    /// Every receiver decodes every message; without, it is decoded once, with the same outcome.
    #[arg(long)]
    decode_each: bool,
    /// Threads; not set: as many as the machine has cores. They do not change the outcome.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Also print what the engines counted, all together.
    #[arg(long)]
    counters: bool,
}

/// `150ms`, or `20..200ms`, where the first may leave its unit to the second.
fn parse_delay(text: &str) -> Result<(Duration, Duration), String> {
    let time = |text: &str| humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"));
    let Some((from, to)) = text.split_once("..") else {
        return time(text).map(|both| (both, both));
    };
    let unit = to.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let from =
        if from.ends_with(|c: char| c.is_ascii_digit()) { format!("{from}{unit}") } else { from.to_owned() };
    let range = (time(&from)?, time(to)?);
    if range.0 <= range.1 { Ok(range) } else { Err("from the shorter to the longer".to_owned()) }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let duration = Duration::try_from_secs_f64(arguments.minutes * 60.0)
        .map_err(|_| Error::Usage(format!("--minutes {}: no time", arguments.minutes)))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = Options {
        cameras: arguments.cameras,
        duration,
        people: arguments.people,
        rate_hz: arguments.rate,
        faults: Faults {
            loss: arguments.loss,
            duplicate: arguments.duplicate,
            delay: arguments.delay,
            partition: arguments.partition,
        },
        skew: arguments.skew,
        liars: arguments.liars,
        seed: arguments.seed,
        neighbours: NeighbourOptions { near_m: arguments.near, ..NeighbourOptions::default() },
        encoding: if arguments.msgpack { Encoding::MsgPack } else { Encoding::Json },
        decode_each: arguments.decode_each,
        threads: arguments.threads.unwrap_or(cores),
    };
    let before = resident_bytes();
    let begin = Instant::now();
    let summary = simulate::run(&options)?;
    let took_s = begin.elapsed().as_secs_f64();
    tell(&summary)?;
    if arguments.counters {
        for (name, n) in &summary.counters {
            say(&format!("  {name:<26} {n}"))?;
        }
    }
    if let (Some(before), Some(most)) = (before, most_resident_bytes()) {
        let each = most.saturating_sub(before) as f64 / options.cameras as f64 / 1e6;
        row(
            "memory_per_engine",
            &format!("{each:.2} MB (all that the run took, messages on their way included)"),
        )?;
    }
    row("time", &format!("{took_s:.1} s on {} threads", options.threads))?;
    if let Some(spent_s) = processor_s() {
        let copies = summary.track_copies + summary.other_copies;
        row("processor_time", &format!("{spent_s:.1} s"))?;
        let of_each = format!("{:.2} us for each copy of a message", spent_s * 1e6 / copies.max(1) as f64);
        row("time_per_message", &of_each)?;
        let camera_s = options.cameras as f64 * duration.as_secs_f64();
        row("time_per_camera", &format!("{:.0} us for each second that it lived", spent_s * 1e6 / camera_s))?;
    }
    row("digest", &format!("{:016x}", summary.digest))
}

fn tell(s: &Summary) -> Result<(), Error> {
    row("ids_agreed", &format!("{:.3} % of people who are in two tables or more", s.agreed() * 100.0))?;
    if s.healed_us.is_some() {
        let after = s.agreed_after_s().map_or("never agreed on all".to_owned(), |after_s| {
            format!("agreed on all after {after_s:.1} s")
        });
        row("ids_after_partition", &after)?;
    }
    row("ids_per_person", &format!("{:.3}", s.ids_per_person))?;
    let i = &s.incidents;
    let part = |n: usize, of: usize| n as f64 / of.max(1) as f64;
    row(
        "incidents",
        &format!(
            "{}, of them {} noticed, {} confirmed ({:.1} %)",
            i.all,
            i.noticed,
            i.confirmed,
            100.0 * part(i.confirmed, i.all)
        ),
    )?;
    row("events", &format!("{} raised by single cameras", i.raised))?;
    row(
        "site_events",
        &format!(
            "{:.3} per incident that was noticed; {:.1} % known by one name and state",
            part(i.site_events, i.noticed),
            100.0 * part(i.agreed, i.noticed)
        ),
    )?;
    row("alarms", &format!("{:.3} per incident that was confirmed", part(i.alarms, i.confirmed)))?;
    if i.made_up > 0 {
        row(
            "made_up",
            &format!("{} incidents that never were, {} of them confirmed", i.made_up, i.believed),
        )?;
    }
    row(
        "messages",
        &format!("{} sent, {} bytes; {:.0} bytes for a track", s.messages, s.bytes, s.track_bytes),
    )?;
    row(
        "copies",
        &format!(
            "{} of tracks, {} of all else; {} lost, {} twice",
            s.track_copies, s.other_copies, s.lost, s.repeated
        ),
    )?;
    row("neighbours", &format!("{:.1} that a camera listens to", s.neighbours))?;
    row("table", &format!("{:.1} people at the end", s.table))
}

fn row(name: &str, value: &str) -> Result<(), Error> {
    say(&format!("{name:<20} {value}"))
}

/// What processor time this process has taken, seconds; none where the system does not say.
fn processor_s() -> Option<f64> {
    let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
    Some((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

/// What this process has in memory, bytes; none where the system does not say.
fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// The most that it ever had.
fn most_resident_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

fn status_bytes(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_time_or_a_range_whose_first_end_may_lack_a_unit() {
        let ms = Duration::from_millis;
        assert_eq!(parse_delay("150ms"), Ok((ms(150), ms(150))));
        assert_eq!(parse_delay("20..200ms"), Ok((ms(20), ms(200))));
        assert_eq!(parse_delay("20ms..1s"), Ok((ms(20), ms(1000))));
        assert!(parse_delay("200..20ms").is_err());
        assert!(parse_delay("a..b").is_err());
    }
}
