//! Counts prompts: short ones at once, long ones on threads, within a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::cache::{Cache, name};
use super::count::{Counted, Form};
use super::shelf::Shelf;
use super::vocabulary::Vocabulary;
use crate::request::parse::{Inference, Texts, parse};
use crate::request::tokens::Tokens;

/// Bytes of text that are counted where they are decided: some 0.2 ms.
pub const INLINE: usize = 1_024;
/// Bytes of text a second, before any was counted.
const USUAL_SPEED: f32 = 4e6;
/// Texts that are counted to learn from.
const LEAST_TEXT: usize = 1_024;
/// A count that is too late goes on for this many deadlines, for the sake of what is kept of it.
const PATIENCE: u32 = 16;

/// What came of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result {
    /// The engine's own number.
    Exact,
    /// Exact but for what a chat template adds.
    Chat,
    /// It was not there in time.
    Deadline,
    /// It could not have been there in time.
    TooLong,
    /// The prompt's text cannot be read.
    Unreadable,
    /// The tokenizer's own rules do not take the text.
    Failed,
}

impl Result {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Exact, Self::Chat, Self::Deadline, Self::TooLong, Self::Unreadable, Self::Failed];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Chat => "chat",
            Self::Deadline => "deadline",
            Self::TooLong => "too_long",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }
}

/// Counts the prompts of a process.
#[derive(Debug)]
pub struct Counter {
    shelf: Arc<Shelf>,
    deadline: Duration,
    cache: Cache,
    /// Places of those that count on threads.
    threads: Arc<Semaphore>,
    /// Bytes of text that are counted in a second.
    speed: AtomicU32,
    results: [AtomicU64; Result::ALL.len()],
    /// Reports that were different from counts, and equal to them.
    checks: [AtomicU64; 2],
}

/// A count that is not done yet.
pub struct Pending {
    by: Arc<Vocabulary>,
    model: Box<str>,
    path: Bytes,
    body: Bytes,
    text: usize,
}

