//! What overload does to whom: five times what the pool can do, three criticalities of twenty tenants each, through a real
//! Envoy.
//!
//! ```text
//! alone:     critical ─────────────────────────────▶ p99
//! overload:  critical (½ of what the pool can do) ─┐
//!            standard (1½, one tenant greedy) ─────┼─▶ p99 of critical, shares of standard's tenants, refusals of sheddable
//!            sheddable (3) ────────────────────────┘
//! ```

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    context::Context,
    figure::{Aim, Figure},
    installation::Installation,
    manifests::{MODEL_PORT, pod_name, pool},
    samples::Samples,
};
use crate::{
    client::Client,
    simulator::{Fleet, PodConfig},
    stack::manifests::model_route,
};

/// The figures' names.
pub(super) const NAMES: &[&str] =
    &["critical_p99_ratio", "jain", "sheddable_429_share", "overload_goodput_share"];

const MODEL: &str = "overloaded";
const TENANTS: usize = 20;
const PODS: u8 = 4;
/// Requests that a Pod runs at a time.
const BATCH: usize = 32;
const TOKENS: usize = 40;
const ITL_MS: f64 = 50.0;
/// Requests a second that the pool can do.
const CAPACITY: f64 = PODS as f64 * BATCH as f64 * 1000.0 / (TOKENS as f64 * ITL_MS);
/// The greedy tenant's share of what its criticality asks for.
const GREEDY: f64 = 0.4;
/// Critical requests alone.
const ALONE: Duration = Duration::from_secs(8);
/// Until the picker has learned what a Pod runs, and the queue is as it stays.
const SETTLING: Duration = Duration::from_secs(8);
const MEASURED: Duration = Duration::from_secs(20);

