//! What runs Pods, as it is written: Deployments and their like, LeaderWorkerSets, and Pods that no cluster has run yet.
//!
//! A LeaderWorkerSet is two and more workloads: its leaders, and the workers of each place in a group, with the labels that its
//! controller adds. A pool that selects leaders only has them as endpoints, each with its own devices, as in a cluster.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    api::{Container, LabelSelector, NamespacedName, ObjectMeta, Pod},
    source::{
        Diagnostic,
        decode::diagnostic,
        yaml::{At, Content, Documents, Error, Node, Reader, Scope},
    },
};

/// Pods of one template.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Workload {
    /// Kind and name, for messages.
    pub(super) shown: String,
    /// Namespace and name; a Pod's own when there is one only.
    pub(super) key: NamespacedName,
    /// What follows the number in names of its Pods: the place of a worker in its group.
    pub(super) suffix: String,
    /// What is to be said of it.
    pub(super) note: Option<String>,
    /// How many.
    pub(super) replicas: usize,
    /// Labels and annotations of its Pods.
    pub(super) metadata: ObjectMeta,
    /// What its Pods are.
    pub(super) spec: PodTemplateSpec,
    /// Whether this is a Pod's own manifest.
    pub(super) is_pod: bool,
}

/// The fields of a Pod's spec that say where it may run and on how many devices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodTemplateSpec {
    pub(super) node_name: String,
    pub(super) containers: Vec<Container>,
    node_selector: BTreeMap<String, String>,
    affinity: Affinity,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: NodeAffinity,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: NodeSelector,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector {
    node_selector_terms: Vec<LabelSelector>,
}

impl Workload {
    /// Whether a Pod looks like one of its own.
    pub(super) fn runs(&self, pod: &Pod) -> bool {
        let labels = &self.metadata.labels;
        !self.is_pod
            && !labels.is_empty()
            && pod.metadata.namespace == self.key.namespace
            && labels.iter().all(|(name, value)| pod.metadata.labels.get(name) == Some(value))
    }
}

