//! Two clocks and the way between them.

use super::*;
use crate::swarm::bounded::List;
use crate::swarm::message::{ClockStatus, Name, Presence};
use crate::swarm::wire::Real;
use proptest::prelude::*;

const BEGIN_MS: i64 = 1_750_000_000_000;
const NOBODY: fn(&CameraId) -> bool = |_| false;
const ALL: fn(&CameraId) -> bool = |_| true;

fn camera(name: &str) -> CameraId {
    CameraId::parse(name).unwrap()
}

/// A camera whose clock is ahead of the true time by so much.
struct Cam {
    id: CameraId,
    sync: ClockSync,
    ahead_ms: i64,
    mono_ms: u64,
}

impl Cam {
    fn new(name: &str, ahead_ms: i64) -> Self {
        let mono_ms = 1_000 + 7_777 * u64::from(name.as_bytes()[0]);
        Self { id: camera(name), sync: ClockSync::default(), ahead_ms, mono_ms }
    }

    fn time(&self, true_ms: u64) -> Time {
        let epoch_ms = (BEGIN_MS + self.ahead_ms).cast_unsigned() + true_ms;
        Time { mono_ns: (self.mono_ms + true_ms) * 1_000_000, epoch_ms }
    }

    /// Its presence as it leaves.
    fn says(&mut self, true_ms: u64) -> StatusMessage {
        let now = self.time(true_ms);
        let heard = self.sync.echoes(ALL, now);
        self.sync.sent(&heard, now);
        presence(&self.id, now.epoch_ms, Some(heard))
    }

    fn hears(&mut self, m: &StatusMessage, true_ms: u64) {
        let now = self.time(true_ms);
        self.sync.take(m, &self.id, now);
    }

    fn knows(&self, of: &Cam, true_ms: u64) -> Option<ClockOffset> {
        self.sync.offset(&of.id, self.time(true_ms))
    }
}

fn presence(
    id: &CameraId,
    timestamp_ms: u64,
    heard: Option<Map<CameraId, [Millis; 2], HEARD_MAX>>,
) -> StatusMessage {
    let clock =
        ClockStatus { offset_ms: Real(0.0), error_ms: None, source: Name::cut("none"), heard, off: None };
    StatusMessage {
        camera_id: id.clone(),
        state: Presence::Online,
        version: Name::cut("1"),
        boot: Millis(1),
        timestamp: Some(Millis(timestamp_ms)),
        encodings: List::default(),
        ground: None,
        footprint: None,
        clock: Some(clock),
        modes: None,
        counters: None,
        public_key: None,
    }
}

fn echoing(id: &CameraId, timestamp_ms: u64, own: &CameraId, echo: (u64, u64)) -> StatusMessage {
    let heard = Map::cut([(own.clone(), [Millis(echo.0), Millis(echo.1)])]);
    presence(id, timestamp_ms, Some(heard))
}

/// One exchange begun by `a` at a time; what the ways there and back take, and how long `b` waits. When it ended.
fn exchange(a: &mut Cam, b: &mut Cam, at_ms: u64, [there_ms, wait_ms, back_ms]: [u64; 3]) -> u64 {
    let request = a.says(at_ms);
    b.hears(&request, at_ms + there_ms);
    let response = b.says(at_ms + there_ms + wait_ms);
    let end_ms = at_ms + there_ms + wait_ms + back_ms;
    a.hears(&response, end_ms);
    end_ms
}

#[test]
fn the_offset_is_measured_to_the_millisecond_where_both_ways_take_as_long() {
    let (mut a, mut b) = (Cam::new("a", 40), Cam::new("b", -300_000));
    assert_eq!(a.knows(&b, 0), None);
    let end_ms = exchange(&mut a, &mut b, 0, [20, 7_000, 20]);
    let offset = a.knows(&b, end_ms).unwrap();
    assert_eq!(offset.offset_ms, -300_040);
    assert!(offset.error_ms <= 22, "{offset:?}");
    assert!(offset.differs());
    // The next presence of the first completes it for the other.
    let next = a.says(end_ms + 1_000);
    b.hears(&next, end_ms + 1_020);
    assert_eq!(b.knows(&a, end_ms + 1_020).unwrap().offset_ms, 300_040);
}

