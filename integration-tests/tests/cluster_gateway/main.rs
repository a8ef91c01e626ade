//! Gateways, routes and pools on a real cluster: what `kubectl get` says is what clients see.
//!
//! Each test has a namespace of its own, all share one installation.

mod backend_tls;
mod fleets;
mod pools;
mod rights;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::Method;
use integration_tests::{
    client::{Client, full},
    cluster::{self, TestCluster},
};
use serde_json::{Value, json};

const ROUTE: &str = include_str!("../../../deploy/standalone/multi-model/routes-to-llms.yaml");
const POOLS: &str = include_str!("../../../deploy/standalone/multi-model/pools.yaml");
const GATEWAY: &str = include_str!("../../../deploy/cluster/multi-model/gateway.yaml");
const SERVERS: &str = include_str!("../../../deploy/cluster/multi-model/model-servers.yaml");

/// How long a change may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Asks until the answer is as expected; the error shows the last one.
async fn eventually<T, F: Future<Output = Result<T>>>(what: &str, mut ask: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + SOON;
    loop {
        match ask().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => return Err(error.context(what.to_owned())),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answers(client: &Client, model: &str, pods: &str) -> Result<()> {
    let reply = client.completion(model, "What is the color of the sky").await?;
    ensure!(reply.status == 200, "{model}: {} {}", reply.status, reply.text());
    ensure!(reply.pod().starts_with(pods), "{model}: served by {:?}", reply.pod());
    Ok(())
}

/// The conditions of an object's parent entry by controller, as `Type=Status`.
fn parents(cluster: &TestCluster, namespace: &str, object: &str) -> Result<Value> {
    let text = cluster.kubectl(&["-n", namespace, "get", object, "-o", "json"])?;
    let object: Value = serde_json::from_str(&text)?;
    Ok(object["status"]["parents"].clone())
}

fn entry<'a>(parents: &'a Value, controller: &str) -> Option<&'a Value> {
    parents.as_array()?.iter().find(|entry| entry["controllerName"] == controller)
}

