//! Against a real kube-apiserver: runs when `KUBECONFIG` is set, and says so otherwise. The CRDs of Gateway API v1.6 and
//! of InferencePool v1 have to be installed: what is provisioned is owned by a Gateway and a pool that exist, or the
//! garbage collector takes it. Nobody else provisions for them: the Gateway's class is none, and its Service is of a
//! class of load balancers that does not exist. Whoever runs Signalbox there is not disturbed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic anywhere, and says when it has nothing to test"
)]

use std::{env, path::Path, sync::Arc, time::Duration};

use control_plane::{
    config::CONTROLLER_NAME,
    gateway::Options,
    infra::{
        cluster::{Applier, Desired, HostPort, InfraConfig, Inputs, Owner, States, desired},
        crd,
    },
    source::FileSource,
    tasks::TaskSet,
    world::World,
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Namespace, Service},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tokio::sync::watch;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: signalbox}
spec: {controllerName: signalbox.dev/gateway-controller}
---
apiVersion: signalbox.dev/v1alpha1
kind: GatewayParameters
metadata: {name: p, namespace: NAMESPACE}
spec: PARAMETERS
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: NAMESPACE, uid: GATEWAY_UID}
spec:
  gatewayClassName: signalbox
  addresses: ADDRESSES
  infrastructure: {parametersRef: {group: signalbox.dev, kind: GatewayParameters, name: p}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata:
  name: pool
  namespace: NAMESPACE
  uid: POOL_UID
  annotations: {signalbox.dev/picker: managed}
spec:
  selector: {matchLabels: {app: m}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: pool-epp, port: {number: 9002}}
";

/// Parameters by which no load balancer minds the Service.
const UNBALANCED: &str = "{service: {loadBalancerClass: example.com/none}}";

/// The same with a field more.
fn with(more: &str) -> String {
    UNBALANCED.replacen('{', &format!("{{{more}, "), 1)
}

struct Stack {
    client: Client,
    namespace: String,
    /// Of the Gateway and the pool.
    uids: [String; 2],
    desired: watch::Sender<Option<Arc<Desired>>>,
    leader: watch::Sender<bool>,
    states: watch::Receiver<States>,
    tasks: TaskSet,
}

impl Stack {
    async fn start() -> Option<Self> {
        if env::var_os("KUBECONFIG").is_none() {
            eprintln!("KUBECONFIG is not set: nothing is tested against an API server");
            return None;
        }
        let client = Client::try_default().await.unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"generateName": "infra-"}})).unwrap();
        let created = namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let namespace = created.metadata.name.unwrap();
        let uids = [
            owner(&client, &namespace, "Gateway", gateway()).await,
            owner(&client, &namespace, "InferencePool", pool()).await,
        ];
        let (desired, desired_heard) = watch::channel(None);
        let (leader, leader_heard) = watch::channel(false);
        let inputs = Inputs { desired: desired_heard, leader: leader_heard };
        let (applier, states) = Applier::new(client.clone(), inputs);
        let tasks = TaskSet::default();
        let token = tasks.token().clone();
        tasks.spawn("infra", applier.run(token));
        Some(Self { client, namespace, uids, desired, leader, states, tasks })
    }

    async fn end(self) {
        self.tasks.shutdown();
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }

    fn want(&self, parameters: &str, addresses: &str) {
        let text = GATEWAY
            .replace("NAMESPACE", &self.namespace)
            .replace("GATEWAY_UID", &self.uids[0])
            .replace("POOL_UID", &self.uids[1])
            .replace("PARAMETERS", parameters)
            .replace("ADDRESSES", addresses);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("in.yaml"), text).unwrap();
        let loaded = FileSource::load(Path::new(directory.path())).unwrap();
        let world = World::default().apply(&loaded.batch).0;
        let at = |port| HostPort { host: "signalbox.system.svc".to_owned(), port };
        let config = InfraConfig {
            installation: self.namespace.clone(),
            envoy_image: "envoy:test".to_owned(),
            picker_image: "picker:test".to_owned(),
            ads: at(18000),
            tier_api: at(18001),
            endpoint_removal_seconds: 5,
            identity: None,
        };
        self.desired.send_replace(Some(Arc::new(desired(&world, &Options::new(CONTROLLER_NAME), &config))));
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn deployment(&self) -> Option<Deployment> {
        self.api::<Deployment>().get_opt("gw-signalbox").await.unwrap()
    }

    fn owner(&self) -> Owner {
        Owner::Gateway(control_plane::api::NamespacedName::new(&self.namespace, "gw"))
    }

    fn state(&self, owner: &Owner) -> Value {
        let states = self.states.borrow();
        let state = states.get(owner).cloned().unwrap_or_default();
        json!({
            "addresses": state.addresses,
            "replicas": state.desired_replicas,
            "reason": state.error.as_ref().map(|error| error.reason),
            "message": state.error.map(|error| error.message),
        })
    }
}

