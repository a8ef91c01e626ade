//! Writes decisions down for those who ask why, in records and spans, and counts refusals by model.

use std::time::{Duration, Instant};

use super::lane::Lane;
use super::prefiller::Prefiller;
use super::refused::Refused;
use crate::decisions::{Asked, Follow, Header, Record, Result, Why};
use crate::metrics::Asks;
use crate::picker::Pick;
use crate::picker::explain::{Explanation, Want};
use crate::pool::Pool;
use crate::request::Head;
use crate::spans::{Chosen, Running, Trace};

/// When the request had arrived, and when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The end of the request, as far as it is read here.
    pub arrived: Instant,
    /// The decision.
    pub now: Instant,
}

impl Times {
    fn until(self, now: Instant) -> (Instant, Instant, Instant) {
        (self.arrived, self.now, now)
    }

    fn told(self) -> (Instant, Duration) {
        (self.now, self.now.saturating_duration_since(self.arrived))
    }
}

/// How one decision is recorded.
pub(super) struct Recording<'a> {
    pool: &'a Pool,
    lane: &'a Lane,
    head: &'a Head,
    header: Header,
    why: Option<Why>,
}

impl<'a> Recording<'a> {
    pub(super) fn of(pool: &'a Pool, lane: &'a Lane, head: &'a Head) -> Self {
        let header = match head.explain {
            true => lane.decisions.header(&pool.peek().annotations),
            false => Header::Off,
        };
        Self { pool, lane, head, header, why: None }
    }

    /// What the pick at `now` has to explain.
    pub(super) fn want(&mut self, now: Instant) -> Want {
        let (why, want) = self.lane.decisions.want(self.header != Header::Off, now);
        self.why = why;
        want
    }

    /// Records a pick, if it is to be; also answers what the client is told.
    pub(super) fn picked(
        &self,
        asked: impl FnOnce() -> Asked,
        times: Times,
        (pick, prefiller, class): (&Pick, &Prefiller, &str),
        explanation: Explanation,
    ) -> (Option<Follow>, Option<String>, Option<Box<Running>>) {
        let trace = self.trace();
        if self.why.is_none() && trace.is_none() {
            return (None, None, None);
        }
        let asked = asked();
        let prefiller = match prefiller {
            Prefiller::Other(address) => Some(address.clone()),
            Prefiller::Untold | Prefiller::Itself => None,
        };
        let result = Result::Picked { endpoints: pick.endpoints.to_vec(), prefiller };
        let span = trace.map(|trace| {
            let Pick { expected_ttft, cached_tokens, .. } = *pick;
            let chosen = Chosen { class, expected_ttft, cached_tokens };
            let now = super::now();
            trace.decided(self.pool.key().as_str(), &asked, &result, Some(chosen), times.until(now));
            trace.follow(self.pool.key().as_str(), &asked, pick.endpoints[0], now)
        });
        let Some(why) = self.why else { return (None, None, span) };
        let follow = self.keep(why, asked, times, result, explanation);
        let told = (self.header == Header::Answer).then(|| crate::decisions::line(follow.record()));
        (Some(follow), told, span)
    }

    /// Counts a refusal, and records it.
    pub(super) fn refused(
        &self,
        asked: impl FnOnce() -> Asked,
        times: Times,
        refused: &Refused,
        explanation: Explanation,
    ) {
        let asked = asked();
        let asks = Asks {
            model: &asked.model,
            target: asked.target.as_deref().unwrap_or(&asked.model),
            priority: asked.priority,
        };
        let snapshot = self.pool.peek();
        let is_known = |name: &str| snapshot.has_model(name);
        self.lane.models.refused(asks, refused.reason, refused.status, is_known);
        let trace = self.trace();
        if !self.lane.decisions.is_on() && trace.is_none() {
            return;
        }
        let why = if self.header == Header::Off { Why::Refused } else { Why::Asked };
        let Refused { reason, status, ref message, .. } = *refused;
        let result = Result::Refused { reason, status, message: message.clone() };
        if let Some(trace) = trace {
            trace.decided(self.pool.key().as_str(), &asked, &result, None, times.until(super::now()));
        }
        if !self.lane.decisions.is_on() {
            return;
        }
        drop(self.keep(why, asked, times, result, explanation));
    }

    /// The request's trace, if it is traced.
    fn trace(&self) -> Option<Trace> {
        self.lane.spans.as_ref()?.begin(self.head)
    }

    fn keep(&self, why: Why, asked: Asked, times: Times, result: Result, explanation: Explanation) -> Follow {
        let request_id = self.head.request_id.as_deref().unwrap_or_default();
        let names = (request_id, self.pool.key().as_str());
        let record = Record::new(why, names, asked, times.told(), result, explanation);
        self.lane.decisions.keep(record, times.now)
    }
}
