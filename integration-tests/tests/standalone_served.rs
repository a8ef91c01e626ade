//! What became of a pick when Envoy sends the request elsewhere: Envoy says who served, the picker counts and records it.
//!
//! ```text
//! picker (this test's, from a file) ─ picked ─▶ Envoy ─ its own endpoints ─▶ who answers
//!                                       ◀─ served: whom Envoy tried last ─┘
//! ```
//! The picker's endpoints are those of its file, Envoy's are those of the manifests: so a pick can be of an endpoint
//! that Envoy has no more, as it is for a moment after one goes.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use integration_tests::{
    client::{Client, Reply},
    simulator::{Faults, Fleet, PodConfig},
    stack::{Example, Process, Stack, binaries, manifests},
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const POOL: &str = "default/gemma3";
const SERVING: [&str; 3] = ["gemma3-0", "gemma3-1", "gemma3-2"];

/// A stack whose pool `gemma3` has a picker of ours, with its own file of endpoints.
struct Bed {
    stack: Stack,
    /// By name: the Pods of the manifests, and `ghost`, which is in none of them and answers.
    addresses: BTreeMap<String, SocketAddr>,
    admin: Client,
    _picker: Process,
}

impl Bed {
    async fn start() -> Result<Self> {
        let mut example = Example::relocated()?;
        let at = example.block.address(240);
        let pools = example.manifests.read("pools.yaml")?;
        let foreign = "signalbox.dev/picker-mode: buffered\n    signalbox.dev/picker-tls: \"false\"";
        // Those of the other pool stay managed.
        example
            .manifests
            .write("pools.yaml", &pools.replacen("signalbox.dev/picker: managed", foreign, 1))?;
        example.manifests.write("epp.yaml", &manifests::service("gemma3-epp", 9002, &[at]))?;
        let ghost = PodConfig {
            name: "ghost".into(),
            listen: vec![SocketAddr::new(example.block.address(200), 8000)],
            ..example.pods.iter().find(|pod| pod.name == "gemma3-0").context("gemma3-0")?.clone()
        };
        example.pods.push(ghost);
        for pod in &mut example.pods {
            pod.speed = 50.0;
        }
        let addresses: BTreeMap<_, _> =
            example.pods.iter().map(|pod| (pod.name.clone(), pod.listen[0])).collect();
        let pools = example.manifests.scratch().join("picker.yaml");
        fs::write(&pools, file(&addresses, &[], "gemma3-0"))?;
        let listen = |port: u16| SocketAddr::new(at, port).to_string();
        let (ext_proc, health, admin) = (listen(9002), listen(9003), listen(9090));
        let arguments = ["--listen", &ext_proc, "--health-listen", &health, "--metrics-listen", &admin];
        let more = ["--secure-serving", "false", "--explain-header", "record", "--pools-file"];
        let arguments = [&arguments[..], &more, &[pools.to_str().context("text")?]].concat();
        let log = example.manifests.scratch().join("picker.log");
        let picker = Process::spawn("picker", &binaries::named("signalbox-picker")?, &arguments, log)?;
        let fleet = Fleet::start(example.pods).await?;
        let stack = Stack::start(example.manifests, fleet).await?;
        let bed = Self { stack, addresses, admin: Client::new(admin.parse()?), _picker: picker };
        bed.picks(&SERVING, "gemma3-0").await?;
        Ok(bed)
    }

    /// The picker knows these Pods, and all but one of them do not take requests. Returns when it picks that one.
    async fn picks(&self, known: &[&str], one: &str) -> Result<()> {
        let (path, new) = (self.scratch("picker.yaml"), self.scratch("picker.new"));
        fs::write(&new, file(&self.addresses, known, one))?;
        fs::rename(new, path)?;
        let address = self.addresses[one].to_string();
        let picked = async || match self.ask().await {
            Ok((_, decision)) => decision["picked"]["endpoint"] == address.as_str(),
            Err(_) => false,
        };
        self.stack.eventually(&format!("{one} is picked"), SOON, picked).await
    }

    fn scratch(&self, file: &str) -> PathBuf {
        self.stack.manifests.scratch().join(file)
    }

