//! One write to the API server, and what its answer means.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, Client, Error,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    metrics::{Failure, Metrics},
    observed::Observed,
    queue::{Outcome, Write},
};
use crate::api::{Kind, ObjectRef, group};

/// A request that takes longer counts as failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes statuses. Clones share state.
#[derive(Clone)]
pub(super) struct Patcher {
    client: Client,
    metrics: Metrics,
    /// What the API server does not allow, so that it is said once and not for each object. Held for look-ups only.
    denied: Arc<Mutex<BTreeSet<(Kind, &'static str)>>>,
}

impl std::fmt::Debug for Patcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patcher").finish_non_exhaustive()
    }
}

impl Patcher {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics, denied: Arc::default() }
    }

    /// Writes, and reads the object again when somebody else was faster.
    pub(super) async fn write(self, write: Write) -> (ObjectRef, Outcome) {
        let started = Instant::now();
        let api = self.api(&write.object);
        let patched =
            timeout(TIMEOUT, api.patch_status(&write.object.key.name, &params(), &patch(&write))).await;
        self.metrics.took(started.elapsed());
        let outcome = match patched {
            Ok(Ok(answer)) => {
                self.metrics.written(write.object.kind);
                self.denied.lock().remove(&(write.object.kind, "patch"));
                Outcome::Written(observed(answer))
            }
            Ok(Err(Error::Api(status))) if status.code == 404 => Outcome::Gone,
            Ok(Err(Error::Api(status))) if status.code == 409 => {
                self.metrics.conflict();
                self.read_again(&api, &write.object).await
            }
            Ok(Err(error)) => self.failed(&write.object, "patch", &error),
            Err(_) => self.timed_out(&write.object),
        };
        (write.object, outcome)
    }

    async fn read_again(&self, api: &Api<DynamicObject>, object: &ObjectRef) -> Outcome {
        match timeout(TIMEOUT, api.get(&object.key.name)).await {
            Ok(Ok(answer)) => Outcome::Conflict(observed(answer)),
            Ok(Err(Error::Api(status))) if status.code == 404 => Outcome::Gone,
            Ok(Err(error)) => self.failed(object, "get", &error),
            Err(_) => self.timed_out(object),
        }
    }

    fn api(&self, object: &ObjectRef) -> Api<DynamicObject> {
        let resource = resource(object.kind);
        match object.kind.is_namespaced() {
            true => Api::namespaced_with(self.client.clone(), &object.key.namespace, &resource),
            false => Api::all_with(self.client.clone(), &resource),
        }
    }

    fn failed(&self, object: &ObjectRef, verb: &'static str, error: &Error) -> Outcome {
        let Error::Api(status) = error else {
            self.metrics.failed(Failure::Connection);
            tracing::warn!(%object, %error, "a status cannot be written; it is tried again");
            return Outcome::Failed;
        };
        match status.code {
            403 => {
                self.metrics.failed(Failure::Forbidden);
                if self.denied.lock().insert((object.kind, verb)) {
                    let rule = missing_rule(object.kind, verb);
                    tracing::error!(%object, %error, rule, "statuses cannot be written: an RBAC rule is missing");
                }
            }
            422 => {
                self.metrics.failed(Failure::Invalid);
                tracing::error!(%object, %error, "the API server refuses a status as invalid");
            }
            _ => {
                self.metrics.failed(Failure::Other);
                tracing::warn!(%object, %error, "a status cannot be written; it is tried again");
            }
        }
        Outcome::Failed
    }

    fn timed_out(&self, object: &ObjectRef) -> Outcome {
        self.metrics.failed(Failure::Timeout);
        tracing::warn!(%object, timeout = ?TIMEOUT, "the API server does not answer; the status is tried again");
        Outcome::Failed
    }
}

/// A merge patch replaces the fields of ours and leaves others; with a resource version it is refused when somebody
/// else wrote in between, which lists that are replaced as a whole need.
fn patch(write: &Write) -> Patch<Value> {
    let metadata = json!({ "resourceVersion": write.resource_version });
    Patch::Merge(json!({ "metadata": metadata, "status": write.fields }))
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some("signalbox-status".into()), ..PatchParams::default() }
}

fn resource(kind: Kind) -> ApiResource {
    let (group, plural) = names(kind);
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind.as_str()), plural)
}

/// Kinds that have a status of ours.
const KINDS: [Kind; 5] =
    [Kind::GatewayClass, Kind::Gateway, Kind::HTTPRoute, Kind::InferencePool, Kind::BackendTLSPolicy];

/// What has to be allowed, cluster-wide: API group, resource, verb. An object is read again when somebody else was
/// faster.
pub fn rights() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    KINDS.into_iter().flat_map(|kind| {
        let (group, plural) = names(kind);
        [(group, plural.to_owned(), "get"), (group, format!("{plural}/status"), "patch")]
    })
}

/// Group and plural of the kinds that have a status of ours.
fn names(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::GatewayClass => (group::GATEWAY, "gatewayclasses"),
        Kind::Gateway => (group::GATEWAY, "gateways"),
        Kind::BackendTLSPolicy => (group::GATEWAY, "backendtlspolicies"),
        Kind::InferencePool => (group::INFERENCE, "inferencepools"),
        _ => (group::GATEWAY, "httproutes"),
    }
}

/// The rule of a ClusterRole that allows it.
fn missing_rule(kind: Kind, verb: &str) -> String {
    let (group, plural) = names(kind);
    let subresource = if verb == "get" { "" } else { "/status" };
    format!("{{apiGroups: [{group}], resources: [{plural}{subresource}], verbs: [{verb}]}}")
}

fn observed(object: DynamicObject) -> Observed {
    Observed {
        resource_version: object.metadata.resource_version.unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        status: object.data.get("status").cloned().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rules_are_named() {
        assert_eq!(
            missing_rule(Kind::InferencePool, "patch"),
            "{apiGroups: [inference.networking.k8s.io], resources: [inferencepools/status], verbs: [patch]}"
        );
        assert_eq!(
            missing_rule(Kind::HTTPRoute, "get"),
            "{apiGroups: [gateway.networking.k8s.io], resources: [httproutes], verbs: [get]}"
        );
    }
}
