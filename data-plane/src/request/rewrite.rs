//! Model rewrites: which name a request is sent on with, and the body that carries it.
//!
//! ```text
//! first rule that matches the client's name ─ by weight ─▶ target      no rule ─▶ the header's name, else the client's
//! ```
//! Rules come in order of precedence: exact before generic, then the older object, as the control plane sorted them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::answer::Restore;
use crate::pool::RewriteRule;

/// The model that a request for `model` is sent on with, when it is another one: that of the first matching rule, by
/// weight, else the one that a header `named`.
pub fn target<'a>(
    rules: &'a [RewriteRule],
    named: Option<&'a str>,
    model: &str,
    rng: &mut fastrand::Rng,
) -> Option<&'a str> {
    let rule = rules.iter().find(|r| r.models.is_empty() || r.models.iter().any(|m| m == model));
    rule.map_or(named, |rule| drawn(rule, rng)).filter(|target| *target != model)
}

fn drawn<'a>(rule: &'a RewriteRule, rng: &mut fastrand::Rng) -> Option<&'a str> {
    let total: u64 = rule.targets.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut at = if total == 0 { 0 } else { rng.u64(0..total) };
    for (target, weight) in &rule.targets {
        match at.checked_sub(u64::from(*weight)) {
            Some(rest) if total > 0 => at = rest,
            _ => return Some(target),
        }
    }
    None
}

/// `body` with the JSON string at `model_at` replaced; every other byte stays.
pub fn replace(body: &[u8], model_at: Range<usize>, model: &str) -> Bytes {
    let value = serde_json::to_string(model).expect("a string is always JSON");
    let mut rewritten = BytesMut::with_capacity(body.len() - model_at.len() + value.len());
    rewritten.extend_from_slice(&body[..model_at.start]);
    rewritten.extend_from_slice(value.as_bytes());
    rewritten.extend_from_slice(&body[model_at.end..]);
    rewritten.freeze()
}

/// What to put back in the answer to a body whose model, at `model_at`, was replaced by `target`.
pub fn restore(body: &[u8], model_at: Range<usize>, target: &str) -> Restore {
    Restore { sent: target.to_owned(), asked: Bytes::copy_from_slice(&body[model_at]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse::parse;

    fn rule(models: &[&str], targets: &[(&str, u32)]) -> RewriteRule {
        RewriteRule {
            source: "rewrite".to_owned(),
            models: models.iter().map(|&m| m.to_owned()).collect(),
            targets: targets.iter().map(|&(m, w)| (m.to_owned(), w)).collect(),
        }
    }

    #[test]
    fn the_first_matching_rule_applies_by_weight() {
        let rules = [rule(&["a", "b"], &[("x", 9), ("y", 1), ("never", 0)]), rule(&[], &[("other", 1)])];
        let mut rng = fastrand::Rng::with_seed(7);
        let mut count = |model: &str, wanted: &str| {
            (0..1000).filter(|_| target(&rules, None, model, &mut rng) == Some(wanted)).count()
        };
        assert!((850..950).contains(&count("a", "x")));
        assert!((50..150).contains(&count("b", "y")));
        assert_eq!(count("a", "never"), 0);
        assert_eq!(count("c", "other"), 1000, "a rule without models is for every request");
        assert_eq!(
            target(&[rule(&[], &[("m", 1)])], Some("x"), "m", &mut rng),
            None,
            "equal names change nothing"
        );
        let a = [rule(&["a"], &[("x", 1)])];
        assert_eq!(target(&a, None, "b", &mut rng), None);
        assert_eq!(target(&a, Some("y"), "b", &mut rng), Some("y"), "the header, where no rule matches");
        assert_eq!(target(&a, Some("y"), "a", &mut rng), Some("x"), "a rule wins over the header");
        assert_eq!(target(&a, Some("b"), "b", &mut rng), None);
    }

    #[test]
    fn only_the_value_of_the_top_level_model_changes() {
        let body = br#"{ "z":{"model":"a"}, "model" : "a" ,"b":"a"}"#;
        let found = parse(b"/v1/completions", body);
        let rewritten = replace(body, found.model_at, "long \"name\"");
        assert_eq!(rewritten, br#"{ "z":{"model":"a"}, "model" : "long \"name\"" ,"b":"a"}"#[..]);
    }
}
