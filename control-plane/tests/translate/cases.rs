//! What the goldens are made of.

use std::time::Duration;

use control_plane::{
    api::FailureMode::{FailClose, FailOpen},
    gateway::ir::*,
    translate::{AccessLog, HeadersWithUnderscores, Settings},
};

use crate::building::*;

/// All cases: name, Gateway, settings.
pub(crate) fn all() -> Vec<(&'static str, Case, Settings)> {
    let other = Settings {
        body_limit_bytes: 1 << 20,
        picker_deadline: Duration::from_millis(1500),
        access_log: AccessLog::File("/dev/null".to_owned()),
        headers_with_underscores: HeadersWithUnderscores::Reject,
        xff_trusted_hops: 1,
        ..Settings::default()
    };
    vec![
        ("one-pool", one_pool(), Settings::default()),
        ("many-models", many_models(), Settings::default()),
        ("http-features", http_features(), Settings { access_log: AccessLog::None, ..Settings::default() }),
        ("refusals", refusals(), other.clone()),
        ("sockets", sockets(), other),
        ("tls", tls_listeners(), Settings { access_log: AccessLog::None, ..Settings::default() }),
        ("nothing-attached", case(vec![listener(80, &[], http(vec![]))]), Settings::default()),
    ]
}

/// One route, one pool, our picker.
fn one_pool() -> Case {
    let hosts = vec![host("*", vec![route("chat", "/", only(pool("apps/llama")))])];
    case(vec![listener(80, &[], HttpListener { uses_pickers: true, ..http(hosts) })])
        .pool(
            "apps/llama",
            asks("apps/picker", FailOpen, PickerMode::Buffered),
            Protocol::Http1,
            &["10.0.0.1:8000", "10.0.0.2:8000!"],
        )
        .picker("apps/picker", PickerSecurity::TlsUnverified, &["10.0.1.1:9002"])
}

/// Models by name and by base model, split over pools with their own pickers, beside ordinary routes.
fn many_models() -> Case {
    let split = forward(vec![to(Ok(pool("apps/blue")), 90), to(Ok(pool("apps/green")), 10)]);
    let mut api = host(
        "api.example.com",
        vec![
            route("upload", "/files", only(service("apps/files"))),
            route("chat", "/v1", Action::Forward(split)).model("meta/llama-3"),
            route("base", "/v1", only(pool("apps/green")))
                .header("x-gateway-base-model-name", TextMatch::Exact("mistral".to_owned())),
            route("rest", "/v1", only(service("apps/files"))),
        ],
    );
    api.models = models(&["meta/llama-3", "mistral-lora"]);
    let mut strict = host(
        "strict.example.com",
        vec![route("strict", "/v1/chat", only(pool("apps/blue"))).model("meta/llama-3")],
    );
    strict.models = models(&["meta/llama-3"]);
    strict.models_path_is_routed = true;
    let http = HttpListener {
        model_headers: vec!["x-gateway-base-model-name".to_owned(), "x-gateway-model-name".to_owned()],
        base_models: [("mistral-lora".to_owned(), "mistral".to_owned())].into(),
        uses_pickers: true,
        ..http(vec![api, strict])
    };
    case(vec![listener(8080, &[], http)])
        .pool(
            "apps/blue",
            asks("apps/ours", FailOpen, PickerMode::Buffered),
            Protocol::Http1,
            &["10.0.0.1:8000"],
        )
        .pool("apps/green", asks("apps/foreign", FailClose, PickerMode::FullDuplex), Protocol::Http2, &[])
        .picker("apps/ours", PickerSecurity::Cleartext, &["10.0.1.1:9002"])
        .picker("apps/foreign", PickerSecurity::TlsUnverified, &["10.0.1.2:9002"])
        .service("apps/files", Protocol::Http1, &["10.0.2.1:80"])
}

/// Matches, rewrites, redirects, mirrors, headers, timeouts and upgrades.
fn http_features() -> Case {
    let mut all = host("*.example.com", matching());
    all.routes.extend(rewriting().into_iter().map(Into::into));
    all.routes.extend(redirecting().into_iter().map(Into::into));
    case(vec![listener(80, &[], http(vec![host("*", vec![]), all]))])
        .service("apps/a", Protocol::Http1, &["10.0.0.1:80"])
        .service("apps/b", Protocol::Http2, &["10.0.0.2:80", "[fd00::1]:80"])
        .service("apps/ws", Protocol::WebSocket, &["10.0.0.3:80"])
        .pool("apps/plain", None, Protocol::Http1, &["10.0.0.4:8000"])
}

