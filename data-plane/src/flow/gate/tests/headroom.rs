//! Places that are left to higher priorities.

use super::*;

#[test]
fn lower_priorities_leave_a_place_and_do_not_wait_in_engines() {
    paused(async {
        let base =
            Settings { fullness: Fullness { queue: 3, kv: 0.9 }, headroom: true, ..Settings::default() };
        let run = Run::new(5, base, &[]);
        // Three scrapes in a row prove the batch.
        run.scrape(2, 1);
        run.scrape(2, 1);
        run.scrape(2, 1);
        run.scrape(0, 0);
        let important = run.run(&of(5));
        let mut held: Vec<Placed> = (0..8).map(|_| run.run(&of(0))).collect();
        let low = run.wait(&of(0));
        held.extend((0..3).map(|_| run.run(&of(5))));
        assert_eq!(
            (run.gate.in_flight(), run.gate.waiting()),
            (12, 1),
            "the important ones may wait in engines"
        );
        // Without any of them in flight, nothing is left to them.
        held.truncate(8);
        drop(important);
        let placed = run.place(low.await.unwrap().unwrap());
        held.extend((0..12).map(|_| run.run(&of(0))));
        drop((placed, held));
        assert_eq!(run.gate.0.mix.above(i32::MIN), 0);
    });
}
