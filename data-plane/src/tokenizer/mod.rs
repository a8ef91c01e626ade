//! How many tokens a prompt has, and which: counted with the model's own `tokenizer.json`, where one is configured.
//!
//! ```text
//! --tokenizer, --tokenizers ─ Places ─▶ Shelf: model → Tokenizer (followed; a broken file is reported, the one before stays)
//! body ─ texts ─ short ─▶ counted at once ────────────────┐
//!           └─── long ──▶ counted on a thread, bounded ───┤▶ Counted { tokens, ids } ─▶ decide
//!                            └─ not within the deadline ──┴─▶ the estimate from bytes, and a counter
//! ```
//!
//! # How exact counts are
//! | Prompt | Count |
//! |---|---|
//! | text of completions, embeddings and native APIs | exact: what the engine counts, special tokens included |
//! | chat, messages, responses | exact for the texts of messages; what the chat template adds is learned from the usage that model servers report, as so many tokens at the beginning and so many for each message, apart for requests with tools. Before the first report: 4 and 5 |
//! | images and the like | estimated as without a tokenizer |
//!
//! Reports check exact counts, too (`tokenizer_checks_total`): a file that is not the model's shows there. Reports are seen
//! where answers are read (`--read-answers`).
//!
//! # The prefix index
//! The ids of one plain text prompt are matched with what engines hold (`prefix::precise`), as those of prompts that are
//! given as ids, as long as checks of that file agree. Chat stays with the approximate index: its tokens are known only
//! when the template is rendered exactly as the engine does, with its date, its defaults and the engine's options.
//!
//! # Time
//! Texts of up to [`INLINE`] bytes are counted where they are decided. Longer ones go to threads, at most half as many at a
//! time as there are cores, and wait for them until `--tokenizer-deadline`. Counts of chat texts are kept, so that a shared
//! system prompt, or the turns before the last, are counted once; a count that came too late is kept as well. Plain prompts
//! that are so long that the deadline cannot be met are not tried. A thread counts some 4 MB of new text a second
//! (`benches/tokens.rs`, CPU time on a busy core: 0.25 ms for 1 KB, 1.0 ms for 4 KB, 22 ms for 64 KB), so that the default
//! deadline is good for plain prompts of 20 KB.
//!
//! | flag | |
//! |---|---|
//! | `--tokenizer MODEL=PATH` | the file, or the directory that it is in, of one model; `*` for all models without one. Repeatable |
//! | `--tokenizers DIR` | a directory with `MODEL/tokenizer.json` for any number of models; slashes in names are subdirectories or `--`. A cache of Hugging Face (`models--…/snapshots/…`) is such a directory |
//! | `--tokenizer-deadline` | how long a request waits for its count, 5ms by default |
//!
//! | metric `signalbox_picker_…` | labels | |
//! |---|---|---|
//! | `prompts_counted_total` | result | `exact`, `chat`; or the estimate because of `deadline`, `too_long`, `unreadable`, `failed` |
//! | `tokenizer_checks_total` | result | exact counts beside reported ones: `equal`, `different` |
//! | `tokenizers` | state | files that are `loaded`, or `broken` |

mod cache;
mod collector;
mod count;
mod counter;
mod places;
mod shelf;
#[cfg(test)]
pub(crate) mod tests;
mod vocabulary;

pub use collector::TokenizerCollector;
pub use count::{Counted, Form};
pub use counter::{Counter, INLINE, Pending, Result};
pub use places::{Named, Places};
pub use shelf::Shelf;
pub use vocabulary::Vocabulary;
