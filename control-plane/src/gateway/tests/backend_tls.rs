//! BackendTLSPolicies: which one decides, what it comes to, and what is said of it.

use super::*;
use crate::gateway::{
    Memo,
    ir::{Authorities, BackendName, BackendTls, PickerSecurity, Protocol, Upstream},
    resolve_again,
};

/// Routes to two ports of a Service, a pool with a picker of somebody else's, and a ConfigMap with an authority.
fn base() -> String {
    let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    let pem = authority.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "
kind: Service
metadata: {{name: s}}
spec: {{ports: [{{name: one, port: 443, appProtocol: https}}, {{name: two, port: 8443, appProtocol: grpcs}}]}}
---
kind: Service
metadata: {{name: epp}}
spec: {{ports: [{{name: grpc, port: 9002}}]}}
---
kind: ConfigMap
metadata: {{name: ca}}
data:
  ca.crt: |
{pem}---
kind: ConfigMap
metadata: {{name: empty}}
data: {{other: x, ca.crt: nothing}}
---
kind: InferencePool
metadata: {{name: pool}}
spec:
  selector: {{matchLabels: {{app: x}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: epp, port: {{number: 9002}}}}
---
kind: HTTPRoute
metadata: {{name: r}}
spec:
  parentRefs: [{{name: gw}}]
  rules:
  - {{matches: [{{path: {{value: /one}}}}], backendRefs: [{{name: s, port: 443}}]}}
  - {{matches: [{{path: {{value: /two}}}}], backendRefs: [{{name: s, port: 8443}}]}}
  - {{matches: [{{path: {{value: /pool}}}}], backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: pool}}]}}"
    )
}

const CA: &str = "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]";

fn policy(name: &str, target: &str, validation: &str) -> String {
    format!(
        "\n---\nkind: BackendTLSPolicy\nmetadata: {{name: {name}, generation: 7}}\nspec: {{targetRefs: [{{group: '', kind: \
         Service, {target}}}], validation: {{{validation}}}}}"
    )
}

fn with(policies: &[String]) -> Resolved {
    on_base(&format!("{}{}", base(), policies.concat()))
}

impl Resolved {
    fn tls(&self, cluster: &str) -> Option<&BackendTls> {
        let (_, found) = self.ir.clusters.iter().find(|(name, _)| name.as_str() == cluster).expect(cluster);
        found.tls.as_ref()
    }

    /// `Accepted` and `ResolvedRefs` of a policy.
    fn said(&self, policy: &str) -> [String; 2] {
        let report = &self.reports.policies[&key(policy)];
        assert_eq!(report.generation, 7);
        ["Accepted", "ResolvedRefs"].map(|kind| shown(&report.conditions, kind))
    }
}

const GOOD: [&str; 2] = ["True/Accepted", "True/ResolvedRefs"];

#[test]
fn without_a_policy_words_for_tls_are_refused_and_pickers_are_not_verified() {
    let found = with(&[]);
    for path in ["/one", "/two"] {
        assert_eq!(found.get("h", path), "500:unsupported_backend_protocol");
    }
    assert_eq!(found.tls("picker/default/epp/9002"), None);
    assert!(found.reports.policies.is_empty());
}

