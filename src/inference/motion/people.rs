//! From blobs to objects.
//!
//! What a mask holds is not one blob per person: a lamp post cuts a person in two, shirts take the
//! wall's colour, friends walk side by side. So blobs that are near one another by the measure of a
//! person at that place are first put together, and a group too large for one person is then
//! explained by as many person-sized rectangles as it needs, the best first: a rectangle gains by the
//! pixels it explains that no other does, most in its core, and loses by background in it and by
//! unexplained pixels right above its head (after Haritaoglu et al., "W4", PAMI 2000, and the
//! rectangle covers of Beleznai et al., 2004). Where a person's size is not known, a blob is an object.

use super::blobs::{Blob, Blobs, NO_BLOB, Rect, Sets};
use super::picture::Grid;
use super::scale::{Person, Scale};

/// Most objects of one frame; further ones are left out, the smallest first being the likeliest.
pub(super) const OBJECTS_MAX: usize = 128;
/// Most people one group is explained by.
const GROUP_PEOPLE_MAX: usize = 16;

/// One object on the work grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) rect: Rect,
    /// Set pixels it explains.
    pub(super) area: usize,
    /// What a person here would cover, where that is known.
    pub(super) person: Option<Person>,
    /// Part of a group that had to be cut.
    pub(super) split: bool,
}

/// Blobs that belong together.
#[derive(Debug, Clone, Copy)]
struct Group {
    rect: Rect,
    area: usize,
}

#[derive(Debug)]
pub(super) struct People {
    grid: Grid,
    pub(super) objects: Vec<Object>,
    groups: Vec<Group>,
    /// Group of each blob.
    group_of: Vec<u16>,
    sets: Sets,
    /// The group being explained: 1 where a pixel is set and not yet explained, 2 where explained.
    field: Vec<u8>,
    /// Sums over `field` from the top left corner: set and unexplained pixels.
    set: Vec<u32>,
    rest: Vec<u32>,
}

impl People {
    pub(super) fn new(grid: Grid) -> Self {
        let sums = (grid.width + 1) * (grid.height + 1);
        Self {
            grid,
            objects: Vec::with_capacity(OBJECTS_MAX),
            groups: Vec::with_capacity(super::blobs::BLOBS_MAX),
            group_of: Vec::with_capacity(super::blobs::BLOBS_MAX),
            sets: Sets::with_capacity(super::blobs::BLOBS_MAX),
            field: vec![0; grid.width * grid.height],
            set: vec![0; sums],
            rest: vec![0; sums],
        }
    }

    /// Replaces `objects` by those that the blobs show.
    pub(super) fn find(&mut self, blobs: &Blobs, scale: &Scale) {
        self.objects.clear();
        self.group(blobs, scale);
        for g in 0..self.groups.len() {
            let group = self.groups[g];
            if group.area == 0 || self.objects.len() == OBJECTS_MAX {
                continue;
            }
            let middle = (group.rect.left + group.rect.right) as f32 / 2.0;
            let person = scale.person(middle, group.rect.bottom as f32);
            match person {
                Some(person) if !fits_one(group.rect, person) => self.explain(blobs, g, scale),
                _ => self.push(group.rect, group.area, person, false),
            }
        }
    }

    fn push(&mut self, rect: Rect, area: usize, person: Option<Person>, split: bool) {
        if self.objects.len() < OBJECTS_MAX && large_enough(rect, area, person, self.grid) {
            self.objects.push(Object { rect, area, person, split });
        }
    }

