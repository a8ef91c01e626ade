//! The known field that a misspelt one probably means.

/// The nearest of `known`: equal but for case, or within two edits (and less than half the word).
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if let Some(same) = known.iter().find(|k| k.eq_ignore_ascii_case(word)) {
        return Some(same);
    }
    known
        .iter()
        .map(|k| (distance(word, k), *k))
        .filter(|(edits, k)| *edits <= 2 && *edits * 2 < k.len())
        .min()
        .map(|(_, k)| k)
}

/// Edits between two words; a swap of neighbours is one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typos_and_leaves_other_words_alone() {
        let known = ["matches", "filters", "backendRefs", "name", "port"];
        for (word, expected) in [
            ("macthes", Some("matches")),
            ("match", Some("matches")),
            ("backendrefs", Some("backendRefs")),
            ("backendRef", Some("backendRefs")),
            ("prot", Some("port")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}
