//! What a chat template adds to the texts of its messages: so many tokens at the beginning and the end, and so many for
//! each message.
//!
//! ```text
//! reported tokens − counted ones, messages ─▶ faded sums ─▶ least squares, beside the usual template ─▶ begin + each · n
//! ```
//! Templates are such lines but for dates, names of roles, and what they do with tools.

/// ChatML, and most others: a beginning, the opening of the answer, and five tokens around each message.
const USUAL: (f64, f64) = (4.0, 5.0);
/// How many samples the usual template is worth.
const WORTH: f64 = 0.05;
/// Of what was learned, this is kept at each sample.
const KEEP: f64 = 63.0 / 64.0;
/// Tokens that a sample may be away from the line; more than that counts as this.
const FARTHEST: f64 = 512.0;

/// A line, learned from samples. Without any it is the usual template.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Template {
    one: f64,
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
}

impl Template {
    pub(super) fn at(&self, messages: u32) -> i64 {
        self.exactly(messages).round() as i64
    }

    pub(super) fn learn(&mut self, messages: u32, more: i64) {
        let x = f64::from(messages);
        let expected = self.exactly(messages);
        let y = (more as f64).clamp(expected - FARTHEST, expected + FARTHEST);
        let fade = |sum: &mut f64, sample: f64| *sum = sum.mul_add(KEEP, sample);
        fade(&mut self.one, 1.0);
        fade(&mut self.x, x);
        fade(&mut self.xx, x * x);
        fade(&mut self.y, y);
        fade(&mut self.xy, x * y);
    }

    fn exactly(&self, messages: u32) -> f64 {
        let (one, xx) = (self.one + WORTH, self.xx + WORTH);
        let (y, xy) = (WORTH.mul_add(USUAL.0, self.y), WORTH.mul_add(USUAL.1, self.xy));
        // At least WORTH², because x² is never above one · xx.
        let determinant = one.mul_add(xx, -self.x * self.x);
        let each = one.mul_add(xy, -self.x * y) / determinant;
        let begin = xx.mul_add(y, -self.x * xy) / determinant;
        each.mul_add(f64::from(messages), begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_is_nearly_believed_and_one_odd_one_is_not() {
        let mut template = Template::default();
        assert_eq!((template.at(1), template.at(3)), (9, 19));
        template.learn(2, 60);
        assert!((template.at(2) - 60).abs() <= 1, "{}", template.at(2));
        for _ in 0..50 {
            template.learn(2, 60);
        }
        template.learn(2, 1_000_000);
        assert!(template.at(2) < 80, "{}", template.at(2));
    }

    #[test]
    fn a_template_that_changes_is_followed() {
        let mut template = Template::default();
        for messages in (1..30).cycle().take(200) {
            template.learn(messages, 10 + 4 * i64::from(messages));
        }
        for messages in (1..30).cycle().take(300) {
            template.learn(messages, 2 + 6 * i64::from(messages));
        }
        for messages in [1, 10, 100] {
            let (at, expected) = (template.at(messages), 2 + 6 * i64::from(messages));
            assert!((at - expected).abs() <= 2, "{messages}: {at}");
        }
    }
}
