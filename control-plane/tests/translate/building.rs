//! Builders of the representation.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use control_plane::{
    api::{FailureMode, Kind, NamespacedName, ObjectRef},
    gateway::ir::*,
};

/// A Gateway with its endpoints.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) ir: Gateway,
    pub(crate) endpoints: BTreeMap<ClusterName, Arc<EndpointSet>>,
}

pub(crate) fn nn(text: &str) -> NamespacedName {
    let (namespace, name) = text.split_once('/').unwrap();
    NamespacedName::new(namespace, name)
}

pub(crate) fn case(listeners: Vec<Listener>) -> Case {
    let listeners = listeners.into_iter().map(Arc::new).collect();
    Case {
        ir: Gateway {
            name: nn("infra/edge"),
            listeners,
            clusters: BTreeMap::new(),
            picker_trust: None,
            certificates: BTreeMap::new(),
        },
        endpoints: BTreeMap::new(),
    }
}

impl Case {
    fn cluster(mut self, name: ClusterName, upstream: Upstream, protocol: Protocol, at: &[&str]) -> Self {
        let endpoints = at.iter().map(|a| Arc::new(endpoint(a))).collect();
        let set = EndpointSet { cluster: name.clone(), endpoints };
        self.endpoints.insert(name.clone(), Arc::new(set));
        self.ir.clusters.insert(name.clone(), Arc::new(Cluster { name, upstream, protocol, tls: None }));
        self
    }

    pub(crate) fn certificate(mut self, secret: &str, chain: &str) -> Self {
        let certificate = Certificate { chain: chain.to_owned(), key: "a key".to_owned() };
        self.ir.certificates.insert(CertificateName::new(&nn(secret)), Arc::new(certificate));
        self
    }

    pub(crate) fn service(self, name: &str, protocol: Protocol, at: &[&str]) -> Self {
        let name = nn(name);
        self.cluster(ClusterName::service(&name, 80), Upstream::Service(name, 80), protocol, at)
    }

    /// The endpoints of a Service have to show a certificate of this name from an authority of the system.
    pub(crate) fn verified(mut self, service: &str, name: &str) -> Self {
        let cluster = self.ir.clusters.get_mut(&ClusterName::service(&nn(service), 80)).unwrap();
        Arc::make_mut(cluster).tls = Some(BackendTls {
            authorities: Authorities::System,
            server_name: name.to_owned(),
            names: vec![BackendName::Host(name.to_owned())],
        });
        self
    }

    pub(crate) fn pool(self, name: &str, picker: Option<Picker>, protocol: Protocol, at: &[&str]) -> Self {
        let name = nn(name);
        self.cluster(ClusterName::pool(&name), Upstream::Pool(name, picker), protocol, at)
    }

    pub(crate) fn picker(self, service: &str, security: PickerSecurity, at: &[&str]) -> Self {
        let name = nn(service);
        let upstream = Upstream::Picker(name.clone(), 9002, security);
        self.cluster(ClusterName::picker(&name, 9002), upstream, Protocol::Http2, at)
    }
}

/// `127.0.0.1:80`, or with `!` for one that drains.
fn endpoint(text: &str) -> Endpoint {
    let (text, state) =
        text.strip_suffix('!').map_or((text, EndpointState::Ready), |t| (t, EndpointState::Draining));
    let at: std::net::SocketAddr = text.parse().unwrap();
    Endpoint {
        address: at.ip(),
        port: at.port(),
        state,
        pod: String::new(),
        node: String::new(),
        rank: 0,
        engine: String::new(),
        accelerator: Accelerator::default(),
        labels: BTreeMap::new(),
    }
}

pub(crate) fn asks(service: &str, failure_mode: FailureMode, mode: PickerMode) -> Option<Picker> {
    Some(Picker { cluster: ClusterName::picker(&nn(service), 9002), failure_mode, mode })
}

pub(crate) fn listener(port: u16, addresses: &[&str], http: HttpListener) -> Listener {
    Listener {
        port,
        bind_port: if port < 1024 { port + 10_000 } else { port },
        addresses: addresses.iter().map(|a| a.parse::<IpAddr>().unwrap()).collect(),
        protocol: ListenerProtocol::Http(http),
    }
}

