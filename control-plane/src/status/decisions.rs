//! What `signalbox explain` shows of the pickers' decisions.
//!
//! The documents are those of the pickers' `/explain`; what a picker of another version does not tell is left empty.

use std::fmt::Write as _;

use serde_json::Value;

use super::overview::table;

/// The newest decisions, one line each, and what there is to say of pickers that told none.
pub fn list(decisions: &[Value], problems: &[String]) -> String {
    let mut out = String::new();
    let rows = decisions.iter().map(|one| {
        let (picked, refused, happened) = (&one["picked"], &one["refused"], &one["happened"]);
        let result = match refused["reason"].as_str() {
            Some(reason) => format!("{reason} ({})", refused["status"]),
            None => text(&picked["endpoint"]),
        };
        vec![
            ago(&one["age"]),
            text(&one["requestId"]),
            text(&one["pool"]),
            text(&one["model"]),
            text(&one["priority"]),
            seconds(&one["queueSeconds"]),
            result,
            text(&picked["accelerator"]),
            seconds(&picked["expectedTtft"]),
            seconds(&happened["firstByteSeconds"]),
            text(&happened["state"]),
        ]
    });
    let header = [
        "AGE",
        "REQUEST",
        "POOL",
        "MODEL",
        "PRIORITY",
        "QUEUE",
        "RESULT",
        "CLASS",
        "EXPECTED",
        "FIRST BYTE",
        "STATE",
    ];
    table(&mut out, &header, rows);
    if decisions.is_empty() {
        out.push_str("No decisions are recorded yet.\n");
    }
    for problem in problems {
        line(&mut out, problem);
    }
    out
}

/// One decision with its endpoints.
pub fn explain(decision: &Value) -> String {
    let mut out = String::new();
    let (asked, picked, refused, happened) =
        (decision, &decision["picked"], &decision["refused"], &decision["happened"]);
    line(
        &mut out,
        &format!(
            "Request {} of pool {}, {} ago (recorded: {}; by {})",
            text(&asked["requestId"]),
            text(&asked["pool"]),
            ago(&asked["age"]),
            text(&asked["recorded"]),
            text(&asked["picker"]),
        ),
    );
    line(&mut out, &format!("Asked     {}", request(asked)));
    line(&mut out, &format!("Policy    {}", policy(&asked["policy"])));
    match refused["reason"].as_str() {
        Some(reason) => {
            let (status, message) = (&refused["status"], text(&refused["message"]));
            line(
                &mut out,
                &format!(
                    "Refused   {reason} ({status}) after {} in the queue: {message}",
                    seconds(&asked["queueSeconds"])
                ),
            );
        }
        None => line(&mut out, &format!("Picked    {}", choice(asked, picked, happened))),
    }
    if refused.is_null() {
        line(&mut out, &format!("Happened  {}", story(happened)));
    }
    out.push('\n');
    endpoints(&mut out, decision);
    out
}

fn request(asked: &Value) -> String {
    let model = match asked["target"].as_str() {
        Some(target) => format!("{} as {target}", text(&asked["model"])),
        None => text(&asked["model"]),
    };
    let mut out = format!("model {}, priority {}", or(&model, "unknown"), text(&asked["priority"]));
    let mut add = |part: String| {
        out.push_str(", ");
        out.push_str(&part);
    };
    if let Some(objective) = asked["objective"].as_str() {
        add(format!("objective {objective}"));
    }
    add(format!("{} prompt tokens", text(&asked["promptTokens"])));
    add(format!("{} output tokens expected", text(&asked["expectedOutputTokens"])));
    if asked["stream"] == true {
        add("streamed".to_owned());
    }
    if let Some(count) = asked["subset"].as_u64() {
        add(format!("limited to {count} endpoints"));
    }
    out
}

fn policy(policy: &Value) -> String {
    if policy.is_null() {
        return "none was applied: no endpoint was compared".to_owned();
    }
    let mut out = format!("optimize {}", text(&policy["optimize"]));
    for (name, words) in [("ttftBelow", "first token within"), ("itlBelow", "between tokens at most")] {
        if !policy[name].is_null() {
            let _infallible = write!(out, ", {words} {}", seconds(&policy[name]));
        }
    }
    for (name, words) in [("required", "only"), ("preferred", "preferably")] {
        if let Some(classes) = policy[name].as_str().filter(|classes| !classes.is_empty()) {
            let _infallible = write!(out, ", {words} {classes}");
        }
    }
    out
}