proptest! {
    #[test]
    fn the_true_offset_lies_within_the_error_however_asymmetric_the_ways_are(
        ahead_ms in -10_000_000_000_i64..10_000_000_000,
        there_ms in 0_u64..2_000,
        back_ms in 0_u64..1_999,
        wait_ms in 0_u64..20_000,
        age_ms in 0_u64..100_000,
    ) {
        let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", ahead_ms));
        let end_ms = exchange(&mut a, &mut b, 50, [there_ms, wait_ms, back_ms]);
        let offset = a.knows(&b, end_ms + age_ms).unwrap();
        prop_assert!(offset.offset_ms.abs_diff(ahead_ms) <= offset.error_ms.unsigned_abs(), "{offset:?}");
    }

    #[test]
    fn whatever_a_presence_says_of_times_it_does_no_harm(
        sent_ms in 0..=MILLIS_MAX,
        echoed_ms in 0..=MILLIS_MAX,
        arrived_ms in 0..=MILLIS_MAX,
        names_ours in any::<bool>(),
        mono_ns in 0..u64::MAX,
        epoch_ms in 0..u64::MAX,
    ) {
        let (mut a, b) = (Cam::new("a", 0), camera("b"));
        let own_ms = a.says(0).timestamp.unwrap().0;
        let m = echoing(&b, sent_ms, &a.id, (if names_ours { own_ms } else { echoed_ms }, arrived_ms));
        let now = Time { mono_ns, epoch_ms };
        a.sync.take(&m, &a.id, now);
        a.sync.verdict(&ALL, now);
        a.sync.reports(now);
        a.sync.off(&ALL, now);
        a.sync.adoptable(&ALL, ADOPT_ALONE, now);
        let heard = a.sync.echoes(ALL, now);
        a.sync.sent(&heard, now);
    }
}

#[test]
fn of_several_samples_the_one_with_the_least_delay_counts() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 5_000));
    exchange(&mut a, &mut b, 0, [900, 100, 10]);
    exchange(&mut a, &mut b, 10_000, [12, 100, 14]);
    let end_ms = exchange(&mut a, &mut b, 20_000, [10, 100, 1_800]);
    let offset = a.knows(&b, end_ms).unwrap();
    assert!((4_998..=5_002).contains(&offset.offset_ms) && offset.error_ms <= 17, "{offset:?}");
}

#[test]
fn the_error_grows_with_the_age_of_a_sample() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 0));
    let end_ms = exchange(&mut a, &mut b, 0, [10, 100, 10]);
    let error_ms = |age_ms| a.knows(&b, end_ms + age_ms).unwrap().error_ms;
    assert_eq!(error_ms(600_000), error_ms(0) + 60);
}

#[test]
fn a_lost_echo_costs_an_interval_and_nothing_else() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 700));
    let request = a.says(0);
    b.hears(&request, 20);
    let lost = b.says(5_000);
    assert_eq!(lost.clock.unwrap().heard.unwrap().len(), 1);
    let request = a.says(10_000);
    b.hears(&request, 10_020);
    let response = b.says(15_000);
    a.hears(&response, 15_020);
    assert_eq!(a.knows(&b, 15_020).unwrap().offset_ms, 700);
}

#[test]
fn a_replayed_echo_displaces_no_better_sample_and_one_from_long_ago_is_none() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 0));
    let request = a.says(0);
    b.hears(&request, 10);
    let response = b.says(5_000);
    a.hears(&response, 5_010);
    let before = a.knows(&b, 5_010).unwrap();
    a.hears(&response, 7_010);
    assert_eq!(a.knows(&b, 7_010).unwrap(), before);
    a.hears(&response, 30_000);
    assert_eq!((a.knows(&b, 30_000).unwrap().offset_ms, a.sync.counters().echoes_slow), (0, 1));
    for n in 1..=SENT_MAX as u64 {
        a.says(30_000 + n * 10_000);
    }
    a.hears(&response, 200_000);
    assert_eq!(a.sync.counters().echoes_refused, 1, "its request is forgotten");
}

#[test]
fn a_step_of_our_own_clock_between_request_and_response_spoils_nothing() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 0));
    let request = a.says(0);
    b.hears(&request, 20);
    let response = b.says(5_000);
    a.ahead_ms = -3_600_000;
    a.hears(&response, 5_020);
    assert_eq!(a.knows(&b, 5_020).unwrap().offset_ms, 3_600_000);
    a.ahead_ms = 250;
    assert_eq!(a.knows(&b, 6_000).unwrap().offset_ms, -250, "without another exchange");
}

#[test]
fn a_step_of_the_others_clock_is_followed_with_its_next_presence() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", -1_700_000_000_000));
    exchange(&mut a, &mut b, 0, [20, 5_000, 20]);
    let request = a.says(10_000);
    b.hears(&request, 10_020);
    // It is set between the arrival there and the response.
    b.ahead_ms = 35;
    let response = b.says(12_000);
    a.hears(&response, 12_020);
    assert_eq!(a.knows(&b, 12_020).unwrap().offset_ms, 35);
    assert_eq!((a.sync.counters().peer_steps, a.sync.counters().echoes_refused), (1, 0));
}

