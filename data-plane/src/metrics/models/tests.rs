use super::*;

fn asks(model: &str) -> Asks<'_> {
    Asks { model, target: model, priority: 0 }
}

#[test]
fn names_of_clients_are_labels_only_when_they_are_known() {
    let pool = ModelFamilies::default().pool("ns/a");
    let known = |model: &str| model.starts_with('m');
    for (model, label) in [("m1", "m1"), ("x", OTHER), ("", ""), ("m1", "m1")] {
        assert_eq!(pool.label(model, &known), label);
    }
    assert_eq!(pool.label("m1", &|_: &str| false), "m1", "it was known");
    for number in 0..10_000 {
        pool.refused(asks(&format!("m{number}")), "full", 429, known);
        drop(pool.picks(asks(&format!("m{number}")), "nvidia-l4", known));
    }
    assert_eq!(pool.names.read().len(), NAMES);
    assert_eq!(pool.handles.read().len(), NAMES + 1);
}

#[test]
fn picks_with_other_labels_are_counted_apart() {
    let pool = ModelFamilies::default().pool("ns/a");
    let pick = |model: &str, target: &str, priority, class| {
        pool.picks(Asks { model, target, priority }, class, |_| true).picked(10, 4);
    };
    for (model, target, priority, class) in [
        ("a", "a", 0, "l4"),
        ("a", "a", 0, "l4"),
        ("b", "a", 0, "l4"),
        ("a", "a", 1, "l4"),
        ("a", "a", 0, "t4"),
    ] {
        pick(model, target, priority, class);
    }
    assert_eq!(pool.handles.read().len(), 4);
    let labels = |class: &str| ModelLabels {
        pool: "ns/a".to_owned(),
        model: "a".to_owned(),
        accelerator: class.to_owned(),
    };
    assert_eq!(pool.families.prompt_tokens.get(&labels("l4")).unwrap().get(), 40);
    assert_eq!(pool.families.cached_expected.get(&labels("t4")).unwrap().get(), 4);
}
