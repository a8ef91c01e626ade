use super::*;

const POOL: &str = "apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, annotations: {signalbox.dev/optimize: cost}}
spec:
  selector: {matchLabels: {app: llama}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: llama-epp, port: {number: 9002}}
";

fn workload(kind: &str, name: &str, replicas: u8, spec: &str) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: llama}}}}
  template:
    metadata: {{labels: {{app: llama}}}}
    spec:
      {spec}
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.11.0
        args: [--model, meta-llama/Llama-3.1-8B-Instruct]
        resources: {{limits: {{nvidia.com/gpu: 1}}}}
"
    )
}

/// The pools of these files, told as they are to the picker.
fn resolved(files: &[(&str, &str)]) -> Result<(Vec<PoolSnapshot>, Vec<String>)> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    pools(&[directory.path().to_owned()])
}

fn classes(pool: &PoolSnapshot) -> Vec<(&str, u32)> {
    let of = |endpoint: &'_ proto::tier::v1::Endpoint| {
        let accelerator = endpoint.accelerator.as_ref().unwrap();
        (accelerator.class.clone(), accelerator.count)
    };
    let mut classes: Vec<_> = pool.endpoints.iter().map(of).collect();
    classes.sort();
    classes.into_iter().map(|(class, count)| (&*class.leak(), count)).collect()
}

#[test]
fn deployments_become_their_pods_on_the_accelerators_that_they_ask_for() {
    let gke = "nodeSelector: {cloud.google.com/gke-accelerator: nvidia-h100-80gb}";
    let affinity = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: \
                    [{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-L4]}]}]}}}";
    let (text, more) =
        (workload("Deployment", "fast", 2, gke), workload("StatefulSet", "cheap", 3, affinity));
    let (pools, notes) =
        resolved(&[("pool.yaml", POOL), ("deployments.yaml", &format!("{text}{more}"))]).unwrap();
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(pools.len(), 1);
    assert_eq!(
        classes(&pools[0]),
        [
            ("nvidia-h100-80gb", 1),
            ("nvidia-h100-80gb", 1),
            ("nvidia-l4", 1),
            ("nvidia-l4", 1),
            ("nvidia-l4", 1)
        ]
    );
    assert_eq!(pools[0].annotations["signalbox.dev/optimize"], "cost");
    assert!(pools[0].endpoints.iter().any(|endpoint| endpoint.pod == "cheap-2"));
}

#[test]
fn nodes_that_are_written_tell_the_accelerator() {
    let node = |name: &str, pool: &str, product: &str| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{pool: {pool}, nvidia.com/gpu.product: {product}}}}}\n\
             status: {{capacity: {{nvidia.com/gpu: '8'}}}}\n"
        )
    };
    let nodes = node("a", "train", "NVIDIA-H100-80GB-HBM3") + &node("b", "serve", "NVIDIA-L4");
    let selected = workload("Deployment", "llama", 2, "nodeSelector: {pool: serve}");
    let (pools, notes) = resolved(&[("a.yaml", POOL), ("b.yaml", &selected), ("c.yaml", &nodes)]).unwrap();
    assert_eq!((classes(&pools[0]), notes.len()), (vec![("nvidia-l4", 1), ("nvidia-l4", 1)], 0));

    let anywhere = workload("Deployment", "llama", 2, "serviceAccountName: llama");
    let (pools, notes) = resolved(&[("a.yaml", POOL), ("b.yaml", &anywhere), ("c.yaml", &nodes)]).unwrap();
    assert_eq!(classes(&pools[0]), [("nvidia-h100-80gb", 1), ("nvidia-l4", 1)]);
    assert!(notes[0].contains("Deployment default/llama") && notes[0].contains("nodeSelector"), "{notes:?}");

    let (pools, notes) = resolved(&[("a.yaml", POOL), ("b.yaml", &anywhere)]).unwrap();
    assert_eq!(classes(&pools[0]), [("nvidia", 1), ("nvidia", 1)]);
    assert!(
        notes[0].contains("2 of its Pods") && notes[0].contains("signalbox.dev/accelerator"),
        "{notes:?}"
    );
}

/// What `kubectl get deployments,replicasets,pods -o yaml` prints is not counted twice.
#[test]
fn pods_with_a_status_are_taken_as_they_are() {
    let pod = |name: &str, ready: &str| {
        format!(
            "  - apiVersion: v1\n    kind: Pod\n    metadata: {{name: {name}, namespace: default, labels: {{app: llama}}, \
             annotations: {{signalbox.dev/accelerator: nvidia-l4}}}}\n    spec: {{nodeName: n, containers: [{{name: vllm}}]}}\n    \
             status: {{phase: Running, podIP: 10.0.0.{}, conditions: [{{type: Ready, status: '{ready}'}}]}}\n",
            name.len()
        )
    };
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}{}", pod("a", "True"), pod("bc", "False"));
    let deployment = workload("Deployment", "llama", 5, "nodeSelector: {pool: serve}");
    let (pools, notes) = resolved(&[("a.yaml", POOL), ("b.yaml", &list), ("c.yaml", &deployment)]).unwrap();
    assert_eq!(pools[0].endpoints.len(), 1);
    assert!(notes[0].contains("Deployment default/llama") && notes[0].contains("status"), "{notes:?}");
    // A Pod's own manifest that no cluster has seen is one that runs.
    let bare =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: llama}}\nspec: {containers: []}\n";
    assert_eq!(resolved(&[("a.yaml", POOL), ("b.yaml", bare)]).unwrap().0[0].endpoints.len(), 1);
}

