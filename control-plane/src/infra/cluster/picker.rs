//! Managed pickers: for pools annotated `signalbox.dev/picker: managed`, the processes behind the Service that their
//! `endpointPickerRef` names, and that Service.
//!
//! Pools that name one Service share its picker: a Service cannot tell for which pool it is asked. It is told all of
//! them, and its certificate names all of them.
//!
//! Its replicas find each other by a headless Service, named like the Deployment, and tell each other what they do.
//!
//! What a picker learns of endpoints' speeds is in a volume of its Pod: it outlives the container, not the Pod. A Pod
//! that is made anew learns within a minute of traffic.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, ResourceRequirements, Service,
            ServicePort, ServiceSpec, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use super::{config::InfraConfig, manifest::Manifest, metadata::Shared, pods};
use crate::api::{InferencePool, NamespacedName};

const EXT_PROC: u16 = 9002;
const HEALTH: u16 = 9003;
/// Where replicas tell each other what they do.
const PEERS: u16 = 9004;
/// Where it serves its admin interface.
pub(crate) const ADMIN: u16 = 9090;
/// The volume for what the picker learns of endpoints' speeds, and where it is.
const LEARNED: &str = "learned";
const LEARNED_DIR: &str = "/var/lib/signalbox";
/// Two, so that one may go while the other decides.
const REPLICAS: i32 = 2;
/// More than the picker's own drain delay and drain timeout (3 s and 30 s).
const GRACE_SECONDS: i64 = 60;

/// What the objects are made from.
pub(super) struct Picker<'a> {
    pub(super) config: &'a InfraConfig,
    pub(super) service: &'a NamespacedName,
    pub(super) shared: &'a Shared,
    /// In order of their names; at least one.
    pub(super) pools: &'a [&'a InferencePool],
    /// Ports of the Service that the pools name.
    pub(super) ports: &'a BTreeSet<u16>,
    /// Whether Envoys speak TLS to it.
    pub(super) secure: bool,
}

impl Picker<'_> {
    pub(super) fn objects(&self) -> Vec<Manifest> {
        vec![
            pods::service_account(self.shared).into(),
            self.service().into(),
            self.peers().into(),
            self.deployment().into(),
            pods::disruption_budget(self.shared).into(),
        ]
    }

    fn service(&self) -> Service {
        let mut metadata = self.shared.meta();
        metadata.name = Some(self.service.name.clone());
        let port = |port: &u16| ServicePort {
            name: Some(format!("ext-proc-{port}")),
            port: (*port).into(),
            target_port: Some(IntOrString::Int(EXT_PROC.into())),
            protocol: Some("TCP".to_owned()),
            app_protocol: Some("http2".to_owned()),
            ..ServicePort::default()
        };
        Service {
            metadata,
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                selector: Some(self.shared.selector.clone()),
                ports: Some(self.ports.iter().map(port).collect()),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        }
    }

    /// Stands for all Pods, those that are not ready included: they have requests in flight until they end.
    fn peers(&self) -> Service {
        let port = ServicePort {
            name: Some("peers".to_owned()),
            port: PEERS.into(),
            target_port: Some(IntOrString::Int(PEERS.into())),
            protocol: Some("TCP".to_owned()),
            ..ServicePort::default()
        };
        Service {
            metadata: self.shared.meta(),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                cluster_ip: Some("None".to_owned()),
                publish_not_ready_addresses: Some(true),
                selector: Some(self.shared.selector.clone()),
                ports: Some(vec![port]),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        }
    }

    fn deployment(&self) -> Deployment {
        Deployment {
            metadata: self.shared.meta(),
            spec: Some(DeploymentSpec {
                replicas: Some(REPLICAS),
                selector: self.shared.selects(),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::Int(1)),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                template: PodTemplateSpec {
                    metadata: Some(self.shared.pod_meta(None, None)),
                    spec: Some(self.pod()),
                },
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    fn pod(&self) -> PodSpec {
        let identity = self.config.identity.as_ref();
        let secret = identity.map(|identity| (identity.picker_secret)(self.service));
        PodSpec {
            service_account_name: Some(self.shared.name.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(pods::pod_security(false)),
            topology_spread_constraints: Some(pods::spread(self.shared)),
            containers: vec![self.container()],
            volumes: Some(secret.map(pods::identity_volume).into_iter().chain([learned_volume()]).collect()),
            ..PodSpec::default()
        }
    }

    fn container(&self) -> Container {
        let amounts = |amounts: &[(&str, &str)]| {
            Some(amounts.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect())
        };
        let learned = VolumeMount {
            name: LEARNED.to_owned(),
            mount_path: LEARNED_DIR.to_owned(),
            ..VolumeMount::default()
        };
        let mounts = self.config.identity.iter().map(|_| pods::identity_mount()).chain([learned]);
        Container {
            name: "picker".to_owned(),
            image: Some(self.config.picker_image.clone()),
            command: Some(vec!["signalbox-picker".to_owned()]),
            args: Some(self.args()),
            ports: Some(vec![
                pods::container_port("ext-proc", EXT_PROC, "TCP"),
                pods::container_port("health", HEALTH, "TCP"),
                pods::container_port("peers", PEERS, "TCP"),
                pods::container_port("metrics", ADMIN, "TCP"),
            ]),
            resources: Some(ResourceRequirements {
                requests: amounts(&[("cpu", "100m"), ("memory", "128Mi")]),
                limits: amounts(&[("memory", "1Gi")]),
                ..ResourceRequirements::default()
            }),
            // Ready when it has its pools; live while it answers at all.
            readiness_probe: Some(pods::http_probe("/readyz", ADMIN, 3, 3)),
            liveness_probe: Some(pods::http_probe("/healthz", ADMIN, 10, 6)),
            security_context: Some(pods::container_security(false)),
            volume_mounts: Some(mounts.collect()),
            ..Container::default()
        }
    }

    fn args(&self) -> Vec<String> {
        let identity = self.config.identity.as_ref();
        let scheme = if identity.is_some() { "https" } else { "http" };
        let tier = &self.config.tier_api;
        let pools: Vec<_> = self.pools.iter().map(|pool| pool.metadata.key().to_string()).collect();
        let mut args = vec![
            format!("--control-plane={scheme}://{}:{}", tier.host, tier.port),
            format!("--pools={}", pools.join(",")),
            format!("--secure-serving={}", self.secure),
            format!("--peers={}.{}.svc:{PEERS}", self.shared.name, self.shared.namespace),
            format!("--learned-file={LEARNED_DIR}/learned.json"),
            "--log-format=json".to_owned(),
        ];
        args.extend(identity.into_iter().flat_map(|identity| identity.picker_args.clone()));
        args
    }
}

/// Kilobytes, one for each pair of model and accelerator.
fn learned_volume() -> Volume {
    Volume {
        name: LEARNED.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("16Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}
