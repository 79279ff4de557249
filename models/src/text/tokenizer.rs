//! Text to ids and back.

use std::sync::Arc;

use crate::gguf::GgufFile;

use super::{
    Piece, Specials, TokenizerError,
    byte_level::ByteLevelBpe,
    pretokenize::Pretokenizer,
    special::{Part, SpecialTokens},
    spm::SentencePiece,
    vocabulary::{Family, Kind, Vocabulary},
};

/// The tokenizer of a model, from the vocabulary in its GGUF file.
///
/// Ids are equal to llama.cpp's. Two texts stay text here that llama.cpp can turn into more: no ordinary text ever merges
/// into a control token, and none into a byte token by spelling `<0x0A>`.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    special: Arc<SpecialTokens>,
    text: TextModel,
}

/// What tokenises the text between special tokens.
enum TextModel {
    ByteLevel(Box<ByteLevelBpe>),
    SentencePiece(Box<SentencePiece>),
}

impl Tokenizer {
    /// Builds the tokenizer of the model in `file`.
    ///
    /// # Errors
    /// When the file has no vocabulary, one of a family or with a splitting rule that this crate does not know, or one
    /// that contradicts itself.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, TokenizerError> {
        let family = match file.need(GgufFile::str, "tokenizer.ggml.model")? {
            "gpt2" => Family::ByteLevel,
            "llama" => Family::SentencePiece,
            other => return Err(TokenizerError::UnknownModel { model: other.to_owned() }),
        };
        let tokens = file.need(GgufFile::strings, "tokenizer.ggml.tokens")?;
        let vocabulary = Vocabulary::read(file, family, &tokens)?;
        let text = match family {
            Family::ByteLevel => TextModel::ByteLevel(Box::new(byte_level(file, &vocabulary, &tokens)?)),
            Family::SentencePiece => TextModel::SentencePiece(Box::new(sentence_piece(file, &vocabulary)?)),
        };
        let special = Arc::new(SpecialTokens::new(&vocabulary)?);
        Ok(Self { vocabulary, special, text })
    }

    /// The ids of `text`. No BOS is added; see [`add_bos`](Self::add_bos).
    #[must_use]
    pub fn encode(&self, text: &str, specials: Specials) -> Vec<u32> {
        self.encode_pieces(&[Piece { text: text.to_owned(), trusted: specials == Specials::Parse }])
    }

    /// The ids of a prompt in pieces. No BOS is added.
    ///
    /// Control tokens are read only where they lie inside one trusted piece. Everything between them is tokenised as if
    /// the pieces were one text: where the pieces come apart changes nothing.
    #[must_use]
    pub fn encode_pieces(&self, pieces: &[Piece]) -> Vec<u32> {
        self.encode_from(pieces, true)
    }

    /// The ids of text that goes on after other text, so that a vocabulary that begins texts with a space adds none.
    /// Control tokens in it are text.
    pub(crate) fn encode_continuation(&self, text: &str) -> Vec<u32> {
        self.encode_from(&[Piece { text: text.to_owned(), trusted: false }], false)
    }

    fn encode_from(&self, pieces: &[Piece], mut first: bool) -> Vec<u32> {
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let mut ids = Vec::with_capacity(text.len() / 3);
        for part in self.special.split(pieces, &text) {
            first = match part {
                Part::Token(id) => {
                    ids.push(id);
                    true
                }
                Part::Text(range) => {
                    self.encode_text(&text[range], first, &mut ids);
                    false
                }
            };
        }
        ids
    }

    /// The special tokens, for telling text that looks like one.
    pub(super) fn special(&self) -> &Arc<SpecialTokens> {
        &self.special
    }

    fn encode_text(&self, text: &str, first: bool, ids: &mut Vec<u32>) {
        match &self.text {
            TextModel::ByteLevel(model) => model.encode(text, ids),
            TextModel::SentencePiece(model) => model.encode(&self.vocabulary, text, first, ids),
        }
    }

    /// The text of `ids`, without control tokens. Bytes that are no text become U+FFFD; for text that grows token by token
    /// use [`token_bytes`](Self::token_bytes) with a [`Utf8Stream`](super::Utf8Stream).
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes a token adds to the text: none for control tokens, unused ids and ids past the vocabulary. They may be a
    /// part of a character.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        match self.vocabulary.kind(id) {
            Kind::Control | Kind::Unused => &[],
            Kind::Normal | Kind::UserDefined | Kind::Byte => self.vocabulary.bytes(id),
        }
    }

    /// The text of a token as templates and people write it, control tokens included; lossy for a part of a character.
    #[must_use]
    pub fn token_text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.vocabulary.bytes(id)).into_owned()
    }

    /// The token that begins a text, if the vocabulary has one.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.bos
    }

    /// Whether the model was trained with [`bos`](Self::bos) before every text.
    #[must_use]
    pub fn add_bos(&self) -> bool {
        self.vocabulary.add_bos && self.vocabulary.bos.is_some()
    }

    /// The token that ends a text, if the vocabulary has one.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.vocabulary.eos
    }

    /// Whether the model has nothing more to say after this token: the end of the text, of a turn, of a message.
    #[must_use]
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.vocabulary.is_end_of_generation(id)
    }

    /// Whether this token is a mark for the model that has no text.
    #[must_use]
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary.kind(id) == Kind::Control
    }

    /// Whether `text` contains the text of a control token, so that it must not be trusted.
    #[must_use]
    pub fn has_control_text(&self, text: &str) -> bool {
        self.special.has_control(text)
    }

    /// Whether text that is spelled like this token always becomes it.
    pub(crate) fn is_user_defined(&self, id: u32) -> bool {
        self.vocabulary.kind(id) == Kind::UserDefined
    }

    /// Whether this token stands for a byte that no other token covers.
    pub(crate) fn is_byte(&self, id: u32) -> bool {
        self.vocabulary.kind(id) == Kind::Byte
    }

    /// How many ids there are.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len() as usize
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

fn byte_level(file: &GgufFile, vocabulary: &Vocabulary, tokens: &[&str]) -> Result<ByteLevelBpe, TokenizerError> {
    // Files from before the key existed mean llama.cpp's default.
    let pretokenizer = Pretokenizer::new(file.str("tokenizer.ggml.pre")?.unwrap_or("default"))?;
    let merges = file.need(GgufFile::strings, "tokenizer.ggml.merges")?;
    ByteLevelBpe::new(pretokenizer, tokens, |id| vocabulary.kind(id as u32), &merges)
}

fn sentence_piece(file: &GgufFile, vocabulary: &Vocabulary) -> Result<SentencePiece, TokenizerError> {
    let scores = file.need(GgufFile::f32s, "tokenizer.ggml.scores")?;
    let add_space_prefix = file.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    SentencePiece::new(vocabulary, scores, add_space_prefix)
}

#[cfg(test)]
mod tests;
