//! Sessions against a model of Envoy, in random orders of snapshots, deliveries, rejections and reconnects.
//!
//! ```text
//! ops ─▶ publish | deliver to Envoy | deliver to the session | reconnect | time
//!          always:  no route to a cluster that is not warm; no cluster removed that a route uses;
//!                   a parked version does not come again
//!          at last: Envoy holds exactly the snapshot, and the session says so
//! ```

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

mod envoy;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use control_plane::xds::{
    Asks, Event, Observation, Protocol, Release, Request, Resource, ResourceType, Response, Session,
    Snapshot, Timing, Version,
};
use envoy::Envoy;
use proptest::prelude::*;

/// A small world: what the snapshot holds.
#[derive(Clone, Debug)]
struct World {
    /// Version of each cluster; 0 if there is none.
    clusters: [u8; 4],
    endpoints: u8,
    /// Cluster of each listener's routes (modulo those that exist), and whether Envoy will reject them.
    routes: [(u8, bool); 2],
    second_listener: bool,
    /// A cluster that no route uses and that Envoy rejects.
    junk: u8,
}

fn resource(name: &str, content: &str) -> Arc<Resource> {
    let any = Bytes::copy_from_slice(content.as_bytes());
    Arc::new(Resource { name: name.into(), version: Version::of(0, content), any })
}

impl World {
    fn snapshot(&self) -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        let mut present = Vec::new();
        for (i, version) in self.clusters.iter().enumerate().filter(|(i, v)| **v > 0 || *i == 0) {
            let name = format!("c{i}");
            snapshot.insert(ResourceType::Cluster, resource(&name, &format!("good {version}")));
            snapshot.insert(ResourceType::Endpoint, resource(&name, &format!("good {}", self.endpoints)));
            present.push(name);
        }
        if self.junk > 0 {
            let (name, content) = ("junk", format!("bad {}", self.junk));
            snapshot.insert(ResourceType::Cluster, resource(name, &content));
        }
        for (i, (target, bad)) in self.routes.iter().enumerate().take(1 + usize::from(self.second_listener)) {
            let name = format!("r{i}");
            snapshot.insert(ResourceType::Listener, resource(&format!("l{i}"), &name));
            let target = &present[usize::from(*target) % present.len()];
            let quality = if *bad { "bad" } else { "good" };
            snapshot.insert(ResourceType::Route, resource(&name, &format!("{quality} {target}")));
        }
        Arc::new(snapshot)
    }

    fn without_mistakes(mut self) -> Self {
        self.junk = 0;
        self.routes.iter_mut().for_each(|(_, bad)| *bad = false);
        self
    }
}

#[derive(Clone, Debug)]
enum Op {
    Publish(World),
    ToEnvoy,
    ToSession,
    Reconnect,
    Time(u8),
}

fn worlds() -> impl Strategy<Value = World> {
    let routes = [(0..4u8, prop::bool::weighted(0.2)), (0..4u8, prop::bool::weighted(0.2))];
    ([0..3u8, 0..3, 0..3, 0..3], 0..3u8, routes, any::<bool>(), 0..3u8).prop_map(
        |(clusters, endpoints, routes, second_listener, junk)| World {
            clusters,
            endpoints,
            routes,
            second_listener,
            junk: junk.saturating_sub(1),
        },
    )
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => worlds().prop_map(Op::Publish),
        10 => Just(Op::ToEnvoy),
        10 => Just(Op::ToSession),
        1 => Just(Op::Reconnect),
        2 => (1..100u8).prop_map(Op::Time),
    ];
    prop::collection::vec(op, 1..120)
}

struct Run {
    session: Session,
    envoy: Envoy,
    to_envoy: VecDeque<Response>,
    to_session: VecDeque<Request>,
    release: Option<Arc<Release>>,
    now: Instant,
    timing: Timing,
    protocol: Protocol,
    parked: BTreeSet<(ResourceType, Arc<str>, Version)>,
}

impl Run {
    fn new(protocol: Protocol) -> Self {
        // Removals wait for acknowledgements only, so that the order is what is tested.
        let timing = Timing { linger: Duration::ZERO, ..Timing::default() };
        let mut run = Self {
            session: Session::new(protocol, timing),
            envoy: Envoy::new(protocol),
            to_envoy: VecDeque::new(),
            to_session: VecDeque::new(),
            release: None,
            now: Instant::now(),
            timing,
            protocol,
            parked: BTreeSet::new(),
        };
        run.to_session.extend(run.envoy.connect());
        run
    }