    /// Puts blobs together that may be parts of one person, or of one group.
    fn group(&mut self, blobs: &Blobs, scale: &Scale) {
        self.sets.clear();
        blobs.all.iter().for_each(|_| self.sets.push());
        for (i, a) in blobs.all.iter().enumerate() {
            for (j, b) in blobs.all.iter().enumerate().skip(i + 1) {
                if belong_together(a, b, scale) {
                    self.sets.join(i, j);
                }
            }
        }
        self.groups.clear();
        self.group_of.clear();
        for (i, blob) in blobs.all.iter().enumerate() {
            let root = self.sets.root(i);
            if root == i {
                self.group_of.push(self.groups.len() as u16);
                self.groups.push(Group { rect: blob.rect, area: blob.area });
            } else {
                let g = self.group_of[root];
                self.group_of.push(g);
                let group = &mut self.groups[usize::from(g)];
                group.rect = group.rect.union(blob.rect);
                group.area += blob.area;
            }
        }
    }

    /// Explains a group by person-sized rectangles.
    fn explain(&mut self, blobs: &Blobs, g: usize, scale: &Scale) {
        let frame = self.groups[g].rect;
        let (width, height) = (frame.width(), frame.height());
        self.field[..width * height].fill(0);
        for run in &blobs.runs {
            if run.blob != NO_BLOB && usize::from(self.group_of[usize::from(run.blob)]) == g {
                let start = (usize::from(run.row) - frame.top) * width;
                let (from, to) = (usize::from(run.from) - frame.left, usize::from(run.to) - frame.left);
                self.field[start + from..start + to].fill(1);
            }
        }
        for _ in 0..GROUP_PEOPLE_MAX {
            self.sum(width, height);
            let Some((rect, person)) = self.best(frame, scale) else { break };
            let (tight, area) = self.take(frame, rect);
            self.push(tight, area, Some(person), true);
        }
    }

    /// Fills the two tables of sums (Crow 1984).
    fn sum(&mut self, width: usize, height: usize) {
        let stride = width + 1;
        self.set[..stride].fill(0);
        self.rest[..stride].fill(0);
        for row in 0..height {
            let (mut set, mut rest) = (0, 0);
            let at = (row + 1) * stride;
            (self.set[at], self.rest[at]) = (0, 0);
            for column in 0..width {
                let v = self.field[row * width + column];
                set += u32::from(v != 0);
                rest += u32::from(v == 1);
                self.set[at + column + 1] = self.set[at + column + 1 - stride] + set;
                self.rest[at + column + 1] = self.rest[at + column + 1 - stride] + rest;
            }
        }
    }

    /// The rectangle that explains most, relative to the group's corner.
    fn best(&self, frame: Rect, scale: &Scale) -> Option<(Rect, Person)> {
        let (width, height) = (frame.width(), frame.height());
        let set = |r: Box4| box_sum(&self.set, width, height, r);
        let rest = |r: Box4| box_sum(&self.rest, width, height, r);
        let mut best: Option<(f32, Rect, Person)> = None;
        let middle = (frame.left + frame.right) as f32 / 2.0;
        let mut foot = height;
        while let Some(person) = scale.person(middle, (frame.top + foot) as f32) {
            let (w, h) = (person.width.round().max(2.0) as isize, person.height.round() as isize);
            let (area, core_area) = ((w * h) as f32, ((w - 2 * (w / 4)) * h) as f32);
            let (top, bottom) = (foot as isize - h, foot as isize);
            let first = -(w / 4);
            for left in (first..=width as isize - w - first).step_by((w as usize / 8).max(1)) {
                let all = Box4 { left, top, right: left + w, bottom };
                let core = Box4 { left: left + w / 4, right: left + w - w / 4, ..all };
                let head = Box4 { top: top - (h / 7).max(1), bottom: top, ..core };
                let (new, new_core) = (rest(all), rest(core));
                if new < 0.25 * area || new_core < 0.3 * core_area {
                    continue;
                }
                let (bare, bare_core) = (area - set(all), core_area - set(core));
                let gain = new + new_core - bare_core - 0.25 * (bare - bare_core) - 1.5 * rest(head);
                let gain = gain / area;
                if best.is_none_or(|(most, ..)| gain > most) {
                    let clip = |v: isize, max: usize| v.clamp(0, max as isize) as usize;
                    let rect = Rect {
                        left: clip(all.left, width),
                        top: clip(all.top, height),
                        right: clip(all.right, width),
                        bottom: foot,
                    };
                    best = Some((gain, rect, person));
                }
            }
            let step = (person.height / 16.0).max(1.0) as usize;
            if (foot as f32) < 0.4 * person.height || foot <= step {
                break;
            }
            foot -= step;
        }
        best.filter(|&(gain, ..)| gain > 0.2).map(|(_, rect, person)| (rect, person))
    }

