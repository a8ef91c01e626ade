//! What one client holds of one type, what is on its way, and what it rejected.
//!
//! ```text
//! snapshot, subscriptions ─▶ dirty names ─▶ take ─▶ Plan ─▶ sent (in flight) ─┬ ACK ──▶ accepted
//!                                             ▲                               └ NACK ─▶ parked, or tried again in halves
//!                                             └──────── owed: answered although nothing differs
//! ```

mod plan;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::Instant,
};

use crate::xds::{
    Resource, ResourceType, Snapshot, Version,
    park::{Blame, Parked, blame},
    subscription::Subscription,
};

pub(super) use plan::Plan;

/// Responses of one type that may be unacknowledged. Beyond it nothing of the type is sent; changes coalesce.
const WINDOW: usize = 64;

/// The state of one type.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) subscription: Subscription,
    /// The wildcard was not answered yet: it is answered even with nothing, since Envoy's start waits for it.
    pub(super) unanswered: bool,
    accepted: BTreeMap<Arc<str>, Holding>,
    /// Sent and not acknowledged: nonce of the last response with it, and what it said (`None`: removed).
    sent: BTreeMap<Arc<str>, (u64, Option<Arc<Resource>>)>,
    in_flight: VecDeque<InFlight>,
    parked: BTreeMap<Arc<str>, Parked>,
    dirty: BTreeSet<Arc<str>>,
    owed: BTreeSet<Arc<str>>,
    /// Asked for, but a late request of the state-of-the-world protocol went without them.
    doubted: BTreeSet<Arc<str>>,
    /// Parts of a rejected response whose culprit is unknown; each is sent in a response of its own.
    suspects: Vec<Vec<Arc<str>>>,
}

/// What a client is known to hold.
#[derive(Clone, Debug)]
enum Holding {
    /// Sent by this session and accepted.
    Sent(Arc<Resource>),
    /// Told by the client when it connected; `None` if the version is none of ours.
    Told(Option<Version>),
}

impl Holding {
    fn version(&self) -> Option<Version> {
        match self {
            Self::Sent(resource) => Some(resource.version),
            Self::Told(version) => *version,
        }
    }
}

#[derive(Debug)]
struct InFlight {
    nonce: u64,
    at: Instant,
    sent: Vec<Arc<Resource>>,
    removed: Vec<Arc<str>>,
    version: Version,
}

/// How a response was received.
#[derive(Debug)]
pub(super) struct Settled {
    /// When it was sent.
    pub(super) at: Instant,
    /// The version of the type that it carried.
    pub(super) version: Version,
    /// Names that it carried.
    pub(super) names: Vec<Arc<str>>,
    /// The rejected ones.
    pub(super) rejected: Vec<Arc<Resource>>,
}

impl Ledger {
    /// Notes that a resource may have to be sent or removed.
    pub(super) fn touch(&mut self, name: &Arc<str>) {
        if self.subscription.wants(name) {
            self.dirty.insert(name.clone());
        }
    }

    /// Notes that a resource has to be sent even if the client is believed to hold it.
    pub(super) fn owe(&mut self, name: &Arc<str>) {
        if self.subscription.wants(name) {
            self.dirty.insert(name.clone());
            self.owed.insert(name.clone());
        }
    }

    /// Notes that all names of a wildcard have to be looked at.
    pub(super) fn touch_all(&mut self, kind: ResourceType, snapshot: &Snapshot) {
        self.dirty.extend(snapshot.of(kind).map(|r| r.name.clone()));
        self.dirty.extend(self.accepted.keys().cloned());
    }

    /// The client says that it holds this version.
    pub(super) fn told(&mut self, name: &str, version: Option<Version>) {
        let name: Arc<str> = name.into();
        self.dirty.insert(name.clone());
        self.accepted.insert(name, Holding::Told(version));
    }

    /// The client says, before it saw the last response, that it asks for these names only.
    pub(super) fn doubt_all_but(&mut self, names: &[String]) {
        let dropped = self.subscription.names().filter(|name| names.iter().all(|n| **n != ***name));
        self.doubted.extend(dropped.cloned());
    }

    /// The client answers this response. What it dropped before it has from it, or not at all.
    pub(super) fn believe(&mut self, nonce: u64) {
        let response = self.in_flight.iter().find(|response| response.nonce == nonce);
        for resource in response.into_iter().flat_map(|response| &response.sent) {
            if self.doubted.remove(&resource.name) {
                self.accepted.remove(&resource.name);
            }
        }
    }

