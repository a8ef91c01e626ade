//! A real Envoy that proves who it is, and one that verifies a picker.

use std::{fs, path::Path, sync::Arc, time::Duration};

use control_plane::{
    api::NamespacedName,
    gateway::ir,
    identity::{Authority, Credentials, Data, Leaf, Owner, ServerTls, Wanted, advance, keys},
    tasks::TaskSet,
    translate::{self, Cache, Settings},
    xds::{Limits, Nodes, Publisher, serve_tls},
};
use jiff::Timestamp;
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::{
    SOON, ok,
    resources::Config,
    stack::{Envoy, Http, Server, bootstrap_of, free_port, gateway, upstream},
};

const HOST: &str = "signalbox.system.svc";

fn authority(before: Option<&Data>) -> (Authority, Data) {
    let data = advance(Timestamp::now(), before).write.unwrap().1;
    (Authority::read(&data).unwrap(), data)
}

fn own() -> NamespacedName {
    NamespacedName::new("system", "signalbox")
}

fn owner() -> Owner {
    Owner { api_version: "v1".into(), kind: "Gateway".into(), name: "pool".into(), uid: "uid".into() }
}

fn server_credentials(authority: &Authority) -> Credentials {
    let leaf = authority.server(Timestamp::now(), &own(), &[HOST.to_owned()]);
    let trust = authority.trust().pem().as_bytes().to_vec();
    Credentials { certificate: leaf.certificate.into(), key: leaf.key.into(), trust }
}

/// Puts files as a kubelet does: a new directory, then the link `..data` is moved to it.
fn mount(volume: &Path, generation: &str, leaf: &Leaf, trust: &str) {
    let directory = volume.join(format!("..{generation}"));
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in [("tls.crt", &*leaf.certificate), ("tls.key", &leaf.key), ("ca.crt", trust)] {
        fs::write(directory.join(name), text).unwrap();
        let link = volume.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    std::os::unix::fs::symlink(directory.file_name().unwrap(), volume.join("..next")).unwrap();
    fs::rename(volume.join("..next"), volume.join("..data")).unwrap();
}

/// Secrets as files, which Envoy reads again when the volume changes.
fn secret_file(volume: &Path, name: &str, value: &serde_json::Value) -> serde_json::Value {
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    let mut secret = json!({"@type": kind, "name": name});
    secret.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    let path = volume.with_extension(format!("{name}.json"));
    fs::write(&path, json!({"resources": [secret]}).to_string()).unwrap();
    json!({"name": name, "sds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"}})
}

fn bootstrap(volume: &Path, port: u16) -> serde_json::Value {
    let file = |name: &str| json!({"filename": volume.join(name)});
    let watched = json!({"path": volume});
    let certificate = json!({"tls_certificate": {
        "certificate_chain": file("tls.crt"), "private_key": file("tls.key"), "watched_directory": watched
    }});
    let trust = json!({"validation_context": {"trusted_ca": file("ca.crt"), "watched_directory": watched}});
    let mut config = bootstrap_of("DELTA_GRPC", port);
    config["static_resources"]["clusters"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": HOST,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [secret_file(volume, "identity", &certificate)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": [
                        {"san_type": "DNS", "matcher": {"exact": HOST}}
                    ]},
                    "validation_context_sds_secret_config": secret_file(volume, "authority", &trust)
                }
            }
        }
    });
    config
}

struct Secured {
    publisher: Publisher,
    nodes: Nodes,
    port: u16,
    stop: CancellationToken,
    tasks: TaskSet,
}

