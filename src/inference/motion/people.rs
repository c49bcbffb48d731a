//! From blobs to objects.
//!
//! What a mask holds is not one blob per person: a lamp post cuts a person in two, shirts take the
//! wall's colour, friends walk side by side. So blobs that are near one another by the measure of a
//! person at that place are first put together, and a group too large for one person is then
//! explained by as few person-sized rectangles as it takes: each is placed where the pixels that no
//! other explains look most like a person's `silhouette` (after Zhao & Nevatia, "Tracking Multiple Humans
//! in Complex Situations", PAMI 2004, with a greedy search). Where a person's size is not known, a blob is an object.

use super::blobs::{Blob, Blobs, NO_BLOB, Rect, Sets};
use super::field::Field;
use super::picture::Grid;
use super::scale::{Person, Scale};
use super::silhouette::{Cover, Search};
use super::vehicle;

/// Most objects of one frame; further ones are left out, the smallest first being the likeliest.
pub(super) const OBJECTS_MAX: usize = 128;
/// Most people one group is explained by.
const GROUP_PEOPLE_MAX: usize = 16;

/// Smaller blobs are noise, in pixels of the work grid.
const SPECK_MIN: usize = 4;
/// Group of a blob that is noise.
const NO_GROUP: u16 = u16::MAX;

/// Most vehicles in one group.
const GROUP_VEHICLES_MAX: usize = 4;

/// One object on the work grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) rect: Rect,
    /// Set pixels it explains.
    pub(super) area: usize,
    /// What a person here would cover, where that is known.
    pub(super) person: Option<Person>,
    /// A vehicle by its solid heart.
    pub(super) solid: bool,
}

/// Blobs that belong together: one object, or several.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) rect: Rect,
    /// Set pixels.
    pub(super) area: usize,
}

#[derive(Debug)]
pub(super) struct People {
    grid: Grid,
    pub(super) objects: Vec<Object>,
    pub(super) groups: Vec<Group>,
    /// Group of each blob.
    group_of: Vec<u16>,
    sets: Sets,
    /// What the group at hand is explained by.
    covers: Vec<Cover>,
    /// The group at hand, and what is explained of it.
    field: Field,
    search: Search,
}