    /// What the client dropped for a while, unbeknown to the subscription, and asks for.
    pub(super) fn take_doubts(&mut self) -> Vec<Arc<str>> {
        let doubted = mem::take(&mut self.doubted);
        doubted.into_iter().filter(|name| self.subscription.wants(name)).collect()
    }

    /// The client holds this very resource.
    fn holds(&mut self, resource: &Arc<Resource>) {
        self.accepted.insert(resource.name.clone(), Holding::Sent(resource.clone()));
    }

    /// The client dropped the resource.
    pub(super) fn forget(&mut self, name: &str) {
        self.accepted.remove(name);
        self.sent.remove(name);
        self.parked.remove(name);
        self.dirty.remove(name);
        self.owed.remove(name);
    }

    /// The client dropped everything that it does not ask for by name.
    pub(super) fn forget_unwanted(&mut self) {
        let Self { subscription, accepted, sent, parked, dirty, owed, .. } = self;
        accepted.retain(|name, _| subscription.wants(name));
        sent.retain(|name, _| subscription.wants(name));
        parked.retain(|name, _| subscription.wants(name));
        dirty.retain(|name| subscription.wants(name));
        owed.retain(|name| subscription.wants(name));
        self.unanswered = false;
    }

    /// The version that the client holds once it accepted all that is on its way: `None` if it holds none,
    /// `Some(None)` if it holds one that is not ours.
    fn view(&self, name: &str) -> Option<Option<Version>> {
        match self.sent.get(name) {
            Some((_, sent)) => sent.as_ref().map(|resource| Some(resource.version)),
            None => self.accepted.get(name).map(Holding::version),
        }
    }

    /// Whether something was said about the resource that is not acknowledged.
    pub(super) fn is_on_its_way(&self, name: &str) -> bool {
        self.sent.contains_key(name)
    }

    /// Whether the client accepted some version of the resource.
    pub(super) fn has(&self, name: &str) -> bool {
        self.accepted.contains_key(name)
    }

    /// Whether the client holds the resource, or will once it accepts what is on its way.
    pub(super) fn is_held(&self, name: &str) -> bool {
        self.view(name).is_some()
    }

    /// All that the client holds once it accepted what is on its way, by name.
    pub(super) fn held(&self) -> BTreeMap<&Arc<str>, &Arc<Resource>> {
        let accepted = self.accepted.iter().filter_map(|(name, holding)| match holding {
            Holding::Sent(resource) if !self.sent.contains_key(name) => Some((name, resource)),
            _ => None,
        });
        let sent = self.sent.iter().filter_map(|(name, (_, sent))| Some((name, sent.as_ref()?)));
        accepted.chain(sent).collect()
    }