impl Secured {
    async fn start(port: u16, tls: ServerTls) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = Publisher::default();
        let nodes = Nodes::new(publisher.clone());
        let (stop, tasks) = (CancellationToken::new(), TaskSet::default());
        let limits = Limits::default();
        tasks.spawn("xds", serve_tls(listener, tls, publisher.clone(), nodes.clone(), limits, stop.clone()));
        Self { publisher, nodes, port, stop, tasks }
    }

    async fn publish(&self, config: &Config, envoy: &Envoy) {
        self.publisher.publish(&gateway(), config.snapshot());
        let current = timeout(SOON, self.nodes.until_current(&gateway())).await;
        assert!(current.is_ok(), "{:#?}\n{}", self.nodes.gateway_state(&gateway()), envoy.log());
    }

    async fn stop(self) {
        self.tasks.shutdown();
        self.stop.cancel();
        self.tasks.wait(Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_proves_who_it_is_and_follows_rotated_files() {
    let tasks = TaskSet::default();
    let a = upstream(&tasks, "a").await;
    let (old, data) = authority(None);
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("volume");
    let wanted = Wanted::gateway(&gateway(), owner());
    mount(&volume, "1", &old.client(Timestamp::now(), &wanted), old.trust().pem());
    let tls = ServerTls::default();
    tls.replace(&server_credentials(&old)).unwrap();
    let server = Secured::start(0, tls.clone()).await;
    let port = server.port;
    let envoy = Envoy::with(&bootstrap(&volume, port));
    let config =
        Config { port: free_port(), clusters: vec![("one", 1000, vec![a])], target: "one", regex: "" };
    server.publish(&config, &envoy).await;
    assert_eq!(Http::new(config.port).get("/").await, ok("a"), "{}", envoy.log());

    // Another authority and certificate come by file; then the server trusts nothing else any more.
    let mut damaged = data;
    damaged.remove(keys::KEY);
    damaged.remove(keys::TRUST);
    let (new, _) = authority(Some(&damaged));
    let both = format!("{}{}", old.trust().pem(), new.trust().pem());
    mount(&volume, "2", &new.client(Timestamp::now(), &wanted), &both);
    tls.replace(&server_credentials(&new)).unwrap();
    server.stop().await;
    let server = Secured::start(port, tls.clone()).await;
    let changed = Config { regex: "/.*", ..config };
    server.publish(&changed, &envoy).await;
    assert_eq!(Http::new(changed.port).get("/").await, ok("a"), "{}", envoy.log());

    // The certificate of another Gateway: connected, and refused.
    let other = Wanted::gateway(&NamespacedName::new("default", "other"), owner());
    mount(&volume, "3", &new.client(Timestamp::now(), &other), &both);
    server.stop().await;
    let server = Secured::start(port, tls.clone()).await;
    let denied = async {
        while tls.metrics().denied("ads") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, denied).await.expect("a refusal");
    assert_eq!(server.nodes.gateway_state(&gateway()).connected, 0);
    server.stop().await;
    tasks.shutdown();
}

/// A picker's health service with the certificate of `leaf`.
async fn picker(tasks: &TaskSet, leaf: &Leaf) -> u16 {
    let port = free_port();
    let (reporter, health) = tonic_health::server::health_reporter();
    let service = "envoy.service.ext_proc.v3.ExternalProcessor";
    reporter.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&leaf.certificate, &leaf.key));
    let server = tonic::transport::Server::builder().tls_config(tls).unwrap().add_service(health);
    let address = ([127, 0, 0, 1], port).into();
    tasks.spawn_brief("picker", async move { server.serve(address).await.unwrap() });
    port
}

/// A Gateway with one cluster: a managed picker, or one that is verified as a policy says.
fn snapshot(trust: &str, port: u16, tls: Option<ir::BackendTls>) -> Arc<control_plane::xds::Snapshot> {
    let service = NamespacedName::new("ns", "picker");
    let name = ir::ClusterName::picker(&service, 9002);
    let security = match tls {
        Some(_) => ir::PickerSecurity::TlsByPolicy,
        None => ir::PickerSecurity::TlsVerified,
    };
    let upstream = ir::Upstream::Picker(service, 9002, security);
    let cluster = ir::Cluster { name: name.clone(), upstream, protocol: ir::Protocol::Http2, tls };
    let gateway = ir::Gateway {
        name: gateway(),
        listeners: Vec::new(),
        clusters: [(name.clone(), Arc::new(cluster))].into(),
        picker_trust: Some(trust.into()),
        certificates: std::collections::BTreeMap::new(),
    };
    let endpoint = ir::Endpoint {
        address: "127.0.0.1".parse().unwrap(),
        port,
        state: ir::EndpointState::Ready,
        pod: String::new(),
        node: String::new(),
        rank: 0,
        engine: String::new(),
        accelerator: ir::Accelerator::default(),
        labels: std::collections::BTreeMap::new(),
    };
    let set = ir::EndpointSet { cluster: name.clone(), endpoints: vec![endpoint.into()] };
    let endpoints = [(name, Arc::new(set))].into();
    Arc::new(translate::snapshot(&gateway, &endpoints, &Settings::default(), None, &mut Cache::default()))
}

