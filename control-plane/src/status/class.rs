//! The status of a GatewayClass: whether it is served, with which CRDs, and what of the API is done.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{features::features, plan::condition};
use crate::{
    api::ConditionStatus,
    gateway::report::{ClassReport, ConditionReport},
};

/// The Gateway API line that is read and tested against: major and minor.
const SUPPORTED: (u64, u64) = (1, 6);
/// CRDs before this one lack v1 of the kinds that are read.
const OLDEST: (u64, u64) = (1, 0);

/// What the cluster has that GatewayClasses speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassFacts {
    /// The annotation `gateway.networking.k8s.io/bundle-version` of each CRD of the group, by CRD name.
    pub bundle_versions: BTreeMap<String, Option<String>>,
    /// Features that depend on how fleets are run: see [`features`].
    pub infrastructure: BTreeSet<&'static str>,
}

/// The status. Without facts there is no cluster: no version and no features to speak of.
pub(super) fn class(report: &ClassReport, facts: Option<&ClassFacts>) -> Value {
    let mut conditions = report.conditions.clone();
    let Some(facts) = facts else {
        return json!({ "conditions": to_json(&conditions, report.generation) });
    };
    let versions = Versions::of(&facts.bundle_versions);
    let is_accepted = |c: &&mut ConditionReport| c.kind == "Accepted" && c.status == ConditionStatus::True;
    if versions.too_old
        && let Some(accepted) = conditions.iter_mut().find(is_accepted)
    {
        accepted.status = ConditionStatus::False;
        accepted.reason = "UnsupportedVersion";
        accepted.message.clone_from(&versions.message);
    }
    conditions.push(versions.condition());
    let features: Vec<_> =
        features(&facts.infrastructure).into_iter().map(|name| json!({ "name": name })).collect();
    json!({ "conditions": to_json(&conditions, report.generation), "supportedFeatures": features })
}

fn to_json(conditions: &[ConditionReport], generation: i64) -> Vec<Value> {
    conditions.iter().map(|report| condition(report, generation)).collect()
}

/// What the CRDs' versions amount to.
struct Versions {
    supported: bool,
    too_old: bool,
    message: String,
}

impl Versions {
    fn of(found: &BTreeMap<String, Option<String>>) -> Self {
        let line = |text: &Option<String>| text.as_deref().and_then(line);
        let supported = !found.is_empty() && found.values().all(|text| line(text) == Some(SUPPORTED));
        let too_old = found.values().any(|text| line(text).is_some_and(|line| line < OLDEST));
        let (major, minor) = SUPPORTED;
        let versions: BTreeSet<&str> =
            found.values().map(|text| text.as_deref().unwrap_or("a version that is not given")).collect();
        let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
        let message = match (supported, found.is_empty()) {
            (true, _) => format!("the Gateway API CRDs are of {versions}"),
            (false, true) => format!("no Gateway API CRD can be read; install those of v{major}.{minor}"),
            (false, false) => {
                let effect = match too_old {
                    true => "they are too old to be served",
                    false => "they are served as far as they agree",
                };
                format!(
                    "the Gateway API CRDs are of {versions}, v{major}.{minor} is supported: {effect}; install v{major}.{minor}"
                )
            }
        };
        Self { supported, too_old, message }
    }

    fn condition(&self) -> ConditionReport {
        let (status, reason) = match self.supported {
            true => (ConditionStatus::True, "SupportedVersion"),
            false => (ConditionStatus::False, "UnsupportedVersion"),
        };
        ConditionReport { kind: "SupportedVersion", status, reason, message: self.message.clone() }
    }
}

/// Major and minor of `v1.6.3` or `v1.6.0-rc.1`.
fn line(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.strip_prefix('v')?.splitn(3, '.');
    let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
    patch.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ClassReport {
        let accepted = ConditionReport {
            kind: "Accepted",
            status: ConditionStatus::True,
            reason: "Accepted",
            message: "GatewayClass signalbox is served by Signalbox".into(),
        };
        ClassReport { generation: 2, conditions: vec![accepted] }
    }

    fn facts(versions: &[Option<&str>]) -> ClassFacts {
        let versions = versions.iter().enumerate();
        let bundle_versions = versions.map(|(i, v)| (format!("crd{i}"), v.map(str::to_owned))).collect();
        ClassFacts { bundle_versions, infrastructure: ["GatewayAddressEmpty"].into() }
    }

    #[test]
    fn versions() {
        for (versions, accepted, supported) in [
            (&[Some("v1.6.3"), Some("v1.6.3")][..], "True Accepted", "True SupportedVersion"),
            (&[Some("v1.6.0-rc.1")], "True Accepted", "True SupportedVersion"),
            (&[Some("v1.6.3"), Some("v1.5.1")], "True Accepted", "False UnsupportedVersion"),
            (&[Some("v1.6.3"), None], "True Accepted", "False UnsupportedVersion"),
            (&[Some("v1.60.0")], "True Accepted", "False UnsupportedVersion"),
            (&[Some("main-dev")], "True Accepted", "False UnsupportedVersion"),
            (&[Some("v1.6")], "True Accepted", "False UnsupportedVersion"),
            (&[], "True Accepted", "False UnsupportedVersion"),
            (&[Some("v0.8.1")], "False UnsupportedVersion", "False UnsupportedVersion"),
        ] {
            let status = class(&report(), Some(&facts(versions)));
            let shown = |at: usize| {
                let c = &status["conditions"][at];
                format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
            };
            assert_eq!((shown(0).as_str(), shown(1).as_str()), (accepted, supported), "{versions:?}");
        }
    }

    #[test]
    fn the_whole_status() {
        let status = class(&report(), Some(&facts(&[Some("v1.6.3"), Some("v1.6.3")])));
        insta::assert_yaml_snapshot!(status);
        let names: Vec<_> = status["supportedFeatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["name"].as_str().unwrap())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn without_a_cluster_there_are_conditions_only() {
        let status = class(&report(), None);
        assert_eq!(status.as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions"]);
    }
}