#[test]
fn mistakes_name_file_object_field_and_remedy() {
    let many = workload("Deployment", "llama", 2, "x: y").replace("replicas: 2", "replicas: two");
    let none = workload("Deployment", "llama", 0, "x: y");
    let typo = POOL.replace("targetPorts", "targetPort");
    let other = workload("Deployment", "other", 2, "x: y").replace("app: llama", "app: other");
    for (files, words) in [
        (
            &[("a.yaml", POOL)][..],
            &["a.yaml:1: InferencePool default/llama: spec.selector.matchLabels: no Pod", "--pool"][..],
        ),
        (
            &[("a.yaml", POOL), ("b.yaml", &other)],
            &["InferencePool default/llama: spec.selector.matchLabels", "labels"],
        ),
        (&[("a.yaml", &typo)], &["a.yaml:6: InferencePool default/llama: spec.targetPort", "targetPorts"]),
        (&[("a.yaml", POOL), ("b.yaml", &many)], &["b.yaml:6: spec.replicas", "Deployment llama"]),
        (&[("a.yaml", POOL), ("b.yaml", &none)], &["spec.selector.matchLabels"]),
        (
            &[("a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}")],
            &["no InferencePool", "give the file"],
        ),
    ] {
        let error = format!("{:#}", resolved(files).unwrap_err());
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
    let error = format!("{:#}", pools(&["/nowhere.yaml".into()]).unwrap_err());
    assert!(error.contains("/nowhere.yaml"), "{error}");
}

#[test]
fn manifests_are_taken_out_of_the_arguments_and_pools_files_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (pools, manifest) = (directory.path().join("pools.yaml"), directory.path().join("pool.yaml"));
    fs::write(&pools, "pools: []").unwrap();
    fs::write(&manifest, POOL).unwrap();
    let arguments = |text: String| text.split(' ').map(OsString::from).collect::<Vec<_>>();
    let (paths, others) = (manifest.display(), pools.display());
    let given = arguments(format!("--pool {paths} --shape uniform --pool={paths} --rate 1"));
    let (found, rest) = split(&given);
    assert_eq!((found, rest.len()), (vec![manifest.clone(), manifest.clone()], 4));
    let given = arguments(format!("--pool {others} --rate 1"));
    assert_eq!(split(&given), (Vec::new(), given.iter().collect()));
    let given = arguments("--help --pool".to_owned());
    assert_eq!(split(&given).1.len(), 2);
}

#[test]
fn groups_of_leaders_and_workers_are_as_many_endpoints_as_the_pool_selects() {
    let pod = |role: &str, gpus: u8| {
        format!(
            "{{metadata: {{labels: {{{role}}}}}, spec: {{nodeSelector: {{cloud.google.com/gke-accelerator: nvidia-h100-80gb}}, \
             containers: [{{name: sglang, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]}}}}"
        )
    };
    let (leader, worker) = (pod("app: llama", 8), pod("role: worker", 4));
    let set = format!(
        "---\napiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {{name: large}}\nspec:\n  replicas: 2\n  \
         leaderWorkerTemplate:\n    size: 3\n    leaderTemplate: {leader}\n    workerTemplate: {worker}\n"
    );
    let (pools, notes) = resolved(&[("pool.yaml", POOL), ("set.yaml", &set)]).unwrap();
    assert_eq!(classes(&pools[0]), [("nvidia-h100-80gb", 8), ("nvidia-h100-80gb", 8)]);
    let pods: Vec<_> = pools[0].endpoints.iter().map(|endpoint| &*endpoint.pod).collect();
    assert_eq!(pods, ["large-0", "large-1"]);
    assert!(notes.len() == 1 && notes[0].contains("one of 3 in a group"), "{notes:?}");
    // Without a template of its own a leader is a worker, and what it is told apart by is a label of the controller.
    let set =
        set.replace(&format!("    leaderTemplate: {leader}\n"), "").replace("role: worker", "app: llama");
    let (all, _) = resolved(&[("pool.yaml", POOL), ("set.yaml", &set)]).unwrap();
    assert_eq!(all[0].endpoints.len(), 6);
    let leaders = POOL.replace("app: llama", "leaderworkerset.sigs.k8s.io/worker-index: \"0\"");
    let (pools, _) = resolved(&[("pool.yaml", &leaders), ("set.yaml", &set)]).unwrap();
    assert_eq!(classes(&pools[0]), [("nvidia-h100-80gb", 4), ("nvidia-h100-80gb", 4)]);
}
