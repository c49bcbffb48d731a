//! The site, the people on it, and what they do.
//!
//! Cameras stand in a square grid, [`SPACING_M`] apart; each sees a square of [`SIGHT_M`], so that neighbours
//! overlap, every place of the site is seen by one to four cameras, and the others are far away. People walk
//! from place to place on straight ways, now and then stand a while, and some of them once do something
//! alarming. All of it is decided before the run begins: a function of the seed.
//!
//! Pure. Metres, microseconds.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Options;
use crate::base::portable::sin_cos;
use crate::model::{EventType, Point, Polygon};

/// Between two cameras.
pub(super) const SPACING_M: f64 = 100.0;
/// The side of the square that one sees.
pub(super) const SIGHT_M: f64 = 140.0;
/// How fast people walk, m/s.
const WALK_MPS: (f64, f64) = (0.8, 1.6);
/// How far somebody walks in one direction at most.
const LEG_M: f64 = 120.0;
/// Who arrives somewhere stands there with this probability, for at most so long.
const STAND_PART: f64 = 0.3;
const STAND_US: u64 = 10_000_000;
/// One of so many people does something alarming.
const PEOPLE_PER_INCIDENT: usize = 20;
/// For so long.
pub(super) const INCIDENT_US: u64 = 15_000_000;
/// Nothing happens before the site has found itself, nor so late that nobody could confirm it.
const QUIET_BEGIN_US: u64 = 10_000_000;
const QUIET_END_US: u64 = INCIDENT_US + 10_000_000;
/// What people do, each a grave thing.
const KINDS: [EventType; 5] = [
    EventType::SuspiciousBehavior,
    EventType::Assault,
    EventType::Theft,
    EventType::Fall,
    EventType::Vandalism,
];

/// Somebody's way: straight pieces, one after the other.
#[derive(Debug, Clone, Copy)]
struct Leg {
    begin_us: u64,
    end_us: u64,
    from: Point,
    to: Point,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Incident {
    pub(super) person: usize,
    pub(super) kind: EventType,
    pub(super) begin_us: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    columns: usize,
    cameras: usize,
    ways: Vec<Vec<Leg>>,
    /// By person; nobody does two things.
    deeds: Vec<Option<usize>>,
    pub(super) incidents: Vec<Incident>,
    /// Who is in each camera's cell, as of the last [`World::look_around`].
    cells: Vec<Vec<usize>>,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(options.seed ^ 0x77_6f72_6c64);
        let end_us = micros(options.duration);
        let mut world = Self {
            columns: columns(options.cameras),
            cameras: options.cameras,
            ways: Vec::new(),
            deeds: vec![None; options.people],
            incidents: Vec::new(),
            cells: vec![Vec::new(); options.cameras],
        };
        for _ in 0..options.people {
            let way = world.way(end_us, &mut rng);
            world.ways.push(way);
        }
        let within = QUIET_BEGIN_US..end_us.saturating_sub(QUIET_END_US);
        if options.people > 0 && !within.is_empty() {
            let wanted = options.people.div_ceil(PEOPLE_PER_INCIDENT);
            for number in 0..wanted {
                let person = number * PEOPLE_PER_INCIDENT;
                let kind = KINDS[rng.random_range(0..KINDS.len())];
                world.deeds[person] = Some(number);
                world.incidents.push(Incident { person, kind, begin_us: rng.random_range(within.clone()) });
            }
        }
        world
    }

    fn way(&self, end_us: u64, rng: &mut Pcg64Mcg) -> Vec<Leg> {
        let mut at = self.inside(rng.random_range(0..self.cameras), rng);
        let (mut now_us, mut legs) = (0, Vec::new());
        while now_us <= end_us {
            if rng.random_bool(STAND_PART) {
                let until_us = now_us + rng.random_range(1..=STAND_US);
                legs.push(Leg { begin_us: now_us, end_us: until_us, from: at, to: at });
                now_us = until_us;
            }
            let (sin, cos) = sin_cos(rng.random_range(0.0..std::f64::consts::TAU));
            let far_m = rng.random_range(1.0..LEG_M);
            let to = at + Point::new(cos, sin) * far_m;
            if self.camera_at(to).is_none() {
                continue;
            }
            let speed_mps = rng.random_range(WALK_MPS.0..WALK_MPS.1);
            let until_us = now_us + 1 + (far_m / speed_mps * 1e6) as u64;
            legs.push(Leg { begin_us: now_us, end_us: until_us, from: at, to });
            (at, now_us) = (to, until_us);
        }
        legs
    }

