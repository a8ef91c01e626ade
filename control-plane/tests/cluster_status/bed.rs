//! Objects in a real API server, for one run.

use control_plane::{
    api::Kind,
    config::CONTROLLER_NAME,
    source::{AnyObject, Batch},
    world::World,
};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

/// Objects of one run, all in a namespace of its own.
pub(super) struct Bed {
    pub(super) client: Client,
    pub(super) name: String,
}

impl Bed {
    /// Nothing without an API server.
    pub(super) async fn new(test: &str) -> Option<Self> {
        if std::env::var_os("KUBECONFIG").is_none() {
            eprintln!("KUBECONFIG is not set: nothing is tested against an API server");
            return None;
        }
        let client = Client::try_default().await.unwrap();
        let bed = Self { client, name: format!("signalbox-{test}-{}", std::process::id()) };
        bed.apply("", "v1", "Namespace", &bed.name, json!({})).await;
        let gateway = "gateway.networking.k8s.io";
        let controller = json!({ "spec": { "controllerName": CONTROLLER_NAME } });
        bed.apply(gateway, "v1", "GatewayClass", &bed.name, controller).await;
        let listener = json!({ "name": "http", "port": 80, "protocol": "HTTP" });
        let spec = json!({ "gatewayClassName": bed.name, "listeners": [listener] });
        bed.apply(gateway, "v1", "Gateway", "gw", json!({ "spec": spec })).await;
        for route in ["kept", "pruned"] {
            let backend =
                json!({ "group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "llm" });
            let spec = json!({ "parentRefs": [{ "name": "gw" }], "rules": [{ "backendRefs": [backend] }] });
            bed.apply(gateway, "v1", "HTTPRoute", route, json!({ "spec": spec })).await;
        }
        let spec =
            json!({ "selector": { "matchLabels": { "app": "llm" } }, "targetPorts": [{ "number": 8000 }] });
        bed.apply("inference.networking.k8s.io", "v1", "InferencePool", "llm", json!({ "spec": spec })).await;
        Some(bed)
    }

    pub(super) fn api(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match kind {
            "Namespace" | "GatewayClass" | "ClusterRole" | "ClusterRoleBinding" => {
                Api::all_with(self.client.clone(), &resource)
            }
            _ => Api::namespaced_with(self.client.clone(), &self.name, &resource),
        }
    }

    pub(super) fn of(&self, kind: Kind) -> Api<DynamicObject> {
        let group = match kind {
            Kind::InferencePool => "inference.networking.k8s.io",
            _ => "gateway.networking.k8s.io",
        };
        self.api(group, "v1", kind.as_str())
    }

    pub(super) async fn apply(&self, group: &str, version: &str, kind: &str, name: &str, rest: Value) {
        let mut object = json!({ "kind": kind, "metadata": { "name": name } });
        object["apiVersion"] =
            if group.is_empty() { version.into() } else { format!("{group}/{version}").into() };
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let params = PatchParams::apply("test").force();
        self.api(group, version, kind).patch(name, &params, &Patch::Apply(object)).await.unwrap();
    }

    /// What a source would have read.
    pub(super) async fn world(&self) -> World {
        let mut objects = Vec::new();
        for kind in [Kind::GatewayClass, Kind::Gateway, Kind::HTTPRoute, Kind::InferencePool] {
            // Classes are the cluster's: other tests have theirs.
            let list = self.of(kind).list(&ListParams::default()).await.unwrap().into_iter();
            let ours =
                |o: &DynamicObject| kind.is_namespaced() || o.metadata.name.as_deref() == Some(&self.name);
            for object in list.filter(ours) {
                let value = serde_json::to_value(object).unwrap();
                objects.push(AnyObject::deserialize(kind, value).unwrap());
            }
        }
        World::default().apply(&Batch::replace_all(objects)).0
    }

    pub(super) async fn object(&self, kind: Kind, name: &str) -> DynamicObject {
        self.of(kind).get(name).await.unwrap()
    }

    pub(super) async fn status(&self, kind: Kind, name: &str) -> Value {
        self.object(kind, name).await.data["status"].clone()
    }

    /// Somebody else adds an entry to a route's parents.
    pub(super) async fn write_as_other(&self, route: &str) {
        let mut parents = self.status(Kind::HTTPRoute, route).await["parents"].clone();
        let accepted = json!({
            "type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let reference = json!({ "name": "elsewhere" });
        let other = json!({ "parentRef": reference, "controllerName": "example.com/other", "conditions": [accepted] });
        parents.as_array_mut().unwrap().insert(0, other);
        let patch = Patch::Merge(json!({ "status": { "parents": parents } }));
        self.of(Kind::HTTPRoute).patch_status(route, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(super) async fn remove(self) {
        let gateways = self.of(Kind::GatewayClass);
        gateways.delete(&self.name, &DeleteParams::default()).await.unwrap();
        self.api("", "v1", "Namespace").delete(&self.name, &DeleteParams::default()).await.unwrap();
    }
}
