//! Networks whose numbers were worked out by hand, and networks that fail.

use std::process::Command;
use std::time::Duration;

use super::output::read;
use super::verifier::judge;
use super::*;
use crate::base::Time;
use crate::model::{BBox, Chroma, Image, Look};

/// An engine that gives what a test says.
struct Fake<F> {
    takes: Vec<Option<usize>>,
    give: F,
}

impl<F: FnMut(&Tensor) -> Result<Vec<Tensor>, Error> + Send> Engine for Fake<F> {
    fn input_shape(&self) -> &[Option<usize>] {
        &self.takes
    }

    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), Error> {
        *outputs = (self.give)(input)?;
        Ok(())
    }
}

fn description(output: Output) -> Description {
    Description {
        output,
        size: Size { width: 32, height: 32 },
        color: Color::Rgb,
        layout: Layout::Nchw,
        mean: [0.0; 3],
        scale: [1.0; 3],
        classes: [(0, Class::Person), (1, Class::Vehicle)].into(),
        clutter_score: 0.35,
        crops: vec![4.0],
    }
}

fn network(give: impl FnMut(&Tensor) -> Result<Vec<Tensor>, Error> + Send + 'static) -> Network {
    let takes = vec![Some(1), Some(3), Some(32), Some(32)];
    Network::new(Box::new(Fake { takes, give }), description(Output::Yolox)).unwrap()
}

/// 4 x 4, 2 x 2 and 1 x 1 cells of a box and two classes.
fn yolox(rows: &[(usize, [f32; 7])]) -> Tensor {
    let mut data = vec![0.0; 21 * 7];
    for (row, values) in rows {
        data[row * 7..][..7].copy_from_slice(values);
    }
    Tensor { shape: vec![1, 21, 7], data }
}

fn assert_is(found: &Detection, class: Class, score: f64, bbox: [f64; 4]) {
    assert_eq!(found.class, class);
    assert!((found.score - score).abs() < 1e-5, "{found:?}");
    let b = found.bbox;
    for (side, wants) in [b.left, b.top, b.width, b.height].into_iter().zip(bbox) {
        assert!((side - wants).abs() < 1e-3, "{found:?}");
    }
}

#[test]
fn boxes_of_yolox_lie_on_grids_of_three_strides() {
    let output = yolox(&[
        // The second cell of the grid of stride 16: the center is at (1.25, 0.5) · 16, the sides are 2 and 1 · 16.
        (17, [0.25, 0.5, 2.0_f32.ln(), 0.0, 0.9, 0.8, 0.1]),
        // The only cell of stride 32.
        (20, [0.5, 0.5, 0.0, 0.0, 0.5, 0.2, 0.9]),
        // Too little to say anything.
        (3, [0.0, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1]),
    ]);
    let mut found = Vec::new();
    read(&[output], &description(Output::Yolox), &mut found).unwrap();
    let [first, second] = &found[..] else { panic!("{found:?}") };
    assert_is(first, Class::Person, 0.72, [4.0, 0.0, 32.0, 16.0]);
    assert_is(second, Class::Vehicle, 0.45, [0.0, 0.0, 32.0, 32.0]);
}

#[test]
fn boxes_of_fastestdet_lie_on_one_grid() {
    // Seven channels of 2 x 2 cells; the last cell. tanh(0.5493061) is 0.5, the sigmoid of 1.0986123 is 0.75, and
    // 0.81^0.6 · 0.64^0.4 is 0.737163.
    let mut output = Tensor { shape: vec![1, 7, 2, 2], data: vec![0.0; 28] };
    for (channel, value) in [0.81, 0.549_306_1, 0.0, 0.0, 1.098_612_3, 0.64, 0.2].into_iter().enumerate() {
        output.data[channel * 4 + 3] = value;
    }
    let mut found = Vec::new();
    read(&[output], &description(Output::FastestDet), &mut found).unwrap();
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_is(found, Class::Person, 0.737_163, [16.0, 4.0, 16.0, 24.0]);
}

#[test]
fn outputs_of_another_shape_and_classes_that_are_not_there_are_named() {
    let fault = |outputs: &[Tensor], description: &Description| {
        read(outputs, description, &mut Vec::new()).unwrap_err().fault
    };
    for kind in [Output::Yolox, Output::FastestDet] {
        let described = description(kind);
        assert_eq!(fault(&[], &described), Fault::OtherShape);
        assert_eq!(fault(&[Tensor::default()], &described), Fault::OtherShape);
        let other = Tensor { shape: vec![1, 7, 0, 0], data: Vec::new() };
        assert_eq!(fault(&[other], &described), Fault::OtherShape);
        let more = Description { classes: [(2, Class::Person)].into(), ..described };
        let good = match kind {
            Output::Yolox => yolox(&[]),
            Output::FastestDet => Tensor { shape: vec![1, 7, 2, 2], data: vec![0.0; 28] },
        };
        assert_eq!(fault(&[good], &more), Fault::OtherShape);
    }
}

