//! Writes decisions down for those who ask why, and counts refusals by model.

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

/// When the request had arrived, and when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The end of the request, as far as it is read here.
    pub arrived: Instant,
    /// The decision.
    pub now: Instant,
}

impl Times {
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
        (pick, prefiller): (&Pick, &Prefiller),
        explanation: Explanation,
    ) -> (Option<Follow>, Option<String>) {
        let Some(why) = self.why else { return (None, None) };
        let prefiller = match prefiller {
            Prefiller::Other(address) => Some(address.clone()),
            Prefiller::Untold | Prefiller::Itself => None,
        };
        let result = Result::Picked { endpoints: pick.endpoints.to_vec(), prefiller };
        let follow = self.keep(why, asked(), times, result, explanation);
        let told = (self.header == Header::Answer).then(|| crate::decisions::line(follow.record()));
        (Some(follow), told)
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
        if !self.lane.decisions.is_on() {
            return;
        }
        let why = if self.header == Header::Off { Why::Refused } else { Why::Asked };
        let Refused { reason, status, ref message, .. } = *refused;
        let result = Result::Refused { reason, status, message: message.clone() };
        drop(self.keep(why, asked, times, result, explanation));
    }

    fn keep(&self, why: Why, asked: Asked, times: Times, result: Result, explanation: Explanation) -> Follow {
        let request_id = self.head.request_id.as_deref().unwrap_or_default();
        let names = (request_id, self.pool.key().as_str());
        let record = Record::new(why, names, asked, times.told(), result, explanation);
        self.lane.decisions.keep(record, times.now)
    }
}
