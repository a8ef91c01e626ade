//! What Pods of Envoys and of pickers have in common: hardening, spreading, budgets, mounts.

use k8s_openapi::{
    api::{
        core::v1::{
            Capabilities, ContainerPort, HTTPGetAction, PodSecurityContext, Probe, SeccompProfile,
            SecretVolumeSource, SecurityContext, ServiceAccount, Sysctl, TopologySpreadConstraint, Volume,
            VolumeMount,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{config::IDENTITY_DIR, metadata::Shared};

/// How long a probe may take, in seconds.
const PROBE_TIMEOUT: i32 = 5;
/// User and group of the processes: `nonroot` of distroless images.
const USER: i64 = 65532;

pub(super) fn service_account(shared: &Shared) -> ServiceAccount {
    ServiceAccount {
        metadata: shared.meta(),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// One Pod at a time may be evicted. With one replica this still lets nodes be drained.
pub(super) fn disruption_budget(shared: &Shared) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: shared.meta(),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(shared.selects()),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// Over hosts and zones where there are several; never a reason not to run.
pub(super) fn spread(shared: &Shared) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(shared.selects()),
        // Pods of a rollout are counted apart from those they replace.
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    };
    vec![over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")]
}

/// Passes the Pod Security Standard "restricted". The sysctl is one of its safe ones: NET_BIND_SERVICE alone is not
/// effective for a process that is not root in every runtime.
pub(super) fn pod_security(privileged_ports: bool) -> PodSecurityContext {
    let unprivileged =
        || vec![Sysctl { name: "net.ipv4.ip_unprivileged_port_start".to_owned(), value: "0".to_owned() }];
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        sysctls: privileged_ports.then(unprivileged),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container_security(privileged_ports: bool) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: privileged_ports.then(|| vec!["NET_BIND_SERVICE".to_owned()]),
        }),
        ..SecurityContext::default()
    }
}

/// The Secret with the identity. It need not exist yet: the Pod waits for it.
pub(super) fn identity_volume(secret: String) -> Volume {
    Volume {
        name: "identity".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn identity_mount() -> VolumeMount {
    mount("identity", IDENTITY_DIR)
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

pub(super) fn container_port(name: &str, port: u16, protocol: &str) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some(protocol.to_owned()),
        ..ContainerPort::default()
    }
}

/// A probe by GET. A process that is gone refuses the connection, which fails at once; a node without CPU to spare
/// answers late, and all of its Pods do. Being patient costs nothing with the former, and with the latter keeps every
/// endpoint of a Service from going at the same time: 1 s, the default, is what a busy node takes.
pub(super) fn http_probe(path: &str, port: u16, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(port.into()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(PROBE_TIMEOUT),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
