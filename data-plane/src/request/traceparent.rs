//! `traceparent` of W3C Trace Context: to which trace a request belongs, and whether that is recorded.

/// The span that a request is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace; not 0.
    pub trace: u128,
    /// The span that sent the request; not 0.
    pub span: u64,
    /// Who sent it records the trace.
    pub sampled: bool,
}

impl Traceparent {
    /// Reads "00-<32 hex digits>-<16 hex digits>-<2 hex digits>"; later versions may have more behind it. None when it is
    /// none: the request then belongs to no trace.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value.trim_ascii()).ok()?;
        let hex = |at: std::ops::Range<usize>| {
            let digits = text.get(at)?;
            let valid = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if valid { u128::from_str_radix(digits, 16).ok() } else { None }
        };
        let (version, rest) = (hex(0..2)?, text.get(55..)?);
        let dashes = [2, 35, 52].iter().all(|at| text.as_bytes()[*at] == b'-');
        let ends = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let (trace, span) = (hex(3..35)?, u64::try_from(hex(36..52)?).ok()?);
        let valid = dashes && ends && version != 0xff && trace != 0 && span != 0;
        valid.then_some(Self { trace, span, sampled: hex(53..55)? & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_none_is_ignored() {
        let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        let of = |sampled| Some(Traceparent { trace, span: 0x00f0_67aa_0ba9_02b7, sampled });
        for (value, expected) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", of(true)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02", of(false)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", of(true)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", None),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01", None),
            ("", None),
        ] {
            assert_eq!(Traceparent::parse(value.as_bytes()), expected, "{value}");
        }
    }
}
