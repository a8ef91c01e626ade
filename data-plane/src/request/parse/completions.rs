//! Completions: `prompt`, a string, a list of strings, token ids, or lists of token ids.

/// Whether a string under `key` inside `prompt` becomes prompt tokens: those that are not in an object.
pub(super) fn counts(key: &[u8]) -> bool {
    key.is_empty()
}
