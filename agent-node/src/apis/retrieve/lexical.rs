//! Ranking by words: Okapi BM25 (Robertson et al. 1994) over split identifiers.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use bm25::{DefaultTokenizer, Embedder, EmbedderBuilder, Language, Tokenizer};

use crate::apis::catalogue::Catalogue;

/// An index of words: for each, the documents that have it.
pub(super) struct Lexical {
    embedder: Embedder<u32, Words>,
    /// Word → (document, the word's share of its score).
    postings: HashMap<u32, Vec<(u32, f32)>>,
    documents: usize,
}

/// English words, stemmed and without the commonest, of text whose identifiers are taken apart.
struct Words(DefaultTokenizer);

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        self.0.tokenize(&split_identifiers(text))
    }
}

impl Lexical {
    pub(super) fn of(catalogue: &Catalogue) -> Self {
        let texts: Vec<String> = catalogue.apis().iter().map(|api| super::texts::words(api)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let words = Words(DefaultTokenizer::new(Language::English));
        let embedder = EmbedderBuilder::with_tokenizer_and_fit_to_corpus(words, &texts).build();
        let mut postings: HashMap<u32, Vec<(u32, f32)>> = HashMap::new();
        for (document, text) in (0..).zip(&texts) {
            let mut seen = BTreeSet::new();
            for token in embedder.embed(text).0 {
                if seen.insert(token.index) {
                    postings.entry(token.index).or_default().push((document, token.value));
                }
            }
        }
        for posting in postings.values_mut() {
            let (all, having) = (texts.len() as f32, posting.len() as f32);
            let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            posting.iter_mut().for_each(|(_, weight)| *weight *= rarity);
            posting.shrink_to_fit();
        }
        Self { embedder, postings, documents: texts.len() }
    }

    /// The score of every document; 0 where no word is shared.
    pub(super) fn scores(&self, query: &str) -> Vec<f32> {
        let mut scores = vec![0.0; self.documents];
        let words: BTreeSet<u32> = self.embedder.embed(query).indices().copied().collect();
        for posting in words.iter().filter_map(|word| self.postings.get(word)) {
            for &(document, weight) in posting {
                scores[document as usize] += weight;
            }
        }
        scores
    }
}

impl fmt::Debug for Lexical {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lexical").field("documents", &self.documents).finish_non_exhaustive()
    }
}

/// `getUserName`, `get_user-name` → `get User Name`, `get user name`
pub(super) fn split_identifiers(text: &str) -> String {
    let mut split = String::with_capacity(text.len() + text.len() / 8);
    let mut before = ' ';
    for c in text.chars() {
        if before.is_lowercase() && c.is_uppercase() {
            split.push(' ');
        }
        split.push(if c.is_alphanumeric() { c } else { ' ' });
        before = c;
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::{Api, testing::api};

    #[test]
    fn a_word_finds_the_identifier_it_is_part_of() {
        let described = |name: &str, text: &str| Api { description: text.to_owned(), ..api(name) };
        let catalogue = Catalogue::new(
            "n",
            vec![
                described("a", "plays music"),
                described("getWeatherForecast", "what the sky will be"),
                described("weather", "sells umbrellas"),
            ],
        );
        let scores = Lexical::of(&catalogue).scores("forecasts of weather");
        assert!(scores[1] > scores[2] && scores[2] > scores[0], "{scores:?}");
        assert!((scores[0]).abs() < f32::EPSILON);
    }
}
