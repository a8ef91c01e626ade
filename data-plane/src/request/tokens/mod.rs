//! How many tokens prompts have, by model: learned from what model servers report.
//!
//! ```text
//! request ─ prompt bytes / ratio(model) ─▶ estimated tokens        response ─ usage ─▶ learn(model, bytes, tokens)
//! request ─ counted texts + template(model) ─▶ tokens of a chat    response ─ usage ─▶ learn_template(…)
//! ```
//! English prose has about four bytes a token, code three, and text in other scripts two to six as it is written in
//! JSON. A report moves the ratio by its share, and never more than a factor of two counts, so that a few odd requests
//! do not spoil it.

mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use template::Template;

/// Before anything was reported.
pub const USUAL: f32 = 4.0;
const BOUNDS: (f32, f32) = (0.5, 16.0);
/// Prompts with less text are mostly chat template.
const LEAST_BYTES: usize = 512;
/// One report counts at least this much.
const ALPHA: f32 = 1.0 / 32.0;
/// Models with a ratio of their own; further ones share one.
const MODELS: usize = 512;

/// What was learned of models.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Guards the map only; held for a look at it.
    models: RwLock<BTreeMap<Box<str>, Arc<Model>>>,
    others: Model,
}

#[derive(Debug)]
struct Model {
    bytes: AtomicU32,
    reports: AtomicU32,
    /// What chat templates add, without tools and with them. Held for a few dozen operations.
    templates: Mutex<[Template; 2]>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            bytes: AtomicU32::new(USUAL.to_bits()),
            reports: AtomicU32::new(0),
            templates: Mutex::default(),
        }
    }
}

impl Tokens {
    /// Bytes per token of `model`.
    #[must_use]
    pub fn ratio(&self, model: &str) -> f32 {
        self.models.read().get(model).map_or(&self.others, |known| &**known).get()
    }

    /// Tokens that the chat template of `model` puts around `messages`, or takes away from what was counted.
    #[must_use]
    pub fn template(&self, model: &str, messages: u32, tools: bool) -> i64 {
        let models = self.models.read();
        let templates = models.get(model).map_or(&self.others, |known| &**known).templates.lock();
        templates[usize::from(tools)].at(messages)
    }

    /// A chat of `messages` with `model` had that many tokens more than were counted.
    pub fn learn_template(&self, model: &str, messages: u32, tools: bool, more: i64) {
        let known = self.models.read().get(model).cloned();
        let known = known.or_else(|| self.open(model));
        let mut templates = known.as_deref().unwrap_or(&self.others).templates.lock();
        templates[usize::from(tools)].learn(messages, more);
    }

    /// A prompt with `bytes` of text for `model` had `tokens` tokens.
    pub fn learn(&self, model: &str, bytes: usize, tokens: u32) {
        if bytes < LEAST_BYTES || tokens == 0 {
            return;
        }
        let sample = bytes as f32 / tokens as f32;
        let known = self.models.read().get(model).cloned();
        known.or_else(|| self.open(model)).as_deref().unwrap_or(&self.others).learn(sample);
    }

    fn open(&self, model: &str) -> Option<Arc<Model>> {
        let mut models = self.models.write();
        if models.len() >= MODELS && !models.contains_key(model) {
            return None;
        }
        Some(Arc::clone(models.entry(model.into()).or_default()))
    }
}

impl Model {
    fn get(&self) -> f32 {
        f32::from_bits(self.bytes.load(Relaxed))
    }

    /// Concurrent updates may lose one another; it is an average.
    fn learn(&self, sample: f32) {
        let old = self.get();
        let reports = self.reports.load(Relaxed);
        self.reports.store(reports.saturating_add(1), Relaxed);
        let share = (1.0 / (reports as f32 + 2.0)).max(ALPHA);
        let step = (sample / old).clamp(0.5, 2.0).powf(share);
        self.bytes.store((old * step).clamp(BOUNDS.0, BOUNDS.1).to_bits(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f32, b: f32) -> bool {
        (a / b - 1.0).abs() < 0.02
    }

    #[test]
    fn ratios_follow_reports_by_model() {
        let tokens = Tokens::default();
        for _ in 0..100 {
            tokens.learn("code", 3_000, 1_000);
            tokens.learn("cjk", 10_000, 1_000);
        }
        assert!(near(tokens.ratio("code"), 3.0) && near(tokens.ratio("cjk"), 10.0));
        assert_eq!(tokens.ratio("other"), USUAL);
        tokens.learn("code", 1_000_000, 1);
        assert!(tokens.ratio("code") < 3.1, "one odd report counts little");
        tokens.learn("short", 100, 1_000);
        tokens.learn("nothing", 1_000, 0);
        assert_eq!((tokens.ratio("short"), tokens.ratio("nothing")), (USUAL, USUAL));
    }

    #[test]
    fn templates_are_learned_by_model_and_apart_with_tools() {
        let tokens = Tokens::default();
        for messages in (1..9).cycle().take(64) {
            tokens.learn_template("m", messages, false, 30 + 5 * i64::from(messages));
            tokens.learn_template("m", messages, true, 100 + 5 * i64::from(messages));
        }
        assert_eq!([1, 4, 20].map(|n| tokens.template("m", n, false)), [35, 50, 130]);
        assert_eq!(tokens.template("m", 4, true), 120);
        assert_eq!(tokens.template("other", 2, false), tokens.template("another", 2, true), "the usual one");
    }

    #[test]
    fn ratios_and_models_are_bounded() {
        let tokens = Tokens::default();
        for _ in 0..1_000 {
            tokens.learn("many", 10_000_000, 1);
            tokens.learn("few", 600, u32::MAX);
        }
        assert_eq!((tokens.ratio("many"), tokens.ratio("few")), (16.0, 0.5));
        for model in 0..2 * MODELS {
            tokens.learn(&model.to_string(), 2_000, 1_000);
        }
        assert_eq!(tokens.models.read().len(), MODELS);
        assert!(near(tokens.ratio("a model that never was"), 2.0), "further models share one");
    }
}
