//! Files: what is read, what is refused, and in which words.

use super::*;

#[track_caller]
fn sound(text: &str) -> Manifest {
    let manifest = parse("f.yaml", text.as_bytes());
    assert_eq!(manifest.diagnostics, [], "{text}");
    manifest
}

fn refused(text: &str) -> Vec<String> {
    parse("f.yaml", text.as_bytes()).diagnostics.iter().map(ToString::to_string).collect()
}

fn names(manifest: &Manifest) -> Vec<String> {
    manifest.objects.iter().map(|o| format!("{}@{}", o.object.object_ref(), o.line)).collect()
}

const POOL: &str = "\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llm}
spec:
  selector: {matchLabels: {app: llm}}
  targetPorts: [{number: 8000}]
";

#[test]
fn documents_lists_and_defaults() {
    let text = format!(
        "# nothing\n---\n{POOL}---\napiVersion: v1\nkind: List\nitems:\n\
         - {{apiVersion: v1, kind: Namespace, metadata: {{name: a}}}}\n\
         - {{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: a}}}}\n\
         ---\napiVersion: v1\nkind: List\nitems:\n"
    );
    let manifest = sound(&text);
    assert_eq!(names(&manifest), ["InferencePool default/llm@3", "Namespace a@13", "Service a/s@14"]);
    for located in &manifest.objects {
        assert_eq!(located.object.meta().generation, 1);
        assert_eq!(located.object.meta().creation_timestamp, None);
    }
}

#[test]
fn json_and_output_of_kubectl() {
    let text = r#"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "n", "generation": 7, "creationTimestamp": "2026-01-02T03:04:05Z",
          "managedFields": [{"manager": "kubectl", "operation": "Update"}], "ownerReferences": [],
          "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"a\":1}\n"}},
        "spec": {"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": [{"name": "s", "port": 80}]}]},
        "status": {"parents": [{"anything": ["at", "all"]}]}}"#;
    let manifest = sound(text);
    let meta = manifest.objects[0].object.meta();
    assert_eq!(meta.generation, 7);
    assert_eq!(meta.creation_timestamp.unwrap().to_string(), "2026-01-02T03:04:05Z");
}

#[test]
fn nulls_count_as_absent_and_words_of_yaml_1_1_are_text() {
    let manifest = sound(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata:\n  name: on\n  creationTimestamp: null\n  annotations:\n  labels: {answer: yes, off: off}\n\
         spec:\n  hostnames:\n  rules:\n  - matches:\n    - headers: [{name: X-Debug, value: on}]\n",
    );
    let AnyObject::HTTPRoute(route) = &manifest.objects[0].object else { panic!("{manifest:?}") };
    assert_eq!(route.metadata.name, "on");
    assert_eq!(route.metadata.labels["answer"], "yes");
    assert_eq!(route.spec.rules.as_ref().unwrap()[0].matches[0].headers[0].value, "on");
}

#[test]
fn kinds_that_are_not_used_are_noted() {
    let manifest = sound(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: a}\nspec: {anything: [1]}\n\
         ---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sa}\n",
    );
    assert!(manifest.objects.is_empty());
    let notes: Vec<_> = manifest.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "f.yaml:1: Deployment a/web (apps/v1) is not used here",
            "f.yaml:6: ServiceAccount sa (v1) is not used here",
        ]
    );
}

#[test]
fn core_kinds_may_have_fields_that_are_not_read() {
    sound(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: llm}}\n\
         spec:\n  serviceAccountName: x\n  containers:\n  - {name: c, image: i, resources: {limits: {nvidia.com/gpu: 1}}}\n\
         status: {phase: Running, podIP: 10.0.0.1, hostIP: 10.0.0.2}\n\
         ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nbinaryData: {a: YQ==}\n",
    );
}

