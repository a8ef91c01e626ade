//! TLS to backends: who vouches for them decides whether they are spoken to.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

const HOST: &str = "private.example.com";

/// A server that a private authority vouches for: an Envoy that answers by itself.
const SERVER: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: private-config}
data:
  envoy.yaml: |
    static_resources:
      listeners:
      - address: {socket_address: {address: 0.0.0.0, port_value: 8443}}
        filter_chains:
        - transport_socket:
            name: tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates:
                - {certificate_chain: {filename: /etc/private/tls.crt}, private_key: {filename: /etc/private/tls.key}}
          filters:
          - name: http
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: private
              route_config:
                virtual_hosts:
                - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: private}}}]}
              http_filters:
              - name: router
                typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: private}
spec:
  selector: {matchLabels: {app: private}}
  template:
    metadata: {labels: {app: private}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: server
        image: localhost/signalbox/envoy:__TAG__
        args: [--config-path, /etc/private-config/envoy.yaml, --concurrency, "1", --disable-hot-restart]
        readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts:
        - {name: certificate, mountPath: /etc/private}
        - {name: config, mountPath: /etc/private-config}
      volumes:
      - {name: certificate, secret: {secretName: private}}
      - {name: config, configMap: {name: private-config}}
---
apiVersion: v1
kind: Service
metadata: {name: private}
spec: {selector: {app: private}, ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: private}
spec:
  parentRefs: [{name: inference-gateway}]
  rules: [{backendRefs: [{name: private, port: 443}]}]
"#;

/// The authority's certificate, and the Secret of the server that it vouches for.
fn certificates() -> Result<(String, String)> {
    let mut params = CertificateParams::default();
    // Issuer and subject of the server's certificate are to differ.
    params.distinguished_name.push(DnType::CommonName, "private authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new([HOST.to_owned()])?.signed_by(&key, &authority)?;
    let data = json!({"tls.crt": leaf.pem(), "tls.key": key.serialize_pem()});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "private"},
        "type": "kubernetes.io/tls", "stringData": data});
    Ok((authority.pem(), secret.to_string()))
}

fn policy(validation: &Value) -> String {
    let target = json!({"group": "", "kind": "Service", "name": "private"});
    let mut spec = json!({"targetRefs": [target], "validation": validation});
    spec["validation"]["hostname"] = HOST.into();
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy",
        "metadata": {"name": "private"}, "spec": spec})
    .to_string()
}

#[test]
fn the_systems_authorities_do_not_vouch_for_a_private_one() -> Result<()> {
    cluster::test("backend_tls::the_systems_authorities_do_not_vouch_for_a_private_one", async |cluster| {
        let tag = cluster.install()?;
        let (authority, secret) = certificates()?;
        let system = policy(&json!({"wellKnownCACertificates": "System"}));
        let server = SERVER.replace("__TAG__", tag);
        cluster.apply_in("vouched", &[GATEWAY, &server, &secret, &system].join("\n---\n"))?;
        let client = cluster.client_of("vouched", "inference-gateway", 80).await?;
        cluster.wait_for("Available", &["-n", "vouched", "deployment/private"])?;
        eventually("it is refused", async || {
            let reply = client.get("/").await?;
            let answer = (reply.status.as_u16(), reply.header("x-signalbox-reason"));
            ensure!(answer == (503, "upstream_tls_failed"), "{answer:?} {}", reply.text());
            Ok(())
        })
        .await?;
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"},
            "data": {"ca.crt": authority}});
        let reference = json!({"group": "", "kind": "ConfigMap", "name": "authority"});
        let own = policy(&json!({"caCertificateRefs": [reference]}));
        cluster.apply_in("vouched", &[map.to_string(), own].join("\n---\n"))?;
        eventually("its own authority vouches for it", async || {
            let reply = client.get("/").await?;
            ensure!((reply.status.as_u16(), reply.text().as_str()) == (200, "private"), "{}", reply.text());
            Ok(())
        })
        .await?;
        cluster.delete("vouched")
    })
}