/// A listener with a chain for each server name, which one Secret of that name proves.
pub(crate) fn tls(port: u16, chains: Vec<(&str, &str, HttpListener)>) -> Listener {
    let chains = chains.into_iter().map(|(server_name, secret, http)| TlsChain {
        server_name: server_name.to_owned(),
        certificates: vec![CertificateName::new(&nn(secret))],
        http,
    });
    let protocol = ListenerProtocol::Https(chains.collect());
    Listener { protocol, ..listener(port, &[], http(vec![])) }
}

pub(crate) fn http(hosts: Vec<VirtualHost>) -> HttpListener {
    HttpListener {
        virtual_hosts: hosts.into_iter().map(Arc::new).collect(),
        model_headers: Vec::new(),
        base_models: BTreeMap::new(),
        uses_pickers: false,
    }
}

pub(crate) fn host(hostname: &str, routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        hostname: hostname.to_owned(),
        routes: routes.into_iter().map(Arc::new).collect(),
        models: Vec::new(),
        models_path_is_routed: false,
    }
}

pub(crate) fn models(ids: &[&str]) -> Vec<ModelEntry> {
    ids.iter().map(|id| ModelEntry { id: (*id).to_owned(), owned_by: "apps/pool".to_owned() }).collect()
}

/// A route for a path: `/prefix`, `=/exact` or `~regex`.
pub(crate) fn route(name: &str, path: &str, action: Action) -> Route {
    let path = match path.split_at(1) {
        ("=", p) => PathCondition::Exact(p.to_owned()),
        ("~", p) => PathCondition::Regex(p.to_owned()),
        _ => PathCondition::Prefix(path.to_owned()),
    };
    Route {
        name: format!("httproute/apps/{name}/rule/0/match/0"),
        origin: ObjectRef { kind: Kind::HTTPRoute, key: nn(&format!("apps/{name}")) },
        matches: RouteMatch { path, headers: Vec::new(), query: Vec::new(), method: None },
        action,
        response_headers: HeaderChanges::default(),
    }
}

pub(crate) trait RouteExt {
    fn header(self, name: &str, value: TextMatch) -> Self;
    fn model(self, model: &str) -> Self;
}

impl RouteExt for Route {
    fn header(mut self, name: &str, value: TextMatch) -> Self {
        self.matches.headers.push(HeaderCondition { name: name.to_owned(), value });
        self.matches.headers.sort();
        self
    }

    fn model(self, model: &str) -> Self {
        self.header("x-gateway-model-name", TextMatch::Exact(model.to_owned()))
    }
}

pub(crate) fn forward(backends: Vec<WeightedBackend>) -> Forward {
    Forward {
        backends,
        rewrite: Rewrite::default(),
        request_timeout: None,
        backend_timeout: None,
        mirrors: Vec::new(),
    }
}

pub(crate) fn to(target: Result<ClusterName, Refusal>, weight: u32) -> WeightedBackend {
    WeightedBackend {
        weight,
        target,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    }
}

pub(crate) fn service(name: &str) -> ClusterName {
    ClusterName::service(&nn(name), 80)
}

pub(crate) fn pool(name: &str) -> ClusterName {
    ClusterName::pool(&nn(name))
}

/// Forwards everything to one cluster.
pub(crate) fn only(cluster: ClusterName) -> Action {
    Action::Forward(forward(vec![to(Ok(cluster), 1)]))
}

pub(crate) fn missing() -> Refusal {
    Refusal {
        status: 500,
        reason: "backend_not_found".to_owned(),
        message: "A backend of this route \"does not exist\" (100%).".to_owned(),
    }
}

pub(crate) fn changes(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderChanges {
    let pairs = |of: &[(&str, &str)]| of.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
    HeaderChanges { set: pairs(set), add: pairs(add), remove: remove.iter().map(|&r| r.to_owned()).collect() }
}

pub(crate) const MILLIS_300: Option<Duration> = Some(Duration::from_millis(300));
