//! One model server: slots, one prompt computed at a time, decoding whose pace depends on the batch, a KV cache.
//!
//! ```text
//! push ─▶ waiting ─ slot and KV free ─▶ prompts, one by one ─▶ first token ─▶ decoding, all at one pace ─▶ end
//! ```
//!
//! Decoding requests all advance at the same pace, so one clock counts tokens for all, and each ends at a mark on it.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::accelerator::{Profile, Sum, Totals};
use crate::pool::Reading;

use super::cache::Cache;
use super::content::{Piece, Request};

/// Pace of decoding while a prompt is computed beside it.
const BESIDE_PREFILL: f64 = 0.7;

/// Batch at which the time between tokens has doubled. A public mock of a model server takes 17; a roofline over
/// datasheets about 80.
const DOUBLED: f64 = 30.0;

/// Part of a step within which times are the same.
const SAME_STEP: f64 = 1e-6;

/// What an engine's times come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speeds {
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
    const fn new(overhead: f64, prefill: f64, itl: f64, kv: u64) -> Self {
        Self { overhead, prefill, itl, itl_per_request: itl / DOUBLED, slots: 8, kv }
    }

    /// The constants of a public measurement of llm-d-inference-sim: 30 ms + 0.25 ms a token, 12 ms between tokens.
    pub const H100: Self = Self::new(0.030, 0.000_25, 0.012, 400_000);
    /// 35 ms + 0.42 ms a token, 20 ms between tokens.
    pub const A100: Self = Self::new(0.035, 0.000_42, 0.020, 400_000);
    /// 40 ms + 0.85 ms a token, 30 ms between tokens.
    pub const L40S: Self = Self::new(0.040, 0.000_85, 0.030, 160_000);

    /// Those of `profile`, with a KV cache of `kv` tokens.
    #[must_use]
    pub fn of(profile: &Profile, kv: u64) -> Self {
        Self {
            overhead: profile.overhead_s.into(),
            prefill: 1.0 / f64::from(profile.prefill_tokens_per_s),
            itl: profile.itl_s.into(),
            itl_per_request: profile.itl_per_request_s.into(),
            slots: profile.useful_batch as usize,
            kv,
        }
    }

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
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: usize,
    pub(super) at: f64,
    pub(super) pieces: Arc<[Piece]>,
    pub(super) answer: Piece,
    pub(super) prompt: u32,
    /// Prompt tokens for which room was made.
    room: u32,
}

impl Job {
    pub(super) fn new(id: usize, request: &Request) -> Self {
        let (at, pieces, answer) = (request.at, Arc::clone(&request.pieces), request.answer);
        Self { id, at, pieces, answer, prompt: request.prompt(), room: 0 }
    }

    fn output(&self) -> u32 {
        self.answer.tokens
    }
}

/// What happened, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Happened {
    /// With the prompt tokens that were not in the cache.
    FirstToken(usize, f64, u32),
    Ended(usize, f64),
}

#[derive(Clone, Debug)]
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

/// What an engine had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Seconds in which at least one request ran.
    pub busy: f64,
    /// Seconds of all requests that ran.
    pub running: f64,
}

