//! The detector on small pictures that are rendered here: textured ground, noise, light, and upright
//! blocks for people, with a darker head and legs apart.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

use super::*;
use crate::model::{CameraId, Chroma, Content, Frame};

const SIZE: Size = Size { width: 320, height: 240 };
const FPS: u64 = 10;
/// Width and height of a person in the pictures.
const PERSON: (i32, i32) = (18, 46);

/// Light and what stands in it.
struct Scene {
    gain: f64,
    noise: u32,
    /// Left, top of each person.
    people: Vec<(i32, i32)>,
    /// Left, top, width, height, the part of light that is left.
    shadows: Vec<(i32, i32, i32, i32, f64)>,
    /// Left, top, width, height, luma.
    things: Vec<(i32, i32, i32, i32, u8)>,
}

impl Scene {
    fn empty() -> Self {
        Self { gain: 1.0, noise: 3, people: Vec::new(), shadows: Vec::new(), things: Vec::new() }
    }

    fn with(people: &[(i32, i32)]) -> Self {
        Self { people: people.to_vec(), ..Self::empty() }
    }

    /// Luma, Cb, Cr of a place before light and noise.
    fn color(&self, x: i32, y: i32) -> (f64, f64, f64) {
        for &(left, top) in &self.people {
            let (u, v) = (x - left, y - top);
            let head = (0..9).contains(&v) && (5..13).contains(&u);
            let body =
                (9..28).contains(&v) && (2..16).contains(&u) || (15..25).contains(&v) && (0..18).contains(&u);
            let stride = (v - 28) / 6;
            let legs = (28..PERSON.1).contains(&v)
                && ((4 - stride..9 - stride).contains(&u) || (9 + stride..14 + stride).contains(&u));
            if head || body || legs {
                return if body { (40.0, 140.0, 120.0) } else { (60.0, 118.0, 140.0) };
            }
        }
        for &(left, top, width, height, luma) in &self.things {
            if (left..left + width).contains(&x) && (top..top + height).contains(&y) {
                return (f64::from(luma), 128.0, 128.0);
            }
        }
        let slab = f64::from((x / 23 + y / 17) % 5) * 9.0;
        (110.0 + slab + f64::from((x * 7 + y * 13) % 11), 124.0, 130.0)
    }

    fn draw(&self, image: &mut Image, rng: &mut Pcg32) {
        image.reset(SIZE, Chroma::C420);
        let (width, height) = (SIZE.width as i32, SIZE.height as i32);
        let light = |x: i32, y: i32| {
            let lit = |&&(left, top, w, h, _): &&(i32, i32, i32, i32, f64)| {
                (left..left + w).contains(&x) && (top..top + h).contains(&y)
            };
            self.gain * self.shadows.iter().find(lit).map_or(1.0, |s| s.4)
        };
        let [luma, cb, cr] = image.planes_mut();
        for (i, to) in luma.iter_mut().enumerate() {
            let (x, y) = (i as i32 % width, i as i32 / width);
            let noise = f64::from(rng.next_u32() % (2 * self.noise + 1)) - f64::from(self.noise);
            *to = (self.color(x, y).0 * light(x, y) + noise).clamp(0.0, 255.0) as u8;
        }
        for (i, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
            let (x, y) = (2 * (i as i32 % (width / 2)), 2 * (i as i32 / (width / 2)));
            assert!(y < height);
            let color = self.color(x, y);
            *cb = (128.0 + (color.1 - 128.0) * light(x, y)) as u8;
            *cr = (128.0 + (color.2 - 128.0) * light(x, y)) as u8;
        }
    }
}

/// A camera that looks at one scene after the other.
struct Watch {
    detector: Motion,
    image: Image,
    rng: Pcg32,
    frames: u64,
    found: Vec<Detection>,
}

impl Watch {
    fn new(options: &Options, ground: &GroundPlane) -> Self {
        Self {
            detector: Motion::new(options, ground).unwrap(),
            image: Image::default(),
            rng: Pcg32::seed_from_u64(7),
            frames: 0,
            found: Vec::with_capacity(128),
        }
    }

    fn plain() -> Self {
        Self::new(&Options::default(), &GroundPlane::nominal(10.0, SIZE))
    }

    fn see(&mut self, scene: &Scene) -> &[Detection] {
        scene.draw(&mut self.image, &mut self.rng);
        self.frames += 1;
        let time = Time { mono_ns: self.frames * 1_000_000_000 / FPS, epoch_ms: 0 };
        self.detector.detect_image(&self.image, self.image.size(), time, &mut self.found).unwrap();
        &self.found
    }

    fn see_empty(&mut self, frames: u32) {
        for _ in 0..frames {
            self.see(&Scene::empty());
        }
    }

    /// Lets one person walk to and fro until their size is known.
    fn learn_size(&mut self) {
        self.see_empty(10);
        for i in 0..400 {
            let at = 20 + (i * 3 % 260);
            self.see(&Scene::with(&[(at, 100)]));
        }
        self.see_empty(20);
    }
}

fn person_at(left: i32, top: i32) -> BBox {
    BBox::new(f64::from(left), f64::from(top), f64::from(PERSON.0), f64::from(PERSON.1))
}

