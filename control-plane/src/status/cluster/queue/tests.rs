use serde_json::json;

use super::*;
use crate::{
    api::{Kind, NamespacedName, ObservedStatus},
    source::Batch,
};

const US: &str = "signalbox.dev/gateway-controller";
const CLOCK: &str = "2026-01-01T00:00:00Z";

fn route(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::HTTPRoute, NamespacedName::new("ns", name))
}

/// Parents with the words of their messages.
fn parents(entries: &[(&str, &str)]) -> Value {
    let entry = |(controller, message): &(&str, &str)| {
        let condition = json!({
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": message, "observedGeneration": 1,
            "lastTransitionTime": CLOCK,
        });
        let reference = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw" });
        json!({ "parentRef": reference, "controllerName": controller, "conditions": [condition] })
    };
    json!({ "parents": entries.iter().map(entry).collect::<Vec<_>>() })
}

fn desired(message: &str) -> Value {
    let mut status = parents(&[(US, message)]);
    status["parents"][0]["conditions"][0].as_object_mut().unwrap().remove("lastTransitionTime");
    status
}

fn plan(routes: &[(&str, &str)]) -> Arc<Plan> {
    Arc::new(routes.iter().map(|(name, message)| (route(name), desired(message).into())).collect())
}

/// Routes with their resource version and status.
fn world(routes: &[(&str, u64, Value)]) -> World {
    let one = |(name, version, status): &(&str, u64, Value)| {
        let metadata = json!({ "namespace": "ns", "name": name, "generation": 1, "resourceVersion": version.to_string() });
        let object = json!({ "metadata": metadata, "status": status });
        serde_json::from_value::<crate::api::HttpRoute>(object).unwrap().into()
    };
    World::default().apply(&Batch::replace_all(routes.iter().map(one).collect())).0
}

fn seen(version: u64, status: &Value) -> Observed {
    let status: ObservedStatus = status.clone().into();
    Observed { resource_version: version.to_string(), generation: 1, status }
}

/// All writes that are due, as `name@version`.
fn due(queue: &mut Queue, now: Instant) -> String {
    while queue.compare(1, now, CLOCK) {}
    let mut found = Vec::new();
    while let Some(write) = queue.next() {
        found.push(format!("{}@{}", write.object.key.name, write.resource_version));
    }
    found.join(" ")
}

fn leading() -> Queue {
    let mut queue = Queue::new(US);
    queue.lead();
    queue
}

#[test]
fn only_the_leader_writes_and_only_what_differs() {
    let now = Instant::now();
    let mut queue = Queue::new(US);
    let same = parents(&[(US, "m")]);
    let stale = parents(&[("other/c", "o"), (US, "old")]);
    let world = world(&[
        ("same", 1, same),
        ("new", 2, Value::Null),
        ("pruned", 3, stale),
        ("foreign", 4, parents(&[("other/c", "o")])),
    ]);
    queue.set(plan(&[("same", "m"), ("new", "m"), ("absent", "m")]), &world);
    assert_eq!(due(&mut queue, now), "");
    queue.lead();
    assert_eq!(due(&mut queue, now), "new@2 pruned@3");
    assert_eq!(queue.depth(), 2);
    queue.follow();
    assert_eq!((due(&mut queue, now).as_str(), queue.depth()), ("", 0));
    queue.lead();
    assert_eq!(due(&mut queue, now), "new@2 pruned@3");
}

#[test]
fn a_write_that_comes_back_is_not_another_write() {
    let (mut queue, now) = (leading(), Instant::now());
    let later = now + Duration::from_secs(1);
    queue.set(plan(&[("r", "m")]), &world(&[("r", 1, Value::Null)]));
    assert_eq!(due(&mut queue, now), "r@1");
    queue.done(&route("r"), Outcome::Written(seen(5, &parents(&[(US, "m")]))), now);
    // The World is behind, then it has what was written.
    queue.set(plan(&[("r", "m"), ("other", "m")]), &world(&[("r", 1, Value::Null)]));
    assert_eq!(due(&mut queue, later), "");
    queue.set(plan(&[("r", "m")]), &world(&[("r", 5, parents(&[(US, "m")]))]));
    assert_eq!(due(&mut queue, later), "");
    // Another content is a write again, made from the latest version.
    queue.set(plan(&[("r", "n")]), &world(&[("r", 5, parents(&[(US, "m")]))]));
    assert_eq!(due(&mut queue, later), "r@5");
}

#[test]
fn a_write_is_made_from_what_the_last_one_gave() {
    let (mut queue, now) = (leading(), Instant::now());
    let world = world(&[("r", 1, Value::Null)]);
    queue.set(plan(&[("r", "m")]), &world);
    assert_eq!(due(&mut queue, now), "r@1");
    // It changes while the write is under way.
    queue.set(plan(&[("r", "n")]), &world);
    assert_eq!(due(&mut queue, now), "");
    queue.done(&route("r"), Outcome::Written(seen(5, &parents(&[(US, "m")]))), now);
    assert_eq!(due(&mut queue, now), "", "not in quick succession");
    assert_eq!(queue.wakes_at(), Some(now + BETWEEN_WRITES));
    assert_eq!(due(&mut queue, now + BETWEEN_WRITES), "r@5");
}

