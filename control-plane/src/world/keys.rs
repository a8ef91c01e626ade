//! What an object refers to: the keys under which the index files it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::{
    BackendRef, EndpointPickerRef, Gateway, HttpRoute, HttpRouteFilter, InferencePool, NamespacedName,
    Object, ParametersRef, ParentRef, PoolRef, group,
};

/// A backend that routes refer to. The key comes first, so that the backends of a namespace are neighbours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Backend {
    pub(super) key: NamespacedName,
    kind: BackendKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BackendKind {
    Service,
    Pool,
}

impl Backend {
    pub(super) fn service(key: NamespacedName) -> Self {
        Self { key, kind: BackendKind::Service }
    }

    pub(super) fn pool(key: NamespacedName) -> Self {
        Self { key, kind: BackendKind::Pool }
    }

    /// The least backend of a namespace.
    pub(super) fn first_in(namespace: &str) -> Self {
        Self::service(NamespacedName::new(namespace, ""))
    }

    fn referred(namespace: &str, reference: &BackendRef) -> Option<Self> {
        let key = NamespacedName::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name);
        match (reference.group.as_deref().unwrap_or_default(), reference.kind.as_str()) {
            (group::CORE, "Service") => Some(Self::service(key)),
            // Without a group it is taken for the inference group, as users write it.
            (group::CORE | group::INFERENCE, "InferencePool") => Some(Self::pool(key)),
            _ => None,
        }
    }
}

/// Settings that Gateways refer to. The key comes first, as in [`Backend`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting {
    pub(super) key: NamespacedName,
    kind: SettingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SettingKind {
    ConfigMap,
    Secret,
    Parameters,
}

impl Setting {
    pub(super) fn config_map(key: NamespacedName) -> Self {
        Self { key, kind: SettingKind::ConfigMap }
    }

    pub(super) fn secret(key: NamespacedName) -> Self {
        Self { key, kind: SettingKind::Secret }
    }

    pub(super) fn parameters(key: NamespacedName) -> Self {
        Self { key, kind: SettingKind::Parameters }
    }

    /// The least setting of a namespace.
    pub(super) fn first_in(namespace: &str) -> Self {
        Self::config_map(NamespacedName::new(namespace, ""))
    }

    fn named(kind: &str, key: NamespacedName) -> Option<Self> {
        match kind {
            "Secret" => Some(Self::secret(key)),
            "ConfigMap" => Some(Self::config_map(key)),
            "GatewayParameters" => Some(Self::parameters(key)),
            _ => None,
        }
    }
}

/// The Gateways that a route names as parents, whether they exist or not.
pub(super) fn parents(route: &HttpRoute) -> BTreeSet<NamespacedName> {
    let gateway =
        |parent: &&ParentRef| (parent.group.as_str(), parent.kind.as_str()) == (group::GATEWAY, "Gateway");
    let key = |parent: &ParentRef| {
        let namespace = parent.namespace.as_deref().unwrap_or(&route.metadata.namespace);
        NamespacedName::new(namespace, &parent.name)
    };
    route.spec.parent_refs.iter().filter(gateway).map(key).collect()
}

/// The backends of a route, those of mirrors included.
pub(super) fn backends(route: &HttpRoute) -> BTreeSet<Backend> {
    fn mirrors(filters: &[HttpRouteFilter]) -> impl Iterator<Item = &BackendRef> {
        filters.iter().filter_map(|filter| filter.request_mirror.as_ref()).map(|mirror| &mirror.backend_ref)
    }
    let namespace = &route.metadata.namespace;
    let mut keys = BTreeSet::new();
    for rule in route.spec.rules.iter().flatten() {
        keys.extend(mirrors(&rule.filters).filter_map(|r| Backend::referred(namespace, r)));
        for backend in &rule.backend_refs {
            keys.extend(Backend::referred(namespace, &backend.backend));
            keys.extend(mirrors(&backend.filters).filter_map(|r| Backend::referred(namespace, r)));
        }
    }
    keys
}

/// The class of a Gateway.
pub(super) fn class(gateway: &Gateway) -> BTreeSet<NamespacedName> {
    BTreeSet::from([NamespacedName::new("", &gateway.spec.gateway_class_name)])
}

/// Secrets and ConfigMaps that a Gateway refers to.
pub(super) fn settings(gateway: &Gateway) -> BTreeSet<Setting> {
    let own = &gateway.metadata.namespace;
    let mut keys = BTreeSet::new();
    for reference in gateway.spec.listeners.iter().flat_map(|l| &l.tls).flat_map(|tls| &tls.certificate_refs)
    {
        let namespace = reference.namespace.as_deref().unwrap_or(own);
        keys.extend(Setting::named(&reference.kind, NamespacedName::new(namespace, &reference.name)));
    }
    if let Some(parameters) = gateway.spec.infrastructure.as_ref().and_then(|i| i.parameters_ref.as_ref()) {
        keys.extend(Setting::named(&parameters.kind, NamespacedName::new(own, &parameters.name)));
    }
    if let Some(tls) = &gateway.spec.tls {
        named_in(tls, own, &mut keys);
    }
    keys
}

/// References within a part that is read as given: every object with a kind and a name.
fn named_in(value: &Value, own: &str, keys: &mut BTreeSet<Setting>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| named_in(item, own, keys)),
        Value::Object(members) => {
            let text = |key| members.get(key).and_then(Value::as_str);
            if let Some(name) = text("name") {
                let key = NamespacedName::new(text("namespace").unwrap_or(own), name);
                // A certificate reference may leave its kind out.
                keys.extend(Setting::named(text("kind").unwrap_or("Secret"), key));
            }
            members.values().for_each(|member| named_in(member, own, keys));
        }
        _ => {}
    }
}

/// Whether class parameters are the object of this kind and key.
pub(super) fn is_parameters(parameters: &ParametersRef, kind: &str, object: &NamespacedName) -> bool {
    parameters.kind == kind
        && parameters.name == object.name
        && parameters.namespace.as_ref() == Some(&object.namespace)
}

/// The Service of a pool's picker.
pub(super) fn picker(pool: &InferencePool) -> BTreeSet<NamespacedName> {
    let service = |r: &&EndpointPickerRef| (r.group.as_str(), r.kind.as_str()) == (group::CORE, "Service");
    let key = |r: &EndpointPickerRef| NamespacedName::new(&pool.metadata.namespace, &r.name);
    pool.spec.endpoint_picker_ref.iter().filter(service).map(key).collect()
}

/// The pool that an objective, rewrite or model refers to.
pub(super) fn pool(object: &impl Object, reference: &PoolRef) -> BTreeSet<NamespacedName> {
    let known = matches!(reference.group.as_str(), group::INFERENCE | group::INFERENCE_X | group::CORE);
    if !known || reference.kind != "InferencePool" {
        return BTreeSet::new();
    }
    BTreeSet::from([NamespacedName::new(&object.meta().namespace, &reference.name)])
}
