//! Which API a path belongs to, and what the members of its bodies mean.
//!
//! | API | paths | prompt | output limit |
//! |---|---|---|---|
//! | OpenAI chat | `…/chat/completions` | tools, messages | max_completion_tokens, max_tokens |
//! | OpenAI completions | `…/completions` | prompt | max_tokens |
//! | OpenAI responses | `…/responses` | tools, instructions, input | max_output_tokens |
//! | OpenAI embeddings | `…/embeddings` | input, or messages (vLLM) | no output |
//! | Anthropic messages | `…/messages`, `…/messages/count_tokens` | tools, system, messages | max_tokens |
//! | vLLM, SGLang, TGI | `…/generate`, `…/generate_stream` | text, prompt, inputs, input_ids, token_ids | in sampling_params or parameters |
//! | any other | | all of these names, and query with documents | all of these names |

/// The API that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's completions.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// OpenAI's embeddings.
    Embeddings,
    /// Anthropic's messages.
    Messages,
    /// The native APIs of vLLM, SGLang and TGI.
    Generate,
    /// Any other: members are recognised by their names.
    Opaque,
}

impl Api {
    /// By `:path`; the query does not matter.
    pub fn of(path: &[u8]) -> Self {
        let path = path.split(|&b| b == b'?').next().unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        for (end, api) in [
            (&b"/chat/completions"[..], Self::Chat),
            (b"/completions", Self::Completions),
            (b"/responses", Self::Responses),
            (b"/embeddings", Self::Embeddings),
            (b"/messages", Self::Messages),
            (b"/messages/count_tokens", Self::Messages),
            (b"/generate", Self::Generate),
            (b"/generate_stream", Self::Generate),
        ] {
            if path.ends_with(end) {
                return api;
            }
        }
        Self::Opaque
    }
}

impl Api {
    /// What it does, as OpenTelemetry's conventions for generative AI name it.
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses | Self::Messages => "chat",
            Self::Completions | Self::Generate => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Opaque => "generate_content",
        }
    }
}

/// Parts of a prompt, in the order in which chat templates put them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Tools,
    System,
    Prompt,
}

/// What a member of a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Model,
    Stream,
    MaxTokens,
    /// Wins over the other one.
    MaxCompletionTokens,
    /// An object with the output limit in it.
    Sampling,
    CacheSalt,
    Adapter,
    /// Whether the tokenizer adds what the model's prompts begin or end with.
    SpecialTokens,
    Prompt(Part),
}

/// What `name` is in a body of `api`.
pub(super) fn member(api: Api, name: &str) -> Option<Member> {
    use Api::{Chat, Completions, Embeddings, Generate, Messages, Opaque, Responses};
    Some(match (api, name) {
        (_, "model") => Member::Model,
        (_, "stream") => Member::Stream,
        (_, "cache_salt") => Member::CacheSalt,
        (_, "lora_path") => Member::Adapter,
        (Completions | Embeddings, "add_special_tokens") => Member::SpecialTokens,
        (Embeddings, "input" | "messages" | "text") => Member::Prompt(Part::Prompt),
        (Embeddings, _) => return None,
        (Responses | Opaque, "max_output_tokens") | (_, "max_tokens") => Member::MaxTokens,
        (Chat | Opaque, "max_completion_tokens") => Member::MaxCompletionTokens,
        (Generate | Opaque, "sampling_params" | "parameters") => Member::Sampling,
        (Chat | Responses | Messages | Opaque, "tools") => Member::Prompt(Part::Tools),
        (Responses | Opaque, "instructions") => Member::Prompt(Part::System),
        (Messages | Opaque, "system") => Member::Prompt(Part::System),
        (Opaque, "query") => Member::Prompt(Part::System),
        (Chat | Messages | Opaque, "messages")
        | (Completions | Generate | Opaque, "prompt")
        | (Responses | Opaque, "input")
        | (Generate | Opaque, "text" | "inputs" | "input_ids" | "token_ids" | "prompt_token_ids")
        | (Opaque, "documents") => Member::Prompt(Part::Prompt),
        _ => return None,
    })
}
