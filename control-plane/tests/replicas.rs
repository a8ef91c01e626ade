//! What replicas tell each other, over mutual TLS: Envoys are clients that speak ADS to one of them.

#![expect(clippy::unwrap_used, reason = "what a test does not expect fails it")]

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use control_plane::{
    api::NamespacedName,
    identity::{self, Authority, Credentials, Leaf, Owner, ServerTls, Wanted},
    pools::{self, PoolPublisher},
    replicas::{self, Heard, Known, Merged, Metrics, Reports},
    tasks::TaskSet,
    xds::{Limits, Nodes, Publisher, Resource, ResourceType, Snapshot, Version, serve},
};
use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::{protobuf::Any, rpc},
};
use jiff::Timestamp;
use prost::Message as _;
use proto::tier::v1::{FollowRequest, FollowResponse, replicas_client::ReplicasClient};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

const SOON: Duration = Duration::from_secs(10);
const HOST: &str = "signalbox.system.svc";

fn own() -> NamespacedName {
    NamespacedName::new("system", "signalbox")
}

fn gateway() -> NamespacedName {
    NamespacedName::new("ns", "gw")
}

fn authority() -> Authority {
    identity::advance(Timestamp::now(), None).authority
}

fn credentials(authority: &Authority, leaf: Leaf) -> Credentials {
    let trust = authority.trust().pem().as_bytes().to_vec();
    Credentials { certificate: leaf.certificate.into(), key: leaf.key.into(), trust }
}

fn server(authority: &Authority) -> Credentials {
    credentials(authority, authority.server(Timestamp::now(), &own(), &[HOST.to_owned()]))
}

/// One cluster.
fn snapshot(version: u64) -> Arc<Snapshot> {
    let any = Any { type_url: ResourceType::Cluster.type_url().into(), value: vec![7] };
    let resource = Resource { name: "c".into(), version: Version(version), any: any.encode_to_vec().into() };
    let mut snapshot = Snapshot::default();
    snapshot.insert(ResourceType::Cluster, Arc::new(resource));
    Arc::new(snapshot)
}

struct Replica {
    publisher: Publisher,
    nodes: Nodes,
    metrics: Metrics,
    tls: ServerTls,
    ads: u16,
    tier: SocketAddr,
    tasks: TaskSet,
    stop: CancellationToken,
}

impl Replica {
    /// Of the control plane behind the Service `of`; its certificate is `credentials`.
    async fn start(name: &str, of: NamespacedName, credentials: &Credentials) -> Self {
        let tls = ServerTls::default();
        tls.replace(credentials).unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskSet::default());
        let ads = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tier = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ports = (ads.local_addr().unwrap().port(), tier.local_addr().unwrap());
        let publisher = Publisher::default();
        let nodes = Nodes::new(publisher.clone());
        let metrics = Metrics::default();
        tasks.spawn("xds", serve(ads, publisher.clone(), nodes.clone(), Limits::default(), stop.clone()));
        let reports =
            Reports { nodes: nodes.clone(), own: of, replica: name.to_owned(), metrics: metrics.clone() };
        let pools = PoolPublisher::default();
        tasks.spawn("pools", pools::serve_tls(tier, tls.clone(), pools, reports, stop.clone()));
        Self { publisher, nodes, metrics, tls, ads: ports.0, tier: ports.1, tasks, stop }
    }

    fn publish(&self, version: u64) {
        self.publisher.publish(&gateway(), snapshot(version));
    }

    async fn envoy(&self, id: &str) -> Envoy {
        let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{}", self.ads)).unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(endpoint.connect().await.unwrap());
        let (requests, outbound) = mpsc::channel(16);
        let node = Node { id: id.into(), cluster: gateway().to_string(), ..Node::default() };
        let ask = DeltaDiscoveryRequest { node: Some(node), ..ask() };
        requests.send(ask).await.unwrap();
        let responses = client.delta_aggregated_resources(ReceiverStream::new(outbound)).await.unwrap();
        Envoy { requests, responses: responses.into_inner() }
    }

    async fn stop(self) {
        self.tasks.shutdown();
        self.stop.cancel();
        self.tasks.wait(SOON).await.unwrap();
    }
}

