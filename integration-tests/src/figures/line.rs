//! A figure that another process measures, as it prints it: a line of JSON.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::figure::{Aim, Figure};

/// Name, unit, aim, and what the baseline is of.
pub(super) type Definition = (&'static str, &'static str, Option<Aim>, &'static str);

/// What is printed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) baseline: Option<f64>,
    pub(super) how: String,
}

/// The figures' names.
pub(super) const fn names<const N: usize>(definitions: &[Definition; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = definitions[at].0;
        at += 1;
    }
    names
}

/// The figures of what a process printed.
///
/// # Errors
/// When a line is none, or a figure is not defined.
pub(super) fn figures(printed: Vec<u8>, definitions: &[Definition]) -> Result<Vec<Figure>> {
    let lines = String::from_utf8(printed)?;
    let line = |text: &str| -> Result<Figure> {
        figure(serde_json::from_str(text).with_context(|| text.to_owned())?, definitions)
    };
    lines.lines().map(line).collect()
}

/// The figure of a line.
///
/// # Errors
/// When it is not defined.
pub(super) fn figure(line: Line, definitions: &[Definition]) -> Result<Figure> {
    let found = definitions.iter().find(|(name, ..)| *name == line.name);
    let (name, unit, aim, of) = found.with_context(|| format!("{} is not defined", line.name))?;
    let figure = Figure { aim: *aim, ..Figure::new(name, line.value, unit, line.how) };
    Ok(match line.baseline {
        Some(value) => figure.baseline(of, value),
        None => figure,
    })
}
