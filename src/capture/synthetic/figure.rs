//! Draws a person or a vehicle.
//!
//! A person is a skeleton in space, posed by the way it has walked, whose joints are projected and
//! joined by rounded limbs; a vehicle is two boxes and four wheels, of which the faces that the
//! camera can see are filled. So both have the perspective of the place where they are. Sizes are
//! parts of the person's height (after Winter, *Biomechanics and Motor Control of Human Movement*,
//! 2009, figure 4.1). Nothing allocates.

use nalgebra::Vector3;

use super::raster::{CORNERS_MAX, Color, Disc, Raster};
use super::stage;
use super::view::View;
use super::world::{Actor, mix};
use crate::model::Class;

/// How much darker the ground is in a shadow: a bright day with a thin cloud cover.
const SHADOW_STRENGTH: f32 = 0.26;

const COATS: [[f32; 3]; 12] = [
    [46.0, 58.0, 86.0],
    [132.0, 66.0, 62.0],
    [58.0, 60.0, 64.0],
    [92.0, 104.0, 74.0],
    [204.0, 200.0, 192.0],
    [166.0, 160.0, 150.0],
    [186.0, 150.0, 84.0],
    [84.0, 110.0, 122.0],
    [112.0, 78.0, 98.0],
    [128.0, 126.0, 124.0],
    [36.0, 38.0, 42.0],
    [150.0, 112.0, 86.0],
];
const TROUSERS: [[f32; 3]; 6] = [
    [44.0, 50.0, 66.0],
    [62.0, 58.0, 54.0],
    [36.0, 36.0, 40.0],
    [68.0, 76.0, 60.0],
    [74.0, 84.0, 104.0],
    [72.0, 66.0, 56.0],
];
const SKIN: [[f32; 3]; 4] =
    [[214.0, 176.0, 150.0], [190.0, 146.0, 116.0], [142.0, 102.0, 78.0], [96.0, 68.0, 54.0]];
const HAIR: [[f32; 3]; 5] =
    [[52.0, 42.0, 36.0], [34.0, 30.0, 30.0], [118.0, 88.0, 58.0], [150.0, 146.0, 140.0], [82.0, 52.0, 38.0]];
const PAINT: [[f32; 3]; 5] = [
    [150.0, 58.0, 56.0],
    [214.0, 214.0, 210.0],
    [52.0, 78.0, 118.0],
    [92.0, 112.0, 98.0],
    [166.0, 170.0, 174.0],
];

fn pick<const N: usize>(palette: &[[f32; 3]; N], look: u64, salt: u64) -> [f32; 3] {
    palette[(mix(look ^ salt) % N as u64) as usize]
}

/// What a figure is drawn with.
pub(super) struct Brush<'a, 'b> {
    pub(super) raster: &'a mut Raster<'b>,
    pub(super) view: &'a View,
    /// The plaza's light at the moment, about 1.
    pub(super) light: f32,
}

impl Brush<'_, '_> {
    /// The shadow that `actor` casts on the ground; nothing when it is too close to the camera.
    pub(super) fn shadow(&mut self, actor: &Actor) -> Option<()> {
        let foot = Self::place(actor, [0.0, 0.0, 0.0]);
        let px_per_m = self.view.project(foot)?.px_per_m;
        let tip = Vector3::new(stage::SHADOW[0], stage::SHADOW[1], 0.0);
        if actor.class == Class::Vehicle {
            // The body's outline, moved by half of what the roof would move it.
            let mut corners = [(0.0, 0.0); 4];
            for (corner, [ahead, left]) in
                corners.iter_mut().zip([[-2.0, -0.9], [2.0, -0.9], [2.0, 0.9], [-2.0, 0.9]])
            {
                let p = self.view.project(Self::place(actor, [ahead, left, 0.0]) + tip * 0.6)?;
                *corner = (p.u, p.v);
            }
            self.raster.face_shadow(&corners, SHADOW_STRENGTH * 1.3, 0.15 * px_per_m);
        } else {
            let disc = |p: Vector3<f64>, r_m: f32| {
                // A round spot on the ground is flat in the picture: the mean of both axes.
                self.view.project(p).map(|q| Disc { u: q.u, v: q.v, r: r_m * q.px_per_m * 0.75 })
            };
            let ends = [disc(foot, 0.13)?, disc(foot + tip * (actor.height_m * 0.92), 0.17)?];
            self.raster.limb_shadow(ends, SHADOW_STRENGTH, (0.06 * px_per_m).max(0.8));
        }
        Some(())
    }

    /// The figure itself; nothing when any part of it is too close to the camera.
    pub(super) fn actor(&mut self, actor: &Actor) -> Option<()> {
        if actor.class == Class::Vehicle { self.vehicle(actor) } else { self.person(actor) }
    }

    fn color(&self, rgb: [f32; 3]) -> Color {
        Color::rgb(rgb).lit(self.light)
    }