    fn op(&mut self, op: Op) {
        match op {
            Op::Publish(world) => self.publish(world.snapshot()),
            Op::ToEnvoy => {
                if let Some(response) = self.to_envoy.pop_front() {
                    self.to_session.extend(self.envoy.receive(&response));
                }
            }
            Op::ToSession => {
                if let Some(request) = self.to_session.pop_front() {
                    self.unpark(&request);
                    self.event(Event::Request(request.clone()));
                    // A request may reject a resource and drop it at once.
                    self.unpark(&request);
                }
            }
            Op::Reconnect => {
                self.session = Session::new(self.protocol, self.timing);
                self.to_envoy.clear();
                self.parked.clear();
                self.to_session = self.envoy.connect().into();
                if let Some(release) = self.release.clone() {
                    self.event(Event::Release(release));
                }
            }
            // Stays far below the time after which routes are sent to clusters that are not warm.
            Op::Time(millis) => self.pass(Duration::from_millis(millis.into()) / 10),
        }
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        let same = |kind, name: &str, version| snapshot.get(kind, name).is_some_and(|r| r.version == version);
        self.parked.retain(|(kind, name, version)| same(*kind, name, *version));
        let next = match &self.release {
            None => Some(Release::first(snapshot)),
            Some(release) => release.next(snapshot),
        };
        if let Some(next) = next.map(Arc::new) {
            self.release = Some(next.clone());
            self.event(Event::Release(next));
        }
    }

    /// What the client dropped and asks for again has to be answered.
    fn unpark(&mut self, request: &Request) {
        let dropped = |name: &str| match &request.asks {
            Asks::Delta { unsubscribe, .. } => unsubscribe.iter().any(|n| n == name),
            Asks::Sotw { names } => !names.is_empty() && !names.iter().any(|n| n == name),
        };
        self.parked.retain(|(kind, name, _)| *kind != request.kind || !dropped(name));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.session.deadline().is_some_and(|deadline| self.now >= deadline) {
            self.event(Event::Tick);
        }
    }

    fn event(&mut self, event: Event) {
        let step = self.session.on(event, self.now);
        for observation in &step.observations {
            if let Observation::Nacked { kind, resources, .. } = observation {
                let snapshot = self.release.as_ref().unwrap().snapshot();
                for (name, version) in resources {
                    if snapshot.get(*kind, name).is_some_and(|r| r.version == *version) {
                        self.parked.insert((*kind, name.clone(), *version));
                    }
                }
            }
        }
        for response in &step.responses {
            for resource in &response.resources {
                let key = (response.kind, resource.name.clone(), resource.version);
                assert!(!self.parked.contains(&key), "a parked version is sent again: {key:?}");
            }
        }
        self.to_envoy.extend(step.responses);
    }

    /// Delivers everything, and lets time pass, until nothing happens any more.
    fn drain(&mut self) {
        for _ in 0..4 {
            for _ in 0..2000 {
                self.op(Op::ToSession);
                self.op(Op::ToEnvoy);
                if self.to_session.is_empty() && self.to_envoy.is_empty() {
                    break;
                }
            }
            assert!(self.to_session.is_empty() && self.to_envoy.is_empty(), "the conversation does not end");
            // Envoy's own timeout for clusters whose endpoints do not come.
            self.to_session.extend(self.envoy.stop_waiting());
            self.pass(Duration::from_secs(15));
        }
    }
}

fn check(protocol: Protocol, ops: Vec<Op>, last: World) {
    let mut run = Run::new(protocol);
    for op in ops {
        run.op(op);
    }
    run.drain();
    let last = last.without_mistakes().snapshot();
    run.publish(last.clone());
    run.drain();
    run.envoy.reconnected = false;
    run.envoy.assert_holds(&last);
    let standing = run.session.standing();
    assert!(standing.current, "{:?}", run.session);
    assert!(standing.rejected.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn delta_is_make_before_break_and_converges(ops in ops(), last in worlds()) {
        check(Protocol::Delta, ops, last);
    }

    #[test]
    fn sotw_is_make_before_break_and_converges(ops in ops(), last in worlds()) {
        check(Protocol::Sotw, ops, last);
    }
}
