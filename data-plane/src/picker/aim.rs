//! What one request optimises, from its wishes and its policy; and the tier that a candidate has in it.
//!
//! ```text
//! required? no ─▶ not a candidate
//! expected to meet the targets? no ─▶ last tier        yes ─▶ place among preferred, then (cost) dollars
//! within a tier: seconds (balanced: times a factor of dollars)
//! ```

use crate::accelerator::{Optimize, Profile, estimate, policy};

use super::ask::Ask;
use super::cost::Parts;

/// Targets of negative priorities are this many times as long.
const PATIENCE: f32 = 4.0;
/// Standard deviations by which the time to the first token is expected to stay below its target: 90 % of a normal
/// distribution do. On the bed of `cost_dollars_ratio` this saves 22 % and misses no more than latency does; a fixed share
/// of the target that misses as few (0.7) saves 15 %, and one that saves as much (0.85) misses 2 points more.
const DOUBTS: f32 = 1.28;
/// Expected times between tokens above this share of their target are taken to miss it: they follow the batch, which
/// changes while a request runs.
const ITL_MARGIN: f32 = 0.9;
/// The tier of candidates that miss a target.
const MISSES: u32 = u32::MAX;
/// The place among preferred classes is above this bit of a tier, cents below.
const PLACE: u32 = 20;

/// What a pick optimised, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Aimed {
    /// What to optimise.
    pub optimize: Optimize,
    /// Seconds to the first token above which, with its doubt, an endpoint goes last; None where targets do not order endpoints.
    pub ttft: Option<f32>,
    /// Seconds between tokens above which an endpoint goes last.
    pub itl: Option<f32>,
    /// The only classes that may be used, separated by commas; empty: all.
    pub required: String,
    /// The classes to use first, separated by commas.
    pub preferred: String,
}

/// The tier of a candidate, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tier {
    /// It is expected to miss a target, and goes after all others.
    pub misses: bool,
    /// Its class's place among those preferred.
    pub place: u32,
    /// Dollars per hour, where cost is optimised.
    pub dollars: f32,
}

impl Tier {
    /// What the number that [`Aim::tier`] answers stands for.
    pub(super) fn of(tier: u32) -> Self {
        if tier == MISSES {
            return Self { misses: true, ..Self::default() };
        }
        let cents = (1 << PLACE) - 1;
        Self { misses: false, place: tier >> PLACE, dollars: (tier & cents) as f32 / 100.0 }
    }
}

/// Resolved once per pick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim<'a> {
    optimize: Optimize,
    ttft: f32,
    itl: f32,
    /// Whether targets order candidates at all.
    tiered: bool,
    required: &'a str,
    preferred: &'a str,
    prices: &'a [(String, f32)],
}

impl<'a> Aim<'a> {
    pub(super) fn of(ask: &Ask<'a>) -> Self {
        let wishes = ask.wishes;
        let policy = ask.policy;
        let by_priority = match ask.priority {
            1.. => Optimize::Latency,
            0 => Optimize::Balanced,
            _ => Optimize::Cost,
        };
        let optimize =
            wishes.and_then(|w| w.optimize).or(policy.and_then(|p| p.optimize)).unwrap_or(by_priority);
        let ttft = wishes.and_then(|w| w.ttft_ms).or(policy.and_then(|p| p.ttft_ms));
        let itl = wishes.and_then(|w| w.itl_ms).or(policy.and_then(|p| p.itl_ms));
        let preferred =
            wishes.and_then(|w| w.preferred.as_deref()).or(policy.map(|p| &*p.preferred)).unwrap_or("");
        let patience = if ask.priority < 0 { PATIENCE } else { 1.0 };
        let seconds = |millis: Option<u32>, usual: u32| millis.unwrap_or(usual) as f32 / 1e3 * patience;
        Self {
            tiered: ttft.is_some() || itl.is_some() || optimize == Optimize::Cost || !preferred.is_empty(),
            optimize,
            ttft: seconds(ttft, policy::TTFT_MS),
            itl: seconds(itl, policy::ITL_MS) * ITL_MARGIN,
            required: policy::required(wishes, policy),
            preferred,
            prices: policy.map_or(&[], |policy| &policy.prices),
        }
    }

    /// Whether endpoints of `class` may be used.
    pub(super) fn allows(&self, class: &str) -> bool {
        policy::allows(self.required, class)
    }

    /// The same for people.
    pub(super) fn told(&self) -> Aimed {
        Aimed {
            optimize: self.optimize,
            ttft: self.tiered.then_some(self.ttft),
            itl: self.tiered.then_some(self.itl),
            required: self.required.to_owned(),
            preferred: self.preferred.to_owned(),
        }
    }

    /// The tier of a candidate of `class` on `devices`; the least goes first.
    pub(super) fn tier(
        &self,
        (class, devices): (&str, u32),
        profile: &Profile,
        parts: &Parts,
        batch: f32,
    ) -> u32 {
        if !self.tiered {
            return 0;
        }
        if DOUBTS.mul_add(parts.doubt, parts.ttft()) > self.ttft || estimate::itl(profile, batch) > self.itl {
            return MISSES;
        }
        let count = || self.preferred.split(',').count();
        let place = match self.preferred {
            "" => 0,
            list => policy::position(list, class).unwrap_or_else(count),
        };
        let dollars = match self.optimize {
            Optimize::Cost => self.price(class, devices, profile),
            Optimize::Latency | Optimize::Balanced => 0.0,
        };
        // Cents, so that equal prices make one tier, of up to 2^20 - 1.
        ((place as u32).min(1_000) << PLACE) | ((dollars * 100.0) as u32).min((1 << PLACE) - 1)
    }

    /// By how much seconds at `class` count.
    pub(super) fn factor(&self, (class, devices): (&str, u32), profile: &Profile) -> f32 {
        if self.optimize != Optimize::Balanced || self.prices.is_empty() {
            return 1.0;
        }
        // Twice the price has to save 16 % of the time.
        self.price(class, devices, profile).sqrt().sqrt()
    }

    /// Dollars per hour. A class without a price among others is dear; without any prices, fast is dear.
    fn price(&self, class: &str, devices: u32, profile: &Profile) -> f32 {
        if self.prices.is_empty() {
            return (0.1 / profile.itl_s).clamp(0.01, 10_000.0).ln_1p();
        }
        let dearest = || self.prices.iter().map(|(_, price)| *price).fold(0.0, f32::max);
        policy::price(self.prices, class).unwrap_or_else(dearest) * devices.max(1) as f32
    }
}
