//! Metadata that Envoy sends along: the subset hint, and the endpoint that served.
//!
//! Names: endpoint picker protocol (GIE proposal 004), `envoy.lb.subset_hint` and `envoy.lb`.

use std::net::{IpAddr, SocketAddr};

use super::wire::{Fields, Malformed, Value};
use crate::picker::SubsetEntry;

/// The key of the picked endpoints: a request header, and a key of the `envoy.lb` metadata.
pub const DESTINATION: &str = "x-gateway-destination-endpoint";
/// The metadata namespace of the picked and the served endpoint.
pub const LB: &str = "envoy.lb";
const SERVED: &[u8] = b"x-gateway-destination-endpoint-served";
const SUBSET_HINT: &[u8] = b"envoy.lb.subset_hint";
const SUBSET: &[u8] = b"x-gateway-destination-endpoint-subset";

/// What one message's metadata says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The endpoints that may be picked. None: all of the pool; empty: none.
    pub subset: Option<Vec<SubsetEntry>>,
    /// The endpoint that served the request.
    pub served: Option<SocketAddr>,
}

impl Metadata {
    /// Reads an `envoy.config.core.v3.Metadata`.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(bytes);
        while let Some((tag, value)) = fields.field()? {
            if tag == 1 {
                match entry(value.bytes())? {
                    (SUBSET_HINT, values) => self.read_subset(values)?,
                    (name, values) if name == LB.as_bytes() => self.read_lb(values)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Takes what `later` says; an empty subset does not replace one that was given, Envoy repeats metadata on
    /// some messages only.
    pub fn merge(&mut self, later: Self) {
        if later.subset.as_ref().is_some_and(|s| !s.is_empty() || self.subset.is_none()) {
            self.subset = later.subset;
        }
        self.served = later.served.or(self.served);
    }

    fn read_lb(&mut self, values: &[u8]) -> Result<(), Malformed> {
        each_field(values, |name, value| {
            if name == SERVED
                && let Scalar::Text(text) = scalar(value)?
            {
                self.served = text.trim().parse().ok().or(self.served);
            }
            Ok(())
        })
    }

    fn read_subset(&mut self, values: &[u8]) -> Result<(), Malformed> {
        each_field(values, |name, value| {
            if name == SUBSET {
                let subset = self.subset.get_or_insert_default();
                match scalar(value)? {
                    Scalar::Text(text) => subset.extend(text.split(',').filter_map(subset_entry)),
                    Scalar::List(list) => read_list(list, subset)?,
                    Scalar::Other => {}
                }
            }
            Ok(())
        })
    }
}

fn read_list(list: &[u8], subset: &mut Vec<SubsetEntry>) -> Result<(), Malformed> {
    let mut items = Fields::of(list);
    while let Some((tag, item)) = items.field()? {
        if tag == 1
            && let Scalar::Text(text) = scalar(item.bytes())?
        {
            subset.extend(text.split(',').filter_map(subset_entry));
        }
    }
    Ok(())
}

/// `10.0.0.1`, `10.0.0.1:8000`, `fd00::1`, `[fd00::1]` or `[fd00::1]:8000`. Anything else names no endpoint.
fn subset_entry(text: &str) -> Option<SubsetEntry> {
    let text = text.trim();
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some(SubsetEntry { ip: addr.ip(), port: Some(addr.port()) });
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|ip| SubsetEntry { ip, port: None })
}

/// The forms of `google.protobuf.Value` that carry endpoints.
enum Scalar<'a> {
    Text(&'a str),
    List(&'a [u8]),
    Other,
}

fn scalar(bytes: &[u8]) -> Result<Scalar<'_>, Malformed> {
    let mut fields = Fields::of(bytes);
    let mut found = Scalar::Other;
    while let Some((tag, value)) = fields.field()? {
        found = match (tag, value) {
            (3, Value::Bytes(text)) => Scalar::Text(std::str::from_utf8(text).map_err(|_| Malformed)?),
            (6, Value::Bytes(list)) => Scalar::List(list),
            _ => Scalar::Other,
        };
    }
    Ok(found)
}

/// Visits the fields of a `google.protobuf.Struct`.
fn each_field<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields::of(bytes);
    while let Some((tag, value)) = fields.field()? {
        if tag == 1 {
            let (name, value) = entry(value.bytes())?;
            visit(name, value)?;
        }
    }
    Ok(())
}

/// Key and value of a map entry.
fn entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut key, mut content): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = Fields::of(bytes);
    while let Some((tag, value)) = fields.field()? {
        match tag {
            1 => key = value.bytes(),
            2 => content = value.bytes(),
            _ => {}
        }
    }
    Ok((key, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_written_form_of_a_subset_entry_is_read() {
        let of = |ip: &str, port| Some(SubsetEntry { ip: ip.parse().unwrap(), port });
        for (text, entry) in [
            ("10.0.0.1", of("10.0.0.1", None)),
            (" 10.0.0.1:8000 ", of("10.0.0.1", Some(8000))),
            ("fd00::1", of("fd00::1", None)),
            ("[fd00::1]", of("fd00::1", None)),
            ("[fd00::1]:8000", of("fd00::1", Some(8000))),
            ("pod-a:8000", None),
            ("", None),
        ] {
            assert_eq!(subset_entry(text), entry, "{text}");
        }
    }

    #[test]
    fn an_empty_subset_never_replaces_one_that_was_given() {
        let given = Metadata { subset: Some(vec![subset_entry("10.0.0.1").unwrap()]), served: None };
        let empty = Metadata { subset: Some(Vec::new()), served: None };
        let mut kept = Metadata::default();
        kept.merge(empty.clone());
        assert_eq!(kept, empty, "present but empty stays present");
        kept.merge(given.clone());
        kept.merge(empty);
        kept.merge(Metadata::default());
        assert_eq!(kept, given);
    }
}
