//! Translation of large Gateways: all of it, and after a change of one route.

use std::{
    collections::BTreeMap,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use control_plane::{
    api::{FailureMode, Kind, NamespacedName, ObjectRef},
    gateway::ir::*,
    translate::{Cache, Settings, snapshot},
};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

type Endpoints = BTreeMap<ClusterName, Arc<EndpointSet>>;

/// `routes` model routes over `hosts` virtual hosts, to a tenth as many pools of ten endpoints each.
fn gateway(routes: usize, hosts: usize) -> (Gateway, Endpoints) {
    let pools = (routes / 10).max(1);
    let picker = ClusterName::picker(&NamespacedName::new("infra", "picker"), 9002);
    let mut clusters = BTreeMap::new();
    let mut endpoints = BTreeMap::new();
    let upstream =
        Upstream::Picker(NamespacedName::new("infra", "picker"), 9002, PickerSecurity::TlsUnverified);
    let own = Cluster { name: picker.clone(), upstream, protocol: Protocol::Http2, tls: None };
    clusters.insert(picker.clone(), Arc::new(own));
    for i in 0..pools {
        let pool = pool(i);
        let name = ClusterName::pool(&pool);
        let picker = Picker {
            cluster: picker.clone(),
            failure_mode: FailureMode::FailOpen,
            mode: PickerMode::Buffered,
        };
        let cluster = Cluster {
            name: name.clone(),
            upstream: Upstream::Pool(pool, Some(picker)),
            protocol: Protocol::Http1,
            tls: None,
        };
        clusters.insert(name.clone(), Arc::new(cluster));
        endpoints.insert(name.clone(), Arc::new(set(name, i)));
    }
    let per_host = routes / hosts;
    let virtual_hosts = (0..hosts).map(|h| {
        let routes = (0..per_host).map(|r| Arc::new(route(h * per_host + r, pools))).collect();
        Arc::new(VirtualHost {
            hostname: format!("h{h}.example.com"),
            routes,
            models: Vec::new(),
            models_path_is_routed: false,
        })
    });
    let http = HttpListener {
        virtual_hosts: virtual_hosts.collect(),
        model_headers: vec!["x-gateway-model-name".to_owned()],
        base_models: BTreeMap::new(),
        uses_pickers: true,
    };
    let listener =
        Listener { port: 80, bind_port: 80, addresses: Vec::new(), protocol: ListenerProtocol::Http(http) };
    let name = NamespacedName::new("infra", "edge");
    let (picker_trust, certificates) = (None, BTreeMap::new());
    (Gateway { name, listeners: vec![Arc::new(listener)], clusters, picker_trust, certificates }, endpoints)
}

fn pool(i: usize) -> NamespacedName {
    NamespacedName::new("apps", format!("pool-{i:05}"))
}

fn set(cluster: ClusterName, i: usize) -> EndpointSet {
    let endpoint = |n: u8| Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(10, (i >> 8) as u8, i as u8, n)),
        port: 8000,
        state: EndpointState::Ready,
        pod: String::new(),
        node: String::new(),
        rank: 0,
        engine: String::new(),
        accelerator: Accelerator::default(),
        labels: BTreeMap::new(),
    };
    EndpointSet { cluster, endpoints: (1..=10).map(|n| Arc::new(endpoint(n))).collect() }
}

fn route(i: usize, pools: usize) -> Route {
    let model = HeaderCondition {
        name: "x-gateway-model-name".to_owned(),
        value: TextMatch::Exact(format!("org/model-{i}")),
    };
    let backend = WeightedBackend {
        weight: 1,
        target: Ok(ClusterName::pool(&pool(i % pools))),
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    };
    let forward = Forward {
        backends: vec![backend],
        rewrite: Rewrite::default(),
        request_timeout: None,
        backend_timeout: None,
        mirrors: Vec::new(),
    };
    Route {
        name: format!("httproute/apps/route-{i}/rule/0/match/0"),
        origin: ObjectRef { kind: Kind::HTTPRoute, key: NamespacedName::new("apps", format!("route-{i}")) },
        matches: RouteMatch {
            path: PathCondition::Prefix("/v1".to_owned()),
            headers: vec![model],
            query: Vec::new(),
            method: None,
        },
        action: Action::Forward(forward),
        response_headers: HeaderChanges::default(),
    }
}

/// The same Gateway with one other route; everything else is shared.
fn with_other_route(ir: &Gateway, nth: usize) -> Gateway {
    let mut ir = ir.clone();
    let http = Arc::make_mut(&mut ir.listeners[0])
        .protocol
        .http_mut()
        .next()
        .expect("the benched Gateway has an HTTP socket");
    let route = Arc::make_mut(&mut Arc::make_mut(&mut http.virtual_hosts[0]).routes[0]);
    route.matches.path = PathCondition::Exact(format!("/changed/{nth}"));
    ir
}

/// The same Gateway in new allocations, as a resolver that shares nothing would make it.
fn anew(ir: &Gateway) -> Gateway {
    let mut ir = ir.clone();
    for listener in &mut ir.listeners {
        for host in Arc::make_mut(listener).protocol.http_mut().flat_map(|http| &mut http.virtual_hosts) {
            let host = Arc::make_mut(host);
            host.routes.iter_mut().for_each(|r| *r = Arc::new((**r).clone()));
        }
    }
    ir.clusters.values_mut().for_each(|c| *c = Arc::new((**c).clone()));
    ir
}

fn bench(criterion: &mut Criterion) {
    let settings = Settings::default();
    let mut group = criterion.benchmark_group("translate");
    group.sample_size(10);
    for (routes, hosts) in [(100, 10), (1_000, 10), (10_000, 10), (10_000, 1)] {
        let (ir, endpoints) = gateway(routes, hosts);
        let size = format!("{routes} routes on {hosts} hosts");
        group.bench_function(BenchmarkId::new("all", &size), |b| {
            b.iter(|| black_box(snapshot(&ir, &endpoints, &settings, None, &mut Cache::default())));
        });
        let mut cache = Cache::default();
        let first = snapshot(&ir, &endpoints, &settings, None, &mut cache);
        let mut nth = 0;
        group.bench_function(BenchmarkId::new("one route", &size), |b| {
            b.iter_batched(
                || {
                    nth += 1;
                    with_other_route(&ir, nth)
                },
                |ir| black_box(snapshot(&ir, &endpoints, &settings, Some(&first), &mut cache)),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("one route, nothing shared", &size), |b| {
            b.iter_batched(
                || {
                    nth += 1;
                    anew(&with_other_route(&ir, nth))
                },
                |ir| black_box(snapshot(&ir, &endpoints, &settings, Some(&first), &mut cache)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
