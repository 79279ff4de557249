//! Which documents a question about a catalogue is shown with.

use std::sync::Arc;

use clap::ValueEnum;
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use synod_agent_node::apis::{
    Api, Hit, Indexed, Library, Retriever,
    calling::{Candidate, candidates, ranked},
    eval::{Question, Truth},
};

use super::Eval;
use crate::{
    cli::models::open,
    exit::{ExitCode, Failure},
};

/// How documents are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Source {
    /// By words and by meaning
    Hybrid,
    /// By words
    Bm25,
    /// By meaning
    Dense,
    /// The right one
    Oracle,
    /// None: what a model knows by itself
    None,
}

/// Wrong documents beside the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Distractors {
    /// Any others of the catalogue
    Random,
    /// The retriever's best wrong ones
    Retrieved,
}

/// The documents of an evaluation.
pub(super) struct Documents {
    catalogue: Option<Arc<Indexed>>,
    source: Source,
    top_k: usize,
    distractors: Option<Distractors>,
    cards: usize,
    seed: u64,
}

impl Documents {
    pub(super) fn open(eval: &Eval, library: &Library) -> Result<Self, Failure> {
        let catalogue = eval.catalogue.as_ref().map(|name| library.get(name)).transpose().map_err(open::unusable)?;
        let Eval { retriever: source, top_k, distractors, cards, seed, .. } = *eval;
        Ok(Self { catalogue, source, top_k, distractors, cards, seed })
    }

    /// All APIs of the catalogue.
    pub(super) fn apis(&self) -> Result<&[Arc<Api>], Failure> {
        match &self.catalogue {
            Some(indexed) => Ok(indexed.catalogue().apis()),
            None => {
                Err(Failure::new(ExitCode::Usage, "these questions are about a catalogue: name it with --catalogue")
                    .hint("`synod apis add NAME FILE` makes one"))
            }
        }
    }

    /// Gives the question its documents.
    pub(super) fn show(&self, question: &mut Question) -> Result<(), Failure> {
        let Truth::OneOf { exact, .. } = &question.truth else { return Ok(()) };
        let right = self.apis()?.iter().find(|api| exact.contains(&api.name)).map(Arc::clone);
        let is_wrong = |api: &Arc<Api>| !exact.contains(&api.name);
        let request = question.conversation.last().map(|message| message.content.clone()).unwrap_or_default();
        question.candidates = match (self.distractors, self.source) {
            (None, Source::Oracle) => right.into_iter().map(alone).collect(),
            (None, Source::None) => Vec::new(),
            (None, _) => candidates(&self.search(&request, self.top_k)?),
            (Some(kind), _) => {
                let found: Vec<Arc<Api>> = self.search(&request, usize::MAX)?.into_iter().map(|hit| hit.api).collect();
                let wrong = match kind {
                    Distractors::Random => self.drawn(&question.id, is_wrong)?,
                    Distractors::Retrieved => found.iter().filter(|api| is_wrong(api)).map(Arc::clone).collect(),
                };
                let wrong = wrong.into_iter().take(self.cards.saturating_sub(1));
                shown(right.into_iter().chain(wrong), &found)
            }
        };
        Ok(())
    }

    fn drawn(&self, id: &str, is_wrong: impl Fn(&Arc<Api>) -> bool) -> Result<Vec<Arc<Api>>, Failure> {
        let mut all: Vec<Arc<Api>> = self.apis()?.iter().filter(|api| is_wrong(api)).map(Arc::clone).collect();
        all.shuffle(&mut self.draw(id));
        Ok(all)
    }

    fn search(&self, request: &str, k: usize) -> Result<Vec<Hit>, Failure> {
        let retriever = match self.source {
            Source::Bm25 => Retriever::Bm25,
            Source::Dense => Retriever::Dense,
            Source::Hybrid | Source::Oracle | Source::None => Retriever::Hybrid,
        };
        match &self.catalogue {
            Some(indexed) => indexed.search(request, k, retriever).map_err(open::unusable),
            None => Ok(Vec::new()),
        }
    }

    /// The same draw for a question, whatever else is asked.
    fn draw(&self, id: &str) -> Pcg64Mcg {
        let own = id.bytes().fold(self.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Pcg64Mcg::seed_from_u64(own)
    }
}

/// Some documents in the order of a search, and as far apart as they are in it.
fn shown(cards: impl Iterator<Item = Arc<Api>>, found: &[Arc<Api>]) -> Vec<Candidate> {
    let rank = |api: &Arc<Api>| found.iter().position(|other| other.name == api.name).unwrap_or(found.len());
    let mut ranks: Vec<(usize, Arc<Api>)> = cards.map(|api| (rank(&api), api)).collect();
    ranks.sort_by_key(|(rank, _)| *rank);
    let mut cards: Vec<Candidate> = ranks.iter().map(|(rank, api)| ranked(api, *rank)).collect();
    // The best of them is the best there is.
    let first = cards.first().map_or(0.0, |card| card.prior);
    cards.iter_mut().for_each(|card| card.prior -= first);
    cards
}

/// A document that no retriever has an opinion on.
fn alone(api: Arc<Api>) -> Candidate {
    Candidate { api, prior: 0.0 }
}
