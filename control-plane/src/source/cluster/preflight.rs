//! What an installation needs of a cluster, looked at once: `signalbox check --pre`.
//!
//! ```text
//! server version, each definition of the table ─▶ Finding (fine | note | problem with its remedy)
//! ```

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;

use super::{
    definitions,
    fault::{Asked, Fault},
    served::{Definition, Served},
    table::{Resource, TABLE},
};
use crate::api::{Kind, group};

/// The oldest API server whose fields the objects we write may use (`preStop: sleep`, 1.30; Pod-level sysctls).
const OLDEST_SERVER: (u32, u32) = (1, 31);
/// The release of the Gateway API that is read and tested against: major and minor.
const GATEWAY_API: (u64, u64) = (1, 6);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what to do.
    pub message: String,
}

/// How something that was looked at is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As needed.
    Fine,
    /// Absent and not needed by everybody.
    Note,
    /// Missing or too old: it does not work.
    Problem,
}

/// Looks at a cluster.
///
/// # Errors
/// When the API server cannot be asked; the error says what to do.
pub async fn preflight(client: &Client) -> Result<Vec<Finding>, Fault> {
    let asked = Asked { verb: "get", group: "", plural: "version" };
    let version = client.apiserver_version().await.map_err(|error| Fault::of(&error, asked))?;
    let mut findings = vec![of_server(&version)];
    for resource in TABLE.iter().filter(|resource| resource.is_custom && !resource.superseded) {
        let definition = definitions::read(client, &resource.name()).await?;
        findings.push(of_definition(resource, definition));
    }
    Ok(findings)
}

fn finding(verdict: Verdict, message: String) -> Finding {
    Finding { verdict, message }
}

fn of_server(version: &Info) -> Finding {
    // Managed clusters write `33+`.
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    let (major, minor) = OLDEST_SERVER;
    match (number(&version.major), number(&version.minor)) {
        (Some(its_major), Some(its_minor)) if (its_major, its_minor) < OLDEST_SERVER => finding(
            Verdict::Problem,
            format!("Kubernetes {} is too old: {major}.{minor} or newer is needed", version.git_version),
        ),
        _ => finding(Verdict::Fine, format!("Kubernetes {}", version.git_version)),
    }
}

fn of_definition(resource: &Resource, definition: Option<Definition>) -> Finding {
    let name = resource.name();
    let Some(definition) = definition else {
        let verdict = if is_needed(resource) { Verdict::Problem } else { Verdict::Note };
        return finding(verdict, format!("{name} is not installed{}", remedy(resource)));
    };
    let bundle = definition.bundle_version();
    let mut served = Served::default();
    served.set(&name, definition.served());
    let version = match resource.version(&served) {
        Ok(version) => version,
        Err(there) => {
            let there = if there.is_empty() { "nothing yet".to_owned() } else { there.join(", ") };
            let wanted = resource.versions.join(" or ");
            let message = format!("{name} serves {there}; {wanted} is needed{}", remedy(resource));
            return finding(Verdict::Problem, message);
        }
    };
    match bundle.filter(|_| resource.group == group::GATEWAY) {
        Some(bundle) if line(&bundle) != Some(GATEWAY_API) => {
            let (major, minor) = GATEWAY_API;
            finding(
                Verdict::Note,
                format!("{name} {version} is of release {bundle}; v{major}.{minor} is what is tested"),
            )
        }
        Some(bundle) => finding(Verdict::Fine, format!("{name} {version} ({bundle})")),
        None => finding(Verdict::Fine, format!("{name} {version}")),
    }
}

/// `(1, 6)` of `v1.6.3`.
fn line(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_needed(resource: &Resource) -> bool {
    matches!(resource.group, group::GATEWAY | group::INFERENCE) && resource.kind != Kind::BackendTLSPolicy
}

fn remedy(resource: &Resource) -> &'static str {
    match resource.group {
        group::GATEWAY => {
            ": kubectl apply --server-side -f \
             https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.3/standard-install.yaml"
        }
        group::INFERENCE => {
            ": kubectl apply -f https://github.com/kubernetes-sigs/gateway-api-inference-extension/releases/download/\
             v1.6.0/manifests.yaml"
        }
        group::SIGNALBOX => {
            ": kubectl apply --server-side -f deploy/crds (Helm installs it, but never updates it); without it, \
             Gateways have no parameters"
        }
        _ => ": without it, requests have no objectives and models are not rewritten",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(major: &str, minor: &str) -> Info {
        Info { major: major.into(), minor: minor.into(), git_version: "vX".into(), ..Info::default() }
    }

    fn definition(bundle: &str, version: &str) -> Definition {
        serde_json::from_value(json!({
            "metadata": {"annotations": {"gateway.networking.k8s.io/bundle-version": bundle}},
            "spec": {"versions": [{"name": version, "served": true}]},
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        }))
        .unwrap()
    }

    #[test]
    fn servers() {
        for (major, minor, expected) in
            [("1", "30", Verdict::Problem), ("1", "31+", Verdict::Fine), ("2", "0", Verdict::Fine)]
        {
            assert_eq!(of_server(&info(major, minor)).verdict, expected, "{major}.{minor}");
        }
    }

    #[test]
    fn definitions() {
        let find = |name: &str| TABLE.iter().find(|resource| resource.name() == name).unwrap();
        let routes = find("httproutes.gateway.networking.k8s.io");
        let objectives = find("inferenceobjectives.llm-d.ai");
        for (resource, definition, verdict, says) in [
            (routes, None, Verdict::Problem, "standard-install.yaml"),
            (routes, Some(definition("v1.6.3", "v1")), Verdict::Fine, "v1 (v1.6.3)"),
            (routes, Some(definition("v1.2.0", "v1")), Verdict::Note, "v1.6 is what is tested"),
            (
                routes,
                Some(definition("v0.4.0", "v1alpha2")),
                Verdict::Problem,
                "serves v1alpha2; v1 or v1beta1",
            ),
            (objectives, None, Verdict::Note, "is not installed"),
        ] {
            let found = of_definition(resource, definition);
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.message.contains(says), "{found:?}");
        }
    }
}
