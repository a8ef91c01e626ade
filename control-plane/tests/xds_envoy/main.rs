//! The xDS server against a real Envoy 1.40, over delta and state-of-the-world ADS.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]
#![expect(clippy::print_stdout, reason = "measured times, for --nocapture")]

mod identity;
mod resources;
mod stack;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use control_plane::{tasks::TaskSet, xds::ResourceType};
use http::StatusCode;
use resources::Config;
use stack::{Envoy, Http, Server, free_port, gateway, upstream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// Publishes and waits until Envoy accepted everything. Returns how long that took.
async fn publish(server: &Server, config: &Config) -> Duration {
    let start = Instant::now();
    server.publisher.publish(&gateway(), config.snapshot());
    let current = timeout(SOON, server.nodes.until_current(&gateway())).await;
    assert!(current.is_ok(), "{:#?}", server.nodes.gateway_state(&gateway()));
    start.elapsed()
}

fn ok(name: &str) -> Result<(StatusCode, String), String> {
    Ok((StatusCode::OK, name.to_owned()))
}

/// Requests without a pause, until told to stop.
struct Load {
    failures: Arc<parking_lot::Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: TaskSet,
}

impl Load {
    fn start(http: &Http) -> Self {
        let load = Self {
            failures: Arc::default(),
            requests: Arc::default(),
            stop: Arc::default(),
            tasks: TaskSet::default(),
        };
        for _ in 0..4 {
            let (failures, requests, stop) =
                (load.failures.clone(), load.requests.clone(), load.stop.clone());
            let http = http.clone();
            load.tasks.spawn_brief("load", async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = http.get("/").await;
                    requests.fetch_add(1, Ordering::Relaxed);
                    if !matches!(answer, Ok((StatusCode::OK, _))) {
                        failures.lock().push(format!("{answer:?}"));
                    }
                }
            });
        }
        load
    }

    /// Lets some more requests pass.
    async fn more(&self) {
        let target = self.requests.load(Ordering::Relaxed) + 200;
        while self.requests.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown();
        self.tasks.wait(SOON).await.unwrap();
        assert_eq!(*self.failures.lock(), Vec::<String>::new());
        self.requests.load(Ordering::Relaxed)
    }
}

