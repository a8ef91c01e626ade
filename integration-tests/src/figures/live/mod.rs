//! How good the picker's choice is on the live path: three servers of three speeds behind a real Envoy, the policies in
//! turn, the same arrivals for each.
//!
//! ```text
//!            ┌─▶ Envoy ─ our picker ────────────────────────┐
//! arrivals ──┤                                              ├─▶ the same model servers
//! (in turn)  └─▶ Envoy ─ compared-picker, policy by header ─┘
//! ```
//!
//! A round plays each load with each policy; all of a slice is answered before the next one begins, and each round begins
//! with another policy.

mod compared;
mod load;
mod scene;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::time::sleep;

pub use self::compared::{COMPARED_POLICY, Compared};
use self::{
    load::{Answered, Plan},
    scene::{COUNT, FASTER, MODEL, accelerator, capacity, manifest, servers},
};
use super::{
    context::Context,
    figure::{Aim, Figure},
    installation::{Installation, Picks},
    manifests::MODEL_PORT,
    samples::Samples,
};
use crate::{client::Client, stack::manifests::model_route};

/// The figures' names: the quantiles of [`QUANTILES`] at the first load, then at the second.
pub(super) const NAMES: &[&str] = &[
    "live_ttft_p50_ratio_50",
    "live_ttft_p90_ratio_50",
    "live_e2e_p50_ratio_50",
    "live_e2e_p90_ratio_50",
    "live_e2e_p99_ratio_50",
    "live_ttft_p50_ratio_80",
    "live_ttft_p90_ratio_80",
    "live_e2e_p50_ratio_80",
    "live_e2e_p90_ratio_80",
    "live_e2e_p99_ratio_80",
];

/// Shares of what the servers can do, and how long a slice sends them.
const LOADS: [(f64, Duration); 2] = [(0.5, Duration::from_millis(5_500)), (0.8, Duration::from_secs(8))];
const ROUNDS: u64 = 2;
/// In it our picker learns the speeds, as one that has served for a while has.
const WARM_UP: Duration = Duration::from_secs(8);
/// After a slice: until the pickers have read the idle servers.
const PAUSE: Duration = Duration::from_millis(100);

/// Milliseconds between two scrapes of an endpoint by the compared picker: 50, as many times as fast as the servers are.
const SCRAPE_MS: u64 = (50.0 / FASTER) as u64;

/// Our name in the table.
const OURS: &str = "ours";
/// What the figures are ratios to.
const SCORERS: &str = "scorer-sum";
const LEAST: &str = "least-request";

/// Which time, and which percentile of it.
type Quantile = (fn(&Answered) -> f64, f64);

const QUANTILES: [Quantile; 5] = [
    (|answered| answered.first, 50.0),
    (|answered| answered.first, 90.0),
    (|answered| answered.end, 50.0),
    (|answered| answered.end, 90.0),
    (|answered| answered.end, 99.0),
];

/// Answers of each policy.
type Answers = BTreeMap<&'static str, Vec<Answered>>;

/// Measures them.
///
/// # Errors
/// When a part does not start, or a request fails.
pub(super) async fn measure(context: &Context) -> Result<Vec<Figure>> {
    let mut ours = Installation::new(context, "live-ours")?;
    let addresses = ours.pods(0, COUNT);
    let servers = servers(&addresses);
    let capacity = capacity(&servers)?;
    let endpoints: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, MODEL_PORT)).collect();
    let mut others = Installation::new(context, "live-compared")?;
    others.picks = Picks::Compared { endpoints, scrape_ms: SCRAPE_MS };
    let _fleet = context.model_servers("live-servers", &servers, &context.directory("live")?).await?;
    for installation in [&mut ours, &mut others] {
        installation.manifests.write("pool.yaml", &manifest(&addresses))?;
        installation.manifests.write("route.yaml", &model_route(MODEL, MODEL, &[(MODEL, 1)]))?;
        installation.start(MODEL).await?;
    }
    let players = players(&ours.client(), &others.client());
    warm_up(&players, capacity).await?;
    let mut played = [Answers::new(), Answers::new()];
    for round in 0..ROUNDS {
        for ((index, (share, span)), answers) in LOADS.iter().enumerate().zip(&mut played) {
            let seed = round * 10 + index as u64 + 1;
            let plan = Plan::draw(capacity * share, *span, seed);
            for turn in 0..players.len() {
                let number = (turn + round as usize) % players.len();
                let (policy, client) = &players[number];
                let answered = plan.run(client, policy, seed * 10 + number as u64).await?;
                answers.entry(policy).or_default().extend(answered);
                sleep(PAUSE).await;
            }
        }
    }
    ours.end().await?;
    others.end().await?;
    let tell = |(load, answers): (usize, &Answers)| {
        let picks = |pod: &str| accelerator(pod, &addresses);
        figures(load, answers, capacity, &picks)
    };
    Ok(played.iter().enumerate().flat_map(tell).collect())
}

