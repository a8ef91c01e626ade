//! Images, audio and the like inside of prompts: what they are, and how many tokens they are about.
//!
//! Model servers turn media into a number of tokens that depends on the model. These are the estimates of models that
//! follow the content's size: an image has one token per 32 × 32 pixels, sound 25 per second.

use std::ops::Range;

/// An image whose size is not in the request: 1024 × 1024 pixels.
const IMAGE: u32 = 1_024;
const IMAGES: std::ops::RangeInclusive<u32> = 64..=16_384;
/// Sound of half a minute.
const AUDIO: u32 = 750;
/// Sound of 16 bits at 16 kHz has 32,000 bytes a second; compressed sound is counted too low by that.
const AUDIO_BYTES: usize = 1_280;
const VIDEO: u32 = 4_096;
/// A page of a document is about 100 KB and 1,500 tokens.
const DOCUMENT: u32 = 1_500;
const DOCUMENT_BYTES: usize = 64;
/// Base64 that is looked through for the size of an image.
const HEADER: usize = 8_192;

/// The kind of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Audio,
    Video,
    Document,
}

impl Kind {
    /// Of "image_url", "input_audio", "video/mp4" and the like.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let has = |word: &str| memchr::memmem::find(name, word.as_bytes()).is_some();
        match () {
            () if has("image") => Some(Self::Image),
            () if has("audio") => Some(Self::Audio),
            () if has("video") => Some(Self::Video),
            () if has("file") || has("document") || has("pdf") => Some(Self::Document),
            () => None,
        }
    }
}

/// A string that stands for something else than text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Where its content is in the body, without quotes.
    pub at: Range<usize>,
    /// Estimated tokens.
    pub tokens: u32,
}

/// The tokens of `value` under `key`, when it is media; `told` is what the part said to be.
pub(super) fn tokens(key: &[u8], value: &[u8], told: Option<Kind>) -> Option<u32> {
    let by_key = match key {
        b"url" | b"data" | b"image_data" | b"audio_data" | b"video_data" => Kind::of(key),
        b"image_url" | b"audio_url" | b"video_url" | b"file_url" | b"file_data" => Kind::of(key),
        _ => return None,
    };
    if let Some(uri) = value.strip_prefix(b"data:") {
        let (head, data) = uri.split_at(memchr::memchr(b',', uri)?);
        return Some(of_data(Kind::of(head).or(by_key).or(told).unwrap_or(Kind::Image), &data[1..]));
    }
    if [&b"http://"[..], b"https://", b"file://", b"gs://", b"s3://"].iter().any(|s| value.starts_with(s)) {
        let kind = by_key.or(told);
        return (kind.is_some() || key == b"url").then(|| match kind.unwrap_or(Kind::Image) {
            Kind::Image => IMAGE,
            Kind::Audio => AUDIO,
            Kind::Video => VIDEO,
            Kind::Document => DOCUMENT,
        });
    }
    let looks_encoded = value.len() >= 256 && value[..256].iter().all(|byte| sextet(*byte).is_some());
    match by_key.or(told) {
        Some(kind) if key != b"url" => Some(of_data(kind, value)),
        None if looks_encoded => Some(of_data(Kind::Image, value)),
        _ => None,
    }
}

fn of_data(kind: Kind, base64: &[u8]) -> u32 {
    let bytes = base64.len() / 4 * 3;
    let clamp = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX).clamp(1, 1 << 20);
    match kind {
        Kind::Image => pixels(base64)
            .map_or(IMAGE, |pixels| u32::try_from(pixels / 1_024).unwrap_or(u32::MAX))
            .clamp(*IMAGES.start(), *IMAGES.end()),
        Kind::Audio => clamp(bytes / AUDIO_BYTES),
        Kind::Video => VIDEO,
        Kind::Document => clamp(bytes / DOCUMENT_BYTES),
    }
}

/// Width times height of a PNG or JPEG.
fn pixels(base64: &[u8]) -> Option<u64> {
    let header = decode(&base64[..base64.len().min(HEADER)]);
    let big_endian = |at: usize, len: usize| {
        let bytes = header.get(at..at + len)?;
        Some(bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    if header.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some(big_endian(16, 4)? * big_endian(20, 4)?);
    }
    if !header.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let mut at = 2;
    loop {
        let marker = big_endian(at, 2)?;
        match marker {
            // Start of frame, in one of its forms: length, precision, height, width.
            0xffc0..=0xffc3 | 0xffc5..=0xffc7 | 0xffc9..=0xffcb | 0xffcd..=0xffcf => {
                return Some(big_endian(at + 5, 2)? * big_endian(at + 7, 2)?);
            }
            0xff00..=0xffff => at += 2 + usize::try_from(big_endian(at + 2, 2)?).ok()?,
            _ => return None,
        }
    }
}

/// The bytes of `base64`, up to what is none.
fn decode(base64: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(base64.len() / 4 * 3);
    for four in base64.chunks_exact(4) {
        let Some(bits) = four.iter().try_fold(0_u32, |bits, byte| Some(bits << 6 | sextet(*byte)?)) else {
            break;
        };
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    bytes
}

fn sextet(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a PNG of 2048 × 1024 pixels.
    const PNG: &[u8] = b"iVBORw0KGgoAAAANSUhEUgAACAAAAAQA";
    /// A JPEG with a JFIF segment, 640 × 480.
    const JPEG: &[u8] = b"/9j/4AAQSkZJRgABAQAAAQABAAD/wAARCAHgAoADASIAAhEBAxEB";

    #[test]
    fn sizes_of_images_are_read_from_their_first_bytes() {
        assert_eq!(pixels(PNG), Some(2048 * 1024));
        assert_eq!(pixels(JPEG), Some(640 * 480));
        assert_eq!(pixels(&JPEG[..20]), None);
        assert_eq!(pixels(b"R0lGODlh"), None);
        assert_eq!(pixels(b""), None);
    }

    #[test]
    fn media_are_known_by_key_value_and_what_the_part_says() {
        let png = [b"data:image/png;base64,", PNG].concat();
        let long = [b'A'; 4_000];
        let plain = [b'A'; 100];
        for (key, value, told, expected) in [
            ("url", &png[..], None, Some(2_048)),
            ("image_url", &png, None, Some(2_048)),
            ("url", b"data:audio/wav;base64,AAAA", Some(Kind::Image), Some(1)),
            ("url", b"https://a/b.png", Some(Kind::Video), Some(VIDEO)),
            ("url", b"https://a/b.png", None, Some(IMAGE)),
            ("url", b"not a url", Some(Kind::Image), None),
            ("data", JPEG, Some(Kind::Image), Some(300)),
            ("data", &long, Some(Kind::Audio), Some(2)),
            ("data", &long, None, Some(IMAGE)),
            ("data", &plain, None, None),
            ("file_data", &long, None, Some(46)),
            ("content", &png, Some(Kind::Image), None),
            ("data", b"data:no comma", None, None),
        ] {
            assert_eq!(
                tokens(key.as_bytes(), value, told),
                expected,
                "{key} {}",
                String::from_utf8_lossy(value)
            );
        }
    }
}