#[test]
fn a_network_takes_what_is_described_or_dynamic_axes_and_nothing_else() {
    let new = |takes: &[Option<usize>]| {
        let engine = Fake { takes: takes.to_vec(), give: |_: &Tensor| Ok(Vec::new()) };
        Network::new(Box::new(engine), description(Output::Yolox)).map(drop)
    };
    assert_eq!(new(&[Some(1), Some(3), Some(32), Some(32)]), Ok(()));
    assert_eq!(new(&[None, Some(3), None, None]), Ok(()));
    for takes in [&[Some(1), Some(32), Some(32), Some(3)][..], &[Some(1), Some(3), Some(64), Some(32)], &[]] {
        let error = new(takes).unwrap_err();
        assert_eq!(error.fault, Fault::OtherShape);
        assert!(error.reason.contains("[1, 3, 32, 32]"), "{error}");
    }
}

#[test]
fn values_that_are_no_numbers_are_no_detections() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut network = network(move |_| Ok(vec![yolox(&[(0, [bad, 0.0, 0.0, 0.0, 0.9, 0.9, 0.0])])]));
        let input = Tensor { shape: vec![1, 3, 32, 32], data: vec![0.0; 3 * 32 * 32] };
        let mut found = Vec::new();
        assert_eq!(network.detect(&input, &mut found).unwrap_err().fault, Fault::NotFinite);
        assert!(found.is_empty());
    }
}

/// A picture of one color.
fn plain(width: u32, height: u32, chroma: Chroma, color: [u8; 3]) -> Image {
    let mut image = Image::default();
    image.reset(Size { width, height }, chroma);
    for (plane, value) in image.planes_mut().into_iter().zip(color) {
        plane.fill(value);
    }
    image
}

#[test]
fn a_part_of_a_picture_is_normalized_in_the_order_of_the_colors_and_of_the_dimensions() {
    // Red, as BT.601 has it.
    let image = plain(100, 80, Chroma::C420, [81, 90, 240]);
    let mut described = description(Output::Yolox);
    described.size = Size { width: 4, height: 4 };
    (described.mean, described.scale) = ([100.0, 0.0, 0.0], [0.01, 1.0, 1.0]);
    let mut tensor = Tensor::default();
    // The left half lies outside.
    let region = BBox::new(-20.0, 20.0, 40.0, 40.0);
    let near = |value: f32, wants: f32| assert!((value - wants).abs() < 1.5, "{value} is not {wants}");
    crop::cut(&image, region, &described, &mut tensor);
    assert_eq!((&tensor.shape[..], tensor.data.len()), (&[1, 3, 4, 4][..], 48));
    near(tensor.data[3] * 100.0, 154.0);
    near(tensor.data[0] * 100.0, 14.0);
    for channel in [16, 32] {
        near(tensor.data[channel + 3], 0.0);
        near(tensor.data[channel], 114.0);
    }
    (described.color, described.layout) = (Color::Bgr, Layout::Nhwc);
    crop::cut(&image, region, &described, &mut tensor);
    assert_eq!(tensor.shape, [1, 4, 4, 3]);
    near(tensor.data[3 * 3] * 100.0, -100.0);
    near(tensor.data[3 * 3 + 1], 0.0);
    near(tensor.data[3 * 3 + 2], 254.0);
}

#[test]
fn pictures_of_one_pixel_or_without_color_are_cut_too() {
    let mut tensor = Tensor::default();
    let described = description(Output::Yolox);
    for chroma in [Chroma::Mono, Chroma::C420, Chroma::C444] {
        let image = plain(1, 1, chroma, [126, 128, 128]);
        for region in
            [BBox::new(0.0, 0.0, 1.0, 1.0), BBox::new(-1e6, -1e6, 2e6, 2e6), BBox::new(0.4, 0.4, 1e-6, 1e-6)]
        {
            crop::cut(&image, region, &described, &mut tensor);
            assert!(tensor.data.iter().all(|value| value.is_finite()));
        }
        crop::cut(&image, BBox::new(0.0, 0.0, 1.0, 1.0), &described, &mut tensor);
        assert!(tensor.data.iter().all(|value| (value - 128.0).abs() < 1.0), "{chroma:?}");
    }
}

#[test]
fn evidence_is_the_odds_of_the_score_over_those_at_which_it_is_nothing() {
    let wanted = BBox::new(10.0, 10.0, 10.0, 20.0);
    let found = |bbox: BBox, score: f64| Detection { bbox, class: Class::Person, score };
    let odds = |found: &[Detection]| judge(found, wanted, 0.35);
    assert_eq!(odds(&[]), Look { class: Class::Unknown, score: 0.0, odds: -2.0 });
    // ln(0.85 / 0.15) - ln(0.35 / 0.65) is 2.3536.
    let look = odds(&[found(wanted, 0.85), found(wanted, 0.3)]);
    assert_eq!(look.class, Class::Person);
    assert!((look.odds - 2.3536).abs() < 1e-3, "{look:?}");
    assert!(odds(&[found(wanted, 0.35)]).odds.abs() < 1e-9);
    // Elsewhere, or something much smaller in it.
    assert!(odds(&[found(BBox::new(25.0, 10.0, 10.0, 20.0), 0.9)]).odds < -1.9);
    assert!(odds(&[found(BBox::new(12.0, 20.0, 4.0, 6.0), 0.9)]).odds < -1.9);
    // A body beside its shadow, in one box.
    let wide = BBox::new(10.0, 10.0, 60.0, 20.0);
    assert!(judge(&[found(wanted, 0.85)], wide, 0.35).odds > 2.0);
}

