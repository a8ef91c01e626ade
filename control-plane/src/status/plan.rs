//! What statuses are made of: pure functions of reports and facts. `planner` puts them together.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde_json::{Value, json};

use super::{
    blame::{Blame, Refusal, words},
    class::{ClassFacts, class},
};
use crate::{
    api::{ConditionStatus, Kind, NamespacedName, ObjectRef, group},
    gateway::report::{
        ClassReport, ConditionReport, Conditions, GatewayReport, PoolReport, Reports, RouteParentReport,
    },
};

/// What is true about a Gateway's fleet at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Addresses that clients use: IP addresses or hostnames.
    pub addresses: Vec<String>,
    /// Why clients cannot reach the Gateway yet.
    pub problem: Option<FleetProblem>,
    /// Envoys that are connected.
    pub connected: usize,
    /// Whether an Envoy acknowledged the listeners of the current configuration.
    pub acknowledged: bool,
    /// What Envoys refused.
    pub refusals: Vec<Refusal>,
}

/// What keeps the Envoys of a Gateway from being reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetProblem {
    /// Reason of the condition `Programmed`: `AddressNotAssigned`, `AddressNotUsable`, `Invalid` or `Pending`.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// Whether the picker of a pool answers, as far as anybody can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PickerState {
    /// It has endpoints that are ready.
    Ready,
    /// It has none: why.
    Unreachable(String),
}

/// Status of every object, to be written where it differs.
pub type Plan = BTreeMap<ObjectRef, Arc<Value>>;

/// What statuses are made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The name under which entries in shared lists are ours.
    pub controller: &'a str,
    /// GatewayClasses of ours.
    pub classes: &'a BTreeMap<String, ClassReport>,
    /// What the cluster has; `None` without a cluster.
    pub cluster: Option<&'a ClassFacts>,
    /// Pickers by pool; nothing is said of pools that are not in it.
    pub pickers: &'a BTreeMap<NamespacedName, PickerState>,
}

/// The status of everything but HTTPRoutes.
pub(super) fn of_others<'a>(
    inputs: Inputs<'_>,
    gateways: impl IntoIterator<Item = (&'a NamespacedName, &'a Reports, Facts)>,
) -> Plan {
    let mut plan = BTreeMap::new();
    for (name, report) in inputs.classes {
        let key = NamespacedName::new("", name);
        plan.insert(ObjectRef::new(Kind::GatewayClass, key), class(report, inputs.cluster));
    }
    for (name, reports, facts) in gateways {
        let blame = Blame::of(&facts.refusals);
        let object = ObjectRef::new(Kind::Gateway, name.clone());
        plan.insert(object, gateway(&reports.gateway, &facts));
        let reference = json!({ "group": group::GATEWAY, "kind": "Gateway", "namespace": name.namespace, "name": name.name });
        for (pool, report) in &reports.pools {
            let object = ObjectRef::new(Kind::InferencePool, pool.clone());
            let refused = blame.pools.get(pool).map(words);
            let entry = json!({
                "parentRef": reference,
                "controllerName": inputs.controller,
                "conditions": conditions(&of_pool(report, refused, inputs.pickers.get(pool)), report.generation),
            });
            push(&mut plan, &object, "parents", entry);
        }
        for (policy, report) in &reports.policies {
            let entry = json!({
                "ancestorRef": reference,
                "controllerName": inputs.controller,
                "conditions": conditions(&report.conditions, report.generation),
            });
            let object = ObjectRef::new(Kind::BackendTLSPolicy, policy.clone());
            push(&mut plan, &object, "ancestors", entry);
        }
    }
    plan.into_iter().map(|(object, status)| (object, Arc::new(status))).collect()
}

/// What is said of a route with one of its parents.
pub(super) fn route_entry(report: &RouteParentReport, refused: Option<String>, controller: &str) -> Value {
    json!({
        "parentRef": report.parent,
        "controllerName": controller,
        "conditions": conditions(&of_route(report, refused), report.generation),
    })
}

/// A route's conditions with what Envoy refused of it. The API's word for serving something older is a message that
/// starts with `Fall Back`.
fn of_route(report: &RouteParentReport, refused: Option<String>) -> Conditions {
    let mut conditions = report.conditions.clone();
    let Some(words) = refused.filter(|_| is_true(&conditions, "Accepted")) else { return conditions };
    let message = format!("Fall Back: Envoy refused the route and keeps what it had before: {words}");
    match conditions.iter_mut().find(|c| c.kind == "PartiallyInvalid") {
        // Its message has to start with `Dropped Rule`.
        Some(partial) => partial.message = format!("{}; {message}", partial.message),
        None => conditions.push(ConditionReport {
            kind: "PartiallyInvalid",
            status: ConditionStatus::True,
            reason: "UnsupportedValue",
            message,
        }),
    }
    conditions
}

