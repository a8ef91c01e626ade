use std::time::Duration;

use super::*;
use crate::accelerator::{Book, Hardware, Sum, profile_of};

/// A server of known speed whose counters are scraped every 50 ms.
struct Server {
    at: Instant,
    sent: u32,
    totals: Totals,
}

const ITL: f64 = 0.020;
const PER_REQUEST: f64 = 0.001;
const OVERHEAD: f64 = 0.040;
const PER_TOKEN: f64 = 0.000_5;

impl Server {
    fn new(at: Instant) -> Self {
        let some = Some(Sum::default());
        let (zero, cached_tokens) = (Some(0.0), Some(0.0));
        let totals = Totals {
            prompt_tokens: zero,
            cached_tokens,
            generated_tokens: zero,
            first_token: some,
            between_tokens: some,
            output: some,
        };
        Self { at, sent: 0, totals }
    }

    /// 50 ms pass with `batch` decoding requests, and `prompts` of 1000 tokens, alone each unless there are several.
    fn pass(&mut self, to: &Calibration, batch: u32, prompts: u32, waiting: u32) {
        self.at += Duration::from_millis(50);
        self.sent += prompts;
        let between = self.totals.between_tokens.as_mut().unwrap();
        let pace = ITL + PER_REQUEST * f64::from(batch.saturating_sub(1));
        between.sum += f64::from(batch) * 0.05;
        between.count += f64::from(batch) * 0.05 / pace;
        let first = self.totals.first_token.as_mut().unwrap();
        first.count += f64::from(prompts);
        first.sum +=
            f64::from(prompts * prompts) * (OVERHEAD + 1_000.0 * PER_TOKEN) + f64::from(waiting) * 9.0;
        *self.totals.prompt_tokens.as_mut().unwrap() += 1_000.0 * f64::from(prompts);
        let look =
            Look { running: Some(batch), waiting: Some(waiting), sent: self.sent, own: batch, foreign: 0 };
        to.totals(look, &self.totals, self.at);
    }
}

fn key(class: &str) -> GroupKey {
    GroupKey { class: class.into(), count: 1, model: "ns/pool".into(), ..GroupKey::default() }
}

fn mk(book: &Book, class: &str) -> Arc<Calibration> {
    book.calibration(&key(class), profile_of(Hardware { class, count: 1, memory_bytes: 0 }))
}

#[track_caller]
fn near(value: f32, truth: f64, share: f64) {
    let ratio = f64::from(value) / truth;
    assert!((ratio - 1.0).abs() < share, "{value} instead of {truth}");
}

/// Three seconds of scrapes: a class that nobody knows, whose seed is the slowest of NVIDIA's, and one whose seed is four
/// times too fast.
#[test]
fn scrapes_teach_speeds_within_seconds() {
    for class in ["nvidia-x900", "nvidia-b200"] {
        let now = Instant::now();
        let book = Book::new(now);
        let endpoint = mk(&book, class);
        assert!(endpoint.is_unknown(now));
        let mut server = Server::new(now);
        for step in 0..60 {
            server.pass(&endpoint, 1 + step % 40 / 10 * 4, u32::from(step % 5 == 3), 0);
        }
        let learned = endpoint.profile();
        near(estimate_itl(&learned, 1.0), ITL, 0.2);
        near(estimate_itl(&learned, 13.0), ITL + 12.0 * PER_REQUEST, 0.15);
        near(
            1_000.0 / learned.prefill_tokens_per_s + learned.overhead_s,
            OVERHEAD + 1_000.0 * PER_TOKEN,
            0.1,
        );
        assert!(!endpoint.is_unknown(server.at), "{:?}", endpoint.group_samples());
        assert!(endpoint.is_unknown(server.at + Duration::from_secs(600)), "it may have changed");
        let twin = mk(&book, class);
        assert!(
            (twin.profile().itl_s / learned.itl_s - 1.0).abs() < 0.1,
            "its kind is expected to be like it"
        );
    }
}

fn estimate_itl(profile: &Profile, batch: f32) -> f32 {
    crate::accelerator::estimate::itl(profile, batch)
}

