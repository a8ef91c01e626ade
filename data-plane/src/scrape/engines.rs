//! Metric names per model server.
//!
//! Sources: model server protocol (Gateway API Inference Extension, proposal 003) and llm-d-router's core metrics
//! extractor. An endpoint whose engine is not told is scanned for all of them until one answers.

/// What a series tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Requests waiting; several series add up.
    Waiting,
    /// Requests running; several series add up.
    Running,
    /// Share of the KV cache in use; the mean of several series.
    KvUsage,
    /// Tokens per KV cache block.
    BlockSize,
    /// KV cache blocks; several series add up.
    Blocks,
    /// Labels hold tokens per block and blocks; series of several engines add up.
    CacheInfo { block_size: &'static str, blocks: &'static str },
    /// The value is a time, labels hold adapters; the newest series counts.
    Lora,
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
    /// Serves only the series asked for with `name[]`, as the Python Prometheus client does: rendering a whole page
    /// takes a model server's API process milliseconds.
    pub narrows: bool,
    pub(super) series: &'static [Series],
}

const fn series(name: &'static str, signal: Signal) -> Series {
    Series { name, label: None, signal }
}

const fn labelled(name: &'static str, key: &'static str, value: &'static str, signal: Signal) -> Series {
    Series { name, label: Some((key, value)), signal }
}

/// `gpu_cache_usage_perc` is the name of `kv_cache_usage_perc` before vLLM 0.10; servers that show both show the same.
static VLLM: Engine = Engine {
    name: "vllm",
    path: "/metrics",
    narrows: true,
    series: &[
        series("vllm:num_requests_waiting", Signal::Waiting),
        series("vllm:num_requests_running", Signal::Running),
        series("vllm:kv_cache_usage_perc", Signal::KvUsage),
        series("vllm:gpu_cache_usage_perc", Signal::KvUsage),
        series(
            "vllm:cache_config_info",
            Signal::CacheInfo { block_size: "block_size", blocks: "num_gpu_blocks" },
        ),
        series("vllm:lora_requests_info", Signal::Lora),
    ],
};

static SGLANG: Engine = Engine {
    name: "sglang",
    path: "/metrics",
    narrows: false,
    series: &[
        series("sglang:num_queue_reqs", Signal::Waiting),
        series("sglang:num_running_reqs", Signal::Running),
        series("sglang:token_usage", Signal::KvUsage),
        series(
            "sglang:cache_config_info",
            Signal::CacheInfo { block_size: "page_size", blocks: "num_pages" },
        ),
    ],
};

static TRTLLM: Engine = Engine {
    name: "trtllm-serve",
    path: "/prometheus/metrics",
    narrows: false,
    series: &[
        series("trtllm_num_requests_waiting", Signal::Waiting),
        series("trtllm_num_requests_running", Signal::Running),
        series("trtllm_kv_cache_utilization", Signal::KvUsage),
        series("trtllm_kv_cache_tokens_per_block", Signal::BlockSize),
        series("trtllm_kv_cache_max_blocks", Signal::Blocks),
    ],
};

static TRITON_TRTLLM: Engine = Engine {
    name: "triton-tensorrt-llm",
    path: "/metrics",
    narrows: false,
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
    narrows: false,
    series: &[series("nv_inference_pending_request_count", Signal::Waiting)],
};

/// Every kind that is known, in the order in which an unknown page is tried.
pub(super) static ENGINES: [&Engine; 5] = [&VLLM, &SGLANG, &TRTLLM, &TRITON_TRTLLM, &TRITON];

/// The kind called `name`; none for an empty or unknown name.
#[must_use]
pub fn engine_named(name: &str) -> Option<&'static Engine> {
    ENGINES.into_iter().find(|engine| engine.name == name)
}