#[test]
fn echoes_of_what_was_never_sent_and_impossible_times_are_refused_and_counted() {
    let (mut a, b) = (Cam::new("a", 0), camera("b"));
    let own_ms = a.says(1_000).timestamp.unwrap().0;
    let now_ms = a.time(1_500).epoch_ms;
    for echo in [(own_ms - 1, now_ms), (own_ms + 1, now_ms), (0, 0)] {
        let m = echoing(&b, now_ms, &a.id, echo);
        a.hears(&m, 1_500);
    }
    assert_eq!(a.sync.counters().echoes_refused, 3);
    // It answered before it was asked; it waited longer than the answer took.
    for (sent_ms, arrived_ms) in [(now_ms - 10, now_ms), (now_ms + 10_000, now_ms)] {
        let m = echoing(&b, sent_ms, &a.id, (own_ms, arrived_ms));
        a.hears(&m, 1_500);
    }
    assert_eq!((a.sync.counters().echoes_refused, a.sync.counters().exchanges), (5, 0));
    assert_eq!(a.sync.offset(&b, a.time(1_500)), None);
}

#[test]
fn two_presences_of_one_millisecond_are_one_request_and_two_that_only_bear_one_timestamp_are_none() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 60));
    a.says(0);
    let request = a.says(0);
    b.hears(&request, 20);
    b.hears(&request, 900);
    let response = b.says(1_000);
    a.hears(&response, 1_020);
    let offset = a.knows(&b, 1_020).unwrap();
    assert!(offset.offset_ms == 60 && offset.error_ms <= 22, "the first arrival counts: {offset:?}");
    // Our clock goes back, and shows the same time again.
    let mut a = Cam::new("a", 0);
    a.says(0);
    a.ahead_ms = -3_000;
    let request = a.says(3_000);
    let mut b = Cam::new("b", 60);
    b.hears(&request, 3_020);
    let response = b.says(4_000);
    a.hears(&response, 4_020);
    assert_eq!((a.knows(&b, 4_020), a.sync.counters().echoes_refused), (None, 1));
}

#[test]
fn ten_thousand_made_up_cameras_fill_no_memory_and_echoes_stay_within_their_bound() {
    let mut a = Cam::new("a", 0);
    a.says(0);
    for n in 0..10_000_u64 {
        let m = presence(&camera(&format!("x{n}")), a.time(0).epoch_ms, None);
        a.hears(&m, n / 100);
    }
    assert_eq!(a.sync.peers.len(), PEERS_MAX);
    let heard = a.says(200).clock.unwrap().heard.unwrap();
    assert_eq!(heard.len(), HEARD_MAX);
    // Those that were not echoed come first with the next one.
    let next = a.says(300).clock.unwrap().heard.unwrap();
    assert!(next.len() == HEARD_MAX && next.keys().all(|camera| !heard.contains_key(camera)));
}

#[test]
fn a_presence_leaves_early_for_a_camera_that_was_never_answered_and_then_not_again() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", 0));
    a.says(0);
    assert!(!a.sync.leaves_early(ALL, a.time(1_000)), "nobody waits");
    let hello = b.says(1_500);
    a.hears(&hello, 1_520);
    assert!(!a.sync.leaves_early(NOBODY, a.time(2_000)), "not for a camera that is not listened to");
    assert!(a.sync.leaves_early(ALL, a.time(2_000)));
    a.says(2_000);
    let again = b.says(11_500);
    a.hears(&again, 11_520);
    assert!(!a.sync.leaves_early(ALL, a.time(12_000)));
    // A new process knows nothing of it.
    let restarted = StatusMessage { boot: Millis(2), ..b.says(12_500) };
    a.hears(&restarted, 12_520);
    assert!(a.sync.leaves_early(ALL, a.time(13_000)));
}

#[test]
fn a_thousand_strangers_make_a_camera_speak_twice_as_often_at_most() {
    let (mut a, mut early) = (Cam::new("a", 0), 0);
    a.says(0);
    for second in 1..=100_u64 {
        for n in 0..10 {
            let m = presence(&camera(&format!("x{second}-{n}")), a.time(0).epoch_ms, None);
            a.hears(&m, second * 1_000 - 500);
        }
        if a.sync.leaves_early(ALL, a.time(second * 1_000)) {
            a.says(second * 1_000);
            early += 1;
        }
    }
    assert!((10..=18).contains(&early), "{early}");
}

