//! Typed reading of a tree: a serde deserializer that knows the path and the place of everything.
//!
//! ```text
//! Reader ─▶ At { node } ─▶ derived Deserialize impls ─▶ T, or the first Problem
//!    └ unknown: fields that no struct has, all of them
//! ```
//!
//! A field that is written as null counts as absent, as the API server prunes it.

use std::cell::RefCell;

use serde::de::{
    DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::BorrowedStrDeserializer,
};

use super::{
    Content, Node, Position, Problem,
    error::Error,
    node::Entry,
    scalar::{self, Meaning},
    suggest,
};
use crate::source::field::{OwnedField, OwnedStep};

/// Fields of `metadata` that the API has and Signalbox does not read.
const UNREAD_METADATA: [&str; 6] = [
    "generateName",
    "selfLink",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// Where unknown fields are problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In the whole object, whose type is read whole; `status` aside.
    Whole,
    /// In `metadata` only: of the rest, the type carries only what is read.
    Metadata,
}

#[derive(Clone, Copy)]
enum Step<'n> {
    Key(&'n str),
    Index(usize),
}

/// Reads one object.
pub(crate) struct Reader<'n> {
    scope: Scope,
    path: RefCell<Vec<Step<'n>>>,
    unknown: RefCell<Vec<Problem>>,
}

impl<'n> Reader<'n> {
    /// A reader that reports unknown fields within `scope`.
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, path: RefCell::default(), unknown: RefCell::default() }
    }

    /// Reads an object through `read`; returns it unless something is wrong, and the problems.
    pub(crate) fn read<T>(
        self,
        root: &'n Node<'n>,
        read: impl FnOnce(At<'n, '_>) -> Result<T, Error>,
    ) -> (Option<T>, Vec<Problem>) {
        let result = read(At { node: root, reader: &self });
        let mut problems = self.unknown.take();
        match result {
            Ok(value) => (Some(value), problems),
            Err(error) => {
                problems.push(error.located(OwnedField::new, root.at).into_problem());
                (None, problems)
            }
        }
    }

    /// Notes that the struct at the current path has no field of the entry's name.
    fn unknown(&self, entry: &Entry<'_>, fields: &[&str]) {
        let path = self.path.borrow();
        let skip = match path.first() {
            None => {
                ["apiVersion", "kind", "status"].contains(&entry.key.as_ref())
                    || self.scope == Scope::Metadata
            }
            Some(Step::Key("metadata")) => UNREAD_METADATA.contains(&entry.key.as_ref()),
            Some(Step::Key("status")) => true,
            Some(_) => self.scope == Scope::Metadata,
        };
        if skip {
            return;
        }
        let mut field = owned(&path);
        field.push(OwnedStep::Name(entry.key.to_string()));
        let remedy = suggest::nearest(&entry.key, fields).map_or_else(
            || format!("remove it; the fields here are {}", fields.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        let message = "this field does not exist".to_owned();
        self.unknown.borrow_mut().push(Problem { at: entry.at, field, message, remedy });
    }

    /// Reads a child with the path extended, so that what goes wrong in it knows its path.
    fn child<S: DeserializeSeed<'n>>(
        &self,
        step: Step<'n>,
        at: Position,
        node: &'n Node<'n>,
        seed: S,
    ) -> Result<S::Value, Error> {
        self.path.borrow_mut().push(step);
        let result = seed
            .deserialize(At { node, reader: self })
            .map_err(|error| error.located(|| owned(&self.path.borrow()), at));
        self.path.borrow_mut().pop();
        result
    }
}

