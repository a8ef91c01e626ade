//! The bootstrap on a real Envoy: the hook before a Pod ends, and the identity.

use std::time::{Duration, Instant};

use control_plane::translate::{
    AdsMode, BootstrapParams, BootstrapTls, DRAIN_HEADER, Drain, OverloadLimits, bootstrap, sds_files,
};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

use crate::{
    envoy::{Envoy, validate},
    stack::address,
};

fn params(ip: &str, drain: Drain) -> BootstrapParams {
    BootstrapParams {
        node_id: "edge-0".to_owned(),
        cluster: "infra/edge".to_owned(),
        ads_host: "127.0.0.1".to_owned(),
        ads_port: 1,
        tls: None,
        ads_mode: AdsMode::Delta,
        admin: format!("{ip}:19000").parse().unwrap(),
        status: Some(format!("{ip}:19001").parse().unwrap()),
        drain: Some(drain),
        overload: OverloadLimits::default(),
    }
}

/// The bootstrap with a listener, as the control plane would give it, that answers after `delay`.
fn config(ip: &str, drain: Drain, (stat_prefix, delay): (&str, &str)) -> Value {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let mut config: Value = serde_json::from_str(&bootstrap(&params(ip, drain))).unwrap();
    config.as_object_mut().unwrap().remove("dynamic_resources");
    let filter = |name: &str, kind: &str| {
        let mut typed = json!({"@type": format!("{FILTERS}.http.{kind}")});
        if name == "fault" {
            typed["delay"] = json!({"fixed_delay": delay, "percentage": {"numerator": 100}});
        }
        json!({"name": format!("envoy.filters.http.{name}"), "typed_config": typed})
    };
    let listener = json!({
        "name": "tcp-8080",
        "traffic_direction": "INBOUND",
        "address": {"socket_address": {"address": ip, "port_value": 8080}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": stat_prefix,
                "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "whole"}}},
                ]}]},
                "http_filters": [filter("fault", "fault.v3.HTTPFault"), filter("router", "router.v3.Router")],
            },
        }]}],
    });
    config["static_resources"]["listeners"].as_array_mut().unwrap().push(listener);
    config
}

async fn get(url: String, token: Option<&str>) -> Result<(u16, String), String> {
    let client: Client<_, Empty<axum::body::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request = http::Request::builder().uri(url);
    if let Some(token) = token {
        request = request.header(DRAIN_HEADER, token);
    }
    let request = request.body(Empty::new()).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), client.request(request)).await;
    let answer = answer.map_err(|e| e.to_string())?.map_err(|e| format!("{e:?}"))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn started(config: &Value, ip: &str) -> Envoy {
    let envoy = Envoy::start(config);
    let ready = async {
        while get(format!("http://{ip}:19001/ready"), None).await.map(|(status, _)| status) != Ok(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), ready).await.is_err() {
        panic!("Envoy is not ready: {}", envoy.log());
    }
    envoy
}

/// Waits until a request of the listener is active. A dot in its name ends the label with it and begins the metric's.
async fn active(ip: &str) {
    let is_active = |stats: &str| {
        let mut lines = stats.lines().filter(|line| line.contains("downstream_rq_active{"));
        lines.any(|line| line.contains("-8080") && line.ends_with("} 1"))
    };
    let seen = async {
        let url = format!("http://{ip}:19001/stats/prometheus");
        while !get(url.clone(), None).await.is_ok_and(|(_, stats)| is_active(&stats)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("the request becomes active");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_is_answered_when_requests_have_ended() {
    let ip = address();
    let drain = Drain { token: "secret".to_owned(), least_seconds: 1, most_seconds: 50 };
    let envoy = started(&config(&ip, drain, ("https-8080/*.example.com", "4s")), &ip).await;
    let hook = format!("http://{ip}:19001/drain");
    for token in [None, Some("guess")] {
        assert_eq!(get(hook.clone(), token).await.unwrap().0, 404, "{token:?}");
    }
    let start = Instant::now();
    let (request, drained) = tokio::join!(get(format!("http://{ip}:8080/"), None), async {
        active(&ip).await;
        let answer = get(hook, Some("secret")).await;
        (answer, start.elapsed())
    });
    assert_eq!(request, Ok((200, "whole".to_owned())));
    let (answer, elapsed) = drained;
    assert_eq!(answer.map(|(status, _)| status), Ok(200), "{}", envoy.log());
    assert!(elapsed >= Duration::from_secs(4), "answered while a request was active: {elapsed:?}");
    assert!(elapsed < Duration::from_secs(30), "{elapsed:?}");
    // Probes and scrapes go on until the end.
    assert_eq!(get(format!("http://{ip}:19001/ready"), None).await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_does_not_wait_for_ever() {
    let ip = address();
    let drain = Drain { token: "secret".to_owned(), least_seconds: 1, most_seconds: 2 };
    let envoy = started(&config(&ip, drain, ("http-8080", "40s")), &ip).await;
    let url = format!("http://{ip}:8080/");
    let mut requests = tokio::task::JoinSet::new();
    requests.spawn(get(url, None));
    active(&ip).await;
    let start = Instant::now();
    let answer = get(format!("http://{ip}:19001/drain"), Some("secret")).await;
    assert_eq!(answer.map(|(status, _)| status), Ok(200), "{}", envoy.log());
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(2) && elapsed < Duration::from_secs(20), "{elapsed:?}");
    requests.abort_all();
}

#[test]
fn envoy_accepts_an_identity() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["signalbox.system.svc".to_owned()]).unwrap();
    let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
    write("tls.crt", made.cert.pem());
    write("ca.crt", made.cert.pem());
    write("tls.key", made.signing_key.serialize_pem());
    let tls = BootstrapTls {
        identity: directory.path().to_owned(),
        sds: directory.path().to_owned(),
        server_name: "signalbox.system.svc".to_owned(),
    };
    for (name, content) in sds_files(&tls) {
        write(&name, content);
    }
    let drain = Drain { token: "t".to_owned(), least_seconds: 10, most_seconds: 300 };
    let params = BootstrapParams { tls: Some(tls), ..params("127.0.0.1", drain) };
    let config = serde_json::from_str(&bootstrap(&params)).unwrap();
    validate(&config).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_listeners_ends_at_once() {
    let ip = address();
    let drain = Drain { token: "secret".to_owned(), least_seconds: 1, most_seconds: 50 };
    let mut config: Value = serde_json::from_str(&bootstrap(&params(&ip, drain))).unwrap();
    config.as_object_mut().unwrap().remove("dynamic_resources");
    let envoy = started(&config, &ip).await;
    let start = Instant::now();
    let answer = get(format!("http://{ip}:19001/drain"), Some("secret")).await;
    assert_eq!(answer.map(|(status, _)| status), Ok(200), "{}", envoy.log());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
