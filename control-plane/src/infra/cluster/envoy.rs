//! The Envoys of one Gateway: bootstrap, Deployment, scaling.
//!
//! ```text
//! told to end ─▶ preStop GET /drain: endpoints disappear, requests end (or drainSeconds are over) ─▶ SIGTERM
//! ```
//!
//! There is no liveness probe: an Envoy that waits for its first configuration listens nowhere, and restarting it
//! would not bring the control plane back.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        autoscaling::v2::{
            CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
            MetricTarget, ResourceMetricSource,
        },
        core::v1::{
            ConfigMap, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, HTTPGetAction, HTTPHeader,
            Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSpec, PodTemplateSpec, ResourceRequirements,
            Volume,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    config::{IDENTITY_DIR, InfraConfig},
    manifest::Manifest,
    metadata::Shared,
    pods,
};
use crate::{
    api::{EnvoyParameters, NamespacedName},
    gateway::{FleetPort, quantity},
    translate::{
        self, AdsMode, BootstrapParams, BootstrapTls, DRAIN_HEADER, Drain, OverloadLimits, sds_files,
    },
};

/// Where the ConfigMap is mounted.
const CONFIG_DIR: &str = "/etc/signalbox/envoy";
const BOOTSTRAP: &str = "bootstrap.json";
/// A change of it rolls the Pods.
const CHECKSUM: &str = "signalbox.dev/bootstrap-checksum";
/// Part of the container's memory that the heap may have.
const HEAP_SHARE: f64 = 0.85;
/// Pods without `drainSeconds` wait so long for running requests at most: long streams are the rule here.
const DRAIN_SECONDS: i64 = 300;
/// Between the end of draining and being killed.
const END_SECONDS: i64 = 15;

/// What the objects are made from.
pub(super) struct Envoy<'a> {
    pub(super) config: &'a InfraConfig,
    pub(super) gateway: &'a NamespacedName,
    /// UID of the Gateway.
    pub(super) uid: &'a str,
    pub(super) shared: &'a Shared,
    pub(super) parameters: &'a EnvoyParameters,
    pub(super) ports: &'a [FleetPort],
}

