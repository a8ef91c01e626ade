//! One route changes: how long until 1,000 streams have it?
//!
//! `sessions`: sessions and frames in process, one thread, without a network. `streams`: gRPC streams on loopback, with
//! clients in the same process that acknowledge; from `publish` until the registry says that all are current.
//!
//! The snapshot has 1,000 clusters with endpoints and 10 RouteConfigurations of 60 kB; one of those changes.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use control_plane::{
    api::NamespacedName,
    tasks::TaskSet,
    xds::{
        Asks, Event, Limits, Nodes, Protocol, Publisher, Release, Request, Resource, ResourceType, Response,
        Session, Snapshot, Timing, Version, encode, serve,
    },
};
use criterion::{Criterion, criterion_group, criterion_main};
use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::protobuf::Any,
};
use prost::Message as _;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

const STREAMS: usize = 1000;
const CLUSTERS: usize = 1000;
const ROUTES: usize = 10;

fn resource(kind: ResourceType, name: &str, version: u64, size: usize) -> Arc<Resource> {
    let any = Any { type_url: kind.type_url().into(), value: vec![0; size] };
    Arc::new(Resource { name: name.into(), version: Version(version), any: any.encode_to_vec().into() })
}

/// A base to change one route of.
fn base() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for i in 0..CLUSTERS {
        let name = format!("pool/default/pool-{i}");
        snapshot.insert(ResourceType::Cluster, resource(ResourceType::Cluster, &name, 0, 626));
        snapshot.insert(ResourceType::Endpoint, resource(ResourceType::Endpoint, &name, 0, 2000));
    }
    snapshot.insert(ResourceType::Listener, resource(ResourceType::Listener, "http", 0, 4000));
    for i in 0..ROUTES {
        snapshot.insert(ResourceType::Route, resource(ResourceType::Route, &format!("r{i}"), 0, 60_000));
    }
    snapshot
}

fn with_route(base: &Snapshot, version: u64) -> Arc<Snapshot> {
    let mut snapshot = base.clone();
    snapshot.insert(ResourceType::Route, resource(ResourceType::Route, "r0", version, 60_000));
    Arc::new(snapshot)
}

