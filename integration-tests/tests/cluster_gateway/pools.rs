//! Pools: shares of weighted ones, what their pickers record, one picker for two, protocols and ports.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::*;

/// Requests that are counted: a share is then within 4 points with a probability of 99.95 percent.
const REQUESTS: u32 = 1500;
const AT_ONCE: usize = 16;

/// Three of four requests go to gemma3, whatever they ask for.
const WEIGHTED: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: weighted}
spec:
  parentRefs: [{name: inference-gateway}]
  rules:
  - backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: gemma3, weight: 75}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: deepseek-r1, weight: 25}
";

/// Sends `count` requests; answers by Pod.
async fn count(client: &Client, count: u32, explain: bool) -> Result<BTreeMap<String, u32>> {
    let ask = async |client: &Client| -> Result<String> {
        let body = json!({"model": "chatbot", "prompt": "x", "max_tokens": 1}).to_string();
        let headers: &[(&str, &str)] = if explain { &[("x-signalbox-explain", "true")] } else { &[] };
        let reply = client.post("/v1/completions", body, headers).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        Ok(reply.pod().to_owned())
    };
    let answers = stream::iter((0..count).map(|_| ask(client))).buffer_unordered(AT_ONCE);
    let mut counts = BTreeMap::new();
    let mut answers = Box::pin(answers);
    while let Some(pod) = answers.try_next().await? {
        *counts.entry(pod).or_default() += 1;
    }
    Ok(counts)
}

fn of_pods(counts: &BTreeMap<String, u32>, prefix: &str) -> u32 {
    counts.iter().filter(|(pod, _)| pod.starts_with(prefix)).map(|(_, count)| count).sum()
}

/// What `path` of the admin interface of each Pod of a managed picker says.
fn pickers(cluster: &TestCluster, namespace: &str, service: &str, path: &str) -> Result<Vec<String>> {
    let selector = format!("signalbox.dev/picker-service={service}");
    let names = ["-n", namespace, "get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].metadata.name}"];
    let names = cluster.kubectl(&names)?;
    let get = |pod: &str| {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:9090/proxy/{path}");
        cluster.kubectl(&["get", "--raw", &path])
    };
    names.split_whitespace().map(get).collect()
}

/// Requests of a pool that the pickers behind a Service have picked an endpoint for, by pool.
fn picked(cluster: &TestCluster, namespace: &str, service: &str) -> Result<BTreeMap<String, u32>> {
    let mut counts = BTreeMap::new();
    for text in pickers(cluster, namespace, service, "metrics")? {
        let lines =
            text.lines().filter_map(|line| line.strip_prefix("signalbox_picker_requests_total{pool=\""));
        for line in lines.filter(|line| line.contains("outcome=\"picked\"")) {
            let (pool, _) = line.split_once('"').context("a label's end")?;
            let (_, value) = line.rsplit_once(' ').context("a value")?;
            *counts.entry(pool.to_owned()).or_default() += value.parse::<f64>()? as u32;
        }
    }
    Ok(counts)
}

#[test]
fn weighted_pools_have_their_shares_and_each_its_own_picker() -> Result<()> {
    cluster::test("pools::weighted_pools_have_their_shares_and_each_its_own_picker", async |cluster| {
        cluster.install()?;
        let record = "signalbox.dev/picker: managed\n    signalbox.dev/explain-header: record";
        let pools = POOLS.replace("signalbox.dev/picker: managed", record);
        let servers = SERVERS.replace("recommender", "chatbot");
        let servers = servers.replace("--profile, l4", "--profile, instant");
        let servers = servers.replace("--profile, h100", "--profile, instant");
        cluster.apply_in("weights", &[GATEWAY, &pools, WEIGHTED, &servers].join("\n---\n"))?;
        let client = cluster.client_of("weights", "inference-gateway", 80).await?;
        eventually("both pools answer through their pickers", async || {
            let counts = count(&client, 32, false).await?;
            ensure!(counts.len() == 5, "{counts:?}");
            for (pool, service) in [("gemma3", "gemma3-epp"), ("deepseek-r1", "deepseek-r1-epp")] {
                ensure!(!picked(&cluster, "weights", service)?.is_empty(), "{pool} is not picked yet");
            }
            Ok(())
        })
        .await?;

        // Again where Pods were not ready for a moment, as on a machine that is busy: what counts is who is asked.
        eventually("each pool has its share", async || shares(&cluster, &client).await).await?;
        recorded(&cluster, &client).await?;
        cluster.delete("weights")
    })
}

/// Pools get what their weights say, and what a pool gets its own picker was asked for.
async fn shares(cluster: &TestCluster, client: &Client) -> Result<()> {
    let all = || -> Result<[BTreeMap<String, u32>; 2]> {
        Ok([picked(cluster, "weights", "gemma3-epp")?, picked(cluster, "weights", "deepseek-r1-epp")?])
    };
    let before = all()?;
    let counts = count(client, REQUESTS, false).await?;
    let after = all()?;
    let share = f64::from(of_pods(&counts, "gemma3-")) / f64::from(REQUESTS);
    ensure!((share - 0.75).abs() < 0.05, "{share}: {counts:?}");
    for ((pool, before), after) in
        [("gemma3", &before[0]), ("deepseek-r1", &before[1])].into_iter().zip(&after)
    {
        let (key, answers) = (format!("weights/{pool}"), of_pods(&counts, &format!("{pool}-")));
        ensure!(after.keys().eq([&key]), "the picker of {pool} was asked for {after:?}");
        let asked = after[&key] - before.get(&key).copied().unwrap_or_default();
        // The pools fail open: where a picker gets no CPU for a while, a request goes past it.
        let all = answers - answers / 100..=answers;
        ensure!(all.contains(&asked), "{answers} answers of {pool}, and its picker was asked {asked} times");
    }
    Ok(())
}