/// Each case: a change to a sound object, and the whole diagnostic.
#[test]
fn types_and_fields() {
    let route = |rules: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  rules:\n{rules}"
        )
    };
    let fields = "group, kind, namespace, name, port, weight, filters";
    let cases = [
        (
            route("  - macthes: []\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0].macthes: this field does not exist; did you mean `matches`?".to_owned(),
        ),
        (
            route("  - backendRefs:\n    - name: a\n      port: 80\n      wieght: 1\n      zone: b\n"),
            format!(
                "f.yaml:9: HTTPRoute default/r: spec.rules[0].backendRefs[0].wieght: this field does not exist; did you mean `weight`?\n\
                 f.yaml:10: HTTPRoute default/r: spec.rules[0].backendRefs[0].zone: this field does not exist; remove it; the fields here are {fields}"
            ),
        ),
        (
            route("  - backendRefs: [{name: a, port: \"80\"}]\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0].backendRefs[0].port: must be a whole number, not the text \"80\"; remove the quotes".into(),
        ),
        (
            route("  - backendRefs: [{name: a, port: 70000}]\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0].backendRefs[0].port: 70000 is out of range; use a number from 0 to 65535".into(),
        ),
        (
            route("  - backendRefs:\n    - port: 80\n"),
            "f.yaml:7: HTTPRoute default/r: spec.rules[0].backendRefs[0].name: is required; add it".into(),
        ),
        (
            route("  - matches:\n      path: {value: /}\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0].matches: must be a list, not a mapping".into(),
        ),
        (
            route("  - matches: [{headers: [{name: X, value: 1.10}]}]\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0].matches[0].headers[0].value: must be text, not the number 1.10; put it in quotes: \"1.10\"".into(),
        ),
        (
            route("  - matches: [{headers: [{name: X, value: true}]}]\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0].matches[0].headers[0].value: must be text, not the boolean true; put it in quotes: \"true\"".into(),
        ),
        (
            route("  -\n"),
            "f.yaml:6: HTTPRoute default/r: spec.rules[0]: must be a mapping, not empty".into(),
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n".into(),
            "f.yaml:1: Gateway default/g: spec: is required; add it".into(),
        ),
        (
            format!("{POOL}specs: {{}}\n"),
            "f.yaml:7: InferencePool default/llm: specs: this field does not exist; did you mean `spec`?".into(),
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p, lables: {a: b}}\n".into(),
            "f.yaml:3: Pod default/p: metadata.lables: this field does not exist; did you mean `labels`?".into(),
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: http}]}\n".into(),
            "f.yaml:4: Service default/s: spec.ports[0].port: must be a whole number, not the text \"http\"".into(),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&text).join("\n"), expected, "{text}");
    }
}

#[test]
fn versions_and_files_that_are_no_manifests() {
    let remedy = "a manifest has `apiVersion` and `kind`; move other files out of the directory";
    let cases = [
        (
            "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferencePool\nmetadata: {name: p}\n",
            "f.yaml:1: apiVersion: InferencePool inference.networking.x-k8s.io/v1alpha2 is retired; migrate it to \
             inference.networking.k8s.io/v1: selector becomes selector.matchLabels, targetPortNumber becomes \
             targetPorts[].number and extensionRef becomes endpointPickerRef"
                .to_owned(),
        ),
        (
            "kind: Gateway\napiVersion: gateway.networking.k8s.io/v2\n",
            "f.yaml:2: apiVersion: Gateway is not read under gateway.networking.k8s.io/v2; write apiVersion: \
             gateway.networking.k8s.io/v1 or v1beta1"
                .to_owned(),
        ),
        ("a: 1\n", format!("f.yaml:1: `kind` is missing; {remedy}")),
        ("kind: Pod\n", format!("f.yaml:1: `apiVersion` is missing; {remedy}")),
        ("- a\n", format!("f.yaml:1: this is not a Kubernetes object; {remedy}")),
        ("just text\n", format!("f.yaml:1: this is not a Kubernetes object; {remedy}")),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), [expected], "{text}");
    }
}

#[test]
fn sound_objects_beside_a_broken_document_are_kept() {
    let manifest = parse("f.yaml", format!("{POOL}---\na: [\n---\n{POOL}").as_bytes());
    assert_eq!(names(&manifest), ["InferencePool default/llm@1", "InferencePool default/llm@10"]);
    assert_eq!(manifest.diagnostics.len(), 1);
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_large() {
    let manifest = parse("f.yaml", b"kind: \xff");
    assert_eq!(manifest.diagnostics[0].to_string(), "f.yaml: not UTF-8 at byte 6; save the file as UTF-8");
    let large = vec![b'#'; (MAX_FILE_BYTES + 1) as usize];
    let manifest = parse("f.yaml", &large);
    assert_eq!(manifest.diagnostics[0].to_string(), "f.yaml: the file is larger than 64 MiB; split it");
}

#[test]
fn thousands_of_documents_load() {
    let documents = 20_000;
    let text: String = (0..documents)
        .map(|i| format!("---\n{}", POOL.replace("name: llm", &format!("name: llm-{i}"))))
        .collect();
    assert_eq!(sound(&text).objects.len(), documents);
}

proptest::proptest! {
    /// Any text and any damage to a sound manifest gives objects or diagnostics, never a panic.
    #[test]
    fn never_panics(cut in 0..POOL.len(), text in r"[\x00-\x7f]{0,12}|[-:\[\]{}&*!|>'%@, \n\tab]{0,40}") {
        let broken = format!("{}{text}{}", &POOL[..cut], &POOL[cut..]);
        let manifest = parse("f.yaml", broken.as_bytes());
        // Whatever was damaged, silence would be a loss: there is an object, a note or a diagnostic.
        let said = manifest.objects.len() + manifest.diagnostics.len() + manifest.notes.len();
        proptest::prop_assert!(said > 0 || broken.trim_start().starts_with('#'), "{broken:?}");
    }
}
