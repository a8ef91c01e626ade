//! One decision: what a request asks for, whether it is admitted, and where it goes.
//!
//! ```text
//! Question ─ parse ─▶ model ─ objective ─▶ priority ─ gate ─▶ Ticket ─ rewrite ─▶ target ─ pick ─▶ endpoints, Outcome
//! ```

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::lane::Lane;
use super::refused::Refused;
use super::session::{Answer, Question};
use crate::flow::Ticket;
use crate::outcome::Outcome;
use crate::picker::{self, Ask, Refusal};
use crate::pool::{Pool, Snapshot};
use crate::prefix::Chain;
use crate::request::parse::{Inference, parse};
use crate::request::{objective, rewrite};

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

/// Decides `question` for `pool`.
pub fn decide(
    pool: &Arc<Pool>,
    lane: &Lane,
    question: &Question<'_>,
    now: Instant,
    rng: &mut fastrand::Rng,
) -> Result<(Answer, Guards), Undecided> {
    let snapshot = pool.snapshot();
    let found = parse(&question.head.path, question.body);
    let model = found.model.as_deref();
    let priority = objective::priority(&snapshot, question.head.objective.as_deref(), model);
    let ticket = lane.gate.admit(priority).map_err(|shed| Undecided::Refused(shed.into()))?;
    let target = target(&snapshot, &found, rng);
    let chain = chain(&found, target.or(model).unwrap_or(""), question.body);
    let ask = Ask {
        model: target.or(model).unwrap_or(""),
        prompt_tokens: found.prompt_tokens,
        max_tokens: found.max_tokens,
        priority,
        subset: question.subset,
        stream: found.stream,
        cached_tokens: &[],
        policy: Some(objective::policy(&snapshot, question.head.objective.as_deref(), model)),
        wishes: Some(&question.head.wishes),
        blocks: chain.blocks(),
    };
    let pick = picker::pick(pool, &ask, now, rng).map_err(|refusal| match refusal {
        Refusal::NotSynced => Undecided::Unavailable(refusal.to_string()),
        refusal => Undecided::Refused(refusal.into()),
    })?;
    let mut endpoints = String::with_capacity(24 * pick.endpoints.len());
    for (i, endpoint) in pick.endpoints.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(endpoints, "{comma}{endpoint}").expect("writing to a String cannot fail");
    }
    let body = target.map(|target| rewrite::replace(question.body, found.model_at.clone(), target));
    Ok((Answer { endpoints, body }, Guards { outcome: pick.outcome, ticket }))
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
