//! Which member of a body is its prompt. Of APIs that are not known by path, by the names that APIs have in common.

use super::Api;

/// The form of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    /// A list of messages.
    Messages,
    /// A string, a list of strings, or token ids.
    Text,
}

/// The form of member `name`, when it is the prompt.
pub(super) fn prompt(api: Api, name: &str) -> Option<Prompt> {
    match (api, name) {
        (Api::Chat | Api::Opaque, "messages") => Some(Prompt::Messages),
        (Api::Completions | Api::Opaque, "prompt") | (Api::Opaque, "input") => Some(Prompt::Text),
        _ => None,
    }
}
