//! Gateways, listeners and virtual hosts.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{Certificate, CertificateName, Cluster, ClusterName, Route};
use crate::api::NamespacedName;

/// One Gateway, resolved: all that its fleet of Envoys needs to know, endpoints aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// The Gateway object.
    pub name: NamespacedName,
    /// Sockets, sorted by port; listeners of the Gateway that share a port are one entry.
    pub listeners: Vec<Arc<Listener>>,
    /// Every cluster that a route names, pickers' included.
    pub clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    /// Authorities of managed pickers, PEM; only where a cluster verifies one.
    pub picker_trust: Option<Arc<str>>,
    /// Every certificate that a listener names.
    pub certificates: BTreeMap<CertificateName, Arc<Certificate>>,
}

/// One socket of the proxies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Port as the Gateway names it.
    pub port: u16,
    /// Port that the proxy binds: `port`, unless the infrastructure maps privileged ports.
    pub bind_port: u16,
    /// Addresses to bind; empty binds all.
    pub addresses: Vec<IpAddr>,
    /// What is spoken.
    pub protocol: ListenerProtocol,
}

/// What a socket speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// Cleartext HTTP/1.1 and HTTP/2.
    Http(HttpListener),
    /// TLS that ends here, HTTP/1.1 and HTTP/2 in it: one chain for each of the Gateway's listeners on the port, sorted
    /// by server name.
    Https(Vec<TlsChain>),
}

impl ListenerProtocol {
    /// The HTTP sides of the socket: one, or one for each chain.
    pub fn http(&self) -> impl Iterator<Item = &HttpListener> {
        let (plain, chains) = match self {
            Self::Http(http) => (Some(http), &[][..]),
            Self::Https(chains) => (None, &chains[..]),
        };
        plain.into_iter().chain(chains.iter().map(|chain| &chain.http))
    }

    /// As [`Self::http`], to change.
    pub fn http_mut(&mut self) -> impl Iterator<Item = &mut HttpListener> {
        let (plain, chains) = match self {
            Self::Http(http) => (Some(http), &mut [][..]),
            Self::Https(chains) => (None, &mut chains[..]),
        };
        plain.into_iter().chain(chains.iter_mut().map(|chain| &mut chain.http))
    }
}

/// What is served to clients that ask for one server name (SNI).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsChain {
    /// `*`, `*.example.com` or `api.example.com`; the most specific that covers the client's is taken, `*` where it
    /// names none.
    pub server_name: String,
    /// Certificates to choose from, in the listener's order; never empty.
    pub certificates: Vec<CertificateName>,
    /// What is spoken inside. Hosts that are another chain's are there too, to be refused with 421 (GEP-3567).
    pub http: HttpListener,
}

/// An HTTP socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpListener {
    /// Virtual hosts, sorted by hostname; no two have the same.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
    /// Lower-case names of the headers that carry the request's model and that some route matches: a subset of
    /// `x-gateway-model-name` and `x-gateway-base-model-name`. Empty: bodies are not looked into.
    pub model_headers: Vec<String>,
    /// Adapter or model name → base model, for `x-gateway-base-model-name`; from labelled ConfigMaps. A name that is
    /// not here is its own base model.
    pub base_models: BTreeMap<String, String>,
    /// Whether some route of this socket forwards to a pool with a picker.
    pub uses_pickers: bool,
}

/// All routes for one hostname.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualHost {
    /// `*`, `*.example.com` or `api.example.com`; lower case.
    pub hostname: String,
    /// In order of precedence: the first that matches wins.
    pub routes: Vec<Arc<Route>>,
    /// The models that can be asked for here, sorted by id: what `/v1/models` lists and what the 404 for an unknown
    /// model names. Empty when no route of the host matches a model header.
    pub models: Vec<ModelEntry>,
    /// Whether a route of this host claims `GET /v1/models` itself, by an `Exact` path match or a longer one than `/`
    /// without model headers; if so we do not answer it.
    pub models_path_is_routed: bool,
}

/// One model that clients may name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelEntry {
    /// The name.
    pub id: String,
    /// What serves it, for people: the pool's `namespace/name` (or the Service's).
    pub owned_by: String,
}
