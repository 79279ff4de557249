//! A vocabulary: the bytes and the kind of each token, and the ids with a meaning.

use crate::gguf::{GgufError, GgufFile};

use super::{
    TokenizerError,
    byte_level::{self, CharTable},
};

/// Tokens after which a model has nothing more to say, by their text: vocabularies name only one of theirs in the
/// metadata. The list is llama.cpp's. Whatever type the file gives them, they are control tokens.
const END_OF_GENERATION: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "<|end_of_text|>",
    "<end_of_utterance>",
    // Between files of a code model's training data.
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Normal,
    /// A mark for the model, such as the start of a turn; has no text.
    Control,
    /// Text that is always this token.
    UserDefined,
    /// A hole in the ids; never produced and has no text.
    Unused,
    /// One byte, for text that no other token covers.
    Byte,
}

/// The two families of tokenizers in GGUF files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `gpt2`: byte-level BPE.
    ByteLevel,
    /// `llama`: SentencePiece with scores.
    SentencePiece,
}

/// All tokens' bytes in one allocation: there are up to 262,144 of them.
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unknown: Option<u32>,
    pub(super) add_bos: bool,
    /// Sorted.
    end_of_generation: Vec<u32>,
}

impl Vocabulary {
    /// Reads the vocabulary of `file`, whose token texts are `tokens`.
    pub(super) fn read(file: &GgufFile, family: Family, tokens: &[&str]) -> Result<Self, TokenizerError> {
        let mut kinds = read_kinds(file, tokens.len())?;
        for (kind, token) in kinds.iter_mut().zip(tokens) {
            if END_OF_GENERATION.contains(token) {
                *kind = Kind::Control;
            }
        }
        let id = |key: &str, default: Option<u32>| token_id(file, key, default, tokens.len());
        let sentence_piece = family == Family::SentencePiece;
        // What the format's first models left out, llama.cpp fills in like this.
        let bos = id("tokenizer.ggml.bos_token_id", sentence_piece.then_some(1))?;
        let eos = id("tokenizer.ggml.eos_token_id", sentence_piece.then_some(2))?;
        let unknown = id("tokenizer.ggml.unknown_token_id", sentence_piece.then_some(0))?;
        let ends = [eos, id("tokenizer.ggml.eot_token_id", None)?, id("tokenizer.ggml.eom_token_id", None)?];
        let by_name = (0..).zip(tokens).filter(|(_, token)| END_OF_GENERATION.contains(token)).map(|(id, _)| id);
        let mut end_of_generation: Vec<u32> = ends.into_iter().flatten().chain(by_name).collect();
        end_of_generation.sort_unstable();
        let add_bos = file.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(sentence_piece);
        let (bytes, ends) = decode_tokens(family, tokens, &kinds)?;
        Ok(Self { bytes, ends, kinds, bos, eos, unknown, add_bos, end_of_generation })
    }

    pub(super) fn len(&self) -> u32 {
        // Not cut: an array in a GGUF file is limited to 16 Mi elements.
        self.kinds.len() as u32
    }

    /// The bytes a token is written with, also those of control tokens; none for an id that does not exist.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let Some(&end) = self.ends.get(id as usize) else { return &[] };
        let start = if id == 0 { 0 } else { self.ends[id as usize - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// What a token is; an id that does not exist is unused.
    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unused)
    }

    pub(super) fn is_end_of_generation(&self, id: u32) -> bool {
        self.end_of_generation.binary_search(&id).is_ok()
    }
}

fn read_kinds(file: &GgufFile, tokens: usize) -> Result<Vec<Kind>, TokenizerError> {
    let Some(types) = file.i32s("tokenizer.ggml.token_type")? else { return Ok(vec![Kind::Normal; tokens]) };
    if types.len() != tokens {
        let message = format!("{tokens} tokens but {} token types", types.len());
        return Err(TokenizerError::Inconsistent(message));
    }
    let kind = |(id, ty)| match ty {
        // 0 is "undefined", written by old converters for every token.
        0 | 1 => Ok(Kind::Normal),
        // "Unknown" is `<unk>`, which text must not produce either.
        2 | 3 => Ok(Kind::Control),
        4 => Ok(Kind::UserDefined),
        5 => Ok(Kind::Unused),
        6 => Ok(Kind::Byte),
        _ => Err(TokenizerError::Inconsistent(format!("token {id} has type {ty}, which does not exist"))),
    };
    types.into_iter().enumerate().map(kind).collect()
}

/// The id at `key`, or `default` where the vocabulary has it; an id past the vocabulary is an error.
fn token_id(file: &GgufFile, key: &str, default: Option<u32>, tokens: usize) -> Result<Option<u32>, TokenizerError> {
    match file.u32(key)? {
        Some(id) if id as usize >= tokens => {
            let problem = format!("is {id}, but there are {tokens} tokens");
            Err(GgufError::metadata(key, problem).into())
        }
        Some(id) => Ok(Some(id)),
        None => Ok(default.filter(|&id| (id as usize) < tokens)),
    }
}

fn decode_tokens(family: Family, tokens: &[&str], kinds: &[Kind]) -> Result<(Vec<u8>, Vec<u32>), TokenizerError> {
    let table = CharTable::new();
    let mut bytes = Vec::with_capacity(tokens.iter().map(|token| token.len()).sum());
    let mut ends = Vec::with_capacity(tokens.len());
    for (id, (token, kind)) in tokens.iter().zip(kinds).enumerate() {
        match (kind, family) {
            (Kind::Byte, _) => bytes.push(parse_byte(token).ok_or_else(|| {
                TokenizerError::Inconsistent(format!("token {id} should be a byte such as <0x0A>, is {token:?}"))
            })?),
            (Kind::Normal, Family::ByteLevel) => byte_level::decode_token(token, &mut bytes, &table),
            (Kind::Normal, Family::SentencePiece) => bytes.extend(token.replace('\u{2581}', " ").into_bytes()),
            (Kind::Control | Kind::UserDefined | Kind::Unused, _) => bytes.extend_from_slice(token.as_bytes()),
        }
        let end = u32::try_from(bytes.len());
        ends.push(end.map_err(|_| TokenizerError::Inconsistent("tokens of more than 4 GiB".to_owned()))?);
    }
    bytes.shrink_to_fit();
    Ok((bytes, ends))
}

/// The byte in `<0x0A>`.
fn parse_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
}
