//! How much a prompt is, and the bytes that tell it from others.

use std::ops::Range;

use smallvec::SmallVec;

use super::api::Part;
use super::media::{self, Kind, Media};
use super::scan::Tally;

/// A prompt's parts, and what is in them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Tools, system and prompt, in the order in which chat templates put them.
    parts: [Size; 3],
    /// In the order of the body.
    media: SmallVec<[Media; 1]>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Size {
    /// Where the member's value is in the body.
    at: Range<usize>,
    /// Bytes of text; escapes count as written.
    text: usize,
    /// Token ids.
    ids: usize,
}

/// Bytes of a prompt, as they are compared with those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text and the JSON around it.
    Text(&'a [u8]),
    /// An image or the like, of that many tokens.
    Media(&'a [u8], u32),
}

impl Prompt {
    /// Bytes of text.
    pub fn text(&self) -> usize {
        self.parts.iter().map(|part| part.text).sum()
    }

    /// Tokens that do not depend on the tokenizer: ids, and what media are estimated to be.
    pub fn other_tokens(&self) -> usize {
        let ids: usize = self.parts.iter().map(|part| part.ids).sum();
        ids + self.media.iter().map(|media| media.tokens as usize).sum::<usize>()
    }

    /// Estimated tokens, for text of `bytes_per_token`.
    pub fn tokens(&self, bytes_per_token: f32) -> u32 {
        ((self.text() as f32 / bytes_per_token).ceil() as u32)
            .saturating_add(u32::try_from(self.other_tokens()).unwrap_or(u32::MAX))
    }

    /// Bytes of the body that [`pieces`](Self::pieces) are of.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.at.len()).sum()
    }

    /// The prompt's tokens, when it is one list of token ids and nothing else; empty otherwise.
    pub fn ids(&self, body: &[u8]) -> Vec<u32> {
        let [tools, system, prompt] = &self.parts;
        let alone = tools.at.is_empty() && system.at.is_empty() && prompt.text == 0 && self.media.is_empty();
        if !alone || prompt.ids == 0 {
            return Vec::new();
        }
        let list = body[prompt.at.clone()].strip_prefix(b"[").and_then(|list| list.strip_suffix(b"]"));
        let ids = |list: &[u8]| {
            let mut ids = Vec::with_capacity(prompt.ids);
            for id in list.split(|byte| *byte == b',') {
                ids.push(std::str::from_utf8(id.trim_ascii()).ok()?.parse().ok()?);
            }
            Some(ids)
        };
        list.and_then(ids).unwrap_or_default()
    }

    /// Names the prompt's bytes in `body`: tools first, as templates do, wherever they are in the body.
    pub fn pieces<'a>(&self, body: &'a [u8], mut piece: impl FnMut(Piece<'a>)) {
        for part in &self.parts {
            let mut from = part.at.start;
            for media in self.media.iter().filter(|media| part.at.contains(&media.at.start)) {
                piece(Piece::Text(&body[from..media.at.start]));
                piece(Piece::Media(&body[media.at.clone()], media.tokens));
                from = media.at.end;
            }
            piece(Piece::Text(&body[from..part.at.end]));
        }
    }

    /// Where tools, system and prompt are in the body; those that are not there are empty.
    pub(super) fn places(&self) -> [Range<usize>; 3] {
        [0, 1, 2].map(|part| self.parts[part].at.clone())
    }

    /// Starts `part` anew; the tally counts it.
    pub(super) fn count(&mut self, part: Part) -> Count<'_> {
        let Self { parts, media } = self;
        let size = &mut parts[part as usize];
        media.retain(|media| !size.at.contains(&media.at.start));
        *size = Size::default();
        Count { size, media, kind: None, whole: part == Part::Tools }
    }

    /// The part's value is at `at`.
    pub(super) fn place(&mut self, part: Part, at: Range<usize>) {
        let size = &mut self.parts[part as usize];
        if part == Part::Tools {
            // Templates print tools as JSON, names of members included.
            size.text = at.len();
        }
        size.at = at;
    }
}

/// Counts one part.
pub(super) struct Count<'a> {
    size: &'a mut Size,
    media: &'a mut SmallVec<[Media; 1]>,
    /// What the nearest "type" or "media_type" said.
    kind: Option<Kind>,
    whole: bool,
}

/// Members whose strings do not become tokens of their own.
fn is_structure(key: &[u8]) -> bool {
    let ids = [&b"id"[..], b"call_id", b"tool_call_id", b"tool_use_id", b"signature", b"encrypted_content"];
    matches!(key, b"role" | b"status" | b"detail" | b"format" | b"filename" | b"file_id")
        || ids.contains(&key)
}

/// What a string of a prompt is to a model.
pub(super) enum Content {
    /// It orders others.
    None,
    /// An image or the like, of that many tokens.
    Media(u32),
    Text,
}

/// What the string `text` under the nearest `key` is; `kind` is what the nearest type said.
pub(super) fn content(key: &[u8], text: &[u8], kind: &mut Option<Kind>) -> Content {
    if is_structure(key) {
        return Content::None;
    }
    if matches!(key, b"type" | b"media_type") {
        // The type of an Anthropic source says how it comes, not what it is.
        if !matches!(text, b"base64" | b"url" | b"file") {
            *kind = Kind::of(text);
        }
        return Content::None;
    }
    media::tokens(key, text, *kind).map_or(Content::Text, Content::Media)
}

impl Tally for Count<'_> {
    fn text(&mut self, key: &[u8], text: &[u8], at: usize) {
        if self.whole {
            return;
        }
        match content(key, text, &mut self.kind) {
            Content::None => {}
            Content::Media(tokens) => self.media.push(Media { at: at..at + text.len(), tokens }),
            Content::Text => self.size.text += text.len(),
        }
    }

    fn number(&mut self, key: &[u8]) {
        if key.is_empty() {
            self.size.ids += 1;
        }
    }
}
