//! Shorthand for conditions, and one rule for joining what was found into a message.

use super::report::ConditionReport;
use crate::api::ConditionStatus;

/// Findings beyond this many are counted, not told: a message has to be read, and the API bounds it at 32 KiB.
const TOLD: usize = 8;

/// A condition that holds.
pub(super) fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> ConditionReport {
    ConditionReport { kind, status: ConditionStatus::True, reason, message: message.into() }
}

/// A condition that does not hold.
pub(super) fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> ConditionReport {
    ConditionReport { kind, status: ConditionStatus::False, reason, message: message.into() }
}

/// Joins sentences; says how many were left out.
pub(super) fn sentences<S: AsRef<str>>(found: impl IntoIterator<Item = S>) -> String {
    let found: Vec<S> = found.into_iter().collect();
    let mut message = found.iter().take(TOLD).map(AsRef::as_ref).collect::<Vec<_>>().join("; ");
    if found.len() > TOLD {
        message.push_str(&format!("; and {} more", found.len() - TOLD));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_with_their_number() {
        assert_eq!(sentences(["a", "b"]), "a; b");
        assert!(sentences(["x"; 10]).ends_with("; and 2 more"));
    }
}
