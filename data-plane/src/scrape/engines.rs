//! Metric names per model server.
//!
//! Sources: model server protocol (Gateway API Inference Extension, proposal 003) and llm-d-router's core metrics
//! extractor. An endpoint whose engine is not told is scanned for all of them until one answers.

/// What a series tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Requests waiting; those of several ranks add up.
    Waiting,
    /// Requests running; those of several ranks add up.
    Running,
    /// Share of the KV cache in use; the mean of several ranks, by the size of their caches.
    KvUsage,
    /// Tokens per KV cache block.
    BlockSize,
    /// KV cache blocks; several series add up.
    Blocks,
    /// Tokens of a rank's KV cache.
    Tokens,
    /// Labels hold tokens per block, the blocks of all ranks together, and, where it is told, the tokens of one rank.
    CacheInfo { block_size: &'static str, blocks: &'static str, tokens: &'static str },
    /// The value is a time, labels hold adapters; the newest series counts.
    Lora,
    /// A counter since the start; several series add up.
    Counted(Counter),
}

/// What a counter counts; see [`Totals`](crate::accelerator::Totals).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    PromptTokens,
    /// Those that were computed, where they are told instead of all.
    ComputedTokens,
    CachedTokens,
    /// The same, whatever cache they came from, counted when their prompt is.
    CachedOfPrompts,
    GeneratedTokens,
    FirstTokenSum,
    FirstTokenCount,
    BetweenTokensSum,
    BetweenTokensCount,
    /// The same under an older name; counts where the newer is missing.
    PerTokenSum,
    PerTokenCount,
    OutputSum,
    OutputCount,
}

/// One wanted series.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// A label that it must have.
    pub(super) label: Option<(&'static str, &'static str)>,
    pub(super) signal: Signal,
}

/// A kind of model server.
#[derive(Debug)]
pub struct Engine {
    /// As the endpoint's `engine` says it.
    pub name: &'static str,
    /// Where its metrics are.
    pub path: &'static str,
    /// Where it serves only the series asked for with `name[]`, as the Python Prometheus client does: rendering a whole page
    /// takes a model server's API process milliseconds.
    pub narrow: Option<&'static str>,
    pub(super) series: &'static [Series],
}

const fn series(name: &'static str, signal: Signal) -> Series {
    Series { name, label: None, signal }
}

const fn labelled(name: &'static str, key: &'static str, value: &'static str, signal: Signal) -> Series {
    Series { name, label: Some((key, value)), signal }
}

const fn counted(name: &'static str, counter: Counter) -> Series {
    series(name, Signal::Counted(counter))
}

const fn realtime(mode: &'static str, counter: Counter) -> Series {
    labelled("sglang:realtime_tokens_total", "mode", mode, Signal::Counted(counter))
}

/// `gpu_cache_usage_perc` is the name of `kv_cache_usage_perc` before vLLM 0.10; servers that show both show the same.
/// At `/metrics` another handler answers first, which does not narrow; what follows it is the Python client's.
/// Prompts count with their first token. Hits of the prefix cache count earlier, when a request is scheduled, and leave out
/// what other instances sent; `prompt_tokens_cached` has all of them at the right time, and stands for them where it is
/// shown (0.20 does, 0.11 does not).
static VLLM: Engine = Engine {
    name: "vllm",
    path: "/metrics",
    narrow: Some("/metrics/"),
    series: &[
        series("vllm:num_requests_waiting", Signal::Waiting),
        series("vllm:num_requests_running", Signal::Running),
        series("vllm:kv_cache_usage_perc", Signal::KvUsage),
        series("vllm:gpu_cache_usage_perc", Signal::KvUsage),
        series(
            "vllm:cache_config_info",
            Signal::CacheInfo {
                block_size: "block_size",
                blocks: "num_gpu_blocks",
                tokens: "kv_cache_size_tokens",
            },
        ),
        series("vllm:lora_requests_info", Signal::Lora),
        counted("vllm:prompt_tokens_total", Counter::PromptTokens),
        counted("vllm:prefix_cache_hits_total", Counter::CachedTokens),
        counted("vllm:external_prefix_cache_hits_total", Counter::CachedTokens),
        counted("vllm:prompt_tokens_cached_total", Counter::CachedOfPrompts),
        counted("vllm:generation_tokens_total", Counter::GeneratedTokens),
        counted("vllm:time_to_first_token_seconds_sum", Counter::FirstTokenSum),
        counted("vllm:time_to_first_token_seconds_count", Counter::FirstTokenCount),
        counted("vllm:inter_token_latency_seconds_sum", Counter::BetweenTokensSum),
        counted("vllm:inter_token_latency_seconds_count", Counter::BetweenTokensCount),
        counted("vllm:time_per_output_token_seconds_sum", Counter::PerTokenSum),
        counted("vllm:time_per_output_token_seconds_count", Counter::PerTokenCount),
        counted("vllm:request_generation_tokens_sum", Counter::OutputSum),
        counted("vllm:request_generation_tokens_count", Counter::OutputCount),
    ],
};

