//! The run: step by step, all cameras apart, then the network.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::camera::Camera;
use super::digest::Digest;
use super::network::{self, Mail, Network};
use super::tally::{Summary, Tally};
use super::world::{INCIDENT_US, Incident, World, micros};
use super::{Error, Options};

/// A step is no longer than this, so that no picture of the world is old in it.
const STEP_MAX_US: u64 = 100_000;
/// Between two looks at the world, and at the tables.
const LOOK_US: u64 = 1_000_000;
/// So long after its end an incident is settled, and one in a partition so long after that.
const SETTLED_US: u64 = 5_000_000;
/// Cameras that one thread takes at a time, at least.
const BLOCK: usize = 16;

/// Runs a simulation to its end.
pub fn run(options: &Options) -> Result<Summary, Error> {
    options.check()?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
    let threads = threads.map_err(|e| Error(format!("threads: {e}")))?;
    Ok(threads.install(|| live(options)))
}

fn live(options: &Options) -> Summary {
    let mut world = World::new(options);
    let network = Network::new(options, &world);
    let mut mail = Mail::default();
    // Liars stand all over the site.
    let every = options.cameras.checked_div(options.liars).unwrap_or(usize::MAX);
    let is_liar = |index: usize| index % every == every / 2 && index / every < options.liars;
    let mut cameras: Vec<Camera> =
        (0..options.cameras).filter_map(|i| Camera::new(i, is_liar(i), options, &world)).collect();
    let mut tally = Tally::default();
    let (end_us, step_us) = (micros(options.duration), network.least_us().min(STEP_MAX_US));
    let (mut now_us, mut look_us) = (0, 0);
    while now_us < end_us {
        if now_us >= look_us {
            world.look_around(now_us);
            look_us += LOOK_US;
        }
        let until_us = (now_us + step_us).min(look_us).min(end_us);
        let (asks, is_looked_at) = (mail.asks(), until_us == look_us || until_us == end_us);
        each(&mut cameras, |camera| {
            // Nobody hears of what a camera does before it speaks, so all of it waits until then.
            if asks || is_looked_at || camera.speaks_us() < until_us {
                camera.collect(&mail, &network);
            }
            if is_looked_at {
                camera.live_up_to(until_us, &world);
            } else {
                camera.live(until_us, &world);
            }
        });
        if is_looked_at {
            mail.clear();
        }
        mail.begin_step();
        for (from, camera) in cameras.iter_mut().enumerate() {
            mail.collect(from, &mut camera.posts);
        }
        now_us = until_us;
        if now_us == look_us {
            let calls = gather(&cameras, |camera| camera.calls(now_us));
            tally.compare(now_us, &cameras, &calls);
            let (cut_us, healed_us) = network::partition_us(options);
            let due = |incident: &Incident| {
                let ends_us = incident.begin_us + INCIDENT_US;
                let is_split = incident.begin_us < healed_us && cut_us < ends_us;
                let due_us = if is_split { ends_us.max(healed_us) } else { ends_us } + SETTLED_US;
                (now_us - LOOK_US..now_us).contains(&due_us)
            };
            let due: Vec<usize> = (0..world.incidents.len()).filter(|&i| due(&world.incidents[i])).collect();
            if !due.is_empty() {
                let tables = gather(&cameras, |camera| camera.site_events(now_us));
                for incident in due {
                    tally.look_at(incident, &cameras, &tables);
                }
            }
        }
    }
    summary(options, &world, &mail, &tally, &cameras)
}

fn summary(options: &Options, world: &World, mail: &Mail, tally: &Tally, cameras: &[Camera]) -> Summary {
    let digests = gather(cameras, |camera| {
        let mut digest = Digest::new();
        digest.take(&camera.engine);
        digest.value()
    });
    let mut digest = Digest::new();
    digest.take(&digests);
    let count = cameras.len() as f64;
    let near = |c: &Camera| c.engine.neighbours().map_or(options.cameras - 1, BTreeSet::len);
    let mut counted = mail.counted;
    for camera in cameras {
        counted += camera.counted;
    }
    Summary {
        agreement: tally.agreement.clone(),
        healed_us: (!options.faults.partition.is_zero()).then(|| network::partition_us(options).1),
        ids_per_person: tally.ids_per_person(),
        incidents: tally.incidents(world.incidents.len(), cameras),
        messages: counted.sent,
        bytes: counted.bytes,
        track_bytes: counted.track_bytes as f64 / counted.tracks.max(1) as f64,
        track_copies: counted.track_copies,
        other_copies: counted.other_copies,
        lost: counted.lost,
        repeated: counted.repeated,
        neighbours: cameras.iter().map(near).sum::<usize>() as f64 / count,
        table: cameras.iter().map(|c| c.engine.fusion().len()).sum::<usize>() as f64 / count,
        counters: counters(cameras),
        digest: digest.value(),
    }
}

/// What all engines counted.
fn counters(cameras: &[Camera]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for camera in cameras {
        let fusion = camera.engine.fusion().counters();
        let tables =
            [("fusion_taken", fusion.taken), ("fusion_late", fusion.late), ("fusion_redone", fusion.redone)];
        let tables = tables.into_iter().map(|(name, n)| (name.to_owned(), n));
        for (name, n) in camera.engine.counters().entries().chain(tables).filter(|(_, n)| *n > 0) {
            *sums.entry(name).or_insert(0) += n;
        }
    }
    sums
}

/// Does something with every camera, on several threads.
fn each(cameras: &mut [Camera], what: impl Fn(&mut Camera) + Sync + Send) {
    cameras.par_iter_mut().with_min_len(BLOCK).for_each(what);
}

/// What comes of every camera, in their order, on several threads.
fn gather<T: Send>(cameras: &[Camera], what: impl Fn(&Camera) -> T + Sync + Send) -> Vec<T> {
    cameras.par_iter().with_min_len(BLOCK).map(what).collect()
}
