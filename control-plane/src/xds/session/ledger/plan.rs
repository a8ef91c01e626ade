//! What has to be said about each resource that may have changed.
//!
//! ```text
//!                  in the snapshot                          not in the snapshot
//! held as it is    nothing (owed: sent)                     held: leaves (owed, or a type that goes at once: removed)
//! held otherwise   sent; parked: nothing (owed: last good)  not held: nothing (owed: removed)
//! ```

use std::{mem, sync::Arc};

use super::{Holding, Ledger, WINDOW};
use crate::xds::{Resource, ResourceType, Snapshot};

/// What is to be sent.
#[derive(Debug, Default)]
pub(in crate::xds::session) struct Plan {
    pub(in crate::xds::session) send: Vec<Arc<Resource>>,
    /// Removed at once, or never there.
    pub(in crate::xds::session) remove: Vec<Arc<str>>,
    /// Gone from the snapshot and still held: removed in good time.
    pub(in crate::xds::session) leave: Vec<Arc<str>>,
    /// In the snapshot: a pending removal is void.
    pub(in crate::xds::session) stay: Vec<Arc<str>>,
    /// Sent in responses of their own.
    pub(in crate::xds::session) suspects: Vec<Vec<Arc<Resource>>>,
    /// The wildcard has to be answered, even with nothing.
    pub(in crate::xds::session) answer: bool,
}

enum Decision {
    Nothing,
    Send(Arc<Resource>),
    Remove,
    Leave,
}

impl Ledger {
    /// Decides about all names that may have changed.
    pub(in crate::xds::session) fn take(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
        late: bool,
    ) -> Plan {
        let mut plan = Plan::default();
        if !self.subscription.started() || self.in_flight.len() >= WINDOW {
            return plan;
        }
        plan.answer = mem::take(&mut self.unanswered);
        for group in mem::take(&mut self.suspects) {
            let mut sent = Vec::new();
            for name in group {
                if self.dirty.remove(&name) {
                    self.decide_into(kind, name, snapshot, late, (&mut plan, Some(&mut sent)));
                }
            }
            if !sent.is_empty() {
                plan.suspects.push(sent);
            }
        }
        for name in mem::take(&mut self.dirty) {
            self.decide_into(kind, name, snapshot, late, (&mut plan, None));
        }
        plan
    }

    fn decide_into(
        &mut self,
        kind: ResourceType,
        name: Arc<str>,
        snapshot: &Snapshot,
        late: bool,
        (plan, group): (&mut Plan, Option<&mut Vec<Arc<Resource>>>),
    ) {
        let target = snapshot.get(kind, &name);
        if target.is_some() {
            plan.stay.push(name.clone());
        }
        match self.decide(&name, target, late) {
            Decision::Nothing => {}
            Decision::Send(resource) => group.unwrap_or(&mut plan.send).push(resource),
            Decision::Remove => plan.remove.push(name),
            Decision::Leave => plan.leave.push(name),
        }
    }

    fn decide(&mut self, name: &Arc<str>, target: Option<&Arc<Resource>>, late: bool) -> Decision {
        let owed = self.owed.remove(name);
        if !self.subscription.wants(name) {
            return Decision::Nothing;
        }
        let view = self.view(name);
        let Some(target) = target else {
            self.parked.remove(name);
            return match view {
                None if !owed => Decision::Nothing,
                Some(_) if late && !owed => Decision::Leave,
                _ => Decision::Remove,
            };
        };
        let parked = self.parked.get(name).is_some_and(|parked| parked.version == target.version);
        if view == Some(Some(target.version)) {
            if !self.sent.contains_key(name) {
                self.parked.remove(name);
            }
            return if owed { Decision::Send(target.clone()) } else { Decision::Nothing };
        }
        match (parked, owed, self.accepted.get(name)) {
            (false, _, _) => Decision::Send(target.clone()),
            (true, false, _) => Decision::Nothing,
            (true, true, Some(Holding::Sent(last_good))) => Decision::Send(last_good.clone()),
            (true, true, _) => Decision::Remove,
        }
    }
}
