//! What CustomResourceDefinitions serve.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Versions that are served, by the name of the CustomResourceDefinition; what is not here is not installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    versions: BTreeMap<String, Vec<String>>,
}

impl Served {
    /// Versions of one definition; empty when it is not installed.
    pub(super) fn versions_of(&self, name: &str) -> &[String] {
        self.versions.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Sets the versions of one definition; whether that is a change.
    pub(super) fn set(&mut self, name: &str, versions: Vec<String>) -> bool {
        if self.versions_of(name) == versions {
            return false;
        }
        if versions.is_empty() {
            self.versions.remove(name);
        } else {
            self.versions.insert(name.to_owned(), versions);
        }
        true
    }
}

/// The few fields of a CustomResourceDefinition that are read; the schema, most of its size, is skipped.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Definition {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    versions: Option<Vec<Version>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    name: String,
    served: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    /// Null in a definition that has just been created.
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Definition {
    /// The release of the Gateway API that the definition is of, if it says so.
    pub(super) fn bundle_version(&self) -> Option<String> {
        self.metadata.annotations.get("gateway.networking.k8s.io/bundle-version").cloned()
    }

    /// The versions that the API server serves; none before the definition is established.
    pub(super) fn served(self) -> Vec<String> {
        let mut conditions = self.status.conditions.iter().flatten();
        let established = conditions.any(|c| c.kind == "Established" && c.status == "True");
        let served = self.spec.versions.into_iter().flatten().filter(|version| version.served);
        if established { served.map(|version| version.name).collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(established: &str) -> Definition {
        serde_json::from_value(json!({
            "metadata": {"name": "x"},
            "spec": {"group": "g", "versions": [
                {"name": "v1alpha2", "served": false, "schema": {"openAPIV3Schema": {}}},
                {"name": "v1beta1", "served": true},
                {"name": "v1", "served": true, "storage": true},
            ]},
            "status": {"conditions": [{"type": "Established", "status": established}]},
        }))
        .unwrap()
    }

    #[test]
    fn versions_count_once_established() {
        assert_eq!(definition("True").served(), ["v1beta1", "v1"]);
        assert!(definition("False").served().is_empty());
        assert!(Definition::default().served().is_empty());
        let created = json!({"spec": {"versions": null}, "status": {"conditions": null}});
        assert!(serde_json::from_value::<Definition>(created).unwrap().served().is_empty());
    }

    #[test]
    fn only_differences_are_changes() {
        let mut served = Served::default();
        assert!(!served.set("a", Vec::new()));
        assert!(served.set("a", vec!["v1".into()]));
        assert!(!served.set("a", vec!["v1".into()]));
        assert!(served.set("a", Vec::new()));
        assert_eq!(served, Served::default());
    }
}
