//! Bytes of tokens to text that can be shown.

use std::str::from_utf8;

/// Joins tokens' bytes into whole characters: a token may end inside one.
#[derive(Debug, Default)]
pub struct Utf8Stream {
    /// The bytes of a character that is not complete yet, at most three.
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes and gives the characters that are complete now. Bytes that can never be part of one become
    /// U+FFFD, as in [`String::from_utf8_lossy`].
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.pending.len());
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            let error = match from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            text.push_str(from_utf8(valid).unwrap_or_default());
            rest = after;
            let Some(wrong) = error.error_len() else { break };
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[wrong..];
        }
        self.pending = rest.to_vec();
        text
    }

    /// Ends the stream: U+FFFD for a character that never was completed.
    #[must_use]
    pub fn finish(self) -> &'static str {
        if self.pending.is_empty() { "" } else { "\u{fffd}" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_split_over_tokens_comes_out_once_and_whole() {
        let mut stream = Utf8Stream::new();
        assert_eq!(stream.push(b"a\xf0\x9f"), "a");
        assert_eq!(stream.push(b"\xa6"), "");
        assert_eq!(stream.push(b"\x80b"), "🦀b");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn what_is_no_character_becomes_a_replacement() {
        let mut stream = Utf8Stream::new();
        assert_eq!(stream.push(b"\xff\xe2\x82"), "\u{fffd}");
        assert_eq!(stream.push(b"x\xc3"), "\u{fffd}x");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_portions_equal_the_lossy_text(portions in prop::collection::vec(
            prop::collection::vec(prop_oneof![Just(0xe2), Just(0x82), Just(0xac), Just(0xf0), any::<u8>()], 0..5), 0..12)
        ) {
            let mut stream = Utf8Stream::new();
            let mut text: String = portions.iter().map(|portion| stream.push(portion)).collect();
            text.push_str(stream.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&portions.concat()).into_owned());
        }
    }
}
