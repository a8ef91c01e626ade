//! What the control plane's account may do; `control-plane/tests/rbac.rs` holds all of it against the code.

use super::*;

#[test]
fn the_account_may_do_its_work_and_no_more() -> Result<()> {
    cluster::test("rights::the_account_may_do_its_work_and_no_more", async |cluster| {
        cluster.install()?;
        let can = |verb: &str, resource: &str, namespace: &str| {
            let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
            let part = format!("--subresource={part}");
            let account = "--as=system:serviceaccount:signalbox-system:signalbox";
            // Its exit code says no, too.
            cluster.kubectl(&["auth", "can-i", verb, resource, &part, "-n", namespace, account, "-q"]).is_ok()
        };
        for (verb, resource, namespace, expected) in [
            ("watch", "backendtlspolicies.gateway.networking.k8s.io", "default", true),
            ("patch", "inferencepools.inference.networking.k8s.io/status", "default", true),
            ("patch", "inferencepools.inference.networking.k8s.io", "default", false),
            ("create", "deployments.apps", "default", true),
            ("create", "pods", "default", false),
            ("update", "secrets", "default", true),
            ("update", "leases.coordination.k8s.io", "signalbox-system", true),
            ("update", "leases.coordination.k8s.io", "default", false),
        ] {
            ensure!(
                can(verb, resource, namespace) == expected,
                "{verb} {resource} in {namespace}: not {expected}"
            );
        }
        Ok(())
    })
}
