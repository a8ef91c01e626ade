//! Rewrites, redirects and header changes, in a real Envoy.

use axum::body::Body;
use control_plane::{gateway::ir::*, translate::Settings};

use crate::{
    building::*,
    stack::{PORT, Stack, Upstreams, address},
};

fn prefix(to: &str) -> Option<PathChange> {
    Some(PathChange::Prefix(to.to_owned()))
}

fn full(to: &str) -> Option<PathChange> {
    Some(PathChange::Full(to.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_rewritten() {
    let (mut upstreams, at) = (Upstreams::default(), address());
    let echo = upstreams.echo("a").await;
    // The route's path, the change, what is asked for, what arrives.
    let table = [
        ("/drop", prefix("/"), "/drop", "/"),
        ("/drop", prefix("/"), "/drop/a?q=1", "/a?q=1"),
        ("/empty.d", prefix(""), "/empty.d/a/b", "/a/b"),
        ("/prefix", prefix("/other/"), "/prefix/a", "/other/a"),
        ("/prefix", prefix("/other"), "/prefix", "/other"),
        ("=/exact", full("/one\\1"), "/exact?q=1", "/one\\1?q=1"),
        ("~/re/[0-9]+", full("/two"), "/re/42", "/two"),
        ("/", prefix("/under"), "/a/b", "/under/a/b"),
    ];
    let routes = table.iter().map(|(path, change, ..)| {
        let mut forward = forward(vec![to(Ok(service("apps/a")), 1)]);
        forward.rewrite.path.clone_from(change);
        route("r", path, Action::Forward(forward))
    });
    let hosts = vec![host("*", routes.collect())];
    let case = case(vec![listener(PORT, &[&at], http(hosts))]).service("apps/a", Protocol::Http1, &[&echo]);
    let stack = Stack::start(&case, &at, &Settings::default()).await;
    for (_, _, asked, arrives) in table {
        let answer = stack.send("GET", asked, &[], Body::empty()).await;
        assert_eq!(answer.json()["uri"], arrives, "{asked}");
    }
    let answer = stack.send("GET", "/prefixed", &[], Body::empty()).await;
    assert_eq!(answer.json()["uri"], "/under/prefixed", "whole segments only");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_show_where_to() {
    let at = address();
    let redirect = |path: &str, change, port, status| {
        let redirect = Redirect {
            scheme: Some("https".to_owned()),
            hostname: Some("new.example.com".to_owned()),
            path: change,
            port,
            status,
        };
        route("r", path, Action::Redirect(redirect))
    };
    let routes = vec![
        redirect("/same", None, None, 301),
        redirect("/port", None, Some(8443), 302),
        redirect("/full", full("/new"), None, 303),
        redirect("/prefix", prefix("/new/"), None, 307),
        redirect("/drop", prefix("/"), None, 308),
    ];
    let case = case(vec![listener(PORT, &[&at], http(vec![host("*", routes)]))]);
    let stack = Stack::start(&case, &at, &Settings::default()).await;
    for (asked, status, location) in [
        ("/same/a?q=1", 301, "https://new.example.com/same/a?q=1"),
        ("/port", 302, "https://new.example.com:8443/port"),
        ("/full/a?q=1", 303, "https://new.example.com/new?q=1"),
        ("/prefix/a", 307, "https://new.example.com/new/a"),
        ("/drop/a", 308, "https://new.example.com/a"),
        ("/drop", 308, "https://new.example.com/"),
    ] {
        let answer = stack.send("GET", asked, &[], Body::empty()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.headers["location"].to_str().unwrap()),
            (status, location)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_change_on_both_ways() {
    let (mut upstreams, at) = (Upstreams::default(), address());
    let echo = upstreams.echo("a").await;
    let mut backend = to(Ok(service("apps/a")), 1);
    backend.request_headers = changes(&[("x-set", "50%"), ("x-empty", "")], &[("x-add", "2")], &["x-gone"]);
    backend.response_headers = changes(&[("x-answer", "backend")], &[], &["content-length"]);
    let mut route = route("r", "/", Action::Forward(forward(vec![backend])));
    route.response_headers = changes(&[("x-answer", "rule"), ("x-rule", "%HOSTNAME%")], &[], &[]);
    let case = case(vec![listener(PORT, &[&at], http(vec![host("*", vec![route])]))]).service(
        "apps/a",
        Protocol::Http1,
        &[&echo],
    );
    let stack = Stack::start(&case, &at, &Settings::default()).await;
    let sent = [("x-set", "old"), ("x-add", "1"), ("x-gone", "1"), ("x_under", "1")];
    let answer = stack.send("GET", "/", &sent, Body::empty()).await;
    for (name, value) in [
        ("x-set", Some("50%")),
        ("x-empty", Some("")),
        // The echo shows the last of several.
        ("x-add", Some("2")),
        ("x-gone", None),
        ("x_under", Some("1")),
    ] {
        assert_eq!(answer.received(name).as_deref(), value, "{name}");
    }
    assert_eq!(answer.headers["x-answer"], "backend", "the backend's change runs after the rule's");
    assert_eq!(answer.headers["x-rule"], "%HOSTNAME%");
}