impl PodTemplateSpec {
    /// What a node's labels have to be: one of these.
    pub(super) fn selectors(&self) -> Vec<LabelSelector> {
        let terms = &self
            .affinity
            .node_affinity
            .required_during_scheduling_ignored_during_execution
            .node_selector_terms;
        let own = LabelSelector { match_labels: self.node_selector.clone(), ..LabelSelector::default() };
        match (terms.is_empty(), self.node_selector.is_empty()) {
            (true, true) => Vec::new(),
            (true, false) => vec![own],
            (false, _) => terms
                .iter()
                .map(|term| LabelSelector { match_labels: self.node_selector.clone(), ..term.clone() })
                .collect(),
        }
    }
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WrittenSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenSpec {
    replicas: Option<u16>,
    template: Template,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: ObjectMeta,
    spec: PodTemplateSpec,
}

#[derive(Deserialize)]
struct WrittenGroups {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: GroupsSpec,
}

/// <https://lws.sigs.k8s.io/docs/reference/leaderworkerset.v1/>
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupsSpec {
    replicas: Option<u16>,
    leader_worker_template: LeaderWorkerTemplate,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaderWorkerTemplate {
    /// Pods of a group, the leader included.
    size: Option<u16>,
    /// The workers' where it is missing.
    leader_template: Option<Template>,
    worker_template: Template,
}

#[derive(Deserialize)]
struct WrittenPod {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodTemplateSpec,
    #[serde(default)]
    status: WrittenStatus,
}

/// Of a Pod that a cluster has seen, at least the phase is told.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

/// The workloads of a file. Whatever else is wrong with the file is found where its objects are read.
pub(super) fn parse(file: &str, bytes: &[u8]) -> (Vec<Workload>, Vec<Diagnostic>) {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    let Ok(text) = std::str::from_utf8(bytes) else { return (found, wrong) };
    for document in Documents::new(text).flatten() {
        document_of(file, &document.root, &mut found, &mut wrong);
    }
    (found, wrong)
}

fn document_of(file: &str, root: &Node<'_>, found: &mut Vec<Workload>, wrong: &mut Vec<Diagnostic>) {
    let text = |key| root.get(key).and_then(Node::text).unwrap_or_default();
    let kind = text("kind");
    match (text("apiVersion"), kind) {
        ("v1", "List")
        | ("apps/v1", "DeploymentList" | "StatefulSetList" | "ReplicaSetList")
        | ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSetList")
        | ("v1", "PodList") => {
            if let Some(Content::List(items)) = root.get("items").map(|items| &items.content) {
                items.iter().for_each(|item| document_of(file, item, found, wrong));
            }
        }
        // It is its Deployment's.
        ("apps/v1", "ReplicaSet")
            if root.get("metadata").is_some_and(|m| m.get("ownerReferences").is_some()) => {}
        ("apps/v1", "Deployment" | "StatefulSet" | "ReplicaSet") => {
            let written = read(file, root, kind, wrong, |at| Written::deserialize(at));
            found.extend(written.map(|Written { metadata, spec }| {
                let key = key(&metadata);
                Workload {
                    shown: format!("{kind} {key}"),
                    key,
                    suffix: String::new(),
                    note: None,
                    replicas: spec.replicas.unwrap_or(1).into(),
                    metadata: spec.template.metadata,
                    spec: spec.template.spec,
                    is_pod: false,
                }
            }));
        }
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet") => {
            let written = read(file, root, kind, wrong, |at| WrittenGroups::deserialize(at));
            found.extend(written.into_iter().flat_map(of_groups));
        }
        ("v1", "Pod") => {
            let written = read(file, root, kind, wrong, |at| WrittenPod::deserialize(at));
            let written = written.filter(|pod| pod.status.phase.is_none() && pod.status.pod_ip.is_none());
            found.extend(written.map(|WrittenPod { metadata, spec, .. }| {
                let key = key(&metadata);
                Workload {
                    shown: format!("Pod {key}"),
                    key,
                    suffix: String::new(),
                    note: None,
                    replicas: 1,
                    metadata,
                    spec,
                    is_pod: true,
                }
            }));
        }
        _ => {}
    }
}

/// The leaders of groups, and their workers by place.
fn of_groups(WrittenGroups { metadata, spec }: WrittenGroups) -> impl Iterator<Item = Workload> {
    let LeaderWorkerTemplate { size, leader_template, worker_template } = spec.leader_worker_template;
    let size = size.unwrap_or(1);
    let leader = leader_template.unwrap_or_else(|| worker_template.clone());
    (0..size.max(1)).map(move |place| {
        let (key, leads) = (key(&metadata), place == 0);
        let mut template = if leads { leader.clone() } else { worker_template.clone() };
        let label = |name: &str| format!("leaderworkerset.sigs.k8s.io/{name}");
        template.metadata.labels.insert(label("name"), key.name.clone());
        template.metadata.labels.insert(label("worker-index"), place.to_string());
        let note = (leads && size > 1).then(|| {
            format!(
                "LeaderWorkerSet {key}: an endpoint counts the devices of its own Pod, one of {size} in a group, as in a cluster"
            )
        });
        Workload {
            shown: format!("LeaderWorkerSet {key}"),
            key,
            suffix: if leads { String::new() } else { format!("-{place}") },
            note,
            replicas: spec.replicas.unwrap_or(1).into(),
            metadata: template.metadata,
            spec: template.spec,
            is_pod: false,
        }
    })
}

/// Reads an object; what is wrong with it names it.
fn read<'n, T>(
    file: &str,
    root: &'n Node<'n>,
    kind: &str,
    wrong: &mut Vec<Diagnostic>,
    read: impl FnOnce(At<'n, '_>) -> Result<T, Error>,
) -> Option<T> {
    let (written, problems) = Reader::new(Scope::Metadata).read(root, read);
    let name =
        root.get("metadata").and_then(|m| m.get("name")).and_then(Node::text).unwrap_or("(without a name)");
    for mut problem in problems {
        problem.message = format!("in {kind} {name}: {}", problem.message);
        wrong.push(diagnostic(file, None, problem));
    }
    written
}

fn key(metadata: &ObjectMeta) -> NamespacedName {
    let namespace = if metadata.namespace.is_empty() { "default" } else { &metadata.namespace };
    NamespacedName::new(namespace, &metadata.name)
}
