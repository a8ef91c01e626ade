//! What a model server says of the models that it serves: `GET /v1/models`.
//!
//! ```text
//! it answered, and the list is a minute old ─▶ GET /v1/models ─▶ max_model_len of each model ─▶ the largest ─▶ slot
//! ```
//! vLLM and SGLang tell there how many tokens of prompt and answer a request may have together; adapters have their base
//! model's. Servers without that list, or with one that only clients with a key may read, are asked again a minute later,
//! and their context stays unknown.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client;

/// Between questions: what a server serves changes when it is started anew.
const EVERY: Duration = Duration::from_secs(60);
/// Bytes of a list that are read.
const LONGEST: usize = 1 << 20;

/// The list of one model server.
#[derive(Debug)]
pub(super) struct Models {
    pub(super) request: Vec<u8>,
    asked: Option<Instant>,
    body: Vec<u8>,
}

impl Models {
    pub(super) fn new(host: std::net::SocketAddr) -> Self {
        let request = client::get("/v1/models", host, "application/json");
        Self { request, asked: None, body: Vec::new() }
    }

    /// Whether it is time to ask; it counts as asked from here on.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= EVERY);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// The server was started anew, or so it seems.
    pub(super) fn ask_again(&mut self) {
        self.asked = None;
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
        let room = LONGEST.saturating_sub(self.body.len()).min(piece.len());
        self.body.extend_from_slice(&piece[..room]);
    }

    /// Tokens of the longest context in what was read, which is forgotten.
    pub(super) fn take(&mut self) -> Option<u32> {
        longest(&std::mem::take(&mut self.body))
    }
}

/// Tokens of the longest context in a list of models; None where it tells none.
fn longest(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        max_model_len: Option<u64>,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    let longest = list.data.iter().filter_map(|model| model.max_model_len).max()?;
    Some(u32::try_from(longest).unwrap_or(u32::MAX)).filter(|tokens| *tokens > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_context_counts_and_nonsense_is_unknown() {
        let of = |body: &str| longest(body.as_bytes());
        let served = r#"{"object": "list", "data": [
            {"id": "gemma", "object": "model", "parent": null, "max_model_len": 8192, "permission": []},
            {"id": "adapter", "parent": "gemma", "max_model_len": null}]}"#;
        assert_eq!(of(served), Some(8_192));
        assert_eq!(of(r#"{"data": [{"id": "a", "max_model_len": 1}, {"max_model_len": 9}]}"#), Some(9));
        assert_eq!(of(r#"{"data": [{"max_model_len": 99999999999}]}"#), Some(u32::MAX));
        for unknown in [
            r#"{"data": [{"id": "gpt"}]}"#,
            r#"{"data": [{"max_model_len": 0}]}"#,
            r#"{"data": []}"#,
            "[]",
            "",
        ] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn lists_are_read_once_a_minute_and_whole() {
        let mut models = Models::new(([10, 0, 0, 1], 8000).into());
        let now = Instant::now();
        let mut due = |seconds| models.is_due(now + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61].map(&mut due), [true, false, false, true, false]);
        models.ask_again();
        assert!(models.is_due(now + Duration::from_secs(62)));
        for piece in [r#"{"data": [{"max_mo"#, r#"del_len": 7}]}"#] {
            models.feed(piece.as_bytes());
        }
        assert_eq!((models.take(), models.take()), (Some(7), None));
    }
}
