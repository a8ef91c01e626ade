//! The cluster source against a real API server: the one that `KUBECONFIG` names, which must be one to play with.
//! Without `KUBECONFIG` nothing is tested, and the test says so.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use control_plane::{
    source::{
        Batch,
        cluster::{self, ClusterConfig, Phase, Readiness, SourceState},
    },
    tasks::TaskSet,
    world::World,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);
const GROUP: &str = "inference.networking.x-k8s.io";
const PLURAL: &str = "inferencemodels";
const NAMESPACE: &str = "default";

/// A client and settings, when there is an API server to test with.
async fn cluster() -> Option<(Client, kube::Config)> {
    if std::env::var_os("KUBECONFIG").is_none() {
        writeln!(std::io::stderr(), "skipped: KUBECONFIG names no API server").unwrap();
        return None;
    }
    let config = kube::Config::infer().await.unwrap();
    Some((Client::try_from(config.clone()).unwrap(), config))
}

struct Stand {
    batches: mpsc::Receiver<Batch>,
    state: SourceState,
    world: World,
    tasks: TaskSet,
    metrics: Registry,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.tasks.shutdown();
    }
}

impl Stand {
    fn new(config: kube::Config) -> Self {
        let settings = ClusterConfig::default();
        let mut metrics = Registry::default();
        let state = SourceState::new(&mut metrics);
        let tasks = TaskSet::default();
        let (out, batches) = mpsc::channel(1);
        let client = settings.client(config).unwrap();
        tasks.spawn("source", cluster::run(client, settings, out, state.clone(), tasks.token().clone()));
        Self { batches, state, world: World::default(), tasks, metrics }
    }

    /// Applies batches until the World is as expected; how long it took.
    async fn until(&mut self, what: &str, is_it: impl Fn(&World) -> bool) -> Duration {
        let start = Instant::now();
        let reached = tokio::time::timeout(PATIENCE, async {
            while !is_it(&self.world) {
                let batch = self.batches.recv().await.expect("the source runs");
                self.world = self.world.apply(&batch).0;
            }
        });
        assert!(reached.await.is_ok(), "{what}: {:?}\n{}", self.world.models, self.state.readiness());
        writeln!(std::io::stderr(), "{what}: {:?}", start.elapsed()).unwrap();
        start.elapsed()
    }

    async fn until_state(&self, what: &str, is_it: impl FnMut(&Readiness) -> bool) {
        let mut state = self.state.subscribe();
        let reached = tokio::time::timeout(PATIENCE, state.wait_for(is_it)).await.is_ok();
        assert!(reached, "{what}:\n{}", self.state.readiness());
    }
}

/// The retired InferenceModel's definition, without a schema: the API server takes any content.
fn definition() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{PLURAL}.{GROUP}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
        "spec": {"group": GROUP, "scope": "Namespaced",
            "names": {"plural": PLURAL, "singular": "inferencemodel", "kind": "InferenceModel"},
            "versions": [{"name": "v1alpha2", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    }))
    .unwrap()
}

fn model(name: &str, served: Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1alpha2"), "kind": "InferenceModel", "metadata": {"name": name},
        "spec": {"modelName": served, "poolRef": {"name": "p"}}})
}

fn models(world: &World) -> Vec<String> {
    let text = |model: &control_plane::api::InferenceModel| {
        format!("{}={}", model.metadata.name, model.spec.model_name)
    };
    world.models.values().map(|model| text(model)).collect()
}

async fn apply(api: &Api<DynamicObject>, name: &str, object: Value) {
    let patch = PatchParams::apply("test").force();
    // Right after its installation a definition may not be served yet.
    for _ in 0..100 {
        match api.patch(name, &patch, &Patch::Apply(&object)).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{name} cannot be applied");
}

/// Installs nothing and removes what an earlier run left.
async fn clean(definitions: &Api<CustomResourceDefinition>, name: &str) {
    drop(definitions.delete(name, &DeleteParams::default()).await);
    for _ in 0..200 {
        if definitions.get_opt(name).await.unwrap().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} does not go away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_a_definition_that_comes_and_goes() {
    let Some((client, config)) = cluster().await else { return };
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{PLURAL}.{GROUP}");
    clean(&definitions, &name).await;

    let mut stand = Stand::new(config);
    stand.until_state("ready without the definition", Readiness::is_ready).await;
    stand.until("first batch", |world| !world.namespaces.is_empty()).await;
    assert_eq!(stand.state.readiness().resources[&name].phase, Phase::Absent);

    let installed = Instant::now();
    definitions.create(&Default::default(), &definition()).await.unwrap();
    stand.until_state("it is followed", |state| state.resources[&name].phase == Phase::Synced).await;
    let took = installed.elapsed();
    writeln!(std::io::stderr(), "definition installed to followed: {took:?}").unwrap();
    assert!(took < Duration::from_secs(3), "{took:?}");

    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(GROUP, "v1alpha2", "InferenceModel"),
        PLURAL,
    );
    let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
    apply(&api, "a", model("a", json!("x"))).await;
    stand.until("applied", |world| models(world) == ["a=x"]).await;
    apply(&api, "a", model("a", json!("y"))).await;
    stand.until("changed", |world| models(world) == ["a=y"]).await;

    // What cannot be read leaves its last good content, and stops nothing.
    apply(&api, "a", model("a", json!(7))).await;
    apply(&api, "b", model("b", json!("x"))).await;
    stand.until("after a bad one", |world| models(world) == ["a=y", "b=x"]).await;
    let said = stand.state.readiness().to_string();
    assert!(
        said.contains("InferenceModel default/a: spec.modelName: must be text, not the number 7"),
        "{said}"
    );
    apply(&api, "a", model("a", json!("z"))).await;
    stand.until("good again", |world| models(world) == ["a=z", "b=x"]).await;
    assert!(stand.state.readiness().unreadable.is_empty());

    api.delete("b", &DeleteParams::default()).await.unwrap();
    stand.until("deleted", |world| models(world) == ["a=z"]).await;
    definitions.delete(&name, &DeleteParams::default()).await.unwrap();
    stand.until("definition removed", |world| models(world).is_empty()).await;
    stand.until_state("it is absent", |state| state.resources[&name].phase == Phase::Absent).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &stand.metrics).unwrap();
    assert!(text.contains("signalbox_source_events_total{resource=\"inferencemodels"), "{text}");
}
