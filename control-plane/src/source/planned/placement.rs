//! On which Nodes the Pods of a workload would run, as far as that tells their accelerator.
//!
//! ```text
//! nodeName ▶ Nodes that the node selector and affinity allow, in turn ▶ a Node made of what they ask for
//!          ▶ without either: Nodes that have such devices, in turn ▶ none
//! ```

use std::{collections::BTreeMap, sync::Arc};

use super::workload::Workload;
use crate::api::{LabelSelector, Node, NodeStatus, ObjectMeta, SelectorOperator};

/// Where the Pods of a workload run.
#[derive(Debug, Default)]
pub(super) struct Placement {
    /// Names of Nodes, in turn; none when nothing tells.
    names: Vec<String>,
    /// A Node that is not written anywhere.
    pub(super) made: Option<Node>,
    /// What was assumed.
    pub(super) note: Option<String>,
}

impl Placement {
    /// The Node of Pod number `index`; empty when nothing tells.
    pub(super) fn node(&self, index: usize) -> String {
        match self.names.len() {
            0 => String::new(),
            count => self.names[index % count].clone(),
        }
    }
}

/// Places the Pods of a workload.
pub(super) fn place(workload: &Workload, nodes: &[Arc<Node>]) -> Placement {
    let names = |of: Vec<&Arc<Node>>| of.iter().map(|node| node.metadata.name.clone()).collect::<Vec<_>>();
    if !workload.spec.node_name.is_empty() {
        return Placement { names: vec![workload.spec.node_name.clone()], ..Placement::default() };
    }
    let selectors = workload.spec.selectors();
    if selectors.is_empty() {
        let with_devices: Vec<_> = nodes.iter().filter(|node| has_devices(node, workload)).collect();
        let note = (with_devices.len() > 1).then(|| {
            format!(
                "{}: nothing says on which Nodes it runs, so the {} that have its devices are taken in turn; add a nodeSelector to \
                 choose",
                workload.shown,
                with_devices.len()
            )
        });
        return Placement { names: names(with_devices), made: None, note };
    }
    let allowed = |node: &&Arc<Node>| {
        selectors.iter().any(|selector| selector.matches(&node.metadata.labels) == Some(true))
    };
    let allowed: Vec<_> = nodes.iter().filter(allowed).collect();
    if !allowed.is_empty() {
        return Placement { names: names(allowed), ..Placement::default() };
    }
    let name = format!("planned-for-{}-{}{}", workload.key.namespace, workload.key.name, workload.suffix);
    let made = Node {
        metadata: ObjectMeta {
            name: name.clone(),
            labels: asked_for(&selectors[0]),
            ..ObjectMeta::default()
        },
        status: NodeStatus::default(),
    };
    Placement { names: vec![name], made: Some(made), note: None }
}

/// Labels of a node that a selector allows.
fn asked_for(selector: &LabelSelector) -> BTreeMap<String, String> {
    let mut labels = selector.match_labels.clone();
    for requirement in &selector.match_expressions {
        if let (SelectorOperator::In, Some(value)) = (&requirement.operator, requirement.values.first()) {
            labels.insert(requirement.key.clone(), value.clone());
        }
    }
    labels
}

/// Whether a Node has every extended resource that the workload's containers ask for, and there is one.
fn has_devices(node: &Node, workload: &Workload) -> bool {
    let asked = workload
        .spec
        .containers
        .iter()
        .flat_map(|c| c.resources.limits.keys().chain(c.resources.requests.keys()));
    let mut devices = asked.filter(|name| name.contains('/')).peekable();
    devices.peek().is_some() && devices.all(|name| node.status.capacity.contains_key(name))
}
