//! Reports side by side, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::report::{Quantiles, Report, Targets};

/// As text.
#[must_use]
pub fn table(reports: &[(String, Report)], targets: &Targets) -> String {
    let mut out = format!(
        "Targets: {:.2} s to the first token, {:.0} ms between tokens. Times in seconds: median / 90 % / 99 %.\n\n",
        targets.ttft,
        targets.itl * 1e3
    );
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("writing to a string");
        out.push('\n');
    };
    line(format_args!(
        "{:<14} {:>8} {:>7}  {:<25} {:<25} {:<23} {:>6} {:>9} {:>6} {:>9} {:>8}",
        "POLICY",
        "REQUESTS",
        "REFUSED",
        "FIRST TOKEN",
        "END",
        "BETWEEN TOKENS",
        "MET",
        "GOODPUT/S",
        "CACHED",
        "TOKENS/S",
        "$/1M"
    ));
    for (name, report) in reports {
        let dollars = report.dollars_per_million().map_or_else(|| "-".into(), |value| format!("{value:.3}"));
        line(format_args!(
            "{name:<14} {:>8} {:>7}  {:<25} {:<25} {:<23} {:>5.1}% {:>9.2} {:>5.1}% {:>9.0} {:>8}",
            report.ended,
            report.refused,
            times(&report.ttft),
            times(&report.total),
            times(&report.itl),
            report.attained() * 100.0,
            report.goodput(),
            report.hits() * 100.0,
            report.throughput(),
            dollars
        ));
    }
    line(format_args!(
        "\n{:<14} {:<28} {:>9} {:>8} {:>7} {:>7}",
        "POLICY", "ACCELERATOR", "ENDPOINTS", "REQUESTS", "BUSY", "SLOTS"
    ));
    for (name, report) in reports {
        for (class, used) in &report.classes {
            let class = if class.is_empty() { "unknown" } else { class };
            line(format_args!(
                "{name:<14} {class:<28} {:>9} {:>8} {:>6.1}% {:>6.1}%",
                used.endpoints,
                used.requests,
                used.busy * 100.0,
                used.slots * 100.0
            ));
        }
    }
    out.push_str(
        "\nMET: share of requests within both targets. BUSY: share of the time with anything to do. SLOTS: share of slots \
         that ran requests.\n$/1M: dollars per million tokens, prompts and answers, of busy time.\n",
    );
    out
}

fn times(of: &Quantiles) -> String {
    format!("{:.3} / {:.3} / {:.3}", of.p50, of.p90, of.p99)
}

/// As JSON. Times are seconds.
#[must_use]
pub fn json(reports: &[(String, Report)], targets: &Targets) -> String {
    let quantiles = |of: &Quantiles| json!({"p50": of.p50, "p90": of.p90, "p99": of.p99});
    let policy = |(name, report): &(String, Report)| {
        let class = |(class, used): (&String, &super::report::Class)| {
            json!({
                "class": class,
                "endpoints": used.endpoints,
                "requests": used.requests,
                "busy": used.busy,
                "slots": used.slots,
            })
        };
        json!({
            "policy": name,
            "requests": report.ended,
            "refused": report.refused,
            "ttft": quantiles(&report.ttft),
            "total": quantiles(&report.total),
            "itl": quantiles(&report.itl),
            "met": report.attained(),
            "goodputPerSecond": report.goodput(),
            "cachedShare": report.hits(),
            "tokensPerSecond": report.throughput(),
            "dollarsPerMillionTokens": report.dollars_per_million(),
            "seconds": report.seconds,
            "accelerators": report.classes.iter().map(class).collect::<Vec<Value>>(),
        })
    };
    let policies: Vec<Value> = reports.iter().map(policy).collect();
    let all = json!({"targets": {"ttft": targets.ttft, "itl": targets.itl}, "policies": policies});
    format!("{all:#}\n")
}