/// Tokens are taken from the schedulers: `prompt_tokens_total` and its like count requests when they end, long after their
/// first token. Versions without `realtime_tokens_total` (0.4.10) tell none. The size of the cache is told by each rank, and
/// before that (0.5.9 shows both) by `cache_config_info`, which has no label of the rank.
static SGLANG: Engine = Engine {
    name: "sglang",
    path: "/metrics",
    narrow: None,
    series: &[
        series("sglang:num_queue_reqs", Signal::Waiting),
        series("sglang:num_running_reqs", Signal::Running),
        series("sglang:token_usage", Signal::KvUsage),
        series(
            "sglang:cache_config_info",
            Signal::CacheInfo { block_size: "page_size", blocks: "num_pages", tokens: "" },
        ),
        series("sglang:max_total_num_tokens", Signal::Tokens),
        series("sglang:page_size", Signal::BlockSize),
        realtime("prefill_compute", Counter::ComputedTokens),
        realtime("prefill_cache", Counter::CachedTokens),
        realtime("decode", Counter::GeneratedTokens),
        counted("sglang:time_to_first_token_seconds_sum", Counter::FirstTokenSum),
        counted("sglang:time_to_first_token_seconds_count", Counter::FirstTokenCount),
        counted("sglang:inter_token_latency_seconds_sum", Counter::BetweenTokensSum),
        counted("sglang:inter_token_latency_seconds_count", Counter::BetweenTokensCount),
        counted("sglang:time_per_output_token_seconds_sum", Counter::PerTokenSum),
        counted("sglang:time_per_output_token_seconds_count", Counter::PerTokenCount),
    ],
};

/// Its counters of tokens and its histograms count a request when it ends, the latter one mean of each request: what a window
/// of them holds says nothing of the prompts that were computed in it, so tokens are not read.
static TRTLLM: Engine = Engine {
    name: "trtllm-serve",
    path: "/prometheus/metrics",
    narrow: None,
    series: &[
        series("trtllm_num_requests_waiting", Signal::Waiting),
        series("trtllm_num_requests_running", Signal::Running),
        series("trtllm_kv_cache_utilization", Signal::KvUsage),
        series("trtllm_kv_cache_tokens_per_block", Signal::BlockSize),
        series("trtllm_kv_cache_max_blocks", Signal::Blocks),
        counted("trtllm_time_to_first_token_seconds_sum", Counter::FirstTokenSum),
        counted("trtllm_time_to_first_token_seconds_count", Counter::FirstTokenCount),
        counted("trtllm_time_per_output_token_seconds_sum", Counter::PerTokenSum),
        counted("trtllm_time_per_output_token_seconds_count", Counter::PerTokenCount),
    ],
};

static TRITON_TRTLLM: Engine = Engine {
    name: "triton-tensorrt-llm",
    path: "/metrics",
    narrow: None,
    series: &[
        labelled("nv_trt_llm_request_metrics", "request_type", "waiting", Signal::Waiting),
        labelled("nv_trt_llm_request_metrics", "request_type", "scheduled", Signal::Running),
        labelled("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", "fraction", Signal::KvUsage),
        labelled("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", "tokens_per", Signal::BlockSize),
        labelled("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type", "max", Signal::Blocks),
    ],
};

/// Plain Triton has no gauge of running requests: `nv_inference_exec_count`, which llm-d reads, is a counter.
static TRITON: Engine = Engine {
    name: "triton",
    path: "/metrics",
    narrow: None,
    series: &[series("nv_inference_pending_request_count", Signal::Waiting)],
};

/// Every kind that is known, in the order in which an unknown page is tried.
pub(super) static ENGINES: [&Engine; 5] = [&VLLM, &SGLANG, &TRTLLM, &TRITON_TRTLLM, &TRITON];

/// The kind called `name`; none for an empty or unknown name.
#[must_use]
pub fn engine_named(name: &str) -> Option<&'static Engine> {
    ENGINES.into_iter().find(|engine| engine.name == name)
}
