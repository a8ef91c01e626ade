//! Manifests of a cluster that does not run, or not as it is written: for planning.
//!
//! ```text
//! files ─▶ objects, as every source reads them ─────────────────────────────────┐
//!    └───▶ workload (Deployments, LeaderWorkerSets, Pods without status) ─▶ placement ─▶ ready Pods ┴▶ Batch
//! ```
//!
//! Everything that was written counts as running: a Deployment is as many Pods as its `replicas`, each Ready, with an address
//! of 198.18.0.0/15 (RFC 2544: of nobody). Pods with a status are taken as the cluster has them.

mod placement;
mod workload;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
};

use self::workload::Workload;
use super::{AnyObject, Batch, Diagnostic, Manifest, cache, collection, manifest, manifest::Located, tree};
use crate::api::{NamespacedName, Node, ObjectMeta, Pod, PodCondition, PodSpec, PodStatus};

/// More Pods than a pool of a plan has.
const MOST_PODS: usize = 10_000;

/// Objects to plan with.
#[derive(Debug)]
pub struct Planned {
    /// All of them.
    pub batch: Batch,
    /// File and line of each InferencePool.
    pub pools: BTreeMap<NamespacedName, (String, u32)>,
    /// What was assumed, for people.
    pub notes: Vec<String>,
}

/// Reads files and directories. Blocks on the file system.
///
/// # Errors
/// All diagnostics, when there is any.
pub fn load_planned(paths: &[PathBuf]) -> Result<Planned, Vec<Diagnostic>> {
    let (mut manifests, mut workloads, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let tree = tree::walk(path);
        wrong.extend(tree.diagnostics);
        for file in tree.files.values() {
            let shown = file.path.display().to_string();
            match cache::contents(file) {
                Ok(bytes) => {
                    manifests.push(manifest::parse(&shown, &bytes));
                    let (found, problems) = workload::parse(&shown, &bytes);
                    workloads.extend(found);
                    wrong.extend(problems);
                }
                Err(error) => wrong.push(tree::unreadable(&shown, &error)),
            }
        }
    }
    plan(manifests, &workloads, wrong)
}

fn plan(
    mut manifests: Vec<Manifest>,
    workloads: &[Workload],
    mut wrong: Vec<Diagnostic>,
) -> Result<Planned, Vec<Diagnostic>> {
    let (mut pools, mut nodes) = (BTreeMap::new(), Vec::<Arc<Node>>::new());
    for located in manifests.iter().flat_map(|manifest| &manifest.objects) {
        match &located.object {
            AnyObject::InferencePool(pool) => {
                pools.insert(pool.metadata.key(), (located.file.to_string(), located.line));
            }
            AnyObject::Node(node) => nodes.push(Arc::clone(node)),
            _ => {}
        }
    }
    // Their own manifests give way to what is planned for them.
    let own: BTreeSet<_> =
        workloads.iter().filter(|workload| workload.is_pod).map(|w| w.key.clone()).collect();
    for manifest in &mut manifests {
        manifest.objects.retain(
            |located| !matches!(&located.object, AnyObject::Pod(pod) if own.contains(&pod.metadata.key())),
        );
    }
    let running = manifests.iter().flat_map(|manifest| &manifest.objects).filter_map(|l| match &l.object {
        AnyObject::Pod(pod) => Some(Arc::clone(pod)),
        _ => None,
    });
    let running: Vec<_> = running.collect();
    let (mut notes, mut objects) = (Vec::new(), Vec::<AnyObject>::new());
    let mut addresses = (0..MOST_PODS).map(address);
    for workload in workloads {
        if running.iter().any(|pod| workload.runs(pod)) {
            notes.push(format!(
                "{}: its Pods are here with their status, and taken as they are",
                workload.shown
            ));
            continue;
        }
        let placement = placement::place(workload, &nodes);
        notes.extend(placement.note.clone().into_iter().chain(workload.note.clone()));
        if workload.replicas == 0 {
            let shown = &workload.shown;
            notes.push(format!(
                "{shown}: spec.replicas is 0, so it adds nothing; write how many to plan with"
            ));
        }
        for (index, address) in (0..workload.replicas).zip(&mut addresses) {
            objects.push(pod(workload, index, placement.node(index), address).into());
        }
        objects.extend(placement.made.map(AnyObject::from));
    }
    if workloads.iter().map(|workload| workload.replicas).sum::<usize>() > MOST_PODS {
        wrong.push(Diagnostic {
            message: format!("these are more than {MOST_PODS} Pods"),
            remedy: "lower spec.replicas".into(),
            ..Diagnostic::default()
        });
    }
    let located = |object| Located { object, file: "planned".into(), line: 0, superseded: false };
    manifests.push(Manifest { objects: objects.into_iter().map(located).collect(), ..Manifest::default() });
    let manifests: Vec<_> = manifests.into_iter().map(Arc::new).collect();
    let loaded = collection::join(&manifests, wrong)?;
    Ok(Planned { batch: loaded.batch, pools, notes })
}

fn address(index: usize) -> Ipv4Addr {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 1));
    Ipv4Addr::from(first + u32::try_from(index).expect("below the number of Pods"))
}

/// A Pod that runs and is Ready.
fn pod(workload: &Workload, index: usize, node_name: String, address: Ipv4Addr) -> Pod {
    let NamespacedName { namespace, name } = &workload.key;
    let name = if workload.is_pod { name.clone() } else { format!("{name}-{index}{}", workload.suffix) };
    Pod {
        metadata: ObjectMeta { name, namespace: namespace.clone(), ..workload.metadata.clone() },
        spec: PodSpec { node_name, containers: workload.spec.containers.clone(), ..PodSpec::default() },
        status: PodStatus {
            pod_ip: Some(address.to_string()),
            phase: Some("Running".into()),
            conditions: vec![PodCondition { kind: "Ready".into(), status: "True".into() }],
        },
    }
}
