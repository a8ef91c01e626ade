//! Against an API server of our own, over loopback: what happens when it refuses, forgets, or goes away.

mod fake;

use std::time::Duration;

use fake::Fake;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::*;
use crate::{api::Kind, source::Change, world::World};

const PODS: &str = "/api/v1/pods";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/httproutes";
const ROUTES_BETA: &str = "/apis/gateway.networking.k8s.io/v1beta1/httproutes";
const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const PATIENCE: Duration = Duration::from_secs(20);

struct Stand {
    fake: Fake,
    batches: mpsc::Receiver<Batch>,
    state: SourceState,
    world: World,
    seen: Vec<Batch>,
    tasks: TaskSet,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.tasks.shutdown();
    }
}

fn pod(name: &str, ip: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "managedFields": [{"manager": "kubelet"}]},
        "status": {"podIP": ip}})
}

fn route(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"hostnames": ["a.example"]}})
}

impl Stand {
    async fn new(fake: Fake) -> Self {
        let tasks = TaskSet::default();
        let address = fake.serve(&tasks).await;
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let settings = ClusterConfig::default();
        let client = settings.client(config).unwrap();
        let state = SourceState::new(&mut Registry::default());
        let (out, batches) = mpsc::channel(1);
        tasks.spawn("source", run(client, settings, out, state.clone(), tasks.token().clone()));
        Self { fake, batches, state, world: World::default(), seen: Vec::new(), tasks }
    }

    /// Applies batches until the World is as expected.
    async fn until(&mut self, what: &str, is_it: impl Fn(&World) -> bool) {
        let reached = tokio::time::timeout(PATIENCE, async {
            while !is_it(&self.world) {
                let batch = self.batches.recv().await.expect("the source runs");
                self.world = self.world.apply(&batch).0;
                self.seen.push(batch);
            }
        });
        assert!(reached.await.is_ok(), "{what}: {:?}\n{}", self.seen, self.state.readiness());
    }

    /// Waits until readiness is as expected.
    async fn until_state(&self, what: &str, is_it: impl FnMut(&Readiness) -> bool) {
        let mut state = self.state.subscribe();
        let reached = tokio::time::timeout(PATIENCE, state.wait_for(is_it)).await.is_ok();
        assert!(reached, "{what}:\n{}", self.state.readiness());
    }
}

fn pods(world: &World) -> Vec<String> {
    let text = |pod: &crate::api::Pod| {
        format!("{}={}", pod.metadata.name, pod.status.pod_ip.as_deref().unwrap_or_default())
    };
    world.pods.values().map(|pod| text(pod)).collect()
}

#[tokio::test]
async fn objects_come_change_and_go() {
    let fake = Fake::default();
    fake.apply(PODS, pod("a", "10.0.0.1"));
    let mut stand = Stand::new(fake).await;
    stand.until("listed", |world| pods(world) == ["a=10.0.0.1"]).await;
    assert!(matches!(stand.seen[0].changes[..], [Change::ReplaceAll(_)]), "{:?}", stand.seen);
    stand.fake.apply(PODS, pod("b", "10.0.0.2"));
    stand.fake.apply(PODS, pod("a", "10.0.0.3"));
    stand.until("changed", |world| pods(world) == ["a=10.0.0.3", "b=10.0.0.2"]).await;
    stand.fake.delete(PODS, pod("a", "10.0.0.3"));
    stand.until("deleted", |world| pods(world) == ["b=10.0.0.2"]).await;
}

#[tokio::test]
async fn an_expired_watch_lists_again() {
    let fake = Fake::default();
    fake.apply(PODS, pod("a", "10.0.0.1"));
    fake.apply(PODS, pod("b", "10.0.0.2"));
    let mut stand = Stand::new(fake).await;
    stand.until("listed", |world| world.pods.len() == 2).await;
    // The event proves that the watch is open.
    stand.fake.apply(PODS, pod("c", "10.0.0.3"));
    stand.until("watched", |world| world.pods.len() == 3).await;
    stand.fake.lose(PODS, "a");
    stand.fake.expire(PODS);
    stand.until("listed again", |world| pods(world) == ["b=10.0.0.2", "c=10.0.0.3"]).await;
    assert_eq!(stand.fake.lists(PODS), 2);
    assert!(matches!(stand.seen.last().unwrap().changes[..], [Change::ReplaceKind(Kind::Pod, _)]));
    assert_eq!(stand.state.readiness().faults().count(), 0, "{}", stand.state.readiness());
}