fn choice(asked: &Value, picked: &Value, happened: &Value) -> String {
    let how = match picked["how"].as_str() {
        Some("least") => "it costs the least".to_owned(),
        Some("near_tie") => format!("one of {} that cost nearly the least", text(&picked["of"])),
        Some("trial") => "to learn of its class".to_owned(),
        other => other.unwrap_or_default().to_owned(),
    };
    let mut out = format!(
        "{}: {how}; after {} in the queue, in {}; first token expected in {}, {} of {} prompt tokens cached",
        text(&picked["endpoint"]),
        seconds(&asked["queueSeconds"]),
        seconds(&happened["decisionSeconds"]),
        seconds(&picked["expectedTtft"]),
        text(&picked["expectedCachedTokens"]),
        text(&asked["promptTokens"]),
    );
    if let Some(prefiller) = picked["prefiller"].as_str() {
        let _infallible = write!(out, "; the prompt is computed by {prefiller}");
    }
    let fallbacks: Vec<String> = picked["fallbacks"].as_array().into_iter().flatten().map(text).collect();
    if !fallbacks.is_empty() {
        let _infallible = write!(out, "; fallbacks {}", fallbacks.join(", "));
    }
    out
}

fn story(happened: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(reason) = happened["refused"].as_str() {
        parts.push(format!("the client was told {reason}"));
    }
    if let Some(served) = happened["served"].as_str() {
        parts.push(format!("served by {served}"));
    }
    if !happened["firstByteSeconds"].is_null() {
        parts.push(format!("first byte after {}", seconds(&happened["firstByteSeconds"])));
    }
    if !happened["failedStatus"].is_null() {
        parts.push(format!("failed with status {}", happened["failedStatus"]));
    }
    let end = seconds(&happened["endSeconds"]);
    parts.push(match happened["state"].as_str() {
        Some("answered") => format!("answered after {end}"),
        Some("ended") => format!("ended after {end}"),
        Some("cut") => format!("cut after {end}: the client left, or the connection broke"),
        Some("in_flight") => "still runs".to_owned(),
        other => other.unwrap_or_default().to_owned(),
    });
    let counts = [("promptTokens", "prompt"), ("cachedTokens", "cached"), ("outputTokens", "output")];
    let told: Vec<String> = counts
        .iter()
        .filter(|(name, _)| !happened[*name].is_null())
        .map(|(name, word)| format!("{} {word}", happened[*name]))
        .collect();
    if !told.is_empty() {
        parts.push(format!("tokens: {}", told.join(", ")));
    }
    parts.join("; ")
}

fn endpoints(out: &mut String, decision: &Value) {
    let picked = &decision["picked"]["endpoint"];
    let rows = decision["endpoints"].as_array().into_iter().flatten().map(|one| {
        let part = |name: &str| seconds(&one["seconds"][name]);
        let mark = match (&one["address"] == picked, one["near"] == true) {
            (true, _) => "->",
            (_, true) => "~",
            _ => "",
        };
        let verdict = match one["missesTarget"] == true {
            true => format!("{}, misses target", text(&one["verdict"])),
            false => text(&one["verdict"]),
        };
        let metrics = match one["metrics"]["freshness"].as_str() {
            Some(freshness) if !one["metrics"]["age"].is_null() => {
                format!("{freshness}, {}", ago(&one["metrics"]["age"]))
            }
            other => other.unwrap_or_default().to_owned(),
        };
        let load = &one["load"];
        let requests =
            load["own"].as_u64().unwrap_or_default() + load["foreign"].as_u64().unwrap_or_default();
        vec![
            mark.to_owned(),
            text(&one["address"]),
            text(&one["pod"]),
            text(&one["accelerator"]),
            verdict,
            seconds(&one["cost"]),
            part("ttft"),
            sum(&one["seconds"], &["slotWait", "prefillWait"]),
            part("prefill"),
            part("pressure"),
            part("adapter"),
            part("decode"),
            sum(&one["seconds"], &["crowding", "burden"]),
            text(&one["cachedTokens"]),
            requests.to_string(),
            metrics,
        ]
    });
    let header = [
        "", "ENDPOINT", "POD", "CLASS", "VERDICT", "COST", "TTFT", "WAIT", "PREFILL", "KV", "ADAPTER",
        "DECODE", "OTHERS", "CACHED", "REQUESTS", "METRICS",
    ];
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table(out, &header, rows.into_iter());
        line(
            out,
            "-> picked, ~ as good. TTFT is WAIT, PREFILL, KV and ADAPTER; COST, by which endpoints are compared, adds a \
             share of DECODE and what OTHERS lose, and by policy the price.",
        );
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn sum(parts: &Value, names: &[&str]) -> String {
    seconds(&names.iter().filter_map(|name| parts[*name].as_f64()).sum::<f64>().into())
}

/// Three significant places, in the unit that suits.
fn seconds(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(0.0) => "0".to_owned(),
        Some(s) if s < 0.001 => format!("{:.0}us", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1}ms", s * 1e3),
        Some(s) => format!("{s:.2}s"),
    }
}

fn ago(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(s) if s < 1.0 => format!("{:.0}ms", s * 1e3),
        Some(s) if s < 120.0 => format!("{s:.1}s"),
        Some(s) => format!("{:.0}m", s / 60.0),
    }
}

#[cfg(test)]
mod tests;