/// A pool's conditions with what Envoy refused of it, and whether its picker answers.
fn of_pool(report: &PoolReport, refused: Option<String>, picker: Option<&PickerState>) -> Conditions {
    let mut conditions = report.conditions.clone();
    if let Some(refs) = conditions.iter_mut().find(|c| c.kind == "ResolvedRefs") {
        match picker {
            Some(PickerState::Unreachable(why)) => {
                refs.message = format!("{}; the endpoint picker does not answer: {why}", refs.message);
            }
            Some(PickerState::Ready) => refs.message.push_str(" and is ready"),
            None => {}
        }
        if let Some(words) = refused {
            refs.message =
                format!("{}; Envoy refused the pool and keeps what it had before: {words}", refs.message);
        }
    }
    conditions
}

fn push(plan: &mut BTreeMap<ObjectRef, Value>, object: &ObjectRef, list: &str, entry: Value) {
    let status = plan.entry(object.clone()).or_insert_with(|| json!({ list: [] }));
    if let Some(entries) = status[list].as_array_mut() {
        entries.push(entry);
    }
}

fn gateway(report: &GatewayReport, facts: &Facts) -> Value {
    let accepted = is_true(&report.conditions, "Accepted");
    let programmed =
        match accepted && !report.listeners.is_empty() && report.listeners.iter().all(|l| !l.served) {
            true => invalid("no listener is served: see their conditions"),
            false => programmed(accepted, facts),
        };
    let mut own = conditions(&report.conditions, report.generation);
    own.push(condition(&programmed, report.generation));
    let listeners: Vec<_> = report
        .listeners
        .iter()
        .map(|listener| {
            let mut own = conditions(&listener.conditions, report.generation);
            let state = match listener.served {
                true => programmed.clone(),
                false => invalid("the listener is not served: see its other conditions"),
            };
            own.push(condition(&state, report.generation));
            json!({
                "name": listener.name,
                "supportedKinds": listener.supported_kinds,
                "attachedRoutes": listener.attached_routes,
                "conditions": own,
            })
        })
        .collect();
    let addresses: Vec<_> =
        facts.addresses.iter().map(|a| json!({ "type": address_type(a), "value": a })).collect();
    json!({ "addresses": addresses, "conditions": own, "listeners": listeners })
}

fn address_type(address: &str) -> &'static str {
    if address.parse::<IpAddr>().is_ok() { "IPAddress" } else { "Hostname" }
}

/// `Programmed` is true only when an Envoy acknowledged the listeners.
fn programmed(accepted: bool, facts: &Facts) -> ConditionReport {
    let report =
        |status, reason, message: String| ConditionReport { kind: "Programmed", status, reason, message };
    if !accepted {
        return invalid("the Gateway is not accepted: see its Accepted condition");
    }
    if let Some(problem) = &facts.problem {
        return report(ConditionStatus::False, problem.reason, problem.message.clone());
    }
    if !facts.refusals.is_empty() {
        let message = format!(
            "Envoy refused part of the configuration and keeps its last good one; a restarted Envoy will not have it: {}",
            facts.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        );
        return report(ConditionStatus::False, "Invalid", message);
    }
    if facts.acknowledged {
        let message = format!("acknowledged by Envoy ({} connected)", facts.connected);
        return report(ConditionStatus::True, "Programmed", message);
    }
    let message = if facts.connected == 0 {
        "no Envoy of this Gateway is connected to the control plane"
    } else {
        "Envoy has not acknowledged the listeners yet"
    };
    report(ConditionStatus::False, "Pending", message.into())
}

fn invalid(message: &str) -> ConditionReport {
    let status = ConditionStatus::False;
    ConditionReport { kind: "Programmed", status, reason: "Invalid", message: message.into() }
}

fn is_true(conditions: &Conditions, kind: &str) -> bool {
    conditions.iter().any(|c| c.kind == kind && c.status == ConditionStatus::True)
}

fn conditions(reports: &Conditions, generation: i64) -> Vec<Value> {
    reports.iter().map(|report| condition(report, generation)).collect()
}

/// `maxLength` of a condition's message.
const MAX_MESSAGE: usize = 32_768;

pub(super) fn condition(report: &ConditionReport, generation: i64) -> Value {
    let message = &report.message[..report.message.floor_char_boundary(MAX_MESSAGE)];
    json!({
        "type": report.kind,
        "status": report.status,
        "reason": report.reason,
        "message": message,
        "observedGeneration": generation,
    })
}

#[cfg(test)]
mod tests;
