//! One measured number, with what is needed to judge it.

use std::fmt;

/// A measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its fixed name.
    pub name: &'static str,
    /// The value, in `unit`.
    pub value: f64,
    /// Unit, as printed.
    pub unit: &'static str,
    /// What it should be.
    pub aim: Option<Aim>,
    /// The same measurement of something else, in the same run.
    pub baseline: Option<Baseline>,
    /// How it was measured, in one line.
    pub how: String,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Exactly this.
    Exactly(f64),
}

/// A number to compare a figure with.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// What was measured.
    pub of: &'static str,
    /// Its value, in the figure's unit.
    pub value: f64,
}

impl Figure {
    /// A figure without aim and baseline.
    pub fn new(name: &'static str, value: f64, unit: &'static str, how: impl Into<String>) -> Self {
        Self { name, value, unit, aim: None, baseline: None, how: how.into() }
    }

    /// With what it should be.
    #[must_use]
    pub fn aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// With a number to compare it with.
    #[must_use]
    pub fn baseline(self, of: &'static str, value: f64) -> Self {
        Self { baseline: Some(Baseline { of, value }), ..self }
    }

    /// Whether it is as it should be; `None` when nothing is asked of it.
    pub fn is_met(&self) -> Option<bool> {
        self.aim.map(|aim| match aim {
            Aim::AtMost(most) => self.value <= most,
            Aim::AtLeast(least) => self.value >= least,
            Aim::Exactly(value) => (self.value - value).abs() < f64::EPSILON,
        })
    }
}

/// `name value unit`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, number(self.value), self.unit)
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(value) => write!(f, "≤ {}", number(*value)),
            Self::AtLeast(value) => write!(f, "≥ {}", number(*value)),
            Self::Exactly(value) => write!(f, "{}", number(*value)),
        }
    }
}

/// A value with three significant digits after leading zeros, and whole numbers as such.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let digits = match value.abs() {
        large if large >= 100.0 => 1,
        middle if middle >= 10.0 => 2,
        small if small >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_with_few_digits() {
        for (value, text) in
            [(0.0, "0"), (3.0, "3"), (0.012_34, "0.0123"), (1.0404, "1.040"), (12.345, "12.35")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(Figure::new("a_ms", 1.5, "ms", "").to_string(), "a_ms 1.500 ms");
    }

    #[test]
    fn aims() {
        let figure = Figure::new("a", 1.5, "ms", "");
        assert_eq!(figure.is_met(), None);
        assert_eq!(figure.clone().aim(Aim::AtMost(1.5)).is_met(), Some(true));
        assert_eq!(figure.clone().aim(Aim::AtMost(1.4)).is_met(), Some(false));
        assert_eq!(figure.clone().aim(Aim::AtLeast(1.6)).is_met(), Some(false));
        assert_eq!(figure.aim(Aim::Exactly(1.0)).is_met(), Some(false));
    }
}