    fn person(&mut self, actor: &Actor) -> Option<()> {
        let pose = Pose::new(self.view, actor);
        let depth_m = self.view.project(Self::place(actor, [0.0, 0.0, 0.0]))?.depth_m;
        let to_sun = Vector3::new(-stage::SHADOW[0], -stage::SHADOW[1], 0.0);
        let sun = self.view.right.dot(&to_sun.normalize()) as f32;
        let coat = self.color(pick(&COATS, actor.look, 1));
        let trousers = self.color(pick(&TROUSERS, actor.look, 2));
        let skin = self.color(pick(&SKIN, actor.look, 3));
        let hair = self.color(pick(&HAIR, actor.look, 4));
        let shoe = self.color([40.0, 36.0, 34.0]);
        let mut limb = |[a, b]: [Disc; 2], color: Color| self.raster.limb([a, b], depth_m, color, sun);
        // The side turned away from the camera first.
        let [shoulder, elbow, hand] = pose.arm(Side::Far)?;
        limb([shoulder, elbow], coat.lit(0.88));
        limb([elbow, hand], coat.lit(0.88));
        for (side, shade) in [(Side::Far, 0.86), (Side::Near, 1.0)] {
            let [hip, knee, ankle, toe] = pose.leg(side)?;
            limb([hip, knee], trousers.lit(shade));
            limb([knee, ankle], trousers.lit(shade));
            limb([ankle, toe], shoe);
        }
        let joint = |ahead, left, up, r| pose.joint([ahead, left, up], r);
        limb([joint(0.0, 0.0, 0.745, 0.098)?, joint(0.0, 0.0, 0.545, 0.082)?], coat);
        limb([joint(0.0, -0.075, 0.785, 0.045)?, joint(0.0, 0.075, 0.785, 0.045)?], coat);
        limb([joint(0.0, 0.0, 0.84, 0.032)?, joint(0.01, 0.0, 0.88, 0.03)?], skin);
        limb([joint(0.012, 0.0, 0.91, 0.050)?, joint(0.015, 0.0, 0.935, 0.052)?], skin);
        limb([joint(-0.014, 0.0, 0.935, 0.050)?, joint(-0.004, 0.0, 0.950, 0.050)?], hair);
        let [shoulder, elbow, hand] = pose.arm(Side::Near)?;
        limb([shoulder, elbow], coat.lit(0.94));
        limb([elbow, hand], coat.lit(0.94));
        limb([hand, hand], skin);
        Some(())
    }

    fn vehicle(&mut self, actor: &Actor) -> Option<()> {
        let paint = pick(&PAINT, actor.look, 1);
        let glass = [70.0, 82.0, 90.0];
        for side in [-0.78, 0.78] {
            for axle in [-1.2, 1.2] {
                self.wheel(actor, axle, side)?;
            }
        }
        self.block(actor, [-1.95, -0.84, 0.30], [1.95, 0.84, 0.72], [paint, paint])?;
        self.block(actor, [-1.90, -0.82, 0.72], [1.80, 0.82, 0.90], [paint, paint])?;
        self.block(actor, [-1.35, -0.76, 0.90], [0.85, 0.76, 1.36], [glass, glass])?;
        self.block(actor, [-1.20, -0.74, 1.36], [0.60, 0.74, stage::VEHICLE_HEIGHT_M], [paint, paint])
    }

    /// A place on the figure: ahead, to its left, up; metres from its foot point.
    fn place(actor: &Actor, [ahead, left, up]: [f64; 3]) -> Vector3<f64> {
        let (sin, cos) = actor.heading_rad.sin_cos();
        let p = actor.position_m;
        Vector3::new(p.x + cos * ahead - sin * left, p.y + sin * ahead + cos * left, up)
    }

    /// The visible faces of a box in the vehicle's axes; colours of its sides and of its top.
    fn block(
        &mut self,
        actor: &Actor,
        low: [f64; 3],
        high: [f64; 3],
        [sides, top]: [[f32; 3]; 2],
    ) -> Option<()> {
        let depth_m = self.view.project(Self::place(actor, [0.0, 0.0, 0.0]))?.depth_m;
        let sun = Vector3::new(-stage::SHADOW[0], -stage::SHADOW[1], 1.0).normalize();
        for axis in 0..3 {
            for (end, sign) in [(low, -1.0), (high, 1.0)] {
                let (i, j) = ((axis + 1) % 3, (axis + 2) % 3);
                let mut normal = [0.0; 3];
                normal[axis] = sign;
                let normal = Self::place(actor, normal) - Self::place(actor, [0.0; 3]);
                let corner = |a: [f64; 3], b: [f64; 3]| {
                    let mut c = [0.0; 3];
                    (c[axis], c[i], c[j]) = (end[axis], a[i], b[j]);
                    Self::place(actor, c)
                };
                let corners = [corner(low, low), corner(high, low), corner(high, high), corner(low, high)];
                if normal.dot(&(self.view.position - corners[0])) <= 0.0 {
                    continue;
                }
                let mut face = [(0.0, 0.0); 4];
                for (to, from) in face.iter_mut().zip(corners) {
                    let p = self.view.project(from)?;
                    *to = (p.u, p.v);
                }
                let light = 0.62 + 0.42 * normal.dot(&sun).max(0.0) as f32;
                let rgb = if axis == 2 { top } else { sides };
                self.raster.face(&face, depth_m, self.color(rgb).lit(light));
            }
        }
        Some(())
    }

