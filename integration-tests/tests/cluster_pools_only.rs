//! `controller --pools-only`: Gateways are another controller's; ours runs the pickers of pools and serves them.

use anyhow::{Result, ensure};
use integration_tests::cluster;

const MANIFESTS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: pools-only}
spec: {controllerName: signalbox.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs}
spec: {gatewayClassName: pools-only, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: theirs}
spec:
  parentRefs: [{name: theirs}]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: pool}]}]
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool, annotations: {signalbox.dev/picker: managed}}
spec:
  selector: {matchLabels: {app: model}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: epp, port: {number: 9002}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: model}
spec:
  selector: {matchLabels: {app: model}}
  template:
    metadata: {labels: {app: model}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: model-server
        image: localhost/signalbox/model-server:0.1.0
        args: [--listen, '0.0.0.0:8000', --model, m]
        resources: {requests: {cpu: 50m}}
        readinessProbe: {httpGet: {path: /health, port: 8000}, periodSeconds: 1, timeoutSeconds: 5}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
";

#[test]
fn pickers_are_run_and_served_and_gateways_left_alone() -> Result<()> {
    cluster::test("pickers_are_run_and_served_and_gateways_left_alone", async |cluster| {
        cluster.install_with(&["--set", "poolsOnly=true", "--set", "replicas=1"])?;
        cluster.apply_in("pools-only", MANIFESTS)?;
        let namespace = ["-n", "pools-only"];
        let of = |rest: &[&str]| cluster.kubectl(&[&namespace, rest].concat());
        // A picker is ready when the control plane has given it its pools over mutual TLS.
        cluster.field(&["-n", "pools-only", "deployment", "epp-signalbox-picker"], "{.metadata.uid}").await?;
        cluster.wait_for("Available", &["-n", "pools-only", "deployment/epp-signalbox-picker"])?;
        cluster.wait_for("Available", &["-n", "pools-only", "deployment/model"])?;
        let selector = "signalbox.dev/picker-service=epp";
        let pod = of(&["get", "pods", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}"])?;
        let metrics = format!("/api/v1/namespaces/pools-only/pods/{pod}:9090/proxy/metrics");
        let deadline = std::time::Instant::now() + cluster::SOON;
        loop {
            let text = cluster.kubectl(&["get", "--raw", &metrics])?;
            let endpoint = "inference_pool_ready_pods{name=\"pool\",namespace=\"pools-only\"} 1";
            if text.contains(endpoint) {
                break;
            }
            ensure!(std::time::Instant::now() < deadline, "the picker has no endpoint:\n{text}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }

        // All else is somebody else's: no status, no Envoys.
        for object in ["gatewayclass/pools-only", "gateway/theirs", "httproute/theirs", "inferencepool/pool"]
        {
            let status = of(&["get", object, "-o", "jsonpath={.status}"])?;
            ensure!(!status.contains("signalbox.dev") && !status.contains("\"True\""), "{object}: {status}");
        }
        let deployments = of(&["get", "deployments", "-o", "jsonpath={.items[*].metadata.name}"])?;
        ensure!(deployments == "epp-signalbox-picker model", "{deployments}");
        let services = of(&["get", "services", "-o", "jsonpath={.items[*].metadata.name}"])?;
        // The pickers' own, by which they find each other, is beside it.
        ensure!(services == "epp epp-signalbox-picker", "{services}");
        cluster.kubectl(&["delete", "gatewayclass", "pools-only"])?;
        cluster.delete("pools-only")?;
        // A cluster that stays has the installation of the other tests afterwards.
        cluster.uninstall()
    })
}