/// Lets a verifier see frames at 10 a second: what it answers, and how often it looked.
fn play(verifier: &mut Verifier, frames: u64) -> Vec<Look> {
    let image = plain(100, 80, Chroma::C420, [100, 128, 128]);
    let mut looks = Vec::new();
    for frame in 0..frames {
        verifier.frame(Time { mono_ns: frame * 100_000_000, epoch_ms: 0 });
        loop {
            while let Some((key, look)) = verifier.answer() {
                assert_eq!(key, 7);
                looks.push(look);
            }
            if !verifier.is_free() {
                break;
            }
            verifier.look(&image, 7, BBox::new(40.0, 30.0, 8.0, 20.0), 0);
        }
    }
    looks
}

/// A person in the middle of the crop: cell (2, 2) of stride 8, 8 pixels tall and 3.2 wide.
fn person() -> Vec<Tensor> {
    vec![yolox(&[(10, [0.0, 0.0, 0.4_f32.ln(), 0.0, 1.0, 0.9, 0.0])])]
}

#[test]
fn a_look_finds_what_is_in_the_middle_of_its_crop() {
    let mut verifier = Verifier::with(|| Ok(network(|_| Ok(person()))), 1000.0, true);
    let looks = play(&mut verifier, 1);
    assert!(
        !looks.is_empty() && looks.iter().all(|look| look.class == Class::Person && look.odds > 2.5),
        "{looks:?}"
    );
    assert!(verifier.is_in_force() && verifier.error().is_none());
}

#[test]
fn looks_stay_within_the_budget() {
    let slow = |_: &Tensor| {
        let stopwatch = super::cpu::Stopwatch::start();
        while stopwatch.used() < Duration::from_millis(20) {}
        Ok(person())
    };
    let mut verifier = Verifier::with(move || Ok(network(slow)), 100.0, true);
    // The budget of a second is there at the start, three more come; the last look may exceed it.
    let looks = play(&mut verifier, 31);
    assert!((8..=21).contains(&looks.len()), "{}", looks.len());
}

#[test]
fn a_look_that_hangs_is_abandoned_and_named_and_nothing_is_looked_at_then() {
    let hangs = |_: &Tensor| {
        std::thread::sleep(Duration::from_secs(5));
        Ok(person())
    };
    let mut verifier = Verifier::with(move || Ok(network(hangs)), 100.0, true);
    let began = std::time::Instant::now();
    assert!(play(&mut verifier, 100).is_empty());
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(!verifier.is_in_force());
    assert_eq!((verifier.error().unwrap().fault, verifier.looks()), (Fault::TooSlow, 1));
}

#[test]
fn a_network_that_fails_is_named_and_nothing_is_looked_at_then() {
    let bad = Error::new(Fault::BadModel, "x.onnx: is no usable model");
    let error = bad.clone();
    let mut verifier = Verifier::with(move || Err(error), 100.0, true);
    assert!(play(&mut verifier, 10).is_empty());
    assert_eq!((verifier.error(), verifier.is_in_force(), verifier.looks()), (Some(&bad), false, 0));
    let nan = |_: &Tensor| Ok(vec![yolox(&[(0, [f32::NAN; 7])])]);
    let mut verifier = Verifier::with(move || Ok(network(nan)), 100.0, true);
    assert!(play(&mut verifier, 10).is_empty());
    assert_eq!((verifier.error().unwrap().fault, verifier.looks()), (Fault::NotFinite, 1));
}

#[test]
fn a_child_process_that_crashes_or_hangs_is_a_named_error() {
    let ran = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        probe::wait(shell, Duration::from_millis(1500))
    };
    assert_eq!(ran("echo noise; echo '{\"Ok\":0.25}'"), Ok(Duration::from_millis(250)));
    let told = ran("echo '{\"Err\":{\"fault\":\"bad_library\",\"reason\":\"too old\"}}'");
    assert_eq!(told, Err(Error::new(Fault::BadLibrary, "too old")));
    let crashed = ran("kill -ILL $$").unwrap_err();
    assert_eq!(crashed.fault, Fault::Crashed);
    assert!(crashed.reason.contains("signal 4"), "{crashed}");
    assert_eq!(ran("exit 3").unwrap_err().fault, Fault::Crashed);
    assert_eq!(ran("exec sleep 30").unwrap_err().fault, Fault::TooSlow);
}
