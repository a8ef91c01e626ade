//! One decision: what a request asks for, whether it is admitted, and where it goes.
//!
//! ```text
//! Question ─ parse ─▶ model ─ objective ─▶ priority ─ gate ─▶ Ticket ─ rewrite ─▶ target ─ pick ─▶ endpoints, Outcome
//!                                                       └─▶ Waits: asked again with the ticket, because the pool may be
//!                                                           another by then
//! ```

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use super::guards::{Guards, Prompt};
use super::lane::Lane;
use super::prefiller;
use super::recording::{Recording, Times};
use super::refused::Refused;
use super::session::{Answer, Question};
use crate::accelerator::policy::required;
use crate::decisions::Asked;
use crate::flow::{Admission, Among, Request, Ticket, Waiting};
use crate::metrics::Asks;
use crate::outcome::{Outcome, Usage};
use crate::picker::explain::{Explanation, Want};
use crate::picker::{self, Ask, Refusal};
use crate::pool::{Pool, Role, Snapshot};
use crate::prefix::Chain;
use crate::request::parse::{Inference, Piece, parse};
use crate::request::{Head, objective, rewrite, tokens};
use crate::tokenizer::{Counted, Counter, Pending};

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// The client is told.
    Refused(Refused),
    /// The picker cannot say; Envoy applies the pool's failure mode.
    Unavailable(String),
}

/// What comes of a question.
#[expect(clippy::large_enum_variant, reason = "one per request, taken apart at once; most are the large one")]
#[derive(Debug)]
pub enum Decision {
    /// Where the request goes.
    Picked(Answer, Guards),
    /// The question is to be asked again with the ticket; what is asked, for the record of a refusal.
    Waits(Waiting, Box<Asked>),
}

/// What is to be counted before `question` is decided with the same `rng`.
pub fn to_count(
    pool: &Pool,
    lane: &Lane,
    question: &Question<'_>,
    mut rng: fastrand::Rng,
) -> Option<(Arc<Counter>, Pending)> {
    let counter = lane.counter.as_ref()?;
    let found = parse(&question.head.path, question.body);
    let snapshot = pool.peek();
    let model = target(&snapshot, question, &found, &mut rng).or(found.model.as_deref())?;
    Some((Arc::clone(counter), counter.begin(&found, model, &question.head.path, question.body)?))
}

