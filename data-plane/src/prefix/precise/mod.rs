//! Which endpoints hold how much of a prompt of known tokens: what engines say themselves, by their KV cache events.
//!
//! ```text
//! events (of one endpoint, in order) ─ Sequence ─▶ Mirror: engine hash → node ─ held from the root ─▶ Index: key → holders
//!                                        │ gap, restart                                                  ▲
//!                                        └─ replay; else clear, and Trust falls                          │ lookup
//! token ids of a request ─ keys (chain over blocks of the engine's size, adapter, salt) ─────────────────┘
//! pick ─ expect ─▶ Awaited: what is being computed there, until its first byte
//! ```
//!
//! # What is exact, and what is not
//! An engine hashes tokens, with a seed of its own; so its hashes are only names, and keys are computed from the tokens that
//! its events carry. A request is matched exactly when its tokens are known: prompts that are arrays of token ids
//! (`/v1/completions`, `/generate`), and text of these APIs where the model's tokenizer is configured (see `tokenizer`).
//! Other text and chat become tokens only by the model's template and tokenizer. There, a wrong guess at either (a date in
//! a template, a template given on the engine's command line) makes every key wrong, so they stay with the approximate index,
//! which events correct: it is emptied with the engine's cache, and its capacity is the share of what the engine stores that
//! was sent through here (answers, and prompts of others, evict too).
//!
//! Events leave out some of what engines know (vLLM 0.33, SGLang 0.5.23): vLLM tells that a block went when the first of two
//! equal copies goes, so the other is not counted; tokens beyond a block that its hash covers, SGLang's `extra_key`, and the
//! second tokens of pairs are not compared, so that a little more counts as held than is.
//!
//! # What counts as held
//! A block counts while all before it are held by the same endpoint; so what is held of a chain is its beginning, and the
//! index can be searched by halving (see [`Index`](super::Index)). Media: GPU and CPU; copying from host memory costs a tenth
//! of computing at most, and other media are not counted. Ranks: each (Pod, port) of a pool is an endpoint, and each rank
//! publishes on a port of its own, so an endpoint is one rank. Engines that hide several ranks behind one HTTP port are seen
//! by their first rank only.
//!
//! Any number of endpoints holds a block. Hashes that share a key (images on engines that do not tell extra keys) count
//! as one block.
//!
//! # Figures
//! `BLOCKS=1000000 cargo bench -p signalbox-data-plane --bench prefix -- precise` (10 million without `BLOCKS`), blocks of
//! 16 tokens of 100 endpoints, CPU time, two busy cores:
//!
//! | | 1 million | 10 million |
//! |---|---|---|
//! | bytes a block | 84 | 86 |
//! | look up a prompt of 64 KB of token ids (16,384 tokens, 1,024 blocks), held | 21 us | 19 us |
//! | the same, held by nobody: nearly all of it is hashing the tokens | 15 us | 16 us |
//! | take in 1,024 blocks stored and 1,024 removed | 0.70 ms | 1.27 ms |

mod awaited;
mod event;
mod key;
mod mirror;
mod sequence;
mod shared;
#[cfg(test)]
mod tests;
mod tree;

pub use awaited::Coming;
pub use event::{Event, Medium, Stored};
pub use key::{Keys, TokenPrompt, extra_of};
pub use mirror::{Applied, Mirror, Trust};
pub use sequence::{Sequence, Step};
pub use shared::{Precise, Runs};
