//! Mutual TLS of ADS and the tier API, with plain gRPC clients.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::time::Duration;

use control_plane::{
    api::NamespacedName,
    identity::{self, Authority, Credentials, Data, Leaf, Owner, ServerTls, Wanted, keys},
    pools::{self, PoolPublisher},
    replicas::{self, Reports},
    tasks::TaskSet,
    xds::{self, Limits, Nodes, Publisher, ResourceType},
};
use envoy_types::pb::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};
use jiff::{SignedDuration, Timestamp};
use proto::tier::v1::{PoolName, PoolSnapshot, WatchRequest, pools_client::PoolsClient};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

const SOON: Duration = Duration::from_secs(10);
const HOST: &str = "signalbox.system.svc";

/// An authority, as data and read.
struct Ca {
    data: Data,
    authority: Authority,
}

impl Ca {
    fn at(now: Timestamp, before: Option<&Ca>) -> Self {
        let data = identity::advance(now, before.map(|ca| &ca.data)).write.unwrap().1;
        Self { authority: Authority::read(&data).unwrap(), data }
    }

    fn new() -> Self {
        Self::at(Timestamp::now(), None)
    }

    /// One whose certificate is replaced and both are trusted, as when its key was lost.
    fn replaced(&self) -> Self {
        let mut damaged = self.data.clone();
        damaged.remove(keys::KEY);
        let data = identity::advance(Timestamp::now(), Some(&damaged)).write.unwrap().1;
        Self { authority: Authority::read(&data).unwrap(), data }
    }

    fn trust(&self) -> &str {
        self.authority.trust().pem()
    }

    fn server(&self) -> Credentials {
        let leaf = self.authority.server(Timestamp::now(), &own(), &[HOST.to_owned()]);
        let trust = self.trust().as_bytes().to_vec();
        Credentials { certificate: leaf.certificate.into(), key: leaf.key.into(), trust }
    }

    fn gateway(&self, name: &str) -> Leaf {
        self.authority
            .client(Timestamp::now(), &Wanted::gateway(&NamespacedName::new("ns", name), owner(name)))
    }

    fn pool(&self, name: &str) -> Leaf {
        let service = NamespacedName::new("ns", "picker");
        let wanted = Wanted::picker(&service, vec![owner(name)]);
        self.authority.client(Timestamp::now(), &wanted)
    }
}

fn own() -> NamespacedName {
    NamespacedName::new("system", "signalbox")
}

fn owner(name: &str) -> Owner {
    Owner { api_version: "v1".into(), kind: "Gateway".into(), name: name.into(), uid: "uid".into() }
}

struct Server {
    tls: ServerTls,
    ads: u16,
    tier: u16,
    publisher: Publisher,
    stop: CancellationToken,
    tasks: TaskSet,
}

impl Server {
    async fn start(credentials: Option<&Credentials>) -> Self {
        let tls = ServerTls::default();
        if let Some(credentials) = credentials {
            tls.replace(credentials).unwrap();
        }
        let (stop, tasks) = (CancellationToken::new(), TaskSet::default());
        let ads = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tier = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ports = (ads.local_addr().unwrap().port(), tier.local_addr().unwrap().port());
        let publisher = Publisher::default();
        let nodes = Nodes::new(publisher.clone());
        let reports = Reports {
            nodes: nodes.clone(),
            own: own(),
            replica: "a".into(),
            metrics: replicas::Metrics::default(),
        };
        let limits = Limits::default();
        tasks.spawn("xds", xds::serve_tls(ads, tls.clone(), publisher.clone(), nodes, limits, stop.clone()));
        let pools = PoolPublisher::default();
        let snapshot = |name: &str| PoolSnapshot {
            name: Some(PoolName { namespace: "ns".into(), name: name.into() }),
            revision: 1,
            ..PoolSnapshot::default()
        };
        pools.update(["a", "b"].map(|name| (NamespacedName::new("ns", name), snapshot(name))), &[]);
        tasks.spawn("pools", pools::serve_tls(tier, tls.clone(), pools, reports, stop.clone()));
        Self { tls, ads: ports.0, tier: ports.1, publisher, stop, tasks }
    }

