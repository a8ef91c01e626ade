//! Documents of a file as trees.
//!
//! ```text
//! events ─▶ node (recursive; depth ≤ MAX_DEPTH) ─▶ Document { root, problems }   ... next document, also after an error
//! ```

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
    rc::Rc,
};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag, options};

use super::{
    Position, Problem,
    node::{Content, Entry, Node},
};

/// Levels of nesting, aliases expanded. Kubernetes objects have about 15.
const MAX_DEPTH: usize = 64;
/// Values in one document: ten times those of a 10 MB list of objects, and a bound on memory.
const MAX_NODES: usize = 4_000_000;
/// Values that the aliases of one document may stand for.
const MAX_ALIASED: usize = 100_000;
/// Documents with syntax errors after which the rest of a file is not read.
const MAX_ERRORS: usize = 20;

/// One document.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// The value.
    pub(crate) root: Rc<Node<'a>>,
    /// What is wrong with it and did not stop the reading: repeated keys and the like.
    pub(crate) problems: Vec<Problem>,
}

/// The documents of a text, in order. A broken one is an error; those after it follow.
pub(crate) struct Documents<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node<'a>>>,
    problems: Vec<Problem>,
    nodes: usize,
    aliased: usize,
    errors: usize,
    done: bool,
}

impl<'a> Documents<'a> {
    /// Starts to read.
    pub(crate) fn new(text: &'a str) -> Self {
        let options = options! {
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            anchors: HashMap::new(),
            problems: Vec::new(),
            nodes: 0,
            aliased: 0,
            errors: 0,
            done: false,
        }
    }

    fn document(&mut self) -> Result<Option<Document<'a>>, Problem> {
        loop {
            match self.event()? {
                Some((Event::StreamEnd, _)) | None => return Ok(None),
                Some((Event::DocumentStart(..), _)) => break,
                Some(_) => {}
            }
        }
        self.anchors.clear();
        self.problems.clear();
        (self.nodes, self.aliased) = (0, 0);
        let root = self.next_node()?;
        Ok(Some(Document { root, problems: std::mem::take(&mut self.problems) }))
    }

    fn event(&mut self) -> Result<Option<(Event<'a>, Position)>, Problem> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, position(&span.start)))),
            Some(Err(error)) => Err(syntax(&error)),
        }
    }

    fn next_node(&mut self) -> Result<Rc<Node<'a>>, Problem> {
        match self.event()? {
            Some((event, at)) => self.node(event, at),
            None => Err(Problem::new(Position::default(), "the file ends in the middle of a value", "")),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Position) -> Result<Rc<Node<'a>>, Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(
                at,
                format!("the document has more than {MAX_NODES} values"),
                "split it with `---` lines",
            ));
        }
        let (anchor, content) = match event {
            Event::Alias(id) => return self.alias(id, at),
            Event::Scalar(text, style, anchor, tag) => (anchor, self.scalar(text, style, tag.as_deref(), at)),
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", at);
                (anchor, Content::List(self.items()?))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", at);
                (anchor, Content::Map(self.entries()?))
            }
            _ => return Err(Problem::new(at, "a value is missing here", "")),
        };
        let (weight, depth) = size(&content);
        if depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let node = Rc::new(Node { at, content, weight, depth });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<Rc<Node<'a>>, Problem> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(Problem::new(
                at,
                "an alias stands within the value that it names",
                "write the value out",
            ));
        };
        self.aliased = self.aliased.saturating_add(node.weight);
        if self.aliased > MAX_ALIASED {
            return Err(Problem::new(
                at,
                format!("the aliases of this document stand for more than {MAX_ALIASED} values"),
                "write the values out",
            ));
        }
        Ok(Rc::clone(node))
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
    ) -> Content<'a> {
        let core = tag.and_then(Tag::core_suffix);
        let is_text = core == Some("str") || tag.is_some_and(|tag| tag.original_parts() == ("", "!"));
        if tag.is_some() && !is_text && !matches!(core, Some("int" | "bool" | "float" | "null")) {
            self.problems.push(unwanted_tag(at));
        }
        Content::Scalar { text, plain: style == ScalarStyle::Plain && !is_text }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, allowed: &str, at: Position) {
        if tag.is_some_and(|tag| tag.core_suffix() != Some(allowed)) {
            self.problems.push(unwanted_tag(at));
        }
    }

    fn items(&mut self) -> Result<Vec<Rc<Node<'a>>>, Problem> {
        let mut items = Vec::new();
        while let Some((event, at)) = self.event()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, at)?);
        }
        Ok(items)
    }

    fn entries(&mut self) -> Result<Vec<Entry<'a>>, Problem> {
        let mut entries = Entries::default();
        let mut merges = Vec::new();
        while let Some((event, at)) = self.event()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, at)?;
            let value = self.next_node()?;
            match &key.content {
                Content::Scalar { .. } if merge => merges.push((at, value)),
                Content::Scalar { text, .. } => {
                    if let Some(first) = entries.add(Entry { key: text.clone(), at, value }) {
                        self.problems.push(repeated_key(text, at, first));
                    }
                }
                _ => self.problems.push(Problem::new(at, "a key must be text", "")),
            }
        }
        for (at, value) in merges {
            self.merge(&mut entries, &value, at);
        }
        Ok(entries.list)
    }

    /// Merge keys (`<<: *defaults`) add what is not written beside them; earlier mappings of a list win.
    fn merge(&mut self, entries: &mut Entries<'a>, value: &Rc<Node<'a>>, at: Position) {
        match &value.content {
            Content::Map(merged) => {
                for entry in merged {
                    // Written entries win: one that is there already is not a repeated key.
                    if !entries.index.contains_key(&entry.key) {
                        entries.add(entry.clone());
                    }
                }
            }
            Content::List(values) if values.iter().all(|v| matches!(v.content, Content::Map(_))) => {
                for value in values {
                    self.merge(entries, value, at);
                }
            }
            _ => self.problems.push(Problem::new(
                at,
                "a merge key (`<<`) takes a mapping or a list of them",
                "",
            )),
        }
    }

    /// Goes on at the next document after an error.
    fn recover(&mut self) {
        self.errors += 1;
        self.done = self.errors >= MAX_ERRORS || !matches!(self.parser.proceed_next_document(), Ok(true));
    }
}

