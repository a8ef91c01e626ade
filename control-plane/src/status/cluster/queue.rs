//! Decides what to write next: a sans-IO state machine.
//!
//! ```text
//! set, lead ─▶ candidates ─ compare ─┬─ same ──▶ forgotten
//!                  ▲                 └─ differs ─▶ ready (or delayed) ─ next ─▶ in flight ─ done ─┬─ written, gone
//!                  └────────────── conflict: with what a fresh read gave; failed: later ◀─────────┘
//! ```
//!
//! Why it does not loop: after a write, the object counts as what the API server answered until the World has that
//! version or a later one. A status that was written and is not there any more is written again, each time later.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3Default;

use super::observed::{Observed, changed, observed};
use crate::{
    api::ObjectRef,
    status::{
        Plan,
        merge::{Current, merge},
    },
    world::World,
};

/// Between two writes of one object: a fleet that connects is many changes of one message.
const BETWEEN_WRITES: Duration = Duration::from_millis(200);
/// After the first failure, and the most after many.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Conflicts in a row that are answered at once.
const QUICK_CONFLICTS: u32 = 3;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) object: ObjectRef,
    /// The version that the fields were made from: the API server refuses the write when there is another.
    pub(super) resource_version: String,
    /// Top-level fields of the status to replace.
    pub(super) fields: Value,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// It is there; the object as it was answered.
    Written(Observed),
    /// Somebody else wrote meanwhile; the object as read afterwards.
    Conflict(Observed),
    /// The object does not exist.
    Gone,
    /// Something else.
    Failed,
}

/// What to write next.
#[derive(Debug)]
pub(super) struct Queue {
    controller: String,
    leading: bool,
    plan: Arc<Plan>,
    world: World,
    /// To compare, in order.
    candidates: VecDeque<ObjectRef>,
    /// Those of `candidates`, each once.
    queued: BTreeSet<ObjectRef>,
    /// What differs, with the hash of what is desired.
    ready: BTreeMap<ObjectRef, (Write, u64)>,
    delayed: BTreeSet<(Instant, ObjectRef)>,
    /// Under way, with the hash of what was desired; true when it has to be compared again afterwards.
    in_flight: BTreeMap<ObjectRef, (u64, bool)>,
    records: BTreeMap<ObjectRef, Record>,
}

/// What is remembered of an object that was written or is to be.
#[derive(Debug, Default)]
struct Record {
    /// A later version than the World's.
    ahead: Option<Observed>,
    /// The version that our last write made.
    own_version: Option<String>,
    /// Hash of what was desired when it was last written.
    written: Option<u64>,
    /// How often that was undone, and whether the wait for the last time is over.
    undone: (u32, bool),
    failures: u32,
    conflicts: u32,
    /// No write before, after a write or a failure.
    not_before: Option<Instant>,
    /// No write of the same content before, after it was undone.
    held_until: Option<Instant>,
    /// Its place among those that are delayed.
    delayed: Option<Instant>,
}

