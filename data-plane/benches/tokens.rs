//! Counting tokens: what a prompt costs that is counted where it is decided, on a thread, and again.
//!
//! `cargo bench -p signalbox-data-plane --bench tokens`. The tokenizer is of the kind that Llama 3 and Qwen have (bytes,
//! the same rule for words), trained on this repository's documents; real ones have thirty times its vocabulary, so more of
//! their words are single tokens.

#![expect(clippy::print_stderr, reason = "a bench tells its figures")]

mod cpu_time;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use data_plane::tokenizer::Vocabulary;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

const TEXT: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../ARCHITECTURE.md"),
    include_str!("../../CONTRIBUTING.md")
);
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn vocabulary() -> Vocabulary {
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false)
        .expect("the rule of Llama 3");
    let mut tokenizer = Tokenizer::new(BPE::default());
    let bytes = ByteLevel::new(false, true, false);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![words.into(), bytes.into()])));
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(4_000)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut trainer = TrainerWrapper::from(trainer);
    tokenizer.train(&mut trainer, TEXT.lines()).expect("it is text");
    let json = tokenizer.to_string(false).expect("it is JSON");
    Vocabulary::parse(json.as_bytes()).expect("it was written so")
}

fn tokens(c: &mut Criterion) {
    let vocabulary = vocabulary();
    let text: String = TEXT.chars().filter(char::is_ascii).cycle().take(64 * 1024).collect();
    let mut group = c.benchmark_group("tokens");
    for kib in [1, 4, 64] {
        let text = &text[..kib * 1024];
        let count = vocabulary.count(text).unwrap_or_default();
        eprintln!("{kib} KB: {count} tokens, {:.1} bytes each", text.len() as f64 / f64::from(count));
        group.bench_function(format!("count-{kib}KB"), |b| {
            cpu_time::iter(b, || vocabulary.count(black_box(text)));
        });
    }
    group.finish();
}

criterion_group!(benches, tokens);
criterion_main!(benches);