fn owned(path: &[Step<'_>]) -> OwnedField {
    path.iter()
        .map(|step| match step {
            Step::Key(key) => OwnedStep::Name((*key).to_owned()),
            Step::Index(index) => OwnedStep::Index(*index),
        })
        .collect()
}

/// A deserializer for one node.
#[derive(Clone, Copy)]
pub(crate) struct At<'n, 'r> {
    node: &'n Node<'n>,
    reader: &'r Reader<'n>,
}

impl<'n> At<'n, '_> {
    fn expected(&self, what: &str) -> Error {
        let found = match &self.node.content {
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
            Content::Scalar { .. } if self.node.is_null() => "empty".to_owned(),
            Content::Scalar { text, plain } => match (plain, scalar::meaning(text)) {
                (true, Meaning::Int(_) | Meaning::Float(_)) => format!("the number {text}"),
                (true, Meaning::Bool(_)) => format!("the boolean {text}"),
                _ => format!("the text {:?}", shorten(text)),
            },
        };
        Error::new(format!("must be {what}, not {found}"), "")
    }

    /// The text and meaning of an unquoted scalar.
    fn plain(&self) -> Option<(&'n str, Meaning)> {
        match &self.node.content {
            Content::Scalar { text, plain: true } => Some((text, scalar::meaning(text))),
            _ => None,
        }
    }

    fn integer(&self, min: i128, max: i128) -> Result<i128, Error> {
        let (text, int) = match self.plain() {
            Some((text, Meaning::Int(int))) => (text, int),
            _ => {
                let mut error = self.expected("a whole number");
                if let Content::Scalar { text, plain: false } = &self.node.content
                    && matches!(scalar::meaning(text), Meaning::Int(_))
                {
                    error.remedy = "remove the quotes".into();
                }
                return Err(error);
            }
        };
        if (min..=max).contains(&int) {
            return Ok(int);
        }
        Err(Error::new(format!("{text} is out of range"), format!("use a number from {min} to {max}")))
    }

    fn string(&self) -> Result<&'n str, Error> {
        match &self.node.content {
            Content::Scalar { text, plain: true } => match scalar::meaning(text) {
                Meaning::Text => Ok(text),
                Meaning::Null => Err(self.expected("text")),
                _ => {
                    let mut error = self.expected("text");
                    error.remedy = format!("put it in quotes: \"{text}\"");
                    Err(error)
                }
            },
            Content::Scalar { text, plain: false } => Ok(text),
            _ => Err(self.expected("text")),
        }
    }

    fn list<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.content {
            Content::List(items) => {
                visitor.visit_seq(Items { items: items.iter(), index: 0, reader: self.reader })
            }
            _ => Err(self.expected("a list")),
        }
    }

    fn map<V: Visitor<'n>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.content {
            Content::Map(entries) => visitor.visit_map(Members {
                entries: entries.iter(),
                value: None,
                fields,
                reader: self.reader,
            }),
            _ => Err(self.expected("a mapping")),
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
            let int = self.integer(<$type>::MIN.into(), <$type>::MAX.into())?;
            visitor.$visit(<$type>::try_from(int).expect("checked to be in range"))
        }
    )*};
}

impl<'n> Deserializer<'n> for At<'n, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.content {
            Content::List(_) => self.list(visitor),
            Content::Map(_) => self.map(None, visitor),
            Content::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Content::Scalar { text, plain: true } => match scalar::meaning(text) {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Bool(value) => visitor.visit_bool(value),
                Meaning::Float(value) => visitor.visit_f64(value),
                Meaning::Text => visitor.visit_borrowed_str(text),
                Meaning::Int(value) => match (u64::try_from(value), i64::try_from(value)) {
                    (Ok(value), _) => visitor.visit_u64(value),
                    (_, Ok(value)) => visitor.visit_i64(value),
                    _ => Err(Error::new(format!("{text} is out of range"), "")),
                },
            },
        }
    }

    fn deserialize_bool<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.plain().and_then(|(text, _)| scalar::boolean(text));
        value.map_or_else(|| Err(self.expected("true or false")), |value| visitor.visit_bool(value))
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    }

    fn deserialize_f32<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.plain() {
            Some((_, Meaning::Float(_) | Meaning::Int(_))) => self.deserialize_any(visitor),
            _ => Err(self.expected("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.string()?)
    }

    fn deserialize_string<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.string()?)
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(self.string()?))
    }

    fn deserialize_ignored_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'n>>
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'n, 'r, I> {
    items: I,
    index: usize,
    reader: &'r Reader<'n>,
}

impl<'n, I: Iterator<Item = &'n std::rc::Rc<Node<'n>>>> SeqAccess<'n> for Items<'n, '_, I> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let step = Step::Index(self.index);
        self.index += 1;
        self.reader.child(step, item.at, item, seed).map(Some)
    }
}

struct Members<'n, 'r, I> {
    entries: I,
    value: Option<&'n Entry<'n>>,
    fields: Option<&'static [&'static str]>,
    reader: &'r Reader<'n>,
}

impl<'n, I: Iterator<Item = &'n Entry<'n>>> MapAccess<'n> for Members<'n, '_, I> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        for entry in self.entries.by_ref() {
            if let Some(fields) = self.fields
                && !fields.contains(&entry.key.as_ref())
            {
                self.reader.unknown(entry, fields);
                continue;
            }
            if entry.value.is_null() {
                continue;
            }
            self.value = Some(entry);
            return seed.deserialize(BorrowedStrDeserializer::new(&entry.key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self.value.take().expect("serde asks for a key before its value");
        self.reader.child(Step::Key(&entry.key), entry.at, &entry.value, seed)
    }
}

/// The start of a text, for messages.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
