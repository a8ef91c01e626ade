//! Chat completions: `messages`.

/// Whether a string under `key` inside `messages` becomes prompt tokens. Images and audio (`url`, `data`) do not: their
/// bytes say nothing about their tokens.
pub(super) fn counts(key: &[u8]) -> bool {
    matches!(key, b"content" | b"text" | b"arguments" | b"reasoning_content" | b"refusal")
}
