//! Who waits, how long, and what ends it.

use super::*;

#[test]
fn a_request_that_leaves_frees_its_place_in_the_queue_and_a_granted_one_its_ticket() {
    paused(async {
        let run = Run::new(1, BASE(), &[]);
        let held = [run.run(&of(0)), run.run(&of(0))];
        let Admission::Waits(leaves) = run.admit(&of(0)) else { panic!("the pool is full") };
        let Admission::Waits(granted) = run.admit(&of(0)) else { panic!("the pool is full") };
        let stays = run.wait(&of(0));
        drop(leaves);
        assert_eq!(run.gate.waiting(), 2);
        let [one, two] = held;
        drop(one);
        assert_eq!((run.gate.waiting(), run.gate.in_flight()), (1, 2), "it has its ticket");
        drop(granted);
        let ticket = stays.await.unwrap().unwrap();
        assert_eq!((run.gate.waiting(), run.gate.in_flight()), (0, 2));
        drop((two, ticket));
        assert_eq!(run.gate.in_flight(), 0);
        let text = run.metrics.encode();
        for line in [
            r#"signalbox_picker_queue_outcomes_total{pool="ns/a",priority="0",outcome="cancelled",reason=""} 1"#,
            r#"signalbox_picker_queue_outcomes_total{pool="ns/a",priority="0",outcome="dispatched",reason=""} 2"#,
            r#"llm_d_epp_flow_control_requests_total{inference_pool="a",namespace="ns",priority="0",outcome="Dispatched"} 2"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    });
}

#[test]
fn waits_end_by_time() {
    paused(async {
        let run = Run::new(1, BASE(), &[("signalbox.dev/queue-ttl", "5s")]);
        let held = [run.run(&of(0)), run.run(&of(0))];
        let start = tokio::time::Instant::now();
        let patient = run.wait(&of(0));
        let hasty = run.wait(&Request { patience: Some(Duration::from_secs(1)), ..of(0) });
        assert_eq!(hasty.await.unwrap().unwrap_err().reason(), "client_deadline");
        assert_eq!(start.elapsed().as_secs(), 1);
        let shed = patient.await.unwrap().unwrap_err();
        assert_eq!((shed.reason(), shed.status()), ("queue_timeout", 503));
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(run.gate.waiting(), 0);
        drop(held);
    });
}

#[test]
fn a_pool_without_endpoints_holds_requests_if_it_is_told_to() {
    paused(async {
        let run = Run::new(0, BASE(), &[]);
        assert_eq!(run.shed(&of(0)), "no_endpoints");
        apply(&run.pools, 0, &[("signalbox.dev/queue-wait-for-endpoints", "20s")]);
        let (lost, saved) = (run.wait(&of(0)), run.wait(&of(9)));
        run.gate.observe(now());
        let text = run.metrics.encode();
        assert!(text.contains(r#"signalbox_picker_queue_depth{pool="ns/a"} 2"#), "{text}");
        assert!(text.contains(r#"signalbox_picker_saturation{pool="ns/a"} 1.0"#), "{text}");
        sleep(Duration::from_secs(19)).await;
        apply(&run.pools, 1, &[("signalbox.dev/queue-wait-for-endpoints", "20s")]);
        // The endpoint has told nothing yet; the profile of unknown hardware takes at least four requests.
        run.gate.tick(now());
        drop(run.place(saved.await.unwrap().unwrap()));
        drop(lost.await.unwrap().unwrap());
        run.gate.observe(now());
        assert!(run.metrics.encode().contains(r#"signalbox_picker_queue_depth{pool="ns/a"} 0"#));

        apply(&run.pools, 0, &[("signalbox.dev/queue-wait-for-endpoints", "2s")]);
        let lost = run.wait(&of(0));
        let start = tokio::time::Instant::now();
        assert_eq!(lost.await.unwrap().unwrap_err().reason(), "no_endpoints");
        assert_eq!(start.elapsed().as_secs(), 25, "a full pool would have let it wait as long");
    });
}

#[test]
fn a_full_queue_sheds_and_the_sheddable_first() {
    paused(async {
        let annotations = [("signalbox.dev/queue-requests", "2"), ("signalbox.dev/queue-bytes", "100")];
        let run = Run::new(1, BASE(), &annotations);
        let held = [run.run(&of(0)), run.run(&of(0))];
        let sheddable = run.wait(&of(-1));
        let standard = run.wait(&of(0));
        assert_eq!(run.shed(&of(-1)), "saturated");
        assert_eq!(run.shed(&Request { bytes: 101, ..of(9) }), "queue_full", "larger than all of it");
        let critical = run.wait(&of(9));
        assert_eq!(sheddable.await.unwrap().unwrap_err().reason(), "displaced");
        drop((held, standard, critical));
    });
}

#[test]
fn a_queue_that_is_turned_off_lets_go_whom_it_holds() {
    paused(async {
        let run = Run::new(1, BASE(), &[]);
        let held = [run.run(&of(0)), run.run(&of(0))];
        let waits = run.wait(&of(0));
        apply(&run.pools, 1, &[("signalbox.dev/queue", "off")]);
        run.gate.tick(now());
        drop(waits.await.unwrap().unwrap());
        drop(held);
    });
}

#[test]
fn closing_refuses_those_that_wait() {
    paused(async {
        let run = Run::new(1, BASE(), &[]);
        let held = [run.run(&of(0)), run.run(&of(0))];
        let waits = run.wait(&of(0));
        run.gate.close();
        assert_eq!(waits.await.unwrap().unwrap_err().reason(), "shutting_down");
        assert_eq!(run.shed(&of(0)), "shutting_down");
        drop(held);
        drop(run.run(&of(0)));
    });
}