    /// What was sent and is not acknowledged.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.sent.values().filter_map(|(_, sent)| sent.as_ref())
    }

    /// Notes a response that is on its way.
    pub(super) fn dispatch(
        &mut self,
        nonce: u64,
        at: Instant,
        sent: Vec<Arc<Resource>>,
        removed: Vec<Arc<str>>,
        version: Version,
    ) {
        for resource in &sent {
            self.sent.insert(resource.name.clone(), (nonce, Some(resource.clone())));
        }
        for name in &removed {
            self.sent.insert(name.clone(), (nonce, None));
        }
        self.in_flight.push_back(InFlight { nonce, at, sent, removed, version });
    }

    /// Notes removals that the protocol has no words for.
    pub(super) fn drop_silently(&mut self, names: &[Arc<str>]) {
        for name in names {
            self.accepted.remove(name);
            self.sent.remove(name);
        }
    }

    /// Whether a response with this nonce is unacknowledged.
    pub(super) fn awaits(&self, nonce: u64) -> bool {
        self.in_flight.iter().any(|response| response.nonce == nonce)
    }

    /// The nonces of unacknowledged responses before this one.
    pub(super) fn before(&self, nonce: u64) -> Vec<u64> {
        self.in_flight.iter().map(|r| r.nonce).take_while(|n| *n < nonce).collect()
    }

    /// The client accepted a response. `None` if no such response is on its way.
    pub(super) fn accept(
        &mut self,
        nonce: u64,
        snapshot: Option<&Snapshot>,
        kind: ResourceType,
    ) -> Option<Settled> {
        let response = self.end(nonce)?;
        for resource in &response.sent {
            self.accept_one(nonce, resource, snapshot.and_then(|s| s.get(kind, &resource.name)));
        }
        self.accept_removals(&response);
        Some(settled(&response, Vec::new()))
    }

    /// The client rejected a response. With `halve`, a response without a culprit is tried again in two halves.
    pub(super) fn reject(
        &mut self,
        nonce: u64,
        message: &str,
        halve: bool,
        snapshot: Option<&Snapshot>,
        kind: ResourceType,
    ) -> Option<Settled> {
        let response = self.end(nonce)?;
        let culprits = match blame(kind, response.sent.iter().map(|r| &*r.name), message) {
            Blame::Named(culprits) => culprits,
            Blame::Unknown if halve && response.sent.len() > 1 => {
                self.halve(&response);
                return Some(settled(&response, Vec::new()));
            }
            Blame::Unknown => (0..response.sent.len()).collect(),
        };
        let message: Arc<str> = message.into();
        let mut rejected = Vec::new();
        for (position, resource) in response.sent.iter().enumerate() {
            if culprits.contains(&position) {
                self.park(resource, &message, snapshot.and_then(|s| s.get(kind, &resource.name)));
                rejected.push(resource.clone());
            } else {
                self.accept_one(nonce, resource, snapshot.and_then(|s| s.get(kind, &resource.name)));
            }
        }
        self.accept_removals(&response);
        Some(settled(&response, rejected))
    }

    fn end(&mut self, nonce: u64) -> Option<InFlight> {
        let position = self.in_flight.iter().position(|response| response.nonce == nonce)?;
        self.in_flight.remove(position)
    }

    fn accept_one(&mut self, nonce: u64, resource: &Arc<Resource>, target: Option<&Arc<Resource>>) {
        self.revert(nonce, &resource.name);
        if !self.subscription.wants(&resource.name) {
            return;
        }
        self.holds(resource);
        let parked = self.parked.get(&resource.name).map(|parked| parked.version);
        if parked.is_some() && parked != target.map(|t| t.version) {
            self.parked.remove(&resource.name);
        }
    }

    fn park(&mut self, resource: &Arc<Resource>, message: &Arc<str>, target: Option<&Arc<Resource>>) {
        let sent = self.sent.get(&resource.name).and_then(|(_, sent)| sent.as_ref());
        if sent.is_some_and(|sent| sent.version == resource.version) {
            // A later response that said the same is rejected too.
            self.sent.remove(&resource.name);
        }
        let Some(target) = target else { return };
        let known = self.parked.get(&resource.name).is_some_and(|parked| parked.version == target.version);
        if self.subscription.wants(&resource.name) && !known {
            let parked = Parked { version: resource.version, message: message.clone() };
            self.parked.insert(resource.name.clone(), parked);
            // The client may hold what is wanted by now: then nothing is rejected any longer.
            self.dirty.insert(resource.name.clone());
        }
    }

    fn accept_removals(&mut self, response: &InFlight) {
        for name in &response.removed {
            self.revert(response.nonce, name);
            self.accepted.remove(name);
        }
    }

    /// What a response said about a resource is no longer on its way.
    fn revert(&mut self, nonce: u64, name: &Arc<str>) {
        if self.sent.get(name).is_some_and(|(last, _)| *last == nonce) {
            self.sent.remove(name);
        }
    }

    fn halve(&mut self, response: &InFlight) {
        let names: Vec<_> = response.sent.iter().map(|r| r.name.clone()).collect();
        for name in names.iter().chain(&response.removed) {
            self.revert(response.nonce, name);
            self.dirty.insert(name.clone());
        }
        let (first, second) = names.split_at(names.len() / 2);
        self.suspects.extend([first.to_vec(), second.to_vec()]);
    }

    /// Whether everything that was asked for was sent and answered, rejections aside.
    pub(super) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.in_flight.is_empty() && self.suspects.is_empty() && !self.unanswered
    }

    /// Rejected versions by name.
    pub(super) fn parked(&self) -> &BTreeMap<Arc<str>, Parked> {
        &self.parked
    }
}

fn settled(response: &InFlight, rejected: Vec<Arc<Resource>>) -> Settled {
    let sent = response.sent.iter().map(|r| r.name.clone());
    Settled {
        at: response.at,
        version: response.version,
        names: sent.chain(response.removed.iter().cloned()).collect(),
        rejected,
    }
}
