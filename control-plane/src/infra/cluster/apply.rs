//! Makes the cluster hold what is desired, and says what is true of it.
//!
//! ```text
//! desired, leader, watches, retries ─▶ plan ─▶ server-side apply and delete (8 owners at a time) ─▶ states
//! ```
//!
//! Everyone watches and says what is true; only the leader changes anything. An owner whose calls fail is tried again
//! after 1 s, 2 s, … 60 s, or when what is desired of it changes; the others are not held up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    stream::{self, BoxStream},
};
use kube::{
    Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    call::{self, Outcome},
    desired::Desired,
    manifest::ManifestKind,
    names::{INFRASTRUCTURE_LABEL, Owner},
    observed::Observed,
    plan::{Action, plan},
    state::{InfraProblem, InfraState, states},
};

/// Owners whose objects are changed at the same time.
const AT_ONCE: usize = 8;
/// Events that are taken together at most; what is more waits in the streams.
const EVENTS: usize = 1024;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What every owner's infrastructure is like.
pub type States = Arc<BTreeMap<Owner, InfraState>>;

/// What an [`Applier`] follows.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// What should exist; `None` until every object has been read: nothing is touched before.
    pub desired: watch::Receiver<Option<Arc<Desired>>>,
    /// Whether this process is the leader.
    pub leader: watch::Receiver<bool>,
}

/// Makes the cluster hold what is desired.
pub struct Applier {
    client: Client,
    inputs: Inputs,
    observed: Observed,
    failures: BTreeMap<Owner, Failure>,
    states: watch::Sender<States>,
    /// What was last planned for, to see whose fleet has changed.
    planned: Option<Arc<Desired>>,
    applied: u64,
}

struct Failure {
    problem: InfraProblem,
    delay: Duration,
    until: Instant,
}

type Events = BoxStream<'static, (ManifestKind, watcher::Result<Event<call::Object>>)>;

impl Applier {
    /// An applier, and what it says.
    pub fn new(client: Client, inputs: Inputs) -> (Self, watch::Receiver<States>) {
        let (states, heard) = watch::channel(States::default());
        let applier = Self {
            client,
            inputs,
            observed: Observed::default(),
            failures: BTreeMap::new(),
            states,
            planned: None,
            applied: 0,
        };
        (applier, heard)
    }

    /// Runs until cancelled.
    ///
    /// # Errors
    /// When who says what is desired is gone.
    pub async fn run(mut self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut events = self.events().ready_chunks(EVENTS);
        loop {
            let retry = self.failures.values().map(|failure| failure.until).min();
            let retry_at = retry.unwrap_or_else(|| Instant::now() + LONGEST_RETRY);
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                changed = self.inputs.desired.changed() => changed?,
                changed = self.inputs.leader.changed() => changed?,
                chunk = events.next() => chunk.unwrap_or_default().into_iter().for_each(|(kind, event)| self.hear(kind, event)),
                () = sleep_until(retry_at), if retry.is_some() => {}
            }
            if !self.observed.is_complete() {
                continue;
            }
            let Some(desired) = self.inputs.desired.borrow_and_update().clone() else { continue };
            let is_leader = *self.inputs.leader.borrow_and_update();
            if is_leader {
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    () = self.reconcile(&desired).boxed() => {}
                }
            } else {
                self.failures.clear();
            }
            self.publish(&desired);
        }
    }

    /// Watches of every kind, for what carries our label.
    fn events(&self) -> Events {
        let watches = ManifestKind::ALL.map(|kind| {
            let api = call::all(&self.client, kind);
            let config = watcher::Config::default().labels(INFRASTRUCTURE_LABEL);
            watcher(api, config).default_backoff().map(move |event| (kind, event)).boxed()
        });
        stream::select_all(watches).boxed()
    }

    fn hear(&mut self, kind: ManifestKind, event: watcher::Result<Event<call::Object>>) {
        match event {
            Ok(Event::Init) => self.observed.begin(kind),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                self.observed.put(kind, call::value(&object));
            }
            Ok(Event::InitDone) => self.observed.end(kind),
            Ok(Event::Delete(object)) => self.observed.remove(&(kind, call::key(&object))),
            Err(error) => tracing::warn!(
                kind = kind.resource()[2],
                %error,
                "infrastructure cannot be watched; it is tried again, and what is known stays"
            ),
        }
    }

    async fn reconcile(&mut self, desired: &Arc<Desired>) {
        self.forgive(desired);
        let now = Instant::now();
        let mut plan = plan(desired, &self.observed);
        plan.retain(|owner, _| self.failures.get(owner).is_none_or(|failure| failure.until <= now));
        // What failed and needs nothing any more has come right by itself.
        let busy: BTreeSet<Owner> = plan.keys().cloned().collect();
        self.failures.retain(|owner, failure| failure.until > now || busy.contains(owner));
        let client = &self.client;
        let observed = &self.observed;
        let work: Vec<_> = plan
            .into_iter()
            .map(|(owner, actions)| {
                let live = |action: &Action| match action {
                    Action::Apply(manifest) => observed.get(&manifest.key).cloned(),
                    Action::Delete(..) => None,
                };
                let actions: Vec<_> = actions.into_iter().map(|action| (live(&action), action)).collect();
                let client = client.clone();
                async move { (owner, call::perform(&client, actions).await) }.boxed()
            })
            .collect();
        let mut done = stream::iter(work).buffer_unordered(AT_ONCE);
        let mut results = Vec::new();
        while let Some(result) = done.next().await {
            results.push(result);
        }
        for (owner, (outcomes, problem)) in results {
            for outcome in outcomes {
                self.applied += 1;
                match outcome {
                    Outcome::Applied(manifest, result) => self.observed.applied(&manifest, result),
                    Outcome::Deleted(key) => self.observed.remove(&key),
                }
            }
            self.remember(owner, problem);
        }
    }

    /// Owners whose fleet is another one than before are tried at once.
    fn forgive(&mut self, desired: &Arc<Desired>) {
        let before = self.planned.replace(Arc::clone(desired));
        if before.as_ref().is_some_and(|before| !Arc::ptr_eq(before, desired)) {
            let before = before.unwrap_or_default();
            self.failures.retain(|owner, _| before.fleets.get(owner) == desired.fleets.get(owner));
        }
    }

    fn remember(&mut self, owner: Owner, problem: Option<InfraProblem>) {
        let Some(problem) = problem else {
            self.failures.remove(&owner);
            return;
        };
        let held = self.failures.get(&owner);
        let delay = held.map_or(FIRST_RETRY, |held| (held.delay * 2).min(LONGEST_RETRY));
        tracing::warn!(%owner, error = problem.message, retry = ?delay, "infrastructure cannot be provisioned");
        self.failures.insert(owner, Failure { problem, delay, until: Instant::now() + delay });
    }

    fn publish(&self, desired: &Desired) {
        let failed = self.failures.iter().map(|(owner, failure)| (owner.clone(), failure.problem.clone()));
        let states = states(desired, &self.observed, &failed.collect());
        self.states.send_if_modified(|held| {
            let differs = **held != states;
            if differs {
                *held = Arc::new(states);
            }
            differs
        });
    }
}