#[test]
fn noise_alone_is_no_detection() {
    for noise in [0, 3, 8, 16, 24] {
        let mut watch = Watch::plain();
        for i in 0..60 {
            assert_eq!(watch.see(&Scene { noise, ..Scene::empty() }), [], "noise {noise}, frame {i}");
        }
    }
}

#[test]
fn a_walking_person_is_found_with_tight_edges_and_without_the_shadow() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    for i in 0..80 {
        let (left, top) = (30 + 3 * i, 90);
        let scene = Scene { shadows: vec![(left + 16, top + 38, 40, 9, 0.7)], ..Scene::with(&[(left, top)]) };
        let found = watch.see(&scene);
        assert_eq!(found.len(), 1, "frame {i}: {found:?}");
        assert!(found[0].bbox.iou(person_at(left, top)) > 0.75, "frame {i}: {found:?}");
        assert!((0.0..=1.0).contains(&found[0].score));
    }
    assert_eq!(watch.found[0].class, Class::Person);
}

#[test]
fn slow_and_fast_changes_of_exposure_are_no_detection() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    for i in 0..300 {
        let gain = 1.0 + 0.3 * (f64::from(i) / 50.0).sin();
        assert_eq!(watch.see(&Scene { gain, ..Scene::empty() }), [], "frame {i}");
    }
    for _ in 0..20 {
        assert_eq!(watch.see(&Scene { gain: 1.5, ..Scene::empty() }), []);
    }
}

#[test]
fn when_the_whole_scene_changes_at_once_it_begins_anew() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    let bars = || (0..20).map(|bar| (16 * bar, 0, 16, 240, [110, 240][bar as usize % 2])).collect();
    let other = || Scene { things: bars(), ..Scene::empty() };
    for _ in 0..40 {
        assert_eq!(watch.see(&other()), []);
    }
    let found = watch.see(&Scene { people: vec![(100, 60)], ..other() });
    assert!(!found.is_empty());
}

#[test]
fn a_person_who_stands_still_for_three_minutes_stays_and_leaves_no_ghost() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    for i in 0..30 {
        watch.see(&Scene::with(&[(30 + 3 * i, 90)]));
    }
    for i in 0..180 * FPS {
        let found = watch.see(&Scene::with(&[(120, 90)]));
        assert_eq!(found.len(), 1, "frame {i}");
        assert!(found[0].bbox.iou(person_at(120, 90)) > 0.7, "frame {i}: {found:?}");
    }
    watch.see_empty(5);
    assert_eq!(watch.found, []);
}

#[test]
fn leaves_that_stir_are_learned_and_people_beside_them_still_found() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    let mut wind = Pcg32::seed_from_u64(3);
    let mut false_alarms = 0;
    for i in 0..60 * FPS {
        let mut scene = Scene::with(&[(20 + (i as i32 * 3) % 270, 170)]);
        for leaf in 0..40 {
            let (x, y) = (120 + leaf % 8 * 8, 20 + leaf / 8 * 12);
            let luma = [60, 130, 200][(wind.next_u32() % 3) as usize];
            scene.things.push((x, y, 8, 12, luma));
        }
        let found = watch.see(&scene);
        if i >= 45 * FPS {
            false_alarms += found.iter().filter(|d| d.bbox.top < 100.0).count();
            assert!(found.iter().any(|d| d.bbox.top > 150.0), "frame {i}: {found:?}");
        }
    }
    assert_eq!(false_alarms, 0);
}

#[test]
fn a_road_on_which_a_car_passes_each_second_does_not_flicker() {
    let mut watch = Watch::plain();
    watch.see_empty(50);
    // Cars of 36 columns, 8 further in each frame and 72 apart: a place toggles twice in nine frames.
    for frame in 0..300 {
        let cars = (-1..5).map(|k| (72 * k + 8 * (frame % 9), 100, 36, 24, 230)).collect();
        watch.see(&Scene { things: cars, ..Scene::empty() });
        let state = watch.detector.state.as_ref().unwrap();
        let road = |x: usize| 112 * state.grid.stride + x;
        assert!((40..280).all(|x| !state.flicker.is_restless(road(x))), "frame {frame}");
    }
}

#[test]
fn what_never_stirs_becomes_background_after_the_time_to_hold() {
    let options = Options { hold: Duration::from_secs(20), ..Options::default() };
    let mut watch = Watch::new(&options, &GroundPlane::nominal(10.0, SIZE));
    watch.see_empty(20);
    let parked = || Scene { things: vec![(100, 80, 60, 40, 30)], ..Scene::empty() };
    for _ in 0..15 * FPS {
        assert_eq!(watch.see(&parked()).len(), 1);
    }
    for _ in 0..10 * FPS {
        watch.see(&parked());
    }
    assert_eq!(watch.found, []);
}

#[test]
fn someone_who_was_there_at_the_start_leaves_no_ghost() {
    let mut watch = Watch::plain();
    for _ in 0..10 {
        watch.see(&Scene::with(&[(60, 90)]));
    }
    for i in 0..60 {
        watch.see(&Scene::with(&[(60 + 3 * i, 90)]));
    }
    assert_eq!(watch.found.len(), 1, "{:?}", watch.found);
    watch.see_empty(2);
    assert_eq!(watch.found, []);
}

