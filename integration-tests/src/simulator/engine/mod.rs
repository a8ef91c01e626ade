//! Continuous batching as a sans-IO machine: which sequences wait, which run, and how long the next step takes.
//!
//! ```text
//! submit ─▶ waiting (FIFO) ─ batch, KV and adapter slots free ─▶ running: prefill in chunks ─▶ decode ─▶ Finished
//!              ▲                                                    │ no KV block left
//!              └───────────────── preempted, to the front ──────────┘
//! begin_step(now) ─▶ when it ends;  end_step(now) ─▶ events
//! ```
//! Time is given as a duration since the engine's start.

mod sequence;
mod totals;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use self::sequence::Sequence;
pub use self::{sequence::Job, totals::Totals};
use super::{adapters::Adapters, blocks::Blocks, config::PodConfig, speed::Speed};

/// A sequence's number, unique within its engine.
pub type SequenceId = u64;

/// What happened to a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has produced token number `index`, after `cached` prompt tokens were found in the cache.
    Token {
        /// Counted from zero.
        index: usize,
        /// Prompt tokens that were not computed.
        cached: usize,
    },
    /// It has ended.
    Finished(Finish),
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// By itself.
    Stop,
    /// At its token limit.
    Length,
}

/// The engine of one Pod.
#[derive(Debug)]
pub struct Engine {
    speed: Speed,
    max_num_seqs: usize,
    max_num_batched_tokens: usize,
    blocks: Blocks,
    adapters: Adapters,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    step_ends: Option<Duration>,
    last_step: Option<Duration>,
    next_id: SequenceId,
    totals: Totals,
}

impl Engine {
    /// The engine that a Pod's configuration describes.
    pub fn new(config: &PodConfig, speed: Speed) -> Self {
        Self {
            speed,
            max_num_seqs: config.max_num_seqs,
            max_num_batched_tokens: config.max_num_batched_tokens,
            blocks: Blocks::new(config.num_gpu_blocks, config.block_size, config.prefix_caching),
            adapters: Adapters::new(config.loras.iter().cloned(), config.max_loras, config.lora_load_ms),
            waiting: VecDeque::new(),
            running: Vec::new(),
            step_ends: None,
            last_step: None,
            next_id: 0,
            totals: Totals::default(),
        }
    }

    /// Queues a job. `None` when the KV cache could never hold it.
    pub fn submit(&mut self, job: Job, now: Duration) -> Option<SequenceId> {
        if (job.prompt.len() + job.max_tokens).div_ceil(self.blocks.size()) > self.blocks.total() {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Sequence::new(id, job, now, &self.blocks));
        Some(id)
    }

    /// Drops a sequence, whose client has gone.
    pub fn cancel(&mut self, id: SequenceId) {
        self.waiting.retain(|sequence| sequence.id != id);
        if let Some(position) = self.running.iter().position(|sequence| sequence.id == id) {
            let mut sequence = self.running.remove(position);
            self.blocks.release(&mut sequence.held);
            self.totals.aborted += 1;
        }
    }

    /// Plans the next step; returns when it ends, `None` when there is nothing to do. A step that follows another
    /// without a pause begins where that one ended, so that late wake-ups do not add up.
    pub fn begin_step(&mut self, now: Duration) -> Option<Duration> {
        if self.step_ends.is_some() {
            return self.step_ends;
        }
        let start = self.last_step.take().unwrap_or(now);
        let mut budget = self.plan_decodes();
        let mut load_ms = 0.0;
        let mut prefills = 0;
        let mut prefill_tokens = 0;
        for sequence in self.running.iter_mut().filter(|sequence| sequence.in_prefill()) {
            sequence.planned = sequence.prefill_left().min(budget);
            budget -= sequence.planned;
            prefill_tokens += sequence.planned;
        }
        while budget > 0
            && let Some((mut sequence, load)) = self.admit(now)
        {
            sequence.planned = sequence.prefill_left().min(budget);
            budget -= sequence.planned;
            prefill_tokens += sequence.planned;
            prefills += 1;
            load_ms += load;
            self.running.push(sequence);
        }
        if self.running.is_empty() {
            return None;
        }
        let decodes = self.running.iter().filter(|sequence| !sequence.in_prefill()).count();
        self.step_ends = Some(start + self.speed.step(prefills, prefill_tokens, decodes, load_ms));
        self.step_ends
    }

