//! Pages as vLLM serves them, and the plain way to read them.

use crate::accelerator::{Sum, Totals};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::hashes;
use crate::pool::{Adapters, Reading};

pub(super) fn vllm_small() -> String {
    "# HELP vllm:num_requests_running Number of requests.\n# TYPE vllm:num_requests_running gauge\n\
     vllm:num_requests_running{engine=\"0\",model_name=\"llama\"} 5.0\n\
     vllm:num_requests_waiting{engine=\"0\",model_name=\"llama\"} 2.0\n\
     vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"llama\"} 0.25\n\
     vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",engine=\"0\",num_gpu_blocks=\"1000\"} 1.0\n"
        .to_owned()
}

/// The page of a busy server: 500 lines, most of them histogram buckets.
pub(super) fn vllm_page() -> String {
    include_str!("../../../benches/vllm-page.txt").to_owned()
}

/// One line of a page: wanted, nearly wanted, or not.
pub(super) fn line(kind: usize, value: u32, engine: u32) -> String {
    match kind {
        0 => format!("vllm:num_requests_running{{engine=\"{engine}\"}} {value}.0\n"),
        1 => format!("vllm:num_requests_waiting{{engine=\"{engine}\"}} {value}.0\n"),
        2 => format!("vllm:num_requests_waiting_more{{engine=\"{engine}\"}} {value}.0\n"),
        3 => format!(
            "vllm:cache_config_info{{block_size=\"16\",engine=\"{engine}\",num_gpu_blocks=\"{value}\"}} 1.0\n"
        ),
        4 => format!("vllm:request_success_total{{engine=\"{engine}\"}} {value}.0\n"),
        5 => "# TYPE vllm:num_requests_running gauge\n".to_owned(),
        6 => format!("vllm:kv_cache_usage_perc{{engine=\"{engine}\"}} {}\n", f64::from(value) / 40.0),
        _ => format!(
            "vllm:lora_requests_info{{max_lora=\"{engine}\",running_lora_adapters=\"a{value},b\",waiting_lora_adapters=\"\"}} {value}\n"
        ),
    }
}

/// Labels and value.
type Sample<'a> = (BTreeMap<&'a str, String>, f64);

/// Reads a page of vLLM by splitting it. Labels hold no commas, braces or escapes except in lists of adapters.
pub(super) fn by_lines(text: &str) -> Reading {
    let mut samples: BTreeMap<&str, Vec<Sample<'_>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
        let labels = labels.map(|pair| pair.split_once('=').unwrap());
        let labels = labels.map(|(key, value)| (key, value.replace('"', ""))).collect();
        samples.entry(name).or_default().push((labels, value.parse().unwrap()));
    }
    let of = |name: &str| samples.get(name).map(Vec::as_slice).unwrap_or_default();
    let sum = |name: &str| {
        let values = of(name);
        (!values.is_empty()).then(|| values.iter().map(|(_, value)| value).sum::<f64>() as u32)
    };
    let mut caches: BTreeMap<&str, u64> = BTreeMap::new();
    for (labels, _) in of("vllm:cache_config_info") {
        let number = |key: &str| labels[key].parse::<u64>().unwrap();
        let most = caches.entry(&labels["engine"]).or_default();
        *most = (*most).max(number("block_size") * number("num_gpu_blocks"));
    }
    // Each engine shows the blocks of all.
    let sharing = caches.values().filter(|tokens| **tokens > 0).count().max(1) as u64;
    caches.values_mut().for_each(|tokens| *tokens /= sharing);
    let mut used: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (labels, value) in of("vllm:kv_cache_usage_perc") {
        used.entry(&labels["engine"]).or_default().push(*value);
    }
    let sized = used.keys().all(|engine| caches.get(engine).is_some_and(|tokens| *tokens > 0));
    let weight = |engine: &str| if sized { caches[engine] as f64 } else { 1.0 };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let kv_usage = used.iter().map(|(engine, values)| mean(values) * weight(engine)).sum::<f64>()
        / used.keys().map(|engine| weight(engine)).sum::<f64>();
    let total = |name: &str| {
        let values = of(name);
        (!values.is_empty()).then(|| values.iter().map(|(_, value)| value).sum::<f64>())
    };
    let histogram = |name: &str| {
        let part = |part: &str| total(&format!("vllm:{name}_{part}"));
        Some(Sum { sum: part("sum")?, count: part("count")? })
    };
    let totals = Totals {
        prompt_tokens: total("vllm:prompt_tokens_total"),
        cached_tokens: total("vllm:prefix_cache_hits_total"),
        generated_tokens: total("vllm:generation_tokens_total"),
        first_token: histogram("time_to_first_token_seconds"),
        between_tokens: histogram("inter_token_latency_seconds"),
        output: histogram("request_generation_tokens"),
    };
    let lora = of("vllm:lora_requests_info").iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
    Reading {
        running: sum("vllm:num_requests_running"),
        waiting: sum("vllm:num_requests_waiting"),
        kv_usage: (!used.is_empty()).then_some(kv_usage as f32),
        kv_tokens: Some(caches.values().sum()).filter(|tokens| *tokens > 0),
        kv_largest: caches.values().max().copied().filter(|tokens| *tokens > 0),
        kv_block: of("vllm:cache_config_info")
            .iter()
            .map(|(labels, _)| labels["block_size"].parse().unwrap())
            .max(),
        totals,
        adapters: lora.map(|(labels, _)| {
            let names = |key: &str| {
                let names: Vec<&str> =
                    labels[key].split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
                let mut hashes = hashes(&names);
                hashes.dedup();
                hashes
            };
            Adapters {
                max: labels["max_lora"].parse().unwrap(),
                running: names("running_lora_adapters"),
                waiting: names("waiting_lora_adapters"),
            }
        }),
    }
}

