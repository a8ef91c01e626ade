//! Limits of the CRDs: the field and the message of each refusal.

use crate::source::parse_manifest;

/// Diagnostics of one object as `field: message`.
fn refused(text: &str) -> Vec<String> {
    let manifest = parse_manifest("f.yaml", text.as_bytes());
    assert_eq!(manifest.objects.is_empty(), !manifest.diagnostics.is_empty(), "{text}");
    let show =
        |d: &crate::source::Diagnostic| format!("{}: {}", d.field.as_deref().unwrap_or("-"), d.message);
    manifest.diagnostics.iter().map(show).collect()
}

#[track_caller]
fn cases(template: fn(&str) -> String, cases: &[(&str, &[&str])]) {
    for (part, expected) in cases {
        let text = template(part);
        let found = refused(&text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "{text}\nfound    {found}\nexpected {expected}");
        }
    }
}

#[test]
fn metadata() {
    cases(
        |meta| format!("apiVersion: v1\nkind: Service\nmetadata: {meta}\n"),
        &[
            ("{name: a}", &[]),
            ("{}", &["metadata.name: is required"]),
            ("{generateName: a-}", &["metadata.name: is required"]),
            ("{name: 1a}", &["metadata.name: \"1a\" is not a DNS label that starts with a letter"]),
            ("{name: a, namespace: A.b}", &["metadata.namespace: \"A.b\" is not a DNS label"]),
            ("{name: a, labels: {a: b c}}", &["metadata.labels[a]: \"b c\" is not a label value"]),
            ("{name: a, labels: {a/b/c: d}}", &["metadata.labels[a/b/c]: \"a/b/c\" is not a label key"]),
            (
                "{name: a, annotations: {\"a b\": d}}",
                &["metadata.annotations[a b]: \"a b\" is not a label key"],
            ),
        ],
    );
    let found = refused("apiVersion: v1\nkind: Node\nmetadata: {name: a, namespace: b}\n");
    assert_eq!(found, ["metadata.namespace: a Node has no namespace"]);
}

#[test]
fn inference_pool() {
    cases(
        |spec| {
            format!(
                "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: p}}\nspec: {spec}\n"
            )
        },
        &[
            ("{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}, {number: 65535}]}", &[]),
            (
                "{selector: {matchLabels: {}}, targetPorts: [{number: 1}]}",
                &["spec.selector.matchLabels: must not be empty"],
            ),
            (
                "{selector: {a: b}, targetPorts: [{number: 1}]}",
                &["spec.selector.matchLabels: is required", "spec.selector.a: this field does not exist"],
            ),
            ("{selector: {matchLabels: {a: b}}, targetPorts: []}", &["spec.targetPorts: must not be empty"]),
            (
                "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 0}]}",
                &["spec.targetPorts[0].number: 0 is out of range"],
            ),
            (
                "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 8}, {number: 8}]}",
                &["spec.targetPorts[1].number: port 8 is there twice"],
            ),
            (
                "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}, {number: 2}, {number: 3}, {number: 4}, {number: 5}, {number: 6}, {number: 7}, {number: 8}, {number: 9}]}",
                &["spec.targetPorts: has 9 entries, and 8 are allowed"],
            ),
            (
                "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}], endpointPickerRef: {name: e}}",
                &["spec.endpointPickerRef.port: is required when kind is Service"],
            ),
            (
                "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}], endpointPickerRef: {name: e, kind: Other}}",
                &[],
            ),
            (
                "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}], endpointPickerRef: {name: e, port: {number: 0}}}",
                &["spec.endpointPickerRef.port.number: 0 is out of range"],
            ),
        ],
    );
}

