//! Makes one camera's pictures: the empty plaza in the light of the moment, shadows and figures
//! from far to near, and the sensor's noise.
//!
//! A picture is a pure function of (seed, camera, time in milliseconds): what is kept from picture
//! to picture only saves work. Light and noise come from tables, so that a 480 by 360 picture takes
//! about a millisecond and nothing is allocated once the first has been made.

use nalgebra::Vector3;
use rand::{RngExt, SeedableRng};
use rand_distr::Distribution;
use rand_pcg::Pcg64Mcg;

use super::background::{self, Background};
use super::figure::Brush;
use super::plate;
use super::raster::Raster;
use super::view::View;
use super::world::{Actor, World, mix};
use crate::model::{Chroma, Image, Reading};

/// Standard deviation of the noise of luma and of chroma, in grey levels.
const NOISE_SIGMA: [f64; 2] = [1.7, 0.8];
/// Added to every table entry, so that it is not negative, and taken off again after the sum.
const NOISE_BIAS: u8 = 8;
/// Entries in a noise table; each row of a picture starts at a random one.
const NOISE_LEN: usize = 1 << 15;
/// Steps of the light in the range of one: far below one grey level.
const LIGHT_STEPS: f64 = 1024.0;

/// One camera's renderer.
#[derive(Debug)]
pub(super) struct Renderer {
    seed: u64,
    world: World,
    view: View,
    background: Background,
    /// The background's luma in the light of `lit_step`.
    lit: Vec<u8>,
    lit_step: i32,
    noise: [Vec<u8>; 2],
    actors: Vec<Actor>,
}

/// The light on the plaza: clouds that pass over minutes.
fn light_step(t_s: f64) -> i32 {
    let wave = |period_s: f64| (t_s.rem_euclid(period_s) * std::f64::consts::TAU / period_s).sin();
    ((1.0 + 0.07 * wave(310.0) + 0.03 * wave(127.0)) * LIGHT_STEPS) as i32
}

impl Renderer {
    /// Traces the background, which takes a moment.
    pub(super) fn new(world: World, seed: u64, camera_index: u32, view: View) -> Self {
        let background = background::trace(&view);
        let longest_row = view.size.width as usize;
        let seed = mix(seed ^ mix(u64::from(camera_index)));
        let noise = NOISE_SIGMA.map(|sigma| noise_table(sigma, NOISE_LEN + longest_row, seed));
        let lit = background.image.luma().to_vec();
        Self { seed, world, view, background, lit, lit_step: -1, noise, actors: Vec::new() }
    }

    /// Draws the plaza as of `t_ms`, milliseconds since the plaza's origin.
    pub(super) fn draw(&mut self, t_ms: i64, image: &mut Image) {
        let t_s = t_ms as f64 / 1000.0;
        self.world.actors(t_s, &mut self.actors);
        let view = &self.view;
        let distance =
            |a: &Actor| (Vector3::new(a.position_m.x, a.position_m.y, 0.0) - view.position).norm_squared();
        self.actors.sort_unstable_by(|a, b| distance(b).total_cmp(&distance(a)).then(a.id.cmp(&b.id)));
        let step = light_step(t_s);
        self.relight(step);
        image.reset(self.view.size, Chroma::C420);
        let [luma, cb, cr] = image.planes_mut();
        luma.copy_from_slice(&self.lit);
        let (from_cb, from_cr) = self.background.image.chroma_planes();
        cb.copy_from_slice(from_cb);
        cr.copy_from_slice(from_cr);

        let mut raster = Raster::new(image, &self.background.depth_m);
        let light = (f64::from(step) / LIGHT_STEPS) as f32;
        let mut brush = Brush { raster: &mut raster, view: &self.view, light };
        // What is too close to be drawn is hardly in the picture either.
        for actor in &self.actors {
            let _ = brush.shadow(actor);
        }
        for actor in &self.actors {
            let _ = brush.actor(actor);
        }
        self.add_noise(t_ms, image);
    }

    /// The plates in the last picture.
    pub(super) fn read_plates(&self, out: &mut Vec<Reading>) {
        plate::read(&self.view, &self.actors, out);
    }

    /// The plaza without anybody, in the light of the last picture.
    #[cfg(test)]
    pub(super) fn empty_luma(&self) -> &[u8] {
        &self.lit
    }

    fn relight(&mut self, step: i32) {
        if step == self.lit_step {
            return;
        }
        self.lit_step = step;
        let gain = f64::from(step) / LIGHT_STEPS;
        let table: [u8; 256] =
            std::array::from_fn(|y| (16.5 + (y as f64 - 16.0) * gain).clamp(16.0, 235.0) as u8);
        for (lit, &y) in self.lit.iter_mut().zip(self.background.image.luma()) {
            *lit = table[usize::from(y)];
        }
    }

    fn add_noise(&self, t_ms: i64, image: &mut Image) {
        let mut rng = Pcg64Mcg::seed_from_u64(mix(self.seed ^ mix(t_ms as u64)));
        let widths = [image.size().width, image.size().width.div_ceil(2), image.size().width.div_ceil(2)];
        for ((plane, width), table) in image.planes_mut().into_iter().zip(widths).zip([0, 1, 1]) {
            for row in plane.chunks_exact_mut(width as usize) {
                let start = rng.random_range(0..NOISE_LEN);
                for (sample, noise) in row.iter_mut().zip(&self.noise[table][start..]) {
                    *sample = sample.saturating_add(*noise).saturating_sub(NOISE_BIAS);
                }
            }
        }
    }
}

fn noise_table(sigma: f64, len: usize, seed: u64) -> Vec<u8> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let normal = |rng: &mut Pcg64Mcg| -> f64 { rand_distr::StandardNormal.sample(rng) };
    let bias = f64::from(NOISE_BIAS);
    (0..len).map(|_| (normal(&mut rng) * sigma + bias + 0.5).clamp(0.0, 2.0 * bias) as u8).collect()
}
