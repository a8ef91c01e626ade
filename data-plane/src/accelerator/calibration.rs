//! What is learned about one endpoint: its group's lines, corrected by its own samples.
//!
//! ```text
//! outcome ─ first token, pace ─┐
//! scrape ─ Totals ─▶ window ───┴─▶ sample ─▶ group's line (prior) ─▶ own line ─▶ profile() ─▶ picker
//! ```
//!
//! An endpoint follows its group until about eight samples of its own say otherwise. Samples of requests that waited
//! for a slot, or for other prompts, tell about load and not about speed; those who call leave them out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;

use super::Profile;
use super::group::{Aspect, Current, Group, GroupKey, Lines};
use super::line::{Line, Trust};
use super::totals::Totals;
use super::usual::Usual;
use super::window::{Look, Window};

/// Endpoints of a kind differ by a tenth or so.
const OWN: Trust = Trust { scale: 0.09, part: 0.09, memory: 64.0 };
/// Samples below which a kind is worth a try for the sake of knowing it.
const KNOWN: f32 = 3.0;
/// After this long without samples a kind is worth one again: it may have changed.
const AGES_AFTER: u64 = 120_000_000;

/// The speeds of one endpoint, as far as they are known. Read without a lock.
#[derive(Debug)]
pub struct Calibration {
    group: Arc<Group>,
    usual: Arc<Usual>,
    epoch: Instant,
    learns: bool,
    current: Current,
    /// Samples of its own, as f32; 0: the group's profile counts.
    samples: AtomicU32,
    /// Guards the evidence; held for one sample, never by a pick.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    prefill: Line,
    decode: Line,
    group: Lines,
    batch: Option<f64>,
    window: Window,
}

impl Calibration {
    pub(super) fn new(group: Arc<Group>, usual: Arc<Usual>, epoch: Instant, learns: bool) -> Self {
        let state = State {
            prefill: Line::default(),
            decode: Line::default(),
            group: group.lines(),
            batch: None,
            window: Window::default(),
        };
        Self {
            current: Current::new(group.profile()),
            group,
            usual,
            epoch,
            learns,
            samples: AtomicU32::new(0),
            state: Mutex::new(state),
        }
    }

    /// Exactly `profile`, for ever.
    #[must_use]
    pub fn fixed(profile: Profile) -> Self {
        let group = Arc::new(Group::new(GroupKey::default(), profile, 0.0));
        Self::new(group, Arc::default(), Instant::now(), false)
    }

    /// The endpoint's kind.
    #[must_use]
    pub fn key(&self) -> &GroupKey {
        &self.group.key
    }

    /// Its expected speeds.
    #[must_use]
    pub fn profile(&self) -> Profile {
        match self.samples.load(Relaxed) {
            0 => self.group.profile(),
            _ => self.current.get(),
        }
    }

    /// Samples of its own.
    #[must_use]
    pub fn samples(&self) -> f32 {
        f32::from_bits(self.samples.load(Relaxed))
    }

    /// Samples of its kind: prefill, decode.
    #[must_use]
    pub fn group_samples(&self) -> [f32; 2] {
        self.group.samples()
    }

    /// Whether so little is known of the kind that a request is worth sending to learn more.
    #[must_use]
    pub fn is_unknown(&self, now: Instant) -> bool {
        let few = self.group.samples().into_iter().any(|samples| samples < KNOWN);
        self.learns && (few || self.micros(now).saturating_sub(self.group.sampled_at()) > AGES_AFTER)
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX).max(1)
    }

    // === samples ===

    /// A request that waited for nothing had its first token `seconds` after it was sent, with `tokens` to compute.
    pub fn first_token(&self, tokens: f32, seconds: f32, now: Instant) {
        if self.learns {
            self.sample(&mut self.state.lock(), Aspect::Prefill, tokens.into(), seconds.into(), 1.0, now);
        }
    }

    /// Tokens came every `seconds` in a batch of `batch` requests.
    pub fn pace(&self, batch: f32, seconds: f32, now: Instant) {
        if self.learns {
            let others = f64::from(batch - 1.0).max(0.0);
            self.sample(&mut self.state.lock(), Aspect::Decode, others, seconds.into(), 1.0, now);
        }
    }

    /// A request ended after `tokens` of output.
    pub fn output(&self, tokens: f32) {
        self.usual.saw(tokens, 1.0);
    }

    /// The endpoint ran `batch` requests while others waited.
    pub fn batch(&self, batch: u32) {
        if self.learns {
            let mut state = self.state.lock();
            state.batch = Some(batch.into());
            state.group = self.group.saw_batch(batch.into());
            self.publish(&state);
        }
    }

    /// A scrape showed `totals`.
    pub fn totals(&self, look: Look, totals: &Totals, now: Instant) {
        let mut state = self.state.lock();
        let seen = state.window.look(look, totals, now);
        if let Some((tokens, count)) = seen.output {
            self.usual.saw(tokens as f32, count as f32);
        }
        if !self.learns {
            return;
        }
        for (tokens, seconds, weight) in seen.first_token.into_iter().chain(seen.backlog) {
            self.sample(&mut state, Aspect::Prefill, tokens, seconds, weight, now);
        }
        if let Some((others, seconds, weight)) = seen.pace {
            self.sample(&mut state, Aspect::Decode, others, seconds, weight, now);
        }
        if state.group != self.group.lines() {
            state.group = self.group.lines();
            self.publish(&state);
        }
    }

    fn sample(&self, state: &mut State, aspect: Aspect, x: f64, seconds: f64, weight: f64, now: Instant) {
        let own = state.lines();
        state.group = self.group.add(aspect, x, seconds, weight, self.micros(now));
        match aspect {
            Aspect::Prefill => state.prefill.add(x, seconds, weight, own.prefill, OWN.memory),
            Aspect::Decode => state.decode.add(x, seconds, weight, own.decode, OWN.memory),
        }
        self.publish(state);
    }

    fn publish(&self, state: &State) {
        self.current.set(state.lines().profile());
        let samples = (state.prefill.samples() + state.decode.samples()) as f32;
        self.samples.store(samples.to_bits(), Relaxed);
    }
}

impl State {
    fn lines(&self) -> Lines {
        Lines {
            prefill: self.prefill.solve(self.group.prefill, OWN),
            decode: self.decode.solve(self.group.decode, OWN),
            useful_batch: self.batch.unwrap_or(self.group.useful_batch),
        }
    }
}

#[cfg(test)]
mod tests;
