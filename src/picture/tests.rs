//! Pictures drawn from made-up scenes: what must be seen in them, and where.
//!
//! The tests look for colours at the places that the scene implies, in memory; one writes a file, to a
//! directory of its own, and reads it back. Pixels; metres on the map.

use nalgebra::{Matrix3, SMatrix};

use super::*;
use crate::model::{
    BBox, Behavior, CameraId, Chroma, Class, Forecast, ForecastPoint, Motion, Polygon, Size, Track, ZoneKind,
};

const SIZE: Size = Size { width: 320, height: 240 };

fn at(seconds: u64) -> Time {
    Time { mono_ns: seconds * 1_000_000_000, epoch_ms: seconds * 1000 }
}

fn gray(chroma: Chroma) -> Image {
    let mut image = Image::default();
    image.reset(SIZE, chroma);
    image.bytes_mut().fill(128);
    image
}

/// One track that stands at `place` on the ground and in the middle of the picture.
fn scene(time: Time, ground: Option<Point>) -> Scene {
    let motion = |position| Motion { position, velocity: Point::default(), cov: SMatrix::identity() };
    let bbox = BBox::new(100.0, 60.0, 40.0, 120.0);
    let track = Track {
        id: 7,
        class: Class::Person,
        bbox,
        confidence: 1.0,
        foot: motion(bbox.foot()),
        first_seen: at(0),
        last_seen: at(0),
        hits: 5,
    };
    let point = ForecastPoint { ahead_s: 1.0, position_m: Point::new(1.0, 1.0), cov_m2: [0.5, 0.1, 0.2] };
    let track = SceneTrack {
        track,
        ground: ground.map(motion),
        behavior: Behavior::default(),
        forecast: Forecast { points: vec![point] },
    };
    let camera = CameraId::parse("gate").unwrap();
    Scene { camera, seq: 0, time, size: SIZE, tracks: vec![track], sightings: Vec::new(), detections: 1 }
}

/// A camera that looks straight down on 16 by 12 metres, the origin in the middle.
fn plane() -> GroundPlane {
    let m = 0.05;
    let h = Matrix3::new(m, 0.0, -8.0, 0.0, -m, 6.0, 0.0, 0.0, 1.0);
    GroundPlane::from_homography(h, SIZE, false).unwrap()
}

fn pixel(image: &RgbImage, x: u32, y: u32) -> [u8; 3] {
    let i = (y as usize * image.width() as usize + x as usize) * 3;
    [image.bytes()[i], image.bytes()[i + 1], image.bytes()[i + 2]]
}

fn near(a: [u8; 3], b: Rgb888) -> bool {
    use embedded_graphics::pixelcolor::RgbColor;
    a.iter().zip([b.r(), b.g(), b.b()]).all(|(a, b)| a.abs_diff(b) < 40)
}

const MAP: GroundMap<'_> =
    GroundMap { extent_m: [Point::new(-8.0, -6.0), Point::new(8.0, 6.0)], zones: &[], caption: "a test" };

#[test]
fn video_white_black_red_and_blue_become_those_of_rec_601() {
    assert_eq!(camera::to_rgb(235.0, [128.0, 128.0]), [255, 255, 255]);
    assert_eq!(camera::to_rgb(16.0, [128.0, 128.0]), [0, 0, 0]);
    let [r, g, b] = camera::to_rgb(81.0, [90.0, 240.0]);
    assert!(r > 252 && g < 3 && b < 3, "{r} {g} {b}");
    let [r, g, b] = camera::to_rgb(41.0, [240.0, 110.0]);
    assert!(r < 3 && g < 3 && b > 252, "{r} {g} {b}");
}

