//! How long a plate takes on a watchlist of 100,000 entries. The goals are 1 µs for an exact plate and 20 µs
//! for one with a confused character; for comparison, a search through the list one by one.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use omnisight::fleet::{ENTRIES_MAX, Update, Watchlist};

/// Plates like those of the readers: three letters and four digits, each once.
fn plate(index: usize) -> String {
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    let letters: String = [index / 26 / 26, index / 26, index].map(letter).iter().collect();
    format!("{letters}{:04}", index * 7 % 10_000)
}

fn lookup(c: &mut Criterion) {
    let entries: Vec<String> =
        (0..ENTRIES_MAX).map(|i| format!("{{\"plate_number\":\"{}\"}}", plate(i))).collect();
    let text = format!("{{\"version\":1,\"mode\":\"replace\",\"entries\":[{}]}}", entries.join(","));
    let mut list = Watchlist::default();
    list.apply(Update::from_json(text.as_bytes()).unwrap()).unwrap();
    let plates: Vec<String> = (0..ENTRIES_MAX).map(plate).collect();
    let mut group = c.benchmark_group("watchlist");
    let mut next = 0;
    // Far apart, so that no cache helps.
    let mut step = move || {
        next = (next + 61_803) % ENTRIES_MAX;
        next
    };
    group.bench_function("exact", |b| b.iter(|| black_box(list.exact(&plates[step()], 0))));
    let readings: Vec<String> = plates.iter().map(|plate| plate.replacen('0', "O", 1)).collect();
    group.bench_function("near", |b| b.iter(|| black_box(list.find(&readings[step()], 0))));
    group.bench_function("not wanted", |b| b.iter(|| black_box(list.find("0O1I8B5S", 0))));
    group.bench_function("one by one", |b| {
        b.iter(|| {
            let wanted = &plates[step()];
            black_box(plates.iter().position(|plate| plate == wanted))
        });
    });
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
