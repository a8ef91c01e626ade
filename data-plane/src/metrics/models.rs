//! Requests by what they ask for and where they go. The same numbers are also given under the names of other pickers.
//!
//! | `signalbox_picker_…` | labels | |
//! |---|---|---|
//! | `model_requests_total` | pool, model, priority, outcome, reason | picked or refused, with its reason |
//! | `picks_total` | pool, model, accelerator, priority | requests by the class that they were sent to |
//! | `prompt_tokens_total` | pool, model, accelerator | of picks, estimated |
//! | `cached_tokens_expected_total` | pool, model, accelerator | of these, expected in the endpoint's prefix cache |
//! | `answers_with_cached_tokens_total` | pool, model, accelerator | answers that told how many prompt tokens were cached |
//! | `cached_tokens_predicted_total`, `cached_tokens_reported_total` | pool, model, accelerator | of these answers: expected, and reported |
//! | `ttft_seconds`, `ttft_expected_seconds` | pool, model, accelerator | time to the first token of streams, and what was expected of it |
//! | `ttft_error_ratio` | pool, accelerator | observed over expected; 1: as expected |
//! | `request_seconds` | pool, model, accelerator | from the end of the request to the end of the answer, as far as it is seen |
//! | `endpoint_errors_total` | pool, model, accelerator | answers with a status of 500 or above, or none |
//!
//! | `llm_d_epp_…`, `inference_objective_…` | labels |
//! |---|---|
//! | `request_total`, `request_duration_seconds`, `request_ttft_seconds` | model_name, target_model_name, priority |
//! | `request_error_total` | and error_code |
//!
//! Clients choose the names of models, so `model` is a name only if the pool knows it: an InferenceModelRewrite, an
//! InferenceObjective's model or the label `llm-d.ai/model` of a Pod says it, or a model server reports it as its model
//! or its adapter. Everything else is `other`; and a pool has at most 256 names, further ones are `other`, too. A body
//! without a model counts as "". Names stay known for as long as the pool is. `accelerator` is the class of the picked
//! endpoint, `priority` that of the objective: both come from objects of the cluster.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use xxhash_rust::xxh3::xxh3_64;

/// Names of models that a pool has.
const NAMES: usize = 256;
const OTHER: &str = "other";

/// Prefixes of other pickers' metrics: llm-d's, and the older one of the inference extension.
const PEERS: [&str; 2] = ["llm_d_epp", "inference_objective"];

const TTFT_SECONDS: [f64; 15] =
    [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0, 8.0, 15.0, 60.0];
const REQUEST_SECONDS: [f64; 13] =
    [0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
const RATIOS: [f64; 12] = [0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0];

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asks<'a> {
    /// The model in its body.
    pub model: &'a str,
    /// The model that it is sent on with.
    pub target: &'a str,
    /// The priority of its objective.
    pub priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    pool: String,
    model: String,
    priority: i32,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PickLabels {
    pool: String,
    model: String,
    accelerator: String,
    priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    pool: String,
    model: String,
    accelerator: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    pool: String,
    accelerator: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    model_name: String,
    target_model_name: String,
    priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerErrorLabels {
    model_name: String,
    target_model_name: String,
    priority: i32,
    error_code: String,
}

/// The families of all pools. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct ModelFamilies {
    requests: Family<RequestLabels, Counter>,
    picks: Family<PickLabels, Counter>,
    prompt_tokens: Family<ModelLabels, Counter>,
    cached_expected: Family<ModelLabels, Counter>,
    cached_answers: Family<ModelLabels, Counter>,
    cached_predicted: Family<ModelLabels, Counter>,
    cached_reported: Family<ModelLabels, Counter>,
    errors: Family<ModelLabels, Counter>,
    ttft: Family<ModelLabels, Histogram>,
    ttft_expected: Family<ModelLabels, Histogram>,
    ttft_error: Family<ClassLabels, Histogram>,
    seconds: Family<ModelLabels, Histogram>,
    peer_requests: Family<PeerLabels, Counter>,
    peer_errors: Family<PeerErrorLabels, Counter>,
    peer_ttft: Family<PeerLabels, Histogram>,
    peer_seconds: Family<PeerLabels, Histogram>,
}

impl Default for ModelFamilies {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            picks: Family::default(),
            prompt_tokens: Family::default(),
            cached_expected: Family::default(),
            cached_answers: Family::default(),
            cached_predicted: Family::default(),
            cached_reported: Family::default(),
            errors: Family::default(),
            ttft: Family::new_with_constructor(|| Histogram::new(TTFT_SECONDS)),
            ttft_expected: Family::new_with_constructor(|| Histogram::new(TTFT_SECONDS)),
            ttft_error: Family::new_with_constructor(|| Histogram::new(RATIOS)),
            seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            peer_requests: Family::default(),
            peer_errors: Family::default(),
            peer_ttft: Family::new_with_constructor(|| Histogram::new(TTFT_SECONDS)),
            peer_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
        }
    }
}

