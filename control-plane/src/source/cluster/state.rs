//! How far the source is, for `/readyz` and for people.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};

use super::{fault::Fault, metrics::Metrics, table::TABLE};
use crate::{api::ObjectRef, source::Diagnostic};

/// How far one resource is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Whether the cluster has it is not known yet.
    #[default]
    Unknown,
    /// The cluster does not have it: its CustomResourceDefinition is not installed in a version that is read.
    Absent,
    /// It is being listed for the first time.
    Listing,
    /// All its objects have been read once; since then it is followed.
    Synced,
}

impl Phase {
    fn is_settled(self) -> bool {
        matches!(self, Self::Absent | Self::Synced)
    }
}

/// One resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceState {
    /// How far it is.
    pub phase: Phase,
    /// What is wrong with its watch; what was last read is still served.
    pub fault: Option<Fault>,
}

/// How far the source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Every resource, by name: `pods`, `httproutes.gateway.networking.k8s.io`.
    pub resources: BTreeMap<String, ResourceState>,
    /// Objects that cannot be read; their last good content is used, if there is one.
    pub unreadable: BTreeMap<ObjectRef, Diagnostic>,
    /// The release of the Gateway API that each of its definitions is of, by the definition's name; `None` where it does
    /// not say.
    pub bundle_versions: BTreeMap<String, Option<String>>,
    /// The first batch has been handed over.
    pub is_published: bool,
}

impl Readiness {
    /// Whether everything has been read once. It stays so when the API server goes away later.
    pub fn is_ready(&self) -> bool {
        self.is_published
    }

    /// What is waited for, with the reason where one is known; empty once ready.
    pub fn waiting_for(&self) -> Vec<String> {
        if self.is_published {
            return Vec::new();
        }
        let missing = self.resources.iter().filter(|(_, state)| !state.phase.is_settled());
        missing.map(|(name, state)| with_fault(name, state.fault.as_ref())).collect()
    }

    /// Watches that do not work.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &Fault)> {
        self.resources.iter().filter_map(|(name, state)| Some((name.as_str(), state.fault.as_ref()?)))
    }
}

fn with_fault(name: &str, fault: Option<&Fault>) -> String {
    match fault {
        None => name.to_owned(),
        Some(Fault { message, remedy, .. }) if remedy.is_empty() => format!("{name}: {message}"),
        Some(Fault { message, remedy, .. }) => format!("{name}: {message}; {remedy}"),
    }
}

/// One line for each thing that is not as it should be; nothing when all is well.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for waiting in self.waiting_for() {
            writeln!(f, "not synced: {waiting}")?;
        }
        if self.is_published {
            for (name, fault) in self.faults() {
                writeln!(f, "not followed: {}", with_fault(name, Some(fault)))?;
            }
        }
        for diagnostic in self.unreadable.values() {
            writeln!(f, "not read: {diagnostic}")?;
        }
        Ok(())
    }
}

/// The source's state, shared with whoever answers `/readyz` and `/metrics`. Clones share state.
#[derive(Clone, Debug)]
pub struct SourceState {
    readiness: watch::Sender<Readiness>,
    /// Told when a watch works again: the others need not wait any longer to try.
    works: Arc<Notify>,
    pub(super) metrics: Metrics,
}

