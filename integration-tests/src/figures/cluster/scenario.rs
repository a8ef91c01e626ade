//! The scenario itself; runs in the cluster's network.

use std::{
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use super::{super::line::Line, pods, routes};
use crate::{
    client::Client,
    cluster::TestCluster,
    load::{Load, LoadRequest, Pace, Report},
};

const ROUTE: &str = include_str!("../../../../deploy/standalone/multi-model/routes-to-llms.yaml");
const POOLS: &str = include_str!("../../../../deploy/standalone/multi-model/pools.yaml");
const OBJECTIVES: &str = include_str!("../../../../deploy/standalone/multi-model/objectives.yaml");
const GATEWAY: &str = include_str!("../../../../deploy/cluster/multi-model/gateway.yaml");
const SERVERS: &str = include_str!("../../../../deploy/cluster/multi-model/model-servers.yaml");

/// Where all of it happens.
pub(super) const NAMESPACE: &str = "figures";
/// Requests a second, one in five of them a stream of 40 tokens. Their prompts alone keep each of the three simulated
/// L4s 0.4 busy, and tokens wait for the prompts between them, so that a stream takes 3 to 4 seconds: that, and no
/// waiting anywhere else, is the 99th percentile of all.
const RATE: f64 = 20.0;
/// Requests before a change, to compare with.
const BEFORE: u64 = 200;
/// Time for a change to do harm after it is done.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the API server is stopped.
const OUTAGE: Duration = Duration::from_secs(300);
/// How long a node stays silent after it was given up.
const SILENCE: Duration = Duration::from_secs(30);
/// Routes that are made after the API server's outage.
const REPLAYED: usize = 200;
const LONGEST: Duration = Duration::from_secs(900);

/// Runs it, or the changes whose figures' names contain `only`: prints a line of JSON for each figure, and on stderr what fails.
///
/// # Errors
/// When the guide does not come true, or a part does not come back.
pub async fn run(only: &str) -> Result<()> {
    let cluster = TestCluster::here().context("run it by integration-tests/cluster/in.sh")??;
    cluster.load_images()?;
    let client = guide(&cluster).await?;
    let (mut total, mut made) = (0, 0);
    for (name, what, change) in CHANGES.into_iter().filter(|(name, ..)| name.contains(only)) {
        let gateway = match change {
            Change::SilentNode => envoy(&cluster)?,
            _ => client.clone(),
        };
        let requests = Load {
            requests: requests(),
            ..Load::of(&gateway, requests().remove(0), Pace::Constant { rate: RATE }, LONGEST)
        };
        let load = requests.start();
        load.more(BEFORE, Duration::from_secs(60)).await.with_context(|| format!("before: {what}"))?;
        let before = load.so_far();
        let changed = async {
            change.make(&cluster).await.with_context(|| what.to_owned())?;
            sleep(SETTLE).await;
            load.more(40, Duration::from_secs(60)).await.with_context(|| format!("after: {what}"))
        };
        let changed = changed.await;
        let report = load.stop().await;
        changed?;
        total += report.failed();
        made += 1;
        tell(name, report.failed() as f64, &told(what, &before, &report))?;
    }
    if made > 0 {
        tell("cluster_failed_requests", total as f64, &format!("the sum of {made} scenarios"))?;
    }
    routes::measure(&cluster, &client, only).await?;
    pods::measure(&cluster, &client, only).await
}

/// The Pods of the control plane, as `pod/NAME` lines.
pub(super) fn control_planes(cluster: &TestCluster) -> Result<String> {
    cluster.kubectl(&["-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=signalbox", "-o", "name"])
}

/// Installs, applies and asks: the way of the guide.
async fn guide(cluster: &TestCluster) -> Result<Client> {
    let start = Instant::now();
    let seconds = || start.elapsed().as_secs_f64();
    cluster.install_defaults()?;
    let installed = seconds();
    cluster.apply_in(NAMESPACE, &[GATEWAY, POOLS, OBJECTIVES, ROUTE, SERVERS].join("\n---\n"))?;
    let client = cluster.client_of(NAMESPACE, "inference-gateway", 80).await?;
    let addressed = seconds();
    let mut last = String::new();
    while !client.completion("chatbot", "What is the color of the sky").await.is_ok_and(|reply| {
        last = format!("{} {}", reply.status, reply.text());
        reply.status == 200 && reply.pod().starts_with("gemma3-")
    }) {
        ensure!(start.elapsed() < LONGEST, "no answer: {last}");
        sleep(Duration::from_millis(50)).await;
    }
    let answered = seconds();
    tell(
        "cluster_guide_s",
        answered,
        "install, apply the guide's objects, address in the status, first answer; images are loaded before",
    )?;
    tell("cluster_install_s", installed, "CRDs applied and helm install with --wait, two replicas")?;
    tell(
        "cluster_address_s",
        addressed - installed,
        "objects applied until the Gateway is programmed and has an address",
    )?;
    tell("cluster_first_answer_s", answered - addressed, "until a Gemma 3 endpoint answers")?;
    // All model servers are there before requests are counted.
    for deployment in ["gemma3", "deepseek-r1"] {
        rolled_out(cluster, NAMESPACE, deployment)?;
    }
    Ok(client)
}

fn requests() -> Vec<LoadRequest> {
    let mut requests = vec![LoadRequest::stream("chatbot", "Tell me about the sky", 40).from_pods("gemma3-")];
    for n in 0..4 {
        requests.push(LoadRequest::completion("chatbot", &format!("Question {n}"), 3).from_pods("gemma3-"));
    }
    requests
}

#[derive(Clone, Copy)]
enum Change {
    KillFollower,
    KillLeader,
    Restart(&'static str),
    Certificates,
    Outage,
    SilentNode,
}

const CHANGES: [(&str, &str, Change); 8] = [
    (
        "cluster_failed_requests_follower_killed",
        "a control plane that does not lead is killed",
        Change::KillFollower,
    ),
    ("cluster_failed_requests_leader_killed", "the leading control plane is killed", Change::KillLeader),
    (
        "cluster_failed_requests_envoy_rollout",
        "the Gateway's Envoys are rolled out",
        Change::Restart("inference-gateway-signalbox"),
    ),
    (
        "cluster_failed_requests_picker_rollout",
        "the pool's pickers are rolled out",
        Change::Restart("gemma3-epp-signalbox-picker"),
    ),
    (
        "cluster_failed_requests_model_rollout",
        "the pool's model servers are rolled out",
        Change::Restart("gemma3"),
    ),
    (
        "cluster_failed_requests_certificates",
        "all certificates of Envoys and pickers are issued anew",
        Change::Certificates,
    ),
    (
        "cluster_failed_requests_api_outage",
        "the API server stops answering for 5 minutes, then 200 routes are made",
        Change::Outage,
    ),
    (
        "cluster_failed_requests_silent_node",
        "the kubelet stops until all Pods of the pool are said not to be ready, and half a minute more; one Envoy is asked at its own address, as its Service has no ready endpoint either",
        Change::SilentNode,
    ),
];

impl Change {
    async fn make(self, cluster: &TestCluster) -> Result<()> {
        match self {
            Self::KillFollower => kill(cluster, false),
            Self::KillLeader => kill(cluster, true),
            Self::Restart(deployment) => {
                let deployment_name = format!("deployment/{deployment}");
                cluster.kubectl(&["-n", NAMESPACE, "rollout", "restart", &deployment_name])?;
                rolled_out(cluster, NAMESPACE, deployment)
            }
            Self::Certificates => certificates(cluster).await,
            Self::Outage => outage(cluster).await,
            Self::SilentNode => silent_node(cluster).await,
        }
    }
}

/// Where the control plane is.
pub(super) const SYSTEM: &str = "signalbox-system";

fn kill(cluster: &TestCluster, leader: bool) -> Result<()> {
    let leads =
        cluster.kubectl(&["-n", SYSTEM, "get", "lease", "-o", "jsonpath={.items[*].spec.holderIdentity}"])?;
    let pods = control_planes(cluster)?;
    let is_leader = |pod: &&str| pod.strip_prefix("pod/").is_some_and(|name| leads.contains(name));
    let pod = pods
        .lines()
        .find(|pod| is_leader(pod) == leader)
        .with_context(|| format!("{pods}; leads: {leads}"))?;
    cluster.kubectl(&["-n", SYSTEM, "delete", pod, "--force", "--grace-period=0"])?;
    rolled_out(cluster, SYSTEM, "signalbox")
}

fn rolled_out(cluster: &TestCluster, namespace: &str, deployment: &str) -> Result<()> {
    let deployment = format!("deployment/{deployment}");
    cluster.kubectl(&["-n", namespace, "rollout", "status", &deployment, "--timeout=180s"])?;
    Ok(())
}

async fn certificates(cluster: &TestCluster) -> Result<()> {
    let ours = ["-n", NAMESPACE, "secret", "-l", "app.kubernetes.io/managed-by=signalbox", "-o", "name"];
    let names = |cluster: &TestCluster| cluster.kubectl(&[&["get"], &ours[..]].concat());
    let before = names(cluster)?;
    ensure!(!before.is_empty(), "no certificates of ours in {NAMESPACE}");
    cluster.kubectl(&[&["delete"], &ours[..5]].concat())?;
    let deadline = Instant::now() + LONGEST;
    while names(cluster)? != before {
        ensure!(Instant::now() < deadline, "not issued anew: {before}");
        sleep(Duration::from_millis(200)).await;
    }
    // The kubelet takes up to its sync period, a minute, to show new Secrets to Pods.
    sleep(Duration::from_secs(75)).await;
    Ok(())
}

/// Stops the node launcher's API server, and lets it go on.
async fn outage(cluster: &TestCluster) -> Result<()> {
    signal("-STOP", "kube-apiserver")?;
    sleep(OUTAGE).await;
    signal("-CONT", "kube-apiserver")?;
    let routes = (0..REPLAYED).map(|n| ROUTE.replace("routes-to-llms", &format!("replayed-{n}")));
    cluster.apply_in(NAMESPACE, &routes.collect::<Vec<_>>().join("\n---\n"))
}

/// Stops the node launcher's kubelet, and lets it go on: meanwhile the node controller says of Pods that it knows nothing
/// new of that they are not ready.
async fn silent_node(cluster: &TestCluster) -> Result<()> {
    let said = |ready: &str| {
        let condition = format!("--for=condition=Ready={ready}");
        let pods = ["-n", NAMESPACE, "wait", &condition, "pod", "-l", "app=gemma3", "--timeout=180s"];
        cluster.kubectl(&pods).map(drop)
    };
    signal("-STOP", "kubelet")?;
    let silent = said("false");
    sleep(SILENCE).await;
    signal("-CONT", "kubelet")?;
    silent?;
    said("true")
}

/// One of the Gateway's Envoys, at its own address: the Service of Pods that are all said not to be ready refuses.
fn envoy(cluster: &TestCluster) -> Result<Client> {
    let slices = [
        "-n",
        NAMESPACE,
        "get",
        "endpointslices",
        "-l",
        "kubernetes.io/service-name=inference-gateway-signalbox",
    ];
    let address = "jsonpath={.items[0].endpoints[0].addresses[0]}:{.items[0].ports[0].port}";
    let address = cluster.kubectl(&[&slices[..], &["-o", address]].concat())?;
    Ok(Client::new(address.trim().parse().with_context(|| address.clone())?))
}

fn signal(signal: &str, process: &str) -> Result<()> {
    let status = Command::new("pkill").args([signal, "-x", process]).status().context("pkill")?;
    ensure!(status.success(), "no {process} process here: the cluster is not the node launcher's");
    Ok(())
}

fn told(what: &str, before: &Report, report: &Report) -> String {
    let p99 = |report: &Report| {
        let (whole, first) = (report.latency.quantile(0.99), report.first_token.quantile(0.99));
        format!("{} ms, of first tokens {} ms", whole.as_millis(), first.as_millis())
    };
    let (sent, p99, p99_before) = (report.sent, p99(report), p99(before));
    let failures: Vec<_> =
        report.failures.iter().map(|(kind, count)| format!("{count} × {kind:?}")).collect();
    let failures = if failures.is_empty() { String::new() } else { format!("; {}", failures.join(", ")) };
    for example in &report.examples {
        tracing::warn!(what, example, "failed");
    }
    format!(
        "{what}: {sent} requests at {RATE} a second, one in five streamed, p99 {p99} (before the change {p99_before}){failures}"
    )
}

/// Prints a figure.
pub(super) fn tell(name: &str, value: f64, how: &str) -> Result<()> {
    tell_beside(name, value, None, how)
}

/// Says a figure beside its baseline.
pub(super) fn tell_beside(name: &str, value: f64, baseline: Option<f64>, how: &str) -> Result<()> {
    let line = Line { name: name.into(), value, baseline, how: how.into() };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?)?;
    Ok(())
}
