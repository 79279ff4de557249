//! What the writer is told.

use tokio::sync::oneshot;

use super::{Began, Called, Stretch};
use crate::runs::{RunRecord, events::Event};

/// What is to be written, and who waits for that.
#[derive(Debug)]
pub(super) enum Entry {
    Began(Box<Began>),
    Called(Box<Called>),
    Ended(Box<RunRecord>),
    /// Tells when all before it is written, or is known not to be.
    Flush(oneshot::Sender<()>),
    /// The last one.
    Close,
}

/// What an entry without texts takes.
const PLAIN_BYTES: usize = 512;

impl Entry {
    /// About what it holds of memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = match self {
            Self::Began(began) => {
                let question = &began.question;
                let grammar = question.form.grammar.as_ref().map_or(0, |grammar| grammar.source().len());
                grammar + question.messages.iter().map(|(_, text)| text.len()).sum::<usize>()
            }
            Self::Called(called) => {
                let prompt: usize = called.prompt.iter().flat_map(|prompt| &prompt.stretches).map(stretch_bytes).sum();
                prompt + called.text.len() + called.grammar.len() + called.tokens.len() * size_of::<(u32, f32)>()
            }
            Self::Ended(run) => run.events.iter().map(Event::text_bytes).sum(),
            Self::Flush(_) | Self::Close => 0,
        };
        PLAIN_BYTES + texts
    }
}

fn stretch_bytes(stretch: &Stretch) -> usize {
    let text: usize = stretch.pieces.iter().map(|piece| piece.text.len()).sum();
    text + stretch.tokens.len() * size_of::<u32>()
}