fn matching() -> Vec<Route> {
    let mut everything = route("everything", "=/exact", only(service("apps/a")))
        .header("host", TextMatch::Exact("x.example.com".to_owned()))
        .header("x-kind", TextMatch::Regex("a|b".to_owned()));
    everything.matches.method = Some("POST".to_owned());
    everything.matches.query =
        vec![QueryCondition { name: "v".to_owned(), value: TextMatch::Exact(String::new()) }];
    let mut headers = forward(vec![to(Ok(service("apps/a")), 1), to(Ok(service("apps/b")), 2)]);
    headers.backends[0].request_headers =
        changes(&[("x-a", "50%"), ("x-empty", "")], &[("x-b", "1")], &["x-c"]);
    headers.backends[1].response_headers = changes(&[], &[], &["x-rule"]);
    let mut headers = route("headers", "/headers", Action::Forward(headers));
    headers.response_headers = changes(&[("x-rule", "1")], &[], &["x-gone"]);
    vec![
        everything,
        route("regex", "~/v[0-9]+/.*", only(service("apps/b"))),
        route("websocket", "/ws", only(service("apps/ws"))),
        route(
            "no-upgrade-with-pools",
            "/mixed",
            Action::Forward(forward(vec![to(Ok(service("apps/ws")), 1), to(Ok(pool("apps/plain")), 1)])),
        ),
        headers,
    ]
}

fn rewriting() -> Vec<Route> {
    let rewrite = |name: &str, path: &str, hostname: Option<&str>, change: PathChange| {
        let mut forward = forward(vec![to(Ok(service("apps/a")), 1)]);
        forward.rewrite = Rewrite { hostname: hostname.map(str::to_owned), path: Some(change) };
        route(name, path, Action::Forward(forward))
    };
    let mut slow = forward(vec![to(Ok(service("apps/a")), 1)]);
    slow.request_timeout = Some(Duration::from_secs(3600));
    slow.backend_timeout = Some(Duration::from_millis(1500));
    slow.mirrors = vec![Mirror { cluster: service("apps/b"), per_million: 250_000 }];
    let mut unlimited = forward(vec![to(Ok(service("apps/a")), 1)]);
    unlimited.request_timeout = Some(Duration::ZERO);
    unlimited.backend_timeout = Some(Duration::ZERO);
    vec![
        rewrite("full", "=/full", Some("one.internal"), PathChange::Full("/other".to_owned())),
        rewrite("prefix", "/prefix", None, PathChange::Prefix("/other/".to_owned())),
        rewrite("drop", "/drop", None, PathChange::Prefix("/".to_owned())),
        rewrite("root", "/", None, PathChange::Prefix("/under".to_owned())),
        route("slow", "/slow", Action::Forward(slow)),
        route("unlimited", "/unlimited", Action::Forward(unlimited)),
    ]
}

fn redirecting() -> Vec<Route> {
    let redirect = |name: &str, path: Option<PathChange>, status| {
        let redirect = Redirect {
            scheme: Some("https".to_owned()),
            hostname: Some("new.example.com".to_owned()),
            path,
            port: Some(8443),
            status,
        };
        route(name, "/old", Action::Redirect(redirect))
    };
    vec![
        redirect("moved", None, 301),
        redirect("full", Some(PathChange::Full("/new".to_owned())), 302),
        redirect("prefix", Some(PathChange::Prefix("/new".to_owned())), 307),
        redirect("drop", Some(PathChange::Prefix(String::new())), 308),
    ]
}

/// Invalid backends: alone, mixed, and shadowed by a model route.
fn refusals() -> Case {
    let mixed = forward(vec![to(Ok(service("apps/a")), 1), to(Err(missing()), 3)]);
    let mut api = host(
        "*",
        vec![
            route(
                "filter",
                "/filter",
                Action::Refuse(Refusal { reason: "unsupported_filter".to_owned(), ..missing() }),
            ),
            route(
                "none",
                "/none",
                Action::Forward(forward(vec![to(Err(missing()), 1), to(Err(missing()), 1)])),
            ),
            route("mixed", "/mixed", Action::Forward(mixed)),
            route("model", "/", only(service("apps/a"))).model("m1"),
            route("shadowed", "/", Action::Refuse(missing())),
        ],
    );
    api.models = models(&["m1"]);
    let http = HttpListener { model_headers: vec!["x-gateway-model-name".to_owned()], ..http(vec![api]) };
    case(vec![listener(80, &[], http)]).service("apps/a", Protocol::Http1, &["10.0.0.1:80"])
}

/// Two ports, several addresses.
fn sockets() -> Case {
    let hosts = || vec![host("*", vec![route("all", "/", only(service("apps/a")))])];
    case(vec![
        listener(80, &["127.0.0.1", "127.0.0.2", "::1"], http(hosts())),
        listener(8080, &["::"], http(hosts())),
    ])
    .service("apps/a", Protocol::Http1, &["10.0.0.1:80"])
}

/// Two server names on one port with their own routes and certificates.
fn tls_listeners() -> Case {
    let hosts = |name: &str, backend: &str| vec![host(name, vec![route("all", "/", only(service(backend)))])];
    case(vec![tls(
        443,
        vec![
            ("*", "apps/any", http(hosts("*", "apps/a"))),
            ("*.example.com", "apps/example", http(hosts("*.example.com", "apps/b"))),
        ],
    )])
    .certificate("apps/any", "one")
    .certificate("apps/example", "two")
    .service("apps/a", Protocol::Http1, &["10.0.0.1:80"])
    .service("apps/b", Protocol::Http1, &["10.0.0.2:80"])
}