fn ask() -> DeltaDiscoveryRequest {
    let type_url = ResourceType::Cluster.type_url().into();
    DeltaDiscoveryRequest { type_url, ..DeltaDiscoveryRequest::default() }
}

struct Envoy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Envoy {
    /// Takes the next response, and says what is wrong with it, if anything is.
    async fn answer(&mut self, problem: Option<&str>) {
        let response = timeout(SOON, self.responses.message()).await.expect("a response").unwrap().unwrap();
        let error_detail =
            problem.map(|message| rpc::Status { message: message.into(), ..rpc::Status::default() });
        let answer = DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail, ..ask() };
        self.requests.send(answer).await.unwrap();
    }
}

/// The replica that leads, with what it knows of the others.
struct Leader {
    replica: Replica,
    leads: watch::Sender<bool>,
    addresses: watch::Sender<Option<Arc<BTreeSet<SocketAddr>>>>,
    known: watch::Receiver<Arc<Known>>,
}

impl Leader {
    async fn start(credentials: &Credentials, others: &[SocketAddr]) -> Self {
        let replica = Replica::start("leader", own(), credentials).await;
        let (leads, leader) = watch::channel(true);
        let others = others.iter().copied().collect();
        let (addresses, addresses_heard) = watch::channel(Some(Arc::new(others)));
        let (known, known_heard) = watch::channel(Arc::new(Known::default()));
        let config = replicas::Config {
            own: own(),
            replica: "leader".into(),
            tls: replica.tls.clone(),
            metrics: replica.metrics.clone(),
            leader,
            addresses: addresses_heard,
            known,
        };
        replica.tasks.spawn("replicas", replicas::run(config, replica.stop.clone()));
        Self { replica, leads, addresses, known: known_heard }
    }

    fn merged(&self, known: &Known) -> Merged {
        let own = self.replica.nodes.gateway_state(&gateway());
        let snapshot = self.replica.publisher.current(&gateway());
        replicas::merge(&own, snapshot.as_deref(), known.of(&gateway()))
    }

    /// Waits until what is known is complete and `holds` of it.
    async fn until(&self, what: &str, holds: impl Fn(&Merged) -> bool) -> Merged {
        let mut known = self.known.clone();
        let found = known.wait_for(|known| known.is_complete() && holds(&self.merged(known)));
        let found = timeout(SOON, found).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.known));
        self.merged(&found.unwrap())
    }

    async fn until_known(&self, what: &str, holds: impl Fn(&Known) -> bool) {
        let mut known = self.known.clone();
        let found = timeout(SOON, known.wait_for(|known| holds(known))).await;
        assert!(found.is_ok(), "{what}: {:?}", self.known);
    }
}

