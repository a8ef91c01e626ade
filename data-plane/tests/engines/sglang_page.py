"""Prints what SGLang's own collectors show after some batches of two data-parallel ranks (a process each, as in a server).

    python sglang_page.py <folder with the sources of one SGLang wheel>  > sglang-<version>.txt

Needs prometheus_client, msgspec; torch and the server's arguments are stood in for.
"""
import dataclasses, importlib, importlib.abc, importlib.machinery, os, sys, tempfile, types
from unittest.mock import MagicMock

os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
source, MODEL = sys.argv[1], "Qwen/Qwen3-30B-A3B"
REAL = ("sglang.srt.metrics", "sglang.srt.observability", "sglang.srt.utils.gauge_histogram")
AT = {"sglang": "/sglang", "sglang.srt": "/sglang/srt", "sglang.srt.utils": "/sglang/srt/utils"}

class Settings:
    """What the server was started with: nothing."""
    prefill_delayer_max_delay_passes = 30
    def __getattr__(self, name):
        return None

class Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith("get_"):
            return lambda *_: None if name == "get_bool_env_var" else Settings()
        return type(name, (), {"NULL": None}) if name[:1].isupper() else MagicMock(name=name)
class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("sglang", "torch", "triton", "transformers", "numpy") and not name.startswith(REAL):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = Module(spec.name)
        module.__path__ = [source + AT[spec.name]] if spec.name in AT else []
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, StandIns())

def call(method, **values):
    """With those of the values that this version takes."""
    method(**{name: value for name, value in values.items() if name in method.__code__.co_varnames})

def old(module):
    return not hasattr(module.SchedulerMetricsCollector, "increment_realtime_tokens")

def set_fields(stats, module, **values):
    for name in {field.name for field in dataclasses.fields(stats)} & values.keys():
        counted = name in ("num_running_reqs", "num_queue_reqs") and hasattr(module, "QueueCount")
        setattr(stats, name, module.QueueCount(total=values[name]) if counted else values[name])
def scheduler(module, rank, running, waiting, usage):
    labels = {"model_name": MODEL, "engine_type": "unified", "tp_rank": rank, "pp_rank": 0, "dp_rank": rank}
    labels.update({} if old(module) else {"moe_ep_rank": rank})
    init = module.SchedulerMetricsCollector.__init__.__code__.co_varnames
    of = module.SchedulerMetricsCollector(labels=labels, **({"server_args": Settings()} if "server_args" in init else {}))
    if hasattr(of, "emit_constants"):
        call(of.emit_constants, max_total_num_tokens=320_000, max_total_num_tokens_swa=None, weight_memory_usage_gb=30.5,
                   kv_cache_memory_usage_gb=32.0, graph_memory_usage_gb={"decode": 1.5}, max_running_requests_under_SLO=None,
                   page_size=64, num_pages=5_000, context_len=40_960, startup_available_gpu_memory_gb=70.0)
    if hasattr(of, "emit_cache_config_info"):
        of.emit_cache_config_info(page_size=64, num_pages=5_000)
    stats = module.SchedulerStats()
    set_fields(stats, module, num_running_reqs=running, num_queue_reqs=waiting, token_usage=usage, full_token_usage=usage,
               num_used_tokens=int(320_000 * usage), max_total_num_tokens=320_000, cache_hit_rate=0.25, gen_throughput=1500.0)
    of.log_stats(stats)
    if hasattr(of, "increment_realtime_tokens"):
        of.increment_realtime_tokens(dp_cooperation_info=None, prefill_compute_tokens=3_000, prefill_cache_tokens=1_000)
        of.increment_realtime_tokens(dp_cooperation_info=None, decode_tokens=running * 10)
def tokenizer(module):
    labels = {"model_name": MODEL, **({} if old(module) else {"engine_type": "unified"})}
    init = module.TokenizerMetricsCollector.__init__.__code__.co_varnames
    more = {"server_args": Settings()} if "server_args" in init else {}
    of = module.TokenizerMetricsCollector(labels=labels, **more)
    call(of.observe_one_finished_request, labels=labels, prompt_tokens=900, generation_tokens=128, cached_tokens=320,
               e2e_latency=2.5, has_grammar=False, retraction_count=0, cached_tokens_details={"device": 256, "host": 64},
               is_streaming=True, time_per_output_token=0.02)
    for first, streams in ((0.25, True), (0.5, True), (0.125, False)):
        call(of.observe_time_to_first_token, labels=labels, value=first, stream=streams)
    call(of.observe_inter_token_latency, labels=labels, internval=0.5, num_new_tokens=25)
    call(of.observe_inter_token_latency, labels=labels, internval=0.25, num_new_tokens=10)

try:
    module = importlib.import_module("sglang.srt.observability.metrics_collector")
except ModuleNotFoundError:
    module = importlib.import_module("sglang.srt.metrics.collector")
for part in (lambda: scheduler(module, 0, 4, 1, 0.125), lambda: scheduler(module, 1, 7, 2, 0.5), lambda: tokenizer(module)):
    child = os.fork()
    if child == 0:
        part()
        os._exit(0)
    os.waitpid(child, 0)
import prometheus_client, prometheus_client.multiprocess
registry = prometheus_client.CollectorRegistry()
prometheus_client.multiprocess.MultiProcessCollector(registry)
# Of histograms nothing but sums and counts is read: one bucket of each stays. Help is left out.
for line in prometheus_client.generate_latest(registry).decode().splitlines():
    if not line.startswith("# HELP") and ("_bucket{" not in line or 'le="+Inf"' in line):
        print(line)
