//! The cluster source against a real API server: the one that `KUBECONFIG` names, which must be one to play with.
//! Without `KUBECONFIG` nothing is tested, and the test says so.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::print_stderr, reason = "says what was skipped, and how long things took")]

use std::time::{Duration, Instant};

use control_plane::{
    api::NamespacedName,
    source::{
        Batch,
        cluster::{self, ClusterConfig, Phase, Readiness, SourceState},
    },
    tasks::TaskSet,
    world::World,
};
use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

const PATIENCE: Duration = Duration::from_secs(30);
const GROUP: &str = "inference.networking.x-k8s.io";
const PLURAL: &str = "inferencemodels";
const NAMESPACE: &str = "default";

/// A client and settings, when there is an API server to test with.
async fn cluster() -> Option<(Client, kube::Config)> {
    if std::env::var_os("KUBECONFIG").is_none() {
        eprintln!("skipped: KUBECONFIG names no API server");
        return None;
    }
    let config = kube::Config::infer().await.unwrap();
    Some((Client::try_from(config.clone()).unwrap(), config))
}

/// Stands between the source and the API server, so that the connection can be cut.
#[derive(Clone)]
struct Wire {
    is_cut: watch::Sender<bool>,
}

impl Wire {
    /// A wire to where `config` leads; `config` leads through it afterwards.
    async fn new(config: &mut kube::Config, tasks: &TaskSet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = config.cluster_url.host().unwrap().to_owned();
        let to = format!("{host}:{}", config.cluster_url.port_u16().unwrap_or(443));
        config.tls_server_name.get_or_insert(host);
        config.cluster_url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let wire = Self { is_cut: watch::Sender::new(false) };
        let (is_cut, streams) = (wire.is_cut.clone(), tasks.clone());
        tasks.spawn_brief("wire", async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut cut, to) = (is_cut.subscribe(), to.clone());
                streams.spawn_brief("stream", async move {
                    if *cut.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        wire
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
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
        eprintln!("{what}: {:?}", start.elapsed());
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

fn model(name: &str, served: impl Into<Value>) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1alpha2"), "kind": "InferenceModel", "metadata": {"name": name},
        "spec": {"modelName": served.into(), "poolRef": {"name": "p"}}})
}

fn models(world: &World) -> Vec<String> {
    let text = |model: &control_plane::api::InferenceModel| {
        format!("{}={}", model.metadata.name, model.spec.model_name)
    };
    world.models.values().map(|model| text(model)).collect()
}

async fn apply(api: &Api<DynamicObject>, name: &str, object: Value) {
    let patch = PatchParams::apply("test").force();
    api.patch(name, &patch, &Patch::Apply(&object)).await.unwrap();
}

/// Installs nothing and removes what an earlier run left.
async fn clean(definitions: &Api<CustomResourceDefinition>, name: &str) {
    let Some(left) = definitions.get_opt(name).await.unwrap() else { return };
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    let uid = left.metadata.uid.unwrap();
    let gone = await_condition(definitions.clone(), name, is_deleted(&uid));
    tokio::time::timeout(PATIENCE, gone).await.expect("it goes away").unwrap();
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
    eprintln!("definition installed to followed: {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");

    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(GROUP, "v1alpha2", "InferenceModel"),
        PLURAL,
    );
    let api: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
    apply(&api, "a", model("a", "x")).await;
    stand.until("applied", |world| models(world) == ["a=x"]).await;
    apply(&api, "a", model("a", "y")).await;
    stand.until("changed", |world| models(world) == ["a=y"]).await;

    // What cannot be read leaves its last good content, and stops nothing.
    apply(&api, "a", model("a", 7)).await;
    apply(&api, "b", model("b", "x")).await;
    stand.until("after a bad one", |world| models(world) == ["a=y", "b=x"]).await;
    let said = stand.state.readiness().to_string();
    assert!(
        said.contains("InferenceModel default/a: spec.modelName: must be text, not the number 7"),
        "{said}"
    );
    apply(&api, "a", model("a", "z")).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_during_an_outage_comes_after_it() {
    let Some((client, mut config)) = cluster().await else { return };
    let namespaces: Api<Namespace> = Api::all(client);
    let name = |n: usize| format!("outage-{}-{n}", std::process::id());
    let label = |n: usize, value: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name(n), "labels": {"v": value}}});
    let set = async |n: usize, value: &str| {
        let patch = PatchParams::apply("test").force();
        namespaces.patch(&name(n), &patch, &Patch::Apply(&label(n, value))).await.unwrap();
    };
    let is = |world: &World, n: usize, value: &str| {
        let namespace = world.namespaces.get(&NamespacedName::new("", name(n)));
        namespace.is_some_and(|it| it.metadata.labels.get("v").is_some_and(|v| v == value))
    };
    let tasks = TaskSet::default();
    let wire = Wire::new(&mut config, &tasks).await;

    // It starts while there is no API server: nothing is published, and what is missing is named.
    wire.cut(true);
    let mut stand = Stand::new(config);
    stand.until_state("faults", |state| state.faults().any(|(_, fault)| fault.reason == "unreachable")).await;
    assert!(!stand.state.readiness().is_ready() && stand.batches.try_recv().is_err());
    assert_eq!(stand.state.readiness().waiting_for().len(), stand.state.readiness().resources.len());
    set(1, "before").await;
    wire.cut(false);
    stand.until("after a start without an API server", |world| is(world, 1, "before")).await;

    wire.cut(true);
    stand.until_state("all faults", |state| state.faults().any(|(name, _)| name == "namespaces")).await;
    set(1, "during").await;
    set(2, "during").await;
    let known = stand.world.namespaces.len();
    while let Ok(batch) = stand.batches.try_recv() {
        stand.world = stand.world.apply(&batch).0;
    }
    assert!(stand.state.readiness().is_ready() && is(&stand.world, 1, "before"));
    assert_eq!(stand.world.namespaces.len(), known, "an outage takes nothing away");
    wire.cut(false);
    stand.until("after the outage", |world| is(world, 1, "during") && is(world, 2, "during")).await;
    for n in [1, 2] {
        namespaces.delete(&name(n), &DeleteParams::default()).await.unwrap();
    }
}
