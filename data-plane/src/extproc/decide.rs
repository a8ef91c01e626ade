//! One decision: what a request asks for, whether it is admitted, and where it goes.
//!
//! ```text
//! Question ─ parse ─▶ model ─ objective ─▶ priority ─ gate ─▶ Ticket ─ rewrite ─▶ target ─ pick ─▶ endpoints, Outcome
//! ```

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::lane::Lane;
use super::prefiller;
use super::refused::Refused;
use super::session::{Answer, Question};
use crate::flow::Ticket;
use crate::outcome::Outcome;
use crate::picker::{self, Ask, Refusal};
use crate::pool::{Pool, Role, Snapshot};
use crate::prefix::Chain;
use crate::request::parse::{Inference, Piece, parse};
use crate::request::{objective, rewrite, tokens};

/// What is held while a request is in flight; dropped when it ends in whatever way.
#[derive(Debug)]
pub struct Guards {
    /// Accounting at the endpoint.
    pub outcome: Outcome,
    /// Accounting at the endpoint that computes the prompt, until the first byte.
    pub prefill: Option<Outcome>,
    /// The place inside the gate.
    pub ticket: Ticket,
    /// The model asked, and the bytes of the prompt, when it is text and nothing else.
    pub prompt: Option<(String, usize)>,
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
    let named = question.head.objective.as_deref();
    let priority = objective::priority(&snapshot, named, model);
    let policy = objective::policy(&snapshot, named, model);
    let ticket = lane.gate.admit(priority).map_err(|shed| Undecided::Refused(shed.into()))?;
    let target = target(&snapshot, question, &found, rng);
    let model = target.or(model).unwrap_or("");
    let chain = chain(&found, model, question.body);
    let prompt_tokens = found.prompt.tokens(lane.tokens.ratio(model));
    let block_tokens = chain.block_tokens(prompt_tokens);
    let ask = Ask {
        model,
        prompt_tokens,
        max_tokens: found.max_tokens,
        priority,
        subset: question.subset,
        stream: found.stream,
        policy: Some(policy),
        wishes: Some(&question.head.wishes),
        blocks: chain.blocks(),
        role: Role::Serve,
        block_tokens,
    };
    let mut pick = picker::pick(pool, &ask, now, rng).map_err(|refusal| match refusal {
        Refusal::NotSynced => Undecided::Unavailable(refusal.to_string()),
        refusal => Undecided::Refused(refusal.into()),
    })?;
    let (prefiller, prefill) = prefiller::choose(pool, &snapshot, &ask, &mut pick, now, rng);
    pick.outcome.sent(chain.into_blocks(), block_tokens);
    let mut endpoints = String::with_capacity(24 * pick.endpoints.len());
    for (i, endpoint) in pick.endpoints.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(endpoints, "{comma}{endpoint}").expect("writing to a String cannot fail");
    }
    let body = target.map(|target| rewrite::replace(question.body, found.model_at.clone(), target));
    let restore = target.map(|target| rewrite::restore(question.body, found.model_at.clone(), target));
    let prompt = (found.prompt.other_tokens() == 0).then(|| (model.to_owned(), found.prompt.text()));
    let guards = Guards { outcome: pick.outcome, prefill, ticket, prompt };
    Ok((Answer { endpoints, prefiller, body, restore }, guards))
}

/// The model to send the request on with, when it is another one. A body without a model has nothing to rewrite.
fn target<'a>(
    snapshot: &'a Snapshot,
    question: &Question<'a>,
    found: &Inference<'_>,
    rng: &mut fastrand::Rng,
) -> Option<&'a str> {
    let named = question.head.model_rewrite.as_deref().and_then(|name| std::str::from_utf8(name).ok());
    rewrite::target(&snapshot.rewrites, named, found.model.as_deref()?, rng)
}

fn chain(found: &Inference<'_>, model: &str, body: &[u8]) -> Chain {
    let mut chain = Chain::new(&[model.as_bytes(), found.adapter, found.cache_salt], found.prompt.bytes());
    found.prompt.pieces(body, |piece| match piece {
        Piece::Text(text) => chain.push(text),
        Piece::Media(media, tokens) => chain.push_media(media, tokens as usize * tokens::USUAL as usize),
    });
    chain
}