    fn wheel(&mut self, actor: &Actor, axle_m: f64, side_m: f64) -> Option<()> {
        const RADIUS_M: f64 = 0.31;
        let mut rim = [(0.0, 0.0); CORNERS_MAX];
        let mut depth_m = 0.0;
        for (i, corner) in rim.iter_mut().enumerate() {
            let (sin, cos) = (i as f64 * std::f64::consts::TAU / CORNERS_MAX as f64).sin_cos();
            let p = self
                .view
                .project(Self::place(actor, [axle_m + RADIUS_M * cos, side_m, RADIUS_M * (1.0 + sin)]))?;
            (*corner, depth_m) = ((p.u, p.v), p.depth_m);
        }
        self.raster.face(&rim, depth_m, self.color([38.0, 38.0, 40.0]));
        Some(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Near,
    Far,
}

/// How a person holds its limbs: all lengths in parts of its height.
struct Pose<'a> {
    view: &'a View,
    actor: &'a Actor,
    /// Left (1) or right (-1): the side nearer to the camera.
    near: f64,
    /// 0 walks, 1 runs.
    runs: f64,
    /// Where in the cycle of two steps, radians.
    phase: f64,
    /// How far the legs swing, radians.
    swing: f64,
    /// How far the body leans forward, per height.
    lean: f64,
}

impl<'a> Pose<'a> {
    fn new(view: &'a View, actor: &'a Actor) -> Self {
        let (sin, cos) = actor.heading_rad.sin_cos();
        let speed = actor.velocity_mps.norm();
        let runs = ((speed - 2.0) / 1.5).clamp(0.0, 1.0);
        let p = actor.position_m;
        let left_to_camera = cos * (view.position.y - p.y) - sin * (view.position.x - p.x);
        Self {
            view,
            actor,
            near: left_to_camera.signum(),
            runs,
            // Two steps of a walk are 1.4 m, of a run 2.6 m; who stands keeps the legs together.
            phase: actor.walked_m * std::f64::consts::TAU / (1.4 + 1.2 * runs),
            swing: (speed / 1.2).min(1.0) * (0.42 + 0.25 * runs),
            lean: 0.02 + 0.10 * runs,
        }
    }

    fn sign(&self, side: Side) -> f64 {
        if side == Side::Near { self.near } else { -self.near }
    }

    /// A joint ahead of, to the left of and above the foot point, and how thick the limb is there.
    fn joint(&self, [ahead, left, up]: [f64; 3], r: f64) -> Option<Disc> {
        let h = self.actor.height_m;
        let p =
            self.view.project(Brush::place(self.actor, [(ahead + self.lean * up) * h, left * h, up * h]))?;
        Some(Disc { u: p.u, v: p.v, r: (r * h) as f32 * p.px_per_m })
    }

    /// Shoulder, elbow, hand: swings against the leg of its side.
    fn arm(&self, side: Side) -> Option<[Disc; 3]> {
        let side = self.sign(side);
        let back = -self.phase.sin() * side * self.swing;
        Some([
            self.joint([0.0, side * 0.118, 0.79], 0.030)?,
            self.joint([back * 0.17, side * 0.135, 0.63], 0.026)?,
            self.joint([back * 0.34 + 0.05 + 0.1 * self.runs, side * 0.12, 0.49 + 0.16 * self.runs], 0.021)?,
        ])
    }

    /// Hip, knee, ankle, toe: the leg that swings forward bends its knee and lifts its foot.
    fn leg(&self, side: Side) -> Option<[Disc; 4]> {
        let side = self.sign(side);
        let turn = self.phase.sin() * side * self.swing;
        let lift = (self.phase.cos() * side).max(0.0) * self.swing;
        Some([
            self.joint([0.0, side * 0.052, 0.50], 0.052)?,
            self.joint([turn * 0.24 + lift * 0.12, side * 0.052, 0.275 + lift * 0.03], 0.037)?,
            self.joint([turn * 0.50 - lift * 0.10, side * 0.052, 0.035 + lift * 0.14], 0.026)?,
            self.joint([turn * 0.50 - lift * 0.06 + 0.07, side * 0.058, 0.014 + lift * 0.08], 0.018)?,
        ])
    }
}