#[tokio::test]
async fn an_outage_takes_nothing_away() {
    let fake = Fake::default();
    fake.apply(PODS, pod("a", "10.0.0.1"));
    let mut stand = Stand::new(fake).await;
    stand.until("listed", |world| world.pods.len() == 1).await;
    stand.fake.apply(PODS, pod("b", "10.0.0.2"));
    stand.until("watched", |world| world.pods.len() == 2).await;
    stand.fake.refuse(PODS, Some(503));
    // Resuming is refused, and so is the list after the history is gone.
    stand.fake.expire(PODS);
    stand.fake.hang_up(PODS);
    stand
        .until_state("a fault", |state| {
            state.faults().any(|(name, f)| (name, f.reason) == ("pods", "server"))
        })
        .await;
    assert!(stand.state.readiness().is_ready() && stand.batches.try_recv().is_err());
    assert_eq!(stand.world.pods.len(), 2);
    stand.fake.apply(PODS, pod("b", "10.0.0.9"));
    stand.fake.refuse(PODS, None);
    stand.until("it is back", |world| pods(world) == ["a=10.0.0.1", "b=10.0.0.9"]).await;
    stand.until_state("no fault", |state| state.faults().count() == 0).await;
}

#[tokio::test]
async fn a_missing_right_is_named_and_holds_everything_back() {
    let fake = Fake::default();
    fake.refuse(PODS, Some(403));
    let mut stand = Stand::new(fake).await;
    stand
        .until_state("only pods are missing", |state| {
            state.waiting_for().len() == 1 && state.faults().count() == 1
        })
        .await;
    let text = stand.state.readiness().to_string();
    assert!(text.contains("allow `list` on `pods` of the core API group"), "{text}");
    assert!(stand.batches.try_recv().is_err());
    stand.fake.apply(PODS, pod("a", "10.0.0.1"));
    stand.fake.refuse(PODS, None);
    stand.until("allowed", |world| world.pods.len() == 1).await;
    stand.until_state("ready", Readiness::is_ready).await;
}

#[tokio::test]
async fn a_definition_comes_changes_and_goes() {
    let fake = Fake::default();
    fake.apply(ROUTES, route("new"));
    fake.apply(ROUTES_BETA, route("old"));
    let mut stand = Stand::new(fake).await;
    stand.until_state("ready without it", Readiness::is_ready).await;
    assert_eq!(stand.state.readiness().resources[HTTP_ROUTES].phase, Phase::Absent);
    let names = |world: &World| -> Vec<_> { world.http_routes.keys().map(|key| key.name.clone()).collect() };
    stand.fake.install(HTTP_ROUTES, &["v1beta1"]);
    stand.until("installed", |world| names(world) == ["old"]).await;
    stand.fake.install(HTTP_ROUTES, &["v1", "v1beta1"]);
    stand.until("a better version", |world| names(world) == ["new"]).await;
    stand.fake.uninstall(HTTP_ROUTES);
    stand.until("removed", |world| names(world).is_empty()).await;
    assert_eq!(stand.state.readiness().resources[HTTP_ROUTES].phase, Phase::Absent);
}

#[tokio::test]
async fn an_unreadable_object_stops_nothing() {
    let fake = Fake::default();
    fake.install(HTTP_ROUTES, &["v1"]);
    let bad = json!({"metadata": {"name": "bad", "namespace": "n"}, "spec": {"hostnames": [7]}});
    fake.apply(ROUTES, bad.clone());
    fake.apply(ROUTES, route("a"));
    let mut stand = Stand::new(fake).await;
    stand.until("the others", |world| world.http_routes.len() == 1).await;
    let text = stand.state.readiness().to_string();
    assert!(text.contains("HTTPRoute n/bad: spec.hostnames[0]: must be text, not the number 7"), "{text}");
    stand.fake.apply(ROUTES, route("bad"));
    stand.until("it is good", |world| world.http_routes.len() == 2).await;
    stand.fake.apply(ROUTES, bad);
    stand.fake.apply(ROUTES, route("b"));
    stand.until("what follows a bad one", |world| world.http_routes.len() == 3).await;
    assert_eq!(stand.state.readiness().unreadable.len(), 1);
}
