//! Ranking by words: Okapi BM25 (Robertson et al. 1994) over split identifiers.

use bm25::{Embedder, EmbedderBuilder, Scorer, Tokenizer};

use crate::apis::catalogue::Catalogue;

/// An index of words.
pub(super) struct Lexical {
    embedder: Embedder<u32, Words>,
    scorer: Scorer<usize>,
}

/// Runs of letters and of digits, in lower case, with identifiers taken apart.
#[derive(Debug, Default)]
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    }
}

impl Lexical {
    pub(super) fn of(catalogue: &Catalogue) -> Self {
        let texts: Vec<String> =
            catalogue.apis().iter().map(|api| format!("{} {} {}", api.name, api.domain, api.description)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embedder = EmbedderBuilder::with_tokenizer_and_fit_to_corpus(Words, &texts).build();
        let mut scorer = Scorer::new();
        for (index, text) in texts.iter().enumerate() {
            scorer.upsert(&index, embedder.embed(text));
        }
        Self { embedder, scorer }
    }

    /// Indices and scores of the `k` best, best first.
    pub(super) fn search(&self, query: &str, k: usize) -> Vec<(usize, f32)> {
        let found = self.scorer.matches(&self.embedder.embed(query));
        found.into_iter().take(k).map(|found| (found.id, found.score)).collect()
    }
}

impl std::fmt::Debug for Lexical {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lexical").finish_non_exhaustive()
    }
}