impl Envoy<'_> {
    /// All objects but the Service.
    pub(super) fn objects(&self) -> Vec<Manifest> {
        let files = self.files();
        let mut objects = vec![
            pods::service_account(self.shared).into(),
            self.deployment(&files).into(),
            pods::disruption_budget(self.shared).into(),
        ];
        objects.extend(self.autoscaler().map(Manifest::from));
        let config = ConfigMap { metadata: self.shared.meta(), data: Some(files), ..ConfigMap::default() };
        objects.push(config.into());
        objects
    }

    /// The first two ports from 19000 on that no listener has: admin and status.
    fn own_ports(&self) -> (u16, u16) {
        let mut free = (19_000..).filter(|port| self.ports.iter().all(|taken| taken.bind_port != *port));
        // A Gateway has at most 64 listeners.
        (free.next().unwrap_or(19_000), free.next().unwrap_or(19_001))
    }

    fn drain_seconds(&self) -> i64 {
        self.parameters.drain_seconds.unwrap_or(DRAIN_SECONDS)
    }

    /// Known to whoever may read the ConfigMap: the UID is random.
    fn drain_token(&self) -> String {
        format!("{:016x}", xxh3_64(format!("drain {} {}", self.gateway, self.uid).as_bytes()))
    }

    /// The bootstrap, and the files that tell Envoy of its identity.
    fn files(&self) -> BTreeMap<String, String> {
        let (admin, status) = self.own_ports();
        let tls = self.config.identity.as_ref().map(|identity| BootstrapTls {
            identity: IDENTITY_DIR.into(),
            sds: CONFIG_DIR.into(),
            server_name: identity.server_name.clone(),
        });
        let memory = self.resources().limits.and_then(|limits| number(limits.get("memory")));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a positive number of bytes"
        )]
        let heap = memory.map(|bytes| (bytes * HEAP_SHARE) as u64);
        let least = self.config.endpoint_removal_seconds;
        let bootstrap = translate::bootstrap(&BootstrapParams {
            node_id: String::new(),
            cluster: self.gateway.to_string(),
            ads_host: self.config.ads.host.clone(),
            ads_port: self.config.ads.port,
            tls: tls.clone(),
            ads_mode: AdsMode::Delta,
            admin: ([127, 0, 0, 1], admin).into(),
            status: Some(([0, 0, 0, 0], status).into()),
            drain: Some(Drain {
                token: self.drain_token(),
                least_seconds: least,
                most_seconds: u32::try_from(self.drain_seconds()).unwrap_or(u32::MAX).max(least),
            }),
            overload: OverloadLimits { max_heap_bytes: heap, ..OverloadLimits::default() },
        });
        let mut files = tls.map(|tls| sds_files(&tls)).unwrap_or_default();
        files.insert(BOOTSTRAP.to_owned(), bootstrap);
        files
    }

    fn resources(&self) -> ResourceRequirements {
        let amounts = |amounts: &[(&str, &str)]| {
            Some(amounts.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect())
        };
        self.parameters.resources.clone().unwrap_or_else(|| ResourceRequirements {
            requests: amounts(&[("cpu", "100m"), ("memory", "256Mi")]),
            limits: amounts(&[("memory", "1Gi")]),
            ..ResourceRequirements::default()
        })
    }

    /// Worker threads: one per CPU of the limit. Without one, a few: Envoy would start one per CPU of the node.
    fn concurrency(&self) -> u32 {
        let resources = self.resources();
        let cpu = |amounts: &Option<BTreeMap<String, Quantity>>| number(amounts.as_ref()?.get("cpu"));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number, saturated by the cast"
        )]
        let whole = |cpus: f64| cpus.ceil() as u32;
        match cpu(&resources.limits) {
            Some(limit) => whole(limit).max(1),
            None => cpu(&resources.requests).map_or(2, whole).max(2),
        }
    }

    fn deployment(&self, files: &BTreeMap<String, String>) -> Deployment {
        let scaled = self.parameters.autoscaling.is_some();
        let mut meta = self
            .shared
            .pod_meta(self.parameters.pod_labels.as_ref(), self.parameters.pod_annotations.as_ref());
        let checksum = format!("{:016x}", xxh3_64(format!("{files:?}").as_bytes()));
        meta.annotations.get_or_insert_default().insert(CHECKSUM.to_owned(), checksum);
        Deployment {
            metadata: self.shared.meta(),
            spec: Some(DeploymentSpec {
                // The autoscaler owns the field.
                replicas: (!scaled).then(|| self.parameters.replicas.unwrap_or(2)),
                selector: self.shared.selects(),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::String("25%".to_owned())),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                template: PodTemplateSpec { metadata: Some(meta), spec: Some(self.pod()) },
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    fn pod(&self) -> PodSpec {
        let parameters = self.parameters;
        let privileged = self.ports.iter().any(|port| port.bind_port < 1024);
        let mut volumes = vec![Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: self.shared.name.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }];
        if let Some(identity) = &self.config.identity {
            volumes.push(pods::identity_volume((identity.gateway_secret)(self.gateway)));
        }
        let least = i64::from(self.config.endpoint_removal_seconds);
        PodSpec {
            service_account_name: Some(self.shared.name.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(self.drain_seconds().max(least) + END_SECONDS),
            security_context: Some(
                parameters.pod_security_context.clone().unwrap_or_else(|| pods::pod_security(privileged)),
            ),
            node_selector: parameters.node_selector.clone(),
            tolerations: parameters.tolerations.clone(),
            affinity: parameters.affinity.clone(),
            topology_spread_constraints: Some(
                parameters.topology_spread_constraints.clone().unwrap_or_else(|| pods::spread(self.shared)),
            ),
            containers: vec![self.container(privileged)],
            volumes: Some(volumes),
            ..PodSpec::default()
        }
    }

    fn container(&self, privileged: bool) -> Container {
        let parameters = self.parameters;
        let (_, status) = self.own_ports();
        let mut ports: Vec<_> = self
            .ports
            .iter()
            .map(|port| pods::container_port(&port_name(port), port.bind_port, transport(port)))
            .collect();
        ports.push(pods::container_port("status", status, "TCP"));
        let mut mounts = vec![pods::mount("config", CONFIG_DIR)];
        if self.config.identity.is_some() {
            mounts.push(pods::identity_mount());
        }
        let image = parameters.image.clone().unwrap_or_else(|| self.config.envoy_image.clone());
        Container {
            name: "envoy".to_owned(),
            image: Some(image),
            image_pull_policy: parameters.image_pull_policy.map(|policy| policy.as_str().to_owned()),
            command: Some(vec!["envoy".to_owned()]),
            args: Some(self.args()),
            env: Some(vec![EnvVar {
                name: "POD_NAME".to_owned(),
                value_from: Some(EnvVarSource {
                    field_ref: Some(ObjectFieldSelector {
                        field_path: "metadata.name".to_owned(),
                        ..ObjectFieldSelector::default()
                    }),
                    ..EnvVarSource::default()
                }),
                ..EnvVar::default()
            }]),
            ports: Some(ports),
            resources: Some(self.resources()),
            readiness_probe: Some(pods::http_probe("/ready", status, 3, 3)),
            lifecycle: Some(Lifecycle { pre_stop: Some(self.drain_hook(status)), ..Lifecycle::default() }),
            security_context: Some(
                parameters.security_context.clone().unwrap_or_else(|| pods::container_security(privileged)),
            ),
            volume_mounts: Some(mounts),
            ..Container::default()
        }
    }

    fn args(&self) -> Vec<String> {
        let level = self.parameters.log_level.unwrap_or_default().as_str().to_owned();
        let concurrency = self.concurrency().to_string();
        // Listeners close when this is over; until then every answer asks the client to connect anew.
        let drain = self.drain_seconds().clamp(1, 60).to_string();
        let path = format!("{CONFIG_DIR}/{BOOTSTRAP}");
        [
            ("--config-path", path.as_str()),
            ("--service-node", "$(POD_NAME)"),
            ("--log-level", &level),
            ("--concurrency", &concurrency),
            ("--drain-time-s", &drain),
            ("--drain-strategy", "immediate"),
        ]
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()])
        .chain(["--disable-hot-restart".to_owned()])
        .collect()
    }

    fn drain_hook(&self, status: u16) -> LifecycleHandler {
        LifecycleHandler {
            http_get: Some(HTTPGetAction {
                path: Some("/drain".to_owned()),
                port: IntOrString::Int(status.into()),
                scheme: Some("HTTP".to_owned()),
                http_headers: Some(vec![HTTPHeader {
                    name: DRAIN_HEADER.to_owned(),
                    value: self.drain_token(),
                }]),
                ..HTTPGetAction::default()
            }),
            ..LifecycleHandler::default()
        }
    }

    fn autoscaler(&self) -> Option<HorizontalPodAutoscaler> {
        let scaling = self.parameters.autoscaling.as_ref()?;
        let target = MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(scaling.target_cpu_utilization.unwrap_or(70)),
            ..MetricTarget::default()
        };
        Some(HorizontalPodAutoscaler {
            metadata: self.shared.meta(),
            spec: Some(HorizontalPodAutoscalerSpec {
                scale_target_ref: CrossVersionObjectReference {
                    api_version: Some("apps/v1".to_owned()),
                    kind: "Deployment".to_owned(),
                    name: self.shared.name.clone(),
                },
                min_replicas: Some(scaling.min_replicas.unwrap_or(scaling.max_replicas.min(2))),
                max_replicas: scaling.max_replicas,
                metrics: Some(vec![MetricSpec {
                    type_: "Resource".to_owned(),
                    resource: Some(ResourceMetricSource { name: "cpu".to_owned(), target }),
                    ..MetricSpec::default()
                }]),
                ..HorizontalPodAutoscalerSpec::default()
            }),
            ..HorizontalPodAutoscaler::default()
        })
    }
}

fn number(quantity: Option<&Quantity>) -> Option<f64> {
    quantity::parse(&quantity?.0)
}

/// `<protocol>-<port>`: at most 15 characters, as ports of containers need.
pub(super) fn port_name(port: &FleetPort) -> String {
    format!("{}-{}", port.protocol, port.port)
}

/// The transport of the port's protocol.
pub(super) fn transport(port: &FleetPort) -> &'static str {
    if port.protocol == "udp" { "UDP" } else { "TCP" }
}