    /// A place in a camera's cell.
    fn inside(&self, camera: usize, rng: &mut Pcg64Mcg) -> Point {
        let half = SPACING_M / 2.0;
        self.middle(camera) + Point::new(rng.random_range(-half..half), rng.random_range(-half..half))
    }

    /// The camera in whose cell a place lies.
    fn camera_at(&self, place: Point) -> Option<usize> {
        let (column, row) = ((place.x / SPACING_M).floor(), (place.y / SPACING_M).floor());
        if column < 0.0 || row < 0.0 || column >= self.columns as f64 {
            return None;
        }
        let camera = row as usize * self.columns + column as usize;
        (camera < self.cameras).then_some(camera)
    }

    /// The middle of what a camera sees.
    pub(super) fn middle(&self, camera: usize) -> Point {
        let (row, column) = (camera / self.columns, camera % self.columns);
        Point::new((column as f64 + 0.5) * SPACING_M, (row as f64 + 0.5) * SPACING_M)
    }

    /// The ground that a camera sees.
    pub(super) fn footprint(&self, camera: usize) -> Option<Polygon> {
        let (at, half) = (self.middle(camera), SIGHT_M / 2.0);
        let corners = [(-half, -half), (half, -half), (half, half), (-half, half)];
        Polygon::new(corners.into_iter().map(|(x, y)| at + Point::new(x, y)).collect()).ok()
    }

    /// Whether a camera stands in the half of the site that a partition cuts off.
    pub(super) fn is_beyond(&self, camera: usize) -> bool {
        camera % self.columns >= self.columns.div_ceil(2)
    }

    /// Where somebody is, and how they move.
    pub(super) fn person(&self, person: usize, at_us: u64) -> (Point, Point) {
        let legs = &self.ways[person];
        let Some(leg) = legs.get(legs.partition_point(|leg| leg.end_us <= at_us)).or(legs.last()) else {
            return (Point::default(), Point::default());
        };
        let took_us = leg.end_us - leg.begin_us;
        let part = (at_us.saturating_sub(leg.begin_us) as f64 / took_us as f64).min(1.0);
        let way = leg.to - leg.from;
        (leg.from + way * part, way * (1e6 / took_us as f64))
    }

    /// What somebody is doing.
    pub(super) fn deed(&self, person: usize, at_us: u64) -> Option<usize> {
        let incident = self.deeds[person]?;
        let begin_us = self.incidents[incident].begin_us;
        (begin_us..begin_us + INCIDENT_US).contains(&at_us).then_some(incident)
    }

    /// Notes in whose cell everybody is: once a second, in which nobody gets far.
    pub(super) fn look_around(&mut self, at_us: u64) {
        self.cells.iter_mut().for_each(Vec::clear);
        for person in 0..self.ways.len() {
            let (place, _) = self.person(person, at_us);
            if let Some(camera) = self.camera_at(place) {
                self.cells[camera].push(person);
            }
        }
    }

    /// Everybody who may be within a camera's sight.
    pub(super) fn around(&self, camera: usize) -> impl Iterator<Item = usize> + '_ {
        let (row, column) = (camera / self.columns, camera % self.columns);
        let (rows, columns) = (row.saturating_sub(1)..=row + 1, column.saturating_sub(1)..=column + 1);
        rows.flat_map(move |row| {
            let inside = columns.clone().filter(|column| *column < self.columns);
            inside.map(move |column| row * self.columns + column)
        })
        .filter_map(|cell| self.cells.get(cell))
        .flatten()
        .copied()
    }
}

fn columns(cameras: usize) -> usize {
    (1..=cameras).find(|side| side * side >= cameras).unwrap_or(1)
}

pub(super) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