impl Counter {
    /// With the tokenizers of `shelf`; nobody waits longer than `deadline`.
    #[must_use]
    pub fn new(shelf: Arc<Shelf>, deadline: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            shelf,
            deadline,
            cache: Cache::default(),
            threads: Arc::new(Semaphore::new((cores / 2).max(1))),
            speed: AtomicU32::new(USUAL_SPEED.to_bits()),
            results: Default::default(),
            checks: Default::default(),
        }
    }

    /// The tokenizers.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// What is to be counted of `found`, which was sent to `path` for `model` and read from `body`. None when there is no
    /// text, or no tokenizer.
    pub fn begin(&self, found: &Inference<'_>, model: &str, path: &Bytes, body: &Bytes) -> Option<Pending> {
        let text = found.prompt.text();
        if text == 0 {
            return None;
        }
        let by = self.shelf.get(model)?;
        Some(Pending { by, model: model.into(), path: path.clone(), body: body.clone(), text })
    }

    /// Counts it; None when only an estimate is to be had.
    pub async fn count(self: &Arc<Self>, pending: Pending) -> Option<Counted> {
        let counted = match pending.text {
            0..=INLINE => self.now(pending, None),
            _ => self.on_a_thread(pending).await,
        };
        let (result, counted) = match counted {
            Ok(counted) if matches!(counted.form, Form::Plain { .. }) => (Result::Exact, Some(counted)),
            Ok(counted) => (Result::Chat, Some(counted)),
            Err(result) => (result, None),
        };
        self.results[result as usize].fetch_add(1, Relaxed);
        counted
    }

    /// A model server reports the tokens of a prompt of which that was counted.
    pub fn reported(&self, counted: &Counted, learned: &Tokens, prompt_tokens: u32) {
        match counted.form {
            Form::Plain { .. } => {
                let equal = counted.tokens == prompt_tokens;
                counted.by.checked(equal);
                self.checks[usize::from(equal)].fetch_add(1, Relaxed);
            }
            Form::Chat { messages, tools } => {
                let more = i64::from(prompt_tokens) - i64::from(counted.tokens);
                learned.learn_template(&counted.model, messages, tools, more);
            }
        }
    }

    /// Counts by result since the start.
    pub fn results(&self) -> impl Iterator<Item = (Result, u64)> {
        Result::ALL.into_iter().map(|result| (result, self.results[result as usize].load(Relaxed)))
    }

    /// Reports that were equal to exact counts, and different ones.
    #[must_use]
    pub fn checks(&self) -> (u64, u64) {
        (self.checks[1].load(Relaxed), self.checks[0].load(Relaxed))
    }

    /// All threads, taken.
    #[cfg(test)]
    pub(super) async fn occupied(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = self.threads.available_permits().try_into().unwrap();
        Arc::clone(&self.threads).acquire_many_owned(all).await.unwrap()
    }

    async fn on_a_thread(self: &Arc<Self>, pending: Pending) -> std::result::Result<Counted, Result> {
        let begun = tokio::time::Instant::now();
        let deadline = begun + self.deadline;
        let permit = timeout_at(deadline, Arc::clone(&self.threads).acquire_owned()).await;
        let permit = permit.map_err(|_| Result::Deadline)?.map_err(|_| Result::Failed)?;
        let counter = Arc::clone(self);
        let counting = tokio::task::spawn_blocking(move || {
            let counted = counter.now(pending, Some(counter.deadline));
            drop(permit);
            counted
        });
        timeout_at(deadline, counting).await.map_err(|_| Result::Deadline)?.unwrap_or(Err(Result::Failed))
    }

    /// Counts on this thread; `within` as far as it can be told before.
    fn now(&self, pending: Pending, within: Option<Duration>) -> std::result::Result<Counted, Result> {
        let Pending { by, model, path, body, .. } = pending;
        let Texts { form, texts } = parse(&path, &body).texts(&body).ok_or(Result::Unreadable)?;
        let mut ids = Vec::new();
        let mut tokens = 0_usize;
        match form {
            Form::Plain { special_tokens } => {
                let text: usize = texts.iter().map(|text| text.len()).sum();
                if within.is_some_and(|within| text as f32 > self.reach(within)) {
                    return Err(Result::TooLong);
                }
                for text in &texts {
                    let begun = Instant::now();
                    ids = by.encode(text, special_tokens).ok_or(Result::Failed)?;
                    self.learn(text.len(), begun.elapsed());
                    tokens += ids.len();
                }
                if texts.len() > 1 {
                    ids = Vec::new();
                }
            }
            Form::Chat { .. } => {
                let begun = Instant::now();
                for text in &texts {
                    let late = within.is_some_and(|within| begun.elapsed() > within * PATIENCE);
                    tokens += self.chat_text(&by, text, late)?;
                }
            }
        }
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        Ok(Counted { model, tokens, form, ids, by })
    }

    /// Counts a text of a chat, unless it was counted before.
    fn chat_text(&self, by: &Vocabulary, text: &str, late: bool) -> std::result::Result<usize, Result> {
        let name = name(by.number(), text);
        if let Some(count) = self.cache.get(name) {
            return Ok(count as usize);
        }
        if late || text.len() as f32 > self.reach(self.deadline * PATIENCE) {
            return Err(Result::TooLong);
        }
        let begun = Instant::now();
        let count = by.count(text).ok_or(Result::Failed)?;
        self.learn(text.len(), begun.elapsed());
        self.cache.put(name, count);
        Ok(count as usize)
    }

    /// Bytes that are counted within a time.
    fn reach(&self, within: Duration) -> f32 {
        f32::from_bits(self.speed.load(Relaxed)) * within.as_secs_f32()
    }

    /// A text took that long. Concurrent updates may lose one another; it is an average.
    fn learn(&self, bytes: usize, took: Duration) {
        if bytes < LEAST_TEXT {
            return;
        }
        let speed = f32::from_bits(self.speed.load(Relaxed));
        let sample = bytes as f32 / took.as_secs_f32().max(1e-6);
        let next = speed * (sample / speed).clamp(0.25, 4.0).powf(1.0 / 16.0);
        self.speed.store(next.to_bits(), Relaxed);
    }
}
