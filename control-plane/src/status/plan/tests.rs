use super::*;
use crate::status::Planner;

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
    let plan = Planner::default().plan(inputs(), [(&name, &reports(), facts)]);
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
        let reports = Reports { routes: [(Arc::new(route.clone()), [entry].into())].into(), ..reports() };
        let facts = Facts { refusals: vec![refusal(resource, "no")], ..Facts::default() };
        let plan = Planner::default().plan(inputs(), [(&NamespacedName::new("ns", "gw"), &reports, facts)]);
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
        let plan = Planner::default().plan(inputs, [(&NamespacedName::new("ns", "gw"), &reports, facts)]);
        let status = &plan[&ObjectRef::new(Kind::InferencePool, pool.clone())];
        assert_eq!(status["parents"][0]["conditions"][0]["message"], expected);
    }
}

#[test]
fn addresses_have_their_type_and_messages_fit() {
    let addresses = vec!["192.0.2.1".into(), "2001:db8::1".into(), "lb.example.com".into()];
    let facts = Facts {
        addresses,
        problem: Some(FleetProblem { reason: "AddressNotUsable", message: "é".repeat(40_000) }),
        ..Facts::default()
    };
    let plan = Planner::default().plan(inputs(), [(&NamespacedName::new("ns", "gw"), &reports(), facts)]);
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
        (
            Facts {
                problem: Some(FleetProblem { reason: "AddressNotUsable", message: "x".into() }),
                ..Facts::default()
            },
            "False",
            "AddressNotUsable",
        ),
    ];
    for (facts, status, reason) in table {
        assert_eq!(programmed_of(facts), (status.into(), reason.into()));
    }
}
