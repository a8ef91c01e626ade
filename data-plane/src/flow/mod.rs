//! Admission: which requests go now, which wait for room, in which order, and which are shed.
//!
//! ```text
//! request ─ admit ─▶ nobody waits and it fits? ─▶ Ticket (counts until dropped)
//!                      └─ no ─▶ queue: bands by priority ▶ tenants by turn ▶ requests by due time ─▶ Ticket, or Shed
//!                                 ▲ room, counted at each end of a request and every few milliseconds
//! snapshot, board ─ capacity ─────┘
//! ```
//! Requests wait only while the pool is full, that is while no further request fits into its endpoints ([`capacity`]
//! holds the policy for endpoints whose signals are old). Who comes first, who has to go when the queue is full and who
//! waited too long is decided by [`queue`], which does no I/O and takes time as an argument. [`Shed`] has the table of
//! outcomes and answers, [`Settings`] the one of flags and annotations.
//!
//! While requests of a higher priority come and wait for places, those below them take what becomes free at an even [`pace`], so
//! that places become free evenly too: answers of one length that begin together end together, and between two such moments
//! there is no place for anybody. In virtual time, at five times the load, that takes the 99th percentile of critical requests
//! from 1.72 to 1.08 of what they take alone (`simulate --comparison`, `overload_critical_p99_ratio`).
//!
//! Where a pool says so (`signalbox.dev/eviction`), a request of a priority below 0 that is in flight ends so that one of 0 or
//! above goes: it is answered 429 (`evicted`) through its own ext_proc stream, Envoy resets its upstream request, and the engine
//! aborts it. [`eviction`] decides who and when.
//!
//! Admission and its end among 100 endpoints cost 0.1 µs while the pool has room, 4 µs when the last place has to be
//! looked for, and into the queue and out of it 18 µs (CPU; `benches/flow.rs`).
//!
//! | request header | means |
//! |---|---|
//! | `x-gateway-inference-fairness-id`, `x-llm-d-inference-fairness-id`, or the one of `--fairness-header` | the tenant; requests without it share one. The gateway should set it: who may choose it chooses its own share |
//! | `x-envoy-upstream-rq-timeout-ms`, `grpc-timeout`, `x-stainless-timeout`, `x-stainless-read-timeout` | how long the client waits: the request is shed then |
//! | `x-slo-ttft-ms`, `x-llm-d-slo-ttft-ms` | when the first token should be there: among a tenant's requests the earliest goes first |

mod among;
mod capacity;
mod door;
mod eviction;
mod gate;
mod pace;
pub mod quantity;
pub mod queue;
mod rate;
mod request;
mod residence;
mod settings;
mod shed;
mod ticket;
mod waiter;
mod waiting;

pub use among::Among;
pub use gate::Gate;
pub use request::{Admission, Request};
pub use settings::{Bounds, Eviction, Fullness, Limits, Settings, Size, Times, kv};
pub use shed::Shed;
pub use ticket::Ticket;
pub use waiter::Waiter;
pub use waiting::Waiting;
