//! The status of every object, without times: a pure function of reports and facts.

use std::{collections::BTreeMap, net::IpAddr};

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
pub type Plan = BTreeMap<ObjectRef, Value>;

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

/// The status of GatewayClasses, Gateways, HTTPRoutes and InferencePools.
pub fn plan<'a>(
    inputs: Inputs<'_>,
    gateways: impl IntoIterator<Item = (&'a NamespacedName, &'a Reports, Facts)>,
) -> Plan {
    let mut plan = Plan::new();
    for (name, report) in inputs.classes {
        let key = NamespacedName::new("", name);
        plan.insert(ObjectRef::new(Kind::GatewayClass, key), class(report, inputs.cluster));
    }
    for (name, reports, facts) in gateways {
        let blame = Blame::of(&facts.refusals);
        let object = ObjectRef::new(Kind::Gateway, name.clone());
        plan.insert(object, gateway(&reports.gateway, &facts));
        for (route, parents) in &reports.routes {
            let object = ObjectRef::new(Kind::HTTPRoute, route.clone());
            for parent in parents {
                let refused = blame.routes.get(route).map(words);
                let entry = json!({
                    "parentRef": parent.parent,
                    "controllerName": inputs.controller,
                    "conditions": conditions(&of_route(parent, refused), parent.generation),
                });
                push_parent(&mut plan, &object, entry);
            }
        }
        for (pool, report) in &reports.pools {
            let object = ObjectRef::new(Kind::InferencePool, pool.clone());
            let refused = blame.pools.get(pool).map(words);
            let parent = json!({ "group": group::GATEWAY, "kind": "Gateway", "namespace": name.namespace, "name": name.name });
            let entry = json!({
                "parentRef": parent,
                "controllerName": inputs.controller,
                "conditions": conditions(&of_pool(report, refused, inputs.pickers.get(pool)), report.generation),
            });
            push_parent(&mut plan, &object, entry);
        }
    }
    plan
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

fn push_parent(plan: &mut Plan, object: &ObjectRef, entry: Value) {
    let status = plan.entry(object.clone()).or_insert_with(|| json!({ "parents": [] }));
    if let Some(parents) = status["parents"].as_array_mut() {
        parents.push(entry);
    }
}

fn gateway(report: &GatewayReport, facts: &Facts) -> Value {
    let accepted = is_true(&report.conditions, "Accepted");
    let programmed = programmed(accepted, facts);
    let mut own = conditions(&report.conditions, report.generation);
    own.push(condition(&programmed, report.generation));
    let listeners: Vec<_> = report
        .listeners
        .iter()
        .map(|listener| {
            let mut own = conditions(&listener.conditions, report.generation);
            let valid =
                is_true(&listener.conditions, "Accepted") && !is_false(&listener.conditions, "ResolvedRefs");
            let state = if valid {
                programmed.clone()
            } else {
                invalid("the listener is not accepted: see its other conditions")
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

fn is_false(conditions: &Conditions, kind: &str) -> bool {
    conditions.iter().any(|c| c.kind == kind && c.status == ConditionStatus::False)
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
mod tests {
    use super::*;

    fn reports() -> Reports {
        let accepted = ConditionReport {
            kind: "Accepted",
            status: ConditionStatus::True,
            reason: "Accepted",
            message: String::new(),
        };
        let gateway = GatewayReport { generation: 3, conditions: vec![accepted], ..GatewayReport::default() };
        Reports { gateway, ..Reports::default() }
    }

    fn programmed_of(facts: Facts) -> (String, String) {
        let name = NamespacedName::new("ns", "gw");
        let plan = plan(inputs(), [(&name, &reports(), facts)]);
        let status = &plan[&ObjectRef::new(Kind::Gateway, name)];
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|c| c["type"] == "Programmed").unwrap();
        assert_eq!(found["observedGeneration"], 3);
        (found["status"].as_str().unwrap().into(), found["reason"].as_str().unwrap().into())
    }

    fn inputs() -> Inputs<'static> {
        static NONE: (BTreeMap<String, ClassReport>, BTreeMap<NamespacedName, PickerState>) =
            (BTreeMap::new(), BTreeMap::new());
        Inputs { controller: "example.com/c", classes: &NONE.0, cluster: None, pickers: &NONE.1 }
    }

    fn refusal(resource: &str, message: &str) -> Refusal {
        Refusal { resources: vec![resource.into()], message: message.into() }
    }

    fn report(kind: &'static str, status: ConditionStatus, message: &str) -> ConditionReport {
        ConditionReport { kind, status, reason: "R", message: message.into() }
    }

    #[test]
    fn a_refusal_is_told_to_the_route_that_caused_it() {
        let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
        let fall_back = "Fall Back: Envoy refused the route and keeps what it had before: no";
        let dropped = format!("Dropped Rule 1: x; {fall_back}");
        let accepted = report("Accepted", yes, "");
        for (own, resource, expected) in [
            (vec![accepted.clone()], "http-80", None),
            (vec![accepted.clone()], "httproute/ns/other/rule/0/match/0", None),
            (vec![accepted.clone()], "httproute/ns/r/rule/0/match/0", Some(fall_back)),
            (
                vec![accepted, report("PartiallyInvalid", yes, "Dropped Rule 1: x")],
                "httproute/ns/r/rule/0/match/0",
                Some(dropped.as_str()),
            ),
            (vec![report("Accepted", no, "")], "httproute/ns/r/rule/0/match/0", None),
        ] {
            let parent = serde_json::from_value(json!({ "name": "gw" })).unwrap();
            let entry = RouteParentReport { parent, generation: 4, conditions: own };
            let route = NamespacedName::new("ns", "r");
            let reports = Reports { routes: [(route.clone(), vec![entry])].into(), ..reports() };
            let facts = Facts { refusals: vec![refusal(resource, "no")], ..Facts::default() };
            let plan = plan(inputs(), [(&NamespacedName::new("ns", "gw"), &reports, facts)]);
            let status = &plan[&ObjectRef::new(Kind::HTTPRoute, route)];
            let conditions = status["parents"][0]["conditions"].as_array().unwrap();
            let partial = conditions.iter().find(|c| c["type"] == "PartiallyInvalid");
            assert_eq!(partial.and_then(|c| c["message"].as_str()), expected, "{resource}");
        }
    }

    #[test]
    fn a_pool_tells_of_its_picker_and_of_refusals() {
        let refs = report("ResolvedRefs", ConditionStatus::True, "endpoint picker is p");
        let pool = NamespacedName::new("ns", "llm");
        let entry = PoolReport { generation: 1, conditions: vec![refs] };
        let reports = Reports { pools: [(pool.clone(), entry)].into(), ..reports() };
        let gone = PickerState::Unreachable("no picker is connected".into());
        for (picker, resource, expected) in [
            (None, "pool/ns/other", "endpoint picker is p"),
            (Some(PickerState::Ready), "x", "endpoint picker is p and is ready"),
            (
                Some(gone),
                "pool/ns/llm",
                "endpoint picker is p; the endpoint picker does not answer: no picker is connected; \
                 Envoy refused the pool and keeps what it had before: no",
            ),
        ] {
            let pickers = picker.map(|picker| (pool.clone(), picker)).into_iter().collect();
            let inputs = Inputs { pickers: &pickers, ..inputs() };
            let facts = Facts { refusals: vec![refusal(resource, "no")], ..Facts::default() };
            let plan = plan(inputs, [(&NamespacedName::new("ns", "gw"), &reports, facts)]);
            let status = &plan[&ObjectRef::new(Kind::InferencePool, pool.clone())];
            assert_eq!(status["parents"][0]["conditions"][0]["message"], expected);
        }
    }

    #[test]
    fn addresses_have_their_type_and_messages_fit() {
        let addresses = vec!["192.0.2.1".into(), "2001:db8::1".into(), "lb.example.com".into()];
        let problem = FleetProblem { reason: "AddressNotUsable", message: "é".repeat(40_000) };
        let facts = Facts { addresses, problem: Some(problem), ..Facts::default() };
        let plan = plan(inputs(), [(&NamespacedName::new("ns", "gw"), &reports(), facts)]);
        let status = plan.values().next().unwrap();
        let types: Vec<_> = (0..3).map(|i| status["addresses"][i]["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["IPAddress", "IPAddress", "Hostname"]);
        assert_eq!(status["conditions"][1]["message"].as_str().unwrap().len(), 32_768);
    }

    #[test]
    fn programmed_follows_what_envoy_acknowledged() {
        let table = [
            (Facts::default(), "False", "Pending"),
            (Facts { connected: 1, ..Facts::default() }, "False", "Pending"),
            (Facts { connected: 1, acknowledged: true, ..Facts::default() }, "True", "Programmed"),
            (
                Facts {
                    connected: 1,
                    acknowledged: true,
                    refusals: vec![refusal("r", "no")],
                    ..Facts::default()
                },
                "False",
                "Invalid",
            ),
            (Facts { problem: Some(FleetProblem { reason: "AddressNotUsable", message: "x".into() }), ..Facts::default() }, "False", "AddressNotUsable"),
        ];
        for (facts, status, reason) in table {
            assert_eq!(programmed_of(facts), (status.into(), reason.into()));
        }
    }
}
