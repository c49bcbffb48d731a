//! Whose readings are: attributes of tracks from what was read in frames.
//!
//! A reading belongs to the smallest vehicle whose box holds its middle. Readings of one track vote, each with
//! its confidence; the text with the most votes is the track's, in its surest reading. So one misread frame
//! changes nothing, and the last word is spoken when the track ends ([`Attributes::end`]).
//!
//! Bounds: [`TEXTS_MAX`] different texts for a track (the least voted for goes), [`TEXT_BYTES_MAX`] bytes a
//! text (longer ones are no plate), and the tracks that are followed. Pure.

use std::collections::BTreeMap;

use crate::model::{Attribute, BBox, Class, Plate, Reading, Track};

/// Different texts that are kept of one track.
const TEXTS_MAX: usize = 8;
/// A longer text is not kept, bytes.
const TEXT_BYTES_MAX: usize = 64;

#[derive(Debug)]
struct Candidate {
    surest: Plate,
    votes: f64,
}

/// What is read off the tracks that are followed.
#[derive(Debug, Default)]
pub struct Attributes {
    plates: BTreeMap<u32, Vec<Candidate>>,
}

impl Attributes {
    /// Takes what was read in a frame with these tracks; those whose attribute is another one now are added
    /// to `changed`.
    pub fn take(&mut self, readings: &[Reading], tracks: &[Track], changed: &mut Vec<(u32, Attribute)>) {
        for reading in readings {
            let Some(track) = owner(&reading.bbox, tracks) else { continue };
            let Attribute::Plate(plate) = &reading.attribute;
            let confidence = plate.confidence;
            if plate.text.is_empty()
                || plate.text.len() > TEXT_BYTES_MAX
                || !(0.0..=1.0).contains(&confidence)
            {
                continue;
            }
            let candidates = self.plates.entry(track).or_default();
            let before = leader(candidates).map(|plate| plate.text.clone());
            vote(candidates, plate);
            let now = leader(candidates);
            if let Some(now) = now.filter(|now| before.as_deref() != Some(&now.text)) {
                changed.push((track, Attribute::Plate(now.clone())));
            }
        }
    }

    /// The last word on a track, which is forgotten.
    pub fn end(&mut self, track: u32) -> Option<Attribute> {
        let candidates = self.plates.remove(&track)?;
        leader(&candidates).cloned().map(Attribute::Plate)
    }
}

fn owner(place: &BBox, tracks: &[Track]) -> Option<u32> {
    let (x, y) = (place.left + place.width / 2.0, place.top + place.height / 2.0);
    let holds = |b: &BBox| (b.left..=b.right()).contains(&x) && (b.top..=b.bottom()).contains(&y);
    let vehicles = tracks.iter().filter(|t| t.class.compatible(Class::Vehicle) && holds(&t.bbox));
    let area = |t: &Track| t.bbox.width * t.bbox.height;
    vehicles.min_by(|a, b| area(a).total_cmp(&area(b)).then(a.id.cmp(&b.id))).map(|track| track.id)
}

fn vote(candidates: &mut Vec<Candidate>, plate: &Plate) {
    let known = candidates.iter_mut().find(|candidate| candidate.surest.text == plate.text);
    if let Some(candidate) = known {
        candidate.votes += plate.confidence;
        if plate.confidence > candidate.surest.confidence {
            candidate.surest = plate.clone();
        }
        return;
    }
    if candidates.len() == TEXTS_MAX {
        let least = |a: &(usize, &Candidate), b: &(usize, &Candidate)| a.1.votes.total_cmp(&b.1.votes);
        if let Some((index, _)) = candidates.iter().enumerate().min_by(least) {
            candidates.remove(index);
        }
    }
    candidates.push(Candidate { surest: plate.clone(), votes: plate.confidence });
}

/// The text with the most votes; of equal ones the first that was read.
fn leader(candidates: &[Candidate]) -> Option<&Plate> {
    let best = candidates.iter().rev().max_by(|a, b| a.votes.total_cmp(&b.votes));
    best.map(|candidate| &candidate.surest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::model::{Motion, Point};

    fn track(id: u32, class: Class, bbox: BBox) -> Track {
        let (position, velocity) = (Point::default(), Point::default());
        let foot = Motion { position, velocity, cov: nalgebra::SMatrix::zeros() };
        let at = Time::default();
        Track { id, class, bbox, confidence: 0.9, foot, first_seen: at, last_seen: at, hits: 5 }
    }

    fn read(text: &str, confidence: f64, left: f64) -> Reading {
        let bbox = BBox::new(left, 50.0, 10.0, 4.0);
        Reading { attribute: Attribute::Plate(Plate { text: text.to_owned(), confidence, bbox }), bbox }
    }

    fn text(attribute: Option<Attribute>) -> Option<String> {
        attribute.map(|Attribute::Plate(plate)| plate.text)
    }

    #[test]
    fn a_reading_belongs_to_the_smallest_vehicle_around_it_and_never_to_a_person() {
        let tracks = [
            track(1, Class::Vehicle, BBox::new(0.0, 0.0, 200.0, 100.0)),
            track(2, Class::Vehicle, BBox::new(40.0, 20.0, 60.0, 50.0)),
            track(3, Class::Person, BBox::new(48.0, 45.0, 15.0, 12.0)),
        ];
        let (mut attributes, mut changed) = (Attributes::default(), Vec::new());
        attributes.take(
            &[read("AB12", 0.9, 50.0), read("CD34", 0.9, 150.0), read("EF56", 0.9, 300.0)],
            &tracks,
            &mut changed,
        );
        let whose: Vec<u32> = changed.iter().map(|(id, _)| *id).collect();
        assert_eq!(whose, [2, 1]);
        assert_eq!(text(attributes.end(2)), Some("AB12".to_owned()));
        assert_eq!(text(attributes.end(2)), None);
    }

    #[test]
    fn readings_vote_and_the_surest_of_the_winner_is_the_last_word() {
        let tracks = [track(1, Class::Vehicle, BBox::new(0.0, 0.0, 100.0, 100.0))];
        let (mut attributes, mut changed) = (Attributes::default(), Vec::new());
        for reading in [
            read("A812", 0.6, 50.0),
            read("AB12", 0.5, 50.0),
            read("AB12", 0.7, 50.0),
            read("AB12", 0.4, 50.0),
        ] {
            attributes.take(&[reading], &tracks, &mut changed);
        }
        let told: Vec<_> = changed.iter().map(|(_, Attribute::Plate(plate))| plate.text.as_str()).collect();
        assert_eq!(told, ["A812", "AB12"]);
        let Some(Attribute::Plate(last)) = attributes.end(1) else { panic!("nothing was read") };
        assert_eq!((last.text.as_str(), last.confidence), ("AB12", 0.7));
    }

    #[test]
    fn texts_are_bounded_in_number_and_length() {
        let tracks = [track(1, Class::Vehicle, BBox::new(0.0, 0.0, 100.0, 100.0))];
        let (mut attributes, mut changed) = (Attributes::default(), Vec::new());
        for i in 0..1_000 {
            attributes.take(&[read(&format!("N{i}"), 0.1, 50.0)], &tracks, &mut changed);
        }
        assert_eq!(attributes.plates[&1].len(), TEXTS_MAX);
        attributes.take(
            &[read(&"X".repeat(65), 1.0, 50.0), read("?", f64::NAN, 50.0)],
            &tracks,
            &mut changed,
        );
        assert!(text(attributes.end(1)).is_some_and(|text| text.starts_with('N')));
    }
}
