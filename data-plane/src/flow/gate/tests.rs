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
mod pace;
mod places;
mod signals;
mod waiters;

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
