//! Fleets that are reached in other ways, or run by somebody else.

use std::process::Command;

use integration_tests::stack::binaries;

use super::*;

/// A Gateway with parameters of its own, and a route that needs no backend.
fn gateway(name: &str, port: u16, spec: &str) -> String {
    format!(
        "apiVersion: signalbox.dev/v1alpha1
kind: GatewayParameters
metadata: {{name: {name}}}
spec: {spec}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: signalbox
  infrastructure: {{parametersRef: {{group: signalbox.dev, kind: GatewayParameters, name: {name}}}}}
  listeners: [{{name: http, port: {port}, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {name}}}]
  rules: [{{filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {name}.example.com}}}}]}}]
"
    )
}

/// The Gateway `name` answers at the address.
async fn redirects(address: &str, port: u16, name: &str) -> Result<()> {
    let client = Client::new(SocketAddr::new(address.parse()?, port));
    eventually(&format!("{name} at {address}:{port}"), async || {
        let reply = client.get("/").await?;
        ensure!(reply.status == 302, "{} {}", reply.status, reply.text());
        ensure!(reply.header("location").contains(&format!("{name}.example.com")), "{:?}", reply.headers);
        Ok(())
    })
    .await
}

async fn address(cluster: &TestCluster, namespace: &str, gateway: &str) -> Result<String> {
    cluster.wait_for("Programmed", &["-n", namespace, &format!("gateway/{gateway}")])?;
    cluster.field(&["-n", namespace, "gateway", gateway], "{.status.addresses[*].value}").await
}

#[test]
fn services_of_other_types_are_reached_where_the_status_says() -> Result<()> {
    cluster::test("fleets::services_of_other_types_are_reached_where_the_status_says", async |cluster| {
        cluster.install()?;
        let gateways = [
            gateway("inside", 8080, "{service: {type: ClusterIP}}"),
            gateway("nodes", 8080, "{service: {type: NodePort}}"),
        ];
        cluster.apply_in("types", &gateways.join("---\n"))?;
        let service = |name: &str| format!("{name}-signalbox");
        let of = async |name: &str, path: &str| {
            cluster.field(&["-n", "types", "service", &service(name)], path).await
        };

        let inside = address(&cluster, "types", "inside").await?;
        ensure!(inside == of("inside", "{.spec.clusterIP}").await?, "{inside}");
        redirects(&inside, 8080, "inside").await?;

        let nodes = address(&cluster, "types", "nodes").await?;
        let path = "{.items[*].status.addresses[?(@.type==\"InternalIP\")].address}";
        ensure!(nodes == cluster.field(&["nodes"], path).await?, "{nodes}");
        let port = of("nodes", "{.spec.ports[0].nodePort}").await?.parse()?;
        redirects(nodes.split(' ').next().unwrap_or_default(), port, "nodes").await?;
        cluster.delete("types")
    })
}

/// An Envoy that somebody else runs: with the bootstrap that `signalbox bootstrap` prints, and the Secret of its
/// Gateway.
#[test]
fn an_envoy_of_somebody_elses_joins_with_a_bootstrap() -> Result<()> {
    cluster::test("fleets::an_envoy_of_somebody_elses_joins_with_a_bootstrap", async |cluster| {
        let tag = cluster.install()?;
        cluster.apply_in("outside", &gateway("outside", 8080, "{infrastructure: external}"))?;
        eventually("its status waits for an Envoy", async || {
            let status = ["-n", "outside", "get", "gateway/outside", "-o", "jsonpath={.status}"];
            let status = cluster.kubectl(&status)?;
            ensure!(status.contains("no Envoy of this Gateway is connected"), "{status}");
            Ok(())
        })
        .await?;

        // The paths are those in the Pod.
        let sds = tempfile::tempdir()?;
        let directory = sds.path().to_str().context("a path that is text")?;
        let mut bootstrap = Command::new(binaries::named("signalbox")?);
        bootstrap.args([
            "bootstrap",
            "--gateway",
            "outside/outside",
            "--node-id",
            "by-hand",
            "--sds-dir",
            directory,
        ]);
        bootstrap.args(["--ads", "signalbox.signalbox-system.svc.cluster.local:18000"]);
        bootstrap.args(["--ads-server-name", "signalbox.signalbox-system.svc"]);
        let printed = bootstrap.args(["--identity-dir", "/etc/signalbox/identity"]).output()?;
        ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let mut files = vec![format!("--from-literal=bootstrap.json={}", String::from_utf8(printed.stdout)?)];
        for file in std::fs::read_dir(sds.path())? {
            files.push(format!("--from-file={}", file?.path().display()));
        }
        let mut arguments = vec!["-n", "outside", "create", "configmap", "envoy"];
        arguments.extend(files.iter().map(String::as_str));
        cluster.kubectl(&arguments)?;
        cluster.apply(&envoy(tag, directory))?;

        cluster.wait_for("Programmed", &["-n", "outside", "gateway/outside"])?;
        let pod = cluster.field(&["-n", "outside", "pod", "by-hand"], "{.status.podIP}").await?;
        redirects(&pod, 8080, "outside").await?;
        let provisioned = ["-n", "outside", "get", "deployments,services", "-o", "name"];
        ensure!(cluster.kubectl(&provisioned)?.is_empty(), "nothing of ours is run");
        cluster.delete("outside")
    })
}

fn envoy(tag: &str, directory: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: by-hand, namespace: outside}}
spec:
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: envoy
    image: localhost/signalbox/envoy:{tag}
    args: [-c, {directory}/bootstrap.json]
    volumeMounts:
    - {{name: files, mountPath: {directory}}}
    - {{name: identity, mountPath: /etc/signalbox/identity}}
    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
  volumes:
  - {{name: files, configMap: {{name: envoy}}}}
  - {{name: identity, secret: {{secretName: signalbox-gateway-outside}}}}
"
    )
}