#[test]
fn gateway() {
    cases(
        |listeners| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{gatewayClassName: c, listeners: {listeners}}}\n"
            )
        },
        &[
            ("[{name: a, port: 80, protocol: HTTP}]", &[]),
            ("[]", &["spec.listeners: must not be empty"]),
            ("[{name: a, port: 0, protocol: HTTP}]", &["spec.listeners[0].port: 0 is out of range"]),
            (
                "[{name: a_b, port: 80, protocol: HTTP}]",
                &["spec.listeners[0].name: \"a_b\" is not a DNS name"],
            ),
            (
                "[{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}]",
                &["spec.listeners[1].name: \"a\" is the name of listener 0 too"],
            ),
            (
                "[{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]",
                &["spec.listeners[1]: has the port, protocol and hostname of listener 0"],
            ),
            (
                "[{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP, hostname: x.y}]",
                &[],
            ),
            (
                "[{name: a, port: 80, protocol: HTTP, hostname: '*'}]",
                &["spec.listeners[0].hostname: \"*\" is not a hostname"],
            ),
            (
                "[{name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: s}]}}]",
                &["spec.listeners[0].tls: is not allowed"],
            ),
            (
                "[{name: a, port: 443, protocol: HTTPS, tls: {}}]",
                &["spec.listeners[0].tls.certificateRefs: is required"],
            ),
            ("[{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: s}]}}]", &[]),
            (
                "[{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}]",
                &["spec.listeners[0].tls.mode: must be Terminate"],
            ),
            ("[{name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}}]", &[]),
            ("[{name: a, port: 80, protocol: example.com/other}]", &[]),
        ],
    );
    let many: String = (1..=65).map(|i| format!("  - {{name: l{i}, port: {i}, protocol: HTTP}}\n")).collect();
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec:\n  gatewayClassName: c\n  listeners:\n{many}"
    );
    assert_eq!(refused(&text), ["spec.listeners: has 65 entries, and 64 are allowed"]);
}

fn route(spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {spec}\n"
    )
}

#[test]
fn http_route() {
    cases(
        route,
        &[
            ("{}", &[]),
            ("{rules: []}", &["spec.rules: must not be empty"]),
            ("{hostnames: [a.b, '*.b', 'a:80']}", &["spec.hostnames[2]: \"a:80\" is not a hostname"]),
            ("{parentRefs: [{name: g}, {name: g}]}", &["spec.parentRefs[1]: refers to the same parent"]),
            (
                "{parentRefs: [{name: g}, {name: g, sectionName: s}]}",
                &["spec.parentRefs[1]: two references to one parent"],
            ),
            ("{parentRefs: [{name: g, port: 1}, {name: g, sectionName: s}]}", &[]),
            (
                "{rules: [{matches: [{path: {value: v1}}]}]}",
                &["spec.rules[0].matches[0].path.value: \"v1\" must start with `/`"],
            ),
            ("{rules: [{matches: [{path: {type: RegularExpression, value: 'v.*'}}]}]}", &[]),
            ("{rules: [{matches: [{path: {type: Later, value: 'v.*'}}]}]}", &[]),
            (
                "{rules: [{matches: [{headers: [{name: 'a b', value: x}]}]}]}",
                &["spec.rules[0].matches[0].headers[0].name: \"a b\" is not an HTTP header name"],
            ),
            (
                "{rules: [{matches: [{headers: [{name: a, value: ''}]}]}]}",
                &["spec.rules[0].matches[0].headers[0].value: must not be empty"],
            ),
            (
                "{rules: [{matches: [{queryParams: [{name: a, value: x}, {name: a, value: y}]}]}]}",
                &["spec.rules[0].matches[0].queryParams[1].name: \"a\" is there twice"],
            ),
            (
                "{rules: [{backendRefs: [{name: s}]}]}",
                &["spec.rules[0].backendRefs[0].port: is required for a Service"],
            ),
            (
                "{rules: [{backendRefs: [{name: p, kind: InferencePool, group: inference.networking.k8s.io}]}]}",
                &[],
            ),
            (
                "{rules: [{backendRefs: [{name: s, port: 80, weight: 1000001}]}]}",
                &["spec.rules[0].backendRefs[0].weight: 1000001 is out of range"],
            ),
            (
                "{rules: [{backendRefs: [{name: s, port: 80, weight: -1}]}]}",
                &["spec.rules[0].backendRefs[0].weight: -1 is out of range"],
            ),
            ("{rules: [{timeouts: {request: 1h30m, backendRequest: 10s}}]}", &[]),
            (
                "{rules: [{timeouts: {request: 1.5s}}]}",
                &["spec.rules[0].timeouts.request: \"1.5s\" is not a duration"],
            ),
            (
                "{rules: [{timeouts: {request: 1s, backendRequest: 2s}}]}",
                &["spec.rules[0].timeouts.backendRequest: must not be longer"],
            ),
            ("{rules: [{timeouts: {request: 0s, backendRequest: 2s}}]}", &[]),
            ("{rules: [{name: a}, {name: a}]}", &["spec.rules[1].name: \"a\" is the name of rule 0 too"]),
        ],
    );
}