    /// Ends the planned step.
    pub fn end_step(&mut self, now: Duration) -> Vec<(SequenceId, Event)> {
        self.last_step = self.step_ends.take();
        let mut events = Vec::new();
        for sequence in &mut self.running {
            let planned = std::mem::take(&mut sequence.planned);
            if planned > 0 {
                sequence.advance(planned, now, &mut self.blocks, &mut self.totals, &mut events);
            }
        }
        for mut sequence in self.running.extract_if(.., |sequence| sequence.finish().is_some()) {
            self.blocks.release(&mut sequence.held);
        }
        if self.running.is_empty() && self.waiting.is_empty() {
            self.last_step = None;
        }
        events
    }

    /// Gives each decoding sequence room for its next token, preempting the youngest when there is none; returns
    /// what is left of the step's tokens.
    fn plan_decodes(&mut self) -> usize {
        let mut budget = self.max_num_batched_tokens;
        let mut index = 0;
        while index < self.running.len() {
            let sequence = &mut self.running[index];
            if !sequence.in_prefill() && budget > 0 {
                let length = sequence.length();
                if !self.blocks.grow(&mut sequence.held, length) {
                    self.preempt_youngest();
                    continue;
                }
                sequence.planned = 1;
                budget -= 1;
            }
            index += 1;
        }
        budget
    }

    fn preempt_youngest(&mut self) {
        let mut sequence = self.running.pop().expect("called for a running sequence");
        self.blocks.release(&mut sequence.held);
        sequence.restart();
        self.totals.preemptions += 1;
        self.waiting.push_front(sequence);
    }

    /// The next sequence that fits, with the time its adapter takes to load. Sequences whose adapter has no slot are
    /// passed over; one for which there is no KV holds up all behind it.
    fn admit(&mut self, now: Duration) -> Option<(Sequence, f64)> {
        if self.running.len() >= self.max_num_seqs {
            return None;
        }
        let in_use: BTreeSet<&str> = self.running.iter().filter_map(Sequence::adapter).collect();
        for index in 0..self.waiting.len() {
            let sequence = &self.waiting[index];
            let may_load = sequence
                .adapter()
                .is_none_or(|name| in_use.contains(name) || in_use.len() < self.adapters.max_loaded());
            if !may_load {
                continue;
            }
            let (held, cached) = self.blocks.reserve(&sequence.chain, sequence.length())?;
            let load_ms = match sequence.adapter() {
                Some(name) => self.adapters.activate(name, &in_use).expect("a slot is not in use"),
                None => 0.0,
            };
            let mut sequence = self.waiting.remove(index).expect("within the queue");
            sequence.begin(held, cached, now, &mut self.totals);
            return Some((sequence, load_ms));
        }
        None
    }

    /// Sequences waiting, and adapters that they ask for.
    pub fn waiting(&self) -> (usize, BTreeSet<&str>) {
        (self.waiting.len(), self.waiting.iter().filter_map(Sequence::adapter).collect())
    }

    /// Sequences running, and adapters that they use.
    pub fn running(&self) -> (usize, BTreeSet<&str>) {
        (self.running.len(), self.running.iter().filter_map(Sequence::adapter).collect())
    }

    /// The KV cache.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The adapters.
    pub fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The adapters, to change which are known.
    pub fn adapters_mut(&mut self) -> &mut Adapters {
        &mut self.adapters
    }

    /// What has been counted since the start.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }
}

#[cfg(test)]
mod tests;
