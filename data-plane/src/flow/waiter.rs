//! A request as the queue sees it.

use std::time::Instant;

use super::among::Among;
use super::request::Request;
use super::settings::Times;
use crate::picker::SubsetEntry;

/// One request that may have to wait.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Priority of its objective: its band.
    pub priority: i32,
    /// Who sent it, as a hash: bands are shared fairly among tenants.
    pub tenant: u64,
    /// Prompt and expected output tokens: what its turn costs its tenant, and what it takes of a KV cache.
    pub tokens: u32,
    /// Bytes held while it waits.
    pub bytes: usize,
    /// The only endpoints that may serve it.
    pub subset: Option<Box<[SubsetEntry]>>,
    /// The only classes of accelerators that may serve it, separated by commas; empty: all.
    pub classes: Box<str>,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Output tokens that it asks for.
    pub answer_tokens: u32,
    /// When it began to wait.
    pub arrived: Instant,
    /// Its place among its tenant's requests: earlier first.
    pub due: Instant,
    /// How long it waits at most.
    pub times: Times,
    /// When its client stops waiting, as far as it told.
    pub patience: Option<Instant>,
}

impl Waiter {
    /// `request`, which begins to wait at `now`.
    pub(super) fn of(request: &Request<'_>, times: Times, now: Instant) -> Self {
        let Request { priority, tenant, tokens, bytes, among, patience, target } = *request;
        let expected = target.map_or(times.ttl, |target| target.min(times.ttl));
        Self {
            priority,
            tenant,
            tokens,
            bytes,
            subset: among.subset.map(Into::into),
            classes: among.classes.into(),
            prompt_tokens: among.prompt_tokens,
            answer_tokens: among.answer_tokens,
            arrived: now,
            due: now + patience.map_or(expected, |patience| patience.min(expected)),
            times,
            patience: patience.map(|patience| now + patience),
        }
    }

    /// What it is limited to.
    pub(super) fn among(&self) -> Among<'_> {
        Among {
            subset: self.subset.as_deref(),
            classes: &self.classes,
            prompt_tokens: self.prompt_tokens,
            answer_tokens: self.answer_tokens,
        }
    }

    /// When it has waited long enough. `filled_at` is when the pool last got its first endpoint: who waited for that
    /// waits for room from then on. `empty`: the pool has none.
    pub(super) fn expires(&self, filled_at: Option<Instant>, empty: bool) -> Instant {
        let Times { ttl, endpoints, longest } = self.times;
        let room = filled_at.map_or(self.arrived, |at| at.max(self.arrived)) + ttl;
        let expires = if empty { room.max(self.arrived + endpoints) } else { room };
        let expires = expires.min(self.arrived + longest);
        self.patience.map_or(expires, |patience| patience.min(expires))
    }
}
