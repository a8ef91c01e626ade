//! Turns text into tokens and tokens into text, so that an answer sent back in a later prompt has the same tokens.
//!
//! A token is up to six bytes of a word; its id is a hash of them. English prose comes to about 1.3 tokens a word.

use xxhash_rust::xxh3::xxh3_64;

/// A token's id.
pub type Token = u32;

const PIECE: usize = 6;

/// Words of simulated answers, one token each.
const WORDS: &[&str] = &[
    "the", "light", "of", "sun", "meets", "air", "and", "blue", "waves", "bend", "most", "so", "our", "sky",
    "looks", "that", "way", "by", "day", "while", "at", "dusk", "it", "turns", "red", "near", "Paris", "try",
    "small", "bistro", "with", "bread",
];

/// The tokens of a text.
pub fn tokenize(text: &str) -> impl Iterator<Item = Token> + '_ {
    text.split_ascii_whitespace().flat_map(|word| word.as_bytes().chunks(PIECE)).map(id)
}

/// The token that opens a chat message of a role.
pub fn role(role: &str) -> Token {
    id(format!("<|{role}|>").as_bytes())
}

/// Word number `index` of the answer with this seed, without a space.
pub fn word(seed: u64, index: usize) -> &'static str {
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.extend((index as u64).to_le_bytes());
    WORDS[usize::try_from(xxh3_64(&bytes) % WORDS.len() as u64).expect("below the number of words")]
}

/// The id of a piece of a word.
#[expect(clippy::cast_possible_truncation, reason = "an id is the low half of the hash")]
pub fn id(piece: &[u8]) -> Token {
    xxh3_64(piece) as Token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_as_the_same_tokens() {
        let answer: Vec<_> = (0..50).map(|i| word(7, i)).collect();
        let ids: Vec<_> = answer.iter().map(|word| id(word.as_bytes())).collect();
        assert_eq!(tokenize(&answer.join(" ")).collect::<Vec<_>>(), ids);
    }

    #[test]
    fn counts() {
        assert_eq!(tokenize("What is the color of the sky").count(), 7);
        assert_eq!(tokenize("recommendations").count(), 3);
        assert_eq!(tokenize("").count(), 0);
        assert_ne!(role("user"), role("assistant"));
    }
}