fn gateway() -> Value {
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    json!({"spec": {"gatewayClassName": "of-nobody", "listeners": [listener]}})
}

fn pool() -> Value {
    let selector = json!({"matchLabels": {"app": "m"}});
    let picker = json!({"name": "pool-epp", "port": {"number": 9002}});
    json!({"spec": {"selector": selector, "targetPorts": [{"number": 8000}], "endpointPickerRef": picker}})
}

/// Makes an object that owns; returns its UID.
async fn owner(client: &Client, namespace: &str, kind: &str, spec: Value) -> String {
    let (group, name) = match kind {
        "Gateway" => ("gateway.networking.k8s.io", "gw"),
        _ => ("inference.networking.k8s.io", "pool"),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let object = DynamicObject::new(name, &resource).data(spec);
    api.create(&PostParams::default(), &object).await.unwrap().metadata.uid.unwrap()
}

/// Polls until `check` holds.
async fn until<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let poll = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), poll)
        .await
        .unwrap_or_else(|_| panic!("{what}: not in 30 s"));
}

fn replicas(deployment: Option<Deployment>) -> Option<i32> {
    deployment?.spec?.replicas
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructure_follows_what_is_desired() {
    let Some(stack) = Stack::start().await else { return };
    let owner = stack.owner();
    stack.want(UNBALANCED, "[]");
    // Not the leader: it knows what is missing, and makes nothing.
    until("known", || async { stack.state(&owner)["reason"] == "Pending" }).await;
    assert!(stack.deployment().await.is_none());
    stack.leader.send_replace(true);
    until("applied", || async { replicas(stack.deployment().await) == Some(2) }).await;
    until("no address yet", || async { stack.state(&owner)["reason"] == "AddressNotAssigned" }).await;

    // An address that the load balancer gives is seen; one that was asked for and is not given is not usable.
    let services: Api<Service> = stack.api();
    let status =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}}});
    services.patch_status("gw-signalbox", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let given =
        json!([{"type": "IPAddress", "value": "192.0.2.1"}, {"type": "Hostname", "value": "lb.example"}]);
    until("address", || async { stack.state(&owner)["addresses"] == given }).await;
    assert_eq!(stack.state(&owner)["reason"], Value::Null);
    stack.want(UNBALANCED, "[{value: 192.0.2.1}, {value: 192.0.2.9}]");
    until("unusable", || async { stack.state(&owner)["reason"] == "AddressNotUsable" }).await;
    stack.want(UNBALANCED, "[{value: 192.0.2.1}]");
    until("usable", || async { stack.state(&owner)["reason"] == Value::Null }).await;
    assert_eq!(stack.state(&owner)["addresses"], json!([{"type": "IPAddress", "value": "192.0.2.1"}]));

    // What has not changed is not applied again: a new revision of the parameters touches one object only.
    let maps: Api<ConfigMap> = stack.api();
    let version = |map: ConfigMap| map.metadata.resource_version;
    let before = version(maps.get("gw-signalbox").await.unwrap());
    stack.want(&with("envoy: {replicas: 3}"), "[{value: 192.0.2.1}]");
    until("changed", || async { replicas(stack.deployment().await) == Some(3) }).await;
    assert_eq!(version(maps.get("gw-signalbox").await.unwrap()), before);

    // Somebody scales by hand: it is undone.
    let deployments: Api<Deployment> = stack.api();
    let by_hand = json!({"spec": {"replicas": 9}});
    deployments.patch("gw-signalbox", &PatchParams::default(), &Patch::Merge(&by_hand)).await.unwrap();
    until("undone", || async { replicas(stack.deployment().await) == Some(3) }).await;

    // With autoscaling the number of replicas stays and is not ours any more.
    stack.want(&with("envoy: {autoscaling: {maxReplicas: 10}}"), "[{value: 192.0.2.1}]");
    let scalers: Api<HorizontalPodAutoscaler> = stack.api();
    until("autoscaler", || async { scalers.get_opt("gw-signalbox").await.unwrap().is_some() }).await;
    assert_eq!(replicas(stack.deployment().await), Some(3));
    let scaled = json!({"spec": {"replicas": 7}});
    deployments.patch_scale("gw-signalbox", &PatchParams::default(), &Patch::Merge(&scaled)).await.unwrap();
    // It has looked at them when it counts them.
    until("seven", || async { stack.state(&owner)["replicas"] == 7 }).await;
    assert_eq!(replicas(stack.deployment().await), Some(7));

    // What is not desired any more goes.
    stack.want("{infrastructure: external}", "[{value: 192.0.2.1}]");
    until("deleted", || async {
        stack.deployment().await.is_none_or(|d| d.metadata.deletion_timestamp.is_some())
            && services.get_opt("gw-signalbox").await.unwrap().is_none()
            && scalers.get_opt("gw-signalbox").await.unwrap().is_none()
    })
    .await;
    assert!(services.get_opt("pool-epp").await.unwrap().is_some());
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_left_alone() {
    let Some(stack) = Stack::start().await else { return };
    let services: Api<Service> = stack.api();
    let foreign: Service = serde_json::from_value(
        json!({"metadata": {"name": "pool-epp"}, "spec": {"ports": [{"port": 9002}]}}),
    )
    .unwrap();
    let created = services.create(&PostParams::default(), &foreign).await.unwrap();
    stack.leader.send_replace(true);
    stack.want(UNBALANCED, "[]");
    let owner = Owner::Picker(control_plane::api::NamespacedName::new(&stack.namespace, "pool-epp"));
    until("refused", || async { stack.state(&owner)["reason"] == "Invalid" }).await;
    assert!(stack.state(&owner)["message"].as_str().unwrap().contains("was not made by Signalbox"));
    let now = services.get("pool-epp").await.unwrap();
    assert_eq!(now.metadata.resource_version, created.metadata.resource_version);
    // The Gateway is not held up by it.
    until("applied", || async { stack.deployment().await.is_some() }).await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crd_is_accepted_and_validates() {
    let Some(stack) = Stack::start().await else { return };
    let crds: Api<CustomResourceDefinition> = Api::all(stack.client.clone());
    let params = PatchParams::apply("test").force();
    let name = "gatewayparameters.signalbox.dev";
    crds.patch(name, &params, &Patch::Apply(crd::gateway_parameters())).await.unwrap();
    until("established", || async {
        let conditions = crds.get(name).await.unwrap().status.and_then(|status| status.conditions);
        conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
    })
    .await;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("signalbox.dev", "v1alpha1", "GatewayParameters"),
        "gatewayparameters",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(stack.client.clone(), &stack.namespace, &resource);
    for (name, spec, good) in [
        (
            "good",
            json!({"envoy": {"replicas": 2, "resources": {"limits": {"memory": "1Gi", "cpu": 2}}}}),
            true,
        ),
        ("empty", json!({}), true),
        ("type", json!({"service": {"type": "ExternalName"}}), false),
        ("negative", json!({"envoy": {"replicas": -1}}), false),
    ] {
        let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
        let created = api.create(&PostParams::default(), &object).await;
        assert_eq!(created.is_ok(), good, "{name}: {created:?}");
    }
    stack.end().await;
}
