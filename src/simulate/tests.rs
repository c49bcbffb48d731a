use std::time::Duration;

use super::*;

fn site() -> Options {
    Options {
        cameras: 9,
        people: 18,
        duration: Duration::from_secs(40),
        rate_hz: 2.0,
        faults: Faults {
            loss: 0.05,
            duplicate: 0.02,
            delay: (Duration::from_millis(20), Duration::from_millis(200)),
            partition: Duration::ZERO,
        },
        skew: Duration::from_millis(200),
        ..Options::default()
    }
}

#[test]
fn one_seed_gives_one_digest_and_another_seed_another() {
    let digest = |seed| run(&Options { seed, ..site() }).unwrap().digest;
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn neither_threads_nor_who_decodes_change_what_comes_of_it() {
    let options = Options { cameras: 36, duration: Duration::from_secs(10), ..site() };
    let one = run(&options).unwrap();
    assert_eq!(run(&Options { threads: 2, ..options.clone() }).unwrap(), one);
    assert_eq!(run(&Options { decode_each: true, ..options }).unwrap(), one);
}

#[test]
fn on_a_large_site_a_camera_listens_to_its_neighbours_alone() {
    let options = Options { cameras: 49, people: 49, duration: Duration::from_secs(15), ..site() };
    let summary = run(&options).unwrap();
    // 25 in the middle have eight, 20 at the edges five, 4 at the corners three.
    let expected = f64::from(25 * 8 + 20 * 5 + 4 * 3) / 49.0;
    assert!((summary.neighbours - expected).abs() < 1e-9, "{}", summary.neighbours);
    assert!(summary.counters["far_presence"] > 0);
}

#[test]
fn after_a_partition_the_tables_agree_on_everybody_again() {
    let mut options = Options { duration: Duration::from_mins(1), rate_hz: 10.0, ..site() };
    options.faults.partition = Duration::from_secs(20);
    let summary = run(&options).unwrap();
    let after_s = summary.agreed_after_s().unwrap();
    assert!(after_s <= 5.0, "{after_s} s");
}

#[test]
fn where_cameras_report_once_a_second_the_tables_still_call_nearly_everybody_the_same() {
    let summary = run(&Options { rate_hz: 1.0, duration: Duration::from_mins(1), ..site() }).unwrap();
    assert!(summary.agreed() >= 0.95 && summary.ids_per_person < 1.5, "{summary:?}");
}

#[test]
fn what_cannot_be_simulated_is_named() {
    for options in [
        Options { cameras: 0, ..site() },
        Options { rate_hz: f64::NAN, ..site() },
        Options { liars: 10, ..site() },
        Options { faults: Faults { loss: 1.5, ..site().faults }, ..site() },
        Options { faults: Faults { partition: Duration::from_secs(30), ..site().faults }, ..site() },
    ] {
        assert!(run(&options).is_err(), "{options:?}");
    }
}
