use serde_json::json;

use super::*;
use crate::world::World;

fn object(kind: Kind, name: &str, label: &str) -> AnyObject {
    let object = json!({"metadata": {"name": name, "namespace": "n", "labels": {"v": label}}});
    AnyObject::deserialize(kind, object).unwrap()
}

fn route(name: &str, label: &str) -> AnyObject {
    object(Kind::HTTPRoute, name, label)
}

fn name(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, NamespacedName::new("n", name))
}

fn delete(of: &str) -> Edit {
    Edit::Delete(name(Kind::HTTPRoute, of))
}

fn invalid(of: &str) -> Edit {
    let name = name(Kind::HTTPRoute, of);
    Edit::Invalid(name.clone(), bad(name))
}

fn bad(name: ObjectRef) -> Diagnostic {
    Diagnostic { object: Some(name), message: "bad".into(), ..Diagnostic::default() }
}

fn replace(objects: &[(&str, &str)], unreadable: &[&str]) -> Edit {
    let objects = objects.iter().map(|(name, label)| route(name, label)).collect();
    let invalid = unreadable.iter().map(|of| {
        let name = name(Kind::HTTPRoute, of);
        (name.key.clone(), bad(name))
    });
    Edit::Replace(Kind::HTTPRoute, objects, invalid.collect())
}

/// The routes of a World, as `name=label`.
fn routes(world: &World) -> Vec<String> {
    let text = |route: &crate::api::HttpRoute| {
        format!("{}={}", route.metadata.name, route.metadata.labels.get("v").map_or("", String::as_str))
    };
    world.http_routes.values().map(|route| text(route)).collect()
}

/// A batch of all edits, and one batch for each, must lead to the same routes.
#[track_caller]
fn same_as_one_by_one(edits: Vec<Edit>, expected: &[&str]) {
    let start = World::from_objects([route("a", "0"), route("b", "0")]);
    let now = Instant::now();
    let mut together = Coalescer::new(Window::default());
    let mut one_by_one = start.clone();
    for edit in edits {
        together.add(edit.clone(), now);
        let mut alone = Coalescer::new(Window::default());
        alone.add(edit, now);
        one_by_one = one_by_one.apply(&alone.take(false)).0;
    }
    assert_eq!(routes(&one_by_one), expected, "one by one");
    assert_eq!(routes(&start.apply(&together.take(false)).0), expected, "together");
}

#[test]
fn a_batch_does_what_its_edits_do() {
    let apply = |name, label| Edit::Apply(route(name, label));
    same_as_one_by_one(vec![apply("a", "1"), apply("a", "2"), apply("c", "1")], &["a=2", "b=0", "c=1"]);
    same_as_one_by_one(vec![apply("c", "1"), delete("c"), delete("a")], &["b=0"]);
    same_as_one_by_one(vec![delete("a"), apply("a", "1")], &["a=1", "b=0"]);
    same_as_one_by_one(vec![invalid("a")], &["a=0", "b=0"]);
    same_as_one_by_one(vec![apply("a", "1"), invalid("a")], &["a=1", "b=0"]);
    same_as_one_by_one(vec![invalid("a"), delete("a")], &["b=0"]);
    same_as_one_by_one(vec![delete("a"), invalid("a")], &["b=0"]);
    same_as_one_by_one(vec![apply("c", "1"), replace(&[("b", "1")], &[])], &["b=1"]);
    same_as_one_by_one(vec![replace(&[("b", "1")], &["a"])], &["a=0", "b=1"]);
    same_as_one_by_one(vec![replace(&[("b", "1")], &["a"]), apply("c", "1"), delete("b")], &["a=0", "c=1"]);
    same_as_one_by_one(vec![replace(&[], &["a"]), delete("a")], &[]);
    same_as_one_by_one(vec![replace(&[("b", "1")], &[]), invalid("b"), invalid("c")], &["b=1"]);
}

#[test]
fn the_first_batch_replaces_everything() {
    let mut coalescer = Coalescer::new(Window::default());
    let now = Instant::now();
    coalescer.add(replace(&[("a", "1")], &["x"]), now);
    coalescer.add(Edit::Replace(Kind::Pod, vec![object(Kind::Pod, "p", "1")], Vec::new()), now);
    coalescer.add(Edit::Apply(route("b", "1")), now);
    let batch = coalescer.take(true);
    let [Change::ReplaceAll(objects), Change::Invalid(_)] = &batch.changes[..] else { panic!("{batch:?}") };
    assert_eq!(objects.len(), 3);
    assert_eq!(coalescer.due(), None);
    assert!(coalescer.take(false).changes.is_empty());
}

#[test]
fn a_batch_is_due_when_it_is_quiet_or_old() {
    let ms = Duration::from_millis;
    let start = Instant::now();
    let mut coalescer =
        Coalescer::new(Window { quiet: ms(5), crowd: ms(25), at_most: ms(50), crowd_at_most: ms(100) });
    assert_eq!(coalescer.due(), None);
    for (at, due) in [(0, 5), (4, 9), (8, 13), (46, 50), (49, 50)] {
        coalescer.add(Edit::Apply(route("a", "1")), start + ms(at));
        assert_eq!(coalescer.due(), Some(start + ms(due)), "a change after {at} ms");
    }
    coalescer.take(false);
    coalescer.add(delete("a"), start + ms(60));
    assert_eq!(coalescer.due(), Some(start + ms(65)));
}

#[test]
fn pods_wait_for_more_of_them_and_nothing_else_waits_for_pods() {
    let ms = Duration::from_millis;
    let start = Instant::now();
    let mut coalescer =
        Coalescer::new(Window { quiet: ms(5), crowd: ms(25), at_most: ms(50), crowd_at_most: ms(100) });
    let (pod, route) = (object(Kind::Pod, "p", "1"), route("a", "1"));
    for (at, what, due) in
        [(0, &pod, 25), (10, &pod, 35), (12, &route, 17), (16, &pod, 17), (17, &route, 22), (40, &pod, 22)]
    {
        coalescer.add(Edit::Apply(what.clone()), start + ms(at));
        assert_eq!(coalescer.due(), Some(start + ms(due)), "a change after {at} ms");
    }
    coalescer.take(false);
    for (at, due) in [(100, 125), (120, 145), (140, 165), (164, 189), (188, 200), (199, 200)] {
        coalescer.add(Edit::Apply(pod.clone()), start + ms(at));
        assert_eq!(coalescer.due(), Some(start + ms(due)), "a Pod after {at} ms");
    }
}

#[test]
fn what_waits_is_bounded_by_the_objects_there_are() {
    let mut coalescer = Coalescer::new(Window::default());
    let now = Instant::now();
    for round in 0..100 {
        coalescer.add(Edit::Apply(route("a", &round.to_string())), now);
        coalescer.add(delete("b"), now);
    }
    assert_eq!(coalescer.take_merged(), 198);
    assert_eq!(coalescer.take_merged(), 0);
    let batch = coalescer.take(false);
    assert_eq!(batch.changes.len(), 2, "{batch:?}");
}