fn names(snapshot: &Snapshot, kind: ResourceType) -> Vec<String> {
    match kind {
        ResourceType::Endpoint | ResourceType::Route => {
            snapshot.of(kind).map(|r| r.name.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

const KINDS: [ResourceType; 4] =
    [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route];

fn request(kind: ResourceType, subscribe: Vec<String>, nonce: String) -> Request {
    Request {
        kind,
        nonce,
        error: None,
        asks: Asks::Delta { subscribe, unsubscribe: Vec::new(), initial: Vec::new() },
    }
}

fn acknowledge(session: &mut Session, responses: Vec<Response>, now: Instant) {
    for response in responses {
        let ack = request(response.kind, Vec::new(), response.nonce.to_string());
        let step = session.on(Event::Request(ack), now);
        acknowledge(session, step.responses, now);
    }
}

/// Sessions whose clients hold everything.
fn sessions(release: &Arc<Release>, now: Instant) -> Vec<Session> {
    let start = |_| {
        let mut session = Session::new(Protocol::Delta, Timing::default());
        session.on(Event::Release(release.clone()), now);
        for kind in KINDS {
            let ask = request(kind, names(release.snapshot(), kind), String::new());
            let step = session.on(Event::Request(ask), now);
            acknowledge(&mut session, step.responses, now);
        }
        assert!(session.standing().current);
        session
    };
    (0..STREAMS).map(start).collect()
}

fn bench_sessions(criterion: &mut Criterion) {
    let (now, base) = (Instant::now(), base());
    let mut release = Arc::new(Release::first(Arc::new(base.clone())));
    let mut sessions = sessions(&release, now);
    let mut version = 0;
    criterion.bench_function("sessions: one of 10 route configurations to 1000", |bench| {
        bench.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                version += 1;
                let next = with_route(&base, version);
                let start = Instant::now();
                release = Arc::new(release.next(next).expect("a version differs"));
                let mut sent = Vec::new();
                for session in &mut sessions {
                    let step = session.on(Event::Release(release.clone()), now);
                    for response in &step.responses {
                        black_box(encode::frame(Protocol::Delta, response));
                    }
                    sent.push(step.responses);
                }
                total += start.elapsed();
                for (session, responses) in sessions.iter_mut().zip(sent) {
                    assert_eq!(responses.len(), 1);
                    acknowledge(session, responses, now);
                }
            }
            total
        });
    });
    let all = Response {
        kind: ResourceType::Cluster,
        nonce: 1,
        version: Version(1),
        resources: base.of(ResourceType::Cluster).cloned().collect(),
        removed: Vec::new(),
    };
    criterion.bench_function("frame: 1000 clusters", |bench| {
        bench.iter(|| black_box(encode::frame(Protocol::Delta, &all)).iter().map(Bytes::len).sum::<usize>());
    });
}

/// A client that asks for everything and acknowledges whatever comes.
async fn client(port: u16, number: usize, subscriptions: Arc<Vec<(ResourceType, Vec<String>)>>) {
    let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{port}")).expect("a valid address");
    let channel = endpoint.connect().await.expect("the server listens");
    let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let (requests, outbound) = mpsc::channel(16);
    for (kind, names) in subscriptions.iter() {
        let node =
            Node { id: format!("envoy-{number}"), cluster: "default/gateway".into(), ..Node::default() };
        let ask = DeltaDiscoveryRequest {
            node: Some(node),
            type_url: kind.type_url().into(),
            resource_names_subscribe: names.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(ask).await.expect("the stream is open");
    }
    let responses = client.delta_aggregated_resources(ReceiverStream::new(outbound)).await;
    let mut responses = responses.expect("the stream is accepted").into_inner();
    while let Ok(Some(response)) = responses.message().await {
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..DeltaDiscoveryRequest::default()
        };
        if requests.send(ack).await.is_err() {
            return;
        }
    }
}

fn bench_streams(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let gateway = NamespacedName::new("default", "gateway");
    let publisher = Publisher::default();
    let nodes = Nodes::new(publisher.clone());
    let base = base();
    let (stop, tasks) = (CancellationToken::new(), TaskSet::default());
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        // The clients share this process and its cores with the server: during the first push, 3 GB of it, neither
        // answers probes in time.
        let patient = Duration::from_secs(300);
        let limits =
            Limits { keepalive_timeout: patient, first_request: patient, send: patient, ..Limits::default() };
        tasks.spawn("xds", serve(listener, publisher.clone(), nodes.clone(), limits, stop.clone()));
        publisher.publish(&gateway, Arc::new(base.clone()));
        let subscriptions = Arc::new(KINDS.map(|kind| (kind, names(&base, kind))).to_vec());
        for number in 0..STREAMS {
            tasks.spawn_brief("client", client(port, number, subscriptions.clone()));
        }
        let mut changes = nodes.subscribe_changes();
        while nodes.gateway_state(&gateway).current < STREAMS {
            tokio::time::sleep(Duration::from_millis(20)).await;
            changes.changed().await.expect("the registry lives");
        }
    });
    let mut version = 0;
    criterion.bench_function(
        "streams: one of 10 route configurations to 1000, until acknowledged",
        |bench| {
            bench.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    version += 1;
                    let next = with_route(&base, version);
                    let start = Instant::now();
                    publisher.publish(&gateway, next);
                    runtime.block_on(nodes.until_current(&gateway));
                    total += start.elapsed();
                }
                total
            });
        },
    );
    tasks.shutdown();
    stop.cancel();
}

criterion_group! {
    name = fanout;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = bench_sessions, bench_streams
}
criterion_main!(fanout);
