//! When something may be sent: make before break.
//!
//! ```text
//! adds      CDS ─▶ EDS ─▶ [gate: new clusters are warm] ─▶ LDS ─▶ SRDS ─▶ RDS ─▶ SDS
//!                                                        those RouteConfigurations last that lead to others
//! removals  LDS, RDS at once ─▶ [both accepted, linger] ─▶ CDS ─▶ EDS
//!                                          [drain] ─▶ SRDS
//! ```
//!
//! Envoy acknowledges a CDS response only when its clusters are warm, and answers 503 for a route to a cluster that
//! is not. So listeners and routes wait for the acknowledgement of *new* clusters, for a bounded time: one cluster
//! that does not get warm must not hold up all others. EDS and SDS never wait, since warming needs them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::ResourceType;

/// How long things wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long listeners and routes wait at most for new clusters to get warm.
    pub warm: Duration,
    /// How long unreferenced clusters stay after the routes were accepted: requests that wait in a filter (a picker's
    /// queue, say) have chosen their cluster already.
    pub linger: Duration,
    /// How long unreferenced clusters stay at most when routes and listeners are not acknowledged. Does not count
    /// while a route or listener is rejected: its accepted version may refer to them.
    pub grace: Duration,
    /// How long scopes stay once no listener uses them: connections that the listener had before are drained, and
    /// find their routes by them until they are closed. Envoy's `--drain-time-s`.
    pub drain: Duration,
}

impl Timing {
    fn linger(&self, kind: ResourceType) -> Duration {
        if kind == ResourceType::Scope { self.drain } else { self.linger }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            warm: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            grace: Duration::from_secs(10),
            drain: Duration::from_secs(600),
        }
    }
}

/// Whether the removal of a type's resources waits until nothing refers to them.
pub(super) fn leaves_late(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Endpoint | ResourceType::Scope)
}

/// Holds listeners and routes back while new clusters are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Gate {
    warming: BTreeSet<Arc<str>>,
    until: Option<Instant>,
}

impl Gate {
    /// Whether resources of the type have to wait.
    pub(super) fn holds(&self, kind: ResourceType) -> bool {
        matches!(kind, ResourceType::Listener | ResourceType::Route) && !self.warming.is_empty()
    }

    /// A cluster that the client does not hold is being sent. Time that already runs is not extended.
    pub(super) fn close(&mut self, cluster: Arc<str>, now: Instant, timing: &Timing) {
        self.until.get_or_insert(now + timing.warm);
        self.warming.insert(cluster);
    }

    /// A resource was acknowledged, rejected or removed.
    pub(super) fn settle_if(&mut self, kind: ResourceType, name: &str) {
        if kind == ResourceType::Cluster {
            self.warming.remove(name);
        }
        if self.warming.is_empty() {
            self.until = None;
        }
    }

    /// Lets everything pass once the time is over. Returns the clusters that did not get warm in time.
    pub(super) fn expire(&mut self, now: Instant) -> BTreeSet<Arc<str>> {
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
            return std::mem::take(&mut self.warming);
        }
        BTreeSet::new()
    }

    /// When the gate opens by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

/// What is known about listeners and routes when a removal of clusters is considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Referrers {
    /// Everything that the client asked for was sent and accepted.
    pub(super) settled: bool,
    /// A version is rejected, so that an older one is in use.
    pub(super) rejected: bool,
}

/// Clusters and endpoints that are not in the snapshot any longer but that the client still holds.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    names: BTreeMap<(ResourceType, Arc<str>), Instant>,
    settled: Option<Instant>,
}

impl Leaving {
    /// A resource is to be removed.
    pub(super) fn add(&mut self, kind: ResourceType, name: Arc<str>, now: Instant) {
        self.names.entry((kind, name)).or_insert(now);
    }

    /// A resource came back, or is of no interest to the client any longer.
    pub(super) fn cancel(&mut self, kind: ResourceType, name: &Arc<str>) {
        if !self.names.is_empty() {
            self.names.remove(&(kind, name.clone()));
        }
    }

    /// Begins the grace anew: what replaces the routes is not sent yet, or is rejected.
    pub(super) fn restart(&mut self, now: Instant) {
        self.names.values_mut().for_each(|since| *since = now);
    }

    /// Keeps only what the client still asks for.
    pub(super) fn retain(&mut self, keep: impl Fn(ResourceType, &Arc<str>) -> bool) {
        self.names.retain(|(kind, name), _| keep(*kind, name));
    }

    /// Takes the names that may be removed.
    pub(super) fn due(
        &mut self,
        referrers: Referrers,
        now: Instant,
        timing: &Timing,
    ) -> Vec<(ResourceType, Arc<str>)> {
        if self.names.is_empty() || !referrers.settled {
            self.settled = None;
        } else {
            self.settled.get_or_insert(now);
        }
        if referrers.rejected {
            self.restart(now);
        }
        let due = |(kind, _): &(ResourceType, _), since: &Instant| match self.settled {
            Some(settled) => now >= settled + timing.linger(*kind),
            None => !referrers.rejected && now >= *since + timing.grace.max(timing.linger(*kind)),
        };
        let due: Vec<_> =
            self.names.iter().filter(|(key, since)| due(key, since)).map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.names.remove(key);
        }
        due
    }

    /// When to look again.
    pub(super) fn deadline(&self, rejected: bool, timing: &Timing) -> Option<Instant> {
        let at = |(kind, _): &(ResourceType, _), since: &Instant| match self.settled {
            Some(settled) => settled + timing.linger(*kind),
            None => *since + timing.grace.max(timing.linger(*kind)),
        };
        if self.settled.is_none() && rejected {
            return None;
        }
        self.names.iter().map(|(key, since)| at(key, since)).min()
    }
}
