//! The result of a lookup.

/// Leading blocks held, by endpoint. Kept between lookups, so that they do not allocate.
#[derive(Debug, Default)]
pub struct Matches {
    /// By the endpoint's number; 0 for all that are not in `found`.
    runs: Vec<u16>,
    found: Vec<u32>,
}

impl Matches {
    /// Forgets the last lookup.
    pub fn clear(&mut self) {
        for id in self.found.drain(..) {
            self.runs[id as usize] = 0;
        }
    }

    /// Blocks from the start of the prompt that the endpoint with this [`number`](super::Held::number) holds.
    #[must_use]
    pub fn run(&self, number: u32) -> u32 {
        self.runs.get(number as usize).copied().unwrap_or(0).into()
    }

    /// Nobody holds anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn set(&mut self, number: u32, run: usize) {
        let place = number as usize;
        if self.runs.len() <= place {
            self.runs.resize(place + 1, 0);
        }
        if self.runs[place] == 0 {
            self.found.push(number);
        }
        self.runs[place] = u16::try_from(run).unwrap_or(u16::MAX);
    }
}