#[test]
fn a_policy_makes_tls_of_the_service_or_of_one_port() {
    let found = with(&[policy("p", "name: s", &format!("hostname: a.example.com, {CA}"))]);
    assert_eq!(found.said("p"), GOOD);
    let tls = found.tls("service/default/s/443").unwrap();
    assert_eq!(tls.server_name, "a.example.com");
    assert_eq!(tls.names, [BackendName::Host("a.example.com".into())]);
    assert!(matches!(&tls.authorities, Authorities::Bundle(pem) if pem.contains("BEGIN CERTIFICATE")));
    assert_eq!(found.tls("service/default/s/8443"), Some(tls));
    let protocol =
        |name: &str| found.ir.clusters.values().find(|c| c.name.as_str() == name).unwrap().protocol;
    assert_eq!(protocol("service/default/s/443"), Protocol::Http1);
    assert_eq!(protocol("service/default/s/8443"), Protocol::Http2);

    let names = "subjectAltNames: [{type: URI, uri: 'spiffe://a/b'}, {type: Hostname, hostname: '*.c'}]";
    let validation = format!("hostname: h, wellKnownCACertificates: System, {names}");
    let found = with(&[policy("p", "name: s, sectionName: two", &validation)]);
    assert_eq!(found.said("p"), GOOD);
    assert_eq!(found.get("h", "/one"), "500:unsupported_backend_protocol");
    let names = vec![BackendName::Uri("spiffe://a/b".into()), BackendName::Host("*.c".into())];
    let expected = BackendTls { authorities: Authorities::System, server_name: "h".into(), names };
    assert_eq!(found.tls("service/default/s/8443"), Some(&expected));
}

#[test]
fn the_policy_of_a_port_decides_before_that_of_the_service_and_the_oldest_before_others() {
    let to = |name: &str, target: &str| policy(name, target, &format!("hostname: {name}, {CA}"));
    let found = with(&[to("whole", "name: s"), to("port", "name: s, sectionName: one")]);
    assert_eq!((found.said("whole"), found.said("port")), (GOOD.map(Into::into), GOOD.map(Into::into)));
    assert_eq!(found.tls("service/default/s/443").unwrap().server_name, "port");
    assert_eq!(found.tls("service/default/s/8443").unwrap().server_name, "whole");

    let old =
        to("z", "name: s").replace("generation", "creationTimestamp: '2020-01-01T00:00:00Z', generation");
    for (policies, winner, loser) in
        [(&[to("a", "name: s"), to("b", "name: s")], "a", "b"), (&[to("a", "name: s"), old], "z", "a")]
    {
        let found = with(policies);
        assert_eq!(found.said(winner), GOOD);
        assert_eq!(found.said(loser), ["False/Conflicted", "True/ResolvedRefs"]);
        assert_eq!(found.tls("service/default/s/443").unwrap().server_name, winner);
    }
}

#[test]
fn what_does_not_resolve_is_never_sent_to() {
    let reference = |kind: &str, name: &str| format!("{{group: '', kind: {kind}, name: {name}}}");
    let refs = |list: &[String]| format!("hostname: h, caCertificateRefs: [{}]", list.join(", "));
    let (absent, empty) = (reference("ConfigMap", "absent"), reference("ConfigMap", "empty"));
    let no_valid = "False/NoValidCACertificate";
    for (validation, accepted, resolved, says) in [
        (
            refs(std::slice::from_ref(&absent)),
            no_valid,
            "False/InvalidCACertificateRef",
            "absent does not exist",
        ),
        (refs(std::slice::from_ref(&empty)), no_valid, "False/InvalidCACertificateRef", "no PEM certificate"),
        (refs(&[reference("Secret", "ca")]), no_valid, "False/InvalidKind", "name a ConfigMap"),
        (
            "hostname: h, wellKnownCACertificates: x/y".into(),
            "False/Invalid",
            "True/ResolvedRefs",
            "use System",
        ),
        (
            format!("hostname: h, {CA}, subjectAltNames: [{{type: Email}}]"),
            "False/Invalid",
            "True/ResolvedRefs",
            "use Hostname or URI",
        ),
    ] {
        let found = with(&[policy("p", "name: s", &validation), policy("q", "name: epp", &validation)]);
        for name in ["p", "q"] {
            assert_eq!(found.said(name), [accepted, resolved], "{validation}");
            let conditions = &found.reports.policies[&key(name)].conditions;
            assert!(message(conditions, "Accepted").contains(says), "{conditions:?}");
        }
        assert_eq!(found.get("h", "/one"), "500:invalid_backend_tls_policy", "{validation}");
        assert_eq!(shown(found.route("r"), "ResolvedRefs"), "True/ResolvedRefs");
        // The picker is as good as absent, and the pool says why.
        assert_eq!(found.get("h", "/pool"), "500:invalid_endpoint_picker");
        assert_eq!(shown(found.pool("pool"), "ResolvedRefs"), "False/InvalidExtensionRef");
        assert!(
            message(found.pool("pool"), "ResolvedRefs")
                .contains("BackendTLSPolicy default/q: spec.validation")
        );
    }
    // One reference that resolves is enough to verify with.
    let some = refs(&[absent, reference("ConfigMap", "ca"), empty]);
    let found = with(&[policy("p", "name: s", &some)]);
    assert_eq!(found.said("p"), ["True/Accepted", "False/InvalidCACertificateRef"]);
    assert!(found.tls("service/default/s/443").is_some());
}