    async fn stop(self) {
        self.tasks.shutdown();
        self.stop.cancel();
        self.tasks.wait(SOON).await.unwrap();
    }
}

/// Connects as the holder of `leaf`, believing `trust`.
async fn connect(port: u16, trust: &str, leaf: Option<&Leaf>) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().domain_name(HOST).ca_certificate(Certificate::from_pem(trust));
    if let Some(leaf) = leaf {
        tls = tls.identity(Identity::from_pem(&leaf.certificate, &leaf.key));
    }
    let endpoint = Endpoint::try_from(format!("https://127.0.0.1:{port}")).unwrap();
    endpoint.tls_config(tls).unwrap().connect_timeout(SOON).connect().await
}

struct Stream {
    _requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    async fn open(channel: Channel, gateway: &str) -> Result<Self, Status> {
        let (requests, outbound) = mpsc::channel(4);
        let node = Node { id: "envoy-1".into(), cluster: gateway.into(), ..Node::default() };
        let type_url = ResourceType::Cluster.type_url().into();
        let ask = DeltaDiscoveryRequest { node: Some(node), type_url, ..DeltaDiscoveryRequest::default() };
        requests.send(ask).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(ReceiverStream::new(outbound)).await?.into_inner();
        Ok(Self { _requests: requests, responses })
    }

    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        Ok(timeout(SOON, self.responses.message()).await.expect("an answer")?.expect("not the end"))
    }
}

fn clusters(version: u64) -> std::sync::Arc<xds::Snapshot> {
    let any = envoy_types::pb::google::protobuf::Any {
        type_url: ResourceType::Cluster.type_url().into(),
        value: vec![7; 10],
    };
    let any = prost::Message::encode_to_vec(&any).into();
    let mut snapshot = xds::Snapshot::default();
    let resource = xds::Resource { name: "c".into(), version: xds::Version(version), any };
    snapshot.insert(ResourceType::Cluster, std::sync::Arc::new(resource));
    snapshot.into()
}

/// The refused ones see it at the latest with their first request: in TLS 1.3 a client is done before it is verified.
async fn refused(port: u16, trust: &str, leaf: Option<&Leaf>) {
    if let Ok(channel) = connect(port, trust, leaf).await {
        let asked = Stream::open(channel, "ns/gw").await;
        let answer = match asked {
            Ok(mut stream) => stream.next().await.map(drop),
            Err(status) => Err(status),
        };
        assert!(answer.is_err(), "it was served");
    }
}

