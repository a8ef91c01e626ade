//! Decides how an InferencePool is served: its picker, its protocol, and its conditions for one Gateway.
//!
//! Annotations on the InferencePool:
//!
//! | annotation | meaning |
//! |---|---|
//! | `signalbox.dev/picker: managed` | our infrastructure runs the picker; it is asked with buffered bodies, and verified where we issue certificates |
//! | `signalbox.dev/picker-mode: buffered` | a picker that somebody else runs is ours too: buffered bodies |
//! | `signalbox.dev/picker-tls: "false"` | the picker serves cleartext gRPC; TLS without verification otherwise; a BackendTLSPolicy for its Service says more (see `backend_tls`) |
//!
//! ```text
//! endpointPickerRef ─┬─ absent ─────────────▶ plain load balancing
//!                    ├─ Service with port ──▶ Picker (its cluster, failure mode, ask mode)
//!                    └─ invalid ────────────▶ FailOpen: plain load balancing; FailClose: 500 invalid_endpoint_picker
//! ```

use super::{
    backend_tls, condition,
    fault::Fault,
    ir::{BackendTls, Cluster, ClusterName, Picker, PickerMode, PickerSecurity, Protocol, Upstream},
    report::{Conditions, PoolReport},
    service,
};
use crate::{
    api::{
        EndpointPickerRef, FailureMode, InferencePool, NamespacedName, Object, PoolAppProtocol, ServiceType,
        group,
    },
    world::World,
};

const PICKER: &str = "signalbox.dev/picker";
const PICKER_MODE: &str = "signalbox.dev/picker-mode";
const PICKER_TLS: &str = "signalbox.dev/picker-tls";

/// A pool, looked at.
#[derive(Debug)]
pub(super) struct ResolvedPool {
    /// Its cluster, or why requests to it are refused.
    pub(super) cluster: Result<Cluster, Fault>,
    /// The cluster of its picker.
    pub(super) picker_cluster: Option<Cluster>,
    /// What the condition `ResolvedRefs` says: the truth of it and the message.
    resolved: Result<String, String>,
}

/// What the routes of a Gateway have to do with a pool.
#[derive(Default)]
pub(super) struct Referrers<'r> {
    /// Whether a route that refers to the pool is accepted.
    pub(super) accepted: bool,
    /// The first route that is not, and why.
    pub(super) refused: Option<(&'r NamespacedName, &'r str)>,
}

/// Looks at a pool.
pub(super) fn resolve(world: &World, pool: &InferencePool) -> ResolvedPool {
    let key = pool.key();
    let found = match &pool.spec.endpoint_picker_ref {
        None => Ok(None),
        Some(reference) => by_reference(world, pool, reference).map(Some),
    };
    let protocol = match &pool.spec.app_protocol {
        PoolAppProtocol::Http => Ok(Protocol::Http1),
        PoolAppProtocol::H2c => Ok(Protocol::Http2),
        PoolAppProtocol::Unknown(word) => Err(Fault::unsupported_protocol(format!(
            "InferencePool {key} spec.appProtocol: {word:?} is not spoken to model servers; use http or kubernetes.io/h2c"
        ))),
    };
    let open = pool.spec.endpoint_picker_ref.as_ref().map(failure_mode) == Some(FailureMode::FailOpen);
    let picker = match &found {
        Ok(found) => Ok(found.as_ref().map(|(picker, _)| picker.clone())),
        Err(_) if open => Ok(None),
        Err(why) => Err(Fault::invalid_endpoint_picker(why.clone())),
    };
    let cluster = protocol.and_then(|protocol| {
        let upstream = Upstream::Pool(key.clone(), picker?);
        Ok(Cluster { name: ClusterName::pool(&key), upstream, protocol, tls: None })
    });
    let resolved = match &found {
        Ok(Some((_, Cluster { upstream: Upstream::Picker(service, port, _), .. }))) => {
            Ok(format!("endpoint picker is Service {service}, port {port}"))
        }
        Ok(Some((picker, _))) => Ok(format!("endpoint picker is {}", picker.cluster)),
        Ok(None) if is_managed(pool) => Ok(format!(
            "spec.endpointPickerRef: absent, so endpoints are chosen by plain load balancing although {PICKER} is \
             managed; name the picker's Service"
        )),
        Ok(None) => {
            Ok("spec.endpointPickerRef: absent, so endpoints are chosen by plain load balancing".into())
        }
        Err(why) if open => {
            Err(format!("{why}; until then endpoints are chosen by plain load balancing (FailOpen)"))
        }
        Err(why) => Err(format!("{why}; until then requests get 500 (FailClose)")),
    };
    ResolvedPool { cluster, picker_cluster: found.ok().flatten().map(|(_, cluster)| cluster), resolved }
}