#[tokio::test]
async fn the_leader_hears_what_envoys_of_others_say() {
    let authority = authority();
    let follower = Replica::start("follower", own(), &server(&authority)).await;
    let leader = Leader::start(&server(&authority), &[follower.tier]).await;
    leader.replica.publish(1);
    let merged = leader.until("nobody is connected", |_| true).await;
    assert_eq!(merged, Merged::default());

    let mut envoy = follower.envoy("e1").await;
    leader.until("connected", |merged| merged.connected == 1 && !merged.acknowledged).await;
    follower.publish(1);
    envoy.answer(None).await;
    leader.until("acknowledged", |merged| merged.acknowledged).await;
    assert_eq!((leader.replica.metrics.heard.get(), follower.metrics.told.get()), (1, 1));

    // The follower is behind: what it says is of another configuration.
    leader.replica.publish(2);
    let behind = leader.merged(&leader.known.borrow());
    assert_eq!((behind.connected, behind.acknowledged), (1, false));
    follower.publish(2);
    envoy.answer(None).await;
    leader.until("acknowledged again", |merged| merged.acknowledged).await;

    // An Envoy of the leader's own counts, too.
    let mut other = leader.replica.envoy("e2").await;
    other.answer(None).await;
    timeout(SOON, leader.replica.nodes.until_current(&gateway())).await.unwrap();
    let merged = leader.merged(&leader.known.borrow());
    assert_eq!((merged.connected, merged.acknowledged), (2, true));

    // Both reject the same: it is told once.
    for replica in [&leader.replica, &follower] {
        replica.publish(3);
    }
    envoy.answer(Some("no such thing")).await;
    other.answer(Some("no such thing")).await;
    let merged = leader
        .until("rejected by both", |merged| merged.nacks.iter().any(|nack| nack.nodes == ["e1", "e2"]))
        .await;
    assert!(!merged.acknowledged);
    let nack = &merged.nacks[0];
    assert_eq!((merged.nacks.len(), nack.version, &*nack.message), (1, Version(3), "no such thing"));
    assert_eq!(nack.resources, ["c"]);

    // An Envoy that goes is forgotten, and what it rejected with it.
    drop(envoy);
    let merged = leader.until("gone", |merged| merged.connected == 1).await;
    assert_eq!(merged.nacks[0].nodes, ["e2"]);
    follower.stop().await;
    leader.replica.stop().await;
}

#[tokio::test]
async fn a_replica_that_dies_is_forgotten_and_heard_when_it_is_back() {
    let authority = authority();
    let follower = Replica::start("follower", own(), &server(&authority)).await;
    let leader = Leader::start(&server(&authority), &[follower.tier]).await;
    for replica in [&leader.replica, &follower] {
        replica.publish(1);
    }
    let mut envoy = follower.envoy("e1").await;
    envoy.answer(None).await;
    leader.until("acknowledged", |merged| merged.acknowledged).await;

    // Who does not lead does not listen.
    leader.leads.send_replace(false);
    leader.until_known("nothing is known", |known| !known.leads && known.replicas.is_empty()).await;
    leader.leads.send_replace(true);
    leader.until("heard again", |merged| merged.acknowledged).await;

    let address = follower.tier;
    follower.stop().await;
    let merged = leader.until("forgotten", |merged| merged.connected == 0).await;
    assert!(!merged.acknowledged);
    assert_eq!(leader.known.borrow().replicas[&address], Heard::Lost);
    assert_eq!(leader.replica.metrics.heard.get(), 0);

    // Its address is gone, and another one comes.
    let next = Replica::start("next", own(), &server(&authority)).await;
    next.publish(1);
    leader.addresses.send_replace(Some(Arc::new([next.tier].into())));
    let mut envoy = next.envoy("e1").await;
    envoy.answer(None).await;
    leader.until("its Envoy is with another", |merged| merged.acknowledged).await;
    assert_eq!(leader.known.borrow().replicas.keys().collect::<Vec<_>>(), [&next.tier]);
    next.stop().await;
    leader.replica.stop().await;
}

#[tokio::test]
async fn one_that_hears_itself_counts_its_envoys_once() {
    let authority = authority();
    let leader = Leader::start(&server(&authority), &[]).await;
    leader.replica.publish(1);
    let mut envoy = leader.replica.envoy("e1").await;
    envoy.answer(None).await;
    timeout(SOON, leader.replica.nodes.until_current(&gateway())).await.unwrap();
    leader.addresses.send_replace(Some(Arc::new([leader.replica.tier].into())));
    let heard = |known: &Known| matches!(known.replicas.get(&leader.replica.tier), Some(Heard::All(_)));
    leader.until_known("heard", heard).await;
    assert_eq!(leader.merged(&leader.known.borrow()).connected, 1);
    leader.replica.stop().await;
}

