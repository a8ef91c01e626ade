//! Requests with their times, drawn from the shape of a published trace. Synthetic: only lengths, gaps and the share of
//! continued sessions are the trace's.

use super::content::{Piece, Request};

/// Sessions that a request may continue.
const OPEN_SESSIONS: usize = 64;

/// Which published trace the requests resemble: lognormal lengths and gamma gaps fitted to its percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A public measurement of llm-d-router on llm-d-inference-sim: prompts of 300 to 1300 tokens, answers of 100,
    /// Poisson.
    Uniform,
    /// Azure 2023 conversation: prompts p50 1020, p90 2735; answers p50 129, p90 424; nearly Poisson.
    AzureConversation,
    /// Azure 2023 code: prompts p50 1469, p90 5194; answers p50 13, p90 55; very bursty.
    AzureCode,
    /// Mooncake conversation: prompts p50 6909, p90 27367; answers p50 350, p90 597; a third of the tokens shared with
    /// an earlier request of the session.
    Mooncake,
}

#[derive(Clone, Copy)]
enum Length {
    Uniform { least: f64, most: f64 },
    Lognormal { median: f64, deviation: f64, most: f64 },
}

impl Length {
    fn draw(self, rng: &mut fastrand::Rng) -> u32 {
        let value = match self {
            Self::Uniform { least, most } => (most - least).mul_add(rng.f64(), least),
            Self::Lognormal { median, deviation, most } => {
                deviation.mul_add(normal(rng), median.ln()).exp().clamp(1.0, most)
            }
        };
        value.round() as u32
    }
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Uniform, Self::AzureConversation, Self::AzureCode, Self::Mooncake];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::AzureConversation => "azure-conversation",
            Self::AzureCode => "azure-code",
            Self::Mooncake => "mooncake",
        }
    }

    fn lengths(self) -> (Length, Length) {
        let lognormal = |median, deviation, most| Length::Lognormal { median, deviation, most };
        let uniform = |least, most| Length::Uniform { least, most };
        match self {
            Self::Uniform => (uniform(300.0, 1_300.0), uniform(100.0, 100.0)),
            Self::AzureConversation => (lognormal(1020.0, 0.77, 14_000.0), lognormal(129.0, 0.93, 1_000.0)),
            Self::AzureCode => (lognormal(1469.0, 0.99, 7_437.0), lognormal(13.0, 1.13, 1_900.0)),
            Self::Mooncake => (lognormal(6909.0, 1.07, 126_000.0), lognormal(350.0, 0.42, 2_000.0)),
        }
    }

    /// Standard deviation over mean of the gaps between arrivals, from the variance of counts.
    fn burstiness(self) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::AzureConversation => 1.15,
            Self::AzureCode => 3.6,
            Self::Mooncake => 1.45,
        }
    }

    fn continues(self) -> f64 {
        if self == Self::Mooncake { 0.7 } else { 0.0 }
    }
}

/// `count` requests at `rate` per second.
#[must_use]
pub fn trace(shape: Shape, rate: f64, count: usize, seed: u64) -> Vec<Request> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (prompts, outputs) = shape.lengths();
    let form = shape.burstiness().powi(-2);
    let mut at = 0.0;
    let mut sessions: Vec<(u64, Vec<Piece>)> = Vec::new();
    let mut request = |index: usize| {
        at += gamma(form, &mut rng) / form / rate;
        let (prompt, output) = (prompts.draw(&mut rng), outputs.draw(&mut rng));
        let (mut session, mut pieces) = (index as u64, Vec::new());
        if rng.f64() < shape.continues() && !sessions.is_empty() {
            let (open, before) = &sessions[rng.usize(..sessions.len())];
            if tokens(before) < prompt {
                (session, pieces) = (*open, before.clone());
            }
        }
        let rest = prompt - tokens(&pieces);
        pieces.push(Piece::after(pieces.last(), index as u64, rest));
        let request = Request::new(at, pieces, index as u64, output);
        sessions.retain(|(open, _)| *open != session);
        sessions.push((session, request.pieces.iter().copied().chain([request.answer]).collect()));
        if sessions.len() > OPEN_SESSIONS {
            sessions.remove(0);
        }
        request
    };
    (0..count).map(&mut request).collect()
}

fn tokens(pieces: &[Piece]) -> u32 {
    pieces.iter().map(|piece| piece.tokens).sum()
}

/// Standard normal, by Box and Muller.
pub(super) fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Gamma with mean `form` and scale 1, by Marsaglia and Tsang.
fn gamma(form: f64, rng: &mut fastrand::Rng) -> f64 {
    if form < 1.0 {
        let boost = (1.0 - rng.f64()).powf(1.0 / form);
        return gamma(form + 1.0, rng) * boost;
    }
    let d = form - 1.0 / 3.0;
    let c = (9.0 * d).sqrt().recip();
    loop {
        let x = normal(rng);
        let v = c.mul_add(x, 1.0).powi(3);
        if v > 0.0 && (1.0 - rng.f64()).ln() < (0.5 * x).mul_add(x, d - d * v + d * v.ln()) {
            return d * v;
        }
    }
}
