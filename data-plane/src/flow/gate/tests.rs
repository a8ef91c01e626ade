//! The gate over real slots, in paused time: what is let through, who waits, and what wakes them.

use std::time::Duration;

use proto::tier::v1::{self, EndpointState, PoolName, PoolSnapshot, WatchResponse};
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::*;
use crate::flow::Among;
use crate::flow::settings::{Fullness, Limits};
use crate::metrics::Metrics;
use crate::outcome::Outcome;
use crate::picker::{Ask, SubsetEntry, pick};
use crate::pool::{Pools, Reading};

mod eviction;
mod headroom;

struct Run {
    pools: Pools,
    pool: Arc<Pool>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
}

const BASE: fn() -> Settings =
    || Settings { fullness: Fullness { queue: 0, kv: 0.9 }, ..Settings::default() };

impl Run {
    /// `hosts` endpoints whose signals say that each runs two requests at most.
    fn new(hosts: u8, base: Settings, annotations: &[(&str, &str)]) -> Self {
        let pools = Pools::new(now());
        let metrics = Arc::new(Metrics::new());
        apply(&pools, hosts, annotations);
        let pool = pools.only().unwrap();
        let gate = Gate::new(Arc::clone(&pool), base, Arc::default(), metrics.flow("ns/a"));
        let run = Self { pools, pool, gate: Arc::new(gate), metrics };
        run.scrape(2, 1);
        run.scrape(2, 1);
        run.scrape(0, 0);
        run
    }

    /// Every endpoint tells that so many run and wait.
    fn scrape(&self, running: u32, waiting: u32) {
        for endpoint in &self.pool.snapshot().endpoints {
            let reading = Reading { running: Some(running), waiting: Some(waiting), ..Reading::default() };
            endpoint.slot.store(reading, now());
        }
    }

    fn admit(&self, request: &Request<'_>) -> Admission {
        self.gate.admit(&self.pool.snapshot(), request, now())
    }

    /// Places a request that was admitted.
    fn place(&self, ticket: Ticket) -> Placed {
        self.place_at(0, ticket)
    }

    fn place_at(&self, priority: i32, mut ticket: Ticket) -> Placed {
        let mut rng = fastrand::Rng::with_seed(1);
        let pick = pick(&self.pool, &Ask::default(), now(), &mut rng).unwrap();
        ticket.runs(priority, pick.endpoints[0]);
        Placed { _outcome: pick.outcome, ticket }
    }

    /// A request that is let through at once.
    fn run(&self, request: &Request<'_>) -> Placed {
        match self.admit(request) {
            Admission::Admitted(ticket) => self.place_at(request.priority, ticket),
            other => panic!("{other:?}"),
        }
    }

    /// A request that waits, on a task of its own.
    fn wait(&self, request: &Request<'_>) -> JoinHandle<Result<Ticket, Shed>> {
        let Admission::Waits(waiting) = self.admit(request) else { panic!("it is let through") };
        tokio::task::spawn_local(waiting.ticket())
    }

    fn shed(&self, request: &Request<'_>) -> &'static str {
        match self.admit(request) {
            Admission::Shed(shed) => shed.reason(),
            other => panic!("{other:?}"),
        }
    }
}

/// A request at its endpoint. The account ends before the ticket.
struct Placed {
    _outcome: Outcome,
    ticket: Ticket,
}

impl Placed {
    /// Whether it is told to end for another one, and how.
    async fn evicted(&mut self) -> Option<&'static str> {
        let told = std::future::poll_fn(|cx| self.ticket.poll_evicted(cx));
        tokio::time::timeout(Duration::from_millis(1), told).await.ok().map(|shed| shed.reason())
    }
}

fn apply(pools: &Pools, hosts: u8, annotations: &[(&str, &str)]) {
    let endpoint = |host: u8| v1::Endpoint {
        address: format!("10.0.0.{host}"),
        port: 8000,
        state: EndpointState::Ready.into(),
        ..v1::Endpoint::default()
    };
    let pool = PoolSnapshot {
        name: Some(PoolName { namespace: "ns".into(), name: "a".into() }),
        endpoints: (1..=hosts).map(endpoint).collect(),
        annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..PoolSnapshot::default()
    };
    assert!(pools.apply(WatchResponse { changed: vec![pool], ..WatchResponse::default() }).is_empty());
}

fn of(priority: i32) -> Request<'static> {
    Request { priority, tokens: 10, bytes: 10, ..Request::default() }
}

fn within(subset: &[SubsetEntry]) -> Among<'_> {
    Among { subset: Some(subset), ..Among::default() }
}

