//! What ends at the same moment, and how it is given away.

use super::*;

const PLACES: usize = 16;

type Waits = Vec<JoinHandle<Result<Ticket, Shed>>>;

/// A pool whose requests of priority 0 are all `PLACES` in flight for 900 ms, and as many behind them.
fn full() -> (Run, Vec<Placed>, Waits) {
    let run = Run::new(8, BASE(), &[]);
    let held = (0..PLACES).map(|_| run.run(&of(0))).collect();
    let waiting = (0..PLACES).map(|_| run.wait(&of(0))).collect();
    (run, held, waiting)
}

#[test]
fn what_ends_at_once_is_given_away_evenly_while_more_important_requests_come() {
    paused(async {
        let (run, held, waiting) = full();
        let important = run.wait(&of(5));
        advance(Duration::from_millis(900)).await;
        run.scrape(2, 0);
        drop(held);
        drop(important.await.unwrap().unwrap());
        assert!(run.gate.waiting() >= PLACES - 2, "{} wait", run.gate.waiting());
        let mut before = run.gate.waiting();
        for _ in 0..180 {
            advance(Duration::from_millis(5)).await;
            run.scrape(0, 0);
            run.gate.tick(now());
            assert!(before - run.gate.waiting() <= 1, "one by one");
            before = run.gate.waiting();
            if before == PLACES / 2 {
                drop(run.run(&of(5)));
            }
        }
        assert_eq!(before, 0, "a residence later all places are taken");
        for waits in waiting {
            drop(waits.await.unwrap().unwrap());
        }
        assert_eq!((run.gate.in_flight(), run.gate.waiting()), (0, 0));
    });
}

#[test]
fn without_more_important_requests_all_places_are_given_away_at_once() {
    paused(async {
        let (run, held, waiting) = full();
        advance(Duration::from_millis(900)).await;
        run.scrape(2, 0);
        drop(held);
        assert_eq!(run.gate.waiting(), 0);
        drop(waiting);
    });
}

#[test]
fn nobody_ends_for_those_that_wait_for_their_turn() {
    paused(async {
        let run = Run::new(8, BASE(), &[("signalbox.dev/eviction", "sheddable")]);
        let held: Vec<Placed> = (0..PLACES).map(|_| run.run(&of(0))).collect();
        let mut sheddable: Vec<_> = (0..3).map(|_| run.wait(&of(-1))).collect();
        let important = run.wait(&of(5));
        advance(Duration::from_millis(900)).await;
        run.scrape(2, 0);
        drop(held);
        let important = run.place_at(5, important.await.unwrap().unwrap());
        let mut first = run.place_at(-1, sheddable.remove(0).await.unwrap().unwrap());
        let standard: Vec<_> = (0..3).map(|_| run.wait(&of(0))).collect();
        assert_eq!((run.gate.waiting(), first.evicted().await), (5, None), "there are places for them");
        drop((important, sheddable, standard));
    });
}
