//! The status of every object, without times: a pure function of reports and facts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    api::{ConditionStatus, Kind, NamespacedName, ObjectRef, group},
    gateway::report::{ConditionReport, Conditions, GatewayReport, Reports},
};

/// What is true about a Gateway's fleet at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Addresses that clients use.
    pub addresses: Vec<String>,
    /// Why the addresses that were asked for cannot be used.
    pub address_error: Option<String>,
    /// Envoys that are connected.
    pub connected: usize,
    /// Whether an Envoy acknowledged the listeners of the current configuration.
    pub acknowledged: bool,
    /// What Envoys refused: resource and reason.
    pub refusals: Vec<String>,
}

/// Status of every object, to be written where it differs.
pub type Plan = BTreeMap<ObjectRef, Value>;

/// The status of GatewayClasses, Gateways, HTTPRoutes and InferencePools.
pub fn plan<'a>(
    controller: &str,
    classes: &BTreeMap<String, Conditions>,
    gateways: impl IntoIterator<Item = (&'a NamespacedName, &'a Reports, Facts)>,
) -> Plan {
    let mut plan = Plan::new();
    for (name, conditions) in classes {
        let key = NamespacedName::new("", name);
        let conditions = conditions.iter().map(|c| condition(c, 0)).collect::<Vec<_>>();
        plan.insert(ObjectRef::new(Kind::GatewayClass, key), json!({ "conditions": conditions }));
    }
    for (name, reports, facts) in gateways {
        let object = ObjectRef::new(Kind::Gateway, name.clone());
        plan.insert(object, gateway(&reports.gateway, &facts));
        for (route, parents) in &reports.routes {
            let object = ObjectRef::new(Kind::HTTPRoute, route.clone());
            for parent in parents {
                let entry = json!({
                    "parentRef": parent.parent,
                    "controllerName": controller,
                    "conditions": conditions(&parent.conditions, parent.generation),
                });
                push_parent(&mut plan, &object, entry);
            }
        }
        for (pool, report) in &reports.pools {
            let object = ObjectRef::new(Kind::InferencePool, pool.clone());
            let parent = json!({ "group": group::GATEWAY, "kind": "Gateway", "namespace": name.namespace, "name": name.name });
            let entry = json!({
                "parentRef": parent,
                "controllerName": controller,
                "conditions": conditions(&report.conditions, report.generation),
            });
            push_parent(&mut plan, &object, entry);
        }
    }
    plan
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
        facts.addresses.iter().map(|a| json!({ "type": "IPAddress", "value": a })).collect();
    json!({ "addresses": addresses, "conditions": own, "listeners": listeners })
}

/// `Programmed` is true only when an Envoy acknowledged the listeners.
fn programmed(accepted: bool, facts: &Facts) -> ConditionReport {
    let report =
        |status, reason, message: String| ConditionReport { kind: "Programmed", status, reason, message };
    if !accepted {
        return invalid("the Gateway is not accepted: see its Accepted condition");
    }
    if let Some(error) = &facts.address_error {
        return report(ConditionStatus::False, "AddressNotUsable", error.clone());
    }
    if !facts.refusals.is_empty() {
        let message = format!(
            "Envoy refused part of the configuration and keeps its last good one; a restarted Envoy will not have it: {}",
            facts.refusals.join("; ")
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

fn condition(report: &ConditionReport, generation: i64) -> Value {
    json!({
        "type": report.kind,
        "status": report.status,
        "reason": report.reason,
        "message": report.message,
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
        let plan = plan("example.com/c", &BTreeMap::new(), [(&name, &reports(), facts)]);
        let status = &plan[&ObjectRef::new(Kind::Gateway, name)];
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|c| c["type"] == "Programmed").unwrap();
        assert_eq!(found["observedGeneration"], 3);
        (found["status"].as_str().unwrap().into(), found["reason"].as_str().unwrap().into())
    }

    #[test]
    fn programmed_follows_what_envoy_acknowledged() {
        let table = [
            (Facts::default(), "False", "Pending"),
            (Facts { connected: 1, ..Facts::default() }, "False", "Pending"),
            (Facts { connected: 1, acknowledged: true, ..Facts::default() }, "True", "Programmed"),
            (
                Facts { connected: 1, acknowledged: true, refusals: vec!["r".into()], ..Facts::default() },
                "False",
                "Invalid",
            ),
            (Facts { address_error: Some("x".into()), ..Facts::default() }, "False", "AddressNotUsable"),
        ];
        for (facts, status, reason) in table {
            assert_eq!(programmed_of(facts), (status.into(), reason.into()));
        }
    }
}
