//! Records without what people and models wrote.

use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest, Sha256};

use super::{Began, Called, Ended, Piece, Stretch, Texts};
use crate::members::Grammar;

/// What can be recorded with less text in it.
pub(super) trait Redact: Clone {
    /// The same with what becomes of its texts.
    fn redacted(&self, texts: Texts) -> Self {
        let mut redacted = self.clone();
        if texts != Texts::Keep {
            redacted.redact(texts);
        }
        redacted
    }

    fn redact(&mut self, texts: Texts);
}

impl Redact for Began {
    fn redact(&mut self, texts: Texts) {
        let question = &mut self.question;
        question.messages.iter_mut().for_each(|(_, text)| replace(text, texts));
        question.sampling.stop.iter_mut().for_each(|text| replace(text, texts));
        if let Some(Grammar::Regex(source) | Grammar::JsonSchema(source) | Grammar::Lark(source)) =
            &mut question.form.grammar
        {
            replace(source, texts);
        }
    }
}

impl Redact for Ended {
    fn redact(&mut self, texts: Texts) {
        replace(&mut self.answer, texts);
        self.seats.iter_mut().for_each(|seat| replace(&mut seat.text, texts));
        // A vote says what it was for.
        static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*""#).ok());
        for stage in &mut self.stages {
            stage.decision = match &*QUOTED {
                Some(quoted) => quoted.replace_all(&stage.decision, "\"…\"").into_owned(),
                None => String::new(),
            };
        }
    }
}

impl Redact for Called {
    fn redact(&mut self, texts: Texts) {
        replace(&mut self.text, texts);
        replace(&mut self.grammar, texts);
        self.sampling.stop.iter_mut().for_each(|text| replace(text, texts));
        self.tokens.clear();
        for stretch in self.prompt.iter_mut().flat_map(|prompt| &mut prompt.stretches) {
            redact_stretch(stretch, texts);
        }
    }
}

/// One text in place of its pieces: a short piece would be easy to guess. Its tokens are the text in other words.
fn redact_stretch(stretch: &mut Stretch, texts: Texts) {
    let mut text: String = stretch.pieces.iter().map(|piece| piece.text.as_str()).collect();
    replace(&mut text, texts);
    stretch.pieces = vec![Piece { text, control: false }];
    stretch.tokens.clear();
}

fn replace(text: &mut String, texts: Texts) {
    *text = match texts {
        Texts::Hash if !text.is_empty() => format!("sha256:{}", hex(text)),
        Texts::Keep => return,
        Texts::Hash | Texts::Drop => String::new(),
    };
}

/// The sha256 of a text.
pub(crate) fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
