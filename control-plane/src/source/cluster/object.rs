//! An object as the API server sent it: read without knowing its kind, so that no object can stop a list or a watch.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope, Resource};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::table;
use crate::{
    api::{NamespacedName, ObjectRef},
    source::{
        AnyObject, Diagnostic,
        decode::{diagnostic, scope},
        yaml::{Documents, Problem, Reader},
    },
};

/// An object of any kind as text would have it, without `managedFields` (often half of it).
#[derive(Clone, Debug)]
pub(super) struct RawObject {
    /// What the watch machinery reads: name, namespace and resource version.
    meta: ObjectMeta,
    content: Map<String, Value>,
}

/// What became of an object.
pub(super) type Outcome = Result<AnyObject, Box<Diagnostic>>;

impl RawObject {
    /// Namespace and name.
    pub(super) fn key(&self) -> NamespacedName {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        NamespacedName::new(text(&self.meta.namespace), text(&self.meta.name))
    }

    /// Reads the object as its kind; what cannot be read is a diagnostic that names object and field.
    pub(super) fn read(self, resource: &table::Resource) -> Outcome {
        let name = ObjectRef::new(resource.kind, self.key());
        let value = Value::Object(self.content);
        let mut object = match AnyObject::deserialize(resource.kind, &value) {
            Ok(object) => object,
            Err(_) => read_slowly(&name, &value)?,
        };
        super::trim::trim(&mut object, resource.extent);
        Ok(object)
    }
}

/// Reads through the reader of manifests: it takes null for absent (as in the `endpoints` of an empty EndpointSlice),
/// and knows the path of what is wrong.
fn read_slowly(name: &ObjectRef, value: &Value) -> Outcome {
    let text = value.to_string();
    let problem = match Documents::new(&text).next() {
        Some(Ok(document)) => {
            let reader = Reader::new(scope(name.kind));
            // Fields that this version does not know are the API server's business: only what ended the reading counts.
            match reader.read(&document.root, |at| AnyObject::deserialize(name.kind, at)) {
                (Some(object), _) => return Ok(object),
                (None, mut problems) => problems.pop(),
            }
        }
        Some(Err(problem)) => Some(problem),
        None => None,
    };
    let problem = problem.unwrap_or_else(|| Problem::new(Default::default(), "cannot be read", ""));
    Err(Box::new(Diagnostic { line: None, column: None, ..diagnostic("", Some(name), problem) }))
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = deserializer.deserialize_map(Members { skip: "", inner: Some("metadata") })?;
        let text = |key| content.get("metadata")?.get(key)?.as_str().map(ToOwned::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, content })
    }
}

/// Reads the members of an object but one; `managedFields` is the one in the member `inner`.
struct Members {
    skip: &'static str,
    inner: Option<&'static str>,
}

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut content = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if key == self.skip {
                members.next_value::<IgnoredAny>()?;
            } else if Some(key.as_str()) == self.inner {
                let Metadata(inner) = members.next_value()?;
                content.insert(key, Value::Object(inner));
            } else {
                content.insert(key, members.next_value()?);
            }
        }
        Ok(content)
    }
}

struct Metadata(Map<String, Value>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members { skip: "managedFields", inner: None }).map(Self)
    }
}

impl Resource for RawObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::Kind, source::cluster::table::TABLE};

    fn read(kind: Kind, object: Value) -> Outcome {
        let resource = TABLE.iter().find(|resource| resource.kind == kind).unwrap();
        serde_json::from_value::<RawObject>(object).unwrap().read(resource)
    }

    #[test]
    fn managed_fields_are_not_kept() {
        let text = r#"{"metadata":{"name":"a","managedFields":[{"x":1}],"resourceVersion":"5"},"spec":{}}"#;
        let raw: RawObject = serde_json::from_str(text).unwrap();
        assert_eq!(raw.content["metadata"], json!({"name": "a", "resourceVersion": "5"}));
        assert_eq!(raw.meta.resource_version.as_deref(), Some("5"));
    }

    #[test]
    fn null_lists_are_empty() {
        let slice = json!({"metadata": {"name": "a", "namespace": "n", "creationTimestamp": null},
            "addressType": "IPv4", "endpoints": null, "ports": null});
        let AnyObject::EndpointSlice(slice) = read(Kind::EndpointSlice, slice).unwrap() else { panic!() };
        assert!(slice.endpoints.is_empty() && slice.ports.is_empty());
    }

    #[test]
    fn fields_that_are_not_known_are_no_error() {
        let route = json!({"metadata": {"name": "a", "namespace": "n", "someday": {}},
            "spec": {"someday": 1, "rules": [{"filters": [{"type": "Someday", "someday": {}}]}]},
            "status": {"parents": []}});
        assert!(read(Kind::HTTPRoute, route).is_ok());
    }

    #[test]
    fn what_cannot_be_read_names_object_and_field() {
        let route = json!({"metadata": {"name": "a", "namespace": "n"},
            "spec": {"rules": [{"matches": [{"path": {"value": "/"}}, {"path": {"value": 7}}]}]}});
        let diagnostic = read(Kind::HTTPRoute, route).unwrap_err();
        assert_eq!(
            diagnostic.to_string(),
            "HTTPRoute n/a: spec.rules[0].matches[1].path.value: must be text, not the number 7; put it in quotes: \"7\""
        );
        let gateway = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"listeners": []}});
        assert_eq!(read(Kind::Gateway, gateway).unwrap_err().object.unwrap().to_string(), "Gateway n/a");
    }
}
