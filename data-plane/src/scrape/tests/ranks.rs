//! Pages of model servers that have several data-parallel ranks behind one port.

use super::{scan, vllm};
use crate::accelerator::Sum;
use crate::scrape::engine_named;

/// What vLLM serves with `--data-parallel-size 2`: every series once for each engine, and the blocks of both at each.
const VLLM: &str = "\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 12.0
vllm:num_requests_running{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 30.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 0.0
vllm:num_requests_waiting{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 5.0
# HELP vllm:num_requests_waiting_by_reason Number of waiting requests by reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\",reason=\"capacity\"} 5.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 0.2
vllm:kv_cache_usage_perc{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 0.6
# HELP vllm:prefix_cache_hits_total Prefix cache hits, in terms of number of cached tokens.
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 1024.0
vllm:prefix_cache_hits_total{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 4096.0
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 20000.0
vllm:prompt_tokens_total{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 30000.0
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 40.0
vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 40.0
vllm:time_to_first_token_seconds_sum{engine=\"0\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 8.5
vllm:time_to_first_token_seconds_bucket{engine=\"1\",le=\"+Inf\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 60.0
vllm:time_to_first_token_seconds_count{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 60.0
vllm:time_to_first_token_seconds_sum{engine=\"1\",model_name=\"Qwen/Qwen3-30B-A3B-FP8\"} 21.5
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",engine=\"0\",gpu_memory_utilization=\"0.9\",num_cpu_blocks=\"None\",num_gpu_blocks=\"40000\",num_gpu_blocks_override=\"None\",sliding_window=\"None\"} 1.0
vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",engine=\"1\",gpu_memory_utilization=\"0.9\",num_cpu_blocks=\"None\",num_gpu_blocks=\"40000\",num_gpu_blocks_override=\"None\",sliding_window=\"None\"} 1.0
";

/// What SGLang serves with two ranks of two tensor-parallel schedulers each (`--enable-metrics-for-all-schedulers`), with
/// priorities: both schedulers of a rank tell the same, and the series of a priority is a part of the one without.
const SGLANG: &str = "\
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{dp_rank=\"0\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"0\"} 4.0
sglang:num_running_reqs{dp_rank=\"0\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"5\",tp_rank=\"0\"} 3.0
sglang:num_running_reqs{dp_rank=\"0\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"1\"} 4.0
sglang:num_running_reqs{dp_rank=\"1\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"2\"} 7.0
sglang:num_running_reqs{dp_rank=\"1\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"3\"} 7.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{dp_rank=\"0\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"0\"} 1.0
sglang:num_queue_reqs{dp_rank=\"1\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"2\"} 2.0
# TYPE sglang:token_usage gauge
sglang:token_usage{dp_rank=\"0\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"0\"} 0.1
sglang:token_usage{dp_rank=\"0\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"1\"} 0.1
sglang:token_usage{dp_rank=\"1\",engine_type=\"unified\",model_name=\"m\",pp_rank=\"0\",priority=\"\",tp_rank=\"2\"} 0.5
# TYPE sglang:max_total_num_tokens gauge
sglang:max_total_num_tokens{dp_rank=\"0\",model_name=\"m\",tp_rank=\"0\"} 120000.0
sglang:max_total_num_tokens{dp_rank=\"0\",model_name=\"m\",tp_rank=\"1\"} 120000.0
sglang:max_total_num_tokens{dp_rank=\"1\",model_name=\"m\",tp_rank=\"2\"} 360000.0
sglang:cache_config_info{num_pages=\"5000\",page_size=\"64\"} 1.0
# TYPE sglang:realtime_tokens_total counter
sglang:realtime_tokens_total{dp_rank=\"0\",mode=\"prefill_compute\",model_name=\"m\",tp_rank=\"0\"} 700.0
sglang:realtime_tokens_total{dp_rank=\"0\",mode=\"prefill_compute\",model_name=\"m\",tp_rank=\"1\"} 700.0
sglang:realtime_tokens_total{dp_rank=\"1\",mode=\"prefill_compute\",model_name=\"m\",tp_rank=\"2\"} 300.0
";

#[test]
fn two_ranks_of_vllm_are_one_endpoint() {
    let (reading, ignored) = scan(vllm(), &[VLLM.as_bytes()]);
    assert_eq!((reading.running, reading.waiting, ignored), (Some(42), Some(5), 0));
    assert_eq!((reading.kv_tokens, reading.kv_largest), (Some(640_000), Some(320_000)));
    assert!((reading.kv_usage.unwrap() - 0.4).abs() < 1e-6);
    assert_eq!(reading.totals.prompt_tokens, Some(50_000.0));
    assert_eq!(reading.totals.cached_tokens, Some(5_120.0));
    assert_eq!(reading.totals.first_token, Some(Sum { sum: 30.0, count: 100.0 }));
}

#[test]
fn ranks_of_sglang_count_once_each() {
    let (reading, ignored) = scan(engine_named("sglang"), &[SGLANG.as_bytes()]);
    assert_eq!((reading.running, reading.waiting, ignored), (Some(11), Some(3), 0));
    assert_eq!((reading.kv_tokens, reading.kv_largest), (Some(480_000), Some(360_000)));
    assert!((reading.kv_usage.unwrap() - 0.4).abs() < 1e-6, "a quarter of the room is of the first");
    assert_eq!((reading.totals.prompt_tokens, reading.totals.cached_tokens), (Some(1_000.0), None));
}

#[test]
fn a_rank_of_unknown_size_counts_as_the_others() {
    let unsized_rank = VLLM.replacen("num_gpu_blocks=\"40000\"", "num_gpu_blocks=\"None\"", 1);
    let (reading, ignored) = scan(vllm(), &[unsized_rank.as_bytes()]);
    assert!((reading.kv_usage.unwrap() - 0.4).abs() < 1e-6);
    assert_eq!((reading.kv_tokens, ignored), (Some(640_000), 1));
}