#[test]
fn targets_that_are_not_there_are_told() {
    let validation = format!("hostname: h, {CA}");
    let found = with(&[policy("p", "name: s, sectionName: three", &validation)]);
    assert_eq!(found.said("p"), ["False/TargetNotFound", "True/ResolvedRefs"]);
    // Nobody here refers to its target: it is not ours to speak of.
    let found = with(&[policy("p", "name: elsewhere", &validation)]);
    assert!(found.reports.policies.is_empty());
}

#[test]
fn a_policy_verifies_the_picker_of_somebody_else_and_not_a_managed_one() {
    let policies = [policy("p", "name: epp, sectionName: grpc", &format!("hostname: epp.example.com, {CA}"))];
    let security = |found: &Resolved| {
        let upstreams = found.ir.clusters.values().map(|cluster| cluster.upstream.clone());
        let mut pickers = upstreams.filter_map(|upstream| match upstream {
            Upstream::Picker(_, _, security) => Some(security),
            _ => None,
        });
        pickers.next().unwrap()
    };
    let found = with(&policies);
    assert_eq!(found.said("p"), GOOD);
    assert_eq!(found.tls("picker/default/epp/9002").unwrap().server_name, "epp.example.com");
    assert_eq!(security(&found), PickerSecurity::TlsByPolicy);
    // It wins over the annotation that says cleartext.
    let annotated = |annotation: &str| {
        let meta = format!("{{name: pool, annotations: {{{annotation}}}}}");
        on_base(&format!(
            "{}{}",
            base().replace("{name: pool}\nspec", &format!("{meta}\nspec")),
            policies.concat()
        ))
    };
    let found = annotated("signalbox.dev/picker-tls: 'false'");
    assert_eq!(security(&found), PickerSecurity::TlsByPolicy);
    let found = annotated("signalbox.dev/picker: managed");
    assert_eq!(security(&found), PickerSecurity::TlsSelfSigned);
    assert_eq!(found.said("p"), ["False/Invalid", "True/ResolvedRefs"]);
}

#[test]
fn what_was_compiled_is_forgotten_when_authorities_come_and_go() {
    let text = base();
    let (before, map) = text.split_once("kind: ConfigMap\nmetadata: {name: ca}").unwrap();
    let (map, after) = map.split_once("\n---\n").unwrap();
    let map = format!("kind: ConfigMap\nmetadata: {{name: ca}}{map}");
    let policy = policy("p", "name: s", &format!("hostname: h, {CA}"));
    let mut world = world(&format!("{BASE}---{before}{after}{policy}"));
    let mut memo = Memo::default();
    let without = resolve_again(&world, &key("gw"), &options(), &mut memo).unwrap();
    assert_eq!(without.get("h", "/one"), "500:invalid_backend_tls_policy");
    add(&mut world, &map);
    let with = resolve_again(&world, &key("gw"), &options(), &mut memo).unwrap();
    assert_eq!(with, resolve(&world, &key("gw"), &options()).unwrap());
    assert_eq!(with.get("h", "/one"), "service/default/s/443");
}
