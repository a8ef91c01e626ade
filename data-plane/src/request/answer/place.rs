//! Where in a document a reader is: which members it is inside of.

/// Members deeper than this do not matter.
const DEPTH: usize = 5;

/// A member that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Other,
    Model,
    /// An object that an event carries: `response` or `message`.
    Envelope,
    Usage,
    Details,
    Count(Count),
}

/// A number of `usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Prompt,
    Cached,
    CacheRead,
    CacheWritten,
    Output,
}

/// What the value at a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Model,
    Number(Count),
}

impl Name {
    fn of(key: &[u8]) -> Self {
        match key {
            b"model" => Self::Model,
            b"response" | b"message" => Self::Envelope,
            b"usage" | b"meta_info" => Self::Usage,
            b"prompt_tokens_details" | b"input_tokens_details" => Self::Details,
            b"prompt_tokens" | b"input_tokens" => Self::Count(Count::Prompt),
            b"cached_tokens" => Self::Count(Count::Cached),
            b"cache_read_input_tokens" => Self::Count(Count::CacheRead),
            b"cache_creation_input_tokens" => Self::Count(Count::CacheWritten),
            b"completion_tokens" | b"output_tokens" => Self::Count(Count::Output),
            _ => Self::Other,
        }
    }
}

#[derive(Debug)]
pub(super) struct Place {
    /// Lines are documents of their own.
    events: bool,
    depth: usize,
    /// By depth: the value there is an object.
    objects: [bool; DEPTH],
    /// By depth: the member that is read there.
    names: [Name; DEPTH],
    key_next: bool,
    slot: Option<Slot>,
}

impl Place {
    pub(super) fn new(events: bool) -> Self {
        let (objects, names) = ([false; DEPTH], [Name::Other; DEPTH]);
        Self { events, depth: 0, objects, names, key_next: false, slot: None }
    }

    /// A string here is a key that may matter.
    pub(super) fn at_key(&self) -> bool {
        self.key_next && self.depth <= DEPTH
    }

    /// What the value here is.
    pub(super) fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// The value was read.
    pub(super) fn taken(&mut self) {
        self.slot = None;
    }

    /// Outside of everything.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.events);
    }

    /// A string ended here.
    pub(super) fn string(&mut self, text: &[u8]) {
        self.slot = None;
        if self.at_key()
            && let Some(name) = self.names.get_mut(self.depth.wrapping_sub(1))
        {
            *name = Name::of(text);
        }
    }

    /// A byte outside of strings.
    pub(super) fn byte(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                (self.key_next, self.slot) = (false, None);
            }
            b',' => {
                self.key_next = self.depth > 0 && self.objects.get(self.depth - 1) == Some(&true);
                self.slot = None;
            }
            b':' if self.key_next => {
                self.key_next = false;
                self.slot = self.wanted();
            }
            b'\n' if self.events => self.restart(),
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => self.slot = None,
        }
    }

    fn open(&mut self, object: bool) {
        if let Some(place) = self.objects.get_mut(self.depth) {
            *place = object;
            self.names[self.depth] = Name::Other;
        }
        self.depth += 1;
        (self.key_next, self.slot) = (object, None);
    }

    fn wanted(&self) -> Option<Slot> {
        let names = self.names.get(..self.depth)?;
        let names = names.strip_prefix(&[Name::Envelope]).unwrap_or(names);
        match names {
            [Name::Model] => Some(Slot::Model),
            [Name::Usage, Name::Count(count)]
            | [Name::Usage, Name::Details, Name::Count(count @ Count::Cached)] => Some(Slot::Number(*count)),
            _ => None,
        }
    }
}