    /// Sends a request; the answer, and what the picker recorded of it when it had ended.
    async fn ask(&self) -> Result<(Reply, Value)> {
        let body = json!({"model": "chatbot", "prompt": "x", "max_tokens": 1}).to_string();
        let reply =
            self.stack.client.post("/v1/completions", body, &[("x-signalbox-explain", "true")]).await?;
        let id = reply.header("x-request-id").to_owned();
        let deadline = Instant::now() + SOON;
        loop {
            let decisions = self.admin.get("/explain?limit=64").await?.json();
            let mut rows = decisions["decisions"].as_array().context("a list")?.iter();
            let found = rows.find(|row| row["requestId"] == id.as_str()).cloned().unwrap_or_default();
            if found["happened"]["state"].as_str().is_some_and(|state| state != "in_flight") {
                return Ok((reply, found));
            }
            ensure!(Instant::now() < deadline, "request {id} does not end: {} {found}", reply.status);
        }
    }

    async fn elsewhere(&self) -> Result<u64> {
        let text = self.admin.get("/metrics").await?.text();
        let line = format!("signalbox_picker_served_elsewhere_total{{pool=\"{POOL}\"}} ");
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        Ok(value.with_context(|| text.clone())?.parse::<f64>()? as u64)
    }

    /// The next request is served by one of the Pods, which the picker is told; counted as moved or not.
    async fn is_served(&self, by: &[&str], moved: bool) -> Result<()> {
        let before = self.elsewhere().await?;
        let (reply, decision) = self.ask().await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        ensure!(by.contains(&reply.pod()), "served by {}: {decision}", reply.pod());
        let served = self.addresses[reply.pod()].to_string();
        ensure!(decision["happened"]["served"] == served.as_str(), "{served} answered: {decision}");
        let counted = self.elsewhere().await? - before;
        ensure!(counted == u64::from(moved), "counted {counted} times: {decision}");
        Ok(())
    }
}

/// The picker's file: those of `known` and `one` of the Pods; only `one` takes requests.
fn file(addresses: &BTreeMap<String, SocketAddr>, known: &[&str], one: &str) -> String {
    let endpoint = |name: &str| json!({"address": addresses[name], "pod": name, "draining": name != one, "engine": "vllm"});
    let mut names = known.to_vec();
    names.extend((!known.contains(&one)).then_some(one));
    let endpoints: Vec<_> = names.into_iter().map(endpoint).collect();
    json!({"pools": [{"name": POOL, "endpoints": endpoints}]}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_elsewhere_is_told_and_counted() {
    let bed = Bed::start().await.unwrap();
    bed.is_served(&["gemma3-0"], false).await.unwrap();

    // An endpoint that Envoy has no more, though it still answers: another one serves, known to the picker or not.
    bed.picks(&SERVING, "ghost").await.unwrap();
    bed.is_served(&SERVING, true).await.unwrap();
    bed.picks(&[], "ghost").await.unwrap();
    bed.is_served(&SERVING, true).await.unwrap();

    // An endpoint that refuses between pick and connection: the request is tried at another one.
    bed.picks(&SERVING, "gemma3-0").await.unwrap();
    let refuses = Faults { refuse: true, ..Faults::default() };
    bed.stack.fleet.pod("gemma3-0").set_faults(refuses.clone());
    bed.is_served(&SERVING[1..], true).await.unwrap();

    // All refuse: the client is told so, and the picker whom Envoy tried last.
    for name in &SERVING[1..] {
        bed.stack.fleet.pod(name).set_faults(refuses.clone());
    }
    let before = bed.elsewhere().await.unwrap();
    let (reply, decision) = bed.ask().await.unwrap();
    let answer = (reply.status.as_u16(), reply.header("x-signalbox-reason"));
    assert_eq!(answer, (503, "upstream_unreachable"), "{decision}");
    let happened = &decision["happened"];
    let tried = |name: &&str| happened["served"] == bed.addresses[*name].to_string().as_str();
    assert!(SERVING[1..].iter().any(tried) && happened["failedStatus"] == 503, "{decision}");
    assert_eq!(bed.elsewhere().await.unwrap() - before, 1, "{decision}");

    // They are back, and so is the endpoint that was picked.
    for name in SERVING {
        bed.stack.fleet.pod(name).set_faults(Faults::default());
    }
    let well = async || bed.is_served(&["gemma3-0"], false).await.is_ok();
    bed.stack.eventually("the picked one serves again", SOON, well).await.unwrap();
}
