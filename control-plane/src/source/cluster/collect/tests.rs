use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::json;

use super::*;
use crate::{
    api::{Kind, NamespacedName},
    source::{AnyObject, Change, Diagnostic, cluster::object::Outcome},
    tasks::TaskSet,
};

struct Stand {
    hears: mpsc::Sender<(&'static Resource, Heard)>,
    batches: mpsc::Receiver<Batch>,
    state: SourceState,
    _tasks: TaskSet,
}

fn stand() -> Stand {
    let (hears, heard) = mpsc::channel(16);
    let (out, batches) = mpsc::channel(1);
    let state = SourceState::new(&mut Registry::default());
    let tasks = TaskSet::default();
    tasks.spawn("collect", collect(heard, out, Window::default(), state.clone()));
    Stand { hears, batches, state, _tasks: tasks }
}

fn pod(name: &str, ip: &str) -> (NamespacedName, Outcome) {
    let object = json!({"metadata": {"name": name, "namespace": "n"}, "status": {"podIP": ip}});
    (NamespacedName::new("n", name), Ok(AnyObject::deserialize(Kind::Pod, object).unwrap()))
}

fn resource(plural: &str) -> &'static Resource {
    TABLE.iter().find(|resource| resource.plural == plural).unwrap()
}

impl Stand {
    async fn hears(&self, resource: &'static Resource, heard: Heard) {
        self.hears.send((resource, heard)).await.unwrap();
    }

    async fn changed(&self, (key, outcome): (NamespacedName, Outcome)) {
        self.hears(resource("pods"), Heard::Changed(key, outcome)).await;
    }

    /// The next batch, and how long it took.
    async fn batch(&mut self) -> (Batch, Duration) {
        let start = Instant::now();
        (self.batches.recv().await.unwrap(), start.elapsed())
    }

    /// Lists Pod `a`, and finds nothing else.
    async fn start(&mut self) {
        for resource in TABLE.iter().filter(|resource| resource.plural != "pods") {
            self.hears(resource, Heard::Absent).await;
        }
        self.hears(resource("pods"), Heard::Listed(vec![pod("a", "10.0.0.1")])).await;
        let (batch, _) = self.batch().await;
        let [Change::ReplaceAll(objects)] = &batch.changes[..] else { panic!("{batch:?}") };
        assert_eq!(objects.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_everything_is_listed() {
    let mut stand = stand();
    for resource in TABLE.iter().filter(|resource| resource.plural != "pods") {
        stand.hears(resource, Heard::Listed(Vec::new())).await;
    }
    let early = tokio::time::timeout(Duration::from_secs(3600), stand.batches.recv()).await;
    assert!(early.is_err() && !stand.state.readiness().is_ready(), "{early:?}");
    stand.hears(resource("pods"), Heard::Listed(vec![pod("a", "10.0.0.1")])).await;
    let (batch, took) = stand.batch().await;
    assert!(matches!(&batch.changes[..], [Change::ReplaceAll(objects)] if objects.len() == 1), "{batch:?}");
    assert!(took <= Duration::from_millis(6), "{took:?}");
    tokio::task::yield_now().await;
    assert!(stand.state.readiness().is_ready());
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_together_are_one_batch() {
    let mut stand = stand();
    stand.start().await;
    stand.changed(pod("a", "10.0.0.2")).await;
    tokio::time::advance(Duration::from_millis(3)).await;
    stand.changed(pod("b", "10.0.0.3")).await;
    let (batch, _) = stand.batch().await;
    assert_eq!(batch.changes.len(), 2, "{batch:?}");
    stand.changed(pod("a", "10.0.0.4")).await;
    assert_eq!(stand.batch().await.0.changes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_reducer_gets_the_newest_of_each_object() {
    let mut stand = stand();
    stand.start().await;
    // One batch fills the queue; the rest waits in the map.
    for round in 0..100 {
        stand.changed(pod("a", &format!("10.0.1.{round}"))).await;
        tokio::time::advance(Duration::from_millis(10)).await;
        tokio::task::yield_now().await;
    }
    let mut last = None;
    let mut batches = 0;
    while let Ok(Some(batch)) = tokio::time::timeout(Duration::from_secs(1), stand.batches.recv()).await {
        batches += 1;
        assert_eq!(batch.changes.len(), 1, "{batch:?}");
        last = batch.changes.into_iter().next();
    }
    let Some(Change::Apply(AnyObject::Pod(pod))) = last else { panic!("{last:?}") };
    assert_eq!((pod.status.pod_ip.as_deref(), batches), (Some("10.0.1.99"), 2));
    assert_eq!(stand.state.metrics.merged.get(), 98);
}

#[tokio::test(start_paused = true)]
async fn unreadable_objects_are_listed_until_they_are_fine() {
    let mut stand = stand();
    stand.start().await;
    let name = ObjectRef::new(Kind::Pod, NamespacedName::new("n", "a"));
    let bad = |message: &str| {
        let object = Some(name.clone());
        Box::new(Diagnostic { object, message: message.into(), ..Diagnostic::default() })
    };
    for (heard, expected) in [
        (Heard::Changed(name.key.clone(), Err(bad("x"))), 1),
        (Heard::Listed(vec![(name.key.clone(), Err(bad("y")))]), 1),
        (Heard::Listed(vec![pod("a", "10.0.0.5")]), 0),
        (Heard::Changed(name.key.clone(), Err(bad("x"))), 1),
        (Heard::Deleted(name.key.clone()), 0),
    ] {
        stand.hears(resource("pods"), heard).await;
        let (batch, _) = stand.batch().await;
        assert_eq!(batch.diagnostics().count(), expected, "{batch:?}");
        assert_eq!(stand.state.readiness().unreadable.len(), expected);
    }
}
