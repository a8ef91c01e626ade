//! A pool of many Pods that come and go: what it costs the control plane, and whether one that is gone is still picked.
//!
//! The Pods are objects alone. Their addresses are this network namespace's own, where one server answers for all of
//! them with the address that it was reached by.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, sleep},
};

use super::{
    objects::{ControlPlane, Objects},
    scenario::{self, NAMESPACE, tell},
};
use crate::{
    client::Client,
    cluster::{TestCluster, run},
};

/// The addresses of the Pods: no other network of the cluster has them.
const NETWORK: &str = "10.99.0.0/16";
/// Pods at any time.
const PODS: usize = 1_000;
/// Pods that come, and Pods that go, in a second.
const RATE: u32 = 50;
const CHURN: Duration = Duration::from_secs(60);
/// After this time a deleted Pod may not be picked.
const GONE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

const POOL: &str = "apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata:
  name: churned
  annotations: {signalbox.dev/picker: managed}
spec:
  selector: {matchLabels: {app: churned}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: churned-epp, port: {number: 9002}, failureMode: FailClose}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: churned}
spec:
  parentRefs: [{name: inference-gateway}]
  hostnames: [churned.example.com]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: churned}]}]
";

fn address(n: usize) -> Ipv4Addr {
    let [_, _, high, low] = u32::try_from(n % 60_000 + 1).expect("below 60,001").to_be_bytes();
    Ipv4Addr::new(10, 99, high, low)
}

fn name(n: usize) -> String {
    format!("churned-{n}")
}

async fn make(pods: &Objects, n: usize) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name(n), "namespace": NAMESPACE, "labels": { "app": "churned" } },
        // Nobody schedules it: it is an object only.
        "spec": {
            "schedulerName": "nobody",
            "containers": [{ "name": "model-server", "image": "localhost/none:1" }],
        },
    });
    pods.create(pod).await?;
    let ip = address(n).to_string();
    let status = json!({
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{ "ip": ip }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    });
    pods.set_status(&name(n), &status).await
}

/// Answers for every address: metrics of an idle vLLM, and everything else with the address.
async fn serve(listener: TcpListener) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        connections.spawn(async move { answer(stream).await });
    }
}

async fn answer(stream: TcpStream) -> Result<()> {
    let address = stream.local_addr()?.ip().to_string();
    let service = service_fn(move |request: Request<Incoming>| {
        let address = address.clone();
        async move {
            let is_metrics = matches!(request.uri().path(), "/metrics" | "/metrics/");
            request.into_body().collect().await?;
            let body = if is_metrics {
                "vllm:num_requests_running{model_name=\"m\"} 0\nvllm:num_requests_waiting{model_name=\"m\"} 0\nvllm:kv_cache_usage_perc{model_name=\"m\"} 0\n".to_owned()
            } else {
                json!({ "address": address }).to_string()
            };
            anyhow::Ok(Response::new(Full::new(Bytes::from(body))))
        }
    });
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let served = server.serve_connection(TokioIo::new(stream), service).await;
    served.map_err(|error| anyhow::anyhow!(error))
}

async fn picked(client: &Client) -> Result<Ipv4Addr> {
    let mut request = client.post_request("/v1/completions", r#"{"model":"m","prompt":"x"}"#, &[])?;
    request.headers_mut().insert("host", "churned.example.com".parse()?);
    let reply = client.send(request).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    let body: Value = reply.json();
    body["address"].as_str().context("an address")?.parse().context("an address")
}

/// Measures it.
pub(super) async fn measure(cluster: &TestCluster, client: &Client, only: &str) -> Result<()> {
    if !"churn_cpu_percent".contains(only) && !"cluster_deleted_pods_picked".contains(only) {
        return Ok(());
    }
    let route = ["route", "replace", "local", NETWORK, "dev", "lo"];
    run(Command::new("ip").args(route), "")
        .context("the Pods' addresses need the node launcher's network")?;
    let listener = TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8000)).await?;
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener));

    cluster.apply_in(NAMESPACE, POOL)?;
    let pods = Objects::pods().await?;
    pods.delete_all().await?;
    for n in 0..PODS {
        make(&pods, n).await?;
    }
    let start = Instant::now();
    while let Err(error) = picked(client).await {
        ensure!(start.elapsed() < PATIENCE, "no Pod of the pool answers: {error:#}");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(10)).await;
    let replicas = ControlPlane::replicas(&scenario::control_planes(cluster)?).await?;
    churn(client, &pods, &replicas).await?;
    cluster.kubectl(&["-n", NAMESPACE, "delete", "httproute/churned", "inferencepool/churned"])?;
    pods.delete_all().await?;
    serving.shutdown().await;
    Ok(())
}

async fn churn(client: &Client, pods: &Objects, replicas: &ControlPlane) -> Result<()> {
    let deleted: Arc<Mutex<HashMap<Ipv4Addr, Instant>>> = Arc::default();
    let mut asking = JoinSet::new();
    let (seen, asks) = (deleted.clone(), client.clone());
    asking.spawn(async move {
        let (mut asked, mut late, mut failed) = (0_u64, 0_u64, 0_u64);
        let mut turns = interval(Duration::from_millis(20));
        let start = Instant::now();
        while start.elapsed() < CHURN {
            turns.tick().await;
            let begun = Instant::now();
            asked += 1;
            match picked(&asks).await {
                Ok(address) => {
                    let gone = seen.lock().get(&address).copied();
                    late += u64::from(gone.is_some_and(|gone| begun > gone + GONE));
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "churn");
                    failed += 1;
                }
            }
        }
        (asked, late, failed)
    });
    let before = replicas.usage().await?;
    let start = Instant::now();
    let mut turns = interval(Duration::from_secs(1) / RATE);
    let mut n = 0;
    while start.elapsed() < CHURN {
        turns.tick().await;
        make(pods, PODS + n).await?;
        pods.delete(&name(n)).await?;
        deleted.lock().insert(address(n), Instant::now());
        n += 1;
    }
    let took = start.elapsed().as_secs_f64();
    let after = replicas.usage().await?;
    let used = before.iter().zip(&after).map(|(before, after)| (after.cpu_s - before.cpu_s) / took * 100.0);
    let (asked, late, failed) = asking.join_next().await.context("it was spawned")??;
    let how = format!(
        "CPU of one core of the busier of two replicas while {:.0} Pods a second are made (with a status) and as many deleted, of {PODS}, for {took:.0} s",
        n as f64 / took
    );
    tell("churn_cpu_percent", used.fold(0.0, f64::max), &how)?;
    let how = format!(
        "of {asked} requests during churn_cpu_percent, those sent to a Pod that was deleted more than {} s before they began; {failed} failed",
        GONE.as_secs()
    );
    tell("cluster_deleted_pods_picked", late as f64, &how)
}
