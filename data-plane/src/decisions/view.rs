//! Records as JSON documents, and in one line.
//!
//! Times are seconds, rounded to microseconds; what is not known is null.

use std::fmt::Write as _;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::picker::explain::{Explained, How};
use crate::picker::{Aimed, Parts};
use crate::pool::Freshness;

use super::record::{Happened, Record, Result};

/// A decision, without its endpoints, as seen at `now`.
#[must_use]
pub fn row(record: &Record, now: Instant) -> Value {
    let asked = &record.asked;
    let unix = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (picked, refused) = match &record.result {
        Result::Picked { endpoints, prefiller } => {
            let one = record.picked();
            let (how, of) = record.how.map_or((None, None), how);
            let picked = json!({
                "endpoint": endpoints.first(),
                "fallbacks": endpoints.get(1..),
                "pod": one.map(|one| &one.pod),
                "accelerator": one.map(|one| &one.accelerator),
                "how": how,
                "of": of,
                "expectedTtft": one.map(|one| seconds(one.parts.ttft())),
                "expectedCachedTokens": one.map(|one| one.cached_tokens),
                "prefiller": prefiller,
            });
            (picked, Value::Null)
        }
        Result::Refused { reason, status, message } => {
            (Value::Null, json!({ "reason": reason, "status": status, "message": message }))
        }
    };
    json!({
        "requestId": record.request_id,
        "pool": record.pool,
        "unixTime": duration(unix),
        "age": duration(now.saturating_duration_since(record.decided)),
        "recorded": record.why.name(),
        "model": asked.model,
        "target": asked.target,
        "objective": asked.objective,
        "priority": asked.priority,
        "promptTokens": asked.prompt_tokens,
        "promptTokensCounted": asked.counted,
        "expectedOutputTokens": asked.output_tokens,
        "stream": asked.stream,
        "bodyBytes": asked.body_bytes,
        "subset": asked.subset,
        "policy": record.aimed.as_ref().map(policy),
        "queueSeconds": duration(record.waited),
        "picked": picked,
        "refused": refused,
        "happened": happened(&record.happened(), record.is_refused()),
    })
}

/// A decision with its endpoints.
#[must_use]
pub fn decision(record: &Record, now: Instant) -> Value {
    let mut whole = row(record, now);
    whole["endpoints"] = record.endpoints().iter().map(endpoint).collect();
    whole
}

/// A decision in one line, for a header: `key=value`, separated by "; ".
#[must_use]
pub fn line(record: &Record) -> String {
    let mut out = String::with_capacity(256);
    // Writing to a String cannot fail.
    let _infallible = match (&record.result, record.picked()) {
        (Result::Refused { reason, .. }, _) => write!(out, "refused={reason}"),
        (Result::Picked { .. }, None) => write!(out, "picked"),
        (Result::Picked { .. }, Some(one)) => {
            let might = record.endpoints().iter().filter(|one| (one.verdict as u8) < 2).count();
            let (how, of) = record.how.map_or((None, None), how);
            let Parts { slot_wait, prefill_wait, prefill, decode, .. } = one.parts;
            write!(
                out,
                "picked={}; pod={}; class={}; how={}; near={}; candidates={might}/{}; ttft={}; wait={}; prefill={}; \
                 decode={}; cost={}; cached={}/{}; metrics-age={}",
                one.address,
                one.pod,
                one.accelerator,
                how.unwrap_or_default(),
                of.unwrap_or(1),
                record.endpoints().len(),
                seconds(one.parts.ttft()),
                seconds(slot_wait + prefill_wait),
                seconds(prefill),
                seconds(decode),
                seconds(one.cost),
                one.cached_tokens,
                record.asked.prompt_tokens,
                one.age.map_or("none".to_owned(), |age| duration(age).to_string()),
            )
        }
    };
    let _infallible = write!(out, "; priority={}; queue={}", record.asked.priority, duration(record.waited));
    // Names of Pods and classes come from elsewhere; a header takes visible ASCII only.
    out.retain(|c| c.is_ascii_graphic() || c == ' ');
    out
}

fn how(how: How) -> (Option<&'static str>, Option<usize>) {
    match how {
        How::Least => (Some("least"), Some(1)),
        How::NearTie(of) => (Some("near_tie"), Some(of)),
        How::Trial => (Some("trial"), None),
    }
}

fn policy(aimed: &Aimed) -> Value {
    json!({
        "optimize": aimed.optimize.name(),
        "ttftBelow": aimed.ttft.map(seconds),
        "itlBelow": aimed.itl.map(seconds),
        "required": aimed.required,
        "preferred": aimed.preferred,
    })
}

fn happened(happened: &Happened, refused: bool) -> Value {
    let Happened { took, served, first_byte, failed, refused: late, usage, end } = happened;
    let refused = refused || late.is_some();
    json!({
        "state": match end {
            _ if refused => "refused",
            Some((end, _)) => end.name(),
            None => "in_flight",
        },
        "decisionSeconds": took.map(duration),
        "served": served,
        "firstByteSeconds": first_byte.map(duration),
        "failedStatus": failed,
        "refused": late,
        "endSeconds": end.filter(|_| !refused).map(|(_, after)| duration(after)),
        "promptTokens": usage.prompt_tokens,
        "cachedTokens": usage.cached_tokens,
        "outputTokens": usage.output_tokens,
    })
}

fn endpoint(one: &Explained) -> Value {
    let Parts { slot_wait, prefill_wait, prefill, decode, crowding, burden, pressure, adapter, doubt } =
        one.parts;
    let (freshness, failures) = match one.freshness {
        Freshness::Fresh => ("fresh", None),
        Freshness::Stale(_) => ("stale", None),
        Freshness::Never => ("never", None),
        Freshness::Failing(times) => ("failing", Some(times)),
    };
    json!({
        "address": one.address,
        "pod": one.pod,
        "accelerator": one.accelerator,
        "verdict": one.verdict.name(),
        "near": one.near,
        "cost": seconds(one.cost),
        "missesTarget": one.tier.misses,
        "preferredPlace": one.tier.place,
        "dollarsPerHour": seconds(one.tier.dollars),
        "seconds": {
            "slotWait": seconds(slot_wait),
            "prefillWait": seconds(prefill_wait),
            "prefill": seconds(prefill),
            "pressure": seconds(pressure),
            "adapter": seconds(adapter),
            "ttft": seconds(one.parts.ttft()),
            "ttftDoubt": seconds(doubt),
            "decode": seconds(decode),
            "crowding": seconds(crowding),
            "burden": seconds(burden),
            "total": seconds(one.parts.total()),
        },
        "cachedTokens": one.cached_tokens,
        "load": {
            "own": one.load.own,
            "peers": one.load.peers,
            "foreign": one.load.foreign,
            "running": one.load.running,
            "waiting": one.load.waiting,
            "kvUsed": one.load.kv_used.map(seconds),
            "kvTokens": one.load.kv_tokens,
        },
        "metrics": { "freshness": freshness, "age": one.age.map(duration), "failures": failures },
    })
}

fn seconds(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

fn duration(value: Duration) -> f64 {
    (value.as_secs_f64() * 1e6).round() / 1e6
}
