//! Transition times: a condition's time moves only when its status does.

use serde_json::Value;

/// `desired` with a `lastTransitionTime` in every condition: that of `previous` where the status is the same, else `now`
/// (RFC 3339).
pub fn with_times(mut desired: Value, previous: Option<&Value>, now: &str) -> Value {
    fill(&mut desired, previous, now);
    desired
}

fn fill(value: &mut Value, previous: Option<&Value>, now: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let before = previous.and_then(|p| p.get(name));
                if name == "conditions" {
                    fill_conditions(field, before, now);
                } else {
                    fill(field, before, now);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                // Listeners are known by name, parents and ancestors by their reference: positions may shift.
                let before = previous.and_then(Value::as_array).and_then(|old| {
                    old.iter().find(|o| {
                        ["name", "parentRef", "ancestorRef"].iter().all(|key| o.get(key) == item.get(key))
                    })
                });
                fill(item, before, now);
            }
        }
        _ => {}
    }
}

fn fill_conditions(conditions: &mut Value, previous: Option<&Value>, now: &str) {
    let previous = previous.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for condition in conditions.as_array_mut().into_iter().flatten() {
        let same =
            previous.iter().find(|p| p["type"] == condition["type"] && p["status"] == condition["status"]);
        let time = same.and_then(|p| p["lastTransitionTime"].as_str()).unwrap_or(now).to_owned();
        condition["lastTransitionTime"] = Value::String(time);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_moves_only_with_the_status() {
        let entry = |name: &str, status: &str, reason: &str| json!({ "parentRef": { "name": name }, "conditions": [{ "type": "Accepted", "status": status, "reason": reason }] });
        let first =
            with_times(json!({ "parents": [entry("a", "True", "x"), entry("b", "True", "x")] }), None, "t1");
        let second = with_times(
            json!({ "parents": [entry("b", "True", "y"), entry("a", "False", "x")] }),
            Some(&first),
            "t2",
        );
        let time = |i: usize| {
            second["parents"][i]["conditions"][0]["lastTransitionTime"].as_str().unwrap().to_owned()
        };
        assert_eq!((time(0), time(1)), ("t1".into(), "t2".into()));
    }
}
