//! `signalbox check`: reads manifests and says what is wrong with them, without running anything.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use super::{offline::resolve, output::print};
use crate::{
    api::{ConditionStatus, Object as _},
    gateway,
    pipeline::Pipeline,
    source::{
        FileSource,
        cluster::{ClusterConfig, Finding, Verdict, preflight},
    },
};

/// Checks a directory of manifests.
///
/// Prints every problem with file, line, field and remedy, then every condition that would not be true. Exit code 0:
/// all is well (notes may be printed); 2: there are problems.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Directory of manifests.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Look at the cluster that kubectl would speak to instead: which CustomResourceDefinitions are missing or too old.
    #[arg(long, conflicts_with = "dir")]
    pre: bool,
}

impl Check {
    /// Prints what was found.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn run(self) -> Result<ExitCode> {
        if self.pre {
            return pre();
        }
        let loaded = match FileSource::load(&self.dir) {
            Ok(loaded) => loaded,
            Err(diagnostics) => {
                for diagnostic in &diagnostics {
                    print(&format!("{diagnostic}\n"))?;
                }
                print(&format!("{} problems; nothing of this directory would be used\n", diagnostics.len()))?;
                return Ok(ExitCode::from(2));
            }
        };
        for note in &loaded.notes {
            print(&format!("note: {note}\n"))?;
        }
        let (pipeline, _) = resolve(loaded.batch);
        let problems = problems(&pipeline);
        for problem in &problems {
            print(&format!("{problem}\n"))?;
        }
        for advice in advices(&pipeline) {
            print(&format!("note: {advice}\n"))?;
        }
        let gateways = pipeline.gateways().count();
        let routes = pipeline.world().http_routes.len();
        let pools = pipeline.world().pools.len();
        print(&format!(
            "{gateways} Gateways, {routes} HTTPRoutes, {pools} InferencePools: {} problems\n",
            problems.len()
        ))?;
        Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}

/// Looks at a cluster before or after an installation.
fn pre() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(async {
        let client = ClusterConfig::default().connect().await?;
        let findings = preflight(&client).await;
        findings.map_err(|fault| anyhow::anyhow!("{}; {}", fault.message, fault.remedy))
    })?;
    for Finding { verdict, message } in &findings {
        let word = match verdict {
            Verdict::Fine => "ok",
            Verdict::Note => "note",
            Verdict::Problem => "PROBLEM",
        };
        print(&format!("{word:<8} {message}\n"))?;
    }
    let problems = findings.iter().filter(|finding| finding.verdict == Verdict::Problem).count();
    print(&format!("{problems} problems\n"))?;
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Every condition that is not true, as `Kind ns/name: Type=Status Reason: message`; objects that nothing uses, too.
pub fn problems(pipeline: &Pipeline) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |object: String, conditions: &gateway::report::Conditions| {
        for c in conditions.iter().filter(|c| is_bad(c.kind, c.status)) {
            found.push(format!("{object}: {}={:?} {}: {}", c.kind, c.status, c.reason, c.message));
        }
    };
    for (class, report) in pipeline.classes() {
        add(format!("GatewayClass {class}"), &report.conditions);
    }
    for (name, reports, _) in pipeline.gateways() {
        add(format!("Gateway {name}"), &reports.gateway.conditions);
        for listener in &reports.gateway.listeners {
            add(format!("Gateway {name} listener {}", listener.name), &listener.conditions);
        }
        for (route, parents) in &reports.routes {
            parents
                .iter()
                .for_each(|parent| add(format!("HTTPRoute {route} on Gateway {name}"), &parent.conditions));
        }
        for (pool, report) in &reports.pools {
            add(format!("InferencePool {pool} on Gateway {name}"), &report.conditions);
        }
    }
    found.extend(unattached(pipeline));
    found
}

/// Conditions whose good value is `False`.
fn is_bad(kind: &str, status: ConditionStatus) -> bool {
    let good = if matches!(kind, "Conflicted" | "PartiallyInvalid" | "OverlappingTLSConfig") {
        ConditionStatus::False
    } else {
        ConditionStatus::True
    };
    status != good
}

/// Gateways of no class, and routes whose parents do not exist: nothing reports on them elsewhere.
fn unattached(pipeline: &Pipeline) -> Vec<String> {
    let world = pipeline.world();
    let mut found = Vec::new();
    for gateway in world.gateways.values() {
        let class = &gateway.spec.gateway_class_name;
        if !world.gateway_classes.keys().any(|key| key.name == *class) {
            found.push(format!(
                "{}: spec.gatewayClassName: there is no GatewayClass {class}; create it with controllerName {}",
                gateway.object_ref(),
                pipeline.options().controller_name
            ));
        }
    }
    for route in world.http_routes.values() {
        for (i, parent) in route.spec.parent_refs.iter().enumerate() {
            let namespace = parent.namespace.as_deref().unwrap_or(&route.metadata.namespace);
            let exists =
                world.gateways.keys().any(|key| key.namespace == namespace && key.name == parent.name);
            if parent.kind == "Gateway" && !exists {
                found.push(format!(
                    "{}: spec.parentRefs[{i}]: there is no Gateway {namespace}/{}",
                    route.object_ref(),
                    parent.name
                ));
            }
        }
        if route.spec.parent_refs.is_empty() {
            found.push(format!(
                "{}: spec.parentRefs: names no Gateway, so the route is not used",
                route.object_ref()
            ));
        }
    }
    found
}

/// Messages of conditions that are true and still have something to tell, such as an API group that was left out.
fn advices(pipeline: &Pipeline) -> Vec<String> {
    let mut found = Vec::new();
    for (_, reports, _) in pipeline.gateways() {
        for (route, parents) in &reports.routes {
            for c in parents.iter().flat_map(|parent| &parent.conditions) {
                if c.status == ConditionStatus::True && c.message.contains("without group") {
                    found.push(format!("HTTPRoute {route}: {}", c.message));
                }
            }
        }
    }
    found.dedup();
    found
}
