//! Totals of consecutive scrapes → samples of speed.
//!
//! A scrape is one look. Times to the first token are taken from look to look, of prompts that were computed alone; times
//! between tokens are gathered until there are enough of them. A reset starts over.

use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::totals::{Sum, Totals};

/// Times between tokens that make one sample.
const ENOUGH: f64 = 16.0;
/// A window that takes longer is given up: the batch may have been anything.
const LONGEST: Duration = Duration::from_secs(3);
/// Where there is no histogram, tokens are counted over at least this long.
const COUNTED: Duration = Duration::from_millis(250);
/// Scraped times to the first token may hold another prompt's, and count for less than those of our own requests.
const FIRST_TOKEN_WEIGHT: f64 = 0.5;

/// The load beside totals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Requests running.
    pub running: Option<u32>,
    /// Requests waiting.
    pub waiting: Option<u32>,
    /// Requests that were sent there since it is known; wraps.
    pub sent: u32,
    /// Those of them that have not ended.
    pub own: u32,
    /// Requests that are not ours.
    pub foreign: u32,
}

/// Between two looks.
#[derive(Debug, Default)]
pub(super) struct Window {
    last: Option<(Look, Totals)>,
    prompts: Prompts,
    backlog: Backlog,
    /// When and how the window of times between tokens began.
    since: Option<(Instant, f64)>,
    batch: f64,
    looks: f64,
    uneven: bool,
    first_tokens: f64,
    pace: Sum,
    generated: f64,
}

/// Samples, each as (x, seconds, weight).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) first_token: Option<(f64, f64, f64)>,
    pub(super) backlog: Option<(f64, f64, f64)>,
    pub(super) pace: Option<(f64, f64, f64)>,
    /// Mean output tokens, and of how many requests.
    pub(super) output: Option<(f64, f64)>,
}

impl Window {
    /// What the time since the last look tells.
    pub(super) fn look(&mut self, look: Look, totals: &Totals, now: Instant) -> Seen {
        let Some((before, base)) = self.last.replace((look, *totals)) else { return Seen::default() };
        let Some(added) = totals.since(&base) else {
            *self = Self { last: self.last, ..Self::default() };
            return Seen::default();
        };
        let alone = self.prompts.look(before, look, &added);
        Seen {
            backlog: self.backlog.look(before, look, &added, now),
            first_token: alone.and_then(|tokens| first_token(before, look, &added, tokens)),
            pace: self.pace(before, look, &added, now),
            output: added.output.filter(|output| output.count > 0.0).map(|o| (o.sum / o.count, o.count)),
        }
    }

    fn pace(&mut self, before: Look, look: Look, added: &Totals, now: Instant) -> Option<(f64, f64, f64)> {
        let (Some(from), Some(to)) = (before.running, look.running) else { return None };
        let (from, to) = (f64::from(from), f64::from(to));
        let Some((since, first)) = self.since else {
            self.restart(now, to);
            return None;
        };
        self.batch += f64::midpoint(from, to);
        self.looks += 1.0;
        self.uneven |= (to - first).abs() > (first * 0.25).max(1.0);
        self.first_tokens += added.first_token.map_or(0.0, |first| first.count);
        if let Some(pace) = added.between_tokens {
            self.pace.sum += pace.sum;
            self.pace.count += pace.count;
        }
        self.generated += added.generated_tokens.unwrap_or(0.0);
        let length = now.saturating_duration_since(since);
        let counts = added.between_tokens.is_none();
        let full = if counts { length >= COUNTED } else { self.pace.count >= ENOUGH };
        if !full && length < LONGEST && !self.uneven {
            return None;
        }
        let batch = self.batch / self.looks;
        let sample = if self.uneven || length >= LONGEST || batch < 0.5 {
            None
        } else if counts {
            // Requests whose prompt is computed generate nothing meanwhile: only windows without one tell.
            let steady = self.generated > 0.0 && self.first_tokens == 0.0 && self.prompts.open == 0.0;
            let seconds = batch * length.as_secs_f64() / self.generated;
            steady.then_some((batch - 1.0, seconds, 0.25))
        } else {
            Some((batch - 1.0, self.pace.sum / self.pace.count, 0.5))
        };
        self.restart(now, to);
        sample.map(|(others, seconds, weight)| (others.max(0.0), seconds, weight))
    }

    fn restart(&mut self, now: Instant, running: f64) {
        let Self { last, prompts, backlog, .. } = *self;
        *self = Self { last, prompts, backlog, since: Some((now, running)), ..Self::default() };
    }
}

/// Which prompts are being computed, from requests sent and first tokens counted; independent of when response headers
/// come.
#[derive(Clone, Copy, Debug, Default)]
struct Prompts {
    open: f64,
    /// There were several since there was none.
    several: bool,
    /// Tokens computed since there was none: engines that count them by chunk do so before the first token.
    tokens: f64,
}

impl Prompts {
    /// Tokens of the prompt whose first token came since the last look, when no other was computed beside or before.
    fn look(&mut self, before: Look, look: Look, added: &Totals) -> Option<f64> {
        let sent = f64::from(look.sent.wrapping_sub(before.sent));
        let first = added.first_token.map_or(0.0, |first| first.count);
        let open = self.open + sent;
        self.several |= open > 1.0;
        self.tokens += added.prompt_tokens.unwrap_or(0.0) - added.cached_tokens.unwrap_or(0.0);
        let alone = (open == 1.0 && first == 1.0 && !self.several).then_some(self.tokens);
        // Requests that were refused or given up have no first token.
        self.open = (open - first).clamp(0.0, look.own.into());
        if self.open <= 0.0 {
            *self = Self::default();
        }
        alone
    }
}

/// One prompt that waited for no slot. None of an engine that tells no prompt tokens: some are always computed.
fn first_token(before: Look, look: Look, added: &Totals, tokens: f64) -> Option<(f64, f64, f64)> {
    let first = added.first_token.filter(|first| first.count == 1.0)?;
    let idle = before.waiting == Some(0) && look.waiting == Some(0);
    (idle && before.foreign == 0 && tokens > 0.0).then_some((tokens, first.sum, FIRST_TOKEN_WEIGHT))
}
