//! Single calls to the API server.

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::{
    manifest::{Manifest, ManifestKey, ManifestKind},
    names::INFRASTRUCTURE_LABEL,
    observed::{FIELD_MANAGER, Live},
    plan::Action,
    state::InfraProblem,
};
use crate::api::NamespacedName;

/// Owns the number of replicas between us and an autoscaler.
const REPLICAS_MANAGER: &str = "signalbox-replicas";

pub(super) type Object = DynamicObject;

/// What has to be allowed of every kind that is provisioned, cluster-wide; an object that is applied may be a new one.
const VERBS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// What has to be allowed, cluster-wide: API group, resource, verbs.
pub fn rights() -> [(&'static str, &'static str, &'static [&'static str]); 6] {
    ManifestKind::ALL.map(|kind| {
        let [group, _, _, plural] = kind.resource();
        (group, plural, VERBS)
    })
}

/// What a call has changed.
pub(super) enum Outcome {
    /// The object as the server has it.
    Applied(Manifest, Value),
    /// The object is gone, or is going.
    Deleted(ManifestKey),
}

pub(super) fn all(client: &Client, kind: ManifestKind) -> Api<Object> {
    Api::all_with(client.clone(), &resource(kind))
}

pub(super) fn key(object: &Object) -> NamespacedName {
    let meta = &object.metadata;
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// The object as JSON.
pub(super) fn value(object: &Object) -> Value {
    serde_json::to_value(object).expect("an object that was JSON is JSON")
}

/// Performs the actions of one owner in order, up to the first that fails.
pub(super) async fn perform(
    client: &Client,
    actions: Vec<(Option<Live>, Action)>,
) -> (Vec<Outcome>, Option<InfraProblem>) {
    let mut outcomes = Vec::new();
    for (live, action) in actions {
        let result = match action {
            Action::Apply(manifest) => apply(client, live, manifest).await,
            Action::Delete(key, uid) => delete(client, key, uid).await,
        };
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(problem) => return (outcomes, Some(problem)),
        }
    }
    (outcomes, None)
}

async fn apply(client: &Client, live: Option<Live>, manifest: Manifest) -> Result<Outcome, InfraProblem> {
    let api = namespaced(client, &manifest.key);
    let name = &manifest.key.1.name;
    let refused = |error: kube::Error| {
        InfraProblem::new("Pending", format!("{manifest} cannot be applied: {}", words(&error)))
    };
    match &live {
        None => {
            let found = api.get_opt(name).await.map_err(refused)?;
            if found.is_some_and(|found| !is_labelled(&found)) {
                return Err(InfraProblem::new(
                    "Invalid",
                    format!(
                        "{manifest} exists and was not made by Signalbox; delete it, or rename the owner"
                    ),
                ));
            }
        }
        Some(live) => hand_over_replicas(&api, live, &manifest).await.map_err(refused)?,
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let result = api.patch(name, &params, &Patch::Apply(&manifest.object)).await.map_err(refused)?;
    tracing::info!(object = %manifest, "infrastructure is applied");
    let result = value(&result);
    Ok(Outcome::Applied(manifest, result))
}

/// A number of replicas that we applied and do so no more would fall to 1, the default, until the autoscaler looks:
/// another manager takes it over first, as it is.
async fn hand_over_replicas(api: &Api<Object>, live: &Live, manifest: &Manifest) -> Result<(), kube::Error> {
    let is_kept =
        manifest.key.0 != ManifestKind::Deployment || !manifest.object["spec"]["replicas"].is_null();
    if is_kept || !live.owns_replicas {
        return Ok(());
    }
    let key = &manifest.key.1;
    let patch = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"replicas": live.object["spec"]["replicas"]},
    });
    let params = PatchParams::apply(REPLICAS_MANAGER).force();
    api.patch(&key.name, &params, &Patch::Apply(&patch)).await.map(drop)
}

async fn delete(client: &Client, key: ManifestKey, uid: String) -> Result<Outcome, InfraProblem> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
        ..DeleteParams::background()
    };
    match namespaced(client, &key).delete(&key.1.name, &params).await {
        Ok(_) => {}
        // Gone, or another object of the name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(error) => {
            let [_, _, kind, _] = key.0.resource();
            let message = format!("{kind} {} cannot be deleted: {}", key.1, words(&error));
            return Err(InfraProblem::new("Pending", message));
        }
    }
    tracing::info!(kind = key.0.resource()[2], object = %key.1, "infrastructure is deleted");
    Ok(Outcome::Deleted(key))
}

fn is_labelled(object: &Object) -> bool {
    object.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(INFRASTRUCTURE_LABEL))
}

/// What the server says, without the debug form that kube adds.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

fn namespaced(client: &Client, key: &ManifestKey) -> Api<Object> {
    Api::namespaced_with(client.clone(), &key.1.namespace, &resource(key.0))
}

fn resource(kind: ManifestKind) -> ApiResource {
    let [group, version, kind, plural] = kind.resource();
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
