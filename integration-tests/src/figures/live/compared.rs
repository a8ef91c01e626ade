//! Whom our picker is compared with, by the names that requests say.

/// The request header that says which policy decides; our picker does not look at it.
pub const COMPARED_POLICY: &str = "x-compared-policy";

/// A policy of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// 2 · queue + 2 · free KV + 3 · prefix, of the last scrape: llm-d-router's default.
    ScorerSum,
    /// Fewest requests in flight.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Uniform.
    Random,
}

impl Compared {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ScorerSum, Self::LeastRequest, Self::RoundRobin, Self::Random];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScorerSum => "scorer-sum",
            Self::LeastRequest => "least-request",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
        }
    }

    /// The policy of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}