#[test]
fn a_box_is_drawn_around_its_object_and_a_dot_where_it_stands_on_the_ground() {
    let (image, plane, trails) = (gray(Chroma::C420), plane(), Trails::default());
    let scene = scene(at(1), Some(Point::new(-3.0, 2.0)));
    let panel = CameraPanel { image: &image, scene: &scene, plane: &plane, trails: &trails };
    let out = render(&[panel], &MAP);
    // Tiles are 640 wide, twice the frame; the first begins at (14, 74), the second at (668, 74).
    assert!(near(pixel(&out, 14 + 200, 74 + 240), color_of(0)), "left edge");
    assert!(near(pixel(&out, 14 + 280, 74 + 240), color_of(0)), "right edge");
    assert_eq!(pixel(&out, 14 + 240, 74 + 260), [130, 130, 130], "the object itself");
    assert!(near(pixel(&out, 668 + 200, 74 + 160), color_of(0)), "dot at 40 pixels a metre");
    assert!(!near(pixel(&out, 668 + 230, 74 + 160), color_of(0)), "no dot elsewhere");
}

#[test]
fn any_number_of_cameras_any_chroma_and_tracks_without_ground_are_drawn() {
    let plane = GroundPlane::nominal(10.0, SIZE);
    let trails = Trails::default();
    let border_m =
        Polygon::new(vec![Point::new(0.0, 0.0), Point::new(2.0, 0.0), Point::new(0.0, 2.0)]).unwrap();
    let zones = [Zone {
        name: "dock".into(),
        kind: ZoneKind::Forbidden,
        classes: Zone::CLASSES.to_vec(),
        dwell_s: None,
        border_m,
    }];
    let map = GroundMap { zones: &zones, ..MAP };
    for (n, chroma) in
        [Chroma::Mono, Chroma::C420, Chroma::C411, Chroma::C422, Chroma::C444].into_iter().enumerate()
    {
        let image = gray(chroma);
        let scene = scene(at(1), None);
        let panel = CameraPanel { image: &image, scene: &scene, plane: &plane, trails: &trails };
        let out = render(&vec![panel; 3 * n], &map);
        assert_eq!(out.bytes().len(), out.width() as usize * out.height() as usize * 3);
        if n > 0 {
            assert_eq!(pixel(&out, 20, 80), [130, 130, 130], "{chroma:?}");
        }
    }
}

#[test]
fn the_ground_is_drawn_where_the_calibration_has_it_also_over_a_picture_of_another_size() {
    // Straight from above: 32 x 24 m of ground on 320 x 240 pixels, the origin in the lower left corner.
    // Every 5 m fall into the middle of a pixel.
    let h = Matrix3::new(0.1, 0.0, -0.05, 0.0, -0.1, 24.05, 0.0, 0.0, 1.0);
    let plane = GroundPlane::from_homography(h, SIZE, false).unwrap();
    let out = ground_grid(&gray(Chroma::C420), &plane.resized(Size { width: 640, height: 480 }));
    assert_eq!((out.width(), out.height()), (320, 240));
    let bright = |x, y| pixel(&out, x, y)[0] > 150;
    assert!((1..5).all(|n| bright(50 * n, 27)), "the lines along y, every 5 m");
    assert!(bright(27, 240 - 50) && bright(27, 240 - 100), "the lines along x");
    assert!(!bright(75, 27) && !bright(27, 240 - 75));
    assert!(near(pixel(&out, 160, 0), color_of(0)), "the edge of the footprint");
}

#[test]
fn a_trail_forgets_what_is_older_than_its_time_and_then_the_track() {
    let mut trails = Trails::default();
    for second in 0..20 {
        trails.observe(&scene(at(second), Some(Point::new(second as f64, 0.0))));
    }
    let kept: Vec<f64> = trails.of(7).iter().map(|p| p.x).collect();
    assert_eq!(kept, [14.0, 15.0, 16.0, 17.0, 18.0, 19.0]);
    trails.observe(&Scene { tracks: Vec::new(), ..scene(at(60), None) });
    assert!(trails.points.is_empty());
}

#[test]
fn a_written_picture_reads_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    let out = render(&[], &MAP);
    out.write_png(&path).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (out.width(), out.height()));
    assert_eq!(pixels, out.bytes());
    assert!(out.write_png(&folder.path().join("no/such/folder.png")).is_err());
}
