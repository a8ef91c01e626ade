"""Records what an engine's own event classes and ZMQ publisher put on the wire.

    python kv_events.py <kv_events.py of vLLM or SGLang> [--serve] > <engine>-<version>.hex

Lines are `live|replay topic number payload` in hexadecimal, as frames arrive at a SUB and, after a request from batch 2 on,
at a DEALER. With --serve the publisher goes on after that, for a look by hand. Needs msgspec, pyzmq, pydantic.
"""
import hashlib, importlib.abc, importlib.machinery, importlib.util, sys, time, types
from unittest.mock import MagicMock

import zmq

PORT, REPLAY = 25557, 25558

class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("vllm", "sglang", "torch"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__, module.ExternalBlockHash = [], bytes | int
        return module
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, StandIns())
spec = importlib.util.spec_from_file_location("kv_events", sys.argv[1])
engine = importlib.util.module_from_spec(spec)
sys.modules["kv_events"] = engine
spec.loader.exec_module(engine)

def made(cls, **values):
    """With those of the values that this version has."""
    return cls(**{name: value for name, value in values.items() if name in cls.__struct_fields__})

def name(text):
    """A hash of 32 bytes, as vLLM has without VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES."""
    return hashlib.sha256(text.encode()).digest()

def stored(hashes, parent, start, **more):
    size = 16
    tokens = list(range(start, start + size * len(hashes)))
    every = dict(block_hashes=hashes, parent_block_hash=parent, token_ids=tokens, block_size=size, lora_id=None, medium="GPU",
                 lora_name=None, group_idx=0, kv_cache_spec_kind="full_attention", locality=None)
    return made(engine.BlockStored, **{**every, **more})

def removed(hashes, **more):
    return made(engine.BlockRemoved, **{**dict(block_hashes=hashes, medium="GPU", group_idx=0), **more})

vllm = "vllm" in sys.argv[1]
batches = [
    [stored([11, 2**64 - 1 if vllm else -5], None, 0), stored([13], 2**64 - 1 if vllm else -5, 32)],
    [stored([21], None, 100, lora_id=3, lora_name="sql-lora", session_id="s-1",
            **({"extra_keys": [("sql-lora",)]} if vllm else {})),
     stored([31], None, 200, cache_salt="tenant-a", **({"extra_keys": [("tenant-a",)]} if vllm else {}))],
    # Copies in host memory: SGLang tells the tokens again, vLLM's offloading does only when asked to.
    [stored([11], None, 0, medium="CPU" if vllm else "CPU_PINNED", locality="LOCAL",
            **({"token_ids": [], "block_size": 0} if vllm else {})),
     stored([31], None, 200, medium="CPU", **({} if vllm else {"cache_salt": "tenant-a"})),
     stored([13], 2**64 - 1 if vllm else -5, 32, medium="STORAGE" if vllm else "EXTERNAL", locality="REMOTE", ownership="fs")],
    [removed([13]), removed([11])],
]
if "medium" not in engine.BlockStored.__struct_fields__:
    batches.pop(2)
if vllm and "ExternalBlockHash" in open(sys.argv[1]).read():
    batches.append([stored([name("a"), name("b")], None, 300, extra_keys=[(("image", 5),), None], lookahead_token_ids=[[1], [2]]),
                    stored([name("c")], name("b"), 332), removed([name("c")])])
    batches.append([stored([41], None, 400, group_idx=1, kv_cache_spec_kind="sliding_window", kv_cache_spec_sliding_window=128)])
elif not vllm:
    # EAGLE's trees are over pairs of tokens.
    batches.append([stored([51], None, 500, token_ids=[(token, token + 1) for token in range(500, 516)])])
batches.append([engine.AllBlocksCleared()])

rank = "attn_dp_rank" if not vllm else "data_parallel_rank"
publisher = engine.ZmqEventPublisher(**{rank: 0}, endpoint=f"tcp://*:{PORT}", replay_endpoint=f"tcp://*:{REPLAY}", topic="kv")
context = zmq.Context.instance()
live, replay = context.socket(zmq.SUB), context.socket(zmq.DEALER)
live.subscribe(b"")
live.connect(f"tcp://127.0.0.1:{PORT}")
replay.connect(f"tcp://127.0.0.1:{REPLAY}")
time.sleep(0.5)
for events in batches:
    publisher.publish(engine.KVEventBatch(ts=1_750_000_000.5, events=events))
for _ in batches:
    print("live", *(frame.hex() or "-" for frame in live.recv_multipart()))
replay.send_multipart([b"", (2).to_bytes(8, "big")])
while True:
    delimiter, *frames = replay.recv_multipart()
    print("replay", *(frame.hex() or "-" for frame in frames), flush=True)
    if not frames[-1]:
        break
if "--serve" in sys.argv:
    print("serving", file=sys.stderr, flush=True)
    number = 1_000
    while True:
        time.sleep(1)
        publisher.publish(engine.KVEventBatch(ts=time.time(), events=[stored([number], None, number * 16)]))
        number += 1
publisher.shutdown()
