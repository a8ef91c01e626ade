//! Counters that model servers show, and what happened between two looks at them.

/// Sum and count of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Of all observations.
    pub sum: f64,
    /// Observations.
    pub count: f64,
}

/// Totals since the model server started. `None` is a counter that it does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Prompt tokens of requests whose prompt is computed.
    pub prompt_tokens: Option<f64>,
    /// Those of them that the prefix cache held.
    pub cached_tokens: Option<f64>,
    /// Tokens generated.
    pub generated_tokens: Option<f64>,
    /// Seconds from arrival to first token.
    pub first_token: Option<Sum>,
    /// Seconds between tokens.
    pub between_tokens: Option<Sum>,
    /// Output tokens of ended requests.
    pub output: Option<Sum>,
}

impl Totals {
    /// What was added since `before`. None when a counter went down or away: the server restarted, and nothing can be
    /// said about the time between.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        Some(Self {
            prompt_tokens: difference(self.prompt_tokens, before.prompt_tokens)?,
            cached_tokens: difference(self.cached_tokens, before.cached_tokens)?,
            generated_tokens: difference(self.generated_tokens, before.generated_tokens)?,
            first_token: sum_difference(self.first_token, before.first_token)?,
            between_tokens: sum_difference(self.between_tokens, before.between_tokens)?,
            output: sum_difference(self.output, before.output)?,
        })
    }
}

/// Outer None: the counter was reset. A counter that appears counts from zero, as histograms do at their first request.
fn difference(now: Option<f64>, before: Option<f64>) -> Option<Option<f64>> {
    match (now, before) {
        (None, None) => Some(None),
        (Some(now), before) => Some(now - before.unwrap_or(0.0)).filter(|added| *added >= 0.0).map(Some),
        (None, Some(_)) => None,
    }
}

fn sum_difference(now: Option<Sum>, before: Option<Sum>) -> Option<Option<Sum>> {
    let sum = difference(now.map(|s| s.sum), before.map(|s| s.sum))?;
    let count = difference(now.map(|s| s.count), before.map(|s| s.count))?;
    Some(sum.zip(count).map(|(sum, count)| Sum { sum, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_and_lost_counters_say_nothing_and_fresh_ones_count_from_zero() {
        let totals = |prompt: Option<f64>, ttft: Option<(f64, f64)>| Totals {
            prompt_tokens: prompt,
            first_token: ttft.map(|(sum, count)| Sum { sum, count }),
            ..Totals::default()
        };
        let table = [
            (totals(Some(5.0), None), totals(Some(2.0), None), Some(totals(Some(3.0), None))),
            (totals(Some(1.0), None), totals(Some(2.0), None), None),
            (totals(None, None), totals(Some(2.0), None), None),
            (totals(None, Some((2.0, 1.0))), totals(None, None), Some(totals(None, Some((2.0, 1.0))))),
            (totals(None, Some((2.0, 1.0))), totals(None, Some((1.0, 3.0))), None),
            (totals(None, None), totals(None, None), Some(totals(None, None))),
        ];
        for (now, before, expected) in table {
            assert_eq!(now.since(&before), expected, "{now:?} since {before:?}");
        }
    }
}
