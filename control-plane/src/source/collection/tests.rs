//! Files together.

use super::*;
use crate::source::{Change, parse_manifest};

fn files(files: &[(&str, &str)]) -> Vec<Arc<Manifest>> {
    files.iter().map(|(name, text)| Arc::new(parse_manifest(name, text.as_bytes()))).collect()
}

fn objective(group: &str, priority: i32) -> String {
    format!(
        "apiVersion: {group}/v1alpha2\nkind: InferenceObjective\nmetadata: {{name: o}}\n\
         spec: {{priority: {priority}, poolRef: {{name: p}}}}\n"
    )
}

#[test]
fn duplicates_name_both_places() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
    let again = format!("# first line\n{namespace}");
    let refused = join(&files(&[("a.yaml", namespace), ("b.yaml", &again)]), Vec::new()).unwrap_err();
    let lines: Vec<_> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["b.yaml:2: Namespace a: this object is also in a.yaml:1; remove one of them, or rename it"]
    );
}

#[test]
fn the_newer_group_wins_in_either_order() {
    let older = objective("inference.networking.x-k8s.io", 1);
    let newer = objective("llm-d.ai", 2);
    let note = |old: &str, new: &str| {
        format!(
            "{old}:1: InferenceObjective default/o of inference.networking.x-k8s.io is not used: {new}:1 has it in llm-d.ai"
        )
    };
    for (first, second, expected) in
        [(&older, &newer, note("a.yaml", "b.yaml")), (&newer, &older, note("b.yaml", "a.yaml"))]
    {
        let loaded = join(&files(&[("a.yaml", first), ("b.yaml", second)]), Vec::new()).unwrap();
        let [Change::ReplaceAll(objects)] = &loaded.batch.changes[..] else { panic!("{loaded:?}") };
        let [crate::source::AnyObject::InferenceObjective(kept)] = &objects[..] else {
            panic!("{objects:?}")
        };
        assert_eq!(kept.spec.priority, Some(2));
        assert_eq!(loaded.notes.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn one_diagnostic_refuses_everything() {
    let manifests =
        files(&[("a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"), ("b.yaml", "a: [")]);
    assert_eq!(join(&manifests, Vec::new()).unwrap_err().len(), 1);
}