/// Each policy with the Gateway at which it decides.
fn players(ours: &Client, others: &Client) -> Vec<(&'static str, Client)> {
    let others = Compared::ALL.into_iter().map(|policy| (policy.name(), others.clone()));
    [(OURS, ours.clone())].into_iter().chain(others).collect()
}

async fn warm_up(players: &[(&'static str, Client)], capacity: f64) -> Result<()> {
    for (policy, client) in players {
        let span = if *policy == OURS { WARM_UP } else { WARM_UP / 8 };
        Plan::draw(capacity * 0.6, span, 0).run(client, policy, 0).await?;
    }
    sleep(PAUSE).await;
    Ok(())
}

/// A quantile of a policy, in milliseconds.
fn quantile(answers: &[Answered], (of, percent): Quantile) -> f64 {
    answers.iter().map(|answered| of(answered) * 1000.0).collect::<Samples>().percentile(percent)
}

fn figures(
    load: usize,
    answers: &Answers,
    capacity: f64,
    accelerator: &dyn Fn(&str) -> &'static str,
) -> Vec<Figure> {
    let (share, span) = LOADS[load];
    let names = &NAMES[load * QUANTILES.len()..][..QUANTILES.len()];
    let scene = format!(
        "{:.0} % of the {capacity:.1} requests/s that the servers can do; percentiles of {} requests of each policy, {ROUNDS} \
         rounds of {:.1} s each",
        share * 100.0,
        answers[OURS].len(),
        span.as_secs_f64(),
    );
    let table: Vec<_> = answers.iter().map(|(policy, answers)| line(policy, answers, accelerator)).collect();
    let whole = format!(
        "a simulated H100, A100 and L40S (prompts 30 ms + 0.25 ms a token, 35 + 0.42, 40 + 0.85; 12, 20 and 30 ms between tokens; \
         8 requests at a time), {FASTER:.0} times as fast, behind a real Envoy; prompts of 300 to 1300 tokens that have nothing in \
         common, streamed answers of 100, Poisson arrivals, the same for each policy; our picker with its defaults after {} s \
         of load, the scorer sum scraping every {SCRAPE_MS} ms; {scene}; TTFT p50/p90, end to end p50/p90/p99 in ms, and \
         requests by server: {}",
        WARM_UP.as_secs(),
        table.join("; ")
    );
    let figure = |(index, (name, of)): (usize, (&&'static str, &Quantile))| {
        let of = |policy: &str| quantile(&answers[policy], *of);
        let how = match index {
            0 => format!("ours ÷ the scorer sum (2 · queue + 2 · free KV + 3 · prefix): {whole}"),
            _ => {
                format!("ours ({:.0} ms) ÷ the scorer sum ({:.0} ms), as {}", of(OURS), of(SCORERS), names[0])
            }
        };
        Figure::new(name, of(OURS) / of(SCORERS), "ratio", how)
            .aim(Aim::AtMost(1.0))
            .baseline("least requests", of(LEAST) / of(SCORERS))
    };
    names.iter().zip(&QUANTILES).enumerate().map(figure).collect()
}

/// `policy p50/p90, p50/p90/p99, picks`.
fn line(policy: &str, answers: &[Answered], accelerator: &dyn Fn(&str) -> &'static str) -> String {
    let [a, b, c, d, e] = QUANTILES.map(|of| quantile(answers, of));
    let mut picks = BTreeMap::<&str, usize>::new();
    for answered in answers {
        *picks.entry(accelerator(&answered.pod)).or_default() += 1;
    }
    let picks: Vec<_> = picks.iter().map(|(of, count)| format!("{of} {count}")).collect();
    format!("{policy} {a:.0}/{b:.0}, {c:.0}/{d:.0}/{e:.0}, {}", picks.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::Block;

    #[test]
    fn ratios_are_to_the_scorer_sum() {
        let answered = |first: f64| Answered { first, end: 4.0 * first, pod: "p".to_owned() };
        let of = |policy, first: f64| (policy, vec![answered(first); 3]);
        let answers: Answers = [of(OURS, 0.1), of(SCORERS, 0.2), of(LEAST, 0.3)].into();
        for load in 0..LOADS.len() {
            let figures = figures(load, &answers, 10.0, &|_| "h100");
            assert_eq!(figures.len(), QUANTILES.len());
            for figure in figures {
                assert!(NAMES.contains(&figure.name) && (figure.value - 0.5).abs() < 1e-9, "{figure}");
                assert!((figure.baseline.unwrap().value - 1.5).abs() < 1e-9);
                assert!(figure.name.ends_with(["50", "80"][load]));
            }
        }
    }

    #[test]
    fn every_policy_plays() {
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], Block::GATEWAY_PORT)));
        let players = players(&client, &client);
        let names: Vec<_> = players.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [OURS, SCORERS, LEAST, "round-robin", "random"]);
        assert!(names[1..].iter().all(|name| Compared::named(name).is_some()));
    }
}
