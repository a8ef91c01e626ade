//! A socket with very many hostnames, in a real Envoy.

use std::collections::BTreeSet;

use axum::body::Body;
use control_plane::{
    gateway::ir::*,
    translate::{Cache, Settings, snapshot},
    xds::{ResourceType, Snapshot},
};

use crate::{
    building::*,
    stack::{PORT, Stack, Upstreams, address},
};

/// Hostnames of their own, each with a model; a wildcard, with another and a redirect; one that takes upgrades.
fn many(hosts: usize) -> HttpListener {
    let own = |n: usize| {
        let mut own = host(
            &format!("team-{n}.example.com"),
            vec![
                route("own", "/", only(service("apps/a"))).model("m1"),
                route("up", "/up", only(service("apps/b"))),
            ],
        );
        own.models = models(&["m1"]);
        own
    };
    let redirect =
        Redirect { scheme: Some("https".to_owned()), hostname: None, path: None, port: None, status: 301 };
    let mut any = host(
        "*.example.com",
        vec![
            route("any", "/v1", only(service("apps/b"))).model("m2"),
            route("redirect", "/", Action::Redirect(redirect)),
        ],
    );
    any.models = models(&["m2"]);
    let socket = host("socket.example.com", vec![route("ws", "/", only(service("apps/ws")))]);
    let mut hosts: Vec<_> = (0..hosts).map(own).chain([any, socket]).collect();
    hosts.sort_by(|a, b| a.hostname.cmp(&b.hostname));
    HttpListener { model_headers: vec!["x-gateway-model-name".to_owned()], ..http(hosts) }
}

fn routes(snapshot: &Snapshot) -> Vec<String> {
    snapshot.of(ResourceType::Route).map(|r| r.name.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_host_is_found_in_its_part() {
    let (mut upstreams, at) = (Upstreams::default(), address());
    let (a, b, ws) = (upstreams.echo("a").await, upstreams.echo("b").await, upstreams.echo("ws").await);
    let case = case(vec![listener(PORT, &[&at], many(300))])
        .service("apps/a", Protocol::Http1, &[&a])
        .service("apps/b", Protocol::Http1, &[&b])
        .service("apps/ws", Protocol::WebSocket, &[&ws]);
    let stack = Stack::start(&case, &at, &Settings::default()).await;
    let large = format!(r#"{{"prompt":"{}","model":"m1"}}"#, "x".repeat(1 << 20));
    let json = ("content-type", "application/json");
    for (host, path, body, status, backend) in [
        ("team-7.example.com", "/v1/completions", r#"{"model":"m1"}"#, 200, "a"),
        ("TEAM-299.Example.com:8080", "/v1/completions", r#"{"model":"m1"}"#, 200, "a"),
        ("team-0.example.com", "/v1/completions", &large, 200, "a"),
        ("team-0.example.com", "/v1/completions", r#"{"model":"m2"}"#, 404, "model_not_found"),
        ("team-0.example.com", "/up", "x", 200, "b"),
        ("team-300.example.com", "/v1/completions", r#"{"model":"m2"}"#, 200, "b"),
        ("a.b.example.com", "/v1/completions", r#"{"model":"m2"}"#, 200, "b"),
        ("socket.example.com", "/", "x", 200, "ws"),
        ("example.org", "/v1/completions", r#"{"model":"m1"}"#, 404, "route_not_found"),
    ] {
        let sent = [("host", host), json, ("x-signalbox-routes", "http-8080/wildcards")];
        let answer = stack.send("POST", path, &sent, Body::from(body.to_owned())).await;
        assert_eq!(answer.status, status, "{host} {path} {answer:?}");
        if status == 200 {
            assert_eq!(answer.json()["backend"], backend, "{host} {path}");
            assert_eq!(answer.received("x-signalbox-routes"), None);
        } else {
            assert_eq!(answer.reason(), backend, "{host} {path}");
        }
    }
    for n in 0..300 {
        let host = format!("team-{n}.example.com");
        let answer = stack.send("GET", "/up", &[("host", &host)], Body::empty()).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    let answer = stack.send("GET", "/x", &[("host", "c.example.com")], Body::empty()).await;
    assert_eq!(answer.headers["location"], "https://c.example.com/x");
    stack.assert_no_script_errors();
}

#[test]
fn a_change_costs_a_part() {
    let translate = |http: HttpListener, previous: Option<&Snapshot>| {
        let case = case(vec![listener(80, &[], http)]).service("apps/ws", Protocol::WebSocket, &[]);
        snapshot(&case.ir, &case.endpoints, &Settings::default(), previous, &mut Cache::default())
    };
    let first = translate(many(300), None);
    let next = translate(many(301), Some(&first));
    let of = |s: &Snapshot| -> BTreeSet<_> {
        s.of(ResourceType::Route).map(|r| (r.name.clone(), r.version)).collect()
    };
    let changed: Vec<_> = of(&next).difference(&of(&first)).map(|(name, _)| name.clone()).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let others = [ResourceType::Listener, ResourceType::Scope];
    let versions = |s: &Snapshot, kind| s.of(kind).map(|r| r.version).collect::<Vec<_>>();
    for kind in others {
        assert_eq!(versions(&first, kind), versions(&next, kind));
    }
    assert_eq!(
        versions(&first, others[0]),
        versions(&translate(many(3), None), others[0]),
        "connections stay"
    );
    assert_eq!(routes(&first).len(), 130);
}

#[test]
fn few_hosts_and_late_upgrades_stay_in_one_piece() {
    let translate = |http| {
        let case = case(vec![listener(80, &[], http)]).service("apps/ws", Protocol::WebSocket, &[]);
        routes(&snapshot(&case.ir, &case.endpoints, &Settings::default(), None, &mut Cache::default()))
    };
    assert_eq!(translate(many(254)), ["http-80"]);
    assert_eq!(translate(many(255)).len(), 130, "one takes upgrades");
    let mut http = many(300);
    http.virtual_hosts.push(host("*.ws.example.com", vec![route("r", "/", only(service("apps/ws")))]).into());
    assert_eq!(translate(http), ["http-80"]);
}