/// Decides `question` for `pool`; with the `ticket` of a request that waited.
pub fn decide(
    pool: &Arc<Pool>,
    lane: &Lane,
    question: &Question<'_>,
    ticket: Option<Ticket>,
    times: Times,
    rng: &mut fastrand::Rng,
) -> Result<Decision, Undecided> {
    let (now, snapshot) = (times.now, pool.snapshot());
    let found = parse(&question.head.path, question.body);
    let model = found.model.as_deref();
    let named = question.head.objective.as_deref();
    let priority = objective::priority(&snapshot, named, model);
    let policy = objective::policy(&snapshot, named, model);
    let target = target(&snapshot, question, &found, rng);
    let objective = || objective::name(&snapshot, named, model).map(str::to_owned);
    let model = target.or(model).unwrap_or("");
    let counted = question.counted.filter(|counted| *counted.model == *model);
    let prompt_tokens = prompt_tokens(&found, lane, model, counted);
    let output_tokens = picker::expected_output(found.max_tokens, &snapshot.usual);
    let asked = || Asked {
        operation: found.api.operation(),
        model: found.model.as_deref().unwrap_or_default().to_owned(),
        target: target.map(str::to_owned),
        objective: objective(),
        priority,
        prompt_tokens,
        counted: counted.is_some(),
        output_tokens,
        stream: found.stream,
        body_bytes: question.body.len(),
        subset: question.subset.map(<[_]>::len),
    };
    let mut recording = Recording::of(pool, lane, question.head);
    let admission = || {
        let tokens = prompt_tokens.saturating_add(output_tokens);
        let Head { tenant, patience, .. } = *question.head;
        let target = question.head.ttft_target();
        let bytes = question.body.len() + counted.map_or(0, Counted::bytes);
        let classes = required(Some(&question.head.wishes), Some(policy));
        let answer_tokens = found.max_tokens.unwrap_or(0);
        let among = Among { subset: question.subset, classes, prompt_tokens, answer_tokens };
        let request = Request { priority, tenant, tokens, bytes, among, patience, target };
        lane.gate.admit(&snapshot, &request, now)
    };
    let mut ticket = match ticket.map_or_else(admission, Admission::Admitted) {
        Admission::Admitted(ticket) => ticket,
        Admission::Waits(waiting) => return Ok(Decision::Waits(waiting, Box::new(asked()))),
        Admission::Shed(shed) => {
            let refused = shed.into();
            recording.refused(asked, times, &refused, Explanation::of(Want::Nothing));
            return Err(Undecided::Refused(refused));
        }
    };
    let chain = chain(&found, model, question.body);
    let block_tokens = chain.block_tokens(prompt_tokens);
    let given = if pool.precise().in_use() { found.prompt.ids(question.body) } else { Vec::new() };
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
        tokens: counted.map_or(&given, Counted::known_ids),
        salt: found.salt(),
    };
    let mut explanation = Explanation::of(recording.want(now));
    let mut pick = match picker::pick_explained(pool, &ask, now, rng, &mut explanation) {
        Ok(pick) => pick,
        Err(refusal @ Refusal::NotSynced) => return Err(Undecided::Unavailable(refusal.to_string())),
        Err(refusal) => {
            let refused = refusal.into();
            recording.refused(asked, times, &refused, explanation);
            return Err(Undecided::Refused(refused));
        }
    };
    let (prefiller, mut prefill) = prefiller::choose(pool, &snapshot, &ask, &mut pick, now, rng);
    ticket.runs(priority, pick.endpoints[0]);
    let index = snapshot.find(pick.endpoints[0]);
    let class = index.map_or("", |index| &snapshot.endpoint(index).accelerator);
    let asks = Asks { model: found.model.as_deref().unwrap_or(""), target: model, priority };
    let metrics = lane.models.picks(asks, class, |name| snapshot.has_model(name));
    let cached_tokens = pick.cached_tokens;
    metrics.picked(prompt_tokens, cached_tokens);
    let (follow, told, span) = recording.picked(asked, times, (&pick, &prefiller, class), explanation);
    sent(prefill.iter_mut().chain([&mut pick.outcome]), chain.into_blocks(), block_tokens);
    let endpoints = list(&pick.endpoints);
    let body = target.map(|target| rewrite::replace(question.body, found.model_at.clone(), target));
    let restore = target.map(|target| rewrite::restore(question.body, found.model_at.clone(), target));
    let prompt = Prompt::of(&found, model, counted);
    let guards = Guards {
        outcome: pick.outcome,
        prefill,
        ticket,
        prompt,
        counted: metrics,
        cached_tokens,
        follow,
        span,
        usage: Usage::default(),
    };
    Ok(Decision::Picked(Answer { endpoints, prefiller, body, restore, told }, guards))
}

/// Tokens of the prompt: counted, or estimated from its bytes.
fn prompt_tokens(found: &Inference<'_>, lane: &Lane, model: &str, counted: Option<&Counted>) -> u32 {
    let Some(counted) = counted else { return found.prompt.tokens(lane.tokens.ratio(model)) };
    let others = u32::try_from(found.prompt.other_tokens()).unwrap_or(u32::MAX);
    counted.prompt_tokens(&lane.tokens).saturating_add(others)
}

/// The endpoints of `outcomes` are sent the prompt.
fn sent<'a>(outcomes: impl Iterator<Item = &'a mut Outcome>, blocks: Vec<u64>, block_tokens: f32) {
    let blocks = Arc::new(blocks);
    outcomes.for_each(|outcome| outcome.sent(Arc::clone(&blocks), block_tokens));
}

/// "ip:port", separated by commas.
fn list(addresses: &[SocketAddr]) -> String {
    let mut endpoints = String::with_capacity(24 * addresses.len());
    for (i, endpoint) in addresses.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(endpoints, "{comma}{endpoint}").expect("writing to a String cannot fail");
    }
    endpoints
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
