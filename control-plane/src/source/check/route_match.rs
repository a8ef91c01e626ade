//! Matches of an HTTPRoute rule.

use std::collections::BTreeMap;

use super::{
    Findings, path,
    pattern::{TOKEN, token},
};
use crate::{api::HttpRouteMatch, source::field::Field};

pub(super) fn check(field: Field<'_>, entry: &HttpRouteMatch, findings: &mut Findings) {
    if let Some(path) = &entry.path {
        path::check_match(field.name("path"), &path.kind, &path.value, findings);
    }
    let headers = entry.headers.iter().map(|h| (h.name.as_str(), h.value.as_str()));
    check_pairs(field.name("headers"), headers, 4096, findings);
    let params = entry.query_params.iter().map(|p| (p.name.as_str(), p.value.as_str()));
    check_pairs(field.name("queryParams"), params, 1024, findings);
}

/// At most 16 named values, each name once.
fn check_pairs<'p>(
    field: Field<'_>,
    pairs: impl ExactSizeIterator<Item = (&'p str, &'p str)>,
    max_value: usize,
    findings: &mut Findings,
) {
    findings.count(field, pairs.len(), 0, 16);
    let mut names = BTreeMap::new();
    for (i, (name, value)) in pairs.enumerate() {
        let item = field.at(i);
        findings.pattern(item.name("name"), name, token, TOKEN);
        findings.length(item.name("value"), value, 1, max_value);
        if names.insert(name, i).is_some() {
            findings.add(
                item.name("name"),
                format!("{name:?} is there twice"),
                "all matches must hold: keep one",
            );
        }
    }
}
