//! Properties: precedence is a total order, and neither the order in which objects are read nor that of listeners and
//! matches of equal rank changes what is decided.

use proptest::prelude::*;

use super::*;
use crate::gateway::precedence::{Age, Precedence};

fn arbitrary_match() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        Just(String::new()),
        "/[ab]{0,2}".prop_map(|p| format!("path: {{type: Exact, value: {p}}}, ")),
        "/[ab]{0,2}".prop_map(|p| format!("path: {{value: {p}}}, ")),
        "/[ab]{0,2}".prop_map(|p| format!("path: {{type: RegularExpression, value: '{p}.*'}}, ")),
    ];
    let method = prop_oneof![Just(""), Just("method: GET, "), Just("method: PUT, ")];
    (path, method, 0..3_usize, 0..2_usize).prop_map(|(path, method, headers, query)| {
        let list =
            |n: usize| (0..n).map(|i| format!("{{name: n{i}, value: v}}")).collect::<Vec<_>>().join(", ");
        format!("{{{path}{method}headers: [{}], queryParams: [{}]}}", list(headers), list(query))
    })
}

fn arbitrary_route() -> impl Strategy<Value = String> {
    let hostnames = prop_oneof![Just("[]"), Just("[x.a.com]"), Just("['*.a.com', b.com]")];
    let time = prop_oneof![Just(""), Just("'2026-01-01T00:00:00Z'"), Just("'2026-01-02T00:00:00Z'")];
    let backend = prop_oneof![
        Just("name: a, port: 80"),
        Just("name: p, kind: InferencePool"),
        Just("name: nope, port: 1")
    ];
    (hostnames, time, prop::collection::vec(arbitrary_match(), 1..3), backend).prop_map(
        |(hostnames, time, matches, backend)| {
            let time = if time.is_empty() { String::new() } else { format!(", creationTimestamp: {time}") };
            format!(
                "kind: HTTPRoute\nmetadata: {{name: NAME{time}}}\nspec:\n  parentRefs: [{{name: gw}}]\n  hostnames: {hostnames}\n  \
                 rules: [{{matches: [{}], backendRefs: [{{{backend}}}]}}]",
                matches.join(", ")
            )
        },
    )
}

const GATEWAY: &str = "
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: c
  listeners:
  - {name: a, port: 80, protocol: HTTP, hostname: '*.a.com'}
  - {name: any, port: 80, protocol: HTTP}
---
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---
kind: InferencePool
metadata: {name: p}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}]}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_order_of_objects_changes_nothing(
        routes in prop::collection::vec(arbitrary_route(), 1..6),
        swaps in prop::collection::vec((0..8_usize, 0..8_usize), 0..8),
    ) {
        let routes = routes.iter().enumerate().map(|(i, route)| route.replace("NAME", &format!("r{i}")));
        let mut documents: Vec<String> = GATEWAY.split("\n---").map(ToOwned::to_owned).chain(routes).collect();
        let first = resolved(&documents.join("\n---\n"), "gw");
        for (a, b) in swaps {
            let n = documents.len();
            documents.swap(a % n, b % n);
        }
        let second = resolved(&documents.join("\n---\n"), "gw");
        prop_assert_eq!(first, second);
    }

    #[test]
    fn listeners_in_any_order_serve_the_same(routes in prop::collection::vec(arbitrary_route(), 1..6)) {
        let routes: String =
            routes.iter().enumerate().map(|(i, r)| format!("\n---\n{}", r.replace("NAME", &format!("r{i}")))).collect();
        let lines: Vec<&str> = GATEWAY.lines().collect();
        let mut swapped = lines.clone();
        swapped.swap(6, 7);
        let [first, second] = [lines, swapped].map(|lines| resolved(&format!("{}{routes}", lines.join("\n")), "gw").ir);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn precedence_is_a_total_order(matches in prop::collection::vec(arbitrary_match(), 2..5)) {
        let manifests = format!(
            "{GATEWAY}\n---\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{{matches: [{}]}}]}}",
            matches.join(", ")
        );
        let resolved = resolved(&manifests, "gw");
        let host = resolved.port(80).virtual_hosts.iter().find(|host| host.hostname == "*").expect("host");
        let route = Arc::new(key("r"));
        let places: Vec<Precedence> = host
            .routes
            .iter()
            .map(|r| {
                let position = r.name.rsplit('/').next().and_then(|n| n.parse().ok()).expect("position");
                Precedence::new(&r.matches, Age::Unknown, &route, 0, position)
            })
            .collect();
        prop_assert_eq!(places.len(), matches.len());
        prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "strictly increasing: no two are equal");
    }
}
