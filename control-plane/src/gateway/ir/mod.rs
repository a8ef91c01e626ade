//! The intermediate representation: decisions, as plain data.
//!
//! `gateway` resolves Kubernetes objects to these types, `translate` turns them into Envoy resources without being
//! able to fail. Nothing here names Kubernetes machinery or Envoy. Everything is ordered and `Hash`: the version of an
//! Envoy resource is the hash of the part of the representation that it was made from.
//!
//! ```text
//! Gateway ── listeners: Listener (one per port) ── [TlsChain] ── HttpListener ── VirtualHost (one per hostname) ── Route
//!    └────── clusters: Cluster (Service port | InferencePool | picker), named by Route ── Forward ── WeightedBackend
//! Endpoints (per cluster, with its own revision) live beside the Gateway, so that they change without it.
//! ```

mod backend_tls;
mod certificate;
mod cluster;
mod endpoint;
mod listener;
mod route;
mod share;

pub use backend_tls::{Authorities, BackendName, BackendTls};
pub use certificate::{Certificate, CertificateName};
pub use cluster::{Cluster, ClusterName, Picker, PickerMode, PickerSecurity, Protocol, Upstream};
pub use endpoint::{Accelerator, Endpoint, EndpointSet, EndpointState};
pub use listener::{Gateway, HttpListener, Listener, ListenerProtocol, ModelEntry, TlsChain, VirtualHost};
pub use route::{
    Action, Forward, HeaderChanges, HeaderCondition, Mirror, PathChange, PathCondition, QueryCondition,
    Redirect, Refusal, Rewrite, Route, RouteMatch, TextMatch, WeightedBackend,
};