impl ModelFamilies {
    pub(super) fn register(&self, ours: &mut Registry, peers: &mut Registry) {
        ours.register("model_requests", "Requests by model, outcome and reason", self.requests.clone());
        ours.register("picks", "Requests by the class of accelerator they were sent to", self.picks.clone());
        for (name, help, family) in [
            ("prompt_tokens", "Prompt tokens of picks, estimated", &self.prompt_tokens),
            (
                "cached_tokens_expected",
                "Prompt tokens of picks expected in the prefix cache",
                &self.cached_expected,
            ),
            (
                "answers_with_cached_tokens",
                "Answers that told how many prompt tokens were cached",
                &self.cached_answers,
            ),
            (
                "cached_tokens_predicted",
                "Cached tokens expected of answers that told theirs",
                &self.cached_predicted,
            ),
            ("cached_tokens_reported", "Cached tokens that answers told", &self.cached_reported),
            ("endpoint_errors", "Answers with a status of 500 or above, or none", &self.errors),
        ] {
            ours.register(name, help, family.clone());
        }
        for (name, help, family) in [
            ("ttft", "Time from the decision to the first token of streams", &self.ttft),
            ("ttft_expected", "What was expected of it", &self.ttft_expected),
            ("request", "Time from the end of the request to the end of the answer", &self.seconds),
        ] {
            ours.register_with_unit(name, help, Unit::Seconds, family.clone());
        }
        ours.register(
            "ttft_error_ratio",
            "Observed over expected time to the first token",
            self.ttft_error.clone(),
        );
        for prefix in PEERS {
            let peer = peers.sub_registry_with_prefix(prefix);
            peer.register("request", "Requests", self.peer_requests.clone());
            peer.register("request_error", "Requests that failed or were refused", self.peer_errors.clone());
            for (name, help, family) in [
                ("request_ttft", "Time to the first token", &self.peer_ttft),
                ("request_duration", "Time to the end", &self.peer_seconds),
            ] {
                peer.register_with_unit(name, help, Unit::Seconds, family.clone());
            }
        }
    }

    /// The handles of `pool`.
    pub(super) fn pool(&self, pool: &str) -> ModelMetrics {
        ModelMetrics {
            families: self.clone(),
            pool: pool.to_owned(),
            names: RwLock::default(),
            handles: RwLock::default(),
        }
    }
}

/// The metrics of one pool by model.
#[derive(Debug)]
pub struct ModelMetrics {
    families: ModelFamilies,
    pool: String,
    /// Names that are labels. Guards the set only; read for each request.
    names: RwLock<BTreeSet<Box<str>>>,
    /// By a hash of the labels, which are names that are known, or `other`. Guards the map only.
    handles: RwLock<HashMap<u64, Arc<PickMetrics>>>,
}

/// The metrics of picks with the same labels.
#[derive(Debug)]
pub struct PickMetrics {
    families: ModelFamilies,
    peer: PeerLabels,
    picked: Counter,
    picks: Counter,
    prompt_tokens: Counter,
    cached_expected: Counter,
    cached_answers: Counter,
    cached_predicted: Counter,
    cached_reported: Counter,
    errors: Counter,
    ttft: Histogram,
    ttft_expected: Histogram,
    ttft_error: Histogram,
    seconds: Histogram,
    peer_requests: Counter,
    peer_ttft: Histogram,
    peer_seconds: Histogram,
}

