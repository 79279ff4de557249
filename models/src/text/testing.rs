//! Small vocabularies of both families, for tests.

use crate::gguf::{GgufFile, testing::Writer};

use super::{Tokenizer, byte_level::byte_to_char};

pub(crate) const START: &str = "<|im_start|>";
pub(crate) const END: &str = "<|im_end|>";

/// A vocabulary being put together: texts, types and, for SentencePiece, scores.
pub(crate) struct TestVocabulary {
    pub(crate) tokens: Vec<String>,
    pub(crate) types: Vec<i32>,
    pub(crate) scores: Vec<f32>,
    pub(crate) merges: Vec<String>,
}

impl TestVocabulary {
    /// Byte-level: all bytes but 0x07, `hello`, `Ġw`, control tokens, a user-defined one and a hole.
    pub(crate) fn byte_level() -> Self {
        let mut new = Self { tokens: vec![], types: vec![], scores: vec![], merges: vec![] };
        for byte in (0..=255).filter(|&byte| byte != 7) {
            new.add(&byte_to_char(byte).to_string(), 1, 0.0);
        }
        for merge in ["h e", "l l", "he ll", "hell o", "Ġ w"] {
            new.merge(merge, 1);
        }
        for (token, ty) in [(START, 3), (END, 3), ("<b>", 4), ("  ", 4), ("[PAD]", 5)] {
            new.add(token, ty, 0.0);
        }
        new
    }

    /// SentencePiece: bytes, a few characters and what they merge to, control tokens and a user-defined one.
    pub(crate) fn sentence_piece() -> Self {
        let mut new = Self { tokens: vec![], types: vec![], scores: vec![], merges: vec![] };
        for (token, ty) in [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<end_of_turn>", 3), ("\n\n", 4)] {
            new.add(token, ty, 0.0);
        }
        for byte in 0..=255 {
            new.add(&format!("<0x{byte:02X}>"), 6, 0.0);
        }
        let normal = ["▁", "a", "b", "c", "ab", "bc", "abc", "▁a", "▁ab", "ca", "aa", "aaa"];
        for (token, score) in normal.into_iter().zip([-9., -9., -9., -9., -2., -1., -3., -4., -3., -0.0, 0., -5.]) {
            new.add(token, 1, score);
        }
        new
    }

    pub(crate) fn add(&mut self, token: &str, ty: i32, score: f32) {
        self.tokens.push(token.to_owned());
        self.types.push(ty);
        self.scores.push(score);
    }

    /// Adds a merge and the token it makes.
    pub(crate) fn merge(&mut self, merge: &str, ty: i32) {
        self.merges.push(merge.to_owned());
        self.add(&merge.replace(' ', ""), ty, 0.0);
    }

    pub(crate) fn id(&self, token: &str) -> u32 {
        self.tokens.iter().position(|t| t == token).unwrap() as u32
    }

    /// The start of a file with this vocabulary.
    pub(crate) fn writer(&self, model: &str) -> Writer {
        Writer::new()
            .str("general.architecture", "test")
            .str("tokenizer.ggml.model", model)
            .strings("tokenizer.ggml.tokens", &self.tokens)
            .i32s("tokenizer.ggml.token_type", &self.types)
            .f32s("tokenizer.ggml.scores", &self.scores)
            .strings("tokenizer.ggml.merges", &self.merges)
    }

    pub(crate) fn byte_level_tokenizer(&self) -> Tokenizer {
        tokenizer(self.writer("gpt2").str("tokenizer.ggml.pre", "qwen2"))
    }

    pub(crate) fn sentence_piece_tokenizer(&self) -> Tokenizer {
        tokenizer(self.writer("llama").bool("tokenizer.ggml.add_space_prefix", false))
    }
}

pub(crate) fn file(writer: Writer) -> GgufFile {
    GgufFile::from_bytes(writer.finish()).unwrap()
}

pub(crate) fn tokenizer(writer: Writer) -> Tokenizer {
    Tokenizer::from_gguf(&file(writer)).unwrap()
}
