//! The status of every object, without times; those of routes are kept while what was reported of them is the same.
//!
//! ```text
//! reports, facts ─▶ plan (classes, Gateways, pools, policies)
//!     └ by route ─▶ same reports, not refused? ─ yes ─▶ the status of the last time
//! ```

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    blame::{Blame, words},
    plan::{Facts, Inputs, Plan, of_others, route_entry},
};
use crate::{
    api::{Kind, NamespacedName, ObjectRef},
    gateway::report::{Reports, RouteParentReport},
    kept::Kept,
};

/// Plans statuses; an empty one is always right.
#[derive(Debug, Default)]
pub struct Planner {
    /// In key order.
    routes: Vec<Known>,
}

/// A route's status, and what it was made from.
#[derive(Debug)]
struct Known {
    key: Arc<NamespacedName>,
    reports: Vec<Arc<[RouteParentReport]>>,
    status: Arc<Value>,
}

/// What one Gateway says of a route.
struct Told<'a> {
    key: &'a Arc<NamespacedName>,
    reports: &'a Arc<[RouteParentReport]>,
    refused: Option<String>,
}

impl Planner {
    /// The status of GatewayClasses, Gateways, HTTPRoutes, InferencePools and BackendTLSPolicies.
    pub fn plan<'a>(
        &mut self,
        inputs: Inputs<'_>,
        gateways: impl IntoIterator<Item = (&'a NamespacedName, &'a Reports, Facts)>,
    ) -> Plan {
        let gateways: Vec<_> = gateways.into_iter().collect();
        let mut told = Vec::new();
        for (_, reports, facts) in &gateways {
            let blame = Blame::of(&facts.refusals);
            told.extend(reports.routes.iter().map(|(key, reports)| Told {
                key,
                reports,
                refused: blame.routes.get(&**key).map(words),
            }));
        }
        // What several Gateways say of a route stays in their order.
        told.sort_by(|a, b| a.key.cmp(b.key));
        let mut plan = of_others(inputs, gateways);
        let mut known = Kept::new(std::mem::take(&mut self.routes));
        for told in told.chunk_by(|a, b| a.key == b.key) {
            let key = told[0].key;
            let same = known.take(|known: &Known| known.key.cmp(key)).filter(|known| known.is_of(told));
            let route = same.unwrap_or_else(|| Known::new(told, inputs.controller));
            let object = ObjectRef::new(Kind::HTTPRoute, NamespacedName::clone(key));
            plan.insert(object, Arc::clone(&route.status));
            if told.iter().all(|told| told.refused.is_none()) {
                self.routes.push(route);
            }
        }
        plan
    }
}

impl Known {
    fn new(told: &[Told<'_>], controller: &str) -> Self {
        let entries = told.iter().flat_map(|told| {
            told.reports.iter().map(|report| route_entry(report, told.refused.clone(), controller))
        });
        Self {
            key: Arc::clone(told[0].key),
            reports: told.iter().map(|told| Arc::clone(told.reports)).collect(),
            status: Arc::new(json!({ "parents": entries.collect::<Vec<_>>() })),
        }
    }

    /// Whether it is what would be made of this.
    fn is_of(&self, told: &[Told<'_>]) -> bool {
        told.iter().all(|told| told.refused.is_none())
            && self.reports.len() == told.len()
            && self.reports.iter().zip(told).all(|(held, told)| Arc::ptr_eq(held, told.reports))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::report::ConditionReport;

    fn reports(routes: &[(&str, &Arc<[RouteParentReport]>)]) -> Reports {
        let routes = routes.iter().map(|(name, report)| (key(name), Arc::clone(report)));
        Reports { routes: routes.collect(), ..Reports::default() }
    }

    fn key(name: &str) -> Arc<NamespacedName> {
        Arc::new(NamespacedName::new("ns", name))
    }

    fn said(message: &str) -> Arc<[RouteParentReport]> {
        let parent = serde_json::from_value(json!({ "name": "gw" })).unwrap();
        let status = crate::api::ConditionStatus::True;
        let accepted =
            ConditionReport { kind: "Accepted", status, reason: "Accepted", message: message.into() };
        [RouteParentReport { parent, generation: 1, conditions: vec![accepted] }].into()
    }

    fn status(plan: &Plan, name: &str) -> Arc<Value> {
        Arc::clone(&plan[&ObjectRef::new(Kind::HTTPRoute, NamespacedName::new("ns", name))])
    }

    #[test]
    fn a_kept_status_is_that_which_would_be_made() {
        let (classes, pickers) = Default::default();
        let inputs =
            Inputs { controller: "example.com/c", classes: &classes, cluster: None, pickers: &pickers };
        let (one, other) = (NamespacedName::new("ns", "gw1"), NamespacedName::new("ns", "gw2"));
        let (a, b, c) = (said("a"), said("b"), said("c"));
        let refused = Facts {
            refusals: vec![super::super::Refusal {
                resources: vec!["httproute/ns/r1/rule/0/match/0".into()],
                message: "no".into(),
            }],
            ..Facts::default()
        };
        let steps = [
            (reports(&[("r1", &a), ("r2", &b)]), reports(&[]), Facts::default()),
            (reports(&[("r1", &a), ("r2", &b)]), reports(&[("r1", &c)]), Facts::default()),
            (reports(&[("r1", &a), ("r2", &c)]), reports(&[("r1", &c)]), refused),
            (reports(&[("r1", &a), ("r2", &c)]), reports(&[("r1", &c)]), Facts::default()),
            (reports(&[("r2", &c), ("r3", &a)]), reports(&[]), Facts::default()),
        ];
        let mut planner = Planner::default();
        let mut held: Option<Plan> = None;
        let mut same = Vec::new();
        for (first, second, facts) in &steps {
            let gateways = || [(&one, first, facts.clone()), (&other, second, Facts::default())];
            let plan = planner.plan(inputs, gateways());
            assert_eq!(plan, Planner::default().plan(inputs, gateways()));
            let shared = |plan: &Plan, held: &Plan| Arc::ptr_eq(&status(plan, "r2"), &status(held, "r2"));
            same.extend(held.map(|held| shared(&plan, &held)));
            held = Some(plan);
        }
        assert_eq!(same, [true, false, true, true], "r2 is kept while its reports are");
    }
}