#[tokio::test]
async fn one_that_refuses_or_is_not_believed_is_left_out() {
    let authority = authority();
    // Another installation's, one with another authority, and nobody.
    let foreign = Replica::start("foreign", NamespacedName::new("other", "x"), &server(&authority)).await;
    let strange = Replica::start("strange", own(), &server(&self::authority())).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let leader = Leader::start(&server(&authority), &[foreign.tier, strange.tier, nobody]).await;
    leader.replica.publish(1);
    let mut envoy = leader.replica.envoy("e1").await;
    envoy.answer(None).await;
    timeout(SOON, leader.replica.nodes.until_current(&gateway())).await.unwrap();
    let merged = leader.until("by its own Envoy alone", |merged| merged.acknowledged).await;
    assert_eq!(merged.connected, 1);
    assert!(leader.known.borrow().replicas.values().all(|heard| *heard == Heard::Lost));
    assert_eq!(foreign.tls.metrics().denied("replicas"), 1);
    for replica in [foreign, strange, leader.replica] {
        replica.stop().await;
    }
}

/// The first response to the holder of a certificate.
async fn follow(replica: &Replica, credentials: &Credentials) -> Result<FollowResponse, Status> {
    let tls = ClientTlsConfig::new()
        .domain_name(HOST)
        .ca_certificate(Certificate::from_pem(&credentials.trust))
        .identity(Identity::from_pem(&credentials.certificate, &credentials.key));
    let endpoint = Endpoint::try_from(format!("https://{}", replica.tier)).unwrap().tls_config(tls).unwrap();
    let mut client = ReplicasClient::new(endpoint.connect_lazy());
    let mut responses = client.follow(FollowRequest { replica: "x".into() }).await?.into_inner();
    Ok(timeout(SOON, responses.message()).await.expect("an answer")?.expect("not the end"))
}

#[tokio::test]
async fn envoys_and_pickers_are_refused() {
    let authority = authority();
    let replica = Replica::start("follower", own(), &server(&authority)).await;
    let owner = || Owner {
        api_version: "v1".into(),
        kind: "Gateway".into(),
        name: "signalbox".into(),
        uid: "uid".into(),
    };
    let envoy = Wanted::gateway(&own(), owner());
    // A picker whose Service would have the control plane's name.
    let picker = Wanted::picker(&own(), vec![owner()]);
    assert_eq!(picker.dns_names, [HOST]);
    for wanted in [envoy, picker] {
        let leaf = authority.client(Timestamp::now(), &wanted);
        let denied = follow(&replica, &credentials(&authority, leaf)).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied, "{denied}");
        assert!(denied.message().contains("only replicas of the control plane"), "{denied}");
    }
    assert_eq!(replica.tls.metrics().denied("replicas"), 2);
    let response = follow(&replica, &server(&authority)).await.unwrap();
    assert_eq!((&*response.replica, response.synced), ("follower", true));
    replica.stop().await;
}

/// A certificate as cert-manager issues it: the names of the Service, and no identity of ours.
fn issued(usages: &[rcgen::ExtendedKeyUsagePurpose]) -> Credentials {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).unwrap();
    params.extended_key_usages = usages.to_vec();
    let certificate = params.signed_by(&key, &ca).unwrap();
    Credentials {
        certificate: certificate.pem().into(),
        key: key.serialize_pem().into(),
        trust: ca.pem().into(),
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_elses_making_needs_to_be_one_for_clients() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    // cert-manager's default is no extended usage at all.
    for (usages, heard) in [(&[][..], true), (&[ServerAuth, ClientAuth], true), (&[ServerAuth], false)] {
        let credentials = issued(usages);
        let follower = Replica::start("follower", own(), &credentials).await;
        let leader = Leader::start(&credentials, &[follower.tier]).await;
        leader.until("tried", |_| true).await;
        let known = leader.known.borrow().replicas[&follower.tier].clone();
        assert_eq!(matches!(known, Heard::All(_)), heard, "{usages:?}");
        follower.stop().await;
        leader.replica.stop().await;
    }
}