/// Cameras with these offsets that `a` knows.
fn known(offsets_ms: &[i64]) -> (Cam, Time) {
    let mut a = Cam::new("a", 0);
    for (n, ahead_ms) in offsets_ms.iter().enumerate() {
        let mut b = Cam::new(&format!("{}{n}", char::from(b'b' + n as u8)), *ahead_ms);
        exchange(&mut a, &mut b, 100 * n as u64, [10, 20, 10]);
    }
    let now = a.time(2_000);
    (a, now)
}

#[test]
fn our_own_clock_is_off_when_most_of_at_least_three_that_count_agree_on_another_time() {
    let own = |offsets_ms: &[i64]| {
        let (a, now) = known(offsets_ms);
        let verdict = a.sync.verdict(&ALL, now);
        (verdict.counting, verdict.differing, verdict.own.map(|(ahead_ms, _)| ahead_ms))
    };
    assert_eq!(own(&[300_000]), (1, 1, None));
    assert_eq!(own(&[300_000, 300_000]), (2, 2, None));
    assert_eq!(own(&[300_000, 300_100, 299_900]), (3, 3, Some(-300_000)));
    assert_eq!(own(&[0, 300_000, 300_010]), (3, 2, Some(-300_000)));
    assert_eq!(own(&[0, 10, 300_000]), (3, 1, Some(-10)));
    assert_eq!(own(&[300_000, 600_000, 900_000]), (3, 3, None), "they agree on nothing");
    let (a, now) = known(&[300_000; 5]);
    assert_eq!(a.sync.verdict(&NOBODY, now), ClockVerdict::default(), "made-up clocks have no say");
}

#[test]
fn the_cameras_that_count_are_named_first_and_only_those_that_differ() {
    let (a, now) = known(&[-300_000, 100, 500, 400_000]);
    let off = a.sync.off(&ALL, now).unwrap();
    let named: Vec<_> = off.iter().map(|(camera, offset)| (camera.as_str(), offset.0)).collect();
    assert_eq!(named, [("b0", -300_000), ("d2", 500), ("e3", 400_000)]);
    assert_eq!(known(&[20, -100]).0.sync.off(&ALL, now), None);
}

#[test]
fn an_offset_is_reported_once_and_again_when_it_changes_but_not_sooner_than_after_a_minute() {
    let (mut a, mut b) = (Cam::new("a", 0), Cam::new("b", -300_000));
    let end_ms = exchange(&mut a, &mut b, 0, [10, 20, 10]);
    let reported = |a: &mut Cam, at_ms| {
        let now = a.time(at_ms);
        a.sync
            .reports(now)
            .into_iter()
            .map(|(camera, offset)| (camera.to_string(), offset.offset_ms))
            .collect::<Vec<_>>()
    };
    assert_eq!(reported(&mut a, end_ms), [("b".to_owned(), -300_000)]);
    assert_eq!(reported(&mut a, 3_000_000), []);
    for (at_ms, ahead_ms) in [(3_010_000, 500), (3_020_000, -500), (3_030_000, 0)] {
        b.ahead_ms = ahead_ms;
        exchange(&mut a, &mut b, at_ms, [10, 20, 10]);
        let count = reported(&mut a, at_ms + 100).len();
        assert_eq!(count, usize::from(at_ms == 3_010_000), "{ahead_ms}");
    }
    assert_eq!(reported(&mut a, 3_080_000), [("b".to_owned(), 0)]);
}

#[test]
fn a_clock_that_was_never_set_takes_the_median_of_plausible_clocks_of_cameras_that_count() {
    // In 1970; of the others two show the present, one is in 1970 too, one in the year 2200.
    let offsets_ms = [0, 40, -BEGIN_MS + 60_000, 5_600_000_000_000];
    let mut a = Cam::new("a", -BEGIN_MS + 20_000);
    for (n, ahead_ms) in offsets_ms.into_iter().enumerate() {
        let mut b = Cam::new(&format!("b{n}"), ahead_ms);
        exchange(&mut a, &mut b, 100 * n as u64, [10, 20, 10]);
    }
    let now = a.time(2_000);
    assert!(!now.is_set());
    let (ahead_ms, error_ms) = a.sync.adoptable(&ALL, Duration::ZERO, now).unwrap();
    assert_eq!((ahead_ms, error_ms <= 12), (-BEGIN_MS + 20_000 - 40, true));
    assert_eq!(a.sync.adoptable(&NOBODY, Duration::from_secs(9), now), None, "it waits for one that counts");
    assert!(a.sync.adoptable(&NOBODY, ADOPT_ALONE, now).is_some());
}