/// The endpoints that pickers recorded as those that served are those of the Pods that answered.
async fn recorded(cluster: &TestCluster, client: &Client) -> Result<()> {
    let text = cluster.kubectl(&["-n", "weights", "get", "pods", "-o", "json"])?;
    let pods: Value = serde_json::from_str(&text)?;
    let address = |pod: &str| -> Result<String> {
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let found = pods.find(|item| item["metadata"]["name"] == pod).with_context(|| pod.to_owned())?;
        Ok(format!("{}:8000", found["status"]["podIP"].as_str().context("an address")?))
    };
    let mut answered: BTreeMap<String, u32> = BTreeMap::new();
    for (pod, count) in count(client, 60, true).await? {
        *answered.entry(address(&pod)?).or_default() += count;
    }
    let served = || -> Result<BTreeMap<String, u32>> {
        let mut served = BTreeMap::new();
        for service in ["gemma3-epp", "deepseek-r1-epp"] {
            for text in pickers(cluster, "weights", service, "explain?limit=256")? {
                let decisions: Value = serde_json::from_str(&text)?;
                let decisions = decisions["decisions"].as_array().context("a list")?.iter();
                for decision in decisions.filter(|decision| decision["recorded"] == "asked") {
                    let address = decision["happened"]["served"].as_str().unwrap_or("nobody");
                    *served.entry(address.to_owned()).or_default() += 1;
                }
            }
        }
        Ok(served)
    };
    eventually("what pickers recorded is what answered", async || {
        let served = served()?;
        ensure!(served == answered, "recorded {served:?}, answered {answered:?}");
        Ok(())
    })
    .await
}

/// One Pod that serves on two ports, as `m-0` and `m-1`, and a pool of both.
const SHARED: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: ports}
spec:
  selector: {matchLabels: {app: ports}}
  template:
    metadata: {labels: {app: ports}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: model-server
        image: localhost/signalbox/model-server:0.1.0
        args: [--listen, '0.0.0.0:8000', --listen, '0.0.0.0:8001', --model, m, --served-name, chatbot]
        resources: {requests: {cpu: 50m}}
        readinessProbe: {httpGet: {path: /health, port: 8001}, periodSeconds: 1, timeoutSeconds: 5}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: ports, annotations: {signalbox.dev/picker: managed}}
spec:
  selector: {matchLabels: {app: ports}}
  targetPorts: [{number: 8000}, {number: 8001}]
  endpointPickerRef: {name: shared-epp, port: {number: 9002}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ports}
spec:
  parentRefs: [{name: inference-gateway}]
  rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: ports}]}]
";

/// Another pool of the Pod's first port, whose picker is the same.
const JOINS: &str = "apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: h2c, annotations: {signalbox.dev/picker: managed}}
spec:
  selector: {matchLabels: {app: ports}}
  targetPorts: [{number: 8000}]
  appProtocol: kubernetes.io/h2c
  endpointPickerRef: {name: shared-epp, port: {number: 9002}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: h2c}
spec:
  parentRefs: [{name: inference-gateway}]
  rules:
  - matches: [{headers: [{name: pool, value: h2c}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: h2c}]
";

#[test]
fn pools_share_a_picker_and_have_ports_and_a_protocol_of_their_own() -> Result<()> {
    cluster::test("pools::pools_share_a_picker_and_have_ports_and_a_protocol_of_their_own", async |cluster| {
        cluster.install()?;
        cluster.apply_in("shared", &[GATEWAY, SHARED].join("\n---\n"))?;
        let client = cluster.client_of("shared", "inference-gateway", 80).await?;
        eventually("both ports serve", async || {
            let counts = count(&client, 20, false).await?;
            ensure!(counts.keys().eq(["m-0", "m-1"]), "{counts:?}");
            Ok(())
        })
        .await?;
        // Its Pods begin again, with one more pool: none of them is refused what it asks for.
        cluster.apply_in("shared", JOINS)?;
        eventually("the pool of h2c answers over HTTP/2", async || {
            for (pool, version) in [("h2c", "HTTP/2.0"), ("ports", "HTTP/1.1")] {
                let body = json!({"model": "chatbot"}).to_string();
                let reply = client.post("/v1/completions", body, &[("pool", pool), ("x-echo", "1")]).await?;
                ensure!(reply.status == 200, "{pool}: {} {}", reply.status, reply.text());
                ensure!(reply.json()["version"] == version, "{pool}: {}", reply.text());
            }
            Ok(())
        })
        .await?;
        // One certificate, with both identities: the tier API gives the picker both pools, which it was asked for.
        eventually("one picker serves both pools", async || {
            let counts = picked(&cluster, "shared", "shared-epp")?;
            ensure!(counts.keys().eq(["shared/h2c", "shared/ports"]), "{counts:?}");
            Ok(())
        })
        .await?;
        let deployment = "deployment/shared-epp-signalbox-picker";
        cluster.kubectl(&["-n", "shared", "rollout", "status", deployment, "--timeout=60s"])?;
        let selector = "signalbox.dev/picker-service=shared-epp";
        let logs = cluster.kubectl(&["-n", "shared", "logs", "-l", selector, "--tail=-1", "--prefix"])?;
        ensure!(!logs.contains("is asked for"), "a picker was refused a pool:\n{logs}");
        let owners = "jsonpath={.metadata.ownerReferences[*].name}";
        let owners = cluster.kubectl(&[
            "-n",
            "shared",
            "get",
            "secret",
            "signalbox-picker-shared-epp",
            "-o",
            owners,
        ])?;
        ensure!(owners == "h2c ports", "{owners}");
        cluster.delete("shared")
    })
}