fn is_true(entry: &Value, kind: &str) -> bool {
    let conditions = entry["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == kind && c["status"] == "True")
}

const OURS: &str = "signalbox.dev/gateway-controller";

#[test]
fn the_guide() -> Result<()> {
    cluster::test("the_guide", async |cluster| {
        cluster.install()?;
        cluster.apply_in("guide", &[GATEWAY, POOLS, ROUTE, SERVERS].join("\n---\n"))?;
        let client = cluster.client_of("guide", "inference-gateway", 80).await?;
        for (model, pods) in [("chatbot", "gemma3-"), ("recommender", "deepseek-r1-")] {
            eventually("the guide's request", || answers(&client, model, pods)).await?;
        }
        let models = client.get("/v1/models").await?.json();
        let ids: Vec<_> = models["data"].as_array().context("a list")?.iter().map(|m| &m["id"]).collect();
        ensure!(ids == ["chatbot", "recommender"], "{models}");
        let (status, reason) = (client.completion("gpt-5", "hello").await?, "model_not_found");
        ensure!((status.status.as_u16(), status.header("x-signalbox-reason")) == (404, reason), "{status:?}");

        let route = parents(&cluster, "guide", "httproute/routes-to-llms")?;
        let ours = entry(&route, OURS).with_context(|| route.to_string())?;
        ensure!(is_true(ours, "Accepted") && is_true(ours, "ResolvedRefs"), "{ours}");
        eventually("pools are accepted, their pickers ready", async || {
            for pool in ["inferencepool/gemma3", "inferencepool/deepseek-r1"] {
                let status = parents(&cluster, "guide", pool)?;
                let ours = entry(&status, OURS).with_context(|| status.to_string())?;
                ensure!(is_true(ours, "Accepted") && is_true(ours, "ResolvedRefs"), "{ours}");
                ensure!(ours.to_string().contains("is ready"), "{ours}");
            }
            Ok(())
        })
        .await?;
        cluster.delete("guide")
    })
}

#[test]
fn statuses_of_others_stay_and_ours_are_pruned() -> Result<()> {
    cluster::test("statuses_of_others_stay_and_ours_are_pruned", async |cluster| {
        cluster.install()?;
        cluster.apply_in("pruned", &[GATEWAY, POOLS, ROUTE].join("\n---\n"))?;
        cluster.client_of("pruned", "inference-gateway", 80).await?;
        let pool = "inferencepool/gemma3";
        let ours = async || -> Result<Value> {
            let found = parents(&cluster, "pruned", pool)?;
            ensure!(entry(&found, OURS).is_some(), "{found}");
            Ok(found)
        };
        let mut held = eventually("our entry", ours).await?;
        let condition = json!({"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let other = json!({"controllerName": "example.com/other", "conditions": [condition],
            "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "x", "name": "theirs"}});
        held.as_array_mut().context("a list")?.push(other);
        let patch = json!({"status": {"parents": held}}).to_string();
        cluster.kubectl(&[
            "-n",
            "pruned",
            "patch",
            pool,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])?;

        cluster.kubectl(&["-n", "pruned", "delete", "httproute", "routes-to-llms"])?;
        eventually("our entry goes, the other's stays", async || {
            let found = parents(&cluster, "pruned", pool)?;
            ensure!(entry(&found, OURS).is_none() && entry(&found, "example.com/other").is_some(), "{found}");
            Ok(())
        })
        .await?;
        cluster.apply_in("pruned", ROUTE)?;
        let back = eventually("our entry comes back", ours).await?;
        ensure!(entry(&back, "example.com/other").is_some(), "{back}");
        cluster.delete("pruned")
    })
}

#[test]
fn two_gateways_share_a_port_on_two_addresses() -> Result<()> {
    cluster::test("two_gateways_share_a_port_on_two_addresses", async |cluster| {
        cluster.install()?;
        let second = GATEWAY.replace("inference-gateway", "second");
        let route = ROUTE.replace("inference-gateway", "second").replace("routes-to-llms", "second");
        let route = route.replace("value: chatbot", "value: assistant");
        let servers = SERVERS.replace("chatbot", "chatbot, --served-name, assistant");
        let manifests = [GATEWAY, &second, POOLS, ROUTE, &route, &servers].join("\n---\n");
        cluster.apply_in("two", &manifests)?;
        let first = cluster.client_of("two", "inference-gateway", 80).await?;
        let second = cluster.client_of("two", "second", 80).await?;
        ensure!(first.address() != second.address(), "both have {}", first.address());
        eventually("the first", || answers(&first, "chatbot", "gemma3-")).await?;
        eventually("the second", || answers(&second, "assistant", "gemma3-")).await?;
        ensure!(first.completion("assistant", "x").await?.status == 404, "the first has no assistant");
        ensure!(second.completion("chatbot", "x").await?.status == 404, "the second has no chatbot");
        cluster.delete("two")
    })
}

/// A pool whose picker's Service has no Pods.
fn without_picker(pool: &str, mode: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {pool}-picker}}
spec: {{selector: {{app: nobody}}, ports: [{{port: 9002}}]}}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {pool}}}
spec:
  selector: {{matchLabels: {{app: gemma3}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: {pool}-picker, port: {{number: 9002}}, failureMode: {mode}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {pool}}}
spec:
  parentRefs: [{{name: inference-gateway}}]
  hostnames: [{pool}.example.com]
  rules: [{{backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: {pool}}}]}}]
"
    )
}

#[test]
fn a_pool_without_picker_fails_as_it_says() -> Result<()> {
    cluster::test("a_pool_without_picker_fails_as_it_says", async |cluster| {
        cluster.install()?;
        let pools = [without_picker("open", "FailOpen"), without_picker("closed", "FailClose")];
        cluster.apply_in("fails", &[GATEWAY, SERVERS, &pools.join("---\n")].join("\n---\n"))?;
        let client = cluster.client_of("fails", "inference-gateway", 80).await?;
        let ask = async |pool: &str, method: Method| -> Result<(u16, String)> {
            let body = json!({"model": "chatbot", "prompt": "x", "max_tokens": 1}).to_string();
            let (path, body) =
                if method == Method::GET { ("/v1/models", "".into()) } else { ("/v1/completions", body) };
            let request = client.request(method, path).header("host", format!("{pool}.example.com"));
            let reply =
                client.send(request.header("content-type", "application/json").body(full(body))?).await?;
            Ok((reply.status.as_u16(), reply.header("x-signalbox-reason").to_owned()))
        };
        for method in [Method::GET, Method::POST] {
            for (pool, expected) in [("open", (200, "")), ("closed", (503, "endpoint_picker_unavailable"))] {
                eventually(&format!("{method} of {pool}"), async || {
                    let (status, reason) = ask(pool, method.clone()).await?;
                    ensure!((status, reason.as_str()) == expected, "{method} of {pool}: {status} {reason}");
                    Ok(())
                })
                .await?;
            }
        }
        eventually("status says so", async || {
            let status = parents(&cluster, "fails", "inferencepool/closed")?;
            ensure!(status.to_string().contains("does not answer"), "{status}");
            Ok(())
        })
        .await?;
        cluster.delete("fails")
    })
}