/// A model server.
#[derive(Clone, Debug)]
pub struct Engine {
    speeds: Speeds,
    /// Requests begin to run beside others once in so many seconds, at first after so many; None: at any time.
    step: Option<(f64, f64)>,
    now: f64,
    waiting: VecDeque<Job>,
    prompts: VecDeque<Job>,
    prompt_end: f64,
    decoding: BinaryHeap<Decoding>,
    clock: f64,
    /// Tokens of the KV cache that running requests use and that are no prompt's that was computed.
    held: u64,
    cache: Cache,
    totals: Totals,
    /// Prompt tokens that are computed at this moment.
    computing: u32,
    usage: Usage,
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
            step: None,
            now: 0.0,
            waiting: VecDeque::new(),
            prompts: VecDeque::new(),
            prompt_end: f64::INFINITY,
            decoding: BinaryHeap::new(),
            clock: 0.0,
            held: 0,
            cache: Cache::default(),
            totals,
            computing: 0,
            usage: Usage::default(),
        }
    }

    /// The same, but requests begin to run beside others at steps only: one in each `step` seconds, the first at the
    /// part `phase` of them.
    pub(super) fn stepped(self, step: Option<f64>, phase: f64) -> Self {
        Self { step: step.map(|step| (step, step * phase)), ..self }
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
        self.next_end().min(self.prompt_end).min(self.next_step())
    }

    /// When the first of those that decode ends.
    fn next_end(&self) -> f64 {
        let first = self.decoding.peek();
        first.map_or(f64::INFINITY, |first| self.now + (first.mark - self.clock).max(0.0) / self.pace())
    }

    /// When those that wait may begin to run, as far as that is a matter of steps.
    fn next_step(&self) -> f64 {
        match self.step {
            Some((step, first)) if !self.waiting.is_empty() && self.running() < self.speeds.slots => {
                (((self.now - first) / step + SAME_STEP).floor() + 1.0) * step + first
            }
            _ => f64::INFINITY,
        }
    }

    /// Whether a request may begin to run beside others.
    fn begins(&self) -> bool {
        let off = |steps: f64| (steps - steps.round()).abs();
        self.running() == 0
            || self.step.is_none_or(|(step, first)| off((self.now - first) / step) <= SAME_STEP)
    }

    /// Whether a prompt and its answer fit at all.
    pub(super) fn takes(&self, job: &Job) -> bool {
        u64::from(job.prompt) + u64::from(job.output()) <= self.speeds.kv
    }

    /// Seconds that `request` takes here when there is no other, and all of its prompt but the last piece was computed
    /// before.
    pub(super) fn alone(mut self, request: &Request) -> f64 {
        let before = request.pieces.len() - 1;
        self.cache.touch(&request.pieces[..before]);
        let mut happened = Vec::new();
        self.now = request.at;
        self.push(Job::new(0, request));
        while !happened.iter().any(|event| matches!(event, Happened::Ended(..))) {
            self.advance(self.next(), &mut happened);
        }
        self.now - request.at
    }

    /// What it did so far.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    pub(super) fn speeds(&self) -> &Speeds {
        &self.speeds
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
        self.admit();
    }

    /// Lets time pass until `to`.
    pub(super) fn advance(&mut self, to: f64, happened: &mut Vec<Happened>) {
        loop {
            let (next, end) = (self.next(), self.next_end());
            let until = next.min(to);
            let passed = until - self.now;
            let pace = self.pace();
            let batch = self.decoding.len() as f64;
            self.clock += pace * passed;
            let running = self.running();
            if running > 0 {
                self.usage.busy += passed;
                self.usage.running += running as f64 * passed;
            }
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
            } else if end <= until
                && let Some(Decoding { job, .. }) = self.decoding.pop()
            {
                self.end(&job, happened);
            }
            self.admit();
        }
    }

    fn running(&self) -> usize {
        self.prompts.len() + self.decoding.len()
    }

    /// Tokens of the KV cache that running requests use.
    fn used(&self) -> u64 {
        self.held + self.cache.pinned()
    }

    fn admit(&mut self) {
        while let Some(job) = self.waiting.front()
            && self.begins()
        {
            let room = job.prompt - self.cached(job);
            let fits = self.used() + u64::from(room + job.output()) <= self.speeds.kv;
            let running = self.running();
            if running >= self.speeds.slots || !(fits || running == 0) {
                return;
            }
            let mut job = self.waiting.pop_front().expect("there is a front");
            job.room = room;
            self.held += u64::from(room + job.output());
            self.prompts.push_back(job);
            self.evict();
            if self.prompts.len() == 1 {
                self.start_prompt();
            }
        }
    }

    /// Prompt tokens that are not computed again; the last one always is.
    fn cached(&self, job: &Job) -> u32 {
        self.cache.held(&job.pieces).min(job.prompt - 1)
    }

    fn start_prompt(&mut self) {
        let Some(job) = self.prompts.front() else {
            self.prompt_end = f64::INFINITY;
            return;
        };
        let cached = self.cached(job);
        self.computing = job.prompt - cached;
        self.prompt_end =
            self.now + f64::from(self.computing).mul_add(self.speeds.prefill, self.speeds.overhead);
        if let Some(tokens) = &mut self.totals.cached_tokens {
            *tokens += f64::from(cached);
        }
    }

    fn prompt_done(&mut self, happened: &mut Vec<Happened>) {
        let job = self.prompts.pop_front().expect("a prompt ends only while one is computed");
        happened.push(Happened::FirstToken(job.id, self.now, self.computing));
        if let Some(tokens) = &mut self.totals.prompt_tokens {
            *tokens += f64::from(job.prompt);
        }
        if let Some(first) = &mut self.totals.first_token {
            first.sum += self.now - job.at;
            first.count += 1.0;
        }
        self.held -= u64::from(job.room);
        self.cache.pin(&job.pieces);
        self.evict();
        self.start_prompt();
        if job.output() > 1 {
            self.decoding.push(Decoding { mark: self.clock + f64::from(job.output() - 1), job });
        } else {
            self.end(&job, happened);
        }
    }

    fn end(&mut self, job: &Job, happened: &mut Vec<Happened>) {
        happened.push(Happened::Ended(job.id, self.now));
        self.held -= u64::from(job.output());
        if let Some(output) = &mut self.totals.output {
            output.sum += f64::from(job.output());
            output.count += 1.0;
        }
        self.cache.unpin(&job.pieces, job.answer);
        self.evict();
    }

    /// What is only cached gives way to requests.
    fn evict(&mut self) {
        self.cache.evict(self.speeds.kv.saturating_sub(self.held));
    }

    pub(super) fn kv_used(&self) -> f64 {
        self.used() as f64 / self.speeds.kv as f64
    }

    /// What a scrape reads.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            running: Some(self.running() as u32),
            waiting: Some(self.waiting.len() as u32),
            kv_usage: Some(self.kv_used().min(1.0) as f32),
            kv_tokens: Some(self.speeds.kv),
            kv_largest: Some(self.speeds.kv),
            kv_block: None,
            adapters: None,
            totals: self.totals,
        }
    }
}