/// Runs `test` where local tasks are, with time that passes only when all wait.
fn paused(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn as_many_as_fit_go_and_each_end_lets_the_next_one_go() {
    paused(async {
        let run = Run::new(2, BASE(), &[]);
        let mut held: Vec<Placed> = (0..4).map(|_| run.run(&of(0))).collect();
        let (low, high) = (run.wait(&of(0)), run.wait(&of(5)));
        assert_eq!((run.gate.in_flight(), run.gate.waiting()), (4, 2));
        sleep(Duration::from_millis(100)).await;
        run.scrape(2, 0);
        run.gate.tick(now());
        assert_eq!(run.gate.waiting(), 2, "nothing has ended");
        held.pop();
        let placed = run.place(high.await.unwrap().unwrap());
        assert_eq!((run.gate.waiting(), low.is_finished()), (1, false), "the higher priority went first");
        drop(placed);
        drop(low.await.unwrap().unwrap());
        drop(held);
        assert_eq!((run.gate.in_flight(), run.gate.waiting()), (0, 0));
        assert_eq!(run.gate.0.pending.load(Relaxed), 0);
    });
}

#[test]
fn a_scrape_and_a_snapshot_make_room() {
    paused(async {
        let run = Run::new(1, BASE(), &[]);
        let held = [run.run(&of(0)), run.run(&of(0))];
        let (first, second) = (run.wait(&of(0)), run.wait(&of(0)));
        // Three run, of which one is not ours, and nobody waits: the server runs more than was thought.
        run.scrape(3, 0);
        run.gate.tick(now());
        assert_eq!(run.gate.waiting(), 2);
        run.scrape(2, 0);
        run.gate.tick(now());
        let first = run.place(first.await.unwrap().unwrap());
        // The second endpoint is of a kind that is known to run no more than these.
        apply(&run.pools, 2, &[]);
        run.scrape(0, 0);
        run.gate.tick(now());
        let second = run.place(second.await.unwrap().unwrap());
        drop((held, first, second));
        assert_eq!(run.gate.in_flight(), 0);
    });
}

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

#[test]
fn without_a_queue_only_the_bounds_hold() {
    paused(async {
        let limits = Limits { max_in_flight: 3, sheddable_in_flight: 1 };
        let run = Run::new(1, Settings { limits, ..BASE() }, &[("signalbox.dev/queue", "off")]);
        let first = run.run(&of(-1));
        assert_eq!(run.shed(&of(-1)), "saturated");
        let others = [run.run(&of(0)), run.run(&of(100))];
        assert_eq!(run.shed(&of(100)), "full");
        assert_eq!(run.gate.in_flight(), 3, "a refused request is not counted");
        drop((first, others));
        assert_eq!(run.gate.in_flight(), 0);
    });
}

#[test]
fn bounds_on_requests_in_flight_let_requests_wait() {
    paused(async {
        let limits = Limits { max_in_flight: 2, sheddable_in_flight: 1 };
        let run = Run::new(4, Settings { limits, ..BASE() }, &[]);
        let first = run.run(&of(-1));
        let sheddable = run.wait(&of(-1));
        let second = run.run(&of(0));
        let standard = run.wait(&of(0));
        drop(first);
        let standard = run.place(standard.await.unwrap().unwrap());
        assert_eq!(run.gate.waiting(), 1);
        drop((second, standard));
        drop(sheddable.await.unwrap().unwrap());
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

#[test]
fn many_threads_never_pass_the_room_by_more_than_themselves() {
    const THREADS: u32 = 4;
    let run = Run::new(2, Settings { fullness: Fullness { queue: 0, kv: 0.9 }, ..BASE() }, &[]);
    let most = AtomicU32::new(0);
    let ended = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let (run, most, ended) = (&run, &most, &ended);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let mut rng = fastrand::Rng::with_seed(seed.into());
                runtime.block_on(async {
                    for _ in 0..300 {
                        let ticket = match run.admit(&Request { tenant: seed.into(), ..of(0) }) {
                            Admission::Admitted(ticket) => ticket,
                            Admission::Waits(waiting) => waiting.ticket().await.unwrap(),
                            Admission::Shed(shed) => panic!("{shed}"),
                        };
                        let placed = run.place(ticket);
                        let endpoints = run.pool.snapshot();
                        most.fetch_max(endpoints.endpoints.iter().map(|e| e.slot.in_flight()).sum(), Relaxed);
                        if rng.bool() {
                            tokio::task::yield_now().await;
                        }
                        drop(placed);
                        ended.fetch_add(1, Relaxed);
                    }
                });
            });
        }
    });
    assert_eq!(ended.load(Relaxed), THREADS * 300, "nobody waits for ever, although nothing ticks");
    assert!(most.load(Relaxed) <= 4 + THREADS, "{most:?}");
    assert_eq!((run.gate.in_flight(), run.gate.waiting()), (0, 0));
    assert_eq!(run.gate.0.pending.load(Relaxed), 0);
}
