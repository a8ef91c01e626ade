//! Samples of a page → one reading of the endpoint.
//!
//! A model server with data parallelism inside serves several ranks on one port and shows series of each:
//!
//! ```text
//! running, waiting ─▶ per rank ─▶ sum          KV use ─▶ per rank ─▶ mean, by the size of each rank's cache
//! cache info ──────▶ per rank ─▶ sum, and the largest: a request is in one rank
//! counters ────────▶ per rank ─▶ sum
//! ```
//!
//! vLLM's label of a rank is `engine`, SGLang's is `dp_rank`. vLLM's cache info names, at every rank, the blocks of all of
//! them: each has its part; only `kv_cache_size_tokens` is one rank's. Where SGLang's tensor-parallel schedulers report as well
//! (`tp_rank`), all of a rank report the same, and where it tells loads by `priority`, the series without one is the whole.

use smallvec::SmallVec;

use crate::accelerator::{Sum, Totals};
use crate::pool::{Adapters, Reading};

use super::engines::{Counter, Signal};

/// Capacities and counts beyond this are garbage.
const LARGEST: f64 = 1e12;

/// The samples of a page so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ranks: SmallVec<[Rank; 2]>,
    block_size: f64,
    blocks: f64,
    /// Largest `block_size` of any series.
    kv_block: f64,
    lora_at: Option<f64>,
    lora_labels: Vec<u8>,
    /// Hash of the model's name in the labels of its load.
    pub(super) model: Option<u64>,
    /// Samples whose value means nothing.
    pub(super) ignored: u64,
}

/// What the series of one rank say; of the whole server where series name no rank.
#[derive(Debug, Default)]
struct Rank {
    /// Hash of the label's value.
    id: u64,
    waiting: Option<f64>,
    running: Option<f64>,
    kv_sum: f64,
    kv_series: u32,
    /// Tokens of its own cache.
    kv_tokens: u64,
    /// Tokens of the caches of all ranks that show the same.
    kv_all: u64,
    counted: [Option<f64>; Counter::OutputCount as usize + 1],
}

impl Rank {
    /// Share of its KV cache in use.
    fn kv_usage(&self) -> Option<f64> {
        (self.kv_series > 0).then(|| self.kv_sum / f64::from(self.kv_series))
    }
}

impl Tally {
    /// Starts a page.
    pub(super) fn clear(&mut self) {
        let mut lora_labels = std::mem::take(&mut self.lora_labels);
        lora_labels.clear();
        *self = Self { lora_labels, ..Self::default() };
    }

    /// Takes in one sample: its labels without braces, and its value.
    pub(super) fn sample(&mut self, signal: Signal, labels: &[u8], value: &[u8]) {
        if self.model.is_none() && matches!(signal, Signal::Running | Signal::Waiting) {
            let named = label(labels, "model_name").or_else(|| label(labels, "model"));
            self.model = named.map(Adapters::hash);
        }
        let Some(value) = number(value) else {
            self.ignored += 1;
            return;
        };
        match signal {
            Signal::Waiting if is_whole(labels) => count(&mut self.rank(labels).waiting, labels, value),
            Signal::Running if is_whole(labels) => count(&mut self.rank(labels).running, labels, value),
            Signal::Waiting | Signal::Running => {}
            Signal::KvUsage if value <= 1.0 => {
                let rank = self.rank(labels);
                rank.kv_sum += value;
                rank.kv_series += 1;
            }
            Signal::KvUsage => self.ignored += 1,
            Signal::BlockSize => {
                self.block_size = self.block_size.max(value);
                self.kv_block = self.block_size;
            }
            Signal::Blocks => self.blocks += value,
            Signal::Tokens => {
                let rank = self.rank(labels);
                rank.kv_tokens = rank.kv_tokens.max(value as u64);
            }
            Signal::CacheInfo { block_size, blocks, tokens } => {
                self.cache(labels, block_size, blocks, tokens);
            }
            Signal::Lora => {
                if self.lora_at.is_none_or(|at| value >= at) {
                    self.lora_at = Some(value);
                    self.lora_labels.clear();
                    self.lora_labels.extend_from_slice(labels);
                }
            }
            Signal::Counted(counter) => {
                count(&mut self.rank(labels).counted[counter as usize], labels, value);
            }
        }
    }

    fn cache(&mut self, labels: &[u8], block_size: &str, blocks: &str, tokens: &str) {
        let told = |key: &str| label(labels, key).and_then(number);
        let (size, count, tokens) = (told(block_size), told(blocks), told(tokens));
        let all = size.zip(count).map(|(size, count)| (size * count).min(LARGEST));
        if all.or(tokens).is_none() {
            self.ignored += 1;
            return;
        }
        self.kv_block = self.kv_block.max(size.unwrap_or(0.0));
        let rank = self.rank(labels);
        rank.kv_tokens = rank.kv_tokens.max(tokens.unwrap_or(0.0) as u64);
        rank.kv_all = rank.kv_all.max(all.unwrap_or(0.0) as u64);
    }

    /// The rank that labels name.
    fn rank(&mut self, labels: &[u8]) -> &mut Rank {
        let named = label(labels, "engine").or_else(|| label(labels, "dp_rank"));
        let id = Adapters::hash(named.unwrap_or_default());
        let index = self.ranks.iter().position(|rank| rank.id == id).unwrap_or_else(|| {
            self.ranks.push(Rank { id, ..Rank::default() });
            self.ranks.len() - 1
        });
        &mut self.ranks[index]
    }