#[test]
fn two_people_who_walk_side_by_side_are_two() {
    let mut watch = Watch::plain();
    watch.learn_size();
    for i in 0..40 {
        let at = 40 + 4 * i;
        let found = watch.see(&Scene::with(&[(at, 100), (at + 17, 96)]));
        assert_eq!(found.len(), 2, "frame {i}: {found:?}");
        for truth in [person_at(at, 100), person_at(at + 17, 96)] {
            assert!(found.iter().any(|d| d.bbox.iou(truth) > 0.6), "frame {i}: {found:?}");
        }
    }
}

#[test]
fn a_car_is_one_vehicle_where_the_size_of_people_is_known() {
    let mut watch = Watch::plain();
    watch.learn_size();
    for i in 0..30 {
        let car = (20 + 5 * i, 120, 84, 36, 200);
        let found = watch.see(&Scene { things: vec![car], ..Scene::empty() });
        assert_eq!(found.len(), 1, "frame {i}: {found:?}");
        assert_eq!(found[0].class, Class::Vehicle, "frame {i}: {found:?}");
    }
}

#[test]
fn a_van_with_a_person_before_it_is_not_taken_for_a_crowd() {
    let mut watch = Watch::plain();
    watch.learn_size();
    for i in 0..20 {
        let (van, person) = ((40 + 5 * i, 80, 120, 60, 220), (80 + 4 * i, 115));
        let found = watch.see(&Scene { things: vec![van], people: vec![person], ..Scene::empty() });
        let is = |class, bbox: BBox| found.iter().any(|d| d.class == class && d.bbox.iou(bbox) > 0.5);
        assert!(is(Class::Vehicle, BBox::new(f64::from(van.0), 80.0, 120.0, 60.0)), "frame {i}: {found:?}");
        assert!(found.len() <= 2, "frame {i}: {found:?}");
    }
}

#[test]
fn a_person_cut_in_two_by_a_sign_is_one() {
    let mut watch = Watch::plain();
    watch.learn_size();
    let sign = || (150, 118, 30, 10, 200);
    let with_sign = || Scene { things: vec![sign()], ..Scene::empty() };
    for _ in 0..5 {
        watch.see(&with_sign());
    }
    // The sign hangs before the person: the middle is not seen.
    let mut watch_front = |left: i32| {
        let scene = Scene::with(&[(left, 100)]);
        scene.draw(&mut watch.image, &mut watch.rng);
        let [luma, ..] = watch.image.planes_mut();
        for y in 118..128 {
            luma[y * 320 + 150..y * 320 + 180].fill(200);
        }
        watch.frames += 1;
        let time = Time { mono_ns: watch.frames * 1_000_000_000 / FPS, epoch_ms: 0 };
        watch.detector.detect_image(&watch.image, watch.image.size(), time, &mut watch.found).unwrap();
        watch.found.iter().filter(|d| d.bbox.iou(person_at(left, 100)) > 0.6).count()
    };
    assert_eq!(watch_front(155), 1);
    assert_eq!(watch_front(158), 1);
}

