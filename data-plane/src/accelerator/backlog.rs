//! Prompts per second of a server that always has one to compute: the speed of prefill under load, where no prompt is
//! ever alone.
//!
//! Decoding requests add their number to the sum of times between tokens in each second. What runs beyond that number
//! are prompts. While there is more than one of them on average, the server was not idle between the first tokens of a
//! window, and the window's length is what its prompts took.

use std::time::{Duration, Instant};

use super::totals::Totals;
use super::window::Look;

/// Scrapes see first tokens up to one interval late; windows are long beside that.
const LEAST: Duration = Duration::from_millis(500);
/// One prompt that takes longer is not waited for.
const LONGEST: Duration = Duration::from_secs(60);
/// Prompts at the same time, on average, that prove that there always was one.
const PROMPTS: f64 = 1.5;
const WEIGHT: f64 = 0.5;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    looked: Option<Instant>,
    since: Option<Instant>,
    tokens: f64,
    firsts: f64,
    /// Requests times seconds.
    running: f64,
    decoding: f64,
}

impl Backlog {
    /// Answers tokens and seconds per prompt, and the sample's weight.
    pub(super) fn look(
        &mut self,
        before: Look,
        look: Look,
        added: &Totals,
        now: Instant,
    ) -> Option<(f64, f64, f64)> {
        let looked = self.looked.replace(now)?;
        let (prompt, first, between) = (added.prompt_tokens?, added.first_token?, added.between_tokens?);
        let running = f64::midpoint(before.running?.into(), look.running?.into());
        let Some(since) = self.since else {
            if first.count > 0.0 {
                self.begin(now);
            }
            return None;
        };
        self.tokens += prompt - added.cached_tokens.unwrap_or(0.0);
        self.firsts += first.count;
        self.running += running * now.saturating_duration_since(looked).as_secs_f64();
        self.decoding += between.sum;
        let length = now.saturating_duration_since(since);
        if look.running == Some(0) || length > LONGEST {
            self.since = None;
            return None;
        }
        if first.count == 0.0 || length < LEAST {
            return None;
        }
        let seconds = length.as_secs_f64();
        let busy = (self.running - self.decoding) / seconds >= PROMPTS;
        let sample = (self.tokens / self.firsts, seconds / self.firsts, WEIGHT);
        self.begin(now);
        (busy && sample.0 >= 0.0).then_some(sample)
    }

    /// A prompt ended, and the next begins.
    fn begin(&mut self, now: Instant) {
        *self = Self { looked: self.looked, since: Some(now), ..Self::default() };
    }
}
