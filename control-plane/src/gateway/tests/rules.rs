//! Matches and their precedence.

use super::*;

fn rules(rules: &str) -> Resolved {
    on_base(&format!(
        "kind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs: [{{name: gw}}]\n  rules:{rules}"
    ))
}

#[test]
fn the_first_of_equal_names_counts() {
    let resolved = rules(
        "
  - matches:
    - headers: [{name: X-A, value: '1'}, {name: x-a, value: '2'}]
      queryParams: [{name: q, value: '1'}, {name: q, value: '2'}, {name: Q, value: '3'}]
    backendRefs: [{name: a, port: 80}]",
    );
    let matches = &resolved.port(80).virtual_hosts[0].routes[0].matches;
    assert_eq!((matches.headers.len(), matches.query.len()), (1, 2));
    assert_eq!(resolved.ask(80, "x", "GET", "/?q=1&Q=3", &[("x-a", "1")]), "service/default/a/80");
    assert_eq!(resolved.ask(80, "x", "GET", "/?q=2&Q=3", &[("x-a", "1")]), "404");
}

#[test]
fn what_cannot_be_matched_is_told() {
    for (m, field) in [
        ("path: {value: v1}", "path.value"),
        ("path: {value: /a//b}", "path.value"),
        ("path: {value: /a/..}", "path.value"),
        ("path: {type: Glob, value: /a}", "path.type"),
        ("path: {type: RegularExpression, value: '(a'}", "path.value"),
        ("headers: [{name: 'a b', value: x}]", "headers[0].name"),
        ("headers: [{name: a, type: RegularExpression, value: 'a(?=b)'}]", "headers[0].value"),
        ("queryParams: [{name: a, type: Prefix, value: x}]", "queryParams[0].type"),
        ("method: get", "method"),
    ] {
        let resolved = rules(&format!("\n  - {{matches: [{{{m}}}], backendRefs: [{{name: a, port: 80}}]}}"));
        let route = resolved.route("r");
        assert_eq!(shown(route, "Accepted"), "False/UnsupportedValue", "{m}");
        assert!(
            message(route, "Accepted").starts_with(&format!("spec.rules[0].matches[0].{field}: ")),
            "{m}"
        );
        assert_eq!(resolved.get("x", "/a"), "404", "{m}");
    }
}

#[test]
fn absent_rules_match_everything_and_empty_rules_nothing() {
    let absent = on_base("kind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: gw}]}");
    assert_eq!(absent.get("x", "/any"), "500:no_backends");
    let empty = on_base("kind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: gw}], rules: []}");
    assert_eq!(empty.get("x", "/any"), "404");
    assert_eq!(shown(empty.route("r"), "Accepted"), "True/Accepted");
}

/// Each match outranks the next, wherever they stand.
#[test]
fn precedence_within_a_route() {
    let ordered = [
        "path: {type: Exact, value: /a}, method: GET, headers: [{name: x, value: y}]",
        "path: {type: Exact, value: /a}, method: GET",
        "path: {type: Exact, value: /a}, headers: [{name: x, value: y}, {name: z, value: y}]",
        "path: {type: Exact, value: /a}, headers: [{name: x, value: y}], queryParams: [{name: a, value: b}]",
        "path: {type: Exact, value: /a}, headers: [{name: x, value: y}]",
        "path: {type: Exact, value: /a}, queryParams: [{name: a, value: b}, {name: b, value: b}]",
        "path: {type: Exact, value: /a}, queryParams: [{name: a, value: b}]",
        "path: {type: Exact, value: /a}",
        "path: {type: RegularExpression, value: '/a.*b'}",
        "path: {type: RegularExpression, value: '/a.*'}",
        "path: {value: /abc/}",
        "path: {value: /ab}, method: GET",
        "path: {value: /ab}",
        "headers: [{name: x, value: y}]",
        "path: {value: /}",
    ];
    let reversed: String = ordered
        .iter()
        .rev()
        .map(|m| format!("\n  - {{matches: [{{{m}}}], backendRefs: [{{name: a, port: 80}}]}}"))
        .collect();
    let resolved = rules(&reversed);
    let names: Vec<&str> =
        resolved.port(80).virtual_hosts[0].routes.iter().map(|route| &*route.name).collect();
    let expected: Vec<String> =
        (0..ordered.len()).rev().map(|rule| format!("httproute/default/r/rule/{rule}/match/0")).collect();
    assert_eq!(names, expected);
}

#[test]
fn precedence_across_routes() {
    let route = |name: &str, time: &str| {
        format!(
            "\n---\nkind: HTTPRoute\nmetadata: {{name: {name}{time}}}\nspec:\n  parentRefs: [{{name: gw}}]\n  rules: \
             [{{matches: [{{method: GET}}, {{method: PUT}}]}}, {{matches: [{{method: GET}}]}}]"
        )
    };
    let time = |text: &str| format!(", creationTimestamp: '{text}'");
    let routes = [
        route("a", ""),
        route("b", &time("2026-01-02T00:00:00Z")),
        route("z", &time("2026-01-01T00:00:00Z")),
        route("c", &time("2026-01-02T00:00:00Z")),
    ];
    let resolved = on_base(&routes.concat());
    let places = resolved.port(80).virtual_hosts[0].routes.iter().map(|route| {
        let parts: Vec<&str> = route.name.split('/').collect();
        format!("{}{}{}", parts[2], parts[4], parts[6])
    });
    let expected: Vec<String> = ["z", "b", "c", "a"]
        .iter()
        .flat_map(|name| ["00", "01", "10"].map(|n| format!("{name}{n}")))
        .collect();
    assert_eq!(places.collect::<Vec<_>>(), expected);
}