#[test]
fn nothing_is_found_under_an_ignore_mask_or_outside_the_regions() {
    let half = |left: f64| {
        let corners = [(left, 0.0), (left + 0.5, 0.0), (left + 0.5, 1.0), (left, 1.0)];
        Polygon::new(corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap()
    };
    let ground = GroundPlane::nominal(10.0, SIZE);
    let ignore = Options { ignore: vec![half(0.0)], ..Options::default() };
    let region = Options { regions: vec![half(0.5)], ..Options::default() };
    for options in [ignore, region] {
        let mut watch = Watch::new(&options, &ground);
        watch.see_empty(10);
        assert_eq!(watch.see(&Scene::with(&[(60, 90)])), []);
        assert_eq!(watch.see(&Scene::with(&[(220, 90)])).len(), 1);
    }
}

#[test]
fn a_polygon_outside_the_picture_and_an_empty_picture_are_refused() {
    let ground = GroundPlane::nominal(10.0, SIZE);
    let pixels = [(0.0, 0.0), (320.0, 0.0), (320.0, 240.0)].map(|(x, y)| Point::new(x, y));
    let options = Options { ignore: vec![Polygon::new(pixels.to_vec()).unwrap()], ..Options::default() };
    let error = Motion::new(&options, &ground).unwrap_err();
    assert_eq!(error.kind(), crate::base::ErrorKind::Config);
    assert!(error.to_string().contains("ignore 0: corner (320, 0)"), "{error}");

    let mut detector = Motion::new(&Options::default(), &ground).unwrap();
    let error = detector
        .detect_image(&Image::default(), Size::default(), Time::default(), &mut Vec::new())
        .unwrap_err();
    assert_eq!(error.kind(), crate::base::ErrorKind::BadInput);
}

#[test]
fn given_detections_pass_through_unchanged() {
    let given = Detection { bbox: person_at(3, 4), class: Class::Animal, score: 0.25 };
    let frame =
        Frame { content: Content::Detections(vec![given]), ..Frame::empty(CameraId::parse("cam").unwrap()) };
    let ground = GroundPlane::nominal(10.0, SIZE);
    let mut detector = crate::inference::open(&crate::inference::Options::default(), &ground).unwrap();
    let mut found = vec![given, given];
    detector.detect(&frame, &mut found).unwrap();
    assert_eq!(found, [given]);
}

#[test]
fn a_picture_of_any_size_and_sampling_is_taken_also_in_the_middle_of_a_stream() {
    let mut watch = Watch::plain();
    watch.see_empty(3);
    let chromas = [Chroma::Mono, Chroma::C420, Chroma::C411, Chroma::C422, Chroma::C444];
    for (width, height) in [(1, 1), (2, 3), (17, 5), (33, 129), (641, 479), (1001, 600)] {
        for chroma in chromas {
            for luma in [20, 20, 200] {
                let mut image = Image::default();
                image.reset(Size { width, height }, chroma);
                image.bytes_mut().fill(luma);
                let time = Time { mono_ns: 9_000_000_000, epoch_ms: 0 };
                watch.detector.detect_image(&image, image.size(), time, &mut watch.found).unwrap();
            }
        }
    }
    watch.see_empty(3);
    assert_eq!(watch.see(&Scene::with(&[(100, 90)])).len(), 1);
}

/// Expects objects where the last frame had them.
/// The image as ffmpeg shrinks it for the detector: means of four samples, and chroma for each of them.
fn halved(image: &Image) -> Image {
    let width = image.size().width as usize;
    let mut half = Image::default();
    half.reset(Size { width: SIZE.width / 2, height: SIZE.height / 2 }, Chroma::C444);
    let (from_cb, from_cr) = image.chroma_planes();
    let [luma, cb, cr] = half.planes_mut();
    for (i, to) in luma.iter_mut().enumerate() {
        let at = i / (width / 2) * 2 * width + i % (width / 2) * 2;
        let four = [at, at + 1, at + width, at + width + 1].map(|at| u32::from(image.luma()[at]));
        *to = (four.iter().sum::<u32>() / 4) as u8;
    }
    cb.copy_from_slice(from_cb);
    cr.copy_from_slice(from_cr);
    half
}

#[test]
fn an_image_smaller_than_its_frame_gives_boxes_in_pixels_of_the_frame() {
    let mut watch = Watch::plain();
    let mut see = |scene: &Scene, expected: Option<&[BBox]>| {
        scene.draw(&mut watch.image, &mut watch.rng);
        watch.frames += 1;
        let time = Time { mono_ns: watch.frames * 1_000_000_000 / FPS, epoch_ms: 0 };
        watch.detector.expect(expected);
        watch.detector.detect_image(&halved(&watch.image), SIZE, time, &mut watch.found).unwrap();
        (watch.found.clone(), watch.detector.looked_at())
    };
    for _ in 0..20 {
        see(&Scene::empty(), None);
    }
    let mut cropped = 0;
    for i in 0..60 {
        let (left, top) = (30 + 3 * i, 90);
        let (found, looked_at) = see(&Scene::with(&[(left, top)]), Some(&[person_at(left, top)]));
        assert_eq!(found.len(), 1, "frame {i}: {found:?}");
        assert!(found[0].bbox.iou(person_at(left, top)) > 0.6, "frame {i}: {found:?}");
        if let Some(part) = looked_at {
            cropped += 1;
            assert!(
                part.iou(person_at(left, top)) > 0.05 && part.right() <= f64::from(SIZE.width),
                "{part:?}"
            );
        }
    }
    assert!(cropped > 40, "{cropped}");
}

fn expect_found(watch: &mut Watch) {
    let boxes: Vec<BBox> = watch.found.iter().map(|found| found.bbox).collect();
    watch.detector.expect(Some(&boxes));
}

#[test]
fn where_everybody_is_in_a_corner_only_that_is_looked_at_and_they_are_found_as_before() {
    let (mut whole, mut cropped) = (Watch::plain(), Watch::plain());
    let scenes = (0..60).map(|i| Scene::with(&[(20 + i, 40)]));
    let mut looked = Vec::new();
    for watch in [&mut whole, &mut cropped] {
        watch.see_empty(20);
    }
    for scene in scenes {
        expect_found(&mut cropped);
        let found: Vec<BBox> = cropped.see(&scene).iter().map(|found| found.bbox).collect();
        looked.push(cropped.detector.looked_at());
        let wanted: Vec<BBox> = whole.see(&scene).iter().map(|found| found.bbox).collect();
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!(found.iou(*wanted) > 0.9, "{found:?} {wanted:?}");
        }
    }
    let part = looked.iter().filter(|looked| looked.is_some()).count();
    assert!(part >= 60 - 60 / FPS as usize - 3, "{part} of 60 frames in part");
    let areas = looked.iter().flatten().map(|region| region.area());
    assert!(areas.fold(0.0, f64::max) < 0.4 * f64::from(SIZE.width * SIZE.height));
}