/// A criticality: its objective, its share of what the pool can do, and the greedy tenant's share of it.
type Class = (&'static str, f64, f64);

const EVEN: f64 = 1.0 / TENANTS as f64;
const CRITICAL: Class = ("critical", 0.5, EVEN);
const STANDARD: Class = ("standard", 1.5, GREEDY);
const SHEDDABLE: Class = ("sheddable", 3.0, EVEN);

/// What became of the requests of one tenant of a criticality.
#[derive(Debug, Default)]
struct Told {
    good: Samples,
    /// By status and reason.
    refused: BTreeMap<(u16, String), usize>,
}

type Answers = Arc<Mutex<BTreeMap<(&'static str, usize), Told>>>;

/// Measures them.
///
/// # Errors
/// When the installation does not start, or nobody is answered.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut installation = Installation::new(context, "overload")?;
    let addresses = installation.pods(0, PODS);
    let fleet = Fleet::start(addresses.iter().map(|address| server(*address))).await?;
    installation.manifests.write("pool.yaml", &manifest(&addresses))?;
    installation.manifests.write("route.yaml", &model_route(MODEL, MODEL, &[("overloaded", 1)]))?;
    installation.start(MODEL).await?;
    let client = installation.client();
    let alone = run(&client, &[CRITICAL], Duration::ZERO, ALONE).await?;
    let loaded = run(&client, &[CRITICAL, STANDARD, SHEDDABLE], SETTLING, MEASURED).await?;
    installation.end().await?;
    drop(fleet);
    figures(&alone, &loaded)
}

fn server(address: IpAddr) -> PodConfig {
    PodConfig {
        prefill_overhead_ms: Some(1.0),
        prefill_ms_per_token: Some(0.01),
        itl_base_ms: Some(ITL_MS),
        itl_per_sequence_ms: Some(0.0),
        max_num_seqs: BATCH,
        ..PodConfig::new(&pod_name("overloaded", address), (address, MODEL_PORT).into(), MODEL)
    }
}

/// The pool, whose queue is short enough to fill up, and whose Pods are given one more than they run: so the picker finds out
/// how many that are.
fn manifest(pods: &[IpAddr]) -> String {
    let managed = "    signalbox.dev/picker: managed\n";
    let settings = "    signalbox.dev/endpoint-queue: \"1\"\n    signalbox.dev/queue-requests: \"128\"\n";
    let mut text = pool("overloaded", pods).replace(managed, &format!("{managed}{settings}"));
    for (name, priority) in [("critical", 100), ("standard", 0), ("sheddable", -100)] {
        text.push_str(&format!(
            "---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata:
  name: {name}
spec:
  priority: {priority}
  poolRef:
    name: overloaded
"
        ));
    }
    text
}

/// Requests of all tenants of these classes, as Poisson processes; what became of those that began after `settling`.
async fn run(client: &Client, classes: &[Class], settling: Duration, measured: Duration) -> Result<Answers> {
    let answers = Answers::default();
    let from = Instant::now() + settling;
    let until = from + measured;
    let mut tasks = JoinSet::new();
    for (class, share, greedy) in classes.iter().copied() {
        for tenant in 0..TENANTS {
            let others = (1.0 - greedy) / (TENANTS - 1) as f64;
            let rate = CAPACITY * share * if tenant == 0 { greedy } else { others };
            let (client, answers) = (client.clone(), Arc::clone(&answers));
            tasks.spawn(async move {
                let mut random = fastrand::Rng::with_seed(tenant as u64);
                let mut next = Instant::now();
                let mut open = JoinSet::new();
                for number in 0.. {
                    next += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate);
                    if next > until {
                        break;
                    }
                    sleep_until(next).await;
                    while open.try_join_next().is_some() {}
                    let (client, answers) = (client.clone(), Arc::clone(&answers));
                    let counts = next >= from;
                    open.spawn(async move { ask(&client, (class, tenant), number, counts, &answers).await });
                }
                // Those that wait when all is over are told nothing.
                sleep(Duration::from_millis(2 * TOKENS as u64 * ITL_MS as u64)).await;
            });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(answers)
}

async fn ask(client: &Client, of: (&'static str, usize), number: usize, counts: bool, answers: &Answers) {
    let (class, tenant) = of;
    let prompt = format!("{class} {tenant} {number} asks what everybody wants to know");
    let body = json!({"model": MODEL, "prompt": prompt, "max_tokens": TOKENS, "ignore_eos": true});
    let headers = [
        ("x-gateway-inference-objective", class),
        ("x-gateway-inference-fairness-id", &format!("{class}-{tenant}")),
    ];
    let begun = Instant::now();
    let reply = client.post("/v1/completions", body.to_string(), &headers).await;
    if !counts {
        return;
    }
    let mut answers = answers.lock();
    let told = answers.entry(of).or_default();
    match reply {
        Ok(reply) if reply.status == StatusCode::OK => {
            told.good.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(reply) => {
            let reason = reply.header("x-signalbox-reason").to_owned();
            *told.refused.entry((reply.status.as_u16(), reason)).or_default() += 1;
        }
        Err(error) => *told.refused.entry((0, format!("{error:#}"))).or_default() += 1,
    }
}

fn figures(alone: &Answers, loaded: &Answers) -> Result<Vec<Figure>> {
    let (alone, loaded) = (alone.lock(), loaded.lock());
    let times = |answers: &BTreeMap<(&str, usize), Told>, class: &str| {
        let of_class = answers.iter().filter(|((known, _), _)| *known == class);
        of_class.fold(Samples::default(), |mut all, (_, told)| {
            all.append(told.good.clone());
            all
        })
    };
    let refused = |class: &str| {
        let mut all = BTreeMap::<(u16, String), usize>::new();
        let of_class = loaded.iter().filter(|((known, _), _)| *known == class);
        for (why, count) in of_class.flat_map(|(_, told)| &told.refused) {
            *all.entry(why.clone()).or_default() += count;
        }
        all
    };
    let (before, critical) = (times(&alone, "critical"), times(&loaded, "critical"));
    let (standard, sheddable) = (times(&loaded, "standard"), times(&loaded, "sheddable"));
    ensure!(before.len() > 20 && critical.len() > 20, "critical requests are not answered: {loaded:?}");
    let ratio = critical.percentile(99.0) / before.percentile(99.0);
    let shares: Vec<f64> = (0..TENANTS)
        .map(|tenant| loaded.get(&("standard", tenant)).map_or(0.0, |told| told.good.len() as f64))
        .collect();
    let shed = refused("sheddable");
    let all: usize = shed.values().sum();
    let answered_429: usize = shed
        .iter()
        .filter(|((status, reason), _)| *status == 429 && !reason.is_empty())
        .map(|(_, n)| n)
        .sum();
    let scene = format!(
        "{PODS} simulated Pods of {BATCH} requests at a time and {ITL_MS} ms a token whatever the batch (so that only waiting is \
         measured), {TOKENS} tokens each: {CAPACITY:.0} requests/s; {TENANTS} tenants of each criticality send 0.5, 1.5 and 3 \
         times that for {} s, one tenant of standard {GREEDY} of its part; queue of 128, endpoint-queue 1",
        MEASURED.as_secs()
    );
    let told = |refused: &BTreeMap<(u16, String), usize>| {
        let each = refused.iter().map(|((status, reason), count)| format!("{count} × {status} {reason}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let good = critical.len() + standard.len() + sheddable.len();
    Ok(vec![
        Figure::new(
            NAMES[0],
            ratio,
            "ratio",
            format!(
                "p99 of critical under overload ({:.0} ms, p50 {:.0} ms, {} answered, refused: [{}]) ÷ alone in the same run \
                 ({:.0} ms); {scene}",
                critical.percentile(99.0),
                critical.percentile(50.0),
                critical.len(),
                told(&refused("critical")),
                before.percentile(99.0),
            ),
        )
        .aim(Aim::AtMost(1.10)),
        Figure::new(
            NAMES[1],
            jain(&shares),
            "index",
            format!(
                "Jain's index of answers to standard's tenants ({shares:?}, refused: [{}]); {scene}",
                told(&refused("standard"))
            ),
        )
        .aim(Aim::AtLeast(0.95)),
        Figure::new(
            NAMES[2],
            answered_429 as f64 / all.max(1) as f64,
            "share",
            format!(
                "of {all} sheddable requests that were refused those that were answered 429 with a reason ({}); {} were served",
                told(&shed),
                sheddable.len()
            ),
        ),
        Figure::new(
            NAMES[3],
            good as f64 / (CAPACITY * MEASURED.as_secs_f64()),
            "share",
            format!("answers of all criticalities ÷ what the pool can do; {scene}"),
        ),
    ])
}

/// 1 when all have the same, 1/n when one has all.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    if squares == 0.0 { 0.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_fairness() {
        assert_eq!(jain(&[0.0; 3]), 0.0);
        assert!((jain(&[3.0; 20]) - 1.0).abs() < 1e-9);
        assert!((jain(&[1.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn all_together_is_five_times_what_the_pool_can_do() {
        let shares: f64 = [CRITICAL, STANDARD, SHEDDABLE].iter().map(|(_, share, _)| share).sum();
        assert!((shares - 5.0).abs() < 1e-9 && (CAPACITY - 64.0).abs() < 1e-9);
    }
}
