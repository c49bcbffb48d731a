//! Small seeded scenes: tiles of random gray with the noise of a sensor, and what goes wrong with their pictures.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

use super::*;
use crate::model::{Chroma, Image, Mode, Modes};

const SIZE: Size = Size { width: 320, height: 240 };
const TILE: usize = 23;

/// Tiles of 90 to 160, the same for the same seed.
fn tiles(seed: u64) -> Vec<u8> {
    let mut rng = Pcg32::seed_from_u64(seed);
    let tiles: Vec<u8> = (0..14 * 11).map(|_| 90 + (rng.next_u32() % 71) as u8).collect();
    (0..320 * 240).map(|at| tiles[at / 320 / TILE * 14 + at % 320 / TILE]).collect()
}

/// The mean of so many samples to each side.
fn blurred(luma: &[u8], reach: usize) -> Vec<u8> {
    let mean = |at: usize| {
        let (x, y) = (at % 320, at / 320);
        let rows = y.saturating_sub(reach)..(y + reach + 1).min(240);
        let columns = x.saturating_sub(reach)..(x + reach + 1).min(320);
        let count = rows.len() * columns.len();
        let sum: usize =
            rows.flat_map(|y| luma[320 * y..][columns.clone()].iter()).map(|&v| usize::from(v)).sum();
        (sum / count) as u8
    };
    (0..luma.len()).map(mean).collect()
}

/// Other levels for all samples, in video range.
fn relit(luma: &[u8], to: impl Fn(f32) -> f32) -> Vec<u8> {
    luma.iter().map(|&v| to(f32::from(v)).clamp(16.0, 235.0) as u8).collect()
}

/// A camera before a scene. Time is that of its frames.
struct Camera {
    health: Health,
    frame: Frame,
    rng: Pcg32,
    rate_hz: f64,
}

impl Camera {
    fn new() -> Self {
        let frame = Frame::empty(CameraId::parse("a").unwrap());
        Self { health: Health::new(), frame, rng: Pcg32::seed_from_u64(7), rate_hz: 10.0 }
    }

    /// A camera that has seen the scene for 20 s.
    fn before(scene: &[u8]) -> Self {
        let mut camera = Self::new();
        assert_eq!(camera.show(scene, 3, 20.0), Modes::default());
        camera
    }

    fn image(&mut self, luma: &[u8], noise: u32) -> Image {
        let mut image = Image::default();
        image.reset(SIZE, Chroma::Mono);
        let span = 2 * noise + 1;
        for (to, &from) in image.planes_mut()[0].iter_mut().zip(luma) {
            *to = (i32::from(from) + (self.rng.next_u32() % span) as i32 - noise as i32).clamp(0, 255) as u8;
        }
        image
    }

    fn step(&mut self, content: Content) {
        self.frame.content = content;
        self.frame.time = self.frame.time + Duration::from_secs_f64(1.0 / self.rate_hz);
        self.health.frame(&self.frame);
    }

    /// Shows the scene with noise of at most so many levels for so long; all that held meanwhile.
    fn show(&mut self, luma: &[u8], noise: u32, seconds: f64) -> Modes {
        let mut held = Modes::default();
        for _ in 0..(seconds * self.rate_hz) as usize {
            let image = self.image(luma, noise);
            self.step(Content::Image(image));
            held = held.union(self.health.conditions());
        }
        held
    }

    /// Repeats one picture, with a clock drawn into it if so; all that held meanwhile.
    fn repeat(&mut self, image: &Image, with_clock: bool, seconds: f64) -> Modes {
        let mut held = Modes::default();
        for _ in 0..(seconds * self.rate_hz) as usize {
            let mut image = image.clone();
            if with_clock {
                let shade = (self.rng.next_u32() % 256) as u8;
                (2..12).for_each(|y| image.planes_mut()[0][320 * y..][2..80].fill(shade));
            }
            self.step(Content::Image(image));
            held = held.union(self.health.conditions());
        }
        held
    }

    fn holds(&self, conditions: impl Into<Modes>) -> bool {
        self.health.conditions() == conditions.into()
    }
}

