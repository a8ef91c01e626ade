use proptest::prelude::*;

use super::*;

const US: &str = "signalbox.dev/gateway-controller";
const T1: &str = "2026-01-01T00:00:00Z";
const T2: &str = "2026-02-02T00:00:00Z";

fn merged(kind: Kind, desired: Option<&Value>, status: &Value) -> Merged {
    merge(kind, desired, Current { generation: 9, status }, US, T2)
}

fn condition(kind: &str, status: &str, generation: i64) -> Value {
    json!({ "type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": generation })
}

fn at(mut condition: Value, time: &str) -> Value {
    condition["lastTransitionTime"] = json!(time);
    condition
}

fn entry(controller: &str, name: &str, conditions: &[Value]) -> Value {
    let reference = json!({ "group": group::GATEWAY, "kind": "Gateway", "name": name });
    json!({ "parentRef": reference, "controllerName": controller, "conditions": conditions })
}

fn parents(entries: &[Value]) -> Value {
    json!({ "parents": entries })
}

/// Names of the parents of a status with their controllers' first letters.
fn shown(status: &Value) -> String {
    let one = |e: &Value| {
        let controller = e["controllerName"].as_str().unwrap_or("-");
        format!("{}:{}", &controller[..1], e["parentRef"]["name"].as_str().unwrap())
    };
    items(&status["parents"]).iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn nothing_is_written_when_nothing_differs() {
    let accepted = condition("Accepted", "True", 1);
    let programmed = condition("Programmed", "True", 1);
    let desired = json!({ "addresses": [], "conditions": [accepted, programmed], "listeners": [] });
    let there = json!({ "conditions": [at(programmed, T1), at(accepted.clone(), T1)] });
    assert_eq!(merged(Kind::Gateway, Some(&desired), &there).fields, None, "order, and empty lists");
    let desired = parents(&[entry(US, "a", std::slice::from_ref(&accepted)), entry(US, "b", &[])]);
    let there = parents(&[entry(US, "b", &[]), entry(US, "a", &[at(accepted, T1)])]);
    assert_eq!(merged(Kind::HTTPRoute, Some(&desired), &there).fields, None);
    assert_eq!(merged(Kind::HTTPRoute, None, &Value::Null).fields, None);
    assert_eq!(merged(Kind::Gateway, None, &there).fields, None, "not ours");
}

#[test]
fn times_move_with_the_status_only() {
    for (before, after, time) in [("True", "True", T1), ("False", "True", T2)] {
        let desired = json!({ "conditions": [condition("Accepted", after, 2)] });
        let there = json!({ "conditions": [at(condition("Accepted", before, 1), T1)] });
        let fields = merged(Kind::Gateway, Some(&desired), &there).fields.unwrap();
        assert_eq!(fields["conditions"], json!([at(condition("Accepted", after, 2), time)]));
    }
}

#[test]
fn conditions_of_others_stay_where_they_are() {
    let foreign = at(condition("example.com/Audited", "True", 1), T1);
    let retired = at(condition("Programmed", "True", 1), T1);
    let there = json!({ "conditions": [retired, foreign, at(condition("Accepted", "Unknown", 0), T1)] });
    let desired = json!({ "conditions": [condition("Accepted", "True", 1)] });
    let fields = merged(Kind::GatewayClass, Some(&desired), &there).fields.unwrap();
    assert_eq!(fields, json!({ "conditions": [foreign, at(condition("Accepted", "True", 1), T2)] }));
}

#[test]
fn only_fields_that_differ_are_written() {
    let listener = |kinds: Value, routes: u32, conditions: &[Value]| json!({ "name": "http", "supportedKinds": kinds, "attachedRoutes": routes, "conditions": conditions });
    let own = condition("Programmed", "True", 1);
    let foreign = at(condition("example.com/X", "True", 1), T1);
    let gone = json!({ "name": "old", "attachedRoutes": 0, "conditions": [] });
    let there = json!({
        "addresses": [{ "type": "IPAddress", "value": "192.0.2.1" }],
        "attachedListenerSets": 3,
        "conditions": [],
        "listeners": [gone, listener(json!([]), 1, &[foreign.clone(), at(own.clone(), T1)])],
    });
    let desired = json!({
        "addresses": [{ "type": "IPAddress", "value": "192.0.2.1" }],
        "conditions": [],
        "listeners": [listener(json!([]), 2, std::slice::from_ref(&own))],
    });
    let fields = merged(Kind::Gateway, Some(&desired), &there).fields.unwrap();
    assert_eq!(fields, json!({ "listeners": [listener(json!([]), 2, &[foreign, at(own, T1)])] }));
}

#[test]
fn parents_of_others_stay_and_stale_ones_of_ours_go() {
    let placeholder = json!({ "parentRef": { "kind": "Status", "name": "default" }, "conditions": [] });
    let there = parents(&[
        entry("other/c", "x", &[]),
        entry(US, "stale", &[]),
        placeholder.clone(),
        entry(US, "kept", &[]),
        entry("other/c", "kept", &[]),
    ]);
    let desired = parents(&[entry(US, "new", &[]), entry(US, "kept", &[])]);
    for (kind, desired, expected) in [
        (Kind::InferencePool, Some(&desired), "o:x s:kept o:kept s:new"),
        (Kind::HTTPRoute, Some(&desired), "o:x -:default s:kept o:kept s:new"),
        (Kind::InferencePool, None, "o:x -:default o:kept"),
    ] {
        let fields = merged(kind, desired, &there).fields.unwrap();
        assert_eq!(shown(&fields), expected, "{kind}");
    }
    assert_eq!(
        merged(Kind::InferencePool, None, &parents(&[placeholder])).fields,
        None,
        "not ours to remove"
    );
}

#[test]
fn references_are_the_same_with_and_without_their_defaults() {
    let short = json!({ "parentRef": { "name": "a" }, "controllerName": US, "conditions": [at(condition("Accepted", "True", 1), T1)] });
    let desired = parents(&[entry(US, "a", &[condition("Accepted", "True", 2)])]);
    let fields = merged(Kind::HTTPRoute, Some(&desired), &parents(&[short])).fields.unwrap();
    assert_eq!(fields, parents(&[entry(US, "a", &[at(condition("Accepted", "True", 2), T1)])]));
}

#[test]
fn a_full_list_drops_ours_and_says_how_many() {
    let foreign = (0..31).map(|i| entry("other/c", &format!("x{i}"), &[]));
    let there = parents(&foreign.collect::<Vec<_>>());
    let desired = parents(&[entry(US, "a", &[]), entry(US, "b", &[]), entry(US, "c", &[])]);
    let first = merged(Kind::HTTPRoute, Some(&desired), &there);
    let fields = first.fields.unwrap();
    assert_eq!((items(&fields["parents"]).len(), first.dropped), (32, 2));
    assert!(shown(&fields).ends_with("o:x30 s:a"));
    let again = merged(Kind::HTTPRoute, Some(&desired), &fields);
    assert_eq!(again, Merged { fields: None, dropped: 2 });
}

#[test]
fn an_older_verdict_does_not_replace_a_later_one() {
    for (seen, object, written) in [(5, 5, false), (4, 5, true), (5, 4, true)] {
        let there = json!({ "conditions": [at(condition("Accepted", "False", seen), T1)] });
        let desired = json!({ "conditions": [condition("Accepted", "True", 4)] });
        let current = Current { generation: object, status: &there };
        let found = merge(Kind::Gateway, Some(&desired), current, US, T2);
        assert_eq!(found.fields.is_some(), written, "{seen} {object}");
        let there = parents(&[entry(US, "a", &[at(condition("Accepted", "False", seen), T1)])]);
        let desired = parents(&[entry(US, "a", &[condition("Accepted", "True", 4)])]);
        let current = Current { generation: object, status: &there };
        let found = merge(Kind::HTTPRoute, Some(&desired), current, US, T2);
        assert_eq!(found.fields.is_some(), written, "{seen} {object}");
    }
}

fn any_conditions() -> impl Strategy<Value = Vec<Value>> {
    let kinds =
        prop::sample::subsequence(vec!["Accepted", "ResolvedRefs", "PartiallyInvalid", "x/Foreign"], 0..4);
    (kinds, prop::sample::select(vec!["True", "False"]), 1_i64..4).prop_map(|(kinds, status, generation)| {
        kinds.into_iter().map(|kind| at(condition(kind, status, generation), T1)).collect()
    })
}

fn any_parents(controllers: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let one = (prop::sample::select(controllers), 0..6_u8, any_conditions())
        .prop_map(|(controller, name, conditions)| entry(controller, &format!("g{name}"), &conditions));
    prop::collection::vec(one, 0..36).prop_map(|entries| parents(&entries))
}

/// What was desired, without what only the API server's answer has: times, and conditions of others.
fn desired_of(mut status: Value) -> Value {
    let mut seen = Vec::new();
    let entries = status["parents"].as_array_mut().unwrap();
    entries.retain(|entry| {
        let first = !seen.contains(&entry["parentRef"]);
        seen.push(entry["parentRef"].clone());
        first
    });
    for condition in entries.iter_mut().flat_map(|e| e["conditions"].as_array_mut().unwrap()) {
        condition.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    status
}

proptest! {
    #[test]
    fn foreign_entries_survive_and_the_result_is_at_rest(
        there in any_parents(&[US, "other/c", "third/c"]),
        desired in any_parents(&[US]),
        pool in any::<bool>(),
    ) {
        let kind = if pool { Kind::InferencePool } else { Kind::HTTPRoute };
        let desired = desired_of(desired);
        let foreign = |status: &Value| -> Vec<Value> {
            items(&status["parents"]).iter().filter(|e| e["controllerName"] != US).cloned().collect()
        };
        let result = merged(kind, Some(&desired), &there);
        let after = result.fields.clone().unwrap_or_else(|| there.clone());
        prop_assert_eq!(foreign(&after), foreign(&there));
        let own = items(&after["parents"]).iter().filter(|e| e["controllerName"] == US).count();
        let wanted = items(&desired["parents"]).len();
        prop_assert_eq!(own + result.dropped, wanted);
        prop_assert!(items(&after["parents"]).len() <= foreign(&there).len().max(PARENTS.room));
        prop_assert_eq!(merged(kind, Some(&desired), &after).fields, None);
        prop_assert_eq!(merged(kind, None, &after).fields.is_some(), own > 0);
    }

    #[test]
    fn conditions_of_others_survive_and_the_result_is_at_rest(there in any_conditions(), desired in any_conditions()) {
        let desired: Vec<_> = desired.into_iter().filter(|c| c["type"] != "x/Foreign").collect();
        let desired = desired_of(parents(&[entry(US, "a", &desired)]));
        let desired = json!({ "conditions": desired["parents"][0]["conditions"] });
        let status = json!({ "conditions": there });
        let after = merged(Kind::Gateway, Some(&desired), &status).fields.unwrap_or_else(|| status.clone());
        let foreign = |status: &Value| -> Vec<Value> {
            items(&status["conditions"]).iter().filter(|c| c["type"] == "x/Foreign").cloned().collect()
        };
        prop_assert_eq!(foreign(&after), foreign(&status));
        prop_assert_eq!(merged(Kind::Gateway, Some(&desired), &after).fields, None);
    }
}

#[test]
fn ancestors_of_policies_are_shared_as_parents_are() {
    let ancestor = |controller: &str, name: &str, conditions: &[Value]| {
        let mut entry = entry(controller, name, conditions);
        entry["ancestorRef"] = entry.as_object_mut().unwrap().remove("parentRef").unwrap();
        entry
    };
    let ancestors = |entries: &[Value]| json!({ "ancestors": entries });
    let accepted = condition("Accepted", "True", 1);
    let (theirs, gone) = (ancestor("other/x", "a", &[]), ancestor(US, "gone", &[]));
    let desired = ancestors(&[ancestor(US, "a", std::slice::from_ref(&accepted))]);
    let there = ancestors(&[gone, theirs.clone()]);
    let fields = merged(Kind::BackendTLSPolicy, Some(&desired), &there).fields.unwrap();
    let ours = ancestor(US, "a", &[at(accepted, T2)]);
    assert_eq!(fields, ancestors(&[theirs.clone(), ours]));
    assert_eq!(merged(Kind::BackendTLSPolicy, Some(&desired), &fields).fields, None);
    assert_eq!(merged(Kind::BackendTLSPolicy, None, &fields).fields, Some(ancestors(&[theirs])));
    // The list holds 16; what is not ours stays.
    let full: Vec<_> = (0..16).map(|i| ancestor("other/x", &i.to_string(), &[])).collect();
    let full = merged(Kind::BackendTLSPolicy, Some(&desired), &ancestors(&full));
    assert_eq!((full.fields, full.dropped), (None, 1));
}