impl Queue {
    pub(super) fn new(controller: &str) -> Self {
        Self {
            controller: controller.to_owned(),
            leading: false,
            plan: Arc::default(),
            world: World::default(),
            candidates: VecDeque::new(),
            queued: BTreeSet::new(),
            ready: BTreeMap::new(),
            delayed: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    pub(super) fn is_leading(&self) -> bool {
        self.leading
    }

    /// Objects that wait or are under way.
    pub(super) fn depth(&self) -> usize {
        self.candidates.len() + self.ready.len() + self.delayed.len() + self.in_flight.len()
    }

    /// When the next delayed object is due.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// Takes another plan and World; what differs from those before is compared.
    pub(super) fn set(&mut self, plan: Arc<Plan>, world: &World) {
        if self.leading {
            let mut differing = changed(&self.world, world);
            let differs = |object: &&ObjectRef| self.plan.get(*object) != plan.get(*object);
            differing.extend(plan.keys().filter(differs).cloned());
            differing.extend(self.plan.keys().filter(|object| !plan.contains_key(*object)).cloned());
            for object in differing {
                self.mark(object);
            }
        }
        self.plan = plan;
        self.world = world.clone();
    }

    /// This replica leads: everything is compared with what is observed.
    pub(super) fn lead(&mut self) {
        if !std::mem::replace(&mut self.leading, true) {
            for object in changed(&World::default(), &self.world) {
                self.mark(object);
            }
        }
    }

    /// Another replica leads: what was remembered may be outdated when this one leads again.
    pub(super) fn follow(&mut self) {
        let (plan, world) = (std::mem::take(&mut self.plan), std::mem::take(&mut self.world));
        *self = Self { plan, world, ..Self::new(&self.controller) };
    }

    fn mark(&mut self, object: ObjectRef) {
        if let Some((_, again)) = self.in_flight.get_mut(&object) {
            *again = true;
        } else if self.queued.insert(object.clone()) {
            self.candidates.push_back(object);
        }
    }

    /// Compares at most `budget` candidates; says whether there are more. `clock` is the time for conditions.
    pub(super) fn compare(&mut self, budget: usize, now: Instant, clock: &str) -> bool {
        while let Some((at, _)) = self.delayed.first()
            && *at <= now
            && let Some((_, object)) = self.delayed.pop_first()
        {
            // Its place is gone; the record forgets it when it is compared.
            self.mark(object);
        }
        for _ in 0..budget {
            let Some(object) = self.candidates.pop_front() else { break };
            self.queued.remove(&object);
            self.compare_one(object, now, clock);
        }
        !self.candidates.is_empty()
    }

    fn compare_one(&mut self, object: ObjectRef, now: Instant, clock: &str) {
        self.ready.remove(&object);
        if let Some(at) = self.records.get_mut(&object).and_then(|record| record.delayed.take()) {
            self.delayed.remove(&(at, object.clone()));
        }
        let Some(seen) = observed(&self.world, &object) else {
            self.records.remove(&object);
            return;
        };
        let record = self.records.entry(object.clone()).or_default();
        if record.ahead.as_ref().is_some_and(|ahead| !seen.is_older_than(ahead)) {
            record.ahead = None;
        }
        let current = record.ahead.as_ref().unwrap_or(&seen);
        let desired = self.plan.get(&object).map(|status| &**status);
        let state = Current { generation: current.generation, status: current.status() };
        let merged = merge(object.kind, desired, state, &self.controller, clock);
        if merged.dropped > 0 {
            let (dropped, object) = (merged.dropped, &object);
            tracing::warn!(%object, dropped, "status.parents is full; entries of ours are left out");
        }
        let Some(fields) = merged.fields else {
            (record.failures, record.conflicts) = (0, 0);
            if record.written.is_none() && record.ahead.is_none() {
                self.records.remove(&object);
            }
            return;
        };
        let hash = hash(desired);
        if record.written != Some(hash) {
            (record.undone, record.held_until) = ((0, false), None);
        } else if record.own_version.as_deref() == Some(&current.resource_version) {
            tracing::debug!(%object, "the API server keeps another form of the status than was written");
            return;
        } else if !record.undone.1 {
            record.undone = (record.undone.0 + 1, true);
            let wait = backoff(Duration::from_secs(1), record.undone.0.saturating_sub(2));
            if record.undone.0 > 1 {
                record.held_until = Some(now + wait);
                tracing::warn!(%object, ?wait, "somebody else undoes what is written to the status");
            }
        }
        match record.not_before.max(record.held_until).filter(|at| *at > now) {
            Some(at) => {
                record.delayed = Some(at);
                self.delayed.insert((at, object));
            }
            None => {
                let resource_version = current.resource_version.clone();
                self.ready.insert(object.clone(), (Write { object, resource_version, fields }, hash));
            }
        }
    }

    /// The next write; the caller says later what became of it.
    pub(super) fn next(&mut self) -> Option<Write> {
        let (object, (write, hash)) = self.ready.pop_first()?;
        self.in_flight.insert(object, (hash, false));
        Some(write)
    }

    /// Takes note of what became of a write.
    pub(super) fn done(&mut self, object: &ObjectRef, outcome: Outcome, now: Instant) {
        // A write that was started before leadership changed hands.
        let Some((hash, again)) = self.in_flight.remove(object) else { return };
        let record = self.records.entry(object.clone()).or_default();
        match outcome {
            Outcome::Written(observed) => {
                (record.failures, record.conflicts) = (0, 0);
                record.written = Some(hash);
                record.own_version = Some(observed.resource_version.clone());
                record.ahead = Some(observed);
                record.undone.1 = false;
                record.not_before = Some(now + BETWEEN_WRITES);
                if again {
                    self.mark(object.clone());
                }
            }
            Outcome::Conflict(observed) => {
                record.conflicts += 1;
                record.ahead = Some(observed);
                if record.conflicts > QUICK_CONFLICTS {
                    let at = now + backoff(BACKOFF.0, record.conflicts - QUICK_CONFLICTS);
                    record.not_before = Some(at);
                }
                self.mark(object.clone());
            }
            Outcome::Gone => {
                self.records.remove(object);
                if again {
                    self.mark(object.clone());
                }
            }
            Outcome::Failed => {
                record.failures += 1;
                let at = now + backoff(BACKOFF.0, record.failures - 1);
                (record.not_before, record.delayed) = (Some(at), Some(at));
                self.delayed.insert((at, object.clone()));
            }
        }
    }
}

/// `first`, doubled `times` times, at most the longest.
fn backoff(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(BACKOFF.1)
}

/// A hash of what is desired, whose text is the same whenever it is made the same way.
fn hash(desired: Option<&Value>) -> u64 {
    let mut hasher = Xxh3Default::new();
    desired.map(Value::to_string).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
