//! Metadata that all objects of one owner share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use super::names::{
    GATEWAY_CLASS_LABEL, GATEWAY_NAME_LABEL, INFRASTRUCTURE_LABEL, INSTALLATION_ANNOTATION, OWNER_ANNOTATION,
    Owner, PICKER_LABEL, label_value, object_name,
};
use crate::api::{Gateway, NamespacedName};

/// What an owner's objects have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// Name of all objects.
    pub(super) name: String,
    pub(super) namespace: String,
    /// Labels that select the Pods; they never change.
    pub(super) selector: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    /// Annotations that users ask for.
    pub(super) annotations: BTreeMap<String, String>,
    /// Who provisions, and for whom.
    marks: [(&'static str, String); 2],
    references: Vec<OwnerReference>,
}

impl Shared {
    /// Of a Gateway's Envoys.
    pub(super) fn of_gateway(installation: &str, gateway: &Gateway, reference: OwnerReference) -> Self {
        let key = gateway.metadata.key();
        let wanted = gateway.spec.infrastructure.clone().unwrap_or_default();
        let selector = BTreeMap::from([(GATEWAY_NAME_LABEL.to_owned(), label_value(&key.name))]);
        let class = (GATEWAY_CLASS_LABEL.to_owned(), label_value(&gateway.spec.gateway_class_name));
        let mut labels = wanted.labels;
        labels.extend(fixed_labels("envoy", &key.name));
        labels.extend([class]);
        let name = object_name(&key.name, "signalbox");
        Self {
            annotations: wanted.annotations,
            references: vec![reference],
            ..Self::new(name, &Owner::Gateway(key), installation, selector, labels)
        }
    }

    /// Of a managed picker.
    pub(super) fn of_picker(
        installation: &str,
        service: &NamespacedName,
        references: Vec<OwnerReference>,
    ) -> Self {
        let selector = BTreeMap::from([(PICKER_LABEL.to_owned(), label_value(&service.name))]);
        let labels = fixed_labels("picker", &service.name).into();
        let name = object_name(&service.name, "signalbox-picker");
        let owner = Owner::Picker(service.clone());
        Self { references, ..Self::new(name, &owner, installation, selector, labels) }
    }

    fn new(
        name: String,
        owner: &Owner,
        installation: &str,
        mut selector: BTreeMap<String, String>,
        mut labels: BTreeMap<String, String>,
    ) -> Self {
        // Pods that another controller had for the same Gateway are not selected.
        selector.insert(INFRASTRUCTURE_LABEL.to_owned(), owner.word().to_owned());
        labels.extend(selector.clone());
        let namespace = owner.key().namespace.clone();
        let marks =
            [(OWNER_ANNOTATION, owner.annotation()), (INSTALLATION_ANNOTATION, installation.to_owned())];
        Self { name, namespace, selector, labels, annotations: BTreeMap::new(), marks, references: vec![] }
    }

    /// Metadata of one object.
    pub(super) fn meta(&self) -> ObjectMeta {
        let mut annotations = self.annotations.clone();
        annotations.extend(self.marks.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(self.references.clone()),
            ..ObjectMeta::default()
        }
    }

    /// Metadata of the Pods, with what parameters add. Labels of ours win.
    pub(super) fn pod_meta(
        &self,
        labels: Option<&BTreeMap<String, String>>,
        annotations: Option<&BTreeMap<String, String>>,
    ) -> ObjectMeta {
        let mut all = labels.cloned().unwrap_or_default();
        all.extend(self.labels.clone());
        let mut notes = self.annotations.clone();
        notes.extend(annotations.cloned().unwrap_or_default());
        ObjectMeta {
            labels: Some(all),
            annotations: (!notes.is_empty()).then_some(notes),
            ..ObjectMeta::default()
        }
    }

    /// Selects the Pods.
    pub(super) fn selects(&self) -> LabelSelector {
        LabelSelector { match_labels: Some(self.selector.clone()), ..LabelSelector::default() }
    }
}

fn fixed_labels(name: &str, instance: &str) -> [(String, String); 4] {
    [
        ("app.kubernetes.io/name", name.to_owned()),
        ("app.kubernetes.io/instance", label_value(instance)),
        ("app.kubernetes.io/part-of", "signalbox".to_owned()),
        ("app.kubernetes.io/managed-by", "signalbox".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}
