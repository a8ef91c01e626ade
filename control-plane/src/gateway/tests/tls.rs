//! Listeners at which TLS ends.

use super::*;

/// A Secret with a certificate of its own.
fn secret(name: &str) -> String {
    let pair = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    secret_of(name, &pair.cert.pem(), &pair.signing_key.serialize_pem())
}

fn secret_of(key: &str, chain: &str, private: &str) -> String {
    let key = super::key(key);
    let data = serde_json::json!({"tls.crt": chain, "tls.key": private});
    let (namespace, name) = (&key.namespace, &key.name);
    format!(
        "\n---\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ntype: kubernetes.io/tls\nstringData: {data}"
    )
}

/// The port of the first HTTPS listener with references to certificates, and manifests.
fn listener(references: &str, manifests: &str) -> Resolved {
    let gateway = format!(
        "kind: Gateway\nmetadata: {{name: gw}}\nspec: {{gatewayClassName: c, listeners: [{{name: a, port: 443, \
         protocol: HTTPS, tls: {{certificateRefs: [{references}]}}}}]}}"
    );
    resolved(&format!("{gateway}{manifests}"), "gw")
}

#[test]
fn certificates_resolve_or_say_why() {
    let one = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap();
    let mixed = secret_of("s", &one.cert.pem(), &other.signing_key.serialize_pem());
    let grant = |to: &str| {
        format!(
            "\n---\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: other}}\nspec: {{from: [{{group: \
             gateway.networking.k8s.io, kind: Gateway, namespace: default}}], to: [{{group: '', kind: {to}}}]}}"
        )
    };
    let there = secret("other/s");
    for (references, manifests, resolved, served, says) in [
        ("{name: s}", secret("s"), "True/ResolvedRefs", 1, "all references resolve"),
        ("{name: s}", String::new(), "False/InvalidCertificateRef", 0, "there is no Secret default/s"),
        ("{name: s}, {name: t}", secret("s"), "False/InvalidCertificateRef", 1, "certificateRefs[1]"),
        ("{name: s}, {name: s}", secret("s"), "True/ResolvedRefs", 1, ""),
        ("{name: s, kind: ConfigMap}", secret("s"), "False/InvalidCertificateRef", 0, "name a Secret"),
        ("{name: s, group: x.y}", secret("s"), "False/InvalidCertificateRef", 0, "name a Secret"),
        ("{name: s}", secret_of("s", "x", "x"), "False/InvalidCertificateRef", 0, "no PEM certificate"),
        ("{name: s}", secret_of("s", &one.cert.pem(), "x"), "False/InvalidCertificateRef", 0, "private key"),
        ("{name: s}", mixed, "False/InvalidCertificateRef", 0, "do not belong together"),
        ("", String::new(), "False/InvalidCertificateRef", 0, "is empty; name a Secret"),
        ("{name: s, namespace: other}", there.clone(), "False/RefNotPermitted", 0, "no ReferenceGrant"),
        (
            "{name: s, namespace: other}",
            there.clone() + &grant("ConfigMap"),
            "False/RefNotPermitted",
            0,
            "no ReferenceGrant",
        ),
        ("{name: s, namespace: other}", there + &grant("Secret"), "True/ResolvedRefs", 1, ""),
    ] {
        let found = listener(references, &manifests);
        let report = &found.reports.gateway.listeners[0];
        assert_eq!(shown(&report.conditions, "ResolvedRefs"), resolved, "{references}");
        let message = message(&report.conditions, "ResolvedRefs");
        assert!(message.contains(says), "{references}: {message}");
        assert_eq!(found.ir.listeners.len(), served, "{references}");
        assert_eq!(found.ir.certificates.len(), served, "{references}");
        assert_eq!(report.served, served == 1, "{references}");
        assert_eq!(shown(&report.conditions, "Accepted"), "True/Accepted", "{references}");
    }
}

