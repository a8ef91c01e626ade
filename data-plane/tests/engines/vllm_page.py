"""Prints what vLLM's own Prometheus logger shows after some iterations of two data-parallel ranks.

    python vllm_page.py <folder with the sources of one vLLM wheel> <0|1: LoRA>  > vllm-<version>.txt

Needs prometheus_client, msgspec, numpy, pydantic; torch and what else is heavy is stood in for.
"""
import dataclasses, importlib.abc, importlib.machinery, importlib.metadata, logging, sys, types
from types import SimpleNamespace as Bag
from unittest.mock import MagicMock

import prometheus_client

source, lora = sys.argv[1], sys.argv[2] == "1"
HEAVY = """torch transformers PIL cv2 opentelemetry vllm._C vllm.multimodal vllm.lora vllm.platforms vllm.compilation
    vllm.distributed vllm.plugins vllm.model_executor vllm.inputs vllm.pooling_params vllm.sampling_params vllm.config
    vllm.transformers_utils vllm.attention vllm.v1.attention vllm.v1.kv_cache_interface vllm.v1.outputs vllm.v1.core
    vllm.outputs vllm.tasks vllm.renderers vllm.triton_utils vllm.v1.pool vllm.v1.serial_utils vllm.v1.request vllm.usage
    vllm.v1.metrics.perf vllm.tracing vllm.tokenizers vllm.executor vllm.spec_decode""".split()
REAL = ("vllm.config.cache", "vllm.config.utils")

class Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (MagicMock,), {}) if name[:1].isupper() else MagicMock(name=name)
class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name not in REAL and any(f"{name}.".startswith(f"{heavy}.") for heavy in HEAVY):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = Module(spec.name)
        module.__path__ = [source + "/vllm/config"] if spec.name == "vllm.config" else []
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, StandIns())
found = importlib.metadata.version
importlib.metadata.version = lambda name: "2.13.0" if name == "torch" else found(name)
sys.modules["vllm"] = types.ModuleType("vllm")
sys.modules["vllm"].__path__ = [source + "/vllm"]
logging.disable(logging.CRITICAL)
import vllm.v1.metrics.loggers as loggers
import vllm.v1.metrics.stats as stats
from vllm.v1.engine import FinishReason

try:
    from vllm.config.cache import CacheConfig
    cache = CacheConfig(block_size=16)
except Exception as error:  # 0.9 has no such module
    print("CacheConfig stood in for:", repr(error)[:200], file=sys.stderr)
    cache = Bag(block_size=16, gpu_memory_utilization=0.9, cache_dtype="auto", num_cpu_blocks=None)
    cache.metrics_info = lambda: {key: str(value) for key, value in vars(cache).items() if key != "metrics_info"}
# What the API server's process does with the answers of two engines of 1,378 blocks: blocks add up, tokens do not.
cache.num_gpu_blocks = 2 * 1378
if hasattr(cache, "kv_cache_size_tokens"):
    cache.kv_cache_size_tokens = 1378 * 16
model = Bag(served_model_name="meta-llama/Llama-3.1-8B-Instruct", max_model_len=8192, is_diffusion=False)
off = Bag(show_hidden_metrics=False, kv_cache_metrics=False, custom_histogram_buckets=None, enable_mfu_metrics=False,
          show_hidden_metrics_for_version=None)
config = Bag(model_config=model, cache_config=cache, observability_config=off, speculative_config=None, kv_transfer_config=None,
             ec_transfer_config=None, watermark_config=None, lora_config=Bag(max_loras=4) if lora else None)

def made(cls, **values):
    """Of a dataclass whose fields differ between versions: those of the values that it has."""
    return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls) if field.name in values})
def scheduler(running, waiting, deferred, usage, queries, hits, adapters):
    return made(stats.SchedulerStats, num_running_reqs=running, num_waiting_reqs=waiting, num_skipped_waiting_reqs=deferred,
                kv_cache_usage=usage, prefix_cache_stats=Bag(queries=queries, hits=hits), running_lora_adapters=dict.fromkeys(adapters[0], 1),
                waiting_lora_adapters=dict.fromkeys(adapters[1], 1))
def iteration(prompt, cached, generated, first_tokens, between, done, adapters):
    state = stats.IterationStats()
    if hasattr(state, "prompt_token_stats"):
        told = state.prompt_token_stats
        told.total, told.cached_tokens, told.local_cache_hit, told.computed = prompt, cached, cached, prompt - cached
    else:
        state.num_prompt_tokens = prompt
    state.num_generation_tokens, state.time_to_first_tokens_iter, state.num_preempted_reqs = generated, first_tokens, 1
    state.inter_token_latencies_iter = state.time_per_output_tokens_iter = between
    state.running_lora_adapters, state.waiting_lora_adapters = (dict.fromkeys(names, 1) for names in adapters)
    state.finished_requests = [made(stats.FinishedRequestStats, finish_reason=FinishReason.STOP, num_prompt_tokens=prompt,
                                    num_generation_tokens=tokens, num_cached_tokens=cached) for tokens in done]
    return state

adapters = [(["sql-lora"], []), (["sql-lora", "chat-lora"], ["law-lora"])] if lora else [([], []), ([], [])]
several = "engine_indexes" in loggers.PrometheusStatLogger.__init__.__code__.co_varnames
logger = loggers.PrometheusStatLogger(config, [0, 1]) if several else loggers.PrometheusStatLogger(config)
logger.log_engine_initialized()
for step in range(2):
    logger.record(scheduler(4, 2, 0, 0.125, 900, 320, adapters[0]),
                  iteration(900, 320, 4, [0.25], [0.02, 0.02, 0.025], [128], adapters[0]))
if several:
    logger.record(scheduler(7, 3, 2, 0.5, 500, 96, adapters[1]),
                  iteration(500, 96, 7, [0.5, 0.125], [0.03] * 6, [64, 32], adapters[1]), engine_idx=1)
# Of histograms nothing but sums and counts is read: one bucket of each stays. Help is left out.
for line in prometheus_client.generate_latest(prometheus_client.REGISTRY).decode().splitlines():
    kept = "_bucket{" not in line or 'le="+Inf"' in line
    if kept and line.removeprefix("# TYPE ").startswith("vllm:") and "_created" not in line:
        print(line)
