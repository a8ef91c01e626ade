//! Requests in flight that end for others.

use super::*;

#[test]
fn requests_in_flight_end_for_more_important_ones_where_the_pool_says_so() {
    paused(async {
        for (setting, answered, told) in [
            ("off", false, None),
            ("sheddable", false, Some("evicted")),
            ("sheddable", true, None),
            ("sheddable-any", true, Some("evicted")),
        ] {
            let run = Run::new(1, BASE(), &[("signalbox.dev/eviction", setting)]);
            let (mut old, mut new) = (run.run(&of(-1)), run.run(&of(-1)));
            let sheddable = run.wait(&of(-1));
            assert_eq!(new.evicted().await, None, "nothing more important waits");
            if answered {
                old.ticket.answers();
                new.ticket.answers();
            }
            let standard = run.wait(&of(0));
            assert_eq!((new.evicted().await, old.evicted().await), (told, None), "{setting} {answered}");
            assert_eq!(new.evicted().await, None, "it is told once");
            drop(new);
            drop(run.place(standard.await.unwrap().unwrap()));
            drop(old);
            drop(sheddable.await.unwrap().unwrap());
            assert_eq!((run.gate.in_flight(), run.gate.waiting()), (0, 0));
            let line = r#"signalbox_picker_evictions_total{pool="ns/a",priority="-1"} 1"#;
            assert_eq!(run.metrics.encode().contains(line), told.is_some());
        }
    });
}
