//! What the pickers of a pool tell each other, so that several of them decide as one would.
//!
//! ```text
//! slots (own work), outcomes (prompts sent) ─ Telling ─▶ FollowResponse ─ serve ─▶ ═ gRPC ═ ─▶ follow ─ Heard ─▶ slots, index
//! --peers ─ resolved every 2 s ─▶ task: one future for each address; one that turns out to be this process is left alone
//! ```
//! Each gateway's connection lands on one of a pool's pickers. Alone, each would see its own requests at once and those of
//! the others only by scrapes, and would not know which endpoint holds the prompts that went through the others.
//!
//! # Why directly
//! Pickers tell each other, not the control plane: they go on deciding while it is down, which is when they must not get
//! worse; nothing of each request goes through a process of the cluster's; and one hop is sooner than two.
//!
//! # What is told, and what a loss costs
//! | | how | when it is lost |
//! |---|---|---|
//! | work in flight, by endpoint: requests, tokens of prompts, to prefill, to decode | absolute numbers, every 25 ms where they differ, and every second where there is work | the next message heals it |
//! | prefill time queued, by endpoint | a running total; what it grew by is added to the one queue of the endpoint | as above, but for what was queued when the stream began |
//! | prompts: hashes of their blocks, and the endpoint | each once, in batches; a stream that is slow misses the oldest, which is counted; a process that starts is told what the others know from before | the endpoint is taken not to hold it until it is sent the like again |
//!
//! Learned speeds, errors of endpoints and requests that wait stay with each picker: all of them read the same scrapes, and
//! a picker's gate counts the requests that others have at the endpoints.
//!
//! What a peer told counts as own work does (see `pool::Slot`) until it tells otherwise, its stream ends, or it is silent
//! for a second. Then it counts nothing, and if it is back it begins anew. So a picker that is alone, or cannot hear
//! the others, decides as if there were none: from its own work and from scrapes, which see everybody's requests.
//!
//! Two pickers that decide within the same 25 ms do not see each other's choice; near-ties are drawn from random streams
//! that differ, so that they do not go the same way. `signalbox-picker simulate --pickers 2` plays it.
//!
//! Nobody can tell a picker anything that it did not ask for: it connects to the addresses that `--peers` names.
//!
//! # Who may listen
//! The port is of its own, because ext_proc's does not ask for certificates. With a directory of certificates
//! (`--peers-tls-dir`) both sides prove that they are pickers: a follower is told endpoints of the pools that its
//! certificate names, and the picker that it follows has to name the same host as its own certificate. See [`tls`].
//!
//! | setting | |
//! |---|---|
//! | `--peers` | hosts with ports, separated by commas; a name may stand for all of them, itself included |
//! | `--peers-listen` | where this picker tells; only with `--peers` |
//! | `--peers-tls-dir` | `tls.crt`, `tls.key`, `ca.crt`; `--control-plane-tls-dir` when absent; cleartext without both |
//!
//! | metric (`signalbox_picker_peer…`) | |
//! |---|---|
//! | `peers_connected` | pickers that are heard |
//! | `peer_followers` | streams on which this picker tells |
//! | `peer_silence_seconds{peer}` | time since the last message of a peer that is followed; none while it is not heard |
//! | `peer_messages_total{direction}` | messages: told, heard |
//! | `peer_blocks_total{direction}` | blocks of prompts: told, heard |
//! | `peer_prompts_missed_total` | prompts that were not told because a stream was slow |
//! | `peer_ignored_total{what}` | heard and not used: `endpoint` (not known here), `malformed`, `peer` (more than 16 addresses), `follower` (more than 32 streams) |
//! | `peer_disconnects_total` | streams of peers that ended or could not be opened |

mod counters;
mod find;
mod follow;
mod heard;
mod serve;
mod task;
mod telling;
#[cfg(test)]
mod tests;
pub mod tls;

pub use counters::PeerCounters;
pub use heard::Heard;
pub use serve::{Told, serve};
pub use task::{PeersConfig, run};
pub use telling::Telling;