#[test]
fn a_repeated_picture_is_frozen_with_or_without_a_clock_and_until_pictures_change() {
    for with_clock in [false, true] {
        let scene = tiles(1);
        let mut camera = Camera::before(&scene);
        let image = camera.image(&scene, 3);
        camera.repeat(&image, with_clock, 2.0);
        assert!(camera.holds(Mode::PictureFrozen), "clock: {with_clock}");
        camera.repeat(&image, with_clock, 60.0);
        assert!(camera.holds(Mode::PictureFrozen), "clock: {with_clock}");
        camera.show(&scene, 3, 3.0);
        assert!(camera.holds(Modes::default()), "clock: {with_clock}");
    }
}

#[test]
fn a_drawn_scene_without_noise_is_not_frozen() {
    let scene = tiles(2);
    let mut camera = Camera::new();
    assert_eq!(camera.show(&scene, 0, 10.0), Modes::default());
    for y in 100..160 {
        let mut walker = scene.clone();
        (y..y + 40).for_each(|y| walker[320 * y..][y..y + 20].fill(20));
        assert_eq!(camera.show(&walker, 0, 0.1), Modes::default());
    }
    assert_eq!(camera.show(&scene, 0, 10.0), Modes::default());
}

#[test]
fn a_hang_of_half_a_second_is_not_frozen() {
    let scene = tiles(3);
    let mut camera = Camera::before(&scene);
    let image = camera.image(&scene, 3);
    assert_eq!(camera.repeat(&image, false, 0.5), Modes::default());
    assert_eq!(camera.show(&scene, 3, 5.0), Modes::default());
}

#[test]
fn a_covered_lens_is_neither_frozen_nor_dark() {
    let scene = tiles(4);
    let mut camera = Camera::before(&scene);
    camera.health.judge(View::Blocked, false);
    assert_eq!(camera.show(&vec![90; scene.len()], 0, 10.0), Mode::ViewBlocked.into());
    assert_eq!(camera.show(&vec![20; scene.len()], 0, 10.0), Mode::ViewBlocked.into());
}

#[test]
fn a_scene_whose_light_goes_out_is_dark_although_the_detector_misses_its_edges() {
    let scene = tiles(5);
    let mut camera = Camera::before(&scene);
    let night = relit(&scene, |v| 16.0 + 0.05 * (v - 16.0));
    camera.show(&night, 5, 0.2);
    camera.health.judge(View::Blocked, false);
    camera.show(&night, 5, 1.5);
    assert!(camera.holds(Mode::TooDark), "{:?}", camera.health.conditions());
    camera.health.judge(View::Steady, false);
    camera.show(&scene, 3, 2.0);
    assert!(camera.holds(Modes::default()), "{:?}", camera.health.conditions());
}

#[test]
fn a_night_picture_in_which_something_can_be_seen_is_not_dark() {
    let night = relit(&tiles(6), |v| 16.0 + 0.15 * (v - 16.0));
    assert_eq!(Camera::new().show(&night, 6, 20.0), Modes::default());
}

#[test]
fn a_picture_that_is_mostly_white_is_too_bright_and_a_white_wall_is_not() {
    let scene = tiles(7);
    let mut camera = Camera::before(&scene);
    let flooded = relit(&scene, |v| 3.0 * v);
    camera.show(&flooded, 2, 2.0);
    assert!(camera.holds(Mode::TooBright), "{:?}", camera.health.conditions());
    camera.show(&scene, 3, 2.0);
    assert!(camera.holds(Modes::default()), "{:?}", camera.health.conditions());
    assert_eq!(Camera::new().show(&vec![215; scene.len()], 4, 10.0), Modes::default());
}

#[test]
fn a_lens_out_of_focus_is_named_and_is_not_a_covered_or_another_view() {
    let scene = tiles(8);
    let mut camera = Camera::before(&scene);
    let soft = blurred(&scene, 3);
    camera.show(&soft, 3, 0.2);
    for view in [View::Blocked, View::Changed] {
        camera.health.judge(view, false);
        camera.show(&soft, 3, 2.6);
        assert!(camera.holds(Mode::ViewDefocused), "{:?}", camera.health.conditions());
    }
    camera.health.judge(View::Steady, false);
    camera.show(&scene, 3, 2.0);
    assert!(camera.holds(Modes::default()), "{:?}", camera.health.conditions());
}