/// Writes the page that benches and tests read: run with `UPDATE=1`.
#[test]
fn the_stored_page_is_what_this_generates() {
    let mut page = String::new();
    for process in ["python_gc_objects_collected_total", "process_cpu_seconds_total", "process_open_fds"] {
        writeln!(page, "# HELP {process} Of the process.\n# TYPE {process} gauge\n{process} 12345.0")
            .unwrap();
    }
    let labels = "engine=\"0\",model_name=\"meta-llama/Llama-3.1-8B-Instruct\"";
    let histograms = [
        "time_to_first_token_seconds",
        "time_per_output_token_seconds",
        "inter_token_latency_seconds",
        "e2e_request_latency_seconds",
        "request_queue_time_seconds",
        "request_prefill_time_seconds",
        "request_decode_time_seconds",
        "request_inference_time_seconds",
        "request_prompt_tokens",
        "request_generation_tokens",
        "iteration_tokens_total",
        "request_max_num_generation_tokens",
        "request_params_n",
        "request_params_max_tokens",
    ];
    let gauges = [
        ("num_requests_running", "37.0"),
        ("num_requests_waiting", "3.0"),
        ("kv_cache_usage_perc", "0.4375"),
    ];
    let counters = [
        "num_preemptions",
        "prompt_tokens",
        "generation_tokens",
        "prefix_cache_queries",
        "prefix_cache_hits",
    ];
    for (name, value) in gauges {
        writeln!(
            page,
            "# HELP vllm:{name} Gauge.\n# TYPE vllm:{name} gauge\nvllm:{name}{{{labels}}} {value}"
        )
        .unwrap();
    }
    for name in counters {
        writeln!(page, "# HELP vllm:{name}_total Counter.\n# TYPE vllm:{name}_total counter\nvllm:{name}_total{{{labels}}} 1.234567e+06").unwrap();
    }
    for name in histograms {
        writeln!(page, "# HELP vllm:{name} Histogram.\n# TYPE vllm:{name} histogram").unwrap();
        for bucket in 0..29 {
            let le = 0.001 * 1.5_f64.powi(bucket);
            writeln!(page, "vllm:{name}_bucket{{engine=\"0\",le=\"{le:.4}\",model_name=\"meta-llama/Llama-3.1-8B-Instruct\"}} {bucket}42.0").unwrap();
        }
        writeln!(page, "vllm:{name}_bucket{{engine=\"0\",le=\"+Inf\",model_name=\"meta-llama/Llama-3.1-8B-Instruct\"}} 4242.0\nvllm:{name}_count{{{labels}}} 4242.0\nvllm:{name}_sum{{{labels}}} 17.25").unwrap();
    }
    writeln!(page, "# HELP vllm:cache_config_info Cache.\n# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{{block_size=\"16\",cache_dtype=\"auto\",calculate_kv_scales=\"False\",enable_prefix_caching=\"True\",engine=\"0\",gpu_memory_utilization=\"0.9\",num_gpu_blocks=\"27648\",swap_space_bytes=\"4294967296\"}} 1.0").unwrap();
    for (at, adapters) in [("1.7500000e+09", "sql"), ("1.7500002e+09", "sql,chat"), ("1.7500001e+09", "")] {
        writeln!(page, "vllm:lora_requests_info{{max_lora=\"4\",running_lora_adapters=\"{adapters}\",waiting_lora_adapters=\"\"}} {at}").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vllm-page.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page);
    assert!((50_000..60_000).contains(&page.len()), "{} bytes, vLLM's has 54 KB", page.len());
}
