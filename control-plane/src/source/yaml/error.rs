//! Why a value cannot be read.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{Position, Problem};
use crate::source::field::{OwnedField, OwnedStep};

/// Why a value cannot be read; gains its place on the way out.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    /// What to do about it.
    pub(super) remedy: String,
    missing: Option<&'static str>,
    place: Option<(OwnedField, Position)>,
}

impl Error {
    /// An error that has no place yet.
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into(), missing: None, place: None }
    }

    /// Adds the place, unless a deeper one is known.
    pub(super) fn located(mut self, field: impl FnOnce() -> OwnedField, at: Position) -> Self {
        if self.place.is_none() {
            let mut field = field();
            field.extend(self.missing.map(|name| OwnedStep::Name(name.to_owned())));
            self.place = Some((field, at));
        }
        self
    }

    /// The problem to report.
    pub(super) fn into_problem(self) -> Problem {
        let (field, at) = self.place.unwrap_or_default();
        Problem { at, field, message: self.message, remedy: self.remedy }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        if message.starts_with("data did not match any variant") {
            return Self::new("is not a value that the API knows", "");
        }
        Self::new(message, "")
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}, not {found}"), "")
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new("is required", "add it");
        error.missing = Some(field);
        error
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(
            format!("{found:?} is not a word of the API"),
            format!("use one of {}", expected.join(", ")),
        )
    }
}
