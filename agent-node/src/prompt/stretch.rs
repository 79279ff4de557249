//! Text that is tokenised at once, and what becomes of it: what a record of the prompt is made of.

use synod_models::text::Piece;
use synod_proto::v1::{PromptPiece, PromptStretch};

use super::PromptTokenizer;
use crate::host::wire;

/// A part of a prompt with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pieces: Vec<Piece>,
    pub(super) ids: Vec<u32>,
    cut: usize,
}

impl Stretch {
    pub(super) fn new(pieces: Vec<Piece>, tokenizer: &impl PromptTokenizer) -> Self {
        let ids = tokenizer.encode(&pieces);
        Self { pieces, ids, cut: 0 }
    }

    /// The beginning of a prompt, with the token that opens every prompt where the template does not write it.
    pub(crate) fn opening(mut pieces: Vec<Piece>, tokenizer: &impl PromptTokenizer) -> Self {
        let mut ids = tokenizer.encode(&pieces);
        if let Some((opening, text)) = tokenizer.opening_token().filter(|(opening, _)| ids.first() != Some(opening)) {
            ids.insert(0, opening);
            pieces.insert(0, Piece::trusted(text));
        }
        Self { pieces, ids, cut: 0 }
    }

    /// Its tokens.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Keeps the first tokens.
    pub(super) fn truncate(&mut self, kept: usize) {
        self.cut += self.ids.len().saturating_sub(kept);
        self.ids.truncate(kept);
    }

    pub(crate) fn into_wire(self) -> PromptStretch {
        let piece = |piece: Piece| PromptPiece { text: piece.text, control: piece.trusted };
        PromptStretch {
            pieces: self.pieces.into_iter().map(piece).collect(),
            tokens: self.ids,
            tokens_cut: wire(self.cut),
        }
    }
}
