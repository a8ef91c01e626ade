//! `GatewayParameters`.

use super::Findings;
use crate::{api::GatewayParameters, source::field::Field};

pub(super) fn check(parameters: &GatewayParameters, findings: &mut Findings) {
    let envoy = &parameters.spec.envoy;
    let field = Field::ROOT.name("spec");
    let field = field.name("envoy");
    if let Some(replicas) = envoy.replicas {
        findings.range(field.name("replicas"), replicas, 0, i64::from(i32::MAX));
    }
    if let Some(seconds) = envoy.drain_seconds {
        findings.range(field.name("drainSeconds"), seconds, 0, 86_400);
    }
    if let Some(image) = &envoy.image {
        findings.length(field.name("image"), image, 1, 4096);
    }
    if let Some(scaling) = &envoy.autoscaling {
        let field = field.name("autoscaling");
        let most = i64::from(i32::MAX);
        findings.range(field.name("maxReplicas"), scaling.max_replicas, 1, most);
        if let Some(least) = scaling.min_replicas {
            findings.range(field.name("minReplicas"), least, 1, most);
        }
        if let Some(target) = scaling.target_cpu_utilization {
            findings.range(field.name("targetCPUUtilization"), target, 1, most);
        }
    }
}
