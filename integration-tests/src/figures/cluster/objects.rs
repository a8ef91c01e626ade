//! Objects by the hundred: an API client of its own, since a kubectl for each would be what is measured.

use std::{collections::HashMap, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{
        ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;

use super::scenario::{NAMESPACE, SYSTEM};

/// Requests to the API server at once.
const AT_ONCE: usize = 16;
/// The label of what these figures make.
const OURS: &str = "figures.signalbox.dev/made";

/// Objects of one kind in the scenario's namespace.
#[derive(Clone)]
pub(super) struct Objects {
    api: Api<DynamicObject>,
}

impl Objects {
    /// HTTPRoutes.
    pub(super) async fn routes() -> Result<Self> {
        Self::of("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes").await
    }

    /// Pods.
    pub(super) async fn pods() -> Result<Self> {
        Self::of("", "v1", "Pod", "pods").await
    }

    async fn of(group: &str, version: &str, kind: &str, plural: &str) -> Result<Self> {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        };
        let client = Client::try_default().await.context("KUBECONFIG")?;
        Ok(Self { api: Api::namespaced_with(client, NAMESPACE, &resource) })
    }

    /// Makes one; returns when the API server has it.
    pub(super) async fn create(&self, object: Value) -> Result<()> {
        let mut object: DynamicObject = serde_json::from_value(object)?;
        object.metadata.labels.get_or_insert_default().insert(OURS.into(), String::new());
        self.api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Makes many.
    pub(super) async fn create_all(&self, objects: impl IntoIterator<Item = Value>) -> Result<()> {
        let making = stream::iter(objects).map(|object| self.create(object));
        making.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Writes the status of one.
    pub(super) async fn set_status(&self, name: &str, status: &Value) -> Result<()> {
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        self.api.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Hears of those that are made from now on, as a controller does.
    pub(super) async fn watch(&self) -> Result<Heard> {
        let version =
            self.api.list_metadata(&ListParams::default().limit(1)).await?.metadata.resource_version;
        let events = self.api.watch(&WatchParams::default(), &version.context("a resource version")?).await?;
        let seen: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
        let (seeing, mut watching) = (Arc::clone(&seen), JoinSet::new());
        watching.spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Ok(Some(event)) = events.try_next().await {
                if let WatchEvent::Added(object) = event {
                    seeing.lock().entry(object.name_any()).or_insert_with(Instant::now);
                }
            }
        });
        Ok(Heard { seen, _watching: watching })
    }

    /// Deletes one at once.
    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        self.api
            .delete(name, &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
            .await?;
        Ok(())
    }

    /// Deletes all that these figures have made.
    pub(super) async fn delete_all(&self) -> Result<()> {
        self.delete_those(&ListParams::default().labels(OURS)).await
    }

    /// Deletes all of the kind.
    pub(super) async fn delete_everything(&self) -> Result<()> {
        self.delete_those(&ListParams::default()).await
    }

    async fn delete_those(&self, those: &ListParams) -> Result<()> {
        let parameters = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.api.delete_collection(&parameters, those).await?;
        Ok(())
    }
}

/// When objects were heard of.
pub(super) struct Heard {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    /// Ends with this.
    _watching: JoinSet<()>,
}

impl Heard {
    /// When the object was first heard of.
    pub(super) fn of(&self, name: &str) -> Option<Instant> {
        self.seen.lock().get(name).copied()
    }
}

/// What the replicas of the control plane say of themselves.
pub(super) struct ControlPlane {
    client: Client,
    pods: Vec<String>,
}

/// What one replica uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU time since its start, in seconds.
    pub(super) cpu_s: f64,
    /// Resident memory in MB (10⁶ bytes).
    pub(super) resident_mb: f64,
}

impl ControlPlane {
    /// The replicas that there are.
    pub(super) async fn replicas(pods: &str) -> Result<Self> {
        let client = Client::try_default().await.context("KUBECONFIG")?;
        let pods = pods.lines().filter_map(|line| line.strip_prefix("pod/")).map(ToOwned::to_owned).collect();
        Ok(Self { client, pods })
    }

    /// What each uses, in the same order each time.
    pub(super) async fn usage(&self) -> Result<Vec<Usage>> {
        let mut found = Vec::new();
        for pod in &self.pods {
            let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:18080/proxy/metrics");
            let text = self.client.request_text(http::Request::get(path).body(Vec::new())?).await?;
            let value = |name: &str| -> Result<f64> {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                Ok(line.with_context(|| format!("{pod}: no metric {name}"))?.trim().parse()?)
            };
            found.push(Usage {
                cpu_s: value("process_cpu_seconds_total")?,
                resident_mb: value("process_resident_memory_bytes")? / 1e6,
            });
        }
        Ok(found)
    }
}