/// An Envoy that says of pickers whether they are healthy, as it sees them over TLS.
struct Watcher {
    server: Server,
    envoy: Envoy,
    http: Http,
}

impl Watcher {
    async fn start() -> Self {
        let server = Server::start(0).await;
        let admin = free_port();
        let mut bootstrap = bootstrap_of("DELTA_GRPC", server.port);
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = json!(admin);
        let envoy = Envoy::with(&bootstrap);
        Self { server, envoy, http: Http::new(admin) }
    }

    async fn sees(&self, trust: &str, tls: Option<ir::BackendTls>, port: u16, healthy: bool) {
        let what = format!("healthy: {healthy}, {:?}", tls.as_ref().map(|tls| &tls.names));
        self.server.publisher.publish(&gateway(), snapshot(trust, port, tls));
        let seen = timeout(SOON, async {
            loop {
                let clusters = self.http.get("/clusters").await.map(|(_, text)| text).unwrap_or_default();
                let flags = clusters.lines().find_map(|line| {
                    line.strip_prefix(&format!("picker/ns/picker/9002::127.0.0.1:{port}::health_flags::"))
                });
                match flags {
                    Some("healthy") if healthy => return,
                    Some(flags)
                        if !healthy && flags.contains("/failed_active_hc") && !flags.contains("pending") =>
                    {
                        return;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        let (seen, log) = (seen.await, self.envoy.log());
        assert!(seen.is_ok(), "{what}\n{:?}\n{log}", self.http.get("/clusters").await);
    }
}

fn wanted(service: &str) -> Wanted {
    Wanted::picker(&NamespacedName::new("ns", service), vec![owner()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_picker_is_verified() {
    let tasks = TaskSet::default();
    let (old, data) = authority(None);
    let right = picker(&tasks, &old.client(Timestamp::now(), &wanted("picker"))).await;
    let wrong = picker(&tasks, &old.client(Timestamp::now(), &wanted("other"))).await;
    let envoy = Watcher::start().await;
    envoy.sees(old.trust().pem(), None, right, true).await;
    envoy.sees(old.trust().pem(), None, wrong, false).await;
    // The next authority: only the secret changes.
    let mut damaged = data;
    damaged.remove(keys::KEY);
    damaged.remove(keys::TRUST);
    let (new, _) = authority(Some(&damaged));
    let rotated = picker(&tasks, &new.client(Timestamp::now(), &wanted("picker"))).await;
    envoy.sees(old.trust().pem(), None, rotated, false).await;
    envoy.sees(new.trust().pem(), None, rotated, true).await;
    envoy.server.stop().await;
    tasks.shutdown();
}

/// BackendTLSPolicy: names of the certificate, with wildcards on either side, and its authority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picker_is_verified_as_a_policy_says() {
    let tasks = TaskSet::default();
    let ((ours, _), (others, _)) = (authority(None), authority(None));
    let port = picker(&tasks, &ours.client(Timestamp::now(), &wanted("picker"))).await;
    let any = Wanted { dns_names: vec!["*.ns.svc".to_owned()], ..wanted("any") };
    let any = picker(&tasks, &ours.client(Timestamp::now(), &any)).await;
    let envoy = Watcher::start().await;
    let host = |name: &str| ir::BackendName::Host(name.to_owned());
    let uri = |pool: &str| ir::BackendName::Uri(format!("spiffe://signalbox.dev/ns/ns/pool/{pool}"));
    // In turn, so that nothing that is seen is left from the one before.
    for (signed_by, names, port, healthy) in [
        (&ours, vec![host("picker.ns.svc")], port, true),
        (&others, vec![host("picker.ns.svc")], port, false),
        (&ours, vec![host("other.ns.svc"), uri("pool")], port, true),
        (&ours, vec![host("other.ns.svc")], port, false),
        (&ours, vec![host("*.ns.svc")], port, true),
        (&ours, vec![uri("other")], port, false),
        (&ours, vec![host("picker.ns.svc")], port, true),
        (&ours, vec![host("*.svc")], port, false),
        (&ours, vec![host("picker.ns.svc")], any, true),
        (&ours, vec![host("picker.other.svc")], any, false),
    ] {
        let authorities = ir::Authorities::Bundle(signed_by.trust().pem().clone());
        let tls = ir::BackendTls { authorities, server_name: "picker.ns.svc".into(), names };
        envoy.sees("", Some(tls), port, healthy).await;
    }
    envoy.server.stop().await;
    tasks.shutdown();
}