#[test]
fn what_the_api_server_keeps_in_another_form_is_left_alone() {
    let (mut queue, now) = (leading(), Instant::now());
    queue.set(plan(&[("r", "m")]), &world(&[("r", 1, Value::Null)]));
    assert_eq!(due(&mut queue, now), "r@1");
    let other = parents(&[(US, "M")]);
    queue.done(&route("r"), Outcome::Written(seen(5, &other)), now);
    queue.set(plan(&[("r", "m")]), &world(&[("r", 5, other)]));
    assert_eq!(due(&mut queue, now + Duration::from_secs(9)), "");
}

#[test]
fn conflicts_are_answered_with_what_was_read() {
    let (mut queue, now) = (leading(), Instant::now());
    queue.set(plan(&[("r", "m")]), &world(&[("r", 1, Value::Null)]));
    for version in 1..=4 {
        assert_eq!(due(&mut queue, now), format!("r@{version}"));
        let fresh = seen(version + 1, &parents(&[("other/c", "o")]));
        queue.done(&route("r"), Outcome::Conflict(fresh), now);
    }
    assert_eq!(due(&mut queue, now), "", "many in a row are answered later");
    assert_eq!(due(&mut queue, now + Duration::from_secs(1)), "r@5");
    // What was read may have it already: another replica wrote it.
    queue.done(&route("r"), Outcome::Conflict(seen(6, &parents(&[(US, "m")]))), now);
    assert_eq!((due(&mut queue, now + Duration::from_secs(60)).as_str(), queue.depth()), ("", 0));
}

#[test]
fn failures_are_tried_again_ever_later_and_others_go_on() {
    let (mut queue, mut now) = (leading(), Instant::now());
    queue.set(
        plan(&[("bad", "m"), ("good", "m")]),
        &world(&[("bad", 1, Value::Null), ("good", 2, Value::Null)]),
    );
    assert_eq!(due(&mut queue, now), "bad@1 good@2");
    queue.done(&route("good"), Outcome::Written(seen(3, &parents(&[(US, "m")]))), now);
    let mut waits = Vec::new();
    for _ in 0..9 {
        queue.done(&route("bad"), Outcome::Failed, now);
        let at = queue.wakes_at().unwrap();
        waits.push((at - now).as_millis());
        assert_eq!(due(&mut queue, at - Duration::from_millis(1)), "");
        assert_eq!(due(&mut queue, at), "bad@1");
        now = at;
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    queue.done(&route("bad"), Outcome::Gone, now);
    assert_eq!((due(&mut queue, now).as_str(), queue.depth()), ("", 0));
}

#[test]
fn what_somebody_undoes_is_written_ever_later_until_it_changes() {
    let (mut queue, mut now) = (leading(), Instant::now());
    let undone = |version: u64| world(&[("r", version, Value::Null)]);
    let mut waits = Vec::new();
    for version in (1..=9).step_by(2) {
        queue.set(plan(&[("r", "m")]), &undone(version));
        now += Duration::from_secs(1);
        let mut waited = Duration::ZERO;
        if due(&mut queue, now) != format!("r@{version}") {
            waited = queue.wakes_at().unwrap() - now;
            now += waited;
            assert_eq!(due(&mut queue, now), format!("r@{version}"));
        }
        waits.push(waited.as_secs());
        queue.done(&route("r"), Outcome::Written(seen(version + 1, &parents(&[(US, "m")]))), now);
    }
    assert_eq!(waits, [0, 0, 1, 2, 4]);
    queue.set(plan(&[("r", "n")]), &undone(11));
    assert_eq!(due(&mut queue, now + BETWEEN_WRITES), "r@11");
}

#[test]
fn objects_that_are_gone_are_forgotten() {
    let (mut queue, now) = (leading(), Instant::now());
    queue.set(plan(&[("r", "m")]), &world(&[("r", 1, Value::Null)]));
    assert_eq!(due(&mut queue, now), "r@1");
    queue.done(&route("r"), Outcome::Failed, now);
    queue.set(plan(&[]), &world(&[]));
    assert_eq!(due(&mut queue, now), "");
    assert_eq!((queue.depth(), queue.records.len()), (0, 0));
}

#[test]
fn answers_of_an_earlier_term_are_ignored() {
    let (mut queue, now) = (leading(), Instant::now());
    queue.set(plan(&[("r", "m")]), &world(&[("r", 1, Value::Null)]));
    assert_eq!(due(&mut queue, now), "r@1");
    queue.follow();
    queue.done(&route("r"), Outcome::Failed, now);
    assert_eq!((queue.depth(), queue.records.len()), (0, 0));
}
