//! Which CustomResourceDefinitions are installed, and which versions they serve.
//!
//! ```text
//! watch of all definitions, metadata only ─▶ names of ours that came, changed or went ─▶ get ─▶ Served
//! ```
//!
//! Definitions are large (HTTPRoute's is 350 KB), so only those of the table are read, and only when they change.

use std::{collections::BTreeSet, pin::pin};

use futures_util::{StreamExt as _, future};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event, watcher},
};
use tokio::sync::watch;

use super::{
    backoff::Backoff,
    fault::{Asked, Fault},
    served::{Definition, Served},
    state::{Phase, SourceState},
    table::{DEFINITIONS, TABLE},
};

type Meta = PartialObjectMeta<CustomResourceDefinition>;

/// Follows the definitions of the table.
pub(super) struct Definitions {
    client: Client,
    state: SourceState,
    served: watch::Sender<Option<Served>>,
    /// What is known.
    known: Served,
    /// Names of definitions to read again.
    stale: BTreeSet<String>,
    /// Names heard of in a list that is not complete.
    listing: BTreeSet<String>,
    is_listed: bool,
    backoff: Backoff,
}

/// `customresourcedefinitions.apiextensions.k8s.io`.
pub(super) fn name() -> String {
    let (group, plural) = DEFINITIONS;
    format!("{plural}.{group}")
}

/// The definitions of the table, by name.
fn ours() -> BTreeSet<String> {
    TABLE.iter().filter(|resource| resource.is_custom).map(super::table::Resource::name).collect()
}

impl Definitions {
    pub(super) fn new(client: Client, state: SourceState, served: watch::Sender<Option<Served>>) -> Self {
        let (stale, listing) = (BTreeSet::new(), BTreeSet::new());
        let (known, backoff) = (Served::default(), Backoff::default());
        Self { client, state, served, known, stale, listing, is_listed: false, backoff }
    }

    /// Follows them for ever.
    pub(super) async fn run(mut self, config: watcher::Config) {
        self.state.enter(&name(), Phase::Listing);
        let ours = ours();
        let mut events = pin!(watcher(Api::<Meta>::all(self.client.clone()), config));
        loop {
            let retry = self.backoff.clone().next(fastrand::f64());
            tokio::select! {
                event = events.next() => match event {
                    None => return,
                    Some(Ok(event)) => self.hear(event, &ours),
                    Some(Err(error)) => {
                        let (group, plural) = DEFINITIONS;
                        self.fail(Fault::of_watch(&error, group, plural));
                        self.state.wait(self.backoff.next(fastrand::f64())).await;
                        continue;
                    }
                },
                () = tokio::time::sleep(retry), if !self.stale.is_empty() => {}
            }
            if self.is_listed {
                self.refresh().await;
            }
        }
    }

    fn hear(&mut self, event: Event<Meta>, ours: &BTreeSet<String>) {
        let named = |meta: Meta| meta.metadata.name.filter(|name| ours.contains(name));
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(meta) => self.listing.extend(named(meta)),
            Event::InitDone => {
                self.stale = std::mem::take(&mut self.listing);
                for gone in ours.difference(&self.stale) {
                    self.state.bundle(gone, None);
                    self.known.set(gone, Vec::new());
                }
                self.is_listed = true;
            }
            Event::Apply(meta) => self.stale.extend(named(meta)),
            Event::Delete(meta) => {
                if let Some(name) = named(meta) {
                    self.stale.remove(&name);
                    self.state.bundle(&name, None);
                    self.known.set(&name, Vec::new());
                }
            }
        }
    }

    /// Reads the definitions that may have changed, and tells when all are known.
    async fn refresh(&mut self) {
        let read = self.stale.iter().map(|name| read(&self.client, name));
        let outcomes = future::join_all(read).await;
        let mut failed = None;
        for (name, outcome) in std::mem::take(&mut self.stale).into_iter().zip(outcomes) {
            match outcome {
                Ok(definition) => {
                    self.state.bundle(&name, definition.as_ref().map(Definition::bundle_version));
                    self.known.set(&name, definition.map(Definition::served).unwrap_or_default());
                }
                Err(fault) => {
                    self.stale.insert(name);
                    failed = Some(fault);
                }
            }
        }
        match failed {
            Some(fault) => {
                self.fail(fault);
                self.backoff.next(0.0);
            }
            None => {
                self.backoff.reset();
                self.state.recover(&name());
                self.state.enter(&name(), Phase::Synced);
            }
        }
        // The first time all of them count: a definition that could not be read is not one that is absent.
        if self.stale.is_empty() || self.served.borrow().is_some() {
            self.served.send_if_modified(|served| {
                let differs = served.as_ref() != Some(&self.known);
                if differs {
                    tracing::debug!(served = ?self.known, "definitions");
                    *served = Some(self.known.clone());
                }
                differs
            });
        }
    }

    fn fail(&self, fault: Fault) {
        self.state.fail(&name(), fault);
    }
}

/// A definition; none when it is gone.
pub(super) async fn read(client: &Client, name: &str) -> Result<Option<Definition>, Fault> {
    let (group, plural) = DEFINITIONS;
    let asked = Asked { verb: "get", group, plural };
    let request = http::Request::get(format!("/apis/{group}/v1/{plural}/{name}"))
        .body(Vec::new())
        .map_err(|error| Fault::of(&kube::Error::HttpError(error), asked))?;
    match client.request::<Definition>(request).await {
        Ok(definition) => Ok(Some(definition)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Fault::of(&error, asked)),
    }
}
