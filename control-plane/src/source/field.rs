//! Paths of fields, built on the stack while walking an object and written out only when something is wrong.

use std::fmt::Write as _;

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Root,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A field within an object; children borrow their parents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    parent: Option<&'a Field<'a>>,
    step: Step<'a>,
}

/// A step of a path that outlives the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedStep {
    /// A member of a structure, or a key of a map.
    Name(String),
    /// An item of a list.
    Index(usize),
    /// A key of a map of labels and the like, shown in brackets.
    Key(String),
}

/// A path that outlives the walk.
pub(crate) type OwnedField = Vec<OwnedStep>;

impl<'a> Field<'a> {
    /// The object itself.
    pub(crate) const ROOT: Field<'static> = Field { parent: None, step: Step::Root };

    /// A member of a structure.
    pub(crate) fn name(&'a self, name: &'a str) -> Field<'a> {
        Field { parent: Some(self), step: Step::Name(name) }
    }

    /// An item of a list.
    pub(crate) fn at(&'a self, index: usize) -> Field<'a> {
        Field { parent: Some(self), step: Step::Index(index) }
    }

    /// A key of a map.
    pub(crate) fn key(&'a self, key: &'a str) -> Field<'a> {
        Field { parent: Some(self), step: Step::Key(key) }
    }

    /// The steps from the root.
    pub(crate) fn steps(self) -> OwnedField {
        let mut steps = self.parent.map(|parent| parent.steps()).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Name(name) => steps.push(OwnedStep::Name(name.into())),
            Step::Index(index) => steps.push(OwnedStep::Index(index)),
            Step::Key(key) => steps.push(OwnedStep::Key(key.into())),
        }
        steps
    }
}

/// Writes a path as `spec.rules[0].matches`; keys with dots or slashes are put in brackets, as kubectl does.
pub(crate) fn show(steps: &[OwnedStep]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            OwnedStep::Name(name) if !name.contains(['.', '/', '[']) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            OwnedStep::Name(key) | OwnedStep::Key(key) => {
                write!(text, "[{key}]").expect("writing to a String cannot fail");
            }
            OwnedStep::Index(index) => {
                write!(text, "[{index}]").expect("writing to a String cannot fail");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_names_items_and_keys() {
        let spec = Field::ROOT.name("spec");
        let rules = spec.name("rules");
        let rule = rules.at(2);
        assert_eq!(show(&rule.name("matches").steps()), "spec.rules[2].matches");
        let meta = Field::ROOT.name("metadata");
        let labels = meta.name("labels");
        assert_eq!(
            show(&labels.key("app.kubernetes.io/name").steps()),
            "metadata.labels[app.kubernetes.io/name]"
        );
    }
}
