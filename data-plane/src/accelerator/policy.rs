//! What a pool or an objective wants of accelerators, and what a single request wants.
//!
//! ```text
//! request headers ▶ objective's annotations ▶ pool's annotations ▶ by priority          (the first that says it)
//! ```
//!
//! | Annotation (InferencePool, InferenceObjective) | Request header (and peers' names) | Meaning |
//! |---|---|---|
//! | `signalbox.dev/optimize` | `x-signalbox-optimize` | `latency`: fewest seconds; `cost`: the cheapest class expected to meet the targets, a dearer one only when it does not; `balanced`: seconds, with dear classes counting for more |
//! | `signalbox.dev/ttft-target: 500ms` | `x-signalbox-ttft-ms`, `x-llm-d-slo-ttft-ms`, `x-slo-ttft-ms` | time to the first token; 2 s where one is needed and none given |
//! | `signalbox.dev/itl-target: 40ms` | `x-signalbox-itl-ms`, `x-llm-d-slo-tpot-ms`, `x-slo-tpot-ms` | time between tokens; 100 ms where one is needed and none given |
//! | `signalbox.dev/accelerators: h100,a100` | `x-signalbox-accelerators` | only these classes |
//! | `signalbox.dev/preferred-accelerators` | `x-signalbox-preferred-accelerators` | these first, in this order, while they are expected to meet the targets |
//! | `signalbox.dev/accelerator-prices: h100=4.1,l4=0.8` | – | dollars per device and hour; without any, slower by the table stands for cheaper |
//!
//! Without `optimize`, positive priorities optimise latency, negative ones cost (with four times the targets, so that
//! they stay on cheap classes for longer), and 0 is balanced. A class may be named in part: `h100` and `nvidia-h100`
//! both name `nvidia-h100-80gb`.

use std::collections::BTreeMap;

/// Targets where one is needed and none given, in milliseconds: to the first token, and between tokens.
pub const TTFT_MS: u32 = 2_000;
/// See [`TTFT_MS`].
pub const ITL_MS: u32 = 100;

/// What to optimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimize {
    /// Fewest seconds.
    Latency,
    /// Seconds and dollars.
    Balanced,
    /// The cheapest that meets the targets.
    Cost,
}

impl Optimize {
    /// Its word in annotations and headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Balanced => "balanced",
            Self::Cost => "cost",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "latency" => Some(Self::Latency),
            "balanced" => Some(Self::Balanced),
            "cost" => Some(Self::Cost),
            _ => None,
        }
    }
}

/// A pool's or an objective's policy; what is `None` or empty is not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What to optimise.
    pub optimize: Option<Optimize>,
    /// Target of the time to the first token in milliseconds.
    pub ttft_ms: Option<u32>,
    /// Target of the time between tokens in milliseconds.
    pub itl_ms: Option<u32>,
    /// The only classes that may be used, separated by commas.
    pub required: String,
    /// The classes to use first, in order, separated by commas.
    pub preferred: String,
    /// Dollars per device and hour, by class.
    pub prices: Vec<(String, f32)>,
}

impl Policy {
    /// This policy, with what it does not say taken from `lower`.
    #[must_use]
    pub fn over(self, lower: &Self) -> Self {
        let or = |own: String, other: &String| if own.is_empty() { other.clone() } else { own };
        Self {
            optimize: self.optimize.or(lower.optimize),
            ttft_ms: self.ttft_ms.or(lower.ttft_ms),
            itl_ms: self.itl_ms.or(lower.itl_ms),
            required: or(self.required, &lower.required),
            preferred: or(self.preferred, &lower.preferred),
            prices: if self.prices.is_empty() { lower.prices.clone() } else { self.prices },
        }
    }
}

/// What one request's headers want.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// What to optimise.
    pub optimize: Option<Optimize>,
    /// Target of the time to the first token in milliseconds.
    pub ttft_ms: Option<u32>,
    /// Target of the time between tokens in milliseconds.
    pub itl_ms: Option<u32>,
    /// The only classes that may be used.
    pub required: Option<String>,
    /// The classes to use first.
    pub preferred: Option<String>,
}