impl People {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            objects: Vec::with_capacity(OBJECTS_MAX),
            groups: Vec::with_capacity(super::blobs::BLOBS_MAX),
            group_of: Vec::with_capacity(super::blobs::BLOBS_MAX),
            sets: Sets::with_capacity(super::blobs::BLOBS_MAX),
            covers: Vec::with_capacity(GROUP_PEOPLE_MAX),
            field: Field::new(grid),
            search: Search::new(grid),
        }
    }

    /// Replaces `objects` by those that the blobs show; `raw` holds 1 also where a shadow may be.
    pub(super) fn find(&mut self, blobs: &Blobs, raw: &[u8], scale: &Scale) {
        self.objects.clear();
        self.group(blobs, scale);
        for g in 0..self.groups.len() {
            let group = self.groups[g];
            let middle = (group.rect.left + group.rect.right) as f32 / 2.0;
            let person = scale.person(middle, group.rect.bottom as f32);
            match person {
                Some(person)
                    if !fits_one(group.rect, person, 1.15) && !is_vehicle(group.rect, group.area, person) =>
                {
                    self.explain(blobs, g, person, scale);
                }
                _ => self.push(group.rect, group.area, person),
            }
        }
        for object in self.objects.iter_mut().filter(|o| !o.solid) {
            find_feet(object, raw, self.grid, scale);
        }
    }

    fn push(&mut self, rect: Rect, area: usize, person: Option<Person>) {
        if self.objects.len() < OBJECTS_MAX && large_enough(rect, area, person, self.grid) {
            let solid = person.is_some_and(|p| is_vehicle(rect, area, p));
            self.objects.push(Object { rect, area, person, solid });
        }
    }

    /// Puts blobs together that may be parts of one person, or of one group.
    fn group(&mut self, blobs: &Blobs, scale: &Scale) {
        let speck = |blob: &Blob| blob.area < SPECK_MIN;
        self.sets.clear();
        for (i, a) in blobs.all.iter().enumerate() {
            self.sets.push();
            for (j, b) in blobs.all[..i].iter().enumerate().filter(|(_, b)| !speck(a) && !speck(b)) {
                if belong_together(a, b, scale) {
                    self.sets.join(i, j);
                }
            }
        }
        self.groups.clear();
        self.group_of.clear();
        for (i, blob) in blobs.all.iter().enumerate() {
            let root = self.sets.root(i);
            if speck(blob) {
                self.group_of.push(NO_GROUP);
            } else if root == i {
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
    fn explain(&mut self, blobs: &Blobs, g: usize, person: Person, scale: &Scale) {
        let frame = self.groups[g].rect;
        self.field.begin(frame.width(), frame.height());
        for run in &blobs.runs {
            if run.blob != NO_BLOB && usize::from(self.group_of[usize::from(run.blob)]) == g {
                let (from, to) = (usize::from(run.from) - frame.left, usize::from(run.to) - frame.left);
                self.field.set(usize::from(run.row) - frame.top, from..to);
            }
        }
        self.search.begin(frame, scale);
        self.field.sum_up(self.search.beyond());
        let vehicles = self.objects.len();
        self.take_vehicles(frame, scale);
        let alone = self.objects.len() == vehicles;
        self.cover();
        if !alone && self.covers.is_empty() {
            return;
        }
        if self.covers.is_empty() || self.covers.len() == 1 && fits_one(frame, person, 1.4) {
            // No people at all, or one who stretches out arms or strides.
            self.push(frame, self.groups[g].area, Some(person));
            return;
        }
        for i in 0..self.covers.len() {
            let Cover { rect, person } = self.covers[i];
            if let Some((tight, area)) = self.tighten(frame, rect) {
                self.push(tight, area, Some(person));
            }
        }
    }

    /// Takes vehicles out of a group: what they cover is explained.
    fn take_vehicles(&mut self, frame: Rect, scale: &Scale) {
        let middle = (frame.left + frame.right) as f32 / 2.0;
        for _ in 0..GROUP_VEHICLES_MAX {
            let set = |rect| self.field.rest.within(rect);
            let person = |foot| scale.person(middle, (frame.top + foot) as f32);
            let Some(rect) = vehicle::find(frame.width(), frame.height(), set, person) else { return };
            let person = person(rect.bottom);
            self.field.mark(rect, true);
            self.field.renew();
            if let Some((rect, area)) = self.tighten(frame, rect)
                && self.objects.len() < OBJECTS_MAX
            {
                self.objects.push(Object { rect, area, person, solid: true });
            }
        }
    }

    /// Finds the rectangles: greedily, the best first, then each once more given the others, because the
    /// first is chosen before there are others and may stand between two people.
    fn cover(&mut self) {
        self.covers.clear();
        while self.covers.len() < GROUP_PEOPLE_MAX {
            let Some(cover) = self.best() else { break };
            self.field.mark(cover.rect, true);
            self.covers.push(cover);
        }
        let mut at = 0;
        let mut is_changed = false;
        while let Some(old) = self.covers.get(at).copied() {
            if at + 1 == self.covers.len() && !is_changed {
                // The last was found given all the others, as they still are.
                break;
            }
            self.field.mark(old.rect, false);
            let new = self.best();
            is_changed |= new != Some(old);
            match new {
                Some(new) => {
                    self.field.mark(new.rect, true);
                    self.covers[at] = new;
                    at += 1;
                }
                None => {
                    self.covers.remove(at);
                }
            }
        }
    }

    /// The likeliest person among what is not explained.
    fn best(&mut self) -> Option<Cover> {
        self.field.renew();
        self.search.best(&self.field)
    }

    /// The tight rectangle, on the grid, of the set pixels in a rectangle of a group, and how many they are.
    fn tighten(&self, frame: Rect, rect: Rect) -> Option<(Rect, usize)> {
        let (tight, area) = self.field.tighten(rect)?;
        let tight = Rect {
            left: frame.left + tight.left,
            top: frame.top + tight.top,
            right: frame.left + tight.right,
            bottom: frame.top + tight.bottom,
        };
        Some((tight, area))
    }
}

/// Whether a group is no larger than `slack` times a person, in height a little less.
fn fits_one(rect: Rect, person: Person, slack: f32) -> bool {
    rect.width() as f32 <= slack * person.width && rect.height() as f32 <= (0.5 + 0.5 * slack) * person.height
}

/// One solid thing as large as a car, which no group of people is: between people one sees through.
fn is_vehicle(rect: Rect, area: usize, person: Person) -> bool {
    let (width, height) = (rect.width() as f32, rect.height() as f32);
    width >= 0.8 * person.height
        && width <= 5.0 * person.height
        && height >= 0.5 * person.height
        && width >= 0.7 * height
        && area as f32 >= 0.75 * width * height
}

fn large_enough(rect: Rect, area: usize, person: Option<Person>, grid: Grid) -> bool {
    match person {
        Some(p) => {
            // Who comes in at the border shows a part first.
            let cut = rect.left == 0 || rect.right == grid.width || rect.bottom == grid.height;
            let height = if cut { 0.2 } else { 0.35 } * p.height;
            area as f32 >= 0.12 * p.width * p.height && rect.height() as f32 >= height
        }
        // Less than a thousandth of the picture is nothing one could follow.
        None => area * 1000 >= grid.width * grid.height,
    }
}

/// Lengthens what is shorter than a person by what was taken for a shadow right below: trousers of the
/// ground's colour are a shadow by all that a pixel can tell, but nobody ends at the waist.
fn find_feet(object: &mut Object, raw: &[u8], grid: Grid, scale: &Scale) {
    let rect = object.rect;
    let (mut bottom, mut bare) = (rect.bottom, 0);
    for foot in rect.bottom + 1..=grid.height {
        let middle = (rect.left + rect.right) as f32 / 2.0;
        let Some(person) = scale.person(middle, foot as f32) else { return };
        if (foot - rect.top) as f32 > person.height {
            break;
        }
        let start = (foot - 1) * grid.stride;
        let dark = raw[start + rect.left..start + rect.right].iter().filter(|&&r| r != 0).count();
        if dark * 5 >= rect.width() {
            (bottom, bare) = (foot, 0);
            object.person = Some(person);
        } else if bare == 1 {
            break;
        } else {
            bare += 1;
        }
    }
    object.rect.bottom = bottom;
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
    // Whatever the scale, not across the length of what they are themselves.
    if across.max(down) > (ra.height() + rb.height()) as f32 {
        return false;
    }
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
