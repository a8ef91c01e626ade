//! One model server: slots, one prompt computed at a time, decoding whose pace depends on the batch, a KV cache.
//!
//! ```text
//! push ─▶ waiting ─ slot and KV free ─▶ prompts, one by one ─▶ first token ─▶ decoding, all at one pace ─▶ end
//! ```
//!
//! Decoding requests all advance at the same pace, so one clock counts tokens for all, and each ends at a mark on it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::accelerator::{Profile, Sum, Totals};
use crate::pool::Reading;

/// Pace of decoding while a prompt is computed beside it.
const BESIDE_PREFILL: f64 = 0.7;

/// Batch at which the time between tokens has doubled. A public mock of a model server takes 17; a roofline over
/// datasheets about 80.
const DOUBLED: f64 = 30.0;

/// What an engine's times come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speeds {
    /// Canonical class of its accelerator.
    pub class: &'static str,
    /// Seconds that each prompt takes besides its tokens.
    pub overhead: f64,
    /// Seconds per prompt token.
    pub prefill: f64,
    /// Seconds between tokens at batch 1.
    pub itl: f64,
    /// Seconds that each further request adds.
    pub itl_per_request: f64,
    /// Requests at the same time.
    pub slots: usize,
    /// Tokens of the KV cache.
    pub kv: u64,
}

impl Speeds {
    const fn new(class: &'static str, overhead: f64, prefill: f64, itl: f64, kv: u64) -> Self {
        Self { class, overhead, prefill, itl, itl_per_request: itl / DOUBLED, slots: 8, kv }
    }

    /// The constants of a public measurement of llm-d-inference-sim: 30 ms + 0.25 ms a token, 12 ms between tokens.
    pub const H100: Self = Self::new("nvidia-h100-80gb", 0.030, 0.000_25, 0.012, 400_000);
    /// 35 ms + 0.42 ms a token, 20 ms between tokens.
    pub const A100: Self = Self::new("nvidia-a100-80gb", 0.035, 0.000_42, 0.020, 400_000);
    /// 40 ms + 0.85 ms a token, 30 ms between tokens.
    pub const L40S: Self = Self::new("nvidia-l40s", 0.040, 0.000_85, 0.030, 160_000);

    /// What a picker that knows everything takes for its profile, times `factor` in seconds.
    #[must_use]
    pub fn profile(&self, factor: f64) -> Profile {
        Profile {
            prefill_tokens_per_s: (1.0 / self.prefill / factor) as f32,
            overhead_s: (self.overhead * factor) as f32,
            itl_s: (self.itl * factor) as f32,
            itl_per_request_s: (self.itl_per_request * factor) as f32,
            useful_batch: self.slots as f32,
        }
    }
}

/// A request as the engine sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) id: usize,
    pub(super) at: f64,
    pub(super) session: u32,
    pub(super) prompt: u32,
    pub(super) shared: u32,
    pub(super) output: u32,
}

/// What happened, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Happened {
    FirstToken(usize, f64),
    Ended(usize, f64),
}

#[derive(Clone, Copy, Debug)]
struct Decoding {
    mark: f64,
    job: Job,
}

impl PartialEq for Decoding {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Decoding {}
impl PartialOrd for Decoding {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Decoding {
    /// The least mark is the greatest, for a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        other.mark.total_cmp(&self.mark).then(other.job.id.cmp(&self.job.id))
    }
}

/// A model server.
#[derive(Clone, Debug)]
pub struct Engine {
    speeds: Speeds,
    now: f64,
    waiting: VecDeque<Job>,
    prompts: VecDeque<Job>,
    prompt_end: f64,
    decoding: BinaryHeap<Decoding>,
    clock: f64,
    held: u64,
    /// Session → tokens and last use.
    cache: BTreeMap<u32, (u32, f64)>,
    cached: u64,
    totals: Totals,
}

impl Engine {
    /// An idle one.
    #[must_use]
    pub fn new(speeds: Speeds) -> Self {
        let some = Some(Sum::default());
        let totals = Totals {
            prompt_tokens: Some(0.0),
            cached_tokens: Some(0.0),
            generated_tokens: Some(0.0),
            first_token: some,
            between_tokens: some,
            output: some,
        };
        Self {
            speeds,
            now: 0.0,
            waiting: VecDeque::new(),
            prompts: VecDeque::new(),
            prompt_end: f64::INFINITY,
            decoding: BinaryHeap::new(),
            clock: 0.0,
            held: 0,
            cache: BTreeMap::new(),
            cached: 0,
            totals,
        }
    }

    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// From here on it has the speeds of `speeds`, as after a change of its clock rate.
    pub(super) fn become_like(&mut self, speeds: Speeds) {
        self.speeds = Speeds { slots: self.speeds.slots, kv: self.speeds.kv, ..speeds };
    }