impl Wishes {
    /// Takes one header, by its lower-case name. Values that mean nothing are ignored; answers whether the name is one
    /// of ours.
    pub fn take(&mut self, name: &[u8], value: &[u8]) -> bool {
        let text = || std::str::from_utf8(value).ok().map(str::trim).filter(|text| !text.is_empty());
        let millis =
            || text()?.parse::<f32>().ok().filter(|ms| *ms >= 1.0 && *ms <= 3.6e6).map(|ms| ms as u32);
        match name {
            b"x-signalbox-optimize" => self.optimize = text().and_then(Optimize::parse),
            b"x-signalbox-ttft-ms" | b"x-llm-d-slo-ttft-ms" | b"x-slo-ttft-ms" => {
                self.ttft_ms = millis().or(self.ttft_ms);
            }
            b"x-signalbox-itl-ms" | b"x-llm-d-slo-tpot-ms" | b"x-slo-tpot-ms" => {
                self.itl_ms = millis().or(self.itl_ms);
            }
            b"x-signalbox-accelerators" => self.required = text().map(str::to_owned),
            b"x-signalbox-preferred-accelerators" => self.preferred = text().map(str::to_owned),
            _ => return false,
        }
        true
    }
}

/// The policy that `annotations` describe, and what of them could not be used, with the remedy.
#[must_use]
pub fn policy_from(annotations: &BTreeMap<String, String>) -> (Policy, Vec<String>) {
    let mut problems = Vec::new();
    let mut policy = Policy::default();
    for (name, value) in annotations {
        let known = name.strip_prefix("signalbox.dev/").unwrap_or_default();
        let problem = match known {
            "optimize" | "policy" => {
                policy.optimize = Optimize::parse(value);
                policy.optimize.is_none().then_some("write latency, balanced or cost")
            }
            "ttft-target" => target(&mut policy.ttft_ms, value),
            "itl-target" => target(&mut policy.itl_ms, value),
            "accelerators" => classes(&mut policy.required, value),
            "preferred-accelerators" => classes(&mut policy.preferred, value),
            "accelerator-prices" => {
                let (prices, bad) = prices(value);
                policy.prices = prices;
                bad.then_some("write class=dollars per device and hour, separated by commas: h100=4.1,l4=0.8")
            }
            _ => None,
        };
        problems.extend(problem.map(|remedy| format!("annotation {name}: {value:?} is not used; {remedy}")));
    }
    (policy, problems)
}

fn target(held: &mut Option<u32>, value: &str) -> Option<&'static str> {
    let text = value.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        _ => 0.0,
    };
    let millis = number.trim().parse::<f32>().unwrap_or(0.0) * factor;
    *held = (1.0..=3.6e6).contains(&millis).then_some(millis as u32);
    held.is_none().then_some("write a time such as 500ms or 2s, of at least 1ms")
}

fn classes(held: &mut String, value: &str) -> Option<&'static str> {
    let valid = |class: &str| {
        !class.is_empty() && class.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    if value.split(',').all(|class| valid(class.trim())) {
        value.clone_into(held);
        return None;
    }
    Some("write classes such as h100,a100, separated by commas")
}

fn prices(value: &str) -> (Vec<(String, f32)>, bool) {
    let mut bad = false;
    let mut prices = Vec::new();
    for pair in value.split(',') {
        let parsed = pair.split_once('=').and_then(|(class, price)| {
            let price: f32 = price.trim().parse().ok()?;
            (price.is_finite() && price > 0.0 && !class.trim().is_empty())
                .then(|| (class.trim().to_owned(), price))
        });
        bad |= parsed.is_none();
        prices.extend(parsed);
    }
    (prices, bad)
}

/// The only classes that a request with `wishes` may use under `policy`, separated by commas; empty: all.
#[must_use]
pub fn required<'a>(wishes: Option<&'a Wishes>, policy: Option<&'a Policy>) -> &'a str {
    let wished = wishes.and_then(|wishes| wishes.required.as_deref());
    wished.or(policy.map(|policy| &*policy.required)).unwrap_or("")
}

/// Dollars per device and hour of `class`, when one of `prices` is of it.
#[must_use]
pub fn price(prices: &[(String, f32)], class: &str) -> Option<f32> {
    prices.iter().find(|(name, _)| position(name, class).is_some()).map(|(_, price)| *price)
}

