use serde_json::json;

use super::*;

fn decision() -> Value {
    json!({
        "requestId": "r-1", "pool": "default/llama", "age": 3.25, "recorded": "sampled", "picker": "picker",
        "model": "sql", "target": "llama-sql", "objective": "gold", "priority": 10, "promptTokens": 700,
        "expectedOutputTokens": 128, "stream": true, "subset": null, "queueSeconds": 0.0125,
        "policy": { "optimize": "cost", "ttftBelow": 1.8, "itlBelow": 0.09, "required": "", "preferred": "l4" },
        "picked": {
            "endpoint": "10.0.0.2:8000", "fallbacks": ["10.0.0.1:8000"], "pod": "b", "accelerator": "nvidia-l4",
            "how": "near_tie", "of": 2, "expectedTtft": 0.058, "expectedCachedTokens": 512, "prefiller": null,
        },
        "refused": null,
        "happened": {
            "state": "answered", "decisionSeconds": 0.000041, "served": "10.0.0.2:8000", "firstByteSeconds": 0.0612,
            "endSeconds": 2.345, "promptTokens": 698, "cachedTokens": 496, "outputTokens": 130,
        },
        "endpoints": [
            {
                "address": "10.0.0.1:8000", "pod": "a", "accelerator": "nvidia-l4", "verdict": "candidate",
                "near": true, "cost": 0.06, "missesTarget": false,
                "seconds": { "ttft": 0.058, "slotWait": 0.0, "prefillWait": 0.004, "prefill": 0.054 },
                "cachedTokens": 0, "load": { "own": 2, "foreign": 1 }, "metrics": { "freshness": "fresh", "age": 0.04 },
            },
            {
                "address": "10.0.0.2:8000", "pod": "b", "accelerator": "nvidia-l4", "verdict": "failing",
                "near": true, "cost": 1.5, "missesTarget": true, "seconds": {}, "cachedTokens": 512, "load": {},
                "metrics": { "freshness": "never", "age": null },
            },
        ],
    })
}

#[test]
fn a_decision_is_told_in_words_and_a_table() {
    let text = explain(&decision());
    let lines: Vec<&str> = text.lines().collect();
    for (line, words) in [
        (0, "Request r-1 of pool default/llama, 3.2s ago (recorded: sampled; by picker)"),
        (
            1,
            "Asked     model sql as llama-sql, priority 10, objective gold, 700 prompt tokens, 128 output tokens",
        ),
        (
            2,
            "Policy    optimize cost, first token within 1.80s, between tokens at most 90.0ms, preferably l4",
        ),
        (
            3,
            "Picked    10.0.0.2:8000: one of 2 that cost nearly the least; after 12.5ms in the queue, in 41us; ",
        ),
        (
            4,
            "Happened  served by 10.0.0.2:8000; first byte after 61.2ms; answered after 2.35s; tokens: 698 prompt",
        ),
    ] {
        assert!(lines[line].starts_with(words), "{}", lines[line]);
    }
    assert!(lines[3].ends_with("512 of 700 prompt tokens cached; fallbacks 10.0.0.1:8000"), "{}", lines[3]);
    let cells =
        |line: &str| line.split("   ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = lines[6..9].iter().map(|line| cells(line)).collect();
    assert_eq!(rows[0][..4], ["ENDPOINT", "POD", "CLASS", "VERDICT"]);
    assert_eq!(
        rows[1],
        [
            "~",
            "10.0.0.1:8000",
            "a",
            "nvidia-l4",
            "candidate",
            "60.0ms",
            "58.0ms",
            "4.0ms",
            "54.0ms",
            "0",
            "0",
            "3",
            "fresh, 40ms"
        ]
    );
    assert_eq!(rows[2][..5], ["->", "10.0.0.2:8000", "b", "nvidia-l4", "failing, misses target"]);
}

#[test]
fn a_refusal_says_what_the_client_read() {
    let mut refused = decision();
    refused["picked"] = Value::Null;
    refused["policy"] = Value::Null;
    refused["refused"] = json!({ "reason": "queue_full", "status": 429, "message": "Busy." });
    refused["endpoints"] = json!([]);
    let text = explain(&refused);
    assert!(text.contains("Refused   queue_full (429) after 12.5ms in the queue: Busy.\n"), "{text}");
    assert!(!text.contains("Happened") && !text.contains("ENDPOINT"), "{text}");
    let listed = list(&[refused, decision()], &["ns/c: it does not answer".to_owned()]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("AGE") && lines[1].contains("queue_full (429)"), "{listed}");
    assert!(lines[2].contains("10.0.0.2:8000") && lines[2].contains("61.2ms"), "{listed}");
    assert_eq!(lines.last(), Some(&"ns/c: it does not answer"));
    assert_eq!(list(&[], &[]), "No decisions are recorded yet.\n");
}

/// Another version of the picker may tell less.
#[test]
fn what_is_not_told_is_left_empty() {
    assert!(explain(&json!({})).starts_with("Request  of pool "));
    assert!(list(&[json!({})], &[]).contains("STATE"));
}
