//! The gRPC edge, with plain gRPC clients.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::{sync::Arc, time::Duration};

use control_plane::{
    api::NamespacedName,
    tasks::TaskSet,
    xds::{Limits, Nodes, Publisher, Resource, ResourceType, Snapshot, Version, serve},
};
use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::protobuf::Any,
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming, transport::Endpoint};

const SOON: Duration = Duration::from_secs(10);

struct Server {
    publisher: Publisher,
    nodes: Nodes,
    port: u16,
    stop: CancellationToken,
    tasks: TaskSet,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = Publisher::default();
        let nodes = Nodes::new(publisher.clone());
        let (stop, tasks) = (CancellationToken::new(), TaskSet::default());
        tasks.spawn("xds", serve(listener, publisher.clone(), nodes.clone(), limits, stop.clone()));
        Self { publisher, nodes, port, stop, tasks }
    }

    async fn client(&self) -> AggregatedDiscoveryServiceClient<tonic::transport::Channel> {
        let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{}", self.port)).unwrap();
        let client = AggregatedDiscoveryServiceClient::new(endpoint.connect().await.unwrap());
        client.max_decoding_message_size(64 << 20)
    }

    /// A stream that asks for all clusters.
    async fn delta(&self, cluster: &str) -> Result<Stream, Status> {
        let (requests, outbound) = mpsc::channel(16);
        requests.send(ask(cluster)).await.unwrap();
        let responses = self.client().await.delta_aggregated_resources(ReceiverStream::new(outbound)).await?;
        Ok(Stream { requests, responses: responses.into_inner() })
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.nodes.subscribe_changes();
        let waited = timeout(SOON, async {
            while !holds(self) {
                changes.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "{what}");
    }

    async fn stop(self) {
        self.tasks.shutdown();
        self.stop.cancel();
        self.tasks.wait(SOON).await.unwrap();
    }
}

struct Stream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        timeout(SOON, self.responses.message()).await.expect("an answer")
    }

    /// Nothing comes; the wait is an upper bound of how late something wrong could come.
    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(200), self.responses.message()).await.is_err()
    }
}

fn ask(cluster: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node { id: "envoy-1".into(), cluster: cluster.into(), ..Node::default() }),
        type_url: ResourceType::Cluster.type_url().into(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn gateway() -> NamespacedName {
    NamespacedName::new("ns", "gw")
}

fn snapshot(version: u64, size: usize) -> Arc<Snapshot> {
    let any = Any { type_url: ResourceType::Cluster.type_url().into(), value: vec![7; size] };
    let resource = Resource { name: "c".into(), version: Version(version), any: any.encode_to_vec().into() };
    let mut snapshot = Snapshot::default();
    snapshot.insert(ResourceType::Cluster, Arc::new(resource));
    Arc::new(snapshot)
}

#[tokio::test]
async fn an_unknown_gateway_keeps_the_stream_and_is_sent_nothing() {
    let server = Server::start(Limits::default()).await;
    let mut stream = server.delta("ns/gw").await.unwrap();
    server.publisher.publish(&NamespacedName::new("ns", "other"), snapshot(1, 10));
    assert!(stream.is_silent().await);
    assert_eq!(server.nodes.gateway_state(&gateway()).connected, 1);

    server.publisher.publish(&gateway(), snapshot(1, 100_000));
    let response = stream.next().await.unwrap().unwrap();
    assert_eq!(response.resources[0].resource.as_ref().unwrap().value, vec![7; 100_000]);

    // A Gateway that is removed takes nothing away; Envoys that come later get nothing.
    server.publisher.remove(&gateway());
    assert!(stream.is_silent().await);
    let mut late = server.delta("ns/gw").await.unwrap();
    assert!(late.is_silent().await);

    // At shutdown, streams end with a status that makes clients come back.
    server.stop().await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(late.next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_node_without_a_gateway_is_told_what_to_do() {
    let server = Server::start(Limits::default()).await;
    let error = server.delta("just-a-name").await.unwrap().next().await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("--service-cluster"), "{}", error.message());
    server.stop().await;
}

#[tokio::test]
async fn state_of_the_world_is_served() {
    let server = Server::start(Limits::default()).await;
    server.publisher.publish(&gateway(), snapshot(0xab, 10));
    let (requests, outbound) = mpsc::channel(16);
    let DeltaDiscoveryRequest { node, type_url, .. } = ask("ns/gw");
    requests.send(DiscoveryRequest { node, type_url, ..DiscoveryRequest::default() }).await.unwrap();
    let mut client = server.client().await;
    let responses = client.stream_aggregated_resources(ReceiverStream::new(outbound)).await;
    let response = responses.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!((response.resources.len(), &*response.nonce), (1, "1"));
    drop((client, requests));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_ended() {
    let server = Server::start(Limits { send: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = server.delta("ns/gw").await.unwrap();
    let mut changes = server.nodes.subscribe_changes();
    for version in 0..60 {
        // Acknowledged, so that the next version is sent, but never read.
        server.publisher.publish(&gateway(), snapshot(version, 1 << 20));
        let ack = DeltaDiscoveryRequest { response_nonce: (version + 1).to_string(), ..ask("") };
        if stream.requests.send(ack).await.is_err() {
            break;
        }
        // The acknowledgement was seen, or the stream waits for the client to read.
        drop(timeout(Duration::from_millis(50), changes.changed()).await);
    }
    server.until("the stream is ended", |s| s.nodes.gateways().is_empty()).await;
    assert_eq!(server.nodes.metrics().stuck.get(), 1);
    // What was on its way can still be read; then the stream is over.
    while stream.next().await.is_ok_and(|response| response.is_some()) {}
    server.stop().await;
}

#[tokio::test]
async fn streams_are_bounded() {
    let server = Server::start(Limits { streams: 1, ..Limits::default() }).await;
    let first = server.delta("ns/gw").await.unwrap();
    let refused = server.delta("ns/gw").await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(server.nodes.metrics().refused.get(), 1);
    server.until("the first is connected", |s| s.nodes.gateways().len() == 1).await;
    drop(first);
    server.until("the first is gone", |s| s.nodes.gateways().is_empty()).await;
    server.stop().await;
}
