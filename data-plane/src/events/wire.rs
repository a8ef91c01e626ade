//! Event batches as engines write them: MessagePack, where batch and event are lists (by position) or maps (by name).
//!
//! ```text
//! [ts, [event, …], rank]        ["BlockStored", hashes, parent, tokens, block_size, lora_id, medium, lora_name, extra_keys,
//! {ts, events, data_parallel_rank}                group_idx, kind, …]   ["BlockRemoved", hashes, medium, group_idx, …]
//!                               ["AllBlocksCleared"]                    {"type": "BlockStored", "block_hashes": …}
//! ```
//! Versions of vLLM add fields at the end and leave out trailing ones; from 0.33 on (SGLang 0.5.23) events are maps in a list.
//! Of hybrid models, one group of layers is followed: the first that attends to the whole prompt. Copies that a connector
//! tells without a group are of it. SGLang's trees for EAGLE are over pairs of tokens, of which the first are the block's.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::prefix::precise::{Event, Medium, Stored, extra_of};

/// Lists in lists that are read, so that a peer cannot use up the stack; extra keys of images are at 6.
const DEPTH: usize = 32;

/// What an engine tells at a time.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rank: Option<u32>,
    pub(super) events: Vec<Event>,
    /// Blocks were stored, but of no group that attends to the whole prompt.
    pub(super) missed: bool,
}

/// Reads the batches of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The group that is followed, when its engine tells groups apart.
    group: Option<u32>,
}

impl Decoder {
    pub(super) fn decode(&mut self, payload: &[u8]) -> Result<Batch, rmp_serde::decode::Error> {
        let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
        reader.set_max_depth(DEPTH);
        let raw = RawBatch::deserialize(&mut reader)?;
        let stores = raw.events.iter().any(|told| told.tag == "BlockStored");
        let events: Vec<_> = raw.events.into_iter().filter_map(|told| self.event(told)).collect();
        let missed = stores && self.group.is_none() && !events.iter().any(|e| matches!(e, Event::Stored(_)));
        Ok(Batch { rank: raw.rank, events, missed })
    }

    fn event(&mut self, told: Fields) -> Option<Event> {
        let medium = Medium::of(told.medium.as_deref());
        let hashes = || told.hashes.iter().map(|hash| hash.0).collect();
        match told.tag.as_str() {
            "BlockStored" => {
                let whole = told.kind.as_deref().is_none_or(|kind| {
                    (kind.contains("full") || kind.contains("mla")) && !kind.contains("sliding")
                });
                if told.group.is_some() && whole {
                    self.group = self.group.or(told.group);
                }
                if !whole || told.group.is_some() && told.group != self.group {
                    return None;
                }
                let adapter = told.adapter.unwrap_or_default();
                // An adapter that is known by a number only: never equal to any name.
                let nameless = (adapter.is_empty()).then_some(told.adapter_id).flatten();
                let extra = |parts: &Option<Vec<Part>>| {
                    let parts = parts.iter().flatten().filter(|part| !part.is(&adapter));
                    let start = nameless.map_or(0, |id| extra_of(1, &id.to_le_bytes()));
                    parts.fold(start, |extra, part| extra_of(extra, &part.bytes))
                };
                let mut extra: Vec<u64> = told.extra.iter().flatten().map(extra).collect();
                if nameless.is_some() && extra.is_empty() {
                    extra = vec![extra_of(1, b"adapter"); told.hashes.len()];
                }
                // vLLM has the salt among the first block's extra keys, SGLang tells it of every block.
                if let Some(salt) = told.salt.as_deref().filter(|salt| !salt.is_empty())
                    && told.parent.is_none()
                {
                    extra.resize(extra.len().max(1), 0);
                    extra[0] = extra_of(extra[0], salt.as_bytes());
                }
                Some(Event::Stored(Stored {
                    hashes: hashes(),
                    parent: told.parent.as_ref().map(|hash| hash.0),
                    tokens: told.tokens.0,
                    block_size: told.block_size,
                    extra,
                    adapter,
                    medium,
                }))
            }
            "BlockRemoved" if told.group.is_none() || told.group == self.group => {
                Some(Event::Removed { hashes: hashes(), medium })
            }
            "AllBlocksCleared" => Some(Event::Cleared),
            _ => None,
        }
    }
}

#[derive(Default)]
struct RawBatch {
    events: Vec<Fields>,
    rank: Option<u32>,
}

/// What any event may have.
#[derive(Default)]
struct Fields {
    tag: String,
    hashes: Vec<Hash>,
    parent: Option<Hash>,
    tokens: Tokens,
    block_size: u32,
    adapter_id: Option<i64>,
    medium: Option<String>,
    adapter: Option<String>,
    extra: Option<Vec<Option<Vec<Part>>>>,
    group: Option<u32>,
    kind: Option<String>,
    salt: Option<String>,
}

const STORED: &[&str] = &[
    "block_hashes",
    "parent_block_hash",
    "token_ids",
    "block_size",
    "lora_id",
    "medium",
    "lora_name",
    "extra_keys",
    "group_idx",
    "kv_cache_spec_kind",
];
const REMOVED: &[&str] = &["block_hashes", "medium", "group_idx"];