    fn pace(&self) -> f64 {
        let others = self.decoding.len().saturating_sub(1) as f64;
        let beside = if self.prompts.is_empty() { 1.0 } else { BESIDE_PREFILL };
        beside / self.speeds.itl_per_request.mul_add(others, self.speeds.itl)
    }

    /// When something happens next.
    pub(super) fn next(&self) -> f64 {
        let end = self
            .decoding
            .peek()
            .map_or(f64::INFINITY, |first| self.now + (first.mark - self.clock).max(0.0) / self.pace());
        end.min(self.prompt_end)
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
        self.admit();
    }

    /// Lets time pass until `to`.
    pub(super) fn advance(&mut self, to: f64, happened: &mut Vec<Happened>) {
        loop {
            let next = self.next();
            let until = next.min(to);
            let passed = until - self.now;
            let pace = self.pace();
            let batch = self.decoding.len() as f64;
            self.clock += pace * passed;
            if let Some(between) = &mut self.totals.between_tokens {
                between.sum += batch * passed;
                between.count += batch * pace * passed;
            }
            if let Some(generated) = &mut self.totals.generated_tokens {
                *generated += batch * pace * passed;
            }
            self.now = until;
            if next > to {
                return;
            }
            if self.prompt_end <= until {
                self.prompt_done(happened);
            } else if let Some(Decoding { job, .. }) = self.decoding.pop() {
                self.end(job, happened);
            }
            self.admit();
        }
    }

    fn admit(&mut self) {
        while let Some(job) = self.waiting.front() {
            let wanted = u64::from(job.prompt + job.output);
            let running = self.prompts.len() + self.decoding.len();
            let fits = self.held + wanted <= self.speeds.kv || running == 0;
            if running >= self.speeds.slots || !fits {
                return;
            }
            self.held += wanted;
            let job = self.waiting.pop_front().expect("there is a front");
            self.prompts.push_back(job);
            self.evict();
            if self.prompts.len() == 1 {
                self.start_prompt();
            }
        }
    }

    fn start_prompt(&mut self) {
        let Some(job) = self.prompts.front() else {
            self.prompt_end = f64::INFINITY;
            return;
        };
        let cached = self.holds(job.session, job.shared).min(job.prompt - 1);
        self.prompt_end =
            self.now + f64::from(job.prompt - cached).mul_add(self.speeds.prefill, self.speeds.overhead);
        if let Some(tokens) = &mut self.totals.cached_tokens {
            *tokens += f64::from(cached);
        }
    }

    fn prompt_done(&mut self, happened: &mut Vec<Happened>) {
        let job = self.prompts.pop_front().expect("a prompt ends only while one is computed");
        happened.push(Happened::FirstToken(job.id, self.now));
        if let Some(tokens) = &mut self.totals.prompt_tokens {
            *tokens += f64::from(job.prompt);
        }
        if let Some(first) = &mut self.totals.first_token {
            first.sum += self.now - job.at;
            first.count += 1.0;
        }
        self.start_prompt();
        if job.output > 1 {
            self.decoding.push(Decoding { mark: self.clock + f64::from(job.output - 1), job });
        } else {
            self.end(job, happened);
        }
    }

    fn end(&mut self, job: Job, happened: &mut Vec<Happened>) {
        happened.push(Happened::Ended(job.id, self.now));
        self.held -= u64::from(job.prompt + job.output);
        if let Some(output) = &mut self.totals.output {
            output.sum += f64::from(job.output);
            output.count += 1.0;
        }
        let (tokens, _) =
            self.cache.insert(job.session, (job.prompt + job.output, self.now)).unwrap_or_default();
        self.cached = self.cached + u64::from(job.prompt + job.output) - u64::from(tokens);
        self.evict();
    }

    /// Prefixes give way to requests, those used longest ago first.
    fn evict(&mut self) {
        while self.held + self.cached > self.speeds.kv {
            let oldest = self.cache.iter().min_by(|(_, a), (_, b)| a.1.total_cmp(&b.1));
            let Some((session, tokens)) = oldest.map(|(session, (tokens, _))| (*session, *tokens)) else {
                return;
            };
            self.cache.remove(&session);
            self.cached -= u64::from(tokens);
        }
    }

    /// The tokens of the first `shared` of `session` that its prefix cache holds.
    pub(super) fn holds(&self, session: u32, shared: u32) -> u32 {
        self.cache.get(&session).map_or(0, |(tokens, _)| shared.min(*tokens))
    }

    pub(super) fn kv_used(&self) -> f64 {
        self.held as f64 / self.speeds.kv as f64
    }

    /// What a scrape reads.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            running: Some((self.prompts.len() + self.decoding.len()) as u32),
            waiting: Some(self.waiting.len() as u32),
            kv_usage: Some(self.kv_used().min(1.0) as f32),
            kv_tokens: Some(self.speeds.kv),
            kv_block: None,
            adapters: None,
            totals: self.totals,
        }
    }
}