#[test]
fn queued_and_crowded_prompts_resets_and_restarts_teach_nothing_wrong() {
    let now = Instant::now();
    let book = Book::new(now);
    let endpoint = mk(&book, "nvidia-a100-80gb");
    let mut server = Server::new(now);
    let seed = endpoint.profile();
    for _ in 0..40 {
        server.pass(&endpoint, 8, 1, 3);
        server.pass(&endpoint, 8, 2, 0);
    }
    assert_eq!(endpoint.profile().prefill_tokens_per_s.to_bits(), seed.prefill_tokens_per_s.to_bits());
    for _ in 0..20 {
        server.pass(&endpoint, 4, 0, 0);
    }
    let learned = endpoint.profile();
    let (at, sent) = (server.at, server.sent);
    server = Server { sent, ..Server::new(at) };
    for _ in 0..3 {
        server.pass(&endpoint, 4, 0, 0);
        let twice = server.totals;
        server.totals.between_tokens.as_mut().unwrap().count = 0.0;
        server.pass(&endpoint, 4, 0, 0);
        server.totals = twice;
    }
    assert!((endpoint.profile().itl_s / learned.itl_s - 1.0).abs() < 0.05, "{:?}", endpoint.profile());
    let nothing = Look::default();
    endpoint.totals(nothing, &Totals::default(), server.at);
    endpoint.totals(nothing, &Totals { prompt_tokens: Some(f64::MAX), ..Totals::default() }, server.at);
    assert!((endpoint.profile().itl_s / learned.itl_s - 1.0).abs() < 0.05);
}

#[test]
fn an_endpoint_that_differs_from_its_kind_is_told_apart() {
    let now = Instant::now();
    let book = Book::new(now);
    let (usual, slow) = (mk(&book, "nvidia-l4"), mk(&book, "nvidia-l4"));
    for step in 0..60 {
        let tokens = 200.0 + 40.0 * step as f32;
        usual.first_token(tokens, 0.05 + tokens * 0.000_5, now);
        usual.first_token(tokens, 0.05 + tokens * 0.000_5, now);
        slow.first_token(tokens, 0.10 + tokens * 0.001_0, now);
        slow.first_token(f32::NAN, 1.0, now);
    }
    near(1_000.0 / usual.profile().prefill_tokens_per_s + usual.profile().overhead_s, 0.55, 0.1);
    near(1_000.0 / slow.profile().prefill_tokens_per_s + slow.profile().overhead_s, 1.1, 0.2);
}

#[test]
fn useful_batches_and_usual_answers_are_learned() {
    let now = Instant::now();
    let book = Book::new(now);
    let endpoint = mk(&book, "nvidia-l4");
    endpoint.batch(12);
    assert!((endpoint.profile().useful_batch - 12.0).abs() < 0.1);
    assert!((mk(&book, "nvidia-l4").profile().useful_batch - 12.0).abs() < 0.1);
    assert!((book.usual("ns/pool").output() - 200.0).abs() < 0.1);
    (0..100).for_each(|_| endpoint.output(30.0));
    assert!((book.usual("ns/pool").output() - 30.0).abs() < 15.0);
    let fixed = Calibration::fixed(endpoint.profile());
    fixed.batch(3);
    fixed.pace(1.0, 9.0, now);
    assert_eq!((fixed.profile(), fixed.is_unknown(now)), (endpoint.profile(), false));
}

/// An engine that counts prompts by chunk, as SGLang does, and one that counts none, or too late.
#[test]
fn prompts_count_by_what_was_computed_before_their_first_token() {
    for (chunk, known) in [(1_000.0, true), (0.0, false)] {
        let now = Instant::now();
        let endpoint = mk(&Book::new(now), "nvidia-l4");
        let seed = endpoint.profile();
        let mut server = Server::new(now);
        for _ in 0..20 {
            server.sent += 1;
            for _ in 0..4 {
                *server.totals.prompt_tokens.as_mut().unwrap() += chunk;
                server.pass(&endpoint, 1, 0, 0);
            }
            let first = server.totals.first_token.as_mut().unwrap();
            first.count += 1.0;
            first.sum += OVERHEAD + 4_000.0 * PER_TOKEN;
            server.pass(&endpoint, 1, 0, 0);
            server.pass(&endpoint, 0, 0, 0);
        }
        let learned = endpoint.profile();
        let seconds = |of: &Profile| 4_000.0 / of.prefill_tokens_per_s + of.overhead_s;
        if known {
            near(seconds(&learned), OVERHEAD + 4_000.0 * PER_TOKEN, 0.1);
        } else {
            assert_eq!(seconds(&learned).to_bits(), seconds(&seed).to_bits());
        }
    }
}
