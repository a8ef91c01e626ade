//! The pace alone: a table for its rules, properties for what must hold whatever comes.

use proptest::prelude::*;

use super::*;

const PLACES: u32 = 128;
const RESIDENCE: f64 = 2.0;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A pace at which a request of priority 100 came at `now`.
fn mk_pace(free: u32, now: Instant) -> Pace {
    let mut pace = Pace::default();
    pace.comes(100, now);
    pace.set(PLACES, free, RESIDENCE);
    pace
}

/// Requests of `priority` that go in `length` from `from` on, looked at every 5 ms, at most `at_once` at each look.
fn run(pace: &mut Pace, (from, length): (Instant, Duration), priority: i32, at_once: usize) -> Vec<Duration> {
    let mut gone = Vec::new();
    let mut passed = Duration::ZERO;
    while passed < length {
        for _ in 0..at_once {
            if pace.holds(priority, from + passed) {
                break;
            }
            pace.goes(priority, from + passed);
            gone.push(passed);
        }
        passed += ms(5);
    }
    gone
}

#[test]
fn lower_priorities_go_evenly_and_the_highest_at_once() {
    let now = Instant::now();
    let mut pace = mk_pace(4, now);
    let gone = run(&mut pace, (now, ms(2_000)), 0, 1_000);
    assert!((120..=136).contains(&gone.len()), "as many as there are places in a residence: {}", gone.len());
    for quarter in 0..4 {
        let within = |at: &&Duration| (quarter * 500..(quarter + 1) * 500).contains(&(at.as_millis() as u64));
        let count = gone.iter().filter(within).count();
        assert!((28..=38).contains(&count), "{count} in quarter {quarter}");
    }
    assert_eq!(run(&mut pace, (now + ms(2_000), ms(5)), 100, 50).len(), 50);
    assert_eq!(run(&mut pace, (now + ms(2_005), ms(5)), 101, 50).len(), 50, "nor is one above it held");
    let after = run(&mut pace, (now + ms(2_010), ms(300)), 0, 1_000);
    assert!(after.len() <= 1, "the pace counts them: {after:?}");
}

#[test]
fn the_more_is_free_the_faster_they_go() {
    let now = Instant::now();
    let count = |free| run(&mut mk_pace(free, now), (now, ms(1_000)), 0, 1_000).len();
    let counts = [0, 4, 32, 64, 128].map(count);
    assert!(counts.is_sorted_by(|a, b| a < b), "{counts:?}");
    assert!(counts[0] >= 60 && counts[4] <= 64 * 3 + 8, "{counts:?}");
}

#[test]
fn nobody_is_held_without_a_reason() {
    let now = Instant::now();
    let all = |mut pace: Pace, at: Instant, priority| run(&mut pace, (at, ms(5)), priority, 100).len();
    assert!(all(mk_pace(8, now), now, 99) < 10);
    assert_eq!(all(mk_pace(8, now), now + LATELY, 99), 100, "the higher one did not come lately");
    let set = |places, residence| {
        let mut pace = mk_pace(0, now);
        pace.set(places, places, residence);
        pace
    };
    assert_eq!(all(set(PLACES, 0.0), now, 0), 100, "nothing has ended yet");
    assert_eq!(all(set(FEW - 1, RESIDENCE), now, 0), 100, "few places");
    assert_eq!(all(set(PLACES, f64::NAN), now, 0), 100);
    let mut alone = Pace::default();
    alone.comes(-10, now);
    alone.set(PLACES, 8, RESIDENCE);
    assert_eq!(all(alone, now, -10), 100, "the only priority is the highest");
}

#[test]
fn only_those_that_lack_a_place_are_said_to() {
    let now = Instant::now();
    let mut pace = mk_pace(0, now);
    assert_eq!(pace.lacking(), i32::MIN);
    run(&mut pace, (now, ms(5)), 0, 100);
    assert_eq!(pace.lacking(), 100, "those below wait for their turn");
    pace.set(PLACES, 0, RESIDENCE);
    assert_eq!(pace.lacking(), i32::MIN);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Comes(i32),
    Goes(i32),
    Set(u32, u32, f64),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (-2..=2).prop_map(Op::Comes),
        5 => (-2..=2).prop_map(Op::Goes),
        2 => (0..300_u32, 0..300_u32, 0.0..100.0).prop_map(|(places, free, residence)| Op::Set(places, free, residence)),
        3 => (0..4_000_u64).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Whatever went before and however many of the highest go on going, one below them goes within the longest wait.
    #[test]
    fn nobody_starves_and_the_highest_is_never_held(ops in prop::collection::vec(op(), 0..200)) {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let mut came = Vec::new();
        for op in ops {
            match op {
                Op::Comes(priority) => {
                    pace.comes(priority, now);
                    came.push((priority, now));
                }
                Op::Goes(priority) => if !pace.holds(priority, now) {
                    pace.goes(priority, now);
                },
                Op::Set(places, free, residence) => pace.set(places, free, residence),
                Op::Pass(millis) => now += ms(millis),
            }
            let lately = |(_, at): &&(i32, Instant)| now.saturating_duration_since(*at) < LATELY;
            let highest = came.iter().filter(lately).map(|(priority, _)| *priority).max();
            let held = (-2..=2).filter(|priority| pace.holds(*priority, now)).max();
            prop_assert!(held.is_none_or(|held| highest.is_some_and(|highest| held < highest)), "{:?} of {:?}", held, highest);
        }
        pace.comes(2, now);
        let until = now + Duration::from_secs_f64(LONGEST_SECONDS);
        let mut went = false;
        while now <= until && !went {
            pace.goes(2, now);
            went = !pace.holds(-2, now);
            now += ms(5);
        }
        prop_assert!(went);
    }
}