#[test]
fn the_whole_picture_is_looked_at_every_second() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    let mut since = 0;
    for i in 0..100 {
        expect_found(&mut watch);
        watch.see(&Scene::with(&[(20 + i, 40)]));
        since = if watch.detector.looked_at().is_some() { since + 1 } else { 0 };
        assert!(since < FPS, "frame {i}");
    }
}

#[test]
fn who_comes_in_elsewhere_is_found_in_the_same_frame() {
    let mut watch = Watch::plain();
    watch.see_empty(20);
    for i in 0..33 {
        expect_found(&mut watch);
        watch.see(&Scene::with(&[(20 + i, 40)]));
    }
    for _ in 0..2 {
        expect_found(&mut watch);
        watch.see(&Scene::with(&[(53, 40)]));
    }
    assert!(watch.detector.looked_at().is_some(), "only a part of the picture was looked at");
    expect_found(&mut watch);
    let found = watch.see(&Scene::with(&[(54, 40), (240, 150)])).to_vec();
    assert!(found.iter().any(|found| found.bbox.iou(person_at(240, 150)) > 0.5), "{found:?}");
}

#[test]
fn what_stirs_a_little_elsewhere_is_noticed_in_the_next_frame_and_a_speck_is_not() {
    // Rows 200 and 204 are looked at in turn, columns 200 and 204 in both.
    for (height, noticed) in [(8, true), (4, false)] {
        let mut watch = Watch::plain();
        watch.see_empty(20);
        for i in 0..20 {
            expect_found(&mut watch);
            watch.see(&Scene::with(&[(20 + i, 40)]));
        }
        // A second begins with a whole frame.
        while watch.detector.looked_at().is_some() {
            expect_found(&mut watch);
            watch.see(&Scene::with(&[(40, 40)]));
        }
        let parts = (0..3).map(|_| {
            let mut scene = Scene::with(&[(40, 40)]);
            scene.things.push((200, 200, 8, height, 250));
            expect_found(&mut watch);
            watch.see(&scene);
            watch.detector.looked_at().is_some()
        });
        let parts: Vec<bool> = parts.collect();
        assert_eq!(parts[..2], [true, !noticed], "{height} rows");
    }
}

#[test]
fn a_scene_that_changes_at_once_in_a_cropped_frame_is_learned_whole() {
    let corners = [(0.0, 0.15), (0.17, 0.15), (0.17, 0.36), (0.0, 0.36)].map(|(x, y)| Point::new(x, y));
    let options = Options { regions: vec![Polygon::new(corners.to_vec()).unwrap()], ..Options::default() };
    let mut watch = Watch::new(&options, &GroundPlane::nominal(10.0, SIZE));
    watch.see_empty(20);
    for i in 0..15 {
        expect_found(&mut watch);
        watch.see(&Scene::with(&[(10 + i, 40)]));
    }
    assert!(watch.detector.looked_at().is_some(), "only a part of the picture was looked at");
    let bars = (0..20).map(|bar| (16 * bar, 0, 16, 240, [30, 240][bar as usize % 2])).collect();
    expect_found(&mut watch);
    assert_eq!(watch.see(&Scene { things: bars, ..Scene::empty() }), []);
    let mean = &watch.detector.state.as_ref().unwrap().background.mean[0];
    let expected = |at: usize| [30, 240][at % SIZE.width as usize / 16 % 2];
    let other = mean.iter().enumerate().position(|(at, &mean)| mean.abs_diff(expected(at)) > 4);
    assert_eq!(other, None, "a pixel of the picture before");
}

#[test]
fn an_empty_picture_is_looked_at_whole() {
    let mut watch = Watch::plain();
    watch.detector.expect(Some(&[]));
    watch.see_empty(30);
    assert_eq!(watch.detector.looked_at(), None);
}

#[test]
fn a_frame_allocates_nothing_once_the_detector_runs() {
    let mut watch = Watch::plain();
    watch.learn_size();
    let scenes: Vec<Scene> =
        (0..40).map(|i| Scene::with(&[(40 + 4 * i, 100), (57 + 4 * i, 96), (200, 150)])).collect();
    let mut images = Vec::new();
    for scene in &scenes {
        let mut image = Image::default();
        scene.draw(&mut image, &mut watch.rng);
        images.push(image);
    }
    let mut people = 0;
    let counted = allocation_counter::measure(|| {
        for image in &images {
            watch.frames += 1;
            let time = Time { mono_ns: watch.frames * 1_000_000_000 / FPS, epoch_ms: 0 };
            watch.detector.detect_image(image, image.size(), time, &mut watch.found).unwrap();
            people += watch.found.len();
        }
    });
    assert!(people >= 80, "{people}");
    assert_eq!(counted.count_total, 0);
}

/// What lights the scene of [`Yard`] beside the day: column, row and reach of a lamp, and how many times as light it makes
/// its middle.
type Lamp = (f64, f64, f64, f64);

/// A yard with a fence, a path and things that lie about, so that there are edges everywhere.
struct Yard {
    /// Colour is seen, and not only grey.
    color: bool,
    light: f64,
    lamp: Option<Lamp>,
    /// Where the camera looks.
    look: (i32, i32),
    /// How far it is turned about its axis, degrees.
    turn: f64,
    people: Vec<(i32, i32)>,
}

