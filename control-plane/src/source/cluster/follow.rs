//! One resource, followed for ever: absent, listed, watched, and what goes wrong on the way.
//!
//! ```text
//! definitions ─▶ Served ─▶ version, or absent ─▶ watcher (list, watch, resume) ─▶ read ─▶ Heard ─▶ collector
//!                                                   └ errors: fault, wait, go on; what was read stays
//! ```

use std::{collections::HashSet, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt as _};
use kube::{
    Api, Client,
    core::ApiResource,
    runtime::watcher::{self, Event, watcher},
};
use tokio::sync::{mpsc, watch};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    backoff::Backoff, fault::Fault, groups::Heard, object::Outcome, object::RawObject, served::Served,
    state::Phase, state::SourceState, table::Resource,
};
use crate::api::NamespacedName;

/// After an error a watch that resumes says nothing until something changes. Connecting fails sooner, so this long
/// without another error means that it works.
const WORKS_AFTER: Duration = super::CONNECT.saturating_mul(3);

/// Where a watch sends what it hears.
pub(super) type Hearing = mpsc::Sender<(&'static Resource, Heard)>;

/// Definitions as they are known; `None` before they have been read once.
pub(super) type Definitions = watch::Receiver<Option<Served>>;

/// Follows one resource.
pub(super) struct Follower {
    resource: &'static Resource,
    name: String,
    client: Client,
    config: watcher::Config,
    heard: Hearing,
    state: SourceState,
    /// Hashes of the keys of its objects, to count them: two equal ones cost a count, nothing else.
    keys: HashSet<u64>,
    backoff: Backoff,
}

/// What of a resource there is to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Unknown,
    /// With the versions that are installed and not read.
    Absent(Vec<String>),
    Version(&'static str),
}

impl Target {
    fn of(resource: &Resource, served: Option<&Served>) -> Self {
        match served {
            None if resource.is_custom => Self::Unknown,
            served => match resource.version(served.unwrap_or(&Served::default())) {
                Ok(version) => Self::Version(version),
                Err(versions) => Self::Absent(versions.to_owned()),
            },
        }
    }
}

impl Follower {
    pub(super) fn new(
        resource: &'static Resource,
        client: Client,
        config: watcher::Config,
        heard: Hearing,
        state: SourceState,
    ) -> Self {
        let config = watcher::Config { field_selector: resource.fields.map(ToOwned::to_owned), ..config };
        let (keys, backoff) = (HashSet::new(), Backoff::default());
        Self { resource, name: resource.name(), client, config, heard, state, keys, backoff }
    }

    /// Follows the resource until nobody listens any more.
    pub(super) async fn run(mut self, mut served: Definitions) {
        loop {
            let target = Target::of(self.resource, served.borrow_and_update().as_ref());
            let resource = self.resource;
            let differs = served.wait_for(|served| Target::of(resource, served.as_ref()) != target);
            let goes_on = match &target {
                Target::Unknown => differs.await.is_ok(),
                Target::Absent(versions) => self.absent(versions).await && differs.await.is_ok(),
                Target::Version(version) => tokio::select! {
                    changed = differs => changed.is_ok(),
                    () = self.watch(version) => false,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Says that there are no objects.
    async fn absent(&mut self, versions: &[String]) -> bool {
        if !versions.is_empty() {
            let reads = self.resource.versions.join(", ");
            tracing::warn!(
                resource = self.name,
                installed = versions.join(", "),
                reads,
                "the installed CustomResourceDefinition serves no version that is read; objects of this resource are not used"
            );
        }
        self.keys.clear();
        self.state.metrics.objects(&self.name, 0);
        self.state.recover(&self.name);
        self.state.enter(&self.name, Phase::Absent);
        self.send(Heard::Absent).await
    }

    async fn watch(&mut self, version: &str) {
        self.state.enter(&self.name, Phase::Listing);
        let resource = ApiResource {
            group: self.resource.group.to_owned(),
            version: version.to_owned(),
            api_version: if self.resource.group.is_empty() {
                version.to_owned()
            } else {
                format!("{}/{version}", self.resource.group)
            },
            kind: self.resource.kind.as_str().to_owned(),
            plural: self.resource.plural.to_owned(),
        };
        let api: Api<RawObject> = Api::all_with(self.client.clone(), &resource);
        let events = watcher(api, self.config.clone());
        self.hear(pin!(events)).await;
    }

    /// Hears events until nobody listens any more.
    async fn hear(&mut self, mut events: impl Stream<Item = watcher::Result<Event<RawObject>>> + Unpin) {
        let mut list = Vec::new();
        let mut works = true;
        loop {
            let event = if works {
                events.next().await
            } else {
                match tokio::time::timeout(WORKS_AFTER, events.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        works = self.works();
                        continue;
                    }
                }
            };
            let goes_on = match event {
                None => return,
                Some(Err(error)) => {
                    works = false;
                    let fault = Fault::of_watch(&error, self.resource.group, self.resource.plural);
                    self.state.fail(&self.name, fault);
                    self.state.wait(self.backoff.next(fastrand::f64())).await;
                    true
                }
                // Starts a list, or starts it over: what was heard of it is not all of it.
                Some(Ok(Event::Init)) => {
                    list = Vec::new();
                    true
                }
                Some(Ok(Event::InitApply(object))) => {
                    list.push(self.read(object));
                    true
                }
                Some(Ok(Event::InitDone)) => {
                    works = self.works();
                    self.listed(std::mem::take(&mut list)).await
                }
                Some(Ok(Event::Apply(object))) => {
                    works = self.works();
                    let (key, outcome) = self.read(object);
                    self.count("applied", |keys| keys.insert(hash(&key)));
                    self.send(Heard::Changed(key, outcome)).await
                }
                Some(Ok(Event::Delete(object))) => {
                    works = self.works();
                    let key = object.key();
                    self.count("deleted", |keys| keys.remove(&hash(&key)));
                    self.send(Heard::Deleted(key)).await
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    fn works(&mut self) -> bool {
        self.backoff.reset();
        self.state.recover(&self.name);
        true
    }

    fn read(&self, object: RawObject) -> (NamespacedName, Outcome) {
        let key = object.key();
        let outcome = object.read(self.resource);
        if outcome.is_err() {
            self.state.metrics.event(&self.name, "unreadable");
        }
        (key, outcome)
    }

    async fn listed(&mut self, list: Vec<(NamespacedName, Outcome)>) -> bool {
        self.keys = list.iter().map(|(key, _)| hash(key)).collect();
        self.state.metrics.listed(&self.name);
        self.state.metrics.objects(&self.name, self.keys.len());
        self.state.enter(&self.name, Phase::Synced);
        tracing::debug!(resource = self.name, objects = list.len(), "listed");
        self.send(Heard::Listed(list)).await
    }

    fn count(&mut self, event: &'static str, change: impl FnOnce(&mut HashSet<u64>) -> bool) {
        self.state.metrics.event(&self.name, event);
        if change(&mut self.keys) {
            self.state.metrics.objects(&self.name, self.keys.len());
        }
    }

    async fn send(&self, heard: Heard) -> bool {
        self.heard.send((self.resource, heard)).await.is_ok()
    }
}

fn hash(key: &NamespacedName) -> u64 {
    xxh3_64(key.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::cluster::table::TABLE;

    #[test]
    fn targets() {
        let find = |name: &str| TABLE.iter().find(|r| r.name() == name).unwrap();
        let (pods, pools) = (find("pods"), find("inferencepools.inference.networking.k8s.io"));
        let mut served = Served::default();
        assert_eq!(Target::of(pods, None), Target::Version("v1"));
        assert_eq!(Target::of(pools, None), Target::Unknown);
        assert_eq!(Target::of(pools, Some(&served)), Target::Absent(vec![]));
        served.set(&pools.name(), vec!["v9".into()]);
        assert_eq!(Target::of(pools, Some(&served)), Target::Absent(vec!["v9".into()]));
        served.set(&pools.name(), vec!["v9".into(), "v1".into()]);
        assert_eq!(Target::of(pools, Some(&served)), Target::Version("v1"));
    }
}