    /// Tokens of each rank's cache; 0 where they are not known.
    fn kv_tokens(&self) -> impl Iterator<Item = u64> {
        let own = self.ranks.iter().any(|rank| rank.kv_tokens > 0);
        let sharing = self.ranks.iter().filter(|rank| rank.kv_all > 0).count().max(1) as u64;
        self.ranks.iter().map(move |rank| if own { rank.kv_tokens } else { rank.kv_all / sharing })
    }

    /// The mean of the ranks, by the size of their caches where all tell it.
    fn kv_usage(&self) -> Option<f32> {
        let ranks = || self.ranks.iter().zip(self.kv_tokens());
        let told = || ranks().filter_map(|(rank, tokens)| Some((rank.kv_usage()?, tokens as f64)));
        let sized = told().all(|(_, tokens)| tokens > 0.0);
        let (sum, weights) = told().fold((0.0, 0.0), |(sum, weights), (usage, tokens)| {
            let weight = if sized { tokens } else { 1.0 };
            (sum + usage * weight, weights + weight)
        });
        (weights > 0.0).then(|| (sum / weights) as f32)
    }

    /// The reading of the whole page.
    pub(super) fn reading(&self) -> Reading {
        let count = |value: f64| value.round().min(f64::from(u32::MAX)) as u32;
        let sum = |of: fn(&Rank) -> Option<f64>| self.ranks.iter().filter_map(of).reduce(|a, b| a + b);
        let cached: u64 = self.kv_tokens().sum();
        let largest = self.kv_tokens().max().unwrap_or(0);
        let counted = (self.block_size * self.blocks).min(LARGEST) as u64;
        let known = |tokens: u64| Some(tokens.max(counted)).filter(|tokens| *tokens > 0);
        Reading {
            running: sum(|rank| rank.running).map(count),
            waiting: sum(|rank| rank.waiting).map(count),
            kv_usage: self.kv_usage(),
            kv_tokens: known(cached),
            kv_largest: known(largest),
            kv_block: Some(count(self.kv_block)).filter(|tokens| *tokens > 0),
            adapters: self.lora_at.map(|_| adapters(&self.lora_labels)),
            totals: self.totals(),
        }
    }

    fn totals(&self) -> Totals {
        let counted = |counter: Counter| {
            self.ranks.iter().filter_map(|rank| rank.counted[counter as usize]).reduce(|a, b| a + b)
        };
        let sum = |sum, count| Some(Sum { sum: counted(sum)?, count: counted(count)? });
        let cached_tokens = counted(Counter::CachedOfPrompts).or_else(|| counted(Counter::CachedTokens));
        let computed = counted(Counter::ComputedTokens).map(|tokens| tokens + cached_tokens.unwrap_or(0.0));
        Totals {
            prompt_tokens: counted(Counter::PromptTokens).or(computed),
            cached_tokens,
            generated_tokens: counted(Counter::GeneratedTokens),
            first_token: sum(Counter::FirstTokenSum, Counter::FirstTokenCount),
            between_tokens: sum(Counter::BetweenTokensSum, Counter::BetweenTokensCount)
                .or_else(|| sum(Counter::PerTokenSum, Counter::PerTokenCount)),
            output: sum(Counter::OutputSum, Counter::OutputCount),
        }
    }
}

fn adapters(labels: &[u8]) -> Adapters {
    let names = |key: &str| {
        let list = label(labels, key).unwrap_or_default();
        let names = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        let mut hashes: Vec<u64> = names.map(Adapters::hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    };
    Adapters {
        max: label(labels, "max_lora").and_then(number).map_or(0, |max| max.min(f64::from(u32::MAX)) as u32),
        running: names("running_lora_adapters"),
        waiting: names("waiting_lora_adapters"),
    }
}

/// Whether a series is not a part of another: the load of one priority is in that of all.
fn is_whole(labels: &[u8]) -> bool {
    label(labels, "priority").is_none_or(<[u8]>::is_empty)
}

/// Adds a series of a rank: those of tensor-parallel schedulers repeat one another, others add up.
fn count(held: &mut Option<f64>, labels: &[u8], value: f64) {
    let repeats = label(labels, "tp_rank").is_some();
    *held = Some(held.map_or(value, |held| if repeats { held.max(value) } else { held + value }));
}

/// A value that means something: finite, not negative, and of a sane size.
fn number(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (value.is_finite() && (0.0..=LARGEST).contains(&value)).then_some(value)
}

/// The value of the label `key`, escapes left in.
pub(super) fn label<'a>(mut labels: &'a [u8], key: &str) -> Option<&'a [u8]> {
    loop {
        let equals = memchr::memchr(b'=', labels)?;
        let name = labels[..equals].trim_ascii();
        let quoted = labels[equals + 1..].trim_ascii_start().strip_prefix(b"\"")?;
        let end = closing_quote(quoted)?;
        if name == key.as_bytes() {
            return Some(&quoted[..end]);
        }
        labels = quoted[end + 1..].trim_ascii_start();
        labels = labels.strip_prefix(b",").unwrap_or(labels);
    }
}

/// The position of the quote that ends a label value.
pub(super) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', &text[from..])?;
        if text[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
        if from > text.len() {
            return None;
        }
    }
}
