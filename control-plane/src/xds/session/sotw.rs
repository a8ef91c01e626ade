//! The state-of-the-world protocol: requests carry the whole subscription; responses carry all clusters, all
//! listeners, all scopes, or those endpoints, routes and secrets that differ (absence means nothing for these).
//!
//! A request whose nonce is not that of the last response of its type was sent before the client saw that response,
//! and so was one without a nonce once there was a response. What it asks for the next request repeats. What it does
//! not ask for the client had dropped by then; if the next request names it again, it has to be sent again, unless
//! the response that this request answers was it.
//!
//! The version that a client comes with is not believed: a response that Envoy rejected in part changed what it holds,
//! but not that version.

use std::{sync::Arc, time::Instant};

use super::{Plan, Request, Response, Session, Step, has_legacy_wildcard};
use crate::xds::{Release, Resource, ResourceType, release::set_version};

impl Session {
    pub(super) fn sotw(&mut self, request: &Request, names: &[String], now: Instant, step: &mut Step) {
        let kind = request.kind;
        let nonce = request.nonce.parse().unwrap_or(0);
        self.settle_sotw(request, nonce, now, step);
        let last = self.last_nonce[kind as usize];
        let ledger = &mut self.ledgers[kind as usize];
        if last != 0 && nonce != last {
            ledger.doubt_all_but(names);
            return;
        }
        let mut change = ledger.subscription.replace(has_legacy_wildcard(kind), names);
        for name in ledger.take_doubts() {
            ledger.forget(&name);
            change.asked.push(name);
        }
        self.resubscribe(kind, &change, |_| false);
    }

    /// Envoy answers in order and may leave out answers while it is busy: what came before was accepted.
    fn settle_sotw(&mut self, request: &Request, nonce: u64, now: Instant, step: &mut Step) {
        let kind = request.kind;
        let release = self.release.clone();
        let snapshot = release.as_ref().map(|release| &**release.snapshot());
        let ledger = &mut self.ledgers[kind as usize];
        if !ledger.awaits(nonce) {
            return;
        }
        let mut outcomes = Vec::new();
        for earlier in ledger.before(nonce) {
            outcomes.extend(ledger.accept(earlier, snapshot, kind).map(|settled| (settled, None)));
        }
        ledger.believe(nonce);
        let last = match &request.error {
            None => ledger.accept(nonce, snapshot, kind),
            Some(message) => ledger.reject(nonce, message, false, snapshot, kind),
        };
        outcomes.extend(last.map(|settled| (settled, request.error.as_ref())));
        for (settled, error) in outcomes {
            self.observe(kind, &settled, error, now, step);
        }
    }

    pub(super) fn compose_sotw(
        &mut self,
        kind: ResourceType,
        plan: Plan,
        release: &Release,
        now: Instant,
        step: &mut Step,
    ) {
        let Plan { mut send, remove, answer, .. } = plan;
        if has_legacy_wildcard(kind) {
            if send.is_empty() && remove.is_empty() && !answer {
                return;
            }
            let nonce = self.next_nonce(kind);
            let ledger = &mut self.ledgers[kind as usize];
            // Whatever is not accepted yet is in the set again, and may be what this response is rejected for.
            let again =
                |r: &&Arc<Resource>| !remove.contains(&r.name) && send.iter().all(|s| s.name != r.name);
            let again: Vec<_> = ledger.unacknowledged().filter(again).cloned().collect();
            send.extend(again);
            ledger.dispatch(nonce, now, send, remove, release.version(kind));
            let resources: Vec<_> = ledger.held().into_values().cloned().collect();
            // While rejected or leaving resources make it differ from the snapshot, it has a version of its own.
            let version = set_version(resources.iter());
            step.responses.push(Response { kind, nonce, version, resources, removed: Vec::new() });
            return;
        }
        self.ledgers[kind as usize].drop_silently(&remove);
        let alone = if kind == ResourceType::Route { 1 } else { send.len().max(1) };
        for resources in send.chunks(alone) {
            let (nonce, version) = (self.next_nonce(kind), release.version(kind));
            let resources = resources.to_vec();
            self.ledgers[kind as usize].dispatch(nonce, now, resources.clone(), Vec::new(), version);
            step.responses.push(Response { kind, nonce, version, resources, removed: Vec::new() });
        }
    }
}
