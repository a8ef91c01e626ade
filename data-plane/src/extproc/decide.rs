//! One decision: what a request asks for, whether it is admitted, and where it goes.
//!
//! ```text
//! Question ─ parse ─▶ model ─ objective ─▶ priority ─ gate ─▶ Ticket ─ rewrite ─▶ target ─ pick ─▶ endpoints, Outcome
//!                                                       └─▶ Waits: asked again with the ticket, because the pool may be
//!                                                           another by then
//! ```

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::lane::Lane;
use super::refused::Refused;
use super::session::{Answer, Question};
use crate::flow::{Admission, Request, Ticket, Waiting};
use crate::outcome::Outcome;
use crate::picker::{self, Ask, Refusal};
use crate::pool::{Pool, Snapshot};
use crate::prefix::Chain;
use crate::request::parse::{Inference, parse};
use crate::request::{Head, objective, rewrite};

/// What is held while a request is in flight; dropped when it ends in whatever way.
#[derive(Debug)]
pub struct Guards {
    /// Accounting at the endpoint.
    pub outcome: Outcome,
    /// The place inside the gate.
    pub ticket: Ticket,
}

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// The client is told.
    Refused(Refused),
    /// The picker cannot say; Envoy applies the pool's failure mode.
    Unavailable(String),
}

/// What comes of a question.
#[derive(Debug)]
pub enum Decision {
    /// Where the request goes.
    Picked(Answer, Guards),
    /// The question is to be asked again with the ticket.
    Waits(Waiting),
}

/// Decides `question` for `pool`; with the `ticket` of a request that waited.
pub fn decide(
    pool: &Arc<Pool>,
    lane: &Lane,
    question: &Question<'_>,
    ticket: Option<Ticket>,
    now: Instant,
    rng: &mut fastrand::Rng,
) -> Result<Decision, Undecided> {
    let snapshot = pool.snapshot();
    let found = parse(&question.head.path, question.body);
    let model = found.model.as_deref();
    let priority = objective::priority(&snapshot, question.head.objective.as_deref(), model);
    let admission = || {
        let tokens = found.prompt_tokens.saturating_add(picker::expected_output(found.max_tokens));
        let Head { tenant, patience, ttft_target: target, .. } = *question.head;
        let bytes = question.body.len();
        let subset = question.subset;
        let request = Request { priority, tenant, tokens, bytes, subset, patience, target };
        lane.gate.admit(&snapshot, &request, now)
    };
    let mut ticket = match ticket.map_or_else(admission, Admission::Admitted) {
        Admission::Admitted(ticket) => ticket,
        Admission::Waits(waiting) => return Ok(Decision::Waits(waiting)),
        Admission::Shed(shed) => return Err(Undecided::Refused(shed.into())),
    };
    let target = target(&snapshot, &found, rng);
    let chain = chain(&found, target.or(model).unwrap_or(""), question.body);
    let ask = Ask {
        model: target.or(model).unwrap_or(""),
        prompt_tokens: found.prompt_tokens,
        max_tokens: found.max_tokens,
        priority,
        subset: question.subset,
        blocks: chain.blocks(),
    };
    let pick = picker::pick(pool, &ask, now, rng).map_err(|refusal| match refusal {
        Refusal::NotSynced => Undecided::Unavailable(refusal.to_string()),
        refusal => Undecided::Refused(refusal.into()),
    })?;
    ticket.placed();
    let mut endpoints = String::with_capacity(24 * pick.endpoints.len());
    for (i, endpoint) in pick.endpoints.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(endpoints, "{comma}{endpoint}").expect("writing to a String cannot fail");
    }
    let body = target.map(|target| rewrite::replace(question.body, found.model_at.clone(), target));
    Ok(Decision::Picked(Answer { endpoints, body }, Guards { outcome: pick.outcome, ticket }))
}

/// The model to send the request on with, when it is another one. A body without a model has nothing to rewrite.
fn target<'a>(snapshot: &'a Snapshot, found: &Inference<'_>, rng: &mut fastrand::Rng) -> Option<&'a str> {
    rewrite::target(&snapshot.rewrites, found.model.as_deref()?, rng)
}

fn chain(found: &Inference<'_>, model: &str, body: &[u8]) -> Chain {
    let prompt = &body[found.prompt_at.clone()];
    let mut chain = Chain::new(model, found.cache_salt, prompt.len());
    chain.push(prompt);
    chain
}