async fn follows_snapshots(api: &str) {
    let tasks = TaskSet::default();
    let (a, b) = (upstream(&tasks, "a").await, upstream(&tasks, "b").await);
    let server = Server::start(0).await;
    let envoy = Envoy::start(api, server.port);
    let config =
        Config { port: free_port(), clusters: vec![("one", 1000, vec![a])], target: "one", regex: "" };
    let http = Http::new(config.port);
    publish(&server, &config).await;
    assert_eq!(http.get("/").await, ok("a"), "{}", envoy.log());

    // Endpoints.
    let config = Config { clusters: vec![("one", 1000, vec![b])], ..config };
    let endpoints = publish(&server, &config).await;
    assert_eq!(http.get("/").await, ok("b"));

    // A cluster that changes has to be given its endpoints again: otherwise this takes 15 s.
    let config = Config { clusters: vec![("one", 2000, vec![b])], ..config };
    let cluster = publish(&server, &config).await;
    assert!(cluster < Duration::from_secs(5), "{cluster:?}");

    // Clusters are swapped, to and fro, while requests run.
    let load = Load::start(&http);
    load.more().await;
    let mut swaps = Vec::new();
    for round in 0..6 {
        let target = ["two", "one"][round % 2];
        let config = Config { clusters: vec![(target, 1000, vec![a, b])], target, ..config.clone() };
        swaps.push(publish(&server, &config).await);
        load.more().await;
        // The cluster that is no longer used goes.
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    let requests = load.finish().await;
    println!("{api}: endpoints {endpoints:?}, cluster {cluster:?}, swaps {swaps:?} over {requests} requests");
    server.stop().await;
    tasks.shutdown();
}

async fn reports_rejections(api: &str) {
    let tasks = TaskSet::default();
    let a = upstream(&tasks, "a").await;
    let server = Server::start(0).await;
    let _envoy = Envoy::start(api, server.port);
    let config =
        Config { port: free_port(), clusters: vec![("one", 1000, vec![a])], target: "one", regex: "" };
    let http = Http::new(config.port);
    publish(&server, &config).await;

    // The new route is rejected; its cluster stays away from the old one's place.
    let bad = Config {
        clusters: vec![("two", 1000, vec![a])],
        target: "two",
        regex: "/[invalid",
        ..config.clone()
    };
    server.publisher.publish(&gateway(), bad.snapshot());
    let mut changes = server.nodes.subscribe_changes();
    let nacks = timeout(SOON, async {
        loop {
            let nacks = server.nodes.gateway_state(&gateway()).nacks;
            if !nacks.is_empty() {
                return nacks;
            }
            changes.changed().await.unwrap();
        }
    });
    let nacks = nacks.await.unwrap();
    assert_eq!(nacks.len(), 1);
    assert_eq!((nacks[0].kind, &*nacks[0].resources), (ResourceType::Route, &["routes".to_owned()][..]));
    assert!(nacks[0].message.contains("missing ]"), "{}", nacks[0].message);
    assert_eq!(nacks[0].nodes, ["envoy-1"]);
    assert!(!server.nodes.is_current(&gateway()));
    let state = &server.nodes.gateway_state(&gateway()).nodes[0];
    assert!(state.identity.envoy.starts_with("1."), "{state:?}");

    // The old configuration serves, and nothing is sent in a loop.
    let sent = server.nodes.metrics().responses_sent(ResourceType::Route);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(server.nodes.metrics().responses_sent(ResourceType::Route), sent);
    assert_eq!(http.get("/").await, ok("a"));

    let good = Config { regex: "/.*", ..bad };
    publish(&server, &good).await;
    assert!(server.nodes.gateway_state(&gateway()).nacks.is_empty());
    assert_eq!(http.get("/").await, ok("a"));
    server.stop().await;
    tasks.shutdown();
}

async fn survives_a_restart(api: &str, again: &[ResourceType]) {
    let tasks = TaskSet::default();
    let (a, b) = (upstream(&tasks, "a").await, upstream(&tasks, "b").await);
    let server = Server::start(0).await;
    let port = server.port;
    let _envoy = Envoy::start(api, port);
    let config = Config {
        port: free_port(),
        clusters: vec![("one", 1000, vec![a]), ("two", 1000, vec![b])],
        target: "one",
        regex: "",
    };
    let http = Http::new(config.port);
    publish(&server, &config).await;
    let load = Load::start(&http);
    load.more().await;
    server.stop().await;
    load.more().await;

    let server = Server::start(port).await;
    publish(&server, &config).await;
    for kind in ResourceType::ALL {
        let sent = server.nodes.metrics().resources_sent(kind);
        assert_eq!(sent > 0, again.contains(&kind), "{kind:?}: {sent} resources");
    }
    load.more().await;
    load.finish().await;

    // Envoy is up to date after a change that it missed, too.
    server.stop().await;
    let server = Server::start(port).await;
    publish(&server, &Config { target: "two", ..config }).await;
    assert_eq!(http.get("/").await, ok("b"));
    server.stop().await;
    tasks.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta_envoy_follows_snapshots() {
    follows_snapshots("DELTA_GRPC").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sotw_envoy_follows_snapshots() {
    follows_snapshots("GRPC").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta_rejections_are_reported() {
    reports_rejections("DELTA_GRPC").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sotw_rejections_are_reported() {
    reports_rejections("GRPC").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_envoy_is_sent_nothing_again_after_a_restart() {
    survives_a_restart("DELTA_GRPC", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sotw_envoy_is_sent_everything_again_after_a_restart() {
    // Its version does not say which resources it holds.
    let all = [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route];
    survives_a_restart("GRPC", &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_reach_the_acknowledgement_in_milliseconds() {
    let tasks = TaskSet::default();
    let a = upstream(&tasks, "a").await;
    let server = Server::start(0).await;
    let _envoy = Envoy::start("DELTA_GRPC", server.port);
    let mut config =
        Config { port: free_port(), clusters: vec![("one", 1000, vec![a])], target: "one", regex: "" };
    publish(&server, &config).await;
    let (mut endpoints, mut routes) = (Vec::new(), Vec::new());
    for round in 0..50 {
        config.clusters = vec![("one", 1000, vec![a; 1 + round % 2])];
        endpoints.push(publish(&server, &config).await);
        config.regex = ["/.*", ""][round % 2];
        routes.push(publish(&server, &config).await);
    }
    endpoints.sort();
    routes.sort();
    println!(
        "p50/p98: endpoints {:?}/{:?}, routes {:?}/{:?}",
        endpoints[25], endpoints[48], routes[25], routes[48]
    );
    // A wide margin for busy machines; what is meant is "no timer is involved".
    assert!(endpoints[25] < Duration::from_millis(100) && routes[25] < Duration::from_millis(100));
    server.stop().await;
    tasks.shutdown();
}