impl SourceState {
    /// A state before anything was read; its metrics are registered under `signalbox_source_…`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        metrics.register(registry);
        let mut resources: BTreeMap<_, _> =
            TABLE.iter().map(|resource| (resource.name(), ResourceState::default())).collect();
        resources.insert(super::definitions::name(), ResourceState::default());
        let readiness = watch::Sender::new(Readiness { resources, ..Readiness::default() });
        Self { readiness, works: Arc::default(), metrics }
    }

    /// How far the source is.
    pub fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Follows how far the source is.
    pub fn subscribe(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    pub(super) fn enter(&self, name: &str, phase: Phase) {
        self.change(name, |state| {
            // A resource that is listed again stays synced: what was read is still served.
            let stays = phase == Phase::Listing && state.phase == Phase::Synced;
            let differs = state.phase != phase && !stays;
            if differs {
                state.phase = phase;
            }
            differs
        });
    }

    /// Notes the release that a definition of the Gateway API is of; `None`: it is not installed.
    pub(super) fn bundle(&self, name: &str, version: Option<Option<String>>) {
        if !name.ends_with(".gateway.networking.k8s.io") {
            return;
        }
        self.readiness.send_if_modified(|readiness| match version {
            None => readiness.bundle_versions.remove(name).is_some(),
            Some(version) => {
                readiness.bundle_versions.insert(name.to_owned(), version.clone()) != Some(version)
            }
        });
    }

    /// Notes what is wrong. Logs it when it is something else than before; of an outage, which all watches see, only
    /// the first.
    pub(super) fn fail(&self, name: &str, fault: Fault) {
        self.metrics.error(name, fault.reason);
        if fault.reason == Fault::EXPIRED {
            return;
        }
        self.readiness.send_if_modified(|readiness| {
            let is_known = fault.is_outage() && readiness.faults().any(|(_, other)| other.is_outage());
            let Some(state) = readiness.resources.get_mut(name) else { return false };
            if state.fault.as_ref() == Some(&fault) {
                return false;
            }
            if !is_known && state.fault.as_ref().map(|before| before.reason) != Some(fault.reason) {
                log(name, &fault);
            }
            state.fault = Some(fault);
            true
        });
    }

    /// Notes that nothing is wrong.
    pub(super) fn recover(&self, name: &str) {
        let recovered = self.readiness.send_if_modified(|readiness| {
            let Some(fault) = readiness.resources.get_mut(name).and_then(|state| state.fault.take()) else {
                return false;
            };
            if !fault.is_outage() {
                tracing::info!(resource = name, "a watch works again");
            } else if !readiness.faults().any(|(_, other)| other.is_outage()) {
                tracing::info!("the API server answers again; everything is followed");
            }
            true
        });
        if recovered {
            self.works.notify_waiters();
        }
    }

    /// Waits, or until another watch works again.
    pub(super) async fn wait(&self, wait: Duration) {
        drop(tokio::time::timeout(wait, self.works.notified()).await);
    }

    pub(super) fn publish(&self) {
        self.readiness.send_if_modified(|readiness| !std::mem::replace(&mut readiness.is_published, true));
    }

    /// An object cannot be read.
    pub(super) fn unreadable(&self, name: &ObjectRef, diagnostic: &Diagnostic) {
        self.readiness.send_if_modified(|readiness| {
            if readiness.unreadable.get(name) == Some(diagnostic) {
                return false;
            }
            tracing::warn!(object = %name, error = %diagnostic, "an object cannot be read; its last good content is used");
            readiness.unreadable.insert(name.clone(), diagnostic.clone());
            self.metrics.unreadable.set(readiness.unreadable.len() as i64);
            true
        });
    }

    /// Objects that `is_fine` names are gone, or can be read again.
    pub(super) fn readable(&self, is_fine: impl Fn(&ObjectRef) -> bool) {
        if self.readiness.borrow().unreadable.is_empty() {
            return;
        }
        self.readiness.send_if_modified(|readiness| {
            let before = readiness.unreadable.len();
            readiness.unreadable.retain(|name, _| !is_fine(name));
            self.metrics.unreadable.set(readiness.unreadable.len() as i64);
            before != readiness.unreadable.len()
        });
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut ResourceState) -> bool) {
        self.readiness.send_if_modified(|readiness| readiness.resources.get_mut(name).is_some_and(change));
    }
}

fn log(name: &str, Fault { reason, message, remedy }: &Fault) {
    // A definition that has just come or is about to go is no news.
    if *reason == "not_found" {
        tracing::info!(resource = name, reason, error = message, remedy, "a watch does not work");
    } else {
        tracing::warn!(resource = name, reason, error = message, remedy, "a watch does not work");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(reason: &'static str) -> Fault {
        Fault { reason, message: "list pods: no".into(), remedy: "allow it".into() }
    }

    #[test]
    fn readiness_names_what_is_missing_and_why() {
        let state = SourceState::new(&mut Registry::default());
        let all = state.readiness().resources.len();
        assert_eq!((all, state.readiness().waiting_for().len()), (TABLE.len() + 1, all));
        for name in state.readiness().resources.keys().filter(|name| *name != "pods") {
            state.enter(name, Phase::Absent);
        }
        state.enter("pods", Phase::Listing);
        assert_eq!(state.readiness().waiting_for(), ["pods"]);
        state.fail("pods", fault("forbidden"));
        assert_eq!(state.readiness().to_string(), "not synced: pods: list pods: no; allow it\n");
        state.recover("pods");
        state.enter("pods", Phase::Synced);
        assert!(state.readiness().waiting_for().is_empty() && !state.readiness().is_ready());
        state.publish();
        assert!(state.readiness().is_ready());
    }

    #[test]
    fn an_outage_is_shown_and_leaves_it_ready() {
        let state = SourceState::new(&mut Registry::default());
        state.enter("pods", Phase::Synced);
        state.publish();
        state.fail("pods", fault("unreachable"));
        state.enter("pods", Phase::Listing);
        let readiness = state.readiness();
        assert!(readiness.is_ready() && readiness.resources["pods"].phase == Phase::Synced);
        assert_eq!(readiness.to_string(), "not followed: pods: list pods: no; allow it\n");
        state.fail("nodes", fault(Fault::EXPIRED));
        assert_eq!(state.readiness().faults().count(), 1);
    }
}