#[tokio::test]
async fn an_envoy_is_served_its_own_gateway() {
    let ca = Ca::new();
    let server = Server::start(Some(&ca.server())).await;
    for gateway in ["gw", "other"] {
        server.publisher.publish(&NamespacedName::new("ns", gateway), clusters(1));
    }
    let leaf = ca.gateway("gw");
    let channel = connect(server.ads, ca.trust(), Some(&leaf)).await.unwrap();
    let mut stream = Stream::open(channel.clone(), "ns/gw").await.unwrap();
    assert_eq!(stream.next().await.unwrap().resources.len(), 1);

    let denied = Stream::open(channel, "ns/other").await.unwrap().next().await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(
        denied.message().contains("Gateway ns/other") && denied.message().contains("gateway/gw"),
        "{denied}"
    );
    assert_eq!(server.tls.metrics().denied("ads"), 1);
    // A picker is no Envoy, also of the same name.
    let picker = connect(server.ads, ca.trust(), Some(&ca.pool("gw"))).await.unwrap();
    let denied = Stream::open(picker, "ns/gw").await.unwrap().next().await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    server.stop().await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let ca = Ca::new();
    let server = Server::start(Some(&ca.server())).await;
    server.publisher.publish(&NamespacedName::new("ns", "gw"), clusters(1));
    refused(server.ads, ca.trust(), None).await;
    // Somebody else's authority.
    refused(server.ads, ca.trust(), Some(&Ca::new().gateway("gw"))).await;
    // Over since yesterday.
    let past = Timestamp::now() - SignedDuration::from_hours(91 * 24);
    let wanted = Wanted::gateway(&NamespacedName::new("ns", "gw"), owner("gw"));
    refused(server.ads, ca.trust(), Some(&ca.authority.client(past, &wanted))).await;
    assert_eq!(server.tls.metrics().handshakes("failed"), 3);
    // The client does not believe another control plane, either.
    assert!(connect(server.ads, Ca::new().trust(), Some(&ca.gateway("gw"))).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn certificates_are_swapped_while_a_stream_lives() {
    let old = Ca::new();
    let server = Server::start(None).await;
    assert!(connect(server.ads, old.trust(), Some(&old.gateway("gw"))).await.is_err());
    assert_eq!(server.tls.metrics().handshakes("no-certificate"), 1);
    server.tls.replace(&old.server()).unwrap();
    let name = NamespacedName::new("ns", "gw");
    server.publisher.publish(&name, clusters(1));
    let channel = connect(server.ads, old.trust(), Some(&old.gateway("gw"))).await.unwrap();
    let mut stream = Stream::open(channel, "ns/gw").await.unwrap();
    stream.next().await.unwrap();

    let new = old.replaced();
    server.tls.replace(&new.server()).unwrap();
    // The old stream goes on.
    drop(
        stream
            ._requests
            .send(DeltaDiscoveryRequest {
                type_url: ResourceType::Cluster.type_url().into(),
                response_nonce: "1".into(),
                ..DeltaDiscoveryRequest::default()
            })
            .await,
    );
    server.publisher.publish(&name, clusters(2));
    assert_eq!(stream.next().await.unwrap().resources.len(), 1);
    // Certificates of both authorities are served; the server shows the new one.
    for leaf in [old.gateway("gw"), new.gateway("gw")] {
        let channel = connect(server.ads, new.trust(), Some(&leaf)).await.unwrap();
        Stream::open(channel, "ns/gw").await.unwrap().next().await.unwrap();
    }
    assert!(connect(server.ads, old.trust(), Some(&old.gateway("gw"))).await.is_err());
    // What cannot be used leaves what serves.
    let broken = Credentials { key: Ca::new().server().key, ..new.server() };
    assert!(server.tls.replace(&broken).unwrap_err().contains("tls.key"));
    connect(server.ads, new.trust(), Some(&new.gateway("gw"))).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_silent_client_does_not_keep_the_server_from_ending() {
    let server = Server::start(Some(&Ca::new().server())).await;
    let silent = tokio::net::TcpStream::connect(("127.0.0.1", server.ads)).await.unwrap();
    server.stop().await;
    drop(silent);
}

async fn watch(channel: Channel, pools: &[&str]) -> Result<Vec<String>, Status> {
    let name = |name: &&str| PoolName { namespace: "ns".into(), name: (*name).into() };
    let request = WatchRequest { pools: pools.iter().map(name).collect(), ..WatchRequest::default() };
    let mut responses = PoolsClient::new(channel).watch(request).await?.into_inner();
    let first = timeout(SOON, responses.message()).await.expect("an answer")?.unwrap();
    Ok(first.changed.into_iter().map(|pool| pool.name.unwrap().name).collect())
}

#[tokio::test]
async fn a_picker_is_sent_its_own_pools() {
    let ca = Ca::new();
    let server = Server::start(Some(&ca.server())).await;
    let channel = connect(server.tier, ca.trust(), Some(&ca.pool("a"))).await.unwrap();
    assert_eq!(watch(channel.clone(), &["a"]).await.unwrap(), ["a"]);
    assert_eq!(watch(channel.clone(), &[]).await.unwrap(), ["a"]);
    let denied = watch(channel, &["a", "b"]).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("InferencePool ns/b"), "{denied}");
    let envoy = connect(server.tier, ca.trust(), Some(&ca.gateway("a"))).await.unwrap();
    assert_eq!(watch(envoy, &[]).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(server.tls.metrics().denied("tier"), 2);
    server.stop().await;
}