/// The next value of a list or a map: None where a list ends.
trait Values<'de> {
    type Error: Error;
    fn next<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, Self::Error>;
}

struct Listed<'a, A>(&'a mut A);
struct Named<'a, A>(&'a mut A);

impl<'de, A: SeqAccess<'de>> Values<'de> for Listed<'_, A> {
    type Error = A::Error;
    fn next<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, A::Error> {
        self.0.next_element()
    }
}

impl<'de, A: MapAccess<'de>> Values<'de> for Named<'_, A> {
    type Error = A::Error;
    fn next<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, A::Error> {
        self.0.next_value().map(Some)
    }
}

impl Fields {
    /// Takes the value of `name`; whether there was one.
    fn take<'de, V: Values<'de>>(&mut self, name: &str, mut values: V) -> Result<bool, V::Error> {
        fn into<'de, T: Deserialize<'de>, V: Values<'de>>(
            to: &mut T,
            values: &mut V,
        ) -> Result<bool, V::Error> {
            Ok(values.next()?.map(|value| *to = value).is_some())
        }
        let values = &mut values;
        match name {
            "type" => into(&mut self.tag, values),
            "block_hashes" => into(&mut self.hashes, values),
            "parent_block_hash" => into(&mut self.parent, values),
            "token_ids" => into(&mut self.tokens, values),
            "block_size" => into(&mut self.block_size, values),
            "lora_id" => into(&mut self.adapter_id, values),
            "medium" => into(&mut self.medium, values),
            "lora_name" => into(&mut self.adapter, values),
            "extra_keys" => into(&mut self.extra, values),
            "group_idx" => into(&mut self.group, values),
            "kv_cache_spec_kind" => into(&mut self.kind, values),
            "cache_salt" => into(&mut self.salt, values),
            _ => Ok(values.next::<IgnoredAny>()?.is_some()),
        }
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        fields.take("type", Listed(&mut list))?;
        let names = match fields.tag.as_str() {
            "BlockStored" => STORED,
            "BlockRemoved" => REMOVED,
            _ => &[],
        };
        for name in names {
            if !fields.take(name, Listed(&mut list))? {
                return Ok(fields);
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(fields)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            fields.take(&name, Named(&mut map))?;
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = RawBatch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawBatch, A::Error> {
        list.next_element::<IgnoredAny>()?;
        let events = list.next_element()?.ok_or_else(|| A::Error::missing_field("events"))?;
        let rank = list.next_element()?.flatten();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawBatch { events, rank })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawBatch, A::Error> {
        let (mut events, mut rank) = (None, None);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "events" => events = Some(map.next_value()?),
                "data_parallel_rank" => rank = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(RawBatch { events: events.ok_or_else(|| A::Error::missing_field("events"))?, rank })
    }
}

impl<'de> Deserialize<'de> for RawBatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BatchVisitor)
    }
}

/// An engine's name of a block: a number, or bytes.
struct Hash(u64);

/// Token ids; of pairs, the first of each.
#[derive(Default)]
struct Tokens(Vec<u32>);

/// One of them.
struct Token(u32);

struct TokenVisitor;

impl<'de> Visitor<'de> for TokenVisitor {
    type Value = Token;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token id")
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Token, E> {
        u32::try_from(id).map(Token).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<Token, E> {
        u32::try_from(id).map(Token).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Token, A::Error> {
        let first = pair.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        while pair.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokenVisitor)
    }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids: Vec<Token> = Vec::deserialize(deserializer)?;
        Ok(Self(ids.into_iter().map(|token| token.0).collect()))
    }
}

/// Something that a block depends on, as bytes.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    text: bool,
}

impl Part {
    fn is(&self, text: &str) -> bool {
        self.text && self.bytes == text.as_bytes()
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an extra key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Part, E> {
        Ok(Part { bytes: text.into(), text: true })
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Part, E> {
        Ok(Part { bytes: bytes.into(), text: false })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Part, E> {
        self.visit_bytes(&number.to_le_bytes())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Part, E> {
        self.visit_bytes(&number.to_le_bytes())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Part, E> {
        self.visit_bytes(&number.to_le_bytes())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Part, E> {
        self.visit_bytes(&[value.into()])
    }

    fn visit_unit<E: Error>(self) -> Result<Part, E> {
        self.visit_bytes(&[])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Part, A::Error> {
        let mut all = Part::default();
        while let Some(part) = list.next_element::<Part>()? {
            all.bytes.extend_from_slice(&(part.bytes.len() as u64).to_le_bytes());
            all.bytes.extend_from_slice(&part.bytes);
        }
        Ok(all)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = Part::deserialize(deserializer)?;
        match <[u8; 8]>::try_from(part.bytes.as_slice()) {
            Ok(number) => Ok(Self(u64::from_le_bytes(number))),
            Err(_) => Ok(Self(extra_of(0, &part.bytes))),
        }
    }
}
