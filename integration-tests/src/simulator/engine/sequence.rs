//! One sequence of the engine: its tokens, how far it is computed, and when.

use std::time::Duration;

use super::{Event, Finish, SequenceId, Totals};
use crate::simulator::{
    blocks::{Blocks, Held},
    tokens::{self, Token},
};

/// A request as the engine sees it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The prompt, at least one token.
    pub prompt: Vec<Token>,
    /// Tokens at most, at least one.
    pub max_tokens: usize,
    /// Tokens after which the answer ends by itself.
    pub natural_end: usize,
    /// The adapter, if the model asked for is one.
    pub adapter: Option<String>,
    /// Separates cached prefixes.
    pub salt: u64,
    /// Seed of the answer.
    pub seed: u64,
}

/// A job in the engine.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SequenceId,
    job: Job,
    /// Prompt and what has been generated.
    tokens: Vec<Token>,
    pub(super) chain: Vec<u64>,
    pub(super) held: Held,
    computed: usize,
    cached: usize,
    /// Tokens to compute in the step under way.
    pub(super) planned: usize,
    arrived: Duration,
    admitted: Option<Duration>,
    first_token: Option<Duration>,
    last_token: Duration,
}

impl Sequence {
    pub(super) fn new(id: SequenceId, job: Job, now: Duration, blocks: &Blocks) -> Self {
        let chain = blocks.chain(&job.prompt, salt(&job));
        Self {
            id,
            tokens: job.prompt.clone(),
            job,
            chain,
            held: Held::default(),
            computed: 0,
            cached: 0,
            planned: 0,
            arrived: now,
            admitted: None,
            first_token: None,
            last_token: now,
        }
    }

    pub(super) fn adapter(&self) -> Option<&str> {
        self.job.adapter.as_deref()
    }

    /// Tokens so far.
    pub(super) fn length(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn prefill_left(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether it is still computing what is known of it. A decoding sequence has exactly its last token to compute.
    pub(super) fn in_prefill(&self) -> bool {
        self.prefill_left() > 1 || self.generated() == 0
    }

    fn generated(&self) -> usize {
        self.tokens.len() - self.job.prompt.len()
    }

    pub(super) fn begin(&mut self, held: Held, cached: usize, now: Duration, totals: &mut Totals) {
        self.held = held;
        self.computed = cached;
        if self.admitted.is_none() {
            self.cached = cached;
            self.admitted = Some(now);
            totals.queue_time.observe(now.saturating_sub(self.arrived).as_secs_f64());
        }
    }

    /// Its blocks were taken away: everything is to be computed again.
    pub(super) fn restart(&mut self) {
        self.computed = 0;
        self.planned = 0;
    }

    pub(super) fn finish(&self) -> Option<Finish> {
        match self.generated() {
            n if n >= self.job.natural_end.min(self.job.max_tokens) && n > 0 => {
                Some(if self.job.natural_end < self.job.max_tokens { Finish::Stop } else { Finish::Length })
            }
            _ => None,
        }
    }

    /// Takes the result of a step in which `planned` tokens were computed.
    pub(super) fn advance(
        &mut self,
        planned: usize,
        now: Duration,
        blocks: &mut Blocks,
        totals: &mut Totals,
        events: &mut Vec<(SequenceId, Event)>,
    ) {
        self.computed += planned;
        blocks.publish(&mut self.held, &self.chain, self.computed);
        if self.prefill_left() > 0 {
            return;
        }
        let index = self.generated();
        self.tokens.push(tokens::id(tokens::word(self.job.seed, index).as_bytes()));
        if self.tokens.len().is_multiple_of(blocks.size()) {
            let start = self.tokens.len() - blocks.size();
            let before = self.chain.last().copied().unwrap_or(salt(&self.job));
            self.chain.extend(blocks.chain(&self.tokens[start..], before));
        }
        self.observe_token(index, now, totals);
        events.push((self.id, Event::Token { index, cached: self.cached }));
        if let Some(finish) = self.finish() {
            self.observe_end(finish, now, totals);
            events.push((self.id, Event::Finished(finish)));
        }
    }

    fn observe_token(&mut self, index: usize, now: Duration, totals: &mut Totals) {
        totals.generation_tokens += 1;
        if index == 0 {
            self.first_token = Some(now);
            totals.prompt_tokens += self.job.prompt.len() as u64;
            totals.time_to_first_token.observe(now.saturating_sub(self.arrived).as_secs_f64());
        } else {
            totals.inter_token_latency.observe(now.saturating_sub(self.last_token).as_secs_f64());
        }
        self.last_token = now;
    }

    fn observe_end(&self, finish: Finish, now: Duration, totals: &mut Totals) {
        let admitted = self.admitted.unwrap_or(self.arrived);
        let first = self.first_token.unwrap_or(now);
        totals.e2e_latency.observe(now.saturating_sub(self.arrived).as_secs_f64());
        totals.prefill_time.observe(first.saturating_sub(admitted).as_secs_f64());
        totals.decode_time.observe(now.saturating_sub(first).as_secs_f64());
        totals.request_prompt_tokens.observe(self.job.prompt.len() as f64);
        totals.request_generation_tokens.observe(self.generated() as f64);
        match finish {
            Finish::Stop => totals.stopped += 1,
            Finish::Length => totals.length += 1,
        }
    }
}

/// Adapters never share blocks with the model or each other.
fn salt(job: &Job) -> u64 {
    match &job.adapter {
        Some(name) => job.salt ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()),
        None => job.salt,
    }
}