impl Yard {
    fn empty() -> Self {
        Self { color: true, light: 1.0, lamp: None, look: (0, 0), turn: 0.0, people: Vec::new() }
    }

    fn with(people: &[(i32, i32)]) -> Self {
        Self { people: people.to_vec(), ..Self::empty() }
    }

    fn color(&self, x: i32, y: i32) -> (f64, f64, f64) {
        let person = Scene::with(&self.people).color(x, y);
        if person.0 < 100.0 {
            return person;
        }
        let ((sin, cos), width, height) = (self.turn.to_radians().sin_cos(), SIZE.width, SIZE.height);
        let (right, down) = (f64::from(x) - f64::from(width) / 2.0, f64::from(y) - f64::from(height) / 2.0);
        let x = (cos * right + sin * down + f64::from(width) / 2.0).round() as i32 + self.look.0 + 1000;
        let y = (cos * down - sin * right + f64::from(height) / 2.0).round() as i32 + self.look.1 + 1000;
        // Slabs whose shades do not repeat within the picture.
        let shade = |i: i32, j: i32| f64::from((i * i * 7 + j * j * 13 + i * j * 5) % 11);
        let (i, j) = (x / 29 + x / 41, y / 19 + y / 31);
        (60.0 + 9.0 * shade(i, j), 118.0 + 2.0 * shade(j, i), 128.0 + 2.0 * shade(i + 3, j))
    }

    fn draw(&self, image: &mut Image, rng: &mut Pcg32) {
        image.reset(SIZE, Chroma::C420);
        let width = SIZE.width as i32;
        let light = |x: i32, y: i32| {
            let lamp = self.lamp.map_or(1.0, |(left, top, reach, times)| {
                let square = (f64::from(x) - left).powi(2) + (f64::from(y) - top).powi(2);
                1.0 + (times - 1.0) * (-square / (2.0 * reach * reach)).exp()
            });
            self.light * lamp
        };
        let [luma, cb, cr] = image.planes_mut();
        for (i, to) in luma.iter_mut().enumerate() {
            let (x, y) = (i as i32 % width, i as i32 / width);
            let noise = f64::from(rng.next_u32() % 5) - 2.0;
            *to = (self.color(x, y).0 * light(x, y) + noise).clamp(0.0, 255.0) as u8;
        }
        for (i, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
            let (x, y) = (2 * (i as i32 % (width / 2)), 2 * (i as i32 / (width / 2)));
            let color = if self.color { self.color(x, y) } else { (0.0, 128.0, 128.0) };
            (*cb, *cr) = (color.1 as u8, color.2 as u8);
        }
    }
}

impl Watch {
    fn look(&mut self, yard: &Yard) -> &[Detection] {
        yard.draw(&mut self.image, &mut self.rng);
        self.show()
    }

    /// Sees the picture as it is.
    fn show(&mut self) -> &[Detection] {
        self.frames += 1;
        let time = Time { mono_ns: self.frames * 1_000_000_000 / FPS, epoch_ms: 0 };
        self.detector.detect_image(&self.image, self.image.size(), time, &mut self.found).unwrap();
        &self.found
    }

    fn view(&self) -> View {
        self.detector.view()
    }

    /// A camera that has seen the empty yard for some seconds.
    fn of_a_yard() -> Self {
        let mut watch = Self::plain();
        for _ in 0..40 {
            watch.look(&Yard::empty());
        }
        watch
    }
}

/// A person walks through the yard and is found in each frame, perhaps in parts, and nothing else is.
fn walks_alone(watch: &mut Watch, yard: impl Fn((i32, i32)) -> Yard) {
    for i in 0..40 {
        let at = (40 + 4 * i, 100);
        let found = watch.look(&yard(at)).to_vec();
        let overlaps = found.iter().map(|found| found.bbox.iou(person_at(at.0, at.1)));
        let (least, most) =
            overlaps.fold((1.0_f64, 0.0_f64), |(least, most), iou| (least.min(iou), most.max(iou)));
        assert!(least > 0.05 && most > 0.3, "frame {i}: {found:?}");
    }
}

#[test]
fn only_a_walker_is_found_when_the_picture_turns_from_grey_to_color_and_back() {
    let mut watch = Watch::plain();
    let night = || Yard { color: false, light: 0.4, ..Yard::empty() };
    for _ in 0..40 {
        watch.look(&night());
    }
    for yard in [Yard::empty(), night()] {
        for i in 0..30 {
            assert_eq!(watch.look(&yard), [], "frame {i} of {}", yard.light);
            assert_eq!(watch.view(), View::Steady);
        }
        if yard.color {
            walks_alone(&mut watch, |at| Yard::with(&[at]));
            for _ in 0..20 {
                watch.look(&yard);
            }
        }
    }
}

