//! Requests of recorded traces, as they are published.
//!
//! | Format | A line |
//! |---|---|
//! | Mooncake, JSON lines | `{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}`: ms, tokens, and a name for each 512 tokens of the prompt with all before them; without `hash_ids` nothing is shared |
//! | Azure, CSV | header `TIMESTAMP,ContextTokens,GeneratedTokens`, then `2023-11-16 18:15:46.6805900,4808,10` |
//!
//! A trace begins at its first request. Requests that are out of order are put in order.

use serde::Deserialize;

use super::content::{Piece, Request};

/// Tokens that a hash of Mooncake stands for.
const MOONCAKE_BLOCK: u32 = 512;
/// More tokens than any model takes.
const MOST_TOKENS: u32 = 10_000_000;
/// More requests than a run can hold.
const MOST_REQUESTS: usize = 2_000_000;
/// Seconds that a trace may span.
const LONGEST: f64 = 31.0 * 86_400.0;

/// What is wrong with a trace: the line (from 1), the field, the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Invalid {
    /// Counted from 1.
    pub line: usize,
    /// Field, value and remedy.
    pub what: String,
}

/// The requests of `text`, whose format is seen from its beginning.
///
/// # Errors
/// The first line that cannot be used.
pub fn read(text: &str) -> Result<Vec<Request>, Invalid> {
    let (mut requests, mut rows) = (Vec::new(), lines(text).peekable());
    match rows.peek() {
        None => {
            return Err(Invalid { line: 1, what: "there is no request; give a trace that has some".into() });
        }
        Some((_, first)) if first.starts_with('{') => {
            for (line, text) in rows {
                requests.push(mooncake(text, requests.len()).map_err(|what| Invalid { line, what })?);
                bounded(&requests, line)?;
            }
        }
        Some((line, header)) => {
            let (line, columns) = (*line, Columns::of(header));
            let columns = columns.map_err(|what| Invalid { line, what })?;
            for (line, text) in rows.skip(1) {
                let request = columns.request(text, requests.len());
                requests.push(request.map_err(|what| Invalid { line, what })?);
                bounded(&requests, line)?;
            }
        }
    }
    requests.sort_by(|a, b| a.at.total_cmp(&b.at));
    let (Some(first), Some(last)) = (requests.first(), requests.last()) else {
        return Err(Invalid {
            line: 1,
            what: "there is no request behind the header; give a trace that has some".into(),
        });
    };
    let (start, end) = (first.at, last.at);
    if end - start > LONGEST {
        let what =
            format!("the trace spans {:.0} days, at most 31 are played; cut it", (end - start) / 86_400.0);
        return Err(Invalid { line: 1, what });
    }
    requests.iter_mut().for_each(|request| request.at -= start);
    Ok(requests)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

fn bounded(requests: &[Request], line: usize) -> Result<(), Invalid> {
    if requests.len() <= MOST_REQUESTS {
        return Ok(());
    }
    Err(Invalid { line, what: format!("more than {MOST_REQUESTS} requests; cut the trace") })
}

fn tokens(field: &str, value: i64) -> Result<u32, String> {
    let valid = u32::try_from(value).ok().filter(|tokens| (1..=MOST_TOKENS).contains(tokens));
    valid.ok_or_else(|| format!("{field} is {value}; give tokens from 1 to {MOST_TOKENS}"))
}

#[derive(Deserialize)]
struct Line {
    timestamp: f64,
    input_length: i64,
    output_length: i64,
    #[serde(default)]
    hash_ids: Option<Vec<u64>>,
}

fn mooncake(text: &str, index: usize) -> Result<Request, String> {
    let remedy =
        "write {\"timestamp\": ms, \"input_length\": tokens, \"output_length\": tokens, \"hash_ids\": [..]}";
    let line: Line = serde_json::from_str(text).map_err(|error| format!("{error}; {remedy}"))?;
    if !(line.timestamp.is_finite() && (0.0..1e15).contains(&line.timestamp)) {
        return Err(format!("timestamp is {}; give milliseconds from 0", line.timestamp));
    }
    let prompt = tokens("input_length", line.input_length)?;
    let output = tokens("output_length", line.output_length)?;
    let mut pieces: Vec<Piece> = Vec::new();
    match line.hash_ids {
        None => pieces.push(own(index, prompt)),
        Some(ids) => {
            let blocks = prompt.div_ceil(MOONCAKE_BLOCK) as usize;
            if ids.len() != blocks {
                return Err(format!(
                    "hash_ids has {} entries for {prompt} tokens; give {blocks}, one for each {MOONCAKE_BLOCK} tokens",
                    ids.len()
                ));
            }
            let mut left = prompt;
            for id in ids {
                let tokens = left.min(MOONCAKE_BLOCK);
                pieces.push(Piece::after(pieces.last(), id, tokens));
                left -= tokens;
            }
        }
    }
    Ok(Request::new(line.timestamp / 1e3, pieces, index as u64, output))
}

/// A prompt that shares nothing.
fn own(index: usize, tokens: u32) -> Piece {
    Piece::after(None, index as u64, tokens)
}

/// Where the columns of a CSV are.
struct Columns {
    time: usize,
    prompt: usize,
    output: usize,
}

impl Columns {
    fn of(header: &str) -> Result<Self, String> {
        let place = |name: &str| {
            let found = header.split(',').position(|column| column.trim().eq_ignore_ascii_case(name));
            found.ok_or_else(|| {
                format!(
                    "no column {name}; begin with TIMESTAMP,ContextTokens,GeneratedTokens, or give JSON lines"
                )
            })
        };
        Ok(Self {
            time: place("TIMESTAMP")?,
            prompt: place("ContextTokens")?,
            output: place("GeneratedTokens")?,
        })
    }

    fn request(&self, text: &str, index: usize) -> Result<Request, String> {
        let field = |name: &str, place: usize| {
            let value = text.split(',').nth(place).map(str::trim);
            value.ok_or_else(|| format!("no {name}; give a value for each column of the header"))
        };
        let count = |name: &str, place: usize| {
            let value = field(name, place)?;
            let number =
                value.parse().map_err(|_| format!("{name} is {value:?}; give a whole number of tokens"));
            tokens(name, number?)
        };
        let at = seconds(field("TIMESTAMP", self.time)?)?;
        let (prompt, output) = (count("ContextTokens", self.prompt)?, count("GeneratedTokens", self.output)?);
        Ok(Request::new(at, vec![own(index, prompt)], index as u64, output))
    }
}

/// Seconds of the day and of the days before.
fn seconds(text: &str) -> Result<f64, String> {
    let time = text.parse::<jiff::Timestamp>().ok();
    let time = time.or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    });
    let time = time.ok_or_else(|| format!("TIMESTAMP is {text:?}; write 2023-11-16 18:15:46.68"))?;
    Ok(time.as_nanosecond() as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mooncake_lines_share_what_their_hashes_share() {
        let requests = read(
            "{\"timestamp\": 3000, \"input_length\": 1100, \"output_length\": 5, \"hash_ids\": [1, 2, 7]}\n\n\
             {\"timestamp\": 1500, \"input_length\": 1024, \"output_length\": 9, \"hash_ids\": [1, 2]}\n\
             {\"timestamp\": 4000, \"input_length\": 10, \"output_length\": 1}\n",
        )
        .unwrap();
        let of = |index: usize| &requests[index];
        assert_eq!(requests.iter().map(|r| r.at).collect::<Vec<_>>(), [0.0, 1.5, 2.5]);
        assert_eq!((of(0).prompt(), of(0).output(), of(1).prompt()), (1024, 9, 1100));
        assert_eq!(of(0).pieces[..], of(1).pieces[..2]);
        assert_ne!(of(0).answer.key, of(1).answer.key);
    }

    #[test]
    fn azure_lines_are_seconds_from_the_first() {
        for rows in [
            "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,4808,10\r\n2023-11-16 18:15:50.1805900,3180,8\r\n",
            "\u{feff}TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 23:59:59.5+00:00,4808,10\n2024-05-11 00:00:03+00:00,3180,8",
        ] {
            let requests = read(rows).unwrap();
            assert_eq!(requests.len(), 2);
            assert!((requests[1].at - 3.5).abs() < 1e-5, "{}", requests[1].at);
            assert_eq!((requests[1].prompt(), requests[1].output()), (3180, 8));
            assert_ne!(requests[0].pieces[0].key, requests[1].pieces[0].key);
        }
    }

    #[test]
    fn mistakes_name_line_field_and_remedy() {
        let good = "{\"timestamp\": 1, \"input_length\": 10, \"output_length\": 1}\n";
        let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
        for (text, line, words) in [
            (String::new(), 1, ["no request", "give"]),
            (csv.to_owned(), 1, ["no request", "give"]),
            (format!("{good}{{\"timestamp\": 1}}"), 2, ["input_length", "write"]),
            (format!("{good}{{"), 2, ["EOF", "write"]),
            (good.replace("10", "0"), 1, ["input_length is 0", "from 1"]),
            (good.replace("10", "-4"), 1, ["input_length is -4", "from 1"]),
            (good.replace("10", "99999999999"), 1, ["input_length", "10000000"]),
            (good.replace(": 1,", ": -1,"), 1, ["timestamp is -1", "milliseconds"]),
            (good.replace('}', ", \"hash_ids\": [1, 2]}"), 1, ["hash_ids has 2", "give 1"]),
            ("time,tokens\n1,2".into(), 1, ["TIMESTAMP", "begin with"]),
            (
                format!("{csv}2023-11-16 18:15:46,1,1\n2023-11-16 18:15:47,7"),
                3,
                ["GeneratedTokens", "each column"],
            ),
            (format!("{csv}yesterday,1,1"), 2, ["yesterday", "write"]),
            (format!("{csv}2023-11-16 18:15:46,many,1"), 2, ["ContextTokens is \"many\"", "whole number"]),
            (format!("{csv}2023-11-16 18:15:46,1,0"), 2, ["GeneratedTokens is 0", "from 1"]),
            (format!("{csv}2023-11-16 18:15:46,1,1\n2024-11-16 18:15:46,1,1"), 1, ["366 days", "cut"]),
        ] {
            let error = read(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(words.iter().all(|word| error.to_string().contains(word)), "{text}: {error}");
        }
    }
}
