//! What was counted of one prompt.

use std::sync::Arc;

pub use crate::request::parse::Form;
use crate::request::tokens::Tokens;

use super::vocabulary::Vocabulary;

/// The tokens of a prompt's texts.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The model that they were counted for.
    pub model: Box<str>,
    /// Tokens of its texts.
    pub tokens: u32,
    /// What is put around them.
    pub form: Form,
    /// The tokens, when the prompt is one plain text; empty otherwise.
    pub ids: Vec<u32>,
    pub(super) by: Arc<Vocabulary>,
}

impl Counted {
    /// Tokens of the prompt, with what `learned` says of the model's chat template.
    #[must_use]
    pub fn prompt_tokens(&self, learned: &Tokens) -> u32 {
        let Form::Chat { messages, tools } = self.form else { return self.tokens };
        let added = learned.template(&self.model, messages, tools);
        u32::try_from((i64::from(self.tokens) + added).max(1)).unwrap_or(u32::MAX)
    }

    /// Bytes that are held for its tokens.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.ids.as_slice())
    }

    /// The same, to be held on to.
    #[must_use]
    pub fn without_ids(&self) -> Self {
        let Self { model, tokens, form, by, .. } = self;
        Self { model: model.clone(), tokens: *tokens, form: *form, ids: Vec::new(), by: Arc::clone(by) }
    }

    /// The tokens as engines have them; empty when they are not known.
    #[must_use]
    pub fn known_ids(&self) -> &[u32] {
        if self.by.agrees() { &self.ids } else { &[] }
    }
}