#[test]
fn fog_dusk_people_and_another_view_are_not_out_of_focus() {
    let scene = tiles(9);
    let fog = relit(&scene, |v| 100.0 + 0.4 * v);
    let dusk = relit(&scene, |v| 16.0 + 0.4 * (v - 16.0));
    let mut crowd = scene.clone();
    (60..200).for_each(|y| (40..280).step_by(60).for_each(|x| crowd[320 * y..][x..x + 30].fill(70)));
    for (name, other) in [("fog", fog), ("dusk", dusk), ("crowd", crowd), ("view", blurred(&tiles(10), 3))] {
        let mut camera = Camera::before(&scene);
        assert_eq!(camera.show(&other, 3, 30.0), Modes::default(), "{name}");
        assert_eq!(camera.show(&scene, 3, 30.0), Modes::default(), "{name} ends");
    }
}

#[test]
fn a_picture_in_two_seconds_is_too_few_and_one_a_second_is_enough() {
    let scene = tiles(11);
    let mut camera = Camera::before(&scene);
    camera.rate_hz = 1.0;
    assert_eq!(camera.show(&scene, 3, 20.0), Modes::default());
    camera.rate_hz = 0.5;
    camera.show(&scene, 3, 2.0);
    // What the thread does while it waits.
    camera.health.wait(camera.frame.time + Duration::from_millis(1100));
    assert!(camera.holds(Mode::FrameRateLow), "{:?}", camera.health.conditions());
    camera.show(&scene, 3, 20.0);
    assert!(camera.holds(Mode::FrameRateLow), "{:?}", camera.health.conditions());
    camera.rate_hz = 10.0;
    camera.show(&scene, 3, 0.5);
    assert!(camera.holds(Modes::default()), "{:?}", camera.health.conditions());
}

#[test]
fn a_slow_start_and_a_pause_are_not_a_low_rate() {
    let scene = tiles(12);
    let mut camera = Camera::new();
    assert_eq!(camera.show(&scene, 3, 0.1), Modes::default());
    camera.health.wait(camera.frame.time + Duration::from_secs(2));
    assert!(camera.holds(Modes::default()));
    camera.show(&scene, 3, 5.0);
    camera.health.pause();
    camera.frame.time = camera.frame.time + Duration::from_mins(1);
    assert_eq!(camera.show(&scene, 3, 5.0), Modes::default());
}

#[test]
fn a_source_without_a_picture_has_a_gap_until_pictures_come_again() {
    let scene = tiles(13);
    let mut camera = Camera::before(&scene);
    camera.health.wait(camera.frame.time + Duration::from_millis(2400));
    assert!(camera.holds(Modes::default()));
    camera.health.wait(camera.frame.time + Duration::from_millis(2600));
    assert!(camera.holds(Mode::SourceGap));
    // A picture in three seconds is a gap all the time, not one after the other.
    camera.rate_hz = 1.0 / 3.0;
    for _ in 0..5 {
        camera.show(&scene, 3, 3.0);
        assert!(camera.holds(Mode::SourceGap));
    }
    camera.rate_hz = 10.0;
    camera.show(&scene, 3, 0.2);
    assert!(camera.holds(Modes::default()), "{:?}", camera.health.conditions());
}

#[test]
fn frames_without_pixels_have_a_rate_and_nothing_else() {
    let mut camera = Camera::new();
    for _ in 0..100 {
        camera.step(Content::Detections(Vec::new()));
        assert!(camera.holds(Modes::default()));
    }
    camera.rate_hz = 0.5;
    (0..3).for_each(|_| camera.step(Content::Detections(Vec::new())));
    assert!(camera.holds(Mode::FrameRateLow));
}

#[test]
fn pictures_of_one_pixel_one_color_and_changing_sizes_are_no_fault() {
    let mut camera = Camera::new();
    for (width, height) in [(1, 1), (1, 300), (2000, 3), (0, 0), (64, 48)].repeat(20) {
        let mut image = Image::default();
        image.reset(Size { width, height }, Chroma::Mono);
        image.planes_mut()[0].fill(120);
        camera.step(Content::Image(image));
        assert!(camera.holds(Modes::default()), "{width}x{height}: {:?}", camera.health.conditions());
    }
}

#[test]
fn the_detector_names_what_it_learns() {
    let mut health = Health::new();
    health.judge(View::Changed, true);
    assert_eq!(health.conditions(), Modes::of(&[Mode::ViewChanged, Mode::SceneLearning]));
}