impl<'a> Iterator for Documents<'a> {
    type Item = Result<Document<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.document() {
            Ok(Some(document)) => Some(Ok(document)),
            Ok(None) => {
                self.done = true;
                None
            }
            Err(problem) => {
                self.recover();
                Some(Err(problem))
            }
        }
    }
}

/// Entries of a mapping, with the places of their keys.
#[derive(Default)]
struct Entries<'a> {
    list: Vec<Entry<'a>>,
    index: HashMap<Cow<'a, str>, Position>,
}

impl<'a> Entries<'a> {
    /// Adds an entry, or returns the place of the one that has its key already.
    fn add(&mut self, entry: Entry<'a>) -> Option<Position> {
        match self.index.entry(entry.key.clone()) {
            hash_map::Entry::Occupied(first) => Some(*first.get()),
            hash_map::Entry::Vacant(free) => {
                free.insert(entry.at);
                self.list.push(entry);
                None
            }
        }
    }
}

/// Weight and depth of a node with this content.
fn size(content: &Content<'_>) -> (usize, usize) {
    let sum = |(weight, depth): (usize, usize), node: &Rc<Node<'_>>| {
        (weight.saturating_add(node.weight), depth.max(node.depth + 1))
    };
    match content {
        Content::Scalar { .. } => (1, 1),
        Content::List(items) => items.iter().fold((1, 1), sum),
        Content::Map(entries) => entries.iter().map(|entry| &entry.value).fold((1, 1), sum),
    }
}

fn position(marker: &Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col().saturating_add(1)) }
}

fn too_deep(at: Position) -> Problem {
    Problem::new(at, format!("values are nested more than {MAX_DEPTH} levels deep"), "")
}

fn unwanted_tag(at: Position) -> Problem {
    Problem::new(at, "a YAML tag (`!…`) means nothing in a Kubernetes manifest", "remove it")
}

fn repeated_key(key: &str, at: Position, first: Position) -> Problem {
    Problem::new(at, format!("key `{key}` is there twice, first on line {}", first.line), "keep one of them")
}

fn syntax(error: &ScanError) -> Problem {
    let at = position(error.marker());
    let remedy = match error.kind() {
        ErrorKind::RecursionLimitExceeded => return too_deep(at),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => "indent with spaces",
        ErrorKind::UnknownAnchor => "define the anchor (`&name`) before its use in the same document",
        _ => "check the indentation, quotes and brackets here and on the line above",
    };
    Problem::new(at, format!("not valid YAML: {}", error.info()), remedy)
}
