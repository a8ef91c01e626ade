//! The order of one endpoint's event batches: which to apply, and what to do about those that are missing.
//!
//! ```text
//! live(n):  n = next ─▶ Apply     n < next ─▶ Old (a replay told it)    n > next ─▶ Replay{from: next}
//!           n not above the last live one ─▶ Restarted
//! replayed(n): n = next ─▶ Apply  n < next ─▶ Old                       n > next ─▶ Lost (the engine kept no more)
//! ```

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Apply the batch.
    Apply,
    /// It was applied before.
    Old,
    /// Batches from this number on are missing; ask for them; this one then counts as [`replayed`](Sequence::replayed).
    Replay {
        /// The first that is missing.
        from: u64,
    },
    /// What is held is not true any more: clear it, then apply the batch.
    Lost,
    /// The same, and the engine is another process.
    Restarted,
}

/// Numbers of batches start at 0 with the engine and have no gaps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    next: u64,
    last_live: Option<u64>,
    lost: bool,
}

impl Sequence {
    /// The number that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Every batch of the engine's life was applied.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.lost
    }

    /// Another connection to the same engine.
    pub fn connected(&mut self) {
        self.last_live = None;
    }

    /// A batch came as it was published.
    pub fn live(&mut self, number: u64) -> Step {
        if self.last_live.replace(number).is_some_and(|last| number <= last) {
            *self = Self { next: number + 1, last_live: Some(number), lost: number > 0 };
            return Step::Restarted;
        }
        match number.cmp(&self.next) {
            std::cmp::Ordering::Less => Step::Old,
            std::cmp::Ordering::Equal => {
                self.next += 1;
                Step::Apply
            }
            std::cmp::Ordering::Greater => Step::Replay { from: self.next },
        }
    }

    /// A batch came because it was asked for, or it is the live one before which others were.
    pub fn replayed(&mut self, number: u64) -> Step {
        match number.cmp(&self.next) {
            std::cmp::Ordering::Less => Step::Old,
            std::cmp::Ordering::Equal => {
                self.next += 1;
                Step::Apply
            }
            std::cmp::Ordering::Greater => self.skip_to(number),
        }
    }

    /// Something that the engine told is missing.
    pub fn incomplete(&mut self) {
        self.lost = true;
    }

    /// The engine's cache is empty: nothing that was missing matters.
    pub fn emptied(&mut self) {
        self.lost = false;
    }

    fn skip_to(&mut self, number: u64) -> Step {
        self.next = number + 1;
        self.lost = true;
        Step::Lost
    }
}
