//! Endpoints to which a request may not go.

use super::*;

#[test]
fn a_subset_that_is_full_holds_up_nobody_else() {
    paused(async {
        let run = Run::new(2, BASE(), &[]);
        let subset = [SubsetEntry { ip: "10.0.0.1".parse().unwrap(), port: Some(8000) }];
        let limited = Request { among: within(&subset), tenant: 7, ..of(9) };
        let ask = Ask { subset: Some(&subset), ..Ask::default() };
        let mut rng = fastrand::Rng::with_seed(1);
        let full: Vec<_> = (0..2).map(|_| pick(&run.pool, &ask, now(), &mut rng).unwrap()).collect();
        let waits = run.wait(&limited);
        let other = run.run(&of(0));
        assert_eq!(run.gate.waiting(), 1);
        drop(full);
        run.gate.tick(now());
        drop((waits.await.unwrap().unwrap(), other));
        let nowhere = Request { among: within(&[]), ..of(0) };
        assert!(
            matches!(run.admit(&nowhere), Admission::Admitted(_)),
            "the picker says what is wrong with it"
        );
    });
}

/// 10.0.0.1 is any endpoint, 10.0.0.2 an L4 with a short context, 10.0.0.3 computes prompts for others.
#[test]
fn what_is_free_where_a_request_may_not_go_is_of_no_use_to_it() {
    paused(async {
        let run = Run::new(1, BASE(), &[]);
        let mk = |host: u8, class: &str, label: (&str, &str)| v1::Endpoint {
            address: format!("10.0.0.{host}"),
            port: 8000,
            state: EndpointState::Ready.into(),
            accelerator: Some(v1::Accelerator { class: class.into(), count: 1, memory_bytes: 0 }),
            labels: [(label.0.to_owned(), label.1.to_owned())].into(),
            ..v1::Endpoint::default()
        };
        let endpoints = vec![
            mk(1, "nvidia-h100-80gb", ("a", "b")),
            mk(2, "nvidia-l4", ("signalbox.dev/context-length", "4096")),
            mk(3, "nvidia-l4", ("llm-d.ai/role", "prefill")),
        ];
        let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
        let changed = vec![PoolSnapshot { name, endpoints, ..PoolSnapshot::default() }];
        assert!(run.pools.apply(WatchResponse { changed, ..WatchResponse::default() }).is_empty());
        [(2, 1), (2, 1), (0, 0)].into_iter().for_each(|(running, waiting)| run.scrape(running, waiting));
        let mut rng = fastrand::Rng::with_seed(1);
        let mut fill = |host: u8| -> Vec<_> {
            let subset = [SubsetEntry { ip: [10, 0, 0, host].into(), port: None }];
            let ask = Ask { subset: Some(&subset), ..Ask::default() };
            (0..2).map(|_| pick(&run.pool, &ask, now(), &mut rng).unwrap()).collect()
        };
        let on_l4 = Request { among: Among { classes: "l4", ..Among::default() }, ..of(9) };
        let long = Request { among: Among { prompt_tokens: 4_096, ..Among::default() }, tenant: 2, ..of(8) };

        let first = fill(1);
        drop(run.run(&on_l4));
        let waits_for_first = run.wait(&long);
        let second = fill(2);
        let waits_for_second = run.wait(&on_l4);
        let any = run.wait(&Request { tenant: 3, ..of(0) });
        assert_eq!(run.gate.waiting(), 3, "the third endpoint does not answer");
        drop(first);
        run.gate.tick(now());
        drop((waits_for_first.await.unwrap().unwrap(), any.await.unwrap().unwrap()));
        assert_eq!(run.gate.waiting(), 1, "it passed nobody who could have gone");
        drop(second);
        run.gate.tick(now());
        drop(waits_for_second.await.unwrap().unwrap());
        let nowhere = Request { among: Among { classes: "tpu", ..Among::default() }, ..of(0) };
        assert!(
            matches!(run.admit(&nowhere), Admission::Admitted(_)),
            "the picker says what is wrong with it"
        );
    });
}