#[test]
fn a_lamp_that_is_switched_on_and_off_is_no_object_and_does_not_hide_a_walker_in_its_light() {
    let mut watch = Watch::plain();
    let yard = |lamp| Yard { light: 0.3, lamp, ..Yard::empty() };
    for _ in 0..40 {
        watch.look(&yard(None));
    }
    for lamp in [Some((200.0, 130.0, 45.0, 5.0)), None] {
        for i in 0..30 {
            let found = watch.look(&yard(lamp)).to_vec();
            assert_eq!(found, [], "frame {i}, lamp {lamp:?}");
        }
        if lamp.is_some() {
            walks_alone(&mut watch, |at| Yard { people: vec![at], ..yard(lamp) });
            for _ in 0..20 {
                watch.look(&yard(lamp));
            }
        }
    }
}

#[test]
fn a_person_that_stands_there_when_the_light_is_switched_on_is_found_all_the_time() {
    let mut watch = Watch::of_a_yard();
    for i in 0..20 {
        watch.look(&Yard::with(&[(40 + 4 * i, 100)]));
    }
    for i in 0..60 {
        let yard = Yard { lamp: Some((160.0, 120.0, 150.0, 2.2)), ..Yard::with(&[(116, 100)]) };
        let found = watch.look(&yard).to_vec();
        let there = found.iter().filter(|found| found.bbox.iou(person_at(116, 100)) > 0.3).count();
        assert_eq!((found.len(), there), (1, 1), "frame {i}: {found:?}");
    }
}

#[test]
fn headlights_that_sweep_over_the_yard_are_no_object() {
    let mut watch = Watch::plain();
    for _ in 0..40 {
        watch.look(&Yard { light: 0.25, ..Yard::empty() });
    }
    let mut frames = 0;
    for i in 0..60 {
        let lamp = Some((-90.0 + 9.0 * f64::from(i), 120.0, 40.0, 4.0));
        frames += usize::from(!watch.look(&Yard { light: 0.25, lamp, ..Yard::empty() }).is_empty());
    }
    assert!(frames <= 12, "something found in {frames} of 60 frames");
}

#[test]
fn a_lamp_that_is_switched_on_in_the_rain_blinds_nobody() {
    let mut watch = Watch::plain();
    let mut rain = Pcg32::seed_from_u64(3);
    let mut look = |watch: &mut Watch, light: f64, people: &[(i32, i32)]| {
        Yard { light, ..Yard::with(people) }.draw(&mut watch.image, &mut watch.rng);
        let width = watch.image.size().width;
        for _ in 0..if light > 0.6 { 500 } else { 0 } {
            let (x, y) = (rain.next_u32() % width, rain.next_u32() % 220);
            for row in y..(y + 15 + rain.next_u32() % 20).min(239) {
                watch.image.planes_mut()[0][(row * width + x) as usize] = 250;
            }
        }
        watch.show().to_vec()
    };
    (0..60).for_each(|_| drop(look(&mut watch, 0.4, &[])));
    (0..200).for_each(|_| drop(look(&mut watch, 0.8, &[])));
    let mut frames = 0;
    for i in 0..60 {
        let found = look(&mut watch, 0.8, &[(40 + 4 * i, 100)]);
        frames += usize::from(found.iter().any(|found| found.bbox.iou(person_at(40 + 4 * i, 100)) > 0.3));
        assert_eq!(watch.view(), View::Steady, "frame {i}");
    }
    assert!(frames >= 50, "found in {frames} of 60 frames");
}

#[test]
fn a_knocked_camera_says_so_follows_nothing_and_is_well_again_within_seconds() {
    let mut watch = Watch::of_a_yard();
    let (mut named, mut last) = (None, 0);
    for i in 0..80 {
        let found = watch.look(&Yard { look: (11, 7), ..Yard::empty() }).to_vec();
        assert_eq!(found, [], "frame {i}");
        if watch.view() == View::Changed {
            named.get_or_insert(i);
            last = i;
        }
    }
    assert!(named.is_some_and(|named| named <= 2 * FPS as i32), "{named:?}");
    assert!(last < 60, "{last}");
    walks_alone(&mut watch, |at| Yard { look: (11, 7), ..Yard::with(&[at]) });
    assert_eq!(watch.view(), View::Steady);
}

#[test]
fn a_camera_that_is_knocked_and_turned_still_sees_who_stands_there() {
    let mut watch = Watch::of_a_yard();
    for i in 0..40 {
        watch.look(&Yard::with(&[(4 * i.min(25), 100)]));
    }
    for i in 0..80 {
        let found = watch.look(&Yard { look: (11, 7), turn: 1.5, ..Yard::with(&[(100, 100)]) }).to_vec();
        if i >= 25 {
            let best = found.iter().map(|found| found.bbox.iou(person_at(100, 100))).fold(0.0, f64::max);
            assert!(found.len() == 1 && best > 0.5, "frame {i}: {found:?}");
        }
    }
}

#[test]
fn while_the_camera_turns_nothing_is_followed_and_the_view_it_comes_to_is_learned() {
    let mut watch = Watch::of_a_yard();
    let (mut finds, mut named) = (0, 0);
    for i in 0..120 {
        let look = (8 * (i + 1).min(60), 0);
        let found = watch.look(&Yard { look, ..Yard::empty() }).to_vec();
        finds += usize::from(!found.is_empty());
        named += usize::from((20..60).contains(&i) && watch.view() == View::Changed);
    }
    // By chance a frame may look like the view before.
    assert!(finds <= 6 && named >= 25, "{finds} frames with something, {named} of 40 named");
    walks_alone(&mut watch, |at| Yard { look: (480, 0), ..Yard::with(&[at]) });
}

