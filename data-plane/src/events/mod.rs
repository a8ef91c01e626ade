//! KV cache events of model servers, over ZeroMQ: what each holds goes to its mirror.
//!
//! ```text
//! Publisher (pool) ─▶ task: one future each ─▶ follow ─ zmtp SUB ─▶ [topic, number, payload] ─ wire ─▶ Events ─▶ Mirror
//!                                                 │ gap, or (re)connected                                         ▲
//!                                                 └─ zmtp DEALER ─▶ replay from the missing number ───────────────┘
//! ```
//! Works with engines that publish as vLLM does (SGLang too): topic, number of 8 bytes (big endian), MessagePack; a ROUTER
//! socket that replays. Where an endpoint publishes is decided by annotations and labels, see `pool::publisher`; off
//! without them.
//!
//! There is no queue here: what is not read yet waits in the socket's buffers, then in the publisher's queue, and what it
//! drops there is a gap in the numbers. A gap is filled by a replay (one endpoint asks at most every 10 s, eight at a
//! time); one that cannot be filled clears the mirror, which is then trusted in part: what is known is held, more may be.
//!
//! | metric (`signalbox_picker_…`) | counts |
//! |---|---|
//! | `kv_events_total` | events applied |
//! | `kv_event_gaps_total` | gaps in the numbers of batches |
//! | `kv_event_replays_total` | replays asked for |
//! | `kv_event_resyncs_total` | mirrors cleared: gaps that were not filled, restarts, batches that could not be read |
//! | `kv_event_dropped_total` | blocks not kept: what they follow is not known, or a bound |
//! | `kv_event_malformed_total` | batches that could not be read, or are of another rank |
//! | `kv_event_disconnects_total` | connections that ended or could not be made |
//! | `kv_event_blocks` | blocks held, of all endpoints |
//! | `kv_event_ports_invalid{pool,pod,label,value}` | labels of Pods that should be a port, and are none; see `pool::publisher` |
//! | `kv_event_endpoints{trust}` | followed endpoints by trust: complete, partial, off |

mod counters;
mod follow;
mod task;
#[cfg(test)]
mod tests;
mod wire;
mod zmtp;

pub use counters::EventCounters;
pub use task::run;