/// Whether `required` classes include `class`.
#[must_use]
pub fn allows(required: &str, class: &str) -> bool {
    required.is_empty() || position(required, class).is_some()
}

/// Where in `list` (separated by commas) `class` is named; an empty list names none.
#[must_use]
pub fn position(list: &str, class: &str) -> Option<usize> {
    list.split(',').position(|name| names(name.trim(), class))
}

/// Whether `name` means `class`: it is the class or its beginning up to a hyphen, with or without the maker.
pub(super) fn names(name: &str, class: &str) -> bool {
    let begins = |class: &str| {
        let head = class.as_bytes().get(..name.len());
        let ends = class.as_bytes().get(name.len()).is_none_or(|byte| *byte == b'-');
        head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes())) && ends
    };
    let model = || class.split_once('-').is_some_and(|(_, model)| begins(model));
    !name.is_empty() && (begins(class) || model())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("signalbox.dev/{key}"), (*value).to_owned())).collect()
    }

    #[test]
    fn annotations_make_a_policy() {
        let (policy, problems) = policy_from(&annotations(&[
            ("optimize", "cost"),
            ("ttft-target", "0.5s"),
            ("itl-target", "40ms"),
            ("accelerators", "h100, l4"),
            ("preferred-accelerators", "l4"),
            ("accelerator-prices", "h100=4.1, l4=0.8"),
            ("picker", "managed"),
        ]));
        assert!(problems.is_empty(), "{problems:?}");
        let expected = Policy {
            optimize: Some(Optimize::Cost),
            ttft_ms: Some(500),
            itl_ms: Some(40),
            required: "h100, l4".into(),
            preferred: "l4".into(),
            prices: vec![("h100".into(), 4.1), ("l4".into(), 0.8)],
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn mistakes_name_the_annotation_and_the_remedy() {
        for (key, value, remedy) in [
            ("optimize", "speed", "latency"),
            ("ttft-target", "500", "500ms"),
            ("itl-target", "-1ms", "500ms"),
            ("ttft-target", "NaNs", "500ms"),
            ("accelerators", "h100;l4", "commas"),
            ("preferred-accelerators", "", "commas"),
            ("accelerator-prices", "h100", "class=dollars"),
            ("accelerator-prices", "h100=-3", "class=dollars"),
        ] {
            let (policy, problems) = policy_from(&annotations(&[(key, value)]));
            assert_eq!(policy, Policy::default(), "{key}");
            assert_eq!(problems.len(), 1, "{key}");
            assert!(problems[0].contains(key) && problems[0].contains(remedy), "{problems:?}");
        }
    }

    #[test]
    fn headers_of_ours_and_of_peers_are_wishes() {
        let mut wishes = Wishes::default();
        for (name, value) in [
            ("x-slo-ttft-ms", "250"),
            ("x-llm-d-slo-tpot-ms", "33.5"),
            ("x-signalbox-optimize", "latency"),
            ("x-signalbox-accelerators", " h100 "),
            ("x-signalbox-ttft-ms", "soon"),
        ] {
            assert!(wishes.take(name.as_bytes(), value.as_bytes()), "{name}");
        }
        assert!(!wishes.take(b"x-other", b"1"));
        let expected = Wishes {
            optimize: Some(Optimize::Latency),
            ttft_ms: Some(250),
            itl_ms: Some(33),
            required: Some("h100".into()),
            preferred: None,
        };
        assert_eq!(wishes, expected);
    }

    #[test]
    fn classes_are_named_in_part() {
        for (list, class, expected) in [
            ("h100", "nvidia-h100-80gb", Some(0)),
            ("l4, NVIDIA-H100", "nvidia-h100-80gb", Some(1)),
            ("l4", "nvidia-l40s", None),
            ("l40s,l4", "nvidia-l4", Some(1)),
            ("nvidia", "nvidia-l4", Some(0)),
            ("", "nvidia-l4", None),
            ("h100", "", None),
            ("gaudi2", "gaudi2", Some(0)),
        ] {
            assert_eq!(position(list, class), expected, "{list} {class}");
        }
    }
}