#[test]
fn http_route_limits() {
    let rules = |count: usize, matches: usize| {
        let matches = vec!["{path: {value: /}}"; matches].join(", ");
        route(&format!("{{rules: [{}]}}", vec![format!("{{matches: [{matches}]}}"); count].join(", ")))
    };
    assert_eq!(refused(&rules(16, 8)), [""; 0]);
    assert_eq!(refused(&rules(2, 64)), [""; 0]);
    assert_eq!(refused(&rules(17, 1)), ["spec.rules: has 17 entries, and 16 are allowed"]);
    assert_eq!(refused(&rules(1, 65)), ["spec.rules[0].matches: has 65 entries, and 64 are allowed"]);
    assert_eq!(refused(&rules(16, 9)), ["spec.rules: has 144 matches in all rules, and 128 are allowed"]);
}

#[test]
fn filters() {
    cases(
        |filters| route(&format!("{{rules: [{{filters: {filters}}}]}}")),
        &[
            (
                "[{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}}]",
                &[],
            ),
            ("[{type: Later}]", &[]),
            ("[{type: CORS, cors: {allowOrigins: ['*']}}]", &[]),
            ("[{requestRedirect: {}}]", &["spec.rules[0].filters[0].type: is required"]),
            (
                "[{type: URLRewrite}]",
                &["spec.rules[0].filters[0].urlRewrite: is required for type URLRewrite"],
            ),
            (
                "[{type: URLRewrite, urlRewrite: {}, cors: {}}]",
                &["spec.rules[0].filters[0].cors: does not belong to type URLRewrite"],
            ),
            (
                "[{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]",
                &["spec.rules[0].filters[1]: URLRewrite is there twice"],
            ),
            (
                "[{type: URLRewrite, urlRewrite: {hostname: '*.a'}}]",
                &["spec.rules[0].filters[0].urlRewrite.hostname: \"*.a\" is not a hostname"],
            ),
            (
                "[{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}]",
                &["spec.rules[0].filters[0].urlRewrite.path.replaceFullPath: is required"],
            ),
            (
                "[{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]",
                &[],
            ),
            (
                "[{type: RequestRedirect, requestRedirect: {scheme: ftp, statusCode: 200, port: 0}}]",
                &[
                    "spec.rules[0].filters[0].requestRedirect.scheme: must be http or https",
                    "spec.rules[0].filters[0].requestRedirect.statusCode: must be 301",
                    "spec.rules[0].filters[0].requestRedirect.port: 0 is out of range",
                ],
            ),
            (
                "[{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]",
                &["spec.rules[0].filters: RequestRedirect and URLRewrite"],
            ),
            (
                "[{type: RequestMirror, requestMirror: {backendRef: {name: s}}}]",
                &["spec.rules[0].filters[0].requestMirror.backendRef.port: is required"],
            ),
            (
                "[{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 1}, percent: 101}}]",
                &["spec.rules[0].filters[0].requestMirror.percent: 101 is out of range"],
            ),
            (
                "[{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 1}, fraction: {numerator: 2, denominator: 1}}}]",
                &["spec.rules[0].filters[0].requestMirror.fraction.numerator: must not exceed"],
            ),
            (
                "[{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: 'a:', value: b}], remove: [c, c]}}]",
                &[
                    "spec.rules[0].filters[0].requestHeaderModifier.set[0].name: \"a:\" is not an HTTP header name",
                    "spec.rules[0].filters[0].requestHeaderModifier.remove[1]: \"c\" is there twice",
                ],
            ),
        ],
    );
    let found = refused(&route(
        "{rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: s, port: 1}]}]}",
    ));
    assert_eq!(found, ["spec.rules[0].backendRefs: must be empty where a RequestRedirect filter answers"]);
    let found = refused(&route(
        "{rules: [{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: \
         {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}]}",
    ));
    assert_eq!(
        found,
        [
            "spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch: needs exactly one match in the rule, of type PathPrefix"
        ]
    );
}