#[test]
fn tls_is_not_passed_through_https_listeners() {
    let gateway = "kind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: c, listeners: [{name: a, port: 443, \
                   protocol: HTTPS, tls: {mode: Passthrough}}]}";
    let found = resolved(gateway, "gw");
    let conditions = &found.reports.gateway.listeners[0].conditions;
    assert_eq!(shown(conditions, "Accepted"), "False/UnsupportedValue");
    assert!(message(conditions, "Accepted").contains("(a).tls.mode: an HTTPS listener"), "{conditions:?}");
}

/// The listeners and routes of the conformance test HTTPRouteHTTPSListenerDetectMisdirectedRequests.
#[test]
fn requests_on_a_connection_for_another_listener_are_misdirected() {
    let listeners = [("a", ""), ("b", "second.org"), ("c", "*.wild.org"), ("d", "fourth.wild.org")];
    let listeners = listeners.map(|(name, host)| {
        format!(
            "{{name: {name}, port: 443, protocol: HTTPS, hostname: '{host}', tls: {{certificateRefs: [{{name: s}}]}}}}"
        )
    });
    let route = |name: &str, hosts: &str| {
        format!(
            "\n---\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{parentRefs: [{{name: gw, sectionName: {name}}}], \
             hostnames: [{hosts}], rules: [{{filters: [{{type: RequestRedirect, requestRedirect: {{hostname: \
             to.{name}.org}}}}]}}]}}"
        )
    };
    let gateway = format!(
        "kind: Gateway\nmetadata: {{name: gw}}\nspec: {{gatewayClassName: c, listeners: [{}]}}",
        listeners.join(", ")
    );
    let routes = [route("a", "example.org"), route("b", ""), route("c", ""), route("d", "")].concat();
    let found = resolved(&format!("{gateway}{}{routes}", secret("s")), "gw");
    let to = |name: &str| format!("302 ://to.{name}.org");
    for (server_name, host, expected) in [
        ("example.org", "example.org", to("a")),
        ("example.org", "second.org", "421:misdirected_request".into()),
        ("example.org", "unknown.org", "404".into()),
        ("second.org", "second.org", to("b")),
        ("second.org", "example.org", "421:misdirected_request".into()),
        ("second.org", "unknown.org", "421:misdirected_request".into()),
        ("third.wild.org", "third.wild.org", to("c")),
        ("third.wild.org", "fifth.wild.org", to("c")),
        ("third.wild.org", "fourth.wild.org", "421:misdirected_request".into()),
        ("third.wild.org", "unknown.org", "421:misdirected_request".into()),
        ("fourth.wild.org", "fourth.wild.org", to("d")),
        ("fourth.wild.org", "fifth.wild.org", "421:misdirected_request".into()),
        ("unknown.org", "example.org", to("a")),
        ("", "unknown.org", "404".into()),
    ] {
        assert_eq!(ask_tls(&found, server_name, host, "/"), expected, "{server_name}, {host}");
    }
}

#[test]
fn redirects_leave_out_the_port_that_the_scheme_has() {
    for (port, redirect, expected) in [
        (443, "{hostname: to.org}", "302 ://to.org"),
        (8443, "{hostname: to.org}", "302 ://to.org:8443"),
        (443, "{hostname: to.org, port: 443}", "302 ://to.org"),
        (443, "{hostname: to.org, port: 80}", "302 ://to.org:80"),
        (8443, "{hostname: to.org, scheme: https}", "302 https://to.org"),
        (443, "{hostname: to.org, scheme: http, port: 80}", "302 http://to.org"),
    ] {
        let gateway = format!(
            "kind: Gateway\nmetadata: {{name: gw}}\nspec: {{gatewayClassName: c, listeners: [{{name: a, port: {port}, \
             protocol: HTTPS, tls: {{certificateRefs: [{{name: s}}]}}}}]}}\n---\nkind: HTTPRoute\nmetadata: {{name: r}}\n\
             spec: {{parentRefs: [{{name: gw}}], rules: [{{filters: [{{type: RequestRedirect, requestRedirect: \
             {redirect}}}]}}]}}"
        );
        let found = resolved(&format!("{gateway}{}", secret("s")), "gw");
        assert_eq!(ask_tls(&found, "", "from.org", "/"), expected, "{port} {redirect}");
    }
}
