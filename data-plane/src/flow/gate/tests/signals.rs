//! What endpoints tell of their load, and what counts while they do not.

use super::*;

#[test]
fn old_signals_are_counted_as_the_policy_says() {
    paused(async {
        // One endpoint told two slots, then nothing: it counts our own requests; the other is fresh.
        let run = Run::new(2, BASE(), &[]);
        advance(Duration::from_secs(3)).await;
        let snapshot = run.pool.snapshot();
        let idle = Reading { running: Some(0), waiting: Some(0), ..Reading::default() };
        snapshot.endpoints[0].slot.store(idle, now());
        let held: Vec<Placed> = (0..4).map(|_| run.run(&of(0))).collect();
        let waits = run.wait(&of(0));
        // All are old: open.
        advance(Duration::from_secs(3)).await;
        run.gate.tick(now());
        let opened = run.place(waits.await.unwrap().unwrap());
        let more: Vec<Placed> = (0..20).map(|_| run.run(&of(0))).collect();
        drop((held, opened, more));
        assert_eq!(run.gate.in_flight(), 0);
    });
}

#[test]
fn model_servers_that_never_tell_are_counted_for_two_seconds() {
    paused(async {
        let run = Run::new(0, BASE(), &[]);
        apply(&run.pools, 1, &[]);
        let mut held = Vec::new();
        let waits = loop {
            match run.admit(&of(0)) {
                Admission::Admitted(ticket) => held.push(run.place(ticket)),
                Admission::Waits(waiting) => break tokio::task::spawn_local(waiting.ticket()),
                Admission::Shed(shed) => panic!("{shed}"),
            }
        };
        let batch = run.pool.snapshot().endpoints[0].profile().useful_batch as usize;
        assert_eq!(held.len(), batch, "its batch");
        advance(Duration::from_millis(1900)).await;
        run.gate.tick(now());
        assert_eq!(run.gate.waiting(), 1);
        advance(Duration::from_millis(200)).await;
        run.gate.tick(now());
        drop(waits.await.unwrap().unwrap());
        drop(run.run(&of(0)));
    });
}

#[test]
fn a_full_kv_cache_is_no_room_and_large_requests_are_not_passed() {
    paused(async {
        let run = Run::new(1, Settings::default(), &[]);
        let scrape = |kv_usage| {
            let reading = Reading {
                running: Some(1),
                waiting: Some(0),
                kv_usage: Some(kv_usage),
                kv_tokens: Some(10_000),
                ..Reading::default()
            };
            run.pool.snapshot().endpoints[0].slot.store(reading, now());
        };
        scrape(0.5);
        let small = run.run(&of(0));
        let large = run.wait(&Request { tokens: 5_000, ..of(0) });
        let behind = run.wait(&of(0));
        scrape(0.91);
        run.gate.tick(now());
        assert_eq!(run.gate.waiting(), 2);
        scrape(0.2);
        run.gate.tick(now());
        drop((large.await.unwrap().unwrap(), behind.await.unwrap().unwrap()));
        drop(small);
    });
}

#[test]
fn a_batch_that_is_taken_too_small_grows() {
    paused(async {
        // Two slots are known; the server runs eight.
        let base = Settings { fullness: Fullness { queue: 1, kv: 0.9 }, ..Settings::default() };
        let run = Run::new(1, base, &[]);
        let mut held = Vec::new();
        let waits: Vec<_> = (0..9)
            .filter_map(|_| match run.admit(&of(0)) {
                Admission::Admitted(ticket) => {
                    held.push(run.place(ticket));
                    None
                }
                Admission::Waits(waiting) => Some(tokio::task::spawn_local(waiting.ticket())),
                Admission::Shed(shed) => panic!("{shed}"),
            })
            .collect();
        assert_eq!(held.len(), 3, "its batch and one that waits there");
        for waiting in waits {
            assert!(!waiting.is_finished());
            run.scrape(held.len() as u32, 0);
            run.gate.tick(now());
            held.push(run.place(waiting.await.unwrap().unwrap()));
        }
        // From now on one waits in the server: it is full.
        run.scrape(8, 1);
        let waits = run.wait(&of(0));
        run.scrape(8, 1);
        run.gate.tick(now());
        assert_eq!(run.gate.waiting(), 1);
        drop((held, waits));
    });
}