#[test]
fn other_kinds() {
    cases(
        str::to_owned,
        &[
            (
                "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, spec: {controllerName: a}}",
                &["spec.controllerName: \"a\" is not a controller name"],
            ),
            (
                "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g}, spec: {from: [], to: [{group: '', kind: Secret}]}}",
                &["spec.from: must not be empty"],
            ),
            (
                "{apiVersion: llm-d.ai/v1alpha2, kind: InferenceObjective, metadata: {name: o}, spec: {priority: 1, poolRef: {name: ''}}}",
                &["spec.poolRef.name: must not be empty"],
            ),
            (
                "{apiVersion: llm-d.ai/v1alpha2, kind: InferenceModelRewrite, metadata: {name: o}, spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: m, weight: 0}]}]}}",
                &["spec.rules[0].targets[0].weight: 0 is out of range"],
            ),
            (
                "{apiVersion: llm-d.ai/v1alpha2, kind: InferenceModelRewrite, metadata: {name: o}, spec: {poolRef: {name: p}, rules: [{targets: []}]}}",
                &["spec.rules[0].targets: must have at least one target"],
            ),
            (
                "{apiVersion: inference.networking.x-k8s.io/v1alpha2, kind: InferenceModel, metadata: {name: m}, spec: {modelName: '', poolRef: {name: p}, targetModels: [{name: a, weight: 1}, {name: b}]}}",
                &["spec.modelName: must not be empty", "spec.targetModels: weights must be given for all"],
            ),
            (
                "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 1}, {port: 2, name: a, targetPort: http}]}}",
                &["spec.ports[0].name: is required"],
            ),
            (
                "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, addressType: IPv4, endpoints: [{addresses: ['::1']}]}",
                &["endpoints[0].addresses[0]: \"::1\" is not an address of type IPv4"],
            ),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {podIP: x}}",
                &["status.podIP: \"x\" is not an IP address"],
            ),
            (
                "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: 'plain text'}}",
                &["data[a]: is not base64"],
            ),
        ],
    );
}

#[test]
fn backend_tls_policy() {
    cases(
        |spec| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
            )
        },
        &[
            (
                "{targetRefs: [{group: '', kind: Service, name: a, sectionName: x}, {group: '', kind: Service, name: a, \
                 sectionName: y}], validation: {hostname: a.b, wellKnownCACertificates: System}}",
                &[],
            ),
            (
                "{targetRefs: [{group: '', kind: Service, name: a}, {group: '', kind: Service, name: a}], validation: \
                 {caCertificateRefs: [{group: '', kind: ConfigMap, name: c}], wellKnownCACertificates: System, hostname: \
                 '*.b', subjectAltNames: [{type: Hostname}, {type: URI, uri: a}]}}",
                &[
                    "spec.targetRefs[1].sectionName: must be given, and differ",
                    "spec.validation.caCertificateRefs: must be given, or wellKnownCACertificates",
                    "spec.validation.hostname: \"*.b\" is not a hostname",
                    "spec.validation.subjectAltNames[0].hostname: \"\" is not a hostname",
                    "spec.validation.subjectAltNames[1].uri: must be a URI",
                ],
            ),
            (
                "{targetRefs: [], validation: {hostname: a}}",
                &["spec.targetRefs: must not be empty", "spec.validation.caCertificateRefs: must be given"],
            ),
        ],
    );
}