    /// Marks what a rectangle covers as explained; the tight rectangle of its set pixels, on the grid,
    /// and how many of them it is the first to explain.
    fn take(&mut self, frame: Rect, rect: Rect) -> (Rect, usize) {
        let mut tight = Rect { left: rect.right, top: rect.bottom, right: rect.left, bottom: rect.top };
        let mut area = 0;
        for row in rect.top..rect.bottom {
            for column in rect.left..rect.right {
                let v = &mut self.field[row * frame.width() + column];
                if *v == 0 {
                    continue;
                }
                area += usize::from(*v == 1);
                *v = 2;
                let here = Rect { left: column, top: row, right: column + 1, bottom: row + 1 };
                tight = tight.union(here);
            }
        }
        let tight = Rect {
            left: frame.left + tight.left,
            top: frame.top + tight.top,
            right: frame.left + tight.right,
            bottom: frame.top + tight.bottom,
        };
        (tight, area)
    }
}

/// A rectangle that may reach beyond the table.
#[derive(Debug, Clone, Copy)]
struct Box4 {
    left: isize,
    top: isize,
    right: isize,
    bottom: isize,
}

fn box_sum(table: &[u32], width: usize, height: usize, r: Box4) -> f32 {
    let x = |v: isize| v.clamp(0, width as isize) as usize;
    let y = |v: isize| v.clamp(0, height as isize) as usize * (width + 1);
    let (l, t, r, b) = (x(r.left), y(r.top), x(r.right), y(r.bottom));
    (table[b + r] + table[t + l]) as f32 - (table[b + l] + table[t + r]) as f32
}

/// Whether a group is no larger than one person may be: arms and a bag are still one.
fn fits_one(rect: Rect, person: Person) -> bool {
    rect.width() as f32 <= 1.5 * person.width && rect.height() as f32 <= 1.3 * person.height
}

fn large_enough(rect: Rect, area: usize, person: Option<Person>, grid: Grid) -> bool {
    match person {
        Some(p) => area as f32 >= 0.12 * p.width * p.height && rect.height() as f32 >= 0.35 * p.height,
        // Less than a thousandth of the picture is nothing one could follow.
        None => area * 1000 >= grid.width * grid.height,
    }
}

fn gap(a: (usize, usize), b: (usize, usize)) -> f32 {
    a.0.max(b.0) as f32 - a.1.min(b.1) as f32
}

/// Parts of one person: above one another within a person's height, or next to one another across
/// the width of a post.
fn belong_together(a: &Blob, b: &Blob, scale: &Scale) -> bool {
    let (ra, rb) = (a.rect, b.rect);
    let across = gap((ra.left, ra.right), (rb.left, rb.right));
    let down = gap((ra.top, ra.bottom), (rb.top, rb.bottom));
    let both = ra.union(rb);
    let middle = (both.left + both.right) as f32 / 2.0;
    let Some(person) = scale.person(middle, both.bottom as f32) else {
        // Not known: by their own size.
        let larger = ra.height().max(rb.height()).min(3 * ra.width().max(rb.width())) as f32;
        return across <= 0.0 && down <= 0.15 * larger;
    };
    if across <= 0.15 * person.width && down <= 0.06 * person.height {
        return true;
    }
    let one = both.width() as f32 <= 1.25 * person.width && both.height() as f32 <= 1.15 * person.height;
    one && across <= 0.3 * person.width && down <= 0.4 * person.height
}