impl ModelMetrics {
    /// The label of `model`. `is_known` is asked for names that were not known before.
    fn label<'a>(&self, model: &'a str, is_known: &impl Fn(&str) -> bool) -> &'a str {
        if model.is_empty() || self.names.read().contains(model) {
            return model;
        }
        if !is_known(model) {
            return OTHER;
        }
        let mut names = self.names.write();
        if names.len() >= NAMES {
            return OTHER;
        }
        names.insert(model.into());
        model
    }

    /// The metrics of a pick at an endpoint of class `accelerator`.
    pub fn picks(
        &self,
        asks: Asks<'_>,
        accelerator: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Arc<PickMetrics> {
        let Asks { priority, .. } = asks;
        let model = self.label(asks.model, &is_known);
        let target = self.label(asks.target, &is_known);
        let key = [model, target, accelerator].map(|name| xxh3_64(name.as_bytes()));
        let key = key.iter().fold(u64::from(priority.cast_unsigned()), |all, one| {
            all.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ one
        });
        if let Some(known) = self.handles.read().get(&key) {
            return Arc::clone(known);
        }
        let made = Arc::new(self.made(model, target, priority, accelerator));
        Arc::clone(self.handles.write().entry(key).or_insert(made))
    }

    fn made(&self, asked: &str, target: &str, priority: i32, accelerator: &str) -> PickMetrics {
        let f = &self.families;
        let (pool, model) = (self.pool.clone(), target.to_owned());
        let accelerator = accelerator.to_owned();
        let class = ClassLabels { pool: pool.clone(), accelerator: accelerator.clone() };
        let labels =
            ModelLabels { pool: pool.clone(), model: model.clone(), accelerator: accelerator.clone() };
        let picks = PickLabels { pool: pool.clone(), model: model.clone(), accelerator, priority };
        let picked = RequestLabels { pool, model, priority, outcome: "picked", reason: "" };
        let peer =
            PeerLabels { model_name: asked.to_owned(), target_model_name: target.to_owned(), priority };
        PickMetrics {
            picked: f.requests.get_or_create_owned(&picked),
            picks: f.picks.get_or_create_owned(&picks),
            prompt_tokens: f.prompt_tokens.get_or_create_owned(&labels),
            cached_expected: f.cached_expected.get_or_create_owned(&labels),
            cached_answers: f.cached_answers.get_or_create_owned(&labels),
            cached_predicted: f.cached_predicted.get_or_create_owned(&labels),
            cached_reported: f.cached_reported.get_or_create_owned(&labels),
            errors: f.errors.get_or_create_owned(&labels),
            ttft: f.ttft.get_or_create_owned(&labels),
            ttft_expected: f.ttft_expected.get_or_create_owned(&labels),
            ttft_error: f.ttft_error.get_or_create_owned(&class),
            seconds: f.seconds.get_or_create_owned(&labels),
            peer_requests: f.peer_requests.get_or_create_owned(&peer),
            peer_ttft: f.peer_ttft.get_or_create_owned(&peer),
            peer_seconds: f.peer_seconds.get_or_create_owned(&peer),
            families: f.clone(),
            peer,
        }
    }

    /// Counts a request that was refused for `reason` with `status`.
    pub fn refused(
        &self,
        asks: Asks<'_>,
        reason: &'static str,
        status: u16,
        is_known: impl Fn(&str) -> bool,
    ) {
        let Asks { priority, .. } = asks;
        let (asked, model) = (self.label(asks.model, &is_known), self.label(asks.target, &is_known));
        let (pool, outcome) = (self.pool.clone(), "refused");
        let labels = RequestLabels { pool, model: model.to_owned(), priority, outcome, reason };
        self.families.requests.get_or_create(&labels).inc();
        let peer = PeerLabels { model_name: asked.to_owned(), target_model_name: model.to_owned(), priority };
        self.families.peer_requests.get_or_create(&peer).inc();
        self.families.peer_error(peer, status);
    }
}

impl ModelFamilies {
    fn peer_error(&self, peer: PeerLabels, status: u16) {
        let PeerLabels { model_name, target_model_name, priority } = peer;
        let error_code = status.to_string();
        let labels = PeerErrorLabels { model_name, target_model_name, priority, error_code };
        self.peer_errors.get_or_create(&labels).inc();
    }
}

impl PickMetrics {
    /// A request was picked for: its prompt's tokens, and those expected to be cached.
    pub fn picked(&self, prompt_tokens: u32, cached_tokens: u32) {
        self.picked.inc();
        self.picks.inc();
        self.peer_requests.inc();
        self.prompt_tokens.inc_by(prompt_tokens.into());
        self.cached_expected.inc_by(cached_tokens.into());
    }

    /// An answer told how many tokens were cached, of which `expected` were expected.
    pub fn cached(&self, expected: u32, reported: u32) {
        self.cached_answers.inc();
        self.cached_predicted.inc_by(expected.into());
        self.cached_reported.inc_by(reported.into());
    }

    /// The first token came.
    pub fn first_token(&self, expected: Duration, observed: Duration) {
        let (expected, observed) = (expected.as_secs_f64(), observed.as_secs_f64());
        self.ttft.observe(observed);
        self.peer_ttft.observe(observed);
        self.ttft_expected.observe(expected);
        self.ttft_error.observe(observed / expected.max(1e-6));
    }

    /// The endpoint answered with `status`, an error; 0: it gave none.
    pub fn failed(&self, status: u16) {
        self.errors.inc();
        self.families.peer_error(self.peer.clone(), status);
    }

    /// The answer ended.
    pub fn ended(&self, after: Duration) {
        self.seconds.observe(after.as_secs_f64());
        self.peer_seconds.observe(after.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