#[test]
fn a_camera_that_turns_back_to_a_view_it_had_finds_at_once_who_stands_there() {
    let mut watch = Watch::of_a_yard();
    let turn = |watch: &mut Watch, from: i32, to: i32| {
        for i in 0..=20 {
            watch.look(&Yard { look: (from + i * (to - from) / 20, 0), ..Yard::empty() });
        }
    };
    // Back and forth between views, to within two pixels, in another light. In each a person stands when it comes.
    let views = [(0, 0), (600, 0), (1200, 0)];
    for tour in 0..3 {
        for (preset, &(x, y)) in views.iter().enumerate() {
            let next = views[(preset + 1) % views.len()].0;
            let off = if tour == 0 { (0, 0) } else { (tour, 2 - tour) };
            let yard = Yard {
                look: (x + off.0, y + off.1),
                light: 1.0 - 0.08 * f64::from(tour),
                people: if tour == 0 { vec![] } else { vec![(90 + 40 * tour, 100)] },
                ..Yard::empty()
            };
            for i in 0..60 {
                let found = watch.look(&yard).to_vec();
                if tour > 0 && i >= 25 {
                    let there = found.iter().map(|found| found.bbox.iou(person_at(90 + 40 * tour, 100)));
                    let best = there.fold(0.0, f64::max);
                    assert!(
                        found.len() == 1 && best > 0.5,
                        "tour {tour}, preset {preset}, frame {i}: {found:?}"
                    );
                    assert_eq!(watch.view(), View::Steady);
                    assert!(!watch.detector.is_learning());
                }
            }
            turn(&mut watch, x, next);
        }
    }
}

#[test]
fn what_has_no_edges_is_no_view_to_be_found_again() {
    let mut watch = Watch::plain();
    watch.look(&Yard::empty());
    // A camera that has seen nothing yet; the yard gave the image its size.
    watch.detector.state = None;
    let width = watch.image.size().width as usize;
    for i in 0..20 {
        // A slope of light, and the same mirrored: more than half of the picture changes.
        for (at, luma) in watch.image.planes_mut()[0].iter_mut().enumerate() {
            let column = at % width;
            *luma = 60 + (if i % 2 == 0 { column } else { width - column } * 120 / width) as u8;
        }
        (0..40).for_each(|_| drop(watch.show().to_vec()));
    }
    assert_eq!(watch.detector.state.as_ref().map(|state| state.views.count()), Some(0));
}

#[test]
fn a_cover_with_a_pattern_that_is_out_of_focus_is_no_new_view() {
    let mut watch = Watch::of_a_yard();
    let width = watch.image.size().width as usize;
    for i in 0..50 {
        watch.image.bytes_mut().fill(128);
        let mut wind = Pcg32::seed_from_u64(i);
        for (at, y) in watch.image.planes_mut()[0].iter_mut().enumerate() {
            let wave = (std::f64::consts::TAU * (at % width) as f64 / 96.0).sin();
            *y = (120.0 + 60.0 * wave) as u8 + (wind.next_u32() % 4) as u8;
        }
        assert_eq!(watch.show(), [], "frame {i}");
        assert!(i < 15 || watch.view() == View::Blocked, "frame {i}: {:?}", watch.view());
    }
}

#[test]
fn a_covered_lens_is_named_and_what_was_known_is_there_when_it_is_free_again() {
    let mut watch = Watch::of_a_yard();
    for i in 0..20 {
        watch.look(&Yard::with(&[(40 + 4 * i, 100)]));
    }
    for luma in [20, 30] {
        for i in 0..50 {
            watch.image.bytes_mut().fill(128);
            let mut wind = Pcg32::seed_from_u64(i);
            let [plane, ..] = watch.image.planes_mut();
            for y in plane {
                *y = luma + (wind.next_u32() % 4) as u8;
            }
            assert_eq!(watch.show(), [], "frame {i}");
            assert!(i < 15 || watch.view() == View::Blocked, "frame {i}: {:?}", watch.view());
        }
        for i in 0..10 {
            let found = watch.look(&Yard::with(&[(116, 100)])).to_vec();
            assert_eq!(watch.view(), View::Steady, "frame {i}");
            assert_eq!(found.len(), 1, "frame {i}: {found:?}");
        }
    }
}

#[test]
fn a_camera_that_shakes_is_not_taken_for_one_that_was_turned() {
    let mut watch = Watch::plain();
    let mut wind = Pcg32::seed_from_u64(5);
    for i in 0..300 {
        let shake = |wind: &mut Pcg32| (wind.next_u32() % 5) as i32 - 2;
        let look = (shake(&mut wind), shake(&mut wind));
        watch.look(&Yard { look, ..Yard::empty() });
        assert_eq!(watch.view(), View::Steady, "frame {i}");
    }
}