/// The pool's report with the Gateway as parent.
pub(super) fn report(pool: &InferencePool, resolved: &ResolvedPool, referrers: &Referrers<'_>) -> PoolReport {
    let accepted = match &referrers.refused {
        Some((route, why)) if !referrers.accepted => {
            let message = format!("HTTPRoute {route} refers to the pool and is not accepted: {why}");
            condition::no("Accepted", "HTTPRouteNotAccepted", message)
        }
        _ => condition::yes("Accepted", "Accepted", "an accepted HTTPRoute refers to the pool"),
    };
    let refs = match &resolved.resolved {
        Ok(message) => condition::yes("ResolvedRefs", "ResolvedRefs", message.clone()),
        Err(message) => condition::no("ResolvedRefs", "InvalidExtensionRef", message.clone()),
    };
    let conditions: Conditions = vec![accepted, refs];
    PoolReport { generation: pool.metadata.generation, conditions }
}

/// The picker that the pool names; the error is field and remedy.
fn by_reference(
    world: &World,
    pool: &InferencePool,
    reference: &EndpointPickerRef,
) -> Result<(Picker, Cluster), String> {
    if reference.group != group::CORE || reference.kind != "Service" {
        return Err(format!(
            "spec.endpointPickerRef: kind {:?} of group {:?} is not supported; name a Service",
            reference.kind, reference.group
        ));
    }
    let Some(port) = reference.port.map(|p| p.number) else {
        return Err(
            "spec.endpointPickerRef.port: is required for a Service; add the Service's gRPC port".into()
        );
    };
    let annotation = |name: &str| pool.metadata.annotations.get(name).map(String::as_str);
    let managed = is_managed(pool);
    let key = NamespacedName::new(&pool.metadata.namespace, &reference.name);
    let Some(found) = world.services.get(&key) else {
        let remedy = match managed {
            true => "it is created because of the annotation signalbox.dev/picker: managed".to_owned(),
            false => {
                format!("create it, or annotate the InferencePool with {PICKER}: managed to have one run")
            }
        };
        return Err(format!("spec.endpointPickerRef: Service {key} does not exist; {remedy}"));
    };
    if found.spec.kind == ServiceType::ExternalName {
        return Err(format!(
            "spec.endpointPickerRef: Service {key} is of type ExternalName, which is not allowed; use a Service with \
             endpoints"
        ));
    }
    let Some(found) = service::tcp_port(found, port) else {
        let ports: Vec<String> = found.spec.ports.iter().map(|p| p.port.to_string()).collect();
        return Err(format!(
            "spec.endpointPickerRef.port: Service {key} has no port {port} (it has {}); name a port of the Service, not \
             of its Pods",
            ports.join(", ")
        ));
    };
    let tls = match managed {
        true => Ok(None),
        false => backend_tls::of_port(world, &key, found).transpose(),
    };
    let tls =
        tls.map_err(|why| format!("spec.endpointPickerRef: Service {key} cannot be verified: {why}"))?;
    let security = match speaks_tls_to_picker(pool) {
        _ if tls.is_some() => PickerSecurity::TlsByPolicy,
        false => PickerSecurity::Cleartext,
        true if managed => PickerSecurity::TlsVerified,
        true => PickerSecurity::TlsUnverified,
    };
    let mode = match managed || annotation(PICKER_MODE) == Some("buffered") {
        true => PickerMode::Buffered,
        false => PickerMode::FullDuplex,
    };
    let cluster = picker_cluster(&key, port, security, tls);
    Ok((Picker { cluster: cluster.name.clone(), failure_mode: failure_mode(reference), mode }, cluster))
}

/// Whether our infrastructure runs the pool's picker.
pub(super) fn is_managed(pool: &InferencePool) -> bool {
    pool.metadata.annotations.get(PICKER).is_some_and(|value| value == "managed")
}

/// Whether Envoys speak TLS to the pool's picker, as far as the pool says.
pub fn speaks_tls_to_picker(pool: &InferencePool) -> bool {
    pool.metadata.annotations.get(PICKER_TLS).is_none_or(|value| value != "false")
}

/// The cluster as it is where nobody issues certificates to managed pickers: theirs are self-signed.
pub(super) fn without_trust(mut cluster: Cluster) -> Cluster {
    if let Upstream::Picker(_, _, security @ PickerSecurity::TlsVerified) = &mut cluster.upstream {
        *security = PickerSecurity::TlsSelfSigned;
    }
    cluster
}

/// Whether the cluster verifies a managed picker.
pub(super) fn needs_trust(cluster: &Cluster) -> bool {
    matches!(cluster.upstream, Upstream::Picker(_, _, PickerSecurity::TlsVerified))
}

/// A word that is not known fails closed.
fn failure_mode(reference: &EndpointPickerRef) -> FailureMode {
    match reference.failure_mode {
        FailureMode::FailOpen => FailureMode::FailOpen,
        FailureMode::FailClose | FailureMode::Unknown(_) => FailureMode::FailClose,
    }
}

fn picker_cluster(
    service: &NamespacedName,
    port: u16,
    security: PickerSecurity,
    tls: Option<BackendTls>,
) -> Cluster {
    Cluster {
        name: ClusterName::picker(service, port),
        upstream: Upstream::Picker(service.clone(), port, security),
        protocol: Protocol::Http2,
        tls,
    }
}
