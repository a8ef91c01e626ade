//! The incremental protocol: requests change a subscription, responses carry what differs.
//!
//! Nonces only tell which response is meant: a request without one, or with an old one, subscribes like any other.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{Plan, Request, Response, Session, Step, has_legacy_wildcard};
use crate::xds::{Release, Resource, ResourceType, Version};

impl Session {
    pub(super) fn delta(
        &mut self,
        request: &Request,
        subscribe: &[String],
        unsubscribe: &[String],
        initial: &[(String, String)],
        now: Instant,
        step: &mut Step,
    ) {
        let kind = request.kind;
        let release = self.release.clone();
        let snapshot = release.as_ref().map(|release| &**release.snapshot());
        let ledger = &mut self.ledgers[kind as usize];
        if let Ok(nonce) = request.nonce.parse() {
            let settled = match &request.error {
                None => ledger.accept(nonce, snapshot, kind),
                Some(message) => ledger.reject(nonce, message, true, snapshot, kind),
            };
            if let Some(settled) = settled {
                self.observe(kind, &settled, request.error.as_ref(), now, step);
            }
        }
        let ledger = &mut self.ledgers[kind as usize];
        let mut held = BTreeSet::new();
        if !ledger.subscription.started() {
            for (name, version) in initial {
                ledger.told(name, Version::parse(version));
                held.insert(name.as_str());
            }
        }
        let change = ledger.subscription.delta(has_legacy_wildcard(kind), subscribe, unsubscribe);
        self.resubscribe(kind, &change, |name| held.contains(name));
    }

    pub(super) fn compose_delta(
        &mut self,
        kind: ResourceType,
        plan: Plan,
        release: &Release,
        now: Instant,
        step: &mut Step,
    ) {
        let Plan { send, remove, suspects, answer, .. } = plan;
        // Envoy's rejection of a RouteConfiguration does not name it, so each is sent alone.
        let (main, alone) = if kind == ResourceType::Route {
            (Vec::new(), send.into_iter().map(|resource| vec![resource]).collect())
        } else {
            (send, suspects)
        };
        let mut respond = |resources: Vec<Arc<Resource>>, removed: Vec<Arc<str>>| {
            let nonce = self.next_nonce(kind);
            let version = release.version(kind);
            self.ledgers[kind as usize].dispatch(nonce, now, resources.clone(), removed.clone(), version);
            step.responses.push(Response { kind, nonce, version, resources, removed });
        };
        if !main.is_empty() || !remove.is_empty() || (answer && alone.is_empty()) {
            respond(main, remove);
        }
        for resources in alone {
            respond(resources, Vec::new());
        }
    }
}
